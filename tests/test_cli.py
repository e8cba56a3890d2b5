"""The command line's contract: exit codes, what goes to which stream, JSON, and a start without heavy imports."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import synthetic
from conftest import SAMPLE, Run, Verify
from synthetic import write_series
from typer.testing import CliRunner

from itk_roundtrip import RoundtripError, __version__, roundtrip
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
    """They are those of what is imported, though nothing is; of GDCM the one that names itself in a written file."""
    import importlib.metadata
    import platform

    result = CliRunner().invoke(app, ["--version"])
    named = dict(line.split(" ") for line in result.output.splitlines())
    assert list(named) == ["itk-roundtrip", "Python", "ITK", "GDCM", "SimpleITK", "pydicom", "numpy"]
    assert (named["itk-roundtrip"], named["Python"]) == (__version__, platform.python_version())
    for name, package in (("ITK", "itk"), ("SimpleITK", "SimpleITK"), ("pydicom", "pydicom"), ("numpy", "numpy")):
        assert named[name] == importlib.metadata.version(package)


def test_gdcm_is_the_one_that_writes(run: Run, tmp_path: Path) -> None:
    from itk_roundtrip.versions import versions

    write_series(tmp_path / "in", slices=1)
    assert f"GDCM {versions()['GDCM']}" in run(tmp_path / "in", tmp_path / "out").software_versions


@pytest.mark.parametrize("name", ["find", "run", "export", "verify", "losses", "explain"])
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


@pytest.mark.usefixtures("_lent")
def test_run_warns_on_stderr_and_goes_on(tmp_path: Path) -> None:
    """A gap is no reason to refuse a plain round trip, nor to hide it."""
    synthetic.write_case("gap", tmp_path / "source")
    done = CliRunner().invoke(app, ["run", str(tmp_path / "source"), str(tmp_path / "written")])
    assert done.exit_code == 0
    assert done.stderr.startswith("itk-roundtrip: warning: uneven spacing")
    assert "uneven" not in done.stdout


@pytest.mark.usefixtures("_lent")
def test_headers_itk_says_that_it_is_not_verified(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["run", str(SAMPLE), str(tmp_path / "written"), "--headers", "itk"])
    assert done.exit_code == 0
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
        ("--debug here/trace.txt", "The folder for here/trace.txt does not exist; make it first."),
        ("--quiet --verbose", "Pass either --quiet or --verbose."),
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


# -------------------------------------------------------------------------------------------------------- messages


@pytest.fixture
def gap(tmp_path: Path) -> Path:
    """A series that is warned of."""
    synthetic.write_case("gap", tmp_path / "gap")
    return tmp_path / "gap"


def test_quiet_says_nothing_but_errors(gap: Path, tmp_path: Path) -> None:
    done = command("export", gap, tmp_path / "a.nrrd", "--allow-irregular", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert "volume 0 as NRRD" in done.stdout
    done = command("export", gap, tmp_path / "b.nrrd", "--quiet")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_verbose_tells_stages_and_times_and_no_names(gap: Path, tmp_path: Path) -> None:
    done = command("run", gap, tmp_path / "out", "--verbose", "--jobs", "1", "--json")
    assert done.returncode == 0
    logged = [line for line in done.stderr.splitlines() if " ms  " in line]
    assert all(line.startswith("itk-roundtrip: ") for line in done.stderr.splitlines())
    assert re.search(r" ITK \d", logged[0])
    assert any(line.endswith("Scanning: 4 of 4 done") for line in logged)
    assert any("ordered by GDCMSeriesFileNames; publishing 4 files" in line for line in logged)
    assert "IM0001" not in "".join(logged)
    assert str(tmp_path) not in "".join(logged)
    assert json.loads(done.stdout)["verdict"] == "pass"


def test_debug_keeps_the_traceback_of_any_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a refusal and of a defect, whose message is shown nowhere else."""
    (tmp_path / "in").mkdir()
    trace = tmp_path / "trace.txt"
    result = CliRunner().invoke(app, ["find", str(tmp_path / "nowhere"), "--debug", str(trace)])
    assert result.exit_code == 2
    assert "SeriesNotFoundError" in trace.read_text()
    monkeypatch.setattr("itk_roundtrip.series.find.find_series", lambda *_, **__: {}["a secret"])
    result = CliRunner().invoke(app, ["find", str(tmp_path / "in"), "--debug", str(trace)])
    assert result.exit_code == 2
    assert "secret" not in result.output
    assert "KeyError: 'a secret'" in trace.read_text()
    result = CliRunner().invoke(app, ["find", str(tmp_path / "in"), "--debug", str(tmp_path / "in" / "trace.txt")])
    assert result.exit_code == 2
    assert list((tmp_path / "in").iterdir()) == []


