"""The stages one by one, as a script would call them: real values, written series, and refused edits."""

from __future__ import annotations

import locale
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import witness
from synthetic import write_case, write_series

import itk_roundtrip as rt


@pytest.mark.parametrize("name", ["plain_ct", "mono1_ct", "pet_slopes_per_slice", "nm_rescale", "od_ol_ov_uv_sv"])
def test_volume_holds_the_real_values_and_is_written_back(name: str, tmp_path: Path) -> None:
    """Every slice has its own slope, MONOCHROME1 must not come inverted, and what was read must be what is written."""
    files = write_case(name, tmp_path / "source")
    (series,) = rt.find_series(tmp_path / "source")
    volume = rt.read_series(series)
    assert len(volume.metadata) == len(files)
    assert list(volume.image.GetLargestPossibleRegion().GetSize())[::-1] == list(volume.array_zyx.shape)
    for real, instance in zip(volume.array_zyx, series.instances, strict=True):
        dataset = pydicom.dcmread(instance.path)
        slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
        expected = dataset.pixel_array * slope + intercept
        np.testing.assert_allclose(real, expected, rtol=1e-6, atol=abs(slope) / 4)
    derived = rt.write_series(rt.derive(volume, description="Looked at"), tmp_path / "derived")
    assert derived.verdict == "pass"
    assert witness.compare(files, sorted((tmp_path / "derived").iterdir()), "derived") == []
    assert "Looked at" in pydicom.dcmread(next((tmp_path / "derived").iterdir())).DerivationDescription
    rt.write_series(volume, tmp_path / "copy")
    assert witness.compare(files, sorted((tmp_path / "copy").iterdir()), "copy") == []


def test_edited_volumes_are_refused(tmp_path: Path) -> None:
    """A plain round trip must not publish pixels as unchanged that are not, nor drop edits without a word."""
    write_case("plain_ct", tmp_path / "source")
    (series,) = rt.find_series(tmp_path / "source")
    volume = rt.read_series(series)
    volume.array_zyx[1, 2, 3] += 1
    with pytest.raises(rt.VerificationError, match=series.instances[1].name):
        rt.write_series(volume, tmp_path / "written")
    volume.array_zyx[1, 2, 3] -= 1
    volume.metadata[0]["0008|103e"] = "edited"
    with pytest.raises(rt.SeriesWriteError, match="edited"):
        rt.write_series(volume, tmp_path / "written")
    assert {path.name for path in tmp_path.iterdir()} == {"source"}


def test_the_array_keeps_its_image_alive(tmp_path: Path) -> None:
    """A slice of a volume that nobody holds any more must not read freed memory."""
    write_case("plain_ct", tmp_path / "source")
    (series,) = rt.find_series(tmp_path / "source")
    kept = rt.read_series(series).array_zyx[2]
    values = pydicom.dcmread(series.instances[2].path)
    rt.read_series(series)  # takes the memory that would have been freed
    np.testing.assert_array_equal(kept, values.pixel_array.astype(int) + int(values.RescaleIntercept))


def test_the_locale_stays_as_it_was(tmp_path: Path) -> None:
    """ITK's writer swaps the locale of the whole process; a script that prints names afterwards would fail."""
    before = locale.setlocale(locale.LC_ALL)
    write_case("plain_ct", tmp_path / "source")
    (series,) = rt.find_series(tmp_path / "source")
    rt.write_series(rt.read_series(series), tmp_path / "copy")
    assert locale.setlocale(locale.LC_ALL) == before


def test_functions_stay_functions_after_their_modules_are_imported() -> None:
    """A submodule of the same name would hide the function."""
    assert callable(rt.write_series)
    assert callable(rt.roundtrip)
    assert callable(rt.find_series)


# ------------------------------------------------------------------------------------------- a folder or a series


@pytest.fixture
def two_series(tmp_path: Path) -> list[rt.Series]:
    """Two series in one folder."""
    write_series(tmp_path / "in" / "a", seed=1, slices=3)
    write_series(tmp_path / "in" / "b", seed=2, slices=3)
    return rt.find_series(tmp_path / "in")


