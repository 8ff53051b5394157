"""P10: how long OHIF waits for the first and for all pictures of a CT, in Chromium, beside the same OHIF on Orthanc.

Nothing is warm but the viewer's own files: before each run the side is started anew, what the kernel keeps of its files
is dropped, and the browser is a new one.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.measurement import Failure, Measurement, Result, Subject
from benchmarks.process import BenchmarkError
from benchmarks.receive import load
from benchmarks.receivers import RECEIVERS, Gateway
from benchmarks.samples import Kind, Samples, prepare
from benchmarks.viewer_browser import opened
from benchmarks.viewer_site import site
from pacs_gateway.errors import ConfigurationError
from viewer_api.viewer.install import install

FIRST_FRAME, ALL_FRAMES = "viewer/first-frame", "viewer/all-frames"
WORKS = (FIRST_FRAME, ALL_FRAMES)
_N_SLICES = 500
_SETTLE_S = 600.0


def measure_all(subjects: Iterable[Subject], cache: Path, scale: float, n_runs: int) -> Iterator[Result]:
    """Give every side the study once, then open it on each in turn."""
    samples = prepare(cache, Kind.CT, max(1, round(_N_SLICES * scale)))
    wanted = list(subjects)
    sides = list(dict.fromkeys(subject.side for subject in wanted))
    root = cache / "runs" / "viewer"
    shutil.rmtree(root, ignore_errors=True)
    try:
        install()
        for side in sides:
            load(side, root / side, samples, deadline_s=_SETTLE_S)
        with Gateway(root / "viewer") as viewer:
            for _ in range(n_runs):
                for side in sides:
                    yield from _measure(side, root, viewer, samples)
    except (BenchmarkError, ConfigurationError) as error:
        yield from (Failure(subject, str(error)) for subject in wanted)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _measure(side: str, root: Path, viewer: Gateway, samples: Samples) -> Iterator[Measurement]:
    _forget(root / side)
    with RECEIVERS[side](root / side) as receiver, site(root / "proxy", viewer, receiver) as address:
        before = receiver.program.usage()
        opening = opened(f"{address}/viewer/viewer?StudyInstanceUIDs={samples.study_uid}", samples.n_instances)
        processes = receiver.program.usage_since(before)
    facts = {"metadata_s": opening.metadata_s, "first_pixel_s": opening.first_pixel_s}
    yield Measurement(Subject(side, FIRST_FRAME), opening.first_frame_s, facts)
    facts = {"cpu_s": sum(usage.cpu_s for usage in processes)}
    yield Measurement(Subject(side, ALL_FRAMES), opening.all_frames_s, facts, processes)


def _forget(folder: Path) -> None:
    """Have the kernel drop what it keeps of the files in `folder`, so that they are read from the disk again."""
    os.sync()  # only what is written can be dropped
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
