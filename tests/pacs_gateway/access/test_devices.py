import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from pacs_gateway.access import Access, AccessConfig, NewDevice, Right, UnknownDevices, open_access
from pacs_gateway.access.audit import Audit
from pacs_gateway.access.device import ALL_RIGHTS, MODALITY_RIGHTS, parse_rights
from pacs_gateway.access.device_settings import check_charset
from pacs_gateway.access.devices import Devices
from pacs_gateway.access.networks import Networks
from pacs_gateway.database import Database, DatabaseConfig
from pacs_gateway.errors import ConfigurationError, ConflictError, InputError, NotFoundError, UnavailableError
from tests.pacs_gateway.access.doubles import OPERATOR, LeavingDatabase, MovedClock, NameService, trail

CT1 = NewDevice("CT1", "LOCAL", called="PACSGW", networks=Networks.parse("192.0.2.0/28"))
RIGHT: dict[str, Any] = {"calling": "CT1", "called": "PACSGW", "address": "192.0.2.1"}
WRONG_CALLING = ["ct1", "CT2", "", "CT1\\", "CT1\0", "C T1", "CT1" * 6, "CT1\n", "ＣＴ1", "*", "CT%"]
WRONG_CALLED = ["pacsgw", "OTHER", "", "PACSGW\\", "ANY", "*", "PACSGW2"]
WRONG_ADDRESS = ["192.0.2.16", "10.0.0.1", "::1", "127.0.0.1", "", "not an address", "::192.0.2.1", "2001:db8::1"]


def networks(text: str) -> Networks:
    return Networks.parse(text)


def identified(devices: Devices, **changed: object) -> bool:
    return devices.identify(**{**RIGHT, **changed}) is not None


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"calling": "CT1             "},
        {"calling": " CT1"},
        {"called": "PACSGW          "},
        {"address": "::ffff:192.0.2.1"},
        {"address": "192.0.2.15"},
    ],
)
def test_device_is_known_by_titles_and_network(access: Access, changed: dict[str, str]) -> None:
    added = access.devices.add(CT1, by=OPERATOR)
    assert access.devices.identify(**{**RIGHT, **changed}) == added
    assert added.rights == MODALITY_RIGHTS


def test_every_wrong_combination_is_refused_alike(access: Access) -> None:
    access.devices.add(CT1, by=OPERATOR)
    access.devices.add(NewDevice("MR1", "LOCAL", networks=networks("10.0.0.0/8")), by=OPERATOR)
    callers = list(
        itertools.product(["CT1", *WRONG_CALLING], ["PACSGW", *WRONG_CALLED], ["192.0.2.1", *WRONG_ADDRESS])
    )[1:]
    answers = {
        access.devices.identify(calling=calling, called=called, address=address) for calling, called, address in callers
    }
    assert len(callers) > 800
    assert answers == {None}


def test_device_without_called_title_calls_any_of_ours(open_with: Callable[[AccessConfig], Access]) -> None:
    access = open_with(AccessConfig(ae_titles=("PACSGW", "PACS2")))
    access.devices.add(NewDevice("CT1", "LOCAL", networks=networks("any")), by=OPERATOR)
    assert identified(access.devices)
    assert identified(access.devices, called="PACS2")
    assert not identified(access.devices, called="PACS3")


def test_a_called_title_of_its_own_comes_first(access: Access) -> None:
    everywhere = networks("any")
    access.devices.add(NewDevice("CT1", "A", networks=everywhere), by=OPERATOR)
    access.devices.add(NewDevice("CT1", "B", called="PACSGW", networks=everywhere), by=OPERATOR)
    found = access.devices.identify(**RIGHT)
    assert found is not None
    assert found.facility == "B"


def test_titles_are_told_apart_by_case(access: Access) -> None:
    access.devices.add(NewDevice("ct1", "A", networks=networks("any")), by=OPERATOR)
    access.devices.add(NewDevice("CT1", "B", networks=networks("any")), by=OPERATOR)
    assert {one.ae_title for one in access.devices.list()} == {"ct1", "CT1"}
    found = access.devices.identify(**RIGHT)
    assert found is not None
    assert found.facility == "B"


