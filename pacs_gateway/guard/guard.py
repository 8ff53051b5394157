"""What callers hold: the functions of `imaging` that run in guarded processes, with their names and types."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from pacs_gateway.errors import InvalidInstanceError
from pacs_gateway.guard.pool import Limits, Pool
from pacs_gateway.imaging.decode import Frame
from pacs_gateway.imaging.pixels import PixelDescription
from pacs_gateway.imaging.view import View


class Guard:
    """Does with images what `imaging` does, where nothing can happen to us; thread-safe.

    Besides what the functions raise themselves each method raises `InvalidInstanceError` where the process that worked
    on the image was lost, `CapacityError` where all are busy, and `UnavailableError` where there can be none now.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def draw(
        self,
        header: bytes,
        transfer_syntax_uid: str,
        frames: Sequence[bytes],
        indices: Sequence[int],
        view: View,
        state: bytes = b"",
    ) -> bytes:
        """Return frames of an image as a file; see ``imaging.picture.draw``."""
        parameters = {"transfer_syntax_uid": transfer_syntax_uid, "indices": list(indices)}
        (file,) = self._pool.call("draw", parameters, [view.to_json(), state, header, *frames])
        return file

    def decode_frame(self, data: bytes, description: PixelDescription, *, index: int = 0) -> Frame:
        """Decode one frame, colour as RGB; see ``imaging.decode.decode_frame``."""
        return self._decoded("decode_frame", data, description, index)

    def decode_stored(self, data: bytes, description: PixelDescription, *, index: int = 0) -> Frame:
        """Decode one frame, colour as stored; see ``imaging.decode.decode_stored``."""
        return self._decoded("decode_stored", data, description, index)

    def recompress_frame(
        self, data: bytes, description: PixelDescription, encoded: PixelDescription, *, index: int = 0
    ) -> bytes:
        """Return one stored frame, encoded anew; see ``imaging.recompress.recompress_frame``."""
        parameters = {"description": description, "encoded": encoded, "index": index}
        (frame,) = self._pool.call("recompress_frame", parameters, [data])
        return frame

    def _decoded(self, task: str, data: bytes, description: PixelDescription, index: int) -> Frame:
        (samples,) = self._pool.call(task, {"description": description, "index": index}, [data])
        try:
            return np.frombuffer(samples, description.dtype).reshape(description.shape)
        except ValueError:
            raise InvalidInstanceError("a decoded frame has another size than the header says") from None


@contextmanager
def open_guard() -> Iterator[Guard]:
    """Open a guard with as many processes as there are cores, none of them started before it is needed."""
    pool = Pool(Limits(n_processes=len(os.sched_getaffinity(0))))
    try:
        yield Guard(pool)
    finally:
        pool.close()
