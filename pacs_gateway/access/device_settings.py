"""The rules of what can be set for one device, beside who it is: how it sends, what it is answered, how long it waits.

References
----------
PS3.3 C.12.1.1.2 (defined terms of Specific Character Set), PS3.5 6.2 (LO), PS3.6 A (keywords of transfer syntaxes)
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from pydicom.uid import UID_dictionary  # type: ignore[attr-defined]

from pacs_gateway.domain.character_set import DEFINED_TERMS
from pacs_gateway.domain.uids import is_uid
from pacs_gateway.domain.vietnamese import VIETNAMESE_ENCODINGS
from pacs_gateway.errors import InputError

DEFAULT_MAX_MATCHES = 500
"""Answers to one C-FIND: more are refused, so that nobody copies a whole index with one query (promise B3)."""
DEFAULT_IDLE_S = 900
"""Seconds of silence: ultrasound keeps one association open for the whole examination."""
MOST_MATCHES = 100_000
MOST_IDLE_S = 24 * 3600
_MAX_ISSUER = 64

_CHARSETS = DEFINED_TERMS | set(VIETNAMESE_ENCODINGS)

_STANDARD_PREFIX = "1.2.840.10008."
_SYNTAX_BY_KEYWORD: Mapping[str, str] = MappingProxyType(
    {keyword: uid for uid, (_, kind, _, _, keyword) in UID_dictionary.items() if kind == "Transfer Syntax"}
)
_KEYWORD_BY_SYNTAX: Mapping[str, str] = MappingProxyType({uid: word for word, uid in _SYNTAX_BY_KEYWORD.items()})


def parse_syntaxes(text: str) -> tuple[str, ...]:
    """Return the transfer syntaxes of a comma-separated list of UIDs or keywords, in its order; none where it is empty.

    Raises
    ------
    InputError
        Naming the part that is no transfer syntax.
    """
    return check_syntaxes(part.strip() for part in text.split(",") if part.strip())


def check_syntaxes(syntaxes: Iterable[str]) -> tuple[str, ...]:
    """Return transfer syntaxes given as UIDs or keywords as UIDs, each once.

    Raises
    ------
    InputError
        Naming the first that is none; a private UID is taken as it is.
    """
    uids = [_SYNTAX_BY_KEYWORD.get(syntax, syntax) for syntax in syntaxes]
    for uid in uids:
        is_private = is_uid(uid) and not uid.startswith(_STANDARD_PREFIX)
        if uid not in _KEYWORD_BY_SYNTAX and not is_private:
            raise InputError(f"{uid!r} is no transfer syntax: write its UID, or its keyword as JPEG2000Lossless")
    return tuple(dict.fromkeys(uids))


def syntax_keyword(uid: str) -> str:
    """Return the keyword of a transfer syntax; of one that has none its UID."""
    return _KEYWORD_BY_SYNTAX.get(uid, uid)


def check_charset(text: str) -> str:
    """Return the character set in the spelling that is kept; several terms are joined by backslashes, as in DICOM.

    Raises
    ------
    InputError
        It is neither a defined term nor one of the Vietnamese sets.
    """
    terms = [term.strip() for term in text.split("\\")]
    # An empty first term is ISO IR 6 where others follow.
    wrong = next((term for position, term in enumerate(terms) if term not in _CHARSETS and (term or position)), None)
    if wrong is not None:
        vietnamese = ", ".join(VIETNAMESE_ENCODINGS)
        raise InputError(f"{wrong!r} is no character set: a DICOM defined term such as ISO_IR 192, or {vietnamese}")
    return "\\".join(terms)


def check_issuer(text: str) -> str:
    """Return an Issuer of Patient ID (0010,0021) without padding.

    Raises
    ------
    InputError
        It is longer than 64 characters, or has a backslash or a control character.
    """
    issuer = text.strip()
    if len(issuer) > _MAX_ISSUER or "\\" in issuer or not issuer.isprintable():
        raise InputError(f"an issuer of patient ID has at most {_MAX_ISSUER} characters, no backslash and no controls")
    return issuer


def check_limits(*, max_matches: int, idle_s: int) -> None:
    """Check a device's numbers.

    Raises
    ------
    InputError
        One of them is out of its range.
    """
    if not 1 <= max_matches <= MOST_MATCHES:
        raise InputError(f"the most matches of a query are 1 to {MOST_MATCHES}")
    if not 1 <= idle_s <= MOST_IDLE_S:
        raise InputError(f"an association may be idle for 1 to {MOST_IDLE_S} s")
