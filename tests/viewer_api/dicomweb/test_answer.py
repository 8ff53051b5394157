"""How answers are cut into the pieces that are sent."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from pacs_gateway.archive.egress import Payload
from viewer_api.dicomweb.answer import Part, gathered, single
from viewer_api.negotiation import OCTETS, Offer
from viewer_api.read_ahead import ReadAheadResponse


def sent(pieces: list[bytes]) -> list[bytes]:
    return list(gathered(iter(pieces)))


def test_small_pieces_are_sent_together_and_large_ones_as_they_are() -> None:
    small = [bytes([n % 256]) * 300_000 for n in range(20)]

    together = sent(small)

    assert b"".join(together) == b"".join(small)
    assert all(one + other > 1 << 20 for one, other in pairwise(map(len, together)))
    assert max(map(len, together)) < (1 << 20) + 300_000
    assert sent([b"head", b"", bytes(2 << 20)]) == [b"head" + bytes(2 << 20)]
    assert sent([bytes(2 << 20), b"end"]) == [bytes(2 << 20), b"end"]


@pytest.mark.parametrize("pieces", [[], [b"small"], [bytes(300_000), bytes(300_000)]])
def test_a_small_answer_is_sent_at_once_and_says_how_long_it_is(pieces: list[bytes]) -> None:
    answer = single(Part(Offer(OCTETS), "here", Payload(iter(pieces))))
    assert not isinstance(answer, ReadAheadResponse)
    assert answer.body == b"".join(pieces)
    assert int(answer.headers["content-length"]) == sum(map(len, pieces))


def test_a_large_answer_is_made_as_it_leaves() -> None:
    made: list[int] = []

    def pieces() -> Iterator[bytes]:
        for n in range(1000):
            made.append(n)
            yield bytes(300_000)

    answer = single(Part(Offer(OCTETS), "here", Payload(pieces())))
    assert "content-length" not in answer.headers
    assert len(made) < 10
