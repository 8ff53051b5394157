"""What a reader does with OHIF, and what can be seen."""

import io
import os
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.support.running_gateway import ROOT, RunningGateway

DEADLINE_MS = 90_000
"""Software rendering beside other tests on two cores: opening a study takes some ten seconds alone."""
_ARTEFACTS = Path(os.environ.get("PACS_TEST_ARTEFACTS", ROOT / "test-artefacts")) / "viewer"
_WIDTH = 96
"""To which pictures are shrunk before they are compared: what differs by how a browser smooths is evened out."""


class Ohif:
    """One page with the viewer."""

    def __init__(self, page: Page, site: RunningGateway) -> None:
        self.page = page
        self.site = site
        self.faults: list[str] = []
        own = (site.url, "blob:", "data:")
        page.set_default_timeout(DEADLINE_MS)
        page.on("console", lambda message: self._note(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self._note(str(error)))
        page.on("request", lambda request: None if request.url.startswith(own) else self._note(request.url))
        page.on(
            "response", lambda answer: self._note(f"{answer.status} {answer.url}") if answer.status >= 400 else None
        )

    def open(self, study_uid: str) -> None:
        """Open a study and wait until its first picture is there."""
        self.page.goto(f"{self.site.url}/viewer/viewer?StudyInstanceUIDs={study_uid}")
        expect(self.viewport).to_be_visible(timeout=DEADLINE_MS)

    @property
    def viewport(self) -> Locator:
        """The first picture."""
        return self.page.locator(".cornerstone-canvas").first

    @property
    def studies(self) -> Locator:
        """The rows of the viewer's own list; every sample is of one year."""
        return self.page.locator("tr", has_text="-2026")

    def series(self, description: str) -> Locator:
        """Return the entry of a series in the list beside the pictures."""
        return self.page.locator('[data-cy^="study-browser-thumbnail"]', has_text=description)

    def show(self, description: str) -> None:
        """Put a series into the viewport."""
        self.series(description).first.dblclick()

    def text(self) -> str:
        """Return what is written over the picture."""
        return self.page.locator(".viewport-wrapper").first.inner_text()

    def wait_for_text(self, pattern: str) -> re.Match[str]:
        """Wait until something is written over the picture and return it."""
        self.page.wait_for_function(
            "pattern => new RegExp(pattern).test(document.querySelector('.viewport-wrapper')?.innerText ?? '')",
            arg=pattern,
        )
        found = re.search(pattern, self.text())
        assert found is not None
        return found

    def wait_until_drawn(self, canvas: Locator | None = None) -> NDArray[np.uint8]:
        """Wait until a picture is more than a black square; return it as grey values."""
        canvas = canvas or self.viewport
        for _ in range(DEADLINE_MS // 500):
            shown = self.picture(canvas)
            if np.count_nonzero(shown > 60) > shown.size * 0.02:
                return shown
            self.page.wait_for_timeout(500)
        raise AssertionError("nothing was drawn")

    def wait_until_changed(self, before: NDArray[np.uint8]) -> None:
        """Wait until the first picture is another than `before`."""
        for _ in range(DEADLINE_MS // 500):
            if not np.array_equal(self.picture(self.viewport), before):
                return
            self.page.wait_for_timeout(500)
        raise AssertionError("the picture stayed as it was")

    def picture(self, canvas: Locator) -> NDArray[np.uint8]:
        """Return what a canvas shows, without what is written over it, as grey values."""
        return np.asarray(_canvas(canvas).convert("L"))

    def n_coloured(self, canvas: Locator) -> int:
        """Return how many pixels of a canvas are not grey."""
        return int(np.count_nonzero(np.ptp(np.asarray(_canvas(canvas).convert("RGB")).astype(int), axis=2) > 60))

    def metadata(self, study_uid: str) -> list[dict[str, Any]]:
        """Return the instances of a study as DICOM JSON."""
        with self.site.client() as client:
            found: list[dict[str, Any]] = client.get(f"/dicom-web/studies/{study_uid}/metadata").json()
        return found

    def rendered(self, path: str, window: str = "") -> NDArray[np.uint8]:
        """Return what we draw of an instance, as grey values; in its own window, or in another."""
        query = {"window": window} if window else {}
        with self.site.client() as client:
            answer = client.get(f"/dicom-web{path}/rendered", params=query, headers={"Accept": "image/png"})
        assert answer.status_code == 200, answer.text
        return np.asarray(Image.open(io.BytesIO(answer.content)).convert("L"))

    def keep_screenshot(self, name: str) -> None:
        """Keep what is to be seen for people."""
        _ARTEFACTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=_ARTEFACTS / f"{re.sub('[^A-Za-z0-9]+', '-', name).strip('-')}.png")

    def _note(self, fault: str) -> None:
        self.faults.append(fault)


def _canvas(canvas: Locator) -> Image.Image:
    address: str = canvas.evaluate("canvas => canvas.toDataURL()")
    return Image.open(io.BytesIO(b64decode(address.partition(",")[2])))


def difference(shown: NDArray[np.uint8], drawn: NDArray[np.uint8]) -> float:
    """Return by how many grey levels, on average, a canvas differs from `drawn` laid into it as large as fits."""
    height, width = shown.shape
    scale = min(width / drawn.shape[1], height / drawn.shape[0])
    size = round(drawn.shape[1] * scale), round(drawn.shape[0] * scale)
    expected = Image.new("L", (width, height))
    fitted = Image.fromarray(drawn).resize(size, Image.Resampling.BOX)
    expected.paste(fitted, ((width - size[0]) // 2, (height - size[1]) // 2))
    return float(np.abs(_shrunk(Image.fromarray(shown)) - _shrunk(expected)).mean())


def _shrunk(picture: Image.Image) -> NDArray[np.float64]:
    size = _WIDTH, _WIDTH * picture.height // picture.width
    return np.asarray(picture.resize(size, Image.Resampling.BOX), np.float64)
