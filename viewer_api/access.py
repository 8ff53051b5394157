"""Who is calling: a person in a browser, a program with a token, or anybody where logins are off on loopback."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from pacs_gateway.access import Action, Caller, Scope, decide, scope
from pacs_gateway.errors import UnauthenticatedError
from pacs_gateway.gateway import Gateway
from viewer_api.errors import ForeignOriginError, MisdirectedError
from viewer_api.negotiation import MediaRange, ranges

_COOKIE = "pacs_session"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_MAX_TOKEN_LENGTH = 8192


@dataclass(frozen=True, slots=True)
class Visitor:
    """A caller who may do what the route does, and the gateway it does it with."""

    caller: Caller
    scope: Scope
    gateway: Gateway
    request: Request

    @property
    def address(self) -> str:
        """Network address of the caller."""
        return address_of(self.request)

    @property
    def accepted(self) -> tuple[MediaRange, ...]:
        """What the caller takes as an answer."""
        return ranges(self.request.headers.getlist("accept"), self.request.query_params.getlist("accept"))


class May:
    """A dependency: lets in who may do `action`; every route that shows or changes anything has one."""

    def __init__(self, action: Action) -> None:
        self.action = action

    async def __call__(self, request: Request) -> Visitor:
        """Return who is calling.

        Raises
        ------
        UnauthenticatedError, RefusedError
            Nobody known is calling, or somebody who may not.
        """
        caller = await identified(request)
        decide(caller, self.action)
        assert caller is not None
        return Visitor(caller, scope(caller), gateway_of(request), request)


def gateway_of(connection: HTTPConnection) -> Gateway:
    """Return the gateway the application was made with."""
    gateway: Gateway = connection.app.state.gateway
    return gateway


def address_of(connection: HTTPConnection) -> str:
    """Return the network address of the caller."""
    return connection.client.host if connection.client else ""


def identify(connection: HTTPConnection) -> Caller | None:
    """Return the caller; None where nobody has said who is calling, or a session has ended.

    Raises
    ------
    UnauthenticatedError
        A bearer token was sent that is none.
    """
    access = gateway_of(connection).access
    if not access.config.is_auth_on:
        return Caller.of_open_door(facility=access.config.facility)
    authorization = connection.headers.get("authorization")
    if authorization is not None:
        kind, _, token = authorization.partition(" ")
        token = token.strip()
        account = access.tokens.resolve(token) if kind.lower() == "bearer" and len(token) <= _MAX_TOKEN_LENGTH else None
        if account is None:
            raise UnauthenticatedError("the bearer token is not valid")
        return Caller.of_token(account)
    session = session_value(connection)
    account = access.sessions.resolve(session) if session else None
    return Caller.of_session(account) if account else None


async def identified(connection: HTTPConnection) -> Caller | None:
    """Do as `identify`, in another thread where that asks the index; else that would cost more than many an answer."""
    if gateway_of(connection).access.config.is_auth_on:
        return await run_in_threadpool(identify, connection)
    return identify(connection)


def session_value(connection: HTTPConnection) -> str:
    """Return the value of the session cookie, empty without one."""
    return connection.cookies.get(_cookie_name(connection), "")


def set_session(connection: HTTPConnection, response: Response, value: str) -> None:
    """Put a session into the browser: unreadable to scripts, unsent by other sites' forms, on TLS never without it."""
    response.set_cookie(
        _cookie_name(connection), value, path="/", secure=_is_tls(connection), httponly=True, samesite="lax"
    )


def clear_session(connection: HTTPConnection, response: Response) -> None:
    """Take the session out of the browser."""
    response.delete_cookie(
        _cookie_name(connection), path="/", secure=_is_tls(connection), httponly=True, samesite="lax"
    )


def check_origin(connection: HTTPConnection) -> None:
    """Refuse what another site's page may have sent, or what reached this server under another's name.

    Raises
    ------
    ForeignOriginError
        A request that changes something comes from a page of another origin, or does not say from where though it
        carries a session.
    MisdirectedError
        Logins are off and the host is not this machine: a name of somebody else's that was made to point here would
        give that somebody's pages everything (DNS rebinding).
    """
    host = connection.headers.get("host", "").lower()
    if not gateway_of(connection).access.config.is_auth_on and not _is_loopback_name(
        connection.headers.get("host", "")
    ):
        raise MisdirectedError("logins are off: only requests to this machine's own name are answered")
    if connection.scope["method"] in _SAFE_METHODS:
        return
    origin, site = connection.headers.get("origin"), connection.headers.get("sec-fetch-site")
    if origin is not None and urlsplit(origin).netloc.lower() != host:
        raise ForeignOriginError("the request comes from another site's page")
    if site is not None and site not in ("same-origin", "none"):
        raise ForeignOriginError("the request comes from another site's page")
    if origin is None and site is None and session_value(connection):
        raise ForeignOriginError("a request with a session must say which page it comes from")


def _is_tls(connection: HTTPConnection) -> bool:
    return connection.url.scheme == "https"


def _cookie_name(connection: HTTPConnection) -> str:
    # The prefix makes browsers refuse the cookie from subdomains and from plain HTTP (RFC 6265bis 4.1.3.2).
    return f"__Host-{_COOKIE}" if _is_tls(connection) else _COOKIE


def _is_loopback_name(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
