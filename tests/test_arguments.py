"""What callers pass is used or refused: a mistake is told in one sentence before anything is read or made."""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from conftest import SAMPLE
from synthetic import write_case, write_series
from typer.testing import CliRunner

import itk_roundtrip as rt
from itk_roundtrip import arguments, cli
from itk_roundtrip.cli import app

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "roundtrip": rt.roundtrip, "read_series": rt.read_series, "derive": rt.derive, "write_series": rt.write_series,
    "verify_series": rt.verify_series, "find_losses": rt.find_losses, "find_series": rt.find_series,
    "export_volume": rt.export_volume,
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return one object of each kind that the functions take or return."""
    folder = tmp_path_factory.mktemp("made")
    write_series(folder, slices=2)
    found = rt.find_series(folder)
    return {"folder": folder, "found": found, "series": found[0], "volume": rt.read_series(found[0])}


class Word(str, enum.Enum):
    """Text, but another one when it is shown."""

    copy = "copy"


NO_PATHS = {1: "not 1", None: "not None", b"in": "not a bytes", ("in",): "not a tuple", "": "empty path",
            "a\0b": "null character"}  # fmt: skip
NO_FLAGS = {1: "not 1", "yes": 'not "yes"', None: "not None", "False": 'not "False"'}
NO_COUNTS = {0: "not 0", -1: "not -1", True: "not True", 2.0: "not 2.0", "2": 'not "2"'}
NO_UIDS = {
    0: "not 0",
    True: "not True",
    "": 'not ""',
    SAMPLE: "not a PosixPath",
    b"1.2": "not a bytes",
    (): "not a tuple",
}
NO_FUNCTIONS = {"print": 'not "print"', True: "not True"}
NO_DESCRIPTIONS = {
    "": "empty", "  ": "empty", "\t": "empty", "two\nlines": "one line", "größer": "ASCII", "a\\b": "backslash",
    "\x1b[31m": "one line", "x" * 701: "at most 700", 5: "not 5", b"Median": "not a bytes", SAMPLE: "not a PosixPath",
}  # fmt: skip
WRONG: dict[tuple[str, str], dict[Any, str]] = {
    **{("roundtrip", name): NO_PATHS for name in ("source", "destination")},
    ("read_series", "source"): NO_PATHS,
    ("read_series", "series"): NO_UIDS,
    **{("verify_series", name): NO_PATHS for name in ("source", "written")},
    ("verify_series", "reference"): {1: "not 1", "": "empty path", b"x.npy": "not a bytes"},
    ("find_losses", "source"): NO_PATHS,
    **{("export_volume", name): NO_PATHS for name in ("source", "file")},
    ("export_volume", "series"): NO_UIDS,
    ("export_volume", "volume"): {"1": 'not "1"', True: "not True"},
    ("export_volume", "backend"): {"sitk": '"itk" or "simpleitk", not "sitk"', None: "not None"},
    **{("export_volume", name): NO_FLAGS for name in ("overwrite", "allow_irregular")},
    ("find_series", "directory"): NO_PATHS,
    ("write_series", "destination"): NO_PATHS,
    ("roundtrip", "identity"): {"Derived": '"derived" or "copy", not "Derived"', "": 'not ""', None: "not None",
                                b"copy": "not a bytes", ("copy",): "not a tuple", "copy ": 'not "copy "'},
    ("verify_series", "identity"): {"Copy": '"derived" or "copy", not "Copy"', 1: "not 1", False: "not False"},
    ("roundtrip", "headers"): {"ITK": '"complete" or "itk", not "ITK"', None: "not None", True: "not True"},
    ("roundtrip", "backend"): {"sitk": '"itk" or "simpleitk", not "sitk"', "SimpleITK": "not", None: "not None"},
    ("read_series", "backend"): {"sitk": '"itk" or "simpleitk", not "sitk"', None: "not None", 1: "not 1"},
    ("roundtrip", "transfer_syntax"): {"": 'not ""', "RLE": '"rle", .*not "RLE"', "jpeg": "not", 5: "not 5",
                                       "1.2.840.10008.1.2.5": "not"},
    ("roundtrip", "series"): NO_UIDS,
    ("verify_series", "series"): NO_UIDS,
    ("find_losses", "series"): NO_UIDS,
    ("roundtrip", "description"): NO_DESCRIPTIONS,
    ("derive", "description"): NO_DESCRIPTIONS,
    ("roundtrip", "jobs"): NO_COUNTS,
    ("verify_series", "jobs"): NO_COUNTS,
    ("roundtrip", "overwrite"): NO_FLAGS,
    ("write_series", "overwrite"): NO_FLAGS,
    ("verify_series", "conformance"): NO_FLAGS,
    ("verify_series", "show_values"): NO_FLAGS,
    ("verify_series", "allow"): {"0010": 'not "0010"', 16: "not 16", (16,): "list of texts"},
    ("roundtrip", "apply"): {1: "not 1", "": 'not ""', b"f.py:f": "not a bytes"},
    ("roundtrip", "parameters"): {"radius=1": "not", 1: "not 1", (("radius", 1),): "not a tuple"},
    ("roundtrip", "debug"): NO_FLAGS,
    **{(name, "strict"): NO_FLAGS for name in ("roundtrip", "export_volume")},
    **{(function, name): wrong for function in ("roundtrip", "derive") for name, wrong in {
        "codes": {"113087": "list of codes", ("113087", "DCM", "Smoothing"): "list of codes", 1: "not 1",
                  (("113087", "DCM"),): "three texts"},
        "footprint_slices": {-1: "not -1", 1.5: "not 1.5", "1": 'not "1"', True: "not True"},
        "units": {"": 'not ""', "x" * 17: "1 to 16", 1: "not 1", "größe": "ASCII"},
        "rescale_type": {"": 'not ""', "a\\b": "1 to 16", 1: "not 1"},
        "max_error": {-1: "not -1", "1": 'not "1"', True: "not True", float("nan"): "not nan", float("inf"): "not inf"},
        "allow_clip": NO_FLAGS,
        "nan_to": {"zero": 'not "zero"', 0: "not 0", True: "not True"},
        "allow_irregular": NO_FLAGS,
        "regrid": NO_FLAGS,
        "set": {"SeriesDescription=x": "dict", 1: "not 1", ("a",): "not a tuple"},
    }.items()},
    **{(name, "progress"): NO_FUNCTIONS for name in ("roundtrip", "verify_series", "find_losses", "find_series")},
    ("export_volume", "progress"): NO_FUNCTIONS,
    **{(name, "volume"): {"1": 'not "1"', True: "not True"} for name in ("verify_series",)},
    ("read_series", "volume"): {True: "not True", 0.0: "not 0.0", "1": 'not "1"', b"": "not a bytes"},
}  # fmt: skip
"""By function and parameter, values that are wrong there, and what is said of them."""


def call(function: str, made: dict[str, Any], folder: Path, **changes: Any) -> None:
    """Call a function with arguments that are right but for those that are changed."""
    right: dict[str, dict[str, Any]] = {
        "roundtrip": {"source": made["folder"], "destination": folder / "out"},
        "read_series": {"source": made["series"]},
        "derive": {"volume": made["volume"]},
        "write_series": {"volume": made["volume"], "destination": folder / "out"},
        "verify_series": {"source": made["folder"], "written": made["folder"]},
        "find_losses": {"source": made["folder"]},
        "find_series": {"directory": made["folder"]},
        "export_volume": {"source": made["folder"], "file": folder / "image.nrrd"},
    }
    FUNCTIONS[function](**{**right[function], **changes})


@pytest.mark.parametrize(("function", "parameter"), WRONG, ids=str)
def test_a_wrong_value_is_told_before_the_work(
    function: str, parameter: str, made: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is opened, no process starts and no folder is made."""
    monkeypatch.setattr("subprocess.Popen", None)
    monkeypatch.setattr("os.walk", None)
    monkeypatch.setattr("os.mkdir", None)
    for value, message in WRONG[function, parameter].items():
        with pytest.raises(rt.RoundtripError, match=message) as caught:
            call(function, made, tmp_path, **{parameter: value})
        assert parameter.split("_")[0] in str(caught.value), "the parameter is named"
        assert "--" not in str(caught.value)
        assert str(caught.value).endswith(".")
    assert list(tmp_path.iterdir()) == []


