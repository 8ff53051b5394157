from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacs_gateway.errors import InvalidInstanceError
from pacs_gateway.imaging.codestream import Codestream, read_jpeg, read_jpeg2000, read_jpeg_xl

_GREY = np.zeros((33, 47), np.uint16)
_RGB = np.zeros((33, 47, 3), np.uint8)


def test_jpeg_says_its_size_and_colour_space() -> None:
    stream = read_jpeg(bytes(imagecodecs.jpeg8_encode(_RGB)))
    assert (stream.rows, stream.columns, stream.samples, stream.precision) == (33, 47, 3, 8)
    assert stream.is_jfif
    assert stream.adobe_transform is None


def test_jpeg_of_rgb_says_so() -> None:
    stream = read_jpeg(bytes(imagecodecs.jpeg8_encode(_RGB, colorspace="rgb", outcolorspace="rgb")))
    assert stream.adobe_transform == 0
    assert stream.component_ids == b"RGB"


def test_jpeg_ls_says_its_precision() -> None:
    stream = read_jpeg(bytes(imagecodecs.jpegls_encode(_GREY)))
    assert (stream.rows, stream.columns, stream.samples, stream.precision) == (33, 47, 1, 16)


@pytest.mark.parametrize("codecformat", ["j2k", "jp2"])
def test_jpeg2000_is_found_bare_and_boxed(codecformat: str) -> None:
    stream = read_jpeg2000(bytes(imagecodecs.jpeg2k_encode(_GREY, codecformat=codecformat, reversible=True)))
    assert (stream.rows, stream.columns, stream.samples, stream.precision) == (33, 47, 1, 16)


@pytest.mark.parametrize("shape", [(33, 47), (64, 64), (256, 192), (200, 300), (1, 2), (1000, 3)])
@pytest.mark.parametrize("usecontainer", [False, True])
def test_jpeg_xl_says_its_size_in_every_form(shape: tuple[int, int], usecontainer: bool) -> None:
    data = bytes(imagecodecs.jpegxl_encode(np.zeros(shape, np.uint8), lossless=True, usecontainer=usecontainer))
    stream = read_jpeg_xl(data)
    assert (stream.rows, stream.columns) == shape


@pytest.mark.parametrize("read", [read_jpeg, read_jpeg2000, read_jpeg_xl])
@settings(deadline=None)
@given(
    start=st.sampled_from(
        [b"", b"\xff\xd8", b"\xff\xd8\xff\xc0", b"\xff\x4f\xff\x51", b"\xff\x0a", b"\0\0\0\x0cjP  ", b"\0\0\0\x0cJXL "]
    ),
    rest=st.binary(max_size=80),
)
def test_no_bytes_raise_anything_but_our_error(read: Callable[[bytes], Codestream], start: bytes, rest: bytes) -> None:
    try:
        stream = read(start + rest + b"\xff\xd9")
    except InvalidInstanceError:
        return
    assert stream.columns <= 2**33
