"""The table of losses: true on the sample by an outside witness, and nothing ITK does to its process ends ours."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pydicom
import pytest
from conftest import SAMPLE
from pydicom.dataelem import DataElement
from synthetic import series_instance_uid, write_case
from typer.testing import CliRunner

from itk_roundtrip import AmbiguousSeriesError, RoundtripError, SeriesNotFoundError, losses
from itk_roundtrip.cli import app
from itk_roundtrip.losses import IdiomLosses, LossTable, find_losses
from itk_roundtrip.processes import Outcome, Task, Workers

pytestmark = pytest.mark.usefixtures("_lent")

ROOT = Path(__file__).parent.parent
PROGRAM = [sys.executable, "-m", "itk_roundtrip", "losses"]
IDENTIFYING = {0x0020000D, 0x0020000E, 0x00080018, 0x00200052}
SECONDS = 60


_KEEPING = """
import pickle, sys
from itk_roundtrip import cli, losses

file, find = sys.argv.pop(), losses.find_losses

def kept(*arguments, **options):
    table = find(*arguments, **options)
    with open(file, "wb") as stream:
        pickle.dump(table, stream)
    return table

losses.find_losses = kept
cli.main()
"""
"""The command line, which also leaves its table in a file: each run takes seconds."""


@pytest.fixture(scope="module")
def document_and_table(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, LossTable]:
    """What the command line prints of the sample as JSON, without SRC in a clone, and the table that it prints."""
    folder = tmp_path_factory.mktemp("losses")
    (folder / "scratch").mkdir()
    command = [sys.executable, "-c", _KEEPING, "losses", "--json", str(folder / "table")]
    environment = {**os.environ, "TMPDIR": str(folder / "scratch"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert list((folder / "scratch").iterdir()) == []
    return done.stdout, pickle.loads((folder / "table").read_bytes())


@pytest.fixture(scope="module")
def sample(document_and_table: tuple[str, LossTable]) -> LossTable:
    return document_and_table[1]


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files; whatever a test did, it must be empty afterwards."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


Examples = Callable[..., None]


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Examples:
    """Return a function that leaves some examples only: each takes a second."""
    return lambda *idioms: monkeypatch.setattr(losses, "IDIOMS", {name: losses.IDIOMS[name] for name in idioms})


def row(table: LossTable, idiom: str) -> IdiomLosses:
    return next(one for one in table.rows if one.idiom == idiom)


def names(one: IdiomLosses, outcome: Any) -> set[str]:
    return {loss.path for loss in one.of(outcome)}


# ------------------------------------------------------------------------------------------- the sample


def test_table_of_the_documentation_is_current(sample: LossTable) -> None:
    page = (ROOT / "docs" / "reference" / "losses.md").read_text()
    shown = re.search(r"<!-- losses -->\n(.*?)\n<!-- /losses -->", page, re.S)
    assert shown is not None
    if shown[1].splitlines()[0] != f"{sample.versions}:":
        pytest.skip(f"the page speaks of other versions than the installed {sample.versions}")
    assert shown[1] == losses.as_markdown(sample)


def test_every_idiom_has_its_row(sample: LossTable) -> None:
    assert [one.idiom for one in sample.rows] == list(losses.IDIOMS)
    assert sample.slices == 24
    assert re.fullmatch(
        r"ITK [56][\w.]+ with GDCM 3[\d.]+; SimpleITK 2[\d.]+ with ITK 5[\d.]+ and GDCM 3[\d.]+", str(sample.versions)
    )


@pytest.mark.parametrize("idiom", ["ITK", "SimpleITK"])
def test_known_losses_are_named(sample: LossTable, idiom: str) -> None:
    """What users of the examples ran into, one of each kind."""
    one = row(sample, idiom)
    assert (one.state, one.slices, one.compared) == ("written", 24, 24)
    assert {"RequestAttributesSequence", "ReferencedImageSequence", "AnatomicRegionSequence"} <= names(one, "lost")
    assert {"(0029,0010) private creator", "(0029,1001) NORDLICHT ACQ 1.0"} <= names(one, "lost")
    changed = names(one, "changed")
    assert {"SpacingBetweenSlices", "CTDIvol", "SimpleFrameList", "BitsStored", "HighBit"} <= changed
    assert "ImageOrientationPatient" in names(one, "reformatted")
    assert (one.pixels.slices, one.pixels.values, one.pixels.changed_values) == (24, 24 * 128 * 128, 0)


def test_what_becomes_of_the_uids(sample: LossTable) -> None:
    """The defaults of ITK give every instance of the source a twin of the same SOP Instance UID in a new study."""
    assert row(sample, "ITK").uids == {
        "StudyInstanceUID": {"new": 24},
        "SeriesInstanceUID": {"new": 24},
        "FrameOfReferenceUID": {"new": 24},
        "SOPInstanceUID": {"kept": 24},
    }
    assert set(map(str, row(sample, "SimpleITK").uids.values())) == {"{'kept': 24}"}


def test_text_outside_ascii_is_lost_by_simpleitk_only(sample: LossTable) -> None:
    assert "InstitutionName" in names(row(sample, "SimpleITK"), "lost")
    assert "PatientName" in names(row(sample, "SimpleITK"), "changed")
    assert not {"InstitutionName", "PatientName"} & {loss.path for loss in row(sample, "ITK").attributes}


@pytest.mark.parametrize("idiom", ["ITK, UIDs and private tags kept", "SimpleITK, private tags loaded"])
def test_private_tags_are_refused(sample: LossTable, idiom: str) -> None:
    one = row(sample, idiom)
    assert (one.state, one.reason, one.slices) == (
        "refused", "on writing (GDCM: an element that it does not know)", 0
    )  # fmt: skip
    assert one.attributes == ()


@pytest.mark.parametrize(("idiom", "script"), [("ITK", "plain_itk.py"), ("SimpleITK", "simpleitk_idiom.py")])
def test_an_outside_witness_says_the_same(sample: LossTable, idiom: str, script: str, tmp_path: Path) -> None:
    """The example itself, with all of ITK's documented names, and nothing but pydicom to look at what it wrote."""
    written = tmp_path / "written"
    subprocess.run([sys.executable, ROOT / "benchmarks" / script, SAMPLE, written], check=True, capture_output=True)
    sources = {one.SOPInstanceUID: one for one in map(pydicom.dcmread, SAMPLE.iterdir())}
    told: dict[str, Counter[int]] = {"lost": Counter(), "other": Counter(), "added": Counter()}
    for after in map(pydicom.dcmread, written.iterdir()):
        before = sources.pop(after.SOPInstanceUID)
        told["lost"].update(set(before.keys()) - set(after.keys()))
        told["added"].update(set(after.keys()) - set(before.keys()))
        told["other"].update(tag for tag in before.keys() & after.keys() if differs(before[tag], after[tag]))
    assert not sources
    ours: dict[str, Counter[int]] = {"lost": Counter(), "other": Counter(), "added": Counter()}
    for loss in row(sample, idiom).attributes:
        key = loss.outcome if loss.outcome in ours else "other"
        ours[key][int(loss.tag[1:5] + loss.tag[6:10], 16)] += loss.slices
    for counts in told.values():
        for tag in IDENTIFYING:
            counts.pop(tag, None)
    assert {key: dict(counts) for key, counts in ours.items()} == {
        key: {int(tag): count for tag, count in counts.items()} for key, counts in told.items()
    }


