"""``multipart/related`` bodies (RFC 2046 5.1, RFC 2387), read as they come and written as they go.

The reader does no input: bytes are fed to it and events come out, so that the same code serves an asynchronous server,
a blocking client and a test. It keeps no more than a delimiter's length of a part, whatever the part's size, and every
count an attacker could drive up has a limit.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from pacs_gateway.dicomweb.media_type import MediaType
from pacs_gateway.errors import InvalidMessageError

MAX_BOUNDARY = 70
# bcharsnospace and space, not at the end (RFC 2046 5.1.1)
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
# What makes a delimiter of its text, by the name of its kind: blanks that gateways may add and the end of its line
# (RFC 2046 5.1.1), two hyphens, or nothing yet that speaks against either. Anything else is data; content full of such
# must not cost more than any other, so that one expression finds the delimiter behind them all.
_AFTER_DELIMITER = rb"(?:(?P<LAST>--)|(?P<NEXT>[ \t]{0,64}\r\n)|(?P<UNKNOWN>(?:-|[ \t]{0,64}\r?)\Z))"


class MessageTooLargeError(InvalidMessageError):
    """A body or one of its parts is larger than the receiver allows."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a multipart body may cost its reader."""

    headers: int = 32
    """Headers of one part."""
    header_bytes: int = 8 * 1024
    """Bytes of all headers of one part."""
    parts: int = 10_000
    preamble_bytes: int = 8 * 1024
    """Bytes before the first delimiter."""
    body_bytes: int = 64 << 30
    """Bytes of the whole body."""


@dataclass(frozen=True, slots=True)
class PartBegin:
    """The headers of a part have been read."""

    headers: Mapping[str, str]
    """Values by lower-case name."""


@dataclass(frozen=True, slots=True)
class PartData:
    """Some bytes of the current part, in order."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The current part is complete."""


Event = PartBegin | PartData | PartEnd


class _State(Enum):
    PREAMBLE = auto()
    HEADERS = auto()
    DATA = auto()
    EPILOGUE = auto()


class _Delimiter(Enum):
    NEXT = auto()
    """Another part follows."""
    LAST = auto()
    UNKNOWN = auto()
    """More bytes are needed to tell."""


def boundary_of(content_type: MediaType) -> str:
    """Return the boundary that `content_type` names.

    Raises
    ------
    InvalidMessageError
        Without a boundary, or one that RFC 2046 5.1.1 does not allow.
    """
    boundary = content_type.parameters.get("boundary", "")
    if len(boundary) > MAX_BOUNDARY or not _BOUNDARY.fullmatch(boundary):
        raise InvalidMessageError("the multipart boundary is missing or not allowed")
    return boundary


