"""Start one headless role: ``python -m pacs_gateway.roles NAME [DESCRIPTOR...]``; settings come by environment."""

import logging
import sys

from pacs_gateway.config import compose, load_settings
from pacs_gateway.errors import GatewayError
from pacs_gateway.roles import dicom, shipper, worker
from pacs_gateway.roles.lifeline import die_with_parent, stop_on_signals
from pacs_gateway.telemetry.log import configure_logging

_ROLES = {"dicom": dicom.run, "shipper": shipper.run, "worker": worker.run}


def main() -> int:
    """Run the role that the arguments name until it is told to stop; return the exit status."""
    name, *descriptors = sys.argv[1:]
    stop = stop_on_signals()
    die_with_parent()
    try:
        settings = load_settings().settings
        configure_logging(level=settings.log_level, log_format=settings.log_format, role=name)
        _ROLES[name](compose(settings), stop, [int(descriptor) for descriptor in descriptors])
    except GatewayError as error:
        logging.getLogger(__name__).critical("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
