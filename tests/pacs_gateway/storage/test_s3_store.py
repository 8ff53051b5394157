"""The S3 backend under the contract, against MinIO and SeaweedFS, and what is its own."""

import hashlib
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from pacs_gateway.errors import IntegrityError, UnavailableError
from pacs_gateway.storage.check import check_store
from pacs_gateway.storage.s3_config import S3Config
from pacs_gateway.storage.s3_content import PART_SIZE, measure
from pacs_gateway.storage.s3_store import S3Store
from pacs_gateway.storage.store import ObjectStore
from tests.support.contracts.object_store import DATA, KEY, ObjectStoreContract, uploaded
from tests.support.object_servers import ObjectServer


class S3StoreContract(ObjectStoreContract):
    """The contract; a server is given by its fixture."""

    one_of_many_wins = False

    @pytest.fixture
    def server(self) -> ObjectServer:
        raise NotImplementedError

    @pytest.fixture
    def store(self, server: ObjectServer) -> Iterator[ObjectStore]:
        with S3Store(server.config()) as store:
            self.client = server.client()
            store.probe()  # so that there is a bucket to look into
            yield store

    def name(self, store: ObjectStore, key: str) -> tuple[str, str]:
        assert isinstance(store, S3Store)
        return store.config.bucket, f"{store.config.prefix}/{key}"

    def raw_keys(self, store: ObjectStore) -> set[str]:
        bucket, prefix = self.name(store, "")
        entries = self.client.list_objects(bucket, prefix, recursive=True)
        return {(entry.object_name or "").removeprefix(prefix) for entry in entries}

    def raw_get(self, store: ObjectStore, key: str) -> bytes:
        response = self.client.get_object(*self.name(store, key))
        try:
            return response.read()
        finally:
            response.release_conn()

    def raw_set(self, store: ObjectStore, key: str, data: bytes) -> None:
        self.client.put_object(*self.name(store, key), BytesIO(data), len(data))


@pytest.mark.peer("minio")
class TestMinio(S3StoreContract):
    @pytest.fixture
    def server(self, minio_server: ObjectServer) -> ObjectServer:
        return minio_server


@pytest.mark.peer("seaweedfs")
class TestSeaweedFS(S3StoreContract):
    @pytest.fixture
    def server(self, seaweedfs_server: ObjectServer) -> ObjectServer:
        return seaweedfs_server


@pytest.mark.peer("minio")
class TestTls:
    """The same over TLS, with a certificate of the server's own."""

    def test_objects_come_back_over_tls(
        self, tls_minio_server: ObjectServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(tls_minio_server.certificate))
        data = secrets.token_bytes(2 * PART_SIZE + 11)
        with S3Store(tls_minio_server.config()) as store:
            store.put(KEY, DATA)
            store.put_file(uploaded(tmp_path / "large", data, "a/large"))
            assert store.read(KEY) == DATA
            assert store.read(KEY, 3, 5) == DATA[3:8]
            assert b"".join(store.stream("a/large")) == data
            assert [step.error for step in check_store(store)] == [None] * 7

    def test_an_unknown_certificate_is_not_trusted(self, tls_minio_server: ObjectServer) -> None:
        with (
            S3Store(tls_minio_server.config()) as store,
            pytest.raises(UnavailableError, match="self-signed") as caught,
        ):
            store.probe()
        assert tls_minio_server.secret_key not in str(caught.value)


@pytest.fixture(
    params=[
        pytest.param("minio", marks=pytest.mark.peer("minio")),
        pytest.param("seaweedfs", marks=pytest.mark.peer("seaweedfs")),
    ]
)
def server(request: pytest.FixtureRequest) -> ObjectServer:
    found = request.getfixturevalue(f"{request.param}_server")
    assert isinstance(found, ObjectServer)
    return found


