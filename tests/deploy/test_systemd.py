"""The units: systemd's own judgement of their grammar and of how much a broken-in process could still do."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy" / "systemd"
PROGRAM = "/opt/pacs-gateway/current/bin/pacs-gateway"
# The supervisor kills what has not ended 35 s after a SIGTERM.
ORDERLY_END_S = 35
MOST_EXPOSURE = 20  # tenths of systemd's points, 0 best, 100 worst

pytestmark = pytest.mark.peer("systemd")


@pytest.fixture(params=["pacs-gateway.service", "pacs-gateway@dicom.service"])
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a unit as it would be installed, except that its program is one this machine has."""
    name: str = request.param
    template = name if "@" not in name else name.split("@", maxsplit=1)[0] + "@.service"
    text = (UNITS / template).read_text(encoding="utf-8")
    assert PROGRAM in text
    (tmp_path / template).write_text(text.replace(PROGRAM, sys.executable), encoding="utf-8")
    return tmp_path / name


def test_systemd_understands_every_line_of_the_units(unit: Path) -> None:
    verdict = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)

    ours = [line for line in verdict.stderr.splitlines() if "pacs-gateway" in line]
    assert (verdict.returncode, ours) == (0, [])


def test_a_process_that_is_broken_into_can_do_little(unit: Path) -> None:
    template = unit.with_name(unit.name.replace("@dicom", "@"))

    verdict = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSURE}", "--no-pager", template],
        capture_output=True,
        text=True,
        check=False,
    )

    assert verdict.returncode == 0, verdict.stdout


def test_the_units_of_one_machine_and_of_one_role_are_hardened_alike() -> None:
    def settings(name: str) -> list[str]:
        lines = (UNITS / name).read_text(encoding="utf-8").splitlines()
        return [line for line in lines if not line.startswith(("#", "Description=", "ExecStart="))]

    assert settings("pacs-gateway.service") == settings("pacs-gateway@.service")


def test_systemd_waits_for_an_orderly_end() -> None:
    text = (UNITS / "pacs-gateway.service").read_text(encoding="utf-8")
    waits = next(line.partition("=")[2] for line in text.splitlines() if line.startswith("TimeoutStopSec="))

    assert int(waits) > ORDERLY_END_S
