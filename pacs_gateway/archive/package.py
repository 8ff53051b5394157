"""Objects as one ZIP archive, streamed: stored and not deflated, as images are compressed already or not worth it.

File names are counted and never received text (promises B5): components of at most eight capitals and digits, as every
medium takes them (PS3.10 8.2 and 8.5). The archive's length is known before it leaves where that of every file is.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from zipstream import ZIP_STORED, ZipStream

from pacs_gateway.archive.dicomdir import FILE_NAME, DicomDir
from pacs_gateway.archive.egress import Payload
from pacs_gateway.archive.part10_file import part10, part10_length
from pacs_gateway.archive.retrieve import Retrieve
from pacs_gateway.archive.stored import StoredInstance


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A file of a package."""

    name: str
    instance: StoredInstance
    transfer_syntax_uid: str
    """In which it is, or is to be, written."""


def name_files(studies: Iterable[Iterable[tuple[StoredInstance, str]]]) -> list[PackedFile]:
    """Return the files that instances, each with a transfer syntax, become: ``study/series/number``, from 1."""
    files = []
    for n_study, instances in enumerate(studies, 1):
        series: dict[str, int] = {}
        for n, (instance, syntax) in enumerate(instances, 1):
            n_series = series.setdefault(instance.series_uid, len(series) + 1)
            files.append(PackedFile(f"ST{n_study:06d}/SE{n_series:06d}/IM{n:06d}", instance, syntax))
    return files


def contents(
    retrieve: Retrieve, files: Sequence[PackedFile], *, with_dicomdir: bool
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield the name and the bytes of each file, nothing of which is read before it is asked for; the DICOMDIR last."""
    for file in files:
        yield file.name, _part10(retrieve, file)
    if with_dicomdir:
        yield FILE_NAME, _dicomdir(retrieve, files)


def zip_archive(retrieve: Retrieve, files: Sequence[PackedFile], *, with_dicomdir: bool) -> Payload:
    """Return a ZIP archive of `files`; with a DICOMDIR its length is not known before."""
    lengths = [part10_length(file.instance, file.transfer_syntax_uid) for file in files]
    is_sized = not with_dicomdir and None not in lengths
    archive = ZipStream(compress_type=ZIP_STORED, sized=is_sized)
    for (name, pieces), length in zip_longest(contents(retrieve, files, with_dicomdir=with_dicomdir), lengths):
        archive.add(pieces, name, size=length)
    return Payload(iter(archive), len(archive) if is_sized else None)


def _dicomdir(retrieve: Retrieve, files: Iterable[PackedFile]) -> Iterator[bytes]:
    directory = DicomDir()
    for file in files:
        header = retrieve.header(file.instance, defer=True)
        directory.add(file.name, file.instance, header, file.transfer_syntax_uid)
    yield directory.encode()


def _part10(retrieve: Retrieve, file: PackedFile) -> Iterator[bytes]:
    yield from part10(retrieve, file.instance, file.transfer_syntax_uid).pieces
