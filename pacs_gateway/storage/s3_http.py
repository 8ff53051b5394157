"""Requests to an S3 server: time-outs, tries with jitter, the breaker; the client's errors in the gateway's words."""

import random
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from xml.etree.ElementTree import ParseError

from minio.error import MinioException, S3Error, ServerError
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError, SSLError, TimeoutError

from pacs_gateway.errors import (
    CapacityError,
    GatewayError,
    IntegrityError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from pacs_gateway.storage.breaker import Breaker
from pacs_gateway.storage.s3_config import S3Config

TRIES = 5
_FIRST_PAUSE_S = 0.2
_CONNECTIONS = 32
# 429 and 503 ask for patience, the others are the server's trouble or that of a proxy before it.
_TROUBLE = frozenset({408, 429, 500, 502, 503, 504})

_PIECE = 256 * 1024
_PIECE_TIMEOUT_S = 15.0

_MEANINGS: Mapping[str, type[GatewayError]] = {
    "NoSuchKey": NotFoundError,
    # Not what was sent arrived, or an upload that had been completed was completed again: look, and send anew.
    "BadDigest": IntegrityError,
    "IncompleteBody": IntegrityError,
    "InvalidPart": IntegrityError,
    "InvalidRange": IntegrityError,
    "NoSuchUpload": IntegrityError,
    "XAmzContentChecksumMismatch": IntegrityError,
    "XAmzContentSHA256Mismatch": IntegrityError,
    "EntityTooLarge": RefusedError,
    "QuotaExceeded": CapacityError,
    "XMinioAdminBucketQuotaExceeded": CapacityError,
    "XMinioStorageFull": CapacityError,
}
_ADVICE: Mapping[str, str] = {
    "AccessDenied": "access denied; what may PACS_S3_ACCESS_KEY do?",
    "AuthorizationHeaderMalformed": "refused; check PACS_S3_REGION",
    "InvalidAccessKeyId": "refused; check PACS_S3_ACCESS_KEY",
    "NoSuchBucket": "the bucket is gone",
    "PermanentRedirect": "the bucket is in another region; check PACS_S3_REGION",
    "RequestTimeTooSkewed": "refused; the clocks of this machine and of the server differ",
    "SignatureDoesNotMatch": "refused; check PACS_S3_SECRET_KEY",
}
_CODE = re.compile(r"[A-Za-z0-9]{1,64}")


@contextmanager
def s3_errors(doing: str) -> Iterator[None]:
    """Turn the client's errors into the gateway's; `doing` says in words what was under way.

    What a server wrote is not passed on, apart from S3's own codes.
    """
    try:
        yield
    except S3Error as error:
        code = error.code if error.code is not None and _CODE.fullmatch(error.code) else "an unknown error"
        raise _MEANINGS.get(code, UnavailableError)(f"{doing}: {_ADVICE.get(code, code)}") from error
    except (HTTPError, MinioException, ParseError, ValueError) as error:
        raise UnavailableError(f"{doing}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    match error:
        case SSLError():
            return f"no TLS connection ({getattr(error.args[0], 'verify_message', '') or 'handshake failed'})"
        case NewConnectionError():
            return "no connection"
        case TimeoutError():
            return "no answer in time"
        case HTTPError():
            return "the connection broke"
        case ServerError():
            return f"HTTP status {error.status_code}"
    return "an answer that is none of S3's"


class RetryingPool(PoolManager):
    """Connections for the client: every request is tried a few times, and not at all while the breaker is open.

    Nothing is followed to another address: a redirected request would carry its signature there.
    """

    def __init__(self, config: S3Config, breaker: Breaker, *, tries: int = TRIES, read_s: float) -> None:
        super().__init__(
            num_pools=1,
            maxsize=_CONNECTIONS,
            timeout=Timeout(connect=config.connect_timeout_s, read=read_s),
            retries=False,
            # OpenSSL reads SSL_CERT_FILE itself.
            ssl_context=ssl.create_default_context() if config.secure else None,
        )
        self.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
        self._breaker = breaker
        self._tries = tries

    def urlopen(  # type: ignore[override] # as in urllib3's own class
        self, method: str, url: str, redirect: bool = False, **kw: Any
    ) -> BaseHTTPResponse:
        """Make a request; what it comes to after the last try."""
        for pause_s in (*(_FIRST_PAUSE_S * 2**n for n in range(self._tries - 1)), None):
            self._breaker.admit()
            try:
                response = super().urlopen(method, url, redirect=False, **kw)
            except HTTPError:
                self._breaker.failed()
                if pause_s is None:
                    raise
            else:
                if response.status not in _TROUBLE:
                    self._breaker.succeeded()
                    return response
                self._breaker.failed()
                if pause_s is None:
                    return response
                response.close()
            time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
        raise AssertionError("the last try returns or raises")


class _InPieces(HTTPConnection):
    """Sends a large body piece by piece: a time-out is for one piece, not for all that a slow line has to carry."""

    def send(self, data: Any) -> None:
        if not isinstance(data, bytes) or len(data) <= _PIECE:
            super().send(data)
            return
        if self.sock is not None:
            # Until the first answer it is the time-out for connecting (urllib3.connection).
            self.sock.settimeout(_PIECE_TIMEOUT_S)
        view = memoryview(data)
        for start in range(0, len(data), _PIECE):
            super().send(view[start : start + _PIECE])


class _TlsInPieces(_InPieces, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _InPieces


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsInPieces
