"""An image of the caller is taken as it is, put into the order of the volume, or refused by name."""

from __future__ import annotations

import dataclasses
import gzip
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import itk
import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from synthetic import write_case, write_series

import itk_roundtrip as rt
from itk_roundtrip.itk_io.files import read_file
from itk_roundtrip.series.lattice import Lattice, is_same, lattice_of, offset_mm, reordering
from itk_roundtrip.volume.images import laid, taken


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> rt.Volume:
    """An oblique CT of 12 rows, 18 columns and 5 slices."""
    folder = tmp_path_factory.mktemp("oblique")
    write_series(folder, geometry="oblique", slices=5)
    return rt.read_series(rt.find_series(folder)[0])


@pytest.fixture(scope="module")
def one_slice(tmp_path_factory: pytest.TempPathFactory) -> rt.Volume:
    folder = tmp_path_factory.mktemp("slice")
    write_case("one_slice", folder)
    return rt.read_series(rt.find_series(folder)[0])


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> rt.Volume:
    folder = tmp_path_factory.mktemp("colours")
    write_case("rgb", folder)
    return rt.read_series(rt.find_series(folder)[0])


def sitk_of(volume: rt.Volume, array: np.ndarray[Any, Any] | None = None) -> SimpleITK.Image:
    """Return a SimpleITK image in the place of a volume."""
    image = SimpleITK.GetImageFromArray(np.asarray(volume.array_zyx if array is None else array))
    image.SetOrigin(list(volume.image.GetOrigin()))
    image.SetSpacing(list(volume.image.GetSpacing()))
    image.SetDirection(direction(volume).ravel().tolist())
    return image


def direction(volume: rt.Volume) -> np.ndarray[Any, Any]:
    matrix = volume.image.GetDirection().GetVnlMatrix()
    return np.array([[matrix.get(row, column) for column in range(3)] for row in range(3)])


def itk_of(volume: rt.Volume, dtype: str) -> Any:
    """Return an ITK image in the place of a volume, of another pixel type."""
    image = itk.image_from_array(np.asarray(volume.array_zyx).astype(dtype))
    image.CopyInformation(volume.image)
    return image


def in_this_process(file: Path, volume: rt.Volume) -> np.ndarray[Any, Any]:
    return laid(read_file(file), volume, str(file))


# ------------------------------------------------------------------------------------------------ images in memory


@pytest.mark.parametrize("dtype", ["i2", "u2", "i4", "u4", "f4", "f8", "u1", "u8"])
def test_an_itk_image_of_any_type(volume: rt.Volume, dtype: str) -> None:
    result = taken(itk_of(volume, dtype), volume)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, np.asarray(volume.array_zyx).astype(dtype))


def test_the_image_of_the_volume_itself(volume: rt.Volume, colours: rt.Volume) -> None:
    for read in (volume, colours):
        result = taken(read.image, read)
        assert type(result) is np.ndarray
        np.testing.assert_array_equal(result, read.array_zyx)


def test_a_filter_that_has_not_run_is_run(volume: rt.Volume) -> None:
    pipeline = itk.MedianImageFilter.New(volume.image, Radius=1)
    result = taken(pipeline.GetOutput(), volume)
    np.testing.assert_array_equal(result, itk.array_from_image(itk.median_image_filter(volume.image, radius=1)))


def test_a_filter_that_is_gone_left_no_pixels(volume: rt.Volume) -> None:
    image = itk.MedianImageFilter.New(volume.image, Radius=1).GetOutput()
    with pytest.raises(rt.ImageError, match=r"has no pixels .*call Update"):
        taken(image, volume)


def test_a_filter_that_fails_is_told(volume: rt.Volume) -> None:
    pipeline = itk.ExtractImageFilter.New(volume.image)
    region = itk.ImageRegion[3]()
    region.SetSize([99, 99, 99])
    pipeline.SetExtractionRegion(region)
    with pytest.raises(rt.ImageError, match="has no pixels that can be used"):
        taken(pipeline.GetOutput(), volume)


@pytest.mark.parametrize("pixel", ["u1", "i2", "f4", "f8"])
def test_a_simpleitk_image(volume: rt.Volume, pixel: str) -> None:
    array = np.asarray(volume.array_zyx).astype(pixel)
    result = taken(sitk_of(volume, array), volume)
    assert result.dtype == pixel
    np.testing.assert_array_equal(result, array)


