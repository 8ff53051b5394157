"""Documents, reports and video over real sockets, as browsers ask for them."""

from collections.abc import Iterator
from html.parser import HTMLParser

import httpx
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

from tests.viewer_api import studies
from tests.viewer_api.site import Site, open_site
from tests.viewer_api.studies import uid

NAVIGATION = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}
ROOT = f"/dicom-web/studies/{uid(1)}"
MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(range(256)) * 20
MPEG4 = "1.2.840.10008.1.2.4.102"
PAYLOADS = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><svg onload=alert(1)>',
    "</title><script>x</script>", "javascript:alert(1)", "<iframe src=//evil>",
    "</style><script>y</script>", "&lt;script&gt;",
)  # fmt: skip


def path_of(series: int) -> str:
    return f"{ROOT}/series/{uid(1, series)}/instances/{uid(1, series, 1)}"


def coded(meaning: str, value: str = "121071") -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return Sequence([item])


def content(kind: str, name: str, **values: object) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", kind
    item.ConceptNameCodeSequence = coded(name)
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def report(series: int, items: list[Dataset], *, title: str = "Kết quả siêu âm") -> bytes:
    ds = studies.base(1, series)
    ds.SOPClassUID, ds.Modality = "1.2.840.10008.5.1.4.1.1.88.33", "SR"
    ds.CompletionFlag, ds.VerificationFlag, ds.ValueType = "COMPLETE", "UNVERIFIED", "CONTAINER"
    ds.ConceptNameCodeSequence = coded(title)
    ds.ContentSequence = Sequence(items)
    return studies.encode(ds)


def findings() -> list[Dataset]:
    measured = Dataset()
    measured.NumericValue, measured.MeasurementUnitsCodeSequence = "42.5", coded("millimetre", "mm")
    inner = [
        content("TEXT", "Nhận xét", TextValue="Gan không to.\nKhông thấy khối."),
        content("NUM", "Đường kính", MeasuredValueSequence=Sequence([measured])),
        content("CODE", "Kết luận", ConceptCodeSequence=coded("Bình thường")),
        content("PNAME", "Bác sĩ", PersonName="Trần^Thị^Hoa"),
        content("SCOORD", "Vị trí"),
    ]
    return [content("CONTAINER", "Gan", ContentSequence=Sequence(inner)), content("DATE", "Ngày", Date="20260102")]


def enclosed(series: int, sop_class: str, data: bytes) -> bytes:
    ds = studies.base(1, series)
    ds.SOPClassUID, ds.Modality, ds.EncapsulatedDocument = sop_class, "DOC", data + b"\0" * (len(data) % 2)
    ds.MIMETypeOfEncapsulatedDocument = "text/html"
    return studies.encode(ds)


def video(series: int, fragments: list[bytes], syntax: str = MPEG4) -> bytes:
    ds = studies.pixels(studies.base(1, series), studies.values(1, (1, 4, 6, 3), "u1"), bits=8)
    ds.SOPClassUID, ds.Modality, ds.NumberOfFrames = "1.2.840.10008.5.1.4.1.1.77.1.4.1", "XC", 50
    ds.PixelData = encapsulate(fragments, has_bot=False)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return studies.encode(ds, syntax)


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with a study of documents: one kind in each series."""
    with open_site(tmp_path_factory.mktemp("documents")) as opened:
        opened.put(studies.pdf(series=1), studies.pdf(series=2, document=b"<script>alert(1)</script>"))
        opened.put(report(3, findings()))
        hostile = [content("TEXT", payload, TextValue=payload) for payload in PAYLOADS]
        opened.put(report(4, hostile, title=PAYLOADS[3]))
        opened.put(enclosed(5, "1.2.840.10008.5.1.4.1.1.104.2", b"<ClinicalDocument/>"))
        opened.put(enclosed(6, "1.2.840.10008.5.1.4.1.1.104.3", b"solid x"))
        opened.put(video(7, [MP4[:1000], MP4[1000:4000], MP4[4000:]]), video(8, [b"\x47\x40\0\x10" * 50]))
        yield opened


@pytest.fixture
def client(documents: Site) -> Iterator[httpx.Client]:
    with documents.client() as opened:
        yield opened


def test_a_browser_gets_the_document_itself(client: httpx.Client) -> None:
    response = client.get(f"{path_of(1)}/rendered", headers=NAVIGATION)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/pdf")
    assert response.content.rstrip(b"\0") == studies.PDF
    assert response.headers["content-disposition"].startswith("inline")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "SAMEORIGIN"
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy
    again = {**NAVIGATION, "If-None-Match": response.headers["etag"]}
    assert client.get(f"{path_of(1)}/rendered", headers=again).status_code == 304


def test_what_calls_itself_a_document_and_is_none_is_not_shown(client: httpx.Client) -> None:
    assert client.get(f"{path_of(2)}/rendered", headers=NAVIGATION).status_code == 406


@pytest.mark.parametrize(("series", "media_type"), [(5, "text/xml"), (6, "model/stl")])
def test_what_a_browser_might_run_is_a_file_to_save(client: httpx.Client, series: int, media_type: str) -> None:
    response = client.get(f"{path_of(series)}/rendered", headers=NAVIGATION)
    assert response.headers["content-type"].partition(";")[0] == media_type
    assert response.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in response.headers["content-security-policy"]


def test_a_report_is_read_as_a_page_or_as_text(client: httpx.Client) -> None:
    page = client.get(f"{path_of(3)}/rendered", headers=NAVIGATION)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert "<h1>Kết quả siêu âm</h1>" in page.text
    assert "<li><b>Đường kính</b> 42.5 mm</li>" in page.text
    text = client.get(f"{path_of(3)}/rendered", headers={"Accept": "text/plain"})
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert text.text.splitlines() == [
        "Kết quả siêu âm",
        "Nguyễn Văn Đức  BN0001  19700131  20260102",
        "COMPLETE  UNVERIFIED",
        "",
        "Gan",
        "  Nhận xét: Gan không to.",
        "    Không thấy khối.",
        "  Đường kính: 42.5 mm",
        "  Kết luận: Bình thường",
        "  Bác sĩ: Trần Thị Hoa",
        "  Vị trí: scoord",
        "Ngày: 20260102",
    ]


class _Tags(HTMLParser):
    """Which elements and attributes a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen |= {tag, *(f"{tag}.{name}" for name, _ in attrs)}


