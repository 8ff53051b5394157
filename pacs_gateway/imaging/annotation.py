"""Facts of the object written onto its picture, only when asked for (PS3.18 8.3.5.1.1)."""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw
from pydicom.dataset import Dataset

from pacs_gateway.domain.names import display
from pacs_gateway.imaging import elements, lettering
from pacs_gateway.imaging.grey import Image
from pacs_gateway.imaging.view import Annotation

_LINES_PER_SIDE = 36
_BORDER = 0.01


def annotated(image: Image, header: Dataset, kinds: Collection[Annotation], *, index: int) -> Image:
    """Return `image` with the facts of `kinds` written into its upper corners.

    Parameters
    ----------
    image
        As it will be looked at: cut and scaled.
    index
        Number of the frame (0-based).

    Raises
    ------
    InvalidInstanceError
        One of the facts cannot be read.
    """
    if not kinds:
        return image
    rows, columns = image.shape[:2]
    size = min(rows, columns) // _LINES_PER_SIDE
    border = _BORDER * columns
    picture = Picture.fromarray(image)
    canvas = ImageDraw.Draw(picture)
    corners = {Annotation.PATIENT: ("la", border), Annotation.TECHNIQUE: ("ra", columns - border)}
    for kind in kinds:
        anchor, x = corners[kind]
        lines = "\n".join(line for line in _LINES[kind](header, index) if line)
        lettering.write(canvas, (x, border), lines, size, anchor=anchor)
    return np.asarray(picture)


def _patient(header: Dataset, _index: int) -> list[str]:
    charset = elements.declared_charset(header)
    name, identifier = (elements.free_text(header, keyword, charset) for keyword in ("PatientName", "PatientID"))
    born, sex = _date(elements.free_text(header, "PatientBirthDate", charset)), elements.text(header, "PatientSex")
    return [display(name), identifier, " ".join(part for part in (born, sex) if part)]


def _technique(header: Dataset, index: int) -> list[str]:
    charset = elements.declared_charset(header)

    def said(keyword: str) -> str:
        return elements.free_text(header, keyword, charset)

    n_frames = said("NumberOfFrames")
    places = (("Series", said("SeriesNumber")), ("Image", said("InstanceNumber")))
    place = [f"{name} {number}" for name, number in places if number]
    if n_frames not in ("", "1"):
        place.append(f"Frame {index + 1}/{n_frames}")
    facts = (("T", "SliceThickness", "mm"), ("L", "SliceLocation", "mm"), ("", "KVP", "kV"), ("", "Exposure", "mAs"))
    measures = [f"{name} {_short(said(keyword))} {unit}".strip() for name, keyword, unit in facts if said(keyword)]
    return [
        " ".join(part for part in (_date(said("StudyDate")), said("Modality")) if part),
        said("SeriesDescription") or said("ProtocolName"),
        "  ".join(place),
        "  ".join(measures),
        # PS3.3 C.7.6.1.1.5: whoever looks at a picture that has lost detail is to know it
        "Lossy compressed" if elements.text(header, "LossyImageCompression") == "01" else "",
    ]


def _short(text: str) -> str:
    """Return a number without the digits that nobody reads; anything else as it is."""
    try:
        return f"{float(text):.5g}"
    except ValueError:
        return text


def _date(text: str) -> str:
    """Return a date as ISO 8601 writes it; anything else as it is."""
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdecimal() else text


_LINES: Mapping[Annotation, Callable[[Dataset, int], list[str]]] = MappingProxyType(
    {Annotation.PATIENT: _patient, Annotation.TECHNIQUE: _technique}
)
