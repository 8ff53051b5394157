"""The kept metadata of a series are read one instance at a time."""

import gzip
import json
import tracemalloc

import pytest

from pacs_gateway.archive.metadata_blob import MetadataBlob, compress


def _object(uid: str, comment: str = "[x],\n{}") -> bytes:
    content = {"00080018": {"vr": "UI", "Value": [uid]}, "00204000": {"vr": "LT", "Value": [comment]}}
    return json.dumps(content, separators=(",", ":")).encode()


OBJECTS = {uid: _object(uid) for uid in ("1.2", "1.1", "1.12")}


@pytest.fixture(params=["a line each", "one line, as before"])
def blob(request: pytest.FixtureRequest) -> MetadataBlob:
    if request.param == "a line each":
        return MetadataBlob.of(compress(OBJECTS))
    return MetadataBlob.of(gzip.compress(b"[" + b",".join(OBJECTS.values()) + b"]"))


def test_it_is_a_json_array_of_the_objects_in_their_order(blob: MetadataBlob) -> None:
    expected = [json.loads(body) for body in OBJECTS.values()]
    assert json.loads(gzip.decompress(blob.read())) == expected
    assert json.loads(b"[" + b",".join(blob.members()) + b"]") == expected
    assert list(blob.objects()) == expected


def test_instances_are_found_by_uid(blob: MetadataBlob) -> None:
    assert blob.find(["1.1", "1.2.3"]) == {"1.1": OBJECTS["1.1"]}
    assert blob.by_uid() == OBJECTS


def test_nothing_is_no_object() -> None:
    assert list(MetadataBlob.of(compress({})).members()) == []


def test_a_series_of_thousands_is_never_in_memory_whole() -> None:
    objects = {f"1.{n}": _object(f"1.{n}", str(n) * 1000) for n in range(4000)}
    blob = MetadataBlob.of(compress(objects))
    n_bytes = sum(map(len, objects.values()))
    objects.clear()
    tracemalloc.start()
    try:
        assert sum(len(piece) for piece in blob.members()) == n_bytes
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert n_bytes > 10e6
    assert peak < 1e6
