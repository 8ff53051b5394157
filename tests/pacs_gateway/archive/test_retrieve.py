"""Which instances unique keys name, on both databases."""

from collections.abc import Mapping, Sequence

import pytest

from pacs_gateway.access.policy import Scope
from pacs_gateway.archive.retrieve import Retrieve
from pacs_gateway.domain.levels import Level
from pacs_gateway.errors import CapacityError
from pacs_gateway.gateway import Gateway
from tests.support.builders import Identity, image, uid
from tests.support.gateways import put

EVERYTHING = Scope(None)


def names(retrieve: Retrieve, keys: Mapping[Level, Sequence[str]], scope: Scope = EVERYTHING) -> list[str]:
    return [stored.sop_uid for stored in retrieve.by_keys(scope, keys, limit=100)]


def test_each_level_narrows(gateway: Gateway) -> None:
    for study, series, instance in [(1, 1, 2), (1, 1, 1), (1, 2, 1), (2, 1, 1)]:
        put(gateway, image(Identity(study=study, series=series, instance=instance)))
    put(gateway, image(Identity(study=3, patient_id="BN0002")))
    retrieve = gateway.archive.retrieve

    assert names(retrieve, {Level.PATIENT: ("BN0001",)}) == [uid(1, 1, 1), uid(1, 1, 2), uid(1, 2, 1), uid(2, 1, 1)]
    assert names(retrieve, {Level.STUDY: (uid(2), uid(3), uid(9))}) == [uid(2, 1, 1), uid(3, 1, 1)]
    assert names(retrieve, {Level.STUDY: (uid(1),), Level.SERIES: (uid(1, 2), uid(2, 1))}) == [uid(1, 2, 1)]
    assert names(retrieve, {Level.IMAGE: (uid(1, 1, 2), uid(2, 1, 1))}) == [uid(1, 1, 2), uid(2, 1, 1)]
    assert names(retrieve, {Level.PATIENT: ("BN0002",), Level.STUDY: (uid(1),)}) == []


def test_an_empty_patient_id_means_patients_without_one(gateway: Gateway) -> None:
    for study, patient_id in [(1, "BN0001"), (2, "")]:
        put(gateway, image(Identity(study=study, patient_id=patient_id)))

    studies = uid(1), uid(2)

    assert names(gateway.archive.retrieve, {Level.PATIENT: ("",), Level.STUDY: studies}) == [uid(2, 1, 1)]


def test_only_what_the_scope_includes(gateway: Gateway) -> None:
    put(gateway, image())

    keys = {Level.STUDY: (uid(1),)}

    assert names(gateway.archive.retrieve, keys, Scope(frozenset({"LOCAL"}))) == [uid(1, 1, 1)]
    assert names(gateway.archive.retrieve, keys, Scope(frozenset({"OTHER"}))) == []
    assert names(gateway.archive.retrieve, keys, Scope(frozenset())) == []


def test_more_than_the_limit_is_refused(gateway: Gateway) -> None:
    for instance in (1, 2, 3):
        put(gateway, image(Identity(instance=instance)))
    keys = {Level.STUDY: (uid(1),)}

    assert len(gateway.archive.retrieve.by_keys(EVERYTHING, keys, limit=3)) == 3
    with pytest.raises(CapacityError):
        gateway.archive.retrieve.by_keys(EVERYTHING, keys, limit=2)
