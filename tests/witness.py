"""An outside judge of a round trip: what differs between two series beyond what the rules allow.

It shares nothing with the package: files are parsed here, byte by byte, compressed pixels are decoded by
pydicom. It knows the rule table for unchanged pixels: identity ``derived`` changes the attributes that
:func:`_judge_derived` judges and no other, identity ``copy`` changes none. Pixels may stay compressed, byte for
byte; where they do not, they are those that pydicom decodes, within what decoders of a lossy stream differ.
"""

from __future__ import annotations

import re
import socket
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.pixels.utils import _get_jpg_parameters, get_j2k_parameters, pixel_array

_LATER = frozenset({
    "1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.111", "1.2.840.10008.1.2.4.112", "1.2.840.10008.1.2.8.1",
})  # fmt: skip


class Syntax(uid.UID):
    """A transfer syntax, one of those as well that pydicom does not know yet: all encapsulated, in Explicit VR."""

    @property
    def is_encapsulated(self) -> bool:
        return self in _LATER or super().is_encapsulated

    @property
    def is_implicit_VR(self) -> bool:  # noqa: N802
        return self not in _LATER and super().is_implicit_VR

    @property
    def is_little_endian(self) -> bool:
        return self in _LATER or super().is_little_endian

    @property
    def is_deflated(self) -> bool:
        return self not in _LATER and super().is_deflated


Identity = Literal["derived", "copy"]
PixelPath = Literal["", "itk", "itk-inverted", "source"]

_LONG = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
_WORD_BYTES = {
    "AT": 2, "FD": 8, "FL": 4, "OD": 8, "OF": 4, "OL": 4, "OV": 8, "OW": 2,
    "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8,
}  # fmt: skip
_TEXT = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PIXEL_DATA = 0x7FE00010
_DESCRIBES_COMPRESSION = frozenset({0x7FE00001, 0x7FE00002, 0x7FE00003})
_VRS = frozenset(vr.encode() for vr in (*_LONG, *_WORD_BYTES, *_TEXT))
_NATIVE = frozenset({uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian,
                     uid.DeflatedExplicitVRLittleEndian})  # fmt: skip
_COSINE = frozenset({uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit})
_MAYBE_REVERSIBLE = frozenset({uid.JPEG2000, uid.JPEG2000MC, uid.HTJ2K, "1.2.840.10008.1.2.4.112"})
_PLAIN_FRAMES, _DEFLATED_FRAMES = "1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.8.1"
_METHODS = {
    uid.JPEGBaseline8Bit: "ISO_10918_1",
    uid.JPEGExtended12Bit: "ISO_10918_1",
    uid.JPEGLSNearLossless: "ISO_14495_1",
    uid.JPEG2000: "ISO_15444_1",
    uid.JPEG2000MC: "ISO_15444_2",
    uid.HTJ2K: "ISO_15444_15",
    Syntax("1.2.840.10008.1.2.4.111"): "ISO_10918_1",
    Syntax("1.2.840.10008.1.2.4.112"): "ISO_18181_1",
    uid.MPEG4HP41: "ISO_14496_10",
}
"""What Lossy Image Compression Method says of a transfer syntax (PS3.3 C.7.6.1.1.5.1)."""
_ONLY_PRIMARY = frozenset({
    *(f"1.2.840.10008.5.1.4.1.1.77.1.5.{number}" for number in (1, 2, 5, 6)), uid.SegmentationStorage,
})  # fmt: skip
"""The Ophthalmic Photography and the Wide Field Ophthalmic Photography SOP Classes (PS3.3 C.8.17.2.1.4); C.8.20.2."""
_PRIMARY_CLASSES = frozenset({uid.PositronEmissionTomographyImageStorage, uid.NuclearMedicineImageStorage})

# ----------------------------------------------------------------------------------------------- parsing


@dataclass
class Node:
    """One element: value bytes in little endian, items, or fragments; ``vr`` is empty in Implicit VR."""

    vr: str
    value: bytes = b""
    items: list[dict[int, Node]] | None = None
    fragments: bool = False


Elements = dict[int, Node]


@dataclass
class File:
    """A parsed file; ``problems`` says what is wrong with its encoding."""

    path: Path
    meta: Elements
    data: Elements
    syntax: uid.UID
    preamble: bytes
    problems: list[str] = field(default_factory=list)

    def text(self, keyword: str) -> str:
        """Return the value of an attribute as ASCII text without padding; empty if absent."""
        node = self.data.get(_tag(keyword))
        return _plain(node.value).decode("ascii", "replace").strip() if node else ""

    def number(self, keyword: str) -> int:
        """Return an unsigned short; 0 if absent."""
        node = self.data.get(_tag(keyword))
        return int.from_bytes(node.value[:2], "little") if node else 0


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return tag


def _plain(value: bytes) -> bytes:
    return value.rstrip(b" \0")


@dataclass
class _Pair:
    source: File
    written: File
    native: File | None = None

    @property
    def kept(self) -> bool:
        """Whether the pixels were compressed and still are."""
        return self.source.syntax.is_encapsulated and self.written.syntax == self.source.syntax

    @property
    def decoded(self) -> bool:
        """Whether the pixels were compressed and are no longer."""
        return self.source.syntax.is_encapsulated and not self.kept

    def old(self, keyword: str) -> Node | None:
        return self.source.data.get(_tag(keyword))

    def new(self, keyword: str) -> Node | None:
        return self.written.data.get(_tag(keyword))

    def items(self, keyword: str) -> tuple[list[Elements], list[Elements]]:
        old, new = self.old(keyword), self.new(keyword)
        return (_items_of(old) or [] if old else []), (_items_of(new) or [] if new else [])


def _value(node: Node | None) -> bytes:
    return _plain(node.value) if node else b""


class _Parser:
    """Cuts an encoded data set into elements."""

    def __init__(self, data: bytes, problems: list[str]) -> None:
        self.data = data
        self.problems = problems

    def elements(
        self, start: int, stop: int, implicit: bool, big: bool, *, group: int = 0, delimited: bool = False
    ) -> tuple[Elements, int]:
        """Return the elements up to ``stop``, to the delimiter of the item, or to another ``group``."""
        order = ">" if big else "<"
        found: Elements = {}
        last = -1
        while start < stop:
            high, low = struct.unpack_from(order + "HH", self.data, start)
            tag = high << 16 | low
            if tag == _ITEM_END:
                self._expect_empty(start, order)
                return found, start + 8
            if group and high != group:
                return found, start
            if tag <= last:
                self.problems.append(f"{_name(tag)} stands after {_name(last)}")
            last = tag
            vr, length, start = self._head(start + 4, implicit, order)
            if length != _UNDEFINED and start + length > stop:
                raise ValueError(f"{_name(tag)} ends behind its data set")
            found[tag], start = self._node(tag, vr, length, start, stop, implicit, big)
        if delimited or start != stop:
            raise ValueError("an item or a data set has another length than it says")
        return found, start

    def _head(self, start: int, implicit: bool, order: str) -> tuple[str, int, int]:
        if implicit:
            return "", struct.unpack_from(order + "L", self.data, start)[0], start + 4
        vr = self.data[start : start + 2].decode("ascii", "replace")
        if vr in _LONG:
            if self.data[start + 2 : start + 4] != b"\0\0":
                self.problems.append(f"the reserved bytes after VR {vr} are not zero")
            return vr, struct.unpack_from(order + "L", self.data, start + 4)[0], start + 8
        return vr, struct.unpack_from(order + "H", self.data, start + 2)[0], start + 4

    def _node(
        self, tag: int, vr: str, length: int, start: int, stop: int, implicit: bool, big: bool
    ) -> tuple[Node, int]:
        if tag == _PIXEL_DATA and length == _UNDEFINED:
            end = self._fragments_end(start)
            return Node(vr, self.data[start:end], fragments=True), end
        nested = vr == "SQ" or length == _UNDEFINED or (not vr and _dictionary_vr(tag) == "SQ")
        if nested and (length == _UNDEFINED or self.data[start : start + 2] in (b"\xfe\xff", b"\xff\xfe", b"")):
            unknown = vr == "UN"
            end = stop if length == _UNDEFINED else start + length
            items, start = self._items(
                start, end, implicit or unknown, big and not unknown, delimited=length == _UNDEFINED
            )
            return Node(vr, b"", items), start
        value = self.data[start : start + length]
        return Node(vr, _little(value, vr) if big else value, [] if nested and not length else None), start + length

    def _items(
        self, start: int, stop: int, implicit: bool, big: bool, *, delimited: bool
    ) -> tuple[list[Elements], int]:
        order = ">" if big else "<"
        items: list[Elements] = []
        while start < stop:
            high, low, length = struct.unpack_from(order + "HHL", self.data, start)
            if delimited and high << 16 | low == _SEQUENCE_END:
                self._expect_empty(start, order)
                return items, start + 8
            if high << 16 | low != _ITEM:
                raise ValueError("a sequence holds something else than items")
            start += 8
            undefined = length == _UNDEFINED
            end = stop if undefined else start + length
            item, start = self.elements(start, end, implicit, big, delimited=undefined)
            items.append(item)
        if delimited or start != stop:
            raise ValueError("a sequence has another length than it says")
        return items, start

    def _expect_empty(self, start: int, order: str) -> None:
        if struct.unpack_from(order + "L", self.data, start + 4)[0]:
            self.problems.append("a delimiter has a length")

    def _fragments_end(self, start: int) -> int:
        while True:
            high, low, length = struct.unpack_from("<HHL", self.data, start)
            start += 8 + length
            if high << 16 | low == _SEQUENCE_END:
                return start


