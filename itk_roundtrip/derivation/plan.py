"""The edits that make a derived instance of its source (PS3.3 C.7.6.1.1.2, C.12.4), as data. No input, no output.

:func:`plan_series` makes the plan that all instances share; :func:`edits` returns the edits of an instance.
The rule table decides which attributes are touched, the functions here with which value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from pydicom.charset import decode_bytes, encode_string
from pydicom.dataset import Dataset

from itk_roundtrip import tags
from itk_roundtrip.derivation import uids
from itk_roundtrip.derivation.elements import coded, encodings_of
from itk_roundtrip.derivation.processing import ProcessedPixels, Processing, figures, processed_edits
from itk_roundtrip.dicom import values
from itk_roundtrip.dicom.edits import Appended, Edit, Edits, Item, Items, Nested, Removed
from itk_roundtrip.dicom.encoding import NUMBER_FORMATS
from itk_roundtrip.errors import RoundtripError, UnsupportedSeriesError
from itk_roundtrip.new_grids import LAST_IS_ELSEWHERE
from itk_roundtrip.rules import (
    COMMENT,
    DESCRIPTION_SUFFIX,
    INTEGER_STRING_MAXIMUM,
    LONG_STRING_LIMIT,
    PROCESSED_SUFFIX,
    PURPOSE_EQUIPMENT,
    PURPOSE_SOURCE_IMAGE,
    RULES,
    SHORT_TEXT_LIMIT,
    UNCHANGED,
    image_type_values_2,
    is_primary,
)

OPERATION = "read and written with ITK"
SERIES_NUMBER_STEP = 1000
SOURCE_IMAGE_LIMIT = 32
"""Most other instances that contributed and are listed in Source Image Sequence."""
_STATEMENT_LIMIT = SHORT_TEXT_LIMIT - 64
"""Characters of the statement of the derivation: of a text of VR ST, the name of the software needs the rest."""
_ELISION = "..."
_UNDECODABLE = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class PixelChange:
    """Changes of the attributes that describe the pixels, and what Derivation Description says of their values.

    Attributes
    ----------
    photometric, planar
        New Photometric Interpretation and Planar Configuration; ``None`` keeps what the source has.
    lossy
        Method and ratio of the compression by which the source, or a slice that contributed, lost something; the
        method empty if it has no term; ``None`` if nothing was lost.
    declared
        What Derivation Description says of it; of processed pixels, how they were decoded.
    processed
        What became of processed pixels; ``None`` if the stored values are those of the source.
    """

    photometric: str | None = None
    planar: int | None = None
    lossy: tuple[str, str] | None = None
    declared: str = UNCHANGED
    processed: ProcessedPixels | None = None


AS_THEY_ARE = PixelChange()


@dataclass(frozen=True)
class SeriesPlan:
    """The values that all instances of a derived series share.

    Attributes
    ----------
    series_instance_uid, series_number
        Of the derived series.
    source_series_instance_uid
        Empty if the source has none.
    primary
        PET and NM: the series times are kept.
    created
        Moment of creation, aware of its time zone.
    operation, comment
        What was done, and what the user says of it, for Derivation Description.
    instance_numbers
        By index of the slice, if they must be renumbered; else empty.
    siblings
        SOP Class UID by SOP Instance UID of all source instances.
    software_versions
        For the equipment item.
    unchanged
        The stored values of all instances are those of the source.
    processing
        What was done to the pixels; ``None`` if nothing was.
    keeps_content_times
        Several instances share a position (temporal, gated, dynamic), so that their times are kept.
    """

    series_instance_uid: str
    source_series_instance_uid: str
    series_number: int
    primary: bool
    created: datetime
    operation: str
    instance_numbers: tuple[int, ...]
    siblings: Mapping[str, str] = field(repr=False)
    software_versions: tuple[str, ...]
    unchanged: bool = True
    comment: str = ""
    processing: Processing | None = None
    keeps_content_times: bool = False


@dataclass(frozen=True)
class SourceSlice:
    """The attributes of a source instance that the plan is made of; texts as they stand, empty if absent."""

    name: str
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    modality: str
    series_number: str
    instance_number: str
    timezone_offset: str
    pass_index: int
    """How many slices at the same position come before it."""


def plan_series(
    slices: Sequence[SourceSlice],
    *,
    comment: str,
    options: Mapping[str, str],
    version: str,
    software_versions: Iterable[str],
    unchanged: bool = True,
    processing: Processing | None = None,
) -> SeriesPlan:
    """Return the plan of the derived series: the values that all its instances share.

    Parameters
    ----------
    slices
        In slice order.
    comment
        What the user says of it, one line of ASCII, checked; empty if nothing.
    options
        Every option that changes the output; with the operation and ``comment`` they make the UIDs (PS3.5 B.2).
    version
        Of itk-roundtrip.
    software_versions
        Of all that took part.
    unchanged
        Whether the stored values of all instances are those of the source, which Derivation Description then says.
    processing
        What was done to the pixels, checked; its digest of the volume is part of the UIDs.

    Raises
    ------
    UnsupportedSeriesError
        An instance lacks Study Instance UID or SOP Class UID.
    """
    for slice_ in slices:
        for value, keyword, tag in (
            (slice_.study_instance_uid, "Study Instance UID", "(0020,000D)"),
            (slice_.sop_class_uid, "SOP Class UID", "(0008,0016)"),
        ):
            if not value:
                raise UnsupportedSeriesError(
                    f"{slice_.name} has no {keyword}, without which nothing can be derived from it; use"
                    ' identity="copy".',
                    path=slice_.name,
                    tag=tag,
                    option='identity="copy"',
                )
    first = slices[0]
    for slice_ in slices:
        if is_primary(slice_.modality, slice_.sop_class_uid) != is_primary(first.modality, first.sop_class_uid):
            raise UnsupportedSeriesError(
                f"{slice_.name} and {first.name} differ in their modality, so that no one series can be derived from"
                ' them; use identity="copy".',
                path=slice_.name,
                tag="(0008,0060)",
                option='identity="copy"',
            )
    sop_uids = [slice_.sop_instance_uid for slice_ in slices]
    operation = processing.options() if processing is not None else {"operation": OPERATION}
    return SeriesPlan(
        series_instance_uid=uids.series_instance_uid(
            first.series_instance_uid,
            sop_uids,
            {**options, **operation, **({"comment": comment} if comment else {})},
            version,
        ),
        source_series_instance_uid=first.series_instance_uid,
        series_number=_series_number(first.series_number),
        primary=is_primary(first.modality, first.sop_class_uid),
        created=_in_offset(moment_of_creation(), first.timezone_offset),
        operation=OPERATION if processing is None else processing.text,
        comment=comment,
        instance_numbers=_renumbered(slices),
        siblings={slice_.sop_instance_uid: slice_.sop_class_uid for slice_ in slices if slice_.sop_instance_uid},
        software_versions=tuple(software_versions),
        unchanged=unchanged,
        processing=processing,
        keeps_content_times=any(slice_.pass_index for slice_ in slices),
    )


def _series_number(text: str) -> int:
    """Return Series Number (0020,0011) of the derived series: that of the source plus 1000, or 1001."""
    if not re.fullmatch(r"[+-]?[0-9]+", text.strip()):
        return SERIES_NUMBER_STEP + 1
    number = int(text) + SERIES_NUMBER_STEP
    return number if abs(number) <= INTEGER_STRING_MAXIMUM else SERIES_NUMBER_STEP + 1


def _renumbered(slices: Sequence[SourceSlice]) -> tuple[int, ...]:
    """Return new Instance Numbers (0020,0013) if any is missing or repeated within a pass over the positions."""
    numbers = [(slice_.pass_index, slice_.instance_number) for slice_ in slices]
    if all(number for _, number in numbers) and len(set(numbers)) == len(numbers):
        return ()
    return tuple(range(1, len(slices) + 1))


def moment_of_creation() -> datetime:
    """Return the moment of creation: that of ``SOURCE_DATE_EPOCH`` if it is set."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not epoch:
        return datetime.now().astimezone()
    try:
        return datetime.fromtimestamp(int(epoch), timezone.utc)
    except (ValueError, OverflowError, OSError):
        raise RoundtripError("SOURCE_DATE_EPOCH is not a number of seconds since 1970.") from None


