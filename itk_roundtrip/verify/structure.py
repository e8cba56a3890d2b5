"""Validation of the structure of a DICOM file, byte by byte (PS3.5 7, PS3.10 7.1), which lenient readers do without."""

from __future__ import annotations

import struct
import zlib

from pydicom import uid
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

from itk_roundtrip import syntaxes, tags
from itk_roundtrip.dicom.encoding import UNDEFINED_LENGTH
from itk_roundtrip.dicom.part10 import Opening, opening
from itk_roundtrip.dicom.regular import NO_SUCH_VR, Buffer, Problem, regular

_DELIMITER_GROUP = tags.ITEM >> 16
_START = 132
"""Length of preamble and prefix DICM (PS3.10 7.1)."""
_LONG = frozenset(str(vr) for vr in EXPLICIT_VR_LENGTH_32)
_SHORT = frozenset(str(vr) for vr in EXPLICIT_VR_LENGTH_16)
_VRS = _LONG | _SHORT


def problems(content: Buffer) -> set[Problem]:
    """Return the problems of a file: no proper start, elements twice or out of order, lengths that do not fit."""
    begins = opening(content)
    return _problems(content, begins) | ({(None, begins.note)} if begins.note else set())


def _problems(content: Buffer, begins: Opening) -> set[Problem]:
    """Return the problems of File Meta Information and of the data set."""
    noted: set[Problem] = set()
    try:
        start, syntax = _opened(content, begins, noted)
        if not syntaxes.is_known(syntax):
            return noted
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
        noted |= strict
    except (struct.error, ValueError, _BrokenError, zlib.error):
        noted.add((None, "a length does not fit what it is the length of"))
    return noted


class _BrokenError(Exception):
    """Lengths that do not fit, so that the next element cannot be found."""


def _opened(content: Buffer, begins: Opening, noted: set[Problem]) -> tuple[int, str]:
    """Return where the data set starts, and its actual transfer syntax, which the file may not state."""
    if begins.prefix and begins.odd_meta:
        noted.add((tags.FILE_META_INFORMATION_GROUP_LENGTH, NO_SUCH_VR))
        return begins.start, begins.transfer_syntax_uid
    start = _check_meta(content, noted)
    if begins.prefix and begins.start == start:
        return start, begins.transfer_syntax_uid
    return start, _meta_value(content, start, tags.TRANSFER_SYNTAX_UID).decode("ascii", "replace")


def _check_meta(content: Buffer, noted: set[Problem]) -> int:
    """Return where the data set starts, and note it if the group length of File Meta Information is another."""
    start, stated = _START, None
    while struct.unpack_from("<H", content, start)[0] == 2:
        tag, _, length, value = _head(content, start, False, "<")
        if tag == tags.FILE_META_INFORMATION_GROUP_LENGTH and length == 4:
            stated = value + 4 + struct.unpack_from("<L", content, value)[0]
        start = value + length
    if stated != start:
        noted.add((tags.FILE_META_INFORMATION_GROUP_LENGTH, "does not say where File Meta Information ends"))
    return start


def _meta_value(content: Buffer, stop: int, wanted: int) -> bytes:
    """Return the value of an element of File Meta Information; empty if it is absent."""
    start = _START
    while start < stop:
        tag, _, length, value = _head(content, start, False, "<")
        if tag == wanted:
            return content[value : value + length].strip(b" \0")
        start = value + length
    return b""


_FORMATS = {order: tuple(struct.Struct(order + code) for code in ("HH", "H", "L")) for order in "<>"}


def _head(content: Buffer, start: int, implicit: bool, order: str) -> tuple[int, str, int, int]:
    """Return tag, VR, value length and start of the value of an element; VR is empty in Implicit VR."""
    pair, short, long = _FORMATS[order]
    group, element = pair.unpack_from(content, start)
    tag = group << 16 | element
    if implicit or group == _DELIMITER_GROUP:
        return tag, "", long.unpack_from(content, start + 4)[0], start + 8
    vr = content[start + 4 : start + 6].decode("ascii", "replace")
    if vr in _SHORT:
        return tag, vr, short.unpack_from(content, start + 6)[0], start + 8
    return tag, vr, long.unpack_from(content, start + 8)[0], start + 12


