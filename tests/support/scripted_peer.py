"""A peer that says exactly the bytes it is told to: for everything a well-behaved one would never send."""

import socket
import struct
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

VERIFICATION = "1.2.840.10008.1.1"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"


def pdu(kind: int, payload: bytes, *, length: int | None = None) -> bytes:
    """Return a PDU; `length` is what its header claims instead of the truth."""
    return struct.pack(">BBL", kind, 0, len(payload) if length is None else length) + payload


def item(kind: int, payload: bytes) -> bytes:
    """Return an item of an A-ASSOCIATE PDU (PS3.8 9.3.2)."""
    return struct.pack(">BBH", kind, 0, len(payload)) + payload


def title(text: str | bytes) -> bytes:
    """Return an AE title padded to its 16 bytes."""
    return (text.encode() if isinstance(text, str) else text).ljust(16)[:16]


def context(context_id: int, abstract: str, transfers: Iterable[str] = (IMPLICIT,)) -> bytes:
    """Return a proposed presentation context (PS3.8 9.3.2.2)."""
    syntaxes = b"".join(item(0x40, uid.encode()) for uid in transfers)
    return item(0x20, bytes([context_id, 0, 0, 0]) + item(0x30, abstract.encode()) + syntaxes)


def user_information(max_length: int = 16384, extra: bytes = b"") -> bytes:
    """Return the user information item (PS3.7 D.3.3)."""
    return item(0x50, item(0x51, struct.pack(">L", max_length)) + item(0x52, b"1.2.3.4") + extra)


def role(uid: str, *, scu: bool, scp: bool) -> bytes:
    """Return a role selection sub-item (PS3.7 D.3.3.4)."""
    return item(0x54, struct.pack(">H", len(uid)) + uid.encode() + bytes([scu, scp]))


def associate_rq(
    contexts: Sequence[bytes] = (context(1, VERIFICATION), context(3, CT_IMAGE)),
    *,
    calling: str | bytes = "SCRIPTED",
    called: str | bytes = "PACSGW",
    version: int = 1,
    user: bytes | None = None,
    application: str = APPLICATION_CONTEXT,
) -> bytes:
    """Return an A-ASSOCIATE-RQ (PS3.8 9.3.2)."""
    head = struct.pack(">HH", version, 0) + title(called) + title(calling) + bytes(32)
    body = item(0x10, application.encode()) + b"".join(contexts) + (user or user_information())
    return pdu(1, head + body)


def pdv(context_id: int, control: int, fragment: bytes, *, length: int | None = None) -> bytes:
    """Return a presentation data value item (PS3.8 9.3.5.1); `length` is what it claims."""
    claimed = len(fragment) + 2 if length is None else length
    return struct.pack(">LBB", claimed, context_id, control) + fragment


def p_data(*pdvs: bytes) -> bytes:
    """Return a P-DATA-TF."""
    return pdu(4, b"".join(pdvs))


def element(number: int, value: bytes) -> bytes:
    """Return an element of a command set: implicit little endian, group 0000."""
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHL", 0, number, len(value)) + value


def us(number: int, value: int) -> bytes:
    """Return an unsigned short element of a command set."""
    return element(number, struct.pack("<H", value))


def command(*elements: bytes) -> bytes:
    """Return a command set with its group length."""
    body = b"".join(elements)
    return element(0, struct.pack("<L", len(body))) + body


def echo_rq(message_id: int = 1) -> bytes:
    """Return the command set of a C-ECHO-RQ."""
    return command(element(2, VERIFICATION.encode()), us(0x100, 0x30), us(0x110, message_id), us(0x800, 0x101))


def store_rq(
    uid: str = "1.2.3.4.5", *, message_id: int = 1, sop_class: str = CT_IMAGE, data_set_type: int = 1
) -> bytes:
    """Return the command set of a C-STORE-RQ."""
    return command(
        element(2, sop_class.encode()),
        us(0x100, 1),
        us(0x110, message_id),
        us(0x700, 0),
        us(0x800, data_set_type),
        element(0x1000, uid.encode()),
    )


def parse_command(encoded: bytes) -> dict[int, bytes]:
    """Return the elements of a command set by number."""
    elements, offset = {}, 0
    while offset < len(encoded):
        _, number, length = struct.unpack_from("<HHL", encoded, offset)
        elements[number] = encoded[offset + 8 : offset + 8 + length]
        offset += 8 + length
    return elements


class ScriptedPeer:
    """One connection to a listener; every wait has a deadline."""

    def __init__(self, port: int, *, timeout_s: float = 10.0, source: str = "127.0.0.1") -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout_s, source_address=(source, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sock.close()

    def send(self, *parts: bytes) -> None:
        self.sock.sendall(b"".join(parts))

    def receive_pdu(self) -> bytes:
        """Return the next PDU, or nothing when the listener has closed."""
        header = self._receive(6)
        if len(header) < 6:
            return b""
        return header + self._receive(struct.unpack(">L", header[2:])[0])

    def receive_status(self) -> tuple[int, dict[int, bytes]]:
        """Return status and elements of the next response."""
        encoded = b""
        while True:
            answer = self.receive_pdu()
            assert answer[:1] == b"\x04", f"expected P-DATA-TF, got {answer[:10]!r}"
            encoded += answer[12:]
            if answer[11] & 2:
                elements = parse_command(encoded)
                return struct.unpack("<H", elements[0x900])[0], elements

    def associate(self, *contexts: bytes, **options: object) -> bytes:
        """Ask for an association and return the A-ASSOCIATE-AC."""
        self.send(associate_rq(contexts, **options) if contexts else associate_rq(**options))  # type: ignore[arg-type]
        answer = self.receive_pdu()
        assert answer[:1] == b"\x02", f"expected A-ASSOCIATE-AC, got {answer[:10]!r}"
        return answer

    def is_closed(self) -> bool:
        """Read until the listener closes; False when it has not within the time-out."""
        try:
            while self.sock.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def _receive(self, n_bytes: int) -> bytes:
        data = bytearray()
        try:
            while len(data) < n_bytes and (chunk := self.sock.recv(n_bytes - len(data))):
                data += chunk
        except ConnectionResetError:
            pass
        return bytes(data)


def context_results(accept: bytes) -> dict[int, tuple[int, str]]:
    """Return (result, transfer syntax) by context ID of an A-ASSOCIATE-AC (PS3.8 9.3.3.2)."""
    results, offset = {}, 74
    while offset < len(accept):
        kind, _, length = struct.unpack_from(">BBH", accept, offset)
        if kind == 0x21:
            body = accept[offset + 4 : offset + 4 + length]
            results[body[0]] = (body[2], body[8:].decode())
        offset += 4 + length
    return results