def test_arrays(volume: rt.Volume, colours: rt.Volume, one_slice: rt.Volume) -> None:
    """Masks, half floats and other byte orders become numbers that every processor has; no value changes."""
    array = np.asarray(volume.array_zyx)
    assert taken(array, volume) is not None
    for given, dtype in ((array > 0, "u1"), ((array / 2).astype("f2"), "f4"), (array.astype(">f8"), "f8")):
        result = taken(given, volume)
        assert result.dtype == np.dtype(dtype)
        assert result.dtype.isnative
        np.testing.assert_array_equal(result, given)
    np.testing.assert_array_equal(taken(np.asarray(colours.array_zyx), colours), colours.array_zyx)
    np.testing.assert_array_equal(taken(one_slice.array_zyx[0], one_slice), one_slice.array_zyx)


def test_a_slice_of_two_dimensions(one_slice: rt.Volume, volume: rt.Volume) -> None:
    image = sitk_of(one_slice)[:, :, 0]
    np.testing.assert_array_equal(taken(image, one_slice), one_slice.array_zyx)
    np.testing.assert_array_equal(taken(SimpleITK.Flip(image, [True, False]), one_slice), one_slice.array_zyx)
    extract = itk.ExtractImageFilter[itk.Image[itk.SS, 3], itk.Image[itk.SS, 2]].New(one_slice.image)
    extract.SetDirectionCollapseToSubmatrix()
    region = one_slice.image.GetLargestPossibleRegion()
    size = region.GetSize()
    size[2] = 0
    region.SetSize(size)
    extract.SetExtractionRegion(region)
    np.testing.assert_array_equal(taken(extract.GetOutput(), one_slice), one_slice.array_zyx)
    image.SetOrigin([0, 0])
    with pytest.raises(rt.ImageError, match="does not lie where the volume does"):
        taken(image, one_slice)
    with pytest.raises(rt.ImageError, match="2 dimensions"):
        taken(sitk_of(volume)[:, :, 0], volume)


SIGNED_PERMUTATIONS = [
    (order, flips) for order in itertools.permutations(range(3)) for flips in itertools.product((False, True), repeat=3)
]


@pytest.mark.parametrize(("order", "flips"), SIGNED_PERMUTATIONS)
def test_axes_in_another_order_are_put_back(volume: rt.Volume, order: tuple[int, ...], flips: tuple[bool, ...]) -> None:
    image = SimpleITK.Flip(SimpleITK.PermuteAxes(sitk_of(volume), order), flips)
    np.testing.assert_array_equal(taken(image, volume), volume.array_zyx)


def test_a_region_that_does_not_begin_with_0(volume: rt.Volume) -> None:
    """The origin of ITK is where the index 0 lies, wherever the image begins."""
    pad = itk.constant_pad_image_filter(volume.image, pad_lower_bound=[2, 1, 3])
    region = itk.ImageRegion[3]()
    region.SetIndex([0, 0, 0])
    region.SetSize(list(itk.size(volume.image)))
    np.testing.assert_array_equal(taken(itk.region_of_interest_image_filter(pad, region_of_interest=region), volume),
                                  volume.array_zyx)  # fmt: skip
    region.SetIndex([-2, -1, -3])
    shifted = itk.extract_image_filter(pad, extraction_region=region, direction_collapse_to_strategy=3)
    assert list(shifted.GetOrigin()) == list(volume.image.GetOrigin())
    away = np.linalg.norm(np.array([2, 1, 3]) * list(volume.image.GetSpacing()))
    with pytest.raises(rt.ImageError, match=f"a corner is {away:.3g} mm away"):
        taken(shifted, volume)


@pytest.mark.parametrize(
    ("edit", "away"),
    [
        (lambda image: image.SetOrigin([value + 0.25 for value in image.GetOrigin()]), "0.433 mm"),
        (lambda image: image.SetSpacing([value * 1.001 for value in image.GetSpacing()]), "mm away"),
        (lambda image: image.SetDirection(np.eye(3).ravel().tolist()), "mm away"),
        (lambda image: image.SetOrigin([value + 2e-6 for value in image.GetOrigin()]), "3.46e-06 mm"),
    ],
)
def test_an_image_elsewhere_is_refused_with_the_distance(
    volume: rt.Volume, edit: Callable[[Any], None], away: str
) -> None:
    image = sitk_of(volume)
    edit(image)
    with pytest.raises(rt.ImageError, match=f"does not lie where the volume does: a corner is .*{away}"):
        taken(image, volume)


