"""Byte spans of the elements of an encoded data set, at any depth, and edits of them (PS3.5 7).

Elements that no edit names keep their bytes. Data sets are in Little Endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from itk_roundtrip.dicom import encoding
from itk_roundtrip.dicom.edits import Appended, Edit, Item, Items, Nested, Removed
from itk_roundtrip.dicom.elements import Encoding, Walk
from itk_roundtrip.rules import is_group_length


@dataclass(frozen=True)
class Span:
    """Place of an element in an encoded data set.

    Attributes
    ----------
    tag, vr
        ``vr`` is empty in Implicit VR.
    start, value, stop, end
        Offsets of the element and of its value, behind the value, and behind the delimiter, if there is any.
    undefined
        Its length is undefined.
    """

    tag: int
    vr: str
    start: int
    value: int
    stop: int
    end: int
    undefined: bool


def elements(data: bytes, start: int, stop: int, *, implicit_vr: bool) -> Iterator[Span]:
    """Yield the elements of a data set or of an item, up to the delimiter of an item if there is any.

    Raises
    ------
    ValueError
        The bytes are no elements.
    """
    walk = Walk(data, start, stop, Encoding(implicit_vr, "<"), strict=False)
    for head, end in walk.with_ends():
        undefined = head.length == encoding.UNDEFINED_LENGTH
        value_end = end - len(encoding.SEQUENCE_DELIMITER) if undefined else end
        yield Span(head.tag, head.vr.decode("latin-1"), head.start, head.value, value_end, end, undefined)


def items(data: bytes, start: int, stop: int, *, implicit_vr: bool) -> Iterator[tuple[int, int]]:
    """Yield start and end of each item of a sequence, or of each fragment, with its tag and delimiter."""
    walk = Walk(data, start, stop, Encoding(implicit_vr, "<"), items=True, strict=False)
    for item, end in walk.with_ends():
        yield item.start, end


def content(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Return start and end of the elements of an item, without its tag and delimiter."""
    undefined = data[start + 4 : start + 8] == b"\xff\xff\xff\xff"
    return start + 8, end - 8 if undefined else end


def encode(tag: int, vr: str, value: bytes, *, implicit_vr: bool) -> bytes:
    """Return an element of defined length (PS3.5 7.1); a value that is too long for its VR gets VR UN (6.2.2)."""
    return head(tag, vr, len(value), implicit_vr=implicit_vr) + value


def head(tag: int, vr: str, length: int, *, implicit_vr: bool) -> bytes:
    """Return what stands before the value of an element, as :func:`encode` returns it."""
    group, element = tag >> 16, tag & 0xFFFF
    if implicit_vr:
        return struct.pack("<HHL", group, element, length)
    if vr not in EXPLICIT_VR_LENGTH_32 and length > 0xFFFF:
        vr = "UN"
    if vr in EXPLICIT_VR_LENGTH_32:
        return struct.pack("<HH2sHL", group, element, vr.encode(), 0, length)
    return struct.pack("<HH2sH", group, element, vr.encode(), length)


def encode_item(value: bytes) -> bytes:
    """Return an item, or a fragment, of defined length."""
    return encoding.ITEM + struct.pack("<L", len(value)) + value


def padded(value: bytes, vr: str) -> bytes:
    """Return a value of even length: UIDs and bytes are padded with NUL, text with a space (PS3.5 6.2)."""
    return value + (b"\0" if vr in ("OB", "UI") else b" ") * (len(value) % 2)


def edited(data: bytes, start: int, stop: int, edits: Mapping[int, Edit | Items | Appended | Nested | Removed], *,
           implicit_vr: bool) -> bytes:  # fmt: skip
    """Return a data set or the content of an item with edits; elements that are not edited keep their bytes.

    Group lengths (retired, PS3.5 7.2) would no longer be true and are left out.
    """
    parts: dict[int, bytes] = {}
    for element in elements(data, start, stop, implicit_vr=implicit_vr):
        if element.tag not in edits and not is_group_length(element.tag):
            parts[element.tag] = data[element.start : element.end]
        elif isinstance(edit := edits.get(element.tag), Appended | Nested):
            parts[element.tag] = _edited_sequence(data, element, edit, implicit_vr)
    for tag, edit in edits.items():
        if tag not in parts and (new := new_element(edit, implicit_vr=implicit_vr)):
            parts[tag] = new
    return b"".join(parts[tag] for tag in sorted(parts))


def _edited_sequence(data: bytes, sequence: Span, edit: Appended | Nested, implicit_vr: bool) -> bytes:
    """Return a sequence with items added, or with edits in its items; its VR is kept, its length becomes defined."""
    if not implicit_vr and sequence.vr not in ("SQ", "UN"):
        raise ValueError("no sequence")
    items_implicit = implicit_vr or sequence.vr == "UN"  # the items of VR UN are in Implicit VR (PS3.5 6.2.2)
    if isinstance(edit, Appended):
        for _ in items(data, sequence.value, sequence.stop, implicit_vr=items_implicit):
            pass  # raises ValueError where items would be appended to something else than items
        value = data[sequence.value : sequence.stop] + _items(edit.items, implicit_vr=items_implicit)
    else:
        parts = []
        for index, (start, end) in enumerate(items(data, sequence.value, sequence.stop, implicit_vr=items_implicit)):
            if changes := edit.edits.get(index):
                parts.append(encode_item(edited(data, *content(data, start, end), changes, implicit_vr=items_implicit)))
            else:
                parts.append(data[start:end])
        value = b"".join(parts)
    if sequence.undefined and sequence.vr == "UN":  # with a defined length, readers would not take it for a sequence
        return data[sequence.start : sequence.value] + value + data[sequence.stop : sequence.end]
    return encode(sequence.tag, sequence.vr, value, implicit_vr=implicit_vr)


def edited_element(data: bytes, start: int, end: int, edit: Appended | Nested, *, implicit_vr: bool) -> bytes:
    """Return the sequence at ``start`` with items added, or with edits in its items."""
    return _edited_sequence(data, next(elements(data, start, end, implicit_vr=implicit_vr)), edit, implicit_vr)


def new_element(edit: Edit | Items | Appended | Nested | Removed, *, implicit_vr: bool) -> bytes:
    """Return the new element of an edit, which replaces any there was; empty if the edit makes none."""
    if isinstance(edit, Edit):
        return encode(edit.tag, edit.vr, padded(edit.value, edit.vr), implicit_vr=implicit_vr)
    if isinstance(edit, Items | Appended):
        return encode(edit.tag, "SQ", _items(edit.items, implicit_vr=implicit_vr), implicit_vr=implicit_vr)
    return b""


def _items(new: tuple[Item, ...], *, implicit_vr: bool) -> bytes:
    return b"".join(encode_item(b"".join(new_element(edit, implicit_vr=implicit_vr) for edit in item)) for item in new)
