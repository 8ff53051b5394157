"""The character set of an answer: the caller's own where it can say everything, else UTF-8, or ASCII on demand.

References
----------
PS3.4 C.4.1.1.3.1 (Specific Character Set in C-FIND), PS3.5 6.1.2.5 (code extension)
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

from pacs_gateway.domain.character_set import UTF_8, DeclaredSets
from pacs_gateway.domain.iso2022 import encode
from pacs_gateway.domain.names import to_ascii


@dataclass(frozen=True, slots=True)
class AnswerEncoding:
    """How the texts of one answer become bytes, and what its Specific Character Set says of them."""

    term: str
    """Value of (0008,0005); empty where the answer is ASCII and needs none."""
    encode: Callable[[str], bytes]
    """Returns the bytes of a text of any VR, what the set lacks folded to ASCII; extensions end at each delimiter."""

    @classmethod
    def choose(cls, requested: str, texts: Iterable[str], *, ascii_only: bool = False) -> Self:
        """Return the requested set where it can express every one of `texts`, else UTF-8.

        Parameters
        ----------
        requested
            (0008,0005) of the request, values joined by a backslash; empty where it has none.
        texts
            What the answer says in LO, LT, PN, SH, ST, UC and UT, the VRs that follow (0008,0005) (PS3.5 6.1.2.3).
        ascii_only
            Fold everything to ASCII instead, for a caller that can show nothing else.
        """
        foreign = [text for text in texts if not text.isascii()]
        if ascii_only or not foreign:
            return cls("", _encode_ascii)
        declared = DeclaredSets.parse(requested)
        if all(_encode(text, declared) is not None for text in foreign):
            return cls(declared.term, lambda text: _encode(text, declared) or _encode_ascii(text))
        return cls(UTF_8, _encode_utf8)


def _encode(text: str, declared: DeclaredSets) -> bytes | None:
    """Return `text` by what is declared, None where that lacks a character."""
    if declared.whole is None:
        return encode(text, declared.sets)
    try:
        return text.encode(declared.whole[1])
    except UnicodeEncodeError:
        return None


def _encode_ascii(text: str) -> bytes:
    return to_ascii(text).encode("ascii")


def _encode_utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")
