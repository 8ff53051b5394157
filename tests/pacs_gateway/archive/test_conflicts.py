"""Several contents under one UID: other encodings are no conflict, other contents are kept and decided about."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from pacs_gateway.access import Scope
from pacs_gateway.archive.conflicts import Choice, Version
from pacs_gateway.domain.instance import Method, Origin
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.query import Query
from pacs_gateway.errors import NotFoundError
from pacs_gateway.gateway import Gateway
from pacs_gateway.index.rows import Outcome
from tests.support.builders import Identity, image, jpeg2000, pixels, report, rle, uid
from tests.support.gateways import Clock, open_test_gateway, put, ship_all, work_all

ALL = Scope(None)
OTHER = Identity(extra={"StudyDescription": "other"})


def study_values(gateway: Gateway, study: int = 1) -> list[dict[str, str]]:
    query = Query.build(Level.STUDY, {"StudyInstanceUID": uid(study)})
    return [dict(match.values) for match in gateway.archive.search.find(query, ALL).matches]


def current(gateway: Gateway) -> Dataset:
    (stored,) = gateway.archive.retrieve.instances(ALL, study_uid=uid(1))
    return dcmread(BytesIO(b"".join(gateway.archive.retrieve.stream(stored))))


def disputed(gateway: Gateway) -> Version:
    (version,) = gateway.archive.conflicts.list()
    return version


@pytest.mark.parametrize(
    ("make", "syntax"),
    [
        (image, ImplicitVRLittleEndian),
        (image, ExplicitVRBigEndian),
        (rle, RLELossless),
        (jpeg2000, JPEG2000Lossless),
    ],
    ids=["implicit", "big endian", "RLE", "JPEG 2000"],
)
def test_other_encodings_of_one_image_are_no_conflict(
    gateway: Gateway, make: Callable[[], Dataset], syntax: str
) -> None:
    put(gateway, image())
    assert put(gateway, make(), syntax).outcome is Outcome.PENDING
    work_all(gateway)
    assert gateway.archive.conflicts.list() == ()
    assert study_values(gateway)[0]["NumberOfStudyRelatedInstances"] == "1"


def test_other_pixels_are_a_conflict(gateway: Gateway) -> None:
    put(gateway, image())
    changed = image()
    changed.PixelData = (pixels(1) + 1).astype("<u2").tobytes()
    put(gateway, changed, origin=Origin(Method.DIMSE, "LOCAL", "CT2"))
    work_all(gateway)
    assert disputed(gateway).source == "CT2"


@pytest.mark.parametrize(
    ("policy", "source", "wins"),
    [
        ("same-source", "CT1", True),
        ("same-source", "CT2", False),
        ("first", "CT1", False),
        ("last", "CT2", True),
    ],
)
def test_the_policy_decides_which_content_is_current(
    tmp_path: Path, database_url: str, clock: Clock, policy: str, source: str, wins: bool
) -> None:
    with open_test_gateway(tmp_path, clock=clock, database_url=database_url, conflict_policy=policy) as gateway:
        put(gateway, image())
        clock.move(1)
        put(gateway, image(OTHER), origin=Origin(Method.DIMSE, "LOCAL", source, "127.0.0.1"))
        work_all(gateway)
        assert current(gateway).StudyDescription == ("other" if wins else "CT bụng")
        assert study_values(gateway)[0]["NumberOfStudyRelatedInstances"] == "1"
        assert disputed(gateway).state == "conflict"


@pytest.mark.parametrize("is_shipped", [False, True])
def test_both_contents_can_be_had(gateway: Gateway, is_shipped: bool) -> None:
    put(gateway, image())
    put(gateway, image(OTHER), origin=Origin(Method.STOW, "LOCAL", "web"))
    if is_shipped:
        ship_all(gateway)
    work_all(gateway)
    versions = gateway.archive.conflicts.show(disputed(gateway).id)
    files = [dcmread(BytesIO(b"".join(gateway.archive.conflicts.part10(version.id)))) for version in versions]
    assert {file.StudyDescription for file in files} == {"CT bụng", "other"}
    assert all((file.pixel_array == pixels(1)[0]).all() for file in files)


def test_a_person_makes_the_other_content_current(gateway: Gateway, clock: Clock) -> None:
    put(gateway, image())
    clock.move(10)
    work_all(gateway)
    put(gateway, image(OTHER), origin=Origin(Method.STOW, "LOCAL", "web"))
    work_all(gateway)
    before = gateway.archive.retrieve.metadata(ALL, study_uid=uid(1))
    gateway.archive.conflicts.resolve(disputed(gateway).id, Choice.MAKE_CURRENT)
    assert current(gateway).StudyDescription == "other"
    assert gateway.archive.conflicts.list() == ()
    clock.move(10)
    work_all(gateway)
    after = gateway.archive.retrieve.metadata(ALL, study_uid=uid(1))
    assert before[0].etag != after[0].etag


def test_a_person_keeps_what_is_current(gateway: Gateway) -> None:
    put(gateway, image())
    put(gateway, image(OTHER), origin=Origin(Method.STOW, "LOCAL", "web"))
    work_all(gateway)
    version = disputed(gateway)
    gateway.archive.conflicts.resolve(version.id, Choice.KEEP_CURRENT)
    assert current(gateway).StudyDescription == "CT bụng"
    assert {v.state for v in gateway.archive.conflicts.show(version.id)} == {"current", "settled"}
    with pytest.raises(NotFoundError):
        gateway.archive.conflicts.resolve(version.id, Choice.MAKE_CURRENT)


def test_counts_and_codes_follow_a_uid_into_another_study(gateway: Gateway) -> None:
    put(gateway, image())
    moved = report(Identity(study=2, sop_uid=image().SOPInstanceUID))
    put(gateway, moved, origin=Origin(Method.STOW, "LOCAL", "web"))
    work_all(gateway)
    assert study_values(gateway, 2) == []
    gateway.archive.conflicts.resolve(disputed(gateway).id, Choice.MAKE_CURRENT)
    assert study_values(gateway, 1) == []
    (values,) = study_values(gateway, 2)
    assert values["ModalitiesInStudy"] == "SR"
    assert values["SOPClassesInStudy"] == report().SOPClassUID
    assert (values["NumberOfStudyRelatedSeries"], values["NumberOfStudyRelatedInstances"]) == ("1", "1")


def test_nobody_resolves_what_is_not_there(gateway: Gateway) -> None:
    put(gateway, image())
    for number in (1, 99):
        with pytest.raises(NotFoundError):
            gateway.archive.conflicts.resolve(number, Choice.MAKE_CURRENT)
