"""What holds for every test: real peers or a reason, long sizes on demand, no patient data in names."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import settings

import viewer_api

# How long an example takes says something about the machine, not about us.
settings.register_profile("gateway", deadline=None)
settings.load_profile("gateway")

pytest_plugins = ("tests.support.databases", "tests.support.object_servers")

# Peer programs by the name tests ask for them: something to look for, and the package that brings it.
_PEERS: Mapping[str, tuple[str, ...]] = {
    "dcmtk": ("storescu", "echoscu", "storescp", "dcmdump"),
    "dicom3tools": ("dciodvfy",),
    "orthanc": ("Orthanc",),
    "odil": ("odil",),
    "dcmjs-dimse": ("node", "dcmjs_dimse/node_modules"),
    "postgresql": ("initdb", "postgres"),
    "chromium": ("chromium",),
    "ohif": ("viewer/prepared/about.json",),
    "strace": ("strace",),
    "minio": ("minio", "openssl"),
    "seaweedfs": ("weed",),
    "openssl": ("openssl",),
    "haproxy": ("haproxy", "openssl"),
    "kustomize": ("kustomize",),
    "sqlite3": ("sqlite3",),
    "systemd": ("systemd-analyze",),
    "wrk": ("wrk",),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests at the sizes the issues name, too")
    parser.addoption("--no-skips", action="store_true", help="a skipped test fails the run")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        long = [item for item in items if item.get_closest_marker("long")]
        if long:
            config.hook.pytest_deselected(items=long)
            items[:] = [item for item in items if not item.get_closest_marker("long")]
    for item in items:
        for marker in item.iter_markers("peer"):
            missing = [program for program in _PEERS[marker.args[0]] if not _is_here(program)]
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"{', '.join(missing)} is not on this machine"))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("--no-skips") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED if exitstatus == 0 else exitstatus


def _is_here(program: str) -> bool:
    # Some are installed beside the interpreter; a virtual environment need not be on the PATH, and Debian keeps the
    # programs of PostgreSQL's server off it, for those who are not root HAProxy too. The viewer is put beside the code.
    places = [
        Path(sys.executable).parent,
        Path(sys.prefix),
        Path("/usr/sbin"),
        Path(viewer_api.__file__).parent,
        *Path("/usr/lib/postgresql").glob("*/bin"),
    ]
    return shutil.which(program) is not None or any((place / program).exists() for place in places)
