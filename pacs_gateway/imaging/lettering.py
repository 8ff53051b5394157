"""Text drawn into pictures, in the one font that comes with Pillow.

That font has the letters of ASCII: others are drawn without their marks, as many modalities print Vietnamese names.
"""

from functools import lru_cache

from PIL import ImageDraw, ImageFont

from pacs_gateway.domain.names import to_ascii

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
MIN_SIZE, MAX_SIZE = 8, 200
MAX_LETTERS = 256
"""Longest line that is drawn; what is behind is cut off."""


@lru_cache(maxsize=16)
def font(size: int) -> Font:
    """Return the font whose letters are about `size` pixels high, within bounds."""
    return ImageFont.load_default(min(max(size, MIN_SIZE), MAX_SIZE))


def plain(text: str) -> str:
    """Return what of a line can be drawn."""
    return "".join(c if c.isprintable() else " " for c in to_ascii(text[:MAX_LETTERS]))


def write(canvas: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, *, anchor: str = "la") -> None:
    """Draw lines of text in white with a dark border, so that they are read on any picture.

    Parameters
    ----------
    at
        x and y of the point that `anchor` names.
    anchor
        As Pillow names them: ``la`` upper left, ``ra`` upper right, ``mm`` middle.
    """
    lines = "\n".join(plain(line) for line in text.split("\n"))
    align = {"l": "left", "m": "center", "r": "right"}[anchor[0]]
    canvas.multiline_text(
        at,
        lines,
        fill="white",
        font=font(size),
        anchor=anchor,
        align=align,
        stroke_width=max(size // 12, 1),
        stroke_fill="black",
    )
