"""Every file that pydicom ships goes in by C-STORE and by STOW-RS: stored, or refused with the right reason."""

import warnings
from collections.abc import Iterator
from io import BytesIO

import httpx
import pytest
from pydicom import dcmread

from tests.acceptance.pydicom_files import MENDED, REFUSED, Reason, Shipped, shipped_files
from tests.support import dicomweb
from tests.support.metadata_store import metadata, post, taken_apart
from tests.support.raw_sender import NOT_NEGOTIATED, RawSender, StoreAnswer
from tests.support.running_gateway import RunningGateway, running_gateway

SUCCESS, CANNOT_UNDERSTAND, DOES_NOT_MATCH = 0x0000, 0xC000, 0xA900
_UNFIT = (CANNOT_UNDERSTAND, DOES_NOT_MATCH)
_FAILED, _OTHER_FAILURES, _FAILURE_REASON = "00081198", "0008119A", "00081197"
_IMAGE = {"Accept": "image/png, image/jpeg, */*"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running_gateway(tmp_path_factory.mktemp("pydicom")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def files() -> list[Shipped]:
    return list(shipped_files())


def test_the_table_names_only_files_that_are_shipped(files: list[Shipped]) -> None:
    assert set(REFUSED) <= {file.name for file in files}
    assert len(files) > 200


def test_each_is_answered_rightly_and_nothing_falls_over(gateway: RunningGateway, files: list[Shipped]) -> None:
    before = gateway.children()

    with gateway.client() as client:
        wrong = {file.name: answer for file in files if (answer := _wrong_by_c_store(gateway, file))}
        wrong |= {f"{file.name} (STOW)": answer for file in files if (answer := _wrong_by_stow(client, file))}
        wrong |= {f"{file.name} (apart)": answer for file in files if (answer := _wrong_when_apart(client, file))}
        broken = list(_broken_answers(client))

    assert wrong == {}
    assert broken == []
    assert gateway.children() == before
    assert "Traceback" not in gateway.log.read_text(encoding="utf-8")


def _wrong_by_c_store(gateway: RunningGateway, file: Shipped) -> str:
    """Send a file by C-STORE; return what its answer was if it is not as expected."""
    with RawSender(
        gateway.dicom_port, sop_class_uid=file.sop_class_uid, transfer_syntax_uid=file.transfer_syntax_uid
    ) as sender:
        answer = sender.store(file.sop_uid, file.data_set)
    return "" if _is_expected(answer, REFUSED.get(file.name)) else repr(answer)


def _is_expected(answer: StoreAnswer, reason: Reason | None) -> bool:
    if reason is None:
        return answer == StoreAnswer(SUCCESS)
    if reason is Reason.NOT_STORAGE:
        return answer.status == NOT_NEGOTIATED
    return answer.status == CANNOT_UNDERSTAND and answer.comment.startswith(reason)


def _wrong_by_stow(client: httpx.Client, file: Shipped) -> str:
    """Send a file by STOW-RS; return what its answer was if it is not as expected."""
    answer = dicomweb.store(client, [file.content])
    failed = answer.json().get(_FAILED, {}).get("Value", []) + answer.json().get(_OTHER_FAILURES, {}).get("Value", [])
    reasons = [dicomweb.value(one, _FAILURE_REASON) for one in failed]
    is_stored = file.is_part10 and file.name not in REFUSED
    expected = (httpx.codes.OK, []) if is_stored else (httpx.codes.CONFLICT, [CANNOT_UNDERSTAND])
    return "" if (answer.status_code, reasons) == expected else f"{answer.status_code} {reasons}"


def _wrong_when_apart(client: httpx.Client, file: Shipped) -> str:
    """Send a file as metadata and bulk data; return what its answer was if it is not as expected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some are made to be warned about
        try:
            described, parts = taken_apart(dcmread(BytesIO(file.content), force=True))
        except (AttributeError, ValueError):  # pydicom can make no JSON of it: there is nothing to send
            return ""
    answer = post(client, [metadata(described), *parts])
    failed = answer.json().get(_FAILED, {}).get("Value", []) + answer.json().get(_OTHER_FAILURES, {}).get("Value", [])
    reasons = [dicomweb.value(one, _FAILURE_REASON) for one in failed]
    is_stored = file.name in MENDED or file.name not in REFUSED
    expected = [(httpx.codes.OK, [])] if is_stored else [(httpx.codes.CONFLICT, [one]) for one in _UNFIT]
    return "" if (answer.status_code, reasons) in expected else f"{answer.status_code} {reasons}"


def _broken_answers(client: httpx.Client) -> Iterator[str]:
    """Ask for everything that was stored in every form, and yield what is not answered in order."""
    for study in dicomweb.search(client, "/studies"):
        study_path = f"/studies/{dicomweb.value(study, '0020000D')}"
        yield from _broken(client, f"{study_path}/metadata", {})
        yield from _broken(client, study_path, dicomweb.AS_STORED)
        for instance in dicomweb.search(client, f"{study_path}/instances"):
            series_uid, sop_uid = dicomweb.value(instance, "0020000E"), dicomweb.value(instance, "00080018")
            path = f"{study_path}/series/{series_uid}/instances/{sop_uid}"
            for resource in ("", "/frames/1", "/rendered", "/thumbnail"):
                yield from _broken(client, path + resource, _IMAGE)


def _broken(client: httpx.Client, path: str, headers: dict[str, str]) -> Iterator[str]:
    try:
        status = client.get(f"/dicom-web{path}", headers=headers).status_code
    except httpx.RemoteProtocolError as error:
        yield f"{path}: {error}"
        return
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        yield f"{path}: {status}"
