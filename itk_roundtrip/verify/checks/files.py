"""Checks of a written file against its source: File Meta Information, kept and removed attributes, UIDs, privacy.

From the bytes on disk and with pydicom alone: nothing here is shared with the modules that write, so that a mistake of
theirs does not repeat itself in their judge. The rule table says what may become of each attribute;
:data:`itk_roundtrip.verify.findings.CHECKS` lists the checks by their ids.
"""

from __future__ import annotations

import getpass
import math
import re
import socket
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np
from pydicom import uid
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from itk_roundtrip import rules, syntaxes, tags
from itk_roundtrip.rules import is_group_length
from itk_roundtrip.verify.attributes import (
    ENCODED_VRS,
    Difference,
    Element,
    are_known_character_sets,
    decoded,
    elements,
    items,
    numbers,
    raw,
    read_text,
    text,
    vr_of,
)
from itk_roundtrip.verify.checks.derived import DERIVED_CHECKS
from itk_roundtrip.verify.checks.functional_groups import is_set_by_rule
from itk_roundtrip.verify.checks.pixels import PIXEL_CHECKS
from itk_roundtrip.verify.findings import Finding, Severity
from itk_roundtrip.verify.pair import Pair, is_valid_uid

GEOMETRY_TOLERANCE_MM = 1e-6
"""Corners of a slice that differ by less did not move: their numbers were only formatted anew."""
_TOOLKITS = ("1.2.826.0.1.3680043.8.498.", "1.2.826.0.1.3680043.2.1143.", "1.2.276.0.7230010.3.0.")
"""Roots of the Implementation Class UIDs of pydicom, GDCM and dcmtk, which source and written file may share."""


def check_pair(pair: Pair) -> list[Finding]:
    """Return the findings of all checks of a written file."""
    checks = (*_CHECKS, *PIXEL_CHECKS, *(DERIVED_CHECKS if pair.derived else ()))
    return [finding for check in checks for finding in check(pair)]


def _file(pair: Pair) -> Iterator[Finding]:
    """Check that the file agrees with itself: File Meta Information, encoding, length and VR of the pixel data."""
    written, meta = pair.written, pair.written.file_meta
    for meta_tag, tag in (
        (tags.MEDIA_STORAGE_SOP_CLASS_UID, tags.SOP_CLASS_UID),
        (tags.MEDIA_STORAGE_SOP_INSTANCE_UID, tags.SOP_INSTANCE_UID),
    ):
        if text(meta, meta_tag) != text(written, tag):
            before = pair.source.file_meta
            same = text(before, meta_tag) == text(meta, meta_tag) and tag not in pair.differing
            yield pair.finding("FIL-01", meta_tag, "differs from the data set", inherited=same)
    if raw(meta, tags.FILE_META_INFORMATION_VERSION) not in (b"", b"\0\1"):
        same = (
            raw(pair.source.file_meta, tags.FILE_META_INFORMATION_VERSION)
            == raw(meta, tags.FILE_META_INFORMATION_VERSION)
            and not pair.derived
        )
        yield pair.finding("FIL-01", tags.FILE_META_INFORMATION_VERSION, "another version than 1", inherited=same)
    for meta_tag in (tags.FILE_META_INFORMATION_VERSION, tags.TRANSFER_SYNTAX_UID, tags.IMPLEMENTATION_CLASS_UID):
        if not raw(meta, meta_tag):
            same = not raw(pair.source.file_meta, meta_tag) and not pair.derived
            yield pair.finding("FIL-01", meta_tag, "is missing in the file meta information", inherited=same)
    syntax = text(meta, tags.TRANSFER_SYNTAX_UID)
    if syntax and not syntaxes.is_known(syntax):
        same = text(pair.source.file_meta, tags.TRANSFER_SYNTAX_UID) == syntax and not pair.derived
        yield pair.finding("FIL-01", tags.TRANSFER_SYNTAX_UID, "is no transfer syntax that is known", inherited=same)
    elif syntax and written.original_encoding[0] != (syntax == uid.ImplicitVRLittleEndian):
        source = pair.source
        same = (
            text(source.file_meta, tags.TRANSFER_SYNTAX_UID) == syntax
            and source.original_encoding == written.original_encoding
        )
        yield pair.finding("FIL-01", tags.TRANSFER_SYNTAX_UID, "the data set is not encoded as it says", inherited=same)
    for inherited, problems in enumerate(pair.structure):
        for problem_tag, message in sorted(problems, key=str):
            yield pair.finding("FIL-01", problem_tag or None, message, inherited=bool(inherited))
    ours, theirs = pair.pixels
    for tag in rules.ENCAPSULATION_TAGS:
        if tag in written and not theirs.encapsulated and ours.encapsulated:
            yield pair.finding("HDR-01", tag, "describes compressed pixel data, which there are none of")
    if ours.tag and not theirs.tag:
        yield pair.finding("FIL-01", tags.PIXEL_DATA, "holds no pixel data")
    elif theirs.tag == tags.PIXEL_DATA and not theirs.encapsulated:
        length, expected = len(theirs.value), theirs.expected_length
        if length < expected - expected % 2 or length % 2:
            same = pair.difference.identical_value or (ours.native and ours.value == theirs.value)
            message = "pixel data of another length than rows and columns say"
            yield pair.finding("FIL-01", tags.PIXEL_DATA, message, inherited=same)
        elif length > expected:
            same = pair.difference.identical_value or (not ours.encapsulated and len(ours.value) == length)
            message = "pixel data longer than rows and columns say"
            yield pair.finding("FIL-01", tags.PIXEL_DATA, message, inherited=same)
        element = written.get_item(tags.PIXEL_DATA)
        vr = element.VR if isinstance(element, RawDataElement) else None
        if theirs.bits_allocated > 8 and vr not in (None, "OW"):
            before = pair.source.get_item(tags.PIXEL_DATA) if ours.tag else None
            same = isinstance(before, RawDataElement) and vr == before.VR and not ours.encapsulated
            yield pair.finding("FIL-01", tags.PIXEL_DATA, "pixel words of more than 8 bits whose VR is not OW",
                               inherited=same)  # fmt: skip


