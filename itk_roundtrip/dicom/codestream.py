"""Headers of compressed streams: coding process, precision, components, and whether the compression was lossy.

JPEG (ISO 10918-1 Annex B), JPEG-LS (ISO 14495-1 Annex C) and JPEG 2000 with HTJ2K (ISO 15444-1 Annexes A and I,
ISO 15444-15), as DICOM encapsulates them (PS3.5 8.2 and A.4). Only markers are read and nothing is decoded; what a
truncated or damaged stream does not say is ``None``.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from itk_roundtrip.dicom.encoding import ITEM

Codec = Literal["", "JPEG", "JPEG-LS", "JPEG 2000", "HTJ2K"]
Content = bytes | mmap.mmap
"""Bytes, or a mapped file, of which only the pages that hold markers are read."""

# Markers of JPEG and JPEG-LS (ISO 10918-1 Table B.1, ISO 14495-1 Table C.1), the second byte.
_SOI, _EOI, _SOS, _APP0, _APP14, _SOF_JPEG_LS = 0xD8, 0xD9, 0xDA, 0xE0, 0xEE, 0xF7
_SOF = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_WITHOUT_SEGMENT = frozenset({0x01, _SOI, *range(0xD0, 0xD8)})
"""TEM, SOI and the restarts: no length follows them."""
_LOSSLESS_PROCESSES = frozenset({3, 7, 11, 15})
"""SOF markers of lossless processes: Huffman or arithmetic coding, sequential or differential."""
_NEXT_MARKER = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
"""A marker behind entropy-coded data, in which FF is followed by 0, a restart, or in JPEG-LS by less than 80."""

# Markers of JPEG 2000 (ISO 15444-1 Table A.2).
_SIZ, _CAP, _COD, _COC, _SOT, _SOD, _EOC = 0xFF51, 0xFF50, 0xFF52, 0xFF53, 0xFF90, 0xFF93, 0xFFD9
_SOC = b"\xff\x4f\xff"
_JP2_SIGNATURE = b"\0\0\0\x0cjP  "
_REVERSIBLE, _IRREVERSIBLE = 1, 0
"""Wavelet transformations 5-3 and 9-7 (ISO 15444-1 Table A.20)."""


@dataclass(frozen=True)
class Component:
    """A component of a compressed image, such as Y, Cb or Cr, as the header of the stream describes it.

    Attributes
    ----------
    identifier
        Of JPEG and JPEG-LS: Ci of the frame header; of JPEG 2000 its index.
    sampling
        Horizontal and vertical. Of JPEG and JPEG-LS: sampling factors Hi and Vi, of which the largest is full
        resolution. Of JPEG 2000: separation of samples XRsiz and YRsiz, where 1 is full resolution.
    precision
        Bits per sample.
    signed
        Whether samples are signed, which only JPEG 2000 has.
    """

    identifier: int
    sampling: tuple[int, int]
    precision: int
    signed: bool = False


@dataclass(unsafe_hash=True)  # not frozen: what is read before a stream is cut off is kept in it
class Stream:
    """Header of a compressed stream; ``None`` and empty where it says nothing, or is cut off before.

    Attributes
    ----------
    codec
        Empty for others, such as RLE, which has no header, and video.
    process
        Of JPEG: number of the SOF marker, 0 to 15, such as 0 baseline, 1 extended, 2 progressive, 3 lossless.
    rows, columns
        Size of the whole image.
    components
        As the frame header (JPEG, JPEG-LS) or SIZ (JPEG 2000) lists them.
    jfif
        There is an APP0 marker of JFIF: a single component is Y, three are YCbCr (ISO 10918-5).
    adobe_transform
        Colour transform of the APP14 marker of Adobe: 0 none (RGB or CMYK), 1 YCbCr, 2 YCCK; ``None`` without marker.
    near
        Of JPEG-LS: the largest NEAR of its scans.
    interleave_mode
        Of JPEG-LS: ILV of the first scan, 0 by component, 1 by line, 2 by sample.
    point_transform
        Of JPEG Lossless and JPEG-LS: by how many bits the samples were shifted down, the most of all scans.
    reversible
        Of JPEG 2000: whether every COD and COC, of tile-parts too, has the 5-3 wavelet; ``None`` for wavelets of
        Part 2.
    component_transform
        Of JPEG 2000: SGcod, 1 where RCT or ICT was applied to the first three components.
    """

    codec: Codec = ""
    process: int | None = None
    rows: int | None = None
    columns: int | None = None
    components: tuple[Component, ...] = ()
    jfif: bool = False
    adobe_transform: int | None = None
    near: int | None = None
    interleave_mode: int | None = None
    point_transform: int | None = None
    reversible: bool | None = None
    component_transform: int | None = None

    @property
    def precision(self) -> int | None:
        """Bits per sample, the largest of all components."""
        return max((component.precision for component in self.components), default=None)

    @property
    def signed(self) -> bool | None:
        """Whether the samples of any component are signed; ``None`` if nothing says so."""
        return any(component.signed for component in self.components) if self.components else None

    @property
    def is_subsampled(self) -> bool | None:
        """Whether components have different resolutions; ``None`` if nothing says so."""
        sampling = {component.sampling for component in self.components}
        return len(sampling) > 1 if sampling else None

    @property
    def has_dct(self) -> bool:
        """Whether it is JPEG with a DCT, which is lossy."""
        return self.codec == "JPEG" and self.process not in _LOSSLESS_PROCESSES

    @property
    def is_lossy(self) -> bool | None:
        """Whether the compression was lossy, by the process that the stream names; ``None`` if it names none.

        Lossy are a JPEG process with a DCT, NEAR or a point transform above 0, and the irreversible wavelet. A stream
        with the reversible wavelet may have been cut off after some quality layers; nothing in it says so.
        """
        if self.codec == "JPEG" and self.process is not None:
            return self.has_dct or bool(self.point_transform)
        if self.codec == "JPEG-LS":
            return None if self.near is None else bool(self.near or self.point_transform)
        return None if self.reversible is None else not self.reversible


def parse(content: Content, start: int = 0, end: int | None = None) -> Stream:
    """Return the header of the stream from ``start`` to ``end``; damage is no error, it ends the reading."""
    end = len(content) if end is None else min(end, len(content))
    head = content[start : min(start + 12, end)]
    stream = Stream()
    try:
        if head.startswith(b"\xff\xd8\xff"):
            _read_jpeg(content, start, end, stream)
        elif head.startswith(_SOC):
            _read_jpeg_2000(content, start, end, stream)
        elif head.startswith(_JP2_SIGNATURE):
            _read_jpeg_2000(content, *_codestream_box(content, start, end), stream)
    except (struct.error, IndexError, ValueError):  # cut off
        pass
    return stream


def streams(content: Content, start: int = 0, end: int | None = None) -> Iterator[Stream]:
    """Yield the header of the compressed stream of each frame of encapsulated pixel data (PS3.5 A.4).

    Parameters
    ----------
    content, start, end
        The value of Pixel Data, from the item tag of the Basic Offset Table on. A fragment that does not begin with
        the first marker of a stream continues the fragment before it.
    """
    frame: list[tuple[int, int]] = []
    for fragment in _fragments(content, start, len(content) if end is None else min(end, len(content))):
        if frame and _starts_stream(content, *fragment):
            yield _parse_fragments(content, frame)
            frame = []
        frame.append(fragment)
    if frame:
        yield _parse_fragments(content, frame)


def lost(streams: Iterable[Stream]) -> bool | None:
    """Return ``True`` if any stream is lossy, ``False`` if all are lossless, and ``None`` if that is unknown."""
    answers = {stream.is_lossy for stream in streams}
    return True if True in answers else False if answers == {False} else None


def _starts_stream(content: Content, start: int, end: int) -> bool:
    head = content[start : min(start + 8, end)]
    return head.startswith((b"\xff\xd8\xff", _SOC, _JP2_SIGNATURE))


def _parse_fragments(content: Content, fragments: list[tuple[int, int]]) -> Stream:
    if len(fragments) == 1:
        return parse(content, *fragments[0])
    return parse(b"".join(content[start:end] for start, end in fragments))


def _fragments(content: Content, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield where each fragment begins and ends, the Basic Offset Table left out; stop at what is no item."""
    is_table = True
    while start + 8 <= end and content[start : start + 4] == ITEM:
        length = int.from_bytes(content[start + 4 : start + 8], "little")
        start += 8
        if not is_table:
            yield start, min(start + length, end)
        is_table = False
        start += length
        if length % 2 and content[start : start + 4] != ITEM:
            start += 1  # padded, and the pad byte not counted


