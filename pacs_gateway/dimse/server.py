"""The DICOM service of one process: the door, one thread per association, and an orderly end."""

import logging
import socket
import threading
from collections.abc import Sequence
from time import monotonic
from types import MappingProxyType

from pacs_gateway.dimse.acceptor import AcceptedAssociation, Shared
from pacs_gateway.dimse.admission import Admission
from pacs_gateway.dimse.association import application_entity, quieten_pynetdicom
from pacs_gateway.dimse.config import DimseConfig
from pacs_gateway.dimse.listener import Connection, Door, Listeners
from pacs_gateway.dimse.negotiation import SERVICES
from pacs_gateway.dimse.places import Places
from pacs_gateway.dimse.ports import Devices, Ingest
from pacs_gateway.dimse.service import Services
from pacs_gateway.dimse.wire import StopSignal

logger = logging.getLogger(__name__)

_GRACE_S = 30.0
_CUT_S = 2.0


class DicomServer:
    """Serves associations on listening sockets it shares with its sibling processes.

    Parameters
    ----------
    sockets, tls_sockets
        Bound and listening; they stay open when the server stops.
    services
        What is served besides C-ECHO and C-STORE.

    Notes
    -----
    `serve` blocks; `stop` may be called from any thread and from a signal handler.
    """

    def __init__(
        self,
        config: DimseConfig,
        ingest: Ingest,
        devices: Devices,
        sockets: Sequence[socket.socket],
        services: Services = MappingProxyType({}),
        *,
        tls_sockets: Sequence[socket.socket] = (),
    ) -> None:
        quieten_pynetdicom()
        self._config = config
        self._stop = StopSignal()
        self._grace_s = _GRACE_S
        self._shared = Shared(
            config=config,
            ae=application_entity(config),
            admission=Admission(config.ae_titles, devices, Places(config.max_per_device), config.plain_networks),
            ingest=ingest,
            table=SERVICES,
            stop=self._stop,
            services=services,
        )
        listeners = Listeners(sockets, tls_sockets)
        self._door = Door(config, listeners, self._stop, self._enter, devices.record_refusal)
        self._associations: set[AcceptedAssociation] = set()
        self._changed = threading.Condition()

    @property
    def n_associations(self) -> int:
        """Associations being served."""
        return len(self._associations)

    def serve(self) -> None:
        """Serve until `stop`; return when every association has ended."""
        try:
            self._door.run()
        finally:
            self._stop.set()
            self._finish()

    def stop(self, grace_s: float = _GRACE_S) -> None:
        """Accept nothing more, abort what is idle, and give messages in flight `grace_s` seconds."""
        self._grace_s = grace_s
        self._stop.set()

    def _enter(self, connection: Connection) -> None:
        association = AcceptedAssociation(self._shared, connection, self._leave)
        with self._changed:
            self._associations.add(association)
        try:
            association.start()
        except RuntimeError:
            self._remove(association)
            raise

    def _leave(self, association: AcceptedAssociation) -> None:
        self._remove(association)
        self._door.leave()

    def _remove(self, association: AcceptedAssociation) -> None:
        with self._changed:
            self._associations.discard(association)
            self._changed.notify_all()

    def _finish(self) -> None:
        has_ended = self._wait_for_all(self._grace_s)
        if not has_ended:
            with self._changed:
                late = list(self._associations)
            logger.warning("%d associations did not end in time and are cut", len(late))
            for association in late:
                association.cut()
            has_ended = self._wait_for_all(_CUT_S)
        if has_ended:
            self._stop.close()

    def _wait_for_all(self, seconds: float) -> bool:
        deadline = monotonic() + seconds
        with self._changed:
            return self._changed.wait_for(lambda: not self._associations, max(deadline - monotonic(), 0))
