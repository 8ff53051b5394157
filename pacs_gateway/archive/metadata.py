"""Instance metadata as DICOM JSON: made once at ingest, served without opening a file.

References
----------
PS3.18 F.2 (DICOM JSON model), PS3.18 10.4.1.1.2 (metadata resources, bulk data references)
"""

import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import BinaryIO

import orjson
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.filebase import ReadableBuffer
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from pacs_gateway.archive.describe import GE_PRIVATE_IMPLICIT
from pacs_gateway.archive.header_json import CHARACTER_SET, UTF_8, JsonObject, implied_vr, json_object
from pacs_gateway.archive.reception_head import decode_reception
from pacs_gateway.domain.part10 import decode_head
from pacs_gateway.errors import InvalidInstanceError
from pacs_gateway.imaging.elements import READ_ERRORS

# Elements beyond this length are not even read for the metadata.
DEFER_BYTES = 64 * 1024
# Enough for the head the gateway writes; a longer one is left to pydicom, as is what is deflated or has no head.
_HEAD_BYTES = 4096
_NOT_READ_PLAINLY = frozenset({"", DeflatedExplicitVRLittleEndian})
# With the VR of each, which a data set in implicit VR does not tell (PS3.6, PS3.5 A.1).
_PIXEL_DATA: Mapping[int, str] = MappingProxyType({0x7FE00008: "OF", 0x7FE00009: "OD", 0x7FE00010: "OW"})
PIXEL_HEAD_BYTES = 6
"""So much of the pixels' element tells which one it is."""
_AVAILABLE_TRANSFER_SYNTAX = "00083002"


def read_header(file: BinaryIO, *, defer: bool = False) -> Dataset:
    """Return the data set of a Part 10 file up to its pixel data.

    With `defer`, values of more than 64 KiB are left out (their elements have no value), those of sequences are not.

    Raises
    ------
    InvalidInstanceError
        It cannot be read.
    UnavailableError
        Its bytes cannot be reached now.
    """
    with _reading():
        return _read_deferring(file) if defer else dcmread(file, stop_before_pixels=True, force=True)


def read_elements(file: BinaryIO, transfer_syntax_uid: str) -> Dataset:
    """Return the elements from where `file` stands to the pixel data or the end; errors as ``read_header``."""
    is_implicit = transfer_syntax_uid == ImplicitVRLittleEndian
    is_little_endian = transfer_syntax_uid != ExplicitVRBigEndian
    with _reading():
        return read_dataset(file, is_implicit, is_little_endian, stop_when=_at_pixel_data)


@contextmanager
def _reading() -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a sender wrote wrong is not news to whoever reads it
            yield
    except READ_ERRORS as error:
        raise InvalidInstanceError(f"the header cannot be read ({type(error).__name__})") from error


def _read_deferring(file: BinaryIO) -> Dataset:
    syntax, position = _head(file)
    if syntax in _NOT_READ_PLAINLY:
        file.seek(0)
        whole = dcmread(file, stop_before_pixels=True, force=True, defer_size=DEFER_BYTES)
        # The elements of a deflated data set are found in its inflated copy.
        return _with_sequences(whole, whole.buffer or file)
    # Straight to the data set: pydicom spends as long on the head of a file as on sixty elements.
    file.seek(position)
    is_implicit, is_little_endian = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    header = read_dataset(file, is_implicit, is_little_endian, stop_when=_at_pixel_data, defer_size=DEFER_BYTES)
    return _with_sequences(header, file)


def _head(file: BinaryIO) -> tuple[str, int]:
    """Return the transfer syntax and the offset of the data set, "" and 0 where the file has no head of ours."""
    try:
        head = decode_head(file.read(_HEAD_BYTES))
    except InvalidInstanceError:
        return "", 0
    return (head[0].transfer_syntax_uid, head[1]) if head is not None else ("", 0)


def _at_pixel_data(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag in _PIXEL_DATA


def _with_sequences(header: Dataset, source: BinaryIO | ReadableBuffer) -> Dataset:
    """Fetch what was deferred and is a sequence: it is made of elements, and no bulk data (PS3.18 F.2.2)."""
    for tag, element in tuple(header.items()):
        if not isinstance(element, RawDataElement) or element.value is not None or not element.length:
            continue
        if implied_vr(element, header) == "SQ":
            source.seek(element.value_tell)
            header[tag] = element._replace(value=source.read(element.length))
    return header


def charset_of_device(file: BinaryIO) -> str:
    """Return the character set that was set for the device when it sent a stored file; reads from the beginning on."""
    with suppress(InvalidInstanceError):
        head = decode_head(file.read(_HEAD_BYTES))
        if head is not None:
            return decode_reception(head[0].private, "")[0].charset
    return ""


def pixel_reference(head: bytes, transfer_syntax_uid: str, *, bulk_root: str) -> JsonObject:
    """Return the attribute that says where pixels are to be had; empty where `head` is not that of pixels.

    Parameters
    ----------
    head
        The first bytes of the element, tag and VR.
    bulk_root
        As for ``metadata_json``.

    References
    ----------
    PS3.18 10.4.1.1.2
    """
    is_implicit = transfer_syntax_uid in (ImplicitVRLittleEndian, GE_PRIVATE_IMPLICIT)
    if len(head) < PIXEL_HEAD_BYTES:
        return {}
    group, element = struct.unpack_from(">HH" if transfer_syntax_uid == ExplicitVRBigEndian else "<HH", head)
    tag = group << 16 | element
    if tag not in _PIXEL_DATA:
        return {}
    is_bytes = not is_implicit and head[4:PIXEL_HEAD_BYTES] == b"OB"
    return {f"{tag:08X}": {"vr": "OB" if is_bytes else _PIXEL_DATA[tag], "BulkDataURI": f"{bulk_root}/{tag:08X}"}}


def metadata_json(
    header: Dataset,
    *,
    transfer_syntax_uid: str,
    bulk_root: str,
    charset: str = "",
    pixels: JsonObject | None = None,
) -> bytes:
    """Return a header as one DICOM JSON object.

    Parameters
    ----------
    header
        As ``read_header`` gives it, deferred or not.
    bulk_root
        URI under which the instance's bulk data is served, without a trailing slash.
    charset
        As ``charset_of_device`` gives it.
    pixels
        As ``pixel_reference`` gives it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        body = json_object(header, uri=f"{bulk_root}/", charset=charset)
        try:
            return _dumped(body | (pixels or {}), transfer_syntax_uid)
        except orjson.JSONEncodeError:
            checked = json_object(header, uri=f"{bulk_root}/", charset=charset, is_checked=True)
            return _dumped(checked | (pixels or {}), transfer_syntax_uid)


def _dumped(body: JsonObject, transfer_syntax_uid: str) -> bytes:
    body[CHARACTER_SET] = UTF_8
    body[_AVAILABLE_TRANSFER_SYNTAX] = {"vr": "UI", "Value": [transfer_syntax_uid]}
    return orjson.dumps(dict(sorted(body.items())))
