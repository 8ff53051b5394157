"""What a caller asks of a picture in the query: the parameters of WADO-RS and those of WADO-URI, as one `View`."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from pacs_gateway.errors import InputError
from pacs_gateway.imaging.picture import MAX_PIXELS
from pacs_gateway.imaging.view import DEFAULT_QUALITY, Annotation, IccProfile, Region, View
from pacs_gateway.imaging.window import VoiFunction, Window

_MAX_SIDE = 16_384
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,12}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})")
_COUNT = re.compile(r"[0-9]{1,9}")
_FUNCTIONS: Mapping[str, VoiFunction] = MappingProxyType(
    {
        "linear": VoiFunction.LINEAR,
        "linear-exact": VoiFunction.LINEAR_EXACT,
        "sigmoid": VoiFunction.SIGMOID,
    }
)


def view_of(parameters: Mapping[str, str]) -> View:
    """Read the parameters of a rendered resource (PS3.18 8.3.5.1).

    Raises
    ------
    InputError
        One is malformed.
    """
    viewport, region = _viewport(parameters.get("viewport", ""))
    return View(
        viewport=viewport,
        region=region,
        window=_window(parameters.get("window", "")),
        quality=_quality(parameters, "quality"),
        annotations=_annotations(parameters, "annotation"),
        icc_profile=_icc_profile(parameters.get("iccprofile", "")),
    )


def viewport_of(parameters: Mapping[str, str]) -> tuple[int, int] | None:
    """Return the size a thumbnail is to fit into; errors as ``view_of``."""
    return _viewport(parameters.get("viewport", ""))[0]


def uri_view_of(parameters: Mapping[str, str]) -> View:
    """Read the parameters of WADO-URI (PS3.18 9.1.2.2); errors as ``view_of``."""
    return View(
        viewport=_rows_and_columns(parameters),
        region=_fractions(parameters.get("region", "")),
        window=_center_and_width(parameters),
        quality=_quality(parameters, "imageQuality"),
        annotations=_annotations(parameters, "imageAnnotation"),
    )


def count_of(parameters: Mapping[str, str], name: str, *, low: int, high: int) -> int | None:
    """Return a whole number, None where the parameter is missing; errors as ``view_of``."""
    text = parameters.get(name, "")
    if not text:
        return None
    if not _COUNT.fullmatch(text) or not low <= int(text) <= high:
        raise InputError(f"{name} is a number from {low} to {high}")
    return int(text)


def _quality(parameters: Mapping[str, str], name: str) -> int:
    return count_of(parameters, name, low=1, high=100) or DEFAULT_QUALITY


def _annotations(parameters: Mapping[str, str], name: str) -> tuple[Annotation, ...]:
    words = [word.strip().lower() for word in parameters.get(name, "").split(",") if word.strip()]
    if not set(words) <= set(Annotation):
        raise InputError(f"{name} is patient, technique or both, separated by a comma")
    return tuple(annotation for annotation in Annotation if annotation in words)


def _icc_profile(text: str) -> IccProfile:
    if not text:
        return IccProfile.YES
    try:
        return IccProfile(text.lower())
    except ValueError:
        raise InputError(f"iccprofile is one of {', '.join(IccProfile)}") from None


def _viewport(text: str) -> tuple[tuple[int, int] | None, Region | None]:
    """Read ``width,height[,x,y[,width,height]]``: the size to fit into, the part to show (PS3.18 8.3.5.1.3)."""
    if not text:
        return None, None
    numbers = [_number(part, "viewport") if part.strip() else 0.0 for part in text.split(",", 6)]
    if len(numbers) not in (2, 4, 6):
        raise InputError("viewport is width,height[,x,y[,width,height]]")
    if not all(1 <= side <= _MAX_SIDE for side in numbers[:2]) or numbers[0] * numbers[1] > MAX_PIXELS:
        raise InputError(f"viewport has at most {_MAX_SIDE} pixels a side and {MAX_PIXELS} in all")
    size = (int(numbers[0]), int(numbers[1]))
    if len(numbers) == 2:
        return size, None
    x, y, width, height = (*numbers[2:], 0.0, 0.0)[:4]
    return size, Region(x, y, width, height)


def _window(text: str) -> Window | None:
    """Read ``centre,width,function``; the function may be left out, as some clients do, and is linear then."""
    if not text:
        return None
    parts = [part.strip() for part in text.split(",", 3)]
    function = _FUNCTIONS.get(parts[2].lower().replace("_", "-")) if len(parts) == 3 else VoiFunction.LINEAR
    if len(parts) not in (2, 3) or function is None:
        raise InputError("window is centre,width,function with linear, linear-exact or sigmoid")
    return Window(_number(parts[0], "window"), _number(parts[1], "window"), function)


def _center_and_width(parameters: Mapping[str, str]) -> Window | None:
    center, width = parameters.get("windowCenter", ""), parameters.get("windowWidth", "")
    if not center and not width:
        return None
    return Window(_number(center, "windowCenter"), _number(width, "windowWidth"))


def _rows_and_columns(parameters: Mapping[str, str]) -> tuple[int, int] | None:
    rows = count_of(parameters, "rows", low=1, high=_MAX_SIDE)
    columns = count_of(parameters, "columns", low=1, high=_MAX_SIDE)
    if rows is None and columns is None:
        return None
    # The side that is not given is as long as the image's shape makes it.
    height = rows or min(MAX_PIXELS // (columns or 1), _MAX_SIDE)
    width = columns or min(MAX_PIXELS // height, _MAX_SIDE)
    if width * height > MAX_PIXELS:
        raise InputError(f"rows and columns make at most {MAX_PIXELS} pixels")
    return width, height


def _fractions(text: str) -> Region | None:
    """Read ``left,top,right,bottom`` in parts of the image's size."""
    if not text:
        return None
    sides = [_number(part, "region") for part in text.split(",", 4)]
    if len(sides) != 4 or not all(0 <= side <= 1 for side in sides) or sides[0] >= sides[2] or sides[1] >= sides[3]:
        raise InputError("region is left,top,right,bottom, each from 0 to 1")
    left, top, right, bottom = sides
    return Region(left, top, right - left, bottom - top, is_fraction=True)


def _number(text: str, name: str) -> float:
    if not _NUMBER.fullmatch(text.strip()):
        raise InputError(f"{name} has a value that is not a number")
    return float(text)
