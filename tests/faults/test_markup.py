"""Markup in what devices and people send is text on every page and in every answer, never markup (promises B12)."""

import shutil
import struct
from collections.abc import Iterator, Mapping, Sequence
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import httpx
import pytest
from playwright.sync_api import Dialog, sync_playwright
from pydicom.dataset import Dataset

from pacs_gateway.domain.attributes import ATTRIBUTES, Attribute
from tests.support import dicomweb
from tests.support.builders import Identity, encode, image, part10, report, uid
from tests.support.running_gateway import RunningGateway, running_gateway

pytestmark = pytest.mark.xdist_group("markup")

CHROMIUM = shutil.which("chromium")
PAYLOADS = (
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//127.0.0.1:9/x.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=x onerror=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "'><img src=x onerror=alert(1)>",
    "<img src=`x`onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg/onload=alert(1)//",
    "<svg><script>alert(1)</script></svg>",
    "<body onload=alert(1)>",
    "<iframe src=javascript:alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<object data=javascript:alert(1)>",
    "<embed src=javascript:alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "<a href=' &#x6a;avascript:alert(1)'>x</a>",
    "<form action=javascript:alert(1)><button>x",
    "<button formaction=javascript:alert(1)>x",
    "<base href=//127.0.0.1:9/>",
    "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<link rel=stylesheet href=//127.0.0.1:9/x.css>",
    "<style>*{background:url(//127.0.0.1:9/)}</style>",
    "<math><mi xlink:href='javascript:alert(1)'>x",
    "<details open ontoggle=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<video><source onerror=alert(1)>",
    "<template><script>alert(1)</script></template>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "--><script>alert(1)</script><!--",
    "]]><script>alert(1)</script><![CDATA[",
    "' onmouseover='alert(1)",
    '" autofocus onfocus="alert(1)',
    "javascript:alert(1)",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "{{ 7*7 }}{% for x in ().__class__ %}",
    "${alert(1)}`+alert(1)+`",
)
_HARMLESS = "harmless"
_ACTIVE = {"script", "svg", "object", "embed", "iframe", "base", "style", "math", "meta", "link", "form", "video"}
_TEXTS = frozenset({"PN", "LO", "SH", "CS", "AS", "DA", "TM", "IS"})
_SEEN_BY_INDEX = tuple(one for one in ATTRIBUTES if one.column and (one.vr in _TEXTS or one.items))

Node = tuple[str, tuple[str, ...]]


class _Nodes(HTMLParser):
    """Collects the elements of a page with the names of their attributes, in order, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.nodes.append((tag, tuple(name for name, _ in attrs)))
        for name, value in attrs:
            if name in ("href", "src", "action", "formaction"):
                address = (value or "").strip().lower()
                assert address == "" or address.startswith(("/", "?", "#")), address

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def _nodes(html: str) -> _Nodes:
    parser = _Nodes()
    parser.feed(html)
    parser.close()
    return parser


def _element(tag: int, vr: str, value: bytes) -> bytes:
    """Return an element in explicit little endian (PS3.5 7.1.2); its value is as it is given, whatever `vr` allows."""
    value += b" " * (len(value) % 2)
    long = struct.pack("<HL", 0, len(value)) if vr == "SQ" else struct.pack("<H", len(value))
    return struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode()) + long + value


def _with_text(study: int, text: str) -> bytes:
    """Return an object that says `text` in everything the index knows and that is text."""
    ds = image(Identity(study=study))
    # A number of one's own, so that nobody's studies are a single patient's.
    said = text.encode()
    encoded = {0x00100020: _element(0x00100020, "LO", said + str(study).encode())}
    for one in _SEEN_BY_INDEX:
        if one.items:
            item = b"".join(_element(inner.tag, inner.vr, said) for inner in sorted(one.items, key=lambda i: i.tag))
            item = struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item
            encoded[one.tag] = _element(one.tag, "SQ", item)
        elif one.tag not in encoded:
            encoded[one.tag] = _element(one.tag, one.vr, said)
    for element in ds:
        if element.tag not in encoded:
            alone = Dataset()
            alone.add(element)
            encoded[element.tag] = encode(alone)
    return part10(ds, encoded=b"".join(encoded[tag] for tag in sorted(encoded)))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with a study for every payload, and study 0 that says something harmless instead."""
    settings = {"PACS_AUTH": "off", "PACS_DICOM_WORKERS": "1"}
    with running_gateway(tmp_path_factory.mktemp("markup"), settings) as gateway, gateway.client() as client:
        files = [_with_text(study, text) for study, text in enumerate((_HARMLESS, *PAYLOADS))]
        answer = dicomweb.store(client, files)
        assert answer.status_code == httpx.codes.OK, answer.text
        yield gateway


