"""The error tree as statuses of C-STORE and of query and retrieve: one row per error.

References
----------
PS3.4 B.2.3 (C-STORE), PS3.4 C.4.1.1.4, C.4.2.1.5 and C.4.3.1.4 (C-FIND, C-MOVE, C-GET), PS3.7 Annex C
"""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

from pacs_gateway import errors
from pacs_gateway.dimse.command import Field

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
        errors.UnfitQueryError: StoreStatus.CANNOT_UNDERSTAND,
        errors.InvalidInstanceError: StoreStatus.CANNOT_UNDERSTAND,
        errors.MismatchError: StoreStatus.DATA_SET_MISMATCH,
        errors.InvalidMessageError: StoreStatus.CANNOT_UNDERSTAND,
        errors.UnsupportedSyntaxError: StoreStatus.SOP_CLASS_NOT_SUPPORTED,
        errors.NotFoundError: StoreStatus.PROCESSING_FAILURE,
        errors.ConflictError: StoreStatus.PROCESSING_FAILURE,
        errors.RefusedError: StoreStatus.NOT_AUTHORISED,
        errors.UnauthenticatedError: StoreStatus.NOT_AUTHORISED,
        errors.CapacityError: StoreStatus.OUT_OF_RESOURCES,
        errors.TooBroadError: StoreStatus.OUT_OF_RESOURCES,
        errors.UnavailableError: StoreStatus.PROCESSING_FAILURE,
        errors.IntegrityError: StoreStatus.PROCESSING_FAILURE,
    }
)


class QueryStatus(IntEnum):
    """Statuses of the responses to C-FIND, C-MOVE and C-GET that the gateway gives."""

    SUCCESS = 0x0000
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NOT_AUTHORISED = 0x0124
    OUT_OF_RESOURCES = 0xA700
    IDENTIFIER_MISMATCH = 0xA900
    """The identifier does not match the SOP class."""
    UNABLE_TO_PROCESS = 0xC000
    CANCELLED = 0xFE00
    PENDING = 0xFF00
    PENDING_SOME_KEYS_UNSUPPORTED = 0xFF01