def _file_meta(pair: Pair) -> Iterator[Finding]:
    """Check that preamble, File Meta Information and group lengths are not those of the source (PS3.10 7.1).

    Of a copy, only the transfer syntax is checked.
    """
    source, written, meta = pair.source, pair.written, pair.written.file_meta
    syntax = pair.pixels[1].syntax
    if syntax == uid.ExplicitVRBigEndian:
        same = pair.pixels[0].syntax == syntax
        yield pair.finding(
            "FIL-02", tags.TRANSFER_SYNTAX_UID, "a retired transfer syntax", severity="warning", inherited=same
        )
    if not pair.derived:
        return
    if any(written.preamble or b""):
        same = written.preamble == source.preamble
        yield pair.finding("FIL-02", None, "the preamble is not empty", severity="warning", inherited=same)
    source_tags = elements(source).keys()
    for tag in elements(written):
        if is_group_length(tag):
            message = "a retired group length"
            yield pair.finding("FIL-02", tag, message, severity="warning", inherited=tag in source_tags)
    for meta_tag in (tags.PRIVATE_INFORMATION_CREATOR_UID, tags.PRIVATE_INFORMATION):
        if meta_tag in meta:
            yield pair.finding("FIL-02", meta_tag, "private information beside the data set", severity="warning")
    implementation = text(meta, tags.IMPLEMENTATION_CLASS_UID)
    same = implementation == text(source.file_meta, tags.IMPLEMENTATION_CLASS_UID)
    if implementation and same and not implementation.startswith(_TOOLKITS):
        yield pair.finding(
            "FIL-02", tags.IMPLEMENTATION_CLASS_UID, "names the writer of the source", severity="warning"
        )


def _kept(pair: Pair) -> Iterator[Finding]:
    """Check that attributes whose rule is keep are kept, and those whose rule is remove are gone (RULES)."""
    for tag, differences in pair.differing.items():
        rule = pair.rule(tag)
        if rule.action in ("new", "set", "append") or rule.check == "LOS-01":
            continue
        if pair.derived and rule.check in ("EQP-01", "DER-02"):
            continue
        for difference in differences:
            outcome, path = difference.outcome, difference.path
            if is_allowed(pair, difference):
                continue
            if rule.action == "remove":
                of_writer = tag == tags.INSTANCE_CREATOR_UID and outcome != "lost"  # the writer may set its own
                if not of_writer and (outcome != "lost" or path != keyword_for_tag(tag)):
                    severity: Severity = "warning" if rule.check == "FIL-02" else "error"
                    message = "must not be in a derived instance"
                    yield pair.finding(rule.check, tag, message, path=path, severity=severity)
                continue
            check = rule.check
            if outcome == "added" and check != "TIM-01":
                check = "HDR-02"
            elif outcome == "reformatted" and check == "PIX-02":
                check = rules.DEFAULT_CHECK  # the values are the same
            detail = _moved_corners(pair) if check == "GEO-01" and outcome != "VR changed" else difference.detail
            broken = "although the source does not have it" if outcome == "added" else "although it must be kept"
            message = f"{outcome} {detail}".strip() + f" {broken}"
            yield pair.finding(check, tag, message, path=path, severity=_severity(difference, detail))


