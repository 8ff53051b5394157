"""Choosing the form of an answer."""

import pytest

from viewer_api.errors import NotAcceptableError
from viewer_api.negotiation import DICOM, EXPLICIT_LITTLE_ENDIAN, OCTETS, Offer, choose, ranges

J2K = "1.2.840.10008.1.2.4.90"
J2K_LOSSY = "1.2.840.10008.1.2.4.91"
DECODED = Offer(OCTETS, wrapped=True, transfer_syntax=EXPLICIT_LITTLE_ENDIAN)
STORED = Offer("image/jp2", wrapped=True, transfer_syntax=J2K, is_stored=True)
STORED_OCTETS = Offer(OCTETS, wrapped=True, transfer_syntax=J2K, is_stored=True)
FRAME = (DECODED, STORED, STORED_OCTETS)


@pytest.mark.parametrize(
    ("accept", "offer"),
    [
        ("", DECODED),
        ("*/*", DECODED),
        ('multipart/related; type="application/octet-stream"', DECODED),
        ("multipart/related; type=application/octet-stream; transfer-syntax=*", STORED_OCTETS),
        ('multipart/related; type="application/octet-stream"; transfer-syntax="*"', STORED_OCTETS),
        (f'multipart/related; type="application/octet-stream"; transfer-syntax={J2K}', STORED_OCTETS),
        ('multipart/related; type="image/jp2"', STORED),
        (f'multipart/related; type="image/jp2"; transfer-syntax={J2K}', STORED),
        ('multipart/related; type="image/*"', STORED),
        ('multipart/related; type="*/*"; transfer-syntax=*', STORED),
        ("multipart/related", DECODED),
        ('multipart/related; type="image/jls", multipart/related; type="image/jp2"', STORED),
        ('multipart/related; type="image/jp2";q=0.5, */*;q=0.1', STORED),
        ("not a media type, */*", DECODED),
        ("application/octet-stream;q=2, multipart/related", DECODED),
    ],
)
def test_a_frame_leaves_in_the_form_asked_for(accept: str, offer: Offer) -> None:
    assert choose(ranges([accept]), FRAME) == offer


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "image/jp2",
        'multipart/related; type="image/jls"',
        f'multipart/related; type="image/jp2"; transfer-syntax={J2K_LOSSY}',
        "*/*;q=0",
        "nonsense",
    ],
)
def test_what_is_not_offered_is_not_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptableError):
        choose(ranges([accept]), FRAME)


def test_the_query_parameter_takes_the_place_of_the_header() -> None:
    offers = (Offer("image/jpeg"), Offer("image/png"))
    assert choose(ranges(["image/jpeg"], ["image/png"]), offers).media_type == "image/png"


def test_a_specific_refusal_beats_a_wide_acceptance() -> None:
    offers = (Offer("image/jpeg"), Offer("image/png"))
    assert choose(ranges(["image/*, image/jpeg;q=0"]), offers).media_type == "image/png"


def test_a_stored_syntax_never_stands_in_for_the_default() -> None:
    with pytest.raises(NotAcceptableError):
        choose(ranges([f'multipart/related; type="{DICOM}"']), (Offer(DICOM, True, J2K, is_stored=True),))


def test_an_endless_header_costs_little() -> None:
    assert len(ranges([",".join(["text/html"] * 10_000)])) == 64
