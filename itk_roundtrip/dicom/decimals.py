"""Decimal strings, VR DS (PS3.5 6.2): the parser of all numbers in header text."""

from __future__ import annotations

import math
import re

_DECIMAL = re.compile(r" *[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)? *")


def decimal(text: str) -> float | None:
    """Return the number in a single value of VR DS or IS; ``None`` if it is no finite decimal number.

    ``float`` alone would take ``nan``, ``inf``, ``1_000`` and the digits of other scripts. A value of more than 16
    characters breaks PS3.5 6.2, but its number is not in doubt, and it is taken.
    """
    text = text.strip("\0")
    if not text.isascii() or not _DECIMAL.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def decimals(text: str) -> tuple[float, ...]:
    """Return the numbers of a text of several values; an empty tuple if any value is no decimal number."""
    numbers = []
    for part in text.split("\\"):
        value = decimal(part)
        if value is None:
            return ()
        numbers.append(value)
    return tuple(numbers)
