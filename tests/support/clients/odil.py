"""odil's command line program as a client; it moves by its Python bindings, the program having no command for it."""

import ast
import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.clients.client import CALLING, CLIENT_DEADLINE_S, Answer, Retrieved, level_of
from tests.support.running_gateway import AE_TITLE

_MOVE = Path(__file__).with_name("odil_move.py")
_ELEMENT = re.compile(r"^.+ (?P<tag>[0-9a-f]{4},[0-9a-f]{4}) [A-Z]{2} (?P<values>\[.*\])$")
_COUNTS = re.compile(r"^Completed: (\d+), remaining: \d+, failed: (\d+)", re.MULTILINE)
_KEYWORDS = {
    "0008,0005": "SpecificCharacterSet",
    "0008,0018": "SOPInstanceUID",
    "0008,0020": "StudyDate",
    "0008,0050": "AccessionNumber",
    "0008,0060": "Modality",
    "0008,0061": "ModalitiesInStudy",
    "0010,0010": "PatientName",
    "0010,0020": "PatientID",
    "0020,000d": "StudyInstanceUID",
    "0020,000e": "SeriesInstanceUID",
    "0020,0013": "InstanceNumber",
    "0020,1208": "NumberOfStudyRelatedInstances",
}


class Odil:
    """``odil echo``, ``store``, ``find``, ``get``, and its MoveSCU."""

    def __init__(self, port: int) -> None:
        self._peer = ("127.0.0.1", str(port), CALLING, AE_TITLE)

    def echo(self) -> None:
        _run("odil", "echo", *self._peer)

    def store(self, paths: Sequence[Path]) -> None:
        assert _run("odil", "store", *self._peer, *map(str, paths)) == ""

    def find(self, level: str, keys: Mapping[str, str]) -> list[Answer]:
        wanted = [f"{keyword}={value}" if value else keyword for keyword, value in keys.items()]
        said = _run("odil", "find", *self._peer, "study", f"QueryRetrieveLevel={level}", *wanted)
        _, *answers = re.split(r"^\d+ answers?\n|\n\n", said, flags=re.MULTILINE)
        return [_answer(text) for text in answers if text.strip()]

    def get(self, keys: Mapping[str, str], folder: Path) -> Retrieved:
        named = [f"{keyword}={value}" for keyword, value in keys.items()]
        options = ("--directory", str(folder))
        said = _run("odil", "get", *options, *self._peer, "study", f"QueryRetrieveLevel={level_of(keys)}", *named)
        counts = _COUNTS.search(said)
        assert counts is not None, said
        # It says nothing about the status, and fails when that is one of failure.
        return Retrieved(0, int(counts[1]), int(counts[2]))

    def move(self, keys: Mapping[str, str], destination: str) -> Retrieved:
        identifier = {"QueryRetrieveLevel": level_of(keys), **keys}
        said = _run("/usr/bin/python3", "-I", str(_MOVE), *self._peer, destination, json.dumps(identifier))
        return Retrieved(*json.loads(said))


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=CLIENT_DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _answer(text: str) -> Answer:
    elements = (_ELEMENT.match(line) for line in text.splitlines())
    return {
        _KEYWORDS[element["tag"]]: "\\".join(map(str, ast.literal_eval(element["values"])))
        for element in elements
        if element is not None and element["tag"] in _KEYWORDS
    }
