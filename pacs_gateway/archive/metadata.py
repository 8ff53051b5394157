"""Instance metadata as DICOM JSON: made once at ingest, served without opening a file.

References
----------
PS3.18 F.2 (DICOM JSON model), PS3.18 10.4.1.1.2 (metadata resources, bulk data references)
"""

import logging
import warnings
from collections.abc import Mapping
from io import BufferedIOBase
from typing import Any

import orjson
from pydicom import Dataset, dcmread
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag

from pacs_gateway.errors import InvalidInstanceError, NotFoundError

_log = logging.getLogger(__name__)

# Binary values up to this length travel inside the JSON; longer ones by reference (PS3.18 F.2.7).
_INLINE_BYTES = 1024
# Elements beyond this length are not even read for the metadata.
_DEFER_BYTES = 64 * 1024
_BINARY_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_PIXEL_GROUP = 0x7FE0
# Group 0002 is no part of the data set; 0008,0005 changes because JSON is UTF-8.
_CHARACTER_SET = "00080005"
_AVAILABLE_TRANSFER_SYNTAX = "00083002"

JsonObject = dict[str, Any]


def read_header(file: BufferedIOBase, *, defer: bool = False) -> Dataset:
    """Return the data set of a Part 10 file up to its pixel data.

    With `defer`, values of 64 KiB and more are left out (their elements have no value).

    Raises
    ------
    InvalidInstanceError
        It cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a sender wrote wrong is not news to whoever reads it
            return dcmread(file, stop_before_pixels=True, force=True, defer_size=_DEFER_BYTES if defer else None)
    except Exception as error:  # pydicom raises what its innards raise; none of it may reach a caller
        raise InvalidInstanceError(f"the header cannot be read ({type(error).__name__})") from error


def metadata_json(header: Dataset, *, transfer_syntax_uid: str, bulk_root: str) -> bytes:
    """Return a header as one DICOM JSON object.

    Parameters
    ----------
    header
        As ``read_header`` gives it, deferred or not.
    bulk_root
        URI under which the instance's bulk data is served, without a trailing slash.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        body = _object(header, f"{bulk_root}/")
    body[_CHARACTER_SET] = {"vr": "CS", "Value": ["ISO_IR 192"]}
    body[_AVAILABLE_TRANSFER_SYNTAX] = {"vr": "UI", "Value": [transfer_syntax_uid]}
    return orjson.dumps(dict(sorted(body.items())), option=orjson.OPT_SERIALIZE_NUMPY, default=str)


def _object(dataset: Dataset, prefix: str) -> JsonObject:
    body: JsonObject = {}
    for tag in sorted(dataset.keys()):
        if tag.group == _PIXEL_GROUP or tag.element == 0:
            continue
        encoded = _element(dataset, tag, f"{prefix}{tag:08X}")
        if encoded is not None:
            body[f"{tag:08X}"] = encoded
    return body


def _element(dataset: Dataset, tag: BaseTag, uri: str) -> JsonObject | None:
    """Return one element, None where its value makes no sense at all: one bad value must not hide the rest."""
    raw = dataset.get_item(tag)
    if _is_deferred(raw):
        return {"vr": str(raw.VR or "UN"), "BulkDataURI": uri}
    try:
        element = dataset[tag]
        if element.VR == "SQ":
            items = [_object(item, f"{uri}/{n}/") for n, item in enumerate(element.value)]
            return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
        if element.VR in _BINARY_VRS and isinstance(element.value, bytes) and len(element.value) > _INLINE_BYTES:
            return {"vr": element.VR, "BulkDataURI": uri}
        return _plain(element)
    except Exception as error:
        _log.debug("element %08X left out of the metadata: %s", tag, type(error).__name__)
        return None


def _is_deferred(raw: RawDataElement | DataElement) -> bool:
    return isinstance(raw, RawDataElement) and raw.value is None and bool(raw.length)


def _plain(element: DataElement) -> JsonObject:
    encoded: JsonObject = element.to_json_dict(None, 0)
    orjson.dumps(encoded, default=str)
    return encoded


def bulk_value(header: Dataset, path: str) -> tuple[bytes, str]:
    """Return the value and VR of the binary element at `path` (``TAG``, or ``TAG/item/TAG`` inside sequences).

    Raises
    ------
    NotFoundError
        There is no such element, or it is not binary.
    """
    *outer, last = path.split("/")
    dataset = header
    try:
        for tag, item in zip(outer[::2], outer[1::2], strict=True):
            dataset = dataset[int(tag, 16)].value[int(item)]
        element = dataset[int(last, 16)]
        value = element.value
    except Exception as error:
        raise NotFoundError("no such bulk data") from error
    if isinstance(value, bytes):
        return value, str(element.VR)
    raise NotFoundError("no such bulk data")


def merge(objects: Mapping[str, bytes]) -> bytes:
    """Return the JSON array of JSON objects, in the mapping's order."""
    return b"[" + b",".join(objects.values()) + b"]"
