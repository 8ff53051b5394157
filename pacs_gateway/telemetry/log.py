"""Logging to standard error: text for people on a terminal, JSON lines for machines.

Messages and fields never hold patient data (promises B20); control characters are escaped, so that what a device
calls itself cannot forge a line.
"""

import logging
import sys
import warnings
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LogFormat = Literal["auto", "text", "json"]


def configure_logging(*, level: str, log_format: LogFormat, role: str) -> None:
    """Send this process's log to standard error; `role` names the process in every line."""
    as_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if as_text else structlog.processors.JSONRenderer()
    )

    def add_role(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["role"] = role
        return event

    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_role,
        _escape,
    ]
    processors: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if not as_text:
        processors.append(structlog.processors.format_exc_info)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*processors, renderer])
    )
    # pydicom warns with the values it does not like; they are patients' (promises B20).
    warnings.simplefilter("ignore")
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # They log names, queries, PDUs and what a broken answer began with; what matters of it the gateway says itself.
    for chatty in ("pynetdicom", "pydicom", "sqlalchemy", "alembic", "uvicorn.access", "urllib3", "multipart"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)


def _escape(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[name] = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in value)
    return event
