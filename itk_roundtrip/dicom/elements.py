"""Walk over encoded elements: where each begins, and its tag, VR and length, down into sequences (PS3.5 7.1 and 7.5).

Nothing is decoded, and nothing judged but what is needed to find the next element.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterator
from functools import cache
from typing import Literal, NamedTuple

from itk_roundtrip import tags
from itk_roundtrip.dicom.encoding import LONG_VRS, SHORT_VRS, UNDEFINED_LENGTH

Buffer = bytes | mmap.mmap

DELIMITERS = 0xFFFE
"""Group of items and delimiters, which have no VR in any encoding."""
_ENDS = (tags.ITEM_DELIMITATION_ITEM, tags.SEQUENCE_DELIMITATION_ITEM)
"""Delimiter that may stand behind elements, and behind items."""
_CUT_OFF = "the data end inside an element"


class ElementError(ValueError):
    """The bytes at an offset are no element, item or delimiter; the message names the offset and the reason."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"at byte {offset}: {reason}")


class Encoding(NamedTuple):
    """Whether the VR is implicit, and the byte order as struct writes it."""

    implicit: bool
    order: str


class Head(NamedTuple):
    """What stands before the value of an element, an item or a delimiter.

    Attributes
    ----------
    tag, vr
        ``vr`` is empty where none stands.
    start, value
        Offsets of the element and of its value.
    length
        Of the value, or :data:`UNDEFINED_LENGTH`.
    """

    tag: int
    vr: bytes
    start: int
    value: int
    length: int


Reader = Callable[[Buffer, int], Head]
UnknownVR = Literal["error", "short", "long"]
"""What an element is whose VR there is none of: an error; one whose length has two bytes, as pydicom takes it; or one
whose length has four bytes behind two reserved ones, as the standard has it for VRs to come (PS3.5 7.1.2)."""


def read_head(data: Buffer, at: int, encoding: Encoding, unknown_vr: UnknownVR = "error") -> Head:
    """Return the head of the element, item or delimiter at an offset.

    Raises
    ------
    ElementError
        The data end inside it, or its VR is unknown and ``unknown_vr`` is an error.
    """
    return _reader(encoding, unknown_vr)(data, at)


@cache
def _reader(encoding: Encoding, unknown_vr: UnknownVR) -> Reader:
    """Return the reader of heads in an encoding: of the hundreds in each file of a folder, what they have in common."""
    implicit = struct.Struct(encoding.order + "HHL").unpack_from
    explicit = struct.Struct(encoding.order + "HH2sH").unpack_from
    long_length = struct.Struct(encoding.order + "L").unpack_from
    new, short_vrs, long_vrs = tuple.__new__, SHORT_VRS, LONG_VRS  # to call Head would take twice as long

    def read_implicit(data: Buffer, at: int) -> Head:
        try:
            group, element, length = implicit(data, at)
        except struct.error:
            raise ElementError(at, _CUT_OFF) from None
        return new(Head, (group << 16 | element, b"", at, at + 8, length))

    def read_explicit(data: Buffer, at: int) -> Head:
        try:
            group, element, vr, length = explicit(data, at)
            if group == DELIMITERS and unknown_vr != "short":
                return read_implicit(data, at)
            if vr in short_vrs or (unknown_vr == "short" and vr not in long_vrs):
                return new(Head, (group << 16 | element, vr, at, at + 8, length))
            if vr not in long_vrs and unknown_vr == "error":
                raise ElementError(at, "a VR that there is none of")
            return new(Head, (group << 16 | element, vr, at, at + 12, long_length(data, at + 8)[0]))
        except struct.error:
            raise ElementError(at, _CUT_OFF) from None

    return read_implicit if encoding.implicit else read_explicit


def encoding_of_items(sequence: Head, encoding: Encoding) -> Encoding:
    """Return the encoding of the items of a sequence: of VR UN they are in Implicit VR Little Endian (PS3.5 6.2.2)."""
    return Encoding(True, "<") if sequence.vr == b"UN" else encoding


