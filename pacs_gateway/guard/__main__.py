"""A nursery for a process that did not fork one: ``python -m pacs_gateway.guard DESCRIPTOR``."""

import sys

from pacs_gateway.guard.nursery import run

run(int(sys.argv[1]))
