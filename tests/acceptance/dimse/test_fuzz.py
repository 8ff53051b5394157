"""Spoilt conversations of every service against the whole gateway: no crash, no hang, no growth (promises R25)."""

import itertools
import logging
import random
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from pacs_gateway.dimse.negotiation import STUDY_ROOT_MOVE
from tests.acceptance.dimse.conftest import register
from tests.support.builders import encode, image
from tests.support.conversations import STORED, Conversation, conversations
from tests.support.mutation import mutate, spoil_bytes
from tests.support.raw_caller import RawCaller
from tests.support.raw_sender import RawSender
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.scripted_destination import CalledPeer, associate_ac, called_peer, context_answer, store_rsp
from tests.support.scripted_peer import ScriptedPeer, element, p_data, pdu, pdv
from tests.support.storescp import storescp
from tests.support.storescu import echo
from tests.support.waiting import wait_until

pytestmark = pytest.mark.peer("dcmtk")

_log = logging.getLogger(__name__)

_SEED = 20261122
_N_CALLERS = 6
_HANG_S = 5.0
_GROWTH_BYTES = 100 << 20
_DESTINATION = "FUZZDEST"
_END_DEADLINE_S = 60.0
_NONSENSE = "NONSENSE"
_MOVE_DEADLINE_S = 60.0
_ANSWERS = (
    associate_ac(*(context_answer(number, ImplicitVRLittleEndian) for number in (1, 3, 5)))
    + b"".join(p_data(pdv(1, 3, store_rsp(number))) for number in (1, 2))
    + pdu(6, bytes(4))
)
"""What a destination says that takes an object and is then released."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway that knows a destination and holds one object."""
    folder = tmp_path_factory.mktemp("fuzz")
    with (
        running_gateway(folder / "gateway", {"PACS_AUTH": "off"}) as gateway,
        storescp(folder / "destination", ae_title=_DESTINATION) as destination,
    ):
        register(gateway, _DESTINATION, destination.port)
        ds = image(STORED)
        with RawSender(
            gateway.dicom_port, sop_class_uid=ds.SOPClassUID, transfer_syntax_uid=ImplicitVRLittleEndian
        ) as sender:
            assert sender.store(ds.SOPInstanceUID, encode(ds, ImplicitVRLittleEndian)).status == 0
        yield gateway


@pytest.mark.parametrize(
    "n_cases",
    [
        pytest.param(10_000, marks=pytest.mark.timeout(900)),
        pytest.param(100_000, marks=[pytest.mark.long, pytest.mark.timeout(7200)]),
    ],
)
def test_spoilt_conversations_end_in_time_and_harm_nobody(gateway: RunningGateway, n_cases: int) -> None:
    seeds = conversations(_DESTINATION)
    for seed in seeds:  # what is loaded at first use is no growth
        assert hangs(gateway.dicom_port, seed.encoded()) is False, seed.service
    children = {child.pid: child.role for child in gateway.children()}
    before = {pid: resident_bytes(pid) for pid in children}

    def is_hanging(case: int) -> bool:
        return hangs(gateway.dicom_port, spoilt(seeds, case))

    with ThreadPoolExecutor(_N_CALLERS) as pool:
        hanging = [case for case, is_hung in enumerate(pool.map(is_hanging, range(n_cases))) if is_hung]

    assert hanging == [], f"cases of seed {_SEED} that neither end nor answer within {_HANG_S} s"
    assert {child.pid: child.role for child in gateway.children()} == children
    growth = {f"{children[pid]} {pid}": resident_bytes(pid) - size for pid, size in before.items()}
    _log.info("%d cases of seed %d; grown by %s bytes", n_cases, _SEED, growth)
    assert sum(growth.values()) <= _GROWTH_BYTES, growth
    assert faults(gateway) == []
    wait_until(lambda: echo(gateway.dicom_port)[0], _END_DEADLINE_S, "an echo to be answered")


@pytest.mark.parametrize("n_cases", [500, pytest.param(5_000, marks=[pytest.mark.long, pytest.mark.timeout(3600)])])
def test_a_destination_that_answers_nonsense_ends_the_move_in_time(gateway: RunningGateway, n_cases: int) -> None:
    cases = itertools.count()

    def answer(peer: CalledPeer) -> None:
        rng = random.Random(f"{_SEED}-destination-{next(cases)}")
        with suppress(OSError):  # the gateway may have had enough already
            peer.receive_pdu()
            peer.send(spoil_bytes(_ANSWERS, rng))
            peer.sock.shutdown(socket.SHUT_WR)
            peer.drain()

    def ending(_case: int) -> tuple[int, int]:
        with RawCaller(gateway.dicom_port, STUDY_ROOT_MOVE, timeout_s=_MOVE_DEADLINE_S) as caller:
            final = caller.ask(0x21, study(), element(0x600, _NONSENSE.encode()))[-1]
            return final.status, final.completed + final.failed + final.warning

    with called_peer(answer) as port:
        register(gateway, _NONSENSE, port)
        children = {child.pid: child.role for child in gateway.children()}
        with ThreadPoolExecutor(_N_CALLERS) as pool:
            endings = Counter(pool.map(ending, range(n_cases)))

    _log.info("%d moves ended with %s", n_cases, {f"0x{status:04X}": n for (status, _), n in endings.items()})
    assert {n_objects for _, n_objects in endings} == {1}
    assert next(cases) >= n_cases
    assert {child.pid: child.role for child in gateway.children()} == children
    assert faults(gateway) == []


def study() -> Dataset:
    """Return an identifier of the study that the gateway holds."""
    ds = Dataset()
    ds.QueryRetrieveLevel, ds.StudyInstanceUID = "STUDY", image(STORED).StudyInstanceUID
    return ds


def spoilt(seeds: tuple[Conversation, ...], case: int) -> bytes:
    """Return one case: the same bytes in every run."""
    rng = random.Random(f"{_SEED}-{case}")
    return mutate(seeds[case % len(seeds)], rng)


def hangs(port: int, said: bytes) -> bool:
    """Say something, and nothing more; return whether the gateway neither goes on answering nor closes."""
    with ScriptedPeer(port, timeout_s=_HANG_S) as peer:
        with suppress(OSError):  # it may have had enough already
            peer.send(said)
            peer.sock.shutdown(socket.SHUT_WR)
        return not peer.is_closed()


def faults(gateway: RunningGateway) -> list[str]:
    """Return what the gateway calls a fault of its own."""
    lines = gateway.log.read_text(encoding="utf-8").splitlines()
    return [line[:2000] for line in lines if '"level": "error"' in line]


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    (kib,) = (line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return int(kib) * 1024
