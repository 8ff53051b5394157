"""Another archive asks the gateway to take over (PS3.4 Annex J)."""

import pytest
from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage

from tests.acceptance.dimse.conftest import by_folder
from tests.acceptance.samples import SampleFile
from tests.support.orthanc import Orthanc
from tests.support.synthetic_ct import new_uid

pytestmark = [pytest.mark.xdist_group("dimse-matrix"), pytest.mark.peer("orthanc")]

_NO_SUCH_INSTANCE = 0x0112
_CLASS_CONFLICT = 0x0119


def test_orthanc_is_told_that_everything_is_kept(orthanc_archive: Orthanc, samples: list[SampleFile]) -> None:
    asked = [(file.sop_class_uid, file.sop_uid) for file in samples]

    report = orthanc_archive.request_commitment(asked)

    assert report["Status"] == "Success"
    assert {one["SOPInstanceUID"] for one in report["Success"]} == {file.sop_uid for file in samples}


def test_orthanc_is_told_what_is_not_kept_and_why(orthanc_archive: Orthanc, samples: list[SampleFile]) -> None:
    kept, other = by_folder(samples, "ct")[:2]
    unknown = new_uid()
    asked = [
        (kept.sop_class_uid, kept.sop_uid),
        (CTImageStorage, unknown),
        (SecondaryCaptureImageStorage, other.sop_uid),
    ]

    report = orthanc_archive.request_commitment(asked)

    assert report["Status"] == "Failure"
    assert [one["SOPInstanceUID"] for one in report["Success"]] == [kept.sop_uid]
    reasons = {one["SOPInstanceUID"]: one["FailureReason"] for one in report["Failures"]}
    assert reasons == {unknown: _NO_SUCH_INSTANCE, other.sop_uid: _CLASS_CONFLICT}
