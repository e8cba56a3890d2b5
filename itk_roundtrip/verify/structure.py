"""The structure of a DICOM file (PS3.5 7, PS3.10 7.1), byte by byte: what lenient readers pass over without a word."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from pydicom import uid
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

from itk_roundtrip import syntaxes, tags
from itk_roundtrip.dicom.part10 import opening
from itk_roundtrip.dicom.regular import NO_SUCH_VR, Buffer, Problem, regular

_ITEM, _ITEM_END, _SEQUENCE_END = tags.ITEM, tags.ITEM_DELIMITATION_ITEM, tags.SEQUENCE_DELIMITATION_ITEM
_UNDEFINED = 0xFFFFFFFF
_PIXEL_DATA = tags.PIXEL_DATA
_START = 132
"""Preamble and DICM."""
_LONG = frozenset(str(vr) for vr in EXPLICIT_VR_LENGTH_32)
_SHORT = frozenset(str(vr) for vr in EXPLICIT_VR_LENGTH_16)
_VRS = _LONG | _SHORT


def problems(content: Buffer) -> set[Problem]:
    """Return what is wrong with a file: how it begins, elements twice or out of order, lengths that do not fit."""
    note = opening(content).note
    return _problems(content) | ({(None, note)} if note else set())


def _problems(content: Buffer) -> set[Problem]:
    found: set[Problem] = set()
    try:
        start, syntax = _opened(content, found)
        if not syntaxes.is_known(syntax):
            return found
        if syntaxes.is_deflated(syntax):
            content, start = zlib.decompress(content[start:], -zlib.MAX_WBITS), 0
        order = ">" if syntax == uid.ExplicitVRBigEndian else "<"
        implicit = syntax == uid.ImplicitVRLittleEndian
        try:
            strict: set[Problem] = set()
            _Walk(content, strict).elements(start, len(content), implicit, order)
        except (struct.error, _BrokenError):
            mended = regular(content, start, implicit=implicit, little_endian=order == "<",
                             encapsulated=syntaxes.is_encapsulated(syntax))  # fmt: skip
            strict = set(mended.problems)
            _Walk(mended.data, strict).elements(0, len(mended.data), implicit, order)
        found |= strict
    except (struct.error, ValueError, _BrokenError, zlib.error):
        found.add((None, "a length does not fit what it is the length of"))
    return found


class _BrokenError(Exception):
    """The lengths do not fit; what follows cannot be found."""


def _opened(content: Buffer, found: set[Problem]) -> tuple[int, str]:
    """Return where the data set starts, and the transfer syntax that it is in, whatever it says."""
    begins = opening(content) if content[128:_START] == b"DICM" else None
    if begins is not None and begins.odd_meta:
        found.add((tags.FILE_META_INFORMATION_GROUP_LENGTH, NO_SUCH_VR))
        return begins.start, begins.transfer_syntax_uid
    start = _check_meta(content, found)
    if begins is not None and begins.start == start:
        return start, begins.transfer_syntax_uid
    return start, _meta_value(content, start, 0x0010).decode("ascii", "replace")


def _check_meta(content: Buffer, found: set[Problem]) -> int:
    """Return where the data set starts; File Meta Information must say so."""
    start, stated = _START, None
    while struct.unpack_from("<H", content, start)[0] == 2:
        tag, _, length, value = _head(content, start, False, "<")
        if tag == tags.FILE_META_INFORMATION_GROUP_LENGTH and length == 4:
            stated = value + 4 + struct.unpack_from("<L", content, value)[0]
        start = value + length
    if stated != start:
        found.add((tags.FILE_META_INFORMATION_GROUP_LENGTH, "does not say where File Meta Information ends"))
    return start


def _meta_value(content: Buffer, stop: int, element: int) -> bytes:
    start = _START
    while start < stop:
        tag, _, length, value = _head(content, start, False, "<")
        if tag == tags.FILE_META_INFORMATION_GROUP_LENGTH | element:
            return content[value : value + length].strip(b" \0")
        start = value + length
    return b""


_FORMATS = {order: tuple(struct.Struct(order + code) for code in ("HH", "H", "L")) for order in "<>"}


def _head(content: Buffer, start: int, implicit: bool, order: str) -> tuple[int, str, int, int]:
    """Return tag, VR, length and place of the value of an element."""
    pair, short, long = _FORMATS[order]
    group, element = pair.unpack_from(content, start)
    tag = group << 16 | element
    if implicit or group == 0xFFFE:
        return tag, "", long.unpack_from(content, start + 4)[0], start + 8
    vr = content[start + 4 : start + 6].decode("ascii", "replace")
    if vr in _SHORT:
        return tag, vr, short.unpack_from(content, start + 6)[0], start + 8
    return tag, vr, long.unpack_from(content, start + 8)[0], start + 12


class _Walk:
    """One walk over an encoded data set."""

    def __init__(self, data: Buffer, found: set[Problem]) -> None:
        self.data, self.found = data, found
        self.top: int | None = None

    def elements(self, start: int, stop: int, implicit: bool, order: str, *, delimited: bool = False) -> int:
        """Walk over the elements of a data set or an item; return where it ends."""
        last, nested = -1, self.top is not None
        while start < stop:
            tag, vr, length, value = _head(self.data, start, implicit, order)
            if tag == _ITEM_END and delimited:
                self._check_delimiter(length)
                return value
            if not nested:
                self.top = tag
            if tag == last:
                self.found.add((self.top, "stands twice"))
            elif tag < last:
                self.found.add((self.top, "stands out of order"))
            if vr and vr not in _VRS:
                raise _BrokenError  # its length is a guess
            if vr in _LONG and self.data[start + 6 : start + 8] != b"\0\0":
                self.found.add((self.top, "has reserved bytes that are not zero"))
            last = tag
            start = self._value(tag, vr, length, value, stop, implicit, order)
        if delimited or start != stop:
            raise _BrokenError
        self.top = None if not nested else self.top
        return start

    def _value(self, tag: int, vr: str, length: int, start: int, stop: int, implicit: bool, order: str) -> int:
        if length != _UNDEFINED:
            if start + length > stop:
                raise _BrokenError
            if length % 2:
                self.found.add((self.top, "has an odd length"))
        if tag == _PIXEL_DATA and length == _UNDEFINED:
            for _ in self._fragments(start):
                pass
            return self._end
        known = vr or (dictionary_VR(tag) if dictionary_has_tag(tag) else "")
        if known == "SQ" or length == _UNDEFINED:
            unknown = vr == "UN"
            end = stop if length == _UNDEFINED else start + length
            return self._items(start, end, implicit or unknown, "<" if unknown else order, length == _UNDEFINED)
        return start + length

    def _items(self, start: int, stop: int, implicit: bool, order: str, delimited: bool) -> int:
        while start < stop:
            tag, _, length, value = _head(self.data, start, True, order)
            if delimited and tag == _SEQUENCE_END:
                self._check_delimiter(length)
                return value
            if tag != _ITEM:
                raise _BrokenError
            undefined = length == _UNDEFINED
            if not undefined and value + length > stop:
                raise _BrokenError
            start = self.elements(value, stop if undefined else value + length, implicit, order, delimited=undefined)
        if delimited or start != stop:
            raise _BrokenError
        return start

    def _check_delimiter(self, length: int) -> None:
        if length:
            self.found.add((self.top, "has a delimiter whose length is not zero"))

    def _fragments(self, start: int) -> Iterator[int]:
        """Yield the lengths of the fragments of compressed pixels, and note where they end."""
        while True:
            tag, _, length, value = _head(self.data, start, True, "<")
            if tag == _SEQUENCE_END:
                self._check_delimiter(length)
                self._end = value
                return
            if tag != _ITEM or value + length > len(self.data):
                raise _BrokenError
            yield length
            start = value + length
