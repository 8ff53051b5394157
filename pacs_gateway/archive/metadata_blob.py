"""The metadata of a series as they are kept: a compressed JSON array, an object on each line, read one at a time."""

import gzip
import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Self, TypeAlias

import orjson

DicomJson: TypeAlias = "dict[str, dict[str, object]]"

_SOP_INSTANCE_UID = "00080018"
_SOP_INSTANCE = re.compile(rb'"00080018":\{"vr":"UI","Value":\["([0-9.]+)"')


@dataclass(frozen=True, slots=True)
class MetadataBlob:
    """The metadata of a series, or of one instance."""

    etag: str
    read: Callable[[], bytes]
    """Returns the gzip of a DICOM JSON array; what can be read again is not kept in memory."""

    @classmethod
    def of(cls, body: bytes) -> Self:
        """Return the blob of what has been made now."""
        return cls(hashlib.sha256(body).hexdigest(), lambda: body)

    def members(self) -> Iterator[bytes]:
        """Yield the array's objects one at a time.

        What was kept before objects had lines of their own comes as one piece, with commas between its objects.
        """
        with gzip.GzipFile(fileobj=BytesIO(self.read())) as lines:
            for line in lines:
                if piece := line.strip(b"[],\n"):
                    yield piece

    def objects(self) -> Iterator[DicomJson]:
        """Yield the array's objects one at a time, decoded."""
        for piece in self.members():
            yield from orjson.loads(b"[%b]" % piece)

    def find(self, sop_uids: Collection[str]) -> dict[str, bytes]:
        """Return the JSON objects of some instances, by SOP Instance UID."""
        wanted = {uid.encode() for uid in sop_uids}
        found: dict[str, bytes] = {}
        for piece in self.members():
            # A search for bytes is far faster than reading each object to see which it is.
            if not wanted.isdisjoint(_SOP_INSTANCE.findall(piece)):
                found |= {uid: body for uid, body in _by_uid(piece) if uid in sop_uids}
        return found

    def by_uid(self) -> dict[str, bytes]:
        """Return all JSON objects, by SOP Instance UID."""
        return {uid: body for piece in self.members() for uid, body in _by_uid(piece)}


def compress(objects: Mapping[str, bytes]) -> bytes:
    """Return the gzip of the JSON array of JSON objects, in the mapping's order."""
    return gzip.compress(b"[" + b",\n".join(objects.values()) + b"]", 6, mtime=0)


def _by_uid(piece: bytes) -> Iterator[tuple[str, bytes]]:
    for one in orjson.loads(b"[%b]" % piece):
        yield one[_SOP_INSTANCE_UID]["Value"][0], orjson.dumps(one)
