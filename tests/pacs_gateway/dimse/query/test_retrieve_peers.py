"""Real peers retrieve: DCMTK's clients in every level and syntax option, DCMTK and Orthanc as destinations."""

import re
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import (
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from tests.pacs_gateway.dimse.query.retrieving import Served, put_study, served_gateway
from tests.support.builders import Identity, encode, image, jpeg2000, pixels, rle, uid
from tests.support.gateways import put
from tests.support.orthanc import orthanc
from tests.support.storescp import StoreScp, storescp

pytestmark = pytest.mark.peer("dcmtk")

CLIENT = "WORKSTATION"
STUDY = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": uid(1)}
_DEADLINE_S = 60.0
_FINAL = re.compile(r"^D: DIMSE Status +: 0x([0-9a-f]{4})", re.MULTILINE)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with served_gateway(tmp_path / "gateway") as served:
        yield served


@pytest.fixture
def target(served: Served, tmp_path: Path) -> Iterator[StoreScp]:
    with storescp(tmp_path / "received") as target:
        served.register(target.ae_title, target.port)
        yield target


def ask(program: str, served: Served, *options: object, keys: dict[str, str]) -> int:
    """Run one of DCMTK's clients and return the last status it was given."""
    named = [word for item in keys.items() for word in ("-k", "=".join(item))]
    command = [program, "-d", "-aet", CLIENT, "-aec", "PACSGW", *options, "127.0.0.1", served.port, *named]
    done = subprocess.run([str(word) for word in command], capture_output=True, timeout=_DEADLINE_S)
    said = (done.stdout + done.stderr).decode(errors="replace")
    statuses = _FINAL.findall(said)
    assert statuses, said
    return int(statuses[-1], 16)


LEVELS = [
    ("-P", {"QueryRetrieveLevel": "PATIENT", "PatientID": "BN0001"}, 8),
    ("-P", {"QueryRetrieveLevel": "STUDY", "PatientID": "BN0001", "StudyInstanceUID": uid(1)}, 4),
    ("-S", {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": uid(1)}, 4),
    ("-S", {"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": uid(1), "SeriesInstanceUID": uid(1, 2)}, 2),
    (
        "-S",
        {
            "QueryRetrieveLevel": "IMAGE",
            "StudyInstanceUID": uid(1),
            "SeriesInstanceUID": uid(1, 2),
            "SOPInstanceUID": f"{uid(1, 2, 1)}\\{uid(1, 2, 2)}",
        },
        2,
    ),
    ("-O", {"QueryRetrieveLevel": "STUDY", "PatientID": "BN0001", "StudyInstanceUID": uid(2)}, 4),
]
LEVEL_NAMES = ["patient", "patient-study", "study", "series", "image", "patient-study-only"]


@pytest.mark.parametrize(("model", "keys", "n_expected"), LEVELS, ids=LEVEL_NAMES)
def test_movescu_at_every_level(
    served: Served, target: StoreScp, model: str, keys: dict[str, str], n_expected: int
) -> None:
    for study in (1, 2):
        put_study(served.gateway, 2, study=study, n_series=2)

    status = ask("movescu", served, model, "-aem", target.ae_title, keys=keys)

    assert status == 0
    assert len(target.received()) == n_expected


@pytest.mark.parametrize(("model", "keys", "n_expected"), LEVELS, ids=LEVEL_NAMES)
def test_getscu_at_every_level(
    served: Served, tmp_path: Path, model: str, keys: dict[str, str], n_expected: int
) -> None:
    for study in (1, 2):
        put_study(served.gateway, 2, study=study, n_series=2)
    folder = tmp_path / "got"
    folder.mkdir()

    status = ask("getscu", served, model, "-od", folder, keys=keys)

    assert status == 0
    assert len(list(folder.iterdir())) == n_expected


@pytest.mark.parametrize("option", ["-xe", "-xb", "-xi", "-x="])
def test_the_request_may_come_in_any_uncompressed_syntax(served: Served, target: StoreScp, option: str) -> None:
    put_study(served.gateway, 1)

    assert ask("movescu", served, "-S", option, "-aem", target.ae_title, keys=STUDY) == 0


def test_what_is_stored_compressed_arrives_byte_for_byte(served: Served, target: StoreScp) -> None:
    put(served.gateway, rle(Identity(instance=1)), RLELossless)
    put(served.gateway, jpeg2000(Identity(instance=2)), JPEG2000Lossless)
    put(served.gateway, image(Identity(instance=3)), ImplicitVRLittleEndian)

    status = ask("movescu", served, "-S", "-aem", target.ae_title, keys=STUDY)

    assert status == 0
    arrived = target.received()
    compressed = rle(Identity(instance=1))
    del compressed.file_meta
    expected = {
        uid(1, 1, 1): encode(compressed, RLELossless),
        uid(1, 1, 2): encode(jpeg2000(Identity(instance=2)), JPEG2000Lossless),
        uid(1, 1, 3): encode(image(Identity(instance=3)), ImplicitVRLittleEndian),
    }
    assert {name: data_set_bytes(path) for name, path in arrived.items()} == expected


def test_a_destination_of_implicit_little_endian_gets_the_same_pixels(served: Served, tmp_path: Path) -> None:
    put(served.gateway, rle(Identity(instance=1)), RLELossless)
    put(served.gateway, jpeg2000(Identity(instance=2)), JPEG2000Lossless)
    put(served.gateway, image(Identity(instance=3)))
    with storescp(tmp_path / "received", options=("+xi",)) as target:
        served.register(target.ae_title, target.port)

        status = ask("movescu", served, "-S", "-aem", target.ae_title, keys=STUDY)

        assert status == 0
        for instance in (1, 2, 3):
            ds = dcmread(target.received()[uid(1, 1, instance)])
            assert ds.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
            assert ds.pixel_array.tobytes() == pixels(instance).tobytes()


@pytest.mark.parametrize("option", ["+x=", "+xr", "+xw"])
def test_getscu_gets_the_same_pixels_whatever_it_prefers(option: str, served: Served, tmp_path: Path) -> None:
    put(served.gateway, rle(Identity(instance=1)), RLELossless)
    put(served.gateway, image(Identity(instance=2)))

    status = ask("getscu", served, "-S", option, "+B", "-od", tmp_path, keys=STUDY)

    assert status == 0
    got = [dcmread(path) for path in tmp_path.iterdir() if path.is_file()]
    assert {int(ds.InstanceNumber): ds.pixel_array.tobytes() for ds in got} == {n: pixels(n).tobytes() for n in (1, 2)}


def test_movescu_cancels(served: Served, target: StoreScp) -> None:
    put_study(served.gateway, 100)

    status = ask("movescu", served, "-S", "--cancel", 3, "-aem", target.ae_title, keys=STUDY)

    assert status == 0xFE00
    assert 3 <= len(target.received()) < 100


@pytest.mark.peer("orthanc")
def test_orthanc_is_sent_what_is_stored(served: Served, tmp_path: Path) -> None:
    uids = put_study(served.gateway, 3)
    put(served.gateway, jpeg2000(Identity(instance=9)), JPEG2000Lossless)
    with orthanc(tmp_path / "orthanc", served.port) as archive:
        served.register(archive.ae_title, archive.port)

        status = ask("movescu", served, "-S", "-aem", archive.ae_title, keys=STUDY)

        assert status == 0
        files = archive.files()
    assert set(files) == {*uids, uid(1, 1, 9)}
    assert dcmread(BytesIO(files[uid(1, 1, 9)])).file_meta.TransferSyntaxUID == JPEG2000Lossless


def data_set_bytes(path: Path) -> bytes:
    """Return what follows the file meta information."""
    content = path.read_bytes()
    return content[144 + int.from_bytes(content[140:144], "little") :]
