"""Processed pixels, from the caller's function, image or array to files: pydicom reads what became of the values."""

from __future__ import annotations

import functools
import json
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
from conftest import SAMPLE, one_series
from synthetic import is_available, write_case, write_series
from typer.testing import CliRunner, Result

import itk_roundtrip as rt
from itk_roundtrip.cli import app

pytestmark = pytest.mark.usefixtures("_lent")

Array = np.ndarray[Any, Any]


def real_values(dataset: pydicom.Dataset, frame: int = 0) -> Array:
    """Return the real-world values of a frame as pydicom reads them: in double precision."""
    words = dataset.pixel_array.astype(np.float64)
    if "NumberOfFrames" in dataset:
        words = words.reshape(int(dataset.NumberOfFrames), dataset.Rows, dataset.Columns)[frame]
    if "DoseGridScaling" in dataset:
        return words * float(dataset.DoseGridScaling)
    holder = dataset
    for groups, index in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", frame)):
        for item in dataset.get(groups, [])[index : index + 1]:
            holder = next(iter(item.get("PixelValueTransformationSequence", [])), holder)
    if "RescaleSlope" not in holder:
        for item in dataset.get("RealWorldValueMappingSequence", []):
            if item.get("LUTLabel") == "ITK round trip":
                return words * item.RealWorldValueSlope + item.RealWorldValueIntercept
    return words * float(holder.get("RescaleSlope", 1)) + float(holder.get("RescaleIntercept", 0))


def written_values(volume: rt.Volume, folder: Path) -> Array:
    """Return the real-world values of written files in the order of the slices of a volume, by their sources."""
    by_source = {}
    for file in folder.iterdir():
        dataset = pydicom.dcmread(file)
        by_source[dataset.SourceImageSequence[-1].ReferencedSOPInstanceUID] = dataset
    return np.stack(
        [real_values(by_source[plane.instance.sop_instance_uid], plane.frame or 0) for plane in volume.planes]
    )


