"""Checks of functional groups in a derived multi-frame instance (PS3.3 C.7.6.16)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydicom.dataset import Dataset

from itk_roundtrip import tags
from itk_roundtrip.dicom.values import code_of, elements, items, raw, text
from itk_roundtrip.verify.attributes import Difference
from itk_roundtrip.verify.codes import is_in_context_group
from itk_roundtrip.verify.findings import Finding
from itk_roundtrip.verify.pair import Pair
from itk_roundtrip.verify.registry import reports
from itk_roundtrip.verify.scales import window_is_stale

_ADDED_DERIVATION = re.compile(r"(Shared|PerFrame)FunctionalGroupsSequence\[\d+\]\.DerivationImageSequence(\[\d+\])?")
_SCALE_OF_FRAME = re.compile(
    r"(?:Shared|PerFrame)FunctionalGroupsSequence\[\d+\]\."
    r"(PixelValueTransformation|RealWorldValueMapping|FrameVOILUT)Sequence(?:\[\d+\])?(\..*)?$"
)
_RESCALE = (tags.RESCALE_SLOPE, tags.RESCALE_INTERCEPT, tags.RESCALE_TYPE)
_ADDED_EVIDENCE = re.compile(r"SourceImageEvidenceSequence(\[\d+\])?")
SHARED, PER_FRAME = tags.SHARED_FUNCTIONAL_GROUPS_SEQUENCE, tags.PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE


def is_set_by_rule(pair: Pair, difference: Difference) -> bool:
    """Tell whether a difference is due to the derivation: Frame Type DERIVED, derivation or evidence items added.

    Of processed pixels, their scale and units too, which have a check of their own.
    """
    if not pair.derived or not _has_groups(pair.source):
        return False
    if difference.tag == tags.SOURCE_IMAGE_EVIDENCE_SEQUENCE:
        return difference.outcome == "added" and _ADDED_EVIDENCE.fullmatch(difference.path) is not None
    if difference.tag not in (SHARED, PER_FRAME):
        return False
    if difference.leaf == tags.FRAME_TYPE and difference.before is not None and difference.after is not None:
        old, new = (raw(*place).split(b"\\") for place in (difference.before, difference.after))
        return new == [b"DERIVED", *old[1:]]
    if pair.processed and (scale := _SCALE_OF_FRAME.match(difference.path)):
        if scale[1] == "FrameVOILUT":
            return difference.outcome == "lost" and window_is_stale(pair)
        return difference.outcome != "VR changed" and (
            scale[1] == "RealWorldValueMapping" or not scale[2] or difference.leaf in _RESCALE
        )
    return difference.outcome == "added" and _ADDED_DERIVATION.fullmatch(difference.path) is not None


@reports("TYP-01")
def frame_types(pair: Pair) -> Iterator[Finding]:
    """Check that value 1 of every Frame Type is DERIVED (PS3.3 C.8.16.1.1)."""
    if not _has_groups(pair.source):
        return
    for tag in (SHARED, PER_FRAME):
        for index, group in enumerate(items(pair.written, tag)):
            if any(kind.split("\\")[0] != "DERIVED" for kind in _frame_types(group)):
                yield pair.finding("TYP-01", tag, "Frame Type value 1 is not DERIVED", path=_path(tag, index))


@reports("DER-02", "DER-03")
def frame_derivations(pair: Pair) -> Iterator[Finding]:
    """Check that every frame says of which frame of the source it is derived, and by what (PS3.3 C.7.6.16.2.6)."""
    if not _has_groups(pair.source):
        return
    shared, frames = items(pair.written, SHARED), items(pair.written, PER_FRAME)
    source_shared, source_frames = items(pair.source, SHARED), items(pair.source, PER_FRAME)
    for group, before in zip(shared, source_shared, strict=False):
        added = _added_derivations(before, group)
        if added:
            yield from _derivation(pair, SHARED, 0, added, None)
            return  # then no frame has one of its own
    if shared and not frames and text(pair.source, tags.SOP_INSTANCE_UID):
        yield from _derivation(pair, SHARED, 0, [], None)
    for index, (group, before) in enumerate(zip(frames, source_frames, strict=False)):
        yield from _derivation(pair, PER_FRAME, index, _added_derivations(before, group), index + 1)


def purposes_of(item: Dataset) -> list[tuple[str, str, str]]:
    """Return the codes of Purpose of Reference Code Sequence of an item."""
    return [code_of(code) for code in items(item, tags.PURPOSE_OF_REFERENCE_CODE_SEQUENCE)]


def _has_groups(dataset: Dataset) -> bool:
    """Tell whether a data set has functional groups (PS3.3 C.7.6.16)."""
    return SHARED in dataset or PER_FRAME in dataset


@reports("DER-04")
def source_evidence(pair: Pair) -> Iterator[Finding]:
    """Check that Source Image Evidence Sequence lists the source by study and series (PS3.3 C.8.13.2.1.2)."""
    if not _has_groups(pair.source):
        return
    tag = tags.SOURCE_IMAGE_EVIDENCE_SEQUENCE
    source = tuple(
        text(pair.source, uid_tag)
        for uid_tag in (tags.STUDY_INSTANCE_UID, tags.SERIES_INSTANCE_UID, tags.SOP_INSTANCE_UID, tags.SOP_CLASS_UID)
    )
    listed = {
        (
            text(study, tags.STUDY_INSTANCE_UID),
            text(series, tags.SERIES_INSTANCE_UID),
            text(instance, tags.REFERENCED_SOP_INSTANCE_UID),
            text(instance, tags.REFERENCED_SOP_CLASS_UID),
        )
        for study in items(pair.written, tag)
        for series in items(study, tags.REFERENCED_SERIES_SEQUENCE)
        for instance in items(series, tags.REFERENCED_SOP_SEQUENCE)
    }
    if all(source) and source not in listed:
        yield pair.finding("DER-04", tag, "does not list the source")


def _is_complete(code: Dataset) -> bool:
    """Tell whether a code item has Code Meaning, and a value with its scheme or a URN (PS3.3 8)."""
    value, scheme, meaning, long, urn = (
        text(code, tag)
        for tag in (
            tags.CODE_VALUE,
            tags.CODING_SCHEME_DESIGNATOR,
            tags.CODE_MEANING,
            tags.LONG_CODE_VALUE,
            tags.URN_CODE_VALUE,
        )
    )
    return bool(meaning and (urn or (scheme and (value or long))))


def _path(tag: int, index: int) -> str:
    """Return the path of a functional group from the top level, as in findings."""
    return f"{'Shared' if tag == SHARED else 'PerFrame'}FunctionalGroupsSequence[{index}]"


def _frame_types(group: Dataset) -> Iterator[str]:
    """Yield Frame Type of each standard item of a functional group that has it."""
    for tag in elements(group):
        if not tag >> 16 & 1:
            yield from (text(item, tags.FRAME_TYPE) for item in items(group, tag) if tags.FRAME_TYPE in item)


def _added_derivations(before: Dataset, after: Dataset) -> list[Dataset]:
    """Return the items that a functional group has in Derivation Image Sequence behind those of the source."""
    tag = tags.DERIVATION_IMAGE_SEQUENCE
    return items(after, tag)[len(items(before, tag)) :]


def _derivation(pair: Pair, tag: int, index: int, added: list[Dataset], frame: int | None) -> Iterator[Finding]:
    """Check the items of Derivation Image Sequence that were added to a functional group.

    Parameters
    ----------
    pair
        Files.
    tag, index
        Sequence of functional groups, and which of its items, from 0.
    added
        Items.
    frame
        Number of the frame of the source that they must refer to; ``None`` in a shared group, for all frames.
    """
    path = f"{_path(tag, index)}.DerivationImageSequence"
    references = [reference for item in added for reference in items(item, tags.SOURCE_IMAGE_SEQUENCE)]
    if not _names_frame(pair, references, frame):
        yield pair.finding("DER-03", tag, "does not refer to its frame of the source", path=path)
    for reference in references:
        purposes = purposes_of(reference)
        if len(purposes) != 1 or not is_in_context_group(7202, purposes[0]):
            message = "the source frame has another purpose than that of a source image"
            yield pair.finding("DER-03", tag, message, path=path)
    for item in added:
        code_items = items(item, tags.DERIVATION_CODE_SEQUENCE)
        codes = [code_of(code) for code in code_items]
        if not codes:
            yield pair.finding("DER-02", tag, "no code for what was done, which must be there", path=path)
        elif not all(map(_is_complete, code_items)):
            yield pair.finding("DER-02", tag, "a code without its value, scheme or meaning", path=path)
        elif any(code[1] == "DCM" and not is_in_context_group(7203, code) for code in codes):
            message = "a DCM code that is not in CID 7203, or with another meaning"
            yield pair.finding("DER-02", tag, message, path=path)


def _names_frame(pair: Pair, references: list[Dataset], frame: int | None) -> bool:
    """Tell whether a reference is to a frame of the source instance, or to all of it without a frame number.

    So it is, too, where the source has no SOP Instance UID by which it could be named.
    """
    instance = text(pair.source, tags.SOP_INSTANCE_UID)
    expected = (text(pair.source, tags.SOP_CLASS_UID), instance, None if frame is None else str(frame))
    return not instance or expected in {
        (
            text(reference, tags.REFERENCED_SOP_CLASS_UID),
            text(reference, tags.REFERENCED_SOP_INSTANCE_UID),
            text(reference, tags.REFERENCED_FRAME_NUMBER).lstrip("0+ ") or None,
        )
        for reference in references
    }
