"""Exporting studies as Part 10 files, into a folder or a ZIP archive."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from zipstream import ZIP_STORED, ZipStream

from pacs_gateway.access.policy import Scope
from pacs_gateway.archive.retrieve import Retrieve
from pacs_gateway.archive.search import Search
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.query import Query
from pacs_gateway.errors import CapacityError, InvalidQueryError, NotFoundError


@dataclass(frozen=True, slots=True)
class Exported:
    """One written file."""

    name: str
    stored: StoredInstance


class Export:
    """Writes what is kept out of the gateway."""

    def __init__(self, search: Search, retrieve: Retrieve) -> None:
        self._search = search
        self._retrieve = retrieve

    def studies_of(self, scope: Scope, patient_id: str) -> list[str]:
        """Return the UIDs of a patient's studies.

        Raises
        ------
        NotFoundError
            No study has this PatientID.
        InvalidQueryError
            The ID is empty or a pattern.
        """
        if not patient_id.strip() or any(wildcard in patient_id for wildcard in "*?"):
            raise InvalidQueryError("give a whole PatientID")
        query = Query.build(Level.STUDY, {"PatientID": patient_id}, case_sensitive=True)
        uids = [match.values["StudyInstanceUID"] for match in self._search.find(query, scope).matches]
        if not uids:
            raise NotFoundError("no study of this patient")
        return uids

    def instances(self, scope: Scope, study_uids: Iterable[str]) -> list[Exported]:
        """Return every instance of the studies with the name it gets: ``study/series/number.dcm``, counted from 1."""
        files = []
        for n_study, study_uid in enumerate(study_uids, 1):
            series_uids: dict[str, int] = {}
            for n, stored in enumerate(self._retrieve.instances(scope, study_uid=study_uid), 1):
                n_series = series_uids.setdefault(stored.series_uid, len(series_uids) + 1)
                # File IDs that every medium takes: eight characters, upper case (PS3.10 8.5).
                files.append(Exported(f"ST{n_study:06d}/SE{n_series:06d}/IM{n:06d}", stored))
        return files

    def to_folder(self, files: Iterable[Exported], folder: Path) -> Iterator[Exported]:
        """Write files below `folder`, never over one that is there; yield each when it is written.

        Raises
        ------
        CapacityError
            The disk is full, or a file of that name is there.
        """
        for file in files:
            path = folder / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("xb") as target:
                    for chunk in self._retrieve.part10(file.stored):
                        target.write(chunk)
            except FileExistsError as error:
                raise CapacityError(f"{path} is there already; export into an empty folder") from error
            yield file

    def to_zip(self, files: Iterable[Exported], path: Path) -> Iterator[Exported]:
        """Write files into a new ZIP archive; yield each when it has been taken in.

        Raises
        ------
        CapacityError
            A file of that name is there.
        """
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        except FileExistsError as error:
            raise CapacityError(f"{path} is there already") from error
        with os.fdopen(descriptor, "wb") as target:
            archive = ZipStream(compress_type=ZIP_STORED)
            for file in files:
                archive.add(self._retrieve.part10(file.stored), file.name)
                target.writelines(archive.all_files())
                yield file
            target.writelines(archive.finalize())
