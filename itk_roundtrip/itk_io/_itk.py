"""The steps of ITK's example DicomSeriesReadSeriesWrite, in its order; the only module that imports ``itk``.

1. :func:`series_file_names`: GDCMSeriesFileNames orders the files and names the output.
2. :func:`read_series`: ImageSeriesReader with GDCMImageIO reads an image and an array of MetaDataDictionaries.
3. :func:`copies`: the dictionary array is copied, dictionary by dictionary; :func:`edit_dictionary` changes entries.
4. :func:`write_series`: ImageSeriesWriter writes the slices through a fresh GDCMImageIO, each with its dictionary.

:func:`example` is the example itself, for comparison. What looks into images and dictionaries stands behind it.

ITK is imported inside functions, and only the SWIG modules that the classes used here live in: touching
``itk.ImageSeriesReader`` the documented way loads 92 libraries, 2 seconds and 350 MB.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from itk_roundtrip.itk_io.calls import copy_geometry, kept_locale
from itk_roundtrip.pixels.formats import DTYPES, Array, ImageArray, PixelType, components
from itk_roundtrip.series.lattice import Lattice, lattice_of

SHARES_MEMORY = True
"""An ``itk.Image`` and the array of its pixels share their memory."""
_MODULES = (  # in this order: the wrapped modules find their bases in sys.modules
    "itkGDCMImageIOPython",
    "itkImageSeriesReaderPython",
    "itkImageSeriesWriterPython",
    "itkPyBufferPython",
    "itkMetaDataObjectPython",
    "ITKCommonBasePython",
)


@cache
def load() -> dict[str, Any]:
    """Import the SWIG modules of ITK that reading and writing a series needs; return them by name."""
    importlib.import_module("itk")
    return {name: importlib.import_module(f"itk.{name}") for name in _MODULES}


def _module(name: str) -> Any:
    """Return a SWIG module of ITK, for what needs no other than this one."""
    importlib.import_module("itk")
    return importlib.import_module(f"itk.{name}")


def load_for_caller() -> None:
    """Import all classes of ITK's common module, as any use of them through ``itk`` does, in 0.3 s.

    The modules of :func:`load` alone fill no tables of templates: ``itk.template(image)``, ``image.astype`` and
    ``itk.array_from_matrix(image.GetDirection())`` of an image that the caller gets would raise KeyError.
    """
    importlib.import_module("itk").Image  # noqa: B018, the attribute imports them
    _module("itkPyBufferPython")


def version() -> str:
    """Return the version of ITK, as its wheel says it: ``itk.__version__`` of a pre-release is that of the release."""
    try:
        return importlib.metadata.version("itk-io")
    except importlib.metadata.PackageNotFoundError:  # built from source
        return str(importlib.import_module("itk").__version__)


def _new(module: str, name: str) -> Any:
    """Return a new object of a wrapped ITK class."""
    return getattr(load()[module], name).New()


# --------------------------------------------------------------------------------------------- 1. GDCMSeriesFileNames


def series_file_names_class() -> Any:
    """Return the class GDCMSeriesFileNames, which ITK wraps in the module of GDCMImageIO."""
    return load()["itkGDCMImageIOPython"].itkGDCMSeriesFileNames


def series_file_names(view: str, series_instance_uid: str, output_directory: str) -> tuple[list[str], list[str]]:
    """Order the files of a folder with GDCMSeriesFileNames, and let it name the output.

    Returns
    -------
    tuple
        Input and output file names, in the same order; both empty if ITK does not find exactly this series.
    """
    names = series_file_names_class().New()
    names.SetUseSeriesDetails(False)
    names.SetRecursive(False)
    names.SetInputDirectory(view)
    if list(names.GetSeriesUIDs()) != [series_instance_uid]:
        return [], []
    inputs = [str(name) for name in names.GetFileNames(series_instance_uid)]
    names.SetOutputDirectory(output_directory)
    return inputs, [str(name) for name in names.GetOutputFileNames()]


# ---------------------------------------------------------------------------------- 2. ImageSeriesReader, GDCMImageIO


def read_series(
    file_names: Sequence[str], pixel_type: PixelType, *, private: bool = False, pixels: bool = True
) -> tuple[Any, list[Any]]:
    """Read slices with ImageSeriesReader and GDCMImageIO, whose LoadPrivateTags is on if ``private``.

    Without ``pixels`` a single slice is requested, as ITK's streaming does it: of the others it reads the headers only.

    Returns
    -------
    tuple
        An ``itk.Image`` of three dimensions, and a copy of the ``itk.MetaDataDictionary`` of each slice.
    """
    reader = _new("itkImageSeriesReaderPython", f"itkImageSeriesReaderI{pixel_type}3")
    io = _new("itkGDCMImageIOPython", "itkGDCMImageIO")
    io.SetLoadPrivateTags(private)
    reader.SetImageIO(io)
    reader.SetFileNames(list(file_names))
    image = reader.GetOutput()
    with kept_locale():
        reader.UpdateOutputInformation()
        if not pixels:
            region = image.GetLargestPossibleRegion()
            region.SetSize(2, 1)
            image.SetRequestedRegion(region)
        image.Update()
    array = reader.GetMetaDataDictionaryArray()
    metadata = copies([array[index] for index in range(len(array))])
    image.DisconnectPipeline()
    return image, list(metadata)


# ------------------------------------------------------------------------------------ 3. the MetaDataDictionary array


def copies(dictionaries: Sequence[Any]) -> tuple[Any, ...]:
    """Return copies of MetaDataDictionaries, made one by one; those in a reader's array die with the reader."""
    new_dictionary = _module("ITKCommonBasePython").itkMetaDataDictionary
    return tuple(new_dictionary(dictionary) for dictionary in dictionaries)


