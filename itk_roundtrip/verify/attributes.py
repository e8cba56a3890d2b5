"""Comparison of two data sets, attribute by attribute at any depth: kept, reformatted, changed, lost, added.

Both data sets come from pydicom and are compared as they stand, undecoded, wherever that settles it. Nothing here is
shared with the modules that write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np
import pydicom
from pydicom.charset import convert_encodings, decode_bytes, default_encoding, python_encoding
from pydicom.datadict import keyword_for_tag, private_dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.values import convert_SQ

from itk_roundtrip import tags
from itk_roundtrip.dicom.decimals import decimal
from itk_roundtrip.dicom.encoding import NUMBER_FORMATS, WORD_BYTES
from itk_roundtrip.dicom.values import Element, decoded, element_of, elements, items, joined, text, vr_of, vr_of_element
from itk_roundtrip.tags import tag_text
from itk_roundtrip.verify.findings import Outcome
from itk_roundtrip.words import counted

Place = tuple[Dataset, int]
"""Data set or sequence item, and a tag in it."""

# A private attribute is one of an odd group: tag >> 16 & 1. Its element number is 00gg for the Private Creator of block
# gg, and ggee for the element ee of that block (PS3.5 7.8.1).

_DECIMAL = frozenset({"DS", "IS"})
ENCODED_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""VRs whose bytes mean what Specific Character Set says (PS3.5 6.1.2.3)."""
_TEXT = ENCODED_VRS | _DECIMAL | {"AE", "AS", "CS", "DA", "DT", "TM", "UI", "UR"}
_SHOWN = 64
"""Characters of a value that are shown."""


