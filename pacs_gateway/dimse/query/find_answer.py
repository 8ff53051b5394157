"""The answers to one C-FIND as data sets: what was asked for, in the caller's character set and transfer syntax."""

from collections.abc import Callable, Iterator, Sequence

from pacs_gateway.archive.search import Match
from pacs_gateway.dimse.data_set import ENCODED_VRS, DataSetEncoder, fitted
from pacs_gateway.dimse.query.find_request import (
    INSTANCE_AVAILABILITY,
    RETRIEVE_AE_TITLE,
    SPECIFIC_CHARACTER_SET,
    TIMEZONE_OFFSET,
    FindRequest,
)
from pacs_gateway.dimse.query.information_model import QUERY_RETRIEVE_LEVEL
from pacs_gateway.domain.answer_encoding import AnswerEncoding
from pacs_gateway.domain.attributes import Attribute


class AnswerWriter:
    """Encodes the answers to one request.

    Parameters
    ----------
    ae_title
        Ours, as it was called: what is found can be retrieved from there.
    is_ascii
        The caller can show nothing else.
    """

    def __init__(self, request: FindRequest, transfer_syntax: str, *, ae_title: str, is_ascii: bool) -> None:
        self._encoder = DataSetEncoder(transfer_syntax)
        self._charset = request.charset
        self._is_ascii = is_ascii
        text = self._encoder.text
        same = {tag: self._encoder.element(tag, vr, b"") for tag, vr in request.blanks}
        same[QUERY_RETRIEVE_LEVEL] = text(QUERY_RETRIEVE_LEVEL, "CS", request.query.level)
        same[RETRIEVE_AE_TITLE] = text(RETRIEVE_AE_TITLE, "AE", ae_title)
        self._online = text(INSTANCE_AVAILABILITY, "CS", "ONLINE")
        # What only a node has that is not heard of comes back with it (PS3.3 C.4.23.1.1).
        self._unavailable = text(INSTANCE_AVAILABILITY, "CS", "UNAVAILABLE")
        if request.wants_availability:
            same[INSTANCE_AVAILABILITY] = self._online
        self._attributes = request.attributes
        parts: dict[int, bytes | Attribute] = {**same, **{a.tag: a for a in request.attributes}}
        # In the order of the tags, what is the same in every answer already encoded (PS3.5 7.1).
        self._parts = tuple(parts[tag] for tag in sorted(parts))

    def encode(self, match: Match) -> bytes:
        """Return the answer that tells of `match`."""
        values = {a.tag: match.values[a.keyword] for a in self._attributes}
        texts = (text for a in self._attributes for vr, text in _texts(a, values[a.tag]) if vr in ENCODED_VRS)
        encoding = AnswerEncoding.choose(self._charset, texts, ascii_only=self._is_ascii)
        encoded = [self._encoder.text(SPECIFIC_CHARACTER_SET, "CS", encoding.term)] if encoding.term else []
        encoded += [
            part if isinstance(part, bytes) else self._element(part, values[part.tag], encoding.encode)
            for part in self._parts
        ]
        if not match.is_in_reach:
            encoded = [self._unavailable if part is self._online else part for part in encoded]
        return b"".join(encoded)

    def _element(self, attribute: Attribute, text: str, encode: Callable[[str], bytes]) -> bytes:
        if attribute.items:
            return self._encoder.sequence(
                attribute.tag, (self._item(attribute, one, encode) for one in attribute.item_values(text))
            )
        if attribute.tag == TIMEZONE_OFFSET and not text:
            # An offset that is not known is not said to be none.
            return b""
        return self._encoder.text(attribute.tag, attribute.vr, fitted(attribute.vr, text), encode)

    def _item(self, attribute: Attribute, fields: Sequence[str], encode: Callable[[str], bytes]) -> bytes:
        return b"".join(
            self._encoder.text(one.tag, one.vr, fitted(one.vr, fields[one.position]), encode) for one in attribute.items
        )


def _texts(attribute: Attribute, text: str) -> Iterator[tuple[str, str]]:
    """Yield the values in the text of an attribute, those in the items of a sequence too, with their VRs."""
    if not attribute.items:
        yield attribute.vr, text
    for fields in attribute.item_values(text) if attribute.items else ():
        yield from ((one.vr, fields[one.position]) for one in attribute.items)
