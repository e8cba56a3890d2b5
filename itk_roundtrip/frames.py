"""The frames of an instance: their pixel data one by one, and where each lies in space."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames

from itk_roundtrip.errors import SeriesReadError
from itk_roundtrip.headers import PIXEL_DATA, Header
from itk_roundtrip.spans import encode_item, items

_SHARED, _PER_FRAME = 0x52009229, 0x52009230
_NO_OFFSETS = encode_item(b"")


@dataclass(frozen=True)
class Place:
    """Where one frame lies, as texts of VR DS; empty if it is not said.

    Attributes
    ----------
    position, orientation, spacing
        Image Position (Patient) (0020,0032), Image Orientation (Patient) (0020,0037), Pixel Spacing (0028,0030).
    """

    position: str = ""
    orientation: str = ""
    spacing: str = ""


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


def frames(header: Header, count: int, frame_bits: int, name: str) -> Iterator[bytes]:
    """Yield what Pixel Data would be of each frame if it were alone: native, or encapsulated as one fragment.

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
    value = header.raw(PIXEL_DATA) or b""
    if header.encapsulated:
        yield from (
            _NO_OFFSETS + encode_item(one + b"\0" * (len(one) % 2)) for one in _apart(header, value, count, name)
        )
    elif frame_bits % 8:
        bits = np.unpackbits(np.frombuffer(value, "u1"), count=count * frame_bits, bitorder="little")
        for one in bits.reshape(count, frame_bits):
            yield _even(np.packbits(one, bitorder="little").tobytes())
    else:
        size = frame_bits // 8
        for start in range(0, count * size, size):
            yield _even(value[start : start + size])


def _even(value: bytes) -> bytes:
    return value + b"\0" * (len(value) % 2)


def _apart(header: Header, value: bytes, count: int, name: str) -> list[bytes]:
    tables = header.raw(0x7FE00001), header.raw(0x7FE00002)
    extended = (tables[0], tables[1]) if tables[0] and tables[1] else None
    try:
        found = list(generate_frames(value, number_of_frames=count, extended_offsets=extended))
    except Exception:  # whatever pydicom meets in a damaged stream
        found = []
    if len(found) != count:
        raise SeriesReadError(f"{name} is damaged: its {count} compressed frames cannot be told apart.", path=name)
    return found


def encapsulated(streams: Sequence[bytes]) -> bytes:
    """Return compressed frames, each as one fragment, behind a Basic Offset Table (PS3.5 A.4)."""
    parts = [encode_item(_even(one)) for one in streams]
    offsets, place = [], 0
    for one in parts:
        offsets.append(place)
        place += len(one)
    table = struct.pack(f"<{len(offsets)}L", *offsets) if place < 1 << 32 else b""
    return encode_item(table) + b"".join(parts)


def places(source: Dataset, count: int) -> list[Place]:
    """Return where each frame lies: by functional groups, grid frame offsets or the header (PS3.3 C.7.6.16, C.8.8.3).

    Parameters
    ----------
    source
        Data set of the instance.
    count
        Number of Frames.
    """
    shared = _first(source, _SHARED)
    per_frame = list(source[_PER_FRAME].value or ()) if _PER_FRAME in source else []
    if shared is not None or per_frame:
        groups = [(one, shared) for one in (*per_frame, *([None] * (count - len(per_frame))))][:count]
        return [
            Place(
                _grouped(both, 0x00209113, 0x00200032),
                _grouped(both, 0x00209116, 0x00200037),
                _grouped(both, 0x00289110, 0x00280030),
            )
            for both in groups
        ]
    own = Place(*(_text(source, tag) for tag in (0x00200032, 0x00200037, 0x00280030)))
    offsets = _numbers(_text(source, 0x3004000C))
    position, axes = _numbers(own.position), _numbers(own.orientation)
    if len(offsets) != count or len(position) != 3 or len(axes) != 6:
        return [own] * count
    normal = np.cross(axes[:3], axes[3:])
    absolute = offsets[0] != 0  # then they are positions along the axis (C.8.8.3.2)
    steps = [offset - offsets[0] if absolute else offset for offset in offsets]
    return [
        Place("\\".join(f"{float(one):.10g}" for one in position + step * normal), own.orientation, own.spacing)
        for step in steps
    ]


def _first(dataset: Dataset | None, tag: int) -> Dataset | None:
    if dataset is None or tag not in dataset:
        return None
    return next(iter(dataset[tag].value or ()), None)


def _grouped(groups: tuple[Dataset | None, Dataset | None], sequence: int, tag: int) -> str:
    """Return a value of a functional group: of the frame, else of all frames."""
    found = (_first(one, sequence) for one in groups)
    return next((_text(one, tag) for one in found if one is not None), "")


def _text(dataset: Dataset, tag: int) -> str:
    value = dataset[tag].value if tag in dataset else None
    if value is None or value == "":
        return ""
    return value if isinstance(value, str) else "\\".join(map(str, value))


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split("\\")] if text else []
    except ValueError:
        return []
