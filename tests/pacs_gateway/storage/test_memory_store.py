import hashlib
from pathlib import Path

import pytest

from pacs_gateway.errors import IntegrityError, UnavailableError
from pacs_gateway.storage.memory_store import MemoryStore
from pacs_gateway.storage.store import ObjectStore, Upload
from tests.support.contracts.object_store import DATA, KEY, ObjectStoreContract, uploaded


class TestMemoryStore(ObjectStoreContract):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return MemoryStore()

    def raw_keys(self, store: ObjectStore) -> set[str]:
        assert isinstance(store, MemoryStore)
        return set(store._objects)

    def raw_get(self, store: ObjectStore, key: str) -> bytes:
        assert isinstance(store, MemoryStore)
        return store._objects[key]

    def raw_set(self, store: ObjectStore, key: str, data: bytes) -> None:
        assert isinstance(store, MemoryStore)
        store._objects[key] = data

    def test_file_with_another_checksum_is_not_taken(self, store: ObjectStore, tmp_path: Path) -> None:
        with pytest.raises(IntegrityError):
            store.put_file(uploaded(tmp_path / "f", DATA, sha256=hashlib.sha256(b"").hexdigest()))
        assert not store.exists(KEY)

    def test_folder_is_not_taken_for_a_file(self, store: ObjectStore, tmp_path: Path) -> None:
        with pytest.raises(UnavailableError):
            store.put_file(Upload(KEY, tmp_path, 0))
