"""A DICOM file that is something else as well, or holds a document that acts, leaves as neither (promises B11)."""

import zipfile
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from pydicom.uid import (
    UID,
    EncapsulatedCDAStorage,
    EncapsulatedMTLStorage,
    EncapsulatedOBJStorage,
    EncapsulatedPDFStorage,
    EncapsulatedSTLStorage,
)

from tests.support import dicomweb
from tests.support.builders import Identity, dataset, image, part10, uid
from tests.support.running_gateway import RunningGateway, running_gateway

pytestmark = pytest.mark.xdist_group("polyglots")

_STUDY, _DOCUMENTS = 90, 91
_PREAMBLES: Mapping[str, bytes] = {
    "PE": b"MZ\x90\0" + bytes(56) + b"\x80\0\0\0",
    "PE of 64 bits": b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0d\x86",
    "ELF": b"\x7fELF\2\1\1" + bytes(9) + b"\2\0\x3e\0",
    "ELF of 32 bits": b"\x7fELF\1\1\1",
    "Mach-O": b"\xcf\xfa\xed\xfe\7\0\0\1",
    "Java": b"\xca\xfe\xba\xbe\0\0\0\x34",
    "WebAssembly": b"\0asm\1\0\0\0",
    "shell script": b"#!/bin/sh\nid > /tmp/owned\nexit 0\n",
    "Python script": b"#!/usr/bin/env python3\nimport os;os.system('id')\n'''",
    "batch file": b"@echo off\r\ncalc.exe\r\nexit\r\n",
    "HTML": b"<!DOCTYPE html><script>alert(document.domain)</script><!--",
    "HTML behind a byte order mark": b"\xef\xbb\xbf<html onload=alert(1)><!--",
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "XML": b"<?xml version='1.0'?><?xml-stylesheet href='//127.0.0.1/x.xsl'?>",
    "PHP": b"<?php system($_GET['c']); __halt_compiler();",
    "PDF": b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>",
    "TIFF": b"II*\0\x08\0\0\0",
    "TIFF, big endian": b"MM\0*\0\0\0\x08",
    "ZIP": b"PK\3\4\x14\0\0\0\0\0",
    "GIF": b"GIF89a/*\1\0\1\0*/=alert(1);//",
}
_ACTIVE_TYPES = ("text/", "application/xhtml", "application/xml", "image/svg", "application/javascript", "model/")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with polyglots in it: half of them sent by STOW-RS, half imported."""
    folder = tmp_path_factory.mktemp("polyglots")
    with running_gateway(folder, {"PACS_AUTH": "off", "PACS_DICOM_WORKERS": "1"}) as gateway:
        files = [_polyglot(number, preamble) for number, preamble in enumerate(_PREAMBLES.values(), 1)]
        (imports := folder / "imports").mkdir()
        for number, file in enumerate(files[::2]):
            (imports / f"{number}.dcm").write_bytes(file)
        gateway.must("import", str(imports))
        with gateway.client() as client:
            assert dicomweb.store(client, files[1::2]).status_code == httpx.codes.OK
        yield gateway


@pytest.fixture(scope="module")
def client(gateway: RunningGateway) -> Iterator[httpx.Client]:
    with gateway.client() as client:
        yield client


def _polyglot(number: int, preamble: bytes) -> bytes:
    file = part10(image(Identity(study=_STUDY, instance=number)))
    return preamble.ljust(128, b"\0") + file[128:]


def test_there_are_as_many_as_promised() -> None:
    assert len(_PREAMBLES) == 20
    assert max(map(len, _PREAMBLES.values())) <= 128


def _by_study(gateway: RunningGateway, client: httpx.Client, folder: Path) -> list[bytes]:
    return dicomweb.retrieve(client, f"/studies/{uid(_STUDY)}")


def _by_instance(gateway: RunningGateway, client: httpx.Client, folder: Path) -> list[bytes]:
    path = f"/dicom-web/studies/{uid(_STUDY)}/series/{uid(_STUDY, 1)}/instances/"
    numbers = range(1, len(_PREAMBLES) + 1)
    answers = [client.get(path + uid(_STUDY, 1, n), headers={"Accept": "application/dicom"}) for n in numbers]
    assert {answer.headers["content-disposition"].split(";")[0] for answer in answers} == {"attachment"}
    return [answer.content for answer in answers]


def _by_export(gateway: RunningGateway, client: httpx.Client, folder: Path) -> list[bytes]:
    gateway.must("export", "--study", uid(_STUDY), "-o", str(folder / "exported"))
    return [path.read_bytes() for path in (folder / "exported").rglob("IM*") if path.is_file()]


def _by_exported_zip(gateway: RunningGateway, client: httpx.Client, folder: Path) -> list[bytes]:
    gateway.must("export", "--study", uid(_STUDY), "-o", str(folder / "exported.zip"))
    return _files_of((folder / "exported.zip").read_bytes())


def _files_of(archive: bytes) -> list[bytes]:
    with zipfile.ZipFile(BytesIO(archive)) as opened:
        return [opened.read(name) for name in opened.namelist() if not name.upper().endswith("DICOMDIR")]


def _by_zip(gateway: RunningGateway, client: httpx.Client, folder: Path) -> list[bytes]:
    answer = client.get(f"/dicom-web/studies/{uid(_STUDY)}", headers={"Accept": "application/zip"})
    assert answer.headers["content-disposition"].startswith("attachment")
    return _files_of(answer.content)


def _on_disk(gateway: RunningGateway, client: httpx.Client, folder: Path) -> list[bytes]:
    kept = [path.read_bytes() for path in [*gateway.objects(), *gateway.spooled()]]
    return [file for file in kept if f"{uid(_STUDY)}\0".encode() in file or f"{uid(_STUDY)}.".encode() in file]


Way = Callable[[RunningGateway, httpx.Client, Path], list[bytes]]
WAYS: tuple[Way, ...] = (_by_study, _by_instance, _by_export, _by_exported_zip, _by_zip, _on_disk)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
def test_the_preamble_is_zeros_by_every_way_out(
    gateway: RunningGateway, client: httpx.Client, tmp_path: Path, way: Way
) -> None:
    files = way(gateway, client, tmp_path)
    assert len(files) == len(_PREAMBLES)
    for file in files:
        assert file[:132] == bytes(128) + b"DICM"


_SCRIPT = b"<script>fetch('/dicom-web/studies').then(r => r.text()).then(t => parent.postMessage(t, '*'))</script>"
_DOCUMENTS_BY_CLASS: Mapping[UID, tuple[str, bytes]] = {
    EncapsulatedPDFStorage: ("application/pdf", b"%PDF-1.4\n1 0 obj<</S/JavaScript/JS(app.alert(1))>>endobj\n%%EOF\n"),
    EncapsulatedCDAStorage: (
        "text/XML",
        b"<?xml version='1.0'?><?xml-stylesheet type='text/xsl' href='data:,'?><ClinicalDocument>"
        + _SCRIPT
        + b"</ClinicalDocument>",
    ),
    EncapsulatedSTLStorage: ("model/stl", b"solid " + _SCRIPT),
    EncapsulatedOBJStorage: ("model/obj", b"# " + _SCRIPT),
    EncapsulatedMTLStorage: ("model/mtl", b"# " + _SCRIPT),
}


def _document(number: int, sop_class: UID, media_type: str, content: bytes) -> bytes:
    ds = dataset(Identity(study=_DOCUMENTS, series=number))
    ds.SOPClassUID, ds.Modality, ds.DocumentTitle = sop_class, "DOC", "Báo cáo"
    ds.MIMETypeOfEncapsulatedDocument = media_type
    ds.EncapsulatedDocument = content + b" " * (len(content) % 2)
    return part10(ds)


@pytest.fixture(scope="module")
def documents(client: httpx.Client) -> list[str]:
    """Documents that would act if a browser showed them, and some that lie about what they are; their addresses."""
    rows = [(sop_class, kind, content) for sop_class, (kind, content) in _DOCUMENTS_BY_CLASS.items()]
    rows += [(EncapsulatedPDFStorage, kind, b"<html>" + _SCRIPT) for kind in ("application/pdf", "text/html")]
    rows += [(EncapsulatedPDFStorage, "text/html", rows[0][2]), (EncapsulatedCDAStorage, "text/html", _SCRIPT)]
    assert dicomweb.store(client, [_document(n, *row) for n, row in enumerate(rows)]).status_code == httpx.codes.OK
    study = f"/dicom-web/studies/{uid(_DOCUMENTS)}"
    return [f"{study}/series/{uid(_DOCUMENTS, n)}/instances/{uid(_DOCUMENTS, n, 1)}" for n in range(len(rows))]


_ACCEPTS = (
    "*/*",
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8",
    "text/html",
    "text/xml",
    "application/pdf",
    "model/stl",
    "application/octet-stream",
    "application/dicom",
)


def test_no_document_acts_in_a_browser(client: httpx.Client, documents: list[str]) -> None:
    shown = 0
    for path in documents:
        for resource in ("", "/rendered", "/thumbnail", "/bulkdata/00420011", "/metadata"):
            for accept in _ACCEPTS:
                answer = client.get(path + resource, headers={"Accept": accept})
                assert answer.status_code < 500, (path, resource, accept)
                assert_harmless(answer)
                shown += answer.status_code == 200 and "inline" in answer.headers.get("content-disposition", "")
    # One real PDF is shown, and nothing that only says it is one.
    assert shown > 0


def assert_harmless(answer: httpx.Response) -> None:
    """Nothing in an answer is run by a browser that opens it."""
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    kind = answer.headers.get("content-type", "")
    is_ours = kind.startswith(("application/dicom+", "application/problem+json", "application/json", "image/"))
    is_attachment = answer.headers.get("content-disposition", "").startswith("attachment")
    is_document = kind == "application/pdf" and answer.content.startswith(b"%PDF-") and "frame-ancestors" in policy
    assert is_ours or is_attachment or is_document, (kind, answer.headers.get("content-disposition"))
    # What could act where a browser shows it all the same does so nowhere.
    assert not kind.startswith(_ACTIVE_TYPES) or (is_attachment and policy.startswith("sandbox;")), kind
