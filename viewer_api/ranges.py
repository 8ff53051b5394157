"""One range of something large: what a player asks for to begin in the middle (RFC 9110 14)."""

import re
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)


def ranged(
    request: Request,
    read: Callable[[int, int], Iterator[bytes]],
    *,
    size_bytes: int,
    headers: Mapping[str, str],
    media_type: str,
) -> Response:
    """Return all of something, or the range that is asked for.

    Parameters
    ----------
    read
        Returns the bytes of (offset, length) in pieces.
    headers
        Of the answer; with an ETag, the range counts only for a caller that has begun with the same.

    Notes
    -----
    Of several ranges none is given: whoever asks for them takes the whole too (RFC 9110 14.2).
    """
    told = {**headers, "Accept-Ranges": "bytes"}
    asked = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if (
        asked is None
        or not (asked[1] or asked[2])
        or request.headers.get("if-range", told.get("ETag")) != told.get("ETag")
    ):
        told["Content-Length"] = str(size_bytes)
        return StreamingResponse(read(0, size_bytes), HTTPStatus.OK, told, media_type)
    # Without a beginning it is so many bytes at the end.
    first = int(asked[1]) if asked[1] else max(size_bytes - int(asked[2]), 0)
    last = min(int(asked[2]), size_bytes - 1) if asked[1] and asked[2] else size_bytes - 1
    if first > last:
        unfit = {"Content-Range": f"bytes */{size_bytes}"}
        return Response(status_code=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=unfit)
    told |= {"Content-Range": f"bytes {first}-{last}/{size_bytes}", "Content-Length": str(last - first + 1)}
    return StreamingResponse(read(first, last - first + 1), HTTPStatus.PARTIAL_CONTENT, told, media_type)
