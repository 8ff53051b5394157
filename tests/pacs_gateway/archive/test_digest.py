"""The digest computed beside receiving is that of the bytes in their order, however they come."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from pacs_gateway.archive.digest import BackgroundDigest

BLOCK = bytes(range(256)) * 1024


@given(sizes=st.lists(st.integers(0, 3 * len(BLOCK)), max_size=12), handovers=st.sets(st.integers(0, 11)))
def test_it_is_the_digest_of_everything_in_order(sizes: list[int], handovers: set[int]) -> None:
    expected = hashlib.sha256()
    with ThreadPoolExecutor(2) as pool:
        digest = BackgroundDigest(pool)
        for n, size in enumerate(sizes):
            piece = (BLOCK * 3)[n : n + size]
            expected.update(piece)
            digest.update(memoryview(piece))
            if n in handovers:
                digest.hand_over()

        assert digest.hexdigest() == expected.hexdigest()


def test_a_piece_may_be_overwritten_once_it_was_given() -> None:
    buffer = bytearray(b"a" * len(BLOCK))
    with ThreadPoolExecutor(1) as pool:
        digest = BackgroundDigest(pool)
        digest.update(memoryview(buffer))
        digest.hand_over()
        buffer[:] = b"b" * len(BLOCK)

        assert digest.hexdigest() == hashlib.sha256(b"a" * len(BLOCK)).hexdigest()
