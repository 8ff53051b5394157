"""pynetdicom's upper layer provider without its thread: the state machine runs in whoever calls.

One thread serves an association. It sends by running the state machine at once, and receives by `pump`, which reads
one PDU and runs what follows from it. P-DATA of an established association takes the way of `message.Assembler`;
everything else goes through pynetdicom's PDUs and state machine (PS3.8 9.2).
"""

import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import cast

from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import A_ABORT, A_ASSOCIATE, A_P_ABORT, A_RELEASE, P_DATA, _PDUPrimitiveType
from pynetdicom.transport import AssociationSocket

from pacs_gateway.dimse.config import DimseConfig
from pacs_gateway.dimse.fault import log_fault
from pacs_gateway.dimse.message import Assembler
from pacs_gateway.dimse.pdu import (
    HEADER_LENGTH,
    MAX_ASSOCIATE_LENGTH,
    AbortReason,
    PduError,
    PduType,
    Rejection,
    encode_abort,
    parse_rejection,
)
from pacs_gateway.dimse.wire import StopSignal, Wire

logger = logging.getLogger(__name__)

_IDLE = "Sta1"
_ESTABLISHED = "Sta6"
_AWAITING_CLOSE = "Sta13"
_CLOSED = "Evt17"
# How long the peer of an ended association may take to close its end; the standard's ARTIM is for connections that
# have nothing else to end them, ours are closed by us.
_LINGER_S = 1.0


@contextmanager
def _decoding() -> Iterator[None]:
    """Turn whatever pynetdicom's and pydicom's decoders raise on hostile bytes into a `PduError`."""
    try:
        yield
    except (PduError, OSError):
        raise
    except Exception as error:  # the boundary of foreign decoders: they raise anything, assertions included
        message = f"undecodable ({type(error).__name__})"
        raise PduError(AbortReason.INVALID_PARAMETER, message) from error