OPERATIONS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda values: values.copy(),
    "rolled": lambda values: np.roll(values, 1, axis=1),
    "times 0.37": lambda values: values.astype(np.float32) * np.float32(0.37),
    "plus 3.3": lambda values: values.astype(np.float64) + 3.3,
    "mask": lambda values: (values > values.mean()).astype(np.uint8),
    "constant": lambda values: np.full(values.shape, 7, np.int16),
    "times 1000": lambda values: values.astype(np.float64) * 1000 + 70000,
    "booleans": lambda values: values > values.mean(),
}
KINDS = (
    "u12_ct", "s8_mr", "u15_mr", "pet_slopes_per_slice", "us_single", "mono1_u8", "mr_rescale", "slope_negative",
    "enhanced", "multi_frame_mono1", "rtdose_sf", "big_endian", "jpeg_lossless", "mr_rwvm_one", "pad_ss", "one_row",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_within_their_bound(kind: str, tmp_path: Path) -> None:
    """What pydicom reads of the files is what the caller gave, within half a step, and within what the header says."""
    write_case(kind, tmp_path / "source")
    volume = rt.read_series(one_series(tmp_path / "source"))
    before = np.array(volume.array_zyx)
    for name, operation in OPERATIONS.items():
        values = operation(before)
        folder = tmp_path / name
        result = rt.write_series(
            rt.derive(volume, image=values, description=f"operation {name}", allow_irregular=True), folder
        )
        assert (result.verdict, [f for f in result.findings if f.severity == "error"]) == ("pass", []), name
        figures = result.quantisation
        assert figures is not None
        error = np.abs(written_values(volume, folder) - values.astype(np.float64))
        padded = figures.padded > 0
        rounding = np.abs(values.astype(np.float64)).max() * 2.0**-23 if values.dtype.kind == "f" else 1e-9
        limit = figures.bound * (3 if figures.moved else 1)
        assert padded or error.max() <= limit + rounding, name
        assert padded or error.max() <= figures.max_error + rounding, name
        if kind in ("plain_ct", "u12_ct", "mono1_u8"):
            assert any("DICOM Segmentation" in each for each in result.warnings) == (name in ("mask", "booleans"))
        if name == "identity":
            assert (figures.max_error, figures.changed) == (0, 0)
        descriptions = {str(pydicom.dcmread(file).DerivationDescription) for file in folder.iterdir()}
        assert all(f"operation {name}" in text for text in descriptions)
        assert all(("stored values unchanged" in text) == (figures.changed == 0) for text in descriptions), name


def ct(folder: Path, **changes: Any) -> rt.Volume:
    """Return the volume of a plain CT of 12 bits in a folder that is made."""
    write_series(folder, slices=4, bits_stored=12, **changes)
    return rt.read_series(one_series(folder))


def written(volume: rt.Volume, folder: Path, **options: Any) -> list[pydicom.Dataset]:
    """Write a derived volume, and return its data sets."""
    rt.write_series(rt.derive(volume, **{"description": "x", **options}), folder)
    return [pydicom.dcmread(file) for file in sorted(folder.iterdir())]


def test_every_kind_of_image_is_taken(tmp_path: Path) -> None:
    """itk.Image, SimpleITK.Image, array, file, changed in place, replaced: the same files but for their UIDs."""
    volume = ct(tmp_path / "source")
    values = np.roll(volume.array_zyx, 2, axis=2)
    image = itk.image_duplicator(volume.image)
    itk.array_view_from_image(image)[...] = values
    simple = SimpleITK.GetImageFromArray(values)
    simple.SetOrigin(list(image.GetOrigin()))
    simple.SetSpacing(list(image.GetSpacing()))
    simple.SetDirection(itk.array_from_matrix(image.GetDirection()).ravel().tolist())
    SimpleITK.WriteImage(simple, str(tmp_path / "image.nrrd"))
    pixels = []
    for index, given in enumerate((image, simple, values, str(tmp_path / "image.nrrd"), tmp_path / "image.nrrd")):
        pixels.append([each.PixelData for each in written(volume, tmp_path / str(index), image=given)])
    pixels.append([each.PixelData for each in written(replace(volume, image=image), tmp_path / "replaced")])
    again = rt.read_series(volume.series)
    again.array_zyx[...] = values
    pixels.append([each.PixelData for each in written(again, tmp_path / "in place")])
    assert all(each == pixels[0] for each in pixels)


def test_pixels_changed_without_a_word_are_refused(tmp_path: Path) -> None:
    """The volume and the file are named."""
    volume = ct(tmp_path / "source")
    volume.array_zyx[2, 1, 1] += 1
    name = volume.planes[2].instance.name
    for derived in (volume, rt.derive(volume)):
        with pytest.raises(rt.VerificationError, match=f"The pixels of {name} in `array_zyx` .* say what was done"):
            rt.write_series(derived, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (lambda v: np.where(v > 0, np.nan, v), {}, "NaN"),
        (lambda v: np.where(v > 0, np.inf, v), {}, "infinite"),
        (lambda v: np.where(v > 0, np.nan, v), {"nan_to": "padding"}, "no Pixel Padding Value"),
        (lambda v: v.astype(complex), {}, "complex"),
        (lambda v: v[:, :-1], {}, "voxels"),
        (lambda v: v[:2], {}, "voxels"),
        (lambda v: np.ma.masked_less(v, 0), {}, "masked"),
        (lambda v: "nothing.nrrd", {}, "is not a file"),
        (lambda v: 5, {}, "not an itk.Image"),
        (lambda v: v * 1e6 + 0.25, {"max_error": 1e-3}, "Parametric Map"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(
    values: Callable[[Array], Any], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """Nothing is left behind."""
    volume = ct(tmp_path / "source")
    given = values(np.array(volume.array_zyx).astype(np.float64))
    with pytest.raises(rt.RoundtripError, match=message):
        written(volume, tmp_path / "out", image=given, **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_clipping_is_allowed_counted_and_declared(tmp_path: Path) -> None:
    """Colours have no other grid: what is beyond 0 to 255 is clipped, if that is allowed."""
    write_case("rgb", tmp_path / "source")
    volume = rt.read_series(one_series(tmp_path / "source"))
    values = np.array(volume.array_zyx).astype(np.int16) * 2 - 100
    with pytest.raises(rt.UnsupportedSeriesError, match="allow_clip=True"):
        written(volume, tmp_path / "out", image=values)
    derived = rt.derive(volume, image=values, description="contrast", allow_clip=True)
    result = rt.write_series(derived, tmp_path / "out")
    beyond = int(np.count_nonzero((values < 0) | (values > 255)))
    assert result.quantisation is not None
    assert result.quantisation.clipped == beyond
    datasets = [pydicom.dcmread(file) for file in sorted((tmp_path / "out").iterdir())]
    counts = [int(str(each.DerivationDescription).split(" values clipped")[0].split()[-1]) for each in datasets]
    assert sum(counts) == beyond
    assert np.array_equal(np.stack([each.pixel_array for each in datasets]), np.clip(values, 0, 255))


@pytest.mark.parametrize("padding", [0, 4095])
def test_clipped_values_never_become_padding(padding: int, tmp_path: Path) -> None:
    """Where the padding is the smallest or largest stored value, they get the one beside it."""
    write_series(tmp_path / "source", slices=2, bits_stored=12, attributes={"PixelPaddingValue": padding})
    volume = rt.read_series(one_series(tmp_path / "source"))
    values = np.array(volume.array_zyx) * 1e6
    derived = rt.derive(volume, image=values, description="x 1e6", max_error=1, allow_clip=True)
    result = rt.write_series(derived, tmp_path / "out")
    datasets = [pydicom.dcmread(file) for file in sorted((tmp_path / "out").iterdir())]
    words = np.stack([each.pixel_array for each in datasets])
    sources = np.stack([pydicom.dcmread(file).pixel_array for file in sorted((tmp_path / "source").iterdir())])
    assert result.quantisation is not None
    assert result.quantisation.clipped > 0
    assert np.array_equal(words == padding, sources == padding)
    assert (datasets[0].BitsStored, words.max()) == (16, 65535)


def test_padding_is_restored_and_in_no_figure(tmp_path: Path) -> None:
    """Whatever a filter makes of padding, its words stay."""
    write_case("pad_ss", tmp_path / "source")
    volume = rt.read_series(one_series(tmp_path / "source"))
    values = np.array(volume.array_zyx).astype(np.float64) + 1000.5
    result = rt.write_series(rt.derive(volume, image=values, description="shifted"), tmp_path / "out")
    assert result.quantisation is not None
    count = 0
    for file in (tmp_path / "out").iterdir():
        dataset = pydicom.dcmread(file)
        uid = dataset.SourceImageSequence[-1].ReferencedSOPInstanceUID
        source = next(
            pydicom.dcmread(each)
            for each in (tmp_path / "source").iterdir()
            if pydicom.dcmread(each).SOPInstanceUID == uid
        )
        words, kept = (np.frombuffer(each.PixelData, "<i2") for each in (source, dataset))
        ends = sorted((source.PixelPaddingValue, source.PixelPaddingRangeLimit))
        padding = (words >= ends[0]) & (words <= ends[1])
        assert np.array_equal((kept >= ends[0]) & (kept <= ends[1]), padding)
        assert np.array_equal(kept[padding], words[padding])
        count += int(padding.sum())
    assert result.quantisation.padded == count > 0


def test_the_description_and_references_of_a_filter(tmp_path: Path) -> None:
    """Operation, bound, neighbours; the slice itself is the last Source Image, as readers pair by it."""
    volume = ct(tmp_path / "source")
    filtered = SimpleITK.Median(rt.read_series(volume.series, backend="simpleitk").image, [1, 1, 1])
    datasets = written(
        volume, tmp_path / "out", image=filtered, description="Median, radius 1", footprint_slices=1,
        codes=[("113087", "DCM", "Smoothing")],
    )  # fmt: skip
    sources = {plane.instance.name: plane.instance.sop_instance_uid for plane in volume.planes}
    uids = list(sources.values())
    for dataset in datasets:
        referenced = [item.ReferencedSOPInstanceUID for item in dataset.SourceImageSequence]
        index = uids.index(referenced[-1])
        assert set(referenced) == set(uids[max(0, index - 1) : index + 2])
        assert "Median, radius 1; max error 0 HU" in dataset.DerivationDescription
        assert [item.CodeValue for item in dataset.DerivationCodeSequence] == ["113087"]
        assert dataset.ImageType[:2] == ["DERIVED", "SECONDARY"]


def test_outputs_that_differ_have_other_uids(tmp_path: Path) -> None:
    """Of two outputs with the same UIDs an archive keeps one; the same again has the same UIDs."""
    volume = ct(tmp_path / "source")
    values = np.array(volume.array_zyx) * 0.37
    given: list[dict[str, Any]] = [
        {"image": values}, {"image": values, "max_error": 0.05}, {"image": values, "allow_clip": True},
        {"image": values, "set": {"StudyDescription": "A"}}, {"image": values, "set": {"StudyDescription": "B"}},
        {}, {"set": {"StudyDescription": "A"}}, {"set": {"StudyDescription": "B"}},
    ]  # fmt: skip
    made = [written(volume, tmp_path / str(index), **options) for index, options in enumerate(given)]
    again = written(volume, tmp_path / "again", **given[3])
    assert len({each[0].SeriesInstanceUID for each in made}) == len(given)
    assert len({each.SOPInstanceUID for datasets in made for each in datasets}) == sum(map(len, made))
    assert [each.SOPInstanceUID for each in again] == [each.SOPInstanceUID for each in made[3]]


def test_attributes_are_set_by_the_caller(tmp_path: Path) -> None:
    """As ITK users do it, by keyword, for each slice; told in the result, and refused where a rule owns them."""
    volume = ct(tmp_path / "source")
    volume.metadata[1]["0008|1030"] = "Edited"
    first_rows = [plane.instance.name for plane in volume.planes]
    derived = rt.derive(
        volume, set={"SeriesDescription": "Mine", "ImageComments": lambda index: f"slice {index}", "KVP": None}
    )
    result = rt.write_series(derived, tmp_path / "out")
    assert result.set == ("ImageComments", "KVP", "SeriesDescription", "StudyDescription")
    for file in (tmp_path / "out").iterdir():
        dataset = pydicom.dcmread(file)
        index = first_rows.index(file.name.removeprefix("derived_"))
        assert (dataset.SeriesDescription, dataset.ImageComments) == ("Mine", f"slice {index}")
        assert "KVP" not in dataset
        assert (dataset.StudyDescription == "Edited") == (index == 1)
    for keyword in ("SOPInstanceUID", "Rows", "ImagePositionPatient", "PixelData"):
        with pytest.raises(rt.RoundtripError, match=keyword):
            rt.write_series(rt.derive(rt.read_series(volume.series), set={keyword: "1"}), tmp_path / "refused")


def test_an_irregular_series_is_processed_only_if_that_is_allowed(tmp_path: Path) -> None:
    """A gap makes neighbours of slices that are none; the header says so."""
    write_case("gap", tmp_path / "source")
    volume = rt.read_series(one_series(tmp_path / "source"))
    values = np.array(volume.array_zyx) + 1
    with pytest.raises(rt.UnsupportedSeriesError, match="allow_irregular=True"):
        written(volume, tmp_path / "out", image=values)
    datasets = written(volume, tmp_path / "out", image=values, allow_irregular=True)
    assert all("series is irregular" in each.DerivationDescription for each in datasets)


def test_mosaics_are_processed_only_if_that_is_allowed(tmp_path: Path) -> None:
    """Their tiles are slices, and their files are times."""
    write_case("mosaic", tmp_path / "source")
    volume = rt.read_series(one_series(tmp_path / "source"))
    values = np.array(volume.array_zyx) + 1
    with pytest.raises(rt.UnsupportedSeriesError, match="is a mosaic"):
        written(volume, tmp_path / "out", image=values)
    assert written(volume, tmp_path / "out", image=values, allow_irregular=True)


@pytest.mark.parametrize("kind", ["modality_lut", "palette", "slope_zero"])
def test_kinds_that_cannot_be_processed_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    """Indices of colours, and quantities that cannot be undone."""
    write_case(kind, tmp_path / "source")
    volume = rt.read_series(one_series(tmp_path / "source"))
    with pytest.raises(rt.UnsupportedSeriesError, match="cannot be processed"):
        written(volume, tmp_path / "out", image=np.array(volume.array_zyx))


def test_an_image_is_of_one_volume(tmp_path: Path) -> None:
    """Written into each volume of a series, it would put the values of one into the others."""
    write_case("echoes", tmp_path / "source")
    volume = rt.read_series(one_series(tmp_path / "source"), volume=0)
    with pytest.raises(rt.UnsupportedSeriesError, match="holds 2 volumes"):
        rt.roundtrip(
            tmp_path / "source", tmp_path / "out", image=np.array(volume.array_zyx) + 1, description="x",
            allow_irregular=True, jobs=1,
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["beyond_lossless", "beyond_lossless_ls"])
def test_bits_beside_the_values_of_a_stream_are_not_processed(kind: str, tmp_path: Path) -> None:
    """GDCM adds them to the values; without them nothing changes."""
    if not is_available(kind):
        pytest.skip("no encoder")
    write_case(kind, tmp_path / "source")
    volume = rt.read_series(one_series(tmp_path / "source"))
    derived = rt.derive(volume, image=np.array(volume.array_zyx), description="nothing")
    result = rt.write_series(derived, tmp_path / "out")
    assert result.quantisation is not None
    assert (result.quantisation.max_error, result.quantisation.changed) == (0, 0)
    low, high = (-3072, 1023) if volume.planes[0].instance.pixel_representation else (-1024, 3071)
    assert low <= volume.array_zyx.min() <= volume.array_zyx.max() <= high


@pytest.mark.parametrize("kind", ["rgb_rle_planar", "rgb_j2k_planar"])
def test_decoded_colours_stand_by_pixel_when_they_are_processed(kind: str, tmp_path: Path) -> None:
    """Planar Configuration becomes 0, as without processing."""
    if not is_available(kind):
        pytest.skip("no encoder")
    write_case(kind, tmp_path / "source")
    volume = rt.read_series(one_series(tmp_path / "source"))
    values = np.array(volume.array_zyx)[:, ::-1]
    datasets = written(volume, tmp_path / "out", image=values, allow_irregular=True)
    by_source = {each.SourceImageSequence[-1].ReferencedSOPInstanceUID: each for each in datasets}
    for plane, expected in zip(volume.planes, values, strict=True):
        dataset = by_source[plane.instance.sop_instance_uid]
        assert dataset.PlanarConfiguration == 0
        assert np.array_equal(dataset.pixel_array, expected)


def test_no_slope_of_the_source_stands_beside_another_scale(tmp_path: Path) -> None:
    """A mammogram may only have slope 1; one that has 2 would contradict a mapping beside it."""
    write_case("mg_rescale", tmp_path / "source")
    volume = rt.read_series(one_series(tmp_path / "source"))
    values = np.array(volume.array_zyx) * 0.37 + 3.3
    datasets = written(volume, tmp_path / "out", image=values, allow_irregular=True)
    by_source = {each.SourceImageSequence[-1].ReferencedSOPInstanceUID: each for each in datasets}
    for plane, expected in zip(volume.planes, values, strict=True):
        dataset = by_source[plane.instance.sop_instance_uid]
        real = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        assert np.abs(real - expected).max() <= float(dataset.RescaleSlope) / 2 + 1e-4


def in_place(words: Array, dataset: pydicom.Dataset) -> Array:
    """Return the stored values of words, wherever High Bit puts them."""
    span = 1 << dataset.BitsStored
    values = (words.astype(np.int64) >> dataset.HighBit + 1 - dataset.BitsStored) % span
    return np.where(values >= span // 2, values - span, values) if dataset.PixelRepresentation else values


@pytest.mark.parametrize(
    ("kind", "operation"),
    [
        ("u12_high_bits", lambda values: np.arange(values.size).reshape(values.shape) % 4096 - 1024),
        ("high_bit_15", lambda values: values * 0.37 + 3.3),
        ("high_bit_15_signed", lambda values: values[:, ::-1]),
        ("high_bit_11_rle_signed", lambda values: values[:, ::-1]),
        ("ct_rwvm_one", lambda values: -values),
    ],
)
def test_words_with_unused_bits_and_of_another_sign_are_processed(
    kind: str, operation: Callable[[Array], Array], tmp_path: Path
) -> None:
    """Unused bits may stay where a value does; mapped stored values become signed with the pixels."""
    write_case(kind, tmp_path / "source")
    volume = rt.read_series(one_series(tmp_path / "source"))
    values = operation(np.array(volume.array_zyx))
    datasets = written(volume, tmp_path / "out", image=values, allow_irregular=True)
    by_source = {each.SourceImageSequence[-1].ReferencedSOPInstanceUID: each for each in datasets}
    for plane, expected in zip(volume.planes, values, strict=True):
        dataset = by_source[plane.instance.sop_instance_uid]
        dtype = {8: "<u1", 16: "<u2"}[dataset.BitsAllocated]
        words = np.frombuffer(dataset.PixelData, dtype)[: expected.size].reshape(expected.shape)
        slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
        assert np.abs(in_place(words, dataset) * slope + intercept - expected).max() <= slope / 2 + 1e-4


@pytest.mark.parametrize("syntax", ["rle", "jpeg-lossless", "jpeg-ls"])
def test_a_codec_must_hold_the_words_that_are_written(syntax: Any, tmp_path: Path) -> None:
    """Not only those of the source: doses become 32 bits."""
    write_case("rtdose_sf", tmp_path / "source")
    volume = rt.read_series(one_series(tmp_path / "source"))
    values = np.array(volume.array_zyx) * 1.7 + 1e-7
    with pytest.raises(rt.UnsupportedSeriesError, match="32 bits allocated"):
        rt.roundtrip(
            tmp_path / "source", tmp_path / "out", image=values, description="x", max_error=1e-6,
            transfer_syntax=syntax, jobs=1,
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["allow_irregular", "debug"])
def test_options_of_processing_without_processing_are_refused(name: str, tmp_path: Path) -> None:
    """They would be ignored."""
    write_series(tmp_path / "source", slices=2)
    with pytest.raises(rt.RoundtripError, match=f"leave out {name}"):
        rt.roundtrip(tmp_path / "source", tmp_path / "out", jobs=1, **{name: True})


def shifted(values: np.ndarray, *, by: object = 1) -> Array:
    return values + (by if isinstance(by, int) else 1)


class Shifting:
    def __call__(self, values: np.ndarray) -> Array:
        return values + 1


@pytest.mark.parametrize(
    ("function", "parameters", "expected"),
    [
        (functools.partial(shifted, by=2), {}, "shifted, by=2; "),
        (Shifting(), {}, "Shifting; "),
        (shifted, {"by": object()}, "shifted, by=<object object>; "),
    ],
)
def test_a_function_is_named_in_the_same_words_each_time(
    function: Any, parameters: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    """Not by an address in memory, nor as an image of the caller."""
    write_series(tmp_path / "source", slices=2)
    rt.roundtrip(tmp_path / "source", tmp_path / "out", apply=function, parameters=parameters, jobs=1)
    for file in (tmp_path / "out").iterdir():
        assert expected in pydicom.dcmread(file).DerivationDescription


def test_a_series_is_of_one_patient_whatever_is_set(tmp_path: Path) -> None:
    """Other values in some slices are refused; a function that fails is told without its message."""
    volume = ct(tmp_path / "source")
    for values in (["a", "b", "c", "d"], lambda index: f"P{index}"):
        with pytest.raises(rt.RoundtripError, match=r"PatientID \(0010,0020\) cannot be set to other values"):
            written(volume, tmp_path / "out", set={"PatientID": values})
    volume.metadata[1]["0010|0020"] = "X"
    with pytest.raises(rt.RoundtripError, match="PatientID"):
        written(volume, tmp_path / "out")

    again = rt.read_series(volume.series)
    for error in (ValueError, SystemExit, rt.RoundtripError):

        def fails(index: int, error: type[BaseException] = error) -> str:
            raise error("Doe^John")

        with pytest.raises(rt.FunctionError, match=rf"sets \(0020,4000\) raised {error.__name__}") as raised:
            written(again, tmp_path / "out", set={"ImageComments": fails})
        assert "Doe" not in str(raised.value)
    datasets = written(again, tmp_path / "set", set={"KVP": np.array([80.0, 100, 120, 140])})
    assert sorted(float(each.KVP) for each in datasets) == [80, 100, 120, 140]


def test_a_list_is_of_one_slice_or_of_all(tmp_path: Path) -> None:
    """By the multiplicity of the attribute; where both may be meant, a function of the index says it."""
    volume, codes = ct(tmp_path / "source"), ["FS", "CG", "PPG", "FC"]  # 4 slices
    comments = [None, "one", "two", "three"]
    datasets = written(
        volume,
        tmp_path / "out",
        set={
            "ScanOptions": codes[:3],  # 1-n
            "ImageComments": comments,  # 1
            "SequenceVariant": lambda index: codes[index],  # 1-n
            "AcquisitionMatrix": lambda index: [0, 128, 128, index],  # 4
            "OperatorsName": [["A^B", "C"], ["D"], ["E"], ["F"]],  # 1-n, but no value is a list
        },
    )
    for index, each in enumerate(sorted(datasets, key=lambda each: each.ImagePositionPatient[2])):
        assert list(each.ScanOptions) == codes[:3]
        assert each.get("ImageComments") == comments[index]
        assert each.SequenceVariant == codes[index]
        assert list(each.AcquisitionMatrix) == [0, 128, 128, index]
        assert each.OperatorsName == (["A^B", "C"] if index == 0 else "DEF"[index - 1])
    for keyword, values in (
        ("ScanOptions", codes),
        ("WindowCenter", np.arange(4)),
        ("AcquisitionMatrix", [1, 2, 3, 4]),
    ):
        message = rf"{keyword} .* may hold 4 values, as many as slices are written: pass a function of the index"
        with pytest.raises(rt.RoundtripError, match=message):
            written(volume, tmp_path / "refused", set={keyword: values})
        assert not (tmp_path / "refused").exists()


# ------------------------------------------------------------------------------------------------- the command line

FUNCTIONS = """
import numpy as np, os, signal, sys

def doubled(values: np.ndarray, *, factor=2, spacing_xyz=None):
    print("noise on standard output", spacing_xyz)
    return values * factor

def median(image):
    import itk
    return itk.median_image_filter(image, radius=1)

def raises(image):
    raise ValueError("Doe^John")

def interrupts(image):
    raise KeyboardInterrupt("Doe^John")

def dies(image):
    os.kill(os.getpid(), signal.SIGKILL)

def returns_nothing(image):
    pass
"""


def command(*words: str | Path) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("functions") / "functions.py"
    file.write_text(FUNCTIONS)
    return str(file)


def test_apply_a_function_of_a_file(functions: str, tmp_path: Path) -> None:
    """Its parameters are declared, its noise does not spoil the JSON document."""
    words = ["run", SAMPLE, tmp_path / "out", "--apply", f"{functions}:doubled", "--param", "factor=0.5", "--json"]
    program = [sys.executable, "-m", "itk_roundtrip", *words]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert (document["verdict"], document["quantisation"]["bound"]) == ("pass", 0.5)
    assert "noise on standard output" in ended.stderr
    dataset = pydicom.dcmread(next((tmp_path / "out").iterdir()))
    assert "doubled of functions.py, factor=0.5; max error 0.5 HU" in dataset.DerivationDescription


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("raises", "raised ValueError at functions.py:"),
        ("interrupts", "raised KeyboardInterrupt at functions.py:"),
        ("dies", "ended its process"),
        ("returns_nothing", "None"),
        ("missing", "has no function missing"),
    ],
)
def test_a_function_that_fails_is_told_in_a_sentence(
    function: str, message: str, functions: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is left behind, and no value of an attribute is repeated."""
    ended = command("run", SAMPLE, tmp_path / "out", "--apply", f"{functions}:{function}")
    assert ended.exit_code == 2
    assert message in ended.stderr
    told = capfd.readouterr()  # of the process that the function runs in
    assert "Doe" not in ended.output + told.out + told.err
    assert "Traceback" not in ended.stderr + told.err
    assert list(tmp_path.iterdir()) == []


def test_filters_codes_and_settings(tmp_path: Path) -> None:
    """ITK's Gaussian says so by its code, and an attribute is set."""
    words = ["--filter", "gaussian:sigma_mm=1", "--set", "SeriesDescription=Smooth"]
    ended = command("run", SAMPLE, tmp_path / "out", *words)
    assert ended.exit_code == 0, ended.stderr
    dataset = pydicom.dcmread(next((tmp_path / "out").iterdir()))
    assert dataset.SeriesDescription == "Smooth"
    assert dataset.DerivationCodeSequence[-1].CodeValue == "113088"
    assert "Gaussian" in dataset.DerivationDescription


def test_export_and_back(tmp_path: Path) -> None:
    """What another program does not change has the same stored values."""
    assert command("export", SAMPLE, tmp_path / "volume.nii.gz").exit_code == 0
    words = ["--image", tmp_path / "volume.nii.gz", "--description", "seen elsewhere"]
    ended = command("run", SAMPLE, tmp_path / "out", *words)
    assert ended.exit_code == 0, ended.stderr
    sources = {pydicom.dcmread(file).SOPInstanceUID: pydicom.dcmread(file) for file in SAMPLE.iterdir()}
    for file in (tmp_path / "out").iterdir():
        dataset = pydicom.dcmread(file)
        source = sources[dataset.SourceImageSequence[-1].ReferencedSOPInstanceUID]
        assert dataset.PixelData == source.PixelData
        assert "seen elsewhere; stored values unchanged" in dataset.DerivationDescription
