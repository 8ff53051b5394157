"""The client's side of DICOMweb: bodies read piece by piece, and one that does next to nothing with them."""

import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from tempfile import TemporaryFile
from typing import IO
from zipfile import ZipFile

from benchmarks.process import BenchmarkError
from pacs_gateway.dicomweb.media_type import MediaType
from pacs_gateway.dicomweb.multipart import MultipartReader, PartBegin, PartData, boundary_of

_PIECE_BYTES = 1 << 20
_PATIENCE_S = 120.0


def pieces_of(source: IO[bytes] | HTTPResponse) -> Iterator[bytes]:
    """Yield what can be read from `source`."""
    while piece := source.read(_PIECE_BYTES):
        yield piece


def bodies(response: HTTPResponse) -> Iterator[bytes]:
    """Yield the body of an answer, or of a multipart one the bodies of its parts without a border between them."""
    kind = MediaType.parse(response.headers.get("Content-Type", ""))
    if kind.essence != "multipart/related":
        yield from pieces_of(response)
        return
    reader = MultipartReader(boundary_of(kind))
    for piece in pieces_of(response):
        yield from (event.data for event in reader.feed(piece) if isinstance(event, PartData))
    reader.close()


def count_parts(response: HTTPResponse) -> int:
    """Return how many parts a multipart answer has, having read all of it."""
    reader = MultipartReader(boundary_of(MediaType.parse(response.headers.get("Content-Type", ""))))
    n_parts = sum(isinstance(event, PartBegin) for piece in pieces_of(response) for event in reader.feed(piece))
    reader.close()
    return n_parts


def count_members(response: HTTPResponse) -> int:
    """Return how many files a ZIP archive has, having read and checked all of it."""
    with TemporaryFile() as file:
        for piece in pieces_of(response):
            file.write(piece)
        with ZipFile(file) as archive:
            if (damaged := archive.testzip()) is not None:
                raise BenchmarkError(f"{damaged} in the archive is damaged")
            return len(archive.namelist())


def drain(address: tuple[str, int], path: str, accept: str) -> int:
    """Ask and throw the answer away as it comes, so that the server is what is measured; return its bytes.

    Raises
    ------
    BenchmarkError
        The answer is not 200.
    """
    host, port = address
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    buffer = bytearray(_PIECE_BYTES)
    with socket.create_connection(address, _PATIENCE_S) as connection:
        connection.sendall(request.encode("ascii"))
        n_bytes = connection.recv_into(buffer)
        status = bytes(buffer[:n_bytes]).partition(b"\r\n")[0].decode("latin-1")
        if status.split(" ")[1:2] != ["200"]:
            raise BenchmarkError(f"the answer is not 200: {status}")
        while n_received := connection.recv_into(buffer):
            n_bytes += n_received
    return n_bytes