@dataclass(frozen=True)
class Difference:
    """An attribute that differs between the source and the written data set.

    Attributes
    ----------
    tag
        Tag at the top level: of the attribute itself, or of the sequence that holds it.
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
        """Old and new value, cut to the length shown; long ones from shortly before the first difference."""
        old, new = (shown(*place) if place else None for place in (self.before, self.after))
        start = 0
        if old and new and max(len(old), len(new)) > _SHOWN:
            differing = (index for index, (before, after) in enumerate(zip(old, new, strict=False)) if before != after)
            start = max(0, next(differing, min(len(old), len(new))) - _SHOWN // 2)
        return _shortened(old, start), _shortened(new, start)


@dataclass
class Comparison:
    """Tags of the top level whose attributes are the same in both data sets, and the differences of all others."""

    kept: list[int] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)


def compare(source: FileDataset, written: FileDataset, *, skip: frozenset[int] = frozenset()) -> Comparison:
    """Compare all attributes of two data sets.

    Parameters
    ----------
    source, written
        Whole data sets, as pydicom read them; what is looked into is decoded in place.
    skip
        Tags of the top level that are left out, beside group lengths.
    """
    result = Comparison()
    encodings = Encodings(
        old_character_set=character_set(source),
        new_character_set=character_set(written),
        old_implicit=bool(source.original_encoding[0]),
        new_implicit=bool(written.original_encoding[0]),
    )
    result.differences += _compare(source, written, "", None, encodings, skip, result.kept)
    return result


def compare_items(before: Sequence[Dataset], after: Sequence[Dataset], tag: int) -> list[Difference]:
    """Return the differences between two lists of items of one sequence, item by item."""
    name = keyword_for_tag(tag) or tag_text(tag)
    return list(_compare_items(before, after, name, tag, Encodings()))


@dataclass(frozen=True)
class Encodings:
    """Specific Character Set of source and written data set, and whether each is in Implicit VR."""

    old_character_set: str = ""
    new_character_set: str = ""
    old_implicit: bool = False
    new_implicit: bool = False

    @property
    def relabelled(self) -> bool:
        """Whether the character sets differ."""
        return self.old_character_set != self.new_character_set

    def inside(self, source: Dataset, written: Dataset) -> Encodings:
        """Return the encodings of two items, which may have a Specific Character Set of their own (PS3.5 7.5.3)."""
        if tags.SPECIFIC_CHARACTER_SET not in source and tags.SPECIFIC_CHARACTER_SET not in written:
            return self
        return replace(
            self,
            old_character_set=character_set(source) or self.old_character_set,
            new_character_set=character_set(written) or self.new_character_set,
        )


def character_set(dataset: Dataset) -> str:
    """Return the value of Specific Character Set (0008,0005), all of it; empty if absent."""
    return text(dataset, tags.SPECIFIC_CHARACTER_SET)


def _compare(
    source: Dataset,
    written: Dataset,
    prefix: str,
    top: int | None,
    encodings: Encodings,
    skip: frozenset[int] = frozenset(),
    kept: list[int] | None = None,
) -> Iterator[Difference]:
    """Yield the differences of two data sets or items, and add the tags of attributes without any to ``kept``."""
    before, after = elements(source), elements(written)
    has_private = any(tag >> 16 & 1 for tag in (*before, *after))
    creators = (_creators(before), _creators(after)) if has_private else ({}, {})
    may_be_moved = creators[0] != creators[1]
    unplaced: tuple[list[int], list[int]] = [], []  # private tags of each side without a counterpart at that tag
    for tag in sorted(before.keys() | after.keys()):
        if tag in skip or not tag & 0xFFFF:  # group lengths, and the zeros that fill up a file
            continue
        source_element, written_element = before.get(tag), after.get(tag)
        private = tag >> 16 & 1
        if source_element is written_element and not encodings.relabelled and not (private and may_be_moved):
            if kept is not None:
                kept.append(tag)
            continue
        if private and (
            source_element is None
            or written_element is None
            or _creator_of(creators[0], tag) != _creator_of(creators[1], tag)
        ):
            for unplaced_tags, element in zip(unplaced, (source_element, written_element), strict=True):
                if element is not None:
                    unplaced_tags.append(tag)
            continue
        same = _same_bytes(source_element, written_element, encodings.relabelled)
        if not same:
            path = prefix + (_private_name(creators[0], tag) if private else keyword_for_tag(tag) or tag_text(tag))
            differences = list(_difference(source, written, tag, path, top or tag, encodings))
            yield from differences
            same = not differences
        if same and kept is not None:
            kept.append(tag)
    yield from _compare_unplaced(source, written, creators, unplaced, prefix, top, encodings)


def _compare_unplaced(
    source: Dataset,
    written: Dataset,
    creators: tuple[dict[tuple[int, int], bytes], dict[tuple[int, int], bytes]],
    unplaced: tuple[list[int], list[int]],
    prefix: str,
    top: int | None,
    encodings: Encodings,
) -> Iterator[Difference]:
    """Yield the differences of private attributes that are moved to another block (PS3.5 7.8.1), lost or added."""
    places = {(tag >> 16, _creator_of(creators[1], tag), _offset(tag)): tag for tag in unplaced[1]}
    added = set(unplaced[1])
    for tag in unplaced[0]:
        path = prefix + _private_name(creators[0], tag)
        place = places.get((tag >> 16, _creator_of(creators[0], tag), _offset(tag)))
        element = element_of(source, tag)
        vr = vr_of_element(element, tag)
        if place is None or place not in added:
            yield Difference(top or tag, path, vr, tag, "lost", "", (source, tag), None)
            continue
        added.discard(place)
        if _same_bytes(element, element_of(written, place), encodings.relabelled):
            yield Difference(top or tag, path, vr, tag, "moved", f"to {tag_text(place)}")
        else:
            detail = f"and moved to {tag_text(place)}"
            yield Difference(top or tag, path, vr, tag, "changed", detail, (source, tag), (written, place))
    for tag in sorted(added):
        path = prefix + _private_name(creators[1], tag)
        vr = vr_of_element(element_of(written, tag), tag)
        yield Difference(top or tag, path, vr, tag, "added", "", None, (written, tag))


def _creators(by_tag: Mapping[int, Element]) -> dict[tuple[int, int], bytes]:
    """Return the values of Private Creator by group and block (PS3.5 7.8.1)."""
    creators = {}
    for tag, element in by_tag.items():
        if tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
            value = element.value
            name = bytes(value or b"") if isinstance(element, RawDataElement) else joined(value).encode()
            creators[tag >> 16, tag & 0xFFFF] = name.strip(b" \0")
    return creators


def _creator_of(creators: dict[tuple[int, int], bytes], tag: int) -> bytes | None:
    """Return the Private Creator that a private attribute belongs to; of a Private Creator itself, its value."""
    return creators.get((tag >> 16, tag & 0xFFFF if tag & 0xFF00 == 0 else tag >> 8 & 0xFF))


def _offset(tag: int) -> int:
    """Return the element number of a private attribute within its block; -1 for every Private Creator."""
    return -1 if tag & 0xFF00 == 0 else tag & 0xFF


def _private_name(creators: dict[tuple[int, int], bytes], tag: int) -> str:
    """Return the tag of a private attribute and its Private Creator, for display."""
    if tag & 0xFF00 == 0:
        return f"{tag_text(tag)} private creator"
    name = (_creator_of(creators, tag) or b"no creator").decode("ascii", "replace")
    return f"{tag_text(tag)} {name}"


def _same_bytes(source_element: Element | None, written_element: Element | None, relabelled: bool) -> bool:
    """Tell whether two undecoded elements have the same encoding, VR, value bytes and meaning of these."""
    return (
        isinstance(source_element, RawDataElement)
        and isinstance(written_element, RawDataElement)
        and (source_element.value or b"") == (written_element.value or b"")
        and source_element.VR == written_element.VR
        and source_element.is_implicit_VR == written_element.is_implicit_VR
        and source_element.is_little_endian == written_element.is_little_endian
        and not (relabelled and source_element.value and _may_be_read_anew(source_element))
    )


def _may_be_read_anew(element: RawDataElement) -> bool:
    """Tell whether the value of an element may mean something else in another character set."""
    vr = element.VR or vr_of(int(element.tag)) or "UN"
    value = bytes(element.value or b"")
    return vr == "SQ" or (vr in ENCODED_VRS | {"UN"} and (not value.isascii() or b"\x1b" in value))


def _stated_vr(element: Element, implicit: bool) -> str:
    """Return the explicit VR of an element; empty in Implicit VR."""
    if isinstance(element, RawDataElement):
        return str(element.VR or "")
    return "" if implicit else str(element.VR)


def _difference(
    source: Dataset, written: Dataset, tag: int, path: str, top: int, encodings: Encodings
) -> Iterator[Difference]:
    """Yield the differences of an attribute whose elements are not the same to the byte; none if they mean the same."""
    source_element, written_element = element_of(source, tag), element_of(written, tag)
    if source_element is None:
        yield Difference(top, path, vr_of_element(written_element, tag), tag, "added", "", None, (written, tag))
        return
    if written_element is None:
        yield Difference(top, path, vr_of_element(source_element, tag), tag, "lost", "", (source, tag), None)
        return
    places = (source, tag), (written, tag)
    old_vr, new_vr = (
        _stated_vr(source_element, encodings.old_implicit),
        _stated_vr(written_element, encodings.new_implicit),
    )
    if old_vr and new_vr and old_vr != new_vr:
        yield Difference(
            top, path, vr_of_element(source_element, tag), tag, "VR changed", f"from {old_vr} to {new_vr}", *places
        )
        return
    both_raw = isinstance(source_element, RawDataElement) and isinstance(written_element, RawDataElement)
    if both_raw and not encodings.relabelled and _bytes(source, tag) == _bytes(written, tag):
        return  # one in Implicit VR or as UN, the other with its VR
    vr = _known_vr(
        old_vr,
        new_vr,
        vr_of_element(source_element, tag),
        vr_of_element(written_element, tag),
        _private_vr(source, tag),
        tag=tag,
    )
    outcome: Outcome | None
    try:
        if vr == "SQ" or any(
            isinstance(element.value, pydicom.Sequence) for element in (source_element, written_element)
        ):
            before, after = _sequence(source, tag), _sequence(written, tag)
            if before is not None and after is not None:
                yield from _compare_items(before, after, path, top, encodings)
                return
            outcome = "changed" if _bytes(source, tag) != _bytes(written, tag) else None
        elif both_raw:
            outcome = _compare_values(source, written, tag, vr, encodings)
        else:  # pydicom decoded one of them
            outcome = "changed" if joined(source[tag].value) != joined(written[tag].value) else None
    except Exception:  # whatever pydicom meets in bytes that do not fit their VR
        outcome = "changed"
    if outcome is not None:
        yield Difference(top, path, vr, tag, outcome, "", *places)


def _known_vr(*candidates: str, tag: int) -> str:
    """Return the first VR that is neither empty nor UN; UN if there is none, or SQ for a sequence of the dictionary."""
    vr = next((candidate for candidate in candidates if candidate not in ("", "UN")), "UN")
    # Relays without a dictionary give sequences VR UN (PS3.5 6.2.2).
    return "SQ" if vr == "UN" and vr_of(tag) == "SQ" else vr


def _private_vr(dataset: Dataset, tag: int) -> str:
    """Return the VR of a private attribute from pydicom's dictionary of private ones; empty if that lacks it."""
    if not tag >> 16 & 1:
        return ""
    creator = _creator_of(_creators(elements(dataset)), tag)
    try:
        return private_dictionary_VR(tag, (creator or b"").decode("ascii", "replace"))
    except KeyError:
        return ""


