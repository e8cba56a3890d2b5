"""A volume as other programs of Python take it: arrays, images, pickles, metadata, the data set of a slice."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pydicom
import pytest
import SimpleITK
import witness
from conftest import ROOT, SAMPLE, one_series
from synthetic import write_case, write_series
from test_read_series import BACKENDS, Backend

import itk_roundtrip as rt

KINDS = ["plain_ct", "mono1_ct", "pet_slopes_per_slice", "rgb", "rgb_16", "enhanced"]


def read(folder: Path, name: str, backend: Backend = "itk") -> rt.Volume:
    """Return the volume of a case, written to a folder named ``source``."""
    write_case(name, folder / "source")
    return rt.read_series(folder / "source", backend=backend)


# ---------------------------------------------------------------------------------------------- arrays and images


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_volume_is_an_array_of_its_slices(name: str, backend: Backend, tmp_path: Path) -> None:
    volume = read(tmp_path, name, backend)
    array = np.asarray(volume)
    assert (type(array), array.shape, array.dtype) == (np.ndarray, volume.array_zyx.shape, volume.array_zyx.dtype)
    assert np.shares_memory(array, volume.array_zyx), "an edit of it is one of the volume"
    assert not np.shares_memory(np.array(volume), volume.array_zyx)
    assert np.asarray(volume, np.float64).dtype == np.float64
    assert len(volume) == len(volume.planes) == len(volume.metadata)
    for index, pixels in enumerate(volume):
        np.testing.assert_array_equal(pixels, volume.array_zyx[index])
    assert np.max(volume) == volume.array_zyx.max()  # type: ignore[call-overload]  # what numpy takes for an array


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_images_of_both_libraries(name: str, backend: Backend, tmp_path: Path) -> None:
    """The same values at the same place, by each library's own words."""
    volume = read(tmp_path, name, backend)
    other = volume.to_simpleitk()
    assert isinstance(other, SimpleITK.Image)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(other).reshape(volume.array_zyx.shape), volume)
    assert tuple(other.GetOrigin()) == tuple(volume.image.GetOrigin())
    assert tuple(other.GetSpacing()) == tuple(volume.image.GetSpacing())
    if name == "rgb_16":
        with pytest.raises(rt.UnsupportedSeriesError, match="16-bit colours; use to_simpleitk"):
            volume.to_itk()
        return
    image = volume.to_itk()
    np.testing.assert_array_equal(itk.array_from_image(image), volume)
    np.testing.assert_array_equal(
        itk.array_from_matrix(image.GetDirection()).ravel(), volume.to_simpleitk().GetDirection()
    )
    np.testing.assert_array_equal([*image.GetOrigin(), *image.GetSpacing()], [*other.GetOrigin(), *other.GetSpacing()])
    assert (image if backend == "itk" else other) is volume.image


def test_an_edit_is_in_the_image_or_refused(tmp_path: Path) -> None:
    """SimpleITK shares no memory: an image without the edit would be taken for the volume."""
    volume = read(tmp_path, "plain_ct")
    volume.array_zyx[0, 1, 2] += 1
    assert SimpleITK.GetArrayFromImage(volume.to_simpleitk())[0, 1, 2] == volume.array_zyx[0, 1, 2]
    volume = rt.read_series(tmp_path / "source", backend="simpleitk")
    volume.array_zyx[0, 1, 2] += 1
    for take in (volume.to_itk, volume.to_simpleitk):
        with pytest.raises(rt.SeriesWriteError, match="hold other values"):
            take()


# --------------------------------------------------------------------------------------------------------- pickles