class _Walk:
    """A walk over an encoded data set that adds its problems to ``noted``."""

    def __init__(self, data: Buffer, noted: set[Problem]) -> None:
        self.data, self.noted = data, noted
        self.top: int | None = None

    def elements(self, start: int, stop: int, implicit: bool, order: str, *, delimited: bool = False) -> int:
        """Walk over the elements of a data set or an item; return where it ends."""
        last, nested = -1, self.top is not None
        while start < stop:
            tag, vr, length, value = _head(self.data, start, implicit, order)
            if tag == tags.ITEM_DELIMITATION_ITEM and delimited:
                self._check_delimiter(length)
                return value
            if not nested:
                self.top = tag
            if tag == last:
                self.noted.add((self.top, "stands twice"))
            elif tag < last:
                self.noted.add((self.top, "stands out of order"))
            if vr and vr not in _VRS:
                raise _BrokenError  # its length is a guess
            if vr in _LONG and self.data[start + 6 : start + 8] != b"\0\0":
                self.noted.add((self.top, "has reserved bytes that are not zero"))
            last = tag
            start = self._value(tag, vr, length, value, stop, implicit, order)
        if delimited or start != stop:
            raise _BrokenError
        self.top = None if not nested else self.top
        return start

    def _value(self, tag: int, vr: str, length: int, start: int, stop: int, implicit: bool, order: str) -> int:
        """Walk over the value of an element; return where it ends."""
        if length != UNDEFINED_LENGTH:
            if start + length > stop:
                raise _BrokenError
            if length % 2:
                self.noted.add((self.top, "has an odd length"))
        if tag == tags.PIXEL_DATA and length == UNDEFINED_LENGTH:
            return self._fragments(start)
        value_vr = vr or (dictionary_VR(tag) if dictionary_has_tag(tag) else "")
        if value_vr == "SQ" or length == UNDEFINED_LENGTH:
            unknown = vr == "UN"  # its items are in Implicit VR Little Endian (PS3.5 6.2.2)
            end = stop if length == UNDEFINED_LENGTH else start + length
            return self._items(start, end, implicit or unknown, "<" if unknown else order, length == UNDEFINED_LENGTH)
        return start + length

    def _items(self, start: int, stop: int, implicit: bool, order: str, delimited: bool) -> int:
        """Walk over the items of a sequence; return where it ends."""
        while start < stop:
            tag, _, length, value = _head(self.data, start, True, order)
            if delimited and tag == tags.SEQUENCE_DELIMITATION_ITEM:
                self._check_delimiter(length)
                return value
            if tag != tags.ITEM:
                raise _BrokenError
            undefined = length == UNDEFINED_LENGTH
            if not undefined and value + length > stop:
                raise _BrokenError
            start = self.elements(value, stop if undefined else value + length, implicit, order, delimited=undefined)
        if delimited or start != stop:
            raise _BrokenError
        return start

    def _check_delimiter(self, length: int) -> None:
        """Note a delimitation item whose length is not zero (PS3.5 7.5)."""
        if length:
            self.noted.add((self.top, "has a delimiter whose length is not zero"))

    def _fragments(self, start: int) -> int:
        """Walk over the fragments of encapsulated Pixel Data (PS3.5 A.4); return where they end."""
        while True:
            tag, _, length, value = _head(self.data, start, True, "<")
            if tag == tags.SEQUENCE_DELIMITATION_ITEM:
                self._check_delimiter(length)
                return value
            if tag != tags.ITEM or value + length > len(self.data):
                raise _BrokenError
            start = value + length
