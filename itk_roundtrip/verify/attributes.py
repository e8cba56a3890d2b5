"""Classify what became of every attribute of a data set, at any depth: kept, reformatted, changed, lost, added.

Both data sets come from pydicom and are compared as they stand, undecoded, wherever that settles it. Nothing here is
shared with the modules that write.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pydicom
from pydicom.charset import convert_encodings, decode_bytes, default_encoding, python_encoding
from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag, private_dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.multival import MultiValue
from pydicom.values import convert_SQ

from itk_roundtrip import tags
from itk_roundtrip.dicom.decimals import decimal, decimals
from itk_roundtrip.tags import tag_text
from itk_roundtrip.verify.findings import Outcome
from itk_roundtrip.words import counted

Element = DataElement | RawDataElement
Place = tuple[Dataset, int]
"""A data set or item, and a tag in it."""

_WORD_BYTES = {
    "AT": 2, "OW": 2, "SS": 2, "US": 2, "FL": 4, "OF": 4, "OL": 4, "SL": 4, "UL": 4,
    "FD": 8, "OD": 8, "OV": 8, "SV": 8, "UV": 8,
}  # fmt: skip
"""Bytes per word of the VRs whose byte order depends on the transfer syntax (PS3.5 7.3)."""
_NUMBER_DTYPES = {
    "FD": "<f8", "FL": "<f4", "SL": "<i4", "SS": "<i2", "SV": "<i8", "UL": "<u4", "US": "<u2", "UV": "<u8",
}  # fmt: skip
_DECIMAL = frozenset({"DS", "IS"})
ENCODED_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""VRs whose bytes mean what Specific Character Set says (PS3.5 6.1.2.3)."""
_TEXT = ENCODED_VRS | _DECIMAL | {"AE", "AS", "CS", "DA", "DT", "TM", "UI", "UR"}
_SHOWN = 64
"""Characters of a value that are shown."""


@dataclass(frozen=True)
class Difference:
    """One attribute that is not as it was.

    Attributes
    ----------
    tag
        Of the top level.
    path
        Keywords down to the attribute; of a private one its tag and creator.
    vr
        Of the attribute itself, as far as known.
    leaf
        Tag of the attribute itself.
    outcome
        What became of it.
    detail
        What a message adds to the outcome; empty or words without values.
    before, after
        The data sets that hold it and its tag in each; ``None`` where it is absent.
    """

    tag: int
    path: str
    vr: str
    leaf: int
    outcome: Outcome
    detail: str = ""
    before: Place | None = field(default=None, repr=False)
    after: Place | None = field(default=None, repr=False)

    @property
    def old(self) -> str | None:
        """The value that it had, for display."""
        return self._shown[0]

    @property
    def new(self) -> str | None:
        """The value that it has, for display."""
        return self._shown[1]

    @cached_property
    def _shown(self) -> tuple[str | None, str | None]:
        """Old and new value, shortened; of long ones that begin alike, from shortly before where they differ."""
        old, new = (shown(*place) if place else None for place in (self.before, self.after))
        start = 0
        if old and new and max(len(old), len(new)) > _SHOWN:
            pairs = enumerate(zip(old, new, strict=False))
            alike = next((index for index, (one, other) in pairs if one != other), min(len(old), len(new)))
            start = max(0, alike - _SHOWN // 2)
        return _shortened(old, start), _shortened(new, start)


@dataclass
class Comparison:
    """What became of all attributes of one data set: tags of the top level that are as they were, and the rest."""

    kept: list[int] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)


def elements(dataset: Dataset) -> dict[int, Element]:
    """Return the elements of a data set by tag, undecoded where pydicom has not decoded them."""
    return {int(tag): element for tag, element in dataset.items()}


def undecoded(dataset: FileDataset) -> FileDataset:
    """Return a data set with the same elements, in which some may be decoded without being so in the other."""
    twin = copy.copy(dataset)
    twin._dict = dict(dataset._dict)
    return twin


