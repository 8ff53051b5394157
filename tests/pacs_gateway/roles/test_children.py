"""Each role of a node consists of its processes."""

from pathlib import Path

import pytest

from pacs_gateway.config import load_settings
from pacs_gateway.roles.children import Role, programs


@pytest.mark.parametrize(
    ("role", "names"),
    [
        (Role.ALL, ["dicom 1", "dicom 2", "web 1", "shipper", "worker"]),
        (Role.DICOM, ["dicom 1", "dicom 2", "shipper"]),
        (Role.WEB, ["web 1", "shipper"]),
        (Role.WORKER, ["worker"]),
    ],
)
def test_each_role_has_its_children(tmp_path: Path, role: Role, names: list[str]) -> None:
    flags = {"data_dir": tmp_path, "dicom_workers": 2}
    settings = load_settings(flags=flags, environment={}).settings
    children = programs(role, settings, dicom_sockets=[], web_sockets=[])
    assert [program.name for program in children] == names
