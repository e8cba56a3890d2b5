"""Offset and actual encoding of the data set of a file, also where File Meta Information is wrong (PS3.10 7.1)."""

from __future__ import annotations

import zlib
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from mmap import mmap

from pydicom import uid
from pydicom.datadict import dictionary_has_tag
from pydicom.filereader import data_element_generator

from itk_roundtrip import syntaxes, tags
from itk_roundtrip.dicom.elements import ElementError, Encoding, Head, read_head
from itk_roundtrip.dicom.encoding import LONG_VRS, SHORT_VRS, UNDEFINED_LENGTH

_LOOK = 3
"""Number of elements in a row that must make sense in an encoding for it to be taken."""
_HEAD = 1 << 16
"""Bytes of a deflated data set that are inflated to tell whether it is deflated at all."""
_FIRST_GROUPS = (0x0004, 0x0008)
"""Groups that a data set begins with: of a DICOMDIR, and of everything else."""
_EXPLICIT, _IMPLICIT, _BIG_ENDIAN = Encoding(False, "<"), Encoding(True, "<"), Encoding(False, ">")
_ENCODINGS = {
    _EXPLICIT: uid.ExplicitVRLittleEndian,
    _IMPLICIT: uid.ImplicitVRLittleEndian,
    _BIG_ENDIAN: uid.ExplicitVRBigEndian,
}
_DEFLATED = uid.DeflatedExplicitVRLittleEndian
_NATIVE = frozenset({"", _DEFLATED, *_ENCODINGS.values()})


@dataclass(frozen=True)
class Opening:
    """Where the data set of a file begins, how it is encoded, and what File Meta Information says of it.

    Attributes
    ----------
    start
        Offset of the data set.
    prefix
        There is a DICM prefix behind a preamble of 128 bytes.
    meta
        There is File Meta Information, group 0002.
    claimed
        Transfer Syntax UID (0002,0010); empty if there is none.
    transfer_syntax_uid
        Transfer syntax that the data set is really in. A claimed syntax that is encapsulated, private or not known
        is taken as it is; empty if none is claimed and the pixels are encapsulated, as their codec is then unknown.
    implicit, little_endian, deflated
        How the elements are really encoded, also where ``transfer_syntax_uid`` says otherwise.
    media_storage_sop_class_uid
        (0002,0002); empty if there is none.
    implicit_meta
        Group 0002 is in Implicit VR, which it must not be.
    odd_meta
        Group 0002 has a VR that the standard does not have.
    """

    start: int
    prefix: bool
    meta: bool
    claimed: str
    transfer_syntax_uid: str
    implicit: bool = False
    little_endian: bool = True
    deflated: bool = False
    media_storage_sop_class_uid: str = ""
    implicit_meta: bool = False
    odd_meta: bool = False

    @property
    def encoding(self) -> Encoding:
        """How the elements are really encoded."""
        return Encoding(self.implicit, "<" if self.little_endian else ">")

    @property
    def note(self) -> str:
        """Faults of preamble, File Meta Information and transfer syntax, as a phrase for messages; empty if none."""
        faults = [] if self.prefix else ["no DICM prefix"]
        if not self.meta:
            faults.append("no File Meta Information")
        elif not self.claimed:
            faults.append("no Transfer Syntax UID")
        if self.implicit_meta:
            faults.append("File Meta Information in Implicit VR")
        if self.odd_meta:
            faults.append("a VR that there is none of in File Meta Information")
        real = _DEFLATED if self.deflated else _ENCODINGS[self.encoding]
        claimed = self.claimed
        is_as_claimed = claimed == real or (self.deflated and syntaxes.is_deflated(claimed))
        # All encapsulated transfer syntaxes are in Explicit VR Little Endian (PS3.5 A.4).
        may_be_as_claimed = claimed not in _NATIVE and real == uid.ExplicitVRLittleEndian
        if not is_as_claimed and not may_be_as_claimed and syntaxes.is_known(claimed):
            faults.append(f"says {syntaxes.name(claimed)} and is {real.name}")
        return ", ".join(faults)