def test_every_parameter_is_tried() -> None:
    """A parameter that is added is checked, and tried with wrong values, here or below."""
    for name, function in FUNCTIONS.items():
        assert hasattr(function, "__wrapped__"), name
        for parameter in inspect.signature(function).parameters:
            special = parameter == "volume" and name in ("derive", "write_series")
            special = special or parameter == "image"  # of any type; what is none is told by its kind
            assert (name, parameter) in WRONG or special, (name, parameter)


NEAR_MISSES = [
    ("read_series", "source", "found", r"not a SeriesList; pass one of them"),
    ("read_series", "source", "volume", "not a Volume; pass volume.series"),
    ("write_series", "volume", "series", r"a Volume as read_series returns it, not a Series; .*read_series\(series\)"),
    ("write_series", "volume", "found", r"not a SeriesList; read one of them"),
    ("write_series", "volume", "folder", r"read what it holds .*read_series\(path\)"),
    ("derive", "volume", "series", r"not a Series; read it first"),
    ("derive", "volume", "folder", r"not a PosixPath; read what it holds"),
    ("verify_series", "written", "series", "not a Series; pass the folder, such as series.directory"),
    ("verify_series", "source", "found", r"not a SeriesList; pass one of them, such as found\[0\]"),
    ("verify_series", "written", "volume", "not a Volume; pass the folder"),
    ("find_series", "directory", "series", "not a Series; pass the folder"),
    ("find_series", "directory", "found", "not a SeriesList; pass the folder"),
    ("roundtrip", "source", "volume", "not a Volume; pass volume.series"),
    ("roundtrip", "series", "series", "not a Series; pass series.series_instance_uid"),
    ("verify_series", "series", "series", "not a Series; pass series.series_instance_uid"),
]


