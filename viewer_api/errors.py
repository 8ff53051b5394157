"""Errors on the web: one table from the error tree to HTTP statuses, and the body that tells them (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType

import orjson
from starlette.responses import Response

from pacs_gateway import errors
from pacs_gateway.dicomweb.multipart import MessageTooLargeError

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_S = 10


class NotAcceptableError(errors.InputError):
    """None of the media types the caller accepts is offered."""


class UnsupportedMediaTypeError(errors.InputError):
    """The body is of a media type or content encoding that is not taken."""


class SlowBodyError(errors.InputError):
    """A body comes too slowly, or not at all."""


class ForeignOriginError(errors.RefusedError):
    """A page of another site tried to act in the caller's name."""


class MisdirectedError(errors.RefusedError):
    """The request names a host this server does not answer for."""


STATUSES: Mapping[type[errors.GatewayError], HTTPStatus] = MappingProxyType(
    {
        errors.GatewayError: HTTPStatus.INTERNAL_SERVER_ERROR,
        errors.ConfigurationError: HTTPStatus.INTERNAL_SERVER_ERROR,
        errors.InputError: HTTPStatus.BAD_REQUEST,
        # A UID that is not one names nothing that could be there.
        errors.InvalidUidError: HTTPStatus.BAD_REQUEST,
        errors.InvalidQueryError: HTTPStatus.BAD_REQUEST,
        errors.UnfitQueryError: HTTPStatus.BAD_REQUEST,
        # A store tells of it per instance; here it is a kept object whose pixels or header make no sense.
        errors.InvalidInstanceError: HTTPStatus.UNPROCESSABLE_ENTITY,
        errors.MismatchError: HTTPStatus.CONFLICT,
        errors.InvalidMessageError: HTTPStatus.BAD_REQUEST,
        errors.UnsupportedSyntaxError: HTTPStatus.NOT_ACCEPTABLE,
        errors.NotFoundError: HTTPStatus.NOT_FOUND,
        errors.ConflictError: HTTPStatus.CONFLICT,
        errors.RefusedError: HTTPStatus.FORBIDDEN,
        errors.UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
        errors.CapacityError: HTTPStatus.SERVICE_UNAVAILABLE,
        # The search was too broad (PS3.18 10.6.3, 8.5).
        errors.TooBroadError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        errors.UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
        errors.IntegrityError: HTTPStatus.INTERNAL_SERVER_ERROR,
        MessageTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        NotAcceptableError: HTTPStatus.NOT_ACCEPTABLE,
        SlowBodyError: HTTPStatus.REQUEST_TIMEOUT,
        UnsupportedMediaTypeError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        ForeignOriginError: HTTPStatus.FORBIDDEN,
        MisdirectedError: HTTPStatus.MISDIRECTED_REQUEST,
    }
)


def status_of(error: errors.GatewayError) -> HTTPStatus:
    """Return the HTTP status of `error`: that of its own class or of the nearest one above."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def problem(status: HTTPStatus, *, detail: str = "", request_id: str = "") -> Response:
    """Return the answer that tells a caller what went wrong.

    References
    ----------
    RFC 9457; ``request_id`` is an extension member, the same text as in the log and in X-Request-ID.
    """
    body = {"type": "about:blank", "title": status.phrase, "status": status.value}
    if detail:
        body["detail"] = detail
    if request_id:
        body["request_id"] = request_id
    headers = {}
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if status is HTTPStatus.REQUEST_TIMEOUT:
        headers["Connection"] = "close"  # what still comes is no next request (RFC 9110 15.5.9)
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return Response(orjson.dumps(body), status.value, headers, PROBLEM_TYPE)


def problem_of(error: errors.GatewayError, *, request_id: str = "") -> Response:
    """Return the answer for `error`; a fault of ours keeps its details to the log."""
    status = status_of(error)
    detail = "" if status is HTTPStatus.INTERNAL_SERVER_ERROR else str(error)
    return problem(status, detail=detail, request_id=request_id)
