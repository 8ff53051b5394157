"""Companions of deflated objects are made once, within limits, and leave nothing behind when they cannot be."""

import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from pacs_gateway.archive.companion import companion_key, find_companion, make_companion
from pacs_gateway.domain.part10 import decode_head
from pacs_gateway.errors import InvalidInstanceError
from pacs_gateway.storage.memory_store import MemoryStore
from pacs_gateway.storage.store import ObjectReader, object_key
from tests.support.builders import encode, image, part10

DIGEST = "ab" * 32


@contextmanager
def kept(file: bytes) -> Iterator[tuple[MemoryStore, ObjectReader, int]]:
    """Keep a file; yield the store, the open object, and where its data set begins."""
    store = MemoryStore()
    store.put(object_key(DIGEST), file)
    decoded = decode_head(file)
    assert decoded is not None
    with store.open(object_key(DIGEST)) as reader:
        yield store, reader, decoded[1]


def test_a_companion_holds_the_same_data_set(tmp_path: Path) -> None:
    with kept(part10(image(n_frames=3), DeflatedExplicitVRLittleEndian)) as (store, reader, start):
        assert find_companion(store, DIGEST) is None
        made = make_companion(store, reader, start=start, digest=DIGEST, scratch=tmp_path)
        assert made == find_companion(store, DIGEST)
        assert store.read(companion_key(DIGEST), made.dataset_offset) == encode(
            image(n_frames=3), ExplicitVRLittleEndian
        )
        assert made.frames is not None
        ((offset, length),) = made.frames.frame(1)
        plain = image(n_frames=3).PixelData
        assert store.read(companion_key(DIGEST), offset, length) == plain[length : 2 * length]
    assert list(tmp_path.iterdir()) == []


def test_what_grows_beyond_reason_leaves_nothing(tmp_path: Path) -> None:
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    bomb = deflater.compress(bytes(1 << 25)) + deflater.flush()
    file = part10(image(), DeflatedExplicitVRLittleEndian, encoded=bomb)
    with kept(file) as (store, reader, start):
        with pytest.raises(InvalidInstanceError, match="limit"):
            make_companion(store, reader, start=start, digest=DIGEST, scratch=tmp_path)
        assert find_companion(store, DIGEST) is None
    assert list(tmp_path.iterdir()) == []


def test_many_that_ask_at_once_get_the_same(tmp_path: Path) -> None:
    with kept(part10(image(), DeflatedExplicitVRLittleEndian)) as (store, reader, start):
        with ThreadPoolExecutor(8) as pool:
            made = {
                future.result()
                for future in [
                    pool.submit(make_companion, store, reader, start=start, digest=DIGEST, scratch=tmp_path)
                    for _ in range(16)
                ]
            }
        assert len(made) == 1
