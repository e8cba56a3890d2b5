"""Seeded DICOM series, one defect or feature at a time, and the catalogue of them. pydicom and numpy only.

:func:`write_series` makes a small CT of seeded noise that covers the full range of Bits Stored; each keyword
adds one thing that readers and writers are known to trip over. :data:`CASES` names the combinations worth a
test, each with what must become of it, :data:`MALFORMED` what may be refused or not. Headers are encoded
here, not by pydicom, so that texts, lengths and padding stay as they are meant. Everything is invented.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.data import get_charset_files
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import get_encoder

from itk_roundtrip.versions import versions

SPACING_MM = 2.5

# ---------------------------------------------------------------------------------------------- encoding

_LONG = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
_WORDS = {
    "AT": "u2", "FD": "f8", "FL": "f4", "OD": "f8", "OF": "f4", "OL": "u4", "OV": "u8", "OW": "u2",
    "SL": "i4", "SS": "i2", "SV": "i8", "UL": "u4", "US": "u2", "UV": "u8",
}  # fmt: skip
_UNDEFINED = 0xFFFFFFFF


class Header(dict[int, "Element"]):
    """The elements of a data set or an item by tag."""

    def put(self, name: str | int, value: Any, vr: str = "", *, undefined: bool = False) -> None:
        """Set an element by keyword or tag: text, bytes, numbers or items; ``None`` removes it."""
        tag = name if isinstance(name, int) else tag_for_keyword(name)
        assert tag is not None, name
        if value is None:
            self.pop(tag, None)
            return
        vr = vr or dictionary_VR(tag)
        if vr not in _WORDS and "or" in vr:
            vr = "SS" if isinstance(value, int) and value < 0 else "US"
        if isinstance(value, str):
            assert vr not in _WORDS, name
            value = value.encode("ascii")
        elif not isinstance(value, bytes) and vr in _WORDS:
            value = np.atleast_1d(np.asarray(value)).astype(_WORDS[vr])
        assert isinstance(value, bytes | np.ndarray) or vr in ("SQ", "UN"), name
        self[tag] = Element(vr, value, undefined)


@dataclass(frozen=True)
class Element:
    """One element: value bytes as they stand (little endian), an array of words, or a list of items."""

    vr: str
    value: bytes | NDArray[Any] | list[Header]
    undefined: bool = False


def item(**values: Any) -> Header:
    """Return a sequence item of these attributes."""
    header = Header()
    for keyword, value in values.items():
        header.put(keyword, value)
    return header


def code(value: str, scheme: str, meaning: str) -> Header:
    """Return an item that holds a code."""
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


@dataclass(frozen=True)
class Encoding:
    """How a data set is encoded.

    Attributes
    ----------
    implicit, big
        Implicit VR; Big Endian.
    group_lengths, nested_group_lengths
        Add (gggg,0000) at the top level; in the items.
    undefined
        Every sequence and item has undefined length.
    padded
        Texts are padded to an even length, as they must be.
    """

    implicit: bool = False
    big: bool = False
    group_lengths: bool = False
    nested_group_lengths: bool = False
    undefined: bool = False
    padded: bool = True

    @property
    def order(self) -> Literal["<", ">"]:
        """Byte order, as struct and numpy write it."""
        return ">" if self.big else "<"


def encode(header: Header, how: Encoding) -> bytes:
    """Return the encoded data set."""
    encoded = b""
    for group, tags in groupby(sorted(header), key=lambda tag: tag >> 16):
        content = b"".join(_encoded(tag, header[tag], how) for tag in tags)
        if how.group_lengths:
            length = np.asarray([len(content)], "u4")
            encoded += _encoded(group << 16, Element("UL", length), how)
        encoded += content
    return encoded


def _encoded(tag: int, element: Element, how: Encoding) -> bytes:
    undefined = element.undefined
    if isinstance(element.value, list):
        undefined = undefined or how.undefined
        value = _items(element.value, element.vr, undefined, how)
    elif isinstance(element.value, bytes):
        value = element.value
        if element.vr == "OW" and how.big:
            value = np.frombuffer(value, "<u2").astype(">u2").tobytes()
    else:
        value = element.value.astype(element.value.dtype.newbyteorder(how.order)).tobytes()
    binary = element.vr in ("UI", "OB", "UN")
    if len(value) % 2 and not undefined and (how.padded or binary):
        value += b"\0" if binary else b" "
    length = _UNDEFINED if undefined else len(value)
    start = struct.pack(how.order + "HH", tag >> 16, tag & 0xFFFF)
    if how.implicit:
        return start + struct.pack(how.order + "L", length) + value
    start += element.vr.encode()
    if element.vr in _LONG:
        return start + struct.pack(how.order + "HL", 0, length) + value
    return start + struct.pack(how.order + "H", length) + value


def _items(items: Sequence[Header], vr: str, undefined: bool, how: Encoding) -> bytes:
    how = replace(how, group_lengths=how.nested_group_lengths)
    if vr == "UN":
        how = replace(how, implicit=True, big=False)
    parts = []
    for header in items:
        content = encode(header, how)
        length = _UNDEFINED if undefined else len(content)
        parts.append(struct.pack(how.order + "HHL", 0xFFFE, 0xE000, length) + content)
        if undefined:
            parts.append(struct.pack(how.order + "HHL", 0xFFFE, 0xE00D, 0))
    if undefined:
        parts.append(struct.pack(how.order + "HHL", 0xFFFE, 0xE0DD, 0))
    return b"".join(parts)


def make_uid(*parts: object) -> str:
    """Return the 2.25 UID that belongs to these words, always the same."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:15], 'big')}"


# --------------------------------------------------------------------------------------------- the options

_SYNTAXES = {
    "implicit": uid.ImplicitVRLittleEndian,
    "explicit": uid.ExplicitVRLittleEndian,
    "big": uid.ExplicitVRBigEndian,
    "deflated": uid.DeflatedExplicitVRLittleEndian,
    "rle": uid.RLELossless,
    "jpeg_ls": uid.JPEGLSLossless,
    "j2k": uid.JPEG2000Lossless,
    "jpeg_lossless": uid.JPEGLosslessSV1,
    "jpeg_lossless_14": uid.JPEGLossless,
    "jpeg_baseline": uid.JPEGBaseline8Bit,
    "jpeg_extended": uid.JPEGExtended12Bit,
    "jpeg_ls_near": uid.JPEGLSNearLossless,
    "j2k_lossy": uid.JPEG2000,
    "plain_frames": uid.UID("1.2.840.10008.1.2.1.98"),
    "deflated_frames": uid.UID("1.2.840.10008.1.2.8.1"),
    "jpeg_xl": uid.UID("1.2.840.10008.1.2.4.110"),
}
_NOT_ENCAPSULATED = frozenset({"implicit", "explicit", "big", "deflated"})
_PLUGINS = {"rle": "pydicom", "jpeg_ls": "pyjpegls", "j2k": "pylibjpeg", "jpeg_ls_near": "pyjpegls",
            "j2k_lossy": "pylibjpeg"}  # fmt: skip
_ENCODER_OPTIONS: dict[str, dict[str, Any]] = {"jpeg_ls_near": {"jls_error": 3}, "j2k_lossy": {"j2k_cr": [6]}}
LOSSY = frozenset({"jpeg_baseline", "jpeg_extended", "jpeg_ls_near", "j2k_lossy"})
"""The transfer syntaxes of :class:`Options` whose pixels are not those that went in."""


@dataclass(frozen=True)
class Options:
    """The keywords of :func:`write_series` that shape pixels, geometry and files; features come on top.

    Attributes
    ----------
    modality
        Key of :data:`MODALITIES`.
    transfer_syntax
        ``implicit``, ``explicit``, ``big``, ``deflated``, ``rle``, ``jpeg_ls``, ``j2k``,
        ``jpeg_lossless``, ``jpeg_lossless_14``, ``jpeg_baseline``, ``jpeg_extended``, ``jpeg_ls_near``,
        ``j2k_lossy``, ``plain_frames`` (.1.98), ``deflated_frames`` (.8.1), or ``jpeg_xl``: a stream that
        nothing decodes. Pixels of one bit in RLE are RLE of the packed bytes. YBR_RCT and YBR_ICT make
        JPEG 2000 transform the colours, YBR_FULL_422 a JPEG halve the chrominance.
    reduced_differences
        JPEG Lossless has its differences modulo two to the power of Bits Stored, not modulo 65536.
    stream
        Photometric Interpretation that the compressed stream has, where the header does not say the truth.
        YBR_FULL_420 halves the rows of the chrominance too.
    jpeg_markers, component_names, progressive
        Of a JPEG: ``jfif``, ``adobe0`` (no transform), ``adobe1`` (YCbCr), ``adobe2``; one byte for each component,
        by default 1, 2, 3, or RGB where the stream is; the progressive process.
    planar
        Planar Configuration: 1 puts the colours one after the other, where the pixels are native.
    high_bit
        High Bit, if not Bits Stored - 1.
    sign_extended
        Whether the unused bits of negative values repeat the sign.
    high_bits
        Fill the unused bits with noise.
    slopes, intercepts
        One text or ``None`` (missing) per slice, or one for all; by default what the modality has.
    frames
        0: no Number of Frames; else its value, with that many frames of pixels.
    pixel_vr
        OB or OW; by default by the bits.
    pixel_pad, trailing
        The byte that makes an odd length even; bytes after the pixels.
    basic_offsets, extended_offsets
        A Basic Offset Table that is filled, not empty; an Extended Offset Table in its place.
    fragments
        Into which each compressed frame is cut.
    stream_bits, stream_signed
        Precision and sign of each compressed frame, where not those of the stored values: a lossy compression may then
        go beyond these, and the picture is made so that it does.
    frames_in
        How each compressed frame is encoded, where not as its transfer syntax says.
    codestream_tail, empty_fragment
        Bytes between the end of each compressed frame and that of its last fragment; a fragment without
        content at the very end.
    geometry
        ``regular``, ``gap``, ``duplicate``, ``tilt``, ``echoes``, ``descending``, ``oblique``, ``sagittal``,
        ``none`` (no positions), ``same`` (all at one position), ``wobble`` (rounded by the scanner).
    names
        ``plain``, ``shuffled``, ``no_extension``, ``subfolders``, ``uid``, ``unicode``, ``numbers``,
        ``upper``, ``links`` (to a folder beside the parent of this one), ``derived``, ``hidden``, ``shell``.
    beside
        What else lies in the folder: ``text``, ``empty``, ``dicomdir``, ``truncated_header``,
        ``truncated_meta``, ``other_series``, ``other_study``, ``duplicate`` (a file twice).
    truncated
        The last file ends within its pixels.
    preamble
        128 bytes; zeros by default.
    meta
        ``none``: no group 0002; ``bare``: no preamble and prefix either; ``no_prefix``: group 0002 follows
        the preamble; ``start``: group 0002 begins the file; else the transfer syntax that it claims, ``?``
        for none.
    prepended, appended
        Bytes before the first element of the data set; after the last one.
    attributes
        Elements of the top level by keyword: text, bytes, numbers, or a list with one per slice; ``None``
        removes.
    """

    modality: str = "CT"
    transfer_syntax: str = "explicit"
    bits_allocated: int = 16
    bits_stored: int = 12
    high_bit: int | None = None
    signed: bool = False
    sign_extended: bool = True
    high_bits: bool = False
    photometric: str = "MONOCHROME2"
    samples: int = 1
    reduced_differences: bool = False
    stream: str = ""
    jpeg_markers: tuple[str, ...] = ()
    component_names: bytes = b""
    progressive: bool = False
    planar: int = 0
    slopes: Sequence[str | None] | str | None = "modality"
    intercepts: Sequence[str | None] | str | None = "modality"
    frames: int = 0
    pixel_vr: str = ""
    pixel_pad: bytes = b"\0"
    trailing: bytes = b""
    basic_offsets: bool = True
    extended_offsets: bool = False
    fragments: int = 1
    frames_in: tuple[str, ...] = ()
    stream_bits: int = 0
    stream_signed: bool | None = None
    codestream_tail: bytes = b""
    empty_fragment: bool = False
    geometry: str = "regular"
    names: str = "plain"
    beside: tuple[str, ...] = ()
    truncated: bool = False
    preamble: bytes = bytes(128)
    meta: str = ""
    prepended: bytes = b""
    appended: bytes = b""
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Modality:
    """SOP Class, default Image Type, slopes and intercepts, and what its header holds besides the usual."""

    sop_class: str
    image_type: str
    slopes: Sequence[str | None]
    intercepts: Sequence[str | None]
    attributes: Mapping[str, Any]


MODALITIES: dict[str, Modality] = {
    "CT": Modality(uid.CTImageStorage, r"ORIGINAL\PRIMARY\AXIAL\INVENTED", ["1"], ["-1024"], {
        "KVP": "120", "RescaleType": "HU", "ConvolutionKernel": "B30f", "GantryDetectorTilt": "0",
        "XRayTubeCurrent": "231", "ExposureTime": "500", "SpacingBetweenSlices": "2.5",
        "WindowCenter": r"50\-600", "WindowWidth": r"350\1200"}),
    "MR": Modality(uid.MRImageStorage, r"ORIGINAL\PRIMARY\M\ND", [None], [None], {
        "ScanningSequence": "GR", "SequenceVariant": r"SP\OSP", "ScanOptions": "", "MRAcquisitionType": "3D",
        "RepetitionTime": "2300", "EchoTime": "2.98", "InversionTime": "900", "EchoTrainLength": "1",
        "MagneticFieldStrength": "3", "FlipAngle": "9", "WindowCenter": "2048", "WindowWidth": "4096"}),
    "PT": Modality(uid.PositronEmissionTomographyImageStorage, r"ORIGINAL\PRIMARY",
                   ["0.731", "2.37", "1.02609e-03", "1"], ["0"], {
        "Units": "BQML", "CountsSource": "EMISSION", "SeriesType": r"STATIC\IMAGE",
        "DecayCorrection": "START", "CorrectedImage": r"DECY\ATTN\SCAT", "NumberOfSlices": 4,
        "FrameReferenceTime": "1500000", "ActualFrameDuration": "300000", "DecayFactor": "1.00123",
        "CollimatorType": "NONE"}),
    "NM": Modality(uid.NuclearMedicineImageStorage, r"ORIGINAL\PRIMARY\STATIC\EMISSION", [None], [None], {
        "EnergyWindowVector": [1], "DetectorVector": [1], "NumberOfEnergyWindows": 1, "NumberOfDetectors": 1,
        "FrameIncrementPointer": [0x0054, 0x0010, 0x0054, 0x0020], "CountsAccumulated": "250000"}),
    "MG": Modality(uid.DigitalMammographyXRayImageStorageForPresentation, r"ORIGINAL\PRIMARY", ["1"], ["0"], {
        "PresentationIntentType": "FOR PRESENTATION", "RescaleType": "US", "ImageLaterality": "L",
        "PixelIntensityRelationship": "LOG", "PixelIntensityRelationshipSign": -1,
        "PresentationLUTShape": "IDENTITY", "ImagerPixelSpacing": r"0.07\0.07"}),
    "CR": Modality(uid.ComputedRadiographyImageStorage, r"ORIGINAL\PRIMARY", [None], [None], {
        "ViewPosition": "AP", "BodyPartExamined": "CHEST", "ImagerPixelSpacing": r"0.1\0.1"}),
    "DX": Modality(uid.DigitalXRayImageStorageForPresentation, r"ORIGINAL\PRIMARY\\", ["1"], ["0"], {
        "PresentationIntentType": "FOR PRESENTATION", "RescaleType": "US", "ImageLaterality": "U",
        "PixelIntensityRelationship": "LIN", "PixelIntensityRelationshipSign": 1,
        "PresentationLUTShape": "IDENTITY", "ImagerPixelSpacing": r"0.14\0.14"}),
    "US": Modality(uid.UltrasoundImageStorage, r"ORIGINAL\PRIMARY\ABDOMINAL\0001", [None], [None], {}),
    "OP": Modality(uid.OphthalmicPhotography8BitImageStorage, r"ORIGINAL\PRIMARY", [None], [None], {
        "ImageLaterality": "R", "BurnedInAnnotation": "NO", "LossyImageCompression": "00"}),
    "OPW": Modality(uid.OphthalmicPhotography16BitImageStorage, r"ORIGINAL\PRIMARY\\RED", [None], [None], {
        "ImageLaterality": "L", "BurnedInAnnotation": "NO", "LossyImageCompression": "00",
        "PresentationLUTShape": "IDENTITY"}),
    "SC": Modality(uid.SecondaryCaptureImageStorage, r"DERIVED\SECONDARY", [None], [None], {
        "ConversionType": "WSD"}),
    "RTDOSE": Modality(uid.RTDoseStorage, r"DERIVED\SECONDARY", [None], [None], {
        "DoseUnits": "GY", "DoseType": "PHYSICAL", "DoseSummationType": "PLAN",
        "DoseGridScaling": "1.02609e-05", "GridFrameOffsetVector": "0"}),
    "EMR": Modality(uid.EnhancedMRImageStorage, r"ORIGINAL\PRIMARY\M\NONE", [None], [None], {
        "ContentQualification": "PRODUCT", "PixelPresentation": "MONOCHROME", "VolumetricProperties": "VOLUME",
        "VolumeBasedCalculationTechnique": "NONE", "ComplexImageComponent": "MAGNITUDE",
        "AcquisitionContrast": "T1", "ResonantNucleus": "1H", "MagneticFieldStrength": "3",
        "PresentationLUTShape": "IDENTITY", "BurnedInAnnotation": "NO", "LossyImageCompression": "00"}),
    "ECT": Modality(uid.EnhancedCTImageStorage, r"ORIGINAL\PRIMARY\VOLUME\NONE", [None], [None], {
        "ContentQualification": "PRODUCT", "PixelPresentation": "MONOCHROME", "VolumetricProperties": "VOLUME",
        "VolumeBasedCalculationTechnique": "NONE", "PresentationLUTShape": "IDENTITY",
        "BurnedInAnnotation": "NO", "LossyImageCompression": "00"}),
    "SEG": Modality(uid.SegmentationStorage, r"DERIVED\PRIMARY", [None], [None], {
        "SegmentationType": "BINARY", "ContentLabel": "INVENTED", "LossyImageCompression": "00"}),
    "PM": Modality(uid.ParametricMapStorage, r"DERIVED\PRIMARY\OTHER\MEAN", [None], [None], {
        "ContentQualification": "RESEARCH", "ContentLabel": "INVENTED", "PresentationLUTShape": "IDENTITY",
        "BurnedInAnnotation": "NO", "LossyImageCompression": "00"}),
    "XA": Modality(uid.XRayAngiographicImageStorage, r"ORIGINAL\PRIMARY\SINGLE PLANE", [None], [None], {
        "FrameTime": "66.6", "FrameIncrementPointer": [0x0018, 0x1063], "KVP": "70", "RadiationSetting": "GR",
        "PixelIntensityRelationship": "LIN", "PositionerMotion": "STATIC", "ImagerPixelSpacing": r"0.3\0.3"}),
    "USMF": Modality(uid.UltrasoundMultiFrameImageStorage, r"ORIGINAL\PRIMARY\ABDOMINAL\0001", [None], [None], {
        "FrameTime": "33.3", "FrameIncrementPointer": [0x0018, 0x1063]}),
    "SCW": Modality(uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage, r"DERIVED\SECONDARY", ["1"], ["0"], {
        "ConversionType": "WSD", "BurnedInAnnotation": "NO", "RescaleType": "US", "FrameTime": "40",
        "FrameIncrementPointer": [0x0018, 0x1063], "PresentationLUTShape": "IDENTITY"}),
    "PRIVATE": Modality(make_uid("private SOP class"), r"ORIGINAL\PRIMARY\OTHER", [None], [None], {}),
}  # fmt: skip
_MODALITY_CODES = {
    "OPW": "OP",
    "SC": "OT",
    "EMR": "MR",
    "ECT": "CT",
    "PM": "OT",
    "USMF": "US",
    "SCW": "OT",
    "PRIVATE": "OT",
}
_PROJECTIONS = frozenset({"MG", "CR", "DX", "US", "OP", "OPW", "SC", "XA", "USMF", "SCW"})
"""No frame of reference and no positions."""


def _common_header(options: Options, seed: int, index: int, rows: int, columns: int) -> Header:
    kind = MODALITIES[options.modality]
    header = Header()
    values: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 100",
        "ImageType": kind.image_type,
        "InstanceCreationDate": "20200203",
        "InstanceCreationTime": "101112",
        "SOPClassUID": kind.sop_class,
        "SOPInstanceUID": make_uid("instance", seed, index),
        "StudyDate": "20200203",
        "SeriesDate": "20200203",
        "AcquisitionDate": "20200203",
        "ContentDate": "20200203",
        "StudyTime": "095500.123",
        "SeriesTime": "095959",
        "AcquisitionTime": "100001.5",
        "ContentTime": "100002.25",
        "AccessionNumber": "A0001",
        "Modality": _MODALITY_CODES.get(options.modality, options.modality),
        "Manufacturer": "Invented Scanners",
        "InstitutionName": "Invented Hospital",
        "ReferringPhysicianName": "Nobody^Ann",
        "StationName": "ROOM1",
        "StudyDescription": "Invented study",
        "SeriesDescription": "Invented series",
        "ManufacturerModelName": "Model 7",
        "PatientName": "Nobody^Noel",
        "PatientID": "INVENTED-1",
        "PatientBirthDate": "19700101",
        "PatientSex": "O",
        "PatientWeight": "70.5",
        "SliceThickness": "2.5",
        "DeviceSerialNumber": "0007",
        "SoftwareVersions": r"1.0\patch 3",
        "ProtocolName": "INVENTED",
        "PatientPosition": "HFS",
        "StudyInstanceUID": make_uid("study", seed),
        "SeriesInstanceUID": make_uid("series", seed),
        "StudyID": "1",
        "SeriesNumber": "4",
        "AcquisitionNumber": "1",
        "InstanceNumber": str(index + 1),
        "FrameOfReferenceUID": make_uid("frame of reference", seed),
        "PositionReferenceIndicator": "",
        "SamplesPerPixel": options.samples,
        "PhotometricInterpretation": options.photometric,
        "Rows": rows,
        "Columns": columns,
        "PixelSpacing": r"0.48828125\0.9765625",
        "BitsAllocated": options.bits_allocated,
        "BitsStored": options.bits_stored,
        "HighBit": options.bits_stored - 1 if options.high_bit is None else options.high_bit,
        "PixelRepresentation": int(options.signed),
        **kind.attributes,
    }
    if options.samples > 1:
        values["PlanarConfiguration"] = options.planar
    if options.frames:
        values["NumberOfFrames"] = str(options.frames)
    values["RescaleSlope"] = _per_slice(options.slopes, kind.slopes, index)
    values["RescaleIntercept"] = _per_slice(options.intercepts, kind.intercepts, index)
    if values["RescaleSlope"] is None:
        values.pop("RescaleType", None)
    for keyword, value in values.items():
        header.put(keyword, value)
    return header


