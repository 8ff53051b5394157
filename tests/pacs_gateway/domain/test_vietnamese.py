"""Vietnamese in windows-1258, TCVN3 and VNI: read when told, recognised by itself, and nobody else's text touched."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_gateway.domain.vietnamese import VIETNAMESE_ENCODINGS, read_as, read_by_evidence
from tests.support.vietnamese_bytes import ENCODERS, LETTERS

_TEXTS = """
Trần^Văn An
Nguyễn^Thị^Đượ c
TRẦN^VĂN AN
NGUYỄN THỊ HỒNG
Đỗ^Mỹ Duyên
ĐỖ^MỸ DUYÊN
NGUYỄN Văn Bình
Lê^Văn^Nam
Phạm^An
Bùi^Thị Tuyết
Hoàng^Đức^Thắng
Huỳnh^Ngọc Phượng
Vũ Hữu Nghĩa
Đặng^Thùy^Trâm
Bệnh viện Đa khoa tỉnh An Giang
BVĐK huyện
Chụp cắt lớp vi tính lồng ngực có tiêm thuốc
CT Scanner 64 dãy có tiêm thuốc cản quang
CT sọ não
X-quang ngực thẳng
Siêu âm ổ bụng tổng quát
MRI cột sống thắt lưng, theo dõi thoát vị
"""

_WESTERN = """
Müller José Ægir Jürgen Björk Guðmundsdóttir Sigurður Þór Ðánjal Åse Lång Håkon Sørensen Bø Pål Göran Örn Schröder Weiß
Größe François Hélène Zoé Chloé Noël Noé Loïc Naïm Anaïs Maël Joël Thaï Maï Héloïse Benoît Aimé Irène Agnès Lætitia
Núñez Peña Muñoz Íñigo Raúl Saúl María Lucía Inés Tomás Ángel Óscar Mª Nª Conceição João São Simões Magalhães Luís
Özgür Çelik Ümit Gül Hafþór Ásta Élise Théo Léo Hô Lô Bé Té Dû Château Côté Lluís Ràfols Güell Mònica Nicolò Forlì
25µm 37°C 10m² ±5% 1º «thorax» Siemens® ©2020 ¿Qué? naïve 3×4 a·b ½ TÊTE Schädel Rückgrat Échographie
"""
_FAMILIES = "Nguyễn Trần Lê Phạm Huỳnh Phan Vũ Võ Đặng Bùi Đỗ Ngô Dương Mai Cao"
_MIDDLES = "Văn Thị Đức Hữu Ngọc Kim Minh"
_GIVEN = "An Bình Cường Dũng Giang Hà Hải Hiền Hoa Hùng Hương Lan Linh Mạnh Nga Phúc Quân Sơn Thảo Tuấn"


@pytest.mark.parametrize("name", VIETNAMESE_ENCODINGS)
def test_every_letter_is_read(name: str) -> None:
    assert read_as(name, ENCODERS[name](LETTERS)) == LETTERS


@pytest.mark.parametrize("name", ["windows-1258", "VNI"])
def test_every_capital_is_read(name: str) -> None:
    assert read_as(name, ENCODERS[name](LETTERS.upper())) == LETTERS.upper()


def test_a_small_sign_behind_a_capital_is_read_in_vni() -> None:
    assert read_as("VNI", "Aùnh Ñaëng AÙnh".encode("latin-1")) == "Ánh Đặng Ánh"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"NGUY\xd4N V\xa1N \xa7\xf8C", "NGUYỄN VĂN ĐỨC"),
        (b"\xa7\xe7 V\xa1N NAM", "ĐỖ VĂN NAM"),
        (b"\xa7\xe7 V\xa8n Nam", "Đỗ Văn Nam"),
        (b"NGUY\xd4N V\xa8n \xa7\xf8c", "NGUYỄN Văn Đức"),
        (b"A \xb8nh", "A ánh"),
    ],
)
def test_capitals_of_tcvn3_follow_the_letters_around_them(raw: bytes, text: str) -> None:
    assert read_as("TCVN3", raw) == text


@pytest.mark.parametrize("name", VIETNAMESE_ENCODINGS)
@pytest.mark.parametrize("text", _TEXTS.strip().splitlines())
def test_vietnamese_is_recognised(name: str, text: str) -> None:
    raw = ENCODERS[name](text)
    assert (read_by_evidence(raw) or raw.decode("latin-1")) == text


@pytest.mark.parametrize("name", VIETNAMESE_ENCODINGS)
def test_nearly_every_name_is_recognised(name: str) -> None:
    names = ["^".join(parts) for parts in product(_FAMILIES.split(), _MIDDLES.split(), _GIVEN.split())]
    # Where only one word is no ASCII, it may be as good in Latin-1: `Hoà` is Hồ in VNI.
    wrong = 0
    for text in [*names, *map(str.upper, names)]:
        raw = ENCODERS[name](text)
        wrong += (read_by_evidence(raw) or raw.decode("latin-1")) != text
    assert wrong * 50 < 2 * len(names)


def test_western_text_stays_as_it_is() -> None:
    western = _WESTERN.split()
    words = [*western, *(word.upper() for word in western if max(word.upper()) < "\u0100")]
    beside = ["Anna", "Le", "Van", "An", "Kim", "Jean", "Minh"]
    pairs = [f"{a}^{b}" for a, b in product(words, words[::9] + beside)] + [
        f"{b}^{a}" for a, b in product(words, beside)
    ]
    read = {text: read_by_evidence(text.encode("latin-1")) for text in [*words, *pairs]}
    assert {text: other for text, other in read.items() if other not in (None, text)} == {}


@pytest.mark.parametrize("text", ["Lê", "Hoàng^Hà", "Bùi^Thanh", "Hoà Bình", "Lý", "Thái", "Võ^Tùng"])
def test_vietnamese_that_latin_1_can_write_stays_as_it_is(text: str) -> None:
    assert read_by_evidence(text.encode("latin-1")) is None


@given(st.binary(max_size=60))
def test_any_bytes_can_be_asked_about(raw: bytes) -> None:
    read_by_evidence(raw)
    for name in VIETNAMESE_ENCODINGS:
        assert read_as(name, raw).isascii() == raw.isascii()
