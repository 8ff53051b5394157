"""Media types: what clients write, what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_gateway.dicomweb.media_type import MediaType, split_list
from pacs_gateway.errors import InvalidMessageError


def test_quoted_and_unquoted_values_read_alike() -> None:
    quoted = MediaType.parse('multipart/related; type="application/dicom"; boundary="a b"')
    bare = MediaType.parse("Multipart/Related;TYPE=application/dicom;boundary=x;")
    assert quoted.parameters == {"type": "application/dicom", "boundary": "a b"}
    assert (bare.essence, bare.parameters["type"]) == ("multipart/related", "application/dicom")


def test_a_quoted_pair_stands_for_its_character() -> None:
    assert MediaType.parse(r'a/b; c="d\"e\\f"').parameters["c"] == r'd"e\f'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text",
        "text/",
        "/plain",
        "a b/c",
        'a/b; c="d',
        "a/b; c",
        "a/b; c=1; C=2",
        "a/b; c=1 d=2",
        "a/b; c=" + "x" * 2000,
    ],
)
def test_what_is_not_a_media_type_is_refused(text: str) -> None:
    with pytest.raises(InvalidMessageError):
        MediaType.parse(text)


_values = st.text(st.characters(codec="ascii", min_codepoint=32, exclude_characters="\x7f"), min_size=1, max_size=20)


@given(st.dictionaries(st.sampled_from(["type", "boundary", "q"]), _values))
def test_what_was_written_is_read_back(parameters: dict[str, str]) -> None:
    written = MediaType("multipart", "related", parameters)
    assert MediaType.parse(str(written)) == written


def test_commas_inside_quotes_do_not_split() -> None:
    assert split_list('a/b; c="1,2", , d/e') == ['a/b; c="1,2"', "d/e"]
