import pytest

from pacs_gateway.domain.uids import check_uid, is_uid
from pacs_gateway.errors import InvalidUidError


@pytest.mark.parametrize("text", ["1", "1.2.840.10008.1.2", "2.25." + "9" * 39, "1.02.3", "1" * 64])
def test_identifiers_are_uids(text: str) -> None:
    assert is_uid(text)
    assert check_uid(text, "StudyInstanceUID") == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1.",
        ".1",
        "1..2",
        "1.2a",
        "1.2 ",
        "1.2\n",
        "../1",
        "1/2",
        "1\\2",
        "1.2\0",
        "١.٢",
        "1" * 65,
        "-1",
        "1,2",
    ],
)
def test_everything_else_is_refused_without_being_repeated(text: str) -> None:
    assert not is_uid(text)
    with pytest.raises(InvalidUidError) as refusal:
        check_uid(text, "StudyInstanceUID")
    assert str(refusal.value) == "StudyInstanceUID is not a UID"