@pytest.fixture(scope="module")
def client(gateway: RunningGateway) -> Iterator[httpx.Client]:
    with gateway.client() as client:
        yield client


def test_there_are_as_many_as_promised() -> None:
    assert len(set(PAYLOADS)) == 40
    assert len(_SEEN_BY_INDEX) > 25


def assert_strict(page: httpx.Response) -> None:
    """The page forbids everything that is not its own."""
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["content-type"] == "text/html; charset=utf-8"


def test_the_page_of_a_study_has_the_same_elements_whatever_the_study_says(client: httpx.Client) -> None:
    expected = _nodes(client.get(f"/studies/{uid(0)}").text)
    assert any(_HARMLESS in text for text in expected.texts)
    for study, payload in enumerate(PAYLOADS, 1):
        page = client.get(f"/studies/{uid(study)}")
        found = _nodes(page.text)
        assert_strict(page)
        assert found.nodes == expected.nodes, payload
        assert any(payload[:16] in text for text in found.texts), payload


@pytest.mark.parametrize("address", ["/", "/list"])
def test_the_list_has_the_same_elements_in_every_row(client: httpx.Client, address: str) -> None:
    for number in (1, 2):
        page = client.get(address, params={"page": str(number)})
        assert_strict(page)
        rows: list[list[Node]] = []
        for tag, names in _nodes(page.text).nodes:
            if tag == "li" and "data-study" in names:
                rows.append([])
            if rows and tag in ("li", "span", "small", "a", "b", "img"):
                rows[-1].append((tag, names))
        assert len(rows) > 10
        # Behind the last row comes what ends the page.
        assert {tuple(row) for row in rows[:-1]} == {tuple(rows[0])}


@pytest.mark.parametrize("field", ["name", "id", "from", "to", "modality", "page", "lang", "next", "x"])
def test_what_is_typed_into_any_field_is_text(client: httpx.Client, field: str) -> None:
    usual = set(_nodes(client.get("/", params={field: "zzzz-nobody"}).text).nodes)
    for payload in PAYLOADS:
        page = client.get("/", params={field: payload})
        assert_strict(page)
        found = set(_nodes(page.text).nodes)
        # A search that finds something shows rows; nothing but rows, links and pictures is new.
        assert {tag for tag, _ in found - usual} & _ACTIVE == set(), payload
        assert not any(name.startswith("on") or name == "style" for _, names in found for name in names), payload


def test_pages_that_are_not_there_repeat_nothing(client: httpx.Client) -> None:
    for payload in PAYLOADS:
        for address in (
            f"/{quote(payload, safe='')}",
            f"/studies/{quote(payload, safe='')}",
            f"/static/{quote(payload)}",
        ):
            answer = client.get(address)
            assert answer.status_code in (307, 400, 404, 405), address
            assert "alert" not in answer.text, address
            assert "location" not in answer.headers or answer.headers["location"].startswith(
                ("/", str(client.base_url))
            )


def _values(results: list[dict[str, Any]], attribute: Attribute) -> list[Any]:
    return [value for one in results for value in one.get(attribute.hex, {}).get("Value", [])]


def test_answers_for_programs_say_that_they_are_no_pages(client: httpx.Client) -> None:
    path = f"/dicom-web/studies/{uid(1)}"
    for resource in (
        "/dicom-web/studies?includefield=all",
        "/dicom-web/series?includefield=all",
        "/dicom-web/instances?includefield=all",
        f"{path}/metadata",
        f"/api/v1/studies/{uid(1)}/series/{uid(1, 1)}/pictures",
        f"/dicom-web/studies?PatientName={quote(PAYLOADS[0])}",
        f"/dicom-web/studies?{quote(PAYLOADS[0])}=1",
        f"/dicom-web/studies/{quote(PAYLOADS[0], safe='')}",
    ):
        answer = client.get(resource)
        kind = answer.headers["content-type"]
        assert kind in ("application/dicom+json", "application/json", "application/problem+json"), resource
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        if answer.is_error:
            assert "alert" not in answer.text
    found = client.get("/dicom-web/studies", params={"includefield": "all", "limit": "100"}).json()
    texts = [one for one in ATTRIBUTES if one.keyword in ("StudyDescription", "AccessionNumber")]
    for attribute in texts:
        assert set(PAYLOADS) <= set(_values(found, attribute)), attribute.keyword