def test_device_is_known_by_the_addresses_of_its_host(database: Database, clock: MovedClock) -> None:
    names = NameService(ct1="192.0.2.1")
    devices = Devices(
        database,
        Audit(clock=clock),
        config=AccessConfig(),
        clock=clock,
        resolve=names,
        monotonic=clock.monotonic,
    )
    devices.add(NewDevice("CT1", "LOCAL", host="ct1", port=104), by=OPERATOR)
    assert identified(devices)
    names.addresses["ct1"] = "192.0.2.9"
    clock.seconds += 60
    assert not identified(devices)
    assert identified(devices, address="192.0.2.9")
    devices.close()


@pytest.mark.parametrize(
    "new",
    [
        NewDevice("", "LOCAL", networks=networks("any")),
        NewDevice("A\\B", "LOCAL", networks=networks("any")),
        NewDevice("A\tB", "LOCAL", networks=networks("any")),
        NewDevice("MÁY1", "LOCAL", networks=networks("any")),
        NewDevice("A" * 17, "LOCAL", networks=networks("any")),
        NewDevice("CT1", "LOCAL", called="A" * 17, networks=networks("any")),
        NewDevice("CT1", "LO CAL", networks=networks("any")),
        NewDevice("CT1", "LOCAL"),  # nothing says where it calls from
        NewDevice("CT1", "LOCAL", host="ct1"),
        NewDevice("CT1", "LOCAL", port=104, networks=networks("any")),
        NewDevice("CT1", "LOCAL", host="ct1", port=0),
        NewDevice("CT1", "LOCAL", host="ct1", port=65536),
        NewDevice("CT1", "LOCAL", host="c t", port=104),
        NewDevice("CT1", "LOCAL", host="c" * 254, port=104),
    ],
)
def test_wrong_registrations_are_refused(access: Access, new: NewDevice) -> None:
    with pytest.raises(InputError):
        access.devices.add(new, by=OPERATOR)
    assert access.devices.list() == ()


def test_change_is_kept_counted_and_on_record(access: Access, database: Database, clock: MovedClock) -> None:
    serving = Devices(database, Audit(clock=clock), config=AccessConfig(), clock=clock, monotonic=clock.monotonic)
    access.devices.add(CT1, by=OPERATOR)
    assert identified(serving)
    changed = access.devices.change(
        "CT1",
        lambda known: replace(known, rights=ALL_RIGHTS, charset="TCVN3", transfer_syntaxes=("JPEG2000Lossless",)),
        called="PACSGW",
        by=OPERATOR,
    )
    clock.seconds += 2
    assert serving.identify(**RIGHT) == changed
    assert changed.transfer_syntaxes == ("1.2.840.10008.1.2.4.90",)
    assert trail(database)[-1][2:4] == ("device-change", "CT1 calling PACSGW: rights, transfer_syntaxes, charset")


def test_change_of_nothing_is_no_change(access: Access, database: Database) -> None:
    added = access.devices.add(CT1, by=OPERATOR)
    assert access.devices.change("CT1", lambda known: known, called="PACSGW", by=OPERATOR) == added
    assert [row[2] for row in trail(database)] == ["device-add"]


def test_wrong_changes_are_refused(access: Access) -> None:
    added = access.devices.add(CT1, by=OPERATOR)
    for wrong in (
        lambda known: replace(known, is_tls=True),  # called, but nobody knows where
        lambda known: replace(known, charset="ISO_IR 999"),
        lambda known: replace(known, certificates=("ct1",)),
        lambda known: replace(known, max_matches=100_001),
        lambda known: replace(known, idle_s=86_401),
        lambda known: replace(known, issuer="x" * 65),
    ):
        with pytest.raises(InputError):
            access.devices.change("CT1", wrong, called="PACSGW", by=OPERATOR)
    with pytest.raises(NotFoundError):
        access.devices.change("CT1", lambda known: known, by=OPERATOR)
    assert access.devices.list() == (added,)