def differs(before: DataElement, after: DataElement) -> bool:
    """Compare texts as they stand: pydicom takes 1.0 and 1.00 for equal."""
    texts = [str(getattr(one.value, "original_string", one.value)) for one in (before, after)]
    if before.VM > 1 and before.VR == "DS":
        texts = ["\\".join(str(part.original_string) for part in one.value) for one in (before, after)]
    return texts[0] != texts[1]


# ------------------------------------------------------------------------------ what ends badly is a row


def states(table: LossTable) -> Mapping[str, str]:
    return {one.idiom: one.state for one in table.rows}


def test_a_crash_is_told(examples: Examples, scratch: Path, tmp_path: Path) -> None:
    """GDCMSeriesFileNames ends its process on two real world value mappings; SimpleITK throws."""
    examples("ITK", "SimpleITK")
    write_case("mr_rwvm_two", tmp_path / "source")
    table = find_losses(tmp_path / "source")
    assert states(table) == {"ITK": "crashed", "SimpleITK": "refused"}
    assert row(table, "ITK").reason == "on reading"
    assert "crashed" in losses.as_markdown(table)


def test_a_heap_overflow_is_no_error_of_ours(examples: Examples, scratch: Path, tmp_path: Path) -> None:
    """Colour through one GDCMImageIO writes beyond its buffer; what comes of that is luck, and mostly a crash."""
    examples("ITK", "SimpleITK")
    write_case("rgb", tmp_path / "source")
    table = find_losses(tmp_path / "source")
    assert states(table)["ITK"] in ("crashed", "refused", "written")
    assert states(table)["SimpleITK"] == "written"


def test_a_refusal_is_told_with_its_kind(examples: Examples, scratch: Path, tmp_path: Path) -> None:
    examples("ITK", "SimpleITK")
    write_case("slope_tenth", tmp_path / "source")
    table = find_losses(tmp_path / "source")
    one = row(table, "ITK")
    assert (one.state, one.reason) == ("refused", "on writing (GDCM: it cannot apply this Rescale Slope)")
    assert row(table, "SimpleITK").state == "written"


class Hasty(Workers):
    """Workers that wait no time for a task that has a limit."""

    def run(self, tasks: deque[Task], *, seconds: float | None = None, starting: bool = True) -> Iterator[Outcome]:
        return super().run(tasks, seconds=None if seconds is None else 0.0, starting=starting)


