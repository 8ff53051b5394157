from pathlib import Path

import pytest

from pacs_gateway.access.networks import parse_address
from pacs_gateway.config import GatewayConfig, Settings, compose, load_settings
from pacs_gateway.errors import ConfigurationError
from pacs_gateway.storage.s3_config import S3Config


def test_flags_go_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    (tmp_path / "pacs.toml").write_text('dicom_port = 1\nweb_port = 1\nfacility = "HUE"\n')
    loaded = load_settings(
        flags={"data_dir": tmp_path, "dicom_port": 3, "ae_title": None},
        environment={"PACS_DICOM_PORT": "2", "PACS_WEB_PORT": "2", "PACS_LOG_LEVEL": "", "HOME": "/"},
    )
    settings, sources = loaded.settings, loaded.sources
    assert (settings.dicom_port, settings.web_port, settings.facility) == (3, 2, "HUE")
    assert [sources[name] for name in ("dicom_port", "web_port", "facility", "ae_title", "log_level")] == [
        *("flag", "environment", "pacs.toml", "default", "default")
    ]


def test_a_home_folder_may_be_abbreviated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "pacs.toml").write_text("web_port = 7\n")
    settings = load_settings(environment={"PACS_DATA_DIR": "~/data"}).settings
    assert (settings.data_dir, settings.web_port) == (tmp_path / "data", 7)


@pytest.mark.parametrize(
    ("environment", "toml", "named"),
    [
        ({"PACS_NO_SUCH": "1"}, "", "PACS_NO_SUCH"),
        ({}, "dicom_prot = 1", "dicom_prot"),
        ({"PACS_DICOM_PORT": "99999"}, "", "PACS_DICOM_PORT"),
        ({"PACS_AUTH": "secret-value"}, "", "PACS_AUTH"),
        ({}, "not toml", "pacs.toml"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_that_names_it(
    tmp_path: Path, environment: dict[str, str], toml: str, named: str
) -> None:
    (tmp_path / "pacs.toml").write_text(toml)
    with pytest.raises(ConfigurationError) as refusal:
        load_settings(flags={"data_dir": tmp_path}, environment=environment)
    assert named in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "secret-value" not in str(refusal.value)


def test_a_configuration_file_that_is_not_there_or_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigurationError, match=path.name):
            load_settings(environment={}, config_file=path)


@pytest.mark.parametrize(
    "url",
    ["postgresql://pacs:hunter2@db/pacs", "postgresql://db/pacs?user=pacs&password=hunter2", "pacs:hunter2@db"],
)
def test_secrets_are_masked(url: str) -> None:
    shown, source = load_settings(environment={"PACS_DATABASE_URL": url}).shown()["database_url"]
    assert source == "environment"
    assert "hunter2" not in shown


def test_what_is_no_secret_is_shown() -> None:
    shown = load_settings(environment={"PACS_DATABASE_URL": "sqlite:////srv/index.db"}).shown()
    assert shown["database_url"] == ("sqlite:////srv/index.db", "environment")
    assert set(shown) == set(Settings.model_fields)


def test_each_package_gets_its_part(tmp_path: Path) -> None:
    environment = {"PACS_AE_TITLE": "HUE_PACS, OTHER", "PACS_DICOM_HOST": "0.0.0.0, ::", "PACS_DICOM_WORKERS": "4"}
    config = compose(load_settings(flags={"data_dir": tmp_path}, environment=environment).settings)
    assert config.dimse.ae_titles == ("HUE_PACS", "OTHER")
    assert config.dicom_hosts == ("0.0.0.0", "::")
    assert config.spool.root == tmp_path / "spool"
    assert config.objects == tmp_path / "objects"
    assert config.database.url == f"sqlite:///{tmp_path}/index.db"


@pytest.mark.parametrize("environment", [{"PACS_STORAGE_URL": "s3://bucket"}, {"PACS_AE_TITLE": " , "}])
def test_what_this_version_does_not_offer_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(environment))):
        compose(load_settings(environment=environment).settings)


_S3 = {
    "PACS_STORAGE_URL": "s3://objects/hue/pacs",
    "PACS_S3_ENDPOINT": "minio.example:9000",
    "PACS_S3_ACCESS_KEY": "gateway",
    "PACS_S3_SECRET_KEY": "hunter2",
}


