"""The frames of an instance: their pixel data one by one, and where each lies in space."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.multival import MultiValue

from itk_roundtrip.errors import SeriesReadError
from itk_roundtrip.headers import PIXEL_DATA, Header
from itk_roundtrip.spans import encode_item, items

_SHARED, _PER_FRAME = 0x52009229, 0x52009230
_POSITION, _ORIENTATION, _SPACING = 0x00200032, 0x00200037, 0x00280030
_SPACINGS = (_SPACING, 0x00181164, 0x00182010)
"""Pixel Spacing, and what stands for it in projections and scans: Imager and Nominal Scanned Pixel Spacing."""
_THICKNESSES = (0x00180088, 0x00180050)
"""Spacing Between Slices, Slice Thickness."""
_NO_OFFSETS = encode_item(b"")


@dataclass(frozen=True)
class Place:
    """Where one frame lies, as texts of VR DS; empty if it is not said.

    Attributes
    ----------
    position, orientation, spacing
        Image Position (Patient) (0020,0032), Image Orientation (Patient) (0020,0037), Pixel Spacing (0028,0030).
    thickness
        Spacing Between Slices (0018,0088), else Slice Thickness (0018,0050).
    """

    position: str = ""
    orientation: str = ""
    spacing: str = ""
    thickness: str = ""


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
        yield from (_NO_OFFSETS + encode_item(even(one)) for one in _apart(header, value, count, name))
    elif frame_bits % 8:
        bits = np.unpackbits(np.frombuffer(value, "u1"), count=count * frame_bits, bitorder="little")
        for one in bits.reshape(count, frame_bits):
            yield even(np.packbits(one, bitorder="little").tobytes())
    else:
        size = frame_bits // 8
        for start in range(0, count * size, size):
            yield even(value[start : start + size])


def even(value: bytes) -> bytes:
    """Return a value of even length, padded with NUL."""
    return value + b"\0" * (len(value) % 2)


def _apart(header: Header, value: bytes, count: int, name: str) -> list[bytes]:
    tables = header.raw(0x7FE00001), header.raw(0x7FE00002)
    extended = (tables[0], tables[1]) if tables[0] and tables[1] else None
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


def encapsulated(streams: Sequence[bytes]) -> bytes:
    """Return compressed frames, each as one fragment, behind a Basic Offset Table (PS3.5 A.4)."""
    parts = [encode_item(even(one)) for one in streams]
    offsets, place = [], 0
    for one in parts:
        offsets.append(place)
        place += len(one)
    table = struct.pack(f"<{len(offsets)}L", *offsets) if place < 1 << 32 else b""
    return encode_item(table) + b"".join(parts)


def places(source: Dataset, count: int) -> list[Place]:
    """Return where each frame lies: by functional groups, by offsets along the normal, or by the header.

    Parameters
    ----------
    source
        Data set of the instance.
    count
        Number of Frames.

    References
    ----------
    DICOM PS3.3 C.7.6.16.2 Functional Groups, C.8.4.15 NM Reconstruction Module, C.8.8.3.2 Grid Frame Offset Vector
    """
    groups = _groups(source, count)
    if groups:
        return [
            Place(
                _grouped(both, 0x00209113, _POSITION),
                _grouped(both, 0x00209116, _ORIENTATION),
                _grouped(both, 0x00289110, *_SPACINGS),
                _grouped(both, 0x00289110, *_THICKNESSES),
            )
            for both in groups
        ]
    detector = _first(source, 0x00540022)  # of Nuclear Medicine
    located = source if detector is None or _text(source, _POSITION) else detector
    own = Place(
        _text(located, _POSITION), _text(located, _ORIENTATION), _said(source, _SPACINGS), _said(source, _THICKNESSES)
    )
    steps, position, axes = _steps(source, count), numbers(own.position), numbers(own.orientation)
    if not steps or len(position) != 3 or len(axes) != 6:
        return [own] * count
    normal = np.cross(axes[:3], axes[3:])
    normal /= np.linalg.norm(normal) or 1
    return [
        replace(own, position="\\".join(f"{float(one):.10g}" for one in position + step * normal)) for step in steps
    ]


def rescales(source: Dataset, count: int) -> list[tuple[str, str]]:
    """Return the texts of Rescale Slope and Intercept in the functional groups of each frame; empty where they are not.

    Parameters
    ----------
    source
        Data set of the instance.
    count
        Number of Frames.

    References
    ----------
    DICOM PS3.3 C.7.6.16.2.9 Pixel Value Transformation Macro
    """
    groups = _groups(source, count) or [(None, None)] * count
    return [(_grouped(both, 0x00289145, 0x00281053), _grouped(both, 0x00289145, 0x00281052)) for both in groups]


def numbers(text: str) -> list[float]:
    """Return the numbers of a text of VR DS; none if one of them is no finite number."""
    try:
        found = [float(part) for part in text.split("\\")] if text else []
    except ValueError:
        return []
    return found if all(map(math.isfinite, found)) else []


def _groups(source: Dataset, count: int) -> list[tuple[Dataset | None, Dataset | None]]:
    """Return the functional groups of each frame, its own and those of all frames; none if there are none at all."""
    shared = _first(source, _SHARED)
    per_frame = list(source[_PER_FRAME].value or ()) if _PER_FRAME in source else []
    if shared is None and not per_frame:
        return []
    return [(one, shared) for one in (*per_frame, *([None] * (count - len(per_frame))))][:count]


def _steps(source: Dataset, count: int) -> list[float]:
    """Return how far along the normal each frame lies from the first, in mm; nothing if they do not say."""
    slices, between = numbers(_text(source, 0x00540080)), numbers(_text(source, 0x00180088))
    if len(slices) == count and len(between) == 1:  # Slice Vector, Spacing Between Slices with its sign
        return [(one - slices[0]) * between[0] for one in slices]
    offsets = numbers(_text(source, 0x3004000C))
    if len(offsets) != count:
        return []
    return [one - offsets[0] for one in offsets]  # the first is 0, or all are positions along the axis


def _first(dataset: Dataset | None, tag: int) -> Dataset | None:
    if dataset is None or tag not in dataset:
        return None
    return next(iter(dataset[tag].value or ()), None)


def _grouped(groups: tuple[Dataset | None, Dataset | None], sequence: int, *tags: int) -> str:
    """Return the first of some values of a functional group: of the frame, else of all frames."""
    found = (_first(one, sequence) for one in groups)
    return next((_said(one, tags) for one in found if one is not None), "")


def _said(dataset: Dataset, tags: Sequence[int]) -> str:
    return next(filter(None, (_text(dataset, tag) for tag in tags)), "")


def _text(dataset: Dataset, tag: int) -> str:
    value = dataset[tag].value if tag in dataset else None
    if value is None or value == "":
        return ""
    return "\\".join(map(str, value)) if isinstance(value, MultiValue | list) else str(value)
