"""Colour profiles of shown images: the object's own, or one of the well-known spaces (PS3.3 C.11.15, PS3.18 8.3.5).

The profiles of the well-known spaces are made here from their primaries: they are small, and no file of somebody
else's has to be shipped.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from io import BytesIO
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from pydicom.dataset import Dataset

from pacs_gateway.errors import InvalidInstanceError
from pacs_gateway.imaging import elements
from pacs_gateway.imaging.view import IccProfile

MAX_PROFILE_BYTES = 4 * 2**20
"""Largest profile that is embedded; cameras' and scanners' take up to 1 MiB."""
_HEADER_BYTES = 128
_SIGNATURE = slice(36, 40)
_COLOUR_SPACE = slice(16, 20)

_VERSION = 0x04200000
_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def icc_profile(header: Dataset) -> bytes | None:
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


def profiled(image: NDArray[np.uint8], header: Dataset, wanted: IccProfile) -> tuple[NDArray[np.uint8], bytes | None]:
    """Return a picture in the colours that are `wanted`, and the profile to embed; None for none.

    Grey pictures have none: their levels are P-values, which no profile describes (PS3.14).

    Raises
    ------
    InvalidInstanceError
        The image's own profile is needed and cannot be used.
    """
    if image.ndim == 2 or wanted is IccProfile.NO:
        return image, None
    own = icc_profile(header)
    if wanted is IccProfile.YES:
        return image, own or space_profile(IccProfile.SRGB)
    return converted(image, own, wanted), space_profile(wanted)


def converted(image: NDArray[np.uint8], profile: bytes | None, space: IccProfile) -> NDArray[np.uint8]:
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
    if profile is None and space is IccProfile.SRGB:
        return image
    try:
        source, target = (
            ImageCms.ImageCmsProfile(BytesIO(data))
            for data in (profile or space_profile(IccProfile.SRGB), space_profile(space))
        )
        shown = ImageCms.profileToProfile(Image.fromarray(image), source, target)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        raise InvalidInstanceError(f"an ICC profile cannot be used ({type(error).__name__})") from None
    assert shown is not None  # it is only where the image is changed in place
    return np.asarray(shown)


def lab_colour(encoded: Sequence[float]) -> tuple[int, int, int]:
    """Return the sRGB levels of a colour in PCS-Values, CIELab in 16 bits each (PS3.3 C.10.7.1.1)."""
    lightness, a, b = encoded[0] / 0xFFFF * 100, encoded[1] / 0xFFFF * 255 - 128, encoded[2] / 0xFFFF * 255 - 128
    y = (lightness + 16) / 116
    shares = np.array([y + a / 500, y, y - b / 200])
    # CIE 15: the cube, and below 6/29 the straight line that continues it
    xyz = np.where(shares > 6 / 29, shares**3, (shares - 4 / 29) * 3 * (6 / 29) ** 2) * _D50
    _, white, primaries, tone = _SPACES[IccProfile.SRGB]
    linear = np.clip(np.linalg.solve(_adaptation(white) @ _unadapted(white, primaries), xyz), 0, 1)
    g, scale, offset, slope, border = tone
    shades = np.where(linear < slope * border, linear / slope, (linear ** (1 / g) - offset) / scale)
    red, green, blue = (int(level) for level in np.rint(np.clip(shades, 0, 1) * 255))
    return red, green, blue


@cache
def space_profile(space: IccProfile) -> bytes:
    """Return the ICC profile of one of the well-known spaces (ICC.1:2010 8.4.3, a matrix-based display profile)."""
    name, white, primaries, tone = _SPACES[space]
    adaptation = _adaptation(white)
    colorants = adaptation @ _unadapted(white, primaries)
    curve = b"para" + struct.pack(">4x2H", 3, 0) + _fixed(tone)
    return _assembled(
        {
            b"desc": _localized(name),
            b"cprt": _localized("No copyright"),
            b"wtpt": b"XYZ \0\0\0\0" + _fixed(_D50),
            b"chad": b"sf32\0\0\0\0" + _fixed(adaptation.ravel()),
            b"rXYZ": b"XYZ \0\0\0\0" + _fixed(colorants[:, 0]),
            b"gXYZ": b"XYZ \0\0\0\0" + _fixed(colorants[:, 1]),
            b"bXYZ": b"XYZ \0\0\0\0" + _fixed(colorants[:, 2]),
            b"rTRC": curve,
            b"gTRC": curve,
            b"bTRC": curve,
        }
    )


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
    head = struct.pack(">I4xI", start + len(body), _VERSION) + b"mntrRGB XYZ "
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(_D50)
    return head.ljust(_HEADER_BYTES, b"\0") + struct.pack(">I", len(tags)) + table + body


def _adaptation(white: tuple[float, float]) -> NDArray[np.float64]:
    """Return the matrix from XYZ seen under `white` to XYZ under D50 (Bradford)."""
    ratio = (_BRADFORD @ _D50) / (_BRADFORD @ _of_xy(*white))
    return np.linalg.solve(_BRADFORD, np.diag(ratio) @ _BRADFORD)


def _unadapted(white: tuple[float, float], primaries: tuple[tuple[float, float], ...]) -> NDArray[np.float64]:
    """Return the matrix from linear RGB to XYZ."""
    columns = np.array([_of_xy(*each) for each in primaries]).T
    return np.asarray(columns * np.linalg.solve(columns, np.array(_of_xy(*white))))


def _of_xy(x: float, y: float) -> tuple[float, float, float]:
    return x / y, 1.0, (1 - x - y) / y


def _localized(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">4xII4sII", 1, 12, b"enUS", len(encoded), 28) + encoded


def _fixed(values: Iterable[float]) -> bytes:
    """Encode numbers with 16 bits behind the point."""
    return b"".join(struct.pack(">i", round(float(value) * 0x10000)) for value in values)


_D65 = (0.3127, 0.3290)
# Exponent g and a, b, c, d of a tone curve: (a x + b) ** g from d on, c x below it
_SRGB_TONE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)  # IEC 61966-2-1
_SPACES = MappingProxyType(
    {
        IccProfile.SRGB: ("sRGB", _D65, ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)), _SRGB_TONE),
        IccProfile.ADOBERGB: (
            "Adobe RGB (1998)",
            _D65,
            ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)),
            (563 / 256, 1.0, 0.0, 0.0, 0.0),
        ),
        IccProfile.ROMMRGB: (
            "ROMM RGB",
            (0.3457, 0.3585),
            ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)),
            (1.8, 1.0, 0.0, 1 / 16, 16 / 512),  # ISO 22028-2
        ),
        IccProfile.DISPLAYP3: (
            "Display P3",
            _D65,
            ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
            _SRGB_TONE,
        ),
    }
)
"""Name, white point, primaries (x, y of red, green, blue) and tone curve of each space."""
