"""Defects that tools in the field have put into written series, as data: what to change, and what must say so.

Each is planted with pydicom into a correct output; every element that a plant does not touch stands as it stood.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
from pydicom import uid
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from synthetic import make_uid

Plant = Callable[[Any], None]
"""Changes one data set in place; the test puts its source under ``source``."""


def put(keyword: str, value: Any) -> Plant:
    """Set an attribute of the top level."""
    return lambda dataset: setattr(dataset, keyword, value)


def lose(keyword: str) -> Plant:
    """Delete an attribute of the top level."""
    return lambda dataset: delattr(dataset, keyword)


def put_raw(tag: int, value: bytes, vr: str | None = None) -> Plant:
    """Set the value bytes of an element, and its VR if given, undecoded."""

    def plant(dataset: Dataset) -> None:
        old = dataset.get_item(tag)
        assert isinstance(old, RawDataElement)
        assert (old.value, old.VR) != (value, vr or old.VR)
        dataset[tag] = old._replace(value=value, length=len(value), VR=vr or old.VR)

    return plant


def pixel(position: int, bits: int) -> Plant:
    """Flip bits of one byte of the pixel data."""

    def plant(dataset: Dataset) -> None:
        content = bytearray(dataset.PixelData)
        content[position] ^= bits
        dataset.PixelData = bytes(content)

    return plant


def of_source(keyword: str) -> Plant:
    """Put back what the source had; planted by the test, which knows the source."""
    return lambda dataset: setattr(dataset, keyword, getattr(dataset.source, keyword))


def nested(change: Plant) -> Plant:
    """Change an item two levels down."""
    return lambda dataset: change(dataset.RequestAttributesSequence[0].ScheduledProtocolCodeSequence[1])


def last(sequence: str, change: Plant) -> Plant:
    """Change the item that the round trip added."""
    return lambda dataset: change(getattr(dataset, sequence)[-1])


def first(sequence: str, change: Plant) -> Plant:
    """Change the first item, which is the source's."""
    return lambda dataset: change(getattr(dataset, sequence)[0])


def meta(keyword: str, value: str) -> Plant:
    """Set an attribute of the file meta information."""
    return lambda dataset: setattr(dataset.file_meta, keyword, value)


def purpose(code: str) -> Plant:
    """Set the code of the purpose of a reference."""
    return lambda item: setattr(item.PurposeOfReferenceCodeSequence[0], "CodeValue", code)


