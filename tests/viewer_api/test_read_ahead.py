"""Answers that are made a burst ahead: whole, in order, no further ahead than that, and ended with their caller."""

import asyncio
from collections.abc import Iterator

import pytest
from starlette.types import Message

from pacs_gateway.errors import UnavailableError
from viewer_api.read_ahead import ReadAheadResponse

PIECE = bytes(1 << 20)


class Caller:
    """The other end of an answer."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.is_complete = False
        self.may_send = asyncio.Event()
        self.gone = asyncio.Event()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            await self.may_send.wait()
            self.received.append(message["body"])
            self.is_complete = not message["more_body"]


class Source:
    """Pieces that are counted as they are made."""

    def __init__(self, pieces: list[bytes | Exception]) -> None:
        self.pieces = pieces
        self.n_made = 0
        self.is_closed = False

    def make(self) -> Iterator[bytes]:
        try:
            for piece in self.pieces:
                if isinstance(piece, Exception):
                    raise piece
                self.n_made += 1
                yield piece
        finally:
            self.is_closed = True


def answer(source: Source, caller: Caller) -> "asyncio.Task[None]":
    response = ReadAheadResponse(source.make(), headers={"Content-Type": "x/y"})
    return asyncio.ensure_future(response({"type": "http"}, caller.receive, caller.send))


def test_it_is_whole_and_in_order_and_small_pieces_go_together() -> None:
    async def run() -> None:
        caller, source = Caller(), Source([b"a", b"b", PIECE, b"c", b"d"] * 9)
        caller.may_send.set()
        await answer(source, caller)
        assert b"".join(caller.received) == (b"ab" + PIECE + b"cd") * 9
        assert (caller.is_complete, source.is_closed) == (True, True)
        assert len(caller.received) < 30

    asyncio.run(run())


def test_a_caller_who_does_not_read_costs_two_bursts() -> None:
    async def run() -> None:
        caller, source = Caller(), Source([PIECE] * 100)
        task = answer(source, caller)
        deadline = asyncio.get_running_loop().time() + 30
        while source.n_made < 8 and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        assert source.n_made == 8
        caller.may_send.set()
        await task
        assert len(b"".join(caller.received)) == 100 << 20

    asyncio.run(run())


def test_it_ends_when_the_caller_is_gone() -> None:
    async def run() -> None:
        caller, source = Caller(), Source([PIECE] * 10_000)
        caller.may_send.set()
        caller.gone.set()
        await answer(source, caller)
        assert source.n_made < 100
        assert (caller.is_complete, source.is_closed) == (False, True)

    asyncio.run(run())


def test_what_fails_on_the_way_is_no_complete_answer() -> None:
    async def run() -> None:
        caller, source = Caller(), Source([PIECE, PIECE, UnavailableError("away")])
        caller.may_send.set()
        with pytest.raises(UnavailableError):
            await answer(source, caller)
        assert (caller.is_complete, source.is_closed) == (False, True)

    asyncio.run(run())


def test_it_stops_where_sending_fails() -> None:
    async def run() -> None:
        caller, source = Caller(), Source([PIECE] * 50)

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            await ReadAheadResponse(source.make(), {})({"type": "http"}, caller.receive, send)
        assert source.is_closed

    asyncio.run(run())
