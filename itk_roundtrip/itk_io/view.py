"""What ITK is given of a source: exactly the files of one series, and less of them where less is needed.

ITK reads the source itself. Where GDCM cannot read or write what a header holds, it reads a copy with that hidden; the
written file gets it back from the source when it is completed.
"""

from __future__ import annotations

import enum
import os
import struct
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import ExplicitVRLittleEndian

from itk_roundtrip import tags
from itk_roundtrip.dicom import spans
from itk_roundtrip.dicom.frames import Frames, fragments
from itk_roundtrip.dicom.headers import PIXEL_DATA, Header, PixelData, file_bytes
from itk_roundtrip.dicom.nested import decoded
from itk_roundtrip.pixels.kinds import Carriage
from itk_roundtrip.rules import DERIVED_PREFIX, ENCAPSULATION_TAGS, is_group_length
from itk_roundtrip.series.find import Instance, Slice
from itk_roundtrip.series.places import Place


class Hiding(enum.IntEnum):
    """How much of a header ITK is not shown."""

    NOTHING = 0
    UNCARRIABLE = 1
    """Private and unknown attributes, sequences, and VRs that GDCM's StringFilter does not know."""
    ALL_BUT_PIXELS = 2
    """Everything but what describes the stored values and their place; a Secondary Capture without rescale."""


_CARRIED_VRS = frozenset({
    "AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL", "SS", "ST", "TM",
    "UC", "UI", "UL", "UR", "US", "UT",
})  # fmt: skip
_PIXEL_TAGS = frozenset(
    {
        tags.SOP_CLASS_UID,
        tags.SOP_INSTANCE_UID,
        tags.MODALITY,
        tags.STUDY_INSTANCE_UID,
        tags.SERIES_INSTANCE_UID,
        tags.INSTANCE_NUMBER,
        tags.IMAGE_POSITION_PATIENT,
        tags.IMAGE_ORIENTATION_PATIENT,
        tags.SAMPLES_PER_PIXEL,
        tags.PHOTOMETRIC_INTERPRETATION,
        tags.PLANAR_CONFIGURATION,
        tags.NUMBER_OF_FRAMES,
        tags.ROWS,
        tags.COLUMNS,
        tags.PIXEL_SPACING,
        tags.BITS_ALLOCATED,
        tags.BITS_STORED,
        tags.HIGH_BIT,
        tags.PIXEL_REPRESENTATION,
        tags.RESCALE_INTERCEPT,
        tags.RESCALE_SLOPE,
        tags.PIXEL_DATA,
    }
)
_ONE_PIXEL = [
    spans.encode(tags.SAMPLES_PER_PIXEL, "US", b"\1\0", implicit_vr=False),
    spans.encode(tags.PHOTOMETRIC_INTERPRETATION, "CS", b"MONOCHROME2 ", implicit_vr=False),
    spans.encode(tags.ROWS, "US", b"\1\0", implicit_vr=False),
    spans.encode(tags.COLUMNS, "US", b"\1\0", implicit_vr=False),
    spans.encode(tags.BITS_ALLOCATED, "US", b"\x10\0", implicit_vr=False),
    spans.encode(tags.BITS_STORED, "US", b"\x10\0", implicit_vr=False),
    spans.encode(tags.HIGH_BIT, "US", b"\x0f\0", implicit_vr=False),
    spans.encode(tags.PIXEL_REPRESENTATION, "US", b"\0\0", implicit_vr=False),
    spans.encode(tags.PIXEL_DATA, "OW", b"\0\0", implicit_vr=False),
]
_SECONDARY_CAPTURE = b"1.2.840.10008.5.1.4.1.1.7\0"
_RESCALE_TAGS = frozenset({tags.RESCALE_INTERCEPT, tags.RESCALE_SLOPE, tags.RESCALE_TYPE, tags.DOSE_GRID_SCALING})
_FRAME_TAGS = frozenset({tags.NUMBER_OF_FRAMES, tags.FRAME_INCREMENT_POINTER})
"""Number of Frames and Frame Increment Pointer."""
_OVERLAY_GROUPS = range(0x6000, 0x6020, 2)
_PALETTE_TAGS = frozenset(
    {
        *range(tags.RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, 0x00281105),
        tags.PALETTE_COLOR_LOOKUP_TABLE_UID,
        *range(tags.RED_PALETTE_COLOR_LOOKUP_TABLE_DATA, 0x00281205),
        *range(tags.LARGE_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA, 0x00281215),
        *range(tags.SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA, 0x00281225),
    }
)


