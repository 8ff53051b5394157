"""Writing the samples: the full set on demand, and the committed subset with its listing."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import imagecodecs

from sample_dicom.catalogue import FULL, SUBSET, Edition, samples
from sample_dicom.dataset import part10

HOME = Path(__file__).parent
_TABLE_START, _TABLE_END = "<!-- files: start -->\n", "<!-- files: end -->\n"


def generate(output: Path, *, edition: Edition = FULL) -> list[Path]:
    """Make the samples of an edition in `output` unless they are there already, and return the files.

    Idempotent: a hidden manifest beside the folder (not in it, so that a sender can take the whole folder) is written
    last and names a digest of the generator; a broken-off or outdated set is made anew. The full edition takes about
    30 s and 80 MB on a small machine; nothing to do takes milliseconds.
    """
    fingerprint = _fingerprint(edition)
    manifest = output.with_name(f".{output.name}.manifest.json")
    present = _complete(output, manifest, fingerprint)
    if present is not None:
        return present
    manifest.unlink(missing_ok=True)
    sizes: dict[str, int] = {}
    for path, content, _ in build(edition):
        _write(output / path, content)
        sizes[path] = len(content)
    _write(manifest, json.dumps({"fingerprint": fingerprint, "sizes": sizes}, indent=1).encode())
    return [output / path for path in sizes]


def generate_subset(output: Path, readme: Path) -> list[Path]:
    """Make the small subset in `output` and list its files in `readme`; return the files."""
    rows, paths = [], []
    for path, content, shows in build(SUBSET):
        _write(output / path, content)
        paths.append(output / path)
        rows.append(f"| `{path}` | {shows} | {len(content)} | `{hashlib.sha256(content).hexdigest()}` |\n")
    head, _, rest = readme.read_text(encoding="utf-8").partition(_TABLE_START)
    _, _, tail = rest.partition(_TABLE_END)
    table = "| file | shows | bytes | SHA-256 |\n|---|---|---|---|\n" + "".join(rows)
    readme.write_text(head + _TABLE_START + table + _TABLE_END + tail, encoding="utf-8")
    return paths


def build(edition: Edition) -> Iterator[tuple[str, bytes, str]]:
    """Yield (relative path, bytes of the DICOM file, what it shows) of every sample of an edition."""
    for sample in samples(edition):
        yield sample.path, part10(sample.ds, sample.transfer_syntax), sample.shows


def _complete(output: Path, manifest: Path, fingerprint: str) -> list[Path] | None:
    """Return the files of a complete, current set, or None."""
    try:
        stated = json.loads(manifest.read_text(encoding="utf-8"))
        if stated["fingerprint"] != fingerprint:
            return None
        sizes: dict[str, int] = stated["sizes"]
        whole = all((output / path).stat().st_size == size for path, size in sizes.items())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return [output / path for path in sizes] if whole else None


def _fingerprint(edition: Edition) -> str:
    """Return a digest of all that decides the samples' bytes: the edition, this package and the encoders."""
    digest = hashlib.sha256(f"{edition}/{imagecodecs.__version__}".encode())
    for source in sorted(HOME.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a second generator at work, never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(path)
