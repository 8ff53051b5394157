"""``check_store`` against stores that lie, each in its own way."""

from collections.abc import Iterator

import pytest

from pacs_gateway.errors import CapacityError, UnavailableError
from pacs_gateway.storage.check import check_store
from pacs_gateway.storage.memory_store import MemoryStore
from pacs_gateway.storage.store import ObjectStat


class ForgetfulStore(MemoryStore):
    def put(self, key: str, data: bytes) -> None:
        pass


class DamagingStore(MemoryStore):
    def put(self, key: str, data: bytes) -> None:
        super().put(key, data[:-1] + bytes([data[-1] ^ 1]))


class UnlistingStore(MemoryStore):
    def list(self, prefix: str = "") -> Iterator[str]:
        return iter(())


class MiscountingStore(MemoryStore):
    def stat(self, key: str) -> ObjectStat:
        return ObjectStat(super().stat(key).size_bytes, sha256="0" * 64)


class OverwritingStore(MemoryStore):
    def put(self, key: str, data: bytes) -> None:
        self.delete(key)
        super().put(key, data)


class KeepingStore(MemoryStore):
    """Refuses the first attempt to delete, says nothing of it."""

    refusals = 1

    def delete(self, key: str) -> None:
        if self.refusals:
            self.refusals -= 1
            return
        super().delete(key)


@pytest.mark.parametrize(
    ("store", "failed"),
    [
        (ForgetfulStore(), {"read back", "list", "range", "checksum", "never overwrite"}),
        (DamagingStore(), {"read back", "range", "checksum", "never overwrite"}),
        (UnlistingStore(), {"list"}),
        (MiscountingStore(), {"checksum"}),
        (OverwritingStore(), {"never overwrite"}),
        (KeepingStore(), {"delete"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_lie_is_found_and_nothing_is_left(store: MemoryStore, failed: set[str]) -> None:
    steps = check_store(store)
    assert {step.name for step in steps if not step.passed} == failed
    assert all(step.duration_s >= 0 for step in steps)
    assert store._objects == {}


class FullStore(MemoryStore):
    def put(self, key: str, data: bytes) -> None:
        super().put(key, data)
        raise CapacityError("no space left")


def test_failed_write_ends_the_check_and_its_object_is_removed() -> None:
    store = FullStore()
    (step,) = check_store(store)
    assert (step.name, step.passed, step.error) == ("write", False, "CapacityError: no space left")
    assert store._objects == {}


class UndeletingStore(MemoryStore):
    def delete(self, key: str) -> None:
        raise UnavailableError("no right to delete")


def test_store_that_may_not_delete_is_reported_not_raised() -> None:
    steps = check_store(UndeletingStore())
    assert [step.name for step in steps if not step.passed] == ["delete"]
    assert steps[-1].error == "UnavailableError: no right to delete"
