"""Checks of a derived instance: Image Type, times, texts, derivation, references to its source, equipment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from itk_roundtrip import rules, tags
from itk_roundtrip.dicom.values import Element, code_of, decoded, elements, items, raw, text, value_of, vr_of
from itk_roundtrip.new_grids import LAST_IS_ELSEWHERE
from itk_roundtrip.tags import tag_text
from itk_roundtrip.verify.attributes import compare_items, read_text
from itk_roundtrip.verify.checks.functional_groups import PER_FRAME, SHARED, purposes_of
from itk_roundtrip.verify.codes import is_in_context_group
from itk_roundtrip.verify.findings import Finding
from itk_roundtrip.verify.pair import Pair, is_declared, is_valid_uid, kept_parts
from itk_roundtrip.verify.registry import check, reports

_LARGEST = re.compile(r"max\w*|largest|at most|up to|below|within|<=?|\u2264", re.I)
_ERROR = re.compile(r"err|dev|diff", re.I)
_NUMBER = re.compile(r"(?<![\w.])(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?!\s*x\s*[0-9]|x|[0-9])")
_FILLED = re.compile(r"([0-9]+)\s+NaN or Inf to padding", re.I)
_CLIPPED = re.compile(r"([0-9]+)\s+(?:\w+\s+){0,2}?clipped|clipped:?\s+([0-9]+)", re.I)


@check(
    "TYP-01",
    "Image Type value 1 is DERIVED, values 3 and on are kept",
    reason="who takes a derived image for an original one trusts values that were computed",
    section="PS3.3 C.7.6.1.1.2",
)
def image_type(pair: Pair) -> Iterator[Finding]:
    """Check value 1 and values 3 and on of Image Type (PS3.3 C.7.6.1.1.2)."""
    old, new = (_parts(value) for value in pair.values(tags.IMAGE_TYPE))
    if new[:1] != ["DERIVED"]:
        yield pair.finding("TYP-01", tags.IMAGE_TYPE, "value 1 is not DERIVED")
    if new[2:] != old[2:]:
        yield pair.finding("TYP-01", tags.IMAGE_TYPE, "values 3 and on differ from the source")
    elif text(pair.source, tags.MODALITY) in ("CT", "MR") and len(new) < 3:
        yield pair.finding("TYP-01", tags.IMAGE_TYPE, "CT and MR images have a value 3", inherited=True)


@check(
    "TYP-02",
    "Image Type value 2",
    reason="PRIMARY states that an image was made in the examination, and some SOP Classes permit nothing else",
    section="PS3.3 C.7.6.1.1.2, C.8.9.4.1.1, C.8.16.1.2",
)
def image_type_value_2(pair: Pair) -> Iterator[Finding]:
    """Check value 2 of Image Type: SECONDARY, or PRIMARY where the SOP Class asks for it."""
    old, new = (_parts(value) for value in pair.values(tags.IMAGE_TYPE))
    allowed = rules.image_type_values_2(
        text(pair.source, tags.MODALITY),
        text(pair.source, tags.SOP_CLASS_UID),
        old[1] if len(old) > 1 else "",
        functional_groups=SHARED in pair.source or PER_FRAME in pair.source,
    )
    value_2 = new[1] if len(new) > 1 else ""
    if value_2 not in allowed:
        yield pair.finding("TYP-02", tags.IMAGE_TYPE, "value 2 is not what the SOP Class asks for")
    elif value_2 == "PRIMARY" and pair.processed and pair.changed and allowed[0] != "PRIMARY":
        message = "value 2 is PRIMARY although the pixels were processed"
        yield pair.finding("TYP-02", tags.IMAGE_TYPE, message, severity="warning")


def _parts(value: bytes) -> list[str]:
    """Return the values of an attribute of VR CS, without padding."""
    return [part.strip().decode("latin-1") for part in value.split(b"\\")]


@check(
    "TIM-01",
    "times",
    reason="contrast, decay and growth are computed from times, and the newest of several series is found by them",
    section="PS3.3 C.7.3.1, C.7.6.1, C.8.9.1.1.2, C.12.1",
)
def creation_time(pair: Pair) -> Iterator[Finding]:
    """Check that the instance was created after its source, and that dates and times are valid where they are new."""
    date, time = tags.INSTANCE_CREATION_DATE, tags.INSTANCE_CREATION_TIME
    for tag in (date, time):
        if not _is_date_or_time(tag, pair.values(tag)[1]):
            yield pair.finding("TIM-01", tag, "does not say when the instance was made")
    before, after = zip(pair.values(date), pair.values(time), strict=True)
    if before == after and all(after):
        yield pair.finding("TIM-01", date, "is that of the source", severity="warning")
    elif before > after and all(after) and len(before[0]) == 8:
        yield pair.finding("TIM-01", date, "is before that of the source", severity="warning")
    for tag in (tags.SERIES_DATE, tags.SERIES_TIME, tags.CONTENT_DATE, tags.CONTENT_TIME):
        rule = pair.rule(tag)
        may_be_new = rule.action == "new" or (pair.processed and rule.processed == "new")
        if may_be_new and tag in pair.differing and not _is_date_or_time(tag, pair.values(tag)[1]):
            yield pair.finding("TIM-01", tag, "is neither that of the source nor a new one")


_TIME = re.compile(r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?")
_DATES = (tags.INSTANCE_CREATION_DATE, tags.SERIES_DATE, tags.CONTENT_DATE)


@lru_cache(maxsize=2000)
def _is_date_or_time(tag: int, value: bytes) -> bool:
    """Tell whether a value of VR DA or TM is a date of the calendar or a time of the day (PS3.5 6.2)."""
    characters = value.decode("ascii", "replace")
    if tag not in _DATES:
        return _TIME.fullmatch(characters) is not None
    try:
        return len(characters) == 8 and datetime.strptime(characters, "%Y%m%d") is not None
    except ValueError:
        return False


@reports("HDR-04")
def series_description(pair: Pair) -> Iterator[Finding]:
    """Check that Series Description keeps that of the source, and differs from it (PS3.3 C.7.3.1)."""
    tag, limit = tags.SERIES_DESCRIPTION, rules.LONG_STRING_LIMIT
    old, new = (decoded(dataset, tag) for dataset in (pair.source, pair.written))
    before, after = pair.values(tag)
    extended = after.startswith(before)  # as bytes: also where neither can be decoded
    if len(new) > limit:
        yield pair.finding("HDR-04", tag, f"is longer than {limit} characters", inherited=new == old)
    is_kept = extended or new.startswith(old) or _keeps_start(old, new, limit)
    if not is_kept and not is_declared(tag, pair.allowed):
        yield pair.finding("HDR-04", tag, "does not keep the text of the source")
    elif new == old and not old.endswith((rules.DESCRIPTION_SUFFIX, rules.PROCESSED_SUFFIX)):
        yield pair.finding("HDR-04", tag, "does not tell the series from its source", severity="warning")


def _keeps_start(old: str, new: str, limit: int) -> bool:
    """Tell whether a text begins as the old one does, which was cut no further than the limit on characters asks."""
    kept = 0
    while kept < min(len(old), len(new)) and old[kept] == new[kept]:
        kept += 1
    added = len(new) - len(new[:kept].rstrip())
    return kept > limit // 4 and len(old) + added > limit


@reports("HDR-04")
def series_number(pair: Pair) -> Iterator[Finding]:
    """Check that Series Number is a number, and another one than that of the source (PS3.3 C.7.3.1)."""
    tag = tags.SERIES_NUMBER
    if not re.fullmatch(rb"[+-]?\d{1,10}", pair.values(tag)[1]):
        yield pair.finding("HDR-04", tag, "is not a whole number")
    elif tag not in pair.differing:
        yield pair.finding("HDR-04", tag, "is that of the source", severity="warning")


@check(
    "DER-01",
    "Derivation Description says what was done",
    reason="a person who looks at the image must see that it is derived, how, and how far its values may be off",
    section="PS3.3 C.12.4.1.1",
)
def derivation_description(pair: Pair) -> Iterator[Finding]:
    """Check that Derivation Description keeps that of the source and says what was done, with its maximum error."""
    tag, limit = tags.DERIVATION_DESCRIPTION, rules.SHORT_TEXT_LIMIT
    old, new = (decoded(dataset, tag) for dataset in (pair.source, pair.written))
    if len(new) > limit:
        yield pair.finding("DER-01", tag, f"is longer than {limit} characters")
    before, after = pair.values(tag)
    if not after.startswith(before) and not new.startswith(old) and not kept_parts(old, new):
        yield pair.finding("DER-01", tag, "does not keep the text of the source")
    if not pair.added_description:
        yield pair.finding("DER-01", tag, "does not say how the instance was derived")
    elif not pair.says_unchanged and not pair.decoded_only and declared_bound(pair) is None:
        message = f"says neither `{rules.UNCHANGED}` nor an operation with its maximum error"
        yield pair.finding("DER-01", tag, message)


def declared_bound(pair: Pair) -> float | None:
    """Return the maximum error that Derivation Description names, the last if several; ``None`` if it names none."""
    return _declared(pair)[0]


def declared_clipped(pair: Pair) -> int:
    """Return how many clipped values Derivation Description names; 0 if it names none."""
    match = _CLIPPED.search(_declared(pair)[1])
    return int(match[1] or match[2]) if match else 0


def declared_filled(pair: Pair) -> int:
    """Return how many values without a number Derivation Description says became padding; 0 if it says nothing."""
    match = _FILLED.search(_declared(pair)[1])
    return int(match[1]) if match else 0


def _declared(pair: Pair) -> tuple[float | None, str]:
    """Return the maximum error that Derivation Description names, and the text from the part that names it on.

    The last part that names one: the words of an operation come before it, such as `3 standard deviations clipped`.
    """
    parts = pair.added_description.split(";")
    for index in range(len(parts) - 1, -1, -1):
        largest, error = _LARGEST.search(parts[index]), _ERROR.search(parts[index])
        if largest and error:
            number = _NUMBER.search(parts[index], max(largest.end(), error.end()))
            if number:
                return float(number[0]), ";".join(parts[index:])
    return None, pair.added_description


def _source_items(pair: Pair, tag: int, check: str) -> Iterator[Finding]:
    """Check that a sequence begins with the items of the source, unchanged."""
    before, after = items(pair.source, tag), items(pair.written, tag)
    if len(after) < len(before):
        yield pair.finding(check, tag, "an item of the source was lost")
    for difference in compare_items(before[: len(after)], after[: len(before)], tag):
        yield pair.finding(check, tag, f"of an item of the source: {difference.outcome}", path=difference.path)


def _new_items(pair: Pair, tag: int) -> list[Dataset]:
    """Return the items of a sequence that stand behind those of the source."""
    return items(pair.written, tag)[len(items(pair.source, tag)) :]


@reports("UID-04", "HDR-04")
def added_items(pair: Pair) -> Iterator[Finding]:
    """Check UIDs, texts and times in the items that were added (PS3.5 6.2 and 9)."""
    for tag in (
        tags.REFERENCED_SERIES_SEQUENCE,
        tags.SOURCE_IMAGE_SEQUENCE,
        tags.DERIVATION_CODE_SEQUENCE,
        tags.CONTRIBUTING_EQUIPMENT_SEQUENCE,
    ):
        for item in _new_items(pair, tag):
            yield from _item_values(pair, tag, item, keyword_for_tag(tag))


_SOURCE_UIDS = (tags.SOP_CLASS_UID, tags.SOP_INSTANCE_UID, tags.STUDY_INSTANCE_UID, tags.SERIES_INSTANCE_UID)
"""UIDs of the source that references to it repeat, valid or not."""


def _item_values(pair: Pair, top: int, item: Dataset, path: str) -> Iterator[Finding]:
    """Check the values of an item at any depth.

    Parameters
    ----------
    pair
        Files.
    top
        Tag of the sequence of the top level.
    item
        Item of that sequence, or nested in one.
    path
        Keywords down to the item.
    """
    for tag, element in elements(item).items():
        inside = f"{path}.{keyword_for_tag(tag) or tag_text(tag)}"
        for nested in items(item, tag):
            yield from _item_values(pair, top, nested, inside)
        if str(element.VR or vr_of(tag)) == "UI":
            if not all(map(is_valid_uid, text(item, tag).split("\\"))):
                same = text(item, tag) in {text(pair.source, uid_tag) for uid_tag in _SOURCE_UIDS}
                yield pair.finding("UID-04", top, "is no valid UID", path=inside, inherited=same)
        elif message := _text_fault(pair, tag, element):
            yield pair.finding("HDR-04", top, message, path=inside)


def _text_fault(pair: Pair, tag: int, element: Element) -> str:
    """Return the message on a text or time of an added item that does not fit its VR; empty if it does (PS3.5 6.2)."""
    vr = str(element.VR or vr_of(tag))
    limit = _LIMITS.get(vr)
    if limit is not None and isinstance(element, RawDataElement):
        character_sets = pair.values(tags.SPECIFIC_CHARACTER_SET)[1].decode("ascii", "replace")
        characters = read_text(bytes(element.value or b""), vr, character_sets)
        if characters is None:
            return "does not fit its character set"
        if any(len(part) > limit for part in ([characters] if vr in ("LT", "ST") else characters.split("\\"))):
            return f"is longer than {limit} characters"
    value = value_of(element)
    if vr == "DT" and value and not re.fullmatch(rb"\d{4,14}(\.\d{1,6})?([+-]\d{4})?", value):
        return "is no date and time"
    return ""


_LIMITS = {"LO": 64, "LT": 10240, "SH": 16, "ST": 1024}
"""Most characters of a value, by VR (PS3.5 6.2)."""


@check(
    "DER-03",
    "Source Image refers to the source slice",
    reason="a program must find the pixels that an instance was made of, and may find others",
    section="PS3.3 C.12.4.1.2, C.7.6.16.2.6",
)
@reports("DER-04")
def source_image(pair: Pair) -> Iterator[Finding]:
    """Check that Source Image Sequence refers to the source slice (PS3.3 C.12.4.1.2)."""
    tag = tags.SOURCE_IMAGE_SEQUENCE
    sop_class, instance = text(pair.source, tags.SOP_CLASS_UID), text(pair.source, tags.SOP_INSTANCE_UID)
    yield from _source_items(pair, tag, "DER-03")
    added = _new_items(pair, tag)
    if not instance:
        if added:
            yield pair.finding("DER-03", tag, "refers to a source that has no SOP Instance UID")
        return
    references = [item for item in added if text(item, tags.REFERENCED_SOP_INSTANCE_UID) == instance]
    if not added:
        message = (
            "does not refer to the source slice"
            if items(pair.written, tag)
            else "is missing: it names the source slice"
        )
        yield pair.finding("DER-03", tag, message)
    elif not references:
        yield pair.finding("DER-03", tag, "the items that were added do not refer to the source slice")
    for item in references:
        if text(item, tags.REFERENCED_SOP_CLASS_UID) != sop_class:
            yield pair.finding("DER-03", tag, "names another SOP Class than that of the source slice")
        if not _is_purpose(pair, purposes_of(item)):
            yield pair.finding("DER-03", tag, "the source slice has another purpose than that of a source image")
        expected = LAST_IS_ELSEWHERE if pair.is_elsewhere else "YES"
        if text(item, tags.SPATIAL_LOCATIONS_PRESERVED) != expected:
            yield pair.finding("DER-04", tag, f"Spatial Locations Preserved is not {expected}")


def _is_purpose(pair: Pair, purposes: list[tuple[str, str, str]]) -> bool:
    """Tell whether the only purpose is a code of CID 7202, and names a lossy compression only where there is one."""
    if len(purposes) != 1 or not is_in_context_group(7202, purposes[0]):
        return False
    if purposes[0][0] == "121320":  # uncompressed predecessor
        return pair.written_pixels.is_lossy
    if purposes[0][0] == "121330":  # lossy compressed predecessor
        return pair.source_pixels.is_lossy or text(pair.source, tags.LOSSY_IMAGE_COMPRESSION) == "01"
    return True


@check(
    "DER-04",
    "spatial locations and referenced series",
    reason="contours and measurements of the source are carried over only where it is referred to as of the same place",
    section="PS3.3 C.12.2, C.12.4, C.8.13.2.1.2",
    severity="warning",
)
def referenced_series(pair: Pair) -> Iterator[Finding]:
    """Check that Referenced Series Sequence lists the source slice, and keeps what it listed (PS3.3 C.12.2)."""
    tag = tags.REFERENCED_SERIES_SEQUENCE
    before, after = items(pair.source, tag), items(pair.written, tag)
    series, instance = text(pair.source, tags.SERIES_INSTANCE_UID), text(pair.source, tags.SOP_INSTANCE_UID)
    classes = {
        text(item, tags.SERIES_INSTANCE_UID): {
            text(reference, tags.REFERENCED_SOP_INSTANCE_UID): text(reference, tags.REFERENCED_SOP_CLASS_UID)
            for reference in items(item, tags.REFERENCED_INSTANCE_SEQUENCE)
        }
        for item in after
    }
    if series and instance and instance not in classes.get(series, {}):
        message = "does not refer to the source slice" if after else "is missing: it names the source series"
        yield pair.finding("DER-04", tag, message)
    elif series and instance and classes[series][instance] != text(pair.source, tags.SOP_CLASS_UID):
        yield pair.finding("DER-04", tag, "names another SOP Class than that of the source slice")
    if len(after) < len(before):
        yield pair.finding("DER-04", tag, "an item of the source was lost")
    for old, new in zip(before, after, strict=False):
        if text(old, tags.SERIES_INSTANCE_UID) == series:  # to its instances, the source slice may be added
            instances = items(old, tags.REFERENCED_INSTANCE_SEQUENCE)
            kept = items(new, tags.REFERENCED_INSTANCE_SEQUENCE)[: len(instances)]
            differences = compare_items(instances, kept, tags.REFERENCED_INSTANCE_SEQUENCE)
        else:
            differences = compare_items([old], [new], tag)
        for difference in differences:
            message = f"of an item of the source: {difference.outcome}"
            yield pair.finding("DER-04", tag, message, path=difference.path)


_EQUIPMENT_TAGS = tuple(rule.tag for rule in rules.RULES if rule.check == "EQP-01" and rule.action == "keep")


@check(
    "EQP-01",
    "equipment of the source and of the processing",
    reason="faults of a scanner or of a program are traced, and doses and scales corrected, by the equipment",
    section="PS3.3 C.7.5.1, C.12.1.1.5",
)
def equipment(pair: Pair) -> Iterator[Finding]:
    """Check that the equipment of the source is kept and the processing equipment added (PS3.3 C.12.1.1.5)."""
    tag = tags.CONTRIBUTING_EQUIPMENT_SEQUENCE
    yield from _source_items(pair, tag, "EQP-01")
    added = _new_items(pair, tag)
    for item in added:
        if not text(item, tags.MANUFACTURER):
            yield pair.finding("EQP-01", tag, "an item has no Manufacturer")
    codes = set()
    for item in added:
        purposes = purposes_of(item)
        if len(purposes) != 1 or not is_in_context_group(7005, purposes[0]):
            yield pair.finding("EQP-01", tag, "an item whose purpose is not one code of CID 7005")
        else:
            codes.add((purposes[0][0], raw(item, tags.MANUFACTURER)))
    manufacturer, new_manufacturer = pair.values(tags.MANUFACTURER)
    replaced = [equipment_tag for equipment_tag in _EQUIPMENT_TAGS if equipment_tag in pair.differing]
    kept = codes & {("109101", manufacturer), ("109102", manufacturer)} if manufacturer else codes
    if replaced and new_manufacturer and kept:
        return  # the writer's own equipment, and the scanner in the item
    for equipment_tag in replaced:
        outcome = pair.differing[equipment_tag][0].outcome
        yield pair.finding("EQP-01", equipment_tag, f"{outcome}, and no item keeps the equipment")
    if not any(code == "109102" for code, _ in codes):
        yield pair.finding("EQP-01", tag, "no item was added for the processing equipment")
    if tags.MANUFACTURER not in replaced and not manufacturer:
        yield pair.finding("EQP-01", tags.MANUFACTURER, "is empty or missing", inherited=True)


@check(
    "DER-02",
    "derivation codes",
    reason="programs cannot read Derivation Description: they know by the code what was done",
    section="PS3.3 C.12.4.1.1; PS3.16 CID 7203",
)
def derivation_codes(pair: Pair) -> Iterator[Finding]:
    """Check the items added to Derivation Code Sequence: codes of CID 7203, at least one if pixels were processed."""
    tag = tags.DERIVATION_CODE_SEQUENCE
    yield from _source_items(pair, tag, "DER-02")
    added = _new_items(pair, tag)
    for item in added:
        value, scheme, meaning = code_of(item)
        if scheme == "DCM" and not is_in_context_group(7203, (value, scheme, meaning)):
            yield pair.finding("DER-02", tag, "a DCM code that is not in CID 7203, or with another meaning")
        elif scheme != "DCM":
            yield pair.finding("DER-02", tag, "a code of another scheme than DCM", severity="warning")
    if pair.processed and pair.changed and not added:
        yield pair.finding("DER-02", tag, "no code for what was done", severity="warning")
