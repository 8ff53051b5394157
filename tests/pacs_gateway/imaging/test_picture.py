from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from pacs_gateway.errors import GatewayError, InputError, InvalidInstanceError, UnsupportedSyntaxError
from pacs_gateway.imaging.icc import space_profile
from pacs_gateway.imaging.overlay import overlay_mask
from pacs_gateway.imaging.picture import draw, frame_time_ms
from pacs_gateway.imaging.thumbnail import THUMBNAIL, middle_frame
from pacs_gateway.imaging.transcode import encode_header
from pacs_gateway.imaging.view import Annotation, IccProfile, MediaType, Region, View
from pacs_gateway.imaging.window import VoiFunction, Window
from tests.pacs_gateway.imaging.samples import (
    BIG,
    LITTLE,
    REFUSED,
    colour_header,
    encoded,
    grey_header,
    image_paths,
    load,
    named,
)
from tests.pacs_gateway.imaging.softcopy.states import image_header, state

AS_THEY_ARE = Window(127.5, 255, VoiFunction.LINEAR_EXACT)
PNG = View(media_type=MediaType.PNG, window=AS_THEY_ARE)
GREY = np.arange(24, dtype="<u2").reshape(4, 6)


def picture_of(
    header: Dataset, frames: Sequence[bytes], view: View, *, syntax: str = LITTLE, first: int = 0
) -> Image.Image:
    data = draw(encoded(header, syntax), syntax, frames, range(first, first + len(frames)), view)
    picture = Image.open(BytesIO(data))
    assert Image.MIME[str(picture.format)] == view.media_type
    return picture


def grey(view: View, **changes: object) -> np.ndarray:
    return np.asarray(picture_of(grey_header(**changes), [GREY.tobytes()], view))


@pytest.mark.parametrize("path", [path for path in image_paths() if path.name not in REFUSED], ids=lambda p: p.name)
def test_every_image_has_a_thumbnail(path: Path) -> None:
    sample = load(path)
    index = middle_frame(sample.description.n_frames)
    # A deflated data set is inflated before.
    syntax = LITTLE if sample.syntax == DeflatedExplicitVRLittleEndian else sample.syntax
    picture = picture_of(sample.header, [sample.frames()[index]], THUMBNAIL, syntax=syntax, first=index)
    assert max(picture.size) <= 256


def test_a_large_image_is_scaled_into_the_viewport() -> None:
    sample = named("examples_overlay.dcm")
    assert picture_of(sample.header, [sample.value], View(viewport=(100, 100)), syntax=sample.syntax).size == (100, 62)


@pytest.mark.parametrize(("may_enlarge", "size"), [(True, (50, 67)), (False, (6, 8))])
def test_pixels_higher_than_wide_are_shown_so(may_enlarge: bool, size: tuple[int, int]) -> None:
    view = View(viewport=(50, 100), may_enlarge=may_enlarge)
    assert picture_of(grey_header(PixelSpacing=["2", "1"]), [GREY.tobytes()], view).size == size


def test_pixels_wider_than_high_lose_no_rows() -> None:
    assert picture_of(grey_header(PixelSpacing=["1", "2"]), [GREY.tobytes()], View()).size == (12, 4)


def test_a_png_shows_every_value() -> None:
    assert np.array_equal(grey(PNG), GREY)


@pytest.mark.parametrize(
    ("region", "rows", "columns"),
    [
        (Region(1, 2, 3, 2), slice(2, 4), slice(1, 4)),
        (Region(1, 2, 0, 0), slice(2, 4), slice(1, 6)),
        (Region(0, 0, -6, 4), slice(0, 4), slice(None, None, -1)),
        (Region(0, 0, 6, -4), slice(None, None, -1), slice(0, 6)),
        (Region(0.5, 0.25, 0.5, 0.5, is_fraction=True), slice(1, 3), slice(3, 6)),
        (Region(0.9999, 0.9999, 0.0001, 0.0001, is_fraction=True), slice(3, 4), slice(5, 6)),
    ],
)
def test_a_region_is_cut_out_and_turned(region: Region, rows: slice, columns: slice) -> None:
    shown = grey(View(media_type=MediaType.PNG, window=AS_THEY_ARE, region=region))
    assert np.array_equal(shown, GREY[rows, columns])


@pytest.mark.parametrize(
    "region",
    [Region(6, 0, 1, 1), Region(-1, 0, 2, 1), Region(0, 0, 7, 1), Region(0, 3, 1, -2), Region(1e9, 0, 1, 1)],
)
def test_a_region_outside_the_image_is_refused(region: Region) -> None:
    with pytest.raises(InputError):
        grey(View(region=region))


def test_the_element_itself_says_how_eight_big_endian_bits_are_packed() -> None:
    header = grey_header(BitsAllocated=8, BitsStored=8, HighBit=7)
    header.PixelData = np.arange(24, dtype="u1").tobytes()
    header["PixelData"].VR = "OW"
    swapped = np.arange(24, dtype="u1").reshape(-1, 2)[:, ::-1].tobytes()
    assert np.array_equal(np.asarray(picture_of(header, [swapped], PNG, syntax=BIG)), GREY)


