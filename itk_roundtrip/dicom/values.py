"""Values of the elements of a data set that pydicom has read: as bytes, as text, as numbers, as items.

What pydicom has not decoded yet stays so wherever its bytes settle the matter.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import pydicom
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from itk_roundtrip import tags
from itk_roundtrip.dicom.decimals import decimals
from itk_roundtrip.dicom.encoding import NUMBER_FORMATS

Element = DataElement | RawDataElement

_DECIMAL = frozenset({"DS", "IS"})
_TEXT_FORMATS = {**NUMBER_FORMATS, "AT": "HH"}


def element_of(dataset: Dataset, tag: int) -> Element | None:
    """Return an element of a data set without decoding it, an empty one too; ``None`` if it is absent."""
    undecoded: Mapping[int, Element] | None = dataset.__dict__.get("undecoded")
    if undecoded is not None:
        return undecoded.get(tag)
    element = dataset.get_item(tag, keep_deferred=True)
    return element if isinstance(element, DataElement | RawDataElement) else None


def elements(dataset: Dataset) -> Mapping[int, Element]:
    """Return the elements of a data set by tag, undecoded where pydicom has not decoded them.

    Of a regular file (:mod:`itk_roundtrip.dicom.parsing`) and its items they are undecoded in any case.
    """
    undecoded: Mapping[int, Element] | None = dataset.__dict__.get("undecoded")
    return undecoded if undecoded is not None else {int(tag): element for tag, element in dataset.items()}


def vr_of(tag: int) -> str:
    """Return the VR of a public attribute from the data dictionary (PS3.6); empty for an unknown one."""
    return dictionary_VR(tag) if dictionary_has_tag(tag) else ""


def vr_of_element(element: Element | None, tag: int) -> str:
    """Return the VR of an element: the explicit one, else that of the data dictionary; empty if there is neither."""
    return str(element.VR) if element is not None and element.VR else vr_of(tag)


def words_of(element: Element | None) -> bytes:
    """Return the value bytes of an element with their padding; empty if there is none, or a parsed sequence.

    What pydicom has decoded is encoded again: binary numbers as Little Endian words, all else as text.
    """
    if isinstance(element, RawDataElement):
        return bytes(element.value or b"")
    if element is None or element.value is None:
        return b""
    if element.VR in NUMBER_FORMATS:
        return b"".join(word(element.VR, number) for number in listed(element.value))
    return joined(element.value).encode("utf-8", "surrogateescape")


def word(vr: str, number: float) -> bytes:
    """Return a number as the word of a binary VR, little endian."""
    return struct.pack("<" + NUMBER_FORMATS[vr], number if vr in ("FL", "FD") else int(number))


def words(dataset: Dataset, tag: int) -> bytes:
    """Return the value bytes of an attribute with their padding, which binary numbers have none of; empty if absent."""
    return words_of(element_of(dataset, tag))


def value_of(element: Element | None) -> bytes:
    """Return the value bytes of an element without padding; empty if there is none."""
    return words_of(element).rstrip(b" \0")


def raw(dataset: Dataset, tag: int) -> bytes:
    """Return the value bytes of an attribute without padding; empty if absent."""
    return value_of(element_of(dataset, tag))


def text(dataset: Dataset, tag: int) -> str:
    """Return the value of an attribute as ASCII text, without padding; empty if absent."""
    return raw(dataset, tag).decode("ascii", "replace").strip()


def listed(value: Any) -> list[Any]:
    """Return the values of a decoded element, of whatever multiplicity."""
    return list(value) if isinstance(value, list | tuple | MultiValue) else [value]


def joined(value: Any) -> str:
    """Return a decoded value as text, its values separated by backslashes; empty for a sequence."""
    if value is None or isinstance(value, pydicom.Sequence):
        return ""
    return "\\".join(map(str, listed(value)))


def decoded(dataset: Dataset, tag: int) -> str:
    """Return a text decoded by Specific Character Set, or as Latin-1 where its bytes do not fit that."""
    if tag not in dataset:
        return ""
    try:
        return joined(dataset[tag].value).strip()
    except Exception:  # whatever pydicom meets in bytes that do not fit
        return raw(dataset, tag).decode("latin-1").strip()


def items(dataset: Dataset, tag: int) -> list[Dataset]:
    """Return the items of a sequence; none if it is absent or of another VR."""
    try:
        value = dataset[tag].value if tag in dataset else None
    except Exception:  # whatever pydicom meets in bytes that are no sequence
        return []
    return list(value) if isinstance(value, pydicom.Sequence) else []


def code_of(item: Dataset) -> tuple[str, str, str]:
    """Return Code Value, Coding Scheme Designator and Code Meaning of an item (PS3.3 8)."""
    return text(item, tags.CODE_VALUE), text(item, tags.CODING_SCHEME_DESIGNATOR), text(item, tags.CODE_MEANING)


def numbers(dataset: Dataset, tag: int) -> tuple[float, ...]:
    """Return the numbers of an attribute of VR DS, IS or a binary one; none if it is absent or holds no numbers."""
    element = element_of(dataset, tag)
    if element is None or (not element.value and element.value != 0):  # a decoded 0 is a number
        return ()
    try:
        if isinstance(element, RawDataElement) and (vr := vr_of_element(element, tag)) in _DECIMAL:
            return decimals(element.value.decode("ascii").rstrip(" \0"))
        if isinstance(element, RawDataElement) and vr in NUMBER_FORMATS and element.is_little_endian:
            return tuple(np.frombuffer(element.value, "<" + NUMBER_FORMATS[vr]).tolist())
        return tuple(float(number) for number in listed(dataset[tag].value))
    except Exception:  # whatever pydicom meets in text that is no number
        return ()


def integer_of(dataset: Dataset, tag: int, default: int = 0) -> int:
    """Return the integer of an attribute, or ``default`` if it is absent or out of range."""
    values = numbers(dataset, tag)
    return int(values[0]) if values and 0 <= values[0] < 1 << 31 else default


def unsigned_short(dataset: Dataset, tag: int) -> int | None:
    """Return the first value of an attribute of VR US in Little Endian; ``None`` if absent or empty."""
    value = words(dataset, tag)
    return int.from_bytes(value[:2], "little") if value else None


def frame_count(value: bytes | str | None) -> int:
    """Return Number of Frames (0028,0008) as a number; 1 if the value is no positive number."""
    try:
        return max(1, int((value.encode() if isinstance(value, str) else value or b"").strip(b" \0")))
    except ValueError:
        return 1


def encoded_as_text(value: bytes, vr: str, order: str) -> str:
    """Return the values of an encoded element as text, those of binary VRs with backslashes between as in VR DS."""
    format_ = _TEXT_FORMATS.get(vr)
    if format_ is None:
        return value.decode("ascii", "replace").strip(" \0")
    size = struct.calcsize("<" + format_)
    whole = value[: len(value) // size * size]
    numbers = struct.iter_unpack(order + format_, whole)
    # Two words are a tag, VR AT.
    return "\\".join(repr(word[0]) if len(word) == 1 else f"{word[0]:04X}{word[1]:04X}" for word in numbers)


def as_text(element: Element, vr: str = "") -> str:
    """Return the values of an element as text, by its own VR or another one, as :func:`encoded_as_text` does."""
    vr, value = vr or element.VR or "", element.value
    if isinstance(element, RawDataElement):
        return encoded_as_text(value or b"", vr, "<" if element.is_little_endian else ">")
    if isinstance(value, bytes):
        return encoded_as_text(value, vr, "<")
    return "\\".join("" if part is None else f"{int(part):08X}" if vr == "AT" else str(part) for part in listed(value))
