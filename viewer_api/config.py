"""Settings of the web side: frozen, made by whoever starts it."""

from dataclasses import dataclass

from pacs_gateway.access.networks import NOWHERE, Networks


@dataclass(frozen=True, slots=True)
class WebConfig:
    """How the web answers."""

    search_limit: int = 1000
    """Most results of one QIDO-RS answer; what is left is said in a Warning."""
    page_size: int = 25
    """Studies on one page of the list."""
    max_upload_bytes: int = 64 << 30
    """Largest body of one STOW-RS request; nothing of it is held in memory."""
    upload_piece_bytes: int = 64 << 10
    upload_piece_s: float = 60.0
    """A body is given up when so many bytes of it take longer, the time that the gateway takes itself left out."""
    needs: frozenset[str] = frozenset({"index"})
    """Without which of `Gateway.readiness` the roles that run here cannot do their work."""
    trusted_proxies: Networks = NOWHERE
    """Whose ``X-Forwarded-*`` headers are believed."""
