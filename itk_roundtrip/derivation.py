"""The derived identity: what a derived instance changes of its source, as data. No input, no output.

:func:`plan_series` settles what is the same in the whole series; :func:`edits` says what changes in one instance.
The rule table decides which attributes are touched, the functions here with which value.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

from pydicom.charset import convert_encodings, decode_bytes, encode_string
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from itk_roundtrip import uids
from itk_roundtrip.errors import RoundtripError, UnsupportedSeriesError
from itk_roundtrip.rules import (
    INTEGER_STRING_MAXIMUM,
    LONG_STRING_LIMIT,
    PURPOSE_EQUIPMENT,
    PURPOSE_SOURCE_IMAGE,
    RULES,
    SHORT_TEXT_LIMIT,
    UNCHANGED,
    is_primary,
)
from itk_roundtrip.volume import Derivation, Volume

DEFAULT_OPERATION = "read and written with ITK"
DESCRIPTION_SUFFIX = "ITK round trip"
SERIES_NUMBER_STEP = 1000
_ELISION = "..."


@dataclass(frozen=True)
class Edit:
    """A new value for one attribute, as encoded text without padding."""

    tag: int
    vr: str
    value: bytes


@dataclass(frozen=True)
class Items:
    """A new value for one sequence: all its items, those of the source as data sets, new ones as tuples of edits."""

    tag: int
    items: tuple[Dataset | Item, ...]


@dataclass(frozen=True)
class Removed:
    """An attribute of the top level that the source has and the derived instance must not have."""

    tag: int


Item = tuple[Edit | Items, ...]
"""A new item of a sequence, its attributes in ascending order."""
Edits = dict[int, Edit | Items | Removed]


@dataclass(frozen=True)
class SeriesPlan:
    """What all instances of one derived series share.

    Attributes
    ----------
    series_instance_uid, series_number
        Of the derived series.
    source_series_instance_uid
        Empty if the source has none.
    primary
        PET and NM: Image Type value 2 stays PRIMARY, the series times are kept.
    created
        Moment of creation, aware of its time zone.
    operation
        What was done, for Derivation Description.
    instance_numbers
        By index of the slice, if they must be renumbered; else empty.
    siblings
        SOP Class UID by SOP Instance UID of all source instances.
    software_versions
        For the equipment item.
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


@dataclass(frozen=True)
class SourceSlice:
    """What the plan needs to know of one source instance; texts as they stand, empty if absent."""

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
    operation: str,
    options: Mapping[str, str],
    version: str,
    software_versions: Iterable[str],
) -> SeriesPlan:
    """Settle what is the same in all instances of the derived series.

    Parameters
    ----------
    slices
        In slice order.
    operation
        What was done, in ASCII, without patient data.
    options
        Every option that changes the output; with ``operation`` they make the UIDs (PS3.5 B.2).
    version
        Of itk-roundtrip.
    software_versions
        Of all that took part.

    Raises
    ------
    UnsupportedSeriesError
        An instance lacks Study Instance UID or SOP Class UID.
    RoundtripError
        ``operation`` is not plain ASCII.
    """
    if not (operation.isascii() and operation.isprintable()) or "\\" in operation:
        raise RoundtripError("The description must be one line of ASCII text without a backslash.")
    for one in slices:
        for value, keyword, tag in (
            (one.study_instance_uid, "Study Instance UID", "(0020,000D)"),
            (one.sop_class_uid, "SOP Class UID", "(0008,0016)"),
        ):
            if not value:
                raise UnsupportedSeriesError(
                    f"{one.name} has no {keyword}, without which nothing can be derived from it; use --identity copy.",
                    path=one.name,
                    tag=tag,
                )
    first = slices[0]
    sop_uids = [one.sop_instance_uid for one in slices]
    return SeriesPlan(
        series_instance_uid=uids.series_instance_uid(
            first.series_instance_uid, sop_uids, {**options, "operation": operation}, version
        ),
        source_series_instance_uid=first.series_instance_uid,
        series_number=_series_number(first.series_number),
        primary=is_primary(first.modality, first.sop_class_uid),
        created=_now(first.timezone_offset),
        operation=operation,
        instance_numbers=_renumbered(slices),
        siblings={one.sop_instance_uid: one.sop_class_uid for one in slices if one.sop_instance_uid},
        software_versions=tuple(software_versions),
    )


def _series_number(text: str) -> int:
    try:
        number = int(text) + SERIES_NUMBER_STEP
    except ValueError:
        return SERIES_NUMBER_STEP + 1
    return number if abs(number) <= INTEGER_STRING_MAXIMUM else SERIES_NUMBER_STEP + 1


def _renumbered(slices: Sequence[SourceSlice]) -> tuple[int, ...]:
    """Return new instance numbers if one is missing or stands twice within one pass over the positions."""
    numbers = [(one.pass_index, one.instance_number) for one in slices]
    if all(number for _, number in numbers) and len(set(numbers)) == len(numbers):
        return ()
    return tuple(range(1, len(slices) + 1))