class GatewaySocket(AssociationSocket):
    """pynetdicom's handle on the connection, sending through the wire and always freeing its descriptor."""

    def send(self, bytestream: bytes) -> None:
        """Send `bytestream`; a lost connection becomes the event the state machine knows."""
        try:
            cast(BlockingDul, self.assoc.dul).wire.send(bytestream)
        except OSError:
            self.event_queue.put(_CLOSED)

    def _shutdown_socket(self) -> None:
        if self.socket is None:
            return
        with suppress(OSError):  # the peer was first
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class BlockingDul(DULServiceProvider):
    """The DICOM upper layer of one association, run by the thread that uses it."""

    def __init__(
        self, assoc: Association, config: DimseConfig, *, received: bytes = b"", stop: StopSignal | None = None
    ) -> None:
        super().__init__(assoc)
        self._config = config
        self._received = received
        self._stop_signal = stop
        self._wire: Wire | None = None
        self._assembler: Assembler | None = None
        self._is_running = False
        self.is_pumping = False
        self._held: list[bytes] = []
        self.rejection: Rejection | None = None
        """How the peer rejected an association of ours."""

    @property
    def wire(self) -> Wire:
        """The connection; a requestor's exists once it is connected."""
        if self._wire is None:
            sock = self.socket.socket if self.socket is not None else None
            if sock is None:
                raise ConnectionError("not connected")
            self._wire = Wire(sock, self._config, received=self._received, stop=self._stop_signal)
            self._received = b""
        return self._wire

    @property
    def assembler(self) -> Assembler:
        """Where the P-DATA of the established association goes."""
        if self._assembler is None:
            self._assembler = Assembler(self.wire, self._deliver)
        return self._assembler

    @property
    def is_stopping(self) -> bool:
        """Whether the process ends: no further message is begun."""
        return self._stop_signal is not None and self._stop_signal.is_set

    def start(self) -> None:
        """Begin; no thread is started."""
        self._is_running = True
        self.assoc._dul_ready.set()

    def is_alive(self) -> bool:
        """Return whether the connection may still be used."""
        return self._is_running and not self._kill_thread

    def kill_dul(self) -> None:
        """Note that the connection has ended; half a message is dropped."""
        super().kill_dul()
        if self._assembler is not None:
            self._assembler.discard()

    def stop_dul(self) -> bool:
        """Close the connection, giving the peer time to read our last PDU."""
        if self.state_machine.current_state == _AWAITING_CLOSE and self._wire is not None:
            self._wire.linger(_LINGER_S)
        if self.is_alive():
            self.event_queue.put(_CLOSED)
            self._settle()
        if self.socket is not None:
            self.socket.close()
        self._is_running = False
        # Its buffer is large and the association is part of reference cycles: not left to the collector.
        self._wire = self._assembler = None
        return True

    def send_pdu(self, primitive: _PDUPrimitiveType) -> None:
        """Send `primitive` now; does nothing on a connection that has ended."""
        if self.is_alive() and self.state_machine.current_state != _AWAITING_CLOSE:
            super().send_pdu(primitive)
            self._settle()

    def send_data(self, encoded: bytes) -> None:
        """Send whole P-DATA-TF PDUs now; does nothing on a connection that has ended."""
        self.send_parts((encoded,))

    def send_parts(self, parts: Sequence[bytes | memoryview]) -> None:
        """Send P-DATA-TF PDUs that lie in several places; does nothing on a connection that has ended."""
        if not self.is_alive() or self.state_machine.current_state == _AWAITING_CLOSE:
            return
        held, self._held = self._held, []
        try:
            self.wire.send_parts([*held, *parts] if held else parts)
        except OSError:
            self._lose()

    def hold(self, encoded: bytes) -> None:
        """Send whole P-DATA-TF PDUs together with what is sent next, or before we wait for the peer."""
        self._held.append(encoded)

    def receive_pdu(
        self, wait: bool = False, timeout: float | None = None
    ) -> A_ASSOCIATE | A_RELEASE | A_ABORT | A_P_ABORT | None:
        """Return the next primitive of association control, pumping for at most `timeout` seconds per PDU."""
        while wait and self.to_user_queue.empty() and self.is_alive():
            if not self.pump(timeout):
                break
        return super().receive_pdu(wait=False)

    def pump(self, wait_s: float | None, *, is_interruptible: bool = False) -> bool:
        """Handle the next PDU; return False when none began to come within `wait_s` or the process stops.

        Within a message the message's own clock holds instead, and the stop signal waits.
        """
        if not self.is_alive() or self.is_pumping:
            return False
        self.is_pumping = True
        if self._held and wait_s != 0:
            self.send_parts(())
        try:
            self._settle()
            return self._pump_one(wait_s, is_interruptible)
        except PduError as error:
            logger.warning("association with %s aborted: %s", self.assoc.remote["ae_title"], error)
            self.fail(error.reason)
        except OSError:
            self._lose()
        except Exception as error:  # the boundary of one PDU
            log_fault(logger, "reading a PDU", error)
            self.fail(AbortReason.INVALID_PARAMETER)
        finally:
            self.is_pumping = False
        return True

    def fail(self, reason: AbortReason) -> None:
        """Abort as service provider, whatever state we are in, and tell the service user (PS3.8 AA-8)."""
        if self.state_machine.current_state in (_IDLE, _AWAITING_CLOSE):
            self.stop_dul()
            return
        if self._assembler is not None:
            self._assembler.discard()
        with suppress(OSError):
            self.wire.send(encode_abort(reason))
        primitive = A_P_ABORT()
        primitive.provider_reason = reason
        self.to_user_queue.put(primitive)
        self.assoc.dimse.msg_queue.put((None, None))
        self.state_machine.transition(_AWAITING_CLOSE)
        self.stop_dul()

    def _pump_one(self, wait_s: float | None, is_interruptible: bool) -> bool:
        if self.state_machine.current_state == _ESTABLISHED:
            return self._pump_message(wait_s, is_interruptible)
        pdu = self.wire.next_pdu(MAX_ASSOCIATE_LENGTH, wait_s)
        if pdu is None:
            return False
        self._handle(pdu)
        return True

    def _pump_message(self, wait_s: float | None, is_interruptible: bool) -> bool:
        """Handle P-DATA until a message is complete (without waiting: one PDU of it), or one other PDU."""
        assembler, limit = self.assembler, 2 * self._config.max_pdu
        while True:
            if assembler.is_between_messages:
                if is_interruptible and self.is_stopping:
                    return False
                pdu = self.wire.next_pdu(limit, wait_s, is_interruptible=is_interruptible)
            else:
                pdu = self.wire.next_pdu(limit, 0 if wait_s == 0 else None)
                if pdu is None and wait_s != 0:
                    raise PduError(AbortReason.NOT_SPECIFIED, "peer too slow within a message")
            if pdu is None:
                return False
            if pdu[0] != PduType.DATA:
                self._handle(pdu)
                return True
            assembler.feed(pdu[HEADER_LENGTH:])
            if assembler.is_between_messages or wait_s == 0:
                return True

    def _deliver(self, primitive: P_DATA) -> None:
        """Give a fragment to pynetdicom's message provider."""
        with _decoding():
            self.assoc.dimse.receive_primitive(primitive)

    def _handle(self, pdu: memoryview) -> None:
        """Give `pdu` to pynetdicom's state machine."""
        if pdu[0] == PduType.ASSOCIATE_RJ:
            # Read here: peers give reasons that the standard reserves, and pynetdicom does not take them.
            self.rejection = parse_rejection(pdu)
        with _decoding():
            decoded, event = self._decode_pdu(bytearray(pdu))
            self._recv_pdu.put(decoded)
            self.event_queue.put(event)
            self._settle()
        if self.state_machine.current_state == _AWAITING_CLOSE:
            self.stop_dul()

    def _settle(self) -> None:
        """Run the state machine until nothing is left to do."""
        while not self._kill_thread:
            if self.event_queue.empty() and not self._process_recv_primitive():
                return
            self.state_machine.do_action(self.event_queue.get(block=False))

    def _lose(self) -> None:
        """Tell the state machine that the connection is gone."""
        with self.event_queue.mutex:
            self.event_queue.queue.clear()
        self.event_queue.put(_CLOSED)
        self._settle()
