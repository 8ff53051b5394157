"""Unique identifiers (PS3.5 9): checked once at the edge, plain ``str`` inside."""

import re
from functools import lru_cache

from pacs_gateway.errors import InvalidUidError

# Leading zeros in a component break PS3.5 9.1 but come from real devices and name a file no less safely.
_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*")
MAX_UID_LENGTH = 64


# Asked several times about each on its way in, and about a SOP class with every object.
@lru_cache(maxsize=4096)
def is_uid(text: str) -> bool:
    """Return whether `text` can identify an object: digits and single dots, at most 64 characters."""
    return len(text) <= MAX_UID_LENGTH and _UID.fullmatch(text) is not None and text.isascii()


def check_uid(text: str, keyword: str) -> str:
    """Return `text` unchanged when it is a UID.

    Raises
    ------
    InvalidUidError
        Naming the attribute `keyword`, never the received text.

    References
    ----------
    PS3.5 9.1
    """
    if not is_uid(text):
        raise InvalidUidError(f"{keyword} is not a UID")
    return text
