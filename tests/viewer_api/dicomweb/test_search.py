"""QIDO-RS over real sockets."""

import httpx
import pytest

from tests.viewer_api import studies
from tests.viewer_api.site import Site
from tests.viewer_api.studies import uid

STUDIES = "/dicom-web/studies"


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


@pytest.mark.parametrize("query", ["PatientWeight=70", "SeriesDescription=x", "00101030=70", "emptyvaluematching=true"])
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
    assert {"00081030", "00080062", "00080201"} <= set(found)


@pytest.mark.parametrize(
    ("accept", "status"),
    [("application/json", 200), ("application/dicom+xml, */*;q=0.1", 200), ("application/dicom+xml", 406)],
)
def test_other_forms(client: httpx.Client, accept: str, status: int) -> None:
    assert client.get(STUDIES, headers={"Accept": accept}).status_code == status


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
