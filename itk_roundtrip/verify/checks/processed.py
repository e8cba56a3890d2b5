"""Checks of processed pixels: what describes them, or was computed of them, is that of the new stored values.

The rule table says what processing makes false (``Rule.stale_after``, ``PRIVATE_SCALES``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from pydicom.dataset import Dataset

from itk_roundtrip import rules, tags
from itk_roundtrip.dicom.values import element_of, items, numbers, text
from itk_roundtrip.verify.checks.pixels import as_stored
from itk_roundtrip.verify.findings import Finding, Severity
from itk_roundtrip.verify.pair import Pair
from itk_roundtrip.verify.registry import check, reports
from itk_roundtrip.verify.scales import has_new_units, is_rescaled, is_stale, private_scales, window_is_stale

_MAPPING = tags.REAL_WORLD_VALUE_MAPPING_SEQUENCE
_TRANSFORMATION = tags.PIXEL_VALUE_TRANSFORMATION_SEQUENCE
_SHARED, _PER_FRAME = tags.SHARED_FUNCTIONAL_GROUPS_SEQUENCE, tags.PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE


@check(
    "PIX-05",
    "processed pixels look processed",
    reason="an image of values at one limit, or one that nothing was done to, is no result of a processing",
    severity="warning",
)
def saturation(pair: Pair) -> Iterator[Finding]:
    """Check that processed values do not pile up at the smallest or largest stored value, unless the source's do."""
    difference = pair.pixel_difference
    values, before = difference.values, difference.reference
    if not pair.processed or not difference.changed or values is None or values.dtype.kind not in "iu":
        return
    if pair.is_elsewhere:
        return  # what lies beside the source is filled with anything
    for limit in pair.written_pixels.limits:
        was_so = before is not None and np.count_nonzero(before == limit) * 2 > before.size
        if not was_so and np.count_nonzero(values == limit) * 2 > values.size:
            yield pair.finding("PIX-05", tags.PIXEL_DATA, "most values are at one limit")


@reports("PIX-01", "PIX-02")
def processed_format(pair: Pair) -> Iterator[Finding]:
    """Check that processed pixels have a slope that is a number, and fit into Bits Stored."""
    if not pair.processed or pair.pixel_difference.values is None:
        return
    had_slope = all(slope for slope, _ in pair.source_pixels.frame_scales)
    if any(
        not math.isfinite(slope) or not math.isfinite(intercept) or (slope == 0 and had_slope)
        for slope, intercept in pair.written_pixels.frame_scales
    ):
        yield pair.finding("PIX-02", tags.RESCALE_SLOPE, "no slope that stored values can have")
    if pair.pixel_difference.beyond:
        yield pair.finding("PIX-01", tags.BITS_STORED, "stored values beyond Bits Stored")


@reports("STL-01")
def stale_statistics(pair: Pair) -> Iterator[Finding]:
    """Check that Smallest and Largest Image Pixel Value are those of the processed pixels."""
    values = pair.pixel_difference.values
    if not pair.processed or not pair.pixel_difference.changed or values is None:
        return
    for tag, actual in (
        (tags.SMALLEST_IMAGE_PIXEL_VALUE, values.min()),
        (tags.LARGEST_IMAGE_PIXEL_VALUE, values.max()),
    ):
        stated = numbers(pair.written, tag)
        if stated and as_stored(int(stated[0]), pair.written_pixels) != int(actual):
            yield pair.finding("STL-01", tag, "is not what the processed pixels hold")


@reports("STL-01")
def stale_attributes(pair: Pair) -> Iterator[Finding]:
    """Check that nothing is left that shows or counts the old pixels, or belongs to values in other units."""
    if not pair.processed:
        return
    messages = {
        "pixels": "is of the pixels before they were processed" if pair.pixel_difference.changed else "",
        "units": "belongs to values in other units" if has_new_units(pair) else "",
        "window": "is of other values than those that it is applied to" if window_is_stale(pair) else "",
    }
    for tag in sorted(pair.written_elements.keys() - pair.differing.keys()):
        message = messages.get(pair.rule(tag).stale_after)
        if message:
            yield pair.finding("STL-01", tag, message)
    if messages["window"]:
        for group_tag in (_SHARED, _PER_FRAME):
            if any(tags.FRAME_VOI_LUT_SEQUENCE in group for group in items(pair.written, group_tag)):
                path = f"{'Shared' if group_tag == _SHARED else 'PerFrame'}FunctionalGroupsSequence.FrameVOILUTSequence"
                yield pair.finding("STL-01", group_tag, messages["window"], path=path)
    if pair.pixel_difference.changed and text(pair.written, tags.CONTENT_QUALIFICATION) == "PRODUCT":
        message = "PRODUCT is said of pixels that were processed"
        yield pair.finding("STL-01", tags.CONTENT_QUALIFICATION, message, severity="warning")