def _removed(pair: Pair) -> Iterator[Finding]:
    """Check that a derived instance has not kept, unchanged, an attribute that it must not have."""
    for tag in sorted(rules.REMOVED_TAGS.intersection(pair.comparison.kept)):
        rule = pair.rule(tag)
        if rule.action == "remove" and rule.check == "FIL-02":
            yield pair.finding("FIL-02", tag, "has no meaning", severity="warning", inherited=True)
        elif rule.action == "remove":
            yield pair.finding(rule.check, tag, f"must not be in a derived instance: {rule.detail}")


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
    tag, rule = difference.tag, pair.rule(difference.tag)
    if is_set_by_rule(pair, difference):
        return True
    if rule.processed != "keep" and pair.processed:
        outcomes = _AFTER_PROCESSING.get(tag, ("changed", "reformatted", "lost"))
        # Careless tools make Rescale Type US, unspecified, whatever it was.
        unspecified = tag == tags.RESCALE_TYPE and text(pair.written, tag) == "US" != text(pair.source, tag)
        return difference.outcome in outcomes and not unspecified
    ours, theirs = pair.pixels
    was_decoded = ours.encapsulated and not pair.difference.identical_value
    uncompressed = was_decoded and not theirs.encapsulated
    recoded = not pair.derived or ours.encapsulated or theirs.encapsulated
    if tag == tags.PLANAR_CONFIGURATION and recoded and ours.samples > 1 and not pair.difference.changed:
        return True  # only the order of the samples
    if tag in (tags.PHOTOMETRIC_INTERPRETATION, tags.PLANAR_CONFIGURATION):
        # An encapsulated YBR source that was decoded is RGB, by pixel.
        became_rgb = (
            text(pair.source, tags.PHOTOMETRIC_INTERPRETATION).startswith("YBR")
            and text(pair.written, tags.PHOTOMETRIC_INTERPRETATION) == "RGB"
        )
        return was_decoded and became_rgb and text(pair.written, tags.PLANAR_CONFIGURATION) in ("", "0", "\0\0")
    if tag == tags.SPECIFIC_CHARACTER_SET:
        character_sets = pair.values(tag)[1].decode("ascii", "replace")
        defined = are_known_character_sets(character_sets)
        return pair.derived and difference.outcome == "changed" and defined and _reads_as_before(pair)
    if tag in rules.ENCAPSULATION_TAGS:
        return theirs.encapsulated or (uncompressed and tag not in pair.written)
    return False


_AFTER_PROCESSING: dict[int, tuple[str, ...]] = {
    **dict.fromkeys(
        (tags.BITS_STORED, tags.HIGH_BIT, tags.PIXEL_REPRESENTATION, tags.RESCALE_INTERCEPT, tags.RESCALE_SLOPE),
        ("changed", "reformatted"),
    ),
    tags.RESCALE_TYPE: ("changed", "added"),
    tags.REAL_WORLD_VALUE_MAPPING_SEQUENCE: ("changed", "added", "lost"),
    **dict.fromkeys((tags.CONTENT_DATE, tags.CONTENT_TIME, tags.CONTENT_QUALIFICATION), ("changed",)),
}
"""Outcomes that processing of the pixels may have for an attribute; others may be changed, reformatted or lost."""


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


def _values_fit(pair: Pair) -> Iterator[Finding]:
    """Check texts against their character set, DS and IS against their limits (PS3.5 6.2)."""
    for tag, element in pair.stood[1].items():
        if not isinstance(element, RawDataElement) or not element.value:
            continue
        same, vr = tag not in pair.differing, element.VR or vr_of(tag)
        if vr == "DS" and any(len(part.strip()) > 16 for part in element.value.split(b"\\")):
            yield pair.finding("HDR-04", tag, "a decimal string of more than 16 characters", inherited=same)
        elif vr == "IS" and not all(map(_is_integer_string, element.value.split(b"\\"))):
            yield pair.finding("HDR-04", tag, "no integer string in its range", inherited=same)
        elif vr in ENCODED_VRS and not element.value.isascii() and not _is_readable(pair, 1, tag):
            same = same or not _is_readable(pair, 0, tag)
            yield pair.finding("HDR-04", tag, "does not fit its character set", inherited=same)


def _is_integer_string(part: bytes) -> bool:
    """Tell whether a value of VR IS is empty or an integer of 32 bits (PS3.5 6.2)."""
    part = part.strip(b" \0")
    return not part or (bool(re.fullmatch(rb"[+-]?[0-9]{1,11}", part)) and -(2**31) <= int(part) < 2**31)


def _is_readable(pair: Pair, side: int, tag: int) -> bool:
    """Tell whether the text of the source (side 0) or the written file (side 1) fits its character set."""
    element = pair.stood[side].get(tag)
    if not isinstance(element, RawDataElement):
        return True
    character_set = pair.values(tags.SPECIFIC_CHARACTER_SET)[side].decode("ascii", "replace")
    return read_text(bytes(element.value or b""), str(element.VR or vr_of(tag)), character_set) is not None


