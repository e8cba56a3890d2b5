"""Tags of attributes as text."""

from __future__ import annotations


def tag_text(tag: int) -> str:
    """Return a tag as ``(gggg,eeee)``."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