def _sequence(dataset: Dataset, tag: int) -> Sequence[Dataset] | None:
    """Return the items of a sequence, also of one that the dictionary does not know; ``None`` if they are no items."""
    element = element_of(dataset, tag)
    if element is None or not element.value:
        return ()
    try:
        if isinstance(element, RawDataElement) and vr_of_element(element, tag) != "SQ":
            return list(convert_SQ(bytes(element.value), True, element.is_little_endian, [default_encoding]))
        value = dataset[tag].value
    except Exception:  # whatever pydicom meets in bytes that are no items
        return None
    return value if isinstance(value, pydicom.Sequence) else None


def _compare_items(
    before: Sequence[Dataset], after: Sequence[Dataset], path: str, top: int, encodings: Encodings
) -> Iterator[Difference]:
    """Yield the differences of the items of a sequence, and of their number."""
    if len(before) != len(after):
        outcome: Outcome = "lost" if len(after) < len(before) else "added"
        leaf = f"{path}[{min(len(before), len(after))}]"
        yield Difference(top, leaf, "SQ", top, outcome, f"({counted(len(after), 'item')}, not {len(before)})")
    if len(before) <= len(after) or not _is_part(before, after, encodings):
        for index, (old_item, new_item) in enumerate(zip(before, after, strict=False)):
            yield from _compare(old_item, new_item, f"{path}[{index}].", top, encodings.inside(old_item, new_item))


