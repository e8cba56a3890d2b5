"""The checks of functional groups in a derived multi-frame instance (PS3.3 C.7.6.16)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydicom.dataset import Dataset

from itk_roundtrip import tags
from itk_roundtrip.verify.attributes import Difference, elements, items, raw, text
from itk_roundtrip.verify.codes import is_in_context_group
from itk_roundtrip.verify.findings import Finding
from itk_roundtrip.verify.pair import Pair

_ADDED = re.compile(r"(Shared|PerFrame)FunctionalGroupsSequence\[\d+\]\.DerivationImageSequence(\[\d+\])?")
_MORE_EVIDENCE = re.compile(r"SourceImageEvidenceSequence(\[\d+\])?")
_EVIDENCE = tags.SOURCE_IMAGE_EVIDENCE_SEQUENCE
SHARED, PER_FRAME = tags.SHARED_FUNCTIONAL_GROUPS_SEQUENCE, tags.PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE
_FRAME_TYPE, _DERIVATION_IMAGE = tags.FRAME_TYPE, tags.DERIVATION_IMAGE_SEQUENCE


def is_set_by_rule(pair: Pair, one: Difference) -> bool:
    """Tell whether a difference is one of the two that a derived instance must show: Frame Type, derivation."""
    if not pair.derived or not _has_groups(pair.source):
        return False
    if one.tag == _EVIDENCE:
        return one.outcome == "added" and _MORE_EVIDENCE.fullmatch(one.path) is not None
    if one.tag not in (SHARED, PER_FRAME):
        return False
    if one.leaf == _FRAME_TYPE and one.before is not None and one.after is not None:
        before, after = (raw(*place).split(b"\\") for place in (one.before, one.after))
        return after == [b"DERIVED", *before[1:]]
    return one.outcome == "added" and _ADDED.fullmatch(one.path) is not None


def functional_groups(pair: Pair) -> Iterator[Finding]:
    """Check that every frame says that it is derived, and of which frame of the source (C.7.6.16.2.6, C.8.16.1.1)."""
    if not _has_groups(pair.source):
        return
    yield from _evidence(pair)
    shared, frames = (items(pair.written, tag) for tag in (SHARED, PER_FRAME))
    for tag, groups in ((SHARED, shared), (PER_FRAME, frames)):
        for index, group in enumerate(groups):
            if any(kind.split("\\")[0] != "DERIVED" for kind in _frame_types(group)):
                yield pair.finding("TYP-01", tag, "Frame Type value 1 is not DERIVED", path=_path(tag, index))
    old = [items(pair.source, tag) for tag in (SHARED, PER_FRAME)]
    for group, before in zip(shared, old[0], strict=False):
        added = _added(before, group)
        if added:
            yield from _derivation(pair, SHARED, 0, added, None)
            return  # then no frame has one of its own
    if shared and not frames and text(pair.source, tags.SOP_INSTANCE_UID):
        yield from _derivation(pair, SHARED, 0, [], None)
    for index, (group, before) in enumerate(zip(frames, old[1], strict=False)):
        yield from _derivation(pair, PER_FRAME, index, _added(before, group), index + 1)


def _has_groups(dataset: Dataset) -> bool:
    return SHARED in dataset or PER_FRAME in dataset


def _evidence(pair: Pair) -> Iterator[Finding]:
    """Check that the source that frames refer to is listed by study and series (C.8.13.2.1.2)."""
    own = tuple(
        text(pair.source, tag)
        for tag in (tags.STUDY_INSTANCE_UID, tags.SERIES_INSTANCE_UID, tags.SOP_INSTANCE_UID, tags.SOP_CLASS_UID)
    )
    listed = {
        (
            text(study, tags.STUDY_INSTANCE_UID),
            text(series, tags.SERIES_INSTANCE_UID),
            text(one, tags.REFERENCED_SOP_INSTANCE_UID),
            text(one, tags.REFERENCED_SOP_CLASS_UID),
        )
        for study in items(pair.written, _EVIDENCE)
        for series in items(study, tags.REFERENCED_SERIES_SEQUENCE)
        for one in items(series, tags.REFERENCED_SOP_SEQUENCE)
    }
    if all(own) and own not in listed:
        yield pair.finding("DER-04", _EVIDENCE, "does not list the source", severity="warning")


def _is_complete(code: Dataset) -> bool:
    """Tell whether an item is a code: a value of a scheme, or a URN, with its meaning (PS3.3 8)."""
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
    return f"{'Shared' if tag == SHARED else 'PerFrame'}FunctionalGroupsSequence[{index}]"


def _frame_types(group: Dataset) -> Iterator[str]:
    for tag in elements(group):
        if not tag >> 16 & 1:
            yield from (text(one, _FRAME_TYPE) for one in items(group, tag) if _FRAME_TYPE in one)


def _added(before: Dataset, after: Dataset) -> list[Dataset]:
    return items(after, _DERIVATION_IMAGE)[len(items(before, _DERIVATION_IMAGE)) :]


def _derivation(pair: Pair, tag: int, index: int, added: list[Dataset], frame: int | None) -> Iterator[Finding]:
    """Check the items of Derivation Image Sequence that were added to one functional group."""
    own = text(pair.source, tags.SOP_CLASS_UID), text(pair.source, tags.SOP_INSTANCE_UID)
    path = f"{_path(tag, index)}.DerivationImageSequence"
    references = [reference for item in added for reference in items(item, tags.SOURCE_IMAGE_SEQUENCE)]
    named = {
        (
            text(one, tags.REFERENCED_SOP_CLASS_UID),
            text(one, tags.REFERENCED_SOP_INSTANCE_UID),
            text(one, tags.REFERENCED_FRAME_NUMBER).lstrip("0+ ") or None,
        )
        for one in references
    }
    expected = (*own, None if frame is None else str(frame))
    if own[1] and expected not in named:
        yield pair.finding("DER-03", tag, "does not refer to its frame of the source", path=path)
    for item in added:
        codes = [
            (text(one, tags.CODE_VALUE), text(one, tags.CODING_SCHEME_DESIGNATOR), text(one, tags.CODE_MEANING))
            for one in items(item, tags.DERIVATION_CODE_SEQUENCE)
        ]
        if not codes:
            yield pair.finding("DER-02", tag, "no code for what was done, which must be there", path=path)
        elif not all(map(_is_complete, items(item, tags.DERIVATION_CODE_SEQUENCE))):
            yield pair.finding("DER-02", tag, "a code without its value, scheme or meaning", path=path)
        elif any(code[1] == "DCM" and not is_in_context_group(7203, code) for code in codes):
            message = "a DCM code that is not in CID 7203, or with another meaning"
            yield pair.finding("DER-02", tag, message, path=path)
    for one in references:
        purposes = [
            (text(each, tags.CODE_VALUE), text(each, tags.CODING_SCHEME_DESIGNATOR), text(each, tags.CODE_MEANING))
            for each in items(one, tags.PURPOSE_OF_REFERENCE_CODE_SEQUENCE)
        ]
        if len(purposes) != 1 or not is_in_context_group(7202, purposes[0]):
            yield pair.finding("DER-03", tag, "the source frame has another purpose than that of a source image",
                               path=path)  # fmt: skip
