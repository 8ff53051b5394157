"""QIDO-RS over real sockets."""

from collections.abc import Iterator

import httpx
import pytest

from pacs_gateway.dicomweb.dicom_xml_reader import decode
from tests.support.dicomweb import parts
from tests.viewer_api import studies
from tests.viewer_api.site import Site, open_site
from tests.viewer_api.studies import uid
from viewer_api.config import WebConfig

STUDIES = "/dicom-web/studies"
XML = {"Accept": 'multipart/related; type="application/dicom+xml"'}


def _uids(response: httpx.Response, tag: str = "0020000D") -> list[str]:
    assert response.status_code == 200, response.text
    return [str(found[tag]["Value"][0]) for found in response.json()]


def test_studies_come_newest_first_with_what_lists_need(client: httpx.Client) -> None:
    response = client.get(STUDIES)
    assert response.headers["content-type"] == "application/dicom+json"
    assert _uids(response) == [uid(3), uid(2), uid(1)]
    newest = response.json()[2]
    assert newest["00100010"]["Value"] == [{"Alphabetic": studies.NAME}]
    assert set(newest["00080061"]["Value"]) == {"CT", "US", "DOC", "SR"}
    assert (newest["00201206"]["Value"], newest["00201208"]["Value"]) == ([6], [8])
    assert newest["00081190"]["Value"] == [f"{client.base_url}/dicom-web/studies/{uid(1)}".replace("//dicom", "/dicom")]
    assert list(newest) == sorted(newest)


def test_a_viewers_own_queries_are_answered(client: httpx.Client) -> None:
    includes = "includefield=00081030%2C00080060%2C00080090%2C00100030"
    found = client.get(f"{STUDIES}?limit=101&offset=0&fuzzymatching=true&{includes}").json()
    assert found[0]["00081030"]["Value"] == ["CT bụng"]
    both = client.get(f"{STUDIES}?StudyInstanceUID={uid(1)}%5C{uid(2)}")
    assert sorted(_uids(both)) == [uid(1), uid(2)]
    assert _uids(client.get(f"{STUDIES}?ModalitiesInStudy=US%2CMR")) == [uid(1)]
    assert _uids(client.get(f"{STUDIES}?00100020=BN0002")) == [uid(2)]
    assert _uids(client.get(f"{STUDIES}?00100020=*n0002*&StudyDate=20250101-20261231")) == [uid(2)]
    assert len(_uids(client.get(f"{STUDIES}?PatientName=*Van*"))) == 3


@pytest.mark.parametrize("name", ["nguyen van duc", "Nguyễn Văn Đức", "NGUYEN^VAN^DUC"])
def test_names_are_found_with_and_without_accents(client: httpx.Client, name: str) -> None:
    assert len(_uids(client.get(STUDIES, params={"PatientName": name}))) == 3


def test_words_of_a_name_in_any_order_when_fuzzy(client: httpx.Client) -> None:
    fuzzy = {"PatientName": "duc nguyen", "fuzzymatching": "true"}
    assert len(_uids(client.get(STUDIES, params=fuzzy))) == 3
    assert _uids(client.get(STUDIES, params=fuzzy | {"fuzzymatching": "false"})) == []


@pytest.mark.parametrize(
    ("path", "tag", "expected"),
    [
        (f"{STUDIES}/{uid(1)}/series", "0020000E", [uid(1, n) for n in range(1, 7)]),
        (f"{STUDIES}/{uid(1)}/series/{uid(1, 1)}/instances", "00080018", [uid(1, 1, n) for n in (1, 2, 3)]),
        (f"{STUDIES}/{uid(2)}/instances", "00080018", [uid(2, 1, n) for n in (1, 2, 3, 4)]),
        (f"/dicom-web/series?StudyInstanceUID={uid(2)}", "0020000E", [uid(2, 1)]),
        (f"/dicom-web/instances?SOPInstanceUID={uid(1, 2, 1)}", "00080018", [uid(1, 2, 1)]),
    ],
)
def test_every_level_is_searched(client: httpx.Client, path: str, tag: str, expected: list[str]) -> None:
    response = client.get(path)
    assert sorted(_uids(response, tag)) == expected
    for found in response.json():
        assert "0020000D" in found
        retrieve = found["00081190"]["Value"][0]
        assert client.get(retrieve, headers={"Accept": "*/*; transfer-syntax=*"}).status_code == 200


def test_series_of_all_studies_tell_their_study(client: httpx.Client) -> None:
    found = client.get("/dicom-web/series?Modality=US").json()[0]
    assert found["00080020"]["Value"] == ["20260102"]
    assert found["00080060"]["Value"] == ["US"]
    inside = client.get(f"{STUDIES}/{uid(1)}/series").json()[0]
    assert "00080020" not in inside