_XML: Mapping[str, str] = {"Accept": 'multipart/related; type="application/dicom+xml"'}


@pytest.mark.parametrize("resource", ["/studies?includefield=all&limit=100", "/studies/{study}/metadata"])
def test_text_is_text_in_xml(client: httpx.Client, resource: str) -> None:
    for study, payload in list(enumerate(PAYLOADS, 1))[:: 1 if "{study}" in resource else 40]:
        answer = client.get(f"/dicom-web{resource.format(study=uid(study))}", headers=_XML)
        assert answer.status_code == httpx.codes.OK, resource
        texts = set()
        for part in dicomweb.parts(answer):
            for element in ElementTree.fromstring(part).iter():  # our own answer
                assert element.tag.rpartition("}")[2] in _ELEMENTS, element.tag
                texts.add(element.text)
        assert payload in texts


_ELEMENTS = {"NativeDicomModel", "DicomAttribute", "Value", "Item", "PersonName", "BulkData", "InlineBinary"}
_ELEMENTS |= {"Alphabetic", "Ideographic", "Phonetic", "FamilyName", "GivenName", "MiddleName"}
_ELEMENTS |= {"NamePrefix", "NameSuffix"}
"""Of the Native DICOM Model (PS3.19 A.1)."""


def _report(study: int, texts: Sequence[str]) -> bytes:
    """Return a report whose texts, names of concepts and persons are these."""
    ds = report(Identity(study=study))
    ds.ContentSequence = []
    for text in texts:
        name, item = Dataset(), Dataset()
        name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = "T", "99TESTS", text[:64]
        item.ConceptNameCodeSequence, item.RelationshipType = [name], "CONTAINS"
        item.ValueType, item.TextValue = "TEXT", text
        ds.ContentSequence.append(item)
    return part10(ds)


def test_a_report_has_the_same_elements_whatever_it_says(client: httpx.Client) -> None:
    reports = {101: PAYLOADS, 102: [_HARMLESS] * len(PAYLOADS)}
    assert dicomweb.store(client, [_report(study, texts) for study, texts in reports.items()]).is_success
    pages = []
    for study in reports:
        path = f"/dicom-web/studies/{uid(study)}/series/{uid(study, 1)}/instances/{uid(study, 1, 1)}/rendered"
        page = client.get(path, headers={"Accept": "text/html"})
        assert page.headers["content-type"].startswith("text/html")
        assert page.headers["content-security-policy"].startswith("sandbox;")
        pages.append(_nodes(page.text))
    assert pages[0].nodes == pages[1].nodes
    said = "".join(pages[0].texts)
    assert [payload for payload in PAYLOADS if payload not in said] == []


@pytest.mark.peer("chromium")
def test_a_browser_runs_nothing_of_it(gateway: RunningGateway) -> None:
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_context(locale="en-US").new_page()

        def dismiss(dialog: Dialog) -> None:
            said.append(dialog.message)
            dialog.dismiss()

        page.on("dialog", dismiss)
        page.on("request", lambda asked: said.append(asked.url) if not asked.url.startswith(gateway.url) else None)
        page.on("console", lambda one: said.append(one.text) if "Content Security Policy" in one.text else None)
        for address in ("/", "/?page=2", *(f"/studies/{uid(study)}" for study in range(1, 41, 4))):
            page.goto(gateway.url + address)
            page.wait_for_load_state("load")
            assert page.evaluate("document.querySelectorAll('[onerror],[onload],[onfocus],[ontoggle]').length") == 0
        page.goto(f"{gateway.url}/?name={quote(PAYLOADS[4])}")
        page.fill("[name=name]", PAYLOADS[3])
        page.wait_for_load_state("load")
        browser.close()
    assert said == []
