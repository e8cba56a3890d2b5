"""The command line's contract: exit codes, what goes to which stream, JSON, and a start without heavy imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pydicom
import pytest
import synthetic
from conftest import SAMPLE, Run, Verify
from synthetic import write_series
from typer.testing import CliRunner

from itk_roundtrip import __version__
from itk_roundtrip.cli import app

HEAVY = ("itk", "SimpleITK", "numpy", "pydicom")


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    return subprocess.run([sys.executable, "-m", "itk_roundtrip", *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("option", ["--help", "--version", "run --help", "find --help", "--no-such-option", "run"])
def test_starts_without_the_heavy_packages(option: str) -> None:
    """Help and refusals of bad usage must come at once."""
    code = (
        f"import sys; sys.argv = ['itk-roundtrip', *{option.split()}]\n"
        "from itk_roundtrip.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n"
        f"    print(stop.code, [name for name in {HEAVY} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = "2 []" if option in ("--no-such-option", "run") else "0 []"
    assert done.stderr.splitlines()[-1] == expected


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"itk-roundtrip {__version__}\n")


@pytest.mark.parametrize("name", ["find", "run"])
def test_every_option_has_help(name: str) -> None:
    """An option that nobody explains is one that nobody may use."""
    import typer

    parameters = typer.main.get_command(app).commands[name].params  # type: ignore[attr-defined]
    assert parameters
    assert all(parameter.help for parameter in parameters)


def test_find_prints_json_without_patient_data(tmp_path: Path) -> None:
    done = command("find", SAMPLE, "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, done.stderr, document["schema"]) == (0, "", 1)
    (series,) = document["series"]
    assert (series["modality"], series["slices"], series["columns"], series["rows"]) == ("CT", 24, 128, 128)
    assert series["slice_spacing_mm"] == pytest.approx(2.5)
    assert series["orientation"] == "axial"
    assert len(series["files"]) == 24
    patient = pydicom.dcmread(SAMPLE / "CT0001.dcm")
    assert str(patient.PatientID) not in done.stdout
    assert "ller" not in done.stdout.replace(str(SAMPLE), "")


def test_find_prints_no_times_that_tell_volumes_apart(tmp_path: Path) -> None:
    """They identify; the error of ``read_series`` hides them too."""
    write_series(tmp_path, modality="MR", attributes={
        "ImagePositionPatient": [rf"0\0\{k % 2}" for k in range(4)], "AcquisitionNumber": "1",
        "AcquisitionTime": [f"12345{k // 2}" for k in range(4)]})  # fmt: skip
    done = command("find", tmp_path, "--json")
    (series,) = json.loads(done.stdout)["series"]
    assert [one["label"] for one in series["volumes"]] == ["AcquisitionTime (hidden)"] * 2
    assert "12345" not in done.stdout


def test_find_ends_well_without_a_series_and_refuses_a_missing_folder(tmp_path: Path) -> None:
    empty = CliRunner().invoke(app, ["find", str(tmp_path)])
    assert empty.exit_code == 0
    missing = command("find", tmp_path / "nowhere")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr == f"itk-roundtrip: {tmp_path / 'nowhere'} is neither a folder nor a file.\n"


def test_find_names_files_and_irregularities(tmp_path: Path) -> None:
    """Junk, gaps and several series are said with their files, and nothing is fatal."""
    synthetic.write_series(tmp_path / "gap", geometry="gap", seed=7)
    synthetic.write_case("junk_text", tmp_path / "junk")
    result = CliRunner().invoke(app, ["find", str(tmp_path), "--json"])
    document = json.loads(result.output)
    assert result.exit_code == 0
    gaps = [one for series in document["series"] for one in series["irregularities"] if one["kind"] == "gap"]
    assert gaps
    assert all(one["files"] for one in gaps)
    assert document["skipped"]
    assert all(one["file"].startswith("junk/") and one["reason"] for one in document["skipped"])


def test_run_prints_json(tmp_path: Path) -> None:
    done = command("run", SAMPLE, tmp_path / "written", "--json", "--jobs", "1")
    document = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert (document["schema"], document["verdict"], document["slices"], document["findings"]) == (1, "pass", 24, [])
    assert document["written"] == str(tmp_path / "written")
    assert document["restored"] == sum(sum(document[name].values()) for name in ("lost", "altered", "invented"))
    assert document["lost"]["(0040,0275)"] == 24


def test_run_is_ordered_where_the_series_scan_would_crash(tmp_path: Path) -> None:
    """GDCMSeriesFileNames ends its process on two real world value mappings if it read no file before."""
    synthetic.write_case("mr_rwvm_two", tmp_path / "source")
    done = command("run", tmp_path / "source", tmp_path / "written", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["order"] == "GDCMSeriesFileNames"


def test_run_warns_on_stderr_and_goes_on(tmp_path: Path) -> None:
    """A gap is no reason to refuse a plain round trip, nor to hide it."""
    synthetic.write_case("gap", tmp_path / "source")
    done = command("run", tmp_path / "source", tmp_path / "written")
    assert done.returncode == 0
    assert done.stderr.startswith("itk-roundtrip: warning: uneven spacing")
    assert "uneven" not in done.stdout


def test_headers_itk_says_that_it_is_not_verified(tmp_path: Path) -> None:
    done = command("run", SAMPLE, tmp_path / "written", "--headers", "itk")
    assert done.returncode == 0
    assert "this is what ITK alone writes" in done.stdout
    assert "RequestAttributesSequence" in done.stdout or "more)" in done.stdout
    written = pydicom.dcmread(min((tmp_path / "written").iterdir()))
    assert written.ImageType[0] == "DERIVED"
    assert "RequestAttributesSequence" not in written


@pytest.mark.parametrize("words", [["run"], ["run", "a", "b", "--identity", "other"], ["run", "a", "b", "--jobs", "0"]])
def test_bad_usage_ends_2(words: list[str]) -> None:
    assert command(*words).returncode == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--footprint 2", "Nothing processes the pixels, so leave out --footprint."),
        ("--code DCM:113087", "Nothing processes the pixels, so leave out --code."),
        ("--allow-irregular", "Nothing processes the pixels, so leave out --allow-irregular."),
        ("--param radius=1", "No function is given, so leave out --param."),
        ("--debug trace.txt", "No function is given, so leave out --debug."),
        ("--image a.nrrd --param radius=1", "An image takes no parameters; leave out --param."),
        ("--image a.nrrd --filter median:radius=1", "Either a function or an image makes the values"),
        ("--filter median:radius=1 --footprint 2", "A filter itself says which slices contribute; leave out --foot"),
        ("--filter median:radius=1 --identity copy", "With --identity copy the pixels are not processed"),
    ],
)  # fmt: skip
def test_options_of_processing_are_used_or_refused(words: str, message: str, tmp_path: Path) -> None:
    """None is ignored, and the message names it as it is typed."""
    result = CliRunner().invoke(app, ["run", str(SAMPLE), str(tmp_path / "out"), *words.split()])
    assert result.exit_code == 2
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_run_and_verify_count_kept_elements_alike(tmp_path: Path, run: Run, verify: Verify) -> None:
    """Two numbers for one thing make people look for the difference."""
    varieties: list[dict[str, Any]] = [{}, {"transfer_syntax": "rle"}, {"nested_sequences": "defined", "slices": 2}]
    for index, options in enumerate(varieties):
        source, written = tmp_path / f"source{index}", tmp_path / f"written{index}"
        write_series(source, **options)
        for identity in ("derived", "copy"):
            result = run(source, written, identity=identity, overwrite=True)
            assert result.kept == verify(source, written).outcomes()["kept"]
