"""Small answers are sent whole, others as they are made."""

from collections.abc import Iterator

from starlette.responses import StreamingResponse

from pacs_gateway.archive.egress import Payload
from viewer_api.dicomweb.answer import Part, single
from viewer_api.negotiation import OCTETS, Offer

_PIECE = bytes(1 << 18)


def _part(n_pieces: int, made: list[int]) -> Part:
    def pieces() -> Iterator[bytes]:
        for n in range(n_pieces):
            made.append(n)
            yield _PIECE

    return Part(Offer(OCTETS), "frames/1", Payload(pieces()))


def test_a_small_answer_is_whole_and_says_how_long_it_is() -> None:
    made: list[int] = []
    answer = single(_part(3, made))
    assert not isinstance(answer, StreamingResponse)
    assert answer.body == _PIECE * 3
    assert int(answer.headers["content-length"]) == 3 * len(_PIECE)


def test_a_large_answer_is_made_as_it_leaves() -> None:
    made: list[int] = []
    answer = single(_part(1000, made))
    assert isinstance(answer, StreamingResponse)
    assert "content-length" not in answer.headers
    assert len(made) < 10
