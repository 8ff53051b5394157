"""Images that are made to break whatever decodes them: spoilt code streams, sizes that are lies, bombs."""

import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import imagecodecs
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset

from tests.support.builders import Identity, dataset, encapsulated, part10
from tests.support.mutation import spoil_bytes

JPEG, JPEG_LOSSLESS, JPEG_LS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80"
JPEG_2000, HTJ2K, JPEG_XL = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.110"
RLE, DEFLATED_FRAMES = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1"

_SIDE = 64
_HUGE = 22_000
"""A frame of this side is just under the 512 MiB that are worked on."""
_SLOW = 4000
_N_SCANS = 1000
_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
_START_OF_FRAME = {JPEG: b"\xff\xc0", JPEG_LS: b"\xff\xf7"}


@dataclass(frozen=True, slots=True)
class Hostile:
    """A stored image."""

    name: str
    sop_uid: str
    transfer_syntax_uid: str
    dataset: Dataset

    @property
    def file(self) -> bytes:
        return part10(self.dataset, self.transfer_syntax_uid)


def streams() -> dict[str, bytes]:
    """Return one small sound frame in each codec."""
    frame = np.random.default_rng(9).integers(0, 200, (_SIDE, _SIDE)).astype(np.uint8)
    baseline = BytesIO()
    Image.fromarray(frame).save(baseline, "JPEG")
    return {
        JPEG: baseline.getvalue(),
        JPEG_LOSSLESS: bytes(imagecodecs.jpeg8_encode(frame, lossless=True, predictor=1)),
        JPEG_LS: bytes(imagecodecs.jpegls_encode(frame)),
        JPEG_2000: bytes(imagecodecs.jpeg2k_encode(frame, codecformat="J2K", reversible=True)),
        HTJ2K: bytes(imagecodecs.htj2k_encode(frame, reversible=True)),
        JPEG_XL: bytes(imagecodecs.jpegxl_encode(frame, lossless=True, usecontainer=False, numthreads=1)),
        RLE: struct.pack("<16I", 1, 64, *[0] * 14) + b"".join(b"\x3f" + row.tobytes() for row in frame),
        DEFLATED_FRAMES: _deflated(frame.tobytes()),
    }


def spoilt(transfer_syntax_uid: str, study: int, n_images: int) -> list[Hostile]:
    """Return images of one codec whose code streams are damaged, each in another way."""
    rng = random.Random(f"{transfer_syntax_uid} {study}")
    stream = streams()[transfer_syntax_uid]
    found = []
    for number in range(1, n_images + 1):
        damaged = spoil_bytes(stream, rng, rng.choice((0, 4)))
        found.append(_hostile(f"spoilt {number}", transfer_syntax_uid, damaged, (study, number), side=_SIDE))
    return found


def bombs(study: int) -> Iterator[Hostile]:
    """Yield images whose small code streams say that they are huge, and one that goes on for a very long time."""
    sound = streams()
    huge = {syntax: _resized(sound[syntax], syntax) for syntax in (JPEG, JPEG_LS, JPEG_2000, HTJ2K)}
    huge[DEFLATED_FRAMES] = _deflated(bytes(_HUGE * _HUGE))
    for number, (syntax, stream) in enumerate(huge.items(), start=1):
        yield _hostile("huge", syntax, stream, (study, number), side=_HUGE)
    yield _hostile("endless", JPEG, _many_scans(), (study, len(huge) + 1), side=_SLOW)


def sound(transfer_syntax_uid: str, study: int) -> Hostile:
    """Return an image of the same make with which nothing is wrong."""
    return _hostile("sound", transfer_syntax_uid, streams()[transfer_syntax_uid], (study, 999), side=_SIDE)


def _hostile(name: str, syntax: str, stream: bytes, numbers: tuple[int, int], *, side: int) -> Hostile:
    study, instance = numbers
    ds = dataset(Identity(study=study, instance=instance))
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows = ds.Columns = side
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    return Hostile(name, str(ds.SOPInstanceUID), syntax, encapsulated(ds, [stream]))


def _deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


def _resized(stream: bytes, syntax: str) -> bytes:
    """Return a code stream whose header claims `_HUGE` rows and columns."""
    lying = bytearray(stream)
    if syntax in (JPEG_2000, HTJ2K):
        size = lying.index(b"\xff\x51")
        for offset in (6, 22):  # of the reference grid, and of its one tile (T.800 A.5.1)
            struct.pack_into(">II", lying, size + offset, _HUGE, _HUGE)
    else:
        struct.pack_into(">HH", lying, lying.index(_START_OF_FRAME[syntax]) + 5, _HUGE, _HUGE)
    return bytes(lying)


def _many_scans() -> bytes:
    """Return a progressive JPEG that refines the same coefficients again and again: hours of work in some kilobytes."""
    file = BytesIO()
    Image.fromarray(np.zeros((_SLOW, _SLOW), np.uint8)).save(file, "JPEG", progressive=True)
    stream = file.getvalue().removesuffix(_END_OF_IMAGE)
    return stream + stream[stream.rindex(_START_OF_SCAN) :] * _N_SCANS + _END_OF_IMAGE
