"""The elements before the pixel data, parsed from bytes that anybody may have made up."""

import warnings
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from pacs_gateway.errors import InvalidInstanceError
from pacs_gateway.imaging.elements import READ_ERRORS

PIXEL_HEAD_BYTES = 12
"""The longest head of a pixel data element: tag, VR and length (PS3.5 7.1.2)."""
_GE_PRIVATE_IMPLICIT = "1.2.840.113619.5.2"
_IMPLICIT = frozenset({ImplicitVRLittleEndian, _GE_PRIVATE_IMPLICIT})
_PIXEL_DATA = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})


def parse_header(encoded: bytes, transfer_syntax_uid: str) -> tuple[Dataset, str]:
    """Return the elements before the pixel data, and the VR of the pixel data where `encoded` tells it.

    Parameters
    ----------
    encoded
        The data set from its start, up to its pixel data or further: the `PIXEL_HEAD_BYTES` behind tell the VR.
    transfer_syntax_uid
        In which it is encoded; a deflated one must be inflated before.

    Raises
    ------
    InvalidInstanceError
        It cannot be read.
    """
    vr_of_pixels = ""

    def at_pixel_data(tag: BaseTag, vr: str | None, _length: int) -> bool:
        nonlocal vr_of_pixels
        if tag not in _PIXEL_DATA:
            return False
        vr_of_pixels = vr or ""
        return True

    is_implicit = transfer_syntax_uid in _IMPLICIT
    is_little_endian = transfer_syntax_uid != ExplicitVRBigEndian
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a sender wrote wrong is not news to whoever looks at it
            header = read_dataset(BytesIO(encoded), is_implicit, is_little_endian, stop_when=at_pixel_data)
    except READ_ERRORS as error:
        raise InvalidInstanceError(f"the header cannot be read ({type(error).__name__})") from None
    return header, vr_of_pixels
