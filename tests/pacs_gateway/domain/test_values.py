"""Values as text: what cleaning takes away."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_gateway.domain.values import clean


@pytest.mark.parametrize(
    ("dirty", "cleaned"),
    [
        ("A\0", "A"),
        ("  A  B ", "A  B"),
        ("A\x1b[31m\r\nB", "A[31mB"),
        (" CT \\ MR\0", "CT\\MR"),
        ("A\ud800B", "AB"),
        (unicodedata.normalize("NFD", "Đức"), "Đức"),
    ],
)
def test_clean_drops_controls_padding_and_lone_surrogates(dirty: str, cleaned: str) -> None:
    assert clean(dirty) == cleaned


@given(st.text(st.characters(), max_size=40))
def test_clean_is_idempotent_and_encodable(text: str) -> None:
    assert clean(clean(text)) == clean(text)
    clean(text).encode()
