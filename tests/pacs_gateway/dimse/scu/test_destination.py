"""Calling a registered device: in clear or over TLS, and only who shows the certificate it is known by."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pacs_gateway.dimse.config import DimseConfig, TlsConfig
from pacs_gateway.dimse.negotiation import VERIFICATION
from pacs_gateway.dimse.scu.destination import remote_of
from pacs_gateway.dimse.scu.requestor import Proposal, associate
from pacs_gateway.errors import ConfigurationError, NotFoundError, RefusedError, UnavailableError
from tests.pacs_gateway.dimse.conftest import Serve
from tests.pacs_gateway.dimse.doubles import DeviceEntry
from tests.support.authority import Authority, Identity

CONFIG = DimseConfig(ae_titles=("PACSGW",))
ECHO = [Proposal(VERIFICATION, ("1.2.840.10008.1.2",))]


@dataclass(frozen=True)
class CalledEntry(DeviceEntry):
    host: str = "127.0.0.1"
    port: int | None = None
    is_tls: bool = True
    certificates: tuple[str, ...] = ()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


def files(identity: Identity, ca: Path | None) -> TlsConfig:
    return TlsConfig(identity.certificate, identity.key, ca)


def echo(entry: CalledEntry, tls: TlsConfig | None) -> int:
    with associate(remote_of(entry, calling="PACSGW", tls=tls), ECHO, CONFIG) as association:
        return association.echo()


def test_a_device_is_called_over_tls_with_our_certificate(serve: Serve, authority: Authority) -> None:
    ours, theirs = authority.issue("gateway"), authority.issue("archive")
    running = serve(tls=files(theirs, authority.certificate))
    unbound = CalledEntry("PACSGW", port=running.tls_port)
    tls = files(ours, authority.certificate)

    statuses = [
        echo(replace(unbound, certificates=bound), tls)
        for bound in [(), (theirs.fingerprint,), ("0" * 64, "subject:CN=archive,O=Hospital")]
    ]

    assert statuses == [0, 0, 0]


def test_a_device_that_shows_another_certificate_is_not_talked_to(serve: Serve, authority: Authority) -> None:
    ours, theirs = authority.issue("gateway"), authority.issue("archive")
    running = serve(tls=files(theirs, authority.certificate))
    entry = CalledEntry("PACSGW", port=running.tls_port, certificates=(ours.fingerprint,))

    with pytest.raises(RefusedError, match="not that of the device"):
        echo(entry, files(ours, authority.certificate))


def test_a_device_of_another_authority_is_not_talked_to(serve: Serve, authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "Other CA").issue("archive")
    running = serve(tls=files(stranger, None))

    with pytest.raises(UnavailableError, match="its certificate is refused: unable to get local issuer"):
        echo(CalledEntry("PACSGW", port=running.tls_port), files(authority.issue("gateway"), authority.certificate))


def test_a_device_that_nobody_vouches_for_is_known_by_its_fingerprint_alone(serve: Serve, authority: Authority) -> None:
    theirs = authority.issue("archive")
    running = serve(tls=files(theirs, None))
    entry = CalledEntry("PACSGW", port=running.tls_port, certificates=(theirs.fingerprint,))
    tls = files(authority.issue("gateway"), None)

    assert echo(entry, tls) == 0
    for bound in ((), ("subject:CN=archive,O=Hospital",)):
        with pytest.raises(ConfigurationError, match="anybody could answer"):
            echo(replace(entry, certificates=bound), tls)


@pytest.mark.parametrize(
    ("host", "is_bound", "is_checked"),
    [
        ("archive.example.org", False, True),
        ("archive.example.org", True, False),
        ("archive", False, False),
        ("127.0.0.1", False, False),
        ("::1", False, False),
    ],
)
def test_a_domain_name_is_looked_for_in_the_certificate_of_a_device_that_is_not_bound_to_one(
    authority: Authority, host: str, is_bound: bool, is_checked: bool
) -> None:
    ours = authority.issue("gateway")
    entry = CalledEntry("ARCHIVE", host=host, port=2762, certificates=(ours.fingerprint,) * is_bound)
    context = remote_of(entry, calling="PACSGW", tls=files(ours, authority.certificate)).tls

    assert context is not None
    assert context.check_hostname is is_checked


def test_what_cannot_be_called_says_why(authority: Authority) -> None:
    with pytest.raises(NotFoundError):
        remote_of(CalledEntry("ARCHIVE"), calling="PACSGW", tls=None)
    with pytest.raises(ConfigurationError, match="PACS_DICOM_TLS_CERT"):
        remote_of(CalledEntry("ARCHIVE", port=2762), calling="PACSGW", tls=None)