def names(instances: Sequence[tuple[str, str]]) -> list[str]:
    """Return a file name for each (file name, path relative to the source folder), no two alike in any case.

    A name that stands in two folders is told apart by its folders, as ``a_IM1.dcm`` and ``b_IM1.dcm``.
    """
    counts = Counter(_folded(_plain(name)) for name, _ in instances)
    taken: set[str] = {key for key, count in counts.items() if count == 1}
    result = []
    for name, relative in instances:
        plain = _plain(name)
        if counts[_folded(plain)] > 1:
            plain = _plain("_".join(Path(relative).parts))
            if _folded(plain) in taken:
                plain = _free(plain, taken)
            taken.add(_folded(plain))
        result.append(plain)
    return result


def derived_names(names: Sequence[str]) -> list[str]:
    """Return the names of derived files: each begins with ``derived_``, once, and no two are alike in any case.

    Where ``a.dcm`` and ``derived_a.dcm`` stand beside each other, the former becomes ``derived_a_2.dcm``.
    """
    result = [name if name.startswith(DERIVED_PREFIX) else DERIVED_PREFIX + name for name in names]
    counts = Counter(map(_folded, result))
    taken = set(counts)
    for index, name in enumerate(names):
        if counts[_folded(result[index])] > 1 and not name.startswith(DERIVED_PREFIX):
            result[index] = _free(result[index], taken)
            taken.add(_folded(result[index]))
    return result


def _free(name: str, taken: Set[str]) -> str:
    """Return a name with the first number, from 2, with which nobody has it."""
    stem, suffix = os.path.splitext(name)
    return next(one for number in count(2) if _folded(one := f"{stem}_{number}{suffix}") not in taken)


def _folded(name: str) -> str:
    """Return what is the same for names that some file system takes for one."""
    return unicodedata.normalize("NFC", name).casefold()


def _plain(name: str) -> str:
    """Return a name that ITK and every file system take: valid text, not too long, its extension kept."""
    text = name.encode("utf-8", "replace").decode("utf-8")
    stem, suffix = os.path.splitext(text)
    while len((stem + suffix).encode()) > 200:
        stem, suffix = (stem[:-1], suffix) if stem else ("", suffix[:-1])
    return stem + suffix


@dataclass(frozen=True)
class Plane:
    """What ITK takes for one slice: an instance, or one frame of it.

    Attributes
    ----------
    instance
        The source.
    frame
        Index of the frame, from 0; ``None`` if the instance is shown as it is.
    carriage
        How its pixels are carried.
    """

    instance: Instance
    frame: int | None
    carriage: Carriage


def planes_of(slices: Sequence[Slice], carried: Mapping[str, Carriage]) -> list[Plane]:
    """Return the planes of some slices, in order."""
    return [Plane(one.instance, one.frame, carried[one.instance.name]) for one in slices]


def planes(instances: Sequence[Instance], carried: Mapping[str, Carriage]) -> list[Plane]:
    """Return the planes of some instances, in order, the frames of each in theirs."""
    result = []
    for one in instances:
        how = carried[one.name]
        frames: Iterable[int | None] = range(one.frames) if how.framed else (None,)
        result += [Plane(one, frame, how) for frame in frames]
    return result


def is_shown_as_it_is(plane: Plane, header: Header, hiding: Hiding) -> bool:
    """Tell whether ITK can be given the source itself."""
    how = plane.carriage
    return (
        hiding is Hiding.NOTHING
        and plane.frame is None
        and not how.label
        and how.seen == how.pixel_format
        and not plane.instance.opening_note
        and not header.unpacked
        and not header.mended
        and (not header.encapsulated or fragments(header, plane.instance.name) == 1)
    )


