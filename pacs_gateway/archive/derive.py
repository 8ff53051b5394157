"""Deriving what readers need: metadata and thumbnails, by the worker, once a series changes.

The thumbnail comes with a series' first image. The rest waits until the series has been quiet for a while, so that it
takes nothing from receiving: then the thumbnail is chosen anew and the metadata becomes one object per series. What is
asked for earlier is derived on request.
"""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import BinaryIO

import orjson
from pydicom import Dataset
from sqlalchemy import Connection, func, select

from pacs_gateway.archive.header_json import JsonObject
from pacs_gateway.archive.metadata import (
    PIXEL_HEAD_BYTES,
    charset_of_device,
    metadata_json,
    pixel_reference,
    read_header,
)
from pacs_gateway.archive.metadata_blob import MetadataBlob, compress
from pacs_gateway.archive.stored import (
    COLUMNS,
    SOURCE,
    Holdings,
    StoredInstance,
    as_file,
    read_encoded_header,
    stored_instance,
)
from pacs_gateway.database.engine import Database
from pacs_gateway.database.schema.archive import instance, series, series_derived
from pacs_gateway.domain.clock import Clock, to_microseconds
from pacs_gateway.domain.instance import FrameKind
from pacs_gateway.errors import (
    CapacityError,
    ConflictError,
    InvalidInstanceError,
    NotFoundError,
    UnavailableError,
    UnsupportedSyntaxError,
)
from pacs_gateway.guard import Guard
from pacs_gateway.imaging.thumbnail import THUMBNAIL, middle_frame
from pacs_gateway.imaging.transcode import encode_header
from pacs_gateway.imaging.view import View
from pacs_gateway.index.upsert import insert
from pacs_gateway.storage.store import ObjectStore, derived_key

_log = logging.getLogger(__name__)

DERIVE = "derive"
"""Kind of the job; its key is the series' key."""
_METADATA_NAME = "metadata-1.json.gz"
_THUMBNAIL_NAME = "thumbnail-1.jpg"
_QUIET = timedelta(seconds=2)
_MAX_CLIP_BYTES = 256 * 2**20
"""Most bytes of frames that are kept in memory for one picture."""
_LAST_NUMBER = 2**31 - 1


def bulk_root(stored: StoredInstance) -> str:
    """Return the URI under which an instance's bulk data is served."""
    return f"/dicom-web/studies/{stored.study_uid}/series/{stored.series_uid}/instances/{stored.sop_uid}/bulkdata"