def _is_part(before: Sequence[Dataset], after: Sequence[Dataset], encodings: Encodings) -> bool:
    """Tell whether the written items are some of those of the source, in order and unchanged."""
    remaining = iter(before)

    def equal(old_item: Dataset, new_item: Dataset) -> bool:
        """Tell whether two items have no difference."""
        return not list(_compare(old_item, new_item, "", 0, encodings.inside(old_item, new_item)))

    return all(any(equal(old_item, new_item) for old_item in remaining) for new_item in after)


def _bytes(dataset: Dataset, tag: int) -> bytes:
    """Return the value bytes of an element in Little Endian; of a decoded one its text."""
    element = element_of(dataset, tag)
    if not isinstance(element, RawDataElement):
        value = element.value if element is not None else b""
        return value if isinstance(value, bytes) else joined(value).encode("utf-8", "surrogateescape")
    value = bytes(element.value or b"")
    size = 1 if element.is_little_endian else WORD_BYTES.get(vr_of_element(element, tag).split(" or ")[-1], 1)
    if size > 1 and len(value) % size == 0:
        return np.frombuffer(value, f">u{size}").astype(f"<u{size}").tobytes()
    return value


def _compare_values(source: Dataset, written: Dataset, tag: int, vr: str, encodings: Encodings) -> Outcome | None:
    """Return what became of a value whose undecoded bytes differ; ``None`` if both mean the same (PS3.5 6.2)."""
    before, after = _bytes(source, tag), _bytes(written, tag)
    in_default_repertoire = before.isascii() and after.isascii() and b"\x1b" not in before + after
    if encodings.relabelled and vr in ENCODED_VRS and not in_default_repertoire:
        old_text = read_text(before, vr, encodings.old_character_set)
        new_text = read_text(after, vr, encodings.new_character_set)
        return None if old_text == new_text is not None else "changed"
    if vr in _TEXT:
        return _compare_texts(before, after, vr)
    # Values are of even length (PS3.5 7.1.1): an odd one of the source got its pad byte.
    return None if before == after or before + b"\0" * (len(before) % 2) == after else "changed"


