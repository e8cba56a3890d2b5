"""What read_series returns is what pydicom reads: values, places and pairing; and write_series writes just that."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import itk
import numpy as np
import pydicom
import pytest
import SimpleITK
import witness
from conftest import one_series
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array
from synthetic import CASES, MALFORMED, case_values, is_available, is_gdcm, write_case, write_series

import itk_roundtrip as rt
from itk_roundtrip.pixels.kinds import carriages
from itk_roundtrip.series.instance import describe
from itk_roundtrip.series.places import Place

pytestmark = pytest.mark.usefixtures("_lent")

Backend = Literal["itk", "simpleitk"]
BACKENDS: tuple[Backend, ...] = ("itk", "simpleitk")
Array = NDArray[Any]


def needs(name: str) -> None:
    if not is_available(name):
        pytest.skip("no encoder for this transfer syntax")


# ------------------------------------------------------------------------------------------ what pydicom reads


def stored_values(file: Path) -> Array:
    """Return the stored values of a file, shape (frames, rows, columns), samples behind."""
    dataset = pydicom.dcmread(file)
    shape = int(dataset.get("NumberOfFrames") or 1), dataset.Rows, dataset.Columns
    if dataset.SamplesPerPixel > 1:  # as they are stored, unless a codec transforms the colours
        raw = not dataset.file_meta.TransferSyntaxUID.is_compressed or "YBR_F" not in dataset.PhotometricInterpretation
        raw = raw or "RLE" in dataset.file_meta.TransferSyntaxUID.name
        return pixel_array(dataset, raw=raw).reshape(*shape, dataset.SamplesPerPixel)
    words = pixel_array(dataset, raw=True, correct_unused_bits=False).astype(np.int64).reshape(shape)
    if dataset.BitsAllocated == 1:
        return words
    bits = dataset.BitsStored
    words = words >> (dataset.HighBit + 1 - bits) & ((1 << bits) - 1)
    return np.where(words >> (bits - 1), words - (1 << bits), words) if dataset.PixelRepresentation else words


def group_of(dataset: Dataset, frame: int, *keywords: str) -> Any:
    """Return an attribute of a frame: of its functional group, of those of all frames, or of the header."""
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence", [])
    for groups in (*per_frame[frame : frame + 1], *dataset.get("SharedFunctionalGroupsSequence", [])):
        for element in groups:
            for item in element.value if element.VR == "SQ" else []:
                for keyword in keywords:
                    if keyword in item:
                        return item[keyword].value
    return next((dataset[keyword].value for keyword in keywords if keyword in dataset), None)


def real_slices(files: Sequence[Path]) -> list[Array]:
    """Return slope * SV + intercept of every frame of some files, in their order (PS3.3 C.11.1, C.8.8.3)."""
    result = []
    for file in files:
        dataset = pydicom.dcmread(file)
        for frame, values in enumerate(stored_values(file)):
            slope = group_of(dataset, frame, "DoseGridScaling", "RescaleSlope")
            intercept = group_of(dataset, frame, "RescaleIntercept")
            quantity = dataset.SamplesPerPixel == 1 and dataset.PhotometricInterpretation != "PALETTE COLOR"
            factor = float(slope or 1) if quantity else 1.0  # 0 counts as 1
            result.append(factor * values.astype(np.float64) + (float(intercept or 0) if quantity else 0))
    return result


def pixels_of(volume: rt.Volume) -> Array:
    """Return the pixels of the image of a volume, read past the package."""
    if isinstance(volume.image, SimpleITK.Image):
        return SimpleITK.GetArrayFromImage(volume.image)
    return np.asarray(itk.array_from_image(volume.image))


def size_of(volume: rt.Volume) -> tuple[int, ...]:
    of_simpleitk = isinstance(volume.image, SimpleITK.Image)
    return tuple(volume.image.GetSize() if of_simpleitk else itk.size(volume.image))


def point(volume: rt.Volume, *index: int) -> Array:
    """Return where a pixel of the image lies, in mm."""
    return np.array(list(volume.image.TransformIndexToPhysicalPoint(index)))


def check_values(volume: rt.Volume, expected: Sequence[Array], off: float = 0.0) -> None:
    """Check the slices of a volume; floating-point ones may be off by the rounding of their type."""
    assert len(volume.array_zyx) == len(volume.planes) == len(volume.metadata) == len(expected)
    for values, real in zip(volume.array_zyx, expected, strict=True):
        assert values.shape == real.shape
        rounding = {"F": 2.0**-22, "D": 2.0**-51}.get(volume.pixel_type, 0.0)
        assert np.abs(values - real).max() <= off + rounding * np.abs(real).max()
    assert size_of(volume) == volume.array_zyx.shape[2::-1]
    np.testing.assert_array_equal(pixels_of(volume), volume.array_zyx)


def each_volume(series: rt.Series, backend: Backend = "itk") -> Iterator[tuple[rt.Volume, rt.SubVolume]]:
    """Read the volumes of a series one by one."""
    for index, part in enumerate(series.volumes):
        yield rt.read_series(series, volume=index if len(series.volumes) > 1 else None, backend=backend), part


def files_of(instances: Sequence[rt.Instance]) -> list[Path]:
    return [one.path for one in instances]


# ------------------------------------------------------------------------------------------------------- values

EXACT = [
    *("plain_ct", "u8_ct", "s8_mr", "u8_in_16", "u10_mr", "u16_ct", "s12_ct", "s16_ct", "s16_intercept_32768"),
    *("s12_not_extended", "u12_high_bits", "s12_high_bits", "u12_high_bits_rescaled", "pixel_trailing_bytes"),
    *("mono1_ct", "mono1_cr", "mono1_signed", "mono1_u16", "mono1_u8", "mono1_slope", "mono1_high_bits"),
    *("one_row", "one_column", "one_pixel", "one_pixel_u8", "rgb_one_pixel", "one_slice", "odd_pixel_bytes"),
    *("var_slope_first_int", "sign_differs", "slope_tiny", "slope_negative", "slope_zero_once", "slope_missing_once"),
    *("slope_empty", "intercept_huge", "pet_slopes_per_slice", "nm_rescale", "mg_rescale", "dx_rescale"),
    *("rtdose_sf", "rtdose_32", "rtdose_frames", "rtdose_32_frames", "private_sop_class", "private_unknown"),
    *("bits_32", "bits_32_signed", "bits_32_tenth", "bits_32_mono1", "bits_20_signed"),
    *("high_bit_15", "high_bit_15_noise", "high_bit_11_signed", "high_bit_15_rle_noise", "overlay_embedded_rle"),
    *("one_bit", "one_bit_odd", "one_bit_frames", "big_endian", "big_endian_u8_ow", "deflated", "implicit"),
    *("palette", "palette_u16", "palette_rle", "rgb", "rgb_planar", "rgb_16", "rgb_16_planar", "rgb_big_endian"),
    *("rgb_odd_planar", "rgb_rle", "rgb_rle_planar", "rgb_jpeg_ls", "rgb_jpeg_lossless_16", "rgb_frames_planar"),
    *("ybr", "ybr_planar", "ybr_rle", "ybr_rct", "ybr_rct_odd", "private_sop_class_rgb"),
    *("rle_u12", "rle_s16", "rle_mono1", "jpeg_ls_u16", "j2k_s16", "jpeg_lossless_pet", "fragments_jpeg_lossless"),
    *("mixed_syntaxes", "mixed_bits", "mixed_allocated", "mixed_signs", "mixed_photometric", "mixed_frames"),
    *("multi_frame", "multi_frame_xa", "multi_frame_us", "multi_frame_odd", "multi_frame_big_endian"),
    *("multi_frame_mono1", "multi_frame_slope", "private_sop_class_frames", "frames_rle_fragments"),
    *("frames_jpeg_lossless_no_offsets", "enhanced", "enhanced_ct", "enhanced_two_files", "enhanced_big_endian"),
    *("enhanced_rle", "concatenation", "slope_underflow", "slope_precision_lost"),
]
"""Cases of every way in which a file stores values."""
LOSSY = {"jpeg_baseline": 1, "jpeg_baseline_mono1": 1, "jpeg_extended": 1, "jpeg_rgb": 1, "jpeg_ybr": 3,
         "jpeg_ybr_422_frames": 4, "j2k_lossy_ict": 1, "enhanced_j2k_lossy": 0}  # fmt: skip
"""Cases with loss, and by how much decoders may differ."""


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", [*EXACT, *LOSSY])
def test_values_are_real_values(name: str, backend: Backend, tmp_path: Path) -> None:
    """Each slice by its own slope and intercept, frames by theirs; colours as they are stored or decoded."""
    needs(name)
    write_case(name, tmp_path)
    series = one_series(tmp_path)
    for volume, part in each_volume(series, backend):
        check_values(volume, real_slices(files_of(part.instances)), LOSSY.get(name, 0))
        assert [plane.instance.name for plane in volume.planes] == [
            one.name for one in part.instances for _ in range(one.frames)
        ]


@pytest.mark.parametrize("backend", BACKENDS)
def test_bits_in_big_endian_words(backend: Backend, tmp_path: Path) -> None:
    """Pydicom does not swap them: the values that the file was made of must do."""
    write_case("one_bit_big", tmp_path)
    volume = rt.read_series(one_series(tmp_path), backend=backend)
    check_values(volume, [frame[..., 0] for values in case_values("one_bit_big") for frame in values])
    assert volume.pixel_type == "UC"


def put_rescale(slope: str, intercept: str) -> Callable[[Dataset], None]:
    def put(item: Dataset) -> None:
        item.RescaleSlope, item.RescaleIntercept, item.RescaleType = slope, intercept, "HU"

    return put


def edit_frames(file: Path, edits: Sequence[Callable[[Dataset], None]], *, keep_shared: bool = False) -> None:
    """Give the frames of an Enhanced file a rescale each."""
    dataset = pydicom.dcmread(file)
    if not keep_shared:
        del dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
    for groups, edit in zip(dataset.PerFrameFunctionalGroupsSequence, edits, strict=True):
        item = Dataset()
        edit(item)
        groups.PixelValueTransformationSequence = [item]
    dataset.save_as(file)


@pytest.mark.parametrize("backend", BACKENDS)
def test_frames_have_their_own_rescale(backend: Backend, tmp_path: Path) -> None:
    """An Enhanced PET scales frame by frame; an Enhanced CT is 1024 off where nobody looks into functional groups."""
    (file,) = write_case("enhanced_ct", tmp_path)
    edit_frames(file, [put_rescale("1", "-1024"), put_rescale("0.25", "3"), put_rescale("2", "-1024")])
    volume = rt.read_series(one_series(tmp_path), backend=backend)
    check_values(volume, real_slices([file]))
    assert volume.pixel_type == "F"
    edit_frames(file, [put_rescale("1", "-1024")] * 3, keep_shared=True)
    volume = rt.read_series(one_series(tmp_path), backend=backend)
    check_values(volume, real_slices([file]))
    assert volume.pixel_type == "SS"


def test_a_rescale_of_a_frame_that_is_no_number(tmp_path: Path) -> None:
    (file,) = write_case("enhanced_ct", tmp_path)
    content = file.read_bytes()
    assert content.count(b"1.5 ") == 1
    file.write_bytes(content.replace(b"1.5 ", b"1,5 "))
    with pytest.raises(rt.UnsupportedSeriesError, match=rf"{file.name} has a Rescale Slope .* not a number"):
        rt.read_series(one_series(tmp_path))


@pytest.mark.parametrize("backend", BACKENDS)
def test_indices_of_a_palette_are_no_quantity(backend: Backend, tmp_path: Path) -> None:
    """A slope beside a palette does not move its indices (PS3.3 C.7.6.3.1.5)."""
    write_series(tmp_path, modality="US", photometric="PALETTE COLOR", palette="16", bits_allocated=8, bits_stored=8,
                 slopes="2", intercepts="7")  # fmt: skip
    series = one_series(tmp_path)
    volume = rt.read_series(series, backend=backend)
    check_values(volume, [stored_values(file)[0] for file in files_of(series.instances)])
    assert volume.pixel_type == "UC"


@pytest.mark.parametrize("name", ["plain_ct", "high_bit_15", "one_row", "enhanced", "mono1_ct"])
def test_an_image_keeps_its_pixels(name: str, tmp_path: Path) -> None:
    """A filter holds an image, not the volume that it came from; and a slice outlives both."""
    size = {"columns": 40000} if name == "one_row" else {"rows": 200, "columns": 200}  # memory that is given back
    write_series(tmp_path, **{**CASES[name].keywords, **size})
    series = one_series(tmp_path)
    volume = rt.read_series(series)
    expected = volume.array_zyx.copy()
    kind = type(volume.image)
    caster = itk.CastImageFilter[kind, kind].New(Input=volume.image)
    caster.InPlaceOff()
    del volume
    kept = rt.read_series(series).array_zyx[-1]
    gc.collect()
    taken = [rt.read_series(series) for _ in range(3)]  # takes the memory that would have been freed
    for one in taken:
        one.array_zyx[:] = 7
    caster.Update()
    np.testing.assert_array_equal(np.asarray(itk.array_from_image(caster.GetOutput())), expected)
    np.testing.assert_array_equal(kept, expected[-1])


@pytest.mark.parametrize("name", ["plain_ct", "high_bit_15", "one_row", "mono1_ct", "rgb", "one_bit_odd", "enhanced"])
def test_array_and_image_share_their_memory(name: str, tmp_path: Path) -> None:
    """What is done to one of them is done to the other, as README says."""
    write_case(name, tmp_path)
    volume = rt.read_series(one_series(tmp_path))
    volume.array_zyx[-1] += 1
    np.testing.assert_array_equal(pixels_of(volume), volume.array_zyx)


@pytest.mark.parametrize(
    ("name", "allowed"), [("plain_ct", 0.2), ("high_bit_15", 0.2), ("enhanced", 3.5), ("rle_u12", 0.5)]
)
def test_files_are_not_kept_in_memory(name: str, allowed: float, tmp_path: Path) -> None:
    """Beside the image, whose memory is ITK's, one file at a time; a file of frames and one copy of them."""
    many = {"frames": 30} if name == "enhanced" else {"slices": 30}
    write_series(tmp_path, **{**CASES[name].keywords, **many, "rows": 128, "columns": 128})
    series = one_series(tmp_path)
    rt.read_series(series)
    tracemalloc.start()
    volume = rt.read_series(series)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < allowed * 30 * 128 * 128 * 2 + (1 << 18)
    assert volume.array_zyx.shape == (30, 128, 128)


