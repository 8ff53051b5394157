"""One study opened in OHIF in a new Chromium, and when what came: ``python -m benchmarks.viewer_browser ADDRESS N``.

A process of its own, which says what it found as JSON.
"""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass

from playwright.sync_api import Page, sync_playwright
from playwright.sync_api import TimeoutError as PatienceError

from benchmarks.process import BenchmarkError, find_program
from tests.support.chromium import ARGUMENTS

_OPEN_S = 600
_LOOK_MS = 500
# The browser remembers the times of 250 requests unless told otherwise. Cornerstone says when it has drawn, at first
# nothing; the middle of every slice is grey.
_BEFORE = """
performance.setResourceTimingBufferSize(100000);
addEventListener("CORNERSTONE_IMAGE_RENDERED", () => {
  const canvas = document.querySelector(".cornerstone-canvas");
  if (window.firstPixelAt || !canvas) return;
  const middle = canvas.getContext("2d").getImageData(canvas.width >> 1, canvas.height >> 1, 1, 1).data;
  if (middle[0] > 60) window.firstPixelAt = performance.now();
}, { capture: true });
window.received = pattern => performance.getEntriesByType("resource").filter(
  entry => pattern.test(entry.name) && entry.responseStatus === 200 && entry.decodedBodySize > 0
);
window.nFrames = () => new Set(received(/\\/frames\\/\\d+$/).map(entry => entry.name)).size;
"""
_IS_WHOLE = "nFrames => window.nFrames() >= nFrames && window.firstPixelAt > 0"
_TIMES = """() => {
  const [metadata] = received(/\\/metadata$/);
  const ends = received(/\\/frames\\/\\d+$/).map(entry => entry.responseEnd - metadata.startTime);
  return {
    metadata_s: (metadata.responseEnd - metadata.startTime) / 1000,
    first_frame_s: Math.min(...ends) / 1000,
    all_frames_s: Math.max(...ends) / 1000,
    first_pixel_s: window.firstPixelAt / 1000,
  };
}"""


@dataclass(frozen=True, slots=True)
class Opening:
    """When what came of a study; all but the pixel counted from the first request for metadata."""

    metadata_s: float
    """The last byte of the metadata."""
    first_frame_s: float
    """The last byte of the frame that was there first."""
    all_frames_s: float
    """The last byte of the last frame."""
    first_pixel_s: float
    """Something is seen; counted from the moment when the address was asked for."""


def opened(address: str, n_frames: int) -> Opening:
    """Have a new browser open the viewer at `address` and wait until it has so many frames.

    Raises
    ------
    BenchmarkError
        It did not get them, or showed none.
    """
    command = [sys.executable, "-m", "benchmarks.viewer_browser", address, str(n_frames)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BenchmarkError(f"the browser ended with {done.returncode}: {done.stderr[-500:]}")
    return Opening(**json.loads(done.stdout))


def _open(address: str, n_frames: int) -> Opening:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_program("chromium"), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(_OPEN_S * 1000)
        page.add_init_script(_BEFORE)
        page.goto(address)
        _wait_until_whole(page, n_frames)
        return Opening(**page.evaluate(_TIMES))


def _wait_until_whole(page: Page, n_frames: int) -> None:
    try:
        page.wait_for_function(_IS_WHOLE, arg=n_frames, polling=_LOOK_MS)
    except PatienceError:
        n_found = page.evaluate("nFrames()")
        sys.exit(f"{n_found} of {n_frames} frames after {_OPEN_S} s")


if __name__ == "__main__":
    json.dump(asdict(_open(sys.argv[1], int(sys.argv[2]))), sys.stdout)
