"""The seal on what nodes ask of each other: a keyed hash over the request, good for half a minute.

It shows that who asks holds the installation's secret (``PACS_NODE_SECRET``); it hides nothing, so the addresses of
nodes belong on a network of their own, or behind TLS.
"""

import hashlib
import hmac
from dataclasses import dataclass

TIME_HEADER = "X-Node-Time"
SEAL_HEADER = "X-Node-Seal"
MAX_SKEW_S = 30
"""How far the clocks of two nodes may differ; also how long a seal that somebody has listened to can be repeated."""
_PURPOSE = b"pacs-gateway node request 1"


@dataclass(frozen=True, slots=True)
class NodeRequest:
    """What is sealed: everything that decides what is answered."""

    method: str
    path: str
    """As in the request line."""
    range: str
    """The Range header."""
    time: str
    """Seconds since 1970 in decimal digits, as sent."""


def seal(secret: str, request: NodeRequest) -> str:
    """Return the seal of `request` (HMAC with SHA-256, hexadecimal)."""
    facts = (request.method, request.path, request.range, request.time)
    # Each part with its length before it: no two requests are the same bytes.
    message = b"".join(len(part).to_bytes(4, "big") + part for part in (_PURPOSE, *(f.encode() for f in facts)))
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def is_sealed(secret: str, request: NodeRequest, given: str) -> bool:
    """Return whether `given` is the seal of `request`, in a time that does not depend on where they differ."""
    return hmac.compare_digest(seal(secret, request).encode(), given.encode())


def is_timely(request: NodeRequest, *, now_s: float) -> bool:
    """Return whether the request was sealed within `MAX_SKEW_S` of `now_s` (seconds since 1970)."""
    # At most eleven ASCII digits: int() takes other scripts' digits, and thousands of them.
    if not (request.time.isascii() and request.time.isdigit() and len(request.time) <= 11):
        return False
    return abs(now_s - int(request.time)) <= MAX_SKEW_S