class MultipartReader:
    """Turns the bytes of a multipart body into events.

    Parameters
    ----------
    boundary
        As `boundary_of` returns it.
    """

    def __init__(self, boundary: str, *, limits: Limits | None = None) -> None:
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._delimiter_line = re.compile(re.escape(self._delimiter) + _AFTER_DELIMITER)
        self._limits = limits or Limits()
        # The first delimiter may open the body with no line end before it: one is put there.
        self._buffer = b"\r\n"
        self._state = _State.PREAMBLE
        self._at_empty_line = False
        self._n_parts = 0
        self._n_bytes = 0

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield what `data` completes; must be run to its end before the next call.

        Raises
        ------
        InvalidMessageError
            When the framing is broken; MessageTooLargeError when a limit is passed.
        """
        self._n_bytes += len(data)
        if self._n_bytes > self._limits.body_bytes:
            raise MessageTooLargeError(f"the body is larger than {self._limits.body_bytes} bytes")
        self._buffer += data
        steps = {
            _State.PREAMBLE: self._preamble,
            _State.HEADERS: self._headers,
            _State.DATA: self._data,
            _State.EPILOGUE: self._epilogue,
        }
        progress = True
        while progress:
            before = (self._state, len(self._buffer))
            yield from steps[self._state]()
            progress = before != (self._state, len(self._buffer))

    def close(self) -> None:
        """Say that the body has ended.

        Raises
        ------
        InvalidMessageError
            When the closing delimiter is missing.
        """
        if self._state is not _State.EPILOGUE:
            raise InvalidMessageError("the multipart body ends before its closing delimiter")

    def _preamble(self) -> Iterator[Event]:
        at, kind, end = self._find_delimiter()
        if self._n_bytes - len(self._buffer) + at > self._limits.preamble_bytes:
            raise InvalidMessageError("the multipart body does not start with its delimiter")
        if kind is _Delimiter.UNKNOWN:
            self._buffer = self._buffer[at:]
        else:
            self._enter(kind, end)
        yield from ()

    def _headers(self) -> Iterator[Event]:
        # A part without headers starts with the empty line at once.
        end = 0 if self._buffer.startswith(b"\r\n") else self._buffer.find(b"\r\n\r\n")
        if end > self._limits.header_bytes or (end < 0 and len(self._buffer) > self._limits.header_bytes + 3):
            raise InvalidMessageError(f"the headers of a part are longer than {self._limits.header_bytes} bytes")
        if end < 0:
            return
        headers = self._parse_headers(self._buffer[:end])
        # The empty line is kept: its end may start a delimiter, for a part may have no content at all.
        self._buffer = self._buffer[end + (2 if end else 0) :]
        self._state, self._at_empty_line = _State.DATA, True
        yield PartBegin(headers)

    def _data(self) -> Iterator[Event]:
        at, kind, end = self._find_delimiter()
        begin = 0
        if self._at_empty_line and at > 0:
            begin, self._at_empty_line = 2, False
        if at > begin:
            yield PartData(self._buffer[begin:at])
        if kind is _Delimiter.UNKNOWN:
            self._buffer = self._buffer[at:]
            return
        yield PartEnd()
        self._enter(kind, end)

    def _epilogue(self) -> Iterator[Event]:
        self._buffer = b""
        yield from ()

    def _enter(self, kind: _Delimiter, end: int) -> None:
        self._buffer = self._buffer[end:]
        if kind is _Delimiter.LAST:
            self._state = _State.EPILOGUE
            return
        self._n_parts += 1
        if self._n_parts > self._limits.parts:
            raise MessageTooLargeError(f"the body has more than {self._limits.parts} parts")
        self._state = _State.HEADERS

    def _find_delimiter(self) -> tuple[int, _Delimiter, int]:
        """Return where the next delimiter starts, what it is, and where it ends.

        Without one, where the bytes start that may still become one, and UNKNOWN.
        """
        found = self._delimiter_line.search(self._buffer)
        if found is not None:
            return found.start(), _Delimiter[found.lastgroup or ""], found.end()
        for length in range(min(len(self._delimiter) - 1, len(self._buffer)), 0, -1):
            if self._delimiter.startswith(self._buffer[-length:]):
                return len(self._buffer) - length, _Delimiter.UNKNOWN, 0
        return len(self._buffer), _Delimiter.UNKNOWN, 0

    def _parse_headers(self, block: bytes) -> dict[str, str]:
        headers: dict[str, str] = {}
        lines = block.split(b"\r\n") if block else []
        if len(lines) > self._limits.headers:
            raise InvalidMessageError(f"a part has more than {self._limits.headers} headers")
        for line in lines:
            found = _HEADER.fullmatch(line)
            if found is None:
                raise InvalidMessageError("a header of a part cannot be read")
            name = found[1].decode("ascii").lower()
            if name in headers:
                raise InvalidMessageError("a header of a part is given twice")
            headers[name] = found[2].rstrip(b" \t").decode("latin-1")
        return headers


def new_boundary() -> str:
    """Return a boundary that no content can be expected to hold."""
    return secrets.token_hex(16)


def part_header(boundary: str, headers: Mapping[str, str]) -> bytes:
    """Return the delimiter and the headers that open a part; its content follows."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"\r\n--{boundary}\r\n{lines}\r\n".encode("latin-1")


def closing(boundary: str) -> bytes:
    """Return what ends the body."""
    return f"\r\n--{boundary}--\r\n".encode("ascii")