def element_of(dataset: Dataset, tag: int) -> Element | None:
    """Return an element as it stands in a data set, also an empty one, which pydicom decodes otherwise."""
    found = dataset.get_item(tag, keep_deferred=True)
    return found if isinstance(found, DataElement | RawDataElement) else None


def raw(dataset: Dataset, tag: int) -> bytes:
    """Return the value of an attribute as bytes, without padding; empty if absent."""
    return value_of(element_of(dataset, tag))


def value_of(element: Element | None) -> bytes:
    """Return the value of an element as bytes, without padding; empty if there is none."""
    if isinstance(element, RawDataElement):
        return bytes(element.value or b"").rstrip(b" \0")
    return b"" if element is None else joined(element.value).encode("utf-8", "surrogateescape")


def text(dataset: Dataset, tag: int) -> str:
    """Return the value of an attribute as ASCII text, without padding; empty if absent."""
    return raw(dataset, tag).decode("ascii", "replace").strip()


def joined(value: Any) -> str:
    """Return a decoded value as one text."""
    if value is None or isinstance(value, pydicom.Sequence):
        return ""
    return "\\".join(map(str, value)) if isinstance(value, MultiValue | list) else str(value)


def decoded(dataset: Dataset, tag: int) -> str:
    """Return a text, decoded as its character set says, or as Latin-1 if it does not fit that."""
    if tag not in dataset:
        return ""
    try:
        return joined(dataset[tag].value).strip()
    except Exception:  # whatever pydicom meets in bytes that do not fit
        return raw(dataset, tag).decode("latin-1").strip()


def items(dataset: Dataset, tag: int) -> list[Dataset]:
    """Return the items of a sequence; none if it is absent or no sequence."""
    try:
        value = dataset[tag].value if tag in dataset else None
    except Exception:  # whatever pydicom meets in bytes that are no sequence
        return []
    return list(value) if isinstance(value, pydicom.Sequence) else []


def numbers(dataset: Dataset, tag: int) -> tuple[float, ...]:
    """Return the numbers of a text or binary attribute; none if it is absent or holds something else."""
    element = element_of(dataset, tag)
    if element is None or (not element.value and element.value != 0):  # a decoded 0 is a number
        return ()
    try:
        if isinstance(element, RawDataElement) and (vr := _vr(element, tag)) in _DECIMAL:
            return decimals(element.value.decode("ascii").rstrip(" \0"))
        if isinstance(element, RawDataElement) and vr in _NUMBER_DTYPES and element.is_little_endian:
            return tuple(np.frombuffer(element.value, _NUMBER_DTYPES[vr]).tolist())
        value = dataset[tag].value
        return tuple(float(one) for one in (value if isinstance(value, MultiValue | list) else [value]))
    except Exception:  # whatever pydicom meets in text that is no number
        return ()


def vr_of(tag: int) -> str:
    """Return the VR of a public attribute as the dictionary has it; empty if it does not know it."""
    return dictionary_VR(tag) if dictionary_has_tag(tag) else ""


def compare(source: FileDataset, written: FileDataset, *, skip: frozenset[int] = frozenset()) -> Comparison:
    """Classify all attributes of two data sets.

    Parameters
    ----------
    source, written
        Whole data sets, as pydicom read them; what is looked into is decoded in place.
    skip
        Tags of the top level that are left out, beside group lengths.
    """
    result = Comparison()
    sides = Encodings(
        character_set(source), character_set(written), *(bool(one.original_encoding[0]) for one in (source, written))
    )
    result.differences += _compare(source, written, "", None, sides, skip, result.kept)
    return result


def compare_items(before: Sequence[Dataset], after: Sequence[Dataset], tag: int) -> list[Difference]:
    """Return what differs between items of one sequence, item by item."""
    name = keyword_for_tag(tag) or tag_text(tag)
    return list(_compare_items(before, after, name, tag, Encodings()))


