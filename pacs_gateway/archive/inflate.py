"""Inflating a deflated data set (PS3.5 A.5) under limits: a few bytes may stand for very many (promises B8)."""

import zlib
from collections.abc import Iterable, Iterator

from pacs_gateway.archive.scan import Source
from pacs_gateway.errors import InvalidInstanceError

MAX_INFLATED_BYTES = 1 << 30
_MAX_INFLATION = 100
_INFLATE_FLOOR_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 20


def inflated(source: Source, start: int) -> Iterator[bytes]:
    """Yield the inflated data set of a received object, refusing what grows beyond reason."""
    pieces = (source[at : at + _CHUNK_BYTES] for at in range(start, len(source), _CHUNK_BYTES))
    return inflate(pieces, limit=inflation_limit(len(source) - start))


def inflation_limit(n_bytes: int) -> int:
    """Return how long a deflated data set of `n_bytes` may become."""
    return min(MAX_INFLATED_BYTES, max(n_bytes * _MAX_INFLATION, _INFLATE_FLOOR_BYTES))


def inflate(pieces: Iterable[bytes], *, limit: int) -> Iterator[bytes]:
    """Yield an inflated data set (PS3.5 A.5) of at most `limit` bytes, in pieces of at most 1 MiB.

    Raises
    ------
    InvalidInstanceError
        It is not deflated, has no end, or is longer.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    n_bytes = 0
    try:
        for chunk in pieces:
            # What is left behind the end of the stream (a padding byte) would be left for ever.
            while chunk and not inflater.eof:
                piece = inflater.decompress(chunk, _CHUNK_BYTES)
                chunk = inflater.unconsumed_tail
                n_bytes += len(piece)
                if n_bytes > limit:
                    raise InvalidInstanceError("not decodable: the deflated data set grows beyond its limit")
                yield piece
            if inflater.eof:
                return
    except zlib.error as error:
        raise InvalidInstanceError("not decodable: the data set is not deflated") from error
    raise InvalidInstanceError("truncated: the deflated data set has no end")
