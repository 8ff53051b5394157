"""The head of a Part 10 file: writing ours, taking received ones apart.

What the gateway must remember about a reception (origin, time) rides in the private information of the file meta
group, so that the stored object alone can rebuild the index. It is left out of every copy that leaves the house.

References
----------
PS3.10 7.1 (File Meta Information)
"""

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

from pacs_gateway.errors import InvalidInstanceError

PREAMBLE_LENGTH = 128
MAGIC = b"DICM"
IMPLEMENTATION_CLASS_UID = "2.25.212870294816012307146022316498541096353"
IMPLEMENTATION_VERSION_NAME = "PACSGW_1"
PRIVATE_CREATOR_UID = "2.25.212870294816012307146022316498541096354"
# A file meta group is a few hundred bytes; private information may make it longer, never this long.
MAX_META_LENGTH = 64 * 1024

_LONG = frozenset({b"OB", b"UN", b"OW", b"UT", b"SQ", b"UC", b"UR"})


@dataclass(frozen=True, slots=True)
class FileMeta:
    """The file meta information the gateway writes and reads."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    source_ae_title: str = ""
    private: bytes = b""


def encode_head(meta: FileMeta) -> bytes:
    """Return preamble (zeros), magic and file meta group for `meta`."""
    before, after = _around(meta.sop_class_uid, meta.transfer_syntax_uid, meta.source_ae_title)
    group = before + _element(0x0003, b"UI", _uid(meta.sop_instance_uid)) + after
    if meta.private:
        group += _element(0x0100, b"UI", _uid(PRIVATE_CREATOR_UID))
        group += _element(0x0102, b"OB", meta.private + b" " * (len(meta.private) % 2))
    return bytes(PREAMBLE_LENGTH) + MAGIC + _element(0x0000, b"UL", struct.pack("<L", len(group))) + group


@lru_cache(maxsize=256)
def _around(sop_class_uid: str, transfer_syntax_uid: str, source_ae_title: str) -> tuple[bytes, bytes]:
    """Return the elements before and behind the instance's UID: the same for all that an association brings."""
    before = _element(0x0001, b"OB", b"\x00\x01") + _element(0x0002, b"UI", _uid(sop_class_uid))
    after = _element(0x0010, b"UI", _uid(transfer_syntax_uid))
    after += _element(0x0012, b"UI", _uid(IMPLEMENTATION_CLASS_UID))
    after += _element(0x0013, b"SH", _text(IMPLEMENTATION_VERSION_NAME))
    if source_ae_title:
        after += _element(0x0016, b"AE", _text(source_ae_title))
    return before, after


def decode_head(head: bytes) -> tuple[FileMeta, int] | None:
    """Take the head of a Part 10 file apart.

    Parameters
    ----------
    head
        The first bytes of the file; more than the meta group is fine.

    Returns
    -------
    tuple or None
        The meta information and the offset of the data set; None when `head` ends inside the group.

    Raises
    ------
    InvalidInstanceError
        This is not a Part 10 file, or its meta group cannot be read.
    """
    if len(head) < PREAMBLE_LENGTH + 4:
        return None
    if head[PREAMBLE_LENGTH : PREAMBLE_LENGTH + 4] != MAGIC:
        raise InvalidInstanceError("not a DICOM Part 10 file")
    position = PREAMBLE_LENGTH + 4
    values: dict[int, bytes] = {}
    # The group length (0002,0000) is often wrong or absent: the group ends where another group begins.
    while True:
        if len(head) < position + 12:
            # A file may end right behind its meta group; then there is no data set to keep either.
            return None if len(head) < MAX_META_LENGTH else _too_long()
        group, number, vr, length = struct.unpack_from("<HH2sH", head, position)
        if group != 0x0002:
            break
        value = position + 8
        if vr in _LONG:
            (length,) = struct.unpack_from("<L", head, position + 8)
            value = position + 12
        if value + length > MAX_META_LENGTH:
            _too_long()
        if value + length > len(head):
            return None
        values[number] = head[value : value + length]
        position = value + length
    return _meta(values), position


def _too_long() -> NoReturn:
    raise InvalidInstanceError("the file meta information cannot be read")


def _meta(values: dict[int, bytes]) -> FileMeta:
    def text(number: int) -> str:
        return values.get(number, b"").decode("latin-1").strip("\0 ")

    transfer_syntax_uid = text(0x0010)
    if not transfer_syntax_uid:
        raise InvalidInstanceError("the file meta information names no transfer syntax")
    ours = text(0x0100) == PRIVATE_CREATOR_UID
    private = values.get(0x0102, b"") if ours else b""
    return FileMeta(text(0x0002), text(0x0003), transfer_syntax_uid, text(0x0016), private)


def _element(number: int, vr: bytes, value: bytes) -> bytes:
    if vr == b"OB":
        return struct.pack("<HH2sHL", 0x0002, number, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", 0x0002, number, vr, len(value)) + value


def _uid(uid: str) -> bytes:
    encoded = uid.encode("ascii")
    return encoded + b"\0" * (len(encoded) % 2)


def _text(value: str) -> bytes:
    encoded = value.encode("ascii", "replace")
    return encoded + b" " * (len(encoded) % 2)