def _little(value: bytes, vr: str) -> bytes:
    size = _WORD_BYTES.get(vr, 1)
    return np.frombuffer(value, f">u{size}").astype(f"<u{size}").tobytes() if len(value) % size == 0 else value


def _dictionary_vr(tag: int) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return ""


def read(path: Path) -> File:
    """Parse a DICOM file whole; raises ValueError if it cannot be.

    Start and encoding are looked for: a source may lack preamble, prefix and File Meta Information, or claim another
    encoding than it has. That is among the ``problems``, and no file that was written may have any.
    """
    content = path.read_bytes()
    problems: list[str] = []
    first = 132 if content[128:132] == b"DICM" else 128 if len(content) > 128 and not any(content[:128]) else 0
    if first != 132:
        problems.append("no DICM prefix")
    try:
        meta, start = _meta(content, first, problems)
        claimed = Syntax(_plain(meta[0x00020010].value).decode("ascii")) if 0x00020010 in meta else None
        data, syntax = _opened(content[start:], claimed)
        if syntax != claimed:
            problems.append(f"the transfer syntax is said to be {claimed and claimed.name}, but it is {syntax.name}")
        big = not syntax.is_little_endian
        implicit = syntax.is_implicit_VR
        if syntax.is_encapsulated and data[4:6] not in _VRS:
            implicit = True
            problems.append("compressed pixels stand in Implicit VR")
        parsed, end = _Parser(data, problems).elements(0, len(data), implicit, big)
    except struct.error as error:
        raise ValueError(f"cannot be parsed ({error})") from error
    if end != len(data):
        problems.append("something follows the last element")
    return File(path, meta, parsed, Syntax(syntax), content[: min(first, 128)], problems)


def _meta(content: bytes, start: int, problems: list[str]) -> tuple[Elements, int]:
    """Return the File Meta Information, which may be missing, and where the data set begins."""
    if content[start : start + 2] != b"\2\0":
        problems.append("no File Meta Information")
        return {}, start
    meta, end = _Parser(content, problems).elements(start, len(content), implicit=False, big=False, group=2)
    stated = int.from_bytes(meta[0x00020000].value, "little") if 0x00020000 in meta else -1
    if start + 12 + stated != end:
        problems.append(f"File Meta Information Group Length is {stated}, not {end - start - 12}")
    return meta, end


def _opened(data: bytes, claimed: uid.UID | None) -> tuple[bytes, uid.UID]:
    """Return a data set as it is encoded, inflated, and its transfer syntax; its first element tells a false one."""
    if claimed is not None and claimed.is_deflated:
        try:
            return zlib.decompress(data, -zlib.MAX_WBITS), claimed
        except zlib.error:
            pass
    if claimed is not None and claimed not in _NATIVE:
        return data, claimed
    if data[4:6] not in _VRS:
        return data, uid.ImplicitVRLittleEndian
    return data, uid.ExplicitVRBigEndian if data[0] < data[1] else uid.ExplicitVRLittleEndian


# --------------------------------------------------------------------------------------------- comparing


def _name(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X}) {keyword_for_tag(tag)}".rstrip()


def _is_group_length(tag: int) -> bool:
    return tag & 0xFFFF == 0


def _same_value(tag: int, source: Node, written: Node) -> bool:
    """Tell whether two values are equal; of texts, the one pad byte does not count."""
    if source.value == written.value:
        return True
    if (source.vr or _dictionary_vr(tag)) not in _TEXT:
        return False
    return _unpadded(source.value) == _unpadded(written.value)


def _unpadded(value: bytes) -> bytes:
    return value[:-1] if value[-1:] in (b" ", b"\0") else value


def _items_of(node: Node) -> list[Elements] | None:
    """Return the items of a sequence, also where VR UN of defined length hides them."""
    if node.items is not None or node.vr != "UN" or node.value[:4] != b"\xfe\xff\x00\xe0":
        return node.items
    try:
        return _Parser(node.value, [])._items(0, len(node.value), True, False, delimited=False)[0]
    except (ValueError, struct.error):
        return None


def compare_elements(
    source: Elements, written: Elements, *, skip: frozenset[int] = frozenset(), where: str = ""
) -> Iterator[str]:
    """Yield what differs between two data sets or items, but for ``skip`` and group lengths that are gone."""
    for tag in sorted(source.keys() | written.keys()):
        if tag in skip:
            continue
        path = where + _name(tag)
        old, new = source.get(tag), written.get(tag)
        if old is None:
            yield f"{path} is added"
        elif new is None:
            if not _is_group_length(tag):
                yield f"{path} is lost"
        else:
            yield from _compare_nodes(tag, old, new, path)


def _compare_nodes(tag: int, old: Node, new: Node, path: str) -> Iterator[str]:
    if old.vr and new.vr and old.vr != new.vr:
        yield f"{path} has VR {new.vr}, not {old.vr}"
    items, others = old.items, new.items
    if (items is None) != (others is None):
        items, others = _items_of(old), _items_of(new)
    if items is None or others is None:
        if (items is None) != (others is None) and (old.value or new.value or items or others):
            yield f"{path} is not a sequence in both"
        elif not _same_value(tag, old, new):
            yield f"{path} is {new.value[:40]!r}, not {old.value[:40]!r}"
    elif len(items) != len(others):
        yield f"{path} has {len(others)} items, not {len(items)}"
    else:
        for number, (item, other) in enumerate(zip(items, others, strict=True)):
            yield from compare_elements(item, other, where=f"{path}[{number}].")


# ------------------------------------------------------------------------------------------------ pixels


def _stored_values(words: NDArray[np.generic], file: File) -> NDArray[np.generic]:
    """Return the values of pixel words: Bits Stored of them up to High Bit, sign-extended if they are signed."""
    allocated, stored = file.number("BitsAllocated"), file.number("BitsStored")
    if allocated == 1:
        return words.ravel()
    precision = _lossy_precision(file)
    if precision > max(stored, _high_bit(file) + 1):
        return _within_range(words.ravel().astype(np.int64), file, precision)
    kind = "i" if file.number("PixelRepresentation") else "u"
    shifted = np.left_shift(words.ravel().astype(f"<u{allocated // 8}"), max(0, allocated - 1 - _high_bit(file)))
    values: NDArray[np.generic] = np.right_shift(shifted.view(f"<{kind}{allocated // 8}"), allocated - stored)
    return values