def test_an_image_is_compared_with_what_was_read(volume: rt.Volume) -> None:
    """Whatever stands in the fields of the volume by now."""
    moved = sitk_of(volume)
    moved.SetOrigin([0, 0, 0])
    edited = dataclasses.replace(volume, image=moved, array_zyx=volume.array_zyx[:2])
    np.testing.assert_array_equal(taken(volume.image, edited), volume.array_zyx)
    with pytest.raises(rt.ImageError, match="does not lie where"):
        taken(edited.image, edited)
    with pytest.raises(rt.ImageError, match="not made by read_series"):
        taken(volume.image, dataclasses.replace(volume, as_read=None))


def test_rounding_of_double_is_no_other_place(volume: rt.Volume) -> None:
    image = sitk_of(volume)
    image.SetOrigin([value + 1e-8 for value in image.GetOrigin()])
    np.testing.assert_array_equal(taken(image, volume), volume.array_zyx)


class _Masked(list[Any]):
    pass


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, r"The image is None, not an itk\.Image"),
        (3, "The image is an int, not"),
        ([1, 2], "The image is a list, not"),
        (_Masked(), "The image is a _Masked, not"),
        (np.ma.masked_array(np.zeros((5, 12, 18))), "a masked array; fill"),
        (np.zeros((5, 12, 18), complex), "complex numbers"),
        (np.zeros((5, 12, 18), object), "values of type object"),
        (np.zeros((5, 12, 18), "M8[s]"), "values of type datetime64"),
        (np.zeros((5, 12, 18), np.longdouble), "not integers or float of at most 64 bits"),
        (np.zeros((5, 18, 12)), r"12 x 18 x 5 voxels \(x, y, z\) and the volume 18 x 12 x 5 voxels \(x, y, z\)"),
        (np.zeros((6, 12, 18)), r"18 x 12 x 6 voxels \(x, y, z\) and the volume 18 x 12 x 5"),
        (np.zeros((5, 12, 18, 3)), r"4 dimensions \(5 x 12 x 18 x 3\); a volume has 3, \(z, y, x\)"),
        (np.zeros((12, 18)), "2 dimensions"),
        (np.zeros(()), "0 dimensions"),
        (SimpleITK.Image([18, 12, 5], SimpleITK.sitkVectorFloat32, 2), "2 components in each voxel and the volume 1"),
        (SimpleITK.Image([18, 12, 5], SimpleITK.sitkComplexFloat32), "does not lie where"),
        (SimpleITK.Image([18, 12, 5, 2], SimpleITK.sitkFloat32), "4 dimensions"),
        (SimpleITK.Image([18, 12, 6], SimpleITK.sitkFloat32), "18 x 12 x 6 voxels"),
    ],
)
def test_what_is_no_image_of_the_volume_is_refused_by_name(volume: rt.Volume, image: Any, message: str) -> None:
    with pytest.raises(rt.ImageError, match=message):
        taken(image, volume)


def test_other_images_of_itk_are_refused(volume: rt.Volume) -> None:
    labels = itk.LabelMap[itk.StatisticsLabelObject[itk.UL, 3]].New()
    with pytest.raises(rt.ImageError):
        taken(labels, volume)
    vectors = itk.image_from_array(np.zeros((5, 12, 18, 2), "f4"), is_vector=True)
    with pytest.raises(rt.ImageError, match="2 components"):
        taken(vectors, volume)
    with pytest.raises(rt.ImageError, match="The image is an itkMedianImageFilter"):
        taken(itk.MedianImageFilter.New(volume.image), volume)


def test_colours_need_their_components(colours: rt.Volume) -> None:
    with pytest.raises(rt.ImageError, match="1 component in each voxel and the volume 3"):
        taken(sitk_of(colours, np.asarray(colours.array_zyx)[..., 0].astype("u1").copy()), colours)


# ------------------------------------------------------------------------------------------------------ image files