@pytest.mark.parametrize(("function", "parameter", "kind", "message"), NEAR_MISSES)
def test_a_near_miss_is_told_what_to_pass(
    function: str, parameter: str, kind: str, message: str, made: dict[str, Any], tmp_path: Path
) -> None:
    """Who passes the folder where the series belongs needs the next step, not a traceback of ours."""
    for value in (made[kind], str(made[kind])) if kind == "folder" else (made[kind],):
        # A short text is shown, so that how long the folder for temporary files is decides.
        shown = message.replace("a PosixPath", r'(a PosixPath|a text of [0-9]+ characters|"[^"]+")')
        with pytest.raises(rt.RoundtripError, match=shown):
            call(function, made, tmp_path, **{parameter: value})
    assert list(tmp_path.iterdir()) == []


def test_an_argument_that_there_is_none_of_is_told_with_its_function(made: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"roundtrip\(\) got an unexpected keyword argument 'volume'"):
        rt.roundtrip(made["folder"], tmp_path / "out", volume=0)  # type: ignore[call-arg]


@pytest.mark.parametrize("value", [None, 5, np.zeros((2, 3, 4)), "image", ["volume"]])
def test_no_volume_at_all(value: Any, tmp_path: Path) -> None:
    for function in (rt.derive, lambda volume: rt.write_series(volume, tmp_path / "out")):
        with pytest.raises(rt.RoundtripError, match="volume must be a Volume as read_series returns it"):
            function(value)  # type: ignore[no-untyped-call]


def test_what_means_the_same_is_taken(made: dict[str, Any], tmp_path: Path) -> None:
    """Numbers of numpy, members of an Enum that are text, paths of any kind."""
    assert rt.read_series(made["series"], volume=np.int64(0)).array_zyx.shape[0] == 2  # type: ignore[arg-type]
    result = rt.roundtrip(str(made["folder"]), tmp_path / "out", identity=Word.copy, jobs=np.int8(1))  # type: ignore[arg-type]
    assert (result.identity, type(result.identity)) == ("copy", str)
    assert result.source == str(made["folder"])


def test_options_that_exclude_each_other_are_refused(made: dict[str, Any], tmp_path: Path) -> None:
    """A copy keeps its headers: a description would be dropped."""
    with pytest.raises(rt.RoundtripError, match=r'identity="copy" .* no description'):
        call("roundtrip", made, tmp_path, identity="copy", description="Median")
    with pytest.raises(rt.RoundtripError, match='headers="itk" the transfer syntax'):
        call("roundtrip", made, tmp_path, headers="itk", transfer_syntax="rle")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_series_is_none(made: dict[str, Any]) -> None:
    empty = rt.Series("1.2", (), made["folder"])
    with pytest.raises(rt.SeriesNotFoundError, match="no instances"):
        rt.read_series(empty)


# ---------------------------------------------------------------------------------------------- the command line


@pytest.mark.parametrize(
    ("command", "option", "choices"),
    [
        ("run", "identity", arguments.Identity),
        ("run", "headers", arguments.HeaderMode),
        ("run", "backend", arguments.Backend),
        ("run", "transfer_syntax", arguments.TransferSyntax),
        ("verify", "identity", arguments.Identity),
    ],
)
def test_the_command_line_has_the_same_choices(command: str, option: str, choices: Any) -> None:
    declared = get_args(get_type_hints(getattr(cli, command))[option]) or ()
    assert [each for each in declared if each is not type(None)] in ([choices], list(get_args(choices)))


