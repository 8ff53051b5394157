"""Settings: flags over environment over ``pacs.toml`` over defaults, checked once, frozen afterwards.

Each package owns a ``Config`` of its own and is handed nothing else; this module composes them.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pacs_gateway.access.config import AccessConfig, UnknownDevices
from pacs_gateway.access.networks import ANYWHERE, LOOPBACK, NOWHERE, Networks
from pacs_gateway.archive.config import ArchiveConfig
from pacs_gateway.archive.conflicts import ConflictPolicy
from pacs_gateway.archive.nodes import NodeConfig
from pacs_gateway.database.engine import DatabaseConfig
from pacs_gateway.dimse.config import DimseConfig, TlsConfig
from pacs_gateway.errors import ConfigurationError, InputError
from pacs_gateway.storage.cached_store import CacheConfig
from pacs_gateway.storage.s3_config import S3Config, is_s3_url, split_s3_url
from pacs_gateway.storage.spool import SpoolConfig

PREFIX = "PACS_"
_HALF_OPEN_PER_ADDRESS, _HALF_OPEN_TOTAL = 8, 200
_SECRET_URLS = frozenset({"database_url"})
_SECRETS = frozenset({"node_secret", "s3_secret_key"})
_SHORTEST_SECRET = 16


class Settings(BaseModel):
    """The settings of the contract, by their names without ``PACS_``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data_dir: Path = Path("pacs-data")
    database_url: str = ""
    storage_url: str = ""
    s3_endpoint: str = ""
    s3_access_key: str = ""
    s3_secret_key: str = ""
    s3_region: str = "us-east-1"
    s3_secure: bool = True
    cache_bytes: int = Field(default=10 << 30, ge=0)
    dicom_host: str = "127.0.0.1"
    dicom_port: int = Field(default=11112, ge=0, le=65535)
    ae_title: str = "PACSGW"
    dicom_tls_cert: str = ""
    dicom_tls_key: str = ""
    dicom_tls_ca: str = ""
    dicom_tls_port: int = Field(default=2762, ge=0, le=65535)
    dicom_plain_networks: str = ""
    dicom_workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, le=64)
    web_host: str = "127.0.0.1"
    web_port: int = Field(default=8080, ge=0, le=65535)
    web_workers: int = Field(default_factory=lambda: min(os.cpu_count() or 1, 4), ge=1, le=64)
    trusted_proxies: str = ""
    node_url: str = ""
    node_secret: str = ""
    facility: str = Field(default="LOCAL", min_length=1, max_length=64)
    unknown_devices: UnknownDevices = UnknownDevices.REJECT
    auth: Literal["on", "off"] = "on"
    ack: Literal["spool", "object"] = "spool"
    conflict_policy: ConflictPolicy = ConflictPolicy.SAME_SOURCE
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "text", "json"] = "auto"

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()


@dataclass(frozen=True, slots=True)
class Loaded:
    """Effective settings, and where each came from."""

    settings: Settings
    sources: Mapping[str, str]

    def shown(self) -> dict[str, tuple[str, str]]:
        """Return (value, source) by setting, secrets masked."""
        values = self.settings.model_dump(mode="json")
        return {name: (_masked(name, str(value)), self.sources[name]) for name, value in values.items()}


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Everything the composition root needs, each package's part apart."""

    data_dir: Path
    database: DatabaseConfig
    spool: SpoolConfig
    objects: Path | S3Config
    """Folder of the local object store, or the bucket that is used instead."""
    cache: CacheConfig | None
    """What of a bucket is kept on this disk, too; None: nothing."""
    access: AccessConfig
    dimse: DimseConfig
    archive: ArchiveConfig
    dicom_hosts: tuple[str, ...]
    dicom_port: int
    dicom_tls_port: int
    web_hosts: tuple[str, ...]
    web_port: int
    trusted_proxies: Networks
    """Balancers: believed about who is calling, and nobody else is."""


def load_settings(
    *,
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    config_file: Path | None = None,
) -> Loaded:
    """Return the effective settings.

    Parameters
    ----------
    flags
        Values of command-line options by setting; None stands for "not given".
    environment
        The process environment unless given.
    config_file
        ``pacs.toml``; without it the one in the data directory, if there is one.

    Raises
    ------
    ConfigurationError
        A key is unknown or a value does not fit; one line that names it.
    """
    from_flags = {name: value for name, value in (flags or {}).items() if value is not None}
    from_environment = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in (os.environ if environment is None else environment).items()
        if name.startswith(PREFIX) and value != ""
    }
    data_dir = Path(from_flags.get("data_dir") or from_environment.get("data_dir") or "pacs-data").expanduser()
    from_file = _read_toml(config_file, data_dir)
    origins = [("pacs.toml", from_file), ("environment", from_environment), ("flag", from_flags)]
    values: dict[str, Any] = {}
    sources = dict.fromkeys(Settings.model_fields, "default")
    for origin, given in origins:
        for name in given:
            if name not in Settings.model_fields:
                shown = PREFIX + name.upper() if origin == "environment" else name
                raise ConfigurationError(f"{shown} ({origin}) is not a setting of this version")
        values |= given
        sources |= dict.fromkeys(given, origin)
    try:
        return Loaded(Settings.model_validate(values), sources)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{PREFIX}{name.upper()} ({sources.get(name, '?')}): {first['msg']}") from None


