"""Compare written files with their sources, from the bytes on disk and with pydicom alone.

Nothing here is shared with the modules that write: a mistake of theirs must not repeat itself in their judge. The
check ids are those of the rule table's checks.
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.decoders.base import get_decoder

from itk_roundtrip import rules
from itk_roundtrip.rules import is_group_length, is_primary, rule_for

Severity = Literal["error", "warning", "info"]
Decode = Callable[[Path], NDArray[Any]]

_PIXEL_DATA = 0x7FE00010
_SERIES_LEVEL = (0x0020000E, 0x00200011, 0x00080021, 0x00080031)
"""Series Instance UID, Series Number, Series Date and Time: the same in all instances that we derive."""
_BIG_ENDIAN_WORDS = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it must be.

    Attributes
    ----------
    check
        Id of the check, as ``HDR-01``.
    severity
        ``error`` fails the verification.
    slice
        The written file, relative to its folder; ``None`` for the whole series.
    tag
        As ``"(gggg,eeee)"``.
    path
        Keywords from the top level down to a nested attribute, as ``"SourceImageSequence[0].CodeValue"``.
    message
        For people, without values.
    """

    check: str
    severity: Severity
    slice: str | None
    tag: str | None
    path: str | None
    message: str


@dataclass(frozen=True)
class InstanceReport:
    """What was found on one written file, and what the checks across the series need to know of it."""

    findings: tuple[Finding, ...]
    sop_instance_uid: str
    source_sop_instance_uid: str
    source_series_instance_uid: str
    series_level: tuple[tuple[int, bytes], ...]
    instance_numbers: tuple[str, str]
    """Instance Number of the source and of the written file."""
    pixels_by: str
    """Which decoder gave the source's stored values: ``native``, ``pydicom``, or the name of another one."""


class _Collector:
    def __init__(self, name: str) -> None:
        self.name = name
        self.findings: list[Finding] = []

    def error(self, check: str, tag: int | None, message: str, path: str | None = None) -> None:
        text = None if tag is None else f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
        self.findings.append(Finding(check, "error", self.name, text, path or _keyword(tag), message))


def _keyword(tag: int | None) -> str | None:
    return None if tag is None else pydicom.datadict.keyword_for_tag(tag) or None


