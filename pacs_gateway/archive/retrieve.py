"""Retrieving: the bytes, frames, metadata and thumbnails of kept instances.

Everything asks for a scope: what belongs to a facility the caller may not see does not exist.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from pydicom import Dataset
from sqlalchemy import Column, ColumnElement, FromClause, Row, Select, bindparam, false, func, select

from pacs_gateway.access.policy import Scope
from pacs_gateway.archive.derive import Derive, frame_ranges
from pacs_gateway.archive.metadata import read_elements, read_header
from pacs_gateway.archive.metadata_blob import MetadataBlob, compress
from pacs_gateway.archive.stored import (
    COLUMNS,
    SOURCE,
    Holdings,
    StoredInstance,
    as_file,
    stored_instance,
)
from pacs_gateway.archive.video import Video, find_video
from pacs_gateway.database.engine import Database
from pacs_gateway.database.schema.archive import instance, patient, series, series_derived, study
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.part10 import FileMeta, encode_head
from pacs_gateway.errors import CapacityError, NotFoundError
from pacs_gateway.guard import Guard
from pacs_gateway.imaging.view import View
from pacs_gateway.storage.store import ObjectReader

_CHUNK_BYTES = 1 << 20
_LAST_NUMBER = 2**31 - 1
_ORDER = (
    func.coalesce(series.c.series_number, _LAST_NUMBER),
    series.c.series_uid,
    func.coalesce(instance.c.instance_number, _LAST_NUMBER),
    instance.c.sop_uid,
)
_N_STATEMENTS = 256
_KEY_COLUMNS: Mapping[Level, Column[str]] = MappingProxyType(
    {
        Level.PATIENT: patient.c.patient_id,
        Level.STUDY: study.c.study_uid,
        Level.SERIES: series.c.series_uid,
        Level.IMAGE: instance.c.sop_uid,
    }
)


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture."""

    body: bytes
    """JPEG."""
    etag: str


