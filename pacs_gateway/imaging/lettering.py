"""Text drawn into pictures, in Noto Sans: it has every letter of Vietnamese, which the font that Pillow brings has not.

What it lacks either (Chinese, Thai, Arabic) is drawn as the nearest letters of ASCII.
"""

import unicodedata
from functools import lru_cache
from io import BytesIO

from PIL import ImageDraw, ImageFont
from pymupdf_fonts import myfont

from pacs_gateway.domain.names import to_ascii

# Loaded with the module: where pictures are drawn no file can be opened.
_FONT = myfont("notos")
_LOOKED_AT = 24
_NOBODYS_LETTER = "\uffff"
Ink = str | int | tuple[int, int, int]
MIN_SIZE, MAX_SIZE = 8, 200
MAX_LETTERS = 256
"""Longest line that is drawn; what is behind is cut off."""
MAX_LINES = 64


@lru_cache(maxsize=16)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font whose letters are about `size` pixels high, within bounds."""
    # The plain layout: the other one would load a library when it is first used.
    size = min(max(size, MIN_SIZE), MAX_SIZE)
    return ImageFont.truetype(BytesIO(_FONT), size, layout_engine=ImageFont.Layout.BASIC)


def plain(text: str) -> str:
    """Return what of a line can be drawn."""
    # Composed: the plain layout would set an accent beside its letter.
    letters = unicodedata.normalize("NFC", text[:MAX_LETTERS])
    return "".join(_drawable(letter) if letter.isprintable() else " " for letter in letters)


@lru_cache(maxsize=4096)
def _drawable(letter: str) -> str:
    """Return a letter, or what stands for it where the font has none."""
    drawn, missing = (bytes(font(_LOOKED_AT).getmask(one)) for one in (letter, _NOBODYS_LETTER))
    return to_ascii(letter) if drawn == missing else letter


def write(
    canvas: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int,
    *,
    anchor: str = "la",
    fill: Ink = "white",
) -> None:
    """Draw lines of text with a dark border, so that they are read on any picture.

    Parameters
    ----------
    at
        x and y of the point that `anchor` names.
    anchor
        As Pillow names them: ``la`` upper left, ``ra`` upper right, ``ma`` upper middle.
    """
    lines = "\n".join(plain(line) for line in text.splitlines()[:MAX_LINES])
    align = {"l": "left", "m": "center", "r": "right"}[anchor[0]]
    border = max(size // 12, 1)
    canvas.multiline_text(
        at, lines, fill=fill, font=font(size), anchor=anchor, align=align, stroke_width=border, stroke_fill="black"
    )
