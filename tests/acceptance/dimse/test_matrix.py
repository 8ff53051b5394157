"""Every client that was tried against C-ECHO, C-STORE and C-FIND: it is answered, and the content is right."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from pydicom.uid import UID

from tests.acceptance.dimse.clients import assert_same, rows
from tests.acceptance.dimse.conftest import STUDY, are_found, by_folder
from tests.acceptance.samples import SampleFile, sample_file
from tests.support import dicomweb
from tests.support.clients.client import Client
from tests.support.synthetic_ct import new_uid
from tests.support.waiting import wait_until

pytestmark = pytest.mark.xdist_group("dimse-matrix")

_FOUND_DEADLINE_S = 30.0


@pytest.mark.parametrize("caller", rows("dcmtk", "odil", "dcmjs-dimse", "orthanc"), indirect=True)
def test_an_echo_is_answered(caller: Client) -> None:
    caller.echo()


@pytest.mark.parametrize("caller", rows("dcmtk", "dcmsend", "odil", "dcmjs-dimse", "orthanc"), indirect=True)
def test_what_is_stored_comes_back_with_the_same_values_and_pixels(
    caller: Client, client: httpx.Client, tmp_path: Path, samples: list[SampleFile]
) -> None:
    sent = copies(by_folder(samples, "ct", "dx", "us", "ct-sr"), tmp_path)

    caller.store([file.path for file in sent])

    wait_until(lambda: are_found(client, sent), _FOUND_DEADLINE_S, "all to be found")
    for file in sent:
        (content,) = dicomweb.retrieve(client, file.url_path)
        assert_same(caller, file, dcmread(BytesIO(content)))


@pytest.mark.parametrize("caller", rows("dcmtk", "odil", "dcmjs-dimse", "orthanc"), indirect=True)
def test_a_study_is_found_by_an_accented_name(caller: Client, samples: list[SampleFile]) -> None:
    study = by_folder(samples, *STUDY)
    keys = {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientName": "*Trần*",
        "StudyInstanceUID": study[0].study_uid,
        "ModalitiesInStudy": "",
        "NumberOfStudyRelatedInstances": "",
    }

    (found,) = caller.find("STUDY", keys)

    assert found["StudyInstanceUID"] == study[0].study_uid
    assert found["PatientName"] == "Trần^Văn^An"
    assert set(found["ModalitiesInStudy"].split("\\")) == {"CT", "DOC", "SEG", "SR"}
    assert found["NumberOfStudyRelatedInstances"] == str(len(study))


@pytest.mark.parametrize("caller", rows("dcmtk", "odil", "dcmjs-dimse", "orthanc"), indirect=True)
def test_series_and_instances_are_found(caller: Client, samples: list[SampleFile]) -> None:
    study, images = by_folder(samples, *STUDY), by_folder(samples, "ct")
    of_series = {"StudyInstanceUID": study[0].study_uid, "SeriesInstanceUID": images[0].series_uid}

    series = caller.find("SERIES", {"StudyInstanceUID": study[0].study_uid, "SeriesInstanceUID": "", "Modality": ""})
    instances = caller.find("IMAGE", {**of_series, "SOPInstanceUID": "", "InstanceNumber": ""})

    assert {one["SeriesInstanceUID"] for one in series} == {file.series_uid for file in study}
    assert {one["Modality"] for one in series} == {"CT", "DOC", "SEG", "SR"}
    numbers = {one["SOPInstanceUID"]: int(one["InstanceNumber"]) for one in instances}
    assert numbers == {file.sop_uid: dcmread(file.path).InstanceNumber for file in images}


def copies(files: Sequence[SampleFile], folder: Path) -> list[SampleFile]:
    """Return the same objects under UIDs of their own."""
    made, studies = [], {file.study_uid: UID(new_uid()) for file in files}
    for number, file in enumerate(files):
        ds = dcmread(file.path)
        ds.StudyInstanceUID, ds.SeriesInstanceUID = studies[file.study_uid], UID(new_uid())
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(new_uid())
        ds.save_as(folder / f"{number}.dcm", enforce_file_format=True)
        made.append(sample_file(folder / f"{number}.dcm"))
    return made