def edit_dictionary(dictionary: Any, edits: Mapping[str, str | None]) -> None:
    """Set or, for ``None``, erase entries ``gggg|eeee`` of a MetaDataDictionary in place."""
    for key, value in edits.items():
        if value is None:
            dictionary.Erase(key)
        else:  # dictionary[key] = value would import 58 modules to do the same
            entry = _new("itkMetaDataObjectPython", "itkMetaDataObjectS")
            entry.SetMetaDataObjectValue(value)
            dictionary.Set(key, entry)


# -------------------------------------------------------------------------- 4. ImageSeriesWriter, a fresh GDCMImageIO


def image_of(array_zyx: Array, pixel_type: PixelType, like: Any) -> Any:
    """Return an image over the memory of an array of shape (slices, rows, columns), samples behind.

    Parameters
    ----------
    array_zyx
        Contiguous, of the components' type.
    pixel_type
        Of the image.
    like
        Image that lends its geometry, if any.
    """
    buffer = getattr(_module("itkPyBufferPython"), f"itkPyBufferI{pixel_type}3")
    vector = (True,) if components(pixel_type) > 1 else ()
    image = buffer.GetImageViewFromArray(array_zyx, *vector)
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
    """Write slices with ImageSeriesWriter through a fresh GDCMImageIO that keeps the UIDs of the dictionaries.

    A GDCMImageIO that has read a file remembers its component type and overruns the heap when it writes.
    """
    values = np.ascontiguousarray(array_zyx, dtype=DTYPES[pixel_type])
    modules = load()
    image = image_of(values, pixel_type, like)
    io = _new("itkGDCMImageIOPython", "itkGDCMImageIO")
    io.KeepOriginalUIDOn()
    array = modules["ITKCommonBasePython"].vectoritkMetaDataDictionary()
    for dictionary in dictionaries:
        array.push_back(dictionary)  # the vector holds pointers: the caller keeps the dictionaries alive
    writer = _new("itkImageSeriesWriterPython", f"itkImageSeriesWriterI{pixel_type}3I{pixel_type}2")
    writer.SetImageIO(io)
    writer.SetInput(image)
    writer.SetFileNames(list(file_names))
    writer.SetUseCompression(False)
    if len(dictionaries):
        writer.SetMetaDataDictionaryArray(array)
    with kept_locale(), _without_warnings():
        writer.Update()


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Switch ITK's warnings off: GDCMImageIO of ITK 6 warns of each entry that ITK itself put into a dictionary."""
    itk_object = load()["ITKCommonBasePython"].itkObject
    before = itk_object.GetGlobalWarningDisplay()
    itk_object.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        itk_object.SetGlobalWarningDisplay(before)


