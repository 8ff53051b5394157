"""Inflating ends: at the end of the stream, whatever stands behind it."""

import zlib

import numpy as np
import pytest

from pacs_gateway.archive.inflate import inflated
from pacs_gateway.errors import InvalidInstanceError

_NOISE = np.random.default_rng(1).integers(0, 4, 3 << 20, dtype=np.uint8).tobytes()


def deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


@pytest.mark.parametrize("behind", [b"", b"\0", bytes(100)])
@pytest.mark.parametrize("n_bytes", [0, 1, 1 << 20, (1 << 20) + 1, len(_NOISE)])
def test_what_stands_behind_the_end_is_left(n_bytes: int, behind: bytes) -> None:
    data = _NOISE[:n_bytes]

    assert b"".join(inflated(b"head" + deflate(data) + behind, 4)) == data


def test_a_stream_without_an_end_is_refused() -> None:
    with pytest.raises(InvalidInstanceError, match="truncated"):
        list(inflated(deflate(_NOISE)[:-10], 0))
