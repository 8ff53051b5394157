"""Which node a spool belongs to: a name of its own that lies in it, made once and kept for as long as the spool.

What is not shipped yet can be reached in one spool only, so the name is the spool's, not the machine's: a spool that
moves to another machine takes it along.
"""

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from pacs_gateway.errors import IntegrityError
from pacs_gateway.storage.files import translated, write_all

_NAME = ".node"
_NODE_ID = re.compile(r"[0-9a-f]{16}")


def is_node_id(text: str) -> bool:
    """Return whether `text` can be the name of a node."""
    return _NODE_ID.fullmatch(text) is not None


def node_identity(root: Path) -> str:
    """Return the name of the node that the spool at `root` belongs to, made durably on first use.

    Processes that ask at the same time get the same answer.

    Raises
    ------
    CapacityError, UnavailableError
        It can neither be read nor made.
    IntegrityError
        Something else is in its place.
    """
    with translated("the node's identity"):
        try:
            text = (root / _NAME).read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            _make(root)
            text = (root / _NAME).read_text(encoding="ascii", errors="replace").strip()
    if not is_node_id(text):
        raise IntegrityError(f"{root / _NAME} does not hold a node's identity; restore it, or remove it for a new one")
    return text


def _make(root: Path) -> None:
    """Give a complete, synced file the name, unless somebody else was quicker; durable in either case."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        draft = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o640, dir_fd=folder)
        try:
            write_all(draft, secrets.token_hex(8).encode("ascii") + b"\n")
            os.fsync(draft)
            with suppress(FileExistsError):
                os.link(f"/proc/self/fd/{draft}", _NAME, dst_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(draft)
        os.fsync(folder)
    finally:
        os.close(folder)