def test_nothing_found_is_an_empty_list(client: httpx.Client) -> None:
    response = client.get(f"{STUDIES}?PatientID=nobody")
    assert (response.status_code, response.json()) == (200, [])
    assert client.get(f"{STUDIES}/{uid(99)}/series").json() == []


def test_pages_lie_next_to_each_other(client: httpx.Client) -> None:
    pages = [_uids(client.get(f"{STUDIES}?limit=1&offset={n}")) for n in range(4)]
    assert pages == [[uid(3)], [uid(2)], [uid(1)], []]
    assert client.get(f"{STUDIES}?limit=0").json() == []


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1", "limit=x", "limit=", "offset=-1", "offset=1.5", "limit=1&limit=2", "fuzzymatching=perhaps",
        "PatientNam=x", "00100011=x", "StudyDate=yesterday", "StudyInstanceUID=abc", "PatientID=1&PatientID=2",
        "PatientID=1&00100020=2", "StudyDate=-", "limit=%D9%A3",
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused(client: httpx.Client, query: str) -> None:
    assert client.get(f"{STUDIES}?{query}").status_code == 400


@pytest.mark.parametrize("query", ["PatientWeight=70", "SeriesDescription=x", "00101030=70", "00400275.00400007=x"])
def test_what_is_not_matched_here_is_left_out_and_said(client: httpx.Client, query: str) -> None:
    response = client.get(f"{STUDIES}?{query}")
    assert len(response.json()) == 3
    assert response.headers["warning"].startswith("299 ")


@pytest.mark.parametrize("field", ["all", "00080060", "Nonsense", "PatientWeight,StudyDescription", ""])
def test_any_includefield_is_accepted_quietly(client: httpx.Client, field: str) -> None:
    response = client.get(STUDIES, params={"includefield": field})
    assert len(response.json()) == 3
    assert "warning" not in response.headers


def test_all_returns_every_attribute_of_the_level(client: httpx.Client) -> None:
    found = client.get(f"{STUDIES}?includefield=all&StudyInstanceUID={uid(1)}").json()[0]
    assert {"00081030", "00080062", "00081032"} <= set(found)


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 200),
        ("application/dicom+xml, */*;q=0.1", 200),
        ('application/dicom+json, multipart/related; type="application/dicom+xml"', 200),
        ("application/dicom+xml", 406),
        ("text/html", 406),
    ],
)
def test_other_forms(client: httpx.Client, accept: str, status: int) -> None:
    assert client.get(STUDIES, headers={"Accept": accept}).status_code == status
    assert client.get(STUDIES, params={"accept": accept}, headers={"Accept": "image/png"}).status_code == status


@pytest.mark.parametrize("path", [STUDIES, "/dicom-web/series", f"{STUDIES}/{uid(1)}/instances?includefield=00280030"])
def test_xml_says_the_same_one_document_a_result(client: httpx.Client, path: str) -> None:
    response = client.get(path, headers=XML)
    assert response.headers["content-type"].startswith('multipart/related; type="application/dicom+xml"; boundary=')
    assert [decode(part) for part in parts(response)] == client.get(path).json()


def test_of_nothing_there_is_no_document(client: httpx.Client) -> None:
    response = client.get(f"{STUDIES}?PatientID=nobody", headers=XML)
    assert (response.status_code, response.content) == (204, b"")


def test_a_caller_sees_the_studies_of_its_facility_only(site: Site) -> None:
    with site.client("reader") as reader, site.client("stranger") as stranger:
        assert _uids(reader.get(STUDIES)) == [uid(2), uid(1)]
        assert _uids(stranger.get(STUDIES)) == [uid(3)]
        assert stranger.get(f"{STUDIES}/{uid(1)}/metadata").status_code == 404


def test_numbers_of_a_patient_are_told_when_they_are_asked_for(client: httpx.Client) -> None:
    asked = client.get(f"{STUDIES}?StudyInstanceUID={uid(1)}&includefield=NumberOfPatientRelatedStudies").json()
    plain = client.get(f"{STUDIES}?StudyInstanceUID={uid(1)}").json()

    assert asked[0]["00201200"]["Value"] == [1]
    assert "00201200" not in plain[0]


@pytest.mark.parametrize("name", ["RequestAttributesSequence.ScheduledProcedureStepID", "00400275.00400009"])
def test_series_are_found_by_what_was_requested(client: httpx.Client, name: str) -> None:
    assert client.get(f"/dicom-web/series?{name}=NOBODY").json() == []
    both = f"/dicom-web/series?{name}=A&RequestAttributesSequence.RequestedProcedureID=B"
    assert "warning" not in client.get(both).headers
    assert client.get(f"/dicom-web/series?{name}=A&{name}=B").status_code == 400
    assert "left out" in client.get("/dicom-web/series?RequestAttributesSequence=A").headers["warning"]
    assert client.get("/dicom-web/series").json()[0]["00400275"] == {"vr": "SQ"}