@pytest.mark.parametrize(
    "charset", ["", "ISO_IR 192", "GB18030", "windows-1258", "\\ISO 2022 IR 149", "ISO 2022 IR 13\\ISO 2022 IR 87"]
)
def test_character_sets_are_terms_of_dicom_or_vietnamese(charset: str) -> None:
    assert check_charset(charset) == charset


def test_registering_twice_is_a_conflict(access: Access) -> None:
    access.devices.add(CT1, by=OPERATOR)
    with pytest.raises(ConflictError):
        access.devices.add(CT1, by=OPERATOR)


def test_change_by_another_process_counts_two_seconds_later(
    access: Access, database: Database, clock: MovedClock
) -> None:
    serving = Devices(database, Audit(clock=clock), config=AccessConfig(), clock=clock, monotonic=clock.monotonic)
    assert not identified(serving)
    access.devices.add(CT1, by=OPERATOR)
    clock.seconds += 2
    assert identified(serving)
    access.devices.remove("CT1", called="PACSGW", by=OPERATOR)
    clock.seconds += 2
    assert not identified(serving)


def test_change_by_another_process_is_noticed_unasked(open_with: Callable[[AccessConfig], Access]) -> None:
    serving, console = open_with(AccessConfig()), open_with(AccessConfig())
    assert not identified(serving.devices)
    console.devices.add(CT1, by=OPERATOR)
    deadline = time.monotonic() + 10
    while not identified(serving.devices):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def leaving(database_url: str) -> Iterator[LeavingDatabase]:
    leaving = LeavingDatabase(DatabaseConfig(database_url))
    yield leaving
    leaving.close()


def test_devices_read_at_the_start_are_known_to_the_first_caller(leaving: LeavingDatabase, clock: MovedClock) -> None:
    devices = Devices(leaving, Audit(clock=clock), config=AccessConfig(), clock=clock, monotonic=clock.monotonic)
    devices.add(CT1, by=OPERATOR)
    devices.load()
    leaving.is_away = True
    clock.seconds += 60
    assert identified(devices)
    devices.close()


def test_known_devices_stay_known_while_the_database_is_away(leaving: LeavingDatabase, clock: MovedClock) -> None:
    devices = Devices(leaving, Audit(clock=clock), config=AccessConfig(), clock=clock, monotonic=clock.monotonic)
    devices.add(CT1, by=OPERATOR)
    assert identified(devices)
    leaving.is_away = True
    clock.seconds += 23 * 3600
    assert identified(devices)
    assert not identified(devices, calling="CT2")
    clock.seconds += 2 * 3600
    with pytest.raises(UnavailableError):
        identified(devices)
    devices.record_rejection(**RIGHT)
    devices.close()
    leaving.is_away = False
    assert [one.reason for one in devices.rejected()] == ["nobody is known while the index is away"]


def test_accepting_everybody_means_everybody_on_this_machine(open_with: Callable[[AccessConfig], Access]) -> None:
    access = open_with(AccessConfig(facility="HUE", unknown_devices=UnknownDevices.ACCEPT))
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        found = access.devices.identify(calling="ANYBODY", called="ANY-SCP", address=address)
        assert found is not None
        assert (found.facility, found.rights) == ("HUE", ALL_RIGHTS)
    assert access.devices.identify(calling="ANYBODY", called="PACSGW", address="192.0.2.1") is None
    assert access.devices.identify(calling="A\\B", called="PACSGW", address="127.0.0.1") is None