@dataclass(frozen=True)
class Encodings:
    """How the two sides of a comparison are encoded: character sets, and whether in Implicit VR."""

    old_character_set: str = ""
    new_character_set: str = ""
    old_implicit: bool = False
    new_implicit: bool = False

    @property
    def relabelled(self) -> bool:
        """Whether the character sets differ."""
        return self.old_character_set != self.new_character_set

    def inside(self, source: Dataset, written: Dataset) -> Encodings:
        """Return the same for two items, which may have a character set of their own (PS3.5 7.5.3)."""
        if tags.SPECIFIC_CHARACTER_SET not in source and tags.SPECIFIC_CHARACTER_SET not in written:
            return self
        return replace(
            self,
            old_character_set=character_set(source) or self.old_character_set,
            new_character_set=character_set(written) or self.new_character_set,
        )


def character_set(dataset: Dataset) -> str:
    """Return Specific Character Set (0008,0005) as one text; empty if absent."""
    return text(dataset, tags.SPECIFIC_CHARACTER_SET)


def _compare(
    source: Dataset,
    written: Dataset,
    prefix: str,
    top: int | None,
    sides: Encodings,
    skip: frozenset[int] = frozenset(),
    kept: list[int] | None = None,
) -> Iterator[Difference]:
    before, after = elements(source), elements(written)
    odd = any(tag >> 16 & 1 for tag in (*before, *after))
    homes = (_creators(before), _creators(after)) if odd else ({}, {})
    strays: tuple[list[int], list[int]] = [], []  # private, lost from or added to a place
    for tag in sorted(before.keys() | after.keys()):
        if tag in skip or not tag & 0xFFFF:  # group lengths, and the zeros that fill up a file
            continue
        ours, theirs = before.get(tag), after.get(tag)
        private = tag >> 16 & 1
        if private and (ours is None or theirs is None or _home(homes[0], tag) != _home(homes[1], tag)):
            for stray, element in zip(strays, (ours, theirs), strict=True):
                if element is not None:
                    stray.append(tag)
            continue
        same = _same_bytes(ours, theirs, sides.relabelled)
        if not same:
            path = prefix + (_private_name(homes[0], tag) if private else keyword_for_tag(tag) or tag_text(tag))
            found = list(_difference(source, written, tag, path, top or tag, sides))
            yield from found
            same = not found
        if same and kept is not None:
            kept.append(tag)
    yield from _compare_strays(source, written, homes, strays, prefix, top, sides)


def _compare_strays(
    source: Dataset,
    written: Dataset,
    homes: tuple[dict[tuple[int, int], bytes], dict[tuple[int, int], bytes]],
    strays: tuple[list[int], list[int]],
    prefix: str,
    top: int | None,
    sides: Encodings,
) -> Iterator[Difference]:
    """Yield what became of private attributes that are not in their place: moved to another block, lost or added."""
    places = {(tag >> 16, _home(homes[1], tag), _offset(tag)): tag for tag in strays[1]}
    added = set(strays[1])
    for tag in strays[0]:
        path = prefix + _private_name(homes[0], tag)
        place = places.get((tag >> 16, _home(homes[0], tag), _offset(tag)))
        ours = element_of(source, tag)
        vr = _vr(ours, tag)
        if place is None or place not in added:
            yield Difference(top or tag, path, vr, tag, "lost", "", (source, tag), None)
            continue
        added.discard(place)
        if _same_bytes(ours, element_of(written, place), sides.relabelled):
            yield Difference(top or tag, path, vr, tag, "moved", f"to {tag_text(place)}")
        else:
            detail = f"and moved to {tag_text(place)}"
            yield Difference(top or tag, path, vr, tag, "changed", detail, (source, tag), (written, place))
    for tag in sorted(added):
        path = prefix + _private_name(homes[1], tag)
        vr = _vr(element_of(written, tag), tag)
        yield Difference(top or tag, path, vr, tag, "added", "", None, (written, tag))