def _now(timezone_offset: str) -> datetime:
    """Return the moment of creation, in the source's Timezone Offset From UTC (0008,0201) if it has one."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), timezone.utc) if epoch else datetime.now().astimezone()
    try:
        sign = -1 if timezone_offset[0] == "-" else 1
        offset = timedelta(hours=int(timezone_offset[1:3]), minutes=int(timezone_offset[3:5]))
        return moment.astimezone(timezone(sign * offset))
    except (IndexError, ValueError):
        return moment


def derive(volume: Volume, *, description: str = DEFAULT_OPERATION) -> Volume:
    """Return a volume that :func:`write_series` writes as a new series of derived instances.

    Parameters
    ----------
    volume
        From :func:`read_series`; its pixels must stay as they were read.
    description
        Operation named in Derivation Description (0008,2111); one line of ASCII.

    References
    ----------
    DICOM PS3.3 C.7.6.1.1.2 Image Type, C.7.6.1.1.3 Derivation Description
    """
    return replace(volume, derivation=Derivation(description))


def edits(plan: SeriesPlan, source: Dataset, index: int, sop_instance_uid: str) -> Edits:
    """Return what changes in one instance, by tag.

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
    """
    result: Edits = {}
    for rule in RULES:
        if rule.action == "remove":
            if rule.tag in source:
                result[rule.tag] = Removed(rule.tag)
        elif not (rule.kept_for_primary and plan.primary):
            value = _VALUES[rule.keyword](plan, source, index, sop_instance_uid)
            if isinstance(value, tuple):
                result[rule.tag] = Items(rule.tag, value)
            elif value is not None:
                result[rule.tag] = Edit(rule.tag, rule.vr, value)
    return _with_referenced_series(plan, source, result)


def dictionary_edits(changes: Edits) -> dict[str, str | None]:
    """Return the edits that ITK's MetaDataDictionary can carry, by its keys ``gggg|eeee``; ``None`` erases.

    Sequences have no place in a dictionary, and ITK's Python cannot set text that is not ASCII.
    """
    result: dict[str, str | None] = {}
    for tag, edit in changes.items():
        key = f"{tag >> 16:04x}|{tag & 0xFFFF:04x}"
        if isinstance(edit, Removed):
            result[key] = None
        elif isinstance(edit, Edit) and edit.value.isascii():
            result[key] = edit.value.decode("ascii")
    return result


def _raw(source: Dataset, tag: int) -> bytes:
    """Return the value bytes of an element without its padding; empty if absent."""
    element = source.get_item(tag) if tag in source else None
    if isinstance(element, RawDataElement):
        return (element.value or b"").rstrip(b" \0")
    return b""


def _text(source: Dataset, tag: int) -> str:
    return _raw(source, tag).decode("ascii", "replace").strip()


def _image_type(plan: SeriesPlan, source: Dataset, index: int, uid: str) -> bytes:
    values = _raw(source, 0x00080008).split(b"\\")
    return b"\\".join([b"DERIVED", b"PRIMARY" if plan.primary else b"SECONDARY", *values[2:]])


def _fitted(source: Dataset, tag: int, separator: str, added: str, limit: int, *, keep_end: bool) -> bytes:
    """Return the old text, the separator and the added text, the old one shortened to ``limit`` characters."""
    old = _raw(source, tag)
    if not old:
        return added.encode("ascii")
    encodings = convert_encodings(source.get("SpecificCharacterSet") or "ISO_IR 6")
    decoded = decode_bytes(old, encodings, set())
    if len(decoded) + len(separator) + len(added) <= limit:
        return old + (separator + added).encode("ascii")
    if keep_end:
        room = limit - len(separator) - len(added) - len(_ELISION)
        shortened = _ELISION + decoded[-room:]
    else:
        shortened = decoded[: limit - len(separator) - len(added)].rstrip()
    return encode_string(shortened, encodings) + (separator + added).encode("ascii")


def _series_description(plan: SeriesPlan, source: Dataset, index: int, uid: str) -> bytes:
    return _fitted(source, 0x0008103E, " ", DESCRIPTION_SUFFIX, LONG_STRING_LIMIT, keep_end=False)


def _derivation_description(plan: SeriesPlan, source: Dataset, index: int, uid: str) -> bytes:
    added = f"{plan.software_versions[0]}: {plan.operation}; {UNCHANGED}"
    return _fitted(source, 0x00082111, "; ", added, SHORT_TEXT_LIMIT, keep_end=True)


def _instance_number(plan: SeriesPlan, source: Dataset, index: int, uid: str) -> bytes | None:
    return str(plan.instance_numbers[index]).encode() if plan.instance_numbers else None


def _code(tag: int, code: tuple[str, str, str]) -> Items:
    value, scheme, meaning = (text.encode("ascii") for text in code)
    item = Edit(0x00080100, "SH", value), Edit(0x00080102, "SH", scheme), Edit(0x00080104, "LO", meaning)
    return Items(tag, (item,))


def _old_items(source: Dataset, tag: int) -> tuple[Dataset, ...]:
    return tuple(source[tag].value or ()) if tag in source else ()


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Item:
    return Edit(0x00081150, "UI", sop_class_uid.encode()), Edit(0x00081155, "UI", sop_instance_uid.encode())


def _source_image(plan: SeriesPlan, source: Dataset, index: int, uid: str) -> tuple[Dataset | Item, ...] | None:
    source_uid = _text(source, 0x00080018)
    if not source_uid:
        return None
    item = (
        *_reference(_text(source, 0x00080016), source_uid),
        Edit(0x0028135A, "CS", b"YES"),
        _code(0x0040A170, PURPOSE_SOURCE_IMAGE),
    )
    return (*_old_items(source, 0x00082112), item)


def _contributing_equipment(plan: SeriesPlan, source: Dataset, index: int, uid: str) -> tuple[Dataset | Item, ...]:
    item = (
        Edit(0x00080070, "LO", b"itk-roundtrip"),
        Edit(0x00081090, "LO", b"itk-roundtrip"),
        Edit(0x00181020, "LO", "\\".join(plan.software_versions).encode("ascii")),
        Edit(0x0018A002, "DT", plan.created.strftime("%Y%m%d%H%M%S%z").encode()),
        Edit(0x0018A003, "ST", _shortened(f"{plan.operation}; {UNCHANGED}").encode("ascii")),
        _code(0x0040A170, PURPOSE_EQUIPMENT),
    )
    return (*_old_items(source, 0x0018A001), item)


def _shortened(text: str) -> str:
    return text if len(text) <= SHORT_TEXT_LIMIT else _ELISION + text[len(_ELISION) - SHORT_TEXT_LIMIT :]


_REFERRING = (0x00081140, 0x0008114A, 0x00082112, 0x00420013)
"""Referenced Image, Referenced Instance, Source Image and Source Instance Sequence."""


def _with_referenced_series(plan: SeriesPlan, source: Dataset, changes: Edits) -> Edits:
    """Add to Referenced Series Sequence every instance of the source series that this instance refers to."""
    own = _text(source, 0x00080018)
    if not plan.source_series_instance_uid or not own:
        return changes
    referred = [own]
    for tag in _REFERRING:
        referred += [str(item.get("ReferencedSOPInstanceUID", "")) for item in _old_items(source, tag)]
    wanted = {uid: plan.siblings[uid] for uid in referred if uid in plan.siblings}
    items: list[Dataset | Item] = list(_old_items(source, 0x00081115))
    for position, item in enumerate(items):
        if isinstance(item, Dataset) and str(item.get("SeriesInstanceUID", "")) == plan.source_series_instance_uid:
            items[position] = _merged(item, wanted)
            break
    else:
        references = Items(0x0008114A, tuple(_reference(kind, uid) for uid, kind in wanted.items()))
        items.append((references, Edit(0x0020000E, "UI", plan.source_series_instance_uid.encode())))
    return {**changes, 0x00081115: Items(0x00081115, tuple(items))}


def _merged(item: Dataset, wanted: Mapping[str, str]) -> Dataset:
    """Return an item of Referenced Series Sequence with references added that it lacks."""
    instances = list(item.get("ReferencedInstanceSequence") or ())
    present = {str(one.get("ReferencedSOPInstanceUID", "")) for one in instances}
    for uid, kind in wanted.items():
        if uid not in present:
            reference = Dataset()
            reference.ReferencedSOPClassUID = kind
            reference.ReferencedSOPInstanceUID = uid
            instances.append(reference)
    merged = Dataset(dict(item.items()))
    implicit_vr, little_endian = item.original_encoding
    merged.set_original_encoding(implicit_vr, little_endian, item.original_character_set)
    merged.ReferencedInstanceSequence = instances
    return merged


_VALUES: dict[str, Callable[[SeriesPlan, Dataset, int, str], bytes | tuple[Dataset | Item, ...] | None]] = {
    "ImageType": _image_type,
    "InstanceCreationDate": lambda plan, *_: plan.created.strftime("%Y%m%d").encode(),
    "InstanceCreationTime": lambda plan, *_: plan.created.strftime("%H%M%S").encode(),
    "SOPInstanceUID": lambda plan, source, index, uid: uid.encode(),
    "SeriesDate": lambda plan, *_: plan.created.strftime("%Y%m%d").encode(),
    "SeriesTime": lambda plan, *_: plan.created.strftime("%H%M%S").encode(),
    "SeriesDescription": _series_description,
    "ReferencedSeriesSequence": lambda *_: None,  # merged last, from all the references of the instance
    "DerivationDescription": _derivation_description,
    "SourceImageSequence": _source_image,
    "ContributingEquipmentSequence": _contributing_equipment,
    "SeriesInstanceUID": lambda plan, *_: plan.series_instance_uid.encode(),
    "SeriesNumber": lambda plan, *_: str(plan.series_number).encode(),
    "InstanceNumber": _instance_number,
}
"""The value of each attribute that the rule table replaces; ``None`` keeps the attribute as it stands."""