@check(
    "PRV-01",
    "private scale factors",
    reason="tools that know the maker scale stored values by these factors, which belong to another slope",
    severity="warning",
)
def stale_private_scales(pair: Pair) -> Iterator[Finding]:
    """Check that no private scale factor is left where processed pixels have another slope or other units."""
    if not pair.processed or not (is_rescaled(pair) or has_new_units(pair)):
        return
    seen = set()
    for tag, scale in private_scales(pair.written):
        if is_stale(pair, scale) and (tag, scale.name) not in seen:
            seen.add((tag, scale.name))
            old = "slope" if scale.scales == "stored" else "units"
            yield pair.finding("PRV-01", tag, f"a private scale factor of the old {old} ({scale.name})")


@reports("HDR-01", "PIX-02")
def frame_scales(pair: Pair) -> Iterator[Finding]:
    """Check that each processed frame has one scale, in units that are stated (PS3.3 C.7.6.16.2.9)."""
    if not pair.processed or _SHARED not in pair.source:
        return
    shared, frames = items(pair.written, _SHARED), items(pair.written, _PER_FRAME)
    in_shared = any(_TRANSFORMATION in group for group in shared)
    in_frames = [_TRANSFORMATION in group for group in frames]
    had_one = any(_TRANSFORMATION in group for tag in (_SHARED, _PER_FRAME) for group in items(pair.source, tag))
    if in_shared and any(in_frames):
        yield pair.finding("HDR-01", _PER_FRAME, "a scale stands both in the frame and in what all frames share")
    elif had_one and not in_shared and not all(in_frames):
        yield pair.finding("PIX-02", _PER_FRAME, "a frame has lost its scale")
    before = {text(item, tags.RESCALE_TYPE) for item in _transformations(pair.source)}
    for item in _transformations(pair.written):
        if text(item, tags.RESCALE_TYPE) == "US" and before and "US" not in before:
            yield pair.finding("HDR-01", _PER_FRAME, "Rescale Type became US, unspecified")
            break


def _transformations(dataset: Dataset) -> list[Dataset]:
    """Return the items of Pixel Value Transformation of all functional groups."""
    groups = [group for tag in (_SHARED, _PER_FRAME) for group in items(dataset, tag)]
    return [item for group in groups for item in items(group, _TRANSFORMATION)]


@check(
    "RWV-01",
    "real world values",
    reason="programs that quantify read the unit and the scale from this mapping, not from Rescale Slope",
    section="PS3.3 C.7.6.16.2.11",
)
def real_world_values(pair: Pair) -> Iterator[Finding]:
    """Check that Real World Value Mapping gives the quantities and units of the source (PS3.3 C.7.6.16.2.11)."""
    if not pair.processed:
        return  # then it must be kept to the byte, as other attributes (HDR-01)
    source_shared, written_shared = (items(dataset, _SHARED)[:1] for dataset in (pair.source, pair.written))
    source_frames, written_frames = (items(dataset, _PER_FRAME) for dataset in (pair.source, pair.written))
    is_framed = bool(source_shared or source_frames)
    before = (
        [_mappings([frame, *source_shared]) for frame in source_frames or source_shared]
        if is_framed
        else [_mappings([pair.source])]
    )
    after = (
        [_mappings([frame, *written_shared]) for frame in written_frames or written_shared]
        if is_framed
        else [_mappings([pair.written])]
    )
    scales = zip(pair.source_pixels.frame_scales, pair.written_pixels.frame_scales, strict=False)
    tag = _PER_FRAME if is_framed else _MAPPING
    for frame, (old, new, (old_scale, new_scale)) in enumerate(zip(before, after, scales, strict=False)):
        path = f"PerFrameFunctionalGroupsSequence[{frame}]." if is_framed else ""
        for fault in _mapping_faults(pair, old, new, old_scale, new_scale):
            inside = f"{path}RealWorldValueMappingSequence{fault.place}" if path or fault.place else None
            yield pair.finding("RWV-01", tag, fault.message, path=inside, severity=fault.severity)