@pytest.mark.parametrize("extension", ["nrrd", "mha", "mhd", "nhdr", "nii", "nii.gz", "vtk"])
def test_files(volume: rt.Volume, extension: str, tmp_path: Path) -> None:
    file = tmp_path / f"image.{extension}"
    SimpleITK.WriteImage(sitk_of(volume), str(file))
    if extension == "vtk":  # the format does not say how the axes lie
        with pytest.raises(rt.ImageError, match="does not lie where"):
            in_this_process(file, volume)
        return
    np.testing.assert_array_equal(in_this_process(file, volume), volume.array_zyx)


def test_a_file_is_read_in_a_process_of_its_own(volume: rt.Volume, tmp_path: Path) -> None:
    file = tmp_path / "image.nrrd"
    SimpleITK.WriteImage(sitk_of(volume), str(file), useCompression=True)
    np.testing.assert_array_equal(taken(file, volume), volume.array_zyx)
    np.testing.assert_array_equal(taken(str(file), volume), volume.array_zyx)
    file.write_bytes(b"NRRD0004\n")
    with pytest.raises(rt.ImageError, match=r"image\.nrrd cannot be read as an image"):
        taken(file, volume)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "ASL", "SAR", "IRP"])
@pytest.mark.parametrize("extension", ["nii", "nii.gz"])
def test_nifti_in_any_orientation(volume: rt.Volume, codes: str, extension: str, tmp_path: Path) -> None:
    """As nibabel leaves it, whose affine of 32 bits is off by more than 1e-6 of a voxel."""
    SimpleITK.WriteImage(sitk_of(volume), str(tmp_path / "source.nii"))
    image = nibabel.load(tmp_path / "source.nii")
    turned = image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt(codes)))
    file = tmp_path / f"turned.{extension}"
    nibabel.save(turned, file)
    np.testing.assert_array_equal(in_this_process(file, volume), volume.array_zyx)


def test_nifti_is_allowed_the_rounding_of_its_numbers_and_no_more(volume: rt.Volume, tmp_path: Path) -> None:
    image = sitk_of(volume)
    image.SetOrigin([value + 2e-4 for value in image.GetOrigin()])
    for name, message in (("image.nii", "a corner is 0.00034. mm away"), ("image.nrrd", "a corner is 0.000346 mm")):
        SimpleITK.WriteImage(image, str(tmp_path / name))
        with pytest.raises(rt.ImageError, match=message):
            in_this_process(tmp_path / name, volume)


def test_nrrd_of_another_program(volume: rt.Volume, tmp_path: Path) -> None:
    """In RAS, with the fastest axis first, written by pynrrd."""
    axes = direction(volume) @ np.diag(list(volume.image.GetSpacing()))
    ras = np.diag([-1, -1, 1])
    header = {
        "space": "right-anterior-superior",
        "space directions": (ras @ axes).T,
        "space origin": ras @ np.array(list(volume.image.GetOrigin())),
        "kinds": ["domain"] * 3,
    }
    nrrd.write(str(tmp_path / "ras.nrrd"), np.asarray(volume.array_zyx).T.copy(), header)
    np.testing.assert_array_equal(in_this_process(tmp_path / "ras.nrrd", volume), volume.array_zyx)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("extension", ["nii", "nii.gz"])
def test_nan_in_nifti_is_not_read_as_0(volume: rt.Volume, dtype: str, extension: str, tmp_path: Path) -> None:
    """NIfTI's library makes 0 of it; NRRD and MetaImage hold it."""
    array = np.asarray(volume.array_zyx).astype(dtype)
    array[1, 2, 3] = np.nan
    for name in ("image.nrrd", "image.mha"):
        SimpleITK.WriteImage(sitk_of(volume, array), str(tmp_path / name))
        np.testing.assert_array_equal(in_this_process(tmp_path / name, volume), array)
    file = tmp_path / f"image.{extension}"
    SimpleITK.WriteImage(sitk_of(volume, array), str(file))
    with pytest.raises(rt.ImageError, match="NaN or infinity, which ITK reads as 0"):
        in_this_process(file, volume)


def test_big_endian_and_nifti_2(volume: rt.Volume, tmp_path: Path) -> None:
    SimpleITK.WriteImage(sitk_of(volume, np.asarray(volume.array_zyx).astype("f4")), str(tmp_path / "one.nii"))
    image = nibabel.load(tmp_path / "one.nii")
    big = nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header.as_byteswapped(">"))
    nibabel.save(big, tmp_path / "big.nii")
    np.testing.assert_array_equal(in_this_process(tmp_path / "big.nii", volume), volume.array_zyx)
    nibabel.save(nibabel.Nifti2Image(np.asarray(image.dataobj), image.affine), tmp_path / "two.nii")
    with pytest.raises(rt.ImageError, match="no reader for the file"):
        in_this_process(tmp_path / "two.nii", volume)