def test_accepting_everybody_keeps_what_is_registered(open_with: Callable[[AccessConfig], Access]) -> None:
    access = open_with(AccessConfig(unknown_devices=UnknownDevices.ACCEPT))
    access.devices.add(NewDevice("CT1", "HUE", host="127.0.0.1", port=104), by=OPERATOR)
    found = access.devices.identify(calling="CT1", called="PACSGW", address="127.0.0.1")
    assert found is not None
    assert (found.facility, found.port, found.rights) == ("HUE", 104, ALL_RIGHTS)


def reasons(access: Access) -> list[str]:
    access.devices.close()  # writes what is in memory
    return [one.reason for one in access.devices.rejected()]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"calling": "CT9"}, "unknown calling AE title"),
        ({"calling": "ct1"}, "not CT1, which is known: upper and lower case count"),
        ({"calling": "CT\\1"}, "an AE title with characters that are not allowed"),
        ({"called": "ORTHANC"}, "called another AE title than PACSGW"),
        ({"called": "PacsGW"}, "called another AE title than PACSGW: upper and lower case count"),
        ({"address": "10.0.0.1"}, "known, but from another address than 192.0.2.0/28"),
        ({"reason": "too many associations"}, "too many associations"),
    ],
)
def test_technician_reads_why(access: Access, changed: dict[str, str], says: str) -> None:
    access.devices.add(CT1, by=OPERATOR)
    access.devices.record_rejection(**{**RIGHT, **changed})
    assert reasons(access) == [says]


def test_technician_reads_where_the_host_of_a_device_is(database: Database, clock: MovedClock) -> None:
    names = NameService(ct1="192.0.2.1")
    devices = Devices(
        database, Audit(clock=clock), config=AccessConfig(), clock=clock, resolve=names, monotonic=clock.monotonic
    )
    for title, host in (("CT1", "ct1"), ("CT2", "ct2")):
        devices.add(NewDevice(title, "LOCAL", host=host, port=104), by=OPERATOR)
        devices.record_rejection(calling=title, called="PACSGW", address="192.0.2.9")
    devices.close()
    assert {one.calling: one.reason for one in devices.rejected()} == {
        "CT1": "known, but from another address than ct1 (192.0.2.1)",
        "CT2": "known, but from another address than ct2 (no address now)",
    }


def test_technician_reads_that_the_other_title_was_meant(open_with: Callable[[AccessConfig], Access]) -> None:
    access = open_with(AccessConfig(ae_titles=("PACSGW", "PACS2")))
    access.devices.add(CT1, by=OPERATOR)
    access.devices.record_rejection(**{**RIGHT, "called": "PACS2"})
    assert reasons(access) == ["may call PACSGW only"]


def test_allowing_registers_a_modality_at_its_address(access: Access, database: Database) -> None:
    access.devices.record_rejection(**{**RIGHT, "address": "::ffff:192.0.2.1"})
    access.devices.close()
    allowed = access.devices.allow("CT1", by=OPERATOR)
    assert (str(allowed.networks), allowed.rights, allowed.facility) == ("192.0.2.1/32", MODALITY_RIGHTS, "LOCAL")
    assert access.devices.identify(**RIGHT) == allowed
    assert not identified(access.devices, address="192.0.2.2")
    assert access.devices.rejected() == ()
    assert trail(database)[-1] == ("os:tester", "", "device-allow", "CT1", "success")


@pytest.mark.parametrize("called", ["", "PACSGW"])
def test_allowing_adds_the_address_to_a_device_that_has_moved(access: Access, called: str) -> None:
    new = NewDevice("CT1", "HUE", called=called, host="127.0.0.9", port=104, rights=frozenset({Right.ECHO}))
    access.devices.add(new, by=OPERATOR)
    access.devices.record_rejection(**RIGHT)
    access.devices.close()
    allowed = access.devices.allow("CT1", by=OPERATOR)
    assert (str(allowed.networks), allowed.rights, allowed.facility) == ("host,192.0.2.1/32", new.rights, "HUE")
    assert identified(access.devices)
    assert identified(access.devices, address="127.0.0.9")


