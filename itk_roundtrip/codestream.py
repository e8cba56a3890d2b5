"""What a JPEG 2000 codestream says of itself (ISO 15444-1 Annex A)."""

from __future__ import annotations

STREAM_HEAD = 1 << 16
"""So many bytes of Pixel Data hold the head of the first codestream."""
_CODING_STYLE = b"\xff\x52"
_START = b"\xff\x4f\xff\x51"
_TRANSFORM = 13
"""Offset of the wavelet transform in the COD segment."""


def is_irreversible(content: bytes) -> bool | None:
    """Tell whether the first codestream in some bytes uses the irreversible wavelet; ``None`` if there is none."""
    start = content.find(_START)
    at = content.find(_CODING_STYLE, start) if start >= 0 else -1
    if at < 0 or at + _TRANSFORM >= len(content):
        return None
    return content[at + _TRANSFORM] == 0