# ------------------------------------------------------------------------------------------------------ geometry


def frame_places(dataset: Dataset) -> list[tuple[Array, Array, Array]]:
    """Return position, row and column step of each frame, in mm, as functional groups or the header say."""
    result = []
    for frame in range(int(dataset.get("NumberOfFrames") or 1)):
        between = np.array(group_of(dataset, frame, "PixelSpacing"), float)
        axes = np.array(group_of(dataset, frame, "ImageOrientationPatient"), float)
        position = np.array(group_of(dataset, frame, "ImagePositionPatient"), float)
        result.append((position, axes[:3] * between[1], axes[3:] * between[0]))
    return result


def check_places(volume: rt.Volume, expected: Sequence[tuple[Array, Array, Array]]) -> None:
    """Check where the corner of each slice lies, and its neighbours along the row and down the column."""
    assert len(volume.array_zyx) == len(expected)
    for index, (position, along, down) in enumerate(expected):
        np.testing.assert_allclose(point(volume, 0, 0, index), position, atol=1e-4)
        np.testing.assert_allclose(point(volume, 1, 0, index), position + along, atol=1e-4)
        np.testing.assert_allclose(point(volume, 0, 1, index), position + down, atol=1e-4)


PLACED = [
    *("plain_ct", "descending", "oblique", "sagittal", "nm_plain", "mono1_ct", "high_bit_15", "one_row", "one_column"),
    *("one_pixel", "private_unknown", "private_sop_class_rgb", "s16_intercept_32768", "bits_32", "one_slice"),
    *("enhanced", "enhanced_ct", "enhanced_two_files", "enhanced_one_frame", "enhanced_rle", "segmentation"),
    *("big_endian", "names_shuffled", "jpeg_lossless_pet"),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", PLACED)
def test_slices_lie_where_the_source_says(name: str, backend: Backend, tmp_path: Path) -> None:
    write_case(name, tmp_path)
    for volume, part in each_volume(one_series(tmp_path), backend):
        datasets = [pydicom.dcmread(file) for file in files_of(part.instances)]
        check_places(volume, [place for dataset in datasets for place in frame_places(dataset)])
        if len(volume.array_zyx) == 1:
            assert volume.image.GetSpacing()[2] == 2.5


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("orientation", [r"1\0\0\0\1\0", r"0\1\0\0\0\-1", r"0.8\0.6\0\0\0\-1"])
def test_frames_may_step_against_the_normal(orientation: str, backend: Backend, tmp_path: Path) -> None:
    """The frames of an instance keep their order: then the third axis of the image points the other way."""
    (file,) = write_case("enhanced", tmp_path)
    dataset = pydicom.dcmread(file)
    axes = [float(part) for part in orientation.split("\\")]
    normal = np.cross(axes[:3], axes[3:])
    dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = axes
    for frame, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        position = np.array([10.0, 20.0, 30.0]) - 3.5 * frame * normal
        groups.PlanePositionSequence[0].ImagePositionPatient = [f"{one:.10g}" for one in position]
    dataset.save_as(file)
    volume = rt.read_series(one_series(tmp_path), backend=backend)
    check_places(volume, frame_places(dataset))
    check_values(volume, real_slices([file]))
    assert volume.image.GetSpacing()[2] == pytest.approx(3.5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("offsets", "steps"), [(r"0\2.5\5", (0, 2.5, 5)), (r"0\-3\-6", (0, -3, -6)), (r"7.25\10.25\13.25", (0, 3, 6))]
)
def test_frames_of_a_dose(offsets: str, steps: Sequence[float], backend: Backend, tmp_path: Path) -> None:
    """Offsets from the first plane, or, if the first is its z coordinate, positions (PS3.3 C.8.8.3.2)."""
    keywords = dict(CASES["rtdose_frames"].keywords)
    keywords["attributes"] = {**keywords["attributes"], "GridFrameOffsetVector": offsets}
    (file,) = write_series(tmp_path, **keywords)
    ((corner, along, down), *_) = frame_places(pydicom.dcmread(file))
    volume = rt.read_series(one_series(tmp_path), backend=backend)
    check_places(volume, [(corner + np.array([0, 0, step]), along, down) for step in steps])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("between", [4.5, -4.5])
def test_frames_of_a_reconstruction_in_nuclear_medicine(between: float, backend: Backend, tmp_path: Path) -> None:
    """The detector tells the place of the first slice, the sign of the spacing the way (PS3.3 C.8.4.15)."""
    (file,) = write_case("multi_frame", tmp_path)
    dataset = pydicom.dcmread(file)
    detector = Dataset()
    detector.ImagePositionPatient, detector.ImageOrientationPatient = [1, 2, 3], [1, 0, 0, 0, 0, -1]
    dataset.DetectorInformationSequence = [detector]
    dataset.SliceVector, dataset.SpacingBetweenSlices = [1, 2, 3], between
    del dataset.ImagePositionPatient, dataset.ImageOrientationPatient
    dataset.save_as(file)
    volume = rt.read_series(one_series(tmp_path), backend=backend)
    along, down = (0.9765625, 0, 0), (0, 0, -0.48828125)
    corners = [np.array([1, 2 + between * index, 3]) for index in range(3)]
    check_places(volume, [(corner, np.array(along), np.array(down)) for corner in corners])


@pytest.mark.parametrize("backend", BACKENDS)
def test_tilted_slices_are_as_far_apart_as_they_are(backend: Backend, tmp_path: Path) -> None:
    """An image is no sheared grid: of a tilt it holds the distance of the planes, not that of their corners."""
    write_case("tilt", tmp_path)
    volume = rt.read_series(one_series(tmp_path), backend=backend)
    assert tuple(volume.image.GetSpacing()) == pytest.approx((0.9765625, 0.48828125, 2.5))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("name", "distance"),
    [("gap", 2.5), ("echoes", 2.5), ("wobble", 7.504 / 3), ("same_position", 2.5)],
)
def test_distance_of_irregular_slices(name: str, distance: float, backend: Backend, tmp_path: Path) -> None:
    """That of most neighbours, as find tells it; ITK would make one up that no two slices have."""
    write_case(name, tmp_path)
    for volume, _ in each_volume(one_series(tmp_path), backend):
        assert tuple(volume.image.GetSpacing()) == pytest.approx((0.9765625, 0.48828125, distance))


