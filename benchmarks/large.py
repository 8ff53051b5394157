"""P11: by how much a gateway process grows while a multi-frame object of 2 GiB passes, by each way in and out.

What counts is everything that a process has resident at its peak, above what it had before. Before, a small object took
every way once: modules that load with the first image are not the object's. What goes out is compared, byte by byte,
with what came in.
"""

import hashlib
import os
import shutil
import socket
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from benchmarks.measurement import Failure, Measurement, Result, Subject
from benchmarks.multiframe import FRAME_BYTES, Multiframe
from benchmarks.process import DCMTK_ENVIRONMENT, BenchmarkError, Program, find_program
from benchmarks.receive import send
from benchmarks.receivers import GATEWAYS, HOST, MAX_PDU, Gateway
from benchmarks.web import bodies, pieces_of
from pacs_gateway.dicomweb.multipart import closing, new_boundary, part_header
from pacs_gateway.domain.part10 import decode_head
from tests.support.ports import free_port

PREFIX = "large/"
_N_FRAMES = 4096
_N_SMALL_FRAMES = 4
_FRAMES_AT_ONCE = 2000
_SETTLE_S = 600.0
_DESTINATION = "BENCHMARK"
_PART10 = 'multipart/related; type="application/dicom"; transfer-syntax='
_EXPLICIT = "1.2.840.10008.1.2.1"


@dataclass(frozen=True, slots=True)
class _Passage:
    """One object on one way."""

    gateway: Gateway
    image: Multiframe
    destination_port: int
    """Where the gateway sends by C-MOVE."""

    @property
    def file(self) -> Path:
        """Where its file is, the only one of its folder."""
        return self.gateway.folder / "files" / f"{self.image.name}-{self.image.n_frames}" / "image.dcm"

    def run(self, *arguments: object) -> float:
        """Run a command of the gateway and return its peak size in MiB."""
        return self.gateway.command(*arguments).wait_until_ended(_SETTLE_S)

    def get(self, resource: str, accept: str = "*/*") -> Iterator[bytes]:
        """Yield the body of an answer about the instance, or the bodies of its parts joined."""
        image = self.image
        path = f"/dicom-web/studies/{image.study_uid}/series/{image.series_uid}/instances/{image.sop_uid}{resource}"
        with self.gateway.asked("GET", path, {"Accept": accept}) as response:
            if response.status != 200:
                raise BenchmarkError(f"{resource or 'the instance'} was answered {response.status}")
            yield from bodies(response)

    def check(self, file: Iterable[bytes]) -> None:
        """Compare the data set of a Part 10 file with that of the image.

        Raises
        ------
        BenchmarkError
            It is another.
        """
        if _data_set_digest(file) != _data_set_digest(self.image.pieces()):
            raise BenchmarkError("what goes out is not what came in")

    def check_only_file_of(self, folder: Path, pattern: str = "*") -> None:
        """Compare the one file below `folder` with the image, and remove the folder; errors as ``check``."""
        (path,) = [path for path in folder.rglob(pattern) if path.is_file()]
        with path.open("rb") as file:
            self.check(pieces_of(file))
        shutil.rmtree(folder)


def _c_store(passage: _Passage) -> None:
    send(passage.gateway.dicom_port, [[passage.file.parent]])


def _stow(passage: _Passage) -> None:
    boundary = new_boundary()

    def body() -> Iterator[bytes]:
        yield part_header(boundary, {"Content-Type": "application/dicom"})
        yield from passage.image.pieces()
        yield closing(boundary)

    headers = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}'}
    with passage.gateway.asked("POST", "/dicom-web/studies", headers, body()) as response:
        if response.status != 200:
            raise BenchmarkError(f"STOW-RS was answered {response.status}")


def _import(passage: _Passage) -> float:
    return passage.run("import", passage.file)


def _instance(passage: _Passage) -> None:
    passage.check(passage.get("", f"{_PART10}*"))


def _decoded(passage: _Passage) -> None:
    native = replace(passage.image, is_compressed=False)
    replace(passage, image=native).check(passage.get("", f"{_PART10}{_EXPLICIT}"))


def _frames(passage: _Passage) -> None:
    digest = hashlib.sha256()
    for first in range(1, passage.image.n_frames + 1, _FRAMES_AT_ONCE):
        numbers = range(first, min(first + _FRAMES_AT_ONCE, passage.image.n_frames + 1))
        for piece in passage.get(f"/frames/{','.join(map(str, numbers))}"):
            digest.update(piece)
    if digest.hexdigest() != _digest(passage.image.frames()):
        raise BenchmarkError("the frames are not those of the image")


def _pictures(passage: _Passage) -> None:
    middle = passage.image.n_frames // 2
    for resource in ("/metadata", f"/frames/{middle}/rendered", "/rendered", "/thumbnail"):
        if not sum(map(len, passage.get(resource))):
            raise BenchmarkError(f"{resource} is empty")


def _export(passage: _Passage) -> float:
    target = passage.file.with_name("exported")
    peak_mib = passage.run("export", "--study", passage.image.study_uid, "-o", target)
    passage.check_only_file_of(target, "IM*")
    return peak_mib


def _export_zip(passage: _Passage) -> float:
    target = passage.file.with_name("exported.zip")
    peak_mib = passage.run("export", "--study", passage.image.study_uid, "-o", target)
    with zipfile.ZipFile(target) as archive:
        (name,) = [name for name in archive.namelist() if "IM" in name]
        with archive.open(name) as file:
            passage.check(pieces_of(file))
    target.unlink()
    return peak_mib


def _c_get(passage: _Passage) -> None:
    folder = passage.file.with_name("got")
    folder.mkdir(parents=True)
    _retrieve(passage, "getscu", "+B", "-od", folder)
    passage.check_only_file_of(folder)


