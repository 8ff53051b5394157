"""An instance that is sent as metadata and bulk data, put together again (PS3.18 10.5.1.4)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydicom.uid import UID

from pacs_gateway.dicomweb import json_data_set
from pacs_gateway.dicomweb.json_data_set import PIXEL_DATA, BulkData, members, number, text, uri_of
from pacs_gateway.domain.uids import is_uid
from pacs_gateway.errors import InvalidInstanceError, MismatchError, UnsupportedSyntaxError

_EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
_SOP_CLASS, _SOP_INSTANCE, _STUDY = "00080016", "00080018", "0020000D"


@dataclass(frozen=True, slots=True)
class Identity:
    """What an object says it is; empty where that is no UID."""

    sop_class_uid: str
    sop_instance_uid: str
    study_uid: str

    @classmethod
    def of(cls, dataset: object) -> "Identity":
        """Return the identity of a DICOM JSON object."""
        told = (text(dataset, tag) for tag in (_SOP_CLASS, _SOP_INSTANCE, _STUDY))
        return cls(*(uid if is_uid(uid) else "" for uid in told))


@dataclass(frozen=True, slots=True)
class Composed:
    """An object ready to be received."""

    identity: Identity
    transfer_syntax_uid: str
    data_set: Iterator[bytes]
    """Its encoding; raises InvalidInstanceError where an attribute cannot be encoded."""


def compose(dataset: object, bulk: BulkData) -> Composed:
    """Return the object that a DICOM JSON object and the bulk data it refers to make.

    Raises
    ------
    InvalidInstanceError
        It cannot be identified or is no object of the model.
    MismatchError
        Its pixels are fewer than its attributes say.
    UnsupportedSyntaxError
        Its pixels are in an encoding that is not taken.
    """
    elements = members(dataset)
    identity = Identity.of(elements)
    if not (identity.sop_class_uid and identity.sop_instance_uid and identity.study_uid):
        raise InvalidInstanceError("the UID of the SOP class, instance or study is missing or none")
    syntax = _syntax(elements, bulk)
    return Composed(identity, syntax, json_data_set.data_set(elements, bulk))


def _syntax(elements: Mapping[str, object], bulk: BulkData) -> str:
    """Return the transfer syntax of the whole: that of its pixels."""
    uri = uri_of(elements.get(PIXEL_DATA))
    if not uri:
        return _EXPLICIT_LITTLE_ENDIAN
    parts = bulk.find(uri)
    if not parts:
        raise InvalidInstanceError("the bulk data URI of the pixels leads to no part of this body")
    syntaxes = {part.transfer_syntax_uid for part in parts}
    if syntaxes <= {""}:
        _check_length(elements, sum(part.length for part in parts))
        return _EXPLICIT_LITTLE_ENDIAN
    if len(syntaxes) > 1:
        raise InvalidInstanceError("the frames are not all in one transfer syntax")
    (syntax,) = syntaxes
    if not is_uid(syntax) or not UID(syntax).is_transfer_syntax or not UID(syntax).is_encapsulated:
        raise UnsupportedSyntaxError("the pixels are in a transfer syntax that is not taken")
    return syntax


def _check_length(elements: Mapping[str, object], length: int) -> None:
    """Refuse pixels that cannot be what the attributes say: compressed ones, for one, that are not called so."""
    rows, columns, bits = (number(elements, tag) for tag in ("00280010", "00280011", "00280100"))
    samples = number(elements, "00280002") or 1
    if text(elements, "00280004") == "YBR_FULL_422":
        samples = 2  # PS3.3 C.7.6.3.1.2
    n_frames = max(1, number(elements, "00280008"))
    if length * 8 < rows * columns * samples * bits * n_frames:
        raise MismatchError("the pixel data is shorter than the attributes of the image say")
