"""The installer, into a folder: what it lays down works on the locked runtime packages alone, and is left in peace."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent  # where the test extra puts its programs
INSTALLER = ROOT / "deploy" / "install.sh"
INSTALL_S = 900  # it builds a whole environment; a busy machine took 180 s


def install(destination: Path) -> None:
    subprocess.run(
        [INSTALLER], env=dict(os.environ) | {"DESTDIR": str(destination)}, check=True, capture_output=True, text=True
    )


@pytest.mark.timeout(INSTALL_S)
def test_an_installation_runs_and_a_second_one_changes_nothing(tmp_path: Path) -> None:
    install(tmp_path)
    settings = tmp_path / "etc/pacs-gateway/pacs.toml"
    settings.write_text(settings.read_text(encoding="utf-8").replace("PACSGW", "HUE_PACS"), encoding="utf-8")
    release = (tmp_path / "opt/pacs-gateway/current").resolve()
    made_at = (release / ".complete").stat().st_mtime_ns

    install(tmp_path)

    assert (tmp_path / "opt/pacs-gateway/current").resolve() == release
    assert (release / ".complete").stat().st_mtime_ns == made_at
    showing = [str(release / "bin/pacs-gateway"), "--config", str(settings), "config", "show"]
    shown = subprocess.run(showing, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert "HUE_PACS" in shown
    loading = [str(release / "bin/python"), "-c", "import pacs_gateway.cli.root, viewer_api.app, psycopg, minio"]
    subprocess.run(loading, cwd=tmp_path, check=True)
    viewing = [str(release / "bin/python"), "-c", "import viewer_api.viewer.install as v; assert v.current()"]
    subprocess.run(viewing, cwd=tmp_path, check=True)


@pytest.mark.parametrize(
    "script", ["deploy/install.sh", "deploy/install-peers.sh", "deploy/systemd/pacs-gateway", ".ci/run"]
)
def test_shell_scripts_have_no_known_traps(script: str) -> None:
    found = subprocess.run([BIN / "shellcheck", script], cwd=ROOT, capture_output=True, text=True, check=False)

    assert found.stdout == ""