class Derive:
    """Makes and reads derived things."""

    def __init__(
        self, database: Database, store: ObjectStore, holdings: Holdings, guard: Guard, *, clock: Clock
    ) -> None:
        self._database = database
        self._store = store
        self._holdings = holdings
        self._guard = guard
        self._clock = clock

    def run(self, series_key: int) -> int | None:
        """Derive what a series lacks; return when to look again (UTC microseconds), None when all is done."""
        revision, newest = self._state(series_key)
        if revision is None:
            return None
        quiet_at = newest + round(_QUIET.total_seconds() * 1_000_000)
        is_quiet = to_microseconds(self._clock()) >= quiet_at
        self._derive_thumbnail(series_key, revision, is_quiet=is_quiet)
        if not is_quiet:
            return quiet_at
        self._derive_series(series_key, revision)
        return None

    def metadata(self, series_key: int) -> MetadataBlob:
        """Return a series' metadata, derived now where they must be."""
        return self.kept_metadata(series_key) or MetadataBlob.of(self._compose(series_key))

    def kept_metadata(self, series_key: int) -> MetadataBlob | None:
        """Return a series' metadata as they lie in the object store, None where they are not those of now."""
        with self._database.read() as connection:
            row = connection.execute(
                select(series.c.revision, series_derived.c.metadata_revision, series_derived.c.metadata_digest)
                .join_from(series, series_derived, series_derived.c.series_key == series.c.id, isouter=True)
                .where(series.c.id == series_key)
            ).one()
        if row.metadata_digest is None or row.metadata_revision != row.revision:
            return None
        return MetadataBlob(row.metadata_digest, partial(self._read_kept, series_key, row.metadata_digest))

    def _read_kept(self, series_key: int, digest: str) -> bytes:
        try:
            return self._store.read(derived_key(digest, _METADATA_NAME))
        except (NotFoundError, UnavailableError) as error:
            _log.warning("a derived object cannot be read and is made again: %s", error)
            return self._compose(series_key)

    def instance_metadata(self, stored: StoredInstance) -> bytes:
        """Return one instance's metadata as a JSON object."""
        with self._holdings.open(stored) as reader:
            file = as_file(reader)
            charset = charset_of_device(file)
            plain = self._holdings.plain(stored)
            if plain is stored:
                header, pixels = _header_and_pixels(file, stored)
        if plain is not stored:
            with self._holdings.open(plain) as reader:
                header, pixels = _header_and_pixels(as_file(reader), plain)
        return metadata_json(
            header,
            transfer_syntax_uid=stored.transfer_syntax_uid,
            bulk_root=bulk_root(stored),
            charset=charset,
            pixels=pixels,
        )

    def thumbnail(self, stored: StoredInstance) -> bytes:
        """Return the thumbnail of one instance, made and kept now unless it is there.

        Raises
        ------
        NotFoundError
            It has no image that can be shown.
        """
        key = derived_key(stored.digest, _THUMBNAIL_NAME)
        try:
            return self._store.read(key)
        except (NotFoundError, UnavailableError):
            body = self._make_thumbnail(stored)
        try:
            self._store.put(key, body)
        except (CapacityError, ConflictError, UnavailableError) as error:
            _log.info("a thumbnail is not kept: %s", error)
        return body

    def picture(
        self, stored: StoredInstance, indices: Sequence[int], view: View, state: StoredInstance | None = None
    ) -> bytes:
        """Return frames (0-based) of an image as a file; errors as ``Guard.draw``, and those of `frame_ranges`."""
        encoded_state = self._encoded_state(state) if state else b""
        stored = self._holdings.plain(stored)
        wanted = [tuple(frame_ranges(stored, index)) for index in indices]
        if len(indices) > 1 and sum(length for ranges in wanted for _, length in ranges) > _MAX_CLIP_BYTES:
            raise UnsupportedSyntaxError(f"a clip is made of at most {_MAX_CLIP_BYTES} bytes: ask for fewer frames")
        with self._holdings.open(stored) as reader:
            header = read_encoded_header(reader, stored)
            frames = [b"".join(reader.read(offset, length) for offset, length in ranges) for ranges in wanted]
        return self._guard.draw(header, stored.transfer_syntax_uid, frames, indices, view, encoded_state)

    def _encoded_state(self, stored: StoredInstance) -> bytes:
        """Return a presentation state in explicit VR little endian."""
        with self._holdings.open(self._holdings.plain(stored)) as reader:
            return encode_header(read_header(as_file(reader)))

    def kept_thumbnail(self, digest: str) -> bytes | None:
        """Return the thumbnail of the instance with that digest, None where it cannot be read."""
        try:
            return self._store.read(derived_key(digest, _THUMBNAIL_NAME))
        except (NotFoundError, UnavailableError) as error:
            _log.warning("a derived object cannot be read and is made again: %s", error)
            return None

    def _state(self, series_key: int) -> tuple[int | None, int]:
        statement = (
            select(series.c.revision, func.max(instance.c.received_at))
            .join_from(series, instance, instance.c.series_key == series.c.id)
            .where(series.c.id == series_key, instance.c.state == "current")
            .group_by(series.c.revision)
        )
        with self._database.read() as connection:
            row = connection.execute(statement).first()
        return (int(row[0]), int(row[1])) if row is not None else (None, 0)

    # Metadata

    def _metadata_or_stub(self, stored: StoredInstance) -> bytes:
        """Return an instance's metadata, its identifiers alone where the rest cannot be read."""
        try:
            return self.instance_metadata(stored)
        except InvalidInstanceError as error:
            _log.warning("instance %d: %s; its metadata is its identifiers", stored.id, error)
            uids = {"00080016": stored.sop_class_uid, "00080018": stored.sop_uid}
            uids |= {"0020000D": stored.study_uid, "0020000E": stored.series_uid}
            return orjson.dumps({tag: {"vr": "UI", "Value": [uid]} for tag, uid in uids.items()})

    def _kept(self, series_key: int) -> dict[str, bytes]:
        """Return the JSON objects of the series' last metadata object, by SOP Instance UID."""
        with self._database.read() as connection:
            digest = connection.execute(
                select(series_derived.c.metadata_digest).where(series_derived.c.series_key == series_key)
            ).scalar_one_or_none()
        if digest is None:
            return {}
        try:
            body = self._store.read(derived_key(digest, _METADATA_NAME))
        except (NotFoundError, UnavailableError):
            return {}
        return MetadataBlob.of(body).by_uid()

    def _compose(self, series_key: int) -> bytes:
        """Return the series' metadata from what is derived and, for the rest, from the files."""
        kept = self._kept(series_key)
        statement = (
            select(*COLUMNS)
            .select_from(SOURCE)
            .where(instance.c.series_key == series_key, instance.c.state == "current")
            .order_by(func.coalesce(instance.c.instance_number, _LAST_NUMBER), instance.c.sop_uid)
        )
        with self._database.read() as connection:
            found = [stored_instance(row) for row in connection.execute(statement)]
        objects = {s.sop_uid: kept.get(s.sop_uid) or self._metadata_or_stub(s) for s in found}
        return compress(objects)

    def _derive_series(self, series_key: int, revision: int) -> None:
        body = self._compose(series_key)
        digest = hashlib.sha256(body).hexdigest()
        self._store.put(derived_key(digest, _METADATA_NAME), body)

        def set_metadata(connection: Connection) -> str | None:
            current = select(series.c.revision).where(series.c.id == series_key).with_for_update()
            if connection.execute(current).scalar_one() != revision:
                # Something arrived, or another content became current, since the rows were read: its job comes next.
                return None
            old = connection.execute(
                select(series_derived.c.metadata_digest).where(series_derived.c.series_key == series_key)
            ).scalar_one_or_none()
            _set_derived(connection, series_key, metadata_revision=revision, metadata_digest=digest)
            return old

        old = self._database.transact(set_metadata)
        if old is not None and old != digest:
            self._store.delete(derived_key(old, _METADATA_NAME))

    # Thumbnails

    def _derive_thumbnail(self, series_key: int, revision: int, *, is_quiet: bool) -> None:
        """Make the series' thumbnail: at once for the first instance, again when the series is quiet."""
        with self._database.read() as connection:
            known = connection.execute(
                select(series_derived.c.thumbnail_revision).where(series_derived.c.series_key == series_key)
            ).scalar_one_or_none()
        if known == revision or (known is not None and not is_quiet):
            return
        representative = self.representative(series_key)
        digest = None
        if representative is not None:
            try:
                self._store.put(
                    derived_key(representative.digest, _THUMBNAIL_NAME), self._make_thumbnail(representative)
                )
                digest = representative.digest
            except NotFoundError:
                _log.info("series %d has no image that can be shown", series_key)
            except ConflictError:
                digest = representative.digest  # made before, by another version of a codec

        def set_thumbnail(connection: Connection) -> None:
            # Whoever takes an instance out of sight holds its series: either it is gone here, or forgotten there.
            connection.execute(select(series.c.id).where(series.c.id == series_key).with_for_update())
            if representative is not None and not _is_current(connection, representative.id):
                return
            _set_derived(connection, series_key, thumbnail_revision=revision, thumbnail_digest=digest)

        self._database.transact(set_thumbnail)

    def representative(self, series_key: int) -> StoredInstance | None:
        """Return the instance of a series in the middle of those with pixels, None where none has."""
        has_pixels = (
            instance.c.series_key == series_key,
            instance.c.state == "current",
            instance.c.frames.is_not(None),
        )
        order = (func.coalesce(instance.c.instance_number, _LAST_NUMBER), instance.c.sop_uid)
        with self._database.read() as connection:
            n = connection.execute(select(func.count()).select_from(instance).where(*has_pixels)).scalar_one()
            middle = select(*COLUMNS).select_from(SOURCE).where(*has_pixels).order_by(*order)
            row = connection.execute(middle.offset(middle_frame(n)).limit(1)).first()
        return stored_instance(row) if row is not None else None

    def _make_thumbnail(self, stored: StoredInstance) -> bytes:
        if stored.frames is None:
            raise NotFoundError("the object has no image")
        index = middle_frame(stored.frames.n_frames)
        try:
            return self.picture(stored, [index], THUMBNAIL)
        except (InvalidInstanceError, UnsupportedSyntaxError) as error:
            raise NotFoundError(f"the image cannot be shown: {error}") from error