def files_to_read(
    shown_planes: Sequence[Plane], headers: Mapping[str, Header], hiding: Hiding, folder: Path, *, located: bool = False
) -> list[Path]:
    """Return the file that ITK reads for each plane: the source itself, or one in ``folder``, where less is shown.

    Parameters
    ----------
    shown_planes
        The planes, in any order.
    headers
        Of the instances, by name.
    hiding
        What to leave out.
    folder
        Where to make links and copies, if any are needed.
    located
        Show where the frames of an instance lie.

    Raises
    ------
    OSError
        They cannot be made.
    SeriesReadError
        The frames of an instance cannot be told apart.
    """
    files: dict[int, Path] = {}
    frames: Frames | None = None
    of_file: dict[str, list[int]] = {}
    for index, plane in enumerate(shown_planes):  # a file is read once, wherever its frames stand
        of_file.setdefault(plane.instance.name, []).append(index)
    for index in (index for indices in of_file.values() for index in indices):
        plane, file = shown_planes[index], folder / f"{index}.dcm"
        one = plane.instance
        header = headers[one.name]
        files[index] = file
        if is_shown_as_it_is(plane, header, hiding):
            if _is_text(one.path):
                files[index] = one.path
                continue
            folder.mkdir(exist_ok=True)
            file.symlink_to(one.path)  # ITK's Python takes no names that are not text
            continue
        folder.mkdir(exist_ok=True)
        value = None
        if plane.frame is not None or header.encapsulated:
            if frames is None or index == of_file[one.name][0]:
                frames = Frames(header, one.frames, frame_bits(one), one.name)
            value = frames[plane.frame or 0]
        place = one.place(plane.frame) if located and plane.frame is not None else Place()
        file.write_bytes(shown(header, plane, hiding, value, place))
    return [files[index] for index in range(len(shown_planes))]


def frame_bits(one: Instance) -> int:
    """Return the size of a native frame in bits."""
    return (one.rows or 0) * (one.columns or 0) * (one.samples_per_pixel or 1) * (one.bits_allocated or 0)


def _is_text(path: Path) -> bool:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def ordering_file(instance: Instance) -> bytes:
    """Return a file of one pixel that holds just what GDCMSeriesFileNames groups and orders by.

    It keeps every file of a folder in memory whole, half a gigabyte for 1,200 slices, and some attributes that it has
    no use for end its process.
    """
    position, orientation = instance.image_position_patient, instance.image_orientation_patient
    elements = (
        (tags.SOP_CLASS_UID, "UI", instance.sop_class_uid),
        (tags.SOP_INSTANCE_UID, "UI", instance.sop_instance_uid),
        (tags.MODALITY, "CS", instance.modality),
        (tags.STUDY_INSTANCE_UID, "UI", instance.study_instance_uid),
        (tags.SERIES_INSTANCE_UID, "UI", instance.series_instance_uid),
        (tags.SERIES_NUMBER, "IS", instance.series_number),
        (tags.INSTANCE_NUMBER, "IS", instance.instance_number),
        (tags.IMAGE_POSITION_PATIENT, "DS", "\\".join(map(repr, position or ()))),
        (tags.IMAGE_ORIENTATION_PATIENT, "DS", "\\".join(map(repr, orientation or ()))),
    )
    parts = []
    for tag, vr, text in elements:
        value = text.encode("ascii", "replace")
        if value:
            parts.append(spans.encode(tag, vr, spans.padded(value, vr), implicit_vr=False))
    parts += _ONE_PIXEL
    uids = (text.encode("ascii", "replace") for text in (instance.sop_class_uid, instance.sop_instance_uid))
    return file_bytes(parts, ExplicitVRLittleEndian, *uids)