def _mappings(places: Sequence[Dataset]) -> list[Dataset]:
    """Return the mappings of the first of some data sets that has any."""
    return next((found for place in places if (found := items(place, _MAPPING))), [])


_Scale = tuple[float, float]


class _Fault(NamedTuple):
    """A fault of the mappings of a file or frame: which item, or what in it, is wrong."""

    message: str
    place: str = ""
    severity: Severity | None = None


def _mapping_faults(
    pair: Pair, before: list[Dataset], after: list[Dataset], old_scale: _Scale, new_scale: _Scale
) -> Iterator[_Fault]:
    """Yield the faults of the mappings of a file or frame."""
    if pair.written_pixels.mapped and after and text(after[-1], tags.LUT_LABEL) == rules.MAPPING_LABEL:
        after = after[:-1]  # the scale of the written values itself
    if has_new_units(pair):
        for index, new in enumerate(after):
            if any(_quantity(new) == _quantity(old) for old in before):
                yield _Fault("is of values in other units", f"[{index}]")
        return
    linear = [item for item in before if all(_quantity(item)) and tags.REAL_WORLD_VALUE_LUT_DATA not in item]
    expected = before if old_scale == new_scale else linear
    if expected and not after:
        yield _Fault("was lost, although it can be computed of the new stored values", severity="warning")
        return
    if len(expected) != len(after):
        yield _Fault("another number of mappings")
    for index, (old, new) in enumerate(zip(expected, after, strict=False)):
        if not _maps_alike(old, new, old_scale, new_scale):
            yield _Fault("maps the new stored values to other quantities", f"[{index}]")
        if not _covers(pair, old, new, old_scale, new_scale):
            yield _Fault("is not of the new stored values", f"[{index}]")
        old_units, new_units = (
            [text(code, tags.CODE_VALUE) for code in items(item, tags.MEASUREMENT_UNITS_CODE_SEQUENCE)]
            for item in (old, new)
        )
        if old_units != new_units:
            yield _Fault("has other units", f"[{index}].MeasurementUnitsCodeSequence")


def _quantity(item: Dataset) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return slope and intercept of a mapping."""
    return numbers(item, tags.REAL_WORLD_VALUE_SLOPE), numbers(item, tags.REAL_WORLD_VALUE_INTERCEPT)


def _maps_alike(old: Dataset, new: Dataset, old_scale: _Scale, new_scale: _Scale) -> bool:
    """Tell whether a mapping of new stored values gives the quantities that the old one gave of the old ones."""
    old_slope, old_intercept = _quantity(old)
    new_slope, new_intercept = _quantity(new)
    if not (old_slope and old_intercept and new_slope and new_intercept) or not old_scale[0]:
        return not (old_slope and old_intercept) or not old_scale[0]
    slope = old_slope[0] * new_scale[0] / old_scale[0]
    intercept = old_intercept[0] + old_slope[0] * (new_scale[1] - old_scale[1]) / old_scale[0]
    return bool(np.allclose([slope, intercept], [new_slope[0], new_intercept[0]], rtol=1e-9, atol=1e-12))


def _covers(pair: Pair, old: Dataset, new: Dataset, old_scale: _Scale, new_scale: _Scale) -> bool:
    """Tell whether the mapped stored values are those that the old ones became, in the VR of the new ones."""
    ends = tags.REAL_WORLD_VALUE_FIRST_VALUE_MAPPED, tags.REAL_WORLD_VALUE_LAST_VALUE_MAPPED
    before, after = ([numbers(item, tag)[:1] for tag in ends] for item in (old, new))
    if not all(before):
        return True
    if not all(after):
        return False
    signed = pair.written_pixels.signed
    vrs = {element.VR for tag in ends if (element := element_of(new, tag)) is not None}
    relaid = old_scale != new_scale or pair.source_pixels.signed != signed
    if vrs & {"US", "SS"} and vrs != {"SS" if signed else "US"} and relaid:
        return False
    if not new_scale[0]:
        return True
    lowest, highest = (-32768, 32767) if signed else (0, 65535)
    became = sorted((old_scale[0] * end[0] + old_scale[1] - new_scale[1]) / new_scale[0] for end in before)
    first, last = sorted(end[0] for end in after)
    return first <= max(became[0], lowest) + 1 and min(became[1], highest) - 1 <= last
