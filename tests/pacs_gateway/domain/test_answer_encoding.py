"""The bytes of answers: read back by ourselves, by pydicom and by DCMTK."""

import re
import subprocess
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

from pacs_gateway.domain.answer_encoding import AnswerEncoding
from pacs_gateway.domain.character_set import CharacterSet, DeclaredSets
from pacs_gateway.domain.values import clean
from tests.support.builders import Identity, dataset, part10

SINGLE_BYTE = [f"ISO_IR {n}" for n in (13, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 203)]
EXTENDED = [
    "\\ISO 2022 IR 87",
    "\\ISO 2022 IR 87\\ISO 2022 IR 159",
    "ISO 2022 IR 13\\ISO 2022 IR 87\\ISO 2022 IR 159",
    "\\ISO 2022 IR 149",
    "\\ISO 2022 IR 58",
    "ISO 2022 IR 100\\ISO 2022 IR 144\\ISO 2022 IR 126",
    "ISO 2022 IR 100\\ISO 2022 IR 87",
    "ISO 2022 IR 101\\ISO 2022 IR 87\\ISO 2022 IR 149\\ISO 2022 IR 58",
]
WHOLE = ["GB18030", "GBK", "ISO_IR 192"]


def _letters(term: str) -> Sequence[str]:
    """Return every letter beyond ASCII that `term` can express and that cleaning leaves alone."""
    declared = DeclaredSets.parse(term)
    plane = [c for code in range(0xA0, 0xFFFE) if not 0xD800 <= code < 0xE000 and clean(c := chr(code)) == c]
    if declared.whole is not None:
        codec = declared.whole[1]
        return [c for c in plane if c.encode(codec, "ignore")]
    return [c for c in plane if any(coded is not None and coded.encode(c) for coded in declared.sets)]


@pytest.mark.parametrize("term", SINGLE_BYTE + EXTENDED + WHOLE)
def test_what_is_written_reads_the_same(term: str) -> None:
    letters = st.sampled_from(_letters(term)) | st.sampled_from("aB 7^=\\~")

    # Cleaning composes across letters, too.
    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.text(letters, max_size=30).map(clean), max_size=3))
    def check(texts: list[str]) -> None:
        answer = AnswerEncoding.choose(term, texts)
        assert answer.term == ("" if all(text.isascii() for text in texts) else term)
        for text in texts:
            encoded = answer.encode(text)
            if "100" not in term:  # under which we also look for what is no Latin-1
                assert CharacterSet(answer.term).decode(encoded) == text
            if term != "ISO_IR 203":  # which pydicom does not know
                assert clean(_by_pydicom(encoded, answer.term)) == text

    check()


