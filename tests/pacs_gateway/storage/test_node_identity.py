"""The name of a spool's node: made once, the same for everybody."""

import subprocess
import sys
from pathlib import Path

import pytest

from pacs_gateway.errors import IntegrityError, NotFoundError
from pacs_gateway.storage.node_identity import is_node_id, node_identity

ROOT = Path(__file__).parents[3]


def test_it_is_made_once_and_kept(tmp_path: Path) -> None:
    name = node_identity(tmp_path)

    assert is_node_id(name)
    assert node_identity(tmp_path) == name


def test_every_spool_has_another(tmp_path: Path) -> None:
    spools = [tmp_path / str(n) for n in range(3)]
    for spool in spools:
        spool.mkdir()

    assert len({node_identity(spool) for spool in spools}) == 3


def test_processes_that_start_at_the_same_time_agree(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from pacs_gateway.storage.node_identity import node_identity\n"
        "print(flush=True); sys.stdin.readline(); print(node_identity(Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    running = [
        subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(4)
    ]
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()

    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    names = {process.communicate(timeout=60)[0].strip() for process in running}

    assert names == {node_identity(tmp_path)}


@pytest.mark.parametrize("content", [b"", b"short\n", b"0123456789abcdef0", b"../../../etc/pas\n", b"\xff" * 16])
def test_what_is_no_identity_is_not_taken_for_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".node").write_bytes(content)

    with pytest.raises(IntegrityError, match="identity"):
        node_identity(tmp_path)


def test_a_spool_that_is_not_there_has_none(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="identity"):
        node_identity(tmp_path / "missing")
