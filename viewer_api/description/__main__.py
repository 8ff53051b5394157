"""Writes `docs/dicomweb.md`: ``python -m viewer_api.description > docs/dicomweb.md``."""

import sys

from viewer_api.description.guide import guide

sys.stdout.write(guide())
