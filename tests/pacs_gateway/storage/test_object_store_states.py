"""Any order of puts, reads, lists and deletes, on every local backend, against a dictionary."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pacs_gateway.errors import ConflictError, IntegrityError, NotFoundError
from pacs_gateway.storage.filesystem_store import FilesystemStore
from pacs_gateway.storage.memory_store import MemoryStore
from pacs_gateway.storage.store import ObjectStore, Upload

KEYS = st.sampled_from(["a-b", "a.b", "a/b", "a/b.c", "a/c/d", "a/c/e", "a/c-d", "a_b", "b/a", "c"])
PREFIXES = st.sampled_from(["", "a", "a/", "a/b", "a/c", "a/c/", "b", "c", "c/", "d/e"])
CONTENTS = st.binary(max_size=40)
BORDERS = st.integers(min_value=-1, max_value=42)


class ObjectStoreMachine(RuleBasedStateMachine):
    """On the memory backend; others give another `open_store`."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.model: dict[str, bytes] = {}
        self.store: ObjectStore

    def open_store(self) -> ObjectStore:
        return MemoryStore()

    @initialize()
    def start(self) -> None:
        self.store = self.open_store()

    @rule(key=KEYS, data=CONTENTS, as_file=st.booleans())
    def put(self, key: str, data: bytes, as_file: bool) -> None:
        if self.model.setdefault(key, data) == data:
            self._put(key, data, as_file)
            return
        with pytest.raises(ConflictError):
            self._put(key, data, as_file)

    @rule(contents=st.dictionaries(KEYS, CONTENTS))
    def put_files(self, contents: dict[str, bytes]) -> None:
        wanted = {key: self.model.setdefault(key, data) for key, data in contents.items()}
        self.store.put_files([self._upload(key, data) for key, data in wanted.items()])

    @rule(key=KEYS, offset=BORDERS, length=BORDERS | st.none())
    def read(self, key: str, offset: int, length: int | None) -> None:
        if key not in self.model:
            with pytest.raises(NotFoundError):
                self.store.read(key, offset, length)
            return
        data = self.model[key]
        end = len(data) if length is None else offset + length
        if 0 <= offset <= end <= len(data):
            assert self.store.read(key, offset, length) == data[offset:end]
            assert b"".join(self.store.stream(key, offset, length, chunk_size=7)) == data[offset:end]
        else:
            with pytest.raises(IntegrityError):
                self.store.read(key, offset, length)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.store.delete(key)
        self.model.pop(key, None)

    @rule(prefix=PREFIXES)
    def list_keys(self, prefix: str) -> None:
        assert list(self.store.list(prefix)) == sorted(key for key in self.model if key.startswith(prefix))

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        assert {key: self.store.read(key) for key in self.store.list()} == self.model

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def _put(self, key: str, data: bytes, as_file: bool) -> None:
        if as_file:
            self.store.put_file(self._upload(key, data))
        else:
            self.store.put(key, data)

    def _upload(self, key: str, data: bytes) -> Upload:
        path = Path(self.folder.name, key.replace("/", "+"))
        path.unlink(missing_ok=True)  # the old file may have become an object, which is never written to
        path.write_bytes(data)
        return Upload(key, path, len(data))


class FilesystemMachine(ObjectStoreMachine):
    def open_store(self) -> ObjectStore:
        return FilesystemStore(Path(self.folder.name, "objects"))

    @rule()
    def open_again(self) -> None:
        self.store.close()
        self.store = self.open_store()


_SETTINGS = settings(max_examples=20, stateful_step_count=25, deadline=None)

TestFilesystemStates = FilesystemMachine.TestCase
TestFilesystemStates.settings = _SETTINGS
TestMemoryStates = ObjectStoreMachine.TestCase
TestMemoryStates.settings = _SETTINGS
