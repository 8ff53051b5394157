"""The files pydicom ships, how each is sent, and which are refused for which reason; all others are stored."""

import struct
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

import pydicom.data
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from tests.support.synthetic_ct import new_uid

FOLDER = Path(pydicom.data.__file__).parent
_PROGRAMS = {".py", ".pyc"}


class Reason(StrEnum):
    """Why a file is refused: how the Error Comment of its C-STORE begins."""

    NOT_STORAGE = "context"
    """Its SOP class is not one that belongs to a study: the presentation context is not accepted (PS3.4 GG)."""
    NO_SOP_CLASS = "SOPClassUID is missing"
    """A directory of a medium (PS3.3 F), or a snippet made to test a reader."""
    NO_STUDY = "StudyInstanceUID is missing"
    TRUNCATED = "truncated:"
    """An element is longer than what is left; so is nearly every text when it is read as a data set."""
    NOT_DECODABLE = "not decodable:"
    """Its elements are not encoded as its transfer syntax says."""


REFUSED: Mapping[str, Reason] = MappingProxyType(
    dict.fromkeys(
        (
            "palettes/fall.dcm",
            "palettes/hotiron.dcm",
            "palettes/hotmetalblue.dcm",
            "palettes/pet.dcm",
            "palettes/pet20step.dcm",
            "palettes/spring.dcm",
            "palettes/summer.dcm",
            "palettes/winter.dcm",
        ),
        Reason.NOT_STORAGE,
    )
    | dict.fromkeys(
        (
            "charset_files/chrSQEncoding.dcm",
            "charset_files/chrSQEncoding1.dcm",
            "test_files/UN_sequence.dcm",
            "test_files/dicomdirtests/DICOMDIR",
            "test_files/dicomdirtests/DICOMDIR-bigEnd",
            "test_files/dicomdirtests/DICOMDIR-empty.dcm",
            "test_files/dicomdirtests/DICOMDIR-implicit",
            "test_files/dicomdirtests/DICOMDIR-nooffset",
            "test_files/dicomdirtests/DICOMDIR-nopatient",
            "test_files/dicomdirtests/DICOMDIR-reordered",
            "test_files/dicomdirtests/TINY_ALPHA/DICOMDIR",
            "test_files/empty_charset_LEI.dcm",
            "test_files/meta_missing_tsyntax.dcm",
            "test_files/nested_priv_SQ.dcm",
            "test_files/no_meta_group_length.dcm",
            "test_files/priv_SQ.dcm",
        ),
        Reason.NO_SOP_CLASS,
    )
    | dict.fromkeys(
        (
            "test_files/JPEGLSNearLossless_08.dcm",
            "test_files/JPEGLSNearLossless_16.dcm",
            "test_files/SC_rgb_jls_lossy_line.dcm",
            "test_files/SC_rgb_jls_lossy_sample.dcm",
        ),
        Reason.NO_STUDY,
    )
    | dict.fromkeys(
        (
            "charset_files/FileInfo.txt",
            "hashes.json",
            "palettes/README.md",
            "test_files/MR_truncated.dcm",
            "test_files/README.txt",
            "test_files/dicomdirtests/README.txt",
            "test_files/dicomdirtests/TINY_ALPHA/README",
            "test_files/no_meta.dcm",  # one byte too many in front
            "test_files/rtplan.dump",
            "test_files/rtplan_truncated.dcm",
            "test_files/rtstruct.dump",
            "test_files/test1.json",
            "test_files/test_PN.json",
            "test_files/zipMR.gz",
            "urls.json",
        ),
        Reason.TRUNCATED,
    )
    | {
        "test_files/SC_rgb_jpeg.dcm": Reason.NOT_DECODABLE,  # implicit VR under the transfer syntax of JPEG
        "test_files/crayons.icc": Reason.NOT_DECODABLE,
    }
)

MENDED = frozenset({"test_files/SC_rgb_jpeg.dcm", "test_files/rtplan_truncated.dcm"})
"""What is wrong with these is how they are encoded, and gone when pydicom has read them."""


