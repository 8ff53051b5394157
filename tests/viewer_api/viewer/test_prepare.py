"""OHIF made fit to be served: each rewrite fits the release that is locked, and is missed when it does not."""

import gzip
import platform
import re
from pathlib import Path

import pytest

from pacs_gateway.errors import ConfigurationError
from viewer_api.viewer import install as fetching
from viewer_api.viewer.install import PREPARED, install, installed
from viewer_api.viewer.prepare import REWRITES, About, prepare

# The least that a release is made of: every place that is rewritten, in as many files.
_BUNDLE = '(() => { __webpack_require__.p = "/"; })();\n'
_SOURCES = """getDataSourcesModule = () => [{
    name: 'dicomweb',
    type: 'webApi',
    createDataSource: createDicomWebApi
  }, {
    name: 'dicomwebproxy',
    type: 'webApi',
    createDataSource: createDicomWebProxyApi
  }, {
    name: 'dicomjson',
    type: 'jsonApi',
    createDataSource: createDicomJSONApi
  }, {
    name: 'dicomlocal',
    type: 'localApi',
    createDataSource: createDicomLocalApi
  }];
const fields = ['00100030' // Patient's Birth Date
];
const study = { mrn: getString(qidoStudy['00100020']) || '', };
const parameters = { '00100020': withWildcard(params.patientId), };
const list = { manualFiltering: manualFiltering,
    sorting: sorting, };
const priors = search({ patientId: mrn,
    disableWildcard: true });
const { CodeValue, CodeMeaning } = ConceptNameCodeSequence;
const isChildFirstNode = true;
src/* .DicomMetadataStore.addInstances */.H8.addInstances(instances, true);
for (const instance of instances) {
    await resolvedDataSource.store.dicom(instance, null, dicomDict);
}
"""
_PAGE = """<!doctype html><html><head>
<meta name="image" content="/assets/tile.png"><script>window.PUBLIC_URL="/"</script>
<link rel="icon" href="/assets/icon.png">
<link rel="apple-touch-startup-image" href="/assets/apple-touch-startup-image-1.png">
<script type="module" src="/init-service-worker.js"></script>
<script defer src="/app.bundle.0123456789abcdef.js"></script>
</head></html>
"""
_DECODER = "8097.bundle.0123456789abcdef.js"
_RELEASE = {
    "index.html": _PAGE,
    "manifest.json": '{"icons": [{"src": "/assets/icon.png"}]}',
    "app.bundle.css": "@font-face { src: url(/0123456789abcdef.woff2) }",
    "app.bundle.0123456789abcdef.js": _BUNDLE + _SOURCES,
    _DECODER: _BUNDLE + "function __embind_register_function() { return new Function('x') }",
    **{f"{n}.bundle.0123456789abcdef.js": _BUNDLE for n in range(1, 7)},
    "0123456789abcdef.woff2": "a font",
    "assets/icon.png": "a picture",
    "assets/apple-touch-startup-image-1.png": "a picture",
    "app.bundle.0123456789abcdef.js.map": "a map",
    "ort/ort.js": "a model",
    "ort/esm/ort.js": "a model",
    "sw.js": "a service worker",
    "init-service-worker.js": "a service worker",
}


def _release(folder: Path, **changes: str) -> Path:
    for name, text in (_RELEASE | changes).items():
        file = folder / "dist" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder / "dist"


def _prepared(folder: Path, dist: Path) -> About:
    (folder / "prepared").mkdir()
    return prepare(dist, folder / "prepared", version="1.2.3", integrity="sha512-of-the-package")


@pytest.fixture(scope="module")
def release() -> Path:
    """The release that is locked, prepared."""
    install()
    return PREPARED


def test_what_is_not_needed_is_left_out(tmp_path: Path) -> None:
    about = _prepared(tmp_path, _release(tmp_path))

    left_out = {name for name in _RELEASE if name.startswith(("ort/", "assets/apple-")) or name.endswith(".map")}
    assert set(_RELEASE) - set(about.files) == left_out | {"sw.js", "init-service-worker.js"}


def test_files_are_kept_compressed_beside_themselves(tmp_path: Path) -> None:
    _prepared(tmp_path, _release(tmp_path))

    page = (tmp_path / "prepared" / "index.html").read_bytes()
    assert gzip.decompress((tmp_path / "prepared" / "index.html.gz").read_bytes()) == page
    assert not (tmp_path / "prepared" / "assets" / "icon.png.gz").exists()


def test_only_decoders_may_make_code(tmp_path: Path) -> None:
    assert _prepared(tmp_path, _release(tmp_path)).code_makers == (_DECODER,)


@pytest.mark.parametrize("rewrite", REWRITES, ids=lambda rewrite: rewrite.name)
def test_a_release_in_which_a_rewrite_does_not_fit_is_refused_by_its_name(tmp_path: Path, rewrite: object) -> None:
    assert isinstance(rewrite, type(REWRITES[0]))
    changed = {
        name: text if not Path(name).match(rewrite.files) else rewrite.found.sub("something else", text)
        for name, text in _RELEASE.items()
    }

    with pytest.raises(ConfigurationError, match=re.escape(rewrite.name)):
        _prepared(tmp_path, _release(tmp_path, **changed))


def test_what_is_not_whole_is_not_installed(tmp_path: Path) -> None:
    _prepared(tmp_path, _release(tmp_path))
    assert installed(tmp_path / "prepared") is not None

    (tmp_path / "prepared" / "manifest.json").write_bytes(b"cut")

    assert installed(tmp_path / "prepared") is None


def test_without_npm_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(fetching, "find_spec", lambda _name: None)

    with pytest.raises(ConfigurationError, match="apt install npm"):
        install(tmp_path / "prepared")


@pytest.mark.peer("ohif")
def test_installing_again_fetches_nothing(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (release / "about.json").stat().st_ino
    monkeypatch.setenv("PATH", str(tmp_path))

    assert install().version == "3.13.2"
    assert (release / "about.json").stat().st_ino == before


@pytest.mark.peer("ohif")
@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="esbuild is locked for two processors")
def test_the_locked_release_is_shortened(release: Path) -> None:
    (page,) = release.glob("app.bundle.*.js")
    assert page.stat().st_size < 10 * 2**20


@pytest.mark.peer("ohif")
def test_the_locked_release_refers_to_nothing_above_our_path(release: Path) -> None:
    page = (release / "index.html").read_text(encoding="utf-8")
    addresses = re.findall(r'(?:src|href|content|PUBLIC_URL)="(/[^"]*)"', page)
    assert addresses
    assert all(address.startswith("/viewer/") for address in addresses)
    assert all(
        (release / address.removeprefix("/viewer/")).exists() for address in addresses if "app-config" not in address
    )
    assert '"/assets/' not in (release / "manifest.json").read_text(encoding="utf-8")
    for script in release.glob("*.js"):
        text = script.read_text(encoding="utf-8")
        assert not re.search(r'__webpack_require__\.p ?= ?"/"', text), script.name
        assert "dicomwebproxy" not in text, script.name
        assert "name: 'dicomjson'" not in text, script.name
    assert not list(release.rglob("*.map"))
    assert not (release / "ort").exists()