def test_allowing_what_would_not_help_or_is_not_clear_is_refused(access: Access) -> None:
    access.devices.record_rejection(**{**RIGHT, "calling": "MR1", "called": "ORTHANC"})
    for address in ("192.0.2.1", "192.0.2.2"):
        access.devices.record_rejection(**{**RIGHT, "address": address})
    access.devices.close()
    with pytest.raises(NotFoundError):
        access.devices.allow("US1", by=OPERATOR)
    with pytest.raises(ConflictError, match="ORTHANC"):
        access.devices.allow("MR1", by=OPERATOR)
    with pytest.raises(ConflictError, match="--address"):
        access.devices.allow("CT1", by=OPERATOR)
    assert str(access.devices.allow("CT1", address="192.0.2.2", by=OPERATOR).networks) == "192.0.2.2/32"


def test_allowing_what_is_let_in_already_says_what_is_wrong(access: Access) -> None:
    access.devices.add(CT1, by=OPERATOR)
    access.devices.record_rejection(**RIGHT, reason="let in, but has no right to find")
    access.devices.close()
    with pytest.raises(ConflictError, match=r"already.*no right to find"):
        access.devices.allow("CT1", by=OPERATOR)


def test_removed_device_is_unknown(access: Access, database: Database) -> None:
    access.devices.add(CT1, by=OPERATOR)
    assert access.devices.show("CT1", called="PACSGW").ae_title == "CT1"
    access.devices.remove("CT1", called="PACSGW", by=OPERATOR)
    assert not identified(access.devices)
    for title in ("CT1", "\ud800", ""):
        with pytest.raises(NotFoundError):
            access.devices.show(title)
    assert [row[2] for row in trail(database)] == ["device-add", "device-remove"]


def test_device_that_is_asked_for_wrongly_is_hinted_at(access: Access) -> None:
    access.devices.add(CT1, by=OPERATOR)
    with pytest.raises(NotFoundError, match="--called PACSGW"):
        access.devices.show("CT1")
    with pytest.raises(NotFoundError, match="no device CT9"):
        access.devices.show("CT9")


def test_rights_are_read_from_text() -> None:
    assert parse_rights("all") == ALL_RIGHTS
    assert parse_rights("echo, find") == {Right.ECHO, Right.FIND}
    for text in ("", "everything", "echo,all"):
        with pytest.raises(InputError):
            parse_rights(text)


@pytest.mark.parametrize("config", [{"ae_titles": ()}, {"ae_titles": ("A\\B",)}, {"facility": "a b"}])
def test_settings_that_cannot_work_are_refused(config: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        AccessConfig(**config)  # type: ignore[arg-type]  # one wrong value at a time


def test_access_closes_with_its_block(database: Database) -> None:
    with open_access(database, AccessConfig()) as access:
        access.devices.record_rejection(**RIGHT)
    assert [one.calling for one in access.devices.rejected()] == ["CT1"]
    assert ip_address(access.devices.rejected()[0].address) == ip_address("192.0.2.1")


def test_a_destination_is_the_entry_that_knows_us_by_the_title_we_call_with(
    open_with: Callable[[AccessConfig], Access],
) -> None:
    devices = open_with(AccessConfig(ae_titles=("PACSGW", "PACS2"))).devices
    devices.add(NewDevice("WS", "LOCAL", host="192.0.2.1", port=104), by=OPERATOR)
    devices.add(NewDevice("WS", "LOCAL", host="192.0.2.2", port=105, called="PACS2"), by=OPERATOR)

    ports = [getattr(devices.destination("WS ", called=called), "port", None) for called in ("PACSGW", "PACS2")]

    assert ports == [104, 105]


def test_a_destination_has_an_address(access: Access) -> None:
    access.devices.add(CT1, by=OPERATOR)

    assert access.devices.destination("CT1", called="PACSGW") is None
    assert access.devices.destination("NOBODY", called="PACSGW") is None
    assert access.devices.destination("", called="PACSGW") is None
