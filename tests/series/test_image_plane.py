"""Pixel Spacing, Image Position and Image Orientation that are not what they must be: told, carried, never made up."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import Run, Verify
from synthetic import CASES, write_series

from itk_roundtrip import UnsupportedSeriesError, find_series, read_series
from itk_roundtrip.dicom.decimals import decimal, decimals
from itk_roundtrip.show.report import find_document


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1.0), ("+.5", 0.5), ("-1.", -1.0), ("1E3", 1000.0), (" 2.5e-1 ", 0.25), ("0.703125000000000011", 0.703125)],
)
def test_decimal_strings(text: str, number: float) -> None:
    """Sign, point and exponent as PS3.5 6.2 has them, between blanks; too many digits are a number all the same."""
    assert decimal(text) == number


@pytest.mark.parametrize(
    "text", ["", " ", "0,75", "1_0", "nan", "inf", "-Infinity", "1e999", "0x10", "\N{ARABIC-INDIC DIGIT ONE}", "1 0",
             "1\t", ".", "e5", "1e", "--1", "1.0.0", "1f"],
)  # fmt: skip
def test_what_is_no_decimal_string(text: str) -> None:
    """Python's ``float`` takes some of these, GDCM's stream reads the start of others."""
    assert decimal(text) is None
    assert decimals(f"1\\{text}") == ()


MALFORMED = {
    "PixelSpacing": ("Pixel Spacing", "malformed-spacing", [
        rb"0,75\0,50", b"0.75,0.5", rb"0\0", rb"0.75\0", b"", b"0.75", rb"-0.75\0.5", rb"nan\nan", rb"inf\1", rb"1_0\1",
        rb"0x1\0x1", rb"0.75\0.5\0.5", rb"0.75\ ", rb"1e12\1"]),
    "ImagePositionPatient": ("Image Position (Patient)", "malformed-position", [
        rb"-10,5\-20,25\2,5", rb"1\2", rb"1\2\3\4", b"", rb"1\2\nan", rb"1\2\1_0", rb"1\\3", rb"1\2\1e400"]),
    "ImageOrientationPatient": ("Image Orientation (Patient)", "malformed-orientation", [
        rb"0\0\0\0\0\0", rb"1\0\0\1\0\0", rb"1\0\0\-1\0\0", rb"1\0\0\0\0\0", rb"1\0\0\0\1", rb"1,0\0\0\0\1\0", b"",
        rb"2\0\0\0\2\0", rb"1\0\0\0\0.99\0", rb"1\0\0\0.01\1\0", rb"nan\0\0\0\1\0"]),
}  # fmt: skip
"""By keyword: name, kind of irregularity, and values that must not be taken for geometry."""


@pytest.mark.parametrize(
    ("keyword", "value"), [(keyword, value) for keyword, (_, _, values) in MALFORMED.items() for value in values]
)
def test_geometry_that_is_none(keyword: str, value: bytes, tmp_path: Path) -> None:
    """``find`` names the attribute and the files, and no plane or position; no volume is made of it."""
    name, kind, _ = MALFORMED[keyword]
    files = write_series(tmp_path, slices=2, attributes={keyword: value})
    (series,) = find_series(tmp_path)
    told = {one.kind: one for one in series.irregularities}
    assert set(told) - {"no-position"} == {kind}
    assert told[kind].message.startswith(f"{name} is not ")
    assert told[kind].message.endswith(": 2 of 2 files")
    assert told[kind].files == tuple(file.name for file in files)
    document = find_document(find_series(tmp_path), tmp_path)["series"][0]
    if keyword == "ImageOrientationPatient":
        assert (document["orientation"], document["positions"]) == (None, None)
    with pytest.raises(UnsupportedSeriesError, match=f"{name.replace('(', '.').replace(')', '.')} of IM0001") as caught:
        read_series(series)
    assert not value.strip() or value.decode() not in str(caught.value)


def test_one_slice_of_another_kind_is_enough(tmp_path: Path) -> None:
    """The others do not make up for it: it is a volume of its own, which is not read."""
    files = write_series(tmp_path, last_slice={"attributes": {"PixelSpacing": rb"0,75\0,50"}})
    (series,) = find_series(tmp_path)
    assert ("malformed-spacing", (files[-1].name,)) in [(one.kind, one.files) for one in series.irregularities]
    assert [len(volume.slices) for volume in series.volumes] == [3, 1]
    with pytest.raises(UnsupportedSeriesError, match=files[-1].name):
        read_series(series, volume=1)


@pytest.mark.parametrize("orientation", [r"0.9999\0\0\0\1.0001\0", r"1\0\0\0.0004\1\0", r"0.6\0.8\0\-0.8\0.6\0"])
def test_rounded_cosines_are_an_orientation(orientation: str, tmp_path: Path) -> None:
    """Scanners print few digits; GDCM takes what is within 0.001."""
    write_series(tmp_path, slices=2, attributes={"ImageOrientationPatient": orientation})
    (series,) = find_series(tmp_path)
    assert not series.irregularities
    assert series.geometry is not None
    assert read_series(series).array_zyx.shape[0] == 2


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("malformed_")])
def test_an_identical_copy_passes(name: str, verify: Verify, tmp_path: Path) -> None:
    """What the source has too is inherited: ``verify`` fails nobody who copies files."""
    write_series(tmp_path / "in", **CASES[name].keywords)
    shutil.copytree(tmp_path / "in", tmp_path / "out")
    report = verify(tmp_path / "in", tmp_path / "out")
    assert report.verdict == "pass"
    assert any("inherited" in one.message and "is not t" in one.message for one in report.findings)


def test_an_orientation_that_was_spoiled_is_an_error(verify: Verify, tmp_path: Path) -> None:
    """Only what the source has is inherited."""
    for folder, orientation in (("in", r"1\0\0\0\1\0"), ("out", r"0\0\0\0\0\0")):
        write_series(tmp_path / folder, slices=2, attributes={"ImageOrientationPatient": orientation})
    report = verify(tmp_path / "in", tmp_path / "out")
    assert ("GEO-02", "error", "(0020,0037)") in {(one.check, one.severity, one.tag) for one in report.findings}


def test_run_warns(run: Run, tmp_path: Path) -> None:
    """The same sentence as in ``find``."""
    write_series(tmp_path / "in", slices=2, attributes={"ImageOrientationPatient": r"0\0\0\0\0\0"})
    result = run(tmp_path / "in", tmp_path / "out")
    assert any(one.startswith("Image Orientation (Patient) is not two perpendicular") for one in result.warnings)
