"""How a device's TLS certificate is named: by its SHA-256 fingerprint, or by the subject its authority gave it."""

import hashlib
import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from pacs_gateway.errors import InputError

SUBJECT = "subject:"
_MAX_SUBJECT = 1024
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


# Beyond the names that every reader of RFC 4514 knows.
_EMAIL = "emailAddress"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A caller's certificate, once TLS has verified it."""

    encoded: bytes
    """DER."""

    @property
    def fingerprint(self) -> str:
        """Its SHA-256, in hexadecimal."""
        return hashlib.sha256(self.encoded).hexdigest()

    @property
    def subject(self) -> str:
        """Its subject as RFC 4514 writes it; empty where it cannot be read."""
        try:
            return _write_name(x509.load_der_x509_certificate(self.encoded).subject)
        except ValueError:
            return ""

    def is_one_of(self, bound: Iterable[str]) -> bool:
        """Return whether one of the fingerprints and subjects in `bound` is this certificate's."""
        return any(
            self.subject == one.removeprefix(SUBJECT) if one.startswith(SUBJECT) else self.fingerprint == one
            for one in bound
        )


def is_fingerprint(text: str) -> bool:
    """Return whether `text` is a SHA-256 in hexadecimal, with or without colons."""
    return _FINGERPRINT.fullmatch(_bare(text)) is not None


def check_certificate(text: str) -> str:
    """Return `text` as it is kept: a fingerprint in lower case without colons, or ``subject:`` and a name.

    Raises
    ------
    InputError
        It is neither.
    """
    if text.startswith(SUBJECT):
        subject = text.removeprefix(SUBJECT).strip()
        wanted = "a certificate's subject is written subject:CN=ct1,O=Hospital (RFC 4514, its last part first)"
        if not subject or len(subject) > _MAX_SUBJECT or not subject.isprintable():
            raise InputError(wanted)
        try:
            name = x509.Name.from_rfc4514_string(subject, {_EMAIL: NameOID.EMAIL_ADDRESS})
        except ValueError as error:
            raise InputError(wanted) from error
        return SUBJECT + _write_name(name)
    if not is_fingerprint(text):
        raise InputError("a certificate is a PEM file, its SHA-256 fingerprint, or subject: and its subject")
    return _bare(text)


def fingerprint_of_pem(text: str) -> str:
    """Return the SHA-256 fingerprint of the first certificate in `text`.

    Raises
    ------
    InputError
        There is none.
    """
    found = _PEM.search(text)
    try:
        encoded = ssl.PEM_cert_to_DER_cert(found.group()) if found else b""
        # It looks into the certificate, where the line above only undoes its wrapping.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=encoded)
    except (ValueError, ssl.SSLError) as error:
        raise InputError("the file holds no certificate in PEM form") from error
    return hashlib.sha256(encoded).hexdigest()


def _bare(text: str) -> str:
    return text.strip().replace(":", "").lower()


def _write_name(name: x509.Name) -> str:
    return name.rfc4514_string({NameOID.EMAIL_ADDRESS: _EMAIL})
