"""Every file that pydicom ships goes in by C-STORE and by STOW-RS: stored, or refused with the right reason."""

import warnings
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx
import pytest
from pydicom import dcmread

from tests.acceptance.pydicom_files import MENDED, NOT_SHOWN, REFUSED, Reason, Shipped, Shown, shipped_files
from tests.support import dicomweb
from tests.support.metadata_store import metadata, post, taken_apart
from tests.support.raw_sender import NOT_NEGOTIATED, RawSender, StoreAnswer
from tests.support.running_gateway import RunningGateway, running_gateway

pytestmark = [pytest.mark.xdist_group("pydicom-files"), pytest.mark.timeout(600)]

SUCCESS, CANNOT_UNDERSTAND, DOES_NOT_MATCH = 0x0000, 0xC000, 0xA900
_UNFIT = (CANNOT_UNDERSTAND, DOES_NOT_MATCH)
_FAILED, _OTHER_FAILURES, _FAILURE_REASON = "00081198", "0008119A", "00081197"


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

    assert wrong == {}
    assert gateway.children() == before
    assert "Traceback" not in gateway.log.read_text(encoding="utf-8")


def test_each_leaves_in_every_form_that_it_can_have(gateway: RunningGateway, files: list[Shipped]) -> None:
    before = gateway.children()
    stored = [file.renamed(number) for number, file in enumerate(files) if file.is_stored]

    with gateway.client() as client:
        references = _references(dicomweb.store(client, [file.content for file in stored]))
        wrong = [one for file in stored for one in _wrong_forms(client, references[file.sop_uid], file)]

    assert wrong == []
    assert gateway.children() == before
    assert "request failed" not in gateway.log.read_text(encoding="utf-8")


def test_the_table_of_forms_names_only_files_with_pixels(files: list[Shipped]) -> None:
    assert set(NOT_SHOWN) <= {file.name for file in files if file.is_stored and file.n_frames}


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
    expected = (httpx.codes.OK, []) if file.is_stored else (httpx.codes.CONFLICT, [CANNOT_UNDERSTAND])
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


def _references(answer: httpx.Response) -> dict[str, str]:
    """Return the addresses of what was stored, by SOP Instance UID."""
    assert answer.status_code == httpx.codes.OK, answer.text
    stored = answer.json()["00081199"]["Value"]
    return {dicomweb.value(one, "00081155"): dicomweb.value(one, "00081190") for one in stored}


def _wrong_forms(client: httpx.Client, address: str, file: Shipped) -> Iterator[str]:
    """Ask for an object in every form; yield those that were not answered as they should be."""
    metadata = client.get(f"{address}/metadata")
    pixels = NOT_SHOWN.get(file.name, {}).get(Shown.DECODED, httpx.codes.OK)
    questions = [
        *((f"{address}{resource}", accept, httpx.codes.OK) for resource, accept in _FORMS),
        *(
            (uri, "*/*", pixels if uri.endswith(_PIXELS) else httpx.codes.OK)
            for uri in _bulk_data_uris(metadata.json()[0])
        ),
        *_about_pixels(address, file),
    ]
    for path, accept, expected in questions:
        try:
            status = client.get(path, headers={"Accept": accept}).status_code
        except httpx.RemoteProtocolError as error:
            yield f"{file.name}: {path} {accept}: {error}"
            continue
        if status != expected:
            yield f"{file.name}: {path} {accept}: {status}, not {expected}"


_PIXELS = "/bulkdata/7FE00010"
_FORMS = (
    ("/metadata", "application/dicom+json"),
    ("/metadata", 'multipart/related; type="application/dicom+xml"'),
    ("", 'multipart/related; type="application/dicom"; transfer-syntax=*'),
    ("", "application/zip"),
)
_FRAME = 'multipart/related; type="application/octet-stream"'


def _about_pixels(address: str, file: Shipped) -> Iterator[tuple[str, str, int]]:
    if not file.n_frames:
        yield address, "application/dicom", httpx.codes.OK
        yield f"{address}/frames/1", _FRAME, httpx.codes.NOT_FOUND
        yield f"{address}/thumbnail", "image/jpeg", httpx.codes.NOT_FOUND
        return
    unusual = NOT_SHOWN.get(file.name, {})
    for accept in ('multipart/related; type="application/dicom"', "application/dicom"):
        yield address, accept, unusual.get(Shown.OBJECT, httpx.codes.OK)
    for number in sorted({1, file.n_frames}):
        frame = f"{address}/frames/{number}"
        yield frame, f"{_FRAME}; transfer-syntax=*", unusual.get(Shown.STORED, httpx.codes.OK)
        yield frame, _FRAME, unusual.get(Shown.DECODED, httpx.codes.OK)
        yield f"{frame}/rendered", "image/png", unusual.get(Shown.RENDERED, httpx.codes.OK)
    yield f"{address}/rendered", "image/jpeg", unusual.get(Shown.RENDERED, httpx.codes.OK)
    yield f"{address}/thumbnail", "image/jpeg", unusual.get(Shown.THUMBNAIL, httpx.codes.OK)


def _bulk_data_uris(instance: dict[str, Any]) -> Iterator[str]:
    """Yield the addresses of all bulk data of an instance, those in sequences too."""
    for element in instance.values():
        if "BulkDataURI" in element:
            yield element["BulkDataURI"]
        if element["vr"] == "SQ":
            for item in element.get("Value", ()):
                yield from _bulk_data_uris(item)
