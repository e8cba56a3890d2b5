"""Images on another grid than their source: pydicom and SimpleITK read where written slices lie, and their values."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
from conftest import SAMPLE, one_series
from pydicom._private_dict import private_dictionaries
from synthetic import write_case, write_series
from typer.testing import CliRunner

import itk_roundtrip as rt
from itk_roundtrip import new_grids
from itk_roundtrip.cli import app
from itk_roundtrip.tags import tag_text

pytestmark = pytest.mark.usefixtures("_lent")

Array = np.ndarray[Any, Any]
DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "regrid.md"
DCM2NIIX = shutil.which("dcm2niix") or shutil.which("dcm2niix", path=str(Path(pydicom.__file__).parents[4] / "bin"))


def read(folder: Path) -> rt.Volume:
    return rt.read_series(one_series(folder))


def simple(volume: rt.Volume) -> Any:
    """Return a volume as a SimpleITK image."""
    assert volume.as_read is not None
    values, geometry = np.array(volume.array_zyx), volume.as_read.geometry
    image = SimpleITK.GetImageFromArray(values, isVector=values.ndim == 4)
    image.SetOrigin(geometry[:3])
    image.SetSpacing(geometry[3:6])
    image.SetDirection(geometry[6:])
    return image


def resampled(image: Any, size: tuple[int, ...], spacing: tuple[float, ...], turn: Array, shift: float = 0.0) -> Any:
    """Return an image of this size and spacing around the centre of another, its axes turned, by linear interpolation.

    ``shift`` moves it, in voxels of its own.
    """
    direction = np.reshape(image.GetDirection(), (3, 3)) @ turn
    centre = np.array(image.TransformContinuousIndexToPhysicalPoint([(number - 1) / 2 for number in image.GetSize()]))
    origin = centre - direction @ ((np.array(size) - 1) / 2 * np.array(spacing) - shift * np.array(spacing))
    lowest = float(SimpleITK.GetArrayViewFromImage(image).min())
    pixel_type = image.GetPixelID() if image.GetNumberOfComponentsPerPixel() > 1 else SimpleITK.sitkFloat64
    return SimpleITK.Resample(
        image, size, SimpleITK.Transform(), SimpleITK.sitkLinear, origin.tolist(), spacing, direction.ravel().tolist(),
        lowest, pixel_type,
    )  # fmt: skip


def tilted(degrees: float) -> Array:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])


SAME, CORONAL = np.eye(3), np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


def grids(image: Any) -> dict[str, Any]:
    """Return images on other grids than an image, by what was done."""
    (x, y, z), (dx, dy, dz) = image.GetSize(), image.GetSpacing()
    return {
        "crop": image[1 : x - 2, 2 : y - 1, :],
        "fewer": image[:, :, 1 : z - 1],
        "every second": image[:, :, ::2],
        "thick": resampled(image, (x, y, 2), (dx, dy, 1.7 * dz), SAME),
        "thin": resampled(image, (x, y, 2 * z), (dx, dy, dz / 2), SAME),
        "in plane": resampled(image, (x // 2, y // 2, z), (2.1 * dx, 1.9 * dy, dz), SAME),
        "half a voxel": resampled(image, (x, y, z), (dx, dy, dz), SAME, shift=0.5),
        "larger": resampled(image, (x + 4, y + 6, z + 2), (dx, dy, dz), SAME),
        "coronal": resampled(image, (x, z, 3), (dx, dz, dy * y / 4), CORONAL),
        "oblique": resampled(image, (x, y, 4), (dx, dy, dz), tilted(25.0)),
    }


GRIDS = ("crop", "fewer", "every second", "thick", "thin", "in plane", "half a voxel", "larger", "coronal", "oblique")
LEFT_OUT = ("crop", "fewer", "every second")


def written(volume: rt.Volume, image: Any, folder: Path, **options: Any) -> list[pydicom.Dataset]:
    """Write an image on a new grid, and return its data sets by Instance Number."""
    result = rt.write_series(rt.derive(volume, image=image, description="x", regrid=True, **options), folder)
    assert result.verdict == "pass"
    datasets = [pydicom.dcmread(file) for file in folder.iterdir()]
    return sorted(datasets, key=lambda dataset: int(dataset.InstanceNumber))


def affine_of(datasets: list[pydicom.Dataset]) -> Array:
    """Return columns, rows and slices as steps in mm, and the first position, shape (3, 4), as a NIfTI tool does."""
    first = datasets[0]
    cosines, (row, column) = np.array(first.ImageOrientationPatient, float), map(float, first.PixelSpacing)
    positions = np.array([dataset.ImagePositionPatient for dataset in datasets], float)
    step = (positions[-1] - positions[0]) / max(1, len(positions) - 1)
    assert np.abs(np.diff(positions, axis=0) - step).max(initial=0) < 1e-6
    return np.column_stack([cosines[:3] * column, cosines[3:] * row, step, positions[0]])


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in ("u12_ct", "pet_slopes_per_slice") for name in GRIDS]
    + [(kind, name) for kind in ("s8_mr", "rgb", "oblique") for name in ("crop", "thick", "oblique")],
)
def test_slices_lie_where_the_image_does(kind: str, name: str, tmp_path: Path) -> None:
    """As pydicom and SimpleITK read them, with values within their bound; dciodvfy finds no new error."""
    for index, file in enumerate(write_case(kind, tmp_path / "source")):
        if kind == "rgb":
            dataset = pydicom.dcmread(file)
            dataset.ImagePositionPatient = [0, 0, 3 * index]
            dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
            dataset.PixelSpacing, dataset.FrameOfReferenceUID = [0.5, 0.7], "1.2.3"
            dataset.save_as(file)
    volume = read(tmp_path / "source")
    image = grids(simple(volume))[name]
    datasets = written(volume, image, tmp_path / "out")
    assert [int(dataset.InstanceNumber) for dataset in datasets] == [*range(1, image.GetSize()[2] + 1)]

    direction = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    expected, found = np.column_stack([direction, image.GetOrigin()]), affine_of(datasets)
    if len(datasets) == 1:
        expected, found = expected[:, [0, 1, 3]], found[:, [0, 1, 3]]
    extent = np.array([*image.GetSize(), 1])[: expected.shape[1]]
    assert (np.abs(expected - found) * extent).max() < 1e-5

    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "out")))
    back = reader.Execute()
    assert back.GetSize() == image.GetSize()
    values, given = (SimpleITK.GetArrayFromImage(each).astype(float) for each in (back, image))
    bound = max(float(dataset.get("RescaleSlope", 1)) for dataset in datasets) / 2
    assert np.abs(values - given).max() <= bound * (1 + 1e-6) + np.abs(given).max() * 2.0**-22

    report = rt.verify_series(tmp_path / "source", tmp_path / "out")
    assert (report.verdict, {pair.by for pair in report.pairs}) == ("pass", {"region"})
    assert [finding.check for finding in report.findings if finding.severity != "info"] in ([], ["DER-02"])
    assert any(finding.check == "CNT-01" and finding.severity == "info" for finding in report.findings)


@pytest.mark.parametrize("name", GRIDS)
def test_what_the_headers_say(name: str, tmp_path: Path) -> None:
    """Of source, operation and place, in every slice; the same again on a rerun."""
    write_series(tmp_path / "source", slices=5, bits_stored=12)
    volume = read(tmp_path / "source")
    image = grids(simple(volume))[name]
    codes = [("113087", "DCM", "Smoothing")]
    datasets = written(volume, image, tmp_path / "out", codes=codes)
    sources = {plane.instance.sop_instance_uid: pydicom.dcmread(plane.instance.path) for plane in volume.planes}
    normal = np.cross(*np.reshape(datasets[0].ImageOrientationPatient, (2, 3)))
    spacing = image.GetSpacing()[2]
    for dataset in datasets:
        items = dataset.SourceImageSequence
        assert items[-1].SpatialLocationsPreserved == "NO"
        assert all("SpatialLocationsPreserved" not in item for item in items[:-1])
        assert {item.ReferencedSOPInstanceUID for item in items} <= sources.keys()
        nearest = sources[items[-1].ReferencedSOPInstanceUID]
        assert dataset.SOPInstanceUID not in sources
        assert (dataset.FrameOfReferenceUID, dataset.PatientID) == (nearest.FrameOfReferenceUID, nearest.PatientID)
        assert (dataset.Rows, dataset.Columns) == image.GetSize()[1::-1]
        assert dataset.ImageType[0] == "DERIVED"
        assert "new grid, " in dataset.DerivationDescription
        wanted = {"coronal": ["113072"], "oblique": ["113072"]}.get(name, [] if name in LEFT_OUT else ["113085"])
        assert [item.CodeValue for item in dataset.DerivationCodeSequence] == ["113087", *wanted]
        if name in LEFT_OUT or name == "in plane":
            assert dataset.SliceThickness == nearest.SliceThickness
            assert [item.ReferencedSOPInstanceUID for item in items] == [nearest.SOPInstanceUID]
        elif name != "larger" or dataset.SliceThickness != nearest.SliceThickness:
            assert dataset.SliceThickness == pytest.approx(spacing, abs=1e-9)
            assert float(dataset.SliceLocation) == pytest.approx(
                float(np.array(dataset.ImagePositionPatient, float) @ normal), abs=1e-6
            )
        for element in dataset.iterall():
            if element.VR == "DS" and element.value not in (None, ""):
                texts = element.value if isinstance(element.value, pydicom.multival.MultiValue) else [element.value]
                assert all(len(str(text)) <= 16 for text in texts), element.tag
    assert len({dataset.SOPInstanceUID for dataset in datasets}) == len(datasets)
    again = written(read(tmp_path / "source"), image, tmp_path / "again", codes=codes)
    assert [each.SOPInstanceUID for each in again] == [each.SOPInstanceUID for each in datasets]
    image.SetOrigin([number + 1e-3 for number in image.GetOrigin()])
    moved = written(read(tmp_path / "source"), image, tmp_path / "moved", codes=codes)
    assert moved[0].SeriesInstanceUID != datasets[0].SeriesInstanceUID


def test_contributing_slices_are_listed_the_nearest_last(tmp_path: Path) -> None:
    """Those between which a slice lies, those that its thickness covers, and the footprint; at most 32."""
    write_series(tmp_path / "source", slices=40)
    volume = read(tmp_path / "source")
    image = simple(volume)
    uids = [plane.instance.sop_instance_uid for plane in volume.planes]
    x, (dx, dy, dz) = image.GetSize()[0], image.GetSpacing()
    thick = SimpleITK.BinShrink(image, [1, 1, 5])

    def listed(folder: str, given: Any, **options: Any) -> list[list[int]]:
        datasets = written(read(tmp_path / "source"), given, tmp_path / folder, **options)
        return [[uids.index(item.ReferencedSOPInstanceUID) for item in each.SourceImageSequence] for each in datasets]

    found = listed("thick", thick)
    assert [sorted(indices) for indices in found] == [[*range(5 * index, 5 * index + 5)] for index in range(8)]
    assert [indices[-1] for indices in found] == [5 * index + 2 for index in range(8)]
    assert sorted(listed("footprint", thick, footprint_slices=1)[1]) == [*range(4, 11)]
    assert listed("coronal", resampled(image, (x, 40, 2), (dx, dz, dy), CORONAL)) == [[19], [19]]


def test_what_does_not_hold_is_removed(tmp_path: Path) -> None:
    """By the table of the documentation: where rows, columns, planes or the orientation are others."""
    attributes = {
        "TablePosition": 7.0, "ImagesInAcquisition": 5, "GantryDetectorTilt": "0", "ReconstructionDiameter": "500",
        "PatientOrientation": ["L", "P"], "ImageComments": "kept", "KVP": "120", "AcquisitionTime": "101010",
        "SpacingBetweenSlices": "9", "ImagerPixelSpacing": ["1", "1"],
    }  # fmt: skip
    for file in write_series(tmp_path / "source", slices=5):
        dataset = pydicom.dcmread(file)
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        dataset.save_as(file)
    volume = read(tmp_path / "source")
    images = grids(simple(volume))
    left = {"fewer": {"ImagesInAcquisition"}, "crop": {"ImagesInAcquisition", "ReconstructionDiameter",
            "ImagerPixelSpacing"}}  # fmt: skip
    left["thick"] = {*left["crop"], "TablePosition"}
    left["oblique"] = {*left["thick"], "GantryDetectorTilt"}
    for name, removed in left.items():
        first = written(read(tmp_path / "source"), images[name], tmp_path / name)[0]
        assert {keyword for keyword in attributes if keyword not in first} == removed, name
        assert (first.ImageComments, first.KVP, first.AcquisitionTime) == ("kept", 120, "101010")
        if name in ("thick", "oblique"):
            assert first.SpacingBetweenSlices == pytest.approx(images[name].GetSpacing()[2])
        assert first.PatientOrientation == (["L", "PH"] if name == "oblique" else ["L", "P"])


def test_axes_of_the_source_are_kept_where_the_slices_run_along_it(tmp_path: Path) -> None:
    """A flipped image is written in the order of the source's rows and columns: the same voxels at the same places."""
    write_series(tmp_path / "source", slices=4)
    volume = read(tmp_path / "source")
    crop = simple(volume)[1:-1, :, :]
    plain = written(volume, crop, tmp_path / "plain")
    flipped = written(read(tmp_path / "source"), SimpleITK.Flip(crop, [True, False, True]), tmp_path / "flipped")
    for one, other in zip(plain, flipped, strict=True):
        assert one.PixelData == other.PixelData
        assert one.ImageOrientationPatient == other.ImageOrientationPatient
        assert one.ImagePositionPatient == other.ImagePositionPatient


