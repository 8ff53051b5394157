import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from pacs_gateway.domain.part10 import MAX_META_LENGTH, FileMeta, decode_head, encode_head
from pacs_gateway.errors import InvalidInstanceError
from tests.support.builders import image, part10

uids = st.from_regex(r"[1-9](\.[1-9][0-9]{0,4}){0,10}", fullmatch=True)
heads = st.builds(
    FileMeta,
    uids,
    uids,
    uids,
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", max_size=16),
    st.binary(max_size=500).map(lambda private: private + b" " * (len(private) % 2)),
)
FILE = part10(image())


@given(heads, st.binary(min_size=12, max_size=30).filter(lambda rest: rest[:2] != b"\x02\x00"))
def test_what_is_encoded_is_decoded(meta: FileMeta, rest: bytes) -> None:
    head = encode_head(meta)
    assert decode_head(head + rest) == (meta, len(head))


def test_pydicom_reads_our_head() -> None:
    meta = FileMeta("1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2.840.10008.1.2.1", "CT_1", b"{}")
    read = dcmread(DicomBytesIO(encode_head(meta)), force=True).file_meta
    assert read.MediaStorageSOPInstanceUID == "1.2.3"
    assert read.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert read.SourceApplicationEntityTitle == "CT_1"
    assert read.PrivateInformation == b"{}"
    assert read.FileMetaInformationGroupLength == len(encode_head(meta)) - 144


def test_the_private_information_of_strangers_is_not_ours() -> None:
    head = encode_head(FileMeta("1.2", "1.3", "1.4", private=b"{}")).replace(b"2.25.2128", b"2.25.2129")
    decoded = decode_head(head + bytes(12).replace(b"\0", b"\x08"))
    assert decoded is not None
    assert decoded[0].private == b""


def test_a_head_is_unfinished_until_its_data_set_begins() -> None:
    decoded = decode_head(FILE)
    assert decoded is not None
    end = decoded[1]
    assert all(decode_head(FILE[:length]) is None for length in range(end + 12))
    assert decode_head(FILE[: end + 12]) == decoded


def test_a_wrong_group_length_does_not_matter() -> None:
    wrong = FILE[:140] + b"\xff\xff\xff\x7f" + FILE[144:]
    assert decode_head(wrong) == decode_head(FILE)


@pytest.mark.parametrize(
    "head",
    [
        bytes(128) + b"DICX" + bytes(100),
        b"GIF89a" + bytes(200),
        bytes(128) + b"DICM" + b"\x02\x00\x02\x01OB\0\0\xff\xff\xff\x7f" + bytes(100),
        bytes(128) + b"DICM" + b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 192" + bytes(20),
        bytes(128) + b"DICM" + b"\x02\x00\x10\x00UI\x00\x00" + b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 192",
        bytes(128) + b"DICM" + b"\x02\x00\x99\x00UI\x00\x00" * (MAX_META_LENGTH // 8 + 1),
    ],
    ids=["magic", "picture", "giant", "no group 2", "no syntax", "endless"],
)
def test_hostile_heads_are_refused(head: bytes) -> None:
    with pytest.raises(InvalidInstanceError):
        decode_head(head)


@given(st.binary(max_size=300))
def test_any_bytes_are_decoded_refused_or_unfinished(rest: bytes) -> None:
    try:
        decode_head(bytes(128) + b"DICM" + rest)
    except InvalidInstanceError:
        return
