"""Whether two encodings hold the same object: elements decoded, padding and group lengths dropped, pixels decoded.

References
----------
PS3.5 6.2 (padding), 7.1 (VRs are implied or explicit), 8.2 (lossless encodings of the same pixels)
"""

import hashlib
import warnings

import numpy as np
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element

from pacs_gateway.archive.derive import frame_ranges
from pacs_gateway.archive.metadata import read_header
from pacs_gateway.archive.stored import Holdings, StoredInstance, as_file
from pacs_gateway.errors import InvalidInstanceError, NotFoundError, UnsupportedSyntaxError
from pacs_gateway.imaging.decode import Decoder
from pacs_gateway.imaging.elements import READ_ERRORS
from pacs_gateway.imaging.pixels import describe_pixels
from pacs_gateway.storage.store import ObjectReader

# They say how the object is encoded, not what it is: length to end, character set, photometric interpretation (a
# reversible colour transform changes it), planar configuration.
_ENCODING_TAGS = frozenset({0x00080001, 0x00080005, 0x00280004, 0x00280006})
_PIXEL_GROUP = 0x7FE0
_TRAILING_PADDING = 0xFFFCFFFC
_ELEMENT_HEAD_BYTES = 8
_MAX_DEPTH = 64


def is_equivalent(holdings: Holdings, one: StoredInstance, other: StoredInstance, decode: Decoder) -> bool:
    """Return whether two stored contents are the same object; False where that cannot be proven."""
    try:
        one, other = holdings.plain(one), holdings.plain(other)
        with warnings.catch_warnings(), holdings.open(one) as first, holdings.open(other) as second:
            warnings.simplefilter("ignore")
            headers = read_header(as_file(first)), read_header(as_file(second))
            if content_digest(headers[0]) != content_digest(headers[1]):
                return False
            return _same_pixels((one, first, headers[0]), (other, second, headers[1]), decode)
    except (InvalidInstanceError, UnsupportedSyntaxError, NotFoundError):
        return False


def content_digest(header: Dataset) -> str:
    """Return a digest of the elements before the pixel data that does not depend on how they are encoded.

    Raises
    ------
    InvalidInstanceError
        An element cannot be decoded.
    """
    digest = hashlib.sha256()
    for chunk in _canonical(header, 0):
        digest.update(len(chunk).to_bytes(8, "little"))
        digest.update(chunk)
    return digest.hexdigest()


def _canonical(dataset: Dataset, depth: int) -> list[bytes]:
    if depth > _MAX_DEPTH:
        raise InvalidInstanceError("sequences are nested too deeply")
    chunks: list[bytes] = []
    for tag in sorted(dataset.keys()):
        if tag in _ENCODING_TAGS or tag.element == 0 or tag.group == _PIXEL_GROUP or tag == _TRAILING_PADDING:
            continue
        try:
            element = dataset[tag]
            chunks.append(int(tag).to_bytes(4, "big"))
            if element.VR == "SQ":
                for item in element.value:
                    chunks += [b"item", *_canonical(item, depth + 1)]
            else:
                chunks.append(_value(element))
        except READ_ERRORS as error:
            raise InvalidInstanceError(f"element {int(tag):08X} cannot be decoded") from error
    return chunks


def _value(element: DataElement) -> bytes:
    """Return an element's value in little endian and UTF-8, without the padding at its end."""
    if isinstance(element.value, bytes):
        return element.value.rstrip(b"\0 ")
    encoded = DicomBytesIO()
    encoded.is_little_endian = True
    encoded.is_implicit_VR = True
    write_data_element(encoded, element, ["utf8"])
    return encoded.getvalue()[_ELEMENT_HEAD_BYTES:].rstrip(b"\0 ")


def _same_pixels(
    one: tuple[StoredInstance, ObjectReader, Dataset],
    other: tuple[StoredInstance, ObjectReader, Dataset],
    decode: Decoder,
) -> bool:
    tables = one[0].frames, other[0].frames
    if tables[0] is None or tables[1] is None:
        return tables[0] is tables[1]
    if tables[0].n_frames != tables[1].n_frames:
        return False
    descriptions = [describe_pixels(header, stored.transfer_syntax_uid) for stored, _, header in (one, other)]
    for index in range(tables[0].n_frames):
        pair = [
            decode(_frame(stored, reader, index), description, index=index)
            for (stored, reader, _), description in zip((one, other), descriptions, strict=True)
        ]
        if not np.array_equal(pair[0], pair[1]):
            return False
    return True


def _frame(stored: StoredInstance, reader: ObjectReader, index: int) -> bytes:
    return b"".join(reader.read(offset, length) for offset, length in frame_ranges(stored, index))
