"""DCMTK's command line programs as clients."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from pydicom import dcmread
from pydicom.multival import MultiValue

from tests.support.clients.client import CALLING, CLIENT_DEADLINE_S, Answer, Retrieved, level_of
from tests.support.running_gateway import AE_TITLE

_STATUS = re.compile(r"^D: DIMSE Status +: 0x([0-9a-f]{4})", re.MULTILINE)
_COUNT = re.compile(r"^D: (Completed|Failed) Suboperations +: (\d+)", re.MULTILINE)


class Dcmtk:
    """echoscu, storescu or dcmsend, findscu, getscu, movescu."""

    def __init__(self, port: int, *, sender: Sequence[str] = ("storescu", "-R"), model: str = "-S") -> None:
        """Call the gateway at `port`; `model` is an option that names an information model."""
        self._port = port
        self._sender = sender
        self._model = model

    def echo(self) -> None:
        self._run("echoscu")

    def store(self, paths: Sequence[Path]) -> None:
        self._run(*self._sender, after=paths)

    def find(self, level: str, keys: Mapping[str, str]) -> list[Answer]:
        with TemporaryDirectory() as folder:
            self.find_into(Path(folder), level, keys)
            return [_answer(path) for path in sorted(Path(folder).glob("rsp*.dcm"))]

    def find_into(self, folder: Path, level: str, keys: Mapping[str, str], *options: str) -> int:
        """Write each answer to a file of its own; return the last status."""
        done = self._run("findscu", "-d", self._model, *options, "-X", "-od", folder, *_keys(level, keys))
        return _last_status(done)

    def get(self, keys: Mapping[str, str], folder: Path) -> Retrieved:
        done = self._run(
            "getscu", "-d", self._model, "+B", "-od", folder, *_keys(level_of(keys), keys), is_to_succeed=False
        )
        return _retrieved(done)

    def move(self, keys: Mapping[str, str], destination: str) -> Retrieved:
        options = ("-d", self._model, "-aem", destination)
        return _retrieved(self._run("movescu", *options, *_keys(level_of(keys), keys), is_to_succeed=False))

    def _run(self, *program: object, after: Sequence[object] = (), is_to_succeed: bool = True) -> str:
        command = [*program, "-aet", CALLING, "-aec", AE_TITLE, "127.0.0.1", self._port, *after]
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, timeout=CLIENT_DEADLINE_S, check=False
        )
        said = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode == 0 or not is_to_succeed, said
        return said


def dump(path: Path) -> str:
    """Return what ``dcmdump`` shows of a file, in UTF-8."""
    command = ["dcmdump", "-q", "+U8", "-M", "+L", str(path)]
    return subprocess.run(command, capture_output=True, check=True, timeout=CLIENT_DEADLINE_S).stdout.decode()


def _keys(level: str, keys: Mapping[str, str]) -> list[str]:
    options = ["-k", f"QueryRetrieveLevel={level}"]
    for keyword, value in keys.items():
        options += ["-k", f"{keyword}={value}"]
    return options


def _answer(path: Path) -> Answer:
    ds = dcmread(path)
    return {element.keyword: _text(element.value) for element in ds}


def _text(value: object) -> str:
    return "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value)


def _last_status(output: str) -> int:
    return int(_STATUS.findall(output)[-1], 16)


def _retrieved(output: str) -> Retrieved:
    counts = {name: int(count) for name, count in _COUNT.findall(output)}
    return Retrieved(_last_status(output), counts.get("Completed", 0), counts.get("Failed", 0))
