"""Frames of an instance: the pixel data of each by itself."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydicom.encaps import generate_frames

from itk_roundtrip import tags
from itk_roundtrip.dicom.headers import Header
from itk_roundtrip.dicom.spans import encode_item, items
from itk_roundtrip.errors import SeriesReadError

_EMPTY_OFFSET_TABLE = encode_item(b"")


def fragments(header: Header, name: str) -> int:
    """Return how many fragments hold the compressed pixels of an instance; 0 if they are not compressed.

    Raises
    ------
    SeriesReadError
        Pixel Data is no sequence of fragments.
    """
    if not header.encapsulated:
        return 0
    value = header.raw(tags.PIXEL_DATA) or b""
    try:
        return sum(1 for _ in items(value, 0, len(value), implicit_vr=False)) - 1
    except ValueError:
        raise SeriesReadError(
            f"{name} is damaged: its pixel data are not compressed as its transfer syntax says.", path=name
        ) from None


class Frames(Sequence[bytes]):
    """Value of Pixel Data for each frame as an image of its own: native, or encapsulated in a single fragment.

    Parameters
    ----------
    header
        Of the instance.
    count
        Number of Frames.
    frame_bits
        Size of a native frame; frames of 1-bit pixels need not start on a byte (PS3.5 8.1.1).
    name
        What messages call the file.

    Raises
    ------
    SeriesReadError
        Its compressed frames cannot be told apart.
    """

    def __init__(self, header: Header, count: int, frame_bits: int, name: str) -> None:
        self._value = header.view(tags.PIXEL_DATA)
        self._count, self._frame_bits = count, frame_bits
        self._streams = _frame_streams(header, bytes(self._value), count, name) if header.encapsulated else None

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if self._streams is not None:
            return _EMPTY_OFFSET_TABLE + encode_item(even(self._streams[index]))
        start, stop = index * self._frame_bits, (index + 1) * self._frame_bits
        if self._frame_bits % 8:
            part = np.frombuffer(self._value[start // 8 : -(-stop // 8)], "u1")
            bits = np.unpackbits(part, bitorder="little")[start % 8 : start % 8 + self._frame_bits]
            return even(np.packbits(bits, bitorder="little").tobytes())
        return even(bytes(self._value[start // 8 : stop // 8]))


def even(value: bytes) -> bytes:
    """Return a value of even length, padded with NUL."""
    return value + b"\0" * (len(value) % 2)


def _frame_streams(header: Header, value: bytes, count: int, name: str) -> list[bytes]:
    """Return the compressed stream of each frame, by the Extended or the Basic Offset Table (PS3.5 A.4)."""
    tables = header.raw(tags.EXTENDED_OFFSET_TABLE), header.raw(tags.EXTENDED_OFFSET_TABLE_LENGTHS)
    extended = (tables[0], tables[1]) if tables[0] and tables[1] else None
    if extended is not None and not _entries_are_fragments(extended[0], extended[1], value):
        raise SeriesReadError(
            f"{name} is damaged: its Extended Offset Table does not say where its frames are.", path=name
        )
    if extended is not None and not _are_ascending(extended[0], count):
        raise SeriesReadError(
            f"{name} is damaged: its Extended Offset Table is not in the order of its frames.", path=name
        )
    try:
        streams = list(generate_frames(value, number_of_frames=count, extended_offsets=extended))
    except Exception:  # whatever pydicom meets in a damaged stream
        streams = []
    if len(streams) != count:
        raise SeriesReadError(f"{name} is damaged: it does not hold {count} compressed frames.", path=name)
    return streams


def _are_ascending(table: bytes, count: int) -> bool:
    """Tell whether an Extended Offset Table has an entry for each frame, in ascending order from 0."""
    offsets = np.frombuffer(table[: len(table) // 8 * 8], "<u8")
    return len(offsets) == count and offsets[0] == 0 and bool(np.all(offsets[1:] > offsets[:-1]))


def _entries_are_fragments(offsets: bytes, lengths: bytes, value: bytes) -> bool:
    """Tell whether each entry of an Extended Offset Table lies within a single fragment (PS3.3 C.7.6.3)."""
    try:
        places = list(items(value, 0, len(value), implicit_vr=False))[1:]
    except ValueError:
        return False
    sizes = {start - places[0][0]: stop - start - len(_EMPTY_OFFSET_TABLE) for start, stop in places}
    entries = (np.frombuffer(table[: len(table) // 8 * 8], "<u8").tolist() for table in (offsets, lengths))
    return all(length <= sizes.get(offset, -1) for offset, length in zip(*entries, strict=False))


def encapsulated(streams: Sequence[bytes]) -> bytes:
    """Return compressed frames, each in a single fragment, behind a Basic Offset Table (PS3.5 A.4).

    The table is empty where its offsets would not fit into 32 bits.
    """
    encoded = [encode_item(even(stream)) for stream in streams]
    offsets, place = [], 0
    for fragment in encoded:
        offsets.append(place)
        place += len(fragment)
    table = struct.pack(f"<{len(offsets)}L", *offsets) if place < 1 << 32 else b""
    return encode_item(table) + b"".join(encoded)