def _compare_texts(before: bytes, after: bytes, vr: str) -> Outcome | None:
    """Return what became of the text or the numbers of a value; ``None`` if only its padding differs (PS3.5 6.2)."""
    pad = b" \0"
    if before.rstrip(pad) == after.rstrip(pad):
        return None
    old_values, new_values = ([part.strip(pad) for part in value.split(b"\\")] for value in (before, after))
    if vr in _DECIMAL:
        old_numbers, new_numbers = (
            [decimal(value.decode("latin-1")) if value else value for value in values]
            for values in (old_values, new_values)
        )
        if old_numbers == new_numbers and None not in old_numbers:
            return "reformatted"
    elif vr not in ("LT", "ST", "UT", "PN") and old_values == new_values:
        return "reformatted"  # spaces around a value of several (PS3.5 6.2)
    return "changed"


@lru_cache(maxsize=2000)
def are_known_character_sets(character_set: str) -> bool:
    """Tell whether Specific Character Set (0008,0005) holds defined terms only (PS3.3 C.12.1.1.2)."""
    return all(term.strip() in python_encoding for term in character_set.split("\\"))


@lru_cache(maxsize=2000)
def read_text(value: bytes, vr: str, character_set: str) -> str | None:
    """Return a text decoded strictly by its character set; ``None`` if it does not fit that, or that is unknown.

    Parameters
    ----------
    value
        Bytes of the file.
    vr
        One of :data:`ENCODED_VRS`.
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
        characters = decode_bytes(value, convert_encodings(terms), {*delimiters, 0x0A, 0x0C, 0x0D})
    except Exception:  # whatever pydicom meets in bytes that do not fit
        return None
    return None if "\N{REPLACEMENT CHARACTER}" in characters else characters


def shown(dataset: Dataset, tag: int) -> str | None:
    """Return the whole value of an attribute for display; of bytes and sequences their size."""
    element = element_of(dataset, tag)
    if element is None:
        return None
    vr = vr_of_element(element, tag).split(" or ")[0]
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
        if vr not in NUMBER_FORMATS or len(content) % WORD_BYTES[vr]:
            return counted(len(content), "byte")
        value = "\\".join(map(str, np.frombuffer(content, "<" + NUMBER_FORMATS[vr]).tolist()))
    return value


def _shortened(value: str | None, start: int) -> str | None:
    """Return a value from ``start`` on, cut to the length shown, with dots for what is left out."""
    if value is None:
        return None
    value = f"...{value[start:]}" if start else value
    return value if len(value) <= _SHOWN else value[: _SHOWN - 3] + "..."
