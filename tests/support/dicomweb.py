"""DICOMweb spoken with plain HTTP: what a client library would tidy up stays visible."""

import secrets
from collections.abc import Iterable
from typing import Any

import httpx

from tests.support.synthetic_ct import data_set_of

AS_STORED = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
_PAGE = 500


def search(client: httpx.Client, path: str, **keys: str) -> list[dict[str, Any]]:
    """Return every result of a search below ``/dicom-web``, page by page."""
    results: list[dict[str, Any]] = []
    while True:
        answer = client.get(f"/dicom-web{path}", params={**keys, "limit": str(_PAGE), "offset": str(len(results))})
        assert answer.status_code == httpx.codes.OK, answer.text
        page = answer.json()
        results += page
        if len(page) < _PAGE:
            return results


def instance_uids(client: httpx.Client, study_uid: str) -> list[str]:
    """Return the SOP Instance UIDs of a study."""
    return [value(result, "00080018") for result in search(client, f"/studies/{study_uid}/instances")]


def value(result: dict[str, Any], tag: str) -> Any:
    """Return the first value of an element in DICOM JSON."""
    return result[tag]["Value"][0]


def retrieve(client: httpx.Client, path: str) -> list[bytes]:
    """Return the Part 10 files below ``/dicom-web``, as stored."""
    answer = client.get(f"/dicom-web{path}", headers=AS_STORED)
    assert answer.status_code == httpx.codes.OK, answer.text
    return parts(answer)


def data_sets(client: httpx.Client, study_uid: str) -> list[bytes]:
    """Return the encoded data sets of a study."""
    return [data_set_of(part) for part in retrieve(client, f"/studies/{study_uid}")]


def parts(answer: httpx.Response) -> list[bytes]:
    """Return the bodies of a multipart answer (RFC 2046 5.1)."""
    _, _, boundary = answer.headers["content-type"].partition("boundary=")
    delimiter = b"\r\n--" + boundary.split(";")[0].strip('" ').encode()
    opening, *bodies, closing = (b"\r\n" + answer.content).split(delimiter)
    assert opening.strip() == b""
    assert closing.startswith(b"--")
    return [body.partition(b"\r\n\r\n")[2] for body in bodies]


def store(client: httpx.Client, files: Iterable[bytes]) -> httpx.Response:
    """Send Part 10 files by STOW-RS and return the answer."""
    boundary = secrets.token_hex(16)
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = b"".join(head + file + b"\r\n" for file in files) + f"--{boundary}--\r\n".encode()
    kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
    return client.post("/dicom-web/studies", content=body, headers={"Content-Type": kind})
