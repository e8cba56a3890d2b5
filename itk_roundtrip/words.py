"""Numbers with their nouns, and paths, for messages, JSON and names; the order of names."""

from __future__ import annotations

import os
import re
from pathlib import PurePath


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, in the plural unless the number is 1.

    Parameters
    ----------
    number, noun
        The number, and the noun in the singular.
    plural
        Of the noun; noun and "s" if not given.
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def agreeing(number: int, singular: str, plural: str) -> str:
    """Return the form of a word, such as a verb, that agrees with a number: singular for 1."""
    return singular if number == 1 else plural


def posix(path: str | os.PathLike[str]) -> str:
    """Return a path as given, with ``/`` between its parts on every system."""
    if isinstance(path, PurePath):
        return path.as_posix()
    return os.fspath(path) if os.sep == "/" else os.fspath(path).replace(os.sep, "/")


def natural(name: str) -> list[tuple[int, int | str]]:
    """Return a key that sorts ``IM2`` before ``IM10``."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part)) if part.isdecimal() and part.isascii() else (1, part) for part in parts if part]
