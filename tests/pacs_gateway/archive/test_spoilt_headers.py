"""A spoilt header is read or refused, whoever reads it: nothing but our own errors comes out."""

import io
import random
import warnings
from contextlib import suppress
from pathlib import Path

import pydicom
import pytest

from pacs_gateway.archive.equivalence import content_digest
from pacs_gateway.archive.header_json import json_object
from pacs_gateway.archive.metadata import read_header
from pacs_gateway.errors import InvalidInstanceError
from tests.support.mutation import spoil_bytes

_FILES = sorted((Path(pydicom.__file__).parent / "data" / "test_files").glob("*.dcm"))
_HEADER_BYTES = 6000
_HEAD_BYTES = 132
_N_CASES = 40


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.name)
@pytest.mark.parametrize("defer", [False, True])
def test_a_spoilt_header_is_read_or_refused(path: Path, defer: bool) -> None:
    header = path.read_bytes()[:_HEADER_BYTES]
    for case in range(_N_CASES):
        spoilt = spoil_bytes(header, random.Random(f"{path.name}-{case}"), min(_HEAD_BYTES, len(header)))
        with warnings.catch_warnings(), suppress(InvalidInstanceError):
            warnings.simplefilter("ignore")  # what pydicom guesses it says
            dataset = read_header(io.BytesIO(spoilt), defer=defer)
            json_object(dataset, uri="bulkdata")
            content_digest(dataset)
