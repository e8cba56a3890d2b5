"""The only module that imports ``itk``: its classes, its dictionary array.

ITK is imported inside functions, and only the SWIG modules that the classes used here live in: touching
``itk.ImageSeriesReader`` the documented way loads 92 libraries, 2 seconds and 350 MB.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from itk_roundtrip.itk_io.calls import copy_geometry, kept_locale
from itk_roundtrip.pixels.formats import DTYPES, Array, PixelType, components

SHARES_MEMORY = True
"""Whether an array of an image's pixels is a view of them."""
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
    """Import the modules of ITK that every slab needs, by name."""
    importlib.import_module("itk")
    return {name: importlib.import_module(f"itk.{name}") for name in _MODULES}


def version() -> str:
    """Return the version of ITK."""
    return str(importlib.import_module("itk").__version__)


def _new(module: str, name: str) -> Any:
    return getattr(load()[module], name).New()


def series_file_names(view: str, series_instance_uid: str, output_directory: str) -> tuple[list[str], list[str]]:
    """Order the files of a folder with GDCMSeriesFileNames, and let it name the output.

    Returns
    -------
    tuple
        Input and output file names, in the same order; both empty if ITK does not find exactly this series.
    """
    load()
    # Its module pulls in 60 others, so only the process that orders the files imports it.
    names = importlib.import_module("itk.ITKIOGDCMPython").itkGDCMSeriesFileNames.New()
    names.SetUseSeriesDetails(False)
    names.SetRecursive(False)
    names.SetInputDirectory(view)
    if list(names.GetSeriesUIDs()) != [series_instance_uid]:
        return [], []
    inputs = [str(name) for name in names.GetFileNames(series_instance_uid)]
    names.SetOutputDirectory(output_directory)
    return inputs, [str(name) for name in names.GetOutputFileNames()]


def read_series(file_names: Sequence[str], pixel_type: PixelType) -> tuple[Any, list[Any]]:
    """Read slices with ImageSeriesReader and GDCMImageIO.

    Returns
    -------
    tuple
        An ``itk.Image`` of three dimensions, and one ``itk.MetaDataDictionary`` per slice: copies, which outlive
        the reader.
    """
    reader = _new("itkImageSeriesReaderPython", f"itkImageSeriesReaderI{pixel_type}3")
    reader.SetImageIO(_new("itkGDCMImageIOPython", "itkGDCMImageIO"))
    reader.SetFileNames(list(file_names))
    with kept_locale():
        reader.Update()
    array = reader.GetMetaDataDictionaryArray()
    metadata = copies([array[index] for index in range(len(array))])
    image = reader.GetOutput()
    image.DisconnectPipeline()
    return image, list(metadata)


def copies(dictionaries: Sequence[Any]) -> tuple[Any, ...]:
    """Return copies of MetaDataDictionaries; those in a reader's array die with the reader."""
    dictionary = load()["ITKCommonBasePython"].itkMetaDataDictionary
    return tuple(dictionary(one) for one in dictionaries)


def dictionary_of(image: Any) -> Any:
    """Return the MetaDataDictionary of an image itself."""
    return image.GetMetaDataDictionary()


def first_difference(one: Any, other: Any) -> str | None:
    """Return the first key, as ``gggg|eeee``, in which two MetaDataDictionaries differ."""
    keys = sorted({*one.GetKeys(), *other.GetKeys()})
    return next(
        (str(key) for key in keys if not (one.HasKey(key) and other.HasKey(key) and one[key] == other[key])), None
    )


def size(image: Any) -> tuple[int, ...]:
    """Return how many columns, rows and slices of an image are in memory."""
    held = image.GetBufferedRegion().GetSize()
    return tuple(int(held[axis]) for axis in range(3))


