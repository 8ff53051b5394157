"""OHIF's prebuilt files, made fit to be served by us: below our own path, without what is not needed, compressed.

The package is built to stand at the root of a site. Where it says so in its files is known by a table of rewrites; a
release in which one of them no longer fits is refused, with the name of the rewrite.
"""

import base64
import gzip
import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from pacs_gateway.errors import ConfigurationError

BASE = "/viewer/"
ABOUT = "about.json"
REVISION = 4
"""Of what this module does: what an older one prepared is prepared anew."""

# What no study needs: models for drawing outlines by machine (113 MB), maps for its developers, pictures for phones'
# start screens, helpers of logins that are not ours, and a service worker that would serve yesterday's release.
_LEFT_OUT = (
    "ort/*",
    "*.map",
    "assets/apple-touch-startup-image-*",
    "sw.js",
    "init-service-worker.js",
    "app-config.js",
    "google.js",
    "oidc-client.min.js",
    "silent-refresh.html",
    "es6-shim.min.js",
    "polyfill.min.js",
    "serve.json",
    "_headers",
    "_redirects",
    "customizations/*",
)
_COMPRESSED = frozenset({".css", ".html", ".js", ".json", ".svg", ".wasm"})
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
# Embind, inside the JPEG and JPEG 2000 decoders, makes its functions from text.
_EMBIND = "_embind_register_function"


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One place in the files that is changed."""

    name: str
    files: str
    """Pattern of the files that are searched."""
    found: re.Pattern[str]
    replacement: str
    n_files: int
    """In how many of them it stands, once or more."""


REWRITES: tuple[Rewrite, ...] = (
    Rewrite(
        "where the bundles look for each other",
        "*.js",
        re.compile(r'__webpack_require__\.p = "/"'),
        f'__webpack_require__.p = "{BASE}"',
        8,
    ),
    Rewrite("where the style finds its font", "*.css", re.compile(r"url\(/(?=[0-9a-f]+\.woff2\))"), f"url({BASE}", 1),
    Rewrite(
        "the page's service worker", "index.html", re.compile(r"<script[^>]*init-service-worker[^>]*></script>"), "", 1
    ),
    Rewrite(
        "the page's pictures for start screens",
        "index.html",
        re.compile(r'<link rel="apple-touch-startup-image"[^>]*>'),
        "",
        1,
    ),
    Rewrite("what the page loads", "index.html", re.compile(r'((?:src|href)=")/(?!/)'), rf"\g<1>{BASE}", 1),
    Rewrite("what the page names", "index.html", re.compile(r'(?<=content=")/(?=assets/)'), BASE, 1),
    Rewrite("what the page calls its root", "index.html", re.compile(r'(?<=window\.PUBLIC_URL=")/(?=")'), BASE, 1),
    Rewrite("what the manifest names", "manifest.json", re.compile(r'(?<=")/(?=assets/)'), BASE, 1),
    # OHIF takes a PatientID for a person; here one is its issuer and the ID, and the studies of another hospital's
    # patient of that number must not stand beside (promises of the README).
    Rewrite(
        "the issuer, asked for", "*.js", re.compile(r"(?<='00100030')(?= // Patient's Birth Date)"), ", '00100021'", 1
    ),
    Rewrite(
        "the issuer, kept",
        "*.js",
        re.compile(r"mrn: getString\(qidoStudy\['00100020'\]\) \|\| '',"),
        r"\g<0> issuer: getString(qidoStudy['00100021']),",
        1,
    ),
    Rewrite(
        "the issuer, searched by",
        "*.js",
        re.compile(r"'00100020': withWildcard\(params\.patientId\),"),
        r"\g<0> '00100021': params.issuer,",
        1,
    ),
    Rewrite(
        "the issuer of a person's other studies",
        "*.js",
        re.compile(r"(?<=patientId: mrn,)(?=\s*disableWildcard: true)"),
        " issuer: qidoForStudyUID[0].issuer,",
        1,
    ),
    Rewrite(
        # A report's picture needs no name (PS3.3 C.17.3, Type 1C); OHIF's page ends over one that has none.
        "a report's items without a name",
        "*.js",
        re.compile(r"(?<=} = ConceptNameCodeSequence)(?=;\s*const isChildFirstNode)"),
        " ?? { CodeMeaning: contentItem.ValueType }",
        1,
    ),
    Rewrite(
        # OHIF lists a report before it sends it; one that was not kept must not stand there as if it were.
        "a report listed before it is kept",
        "*.js",
        re.compile(
            r"(src/\* \.DicomMetadataStore\.addInstances \*/\.H8\.addInstances\(instances, true\);)(\s*for \(const "
            r"instance of instances\) \{\s*await resolvedDataSource\.store\.dicom\(instance, null, dicomDict\);\s*\})"
        ),
        r"\g<2>\g<1>",
        1,
    ),
    Rewrite(
        # It sifts what was found once more, by the letters as typed: names with accents were found, and not shown.
        "the list's second look at what was found",
        "*.js",
        re.compile(r"(?<=manualFiltering: )manualFiltering(?=,\s*sorting: sorting)"),
        "true",
        1,
    ),
    Rewrite(
        # Whoever may write a link could have them load studies from elsewhere (CVE-2026-12473, promises B13).
        "the data sources of other people's choice",
        "*.js",
        re.compile(
            r"\{\s*name: 'dicomwebproxy',\s*type: 'webApi',\s*createDataSource: createDicomWebProxyApi\s*\}, "
            r"\{\s*name: 'dicomjson',\s*type: 'jsonApi',\s*createDataSource: createDicomJSONApi\s*\}, "
        ),
        "",
        1,
    ),
)


@dataclass(frozen=True, slots=True)
class About:
    """What was prepared."""

    version: str
    integrity: str
    """Of the package, as its lock has it."""
    revision: int
    inline_scripts: tuple[str, ...]
    """Their hashes, as a Content-Security-Policy names them."""
    code_makers: tuple[str, ...]
    """Scripts of workers that make code from text."""
    files: Mapping[str, int]
    """Length in bytes of every file."""

    def to_json(self) -> bytes:
        """Return the facts as JSON."""
        return orjson.dumps(self, option=orjson.OPT_INDENT_2)

    @classmethod
    def of_json(cls, body: bytes) -> "About":
        """Return what ``to_json`` wrote."""
        facts = orjson.loads(body)
        return cls(
            facts["version"],
            facts["integrity"],
            facts["revision"],
            tuple(facts["inline_scripts"]),
            tuple(facts["code_makers"]),
            facts["files"],
        )


def prepare(dist: Path, target: Path, *, version: str, integrity: str, esbuild: Path | None = None) -> About:
    """Write what is served of the package's `dist` into the empty folder `target`; shorter where there is esbuild.

    Raises
    ------
    ConfigurationError
        The package is not built as this gateway knows it: a rewrite does not fit.
    """
    for file in _wanted(dist):
        copy = target / file.relative_to(dist)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    for rewrite in REWRITES:
        _apply(rewrite, target)
    page = (target / "index.html").read_text(encoding="utf-8")
    code_makers = _code_makers(target)
    if esbuild is not None:
        _minify(target, esbuild)
    files = {str(file.relative_to(target)): file.stat().st_size for file in _files(target)}
    for name in files:
        _compress(target / name)
    scripts = dict.fromkeys(_hash(script) for script in _INLINE_SCRIPT.findall(page))
    about = About(version, integrity, REVISION, tuple(scripts), code_makers, files)
    (target / ABOUT).write_bytes(about.to_json())
    return about


def _wanted(dist: Path) -> Iterator[Path]:
    for file in _files(dist):
        name = file.relative_to(dist)
        if not any(name.match(pattern) or name.is_relative_to(pattern.removesuffix("/*")) for pattern in _LEFT_OUT):
            yield file


def _files(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _apply(rewrite: Rewrite, folder: Path) -> None:
    n_files = 0
    for file in sorted(folder.glob(rewrite.files)):
        text, n_found = rewrite.found.subn(rewrite.replacement, file.read_text(encoding="utf-8"))
        if n_found:
            file.write_text(text, encoding="utf-8")
            n_files += 1
    if n_files != rewrite.n_files:
        where = f"stands in {n_files} files, not {rewrite.n_files}"
        raise ConfigurationError(f"this release of OHIF is built differently: {rewrite.name} {where}")


def _code_makers(folder: Path) -> tuple[str, ...]:
    """Return the scripts, beside the page's own, that make code from text: the decoders, which run in workers."""
    found = (file for file in sorted(folder.glob("*.bundle.*.js")) if not file.name.startswith("app."))
    return tuple(file.name for file in found if _EMBIND in file.read_text(encoding="utf-8"))


def _minify(folder: Path, esbuild: Path) -> None:
    """Make the scripts half as long."""
    for script in sorted(folder.glob("*.js")):
        short = script.with_suffix(".short")
        command = [
            str(esbuild),
            str(script),
            "--minify",
            "--legal-comments=none",
            f"--outfile={short}",
            "--log-level=error",
        ]
        subprocess.run(command, check=True, timeout=120)  # noqa: S603 # fetched as the lock says, arguments are ours
        short.replace(script)


def _compress(file: Path) -> None:
    if file.suffix in _COMPRESSED:
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes(), 6, mtime=0))


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
