import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_gateway.errors import IntegrityError
from pacs_gateway.storage.memory_store import MemoryStore
from pacs_gateway.storage.store import (
    MAX_KEY_LENGTH,
    check_key,
    check_prefix,
    derived_key,
    derived_prefix,
    is_key,
    object_key,
)

DIGEST = "ab" * 32


def test_keys_carry_the_digest() -> None:
    assert object_key(DIGEST) == f"instances/ab/{DIGEST}.dcm"
    assert derived_key(DIGEST, "thumbnail-1.jpg") == f"derived/ab/{DIGEST}.thumbnail-1.jpg"
    assert derived_key(DIGEST, "x").startswith(derived_prefix(DIGEST))


@pytest.mark.parametrize("digest", ["", "ab", "AB" * 32, "../" + "a" * 61, "ab" * 32 + "\n", "gg" * 32, "ab" * 33])
def test_only_digests_make_keys(digest: str) -> None:
    for make in (object_key, derived_prefix, lambda d: derived_key(d, "x")):
        with pytest.raises(IntegrityError):
            make(digest)


@pytest.mark.parametrize("name", ["../x", "a/../b", "a b", "A", "a/", "/a", "a\n"])
def test_names_of_derived_objects_stay_in_their_place(name: str) -> None:
    with pytest.raises(IntegrityError):
        derived_key(DIGEST, name)


@given(st.text() | st.text("a./-_0", max_size=600))
def test_accepted_keys_are_harmless_paths(text: str) -> None:
    if not is_key(text):
        with pytest.raises(IntegrityError):
            check_key(text)
        return
    assert check_key(text) == text
    assert check_prefix(text + "/") == text + "/"
    assert text.isascii()
    assert len(text) <= MAX_KEY_LENGTH
    assert all(part and part[0] not in ".-_" and len(part) <= 255 for part in text.split("/"))


def test_store_is_closed_by_its_context() -> None:
    with MemoryStore() as store:
        store.put("a", b"b")
        assert store.read("a") == b"b"