def compose(settings: Settings) -> GatewayConfig:
    """Return each package's part of the settings.

    Raises
    ------
    ConfigurationError
        Values that do not go together, or name what this version does not offer.
    """
    data = settings.data_dir
    ae_titles = tuple(title.strip() for title in settings.ae_title.split(",") if title.strip())
    if not ae_titles:
        raise ConfigurationError("PACS_AE_TITLE: name at least one AE title")
    workers = settings.dicom_workers
    proxies = _proxies(settings.trusted_proxies)
    tls = _tls(settings)
    return GatewayConfig(
        data_dir=data,
        database=DatabaseConfig(settings.database_url or f"sqlite:///{data / 'index.db'}"),
        spool=SpoolConfig(data / "spool"),
        objects=_objects(settings),
        cache=CacheConfig(data / "cache", settings.cache_bytes) if settings.cache_bytes else None,
        access=AccessConfig(
            facility=settings.facility,
            ae_titles=ae_titles,
            is_auth_on=settings.auth == "on",
            unknown_devices=settings.unknown_devices,
        ),
        dimse=DimseConfig(
            ae_titles=ae_titles,
            # The caps are the node's; each of its processes holds its share.
            half_open_per_address=max(1, _HALF_OPEN_PER_ADDRESS // workers),
            half_open_total=max(1, _HALF_OPEN_TOTAL // workers),
            trusted_proxies=proxies,
            tls=tls,
            plain_networks=_plain_networks(settings.dicom_plain_networks, has_tls=tls is not None),
        ),
        archive=ArchiveConfig(settings.conflict_policy, settings.ack == "object", _node(settings)),
        dicom_hosts=_hosts(settings.dicom_host),
        dicom_port=settings.dicom_port,
        dicom_tls_port=settings.dicom_tls_port,
        web_hosts=_hosts(settings.web_host),
        web_port=settings.web_port,
        trusted_proxies=proxies,
    )


def _objects(settings: Settings) -> Path | S3Config:
    url = settings.storage_url
    if is_s3_url(url):
        bucket, prefix = split_s3_url(url)
        return S3Config(
            endpoint=settings.s3_endpoint,
            bucket=bucket,
            access_key=settings.s3_access_key,
            secret_key=settings.s3_secret_key,
            prefix=prefix,
            region=settings.s3_region,
            secure=settings.s3_secure,
        )
    if settings.s3_endpoint:
        raise ConfigurationError("PACS_S3_ENDPOINT: name the bucket, too: PACS_STORAGE_URL=s3://bucket")
    if not url:
        return settings.data_dir / "objects"
    scheme, _, path = url.partition(":")
    if scheme != "file" or not path:
        raise ConfigurationError("PACS_STORAGE_URL: file:/path or s3://bucket/prefix")
    return Path(path.removeprefix("//")).expanduser().absolute()


def _proxies(text: str) -> Networks:
    if not text.strip():
        return NOWHERE
    wanted = "PACS_TRUSTED_PROXIES: name the proxies' own addresses or networks, such as 10.1.2.3 or 10.1.2.0/28"
    try:
        networks = Networks.parse(text)
    except InputError as error:
        raise ConfigurationError(wanted) from error
    if networks.is_any or networks.is_host or any(network.prefixlen == 0 for network in networks.ranges):
        raise ConfigurationError(f"{wanted}: whoever calls from there is believed")
    return networks


def _tls(settings: Settings) -> TlsConfig | None:
    certificate, key, ca = settings.dicom_tls_cert, settings.dicom_tls_key, settings.dicom_tls_ca
    if not certificate:
        if key or ca:
            raise ConfigurationError("PACS_DICOM_TLS_CERT: name the gateway's certificate, too")
        return None
    if not key:
        raise ConfigurationError("PACS_DICOM_TLS_KEY: name the certificate's key, too")
    return TlsConfig(_path(certificate), _path(key), _path(ca) if ca else None)


def _path(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _plain_networks(text: str, *, has_tls: bool) -> Networks:
    if not text.strip():
        return LOOPBACK if has_tls else ANYWHERE
    try:
        networks = Networks.parse(text)
    except InputError as error:
        raise ConfigurationError(f"PACS_DICOM_PLAIN_NETWORKS: {error}") from error
    if networks.is_host:
        raise ConfigurationError("PACS_DICOM_PLAIN_NETWORKS: give addresses or networks, such as 10.1.2.0/24, or any")
    return networks


def _node(settings: Settings) -> NodeConfig:
    url, secret = settings.node_url.rstrip("/"), settings.node_secret
    if secret and len(secret) < _SHORTEST_SECRET:
        raise ConfigurationError(f"PACS_NODE_SECRET: at least {_SHORTEST_SECRET} characters")
    if url and not secret:
        raise ConfigurationError("PACS_NODE_URL: nodes only talk to each other with the same PACS_NODE_SECRET")
    try:
        parts = urlsplit(url)
        is_root = not (parts.path or parts.query or parts.fragment or parts.username)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and is_root and parts.port != 0
    except ValueError:
        is_url = False
    if url and not is_url:
        raise ConfigurationError("PACS_NODE_URL: give scheme, host and port of this node: http://10.0.0.1:8080")
    return NodeConfig(url, secret)


def _hosts(text: str) -> tuple[str, ...]:
    return tuple(host.strip() for host in text.split(",") if host.strip()) or ("",)


def _read_toml(config_file: Path | None, data_dir: Path) -> dict[str, Any]:
    path = config_file or data_dir / "pacs.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if config_file is None:
            return {}
        raise ConfigurationError(f"there is no configuration file {path}") from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error


def _masked(name: str, value: str) -> str:
    """Return a value as it may be shown: of a secret URL that names more than a file, the scheme alone."""
    if name in _SECRETS and value:
        return "***"
    if name not in _SECRET_URLS or not ("@" in value or "?" in value):
        return value
    scheme, separator, _ = value.partition("://")
    return f"{scheme}://***" if separator else "***"
