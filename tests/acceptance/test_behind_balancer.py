"""Behind a real HAProxy: devices and people keep their addresses, and nobody else can claim one."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic

import httpx
import pytest
from pynetdicom.ae import ApplicationEntity

from tests.support.dicomweb import search, value
from tests.support.haproxy import ADDRESS, Balancer, balanced
from tests.support.proxy_header import proxy_header
from tests.support.running_gateway import RunningGateway
from tests.support.scripted_peer import VERIFICATION, ScriptedPeer, associate_rq
from tests.support.storescu import send
from tests.support.synthetic_ct import CtSeries
from tests.support.waiting import wait_until

pytestmark = pytest.mark.peer("haproxy")

DEVICE_ADDRESS, OTHER_ADDRESS = "127.0.0.2", "127.0.0.4"
_DEADLINE_S = 90.0
_PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway that trusts HAProxy, and knows one device by its address."""
    settings = {"PACS_TRUSTED_PROXIES": ADDRESS, "PACS_UNKNOWN_DEVICES": "reject"}
    gateway = RunningGateway(tmp_path_factory.mktemp("gateway"), settings)
    try:
        gateway.must("migrate")
        gateway.must("user", "add", "admin", "--role", "administrator")
        gateway.must("device", "add", "CT1", "--network", DEVICE_ADDRESS)
        gateway.start()
        yield gateway
    finally:
        gateway.close()


@pytest.fixture(scope="module")
def balancer(gateway: RunningGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balancer]:
    with balanced(tmp_path_factory.mktemp("haproxy"), [gateway]) as balancer:
        yield balancer


def is_let_in(port: int, calling: str, *, address: str) -> bool:
    """Return whether a device that calls from `address` gets an association and an answer to a C-ECHO."""
    ae = ApplicationEntity(calling)
    ae.add_requested_context(VERIFICATION)
    assoc = ae.associate("127.0.0.1", port, ae_title="PACSGW", bind_address=(address, 0))
    try:
        return bool(assoc.is_established and assoc.send_c_echo().Status == 0)
    finally:
        if assoc.is_established:
            assoc.release()


def rejections(gateway: RunningGateway, calling: str) -> dict[str, Mapping[str, object]]:
    """Return the attempts of `calling` that were turned away, by address."""
    rejected = gateway.facts("device", "list", "--rejected")
    return {str(one["address"]): one for one in rejected if one["calling"] == calling}


def test_a_device_is_known_by_its_own_address(gateway: RunningGateway, balancer: Balancer) -> None:
    wait_until(
        lambda: is_let_in(balancer.dicom_port, "CT1", address=DEVICE_ADDRESS), _DEADLINE_S, "the device to be let in"
    )

    assert not is_let_in(balancer.dicom_port, "CT1", address=OTHER_ADDRESS)
    assert not is_let_in(balancer.dicom_port, "CT1", address=ADDRESS)

    def is_shown() -> bool:
        return rejections(gateway, "CT1").keys() >= {OTHER_ADDRESS, ADDRESS}

    wait_until(is_shown, _DEADLINE_S, "the rejections to be shown")
    assert DEVICE_ADDRESS not in rejections(gateway, "CT1")


def test_nobody_claims_an_address_without_being_the_balancer(gateway: RunningGateway, balancer: Balancer) -> None:
    claim = proxy_header(DEVICE_ADDRESS) + associate_rq(calling="CT1")
    with ScriptedPeer(gateway.dicom_port) as peer:
        peer.send(claim)
        assert peer.receive_pdu()[:1] == b"\x07"
    # Through the balancer it is what the caller says, not what the balancer does.
    with ScriptedPeer(balancer.dicom_port) as peer:
        peer.send(claim)
        assert peer.receive_pdu()[:1] == b"\x07"


@pytest.mark.peer("dcmtk")
def test_what_is_sent_through_the_balancer_arrives(gateway: RunningGateway, balancer: Balancer, tmp_path: Path) -> None:
    gateway.must("device", "add", "CT2", "--network", "127.0.0.1")
    series = CtSeries(64)
    images = [series.image() for _ in range(20)]
    paths = [tmp_path / f"{n}.dcm" for n in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        path.write_bytes(image.content)
    wait_until(lambda: is_let_in(balancer.dicom_port, "CT2", address="127.0.0.1"), _DEADLINE_S, "to be let in")

    send(balancer.dicom_port, paths, "-xe", "-aet", "CT2")

    with balancer.client(gateway.token) as client:
        wait_until(
            lambda: len(search(client, f"/studies/{series.study_uid}/instances")) == len(images), _DEADLINE_S, "all"
        )
        found = search(client, f"/studies/{series.study_uid}/instances")
    # Where the caller finds it: by TLS, at the balancer.
    assert value(found[0], "00081190").startswith(f"{balancer.url}/dicom-web/studies/")


def test_a_session_belongs_to_tls_and_guesses_to_who_makes_them(gateway: RunningGateway, balancer: Balancer) -> None:
    password = gateway.must("user", "add", "hoa", "--role", "reader").split()[-1]

    def log_in(address: str, password: str) -> httpx.Response:
        with balancer.client(address=address) as client:
            form = {"name": "hoa", "password": password}
            return client.post("/login", data=form, headers={"Origin": balancer.url, "X-Forwarded-For": "198.51.100.1"})

    assert {log_in(OTHER_ADDRESS, _PASSWORD).status_code for _ in range(6)} == {401}

    assert log_in(OTHER_ADDRESS, password).status_code == 401
    welcome = log_in(DEVICE_ADDRESS, password)
    assert welcome.status_code == 303
    assert welcome.headers["set-cookie"].startswith("__Host-pacs_session=")
    assert "; Secure" in welcome.headers["set-cookie"]


def test_health_checks_leave_no_trace(gateway: RunningGateway, balancer: Balancer) -> None:
    before = gateway.log.read_text(encoding="utf-8")
    deadline = monotonic() + 2.0  # some ten checks of each port

    wait_until(lambda: monotonic() >= deadline, _DEADLINE_S)

    assert gateway.log.read_text(encoding="utf-8") == before
    assert rejections(gateway, "") == {}


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"PACS_AUTH": "off", "PACS_UNKNOWN_DEVICES": "reject"}, "PACS_AUTH"),
        ({}, "PACS_UNKNOWN_DEVICES"),
    ],
    ids=["no login", "every device"],
)
def test_what_only_this_machine_may_do_is_refused_to_whoever_comes_through_a_proxy(
    tmp_path: Path, settings: Mapping[str, str], word: str
) -> None:
    gateway = RunningGateway(tmp_path, {"PACS_TRUSTED_PROXIES": ADDRESS, **settings})

    done = gateway.cli("serve", "--dicom-port", "0", "--web-port", "0")

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert word in line