def write_nothing(file_name: str) -> None:
    """Write a DICOM file of a 2x2 slice, whose Implementation Version Name (0002,0013) names the GDCM in ITK."""
    write_series(np.zeros((1, 2, 2)), "SS", None, (), [file_name])


# ------------------------------------------------------------------------------------------------- the example itself


def example(source: str, output: str, *, keep: bool) -> None:
    """Read the series of a folder and write it to a new folder as ITK's example DicomSeriesReadSeriesWrite does.

    One GDCMImageIO reads and writes, in signed short, as the example has it: what ITK loses or does to its process
    that way is what a user of the example gets. To be called in a process that has run nothing else with ITK.

    Parameters
    ----------
    source
        Folder with the files of a single series.
    output
        Folder to make once the series was read.
    keep
        Switch KeepOriginalUID and LoadPrivateTags on; both are off by default.
    """
    io = _new("itkGDCMImageIOPython", "itkGDCMImageIO")
    if keep:
        io.KeepOriginalUIDOn()
        io.LoadPrivateTagsOn()
    names = series_file_names_class().New()
    names.SetInputDirectory(source)
    reader = _new("itkImageSeriesReaderPython", "itkImageSeriesReaderISS3")
    reader.SetImageIO(io)
    reader.SetFileNames(names.GetInputFileNames())
    reader.Update()
    os.makedirs(output)
    names.SetOutputDirectory(output)
    writer = _new("itkImageSeriesWriterPython", "itkImageSeriesWriterISS3ISS2")
    writer.SetInput(reader.GetOutput())
    writer.SetImageIO(io)
    writer.SetFileNames(names.GetOutputFileNames())
    writer.SetMetaDataDictionaryArray(reader.GetMetaDataDictionaryArray())
    writer.Update()


# -------------------------------------------------------------------------------------------- images and dictionaries


def dictionary_of(image: Any) -> Any:
    """Return the MetaDataDictionary of an image itself."""
    return image.GetMetaDataDictionary()


def differences(first: Any, second: Any) -> list[str]:
    """Return the keys, as ``gggg|eeee``, in which two MetaDataDictionaries differ, sorted."""
    are_wrapped = hasattr(first, "Get") and hasattr(second, "Get")  # those of a pickle are not

    def is_same(key: str) -> bool:
        if not (first.HasKey(key) and second.HasKey(key)):
            return False
        # Copies share their entries, and looking at what these hold takes ten times as long.
        if are_wrapped and int(first.Get(key).this) == int(second.Get(key).this):
            return True
        return bool(first[key] == second[key])

    return [str(key) for key in sorted({*first.GetKeys(), *second.GetKeys()}) if not is_same(key)]


def entries(dictionary: Any) -> dict[str, str]:
    """Return the entries of a MetaDataDictionary that are texts, by key."""
    found = {str(key): dictionary[key] for key in dictionary.GetKeys()}
    return {key: value for key, value in found.items() if isinstance(value, str)}


def size(image: Any) -> tuple[int, ...]:
    """Return the size of an image's BufferedRegion: columns, rows, slices."""
    buffered = image.GetBufferedRegion().GetSize()
    return tuple(int(buffered[axis]) for axis in range(3))


def region(image: Any) -> tuple[int, ...]:
    """Return index and size of an image's LargestPossibleRegion, then of its BufferedRegion."""
    regions = image.GetLargestPossibleRegion(), image.GetBufferedRegion()
    values = [value for part in regions for value in (part.GetIndex(), part.GetSize())]
    return tuple(int(value[axis]) for value in values for axis in range(3))


def pixel_kind(image: Any) -> tuple[int, ...]:
    """Return an empty tuple: the class of an ``itk.Image`` says its dimension and pixel type already."""
    return ()


