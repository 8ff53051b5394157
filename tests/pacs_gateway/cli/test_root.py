"""The command line as a program: exit codes, one clear line on error, JSON where facts are printed."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import ImplicitVRLittleEndian

from pacs_gateway.cli.root import hoisted, run
from tests.support.builders import Identity, encode, image, part10, report, uid
from tests.support.gateways import Clock, open_test_gateway, put

ROOT = Path(__file__).parents[3]


class Shell:
    """Types commands in this process and tells what they printed."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._capsys = capsys

    def __call__(self, *words: str | Path, status: int = 0) -> str:
        self._capsys.readouterr()
        assert run([*map(str, words), "--data-dir", str(self._folder)]) == status
        printed = self._capsys.readouterr()
        assert "Traceback" not in printed.err
        return printed.out if status == 0 else printed.out + printed.err

    def facts(self, *words: str | Path, status: int = 0) -> object:
        self._capsys.readouterr()
        assert run([*map(str, words), "--json", "--data-dir", str(self._folder)]) == status
        return json.loads(self._capsys.readouterr().out)


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setattr("pacs_gateway.cli.root.configure_logging", lambda **_: None)  # the tests' own stays
    return Shell(tmp_path / "data", capsys)


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    """A folder with two images, a report in a ZIP, and files that are none."""
    folder = tmp_path / "medium"
    (folder / "sub").mkdir(parents=True)
    (folder / "1.dcm").write_bytes(part10(image(Identity(instance=1))))
    (folder / "sub" / "2").write_bytes(part10(image(Identity(instance=2)), ImplicitVRLittleEndian))
    (folder / "DICOMDIR").write_bytes(b"ignored")
    (folder / "readme.txt").write_bytes(b"no image")
    with zipfile.ZipFile(folder / "more.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/3.dcm", part10(report(Identity(series=2))))
        archive.writestr("cut.dcm", part10(image(Identity(instance=4)))[:-9])
    return folder


def test_options_every_command_knows_may_stand_anywhere() -> None:
    assert hoisted(["jobs", "list", "--data-dir", "x", "--debug"]) == ["--data-dir", "x", "--debug", "jobs", "list"]
    assert hoisted(["import", "--config=c", "--", "--debug"]) == ["--config=c", "import", "--", "--debug"]
    assert hoisted(["jobs", "--data-dir"]) == ["--data-dir", "jobs"]


def test_import_goes_on_past_bad_files_and_lists_them(shell: Shell, medium: Path) -> None:
    (medium / ".DS_Store").write_bytes(b"a computer's notes")
    facts = shell.facts("import", medium, status=1)
    assert isinstance(facts, dict)
    assert facts["stored"] == 3
    assert sorted(Path(line.partition(": ")[0]).name for line in facts["bad"]) == ["more.zip:cut.dcm", "readme.txt"]
    again = shell("import", medium / "1.dcm", medium / "sub")
    assert "2 duplicate" in again


