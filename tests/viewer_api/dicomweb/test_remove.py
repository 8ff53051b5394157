"""DELETE and rejection over HTTP: who may, what is told, and that nothing of it is seen any more."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.builders import Identity, part10, rejection_note
from tests.support.gateways import work_all
from tests.viewer_api import studies
from tests.viewer_api.site import TESTER, Site, open_site
from tests.viewer_api.studies import uid


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("remove")) as opened:
        yield opened


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with site.client() as opened:
        yield opened


def path(*numbers: int) -> str:
    """Return the path of a study, a series or an instance."""
    names = ("studies", "series", "instances")
    return "/dicom-web" + "".join(f"/{name}/{uid(*numbers[: n + 1])}" for n, name in enumerate(names[: len(numbers)]))


def test_a_deleted_study_is_gone_everywhere(site: Site, client: httpx.Client) -> None:
    site.put(studies.ct(40), studies.ct(40, 1, 2), studies.rle(40))
    answer = client.delete(path(40))
    assert (answer.status_code, answer.content) == (204, b"")
    assert client.get(f"/dicom-web/studies?StudyInstanceUID={uid(40)}").json() == []
    for resource in ("", "/metadata", "/rendered", "/thumbnail", "/series/1.2/metadata"):
        assert client.get(path(40) + resource).status_code == 404
    for resource in ("", "/metadata", "/frames/1", "/rendered", "/thumbnail", "/bulkdata/7FE00010"):
        assert client.get(path(40, 1, 1) + resource).status_code == 404
    assert client.delete(path(40)).status_code == 404


def test_a_deleted_series_and_instance_leave_the_rest(site: Site, client: httpx.Client) -> None:
    site.put(studies.ct(41), studies.ct(41, 1, 2), studies.rle(41))
    assert client.delete(path(41, 1, 2)).status_code == 204
    assert client.delete(path(41, 2)).status_code == 204
    (study,) = client.get(f"/dicom-web/studies?StudyInstanceUID={uid(41)}").json()
    assert (study["00201206"]["Value"], study["00201208"]["Value"]) == ([1], [1])
    assert [one["00080018"]["Value"] for one in client.get(f"{path(41)}/metadata").json()] == [[uid(41, 1, 1)]]


@pytest.mark.parametrize(
    ("at", "code"), [((42,), "113001%5EDCM"), ((42, 1), "113037%5EDCM"), ((42, 1, 1), "113038^DCM")]
)
def test_a_rejection_has_its_reason(site: Site, client: httpx.Client, at: tuple[int, ...], code: str) -> None:
    site.put(studies.ct(42))
    removals = site.gateway.archive.removals
    assert client.post(f"{path(*at)}/reject/{code}").status_code == 204
    assert client.get(path(42)).status_code == 404
    (removal,) = [one for one in removals.list() if one.target.study_uid == uid(42)]
    assert (removal.actor, removal.reason, removal.n_instances) == ("boss", code[:6], 1)
    removals.restore(removal.id, by=TESTER)
    assert client.get(path(42)).status_code == 200


@pytest.mark.parametrize("code", ["113001", "113002%5EDCM", "113001%5ESCT", "%5E", "x" * 40, "113001%5EDCM%5E1"])
def test_an_unknown_reason_is_refused(site: Site, client: httpx.Client, code: str) -> None:
    site.put(studies.ct(43))
    assert client.post(f"{path(43, 1)}/reject/{code}").status_code == 400
    assert client.get(path(43)).status_code == 200


def test_only_who_may_deletes(site: Site) -> None:
    site.put(studies.ct(44))
    for account, status in (("reader", 403), ("stranger", 403), ("", 401)):
        with site.client(account) as client:
            assert client.delete(path(44)).status_code == status
            assert client.delete(path(45)).status_code == status
            assert client.post(f"{path(44, 1)}/reject/113001%5EDCM").status_code == status
    with site.client() as client:
        assert client.get(path(44)).status_code == 200


def test_what_was_deleted_and_is_stored_again_stays_deleted(site: Site, client: httpx.Client) -> None:
    file, headers = studies.ct(46), {"Content-Type": "application/dicom"}
    site.put(file)
    client.delete(path(46))
    assert client.post("/dicom-web/studies", content=file, headers=headers).status_code == 200
    assert client.get(path(46)).status_code == 404


@pytest.mark.parametrize("at", ["/dicom-web/studies/x", "/dicom-web/studies/1.2/series/..", "/dicom-web/studies/1..2"])
def test_what_is_no_uid_is_refused(client: httpx.Client, at: str) -> None:
    assert client.delete(at).status_code in (400, 404, 405)


def test_a_rejection_note_by_stow_hides_what_it_names(site: Site, client: httpx.Client) -> None:
    site.put(studies.ct(47), studies.ct(47, 1, 2))
    note = rejection_note(Identity(study=47, series=9), [(uid(47), uid(47, 1), uid(47, 1, 2))], title="113038")
    answer = client.post("/dicom-web/studies", content=part10(note), headers={"Content-Type": "application/dicom"})
    assert answer.status_code == 200
    work_all(site.gateway)
    assert [client.get(path(47, 1, n)).status_code for n in (1, 2)] == [200, 404]
    (removal,) = [one for one in site.gateway.archive.removals.list() if one.target.study_uid == uid(47)]
    assert (removal.actor, removal.reason, removal.n_instances) == ("boss", "113038", 1)
