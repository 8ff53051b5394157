"""DICOM over TLS as a hospital sets it up: one authority, certificates of devices, renewals, and who is refused."""

import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.support.authority import Authority, Identity
from tests.support.running_gateway import AE_TITLE, ROOT, RunningGateway, running_gateway
from tests.support.storescp import EVERY_SYNTAX, storescp
from tests.support.waiting import wait_until

pytestmark = pytest.mark.peer("dcmtk")

_DEADLINE_S = 30.0
_ANY_SAMPLE = ROOT / "sample_dicom" / "subset"


@dataclass(frozen=True)
class Site:
    """A running gateway, its hospital's authority, and who stands in it."""

    gateway: RunningGateway
    authority: Authority
    files: Mapping[str, Path]
    ct1: Identity

    def tool(self, name: str, calling: str, identity: Identity | None, *arguments: object) -> bool:
        """Return whether one of DCMTK's tools succeeds; without identity in clear."""
        secure = () if identity is None else ("+tls", identity.key, identity.certificate, "+cf", self.files["CA"])
        port = self.gateway.dicom_port if identity is None else self.gateway.dicom_tls_port
        command = [name, *secure, "-aet", calling, "-aec", AE_TITLE, "127.0.0.1", port, *arguments]
        return subprocess.run(list(map(str, command)), capture_output=True, timeout=_DEADLINE_S).returncode == 0

    def echoes(self, calling: str, identity: Identity | None) -> bool:
        return self.tool("echoscu", calling, identity)

    def wait_for_reason(self, calling: str, part: str) -> None:
        """Wait until a caller is listed as turned away for a reason; it is written within a second or two."""

        def is_listed() -> bool:
            rejected = self.gateway.facts("device", "list", "--rejected")
            return any(one["calling"] == calling and part in one["reason"] for one in rejected)

        wait_until(is_listed, _DEADLINE_S, f"{calling} to be listed")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder / "pki")
    own = authority.issue("gateway")
    files = {name: folder / f"{name}.pem" for name in ("CERT", "KEY", "CA")}
    for path, name in ((own.certificate, "CERT"), (own.key, "KEY"), (authority.certificate, "CA")):
        shutil.copy(path, files[name])
    settings = {f"PACS_DICOM_TLS_{name}": str(path) for name, path in files.items()}
    # Loopback is nobody special here: those who may call in clear are elsewhere.
    settings |= {
        "PACS_DICOM_TLS_PORT": "0",
        "PACS_UNKNOWN_DEVICES": "reject",
        "PACS_DICOM_PLAIN_NETWORKS": "127.0.0.0/8",
    }
    with running_gateway(folder / "gateway", settings) as gateway:
        site = Site(gateway, authority, files, authority.issue("ct1"))
        gateway.must(
            *("device", "add", "CT1", "--network", "127.0.0.1", "--certificate", site.ct1.fingerprint),
            *("--certificate", str(authority.issue("ct1", file="ct1-next").certificate)),
        )
        gateway.must("device", "add", "MR1", "--network", "127.0.0.1", "--certificate", "subject:CN=mr1,O=Hospital")
        gateway.must("device", "add", "US1", "--network", "127.0.0.1")
        wait_until(lambda: site.echoes("CT1", site.ct1), _DEADLINE_S, "the devices to be known")
        yield site


def test_a_device_sends_over_tls(site: Site) -> None:
    sample = next(iter(sorted(_ANY_SAMPLE.rglob("*.dcm"))))

    assert site.tool("storescu", "CT1", site.ct1, "-R", sample)
    assert site.tool("storescu", "US1", None, "-R", sample)


