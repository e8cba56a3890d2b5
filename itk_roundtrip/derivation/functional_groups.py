"""Edits of the functional groups of a derived multi-frame instance (PS3.3 C.7.6.16); all else in them is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from itk_roundtrip import tags
from itk_roundtrip.derivation.plan import coded, items_of, source_evidence, source_reference
from itk_roundtrip.dicom.edits import Appended, Edit, Edits, Item, Items, Nested
from itk_roundtrip.rules import DERIVATION_CODE


def functional_group_edits(source: Dataset, declared: str) -> Edits:
    """Return the edits of the functional groups of a derived instance; none if it has none.

    Frame Type value 1 becomes DERIVED (C.8.16.1.1); Derivation Image Sequence names what was done and the frame of the
    source, per frame unless all frames share it (C.7.6.16.2.6). Source Image Evidence Sequence then lists
    the source (C.8.13.2.1.2).

    Parameters
    ----------
    source
        Data set of the source instance, undecoded.
    declared
        The statement of the derivation (:func:`~itk_roundtrip.derivation.plan.statement`).
    """
    groups = {
        tag: items_of(source, tag)
        for tag in (tags.SHARED_FUNCTIONAL_GROUPS_SEQUENCE, tags.PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)
    }
    has_uid = source_reference(source) is not None
    in_shared = not groups[tags.PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE] or any(
        tags.DERIVATION_IMAGE_SEQUENCE in item for item in groups[tags.SHARED_FUNCTIONAL_GROUPS_SEQUENCE]
    )
    result: Edits = {}
    for tag, items in groups.items():
        edits: dict[int, Edits] = {}
        for index, item in enumerate(items):
            inside: Edits = dict(_frame_types(item))
            if has_uid and in_shared == (tag == tags.SHARED_FUNCTIONAL_GROUPS_SEQUENCE):
                frame = None if tag == tags.SHARED_FUNCTIONAL_GROUPS_SEQUENCE else index + 1
                inside[tags.DERIVATION_IMAGE_SEQUENCE] = Appended(
                    tags.DERIVATION_IMAGE_SEQUENCE, (_derivation(source, declared, frame),)
                )
            if inside:
                edits[index] = inside
        if edits:
            result[tag] = Nested(tag, edits)
    if result and (evidence := source_evidence(source)) is not None:
        result[tags.SOURCE_IMAGE_EVIDENCE_SEQUENCE] = Appended(tags.SOURCE_IMAGE_EVIDENCE_SEQUENCE, (evidence,))
    return result


def _frame_types(item: Dataset) -> Iterator[tuple[int, Nested]]:
    """Yield the edits of every Frame Type in a functional group, each by the tag of its sequence."""
    for tag in map(int, item.keys()):
        if tag >> 16 & 1 or not dictionary_has_tag(tag) or dictionary_VR(tag) != "SQ":
            continue
        edits: Mapping[int, Edits] = {
            index: {tags.FRAME_TYPE: Edit(tags.FRAME_TYPE, "CS", _derived(inner))}
            for index, inner in enumerate(items_of(item, tag))
            if tags.FRAME_TYPE in inner
        }
        if edits:
            yield tag, Nested(tag, edits)


def _derived(item: Dataset) -> bytes:
    """Return Frame Type (0008,9007) with value 1 DERIVED."""
    element = item.get_item(tags.FRAME_TYPE)
    value = bytes(element.value or b"") if isinstance(element, RawDataElement) else b""
    return b"\\".join([b"DERIVED", *value.rstrip(b" \0").split(b"\\")[1:]])


def _derivation(source: Dataset, declared: str, frame: int | None) -> Item:
    """Return the item for Derivation Image Sequence (0008,9124): what was done, and the source or its frame."""
    reference = source_reference(source, frame=frame)
    return (
        Edit(tags.DERIVATION_DESCRIPTION, "ST", declared.encode("ascii")),
        Items(tags.SOURCE_IMAGE_SEQUENCE, () if reference is None else (reference,)),
        coded(tags.DERIVATION_CODE_SEQUENCE, DERIVATION_CODE),
    )
