from ipaddress import ip_address

import pytest

from pacs_gateway.access.networks import Hosts, Networks, parse_address, resolve_host
from pacs_gateway.errors import InputError, UnavailableError
from tests.pacs_gateway.access.doubles import MovedClock, NameService


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
    ],
)
def test_addresses_have_one_form(text: str, address: str) -> None:
    assert str(parse_address(text)) == address


@pytest.mark.parametrize("text", ["", "host", "192.0.2", "192.0.2.1:104", "1" * 10_000, "\ud800"])
def test_texts_that_are_no_address_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("any", "any"),
        ("10.1.0.0/16, 192.0.2.1", "10.1.0.0/16,192.0.2.1/32"),
        ("10.1.0.0/255.255.0.0", "10.1.0.0/16"),
        ("192.0.2.1,host", "host,192.0.2.1/32"),
        ("::ffff:10.1.0.0/112", "10.1.0.0/16"),
        ("2001:db8::/32", "2001:db8::/32"),
    ],
)
def test_networks_are_kept_as_they_are_read(text: str, kept: str) -> None:
    assert str(Networks.parse(text)) == kept
    assert Networks.parse(kept) == Networks.parse(text)


@pytest.mark.parametrize(
    "text", ["", ",", "any,host", "10.1.2.3/16", "10.1.0.0/33", "ct1.local", ",".join(["::"] * 65)]
)
def test_texts_that_are_no_networks_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        Networks.parse(text)


def test_networks_contain_their_addresses_and_no_others() -> None:
    networks = Networks.parse("10.1.0.0/16,2001:db8::/32")
    assert all(networks.contain(ip_address(text)) for text in ("10.1.255.255", "2001:db8::1"))
    assert not any(networks.contain(ip_address(text)) for text in ("10.2.0.0", "2001:db9::1", "::a01:1"))
    assert networks.plus(ip_address("192.0.2.1")).contain(ip_address("192.0.2.1"))
    assert networks.plus(ip_address("10.1.0.1")) is networks


def test_host_is_asked_anew_after_a_minute() -> None:
    clock, names = MovedClock(), NameService(ct1="192.0.2.1")
    hosts = Hosts(resolve=names, monotonic=clock.monotonic)
    first = {ip_address("192.0.2.1")}
    assert hosts.addresses("ct1") == first
    names.addresses["ct1"] = "192.0.2.2"
    clock.seconds += 59
    assert hosts.addresses("ct1") == first
    clock.seconds += 1
    assert hosts.addresses("ct1") == {ip_address("192.0.2.2")}
    assert names.n_asked == 2


def test_known_addresses_outlive_the_name_service_for_a_day() -> None:
    clock, names = MovedClock(), NameService(ct1="192.0.2.1")
    hosts = Hosts(resolve=names, monotonic=clock.monotonic)
    hosts.addresses("ct1")
    names.is_away = True
    clock.seconds += 23 * 3600
    assert hosts.addresses("ct1") == {ip_address("192.0.2.1")}
    clock.seconds += 3600
    assert hosts.addresses("ct1") == frozenset()


def test_a_flood_does_not_become_a_flood_of_questions() -> None:
    clock, names = MovedClock(), NameService()
    hosts = Hosts(resolve=names, monotonic=clock.monotonic)
    for _ in range(1000):
        assert hosts.addresses("unknown") == frozenset()
    assert names.n_asked == 1


def test_this_machine_resolves_itself_and_nothing_hostile() -> None:
    assert all(address.is_loopback for address in resolve_host("localhost"))
    for host in ("no such host", "x" * 300, "\ud800", "a..b"):
        with pytest.raises(UnavailableError):
            resolve_host(host)