def _in_offset(moment: datetime, timezone_offset: str) -> datetime:
    """Return the same moment in a Timezone Offset From UTC (0008,0201); unchanged if that is no offset."""
    if not re.fullmatch(r"[+-][0-9]{4}", timezone_offset):
        return moment
    sign = -1 if timezone_offset[0] == "-" else 1
    offset = timedelta(hours=int(timezone_offset[1:3]), minutes=int(timezone_offset[3:5]))
    return moment.astimezone(timezone(sign * offset)) if offset < timedelta(hours=24) else moment


def edits(
    plan: SeriesPlan, source: Dataset, index: int, sop_instance_uid: str, pixels: PixelChange = AS_THEY_ARE
) -> Edits:
    """Return the edits of a derived instance, by tag.

    Parameters
    ----------
    plan
        Of the series.
    source
        Data set of the source instance, undecoded.
    index
        Of the slice, from 0, in slice order.
    sop_instance_uid
        Of the derived instance.
    pixels
        What becomes of the description of its pixels.
    """
    result: Edits = {}
    for rule in RULES:
        if rule.action == "remove":
            if rule.tag in source:
                result[rule.tag] = Removed(rule.tag)
        elif rule.action != "keep" and not (rule.kept_for_primary and plan.primary):
            value = _VALUES[rule.keyword](_Slice(plan, source, index, sop_instance_uid, pixels))
            if isinstance(value, Appended):
                result[rule.tag] = value
            elif value is not None:
                result[rule.tag] = Edit(rule.tag, rule.vr, value)
    if plan.processing is not None and pixels.processed is not None:
        result |= processed_edits(
            source,
            plan.processing,
            pixels.processed,
            created=_in_offset(plan.created, values.text(source, tags.TIMEZONE_OFFSET_FROM_UTC)),
            primary=plan.primary,
            keeps_content_times=plan.keeps_content_times,
        )
    result |= {**pixel_edits(source, pixels), **_lossy_edits(source, pixels)}
    contributing = [] if pixels.processed is None else _listed(source, pixels.processed)
    return _with_referenced_series(plan, source, result, [instance for _, instance in contributing])


