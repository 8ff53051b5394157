"""Names that people give to accounts, tokens and facilities; plain ASCII, so that every keyboard can type them."""

import re

from pacs_gateway.errors import InputError

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_FACILITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def to_name(text: str) -> str:
    """Return `text` as names are kept, in lower case; empty where it can be no name, so that it finds nothing."""
    name = text.strip().lower()
    return name if _NAME.fullmatch(name) else ""


def check_name(text: str, what: str) -> str:
    """Return the name of a `what`, in lower case.

    Raises
    ------
    InputError
        It has characters that are not for names.
    """
    name = to_name(text)
    if not name:
        raise InputError(f"a {what} name has 1 to 64 of a-z, 0-9 and . _ @ - and begins with a letter or digit")
    return name


def check_facility(text: str) -> str:
    """Return the code of a facility; case is kept.

    Raises
    ------
    InputError
        It has characters that are not for codes.
    """
    if not _FACILITY.fullmatch(text):
        raise InputError("a facility code has 1 to 64 letters, digits and . _ - and begins with a letter or digit")
    return text
