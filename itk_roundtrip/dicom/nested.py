"""Selected values of the items of an encoded sequence; all other elements are skipped undecoded (PS3.5 7.5)."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pydicom.datadict import dictionary_VR, tag_for_keyword

from itk_roundtrip import tags
from itk_roundtrip.dicom.encoding import LONG_VRS, SHORT_VRS, UNDEFINED_LENGTH

Wanted = Mapping[str, "Wanted | None"]
"""Keywords of the wanted attributes of an item: ``None`` for a value, for a sequence those of its first item."""
Texts = dict[str, str]
"""Values as texts by keyword; those of nested items are in the same dictionary."""
Buffer = bytes | mmap.mmap

_DELIMITERS = 0xFFFE
"""Group of items and delimiters, which have no VR in any encoding."""
_STRUCT_FORMATS = {"FD": "d", "FL": "f", "US": "H", "UL": "L", "SS": "h", "SL": "l", "AT": "HH"}


class Node(NamedTuple):
    """A wanted element: keyword, VR by the dictionary, and of a sequence the nodes of its first item."""

    keyword: str
    vr: str
    inside: dict[int, Node]


def nodes(wanted: Wanted) -> dict[int, Node]:
    """Return the wanted elements by tag."""
    by_tag = {}
    for keyword, inside in wanted.items():
        tag = tag_for_keyword(keyword)
        assert tag is not None, keyword
        by_tag[int(tag)] = Node(keyword, dictionary_VR(tag), {} if inside is None else nodes(inside))
    return by_tag


class Encoding(NamedTuple):
    """Whether the VR is implicit, and the byte order as struct writes it."""

    implicit: bool
    order: str


def _of_items(vr: bytes, encoding: Encoding) -> Encoding:
    """Return the encoding of the items of a sequence: of VR UN they are in Implicit VR Little Endian (PS3.5 6.2.2)."""
    return Encoding(True, "<") if vr == b"UN" else encoding


def sequence(data: Buffer, start: int, encoding: Encoding, wanted: dict[int, Node]) -> tuple[list[Texts], int]:
    """Return the wanted values of each item of the sequence whose element is at ``start``, and where the element ends.

    Raises
    ------
    ValueError
        The bytes are no sequence.
    """
    items: list[Texts] = []
    try:
        _, vr, length, value = _head(data, start, encoding)
        inner = _of_items(vr, encoding)
        end = value
        for first, last, end in _items(data, value, length, inner):  # noqa: B007
            texts: Texts = {}
            _read_values(data, first, last, inner, wanted, texts)
            items.append(texts)
    except struct.error:
        raise ValueError("a sequence ends early") from None
    return items, end + 8 if length == UNDEFINED_LENGTH else value + length


def _head(data: Buffer, start: int, encoding: Encoding) -> tuple[int, bytes, int, int]:
    """Return tag, VR, length and offset of the value of an element; the VR is empty where none stands."""
    if encoding.implicit:
        group, element, length = struct.unpack_from(encoding.order + "HHL", data, start)
        return group << 16 | element, b"", length, start + 8
    group, element, vr, short = struct.unpack_from(encoding.order + "HH2sH", data, start)
    tag = group << 16 | element
    if vr in LONG_VRS:
        return tag, vr, struct.unpack_from(encoding.order + "L", data, start + 8)[0], start + 12
    if vr not in SHORT_VRS and group != _DELIMITERS:
        raise ValueError("where an element of a VR that there is none of ends is a guess")
    if group == _DELIMITERS:
        return tag, b"", struct.unpack_from(encoding.order + "L", data, start + 4)[0], start + 8
    return tag, vr, short, start + 8


def _items(data: Buffer, value: int, length: int, encoding: Encoding) -> Iterator[tuple[int, int, int]]:
    """Yield where the elements of each item start and end, and where the item ends."""
    stop = len(data) if length == UNDEFINED_LENGTH else value + length
    if stop > len(data):
        raise ValueError("a sequence ends behind its file")
    place = value
    while place < stop:
        group, element, size = struct.unpack_from(encoding.order + "HHL", data, place)
        tag = group << 16 | element
        if tag == tags.SEQUENCE_DELIMITATION_ITEM and length == UNDEFINED_LENGTH:
            return
        if tag != tags.ITEM:
            raise ValueError("a sequence holds something else than items")
        place += 8
        if size == UNDEFINED_LENGTH:
            last = _item_end(data, place, stop, encoding)
            yield place, last, last + 8
            place = last + 8
        else:
            if place + size > stop:
                raise ValueError("an item ends behind its sequence")
            yield place, place + size, place + size
            place += size
    if length == UNDEFINED_LENGTH:
        raise ValueError("a sequence has no end")


def _item_end(data: Buffer, start: int, stop: int, encoding: Encoding) -> int:
    """Return the offset of the delimiter of an item of undefined length."""
    while start < stop:
        tag, vr, length, value = _head(data, start, encoding)
        if tag == tags.ITEM_DELIMITATION_ITEM:
            return start
        start = _element_end(data, vr, length, value, encoding)
    raise ValueError("an item has no end")


def _element_end(data: Buffer, vr: bytes, length: int, value: int, encoding: Encoding) -> int:
    """Return the offset behind an element and its delimiter."""
    if length != UNDEFINED_LENGTH:
        return value + length
    end = value
    for _, _, end in _items(data, value, length, _of_items(vr, encoding)):  # noqa: B007
        pass
    return end + 8


def _read_values(
    data: Buffer, start: int, stop: int, encoding: Encoding, wanted: dict[int, Node], texts: Texts
) -> None:
    """Add the wanted values of the elements between two offsets to ``texts``."""
    while start < stop:
        tag, vr, length, value = _head(data, start, encoding)
        node = wanted.get(tag)
        if node is None:
            start = _element_end(data, vr, length, value, encoding)
        elif node.inside:
            inner = _of_items(vr, encoding)
            end = value
            for number, (first, last, end) in enumerate(_items(data, value, length, inner)):  # noqa: B007
                if number == 0:
                    _read_values(data, first, last, inner, node.inside, texts)
            start = end + 8 if length == UNDEFINED_LENGTH else value + length
        else:
            if value + length > stop:
                raise ValueError("an element ends behind its item")
            texts[node.keyword] = decoded(data[value : value + length], node.vr, encoding.order)
            start = value + length
    if start > stop:
        raise ValueError("an element ends behind its item")


def decoded(value: bytes, vr: str, order: str) -> str:
    """Return the values of an element as text, those of binary VRs with backslashes between as in VR DS."""
    format_ = _STRUCT_FORMATS.get(vr)
    if format_ is None:
        return value.decode("ascii", "replace").strip(" \0")
    size = struct.calcsize("<" + format_)
    whole = value[: len(value) // size * size]
    words = struct.iter_unpack(order + format_, whole)
    # Two words are a tag, VR AT.
    return "\\".join(repr(word[0]) if len(word) == 1 else f"{word[0]:04X}{word[1]:04X}" for word in words)
