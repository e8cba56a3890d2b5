"""The same steps with SimpleITK, a second decoder, and a reader of any image; the only module that imports SimpleITK.

As a front end it has the functions of ``_itk``, in the same order and on the same terms. SimpleITK wraps no
ImageSeriesWriter, and its images and arrays do not share their memory.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from itk_roundtrip.errors import ImageError
from itk_roundtrip.itk_io.calls import copy_geometry, kept_locale
from itk_roundtrip.pixels.formats import DTYPES, Array, ImageArray, PixelType, components
from itk_roundtrip.series.lattice import Lattice, lattice_of

if TYPE_CHECKING:
    from SimpleITK import Image as Image  # a type of the API

SHARES_MEMORY = False
"""The array of a ``SimpleITK.Image`` is a copy of its pixels."""
_PIXEL_IDS: dict[PixelType, str] = {
    "UC": "sitkUInt8", "SS": "sitkInt16", "US": "sitkUInt16", "F": "sitkFloat32", "D": "sitkFloat64",
    "RGBUC": "sitkVectorUInt8", "RGBUS": "sitkVectorUInt16",
}  # fmt: skip


def load() -> Any:
    """Import SimpleITK, whose warnings may quote paths and values: they are switched off."""
    import SimpleITK

    module: Any = SimpleITK
    module.ProcessObject.GlobalWarningDisplayOff()
    return module


def load_for_caller() -> None:
    """Do nothing: all that the caller may ask of an image is in the module of :func:`load`."""


def version() -> str:
    """Return the version of SimpleITK."""
    return str(load().Version.VersionString())


# --------------------------------------------------------------------------------------------- 1. GDCMSeriesFileNames


def series_file_names(view: str, series_instance_uid: str, output_directory: str) -> tuple[list[str], list[str]]:
    """Order the files of a folder with GDCMSeriesFileNames; SimpleITK names no output, so the names stay.

    Returns
    -------
    tuple
        Input and output file names, in the same order; both empty if it does not find exactly this series.
    """
    reader = load().ImageSeriesReader
    if list(reader.GetGDCMSeriesIDs(view)) != [series_instance_uid]:
        return [], []
    inputs = list(reader.GetGDCMSeriesFileNames(view, series_instance_uid))
    return inputs, [os.path.join(output_directory, os.path.basename(name)) for name in inputs]


# ---------------------------------------------------------------------------------- 2. ImageSeriesReader, GDCMImageIO


def read_series(
    file_names: Sequence[str], pixel_type: PixelType, *, private: bool = False, pixels: bool = True
) -> tuple[Any, list[Any]]:
    """Read slices with ImageSeriesReader and GDCMImageIO: a ``SimpleITK.Image``, and a dictionary per slice.

    The pixels are always read: SimpleITK's ImageSeriesReader reads no headers alone.
    """
    module = load()
    reader = module.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames(list(file_names))
    reader.SetOutputPixelType(getattr(module, _PIXEL_IDS[pixel_type]))
    reader.MetaDataDictionaryArrayUpdateOn()
    reader.SetLoadPrivateTags(private)
    with kept_locale():
        image = reader.Execute()
    metadata = [
        Dictionary((key, reader.GetMetaData(index, key)) for key in reader.GetMetaDataKeys(index))
        for index in range(len(file_names))
    ]
    return image, metadata


# --------------------------------------------------------------------------------------- 3. the metadata dictionaries


class Dictionary(dict[str, str]):
    """The metadata of a slice by keys ``gggg|eeee``, with the names that ITK's MetaDataDictionary has."""

    def GetKeys(self) -> tuple[str, ...]:  # noqa: N802 - ITK's name
        """Return the keys."""
        return tuple(self)

    def HasKey(self, key: str) -> bool:  # noqa: N802 - ITK's name
        """Tell whether there is an entry."""
        return key in self

    def Erase(self, key: str) -> bool:  # noqa: N802 - ITK's name
        """Remove an entry."""
        return self.pop(key, None) is not None


def copies(dictionaries: Sequence[Any]) -> tuple[Any, ...]:
    """Return copies of the dictionaries."""
    return tuple(Dictionary(dictionary) for dictionary in dictionaries)