QUERY_STATUSES: Mapping[type[errors.GatewayError], QueryStatus] = MappingProxyType(
    {
        errors.GatewayError: QueryStatus.UNABLE_TO_PROCESS,
        errors.ConfigurationError: QueryStatus.UNABLE_TO_PROCESS,
        errors.InputError: QueryStatus.UNABLE_TO_PROCESS,
        errors.InvalidUidError: QueryStatus.UNABLE_TO_PROCESS,
        errors.InvalidQueryError: QueryStatus.UNABLE_TO_PROCESS,
        errors.UnfitQueryError: QueryStatus.IDENTIFIER_MISMATCH,
        errors.InvalidInstanceError: QueryStatus.UNABLE_TO_PROCESS,
        errors.MismatchError: QueryStatus.IDENTIFIER_MISMATCH,
        errors.InvalidMessageError: QueryStatus.UNABLE_TO_PROCESS,
        errors.UnsupportedSyntaxError: QueryStatus.SOP_CLASS_NOT_SUPPORTED,
        errors.NotFoundError: QueryStatus.UNABLE_TO_PROCESS,
        errors.ConflictError: QueryStatus.UNABLE_TO_PROCESS,
        errors.RefusedError: QueryStatus.NOT_AUTHORISED,
        errors.UnauthenticatedError: QueryStatus.NOT_AUTHORISED,
        errors.CapacityError: QueryStatus.OUT_OF_RESOURCES,
        errors.TooBroadError: QueryStatus.OUT_OF_RESOURCES,
        errors.UnavailableError: QueryStatus.UNABLE_TO_PROCESS,
        errors.IntegrityError: QueryStatus.UNABLE_TO_PROCESS,
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


class NormalizedStatus(IntEnum):
    """Statuses of N-ACTION and N-EVENT-REPORT responses that the gateway gives (PS3.7 Annex C)."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    NO_SUCH_SOP_INSTANCE = 0x0112
    NO_SUCH_EVENT_TYPE = 0x0113
    INVALID_ARGUMENT_VALUE = 0x0115
    NO_SUCH_ACTION_TYPE = 0x0123
    NOT_AUTHORISED = 0x0124
    DUPLICATE_TRANSACTION_UID = 0x0131
    RESOURCE_LIMITATION = 0x0213


NORMALIZED_STATUSES: Mapping[type[errors.GatewayError], NormalizedStatus] = MappingProxyType(
    {
        errors.GatewayError: NormalizedStatus.PROCESSING_FAILURE,
        errors.ConfigurationError: NormalizedStatus.PROCESSING_FAILURE,
        errors.InputError: NormalizedStatus.INVALID_ARGUMENT_VALUE,
        errors.InvalidUidError: NormalizedStatus.INVALID_ARGUMENT_VALUE,
        errors.InvalidQueryError: NormalizedStatus.INVALID_ARGUMENT_VALUE,
        errors.UnfitQueryError: NormalizedStatus.INVALID_ARGUMENT_VALUE,
        errors.InvalidInstanceError: NormalizedStatus.INVALID_ARGUMENT_VALUE,
        errors.MismatchError: NormalizedStatus.INVALID_ARGUMENT_VALUE,
        errors.InvalidMessageError: NormalizedStatus.INVALID_ARGUMENT_VALUE,
        errors.UnsupportedSyntaxError: NormalizedStatus.INVALID_ARGUMENT_VALUE,
        # What the arguments name is not there: a transaction.
        errors.NotFoundError: NormalizedStatus.INVALID_ARGUMENT_VALUE,
        errors.ConflictError: NormalizedStatus.DUPLICATE_TRANSACTION_UID,
        errors.RefusedError: NormalizedStatus.NOT_AUTHORISED,
        errors.UnauthenticatedError: NormalizedStatus.NOT_AUTHORISED,
        errors.CapacityError: NormalizedStatus.RESOURCE_LIMITATION,
        errors.TooBroadError: NormalizedStatus.RESOURCE_LIMITATION,
        errors.UnavailableError: NormalizedStatus.PROCESSING_FAILURE,
        errors.IntegrityError: NormalizedStatus.PROCESSING_FAILURE,
    }
)


def normalized_failure(error: Exception) -> dict[Field, int | str]:
    """Return what a response to N-ACTION or N-EVENT-REPORT says of `error`, one of ours or any other."""
    rows = (NORMALIZED_STATUSES[kind] for kind in type(error).__mro__ if kind in NORMALIZED_STATUSES)
    status = next(rows, NormalizedStatus.PROCESSING_FAILURE)
    is_theirs = isinstance(error, errors.InputError | errors.NotFoundError | errors.ConflictError)
    return normalized_refusal(status, str(error) if is_theirs else "")


def normalized_refusal(status: NormalizedStatus, comment: str = "") -> dict[Field, int | str]:
    """Return status and comment of a response that is no success."""
    return {Field.STATUS: status, Field.ERROR_COMMENT: _fitted(comment or status.name.lower().replace("_", " "))}


def store_status(error: errors.GatewayError) -> StoreStatus:
    """Return the status that answers `error`; an error without a row of its own takes its parent's."""
    return next(STORE_STATUSES[kind] for kind in type(error).__mro__ if kind in STORE_STATUSES)


def error_comment(error: errors.GatewayError) -> str:
    """Return the Error Comment of a C-STORE for `error`: ASCII, one value, no more than 64 characters."""
    return _fitted(_COMMENTS.get(store_status(error)) or str(error))


def query_failure(error: Exception) -> dict[Field, int | str]:
    """Return what a response to a query or retrieval says of `error`: status, comment, the element at fault.

    What is wrong with the request is said; what went wrong on our side is no business of the requester's.
    """
    status = QueryStatus.UNABLE_TO_PROCESS
    if isinstance(error, errors.GatewayError):
        status = next(QUERY_STATUSES[kind] for kind in type(error).__mro__ if kind in QUERY_STATUSES)
    told = str(error) if isinstance(error, errors.InputError) else _QUERY_COMMENTS[status]
    elements: dict[Field, int | str] = {Field.STATUS: status, Field.ERROR_COMMENT: _fitted(told)}
    if isinstance(error, errors.InvalidQueryError) and error.tag is not None:
        elements[Field.OFFENDING_ELEMENT] = error.tag
    return elements


_QUERY_COMMENTS: Mapping[QueryStatus, str] = MappingProxyType(
    {
        QueryStatus.UNABLE_TO_PROCESS: "the gateway cannot answer this for now",
        QueryStatus.NOT_AUTHORISED: "not allowed to ask for this here",
        QueryStatus.OUT_OF_RESOURCES: "no resources left to answer this",
    }
)


def _fitted(text: str) -> str:
    clean = "".join(char if " " <= char <= "~" and char != "\\" else "?" for char in text)
    return clean[:MAX_COMMENT_LENGTH]