def test_a_device_that_is_called_over_tls_must_show_its_own_certificate(site: Site, tmp_path: Path) -> None:
    sample = next(iter(sorted(_ANY_SAMPLE.rglob("*.dcm"))))
    patient = dcmread(sample, stop_before_pixels=True).PatientID
    assert site.tool("storescu", "CT1", site.ct1, "-R", sample)
    archive, gateway = site.authority.issue("archive"), site.gateway
    secure = ("+tls", str(archive.key), str(archive.certificate), "+cf", str(site.files["CA"]))
    gateway.must("device", "add", "VIEWER", "--network", "127.0.0.1", "--rights", "all")
    with storescp(tmp_path, ae_title="ARCHIVE", options=(*EVERY_SYNTAX, *secure)) as destination:
        where = ("ARCHIVE", "127.0.0.1", str(destination.port))
        gateway.must("device", "add", *where, "--rights", "all", "--tls", "--certificate", site.ct1.fingerprint)
        refused = gateway.cli("echo", "ARCHIVE")
        gateway.must("device", "change", "ARCHIVE", "--certificate", archive.fingerprint)

        assert refused.returncode == 1
        assert "certificate" in refused.stderr
        # DCMTK's movescu speaks no TLS here: the order comes in clear, the images leave over TLS.
        what = ("-P", "-aem", "ARCHIVE", "-k", "QueryRetrieveLevel=PATIENT", "-k", f"PatientID={patient}")
        wait_until(lambda: site.tool("movescu", "VIEWER", None, *what), _DEADLINE_S, "the destination to be known")
        assert len(destination.received()) == 1


def test_both_certificates_count_while_one_replaces_the_other(site: Site) -> None:
    folder = site.ct1.certificate.parent
    renewed = Identity(folder / "ct1-next.pem", folder / "ct1-next.key")

    assert site.echoes("CT1", site.ct1)
    assert site.echoes("CT1", renewed)


def test_a_device_bound_to_a_subject_renews_without_being_registered_again(site: Site) -> None:
    assert site.echoes("MR1", site.authority.issue("mr1", file="mr1-first"))
    assert site.echoes("MR1", site.authority.issue("mr1", file="mr1-second"))
    assert not site.echoes("MR1", site.authority.issue("mr2"))


def test_a_device_of_its_own_certificate_is_not_let_in_with_anothers(site: Site) -> None:
    us1 = site.authority.issue("us1")

    assert site.echoes("US1", us1)
    assert not site.echoes("CT1", us1)
    site.wait_for_reason("CT1", us1.fingerprint)


def test_a_device_bound_to_a_certificate_is_not_let_in_without_tls(site: Site) -> None:
    assert site.echoes("US1", None)
    assert not site.echoes("MR1", None)
    site.wait_for_reason("MR1", "called without the TLS certificate it is bound to")


def test_who_fails_the_handshake_is_listed_by_address_and_reason(site: Site) -> None:
    assert not site.echoes("CT1", site.authority.issue("late", days=-1))
    site.wait_for_reason("", "client certificate refused: certificate has expired")
    (listed,) = [one for one in site.gateway.facts("device", "list", "--rejected") if not one["calling"]]
    assert listed["address"] == "127.0.0.1"


def test_the_gateways_certificate_is_renewed_while_it_serves(site: Site) -> None:
    renewed = site.authority.issue("gateway", file="renewed")
    shutil.copy(renewed.key, site.files["KEY"])
    shutil.copy(renewed.certificate, site.files["CERT"])

    at, expected = ("127.0.0.1", site.gateway.dicom_tls_port), renewed.certificate.read_text()
    wait_until(lambda: ssl.get_server_certificate(at) == expected, _DEADLINE_S, "the new certificate")
    assert site.echoes("CT1", site.ct1)


def test_doctor_says_when_the_certificate_ends(site: Site) -> None:
    soon = site.authority.issue("gateway", file="soon", days=20)
    shutil.copy(soon.key, site.files["KEY"])
    shutil.copy(soon.certificate, site.files["CERT"])
    found = site.gateway.cli("doctor")

    assert found.returncode == 1
    assert "PACS_DICOM_TLS_CERT" in found.stdout
    assert "expires on" in found.stdout


@pytest.mark.parametrize("setting", ["CERT", "KEY", "CA"])
def test_a_start_with_a_file_that_is_not_there_is_refused_in_one_line(site: Site, tmp_path: Path, setting: str) -> None:
    settings = {f"PACS_DICOM_TLS_{name}": str(path) for name, path in site.files.items()}
    settings[f"PACS_DICOM_TLS_{setting}"] = str(tmp_path / "none.pem")
    refused = RunningGateway(tmp_path, settings).cli("serve", "--dicom-port", "0", "--web-port", "0")

    assert refused.returncode == 1
    assert f"PACS_DICOM_TLS_{setting}" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