def edit_dictionary(dictionary: Any, edits: Mapping[str, str | None]) -> None:
    """Set or, for ``None``, erase entries of a dictionary in place."""
    for key, value in edits.items():
        if value is None:
            dictionary.pop(key, None)
        else:
            dictionary[key] = value


# ------------------------------------------------------------------------------------ 4. ImageFileWriter, GDCMImageIO


def image_of(array_zyx: Array, pixel_type: PixelType, like: Any) -> Any:
    """Return an image of a copy of an array of shape (slices, rows, columns), with the geometry of another image."""
    values = np.ascontiguousarray(array_zyx, dtype=DTYPES[pixel_type])
    image = load().GetImageFromArray(values, isVector=components(pixel_type) > 1)
    if like is not None:
        copy_geometry(like, image)
    return image


def write_series(
    array_zyx: Array,
    pixel_type: PixelType,
    like: Any,
    dictionaries: Sequence[Any],
    file_names: Sequence[str],
) -> None:
    """Write each slice with ImageFileWriter and GDCMImageIO: SimpleITK wraps no writer of series with dictionaries."""
    image = image_of(array_zyx, pixel_type, like)
    for index, file_name in enumerate(file_names):
        writer = load().ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.KeepOriginalImageUIDOn()
        slice_ = image[:, :, index]
        for key, value in dictionaries[index].items() if len(dictionaries) else ():
            with contextlib.suppress(TypeError, UnicodeError):  # text that is no UTF-8 cannot be set
                slice_.SetMetaData(key, value)
        writer.SetFileName(str(file_name))
        with kept_locale():
            writer.Execute(slice_)


def write_nothing(file_name: str) -> None:
    """Write a DICOM file of a 2x2 slice, whose Implementation Version Name names the GDCM in SimpleITK."""
    module = load()
    module.WriteImage(module.Image(2, 2, module.sitkInt16), file_name)


# ------------------------------------------------------------------------------------------------ SimpleITK's example


def example(source: str, output: str, *, private: bool) -> None:
    """Read the series of a folder and write it to a new folder as SimpleITK's example DicomSeriesReadModifyWrite does.

    One ImageFileWriter writes slice by slice with KeepOriginalImageUID on; every entry of the metadata is copied,
    not only the few that the example names. To be called in a process that has run nothing else with SimpleITK.

    Parameters
    ----------
    source
        Folder with the files of a single series.
    output
        Folder to make once the series was read.
    private
        Switch LoadPrivateTags on, as the example does.
    """
    module = load()
    series_uids = module.ImageSeriesReader.GetGDCMSeriesIDs(source)
    if not series_uids:
        raise RuntimeError("no series")
    reader = module.ImageSeriesReader()
    reader.SetFileNames(module.ImageSeriesReader.GetGDCMSeriesFileNames(source, series_uids[0]))
    reader.MetaDataDictionaryArrayUpdateOn()
    if private:
        reader.LoadPrivateTagsOn()
    volume = reader.Execute()
    os.makedirs(output)
    writer = module.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for index in range(volume.GetDepth()):
        image = volume[:, :, index]
        for key in reader.GetMetaDataKeys(index):
            with contextlib.suppress(TypeError, UnicodeError):  # text that is no UTF-8 cannot be set: it is lost
                image.SetMetaData(key, reader.GetMetaData(index, key))
        writer.SetFileName(os.path.join(output, f"{index:05d}.dcm"))
        writer.Execute(image)


# -------------------------------------------------------------------------------------------- images and dictionaries


def dictionary_of(image: Any) -> Dictionary:
    """Return the metadata of an image itself."""
    return Dictionary((key, image.GetMetaData(key)) for key in image.GetMetaDataKeys())


def differences(first: Any, second: Any) -> list[str]:
    """Return the keys, as ``gggg|eeee``, in which two dictionaries differ, sorted."""
    return [key for key in sorted({*first, *second}) if first.get(key) != second.get(key)]


def entries(dictionary: Any) -> dict[str, str]:
    """Return the entries of a dictionary, by key."""
    return dict(dictionary)


