"""The table of what guarded processes do: pure functions of `imaging`, their parameters as JSON and byte blobs."""

import codecs
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from encodings.aliases import aliases
from itertools import product
from types import MappingProxyType

import imagecodecs
import numpy as np
from PIL import Image
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from pacs_gateway.guard.wire import Blob, Json
from pacs_gateway.imaging.decode import Frame, decode_frame, decode_stored
from pacs_gateway.imaging.picture import draw
from pacs_gateway.imaging.pixels import FloatKind, PixelDescription
from pacs_gateway.imaging.recompress import recompress_frame
from pacs_gateway.imaging.transcode import encode_header
from pacs_gateway.imaging.view import Annotation, IccProfile, MediaType, View

Task = Callable[[Json, list[bytes]], Sequence[Blob]]

_CODECS = (
    "dicomrle_decode",
    "htj2k_encode",
    "jpeg2k_decode",
    "jpeg2k_encode",
    "jpeg8_decode",
    "jpeg8_encode",
    "jpegls_decode",
    "jpegls_encode",
    "jpegxl_decode",
    "jpegxl_encode",
)


def load() -> Mapping[str, Task]:
    """Load what the tasks load on first use, where files can still be opened; return the tasks."""
    for name in _CODECS:
        getattr(imagecodecs, name)
    Image.init()
    for encoding in set(aliases.values()):
        with suppress(LookupError):  # some are of other operating systems
            codecs.lookup(encoding)
    _rehearse()
    return TASKS


def _rehearse() -> None:
    """Draw a pixel in every form: what `imaging` and its libraries load on first use is then there."""
    pixel = Dataset()
    pixel.SamplesPerPixel, pixel.PhotometricInterpretation, pixel.PlanarConfiguration = 3, "RGB", 0
    pixel.Rows = pixel.Columns = 1
    pixel.BitsAllocated, pixel.BitsStored, pixel.HighBit, pixel.PixelRepresentation = 8, 8, 7, 0
    header = encode_header(pixel)
    for media_type, profile in product(MediaType, IccProfile):
        view = View(media_type=media_type, icc_profile=profile, annotations=tuple(Annotation))
        draw(header, ExplicitVRLittleEndian, [bytes(3)], [0], view)


def _draw(parameters: Json, blobs: list[bytes]) -> Sequence[Blob]:
    view, state, header, *frames = blobs
    syntax, indices = parameters["transfer_syntax_uid"], parameters["indices"]
    return [draw(header, syntax, frames, indices, View.from_json(view), state)]


def _decode_frame(parameters: Json, blobs: list[bytes]) -> Sequence[Blob]:
    return [_bytes_of(decode_frame(blobs[0], _described(parameters["description"]), index=parameters["index"]))]


def _decode_stored(parameters: Json, blobs: list[bytes]) -> Sequence[Blob]:
    description = _described(parameters["description"])
    return [_bytes_of(decode_stored(blobs[0], description, index=parameters["index"]))]


def _recompress_frame(parameters: Json, blobs: list[bytes]) -> Sequence[Blob]:
    description, encoded = _described(parameters["description"]), _described(parameters["encoded"])
    return [recompress_frame(blobs[0], description, encoded, index=parameters["index"])]


def _described(facts: Json) -> PixelDescription:
    return PixelDescription(**facts | {"float_kind": FloatKind(facts["float_kind"]) if facts["float_kind"] else None})


def _bytes_of(frame: Frame) -> memoryview:
    return np.ascontiguousarray(frame).reshape(-1).view(np.uint8).data


TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "decode_frame": _decode_frame,
        "decode_stored": _decode_stored,
        "draw": _draw,
        "recompress_frame": _recompress_frame,
    }
)
