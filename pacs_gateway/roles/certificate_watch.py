"""Says in time that a certificate is about to expire: at the start and every day from 30 days before."""

import logging
import threading

from pacs_gateway.dimse.config import TlsConfig
from pacs_gateway.dimse.tls import expiry_warnings
from pacs_gateway.domain.clock import utc_now
from pacs_gateway.errors import ConfigurationError

_DAY_S = 24 * 3600.0
_log = logging.getLogger(__name__)


def watch_certificates(tls: TlsConfig, stop: threading.Event) -> None:
    """Warn of what must be renewed, until `stop` is set; the body of a thread."""
    while True:
        try:
            for warning in expiry_warnings(tls, now=utc_now()):
                _log.warning("%s", warning)
        except ConfigurationError as error:
            _log.warning("%s", error)
        if stop.wait(_DAY_S):
            return
