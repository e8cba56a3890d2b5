"""Numbers with their nouns, for messages."""

from __future__ import annotations


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
