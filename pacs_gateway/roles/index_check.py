"""The look at the index after a kill or a power cut (promises: settings asserted at start).

It reads the whole index, so it runs beside the work and nobody waits for it. What is due is a file: it is there while
the worker runs, and stays when the worker did not end as it should or the look was not finished.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pacs_gateway.database.engine import Database
from pacs_gateway.errors import GatewayError

_log = logging.getLogger(__name__)

_MARK = "index-check-due"


@contextmanager
def index_check(database: Database, folder: Path) -> Iterator[None]:
    """Check the index if the last block of this kind did not end in order; `folder` remembers that."""
    mark = folder / _MARK
    undone = threading.Event()
    if mark.exists():
        undone.set()
        # Not waited for: an index of twenty million instances takes minutes, and a stop must not.
        threading.Thread(target=_check, args=(database, undone), name="index-check", daemon=True).start()
    mark.touch()
    yield
    if not undone.is_set():
        mark.unlink(missing_ok=True)


def _check(database: Database, undone: threading.Event) -> None:
    _log.info("the gateway did not end in order; checking the index beside the work")
    try:
        if not database.is_intact():
            _log.critical("the index is damaged: stop the gateway and restore the last backup of the index")
            return
    except GatewayError as error:
        _log.warning("the index could not be checked and will be at the next start: %s", error)
        return
    _log.info("the index is intact")
    undone.clear()
