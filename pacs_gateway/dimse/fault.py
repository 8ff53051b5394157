"""What the gateway does with an exception nobody foresaw: log it so that it can be found, without patient data."""

import logging
import secrets
import traceback


def log_fault(logger: logging.Logger, task: str, error: BaseException) -> str:
    """Log `error` with its stack and return the correlation id under which it can be found.

    The message of a foreign exception may quote the data it stumbled over, so only its type is logged.
    """
    correlation_id = secrets.token_hex(4)
    frames = "".join(traceback.format_tb(error.__traceback__))
    logger.error(
        "unexpected %s during %s [%s]\n%s",
        type(error).__name__,
        task,
        correlation_id,
        frames,
        extra={"correlation_id": correlation_id},
    )
    return correlation_id