def geometry(image: Any) -> list[float]:
    """Return origin, spacing and, row by row, direction of an image, in mm and LPS."""
    matrix = image.GetDirection().GetVnlMatrix()
    return [*image.GetOrigin(), *image.GetSpacing(), *(matrix.get(*at) for at in np.ndindex(3, 3))]


def set_direction(image: Any, direction: NDArray[np.float64]) -> None:
    """Set the direction of an image, shape (3, 3); its columns are the axes."""
    present = image.GetDirection()
    matrix = present.GetVnlMatrix()  # a numpy array would do, but make ITK's Python import 70 modules
    for at in np.ndindex(3, 3):
        matrix.set(*at, float(direction[at]))
    image.SetDirection(type(present)(matrix))


def array_view(image: Any, pixel_type: PixelType) -> Array:
    """Return the pixels of an image as an array (z, y, x), samples behind if there are several, that shares its memory.

    ITK's own GetArrayViewFromImage does the same, but its first call imports 58 modules, 0.3 s in every process.
    """
    buffer = getattr(_module("itkPyBufferPython"), f"itkPyBufferI{pixel_type}3")
    size = image.GetBufferedRegion().GetSize()
    memory = np.asarray(buffer._GetArrayViewFromImage(image)).view(DTYPES[pixel_type])
    shape = [int(size[axis]) for axis in (2, 1, 0)]
    if components(pixel_type) > 1:
        shape.append(components(pixel_type))
    view = memory.reshape(shape).view(ImageArray)
    view.image = image
    return view


# --------------------------------------------------------------------------------------------- images of the caller


def copy_of(array_zyx: Array, pixel_type: PixelType, geometry: Sequence[float]) -> Any:
    """Return an ``itk.Image`` that holds a copy of an array, with a geometry as :func:`geometry` returns it.

    An image over the memory of an array would not keep it alive in ITK's pipelines.
    """
    one_pixel = np.zeros((1, 1, 1, *array_zyx.shape[3:]), DTYPES[pixel_type])
    image = type(image_of(one_pixel, pixel_type, None)).New()
    image.SetRegions(list(array_zyx.shape[2::-1]))
    image.Allocate()
    array_view(image, pixel_type)[...] = array_zyx
    image.SetOrigin(list(geometry[:3]))
    image.SetSpacing(list(geometry[3:6]))
    set_direction(image, np.reshape(geometry[6:], (3, 3)))
    return image


def is_image(value: Any) -> bool:
    """Tell whether a value is an image of ITK, such as ``itk.Image`` or ``itk.VectorImage``; nothing is imported."""
    bases = type(value).__mro__
    return any(base.__name__.startswith("itkImageBase") and base.__module__.startswith("itk.") for base in bases)


def pixels(image: Any) -> Array:
    """Return the pixels of any image as an array that shares its memory, shape ([slices,] rows, columns).

    Components stand behind. The pipeline behind the image is brought up to date.
    """
    image.Update()
    array: Array | None = None
    own = [pixel_type for pixel_type in DTYPES if type(image).__name__ == f"itkImage{pixel_type}3"]
    if not own:
        array = importlib.import_module("itk").array_view_from_image(image)
    with suppress(ValueError):  # there is no memory
        array = array_view(image, own[0]) if own else array
    if array is None:
        raise RuntimeError("no pixels")  # its filter is gone and did not run before
    return array


def lattice(image: Any) -> Lattice:
    """Return where the voxels of any image lie: the index of its first voxel need not be 0."""
    region, dimension = image.GetBufferedRegion(), image.GetImageDimension()
    matrix = image.GetDirection().GetVnlMatrix()
    return lattice_of(
        [int(region.GetSize()[axis]) for axis in range(dimension)],
        [*image.GetOrigin()],
        [*image.GetSpacing()],
        [matrix.get(*at) for at in np.ndindex(dimension, dimension)],
        [int(region.GetIndex()[axis]) for axis in range(dimension)],
    )


def write_file(image: Any, path: Path) -> None:
    """Write an image to a file through the ImageIO that its extension tells."""
    with kept_locale():
        importlib.import_module("itk").imwrite(image, str(path))