# ------------------------------------------------------------------------------------------- JPEG and JPEG-LS


def _read_jpeg(content: Content, at: int, end: int, stream: Stream) -> None:
    """Read the segments up to the first scan; without a DCT to the last, as each has a NEAR or point transform."""
    stream.codec = "JPEG"  # unless the frame header is that of JPEG-LS
    components_scanned = 0
    while at + 4 <= end:
        if content[at] != 0xFF:
            return
        marker = content[at + 1]
        if marker in (0xFF, *_WITHOUT_SEGMENT):  # fill bytes may stand before any marker
            at += 1 if marker == 0xFF else 2
            continue
        if marker == _EOI:
            return
        (length,) = struct.unpack(">H", content[at + 2 : at + 4])
        segment = content[at + 4 : min(at + 2 + length, end)]
        at += 2 + length
        if marker == _APP0 and segment.startswith(b"JFIF\0"):
            stream.jfif = True
        elif marker == _APP14 and segment.startswith(b"Adobe"):
            stream.adobe_transform = segment[11]
        elif marker == _SOF_JPEG_LS or marker in _SOF:
            _read_frame_header(marker, segment, stream)
        elif marker == _SOS:
            components_scanned += _read_scan_header(segment, stream)
            if stream.has_dct or components_scanned >= len(stream.components):
                return
            next_marker = _NEXT_MARKER.search(content, at, end)
            if next_marker is None:
                return
            at = next_marker.start()


