"""GDCMImageIO writes uninitialised memory into binary attributes of VM 1-n.

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
    "SimpleFrameList": [1, 2, 3],  # (0008,1161) UL
    "FrameIncrementPointer": [0x00181063],  # (0028,0009) AT
    "EnergyWindowVector": [1, 2, 3, 4],  # (0054,0010) US
    "InversionTimes": [150.0, 300.0],  # (0018,9079) FD
}


def write_source(file: Path) -> None:
    """Write an image of 4 x 4 pixels with attributes whose VM is 1-n."""
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
    for keyword, values in VALUES.items():
        setattr(dataset, keyword, values)
    dataset.save_as(file, enforce_file_format=True)


def read_and_write(source: Path, written: Path) -> None:
    """Read a file and write it again with the dictionary that was read."""
    image_type = itk.Image[itk.US, 2]
    reader = itk.ImageFileReader[image_type].New(FileName=str(source), ImageIO=itk.GDCMImageIO.New())
    reader.Update()
    writer = itk.ImageFileWriter[image_type].New(FileName=str(written), ImageIO=itk.GDCMImageIO.New())
    writer.SetInput(reader.GetOutput())
    writer.Update()


def main() -> int:
    """Print what was expected and what is in the written file."""
    print(f"ITK {version('itk-io')}")
    differ = False
    with tempfile.TemporaryDirectory() as folder:
        source, written = Path(folder) / "source.dcm", Path(folder) / "written.dcm"
        write_source(source)
        read_and_write(source, written)
        before, after = pydicom.dcmread(source), pydicom.dcmread(written)
    for keyword in VALUES:
        expected, seen = before[keyword].value, after[keyword].value if keyword in after else "absent"
        differ = differ or expected != seen
        print(f"{keyword}: expected {expected}, seen {seen}")
    print("reproduced" if differ else "not reproduced")
    return 2 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
