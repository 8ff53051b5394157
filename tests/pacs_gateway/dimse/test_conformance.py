"""The conformance statement says what the tables say, and the copy in `docs` is it."""

import re
from pathlib import Path

from pacs_gateway.dimse.conformance import statement
from pacs_gateway.dimse.negotiation import SERVICES, STORAGE_CLASSES, STORED_SYNTAXES
from pacs_gateway.domain.attributes import ATTRIBUTES

_COPY = Path(__file__).parents[3] / "docs" / "conformance.md"


def test_the_copy_in_the_documents_is_current() -> None:
    assert _COPY.read_text(encoding="utf-8") == statement(), "run `make conformance`"


def test_everything_offered_is_stated() -> None:
    told = set(re.findall(r"`([0-9.]+)`", statement()))

    assert told >= {*SERVICES.services, *STORAGE_CLASSES, *STORED_SYNTAXES}


def test_every_key_is_stated() -> None:
    rows = statement().splitlines()

    for attribute in ATTRIBUTES:
        tag = f"({attribute.hex[:4]},{attribute.hex[4:]})"
        assert any(tag in row and attribute.keyword in row for row in rows), attribute.keyword
