"""A device that is bound to certificates is known by one of them, and by nothing less."""

import ssl
from pathlib import Path

import pytest

from pacs_gateway.access import Access, NewDevice
from pacs_gateway.access.certificates import Certificate, check_certificate
from pacs_gateway.access.networks import Networks
from pacs_gateway.errors import InputError
from tests.pacs_gateway.access.doubles import OPERATOR
from tests.support.authority import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


def issue(authority: Authority, name: str, file: str = "") -> Certificate:
    pem = authority.issue(name, file=file).certificate.read_text()
    return Certificate(ssl.PEM_cert_to_DER_cert(pem))


def add(access: Access, *certificates: str) -> None:
    networks = Networks.parse("192.0.2.1")
    access.devices.add(NewDevice("CT1", "LOCAL", networks=networks, certificates=certificates), by=OPERATOR)


def is_known(access: Access, certificate: Certificate | None, address: str = "192.0.2.1") -> bool:
    device = access.devices.identify(calling="CT1", called="PACSGW", address=address, certificate=certificate)
    return device is not None


def test_one_of_several_fingerprints_is_enough_while_a_certificate_is_renewed(
    access: Access, authority: Authority
) -> None:
    old, new, other = issue(authority, "ct1", "old"), issue(authority, "ct1", "new"), issue(authority, "mr1")
    add(access, old.fingerprint, ":".join(new.fingerprint[n : n + 2] for n in range(0, 64, 2)).upper())

    assert is_known(access, old)
    assert is_known(access, new)
    assert not is_known(access, other)
    assert not is_known(access, None)
    assert not is_known(access, new, address="192.0.2.2")


def test_a_subject_stays_the_same_over_renewals(access: Access, authority: Authority) -> None:
    add(access, "subject:CN=ct1,O=Hospital")

    assert is_known(access, issue(authority, "ct1", "first"))
    assert is_known(access, issue(authority, "ct1", "second"))
    for name in ("CT1", "ct1,O=Hospital", "ct10", "ct"):
        assert not is_known(access, issue(authority, name, "other"))


def test_a_device_without_certificates_may_show_any(access: Access, authority: Authority) -> None:
    add(access)

    assert is_known(access, issue(authority, "ct1"))
    assert is_known(access, None)


@pytest.mark.parametrize("text", ["subject:", "subject:ct1", "subject:CN=a\nb", "subject:=x", "00", "x" * 64])
def test_what_names_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        check_certificate(text)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("subject:CN=ct1,O=Hospital", "subject:CN=ct1,O=Hospital"),
        ("subject: CN=B\\E1\\BB\\87nh vi\\E1\\BB\\87n,C=VN", "subject:CN=Bệnh viện,C=VN"),
        ("subject:emailAddress=it@example.org,CN=a\\, b", "subject:emailAddress=it@example.org,CN=a\\, b"),
        (" AB:" * 31 + "ab ", "ab" * 32),
    ],
)
def test_a_certificate_is_kept_in_one_spelling(text: str, kept: str) -> None:
    assert check_certificate(text.replace(" AB:", "AB:")) == kept


def test_what_is_no_certificate_has_no_subject(tmp_path: Path) -> None:
    assert Certificate(b"\x30\x03abc").subject == ""


def test_technician_reads_which_certificate_was_shown(access: Access, authority: Authority) -> None:
    right, wrong = issue(authority, "ct1"), issue(authority, "ct2")
    add(access, right.fingerprint)
    for address, certificate in (("192.0.2.1", None), ("192.0.2.2", right), ("192.0.2.1", wrong)):
        access.devices.record_rejection(calling="CT1", called="PACSGW", address=address, certificate=certificate)
    access.devices.record_refusal("192.0.2.3", "no client certificate")
    access.devices.close()

    listed = {(one.calling, one.address): one.reason for one in access.devices.rejected()}
    assert listed == {
        ("CT1", "192.0.2.1"): f"its TLS certificate is not one it is bound to: {wrong.fingerprint}",
        ("CT1", "192.0.2.2"): "known, but from another address than 192.0.2.1/32",
        ("", "192.0.2.3"): "no client certificate",
    }


def test_technician_reads_that_a_certificate_was_missing(access: Access, authority: Authority) -> None:
    add(access, issue(authority, "ct1").fingerprint)
    access.devices.record_rejection(calling="CT1", called="PACSGW", address="192.0.2.1")
    access.devices.close()

    assert [one.reason for one in access.devices.rejected()] == ["called without the TLS certificate it is bound to"]
