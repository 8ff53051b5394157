"""Who may call: nobody until said so; and starts that would expose patients are refused."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.scripted_peer import ScriptedPeer, associate_rq
from tests.support.storescu import echo
from tests.support.waiting import wait_until

pytestmark = pytest.mark.peer("dcmtk")

_ALLOW_DEADLINE_S = 10.0
"""Five times the promise: 2 s."""
_REJECTED_PERMANENTLY = bytes([0, 1, 1, 1])
"""Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 9.3.4): the same for every cause."""


@pytest.fixture(scope="module")
def strict_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with the default for unknown devices."""
    with running_gateway(tmp_path_factory.mktemp("strict"), {"PACS_UNKNOWN_DEVICES": ""}) as gateway:
        yield gateway


def answer_to(gateway: RunningGateway, calling: str, called: str = "PACSGW") -> bytes:
    """Return how an association request is answered."""
    with ScriptedPeer(gateway.dicom_port) as peer:
        peer.send(associate_rq(calling=calling, called=called))
        return peer.receive_pdu()


def test_an_unknown_device_is_rejected_shown_and_let_in_when_allowed(strict_gateway: RunningGateway) -> None:
    answer = answer_to(strict_gateway, "CT_NEW")

    assert (answer[0], answer[6:]) == (3, _REJECTED_PERMANENTLY)

    def entry() -> Mapping[str, object]:
        rejected = strict_gateway.facts("device", "list", "--rejected")
        return next((one for one in rejected if one["calling"] == "CT_NEW"), {})

    wait_until(lambda: bool(entry()), _ALLOW_DEADLINE_S * 6, "the rejection to be shown")
    assert {name: entry()[name] for name in ("called", "address", "times")} == {
        "called": "PACSGW",
        "address": "127.0.0.1",
        "times": 1,
    }

    assert strict_gateway.cli("device", "allow", "CT_NEW").returncode == 0
    wait_until(lambda: echo(strict_gateway.dicom_port, "-aet", "CT_NEW")[0], _ALLOW_DEADLINE_S, "to be let in")


def test_every_rejection_looks_the_same(strict_gateway: RunningGateway) -> None:
    done = strict_gateway.cli("device", "add", "MR1", "--network", "192.0.2.0/24")
    assert done.returncode == 0, done.stderr

    wrong = [("MR1", "PACSGW"), ("mr1", "PACSGW"), ("MR1", "OTHER"), ("NOBODY", "PACSGW"), ("NOBODY", "OTHER")]
    answers = {answer_to(strict_gateway, calling, called) for calling, called in wrong}

    assert {(answer[0], answer[6:]) for answer in answers} == {(3, _REJECTED_PERMANENTLY)}


@pytest.mark.parametrize(
    ("settings", "arguments", "word"),
    [
        ({"PACS_AUTH": "off"}, ("--web-host", "0.0.0.0"), "PACS_AUTH"),
        ({}, ("--dicom-host", "0.0.0.0"), "PACS_UNKNOWN_DEVICES"),
        ({"PACS_UNKNOWN_DEVICES": "reject"}, ("--web-host", "0.0.0.0"), "administrator"),
        ({"PACS_UNKNOWN": "1"}, (), "PACS_UNKNOWN"),
        ({"PACS_DICOM_PORT": "seventy"}, (), "PACS_DICOM_PORT"),
    ],
    ids=["no login", "every device", "no administrator", "unknown setting", "value that does not fit"],
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
