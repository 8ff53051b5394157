"""A DICOM application entity that we call: is it there, what has it got, take this, give me that.

One object per peer, one association per call. What a peer answers is read as hostile; what it says of a failure is
its status code and never its text, which may be about a patient.

References
----------
PS3.4 C.4.1 (C-FIND), C.4.2 (C-MOVE), C.4.3 (C-GET), B.2 (C-STORE)
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydicom.datadict import keyword_for_tag

from pacs_gateway.archive import egress
from pacs_gateway.archive.retrieve import Retrieve
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.dimse.command import C_FIND_RQ, Field
from pacs_gateway.dimse.config import DimseConfig
from pacs_gateway.dimse.data_set import ENCODED_VRS, DataSetEncoder
from pacs_gateway.dimse.negotiation import MESSAGE_SYNTAXES, PATIENT_ROOT_FIND, STUDY_ROOT_FIND, VERIFICATION
from pacs_gateway.dimse.query.information_model import QUERY_RETRIEVE_LEVEL
from pacs_gateway.dimse.scu.planning import Batch, choose_context, plan
from pacs_gateway.dimse.scu.requestor import Proposal, Remote, RequestedAssociation, associate
from pacs_gateway.dimse.scu.sending import Outgoing, store
from pacs_gateway.dimse.status import StoreStatus
from pacs_gateway.domain.character_set import CharacterSet
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.raw_data_set import RawDataSet, vr_of
from pacs_gateway.errors import GatewayError, RefusedError

_SUCCESS = 0x0000
_PENDING = frozenset({0xFF00, 0xFF01})
_SPECIFIC_CHARACTER_SET = 0x00080005
_UTF8 = "ISO_IR 192"

Found = Mapping[str, str]
"""One match: texts by keyword, several values joined by backslashes; sequences and private elements are left out."""


_WARNING = 0xB


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one object that was sent."""

    stored: StoredInstance
    status: int
    """Of the C-STORE."""

    @property
    def is_stored(self) -> bool:
        """Whether the peer has taken it, with a warning or without."""
        return self.status == StoreStatus.SUCCESS or self.status >> 12 == _WARNING


@dataclass(frozen=True, slots=True)
class DicomPeer:
    """A peer and how it is called; thread-safe."""

    remote: Remote
    config: DimseConfig
    syntaxes: frozenset[str] = frozenset()
    """Transfer syntaxes it is known to take; empty: it is asked."""
    charset: str = ""
    """Character set of answers that name none."""

    def echo(self) -> None:
        """Return if the peer answers a C-ECHO with Success.

        Raises
        ------
        UnavailableError, RefusedError
            It cannot be reached, rejects us, or answers something else.
        """
        with associate(self.remote, [Proposal(VERIFICATION, tuple(MESSAGE_SYNTAXES))], self.config) as association:
            _check(association.echo())

    def find(self, level: Level, keys: Mapping[int, str]) -> Iterator[Found]:
        """Yield what the peer has at `level`.

        Parameters
        ----------
        keys
            Matching text by tag; an empty one asks for the value (universal matching).

        Raises
        ------
        UnavailableError, RefusedError
            It cannot be reached, rejects us, or ends the query with a failure.
        """
        model = PATIENT_ROOT_FIND if level is Level.PATIENT else STUDY_ROOT_FIND
        with associate(self.remote, [Proposal(model, tuple(MESSAGE_SYNTAXES))], self.config) as association:
            syntax = association.contexts[association.context_id(model)].transfer_syntax
            elements: dict[Field, int | str] = {Field.AFFECTED_SOP_CLASS_UID: model, Field.PRIORITY: 0}
            for response in association.ask(model, C_FIND_RQ, elements, encode_query(level, keys, syntax)):
                if response.status in _PENDING:
                    yield decode_match(response.data_set, syntax, self.charset)
                else:
                    _check(response.status)

    def send(self, instances: Sequence[StoredInstance], retrieve: Retrieve) -> Iterator[Sent]:
        """Send objects, over as few associations as their kinds need, and yield what became of each.

        What cannot be sent does not stop the rest; a peer that goes away does.

        Raises
        ------
        UnavailableError, RefusedError
            The peer cannot be reached, rejects us, or has gone away; the rest has not been sent.
        """
        for batch in plan(instances, taken=self.syntaxes):
            if batch.proposals:
                yield from self._send_batch(batch, retrieve)
            else:
                yield from (Sent(stored, StoreStatus.SOP_CLASS_NOT_SUPPORTED) for stored in batch.instances)

    def _send_batch(self, batch: Batch[StoredInstance], retrieve: Retrieve) -> Iterator[Sent]:
        with associate(self.remote, batch.proposals, self.config) as association:
            for stored in batch.instances:
                yield Sent(stored, self._send_one(association, stored, retrieve))

    def _send_one(self, association: RequestedAssociation, stored: StoredInstance, retrieve: Retrieve) -> int:
        context_id = choose_context(association.contexts, stored.sop_class_uid, egress.forms(stored))
        if context_id is None:
            return StoreStatus.SOP_CLASS_NOT_SUPPORTED
        try:
            data_set = egress.data_set(retrieve, stored, association.contexts[context_id].transfer_syntax)
            outgoing = Outgoing(stored.sop_class_uid, stored.sop_uid, data_set.pieces)
            return store(association, context_id, outgoing, message_id=association.next_message_id())
        except GatewayError:
            if not association.is_established:
                raise
            return StoreStatus.PROCESSING_FAILURE


def encode_query(level: Level, keys: Mapping[int, str], transfer_syntax: str) -> bytes:
    """Return the identifier of a C-FIND, C-MOVE or C-GET."""
    texts = {QUERY_RETRIEVE_LEVEL: level.value, **keys}
    if not all(text.isascii() for text in texts.values()):
        texts[_SPECIFIC_CHARACTER_SET] = _UTF8
    encoder = DataSetEncoder(transfer_syntax)
    return b"".join(encoder.text(tag, vr_of(tag), text) for tag, text in sorted(texts.items()))


def decode_match(encoded: bytes, transfer_syntax: str, charset: str) -> Found:
    """Return the match in an identifier.

    Raises
    ------
    InvalidQueryError
        It is no identifier.
    """
    identifier = RawDataSet.parse(encoded, transfer_syntax)
    texts = CharacterSet(identifier.code(_SPECIFIC_CHARACTER_SET) or charset)
    found: dict[str, str] = {}
    for tag, element in identifier.elements.items():
        keyword = keyword_for_tag(tag)
        if keyword and not element.items and element.vr != "SQ":
            is_text = element.vr in ENCODED_VRS
            found[keyword] = texts.decode(element.value) if is_text else _code(element.vr, element.value)
    return found


def _code(vr: str, value: bytes) -> str:
    if vr in ("US", "UL"):
        size = 2 if vr == "US" else 4
        return "\\".join(str(int.from_bytes(value[at : at + size], "little")) for at in range(0, len(value), size))
    return value.decode("ascii", "replace").strip("\0 ")


def _check(status: int) -> None:
    if status != _SUCCESS:
        raise RefusedError(f"the peer answered with status 0x{status:04X}")
