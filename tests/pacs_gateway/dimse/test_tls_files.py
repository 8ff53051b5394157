"""Certificate, key and authorities: what a start refuses, what is read again, and what is about to expire."""

import shutil
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from pacs_gateway.dimse.config import TlsConfig
from pacs_gateway.dimse.tls import TlsContext, expiry_warnings, make_context
from pacs_gateway.errors import ConfigurationError
from tests.support.authority import Authority, Identity

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def config(authority: Authority, tmp_path: Path) -> TlsConfig:
    """Return the files of a gateway, for the test to spoil."""
    gateway = authority.issue("gateway")
    made = TlsConfig(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem")
    install(gateway, made)
    shutil.copy(authority.certificate, tmp_path / "ca.pem")
    return made


def install(identity: Identity, config: TlsConfig) -> None:
    shutil.copy(identity.certificate, config.certificate)
    shutil.copy(identity.key, config.key)


def encrypt(path: Path) -> None:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    password = serialization.BestAvailableEncryption(b"secret")
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, password))


SPOILT: list[tuple[str, Callable[[Path, Authority], object], str]] = [
    ("CERT", lambda folder, _: (folder / "cert.pem").unlink(), "cannot be read: No such file"),
    ("CERT", lambda folder, _: (folder / "cert.pem").write_text("nothing"), "holds no certificate"),
    (
        "CERT",
        lambda folder, a: shutil.copy(a.issue("late", days=-1).certificate, folder / "cert.pem"),
        "is not the key",
    ),
    ("KEY", lambda folder, _: (folder / "key.pem").unlink(), "cannot be read: No such file"),
    ("KEY", lambda folder, _: (folder / "key.pem").write_text("nothing"), "holds no private key"),
    ("KEY", lambda folder, a: shutil.copy(a.issue("other").key, folder / "key.pem"), "is not the key"),
    ("KEY", lambda folder, _: encrypt(folder / "key.pem"), "is encrypted"),
    ("CA", lambda folder, _: (folder / "ca.pem").unlink(), "cannot be read: No such file"),
    ("CA", lambda folder, _: (folder / "ca.pem").write_text("nothing"), "holds no certificate"),
    (
        "CA",
        lambda folder, _: shutil.copy(Authority(folder / "old", days=-1).certificate, folder / "ca.pem"),
        "expired on",
    ),
]


@pytest.mark.parametrize(("setting", "spoil", "says"), SPOILT)
def test_files_that_cannot_serve_are_refused_in_one_line(
    config: TlsConfig,
    authority: Authority,
    tmp_path: Path,
    setting: str,
    spoil: Callable[[Path, Authority], object],
    says: str,
) -> None:
    make_context(config, is_server=True, now=NOW)
    spoil(tmp_path, authority)

    with pytest.raises(ConfigurationError, match=says) as refusal:
        make_context(config, is_server=True, now=NOW)
    assert "PACS_DICOM_TLS_" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("days", "says"), [(100, "expired on"), (-3, "is only valid from")])
def test_a_certificate_out_of_its_time_is_refused(config: TlsConfig, days: int, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make_context(config, is_server=True, now=NOW + timedelta(days=days))


def test_what_expires_within_thirty_days_is_said(config: TlsConfig) -> None:
    assert list(expiry_warnings(config, now=NOW + timedelta(days=59))) == []
    (soon,) = expiry_warnings(config, now=NOW + timedelta(days=61))
    assert "PACS_DICOM_TLS_CERT" in soon
    assert "expires on" in soon
    late, authority = expiry_warnings(config, now=NOW + timedelta(days=340))
    assert "has expired on" in late
    assert "PACS_DICOM_TLS_CA" in authority


class Listener:
    """A listener's context and a clock that the test moves."""

    def __init__(self, config: TlsConfig) -> None:
        self.now_s = 0.0
        self.tls = TlsContext(config, clock=lambda: self.now_s)

    def later(self) -> ssl.SSLContext | None:
        self.now_s += 10
        return self.tls.current()


def test_a_renewed_certificate_is_taken_up_while_serving(config: TlsConfig, authority: Authority) -> None:
    listener = Listener(config)
    first = listener.later()
    assert listener.later() is first
    install(authority.issue("renewed"), config)

    assert listener.tls.current() is first  # not looked at for every connection
    assert listener.later() not in (first, None)


def test_a_broken_renewal_keeps_the_former_and_is_said_once(
    config: TlsConfig, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    listener = Listener(config)
    first = listener.later()
    renewed = authority.issue("renewed")
    shutil.copy(renewed.certificate, config.certificate)

    assert [listener.later() for _ in range(3)] == [first] * 3
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "is not the key" in caplog.text
    install(authority.issue("expired", days=-1), config)
    assert listener.later() is first
    install(renewed, config)
    assert listener.later() not in (first, None)


def test_a_process_that_starts_again_beside_broken_files_waits_for_them(config: TlsConfig) -> None:
    kept = config.key.read_bytes()
    config.key.unlink()
    listener = Listener(config)
    assert listener.later() is None
    config.key.write_bytes(kept)
    assert listener.later() is not None


def test_a_key_too_weak_for_today_is_refused(config: TlsConfig, authority: Authority) -> None:
    install(authority.issue("weak", rsa_bits=1024), config)

    with pytest.raises(ConfigurationError, match="too weak"):
        make_context(config, is_server=True, now=NOW)


@pytest.mark.parametrize("rsa_bits", [2048, 4096])
def test_rsa_serves_as_well(config: TlsConfig, authority: Authority, rsa_bits: int) -> None:
    install(authority.issue("rsa", rsa_bits=rsa_bits), config)

    make_context(config, is_server=True, now=NOW)
