import hashlib
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError

from pacs_gateway.errors import IntegrityError
from pacs_gateway.storage.s3_content import PART_SIZE, Body, Budget, measure
from tests.support.waiting import wait_until

DATA = bytes(range(256)) * 40


def md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


@pytest.mark.parametrize("size", [0, 1, PART_SIZE - 1, PART_SIZE])
def test_the_tag_of_one_piece_is_its_md5(size: int) -> None:
    data = secrets.token_bytes(size)
    content = measure(BytesIO(data))
    assert (content.size_bytes, content.etag) == (size, md5(data).hex())
    assert content.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("size", [PART_SIZE + 1, 2 * PART_SIZE, 2 * PART_SIZE + 1])
def test_the_tag_of_parts_is_the_md5_of_their_md5s(size: int) -> None:
    data = secrets.token_bytes(size)
    parts = [md5(data[start : start + PART_SIZE]) for start in range(0, size, PART_SIZE)]
    content = measure(BytesIO(data))
    assert content.etag == f"{md5(b''.join(parts)).hex()}-{len(parts)}"
    assert content.sha256 == hashlib.sha256(data).hexdigest()


def test_no_more_is_held_than_the_budget_has() -> None:
    budget, lock = Budget(10), threading.Lock()
    held, most = 0, 0

    def work(size: int) -> None:
        nonlocal held, most
        with budget.claim(size):
            with lock:
                held += min(size, 10)
                most = max(most, held)
            with lock:
                held -= min(size, 10)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [1, 5, 10, 20, 3, 7] * 50))
    assert most <= 10
    assert held == 0


def test_a_claim_waits_for_its_room() -> None:
    budget, got = Budget(10), threading.Event()

    def claim() -> None:
        with budget.claim(6):
            got.set()

    with budget.claim(6):
        thread = threading.Thread(target=claim)
        thread.start()
        assert not got.wait(0.1)
    wait_until(got.is_set, 20, "the room")
    thread.join(20)


class Server:
    """Answers ranges of DATA; each answer breaks off after so many bytes as it is told, the last ones never."""

    def __init__(self, *lengths: int) -> None:
        self.lengths = list(lengths)
        self.asked: list[tuple[int, int]] = []

    def answer(self, offset: int, length: int) -> HTTPResponse:
        self.asked.append((offset, length))
        n_sent = min(length, self.lengths.pop(0) if self.lengths else length)
        return HTTPResponse(
            BytesIO(DATA[offset : offset + n_sent]),
            headers={"content-length": str(length)},
            status=206,
            preload_content=False,
            enforce_content_length=False,
        )


@given(
    breaks=st.lists(st.integers(1, 3000), max_size=20),
    offset=st.integers(0, 5000),
    chunk=st.integers(1, 5000),
)
def test_a_broken_body_goes_on_where_it_broke(breaks: list[int], offset: int, chunk: int) -> None:
    server = Server(*breaks)
    length = len(DATA) - offset
    body = Body(server.answer, offset, length)
    pieces = []
    try:
        for start in range(0, length, chunk):
            pieces.append(body.read(min(chunk, length - start)))
    except HTTPError:
        assert len(server.asked) > 5  # it breaks again and again: somebody else's decision
    else:
        assert b"".join(pieces) == DATA[offset:]
    assert all(at + n == len(DATA) for at, n in server.asked)


def test_no_more_is_read_than_the_range_has() -> None:
    body = Body(Server().answer, 0, 10)
    assert body.read(10) == DATA[:10]
    with pytest.raises(IntegrityError):
        body.read(1)


def test_a_body_that_gives_nothing_is_given_up() -> None:
    server = Server(*[0] * 100)
    with pytest.raises(HTTPError):
        Body(server.answer, 0, 10).read(10)
    assert len(server.asked) == 6
