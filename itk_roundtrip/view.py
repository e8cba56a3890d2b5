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
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pydicom.datadict import dictionary_VR
from pydicom.uid import ExplicitVRLittleEndian

from itk_roundtrip.headers import Header, encode, file_bytes, padded
from itk_roundtrip.pixels import PixelFormat
from itk_roundtrip.rules import is_group_length
from itk_roundtrip.series import Instance


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
_PIXEL_TAGS = frozenset({
    0x00080016, 0x00080018, 0x00080060, 0x0020000D, 0x0020000E, 0x00200013, 0x00200032, 0x00200037, 0x00280002,
    0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011, 0x00280030, 0x00280100, 0x00280101, 0x00280102,
    0x00280103, 0x00281052, 0x00281053, 0x7FE00010,
})  # fmt: skip
_ONE_PIXEL = [
    encode(0x00280002, "US", b"\1\0", implicit_vr=False),
    encode(0x00280004, "CS", b"MONOCHROME2 ", implicit_vr=False),
    encode(0x00280010, "US", b"\1\0", implicit_vr=False),
    encode(0x00280011, "US", b"\1\0", implicit_vr=False),
    encode(0x00280100, "US", b"\x10\0", implicit_vr=False),
    encode(0x00280101, "US", b"\x10\0", implicit_vr=False),
    encode(0x00280102, "US", b"\x0f\0", implicit_vr=False),
    encode(0x00280103, "US", b"\0\0", implicit_vr=False),
    encode(0x7FE00010, "OW", b"\0\0", implicit_vr=False),
]
_SECONDARY_CAPTURE = b"1.2.840.10008.5.1.4.1.1.7\0"
_RESCALE_TAGS = frozenset({0x00281052, 0x00281053, 0x00281054})


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
            plain = candidate = _plain("_".join(Path(relative).parts))
            stem, suffix = os.path.splitext(plain)
            number = 2
            while _folded(candidate) in taken:
                candidate = f"{stem}_{number}{suffix}"
                number += 1
            plain = candidate
            taken.add(_folded(plain))
        result.append(plain)
    return result


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


def file_to_read(
    instance: Instance,
    read: Callable[[], Header],
    formats: tuple[PixelFormat, PixelFormat],
    hiding: Hiding,
    file: Path,
) -> Path:
    """Return the file that ITK reads for a slice: the source itself, or ``file``, where less of it is shown.

    Parameters
    ----------
    instance
        The source.
    read
        Returns its header.
    formats
        Its pixel format, as it is and as ITK is to see it.
    hiding
        What to leave out.
    file
        Where to make a link or a copy, if one is needed.

    Raises
    ------
    OSError
        It cannot be made.
    """
    if hiding is not Hiding.NOTHING or formats[0] != formats[1]:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(shown(read(), *formats, hiding))
    elif _is_text(instance.path):
        return instance.path
    else:  # ITK's Python takes no names that are not text
        file.parent.mkdir(exist_ok=True)
        file.symlink_to(instance.path)
    return file


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
        (0x00080016, "UI", instance.sop_class_uid),
        (0x00080018, "UI", instance.sop_instance_uid),
        (0x00080060, "CS", instance.modality),
        (0x0020000D, "UI", instance.study_instance_uid),
        (0x0020000E, "UI", instance.series_instance_uid),
        (0x00200011, "IS", instance.series_number),
        (0x00200013, "IS", instance.instance_number),
        (0x00200032, "DS", "\\".join(map(repr, position or ()))),
        (0x00200037, "DS", "\\".join(map(repr, orientation or ()))),
    )
    parts = []
    for tag, vr, text in elements:
        value = text.encode("ascii", "replace")
        if value:
            parts.append(encode(tag, vr, padded(value, vr), implicit_vr=False))
    parts += _ONE_PIXEL
    uids = (text.encode("ascii", "replace") for text in (instance.sop_class_uid, instance.sop_instance_uid))
    return file_bytes(parts, ExplicitVRLittleEndian, *uids)


def seen_format(pixel_format: PixelFormat, *, hide_rescale: bool) -> PixelFormat:
    """Return the pixel format as ITK is shown it.

    GDCM refuses 8 bits allocated with fewer stored, and inverts signed MONOCHROME1 by another formula or not at all.
    """
    seen = pixel_format
    if seen.bits_allocated == 8 and seen.bits_stored < 8:
        seen = replace(seen, bits_stored=8)
    if seen.signed and seen.monochrome1:
        seen = replace(seen, monochrome1=False)
    if hide_rescale:
        seen = replace(seen, slope=None, intercept=None)
    return seen


def shown(header: Header, pixel_format: PixelFormat, seen: PixelFormat, hiding: Hiding) -> bytes:
    """Return a whole file for ITK that holds less than the source.

    Parameters
    ----------
    header
        Of the source.
    pixel_format, seen
        As the source has it, and as ITK is to see it.
    hiding
        What to leave out.
    """
    replaced: dict[int, tuple[str, bytes]] = {}
    sop_class_uid = header.raw(0x00080016)
    if hiding is Hiding.ALL_BUT_PIXELS:  # GDCM does not read SOP Classes that it does not know
        sop_class_uid = _SECONDARY_CAPTURE
        replaced[0x00080016] = ("UI", _SECONDARY_CAPTURE)
    if seen.bits_stored != pixel_format.bits_stored:
        replaced[0x00280101] = ("US", struct.pack("<H", seen.bits_stored))
        replaced[0x00280102] = ("US", struct.pack("<H", seen.bits_stored - 1))
    if seen.monochrome1 != pixel_format.monochrome1:
        replaced[0x00280004] = ("CS", b"MONOCHROME2 ")
    hide_rescale = (seen.slope, seen.intercept) != (pixel_format.slope, pixel_format.intercept)
    parts = []
    for tag, start, stop in header.spans:
        if is_group_length(tag) or (hide_rescale and tag in _RESCALE_TAGS):
            continue
        if tag in replaced:
            vr, value = replaced[tag]
            parts.append(encode(tag, vr, value, implicit_vr=header.implicit_vr))
        elif (
            tag in _PIXEL_TAGS
            or hiding is Hiding.NOTHING
            or (hiding is Hiding.UNCARRIABLE and _is_carried(header, tag))
        ):
            parts.append(header.data[start:stop])
    return file_bytes(parts, header.transfer_syntax_of_data, sop_class_uid, header.raw(0x00080018))


def _is_carried(header: Header, tag: int) -> bool:
    if tag >> 16 & 1:
        return False
    try:
        known = dictionary_VR(tag)
    except KeyError:
        return False
    vr = known if header.implicit_vr else str(header.elements[tag].VR)
    return vr in _CARRIED_VRS and known in _CARRIED_VRS
