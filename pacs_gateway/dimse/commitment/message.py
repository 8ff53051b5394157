"""The data sets of storage commitment, as bytes: Action Information in, Event Information out, and the other way.

A request may name a hundred thousand instances, and what a peer sends may be anything: it is walked over once,
nothing but the UIDs is kept, and what is nested in an item is skipped.

References
----------
PS3.4 J.3.2.1.1 (Action Information), J.3.3.1.1 (Event Information), PS3.5 7.1 and 7.5 (elements and sequences)
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from pacs_gateway.dimse.data_set import DataSetEncoder
from pacs_gateway.domain.commitment import CommitmentRequest, CommitmentResult, Failure, Reference
from pacs_gateway.domain.uids import is_uid
from pacs_gateway.errors import CapacityError, InvalidMessageError

MAX_REFERENCES = 100_000
"""Instances in one transaction; more are refused, and can be asked for in several."""

_RETRIEVE_AE_TITLE = 0x00080054
_SOP_CLASS_UID, _SOP_INSTANCE_UID = 0x00081150, 0x00081155
_TRANSACTION_UID = 0x00081195
_FAILURE_REASON = 0x00081197
_FAILED, _REFERENCED = 0x00081198, 0x00081199
_DELIMITERS = 0xFFFE
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_MAX_DEPTH = 16
_LONG_VRS = frozenset(vr.value.encode() for vr in EXPLICIT_VR_LENGTH_32)
_MAX_UID_BYTES = 66  # with padding


class _Element(NamedTuple):
    """A header that has been read; the value follows."""

    tag: int
    length: int
    is_implicit: bool
    """Whether the items in it are in implicit VR."""


@dataclass(frozen=True, slots=True)
class _Syntax:
    """How a transfer syntax writes elements."""

    is_implicit: bool
    order: str

    @classmethod
    def of(cls, uid: str) -> "_Syntax":
        return cls(uid == ImplicitVRLittleEndian, ">" if uid == ExplicitVRBigEndian else "<")


def decode_request(encoded: bytes, transfer_syntax_uid: str) -> CommitmentRequest:
    """Return the Action Information of a request.

    Raises
    ------
    InvalidMessageError
        It is not one; the message says what is wrong with it.
    CapacityError
        It names more than `MAX_REFERENCES` instances.
    """
    transaction_uid, referenced, _ = _Decoder(encoded, _Syntax.of(transfer_syntax_uid)).decode()
    if not referenced:
        raise InvalidMessageError("no instance is referenced")
    return CommitmentRequest(transaction_uid, referenced)


def decode_result(encoded: bytes, transfer_syntax_uid: str) -> CommitmentResult:
    """Return the Event Information of a report; raises as ``decode_request``."""
    return CommitmentResult(*_Decoder(encoded, _Syntax.of(transfer_syntax_uid)).decode())


def encode_request(request: CommitmentRequest, transfer_syntax_uid: str) -> bytes:
    """Return the Action Information of a request."""
    encoder = DataSetEncoder(transfer_syntax_uid)
    uid = encoder.text(_TRANSACTION_UID, "UI", request.transaction_uid)
    return uid + _references(encoder, request.references)


def encode_result(result: CommitmentResult, transfer_syntax_uid: str, *, retrieve_ae_title: str) -> bytes:
    """Return the Event Information of a report; sequences without items are left out (PS3.4 Table J.3-2).

    Parameters
    ----------
    retrieve_ae_title
        Where what is committed to can be retrieved.
    """
    encoder = DataSetEncoder(transfer_syntax_uid)
    encoded = encoder.text(_RETRIEVE_AE_TITLE, "AE", retrieve_ae_title)
    encoded += encoder.text(_TRANSACTION_UID, "UI", result.transaction_uid)
    if result.failed:
        encoded += _failures(encoder, result.failed)
    if result.committed:
        encoded += _references(encoder, result.committed)
    return encoded


class _Decoder:
    """One pass over one data set."""

    def __init__(self, encoded: bytes, syntax: _Syntax) -> None:
        self._encoded = encoded
        self._is_implicit = syntax.is_implicit
        self._two_numbers = struct.Struct(f"{syntax.order}HH").unpack_from
        self._number = struct.Struct(f"{syntax.order}H").unpack_from
        self._long_number = struct.Struct(f"{syntax.order}L").unpack_from
        self._at = 0
        self._n_items = 0

    def decode(self) -> tuple[str, list[Reference], list[Failure]]:
        """Return transaction UID, references and failures."""
        transaction_uid = ""
        references: list[Reference] = []
        failures: list[Failure] = []
        while self._at < len(self._encoded):
            element = self._next(is_implicit=self._is_implicit)
            if element.tag == _REFERENCED:
                references += (reference for reference, _ in self._items(element))
            elif element.tag == _FAILED:
                failures += (Failure(reference, reason) for reference, reason in self._items(element))
            elif element.tag == _TRANSACTION_UID:
                transaction_uid = _uid(self._value(element))
            else:
                self._skip(element)
        if not transaction_uid:
            raise InvalidMessageError("there is no Transaction UID")
        return transaction_uid, references, failures

    def _next(self, *, is_implicit: bool) -> _Element:
        """Read the header of the next element."""
        at = self._at
        try:
            group, number = self._two_numbers(self._encoded, at)
            tag, vr = group << 16 | number, self._encoded[at + 4 : at + 6]
            if is_implicit or group == _DELIMITERS:
                (length,), self._at = self._long_number(self._encoded, at + 4), at + 8
            elif vr in _LONG_VRS:
                (length,), self._at = self._long_number(self._encoded, at + 8), at + 12
            else:
                (length,), self._at = self._number(self._encoded, at + 6), at + 8
        except struct.error as error:
            raise InvalidMessageError("the data set ends inside an element") from error
        if length != _UNDEFINED and self._at + length > len(self._encoded):
            raise InvalidMessageError("an element runs past the end of the data set")
        # An UN element of undefined length holds a sequence in implicit VR (PS3.5 6.2.2 note 2).
        return _Element(tag, length, is_implicit or vr == b"UN")

    def _value(self, element: _Element) -> bytes:
        """Return the value of an element that is short, and move behind it."""
        start = self._at
        self._skip(element)
        if element.length > _MAX_UID_BYTES:
            raise InvalidMessageError("a UID or number is too long to be one")
        return self._encoded[start : self._at]

    def _items(self, sequence: _Element) -> Iterator[tuple[Reference, int]]:
        """Yield reference and failure reason (0 without one) of each item, and move behind the sequence."""
        for item in self._headers(sequence, _SEQUENCE_END, is_implicit=sequence.is_implicit):
            self._n_items += 1
            if self._n_items > MAX_REFERENCES:
                raise CapacityError(f"more than {MAX_REFERENCES} instances in one transaction")
            values = {_FAILURE_REASON: b"\0\0", _SOP_CLASS_UID: b"", _SOP_INSTANCE_UID: b""}
            for element in self._headers(item, _ITEM_END, is_implicit=sequence.is_implicit):
                if element.tag in values:
                    values[element.tag] = self._value(element)
                else:
                    self._skip(element)
            reference = Reference(_uid(values[_SOP_CLASS_UID]), _uid(values[_SOP_INSTANCE_UID]))
            yield reference, self._reason(values[_FAILURE_REASON])

    def _headers(self, around: _Element, delimiter: int, *, is_implicit: bool) -> Iterator[_Element]:
        """Yield the headers of what is in a sequence or in an item; the caller moves behind the value of each."""
        stop = None if around.length == _UNDEFINED else self._at + around.length
        while stop is None or self._at < stop:
            element = self._next(is_implicit=is_implicit)
            if element.tag == delimiter and stop is None:
                return
            if (element.tag == _ITEM) is not (delimiter == _SEQUENCE_END):
                raise InvalidMessageError("items and elements are mixed up")
            yield element
        if self._at != stop:
            raise InvalidMessageError("a value runs past the end of what it is in")

    def _skip(self, element: _Element, depth: int = 0) -> None:
        """Move behind the value of an element."""
        if element.length != _UNDEFINED:
            self._at += element.length
            return
        if depth > _MAX_DEPTH:
            raise InvalidMessageError("sequences are nested too deeply")
        for item in self._headers(element, _SEQUENCE_END, is_implicit=element.is_implicit):
            if item.length != _UNDEFINED:
                self._at += item.length
                continue
            for nested in self._headers(item, _ITEM_END, is_implicit=element.is_implicit):
                self._skip(nested, depth + 1)

    def _reason(self, value: bytes) -> int:
        if len(value) != struct.calcsize("H"):
            raise InvalidMessageError("a failure reason is no number")
        (reason,) = self._number(value)
        return int(reason)


def _references(encoder: DataSetEncoder, references: Iterable[Reference]) -> bytes:
    """Return the Referenced SOP Sequence."""
    return encoder.sequence(_REFERENCED, (_reference(encoder, one) for one in references))


def _failures(encoder: DataSetEncoder, failures: Iterable[Failure]) -> bytes:
    """Return the Failed SOP Sequence."""
    items = (
        _reference(encoder, one.reference) + encoder.text(_FAILURE_REASON, "US", str(one.reason)) for one in failures
    )
    return encoder.sequence(_FAILED, items)


def _reference(encoder: DataSetEncoder, reference: Reference) -> bytes:
    sop_class = encoder.text(_SOP_CLASS_UID, "UI", reference.sop_class_uid)
    return sop_class + encoder.text(_SOP_INSTANCE_UID, "UI", reference.sop_uid)


def _uid(value: bytes) -> str:
    text = value.rstrip(b"\0 ").decode("ascii", "replace")
    if not is_uid(text):
        raise InvalidMessageError("a UID is missing, or is none")
    return text
