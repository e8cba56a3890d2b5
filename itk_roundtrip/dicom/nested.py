"""Wanted values of the items of an encoded sequence, read without all the rest of it (PS3.5 7.5)."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

from itk_roundtrip import tags

Wanted = Mapping[str, "Wanted | None"]
"""Keywords of what is wanted of an item: ``None`` for a value, and for a sequence what is wanted of its first item."""
Texts = dict[str, str]
"""Values as texts by keyword, those of nested items beside the others."""
Buffer = bytes | mmap.mmap

_ITEM, _ITEM_END, _SEQUENCE_END = tags.ITEM, tags.ITEM_DELIMITATION_ITEM, tags.SEQUENCE_DELIMITATION_ITEM
_UNDEFINED = 0xFFFFFFFF
_SHORT = frozenset(str(vr).encode() for vr in EXPLICIT_VR_LENGTH_16)
_LONG = frozenset(str(vr).encode() for vr in EXPLICIT_VR_LENGTH_32)
_BINARY = {"FD": "d", "FL": "f", "US": "H", "UL": "L", "SS": "h", "SL": "l", "AT": "HH"}


class Node(NamedTuple):
    """A wanted element: its keyword, its VR if it is a value, and what is wanted of its first item if it is not."""

    keyword: str
    vr: str
    inside: dict[int, Node]


def nodes(wanted: Wanted) -> dict[int, Node]:
    """Return what is wanted by tag."""
    found = {}
    for keyword, inside in wanted.items():
        tag = tag_for_keyword(keyword)
        assert tag is not None, keyword
        found[int(tag)] = Node(keyword, dictionary_VR(tag), {} if inside is None else nodes(inside))
    return found


class Encoding(NamedTuple):
    """Whether the VR is implicit, and the byte order as struct writes it."""

    implicit: bool
    order: str


def sequence(data: Buffer, start: int, how: Encoding, wanted: dict[int, Node]) -> tuple[list[Texts], int]:
    """Return the wanted texts of each item of the sequence whose element starts here, and where it ends.

    Raises
    ------
    ValueError
        The bytes are no sequence.
    """
    found: list[Texts] = []
    try:
        _, vr, length, value = _head(data, start, how)
        inner = Encoding(True, "<") if vr == b"UN" else how
        end = value
        for first, last, end in _items(data, value, length, inner):  # noqa: B007
            texts: Texts = {}
            _read(data, first, last, inner, wanted, texts)
            found.append(texts)
    except struct.error:
        raise ValueError("a sequence ends early") from None
    return found, end + 8 if length == _UNDEFINED else value + length


def _head(data: Buffer, start: int, how: Encoding) -> tuple[int, bytes, int, int]:
    """Return tag, VR, length and place of the value of an element."""
    if how.implicit:
        group, element, length = struct.unpack_from(how.order + "HHL", data, start)
        return group << 16 | element, b"", length, start + 8
    group, element, vr, short = struct.unpack_from(how.order + "HH2sH", data, start)
    tag = group << 16 | element
    if vr in _LONG:
        return tag, vr, struct.unpack_from(how.order + "L", data, start + 8)[0], start + 12
    if vr not in _SHORT and group != 0xFFFE:
        raise ValueError("where an element of a VR that there is none of ends is a guess")
    if group == 0xFFFE:
        return tag, b"", struct.unpack_from(how.order + "L", data, start + 4)[0], start + 8
    return tag, vr, short, start + 8


def _items(data: Buffer, value: int, length: int, how: Encoding) -> Iterator[tuple[int, int, int]]:
    """Yield where the elements of each item start and end, and where the item ends."""
    stop = len(data) if length == _UNDEFINED else value + length
    if stop > len(data):
        raise ValueError("a sequence ends behind its file")
    place = value
    while place < stop:
        group, element, size = struct.unpack_from(how.order + "HHL", data, place)
        tag = group << 16 | element
        if tag == _SEQUENCE_END and length == _UNDEFINED:
            return
        if tag != _ITEM:
            raise ValueError("a sequence holds something else than items")
        place += 8
        if size == _UNDEFINED:
            last = _end(data, place, stop, how)
            yield place, last, last + 8
            place = last + 8
        else:
            if place + size > stop:
                raise ValueError("an item ends behind its sequence")
            yield place, place + size, place + size
            place += size
    if length == _UNDEFINED:
        raise ValueError("a sequence has no end")


def _end(data: Buffer, start: int, stop: int, how: Encoding) -> int:
    """Return where the elements of an item of undefined length end."""
    while start < stop:
        tag, vr, length, value = _head(data, start, how)
        if tag == _ITEM_END:
            return start
        start = _behind(data, vr, length, value, how)
    raise ValueError("an item has no end")


def _behind(data: Buffer, vr: bytes, length: int, value: int, how: Encoding) -> int:
    """Return where an element ends."""
    if length != _UNDEFINED:
        return value + length
    end = value
    for _, _, end in _items(data, value, length, Encoding(True, "<") if vr == b"UN" else how):  # noqa: B007
        pass
    return end + 8


def _read(data: Buffer, start: int, stop: int, how: Encoding, wanted: dict[int, Node], texts: Texts) -> None:
    """Put the wanted values of some elements into ``texts``."""
    while start < stop:
        tag, vr, length, value = _head(data, start, how)
        node = wanted.get(tag)
        if node is None:
            start = _behind(data, vr, length, value, how)
        elif node.inside:
            inner = Encoding(True, "<") if vr == b"UN" else how
            end = value
            for number, (first, last, end) in enumerate(_items(data, value, length, inner)):  # noqa: B007
                if number == 0:
                    _read(data, first, last, inner, node.inside, texts)
            start = end + 8 if length == _UNDEFINED else value + length
        else:
            if value + length > stop:
                raise ValueError("an element ends behind its item")
            texts[node.keyword] = decoded(data[value : value + length], node.vr, how.order)
            start = value + length
    if start > stop:
        raise ValueError("an element ends behind its item")


def decoded(value: bytes, vr: str, order: str) -> str:
    """Return the values of an element as one text, as if it were of VR DS; empty if it holds none."""
    form = _BINARY.get(vr)
    if form is None:
        return value.decode("ascii", "replace").strip(" \0")
    size = struct.calcsize("<" + form)
    whole = value[: len(value) // size * size]
    found = struct.iter_unpack(order + form, whole)
    return "\\".join(repr(one[0]) if len(one) == 1 else f"{one[0]:04X}{one[1]:04X}" for one in found)