def _creators(found: dict[int, Element]) -> dict[tuple[int, int], bytes]:
    """Return the private creators by group and block (PS3.5 7.8.1)."""
    creators = {}
    for tag, element in found.items():
        if tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
            value = element.value
            name = bytes(value or b"") if isinstance(element, RawDataElement) else joined(value).encode()
            creators[tag >> 16, tag & 0xFFFF] = name.strip(b" \0")
    return creators


def _home(creators: dict[tuple[int, int], bytes], tag: int) -> bytes | None:
    """Return the creator that a private attribute belongs to; of a creator itself, what it says."""
    return creators.get((tag >> 16, tag & 0xFFFF if tag & 0xFF00 == 0 else tag >> 8 & 0xFF))


def _offset(tag: int) -> int:
    """Return the place of a private attribute within its block; all creators have one place."""
    return -1 if tag & 0xFF00 == 0 else tag & 0xFF


def _private_name(creators: dict[tuple[int, int], bytes], tag: int) -> str:
    if tag & 0xFF00 == 0:
        return f"{tag_text(tag)} private creator"
    name = (_home(creators, tag) or b"no creator").decode("ascii", "replace")
    return f"{tag_text(tag)} {name}"


def _same_bytes(ours: Element | None, theirs: Element | None, relabelled: bool) -> bool:
    """Tell whether two undecoded elements of one encoding hold the same VR and the same bytes."""
    return (
        isinstance(ours, RawDataElement)
        and isinstance(theirs, RawDataElement)
        and (ours.value or b"") == (theirs.value or b"")
        and ours.VR == theirs.VR
        and ours.is_implicit_VR == theirs.is_implicit_VR
        and ours.is_little_endian == theirs.is_little_endian
        and not (relabelled and ours.value and _may_be_read_anew(ours))
    )


def _may_be_read_anew(element: RawDataElement) -> bool:
    """Tell whether another character set may give the bytes another meaning."""
    vr = element.VR or vr_of(int(element.tag)) or "UN"
    value = bytes(element.value or b"")
    return vr == "SQ" or (vr in ENCODED_VRS | {"UN"} and (not value.isascii() or b"\x1b" in value))


def _vr(element: Element | None, tag: int) -> str:
    """Return the VR of an element: its own, or in Implicit VR what the dictionary says; empty if neither is known."""
    return str(element.VR) if element is not None and element.VR else vr_of(tag)


def _stated_vr(element: Element, implicit: bool) -> str:
    """Return the VR that stands in the file; empty in Implicit VR, where none does."""
    if isinstance(element, RawDataElement):
        return str(element.VR or "")
    return "" if implicit else str(element.VR)


def _difference(
    source: Dataset, written: Dataset, tag: int, path: str, top: int, sides: Encodings
) -> Iterator[Difference]:
    """Yield what became of one attribute that is not the same to the byte; nothing if it is the same all the same."""
    ours, theirs = element_of(source, tag), element_of(written, tag)
    vr = _vr(ours if ours is not None else theirs, tag)

    def difference(outcome: Outcome, detail: str = "") -> Difference:
        before = (source, tag) if ours is not None else None
        after = (written, tag) if theirs is not None else None
        return Difference(top, path, vr, tag, outcome, detail, before, after)

    if ours is None or theirs is None:
        yield difference("added" if ours is None else "lost")
        return
    stated = _stated_vr(ours, sides.old_implicit), _stated_vr(theirs, sides.new_implicit)
    if all(stated) and stated[0] != stated[1]:
        yield difference("VR changed", f"from {stated[0]} to {stated[1]}")
        return
    raw_ones = isinstance(ours, RawDataElement) and isinstance(theirs, RawDataElement)
    if raw_ones and not sides.relabelled and _bytes(source, tag) == _bytes(written, tag):
        return  # Implicit and Explicit VR, or UN beside it
    candidates = (*stated, _vr(ours, tag), _vr(theirs, tag), _private_vr(source, tag))
    known = [one for one in candidates if one not in ("", "UN")]
    if not known and vr_of(tag) == "SQ":
        known = ["SQ"]  # items that a relay without a dictionary gave VR UN (PS3.5 6.2.2)
    vr = known[0] if known else "UN"
    try:
        if vr == "SQ" or any(isinstance(one.value, pydicom.Sequence) for one in (ours, theirs)):
            yield from _compare_sequences(source, written, tag, path, top, sides, difference)
            return
        if not raw_ones:
            if joined(source[tag].value) != joined(written[tag].value):  # pydicom decoded one of them
                yield difference("changed")
            return
        outcome = _compare_values(source, written, tag, vr, sides)
    except Exception:  # whatever pydicom meets in bytes that do not fit their VR
        outcome = "changed"
    if outcome is not None:
        yield difference(outcome)


