"""Facts of the object written onto its picture, only when asked for (PS3.18 8.3.5.1.1)."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset

from pacs_gateway.imaging import elements, lettering


class Annotation(StrEnum):
    """What is written."""

    PATIENT = "patient"
    """Who it is: name, identifier, date of birth, sex."""
    TECHNIQUE = "technique"
    """How it was made: the examination, where the image stands in it, and the object's overlays."""
