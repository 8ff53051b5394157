"""The guide for those who write clients says what routes and tables say, and the copy in `docs` is it."""

from pathlib import Path

from pacs_gateway.domain.attributes import ATTRIBUTES
from viewer_api.description.guide import guide

_COPY = Path(__file__).parents[3] / "docs" / "dicomweb.md"


def test_the_copy_in_the_documents_is_current() -> None:
    assert _COPY.read_text(encoding="utf-8") == guide(), "run `make conformance`"


def test_every_attribute_is_told() -> None:
    text = guide()
    for attribute in ATTRIBUTES:
        assert f"`{attribute.keyword}" in text
