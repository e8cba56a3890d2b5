"""Decimal strings, VR DS (PS3.5 6.2): the one parser of numbers in header text."""

from __future__ import annotations

import math
import re

_DECIMAL = re.compile(r" *[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)? *")


def decimal(text: str) -> float | None:
    """Return the number that one value of VR DS or IS holds; ``None`` if it holds none, or no finite one.

    Strict where ``float`` is not: that takes ``nan``, ``inf``, ``1_000`` and the digits of other scripts. What number a
    value of more than 16 characters is, is not in doubt.
    """
    text = text.strip("\0")
    if not text.isascii() or not _DECIMAL.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def decimals(text: str) -> tuple[float, ...]:
    """Return the numbers of a text of several values; none of them if one is no decimal number or if it is empty."""
    found = []
    for part in text.split("\\"):
        value = decimal(part)
        if value is None:
            return ()
        found.append(value)
    return tuple(found)