def test_nothing_in_a_report_becomes_a_part_of_the_page(client: httpx.Client) -> None:
    page = client.get(f"{path_of(4)}/rendered", headers=NAVIGATION).text
    tags = _Tags()
    tags.feed(page)
    harmless = {"html", "head", "meta", "meta.charset", "title", "style", "body", "h1", "p", "ul", "li", "b"}
    assert tags.seen == harmless
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 2


def test_a_video_is_played_from_anywhere(client: httpx.Client) -> None:
    asked = f"{path_of(7)}/rendered"
    whole = client.get(asked, headers={"Accept": "*/*"})
    assert (whole.status_code, whole.headers["content-type"]) == (200, "video/mp4")
    assert (whole.content, whole.headers["accept-ranges"]) == (MP4, "bytes")
    for text, expected in (
        ("0-", MP4), ("4-7", b"ftyp"), ("990-1009", MP4[990:1010]), ("3999-", MP4[3999:]), ("-5", MP4[-5:]),
        ("0-999999", MP4), ("-999999", MP4),
    ):  # fmt: skip
        piece = client.get(asked, headers={"Range": f"bytes={text}"})
        assert (piece.status_code, piece.content) == (206, expected), text
    first = MP4.index(expected)
    assert piece.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{len(MP4)}"


def test_a_document_comes_by_ranges_too(client: httpx.Client) -> None:
    piece = client.get(f"{path_of(1)}/rendered", headers={**NAVIGATION, "Range": "bytes=1-3"})
    assert (piece.status_code, piece.content) == (206, b"PDF")


@pytest.mark.parametrize(
    "text", ["bytes=0-1,5-6", "bytes=-", "bytes=x-", "items=0-1", "bytes=5", "bytes=" + "9" * 30 + "-"]
)
def test_a_range_that_is_not_understood_is_not_there(client: httpx.Client, text: str) -> None:
    assert client.get(f"{path_of(7)}/rendered", headers={"Range": text}).status_code == 200


@pytest.mark.parametrize("text", [f"bytes={len(MP4)}-", "bytes=999999-999999", "bytes=5-4", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(client: httpx.Client, text: str) -> None:
    response = client.get(f"{path_of(7)}/rendered", headers={"Range": text})
    assert (response.status_code, response.headers["content-range"]) == (416, f"bytes */{len(MP4)}")


def test_a_range_of_something_else_is_the_whole(client: httpx.Client) -> None:
    asked = f"{path_of(7)}/rendered"
    tag = client.head(asked).headers["etag"]
    for condition, status in ((tag, 206), ('"another"', 200)):
        assert client.get(asked, headers={"Range": "bytes=0-1", "If-Range": condition}).status_code == status


def test_a_stream_that_no_browser_plays_is_not_handed_out_as_video(client: httpx.Client) -> None:
    response = client.get(f"{path_of(8)}/rendered")
    assert response.status_code == 406
    assert "bulk data" in response.json()["detail"]


@pytest.mark.parametrize("series", [1, 3, 7])
def test_a_document_is_for_those_who_may_see_the_study(documents: Site, series: int) -> None:
    for account, status in (("reader", 200), ("stranger", 404), ("", 401)):
        with documents.client(account) as client:
            assert client.get(f"{path_of(series)}/rendered").status_code == status


@pytest.mark.parametrize("series", range(1, 9))
def test_documents_have_no_thumbnail(client: httpx.Client, series: int) -> None:
    assert client.get(f"{ROOT}/series/{uid(1, series)}/thumbnail").status_code == 404