def size(image: Any) -> tuple[int, ...]:
    """Return the size of an image: columns, rows, slices."""
    return tuple(image.GetSize())


region = size
"""SimpleITK has no regions: all of an image is in memory, and its indices begin with 0."""


def pixel_kind(image: Any) -> tuple[int, ...]:
    """Return dimension, pixel ID and components of an image: all have the class ``SimpleITK.Image``."""
    return image.GetDimension(), image.GetPixelID(), image.GetNumberOfComponentsPerPixel()


def geometry(image: Any) -> list[float]:
    """Return origin, spacing and, row by row, direction of an image, in mm and LPS."""
    return [*image.GetOrigin(), *image.GetSpacing(), *image.GetDirection()]


def set_direction(image: Any, direction: NDArray[np.float64]) -> None:
    """Set the direction of an image, shape (3, 3); its columns are the axes."""
    image.SetDirection(direction.ravel().tolist())


def array_view(image: Any, pixel_type: PixelType) -> Array:
    """Return the pixels of an image as an array (z, y, x), samples behind: a copy, unlike that of ITK's own Python."""
    array: Array = load().GetArrayFromImage(image)
    return (
        array.reshape((-1, *array.shape[1:])) if array.ndim - (components(pixel_type) > 1) == 3 else array[np.newaxis]
    )


# --------------------------------------------------------------------------------------------- images of the caller


def copy_of(array_zyx: Array, pixel_type: PixelType, geometry: Sequence[float]) -> Any:
    """Return an image that holds a copy of an array, with a geometry as :func:`geometry` returns it."""
    image = image_of(array_zyx, pixel_type, None)
    image.SetOrigin(list(geometry[:3]))
    image.SetSpacing(list(geometry[3:6]))
    image.SetDirection(list(geometry[6:]))
    return image


def is_image(value: Any) -> bool:
    """Tell whether a value is a ``SimpleITK.Image``; nothing is imported."""
    bases = type(value).__mro__
    return any(base.__name__ == "Image" and base.__module__.startswith("SimpleITK") for base in bases)


def pixels(image: Any) -> Array:
    """Return the pixels of any image, shape ([slices,] rows, columns), components behind, for reading.

    They share its memory: they are to be used before the image is changed, which may move it.

    Raises
    ------
    ImageError
        It is a label map, of which SimpleITK ends the process.
    """
    module = load()
    if image.GetPixelID() in {getattr(module, f"sitkLabelUInt{bits}") for bits in (8, 16, 32, 64)}:
        raise ImageError("A label map holds no pixels; make an image of it with SimpleITK.LabelMapToLabel.")
    view: ImageArray = module.GetArrayViewFromImage(image).view(ImageArray)
    view.image = image
    return view


def lattice(image: Any) -> Lattice:
    """Return where the voxels of any image lie."""
    return lattice_of(image.GetSize(), image.GetOrigin(), image.GetSpacing(), image.GetDirection())


# ---------------------------------------------------------------------------- a second decoder, a reader of any image


def stored_values(path: Path) -> NDArray[Any]:
    """Return the stored values of a file: shape (rows, columns), samples behind; of several frames, (frames, ...).

    The file must have no rescale and not be MONOCHROME1, which GDCM would apply and invert.
    """
    module = load()
    reader = module.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    image = reader.Execute()
    array: NDArray[Any] = module.GetArrayFromImage(image)
    return array[0] if image.GetDimension() == 3 and len(array) == 1 else array


def image_io_of(path: Path) -> str:
    """Return the name of the ImageIO that reads a file, such as ``NrrdImageIO``; empty if none does."""
    return str(load().ImageFileReader.GetImageIOFromFileName(str(path)))


def read_file(path: Path, image_io: str) -> Any:
    """Read an image file through an ImageIO."""
    reader = load().ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(path))
    with kept_locale():
        return reader.Execute()


def write_file(image: Any, path: Path) -> None:
    """Write an image to a file through the ImageIO that its extension tells, compressed if that says so."""
    with kept_locale():
        load().WriteImage(image, str(path))