def pixel_edits(source: Dataset, pixels: PixelChange) -> Edits:
    """Return the edits of Photometric Interpretation and Planar Configuration, for copies as well."""
    result: Edits = {}
    if pixels.photometric is not None and pixels.photometric != values.text(source, tags.PHOTOMETRIC_INTERPRETATION):
        result[tags.PHOTOMETRIC_INTERPRETATION] = Edit(
            tags.PHOTOMETRIC_INTERPRETATION, "CS", pixels.photometric.encode("ascii")
        )
    if pixels.planar is not None and values.unsigned_short(source, tags.PLANAR_CONFIGURATION) != pixels.planar:
        result[tags.PLANAR_CONFIGURATION] = Edit(tags.PLANAR_CONFIGURATION, "US", pixels.planar.to_bytes(2, "little"))
    return result


def _lossy_edits(source: Dataset, pixels: PixelChange) -> Edits:
    """Return the edits of the Lossy Image Compression attributes; what a source says stays (PS3.3 C.7.6.1.1.5)."""
    if pixels.lossy is None:
        return {}
    method, ratio = (text.encode("ascii") for text in pixels.lossy)
    result: Edits = {}
    if values.text(source, tags.LOSSY_IMAGE_COMPRESSION) != "01":
        result[tags.LOSSY_IMAGE_COMPRESSION] = Edit(tags.LOSSY_IMAGE_COMPRESSION, "CS", b"01")
    if not method:  # a compression that the standard has no term for
        return result
    history = {
        tags.LOSSY_IMAGE_COMPRESSION_RATIO: ("DS", ratio, tags.LOSSY_IMAGE_COMPRESSION_METHOD),
        tags.LOSSY_IMAGE_COMPRESSION_METHOD: ("CS", method, tags.LOSSY_IMAGE_COMPRESSION_RATIO),
    }
    for tag, (vr, value, partner) in history.items():
        if not values.raw(source, tag) and b"\\" not in values.raw(source, partner):  # both list step after step
            result[tag] = Edit(tag, vr, value)
    return result


