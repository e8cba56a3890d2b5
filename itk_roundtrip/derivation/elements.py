"""Values of an undecoded data set, and items of sequences made of them: what all edits are made with."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

import pydicom
from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from itk_roundtrip import tags
from itk_roundtrip.dicom.edits import Edit, Item, Items
from itk_roundtrip.dicom.encoding import UNDEFINED_LENGTH

STRUCT_FORMATS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
"""Formats of struct for the words of binary VRs (PS3.5 6.2)."""


def raw_value(source: Dataset, tag: int) -> bytes:
    """Return the value bytes of an element without its padding; empty if absent."""
    return raw_words(source, tag).rstrip(b" \0")


def raw_words(source: Dataset, tag: int) -> bytes:
    """Return the value bytes of an element, of a binary one without padding; empty if absent or a sequence."""
    return _bytes(source.get_item(tag)) if tag in source else b""


def _bytes(element: Any) -> bytes:
    """Return the value bytes of an element, which pydicom may have decoded on its way to another one."""
    if isinstance(element, RawDataElement):
        return bytes(element.value or b"")
    if element is None or element.value is None or isinstance(element.value, pydicom.Sequence):
        return b""
    values = element.value if isinstance(element.value, MultiValue | list) else [element.value]
    if element.VR in STRUCT_FORMATS:
        return b"".join(binary(element.VR, value) for value in values)
    return "\\".join(map(str, values)).encode("ascii", "replace")


def text_value(source: Dataset, tag: int) -> str:
    """Return the value of an element as text; empty if absent."""
    return raw_value(source, tag).decode("ascii", "replace").strip()


def unsigned_short(source: Dataset, tag: int) -> int | None:
    """Return the first value of an element of VR US; ``None`` if absent or empty."""
    value = raw_words(source, tag)
    return int.from_bytes(value[:2], "little") if value else None


def encodings_of(source: Dataset) -> list[str]:
    """Return the Python encodings of Specific Character Set (0008,0005)."""
    return convert_encodings(source.get("SpecificCharacterSet") or "ISO_IR 6")


def items_of(source: Dataset, tag: int) -> tuple[Dataset, ...]:
    """Return the items of a sequence; none if it is absent or no sequence."""
    try:
        value = source[tag].value if tag in source else None
    except Exception:  # whatever pydicom meets in bytes that are no items
        return ()
    return tuple(value) if isinstance(value, pydicom.Sequence) else ()


def sequences_of(source: Dataset) -> Iterator[tuple[int, tuple[Dataset, ...]]]:
    """Yield tag and items of each sequence of a data set, standard or private."""
    for tag in sorted(map(int, source.keys())):
        element = source.get_item(tag, keep_deferred=True)  # Pixel Data is not read
        if _is_sequence(element, _vr(element, tag)) and (items := items_of(source, tag)):
            yield tag, items


def _vr(element: Any, tag: int) -> str:
    """Return the VR of an undecoded element: in Implicit VR that of the dictionary, UN where that has none."""
    if element is not None and element.VR is not None:
        return str(element.VR)
    return dictionary_VR(tag) if dictionary_has_tag(tag) else "UN"


def _is_sequence(element: Any, vr: str) -> bool:
    """Tell whether an element is a sequence: a private one, in Implicit VR or VR UN, if its length is undefined."""
    is_long = isinstance(element, RawDataElement) and element.length == UNDEFINED_LENGTH
    return vr == "SQ" or (vr == "UN" and is_long)


def binary(vr: str, number: float) -> bytes:
    """Return a number as the word of a binary VR, little endian."""
    return struct.pack("<" + STRUCT_FORMATS[vr], number if vr in ("FL", "FD") else int(number))


def item_of(source: Dataset, changes: Mapping[int, Edit | Items | None], *, signed: bool) -> Item:
    """Return a new item with the elements of an old one and changes to it.

    Parameters
    ----------
    source
        The old item, undecoded.
    changes
        By tag; ``None`` leaves an element out.
    signed
        Pixel Representation of the source, by which values of Implicit VR are US or SS.
    """
    elements: dict[int, Edit | Items] = {}
    for tag in map(int, source.keys()):
        if tag in changes or tag & 0xFFFF == 0:
            continue
        element = source.get_item(tag)
        vr = _vr(element, tag)
        if _is_sequence(element, vr):
            inside = items_of(source, tag)
            elements[tag] = Items(tag, tuple(item_of(inner, {}, signed=signed) for inner in inside))
        else:
            vr = ("SS" if signed else "US") if vr == "US or SS" else vr.split(" or ")[-1]
            elements[tag] = Edit(tag, vr, _bytes(element))
    elements.update({tag: change for tag, change in changes.items() if change is not None})
    return tuple(elements[tag] for tag in sorted(elements))


def coded(tag: int, *codes: tuple[str, str, str]) -> Items:
    """Return a code sequence with items of Code Value, Coding Scheme Designator, Code Meaning (PS3.3 8.8)."""
    return Items(tag, code_items(*codes))


def code_items(*codes: tuple[str, str, str]) -> tuple[Item, ...]:
    """Return the items of a code sequence."""
    return tuple(
        (
            Edit(tags.CODE_VALUE, "SH", value.encode("ascii")),
            Edit(tags.CODING_SCHEME_DESIGNATOR, "SH", scheme.encode("ascii")),
            Edit(tags.CODE_MEANING, "LO", meaning.encode("ascii")),
        )
        for value, scheme, meaning in codes
    )
