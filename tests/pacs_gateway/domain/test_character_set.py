"""Character sets: the examples of PS3.5 Annexes H to K, and what devices really send."""

import unicodedata
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_charset_files

from pacs_gateway.domain.character_set import CharacterSet
from pacs_gateway.domain.values import clean
from tests.support.vietnamese_bytes import ENCODERS, LETTERS


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
    ("terms", "raw", "text"),
    [
        # ISO-IR 159 beside 87; a kanji whose second byte is a backslash; the edition of 1978
        ("\\ISO 2022 IR 87\\ISO 2022 IR 159", b"\x1b$(D0!\x1b$B;3\x1b(B A", "丂山 A"),
        ("\\ISO 2022 IR 87", b"\x1b$B%\\!!\x1b(B\\B", "ボ\u3000\\B"),
        ("\\ISO 2022 IR 87", b"\x1b$@;3ED\x1b(J", "山田"),
        # Single-byte sets that take turns, and the first again behind each delimiter
        ("ISO 2022 IR 100\\ISO 2022 IR 144", b"J\xe9r\xf4me=\x1b-L\xbb\xee\xda=\xe9", "Jérôme=Люк=é"),
        ("ISO 2022 IR 100\\ISO 2022 IR 126", b"\x1b-F\xc4\xe9^\xe9\\\x1b-F\xe9\r\n\xe9", "Δι^é\\ιé"),
        # Half-width katakana stay in G1 while kanji are in G0
        ("ISO 2022 IR 13\\ISO 2022 IR 87", b"\x1b$B;3\xc0\x1b(J\xdb", "山ﾀﾛ"),
        # A designation that nobody declared; one that is not repeated; no end of it
        ("", b"\x1b$B;3ED\x1b(B", "山田"),
        ("\\ISO 2022 IR 149", b"\x1b$)C\xfb\xf3^\xd1\xce\xd4\xd7", "洪^吉洞"),
        ("\\ISO 2022 IR 87", b"\x1b$B;3ED", "山田"),
        # Terms as devices spell them, and a multi-byte set declared alone
        ("ISO-IR 144", b"\xbb\xee\xda", "Люк"),
        ("ISO_2022_IR_87", b"\x1b$B;3\x1b(B", "山"),
        ("ISO 2022 IR 149", b"Kim=\x1b$)C\xfb\xf3", "Kim=洪"),
        ("ISO 2022 GBK", b"\xcd\xf5", "王"),
        ("iso_ir 192", "Đỗ".encode(), "Đỗ"),
        # Sets pydicom does not know, and Shift JIS under the label of its half
        ("ISO_IR 203", b"\xa4\xbd", "€œ"),
        ("ISO_IR 13", "山田".encode("shift_jis"), "山田"),
        # Cut in the midst of a character, by a length limit
        ("ISO_IR 192", "Nguyễn".encode()[:-2], "Nguy"),
        ("", "Đỗ^Nguyễn".encode()[:-3], "Đỗ^Nguy"),
        ("ISO_IR 192", "José".encode("latin-1"), "José"),
        ("GB18030", "王小".encode("gb18030")[:-1], "王"),
    ],
)
def test_code_extensions_and_their_accidents_are_read(terms: str, raw: bytes, text: str) -> None:
    assert CharacterSet(terms).decode(raw) == text


@pytest.mark.parametrize(
    "name",
    [
        "chrArab.dcm",
        "chrFren.dcm",
        "chrFrenMulti.dcm",
        "chrGerm.dcm",
        "chrGreek.dcm",
        "chrH31.dcm",
        "chrH32.dcm",
        "chrHbrw.dcm",
        "chrI2.dcm",
        "chrJapMulti.dcm",
        "chrJapMultiExplicitIR6.dcm",
        "chrKoreanMulti.dcm",
        "chrRuss.dcm",
        "chrX1.dcm",
        "chrX2.dcm",
    ],
)
def test_sample_files_read_as_pydicom_reads_them(name: str) -> None:
    (path,) = get_charset_files(name)
    ds, raw = dcmread(path), dcmread(path).get_item("PatientName").value
    terms = ds.SpecificCharacterSet
    joined = terms if isinstance(terms, str) else "\\".join(terms)
    # It drops component groups that are empty.
    assert CharacterSet(joined).decode(raw).rstrip("=") == clean(str(ds.PatientName))