def _uids(pair: Pair) -> Iterator[Finding]:
    """Check that UIDs are valid (PS3.5 9 and B.2) and none was made by adding components to a UID of the source."""
    old = {
        text(pair.source, tag) for tag in (tags.SOP_INSTANCE_UID, tags.SERIES_INSTANCE_UID, tags.STUDY_INSTANCE_UID)
    } - {""}
    required = (tags.SOP_INSTANCE_UID, tags.SERIES_INSTANCE_UID) if pair.derived else ()
    for tag, element in pair.stood[1].items():
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


_PATH = re.compile(
    r"(?:^|[\s'\"(=,;:])(?:~?/[\w.+-]+(?:/[\w.+-]+)+|[A-Za-z]:\\|\\\\\w+\\|\.\./|\w+://|[\w.+-]+@[\w-]+)"
)


def _privacy(pair: Pair) -> Iterator[Finding]:
    """Check that no identity was added to a de-identified instance, and no path, host or user name to any."""
    deidentified = text(pair.source, tags.PATIENT_IDENTITY_REMOVED) == "YES"
    gained = "an identity was gained by a de-identified instance"
    for tag, differences in pair.differing.items():
        for difference in differences if deidentified else ():
            leaf = difference.leaf
            identifying = difference.vr == "PN" or leaf >> 16 == 0x0010 or leaf == tags.ACCESSION_NUMBER
            if identifying and difference.outcome in ("added", "changed") and difference.new not in (None, ""):
                yield pair.finding("PHI-01", tag, gained, path=difference.path)
        if deidentified and pair.rule(tag).action == "append":
            added_items = items(pair.written, tag)[len(items(pair.source, tag)) :]
            if any(map(_names_person, added_items)):
                yield pair.finding("PHI-01", tag, gained)
        if not _is_suspect(pair.stood[1].get(tag)):
            continue
        old = "\n".join(_texts(pair.source, pair.differing))
        for new in _texts(pair.written, [tag]):
            added = new.removeprefix(decoded(pair.source, tag))
            if new not in old and (_PATH.search(added) or _names_machine(added, old)):
                yield pair.finding("PHI-01", tag, "a path, host or user name stands in a text that was added")


def _names_person(item: Dataset) -> bool:
    """Tell whether an item holds a value of VR PN, at any depth."""
    return any(
        any(map(_names_person, items(item, tag))) or (vr_of(tag) == "PN" and bool(raw(item, tag)))
        for tag in elements(item)
    )


def _is_suspect(element: Element | None) -> bool:
    """Tell whether the bytes of an element may hold a path or a name of this machine, so that it must be decoded."""
    return element is not None and (
        not isinstance(element, RawDataElement) or _suspects().search(element.value or b"") is not None
    )


@cache
def _suspects() -> re.Pattern[bytes]:
    """Return a pattern of parts of paths, URLs and mail addresses, and of the names of this machine and its user."""
    names = "".join(f"|{name}" for name in _machine_names())
    return re.compile(rb"/[^/\s]+/|:\\|\\\\|\.\./|://|\w@\w" + names.encode(errors="replace"), re.I)


def _texts(dataset: Dataset, attributes: Iterable[int]) -> Iterator[str]:
    """Yield the texts of some public attributes, at any depth."""
    for tag in attributes:
        if tag not in dataset or tag >> 16 & 1:
            continue
        nested = items(dataset, tag)
        if nested:
            for item in nested:
                yield from _texts(item, elements(item))
        elif vr_of(tag) in ENCODED_VRS:
            yield decoded(dataset, tag)


_TOOL_WORDS = frozenset({
    "itk-roundtrip", "roundtrip", "pydicom", "simpleitk", "written", "stored", "values", "unchanged", "source", "image",
    "processing", "equipment",
})  # fmt: skip
"""Words that tools write into headers; a machine or a user may have such a name too."""


@cache
def _machine_names() -> tuple[str, ...]:
    """Return the names of this machine and its user as patterns, without short ones and words that tools write."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no such user in the system's table
        user = ""
    names = (socket.gethostname(), user)
    return tuple(re.escape(name) for name in names if len(name) > 4 and name.casefold() not in _TOOL_WORDS)


def _names_machine(added: str, old: str) -> bool:
    """Tell whether a text that was added names this machine or its user, and the old texts do not."""
    return any(
        re.search(rf"\b{name}\b", added, re.I) and not re.search(rf"\b{name}\b", old, re.I) for name in _machine_names()
    )


_CHECKS = (_file, _file_meta, _kept, _removed, _values_fit, _uids, _privacy)