def _read_frame_header(marker: int, segment: bytes, stream: Stream) -> None:
    """Read a frame header (ISO 10918-1 B.2.2): precision, lines, samples per line, components."""
    if marker == _SOF_JPEG_LS:
        stream.codec = "JPEG-LS"
    else:
        stream.process = marker & 0x0F
    precision, rows, columns, count = struct.unpack(">BHHB", segment[:6])
    stream.rows, stream.columns = rows or None, columns or None
    parts = [segment[6 + 3 * index : 9 + 3 * index] for index in range(count)]
    stream.components = tuple(Component(part[0], (part[1] >> 4, part[1] & 0x0F), precision) for part in parts)


def _read_scan_header(segment: bytes, stream: Stream) -> int:
    """Read a scan header (ISO 10918-1 B.2.3, ISO 14495-1 C.2.3) and return how many components it has."""
    count = segment[0]
    first, second, last = segment[1 + 2 * count : 4 + 2 * count]
    if stream.codec == "JPEG-LS":
        stream.near = max(first, stream.near or 0)
        stream.interleave_mode = second if stream.interleave_mode is None else stream.interleave_mode
    if not stream.has_dct:
        stream.point_transform = max(last & 0x0F, stream.point_transform or 0)
    return count


# ------------------------------------------------------------------------------------------------- JPEG 2000


def _codestream_box(content: Content, at: int, end: int) -> tuple[int, int]:
    """Return where the contiguous codestream of a JP2 or JPH file begins and ends (ISO 15444-1 I.4 and I.5.4)."""
    while at + 8 <= end:
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        begin = at + 8
        if length == 1:
            (length,) = struct.unpack(">Q", content[begin : begin + 8])
            begin += 8
        last = end if length == 0 else min(at + length, end)
        if kind == b"jp2c":
            return begin, last
        if last < begin:
            break
        at = last
    return end, end


def _read_jpeg_2000(content: Content, at: int, end: int, stream: Stream) -> None:
    """Read the main header and the headers of all tile-parts (ISO 15444-1 A.4 to A.6)."""
    stream.codec = "JPEG 2000"
    at += 2  # SOC
    tile_end = end
    wavelets: set[int] = set()
    while at + 2 <= end:
        (marker,) = struct.unpack(">H", content[at : at + 2])
        if marker == _EOC:
            return
        if marker == _SOD:  # behind it packets, up to the end of the tile-part
            at = tile_end
            continue
        (length,) = struct.unpack(">H", content[at + 2 : at + 4])
        segment = content[at + 4 : min(at + 2 + length, end)]
        if marker == _SOT:
            (tile_length,) = struct.unpack(">I", segment[2:6])
            tile_end = at + tile_length if tile_length > length else end  # a length of 0: the last tile-part
        elif marker == _CAP:
            stream.codec = "HTJ2K"
        elif marker == _SIZ:
            _read_size(segment, stream)
        elif marker == _COD:
            wavelets.add(segment[9])
            stream.reversible = _is_reversible(wavelets)
            if stream.component_transform is None:
                stream.component_transform = segment[4]
        elif marker == _COC:
            wavelets.add(segment[6 if len(stream.components) < 257 else 7])
            stream.reversible = _is_reversible(wavelets)
        if length < 2:
            return
        at += 2 + length


def _is_reversible(wavelets: set[int]) -> bool | None:
    """Return whether all wavelets are the 5-3 one; ``None`` if there is one of Part 2, and none is irreversible."""
    if _IRREVERSIBLE in wavelets:
        return False
    return True if wavelets == {_REVERSIBLE} else None


def _read_size(segment: bytes, stream: Stream) -> None:
    """Read SIZ (ISO 15444-1 A.5.1): size and offset of the reference grid, precision and sign of each component."""
    right, bottom, left, top = struct.unpack(">4I", segment[2:18])
    (count,) = struct.unpack(">H", segment[34:36])
    stream.rows, stream.columns = bottom - top, right - left
    parts = [segment[36 + 3 * index : 39 + 3 * index] for index in range(count)]
    stream.components = tuple(
        Component(index, (part[1], part[2]), (part[0] & 0x7F) + 1, bool(part[0] & 0x80))
        for index, part in enumerate(parts)
    )
