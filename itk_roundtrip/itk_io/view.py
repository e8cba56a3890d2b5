"""The files that ITK reads of a series: the sources, or copies of them in which part of the header is left out.

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
from itk_roundtrip.dicom.frames import Frames, even, fragments
from itk_roundtrip.dicom.headers import Header, PixelData, file_bytes
from itk_roundtrip.dicom.values import encoded_as_text
from itk_roundtrip.pixels.kinds import Carriage
from itk_roundtrip.rules import DERIVED_PREFIX, ENCAPSULATION_TAGS, is_group_length
from itk_roundtrip.series.find import Instance, Slice
from itk_roundtrip.series.places import Place


class Hiding(enum.IntEnum):
    """How much of a header is left out of the file that ITK reads."""

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
    """Return the name with the lowest number behind it, from 2, with which it is not taken."""
    stem, suffix = os.path.splitext(name)
    return next(candidate for number in count(2) if _folded(candidate := f"{stem}_{number}{suffix}") not in taken)


def _folded(name: str) -> str:
    """Return a name as a file system compares it that ignores case and Unicode normalization."""
    return unicodedata.normalize("NFC", name).casefold()


def _plain(name: str) -> str:
    """Return a name in valid UTF-8 of at most 200 bytes, its extension kept: ITK and every file system take it."""
    text = name.encode("utf-8", "replace").decode("utf-8")
    stem, suffix = os.path.splitext(text)
    while len((stem + suffix).encode()) > 200:
        stem, suffix = (stem[:-1], suffix) if stem else ("", suffix[:-1])
    return stem + suffix


@dataclass(frozen=True)
class Plane:
    """A slice of the image that ITK reads: a single-frame instance, or a frame of a multi-frame instance.

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

    def __repr__(self) -> str:
        return f"<Plane {self.instance.name}{'' if self.frame is None else f' frame {self.frame + 1}'}>"


def planes_of(slices: Sequence[Slice], carriages: Mapping[str, Carriage]) -> list[Plane]:
    """Return a plane for each slice, in order."""
    return [Plane(slice_.instance, slice_.frame, carriages[slice_.instance.name]) for slice_ in slices]


def planes(instances: Sequence[Instance], carriages: Mapping[str, Carriage]) -> list[Plane]:
    """Return the planes of the instances, in order, the frames of each in theirs."""
    result = []
    for instance in instances:
        carriage = carriages[instance.name]
        frames: Iterable[int | None] = range(instance.frames) if carriage.framed else (None,)
        result += [Plane(instance, frame, carriage) for frame in frames]
    return result


def is_shown_as_it_is(plane: Plane, header: Header, hiding: Hiding) -> bool:
    """Tell whether ITK can read the source file itself: it needs nothing hidden, relabelled, unpacked or mended."""
    carriage = plane.carriage
    return (
        hiding is Hiding.NOTHING
        and plane.frame is None
        and not carriage.shown_attributes(plane.instance)
        and carriage.seen == carriage.pixel_format
        and not plane.instance.opening_note
        and not header.unpacked
        and not header.mended
        and (not header.encapsulated or fragments(header, plane.instance.name) == 1)
    )


def files_to_read(
    shown_planes: Sequence[Plane],
    headers: Mapping[str, Header],
    hiding: Hiding,
    folder: Path,
    *,
    located: bool = False,
    frames: dict[str, Frames] | None = None,
) -> list[Path]:
    """Return the file that ITK reads for each plane: the source itself, or a copy in ``folder`` with less in it.

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
    frames
        Of the instance that was shown last, by its name.

    Raises
    ------
    OSError
        They cannot be made.
    SeriesReadError
        The frames of an instance cannot be told apart.
    """
    files: dict[int, Path] = {}
    frames = {} if frames is None else frames
    indices_by_name: dict[str, list[int]] = {}  # a file is read once, wherever its frames stand
    for index, plane in enumerate(shown_planes):
        indices_by_name.setdefault(plane.instance.name, []).append(index)
    for index in (index for indices in indices_by_name.values() for index in indices):
        plane, file = shown_planes[index], folder / f"{index}.dcm"
        instance = plane.instance
        header = headers[instance.name]
        files[index] = file
        if is_shown_as_it_is(plane, header, hiding):
            if _is_text(instance.path):
                files[index] = instance.path
                continue
            folder.mkdir(exist_ok=True)
            file.symlink_to(instance.path)  # ITK's Python takes no names that are not text
            continue
        folder.mkdir(exist_ok=True)
        value = None
        if plane.frame is not None or header.encapsulated:
            value = frames_of(instance, header, frames)[plane.frame or 0]
        place = instance.place(plane.frame) if located and plane.frame is not None else Place()
        file.write_bytes(shown(header, plane, hiding, value, place))
    return [files[index] for index in range(len(shown_planes))]


def frames_of(instance: Instance, header: Header, last: dict[str, Frames]) -> Frames:
    """Return the frames of an instance; ``last`` holds those of the last one by its name.

    Raises
    ------
    SeriesReadError
        They cannot be told apart.
    """
    if instance.name not in last:
        last.clear()
        last[instance.name] = Frames(header, instance.frames, frame_bits(instance), instance.name)
    return last[instance.name]


