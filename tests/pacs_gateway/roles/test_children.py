"""Each role of a node consists of its processes."""

import socket
from pathlib import Path

import pytest

from pacs_gateway.config import load_settings
from pacs_gateway.roles.children import Role, programs


@pytest.mark.parametrize(
    ("role", "names"),
    [
        (Role.ALL, ["dicom 1", "dicom 2", "web 1", "web 2", "web 3", "shipper", "worker"]),
        (Role.DICOM, ["dicom 1", "dicom 2", "shipper"]),
        (Role.WEB, ["web 1", "web 2", "web 3", "shipper"]),
        (Role.WORKER, ["worker"]),
    ],
)
def test_each_role_has_its_children(tmp_path: Path, role: Role, names: list[str]) -> None:
    flags = {"data_dir": tmp_path, "dicom_workers": 2, "web_workers": 3}
    settings = load_settings(flags=flags, environment={}).settings
    children = programs(role, settings, dicom_sockets=[], web_sockets=[])
    assert [program.name for program in children] == names


def test_a_node_without_a_web_serves_the_others_by_a_process_of_its_own(tmp_path: Path) -> None:
    settings = load_settings(flags={"data_dir": tmp_path, "dicom_workers": 1}, environment={}).settings
    with socket.create_server(("127.0.0.1", 0)) as listening:
        children = programs(Role.DICOM, settings, dicom_sockets=[], web_sockets=[], node_sockets=[listening])
    assert [program.name for program in children] == ["dicom 1", "node", "shipper"]
