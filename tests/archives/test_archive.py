"""Many series, each to a folder of its own: which, where, what was done, and what is done again."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chores
import pydicom
import pytest
from conftest import Run, one_series
from synthetic import write_series
from typer.testing import CliRunner

import itk_roundtrip as rt
from itk_roundtrip import folders
from itk_roundtrip.archives import archive as archiving
from itk_roundtrip.archives import local, plan, scan
from itk_roundtrip.archives.plan import shared_out
from itk_roundtrip.cli import app
from itk_roundtrip.processes import Workers

pytestmark = pytest.mark.usefixtures("_lent", "_epoch")

EXCLUDED = ("verdict", "seconds")
"""Fields of a record that differ between runs: what this one did, and how long it took."""


@pytest.fixture
def _epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three series of two studies, in a layout that says nothing, and a file that is none."""
    folder = tmp_path / "in"
    write_series(folder / "Nobody^Noel" / "a", slices=3)
    write_series(folder / "Nobody^Noel" / "b", slices=2, seed=1, modality="MR")
    write_series(folder / "c", slices=2, seed=2, modality="PT", names="no_extension")
    (folder / "readme.txt").write_text("no DICOM file")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Return the content of all files under a folder but the state of the archive; of records what does not differ."""
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and archiving.STATE not in path.parts
    }
    lines = [json.loads(line) for line in found.pop(archiving.RECORDS).splitlines()]
    records = [{key: value for key, value in line.items() if key not in EXCLUDED} for line in lines]
    return {**found, archiving.RECORDS: json.dumps(records).encode()}


def verdicts(result: rt.ArchiveResult) -> dict[str, str]:
    return {series.source: series.verdict for series in result.series}


def reasons(result: rt.ArchiveResult) -> dict[str, str]:
    return {series.source: series.reason for series in result.series}


# ------------------------------------------------------------------------------------------------- what is written


def test_each_series_is_what_run_writes_of_it(source: Path, run: Run, tmp_path: Path) -> None:
    """One flow: an archive adds nothing to a series and takes nothing away."""
    result = rt.archive(source, tmp_path / "out")
    assert (result.verdict, result.counts) == ("pass", {"done": 3})
    assert result.skipped == {"not DICOM (no DICM prefix)": 1}
    for series in result.series:
        run(source / series.source, tmp_path / "alone" / series.modality)
        alone = {path.name: path.read_bytes() for path in (tmp_path / "alone" / series.modality).iterdir()}
        assert series.output is not None
        assert alone == {path.name: path.read_bytes() for path in (tmp_path / "out" / series.output).iterdir()}
        report = rt.verify_series(one_series(source / series.source), tmp_path / "out" / series.output)
        assert report.verdict == "pass"


def test_names_and_records_tell_no_patient(source: Path, tmp_path: Path) -> None:
    """Folders are named by modality, series number and digests; a record holds counts, UIDs and names of folders."""
    result = rt.archive(source, tmp_path / "out")
    for series in result.series:
        assert re.fullmatch(r"study-[a-z2-7]{12}/(CT|MR|PT)-[0-9]+-[a-z2-7]{12}", series.output or "")
    content = (tmp_path / "out" / "archive.jsonl").read_text()
    records = [json.loads(line) for line in content.splitlines()]
    assert [record["output"] for record in records] == sorted(series.output or "" for series in result.series)
    first = pydicom.dcmread(min((source / "c").iterdir()))
    for keyword in ("PatientID", "PatientBirthDate", "AccessionNumber", "SeriesDescription", "StudyDate"):
        assert str(first[keyword].value) not in content
    (pet,) = (record for record in records if record["modality"] == "PT")
    assert pet["source_series_instance_uid"] == first.SeriesInstanceUID
    assert (pet["verdict"], pet["slices"], pet["files"], pet["reason"]) == ("done", 2, 2, "")
    assert pet["kept"] > 50 < pet["restored"] + 50
    assert pet["set"] > 10


def test_options_are_those_of_run(source: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"transfer_syntax": "rle", "set": {"ImageComments": "checked"}}
    result = rt.archive(source, tmp_path / "out", **options, apply=rt_filter("clamp:lower=0"))
    assert result.counts == {"done": 3}
    for series in result.series:
        written = pydicom.dcmread(min((tmp_path / "out" / str(series.output)).iterdir()))
        assert written.file_meta.TransferSyntaxUID == pydicom.uid.RLELossless
        assert written.ImageComments == "checked"
        assert "values below 0 set to 0" in written.DerivationDescription
        assert series.max_error is not None


def rt_filter(text: str) -> Any:
    from itk_roundtrip.itk_io.filters import parse_filter

    return parse_filter(text)


def test_function_of_a_file_is_called_for_each_series(source: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import numpy as np\ndef plus(values: np.ndarray, n=1):\n    return values + n\n")
    result = rt.archive(source, tmp_path / "out", apply=f"{tmp_path}/mine.py:plus", parameters={"n": 2})
    assert result.counts == {"done": 3}
    assert all(series.changed for series in result.series)


@pytest.mark.parametrize(
    ("apply", "message"),
    [
        ("mine.py:none", "mine.py is not a file"),
        (lambda values: values, r"function of a script .* pass apply="),
    ],
)
def test_functions_that_workers_cannot_call_are_refused_at_once(
    apply: Any, message: str, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(rt.RoundtripError, match=message):
        rt.archive(source, tmp_path / "out", apply=apply)
    assert not list(tmp_path.glob("out/study-*"))


# --------------------------------------------------------------------------------------------------- what is done again


def no_workers(*_: object, **__: object) -> Workers:
    raise AssertionError("nothing is to be read or carried")


def test_what_is_finished_is_not_read_again(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No header, no pixels: of an unchanged archive only folders and times are looked at."""
    rt.archive(source, tmp_path / "out")
    before = tree(tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.dcm")}
    monkeypatch.setattr(archiving, "Workers", no_workers)
    result = rt.archive(source, tmp_path / "out")
    assert result.counts == {"unchanged": 3}
    assert tree(tmp_path / "out") == before
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.dcm")}


def _touch(source: Path, out: Path) -> None:
    os.utime(next((source / "c").iterdir()), ns=(1, 1))


def _rewrite(source: Path, out: Path) -> None:
    """Change a header, and put size and time back."""
    file = next((source / "c").iterdir())
    found, content = file.stat(), file.read_bytes()
    assert content.count(b"Invented series")
    file.write_bytes(content.replace(b"Invented series", b"Invented string"))
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))


