"""Numbers with their nouns, for messages."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, in the plural where it is one.

    Parameters
    ----------
    number, noun
        How many of what.
    plural
        Of the noun, where it does not end in another "s".
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def agreeing(number: int, singular: str, plural: str) -> str:
    """Return the form of a word, such as a verb, that goes with a number of things."""
    return singular if number == 1 else plural
