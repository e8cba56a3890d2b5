"""Write deterministic CT-like series. Usage: make_series.py FOLDER COUNT [--size 512] [--per-series N] [--enhanced]

Stored values are unsigned, 12 of 16 bits, intercept -1024, Explicit VR Little Endian. The header has the size
of a scanner's: about 120 attributes, among them sequences, private blocks with their creators, two windows,
decimal strings with many digits and a Latin-1 name. The same arguments always give the same bytes (with the
same pydicom, which names its version in the file). Everybody in the files is invented. With --enhanced, the slices
are the frames of a single Enhanced CT instance, each with its functional groups.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian

SLICE_DISTANCE_MM = 0.625

# Attributes equal in every file, by keyword; the text is Latin-1 when written.
COMMON: dict[str, object] = {
    "SpecificCharacterSet": "ISO_IR 100",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"],
    "SOPClassUID": CTImageStorage,
    "StudyDate": "20240311",
    "SeriesDate": "20240311",
    "AcquisitionDate": "20240311",
    "ContentDate": "20240311",
    "StudyTime": "101502.125000",
    "SeriesTime": "101733.406000",
    "AccessionNumber": "A20240311-77",
    "Modality": "CT",
    "Manufacturer": "Example Scanners AG",
    "InstitutionName": "Klinikum Süd",
    "InstitutionAddress": "Große Straße 1, Köln",
    "ReferringPhysicianName": "Lefèvre^Zoë",
    "StationName": "CT01",
    "StudyDescription": "CT Thorax Abdomen",
    "SeriesDescription": "Thorax 0.6 B30f, venös",
    "InstitutionalDepartmentName": "Radiologie",
    "PhysiciansOfRecord": "Nuñez^Inés",
    "PerformingPhysicianName": "Åberg^Sören",
    "OperatorsName": "Brandão^Inês",
    "ManufacturerModelName": "Model 64",
    "PatientName": "Müller^Jörg",
    "PatientID": "P-000417",
    "PatientBirthDate": "19610704",
    "PatientSex": "M",
    "PatientAge": "062Y",
    "PatientSize": "1.78",
    "PatientWeight": "81.5",
    "AdditionalPatientHistory": "Husten seit drei Wochen",
    "PatientComments": "for benchmarks only",
    "ContrastBolusAgent": "Iohexol",
    "BodyPartExamined": "CHEST",
    "ScanOptions": "HELIX",
    "SliceThickness": "0.6",
    "KVP": "120",
    "DataCollectionDiameter": "500",
    "DeviceSerialNumber": "66001",
    "SoftwareVersions": ["syngo CT 2012B", "VA48A"],
    "ProtocolName": "ThorAbd_Routine",
    "ContrastBolusRoute": "IV",
    "ContrastBolusVolume": "90",
    "ReconstructionDiameter": "499.2",
    "DistanceSourceToDetector": "1085.6",
    "DistanceSourceToPatient": "595",
    "GantryDetectorTilt": "0",
    "TableHeight": "146.5",
    "RotationDirection": "CW",
    "ExposureTime": "500",
    "XRayTubeCurrent": "231",
    "Exposure": "96",
    "FilterType": "FLAT",
    "GeneratorPower": "36",
    "FocalSpots": "1.2",
    "ConvolutionKernel": "B30f",
    "PatientPosition": "HFS",
    "SingleCollimationWidth": 0.6,
    "TotalCollimationWidth": 38.4,
    "TableSpeed": 46.08,
    "TableFeedPerRotation": 23.04,
    "SpiralPitchFactor": 0.6,
    "CTDIvol": 6.482736451,
    "StudyID": "7701",
    "AcquisitionNumber": "3",
    "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
    "ImageComments": "venöse Phase",
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "BitsAllocated": 16,
    "BitsStored": 12,
    "HighBit": 11,
    "PixelRepresentation": 0,
    "SmallestImagePixelValue": 0,
    "LargestImagePixelValue": 4095,
    "WindowCenter": ["50", "-600"],
    "WindowWidth": ["350", "1200"],
    "RescaleIntercept": "-1024",
    "RescaleSlope": "1",
    "RescaleType": "HU",
    "WindowCenterWidthExplanation": ["WINDOW1", "WINDOW2"],
    "RequestingPhysician": "Lefèvre^Zoë",
    "RequestedProcedureDescription": "CT Thorax mit Kontrastmittel",
    "PerformedProcedureStepStartDate": "20240311",
    "PerformedProcedureStepStartTime": "101502.125000",
    "PerformedProcedureStepID": "PPS7701",
    "PerformedProcedureStepDescription": "CT Thorax",
    "RequestedProcedureID": "RP7701",
}


def uid(*parts: object) -> str:
    """Return the 2.25 UID that belongs to these words, always the same."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:15], 'big')}"


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return a code sequence item."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def reference(number: int) -> Dataset:
    """Return an item that refers to an earlier CT instance."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, uid("earlier", number)
    return item


def common_header(size: int) -> Dataset:
    """Return the attributes that all files share."""
    header = Dataset()
    for keyword, value in COMMON.items():
        setattr(header, keyword, value)
    header.Rows = header.Columns = size
    header.PixelSpacing = [f"{499.2 / size:.8f}"] * 2
    header.StudyInstanceUID = uid("study")
    header.FrameOfReferenceUID = uid("frame of reference")

    header.ReferencedImageSequence = [reference(number) for number in range(3)]
    header.SourceImageSequence = [reference(3)]
    header.ProcedureCodeSequence = [code("CTTHOR", "99EXAMPLE", "CT Thorax")]
    header.AnatomicRegionSequence = [code("51185008", "SCT", "Chest")]
    study = Dataset()
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", uid("step")
    header.ReferencedPerformedProcedureStepSequence = [study]
    request = Dataset()
    request.ScheduledProcedureStepDescription = "CT Thorax, nüchtern"
    request.ScheduledProcedureStepID = "SPS7701"
    request.RequestedProcedureID = "RP7701"
    request.ScheduledProtocolCodeSequence = [code("THORKM", "99EXAMPLE", "Thorax mit KM")]
    header.RequestAttributesSequence = [request]

    coad = header.private_block(0x0019, "SIEMENS CT VA0  COAD", create=True)
    coad.add_new(0x92, "DS", "1.2")
    coad.add_new(0x96, "LO", "STANDARD")
    medcom = header.private_block(0x0029, "SIEMENS MEDCOM HEADER", create=True)
    medcom.add_new(0x08, "CS", "SOM 5 TPOS")
    medcom.add_new(0x09, "LO", "VA48A")
    medcom.add_new(0x10, "OB", bytes(range(256)) * 4)
    own = header.private_block(0x0045, "EXAMPLE SCANNERS 1", create=True)
    own.add_new(0x01, "LO", "reconstruction job 417")
    own.add_new(0x02, "DS", ["0.123456", "-7.5"])
    own.add_new(0x03, "SH", "B30f")
    return header


def phantom(size: int) -> np.ndarray:
    """Return one slice of stored values in 0..4095: air, an oval body with noise, two lungs."""
    rng = np.random.default_rng(20240311)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    body = (x / 0.8) ** 2 + (y / 0.6) ** 2 < 1
    lungs = ((np.abs(x) - 0.35) / 0.25) ** 2 + (y / 0.4) ** 2 < 1
    values = np.where(lungs, 200, np.where(body, 1070, 20)) + rng.normal(0, 12, (size, size))
    return np.clip(np.rint(values), 0, 4095).astype("<u2")


def make(folder: Path, count: int, size: int, per_series: int) -> None:
    """Write `count` files into `folder`, a new series after every `per_series` of them."""
    folder.mkdir(parents=True)
    header, base = common_header(size), phantom(size)
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    own = header.private_block(0x0045, "EXAMPLE SCANNERS 1")
    for index in range(count):
        series, number = divmod(index, per_series)
        position_mm = -812.3751953125 + number * SLICE_DISTANCE_MM
        minutes, seconds = divmod(33 + number // 100, 60)
        clock = f"10{17 + minutes}{seconds:02d}.{number % 100:02d}5000"
        header.SeriesInstanceUID = uid("series", count, size, series)
        header.SOPInstanceUID = uid("instance", count, size, index)
        header.SeriesNumber, header.InstanceNumber = series + 1, number + 1
        header.AcquisitionTime = header.ContentTime = clock
        header.ImagePositionPatient = ["-249.5117188", "-396.0117188", f"{position_mm:.10f}"]
        header.SliceLocation = f"{position_mm:.10f}"
        own.add_new(0x04, "DS", f"{position_mm:.10f}")
        header.PixelData = np.roll(base, number, axis=1).tobytes()
        header.save_as(folder / f"IM{index:05d}.dcm", enforce_file_format=True)


def item(**values: object) -> Dataset:
    """Return an item with attributes by keyword."""
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def make_enhanced(folder: Path, count: int, size: int) -> None:
    """Write one instance of `count` frames into `folder` (PS3.3 A.38, C.7.6.16)."""
    folder.mkdir(parents=True)
    header, base = common_header(size), phantom(size)
    for keyword in ("ImageOrientationPatient", "PixelSpacing", "SliceThickness", "RescaleIntercept", "RescaleSlope",
                    "RescaleType", "WindowCenter", "WindowWidth", "WindowCenterWidthExplanation",
                    "SmallestImagePixelValue", "LargestImagePixelValue"):  # fmt: skip
        delattr(header, keyword)
    header.SOPClassUID, header.NumberOfFrames = EnhancedCTImageStorage, count
    header.SeriesInstanceUID, header.SOPInstanceUID = uid("enhanced series", count), uid("enhanced", count)
    header.SeriesNumber = header.InstanceNumber = 1
    header.SharedFunctionalGroupsSequence = [
        item(
            PixelMeasuresSequence=[item(PixelSpacing=[f"{499.2 / size:.8f}"] * 2, SliceThickness="0.6")],
            PlaneOrientationSequence=[item(ImageOrientationPatient=["1", "0", "0", "0", "1", "0"])],
            PixelValueTransformationSequence=[item(RescaleIntercept="-1024", RescaleSlope="1", RescaleType="HU")],
            FrameVOILUTSequence=[item(WindowCenter="50", WindowWidth="350")],
        )
    ]
    header.PerFrameFunctionalGroupsSequence = [
        item(
            FrameContentSequence=[
                item(FrameAcquisitionNumber=3, DimensionIndexValues=[1, number + 1], StackID="1",
                     InStackPositionNumber=number + 1, FrameReferenceDateTime=f"20240311101733.{number:06d}")
            ],
            PlanePositionSequence=[
                item(ImagePositionPatient=["-249.5117188", "-396.0117188", f"{-812.375 + number * SLICE_DISTANCE_MM}"])
            ],
            CTImageFrameTypeSequence=[
                item(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], PixelPresentation="MONOCHROME",
                     VolumetricProperties="VOLUME", VolumeBasedCalculationTechnique="NONE")
            ],
        )
        for number in range(count)
    ]  # fmt: skip
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.PixelData = b"".join(np.roll(base, number, axis=1).tobytes() for number in range(count))
    header.save_as(folder / "IM00000.dcm", enforce_file_format=True)


def main() -> None:
    """Read the command line and write the files."""
    parser = argparse.ArgumentParser(description="Write deterministic CT-like series.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("--size", type=int, default=512, help="rows and columns (512)")
    parser.add_argument("--per-series", type=int, help="files of one series (all)")
    parser.add_argument("--enhanced", action="store_true", help="one Enhanced CT instance of COUNT frames")
    options = parser.parse_args()
    if options.enhanced:
        make_enhanced(options.folder, options.count, options.size)
        return
    make(options.folder, options.count, options.size, options.per_series or options.count)


if __name__ == "__main__":
    main()
