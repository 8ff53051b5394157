"""The multipart reader: honest bodies, hostile ones, and agreement with the standard library's e-mail parser."""

import email
import email.policy
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_gateway.dicomweb import multipart
from pacs_gateway.dicomweb.media_type import MediaType
from pacs_gateway.dicomweb.multipart import Limits, MultipartReader, PartBegin, PartData
from pacs_gateway.errors import InvalidMessageError

Part = tuple[Mapping[str, str], bytes]


def _read(body: bytes, *, boundary: str = "b", step: int = 0, limits: Limits | None = None) -> list[Part]:
    reader = MultipartReader(boundary, limits=limits)
    parts: list[tuple[Mapping[str, str], bytearray]] = []
    step = step or len(body) or 1
    for begin in range(0, len(body), step):
        for event in reader.feed(body[begin : begin + step]):
            if isinstance(event, PartBegin):
                parts.append((event.headers, bytearray()))
            elif isinstance(event, PartData):
                parts[-1][1].extend(event.data)
    reader.close()
    return [(headers, bytes(content)) for headers, content in parts]


def _write(parts: list[Part], boundary: str = "b") -> bytes:
    return b"".join(
        [
            *(multipart.part_header(boundary, headers) + content for headers, content in parts),
            multipart.closing(boundary),
        ]
    )


_contents = st.one_of(
    st.binary(max_size=300),
    # Contents made of what delimiters are made of find more than random bytes do.
    st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--", b"b", b"bo", b"\r\n--", b"\r\n--bx", b" "]), max_size=30).map(
        b"".join
    ),
)


@given(st.lists(_contents, max_size=6), st.integers(1, 40))
def test_what_was_written_is_read_back_whatever_the_pieces(contents: list[bytes], step: int) -> None:
    boundary = "boundary7"
    parts: list[Part] = [({"content-type": "application/dicom"}, content) for content in contents]
    assert _read(_write(parts, boundary), boundary=boundary, step=step) == parts


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters="\r\n\x00", min_codepoint=32), max_size=40)))
def test_agrees_with_the_standard_librarys_parser(contents: list[str]) -> None:
    parts: list[Part] = [
        ({"Content-Type": "text/plain", "X-Number": str(n)}, c.encode()) for n, c in enumerate(contents)
    ]
    body = _write(parts, "zz")
    message = email.message_from_bytes(
        b'Content-Type: multipart/related; boundary="zz"\r\n\r\n' + body, policy=email.policy.HTTP
    )
    theirs = [(part["X-Number"], part.get_payload(decode=True)) for part in message.walk() if not part.is_multipart()]
    ours = [(headers["x-number"], content) for headers, content in _read(body, boundary="zz", step=7)]
    assert ours == (theirs if contents else [])


@given(st.binary(max_size=400), st.integers(1, 50))
def test_random_bytes_are_read_or_refused(body: bytes, step: int) -> None:
    try:
        _read(b"--b\r\n" + body, step=step)
    except InvalidMessageError:
        return


def test_preamble_and_epilogue_are_skipped() -> None:
    assert _read(b"hello\r\n--b\r\n\r\nx\r\n--b--\r\nbye\r\n--b\r\n") == [({}, b"x")]


def test_the_last_line_end_may_be_missing() -> None:
    assert _read(b"--b\r\nA: 1\r\n\r\nx\r\n--b--") == [({"a": "1"}, b"x")]


def test_padding_after_a_delimiter_is_skipped() -> None:
    assert _read(b"--b  \t\r\n\r\nx\r\n--b \r\n\r\ny\r\n--b--\r\n", step=3) == [({}, b"x"), ({}, b"y")]


def test_a_longer_word_that_starts_like_the_delimiter_is_content() -> None:
    assert _read(b"--b\r\n\r\nx\r\n--bc\r\ny\r\n--b--", step=1) == [({}, b"x\r\n--bc\r\ny")]


def test_a_part_without_content_is_empty() -> None:
    assert _read(b"--b\r\nA: 1\r\n\r\n--b--", step=1) == [({"a": "1"}, b"")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b",
        b"--b\r\n",
        b"--b\r\nA: 1\r\n\r\ndata",
        b"--b\r\nA: 1\r\n\r\ndata\r\n--",
        b"--b\nA: 1\n\ndata\n--b--\n",
        b"--c\r\n\r\nx\r\n--c--\r\n",
        b"--b\r\nno colon\r\n\r\nx\r\n--b--",
        b"--b\r\n folded: 1\r\n\r\nx\r\n--b--",
        b"--b\r\nA: 1\r\n continued\r\n\r\nx\r\n--b--",
        b"--b\r\nA : 1\r\n\r\nx\r\n--b--",
        b"--b\r\nA: 1\r\na: 2\r\n\r\nx\r\n--b--",
        b"--b\r\nA: \x00\r\n\r\nx\r\n--b--",
        b"--b\r\nA: 1\rB: 2\r\n\r\nx\r\n--b--",
        b"p" * 9000 + b"\r\n--b\r\n\r\nx\r\n--b--",
        b"--b\r\n" + b"".join(b"H%d: 1\r\n" % n for n in range(33)) + b"\r\nx\r\n--b--",
        b"--b\r\nA: " + b"1" * 8192 + b"\r\n\r\nx\r\n--b--",
        b"--b\r\nA: " + b"1" * 100_000,
    ],
)
@pytest.mark.parametrize("step", [0, 1000])
def test_broken_framing_is_refused(body: bytes, step: int) -> None:
    with pytest.raises(InvalidMessageError):
        _read(body, step=step)


def test_more_parts_than_allowed_are_refused() -> None:
    body = b"--b\r\n\r\nx\r\n" * 4 + b"--b--"
    assert len(_read(body, limits=Limits(parts=4))) == 4
    with pytest.raises(multipart.MessageTooLargeError):
        _read(body, limits=Limits(parts=3))


def test_a_body_larger_than_allowed_is_refused() -> None:
    with pytest.raises(multipart.MessageTooLargeError):
        _read(b"--b\r\n\r\n" + b"x" * 100 + b"\r\n--b--", limits=Limits(body_bytes=100))


def test_memory_stays_flat_whatever_the_parts_size() -> None:
    reader = MultipartReader("b")
    list(reader.feed(b"--b\r\n\r\n"))
    piece = b"\r\n--" * 16_384
    for _ in range(64):
        assert sum(len(event.data) for event in reader.feed(piece) if isinstance(event, PartData)) >= len(piece) - 8


@pytest.mark.parametrize("boundary", ["", "x" * 71, "a\r\nb", "ends with space ", "öl", 'quote"d'])
def test_boundaries_that_are_not_allowed_are_refused(boundary: str) -> None:
    with pytest.raises(InvalidMessageError):
        multipart.boundary_of(MediaType("multipart", "related", {"boundary": boundary}))


def test_boundaries_are_never_the_same_twice() -> None:
    assert len({multipart.new_boundary() for _ in range(100)}) == 100
    assert multipart.boundary_of(MediaType("multipart", "related", {"boundary": multipart.new_boundary()}))
