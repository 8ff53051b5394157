import json
import logging
from collections.abc import Iterator

import pytest

from pacs_gateway.telemetry.log import configure_logging


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Give the root logger back as it was; what was silenced speaks again."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    chatty = {name: logging.getLogger(name).level for name in ("pynetdicom", "pydicom", "sqlalchemy", "alembic")}
    yield
    root.handlers[:], root.level = handlers, level
    for name, before in chatty.items():
        logging.getLogger(name).setLevel(before)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_machines_get_json_lines_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="info", log_format="json", role="dicom")
    logging.getLogger("pacs_gateway.x").warning("took %d", 3, extra={"calls": 2})
    logging.getLogger("pacs_gateway.x").debug("not said")
    (line,) = lines(capsys)
    assert line["event"] == "took 3"
    assert (line["role"], line["level"], line["calls"]) == ("dicom", "warning", 2)
    assert str(line["timestamp"]).endswith("Z")


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_what_a_device_calls_itself_cannot_forge_a_line(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    configure_logging(level="info", log_format=log_format, role="dicom")  # type: ignore[arg-type] # both are formats
    logging.getLogger("x").warning("from %s", "EVIL\r\n2026 all is well\x1b[2J\u2028")
    (line,) = capsys.readouterr().err.splitlines()
    assert "\x1b[2J" not in line
    assert "2026 all is well" in line


def test_an_exception_comes_with_its_traceback_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="info", log_format="json", role="worker")
    try:
        int("missing")
    except ValueError:
        logging.getLogger("x").exception("a job broke")
    (line,) = lines(capsys)
    assert "ValueError" in str(line["exception"])


def test_libraries_that_log_what_patients_are_called_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="debug", log_format="json", role="web")
    for name in ("pynetdicom.acse", "pydicom", "sqlalchemy.engine", "alembic.runtime.migration"):
        logging.getLogger(name).error("Nguyễn^Văn^Đức")
    assert capsys.readouterr().err == ""