def opening(content: bytes | mmap) -> Opening:
    """Return where the data set of a file begins and how it is encoded, judged by the bytes of its first elements.

    Parameters
    ----------
    content
        A whole file; the position of a mapped file is neither used nor moved.

    Raises
    ------
    ValueError
        It holds no DICOM data set.
    """
    if content[128:132] == b"DICM":
        begins = _opening(content, 132, prefix=True)
    else:
        # Files from before PS3.10 and dumps of a network start at once; others have the preamble without prefix, or
        # something else in its place.
        openings = (_opening(content, at, prefix=False) for at in (0, 128, 132))
        begins = next(filter(None, openings), None)
    if begins is None:
        raise ValueError("holds no DICOM data set")
    return begins


def _opening(content: bytes | mmap, at: int, *, prefix: bool) -> Opening | None:
    """Return how a file opens whose group 0002, or data set if there is none, begins at ``at``."""
    start, meta, implicit_meta, odd_meta = _file_meta(content, at)
    claimed = meta.get(tags.TRANSFER_SYNTAX_UID, "")
    # Without a group 0002, only what begins as every data set does is taken for DICOM; without a prefix, a single
    # element that seems to be of group 0002 may be chance.
    sure = len(meta) > (not prefix)
    real = _encoding(content, start, claimed, sure=sure, prefix=prefix)
    if real is None:
        return None
    encoding, deflated = real
    syntax = claimed
    if claimed in _NATIVE:
        syntax = str(_DEFLATED if deflated else _ENCODINGS[encoding])
        if not claimed and not deflated and encoding == _EXPLICIT and _is_encapsulated(content, start):
            syntax = ""
    return Opening(
        start=start,
        prefix=prefix,
        meta=bool(meta),
        claimed=claimed,
        transfer_syntax_uid=syntax,
        implicit=encoding.implicit,
        little_endian=encoding.order == "<",
        deflated=deflated,
        media_storage_sop_class_uid=meta.get(tags.MEDIA_STORAGE_SOP_CLASS_UID, ""),
        implicit_meta=implicit_meta,
        odd_meta=odd_meta,
    )


def _file_meta(content: bytes | mmap, at: int) -> tuple[int, dict[int, str], bool, bool]:
    """Return where group 0002 ends, its values by tag, whether it is in Implicit VR, and whether it has unknown VRs.

    It ends with the last element of the group: the length that (0002,0000) gives is often wrong.
    """
    values: dict[int, str] = {}
    odd = False
    encoding = _EXPLICIT if content[at + 4 : at + 6] in SHORT_VRS | LONG_VRS else _IMPLICIT
    while content[at : at + 2] == b"\2\0":
        element = _element(content, at, encoding)
        if element is None and (element := _odd_element(content, at)) is not None:
            odd = True
        if element is None or element.value + element.length > len(content):
            return (
                len(content),
                values,
                encoding.implicit,
                odd,
            )  # the file ends here, or the rest cannot be told from noise
        tag, at = element.tag, element.value + element.length
        # The only values asked for; the others may be large.
        wanted = tag in (tags.MEDIA_STORAGE_SOP_CLASS_UID, tags.TRANSFER_SYNTAX_UID)
        values[tag] = content[element.value : at].decode("ascii", "replace").strip(" \0") if wanted else ""
    return at, values, encoding.implicit and bool(values), odd


def _odd_element(content: bytes | mmap, at: int) -> Head | None:
    """Return the head of an element of group 0002 with an unknown VR as :func:`_element` does.

    Of the lengths that its bytes may be, it has that behind which another element stands.
    """
    head = content[at : at + 12]
    if len(head) < 12:
        return None
    tag = int.from_bytes(head[:2], "little") << 16 | int.from_bytes(head[2:4], "little")
    for size, first in ((12, 8), (8, 6), (8, 4)):
        length = int.from_bytes(head[first:size], "little")
        end = at + size + length
        group, element, vr = content[end : end + 2], content[end + 2 : end + 4], content[end + 4 : end + 6]
        follows = group == b"\2\0" and int.from_bytes(element, "little") > tag & 0xFFFF
        if follows or (group in (b"\x08\0", b"\0\x08") and (vr in SHORT_VRS | LONG_VRS or b"\0" in vr)):
            return Head(tag, head[4:6], at, at + size, length)
    return None


