"""Character sets: the examples of PS3.5 Annexes H to K, and what devices really send."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_gateway.domain.values import CharacterSet, clean


@pytest.mark.parametrize(
    ("terms", "raw", "text"),
    [
        ("ISO_IR 192", "Nguyễn^Đức".encode(), "Nguyễn^Đức"),
        ("ISO_IR 100", "Buc^Jérôme".encode("latin-1"), "Buc^Jérôme"),
        ("ISO_IR 144", "Люкceмбypг".encode("iso8859-5"), "Люкceмбypг"),
        ("ISO_IR 126", "Διονυσιος".encode("iso8859-7"), "Διονυσιος"),
        ("ISO_IR 166", "ไทย".encode("tis-620"), "ไทย"),
        # PS3.5 H.3.1, H.3.2, I.2, J.3 and K.2
        (
            "\\ISO 2022 IR 87",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
        ),
        (
            "ISO 2022 IR 13\\ISO 2022 IR 87",
            b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
            "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
        ),
        (
            "\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
            "Hong^Gildong=洪^吉洞=홍^길동",
        ),
        ("GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东="),
        ("\\ISO 2022 IR 58", b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=", "Zhang^XiaoDong=张^小东="),
    ],
)
def test_declared_character_sets_are_read(terms: str, raw: bytes, text: str) -> None:
    assert CharacterSet(terms).decode(raw) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("terms", ["", "ISO_IR 6", "ISO_IR 100", "no such set", "ISO_IR 192"])
def test_utf8_under_a_latin_label_or_none_is_seen(terms: str) -> None:
    assert CharacterSet(terms).decode("Nguyễn^Văn^Đức".encode()) == "Nguyễn^Văn^Đức"


@pytest.mark.parametrize(
    ("terms", "raw", "text"),
    [
        ("ISO_IR 13", b"\xc6\xb1", "ﾆｱ"),
        ("GB18030", "谩谩".encode("gb18030"), "谩谩"),
        ("ISO_IR 144", b"\xd0\xb0", "аА"),
    ],
)
def test_bytes_that_look_like_utf8_are_what_another_label_says(terms: str, raw: bytes, text: str) -> None:
    raw.decode("utf8")
    assert CharacterSet(terms).decode(raw) == text


@pytest.mark.parametrize("terms", ["", "ISO_IR 192", "ISO_IR 100", "ISO 2022 IR 87", "\\ISO 2022 IR 149", "GB18030"])
@given(raw=st.binary(max_size=40))
def test_any_bytes_become_clean_text(terms: str, raw: bytes) -> None:
    text = CharacterSet(terms).decode(raw)
    assert text == clean(text)
    text.encode()


@given(terms=st.text(max_size=30))
def test_any_declaration_can_be_used(terms: str) -> None:
    assert CharacterSet(terms).decode(b"Tran^An ") == "Tran^An"


def test_undecodable_bytes_are_kept_readable() -> None:
    assert CharacterSet("").decode(b"M\xfcller\xff") == "Müllerÿ"


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