def test_an_image_in_its_place_is_written_as_without_regrid(tmp_path: Path) -> None:
    """The option permits another grid; it makes none."""
    write_series(tmp_path / "source", slices=3)
    values = np.roll(read(tmp_path / "source").array_zyx, 1, axis=2)
    files = []
    for regrid in (False, True):
        folder = tmp_path / str(regrid)
        rt.write_series(rt.derive(read(tmp_path / "source"), image=values, description="x", regrid=regrid), folder)
        files.append([pydicom.dcmread(file).SOPInstanceUID for file in sorted(folder.iterdir())])
    assert files[0] == files[1]


def test_padding_is_cut_out_and_filled_in(tmp_path: Path) -> None:
    """Padding of the source stays it, NaN beside the source becomes it, and no other value does."""
    for file in write_series(tmp_path / "source", slices=4, bits_stored=12):
        dataset = pydicom.dcmread(file)
        words = dataset.pixel_array.copy()
        words[words == 0] = 1
        words[:3] = 0
        dataset.PixelData = words.tobytes()
        dataset.add_new("PixelPaddingValue", "SS" if dataset.PixelRepresentation else "US", 0)
        dataset.save_as(file)
    volume = read(tmp_path / "source")
    image = simple(volume)
    first = written(volume, image[:, 1:, :], tmp_path / "crop")[0]
    source = pydicom.dcmread(volume.planes[0].instance.path)
    assert np.array_equal(first.pixel_array, source.pixel_array[1:])
    assert "moved" not in first.DerivationDescription
    (x, y, z), spacing = image.GetSize(), image.GetSpacing()
    larger = resampled(image, (x + 4, y, z), spacing, SAME)
    values = SimpleITK.GetArrayFromImage(larger)
    values[:, :, :2] = values[:, :, -2:] = np.nan
    filled = SimpleITK.GetImageFromArray(values)
    filled.CopyInformation(larger)
    with pytest.raises(rt.RoundtripError, match="NaN"):
        written(read(tmp_path / "source"), filled, tmp_path / "refused")
    datasets = written(read(tmp_path / "source"), filled, tmp_path / "filled", nan_to="padding")
    for dataset in datasets:
        assert np.all(dataset.pixel_array[:, [0, 1, -2, -1]] == 0)
        assert f"{4 * y} NaN or Inf to padding" in dataset.DerivationDescription


