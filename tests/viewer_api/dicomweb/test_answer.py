"""How answers are cut into the pieces that are sent."""

import asyncio
from itertools import pairwise

from starlette.responses import StreamingResponse

from pacs_gateway.archive.egress import Payload
from viewer_api.dicomweb.answer import Part, single
from viewer_api.negotiation import OCTETS, Offer


def sent(pieces: list[bytes]) -> list[bytes]:
    answer = single(Part(Offer(OCTETS), "here", Payload(iter(pieces))))
    assert isinstance(answer, StreamingResponse)

    async def collect() -> list[bytes]:
        return [bytes(piece) async for piece in answer.body_iterator if not isinstance(piece, str)]

    return asyncio.run(collect())


def test_small_pieces_are_sent_together_and_large_ones_as_they_are() -> None:
    small = [bytes([n % 256]) * 300_000 for n in range(20)]

    together = sent(small)

    assert b"".join(together) == b"".join(small)
    assert all(one + other > 1 << 20 for one, other in pairwise(map(len, together)))
    assert max(map(len, together)) < (1 << 20) + 300_000
    assert sent([b"head", b"", bytes(2 << 20)]) == [b"head" + bytes(2 << 20)]
    assert sent([bytes(2 << 20), b"end"]) == [bytes(2 << 20), b"end"]
    assert sent([]) == []