def dictionary_edits(changes: Edits) -> dict[str, str | None]:
    """Return the edits that ITK's MetaDataDictionary can carry, by its keys ``gggg|eeee``; ``None`` erases.

    Sequences have no place in a dictionary, and ITK's Python cannot set text that is not ASCII.
    """
    result: dict[str, str | None] = {}
    for tag, edit in changes.items():
        if tag >> 16 == 0x0028:
            continue  # ITK describes the pixels that it writes
        key = f"{tag >> 16:04x}|{tag & 0xFFFF:04x}"
        if isinstance(edit, Removed):
            result[key] = None
        elif isinstance(edit, Edit) and edit.vr not in NUMBER_FORMATS and edit.value.isascii():
            result[key] = edit.value.decode("ascii")
    return result


@dataclass(frozen=True)
class _Slice:
    """A slice of the derived series: the plan, its source, and what the values of the rule table are made of."""

    plan: SeriesPlan
    source: Dataset
    index: int
    sop_instance_uid: str
    pixels: PixelChange


def is_enhanced(source: Dataset) -> bool:
    """Tell whether an instance has functional groups (PS3.3 C.7.6.16)."""
    return tags.SHARED_FUNCTIONAL_GROUPS_SEQUENCE in source or tags.PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE in source


def _image_type(slice_: _Slice) -> bytes:
    """Return Image Type (0008,0008): DERIVED, value 2 as the rule table has it, the others as they are."""
    source = slice_.source
    parts = values.raw(source, tags.IMAGE_TYPE).split(b"\\")
    modality, sop_class = values.text(source, tags.MODALITY), values.text(source, tags.SOP_CLASS_UID)
    old = parts[1].decode("ascii", "replace").strip() if len(parts) > 1 else ""
    (second, *_) = image_type_values_2(modality, sop_class, old, functional_groups=is_enhanced(source))
    return b"\\".join([b"DERIVED", second.encode(), *parts[2:]])


def _decoded(source: Dataset, text: bytes) -> str:
    """Return an encoded text of a data set."""
    return decode_bytes(text, encodings_of(source), set())


def _fitted(source: Dataset, tag: int, separator: str, added: str, limit: int, *, keep_end: bool) -> bytes:
    """Return the old text, the separator and the added text, the old text shortened to ``limit`` characters in all.

    The bytes of the old text stay as they are wherever that is possible, whatever they decode to.
    """
    old = values.raw(source, tag)
    if not old:
        return added.encode("ascii")
    encodings = encodings_of(source)
    added = separator + added
    room = limit - len(added)
    if len(decode_bytes(old, encodings, set())) > room:
        if keep_end:
            # The operation is never so long that the dots do not fit.
            old = _ELISION.encode("ascii") + _cut(old, encodings, room - len(_ELISION), keep_end=True)
        else:
            old = _cut(old, encodings, room, keep_end=False).rstrip()
    return _joined(old, added, encodings)


def _cut(old: bytes, encodings: list[str], room: int, *, keep_end: bool) -> bytes:
    """Return the beginning or the end of an encoded text, at most ``room`` characters of it."""
    decoded = decode_bytes(old, encodings, set())
    start = len(decoded) - room if keep_end else 0
    if room == 0:
        return b""
    if len(decoded) == len(old):  # a byte for each character: cut the bytes themselves
        return old[start : start + room]
    wanted = decoded[start : start + room]
    encoded = encode_string(wanted, encodings)
    if decode_bytes(encoded, encodings, set()) == wanted and _UNDECODABLE not in wanted:
        return encoded
    # Text that does not fit its character set: the longest piece of its bytes that is short enough.
    pieces = (old[-size:] if keep_end else old[:size] for size in range(len(old), 0, -1))
    return next((piece for piece in pieces if len(decode_bytes(piece, encodings, set())) <= room), b"")


