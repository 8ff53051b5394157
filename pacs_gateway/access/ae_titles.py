"""Application entity titles as the gateway compares them (PS3.5 6.2, VR AE; PS3.8 9.3.2)."""

from pacs_gateway.errors import InputError

_MAX_LENGTH = 16
_FIRST, _LAST = " ", "~"


def strip_padding(text: str) -> str:
    """Return `text` without its leading and trailing spaces, which do not count (PS3.8 Table 9-11)."""
    return text.strip(" ")


def is_ae_title(text: str) -> bool:
    """Return whether `text`, without padding, is a title: 1 to 16 printable ASCII characters, no backslash."""
    return 0 < len(text) <= _MAX_LENGTH and all(_FIRST <= c <= _LAST for c in text) and "\\" not in text


def check_ae_title(text: str) -> str:
    """Return the title `text` without its padding; case is kept, for it counts.

    Raises
    ------
    InputError
        It is not a title.
    """
    title = strip_padding(text)
    if not is_ae_title(title):
        raise InputError("an AE title has 1 to 16 printable ASCII characters without backslash")
    return title
