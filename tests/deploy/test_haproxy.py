"""The balancer's configuration, judged by HAProxy itself; tests/faults has two nodes behind a real one."""

import subprocess
from pathlib import Path

import pytest

from tests.support.haproxy import PROGRAM

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "deploy" / "haproxy.cfg"
CERTIFICATE = "/usr/local/etc/haproxy/web.pem"
COMPOSE_NAMES = {"dicom1", "dicom2", "web1", "web2"}

pytestmark = pytest.mark.peer("haproxy")


def test_haproxy_understands_every_line(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    making = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=pacs"]
    subprocess.run([*making, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    both = tmp_path / "web.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    text = CONFIGURATION.read_text(encoding="utf-8")
    assert CERTIFICATE in text
    (tmp_path / "haproxy.cfg").write_text(text.replace(CERTIFICATE, str(both)), encoding="utf-8")

    verdict = subprocess.run(
        [PROGRAM, "-c", "-f", tmp_path / "haproxy.cfg"], capture_output=True, text=True, check=False
    )

    warnings = [line for line in verdict.stderr.splitlines() if "[WARNING]" in line or "[ALERT]" in line]
    expected = [
        line for line in warnings if any(f"could not resolve address '{name}'" in line for name in COMPOSE_NAMES)
    ]
    assert (verdict.returncode, warnings) == (0, expected)
