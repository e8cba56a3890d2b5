"""Irregular data sets rewritten as the regular ones that GDCM and dcmtk take them for (PS3.5 6.2, 7.1.2, 7.5, A.4).

Nothing is decoded: every value keeps its bytes. A single element of an unknown VR cannot be told from damage, so it is
given the length after which the next element makes sense.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement

from itk_roundtrip import tags
from itk_roundtrip.dicom.elements import DELIMITERS, Buffer, Encoding, Head, read_head
from itk_roundtrip.dicom.encoding import ITEM, LONG_VRS, SEQUENCE_DELIMITER, SHORT_VRS, UNDEFINED_LENGTH
from itk_roundtrip.dicom.part10 import Opening
from itk_roundtrip.syntaxes import is_encapsulated

Problem = tuple[int | None, str]
"""Tag of the irregular element of the top level (``None`` if there is no single element), and its fault in words."""

VRS = frozenset(vr.decode() for vr in LONG_VRS | SHORT_VRS)
NO_SUCH_VR = "has a VR that there is none of"
_NO_VR = "has no VR"
_NO_END = "has no proper end"
_DEFINED_LENGTH = "is encapsulated and of defined length"
_BYTES_BEHIND_PIXELS = "is followed by bytes that are no elements"
_ODD_FRAGMENT = "has a fragment of odd length"
_ITEM_END, _SEQUENCE_END = tags.ITEM_DELIMITATION_ITEM, tags.SEQUENCE_DELIMITATION_ITEM
_FIRST_GROUP = 0x0008
"""Lowest group of data sets but DICOMDIR: GDCM leaves lower groups out."""
_LOOK = 6
"""Number of elements of unknown VR in a row whose possible lengths are tried."""
_STREAM_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")
"""First bytes of JPEG and JPEG-LS, of JPEG 2000, and of its file format JP2."""
_STREAM_END = b"\xff\xd9"
"""Last bytes of JPEG, JPEG-LS and JPEG 2000."""
_RLE_HEADER = 64
"""Bytes of an RLE header (PS3.5 G.5)."""


class IrregularError(ValueError):
    """No regular data set can be made of the bytes."""


class PixelDataError(IrregularError):
    """Encapsulated Pixel Data is damaged; the message is the rest of a sentence that begins with the name of a file."""


class TruncatedError(PixelDataError):
    """The file ends inside its pixel data."""

    def __init__(self) -> None:
        super().__init__("is truncated: it ends before its pixels do.")


def stands_in_data_sets(tag: int) -> bool:
    """Tell whether an element may stand in a data set, and not only before it (PS3.7 6.3, PS3.10 7.1)."""
    return tag >> 16 >= _FIRST_GROUP or tag >> 16 == 0x0004


@dataclass(frozen=True)
class Regular:
    """The regular data set that irregular bytes stand for.

    Attributes
    ----------
    data
        The encoded elements.
    problems
        What was irregular.
    verbatim
        Elements of the top level, Pixel Data apart, that were rewritten, as they stand in the file, by tag; in Explicit
        VR only. Other software can carry them so, but not read them.
    """

    data: bytes
    problems: frozenset[Problem]
    verbatim: Mapping[int, bytes]


def regular(data: Buffer, start: int = 0, *, implicit: bool, little_endian: bool, encapsulated: bool) -> Regular:
    """Return the regular data set that irregular bytes stand for.

    Parameters
    ----------
    data, start
        The data set begins at ``start``.
    implicit, little_endian
        How it is encoded.
    encapsulated
        Pixel Data is a sequence of fragments, by the transfer syntax.

    Raises
    ------
    IrregularError
        It stands for none: no length of an element fits, or it ends inside an element.
    """
    walk = _Walk(data, "<" if little_endian else ">", encapsulated)
    try:
        return walk.data_set(start, implicit)
    except (struct.error, RecursionError):
        raise IrregularError("ends early") from None


def regular_as(begins: Opening, data: Buffer, start: int = 0) -> Regular:
    """Return what :func:`regular` does, of a data set that is encoded as the beginning of its file tells."""
    encapsulated = is_encapsulated(begins.transfer_syntax_uid)
    return regular(data, start, implicit=begins.implicit, little_endian=begins.little_endian, encapsulated=encapsulated)


def regularised(begins: Opening, data: Buffer) -> Regular:
    """Return what :func:`regular_as` does, of a data set that was found irregular.

    Raises
    ------
    IrregularError
        It is regular, so that this is not what was wrong, or it stands for no regular one.
    """
    result = regular_as(begins, data)
    if not result.problems:
        raise IrregularError("nothing is irregular")
    return result


@dataclass
class _Walk:
    """Reader of a data set, element by element, that collects irregularities."""

    data: Buffer
    order: str
    encapsulated: bool
    problems: set[Problem] = field(default_factory=set)
    top: int | None = None
    """Tag of the element of the top level that is being read."""
    depth: int = 0
    """Number of items around the element that is being read."""

    def data_set(self, start: int, implicit: bool) -> Regular:
        """Return the regular data set."""
        parts: list[bytes] = []
        verbatim: dict[int, bytes] = {}
        stop = len(self.data)
        behind_pixels = False
        while start < stop:
            if behind_pixels and not any(self.data[start:]):
                break  # the file is filled up with zeros, which are no elements
            try:
                head = self._head(start, stop, implicit)
            except IrregularError:
                if not behind_pixels:
                    raise
                head = None
            if head is None or (behind_pixels and (head.tag <= tags.PIXEL_DATA or head.tag >> 16 == DELIMITERS)):
                self.problems.add((tags.PIXEL_DATA, _BYTES_BEHIND_PIXELS))
                break
            if head.tag >> 16 == DELIMITERS:
                raise IrregularError("a delimiter stands for an element")
            self.top = head.tag
            if head.tag == tags.PIXEL_DATA and self.encapsulated:
                part, end = self._pixel_data(head)
                behind_pixels = True
            elif head.tag == tags.PIXEL_DATA and head.length % 2 == 0 and head.value + head.length == stop + 1:
                self._note("lacks its pad byte")
                part, end = bytes(self.data[start:stop]) + b"\0", stop
            else:
                part, end = self._element(head, stop, implicit)
                if part is not None and not implicit:
                    verbatim[head.tag] = self.data[start:end]
            parts.append(self.data[start:end] if part is None else part)
            start = end
        return Regular(b"".join(parts), frozenset(self.problems), verbatim)

    def _note(self, problem: str) -> None:
        self.problems.add((self.top, problem))

    def _tag(self, at: int, order: str) -> int:
        """Return the tag at an offset; 0 behind the end."""
        if at + 4 > len(self.data):
            return 0
        group, element = struct.unpack_from(order + "HH", self.data, at)
        return int(group << 16 | element)

    def _head(self, at: int, stop: int, implicit: bool, order: str = "") -> Head:
        """Return the head of the element at an offset; if its VR is unknown, in the form that fits what follows."""
        heads = list(self._heads(at, stop, implicit, order or self.order))
        if heads[0].tag == tags.PIXEL_DATA and (implicit or heads[0].vr in LONG_VRS):
            return heads[0]
        if len(heads) == 1:
            return heads[0]
        for head in heads:
            if self._fits(head, stop, order or self.order, _LOOK):
                return head
        raise IrregularError("a length fits nothing")

    def _heads(self, at: int, stop: int, implicit: bool, order: str) -> Iterator[Head]:
        """Yield the heads that an element may have: a single head if its VR is known and its length fits."""
        if at + 8 > stop:
            raise IrregularError("ends inside an element")
        without = read_head(self.data, at, Encoding(True, order))
        if implicit:
            yield without
            return
        tag, vr = without.tag, bytes(self.data[at + 4 : at + 6])
        short = Head(tag, vr, at, at + 8, struct.unpack_from(order + "H", self.data, at + 6)[0])
        long = short
        if at + 12 <= stop:
            long = Head(tag, vr, at, at + 12, struct.unpack_from(order + "L", self.data, at + 8)[0])
        if vr in LONG_VRS or vr in SHORT_VRS:
            proper, other = (long, short) if vr in LONG_VRS else (short, long)
            yield proper
            if proper.length != UNDEFINED_LENGTH and proper.value + proper.length > stop:
                yield other
            return
        heads = (short, long, without) if vr.isalpha() and vr.isupper() else (short, without, long)
        # Four bytes FF are hardly chance: undefined length comes first.
        yield from sorted(heads, key=lambda head: head.length != UNDEFINED_LENGTH)

    def _fits(self, head: Head, stop: int, order: str, depth: int) -> bool:
        """Tell whether what follows an element makes sense, up to ``depth`` elements on."""
        if head.length == UNDEFINED_LENGTH:
            return self._tag(head.value, order) in (tags.ITEM, _SEQUENCE_END)
        end = head.value + head.length
        if end >= stop or depth == 0:
            return end == stop or end < stop
        tag = self._tag(end, order)
        if tag in (tags.ITEM, _ITEM_END, _SEQUENCE_END):
            return True
        vr = self.data[end + 4 : end + 6]
        is_known = vr in LONG_VRS or vr in SHORT_VRS
        if end + 8 > stop or (tag <= head.tag and not (is_known and dictionary_has_tag(tag))):
            return False
        if is_known and tag == tags.PIXEL_DATA:
            return True
        return any(self._fits(following, stop, order, depth - 1) for following in self._heads(end, stop, False, order))

    def _element(self, head: Head, stop: int, implicit: bool, order: str = "") -> tuple[bytes | None, int]:
        """Return the regular bytes of an element, ``None`` if it is regular, and where it ends."""
        order = order or self.order
        vr, tag = head.vr, head.tag
        irregular_head = not implicit and vr not in LONG_VRS and vr not in SHORT_VRS
        if irregular_head:
            self._note(NO_SUCH_VR if vr else _NO_VR)
        elif not implicit and head.value - head.start != (12 if vr in LONG_VRS else 8):
            self._note("has a length of another form than that of its VR")
            irregular_head = True
        standard_vr = dictionary_VR(tag) if dictionary_has_tag(tag) else ""
        undefined = head.length == UNDEFINED_LENGTH
        if undefined and vr in (b"OB", b"OW"):  # the pixels of an icon
            _, end, problems = self._fragments(head.value, stop)
            if problems:
                raise IrregularError("fragments have no end")
            return None, end
        if undefined or vr == b"SQ" or ((implicit or irregular_head) and standard_vr == "SQ"):
            sequence = self._sequence(head, stop, implicit, order, irregular_head)
            if sequence is not None:
                return sequence
        end = head.value + head.length
        if undefined or end > stop:
            raise IrregularError("an element ends behind its data set")
        if not irregular_head:
            return None, end
        value = bytes(self.data[head.value : end])
        new_vr = standard_vr if len(standard_vr) == 2 and standard_vr != "SQ" else "UN"
        if new_vr.encode() not in LONG_VRS and len(value) > 0xFFFF:
            new_vr = "UN"
        return _encoded(tag, new_vr.encode(), value, order), end

    def _sequence(
        self, head: Head, stop: int, implicit: bool, order: str, irregular_head: bool
    ) -> tuple[bytes | None, int] | None:
        """Return a sequence as :meth:`_element` does; ``None`` if its length is defined and it holds no items."""
        undefined = head.length == UNDEFINED_LENGTH
        last = stop if undefined else head.value + head.length
        if last > stop:
            raise IrregularError("a sequence ends behind its data set")
        encodings = [(implicit, order)]
        if not implicit and head.vr == b"UN":
            encodings = [(True, "<"), (False, order)]  # the first by PS3.5 6.2.2
        elif irregular_head:
            encodings = [(False, order), (True, "<")]
        before = set(self.problems)
        for items_implicit, items_order in encodings:
            try:
                items, end, changed = self._items(head.value, last, items_implicit, items_order, undefined)
            except (IrregularError, struct.error):
                self.problems.clear()
                self.problems.update(before)
                continue
            vr = b"SQ" if items_implicit == implicit else b"UN"
            if not changed and not irregular_head and (implicit or vr == head.vr):
                return None, end
            value = b"".join(items)
            if implicit:
                return struct.pack(order + "HHL", head.tag >> 16, head.tag & 0xFFFF, len(value)) + value, end
            return _encoded(head.tag, vr, value, order, delimited=vr == b"UN"), end
        if undefined:
            raise IrregularError("a sequence has no end")
        return None

    def _items(self, at: int, stop: int, implicit: bool, order: str, delimited: bool) -> tuple[list[bytes], int, bool]:
        """Return the items of a sequence, where it ends, and whether anything in it was not regular."""
        items: list[bytes] = []
        changed = False
        while at < stop:
            tag = self._tag(at, order)
            if tag == _SEQUENCE_END and delimited:
                return items, at + 8, changed
            if tag == _ITEM_END and delimited:
                # It stands for the delimiter of the sequence, unless it is that of an item around it.
                self._note(_NO_END)
                outer = self.depth > 0 and self._tag(at + 8, order) in (tags.ITEM, _SEQUENCE_END)
                return items, at if outer else at + 8, True
            if tag != tags.ITEM or at + 8 > stop:
                raise IrregularError("a sequence holds something else than items")
            length = read_head(self.data, at, Encoding(True, order)).length
            undefined = length == UNDEFINED_LENGTH
            last = stop if undefined else at + 8 + length
            if last > stop:
                raise IrregularError("an item ends behind its sequence")
            self.depth += 1
            try:
                parts, end, changed_item = self._item(at + 8, last, implicit, order, undefined)
            finally:
                self.depth -= 1
            changed |= changed_item
            if changed_item:
                value = b"".join(parts)
                items.append(struct.pack(order + "HHL", 0xFFFE, 0xE000, len(value)) + value)
            else:
                items.append(bytes(self.data[at:end]))
            at = end
        if delimited:
            if stop == len(self.data):
                raise IrregularError("a sequence has no end")
            self._note(_NO_END)
        return items, at, changed or delimited

    def _item(self, at: int, stop: int, implicit: bool, order: str, delimited: bool) -> tuple[list[bytes], int, bool]:
        """Return the elements of an item, where it ends, and whether anything in it was not regular."""
        parts: list[bytes] = []
        changed = False
        while at < stop:
            tag = self._tag(at, order)
            if delimited and tag == _ITEM_END:
                return parts, at + 8, changed
            if delimited and tag in (_SEQUENCE_END, tags.ITEM):
                # A delimiter of the wrong kind, or that of the sequence, and the item has none.
                self._note(_NO_END)
                closes = tag == _SEQUENCE_END and self._tag(at + 8, order) in (tags.ITEM, _SEQUENCE_END)
                return parts, at + 8 if closes else at, True
            head = self._head(at, stop, implicit, order)
            part, end = self._element(head, stop, implicit, order)
            parts.append(bytes(self.data[at:end]) if part is None else part)
            changed |= part is not None
            at = end
        if delimited:
            if stop == len(self.data):
                raise IrregularError("an item has no end")
            self._note(_NO_END)
        return parts, at, changed or delimited

    def _pixel_data(self, head: Head) -> tuple[bytes | None, int]:
        """Return regular encapsulated Pixel Data (PS3.5 A.4), ``None`` if it is regular, and where it ends."""
        undefined = head.length == UNDEFINED_LENGTH
        stop = len(self.data) if undefined else head.value + head.length
        if stop > len(self.data):
            raise TruncatedError
        if self._tag(head.value, "<") != tags.ITEM:
            return None, stop  # as it is, for the reader to refuse
        fragments, end, problems = self._fragments(head.value, stop)
        if not undefined:
            problems.append(_DEFINED_LENGTH)
        if head.vr != b"OB":
            is_known = head.vr in LONG_VRS or head.vr in SHORT_VRS
            problems.append(f"is encapsulated and has VR {head.vr.decode()}, not OB" if is_known else NO_SUCH_VR)
        self.problems.update((tags.PIXEL_DATA, problem) for problem in problems)
        if not problems:
            return None, end
        value = b"".join(_item(fragment + b"\0" * (len(fragment) % 2)) for fragment in fragments)
        return _encoded(tags.PIXEL_DATA, b"OB", value, "<", delimited=True), end if undefined else stop

    def _fragments(self, at: int, stop: int) -> tuple[list[bytes], int, list[str]]:
        """Return the fragments, the offset behind them, and their faults."""
        fragments: list[bytes] = []
        problems: list[str] = []
        while at < stop:
            tag = self._tag(at, "<") if at + 8 <= stop else 0
            if tag == _SEQUENCE_END:
                return fragments, at + 8, problems
            if tag == _ITEM_END:  # it stands for the delimiter
                problems.append(_NO_END)
                return fragments, at + 8, problems
            if tag != tags.ITEM:
                rest = bytes(self.data[at:stop])
                vr = rest[4:6]
                follows = tag > tags.PIXEL_DATA and (vr in LONG_VRS or vr in SHORT_VRS)
                if not (follows or SEQUENCE_DELIMITER.startswith(rest) or not any(rest)):
                    raise PixelDataError("is damaged: its pixel data hold something else than fragments.")
                problems.append(_NO_END)
                return fragments, at if follows else stop, problems
            length = read_head(self.data, at, Encoding(True, "<")).length
            begin, at = at + 8, at + 8 + length
            # The last byte may be missing if it is a pad byte: then the end marker of the stream stands before it.
            if at > stop and not (at == stop + 1 and length % 2 == 0 and self.data[stop - 2 : stop] == _STREAM_END):
                raise TruncatedError
            fragments.append(bytes(self.data[begin : min(at, stop)]))
            if length % 2:
                problems.append(_ODD_FRAGMENT)
                if at < stop and self._tag(at, "<") not in (tags.ITEM, _SEQUENCE_END):
                    at += 1  # padded, and the pad byte not counted
        problems.append(_NO_END)
        return fragments, min(at, stop), problems


def _item(value: bytes) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(value)) + value


def _encoded(tag: int, vr: bytes, value: bytes, order: str, *, delimited: bool = False) -> bytes:
    """Return an element in Explicit VR."""
    head = struct.pack(order + "HH2s", tag >> 16, tag & 0xFFFF, vr)
    if delimited:
        return head + b"\0\0\xff\xff\xff\xff" + value + struct.pack(order + "HHL", 0xFFFE, 0xE0DD, 0)
    if vr in LONG_VRS:
        return head + struct.pack(order + "HL", 0, len(value)) + value
    return head + struct.pack(order + "H", len(value)) + value


def laid_out(value: bytes, frames: int) -> bytes:
    """Return the value of encapsulated Pixel Data with a right Basic Offset Table and a fragment per frame (PS3.5 A.4).

    Parameters
    ----------
    value
        Table and fragments, with or without a delimiter behind them.
    frames
        Number of Frames.

    Returns
    -------
    bytes
        The value itself where the table is right or empty, and where the frames cannot be told apart.
    """
    fragments: list[bytes] = []
    starts: list[int] = []
    at = 0
    while at + 8 <= len(value) and value[at : at + 4] == ITEM:
        length = int.from_bytes(value[at + 4 : at + 8], "little")
        if at + 8 + length > len(value):
            return value
        starts.append(at)
        fragments.append(value[at + 8 : at + 8 + length])
        at += 8 + length
    if len(fragments) < 2 or (at != len(value) and value[at : at + 8] != SEQUENCE_DELIMITER):
        return value
    table, fragments = fragments[0], fragments[1:]
    first = starts[1]
    by_start = {start - first: fragment for start, fragment in zip(starts[1:], fragments, strict=True)}
    if all(fragments) and (not table or _is_right_table(table, by_start, frames)):
        return value
    streams = _streams_of_frames([fragment for fragment in fragments if fragment], frames)
    if streams is None:
        return value
    offsets, place, parts = [], 0, []
    for stream in streams:
        offsets.append(place)
        parts.append(_item(stream + b"\0" * (len(stream) % 2)))
        place += len(parts[-1])
    new_table = struct.pack(f"<{len(offsets)}L", *offsets) if place < 1 << 32 else b""
    return _item(new_table) + b"".join(parts)


def _is_right_table(table: bytes, fragments: Mapping[int, bytes], frames: int) -> bool:
    """Tell whether a Basic Offset Table names where each frame starts."""
    if len(table) != 4 * frames:
        return False
    offsets = struct.unpack(f"<{frames}L", table)
    ascending = all(offset < following for offset, following in pairwise(offsets))
    if offsets[0] != 0 or not ascending or not fragments.keys() >= set(offsets):
        return False
    # Of a codec whose streams can be told by their first bytes, an entry anywhere else points into a frame.
    starts_stream = _starts_stream(fragments[0])
    return all(_starts_stream(fragments[offset]) == starts_stream for offset in offsets)


def _starts_stream(fragment: bytes) -> bool:
    """Tell whether a fragment begins as a compressed stream, or an RLE header (PS3.5 G.5), does."""
    if fragment.startswith(_STREAM_STARTS):
        return True
    if len(fragment) < _RLE_HEADER:
        return False
    segments, first, *others = struct.unpack(f"<{_RLE_HEADER // 4}L", fragment[:_RLE_HEADER])
    return 1 <= segments <= 15 and first == _RLE_HEADER and not any(others[segments - 1 :])


def has_unknown_vrs(elements: Mapping[Any, Any], data: Buffer = b"") -> bool:
    """Tell whether elements in Explicit VR that pydicom has read have an unknown VR, at any depth.

    Parameters
    ----------
    elements
        As pydicom keeps them, by tag.
    data
        The bytes they were read from, if the reading of long values was deferred.
    """
    return any(_has_unknown_vr(element, data) for element in elements.values() if stands_in_data_sets(element.tag))


def _has_unknown_vr(element: Any, data: Buffer) -> bool:
    if isinstance(element, RawDataElement):
        if element.is_implicit_VR:  # in items of VR UN
            return False
        return element.VR not in VRS or (element.VR == "SQ" and not _is_regular(element, data))
    return element.VR == "SQ" and any(has_unknown_vrs(dict(item.items())) for item in element.value)


def _is_regular(element: RawDataElement, data: Buffer) -> bool:
    """Tell whether a sequence of defined length has no irregular items, or none that can be put right."""
    value = element.value
    if value is None:
        value = data[element.value_tell : element.value_tell + element.length]
    walk = _Walk(value, "<" if element.is_little_endian else ">", encapsulated=False)
    try:
        return not walk._items(0, len(value), False, walk.order, delimited=False)[2]
    except (IrregularError, struct.error, RecursionError):
        return True  # no sequence: it is carried as it stands


def are_fragments(value: bytes) -> bool:
    """Tell whether a value of encapsulated Pixel Data consists of fragments, as it must (PS3.5 A.4)."""
    at = 0
    while at + 8 <= len(value) and value[at : at + 4] == ITEM:
        at += 8 + int.from_bytes(value[at + 4 : at + 8], "little")
    return at == len(value)


def _streams_of_frames(fragments: Sequence[bytes], frames: int) -> list[bytes] | None:
    """Return the stream of each frame; ``None`` if they cannot be told apart."""
    if len(fragments) == frames:
        return list(fragments)
    streams: list[list[bytes]] = []
    for fragment in fragments:
        if not streams or _starts_stream(fragment):
            streams.append([])
        streams[-1].append(fragment)
    return [b"".join(parts) for parts in streams] if len(streams) == frames else None
