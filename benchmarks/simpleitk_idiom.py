"""Peer: SimpleITK's example DicomSeriesReadModifyWrite. Usage: simpleitk_idiom.py SRC DST [--median]

The example also loads private tags. With the private blocks of this benchmark SimpleITK then refuses to write
any slice (gdcmStringFilter.cxx, "An invalid logic behavior occurred"), so they are not loaded here.
"""

import contextlib
import os
import sys

import SimpleITK as sitk


def main(source: str, output: str, modify: str = "") -> None:
    """Read the first series of `source`; write it slice by slice to `output`, each with its metadata."""
    identifiers = sitk.ImageSeriesReader.GetGDCMSeriesIDs(source)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(source, identifiers[0]))
    reader.MetaDataDictionaryArrayUpdateOn()
    volume = reader.Execute()
    if modify == "--median":
        volume = sitk.Median(volume, [1] * 3)

    os.makedirs(output)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for index in range(volume.GetDepth()):
        image = volume[:, :, index]
        for key in reader.GetMetaDataKeys(index):
            with contextlib.suppress(TypeError, UnicodeError):  # Latin-1 text cannot be set: it is lost
                image.SetMetaData(key, reader.GetMetaData(index, key))
        writer.SetFileName(os.path.join(output, f"{index}.dcm"))
        writer.Execute(image)


if __name__ == "__main__":
    main(*sys.argv[1:])
