"""The instance of a file by its header: the attributes that the scan of a folder reads, without pixels."""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from pydicom import uid
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue

from itk_roundtrip import tags
from itk_roundtrip.dicom import codestream, values
from itk_roundtrip.dicom.codestream import Stream
from itk_roundtrip.dicom.decimals import decimals
from itk_roundtrip.dicom.elements import ElementError, Head, read_head
from itk_roundtrip.dicom.encoding import ITEM, SEQUENCE_END, UNDEFINED_LENGTH
from itk_roundtrip.dicom.nested import Node, Texts, sequence
from itk_roundtrip.dicom.parsing import Known, KnownDataset, parse_until
from itk_roundtrip.dicom.part10 import Opening, opening
from itk_roundtrip.dicom.regular import VRS, IrregularError, TruncatedError, regular_as, stands_in_data_sets
from itk_roundtrip.dicom.values import Element, as_text, frame_count, listed
from itk_roundtrip.rules import is_lossy
from itk_roundtrip.series.geometry import PLANE_ATTRIBUTES, Cosines, Point
from itk_roundtrip.series.places import (
    DETECTOR_NODES,
    DIMENSION_NODES,
    GROUP_NODES,
    SPACINGS,
    VECTORS,
    Groups,
    Place,
    grouped_places,
    grouped_values,
    header_places,
)
from itk_roundtrip.syntaxes import is_encapsulated
from itk_roundtrip.tags import tag_text


class _Private(NamedTuple):
    """A private element: its creator in capitals, group, element within the block, binary form or empty for text."""

    creator: str
    group: int
    element: int
    form: str


_OVERLAY_GROUPS = range(0x6000, 0x6020, 2)
_OVERLAY_BITS_ALLOCATED, _OVERLAY_DATA = 0x0100, 0x3000
"""Elements of the groups of overlays."""
_TEXT_FIELDS = {
    # SOP Common, General Study and General Series (PS3.3 C.12.1, C.7.2.1, C.7.3.1)
    "sop_class_uid": "SOPClassUID", "sop_instance_uid": "SOPInstanceUID", "study_instance_uid": "StudyInstanceUID",
    "series_instance_uid": "SeriesInstanceUID", "series_number": "SeriesNumber", "modality": "Modality",
    "timezone_offset": "TimezoneOffsetFromUTC",
    # General Image and Multi-frame (C.7.6.1, C.7.6.6, C.7.6.16)
    "instance_number": "InstanceNumber", "acquisition_number": "AcquisitionNumber", "content_time": "ContentTime",
    "acquisition_time": "AcquisitionTime", "number_of_frames": "NumberOfFrames", "lossy": "LossyImageCompression",
    "concatenation_uid": "ConcatenationUID",
    # what tells the volumes of a series apart (C.7.6.2, C.8.3.1)
    "temporal_position": "TemporalPositionIdentifier", "trigger_time": "TriggerTime", "echo_time": "EchoTime",
    "echo_numbers": "EchoNumbers", "inversion_time": "InversionTime", "flip_angle": "FlipAngle",
    # pixels and what they mean (C.7.6.3, C.11.1, C.8.8.3)
    "photometric_interpretation": "PhotometricInterpretation", "rescale_slope": "RescaleSlope",
    "rescale_intercept": "RescaleIntercept", "dose_grid_scaling": "DoseGridScaling",
}  # fmt: skip
"""Keywords of the attributes that an `Instance` has as their text, by its field."""
_NUMBER_FIELDS = {
    "rows": "Rows", "columns": "Columns", "samples_per_pixel": "SamplesPerPixel", "bits_stored": "BitsStored",
    "bits_allocated": "BitsAllocated", "high_bit": "HighBit", "pixel_representation": "PixelRepresentation",
    "planar_configuration": "PlanarConfiguration",
}  # fmt: skip
"""Keywords of the attributes of the Image Pixel Module (C.7.6.3) that an `Instance` has as a number, by its field."""
_PLANE_TEXTS = (*SPACINGS, "SpacingBetweenSlices", "SliceThickness", "ImagePositionPatient",
                "ImageOrientationPatient")  # fmt: skip
