"""The manifests: built by kustomize, held against Kubernetes' own schemas, and against what the gateway needs."""

import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from pacs_gateway.config import PREFIX, Settings

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "deploy" / "kubernetes"
OLDEST_KUBERNETES = "1.29"
ORDERLY_END_S = 35  # what the supervisor takes at most
WORKLOADS = {"StatefulSet", "Deployment"}

pytestmark = pytest.mark.peer("kustomize")


@pytest.fixture(scope="module")
def resources() -> list[dict[str, Any]]:
    """Return what `kubectl apply -k` would send."""
    built = subprocess.run(["kustomize", "build", MANIFESTS], check=True, capture_output=True, text=True).stdout
    return list(yaml.safe_load_all(built))


@pytest.fixture(scope="module")
def pods(resources: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the pod's specification by role."""
    return {r["metadata"]["name"]: r["spec"]["template"]["spec"] for r in resources if r["kind"] in WORKLOADS}


@pytest.mark.parametrize("version", [OLDEST_KUBERNETES, kubernetes_validate.latest_version()])
def test_kubernetes_schemas_accept_every_resource(resources: list[dict[str, Any]], version: str) -> None:
    for resource in resources:
        kubernetes_validate.validate(resource, version, strict=True)


def test_each_role_is_there(pods: dict[str, dict[str, Any]]) -> None:
    arguments = {name: pod["containers"][0]["args"] for name, pod in pods.items()}

    assert arguments == {role: ["serve", "--role", role] for role in ("dicom", "web", "worker")}


def test_what_receives_keeps_its_spool_when_its_pod_is_replaced(resources: list[dict[str, Any]]) -> None:
    by_kind = {(r["kind"], r["metadata"]["name"]): r for r in resources}

    for role in ("dicom", "web"):
        node = by_kind["StatefulSet", role]["spec"]
        assert [claim["metadata"]["name"] for claim in node["volumeClaimTemplates"]] == ["data"]
        names = by_kind["Service", node["serviceName"]]["spec"]
        assert (names["clusterIP"], names["publishNotReadyAddresses"]) == ("None", True)
        environment = [variable["name"] for variable in node["template"]["spec"]["containers"][0]["env"]]
        # Kubernetes fills in only what stands before.
        assert environment.index("POD_NAME") < environment.index("PACS_NODE_URL")


def test_variables_of_the_gateway_are_its_settings_and_no_others_get_in(
    resources: list[dict[str, Any]], pods: dict[str, dict[str, Any]]
) -> None:
    literal = {name for r in resources if r["kind"] == "ConfigMap" for name in r["data"] if name.startswith(PREFIX)}
    named = {variable["name"] for pod in pods.values() for variable in pod["containers"][0]["env"]} - {"POD_NAME"}

    assert literal | named <= {PREFIX + field.upper() for field in Settings.model_fields}
    assert {pod["enableServiceLinks"] for pod in pods.values()} == {False}


def test_every_config_map_a_pod_names_is_built(
    resources: list[dict[str, Any]], pods: dict[str, dict[str, Any]]
) -> None:
    built = {r["metadata"]["name"] for r in resources if r["kind"] == "ConfigMap"}
    containers = [pod["containers"][0] for pod in pods.values()]
    named = {source["configMapRef"]["name"] for container in containers for source in container["envFrom"]}
    keys = [v["valueFrom"].get("configMapKeyRef") for c in containers for v in c["env"] if "valueFrom" in v]

    assert named | {key["name"] for key in keys if key} == built


def test_no_pod_has_more_rights_than_it_needs(pods: dict[str, dict[str, Any]]) -> None:
    for pod in pods.values():
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_pods_get_time_for_an_orderly_end(pods: dict[str, dict[str, Any]]) -> None:
    assert {pod["terminationGracePeriodSeconds"] > ORDERLY_END_S for pod in pods.values()} == {True}


def test_devices_keep_their_addresses(resources: list[dict[str, Any]]) -> None:
    (service,) = [r for r in resources if r["kind"] == "Service" and r["metadata"]["name"] == "dicom"]

    assert service["spec"]["externalTrafficPolicy"] == "Local"


def test_every_selector_finds_a_role(resources: list[dict[str, Any]], pods: dict[str, dict[str, Any]]) -> None:
    selected = set()
    for resource in resources:
        spec = resource.get("spec", {})
        if resource["kind"] == "Service":
            selected.add(spec["selector"]["app.kubernetes.io/component"])
        elif resource["kind"] in ("NetworkPolicy", "PodDisruptionBudget"):
            labels = spec.get("podSelector") or spec["selector"]
            selected.add(labels["matchLabels"]["app.kubernetes.io/component"])

    assert selected == set(pods)