@pytest.mark.parametrize("backend", BACKENDS)
def test_frames_in_passes_over_the_same_places(backend: Backend, tmp_path: Path) -> None:
    """Each pass is a volume, and lies where it must."""
    (file,) = write_series(tmp_path, **{**CASES["enhanced"].keywords, "frames": 9})
    dataset = pydicom.dcmread(file)
    for frame, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        groups.PlanePositionSequence[0].ImagePositionPatient = [1, 2, 3 - 2 * (frame % 3)]
    dataset.save_as(file)
    series = one_series(tmp_path)
    assert (len(series.volumes), series.separated_by) == (3, "frame order")
    for index, (volume, _) in enumerate(each_volume(series, backend)):
        check_values(volume, real_slices([file])[3 * index : 3 * index + 3])
        for frame in range(3):
            np.testing.assert_allclose(point(volume, 0, 0, frame), (1, 2, 3 - 2 * frame))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("modality", ["DX", "XA"])
@pytest.mark.parametrize("frames", [0, 3])
def test_spacing_of_projections(modality: str, frames: int, backend: Backend, tmp_path: Path) -> None:
    """Pixel Spacing is that in the patient; Imager Pixel Spacing, on the detector, does where there is none."""
    if modality == "DX" and frames:
        pytest.skip("has one frame")
    for own in (r"0.2\0.4", None):
        folder = tmp_path / str(bool(own))
        write_series(folder, modality=modality, slices=1, frames=frames, attributes={"PixelSpacing": own})
        volume = rt.read_series(one_series(folder), backend=backend)
        imager = 0.14 if modality == "DX" else 0.3
        assert tuple(volume.image.GetSpacing()) == pytest.approx((0.4, 0.2, 1) if own else (imager, imager, 1))
        assert tuple(volume.image.GetOrigin()) == (0, 0, 0)