def shown(header: Header, plane: Plane, hiding: Hiding, value: bytes | None, place: Place) -> bytes:
    """Return a whole file for ITK that holds less than the source.

    Parameters
    ----------
    header
        Of the source.
    plane
        What of it is shown.
    hiding
        What to leave out.
    value
        Pixel data of the plane alone; ``None`` if those of the source are.
    place
        Where a frame lies.
    """
    how = plane.carriage
    seen, pixel_format = how.seen, how.pixel_format
    if plane.frame is not None:
        hiding = Hiding.ALL_BUT_PIXELS  # the header describes all frames together
    replaced: dict[int, tuple[str, bytes]] = {}
    sop_class_uid = header.raw(tags.SOP_CLASS_UID)
    if hiding is Hiding.ALL_BUT_PIXELS:  # GDCM does not read SOP Classes that it does not know
        sop_class_uid = _SECONDARY_CAPTURE
        replaced[tags.SOP_CLASS_UID] = ("UI", _SECONDARY_CAPTURE)
    if how.whole_words:
        replaced[tags.BITS_STORED] = ("US", struct.pack("<H", seen.bits_stored))
        replaced[tags.HIGH_BIT] = ("US", struct.pack("<H", seen.bits_stored - 1))
    if how.extra_rows:
        replaced[tags.ROWS] = ("US", struct.pack("<H", (plane.instance.rows or 0) + how.extra_rows))
        value = value or header.raw(PIXEL_DATA) or b""
        value += bytes(how.extra_rows * (plane.instance.columns or 0) // 8 + 1)
        value += b"\0" * (len(value) % 2)
    if how.label:
        replaced[tags.PHOTOMETRIC_INTERPRETATION] = ("CS", spans.padded(how.label.encode("ascii"), "CS"))
    for tag, numbers in (
        (tags.IMAGE_POSITION_PATIENT, place.position),
        (tags.IMAGE_ORIENTATION_PATIENT, place.orientation),
        (tags.PIXEL_SPACING, place.spacing),
    ):
        if numbers:
            replaced[tag] = ("DS", spans.padded("\\".join(map(repr, numbers)).encode("ascii"), "DS"))
    hidden = set(_FRAME_TAGS) if plane.frame is not None else set()
    if (seen.slope, seen.intercept) != (pixel_format.slope, pixel_format.intercept):
        hidden |= _RESCALE_TAGS
    if hiding is not Hiding.NOTHING:  # ITK makes up another geometry of it, or none
        hidden |= {tag_for_keyword(keyword) or 0 for keyword in plane.instance.malformed} - replaced.keys()
    if how.label == "MONOCHROME2" and plane.instance.photometric_interpretation == "PALETTE COLOR":
        hidden |= _PALETTE_TAGS
    if how.whole_words:
        hidden |= {tag for tag, _, _ in header.spans if tag >> 16 in _OVERLAY_GROUPS}  # GDCM would clear their bits
    parts: dict[int, bytes] = {
        tag: spans.encode(tag, vr, content, implicit_vr=header.implicit_vr) for tag, (vr, content) in replaced.items()
    }
    for tag, start, stop in header.spans:
        if tag in parts or is_group_length(tag) or tag in hidden or (value is not None and tag in ENCAPSULATION_TAGS):
            continue
        if tag == PIXEL_DATA and value is not None:
            syntax = header.transfer_syntax_uid if header.encapsulated else ""
            allocated = pixel_format.bits_allocated
            parts[tag] = PixelData(value, allocated, syntax).encoded(header)
        elif (
            tag in _PIXEL_TAGS
            or hiding is Hiding.NOTHING
            or (hiding is Hiding.UNCARRIABLE and _is_carried(header, tag))
        ):
            part = header.data[start:stop]
            if tag in _PIXEL_TAGS and hiding is not Hiding.NOTHING:
                part = _with_usual_vr(header, tag, part)
            parts[tag] = part
    ordered = [parts[tag] for tag in sorted(parts)]
    return file_bytes(ordered, header.transfer_syntax_of_data, sop_class_uid, header.raw(tags.SOP_INSTANCE_UID))


def _with_usual_vr(header: Header, tag: int, part: bytes) -> bytes:
    """Return an element with the VR of the dictionary, which GDCM insists on; empty if its value is not of that VR."""
    element, usual = header.elements[tag], dictionary_VR(tag)
    stated = str(element.VR)
    if header.implicit_vr or tag == PIXEL_DATA or stated in (*usual.split(" or "), "UN"):
        return part
    text = decoded(header.raw(tag) or b"", stated, "<")
    try:
        value = struct.pack("<H", int(text)) if usual == "US" else spans.padded(text.encode("ascii"), usual)
    except (ValueError, struct.error):
        return b""
    return spans.encode(tag, usual, value, implicit_vr=False)


def _is_carried(header: Header, tag: int) -> bool:
    if tag >> 16 & 1:
        return False
    try:
        known = dictionary_VR(tag)
    except KeyError:
        return False
    vr = known if header.implicit_vr else str(header.elements[tag].VR)
    return vr in _CARRIED_VRS and known in _CARRIED_VRS
