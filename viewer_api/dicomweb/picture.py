"""Pictures as answers: which files are offered, which frames go into one, tags by which a browser keeps it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from starlette.responses import Response

from pacs_gateway import __version__
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.errors import UnsupportedSyntaxError
from pacs_gateway.imaging.thumbnail import middle_frame
from pacs_gateway.imaging.view import MediaType, View
from viewer_api.access import Visitor
from viewer_api.dependencies import not_modified
from viewer_api.negotiation import Offer

IMAGES = tuple(Offer(media_type) for media_type in MediaType)
"""The files a picture can be, the default first (PS3.18 Table 8.7.4-1)."""
# A picture belongs to a person: it is kept by that person's browser only, and asked after each time.
CACHING: Mapping[str, str] = MappingProxyType({"Cache-Control": "private, no-cache", "Vary": "Accept"})
_MAX_CLIP_FRAMES = 1000


def is_image(instance: StoredInstance) -> bool:
    """Return whether an instance has frames to show."""
    return instance.frames is not None and instance.frames.n_frames > 0


def shown_frames(instance: StoredInstance, media_type: str) -> Sequence[int]:
    """Return the frames (0-based) that stand for an image: as GIF all, else the one in the middle."""
    n_frames = instance.frames.n_frames if instance.frames else 0
    return range(n_frames) if media_type == MediaType.GIF else (middle_frame(n_frames),)


def picture(
    visitor: Visitor,
    instance: StoredInstance,
    indices: Sequence[int],
    view: View,
    state: StoredInstance | None = None,
) -> Response:
    """Return the answer that shows frames (0-based) of an image, by a presentation state where there is one."""
    shown_by = state.digest if state else ""
    facts = f"{instance.digest} {shown_by} {list(indices)} {view.to_json().decode()}"
    return tagged(visitor, view.media_type, facts, lambda: draw(visitor, instance, indices, view, state))


def draw(
    visitor: Visitor,
    instance: StoredInstance,
    indices: Sequence[int],
    view: View,
    state: StoredInstance | None = None,
) -> bytes:
    """Return frames (0-based) of an image as a file; errors as ``Retrieve.picture``."""
    if len(indices) > _MAX_CLIP_FRAMES:
        raise UnsupportedSyntaxError(f"a GIF is made of at most {_MAX_CLIP_FRAMES} frames: ask for some of them")
    return visitor.gateway.archive.retrieve.picture(instance, indices, view, state)


def tagged(visitor: Visitor, media_type: str, facts: str, make: Callable[[], bytes]) -> Response:
    """Return what `make` makes, unless the caller has what `facts` say it is."""
    # Another version may draw the same facts otherwise.
    etag = f'"{hashlib.sha256(f"{__version__} {media_type} {facts}".encode()).hexdigest()[:32]}"'
    headers = {"ETag": etag, **CACHING}
    if not_modified(visitor.request, etag):
        return Response(status_code=304, headers=headers)
    return Response(make(), 200, headers, media_type)
