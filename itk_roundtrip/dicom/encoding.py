"""Lengths, VRs and delimiters of encoded elements that several modules of this package look for (PS3.5 7 and A.4)."""

from __future__ import annotations

import numpy as np
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

UNDEFINED_LENGTH = 0xFFFFFFFF
"""Of a sequence, an item or encapsulated pixels, which end at a delimiter (PS3.5 7.5)."""
LONG_VRS = frozenset(vr.encode() for vr in EXPLICIT_VR_LENGTH_32)
"""VRs with two reserved bytes and a length of four bytes (PS3.5 7.1.2)."""
SHORT_VRS = frozenset(vr.encode() for vr in EXPLICIT_VR_LENGTH_16)
"""VRs with a length of two bytes."""

ITEM = b"\xfe\xff\x00\xe0"
"""Tag of an item or a fragment in Little Endian, as are all below."""
SEQUENCE_END = b"\xfe\xff\xdd\xe0"
"""Tag of a Sequence Delimitation Item."""
SEQUENCE_DELIMITER = SEQUENCE_END + bytes(4)
"""The whole Sequence Delimitation Item, with its length of 0."""
ENCAPSULATED_PIXEL_DATA = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"
"""Head of encapsulated Pixel Data, before its fragments: tag, VR OB and undefined length, in Explicit VR."""

WORD_BYTES: dict[str, int] = {
    "AT": 2, "OW": 2, "SS": 2, "US": 2,
    "FL": 4, "OF": 4, "OL": 4, "SL": 4, "UL": 4,
    "FD": 8, "OD": 8, "OV": 8, "SV": 8, "UV": 8,
}  # fmt: skip
"""Bytes per word of the VRs whose byte order depends on the transfer syntax (PS3.5 7.3)."""
NUMBER_FORMATS = {
    "US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d",
}  # fmt: skip
"""Formats of the numbers of binary VRs (PS3.5 6.2), by which struct and NumPy know them, without the byte order."""


def swapped(value: bytes, size: int) -> bytes:
    """Return Big Endian words of ``size`` bytes in Little Endian; a rest that is no whole word is kept."""
    whole = len(value) - len(value) % size
    return np.frombuffer(value[:whole], dtype=f">u{size}").astype(f"<u{size}").tobytes() + value[whole:]