def region(image: Any) -> tuple[int, ...]:
    """Return what of an image there is, and what of it is in memory: index and size of both regions."""
    regions = image.GetLargestPossibleRegion(), image.GetBufferedRegion()
    values = [value for each in regions for value in (each.GetIndex(), each.GetSize())]
    return tuple(int(value[axis]) for value in values for axis in range(3))


def pixel_kind(image: Any) -> tuple[int, ...]:
    """Return nothing: ``itk.Image`` has a class for each dimension and pixel type."""
    return ()


def geometry(image: Any) -> list[float]:
    """Return origin, spacing and, row by row, direction of an image, in mm and LPS."""
    matrix = image.GetDirection().GetVnlMatrix()
    return [*image.GetOrigin(), *image.GetSpacing(), *(matrix.get(*at) for at in np.ndindex(3, 3))]


def set_direction(image: Any, direction: NDArray[np.float64]) -> None:
    """Set the direction of an image, shape (3, 3); its columns are the axes."""
    held = image.GetDirection()
    matrix = held.GetVnlMatrix()  # a numpy array would do, but make ITK's Python import 70 modules
    for at in np.ndindex(3, 3):
        matrix.set(*at, float(direction[at]))
    image.SetDirection(type(held)(matrix))


class ImageArray(np.ndarray[Any, Any]):
    """An array over the memory of an image, which it and all views of it keep alive."""

    image: Any


def array_view(image: Any, pixel_type: PixelType) -> Array:
    """Return the pixels of an image as an array (z, y, x), samples behind if there are several, that shares its memory.

    ITK's own GetArrayViewFromImage does the same, but its first call imports 58 modules, 0.3 s in every process.
    """
    buffer = getattr(load()["itkPyBufferPython"], f"itkPyBufferI{pixel_type}3")
    size = image.GetBufferedRegion().GetSize()
    memory = np.asarray(buffer._GetArrayViewFromImage(image)).view(DTYPES[pixel_type])
    shape = [int(size[axis]) for axis in (2, 1, 0)]
    if components(pixel_type) > 1:
        shape.append(components(pixel_type))
    view = memory.reshape(shape).view(ImageArray)
    view.image = image
    return view


def edit_dictionary(dictionary: Any, edits: Mapping[str, str | None]) -> None:
    """Set or, for ``None``, erase entries ``gggg|eeee`` of a MetaDataDictionary in place."""
    for key, value in edits.items():
        if value is None:
            dictionary.Erase(key)
        else:  # dictionary[key] = value would import 58 modules to do the same
            entry = _new("itkMetaDataObjectPython", "itkMetaDataObjectS")
            entry.SetMetaDataObjectValue(value)
            dictionary.Set(key, entry)


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
    buffer = getattr(load()["itkPyBufferPython"], f"itkPyBufferI{pixel_type}3")
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

    Parameters
    ----------
    array_zyx
        The pixels, shape (slices, rows, columns).
    pixel_type
        Of the image that is made of them.
    like
        Image that lends its geometry, if any.
    dictionaries
        One MetaDataDictionary per slice, or none at all.
    file_names
        One per slice.
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
    with kept_locale():
        writer.Update()


def example(source: str, output: str, *, keep: bool) -> None:
    """Read the series of a folder and write it to a new folder as ITK's example DicomSeriesReadSeriesWrite does.

    One GDCMImageIO reads and writes, in signed short, as the example has it: what ITK loses or does to its process
    that way is what a user of the example gets. To be called in a process that has run nothing else with ITK.

    Parameters
    ----------
    source
        Folder with the files of one series.
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


def series_file_names_class() -> Any:
    """Return GDCMSeriesFileNames, whose module pulls in 60 others."""
    load()
    return importlib.import_module("itk.ITKIOGDCMPython").itkGDCMSeriesFileNames


def write_nothing(file_name: str) -> None:
    """Write a DICOM file with hardly anything in it, for what it says of its writer."""
    write_series(np.zeros((1, 2, 2)), "SS", None, (), [file_name])