@pytest.mark.parametrize("name", [*KINDS, "private_latin1_creator", "charset_chrGerm"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_volume_comes_out_of_its_pickle(name: str, backend: Backend, tmp_path: Path) -> None:
    """It is written as it would have been."""
    volume = read(tmp_path, name, backend)
    again: rt.Volume = pickle.loads(pickle.dumps(volume))
    np.testing.assert_array_equal(again, volume)
    assert type(again.image) is type(volume.image)
    assert [again.metadata[0][key] for key in again.metadata[0].GetKeys() if "|" in key] == [
        volume.metadata[0][key] for key in volume.metadata[0].GetKeys() if "|" in key
    ]
    rt.write_series(again, tmp_path / "copy")
    files = [instance.path for instance in volume.series.instances]
    assert witness.compare(files, [tmp_path / "copy" / file.name for file in files], "copy") == []
    again.array_zyx[0] += 1
    with pytest.raises(rt.VerificationError, match="are not those of the source"):
        rt.write_series(again, tmp_path / "other")


@pytest.mark.parametrize("backend", BACKENDS)
def test_edits_come_out_of_the_pickle(backend: Backend, tmp_path: Path) -> None:
    """A pickle that forgot them would be written without them, and nobody told."""
    volume = read(tmp_path, "plain_ct", backend)
    volume.array_zyx[1] += 1
    for dictionary in volume.metadata:
        dictionary["0008|103e"] = "Edited"
    derived = copy.deepcopy(rt.derive(volume, description="Add 1 to a slice", set={"StudyDescription": "Set"}))
    result = rt.write_series(derived, tmp_path / "out")
    assert result.quantisation is not None
    assert result.quantisation.changed == volume.array_zyx[1].size
    dataset = pydicom.dcmread(next((tmp_path / "out").iterdir()))
    assert (dataset.SeriesDescription, dataset.StudyDescription) == ("Edited", "Set")


def test_a_pickle_is_read_by_another_process(tmp_path: Path) -> None:
    """It knows nothing of ITK's classes yet."""
    (tmp_path / "volume.pickle").write_bytes(pickle.dumps(read(tmp_path, "plain_ct")))
    script = (
        "import pickle, itk_roundtrip as rt\n"
        "volume = pickle.load(open('volume.pickle', 'rb'))\n"
        "volume.array_zyx[0] += 1\n"
        "rt.write_series(rt.derive(volume, description='Add 1 to a slice'), 'out')\n"
        "print(type(volume.image).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("itkImageSS3\n", "")


def move(volume: rt.Volume) -> rt.Volume:
    volume.image.SetOrigin([1, 2, 3])
    return volume


def number(volume: rt.Volume) -> rt.Volume:
    volume.metadata[1]["0018|0050"] = 2.5  # type: ignore[assignment]
    return volume


def dataset(volume: rt.Volume) -> rt.Volume:
    volume.dataset(1).PatientID = "other"
    return volume


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (move, "geometry of the image was edited, which is not pickled"),
        (lambda volume: replace(volume, image=volume.to_simpleitk()), "another type"),
        (lambda volume: replace(volume, metadata=volume.metadata[1:]), "metadata dictionaries for"),
        (lambda volume: replace(volume, as_read=None), "not made by read_series"),
        (number, r"\(0018\|0050\) with a value that is no text"),
        (dataset, r"data set of .* was edited at \(0010,0020\)"),
    ],
)
def test_what_does_not_pickle_is_told(edit: Callable[[rt.Volume], rt.Volume], message: str, tmp_path: Path) -> None:
    with pytest.raises(rt.SeriesWriteError, match=message):
        pickle.dumps(edit(read(tmp_path, "plain_ct")))


# -------------------------------------------------------------------------------------------------------- metadata


@pytest.mark.parametrize("backend", BACKENDS)
def test_private_attributes_are_in_the_metadata(backend: Backend, tmp_path: Path) -> None:
    """An edit of them is written, or refused where ITK has no value but bytes."""
    volume = rt.read_series(SAMPLE, backend=backend)
    source = pydicom.dcmread(volume.planes[0].instance.path)
    assert volume.metadata[0]["0029|1110"] == source[0x00291110].value
    for dictionary in volume.metadata:
        dictionary["0029|1001"] = "edited"
    rt.write_series(rt.derive(volume), tmp_path / "out")
    assert {pydicom.dcmread(file)[0x00291001].value for file in (tmp_path / "out").iterdir()} == {"edited"}
    volume.metadata[0]["0029|1002"] = "AAAA"
    with pytest.raises(rt.RoundtripError, match=r"\(0029,1002\) cannot be set: it has the VR OB"):
        rt.write_series(rt.derive(volume), tmp_path / "other")


def test_a_number_is_no_entry_of_metadata(tmp_path: Path) -> None:
    """ITK's dictionary takes it; the attribute was removed from the slice."""
    volume = number(read(tmp_path, "plain_ct"))
    with pytest.raises(rt.SeriesWriteError, match=r"\(0018\|0050\) with a value that is no text"):
        rt.write_series(rt.derive(volume), tmp_path / "out")


# ------------------------------------------------------------------------------------------------------- data sets


def test_the_data_set_of_a_slice(tmp_path: Path) -> None:
    """All that the file holds but its pixels, for every slice."""
    volume = rt.read_series(SAMPLE)
    for index, plane in enumerate(volume.planes[:3]):
        expected = pydicom.dcmread(plane.instance.path)
        del expected.PixelData
        assert volume.dataset(index) == expected
        assert volume.dataset(index).file_meta == expected.file_meta
    assert volume.dataset(0) is volume.dataset(0)
    for index in (-1, len(volume)):
        with pytest.raises(rt.RoundtripError, match=rf"slices 0 to 23; {index} is none"):
            volume.dataset(index)


def test_frames_have_the_data_set_of_their_file(tmp_path: Path) -> None:
    volume = read(tmp_path, "enhanced")
    assert volume.dataset(0) is volume.dataset(1)
    assert len(volume.dataset(0).PerFrameFunctionalGroupsSequence) == len(volume)


def remove(dataset: pydicom.Dataset) -> None:
    del dataset.PatientID


EDITS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "an element": (lambda dataset: setattr(dataset, "PatientName", "Other^Name"), "0010,0010"),
    "a value of several": (lambda dataset: dataset.ImageType.append("OTHER"), "0008,0008"),
    "a nested element": (
        lambda dataset: setattr(dataset.ReferencedImageSequence[0], "ReferencedSOPInstanceUID", "1.2"),
        "0008,1140",
    ),
    "an item": (lambda dataset: dataset.ReferencedImageSequence.pop(), "0008,1140"),
    "another VR": (lambda dataset: dataset.add_new("PatientID", "SH", dataset.PatientID), "0010,0020"),
    "none left": (remove, "0010,0020"),
    "a new one": (lambda dataset: setattr(dataset, "PixelData", b"\0\0"), "7FE0,0010"),
    "of the file": (lambda dataset: setattr(dataset.file_meta, "ImplementationVersionName", "X"), "0002,0013"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_data_set_is_refused(edit: str, tmp_path: Path) -> None:
    """It is for reading: an edit would be in no file, and nobody told."""
    volume = rt.read_series(SAMPLE)
    change, tag = EDITS[edit]
    change(volume.dataset(3))
    with pytest.raises(rt.SeriesWriteError, match=rf"data set of CT0021.dcm was edited at \({tag}\)"):
        rt.write_series(rt.derive(volume), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_data_set_that_was_read_is_not_edited(tmp_path: Path) -> None:
    """pydicom decodes what is looked at; a number may be NaN."""
    write_series(tmp_path / "source", attributes={"DiffusionBValue": float("nan"), "SliceThickness": "2.5"})
    volume = rt.read_series(tmp_path / "source")
    assert "nan" in str(volume.dataset(0)["DiffusionBValue"])
    assert all(str(element) for element in volume.dataset(0).iterall())
    other = copy.deepcopy(volume.dataset(0))
    other.PatientName = "Other"
    assert rt.write_series(volume, tmp_path / "copy").verdict == "pass"


def test_a_data_set_of_a_file_that_changed(tmp_path: Path) -> None:
    volume = read(tmp_path, "plain_ct")
    file = one_series(tmp_path / "source").instances[0].path
    dataset = pydicom.dcmread(file)
    dataset.PatientName = "Other^Name"
    dataset.save_as(file)
    with pytest.raises(rt.SeriesReadError, match=f"{file.name} is not what was read"):
        volume.dataset(0)
    file.unlink()
    with pytest.raises(rt.SeriesReadError, match=f"{file.name} cannot be read"):
        volume.dataset(0)
