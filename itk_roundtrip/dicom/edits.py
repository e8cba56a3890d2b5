"""Edits of an encoded data set, as data: what changes, not how it is carried out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """A new value for one attribute, as encoded text without padding."""

    tag: int
    vr: str
    value: bytes


@dataclass(frozen=True)
class Items:
    """A new value for one sequence: all its items."""

    tag: int
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Appended:
    """Items behind those that a sequence has, or the first ones."""

    tag: int
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Nested:
    """Edits inside items of a sequence, by index of the item."""

    tag: int
    edits: Mapping[int, Edits]


@dataclass(frozen=True)
class Removed:
    """An attribute of the top level that the source has and the derived instance must not have."""

    tag: int


Item = tuple[Edit | Items, ...]
"""A new item of a sequence, its attributes in ascending order."""
Edits = dict[int, Edit | Items | Appended | Nested | Removed]
