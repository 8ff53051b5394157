"""The devices that commands call."""

from typing import Annotated

import typer

from pacs_gateway.access import Access, Device
from pacs_gateway.config import GatewayConfig
from pacs_gateway.dimse.scu.destination import remote_of
from pacs_gateway.errors import NotFoundError
from pacs_gateway.peers.dicom_peer import DicomPeer

Peer = Annotated[str, typer.Argument(metavar="PEER", help="AE title of a registered device with HOST and PORT.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def find_device(access: Access, config: GatewayConfig, ae_title: str) -> Device:
    """Return the registered device to call.

    Raises
    ------
    NotFoundError
        There is none with an address.
    """
    device = access.devices.destination(ae_title, called=config.dimse.ae_titles[0])
    if device is None:
        raise NotFoundError(f"no device {ae_title} with HOST and PORT is registered: see `pacs-gateway device list`")
    return device


def calling_title(device: Device, config: GatewayConfig) -> str:
    """Return the title of ours that `device` knows."""
    return device.called or config.dimse.ae_titles[0]


def peer_of(device: Device, config: GatewayConfig) -> DicomPeer:
    """Return `device` as somebody to call."""
    remote = remote_of(device, calling=calling_title(device, config), tls=config.dimse.tls)
    return DicomPeer(remote, config.dimse, frozenset(device.transfer_syntaxes), device.charset)
