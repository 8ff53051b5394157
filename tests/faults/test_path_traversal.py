"""Text from the network that looks like a path never becomes one (promises B5)."""

import secrets
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice, product
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from pacs_gateway.dimse.negotiation import STUDY_ROOT_FIND, STUDY_ROOT_MOVE
from tests.support import dicomweb
from tests.support.builders import Identity, encode, image, part10
from tests.support.raw_caller import AbortedError, RawCaller
from tests.support.raw_sender import RawSender
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.scripted_peer import CT_IMAGE, ScriptedPeer, associate_rq, element
from tests.support.waiting import wait_until

pytestmark = pytest.mark.xdist_group("path-traversal")

_N_STRINGS = 300
_FIND, _MOVE = 0x20, 0x21
_UNKNOWN_DESTINATION = 0xA801
_INDEXED_DEADLINE_S = 30.0
_TOKEN = f"canary{secrets.token_hex(4)}"
"""Part of every string: whatever file is made of one can be found."""
_UPWARDS = (
    "../", "..\\", "....//", "..;/", "%2e%2e/", "%2e%2e%2f", "..%2f", "..%5c", "%252e%252e%252f", "..%c0%af", "./../",
    "/..", "..//", "\u2025/", "．．／", ".\x00./",
)  # fmt: skip
_ABSOLUTE = (
    "/",
    "//",
    "\\\\localhost\\",
    "C:\\",
    "file:///",
    "~/",
    "/proc/self/cwd/",
    "/dev/shm/",
    "/var/tmp/",
    "/tmp/",
)
_DEPTHS = (1, 2, 3, 4, 8, 16)
_ENDINGS = ("", ".dcm", "\x00.dcm", "/", "/.", " ")


