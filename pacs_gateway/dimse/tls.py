"""TLS by the BCP 195 RFC 8996, 9325 profile: which versions and suites, our certificate, and whom we believe.

References
----------
PS3.15 B.12 (BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile), RFC 9325 3 and 4
"""

import logging
import os
import ssl
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic

from cryptography import x509

from pacs_gateway.dimse.config import TlsConfig
from pacs_gateway.dimse.tls_socket import TlsSocket
from pacs_gateway.domain.clock import utc_now
from pacs_gateway.errors import ConfigurationError

logger = logging.getLogger(__name__)

EXPIRES_SOON = timedelta(days=30)

_CERT, _KEY, _CA = "PACS_DICOM_TLS_CERT", "PACS_DICOM_TLS_KEY", "PACS_DICOM_TLS_CA"
TLS_1_2_SUITES = tuple(
    f"ECDHE-{signature}-AES{suite}" for suite in ("256-GCM-SHA384", "128-GCM-SHA256") for signature in ("ECDSA", "RSA")
)
"""RFC 9325 4.2, for TLS 1.2, by OpenSSL's names; those of TLS 1.3 are all well."""
_LOOK_EVERY_S = 5.0


def make_context(config: TlsConfig, *, is_server: bool, now: datetime | None = None) -> ssl.SSLContext:
    """Return the context of one side of a connection; its sockets are `TlsSocket`.

    Parameters
    ----------
    now
        When the certificates must hold; None where expired ones are better than none.

    Raises
    ------
    ConfigurationError
        One line that names the setting: a file is missing, is not what it should be, or has expired.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = TlsSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join(TLS_1_2_SUITES))
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    # A resumed session would outlive the certificate it began with, and a sibling process could not take it up.
    context.options |= ssl.OP_NO_TICKET
    context.check_hostname = False
    if is_server:
        context.num_tickets = 0
    _load_own(context, config, now)
    if config.ca is not None:
        _load_authorities(context, config.ca, now)
    context.verify_mode = ssl.CERT_NONE if config.ca is None else ssl.CERT_REQUIRED
    return context


def expiry_warnings(config: TlsConfig, *, now: datetime) -> Iterator[str]:
    """Yield what must be renewed within 30 days, or should have been, in words for a person.

    Raises
    ------
    ConfigurationError
        A file is missing or holds no certificate.
    """
    files = [(_CERT, config.certificate)] + ([(_CA, config.ca)] if config.ca is not None else [])
    for setting, path in files:
        for certificate in _read_certificates(path, setting):
            ends_at = certificate.not_valid_after_utc
            if ends_at - now < EXPIRES_SOON:
                verb = "expires" if ends_at > now else "has expired"
                yield f"{setting}: {path} {verb} on {ends_at:%Y-%m-%d %H:%M} UTC: renew it"


class TlsContext:
    """The listener's context, made anew when a file has changed; used by one thread."""

    def __init__(
        self, config: TlsConfig, *, clock: Callable[[], float] = monotonic, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._config = config
        self._clock = clock
        self._now = now
        self._context: ssl.SSLContext | None = None
        self._loaded = self._refused = _NOTHING
        self._look_at = float("-inf")

    def current(self) -> ssl.SSLContext | None:
        """Return the context for a new connection; None as long as the files have never been right."""
        if self._clock() >= self._look_at:
            self._look_at = self._clock() + _LOOK_EVERY_S
            self._look()
        return self._context

    def _look(self) -> None:
        found = _signature(self._config)
        if found == self._loaded:
            return
        try:
            # A process that was started again serves with what there is; only a renewal must be an improvement.
            now = self._now() if self._context else None
            self._context = make_context(self._config, is_server=True, now=now)
        except ConfigurationError as error:
            if found != self._refused:
                logger.error("TLS %s: %s", "goes on with the former certificate" if self._context else "is off", error)  # noqa: TRY400 - one line, no traceback
            self._refused = found
            return
        if self._loaded != _NOTHING:
            logger.info("TLS certificates were read again")
        self._loaded, self._refused = found, _NOTHING


_Signature = tuple[tuple[int, int, int] | None, ...]
_NOTHING: _Signature = ()


def _signature(config: TlsConfig) -> _Signature:
    """Return what changes when one of the files does."""
    return tuple(_facts(path) for path in (config.certificate, config.key, config.ca) if path is not None)


def _facts(path: Path) -> tuple[int, int, int] | None:
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino


def _load_own(context: ssl.SSLContext, config: TlsConfig, now: datetime | None) -> None:
    own = _read_certificates(config.certificate, _CERT)[0]
    _read(config.key, _KEY)

    def no_password() -> str:
        raise ConfigurationError(
            f"{_KEY}: {config.key} is encrypted: store it without a passphrase, for the gateway alone"
        )

    try:
        context.load_cert_chain(config.certificate, config.key, no_password)
    except OSError as error:
        raise ConfigurationError(_explain(error, config)) from None
    if now is not None:
        _check_dates(own, config.certificate, _CERT, now)


def _load_authorities(context: ssl.SSLContext, path: Path, now: datetime | None) -> None:
    authorities = _read_certificates(path, _CA)
    if now is not None and all(one.not_valid_after_utc <= now for one in authorities):
        _check_dates(authorities[0], path, _CA, now)
    try:
        context.load_verify_locations(path)
    except OSError as error:
        raise ConfigurationError(f"{_CA}: {path} cannot be used: {error.strerror}") from None


def _explain(error: OSError, config: TlsConfig) -> str:
    if not isinstance(error, ssl.SSLError):  # replaced since it was read
        return f"{_CERT}, {_KEY}: a file cannot be read: {error.strerror}"
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"{_KEY}: {config.key} is not the key of {config.certificate}"
    if error.reason in ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"):
        return f"{_CERT}: {config.certificate} has a key or a signature too weak for today"
    return f"{_KEY}: {config.key} holds no private key in PEM form"


def _check_dates(certificate: x509.Certificate, path: Path, setting: str, now: datetime) -> None:
    if certificate.not_valid_after_utc <= now:
        raise ConfigurationError(f"{setting}: {path} expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    if certificate.not_valid_before_utc > now:
        begins_at = certificate.not_valid_before_utc
        raise ConfigurationError(
            f"{setting}: {path} is only valid from {begins_at:%Y-%m-%d %H:%M} UTC: is the clock right?"
        )


def _read_certificates(path: Path, setting: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(path, setting))
    except ValueError:
        raise ConfigurationError(f"{setting}: {path} holds no certificate in PEM form") from None


def _read(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{setting}: {path} cannot be read: {error.strerror}") from error