def test_objects_may_lie_in_a_bucket() -> None:
    objects = compose(load_settings(environment=_S3 | {"PACS_S3_SECURE": "off"}).settings).objects
    assert objects == S3Config(
        endpoint="minio.example:9000",
        bucket="objects",
        prefix="hue/pacs",
        access_key="gateway",
        secret_key="hunter2",
        secure=False,
    )
    assert "hunter2" not in repr(objects)


def test_the_secret_key_is_masked() -> None:
    loaded = load_settings(environment=_S3)
    assert loaded.shown()["s3_secret_key"] == ("***", "environment")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"PACS_S3_ENDPOINT": ""}, "PACS_S3_ENDPOINT"),
        ({"PACS_S3_ACCESS_KEY": ""}, "PACS_S3_ACCESS_KEY"),
        ({"PACS_S3_SECRET_KEY": ""}, "PACS_S3_SECRET_KEY"),
        ({"PACS_S3_ENDPOINT": "http://minio:9000"}, "PACS_S3_ENDPOINT"),
        ({"PACS_S3_ENDPOINT": "minio:9000/path"}, "PACS_S3_ENDPOINT"),
        ({"PACS_S3_REGION": "here and there"}, "PACS_S3_REGION"),
        ({"PACS_S3_SECURE": "perhaps"}, "PACS_S3_SECURE"),
        ({"PACS_STORAGE_URL": "s3://"}, "PACS_STORAGE_URL"),
        ({"PACS_STORAGE_URL": "s3://Objects"}, "PACS_STORAGE_URL"),
        ({"PACS_STORAGE_URL": "s3://objects/../etc"}, "PACS_STORAGE_URL"),
        ({"PACS_STORAGE_URL": "file:/srv"}, "PACS_S3_ENDPOINT"),
        ({"PACS_STORAGE_URL": "gs://objects"}, "PACS_STORAGE_URL"),
    ],
)
def test_incomplete_or_wrong_s3_settings_are_refused(change: dict[str, str], named: str) -> None:
    environment = _S3 | change
    if change.get("PACS_STORAGE_URL", "").startswith("gs"):
        environment = change
    with pytest.raises(ConfigurationError, match=named) as refused:
        compose(load_settings(environment=environment).settings)
    assert "hunter2" not in str(refused.value)


def test_objects_may_lie_elsewhere(tmp_path: Path) -> None:
    settings = load_settings(environment={"PACS_STORAGE_URL": f"file://{tmp_path}/o"}).settings
    assert compose(settings).objects == tmp_path / "o"


def test_trusted_proxies_are_believed_by_dicom_and_web_alike(tmp_path: Path) -> None:
    environment = {"PACS_TRUSTED_PROXIES": "10.1.2.3, 10.2.0.0/24,2001:db8::/64"}
    config = compose(load_settings(flags={"data_dir": tmp_path}, environment=environment).settings)
    assert str(config.trusted_proxies) == "10.1.2.3/32,10.2.0.0/24,2001:db8::/64"
    assert config.dimse.trusted_proxies == config.trusted_proxies


def test_no_proxy_is_trusted_unless_named(tmp_path: Path) -> None:
    config = compose(load_settings(flags={"data_dir": tmp_path}, environment={}).settings)
    assert not config.trusted_proxies.contain(parse_address("127.0.0.1"))


@pytest.mark.parametrize(
    "text", ["any", "host", "10.1.2.3,host", "0.0.0.0/0", "::/0", "balancer.local", "10.1.2.3/24", ","]
)
def test_proxies_that_are_everybody_or_no_network_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="PACS_TRUSTED_PROXIES") as refusal:
        compose(load_settings(environment={"PACS_TRUSTED_PROXIES": text}).settings)
    assert "\n" not in str(refusal.value)


def composed(**environment: str) -> GatewayConfig:
    return compose(load_settings(environment=environment).settings)


SECRET = "a secret of all the nodes"