def test_nifti_beside_another_of_its_name(volume: rt.Volume, tmp_path: Path) -> None:
    """ITK reads the pixels of ``image.nii`` for those of ``image.nii.gz``."""
    SimpleITK.WriteImage(sitk_of(volume), str(tmp_path / "image.nii.gz"))
    SimpleITK.WriteImage(sitk_of(volume) + 1, str(tmp_path / "image.nii"))
    np.testing.assert_array_equal(in_this_process(tmp_path / "image.nii.gz", volume), volume.array_zyx)
    np.testing.assert_array_equal(in_this_process(tmp_path / "image.nii", volume), volume.array_zyx + 1)


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz", "image.nrrd", "packed.nrrd", "image.mha", "packed.mha"])
def test_a_damaged_file_is_refused(volume: rt.Volume, name: str, tmp_path: Path) -> None:
    """ITK makes up the pixels of a NIfTI file that ends early, and of a MetaImage that cannot be decompressed."""
    file = tmp_path / name
    SimpleITK.WriteImage(sitk_of(volume), str(file), useCompression=name.startswith("packed"))
    whole = file.read_bytes()
    damaged = [whole[:-50], whole[: len(whole) * 3 // 4]]
    if name in ("image.nii.gz", "packed.mha", "packed.nrrd"):
        middle = len(whole) * 3 // 4
        damaged.append(whole[:middle] + bytes([whole[middle] ^ 0x55]) + whole[middle + 1 :])
    for content in damaged:
        file.write_bytes(content)
        with pytest.raises(rt.ImageError):
            in_this_process(file, volume)


def test_files_that_are_none(volume: rt.Volume, tmp_path: Path) -> None:
    (tmp_path / "text.nrrd").write_text("no image")
    (tmp_path / "text.npy").write_bytes(b"no image")
    for file, message in (
        (tmp_path / "absent.nrrd", r"absent\.nrrd is not a file"),
        (tmp_path, "is a folder; name a file"),
    ):
        with pytest.raises(rt.ImageError, match=message):
            taken(file, volume)
    for name in ("text.nrrd", "text.npy"):
        with pytest.raises(rt.ImageError, match="cannot be read as an image"):
            in_this_process(tmp_path / name, volume)
    SimpleITK.WriteImage(sitk_of(volume), str(tmp_path / "pair.img"))
    with pytest.raises(rt.ImageError, match="one of two files"):
        in_this_process(tmp_path / "pair.hdr", volume)


def test_a_gzip_that_claims_to_be_plain(volume: rt.Volume, tmp_path: Path) -> None:
    SimpleITK.WriteImage(sitk_of(volume), str(tmp_path / "image.nii"))
    (tmp_path / "other.nii.gz").write_bytes(gzip.compress((tmp_path / "image.nii").read_bytes()))
    np.testing.assert_array_equal(in_this_process(tmp_path / "other.nii.gz", volume), volume.array_zyx)


# ------------------------------------------------------------------------------------------------------------- lattices


def test_reordering_is_the_nearest_signed_permutation() -> None:
    target = lattice_of([4, 5, 6], [1, 2, 3], [0.5, 0.75, 2], np.eye(3).ravel().tolist())
    askew = np.linalg.qr(np.array([[1, 0.1, 0], [-0.1, 1, 0.2], [0, -0.2, 1.0]]))[0]
    turned = Lattice((4, 5, 6), np.column_stack([askew @ target.axes, target.origin]))
    assert reordering(turned, target).order == (0, 1, 2)
    assert not is_same(reordering(turned, target).of_lattice(turned), target)
    assert offset_mm(target, target) == 0


def test_a_label_map_of_simpleitk_is_refused(volume: rt.Volume) -> None:
    """SimpleITK would end the process."""
    plain = SimpleITK.Image(volume.array_zyx.shape[::-1], SimpleITK.sitkUInt8)
    with pytest.raises(rt.RoundtripError, match="LabelMapToLabel"):
        taken(SimpleITK.Cast(plain, SimpleITK.sitkLabelUInt8), volume)
