"""Small data sets as bytes: what answers are made of, element by element, without objects in between.

References
----------
PS3.5 6.2 (value representations), 7.1 (data elements), 7.5 (sequences)
"""

import re
import struct
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from pacs_gateway.domain.raw_data_set import LONG_VRS

ENCODED_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""VRs whose text is in the Specific Character Set (PS3.5 6.1.2.3)."""

_LENGTHS: Mapping[str, int] = MappingProxyType({"AE": 16, "CS": 16, "DS": 16, "IS": 12, "LO": 64, "SH": 16})
_FORMS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "AS": re.compile(r"[0-9]{3}[DWMY]"),
        "DA": re.compile(r"[0-9]{8}"),
        "TM": re.compile(r"[0-9]{2}(?:[0-9]{2}(?:[0-9]{2}(?:\.[0-9]{1,6})?)?)?"),
        "UI": re.compile(r"[0-9.]{1,64}"),
    }
)
_MAX_NAME_GROUP = 64
_MAX_SHORT_BYTES = 0xFFFE


def fitted(vr: str, text: str) -> str:
    r"""Return `text` as a value of `vr` may be: values that are none of it are left out, long ones cut.

    What a device once sent may be longer than its VR allows; repeated as it is, it would make the answer invalid.
    """
    if not text:
        return text
    if vr == "PN":
        parts = text.split("\\")
        if all(len(part) <= _MAX_NAME_GROUP for part in parts):
            return text
        return "\\".join("=".join(group[:_MAX_NAME_GROUP] for group in part.split("=")) for part in parts)
    if (form := _FORMS.get(vr)) is not None:
        return "\\".join(part if form.fullmatch(part) else "" for part in text.split("\\"))
    limit = _LENGTHS.get(vr)
    if limit is None or len(text) <= limit:
        return text
    return "\\".join(part[:limit] for part in text.split("\\"))


class DataSetEncoder:
    """Makes elements in one transfer syntax."""

    def __init__(self, transfer_syntax: str) -> None:
        self._is_implicit = transfer_syntax == ImplicitVRLittleEndian
        order = ">" if transfer_syntax == ExplicitVRBigEndian else "<"
        self._implicit, self._short, self._long, self._us, self._ul = (
            struct.Struct(order + layout).pack for layout in ("HHL", "HH2sH", "HH2sHL", "H", "L")
        )

    def text(self, tag: int, vr: str, text: str, encode: Callable[[str], bytes] = str.encode) -> bytes:
        """Return the element that holds `text`; numbers of binary VRs, too, are given as text.

        Parameters
        ----------
        encode
            For VRs whose text is in the Specific Character Set.
        """
        if vr in ("US", "UL"):
            pack = self._us if vr == "US" else self._ul
            return self.element(tag, vr, b"".join(pack(int(part)) for part in text.split("\\") if part))
        value = encode(text) if vr in ENCODED_VRS else text.encode("ascii", "replace")
        if len(value) > _MAX_SHORT_BYTES and vr not in LONG_VRS:
            # Whole values only; a study would need a thousand SOP classes for this.
            value = value[:_MAX_SHORT_BYTES].rpartition(b"\\")[0]
        if len(value) % 2:
            value += b"\0" if vr == "UI" else b" "
        return self.element(tag, vr, value)

    def element(self, tag: int, vr: str, value: bytes) -> bytes:
        """Return the element with an encoded `value` of even length."""
        if self._is_implicit:
            return self._implicit(tag >> 16, tag & 0xFFFF, len(value)) + value
        if vr in LONG_VRS:
            return self._long(tag >> 16, tag & 0xFFFF, vr.encode(), 0, len(value)) + value
        return self._short(tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value

    def sequence(self, tag: int, items: Iterable[bytes]) -> bytes:
        """Return the sequence of encoded `items`."""
        body = b"".join(self._implicit(0xFFFE, 0xE000, len(item)) + item for item in items)
        return self.element(tag, "SQ", body)
