"""The only module that imports SimpleITK: a second decoder for compressed sources, and a reader of any image."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from numpy.typing import NDArray


def stored_values(path: Path) -> NDArray[Any]:
    """Return the stored values, shape (rows, columns), of a file that shows no rescale and no MONOCHROME1."""
    import SimpleITK

    module: Any = SimpleITK
    module.ProcessObject.GlobalWarningDisplayOff()
    reader = module.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    array: NDArray[Any] = module.GetArrayFromImage(reader.Execute())
    return array.reshape(array.shape[-2:])


def read_image(path: Path) -> tuple[NDArray[Any], tuple[float, ...], tuple[float, ...], NDArray[Any]]:
    """Read any image that ITK reads: its array (z, y, x), origin and spacing in mm, (x, y, z), and direction."""
    import numpy
    import SimpleITK

    module: Any = SimpleITK
    module.ProcessObject.GlobalWarningDisplayOff()
    image = module.ReadImage(str(path))
    size = image.GetDimension()
    direction = numpy.array(image.GetDirection()).reshape(size, size)
    return module.GetArrayFromImage(image), image.GetOrigin(), image.GetSpacing(), direction


def load() -> Any:
    """Import SimpleITK."""
    import SimpleITK

    return SimpleITK


def version() -> str:
    """Return the version of SimpleITK."""
    return str(load().Version.VersionString())


def write_nothing(file_name: str) -> None:
    """Write a DICOM file with hardly anything in it, for what it says of its writer."""
    module = load()
    module.WriteImage(module.Image(2, 2, module.sitkInt16), file_name)


def example(source: str, output: str, *, private: bool) -> None:
    """Read the series of a folder and write it to a new folder as SimpleITK's example DicomSeriesReadModifyWrite does.

    One ImageFileWriter writes slice by slice with KeepOriginalImageUID on; every entry of the metadata is copied,
    not only the few that the example names. To be called in a process that has run nothing else with SimpleITK.

    Parameters
    ----------
    source
        Folder with the files of one series.
    output
        Folder to make once the series was read.
    private
        Switch LoadPrivateTags on, as the example does.
    """
    module = load()
    found = module.ImageSeriesReader.GetGDCMSeriesIDs(source)
    if not found:
        raise RuntimeError("no series")
    reader = module.ImageSeriesReader()
    reader.SetFileNames(module.ImageSeriesReader.GetGDCMSeriesFileNames(source, found[0]))
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
