"""Into the object store with what a command has received."""

import typer

from pacs_gateway.errors import GatewayError
from pacs_gateway.gateway import Gateway


def ship_now(gateway: Gateway) -> None:
    """Ship what was received, in case no gateway is running that would; where one is, neither minds the other."""
    shipper = gateway.archive.shipper()
    try:
        while shipper.ship():
            pass
    except GatewayError as error:
        typer.echo(f"kept, and shipped to the object store later: {error}", err=True)
