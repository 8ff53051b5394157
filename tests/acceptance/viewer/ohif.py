"""What a reader does with OHIF, and what can be seen."""

import io
import re
from base64 import b64decode
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.support.running_gateway import ROOT, RunningGateway

DEADLINE_MS = 90_000
"""Software rendering beside other tests on two cores: opening a study takes some ten seconds alone."""
_ARTEFACTS = ROOT / "test-artefacts" / "viewer"
_SIDE = 48
"""To which pictures are shrunk before they are compared."""


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

    def picture(self, canvas: Locator) -> NDArray[np.uint8]:
        """Return what a canvas shows, without what is written over it, as grey values."""
        address: str = canvas.evaluate("canvas => canvas.toDataURL()")
        return np.asarray(Image.open(io.BytesIO(b64decode(address.partition(",")[2]))).convert("L"))

    def metadata(self, study_uid: str) -> list[dict[str, Any]]:
        """Return the instances of a study as DICOM JSON."""
        with self.site.client() as client:
            found: list[dict[str, Any]] = client.get(f"/dicom-web/studies/{study_uid}/metadata").json()
        return found

    def rendered(self, path: str) -> NDArray[np.uint8]:
        """Return what we draw of an instance, as grey values."""
        with self.site.client() as client:
            answer = client.get(f"/dicom-web{path}/rendered", headers={"Accept": "image/png"})
        assert answer.status_code == 200, answer.text
        return np.asarray(Image.open(io.BytesIO(answer.content)).convert("L"))

    def keep_screenshot(self, name: str) -> None:
        """Keep what is to be seen for people."""
        _ARTEFACTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=_ARTEFACTS / f"{re.sub('[^A-Za-z0-9]+', '-', name).strip('-')}.png")

    def _note(self, fault: str) -> None:
        self.faults.append(fault)


def likeness(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return the correlation of two pictures of one thing, whatever their sizes and margins; 1 is the same."""
    first, second = (_shrunk(picture) for picture in (one, other))
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def _shrunk(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    rows, columns = (np.flatnonzero((picture > 40).sum(axis=axis) > 2) for axis in (1, 0))
    part = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.asarray(Image.fromarray(part).resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float64)
