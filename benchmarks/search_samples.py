"""One small object for each study of a synthetic index, for those who can only be given objects."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from benchmarks.synthetic_index import EDITION, Study

_PER_FOLDER = 1000


def prepare_studies(cache: Path, studies: Iterable[Study], n_studies: int) -> Path:
    """Return the folder of the objects, written now unless the cache has them."""
    folder = cache / f"search-samples-{n_studies}-{EDITION}"
    if not folder.is_dir():
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        for one in studies:
            place = unfinished / f"{one.number // _PER_FOLDER:04d}"
            place.mkdir(parents=True, exist_ok=True)
            _object(one).save_as(place / f"{one.number}.dcm", enforce_file_format=True)
        unfinished.rename(folder)
    return folder


def _object(one: Study) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = one.examination.sop_class_uid, f"{one.uid}.1.1"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = one.uid, f"{one.uid}.1"
    ds.PatientName, ds.PatientID, ds.AccessionNumber = one.person.name, one.person.patient_id, one.accession_number
    ds.PatientBirthDate, ds.PatientSex = one.person.birth_date, one.person.sex
    ds.StudyDate, ds.StudyTime, ds.Modality = one.date, f"{one.taken_at:%H%M%S}", one.examination.modality
    ds.StudyDescription, ds.StudyID = one.examination.description, str(one.number)
    ds.SeriesNumber = ds.InstanceNumber = 1
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ds
