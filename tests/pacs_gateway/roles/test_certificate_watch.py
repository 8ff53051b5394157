import logging
import threading
from pathlib import Path

import pytest

from pacs_gateway.dimse.config import TlsConfig
from pacs_gateway.roles.certificate_watch import watch_certificates
from tests.support.authority import Authority


@pytest.mark.parametrize(("days", "n_warnings"), [(90, 0), (29, 1), (-1, 1)])
def test_who_looks_after_the_gateway_reads_that_a_certificate_must_be_renewed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, days: int, n_warnings: int
) -> None:
    authority = Authority(tmp_path)
    gateway, stop = authority.issue("gateway", days=days), threading.Event()
    stop.set()
    with caplog.at_level(logging.WARNING):
        watch_certificates(TlsConfig(gateway.certificate, gateway.key, authority.certificate), stop)

    assert [str(gateway.certificate) in record.getMessage() for record in caplog.records] == [True] * n_warnings


def test_files_that_are_gone_are_said_and_end_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stop = threading.Event()
    stop.set()
    watch_certificates(TlsConfig(tmp_path / "none.pem", tmp_path / "none.key"), stop)

    assert "cannot be read" in caplog.text