class Retrieve:
    """Reads what is kept, for one caller's scope at a time; safe to use from many threads."""

    def __init__(self, database: Database, holdings: Holdings, derive: Derive, guard: Guard) -> None:
        self._database = database
        self._holdings = holdings
        self._derive = derive
        self.guard = guard

    def instances(
        self, scope: Scope, *, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None
    ) -> tuple[StoredInstance, ...]:
        """Return the current instances of a study, series or one instance, by series and instance number.

        Raises
        ------
        NotFoundError
            Nothing is there for this caller.
        """
        wanted = _given(study_uid, series_uid, sop_uid)
        if not (found := self._instances(_instances_in(scope, frozenset(wanted)), wanted)):
            raise NotFoundError("no such study, series or instance")
        return found

    def by_keys(
        self, scope: Scope, keys: Mapping[Level, Sequence[str]], *, limit: int | None = None
    ) -> tuple[StoredInstance, ...]:
        """Return the current instances that have one of the unique keys of each level given, study by study.

        An empty Patient ID means the patients that have none.

        Raises
        ------
        CapacityError
            They are more than `limit`.
        """
        conditions = [_KEY_COLUMNS[level].in_(values) for level, values in keys.items()]
        source = SOURCE
        if Level.PATIENT in keys:
            source = SOURCE.join(patient, patient.c.id == study.c.patient_key)
            # The index is of lower case: searches do not mind it.
            conditions.append(patient.c.patient_id_lower.in_([value.lower() for value in keys[Level.PATIENT]]))
        statement = _current(source).where(*conditions, *_visible(scope))
        statement = statement.order_by(study.c.study_uid, *_ORDER)
        found = self._instances(statement if limit is None else statement.limit(limit + 1))
        if limit is not None and len(found) > limit:
            raise CapacityError(f"more than {limit} instances: ask for less")
        return found

    def opened(self, stored: StoredInstance) -> AbstractContextManager[ObjectReader]:
        """Open the stored file for ranged reads; errors as ``Holdings.open``."""
        return self._holdings.open(stored)

    def read(self, stored: StoredInstance, offset: int, length: int) -> bytes:
        """Return `length` bytes of the stored file from `offset`."""
        return self._holdings.read(stored, offset, length)

    def stream(self, stored: StoredInstance, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the bytes of the stored file in pieces of 1 MiB; the file's head is the gateway's own."""
        with self._holdings.open(stored) as reader:
            yield from reader.stream(offset, length, _CHUNK_BYTES)

    def plain(self, stored: StoredInstance) -> StoredInstance:
        """Return what ranges can be read of: the instance itself, or the inflated companion of a deflated one.

        Raises
        ------
        InvalidInstanceError
            It is deflated and cannot be inflated within its limits.
        CapacityError, UnavailableError
            Its companion cannot be made now.
        """
        return self._holdings.plain(stored)

    def header(self, stored: StoredInstance, *, defer: bool = False) -> Dataset:
        """Return the data set up to its pixel data; with `defer` without values longer than 64 KiB.

        Raises
        ------
        InvalidInstanceError
            It cannot be read.
        """
        with self._holdings.open(self.plain(stored)) as reader:
            return read_header(as_file(reader), defer=defer)

    def trailer(self, stored: StoredInstance, offset: int) -> Dataset:
        """Return the elements behind the pixel data, which ends at `offset`; errors as ``header``."""
        with self._holdings.open(stored) as reader:
            file = as_file(reader)
            file.seek(offset)
            return read_elements(file, stored.transfer_syntax_uid)

    def frame(self, stored: StoredInstance, index: int) -> bytes:
        """Return the stored bytes of one frame (0-based).

        Raises
        ------
        NotFoundError
            There is no such frame.
        UnsupportedSyntaxError
            The object's frames cannot be told apart.
        """
        stored = self.plain(stored)
        ranges = frame_ranges(stored, index)
        with self._holdings.open(stored) as reader:
            return b"".join(reader.read(offset, length) for offset, length in ranges)

    def frames(self, stored: StoredInstance, indices: list[int]) -> Iterator[bytes]:
        """Yield the stored bytes of several frames (0-based), the object opened once; errors as ``frame``."""
        stored = self.plain(stored)
        wanted = [tuple(frame_ranges(stored, index)) for index in indices]
        with self._holdings.open(stored) as reader:
            for ranges in wanted:
                yield b"".join(reader.read(offset, length) for offset, length in ranges)

    def video(self, stored: StoredInstance) -> Video | None:
        """Return the MP4 file that the pixel data of an object is, None where it is something else."""
        with self._holdings.open(stored) as reader:
            return find_video(reader, stored)

    def picture(
        self, stored: StoredInstance, indices: Sequence[int], view: View, state: StoredInstance | None = None
    ) -> bytes:
        """Return frames (0-based) of an image as a file, as they are or as the presentation state `state` has them.

        Raises
        ------
        InputError
            The view asks for a part that is not there.
        InvalidInstanceError
            The header or a frame is malformed, or cannot be worked on within the limits.
        NotFoundError
            There is no such frame.
        UnsupportedSyntaxError
            Pixels of this kind or in this transfer syntax cannot be shown, or not in this form.
        CapacityError
            Too many images are being worked on.
        """
        return self._derive.picture(stored, indices, view, state)

    def metadata(
        self, scope: Scope, *, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None
    ) -> tuple[MetadataBlob, ...]:
        """Return the metadata of each series of a study, of one series, or of one instance.

        Raises
        ------
        NotFoundError
            Nothing is there for this caller.
        """
        if sop_uid is not None:
            (stored,) = self.instances(scope, study_uid=study_uid, series_uid=series_uid, sop_uid=sop_uid)
            return (MetadataBlob.of(compress({sop_uid: self._instance_metadata(scope, stored)})),)
        rows = self._series(scope, study_uid, series_uid)
        return tuple(self._derive.metadata(row.id) for row in rows)

    def thumbnail(
        self, scope: Scope, *, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None
    ) -> Thumbnail:
        """Return the thumbnail of a study (of its first series that has one), a series or an instance.

        Raises
        ------
        NotFoundError
            Nothing is there for this caller, or no image.
        """
        if sop_uid is not None:
            (stored,) = self.instances(scope, study_uid=study_uid, series_uid=series_uid, sop_uid=sop_uid)
            return Thumbnail(self._derive.thumbnail(stored), stored.digest)
        for derived in self._series(scope, study_uid, series_uid):
            digest = derived.thumbnail_digest
            if digest is not None and (body := self._derive.kept_thumbnail(digest)) is not None:
                return Thumbnail(body, digest)
            if digest is None and derived.thumbnail_revision is not None:
                continue  # it was looked for, and there is none
            with suppress(NotFoundError):
                stored = self._representative(derived.id)
                return Thumbnail(self._derive.thumbnail(stored), stored.digest)
        raise NotFoundError("no image to show")

    def _instance_metadata(self, scope: Scope, stored: StoredInstance) -> bytes:
        (row,) = self._series(scope, stored.study_uid, stored.series_uid)
        kept = self._derive.kept_metadata(row.id)
        found = kept.find([stored.sop_uid]) if kept is not None else {}
        return found.get(stored.sop_uid) or self._derive.instance_metadata(stored)

    def representative(self, scope: Scope, *, study_uid: str, series_uid: str | None = None) -> StoredInstance:
        """Return the image that stands for a study or series: in the middle of the first series that has any.

        Raises
        ------
        NotFoundError
            Nothing is there for this caller, or no image.
        """
        for row in self._series(scope, study_uid, series_uid):
            with suppress(NotFoundError):
                return self._representative(row.id)
        raise NotFoundError("no image to show")

    def _representative(self, series_key: int) -> StoredInstance:
        stored = self._derive.representative(series_key)
        if stored is None:
            raise NotFoundError("the series has no image")
        return stored

    def _instances(
        self, statement: Select[*tuple[Any, ...]], wanted: Mapping[str, str] | None = None
    ) -> tuple[StoredInstance, ...]:
        with self._database.read() as connection:
            return tuple(stored_instance(row) for row in connection.execute(statement, wanted))

    def _series(self, scope: Scope, study_uid: str, series_uid: str | None) -> Sequence[Row[*tuple[Any, ...]]]:
        """Return the series of a study in their order, each with what is derived of it."""
        wanted = _given(study_uid, series_uid, None)
        with self._database.read() as connection:
            rows = connection.execute(_series_in(scope, frozenset(wanted)), wanted).all()
        if not rows:
            raise NotFoundError("no such study or series")
        return rows


def part10_head(stored: StoredInstance) -> bytes:
    """Return the head of a Part 10 file for somebody outside."""
    return encode_head(FileMeta(stored.sop_class_uid, stored.sop_uid, stored.transfer_syntax_uid))


def _current(source: FromClause) -> Select[*tuple[Any, ...]]:
    return select(*COLUMNS).select_from(source).where(instance.c.state == "current")


def _visible(scope: Scope) -> list[ColumnElement[bool]]:
    if scope.facilities is None:
        return []
    return [study.c.facility.in_(sorted(scope.facilities)) if scope.facilities else false()]


def _given(study_uid: str, series_uid: str | None, sop_uid: str | None) -> dict[str, str]:
    """Return the UIDs that are given, by the name of their level."""
    uids = {Level.STUDY: study_uid, Level.SERIES: series_uid, Level.IMAGE: sop_uid}
    return {level.name: uid for level, uid in uids.items() if uid is not None}


# Composing a statement takes longer than asking it: one is composed for each scope and depth.
@lru_cache(_N_STATEMENTS)
def _instances_in(scope: Scope, levels: frozenset[str]) -> Select[*tuple[Any, ...]]:
    statement = _current(SOURCE).where(*_within(scope, levels))
    return statement if Level.IMAGE.name in levels else statement.order_by(*_ORDER)


@lru_cache(_N_STATEMENTS)
def _series_in(scope: Scope, levels: frozenset[str]) -> Select[*tuple[Any, ...]]:
    return (
        select(series.c.id, series_derived.c.thumbnail_revision, series_derived.c.thumbnail_digest)
        .select_from(series.join(study, study.c.id == series.c.study_key))
        .join(series_derived, series_derived.c.series_key == series.c.id, isouter=True)
        .where(series.c.n_instances > 0, *_within(scope, levels))
        .order_by(func.coalesce(series.c.series_number, _LAST_NUMBER), series.c.series_uid)
    )


def _within(scope: Scope, levels: frozenset[str]) -> list[ColumnElement[bool]]:
    """Return what is visible in `scope` and has the UIDs that are given when the statement is executed."""
    return [*(_KEY_COLUMNS[Level[level]] == bindparam(level) for level in sorted(levels)), *_visible(scope)]
