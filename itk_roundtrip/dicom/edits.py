"""Edits of an encoded data set, as data; :mod:`itk_roundtrip.dicom.spans` carries them out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """A new value for an attribute that is no sequence: its encoded bytes without padding."""

    tag: int
    vr: str
    value: bytes


@dataclass(frozen=True)
class Items:
    """A new value for a sequence: all its items."""

    tag: int
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Appended:
    """Items added at the end of a sequence; the sequence is made if there is none."""

    tag: int
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Nested:
    """Edits inside items of a sequence, by index of the item, from 0."""

    tag: int
    edits: Mapping[int, Edits]


@dataclass(frozen=True)
class Removed:
    """An attribute of the top level that the source has and the derived instance must not have."""

    tag: int


Item = tuple[Edit | Items, ...]
"""A new item of a sequence, its attributes in ascending order."""
Edits = dict[int, Edit | Items | Appended | Nested | Removed]
