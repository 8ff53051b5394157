"""Which transfer syntax bulk data is in, by its media type (PS3.18 8.7.3.3)."""

from collections.abc import Mapping
from types import MappingProxyType

from pacs_gateway.dicomweb.media_type import MediaType
from viewer_api.negotiation import EXPLICIT_LITTLE_ENDIAN

# As bytes of bulk data both are the same.
_PLAIN = frozenset({EXPLICIT_LITTLE_ENDIAN, "1.2.840.10008.1.2"})
_JPEG_BASELINE, _JPEG_EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
_JPEG_LOSSLESS, _JPEG_FIRST_ORDER = "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"
_SOF_SYNTAXES: Mapping[int, str] = MappingProxyType({0xC0: _JPEG_BASELINE, 0xC1: _JPEG_EXTENDED})
# Where nothing else is told: the first of each type's rows in PS3.18 Table 8.7.3-5.
_SYNTAXES: Mapping[str, str] = MappingProxyType(
    {
        "image/dicom-rle": "1.2.840.10008.1.2.5",
        "image/x-dicom-rle": "1.2.840.10008.1.2.5",
        "image/jls": "1.2.840.10008.1.2.4.81",
        "image/x-jls": "1.2.840.10008.1.2.4.81",
        "image/jp2": "1.2.840.10008.1.2.4.91",
        "image/jpx": "1.2.840.10008.1.2.4.93",
        "image/jxl": "1.2.840.10008.1.2.4.112",
        "image/jphc": "1.2.840.10008.1.2.4.203",
        "video/mpeg": "1.2.840.10008.1.2.4.100",
        "video/mpeg2": "1.2.840.10008.1.2.4.100",
        "video/mp4": "1.2.840.10008.1.2.4.102",
    }
)


def transfer_syntax_of(content_type: MediaType, head: bytes) -> str:
    """Return the transfer syntax of pixels sent as `content_type`; empty where they are plain bytes.

    Parameters
    ----------
    head
        What the bytes begin with.

    Notes
    -----
    The standard's default of ``image/jpeg`` is lossless, and that of the others too; what is uploaded without a
    ``transfer-syntax`` is mostly neither. What the stream does not say itself is therefore called by the syntax that
    allows both, so that nothing lossy is passed off as lossless.
    """
    told = content_type.parameters.get("transfer-syntax", "")
    if told:
        return "" if told in _PLAIN else told
    if content_type.essence == "image/jpeg":
        return _jpeg_syntax(head)
    return _SYNTAXES.get(content_type.essence, "")


def _jpeg_syntax(head: bytes) -> str:
    """Return the transfer syntax of a JPEG image by its frame header (ITU-T T.81 B.2.2, B.2.3)."""
    position, is_lossless = 2, False
    while position + 4 <= len(head) and head[position] == 0xFF:
        code, length = head[position + 1], int.from_bytes(head[position + 2 : position + 4])
        if code == 0xFF:  # a fill byte
            position += 1
            continue
        if code in _SOF_SYNTAXES:
            return _SOF_SYNTAXES[code]
        is_lossless |= code == 0xC3
        if code == 0xDA and is_lossless:
            # The predictor is the third byte from the end of the scan header.
            scan = head[position + 4 : position + 2 + length]
            return _JPEG_FIRST_ORDER if scan[-3:-2] == b"\x01" else _JPEG_LOSSLESS
        position += 2 + max(length, 2)
    return _JPEG_FIRST_ORDER
