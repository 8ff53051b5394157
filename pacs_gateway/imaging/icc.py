"""Colour profiles of shown images: the object's own, or one of the well-known spaces (PS3.3 C.11.15, PS3.18 8.3.5).

The profiles of the well-known spaces are made here from their primaries: they are small, and no file of somebody
else's has to be shipped.
"""

import struct
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from io import BytesIO
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from pydicom.dataset import Dataset

from pacs_gateway.errors import InvalidInstanceError
from pacs_gateway.imaging import elements

MAX_PROFILE_BYTES = 4 * 2**20
"""Largest profile that is embedded; cameras' and scanners' take up to 1 MiB."""
_HEADER_BYTES = 128
_SIGNATURE = slice(36, 40)
_COLOUR_SPACE = slice(16, 20)

_Curve = NDArray[np.float64]
_CURVE_POINTS = 1024
_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


class ColourSpace(StrEnum):
    """The well-known colour spaces that a picture can be asked for in (PS3.18 8.3.5.1.5)."""

    SRGB = "srgb"
    ADOBE_RGB = "adobergb"
    ROMM_RGB = "rommrgb"
    DISPLAY_P3 = "displayp3"


def icc_profile(header: Dataset, *, index: int = 0) -> bytes | None:
    """Return the ICC profile of an image's colours; None where it has none or the image is grey.

    Raises
    ------
    InvalidInstanceError
        What stands there is no profile of RGB colours, or one too large to be passed on.
    """
    if elements.text(header, "PhotometricInterpretation").startswith("MONOCHROME"):
        return None
    # PS3.3 C.8.12.5: images of slides say it per optical path
    sources = (header, *elements.items(header, "OpticalPathSequence"))
    found = next((data for source in sources if (data := elements.words(source, "ICCProfile"))), None)
    if found is None:
        return None
    if len(found) > MAX_PROFILE_BYTES:
        raise InvalidInstanceError(f"an ICC profile has more than {MAX_PROFILE_BYTES} bytes")
    if len(found) < _HEADER_BYTES or found[_SIGNATURE] != b"acsp" or found[_COLOUR_SPACE] != b"RGB ":
        raise InvalidInstanceError("an ICC profile is none of RGB colours")
    return found[: int.from_bytes(found[:4])]  # without the byte that makes its length even


def converted(image: NDArray[np.uint8], profile: bytes | None, space: ColourSpace) -> NDArray[np.uint8]:
    """Return an RGB image in the colours of a well-known space.

    Parameters
    ----------
    profile
        Of `image`; without any its colours are taken for sRGB.

    Raises
    ------
    InvalidInstanceError
        The profile cannot be used.
    """
    if profile is None and space is ColourSpace.SRGB:
        return image
    try:
        source, target = (
            ImageCms.ImageCmsProfile(BytesIO(data))
            for data in (profile or space_profile(ColourSpace.SRGB), space_profile(space))
        )
        shown = ImageCms.profileToProfile(Image.fromarray(image), source, target)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        raise InvalidInstanceError(f"an ICC profile cannot be used ({type(error).__name__})") from None
    assert shown is not None  # it is only where the image is changed in place
    return np.asarray(shown)


@cache
def space_profile(space: ColourSpace) -> bytes:
    """Return the ICC profile of a well-known space (ICC.1:2001-04, three-component matrix-based display profile)."""
    name, white, primaries, curve = _SPACES[space]
    colorants = _colorants(white, primaries)
    points = np.rint(curve(np.linspace(0, 1, _CURVE_POINTS)) * 0xFFFF).astype(">u2")
    tone = b"curv" + bytes(4) + struct.pack(">I", points.size) + points.tobytes()
    tags = {
        b"desc": b"desc"
        + bytes(4)
        + struct.pack(">I", len(name) + 1)
        + name.encode("ascii")
        + bytes(1 + 4 + 4 + 2 + 1 + 67),
        b"cprt": b"text" + bytes(4) + b"No copyright\0",
        b"wtpt": _xyz(_D50),
        b"rXYZ": _xyz(colorants[:, 0]),
        b"gXYZ": _xyz(colorants[:, 1]),
        b"bXYZ": _xyz(colorants[:, 2]),
        b"rTRC": tone,
        b"gTRC": tone,
        b"bTRC": tone,
    }
    return _assembled(tags)


def _assembled(tags: Mapping[bytes, bytes]) -> bytes:
    """Return a profile of `tags`; equal contents are stored once, as the format allows."""
    start = _HEADER_BYTES + 4 + 12 * len(tags)
    places: dict[bytes, int] = {}
    body = b""
    for content in tags.values():
        if content not in places:
            places[content] = start + len(body)
            body += content + bytes(-len(content) % 4)
    table = b"".join(struct.pack(">4sII", tag, places[content], len(content)) for tag, content in tags.items())
    head = struct.pack(">I4x", start + len(body)) + b"\x02\x10\0\0" + b"mntrRGB XYZ "
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(_D50)
    return head.ljust(_HEADER_BYTES, b"\0") + struct.pack(">I", len(tags)) + table + body


def _colorants(white: tuple[float, float], primaries: tuple[tuple[float, float], ...]) -> NDArray[np.float64]:
    """Return the matrix from linear RGB to XYZ as seen under D50 (Bradford adaptation)."""
    columns = np.array([_of_xy(*each) for each in primaries]).T
    seen = np.array(_of_xy(*white))
    matrix = columns * np.linalg.solve(columns, seen)
    adapted = np.linalg.solve(_BRADFORD, np.diag((_BRADFORD @ _D50) / (_BRADFORD @ seen)) @ _BRADFORD)
    return np.asarray(adapted @ matrix)


def _of_xy(x: float, y: float) -> tuple[float, float, float]:
    return x / y, 1.0, (1 - x - y) / y


def _xyz(values: tuple[float, float, float] | NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _fixed(values: tuple[float, float, float] | NDArray[np.float64]) -> bytes:
    """Encode numbers with 16 bits behind the point."""
    return struct.pack(">3i", *(round(float(value) * 0x10000) for value in values))


def _srgb(shades: _Curve) -> _Curve:
    # IEC 61966-2-1
    return np.where(shades <= 0.04045, shades / 12.92, ((shades + 0.055) / 1.055) ** 2.4)


def _adobe(shades: _Curve) -> _Curve:
    return np.asarray(shades ** (563 / 256))  # Adobe RGB (1998), 4.3.4.2


def _romm(shades: _Curve) -> _Curve:
    return np.where(shades < 16 / 512, shades / 16, shades**1.8)  # ISO 22028-2


_D65 = (0.3127, 0.3290)
_SPACES = MappingProxyType(
    {
        ColourSpace.SRGB: ("sRGB", _D65, ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)), _srgb),
        ColourSpace.ADOBE_RGB: ("Adobe RGB (1998)", _D65, ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), _adobe),
        ColourSpace.ROMM_RGB: (
            "ROMM RGB",
            (0.3457, 0.3585),
            ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)),
            _romm,
        ),
        ColourSpace.DISPLAY_P3: ("Display P3", _D65, ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), _srgb),
    }
)
"""Name, white point, primaries (x, y of red, green, blue) and tone curve of each space."""