def refused_image(volume: rt.Volume) -> Any:
    return simple(volume)[1:, :, :]


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("enhanced", refused_image, "multi-frame"),
        ("multi_frame_mono1", refused_image, "multi-frame|does not say where"),
        ("mosaic", refused_image, "mosaic of many slices"),
        ("modality_lut", refused_image, r"IM0001.dcm \(slice 1 of the image\) has a Modality LUT"),
        ("missing_sop_uid", refused_image, "no SOP Instance UID"),
        ("gap", refused_image, "allow_irregular=True"),
        ("u12_ct", lambda volume: np.array(volume.array_zyx)[:, 1:], "does not say where it lies"),
        ("u12_ct", lambda volume: simple(volume)[:, :, 1], "2 dimensions"),
        ("us_single", lambda volume: np.array(volume.array_zyx)[:, 1:], "does not say where"),
    ],
)
def test_what_cannot_be_regridded_is_refused_by_name(
    kind: str, given: Callable[[rt.Volume], Any], message: str, tmp_path: Path
) -> None:
    """Nothing is left behind."""
    write_case(kind, tmp_path / "source")
    volume = read(tmp_path / "source")
    with pytest.raises(rt.RoundtripError, match=message):
        written(volume, given(volume), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_several_volumes_are_refused(tmp_path: Path) -> None:
    """By name."""
    write_case("echoes", tmp_path / "source")
    with pytest.raises(rt.UnsupportedSeriesError, match=r"volumes, told apart by .* new grid"):
        rt.roundtrip(tmp_path / "source", tmp_path / "out", apply=lambda image: image, regrid=True)


def test_images_elsewhere_are_refused_with_the_way_out(tmp_path: Path) -> None:
    """Without the option; and with it, what lies beside the source, or runs askew."""
    write_series(tmp_path / "source", slices=4)
    image = simple(read(tmp_path / "source"))
    moved = SimpleITK.Image(image)
    moved.SetOrigin([number + 0.5 for number in image.GetOrigin()])
    for given, message in ((image[1:, :, :], "voxels .* use regrid=True"), (moved, r"0\.866 mm away .* regrid=True")):
        derived = rt.derive(read(tmp_path / "source"), image=given, description="x")
        with pytest.raises(rt.ImageError, match=message) as caught:
            rt.write_series(derived, tmp_path / "out")
        assert caught.value.option == "regrid=True"
    moved.SetOrigin([1e5, 0, 0])
    with pytest.raises(rt.ImageError, match="beside the volume"):
        written(read(tmp_path / "source"), moved, tmp_path / "out")
    with pytest.raises(rt.RoundtripError, match="leave out regrid"):
        rt.roundtrip(tmp_path / "source", tmp_path / "out", regrid=True)


def test_of_a_function_and_on_the_command_line(tmp_path: Path) -> None:
    """A function may return another grid; so may a file; attributes are set for each written slice."""
    source = tmp_path / "source"
    write_series(source, slices=6)

    def halved(image: SimpleITK.Image) -> Any:
        return SimpleITK.BinShrink(image, [1, 1, 2])

    halved.__annotations__["image"] = SimpleITK.Image
    result = rt.roundtrip(
        source, tmp_path / "out", apply=halved, regrid=True,
        set={
            "ImageComments": lambda index: ["number 0", "number 1", "number 2"][index],  # the source has more slices
            "ScanOptions": ["A", "B", "C", "D", "E", "F"],  # as many as those, of which no list is one each
        },
        transfer_syntax="rle", jobs=2,
    )  # fmt: skip
    assert (result.slices, result.verdict) == (3, "pass")
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == ["derived_0001.dcm", "derived_0002.dcm", "derived_0003.dcm"]
    datasets = [pydicom.dcmread(tmp_path / "out" / name) for name in names]
    assert [dataset.ImageComments for dataset in datasets] == ["number 0", "number 1", "number 2"]
    assert list(datasets[0].ScanOptions) == ["A", "B", "C", "D", "E", "F"]
    assert result.set == ("ImageComments", "ScanOptions")
    image = SimpleITK.BinShrink(simple(read(source)), [2, 2, 1])
    SimpleITK.WriteImage(image, str(tmp_path / "image.nrrd"))
    command = ["run", str(source), str(tmp_path / "cli"), "--image", str(tmp_path / "image.nrrd")]
    ended = CliRunner().invoke(app, command)
    assert ended.exit_code == 2
    assert "use --regrid" in ended.stderr
    ended = CliRunner().invoke(app, [*command, "--regrid", "--html", str(tmp_path / "page.html")])
    assert ended.exit_code == 0, ended.stderr
    report = rt.verify_series(source, tmp_path / "cli", reference=tmp_path / "image.nrrd")
    assert report.verdict == "pass"
    values = SimpleITK.GetArrayFromImage(image)
    values[0, 0, 0] += 3
    np.save(tmp_path / "wrong.npy", values)
    report = rt.verify_series(source, tmp_path / "cli", reference=tmp_path / "wrong.npy")
    assert [finding.check for finding in report.findings if finding.severity == "error"] == ["PIX-03", "PIX-03"]


def _put(keyword: str, value: Any) -> Callable[[pydicom.Dataset], None]:
    return lambda dataset: setattr(dataset, keyword, value)


def _moved(dataset: pydicom.Dataset) -> None:
    dataset.ImagePositionPatient = [dataset.ImagePositionPatient[0], dataset.ImagePositionPatient[1], "-3.25"]


def _other_nearest(dataset: pydicom.Dataset) -> None:
    items = dataset.SourceImageSequence
    items[-1].ReferencedSOPInstanceUID, items[0].ReferencedSOPInstanceUID = (
        items[0].ReferencedSOPInstanceUID,
        items[-1].ReferencedSOPInstanceUID,
    )


@pytest.mark.parametrize(
    ("change", "check", "tag"),
    [
        (_moved, "GEO-02", "(0020,0032)"),
        (_put("ImageOrientationPatient", [0, 1, 0, 1, 0, 0]), "GEO-01", "(0020,0037)"),
        (_put("PixelSpacing", [3, 3]), "GEO-01", "(0020,0037)"),
        (_put("SpacingBetweenSlices", "2"), "GEO-02", "(0018,0088)"),
        (_put("FrameOfReferenceUID", "1.2.3"), "UID-03", "(0020,0052)"),
        (_put("KVP", "80"), "HDR-01", "(0018,0060)"),
        (_put("PatientName", "Another"), "CNT-01", "(0010,0010)"),
        (_put("ImagesInAcquisition", 5), "HDR-01", "(0020,1002)"),
        (_put("Location", "7.5"), "HDR-01", "(0020,0050)"),
        (_put("InstanceNumber", "1"), "HDR-01", "(0020,0013)"),
        (_other_nearest, "DER-03", "(0008,2112)"),
    ],
)
def test_verify_finds_what_is_wrong(
    change: Callable[[pydicom.Dataset], None], check: str, tag: str, tmp_path: Path
) -> None:
    """In the third slice of a series on a new grid."""
    for file in write_series(tmp_path / "source", slices=6):
        dataset = pydicom.dcmread(file)
        dataset.SpacingBetweenSlices, dataset.ImagesInAcquisition = "3", 5
        dataset.KVP, dataset.WindowCenter, dataset.Location = "120", "40", "7.5"
        dataset.save_as(file)
    volume = read(tmp_path / "source")
    image = simple(volume)
    (x, y, _), (dx, dy, dz) = image.GetSize(), image.GetSpacing()
    written(volume, resampled(image, (x, y, 4), (dx, dy, 1.3 * dz), SAME), tmp_path / "out")
    file = tmp_path / "out" / "derived_0003.dcm"
    dataset = pydicom.dcmread(file)
    change(dataset)
    dataset.save_as(file)
    report = rt.verify_series(tmp_path / "source", tmp_path / "out")
    assert (check, tag) in {(each.check, each.tag) for each in report.findings if each.severity == "error"}


PRIVATE = {
    ("SIEMENS CSA HEADER", 0x0029, 0x10): ("OB", b"SV10", "place"),
    ("SIEMENS CSA HEADER", 0x0029, 0x20): ("OB", b"SV10", "kept"),
    ("SIEMENS MR HEADER", 0x0019, 0x0C): ("IS", "1000", "kept"),
    ("SIEMENS MR HEADER", 0x0019, 0x15): ("FD", [1.0, 2.0, 3.0], "place"),
    ("GEMS_IMAG_01", 0x0027, 0x41): ("FL", 12.5, "place"),
    ("GEMS_ACQU_01", 0x0019, 0x1B): ("DS", "12.5", "always"),
    ("GEMS_ACQU_01", 0x0019, 0x9C): ("LO", "sequence", "kept"),
    ("Philips Imaging DD 001", 0x2001, 0x0A): ("IS", "3", "always"),
    ("Philips Imaging DD 001", 0x2001, 0x5F): ("SQ", [pydicom.Dataset()], "always"),
    ("Philips MR Imaging DD 001", 0x2005, 0x09): ("FL", 1.5, "place"),
    ("Philips MR Imaging DD 005", 0x2005, 0x09): ("DS", "0", "kept"),
}
"""Private attributes, and when they are removed."""


@pytest.mark.parametrize(("name", "removed"), [("thick", {"place", "always"}), ("fewer", {"always"})])
def test_what_makers_say_of_the_place_is_removed(name: str, removed: set[str], tmp_path: Path) -> None:
    """As the standard's attributes are, and whatever else they say is kept; `verify` finds what is left."""

    def block(dataset: pydicom.Dataset, creator: str, group: int) -> Any:
        return dataset.private_block(group, creator, create=True)

    for file in write_series(tmp_path / "source", slices=4):
        dataset = pydicom.dcmread(file)
        for (creator, group, element), (vr, value, _) in PRIVATE.items():
            block(dataset, creator, group).add_new(element, vr, value)
        dataset.save_as(file)
    volume = read(tmp_path / "source")
    for dataset in written(volume, grids(simple(volume))[name], tmp_path / "out"):
        for (creator, group, element), (*_, when) in PRIVATE.items():
            assert (element in block(dataset, creator, group)) == (when not in removed), (creator, element)
    file = tmp_path / "out" / "derived_0002.dcm"
    dataset = pydicom.dcmread(file)
    block(dataset, "GEMS_ACQU_01", 0x0019).add_new(0x1B, "DS", "12.5")
    if "place" in removed:
        block(dataset, "GEMS_IMAG_01", 0x0027).add_new(0x41, "FL", 12.5)
    block(dataset, "GEMS_ACQU_01", 0x0019).__delitem__(0x9C)
    dataset.save_as(file)
    report = rt.verify_series(tmp_path / "source", tmp_path / "out")
    found = {(each.check, each.tag) for each in report.findings if each.severity == "error"}
    last_location = block(dataset, "GEMS_ACQU_01", 0x0019).get_tag(0x1B)
    image_location = {block(dataset, "GEMS_IMAG_01", 0x0027).get_tag(0x41)} if "place" in removed else set()
    sequence = block(dataset, "GEMS_ACQU_01", 0x0019).get_tag(0x9C)
    assert found == {("HDR-01", tag_text(tag)) for tag in {last_location, sequence} | image_location}


def test_rules_for_private_attributes_are_of_attributes_that_makers_have() -> None:
    """By pydicom's private dictionary, but for what headers of scanners and dcm2niix show."""
    known = {
        (creator, key[:4], key[6:])
        for creator, elements in private_dictionaries.items()
        for key in elements
        if key[4:6] == "xx"
    }
    named = [
        (rule.creator, f"{rule.group:04X}", f"{element:02X}")
        for rule in new_grids.PRIVATE_RULES
        for element in rule.elements
    ]
    assert len(named) == len(set(named))
    unknown = {(creator, element) for creator, group, element in named if (creator, group, element) not in known}
    uih = "Image Private Header"
    assert unknown == {("ELSCINT1", "C4"), *((uih, element) for element in ("02", "0F", "14", "15", "50", "51"))}


@pytest.mark.skipif(DCM2NIIX is None, reason="dcm2niix is not installed")
@pytest.mark.parametrize("name", ["crop", "thick", "coronal", "oblique"])
def test_dcm2niix_converts_to_the_image(name: str, tmp_path: Path) -> None:
    """One volume, its voxels where those of the image are, its values those that were written."""
    volume = read(SAMPLE)
    image = grids(simple(volume))[name]
    written(volume, image, tmp_path / "out")
    command = [str(DCM2NIIX), "-z", "n", "-o", str(tmp_path), "-f", "out", str(tmp_path / "out")]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (converted,) = tmp_path.glob("*.nii")
    back = SimpleITK.ReadImage(str(converted))
    values = SimpleITK.GetArrayFromImage(SimpleITK.Cast(image, SimpleITK.sitkFloat64))
    for index in ([0, 0, 0], [1, 2, 1], [number - 1 for number in image.GetSize()]):
        point = image.TransformIndexToPhysicalPoint(index)
        there = back.TransformPhysicalPointToContinuousIndex(point)
        assert np.abs(np.array(there) - np.rint(there)).max() < 1e-3
        assert abs(back[[round(number) for number in there]] - values[tuple(index[::-1])]) <= 0.5


def test_the_table_of_the_documentation_is_that_of_the_code() -> None:
    """docs/reference/regrid.md shows the rules."""
    begin, end = "<!-- rules -->\n", "\n<!-- /rules -->"
    assert DOCUMENT.read_text(encoding="utf-8").split(begin)[1].split(end)[0] == new_grids.as_markdown()
    assert dataclasses.is_dataclass(new_grids.GridRule)