def _remove_source(source: Path, out: Path) -> None:
    next((source / "c").iterdir()).unlink()


def _remove_output(source: Path, out: Path) -> None:
    shutil.rmtree(next(out.glob("study-*/PT-*")))


def _spoil_output(source: Path, out: Path) -> None:
    file = next(out.glob("study-*/PT-*/*"))
    file.write_bytes(file.read_bytes()[:-1] + b"\1")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_touch, "the source changed"),
        (_rewrite, "the source changed"),
        (_remove_source, "the source changed"),
        (_remove_output, "the output changed"),
        (_spoil_output, "the output changed"),
    ],
)
def test_what_changed_is_done_again_and_nothing_else(
    change: Callable[[Path, Path], None], reason: str, source: Path, tmp_path: Path
) -> None:
    rt.archive(source, tmp_path / "out")
    change(source, tmp_path / "out")
    planned = rt.archive(source, tmp_path / "out", dry_run=True)
    assert reasons(planned)["c"] == reason
    result = rt.archive(source, tmp_path / "out")
    assert verdicts(result) == {"Nobody^Noel/a": "unchanged", "Nobody^Noel/b": "unchanged", "c": "done"}
    if change in (_rewrite, _spoil_output):  # what is done again is what a first run does
        rt.archive(source, tmp_path / "fresh")
        assert tree(tmp_path / "fresh") == tree(tmp_path / "out")