def test_a_series_stands_for_itself(two_series: list[rt.Series], tmp_path: Path) -> None:
    """Its folder holds another one, which need not be told apart again."""
    series = two_series[1]
    files = [instance.path for instance in series.instances]
    result = rt.roundtrip(series, tmp_path / "out", jobs=1)
    by_uid = rt.roundtrip(tmp_path / "in", tmp_path / "by_uid", series=series.series_instance_uid, jobs=1)
    assert result.series_instance_uid == by_uid.series_instance_uid
    assert result.source == series.directory.as_posix()
    assert witness.compare(files, sorted((tmp_path / "out").iterdir()), "derived") == []
    report = rt.verify_series(series, tmp_path / "out", jobs=1)
    assert (report.verdict, report.source_series_instance_uid) == ("pass", series.series_instance_uid)
    assert result.report is not None
    assert {pair.by for pair in (*result.report.pairs, *report.pairs)} == {"Source Image"}
    assert rt.verify_series(two_series[0], tmp_path / "out", jobs=1).verdict == "fail"
    assert rt.export_volume(series, tmp_path / "image.nrrd").series_instance_uid == series.series_instance_uid


def test_some_instances_of_a_series(two_series: list[rt.Series], tmp_path: Path) -> None:
    """Who leaves some out means it."""
    series = replace(two_series[0], instances=two_series[0].instances[:2])
    assert rt.roundtrip(series, tmp_path / "out", jobs=1).slices == 2
    assert rt.verify_series(series, tmp_path / "out", jobs=1).verdict == "pass"
    assert rt.verify_series(tmp_path / "in", tmp_path / "out", jobs=1).verdict == "fail"


def test_a_folder_is_read_at_once(two_series: list[rt.Series], tmp_path: Path) -> None:
    series = two_series[1]
    volume = rt.read_series(tmp_path / "in", series=series.series_instance_uid)
    assert volume.series == series
    np.testing.assert_array_equal(volume.array_zyx, rt.read_series(series).array_zyx)
    assert rt.read_series(tmp_path / "in" / "b").series.instances[0].sop_instance_uid == (
        series.instances[0].sop_instance_uid
    )
    with pytest.raises(rt.AmbiguousSeriesError, match="2 series"):
        rt.read_series(tmp_path / "in")
    with pytest.raises(rt.SeriesNotFoundError, match=r"holds no series 1\.2"):
        rt.read_series(tmp_path / "in", series="1.2")


def test_a_broken_file_of_a_folder_is_told(two_series: list[rt.Series], tmp_path: Path) -> None:
    """A volume without one of its slices looks like any other."""
    file = two_series[0].instances[1].path
    file.write_bytes(file.read_bytes()[:200])
    with pytest.warns(UserWarning, match=f"{file.name} was left out: broken") as told:
        volume = rt.read_series(tmp_path / "in" / "a")
    assert len(volume.planes) == 2
    assert told[0].filename == __file__


@pytest.mark.parametrize("function", [rt.roundtrip, rt.verify_series, rt.export_volume, rt.find_losses, rt.read_series])
def test_a_series_is_chosen_once(function: Callable[..., Any], two_series: list[rt.Series], tmp_path: Path) -> None:
    others = {"roundtrip": ["out"], "verify_series": ["in"], "export_volume": ["image.nrrd"]}
    arguments = [tmp_path / name for name in others.get(function.__name__, [])]
    with pytest.raises(rt.RoundtripError, match=r"is a Series already; leave out series\."):
        function(two_series[0], *arguments, series=two_series[0].series_instance_uid)


def test_a_series_whose_files_changed_is_refused(two_series: list[rt.Series], tmp_path: Path) -> None:
    """It is no longer known what they hold."""
    rt.roundtrip(two_series[0], tmp_path / "out", jobs=1)
    file = two_series[0].instances[1].path
    dataset = pydicom.dcmread(file)
    dataset.ImagePositionPatient = [0, 0, 99]
    dataset.save_as(file)
    for change in (lambda: None, file.unlink):
        change()
        for function, path in ((rt.roundtrip, "again"), (rt.verify_series, "out"), (rt.export_volume, "image.nrrd")):
            with pytest.raises(rt.SeriesReadError, match=f"{file.name} is not what was found"):
                function(two_series[0], tmp_path / path)  # type: ignore[operator]
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}
