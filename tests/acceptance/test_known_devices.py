"""Who may call: nobody until said so; and starts that would expose patients are refused."""

import itertools
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.authority import Authority, Identity
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.scripted_peer import ScriptedPeer, associate_rq
from tests.support.storescu import echo
from tests.support.waiting import wait_until

pytestmark = pytest.mark.peer("dcmtk")

_ALLOW_DEADLINE_S = 10.0
"""Five times the promise: 2 s."""
_SHOWN_DEADLINE_S = 60.0
"""Asked for by commands, which take seconds where the machine is busy."""
_REJECTED_PERMANENTLY = bytes([0, 1, 1, 1])
"""Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 9.3.4): the same for every cause."""


@pytest.fixture(scope="module")
def strict_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with the default for unknown devices."""
    with running_gateway(tmp_path_factory.mktemp("strict"), {"PACS_UNKNOWN_DEVICES": ""}) as gateway:
        yield gateway


def _context(identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(identity.certificate.with_name("ca.pem"))
    context.load_cert_chain(identity.certificate, identity.key)
    return context


def answer_to(
    gateway: RunningGateway,
    calling: str,
    called: str = "PACSGW",
    *,
    source: str = "127.0.0.1",
    shown: Identity | None = None,
) -> bytes:
    """Return how an association request is answered; over TLS where a certificate is shown."""
    with ScriptedPeer(gateway.dicom_tls_port if shown else gateway.dicom_port, source=source) as peer:
        if shown:
            peer.sock = _context(shown).wrap_socket(peer.sock)
        peer.send(associate_rq(calling=calling, called=called))
        return peer.receive_pdu()


def test_an_unknown_device_is_rejected_shown_and_let_in_when_allowed(strict_gateway: RunningGateway) -> None:
    answer = answer_to(strict_gateway, "CT_NEW")

    assert (answer[0], answer[6:]) == (3, _REJECTED_PERMANENTLY)

    def entry() -> Mapping[str, object]:
        rejected = strict_gateway.facts("device", "list", "--rejected")
        return next((one for one in rejected if one["calling"] == "CT_NEW"), {})

    wait_until(lambda: bool(entry()), _SHOWN_DEADLINE_S, "the rejection to be shown")
    assert {name: entry()[name] for name in ("called", "address", "times")} == {
        "called": "PACSGW",
        "address": "127.0.0.1",
        "times": 1,
    }

    assert strict_gateway.cli("device", "allow", "CT_NEW").returncode == 0
    wait_until(lambda: echo(strict_gateway.dicom_port, "-aet", "CT_NEW")[0], _ALLOW_DEADLINE_S, "to be let in")


# The matrix of promise B2: whatever of these is wrong, alone or with others, the caller gets in nowhere and learns
# nothing. CT1 may call PACSGW from 127.0.1.0/24 with its certificate, MR1 from 127.0.2.0/24 with its own.
_CALLING = ("CT1", "ct1", "CT9")
_CALLED = ("PACSGW", "PACS2", "pacsgw")
_NETWORKS = ("127.0.1", "127.0.2", "127.0.3")
_CERTIFICATES = ("ct1", "mr1", "")
"""Shown over TLS; without one the plain port is called."""
_RIGHT = ("CT1", "PACSGW", "127.0.1", "ct1")


def _reason(calling: str, called: str, network: str, certificate: str) -> str:
    """Return what the technician reads of a combination: the first thing to put right."""
    if called == "pacsgw":
        return "called another AE title than PACS2 or PACSGW: upper and lower case count"
    if calling != "CT1":
        return "not CT1, which is known: upper and lower case count" if calling == "ct1" else "unknown calling AE title"
    if called == "PACS2":
        return "may call PACSGW only"
    if network != "127.0.1":
        return "known, but from another address than 127.0.1.0/24"
    return "its TLS certificate is not one" if certificate else "called without the TLS certificate it is bound to"


def test_a_known_device_that_may_do_nothing_it_asks_for_is_shown_with_the_reason(
    strict_gateway: RunningGateway,
) -> None:
    strict_gateway.must("device", "add", "RIS", "--network", "127.0.0.0/8", "--rights", "find")
    wait_until(lambda: answer_to(strict_gateway, "RIS")[0] == 2, _ALLOW_DEADLINE_S, "the device to be known")

    def reasons() -> list[str]:
        rejected = strict_gateway.facts("device", "list", "--rejected")
        return [one["reason"] for one in rejected if one["calling"] == "RIS"]

    wait_until(lambda: "let in, but has no right to echo, store" in reasons(), _SHOWN_DEADLINE_S, "the reason")

    strict_gateway.must("device", "change", "RIS", "--rights", "echo")
    wait_until(lambda: echo(strict_gateway.dicom_port, "-aet", "RIS")[0], _ALLOW_DEADLINE_S, "the right to count")


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, Identity]:
    authority = Authority(tmp_path / "pki")
    return {name: authority.issue(name) for name in ("ct1", "mr1", "gateway")}


@pytest.fixture
def bound_gateway(tmp_path: Path, certificates: Mapping[str, Identity]) -> Iterator[RunningGateway]:
    """A gateway with two titles and TLS, and two devices bound to their certificates."""
    settings = {
        "PACS_UNKNOWN_DEVICES": "",
        "PACS_AE_TITLE": "PACSGW,PACS2",
        "PACS_DICOM_TLS_CERT": str(certificates["gateway"].certificate),
        "PACS_DICOM_TLS_KEY": str(certificates["gateway"].key),
        "PACS_DICOM_TLS_CA": str(tmp_path / "pki" / "ca.pem"),
        "PACS_DICOM_TLS_PORT": "0",
    }
    with running_gateway(tmp_path, settings) as gateway:
        for title, network, name, *more in (
            ("CT1", "127.0.1.0/24", "ct1", "--called", "PACSGW"),
            ("MR1", "127.0.2.0/24", "mr1"),
        ):
            bound = str(certificates[name].certificate)
            gateway.must("device", "add", title, "--network", network, "--certificate", bound, *more)
        yield gateway


def test_every_wrong_combination_is_rejected_alike_and_recorded_with_its_reason(
    bound_gateway: RunningGateway, certificates: Mapping[str, Identity]
) -> None:
    def answer(calling: str, called: str, address: str, certificate: str) -> bytes:
        shown = certificates.get(certificate)
        return answer_to(bound_gateway, calling, called, source=address, shown=shown)

    def is_known() -> bool:
        return answer("MR1", "PACSGW", "127.0.2.1", "mr1")[0] == 2

    def recorded() -> dict[str, Mapping[str, object]]:
        return {one["address"]: one for one in bound_gateway.facts("device", "list", "--rejected")}

    wait_until(is_known, _ALLOW_DEADLINE_S, "the devices to be known")
    answers, reasons = {}, {}
    combinations = itertools.product(_CALLING, _CALLED, _NETWORKS, _CERTIFICATES)
    for number, combination in enumerate(combinations, start=2):
        calling, called, network, certificate = combination
        # Each from an address of its own, by which it is found again.
        address = f"{network}.{number}"
        answers[combination] = answer(calling, called, address, certificate)
        reasons[address] = _reason(*combination)
        if combination == _RIGHT:
            del reasons[address]

    assert answers.pop(_RIGHT)[0] == 2
    assert len(answers) == len(reasons) == 80
    assert set(answers.values()) == {b"\x03\0\0\0\0\4" + _REJECTED_PERMANENTLY}
    wait_until(lambda: reasons.keys() <= recorded().keys(), _SHOWN_DEADLINE_S, "all to be recorded")
    found = recorded()
    assert {address: found[address]["times"] for address in reasons} == dict.fromkeys(reasons, 1)
    assert [a for a, says in reasons.items() if not str(found[a]["reason"]).startswith(says)] == []


@pytest.mark.parametrize(
    ("settings", "arguments", "word"),
    [
        ({"PACS_AUTH": "off"}, ("--web-host", "0.0.0.0"), "PACS_AUTH"),
        ({}, ("--dicom-host", "0.0.0.0"), "PACS_UNKNOWN_DEVICES"),
        ({"PACS_UNKNOWN_DEVICES": "reject"}, ("--web-host", "0.0.0.0"), "administrator"),
        ({"PACS_AUTH": "off", "PACS_TRUSTED_PROXIES": "10.0.0.1"}, ("--role", "web"), "PACS_AUTH"),
        ({"PACS_TRUSTED_PROXIES": "10.0.0.1"}, ("--role", "dicom"), "PACS_UNKNOWN_DEVICES"),
        ({"PACS_UNKNOWN_DEVICES": "sometimes"}, (), "PACS_UNKNOWN_DEVICES"),
        ({"PACS_AUTH": "no"}, (), "PACS_AUTH"),
        ({"PACS_TRUSTED_PROXIES": "10.0.0.1/8"}, (), "PACS_TRUSTED_PROXIES"),
        ({"PACS_AE_TITLE": "A\\B"}, (), "PACS_AE_TITLE"),
        ({"PACS_STORAGE_URL": "ftp://pacs"}, (), "PACS_STORAGE_URL"),
        ({"PACS_UNKNOWN": "1"}, (), "PACS_UNKNOWN"),
        ({"PACS_DICOM_PORT": "seventy"}, (), "PACS_DICOM_PORT"),
    ],
    ids=[
        "no login",
        "every device",
        "no administrator",
        "no login behind a proxy",
        "every device behind a proxy",
        "unknown devices half accepted",
        "login half off",
        "proxies that may be one or many",
        "title that cannot be one",
        "store of no kind",
        "unknown setting",
        "value that does not fit",
    ],
)
def test_a_start_that_is_unsafe_or_unclear_is_refused_in_one_line(
    tmp_path: Path, settings: Mapping[str, str], arguments: tuple[str, ...], word: str
) -> None:
    gateway = RunningGateway(tmp_path, settings)

    done = gateway.cli("serve", "--dicom-port", "0", "--web-port", "0", *arguments)

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("pacs-gateway: ")
    assert word in line


def test_a_port_that_is_taken_is_said(strict_gateway: RunningGateway, tmp_path: Path) -> None:
    other = RunningGateway(tmp_path)

    done = other.cli("serve", "--dicom-port", str(strict_gateway.dicom_port), "--web-port", "0")

    assert done.returncode == 1
    assert str(strict_gateway.dicom_port) in done.stderr
    assert len(done.stderr.splitlines()) == 1
