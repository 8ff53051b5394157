"""The seal between nodes: of one request, one secret, one half minute."""

from dataclasses import replace

import pytest

from pacs_gateway.storage.seal import MAX_SKEW_S, NodeRequest, is_sealed, is_timely, seal

SECRET = "a secret of all the nodes"
REQUEST = NodeRequest("GET", "/internal/spool/0a/1.dcm", "bytes=0-9", "1700000000")


def test_a_seal_is_good_for_its_request() -> None:
    assert is_sealed(SECRET, REQUEST, seal(SECRET, REQUEST))


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, method="HEAD"),
        replace(REQUEST, path="/internal/spool/0a/2.dcm"),
        replace(REQUEST, range="bytes=0-99"),
        replace(REQUEST, time="1700000001"),
        # The same characters, divided otherwise.
        replace(REQUEST, path=REQUEST.path[:-1], range="m" + REQUEST.range),
    ],
)
def test_a_seal_is_good_for_no_other_request(other: NodeRequest) -> None:
    assert not is_sealed(SECRET, other, seal(SECRET, REQUEST))


@pytest.mark.parametrize("given", ["", "0" * 64, seal("another secret, as long", REQUEST), "đ" * 64])
def test_what_is_no_seal_is_refused(given: str) -> None:
    assert not is_sealed(SECRET, REQUEST, given)


@pytest.mark.parametrize(
    ("skew", "timely"), [(0, True), (MAX_SKEW_S, True), (-MAX_SKEW_S, True), (31, False), (-31, False)]
)
def test_a_seal_is_good_for_half_a_minute(skew: int, timely: bool) -> None:
    assert is_timely(REQUEST, now_s=1_700_000_000 + skew) is timely


@pytest.mark.parametrize("text", ["", "-1", "+1700000000", "1700000000.5", " 1700000000", "١٧٠٠٠٠٠٠٠٠", "9" * 5000])
def test_a_time_is_plain_digits(text: str) -> None:
    assert not is_timely(replace(REQUEST, time=text), now_s=1_700_000_000)
