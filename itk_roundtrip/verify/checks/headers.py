"""Checks of the attributes of a written file: kept, removed, none added, valid values and UIDs.

The rule table says what may become of each attribute. What processing, decoding and encoding of the pixels must
change is no fault.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from itk_roundtrip import new_grids, rules, tags
from itk_roundtrip.dicom.values import Element, numbers, text, vr_of
from itk_roundtrip.series.geometry import ORIENTATION_TOLERANCE
from itk_roundtrip.verify.attributes import ENCODED_VRS, Difference, are_known_character_sets, read_text
from itk_roundtrip.verify.checks.functional_groups import is_set_by_rule
from itk_roundtrip.verify.findings import Finding, Severity
from itk_roundtrip.verify.pair import Pair, is_valid_uid
from itk_roundtrip.verify.registry import check, reports
from itk_roundtrip.verify.scales import is_stale_scale

GEOMETRY_TOLERANCE_MM = 1e-6
"""Corners of a slice that differ by less did not move: their numbers were only formatted anew."""


@reports("HDR-01")
def encapsulation(pair: Pair) -> Iterator[Finding]:
    """Check that a decoded instance has no attributes of encapsulated Pixel Data left (PS3.3 C.7.6.3)."""
    for tag in rules.ENCAPSULATION_TAGS:
        if tag in pair.written and not pair.written_pixels.encapsulated and pair.source_pixels.encapsulated:
            yield pair.finding("HDR-01", tag, "describes compressed pixel data, which there are none of")


@check(
    "HDR-01",
    "attributes that must be kept are kept",
    reason="whatever a program or a person read from the source must be read from the written series too",
)
@check(
    "HDR-02",
    "nothing was added",
    reason="an attribute that the source does not have states something that nobody measured or meant",
)
@check(
    "CNT-01",
    "every slice has its counterpart; class, modality and patient are those of the source",
    reason="a slice that is missing or that is another patient's changes the diagnosis",
    section="PS3.3 A.1.2, C.7.1.1, C.7.2.1, C.7.3.1, C.12.1",
)
@check(
    "UID-03",
    "study and frame of reference are those of the source",
    reason="viewers find prior and companion series by the study, and overlay them by the frame of reference",
    section="PS3.3 C.7.2.1, C.7.4.1",
)
@check(
    "GEO-01",
    "position, orientation, spacing and size of each slice",
    reason="a slice at a wrong place or of a wrong size misplaces every contour and distorts every measurement",
    section="PS3.3 C.7.6.2, C.7.6.3",
)
@check(
    "STL-01",
    "what speaks of the source only is gone",
    reason="a signature, an approval or a statistic of the source is false for an instance derived of it",
    section="PS3.3 C.12.1; PS3.15 A.1, A.2",
)
@reports(*(rule.check for rule in rules.RULES))
def kept(pair: Pair) -> Iterator[Finding]:
    """Check that attributes whose rule is keep are kept, and that those whose rule is remove have no other value.

    Attributes of rules that replace or add to a value have checks of their own, and so have those of lossy compression,
    and in a derived instance those of equipment and derivation.
    """
    for tag, differences in pair.differing.items():
        rule = pair.rule(tag)
        if rule.action in ("new", "set", "append") or rule.check == "LOS-01":
            continue
        if pair.derived and rule.check in ("EQP-01", "DER-02"):
            continue
        for difference in differences:
            if is_allowed(pair, difference):
                continue
            if rule.action == "remove":
                yield from _not_removed(pair, difference)
            else:
                yield _not_kept(pair, difference)


def _not_removed(pair: Pair, difference: Difference) -> Iterator[Finding]:
    """Yield the finding on an attribute that must be removed, and was changed or removed in part instead."""
    tag, outcome, rule = difference.tag, difference.outcome, pair.rule(difference.tag)
    of_writer = tag == tags.INSTANCE_CREATOR_UID and outcome != "lost"  # the writer may set its own
    whole = outcome == "lost" and difference.path == keyword_for_tag(tag)
    if not of_writer and not whole:
        yield pair.finding(rule.check, tag, "must not be in a derived instance", path=difference.path)


def _not_kept(pair: Pair, difference: Difference) -> Finding:
    """Return the finding on an attribute that must be kept and was not."""
    tag, outcome, check_id = difference.tag, difference.outcome, pair.rule(difference.tag).check
    moved = _moved_corners(pair) if check_id == "GEO-01" and outcome != "VR changed" else difference.detail
    if outcome == "added" and check_id != "TIM-01":
        check_id = "HDR-02"
    elif outcome == "reformatted" and check_id == "PIX-02":
        check_id = rules.DEFAULT_CHECK  # the values are the same
    broken = "although the source does not have it" if outcome == "added" else "although it must be kept"
    message = f"{outcome} {moved}".strip() + f" {broken}"
    return pair.finding(check_id, tag, message, path=difference.path, severity=_severity(difference, moved))


@reports(*(rule.check for rule in rules.RULES if rule.action == "remove"))
def removed(pair: Pair) -> Iterator[Finding]:
    """Check that a derived instance has not kept, unchanged, an attribute that it must not have."""
    for tag in sorted(rules.REMOVED_TAGS.intersection(pair.comparison.kept)):
        rule = pair.rule(tag)
        if rule.action == "remove" and rule.check == "FIL-02":
            yield pair.finding("FIL-02", tag, "has no meaning", inherited=True)
        elif rule.action == "remove":
            yield pair.finding(rule.check, tag, f"must not be in a derived instance: {rule.detail}")


@reports("HDR-01")
def left_of_the_old_grid(pair: Pair) -> Iterator[Finding]:
    """Check that a slice of a new grid has nothing left that holds of the pixels or the plane of its source only."""
    if not pair.is_elsewhere:
        return
    before, after = _corners(pair.source), _corners(pair.written)
    is_turned, is_moved = False, True
    if before is not None and after is not None:
        axes = [numbers(dataset, tags.IMAGE_ORIENTATION_PATIENT) for dataset in (pair.source, pair.written)]
        is_turned = bool(np.abs(np.subtract(axes[0], axes[1])).max() > ORIENTATION_TOLERANCE)
        is_moved = before.shape != after.shape or bool(np.abs(before - after).max() > GEOMETRY_TOLERANCE_MM)
    size = [numbers(dataset, tag) for dataset in (pair.source, pair.written) for tag in (tags.ROWS, tags.COLUMNS)]
    are_others = is_moved or size[:2] != size[2:]
    holds = {"always": True, "orientation": is_turned, "pixels": are_others, "place": are_others, "planes": False}
    for rule in new_grids.GRID_RULES:
        if rule.action == "remove" and holds[rule.when] and rule.tag in pair.written:
            yield pair.finding("HDR-01", rule.tag, f"is left on a new grid: {rule.detail}")
    for tag in map(int, pair.written.keys()):
        if holds["pixels"] and new_grids.is_pixel_plane(tag):
            yield pair.finding("HDR-01", tag, "is left on a new grid: names pixels of the source by row and column")
        private = new_grids.private_rule(tag, text(pair.written, tags.creator_tag(tag))) if tag >> 16 & 1 else None
        if private is not None and holds[private.when]:
            yield pair.finding("HDR-01", tag, f"is left on a new grid: {private.detail}")


def _severity(difference: Difference, detail: str) -> Severity:
    """Return the severity of a difference in a kept attribute: a warning where it does not change what is meant."""
    outcome, tag = difference.outcome, difference.tag
    if outcome == "moved" or (detail == _UNMOVED and outcome == "changed"):
        return "warning"
    plane = (tags.IMAGE_POSITION_PATIENT, tags.IMAGE_ORIENTATION_PATIENT, tags.PIXEL_SPACING)
    if outcome == "reformatted" and tag in plane and difference.leaf == tag:
        return "warning"  # equal numbers: no corner moved
    return "error"


def is_allowed(pair: Pair, difference: Difference) -> bool:
    """Tell whether the rule table lets an attribute differ in this way: by processing, decoding or re-encoding."""
    tag = difference.tag
    if is_set_by_rule(pair, difference):
        return True
    if is_of_new_grid(pair, difference):
        return True
    if pair.processed and is_stale_scale(pair, difference):
        return True
    if pair.rule(tag).processed != "keep" and pair.processed:
        return _is_of_processing(pair, difference)
    if tag in (tags.PHOTOMETRIC_INTERPRETATION, tags.PLANAR_CONFIGURATION):
        return _is_of_colour_decoding(pair, tag)
    if tag == tags.SPECIFIC_CHARACTER_SET:
        character_sets = pair.values(tag)[1].decode("ascii", "replace")
        defined = are_known_character_sets(character_sets)
        return pair.derived and difference.outcome == "changed" and defined and _reads_as_before(pair)
    if tag in rules.ENCAPSULATION_TAGS:
        uncompressed = _was_decoded(pair) and not pair.written_pixels.encapsulated
        return pair.written_pixels.encapsulated or (uncompressed and tag not in pair.written)
    return False


def is_of_new_grid(pair: Pair, difference: Difference) -> bool:
    """Tell whether an attribute may have this outcome because the slice is of a new grid."""
    tag = difference.tag
    creator = text(pair.source, tags.creator_tag(tag)) if tag >> 16 & 1 else ""
    return pair.is_elsewhere and new_grids.may_change(tag, creator, difference.outcome)


def _is_of_processing(pair: Pair, difference: Difference) -> bool:
    """Tell whether an attribute may have this outcome because the pixels were processed."""
    tag, is_added = difference.tag, difference.outcome == "added"
    if tag == tags.REAL_WORLD_VALUE_MAPPING_SEQUENCE and difference.outcome == "VR changed":
        # Of the stored values that are mapped, if these have another sign now; RWV-01 judges what they are.
        mapped = tags.REAL_WORLD_VALUE_FIRST_VALUE_MAPPED, tags.REAL_WORLD_VALUE_LAST_VALUE_MAPPED
        return difference.leaf in mapped and pair.source_pixels.signed != pair.written_pixels.signed
    if difference.outcome not in pair.rule(tag).outcomes:
        return False
    if tag in (tags.RESCALE_SLOPE, tags.RESCALE_INTERCEPT) and is_added:
        return text(pair.source, tags.MODALITY) in rules.SLOPE_MODALITIES
    if tag == tags.RESCALE_TYPE:
        # Careless tools make Rescale Type US, unspecified, whatever it was.
        unspecified = text(pair.written, tag) == "US" != text(pair.source, tag)
        return not unspecified and (not is_added or tags.RESCALE_SLOPE in pair.written)
    if tag == tags.REAL_WORLD_VALUE_MAPPING_SEQUENCE and is_added:
        return pair.written_pixels.mapped
    return True


def _was_decoded(pair: Pair) -> bool:
    """Tell whether the source was compressed and the written file does not hold the same compressed bytes."""
    return pair.source_pixels.encapsulated and not pair.pixel_difference.identical_value


def _is_of_colour_decoding(pair: Pair, tag: int) -> bool:
    """Tell whether Photometric Interpretation or Planar Configuration differ as decoding or encoding makes them."""
    source, written = pair.source_pixels, pair.written_pixels
    encoded_anew = not pair.derived or source.encapsulated or written.encapsulated
    unchanged_colours = source.samples > 1 and (not pair.pixel_difference.changed or pair.processed)
    if tag == tags.PLANAR_CONFIGURATION and encoded_anew and unchanged_colours:
        return True  # only the order of the samples
    # An encapsulated YBR source that was decoded is RGB, by pixel.
    became_rgb = (
        text(pair.source, tags.PHOTOMETRIC_INTERPRETATION).startswith("YBR")
        and text(pair.written, tags.PHOTOMETRIC_INTERPRETATION) == "RGB"
    )
    by_pixel = text(pair.written, tags.PLANAR_CONFIGURATION) in ("", "0", "\0\0")
    return _was_decoded(pair) and became_rgb and by_pixel


def _reads_as_before(pair: Pair) -> bool:
    """Tell whether texts encoded anew for another Specific Character Set read as those of the source."""
    for tag, differences in pair.differing.items():
        rule = pair.rule(tag)
        for difference in differences:
            vr = difference.vr
            if vr not in ENCODED_VRS or difference.outcome != "changed" or rule.check in ("EQP-01", "DER-02"):
                continue
            if rule.action == "keep":
                return False
            encoded = zip(pair.values(tag), pair.values(tags.SPECIFIC_CHARACTER_SET), strict=True)
            old, new = (read_text(value, vr, names.decode("ascii", "replace")) for value, names in encoded)
            if new is None or (old is not None and not new.startswith(old[: len(old) // 4])):
                return False
    return True


_UNMOVED = "(no corner moved)"


def _moved_corners(pair: Pair) -> str:
    """Return in words how far the corners of the slice moved; empty if its geometry is not complete."""
    before, after = (_corners(dataset) for dataset in (pair.source, pair.written))
    if before is None or after is None:
        return ""
    moved = float(np.max(np.linalg.norm(after - before, axis=1)))
    if not math.isfinite(moved):
        return "(no place that can be computed)"
    return f"(corners moved by {moved:.3g} mm)" if moved > GEOMETRY_TOLERANCE_MM else _UNMOVED


def _corners(dataset: Dataset) -> np.ndarray[Any, Any] | None:
    """Return the centres of the four corner pixels, shape (4, 3), in mm (PS3.3 C.7.6.2.1.1)."""
    position, axes, spacing = (
        numbers(dataset, tag)
        for tag in (tags.IMAGE_POSITION_PATIENT, tags.IMAGE_ORIENTATION_PATIENT, tags.PIXEL_SPACING)
    )
    rows, columns = numbers(dataset, tags.ROWS), numbers(dataset, tags.COLUMNS)
    if (len(position), len(axes), len(spacing), len(rows), len(columns)) != (3, 6, 2, 1, 1):
        return None
    along_row = np.array(axes[:3]) * spacing[1] * (columns[0] - 1)
    along_column = np.array(axes[3:]) * spacing[0] * (rows[0] - 1)
    first = np.array(position)
    return np.array([first, first + along_row, first + along_column, first + along_row + along_column])


@check(
    "HDR-04",
    "texts and numbers fit their character set and VR",
    reason="a value that does not fit is unreadable, or ends the program that reads it",
    section="PS3.5 6.1, 6.2",
)
def values_fit(pair: Pair) -> Iterator[Finding]:
    """Check texts against their character set, DS and IS against their limits (PS3.5 6.2)."""
    source_set, written_set = pair.values(tags.SPECIFIC_CHARACTER_SET)
    for tag, element in pair.written_elements.items():
        if not isinstance(element, RawDataElement) or not element.value:
            continue
        same, vr = tag not in pair.differing, element.VR or vr_of(tag)
        if vr == "DS" and any(len(part.strip()) > 16 for part in element.value.split(b"\\")):
            yield pair.finding("HDR-04", tag, "a decimal string of more than 16 characters", inherited=same)
        elif vr == "IS" and not all(map(_is_integer_string, element.value.split(b"\\"))):
            yield pair.finding("HDR-04", tag, "no integer string in its range", inherited=same)
        elif vr in ENCODED_VRS and not element.value.isascii() and not _is_readable(element, written_set):
            same = same or not _is_readable(pair.source_elements.get(tag), source_set)
            yield pair.finding("HDR-04", tag, "does not fit its character set", inherited=same)


@lru_cache(maxsize=2000)
def _is_integer_string(part: bytes) -> bool:
    """Tell whether a value of VR IS is empty or an integer of 32 bits (PS3.5 6.2)."""
    part = part.strip(b" \0")
    return not part or (bool(re.fullmatch(rb"[+-]?[0-9]{1,11}", part)) and -(2**31) <= int(part) < 2**31)


def _is_readable(element: Element | None, character_set: bytes) -> bool:
    """Tell whether the text of an element fits a value of Specific Character Set; so does what is no text."""
    if not isinstance(element, RawDataElement):
        return True
    vr = str(element.VR or vr_of(int(element.tag)))
    return read_text(bytes(element.value or b""), vr, character_set.decode("ascii", "replace")) is not None


@check(
    "UID-04",
    "UIDs are valid",
    reason="archives refuse an instance whose UIDs are not valid, or take it for another one",
    section="PS3.5 9.1, B.2; PS3.3 C.12.1.1.1",
)
def uids(pair: Pair) -> Iterator[Finding]:
    """Check that UIDs are valid (PS3.5 9 and B.2) and none was made by adding components to a UID of the source."""
    old = {
        text(pair.source, tag) for tag in (tags.SOP_INSTANCE_UID, tags.SERIES_INSTANCE_UID, tags.STUDY_INSTANCE_UID)
    } - {""}
    required = (tags.SOP_INSTANCE_UID, tags.SERIES_INSTANCE_UID) if pair.derived else ()
    for tag, element in pair.written_elements.items():
        if isinstance(element, RawDataElement) and (element.VR or vr_of(tag)) == "UI" and element.value:
            same = tag not in pair.differing
            for value in text(pair.written, tag).split("\\"):
                if not is_valid_uid(value):
                    yield pair.finding("UID-04", tag, "is no valid UID", inherited=same)
                elif not same and any(value.startswith(f"{source_uid}.") for source_uid in old):
                    yield pair.finding("UID-04", tag, "was made by adding to a UID of the source")
    for tag in required:
        if not text(pair.written, tag):
            yield pair.finding("UID-04", tag, "is missing")
