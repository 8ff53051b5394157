"""Presentation states on the web: the images they are about, shown as they have them (PS3.18 10.4.1.1.3)."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.domain.uids import is_uid
from pacs_gateway.errors import NotFoundError
from pacs_gateway.imaging.softcopy.present import SOP_CLASSES
from pacs_gateway.imaging.softcopy.reference import Reference, references
from viewer_api.access import Visitor
from viewer_api.dependencies import only_instance

_MAX_IMAGES = 10_000


@dataclass(frozen=True, slots=True)
class Subject:
    """An image that a state is about."""

    image: StoredInstance
    frames: tuple[int, ...]
    """The frames (0-based) that are meant; empty for all."""


def is_state(instance: StoredInstance) -> bool:
    """Return whether an instance is a presentation state that can be applied."""
    return instance.sop_class_uid in SOP_CLASSES


def subjects(visitor: Visitor, state: StoredInstance) -> Iterator[Subject]:
    """Yield the images a state is about, of those that are kept; it is made for images of its own study.

    Raises
    ------
    InvalidInstanceError
        The state cannot be read.
    """
    for reference in islice(_named(visitor, state), _MAX_IMAGES):
        try:
            image = only_instance(visitor, state.study_uid, reference.series_uid, reference.sop_uid)
        except NotFoundError:
            continue
        n_frames = image.frames.n_frames if image.frames else 0
        yield Subject(image, tuple(number - 1 for number in reference.frames if 0 < number <= n_frames))


def is_about(visitor: Visitor, state: StoredInstance, image: StoredInstance) -> bool:
    """Return whether a state names an image; errors as `subjects`."""
    return any(reference.sop_uid == image.sop_uid for reference in _named(visitor, state))


def _named(visitor: Visitor, state: StoredInstance) -> Iterator[Reference]:
    named = references(visitor.gateway.archive.retrieve.header(state))
    return (reference for reference in named if is_uid(reference.series_uid) and is_uid(reference.sop_uid))