def frame_bits(instance: Instance) -> int:
    """Return the size of a native frame in bits."""
    return (
        (instance.rows or 0)
        * (instance.columns or 0)
        * (instance.samples_per_pixel or 1)
        * (instance.bits_allocated or 0)
    )


def _is_text(path: Path) -> bool:
    """Tell whether a path is valid UTF-8."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def ordering_file(instance: Instance) -> bytes:
    """Return a stand-in of an instance for GDCMSeriesFileNames: the attributes that it groups and orders by, a pixel.

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
    """Return the copy of a source that ITK reads, as a DICOM file: part of its header hidden or replaced.

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
    if plane.frame is not None:
        hiding = Hiding.ALL_BUT_PIXELS  # the header describes all frames together
    carriage, instance = plane.carriage, plane.instance
    replaced = {**_image_pixel_module(carriage.shown_attributes(instance)), **_image_plane_module(place)}
    sop_class_uid = header.raw(tags.SOP_CLASS_UID)
    if hiding is Hiding.ALL_BUT_PIXELS:  # GDCM does not read SOP Classes that it does not know
        sop_class_uid = _SECONDARY_CAPTURE
        replaced[tags.SOP_CLASS_UID] = ("UI", _SECONDARY_CAPTURE)
    if extra_bytes := carriage.extra_bytes(instance):
        value = even((value or header.raw(tags.PIXEL_DATA) or b"") + extra_bytes)
    hidden: set[int] = set()
    if hiding is not Hiding.NOTHING:  # of malformed values ITK makes up another geometry, or none
        hidden = {tag_for_keyword(keyword) or 0 for keyword in instance.malformed}
    parts: dict[int, bytes] = {
        tag: spans.encode(tag, vr, content, implicit_vr=header.implicit_vr) for tag, (vr, content) in replaced.items()
    }
    for tag, start, stop in header.spans:
        if tag in parts or is_group_length(tag) or tag in hidden or carriage.hides(tag):
            continue
        if value is not None and tag in ENCAPSULATION_TAGS:
            continue
        if tag == tags.PIXEL_DATA and value is not None:
            syntax = header.transfer_syntax_uid if header.encapsulated else ""
            pixel_data = PixelData(value, carriage.pixel_format.bits_allocated, syntax)
            parts[tag] = b"".join(pixel_data.encoded(header))
        elif hiding is Hiding.NOTHING:
            parts[tag] = header.data[start:stop]
        elif tag in _PIXEL_TAGS:
            parts[tag] = _with_usual_vr(header, tag, header.data[start:stop])
        elif hiding is Hiding.UNCARRIABLE and _is_carried(header, tag):
            parts[tag] = header.data[start:stop]
    ordered = [parts[tag] for tag in sorted(parts)]
    return file_bytes(ordered, header.transfer_syntax_of_data, sop_class_uid, header.raw(tags.SOP_INSTANCE_UID))


def _image_pixel_module(shown: Mapping[int, int | str]) -> dict[int, tuple[str, bytes]]:
    """Return VR and value of attributes of the Image Pixel module (PS3.3 C.7.6.3): numbers are US, terms are CS."""
    return {
        tag: ("US", struct.pack("<H", value))
        if isinstance(value, int)
        else ("CS", spans.padded(value.encode("ascii"), "CS"))
        for tag, value in shown.items()
    }


def _image_plane_module(place: Place) -> dict[int, tuple[str, bytes]]:
    """Return VR and value of the Image Plane attributes (PS3.3 C.7.6.2) of a frame; in the source they are nested."""
    return {
        tag: ("DS", spans.padded("\\".join(map(repr, numbers)).encode("ascii"), "DS"))
        for tag, numbers in (
            (tags.IMAGE_POSITION_PATIENT, place.position),
            (tags.IMAGE_ORIENTATION_PATIENT, place.orientation),
            (tags.PIXEL_SPACING, place.spacing),
        )
        if numbers
    }


def _with_usual_vr(header: Header, tag: int, part: bytes) -> bytes:
    """Return an element with the VR of the dictionary, which GDCM insists on; empty if its value is not of that VR."""
    element, usual = header.elements[tag], dictionary_VR(tag)
    stated = str(element.VR)
    if header.implicit_vr or tag == tags.PIXEL_DATA or stated in (*usual.split(" or "), "UN"):
        return part
    text = encoded_as_text(header.raw(tag) or b"", stated, "<")
    try:
        value = struct.pack("<H", int(text)) if usual == "US" else spans.padded(text.encode("ascii"), usual)
    except (ValueError, struct.error):
        return b""
    return spans.encode(tag, usual, value, implicit_vr=False)


def _is_carried(header: Header, tag: int) -> bool:
    """Tell whether an element is a public, known attribute of a VR that GDCM's StringFilter knows."""
    if tag >> 16 & 1:
        return False
    try:
        usual_vr = dictionary_VR(tag)
    except KeyError:
        return False
    vr = usual_vr if header.implicit_vr else str(header.elements[tag].VR)
    return vr in _CARRIED_VRS and usual_vr in _CARRIED_VRS