def test_import_outlives_damaged_archives(shell: Shell, tmp_path: Path) -> None:
    good, damaged = tmp_path / "good.zip", tmp_path / "damaged.zip"
    with zipfile.ZipFile(good, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1", part10(image(Identity(instance=1))))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("1", part10(image(Identity(instance=2))))
    data = bytearray(good.read_bytes())
    data[60:90] = bytes(range(200, 230))
    damaged.write_bytes(data)
    facts = shell.facts("import", damaged, good, tmp_path / "none", status=1)
    assert isinstance(facts, dict)
    assert facts["stored"] + facts.get("duplicate", 0) >= 2
    assert len(facts["bad"]) == 2


def test_export_gives_back_what_was_imported(shell: Shell, medium: Path, tmp_path: Path) -> None:
    shell("import", medium, status=1)
    shell("export", "--study", uid(1), "-o", tmp_path / "out")
    files = sorted((tmp_path / "out").rglob("*"))
    exported = {dcmread(path).SOPInstanceUID: path.read_bytes() for path in files if path.is_file()}
    assert set(exported) == {uid(1, 1, 1), uid(1, 1, 2), uid(1, 2, 1)}
    assert exported[uid(1, 1, 2)].endswith(encode(image(Identity(instance=2)), ImplicitVRLittleEndian))
    shell("export", "--patient", "BN0001", "-o", tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert sorted(archive.read(name) for name in archive.namelist()) == sorted(exported.values())
    shell("export", "--patient", "BN0001", "-o", tmp_path / "medium.zip", "--dicomdir")
    with zipfile.ZipFile(tmp_path / "medium.zip") as archive:
        assert archive.namelist()[-1] == "DICOMDIR"
        assert len(dcmread(archive.open("DICOMDIR")).DirectoryRecordSequence) == 7


def test_export_says_what_it_cannot_do(shell: Shell, medium: Path, tmp_path: Path) -> None:
    shell("import", medium, status=1)
    assert "no such study" in shell("export", "--study", uid(9), "-o", tmp_path / "out", status=1)
    assert "whole PatientID" in shell("export", "--patient", "BN*", "-o", tmp_path / "out", status=2)
    shell("export", "-o", tmp_path / "out", status=2)
    (tmp_path / "there.zip").write_bytes(b"mine")
    assert "there already" in shell("export", "--study", uid(1), "-o", tmp_path / "there.zip", status=1)
    assert (tmp_path / "there.zip").read_bytes() == b"mine"
    (tmp_path / "file").write_bytes(b"")
    shell("export", "--study", uid(1), "-o", tmp_path / "file" / "below", status=1)


def test_jobs_are_listed_and_retried(shell: Shell, medium: Path) -> None:
    shell("import", medium, status=1)
    jobs = shell.facts("jobs", "list")
    assert isinstance(jobs, list)
    assert {job["kind"] for job in jobs} == {"derive"}
    assert shell.facts("jobs", "list", "--state", "dead") == []
    assert "0 jobs" in shell("jobs", "retry", "--all")
    assert "no dead job 1" in shell("jobs", "retry", "1", status=1)
    shell("jobs", "retry", status=2)


def test_conflicts_are_listed_shown_saved_and_resolved(shell: Shell, tmp_path: Path) -> None:
    for n, description in enumerate(("one", "other")):
        path = tmp_path / f"{n}.dcm"
        path.write_bytes(part10(image(Identity(extra={"StudyDescription": description}))))
        shell("import", path)
    versions = shell.facts("conflicts", "list")
    assert isinstance(versions, list)
    (version,) = versions
    assert version["state"] == "pending"
    number, saved = str(version["id"]), tmp_path / "saved.dcm"
    assert len(shell.facts("conflicts", "show", number, "--save", saved)) == 2  # type: ignore[arg-type] # JSON
    assert dcmread(saved).StudyDescription == "other"
    assert str(saved) in shell("conflicts", "show", number, "--save", saved, status=1)
    shell("conflicts", "resolve", number, "make-current")
    assert shell.facts("conflicts", "list") == []
    shell("conflicts", "resolve", "99", "make-current", status=1)
    shell("conflicts", "resolve", number, "nonsense", status=2)


def test_storage_settings_migrations_and_health_are_told(shell: Shell) -> None:
    assert "migrated" in shell("migrate")
    assert "up to date" in shell("migrate")
    steps = shell.facts("storage", "check")
    assert isinstance(steps, list)
    assert all(step["passed"] for step in steps)
    settings = shell.facts("config", "show")
    assert isinstance(settings, list)
    assert {s["setting"]: s["source"] for s in settings}["PACS_DATA_DIR"] == "flag"
    findings = shell.facts("doctor", status=1)  # nothing listens
    assert isinstance(findings, list)
    well = {finding["subject"]: finding["well"] for finding in findings}
    assert well["index schema"]
    assert well["index"]
    assert well["object store"]


def test_doctor_names_a_silent_node_and_what_only_it_has(shell: Shell, tmp_path: Path) -> None:
    clock = Clock()
    (tmp_path / "data").mkdir()
    with open_test_gateway(tmp_path / "data", clock=clock) as gateway:
        put(gateway, image())
        gateway.archive.nodes.beat()
        name = f"node {gateway.archive.nodes.id}"
    findings = shell.facts("doctor", status=1)
    assert isinstance(findings, list)
    (finding,) = [finding for finding in findings if finding["subject"] == name]
    assert not finding["well"]
    assert "start it" in finding["advice"]
    assert "only its spool has 1" in finding["advice"]


def test_doctor_says_what_to_do_about_a_missing_index(shell: Shell) -> None:
    findings = shell.facts("doctor", status=1)
    assert isinstance(findings, list)
    assert "serve" in findings[0]["advice"]


def test_a_data_directory_that_cannot_be_is_one_line(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    assert len(shell("jobs", "list", status=1).splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["version"], 0, ""),
        (["jobs", "--help"], 0, ""),
        (["import", "/no/such/file"], 1, "no such file"),
        (["nonsense"], 2, "No such command"),
        (["jobs", "list", "--limit", "0"], 2, "limit"),
        (["config", "show", "--config", "/no/such.toml"], 1, "/no/such.toml"),
    ],
)
def test_the_program_ends_with_its_status_and_one_line(
    tmp_path: Path, words: list[str], status: int, said: str
) -> None:
    command = [sys.executable, "-m", "pacs_gateway", *words, "--data-dir", str(tmp_path / "data")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == status, ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