def _private_vr(dataset: Dataset, tag: int) -> str:
    if not tag >> 16 & 1:
        return ""
    creator = _home(_creators(elements(dataset)), tag)
    try:
        return private_dictionary_VR(tag, (creator or b"").decode("ascii", "replace"))
    except KeyError:
        return ""


def _compare_sequences(
    source: Dataset, written: Dataset, tag: int, path: str, top: int, sides: Encodings, difference: Any
) -> Iterator[Difference]:
    before, after = _sequence(source, tag), _sequence(written, tag)
    if before is not None and after is not None:
        yield from _compare_items(before, after, path, top, sides)
    elif _bytes(source, tag) != _bytes(written, tag):
        yield difference("changed")


def _sequence(dataset: Dataset, tag: int) -> Sequence[Dataset] | None:
    """Return the items of a sequence, also of one in Implicit VR that no dictionary knows; ``None`` if it is none."""
    element = element_of(dataset, tag)
    if element is None or not element.value:
        return ()
    try:
        if isinstance(element, RawDataElement) and _vr(element, tag) != "SQ":
            return list(convert_SQ(bytes(element.value), True, element.is_little_endian, [default_encoding]))
        value = dataset[tag].value
    except Exception:  # whatever pydicom meets in bytes that are no items
        return None
    return value if isinstance(value, pydicom.Sequence) else None


def _compare_items(
    before: Sequence[Dataset], after: Sequence[Dataset], path: str, top: int, sides: Encodings
) -> Iterator[Difference]:
    if len(before) != len(after):
        outcome: Outcome = "lost" if len(after) < len(before) else "added"
        leaf = f"{path}[{min(len(before), len(after))}]"
        yield Difference(top, leaf, "SQ", top, outcome, f"({counted(len(after), 'item')}, not {len(before)})")
    if len(before) <= len(after) or not _is_part(before, after, sides):
        for index, (ours, theirs) in enumerate(zip(before, after, strict=False)):
            yield from _compare(ours, theirs, f"{path}[{index}].", top, sides.inside(ours, theirs))


def _is_part(before: Sequence[Dataset], after: Sequence[Dataset], sides: Encodings) -> bool:
    """Tell whether what is left of a sequence are some of its items, in order and unchanged."""
    left = iter(before)
    return all(any(not list(_compare(one, item, "", 0, sides.inside(one, item))) for one in left) for item in after)


def _bytes(dataset: Dataset, tag: int) -> bytes:
    """Return the value bytes of an undecoded element, in little endian."""
    element = element_of(dataset, tag)
    if not isinstance(element, RawDataElement):
        value = element.value if element is not None else b""
        return value if isinstance(value, bytes) else joined(value).encode("utf-8", "surrogateescape")
    value = bytes(element.value or b"")
    size = 1 if element.is_little_endian else _WORD_BYTES.get(_vr(element, tag).split(" or ")[-1], 1)
    if size > 1 and len(value) % size == 0:
        return np.frombuffer(value, f">u{size}").astype(f"<u{size}").tobytes()
    return value


