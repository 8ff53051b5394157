"""The process that listens to devices."""

import socket
import sys
import threading
from collections.abc import Collection, Sequence

from pynetdicom.dimse_primitives import C_FIND, C_GET, C_MOVE, N_ACTION, N_EVENT_REPORT

from pacs_gateway.config import GatewayConfig
from pacs_gateway.dimse.commitment.asked import CommitmentReportService
from pacs_gateway.dimse.commitment.service import CommitmentService
from pacs_gateway.dimse.query.find import FindService
from pacs_gateway.dimse.query.get import GetService
from pacs_gateway.dimse.query.move import MoveService
from pacs_gateway.dimse.query.retrieval import Source
from pacs_gateway.dimse.query.turns import Turns
from pacs_gateway.dimse.server import DicomServer
from pacs_gateway.dimse.service import Services
from pacs_gateway.gateway import Gateway, open_gateway
from pacs_gateway.guard import prepare as prepare_guard
from pacs_gateway.roles.certificate_watch import watch_certificates

# An association that waits for its disk must not then wait 5 ms for the batch writer to let go of the interpreter.
_SWITCH_INTERVAL_S = 0.0005


def run(
    config: GatewayConfig,
    stop: threading.Event,
    sockets: Sequence[socket.socket],
    *,
    tls_sockets: Collection[socket.socket] = (),
    is_first: bool = True,
) -> None:
    """Serve associations on inherited listening sockets until `stop` is set.

    Parameters
    ----------
    tls_sockets
        Those of `sockets` on which callers speak TLS.
    is_first
        Whether this is the one of its siblings that says when a certificate is about to expire.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    prepare_guard()
    with open_gateway(config) as gateway:
        gateway.access.devices.load()
        plain = [sock for sock in sockets if sock not in tls_sockets]
        server = DicomServer(
            config.dimse,
            gateway.archive.ingest,
            gateway.access.devices,
            plain,
            dicom_services(gateway),
            tls_sockets=list(tls_sockets),
        )
        waiting = threading.Thread(target=_stop_server, args=(server, stop), name="dicom-stop", daemon=True)
        waiting.start()
        if config.dimse.tls is not None and is_first:
            arguments = (config.dimse.tls, stop)
            threading.Thread(target=watch_certificates, args=arguments, name="certificates", daemon=True).start()
        # In the main thread, so that a server that cannot go on ends the process and the supervisor starts another.
        server.serve()


def dicom_services(gateway: Gateway) -> Services:
    """Return what is served besides C-ECHO and C-STORE."""
    config = gateway.config.dimse
    source = Source(gateway.archive.retrieve, Turns(config.max_suboperations))
    return {
        C_FIND: FindService(gateway.archive.search),
        C_MOVE: MoveService(source, gateway.access.devices, config),
        C_GET: GetService(source),
        N_ACTION: CommitmentService(gateway.archive.commitments),
        N_EVENT_REPORT: CommitmentReportService(gateway.archive.asked_commitments),
    }


def _stop_server(server: DicomServer, stop: threading.Event) -> None:
    stop.wait()
    server.stop()