def _lossy_precision(file: File) -> int:
    """Return the largest precision of the streams of pixels that lost something; 0 of others."""
    if not _is_lossy(file):
        return 0
    found = [_get_jpg_parameters(stream) or get_j2k_parameters(stream) for stream in _streams(file)]
    return max((int(one["precision"]) for one in found), default=0)


def _within_range(words: NDArray[np.int64], file: File, precision: int) -> NDArray[np.generic]:
    """Return the values that a lossy stream gives, none less or more than Bits Stored can hold (PS3.5 8.1.1)."""
    stored, low, values = file.number("BitsStored"), 0, words
    if file.number("PixelRepresentation"):
        low = -(1 << (stored - 1))
        negative = (words >> (precision - 1)) & 1
        values = (words & ((1 << precision) - 1)) - (negative << precision)
    return np.clip(values >> (_high_bit(file) + 1 - stored), low, low + (1 << stored) - 1)


def _high_bit(file: File) -> int:
    return file.number("HighBit") if _tag("HighBit") in file.data else file.number("BitsStored") - 1


def _shape(file: File) -> tuple[int, int, int, int]:
    """Return frames, rows, columns, and samples per pixel: two of native YBR_FULL_422, Y and Cb or Cr."""
    samples = max(1, file.number("SamplesPerPixel"))
    native = not file.syntax.is_encapsulated or _holds_native_frames(file)
    if file.text("PhotometricInterpretation").endswith("_422") and native:
        samples = 2
    return int(file.text("NumberOfFrames") or 1), file.number("Rows"), file.number("Columns"), samples


def _native_words(file: File) -> NDArray[np.generic]:
    """Return the pixel words, colour by pixel."""
    value, shape, bits = file.data[_PIXEL_DATA].value, _shape(file), file.number("BitsAllocated")
    count = int(np.prod(shape))
    if bits == 1:
        unpacked = np.unpackbits(np.frombuffer(value, "u1"), bitorder="little")
        if unpacked.size < count:
            raise ValueError("too few pixels")
        return unpacked[:count]
    words: NDArray[Any] = np.frombuffer(value, f"<u{bits // 8}", count)
    if shape[3] == 3 and file.number("PlanarConfiguration") == 1:
        frames, rows, columns, samples = shape
        words = np.moveaxis(words.reshape(frames, samples, rows, columns), 1, 3)
    return words.ravel()


