"""The frames of an instance: their pixel data one by one."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydicom.encaps import generate_frames

from itk_roundtrip import tags
from itk_roundtrip.dicom.headers import PIXEL_DATA, Header
from itk_roundtrip.dicom.spans import encode_item, items
from itk_roundtrip.errors import SeriesReadError

_NO_OFFSETS = encode_item(b"")


def fragments(header: Header, name: str) -> int:
    """Return how many fragments hold the compressed pixels of an instance; 0 if they are not compressed.

    Raises
    ------
    SeriesReadError
        They are no fragments.
    """
    if not header.encapsulated:
        return 0
    value = header.raw(PIXEL_DATA) or b""
    try:
        return sum(1 for _ in items(value, 0, len(value), implicit_vr=False)) - 1
    except ValueError:
        raise SeriesReadError(
            f"{name} is damaged: its pixel data are not compressed as its transfer syntax says.", path=name
        ) from None


class Frames(Sequence[bytes]):
    """What Pixel Data would be of each frame if it were alone: native, or encapsulated as one fragment.

    Parameters
    ----------
    header
        Of the instance.
    count
        Number of Frames.
    frame_bits
        Size of a native frame; frames of bits need not start on a byte (PS3.5 8.1.1).
    name
        What messages call the file.

    Raises
    ------
    SeriesReadError
        Its compressed frames cannot be told apart.
    """

    def __init__(self, header: Header, count: int, frame_bits: int, name: str) -> None:
        self._value = header.raw(PIXEL_DATA) or b""
        self._count, self._bits = count, frame_bits
        self._streams = _apart(header, self._value, count, name) if header.encapsulated else None

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if self._streams is not None:
            return _NO_OFFSETS + encode_item(even(self._streams[index]))
        start, stop = index * self._bits, (index + 1) * self._bits
        if self._bits % 8:
            part = np.frombuffer(self._value[start // 8 : -(-stop // 8)], "u1")
            bits = np.unpackbits(part, bitorder="little")[start % 8 : start % 8 + self._bits]
            return even(np.packbits(bits, bitorder="little").tobytes())
        return even(self._value[start // 8 : stop // 8])


def even(value: bytes) -> bytes:
    """Return a value of even length, padded with NUL."""
    return value + b"\0" * (len(value) % 2)


def _apart(header: Header, value: bytes, count: int, name: str) -> list[bytes]:
    tables = header.raw(tags.EXTENDED_OFFSET_TABLE), header.raw(tags.EXTENDED_OFFSET_TABLE_LENGTHS)
    extended = (tables[0], tables[1]) if tables[0] and tables[1] else None
    if extended is not None and not _name_fragments(extended[0], extended[1], value):
        raise SeriesReadError(
            f"{name} is damaged: its Extended Offset Table does not say where its frames are.", path=name
        )
    if extended is not None and not _are_ascending(extended[0], count):
        raise SeriesReadError(
            f"{name} is damaged: its Extended Offset Table is not in the order of its frames.", path=name
        )
    try:
        found = list(generate_frames(value, number_of_frames=count, extended_offsets=extended))
    except Exception:  # whatever pydicom meets in a damaged stream
        found = []
    if len(found) != count:
        raise SeriesReadError(f"{name} is damaged: it does not hold {count} compressed frames.", path=name)
    return found


def _are_ascending(table: bytes, count: int) -> bool:
    """Tell whether an Extended Offset Table names as many frames, one behind the other."""
    offsets = np.frombuffer(table[: len(table) // 8 * 8], "<u8")
    return len(offsets) == count and offsets[0] == 0 and bool(np.all(offsets[1:] > offsets[:-1]))


def _name_fragments(offsets: bytes, lengths: bytes, value: bytes) -> bool:
    """Tell whether each entry of an Extended Offset Table lies within the one fragment of its frame."""
    try:
        places = list(items(value, 0, len(value), implicit_vr=False))[1:]
    except ValueError:
        return False
    sizes = {start - places[0][0]: stop - start - len(_NO_OFFSETS) for start, stop in places}
    entries = (np.frombuffer(each[: len(each) // 8 * 8], "<u8").tolist() for each in (offsets, lengths))
    return all(length <= sizes.get(offset, -1) for offset, length in zip(*entries, strict=False))


def encapsulated(streams: Sequence[bytes]) -> bytes:
    """Return compressed frames, each as one fragment, behind a Basic Offset Table (PS3.5 A.4)."""
    parts = [encode_item(even(one)) for one in streams]
    offsets, place = [], 0
    for one in parts:
        offsets.append(place)
        place += len(one)
    table = struct.pack(f"<{len(offsets)}L", *offsets) if place < 1 << 32 else b""
    return encode_item(table) + b"".join(parts)
