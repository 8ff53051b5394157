"""Inflating a deflated data set (PS3.5 A.5) under limits: a few bytes may stand for very many (promises B8)."""

import zlib
from collections.abc import Iterator

from pacs_gateway.archive.scan import Source
from pacs_gateway.errors import InvalidInstanceError

_MAX_INFLATED_BYTES = 1 << 30
_MAX_INFLATION = 100
_INFLATE_FLOOR_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 20


def inflated(source: Source, start: int) -> Iterator[bytes]:
    """Yield the inflated data set (PS3.5 A.5), refusing what grows beyond reason."""
    limit = min(_MAX_INFLATED_BYTES, max((len(source) - start) * _MAX_INFLATION, _INFLATE_FLOOR_BYTES))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    position, n_bytes = start, 0
    try:
        while not inflater.eof and (chunk := source[position : position + _CHUNK_BYTES]):
            position += len(chunk)
            # What is left behind the end of the stream (a padding byte) would be left for ever.
            while chunk and not inflater.eof:
                piece = inflater.decompress(chunk, _CHUNK_BYTES)
                chunk = inflater.unconsumed_tail
                n_bytes += len(piece)
                if n_bytes > limit:
                    raise InvalidInstanceError("not decodable: the deflated data set grows beyond its limit")
                yield piece
    except zlib.error as error:
        raise InvalidInstanceError("not decodable: the data set is not deflated") from error
    if not inflater.eof:
        raise InvalidInstanceError("truncated: the deflated data set has no end")
