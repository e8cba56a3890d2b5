"""GDCMImageIO cuts values of VR FL and FD to six digits.

Needs itk, numpy and pydicom. Exit code 2: reproduced; 0: not reproduced.
"""

import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import itk
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

VALUES = {
    "DiffusionBValue": 1234.5678901234567,  # (0018,9087) FD 1
    "DiffusionGradientOrientation": [0.123456789012345, 0.70710678118654757, -0.6963106238227914],  # (0018,9089) FD 3
    "IsocenterPosition": ["1.23456789", "2.5", "-3.125"],  # (300A,012C) DS, for comparison: a text stays as it is
    "TableSpeed": 26.666666666666668,  # (0018,9309) FD 1
    "RecommendedDisplayFrameRateInFloat": 29.970029830932617,  # (0008,9459) FL 1
}


def write_source(file: Path) -> None:
    """Write an image of 4 x 4 pixels with attributes of VR FL and FD."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.Modality, dataset.PatientID = "OT", "1"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = 4
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.PixelData = np.arange(16, dtype=np.uint16).tobytes()
    for keyword, value in VALUES.items():
        setattr(dataset, keyword, value)
    dataset.save_as(file, enforce_file_format=True)


def main() -> int:
    """Print what was expected, what is in ITK's dictionary and what is in the written file."""
    print(f"ITK {version('itk-io')}")
    differ = False
    image_type = itk.Image[itk.US, 2]
    with tempfile.TemporaryDirectory() as folder:
        source, written = Path(folder) / "source.dcm", Path(folder) / "written.dcm"
        write_source(source)
        reader = itk.ImageFileReader[image_type].New(FileName=str(source), ImageIO=itk.GDCMImageIO.New())
        reader.Update()
        writer = itk.ImageFileWriter[image_type].New(FileName=str(written), ImageIO=itk.GDCMImageIO.New())
        writer.SetInput(reader.GetOutput())
        writer.Update()
        before, after = pydicom.dcmread(source), pydicom.dcmread(written)
        dictionary = reader.GetOutput().GetMetaDataDictionary()
        for keyword in VALUES:
            tag = before[keyword].tag
            text = dictionary[f"{tag.group:04x}|{tag.element:04x}"]
            expected, seen = before[keyword].value, after[keyword].value
            differ = differ or expected != seen
            print(f"{keyword} ({before[keyword].VR}): expected {expected}, in the dictionary {text!r}, seen {seen}")
    print("reproduced" if differ else "not reproduced")
    return 2 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