"""Attributes of the top level that a `Place` is read from."""
_TEXTS = (
    *_TEXT_FIELDS.values(), *_PLANE_TEXTS, "SpecificCharacterSet", "ImageType", "SeriesDescription",
    "GridFrameOffsetVector",
)  # fmt: skip
_OF_SERIES = (
    "StudyInstanceUID", "Modality", "FrameOfReferenceUID", "PatientPosition", "RescaleType", "Units", "SUVType",
    "DoseUnits", "Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "FrameReferenceTime",
    "ActualFrameDuration", "AcquisitionDate", "AcquisitionDateTime", "ContentDate", "SeriesDate", "StudyDate",
)  # fmt: skip
"""Texts that all instances of a series, or of a volume, share."""
_OF_PATIENT = ("PatientID", "PatientName", "PatientBirthDate")
"""Texts of the patient that all instances share; only digests are kept, because the texts identify the patient."""
_NUMBERS = (*_NUMBER_FIELDS.values(), "ImageIndex", "NumberOfSlices")
_REALS = ("DiffusionBValue", "DiffusionGradientOrientation")
_SEQUENCES = (
    "SourceImageSequence", "ReferencedSeriesSequence", "DetectorInformationSequence", "DimensionIndexSequence",
)  # fmt: skip
_FUNCTIONAL_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_ITEM_ATTRIBUTES = (
    "PurposeOfReferenceCodeSequence", "CodeValue", "ReferencedSOPInstanceUID", "SpatialLocationsPreserved",
)  # fmt: skip
_TAG = {
    keyword: tag_for_keyword(keyword) or 0
    for keyword in (
        *_TEXTS,
        *_OF_SERIES,
        *_OF_PATIENT,
        *_NUMBERS,
        *_REALS,
        *_SEQUENCES,
        *_FUNCTIONAL_GROUPS,
        *_ITEM_ATTRIBUTES,
        *VECTORS,
    )
}
_B_VALUES = (
    _Private("SIEMENS MR HEADER", 0x0019, 0x0C, ""),
    _Private("PHILIPS IMAGING DD 001", 0x2001, 0x03, "f"),
    _Private("IMAGE PRIVATE HEADER", 0x0065, 0x09, "d"),
    _Private("GEMS_PARM_01", 0x0043, 0x39, ""),
)
_TILES = _Private("IMAGE PRIVATE HEADER", 0x0065, 0x50, "")
"""Number of slices in an image that UIH calls VFRAME."""
_BLOCKS = range(0x10, 0x13)
"""The private blocks that are read: pydicom must be given the tags of a scan in advance."""
_SPECIFIC_TAGS: list[Any] = [
    *(
        _TAG[keyword]
        for keyword in (
            *_TEXTS,
            *_OF_SERIES,
            *_OF_PATIENT,
            *_NUMBERS,
            *_REALS,
            *_SEQUENCES,
            *_FUNCTIONAL_GROUPS,
            *VECTORS,
        )
    ),
    *(group << 16 | element for group in _OVERLAY_GROUPS for element in (_OVERLAY_BITS_ALLOCATED, _OVERLAY_DATA)),
    *(private.group << 16 | block for private in _B_VALUES for block in _BLOCKS),
    *(private.group << 16 | block << 8 | private.element for private in (*_B_VALUES, _TILES) for block in _BLOCKS),
]
_NUMBERS_AS_TEXT = frozenset({"CS", "DS", "IS", "LO", "LT", "SH", "ST", "UC", "UT"})
_IDENTIFYING = tuple(_TAG[keyword] for keyword in ("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "Rows"))
"""Attributes that an irregular file must have one of to be an instance."""
Elements = Mapping[int, Element]
_PIXEL_KINDS = {tags.PIXEL_DATA: "integer", tags.FLOAT_PIXEL_DATA: "float", tags.DOUBLE_FLOAT_PIXEL_DATA: "double"}
_GROUP_TAGS = tuple(_TAG[keyword] for keyword in _FUNCTIONAL_GROUPS)
_PIXELS = frozenset(_PIXEL_KINDS)
_PIXELS_AND_GROUPS = frozenset({*_PIXEL_KINDS, *_GROUP_TAGS})
_USUAL_VRS = {
    tag: frozenset({*dictionary_VR(tag).split(" or "), "UN"})
    for tag in (_TAG[keyword] for keyword in (*_TEXTS, *_NUMBERS, *_REALS, *_SEQUENCES, *_FUNCTIONAL_GROUPS))
}
"""VRs of the attributes that matter here; a relay may have given any of them VR UN (PS3.5 6.2.2)."""
_BYTES_OF_HEADER = 1 << 16
"""Bytes in which the elements before the pixels mostly are."""
_NO_PREFIX = "not DICOM (no DICM prefix)"
_NO_ATTRIBUTES = "broken (no attributes of a series)"
_UNPARSED = "broken (cannot be parsed)"


@dataclass(frozen=True)
class Instance:
    """A SOP instance, that is, a file, by the attributes of its header.

    Texts are as they stand, without padding, and empty if absent; numbers are ``None`` if absent.

    Attributes
    ----------
    path
        Absolute.
    name
        Path relative to the folder that was searched, for messages.
    image_position_patient, image_orientation_patient, pixel_spacing
        Of the first frame, wherever the file says it, in mm, direction cosines, and mm (row, column); ``None`` if
        absent or malformed. Without Pixel Spacing, Imager or Nominal Scanned Pixel Spacing.
    rescale_slope, rescale_intercept
        Texts of (0028,1053) and (0028,1052).
    pixel_data
        ``"integer"``, ``"float"``, ``"double"``, or empty if there is none.
    transfer_syntax_uid
        Of the encoding that the file really has, whatever it says.
    enhanced, embedded_overlay, truncated
        It has functional groups; an overlay in unused pixel bits; fewer pixels than it says.
    diffusion_b_value, diffusion_gradient
        In s/mm2 as text, by (0018,9087) or a private element; Diffusion Gradient Orientation (0018,9089) as text.
    lossy
        Lossy Image Compression (0028,2110).
    mosaic
        Many slices are tiled into its one image.
    opening_note
        Irregularities of the encoding, as a phrase for people; empty if there are none.
    """

    path: Path
    name: str
    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    modality: str
    series_description: str
    series_number: str
    acquisition_number: str
    instance_number: str
    timezone_offset: str
    temporal_position: str
    echo_time: str
    image_type: tuple[str, ...]
    image_position_patient: Point | None
    image_orientation_patient: Cosines | None
    pixel_spacing: tuple[float, float] | None
    number_of_frames: str
    photometric_interpretation: str
    rows: int | None
    columns: int | None
    samples_per_pixel: int | None
    bits_allocated: int | None
    bits_stored: int | None
    high_bit: int | None
    pixel_representation: int | None
    rescale_slope: str
    rescale_intercept: str
    pixel_data: str
    enhanced: bool
    embedded_overlay: bool
    truncated: bool
    source_images: tuple[tuple[str, str], ...] = ()
    """Purpose code and Referenced SOP Instance UID of each item of Source Image Sequence (0008,2112)."""
    spatial_locations_preserved: str = ""
    """Spatial Locations Preserved (0028,135A) of the last of these items."""
    referenced_series: tuple[str, ...] = ()
    """Series Instance UIDs in Referenced Series Sequence (0008,1115)."""
    planar_configuration: int | None = None
    dose_grid_scaling: str = ""
    diffusion_b_value: str = ""
    diffusion_gradient: str = ""
    trigger_time: str = ""
    acquisition_time: str = ""
    content_time: str = ""
    echo_numbers: str = ""
    inversion_time: str = ""
    flip_angle: str = ""
    concatenation_uid: str = ""
    lossy: str = ""
    mosaic: bool = False
    opening_note: str = ""
    streams: tuple[Stream, ...] = ()
    """The distinct headers of its compressed streams."""
    places: tuple[Place, ...] = (Place(),)
    """Plane position, orientation and spacing of its frames; a single place if all frames have the same."""
    frame_values: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    """Other values of its frames, by keyword: a text per frame, or a single text that all frames have."""
    texts: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)
    """Values that instances of a series or volume share, by keyword; of those that identify the patient, digests."""
    time_slice: str = ""
    """Number of the time slice or time slot of a PET image, from 1, by its Image Index (PS3.3 C.8.9.4.1.9)."""
    header_bytes: int = 0
    """Bytes of the file before the value of its pixel data; 0 where that is not known, as of a deflated data set."""

    def __repr__(self) -> str:
        return f"<Instance {self.name}>"

    @property
    def is_lossy(self) -> bool:
        """Whether the pixels are lossily compressed, by transfer syntax, header or stream."""
        return is_lossy(self.transfer_syntax_uid, self.lossy, codestream.lost(self.streams))

    @property
    def lost_detail(self) -> bool:
        """Whether the pixels are lossily compressed, or were so before, as the header says (PS3.3 C.7.6.1.1.5)."""
        return self.is_lossy or self.lossy == "01"

    @property
    def bits_beyond(self) -> int:
        """Precision of lossy streams with more bits than are stored; 0 if none of them has.

        Decoded values may then be beyond the range of Bits Stored, which no stored value may be (PS3.5 8.1.1).
        """
        precision = max((stream.precision or 0 for stream in self.streams), default=0)
        used = max(self.bits_stored or 0, (self.high_bit or 0) + 1)
        return precision if self.is_lossy and used < precision <= (self.bits_allocated or 0) else 0

    @property
    def frames(self) -> int:
        """Number of Frames (0028,0008); 1 if the text is no positive number."""
        return frame_count(self.number_of_frames)

    @property
    def framed(self) -> bool:
        """Whether its slices are frames: it has several frames, or functional groups."""
        return self.frames > 1 or self.enhanced

    @property
    def planes(self) -> int:
        """Number of frames that are really there; 1 without pixels or if truncated, and for a video.

        Number of Frames may be any number in a file without them.
        """
        return _planes(self.number_of_frames, self.pixel_data, self.truncated, self.transfer_syntax_uid)

    def is_same(self, other: Instance) -> bool:
        """Tell whether another instance has the same fields: compared as text, because a number may be NaN."""
        return repr(vars(self)) == repr(vars(other))

    def place(self, frame: int | None) -> Place:
        """Return the place of a frame, counted from 0; ``None`` for the file of a single frame."""
        return self.places[min(frame or 0, len(self.places) - 1)]

    def frame_value(self, keyword: str, frame: int | None) -> str:
        """Return the value of a frame by functional groups or vectors, as text; empty if they have none."""
        values = self.frame_values.get(keyword, ("",))
        return values[min(frame or 0, len(values) - 1)]

    @property
    def malformed(self) -> tuple[str, ...]:
        """Keywords of attributes of the image plane that are malformed in any frame."""
        return tuple(
            keyword for keyword in PLANE_ATTRIBUTES if any(keyword in place.malformed for place in self.places)
        )

    @property
    def pixel_format(self) -> tuple[int | None, int | None, int | None, str, int | None]:
        """Bits Allocated, Bits Stored, Pixel Representation, Photometric Interpretation, Samples per Pixel."""
        return (
            self.bits_allocated,
            self.bits_stored,
            self.pixel_representation,
            self.photometric_interpretation,
            self.samples_per_pixel,
        )


@dataclass(frozen=True)
class Skipped:
    """A file that is not part of any series, and why; ``unreadable`` if the system does not let it be read.

    ``duplicate_of`` names the file that is taken in its place, where both hold the same bytes.
    """

    name: str
    reason: str
    unreadable: bool = False
    duplicate_of: str = ""


def read_instance(path: Path, name: str) -> Instance | Skipped:
    """Read the header of a file, up to its pixels, in its real encoding.

    Warnings of pydicom may quote values.
    """
    try:
        if not path.is_file():
            return Skipped(name, "not a regular file")
        with path.open("rb") as file:
            if not file.read(1):
                return Skipped(name, "empty")
            # Mapped: pydicom asks a file for its position before every element.
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _read_content(path, name, content)
    except OSError as error:
        if error.errno is None:  # pydicom's, not the system's
            return Skipped(name, _UNPARSED)
        return Skipped(name, f"cannot be read ({(error.strerror or type(error).__name__).lower()})", unreadable=True)
    except Exception:  # whatever pydicom meets in a broken file
        return Skipped(name, _UNPARSED)


def _read_content(path: Path, name: str, content: mmap.mmap) -> Instance | Skipped:
    """Read the instance that the content of a file holds; where bytes are broken, any exception may be raised."""
    no_instance = Skipped(name, _NO_ATTRIBUTES if content[128:132] == b"DICM" else _NO_PREFIX)
    try:
        opened = opening(content)
    except ValueError:
        return no_instance
    if opened.media_storage_sop_class_uid == uid.MediaStorageDirectoryStorage:
        return Skipped(name, "DICOMDIR")
    header = _read_header(content, opened)
    streams: tuple[Stream, ...] = ()
    if header.start and is_encapsulated(opened.transfer_syntax_uid):
        streams = tuple(dict.fromkeys(codestream.streams(header.content, header.start)))
    note = ", ".join(filter(None, (opened.note, *header.notes)))
    if len(header.dataset) == 0 or (note and not any(tag in header.dataset for tag in _IDENTIFYING)):
        return no_instance
    return _instance(path, name, opened.transfer_syntax_uid, header, note, streams)


class _Header(NamedTuple):
    """A data set up to its pixels, and how its pixel data begins.

    Attributes
    ----------
    dataset
        Without its functional groups.
    groups
        Functional groups, read apart from it: of thousands of frames, little is wanted.
    pixel_data
        The kind of pixel data that follows; empty if there is none.
    truncated
        The content ends before the pixels do.
    start
        Offset of the value of pixel data in ``content``; 0 if there is none.
    notes
        Irregularities, as phrases for people.
    suspect
        There are signs of irregularities that :func:`regular` has to look for.
    """

    dataset: Dataset
    groups: Groups | None
    pixel_data: str = ""
    truncated: bool = False
    start: int = 0
    content: bytes | mmap.mmap = b""
    notes: tuple[str, ...] = ()
    suspect: bool = False


class _Watch:
    """Observer of pydicom's reading of a data set, which does not report elements out of order or of a wrong VR."""

    def __init__(self, implicit: bool, stream: Any) -> None:
        self.implicit = implicit
        self.stream = stream
        self.last = -1
        self.end = 0
        """Offset of the end of the last element; 0 if its length is undefined."""
        self.notes: dict[str, None] = {}
        self.unreadable = False
        """There is an unknown VR, or no sequence where one must be: where such an element ends is a guess."""

    def stops_at(self, stops: frozenset[int]) -> Callable[[int, str | None, int], bool]:
        """Return the ``stop_when`` of pydicom that stops at these tags; pydicom calls it for each element."""

        def stop(tag: int, vr: str | None, length: int) -> bool:
            tag = int(tag)  # pydicom's BaseTag compares slowly
            if tag <= self.last:
                self._note(tag, "stands out of order")
            elif tag >> 16 < 0x0008 and not stands_in_data_sets(tag):
                self._note(tag, "stands in the data set")
            self.last = tag
            self.end = self.stream.tell() + length if length != UNDEFINED_LENGTH else 0
            if not self.implicit:
                if vr not in VRS:
                    self.unreadable = True
                elif tag in _USUAL_VRS and vr not in _USUAL_VRS[tag]:
                    self._note(tag, f"has VR {vr}")
            return tag in stops

        return stop

    def _note(self, tag: int, what: str) -> None:
        self.notes[f"{_keyword_or_tag(tag)} {what}"] = None


def _keyword_or_tag(tag: int) -> str:
    return keyword_for_tag(tag) or tag_text(tag)


def _read_header(file_content: mmap.mmap, opened: Opening) -> _Header:
    """Read a data set up to its pixels; an irregular one as :func:`regular_as` mends it."""
    content: bytes | mmap.mmap = file_content
    start = opened.start
    if opened.deflated:
        content, start = zlib.decompress(file_content[opened.start :], -zlib.MAX_WBITS), 0
    try:
        header = _read_data_set(content, start, opened)
    except Exception:  # whatever pydicom meets in irregular bytes
        header = None
    if header is not None and not header.suspect:
        return header
    try:
        mended = regular_as(opened, content, start)
    except IrregularError as damage:  # reported in full when the pixels are read
        if header is None:
            raise
        return header._replace(truncated=header.truncated or isinstance(damage, TruncatedError))
    if header is None and not mended.problems:
        raise IrregularError("nothing is irregular")
    header = _read_data_set(mended.data, 0, opened)
    problems = [
        f"{_keyword_or_tag(tag)} {problem}" if tag else problem for tag, problem in sorted(mended.problems, key=str)
    ]
    return header._replace(notes=tuple(dict.fromkeys((*header.notes, *problems))))


def _read_data_set(content: bytes | mmap.mmap, begin: int, opened: Opening) -> _Header:
    """Read a data set up to its pixels with pydicom, and judge how its pixel data begins and ends.

    Raises
    ------
    IrregularError
        It ends inside an element.
    """
    position = begin
    try:
        if not opened.little_endian:
            raise ElementError(begin, "in Big Endian")
        dataset, end = parse_until(content[begin : begin + _BYTES_OF_HEADER], opened.encoding, _PIXELS_AND_GROUPS)
        position += end
        if read_head(content, position, opened.encoding).tag in _GROUP_TAGS:
            raise ElementError(position, "functional groups, which are read apart")
        header = _Header(dataset, None, content=content, notes=_odd_vrs(dataset, opened))
    except ElementError:
        stream: Any = BytesIO(content) if isinstance(content, bytes) else content
        stream.seek(begin)
        watch = _Watch(opened.implicit, stream)
        other, groups = _read_elements(stream, content, opened, watch)
        header = _Header(other, groups, content=content, notes=tuple(watch.notes), suspect=watch.unreadable)
        if watch.end and stream.tell() + 8 > len(content) and (watch.end > len(content) or any(content[watch.end :])):
            # pydicom returns the elements before the one that is cut off.
            raise IrregularError("ends inside an element") from None
        position = stream.tell()
    head = content[position : position + 12]
    if len(head) < 8:
        return header._replace(suspect=True)
    element = read_head(head.ljust(12, b"\0"), 0, opened.encoding, unknown_vr="short")
    pixel_data = _PIXEL_KINDS.get(element.tag, "")
    if not pixel_data:
        return header._replace(suspect=True)  # pydicom stopped before the end without an error
    return _judge_pixels(header._replace(pixel_data=pixel_data, start=position + element.value), element, opened)


def _odd_vrs(dataset: KnownDataset, opened: Opening) -> tuple[str, ...]:
    """Return phrases for elements of another VR than the data dictionary has."""
    if opened.implicit:
        return ()
    elements = dataset.undecoded
    return tuple(
        f"{_keyword_or_tag(tag)} has VR {elements[tag].VR}"
        for tag, usual in _USUAL_VRS.items()
        if tag in elements and elements[tag].VR not in usual
    )


def _judge_pixels(header: _Header, element: Head, opened: Opening) -> _Header:
    """Return a header with truncation and irregularities of its pixel data, which are the value of an element."""
    content, start, length = header.content, header.start, element.length
    elements = values.elements(header.dataset)
    frames = frame_count(_text(elements, "NumberOfFrames"))
    # Each frame but those of a video has a fragment of its own, and an item takes 8 bytes.
    too_short_for_items = frames * 8 > len(content) - start + element.value
    if is_encapsulated(opened.transfer_syntax_uid) and content[start : start + 4] == ITEM:
        as_it_must_be = length == UNDEFINED_LENGTH and (opened.implicit or element.vr == b"OB")
        suspect = header.suspect or not as_it_must_be or content[-8:-4] != SEQUENCE_END
        if opened.transfer_syntax_uid in uid.MPEGTransferSyntaxes:
            return header._replace(suspect=suspect)
        notes = header.notes
        if not _is_offset_table(content, start, frames):
            keyword = _keyword_or_tag(tags.PIXEL_DATA)
            notes = (*notes, f"{keyword} has a Basic Offset Table that is not one of its frames")
        return header._replace(truncated=too_short_for_items, notes=notes, suspect=suspect)
    if length == UNDEFINED_LENGTH:
        return header._replace(truncated=too_short_for_items)
    bits = _native_bits(elements, frames)
    missing = start + length - len(content)
    if missing == 1 and -(-bits // 8) == length - 1:  # nothing but the pad byte
        missing, header = 0, header._replace(suspect=True)
    return header._replace(truncated=missing > 0 or length < bits // 8)


def _native_bits(elements: Elements, frames: int) -> int:
    """Return the number of bits of native Pixel Data, without padding, by the attributes of the image."""
    bits = frames
    for keyword in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated"):
        bits *= _number(elements, keyword) or 1
    if _text(elements, "PhotometricInterpretation").endswith("_422"):
        bits = bits * 2 // 3  # chroma of half the resolution
    return bits


def _is_offset_table(content: bytes | mmap.mmap, start: int, frames: int) -> bool:
    """Tell whether the Basic Offset Table at an offset is empty or has an ascending entry for each frame."""
    length = int.from_bytes(content[start + 4 : start + 8], "little")
    if not length:
        return True
    offsets = struct.unpack(f"<{frames}L", content[start + 8 : start + 8 + length]) if length == 4 * frames else ()
    return bool(offsets) and not offsets[0] and all(offset < following for offset, following in pairwise(offsets))


def _read_elements(
    stream: Any, content: bytes | mmap.mmap, opened: Opening, watch: _Watch
) -> tuple[Dataset, Groups | None]:
    """Read a data set up to its pixels, without its functional groups, and these; the stream is then at its pixels."""

    def read(stops: frozenset[int]) -> Dataset:
        return read_dataset(
            stream,
            opened.implicit,
            opened.little_endian,
            stop_when=watch.stops_at(stops),
            specific_tags=_SPECIFIC_TAGS,
        )

    dataset = read(_PIXELS_AND_GROUPS)
    items: dict[int, list[Texts]] = {}
    while (tag := _tag(content, stream.tell(), opened)) in _GROUP_TAGS:
        try:
            items[tag], end = sequence(content, stream.tell(), opened.encoding, GROUP_NODES)
        except ValueError:  # pydicom may be able to read it all the same
            watch.unreadable = True
            dataset.update(read(_PIXELS))
            break
        stream.seek(end)
        dataset.update(read(_PIXELS_AND_GROUPS))
    return dataset, _groups(dataset, items)


def _groups(dataset: Dataset, read_items: Mapping[int, list[Texts]]) -> Groups | None:
    """Return the functional groups that were read apart, by tag, or by pydicom; ``None`` if there are none."""
    items = {
        tag: read_items[tag] if tag in read_items else _read_items(dataset, keyword, GROUP_NODES)
        for tag, keyword in zip(_GROUP_TAGS, _FUNCTIONAL_GROUPS, strict=True)
        if tag in read_items or tag in dataset
    }
    shared, per_frame = (items.get(tag, []) for tag in _GROUP_TAGS)
    return Groups(shared[0] if shared else {}, per_frame) if items else None


def _tag(content: bytes | mmap.mmap, at: int, opened: Opening) -> int:
    """Return the tag at an offset; 0 if the content ends before or inside it."""
    if at + 4 > len(content):
        return 0
    group, element = struct.unpack_from(opened.encoding.order + "HH", content, at)
    return int(group << 16 | element)


def describe(path: Path, name: str, dataset: Dataset) -> Instance:
    """Return the instance of a whole data set, as :func:`find_series` would return it for a regular file.

    Some of its elements are decoded.
    """
    pixel_data = next((kind for tag, kind in _PIXEL_KINDS.items() if tag in dataset), "")
    header = _Header(dataset, _groups(dataset, {}), pixel_data)
    return _instance(path, name, str(dataset.file_meta.get("TransferSyntaxUID", "")), header)


def _text(elements: Elements, keyword: str) -> str:
    """Return the value of an attribute as text; empty if absent."""
    element = elements.get(_TAG[keyword])
    if not isinstance(element, Known):
        return "" if element is None else as_text(element)
    if element.text is None:
        element.text = as_text(element)
    return element.text


def _number(elements: Elements, keyword: str) -> int | None:
    """Return the first value of an attribute as a whole number; ``None`` if absent, malformed or not raw."""
    element = elements.get(_TAG[keyword])
    if not isinstance(element, RawDataElement) or not element.value:
        return None
    if element.VR in _NUMBERS_AS_TEXT:
        text = as_text(element).split("\\")[0].strip()
        return int(text) if text.isdecimal() and len(text) < 6 else None
    size = 4 if element.VR in ("UL", "SL") else 2
    return int.from_bytes(element.value[:size], "little" if element.is_little_endian else "big")


def _instance(
    path: Path,
    name: str,
    transfer_syntax_uid: str,
    header: _Header,
    opening_note: str = "",
    streams: tuple[Stream, ...] = (),
) -> Instance:
    """Return the instance that a header describes."""
    dataset = header.dataset
    elements = values.elements(dataset)
    texts = {keyword: _text(elements, keyword) for keyword in _TEXTS}
    numbers = {keyword: _number(elements, keyword) for keyword in _NUMBERS}
    fields: dict[str, Any] = {
        **{field: texts[keyword] for field, keyword in _TEXT_FIELDS.items()},
        **{field: numbers[keyword] for field, keyword in _NUMBER_FIELDS.items()},
    }
    image_type = tuple(part.strip() for part in texts["ImageType"].split("\\"))
    planes = _planes(texts["NumberOfFrames"], header.pixel_data, header.truncated, transfer_syntax_uid)
    places, frame_values = _places(dataset, elements, texts, planes, header.groups)
    referenced_series = values.items(dataset, _TAG["ReferencedSeriesSequence"])
    source_images = values.items(dataset, _TAG["SourceImageSequence"])
    return Instance(
        path=path,
        name=name,
        transfer_syntax_uid=transfer_syntax_uid,
        opening_note=opening_note,
        series_description=_series_description(dataset),
        image_type=image_type,
        image_position_patient=places[0].position,
        image_orientation_patient=places[0].orientation,
        pixel_spacing=places[0].spacing,
        places=places,
        frame_values=frame_values,
        enhanced=header.groups is not None,
        mosaic=_is_mosaic(image_type, elements),
        pixel_data=header.pixel_data,
        truncated=header.truncated,
        streams=streams,
        embedded_overlay=any(_is_embedded_overlay(dataset, elements, group) for group in _OVERLAY_GROUPS),
        source_images=tuple(map(_source_image, source_images)),
        spatial_locations_preserved=_text(values.elements(source_images[-1]), "SpatialLocationsPreserved")
        if source_images
        else "",
        referenced_series=tuple(_text(values.elements(item), "SeriesInstanceUID") for item in referenced_series),
        diffusion_b_value=_b_value(elements),
        diffusion_gradient="\\".join(map(repr, _reals(elements.get(_TAG["DiffusionGradientOrientation"]), "d"))),
        time_slice=_time_slice(numbers["ImageIndex"], numbers["NumberOfSlices"]),
        texts=_shared_texts(dataset, elements),
        header_bytes=header.start if isinstance(header.content, mmap.mmap) else 0,
        **fields,
    )


def _is_mosaic(image_type: tuple[str, ...], elements: Elements) -> bool:
    """Tell whether many slices are tiled into one image: MOSAIC of Siemens, and VFRAME of UIH with several slices."""
    return "MOSAIC" in image_type or ("VFRAME" in image_type and _private(elements, _TILES) > (1,))


def _shared_texts(dataset: Dataset, elements: Elements) -> dict[str, str]:
    """Return the texts that instances of a series share, and digests of those that identify the patient."""
    return {
        **{keyword: _text(elements, keyword) for keyword in _OF_SERIES if _TAG[keyword] in elements},
        **{keyword: _digest(dataset, keyword) for keyword in _OF_PATIENT if _TAG[keyword] in elements},
    }


def _series_description(dataset: Dataset) -> str:
    """Return Series Description (0008,103E); empty if its text does not fit its character set."""
    try:
        value = dataset.get("SeriesDescription") or ""
        return "\\".join(value) if isinstance(value, MultiValue) else str(value)
    except Exception:  # whatever pydicom meets in such a text
        return ""


def _is_embedded_overlay(dataset: Dataset, elements: Elements, group: int) -> bool:
    """Tell whether the overlay of a group is in unused bits of Pixel Data."""
    bits_allocated = group << 16 | _OVERLAY_BITS_ALLOCATED
    return (
        bits_allocated in elements
        and group << 16 | _OVERLAY_DATA not in elements
        and int(dataset[bits_allocated].value or 1) > 1
    )


def _places(
    dataset: Dataset, elements: Elements, texts: Mapping[str, str], count: int, groups: Groups | None
) -> tuple[tuple[Place, ...], dict[str, tuple[str, ...]]]:
    """Return the places of the frames of an instance, and their other values by keyword."""
    if groups is not None:
        items = _read_items(dataset, "DimensionIndexSequence", DIMENSION_NODES)
        pointers = [item.get("DimensionIndexPointer", "") for item in items]
        return grouped_places(groups, count), grouped_values(groups, count, pointers)
    header = {keyword: texts[keyword] for keyword in _PLANE_TEXTS if _TAG[keyword] in elements}
    if count == 1 and _TAG["DetectorInformationSequence"] not in elements:
        return header_places(1, header, (), {}, ""), {}
    vectors = {}
    for keyword in VECTORS:
        numbers = _reals(elements.get(_TAG[keyword]), "H")
        if len(numbers) == count:
            vectors[keyword] = tuple(map(int, numbers))
    detectors = _read_items(dataset, "DetectorInformationSequence", DETECTOR_NODES)
    places = header_places(count, header, detectors, vectors, texts["GridFrameOffsetVector"])
    return places, {keyword: tuple(map(str, numbers)) for keyword, numbers in vectors.items()}


def _read_items(dataset: Dataset, keyword: str, wanted: Mapping[int, Node]) -> list[Texts]:
    """Return the wanted texts of the items of a sequence that pydicom has read."""
    return [dict(_read_item(item, wanted)) for item in values.items(dataset, _TAG[keyword])]


def _read_item(item: Dataset, wanted: Mapping[int, Node]) -> Iterator[tuple[str, str]]:
    for tag, node in wanted.items():
        if tag not in item:
            continue
        if node.inside:
            for inner in values.items(item, tag)[:1]:
                yield from _read_item(inner, node.inside)
        else:
            element = item.get_item(tag)
            yield node.keyword, as_text(element, node.vr) if element is not None else ""


def _digest(dataset: Dataset, keyword: str) -> str:
    """Return a digest of a text, equal for equal texts in whatever character sets; empty for an empty text."""
    element = dataset.get_item(_TAG[keyword])
    value = element.value if element is not None else None
    if not isinstance(value, bytes) or not value.isascii() or b"\x1b" in value:
        try:
            value = str(dataset[_TAG[keyword]].value or "").encode()
        except Exception:  # text that does not fit its character set
            value = value if isinstance(value, bytes) else b""
    value = value.strip(b" \0^=")
    return blake2b(value, digest_size=8).hexdigest() if value else ""


def _time_slice(image_index: int | None, slices: int | None) -> str:
    """Return the time slice of Image Index (0054,1330) by Number of Slices (0054,0081), from 1; empty without these."""
    return str((image_index - 1) // slices + 1) if image_index and slices else ""


def _planes(number_of_frames: str, pixel_data: str, truncated: bool, transfer_syntax_uid: str) -> int:
    """Return the number of frames that are really there; 1 without pixels or if truncated, and for a video."""
    video = transfer_syntax_uid in uid.MPEGTransferSyntaxes
    return frame_count(number_of_frames) if pixel_data and not truncated and not video else 1


def _b_value(elements: Elements) -> str:
    """Return the b-value in s/mm2, by Diffusion b-value (0018,9087) or a private element; empty without either."""
    numbers = _reals(elements.get(_TAG["DiffusionBValue"]), "d")
    for private in _B_VALUES:
        if numbers:
            break
        numbers = _private(elements, private)
        if numbers and private.creator == "GEMS_PARM_01":
            numbers = (numbers[0] % 100_000,)  # newer software adds 10^9
    return repr(numbers[0]) if numbers else ""


def _private(elements: Elements, private: _Private) -> tuple[float, ...]:
    """Return the numbers of a private element; none if there is no such element of that creator."""
    for block in _BLOCKS:
        creator = elements.get(private.group << 16 | block)
        if creator is not None and as_text(creator).upper() == private.creator:
            return _reals(elements.get(private.group << 16 | block << 8 | private.element), private.form)
    return ()


def _reals(element: Element | None, form: str) -> tuple[float, ...]:
    """Return the numbers of an element, in binary (a format of struct) or as text (empty); none if malformed."""
    if element is None:
        return ()
    value = element.value
    try:
        if not isinstance(value, bytes):
            return tuple(float(number) for number in listed(value) if number not in (None, ""))
        if not form:
            return decimals(value.decode("ascii").strip(" \0"))
        order = ">" if isinstance(element, RawDataElement) and not element.is_little_endian else "<"
        return tuple(number for (number,) in struct.iter_unpack(order + form, value))
    except (ValueError, TypeError, struct.error):
        return ()


def _source_image(item: Dataset) -> tuple[str, str]:
    """Return purpose code and Referenced SOP Instance UID of an item of Source Image Sequence."""
    codes = values.items(item, _TAG["PurposeOfReferenceCodeSequence"])
    return _text(values.elements(codes[0]), "CodeValue") if codes else "", _text(
        values.elements(item), "ReferencedSOPInstanceUID"
    )
