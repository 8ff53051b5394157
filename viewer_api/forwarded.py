"""What a trusted proxy says about the request it hands on: whose it is, how it came, and for which host.

From nobody else is it believed. uvicorn's own layer is not used: it takes any text for an address, does not know
proxies that a dual-stack socket reports as IPv4 inside IPv6, and leaves the host alone.
"""

import re
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from pacs_gateway.access.networks import Address, Networks, parse_address
from pacs_gateway.errors import InputError

_SCHEMES = frozenset({"http", "https"})
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
# Some proxies add the port: 192.0.2.1:5005, [2001:db8::1]:5005.
_WITH_PORT = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%]+)\]|(?P<v4>[0-9.]+))(?::[0-9]{1,5})?")


class Forwarded:
    """ASGI middleware that puts caller, scheme and host of a forwarded request in the place of the proxy's own."""

    def __init__(self, app: ASGIApp, *, trusted: Networks) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if self._trusted.ranges and scope["type"] == "http" and scope.get("client"):
            peer = _parse(scope["client"][0])
            if peer is not None and self._trusted.contain(peer):
                scope = self._believed(scope, peer)
        await self._app(scope, receive, send)

    def _believed(self, scope: Scope, peer: Address) -> Scope:
        headers = Headers(scope=scope)
        caller = self._caller(_listed(headers, "x-forwarded-for"), peer)
        believed = {**scope, "client": (str(caller), 0), "headers": list(scope["headers"])}
        scheme = _last(headers, "x-forwarded-proto").lower()
        if scheme in _SCHEMES:
            believed["scheme"] = scheme
        host = _last(headers, "x-forwarded-host")
        if _HOST.fullmatch(host):
            MutableHeaders(scope=believed)["host"] = host
        return believed

    def _caller(self, hops: Sequence[str], peer: Address) -> Address:
        """Return whom the nearest trusted proxy names; what stands further left, a stranger may have written."""
        caller = peer
        for hop in reversed(hops):
            address = _parse(hop)
            if address is None:
                break
            caller = address
            if not self._trusted.contain(caller):
                break
        return caller


def _parse(text: str) -> Address | None:
    match = _WITH_PORT.fullmatch(text)
    try:
        return parse_address(match["v6"] or match["v4"] if match else text)
    except InputError:
        return None


def _listed(headers: Headers, name: str) -> list[str]:
    """Return the parts of a header that proxies append to, be it given once or several times."""
    return [part.strip() for value in headers.getlist(name) for part in value.split(",")]


def _last(headers: Headers, name: str) -> str:
    """Return what the proxy before us has said, empty where it said nothing."""
    return (_listed(headers, name) or [""])[-1]