def strings() -> list[str]:
    """Return the strings: ways up and absolute ones, to different depths, with different endings."""
    upwards = (way * depth + _TOKEN + ending for depth, ending, way in product(_DEPTHS, _ENDINGS, _UPWARDS))
    absolute = (root + _TOKEN + ending for root, ending in product(_ABSOLUTE, _ENDINGS))
    found = list(dict.fromkeys([*absolute, *upwards]))
    return list(islice(found, _N_STRINGS))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway that starts in a folder deep enough to climb out of."""
    folder = tmp_path_factory.mktemp("traversal") / "a" / "b" / "c"
    with running_gateway(folder, {"PACS_AUTH": "off"}) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def nothing_is_written(gateway: RunningGateway) -> Iterator[None]:
    """After each test no file anywhere has a name of the strings, and none is new outside the data directory."""
    before = outside(gateway)
    yield
    assert outside(gateway) == before
    places = [gateway.folder.parents[2], Path("/"), Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path.home()]
    assert [path for place in places[1:] for path in place.glob(f"*{_TOKEN}*")] == []
    assert list(places[0].rglob(f"*{_TOKEN}*")) == []


def outside(gateway: RunningGateway) -> set[Path]:
    """Return every file below the test's own folder, except the data directory's."""
    top = gateway.folder.parents[2]
    return {path for path in top.rglob("*") if gateway.data_dir not in path.parents}


def test_there_are_as_many_strings_as_promised() -> None:
    assert len(strings()) == _N_STRINGS


def test_no_uid_of_a_stored_object_is_a_path(gateway: RunningGateway) -> None:
    good = encode(image(Identity(study=7)), ImplicitVRLittleEndian)
    with RawSender(gateway.dicom_port, sop_class_uid=CT_IMAGE, transfer_syntax_uid=ImplicitVRLittleEndian) as sender:
        for number, text in enumerate(strings()):
            assert sender.store(text, good).status == 0xC000, ascii(text)
            ds = image(Identity(study=8, instance=number))
            keyword = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")[number % 3]
            announced = ds.SOPInstanceUID
            assert sender.store(announced, with_raw(ds, keyword, text)).status in (0xC000, 0xA900), (
                keyword,
                ascii(text),
            )


def test_names_and_numbers_of_a_stored_object_are_no_paths(gateway: RunningGateway, tmp_path: Path) -> None:
    """They are kept as they are: in the object and in the index, and not as the name of a file that is exported."""
    with RawSender(gateway.dicom_port, sop_class_uid=CT_IMAGE, transfer_syntax_uid=ImplicitVRLittleEndian) as sender:
        for number, text in enumerate(strings(), start=1):
            ds = image(Identity(study=9, instance=number))
            encoded = with_raw(ds, "PatientID", text)
            for keyword in ("PatientName", "AccessionNumber", "StationName", "StudyID"):
                encoded = encoded.replace(raw(ds, keyword), element_of(ds, keyword, text)) if keyword in ds else encoded
            assert sender.store(ds.SOPInstanceUID, encoded).status == 0, ascii(text)

    with gateway.client() as client:
        study_uid = image(Identity(study=9)).StudyInstanceUID
        wait_until(lambda: len(dicomweb.instance_uids(client, study_uid)) == _N_STRINGS, _INDEXED_DEADLINE_S, "all")
    gateway.must("export", "--study", study_uid, "-o", str(tmp_path / "exported"))

    exported = [path for path in (tmp_path / "exported").rglob("*") if path.is_file()]
    assert len(exported) >= _N_STRINGS
    assert [path for path in tmp_path.rglob("*") if _TOKEN in path.name] == []


def test_no_ae_title_is_a_path(gateway: RunningGateway) -> None:
    for text in strings():
        for options in ({"calling": text}, {"called": text}):
            with ScriptedPeer(gateway.dicom_port) as peer:
                shown = {name: value.encode() for name, value in options.items()}
                peer.send(associate_rq(**shown))  # type: ignore[arg-type] # titles of bytes
                assert peer.receive_pdu()[:1] in (b"\x02", b"\x03"), ascii(text)


def test_no_key_of_a_query_is_a_path(gateway: RunningGateway) -> None:
    """The texts are keys that nothing matches, or that do not fit; the query after it is answered."""
    keywords = ("StudyInstanceUID", "PatientID", "PatientName", "AccessionNumber", "RetrieveAETitle")
    with RawCaller(gateway.dicom_port, STUDY_ROOT_FIND) as caller:
        for number, text in enumerate(strings()):
            keys = Dataset()
            keys.QueryRetrieveLevel = "STUDY"
            keyword = keywords[number % len(keywords)]
            setattr(keys, keyword, "1")
            caller.ask(_FIND, with_raw(keys, keyword, text))

        good = Dataset()
        good.QueryRetrieveLevel, good.PatientID = "STUDY", "nobody"
        assert caller.ask(_FIND, good)[-1].status == 0


def test_no_destination_of_a_move_is_a_path(gateway: RunningGateway) -> None:
    """Nobody is called that; what cannot be an AE title at all ends the association."""
    keys = Dataset()
    keys.QueryRetrieveLevel, keys.StudyInstanceUID = "STUDY", "1.2.3"
    for text in strings():
        with RawCaller(gateway.dicom_port, STUDY_ROOT_MOVE) as caller, suppress(AbortedError):
            moved = caller.ask(_MOVE, keys, element(0x600, text.encode()))[-1]
            assert moved.status == _UNKNOWN_DESTINATION, ascii(text)


def test_no_key_of_a_move_is_a_path(gateway: RunningGateway) -> None:
    gateway.must("device", "add", "DEST", "127.0.0.1", "9")
    keys = Dataset()
    keys.QueryRetrieveLevel, keys.StudyInstanceUID = "STUDY", "1.2.3"
    with RawCaller(gateway.dicom_port, STUDY_ROOT_MOVE) as caller:
        for text in strings():
            moved = caller.ask(_MOVE, with_raw(keys, "StudyInstanceUID", text), element(0x600, b"DEST"))[-1]
            assert moved.completed == 0, ascii(text)


def test_no_file_of_a_stow_request_is_a_path(gateway: RunningGateway) -> None:
    with gateway.client() as client:
        files = [part10(image(Identity(study=10)), encoded=with_raw(image(), "SOPInstanceUID", s)) for s in strings()]

        answer = dicomweb.store(client, files)

    assert answer.status_code == 409


def test_no_name_in_a_zip_is_a_path(gateway: RunningGateway, tmp_path: Path) -> None:
    path = tmp_path / "names.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, text in enumerate(strings(), start=1):
            member = zipfile.ZipInfo("member")
            member.filename = text  # as it is: the library itself would cut it at a NUL
            archive.writestr(member, part10(image(Identity(study=11, instance=number))))

    done = gateway.cli("import", str(path))

    assert done.returncode in (0, 1)
    assert "Traceback" not in done.stderr

    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def raw(ds: Dataset, keyword: str) -> bytes:
    """Return one element of `ds` in implicit little endian."""
    one = Dataset()
    one.add(ds[keyword])
    return encode(one, ImplicitVRLittleEndian)


def element_of(ds: Dataset, keyword: str, text: str) -> bytes:
    """Return the element with a text that no library would write."""
    value = text.encode()
    value += b"\0" * (len(value) % 2)
    return raw(ds, keyword)[:4] + len(value).to_bytes(4, "little") + value


def with_raw(ds: Dataset, keyword: str, text: str) -> bytes:
    """Return `ds` in implicit little endian, with such a text in one element."""
    return encode(ds, ImplicitVRLittleEndian).replace(raw(ds, keyword), element_of(ds, keyword, text))
