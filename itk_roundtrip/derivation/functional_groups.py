"""Edits of the functional groups of a derived multi-frame instance (PS3.3 C.7.6.16); all else in them is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from itk_roundtrip import tags
from itk_roundtrip.derivation.elements import coded, item_of
from itk_roundtrip.derivation.plan import source_evidence, source_reference
from itk_roundtrip.derivation.processing import (
    ProcessedPixels,
    Processing,
    frame_scale_texts,
    has_new_units,
    mapping_items,
    new_scale_texts,
    scales,
    stale_private_scales,
)
from itk_roundtrip.dicom import values
from itk_roundtrip.dicom.decimals import decimal
from itk_roundtrip.dicom.edits import Appended, Edit, Edits, Item, Items, Nested, Removed
from itk_roundtrip.rules import DERIVATION_CODE, PROCESSING_CODE

_GROUPS = (tags.SHARED_FUNCTIONAL_GROUPS_SEQUENCE, tags.PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)


def functional_group_edits(
    source: Dataset,
    statement: str,
    *,
    processing: Processing | None = None,
    processed: ProcessedPixels | None = None,
) -> Edits:
    """Return the edits of the functional groups of a derived instance; none if it has none.

    Frame Type value 1 becomes DERIVED (C.8.16.1.1); Derivation Image Sequence names what was done and the frame of the
    source, per frame unless all frames share it (C.7.6.16.2.6). Source Image Evidence Sequence then lists
    the source (C.8.13.2.1.2). Processed pixels may get another scale, in Pixel Value Transformation and Real World
    Value Mapping, and lose windows and private scales that no longer hold.

    Parameters
    ----------
    source
        Data set of the source instance, undecoded.
    statement
        The statement of the derivation (:func:`~itk_roundtrip.derivation.plan.statement`).
    processing, processed
        What was done to the pixels, and what became of those of this instance; ``None`` if they are those of the
        source.
    """
    groups = {tag: values.items(source, tag) for tag in _GROUPS}
    has_uid = source_reference(source) is not None
    in_shared = not groups[tags.PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE] or any(
        tags.DERIVATION_IMAGE_SEQUENCE in item for item in groups[tags.SHARED_FUNCTIONAL_GROUPS_SEQUENCE]
    )
    by_group: dict[int, dict[int, Edits]] = {tag: {} for tag in _GROUPS}
    if processing is not None and processed is not None and any(groups.values()):
        by_group = _processed(source, groups, processing, processed)
    codes = _codes(processing if processed is not None else None)
    result: Edits = {}
    for tag, items in groups.items():
        edits: dict[int, Edits] = {}
        for index, item in enumerate(items):
            inside: Edits = {**by_group[tag].get(index, {}), **dict(_frame_types(item))}
            if has_uid and in_shared == (tag == tags.SHARED_FUNCTIONAL_GROUPS_SEQUENCE):
                frame = None if tag == tags.SHARED_FUNCTIONAL_GROUPS_SEQUENCE else index + 1
                contributing = processed.contributing_frames if processed is not None and frame is not None else ()
                others = contributing[index] if contributing else ()
                inside[tags.DERIVATION_IMAGE_SEQUENCE] = Appended(
                    tags.DERIVATION_IMAGE_SEQUENCE, (_derivation(source, statement, codes, frame, others),)
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
            for index, inner in enumerate(values.items(item, tag))
            if tags.FRAME_TYPE in inner
        }
        if edits:
            yield tag, Nested(tag, edits)


def _derived(item: Dataset) -> bytes:
    """Return Frame Type (0008,9007) with value 1 DERIVED."""
    element = item.get_item(tags.FRAME_TYPE)
    value = bytes(element.value or b"") if isinstance(element, RawDataElement) else b""
    return b"\\".join([b"DERIVED", *value.rstrip(b" \0").split(b"\\")[1:]])


def _codes(processing: Processing | None) -> tuple[tuple[str, str, str], ...]:
    """Return the codes of Derivation Code Sequence, which must not be empty here."""
    if processing is None:
        return (DERIVATION_CODE,)
    return processing.codes or (PROCESSING_CODE,)


def _derivation(
    source: Dataset,
    statement: str,
    codes: Sequence[tuple[str, str, str]],
    frame: int | None,
    others: Sequence[int],
) -> Item:
    """Return the item for Derivation Image Sequence (0008,9124): what was done, and the source or its frames.

    Parameters
    ----------
    source
        Data set of the source instance.
    statement, codes
        What was done.
    frame, others
        Number of the frame of the source, and of the other frames that contributed; ``None`` for all frames.
    """
    references = [
        *([source_reference(source, frames=others, same_place=False)] if others else []),
        source_reference(source, frames=() if frame is None else (frame,)),
    ]
    return (
        Edit(tags.DERIVATION_DESCRIPTION, "ST", statement.encode("ascii")),
        Items(tags.SOURCE_IMAGE_SEQUENCE, tuple(reference for reference in references if reference is not None)),
        coded(tags.DERIVATION_CODE_SEQUENCE, *codes),
    )


def _processed(
    source: Dataset,
    groups: Mapping[int, Sequence[Dataset]],
    processing: Processing,
    processed: ProcessedPixels,
) -> dict[int, dict[int, Edits]]:
    """Return the edits that follow from processed pixels, by tag of the sequence of groups and index of the item."""
    shared, frames = (groups[tag] for tag in _GROUPS)
    scale = scales(source, processed)
    before = frame_scale_texts(source)
    after = new_scale_texts(processed, before)
    new_units = has_new_units(source, processing)
    is_mapped = processed.real_world_value_mapping
    signed = values.unsigned_short(source, tags.PIXEL_REPRESENTATION) == 1
    result: dict[int, dict[int, Edits]] = {
        tag: {index: {} for index in range(len(items))} for tag, items in groups.items()
    }

    def transformation(items: Sequence[Dataset], index: int) -> tuple[Item, ...] | None:
        """Return Pixel Value Transformation of a frame; ``None`` if it stays."""
        is_rescaled = not is_mapped and scale[index][0] != scale[index][1]
        if not (is_rescaled or (new_units and items)):
            return None
        stated = processing.rescale_type or processing.units
        changes: dict[int, Edit | Items | None] = {}
        if is_rescaled:
            for tag, old, new in zip(
                (tags.RESCALE_SLOPE, tags.RESCALE_INTERCEPT), before[index], after[index], strict=True
            ):
                if decimal(new or "0") != decimal(old) or not items:
                    changes[tag] = Edit(tag, "DS", (new or "0").encode("ascii"))
        if new_units and stated is not None:
            changes[tags.RESCALE_TYPE] = Edit(tags.RESCALE_TYPE, "LO", stated.encode("ascii"))
        elif not items:
            changes[tags.RESCALE_TYPE] = Edit(tags.RESCALE_TYPE, "LO", b"US")  # required here (C.7.6.16.2.9)
        old_item = items[0] if items else Dataset()
        return (item_of(old_item, changes, signed=signed),)

    def mapping(items: Sequence[Dataset], index: int) -> tuple[Item, ...] | None:
        """Return Real World Value Mapping of a frame; ``None`` if it stays."""
        return mapping_items(source, items, scale[index], processing, processed)

    def window(items: Sequence[Dataset], index: int) -> tuple[Item, ...] | None:
        """Return no window where it is of other values than those that it is applied to; ``None`` if it stays."""
        is_stale = new_units or (is_mapped and scale[index][0] != scale[index][1])
        return () if is_stale and items else None

    makers: Mapping[int, Callable[[Sequence[Dataset], int], tuple[Item, ...] | None]] = {
        tags.PIXEL_VALUE_TRANSFORMATION_SEQUENCE: transformation,
        tags.REAL_WORLD_VALUE_MAPPING_SEQUENCE: mapping,
        tags.FRAME_VOI_LUT_SEQUENCE: window,
    }
    for tag, make in makers.items():
        _place(tag, make, shared, frames, result, signed)
    is_rescaled = [before != after for before, after in scale]
    for index, group in enumerate(shared):
        stale = stale_private_scales(group, stored=any(is_rescaled), real=new_units)
        result[tags.SHARED_FUNCTIONAL_GROUPS_SEQUENCE][index] |= stale
    for index, group in enumerate(frames):
        stale = stale_private_scales(group, stored=is_rescaled[index], real=new_units)
        result[tags.PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE][index] |= stale
    return result


def _place(
    tag: int,
    make: Callable[[Sequence[Dataset], int], tuple[Item, ...] | None],
    shared: Sequence[Dataset],
    frames: Sequence[Dataset],
    result: dict[int, dict[int, Edits]],
    signed: bool,
) -> None:
    """Add the edits of a functional group: in the shared groups where all frames get the same, else in each frame.

    A functional group stands in one of the two places only (PS3.3 C.7.6.16.1).
    """
    shared_items = tuple(item for group in shared for item in values.items(group, tag))
    per_frame = [values.items(frame, tag) for frame in frames]
    made = [make(items or shared_items, index) for index, items in enumerate(per_frame or [()])]
    if all(items is None for items in made):
        return
    is_shared = bool(shared) and (not frames or (not any(per_frame) and made.count(made[0]) == len(made)))
    if is_shared:
        result[tags.SHARED_FUNCTIONAL_GROUPS_SEQUENCE][0][tag] = _edit(tag, made[0] or ())
        return
    if shared_items:
        result[tags.SHARED_FUNCTIONAL_GROUPS_SEQUENCE][0][tag] = Removed(tag)
    for index, (before, after) in enumerate(zip(per_frame, made, strict=True)):
        if after is None and before:
            continue
        kept = tuple(item_of(item, {}, signed=signed) for item in shared_items)
        result[tags.PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE][index][tag] = _edit(tag, kept if after is None else after)


def _edit(tag: int, items: tuple[Item, ...]) -> Items | Removed:
    return Items(tag, items) if items else Removed(tag)
