"""The compose file, as Compose itself understands it: complete or refused, and nothing open that need not be."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pacs_gateway.config import PREFIX, compose, load_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = Path(sys.executable).parent / "docker-compose"
ROLES = {"dicom1": "dicom", "dicom2": "dicom", "web1": "web", "web2": "web", "worker": "worker"}
ORDERLY_END_S = 35  # what the supervisor takes at most


def variables() -> list[str]:
    """Return what the template asks for."""
    return re.findall(r"^([A-Z0-9_]+)=$", (DEPLOY / "compose.env.example").read_text(encoding="utf-8"), re.MULTILINE)


def resolved(tmp_path: Path, leave_out: str = "") -> "subprocess.CompletedProcess[str]":
    """Have Compose read its file with every variable filled in, apart from one."""
    filled = dict.fromkeys(variables(), "a1b2c3d4e5f6a7b8") | {"DICOM_PORT": "11112", "WEB_PORT": "443"}
    filled.pop(leave_out, None)
    environment = tmp_path / "env"
    environment.write_text("".join(f"{name}={value}\n" for name, value in filled.items()), encoding="utf-8")
    files = ["--env-file", str(environment), "--file", str(DEPLOY / "compose.yml")]
    command = [str(COMPOSE), *files, "config", "--format", "json"]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"})


@pytest.fixture
def services(tmp_path: Path) -> dict[str, Any]:
    """Return the services as Compose would start them."""
    found = resolved(tmp_path)
    assert (found.returncode, found.stderr) == (0, "")
    parsed: dict[str, Any] = json.loads(found.stdout)["services"]
    return parsed


@pytest.mark.parametrize("name", variables())
def test_nothing_that_must_be_decided_has_a_default(name: str, tmp_path: Path) -> None:
    found = resolved(tmp_path, leave_out=name)

    assert found.returncode != 0
    assert f"required variable {name} is missing" in found.stderr


@pytest.mark.parametrize(("service", "role"), ROLES.items())
def test_each_service_has_valid_settings(services: dict[str, Any], service: str, role: str, tmp_path: Path) -> None:
    environment = services[service]["environment"] | {"PACS_DATA_DIR": str(tmp_path)}

    settings = load_settings(environment=environment).settings

    compose(settings)
    assert services[service]["command"] == ["serve", "--role", role]
    assert set(environment) <= {PREFIX + field.upper() for field in type(settings).model_fields}


def test_each_receiving_node_has_a_spool_and_a_name_of_its_own(services: dict[str, Any]) -> None:
    nodes = [name for name in ROLES if name != "worker"]

    for name in nodes:
        (volume,) = services[name]["volumes"]
        assert (volume["type"], volume["source"]) == ("volume", name)
        assert services[name]["environment"]["PACS_NODE_URL"] == f"http://{name}:8080"


def test_only_the_balancer_can_be_reached_from_outside(services: dict[str, Any]) -> None:
    published = {name: [port["target"] for port in service.get("ports", [])] for name, service in services.items()}

    assert {name: ports for name, ports in published.items() if ports} == {"balancer": [11112, 8443]}


def test_only_the_balancer_is_believed_about_callers(services: dict[str, Any]) -> None:
    address = services["balancer"]["networks"]["edge"]["ipv4_address"]

    assert {services[name]["environment"]["PACS_TRUSTED_PROXIES"] for name in ROLES} == {address}


def test_every_service_comes_back_and_gets_time_to_end(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["restart"] == "unless-stopped", name
        grace = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", service["stop_grace_period"])
        assert grace is not None
        assert int(grace[1] or 0) * 60 + int(grace[2] or 0) > ORDERLY_END_S, name
        assert service["logging"]["options"]["max-size"], name
        assert "healthcheck" in service or "build" in service, f"{name}: neither its own health check nor our image's"


def test_our_services_need_no_privilege_and_no_writable_root(services: dict[str, Any]) -> None:
    for name in (*ROLES, "balancer", "minio"):
        assert services[name]["read_only"] is True, name
        assert services[name]["cap_drop"] == ["ALL"], name
        assert services[name]["security_opt"] == ["no-new-privileges:true"], name