def _joined(old: bytes, added: str, encodings: list[str]) -> bytes:
    """Return a text with ASCII added, behind an escape sequence if it ends in another set (PS3.5 6.1.2.5)."""
    before = decode_bytes(old, encodings, set())
    for closing in (b"", b"\x1b(B"):
        joined = old + closing + added.encode("ascii")
        if decode_bytes(joined, encodings, set()) == before + added:
            return joined
    return old + added.encode("ascii")


def _series_description(slice_: _Slice) -> bytes:
    """Return Series Description (0008,103E) with the suffix of this package."""
    plan, old = slice_.plan, values.raw(slice_.source, tags.SERIES_DESCRIPTION)
    suffix = DESCRIPTION_SUFFIX if plan.processing is None or plan.unchanged else PROCESSED_SUFFIX
    if _decoded(slice_.source, old).endswith(suffix):
        return old  # of a source that was made in the same way itself
    return _fitted(slice_.source, tags.SERIES_DESCRIPTION, " ", suffix, LONG_STRING_LIMIT, keep_end=False)


def statement(plan: SeriesPlan, declared: str) -> str:
    """Return the statement of the derivation: operation, what became of the stored values, comment of the user.

    The comment is cut where there is no room for all of it: it claims nothing.
    """
    extent = plan.processing.extent if plan.processing is not None and not plan.unchanged else ""
    text = "; ".join(part for part in (plan.operation, declared, extent) if part)
    room = _STATEMENT_LIMIT - len(f"{text}; {COMMENT}")
    comment = plan.comment if len(plan.comment) <= room else plan.comment[: max(0, room - len(_ELISION))] + _ELISION
    return f"{text}; {COMMENT}{comment}" if plan.comment and room > len(_ELISION) else text


def declared(plan: SeriesPlan, source: Dataset, pixels: PixelChange) -> str:
    """Return what Derivation Description says of the stored values of an instance.

    Of processed pixels: how they were decoded, and their figures. That nothing changed is said of whole series only.
    """
    if plan.processing is None or pixels.processed is None:
        return pixels.declared
    decoding = [part for part in pixels.declared.split("; ") if part and part != UNCHANGED]
    return "; ".join([*decoding, figures(source, plan.processing, pixels.processed)])


def _derivation_description(slice_: _Slice) -> bytes:
    """Return Derivation Description (0008,2111) with the statement of the derivation behind what it said."""
    plan = slice_.plan
    added = f"{plan.software_versions[0]}: {statement(plan, declared(plan, slice_.source, slice_.pixels))}"
    return _fitted(slice_.source, tags.DERIVATION_DESCRIPTION, "; ", added, SHORT_TEXT_LIMIT, keep_end=True)


def _creation(slice_: _Slice) -> datetime:
    """Return the moment of creation in the time zone of the instance."""
    return _in_offset(slice_.plan.created, values.text(slice_.source, tags.TIMEZONE_OFFSET_FROM_UTC))


def _instance_number(slice_: _Slice) -> bytes | None:
    """Return Instance Number (0020,0013), if the series is renumbered."""
    return str(slice_.plan.instance_numbers[slice_.index]).encode() if slice_.plan.instance_numbers else None


def _value_of(item: Dataset, keyword: str) -> str:
    """Return a UID of an item; empty if it is absent or no text."""
    try:
        return str(item.get(keyword, ""))
    except Exception:  # whatever pydicom meets in bytes that do not fit their VR
        return ""


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Item:
    """Return an item that refers to an instance: SOP Instance Reference Macro (PS3.3 Table 10-11)."""
    return Edit(tags.REFERENCED_SOP_CLASS_UID, "UI", sop_class_uid.encode()), Edit(
        tags.REFERENCED_SOP_INSTANCE_UID, "UI", sop_instance_uid.encode()
    )


