"""The client of P5, a process of its own: asks over kept connections, and says how long each answer took.

Reads a job as JSON from standard input and writes what it found out to standard output.
"""

import json
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

from pacs_gateway.dimse.command import C_FIND_RQ, Field
from pacs_gateway.dimse.config import DimseConfig
from pacs_gateway.dimse.negotiation import MESSAGE_SYNTAXES, STUDY_ROOT_FIND
from pacs_gateway.dimse.scu.requestor import Proposal, Remote, RequestedAssociation, associate
from pacs_gateway.domain.levels import Level
from pacs_gateway.peers.dicom_peer import encode_query

HOST = "127.0.0.1"
_PATIENCE_S = 120.0
_END_OF_HEAD = b"\r\n\r\n"


class _Asking(Protocol):
    def __call__(self, query: str) -> int:
        """Ask and return how much was found, as far as can be told cheaply."""


@contextmanager
def _over_http(port: int, token: str) -> Iterator[_Asking]:
    with socket.create_connection((HOST, port), _PATIENCE_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""

        def ask(query: str) -> int:
            head = f"GET /dicom-web/studies?{query} HTTP/1.1\r\nHost: {HOST}:{port}\r\n"
            connection.sendall(f"{head}Accept: application/dicom+json\r\n{authorization}\r\n".encode("ascii"))
            return len(_answer(connection))

        yield ask


def _answer(connection: socket.socket) -> bytes:
    received = b""
    while _END_OF_HEAD not in received:
        received += _some(connection)
    head, _, body = received.partition(_END_OF_HEAD)
    status, *lines = head.decode("latin-1").split("\r\n")
    if status.split(" ")[1] not in ("200", "204"):
        raise SystemExit(f"answered: {status}")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        while not body.endswith(b"0\r\n\r\n"):
            body += _some(connection)
        return body
    pieces, n_missing = [body], int(headers.get("content-length", "0")) - len(body)
    while n_missing > 0:
        pieces.append(_some(connection))
        n_missing -= len(pieces[-1])
    return b"".join(pieces)


def _some(connection: socket.socket) -> bytes:
    received = connection.recv(1 << 18)
    if not received:
        raise SystemExit("the server closed the connection")
    return received


@contextmanager
def _over_dimse(port: int) -> Iterator[_Asking]:
    remote = Remote("PACSGW", HOST, port, "BENCHMARK")
    with associate(
        remote, [Proposal(STUDY_ROOT_FIND, tuple(MESSAGE_SYNTAXES))], DimseConfig(ae_titles=("BENCHMARK",))
    ) as association:
        syntax = association.contexts[association.context_id(STUDY_ROOT_FIND)].transfer_syntax

        def ask(query: str) -> int:
            keys = {int(tag, 16): text for tag, text in json.loads(query).items()}
            return _find(association, encode_query(Level.STUDY, keys, syntax))

        yield ask


def _find(association: RequestedAssociation, identifier: bytes) -> int:
    elements: dict[Field, int | str] = {Field.AFFECTED_SOP_CLASS_UID: STUDY_ROOT_FIND, Field.PRIORITY: 0}
    responses = association.ask(STUDY_ROOT_FIND, C_FIND_RQ, elements, identifier)
    return sum(1 for _ in responses)


def _times(job: dict[str, object], queries: Sequence[str]) -> list[float]:
    port, token, kind = int(str(job["port"])), str(job["token"]), job["kind"]
    times = []
    with _over_http(port, token) if kind == "http" else _over_dimse(port) as ask:
        for query in queries:
            began = time.perf_counter()
            ask(query)
            times.append(time.perf_counter() - began)
    return times


def main() -> None:
    """Do one job: every query once by one client, then all of them shared out among several."""
    job = json.load(sys.stdin)
    queries, n_clients = job["queries"], job["n_clients"]
    _times(job, queries[: job["n_warm"]])
    alone = _times(job, queries)
    with ThreadPoolExecutor(n_clients) as pool:
        began = time.perf_counter()
        list(pool.map(lambda n: _times(job, queries[n::n_clients]), range(n_clients)))
        together_s = time.perf_counter() - began
    json.dump({"times": alone, "each_s": together_s / len(queries)}, sys.stdout)


if __name__ == "__main__":
    main()