@pytest.mark.parametrize("name", ["no_positions", "same_position", "pixel_spacing_missing"])
def test_what_the_source_does_not_say_stays_as_itk_has_it(name: str, tmp_path: Path) -> None:
    write_case(name, tmp_path)
    for volume, _ in each_volume(one_series(tmp_path)):
        assert np.isfinite(point(volume, 1, 1, 1)).all()
        assert min(volume.image.GetSpacing()) > 0


@pytest.mark.parametrize("name", ["position_text", "position_nan", "orientation_zero", "pixel_spacing_zero",
                                  "pixel_spacing_one"])  # fmt: skip
def test_what_the_source_says_wrongly_is_no_geometry(name: str, tmp_path: Path) -> None:
    """ITK would make one up."""
    write_case(name, tmp_path)
    with pytest.raises(rt.UnsupportedSeriesError, match=r" of IM\S+ is not t"):
        rt.read_series(one_series(tmp_path))


# ------------------------------------------------------------------------------------------- several volumes

ORIENTATIONS = {
    "axial": (r"1\0\0\0\1\0", (0.0, 0.0, 1.0)),
    "sagittal": (r"0\1\0\0\0\-1", (-1.0, 0.0, 0.0)),
    "oblique": (r"0.8\0.6\0\0\0\-1", (-0.6, 0.8, 0.0)),
}


