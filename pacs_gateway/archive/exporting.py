"""Exporting studies as Part 10 files, into a folder or a ZIP archive."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from zipstream import ZIP_STORED, ZipStream

from pacs_gateway.access.policy import Scope
from pacs_gateway.archive.package import PackedFile, contents, name_files
from pacs_gateway.archive.retrieve import Retrieve
from pacs_gateway.archive.search import Search
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.query import Query
from pacs_gateway.errors import CapacityError, InvalidQueryError, NotFoundError


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

    def files(self, scope: Scope, study_uids: Iterable[str]) -> list[PackedFile]:
        """Return every instance of the studies as the file it becomes."""
        studies = (self._retrieve.instances(scope, study_uid=study_uid) for study_uid in study_uids)
        return name_files([(stored, stored.transfer_syntax_uid) for stored in found] for found in studies)

    def to_folder(self, files: Sequence[PackedFile], folder: Path, *, with_dicomdir: bool) -> Iterator[str]:
        """Write files below `folder`, never over one that is there; yield the name of each when it is written.

        Raises
        ------
        CapacityError
            The disk is full, or a file of that name is there.
        """
        for name, pieces in contents(self._retrieve, files, with_dicomdir=with_dicomdir):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("xb") as target:
                    target.writelines(pieces)
            except FileExistsError as error:
                raise CapacityError(f"{path} is there already; export into an empty folder") from error
            yield name

    def to_zip(self, files: Sequence[PackedFile], path: Path, *, with_dicomdir: bool) -> Iterator[str]:
        """Write files into a new ZIP archive; yield the name of each when it has been taken in.

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
            for name, pieces in contents(self._retrieve, files, with_dicomdir=with_dicomdir):
                archive.add(pieces, name)
                target.writelines(archive.all_files())
                yield name
            target.writelines(archive.finalize())
