"""What well-behaved devices say to the gateway, one conversation for each service, in parts that can be spoilt.

All of it is said in advance, answers to the gateway's own requests included, so that a conversation can be sent
without listening.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from pacs_gateway.dimse.negotiation import STORAGE_COMMITMENT, STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE
from tests.support.builders import Identity, encode, image, rle, uid
from tests.support.scripted_peer import (
    VERIFICATION,
    associate_rq,
    command,
    context,
    echo_rq,
    element,
    p_data,
    pdu,
    pdv,
    role,
    store_rq,
    us,
    user_information,
)

_COMMAND, _LAST = 1, 2
_HAS_DATA_SET, _NO_DATA_SET = 1, 0x0101
_COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
_RELEASE = pdu(5, bytes(4))
_FRAGMENT_BYTES = 200
STORED = Identity(study=901, patient_name="Trần^Văn^An")
"""An object that the gateway holds when these conversations begin."""


@dataclass(frozen=True, slots=True)
class Message:
    """A DIMSE message: its command set, and its data set if it has one."""

    context_id: int
    command: bytes
    data_set: bytes = b""

    def encoded(self) -> bytes:
        """Return its PDUs, the data set in several fragments."""
        pieces = [self.data_set[at : at + _FRAGMENT_BYTES] for at in range(0, len(self.data_set), _FRAGMENT_BYTES)]
        fragments = [pdv(self.context_id, 0, piece) for piece in pieces[:-1]]
        fragments += [pdv(self.context_id, _LAST, piece) for piece in pieces[-1:]]
        return p_data(pdv(self.context_id, _COMMAND | _LAST, self.command)) + b"".join(map(p_data, fragments))


@dataclass(frozen=True, slots=True)
class Conversation:
    """An association from its request to its release."""

    service: str
    request: bytes
    messages: tuple[Message, ...]

    def encoded(self) -> bytes:
        return self.request + b"".join(message.encoded() for message in self.messages) + _RELEASE

    def with_message(self, index: int, message: Message) -> "Conversation":
        """Return the same with another message in the place of one."""
        return replace(self, messages=(*self.messages[:index], message, *self.messages[index + 1 :]))


def conversations(destination: str) -> tuple[Conversation, ...]:
    """Return one conversation for each service; `destination` is where a C-MOVE sends to."""
    return (
        Conversation("echo", associate_rq(), (Message(1, echo_rq(1)), Message(1, echo_rq(2)))),
        _store("store", ImplicitVRLittleEndian, image(Identity(study=902))),
        _store("store of explicit", ExplicitVRLittleEndian, image(Identity(study=903))),
        _store("store of RLE", RLELossless, rle(Identity(study=904))),
        _find(),
        _move(destination),
        _get(),
        _commit(),
    )


def query(model: str, field: int, message_id: int, *more: bytes) -> bytes:
    """Return the command set of a C-FIND-RQ (0x20), C-MOVE-RQ (0x21) or C-GET-RQ (0x10), with `more` elements."""
    elements: Sequence[bytes] = (
        element(2, model.encode()),
        us(0x100, field),
        us(0x110, message_id),
        *more,
        us(0x700, 0),
        us(0x800, _HAS_DATA_SET),
    )
    return command(*elements)


def _store(service: str, syntax: str, ds: Dataset) -> Conversation:
    request = associate_rq((context(1, CTImageStorage, (syntax,)),))
    data_set = encode(ds, syntax)
    messages = [Message(1, store_rq(ds.SOPInstanceUID, message_id=number), data_set) for number in (1, 2)]
    return Conversation(service, request, tuple(messages))


def _find() -> Conversation:
    extended = extended_negotiation(STUDY_ROOT_FIND, b"\1\1\1\1")
    request = associate_rq((context(1, STUDY_ROOT_FIND),), user=user_information(extra=extended))
    study = _identifier("STUDY", PatientName="*Trần*", StudyDate="20250101-", StudyInstanceUID="", ModalitiesInStudy="")
    series = _identifier("SERIES", StudyInstanceUID=uid(STORED.study), Modality="CT", SeriesInstanceUID="")
    images = _identifier(
        "IMAGE", StudyInstanceUID=uid(STORED.study), SeriesInstanceUID=uid(STORED.study, 1), SOPInstanceUID=""
    )
    requests = [
        Message(1, query(STUDY_ROOT_FIND, 0x20, number), ds) for number, ds in enumerate((study, series, images), 1)
    ]
    cancel = command(us(0x100, 0x0FFF), us(0x120, 1), us(0x800, _NO_DATA_SET))
    return Conversation("find", request, (requests[0], Message(1, cancel), *requests[1:]))


def _move(destination: str) -> Conversation:
    asked = Message(1, query(STUDY_ROOT_MOVE, 0x21, 1, element(0x600, destination.encode())), _study())
    return Conversation("move", associate_rq((context(1, STUDY_ROOT_MOVE),)), (asked,))


def _get() -> Conversation:
    contexts = (
        context(1, STUDY_ROOT_GET),
        context(3, CTImageStorage, (ImplicitVRLittleEndian, ExplicitVRLittleEndian)),
    )
    request = associate_rq(contexts, user=user_information(extra=role(CTImageStorage, scu=False, scp=True)))
    taken = command(
        element(2, CTImageStorage.encode()),
        us(0x100, 0x8001),
        us(0x120, 1),
        us(0x800, _NO_DATA_SET),
        us(0x900, 0),
        element(0x1000, uid(STORED.study, 1, 1).encode()),
    )
    return Conversation("get", request, (Message(1, query(STUDY_ROOT_GET, 0x10, 1), _study()), Message(3, taken)))


def _commit() -> Conversation:
    ds, item = Dataset(), Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, uid(STORED.study, 1, 1)
    ds.TransactionUID, ds.ReferencedSOPSequence = uid(905), [item]
    asked = command(
        element(3, STORAGE_COMMITMENT.encode()),
        us(0x100, 0x0130),
        us(0x110, 1),
        us(0x800, _HAS_DATA_SET),
        element(0x1001, _COMMITMENT_INSTANCE.encode()),
        us(0x1008, 1),
    )
    noted = command(
        element(2, STORAGE_COMMITMENT.encode()),
        us(0x100, 0x8100),
        us(0x120, 1),
        us(0x800, _NO_DATA_SET),
        us(0x900, 0),
        us(0x1002, 1),
    )
    request = associate_rq((context(1, STORAGE_COMMITMENT), context(3, VERIFICATION)))
    return Conversation("commit", request, (Message(1, asked, encode(ds, ImplicitVRLittleEndian)), Message(1, noted)))


def extended_negotiation(sop_class_uid: str, information: bytes) -> bytes:
    """Return an extended negotiation sub-item (PS3.7 D.3.3.5)."""
    body = len(sop_class_uid).to_bytes(2, "big") + sop_class_uid.encode() + information
    return b"\x56\x00" + len(body).to_bytes(2, "big") + body


def _study() -> bytes:
    return _identifier("STUDY", StudyInstanceUID=uid(STORED.study))


def _identifier(level: str, **keys: str) -> bytes:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(ds, keyword, value)
    return encode(ds, ImplicitVRLittleEndian)
