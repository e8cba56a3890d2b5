"""What the commands print: the table of `find` in any width, and a series whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pydicom
import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType
from synthetic import write_case, write_series

from itk_roundtrip.series.find import find_series
from itk_roundtrip.show.report import find_document, find_table, series_table


def lines(shown: RenderableType, width: int = 200) -> list[str]:
    console = Console(record=True, width=width)
    console.print(shown)
    return [line.rstrip() for line in console.export_text().splitlines()]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with series of all sorts, some with long names."""
    folder = tmp_path_factory.mktemp("many")
    write_series(folder / "a_folder_with_a_rather_long_name" / "gap", geometry="gap", seed=1)
    write_series(folder / "echoes", slices=6, modality="MR", geometry="echoes", seed=2)
    write_series(folder / "frames", slices=1, frames=3, seed=3)
    (wide,) = write_series(folder / "wide", slices=1, seed=4)
    dataset = pydicom.dcmread(wide)
    dataset.SpecificCharacterSet, dataset.SeriesDescription = "ISO_IR 192", "腹部" * 12
    dataset.save_as(wide)
    write_case("us_single", folder / "us")
    (folder / "note.txt").write_text("no DICOM file")
    return folder


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160, 240])
def test_find_prints_a_line_for_each_series(many: Path, width: int) -> None:
    found = find_series(many)
    table = lines(find_table(found), width)
    assert all(cell_len(line) <= width for line in table)
    assert [line.split()[0] for line in table[1 : len(found) + 1]] == [str(number + 1) for number in range(len(found))]
    assert table[len(found) + 1] == ""
    assert "gap" in table[1]
    assert ("Spacing mm" in table[0]) == (width >= 100)
    assert ("Date" in table[0]) == (width >= 120)


def test_columns_that_say_nothing_are_left_out(tmp_path: Path) -> None:
    write_series(tmp_path)
    head = lines(find_table(find_series(tmp_path)))[0].split()
    assert head == ["#", "Mod.", "No.", "Description", "Date", "Slices", "Size", "Spacing", "mm", "Plane"]


def test_frames_and_volumes_are_counted(many: Path) -> None:
    table = lines(find_table(find_series(many)))
    at = table[0].index("Slices")
    counts = {line.split()[1]: line[at : at + 12].split() for line in table[1:6]}
    assert counts["echoes"] == ["6", "2"]
    assert counts["frames"] == ["3"]


def test_files_left_out_are_told_by_reason(many: Path, tmp_path: Path) -> None:
    shutil.copytree(many / "echoes", tmp_path / "a")
    shutil.copytree(many / "echoes", tmp_path / "b")
    (tmp_path / "note.txt").write_text("no DICOM file")
    *_, total, same, others = lines(find_table(find_series(tmp_path)))
    assert total == "7 files left out; --json names all:"
    assert same.split(maxsplit=1) == [
        "6",
        "the same as another file, byte for byte: b/IM0001.dcm, b/IM0002.dcm, b/IM0003.dcm and 3 more",
    ]
    assert others.endswith("note.txt")


def test_a_series_whole(many: Path) -> None:
    found = find_series(many)
    shown = "\n".join(lines(series_table(1, found[0]), 300))
    assert found[0].series_instance_uid in shown
    assert "MONOCHROME2 12/16 unsigned" in shown
    (gap,) = [one for one in found[0].irregularities if one.kind == "gap"]
    assert f"gap: {gap.message}" in shown
    assert all(name in shown for name in gap.files)
    echoes = "\n".join(lines(series_table(2, found[1]), 300))
    assert "2, told apart by EchoTime" in echoes
    assert "1: EchoTime 4.92, 3 slices" in echoes


def test_times_that_tell_volumes_apart_are_hidden(tmp_path: Path) -> None:
    write_series(tmp_path, modality="MR", attributes={
        "ImagePositionPatient": [rf"0\0\{k % 2}" for k in range(4)], "AcquisitionNumber": "1",
        "AcquisitionTime": [f"12345{k // 2}" for k in range(4)]})  # fmt: skip
    shown = "\n".join(lines(series_table(1, find_series(tmp_path)[0])))
    assert "AcquisitionTime (hidden)" in shown
    assert "12345" not in shown


def test_images_that_have_no_position_by_their_iod_are_not_irregular(many: Path) -> None:
    """Ultrasound has none (PS3.3 A.6); a CT without one is told."""
    of_us = find_series(many / "us")[0]
    assert "no-position" not in {one.kind for one in of_us.irregularities}


def test_the_document_names_numbers_folders_and_copies(many: Path) -> None:
    found = find_series(many)
    document = find_document(found, many)
    assert [series["number"] for series in document["series"]] == [1, 2, 3, 4, 5]
    assert document["series"][1]["folder"] == "echoes"
    (chosen,) = find_document(found, many, found[1])["series"]
    assert (chosen["number"], chosen["copies"]) == (2, ())