def write_echoes(folder: Path, orientation: str, step: float, keyword: str) -> dict[str, list[tuple[Path, Array]]]:
    """Write three volumes of five slices, mixed in time and name; return their files and corners along the normal."""
    axes, through = ORIENTATIONS[orientation]
    normal, corner = np.array(through), np.array([-40.0, 12.5, 7.25])
    numbers = [divmod(7 * index % 15, 3) for index in range(15)]  # slice and volume, in the order of names
    corners = [corner + step * slice_ * normal for slice_, _ in numbers]
    values = [f"{10 * volume + 5}" for _, volume in numbers]
    files = write_series(
        folder, slices=15, modality="MR", geometry="none", slopes=["0.5", "2", "1.5", "1"],
        intercepts="0", attributes={
            "ImageOrientationPatient": axes, "ImagePositionPatient": [
                "\\".join(f"{one:.8g}" for one in each) for each in corners
            ], keyword: values,
        },
    )  # fmt: skip
    result: dict[str, list[tuple[Path, Array]]] = {}
    for file, value, place in zip(files, values, corners, strict=True):
        result.setdefault(value, []).append((file, place))
    return {value: sorted(each, key=lambda one: float(one[1] @ normal)) for value, each in result.items()}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("keyword", ["EchoTime", "TemporalPositionIdentifier"])
