"""The small picture that stands for an object in lists."""

from pydicom.dataset import Dataset

from pacs_gateway.imaging.decode import decode_frame
from pacs_gateway.imaging.display import pixel_aspect, render
from pacs_gateway.imaging.encode import encode_jpeg, fit
from pacs_gateway.imaging.pixels import describe_pixels

_QUALITY = 80


def middle_frame(n_frames: int) -> int:
    """Return the number (0-based) of the frame that stands for `n_frames`."""
    return max(n_frames - 1, 0) // 2


def thumbnail(
    data: bytes, header: Dataset, transfer_syntax_uid: str, *, index: int, size: int = 256, vr: str = ""
) -> bytes:
    """Return one frame as a JPEG of at most `size` x `size`; small images are not enlarged.

    Parameters
    ----------
    data
        The bytes of the frame, as ``decode_frame`` takes them.
    index
        Number of the frame (0-based).
    vr
        VR of the pixel data element, where the caller knows it (see ``describe_pixels``).

    Raises
    ------
    InvalidInstanceError
        The header or the frame is malformed.
    UnsupportedSyntaxError
        Pixels of this kind or in this transfer syntax cannot be shown.
    """
    frame = decode_frame(data, describe_pixels(header, transfer_syntax_uid, vr=vr), index=index)
    aspect = pixel_aspect(header, index=index)
    side = min(size, round(max(frame.shape[0] * max(aspect, 1), frame.shape[1] * max(1 / aspect, 1))))
    image = render(frame, header, index=index)
    return encode_jpeg(fit(image, max_width=side, max_height=side, aspect=aspect), quality=_QUALITY)