def _encoding(
    content: bytes | mmap, start: int, claimed: str, *, sure: bool, prefix: bool
) -> tuple[Encoding, bool] | None:
    """Return the encoding of the elements, and whether they are deflated; ``None`` if this is no data set."""
    if syntaxes.is_deflated(claimed) and _is_deflated(content, start):
        return _EXPLICIT, True
    expected = next((encoding for encoding, syntax in _ENCODINGS.items() if syntax == claimed), _EXPLICIT)
    size = len(content)
    if sure and not expected.implicit and _plausible(content, start, size, expected, sure=sure) == _LOOK:
        return expected, False
    counts = {encoding: _plausible(content, start, size, encoding, sure=sure) for encoding in _ENCODINGS}
    best = max(counts.values())
    if best < _LOOK and (sure or prefix) and _is_deflated(content, start):
        return _EXPLICIT, True
    if best == 0 and sure and content[start : start + 2] == b"\x08\0":
        return expected, False  # broken in its first element, yet a data set
    if best == 0 or (best < _LOOK and not sure):
        return None
    # The letters of a VR cannot be chance, a length can: Explicit VR comes first, even where Implicit VR is claimed.
    order = (_EXPLICIT, _BIG_ENDIAN, _IMPLICIT)
    return next(encoding for encoding in order if counts[encoding] == best), False


def _plausible(content: bytes | mmap, at: int, size: int, encoding: Encoding, *, sure: bool) -> int:
    """Return how many of the first elements make sense in an encoding, :data:`_LOOK` at most.

    ``size`` is that of the data set, of which ``content`` may be only the beginning. An element that runs past the end
    counts only if it is ``sure`` that this is DICOM.
    """
    last = -1
    for count in range(_LOOK):
        element = _element(content, at, encoding)
        if element is None:
            return _LOOK if count and at + 12 > len(content) and size > len(content) else count
        tag, _, _, begin, length = element
        if tag <= last or not _may_stand(tag, length, first=last < 0, sure=sure):
            return count
        if length == UNDEFINED_LENGTH:
            # Only items may follow, and what they hold is not looked at.
            return _LOOK if content[begin : begin + 2] in (b"\xfe\xff", b"\xff\xfe") else count
        if begin + length > size:
            # Two capitals are an unknown VR rather than part of such a length.
            vr = content[at + 4 : at + 6]
            return count + (sure and not (encoding.implicit and vr.isalpha() and vr.isupper()))
        last, at = tag, begin + length
    return _LOOK


def _may_stand(tag: int, length: int, *, first: bool, sure: bool) -> bool:
    group, element = tag >> 16, tag & 0xFFFF
    if element == 0:
        return length == 4 and (sure or not first or group in _FIRST_GROUPS)
    if not sure:
        return (not first or group in _FIRST_GROUPS) and dictionary_has_tag(tag)
    # In the wrong byte order, the first group is a large number that no attribute has.
    return not first or group in _FIRST_GROUPS or bool(group % 2) or dictionary_has_tag(tag)


def _element(content: bytes | mmap, at: int, encoding: Encoding) -> Head | None:
    """Return the head of the element that stands at ``at``; ``None`` if none does."""
    try:
        head = read_head(content, at, encoding, unknown_vr="short")
    except ElementError:
        return None
    return head if encoding.implicit or head.vr in SHORT_VRS or head.vr in LONG_VRS else None


def _is_deflated(content: bytes | mmap, start: int) -> bool:
    try:
        head = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content[start : start + _HEAD], _HEAD)
    except zlib.error:
        return False
    return _plausible(head, 0, 1 << 62, _EXPLICIT, sure=True) == _LOOK


def _is_encapsulated(content: bytes | mmap, start: int) -> bool:
    """Tell whether Pixel Data (7FE0,0010) of a data set in Explicit VR Little Endian has undefined length."""
    lengths: list[int] = []

    def at_pixels(tag: int, _: str | None, length: int) -> bool:
        if tag == tags.PIXEL_DATA:
            lengths.append(length)
        return tag >= tags.PIXEL_DATA

    stream = BytesIO(content[start:])
    with suppress(Exception):  # whatever pydicom meets in a broken file
        deque(data_element_generator(stream, False, True, at_pixels, specific_tags=[tags.PIXEL_DATA]), maxlen=0)
    return lengths == [UNDEFINED_LENGTH]
