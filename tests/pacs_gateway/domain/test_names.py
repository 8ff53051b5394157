import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_gateway.domain.names import (
    accented,
    display,
    endings,
    fold,
    has_accents,
    marks,
    name_pattern,
    to_ascii,
    words,
)

VIETNAMESE = "aàáảãạăằắẳẵặâầấẩẫậbcdđeèéẻẽẹêềếểễệghiìíỉĩịklmnoòóỏõọôồốổỗộơờớởỡợpqrstuùúủũụưừứửữựvxyỳýỷỹỵ"
BARE = "aaaaaaaaaaaaaaaaaabcddeeeeeeeeeeeeghiiiiiiklmnoooooooooooooooooopqrstuuuuuuuuuuuuvxyyyyyy"
letters = st.text(st.sampled_from(VIETNAMESE + VIETNAMESE.upper() + "^ "), max_size=30)


def test_every_vietnamese_letter_folds_to_its_bare_one() -> None:
    assert fold(VIETNAMESE) == BARE
    assert fold(VIETNAMESE.upper()) == BARE
    assert fold(unicodedata.normalize("NFD", VIETNAMESE)) == BARE


@pytest.mark.parametrize(
    "spelling",
    [
        "Nguyễn^Văn^Đức",
        "NGUYEN^VAN^DUC",
        "nguyen van đức",
        "Nguyễn  Văn,Đức",
        unicodedata.normalize("NFD", "NGUYỄN^VĂN ĐỨC"),
        "Nguyễn^Văn^Đức^^",
        " Nguyen-Van/Duc ",
    ],
)
def test_spellings_of_one_name_have_one_fold(spelling: str) -> None:
    assert fold(spelling) == "nguyen van duc"


@given(st.text(max_size=40))
def test_fold_is_idempotent(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(letters)
def test_fold_does_not_see_accents_case_or_composition(text: str) -> None:
    bare = text.lower().translate(str.maketrans(VIETNAMESE, BARE))
    assert fold(text) == fold(bare) == fold(unicodedata.normalize("NFD", text)) == fold(text.upper())


@given(st.text(max_size=40))
def test_words_are_the_folds_distinct_words_in_order(text: str) -> None:
    assert list(words(text)) == list(dict.fromkeys(fold(text).split(" "))) or (fold(text) == "" and words(text) == ())


def test_one_hangul_syllable_stays_one_letter() -> None:
    assert fold("홍^길동") == "홍 길동"


def test_a_pattern_keeps_wildcards_and_drops_open_ends() -> None:
    assert name_pattern("NGUYỄN^*", fold) == "nguyen"
    assert name_pattern("NGUYỄN*", fold) == "nguyen*"
    assert name_pattern("*^Đức", fold) == "duc"
    assert name_pattern("Ng?yễn^*^Đức", fold) == "ng?yen * duc"
    assert name_pattern("*", fold) == "*"
    assert name_pattern("Nguyễn", fold) is None


def test_accents_can_be_compared_when_wanted() -> None:
    assert accented("Nguyễn^Văn") == accented(unicodedata.normalize("NFD", "NGUYỄN VĂN")) == "nguyễn văn"
    assert accented("Nguyễn") != accented("Nguyen")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Nguyễn^Văn^Đức", "Nguyễn Văn Đức"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada Tarou"),
        ("=山田^太郎", "山田 太郎"),
        ("Trần^^^BS^", "Trần BS"),
        ("", ""),
        ("^^^=^", ""),
    ],
)
def test_display_shows_the_first_group_that_says_something(name: str, shown: str) -> None:
    assert display(name) == shown


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Nguyễn^Thị^Đượ c", "Nguyen^Thi^Duo c"),
        ("TRẦN", "TRAN"),
        ("Ægir Œuvre Straße Łódź Søren", "AEgir OEuvre Strasse Lodz Soren"),
        ("山田=ﾔ", "??=?"),
        ("A\u0301 Ａ\u3000½", "A A ?"),
        ("O'Neil (Jr.)", "O'Neil (Jr.)"),
    ],
)
def test_to_ascii_drops_marks_and_keeps_the_case(text: str, plain: str) -> None:
    assert to_ascii(text) == plain


def test_a_key_says_accents_or_leaves_them_open() -> None:
    assert has_accents("*Trần*")
    assert has_accents("Đức")
    assert not has_accents("TRAN^VAN*")
    assert not has_accents("O'Neil")


@given(letters, letters)
def test_who_has_a_word_that_begins_so_has_its_marks(name: str, other: str) -> None:
    mine = marks([*words(name), *words(other)])
    for word in words(name):
        for length in range(len(word) + 1):
            assert mine & marks([word[:length]]) == marks([word[:length]])
    assert mine < 1 << 63


def test_marks_are_those_that_every_index_holds() -> None:
    assert marks(["nguyen", "thi", "mai"]) == 4612811954103780352


def test_the_endings_of_a_word_are_as_many_as_its_letters_unless_it_is_none() -> None:
    assert list(endings("anh")) == ["anh", "nh", "h"]
    assert list(endings("a" * 65)) == [""]
