"""``python -m pacs_gateway`` is ``pacs-gateway``."""

import sys

from pacs_gateway.cli import main

sys.exit(main())
