"""A user of any DIMSE service that says exactly what it is told to and shows every response."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from types import TracebackType
from typing import Self

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import ImplicitVRLittleEndian

from tests.support.builders import encode
from tests.support.conversations import Message, query
from tests.support.scripted_peer import ScriptedPeer, context, parse_command

PENDING = frozenset({0xFF00, 0xFF01})
_STATUS, _DATA_SET_TYPE, _NO_DATA_SET = 0x900, 0x800, 0x101
_COMPLETED, _FAILED, _WARNING = 0x1021, 0x1022, 0x1023


class AbortedError(Exception):
    """The gateway aborted the association."""


@dataclass(frozen=True, slots=True)
class Response:
    """One response: elements of its command set by number, and its data set."""

    elements: Mapping[int, bytes]
    data_set: bytes

    @property
    def status(self) -> int:
        return self._number(_STATUS)

    @property
    def completed(self) -> int:
        return self._number(_COMPLETED)

    @property
    def failed(self) -> int:
        return self._number(_FAILED)

    @property
    def warning(self) -> int:
        return self._number(_WARNING)

    @property
    def identifier(self) -> Dataset:
        """The data set, which came in implicit little endian."""
        return read_dataset(BytesIO(self.data_set), is_implicit_VR=True, is_little_endian=True)

    def _number(self, element: int) -> int:
        (number,) = struct.unpack("<H", self.elements.get(element, b"\0\0"))
        return int(number)


class RawCaller:
    """One association under one SOP class, its messages in implicit little endian."""

    def __init__(
        self,
        port: int,
        sop_class_uid: str,
        *,
        calling: str = "RAWCALLER",
        called: str = "PACSGW",
        timeout_s: float = 60.0,
    ) -> None:
        self._sop_class_uid = sop_class_uid
        self._n_sent = 0
        self._peer = ScriptedPeer(port, timeout_s=timeout_s)
        self._peer.associate(context(1, sop_class_uid), calling=calling, called=called)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._peer.__exit__(kind, error, trace)

    def ask(self, field: int, identifier: Dataset | bytes, *elements: bytes) -> list[Response]:
        """Send a C-FIND-RQ, C-MOVE-RQ or C-GET-RQ and return all responses, the final one last."""
        self._n_sent += 1
        data_set = encode(identifier, ImplicitVRLittleEndian) if isinstance(identifier, Dataset) else identifier
        request = Message(1, query(self._sop_class_uid, field, self._n_sent, *elements), data_set)
        return self.say(request)

    def say(self, *messages: Message) -> list[Response]:
        """Send messages and return what comes until a response is final."""
        self._peer.send(*(message.encoded() for message in messages))
        responses = []
        for response in self._responses():
            responses.append(response)
            if response.status not in PENDING:
                break
        return responses

    def _responses(self) -> Iterator[Response]:
        command, data_set = b"", b""
        while True:
            for control, fragment in self._fragments():
                if control & 1:
                    command += fragment
                else:
                    data_set += fragment
                if control & 2 and (not control & 1 or not _has_data_set(command)):
                    yield Response(parse_command(command), data_set)
                    command, data_set = b"", b""

    def _fragments(self) -> Sequence[tuple[int, bytes]]:
        answer = self._peer.receive_pdu()
        if answer[:1] == b"\x07":
            raise AbortedError
        assert answer[:1] == b"\x04", f"expected P-DATA-TF, got {answer[:10]!r}"
        fragments, offset = [], 6
        while offset < len(answer):
            (length,) = struct.unpack_from(">L", answer, offset)
            fragments.append((answer[offset + 5], answer[offset + 6 : offset + 4 + length]))
            offset += 4 + length
        return fragments


def _has_data_set(command: bytes) -> bool:
    (kind,) = struct.unpack("<H", parse_command(command)[_DATA_SET_TYPE])
    return bool(kind != _NO_DATA_SET)