def frame_ranges(stored: StoredInstance, index: int) -> Iterable[tuple[int, int]]:
    """Return the byte ranges of a frame in the stored file.

    Raises
    ------
    NotFoundError
        There is no such frame.
    UnsupportedSyntaxError
        The object's frames are not byte ranges of its file.
    """
    if stored.frames is None or not 0 <= index < stored.frames.n_frames:
        raise NotFoundError("no such frame")
    if not stored.frames.ranges:
        raise UnsupportedSyntaxError("the frames of this object cannot be told apart")
    return stored.frames.frame(index)


def _header_and_pixels(file: BinaryIO, stored: StoredInstance) -> tuple[Dataset, JsonObject]:
    """Return a header without long values, and the attribute that says where the pixels are to be had."""
    file.seek(0)
    header = read_header(file, defer=True)
    if stored.frames is None or stored.frames.kind is FrameKind.DERIVED:
        return header, {}
    file.seek(stored.pixels_offset)
    head = file.read(PIXEL_HEAD_BYTES)
    return header, pixel_reference(head, stored.transfer_syntax_uid, bulk_root=bulk_root(stored))


def _is_current(connection: Connection, instance_id: int) -> bool:
    state = select(instance.c.state).where(instance.c.id == instance_id)
    return connection.execute(state).scalar_one_or_none() == "current"


def _set_derived(connection: Connection, series_key: int, **values: int | str | None) -> None:
    statement = insert(connection, series_derived).values(series_key=series_key, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=[series_derived.c.series_key], set_=values))