@pytest.mark.parametrize("step", [3.0, -3.0])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_each_volume_has_its_own_slices(
    orientation: str, step: float, keyword: str, backend: Backend, tmp_path: Path
) -> None:
    """GDCMSeriesFileNames would put slices of one position beside each other, and ITK space them a third apart."""
    volumes = write_echoes(tmp_path, orientation, step, keyword)
    series = one_series(tmp_path)
    assert len(series.volumes) == 3
    axes = np.array([float(part) for part in ORIENTATIONS[orientation][0].split("\\")])
    for k, expected in enumerate(volumes[value] for value in sorted(volumes, key=float)):
        volume = rt.read_series(series, volume=k, backend=backend)
        assert files_of([plane.instance for plane in volume.planes]) == [file for file, _ in expected]
        check_values(volume, real_slices([file for file, _ in expected]))
        check_places(volume, [(place, axes[:3] * 0.9765625, axes[3:] * 0.48828125) for _, place in expected])
        assert volume.image.GetSpacing()[2] == pytest.approx(3)
        assert len(volume.series.instances) == 5


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "name", ["mixed_sizes", "mixed_orientations", "localizer", "multi_frame_two", "enhanced_two_files", "mixed_colour",
             "duplicate_position", "same_position", "no_position_once"],
)  # fmt: skip
def test_volumes_of_other_kinds(name: str, backend: Backend, tmp_path: Path) -> None:
    """Sizes, orientations, files of frames, colour: each volume for itself, and all slices in one of them."""
    write_case(name, tmp_path)
    series = one_series(tmp_path)
    seen = []
    for k, part in enumerate(series.volumes):
        volume = rt.read_series(series, volume=k, backend=backend)
        check_values(volume, real_slices(files_of(part.instances)))
        datasets = [pydicom.dcmread(file) for file in files_of(part.instances)]
        if all("ImagePositionPatient" in one or "PerFrameFunctionalGroupsSequence" in one for one in datasets):
            check_places(volume, [place for one in datasets for place in frame_places(one)])
        seen += [one.name for one in part.instances]
    assert len(series.volumes) > 1
    assert sorted(seen) == sorted(one.name for one in series.instances)


def write_times(folder: Path) -> None:
    """Write two volumes that only the clock tells apart."""
    write_series(folder, slices=6, modality="MR", geometry="none", attributes={
        "ImageOrientationPatient": r"1\0\0\0\1\0", "ImagePositionPatient": [rf"0\0\{3 * (k % 3)}" for k in range(6)],
        "AcquisitionTime": [f"12345{k // 3}" for k in range(6)], "AcquisitionNumber": "1",
    })  # fmt: skip


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("echoes", r"2 volumes, told apart by EchoTime; .*0: EchoTime 2.46, 2 slices; 1: EchoTime 4.92, 2 slices\)"),
        ("mixed_sizes", r"2 volumes, told apart by size; .*0: 18x12, 3 slices; 1: 18x10, 1 slice\)"),
        ("mixed_colour", "2 volumes, told apart by size"),
        ("mixed_orientations", "2 volumes, told apart by orientation; .*0: axial, . slices; 1: "),
        ("multi_frame_two", "2 volumes, told apart by frames; .*0: frames of "),
        ("same_position", "4 volumes, told apart by instance order; .*3: instance order 4, 1 slice"),
    ],
)
def test_several_volumes_are_no_one_image(name: str, told: str, backend: Backend, tmp_path: Path) -> None:
    """Today's users got one interleaved image; the error must be enough to choose from."""
    write_case(name, tmp_path)
    series = one_series(tmp_path)
    with pytest.raises(rt.AmbiguousSeriesError, match=told) as caught:
        rt.read_series(series, backend=backend)
    assert "choose one with volume=K" in str(caught.value)
    assert caught.value.series == series.series_instance_uid


def test_what_tells_volumes_apart_identifies_nobody(tmp_path: Path) -> None:
    """Times do, and an error may stand in any log."""
    write_times(tmp_path)
    with pytest.raises(rt.AmbiguousSeriesError, match=r"0: AcquisitionTime \(hidden\), 3 slices") as caught:
        rt.read_series(one_series(tmp_path))
    assert "12345" not in str(caught.value)