def source_reference(
    source: Dataset, *, frames: Sequence[int] = (), same_place: bool = True, is_elsewhere: bool = False
) -> Item | None:
    """Return an item that refers to a source instance, or to frames of it.

    Parameters
    ----------
    source
        The instance.
    frames
        Numbers of the frames, from 1; none refers to all.
    same_place
        Whether the pixels lie where those of the derived image or frame do.
    is_elsewhere
        The derived image is on another grid, and this the nearest slice.
    """
    source_uid = values.text(source, tags.SOP_INSTANCE_UID)
    if not source_uid:
        return None
    numbers = "\\".join(map(str, frames)).encode()
    preserved = LAST_IS_ELSEWHERE.encode() if is_elsewhere else b"YES"
    return (
        *_reference(values.text(source, tags.SOP_CLASS_UID), source_uid),
        *((Edit(tags.REFERENCED_FRAME_NUMBER, "IS", numbers),) if numbers else ()),
        *((Edit(tags.SPATIAL_LOCATIONS_PRESERVED, "CS", preserved),) if same_place or is_elsewhere else ()),
        coded(tags.PURPOSE_OF_REFERENCE_CODE_SEQUENCE, PURPOSE_SOURCE_IMAGE),
    )


def source_evidence(source: Dataset) -> Item | None:
    """Return an item that refers to a source instance by study and series (PS3.3 Table 10-3b)."""
    study, series, sop_uid = (
        values.text(source, tag) for tag in (tags.STUDY_INSTANCE_UID, tags.SERIES_INSTANCE_UID, tags.SOP_INSTANCE_UID)
    )
    if not (study and series and sop_uid):
        return None
    instances = Items(tags.REFERENCED_SOP_SEQUENCE, (_reference(values.text(source, tags.SOP_CLASS_UID), sop_uid),))
    item: Item = (instances, Edit(tags.SERIES_INSTANCE_UID, "UI", series.encode()))
    return Items(tags.REFERENCED_SERIES_SEQUENCE, (item,)), Edit(tags.STUDY_INSTANCE_UID, "UI", study.encode())


def _listed(source: Dataset, processed: ProcessedPixels) -> list[tuple[str, str]]:
    """Return SOP Class and Instance UID of the other instances that contributed; none if they are too many."""
    other = [pair for pair in processed.contributing if pair[1] not in ("", values.text(source, tags.SOP_INSTANCE_UID))]
    return other if len(other) <= SOURCE_IMAGE_LIMIT else []


def _source_image(slice_: _Slice) -> Appended | None:
    """Return the items for Source Image Sequence (0008,2112): what contributed, the slice at the same place last.

    The last item for processing is the one by which :mod:`itk_roundtrip.verify.pairing` pairs an instance with its
    source. Spatial Locations Preserved is left out for slices elsewhere.
    """
    processed = slice_.pixels.processed
    item = source_reference(slice_.source, is_elsewhere=processed is not None and processed.is_elsewhere)
    if item is None:
        return None
    contributing = [] if processed is None else _listed(slice_.source, processed)
    purpose = coded(tags.PURPOSE_OF_REFERENCE_CODE_SEQUENCE, PURPOSE_SOURCE_IMAGE)
    others = [(*_reference(sop_class, instance), purpose) for sop_class, instance in contributing]
    return Appended(tags.SOURCE_IMAGE_SEQUENCE, (*others, item))


def _contributing_equipment(slice_: _Slice) -> Appended:
    """Return the item for Contributing Equipment Sequence (0018,A001): the processing equipment.

    Manufacturer's Model Name and Software Versions stay out of it: dcm2niix would take them for those of the scanner.
    """
    plan = slice_.plan
    description = f"{', '.join(plan.software_versions)}: {statement(plan, UNCHANGED if plan.unchanged else '')}"
    if len(description) > SHORT_TEXT_LIMIT:
        description = description[: SHORT_TEXT_LIMIT - len(_ELISION)] + _ELISION
    item = (
        Edit(tags.MANUFACTURER, "LO", b"itk-roundtrip"),
        Edit(tags.CONTRIBUTION_DATE_TIME, "DT", plan.created.strftime("%Y%m%d%H%M%S%z").encode()),
        Edit(tags.CONTRIBUTION_DESCRIPTION, "ST", description.encode("ascii")),
        coded(tags.PURPOSE_OF_REFERENCE_CODE_SEQUENCE, PURPOSE_EQUIPMENT),
    )
    return Appended(tags.CONTRIBUTING_EQUIPMENT_SEQUENCE, (item,))


