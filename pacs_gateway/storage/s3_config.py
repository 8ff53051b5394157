"""What the S3 backend must know: read from the settings, frozen, without loading the client."""

import re
from dataclasses import dataclass, field

from pacs_gateway.errors import ConfigurationError
from pacs_gateway.storage.store import is_key

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ENDPOINT = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_REGION = re.compile(r"[A-Za-z0-9-]{1,63}")
_SCHEME = "s3://"


@dataclass(frozen=True, slots=True)
class S3Config:
    """One bucket of one server, and how patient the gateway is with it."""

    endpoint: str
    """``host:port``, without a scheme."""
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    prefix: str = ""
    """What every key in the bucket begins with, so that a bucket can be shared; no slash at its ends."""
    region: str = "us-east-1"
    """What requests are signed for; servers other than Amazon's take this one unless told otherwise."""
    secure: bool = True
    """Whether to speak TLS; certificates are checked against the system's, or ``SSL_CERT_FILE``."""
    connect_timeout_s: float = 3.0
    read_timeout_s: float = 15.0
    n_read_back: int = 100
    """After so many puts, each read back whole, the server's own checksum is believed."""

    def __post_init__(self) -> None:
        if _BUCKET.fullmatch(self.bucket) is None or (self.prefix and not is_key(self.prefix)):
            raise ConfigurationError(
                "PACS_STORAGE_URL: s3://bucket or s3://bucket/prefix, lower-case letters, digits, hyphens and points"
            )
        if not (self.endpoint and self.access_key and self.secret_key):
            raise ConfigurationError(
                "PACS_STORAGE_URL names S3: set PACS_S3_ENDPOINT, PACS_S3_ACCESS_KEY and PACS_S3_SECRET_KEY, too"
            )
        if _ENDPOINT.fullmatch(self.endpoint) is None:
            raise ConfigurationError(
                "PACS_S3_ENDPOINT: host:port of the S3 server, without http:// (PACS_S3_SECURE says whether it is TLS)"
            )
        if _REGION.fullmatch(self.region) is None:
            raise ConfigurationError("PACS_S3_REGION: the name of a region, for instance us-east-1")


def is_s3_url(url: str) -> bool:
    """Return whether a storage URL names a bucket."""
    return url.startswith(_SCHEME)


def split_s3_url(url: str) -> tuple[str, str]:
    """Return bucket and prefix of ``s3://bucket/prefix``."""
    bucket, _, prefix = url.removeprefix(_SCHEME).partition("/")
    return bucket, prefix.strip("/")