def _c_get_decoded(passage: _Passage) -> None:
    native = replace(passage.image, is_compressed=False)
    _c_get(replace(passage, image=native))


def _c_move(passage: _Passage) -> None:
    folder, port = passage.file.with_name("moved"), passage.destination_port
    command = (find_program("storescp"), "+B", "+xa", "--max-pdu", MAX_PDU, "-od", folder, port)
    with Program(command, folder, os.environ | DCMTK_ENVIRONMENT) as destination:
        destination.wait_for("listening", lambda: _listens(port), _SETTLE_S)
        _retrieve(passage, "movescu", "-aem", _DESTINATION)
    folder.joinpath("log.txt").unlink()
    passage.check_only_file_of(folder)


def _retrieve(passage: _Passage, program: str, *options: object) -> None:
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={passage.image.study_uid}")
    whom = ("-aec", "PACSGW", HOST, passage.gateway.dicom_port)
    command = (find_program(program), "-S", *options, *whom, *keys)
    folder = passage.gateway.folder / "client"
    with Program(command, folder, os.environ | DCMTK_ENVIRONMENT) as client:
        client.wait_until_ended(_SETTLE_S)


def _listens(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port)):
            return True
    except OSError:
        return False


_Way = Callable[[_Passage], float | None]
"""Returns the peak size in MiB of the command that it runs, None where the gateway's processes do all."""
_INWARDS: Mapping[str, _Way] = MappingProxyType(
    {"c-store": _c_store, "stow": _stow, "import": _import, "stow-rle": _stow}
)
_OUTWARDS: Mapping[str, _Way] = MappingProxyType(
    {
        "instance": _instance,
        "instance-rle": _decoded,
        "frames": _frames,
        "frames-rle": _frames,
        "pictures": _pictures,
        "export": _export,
        "export-zip": _export_zip,
        "c-get": _c_get,
        "c-get-rle": _c_get_decoded,
        "c-move": _c_move,
    }
)
_WAYS: Mapping[str, _Way] = MappingProxyType({**_INWARDS, **_OUTWARDS})
WAYS = tuple(_WAYS)


def measure_all(subjects: Iterable[Subject], cache: Path, scale: float, _n_runs: int) -> Iterator[Result]:
    """Send and fetch the object in each of the ways that `subjects` name, once: a peak is no matter of chance."""
    n_frames = max(_N_SMALL_FRAMES, round(_N_FRAMES * scale))
    by_side: dict[str, list[Subject]] = defaultdict(list)
    for subject in subjects:
        by_side[subject.side].append(subject)
    for side, wanted in by_side.items():
        folder = cache / "runs" / side
        shutil.rmtree(folder, ignore_errors=True)
        _keep_to_one_process_a_role(folder / "data")
        try:
            with GATEWAYS[side](folder) as gateway:
                yield from _run(gateway, [subject.work.removeprefix(PREFIX) for subject in wanted], n_frames)
        except BenchmarkError as error:
            yield from (Failure(subject, str(error)) for subject in wanted)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _keep_to_one_process_a_role(data: Path) -> None:
    """Have the object pass the process that the small one passed: another has no modules loaded yet."""
    data.mkdir(parents=True)
    (data / "pacs.toml").write_text("dicom_workers = 1\nweb_workers = 1\n", encoding="utf-8")


def _run(gateway: Gateway, ways: Iterable[str], n_frames: int) -> Iterator[Measurement]:
    port = free_port()
    gateway.register(_DESTINATION, port)
    small_mib = {way: _pass(_Passage(gateway, _image(way, _N_SMALL_FRAMES), port), way)[0] for way in WAYS}
    missing = {_source(way) for way in ways} - set(ways)
    for way in missing:
        _pass(_Passage(gateway, _image(way, n_frames), port), way)
    for way in sorted(ways, key=WAYS.index):
        gateway.program.reset_peaks()
        before = gateway.program.usage()
        peak_mib, seconds = _pass(_Passage(gateway, _image(way, n_frames), port), way)
        grown_mib = max(gateway.program.grown_since(before), peak_mib - small_mib[way])
        facts = {"growth_mib": grown_mib, "object_mib": n_frames * FRAME_BYTES / 2**20}
        yield Measurement(Subject(gateway.name, PREFIX + way), seconds, facts, gateway.program.usage_since(before))


def _source(way: str) -> str:
    """Return the way by which what takes `way` came in; what comes in is new each time."""
    if way in _INWARDS:
        return way
    return "stow-rle" if way.endswith("-rle") else "c-store"


def _image(way: str, n_frames: int) -> Multiframe:
    return Multiframe(_source(way), n_frames, is_compressed=way.endswith("-rle"))


def _pass(passage: _Passage, way: str) -> tuple[float, float]:
    """Take one way; return the peak size in MiB of the command that it needs (0 without one), and the seconds."""
    if way in ("c-store", "import"):
        passage.image.write(passage.file)
    start = time.perf_counter()
    peak_mib = _WAYS[way](passage)
    seconds = time.perf_counter() - start
    if way in _INWARDS:
        passage.file.unlink(missing_ok=True)
    passage.gateway.wait_until_settled(_SETTLE_S)
    return peak_mib or 0.0, seconds


def _data_set_digest(file: Iterable[bytes]) -> str:
    """Return the SHA-256 of the data set of a Part 10 file."""
    pieces = iter(file)
    head = b""
    while (decoded := decode_head(head)) is None:
        head += next(pieces)
    return _digest([head[decoded[1] :]], pieces)


def _digest(*sources: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for pieces in sources:
        for piece in pieces:
            digest.update(piece)
    return digest.hexdigest()