DEMANDED = {
    STUDIES: "00080020 00080030 00080050 00080056 00080061 00080090 00081190 00100010 00100020 00100030 00100040 "
    "0020000D 00200010 00201206 00201208",
    "/dicom-web/series": "00080056 00080060 0008103E 00081190 0020000D 0020000E 00200011 00201209 00400244 00400245 "
    "00400275",
    "/dicom-web/instances": "00080016 00080018 00080056 00081190 0020000D 0020000E 00200013 00280008 00280010 00280011 "
    "00280100",
}


@pytest.mark.parametrize("path", DEMANDED)
def test_results_tell_what_the_standard_demands(client: httpx.Client, path: str) -> None:
    """PS3.18 Tables 10.6.3-3 to 10.6.3-5; the time zone is told where it is known."""
    for found in client.get(path).json():
        assert set(DEMANDED[path].split()) <= set(found)
        assert found["00080056"]["Value"] == ["ONLINE"]
        assert "00080201" not in found


@pytest.mark.parametrize("field", ["00281050", "WindowCenter", "PatientID,WindowCenter", "00281050.00080100"])
def test_instances_tell_what_only_their_metadata_have(client: httpx.Client, field: str) -> None:
    path = f"{STUDIES}/{uid(1)}/instances"
    found = {one["00080018"]["Value"][0]: one for one in client.get(path, params={"includefield": field}).json()}
    assert found[uid(1, 1, 2)]["00281050"] == {"vr": "DS", "Value": [40]}
    assert "00281050" not in found[uid(1, 5, 1)]
    assert all("00281050" not in one for one in client.get(path).json())


@pytest.mark.parametrize(
    ("page", "total"), [("", "3"), ("limit=0", "3"), ("limit=2&offset=2", "3"), ("limit=2", None), ("offset=99", None)]
)
def test_the_total_is_told_where_it_is_known_or_asked_for(client: httpx.Client, page: str, total: str | None) -> None:
    query = f"StudyInstanceUID={uid(1)},{uid(2)},{uid(3)}&{page}"
    assert client.get(f"{STUDIES}?{query}").headers.get("x-total-count") == total
    assert client.head(f"{STUDIES}?{query}").headers.get("x-total-count") == total


def test_several_values_match_when_that_is_agreed(client: httpx.Client) -> None:
    keys = {"PatientID": "BN0001\\*N0002"}
    assert client.get(STUDIES, params=keys).json() == []
    found = client.get(STUDIES, params=keys | {"multiplevaluematching": "true"})
    assert _uids(found) == [uid(2), uid(1)]
    assert "warning" not in found.headers


def test_two_quotation_marks_find_what_is_empty_when_that_is_agreed(client: httpx.Client) -> None:
    mine = {"StudyInstanceUID": f"{uid(1)},{uid(2)}", "emptyvaluematching": "true"}
    assert len(client.get(STUDIES, params=mine | {"ReferringPhysicianName": '""'}).json()) == 2
    assert client.get(STUDIES, params=mine | {"StudyDescription": '""'}).json() == []
    assert client.get(STUDIES, params=mine | {"StudyID": '""', "emptyvaluematching": "false"}).json() == []


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that tells of one result at a time; one study's time zone is known, and it has private elements."""
    with open_site(tmp_path_factory.mktemp("small"), config=WebConfig(search_limit=1)) as opened:
        ds = studies.base()
        ds.TimezoneOffsetFromUTC = "+0700"
        ds.private_block(0x0009, "ACME", create=True).add_new(1, "LO", "own")
        opened.put(studies.encode(ds), studies.ct(2))
        yield opened


@pytest.mark.parametrize("path", DEMANDED)
def test_a_time_zone_is_told_where_it_is_known(small: Site, path: str) -> None:
    with small.client() as client:
        (found,) = client.get(path, params={"StudyInstanceUID": uid(1)}).json()
    assert found["00080201"]["Value"] == ["+0700"]


def test_private_attributes_come_with_their_creator(small: Site) -> None:
    with small.client() as client:
        (found,) = client.get(f"{STUDIES}/{uid(1)}/instances?includefield=00091001").json()
    assert (found["00090010"]["Value"], found["00091001"]["Value"]) == (["ACME"], ["own"])


@pytest.mark.parametrize(
    ("page", "is_cut"), [("", True), ("?limit=2", True), ("?limit=1", False), ("?offset=1", False)]
)
def test_an_answer_that_is_cut_off_says_so(small: Site, page: str, is_cut: bool) -> None:
    with small.client() as client:
        response = client.get(f"{STUDIES}{page}")
    assert len(response.json()) == 1
    assert ("Additional results can be requested" in response.headers.get("warning", "")) is is_cut
