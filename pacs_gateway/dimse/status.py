"""The error tree as C-STORE statuses: one row per error (PS3.4 B.2.3, PS3.7 Annex C)."""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

from pacs_gateway import errors

MAX_COMMENT_LENGTH = 64
"""Error Comment is a single LO value (PS3.7 C.4.3, PS3.5 6.2)."""


class StoreStatus(IntEnum):
    """Statuses of a C-STORE response that the gateway gives."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NOT_AUTHORISED = 0x0124
    OUT_OF_RESOURCES = 0xA700
    DATA_SET_MISMATCH = 0xA900
    CANNOT_UNDERSTAND = 0xC000


STORE_STATUSES: Mapping[type[errors.GatewayError], StoreStatus] = MappingProxyType(
    {
        errors.GatewayError: StoreStatus.PROCESSING_FAILURE,
        errors.ConfigurationError: StoreStatus.PROCESSING_FAILURE,
        errors.InputError: StoreStatus.CANNOT_UNDERSTAND,
        errors.InvalidUidError: StoreStatus.CANNOT_UNDERSTAND,
        errors.InvalidQueryError: StoreStatus.CANNOT_UNDERSTAND,
        errors.InvalidInstanceError: StoreStatus.CANNOT_UNDERSTAND,
        errors.MismatchError: StoreStatus.DATA_SET_MISMATCH,
        errors.InvalidMessageError: StoreStatus.CANNOT_UNDERSTAND,
        errors.UnsupportedSyntaxError: StoreStatus.SOP_CLASS_NOT_SUPPORTED,
        errors.NotFoundError: StoreStatus.PROCESSING_FAILURE,
        errors.ConflictError: StoreStatus.PROCESSING_FAILURE,
        errors.RefusedError: StoreStatus.NOT_AUTHORISED,
        errors.UnauthenticatedError: StoreStatus.NOT_AUTHORISED,
        errors.CapacityError: StoreStatus.OUT_OF_RESOURCES,
        errors.UnavailableError: StoreStatus.PROCESSING_FAILURE,
        errors.IntegrityError: StoreStatus.PROCESSING_FAILURE,
    }
)

# What went wrong on our side is no business of the sender's; what is wrong with the object is (``str(error)``).
_COMMENTS: Mapping[StoreStatus, str] = MappingProxyType(
    {
        StoreStatus.PROCESSING_FAILURE: "the gateway cannot keep it for now",
        StoreStatus.NOT_AUTHORISED: "not allowed to store here",
        StoreStatus.OUT_OF_RESOURCES: "no space left for storage",
    }
)


def store_status(error: errors.GatewayError) -> StoreStatus:
    """Return the status that answers `error`; an error without a row of its own takes its parent's."""
    return next(STORE_STATUSES[kind] for kind in type(error).__mro__ if kind in STORE_STATUSES)


def error_comment(error: errors.GatewayError) -> str:
    """Return the Error Comment for `error`: ASCII, one value, no more than 64 characters."""
    text = _COMMENTS.get(store_status(error)) or str(error)
    clean = "".join(char if " " <= char <= "~" and char != "\\" else "?" for char in text)
    return clean[:MAX_COMMENT_LENGTH]