def _per_slice(given: Sequence[str | None] | str | None, default: Sequence[str | None], index: int) -> str | None:
    if given is None:
        return None
    if given == "modality":
        given = default
    elif isinstance(given, str):
        given = [given]
    return given[index % len(given)]


def _put_geometry(header: Header, geometry: str, index: int, slices: int) -> None:
    """Set position and orientation, in mm; the regular series is axial, 2.5 mm apart, ascending."""
    orientation = r"1\0\0\0\1\0"
    x, y, z, place = -125.0, -130.5, 7.25, float(index)
    if geometry == "descending":
        place = -place
    elif geometry == "gap":
        place += index >= slices - 1
    elif geometry == "duplicate":
        place -= index >= slices - 1
    elif geometry == "same":
        place = 0.0
    elif geometry == "echoes":  # two passes over half the positions
        place = float(index % (slices // 2))
        header.put("EchoTime", "2.46" if index < slices // 2 else "4.92")
        header.put("EchoNumbers", "1" if index < slices // 2 else "2")
    position = f"{x}\\{y}\\{z + SPACING_MM * place}"
    if geometry == "tilt":
        position = f"{x}\\{y + 0.5 * index}\\{z + SPACING_MM * index}"
    elif geometry == "wobble":
        position = f"{x}\\{y}\\{z + SPACING_MM * index + (0.004 if index % 2 else 0)}"
    elif geometry == "sagittal":
        orientation = r"0\1\0\0\0\-1"
        position = f"{x + SPACING_MM * index}\\{y}\\{z}"
    elif geometry == "oblique":
        orientation = r"0.999390827019096\0\-0.034899496702501\0\1\0"
        position = f"{x + 0.0872487417562525 * index:.14f}\\{y}\\{z + 2.49847706754774 * index:.14f}"
    elif geometry == "coronal":
        orientation = r"1\0\0\0\0\-1"
    if geometry == "none":
        return
    header.put("ImageOrientationPatient", orientation)
    header.put("ImagePositionPatient", position)
    header.put("SliceLocation", position.rsplit("\\", 1)[-1])


# ---------------------------------------------------------------------------------------------- the pixels


def _stored_values(options: Options, rows: int, columns: int, seed: int, index: int) -> NDArray[np.int64]:
    """Return what goes into the pixels of a slice, by frame, row, column and sample.

    It is seeded noise over the full range of Bits Stored, with both extremes; a smooth picture for a lossy
    compression. Native YBR_FULL_422 has two samples per pixel, which alternate.
    """
    generator = np.random.default_rng([seed, index])
    span = 1 << options.bits_stored
    low, high = (-span // 2, span // 2 - 1) if options.signed else (0, span - 1)
    halved = options.photometric == "YBR_FULL_422" and options.transfer_syntax not in LOSSY
    shape = max(1, options.frames), rows, columns, 2 if halved else options.samples
    if options.transfer_syntax in LOSSY and options.stream_bits:  # steps between both ends of the range
        frame, y, x, sample = np.indices(shape)
        at_the_top = (y // 11 + x // 11 + frame + index + sample) % 2 == 0
        noise = generator.integers(0, max(2, span // 64), size=shape)
        return np.where(at_the_top, high - noise, low + noise)
    if options.transfer_syntax in LOSSY:
        frame, y, x, sample = np.indices(shape)
        slope = np.where(sample, 0.2, 1)  # halved chrominance is worth nothing where it is steep
        height = 0.5 + 0.3 * np.sin(slope * (0.31 * x + 0.2 * y) + 2 * sample + frame + index + seed)
        height += generator.uniform(-0.01, 0.01, size=shape) * (sample == 0)
        smooth: NDArray[np.int64] = low + (height * (span - 1)).astype(np.int64)
        return smooth
    values = generator.integers(low, high, size=shape, dtype=np.int64, endpoint=True)
    first, second = generator.choice(values.size, size=min(2, values.size), replace=False)[[0, -1]]
    values.flat[first], values.flat[second] = low, high
    return values


def _pixel_bytes(options: Options, values: NDArray[np.int64], seed: int) -> bytes:
    """Return native little-endian pixel bytes, unused bits as the options say, not yet padded."""
    if options.planar:
        values = np.moveaxis(values, 3, 1)
    values = values.ravel()
    if options.bits_allocated == 1:
        return np.packbits(values.astype(np.uint8), bitorder="little").tobytes()
    used, allocated = (1 << options.bits_stored) - 1, (1 << options.bits_allocated) - 1
    shift = 0 if options.high_bit is None else options.high_bit + 1 - options.bits_stored
    words = (values & (used if options.high_bits else allocated if options.sign_extended else used)) << shift
    if options.high_bits:
        noise = np.random.default_rng([seed, 99]).integers(0, allocated, size=words.size, endpoint=True)
        words = words | (noise & ~np.int64(used << shift))
    return (words & allocated).astype(f"<u{options.bits_allocated // 8}").tobytes()


def _put_pixels(header: Header, options: Options, values: NDArray[np.int64], seed: int) -> None:
    if options.transfer_syntax in _NOT_ENCAPSULATED:
        padded = _pixel_bytes(options, values, seed) + options.trailing
        padded += options.pixel_pad * (len(padded) % 2)
        vr = options.pixel_vr or ("OW" if options.bits_allocated > 8 or options.transfer_syntax == "implicit" else "OB")
        header.put("PixelData", padded, vr)
        return
    encodings = options.frames_in or (options.transfer_syntax,) * len(values)
    frames = [
        _compressed(replace(options, transfer_syntax=encoding), frame, seed)
        for encoding, frame in zip(encodings, values, strict=True)
    ]
    parts, lengths = [], []
    for frame in frames:
        frame += options.codestream_tail
        frame += b"\0" * (len(frame) % 2)
        size = -(-len(frame) // options.fragments // 2) * 2
        cut = [frame[start : start + size] for start in range(0, len(frame), size)]
        parts.append(b"".join(_fragment(one) for one in cut))
        lengths.append(len(frame))
    offsets = [sum(map(len, parts[:number])) for number in range(len(parts))]
    if options.extended_offsets:
        header.put("ExtendedOffsetTable", offsets)
        header.put("ExtendedOffsetTableLengths", lengths)
    filled = options.basic_offsets and not options.extended_offsets
    value = _fragment(np.asarray(offsets, "<u4").tobytes() if filled else b"") + b"".join(parts)
    value += _fragment(b"") * options.empty_fragment + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    header.put("PixelData", value, "OB", undefined=True)


def _fragment(content: bytes) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


def _compressed(options: Options, values: NDArray[np.int64], seed: int) -> bytes:
    """Return one frame as its transfer syntax wants it."""
    if options.transfer_syntax in ("jpeg_lossless", "jpeg_lossless_14"):
        words = values & ((1 << options.bits_stored) - 1)
        return _jpeg_lossless(words, options.bits_stored, options.reduced_differences, options.jpeg_markers,
                              options.component_names)  # fmt: skip
    if options.transfer_syntax in ("jpeg_baseline", "jpeg_extended"):
        precision, colours = options.stream_bits or options.bits_stored, options.stream or options.photometric
        return _jpeg(values, precision, colours, options.jpeg_markers, options.component_names, options.progressive)
    if options.transfer_syntax in ("plain_frames", "deflated_frames"):
        native = _pixel_bytes(options, values[np.newaxis], seed)
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        return native if options.transfer_syntax == "plain_frames" else deflater.compress(native) + deflater.flush()
    if options.transfer_syntax == "jpeg_xl":
        return b"\xff\x0a" + np.random.default_rng(seed).bytes(400)
    if options.bits_allocated == 1:
        packed = np.frombuffer(_pixel_bytes(options, values[np.newaxis], seed), "u1").reshape(1, -1, 1)
        byte = replace(options, bits_allocated=8, bits_stored=8)
        return _compressed(byte, packed.astype(np.int64), seed)
    rows, columns, samples = values.shape
    stored = options.stream_bits or options.bits_stored
    stored = options.bits_allocated if options.transfer_syntax == "rle" else stored  # RLE: whole words
    signed = options.signed if options.stream_signed is None else options.stream_signed
    frame: bytes = get_encoder(_SYNTAXES[options.transfer_syntax]).encode(
        _pixel_bytes(replace(options, planar=0), values[np.newaxis], seed), rows=rows, columns=columns,
        samples_per_pixel=samples, number_of_frames=1, bits_allocated=options.bits_allocated,
        bits_stored=stored, pixel_representation=int(signed),
        photometric_interpretation=options.stream or options.photometric,
        planar_configuration=0 if samples > 1 else None,
        encoding_plugin=_PLUGINS[options.transfer_syntax], **_ENCODER_OPTIONS.get(options.transfer_syntax, {}),
    )  # fmt: skip
    return frame


def _jpeg_segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _stuffed(bits: str) -> bytes:
    """Return entropy-coded bits as bytes, a zero byte after each 0xFF (ISO 10918-1 F.1.2.3)."""
    bits += "1" * (-len(bits) % 8)
    return int(bits or "0", 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")


def _category(difference: int) -> tuple[int, str]:
    """Return the count of bits of a difference, and them (ISO 10918-1 F.1.2.1)."""
    size = abs(difference).bit_length()
    return size, f"{difference if difference > 0 else difference + (1 << size) - 1:0{size}b}" if size else ""


def _jpeg_lossless(
    words: NDArray[Any], precision: int, reduced: bool = False, markers: Sequence[str] = (), names: bytes = b""
) -> bytes:
    """Encode with predictor 1 (ISO 10918-1 H), each of the 17 categories as 5 bits; colours interleaved.

    Differences are meant modulo 65536; ``reduced`` takes them modulo two to the power of the precision, as some
    encoders do.
    """
    rows, columns, samples = words.shape
    span = 1 << (precision if reduced else 16)
    bits = []
    for y, x, sample in np.ndindex(rows, columns, samples):
        above = int(words[y - 1, 0, sample]) if y else 1 << (precision - 1)
        predicted = int(words[y, x - 1, sample]) if x else above
        category, low = _category((int(words[y, x, sample]) - predicted + span // 2 - 1) % span - span // 2 + 1)
        bits.append(f"{category:05b}" + low * (category < 16))
    table = bytes([0, 0, 0, 0, 0, 17]) + bytes(11) + bytes(range(17))
    frame = struct.pack(">BHHB", precision, rows, columns, samples)
    names = names or bytes(range(1, samples + 1))
    frame += b"".join(bytes([name, 0x11, 0]) for name in names)
    scan = bytes([samples]) + b"".join(bytes([name, 0]) for name in names) + bytes([1, 0, 0])
    return b"".join([
        b"\xff\xd8", *(_jpeg_segment(*_JPEG_MARKERS[marker]) for marker in markers),
        _jpeg_segment(0xC3, frame), _jpeg_segment(0xC4, table), _jpeg_segment(0xDA, scan),
        _stuffed("".join(bits)), b"\xff\xd9",
    ])  # fmt: skip


_DCT = np.sqrt([[1 / 8]] + [[1 / 4]] * 7) * np.cos(np.pi * np.outer(np.arange(8), 2 * np.arange(8) + 1) / 16)
_ZIGZAG = sorted(np.ndindex(8, 8), key=lambda at: (sum(at), at[1 - sum(at) % 2]))
"""Places in a block in the order in which they are coded: diagonals, in alternate directions."""
_QUANTISATION = [4 + 3 * sum(at) for at in _ZIGZAG]


_SUBSAMPLING = {"YBR_FULL_422": (1, 2), "YBR_FULL_420": (2, 2)}
"""How many rows and columns share a chrominance."""
_SYMBOLS = [run << 4 | size for run in range(16) for size in range(1, 15)] + [0x00, 0xF0]
"""Pairs of a run of zeros and a size; the end of a block; sixteen zeros."""


def _jpeg(
    words: NDArray[np.int64],
    precision: int,
    photometric: str,
    markers: Sequence[str] = (),
    names: bytes = b"",
    progressive: bool = False,
) -> bytes:
    """Encode by cosine transform: baseline of 8 bits, extended of 12, or progressive (ISO 10918-1 F and G).

    One quantisation table and one pair of Huffman tables serve all components: the 16 sizes of a DC
    difference have 5 bits each, the pairs of run and size 8. RGB is said by the names of the components, unless
    they are given. A progressive JPEG has one scan with DC of all, then one with AC of each component.
    """
    rows, columns, samples = words.shape
    down, across = _SUBSAMPLING.get(photometric, (1, 1))
    padding = (0, -rows % (8 * down)), (0, -columns % (8 * across)), (0, 0)
    padded = np.pad(words, padding, "edge") - (1 << (precision - 1))
    levels: list[dict[tuple[int, int], list[int]]] = []
    for sample in range(samples):
        plane = padded[..., sample].astype(np.float64)
        if sample:
            plane = plane.reshape(plane.shape[0] // down, down, -1, across).mean(axis=(1, 3))
        blocks = np.ndindex(plane.shape[0] // 8, plane.shape[1] // 8)
        levels.append({(y, x): _levels(plane[8 * y : 8 * y + 8, 8 * x : 8 * x + 8]) for y, x in blocks})
    units = [
        (sample, block)
        for y, x in np.ndindex(padded.shape[0] // (8 * down), padded.shape[1] // (8 * across))
        for sample in range(samples)
        for block in ([(y, x)] if sample else [(y * down + v, x * across + h) for v, h in np.ndindex(down, across)])
    ]
    last, bits = [0] * samples, [""]
    for sample, block in units:
        size, low = _category(levels[sample][block][0] - last[sample])
        last[sample] = levels[sample][block][0]
        bits += [f"{size:05b}{low}", "" if progressive else _ac_bits(levels[sample][block])]
    names = names or (b"RGB" if photometric == "RGB" else bytes([1, 2, 3])[:samples])
    sampling = [across << 4 | down if samples > 1 and not number else 0x11 for number in range(samples)]
    frame = struct.pack(">BHHB", precision, rows, columns, samples)
    frame += b"".join(bytes([name, factors, 0]) for name, factors in zip(names, sampling, strict=True))
    dc_table = bytes([0, 0, 0, 0, 0, 16]) + bytes(11) + bytes(range(16))
    ac_table = bytes([0x10, 0, 0, 0, 0, 0, 0, 0, len(_SYMBOLS)]) + bytes(8) + bytes(_SYMBOLS)
    all_names = bytes([samples]) + b"".join(bytes([name, 0]) for name in names)
    scans = _jpeg_segment(0xDA, all_names + bytes([0, 0 if progressive else 63, 0])) + _stuffed("".join(bits))
    for sample in range(samples) if progressive else ():
        height, width = (-(-rows // down), -(-columns // across)) if sample else (rows, columns)
        inside = [levels[sample][block] for block in np.ndindex(-(-height // 8), -(-width // 8))]
        scans += _jpeg_segment(0xDA, bytes([1, names[sample], 0, 1, 63, 0]))
        scans += _stuffed("".join(map(_ac_bits, inside)))
    return b"".join([
        b"\xff\xd8", *(_jpeg_segment(*_JPEG_MARKERS[marker]) for marker in markers),
        _jpeg_segment(0xDB, bytes([0, *_QUANTISATION])),
        _jpeg_segment(0xC2 if progressive else 0xC0 if precision == 8 else 0xC1, frame),
        _jpeg_segment(0xC4, dc_table), _jpeg_segment(0xC4, ac_table), scans, b"\xff\xd9",
    ])  # fmt: skip


_JPEG_MARKERS = {
    "jfif": (0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
    **{f"adobe{transform}": (0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform])) for transform in range(3)},
}
"""Application markers that say of which colours a JPEG is: JFIF, and Adobe with its colour transform."""


def _levels(block: NDArray[np.float64]) -> list[int]:
    transformed = _DCT @ block @ _DCT.T
    return [round(transformed[at] / step) for at, step in zip(_ZIGZAG, _QUANTISATION, strict=True)]


def _ac_bits(levels: list[int]) -> str:
    bits, run = [], 0
    for level in levels[1:]:
        if not level:
            run += 1
            continue
        bits += [f"{_SYMBOLS.index(0xF0):08b}"] * (run // 16)
        size, low = _category(level)
        bits.append(f"{_SYMBOLS.index(run % 16 << 4 | size):08b}{low}")
        run = 0
    return "".join(bits) + f"{_SYMBOLS.index(0x00):08b}" * (run > 0)


# -------------------------------------------------------------------------------------------- the features

Feature = Callable[[Header, int, Any], None]
FEATURES: dict[str, Feature] = {}
"""Each adds one thing to the header of slice ``index``; the value of its keyword chooses the variety."""


def feature(function: Feature) -> Feature:
    """Register a keyword of :func:`write_series`."""
    FEATURES[function.__name__] = function
    return function


def reference(*parts: object, sop_class: str = uid.CTImageStorage) -> Header:
    """Return an item that refers to an instance."""
    return item(ReferencedSOPClassUID=str(sop_class), ReferencedSOPInstanceUID=make_uid(*parts))


_TEXTS = {
    "latin1": ("ISO_IR 100", "latin-1", "Müßig^Jörg", "Größe übernächst"),
    "greek": ("ISO_IR 126", "iso8859_7", "Διον^Ουδείς", "Επινοημένη σειρά"),
    "cyrillic": ("ISO_IR 144", "iso8859_5", "Никто^Нина", "Придуманная серия"),
    "gb18030": ("GB18030", "gb18030", "Wang^XiaoDong=王^小东", "誠 虚构"),  # 誠 ends like a backslash
    "utf8": ("ISO_IR 192", "utf-8", "Wang^XiaoDong=王^小东=", "Größe 虚构 σειρά"),
    "japanese": (r"\ISO 2022 IR 87", "iso2022_jp", "Yamada^Tarou=山田^太郎=やまだ^たろう", "架空 CT"),
    "katakana": (r"ISO 2022 IR 13\ISO 2022 IR 87", "shift_jis", "ﾔﾏﾀﾞ^ﾀﾛｳ", "ｶｸｳ"),
    "undeclared": (None, "latin-1", "Müßig^Jörg", "Größe übernächst"),
}  # fmt: skip


@feature
def text(header: Header, index: int, value: str) -> None:
    """Names and texts outside ASCII, at the top level and in an item, in a character set."""
    character_set, codec, name, words = _TEXTS[value]
    header.put("SpecificCharacterSet", character_set)
    header.put("PatientName", name.encode(codec))
    for keyword in ("SeriesDescription", "InstitutionName", "ImageComments"):
        header.put(keyword, words.encode(codec))
    procedure = item(CodeValue="1", CodingSchemeDesignator="99X", CodeMeaning=words.encode(codec))
    header.put("RequestedProcedureCodeSequence", [procedure])


@feature
def nested_sequences(header: Header, index: int, value: str) -> None:
    """Nest sequences, of ``defined`` or ``undefined`` length, ``deep`` or ``many``: ITK drops them all."""
    if value in ("deep", "many"):
        item_ = item(CodeValue="0")
        for level in range(30 if value == "deep" else 0):
            item_ = item(CodeValue=str(level), PurposeOfReferenceCodeSequence=[item_])
        many = [reference("many", number) for number in range(300 if value == "many" else 0)]
        header.put("ReferencedImageSequence", [item_, *many])
        return
    undefined = value == "undefined"
    inner = item(RequestedProcedureID="77")
    inner.put(
        "ScheduledProtocolCodeSequence",
        [code("P1", "99X", "One"), code("P2", "99X", "Two")],
        undefined=undefined,
    )
    inner.put(0x00400007, "", "LO")
    header.put("RequestAttributesSequence", [inner, item(RequestedProcedureID="78")], undefined=undefined)
    region = code("51185008", "SCT", "Chest")
    region.put("AnatomicRegionModifierSequence", [code("24028007", "SCT", "Right")], undefined=undefined)
    header.put("AnatomicRegionSequence", [region], undefined=undefined)


@feature
def un_sequences(header: Header, index: int, value: str) -> None:
    """Add a public and a private sequence with VR UN, whose items are in Implicit VR (PS3.5 6.2.2)."""
    content = [code("51185008", "SCT", "Chest")]
    header.put("AnatomicRegionSequence", content, "UN", undefined=value == "undefined")
    header.put(0x00910010, "INVENTED UN", "LO")
    header.put(0x00911001, content, "UN", undefined=value == "undefined")


@feature
def empty_sequences(header: Header, index: int, value: bool) -> None:
    """Sequences without items, with an empty item, and with VR UN and no value."""
    header.put("ReferencedStudySequence", [])
    header.put("ReferencedPatientSequence", [], undefined=True)
    header.put("RequestAttributesSequence", [Header()])
    header.put("ProcedureCodeSequence", b"", "UN")


def _private_block(header: Header, group: int, block: int, creator: bytes | str) -> None:
    base = group << 16 | block << 8
    header.put(group << 16 | block, creator, "LO")
    header.put(base | 0x01, "private text", "LO")
    header.put(base | 0x02, bytes(range(7)), "OB")
    header.put(base | 0x03, [3.141592653589793, -1e-300], "FD")
    header.put(base | 0x04, [item(PatientID="X"), _private_item()], "SQ")
    header.put(base | 0x05, b"\x01\x02\x03\x04", "UN")
    header.put(base | 0x06, [1, -2, 3], "SL")
    header.put(base | 0x07, r"1.50\+2", "DS")
    header.put(base | 0x08, b"", "UN")


def _private_item() -> Header:
    inner = Header()
    inner.put(0x00290010, "INVENTED INNER", "LO")
    inner.put(0x00291001, [1.5], "FL")
    inner.put(0x00291002, [item(CodeValue="1")], "SQ")
    return inner


@feature
def private(header: Header, index: int, value: str) -> None:
    """Add private blocks: of makers GDCM knows and does not know, two in one group, orphans."""
    if value == "known":
        header.put(0x00290010, "SIEMENS CSA HEADER", "LO")
        header.put(0x00291008, "IMAGE NUM 4", "CS")
        header.put(0x00291010, b"SV10\4\3\2\1" + bytes(range(100)), "OB")
        header.put(0x00190010, "GEMS_ACQU_01", "LO")
        header.put(0x0019109C, "invented_pulse", "LO")
        header.put(0x0019109E, "invented", "LO")
        header.put(0x001910BB, "1.0", "DS")
        header.put(0x20010010, "Philips Imaging DD 001", "LO")
        header.put(0x20011003, [1000.0], "FL")
    elif value == "unknown":
        _private_block(header, 0x0009, 0x10, "INVENTED MAKER 1.0")
    elif value == "two_blocks":
        _private_block(header, 0x0019, 0x10, "INVENTED A")
        _private_block(header, 0x0019, 0xE1, "INVENTED B")
    elif value == "same_creator":
        _private_block(header, 0x0019, 0x10, "INVENTED A")
        _private_block(header, 0x0019, 0x11, "INVENTED A")
    elif value == "un_creator":
        _private_block(header, 0x0019, 0x10, "INVENTED A")
        header.put(0x00190010, b"INVENTED A", "UN")
    elif value == "latin1_creator":
        _private_block(header, 0x0021, 0x10, "ERFUNDENES GERÄT".encode("latin-1"))
    elif value == "orphan":
        header.put(0x00330001, b"\1\2", "UN")
        header.put(0x00331001, "without a creator", "LO")
        header.put(0x00331002, b"\1\2", "UN")
    elif value == "long":
        header.put(0x00990010, "INVENTED LONG", "LO")
        header.put(0x00991001, bytes(range(256)) * 300, "UN")
        header.put(0x00991002, bytes(reversed(range(256))) * 300, "OB")
    elif value == "after_pixels":
        header.put(0x7FE10010, "INVENTED TAIL", "LO")
        header.put(0x7FE11001, bytes(64), "OB")


@feature
def unknown_vr(header: Header, index: int, value: Sequence[str]) -> None:
    """Attributes that a relay without a dictionary gave the VR UN, their values as they were."""
    for keyword in value:
        tag = tag_for_keyword(keyword)
        assert tag is not None
        header[tag] = Element("UN", header[tag].value)


@feature
def curves(header: Header, index: int, value: bool) -> None:
    """Add a curve (retired): a repeating group, whose data are OW."""
    header.put(0x50000005, [2], "US")
    header.put(0x50000010, [4], "US")
    header.put(0x50000020, "POLY", "CS")
    header.put(0x50000103, [0], "US")
    header.put(0x50003000, [1, 2, 3, 4, 5, 6, 7, 8], "OW")


@feature
def unknown_public(header: Header, index: int, value: str) -> None:
    """Add an attribute with an even group that no dictionary knows."""
    header.put(0x00083456, "unknown", value)
    header.put(0x00289876, b"\1\2\3\4", "UN")


@feature
def long_words(header: Header, index: int, value: Sequence[str]) -> None:
    """VRs of 4 and 8 bytes per word, which GDCM cannot turn into text: the whole series is unreadable."""
    values: dict[str, Any] = {
        "OD": [1.5, -2.25], "OL": [1, 0x7FFFFFFF], "OV": [1, 1 << 63], "UV": [1 << 63], "SV": [-(1 << 62)],
        "OF": [0.1, 16777.217], "OW": [1, 2, 65535],
    }  # fmt: skip
    for vr in value:
        words = np.asarray(values[vr], dtype=_WORDS[vr])
        header.put(f"Selector{vr}Value", words, vr)


@feature
def vm_1_n_binary(header: Header, index: int, value: bool) -> None:
    """Add binary attributes of any number of values, which GDCM fills with uninitialised memory."""
    header.put("SimpleFrameList", [1, 2, 3])
    header.put("EnergyWindowVector", [1, 1, 2, 65535])
    header.put("FrameIncrementPointer", [0x0054, 0x0010, 0x0054, 0x0020])
    header.put("SelectorFDValue", [0.1, 1e300, -1.0])
    header.put("SelectorSSValue", [-1, 32767, -32768])


@feature
def long_digits(header: Header, index: int, value: bool) -> None:
    """Binary floating point with more than the 6 digits that GDCM writes."""
    header.put("CTDIvol", [12.3456789012345])
    header.put("DiffusionGradientOrientation", [0.123456789012345, -0.577350269189626, 0.807])
    header.put("TablePosition", [3.141592653589793])
    header.put("TableSpeed", [1e-300])
    header.put("ReferencePixelPhysicalValueX", [np.pi])
    header.put("GraphicData", [16777.217, 0.1])


@feature
def odd_decimals(header: Header, index: int, value: bool) -> None:
    """Decimal strings as scanners write them: GDCM prints them anew."""
    header.put("KVP", "120.")
    header.put("PatientWeight", " 70.50")
    header.put("FocalSpots", "+1.5")
    header.put("ReconstructionDiameter", "1.02609e-08")
    header.put("DistanceSourceToDetector", "-.5")
    header.put("DistanceSourceToPatient", "00595")
    header.put("TableHeight", "-250.0 ")
    header.put("PixelSpacing", r"0.661468\0.66146800000000003")
    header.put("ImagePositionPatient", rf"-250.0\+1.5\ {1.0 + 2.5 * index}00")
    header.put("WindowCenter", r"50\ \1e3")
    header.put("WindowWidth", r"350\\1E+3")


@feature
def empty_values(header: Header, index: int, value: bool) -> None:
    """Attributes of type 2 without a value: they must stay, and stay empty."""
    for keyword in (
        "AccessionNumber", "ReferringPhysicianName", "StudyID", "PatientBirthDate", "StudyDescription",
        "LossyImageCompressionRatio", "ReferencedFrameNumber", "SelectorUSValue", "ContentTime",
    ):  # fmt: skip
        header.put(keyword, b"")


@feature
def source_images(header: Header, index: int, value: str) -> None:
    """Add a derivation chain, with purpose ``121322``, another or none: ours comes last."""
    if value == "empty":
        header.put("SourceImageSequence", [])
        return
    old = reference("older", index)
    if value.isdigit():
        meaning = {
            "121322": "Source image for image processing operation",
            "121320": "Uncompressed predecessor",
        }
        old.put("SpatialLocationsPreserved", "YES")
        old.put("PurposeOfReferenceCodeSequence", [code(value, "DCM", meaning[value])])
    header.put("SourceImageSequence", [old, reference("oldest", index)], "UN" if value == "unknown_vr" else "SQ")


@feature
def derivation_codes(header: Header, index: int, value: bool) -> None:
    """Add derivation codes of earlier steps: none of CID 7203 is a round trip, so none is added."""
    header.put("DerivationCodeSequence", [code("113072", "DCM", "Multiplanar reformatting"),
                                          code("113085", "DCM", "Spatial resampling")])  # fmt: skip
    header.put("DerivationDescription", "Invented reformat")


@feature
def contributing_equipment(header: Header, index: int, value: str) -> None:
    """Add equipment that took part before, ``plain``, ``odd`` or of ``unknown_vr``: it stays first."""
    old = item(Manufacturer="Invented Archive", ContributionDateTime="20200204101112.5+0100")
    old.put("PurposeOfReferenceCodeSequence", [code("109104", "DCM", "De-identifying Equipment")])
    if value == "odd":
        old.put("InstitutionName", "Größe".encode("latin-1"))
        old.put("DetectorTemperature", " 20.50")
        old.put("DateOfLastCalibration", b"")
        old.put("SpatialResolution", "1.02609e-08")
        old.put("CTDIvol", [12.3456789012345])
        _private_block(old, 0x0029, 0x10, "INVENTED INNER")
    elif value == "unknown_vr":
        old.put("AnatomicRegionSequence", [code("1", "99X", "One")], "UN")
        old.put("StationName", b"ROOM1 ", "UN")
    header.put("ContributingEquipmentSequence", [old])


@feature
def referenced_series(header: Header, index: int, value: str) -> None:
    """Refer to the ``same`` series, to an ``other``, to ``both``, to none: merged, never doubled."""
    other = item(SeriesInstanceUID=make_uid("other series"), ReferencedInstanceSequence=[reference("other", index)])
    own_uid = header[0x0020000E].value
    same = item(SeriesInstanceUID=own_uid, ReferencedInstanceSequence=[reference("instance", 0, 0)])
    if value == "bare":  # without the instances
        same.put("ReferencedInstanceSequence", None)
    items = {"same": [same], "other": [other], "both": [other, same], "bare": [same], "empty": []}
    header.put("ReferencedSeriesSequence", items[value])


@feature
def referenced_images(header: Header, index: int, value: str) -> None:
    """Refer to a localizer, or to an instance of the series itself: never pointed elsewhere."""
    target = reference("localizer") if value == "localizer" else reference("instance", 0, 0)
    target.put("PurposeOfReferenceCodeSequence", [code("121311", "DCM", "Localizer")])
    header.put("ReferencedImageSequence", [target])


def _signature() -> tuple[Header, Header]:
    mac = item(MACIDNumber=1, MACCalculationTransferSyntaxUID=str(uid.ExplicitVRLittleEndian), MACAlgorithm="SHA256")
    mac.put("DataElementsSigned", [0x0008, 0x0018, 0x0010, 0x0010])
    signature = item(MACIDNumber=1, DigitalSignatureUID=make_uid("signature"),
                     CertificateType="X509_1993_SIG",
                     DigitalSignatureDateTime="20200203101112+0000", CertificateOfSigner=bytes(range(64)),
                     Signature=bytes(reversed(range(64))))  # fmt: skip
    return mac, signature


@feature
def signatures(header: Header, index: int, value: str) -> None:
    """Sign: at the ``top`` the source's identity with it, in an ``item`` only what stands there."""
    mac, signature = _signature()
    target = header
    if value == "item":
        target = item(RequestedProcedureID="1")
        header.put("RequestAttributesSequence", [target])
    target.put("MACParametersSequence", [mac])
    target.put("DigitalSignaturesSequence", [signature])


@feature
def encrypted(header: Header, index: int, value: bool) -> None:
    """Encrypted attributes decrypt to the identity of the source."""
    hidden = item(EncryptedContentTransferSyntaxUID=str(uid.ExplicitVRLittleEndian), EncryptedContent=bytes(range(48)))
    header.put("EncryptedAttributesSequence", [hidden])


@feature
def status(header: Header, index: int, value: bool) -> None:
    """Add what speaks of the source instance only: status, creator, coercion, retrieval, conversion."""
    header.put("SOPInstanceStatus", "AO")
    header.put("SOPAuthorizationDateTime", "20200203101112")
    header.put("SOPAuthorizationComment", "authorised")
    header.put("AuthorizationEquipmentCertificationNumber", "77")
    header.put("InstanceCreatorUID", make_uid("creator"))
    header.put("InstanceCoercionDateTime", "20200203101113")
    header.put("QueryRetrieveView", "CLASSIC")
    header.put("ConversionSourceAttributesSequence", [reference("converted", index)])
    representation = reference("alternate", index)
    header.put("AlternateRepresentationSequence", [representation])


@feature
def icon(header: Header, index: int, value: str) -> None:
    """Add an icon: it stays, as the pixels do; ``compressed`` it cannot stand in a file that is not."""
    small = item(SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", Rows=4, Columns=4,
                 BitsAllocated=8, BitsStored=8, HighBit=7, PixelRepresentation=0)  # fmt: skip
    small.put("PixelData", bytes(range(16)), "OW" if value == "words" else "OB")
    if value == "compressed":
        end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
        frame = get_encoder(uid.RLELossless).encode(
            bytes(range(16)), rows=4, columns=4, samples_per_pixel=1, number_of_frames=1, bits_allocated=8,
            bits_stored=8, pixel_representation=0, photometric_interpretation="MONOCHROME2",
            encoding_plugin="pydicom",
        )  # fmt: skip
        small.put("PixelData", encapsulate([frame]) + end, "OB", undefined=True)
    header.put("IconImageSequence", [small])


@feature
def real_world_values(header: Header, index: int, value: int) -> None:
    """Real World Value Mapping of ``value`` items: two end an ITK process."""
    items = []
    for number in range(value):
        mapping = item(LUTExplanation=f"mapping {number}", LUTLabel=f"L{number}",
                       RealWorldValueSlope=[0.1 + number], RealWorldValueIntercept=[-1.0])  # fmt: skip
        mapping.put("RealWorldValueFirstValueMapped", [0], "US")
        mapping.put("RealWorldValueLastValueMapped", [4095], "US")
        mapping.put("MeasurementUnitsCodeSequence", [code("1", "UCUM", "no units")])
        items.append(mapping)
    header.put("RealWorldValueMappingSequence", items)


@feature
def modality_lut(header: Header, index: int, value: bool) -> None:
    """Put a Modality LUT in place of slope and intercept."""
    for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
        header.put(keyword, None)
    lut = item(LUTExplanation="invented", ModalityLUTType="US")
    lut.put("LUTDescriptor", [16, 0, 16], "US")
    lut.put("LUTData", list(range(0, 1600, 100)), "OW")
    header.put("ModalityLUTSequence", [lut])


@feature
def voi_lut(header: Header, index: int, value: bool) -> None:
    """Add a VOI LUT, whose data have the VR OW."""
    lut = item(LUTExplanation="invented")
    lut.put("LUTDescriptor", [16, 0, 16], "US")
    lut.put("LUTData", list(range(0, 1600, 100)), "OW")
    header.put("VOILUTSequence", [lut])


@feature
def overlays(header: Header, index: int, value: str) -> None:
    """Add an overlay of its own, or one ``embedded`` in unused bits of the pixels (retired)."""
    rows, columns = (int(np.asarray(header[tag].value)[0]) for tag in (0x00280010, 0x00280011))
    for group in (0x6000, 0x6002) if value == "two" else (0x6000,):
        header.put(group << 16 | 0x0010, [rows], "US")
        header.put(group << 16 | 0x0011, [columns], "US")
        header.put(group << 16 | 0x0040, "R" if value == "two" else "G", "CS")
        header.put(group << 16 | 0x0050, [1, 1], "SS")
        header.put(group << 16 | 0x0100, [16 if value == "embedded" else 1], "US")
        header.put(group << 16 | 0x0102, [15 if value == "embedded" else 0], "US")
        if value != "embedded":
            header.put(group << 16 | 0x1301, "17", "IS")
            words = -(-rows * columns // 16)
            header.put(group << 16 | 0x3000, [0xA53C ^ group] * words, "OW")


@feature
def padding_values(header: Header, index: int, value: str) -> None:
    """Add padding and extremes of the pixels, with VR US or SS, stale ones as well."""
    for keyword, number in (("PixelPaddingValue", 63536), ("PixelPaddingRangeLimit", 63000),
                            ("SmallestImagePixelValue", 7), ("LargestImagePixelValue", 60000),
                            ("SmallestPixelValueInSeries", 3),
                            ("LargestPixelValueInSeries", 65000)):  # fmt: skip
        words = np.asarray([number], "u2")
        header.put(keyword, words if value == "US" else words.view("i2"), value)


@feature
def lossy_history(header: Header, index: int, value: str) -> None:
    """Pixels that were compressed with loss once, now uncompressed: the flag stays for ever."""
    header.put("LossyImageCompression", "01")
    if value != "flag_only":
        header.put("LossyImageCompressionRatio", r"10.5\2" if value == "two" else "10.5")
        header.put("LossyImageCompressionMethod", r"ISO_10918_1\ISO_15444_1" if value == "two" else "ISO_10918_1")


@feature
def palette(header: Header, index: int, value: str) -> None:
    """Palette colour, which ITK turns into RGB: entries of ``16`` or ``8`` bits, or ``segmented``."""
    entries = min(1 << int(np.asarray(header[0x00280101].value)[0]), 4096)
    for number, colour in enumerate(("Red", "Green", "Blue")):
        bits = 8 if value == "8" else 16
        ramp = np.arange(entries, dtype=np.int64) * ((1 << bits) - 1) // (entries - 1)
        ramp = np.roll(ramp, number * 7)
        data = ramp.astype(f"<u{bits // 8}").tobytes()
        header.put(f"{colour}PaletteColorLookupTableDescriptor", [entries, 0, bits], "US")
        if value != "segmented":
            header.put(f"{colour}PaletteColorLookupTableData", data, "OW")
            continue
        discrete, linear, indirect = [0, 4, number, 10, 20, 30], [1, entries - 12, 60000], [2, 1, 0, 0]
        words = [*discrete, *linear, *indirect, 1, 4, 9]  # the last four entries fall from the copied 30 to 9
        header.put(f"Segmented{colour}PaletteColorLookupTableData", words, "OW")


def _frames(header: Header) -> int:
    number = header[0x00280008].value
    assert isinstance(number, bytes)
    return int(number)


_FRAME_TYPES = {
    uid.EnhancedMRImageStorage: "MRImageFrameTypeSequence",
    uid.EnhancedCTImageStorage: "CTImageFrameTypeSequence",
    uid.ParametricMapStorage: "ParametricMapFrameTypeSequence",
}


def _frame_type(header: Header) -> Header:
    """Return a functional group with the Frame Type of this SOP Class, if it has one."""
    sop_class, image_type = header[0x00080016].value, header[0x00080008].value
    assert isinstance(sop_class, bytes)
    keyword = _FRAME_TYPES.get(uid.UID(sop_class.decode()))
    if keyword is None:
        return Header()
    names = ("PixelPresentation", "VolumetricProperties", "ComplexImageComponent")
    tags = {name: tag_for_keyword(name) or 0 for name in names}
    kept = {name: header[tag].value for name, tag in tags.items() if tag in header}
    return item(**{keyword: [item(FrameType=image_type, **kept)]})


def _older_derivation(*parts: object) -> list[Header]:
    source = reference("older", *parts)
    source.put("PurposeOfReferenceCodeSequence", [code("121320", "DCM", "Uncompressed predecessor")])
    codes = [code("113072", "DCM", "Multiplanar reformatting")]
    return [item(DerivationDescription="Invented step", DerivationCodeSequence=codes, SourceImageSequence=[source])]


@feature
def functional_groups(header: Header, index: int, value: str) -> None:
    """Make an Enhanced instance: geometry, rescale and Frame Type stand in functional groups.

    ``per_frame`` and ``shared_type`` say where the Frame Type stands. An older derivation stands besides in
    each frame for ``derived``, in the first for ``derived_once``, in the shared groups for ``shared``.
    """
    frames = _frames(header)
    sop_instance = header[0x00080018].value
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
                    "SliceLocation", "RescaleSlope", "RescaleIntercept", "RescaleType"):  # fmt: skip
        header.put(keyword, None)
    frame_type = _frame_type(header)
    shared = item(
        PixelMeasuresSequence=[item(PixelSpacing=r"0.48828125\0.9765625", SliceThickness="2.5",
                                    SpacingBetweenSlices="2.5")],
        PlaneOrientationSequence=[item(ImageOrientationPatient=r"1\0\0\0\1\0")],
        PixelValueTransformationSequence=[item(RescaleIntercept="0", RescaleSlope="1.5", RescaleType="US")],
    )  # fmt: skip
    if value.startswith("shared"):
        shared.update(frame_type)
    if value == "shared":
        shared.put("DerivationImageSequence", _older_derivation(index))
    header.put("SharedFunctionalGroupsSequence", [shared])
    organization = make_uid("dimensions", str(sop_instance))
    header.put("DimensionOrganizationSequence", [item(DimensionOrganizationUID=organization)])
    pointers = item(DimensionOrganizationUID=organization, DimensionDescriptionLabel="In-Stack Position Number")
    pointers.put("DimensionIndexPointer", [0x0020, 0x9057])
    pointers.put("FunctionalGroupPointer", [0x0020, 0x9111])
    header.put("DimensionIndexSequence", [pointers])
    groups = []
    for number in range(frames):
        content = item(StackID="1", FrameAcquisitionNumber=1, FrameAcquisitionDateTime=f"20200203100001.{number}",
                       FrameReferenceDateTime=f"20200203100001.{number}", FrameAcquisitionDuration=[41.5])  # fmt: skip
        content.put("InStackPositionNumber", [number + 1])
        content.put("DimensionIndexValues", [number + 1])
        place = SPACING_MM * (index * frames + number)
        group = item(FrameContentSequence=[content],
                     PlanePositionSequence=[item(ImagePositionPatient=rf"-125.0\-130.5\{7.25 + place}")],
                     FrameVOILUTSequence=[item(WindowCenter=f"{40 + number}", WindowWidth="400.50")])  # fmt: skip
        if not value.startswith("shared"):
            group.update(frame_type)
        if value == "derived" or (value == "derived_once" and number == 0):
            group.put("DerivationImageSequence", _older_derivation(index, number))
        _private_block(group, 0x2005, 0x10, "INVENTED FRAME")
        group.put(0x20051011, [_private_item()], "SQ")
        groups.append(group)
    header.put("PerFrameFunctionalGroupsSequence", groups)


@feature
def frame_values(header: Header, index: int, value: Mapping[str, Sequence[Any]]) -> None:
    """Give each frame of an Enhanced instance its own value of an attribute, named ``Sequence.Attribute``.

    One value per frame, on and on over the files; a group that all share becomes one of each.
    """
    (shared,), groups = (header[tag].value for tag in (0x52009229, 0x52009230))
    assert isinstance(shared, Header)
    for name, values in value.items():
        sequence, keyword = name.split(".")
        tag = tag_for_keyword(sequence) or 0
        for number, group in enumerate(groups):
            assert isinstance(group, Header)
            given = next((one[tag].value for one in (group, shared) if tag in one), [item()])
            assert isinstance(given, list)
            items = [Header(one) for one in given]  # several frames may share them
            items[0].put(keyword, values[(index * len(groups) + number) % len(values)])
            group.put(sequence, items)
        shared.put(sequence, None)


@feature
def detectors(header: Header, index: int, value: Sequence[tuple[str, str]]) -> None:
    """Put position and orientation into the detectors of a Nuclear Medicine image, and nowhere else."""
    header.put("DetectorInformationSequence", [
        item(**{keyword: text for keyword, text in (("ImagePositionPatient", position),
                                                    ("ImageOrientationPatient", orientation)) if text})
        for position, orientation in value
    ])  # fmt: skip
    header.put("ImagePositionPatient", None)
    header.put("ImageOrientationPatient", None)


@feature
def segments(header: Header, index: int, value: bool) -> None:
    """Add the segment of a segmentation."""
    category = code("85756007", "SCT", "Tissue")
    header.put("SegmentSequence", [item(SegmentNumber=1, SegmentLabel="Invented", SegmentAlgorithmType="MANUAL",
                                        SegmentedPropertyCategoryCodeSequence=[category],
                                        SegmentedPropertyTypeCodeSequence=[category])])  # fmt: skip


@feature
def concatenation(header: Header, index: int, value: bool) -> None:
    """Make each file a part of one instance that was too large."""
    header.put("ConcatenationUID", make_uid("concatenation"))
    header.put("SOPInstanceUIDOfConcatenationSource", make_uid("concatenated"))
    header.put("InConcatenationNumber", index + 1)
    header.put("InConcatenationTotalNumber", 2)
    header.put("ConcatenationFrameOffsetNumber", [index * _frames(header)])


def _raw_header(dataset: Dataset) -> Header:
    """Return the texts and sequences of what pydicom read, every byte as it stands there."""
    header = Header()
    for tag in sorted(dataset.keys()):
        raw = dataset.get_item(tag)
        assert raw is not None
        if raw.VR == "SQ":
            header.put(int(tag), [_raw_header(one) for one in dataset[tag].value], "SQ")
        elif tag == 0x00080005:  # which pydicom has decoded to find out how to read the rest
            names = dataset.SpecificCharacterSet
            header.put(int(tag), names if isinstance(names, str) else "\\".join(names))
        elif raw.VR in ("LO", "LT", "PN", "SH", "ST", "UC", "UN", "UT"):
            header.put(int(tag), raw.value or b"", raw.VR)
    return header


@feature
def charset_file(header: Header, index: int, value: str) -> None:
    """Take over the texts of one of pydicom's files with character sets."""
    path = next(one for one in get_charset_files("*.dcm") if Path(one).stem == value)
    header.put("SpecificCharacterSet", None)
    header.update(_raw_header(pydicom.dcmread(path)))


@feature
def long_values(header: Header, index: int, value: str) -> None:
    """Values near and beyond the 64 kB of a short length, as ``explicit`` and ``implicit`` VR can hold them."""
    words = item(LUTExplanation="long")
    words.put("LUTDescriptor", [40000, 0, 16], "US")
    words.put("LUTData", np.arange(40000), "OW")
    header.put("PatientComments", b"comment " * 1280)
    header.put("TextValue", b"text of 100 kB  " * 6250)
    header.put("LongCodeValue", b"1.2.3" * 14000)
    header.put("VOILUTSequence", [words])
    if value == "explicit":  # what no longer fits its VR has the VR UN
        header.put("ImageComments", b"comment " * 8750, "UN")
        header.put("DVHData", b"1.25\\" * 14000 + b"0 ", "UN")
        return
    header.put("ImageComments", b"comment " * 8750)
    header.put("DVHData", b"1.25\\" * 14000 + b"0 ")
    header.put("AcquisitionComments", b"1234567 " * 8750)
    header.put("InstitutionAddress", b"address " * 8750)
    header.put("DeviceDescription", b"long text " * 7000)
    header.put("FailedSOPInstanceUIDList", b"1.2.276.0.7230010.3\\" * 3500 + b"1.2.276.0")


@feature
def float_pixels(header: Header, index: int, value: str) -> None:
    """Pixels in floating point, ``FloatPixelData`` or ``DoubleFloatPixelData``, which ITK does not see."""
    rows, columns = (int(np.asarray(header[tag].value)[0]) for tag in (0x00280010, 0x00280011))
    frames = _frames(header) if 0x00280008 in header else 1
    for keyword in (
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "PixelData",
        "RescaleSlope",
        "RescaleIntercept",
    ):
        header.put(keyword, None)
    header.put("BitsAllocated", 64 if value.startswith("Double") else 32)
    header.put(value, np.linspace(-1, 1, rows * columns * frames))


@feature
def pixel_element(header: Header, index: int, value: str) -> None:
    """Pixel Data that is ``missing``, ``empty``, too ``short``, of VR ``unknown``, or ``damaged``."""
    pixels = header[0x7FE00010]
    assert isinstance(pixels.value, bytes)
    if value == "missing":
        header.put("PixelData", None)
    elif value == "damaged":
        header[0x7FE00010] = replace(pixels, value=pixels.value[:-40] + bytes(32) + pixels.value[-8:])
    else:
        length = {"empty": 0, "short": len(pixels.value) // 4 * 2}.get(value, len(pixels.value))
        header[0x7FE00010] = Element("UN" if value == "unknown" else pixels.vr, pixels.value[:length])


@feature
def trailing_padding(header: Header, index: int, value: bool) -> None:
    """Add Data Set Trailing Padding: without meaning, but part of a copy."""
    header.put("DataSetTrailingPadding", bytes(126), "OB")


@feature
def private_creator_in_items(header: Header, index: int, value: bool) -> None:
    """Add a private block inside an item of a public sequence."""
    inner = item(RequestedProcedureID="1")
    _private_block(inner, 0x0029, 0x11, "INVENTED INNER")
    header.put("RequestAttributesSequence", [inner])


_LATER: frozenset[str] = frozenset({"float_pixels", "frame_values", "pixel_element"})
"""Features that change what the pixels put into the header."""
_ENCODING = frozenset({"group_lengths", "undefined_lengths", "unpadded", "length_to_end", "meta_extras",
                       "deflated_file"})  # fmt: skip
"""Features of the encoding, see :func:`_file`."""

# --------------------------------------------------------------------------------------------- the writing


def _file(header: Header, options: Options, features: Mapping[str, Any]) -> bytes:
    """Return a whole file.

    ``group_lengths`` is ``top`` or ``nested``; ``undefined_lengths`` gives every sequence undefined length;
    ``unpadded`` leaves texts at an odd length; ``length_to_end`` adds (0008,0001); ``meta_extras`` adds what
    a sender and a vendor leave in group 0002; ``deflated_file`` deflates the whole data set.
    """
    syntax = _SYNTAXES[options.transfer_syntax]
    how = Encoding(
        implicit=options.transfer_syntax == "implicit",
        big=options.transfer_syntax == "big",
        group_lengths="group_lengths" in features,
        nested_group_lengths=features.get("group_lengths") == "nested",
        undefined="undefined_lengths" in features,
        padded="unpadded" not in features,
    )
    if features.get("length_to_end"):
        rest = Header({tag: element for tag, element in header.items() if tag > 0x00080001})
        header.put("LengthToEnd", [len(encode(rest, how))])
    data = encode(header, how)
    if options.transfer_syntax == "deflated" or "deflated_file" in features:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = deflater.compress(data) + deflater.flush()
        data += b"\0" * (len(data) % 2)
    meta = Header()
    meta.put(0x00020001, b"\0\1", "OB")
    for target, tag in ((0x00020002, 0x00080016), (0x00020003, 0x00080018)):
        if tag in header:
            meta.put(target, header[tag].value, "UI")
    claimed = str(syntax) if options.meta in ("", "no_prefix", "start") else options.meta
    meta.put(0x00020010, None if claimed == "?" else claimed, "UI")
    meta.put(0x00020012, make_uid("implementation"), "UI")
    meta.put(0x00020013, "INVENTED_1", "SH")
    if features.get("meta_extras"):
        meta.put(0x00020016, "INVENTED_AE", "AE")
        meta.put(0x00020017, "SENDER_AE", "AE")
        meta.put(0x00020018, "RECEIVER_AE", "AE")
        meta.put(0x00020100, make_uid("private information"), "UI")
        meta.put(0x00020102, bytes(range(32)), "OB")
    data = options.prepended + data + options.appended
    start = b"" if options.meta in ("bare", "start") else options.preamble
    start += b"" if options.meta in ("bare", "start", "no_prefix") else b"DICM"
    return start + (b"" if options.meta in ("bare", "none") else encode(meta, Encoding(group_lengths=True))) + data


_FOLDER_NAMES = {
    "plain": "IM{0:04d}.dcm",
    "no_extension": "IM{0:04d}",
    "numbers": "{0}",
    "uid": "1.2.3.{0}",
    "unicode": "Schicht ä {0}.dcm",
    "upper": "SLICE{0}.IMA",
    "derived": "derived_IM{0:04d}.dcm",
    "hidden": ".IM{0:04d}.dcm",
    "shell": "-IM $({0}) ;'%s.dcm",
    "links": "IM{0:04d}.dcm",
}


def _name(options: Options, index: int, slices: int) -> str:
    if options.names == "shuffled":
        return f"IM{(index * 7 + 3) % 11 * 13:04d}.dcm"
    if options.names == "subfolders":
        half = -(-slices // 2)
        return f"{'ab'[index // half]}/IM{index % half:04d}.dcm"
    return _FOLDER_NAMES[options.names].format(index + 1)


def write_series(
    directory: Path,
    *,
    slices: int = 4,
    rows: int = 12,
    columns: int = 18,
    seed: int = 0,
    last_slice: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> list[Path]:
    """Write one series of seeded noise into ``directory`` and return its files, in the order of the slices.

    Parameters
    ----------
    directory
        Made if it is not there.
    slices, rows, columns
        Of the series.
    seed
        Of the noise and of all UIDs.
    last_slice
        Keywords that hold for the last slice only, ``rows`` and ``columns`` among them.
    keywords
        Fields of :class:`Options`, names in :data:`FEATURES`, and those of :func:`_file`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(slices):
        given = {"rows": rows, "columns": columns, **keywords}
        if last_slice is not None and index == slices - 1:
            given.update(last_slice)
        size = int(given.pop("rows")), int(given.pop("columns"))
        options, features = _split(given)
        content = _slice(options, features, size, seed, index, slices)
        if options.truncated and index == slices - 1:
            content = content[: -(size[0] * size[1] // 2)]
        path = directory / _name(options, index, slices)
        path.parent.mkdir(parents=True, exist_ok=True)
        if options.names == "links":
            target = directory.parent.with_name(f"{directory.parent.name}_targets") / directory.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            path.unlink(missing_ok=True)
            path.symlink_to(target)
        else:
            path.write_bytes(content)
        paths.append(path)
    for junk in keywords.get("beside", ()):
        _write_beside(directory, junk, paths[0] if paths else directory, keywords)
    return paths


def _split(given: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
    known = {one.name for one in fields(Options)}
    features = {name: value for name, value in given.items() if name not in known}
    unknown = set(features) - set(FEATURES) - _ENCODING
    if unknown:
        raise TypeError(f"unknown keywords: {sorted(unknown)}")
    return Options(**{name: value for name, value in given.items() if name in known}), features


def _slice(
    options: Options, features: Mapping[str, Any], size: tuple[int, int], seed: int, index: int, slices: int
) -> bytes:
    header = _common_header(options, seed, index, *size)
    if options.modality in _PROJECTIONS:
        for keyword in (
            "FrameOfReferenceUID",
            "PositionReferenceIndicator",
            "SliceThickness",
            "PatientPosition",
        ):
            header.put(keyword, None)
    else:
        _put_geometry(header, options.geometry, index, slices)
    for name, value in features.items():
        if name in FEATURES and name not in _LATER and value not in (None, False):
            FEATURES[name](header, index, value)
    for keyword, value in options.attributes.items():
        header.put(keyword, value[index % len(value)] if isinstance(value, list) else value)
    _put_pixels(header, options, _stored_values(options, *size, seed, index), seed)
    for name in _LATER & set(features):
        FEATURES[name](header, index, features[name])
    return _file(header, options, features)


def _write_beside(directory: Path, junk: str, sibling: Path, keywords: Mapping[str, Any]) -> None:
    """Write what else may lie in a folder of DICOM files."""
    if junk == "text":
        (directory / "readme.txt").write_text("not a DICOM file\n")
        (directory / "Thumbs.db").write_bytes(bytes(range(256)) * 8)
    elif junk == "empty":
        (directory / "empty.dcm").write_bytes(b"")
    elif junk in ("truncated_header", "truncated_meta"):
        (directory / "broken.dcm").write_bytes(sibling.read_bytes()[: 501 if junk == "truncated_header" else 301])
    elif junk == "dicomdir":
        header = Header()
        header.put("FileSetID", "INVENTED")
        header.put("OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity", [0])
        header.put("OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity", [0])
        header.put("FileSetConsistencyFlag", [0])
        header.put("DirectoryRecordSequence", [])
        meta = Header()
        meta.put(0x00020001, b"\0\1", "OB")
        meta.put(0x00020002, str(uid.MediaStorageDirectoryStorage), "UI")
        meta.put(0x00020003, make_uid("directory"), "UI")
        meta.put(0x00020010, str(uid.ExplicitVRLittleEndian), "UI")
        meta.put(0x00020012, make_uid("implementation"), "UI")
        content = bytes(128) + b"DICM" + encode(meta, Encoding(group_lengths=True)) + encode(header, Encoding())
        (directory / "DICOMDIR").write_bytes(content)
    elif junk == "duplicate":
        first = min(path for path in directory.rglob("*.dcm"))
        (directory / "export 2").mkdir()
        (directory / "export 2" / first.name).write_bytes(first.read_bytes())
    elif junk in ("other_series", "other_study"):
        study = make_uid("study", 0 if junk == "other_series" else 1)
        attributes = {"StudyInstanceUID": study, "SeriesNumber": "5", "SeriesDescription": "Other series"}
        for path in write_series(directory / "other", slices=2, seed=1, attributes=attributes):
            path.rename(directory / f"OTHER{path.name}")
        (directory / "other").rmdir()


# ------------------------------------------------------------------------------------------- the catalogue

Identity = Literal["derived", "copy"]
Outcome = Literal["exact", "refused", "either"]


@dataclass(frozen=True)
class Case:
    """One series and what must become of it.

    Attributes
    ----------
    finding
        Why it is here: F, numbered defect of ITK; U, numbered complaint of users; R, rule; S, the standard.
    keywords
        Of :func:`write_series`.
    outcome
        ``exact``: written, and nothing differs but what the rules declare. ``refused``: exit code 2, one
        sentence that names the reason, nothing left behind. ``either``: one of the two, nothing in between.
    derived_outcome
        Where identity ``derived`` ends otherwise than ``copy``.
    reason
        Pattern, case ignored, that the message of a refusal matches.
    chosen
        The series must be named with ``--series``, see :func:`series_instance_uid`.
    identities
        To test with.
    path
        What becomes of the pixels: ``itk``, ``itk-inverted`` (what ITK did to them is undone), ``source``
        (past ITK, as the file holds them); empty: any of these.
    copy_path
        Where identity ``copy`` takes another way than ``derived``.
    path_since
        Version of the GDCM in ITK since which that is the path, where an older one carries the pixels.
    """

    finding: str
    keywords: Mapping[str, Any] = field(default_factory=dict)
    outcome: Outcome = "exact"
    derived_outcome: Outcome | None = None
    reason: str = ""
    chosen: bool = False
    identities: tuple[Identity, ...] = ("derived", "copy")
    path: str = "itk"
    copy_path: str | None = None
    path_since: str = ""

    def expected(self, identity: Identity) -> Outcome:
        """Return the outcome for an identity."""
        return self.derived_outcome if identity == "derived" and self.derived_outcome else self.outcome

    def expected_path(self, identity: Identity) -> str:
        """Return the way of the pixels for an identity; empty if any will do."""
        if self.path_since and not is_gdcm(self.path_since):
            return "itk"
        return self.path if identity == "derived" or self.copy_path is None else self.copy_path


ODD_RLE_REFUSED = "3.2.3"
"""Version of GDCM since which RLE segments of an odd count of pixels are refused; that in ITK 6.0b2 is older."""


def is_gdcm(version: str) -> bool:
    """Tell whether the GDCM in ITK is of a version, or newer."""
    installed, asked = (tuple(map(int, text.split("."))) for text in (versions()["GDCM"], version))
    return installed >= asked


def series_instance_uid(seed: int = 0) -> str:
    """Return the Series Instance UID of the series that :func:`write_series` makes."""
    return make_uid("series", seed)


def _case(name: str) -> Case:
    return CASES[name] if name in CASES else MALFORMED[name]


def is_available(name: str) -> bool:
    """Tell whether the encoder that a case needs is installed."""
    keywords = _case(name).keywords
    wanted = {keywords.get("transfer_syntax"), (keywords.get("last_slice") or {}).get("transfer_syntax")}
    return all(get_encoder(_SYNTAXES[one]).is_available for one in wanted if one in _PLUGINS)


def write_case(name: str, directory: Path, *, native: bool = False) -> list[Path]:
    """Write a case; ``native`` leaves its pixels uncompressed, for judges without a decoder of lossless pixels."""
    keywords = dict(_case(name).keywords)
    if native:
        for one in (keywords, last := dict(keywords.get("last_slice") or {})):
            if one.get("transfer_syntax") not in (None, "implicit", "big", "deflated"):
                one["transfer_syntax"] = "explicit"
        keywords["last_slice"] = last or None
    return write_series(directory, **keywords)


def write_short_case(name: str, directory: Path) -> list[Path]:
    """Write a case, of two slices unless it needs more of them."""
    keywords = _case(name).keywords
    given = (*keywords.values(), *keywords.get("attributes", {}).values())
    listed = any(isinstance(one, list) for one in given)
    if listed or keywords.keys() & {"last_slice", "geometry", "names", "truncated"}:
        return write_case(name, directory)
    return write_series(directory, **{"slices": 2, **keywords})


def case_values(name: str) -> list[NDArray[np.int64]]:
    """Return the stored values that each slice of a case was made of, by frame, row, column and sample."""
    keywords = dict(_case(name).keywords)
    slices, last = int(keywords.pop("slices", 4)), keywords.pop("last_slice", None) or {}
    made = []
    for index in range(slices):
        given = {"rows": 12, "columns": 18, **keywords, **(last if index == slices - 1 else {})}
        rows, columns, seed = int(given.pop("rows")), int(given.pop("columns")), int(given.pop("seed", 0))
        made.append(_stored_values(_split(given)[0], rows, columns, seed, index))
    return made


def _exact(
    finding: str, *, path: str = "itk", copy_path: str | None = None, path_since: str = "", **keywords: Any
) -> Case:
    return Case(finding, keywords, path=path, copy_path=copy_path, path_since=path_since)


def _refused(finding: str, reason: str, **keywords: Any) -> Case:
    return Case(finding, keywords, "refused", reason=reason)


def _either(finding: str, **keywords: Any) -> Case:
    return Case(finding, keywords, "either")


def _attributes(finding: str, **attributes: Any) -> Case:
    return Case(finding, {"attributes": attributes})


def _copy_only(finding: str, reason: str, **attributes: Any) -> Case:
    return Case(finding, {"attributes": attributes}, derived_outcome="refused", reason=reason)


def _mixed(reason: str, **attributes: Any) -> Case:
    """Return a series whose last slice has other values of what the standard has one of in a series."""
    keywords = {"last_slice": {"attributes": attributes}}
    return Case(f"R A.1.2.3: several of {reason}", keywords, derived_outcome="refused", reason=reason)


_LONG_JAPANESE = ("架空の説明 CT " * 8)[:63] + "x"
_LONG_TEXT = "An invented description of sixty-four characters, counted twice."
_U8: dict[str, Any] = {"bits_allocated": 8, "bits_stored": 8}
_PET: dict[str, Any] = {"modality": "PT", "bits_stored": 16, "signed": True}
_U32: dict[str, Any] = {"bits_allocated": 32, "bits_stored": 32}
_COLOUR: dict[str, Any] = {"modality": "US", "samples": 3, **_U8}
_RGB: dict[str, Any] = {"photometric": "RGB", **_COLOUR}
_RGB_16: dict[str, Any] = {**_RGB, "bits_allocated": 16, "bits_stored": 16}
_WIDE: dict[str, Any] = {"rows": 33, "columns": 44}
"""Neither is a multiple of the blocks of a JPEG, and a JPEG 2000 of this size has several levels."""
_GREY_JPEG: dict[str, Any] = {"transfer_syntax": "jpeg_baseline", "modality": "SC", "slices": 2, **_U8, **_WIDE}
_COLOUR_JPEG: dict[str, Any] = {"transfer_syntax": "jpeg_baseline", "slices": 2, **_COLOUR, **_WIDE}
_FRAMES: dict[str, Any] = {"modality": "SCW", "slices": 1, "frames": 3}
_BIT_FRAMES: dict[str, Any] = {"modality": "SC", "slices": 1, "frames": 3, "bits_allocated": 1, "bits_stored": 1,
                               "rows": 5, "columns": 7}  # fmt: skip
"""Neither rows nor frames end with a byte."""
_ENHANCED: dict[str, Any] = {"modality": "EMR", "slices": 1, "frames": 3, "functional_groups": "per_frame"}
_DOSE_FRAMES: dict[str, Any] = {"modality": "RTDOSE", "slices": 1, "frames": 3, "bits_stored": 16, "attributes": {
    "GridFrameOffsetVector": r"0\2.5\5", "FrameIncrementPointer": [0x3004, 0x000C],
    "DoseGridScaling": "1e-6"}}  # fmt: skip
_NM_FRAMES: dict[str, Any] = {"modality": "NM", "slices": 1, "frames": 3, "bits_stored": 16, "attributes": {
    "EnergyWindowVector": [1, 1, 1], "DetectorVector": [1, 1, 1]}}  # fmt: skip

_SIX_FRAMES: dict[str, Any] = {**_ENHANCED, "frames": 6}


def _at(*places: float) -> list[str]:
    """Return positions that stand at ``places`` on the z axis."""
    return [rf"-10.5\-20.25\{place}" for place in places]


def _nm(**attributes: Any) -> dict[str, Any]:
    """Return the keywords of a Nuclear Medicine image of four frames."""
    ones = {"EnergyWindowVector": [1] * 4, "DetectorVector": [1] * 4}
    vectors = {key: [value] if isinstance(value, list) else value for key, value in {**ones, **attributes}.items()}
    return {**_NM_FRAMES, "frames": 4, "attributes": {"ImageType": r"ORIGINAL\PRIMARY\RECON TOMO\EMISSION", **vectors}}


CASES: dict[str, Case] = {
    # pixels: bits, signs, colour models
    "plain_ct": _exact("F9, F10: what the example does to a plain CT"),
    "u12_ct": _exact("F10: Bits Stored 12 becomes 16", bits_stored=12),
    "u8_sc": _exact("F1: 8 bits through the C++ example end in a heap overflow", modality="SC", **_U8),
    "u8_ct": _exact("F1: 8 bits with a rescale", **_U8),
    "s8_mr": _exact("F10: signed 8 bits have no ITK type of their own", modality="MR", signed=True, **_U8),
    "u8_in_16": _exact("U10: 8 of 16 bits crashed GDCM", bits_stored=8, intercepts="0"),
    "u10_mr": _exact("F10: 10 of 16 bits", modality="MR", bits_stored=10),
    "u15_mr": _exact("F10: 15 of 16 bits", modality="MR", bits_stored=15),
    "u16_ct": _exact("F10: all 65536 values", bits_stored=16),
    "u16_mr": _exact("F10: all 65536 values, no rescale", modality="MR", bits_stored=16),
    "s12_ct": _exact("F10: signed, sign-extended", bits_stored=12, signed=True, intercepts="0"),
    "s16_ct": _exact("F10: signed 16 bits", bits_stored=16, signed=True, intercepts="0"),
    "s16_intercept_32768": _exact("U9: signed with intercept 32768", bits_stored=16, signed=True,
                                  intercepts="32768"),
    "s12_not_extended": _exact("R 3.1: unused bits of negative values are zero", signed=True,
                               sign_extended=False),
    "u12_high_bits": _exact("F20: noise in the unused bits", high_bits=True),
    "s12_high_bits": _exact("F20: noise in the unused bits of signed values", high_bits=True, signed=True),
    "u12_high_bits_rescaled": _exact("F20, F11: noise above, slope not whole", high_bits=True, slopes="0.3"),
    "mono1_ct": _exact("F3, U34: MONOCHROME1 inverted, rescale kept: HU wrong", path="itk-inverted",
                       photometric="MONOCHROME1"),
    "mono1_cr": _exact("F3: MONOCHROME1 without rescale", path="itk-inverted", modality="CR", photometric="MONOCHROME1",
                       bits_stored=10),
    "mono1_signed": _exact("F3: MONOCHROME1 of signed values", photometric="MONOCHROME1", signed=True),
    "mono1_u16": _exact("F3: MONOCHROME1 of 16 bits", path="itk-inverted",
                        photometric="MONOCHROME1", bits_stored=16),
    "mono1_u8": _exact("F3: MONOCHROME1 of 8 bits", path="itk-inverted",
                       modality="SC", photometric="MONOCHROME1", **_U8),
    "mono1_slope": _exact("F3, F11: MONOCHROME1 with a slope", path="itk-inverted",
                          photometric="MONOCHROME1", slopes="0.25"),
    "mono1_high_bits": _exact("F3, F20: MONOCHROME1 with noise in the unused bits", path="itk-inverted",
                              photometric="MONOCHROME1",
                              high_bits=True),
    "odd_pixel_bytes": _exact("S PS3.5 8.1.1: odd count of bytes, padded", modality="SC", rows=11, columns=17,
                              **_U8),
    "odd_pixel_bytes_ff": _exact("R PIX-02: the pad byte is part of the value", modality="SC", rows=11,
                                 columns=17, pixel_pad=b"\xff", **_U8),
    "pixel_trailing_bytes": _exact("R PIX-02: bytes after the last pixel", trailing=b"\1\2\3\4\5\6"),
    "u8_as_ow": _exact("S PS3.5 8.1.2: 8 bits in Explicit VR as OW", modality="SC", pixel_vr="OW", **_U8),
    "one_row": _exact("F14: an image of one row", rows=1, columns=37),
    "one_slice": _exact("F18: a series of one slice", slices=1),
    "two_slices": _exact("F14: a series of two slices", slices=2),
    "many_slices": _exact("U37: names that sort 1, 10, 2", slices=12, names="numbers"),
    "pad_us": _exact("F10: Pixel Padding Value 63536 becomes -2000", padding_values="US"),
    "pad_ss": _exact("F10: Pixel Padding Value of signed pixels", padding_values="SS", signed=True,
                     intercepts="0"),
    "pad_us_signed": _exact("R PIX-01: US padding with signed pixels, as it stands", padding_values="US",
                            signed=True),
    # rescale
    "var_slope_first_int": _exact("F11, U4: type taken from the first slice", slopes=["1", "2.37", "0.731",
                                  "1.5"]),
    "var_slope_first_frac": _exact("F11: first slope not whole", slopes=["2.37", "1", "0.731", "3"]),
    "var_intercept": _exact("F11: intercepts differ", intercepts=["-1024", "0", "-1000.5", "7"]),
    "sign_differs": _exact("F11: the first slice fits unsigned, a later one does not", intercepts=["0",
                           "-4096", "0", "-8192"]),
    "slope_tenth": _exact("F11: 0.1 has no exact binary form", slopes="0.1"),
    "slope_tiny": _exact("F11: slope 1e-7", slopes="1e-7", bits_stored=16),
    "slope_large": _exact("F11: slope 12345.678", slopes="12345.678", bits_stored=16),
    "slope_negative": _exact("F11: negative slope", slopes="-1.5"),
    "slope_minus_one": _exact("F11: slope -1", slopes="-1", intercepts="4095"),
    "slope_zero": _exact("F12: slope 0 cannot be written", slopes="0"),
    "slope_zero_once": _exact("F12: slope 0 in one slice", slopes=["1", "0", "2", "0.5"]),
    "slope_empty": _attributes("F12: Rescale Slope without a value", RescaleSlope=b"", RescaleIntercept=b""),
    "intercept_only": _exact("F12: intercept without slope", slopes=None),
    "slope_only": _exact("F12: slope without intercept", slopes="2", intercepts=None),
    "slope_missing_once": _exact("F12: one slice lacks slope and intercept", slopes=["1", None, "1", "1"],
                                 intercepts=["-1024", None, "-1024", "-1024"]),
    "slope_one_text": _exact("F17: slope 1 as 1.000000e+00", slopes="1.000000e+00", intercepts="-1.024E3"),
    "slope_long_text": _exact("F17: slope of more than 16 bytes", slopes="0.12345678901234567"),
    "intercept_huge": _exact("F11: small steps on a huge base", slopes="0.001", intercepts="1000000"),
    "pet_slopes_per_slice": _exact("F11, U4: a slope per slice", **_PET),
    "pet_unsigned": _exact("F11: PET of unsigned values", modality="PT", bits_stored=16),
    "pet_tau_slopes": _exact("U5: slopes 7.5e-9 to 3.1e-8", slopes=["7.5e-9", "1.02609e-08", "3.1e-8",
                             "2e-8"], **_PET),
    "pet_intercept": _exact("R inherited: PET with an intercept", **{**_PET, "intercepts": "-3.5"}),
    "mr_rescale": _exact("F15, U7: MR with a rescale becomes Enhanced MR", modality="MR", slopes="0.5",
                         intercepts="3", attributes={"RescaleType": "normalized"}),
    "mr_rescale_ten": _exact("F15: Rescale Type overwritten by US", modality="MR", slopes="1", intercepts="0",
                             attributes={"RescaleType": "HU"}),
    "nm_plain": _exact("R TYP-02: NM stays PRIMARY", modality="NM", bits_stored=16),
    "ophthalmic": _exact("R TYP-02: Ophthalmic Photography stays PRIMARY", modality="OP", **_U8),
    "ophthalmic_colour": _exact("R TYP-02: the same in colour", **{**_RGB, "modality": "OP"},
                                attributes={"ImageType": r"ORIGINAL\PRIMARY\\COLOR"}),
    "ophthalmic_16": _exact("R TYP-02: Ophthalmic Photography 16 Bit stays PRIMARY", modality="OPW", bits_stored=16),
    "nm_rescale": _exact("F13: rescale outside a list of SOP Classes", modality="NM", slopes="0.37",
                         intercepts="0"),
    "mg_rescale": _exact("F13: rescale of mammography", modality="MG", slopes="2", intercepts="10"),
    "mg_plain": _exact("F13: identity rescale of mammography", modality="MG"),
    "dx_rescale": _exact("U8: DX with a slope becomes another SOP Class", modality="DX", slopes="0.5"),
    "dx_mono1": _exact("F3: DX, MONOCHROME1", path="itk-inverted", modality="DX", photometric="MONOCHROME1"),
    "cr_plain": _exact("F15: position and orientation invented for CR", modality="CR"),
    "us_single": _exact("F15: a region sequence invented for US", modality="US", slices=2, **_U8),
    "sc_plain": _exact("F15: slope, intercept and conversion type added to SC", modality="SC"),
    "rtdose_sf": _exact("F2: Dose Grid Scaling becomes 1", modality="RTDOSE", slices=1, bits_stored=16),
    "rtdose_two_offsets": _exact("F18: Grid Frame Offset Vector without Number of Frames", modality="RTDOSE",
                                 slices=1, bits_stored=16, attributes={"GridFrameOffsetVector": r"0\3"}),
    "private_sop_class": _exact("F19: a SOP Class that ITK does not list", modality="PRIVATE"),
    "modality_lut": _exact("F5: Modality LUT lost", modality_lut=True),
    "voi_lut": _exact("F5: VOI LUT lost", voi_lut=True),
    "mr_rwvm_one": _exact("F5: Real World Value Mapping lost", modality="MR", real_world_values=1),
    "mr_rwvm_two": _exact("F18: two mappings end the process", modality="MR", real_world_values=2),
    "mr_rwvm_two_rescale": _exact("F18, F15: two mappings and a rescale", modality="MR", real_world_values=2,
                                  slopes="2", intercepts="0"),
    "ct_rwvm_one": _exact("F18: a mapping beside a rescale", real_world_values=1),
    # transfer syntaxes
    "implicit": _exact("R TS: Implicit VR stays", transfer_syntax="implicit"),
    "implicit_u8": _exact("R TS: OW of 8 bits in Implicit VR", transfer_syntax="implicit", modality="SC",
                          **_U8),
    "implicit_private": _exact("R TS: no guessing of private VRs", transfer_syntax="implicit",
                               private="unknown"),
    "implicit_undefined": _exact("R TS: undefined lengths in Implicit VR", transfer_syntax="implicit",
                                 nested_sequences="undefined", private="two_blocks"),
    "big_endian": _exact("S PS3.5 7.3: Big Endian becomes Little Endian", transfer_syntax="big"),
    "big_endian_signed": _exact("S PS3.5 7.3: signed words", transfer_syntax="big", signed=True,
                                bits_stored=16),
    "big_endian_u8": _exact("S PS3.5 8.1.2: OB keeps its bytes", transfer_syntax="big", modality="SC", **_U8),
    "big_endian_u8_ow": _exact("S PS3.5 8.1.2: OW of 8 bits swaps its bytes", transfer_syntax="big",
                               modality="SC", pixel_vr="OW", **_U8),
    "big_endian_odd": _exact("S PS3.5 8.1.2: OW of 8 bits, odd count", transfer_syntax="big", modality="SC",
                             pixel_vr="OW", rows=11, columns=17, **_U8),
    "big_endian_words": _exact("S PS3.5 7.3: every VR of several bytes", transfer_syntax="big",
                               vm_1_n_binary=True, long_digits=True, voi_lut=True, overlays="own",
                               long_words=("OD", "OL", "OV", "UV", "SV", "OF", "OW")),
    "big_endian_nested": _exact("S PS3.5 7.5: items in Big Endian, undefined lengths", transfer_syntax="big",
                                nested_sequences="undefined", real_world_values=1),
    "big_endian_private": _exact("S PS3.5 7.8: private words swapped, UN kept", transfer_syntax="big",
                                 private="unknown"),
    "big_endian_high_bits": _exact("F20: unused bits, Big Endian", transfer_syntax="big", high_bits=True),
    "deflated": _exact("S PS3.5 A.5: deflated", transfer_syntax="deflated", nested_sequences="defined"),
    "rle_u12": _exact("F20: RLE", transfer_syntax="rle"),
    "rle_s16": _exact("F20: RLE of signed words", transfer_syntax="rle", signed=True, bits_stored=16,
                      intercepts="0"),
    "rle_u8": _exact("R TS: OB stays OB", transfer_syntax="rle", modality="SC", **_U8),
    "rle_odd": _exact("S PS3.5 8.1.1: decompressed to an odd count of bytes", transfer_syntax="rle",
                      modality="SC", rows=11, columns=17, **_U8),
    "rle_mono1": _exact("F3: RLE, MONOCHROME1", path="itk-inverted", transfer_syntax="rle", photometric="MONOCHROME1"),
    "rle_high_bits": _exact("F20: RLE keeps the unused bits, which then may go", transfer_syntax="rle",
                            high_bits=True),
    "rle_offsets": _exact("F8: an Extended Offset Table has the VR OV", transfer_syntax="rle",
                          extended_offsets=True),
    "rle_private": _exact("F6: private blocks in a compressed file", transfer_syntax="rle",
                          private="unknown"),
    "jpeg_lossless": _exact("R TS: JPEG Lossless SV1", transfer_syntax="jpeg_lossless"),
    "jpeg_lossless_14": _exact("R TS: JPEG Lossless, process 14", transfer_syntax="jpeg_lossless_14"),
    "jpeg_lossless_u16": _exact("R TS: JPEG Lossless of 16 bits", transfer_syntax="jpeg_lossless",
                                bits_stored=16),
    "jpeg_lossless_u8": _exact("R TS: JPEG Lossless of 8 bits", transfer_syntax="jpeg_lossless",
                               modality="SC", **_U8),
    "jpeg_lossless_s16": _exact("R TS: JPEG Lossless of signed words", transfer_syntax="jpeg_lossless",
                                signed=True, bits_stored=16, intercepts="0"),
    "jpeg_lossless_reduced": _exact("S ISO 10918-1 H.2.1: differences modulo 4096, on which decoders disagree",
                                    path="source", reduced_differences=True, transfer_syntax="jpeg_lossless"),
    "jpeg_lossless_reduced_u8": _exact("S ISO 10918-1 H.2.1: differences modulo 256", path="source",
                                       reduced_differences=True, transfer_syntax="jpeg_lossless_14", modality="SC",
                                       **_U8),
    "jpeg_lossless_pet": _exact("F11: JPEG Lossless, slopes per slice", transfer_syntax="jpeg_lossless",
                                **_PET),
    "jpeg_ls_u12": _exact("R TS: JPEG-LS", transfer_syntax="jpeg_ls"),
    "jpeg_ls_u16": _exact("R TS: JPEG-LS of 16 bits", transfer_syntax="jpeg_ls", bits_stored=16),
    "j2k_u12": _exact("R TS: JPEG 2000", transfer_syntax="j2k", rows=33, columns=40),
    "j2k_s16": _exact("R TS: JPEG 2000 of signed words", transfer_syntax="j2k", rows=33, columns=40,
                      signed=True, bits_stored=16, intercepts="0"),
    "mixed_syntaxes": _exact("R TS: one slice of another transfer syntax",
                             last_slice={"transfer_syntax": "rle"}),
    "mixed_implicit": _exact("R TS: one slice in Implicit VR", last_slice={"transfer_syntax": "implicit"},
                             private="unknown"),
    # sequences and private data
    "nested_defined": _exact("F5: sequences dropped", nested_sequences="defined"),
    "nested_undefined": _exact("F5: sequences of undefined length", nested_sequences="undefined"),
    "un_sequence_defined": _exact("F20: VR UN decoded", un_sequences="defined"),
    "un_sequence_undefined": _exact("F20: VR UN of undefined length", un_sequences="undefined"),
    "empty_sequences": _exact("F20: empty UN sequence lost", empty_sequences=True),
    "private_known": _exact("F6: makers GDCM knows; its VRs", private="known"),
    "private_unknown": _exact("F6, U13: makers GDCM does not know; the write throws", private="unknown"),
    "private_two_blocks": _exact("S PS3.5 7.8: two blocks in one group", private="two_blocks"),
    "private_same_creator": _exact("S PS3.5 7.8: two blocks of one creator", private="same_creator"),
    "private_un_creator": _exact("S PS3.5 7.8: a creator with VR UN", private="un_creator"),
    "private_latin1_creator": _exact("F6: a creator outside ASCII", private="latin1_creator"),
    "private_orphan": _exact("S PS3.5 7.8: no creator", private="orphan"),
    "private_long": _exact("S PS3.5 7.1: values over 64 kB", private="long"),
    "private_after_pixels": _exact("S PS3.5 7.1: elements after Pixel Data", private="after_pixels"),
    "private_in_items": _exact("S PS3.5 7.8: a block inside an item", private_creator_in_items=True),
    "unknown_public_tag": _exact("F7: a public tag GDCM does not know", unknown_public="LO"),
    "unknown_public_un": _exact("F7: the same with VR UN", unknown_public="UN"),
    "unknown_public_implicit": _exact("F7: the same in Implicit VR", unknown_public="LO",
                                      transfer_syntax="implicit"),
    "od_ol_ov_uv_sv": _exact("F8: the whole series unreadable", long_words=("OD", "OL", "OV", "UV", "SV")),
    "od_only": _exact("F8: VR OD", long_words=("OD",)),
    "ov_only": _exact("F8: VR OV", long_words=("OV",)),
    "uv_sv": _exact("F8: VRs UV and SV, which HEAD does not read either", long_words=("UV", "SV")),
    "of_ow": _exact("U14: VRs OF and OW", long_words=("OF", "OW")),
    "long_words_implicit": _exact("F8: the same in Implicit VR", long_words=("OD", "OL", "OV", "UV", "SV"),
                                  transfer_syntax="implicit"),
    "vm_1_n_binary": _exact("F4, U18: memory garbage", vm_1_n_binary=True),
    "long_digits": _exact("F16, U17: FD and FL cut to 6 digits", long_digits=True),
    "odd_decimals": _exact("F17, U19: decimal strings printed anew", odd_decimals=True),
    "icon": _exact("F5: icon", icon="bytes"),
    "icon_big_endian": _exact("S PS3.5 7.3: words of an icon", icon="words", transfer_syntax="big"),
    "icon_rle": _exact("R IconImageSequence: native in a compressed file", icon="bytes",
                       transfer_syntax="rle"),
    "curves": _exact("R keep: curves, a repeating group", curves=True),
    "curves_big_endian": _exact("S PS3.5 7.3: words of a repeating group", curves=True,
                                transfer_syntax="big"),
    "un_texts": _exact("F20: texts with VR UN", unknown_vr=("PatientName", "KVP", "StudyDescription",
                       "WindowCenter")),
    "un_ruled": _exact("R set: attributes of the rules with VR UN", unknown_vr=("ImageType",
                       "SeriesDescription", "SeriesNumber", "InstanceNumber", "SeriesDate")),
    "un_in_equipment": _exact("R append: old items with VR UN", contributing_equipment="unknown_vr"),
    "un_geometry": _exact("F20: geometry with VR UN", unknown_vr=("ImagePositionPatient", "PixelSpacing")),
    "unpadded": _exact("S PS3.5 6.2: texts of odd length", unpadded=True),
    "unpadded_implicit": _exact("S PS3.5 6.2: the same in Implicit VR", unpadded=True,
                                transfer_syntax="implicit"),
    "nested_deep": _exact("F5: 30 levels", nested_sequences="deep"),
    "nested_deep_undefined": _exact("F5: 30 levels of undefined length", nested_sequences="deep",
                                    undefined_lengths=True, transfer_syntax="implicit"),
    "nested_many": _exact("F5: 300 items", nested_sequences="many"),
    "group_lengths": _exact("R group lengths: removed", group_lengths="top"),
    "group_lengths_nested": _exact("R group lengths: in items", group_lengths="nested",
                                   nested_sequences="defined"),
    "group_lengths_implicit": _exact("R group lengths: Implicit VR", group_lengths="nested",
                                     transfer_syntax="implicit", nested_sequences="undefined"),
    "group_lengths_big": _exact("R group lengths: Big Endian", group_lengths="nested", transfer_syntax="big",
                                nested_sequences="defined"),
    "length_to_end": _exact("R LengthToEnd: removed by derived, kept by copy", length_to_end=True),
    "trailing_padding": _exact("R DataSetTrailingPadding: removed by derived, kept by copy",
                               trailing_padding=True),
    # texts
    "latin1_name": _exact("F21, U25: Latin-1", text="latin1"),
    "greek_name": _exact("F21: Greek", text="greek"),
    "cyrillic_name": _exact("F21: Cyrillic", text="cyrillic"),
    "gb18030_name": _exact("F21: GB18030, with a second byte that is a backslash", text="gb18030"),
    "utf8_name": _exact("F21: UTF-8", text="utf8"),
    "japanese_name": _exact("F21: ISO 2022 escape sequences", text="japanese"),
    "katakana_name": _exact("F21: katakana of one byte", text="katakana"),
    "undeclared_latin1": _exact("F21: Latin-1 that no character set declares", text="undeclared"),
    "latin1_implicit": _exact("F21: Latin-1 in Implicit VR", text="latin1", transfer_syntax="implicit"),
    "utf8_big_endian": _exact("F21: UTF-8, Big Endian", text="utf8", transfer_syntax="big"),
    "mixed_character_sets": _exact("F21: one slice in another character set", text="latin1",
                                   last_slice={"text": "utf8"}),
    "empty_character_set": _attributes("S PS3.3 C.12.1.1.2: Specific Character Set without a value",
                                       SpecificCharacterSet=b""),
    "no_character_set": _attributes("S PS3.3 C.12.1.1.2: no character set", SpecificCharacterSet=None),
    "empty_values": _exact("F15: empty values stay empty", empty_values=True),
    "nul_padded_text": _attributes("R keep: text padded with NUL", StudyDescription=b"Invented\0\0",
                                   SeriesDescription=b"Padded\0\0"),
    "description_64": _attributes("R SeriesDescription: the old text is shortened",
                                  SeriesDescription=_LONG_TEXT),
    "description_50": _attributes("R SeriesDescription: near the limit", SeriesDescription=_LONG_TEXT[:50]),
    "description_latin1_64": _attributes("R SeriesDescription: 64 characters in Latin-1",
                                         SeriesDescription=("ä" * 20 + " ö" * 22).encode("latin-1")),
    "description_utf8_64": _attributes("R SeriesDescription: 64 characters of several bytes",
                                       SpecificCharacterSet="ISO_IR 192",
                                       SeriesDescription=("虚构ä " * 16)[:63].encode() + b"x"),
    "description_japanese_64": _attributes("R SeriesDescription: shortened between escape sequences",
                                           SpecificCharacterSet=r"\ISO 2022 IR 87",
                                           SeriesDescription=_LONG_JAPANESE.encode("iso2022_jp")),
    "description_missing": _attributes("R SeriesDescription: none", SeriesDescription=None),
    "description_empty": _attributes("R SeriesDescription: empty", SeriesDescription=b""),
    "description_differs": _attributes("R HDR-03 inherited: descriptions differ", SeriesDescription=["First",
                                       "Second", "Third", "Fourth"]),
    "derivation_short": _attributes("R DerivationDescription: old text first",
                                    DerivationDescription="Invented step"),
    "derivation_1000": _attributes("R DerivationDescription: 1000 characters",
                                   DerivationDescription=("invented step; " * 70)[:1000]),
    "derivation_1024": _attributes("R DerivationDescription: 1024 characters",
                                   DerivationDescription=("invented step; " * 70)[:1024]),
    "derivation_1500": _attributes("R DerivationDescription: longer than it may be",
                                   DerivationDescription=("invented step; " * 150)[:1500]),
    "derivation_latin1": _attributes("R DerivationDescription: long, Latin-1",
                                     DerivationDescription=("Schärfung; " * 95)[:1024].encode("latin-1")),
    "derivation_backslash": _attributes("S PS3.5 6.2: ST may hold a backslash",
                                        DerivationDescription="a\\b\r\nc"),
    # identity and derivation
    "missing_sop_uid": _attributes("R 2.2: no SOP Instance UID: nothing to refer to", SOPInstanceUID=None),
    "missing_sop_uid_chain": _exact("R 2.2: no SOP Instance UID, an older chain", source_images="121320",
                                    attributes={"SOPInstanceUID": None}),
    "missing_series_uid": _attributes("R 2.2: no Series Instance UID", SeriesInstanceUID=None),
    "empty_series_uid": _attributes("R 2.2: Series Instance UID without a value", SeriesInstanceUID=b""),
    "missing_study_uid": _copy_only("R 2.2: no Study Instance UID", "study", StudyInstanceUID=None),
    "missing_sop_class": _copy_only("R 2.2: no SOP Class UID", "SOP Class", SOPClassUID=None),
    "missing_frame_of_reference": _attributes("F9: no Frame of Reference UID", FrameOfReferenceUID=None),
    "uid_leading_zero": _attributes("R UID-04 inherited: components with leading zeros",
                                    StudyInstanceUID="1.2.276.0.00123", FrameOfReferenceUID="1.2.003"),
    "uid_space_padded": _attributes("S PS3.5 9: UIDs padded with a space", StudyInstanceUID=b"1.2.276.0.77 ",
                                    SeriesInstanceUID=b"1.2.276.0.778 "),
    "image_type_missing": _attributes("R ImageType: none", ImageType=None),
    "image_type_one": _attributes("R ImageType: one value", ImageType="ORIGINAL"),
    "image_type_two": _attributes("R ImageType: two values", ImageType=r"ORIGINAL\PRIMARY"),
    "image_type_gaps": _attributes("R ImageType: empty values keep their place",
                                   ImageType=r"ORIGINAL\PRIMARY\\M\\"),
    "image_type_derived": _attributes("R ImageType: derived already", ImageType=r"DERIVED\PRIMARY\MPR\X"),
    "image_type_differs": _attributes("R ImageType: values 3 and on differ by slice",
                                      ImageType=[rf"ORIGINAL\PRIMARY\AXIAL\N{i}" for i in range(4)]),
    "instance_number_missing": _attributes("R InstanceNumber: none", InstanceNumber=None),
    "instance_number_empty": _attributes("R InstanceNumber: one without a value", InstanceNumber=["1", b"",
                                         "3", "4"]),
    "instance_number_twice": _attributes("R InstanceNumber: one stands twice", InstanceNumber=["1", "2", "2",
                                         "4"]),
    "instance_number_huge": _attributes("R InstanceNumber: the largest IS",
                                        InstanceNumber=[str(2**31 - 4 + i) for i in range(4)]),
    "instance_number_odd": _attributes("R InstanceNumber: kept as text", InstanceNumber=["+01", " 2", "003 ",
                                       "-4"]),
    "series_number_missing": _attributes("R SeriesNumber: none", SeriesNumber=None),
    "series_number_empty": _attributes("R SeriesNumber: empty", SeriesNumber=b""),
    "series_number_huge": _attributes("R SeriesNumber: source + 1000 is no IS", SeriesNumber=str(2**31 - 1)),
    "series_number_odd": _attributes("R SeriesNumber: zeros and a sign", SeriesNumber="+004 "),
    "series_number_differs": _attributes("R HDR-03: one number for the derived series", SeriesNumber=["4",
                                         "4", "5", "4"]),
    "series_number_negative": _attributes("R SeriesNumber: negative", SeriesNumber="-5"),
    "series_date_missing": _attributes("R SeriesDate: none", SeriesDate=None, SeriesTime=None),
    "creation_missing": _attributes("R InstanceCreationDate: none", InstanceCreationDate=None,
                                    InstanceCreationTime=None),
    "content_date_missing": _attributes("R ContentDate: none, none added", ContentDate=None,
                                        ContentTime=None),
    "timezone_east": _attributes("R TimezoneOffsetFromUTC: kept, dates in that offset",
                                 TimezoneOffsetFromUTC="+0530"),
    "timezone_west": _attributes("R TimezoneOffsetFromUTC: behind UTC", TimezoneOffsetFromUTC="-0800"),
    "source_images_bare": _exact("R SourceImageSequence: items without purpose", source_images="bare"),
    "source_images_121322": _exact("R SourceImageSequence: ours is the last of this purpose",
                                   source_images="121322"),
    "source_images_121320": _exact("R SourceImageSequence: another purpose", source_images="121320"),
    "derivation_codes": _exact("R DerivationCodeSequence: kept, none added", derivation_codes=True),
    "contributing_equipment": _exact("R ContributingEquipmentSequence: old items first",
                                     contributing_equipment="plain"),
    "referenced_series_same": _exact("R ReferencedSeriesSequence: merged", referenced_series="same",
                                     referenced_images="own"),
    "referenced_series_other": _exact("R ReferencedSeriesSequence: another series kept",
                                      referenced_series="other"),
    "referenced_series_both": _exact("R ReferencedSeriesSequence: both", referenced_series="both"),
    "referenced_images": _exact("R ReferencedImageSequence: never pointed elsewhere",
                                referenced_images="localizer"),
    "referenced_images_own": _exact("R 0008,1115: instances of the same series are listed",
                                    referenced_images="own"),
    "derivation_all_big_endian": _exact("R append: old items re-encoded", transfer_syntax="big",
                                        source_images="121322", contributing_equipment="plain",
                                        referenced_series="both", derivation_codes=True),
    "derivation_all_implicit": _exact("R append: old items in Implicit VR", transfer_syntax="implicit",
                                      source_images="121322", contributing_equipment="plain",
                                      referenced_series="both", derivation_codes=True),
    "derivation_all_latin1": _exact("R append: beside texts in Latin-1", text="latin1",
                                    source_images="121322", contributing_equipment="plain",
                                    referenced_series="both"),
    "derivation_all_odd": _exact("R append: old items keep texts, VRs and private data",
                                 source_images="121320", contributing_equipment="odd",
                                 referenced_series="both"),
    "derivation_all_odd_implicit": _exact("R append: the same in Implicit VR", source_images="121320",
                                          contributing_equipment="odd", referenced_series="both",
                                          transfer_syntax="implicit"),
    "derivation_all_odd_big_endian": _exact("R append: the same in Big Endian", source_images="121320",
                                            contributing_equipment="odd", referenced_series="both",
                                            transfer_syntax="big"),
    "derivation_all_undefined": _exact("R append: to sequences of undefined length", source_images="121322",
                                       contributing_equipment="odd", referenced_series="both",
                                       undefined_lengths=True),
    "derivation_all_group_lengths": _exact("R append: old items with group lengths", source_images="121322",
                                           contributing_equipment="odd", referenced_series="both",
                                           group_lengths="nested"),
    "derivation_all_empty": _exact("R append: to empty sequences", source_images="empty",
                                   referenced_series="empty"),
    "referenced_series_bare": _exact("R ReferencedSeriesSequence: the series without instances",
                                     referenced_series="bare"),
    "signatures_top": _exact("R signatures: removed by derived, kept by copy", signatures="top"),
    "signatures_item": _exact("R signatures: kept where the content is unchanged", signatures="item"),
    "encrypted": _exact("R EncryptedAttributesSequence: removed by derived", encrypted=True),
    "status": _exact("R SOPInstanceStatus and others: removed by derived", status=True),
    "lossy_flag": _exact("R LossyImageCompression: 01 stays, with ratio and method", lossy_history="one"),
    "lossy_two": _exact("R LossyImageCompression: two steps", lossy_history="two"),
    "lossy_flag_only": _exact("R LOS-01 inherited: 01 without ratio", lossy_history="flag_only"),
    "overlay": _exact("R Overlays: kept with their statistics", overlays="own"),
    "overlay_two": _exact("R Overlays: two groups", overlays="two"),
    "overlay_implicit": _exact("R Overlays: Implicit VR", overlays="own", transfer_syntax="implicit"),
    "frames_one": _exact("F20: Number of Frames 1 lost", frames=1),
    "frames_one_nm": _exact("F20: Number of Frames 1 in NM", modality="NM", frames=1),
    "modality_missing": _attributes("R keep: no Modality", Modality=None),
    "spacing_missing": _attributes("F14: Spacing Between Slices added", SpacingBetweenSlices=None),
    "spacing_zero": _attributes("F14: Spacing Between Slices 0", SpacingBetweenSlices="0"),
    "pixel_spacing_missing": _attributes("U16: no Pixel Spacing", PixelSpacing=None),
    "meta_extras": _exact("R 0002: nothing of the source's sender", meta_extras=True),
    "preamble": _exact("R preamble: zeros", preamble=b"II*\0" + bytes(range(124))),
    # geometry
    "gap": _exact("U30: a missing slice", geometry="gap"),
    "duplicate_position": _exact("U31: two slices at one position", geometry="duplicate"),
    "same_position": _exact("U28: all slices at one position", geometry="same"),
    "tilt": _exact("U32: tilt", geometry="tilt"),
    "echoes": _exact("U27, U28: two echoes", modality="MR", geometry="echoes"),
    "echoes_numbered_each": _exact("R InstanceNumber: repeated, but not within one pass", modality="MR",
                                   geometry="echoes", attributes={"InstanceNumber": ["1", "2", "1", "2"]}),
    "descending": _exact("U33: descending", geometry="descending"),
    "oblique": _exact("F17: oblique, long digits", geometry="oblique"),
    "sagittal": _exact("U33: sagittal", geometry="sagittal"),
    "wobble": _exact("U30: positions rounded by the scanner", geometry="wobble"),
    "no_positions": _exact("F15: no position or orientation", geometry="none"),
    "no_position_once": _exact("F15: one slice without a position", last_slice={"geometry": "none"}),
    "malformed_spacing": _attributes("S PS3.5 6.2: Pixel Spacing with decimal commas", PixelSpacing=b"0,75\\0,50"),
    "malformed_spacing_one": _attributes("S PS3.3 10.7.1.3: one value, zero, negative, none", PixelSpacing=[
                                         "0.75", r"0\0", r"-0.75\0.5", b""]),
    "malformed_position": _attributes("S PS3.5 6.2: Image Position (Patient) with decimal commas",
                                      ImagePositionPatient=[rf"-10,5\-20,25\{k},5" for k in range(4)]),
    "malformed_orientation": _attributes("S PS3.3 C.7.6.2.1.1: Image Orientation (Patient) of zeros",
                                         ImageOrientationPatient=r"0\0\0\0\0\0"),
    "malformed_orientation_parallel": _attributes("S PS3.3 C.7.6.2.1.1: rows along the columns",
                                                  ImageOrientationPatient=r"1\0\0\1\0\0"),
    "malformed_orientation_skewed": _attributes("S PS3.3 C.7.6.2.1.1: row and column not perpendicular",
                                                ImageOrientationPatient=r"1\0\0\0.1\0.994987\0"),
    "localizer": _exact("U29: a localizer of the same size", last_slice={"geometry": "coronal",
                        "attributes": {"ImageType": r"ORIGINAL\PRIMARY\LOCALIZER"}}),
    "mixed_sop_classes": _exact("R SourceImageSequence: each names its own SOP Class",
                                last_slice={"modality": "SC", "slopes": "1", "intercepts": "-1024", "attributes": {
                                    "Modality": "CT", "FrameOfReferenceUID": make_uid("frame of reference", 0),
                                    "PatientPosition": "HFS", "RescaleType": "HU"}}),
    "mixed_frames_of_reference": _mixed("Frame of Reference UID", FrameOfReferenceUID=make_uid("two")),
    "mixed_patients": _mixed("Patient ID", PatientID="INVENTED-2", PatientName="Other^One"),
    "mixed_birth_dates": _mixed("Patient's Birth Date", PatientBirthDate="19710203"),
    "mixed_studies": _mixed("Study Instance UID", StudyInstanceUID=make_uid("other study")),
    "mixed_modalities": _mixed("Modality", Modality="MR"),
    "mixed_equipment": _mixed("Manufacturer's Model Name", ManufacturerModelName="Model 8"),
    "mixed_patient_positions": _mixed("Patient Position", PatientPosition="FFS"),
    "mixed_units": Case("R A.1.2.3: one slice of other units", {**_PET, "last_slice": {"attributes": {
                        "Units": "CNTS"}}}, derived_outcome="refused", reason="Units"),
    "mixed_rescale_types": _exact("S C.11.1: one slice of another Rescale Type",
                                  last_slice={"attributes": {"RescaleType": "US"}}),
    "mixed_pixel_spacings": _exact("S 10.7.1: one slice of another Pixel Spacing",
                                   last_slice={"attributes": {"PixelSpacing": r"1.5\1"}}),
    "mixed_orientations": _exact("U29: two orientations", last_slice={"geometry": "sagittal"}),
    # files
    "names_shuffled": _exact("R pairing: names in another order than slices", names="shuffled"),
    "names_no_extension": _exact("S: names without extension", names="no_extension"),
    "names_subfolders": _exact("F19: the same names in two subfolders", names="subfolders"),
    "names_uid": _exact("S: names with dots, no extension", names="uid"),
    "names_unicode": _exact("U26: names with spaces and outside ASCII", names="unicode"),
    "names_upper": _exact("S: another extension", names="upper"),
    "names_derived": _exact("R names: the prefix stands already", names="derived"),
    "names_hidden": _exact("S: names that begin with a dot", names="hidden"),
    "names_shell": _exact("S: names with a dash first and with signs of the shell", names="shell"),
    "names_links": _exact("S: symbolic links to files", names="links"),
    "junk_text": _exact("U38: files that are not DICOM", beside=("text",)),
    "junk_empty": _exact("U38: an empty file", beside=("empty",)),
    "junk_dicomdir": _exact("U38: a DICOMDIR", beside=("dicomdir",)),
    "junk_truncated_header": _exact("U38: a file that ends in its header", beside=("truncated_header",)),
    "junk_truncated_meta": _exact("U38: a file that ends in group 0002", beside=("truncated_meta",)),
    "junk_all": _exact("U38: all of them", beside=("text", "empty", "dicomdir", "truncated_header")),
    "two_series": _refused("F19: two series, none chosen", "series", beside=("other_series",)),
    "two_series_chosen": Case("F19: two series, one chosen", {"beside": ("other_series",)}, chosen=True),
    "two_studies": _refused("F19: two studies, none chosen", "series", beside=("other_study",)),
    # refused by name
    "no_series": _refused("U38: nothing but other files", "no DICOM series|holds no", slices=0,
                          beside=("text",)),
    "duplicate_files": _exact("R 2.2: the same file twice, byte for byte", beside=("duplicate",)),
    "duplicate_sop_uid": _refused("U21: two files of one instance", "SOP Instance UID",
                                  attributes={"SOPInstanceUID": [make_uid("instance", 0,
                                  i % 3) for i in range(4)]}),
    "truncated_pixels": _refused("R 1: a file ends before its pixels do", "truncated|ends", truncated=True),
    "no_pixels": _refused("R 1: an image without pixels", "pixel", pixel_element="missing"),
    "no_pixels_once": _refused("R 1: one slice without pixels", "pixel",
                               last_slice={"pixel_element": "missing"}),
    "empty_pixels": _refused("R 1: Pixel Data without a value", "pixel", pixel_element="empty"),
    "short_pixels": _refused("R 1: fewer pixels than Rows and Columns say", "pixel", pixel_element="short"),
    "huge_rows": _refused("R 1: Rows and Columns that nothing fills", "pixel|truncated|ends",
                          attributes={"Rows": 65535, "Columns": 65535}),
    "unknown_syntax": _refused("R 1: a transfer syntax nobody knows", "transfer syntax", meta="1.2.276.0.1"),
    "private_syntax": _refused("R 1: a private transfer syntax", "transfer syntax", meta=make_uid("syntax")),
    "syntax_ge": _refused("R 1: a private transfer syntax that is known by name",
                          r"GE, private.*Big Endian.*1\.2\.840\.113619\.5\.2", transfer_syntax="implicit",
                          meta="1.2.840.113619.5.2"),
    "syntax_papyrus": _refused("R 1: a retired transfer syntax", "retired.*Papyrus", transfer_syntax="implicit",
                               meta="1.2.840.10008.1.20"),
    "jpip": _refused("S PS3.5 A.6: pixels on a server", "JPIP Referenced.*Pixel Data Provider URL",
                     pixel_element="missing", meta="1.2.840.10008.1.2.4.94"),
    "jpip_deflated": _refused("S PS3.5 A.7: the same, deflated", "JPIP Referenced Deflate.*Pixel Data Provider URL",
                              pixel_element="missing", meta="1.2.840.10008.1.2.4.95", deflated_file=True),
    "smpte": _refused("S PS3.22: pixels in a stream", "SMPTE.*stream", pixel_element="missing",
                      meta="1.2.840.10008.1.2.7.1"),
    "concatenation": Case("R derived: one part of an instance is none", {**_ENHANCED, "slices": 2, "frames": 2,
                          "concatenation": True}, derived_outcome="refused", reason="concatenation"),
    # more than 16 bits, other places of the bits
    "bits_32": _exact("U11: 32 bits", **_U32),
    "bits_32_signed": _exact("U11: signed 32 bits", signed=True, intercepts="0", **_U32),
    "bits_32_plain": _exact("U11: 32 bits, no rescale", modality="SC", **_U32),
    "bits_32_tenth": _exact("F11: 32 bits, slope 0.1", slopes="0.1", **_U32),
    "bits_32_signed_tenth": _exact("F11: signed 32 bits, slope 0.1", slopes="0.1", signed=True, **_U32),
    "bits_20": _exact("F10: 20 of 32 bits", bits_allocated=32, bits_stored=20),
    "bits_20_signed": _exact("F10: 20 of 32 bits, signed", bits_allocated=32, bits_stored=20, signed=True,
                             slopes="0.1"),
    "bits_32_mono1": _exact("F3: MONOCHROME1 of 32 bits", photometric="MONOCHROME1", **_U32),
    "bits_32_big_endian": _refused("S PS3.5 7.3: 32 bits, Big Endian: readers order the words in two ways",
                                   "Big Endian", transfer_syntax="big", **_U32),
    "bits_32_implicit": _exact("U11: 32 bits, Implicit VR", transfer_syntax="implicit", **_U32),
    "rtdose_32": _exact("F2: a dose of 32 bits", modality="RTDOSE", slices=1, **_U32),
    "rtdose_frames": _exact("F2: a dose of several frames", **_DOSE_FRAMES),
    "rtdose_32_frames": _exact("F2: a dose of several frames of 32 bits", **{**_DOSE_FRAMES, **_U32}),
    "j2k_u20": _exact("F10: JPEG 2000 of 20 bits, which ITK decodes wrongly", path="source", transfer_syntax="j2k",
                      bits_allocated=32, bits_stored=20, slices=2, **_WIDE),
    "high_bit_15": _exact("F20: High Bit is not Bits Stored - 1", high_bit=15),
    "high_bit_15_signed": _exact("F20: the same of signed values", high_bit=15, signed=True),
    "high_bit_15_noise": _exact("F20: the same with noise below", high_bit=15, high_bits=True),
    "high_bit_11": _exact("F20: 8 bits in the midst of 16", high_bit=11, bits_stored=8),
    "high_bit_11_signed": _exact("F20: the same of signed values", high_bit=11, bits_stored=8, signed=True),
    "high_bit_15_rle": _exact("F20: High Bit 15 in RLE", high_bit=15, transfer_syntax="rle"),
    "high_bit_15_rle_noise": _exact("F20: the same with noise below", high_bit=15, transfer_syntax="rle",
                                    high_bits=True),
    "high_bit_11_rle_signed": _exact("F20: 8 signed bits in the midst of 16, RLE", high_bit=11, bits_stored=8,
                                     signed=True, transfer_syntax="rle"),
    "overlay_embedded": _exact("F20: an overlay in unused bits", overlays="embedded", high_bits=True),
    "overlay_embedded_rle": _exact("F20: an overlay in unused bits, RLE", overlays="embedded", high_bits=True,
                                   transfer_syntax="rle"),
    "overlay_embedded_big": _exact("F20: an overlay in unused bits, Big Endian", overlays="embedded",
                                   high_bits=True, transfer_syntax="big"),
    "one_bit": _exact("F20: 1 bit becomes 8", path="itk-inverted", modality="SC", bits_allocated=1,
                      bits_stored=1, columns=16),
    "one_bit_odd": _exact("S PS3.5 8.1.1: 1 bit, rows that end within bytes", path="itk-inverted", modality="SC",
                          bits_allocated=1, bits_stored=1, rows=5, columns=7),
    "one_bit_frames": _exact("S PS3.5 8.1.1: 1 bit, frames that end within bytes", path="itk-inverted", modality="SC",
                             slices=1, frames=3, bits_allocated=1, bits_stored=1, rows=5, columns=7),
    "one_bit_big": _exact("S PS3.5 7.3: 1 bit in words, Big Endian", path="itk-inverted", modality="SC",
                          bits_allocated=1, bits_stored=1, rows=4, columns=8, pixel_vr="OW", transfer_syntax="big"),
    "float_pixels": _exact("F19: pixels in floating point", path="source", float_pixels="FloatPixelData"),
    "double_pixels": _exact("F19: pixels in double precision", path="source", float_pixels="DoubleFloatPixelData"),
    "float_big_endian": _exact("S PS3.5 7.3: floating point, Big Endian", path="source", transfer_syntax="big",
                               float_pixels="FloatPixelData"),
    "one_pixel": _exact("F14: an image of one pixel", rows=1, columns=1),
    "one_pixel_u8": _exact("S PS3.5 8.1.1: one pixel of one byte", modality="SC", rows=1, columns=1, **_U8),
    "one_column": _exact("F14: an image of one column", rows=37, columns=1),
    "one_column_rle": _exact("F14: one column, RLE", path="source", path_since=ODD_RLE_REFUSED, rows=37, columns=1,
                              transfer_syntax="rle"),
    # colour
    "rgb": _exact("F1, U12: colour ends in a heap overflow", **_RGB),
    "rgb_planar": _exact("F1: colour, one plane after the other", path="itk-inverted", planar=1, **_RGB),
    "rgb_16": _exact("F1: colour of 16 bits", **_RGB_16),
    "rgb_16_planar": _exact("F1: colour of 16 bits, by plane", path="itk-inverted", planar=1, **_RGB_16),
    "rgb_implicit": _exact("F1: colour, Implicit VR", transfer_syntax="implicit", **_RGB),
    "rgb_big_endian": _exact("S PS3.5 8.1.2: colour in words, Big Endian", transfer_syntax="big", pixel_vr="OW",
                             **_RGB),
    "rgb_odd": _exact("S PS3.5 8.1.1: colour of an odd count of bytes", rows=5, columns=3, **_RGB),
    "rgb_odd_planar": _exact("S PS3.5 8.1.1: the same by plane", path="itk-inverted", rows=5, columns=3, planar=1,
                             **_RGB),
    "rgb_one_pixel": _exact("F14: one pixel in colour", rows=1, columns=1, **_RGB),
    "rgb_rle": _exact("F20: colour, RLE", transfer_syntax="rle", **_RGB),
    "rgb_rle_planar": _exact("F20: RLE that says Planar Configuration 1", planar=1, transfer_syntax="rle", **_RGB),
    "rgb_rle_odd": _exact("S PS3.5 8.1.1: RLE of an odd count of bytes", path="source", path_since=ODD_RLE_REFUSED,
                          rows=5, columns=3, transfer_syntax="rle", **_RGB),
    "rgb_rle_16": _exact("F20: colour of 16 bits, RLE, which ITK decodes wrongly", path="source",
                         transfer_syntax="rle", **_RGB_16),
    "rgb_jpeg_ls": _exact("R TS: JPEG-LS in colour", transfer_syntax="jpeg_ls", **_RGB),
    "rgb_jpeg_lossless": _exact("R TS: JPEG Lossless in colour", transfer_syntax="jpeg_lossless", **_RGB),
    "rgb_jpeg_lossless_planar": _exact("S PS3.5 8.2: JPEG Lossless that says Planar Configuration 1",
                                       planar=1, transfer_syntax="jpeg_lossless", **_RGB),
    "rgb_jpeg_lossless_reduced": _exact("S ISO 10918-1 H.2.1: colour, differences modulo 256", path="source",
                                        reduced_differences=True, transfer_syntax="jpeg_lossless", **_RGB),
    "rgb_j2k_planar": _exact("S PS3.5 8.2: JPEG 2000 that says Planar Configuration 1", planar=1,
                             transfer_syntax="j2k", slices=2, **{**_RGB, **_WIDE}),
    "rgb_jpeg_lossless_16": _exact("R TS: JPEG Lossless in colour of 16 bits", transfer_syntax="jpeg_lossless",
                                   **_RGB_16),
    "rgb_j2k": _exact("R TS: JPEG 2000 in colour, not transformed", transfer_syntax="j2k", slices=2,
                      **{**_RGB, **_WIDE}),
    "rgb_frames": _exact("F18: colour of several frames", slices=1, frames=3, **{**_RGB, "modality": "USMF"}),
    "rgb_frames_planar": _exact("F18: the same by plane", path="itk-inverted", slices=1, frames=3, planar=1,
                                **{**_RGB, "modality": "USMF"}),
    "rgb_frames_rle": _exact("F18: the same, RLE", slices=1, frames=3, transfer_syntax="rle",
                             **{**_RGB, "modality": "USMF"}),
    "ybr": _exact("U35: YBR becomes RGB", photometric="YBR_FULL", **_COLOUR),
    "ybr_planar": _exact("U35: YBR by plane", path="itk-inverted", photometric="YBR_FULL", planar=1, **_COLOUR),
    "ybr_rle": _exact("U35: YBR, RLE", photometric="YBR_FULL", transfer_syntax="rle", **_COLOUR),
    "ybr_j2k": _exact("U35: YBR in JPEG 2000, which does not transform it", photometric="YBR_FULL", slices=2,
                      transfer_syntax="j2k", **{**_COLOUR, **_WIDE}),
    "ybr_422": _exact("U35: YBR whose chrominance is halved", path="source", photometric="YBR_FULL_422", **_COLOUR),
    "ybr_422_frames": _exact("U35: the same of several frames", path="source", photometric="YBR_FULL_422", slices=1,
                             frames=3, **{**_COLOUR, "modality": "USMF"}),
    "ybr_rct": _exact("U35: JPEG 2000 whose colours are transformed without loss", copy_path="source",
                      photometric="YBR_RCT", transfer_syntax="j2k", slices=2, **{**_COLOUR, **_WIDE}),
    "ybr_rct_odd": _exact("S PS3.5 8.1.1: the same, odd count of bytes", copy_path="source", rows=33, columns=37,
                          photometric="YBR_RCT", transfer_syntax="j2k", slices=2, **_COLOUR),
    "palette": _exact("F20: palette becomes RGB", modality="US", photometric="PALETTE COLOR", palette="16", **_U8),
    "palette_8": _exact("F20: palette of 8 bits", modality="US", photometric="PALETTE COLOR", palette="8", **_U8),
    "palette_u16": _exact("F20: palette, 10 of 16 bits", modality="US", photometric="PALETTE COLOR", palette="16",
                          bits_stored=10),
    "palette_u16_8": _exact("F20: palette of 8 bits, 10 of 16 bits", modality="US", photometric="PALETTE COLOR",
                            palette="8", bits_stored=10),
    "palette_segmented": _exact("F20: palette in segments", modality="US", photometric="PALETTE COLOR",
                                palette="segmented", **_U8),
    "palette_rle": _exact("F20: palette, RLE", modality="US", photometric="PALETTE COLOR", palette="16",
                          transfer_syntax="rle", **_U8),
    "palette_big_endian": _exact("S PS3.5 7.3: words of a palette", modality="US", photometric="PALETTE COLOR",
                                 palette="16", transfer_syntax="big", **_U8),
    # lossy compressions: decoded by derived, kept by copy
    "jpeg_baseline": _exact("R LOS-01: JPEG of 8 bits", copy_path="source", **_GREY_JPEG),
    "jpeg_baseline_flag": _exact("R LOS-01: the same that says so", copy_path="source", lossy_history="one",
                                 **_GREY_JPEG),
    "jpeg_baseline_flag_only": _exact("R LOS-01: the same, without ratio and method", copy_path="source",
                                      lossy_history="flag_only", **_GREY_JPEG),
    "jpeg_baseline_mono1": _exact("F3: JPEG, MONOCHROME1", path="itk-inverted", copy_path="source",
                                  photometric="MONOCHROME1", **_GREY_JPEG),
    "jpeg_baseline_frames": _exact("F18: JPEG of several frames", copy_path="source", frames=3, **_GREY_JPEG),
    "jpeg_extended": _exact("R LOS-01: JPEG of 12 bits", copy_path="source", transfer_syntax="jpeg_extended",
                            slices=2, **_WIDE),
    "jpeg_ls_near": _exact("R LOS-01: near-lossless", copy_path="source", transfer_syntax="jpeg_ls_near", slices=2,
                           **_WIDE),
    "jpeg_ls_near_u8": _exact("R LOS-01: near-lossless, 8 bits", copy_path="source", modality="SC",
                              transfer_syntax="jpeg_ls_near", slices=2, **_U8, **_WIDE),
    "j2k_lossy": _exact("R LOS-01: JPEG 2000 with loss", copy_path="source", transfer_syntax="j2k_lossy", slices=2,
                        **_WIDE),
    "j2k_lossy_signed": _exact("R LOS-01: the same of signed values", copy_path="source", signed=True,
                               intercepts="0", transfer_syntax="j2k_lossy", slices=2, **_WIDE),
    "j2k_lossless_91": _exact("R LOS-01: JPEG 2000 that could be lossy, but says it is not", transfer_syntax="j2k",
                              meta=str(uid.JPEG2000), slices=2, attributes={"LossyImageCompression": "00"}, **_WIDE),
    "j2k_lossless_91_unsaid": _exact("R LOS-01: the same without a word", transfer_syntax="j2k",
                                     meta=str(uid.JPEG2000), slices=2, **_WIDE),
    "j2k_lossless_91_flag": _exact("R LOS-01: the same that says it lost something", copy_path="source",
                                   lossy_history="one", transfer_syntax="j2k", meta=str(uid.JPEG2000), slices=2,
                                   **_WIDE),
    # streams that are not what their transfer syntax says
    "stream_lossless_81": _exact("S PS3.5 A.4.3: NEAR 0 in the syntax that may lose", transfer_syntax="jpeg_ls",
                                 meta=str(uid.JPEGLSNearLossless)),
    "stream_lossless_50": _exact("S PS3.5 A.4.1: SOF3 as JPEG baseline", transfer_syntax="jpeg_lossless",
                                 meta=str(uid.JPEGBaseline8Bit), modality="SC", slices=2, **_U8),
    "stream_lossless_51": _exact("S PS3.5 A.4.1: SOF3 as JPEG extended", transfer_syntax="jpeg_lossless",
                                 meta=str(uid.JPEGExtended12Bit), slices=2),
    "stream_lossless_203": _exact("S PS3.5 A.4.4: a reversible wavelet as HTJ2K", path="source", transfer_syntax="j2k",
                                  meta=str(uid.HTJ2K), slices=2, **_WIDE),
    "stream_lossy_70": _exact("S PS3.5 A.4.1: SOF0 as JPEG Lossless", copy_path="source",
                              **{**_GREY_JPEG, "meta": str(uid.JPEGLosslessSV1)}),
    "stream_lossy_57": _exact("S PS3.5 A.4.1: SOF1 of 12 bits as JPEG Lossless", copy_path="source",
                              transfer_syntax="jpeg_extended", meta=str(uid.JPEGLossless), slices=2, **_WIDE),
    "stream_lossy_57_ybr": _exact("S PS3.5 A.4.1: the same in colour", copy_path="source", photometric="YBR_FULL",
                                  **{**_COLOUR_JPEG, "meta": str(uid.JPEGLossless)}),
    "stream_lossy_70_rgb": _exact("S PS3.5 A.4.1: the same, not transformed", copy_path="source", photometric="RGB",
                                  **{**_COLOUR_JPEG, "meta": str(uid.JPEGLosslessSV1)}),
    "stream_lossy_70_fragments": _exact("S PS3.5 A.4: the same in fragments", copy_path="source", fragments=3,
                                        **{**_GREY_JPEG, "meta": str(uid.JPEGLosslessSV1)}),
    "stream_lossy_80": _exact("S PS3.5 A.4.3: NEAR 3 as JPEG-LS Lossless", copy_path="source", slices=2,
                              transfer_syntax="jpeg_ls_near", meta=str(uid.JPEGLSLossless), **_WIDE),
    "stream_lossy_80_mono1": _exact("S PS3.5 A.4.3: the same, MONOCHROME1", path="itk-inverted", copy_path="source",
                                    slices=2, photometric="MONOCHROME1", transfer_syntax="jpeg_ls_near",
                                    meta=str(uid.JPEGLSLossless), **_WIDE),
    "stream_lossy_90": _exact("S PS3.5 A.4.4: the irreversible wavelet as JPEG 2000 Lossless", copy_path="source",
                              transfer_syntax="j2k_lossy", meta=str(uid.JPEG2000Lossless), slices=2, **_WIDE),
    "stream_lossy_90_denied": _exact("R LOS-01: the same that denies it", copy_path="source",
                                     transfer_syntax="j2k_lossy", meta=str(uid.JPEG2000Lossless), slices=2,
                                     attributes={"LossyImageCompression": "00"}, **_WIDE),
    "stream_lossy_90_last": _exact("S PS3.5 A.4.4: the last of three frames lost something", copy_path="source",
                                   transfer_syntax="j2k", meta=str(uid.JPEG2000Lossless),
                                   frames_in=("j2k", "j2k", "j2k_lossy"), **_FRAMES, **_WIDE),
    "stream_lossy_81_last": _exact("S PS3.5 A.4.3: the same in the syntax that may lose", copy_path="source",
                                   transfer_syntax="jpeg_ls_near", frames_in=("jpeg_ls", "jpeg_ls", "jpeg_ls_near"),
                                   **_FRAMES, **_WIDE),
    "stream_lossy_92": _exact("S PS3.5 A.4.4: Part 2, which promises to lose nothing", path="source",
                              transfer_syntax="j2k_lossy", meta=str(uid.JPEG2000MCLossless), slices=2, **_WIDE),
    "stream_lossy_201": _exact("S PS3.5 A.4.4: the same, HTJ2K", path="source", transfer_syntax="j2k_lossy",
                               meta=str(uid.HTJ2KLossless), slices=2, **_WIDE),
    "stream_lossy_202_enhanced": _exact("S PS3.5 A.4.4: the same of functional groups", path="source",
                                        transfer_syntax="j2k_lossy", meta=str(uid.HTJ2KLosslessRPCL), **_ENHANCED,
                                        **_WIDE),
    "htj2k": _exact("R TS: a syntax that GDCM does not decode, here around JPEG 2000", path="source",
                    transfer_syntax="j2k", meta=str(uid.HTJ2KLossless), slices=2, **_WIDE),
    "htj2k_frames": _exact("R TS: the same of several frames", path="source", transfer_syntax="j2k",
                           meta=str(uid.HTJ2KLossless), **_FRAMES, **_WIDE),
    "jpeg_xl": _exact("S PS3.5 A.4.12: JPEG XL, which nothing here decodes", path="source", transfer_syntax="jpeg_xl"),
    "jpeg_xl_frames": _exact("S PS3.5 A.4.12: the same of several frames", path="source", transfer_syntax="jpeg_xl",
                             **_FRAMES),
    "jpeg_xl_recompressed": _exact("S PS3.5 A.4.12: a JPEG in JPEG XL, which is as lossy as it was", path="source",
                                   transfer_syntax="jpeg_xl", meta="1.2.840.10008.1.2.4.111", modality="SC", **_U8),
    "jpeg_xl_lossy": _exact("R LOS-01: JPEG XL that may lose something", path="source", transfer_syntax="jpeg_xl",
                            meta="1.2.840.10008.1.2.4.112"),
    "jpeg_xl_lossless_112": _exact("R LOS-01: the same that says it did not", path="source", transfer_syntax="jpeg_xl",
                                   meta="1.2.840.10008.1.2.4.112", attributes={"LossyImageCompression": "00"}),
    "video": _exact("S PS3.5 A.4.6: a video, many frames in one fragment", path="source", transfer_syntax="jpeg_xl",
                    meta=str(uid.MPEG4HP41), modality="SC", slices=1, photometric="RGB", samples=3,
                    attributes={"NumberOfFrames": "90"}, **_U8),
    # fragments that hold native frames
    "plain_frames": _exact("S PS3.5 A.4.11: Encapsulated Uncompressed loses nothing", transfer_syntax="plain_frames"),
    "plain_frames_odd": _exact("S PS3.5 A.4.11: frames of odd length, each padded", transfer_syntax="plain_frames",
                               **{**_FRAMES, "modality": "SC"}, rows=5, columns=7, **_U8),
    "plain_frames_mono1": _exact("F3: the same, MONOCHROME1", path="itk-inverted", transfer_syntax="plain_frames",
                                 photometric="MONOCHROME1"),
    "plain_frames_planar": _exact("F1: the same, colour by plane", path="itk-inverted", planar=1,
                                  transfer_syntax="plain_frames", **_RGB),
    "plain_frames_ybr_422": _exact("U35: the same, half the chroma", path="source", photometric="YBR_FULL_422",
                                   transfer_syntax="plain_frames", **_COLOUR),
    "plain_frames_pet": _exact("F11: the same, slopes per slice", transfer_syntax="plain_frames", **_PET),
    "plain_frames_bits": _exact("S PS3.5 A.4.11: the same of one bit", path="itk-inverted",
                                transfer_syntax="plain_frames", **_BIT_FRAMES),
    "plain_frames_icon": _exact("F5: the same beside an encapsulated icon", path="source", icon="compressed",
                                transfer_syntax="plain_frames"),
    "deflated_frames": _exact("S PS3.5 8.2.16: each frame deflated", transfer_syntax="deflated_frames"),
    "deflated_frames_s16": _exact("S PS3.5 8.2.16: the same, signed, noise in unused bits", signed=True, high_bits=True,
                                  transfer_syntax="deflated_frames"),
    "deflated_frames_three": _exact("S PS3.5 8.2.16: the same of several frames", transfer_syntax="deflated_frames",
                                    **_FRAMES),
    "deflated_frames_offsets": _exact("S PS3.5 8.2.16: the same with an Extended Offset Table", extended_offsets=True,
                                      transfer_syntax="deflated_frames", **_FRAMES),
    "deflated_frames_mixed": _exact("R TS: one slice of another transfer syntax", transfer_syntax="deflated_frames",
                                    last_slice={"transfer_syntax": "plain_frames"}),
    "deflated_frames_rgb": _exact("S PS3.5 8.2.16: the same in colour", transfer_syntax="deflated_frames", **_RGB),
    "deflated_frames_ybr": _exact("S PS3.5 8.2.16: YBR stays YBR", photometric="YBR_FULL",
                                  transfer_syntax="deflated_frames", **_COLOUR),
    "deflated_frames_palette": _exact("F20: the same, a palette", photometric="PALETTE COLOR", palette="16",
                                      transfer_syntax="deflated_frames", modality="SC", **_U8),
    "deflated_frames_bits": _exact("S PS3.5 8.2.16: one bit, each frame from a byte of its own", path="itk-inverted",
                                   transfer_syntax="deflated_frames", **_BIT_FRAMES),
    "deflated_frames_seg": _exact("S PS3.5 8.2.16: a segmentation", path="itk-inverted", modality="SEG", slices=1,
                                  frames=3, bits_allocated=1, bits_stored=1, segments=True,
                                  transfer_syntax="deflated_frames"),
    "rle_bits": _exact("S PS3.5 G: one bit in RLE", path="itk-inverted", transfer_syntax="rle", **_BIT_FRAMES),
    "rle_bit": _exact("S PS3.5 G: the same of one frame", path="itk-inverted", transfer_syntax="rle",
                      **{**_BIT_FRAMES, "slices": 3, "frames": 0}),
    "jpeg_rgb": _exact("U35: JPEG in colour, not transformed", copy_path="source", photometric="RGB",
                       **_COLOUR_JPEG),
    "jpeg_ybr": _exact("U35: JPEG in colour", copy_path="source", photometric="YBR_FULL", **_COLOUR_JPEG),
    "jpeg_ybr_422": _exact("U35: JPEG whose chrominance is halved", copy_path="source", photometric="YBR_FULL_422",
                           **_COLOUR_JPEG),
    "jpeg_ybr_422_frames": _exact("U35: the same of several frames", copy_path="source", frames=3,
                                  photometric="YBR_FULL_422", **{**_COLOUR_JPEG, "modality": "USMF"}),
    "jpeg_rgb_adobe": _exact("S PS3.5 8.2.1: RGB, and Adobe's marker says so", copy_path="source", photometric="RGB",
                             jpeg_markers=("adobe0",), component_names=b"\1\2\3", **_COLOUR_JPEG),
    "jpeg_ybr_420": _exact("S PS3.5 8.2.1: JFIF, a quarter of the chrominance", copy_path="source",
                           photometric="YBR_FULL_422", stream="YBR_FULL_420", jpeg_markers=("jfif",), **_COLOUR_JPEG),
    "jpeg_progressive": _exact("S ISO 10918-1 G: progressive, JFIF", copy_path="source", photometric="YBR_FULL",
                               progressive=True, jpeg_markers=("jfif",), **_COLOUR_JPEG),
    "jpeg_says_ybr_adobe": _exact("S PS3.5 8.2.1: Adobe's marker says YCbCr, the header RGB", path="source",
                                  photometric="RGB", stream="YBR_FULL", jpeg_markers=("adobe1",), **_COLOUR_JPEG),
    "jpeg_says_ybr_jfif": _exact("S PS3.5 8.2.1: JFIF says YCbCr, the header RGB", path="source", photometric="RGB",
                                 stream="YBR_FULL_422", jpeg_markers=("jfif",), component_names=b"RGB", **_COLOUR_JPEG),
    "jpeg_says_ybr_420": _exact("S PS3.5 8.2.1: a quarter of the chrominance, and a header that says RGB",
                                path="source", photometric="RGB", stream="YBR_FULL_420", **_COLOUR_JPEG),
    "jpeg_says_ybr_extended": _exact("S PS3.5 8.2.1: the same, extended", path="source", photometric="RGB",
                                     stream="YBR_FULL", jpeg_markers=("jfif",),
                                     **{**_COLOUR_JPEG, "transfer_syntax": "jpeg_extended"}),
    "jpeg_says_ybr_progressive": _exact("S PS3.5 8.2.1: the same, progressive, several frames", path="source",
                                        photometric="RGB", stream="YBR_FULL", progressive=True, frames=2,
                                        jpeg_markers=("adobe1",),
                                        **{**_COLOUR_JPEG, "modality": "USMF", "slices": 1}),
    "jpeg_says_ybr_lossless": _exact("S PS3.5 8.2.1: the same, lossless", path="source", photometric="RGB",
                                     stream="YBR_FULL", jpeg_markers=("adobe1",), transfer_syntax="jpeg_lossless",
                                     slices=2, **_COLOUR),
    "jpeg_says_rgb_names": _exact("S PS3.5 8.2.1: components named R, G and B, the header YBR_FULL", path="source",
                                  photometric="YBR_FULL", stream="RGB", **_COLOUR_JPEG),
    "jpeg_says_rgb_adobe": _exact("S PS3.5 8.2.1: Adobe's marker says RGB, the header YBR_FULL_422", path="source",
                                  photometric="YBR_FULL_422", stream="RGB", jpeg_markers=("adobe0",),
                                  component_names=b"\1\2\3", **_COLOUR_JPEG),
    "j2k_rgb_rct": _exact("S PS3.5 8.2.4: RCT, the header RGB: all decoders undo it", photometric="RGB",
                          stream="YBR_RCT", transfer_syntax="j2k", slices=2, **{**_COLOUR, **_WIDE}),
    "j2k_rgb_ict": _exact("S PS3.5 8.2.4: ICT, the header RGB", copy_path="source", photometric="RGB",
                          stream="YBR_ICT", transfer_syntax="j2k_lossy", slices=2, **{**_COLOUR, **_WIDE}),
    "j2k_says_rgb": _exact("S PS3.5 8.2.4: no component transform, the header YBR_RCT", path="source",
                           photometric="YBR_RCT", stream="RGB", transfer_syntax="j2k", slices=2,
                           **{**_COLOUR, **_WIDE}),
    "j2k_says_rgb_lossy": _exact("S PS3.5 8.2.4: no component transform, the header YBR_ICT", path="source",
                                 photometric="YBR_ICT", stream="RGB", transfer_syntax="j2k_lossy", slices=2,
                                 **{**_COLOUR, **_WIDE}),
    "j2k_says_rct": _exact("S PS3.5 8.2.4: RCT, the header YBR_FULL", path="source", photometric="YBR_FULL",
                           stream="YBR_RCT", transfer_syntax="j2k", slices=2, **{**_COLOUR, **_WIDE}),
    "jpeg_ls_near_rgb": _exact("R LOS-01: near-lossless in colour", copy_path="source", slices=2,
                               transfer_syntax="jpeg_ls_near", **{**_RGB, **_WIDE}),
    "j2k_lossy_rgb": _exact("R LOS-01: JPEG 2000 with loss, colours not transformed", copy_path="source", slices=2,
                            transfer_syntax="j2k_lossy", **{**_RGB, **_WIDE}),
    "j2k_lossy_ict": _exact("U35: JPEG 2000 whose colours are transformed with loss", copy_path="source", slices=2,
                            photometric="YBR_ICT", transfer_syntax="j2k_lossy", **{**_COLOUR, **_WIDE}),
    # fragments of compressed pixels
    "fragments_rle": _exact("S PS3.5 A.4: one frame in three fragments, RLE", transfer_syntax="rle", fragments=3),
    "fragments_jpeg_ls": _exact("S PS3.5 A.4: the same, JPEG-LS", transfer_syntax="jpeg_ls", fragments=3),
    "fragments_jpeg_lossless": _exact("S PS3.5 A.4: the same, JPEG Lossless", transfer_syntax="jpeg_lossless",
                                      fragments=3),
    "fragments_j2k": _exact("S PS3.5 A.4: the same, JPEG 2000", transfer_syntax="j2k", fragments=3, slices=2,
                            **_WIDE),
    "fragments_no_offsets": _exact("S PS3.5 A.4: three fragments, empty offset table",
                                   transfer_syntax="jpeg_lossless", fragments=3, basic_offsets=False),
    "fragments_tail": _exact("S PS3.5 A.4: bytes after the end of the JPEG", transfer_syntax="jpeg_lossless",
                             codestream_tail=b"\0\xa5\0\x5a"),
    "fragments_empty": _exact("S PS3.5 A.4: a last fragment without content",
                              transfer_syntax="jpeg_lossless", empty_fragment=True),
    "fragments_jpeg_baseline": _exact("S PS3.5 A.4: a lossy frame in three fragments",
                                      copy_path="source", fragments=3, **_GREY_JPEG),
    **{
        f"frames_{syntax}{suffix}": _exact(f"S PS3.5 A.4: several frames, {syntax}, {what}", transfer_syntax=syntax,
                                           **_FRAMES, **more)
        for syntax in ("rle", "jpeg_ls", "jpeg_lossless")
        for suffix, what, more in (
            ("", "with offsets", {}),
            ("_no_offsets", "without offsets", {"basic_offsets": False}),
            ("_extended", "with an Extended Offset Table", {"extended_offsets": True}),
            ("_fragments", "each in three fragments", {"fragments": 3}),
        )
    },
    # series whose files differ in their pixels
    "mixed_sizes": _exact("U29: sizes differ", last_slice={"rows": 10}),
    "mixed_bits": _exact("F11: Bits Stored differs", last_slice={"bits_stored": 16}),
    "mixed_allocated": _exact("F11: Bits Allocated differs", last_slice=_U8),
    "mixed_signs": _exact("F11: Pixel Representation differs", last_slice={"signed": True}),
    "mixed_photometric": _exact("F3: Photometric Interpretation differs", path="itk, itk-inverted",
                                last_slice={"photometric": "MONOCHROME1"}),
    "mixed_colour": _exact("F1: one slice in colour", modality="US", **_U8,
                           last_slice={"photometric": "RGB", "samples": 3}),
    "mixed_frames": _exact("F18: one file of several frames", modality="SCW", last_slice={"frames": 2}),
    # lossy streams of more bits than are stored: what goes beyond them is clipped
    "beyond_j2k": _exact("S PS3.5 8.1.1: JPEG 2000 of 16 bits, 12 stored", copy_path="source", stream_bits=16,
                         transfer_syntax="j2k_lossy", slices=2, **_WIDE),
    "beyond_j2k_one": _exact("S PS3.5 8.1.1: the same of 13 bits", copy_path="source", stream_bits=13,
                             transfer_syntax="j2k_lossy", slices=2, **_WIDE),
    "beyond_j2k_signed": _exact("S PS3.5 8.1.1: the same of signed values", copy_path="source", stream_bits=16,
                                signed=True, intercepts="0", transfer_syntax="j2k_lossy", slices=2, **_WIDE),
    "beyond_j2k_signed_one": _exact("S PS3.5 8.1.1: the same of 13 bits", copy_path="source", stream_bits=13,
                                    signed=True, transfer_syntax="j2k_lossy", slices=2, **_WIDE),
    "beyond_j2k_mono1": _exact("S PS3.5 8.1.1: the same, MONOCHROME1", copy_path="source", stream_bits=16,
                               photometric="MONOCHROME1", transfer_syntax="j2k_lossy", slices=2, **_WIDE),
    "beyond_j2k_u8": _exact("S PS3.5 8.1.1: JPEG 2000 of 8 bits, 6 stored", copy_path="source", stream_bits=8,
                            modality="SC", transfer_syntax="j2k_lossy", slices=2,
                            **{**_U8, "bits_stored": 6}, **_WIDE),
    "beyond_j2k_90": _exact("S PS3.5 8.1.1: the same in a lossless syntax", copy_path="source", stream_bits=16,
                            transfer_syntax="j2k_lossy", meta=str(uid.JPEG2000Lossless), slices=2, **_WIDE),
    "beyond_j2k_203": _exact("S PS3.5 8.1.1: the same where the bytes are kept", path="source", stream_bits=16,
                             transfer_syntax="j2k_lossy", meta=str(uid.HTJ2K), slices=2, **_WIDE),
    "beyond_j2k_pet": _exact("S PS3.5 8.1.1: the same with slopes", copy_path="source", stream_bits=16,
                             transfer_syntax="j2k_lossy", **{**_PET, "bits_stored": 12}, **_WIDE),
    "beyond_j2k_enhanced": _exact("S PS3.5 8.1.1: the same of functional groups", copy_path="source", stream_bits=16,
                                  transfer_syntax="j2k_lossy", **_ENHANCED, **_WIDE),
    "beyond_jpeg_ls": _exact("S PS3.5 8.1.1: near-lossless JPEG-LS of 16 bits, 12 stored", copy_path="source",
                             stream_bits=16, transfer_syntax="jpeg_ls_near", slices=2, **_WIDE),
    "beyond_jpeg_ls_signed": _exact("S PS3.5 8.1.1: the same of signed values, by their sign in 16 bits",
                                    copy_path="source", stream_bits=16, signed=True, transfer_syntax="jpeg_ls_near",
                                    slices=2, **_WIDE),
    "beyond_jpeg_ls_mono1": _exact("S PS3.5 8.1.1: the same, MONOCHROME1", copy_path="source", stream_bits=16,
                                   photometric="MONOCHROME1", transfer_syntax="jpeg_ls_near", slices=2, **_WIDE),
    "beyond_jpeg_ls_frames": _exact("S PS3.5 8.1.1: the same of several frames", copy_path="source", stream_bits=14,
                                    transfer_syntax="jpeg_ls_near", **_FRAMES, **_WIDE),
    "beyond_jpeg_ls_rgb": _exact("S PS3.5 8.1.1: the same in colour of 7 bits", copy_path="source", stream_bits=8,
                                 transfer_syntax="jpeg_ls_near", slices=2, **{**_RGB, **_WIDE, "bits_stored": 7}),
    "beyond_jpeg_extended": _exact("S PS3.5 8.1.1: JPEG of 12 bits, 10 stored", copy_path="source", stream_bits=12,
                                   bits_stored=10, transfer_syntax="jpeg_extended", slices=2, **_WIDE),
    "beyond_jpeg_baseline": _exact("S PS3.5 8.1.1: JPEG of 8 bits, 7 stored", copy_path="source", stream_bits=8,
                                   **{**_GREY_JPEG, "bits_stored": 7}),
    "beyond_jpeg_baseline_mono1": _exact("S PS3.5 8.1.1: the same, MONOCHROME1", copy_path="source", stream_bits=8,
                                         photometric="MONOCHROME1", **{**_GREY_JPEG, "bits_stored": 7}),
    "beyond_overlay": _exact("S PS3.5 8.1.2: beside an overlay, which may be what is beyond", path="source",
                             stream_bits=16, overlays="embedded", transfer_syntax="jpeg_ls_near", slices=2, **_WIDE),
    "beyond_allocated": _exact("S PS3.5 8.1.1: JPEG of 12 bits, 8 allocated", path="source", stream_bits=12,
                               transfer_syntax="jpeg_extended", modality="SC", slices=2, **_U8, **_WIDE),
    "beyond_mixed_frames": _exact("S PS3.5 8.1.1: frames with loss and without", path="source", stream_bits=16,
                                  transfer_syntax="jpeg_ls_near", frames_in=("jpeg_ls", "jpeg_ls_near", "jpeg_ls"),
                                  **_FRAMES, **_WIDE),
    "beyond_sign_denied": _exact("S PS3.5 8.2.4: signed JPEG 2000 that its header calls unsigned", path="source",
                                 stream_signed=True, stream_bits=16, transfer_syntax="j2k_lossy", slices=2, **_WIDE),
    "beyond_lossless": _exact("R 1: lossless streams of 16 bits, noise beside 12", transfer_syntax="j2k",
                              stream_bits=16, high_bits=True, slices=2, **_WIDE),
    "beyond_lossless_ls": _exact("R 1: the same, JPEG-LS, signed", transfer_syntax="jpeg_ls", stream_bits=16,
                                 signed=True, high_bits=True, slices=2),
    "stream_lossy_mixed": _exact("U29: one slice of a lossless series lost something", copy_path="itk, source",
                                 transfer_syntax="jpeg_ls", **_WIDE,
                                 last_slice={"transfer_syntax": "jpeg_ls_near", "meta": str(uid.JPEGLSLossless)}),
    "mixed_lossy": _exact("R LOS-01: one slice with loss", copy_path="itk, source", modality="SC", **_U8,
                          last_slice={"transfer_syntax": "jpeg_baseline"}),
    # several frames
    "multi_frame": _exact("F18: several frames", **_NM_FRAMES),
    "nm_detectors": _exact("F20: two detectors, each with its plane", detectors=[
        (r"-100\0\50", r"1\0\0\0\0\-1"), (r"100\0\50", r"-1\0\0\0\0\-1")], **_nm(DetectorVector=[1, 2, 1, 2])),
    "nm_recon": _exact("F20: a reconstruction that steps against the normal", detectors=[
        (r"1\2\3", r"1\0\0\0\0\-1")], **_nm(SliceVector=[1, 2, 3, 4], SpacingBetweenSlices="-4.5")),
    "nm_gated": _exact("F20: a reconstruction of two time slots", detectors=[(r"1\2\3", r"1\0\0\0\1\0")],
                       **_nm(SliceVector=[1, 2, 1, 2], TimeSlotVector=[1, 1, 2, 2], SpacingBetweenSlices="3")),
    "multi_frame_xa": _exact("F18: several frames, XA", modality="XA", slices=1, frames=3, bits_stored=10),
    "multi_frame_sc": _exact("F18: several frames, Secondary Capture", **_FRAMES),
    "multi_frame_us": _exact("F18: several frames, US", modality="USMF", slices=1, frames=3, **_U8),
    "multi_frame_two": _exact("F18: two files of several frames", **{**_FRAMES, "slices": 2}),
    "multi_frame_odd": _exact("S PS3.5 8.1.1: an odd count of bytes in all", modality="USMF", slices=1, frames=3,
                              rows=5, columns=3, **_U8),
    "multi_frame_big_endian": _exact("S PS3.5 7.3: several frames, Big Endian", transfer_syntax="big", **_FRAMES),
    "multi_frame_mono1": _exact("F3: several frames, MONOCHROME1", path="itk-inverted", photometric="MONOCHROME1",
                                **_FRAMES),
    "multi_frame_slope": _exact("F13: several frames with a slope", slopes="0.37", **_FRAMES),
    "mosaic": _exact("F18: many slices in one image", modality="MR",
                     attributes={"ImageType": r"ORIGINAL\PRIMARY\M\ND\MOSAIC"}),
    "private_sop_class_frames": _exact("F19: the same with several frames", modality="PRIVATE", slices=1, frames=3),
    "private_sop_class_rgb": _exact("F19: the same in colour", **{**_RGB, "modality": "PRIVATE"}),
    # functional groups
    "enhanced": _exact("U42: functional groups", **_ENHANCED),
    "enhanced_ct": _exact("U42: functional groups, CT", **{**_ENHANCED, "modality": "ECT"}),
    "enhanced_one_frame": _exact("U42: functional groups, one frame", **{**_ENHANCED, "frames": 1}),
    "enhanced_shuffled": _exact("F20: functional groups, frames in no order", frame_values={
        "PlanePositionSequence.ImagePositionPatient": _at(7.5, 0, 12.5, 2.5, 10, 5)}, **_SIX_FRAMES),
    "enhanced_one_frame_files": _exact("F20: functional groups, files of one frame in no order", frame_values={
        "PlanePositionSequence.ImagePositionPatient": _at(7.5, 0, 12.5, 2.5, 10, 5)},
        **{**_SIX_FRAMES, "slices": 6, "frames": 1}),
    "enhanced_orientations": _exact("F20: functional groups, two orientations", frame_values={
        "PlanePositionSequence.ImagePositionPatient": [*_at(0, 2.5, 5), *(rf"-10.5\{y}\30" for y in (0, 3, 6))],
        "PlaneOrientationSequence.ImageOrientationPatient": [r"1\0\0\0\1\0"] * 3 + [r"1\0\0\0\0\-1"] * 3,
        }, **_SIX_FRAMES),
    "enhanced_spacings": _exact("F20: functional groups, two pixel spacings", frame_values={
        "PixelMeasuresSequence.PixelSpacing": [r"0.75\0.5"] * 3 + [r"1.5\1.0"] * 3}, **_SIX_FRAMES),
    "enhanced_times": _exact("F20: functional groups, two times at each position", frame_values={
        "PlanePositionSequence.ImagePositionPatient": _at(0, 0, 2.5, 2.5, 5, 5),
        "FrameContentSequence.TemporalPositionIndex": [1, 2]}, **_SIX_FRAMES),
    "enhanced_stacks": _exact("F20: functional groups, two stacks", frame_values={
        "PlanePositionSequence.ImagePositionPatient": _at(0, 2.5, 5, 42, 45, 48),
        "FrameContentSequence.StackID": ["1"] * 3 + ["2"] * 3}, **_SIX_FRAMES),
    "enhanced_gap": _exact("F20: functional groups, a gap", frame_values={
        "PlanePositionSequence.ImagePositionPatient": _at(0, 2.5, 5, 12.5, 15, 17.5)}, **_SIX_FRAMES),
    "enhanced_tilt": _exact("F20: functional groups, a tilt", frame_values={
        "PlanePositionSequence.ImagePositionPatient": [rf"-10.5\{i - 20}\{2.5 * i}" for i in range(6)]},
        **_SIX_FRAMES),
    "enhanced_no_position": _exact("F20: functional groups without a position in the patient", frame_values={
        "PlanePositionSequence.ImagePositionPatient": [None]}, **_SIX_FRAMES),
    "enhanced_two_files": _exact("U42: functional groups, two files", **{**_ENHANCED, "slices": 2, "frames": 2}),
    "enhanced_shared_type": _exact("R FrameType: stands in the shared groups",
                                   **{**_ENHANCED, "functional_groups": "shared_type"}),
    "enhanced_shared": _exact("R DerivationImageSequence: stands in the shared groups",
                              **{**_ENHANCED, "functional_groups": "shared"}),
    "enhanced_derived": _exact("R DerivationImageSequence: stands in each frame",
                               **{**_ENHANCED, "functional_groups": "derived"}),
    "enhanced_derived_once": _exact("R DerivationImageSequence: stands in one frame",
                                    **{**_ENHANCED, "functional_groups": "derived_once"}),
    "enhanced_undefined": _exact("U42: functional groups of undefined length", undefined_lengths=True,
                                 **{**_ENHANCED, "functional_groups": "derived"}),
    "enhanced_implicit": _exact("U42: functional groups, Implicit VR", transfer_syntax="implicit",
                                **{**_ENHANCED, "functional_groups": "derived"}),
    "enhanced_big_endian": _exact("U42: functional groups, Big Endian", transfer_syntax="big",
                                  **{**_ENHANCED, "functional_groups": "derived"}),
    "enhanced_group_lengths": _exact("U42: functional groups with group lengths", group_lengths="nested",
                                     **{**_ENHANCED, "functional_groups": "derived"}),
    "enhanced_rle": _exact("U42: functional groups, RLE", transfer_syntax="rle", **_ENHANCED),
    "enhanced_j2k_lossy": _exact("R LOS-01: functional groups, JPEG 2000 with loss", copy_path="source",
                                 transfer_syntax="j2k_lossy", **_ENHANCED, **_WIDE),
    "segmentation": _exact("F20: a segmentation of 1 bit", path="itk-inverted", modality="SEG", slices=1, frames=3,
                           rows=5, columns=7, bits_allocated=1, bits_stored=1, functional_groups="derived",
                           segments=True),
    "parametric_map": _exact("F19: functional groups, floating point", path="source",
                             **{**_ENHANCED, "modality": "PM"}, float_pixels="FloatPixelData"),
    # files that say too little of their encoding, or something else than they are
    "claims_implicit": _exact("R 1: Explicit VR said to be Implicit", meta=str(uid.ImplicitVRLittleEndian)),
    "claims_explicit": _exact("R 1: Implicit VR said to be Explicit", transfer_syntax="implicit",
                              meta=str(uid.ExplicitVRLittleEndian)),
    "claims_big": _exact("R 1: Little Endian said to be Big", meta=str(uid.ExplicitVRBigEndian)),
    "claims_little": _exact("R 1: Big Endian said to be Little", transfer_syntax="big",
                            meta=str(uid.ExplicitVRLittleEndian)),
    "claims_deflated": _exact("R 1: not deflated", meta=str(uid.DeflatedExplicitVRLittleEndian)),
    "meta_in_data_set": _exact("S PS3.10 7.1: group 0002 begins the data set too",
                               prepended=b"\2\0\x10\0UI\x12\0" + b"1.2.840.10008.1.2\0"),
    "out_of_order": _exact("S PS3.5 7.1: an element stands before those of lower tags",
                           prepended=b"\x08\0\x30\x10LO\x0e\0Invented study", attributes={"StudyDescription": None}),
    "charset_misspelt": _exact("S PS3.3 C.12.1.1.2: ISO IR 192 for ISO_IR 192, texts at their limits",
                               attributes={"SpecificCharacterSet": "ISO IR 192",
                                           "SeriesDescription": ("Sch\u00e4del " * 8)[:64].encode(),
                                           "DerivationDescription": ("Sch\u00e4del " * 60).strip().encode()}),
    "claims_nothing": _exact("R 1: no transfer syntax in group 0002", meta="?"),
    "claims_nothing_implicit": _exact("R 1: the same, Implicit VR", meta="?", transfer_syntax="implicit"),
    "meta_none": _exact("R 1: no group 0002", meta="none"),
    "meta_none_implicit": _exact("R 1: no group 0002, Implicit VR", meta="none", transfer_syntax="implicit"),
    "meta_none_big": _exact("R 1: no group 0002, Big Endian", meta="none", transfer_syntax="big"),
    "meta_bare": _exact("R 1: no preamble, no prefix, no group 0002", meta="bare"),
    "meta_bare_implicit": _exact("R 1: the same, Implicit VR", meta="bare", transfer_syntax="implicit"),
    "meta_bare_big": _exact("R 1: the same, Big Endian", meta="bare", transfer_syntax="big"),
    "meta_no_prefix": _exact("R 1: no prefix between preamble and group 0002", meta="no_prefix"),
    "meta_start": _exact("R 1: group 0002 begins the file", meta="start"),
    "meta_start_implicit": _exact("R 1: the same, Implicit VR", meta="start", transfer_syntax="implicit"),
    # long values, character sets
    "long_values": _exact("S PS3.5 7.1.2: long values, some of which need VR UN", long_values="explicit", slices=2),
    "long_values_big_endian": _exact("S PS3.5 7.1.2: long values, Big Endian", long_values="explicit", slices=2,
                                     transfer_syntax="big"),
    "long_values_implicit": _exact("S PS3.5 7.1.3: values that Explicit VR cannot hold", long_values="implicit",
                                   slices=2, transfer_syntax="implicit"),
    "un_in_equipment_undefined": _exact("R append: old items with VR UN, undefined lengths",
                                        contributing_equipment="unknown_vr", undefined_lengths=True),
    **{
        f"charset_{name}": _exact(f"F21: the texts of pydicom's {name}.dcm", charset_file=name, slices=2)
        for name in sorted(Path(path).stem for path in get_charset_files("*.dcm"))
    },
}  # fmt: skip
"""What is known to go wrong, and what must become of it."""

MALFORMED: dict[str, Case] = {
    "un_source_images": _either("R append: to a sequence with VR UN", source_images="unknown_vr"),
    "icon_compressed": _either("S PS3.5 A.4: a compressed icon in a file that will not be", icon="compressed",
                               transfer_syntax="rle"),
    "slope_text": _either("R 1: Rescale Slope is no number", slopes="abc"),
    "slope_nan": _either("R 1: Rescale Slope nan", slopes="nan"),
    "slope_overflow": _either("R 1: Rescale Slope beyond double precision", slopes="1e400"),
    "slope_underflow": _either("R 1: Rescale Slope 1e-320", slopes="1e-320"),
    "slope_comma": _either("R 1: Rescale Slope with a comma", slopes="0,5"),
    "slope_two": _either("R 1: Rescale Slope of two values", slopes=r"1\2"),
    "slope_precision_lost": _either("R 1: a step that double precision cannot hold", slopes="1e-12",
                                    intercepts="1e12"),
    "no_photometric": _either("R 1: no Photometric Interpretation",
                              attributes={"PhotometricInterpretation": None}),
    "no_samples": _either("R 1: no Samples per Pixel", attributes={"SamplesPerPixel": None}),
    "no_bits_stored": _either("R 1: no Bits Stored", attributes={"BitsStored": None}),
    "no_high_bit": _either("R 1: no High Bit", attributes={"HighBit": None}),
    "no_pixel_representation": _either("R 1: no Pixel Representation",
                                       attributes={"PixelRepresentation": None}),
    "no_rows": _either("R 1: no Rows", attributes={"Rows": None}),
    "rows_zero": _either("R 1: Rows 0", attributes={"Rows": 0}),
    "bits_stored_zero": _either("R 1: Bits Stored 0", attributes={"BitsStored": 0}),
    "bits_stored_17": _either("R 1: Bits Stored 17 of 16", attributes={"BitsStored": 17, "HighBit": 16}),
    "bits_12_allocated": _either("R 1: Bits Allocated 12", attributes={"BitsAllocated": 12}),
    "frames_zero": _either("R 1: Number of Frames 0", attributes={"NumberOfFrames": "0"}),
    "frames_text": _either("R 1: Number of Frames is no number", attributes={"NumberOfFrames": "one"}),
    "position_text": _either("R 1: a position that is no number",
                             attributes={"ImagePositionPatient": r"a\b\c"}),
    "position_nan": _either("R 1: a position that is nan", attributes={"ImagePositionPatient": r"nan\0\0"}),
    "position_two": _either("R 1: a position of two values", attributes={"ImagePositionPatient": r"1\2"}),
    "position_empty": _either("R 1: a position without value", attributes={"ImagePositionPatient": b""}),
    "orientation_zero": _either("R 1: an orientation that spans no plane",
                                attributes={"ImageOrientationPatient": r"0\0\0\0\0\0"}),
    "pixel_spacing_zero": _either("R 1: Pixel Spacing 0", attributes={"PixelSpacing": r"0\0"}),
    "pixel_spacing_one": _either("R 1: Pixel Spacing of one value", attributes={"PixelSpacing": "0.5"}),
    "instance_number_text": _either("R 1: Instance Number is no number",
                                    attributes={"InstanceNumber": "abc"}),
    "series_number_text": _either("R 1: Series Number is no number", attributes={"SeriesNumber": "abc"}),
    "character_set_unknown": _either("R 1: a character set nobody knows",
                                     attributes={"SpecificCharacterSet": "ISO_IR 999"}),
    "character_set_wrong": _either("R 1: Latin-1 said to be UTF-8", text="latin1",
                                   last_slice={"attributes": {"SpecificCharacterSet": "ISO_IR 192"}}),
    "description_two": _either("R SeriesDescription: two values",
                               attributes={"SeriesDescription": r"One\Two"}),
    "uid_path": _either("R 1: a UID that is a path",
                        attributes={"SOPInstanceUID": [f"../../{number}" for number in range(4)]}),
    "uid_long": _either("R 1: UIDs of 70 characters",
                        attributes={"SOPInstanceUID": [f"1.2.276.{'9' * 61}{i}" for i in range(4)]}),
    "uid_text": _either("R 1: a Series Instance UID of letters",
                        attributes={"SeriesInstanceUID": "series one"}),
    "pixels_unknown_vr": _either("F20: Pixel Data with VR UN", pixel_element="unknown"),
    "rle_damaged": _either("R 1: a damaged RLE stream", transfer_syntax="rle", pixel_element="damaged"),
    "deflated_frames_damaged": _either("R 1: a damaged deflated frame", transfer_syntax="deflated_frames",
                                       pixel_element="damaged"),
    "plain_frames_short": _either("R 1: frames that are too short", transfer_syntax="plain_frames",
                                  attributes={"Rows": 13}),
    "jpeg_damaged": _either("R 1: a damaged JPEG stream", transfer_syntax="jpeg_lossless",
                            pixel_element="damaged"),
    "rle_not_encapsulated": _either("R 1: native pixels said to be RLE", meta=str(uid.RLELossless)),
    "appended_zeros": _either("R 1: zeros after the data set", appended=bytes(512)),
    "appended_noise": _either("R 1: noise after the data set", appended=bytes(range(101))),
    "appended_twice": _either("R 1: an element stands twice", appended=b"\x10\0\x10\0PN\4\0A^B "),
}  # fmt: skip
"""What breaks the standard: it may be carried exactly or refused, but nothing in between."""