MESSAGES = [
    (["run", "./in", "out//"], "out// is not empty; choose another folder, or replace it with --overwrite."),
    (["run", "deep/../nowhere", "new"], "deep/../nowhere is neither a folder nor a file."),
    (["run", "./in", "in/../in"], "in/../in is the source; choose another output folder."),
    (["run", "./two", "new"], "./two holds 2 series .* choose one with --series N."),
    (["run", "./no_study", "new"], r"IM0001.dcm has no Study Instance UID, .* use --identity copy."),
    (["run", "./in", "new", "--description", " "], "The description is empty; leave it out or say something."),
    (["run", "./in", "new", "--identity", "copy", "--description", "x"], "With --identity copy the headers stay .*"),
    (["run", "./in", "new", "--headers", "itk", "--transfer-syntax", "rle"], "With --headers itk the transfer .*"),
    (["run", "./rgb", "new", "--headers", "itk"], ".* nothing to write with --headers itk; .*"),
    (["run", "", "new"], "source is an empty path; name a folder or file."),
    (["run", "./in", "new", "--image", "no/such.nrrd"], "no/such.nrrd is not a file."),
    (["run", "./in", "new", "--image", ""], "image is an empty path; name a folder or file."),
    (["run", "./in", "new", "--apply", "./no.py:work"], "./no.py is not a file."),
    (["run", "./in", "new", "--apply", "./work.py:no"], "./work.py has no function no; it has work."),
    (["run", "./in", "new", "--apply", "./bad.py:work"], "./bad.py, line 1: this is no valid Python .*"),
    (
        ["run", "./in", "new", "--apply", "work.py:work", "--param", "radius=2"],
        "work.py:work has no parameter radius; .*",
    ),
    (
        ["run", "./in", "new", "--apply", "work.py:work", "--debug", "in/t.txt"],
        "in/t.txt lies in ./in, which is not .*",
    ),
    (
        ["run", "./in", "new", "--apply", "work.py:work", "--debug", "no/t.txt"],
        "The folder for no/t.txt does not exist; .*",
    ),
    (["run", "./in", "new", "--param", "radius=2"], "No function is given, so leave out --param."),
    (["run", "./in", "new", "--filter", "nosuch"], 'There is no filter "nosuch"; the filters are .*'),
    (["run", "./in", "new", "--filter", "median:radius=x"], "radius of median must be a number, as in radius=1, .*"),
    (
        ["run", "./in", "new", "--filter", "median:radius=1", "--param", "radius=2"],
        "A filter has .* leave out --param.",
    ),
    (["find", "./nowhere"], "./nowhere is neither a folder nor a file."),
    (["verify", "./in", "dat/nowhere"], "dat/nowhere is neither a folder nor a file."),
    (["verify", "./in", "./in", "--pictures"], "--pictures shows pictures in the page of --html FILE; .*"),
    (["verify", "./in", "two", "--html", "in/IM0001.dcm"], "in/IM0001.dcm lies in ./in, which is not written to; .*"),
    (["verify", "./in", "two", "--html", "./two/x.html"], "./two/x.html lies in two, which is not written to; .*"),
    (["verify", "./in", "two", "--html", "link.html"], "link.html lies in ./in, which is not written to; .*"),
    (["verify", "./in", "./in", "--reference", "no/such.npy"], "There is no file no/such.npy to compare with."),
    (["losses", "./nowhere"], "./nowhere is neither a folder nor a file."),
]


@pytest.mark.parametrize(("words", "message"), MESSAGES, ids=[" ".join(words) for words, _ in MESSAGES])
def test_messages_of_the_command_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They name its options, and paths as they were typed."""
    monkeypatch.chdir(tmp_path)
    write_series(Path("in"), slices=2)
    write_series(Path("two"), slices=1, beside=("other_series",))
    write_series(Path("no_study"), slices=1, attributes={"StudyInstanceUID": None})
    write_case("rgb", Path("rgb"))
    Path("deep").mkdir()
    Path("out").mkdir()
    (Path("out") / "old").write_text("old")
    Path("work.py").write_text("def work(image): return image")
    Path("bad.py").write_text("def work(")
    Path("link.html").symlink_to("in/IM0001.dcm")
    before, names = Path("in/IM0001.dcm").read_bytes(), {path.name for path in Path().iterdir()}
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 2
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert re.fullmatch(re.escape("itk-roundtrip: ") + message, line), line
    assert {path.name for path in Path().iterdir()} == names
    assert Path("in/IM0001.dcm").read_bytes() == before


def test_errors_of_python_name_no_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They advise what the caller can write."""
    monkeypatch.chdir(tmp_path)
    write_series(Path("in"), slices=1)
    write_series(Path("no_study"), slices=1, attributes={"StudyInstanceUID": None})
    Path("out").mkdir()
    (Path("out") / "old").write_text("old")
    with pytest.raises(rt.DestinationError, match=r"^\./out is not empty; .* overwrite=True\.$"):
        rt.roundtrip("./in", "./out")
    volume = rt.read_series(rt.find_series("in")[0])
    with pytest.raises(rt.DestinationError, match=r"^\./out is not empty; .* overwrite=True\.$"):
        rt.write_series(volume, "./out")
    volume = rt.derive(rt.read_series(rt.find_series("no_study")[0]))
    with pytest.raises(rt.UnsupportedSeriesError, match=r'identity="copy"\.$'):
        rt.write_series(volume, "new")
    assert not Path("new").exists()
