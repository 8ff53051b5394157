"""A peer that is called and answers exactly the bytes it is told to: for what no well-behaved destination would do."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from tests.support.scripted_peer import (
    APPLICATION_CONTEXT,
    ScriptedPeer,
    command,
    element,
    item,
    p_data,
    parse_command,
    pdu,
    pdv,
    title,
    us,
    user_information,
)

COMMAND, LAST = 1, 2
MESSAGE_ID = 0x110


def context_answer(context_id: int, syntax: str, result: int = 0) -> bytes:
    """Return the answer to a proposed presentation context (PS3.8 9.3.3.2)."""
    return item(0x21, bytes([context_id, 0, result, 0]) + item(0x40, syntax.encode()))


def associate_ac(*answers: bytes, user: bytes | None = None) -> bytes:
    """Return an A-ASSOCIATE-AC (PS3.8 9.3.3)."""
    head = struct.pack(">HH", 1, 0) + title("PEER") + title("PACSGW") + bytes(32)
    return pdu(2, head + item(0x10, APPLICATION_CONTEXT.encode()) + b"".join(answers) + (user or user_information()))


def associate_rj(result: int, source: int, reason: int) -> bytes:
    """Return an A-ASSOCIATE-RJ (PS3.8 9.3.4)."""
    return pdu(3, bytes([0, result, source, reason]))


class CalledPeer(ScriptedPeer):
    """The called end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(30)
        self.sock = sock

    def accept(self, answers: Mapping[int, str], *, max_length: int = 16384) -> bytes:
        """Read the A-ASSOCIATE-RQ, accept contexts by ID in a transfer syntax each, and return the request."""
        request = self.receive_pdu()
        replies = [context_answer(context_id, syntax) for context_id, syntax in answers.items()]
        self.send(associate_ac(*replies, user=user_information(max_length)))
        return request

    def receive_message(self) -> tuple[dict[int, bytes], bytes, list[int]]:
        """Return elements of the command set, data set, and the lengths of the PDUs of the next message."""
        parts = {COMMAND: bytearray(), 0: bytearray()}
        lengths = []
        while True:
            received = self.receive_pdu()
            assert received[:1] == b"\x04", f"expected P-DATA-TF, got {received[:10]!r}"
            lengths.append(len(received) - 6)
            control, kind = received[11], received[11] & COMMAND
            parts[kind] += received[12:]
            if not control & LAST:
                continue
            elements = parse_command(bytes(parts[COMMAND]))
            if not kind or elements[0x800] == b"\x01\x01":
                return elements, bytes(parts[0]), lengths

    def answer_store(
        self, request: Mapping[int, bytes], status: int = 0, *, context_id: int = 1, off_by: int = 0
    ) -> None:
        """Answer a C-STORE-RQ, to a message ID `off_by` from its own."""
        (message_id,) = struct.unpack("<H", request[MESSAGE_ID])
        self.send(p_data(pdv(context_id, COMMAND | LAST, store_rsp(message_id + off_by, status))))

    def drain(self) -> int:
        """Read until the caller closes; return how many bytes came."""
        n_bytes = 0
        try:
            while chunk := self.sock.recv(1 << 16):
                n_bytes += len(chunk)
        except ConnectionResetError:
            pass
        return n_bytes

    def release(self) -> None:
        """Read the A-RELEASE-RQ and answer it."""
        assert self.receive_pdu()[:1] == b"\x05"
        self.send(pdu(6, bytes(4)))


def store_rsp(message_id: int, status: int = 0) -> bytes:
    """Return the command set of a C-STORE-RSP."""
    return command(us(0x100, 0x8001), us(0x120, message_id), us(0x800, 0x101), us(0x900, status))


def find_rsp(message_id: int, status: int, *, has_data_set: bool) -> bytes:
    """Return the command set of a C-FIND-RSP."""
    kind = 1 if has_data_set else 0x101
    return command(
        element(2, b"1.2.840.10008.5.1.4.1.2.2.1"),
        us(0x100, 0x8020),
        us(0x120, message_id),
        us(0x800, kind),
        us(0x900, status),
    )


@contextmanager
def called_peer(script: Callable[[CalledPeer], None], *, family: int = socket.AF_INET) -> Iterator[int]:
    """Run `script` with each connection that comes, in threads; yield the port. What a script raises fails the test."""
    failures: list[BaseException] = []
    threads: list[threading.Thread] = []

    def run(sock: socket.socket) -> None:
        try:
            with CalledPeer(sock) as peer:
                script(peer)
        except BaseException as error:
            failures.append(error)

    def listen() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=run, args=(sock,)))
            threads[-1].start()

    address = ("::1" if family == socket.AF_INET6 else "127.0.0.1", 0)
    with socket.create_server(address, family=family) as listener:
        listening = threading.Thread(target=listen)
        listening.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listening.join(10)
            for thread in threads:
                thread.join(60)
    assert not failures, failures
