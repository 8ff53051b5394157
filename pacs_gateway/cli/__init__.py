"""The command line: ``pacs-gateway``."""

import sys


def main() -> int:
    """Run the command that the arguments name; return its exit status: 0, 1 for failure, 2 for wrong usage."""
    from pacs_gateway.cli.root import run

    return run(sys.argv[1:])