def test_other_options_do_all_again(source: Path, tmp_path: Path) -> None:
    rt.archive(source, tmp_path / "out")
    result = rt.archive(source, tmp_path / "out", set={"ImageComments": "checked"})
    assert result.counts == {"done": 3}
    for file in (tmp_path / "out").glob("study-*/*/*"):
        assert pydicom.dcmread(file).ImageComments == "checked"


def test_a_function_that_was_edited_does_all_again(source: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    shutil.rmtree(source / "Nobody^Noel")
    for number, verdict in ((1, "done"), (1, "unchanged"), (2, "done")):
        file.write_text(f"import numpy as np\ndef plus(values: np.ndarray):\n    return values + {number}\n")
        assert rt.archive(source, tmp_path / "out", apply=f"{file}:plus").counts == {verdict: 1}


def test_an_output_that_was_only_touched_stays(source: Path, tmp_path: Path) -> None:
    """A copy of the archive has other times, and the same bytes."""
    rt.archive(source, tmp_path / "out")
    for file in (tmp_path / "out").glob("study-*/*/*"):
        os.utime(file, ns=(1, 1))
    assert rt.archive(source, tmp_path / "out").counts == {"unchanged": 3}


def test_a_file_that_no_archive_wrote_is_not_lost(source: Path, tmp_path: Path) -> None:
    rt.archive(source, tmp_path / "out")
    mine = next((tmp_path / "out").glob("study-*/PT-*")) / "mine.txt"
    mine.write_text("notes")
    result = rt.archive(source, tmp_path / "out")
    assert verdicts(result)["c"] == "refused"
    assert "holds mine.txt, which no archive wrote; move it away" in reasons(result)["c"]
    assert mine.read_text() == "notes"


def test_series_that_left_the_source_are_told(source: Path, tmp_path: Path) -> None:
    rt.archive(source, tmp_path / "out")
    shutil.rmtree(source / "c")
    result = rt.archive(source, tmp_path / "out")
    assert result.counts == {"unchanged": 2}
    (warning,) = result.warnings
    assert re.match(r"1 series of an earlier run no longer in the source, first study-.*/PT-", warning)


def test_a_source_that_was_moved_is_known_and_another_one_refused(source: Path, tmp_path: Path) -> None:
    rt.archive(source, tmp_path / "out")
    write_series(tmp_path / "other", seed=9)
    with pytest.raises(rt.DestinationError, match="archive of another source folder"):
        rt.archive(tmp_path / "other", tmp_path / "out")
    source.rename(tmp_path / "moved")
    assert rt.archive(tmp_path / "moved", tmp_path / "out").counts == {"unchanged": 3}


# ---------------------------------------------------------------------------------------------- what cannot be done


def test_one_series_that_is_refused_does_not_stop_the_others(source: Path, tmp_path: Path) -> None:
    file = max((source / "c").iterdir())
    file.write_bytes(file.read_bytes()[:-40])
    ended = CliRunner().invoke(app, ["archive", str(source), str(tmp_path / "out"), "--json"])
    assert ended.exit_code == 1
    document = json.loads(ended.stdout)
    assert (document["verdict"], document["counts"]) == ("fail", {"done": 2, "refused": 1})
    (refused,) = (series for series in document["series"] if series["verdict"] == "refused")
    assert re.fullmatch(r"c/\w+ is truncated: it ends before its pixels do\.", refused["reason"])
    assert refused["output"] is None
    assert len(list((tmp_path / "out").glob("study-*/*"))) == 2
    table = CliRunner().invoke(app, ["archive", str(source), str(tmp_path / "out")])
    assert table.exit_code == 1
    assert "3 series, 7 files: 2 unchanged, 1 refused" in table.stdout


def test_series_without_pixels_are_left_out(source: Path, tmp_path: Path) -> None:
    write_series(source / "report", slices=1, seed=7, modality="MR")
    file = next((source / "report").iterdir())
    dataset = pydicom.dcmread(file)
    del dataset.PixelData
    dataset.save_as(file)
    result = rt.archive(source, tmp_path / "out")
    assert (result.verdict, verdicts(result)["report"]) == ("pass", "left out")


def test_a_crash_of_itk_is_survived(source: Path, workers: Workers, tmp_path: Path) -> None:
    """The series is tried again with a process of its own for its slabs."""
    workers.call(chores.crash_once_carrying)
    assert rt.archive(source, tmp_path / "out", jobs=1).counts == {"done": 3}


def test_a_series_that_ends_every_process_fails_alone(source: Path, tmp_path: Path) -> None:
    write_series(source / "large", slices=1, seed=5, columns=24)
    result = rt.archive(source, tmp_path / "out", apply=chores.die_for_large, jobs=1)
    assert verdicts(result) == {"Nobody^Noel/a": "done", "Nobody^Noel/b": "done", "c": "done", "large": "failed"}
    assert re.search(r"ended the process that carried it", reasons(result)["large"])
    assert not list((tmp_path / "out").glob("study-*/.*"))


class InThisProcess:
    """A pool that patches of this process reach."""

    def __init__(self, *_: object, **__: object) -> None:
        from itk_roundtrip.processes import ThisProcess

        pool = ThisProcess()
        self.call, self.run, self.start, self.is_ready = pool.call, pool.run, pool.start, pool.is_ready

    def __enter__(self) -> InThisProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_a_full_disk_stops_the_archive_which_goes_on_later(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next series would meet it as well; what is done stays."""
    rename, published = os.rename, []

    def full(old: Any, new: Any) -> None:
        if "study-" in str(new):
            if published:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            published.append(new)
        rename(old, new)

    monkeypatch.setattr(archiving, "Workers", InThisProcess)
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", full)
        with pytest.raises(rt.DestinationError, match=r"no space left .* make room; 1 of 3 series are done, and the"):
            rt.archive(source, tmp_path / "out", jobs=1)
    assert len(list((tmp_path / "out").glob("study-*/*"))) == 1
    assert not list((tmp_path / "out").glob("study-*/.*"))
    assert rt.archive(source, tmp_path / "out", jobs=1).counts == {"done": 2, "unchanged": 1}


def test_a_folder_that_cannot_be_read_is_refused_unless_it_is_left_out(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Part of a series may be in it."""
    listed = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("/c"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    ended = CliRunner().invoke(app, ["archive", str(source), str(tmp_path / "out")])
    assert ended.exit_code == 2
    assert re.search(
        r"c in \S*in cannot be read \(permission denied\), .* leave it out with --leave-out \"?c", ended.stderr
    )
    assert not (tmp_path / "out").exists()
    assert rt.archive(source, tmp_path / "out", leave_out=["c"]).counts == {"done": 2}
    with pytest.raises(rt.RoundtripError, match="holds nothing of that name"):
        rt.archive(source, tmp_path / "out", leave_out=["c", "d"])


def test_links_and_loops(source: Path, tmp_path: Path) -> None:
    """Links to files are files, links to folders are told and not followed; none of them is a way round for ever."""
    (source / "loop").symlink_to(source)
    (source / "itself").symlink_to(source / "itself")
    (source / "nothing").symlink_to(tmp_path / "nothing")
    write_series(tmp_path / "elsewhere", slices=2, seed=8)
    (source / "linked").mkdir()
    for file in (tmp_path / "elsewhere").iterdir():
        (source / "linked" / file.name).symlink_to(file)
    first = min((source / "c").iterdir())
    (source / "again").symlink_to(first)  # else it would be an export of its own, of one slice
    result = rt.archive(source, tmp_path / "out")
    assert result.counts == {"done": 4}
    assert sum(series.files for series in result.series) == 9
    assert result.skipped["not a regular file"] == 2
    assert result.warnings == ("1 link to folders not followed, first loop: name their folders themselves.",)


def test_links_into_the_output_are_refused(source: Path, tmp_path: Path) -> None:
    rt.archive(source, tmp_path / "out")
    shutil.rmtree(source / "c")
    (source / "c").mkdir()
    for file in (tmp_path / "out").glob("study-*/PT-*/*"):
        (source / "c" / file.name).symlink_to(file)
    result = rt.archive(source, tmp_path / "out")
    assert result.counts["unchanged"] == 2
    assert verdicts(result)["c"] in ("done", "refused")
    assert len(list((tmp_path / "out").glob("study-*/PT-*/*"))) >= 2


def test_the_same_series_twice_is_taken_once_and_other_copies_are_apart(source: Path, tmp_path: Path) -> None:
    """Files that are equal byte by byte are one; exports of a series that differ go to folders of their own."""
    shutil.copytree(source / "c", source / "again")
    assert rt.archive(source, tmp_path / "out").counts == {"done": 3}
    for file in (source / "again").iterdir():
        dataset = pydicom.dcmread(file)
        dataset.ImageComments = "exported again"
        dataset.save_as(file)
    result = rt.archive(source, tmp_path / "out")
    assert verdicts(result)["again"] == verdicts(result)["c"] == "done"
    assert len({series.output for series in result.series}) == 4
    assert result.warnings[0] == "2 exports of one series differ, each is carried: again, c."


def test_names_that_collide_are_refused(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests of sixty bits do not, in practice; nothing is overwritten if they did."""
    write_series(source / "d", slices=1, seed=3, modality="MR")
    monkeypatch.setattr(plan, "_short", lambda *_: "same")
    result = rt.archive(source, tmp_path / "out")
    assert result.counts == {"done": 3, "refused": 1}
    (refused,) = (series for series in result.series if series.verdict == "refused")
    assert "is that of another series" in refused.reason


def test_a_second_archive_is_refused_while_one_is_writing(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    lock = folders.lock(tmp_path / "out" / archiving.STATE)
    try:
        with pytest.raises(rt.DestinationError, match="Another archive is writing"):
            rt.archive(source, tmp_path / "out")
    finally:
        lock.release()
    assert rt.archive(source, tmp_path / "out").verdict == "pass"


@pytest.mark.parametrize(
    ("destination", "message"),
    [
        ("in/out", "lie one inside the other"),
        (".", "lie one inside the other"),
        ("in/readme.txt", "lie one inside the other"),
        ("full", "is not empty and holds no archive"),
        ("file", "is a file"),
        ("file/out", "file/out cannot be written: not a directory"),
        ("a" * 300, "a cannot be written: file name too long"),
    ],
)
def test_output_folders_that_are_none(destination: str, message: str, source: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("")
    (tmp_path / "file").write_text("")
    with pytest.raises(rt.RoundtripError, match=message):
        rt.archive(source, tmp_path / destination)
    assert (tmp_path / "full" / "mine").exists()


def test_sources_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source, message in (("empty", "holds no DICOM series; it is empty"), ("none", "neither a folder nor a file")):
        with pytest.raises(rt.SeriesNotFoundError, match=message):
            rt.archive(tmp_path / source, tmp_path / "new" / "out")
        assert not (tmp_path / "new").exists()


def test_an_index_that_is_damaged_is_named(source: Path, tmp_path: Path) -> None:
    rt.archive(source, tmp_path / "out")
    index = tmp_path / "out" / archiving.STATE / "index.sqlite"
    index.write_bytes(b"no database" * 1000)
    with pytest.raises(rt.DestinationError, match=r"\.itk-roundtrip/index\.sqlite in .* remove that file"):
        rt.archive(source, tmp_path / "out")
    index.unlink()
    assert rt.archive(source, tmp_path / "out").counts == {"done": 3}


# ------------------------------------------------------------------------------------------------------ dry run, pages


def test_a_dry_run_writes_nothing(source: Path, tmp_path: Path) -> None:
    planned = rt.archive(source, tmp_path / "out", dry_run=True)
    assert planned.counts == {"to do": 3}
    assert not (tmp_path / "out").exists()
    done = rt.archive(source, tmp_path / "out")
    assert [series.output for series in planned.series] == [series.output for series in done.series]
    _touch(source, tmp_path / "out")
    before = {path: path.stat() for path in tmp_path.rglob("*") if path.is_file()}
    planned = rt.archive(source, tmp_path / "out", dry_run=True)
    assert planned.counts == {"unchanged": 2, "to do": 1}
    assert before.keys() == {path for path in tmp_path.rglob("*") if path.is_file()}
    assert all(path.stat().st_mtime_ns == found.st_mtime_ns for path, found in before.items())


def test_pages_are_linked_and_name_no_file(source: Path, tmp_path: Path) -> None:
    file = max((source / "Nobody^Noel" / "b").iterdir())
    file.write_bytes(file.read_bytes()[:-40])
    index = tmp_path / "report.html"
    rt.archive(source, tmp_path / "out")
    result = rt.archive(source, tmp_path / "out", html=index)
    assert result.counts == {"unchanged": 2, "refused": 1}
    page = index.read_text()
    links = re.findall(r'href="(report-series/[^"]+)"', page)
    assert len(links) == 2
    assert all("PASS" in (tmp_path / link).read_text() for link in links)
    assert "a file is truncated" in page
    assert "Nobody" not in page
    assert not any(series.source_series_instance_uid in page for series in result.series)
    times = [(tmp_path / link).stat().st_mtime_ns for link in links]
    rt.archive(source, tmp_path / "out", html=index)
    assert times == [(tmp_path / link).stat().st_mtime_ns for link in links]


def test_results_show_themselves(source: Path, tmp_path: Path) -> None:
    stages: dict[str, tuple[int, int]] = {}
    result = rt.archive(source, tmp_path / "out", progress=lambda stage, *at: stages.update({stage: at}))
    assert repr(result) == f"<ArchiveResult pass: 3 done, in {tmp_path}/out>"
    assert repr(result.series[0]).startswith("<ArchivedSeries done: ")
    assert result.to_dict()["counts"] == {"done": 3}
    assert "3 series, 7 files: 3 done" in result._repr_html_()
    assert stages == {"Listing": (8, 0), "Scanning": (8, 8), "Series": (3, 3), "Slices": (7, 7)}


# -------------------------------------------------------------------------------------------------------- the parts


def test_large_series_are_shared_out_if_the_others_cannot_keep_all_busy() -> None:
    assert shared_out([1.0] * 20, [True] * 20, 2) == 0
    assert shared_out([1.0] * 3, [True] * 3, 2) == 1
    assert shared_out([1.0] * 3, [False] * 3, 2) == 0
    assert shared_out([10.0, 1.0, 1.0, 1.0], [True, False, False, False], 2) == 1
    assert shared_out([5.0], [True], 1) == 0
    assert shared_out([], [], 2) == 0


def test_what_is_shared_out_is_written_as_anything_else(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slabs of one series over all workers, with the pipeline in this process."""
    rt.archive(source, tmp_path / "whole")
    monkeypatch.setattr(local, "shared_out", lambda *_: 2)
    assert rt.archive(source, tmp_path / "out", html=tmp_path / "page.html").counts == {"done": 3}
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
    assert len(list((tmp_path / "page-series").glob("*/*.html"))) == 3


@pytest.mark.parametrize("place", ["in", "out"])
def test_pages_are_not_written_into_source_or_output(place: str, source: Path, tmp_path: Path) -> None:
    with pytest.raises(rt.RoundtripError, match="name a file elsewhere"):
        rt.archive(source, tmp_path / "out", html=tmp_path / place / "page.html")


def test_a_walk_meets_what_find_meets(source: Path) -> None:
    (source / "pipe").parent.mkdir(exist_ok=True)
    os.mkfifo(source / "pipe")
    met = {found.name: found for found in scan.Walk(source)}
    assert sorted(met, key=scan.in_order) == [
        path.relative_to(source).as_posix()
        for path in sorted(source.rglob("*"), key=lambda path: scan.in_order(path.relative_to(source).as_posix()))
        if not stat.S_ISDIR(path.stat().st_mode)
    ]
    assert met["pipe"].header is not None
