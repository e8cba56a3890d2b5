"""Numbers with their nouns, and paths, for messages, JSON and names."""

from __future__ import annotations

import os
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