_REFERRING = (
    tags.REFERENCED_IMAGE_SEQUENCE,
    tags.REFERENCED_INSTANCE_SEQUENCE,
    tags.SOURCE_IMAGE_SEQUENCE,
    tags.SOURCE_INSTANCE_SEQUENCE,
)
"""Sequences whose items refer to images of the source series."""


def _with_referenced_series(plan: SeriesPlan, source: Dataset, changes: Edits, contributing: Iterable[str]) -> Edits:
    """Return the edits with Referenced Series Sequence listing each instance of the source series referred to."""
    own_uid = values.text(source, tags.SOP_INSTANCE_UID)
    if not plan.source_series_instance_uid or not own_uid:
        return changes
    referred = [own_uid, *contributing]
    for tag in _REFERRING:
        referred += [_value_of(item, "ReferencedSOPInstanceUID") for item in values.items(source, tag)]
    wanted = {uid: plan.siblings[uid] for uid in referred if uid in plan.siblings}
    for index, item in enumerate(values.items(source, tags.REFERENCED_SERIES_SEQUENCE)):
        if _value_of(item, "SeriesInstanceUID") == plan.source_series_instance_uid:
            present = {
                _value_of(reference, "ReferencedSOPInstanceUID")
                for reference in values.items(item, tags.REFERENCED_INSTANCE_SEQUENCE)
            }
            missing = tuple(_reference(kind, uid) for uid, kind in wanted.items() if uid not in present)
            inside: Edits = (
                {tags.REFERENCED_INSTANCE_SEQUENCE: Appended(tags.REFERENCED_INSTANCE_SEQUENCE, missing)}
                if missing
                else {}
            )
            return {
                **changes,
                tags.REFERENCED_SERIES_SEQUENCE: Nested(tags.REFERENCED_SERIES_SEQUENCE, {index: inside}),
            }
    references = Items(tags.REFERENCED_INSTANCE_SEQUENCE, tuple(_reference(kind, uid) for uid, kind in wanted.items()))
    series: Item = (references, Edit(tags.SERIES_INSTANCE_UID, "UI", plan.source_series_instance_uid.encode()))
    return {**changes, tags.REFERENCED_SERIES_SEQUENCE: Appended(tags.REFERENCED_SERIES_SEQUENCE, (series,))}


_VALUES: dict[str, Callable[[_Slice], bytes | Appended | None]] = {
    "ImageType": _image_type,
    "InstanceCreationDate": lambda slice_: _creation(slice_).strftime("%Y%m%d").encode(),
    "InstanceCreationTime": lambda slice_: _creation(slice_).strftime("%H%M%S").encode(),
    "SOPInstanceUID": lambda slice_: slice_.sop_instance_uid.encode(),
    "SeriesDate": lambda slice_: slice_.plan.created.strftime("%Y%m%d").encode(),
    "SeriesTime": lambda slice_: slice_.plan.created.strftime("%H%M%S").encode(),
    "SeriesDescription": _series_description,
    "ReferencedSeriesSequence": lambda slice_: None,  # merged last, from all the references of the instance
    "DerivationDescription": _derivation_description,
    "SourceImageSequence": _source_image,
    "ContributingEquipmentSequence": _contributing_equipment,
    "SeriesInstanceUID": lambda slice_: slice_.plan.series_instance_uid.encode(),
    "SeriesNumber": lambda slice_: str(slice_.plan.series_number).encode(),
    "InstanceNumber": _instance_number,
}
"""Functions that return the value of each attribute that the rule table sets; ``None`` leaves the attribute."""