def _by_pydicom(encoded: bytes, term: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = decode_bytes(encoded, convert_encodings(term.split("\\")), PN_DELIMS | TEXT_VR_DELIMS)
    return re.sub(r"\x1b\$\)A", "", text)  # it leaves this escape sequence in the text


@pytest.mark.parametrize(
    ("requested", "text", "term", "encoded"),
    [
        # PS3.5 H.3.1, H.3.2, I.2 and K.2
        (
            "\\ISO 2022 IR 87",
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
            "\\ISO 2022 IR 87",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        ),
        (
            "ISO 2022 IR 13\\ISO 2022 IR 87",
            "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
            "ISO 2022 IR 13\\ISO 2022 IR 87",
            b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
        ),
        (
            "\\ISO 2022 IR 149",
            "Hong^Gildong=洪^吉洞=홍^길동",
            "\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        ),
        ("\\ISO 2022 IR 58", "王^小东", "\\ISO 2022 IR 58", b"\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1\xb6\xab"),
        ("GB18030", "王^小东", "GB18030", b"\xcd\xf5^\xd0\xa1\xb6\xab"),
        ("GB18030", "Trần", "GB18030", "Trần".encode("gb18030")),
        # Both registers go back to the first set before a delimiter
        (
            "ISO 2022 IR 100\\ISO 2022 IR 144\\ISO 2022 IR 87",
            "é山éД=é",
            "ISO 2022 IR 100\\ISO 2022 IR 144\\ISO 2022 IR 87",
            b"\xe9\x1b$B;3\x1b(B\x1b-A\xe9\x1b-L\xb4\x1b-A=\xe9",
        ),
        # The terms of the request as the standard spells them
        ("ISO_IR 100", "José", "ISO_IR 100", b"Jos\xe9"),
        ("ISO 2022 IR 100", "José", "ISO_IR 100", b"Jos\xe9"),
        ("ISO 2022 IR 6\\ISO-2022-IR-87", "山", "\\ISO 2022 IR 87", b"\x1b$B;3\x1b(B"),
        ("ISO 2022 IR 149", "洪", "\\ISO 2022 IR 149", b"\x1b$)C\xfb\xf3"),
    ],
)
def test_the_callers_set_is_used_where_it_can_say_everything(
    requested: str, text: str, term: str, encoded: bytes
) -> None:
    answer = AnswerEncoding.choose(requested, [text])
    assert (answer.term, answer.encode(text)) == (term, encoded)


@pytest.mark.parametrize(
    "requested",
    ["", "ISO_IR 6", "ISO_IR 100", "\\ISO 2022 IR 87", "GBK", "ISO_IR 13", "windows-1258", "TCVN3", "VNI", "VISCII"],
)
@pytest.mark.parametrize("text", ["Trần^Văn An", "Nguyễn^Thị^Đượ c"])
def test_another_set_than_the_callers_is_utf8_and_never_an_undeclared_one(requested: str, text: str) -> None:
    answer = AnswerEncoding.choose(requested, ["CT", text])
    assert (answer.term, answer.encode(text)) == ("ISO_IR 192", text.encode())


@pytest.mark.parametrize("requested", ["", "ISO_IR 192", "\\ISO 2022 IR 87", "nothing\\anyone knows"])
def test_plain_ascii_needs_no_declaration(requested: str) -> None:
    answer = AnswerEncoding.choose(requested, ["TRAN^VAN AN", ""])
    assert (answer.term, answer.encode("TRAN^VAN AN")) == ("", b"TRAN^VAN AN")


def test_old_machines_get_ascii() -> None:
    answer = AnswerEncoding.choose("ISO_IR 100", ["Nguyễn^Đức", "山田"], ascii_only=True)
    assert answer.term == ""
    assert answer.encode("Nguyễn^Đức=山田") == b"Nguyen^Duc=??"


def test_what_was_not_announced_is_folded_and_never_an_error() -> None:
    assert AnswerEncoding.choose("ISO_IR 100", ["é"]).encode("é山 Đ") == b"e? D"
    assert AnswerEncoding.choose("ISO_IR 192", ["é"]).encode("\ud800") == b"?"


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize(
    ("term", "name"),
    [
        ("ISO_IR 100", "José"),
        ("ISO_IR 166", "ไทย"),
        ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
        # Debian's DCMTK has no ISO 2022 IR 87 and 159: glibc's iconv does not know them by themselves.
        ("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동"),
        ("\\ISO 2022 IR 58", "Wang^XiaoDong=王^小东"),
        ("ISO 2022 IR 100\\ISO 2022 IR 144\\ISO 2022 IR 126", "éЛéω=Л^é"),
        ("GB18030", "王^小东 Trần"),
        ("GBK", "王^小东"),
        ("ISO_IR 192", "Nguyễn^Thị^Đượ c"),
    ],
)
def test_dcmtk_reads_what_is_written(term: str, name: str, tmp_path: Path) -> None:
    answer = AnswerEncoding.choose(term, [name])
    assert answer.term == term
    ds = dataset(Identity(charset=term, patient_name="A"))
    encoded = answer.encode(name)
    encoded += b" " * (len(encoded) % 2)
    ds[0x00100010] = RawDataElement(Tag(0x00100010), "PN", len(encoded), encoded, 0, False, True)
    file = tmp_path / "answer.dcm"
    file.write_bytes(part10(ds))
    dump = subprocess.run(
        ["dcmdump", "+U8", "+P", "0010,0010", "+P", "0008,0005", file], capture_output=True, check=True, timeout=60
    )
    assert f"[{name}]" in dump.stdout.decode()
