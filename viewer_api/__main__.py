"""Start one web process: ``python -m viewer_api --fd DESCRIPTOR...``; settings come by environment."""

import argparse
import logging
import sys

from pacs_gateway.config import compose, load_settings
from pacs_gateway.errors import GatewayError
from pacs_gateway.roles.lifeline import die_with_parent, stop_on_signals
from pacs_gateway.telemetry.log import configure_logging
from viewer_api.worker import run


def main() -> int:
    """Serve until told to stop; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m viewer_api", description="Serve the web on inherited sockets.")
    parser.add_argument("--fd", type=int, nargs="+", required=True, help="file descriptors of listening sockets")
    descriptors: list[int] = parser.parse_args().fd
    stop = stop_on_signals()
    die_with_parent()
    try:
        settings = load_settings().settings
        configure_logging(level=settings.log_level, log_format=settings.log_format, role="web")
        run(compose(settings), stop, descriptors)
    except GatewayError as error:
        logging.getLogger(__name__).critical("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
