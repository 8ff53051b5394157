"""The order of a C-STORE in the system calls: synced file, its name, synced directory, and only then the answer."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.support.raw_sender import RawSender, StoreAnswer
from tests.support.running_gateway import running_gateway
from tests.support.scripted_peer import CT_IMAGE, EXPLICIT
from tests.support.synthetic_ct import CtSeries

pytestmark = pytest.mark.peer("strace")

_STRACE = ("strace", "-D", "-f", "--seccomp-bpf", "-y", "-s", "8", "-e", "trace=fsync,fdatasync,linkat,sendto")
_LINE = re.compile(r"(?P<thread>\d+) +(?P<call>.*)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(?P<rest>.*)")
_UNFINISHED = " <unfinished ...>"
# What each step looks like; a C-STORE-RSP travels in a P-DATA-TF, whose first byte is 4 (PS3.8 9.3.5).
_STEPS = {
    "sync file": re.compile(r"f(data)?sync\(\d+<[^>]*/spool/\w+/#\d+>\(deleted\)\) += 0"),
    "name file": re.compile(r'linkat\(.*<[^>]*/spool/\w+>, "[0-9a-f-]+\.dcm", AT_SYMLINK_FOLLOW\) += 0'),
    "sync folder": re.compile(r"fsync\(\d+<[^>]*/spool/\w+>\) += 0"),
    "answer": re.compile(r'sendto\(\d+<[^>]*>, "\\4\\0'),
}


@pytest.mark.parametrize("n_images", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_every_answer_comes_after_file_name_and_folder_are_durable(tmp_path: Path, n_images: int) -> None:
    trace = tmp_path / "trace"
    series = CtSeries(64)
    with running_gateway(tmp_path / "gateway", launcher=(*_STRACE, "-o", str(trace))) as gateway:
        with RawSender(gateway.dicom_port, sop_class_uid=CT_IMAGE, transfer_syntax_uid=EXPLICIT) as sender:
            images = [series.image() for _ in range(n_images)]
            answers = {sender.store(image.sop_uid, image.data_set) for image in images}
        assert gateway.stop() == 0

    assert answers == {StoreAnswer(0)}
    assert steps_of_senders(trace.read_text().splitlines()) == [[*_STEPS] * n_images]


def steps_of_senders(lines: Iterable[str]) -> list[list[str]]:
    """Return the steps, in order, of each thread that answered a sender."""
    steps: defaultdict[str, list[str]] = defaultdict(list)
    for thread, call in completed_calls(lines):
        steps[thread] += [name for name, pattern in _STEPS.items() if pattern.match(call)]
    return [names for names in steps.values() if "answer" in names]


def completed_calls(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield thread and call, each once it has returned; calls that were interrupted in print are put together."""
    begun: dict[str, str] = {}
    for line in lines:
        match = _LINE.match(line)
        assert match is not None
        thread, call = match["thread"], match["call"]
        if call.endswith(_UNFINISHED):
            begun[thread] = call.removesuffix(_UNFINISHED)
        elif resumed := _RESUMED.match(call):
            yield thread, begun.pop(thread) + resumed["rest"]
        else:
            yield thread, call