def test_strict_refuses_a_warning_and_leaves_nothing(gap: Path, tmp_path: Path) -> None:
    for words in (["run", gap, "out"], ["export", gap, "out.nrrd", "--allow-irregular"]):
        words[2] = tmp_path / words[2]
        result = CliRunner().invoke(app, [*map(str, words), "--strict"])
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("itk-roundtrip: Nothing is written with --strict: ")
        assert "most neighbours 2.5 mm" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["gap"]


def test_strict_lets_through_what_nobody_warns_of(run: Run, tmp_path: Path) -> None:
    assert run(SAMPLE, tmp_path / "out", strict=True).warnings == ()


def test_strict_refuses_what_is_known_at_the_end_only(tmp_path: Path) -> None:
    """That values are a mask is told when they are there."""

    def mask(values: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return (values > values.mean()).astype(np.int16)

    write_series(tmp_path / "in", slices=2)
    with pytest.raises(RoundtripError, match=r"strict=True: The values are .* highdicom"):
        roundtrip(tmp_path / "in", tmp_path / "out", apply=mask, description="mask", strict=True, jobs=1)
    assert not (tmp_path / "out").exists()


def test_completion_of_the_shell() -> None:
    """Commands, choices, and the ids of checks."""
    for words, expected in (("itk-roundtrip ex", ["export", "explain"]), ("itk-roundtrip explain REP", ["REP-01"])):
        environment = {"_ITK_ROUNDTRIP_COMPLETE": "complete_bash", "COMP_WORDS": words}
        environment["COMP_CWORD"] = str(len(words.split()) - 1)
        result = CliRunner().invoke(app, [], prog_name="itk-roundtrip", env=environment)
        assert result.output.split() == expected


def test_values_are_printed_where_they_are_asked_for(tmp_path: Path) -> None:
    write_series(tmp_path / "in", slices=1)
    write_series(tmp_path / "out", slices=1, attributes={"PatientComments": "a secret"})
    words = ["verify", str(tmp_path / "in"), str(tmp_path / "out")]
    plain, shown = (CliRunner().invoke(app, [*words, *more]) for more in ([], ["--show-values"]))
    assert "->" not in plain.stdout
    assert "(none) -> a secret" in shown.stdout
    assert "secret" not in plain.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "Missing argument 'SRC'; see `python -m itk_roundtrip run --help`."),
        (["rnu", "a"], "No such command 'rnu'. Did you mean 'run'? See `python -m itk_roundtrip --help`."),
        (["find", "a", "--jsn"], "No such option: --jsn"),
        (["run", "a", "b", "--jobs", "x"], "Invalid value for '--jobs': "),
        (["verify", "a", "b", "--identity", "foo"], "'foo' is not one of 'derived', 'copy'"),
    ],
)
def test_wrong_usage_is_one_sentence(arguments: list[str], message: str) -> None:
    outcome = command(*arguments)
    assert outcome.returncode == 2
    assert outcome.stdout == ""
    assert outcome.stderr.startswith("itk-roundtrip: ")
    assert message in outcome.stderr
    assert outcome.stderr.endswith(" --help`.\n")
    assert outcome.stderr.count("\n") == 1