def _compare_values(source: Dataset, written: Dataset, tag: int, vr: str, sides: Encodings) -> Outcome | None:
    before, after = _bytes(source, tag), _bytes(written, tag)
    if (
        sides.relabelled
        and vr in ENCODED_VRS
        and not (before.isascii() and after.isascii() and b"\x1b" not in before + after)
    ):
        reads = read_text(before, vr, sides.old_character_set), read_text(after, vr, sides.new_character_set)
        return None if reads[0] == reads[1] is not None else "changed"
    if vr not in _TEXT:
        # Values are of even length (PS3.5 7.1.1): one that was not got its pad byte.
        return None if before == after or before + b"\0" * (len(before) % 2) == after else "changed"
    pad = b" \0"
    if before.rstrip(pad) == after.rstrip(pad):
        return None
    parts = [[part.strip(pad) for part in value.split(b"\\")] for value in (before, after)]
    if vr in _DECIMAL:
        values = [[decimal(part.decode("latin-1")) if part else part for part in one] for one in parts]
        if values[0] == values[1] and None not in values[0]:
            return "reformatted"
    elif vr not in ("LT", "ST", "UT", "PN") and parts[0] == parts[1]:
        return "reformatted"  # spaces around a value of several (PS3.5 6.2)
    return "changed"


@lru_cache(maxsize=2000)
def are_known_character_sets(character_set: str) -> bool:
    """Tell whether a value of Specific Character Set (0008,0005) holds terms of the standard (PS3.3 C.12.1.1.2)."""
    return all(term.strip() in python_encoding for term in character_set.split("\\"))


def read_text(value: bytes, vr: str, character_set: str) -> str | None:
    """Return an encoded text, decoded strictly; ``None`` if it does not fit its character set, or that is unknown.

    Parameters
    ----------
    value
        As it stands in the file.
    vr
        One of those that Specific Character Set applies to.
    character_set
        Value of Specific Character Set (0008,0005); empty for the default repertoire (PS3.3 C.12.1.1.2).
    """
    value = value.rstrip(b" \0")
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii")  # in every character set
    terms = [term.strip() for term in character_set.split("\\")]
    if not are_known_character_sets(character_set):
        return None
    if terms in ([""], ["ISO_IR 6"]):
        return None
    delimiters = {0x5E, 0x3D, 0x5C} if vr == "PN" else {0x5C} if vr in ("LO", "SH", "UC") else set()
    try:
        told = decode_bytes(value, convert_encodings(terms), {*delimiters, 0x0A, 0x0C, 0x0D})
    except Exception:  # whatever pydicom meets in bytes that do not fit
        return None
    return None if "\N{REPLACEMENT CHARACTER}" in told else told


def shown(dataset: Dataset, tag: int) -> str | None:
    """Return the value of an attribute for display, whole; of bytes and sequences their size."""
    element = element_of(dataset, tag)
    if element is None:
        return None
    vr = _vr(element, tag).split(" or ")[0]
    if isinstance(element.value, pydicom.Sequence):
        return counted(len(element.value), "item")
    if vr == "SQ":
        return counted(len(items(dataset, tag)), "item")
    if vr in _TEXT:
        value = decoded(dataset, tag)
    elif not isinstance(element, RawDataElement) and not isinstance(element.value, bytes):
        value = joined(element.value)  # pydicom decoded it
    else:
        content = _bytes(dataset, tag)
        if vr == "AT" and len(content) % 4 == 0:
            pairs = np.frombuffer(content, "<u2").reshape(-1, 2).tolist()
            return "\\".join(tag_text(group << 16 | number) for group, number in pairs)
        if vr not in _NUMBER_DTYPES or len(content) % _WORD_BYTES[vr]:
            return counted(len(content), "byte")
        value = "\\".join(map(str, np.frombuffer(content, _NUMBER_DTYPES[vr]).tolist()))
    return value


def _shortened(value: str | None, start: int) -> str | None:
    if value is None:
        return None
    value = f"...{value[start:]}" if start else value
    return value if len(value) <= _SHOWN else value[: _SHOWN - 3] + "..."