def reference_to(dataset: Dataset) -> Dataset:
    """Return an item that refers to a data set."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    return item


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return an item that holds a code."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def both(*plants: Plant) -> Plant:
    """Plant several defects that belong together."""

    def plant(dataset: Dataset) -> None:
        for one in plants:
            one(dataset)

    return plant


Defect = tuple[Plant, str, str | None]
"""What to change, the id of the check that must say so, and the tag that it must name."""

WARNED = frozenset({"DER-04", "FIL-02"})
"""Checks that warn; all others fail the verification."""

DEFECTS: dict[str, Defect] = {
    # pixels
    "pixel off by one": (pixel(8, 1), "PIX-02", "(7FE0,0010)"),
    "bit above Bits Stored": (pixel(9, 0x40), "PIX-02", "(7FE0,0010)"),
    "pixels cut": (lambda d: setattr(d, "PixelData", d.PixelData[:-2]), "FIL-01", "(7FE0,0010)"),
    "pixels lost": (lose("PixelData"), "FIL-01", "(7FE0,0010)"),
    "pixels of more than one frame": (lambda d: setattr(d, "PixelData", d.PixelData * 2), "PIX-02", "(7FE0,0010)"),
    "Bits Stored": (both(put("BitsStored", 16), put("HighBit", 15)), "HDR-01", "(0028,0101)"),
    "sign": (put("PixelRepresentation", 1), "HDR-01", "(0028,0103)"),
    "rescale": (put("RescaleIntercept", "0"), "PIX-02", "(0028,1052)"),
    "Rescale Type added": (put("RescaleType", "US"), "HDR-02", "(0028,1054)"),
    # values
    "private byte": (put_raw(0x00091002, b"\0\1\2\3\4\5\7\0"), "HDR-01", "(0009,1002)"),
    "private creator": (put_raw(0x00090010, b"INVENTED MAKER 2.0"), "HDR-01", "(0009,0010)"),
    "private element lost": (lambda d: d.pop(Tag(0x00091005)), "HDR-01", "(0009,1005)"),
    "VR of a private element": (put_raw(0x00091005, b"\1\2\3\4", "OB"), "HDR-01", "(0009,1005)"),
    "VR of an attribute": (put_raw(0x00280106, b"\7\0", "SS"), "HDR-01", "(0028,0106)"),
    "FD cut to 6 digits": (put("CTDIvol", 12.3457), "HDR-01", "(0018,9345)"),
    "position printed anew": (put_raw(0x00200032, b"-125\\-130.5\\9.75 "), "GEO-01", "(0020,0032)"),
    "decimal string printed anew": (put_raw(0x00181130, b"-250"), "HDR-01", "(0018,1130)"),
    "orientation lost": (lose("ImageOrientationPatient"), "GEO-01", "(0020,0037)"),
    "Slice Location recomputed": (put("SliceLocation", "-9.75"), "GEO-02", "(0020,1041)"),
    "spacing": (put("SpacingBetweenSlices", "1"), "GEO-02", "(0018,0088)"),
    "empty attribute lost": (lose("AccessionNumber"), "CNT-01", "(0008,0050)"),
    "empty attribute filled": (put("AccessionNumber", "1"), "CNT-01", "(0008,0050)"),
    "patient": (put("PatientID", "INVENTED-2"), "CNT-01", "(0010,0020)"),
    "text relabelled": (put("SpecificCharacterSet", "ISO_IR 192"), "HDR-04", "(0008,0005)"),
    "text encoded anew": (put_raw(0x00204000, "Größe übernächst".encode()), "HDR-01", "(0020,4000)"),
    "name encoded anew": (put_raw(0x00100010, "Müßig^Jörg".encode()), "CNT-01", "(0010,0010)"),
    "lossy history wiped": (put("LossyImageCompression", "00"), "LOS-01", "(0028,2110)"),
    "time zone added": (put("TimezoneOffsetFromUTC", "+0100"), "TIM-01", "(0008,0201)"),
    "study": (put("StudyInstanceUID", "2.25.1"), "UID-03", "(0020,000D)"),
    "frame of reference": (put("FrameOfReferenceUID", "2.25.1"), "UID-03", "(0020,0052)"),
    "SOP Class": (
        both(put("SOPClassUID", uid.MRImageStorage), meta("MediaStorageSOPClassUID", uid.MRImageStorage)),
        "CNT-01",
        "(0008,0016)",
    ),
    "acquisition time": (put("AcquisitionTime", "100002"), "TIM-01", "(0008,0032)"),
    "Instance Number": (put("InstanceNumber", "99"), "HDR-01", "(0020,0013)"),
    "Instance Number emptied": (put("InstanceNumber", None), "HDR-01", "(0020,0013)"),
    # sequences
    "nested value": (nested(put("CodeMeaning", "Three")), "HDR-01", "(0040,0275)"),
    "nested element added": (nested(put("CodingSchemeVersion", "1")), "HDR-02", "(0040,0275)"),
    "nested element lost": (nested(lose("CodingSchemeDesignator")), "HDR-01", "(0040,0275)"),
    "item lost": (lambda d: d.RequestAttributesSequence.pop(), "HDR-01", "(0040,0275)"),
    "item added": (lambda d: d.AnatomicRegionSequence.append(Dataset()), "HDR-02", "(0008,2218)"),
    "items swapped": (lambda d: d.RequestAttributesSequence.reverse(), "HDR-01", "(0040,0275)"),
    "sequence lost": (lose("AnatomicRegionSequence"), "HDR-01", "(0008,2218)"),
    "older derivation code lost": (lambda d: d.DerivationCodeSequence.pop(0), "DER-02", "(0008,9215)"),
    # identity
    "SOP Instance UID reused": (
        lambda d: both(of_source("SOPInstanceUID"), meta("MediaStorageSOPInstanceUID", d.source.SOPInstanceUID))(d),
        "UID-02",
        "(0008,0018)",
    ),
    "Series Instance UID reused": (of_source("SeriesInstanceUID"), "UID-01", "(0020,000E)"),
    "UID made of the source's": (
        lambda d: setattr(d, "SeriesInstanceUID", d.source.SeriesInstanceUID + ".1"), "UID-04", "(0020,000E)",
    ),
    "UID with a leading zero": (put("SeriesInstanceUID", "2.25.007"), "UID-04", "(0020,000E)"),
    "UID lost": (lose("SeriesInstanceUID"), "UID-04", "(0020,000E)"),
    "UUID beyond 128 bits": (put("SeriesInstanceUID", f"2.25.{1 << 128}"), "UID-04", "(0020,000E)"),
    "not DERIVED": (put("ImageType", ["ORIGINAL", "SECONDARY", "AXIAL", "INVENTED"]), "TYP-01", "(0008,0008)"),
    "Image Type value 2": (put("ImageType", ["DERIVED", "OTHER", "AXIAL", "INVENTED"]), "TYP-02", "(0008,0008)"),
    "Image Type value 3 lost": (put("ImageType", ["DERIVED", "SECONDARY"]), "TYP-01", "(0008,0008)"),
    "Image Type values moved": (
        put("ImageType", ["DERIVED", "SECONDARY", "INVENTED", "AXIAL"]), "TYP-01", "(0008,0008)",
    ),
    "creation date lost": (lose("InstanceCreationDate"), "TIM-01", "(0008,0012)"),
    "creation of the source": (
        both(of_source("InstanceCreationDate"), of_source("InstanceCreationTime")), "TIM-01", "(0008,0012)",
    ),
    "creation time no time": (put_raw(0x00080013, b"now "), "TIM-01", "(0008,0013)"),
    "Series Number lost": (lose("SeriesNumber"), "HDR-04", "(0020,0011)"),
    "Series Number no number": (put_raw(0x00200011, b"one "), "HDR-04", "(0020,0011)"),
    # texts
    "Series Description without the old text": (put("SeriesDescription", "ITK round trip"), "HDR-04", "(0008,103E)"),
    "Series Description too long": (
        lambda d: setattr(d, "SeriesDescription", d.SeriesDescription + "x" * 40), "HDR-04", "(0008,103E)",
    ),
    "Series Description lost": (lose("SeriesDescription"), "HDR-04", "(0008,103E)"),
    "derivation without the phrase": (put("DerivationDescription", "Invented reformat; x"), "DER-01", "(0008,2111)"),
    "derivation without the old text": (put("DerivationDescription", "stored values unchanged"), "DER-01",
                                        "(0008,2111)"),
    "derivation too long": (
        lambda d: setattr(d, "DerivationDescription", d.DerivationDescription + "x" * 1000), "DER-01", "(0008,2111)",
    ),
    "derivation lost": (lose("DerivationDescription"), "DER-01", "(0008,2111)"),
    # references
    "reference to another slice": (
        last("SourceImageSequence", put("ReferencedSOPInstanceUID", make_uid("instance", 0, 0))),
        "DER-03",
        "(0008,2112)",
    ),
    "reference of another class": (
        last("SourceImageSequence", put("ReferencedSOPClassUID", uid.MRImageStorage)), "DER-03", "(0008,2112)",
    ),
    "reference for another purpose": (last("SourceImageSequence", purpose("121320")), "DER-03", "(0008,2112)"),
    "reference without a purpose": (
        last("SourceImageSequence", lose("PurposeOfReferenceCodeSequence")), "DER-03", "(0008,2112)",
    ),
    "reference lost": (lambda d: d.SourceImageSequence.pop(), "DER-03", "(0008,2112)"),
    "older reference changed": (
        first("SourceImageSequence", put("ReferencedSOPInstanceUID", "2.25.1")), "DER-03", "(0008,2112)",
    ),
    "older reference behind ours": (lambda d: d.SourceImageSequence.reverse(), "DER-03", "(0008,2112)"),
    "locations not preserved": (
        last("SourceImageSequence", put("SpatialLocationsPreserved", "NO")), "DER-04", "(0008,2112)",
    ),
    "referenced series lost": (lambda d: d.ReferencedSeriesSequence.pop(), "DER-04", "(0008,1115)"),
    "other referenced series changed": (
        first("ReferencedSeriesSequence", put("SeriesInstanceUID", "2.25.1")), "DER-04", "(0008,1115)",
    ),
    "referenced series of another SOP Class": (
        lambda d: setattr(d.ReferencedSeriesSequence[-1].ReferencedInstanceSequence[-1], "ReferencedSOPClassUID",
                          uid.MRImageStorage), "DER-04", "(0008,1115)",
    ),
    "other referenced series lost": (lambda d: d.ReferencedSeriesSequence.pop(0), "DER-04", "(0008,1115)"),
    "series refers to another slice": (
        lambda d: setattr(
            d.ReferencedSeriesSequence[-1].ReferencedInstanceSequence[0], "ReferencedSOPInstanceUID", "2.25.1"
        ),
        "DER-04",
        "(0008,1115)",
    ),
    "equipment lost": (lambda d: d.ContributingEquipmentSequence.pop(), "EQP-01", "(0018,A001)"),
    "equipment without a maker": (
        last("ContributingEquipmentSequence", put("Manufacturer", "")), "EQP-01", "(0018,A001)",
    ),
    "equipment for another purpose": (last("ContributingEquipmentSequence", purpose("109104")), "EQP-01",
                                      "(0018,A001)"),
    "older equipment changed": (
        first("ContributingEquipmentSequence", put("Manufacturer", "Nobody")), "EQP-01", "(0018,A001)",
    ),
    # what must be gone
    "signature left": (of_source("DigitalSignaturesSequence"), "STL-01", "(FFFA,FFFA)"),
    "signature's algorithm left": (of_source("MACParametersSequence"), "STL-01", "(4FFE,0001)"),
    "status added": (put("SOPInstanceStatus", "AO"), "STL-01", "(0100,0410)"),
    # files
    "file meta instance": (meta("MediaStorageSOPInstanceUID", "2.25.1"), "FIL-01", "(0002,0003)"),
    "file meta class": (meta("MediaStorageSOPClassUID", uid.MRImageStorage), "FIL-01", "(0002,0002)"),
    "file meta class lost": (lambda d: d.file_meta.pop("MediaStorageSOPClassUID"), "FIL-01", "(0002,0002)"),
    "equipment's purpose with another meaning": (
        last("ContributingEquipmentSequence",
             lambda i: setattr(i.PurposeOfReferenceCodeSequence[0], "CodeMeaning", "Rubbish")), "EQP-01", "(0018,A001)",
    ),
    "text of an added item too long": (
        last("ContributingEquipmentSequence", put("Manufacturer", "m" * 65)), "HDR-04", "(0018,A001)",
    ),
    "time of an added item no time": (
        lambda d: put_raw(0x0018A002, b"soon")(d.ContributingEquipmentSequence[-1]), "HDR-04", "(0018,A001)",
    ),
    "UID of an added item invalid": (
        lambda d: setattr(d.ReferencedSeriesSequence[-1], "SeriesInstanceUID", "1.02.3"), "UID-04", "(0008,1115)",
    ),
    "reference to itself": (
        lambda d: d.SourceImageSequence.append(reference_to(d)), "DER-03", "(0008,2112)",
    ),
    "a second pixel element": (lambda d: d.add_new(0x7FE00008, "OF", bytes(120)), "HDR-02", "(7FE0,0008)"),
    "no number made a number": (put_raw(0x00185100, b"HFS 1_0 "), "HDR-01", "(0018,5100)"),
    "creation date not in the calendar": (put_raw(0x00080012, b"20261399"), "TIM-01", "(0008,0012)"),
    "series time past midnight": (put_raw(0x00080031, b"246199"), "TIM-01", "(0008,0031)"),
    "home folder as a URL": (
        lambda d: setattr(d, "DerivationDescription", d.DerivationDescription.replace(
            "; stored", " of file://invented/x; stored")), "PHI-01", "(0008,2111)",
    ),
    # geometry, times, privacy
    "position by a micron": (
        lambda d: setattr(d, "ImagePositionPatient", [float(d.ImagePositionPatient[0]) + 0.001,
                                                      *d.ImagePositionPatient[1:]]), "GEO-01", "(0020,0032)",
    ),
    "position by a slice and a half": (
        lambda d: setattr(d, "ImagePositionPatient", [*d.ImagePositionPatient[:2],
                                                      float(d.ImagePositionPatient[2]) + 3.75]),
        "GEO-01", "(0020,0032)",
    ),
    "orientation turned round": (put("ImageOrientationPatient", [-1, 0, 0, 0, 1, 0]), "GEO-01", "(0020,0037)"),
    "pixel spacing": (put("PixelSpacing", [0.5, 0.75]), "GEO-01", "(0028,0030)"),
    "rows and columns exchanged": (both(put("Rows", 6), put("Columns", 5)), "GEO-01", "(0028,0010)"),
    "slice thickness": (put("SliceThickness", "1"), "GEO-02", "(0018,0050)"),
    "series time no time": (put_raw(0x00080031, b"soon"), "TIM-01", "(0008,0031)"),
    "path in the derivation": (
        lambda d: setattr(d, "DerivationDescription", d.DerivationDescription.replace(
            "; stored", " in /home/invented/data/out; stored")), "PHI-01", "(0008,2111)",
    ),
    "path in the equipment": (
        last("ContributingEquipmentSequence", put("ContributionDescription", "/srv/invented/run.py")), "PHI-01",
        "(0018,A001)",
    ),
    "scanner renamed": (put("Manufacturer", "Nobody"), "EQP-01", "(0008,0070)"),
    "software versions added to": (
        lambda d: setattr(d, "SoftwareVersions", "ITK 5.4.7"), "EQP-01", "(0018,1020)",
    ),
    "derivation code invented": (
        lambda d: d.DerivationCodeSequence.append(code("113999", "DCM", "Nothing of the kind")), "DER-02",
        "(0008,9215)",
    ),
    "derivation code with another meaning": (
        lambda d: d.DerivationCodeSequence.append(code("113087", "DCM", "Sharpening")), "DER-02", "(0008,9215)",
    ),
    "purpose with another meaning": (
        last("SourceImageSequence", lambda i: setattr(i.PurposeOfReferenceCodeSequence[0], "CodeMeaning", "x")),
        "DER-03", "(0008,2112)",
    ),
    "decimal string too long": (put_raw(0x00181130, b"-250.000000000000000"), "HDR-04", "(0018,1130)"),
    "integer string out of range": (put_raw(0x00200011, b"99999999999 "), "HDR-04", "(0020,0011)"),
    "UID of an attribute invalid": (put_raw(0x00200052, b"2.25.07\0"), "UID-04", "(0020,0052)"),
    "High Bit": (put("HighBit", 15), "PIX-01", "(0028,0102)"),
    "Bits Stored beyond Bits Allocated": (put("BitsStored", 17), "PIX-01", "(0028,0101)"),
    "lossy ratio invented": (put("LossyImageCompressionRatio", "10"), "HDR-02", "(0028,2112)"),
    "trailing padding added": (lambda d: d.add_new(0xFFFCFFFC, "OB", bytes(4)), "FIL-02", "(FFFC,FFFC)"),
    "file meta without a maker": (lambda d: d.file_meta.pop("ImplementationClassUID"), "FIL-01", "(0002,0012)"),
    "private block lost": (lambda d: [d.pop(tag) for tag in list(d.keys()) if tag.group == 9], "HDR-01", "(0009,0010)"),
}  # fmt: skip

FolderPlant = Callable[[list[Path]], None]
"""Changes the written files of a series, in the order of the slices."""


def resaved(dataset: pydicom.FileDataset, path: Path) -> None:
    """Write a data set with all elements that nobody touched as they stand."""
    dataset.save_as(path, enforce_file_format=False, overwrite=True)


def exchange(keyword: str) -> FolderPlant:
    """Exchange an attribute of the first two slices."""

    def plant(files: list[Path]) -> None:
        one, other = (pydicom.dcmread(file) for file in files[:2])
        value, theirs = one[keyword].value, other[keyword].value
        assert value != theirs
        setattr(one, keyword, theirs)
        setattr(other, keyword, value)
        for dataset, file in ((one, files[0]), (other, files[1])):
            resaved(dataset, file)

    return plant


def in_last(plant: Plant) -> FolderPlant:
    """Change the last slice only."""

    def planted(files: list[Path]) -> None:
        dataset = pydicom.dcmread(files[-1])
        plant(dataset)
        resaved(dataset, files[-1])

    return planted


def in_all(plant: Plant) -> FolderPlant:
    """Change all slices."""

    def planted(files: list[Path]) -> None:
        for file in files:
            in_last(plant)([file])

    return planted


def instance(sop_instance_uid: str) -> Plant:
    """Give an instance another UID, in its file meta information too."""
    return both(put("SOPInstanceUID", sop_instance_uid), meta("MediaStorageSOPInstanceUID", sop_instance_uid))


def twice(files: list[Path]) -> None:
    """Write one instance into two files."""
    files[0].with_name("again.dcm").write_bytes(files[0].read_bytes())


def rewrite(change: Callable[[bytes], bytes]) -> FolderPlant:
    """Change the bytes of the last file."""
    return lambda files: files[-1].write_bytes(change(files[-1].read_bytes())) and None


def _place(content: bytes, tag: int) -> tuple[int, int]:
    """Return where an element of a short explicit VR starts and stops."""
    start = content.index(tag.to_bytes(4, "big")[1::-1] + tag.to_bytes(4, "big")[:1:-1], 144)
    return start, start + 8 + int.from_bytes(content[start + 6 : start + 8], "little")


def without(content: bytes, tag: int) -> bytes:
    """Take an element out."""
    start, stop = _place(content, tag)
    return content[:start] + content[stop:]


def beside(content: bytes, tag: int, element: bytes) -> bytes:
    """Put another element before one."""
    start, _ = _place(content, tag)
    return content[:start] + element + content[start:]


def with_group_length(content: bytes) -> bytes:
    """Put a group length before the first element of the data set."""
    start = 144 + int.from_bytes(content[140:144], "little")
    return content[:start] + b"\x08\0\0\0UL\4\0\4\0\0\0" + content[start:]


SERIES_DEFECTS: dict[str, tuple[FolderPlant, str, str | None]] = {
    "two slices' pixels exchanged": (exchange("PixelData"), "PIX-02", "(7FE0,0010)"),
    "two slices' instance numbers exchanged": (exchange("InstanceNumber"), "HDR-01", "(0020,0013)"),
    "two slices' positions exchanged": (exchange("ImagePositionPatient"), "DER-03", "(0008,2112)"),
    "two slices' references exchanged": (exchange("SourceImageSequence"), "DER-03", "(0008,2112)"),
    "two files exchanged in all but the instance UID": (exchange("SOPInstanceUID"), "FIL-01", "(0002,0003)"),
    "slices renumbered": (in_last(put("InstanceNumber", "30")), "HDR-01", "(0020,0013)"),
    "Series Number of one slice": (in_last(put("SeriesNumber", "77")), "HDR-03", "(0020,0011)"),
    "Series Instance UID of one slice": (in_last(put("SeriesInstanceUID", "2.25.99")), "UID-01", "(0020,000E)"),
    "Series Date of one slice": (in_last(put("SeriesDate", "20210102")), "HDR-03", "(0008,0021)"),
    "Series Time of one slice": (in_last(put("SeriesTime", "000001")), "HDR-03", "(0008,0031)"),
    "study of all slices": (in_all(put("StudyInstanceUID", "2.25.98")), "UID-03", "(0020,000D)"),
    "scanner of one slice": (in_last(put("Manufacturer", "Nobody")), "EQP-01", "(0008,0070)"),
    "one instance in two files": (twice, "UID-02", "(0008,0018)"),
    "UID of a sibling": (in_last(instance(make_uid("instance", 0, 0))), "UID-02", "(0008,0018)"),
    "slice lost": (lambda files: files[1].unlink(), "CNT-01", None),
    "slice out of order": (in_last(put("ImagePositionPatient", [-125, -130.5, -700])), "GEO-02", "(0020,0032)"),
    "empty file": (rewrite(lambda content: b""), "FIL-01", None),
    "no DICM prefix": (rewrite(lambda content: content[:128] + b"XXXX" + content[132:]), "FIL-01", None),
    "cut near its end": (rewrite(lambda content: content[:-7]), "FIL-01", "(7FE0,0010)"),
    "cut by one byte": (rewrite(lambda content: content[:-1]), "FIL-01", "(7FE0,0010)"),
    "cut in the header": (rewrite(lambda content: content[:700]), "FIL-01", None),
    "cut in the file meta": (rewrite(lambda content: content[:200]), "FIL-01", None),
    "bytes after the end": (rewrite(lambda content: content + b"\xff" * 6), "FIL-01", None),
    "zeros after the end": (rewrite(lambda content: content + bytes(64)), "FIL-01", None),
    "preamble in use": (rewrite(lambda content: b"II*\0" + content[4:]), "FIL-02", None),
    "transfer syntax in name only": (
        rewrite(lambda content: content.replace(b"10008.1.2.1\0", b"10008.1.2.2\0")), "FIL-01", None,
    ),
    "Latin-1 texts called UTF-8": (
        rewrite(lambda content: content.replace(b"ISO_IR 100", b"ISO_IR 192")), "HDR-04", "(0008,0005)",
    ),
    "Latin-1 texts that are no UTF-8": (
        rewrite(lambda content: content.replace(b"ISO_IR 100", b"ISO_IR 192")), "HDR-04", "(0020,4000)",
    ),
    "Latin-1 texts called Greek": (
        rewrite(lambda content: content.replace(b"ISO_IR 100", b"ISO_IR 126")), "HDR-01", "(0020,4000)",
    ),
    "character set lost": (
        rewrite(lambda content: without(content, 0x00080005)), "HDR-04", "(0008,0005)",
    ),
    "character set unknown": (
        rewrite(lambda content: content.replace(b"ISO_IR 100", b"ISO_IR 999")), "HDR-04", "(0008,0005)",
    ),
    "study id twice": (
        rewrite(lambda content: beside(content, 0x00200010, b"\x20\0\x10\0SH\4\0EVIL")), "FIL-01", "(0020,0010)",
    ),
    "elements out of order": (
        rewrite(lambda content: beside(content, 0x00200010, b"\x21\0\x10\0LO\4\0EVIL")), "FIL-01", "(0020,0010)",
    ),
    "an item that is none": (
        rewrite(lambda content: content.replace(b"\xfe\xff\0\xe0", b"\xfd\xff\0\xe0", 1)), "FIL-01", None,
    ),
    "a VR that there is none of": (
        rewrite(lambda content: content.replace(b"\x20\0\x10\0SH", b"\x20\0\x10\0XX")), "FIL-01", "(0020,0010)",
    ),
    "transfer syntax unknown": (
        rewrite(lambda content: content.replace(b"10008.1.2.1\0", b"10008.1.9.9\0")), "FIL-01", "(0002,0010)",
    ),
    "length of the file meta information": (
        rewrite(lambda content: content[:140] + b"\x10\0\0\0" + content[144:]), "FIL-01", "(0002,0000)",
    ),
    "group length": (rewrite(with_group_length), "FIL-02", "(0008,0000)"),
    "nothing but a preamble": (rewrite(lambda content: content[:132]), "FIL-01", None),
    "a file that is none of ours": (
        lambda files: files[0].with_name("more.dcm").write_bytes(b"not DICOM") and None, "FIL-01", None,
    ),
}  # fmt: skip
"""Defects that a look at one slice does not find, or that leave no data set to look at."""

COPY_DEFECTS: dict[str, Defect] = {
    "SOP Instance UID": (instance("2.25.1"), "UID-02", "(0008,0018)"),
    "Series Instance UID": (put("SeriesInstanceUID", "2.25.1"), "UID-01", "(0020,000E)"),
    "Image Type": (put("ImageType", ["DERIVED", "SECONDARY", "AXIAL", "INVENTED"]), "HDR-01", "(0008,0008)"),
    "Series Description": (put("SeriesDescription", "other"), "HDR-01", "(0008,103E)"),
    "Instance Number": (put("InstanceNumber", "99"), "HDR-01", "(0020,0013)"),
    "creation date": (put("InstanceCreationDate", "20210203"), "TIM-01", "(0008,0012)"),
    "signature lost": (lose("DigitalSignaturesSequence"), "HDR-01", "(FFFA,FFFA)"),
    "source image added": (lambda d: d.SourceImageSequence.append(Dataset()), "HDR-02", "(0008,2112)"),
    "derivation": (put("DerivationDescription", "other"), "HDR-01", "(0008,2111)"),
    "pixel": (pixel(8, 1), "PIX-02", "(7FE0,0010)"),
    "bit above Bits Stored": (pixel(9, 0x40), "PIX-02", "(7FE0,0010)"),
    "character set": (put("SpecificCharacterSet", "ISO_IR 192"), "HDR-04", "(0008,0005)"),
    "scanner": (put("Manufacturer", "Nobody"), "EQP-01", "(0008,0070)"),
    "study": (put("StudyInstanceUID", "2.25.98"), "UID-03", "(0020,000D)"),
}  # fmt: skip
"""What a derived instance must change, or may not change either, a copy must not."""

PET_DEFECTS: dict[str, Defect] = {
    "Series Time": (put("SeriesTime", "120000"), "TIM-01", "(0008,0031)"),
    "Series Date": (put("SeriesDate", "20210101"), "TIM-01", "(0008,0021)"),
    "Image Type": (put("ImageType", ["DERIVED", "SECONDARY"]), "TYP-02", "(0008,0008)"),
    "Decay Factor": (put("DecayFactor", "1.0012"), "TIM-01", "(0054,1321)"),
    "Frame Reference Time": (put("FrameReferenceTime", "0"), "TIM-01", "(0054,1300)"),
    "Units": (put("Units", "CNTS"), "HDR-01", "(0054,1001)"),
    "slope by a millionth": (
        lambda d: setattr(d, "RescaleSlope", f"{float(d.RescaleSlope) * (1 + 1e-6):.9f}"), "PIX-02", "(0028,1053)",
    ),
    "slope printed anew": (
        lambda d: put_raw(0x00281053, d.get_item(0x00281053).value.rstrip() + b"0 ")(d), "HDR-01", "(0028,1053)",
    ),
    "intercept": (put("RescaleIntercept", "1"), "PIX-01", "(0028,1052)"),
    "bits": (both(put("BitsStored", 12), put("HighBit", 11)), "PIX-01", "(0028,0101)"),
    "pixel": (pixel(8, 1), "PIX-02", "(7FE0,0010)"),
}  # fmt: skip
"""Uptake values hang on the series time, the decay factor and the slope of each slice."""
