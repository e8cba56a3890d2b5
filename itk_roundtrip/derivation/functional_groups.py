"""What a derived multi-frame instance says frame by frame, as edits of its functional groups (PS3.3 C.7.6.16).

All else in them is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from itk_roundtrip import tags
from itk_roundtrip.derivation.plan import coded, items_of, source_evidence, source_reference
from itk_roundtrip.dicom.edits import Appended, Edit, Edits, Item, Items, Nested
from itk_roundtrip.rules import DERIVATION_CODE

SHARED, PER_FRAME = tags.SHARED_FUNCTIONAL_GROUPS_SEQUENCE, tags.PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE
_EVIDENCE = tags.SOURCE_IMAGE_EVIDENCE_SEQUENCE
_FRAME_TYPE, _DERIVATION_IMAGE = tags.FRAME_TYPE, tags.DERIVATION_IMAGE_SEQUENCE


def functional_group_edits(source: Dataset, declared: str) -> Edits:
    """Return the edits of an instance's functional groups; none if it has none.

    Frame Type value 1 becomes DERIVED (C.8.16.1.1); Derivation Image Sequence names what was done and the frame of the
    source, per frame unless it is one that all frames share (C.7.6.16.2.6). Source Image Evidence Sequence then lists
    the source (C.8.13.2.1.2).

    Parameters
    ----------
    source
        Data set of the source instance, undecoded.
    declared
        What was done, and what became of the stored values.
    """
    groups = {tag: items_of(source, tag) for tag in (SHARED, PER_FRAME)}
    own = source_reference(source) is not None
    in_shared = not groups[PER_FRAME] or any(_DERIVATION_IMAGE in item for item in groups[SHARED])
    result: Edits = {}
    for tag, items in groups.items():
        edits: dict[int, Edits] = {}
        for index, item in enumerate(items):
            inside: Edits = dict(_frame_types(item))
            if own and in_shared == (tag == SHARED):
                frame = None if tag == SHARED else index + 1
                inside[_DERIVATION_IMAGE] = Appended(_DERIVATION_IMAGE, (_derivation(source, declared, frame),))
            if inside:
                edits[index] = inside
        if edits:
            result[tag] = Nested(tag, edits)
    if result and (evidence := source_evidence(source)) is not None:
        result[_EVIDENCE] = Appended(_EVIDENCE, (evidence,))
    return result


def _frame_types(item: Dataset) -> Iterator[tuple[int, Nested]]:
    """Yield the edits of every Frame Type in a functional group, each by the tag of its sequence."""
    for tag in map(int, item.keys()):
        if tag >> 16 & 1 or not dictionary_has_tag(tag) or dictionary_VR(tag) != "SQ":
            continue
        edits: Mapping[int, Edits] = {
            index: {_FRAME_TYPE: Edit(_FRAME_TYPE, "CS", _derived(inner))}
            for index, inner in enumerate(items_of(item, tag))
            if _FRAME_TYPE in inner
        }
        if edits:
            yield tag, Nested(tag, edits)


def _derived(item: Dataset) -> bytes:
    element = item.get_item(_FRAME_TYPE)
    value = bytes(element.value or b"") if isinstance(element, RawDataElement) else b""
    return b"\\".join([b"DERIVED", *value.rstrip(b" \0").split(b"\\")[1:]])


def _derivation(source: Dataset, declared: str, frame: int | None) -> Item:
    reference = source_reference(source, frame=frame)
    return (
        Edit(tags.DERIVATION_DESCRIPTION, "ST", declared.encode("ascii")),
        Items(tags.SOURCE_IMAGE_SEQUENCE, () if reference is None else (reference,)),
        coded(tags.DERIVATION_CODE_SEQUENCE, DERIVATION_CODE),
    )
