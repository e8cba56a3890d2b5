"""The comparison that stands behind every claim: it finds each planted defect, and nothing in a right output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
from conftest import Run
from pydicom import uid
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from synthetic import make_uid, write_series

from itk_roundtrip import Finding
from itk_roundtrip.verify import compare_instance, compare_series, first_error

RICH: Mapping[str, Any] = {
    "slices": 3,
    "rows": 5,
    "columns": 6,
    "high_bits": True,
    "text": "latin1",
    "private": "unknown",
    "nested_sequences": "defined",
    "long_digits": True,
    "signatures": "top",
    "contributing_equipment": "plain",
    "derivation_codes": True,
    "referenced_series": "other",
    "source_images": "121322",
    "padding_values": "US",
    "attributes": {
        "TableHeight": "-250.0",
        "AccessionNumber": b"",
        "RescaleType": None,
        "LossyImageCompression": "01",
    },
}
"""A CT with something of everything."""


@dataclass(frozen=True)
class Pairs:
    """Sources and what was written of them, slice by slice."""

    sources: list[Path]
    written: list[Path]


@pytest.fixture(scope="module")
def make(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Pairs]:
    """Make each round trip once."""
    made: dict[str, Pairs] = {}

    def call(identity: str = "derived", **features: Any) -> Pairs:
        key = repr((identity, features))
        if key not in made:
            folder = tmp_path_factory.mktemp("verify")
            sources = write_series(folder / "in", **(features or RICH))
            run(folder / "in", folder / "out", identity=identity)
            made[key] = Pairs(sources, sorted((folder / "out").iterdir()))
        return made[key]

    return call


def errors(source: Path, written: Path, identity: str = "derived") -> list[Finding]:
    report = compare_instance(source, written, written.name, identity=identity)
    return [finding for finding in report.findings if finding.severity == "error"]


def said(findings: list[Finding]) -> set[tuple[str, str | None]]:
    return {(finding.check, finding.tag) for finding in findings}


def resaved(dataset: pydicom.FileDataset, path: Path) -> None:
    """Write a data set with all elements that nobody touched as they stand."""
    dataset.save_as(path, enforce_file_format=False, overwrite=True)


# -------------------------------------------------------------------------------------- no false alarm


@pytest.mark.parametrize("identity", ["derived", "copy"])
def test_right_output_has_no_finding(make: Callable[..., Pairs], identity: str) -> None:
    """A check that cries wolf is switched off by its users."""
    pairs = make(identity, **RICH)
    reports = [
        compare_instance(source, written, written.name, identity=identity)
        for source, written in zip(pairs.sources, pairs.written, strict=True)
    ]
    assert compare_series(reports, 3, identity=identity) == []
    assert {report.pixels_by for report in reports} == {"native"}


@pytest.mark.parametrize("identity", ["derived", "copy"])
def test_saving_again_is_no_defect(make: Callable[..., Pairs], tmp_path: Path, identity: str) -> None:
    """The defects below are planted with pydicom: what it writes of an untouched file must be right."""
    pairs = make(identity, **RICH)
    resaved(pydicom.dcmread(pairs.written[1]), tmp_path / "again.dcm")
    assert errors(pairs.sources[1], tmp_path / "again.dcm", identity) == []


def test_order_of_severity() -> None:
    """The first error is what the user is told; a warning before it is not."""
    mild = Finding("FIL-02", "warning", None, None, None, "")
    bad = Finding("PIX-02", "error", "a", None, None, "")
    assert first_error([mild, bad]) is bad
    assert first_error([mild]) is None


# ------------------------------------------------------------------------------------- planted defects

Plant = Callable[[Any], None]


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


def both(*plants: Plant) -> Plant:
    """Plant several defects that belong together."""

    def plant(dataset: Dataset) -> None:
        for one in plants:
            one(dataset)

    return plant


DEFECTS: dict[str, tuple[Plant, str, str]] = {
    # pixels
    "pixel off by one": (pixel(8, 1), "PIX-02", "(7FE0,0010)"),
    "bit above Bits Stored": (pixel(9, 0x40), "PIX-02", "(7FE0,0010)"),
    "pixels cut": (lambda d: setattr(d, "PixelData", d.PixelData[:-2]), "FIL-01", "(7FE0,0010)"),
    "pixels lost": (lose("PixelData"), "FIL-01", "(7FE0,0010)"),
    "pixels of more than one frame": (lambda d: setattr(d, "PixelData", d.PixelData * 2), "PIX-02", "(7FE0,0010)"),
    "Bits Stored": (both(put("BitsStored", 16), put("HighBit", 15)), "HDR-01", "(0028,0101)"),
    "sign": (put("PixelRepresentation", 1), "HDR-01", "(0028,0103)"),
    "rescale": (put("RescaleIntercept", "0"), "HDR-01", "(0028,1052)"),
    "Rescale Type added": (put("RescaleType", "US"), "HDR-02", "(0028,1054)"),
    # values
    "private byte": (put_raw(0x00091002, b"\0\1\2\3\4\5\7\0"), "HDR-01", "(0009,1002)"),
    "private creator": (put_raw(0x00090010, b"INVENTED MAKER 2.0"), "HDR-01", "(0009,0010)"),
    "private element lost": (lambda d: d.pop(Tag(0x00091005)), "HDR-01", "(0009,1005)"),
    "VR of a private element": (put_raw(0x00091005, b"\1\2\3\4", "OB"), "HDR-01", "(0009,1005)"),
    "VR of an attribute": (put_raw(0x00280106, b"\7\0", "SS"), "HDR-01", "(0028,0106)"),
    "FD cut to 6 digits": (put("CTDIvol", 12.3457), "HDR-01", "(0018,9345)"),
    "position printed anew": (put_raw(0x00200032, b"-125\\-130.5\\9.75 "), "HDR-01", "(0020,0032)"),
    "decimal string printed anew": (put_raw(0x00181130, b"-250"), "HDR-01", "(0018,1130)"),
    "orientation lost": (lose("ImageOrientationPatient"), "HDR-01", "(0020,0037)"),
    "Slice Location recomputed": (put("SliceLocation", "-9.75"), "HDR-01", "(0020,1041)"),
    "spacing": (put("SpacingBetweenSlices", "1"), "HDR-01", "(0018,0088)"),
    "empty attribute lost": (lose("AccessionNumber"), "HDR-01", "(0008,0050)"),
    "empty attribute filled": (put("AccessionNumber", "1"), "HDR-01", "(0008,0050)"),
    "patient": (put("PatientID", "INVENTED-2"), "HDR-01", "(0010,0020)"),
    "text relabelled": (put("SpecificCharacterSet", "ISO_IR 192"), "HDR-01", "(0008,0005)"),
    "text encoded anew": (put_raw(0x00204000, "Größe übernächst".encode()), "HDR-01", "(0020,4000)"),
    "name encoded anew": (put_raw(0x00100010, "Müßig^Jörg".encode()), "HDR-01", "(0010,0010)"),
    "lossy history wiped": (put("LossyImageCompression", "00"), "HDR-01", "(0028,2110)"),
    "time zone added": (put("TimezoneOffsetFromUTC", "+0100"), "HDR-02", "(0008,0201)"),
    "study": (put("StudyInstanceUID", "2.25.1"), "HDR-01", "(0020,000D)"),
    "frame of reference": (put("FrameOfReferenceUID", "2.25.1"), "HDR-01", "(0020,0052)"),
    "SOP Class": (
        both(put("SOPClassUID", uid.MRImageStorage), meta("MediaStorageSOPClassUID", uid.MRImageStorage)),
        "HDR-01",
        "(0008,0016)",
    ),
    "acquisition time": (put("AcquisitionTime", "100002"), "HDR-01", "(0008,0032)"),
    "Instance Number": (put("InstanceNumber", "99"), "HDR-01", "(0020,0013)"),
    "Instance Number emptied": (put("InstanceNumber", None), "HDR-01", "(0020,0013)"),
    # sequences
    "nested value": (nested(put("CodeMeaning", "Three")), "HDR-01", "(0040,0275)"),
    "nested element added": (nested(put("CodingSchemeVersion", "1")), "HDR-02", "(0040,0275)"),
    "nested element lost": (nested(lose("CodingSchemeDesignator")), "HDR-01", "(0040,0275)"),
    "item lost": (lambda d: d.RequestAttributesSequence.pop(), "HDR-01", "(0040,0275)"),
    "item added": (lambda d: d.AnatomicRegionSequence.append(Dataset()), "HDR-01", "(0008,2218)"),
    "items swapped": (lambda d: d.RequestAttributesSequence.reverse(), "HDR-01", "(0040,0275)"),
    "sequence lost": (lose("AnatomicRegionSequence"), "HDR-01", "(0008,2218)"),
    "older derivation code lost": (lambda d: d.DerivationCodeSequence.pop(0), "HDR-01", "(0008,9215)"),
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
    "Image Type value 2": (put("ImageType", ["DERIVED", "PRIMARY", "AXIAL", "INVENTED"]), "TYP-02", "(0008,0008)"),
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
    "transfer syntax in name only": (
        meta("TransferSyntaxUID", uid.DeflatedExplicitVRLittleEndian), "FIL-01", "(0002,0010)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS)
def test_planted_defect_is_found(make: Callable[..., Pairs], tmp_path: Path, defect: str) -> None:
    """Each of these was written by some tool in the field; the tag tells the user where to look."""
    plant, check, tag = DEFECTS[defect]
    pairs = make(**RICH)
    dataset = pydicom.dcmread(pairs.written[1])
    object.__setattr__(dataset, "source", pydicom.dcmread(pairs.sources[1]))
    plant(dataset)
    path = tmp_path / "planted.dcm"
    resaved(dataset, path)
    assert path.read_bytes() != pairs.written[1].read_bytes()
    assert (check, tag) in said(errors(pairs.sources[1], path))


@pytest.mark.parametrize(
    "text",
    [
        "A series descripXXXXXXXXXX of forty chars ITK round trip",
        "A series descrip ITK round trip",
        "A series description of forty chars, ab",
    ],
)
def test_series_description_that_lost_some_of_the_old_text(
    make: Callable[..., Pairs], tmp_path: Path, text: str
) -> None:
    """A text that fits beside what is added must stand whole, not only with its first letters."""
    pairs = make(slices=1, attributes={"SeriesDescription": "A series description of forty chars, abc"})
    dataset = pydicom.dcmread(pairs.written[0])
    dataset.SeriesDescription = text
    resaved(dataset, tmp_path / "planted.dcm")
    assert ("HDR-04", "(0008,103E)") in said(errors(pairs.sources[0], tmp_path / "planted.dcm"))


def test_nested_defect_is_named_by_its_path(make: Callable[..., Pairs], tmp_path: Path) -> None:
    """A sequence may hold a hundred attributes: the path says which."""
    pairs = make(**RICH)
    dataset = pydicom.dcmread(pairs.written[1])
    DEFECTS["nested value"][0](dataset)
    resaved(dataset, tmp_path / "planted.dcm")
    (finding,) = errors(pairs.sources[1], tmp_path / "planted.dcm")
    assert finding.path == "RequestAttributesSequence[0].ScheduledProtocolCodeSequence[1].CodeMeaning"
    assert finding.slice == "planted.dcm"
    assert "Three" not in finding.message


FILES: dict[str, tuple[Callable[[bytes], bytes], set[str]]] = {
    "empty": (lambda content: b"", {"FIL-01"}),
    "no DICM prefix": (lambda content: content[:128] + b"XXXX" + content[132:], {"FIL-01"}),
    "cut near its end": (lambda content: content[:-7], {"FIL-01", "HDR-01"}),
    "cut by one byte": (lambda content: content[:-1], {"FIL-01", "HDR-01"}),
    "cut in the header": (lambda content: content[:700], {"FIL-01", "HDR-01"}),
    "cut in the file meta": (lambda content: content[:200], {"FIL-01"}),
    "bytes after the end": (lambda content: content + b"\xff" * 6, {"FIL-01"}),
    "zeros after the end": (lambda content: content + bytes(64), {"FIL-01"}),
    "preamble in use": (lambda content: b"II*\0" + content[4:], {"FIL-02"}),
    "nothing but a preamble": (lambda content: content[:132], {"FIL-01"}),
}
"""What may become of the bytes of a file, and the checks of which one must say so."""


@pytest.mark.parametrize("identity", ["derived", "copy"])
@pytest.mark.parametrize("defect", FILES)
def test_damaged_file_is_found(make: Callable[..., Pairs], tmp_path: Path, defect: str, identity: str) -> None:
    """A full disk, a broken transfer: the file is there, and is not what was written."""
    damage, checks = FILES[defect]
    pairs = make(identity, **RICH)
    path = tmp_path / "damaged.dcm"
    path.write_bytes(damage(pairs.written[1].read_bytes()))
    assert checks & {check for check, _ in said(errors(pairs.sources[1], path, identity))}


def test_missing_file_is_found(make: Callable[..., Pairs], tmp_path: Path) -> None:
    """A file that somebody removed between writing and reading is a finding, not a crash."""
    assert ("FIL-01", None) in said(errors(make(**RICH).sources[0], tmp_path / "missing.dcm"))


@pytest.mark.parametrize("syntax", [uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian])
def test_unexpected_transfer_syntax(make: Callable[..., Pairs], tmp_path: Path, syntax: uid.UID) -> None:
    """What a retired or compressed syntax holds may be right, but many readers cannot read it."""
    pairs = make(slices=1)
    dataset = pydicom.dcmread(pairs.written[0])
    for element in dataset.iterall():
        _ = element.value
    dataset.file_meta.TransferSyntaxUID = syntax
    little_endian = syntax != uid.ExplicitVRBigEndian
    pydicom.dcmwrite(
        tmp_path / "other.dcm", dataset, implicit_vr=False, little_endian=little_endian, force_encoding=True
    )
    assert ("FIL-01", "(0002,0010)") in said(errors(pairs.sources[0], tmp_path / "other.dcm"))


COPY_DEFECTS: dict[str, tuple[Plant, str, str]] = {
    "SOP Instance UID": (put("SOPInstanceUID", "2.25.1"), "HDR-01", "(0008,0018)"),
    "Series Instance UID": (put("SeriesInstanceUID", "2.25.1"), "HDR-01", "(0020,000E)"),
    "Image Type": (put("ImageType", ["DERIVED", "SECONDARY", "AXIAL", "INVENTED"]), "HDR-01", "(0008,0008)"),
    "Series Description": (put("SeriesDescription", "other"), "HDR-01", "(0008,103E)"),
    "Instance Number": (put("InstanceNumber", "99"), "HDR-01", "(0020,0013)"),
    "creation date": (put("InstanceCreationDate", "20210203"), "HDR-01", "(0008,0012)"),
    "signature lost": (lose("DigitalSignaturesSequence"), "HDR-01", "(FFFA,FFFA)"),
    "source image added": (lambda d: d.SourceImageSequence.append(Dataset()), "HDR-01", "(0008,2112)"),
    "derivation": (put("DerivationDescription", "other"), "HDR-01", "(0008,2111)"),
    "pixel": (pixel(8, 1), "PIX-02", "(7FE0,0010)"),
}  # fmt: skip


@pytest.mark.parametrize("defect", COPY_DEFECTS)
def test_planted_defect_in_a_copy_is_found(make: Callable[..., Pairs], tmp_path: Path, defect: str) -> None:
    """What a derived instance must change, a copy must not."""
    plant, check, tag = COPY_DEFECTS[defect]
    pairs = make("copy", **RICH)
    dataset = pydicom.dcmread(pairs.written[1])
    plant(dataset)
    resaved(dataset, tmp_path / "planted.dcm")
    assert (check, tag) in said(errors(pairs.sources[1], tmp_path / "planted.dcm", "copy"))


def test_a_copy_is_no_derived_instance(make: Callable[..., Pairs]) -> None:
    """Judged as what it is not, nearly everything is wrong."""
    pairs = make("copy", **RICH)
    found = {check for check, _ in said(errors(pairs.sources[0], pairs.written[0], "derived"))}
    assert {"UID-01", "UID-02", "TYP-01", "DER-01", "DER-03", "EQP-01", "STL-01"} <= found


@pytest.mark.parametrize(
    ("keyword", "value", "check", "tag"),
    [
        ("SeriesTime", "120000", "HDR-01", "(0008,0031)"),
        ("SeriesDate", "20210101", "HDR-01", "(0008,0021)"),
        ("ImageType", ["DERIVED", "SECONDARY"], "TYP-02", "(0008,0008)"),
        ("DecayFactor", "1.0012", "HDR-01", "(0054,1321)"),
        ("FrameReferenceTime", "0", "HDR-01", "(0054,1300)"),
        ("Units", "CNTS", "HDR-01", "(0054,1001)"),
        ("RescaleSlope", "0.731000", "HDR-01", "(0028,1053)"),
    ],
)
def test_planted_defect_in_pet_is_found(
    make: Callable[..., Pairs], tmp_path: Path, keyword: str, value: Any, check: str, tag: str
) -> None:
    """Uptake values hang on the series time, the decay factor and the slope of each slice."""
    pairs = make(modality="PT", slices=2, bits_stored=16, signed=True)
    assert errors(pairs.sources[0], pairs.written[0]) == []
    dataset = pydicom.dcmread(pairs.written[0])
    setattr(dataset, keyword, value)
    resaved(dataset, tmp_path / "planted.dcm")
    assert (check, tag) in said(errors(pairs.sources[0], tmp_path / "planted.dcm"))


@pytest.mark.parametrize("transfer_syntax", ["big", "deflated", "rle", "jpeg_lossless"])
def test_pixels_of_an_encoded_source(make: Callable[..., Pairs], tmp_path: Path, transfer_syntax: str) -> None:
    """Where the source must be decoded first, one wrong pixel is found all the same, and so is a lost sign."""
    pairs = make(slices=1, transfer_syntax=transfer_syntax, bits_stored=12)
    assert errors(pairs.sources[0], pairs.written[0]) == []
    for index, plant in enumerate((pixel(-3, 8), pixel(0, 1))):
        dataset = pydicom.dcmread(pairs.written[0])
        plant(dataset)
        resaved(dataset, tmp_path / f"{index}.dcm")
        assert ("PIX-02", "(7FE0,0010)") in said(errors(pairs.sources[0], tmp_path / f"{index}.dcm"))


def test_values_of_a_big_endian_source(make: Callable[..., Pairs], tmp_path: Path) -> None:
    """Words that were swapped, or not swapped, or swapped in the wrong size."""
    pairs = make(slices=1, transfer_syntax="big", voi_lut=True, long_digits=True, private="unknown")
    assert errors(pairs.sources[0], pairs.written[0]) == []
    swapped: dict[str, tuple[Plant, str]] = {
        "word": (lambda d: setattr(d.VOILUTSequence[0], "LUTData", d.VOILUTSequence[0].LUTData[::-1]), "(0028,3010)"),
        "US": (put("Rows", 12 << 8), "(0028,0010)"),
        "FD": (put("CTDIvol", 12.5), "(0018,9345)"),
        "private": (lambda d: setattr(d[0x00091006], "value", [1, 2, 3]), "(0009,1006)"),
    }
    for name, (plant, tag) in swapped.items():
        dataset = pydicom.dcmread(pairs.written[0])
        plant(dataset)
        resaved(dataset, tmp_path / f"{name}.dcm")
        assert ("HDR-01", tag) in said(errors(pairs.sources[0], tmp_path / f"{name}.dcm")), name


def test_compressed_source_describes_no_compression_any_more(make: Callable[..., Pairs], tmp_path: Path) -> None:
    """An offset table beside native pixels sends readers to places that do not exist."""
    pairs = make(slices=1, transfer_syntax="rle", extended_offsets=True)
    assert errors(pairs.sources[0], pairs.written[0]) == []
    dataset = pydicom.dcmread(pairs.written[0])
    dataset.ExtendedOffsetTable = bytes(8)
    resaved(dataset, tmp_path / "planted.dcm")
    assert ("HDR-01", "(7FE0,0001)") in said(errors(pairs.sources[0], tmp_path / "planted.dcm"))


# ---------------------------------------------------------------------------------------- whole series

SERIES_DEFECTS: dict[str, tuple[Plant, str, str]] = {
    "Series Number": (put("SeriesNumber", "77"), "HDR-03", "(0020,0011)"),
    "Series Instance UID": (put("SeriesInstanceUID", "2.25.99"), "HDR-03", "(0020,000E)"),
    "Series Date": (put("SeriesDate", "20210102"), "HDR-03", "(0008,0021)"),
    "Series Time": (put("SeriesTime", "000001"), "HDR-03", "(0008,0031)"),
}


def reported(pairs: Pairs, written: list[Path], identity: str = "derived") -> list[Finding]:
    reports = [
        compare_instance(source, path, path.name, identity=identity)
        for source, path in zip(pairs.sources, written, strict=False)
    ]
    return compare_series(reports, len(pairs.sources), identity=identity)


@pytest.mark.parametrize("defect", SERIES_DEFECTS)
def test_instance_that_differs_from_its_series_is_found(
    make: Callable[..., Pairs], tmp_path: Path, defect: str
) -> None:
    """One instance with another number or UID makes two series of one in every viewer."""
    plant, check, tag = SERIES_DEFECTS[defect]
    pairs = make(**RICH)
    dataset = pydicom.dcmread(pairs.written[2])
    plant(dataset)
    resaved(dataset, tmp_path / "planted.dcm")
    found = reported(pairs, [*pairs.written[:2], tmp_path / "planted.dcm"])
    assert [one.severity for one in found if one.check == check] == ["error"]
    assert [one.tag for one in found if one.check == check] == [tag]


@pytest.mark.parametrize("identity", ["derived", "copy"])
def test_missing_slice_is_found(make: Callable[..., Pairs], identity: str) -> None:
    """A slice less is the one loss that no look at a slice can find."""
    pairs = make(identity, **RICH)
    assert ("CNT-01", None) in said(reported(pairs, pairs.written[:2], identity))


def test_slice_written_twice_is_found(make: Callable[..., Pairs], tmp_path: Path) -> None:
    """Two files of one instance: archives keep the first and drop the other."""
    pairs = make(**RICH)
    dataset = pydicom.dcmread(pairs.written[1])
    dataset.SOPInstanceUID = pydicom.dcmread(pairs.written[0]).SOPInstanceUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    resaved(dataset, tmp_path / "planted.dcm")
    found = reported(pairs, [pairs.written[0], tmp_path / "planted.dcm", pairs.written[2]])
    assert ("UID-02", "(0008,0018)") in said(found)


def test_uid_of_a_sibling_is_found(make: Callable[..., Pairs], tmp_path: Path) -> None:
    """A new instance under the UID of another source slice replaces that slice in the archive."""
    pairs = make(**RICH)
    dataset = pydicom.dcmread(pairs.written[1])
    dataset.SOPInstanceUID = make_uid("instance", 0, 2)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    resaved(dataset, tmp_path / "planted.dcm")
    found = reported(pairs, [pairs.written[0], tmp_path / "planted.dcm", pairs.written[2]])
    assert ("UID-02", "(0008,0018)") in said(found)


def test_swapped_slices_are_found(make: Callable[..., Pairs]) -> None:
    """Two slices in each other's files: every file is sound, and the volume is not."""
    pairs = make(**RICH)
    found = said(reported(pairs, [pairs.written[1], pairs.written[0], pairs.written[2]]))
    assert {("PIX-02", "(7FE0,0010)"), ("HDR-01", "(0020,0032)"), ("DER-03", "(0008,2112)")} <= found
