"""dcmjs-dimse as a client: a script of ours under Node.js, with the task and the outcome as JSON."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.clients.client import CALLING, CLIENT_DEADLINE_S, SUCCESS, Answer, Retrieved, level_of
from tests.support.running_gateway import AE_TITLE

# Where deploy/install-peers.sh puts it.
_MODULES = Path(sys.prefix) / "dcmjs_dimse" / "node_modules"
_SCRIPT = Path(__file__).parents[1] / "dcmjs_dimse" / "client.js"


class DcmjsDimse:
    """Echo, store, find, get and move in JavaScript."""

    def __init__(self, port: int) -> None:
        self._port = port

    def echo(self) -> None:
        assert self._run("echo")["statuses"] == [SUCCESS]

    def store(self, paths: Sequence[Path]) -> None:
        assert self._run("store", files=[str(path) for path in paths])["statuses"] == [SUCCESS] * len(paths)

    def find(self, level: str, keys: Mapping[str, str]) -> list[Answer]:
        outcome = self._run("find", level=level, keys=dict(keys))
        assert outcome["statuses"] == [SUCCESS]
        return [{keyword: _text(value) for keyword, value in answer.items()} for answer in outcome["answers"]]

    def get(self, keys: Mapping[str, str], folder: Path) -> Retrieved:
        return _retrieved(self._run("get", level=level_of(keys), keys=dict(keys), folder=str(folder)))

    def move(self, keys: Mapping[str, str], destination: str) -> Retrieved:
        return _retrieved(self._run("move", level=level_of(keys), keys=dict(keys), destination=destination))

    def _run(self, operation: str, **task: object) -> dict[str, Any]:
        task |= {"operation": operation, "port": self._port, "calling": CALLING, "called": AE_TITLE}
        done = subprocess.run(
            ["node", str(_SCRIPT)],
            input=json.dumps(task),
            capture_output=True,
            text=True,
            timeout=CLIENT_DEADLINE_S,
            env={**os.environ, "NODE_PATH": str(_MODULES)},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        outcome: dict[str, Any] = json.loads(done.stdout)
        assert outcome["error"] is None, outcome["error"]
        return outcome


def _text(value: object) -> str:
    """Return a value of dcmjs's natural form as text; a person name is a list of groups."""
    if isinstance(value, list):
        return "\\".join(map(_text, value))
    return str(value["Alphabetic"]) if isinstance(value, dict) and "Alphabetic" in value else str(value)


def _retrieved(outcome: Mapping[str, Any]) -> Retrieved:
    last = outcome["counts"][-1]
    return Retrieved(outcome["statuses"][-1], last.get("completed", 0), last.get("failed", 0))
