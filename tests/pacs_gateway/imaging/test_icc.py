from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms
from pydicom.dataset import Dataset

from pacs_gateway.errors import InvalidInstanceError
from pacs_gateway.imaging.icc import MAX_PROFILE_BYTES, converted, icc_profile, profiled, space_profile
from pacs_gateway.imaging.view import IccProfile
from tests.pacs_gateway.imaging.samples import as_received, colour_header, grey_header

_LITTLECMS_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_COLOURS = np.random.default_rng(6).integers(0, 256, (16, 16, 3), "u1")


_SPACES = [space for space in IccProfile if space not in (IccProfile.NO, IccProfile.YES)]


def _profile(space: IccProfile) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(BytesIO(space_profile(space)))


@pytest.mark.parametrize("space", _SPACES)
def test_the_profiles_made_here_are_understood(space: IccProfile) -> None:
    assert ImageCms.getProfileDescription(_profile(space)).strip()
    assert ImageCms.isIntentSupported(_profile(space), ImageCms.Intent.PERCEPTUAL, ImageCms.Direction.INPUT) == 1


def test_srgb_is_littlecms_srgb() -> None:
    shown = ImageCms.profileToProfile(Image.fromarray(_COLOURS), _profile(IccProfile.SRGB), _LITTLECMS_SRGB)
    np.testing.assert_allclose(np.asarray(shown).astype(int), _COLOURS, atol=1)


def test_adobe_rgb_is_as_its_specification_says() -> None:
    # sRGB's green lies inside Adobe RGB, at about 144, 255, 60 (Adobe RGB (1998) and IEC 61966-2-1, by hand)
    green = np.array([[[0, 255, 0]]], "u1")
    np.testing.assert_allclose(converted(green, None, IccProfile.ADOBERGB).ravel(), [144, 255, 60], atol=1)


@pytest.mark.parametrize("space", [IccProfile.ADOBERGB, IccProfile.ROMMRGB, IccProfile.DISPLAYP3])
def test_wider_spaces_hold_all_of_srgb(space: IccProfile) -> None:
    there = converted(_COLOURS, None, space)
    assert (there != _COLOURS).any()
    back = converted(there, space_profile(space), IccProfile.SRGB)
    assert np.abs(back.astype(int) - _COLOURS).mean() < 2  # what 8 bits of a wider space can hold


def test_colours_without_a_profile_are_taken_for_srgb() -> None:
    assert converted(_COLOURS, None, IccProfile.SRGB) is _COLOURS


def test_the_profile_is_the_images_or_its_optical_paths() -> None:
    profile = space_profile(IccProfile.ADOBERGB) + b"\0"
    path = Dataset()
    path.ICCProfile = profile
    for header in (colour_header(ICCProfile=profile), colour_header(OpticalPathSequence=[path])):
        assert icc_profile(as_received(header)) == profile[:-1]
    assert icc_profile(colour_header()) is None
    assert icc_profile(grey_header(ICCProfile=profile)) is None


_GOOD = space_profile(IccProfile.SRGB)


@pytest.mark.parametrize(
    "data",
    [b"\0" * 200, _GOOD[:100], _GOOD[:16] + b"CMYK" + _GOOD[20:], _GOOD + bytes(MAX_PROFILE_BYTES)],
    ids=["rubbish", "short", "cmyk", "large"],
)
def test_what_is_no_profile_of_rgb_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInstanceError):
        icc_profile(colour_header(ICCProfile=data))


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_profile_is_refused_or_used(seed: int) -> None:
    random = np.random.default_rng(seed)
    data = bytearray(_GOOD)
    for position in random.integers(128, 400, 6):
        data[position] = int(random.integers(0, 256))
    try:
        shown = converted(_COLOURS, bytes(data), IccProfile.SRGB)
    except InvalidInstanceError:
        return
    assert shown.shape == _COLOURS.shape


def test_colours_come_with_the_profile_that_is_asked_for() -> None:
    own = space_profile(IccProfile.ADOBERGB)
    header = colour_header(ICCProfile=own)
    assert profiled(_COLOURS, header, IccProfile.NO)[1] is None
    assert profiled(_COLOURS, header, IccProfile.YES)[1] == own
    assert profiled(_COLOURS, colour_header(), IccProfile.YES)[1] == space_profile(IccProfile.SRGB)
    shown, profile = profiled(_COLOURS, header, IccProfile.SRGB)
    assert profile == space_profile(IccProfile.SRGB)
    np.testing.assert_array_equal(shown, converted(_COLOURS, own, IccProfile.SRGB))


def test_grey_pictures_have_no_profile() -> None:
    assert profiled(_COLOURS[..., 0], grey_header(), IccProfile.SRGB)[1] is None