def clip(**changes: object) -> Image.Image:
    frames = [np.full((4, 6, 3), shade, "u1").tobytes() for shade in (0, 100, 200)]
    return picture_of(colour_header(NumberOfFrames=3, **changes), frames, View(media_type=MediaType.GIF))


def test_a_clip_moves() -> None:
    moving = clip(FrameTime="40")
    assert (getattr(moving, "n_frames", 1), moving.info["duration"], moving.info["loop"]) == (3, 40, 0)
    shades = []
    for index in range(3):
        moving.seek(index)
        shades.append(np.asarray(moving.convert("RGB"))[0, 0].tolist())
    assert shades == [[0] * 3, [100] * 3, [200] * 3]


def test_a_still_gif_keeps_every_shade_of_grey() -> None:
    assert np.array_equal(grey(View(media_type=MediaType.GIF, window=AS_THEY_ARE)), GREY)


@pytest.mark.parametrize(
    ("changes", "time_ms"),
    [
        ({}, 100), ({"FrameTime": "33.3"}, 33.3), ({"CineRate": "20", "FrameTime": "33"}, 50),
        ({"RecommendedDisplayFrameRate": "8", "CineRate": "20"}, 125), ({"FrameTimeVector": ["0", "30", "50"]}, 40),
        ({"FrameTime": "0"}, 100), ({"FrameTime": "1"}, 20), ({"CineRate": "1000000"}, 20),
        ({"FrameTime": "1e30"}, 10_000),
    ],
)  # fmt: skip
def test_a_clip_runs_as_fast_as_it_was_made_for(changes: dict[str, object], time_ms: float) -> None:
    assert frame_time_ms(grey_header(**changes)) == pytest.approx(time_ms)


def test_a_clip_that_would_take_too_long_is_refused() -> None:
    with pytest.raises(UnsupportedSyntaxError, match="smaller viewport"):
        draw(encoded(grey_header()), LITTLE, [b""] * 3, range(3), View(MediaType.GIF, viewport=(4000, 3000)))


@pytest.mark.parametrize("header", [b"", b"\x28\x00\x10\x00US\xff\xff\x01", bytes(100), b"\xff" * 100])
def test_a_header_that_is_none_is_refused(header: bytes) -> None:
    with pytest.raises(InvalidInstanceError):
        draw(header, LITTLE, [GREY.tobytes()], [0], PNG)


def test_a_missing_frame_is_refused() -> None:
    with pytest.raises(GatewayError):
        draw(encoded(grey_header()), LITTLE, [b""], [0], PNG)


@pytest.mark.parametrize(
    "view",
    [
        View(),
        View(
            MediaType.GIF,
            (256, 128),
            region=Region(0.1, 0.2, -0.5, 0, is_fraction=True),
            window=Window(-600.5, 1500, VoiFunction.SIGMOID),
            quality=3,
            annotations=(Annotation.PATIENT, Annotation.TECHNIQUE),
            icc_profile=IccProfile.SRGB,
        ),
        THUMBNAIL,
    ],
)
def test_a_view_goes_to_another_process_and_stays_the_same(view: View) -> None:
    received = View.from_json(view.to_json())
    assert received == view
    assert type(received.media_type) is MediaType


def test_overlays_and_facts_are_drawn_only_when_asked_for() -> None:
    sample = named("examples_overlay.dcm")
    plain, patient, technique = (
        np.asarray(
            picture_of(
                sample.header,
                [sample.value],
                View(media_type=MediaType.PNG, annotations=annotations),
                syntax=sample.syntax,
            )
        )
        for annotations in ((), (Annotation.PATIENT,), (Annotation.TECHNIQUE,))
    )
    mask = overlay_mask(sample.header, plain.shape, index=0)
    assert mask is not None
    below = mask & (np.arange(plain.shape[0])[:, np.newaxis] > plain.shape[0] // 2)
    assert np.all(technique[below] == 255)
    np.testing.assert_array_equal(patient[below], plain[below])
    assert (patient != plain).any()


def test_colours_come_with_their_profile() -> None:
    own = space_profile(IccProfile.DISPLAYP3)
    frame = np.arange(72, dtype="u1").tobytes()
    for media_type in (MediaType.PNG, MediaType.JPEG):
        view = View(media_type=media_type)
        assert picture_of(colour_header(ICCProfile=own), [frame], view).info["icc_profile"] == own
        without = replace(view, icc_profile=IccProfile.NO)
        assert "icc_profile" not in picture_of(colour_header(ICCProfile=own), [frame], without).info


def test_a_picture_is_shown_by_its_presentation_state() -> None:
    header, frame = image_header(48, 64, WindowCenter="1", WindowWidth="1"), np.arange(48 * 64, dtype="<u2")
    turned = state(ImageRotation=90, ImageHorizontalFlip="N")
    view = View(media_type=MediaType.PNG, viewport=(24, 32))
    data = draw(encoded(header, LITTLE), LITTLE, [frame.tobytes()], [0], view, encode_header(turned))
    shown = np.asarray(Image.open(BytesIO(data)), float)
    assert shown.shape == (32, 24)
    np.testing.assert_allclose(shown, np.rot90(frame.reshape(48, 64)[::2, ::2], -1) / 4095 * 255, atol=3)