def compare_instance(
    source_file: Path,
    written_file: Path,
    name: str,
    *,
    identity: str,
    renumbered: bool = False,
    decode: tuple[str, Decode] | None = None,
) -> InstanceReport:
    """Compare one written file with its source, both read from disk, for unchanged pixels.

    Parameters
    ----------
    source_file, written_file
        The two files.
    name
        What findings call the written one.
    identity
        ``derived`` or ``copy``.
    renumbered
        Whether instance numbers may differ, which :func:`compare_series` judges.
    decode
        Name of a decoder and the decoder itself, for compressed sources that pydicom cannot decode here; it returns
        the stored values, shape (rows, columns).
    """
    collector = _Collector(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings may quote values
        # From memory: pydicom asks a file for its position before every element.
        source = pydicom.dcmread(BytesIO(source_file.read_bytes()))
        try:
            content = written_file.read_bytes()
            written = pydicom.dcmread(BytesIO(content))
        except Exception:
            collector.error("FIL-01", None, "the written file cannot be parsed")
            return InstanceReport(tuple(collector.findings), "", "", "", (), ("", ""), "")
        primary = is_primary(_text(source, 0x00080060), _text(source, 0x00080016))
        _check_attributes(source, written, identity, primary, renumbered, collector)
        _check_file(written, len(content), collector)
        if identity == "derived":
            _check_derived(source, written, primary, collector)
        pixels_by = _check_pixels(source, written, source_file, decode, collector)
    return InstanceReport(
        findings=tuple(collector.findings),
        sop_instance_uid=_text(written, 0x00080018),
        source_sop_instance_uid=_text(source, 0x00080018),
        source_series_instance_uid=_text(source, 0x0020000E),
        series_level=tuple(
            (tag, _raw(written, tag)) for tag in _SERIES_LEVEL if rule_for(tag, identity=identity, primary=primary)
        ),
        instance_numbers=(_text(source, 0x00200013), _text(written, 0x00200013)),
        pixels_by=pixels_by,
    )


def compare_series(
    reports: Sequence[InstanceReport], source_count: int, *, identity: str, known: Iterable[Finding] = ()
) -> list[Finding]:
    """Return the findings of all instances and of the checks across them: counts, UIDs, series level."""
    findings = [*known, *(finding for report in reports for finding in report.findings)]

    def error(check: str, tag: str | None, message: str) -> None:
        findings.append(Finding(check, "error", None, tag, None, message))

    if len(reports) != source_count:
        error("CNT-01", None, f"{len(reports)} files were written for {source_count} slices")
    if identity == "copy":
        return findings
    written = [report.sop_instance_uid for report in reports]
    if len(set(written)) != len(written):
        error("UID-02", "(0008,0018)", "SOP Instance UIDs are not unique")
    if set(written) & {report.source_sop_instance_uid for report in reports}:
        error("UID-02", "(0008,0018)", "a SOP Instance UID of the source was used again")
    for tag in sorted({tag for report in reports for tag, _ in report.series_level}):
        if len({value for report in reports for one, value in report.series_level if one == tag}) > 1:
            error("HDR-03", f"({tag >> 16:04X},{tag & 0xFFFF:04X})", "differs between instances of the series")
    numbers = [report.instance_numbers for report in reports]
    old = [before for before, _ in numbers]
    sound = all(old) and len(set(old)) == len(old)
    counted = sorted(after for _, after in numbers) == sorted(str(count + 1) for count in range(len(numbers)))
    if any(before != after for before, after in numbers) and (sound or not counted):
        error("HDR-01", "(0020,0013)", "changed without need, or not to 1 to the number of slices")
    return findings


def _element(dataset: Dataset, tag: int) -> DataElement | RawDataElement | None:
    return dataset.get_item(tag) if tag in dataset else None


def _raw(dataset: Dataset, tag: int) -> bytes:
    element = _element(dataset, tag)
    if isinstance(element, RawDataElement):
        return bytes(element.value or b"").rstrip(b" \0")
    if element is None:
        return b""
    return _joined(element.value).encode("utf-8", "surrogateescape")


def _joined(value: Any) -> str:
    """Return a decoded value as one text."""
    if value is None:
        return ""
    return "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value)


def _text(dataset: Dataset, tag: int) -> str:
    return _raw(dataset, tag).decode("ascii", "replace").strip()


def _check_file(written: Dataset, size: int, collector: _Collector) -> None:
    meta = written.file_meta
    for meta_tag, tag in ((0x00020002, 0x00080016), (0x00020003, 0x00080018)):
        if str(meta.get(meta_tag).value if meta_tag in meta else "") != _text(written, tag):
            collector.error("FIL-01", meta_tag, "file meta information and data set disagree")
    if meta.get("TransferSyntaxUID") not in (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian):
        collector.error("FIL-01", 0x00020010, "unexpected transfer syntax")
    length = len(_pixel_bytes(written))
    rows, columns, bits = (int(written.get(key) or 0) for key in ("Rows", "Columns", "BitsAllocated"))
    if length < rows * columns * bits // 8 or length % 2 or not length:
        collector.error("FIL-01", _PIXEL_DATA, "pixel data of another length than rows and columns say")
    if _end(written) not in (None, size) or any(tag >> 16 == 0 for tag in _elements(written)):
        collector.error("FIL-01", None, "something follows the last element")
    if any(written.preamble or b""):
        collector.error("FIL-02", None, "the preamble is not empty")


def _end(dataset: Dataset) -> int | None:
    """Return where the last element of a file ends; ``None`` if it has no defined length."""
    last = max(_elements(dataset).items(), default=(0, None))[1]
    return last.value_tell + last.length if isinstance(last, RawDataElement) else None


def _pixel_bytes(dataset: Dataset) -> bytes:
    element = _element(dataset, _PIXEL_DATA)
    return bytes(element.value or b"") if element is not None else b""


def _check_attributes(
    source: Dataset, written: Dataset, identity: str, primary: bool, renumbered: bool, collector: _Collector
) -> None:
    """Check that what has no rule stands as it stood, and that what must go is gone.

    What a rule sets is judged by the derived checks.
    """
    before, after = _elements(source), _elements(written)
    ignored = {0, _PIXEL_DATA}  # 0: zeros that fill up the file
    if uid.UID(source.file_meta.TransferSyntaxUID).is_encapsulated:
        ignored.update(rules.ENCAPSULATION_TAGS)
        for tag in after.keys() & set(rules.ENCAPSULATION_TAGS):
            collector.error("HDR-01", tag, "describes compressed pixel data, which there is none of")
    for tag in sorted((before.keys() | after.keys()) - ignored):
        ours, theirs = before.get(tag), after.get(tag)
        rule = rule_for(tag, identity=identity, primary=primary)
        if rule is not None and (rule.keyword != "InstanceNumber" or renumbered):
            if rule.action == "remove" and theirs is not None:
                collector.error("STL-01", tag, "must not be in a derived instance")
        elif not is_group_length(tag) and not _same_bytes(ours, theirs):
            for path, what in _differences(source, written, tag, ""):
                check = "HDR-02" if what == "added" else "HDR-01"
                collector.error(check, tag, f"{what} although it must be kept", path)


def _elements(dataset: Dataset) -> dict[int, DataElement | RawDataElement]:
    return {int(tag): element for tag, element in dataset.items()}


def _same_bytes(ours: DataElement | RawDataElement | None, theirs: DataElement | RawDataElement | None) -> bool:
    """Tell whether two undecoded elements of the same byte order hold the same VR and the same bytes."""
    return (
        isinstance(ours, RawDataElement)
        and isinstance(theirs, RawDataElement)
        and ours.is_little_endian
        and ours.VR == theirs.VR
        and (ours.value or b"") == (theirs.value or b"")
    )


def _differences(source: Dataset, written: Dataset, tag: int, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield (path, what) for every way in which an attribute differs, at any depth."""
    ours, theirs = _element(source, tag), _element(written, tag)
    if _same_bytes(ours, theirs):
        return
    path = prefix + (pydicom.datadict.keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})")
    if ours is None or theirs is None:
        yield path, "added" if ours is None else "lost"
        return
    undecoded = isinstance(ours, RawDataElement) and isinstance(theirs, RawDataElement)
    little_endian = not isinstance(ours, RawDataElement) or ours.is_little_endian
    try:
        before, after = source[tag], written[tag]
    except Exception:  # bytes that do not fit their VR: then only equal bytes will do
        yield path, "changed"
        return
    if before.VR != after.VR:
        yield path, "VR changed"
    elif before.VR == "SQ":
        yield from _item_differences(before.value or (), after.value or (), path)
    elif (undecoded and little_endian) or not _equal(before, after, little_endian):
        yield path, "changed"


def _item_differences(before: Sequence[Dataset], after: Sequence[Dataset], path: str) -> Iterator[tuple[str, str]]:
    if len(before) != len(after):
        yield path, "changed in its number of items"
        return
    for index, (ours, theirs) in enumerate(zip(before, after, strict=True)):
        for tag in sorted(_elements(ours).keys() | _elements(theirs).keys()):
            if not is_group_length(tag):
                yield from _differences(ours, theirs, tag, f"{path}[{index}].")


def _equal(before: DataElement, after: DataElement, little_endian: bool) -> bool:
    if not little_endian and before.VR in _BIG_ENDIAN_WORDS:
        size = _BIG_ENDIAN_WORDS[before.VR]
        ours = np.frombuffer(before.value or b"", dtype=f">u{size}")
        return bool(np.array_equal(ours, np.frombuffer(after.value or b"", dtype=f"<u{size}")))
    if before.value == after.value:
        originals = [getattr(one.value, "original_string", None) for one in (before, after)]
        return originals[0] == originals[1]
    return repr(before.value) == repr(after.value)  # NaN is not equal to itself


def _check_derived(source: Dataset, written: Dataset, primary: bool, collector: _Collector) -> None:
    """Check that what the rule table sets has the value that a derived instance must have."""
    for check in _DERIVED_CHECKS:
        check(source, written, primary, collector)


def _check_uids(source: Dataset, written: Dataset, primary: bool, collector: _Collector) -> None:
    for check, tag in (("UID-01", 0x0020000E), ("UID-02", 0x00080018)):
        old, new = _text(source, tag), _text(written, tag)
        if old == new:
            collector.error(check, tag, "is that of the source")
        elif not uid.UID(new).is_valid or (old and new.startswith(old)) or _is_beyond_uuid(new):
            collector.error("UID-04", tag, "is not a valid new UID")


def _is_beyond_uuid(text: str) -> bool:
    """Tell whether a UID under 2.25 holds more than the 128 bits of a UUID (PS3.5 B.2)."""
    return text.startswith("2.25.") and text[5:].isdecimal() and int(text[5:]) >= 1 << 128


def _check_image_type(source: Dataset, written: Dataset, primary: bool, collector: _Collector) -> None:
    old, new = (_raw(dataset, 0x00080008).split(b"\\") for dataset in (source, written))
    if new[:1] != [b"DERIVED"]:
        collector.error("TYP-01", 0x00080008, "value 1 is not DERIVED")
    if new[2:] != old[2:]:
        collector.error("TYP-01", 0x00080008, "values 3 and on differ from the source")
    if new[1:2] != [b"PRIMARY" if primary else b"SECONDARY"]:
        collector.error("TYP-02", 0x00080008, "value 2 is not what the modality asks for")


def _check_times(source: Dataset, written: Dataset, primary: bool, collector: _Collector) -> None:
    creation = (0x00080012, rb"\d{8}"), (0x00080013, rb"\d{6}")
    series = () if primary else ((0x00080021, rb"\d{8}"), (0x00080031, rb"\d{6}"))
    for tag, pattern in (*creation, *series):
        if not re.fullmatch(pattern, _raw(written, tag)):
            collector.error("TIM-01", tag, "is not the moment of creation")
    if all(_raw(source, tag) == _raw(written, tag) for tag, _ in creation):
        collector.error("TIM-01", creation[0][0], "is that of the source")


def _check_texts(source: Dataset, written: Dataset, primary: bool, collector: _Collector) -> None:
    for check, tag, limit, added in (
        ("HDR-04", 0x0008103E, rules.LONG_STRING_LIMIT, rules.DESCRIPTION_SUFFIX),
        ("DER-01", 0x00082111, rules.SHORT_TEXT_LIMIT, rules.UNCHANGED),
    ):
        whole = _raw(written, tag).startswith(_raw(source, tag))  # before it is decoded
        old, new = (_decoded(dataset, tag) for dataset in (source, written))
        if len(new) > limit:
            collector.error(check, tag, f"is longer than {limit} characters")
        if not new.endswith(added):
            collector.error(check, tag, f"does not end in: {added}")
        if not whole and not (_keeps_end(old, new) if tag == 0x00082111 else _keeps_start(old, new, added, limit)):
            collector.error(check, tag, "does not keep the text of the source")
    if not re.fullmatch(rb"-?\d{1,10}", _raw(written, 0x00200011)):
        collector.error("HDR-04", 0x00200011, "is not a whole number")


def _keeps_start(old: str, new: str, added: str, limit: int) -> bool:
    """Tell whether a text stands before what was added, whole or cut just as far as the limit asks for."""
    kept = new.removesuffix(added).rstrip()
    return kept == old or (old.startswith(kept) and len(old) + 1 + len(added) > limit and len(kept) > limit // 4)


def _keeps_end(old: str, new: str) -> bool:
    """Tell whether a text stands before what was added, whole or, after dots, the end of it."""
    if new.startswith(old):
        return True
    tail = new.removeprefix("...").split("; ")
    return new.startswith("...") and any(old.endswith("; ".join(tail[:count])) for count in range(len(tail)))


def _decoded(dataset: Dataset, tag: int) -> str:
    if tag not in dataset:
        return ""
    try:
        value = dataset[tag].value
    except Exception:  # text that does not fit its character set
        return _raw(dataset, tag).decode("latin-1").strip()
    return _joined(value).strip()


def _items(dataset: Dataset, tag: int) -> list[Dataset]:
    return list(dataset[tag].value or ()) if tag in dataset else []


def _check_appended(source: Dataset, written: Dataset, tag: int, check: str, collector: _Collector) -> Dataset | None:
    """Check that the source's items stand first, unchanged; return the one item that was added."""
    before, after = _items(source, tag), _items(written, tag)
    if len(after) != len(before) + 1:
        collector.error(check, tag, "does not hold one item more than the source")
        return None
    for path, what in _item_differences(before, after[:-1], _keyword(tag) or ""):
        collector.error(check, tag, f"an item of the source was {what}", path)
    return after[-1]


def _check_source_image(source: Dataset, written: Dataset, primary: bool, collector: _Collector) -> None:
    if not _text(source, 0x00080018):
        if 0x00082112 in source or 0x00082112 in written:
            for path, what in _differences(source, written, 0x00082112, ""):
                collector.error("DER-03", 0x00082112, what, path)
        return
    item = _check_appended(source, written, 0x00082112, "DER-03", collector)
    if item is None:
        return
    if (_text(item, 0x00081150), _text(item, 0x00081155)) != (_text(source, 0x00080016), _text(source, 0x00080018)):
        collector.error("DER-03", 0x00082112, "the last item does not refer to the source slice")
    if _purpose(item) != rules.PURPOSE_SOURCE_IMAGE:
        collector.error("DER-03", 0x00082112, "the last item has another purpose")
    if _text(item, 0x0028135A) != "YES":
        collector.error("DER-04", 0x00082112, "Spatial Locations Preserved is not YES")


def _purpose(item: Dataset) -> tuple[str, ...]:
    codes = _items(item, 0x0040A170)
    return tuple(_text(codes[0], tag) for tag in (0x00080100, 0x00080102, 0x00080104)) if len(codes) == 1 else ()


def _check_equipment(source: Dataset, written: Dataset, primary: bool, collector: _Collector) -> None:
    item = _check_appended(source, written, 0x0018A001, "EQP-01", collector)
    if item is not None and (_purpose(item) != rules.PURPOSE_EQUIPMENT or not _text(item, 0x00080070)):
        collector.error("EQP-01", 0x0018A001, "the last item does not name the processing equipment")


def _check_referenced_series(source: Dataset, written: Dataset, primary: bool, collector: _Collector) -> None:
    before, after = _items(source, 0x00081115), _items(written, 0x00081115)
    series, instance = _text(source, 0x0020000E), _text(source, 0x00080018)
    if not (series and instance):
        if len(before) != len(after):
            collector.error("DER-04", 0x00081115, "changed although there is nothing to refer to")
        return
    present: dict[str, set[str]] = defaultdict(set)
    for item in after:
        present[_text(item, 0x0020000E)] |= {_text(one, 0x00081155) for one in _items(item, 0x0008114A)}
    if instance not in present[series]:
        collector.error("DER-04", 0x00081115, "does not refer to the source slice")
    for index, item in enumerate(before):
        same = _text(item, 0x0020000E) == series
        old, new = (_items(one, 0x0008114A) for one in (item, after[index] if index < len(after) else Dataset()))
        if same:
            lost = [*_item_differences(old, new[: len(old)], "ReferencedSeriesSequence")]
        else:
            lost = [*_item_differences([item], after[index : index + 1], "ReferencedSeriesSequence")]
        for path, what in lost:
            collector.error("DER-04", 0x00081115, f"an item of the source was {what}", path)


_DERIVED_CHECKS = (
    _check_uids,
    _check_image_type,
    _check_times,
    _check_texts,
    _check_source_image,
    _check_equipment,
    _check_referenced_series,
)


def _check_pixels(
    source: Dataset, written: Dataset, source_file: Path, decode: tuple[str, Decode] | None, collector: _Collector
) -> str:
    """Check that every stored value is that of the source; return what decoded the source."""
    syntax = uid.UID(source.file_meta.TransferSyntaxUID)
    theirs = _pixel_bytes(written)
    ours, by = _pixel_bytes(source), "native"
    if not syntax.is_encapsulated and syntax.is_little_endian:
        if ours + b"\0" * (len(ours) % 2) != theirs:
            collector.error("PIX-02", _PIXEL_DATA, "the pixel data differ from the source")
        return by
    rows, columns = int(source.Rows), int(source.Columns)
    dtype = np.dtype(f"<{'i' if source.PixelRepresentation else 'u'}{source.BitsAllocated // 8}")
    count = rows * columns
    values = (
        np.frombuffer(theirs, dtype, count).reshape(rows, columns) if len(theirs) >= count * dtype.itemsize else None
    )
    try:
        if not syntax.is_encapsulated or get_decoder(syntax).is_available:
            by, reference = "pydicom", get_decoder(syntax).as_array(source, raw=True)[0]
        elif decode is not None:
            by, reference = decode[0], decode[1](source_file)
        else:
            collector.error("PIX-02", _PIXEL_DATA, "no decoder for the source's transfer syntax")
            return ""
    except Exception:  # whatever a decoder meets in a damaged stream
        collector.error("PIX-02", _PIXEL_DATA, "the source's pixel data cannot be decoded for the comparison")
        return ""
    unused = source.BitsAllocated - source.BitsStored
    if values is None or not np.array_equal(_used(values, unused), _used(reference.astype(dtype), unused)):
        collector.error("PIX-02", _PIXEL_DATA, "stored values differ from the source")
    return by


def _used(values: NDArray[Any], unused: int) -> NDArray[Any]:
    """Return values with the unused high bits replaced by the sign or by zeros."""
    return np.right_shift(np.left_shift(values, unused), unused) if unused else values


def first_error(findings: Iterable[Finding]) -> Finding | None:
    """Return the first finding that fails the verification."""
    return next((finding for finding in findings if finding.severity == "error"), None)
