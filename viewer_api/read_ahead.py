"""Long answers: made in a thread, a burst ahead of the network, so that reading and sending go on at the same time.

A change of threads for every piece costs as much as the piece; here one brings several. Between bursts nobody's thread
is held: a caller who reads slowly, or not at all, costs two bursts of memory.
"""

import asyncio
from collections.abc import Iterator, Mapping

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_BURST_BYTES = 4 << 20
# What is shorter is joined with what comes before: each piece is a message of its own through all layers.
_SMALL_BYTES = 64 << 10


class ReadAheadResponse(Response):
    """An answer whose content comes from an iterator that blocks."""

    def __init__(self, pieces: Iterator[bytes], headers: Mapping[str, str]) -> None:
        self._pieces = pieces
        self.status_code = 200
        self.background = None
        self.init_headers(headers)

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer; stop where the caller is gone."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        gone = asyncio.ensure_future(_gone(receive))
        coming = asyncio.ensure_future(run_in_threadpool(_burst, self._pieces))
        try:
            while burst := await coming:
                coming = asyncio.ensure_future(run_in_threadpool(_burst, self._pieces))
                for piece in burst:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                if gone.done():
                    return
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            # The iterator is in use until then, and closes what it has open after.
            await asyncio.wait([coming])
            if not coming.cancelled():
                coming.exception()  # told before, or nobody is there to be told
            if close := getattr(self._pieces, "close", None):
                await run_in_threadpool(close)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _burst(pieces: Iterator[bytes]) -> list[bytes]:
    """Return the next pieces, none at the end."""
    burst: list[bytes] = []
    small: list[bytes] = []
    n_bytes = 0
    for piece in pieces:
        n_bytes += len(piece)
        if len(piece) < _SMALL_BYTES:
            small.append(piece)
        else:
            burst += (b"".join(small), piece) if small else (piece,)
            small = []
        if n_bytes >= _BURST_BYTES:
            break
    if small:
        burst.append(b"".join(small))
    return burst
