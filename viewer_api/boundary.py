"""The outermost layer of every request: correlation id, headers, origin check, count, and the last catch.

Plain ASGI, so that streaming answers pass through untouched. The log has the route's pattern, never the path or the
query: both hold what belongs to patients (promises B20).
"""

import logging
import re
import secrets
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from time import perf_counter
from traceback import format_tb
from types import MappingProxyType

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pacs_gateway.errors import GatewayError
from viewer_api.access import check_origin
from viewer_api.errors import problem, problem_of

_log = logging.getLogger(__name__)

REQUEST_ID = "X-Request-ID"
_GIVEN_ID = re.compile(r"[0-9A-Za-z-]{8,64}")
_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)

# What every answer carries unless its route says otherwise: nothing here is for other sites, for caches that are
# shared, or for a browser to guess about. A Referrer-Policy of no-referrer would take the Origin from our own forms.
DEFAULT_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Referrer-Policy": "same-origin",
        "Server": "pacs-gateway",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
)

_RAW_REQUEST_ID = REQUEST_ID.lower().encode("ascii")
_RAW_DEFAULTS = tuple((name.lower().encode("ascii"), value.encode("ascii")) for name, value in DEFAULT_HEADERS.items())


class Metrics:
    """Counts requests by route, method and status."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("route", "method")
        self._requests = Counter("pacs_http_requests", "HTTP requests", (*labels, "status"), registry=registry)
        self._seconds = Histogram(
            "pacs_http_request_seconds", "Time to the last byte", labels, registry=registry, buckets=_BUCKETS
        )

    def count(self, route: str, method: str, *, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route, method).observe(seconds)


class Boundary:
    """ASGI middleware; see the module."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        request_id = _request_id(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def send_dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _dressed(message["headers"], request_id)
            await send(message)

        try:
            await self._serve(scope, receive, send_dressed)
        except Exception as error:
            # Where it happened, not what it says: a library's words may repeat a value of the data set.
            # An error behind an answer that has begun comes wrapped by the framework.
            cause = error.__cause__ or error
            where = "".join(format_tb(cause.__traceback__))
            facts = (_method(scope), route_of(scope), type(cause).__name__, request_id, where)
            _log.error("request failed: %s %s %s id=%s\n%s", *facts)
            # Once an answer has begun its status cannot be taken back: the connection breaks, the client sees it cut.
            if status == 0:
                answer = problem(HTTPStatus.INTERNAL_SERVER_ERROR, request_id=request_id)
                await answer(scope, receive, send_dressed)
        finally:
            seconds = perf_counter() - started
            self._metrics.count(route_of(scope), _method(scope), status=status, seconds=seconds)
            _log.debug("%s %s %d %.1f ms id=%s", _method(scope), route_of(scope), status, seconds * 1000, request_id)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            check_origin(Request(scope))
        except GatewayError as error:
            await problem_of(error, request_id=scope["state"]["request_id"])(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _dressed(headers: Iterable[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer (names in lower case, as ASGI has them) with those that each carries."""
    dressed = [*headers, (_RAW_REQUEST_ID, request_id.encode("ascii"))]
    given = {name for name, _ in dressed}
    dressed += [default for default in _RAW_DEFAULTS if default[0] not in given]
    return dressed


def route_of(scope: Scope) -> str:
    """Return the pattern of the route that serves a request, for logs and labels."""
    route = scope.get("route")
    return str(getattr(route, "path", "none"))


def _method(scope: Scope) -> str:
    """Return the method, strangers' inventions as one: a label must not grow with what callers send."""
    method: str = scope["method"]
    return method if method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS") else "other"


def _request_id(headers: Headers) -> str:
    given = headers.get(REQUEST_ID, "")
    return given if _GIVEN_ID.fullmatch(given) else secrets.token_hex(8)