def test_many_volumes_are_counted(tmp_path: Path) -> None:
    write_series(tmp_path, slices=50, modality="MR", rows=2, columns=2, geometry="none", attributes={
        "ImageOrientationPatient": r"1\0\0\0\1\0", "ImagePositionPatient": [rf"0\0\{3 * (k % 2)}" for k in range(50)],
        "EchoTime": [str(k // 2) for k in range(50)],
    })  # fmt: skip
    with pytest.raises(rt.AmbiguousSeriesError, match=r"25 volumes, .* 19: EchoTime 19, 2 slices; and 5 more in "):
        rt.read_series(one_series(tmp_path))


def test_a_volume_that_is_none(tmp_path: Path) -> None:
    write_case("echoes", tmp_path)
    series = one_series(tmp_path)
    for k in (-1, 2):
        with pytest.raises(rt.RoundtripError, match=f"2 volumes, counted from 0; {k} is none") as caught:
            rt.read_series(series, volume=k)
        assert type(caught.value) is rt.RoundtripError


# ------------------------------------------------------------------------------------------------------- refused

REFUSED = {
    "float_pixels": "ITK reads no float pixel data", "double_pixels": "ITK reads no double pixel data",
    "parametric_map": "ITK reads no float pixel data", "ybr_422": "chroma of half the resolution",
    "rgb_rle_16": "GDCM decodes RLE of such words to other values", "j2k_u20": "JPEG 2000 of more than 16 bits",
    "htj2k": "GDCM has no decoder", "no_pixels": "holds no pixel data", "unknown_syntax": "transfer syntax",
}  # fmt: skip
DAMAGED = {
    "truncated_pixels": "truncated", "short_pixels": "truncated", "duplicate_sop_uid": "SOP Instance UID",
    "rle_damaged": "cannot decode", "rle_not_encapsulated": "not compressed",
    "one_column_rle": "cannot decode", "rgb_rle_odd": "cannot decode",
}  # fmt: skip
"""The last two are not damaged: GDCM does not decode them, which it says when it tries; an older one does."""


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", [name for name in (*REFUSED, *DAMAGED) if name in CASES or name in MALFORMED])
def test_what_is_refused_is_told_why(name: str, backend: Backend, tmp_path: Path) -> None:
    needs(name)
    write_case(name, tmp_path)
    since = CASES[name].path_since if name in CASES else ""
    if since and backend == "itk" and not is_gdcm(since):
        volume = rt.read_series(one_series(tmp_path), backend=backend)
        datasets = [pydicom.dcmread(plane.instance.path) for plane in volume.planes]
        expected = [one.pixel_array * one.get("RescaleSlope", 1) + one.get("RescaleIntercept", 0) for one in datasets]
        np.testing.assert_array_equal(volume.array_zyx, np.array(expected, np.float64))
        return
    kind = rt.UnsupportedSeriesError if name in REFUSED else rt.SeriesReadError
    with pytest.raises(rt.RoundtripError, match={**REFUSED, **DAMAGED}[name]) as caught:
        rt.read_series(one_series(tmp_path), backend=backend)
    assert type(caught.value) is kind
    assert caught.value.path


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ({"photometric": "RGB", "samples": 3}, {"photometric": "YBR_FULL"}, "YBR_FULL and .* RGB"),
        ({"photometric": "PALETTE COLOR", "palette": "16"}, {"photometric": "MONOCHROME2", "palette": None},
         "grey values and .* PALETTE COLOR"),
        ({"photometric": "RGB", "samples": 3}, {"bits_allocated": 16, "bits_stored": 16}, "16 bits .* 8"),
        ({"rows": 5, "columns": 7}, {"bits_allocated": 1, "bits_stored": 1}, "1 bit .* 8"),
    ],
)  # fmt: skip
def test_numbers_that_mean_something_else(
    one: dict[str, Any], other: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """A stack of them would be an image of no one kind."""
    last = {key: value for key, value in other.items() if value is not None}
    write_series(tmp_path, modality="US", **{"bits_allocated": 8, "bits_stored": 8, **one, "last_slice": last})
    with pytest.raises(rt.UnsupportedSeriesError, match=message):
        rt.read_series(one_series(tmp_path))


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames are shown to ITK in files of their own, in the folder for temporary files."""
    write_case("enhanced", tmp_path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(rt.RoundtripError, match=r"temporary files .*No space left"):
        rt.read_series(one_series(tmp_path))


# ------------------------------------------------------------------------------------------------------- written

WRITTEN = ["plain_ct", "mono1_ct", "pet_slopes_per_slice", "u12_high_bits", "high_bit_15", "bits_32", "one_bit_frames",
           "one_row", "rgb_planar", "rgb_16", "ybr_rct", "palette", "rtdose_frames", "enhanced", "multi_frame",
           "rgb_frames_rle", "jpeg_ybr", "mixed_bits", "mixed_photometric", "s16_intercept_32768"]  # fmt: skip


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", WRITTEN)
def test_what_was_read_is_written_as_roundtrip_does(
    name: str, backend: Backend, run: Callable[..., rt.RoundtripResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One path for the pixels, one content: a script must not get other files than the command line."""
    needs(name)
    files = write_case(name, tmp_path / "source")
    volume = rt.read_series(one_series(tmp_path / "source"), backend=backend)
    for identity in ("copy", "derived"):
        ours = rt.write_series(rt.derive(volume) if identity == "derived" else volume, tmp_path / identity)
        theirs = run(tmp_path / "source", tmp_path / f"run {identity}", identity=identity, backend=backend)
        assert (ours.path, ours.paths, ours.pixel_type) == (theirs.path, theirs.paths, theirs.pixel_type)
        written = sorted((tmp_path / identity).iterdir())
        assert witness.compare(files, written, identity, path=ours.path if "," not in ours.path else "") == []
        for mine in written:
            other = mine.parent.with_name(f"run {identity}") / mine.name
            if identity == "copy":
                assert mine.read_bytes() == other.read_bytes()
            assert pydicom.dcmread(mine).PixelData == pydicom.dcmread(other).PixelData


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["mono1_ct", "high_bit_15", "rgb_planar", "palette", "one_bit_odd", "bits_32",
                                  "enhanced", "rtdose_frames", "pet_slopes_per_slice"])  # fmt: skip
def test_edits_of_any_kind_are_refused(name: str, backend: Backend, tmp_path: Path) -> None:
    """Neither of the pixels nor of what is said of them; the message names the file."""
    write_case(name, tmp_path / "source")
    series = one_series(tmp_path / "source")
    volume = rt.read_series(series, backend=backend)
    plane = volume.planes[-1]
    before = volume.array_zyx[-1].flat[5]
    volume.array_zyx[-1].flat[5] = before ^ 1 if volume.array_zyx.dtype.kind in "iu" else before + 1
    with pytest.raises(rt.VerificationError, match=f"pixels of {plane.instance.name}"):
        rt.write_series(rt.derive(volume), tmp_path / "written")
    volume.array_zyx[-1].flat[5] = before
    volume.metadata[-1]["0008|103e"] = "edited"
    with pytest.raises(rt.SeriesWriteError, match=f"{plane.instance.name} were edited .*0008.103e"):
        rt.write_series(volume, tmp_path / "written")
    assert {path.name for path in tmp_path.iterdir()} == {"source"}