@pytest.mark.parametrize(
    ("url", "listens_at"),
    [
        ("", None),
        ("http://10.0.0.1:8080", ("", 8080)),
        ("http://node-1.hospital.example:8080/", ("", 8080)),
        ("http://127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("http://localhost", ("localhost", 80)),
        ("http://[fd00::1]:8080", ("::", 8080)),
    ],
)
def test_a_node_has_an_address_for_the_others(url: str, listens_at: tuple[str, int] | None) -> None:
    node = composed(PACS_NODE_URL=url, PACS_NODE_SECRET=SECRET).archive.node

    assert (node.url, node.secret, node.listens_at) == (url.rstrip("/"), SECRET, listens_at)
    assert SECRET not in repr(node)


@pytest.mark.parametrize(
    ("url", "secret", "named"),
    [
        ("http://10.0.0.1:8080", "", "PACS_NODE_SECRET"),
        ("", "short", "PACS_NODE_SECRET"),
        *(
            (url, SECRET, "PACS_NODE_URL")
            for url in (
                "10.0.0.1:8080",
                "ftp://10.0.0.1",
                "http://",
                "http://10.0.0.1:0",
                "http://10.0.0.1:99999",
                "http://10.0.0.1/path",
                "http://10.0.0.1/?query",
                "http://user@10.0.0.1",
                "http://[::1",
            )
        ),
    ],
)
def test_an_address_or_secret_that_is_none_is_refused(url: str, secret: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        composed(PACS_NODE_URL=url, PACS_NODE_SECRET=secret)


def test_the_secret_of_the_nodes_is_masked() -> None:
    shown = load_settings(environment={"PACS_NODE_SECRET": SECRET}).shown()

    assert shown["node_secret"] == ("***", "environment")


@pytest.mark.parametrize(("limit", "kept"), [("", 10 << 30), ("1000", 1000), ("0", None)])
def test_the_cache_has_a_limit_or_there_is_none(limit: str, kept: int | None) -> None:
    cache = composed(PACS_CACHE_BYTES=limit).cache

    assert (cache.limit_bytes if cache else None) == kept


def test_success_may_have_to_wait_for_the_object_store() -> None:
    assert not composed().archive.is_object_first
    assert composed(PACS_ACK="object").archive.is_object_first


def test_tls_is_on_with_a_certificate_and_then_plain_calls_come_from_here_alone(tmp_path: Path) -> None:
    def of(**environment: str) -> GatewayConfig:
        return compose(load_settings(flags={"data_dir": tmp_path}, environment=environment).settings)

    plain, here, there = of(), parse_address("127.0.0.1"), parse_address("10.0.0.1")
    assert plain.dimse.tls is None
    assert plain.dimse.plain_networks.contain(there)
    files = {"PACS_DICOM_TLS_CERT": "/c.pem", "PACS_DICOM_TLS_KEY": "/k.pem"}
    secure = of(**files)
    assert secure.dimse.tls is not None
    assert (secure.dimse.tls.certificate, secure.dimse.tls.ca, secure.dicom_tls_port) == (Path("/c.pem"), None, 2762)
    assert secure.dimse.plain_networks.contain(here)
    assert not secure.dimse.plain_networks.contain(there)
    mixed = of(**files, PACS_DICOM_TLS_CA="/a.pem", PACS_DICOM_PLAIN_NETWORKS="10.0.0.0/24")
    assert mixed.dimse.tls is not None
    assert mixed.dimse.tls.ca == Path("/a.pem")
    assert mixed.dimse.plain_networks.contain(there)
    assert not mixed.dimse.plain_networks.contain(here)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"PACS_DICOM_TLS_KEY": "/k.pem"}, "PACS_DICOM_TLS_CERT"),
        ({"PACS_DICOM_TLS_CA": "/a.pem"}, "PACS_DICOM_TLS_CERT"),
        ({"PACS_DICOM_TLS_CERT": "/c.pem"}, "PACS_DICOM_TLS_KEY"),
        ({"PACS_DICOM_PLAIN_NETWORKS": "host"}, "PACS_DICOM_PLAIN_NETWORKS"),
        ({"PACS_DICOM_PLAIN_NETWORKS": "10.0.0.1/24"}, "PACS_DICOM_PLAIN_NETWORKS"),
    ],
)
def test_half_of_tls_is_refused(tmp_path: Path, environment: dict[str, str], named: str) -> None:
    settings = load_settings(flags={"data_dir": tmp_path}, environment=environment).settings
    with pytest.raises(ConfigurationError, match=named):
        compose(settings)
