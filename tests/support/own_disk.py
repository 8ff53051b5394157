"""A small disk for one gateway: a mount that only its processes see, and that ends with them."""

import subprocess
from pathlib import Path

_DEADLINE_S = 10.0


def can_mount() -> bool:
    """Return whether this account may mount a disk in a namespace of its own."""
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, capture_output=True, timeout=_DEADLINE_S).returncode == 0


def launcher(folder: Path, size_mib: int) -> tuple[str, ...]:
    """Return what to put before a command so that it finds a small empty disk at `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = f'mount -t tmpfs -o size={size_mib}m none "{folder}" && exec "$0" "$@"'
    return ("unshare", "-m", "sh", "-c", mount)


def seen_by(pid: int, folder: Path) -> Path:
    """Return where a folder of that process's own is to be found from outside."""
    return Path(f"/proc/{pid}/root{folder}")


def remount(pid: int, folder: Path, option: str) -> bool:
    """Mount the disk anew, ``ro`` or ``rw``; False while a file is still being written."""
    command = ["nsenter", "-t", str(pid), "-m", "mount", "-o", f"remount,{option}", str(folder)]
    return subprocess.run(command, capture_output=True, timeout=_DEADLINE_S).returncode == 0
