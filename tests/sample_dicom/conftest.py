"""The small edition, built once for all tests of the samples."""

import shutil
import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset

from sample_dicom.catalogue import SUBSET
from sample_dicom.generation import build

Verify = Callable[[Path], list[str]]


@pytest.fixture(scope="session")
def small_set() -> dict[str, bytes]:
    """The files of the small edition by relative path, made anew."""
    return {path: content for path, content, _ in build(SUBSET)}


@pytest.fixture(scope="session")
def objects(small_set: dict[str, bytes]) -> dict[str, FileDataset]:
    return {path: dcmread(BytesIO(content)) for path, content in small_set.items()}


@pytest.fixture(scope="session")
def dciodvfy_errors() -> Verify:
    """Returns the lines of dciodvfy that speak of an error."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy (Debian: dicom3tools) is not installed")

    def verify(path: Path) -> list[str]:
        done = subprocess.run(
            [program, str(path)], capture_output=True, text=True, errors="replace", check=False, timeout=60
        )
        lines = (done.stdout + done.stderr).splitlines()
        assert lines, f"dciodvfy said nothing about {path.name}"
        return [line for line in lines if line.startswith("Error")]

    return verify
