"""Peer: ITK's example DicomSeriesReadSeriesWrite in Python, as documented. Usage: plain_itk.py SRC DST"""

import os
import sys

import itk


def main(source: str, output: str) -> None:
    """Read the series of `source` into a volume and write it to `output` with its dictionary array."""
    image_type = itk.Image[itk.SS, 3]
    slice_type = itk.Image[itk.SS, 2]
    dicom_io = itk.GDCMImageIO.New()
    names = itk.GDCMSeriesFileNames.New()
    names.SetInputDirectory(source)

    reader = itk.ImageSeriesReader[image_type].New()
    reader.SetImageIO(dicom_io)
    reader.SetFileNames(names.GetInputFileNames())
    reader.Update()

    os.makedirs(output)
    names.SetOutputDirectory(output)
    writer = itk.ImageSeriesWriter[image_type, slice_type].New()
    writer.SetInput(reader.GetOutput())
    writer.SetImageIO(dicom_io)
    writer.SetFileNames(names.GetOutputFileNames())
    writer.SetMetaDataDictionaryArray(reader.GetMetaDataDictionaryArray())
    writer.Update()


if __name__ == "__main__":
    main(*sys.argv[1:])
