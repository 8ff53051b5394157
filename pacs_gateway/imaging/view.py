"""How somebody wants to see a picture: what DICOMweb asks for in parameters, as one value (PS3.18 8.3.5.1)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import orjson

from pacs_gateway.imaging.window import Window

DEFAULT_QUALITY = 90


class MediaType(StrEnum):
    """The files a picture can be (PS3.18 8.7.4)."""

    JPEG = "image/jpeg"
    PNG = "image/png"
    GIF = "image/gif"


class Annotation(StrEnum):
    """What is written onto a picture (PS3.18 8.3.5.1.1)."""

    PATIENT = "patient"
    """Who it is: name, identifier, date of birth, sex."""
    TECHNIQUE = "technique"
    """How it was made: the examination and where the image stands in it; the object's overlays are drawn too."""


class IccProfile(StrEnum):
    """The colour space a picture is in and says that it is in (PS3.18 8.3.5.1.5)."""

    NO = "no"
    YES = "yes"
    SRGB = "srgb"
    ADOBERGB = "adobergb"
    ROMMRGB = "rommrgb"
    DISPLAYP3 = "displayp3"


@dataclass(frozen=True, slots=True)
class Region:
    """The part of an image to show; a size of 0 reaches to the border, a negative one flips."""

    x: float
    y: float
    width: float
    height: float
    is_fraction: bool = False
    """In parts of the image's size, else in pixels."""

    @property
    def sides(self) -> tuple[float, float, float, float]:
        """x, y, width and height."""
        return self.x, self.y, self.width, self.height


@dataclass(frozen=True, slots=True)
class View:
    """How a picture is to be shown."""

    media_type: MediaType = MediaType.JPEG
    viewport: tuple[int, int] | None = None
    """Width and height to fit into."""
    may_enlarge: bool = True
    """A small image fills the viewport, else it keeps its size."""
    region: Region | None = None
    window: Window | None = None
    """Instead of the object's own."""
    quality: int = DEFAULT_QUALITY
    """Of JPEG, 1 to 100."""
    annotations: tuple[Annotation, ...] = ()
    icc_profile: IccProfile = IccProfile.YES

    def to_json(self) -> bytes:
        """Return the view as text for another process; the same view is always the same text."""
        return orjson.dumps(self)

    @classmethod
    def from_json(cls, encoded: bytes) -> Self:
        """Return the view that ``to_json`` wrote."""
        facts = orjson.loads(encoded)
        return cls(
            media_type=MediaType(facts["media_type"]),
            viewport=tuple(facts["viewport"]) if facts["viewport"] else None,
            may_enlarge=facts["may_enlarge"],
            region=Region(**facts["region"]) if facts["region"] else None,
            window=Window(**facts["window"]) if facts["window"] else None,
            quality=facts["quality"],
            annotations=tuple(map(Annotation, facts["annotations"])),
            icc_profile=IccProfile(facts["icc_profile"]),
        )
