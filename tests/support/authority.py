"""A certificate authority of the test's own, as a hospital has one, and what it issues."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, in PEM files."""

    certificate: Path
    key: Path

    @property
    def fingerprint(self) -> str:
        parsed = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        return parsed.fingerprint(hashes.SHA256()).hex()


class Authority:
    """Issues certificates of the names it is told."""

    def __init__(self, folder: Path, name: str = "Hospital CA", *, days: float = 365) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = _name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        own = _draft(self._name, self._name, self._key.public_key(), days)
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = folder / "ca.pem"
        self.certificate.write_bytes(_pem(own.sign(self._key, hashes.SHA256())))

    def issue(
        self, name: str, *, days: float = 90, file: str = "", is_self_signed: bool = False, rsa_bits: int = 0
    ) -> Identity:
        """Issue a certificate that ends in `days` from now, or ended so long ago where they are negative."""
        key = rsa.generate_private_key(65537, rsa_bits) if rsa_bits else ec.generate_private_key(ec.SECP256R1())
        draft = _draft(_name(name), _name(name) if is_self_signed else self._name, key.public_key(), days)
        certificate = draft.sign(key if is_self_signed else self._key, hashes.SHA256())
        stem = self._folder / (file or name)
        identity = Identity(stem.with_suffix(".pem"), stem.with_suffix(".key"))
        identity.certificate.write_bytes(_pem(certificate))
        identity.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return identity


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Hospital"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _draft(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, days: float
) -> x509.CertificateBuilder:
    ends_at = datetime.now(UTC) + days * _DAY
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(datetime.now(UTC), ends_at) - _DAY)
        .not_valid_after(ends_at)
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
