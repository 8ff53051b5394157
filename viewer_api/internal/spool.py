"""Entries of this node's spool for other nodes: what they would read from the object store, before it is there.

A request carries a seal (see ``storage.seal``) instead of a login. The answers 404 and 503 mean different things: 404
is only said of what is archived by now, or was never here.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from pacs_gateway.archive.nodes import SEAL_HEADER, TIME_HEADER, NodeRequest
from pacs_gateway.errors import InputError
from viewer_api.access import gateway_of

router = APIRouter(prefix="/internal", include_in_schema=False)

_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})")


@router.get("/spool/{process}/{name}")
def spool_entry(request: Request, process: str, name: str) -> Response:
    """Return a range of an entry; the request must name one."""
    nodes = gateway_of(request).archive.nodes
    asked = request.headers.get("range", "")
    sealed = NodeRequest(request.method, request.url.path, asked, request.headers.get(TIME_HEADER, ""))
    nodes.admit(sealed, request.headers.get(SEAL_HEADER, ""))
    wanted = _RANGE.fullmatch(asked)
    if wanted is None:
        raise InputError("ask for one range of bytes")
    with ExitStack() as stack:
        reader = stack.enter_context(nodes.open_here(f"{process}/{name}"))
        first, last = int(wanted[1]), min(int(wanted[2]), reader.size_bytes - 1)
        if first > last:
            headers = {"Content-Range": f"bytes */{reader.size_bytes}"}
            return Response(status_code=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=headers)
        length = last - first + 1
        pieces = _pieces(stack.pop_all(), reader.stream(first, length))
    headers = {"Content-Range": f"bytes {first}-{last}/{reader.size_bytes}", "Content-Length": str(length)}
    return StreamingResponse(_begun(pieces), HTTPStatus.PARTIAL_CONTENT, headers, "application/octet-stream")


def _pieces(opened: ExitStack, pieces: Iterator[bytes]) -> Iterator[bytes]:
    with opened:
        yield from pieces


def _begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Return the same pieces with the first one read: a file that cannot be read still gets a status."""
    first = next(pieces)

    def all_pieces() -> Iterator[bytes]:
        yield first
        yield from pieces

    return all_pieces()