def test_an_image_of_simpleitk_is_looked_at_too(tmp_path: Path) -> None:
    """It has pixels of its own: what is done to them must not be dropped without a word."""
    write_case("plain_ct", tmp_path / "source")
    series = one_series(tmp_path / "source")
    volume = rt.read_series(series, backend="simpleitk")
    volume.image[3, 2, 1] = volume.image[3, 2, 1] + 1
    with pytest.raises(rt.VerificationError, match=series.instances[1].name):
        rt.write_series(volume, tmp_path / "written")


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_image_that_was_moved_is_refused(backend: Backend, tmp_path: Path) -> None:
    """Positions come from the source: a new origin or spacing would be lost."""
    write_case("oblique", tmp_path / "source")
    volume = rt.read_series(one_series(tmp_path / "source"), backend=backend)
    for change, value in (("Origin", [1.0, 2.0, 3.0]), ("Spacing", [1.0, 1.0, 1.0])):
        before = list(getattr(volume.image, f"Get{change}")())
        getattr(volume.image, f"Set{change}")(value)
        with pytest.raises(rt.VerificationError, match="geometry of the image"):
            rt.write_series(volume, tmp_path / "written")
        getattr(volume.image, f"Set{change}")(before)
    volume.metadata.pop()
    with pytest.raises(rt.SeriesWriteError, match="3 metadata dictionaries for 4 slices"):
        rt.write_series(volume, tmp_path / "written")


def test_a_source_that_is_gone_or_another(tmp_path: Path) -> None:
    (file, *_) = write_case("plain_ct", tmp_path / "source")
    volume = rt.read_series(one_series(tmp_path / "source"))
    dataset = pydicom.dcmread(file)
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(file)
    with pytest.raises(rt.VerificationError, match=file.name):
        rt.write_series(volume, tmp_path / "written")
    file.unlink()
    with pytest.raises(rt.SeriesReadError, match=file.name):
        rt.write_series(volume, tmp_path / "written")


@pytest.mark.parametrize("identity", ["copy", "derived"])
@pytest.mark.parametrize("name", ["echoes", "mixed_sizes", "mixed_orientations", "multi_frame_two", "mixed_colour"])
def test_a_volume_is_written_alone(name: str, identity: witness.Identity, tmp_path: Path) -> None:
    """Just its instances, each paired with its own source; two volumes become two series."""
    write_case(name, tmp_path / "source")
    series = one_series(tmp_path / "source")
    uids = set()
    for k, part in enumerate(series.volumes):
        volume = rt.read_series(series, volume=k)
        result = rt.write_series(rt.derive(volume) if identity == "derived" else volume, tmp_path / f"volume {k}")
        written = sorted((tmp_path / f"volume {k}").iterdir())
        assert (result.verdict, result.slices) == ("pass", len(part.instances))
        assert len(written) == len(part.instances)
        assert witness.compare(files_of(part.instances), written, identity) == []
        report = rt.verify_series(tmp_path / "source", tmp_path / f"volume {k}", volume=k, jobs=1)
        assert (report.verdict, report.source_slices) == ("pass", len(part.instances))
        uids.add(result.series_instance_uid)
    assert len(uids) == (len(series.volumes) if identity == "derived" else 1)


# ---------------------------------------------------------------------------------------------- where frames lie


def test_places_of_frames_that_say_nothing(tmp_path: Path) -> None:
    """An empty header, and one that says less or other than it must."""
    (file,) = write_series(tmp_path, slices=1, frames=2, geometry="none", modality="SCW")
    dataset = pydicom.dcmread(file)

    def places() -> tuple[Place, ...]:
        return describe(file, file.name, dataset).places

    del dataset.PixelSpacing
    assert places() == (Place(follows=True),)
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = r"1\2\3", r"1\0\0\0\1\0"
    dataset.GridFrameOffsetVector = "0"  # one value, two frames
    dataset.SliceThickness = "4"
    assert places() == (Place((1, 2, 3), (1, 0, 0, 0, 1, 0), None, None, 4, follows=True),)
    dataset.PerFrameFunctionalGroupsSequence = [Dataset()]
    assert places() == (Place(),)


def test_a_volume_that_was_not_written(tmp_path: Path) -> None:
    """Without being told that one volume is all that was to be written, `verify` misses the others, each once."""
    write_case("echoes", tmp_path / "source")
    rt.write_series(rt.read_series(one_series(tmp_path / "source"), volume=1), tmp_path / "written")
    report = rt.verify_series(tmp_path / "source", tmp_path / "written", jobs=1)
    (finding,) = [one for one in report.findings if one.severity == "error"]
    assert (finding.check, finding.count) == ("CNT-01", 2)
    assert finding.message.startswith("nothing was written of volume 0 of 2, told apart by EchoTime")
    other = rt.verify_series(tmp_path / "source", tmp_path / "written", volume=0, jobs=1)
    assert other.verdict == "fail"
    with pytest.raises(rt.RoundtripError, match="2 volumes, counted from 0; 2 is none"):
        rt.verify_series(tmp_path / "source", tmp_path / "written", volume=2, jobs=1)


def test_carriages_of_a_volume_are_those_of_its_instances(tmp_path: Path) -> None:
    """What a plane says of how it was carried is what the table of kinds says."""
    write_case("mixed_photometric", tmp_path)
    series = one_series(tmp_path)
    volume = rt.read_series(series)
    planned = carriages(series, "derived")
    assert [plane.carriage for plane in volume.planes] == [planned[plane.instance.name] for plane in volume.planes]