class Shown(StrEnum):
    """What is asked for of an object that has pixels, besides its metadata and itself."""

    OBJECT = "the object decompressed"
    STORED = "frames as stored"
    DECODED = "frames decoded"
    RENDERED = "rendered"
    THUMBNAIL = "thumbnail"


_NOT_DRAWN = MappingProxyType({Shown.RENDERED: 422, Shown.THUMBNAIL: 404})
NOT_SHOWN: Mapping[str, Mapping[Shown, int]] = MappingProxyType(
    {
        # Its number of frames is "1A".
        "test_files/badVR.dcm": _NOT_DRAWN,
        # What it holds for a codestream is none: it was made to hold a delimiter.
        "test_files/JPEG2000-embedded-sequence-delimiter.dcm": _NOT_DRAWN | {Shown.DECODED: 422, Shown.OBJECT: 422},
    }
)
"""Files with pixels, and how those of their forms are answered that there cannot be (else 200)."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """One file, and what a sender that has read it would say about it."""

    name: str
    content: bytes
    is_part10: bool
    """Whether it begins as a file of PS3.10 7.1 does; a bare data set is none."""
    data_set: bytes
    transfer_syntax_uid: str
    sop_class_uid: str
    sop_uid: str
    n_frames: int
    """0 for an object without pixels."""

    @property
    def is_stored(self) -> bool:
        """Whether STOW-RS takes it."""
        return self.is_part10 and self.name not in REFUSED

    def renamed(self, number: int) -> "Shipped":
        """Return the file under a SOP Instance UID of its own: many of them share one. A deflated one stays."""
        if self.transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
            return self
        kept = self.sop_uid[:-6]
        new = f"{kept.removesuffix('.')}{'9' * kept.endswith('.')}.{10_000 + number}"
        return replace(self, content=self.content.replace(self.sop_uid.encode(), new.encode()), sop_uid=new)


def shipped_files() -> Iterator[Shipped]:
    """Yield every file of pydicom's that is not a program."""
    for path in sorted(FOLDER.rglob("*")):
        if path.is_file() and path.suffix not in _PROGRAMS:
            yield _looked_into(path)


def _looked_into(path: Path) -> Shipped:
    content = path.read_bytes()
    is_part10 = content[128:132] == b"DICM"
    ds = _read(content)
    syntax = str(ds.file_meta.get("TransferSyntaxUID", "")) or _syntax_of(ds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sop_class_uid, sop_uid = str(ds.get("SOPClassUID", "")), str(ds.get("SOPInstanceUID", ""))
    return Shipped(
        str(path.relative_to(FOLDER)),
        content,
        is_part10,
        content[_head_length(content) :] if is_part10 else content,
        syntax,
        sop_class_uid or CTImageStorage,
        sop_uid or new_uid(),
        _n_frames(content),
    )


def _n_frames(content: bytes) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = _read(content, stop_before_pixels=False)
        has_pixels = any(keyword in ds for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"))
        try:
            return int(ds.get("NumberOfFrames", None) or 1) if has_pixels else 0
        except ValueError:
            return 1  # as one of them says it is no number


def _read(content: bytes, *, stop_before_pixels: bool = True) -> FileDataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some are made to be warned about
        try:
            return dcmread(BytesIO(content), force=True, stop_before_pixels=stop_before_pixels)
        except (InvalidDicomError, EOFError, NotImplementedError, ValueError):
            return dcmread(BytesIO(b""), force=True)


def _syntax_of(ds: FileDataset) -> str:
    is_implicit, is_little = ds.original_encoding
    if is_implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRBigEndian if is_little is False else ExplicitVRLittleEndian


def _head_length(content: bytes) -> int:
    """Return where the data set begins: behind the last element of group 0002."""
    position = 132
    while content[position : position + 2] == b"\x02\x00":
        vr, short = content[position + 4 : position + 6], struct.unpack_from("<H", content, position + 6)[0]
        if vr in (b"OB", b"UN"):
            position += 12 + struct.unpack_from("<L", content, position + 8)[0]
        else:
            position += 8 + short
    return position
