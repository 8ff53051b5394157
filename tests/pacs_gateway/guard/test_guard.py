"""What a guard returns is what `imaging` returns: every codec, every form of picture, every text."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from pacs_gateway import imaging
from pacs_gateway.errors import GatewayError, InvalidInstanceError
from pacs_gateway.guard import Guard, open_guard, tasks
from pacs_gateway.imaging.compress import ENCODERS, encoded_description
from pacs_gateway.imaging.decode import decode_frame, decode_stored
from pacs_gateway.imaging.picture import draw
from pacs_gateway.imaging.recompress import recompress_frame
from pacs_gateway.imaging.view import Annotation, MediaType, View
from tests.pacs_gateway.imaging.samples import LITTLE, Sample, dicom_paths, encoded, image_paths, load, named, read

_CODEC_CALL = re.compile(r"imagecodecs\.([a-z0-9]+_(?:de|en)code)")


@pytest.fixture(scope="module")
def guard() -> Iterator[Guard]:
    with open_guard() as guard:
        yield guard


def one_of_each_syntax() -> list[Sample]:
    samples = {sample.syntax: sample for sample in map(load, sorted(set(image_paths()) & set(dicom_paths())))}
    return list(samples.values())


@pytest.mark.parametrize("sample", one_of_each_syntax(), ids=lambda sample: sample.syntax)
def test_frames_are_decoded_as_here(guard: Guard, sample: Sample) -> None:
    try:
        description = sample.description
        expected = decode_frame(sample.frames()[0], description), decode_stored(sample.frames()[0], description)
    except GatewayError as error:
        with pytest.raises(type(error)):
            guard.decode_frame(sample.value, sample.description)
        return
    frame = sample.frames()[0]
    for found, there in zip(expected, (guard.decode_frame, guard.decode_stored), strict=True):
        decoded = there(frame, description)
        assert decoded.dtype == found.dtype
        assert np.array_equal(decoded, found, equal_nan=decoded.dtype.kind == "f")


@pytest.mark.parametrize("syntax", ENCODERS)
def test_frames_are_compressed_as_here(guard: Guard, syntax: str) -> None:
    sample = named("CT_small.dcm")
    description = replace(sample.description, pixel_representation=0)
    encoded = encoded_description(description, syntax)
    here = recompress_frame(sample.value, description, encoded)
    assert guard.recompress_frame(sample.value, description, encoded) == here


@pytest.mark.parametrize("media_type", MediaType)
def test_pictures_are_drawn_as_here(guard: Guard, media_type: MediaType) -> None:
    sample = named("examples_overlay.dcm")
    header = encoded(sample.header, sample.syntax)
    view = View(media_type=media_type, viewport=(90, 90), annotations=tuple(Annotation))
    here = draw(header, sample.syntax, [sample.value], [0], view)
    assert guard.draw(header, sample.syntax, [sample.value], [0], view) == here


def test_text_in_every_character_set_is_read(guard: Guard) -> None:
    root = Path(pydicom.__file__).parent / "data" / "charset_files"
    sample = named("CT_small.dcm")
    for path in sorted(root.glob("*.dcm")):
        text = read(path)
        for keyword in {"SpecificCharacterSet", "PatientName"} & set(text.dir()):
            sample.header[keyword] = text[keyword]
        header = encoded(sample.header, LITTLE)
        view = View(annotations=(Annotation.PATIENT,))
        here = draw(header, LITTLE, [sample.value], [0], view)
        assert guard.draw(header, LITTLE, [sample.value], [0], view) == here


def test_codecs_are_loaded_before_files_are_out_of_reach() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(imaging.__file__).parent.glob("*.py"))
    assert set(_CODEC_CALL.findall(sources)) == set(tasks._CODECS)


def test_a_frame_of_another_size_than_announced_is_refused(guard: Guard) -> None:
    sample = named("CT_small.dcm")
    with pytest.raises(InvalidInstanceError):
        guard.decode_frame(sample.value[:-1], sample.description)
