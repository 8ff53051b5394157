"""What a proxy says about a request is believed of trusted proxies, and of nobody else."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from pacs_gateway.access.networks import Networks
from tests.viewer_api import studies
from tests.viewer_api.site import PASSWORD, Site, open_site
from tests.viewer_api.studies import uid
from viewer_api.config import WebConfig
from viewer_api.forwarded import Forwarded

PROXIES = Networks.parse("10.0.0.0/8,2001:db8:1::/48")
FOR, PROTO, HOST = "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"


def believed(peer: str, headers: Sequence[tuple[str, str]], *, trusted: Networks = PROXIES) -> Request:
    """Return a request as the application behind the layer sees it."""
    seen: list[Scope] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope)

    async def receive() -> Message:
        raise AssertionError("nobody reads")

    async def send(_message: Message) -> None:
        raise AssertionError("nobody answers")

    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "scheme": "http",
        "client": (peer, 40000),
        "headers": [(b"host", b"inside:8080"), *((k.lower().encode(), v.encode("latin-1")) for k, v in headers)],
    }
    asyncio.run(Forwarded(app, trusted=trusted)(scope, receive, send))
    return Request(seen[0])


def caller(peer: str, *forwarded_for: str) -> str:
    client = believed(peer, [(FOR, value) for value in forwarded_for]).client
    assert client is not None
    return client.host


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        ("10.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["::ffff:192.0.2.7"], "192.0.2.7"),
        ("2001:db8:1::1", ["192.0.2.7"], "192.0.2.7"),
        # what a stranger wrote stands on the left of what a proxy has seen
        ("10.0.0.1", ["198.51.100.1, 192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["198.51.100.1", "192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["192.0.2.7, 10.0.0.2"], "192.0.2.7"),
        ("10.0.0.1", ["198.51.100.1, 192.0.2.7 , 10.0.0.3,10.0.0.2"], "192.0.2.7"),
        # within the trusted networks: the furthest that is known
        ("10.0.0.1", ["10.0.0.9, 10.0.0.2"], "10.0.0.9"),
        # with a port
        ("10.0.0.1", ["192.0.2.7:50104"], "192.0.2.7"),
        ("10.0.0.1", ["[2001:db8::7]:50104"], "2001:db8::7"),
        ("10.0.0.1", ["[2001:db8::7]"], "2001:db8::7"),
        # what is no address is nobody's: the nearest hop that is known stands
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.7, <script>"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.7, _hidden, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        # from anybody else
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),
        ("2001:db8:2::1", ["198.51.100.1"], "2001:db8:2::1"),
    ],
)
def test_the_caller_is_the_nearest_who_is_no_trusted_proxy(peer: str, forwarded_for: list[str], expected: str) -> None:
    assert caller(peer, *forwarded_for) == expected


@pytest.mark.parametrize(
    ("peer", "proto", "scheme"),
    [
        ("10.0.0.1", "https", "https"),
        ("10.0.0.1", "HTTPS", "https"),
        ("10.0.0.1", "http, https", "https"),
        ("10.0.0.1", "javascript", "http"),
        ("10.0.0.1", "", "http"),
        ("192.0.2.1", "https", "http"),
    ],
)
def test_the_scheme_is_what_the_proxy_saw(peer: str, proto: str, scheme: str) -> None:
    assert believed(peer, [(PROTO, proto)]).url.scheme == scheme


@pytest.mark.parametrize(
    ("peer", "host", "base"),
    [
        ("10.0.0.1", "pacs.example.org", "http://pacs.example.org/"),
        ("10.0.0.1", "pacs.example.org:8443", "http://pacs.example.org:8443/"),
        ("10.0.0.1", "[2001:db8::1]:8443", "http://[2001:db8::1]:8443/"),
        ("10.0.0.1", "evil.example.org, pacs.example.org", "http://pacs.example.org/"),
        ("10.0.0.1", "pacs.example.org/path", "http://inside:8080/"),
        ("10.0.0.1", "user@pacs.example.org", "http://inside:8080/"),
        ("192.0.2.1", "pacs.example.org", "http://inside:8080/"),
    ],
)
def test_the_host_is_the_one_the_proxy_was_asked_for(peer: str, host: str, base: str) -> None:
    assert str(believed(peer, [(HOST, host)]).base_url) == base


def test_without_trusted_proxies_nobody_is_believed() -> None:
    request = believed(
        "127.0.0.1", [(FOR, "192.0.2.7"), (PROTO, "https"), (HOST, "pacs.example.org")], trusted=Networks()
    )
    assert (request.client, str(request.base_url)) == (("127.0.0.1", 40000), "http://inside:8080/")


@given(st.lists(st.text(st.characters(max_codepoint=255)), max_size=3), st.text(st.characters(max_codepoint=255)))
def test_whatever_the_headers_hold_the_caller_is_an_address(hops: list[str], rest: str) -> None:
    request = believed("10.0.0.1", [*((FOR, hop) for hop in hops), (PROTO, rest), (HOST, rest)])

    assert request.client is not None
    assert Networks.parse(request.client.host).ranges
    assert request.url.scheme in ("http", "https")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that takes this machine for its proxy."""
    config = WebConfig(trusted_proxies=Networks.parse("127.0.0.1"))
    with open_site(tmp_path_factory.mktemp("behind"), config=config) as opened:
        opened.put(studies.ct())
        yield opened


def test_addresses_in_answers_are_those_the_caller_can_reach(site: Site) -> None:
    with site.client() as client:
        headers = {PROTO: "https", HOST: "pacs.example.org", "Accept": "application/dicom+json"}
        study = client.get("/dicom-web/studies", headers=headers).json()[0]
    assert study["00081190"]["Value"] == [f"https://pacs.example.org/dicom-web/studies/{uid(1)}"]


def test_a_session_opened_by_tls_at_the_proxy_never_leaves_without_it(site: Site) -> None:
    headers = {PROTO: "https", HOST: "pacs.example.org", "Origin": "https://pacs.example.org"}
    with httpx.Client(base_url=site.url, headers=headers, timeout=30) as client:
        answer = client.post("/login", data={"name": "boss", "password": PASSWORD})
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-pacs_session=")
    assert "; Secure" in cookie


def test_a_page_of_another_site_is_still_foreign(site: Site) -> None:
    headers = {HOST: "pacs.example.org", "Origin": "https://evil.example.org"}
    form = {"name": "boss", "password": PASSWORD}
    answer = httpx.post(f"{site.url}/login", headers=headers, data=form, timeout=30)
    assert answer.status_code == 403


def test_wrong_passwords_are_counted_for_the_caller_not_for_the_proxy(site: Site, tmp_path: Path) -> None:
    def log_in(address: str, password: str) -> int:
        headers = {FOR: f"198.51.100.1, {address}", "Origin": site.url}
        data = {"name": "reader", "password": password}
        return httpx.post(f"{site.url}/login", headers=headers, data=data, timeout=30).status_code

    assert [log_in("192.0.2.66", "wrong") for _ in range(6)] == [401] * 6

    assert log_in("192.0.2.66", PASSWORD) == 401
    assert log_in("192.0.2.67", PASSWORD) == 303
