"""Sequences of an undecoded data set, and new items made of old ones and of codes: what all edits are made with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydicom.charset import convert_encodings
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from itk_roundtrip import tags
from itk_roundtrip.dicom import values
from itk_roundtrip.dicom.edits import Edit, Item, Items
from itk_roundtrip.dicom.encoding import UNDEFINED_LENGTH


def encodings_of(source: Dataset) -> list[str]:
    """Return the Python encodings of Specific Character Set (0008,0005)."""
    return convert_encodings(source.get("SpecificCharacterSet") or "ISO_IR 6")


def sequences_of(source: Dataset) -> Iterator[tuple[int, list[Dataset]]]:
    """Yield tag and items of each sequence of a data set, standard or private."""
    for tag in sorted(map(int, source.keys())):
        element = source.get_item(tag, keep_deferred=True)  # Pixel Data is not read
        if _is_sequence(element, values.vr_of_element(element, tag)) and (items := values.items(source, tag)):
            yield tag, items


def _is_sequence(element: Any, vr: str) -> bool:
    """Tell whether an element is a sequence: a private one, in Implicit VR or VR UN, if its length is undefined."""
    is_long = isinstance(element, RawDataElement) and element.length == UNDEFINED_LENGTH
    return vr == "SQ" or (vr in ("", "UN") and is_long)


def item_of(source: Dataset, changes: Mapping[int, Edit | Items | None], *, signed: bool) -> Item:
    """Return a new item with the elements of an old one and changes to it.

    Parameters
    ----------
    source
        The old item, undecoded.
    changes
        By tag; ``None`` leaves an element out.
    signed
        Pixel Representation of the source, by which values of Implicit VR are US or SS.
    """
    elements: dict[int, Edit | Items] = {}
    for tag in map(int, source.keys()):
        if tag in changes or tag & 0xFFFF == 0:
            continue
        element = source.get_item(tag)
        vr = values.vr_of_element(element, tag) or "UN"
        if _is_sequence(element, vr):
            inside = values.items(source, tag)
            elements[tag] = Items(tag, tuple(item_of(inner, {}, signed=signed) for inner in inside))
        else:
            vr = ("SS" if signed else "US") if vr == "US or SS" else vr.split(" or ")[-1]
            elements[tag] = Edit(tag, vr, values.words_of(element))
    elements.update({tag: change for tag, change in changes.items() if change is not None})
    return tuple(elements[tag] for tag in sorted(elements))


def coded(tag: int, *codes: tuple[str, str, str]) -> Items:
    """Return a code sequence with items of Code Value, Coding Scheme Designator, Code Meaning (PS3.3 8.8)."""
    return Items(tag, code_items(*codes))


def code_items(*codes: tuple[str, str, str]) -> tuple[Item, ...]:
    """Return the items of a code sequence."""
    return tuple(
        (
            Edit(tags.CODE_VALUE, "SH", value.encode("ascii")),
            Edit(tags.CODING_SCHEME_DESIGNATOR, "SH", scheme.encode("ascii")),
            Edit(tags.CODE_MEANING, "LO", meaning.encode("ascii")),
        )
        for value, scheme, meaning in codes
    )
