"""One site with studies of many kinds, for all tests that only read."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.viewer_api import studies
from tests.viewer_api.site import Site, open_site
from viewer_api.viewer import install as fetching
from viewer_api.viewer.prepare import About


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with study 1 (every kind of object), 2 (big endian and others), 3 (of another facility)."""
    with open_site(tmp_path_factory.mktemp("site")) as opened:
        opened.put(*(studies.ct(instance=n) for n in (1, 2, 3)))
        opened.put(studies.rle(), studies.us(), studies.odd_fragments(), studies.pdf(), studies.report())
        opened.put(*(studies.ct(2, 1, n, syntax) for n, syntax in enumerate(studies.NATIVE, 1)))
        opened.put(studies.ct(3), facility="ELSEWHERE")
        yield opened


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    """A program with an administrator's token."""
    with site.client() as opened:
        yield opened


@pytest.fixture
def viewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A viewer of one page, whether the real one is installed or not."""
    page = b"<!doctype html>"
    (tmp_path / "index.html").write_bytes(page)
    (tmp_path / "about.json").write_bytes(About("1", "sha512-x", 1, (), (), {"index.html": len(page)}).to_json())
    monkeypatch.setattr(fetching, "PREPARED", tmp_path)
