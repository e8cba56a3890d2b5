"""One file as its header describes it: what the scan of a folder reads of each, without its pixels."""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from pydicom import uid
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from itk_roundtrip import tags
from itk_roundtrip.dicom import codestream
from itk_roundtrip.dicom.codestream import Stream
from itk_roundtrip.dicom.decimals import decimals
from itk_roundtrip.dicom.nested import Encoding, Node, Texts, decoded, sequence
from itk_roundtrip.dicom.part10 import Opening, opening
from itk_roundtrip.dicom.regular import VRS, IrregularError, TruncatedError, regular, stands_in_data_sets
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
_TEXTS = (
    "SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "AcquisitionTime", "ContentTime", "Modality",
    "SeriesDescription", "EchoTime", "InversionTime", "EchoNumbers", "TriggerTime", "FlipAngle", "StudyInstanceUID",
    "SeriesInstanceUID", "SeriesNumber", "AcquisitionNumber", "InstanceNumber", "ImagePositionPatient",
    "ImageOrientationPatient", "TemporalPositionIdentifier", "TimezoneOffsetFromUTC", "ConcatenationUID",
    "PhotometricInterpretation", "NumberOfFrames", "PixelSpacing", "RescaleIntercept", "RescaleSlope",
    "LossyImageCompression", "DoseGridScaling", "SliceThickness", "SpacingBetweenSlices", "GridFrameOffsetVector",
    "ImagerPixelSpacing", "NominalScannedPixelSpacing",
)  # fmt: skip
_OF_SERIES = (
    "StudyInstanceUID", "Modality", "FrameOfReferenceUID", "PatientPosition", "RescaleType", "Units", "SUVType",
    "DoseUnits", "Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "FrameReferenceTime",
    "ActualFrameDuration", "AcquisitionDate", "AcquisitionDateTime", "ContentDate",
)  # fmt: skip
"""Texts that all instances of a series, or of a volume, share."""
_OF_PATIENT = ("PatientID", "PatientName", "PatientBirthDate")
"""The same, of which only digests are kept: they identify."""
_NUMBERS = (
    "SamplesPerPixel", "PlanarConfiguration", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "ImageIndex", "NumberOfSlices",
)  # fmt: skip
_REALS = ("DiffusionBValue", "DiffusionGradientOrientation")
_SEQUENCES = (
    "SourceImageSequence", "ReferencedSeriesSequence", "DetectorInformationSequence", "DimensionIndexSequence",
)  # fmt: skip
_PRESENCE = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_ITEM_ATTRIBUTES = ("PurposeOfReferenceCodeSequence", "CodeValue", "ReferencedSOPInstanceUID")
_TAG = {
    keyword: tag_for_keyword(keyword) or 0
    for keyword in (
        *_TEXTS,
        *_OF_SERIES,
        *_OF_PATIENT,
        *_NUMBERS,
        *_REALS,
        *_SEQUENCES,
        *_PRESENCE,
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
"""The private blocks that are looked at: the elements of a scan are named in advance."""
_TAGS: list[Any] = [
    *(
        _TAG[keyword]
        for keyword in (*_TEXTS, *_OF_SERIES, *_OF_PATIENT, *_NUMBERS, *_REALS, *_SEQUENCES, *_PRESENCE, *VECTORS)
    ),
    *((group << 16) | element for group in _OVERLAY_GROUPS for element in (0x0100, 0x3000)),
    *(one.group << 16 | block for one in _B_VALUES for block in _BLOCKS),
    *(one.group << 16 | block << 8 | one.element for one in (*_B_VALUES, _TILES) for block in _BLOCKS),
]
_NUMBERS_AS_TEXT = frozenset({"CS", "DS", "IS", "LO", "LT", "SH", "ST", "UC", "UT"})
_IDENTIFYING = tuple(_TAG[keyword] for keyword in ("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "Rows"))
"""An odd file that has none of these is no instance."""
Elements = dict[int, DataElement | RawDataElement]
_PIXEL_TAGS = {tags.PIXEL_DATA: "integer", tags.FLOAT_PIXEL_DATA: "float", tags.DOUBLE_FLOAT_PIXEL_DATA: "double"}
_GROUP_TAGS = tuple(_TAG[keyword] for keyword in _PRESENCE)
_PIXELS = frozenset(_PIXEL_TAGS)
_STOPS = frozenset({*_PIXEL_TAGS, *_GROUP_TAGS})
_ITEM, _SEQUENCE_END = b"\xfe\xff\0\xe0", b"\xfe\xff\xdd\xe0"
_USUAL_VRS = {
    tag: frozenset({*dictionary_VR(tag).split(" or "), "UN"})
    for tag in (_TAG[keyword] for keyword in (*_TEXTS, *_NUMBERS, *_REALS, *_SEQUENCES, *_PRESENCE))
}
"""VRs of the attributes that matter here; a relay may have given any of them VR UN (PS3.5 6.2.2)."""
_LIKE_THE_HEADER = (*SPACINGS, "SpacingBetweenSlices", "SliceThickness", "ImagePositionPatient",
                    "ImageOrientationPatient")  # fmt: skip
_NO_PREFIX = "not DICOM (no DICM prefix)"
_NO_ATTRIBUTES = "broken (no attributes of a series)"
_UNPARSED = "broken (cannot be parsed)"


@dataclass(frozen=True)
class Instance:
    """One SOP instance, that is, one file, as its header describes it.

    Texts are as they stand, without padding, and empty if absent; numbers are ``None`` if absent.

    Attributes
    ----------
    path
        Absolute.
    name
        Path relative to the folder that was searched, for messages.
    image_position_patient, image_orientation_patient, pixel_spacing
        Of the first frame, wherever the file says it, in mm, direction cosines, and mm (row, column); ``None`` if
        absent or malformed. In a file without Pixel Spacing, Imager or Nominal Scanned Pixel Spacing stands for it.
    rescale_slope, rescale_intercept
        Texts of (0028,1053) and (0028,1052).
    pixel_data
        ``"integer"``, ``"float"``, ``"double"``, or empty if there is none.
    transfer_syntax_uid
        What the file is really in, whatever it says.
    enhanced, embedded_overlay, truncated
        It has functional groups; an overlay in unused pixel bits; fewer pixels than it says.
    diffusion_b_value, diffusion_gradient
        In s/mm2 as text, public or as the maker keeps it; Diffusion Gradient Orientation (0018,9089) as text.
    lossy
        Lossy Image Compression (0028,2110).
    mosaic
        Many slices are tiled into its one image.
    opening_note
        What is odd about how the file begins, as a phrase for people; empty if all is well.
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
    """What the compressed streams of all frames say of themselves, each once."""
    places: tuple[Place, ...] = (Place(),)
    """Where its frames lie; one place if the same is said of all."""
    frame_values: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    """What tells its frames apart, by keyword: one text per frame, or one if it is that of all."""
    texts: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)
    """What instances of one series share, by keyword; of what identifies the patient, a digest."""
    time_slice: str = ""
    """Number of the time slice or time slot of a PET image, from 1, by its Image Index (PS3.3 C.8.9.4.1.9)."""

    @property
    def is_lossy(self) -> bool:
        """Whether the pixels lost something by the compression that they have."""
        return is_lossy(self.transfer_syntax_uid, self.lossy, codestream.lost(self.streams))

    @property
    def bits_beyond(self) -> int:
        """Precision of lossy streams with more bits than are stored; 0 if none of them has.

        What they are decoded to may be more than Bits Stored can hold, which no stored value may be (PS3.5 8.1.1).
        """
        precision = max((stream.precision or 0 for stream in self.streams), default=0)
        used = max(self.bits_stored or 0, (self.high_bit or 0) + 1)
        return precision if self.is_lossy and used < precision <= (self.bits_allocated or 0) else 0

    @property
    def frames(self) -> int:
        """Number of Frames (0028,0008) as a number; 1 if it is none or not positive."""
        return _frames(self.number_of_frames)

    @property
    def framed(self) -> bool:
        """Whether its header describes several frames, or one as if it were of several, by functional groups."""
        return self.frames > 1 or self.enhanced

    @property
    def planes(self) -> int:
        """How many frames are known to be there: Number of Frames may be any number in a file without them."""
        video = self.transfer_syntax_uid in uid.MPEGTransferSyntaxes
        return self.frames if self.pixel_data and not self.truncated and not video else 1

    def place(self, frame: int | None) -> Place:
        """Return where a frame lies, counted from 0; ``None`` is the only one."""
        return self.places[min(frame or 0, len(self.places) - 1)]

    def frame_value(self, keyword: str, frame: int | None) -> str:
        """Return what functional groups or vectors say of a frame; empty if they do not say it."""
        values = self.frame_values.get(keyword, ("",))
        return values[min(frame or 0, len(values) - 1)]

    @property
    def malformed(self) -> tuple[str, ...]:
        """Keywords of attributes of the image plane that are there, in any frame, but not what they must be."""
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
    """Read the header of one file, up to its pixels, as what it really is.

    pydicom may warn, with values in its warnings.
    """
    try:
        if not path.is_file():
            return Skipped(name, "not a regular file")
        with path.open("rb") as file:
            head = file.read(132)
            if not head:
                return Skipped(name, "empty")
            prefix = head[128:] == b"DICM"
            # Mapped: pydicom asks a file for its position before every element.
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                try:
                    opened = opening(content)
                except ValueError:
                    return Skipped(name, _NO_ATTRIBUTES if prefix else _NO_PREFIX)
                if opened.media_storage_sop_class_uid == uid.MediaStorageDirectoryStorage:
                    return Skipped(name, "DICOMDIR")
                found = _header(content, opened)
                dataset, pixel_data, truncated, groups = found[:4]
                streams: tuple[Stream, ...] = ()
                if found.start and is_encapsulated(opened.transfer_syntax_uid):
                    streams = tuple(dict.fromkeys(codestream.streams(found.content, found.start)))
        note = ", ".join(filter(None, (opened.note, *found.notes)))
        if len(dataset) == 0 or (note and not any(tag in dataset for tag in _IDENTIFYING)):
            return Skipped(name, _NO_ATTRIBUTES if prefix else _NO_PREFIX)
        one = _instance(path, name, dataset, opened.transfer_syntax_uid, pixel_data, truncated, groups, note)
        return replace(one, streams=streams) if streams else one
    except OSError as error:
        if error.errno is None:  # pydicom's, not the system's
            return Skipped(name, _UNPARSED)
        return Skipped(name, f"cannot be read ({(error.strerror or type(error).__name__).lower()})", unreadable=True)
    except Exception:  # whatever pydicom meets in a broken file
        return Skipped(name, _UNPARSED)


class _Header(NamedTuple):
    """A data set up to its pixels, which kind of pixel data follows, and whether the file ends before it.

    And functional groups, which are read beside it: of thousands of frames, little is wanted; where in ``content`` the
    value of pixel data starts, 0 if there is none; and what is irregular, as phrases for people.
    """

    dataset: Dataset
    pixel_data: str
    truncated: bool
    groups: Groups | None
    start: int
    content: bytes | mmap.mmap
    notes: tuple[str, ...]


class _Watch:
    """What pydicom passes over without a word: asked at every element of the top level, where it ends its reading."""

    def __init__(self, implicit: bool, stream: Any) -> None:
        self.implicit = implicit
        self.stream = stream
        self.last = -1
        self.end = 0
        """Where the last element ends; 0 if its length is undefined."""
        self.notes: dict[str, None] = {}
        self.unreadable = False
        """There is a VR that nobody knows, or no sequence where one must be; where its element ends is then a guess."""

    def stops_at(self, stops: frozenset[int]) -> Callable[[int, str | None, int], bool]:
        """Return what pydicom asks."""

        def stop(tag: int, vr: str | None, length: int) -> bool:
            tag = int(tag)  # pydicom's own compares slowly
            if tag <= self.last:
                self._note(tag, "stands out of order")
            elif tag < 0x00080000 and not stands_in_data_sets(tag):
                self._note(tag, "stands in the data set")
            self.last = tag
            self.end = self.stream.tell() + length if length != 0xFFFFFFFF else 0
            if not self.implicit:
                if vr not in VRS:
                    self.unreadable = True
                elif tag in _USUAL_VRS and vr not in _USUAL_VRS[tag]:
                    self._note(tag, f"has VR {vr}")
            return tag in stops

        return stop

    def _note(self, tag: int, what: str) -> None:
        self.notes[f"{_named(tag)} {what}"] = None


def _named(tag: int) -> str:
    return keyword_for_tag(tag) or tag_text(tag)


def _header(content: mmap.mmap, opened: Opening) -> _Header:
    """Read a data set up to its pixels; one that is not quite DICOM as what others take it for."""
    whole: bytes | mmap.mmap = content
    start = opened.start
    if opened.deflated:
        whole, start = zlib.decompress(content[opened.start :], -zlib.MAX_WBITS), 0
    try:
        found = _described(whole, start, opened)
    except Exception:  # whatever pydicom meets in irregular bytes
        found = None
    if found is not None and "" not in found.notes:
        return found
    encoding = {"implicit": opened.implicit, "little_endian": opened.little_endian}
    try:
        mended = regular(whole, start, **encoding, encapsulated=is_encapsulated(opened.transfer_syntax_uid))
    except IrregularError as damage:  # told in full where the pixels are wanted
        if found is None:
            raise
        truncated = found.truncated or isinstance(damage, TruncatedError)
        return found._replace(truncated=truncated, notes=tuple(filter(None, found.notes)))
    if found is None and not mended.problems:
        raise IrregularError("nothing is irregular")
    found = _described(mended.data, 0, opened)
    told = [f"{_named(tag)} {what}" if tag else what for tag, what in sorted(mended.problems, key=str)]
    return found._replace(notes=tuple(dict.fromkeys((*filter(None, found.notes), *told))))


def _described(whole: bytes | mmap.mmap, begin: int, opened: Opening) -> _Header:
    """Return the header of a data set; among its notes is an empty one if there is more that must be looked at."""
    stream: Any = BytesIO(whole) if isinstance(whole, bytes) else whole
    stream.seek(begin)
    watch = _Watch(opened.implicit, stream)
    dataset, groups = _elements(stream, whole, opened, watch)
    notes = (*watch.notes, *([""] if watch.unreadable else []))
    position, head = stream.tell(), stream.read(12)
    nothing = _Header(dataset, "", False, groups, 0, whole, (*notes, ""))  # pydicom passes over where it ends early
    if len(head) < 8:
        if watch.end and (watch.end > len(whole) or any(whole[watch.end :])):
            raise IrregularError("ends inside an element")  # pydicom returns what stands before it
        return nothing
    kind = _PIXEL_TAGS.get(_tag(head, opened), "")
    if not kind:
        return nothing
    first, last = 4, 8
    if not opened.implicit:
        first, last = (8, 12) if head[4:6].decode("latin-1") in EXPLICIT_VR_LENGTH_32 else (6, 8)
    length = int.from_bytes(head[first:last], "little" if opened.little_endian else "big")
    found = _found(dataset)
    frames = _frames(_text(found, "NumberOfFrames"))
    start = position + last
    if is_encapsulated(opened.transfer_syntax_uid) and whole[start : start + 4] == _ITEM:
        if length != 0xFFFFFFFF or (not opened.implicit and head[4:6] != b"OB") or whole[-8:-4] != _SEQUENCE_END:
            notes = (*notes, "")
        # Each frame has a fragment of its own, but for those of a video; the position is that of the pixels.
        video = opened.transfer_syntax_uid in uid.MPEGTransferSyntaxes
        if not video and not _is_table(whole, start, frames):
            notes = (*notes, f"{_named(tags.PIXEL_DATA)} has a Basic Offset Table that is not one of its frames")
        short = not video and frames * 8 > len(whole) - position
        return _Header(dataset, kind, short, groups, start, whole, notes)
    if length == 0xFFFFFFFF:
        return _Header(dataset, kind, frames * 8 > len(whole) - position, groups, start, whole, notes)
    expected = frames
    for keyword in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated"):
        expected *= _number(found, keyword) or 1
    if _text(found, "PhotometricInterpretation").endswith("_422"):
        expected = expected * 2 // 3  # chroma of half the resolution
    beyond = start + length - len(whole)
    if beyond == 1 and -(-expected // 8) == length - 1:
        beyond, notes = 0, (*notes, "")  # nothing but the pad byte is missing
    short = beyond > 0 or length < expected // 8
    return _Header(dataset, kind, short, groups, start, whole, notes)


def _is_table(whole: bytes | mmap.mmap, start: int, frames: int) -> bool:
    """Tell whether the Basic Offset Table that starts here is empty or has one ascending entry for each frame."""
    length = int.from_bytes(whole[start + 4 : start + 8], "little")
    if not length:
        return True
    offsets = struct.unpack(f"<{frames}L", whole[start + 8 : start + 8 + length]) if length == 4 * frames else ()
    return bool(offsets) and not offsets[0] and all(one < other for one, other in pairwise(offsets))


def _elements(stream: Any, whole: bytes | mmap.mmap, opened: Opening, watch: _Watch) -> tuple[Dataset, Groups | None]:
    """Return the data set up to its pixels without its functional groups, and these; the stream stands behind them."""
    how = Encoding(opened.implicit, "<" if opened.little_endian else ">")
    encoding = opened.implicit, opened.little_endian
    dataset = read_dataset(stream, *encoding, stop_when=watch.stops_at(_STOPS), specific_tags=_TAGS)
    found: dict[int, list[Texts]] = {}
    while (tag := _tag(_peek(stream), opened)) in _GROUP_TAGS:
        try:
            found[tag], end = sequence(whole, stream.tell(), how, GROUP_NODES)
        except ValueError:  # whatever it is, pydicom may make something of it
            watch.unreadable = True
            dataset.update(read_dataset(stream, *encoding, stop_when=watch.stops_at(_PIXELS), specific_tags=_TAGS))
            break
        stream.seek(end)
        dataset.update(read_dataset(stream, *encoding, stop_when=watch.stops_at(_STOPS), specific_tags=_TAGS))
    return dataset, _groups(dataset, found)


def _groups(dataset: Dataset, found: Mapping[int, list[Texts]]) -> Groups | None:
    """Return the functional groups that were found, or that pydicom has read; ``None`` if there are none."""
    items = {
        tag: found[tag] if tag in found else _read_items(dataset, keyword, GROUP_NODES)
        for tag, keyword in zip(_GROUP_TAGS, _PRESENCE, strict=True)
        if tag in found or tag in dataset
    }
    shared, per_frame = (items.get(tag, []) for tag in _GROUP_TAGS)
    return Groups(shared[0] if shared else {}, per_frame) if items else None


def _peek(stream: Any) -> bytes:
    position = stream.tell()
    head: bytes = stream.read(4)
    stream.seek(position)
    return head


def _tag(head: bytes, opened: Opening) -> int:
    if len(head) < 4:
        return 0
    group, element = struct.unpack_from("<HH" if opened.little_endian else ">HH", head)
    return int(group << 16 | element)


def describe(path: Path, name: str, dataset: Dataset) -> Instance:
    """Return the instance that a whole data set is, as :func:`find_series` would find it in a sound file.

    Some of its elements are decoded.
    """
    kind = next((kind for tag, kind in _PIXEL_TAGS.items() if tag in dataset), "")
    groups = _groups(dataset, {})
    return _instance(path, name, dataset, str(dataset.file_meta.get("TransferSyntaxUID", "")), kind, False, groups)


def _found(dataset: Dataset) -> Elements:
    return {int(tag): element for tag, element in dataset.items()}


def _text(found: Elements, keyword: str) -> str:
    element = found.get(_TAG[keyword])
    return "" if element is None else _decoded(element)


def _decoded(element: DataElement | RawDataElement) -> str:
    if isinstance(element, RawDataElement):
        return decoded(bytes(element.value or b""), element.VR or "", "<" if element.is_little_endian else ">")
    value = element.value
    several = value if isinstance(value, list | tuple | MultiValue) else ["" if value is None else value]
    return "\\".join(map(str, several))


def _number(found: Elements, keyword: str) -> int | None:
    element = found.get(_TAG[keyword])
    if not isinstance(element, RawDataElement) or not element.value:
        return None
    if element.VR in _NUMBERS_AS_TEXT:
        text = _decoded(element).split("\\")[0].strip()
        return int(text) if text.isdecimal() and len(text) < 6 else None
    size = 4 if element.VR in ("UL", "SL") else 2
    return int.from_bytes(element.value[:size], "little" if element.is_little_endian else "big")


def _instance(
    path: Path,
    name: str,
    dataset: Dataset,
    syntax: str,
    pixel_data: str,
    missing: bool,
    groups: Groups | None,
    note: str = "",
) -> Instance:
    found = _found(dataset)
    texts = {keyword: _text(found, keyword) for keyword in _TEXTS}
    numbers = {keyword: _number(found, keyword) for keyword in _NUMBERS}
    image_type = tuple(part.strip() for part in texts["ImageType"].split("\\"))
    try:
        value = dataset.get("SeriesDescription") or ""
        description = "\\".join(value) if isinstance(value, MultiValue) else str(value)
    except Exception:  # text that does not fit its character set
        description = ""
    video = syntax in uid.MPEGTransferSyntaxes
    count = _frames(texts["NumberOfFrames"]) if pixel_data and not missing and not video else 1
    places, values = _places(dataset, found, texts, count, groups)
    return Instance(
        path=path,
        name=name,
        transfer_syntax_uid=syntax,
        sop_class_uid=texts["SOPClassUID"],
        sop_instance_uid=texts["SOPInstanceUID"],
        study_instance_uid=texts["StudyInstanceUID"],
        series_instance_uid=texts["SeriesInstanceUID"],
        modality=texts["Modality"],
        series_description=description,
        series_number=texts["SeriesNumber"],
        acquisition_number=texts["AcquisitionNumber"],
        instance_number=texts["InstanceNumber"],
        timezone_offset=texts["TimezoneOffsetFromUTC"],
        temporal_position=texts["TemporalPositionIdentifier"],
        echo_time=texts["EchoTime"],
        image_type=image_type,
        image_position_patient=places[0].position,
        image_orientation_patient=places[0].orientation,
        pixel_spacing=places[0].spacing,
        number_of_frames=texts["NumberOfFrames"],
        photometric_interpretation=texts["PhotometricInterpretation"],
        rows=numbers["Rows"],
        columns=numbers["Columns"],
        samples_per_pixel=numbers["SamplesPerPixel"],
        bits_allocated=numbers["BitsAllocated"],
        bits_stored=numbers["BitsStored"],
        high_bit=numbers["HighBit"],
        pixel_representation=numbers["PixelRepresentation"],
        rescale_slope=texts["RescaleSlope"],
        rescale_intercept=texts["RescaleIntercept"],
        pixel_data=pixel_data,
        enhanced=groups is not None,
        embedded_overlay=any(
            group << 16 | 0x0100 in found
            and group << 16 | 0x3000 not in found
            and int(dataset[group << 16 | 0x0100].value or 1) > 1
            for group in _OVERLAY_GROUPS
        ),
        truncated=missing,
        source_images=tuple(map(_source_image, _items(dataset, "SourceImageSequence"))),
        referenced_series=tuple(
            _text(_found(item), "SeriesInstanceUID") for item in _items(dataset, "ReferencedSeriesSequence")
        ),
        planar_configuration=numbers["PlanarConfiguration"],
        dose_grid_scaling=texts["DoseGridScaling"],
        diffusion_b_value=_b_value(found),
        diffusion_gradient="\\".join(map(repr, _reals(found.get(_TAG["DiffusionGradientOrientation"]), "d"))),
        trigger_time=texts["TriggerTime"],
        acquisition_time=texts["AcquisitionTime"],
        content_time=texts["ContentTime"],
        echo_numbers=texts["EchoNumbers"],
        inversion_time=texts["InversionTime"],
        flip_angle=texts["FlipAngle"],
        concatenation_uid=texts["ConcatenationUID"],
        lossy=texts["LossyImageCompression"],
        mosaic="MOSAIC" in image_type or ("VFRAME" in image_type and _private(found, _TILES) > (1,)),
        opening_note=note,
        places=places,
        frame_values=values,
        texts={
            **{keyword: _text(found, keyword) for keyword in _OF_SERIES if _TAG[keyword] in found},
            **{keyword: _digest(dataset, keyword) for keyword in _OF_PATIENT if _TAG[keyword] in found},
        },
        time_slice=_time_slice(numbers["ImageIndex"], numbers["NumberOfSlices"]),
    )


def _places(
    dataset: Dataset, found: Elements, texts: Mapping[str, str], count: int, groups: Groups | None
) -> tuple[tuple[Place, ...], dict[str, tuple[str, ...]]]:
    """Return where the frames of an instance lie, and what else tells them apart."""
    if groups is not None:
        items = _read_items(dataset, "DimensionIndexSequence", DIMENSION_NODES)
        pointers = [item.get("DimensionIndexPointer", "") for item in items]
        return grouped_places(groups, count), grouped_values(groups, count, pointers)
    header = {keyword: texts[keyword] for keyword in _LIKE_THE_HEADER if _TAG[keyword] in found}
    if count == 1 and _TAG["DetectorInformationSequence"] not in found:
        return header_places(1, header, (), {}, ""), {}
    vectors = {}
    for keyword in VECTORS:
        numbers = _reals(found.get(_TAG[keyword]), "H")
        if len(numbers) == count:
            vectors[keyword] = tuple(map(int, numbers))
    detectors = _read_items(dataset, "DetectorInformationSequence", DETECTOR_NODES)
    places = header_places(count, header, detectors, vectors, texts["GridFrameOffsetVector"])
    return places, {keyword: tuple(map(str, numbers)) for keyword, numbers in vectors.items()}


def _read_items(dataset: Dataset, keyword: str, wanted: Mapping[int, Node]) -> list[Texts]:
    """Return the wanted texts of the items of a sequence that pydicom has read."""
    return [dict(_read_item(item, wanted)) for item in _items(dataset, keyword)]


def _read_item(item: Dataset, wanted: Mapping[int, Node]) -> Iterator[tuple[str, str]]:
    for tag, node in wanted.items():
        if tag not in item:
            continue
        if node.inside:
            for inner in _items(item, node.keyword)[:1]:
                yield from _read_item(inner, node.inside)
        else:
            element = item.get_item(tag)
            yield node.keyword, _shown(element, node.vr) if element is not None else ""


def _shown(element: DataElement | RawDataElement, vr: str) -> str:
    """Return the values of an element as :func:`decoded` does."""
    value = element.value
    if isinstance(element, RawDataElement) or isinstance(value, bytes):
        little = not isinstance(element, RawDataElement) or element.is_little_endian
        return decoded(bytes(value or b""), vr, "<" if little else ">")
    several = value if isinstance(value, list | tuple | MultiValue) else [value]
    shown = [f"{int(one):08X}" if vr == "AT" else str(one) for one in several if one not in (None, "")]
    return "\\".join(shown)


def _digest(dataset: Dataset, keyword: str) -> str:
    """Return what is the same for equal texts, however they are encoded, and tells nothing of them; empty if empty."""
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
    return str((image_index - 1) // slices + 1) if image_index and slices else ""


def _frames(text: str) -> int:
    try:
        return max(1, int(text))
    except ValueError:
        return 1


def _b_value(found: Elements) -> str:
    """Return the b-value in s/mm2, the standard's or a maker's."""
    values = _reals(found.get(_TAG["DiffusionBValue"]), "d")
    for place in _B_VALUES:
        if values:
            break
        values = _private(found, place)
        if values and place.creator == "GEMS_PARM_01":
            values = (values[0] % 100_000,)  # newer software adds 10^9
    return repr(values[0]) if values else ""


def _private(found: Elements, place: _Private) -> tuple[float, ...]:
    """Return the numbers of a private element; none if there is no such element of that creator."""
    for block in _BLOCKS:
        creator = found.get(place.group << 16 | block)
        if creator is not None and _decoded(creator).upper() == place.creator:
            return _reals(found.get(place.group << 16 | block << 8 | place.element), place.form)
    return ()


def _reals(element: DataElement | RawDataElement | None, form: str) -> tuple[float, ...]:
    """Return the numbers of an element, in binary (``f``, ``d``) or as text (empty); none if they are no numbers."""
    if element is None:
        return ()
    value = element.value
    try:
        if not isinstance(value, bytes):
            several = value if isinstance(value, list | tuple | MultiValue) else [value]
            return tuple(float(one) for one in several if one not in (None, ""))
        if not form:
            return decimals(value.decode("ascii").strip(" \0"))
        order = ">" if isinstance(element, RawDataElement) and not element.is_little_endian else "<"
        return tuple(one for (one,) in struct.iter_unpack(order + form, value))
    except (ValueError, TypeError, struct.error):
        return ()


def _source_image(item: Dataset) -> tuple[str, str]:
    """Return purpose code and Referenced SOP Instance UID of an item of Source Image Sequence."""
    codes = _items(item, "PurposeOfReferenceCodeSequence")
    return _text(_found(codes[0]), "CodeValue") if codes else "", _text(_found(item), "ReferencedSOPInstanceUID")


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    tag = _TAG.get(keyword) or tag_for_keyword(keyword) or 0
    try:
        value = dataset[tag].value if tag in dataset else None
    except Exception:  # bytes that are no items
        return []
    return list(value) if isinstance(value, Sequence) else []