def _decoded_words(file: File) -> NDArray[np.generic]:
    """Return the words of compressed pixels, colour by pixel, as pydicom decodes them: YBR_FULL stays YBR_FULL."""
    if _holds_native_frames(file):
        return np.concatenate([_native_words(_native(file, stream)) for stream in _fragments(file)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(file.path, force=True)
        if file.syntax != uid.RLELossless and "PlanarConfiguration" in dataset:
            dataset.PlanarConfiguration = 0  # the stream says how it interleaves its colours, not the header
        words = pixel_array(dataset, raw=True, correct_unused_bits=False)
    return words.ravel()


def _holds_native_frames(file: File) -> bool:
    """Tell whether each fragment is a native frame: plain, deflated, or the bits of one in RLE (PS3.5 A.4, G)."""
    bits = file.syntax == uid.RLELossless and file.number("BitsAllocated") == 1
    return file.syntax in (_PLAIN_FRAMES, _DEFLATED_FRAMES) or bits


def _native(file: File, stream: bytes) -> File:
    """Return a file of one native frame, which is that of a fragment."""
    if file.syntax == _DEFLATED_FRAMES:
        stream = zlib.decompressobj(-zlib.MAX_WBITS).decompress(stream)
    elif file.syntax == uid.RLELossless:
        stream = _packbits(stream[int.from_bytes(stream[4:8], "little") :])
    data = {**file.data, _PIXEL_DATA: Node("OB", stream)}
    data.pop(_tag("NumberOfFrames"), None)
    return replace(file, data=data, syntax=Syntax(uid.ExplicitVRLittleEndian))


def _packbits(segment: bytes) -> bytes:
    """Return the bytes of a segment of RLE (PS3.5 G.3.1)."""
    parts, left = [], segment
    while len(left) > 1:
        if left[0] < 128:
            parts.append(left[1 : left[0] + 2])
            left = left[left[0] + 2 :]
        else:
            parts.append(left[1:2] * (257 - left[0]) if left[0] > 128 else b"")
            left = left[2:] if left[0] > 128 else left[1:]
    return b"".join(parts)


def _codestream(file: File) -> bytes:
    """Return all fragments of the pixels but for the offset table."""
    return b"".join(_fragments(file))


def _fragments(file: File) -> list[bytes]:
    value, parts, start = file.data[_PIXEL_DATA].value, [], 0
    while start < len(value):
        tag, length = struct.unpack_from("<LL", value, start)
        if tag != 0xE000FFFE:
            break
        parts.append(value[start + 8 : start + 8 + length])
        start += 8 + length
    return parts[1:]


def _streams(file: File) -> list[bytes]:
    """Return the streams of JPEG, JPEG-LS and JPEG 2000 in the pixels, each whole."""
    streams: list[bytes] = []
    for fragment in _fragments(file):
        if not streams or fragment.startswith((b"\xff\xd8\xff", b"\xff\x4f\xff")):
            streams.append(fragment)
        else:
            streams[-1] += fragment
    return [stream for stream in streams if stream.startswith((b"\xff\xd8\xff", b"\xff\x4f\xff"))]


def _method(stream: bytes) -> str:
    """Return the Lossy Image Compression Method of a stream that loses something; empty if it loses nothing.

    It loses by the wavelet that does not come back (ISO 15444-1 A.6.1), by NEAR (ISO 14495-1 C.2.3), or by any
    process but the lossless ones (ISO 10918-1 B.1.1.3).
    """
    if stream.startswith(b"\xff\x4f"):
        return "" if stream[stream.find(b"\xff\x52") + 13] else "ISO_15444_1"
    near = _get_jpg_parameters(stream).get("lossy_error")
    if near is not None:
        return "ISO_14495_1" if near else ""
    process = re.search(rb"\xff[\xc0-\xc3]\x00[\x0b\x11]", stream)
    return "" if process is not None and process[0][1] == 0xC3 else "ISO_10918_1"


def _is_lossy(file: File) -> bool:
    """Tell whether the pixels lost something: as their streams say; else as the header, or the syntax does."""
    if not file.syntax.is_encapsulated or _PIXEL_DATA not in file.data:
        return False
    streams = _streams(file)
    if any(map(_method, streams)):
        return True
    if streams:
        return file.syntax in _METHODS and file.text("LossyImageCompression") == "01"
    if file.syntax in _MAYBE_REVERSIBLE:
        return file.text("LossyImageCompression") != "00"
    return file.syntax in _METHODS


def _lossy_method(file: File) -> str:
    known = [method for method in map(_method, _streams(file)) if method]
    if file.syntax in (uid.JPEG2000MC, uid.JPEG2000MCLossless):
        return "ISO_15444_2"
    return known[0] if known else _METHODS[file.syntax]


def _is_transformed(file: File) -> bool:
    """Tell whether whoever decodes the pixels makes RGB of them."""
    photometric = file.text("PhotometricInterpretation")
    return file.syntax.is_encapsulated and (
        photometric in ("YBR_RCT", "YBR_ICT") or (photometric.startswith("YBR") and file.syntax in _COSINE)
    )


def _needs_every_bit(file: File) -> bool:
    """Tell whether bits beside the stored values mean something, or the values lie where others expect none."""
    embedded = any(tag >> 16 in range(0x6000, 0x6020, 2) and tag & 0xFFFF == 0x0102 and any(node.value)
                   for tag, node in file.data.items())  # fmt: skip
    return embedded or _high_bit(file) != file.number("BitsStored") - 1


def _halvings(file: File) -> tuple[int, int]:
    """Return how many rows and columns of a JPEG share one chrominance (ISO 10918-1 B.2.2)."""
    found = re.search(rb"\xff[\xc0\xc1]\x00\x11.{6}.(.)..(.)", _codestream(file), re.DOTALL)
    if found is None:
        return 1, 1
    luminance, chrominance = found[1][0], found[2][0]
    return (luminance & 15) // (chrominance & 15), (luminance >> 4) // (chrominance >> 4)


Colours = NDArray[np.float64]


def _rgb(words: NDArray[np.generic], file: File) -> tuple[Colours, Colours, Colours]:
    """Return the RGB of YBR_FULL words, and the least and the largest that a decoder may make of them.

    Each of the three components may be off by one before the colours are computed; a chrominance that several
    pixels share is that of this pixel or of a neighbour, or anything between.
    """
    centre = 1 << (file.number("BitsStored") - 1)
    components = words.reshape(_shape(file)).astype(np.float64) - [0, centre, centre]
    low, high = components - 1, components + 1
    for axis, factor in zip((1, 2), _halvings(file), strict=True):
        places = np.arange(components.shape[axis])
        for step in range(-factor, factor + 1) if factor > 1 else ():
            near = np.take(components[..., 1:], np.clip(places + step, 0, places[-1]), axis)
            low[..., 1:] = np.minimum(low[..., 1:], near - 1)
            high[..., 1:] = np.maximum(high[..., 1:], near + 1)
    matrix = np.array([[1, 1, 1], [0, -0.344136, 1.772], [1.402, -0.714136, 0]])
    positive, negative = np.maximum(matrix, 0), np.minimum(matrix, 0)
    least, largest = low @ positive + high @ negative, high @ positive + low @ negative
    made = [np.clip(one, 0, 2 * centre - 1).ravel() for one in (components @ matrix, np.floor(least), np.ceil(largest))]
    return made[0], made[1], made[2]


_MEAN_DIFFERENCE = 0.5
"""How far decoders of one lossy stream may be apart in the mean of all pixels, in steps of the stored values."""


def _judge_pixels(pair: _Pair, identity: Identity, path: PixelPath) -> Iterator[str]:
    source, written = pair.source, pair.written
    if _PIXEL_DATA not in source.data or _PIXEL_DATA not in written.data:
        return  # lost or added: said already
    old, new = source.data[_PIXEL_DATA], written.data[_PIXEL_DATA]
    name = _name(_PIXEL_DATA)
    if not source.syntax.is_encapsulated:
        if old.vr and old.vr != new.vr:
            yield f"{name} has VR {new.vr}, not {old.vr}"
        if source.syntax.is_little_endian and old.value != new.value:
            yield f"{name} is not the same bytes"
    elif pair.kept:
        if path.startswith("itk"):
            yield f"{name} is still compressed"
        if new.value != old.value or new.vr not in ("OB", old.vr) or not new.fragments:
            yield f"{name} is compressed, but not the same bytes"
        return
    else:
        kept = path == "source" and not _holds_native_frames(source)
        if kept or (identity == "copy" and (_is_lossy(source) or _is_transformed(source))):
            yield f"{name} is no longer compressed"
        yield from _judge_description(pair)
    yield from _judge_samples(pair)


def _judge_description(pair: _Pair) -> Iterator[str]:
    """Judge what describes pixels that were compressed: length, VR, colour model and order of the samples."""
    source, written = pair.source, pair.written
    new, name, bits = written.data[_PIXEL_DATA], _name(_PIXEL_DATA), source.number("BitsAllocated")
    for tag in sorted(_DESCRIBES_COMPRESSION & written.data.keys()):
        yield f"{_name(tag)} describes a compression that is gone"
    if new.vr not in ({"OW"} if bits > 8 else {"OB", "OW"}) and not written.syntax.is_implicit_VR:
        yield f"{name} of {bits} bits has VR {new.vr}"
    size = -(-int(np.prod(_shape(source))) * bits // 8)
    if len(new.value) != size + size % 2:
        yield f"{name} has {len(new.value)} bytes, not {size + size % 2}"
    if source.number("SamplesPerPixel") < 2:
        return
    wanted = "RGB" if _is_transformed(source) else source.text("PhotometricInterpretation")
    if written.text("PhotometricInterpretation") != wanted:
        yield f"PhotometricInterpretation is {written.text('PhotometricInterpretation')}, not {wanted}"
    planar = {0} if _is_transformed(source) or _is_lossy(source) else {0, source.number("PlanarConfiguration")}
    if _tag("PlanarConfiguration") not in written.data or written.number("PlanarConfiguration") not in planar:
        yield f"PlanarConfiguration is not {min(planar)}"


def _judge_samples(pair: _Pair) -> Iterator[str]:
    """Judge the samples: the same stored values, or those that a decoder may make of a lossy stream."""
    source, written, name = pair.source, pair.written, _name(_PIXEL_DATA)
    try:
        if pair.native is not None:
            words = _native_words(pair.native)
        else:
            words = _decoded_words(source) if source.syntax.is_encapsulated else _native_words(source)
        expected = _stored_values(words, source)
    except Exception as error:  # no decoder, or one that fails
        yield f"{name} of the source cannot be decoded ({type(error).__name__})"
        return
    try:
        found = _native_words(written)
        values = _stored_values(found, written)
    except (ValueError, TypeError, OverflowError):  # a description of the pixels that cannot be
        values = expected[:0]
    if values.shape != expected.shape:
        yield f"{name} has {values.size} pixels, not {expected.size}"
        return
    if source.syntax == uid.RLELossless and _needs_every_bit(source):
        differ = words.view(found.dtype) != found
    elif pair.native is not None or not _is_lossy(source):
        differ = expected != values
    else:
        nominal = low = high = expected.astype(np.float64)
        if _is_transformed(source) and source.syntax in _COSINE:
            nominal, low, high = _rgb(words, source)
        elif _lossy_method(source) != "ISO_14495_1":
            low, high = nominal - 1, nominal + 1
        made = values.astype(np.float64)
        differ = (made < low) | (made > high)
        shift = (made - nominal).reshape(-1, max(1, source.number("SamplesPerPixel"))).mean(axis=0)
        if np.abs(shift).max() > _MEAN_DIFFERENCE:
            yield f"{name}: the stored values differ by {shift} in the mean"
    if differ.any():
        yield f"{name}: {np.count_nonzero(differ)} of {expected.size} stored values differ"


# -------------------------------------------------------------------------------------------- derived rules

_REMOVED = frozenset(
    map(_tag, (
        "LengthToEnd", "InstanceCreatorUID", "InstanceCoercionDateTime", "QueryRetrieveView",
        "AlternateRepresentationSequence", "ConversionSourceAttributesSequence", "SOPInstanceStatus",
        "SOPAuthorizationDateTime", "SOPAuthorizationComment", "AuthorizationEquipmentCertificationNumber",
        "EncryptedAttributesSequence", "MACParametersSequence", "DigitalSignaturesSequence",
        "DataSetTrailingPadding",
    ))
)  # fmt: skip
_CHANGED = (
    "ImageType", "InstanceCreationDate", "InstanceCreationTime", "SOPInstanceUID", "SeriesDescription",
    "ReferencedSeriesSequence", "DerivationDescription", "SourceImageSequence",
    "ContributingEquipmentSequence", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber",
)  # fmt: skip
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_SERIES_TIME = ("SeriesDate", "SeriesTime")
_REFERRING = (
    "ReferencedImageSequence",
    "ReferencedInstanceSequence",
    "SourceImageSequence",
    "SourceInstanceSequence",
)
_REFERENCE = ("ReferencedSOPClassUID", "ReferencedSOPInstanceUID")
_SUFFIX_ROOM = 6
"""Characters that may stay unused where a text had to be shortened: spaces at the cut, escape sequences."""


def _is_primary(file: File) -> bool:
    return file.text("Modality") in ("PT", "NM") or file.text("SOPClassUID") in _PRIMARY_CLASSES


def _decoded(value: bytes, file: File) -> str:
    names = file.text("SpecificCharacterSet").split("\\")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return decode_bytes(_plain(value), convert_encodings(names), set(b"\\\n\r\t\f"))


def _text_of(item: Elements, keyword: str) -> str:
    node = item.get(_tag(keyword))
    return _plain(node.value).decode("ascii", "replace").strip() if node else ""


def _code_of(item: Elements, keyword: str) -> list[tuple[str, str, str]]:
    node = item.get(_tag(keyword))
    names = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
    return [(_text_of(one, names[0]), _text_of(one, names[1]), _text_of(one, names[2]))
            for one in (node.items or [] if node else [])]  # fmt: skip


def _judge_derived(pair: _Pair) -> Iterator[str]:
    """Yield what is wrong with one derived instance but for what concerns the series as a whole."""
    keywords = [*_CHANGED, *(() if _is_primary(pair.source) else _SERIES_TIME), *_GROUPS]
    keywords += _LOSSY if _is_lossy(pair.source) else ()
    keywords += ("SourceImageEvidenceSequence",) if _is_enhanced(pair.source) else ()
    changed = frozenset(map(_tag, keywords))
    yield from compare_elements(pair.source.data, pair.written.data, skip=_skip(pair) | changed | _REMOVED)
    for tag in sorted(pair.written.data):
        if tag in _REMOVED or _is_group_length(tag):
            yield f"{_name(tag)} is not removed"
        elif tag in changed and pair.written.data[tag].vr not in _vrs(tag, pair.source.data.get(tag)):
            yield f"{_name(tag)} has VR {pair.written.data[tag].vr}"
    for judge in (_image_type, _creation, _series_description, _derivation_description, _source_images,
                  _equipment, _referenced_series, _derived_uids, _lossy, _functional_groups, _evidence):  # fmt: skip
        yield from judge(pair)


def _vrs(tag: int, source: Node | None) -> set[str]:
    """Return the VRs that a changed attribute may have: none (implicit), its own, or that of the source."""
    return {"", _dictionary_vr(tag), source.vr if source else ""}


def _skip(pair: _Pair) -> frozenset[int]:
    """Return the tags that :func:`_judge_pixels` judges: pixels, and what describes them where they are decoded."""
    pixels = {_PIXEL_DATA} & pair.source.data.keys() & pair.written.data.keys()
    if not pair.decoded:
        return frozenset(pixels)
    colour = ("PhotometricInterpretation", "PlanarConfiguration") if pair.source.number("SamplesPerPixel") > 1 else ()
    return frozenset(pixels) | _DESCRIBES_COMPRESSION | frozenset(map(_tag, colour))


def _is_enhanced(file: File) -> bool:
    return any(_tag(keyword) in file.data for keyword in _GROUPS)


def _evidence(pair: _Pair) -> Iterator[str]:
    """Source Image Evidence: the source's items, then one with study, series and instance of the source."""
    keyword = "SourceImageEvidenceSequence"
    if not _is_enhanced(pair.source) or not pair.source.text("SOPInstanceUID"):
        return
    old, new = pair.items(keyword)
    if len(new) != len(old) + 1:
        yield f"{keyword} has {len(new)} items, not {len(old) + 1}"
        return
    for number, (before, after) in enumerate(zip(old, new, strict=False)):
        yield from compare_elements(before, after, where=f"{keyword}[{number}].")
    series = _items_of(new[-1][_tag("ReferencedSeriesSequence")]) or []
    instances = _items_of(series[0][_tag("ReferencedSOPSequence")]) or [] if series else []
    told = [_text_of(new[-1], "StudyInstanceUID"), *(_text_of(one, "SeriesInstanceUID") for one in series)]
    told += [_text_of(one, word) for one in instances for word in _REFERENCE]
    words = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
    if told != [pair.source.text(word) for word in words]:
        yield f"{keyword}[-1] does not name the source"


def _image_type(pair: _Pair) -> Iterator[str]:
    old, new = pair.old("ImageType"), pair.new("ImageType")
    values = _plain(old.value).split(b"\\") if old else []
    only_primary = _is_primary(pair.source) or pair.source.text("SOPClassUID") in _ONLY_PRIMARY
    second = [b"PRIMARY" if only_primary else b"SECONDARY"]
    if _is_enhanced(pair.source):
        second = values[1:2]
    expected = b"\\".join([b"DERIVED", *second, *values[2:]])
    value = _plain(new.value) if new else b""
    if value != _plain(expected):
        yield f"ImageType is {value!r}, not {expected!r}"


def _moment(file: File, name: str) -> tuple[str, str]:
    return file.text(f"{name}Date"), file.text(f"{name}Time")


def _creation(pair: _Pair) -> Iterator[str]:
    """Instance Creation and Series Date and Time: new, valid, and in the offset of the source."""
    for name in ("InstanceCreation",) if _is_primary(pair.source) else ("InstanceCreation", "Series"):
        date, time = _moment(pair.written, name)
        if not re.fullmatch(r"\d{8}", date) or not re.fullmatch(r"\d{6}(\.\d{1,6})?", time):
            yield f"{name}Date and Time are {date!r} and {time!r}"
            continue
        if (date, time) == _moment(pair.source, name):
            yield f"{name}Date and Time are those of the source"
        _, items = pair.items("ContributingEquipmentSequence")
        contributed = _text_of(items[-1], "ContributionDateTime") if items else ""
        if re.fullmatch(r"\d{14}(\.\d+)?[+-]\d{4}", contributed):
            offset = pair.source.text("TimezoneOffsetFromUTC")
            offset = offset if re.fullmatch(r"[+-]\d{4}", offset) else contributed[-5:]
            here, there = _aware(date + time[:6], offset), _aware(contributed[:14], contributed[-5:])
            if here is None or there is None or abs(here - there) > timedelta(minutes=10):
                yield f"{name}Date and Time are not those of the contribution in the offset {offset}"


def _aware(text: str, offset: str) -> datetime | None:
    try:
        return datetime.strptime(text + offset, "%Y%m%d%H%M%S%z")
    except ValueError:
        return None


def _series_description(pair: _Pair) -> Iterator[str]:
    """Judge: the old text or its beginning, a space, and a suffix; at most 64 characters."""
    old, new = pair.old("SeriesDescription"), pair.new("SeriesDescription")
    if new is None or not _plain(new.value):
        yield "SeriesDescription is empty"
        return
    before, after = _plain(old.value) if old else b"", _plain(new.value)
    text, was = _decoded(after, pair.source), _decoded(before, pair.source)
    if len(text) > 64:
        yield f"SeriesDescription has {len(text)} characters"
    if "\ufffd" in text and "\ufffd" not in was:
        yield "SeriesDescription does not fit its character set"
    if not before:
        return
    if after == before and was.endswith("ITK round trip"):
        return  # of a source that is itself the output of one
    if after.startswith(before):
        suffix = after[len(before) :]
        if not re.fullmatch(rb" [ -\[\]-~]+", suffix):
            yield f"SeriesDescription ends in {suffix!r}"
        return
    kept = _common(text, was)
    suffix_text = text[kept:].strip()
    if not kept or not suffix_text.isascii() or not suffix_text:
        yield "SeriesDescription does not begin with the old text"
    elif len(was) + 1 + len(suffix_text) <= 64 or len(text) < 64 - _SUFFIX_ROOM:
        yield "SeriesDescription is shortened more than it must be"


def _common(first: str, second: str) -> int:
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b),
        min(len(first), len(second)),
    )


def _derivation_description(pair: _Pair) -> Iterator[str]:
    """Judge: the old text, or `...` and its end, and what was done; at most 1024 characters."""
    old, new = pair.old("DerivationDescription"), pair.new("DerivationDescription")
    text = _decoded(new.value, pair.source) if new else ""
    was = _decoded(old.value, pair.source) if old else ""
    yield from _operation(pair, text.removeprefix(was), "DerivationDescription")
    if len(text) > 1024:
        yield f"DerivationDescription has {len(text)} characters"
    if not was or (old is not None and new is not None and new.value.startswith(_plain(old.value))):
        return
    tail = text.removeprefix("...")
    if tail == text or not any(was.endswith(tail[:count]) for count in range(10, len(tail))):
        yield "DerivationDescription has lost the old text"
    elif len(text) < 1024 - _SUFFIX_ROOM:
        yield "DerivationDescription is shortened more than it must be"


def _operation(pair: _Pair, text: str, where: str) -> Iterator[str]:
    """Judge what a text says of the pixels: unchanged, or by what they were decoded, and into what."""
    unchanged, source = "stored values unchanged", pair.source
    photometric = source.text("PhotometricInterpretation")
    if not pair.decoded or not (_is_lossy(source) or _is_transformed(source)):
        if unchanged not in text:
            yield f"{where} does not say `{unchanged}`"
    elif not _is_lossy(source):
        if f"{photometric} decoded to RGB" not in text:
            yield f"{where} does not say `{photometric} decoded to RGB`"
    elif not _is_transformed(source):
        if unchanged not in text and "decoded by" not in text:
            yield f"{where} says neither `decoded by` nor `{unchanged}`"
    elif "decoded by" not in text or unchanged in text:
        yield f"{where} says `{unchanged}`, or not `decoded by`, of {photometric} that became RGB"


def _lossy(pair: _Pair) -> Iterator[str]:
    """Judge: pixels that were compressed with loss say so, with ratio and method, which are kept or added."""
    if not _is_lossy(pair.source):
        return  # nothing may differ: said already
    flag, ratio, method = _LOSSY
    if pair.written.text(flag) != "01":
        yield f"{flag} is {pair.written.text(flag)!r}, not '01'"
    if pair.source.text(method):
        yield from compare_elements(*({_tag(method): one.data[_tag(method)]} if _tag(method) in one.data else {}
                                      for one in (pair.source, pair.written)))  # fmt: skip
    elif pair.written.text(method) != _lossy_method(pair.source):
        yield f"{method} is {pair.written.text(method)!r}, not {_lossy_method(pair.source)!r}"
    if pair.source.text(ratio):
        yield from compare_elements(*({_tag(ratio): one.data[_tag(ratio)]} if _tag(ratio) in one.data else {}
                                      for one in (pair.source, pair.written)))  # fmt: skip
        return
    try:
        stated = float(pair.written.text(ratio))
    except ValueError:
        stated = 0.0
    if _PIXEL_DATA not in pair.source.data:
        return
    bits = int(np.prod(_shape(pair.source))) / len(_codestream(pair.source))
    right = [bits * pair.source.number(keyword) / 8 for keyword in ("BitsAllocated", "BitsStored")]
    if not any(0.9 * one < stated < 1.1 * one for one in right):
        yield f"{ratio} is {pair.written.text(ratio)!r}, not {right[0]:.4g}"


def _extends(pair: _Pair, keyword: str, added: int) -> Iterator[str]:
    """Judge that a sequence keeps its old items first and has ``added`` more."""
    old, new = pair.items(keyword)
    if len(new) != len(old) + added:
        yield f"{keyword} has {len(new)} items, not {len(old)} + {added}"
        return
    for number, (item, other) in enumerate(zip(old, new, strict=False)):
        yield from compare_elements(item, other, where=f"{keyword}[{number}].")


def _only(item: Elements, where: str, *keywords: str) -> Iterator[str]:
    for tag in sorted(item.keys() ^ set(map(_tag, keywords))):
        yield f"{where} {'holds' if tag in item else 'lacks'} {_name(tag)}"
    yield from _foreign_vrs(item, where)


def _foreign_vrs(elements: Elements, where: str) -> Iterator[str]:
    """Yield the elements, in items too, whose VR is not that of the dictionary."""
    for tag, node in elements.items():
        if node.vr not in ("", _dictionary_vr(tag)):
            yield f"{where} {_name(tag)} has VR {node.vr}"
        for item in node.items or ():
            yield from _foreign_vrs(item, where)


def _source_images(pair: _Pair) -> Iterator[str]:
    name = "SourceImageSequence"
    instance = pair.source.text("SOPInstanceUID")
    yield from _extends(pair, name, 1 if instance else 0)
    _, new = pair.items(name)
    if not instance:
        if pair.new(name) is not None and pair.old(name) is None:
            yield f"{name} is added, but the source has no UID to refer to"
        return
    if new:
        yield from _source_image(new[-1], pair, f"{name}[-1]", {})


_DERIVATION = _tag("DerivationImageSequence")
_FRAME_TYPE = _tag("FrameType")


def _functional_groups(pair: _Pair) -> Iterator[str]:
    """Judge: groups keep every byte, but Frame Type says DERIVED, and a derivation is added as the last item.

    It is added to each frame; to the shared groups where only these have one, as a functional group must not stand
    in both (PS3.3 C.7.6.16.1.1).
    """
    shared, frames = (pair.items(keyword)[0] for keyword in _GROUPS)
    in_shared = not any(_DERIVATION in one for one in frames) and any(_DERIVATION in one for one in shared)
    in_shared |= not frames
    for keyword in _GROUPS:
        old_node, new_node = pair.old(keyword), pair.new(keyword)
        if old_node is None or new_node is None or old_node.items is None or new_node.items is None:
            yield from compare_elements(*({_tag(keyword): node} if node else {} for node in (old_node, new_node)))
            continue
        if old_node.vr and new_node.vr and old_node.vr != new_node.vr:
            yield f"{keyword} has VR {new_node.vr}, not {old_node.vr}"
        if len(old_node.items) != len(new_node.items):
            yield f"{keyword} has {len(new_node.items)} items, not {len(old_node.items)}"
            continue
        adds = (keyword == _GROUPS[0]) == in_shared and bool(pair.source.text("SOPInstanceUID"))
        for number, (old, new) in enumerate(zip(old_node.items, new_node.items, strict=True)):
            where = f"{keyword}[{number}]."
            skip = frozenset({_DERIVATION}) if adds else frozenset()
            yield from compare_elements(_of_derived_frames(old), new, skip=skip, where=where)
            if adds:
                yield from _frame_derivation(pair, old, new, 0 if in_shared else number + 1, where)


def _of_derived_frames(item: Elements) -> Elements:
    """Return an item with DERIVED as the first value of every Frame Type."""
    made: Elements = {}
    for tag, node in item.items():
        made[tag] = node
        if tag == _FRAME_TYPE:
            made[tag] = replace(node, value=b"\\".join([b"DERIVED", *_plain(node.value).split(b"\\")[1:]]))
        elif node.items is not None:
            made[tag] = replace(node, items=[_of_derived_frames(one) for one in node.items])
    return made


def _frame_derivation(pair: _Pair, old: Elements, new: Elements, frame: int, where: str) -> Iterator[str]:
    """Judge the Derivation Image Sequence of a frame: old items, and one that refers to that frame of the source."""
    where += "DerivationImageSequence"
    before, after = ((_items_of(one[_DERIVATION]) or []) if _DERIVATION in one else [] for one in (old, new))
    if len(after) != len(before) + 1:
        yield f"{where} has {len(after)} items, not {len(before)} + 1"
        return
    for number, (item, other) in enumerate(zip(before, after, strict=False)):
        yield from compare_elements(item, other, where=f"{where}[{number}].")
    ours, where = after[-1], f"{where}[-1]"
    yield from _only(ours, where, "DerivationDescription", "DerivationCodeSequence", "SourceImageSequence")
    yield from _operation(pair, _text_of(ours, "DerivationDescription"), f"{where}.DerivationDescription")
    codes = _code_of(ours, "DerivationCodeSequence")
    if len(codes) != 1 or not all(codes[0]):
        yield f"{where} has the derivation codes {codes}"
    sources = ours[_tag("SourceImageSequence")].items or [] if _tag("SourceImageSequence") in ours else []
    if len(sources) != 1:
        yield f"{where} has {len(sources)} source images"
        return
    number_of_frame = {"ReferencedFrameNumber": str(frame)} if frame else {}
    yield from _source_image(sources[0], pair, f"{where}.SourceImageSequence[0]", number_of_frame)


def _source_image(ours: Elements, pair: _Pair, where: str, more: dict[str, str]) -> Iterator[str]:
    """Judge an item that refers to the source, with ``more`` elements besides the usual."""
    expected = {
        "ReferencedSOPClassUID": pair.source.text("SOPClassUID"),
        "ReferencedSOPInstanceUID": pair.source.text("SOPInstanceUID"),
        "SpatialLocationsPreserved": "YES",
        **more,
    }
    yield from _only(ours, where, *expected, "PurposeOfReferenceCodeSequence")
    for keyword, value in expected.items():
        if _text_of(ours, keyword) != value:
            yield f"{where}.{keyword} is {_text_of(ours, keyword)!r}, not {value!r}"
    codes = _code_of(ours, "PurposeOfReferenceCodeSequence")
    if codes != [("121322", "DCM", "Source image for image processing operation")]:
        yield f"{where} has the purpose {codes}"


def _equipment(pair: _Pair) -> Iterator[str]:
    name = "ContributingEquipmentSequence"
    yield from _extends(pair, name, 1)
    _, new = pair.items(name)
    if not new:
        return
    ours = new[-1]
    yield from _only(ours, f"{name}[-1]", "Manufacturer", "ContributionDateTime", "ContributionDescription",
                     "PurposeOfReferenceCodeSequence")  # fmt: skip
    codes = _code_of(ours, "PurposeOfReferenceCodeSequence")
    if codes != [("109102", "DCM", "Processing Equipment")]:
        yield f"{name}[-1] has the purpose {codes}"
    if not _text_of(ours, "Manufacturer"):
        yield f"{name}[-1].Manufacturer is empty"
    if not re.fullmatch(r"\d{14}(\.\d{1,6})?[+-]\d{4}", _text_of(ours, "ContributionDateTime")):
        yield f"{name}[-1].ContributionDateTime is {_text_of(ours, 'ContributionDateTime')!r}"
    if len(_text_of(ours, "ContributionDescription")) > 1024:
        yield f"{name}[-1].ContributionDescription is too long"
    for node in ours.values():
        for secret in (socket.gethostname(), str(pair.written.path.parent), str(pair.source.path.parent)):
            if len(secret) > 4 and secret.encode() in node.value:
                yield f"{name}[-1] names the machine or a folder"


def _instances(item: Elements) -> list[Elements]:
    node = item.get(_tag("ReferencedInstanceSequence"))
    return _items_of(node) or [] if node else []


def _referenced_series(pair: _Pair) -> Iterator[str]:
    """Judge: items of other series stay, that of the source series lists its instance, old entries first."""
    name = "ReferencedSeriesSequence"
    series, instance = pair.source.text("SeriesInstanceUID"), pair.source.text("SOPInstanceUID")
    old, new = pair.items(name)
    if not series or not instance:
        yield from _extends(pair, name, 0)
        return
    own = [one for one in new if _text_of(one, "SeriesInstanceUID") == series]
    if len(own) != 1:
        yield f"{name} has {len(own)} items of the source series"
        return
    index = next((i for i, one in enumerate(old) if _text_of(one, "SeriesInstanceUID") == series), len(old))
    if len(new) != max(len(old), index + 1) or new[index] is not own[0]:
        yield f"{name} has other items than before"
        return
    for number, item in enumerate(old):
        skip = frozenset({_tag("ReferencedInstanceSequence")}) if number == index else frozenset()
        yield from compare_elements(item, new[number], skip=skip, where=f"{name}[{number}].")
    if index == len(old):
        yield from _only(own[0], f"{name}[{index}]", "SeriesInstanceUID", "ReferencedInstanceSequence")
    kept = _instances(old[index]) if index < len(old) else []
    listed = _instances(own[0])
    if len(listed) < len(kept):
        yield f"{name}[{index}] has lost an instance"
    for number, (item, other) in enumerate(zip(kept, listed, strict=False)):
        yield from compare_elements(item, other, where=f"{name}[{index}] instance {number}: ")
    for item in listed[len(kept) :]:
        yield from _only(item, f"{name}[{index}]", *_REFERENCE)
    after = [(_text_of(one, _REFERENCE[0]), _text_of(one, _REFERENCE[1])) for one in listed]
    if (pair.source.text("SOPClassUID"), instance) not in after:
        yield f"{name}[{index}] does not list the source instance"
    if len(set(after)) != len(after):
        yield f"{name}[{index}] lists an instance twice"
    referred = {_text_of(item, "ReferencedSOPInstanceUID") for keyword in _REFERRING for item in pair.items(keyword)[1]}
    for _, referenced in after[len(kept) :]:
        if referenced not in referred:
            yield f"{name}[{index}] lists an instance that nothing refers to"


def _derived_uids(pair: _Pair) -> Iterator[str]:
    names = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
    sources = {pair.source.text(name) for name in names} - {""}
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        value = pair.written.text(keyword)
        if not uid.UID(value).is_valid or len(value) > 64:
            yield f"{keyword} {value!r} is not valid"
        elif value.startswith("2.25.") and not 0 < int(value[5:]) < 1 << 128:
            yield f"{keyword} is no UUID"
        elif any(value == one or value.startswith(one + ".") for one in sources):
            yield f"{keyword} is made of a UID of the source"


# ------------------------------------------------------------------------------------------------- the files


def _judge_file(pair: _Pair) -> Iterator[str]:
    """Judge transfer syntax, File Meta Information and preamble."""
    source, written = pair.source, pair.written
    yield from written.problems
    expected = uid.ImplicitVRLittleEndian if source.syntax.is_implicit_VR else uid.ExplicitVRLittleEndian
    if pair.kept:
        expected = source.syntax
    if written.syntax != expected:
        yield f"the transfer syntax is {written.syntax.name}, not {expected.name}"
    if _holds_fragments(written.data) and not written.syntax.is_encapsulated:
        yield "compressed pixels stand in a transfer syntax that is not compressed"
    if any(written.preamble):
        yield "the preamble is not zero"
    allowed = {0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013, 0x00020016}
    for tag in sorted(written.meta.keys() - allowed):
        yield f"{_name(tag)} is in the file meta"
    yield from _foreign_vrs(written.meta, "file meta:")
    if _plain(written.meta.get(0x00020001, Node("")).value + b"\1") != b"\0\1\1":
        yield "FileMetaInformationVersion is not 00 01"
    for tag, keyword in ((0x00020002, "SOPClassUID"), (0x00020003, "SOPInstanceUID")):
        value = _plain(written.meta[tag].value).decode("ascii", "replace").strip() if tag in written.meta else ""
        lacking = {"", _plain(source.meta.get(tag, Node("")).value).decode("ascii", "replace")}
        if value != written.text(keyword) and (written.text(keyword) or value not in lacking):
            yield f"{_name(tag)} is not {keyword}"
    implementation = written.meta.get(0x00020012)
    if implementation is None or not uid.UID(_plain(implementation.value).decode("ascii", "replace")).is_valid:
        yield "ImplementationClassUID is missing or not valid"
    for tag in (0x00020012, 0x00020013, 0x00020016):
        if tag in source.meta and tag in written.meta and source.meta[tag].value == written.meta[tag].value:
            yield f"{_name(tag)} is that of the source"
    if len(_plain(written.meta.get(0x00020013, Node("")).value)) > 16:
        yield "ImplementationVersionName is too long"
    if not _readable(written.path) and _readable(source.path, force=True):
        yield "pydicom cannot decode it"


def _holds_fragments(elements: Elements) -> bool:
    return any(
        node.fragments or any(map(_holds_fragments, node.items or ())) for node in elements.values()
    )  # fmt: skip


def _readable(path: Path, *, force: bool = False) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for element in pydicom.dcmread(path, force=force).iterall():
                _ = element.value
        except Exception:  # whatever pydicom meets
            return False
    return True


def _pairs(sources: Sequence[File], written: Sequence[File], identity: Identity) -> tuple[list[_Pair], list[str]]:
    """Pair by UID; by file name, but for the prefix, where the source has no UID."""
    by_uid = {one.text("SOPInstanceUID"): one for one in sources if one.text("SOPInstanceUID")}
    by_name = {one.path.name: one for one in sources if not one.text("SOPInstanceUID")}
    pairs, problems = [], []
    for one in written:
        found = by_uid.get(_origin(one, identity)) or by_name.get(one.path.name.removeprefix("derived_"))
        if found is None:
            problems.append(f"{one.path.name} has no source")
        else:
            pairs.append(_Pair(found, one))
    counts = Counter(pair.source.path for pair in pairs)
    problems += [f"{one.path.name} was written {counts[one.path]} times" for one in sources if counts[one.path] != 1]
    return pairs, problems


def _origin(written: File, identity: Identity) -> str:
    if identity == "copy":
        return written.text("SOPInstanceUID")
    node = written.data.get(_tag("SourceImageSequence"))
    ours = [
        item
        for item in (_items_of(node) or [] if node else [])
        if any(code[:2] == ("121322", "DCM") for code in _code_of(item, "PurposeOfReferenceCodeSequence"))
    ]
    return _text_of(ours[-1], "ReferencedSOPInstanceUID") if ours else ""


# ------------------------------------------------------------------------------------------------ the series


def _judge_series(pairs: Sequence[_Pair]) -> Iterator[str]:
    """Judge what all derived instances share, and their numbers."""
    constant = ["SeriesInstanceUID", "SeriesNumber"]
    if not any(_is_primary(pair.source) for pair in pairs):
        constant += _SERIES_TIME
    for keyword in constant:
        if len({pair.written.text(keyword) for pair in pairs}) > 1:
            yield f"{keyword} is not the same in all instances"
    instances = [pair.written.text("SOPInstanceUID") for pair in pairs]
    if len(set(instances)) != len(instances):
        yield "SOPInstanceUID is not unique"
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        if {pair.written.text(keyword) for pair in pairs} & {pair.source.text(keyword) for pair in pairs}:
            yield f"{keyword} of the source is used again"
    items = [pair.items("ContributingEquipmentSequence")[1] for pair in pairs]
    ours = [{tag: _plain(node.value) for tag, node in one[-1].items()} for one in items if one]
    if any(one != ours[0] for one in ours):
        yield "ContributingEquipmentSequence[-1] is not the same in all instances"
    for keyword in ("SeriesDescription", "DerivationDescription"):
        texts: dict[tuple[bytes, str, bool], set[bytes]] = {}
        for pair in pairs:
            decoded = keyword.startswith("Derivation") and (_is_lossy(pair.source) or _is_transformed(pair.source))
            key = _value(pair.old(keyword)), pair.source.text("SpecificCharacterSet"), decoded
            texts.setdefault(key, set()).add(_value(pair.new(keyword)))
        if any(len(made) > 1 for made in texts.values()):
            yield f"{keyword} of one source text is not the same in all instances"
    yield from _judge_series_number(pairs)
    yield from _judge_instance_numbers(pairs)


def _judge_series_number(pairs: Sequence[_Pair]) -> Iterator[str]:
    allowed = set()
    for pair in pairs:
        try:
            number = int(pair.source.text("SeriesNumber")) + 1000
        except ValueError:
            number = 1001
        allowed.add(str(number if abs(number) < 1 << 31 else 1001))
    for number_text in {pair.written.text("SeriesNumber") for pair in pairs} - allowed:
        yield f"SeriesNumber is {number_text!r}, not one of {sorted(allowed)}"


def _position(file: File) -> tuple[float, ...] | None:
    try:
        numbers = [float(one) for one in file.text("ImagePositionPatient").split("\\")]
    except ValueError:
        return None
    return tuple(round(one, 2) for one in numbers) if len(numbers) == 3 else None


def _judge_instance_numbers(pairs: Sequence[_Pair]) -> Iterator[str]:
    """Judge: kept as text, or, if one is missing or repeated within one pass over the positions, 1 to N."""
    old = [pair.source.text("InstanceNumber") for pair in pairs]
    new = [pair.written.text("InstanceNumber") for pair in pairs]
    kept = not any(
        (a.value if a else None) != (b.value if b else None) and (not a or not b or not _same_value(0x00200013, a, b))
        for a, b in ((pair.old("InstanceNumber"), pair.new("InstanceNumber")) for pair in pairs)
    )
    places: dict[str, list[tuple[float, ...] | None]] = {}
    for pair, number in zip(pairs, old, strict=True):
        places.setdefault(number, []).append(_position(pair.source))
    positions = [_position(pair.source) for pair in pairs]
    repeated = [where for where in places.values() if len(where) > 1]
    single_pass = None in positions or len(set(positions)) == len(positions)
    if "" in old or (repeated and single_pass):
        allowed_kept, allowed_new = False, True
    elif any(len(set(where)) > 1 for where in repeated):  # depends on which pass an instance belongs to
        allowed_kept, allowed_new = True, True
    else:
        allowed_kept, allowed_new = True, False
    if kept and allowed_kept:
        return
    renumbered = sorted(new) == sorted(str(number) for number in range(1, len(pairs) + 1))
    if not (renumbered and allowed_new):
        yield f"InstanceNumber {old} became {new}"
    elif single_pass and None not in positions:
        order = [position for _, position in sorted(zip(map(int, new), positions, strict=True))]
        steps = [
            tuple(b - a for a, b in zip(first, second, strict=True))
            for first, second in pairwise(order)
            if first is not None and second is not None
        ]
        if any(sum(a * b for a, b in zip(one, steps[0], strict=True)) <= 0 for one in steps[1:]):
            yield f"InstanceNumber {new} does not follow the positions"


def compare(
    source_files: Sequence[Path],
    written_files: Sequence[Path],
    identity: Identity,
    *,
    native_files: Sequence[Path] = (),
    path: PixelPath = "",
) -> list[str]:
    """Return what differs between a source series and what was written of it, beyond what the rules allow.

    Parameters
    ----------
    source_files, written_files
        All files of either series, in any order.
    identity
        ``derived`` or ``copy``.
    native_files
        The sources once more, uncompressed and in the same order, for want of a decoder.
    path
        How the pixels should have gone: through ITK compressed ones are decoded, past it they are not; empty
        where either will do. A copy keeps what is compressed with loss or with other colours in any case.
    """
    problems: list[str] = []
    files: dict[Path, File] = {}
    for file in (*source_files, *written_files, *native_files):
        try:
            files[file] = read(file)
        except ValueError as error:
            problems.append(f"{file.name}: {error}")
    if problems:
        return problems
    natives = dict(zip(source_files, (files[file] for file in native_files), strict=False))
    pairs, problems = _pairs([files[file] for file in source_files], [files[file] for file in written_files], identity)
    for pair in pairs:
        pair.native = natives.get(pair.source.path)
        found = [*_judge_file(pair), *_judge_name(pair, identity), *_judge_pixels(pair, identity, path)]
        found += _judge_derived(pair) if identity == "derived" else _judge_copy(pair)
        problems += [f"{pair.written.path.name}: {problem}" for problem in found]
    if identity == "derived" and pairs:
        problems += _judge_series(pairs)
    return problems


def _judge_copy(pair: _Pair) -> Iterator[str]:
    yield from compare_elements(pair.source.data, pair.written.data, skip=_skip(pair))


def _judge_name(pair: _Pair, identity: Identity) -> Iterator[str]:
    """Judge: extension kept, and the prefix ``derived_`` on what is derived."""
    source, written = pair.source.path, pair.written.path
    if written.suffix != source.suffix:
        yield f"the extension is {written.suffix!r}, not {source.suffix!r}"
    if written.name.startswith("derived_") != (identity == "derived" or source.name.startswith("derived_")):
        yield "the prefix of the name is wrong"