@pytest.mark.parametrize("size", [PART_SIZE, PART_SIZE + 1, 2 * PART_SIZE, 3 * PART_SIZE + 5])
def test_large_files_go_in_parts_and_are_checked_by_the_servers_own_sum(
    server: ObjectServer, tmp_path: Path, size: int
) -> None:
    data = secrets.token_bytes(size)
    with S3Store(replace(server.config(), n_read_back=0)) as store:
        upload = uploaded(tmp_path / "large", data, "a/large")
        store.put_file(upload)
        store.put_file(upload)
        found = server.client().stat_object(store.config.bucket, f"{store.config.prefix}/a/large")
        assert found.etag == measure(BytesIO(data)).etag
        assert store.stat("a/large").sha256 == hashlib.sha256(data).hexdigest()
        assert store.checksum("a/large") == hashlib.sha256(data).hexdigest()
        assert store.read("a/large", PART_SIZE - 4, 4) == data[PART_SIZE - 4 : PART_SIZE]


def test_a_damaged_object_that_bears_the_right_name_is_put_right(server: ObjectServer) -> None:
    """As a put leaves it whose body was altered on its way, and whose process died before it looked."""
    with S3Store(server.config()) as store:
        store.exists(KEY)
        name = (store.config.bucket, f"{store.config.prefix}/{KEY}")
        digest = hashlib.sha256(DATA).hexdigest()
        server.client().put_object(*name, BytesIO(b"!" + DATA[1:]), len(DATA), metadata={"sha256": digest})
        with pytest.raises(IntegrityError):
            store.read(KEY)
        store.put(KEY, DATA)
        assert store.read(KEY) == DATA


def test_a_bucket_is_made_when_there_is_none_and_said_when_it_is_gone(
    server: ObjectServer, caplog: pytest.LogCaptureFixture
) -> None:
    bucket = f"fresh-{secrets.token_hex(6)}"
    with (
        S3Store(replace(server.config(), bucket=bucket)) as store,
        S3Store(replace(server.config(), bucket=bucket)) as other,
    ):
        store.probe()
        assert "has been made" in caplog.text
        other.put(KEY, DATA)
        other.delete(KEY)
        server.client().remove_bucket(bucket)
        with pytest.raises(UnavailableError, match="bucket is gone"):
            store.probe()


@pytest.mark.parametrize("wrong", ["access key", "secret key"])
def test_wrong_credentials_are_said_without_the_secret(server: ObjectServer, wrong: str) -> None:
    config = server.config()
    config = replace(config, access_key="nobody") if wrong == "access key" else replace(config, secret_key="x" * 40)
    with S3Store(config) as store:
        for operation in (store.probe, lambda: store.read(KEY), lambda: store.put(KEY, DATA)):
            with pytest.raises(UnavailableError) as caught:
                operation()
            assert config.secret_key not in str(caught.value)
            assert server.endpoint in str(caught.value)


def test_nobody_there_is_unavailable_and_soon_said_at_once() -> None:
    config = S3Config(endpoint="127.0.0.1:1", bucket="objects", access_key="a", secret_key="b", secure=False)
    with S3Store(config) as store:
        with pytest.raises(UnavailableError, match="no connection"):
            store.probe()
        for _ in range(3):
            with pytest.raises(UnavailableError):
                store.put(KEY, DATA)
        # By now it does not ask any more; but one in two seconds is let through to try.
        errors = [error for error in (error_of(store) for _ in range(3)) if "has not answered for" in error]
        assert len(errors) >= 2


def error_of(store: ObjectStore) -> str:
    with pytest.raises(UnavailableError) as caught:
        store.read(KEY)
    return str(caught.value)


def test_a_store_on_disk_does_not_load_the_client() -> None:
    loaded = "import sys, pacs_gateway.gateway, pacs_gateway.cli.root; print(' '.join(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", loaded], check=True, capture_output=True, text=True).stdout.split()
    assert {"minio", "pacs_gateway.storage.s3_store"} & set(modules) == set()
