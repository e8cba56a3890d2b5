"""The stages one by one, as a script would call them: real values, written series, and refused edits."""

from __future__ import annotations

import locale
from pathlib import Path

import numpy as np
import pydicom
import pytest
import witness
from synthetic import write_case

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