def test_an_example_that_does_not_end_is_told(
    examples: Examples, scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples("ITK", "SimpleITK")
    write_case("plain_ct", tmp_path / "source")
    monkeypatch.setattr(losses, "Workers", Hasty)
    table = find_losses(tmp_path / "source")
    assert states(table) == {"ITK": "timed out", "SimpleITK": "timed out"}


def test_wrong_pixels_are_told(examples: Examples, scratch: Path, tmp_path: Path) -> None:
    examples("ITK")
    write_case("mono1_ct", tmp_path / "source")
    one = row(find_losses(tmp_path / "source"), "ITK")
    assert one.pixels.changed_values == one.pixels.values > 0
    assert "PhotometricInterpretation" in names(one, "changed")


def test_invented_attributes_are_told(examples: Examples, scratch: Path, tmp_path: Path) -> None:
    examples("ITK")
    write_case("no_positions", tmp_path / "source")
    one = row(find_losses(tmp_path / "source"), "ITK")
    assert names(one, "added") == {"ImagePositionPatient", "ImageOrientationPatient"}
    assert ("invented: 2", "ImagePositionPatient, ImageOrientationPatient") in losses.as_lines(one, 4)


def test_an_invented_uid_is_told(examples: Examples, scratch: Path, tmp_path: Path) -> None:
    examples("ITK")
    write_case("cr_plain", tmp_path / "source")
    one = row(find_losses(tmp_path / "source"), "ITK")
    assert one.uids["FrameOfReferenceUID"] == {"invented": 4}
    assert ("UIDs", "Study, Series new; Frame of Reference invented; SOP Instance kept") in losses.as_lines(one, 4)


@pytest.mark.parametrize(
    ("case", "idioms"),
    [("names_subfolders", ["ITK"]), ("names_links", ["SimpleITK"]), ("names_unicode", ["ITK", "SimpleITK"])],
)
def test_files_are_shown_in_one_folder_whatever_their_names(
    case: str, idioms: list[str], examples: Examples, scratch: Path, tmp_path: Path
) -> None:
    examples(*idioms)
    write_case(case, tmp_path / "source")
    before = {path: path.read_bytes() for path in (tmp_path / "source").rglob("*") if path.is_file()}
    table = find_losses(tmp_path / "source")
    assert {one.slices for one in table.rows} == {4}
    assert {path: path.read_bytes() for path in (tmp_path / "source").rglob("*") if path.is_file()} == before


def test_several_series(examples: Examples, scratch: Path, tmp_path: Path) -> None:
    examples("ITK")
    write_case("two_series_chosen", tmp_path / "source")
    with pytest.raises(AmbiguousSeriesError, match="series=N"):
        find_losses(tmp_path / "source")
    table = find_losses(tmp_path / "source", series=series_instance_uid())
    assert (table.slices, row(table, "ITK").slices) == (4, 4)


def test_no_series_and_no_room_are_refused(scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SeriesNotFoundError):
        find_losses(tmp_path / "nowhere")
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(losses.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(RoundtripError, match="no room"):
        find_losses(SAMPLE)


# ------------------------------------------------------------------------------------- the command line


def test_json_of_the_sample_by_default(document_and_table: tuple[str, LossTable]) -> None:
    """Without SRC in a clone; no patient data, no chatter of ITK."""
    printed, table = document_and_table
    document = json.loads(printed)
    assert (document["schema"], document["slices"], table.source) == (1, 24, "data/ct-phantom")
    assert [one["idiom"] for one in document["rows"]] == list(losses.IDIOMS)
    lost = {one["path"] for one in document["rows"][0]["attributes"] if one["outcome"] == "lost"}
    assert "RequestAttributesSequence" in lost
    patient = pydicom.dcmread(SAMPLE / "CT0001.dcm")
    assert str(patient.PatientID) not in printed
    assert "ller" not in printed


def test_table_for_people(sample: LossTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "find_losses", lambda *_, **__: sample)
    done = CliRunner().invoke(app, ["losses", str(SAMPLE)])
    assert (done.exit_code, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 120
    for text in ("SimpleITK 2.", "lost: ", "SOP Instance kept", "and 6 more", "refused"):
        assert text in done.stdout


def test_outside_a_clone_a_folder_must_be_named(scratch: Path, tmp_path: Path) -> None:
    done = subprocess.run(PROGRAM, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "data/ct-phantom" in done.stderr


def test_ctrl_c_leaves_nothing(scratch: Path) -> None:
    process = subprocess.Popen([*PROGRAM, SAMPLE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + SECONDS
    while not list(scratch.glob("*/written*/*")) and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGINT)
    out, told = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (2, "")
    assert told == "itk-roundtrip: Interrupted; nothing was written.\n"