@pytest.mark.parametrize("terms", ["", "ISO_IR 6", "ISO_IR 100", "no such set"])
@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("text", ["Trần^Văn An", "Nguyễn^Thị^Đượ c"])
def test_legacy_vietnamese_under_a_latin_label_or_none_is_read(terms: str, name: str, text: str) -> None:
    raw = ENCODERS[name](text)
    assert CharacterSet(terms).decode(raw) == text
    assert CharacterSet(terms, name).decode(raw) == text


@pytest.mark.parametrize("terms", ["ISO_IR 101", "ISO_IR 192", "ISO_IR 13"])
def test_legacy_vietnamese_is_looked_for_under_no_other_label(terms: str) -> None:
    raw = ENCODERS["VNI"]("Trần^Văn An")
    assert "Trần" not in CharacterSet(terms).decode(raw)
    assert "Trần" not in CharacterSet(terms, "VNI").decode(raw)


@pytest.mark.parametrize(
    ("terms", "fallback", "raw", "text"),
    [
        # What evidence cannot tell, the device's setting does; declared or valid UTF-8 is UTF-8 all the same.
        ("ISO_IR 100", "VNI", b"Ho\xe0ng", "Hồng"),
        ("", "TCVN3", ENCODERS["TCVN3"](LETTERS), LETTERS),
        ("", "windows-1258", "Hồng".encode(), "Hồng"),
        ("ISO_IR 192", "VNI", "Hoàng".encode(), "Hoàng"),
        ("", "GB18030", b"\xcd\xf5", "王"),
        ("ISO_IR 6", "ISO_IR 144", b"\xbb\xee\xda", "Люк"),
        ("", "\\ISO 2022 IR 149", b"\x1b$)C\xfb\xf3", "洪"),
        # What is declared otherwise counts; a set that is fixed stops the guessing.
        ("ISO_IR 126", "ISO_IR 144", b"\xc4\xe9", "Δι"),
        ("\\ISO 2022 IR 149", "GB18030", b"\x1b$)C\xfb\xf3", "洪"),
        ("", "ISO_IR 100", b"Tr\xc7n V\xa8n An", "TrÇn V¨n An"),
        ("", "ISO_IR 192", b"Tr\xc7n V\xa8n An", "TrÇn V¨n An"),
    ],
)
def test_a_device_is_read_in_its_own_set_where_it_declares_none(
    terms: str, fallback: str, raw: bytes, text: str
) -> None:
    assert CharacterSet(terms, fallback).decode(raw) == text


@pytest.mark.parametrize(
    ("terms", "fallback", "raw"),
    [
        ("ISO_IR 192", "", LETTERS.encode()),
        ("GB18030", "", LETTERS.encode("gb18030")),
        *(("", name, encoder(LETTERS)) for name, encoder in ENCODERS.items()),
    ],
)
def test_every_vietnamese_letter_is_read_in_all_five_encodings(terms: str, fallback: str, raw: bytes) -> None:
    assert CharacterSet(terms, fallback).decode(raw) == LETTERS


_SWITCHES = [b"\x1b$B", b"\x1b$(D", b"\x1b)I", b"\x1b$)C", b"\x1b(J", b"\x1b-F", b"\x1b", b"^", b"\\"]


@given(
    terms=st.sampled_from(["", "ISO_IR 13", "\\ISO 2022 IR 87\\ISO 2022 IR 159", "GBK", "ISO_IR 192"]),
    pieces=st.lists(st.binary(max_size=6) | st.sampled_from(_SWITCHES)),
)
def test_hostile_escapes_become_clean_text(terms: str, pieces: Sequence[bytes]) -> None:
    text = CharacterSet(terms).decode(b"".join(pieces))
    assert text == clean(text)