class Walk:
    """Iteration over the heads of encoded elements, in the order of their bytes.

    What is yielded is skipped unless :meth:`enter` is called before the next: then what is inside it comes next, the
    items of a sequence and the elements of an item, and a delimiter if there is one.

    Parameters
    ----------
    data
        What the offsets are of.
    start, stop
        Offsets of the first element, and behind the last one.
    encoding
        Of the elements.
    items
        Items, or fragments of pixels, stand between the offsets, and ``encoding`` is that of their elements.
    delimited
        They end at a delimiter.
    strict
        Not strict, the walk goes on where pydicom goes on: the length of an unknown VR has two bytes, and a delimiter
        ends what has a defined length, too.

    Attributes
    ----------
    depth
        Number of sequences and items around the head that was yielded: even of elements, odd of items.
    encoding
        Of that element, or of the elements of that item.
    at_delimiter
        It is the delimiter that ends what was entered.
    end
        Offset behind all of them and their delimiter, when the iteration is over.

    Raises
    ------
    ElementError
        In the iteration: the bytes are no elements, or something ends behind what it stands in.
    """

    def __init__(self, data: Buffer, start: int, stop: int, encoding: Encoding, *, items: bool = False,
                 delimited: bool = False, strict: bool = True) -> None:  # fmt: skip
        self.depth = int(items)
        self.encoding = encoding
        self.at_delimiter = False
        self.end = start
        self._data, self._stop, self._delimited, self._strict = data, stop, delimited, strict
        self._enters = False

    def enter(self) -> None:
        """Go into the sequence or the item that was yielded last."""
        self._enters = True

    def __iter__(self) -> Iterator[Head]:
        data, at, stop, delimited, tolerant = self._data, self.end, self._stop, self._delimited, not self._strict
        depth, encoding = self.depth, self.encoding
        around = []  # what a sequence or an item that is entered stands in
        hidden = False  # in what was not entered, and is walked over to find its end
        readers = self._readers(encoding)
        read, delimiter = readers[depth & 1], _ENDS[depth & 1]
        while True:
            if at < stop:
                head = read(data, at)
                tag, vr, start, at, length = head
                if tag != delimiter or not (delimited or tolerant):
                    if depth & 1 and tag != tags.ITEM:
                        raise ElementError(start, "a sequence holds something else than items")
                    if not hidden:
                        yield head
                    if length != UNDEFINED_LENGTH and not self._enters:
                        at += length
                        continue
                    around.append((stop, delimited, hidden, encoding, readers))
                    delimited = length == UNDEFINED_LENGTH
                    if not delimited:
                        if at + length > stop:
                            raise ElementError(start, "it ends behind what it stands in")
                        stop = at + length
                    hidden, self._enters = not self._enters, False
                    if vr == b"UN":
                        encoding = self.encoding = encoding_of_items(head, encoding)
                        readers = self._readers(encoding)
                    self.depth = depth = depth + 1
                    read, delimiter = readers[depth & 1], _ENDS[depth & 1]
                    continue
                if not hidden:
                    self.at_delimiter = True
                    yield head
                    self.at_delimiter = False
            elif at > stop or delimited:
                raise ElementError(at, "something ends behind what it stands in, or has no end")
            if not around:
                break
            stop, delimited, hidden, encoding, readers = around.pop()
            self.encoding = encoding
            self.depth = depth = depth - 1
            read, delimiter = readers[depth & 1], _ENDS[depth & 1]
        self.end = at

    def _readers(self, encoding: Encoding) -> tuple[Reader, Reader]:
        """Return the readers of the heads of elements in an encoding, and of those of the items around them."""
        elements = _reader(encoding, "error" if self._strict else "short")
        return elements, _reader(Encoding(True, encoding.order), "error")

    def with_ends(self) -> Iterator[tuple[Head, int]]:
        """Yield each head with the offset behind its value, and behind the delimiter of that if there is one."""
        head = None
        for following in self:
            if head is not None:
                yield head, following.start
            head = None if self.at_delimiter else following
        if head is not None:
            yield head, self.end
