"""One written file against its source: read both, compare, check; and many such pairs in a worker process."""

from __future__ import annotations

import ctypes
import re
import warnings
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileDataset

from itk_roundtrip import rules, tags
from itk_roundtrip.dicom.privacy import may_show
from itk_roundtrip.dicom.reading import mapped, read, read_file
from itk_roundtrip.dicom.regular import Problem
from itk_roundtrip.errors import kind_and_place
from itk_roundtrip.rules import rule_for
from itk_roundtrip.series.find import Instance, describe
from itk_roundtrip.tags import tag_text
from itk_roundtrip.verify.attributes import Difference, compare, elements, numbers, undecoded
from itk_roundtrip.verify.checks.derived import declared_bound, declared_clipped
from itk_roundtrip.verify.checks.files import check_pair, is_allowed
from itk_roundtrip.verify.checks.functional_groups import is_set_by_rule
from itk_roundtrip.verify.checks.pixels import as_stored, padding_mask
from itk_roundtrip.verify.findings import Change, Finding, Identity, Outcome, SlicePair
from itk_roundtrip.verify.pair import Pair, decoder_tolerance
from itk_roundtrip.verify.stored import PIXEL_DATA, UndecodableError, compare_pixels, pixels, stored_values
from itk_roundtrip.verify.structure import problems
from itk_roundtrip.words import agreeing, counted

PIXEL_TAGS = frozenset({PIXEL_DATA, tags.FLOAT_PIXEL_DATA, tags.DOUBLE_FLOAT_PIXEL_DATA})
SERIES_LEVEL: dict[int, str] = {
    tags.SERIES_NUMBER: "HDR-03",
    tags.SERIES_DESCRIPTION: "HDR-03",
    tags.SERIES_DATE: "HDR-03",
    tags.SERIES_TIME: "HDR-03",
    tags.PROTOCOL_NAME: "HDR-03",
    tags.SERIES_TYPE: "HDR-03",
    tags.COUNTS_SOURCE: "HDR-03",
    tags.DECAY_CORRECTION: "HDR-03",
}
"""Attributes that all instances of a series share (PS3.3 C.7.3.1, C.8.9.1), and the check that says so.

Beside those of :data:`itk_roundtrip.series.shared.SHARED`, which are irregularities of a series."""


@dataclass(frozen=True)
class Request:
    """What to compare: two files, what to call them, and how to judge the written one.

    Attributes
    ----------
    source_file, written_file
        Paths.
    source, written
        Their names, relative to the folders that the user named.
    identity
        ``derived`` or ``copy``.
    by
        What paired them.
    show_values
        Whether values that may identify are collected.
    describe
        Whether the report is to hold what was written as an instance.
    reference
        ``.npy`` file of real-world values, shape (slices, rows, columns) or with samples behind, and the index of
        this slice in it.
    second_opinion
        Ask a second decoder even where the first one finds that lossless pixels were decoded rightly.
    """

    source_file: Path
    written_file: Path
    source: str
    written: str
    identity: Identity
    by: str = ""
    show_values: bool = False
    describe: bool = False
    reference: tuple[Path, int] | None = None
    second_opinion: bool = False


@dataclass(frozen=True)
class PairReport:
    """What was found on one written file, and what the checks across the series need to know of it.

    Attributes
    ----------
    pair
        The slices, and how their pixels differ.
    findings, changes
        Of this file; of the attributes that are kept, only their tags, in ``kept``.
    instance
        What was written, if that was asked for.
    primary
        It is PET or NM.
    series_level
        By tag of :data:`SERIES_LEVEL`, the values of the source and of the written file.
    processed
        Derivation Description says that the pixels were processed.
    extremes
        Smallest and largest stored value, and what the header says they are in the series; ``None`` unless the pixels
        were decoded.
    decoders
        What decoded the pixels.
    undecided
        Decoders do not agree on the stored values.
    """

    pair: SlicePair
    findings: tuple[Finding, ...]
    changes: tuple[Change, ...] = ()
    kept: tuple[int, ...] = ()
    instance: Instance | None = None
    primary: bool = False
    series_level: tuple[tuple[int, bytes, bytes], ...] = ()
    processed: bool = False
    extremes: tuple[float, float, float | None, float | None] | None = None
    decoders: tuple[str, ...] = ()
    undecided: bool = False


def prepare() -> None:
    """Set up a worker process that compares."""
    trust_values()
    # Without it, the pixels of each file take fresh pages from the system, a tenth of the time.
    if hasattr(library := ctypes.CDLL(None), "mallopt"):
        for parameter in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            library.mallopt(parameter, 64 << 20)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of glibc: free memory that is kept, and the size from which memory is not taken from it."""


def trust_values() -> None:
    """Have pydicom neither check nor warn of values: they are judged as bytes, whatever they hold."""
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE


def _structure(path: Path) -> set[Problem]:
    with mapped(path) as stream:
        return problems(stream)


def compare_files(request: Request, known: Container[Key] = frozenset()) -> PairReport:
    """Compare one written file with its source, both read from disk.

    A written file that cannot be read is a finding, a source that cannot be read as well: nothing is proven then.

    Parameters
    ----------
    request
        What to compare.
    known
        Changes whose values need not be shown again.
    """
    pair = SlicePair(request.source, request.written, request.by)

    def failure(message: str) -> PairReport:
        return PairReport(pair, (Finding("FIL-01", "error", request.written, None, None, message),))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings may quote values
        try:
            source = read_file(request.source_file)
        except Exception:  # whatever pydicom meets in a broken file
            return failure("its source cannot be read, so that nothing is proven")
        try:
            with mapped(request.written_file) as stream:
                written, broken = read(stream), problems(stream)
            inherited = _structure(request.source_file) if broken else set()
        except Exception:  # whatever pydicom meets in a broken file
            return failure("cannot be read as a DICOM file")
        try:
            return _report(request, pair, source, written, (broken - inherited, broken & inherited), known)
        except Exception as error:  # whatever pydicom meets in values that nobody foresaw
            return failure(f"cannot be compared with its source ({kind_and_place(error)})")


def _report(
    request: Request,
    pair: SlicePair,
    source: FileDataset,
    written: FileDataset,
    structure: tuple[set[Problem], set[Problem]],
    known: Container[Key],
) -> PairReport:
    instance = describe(request.written_file, request.written, undecoded(written)) if request.describe else None
    stood = elements(source), elements(written)
    comparison = compare(source, written, skip=PIXEL_TAGS)
    ours, theirs = pixels(source), pixels(written)
    tolerance = decoder_tolerance(ours, theirs)
    difference = compare_pixels(ours, theirs, tolerance, second_opinion=request.second_opinion)
    both = Pair(
        source, written, stood, request.written, request.identity, structure, comparison, (ours, theirs), difference
    )
    findings = check_pair(both)
    if request.reference is not None:
        findings += _check_reference(both, *request.reference)
    once = Tally()
    once.add(findings)  # what several items of one file have in common is one finding
    return PairReport(
        pair=replace(
            pair,
            sha256=difference.sha256,
            pixels=0 if both.undecided else difference.count,
            changed=difference.changed,
            largest=difference.largest,
            largest_real=difference.largest_real,
        ),
        findings=tuple(replace(one, count=1) for one in once.findings.values()),
        changes=tuple(_changes(both, request.show_values, known)),
        kept=tuple(comparison.kept),
        instance=instance,
        primary=both.primary,
        series_level=tuple((tag, *both.values(tag)) for tag in SERIES_LEVEL),
        processed=both.processed,
        extremes=_extremes(both) if both.processed else None,
        decoders=difference.decoders,
        undecided=both.undecided,
    )


def _extremes(pair: Pair) -> tuple[float, float, float | None, float | None] | None:
    values = pair.difference.values
    if values is None or not values.size or values.dtype.kind not in "iu":
        return None
    stated = [
        numbers(pair.written, tag) for tag in (tags.SMALLEST_PIXEL_VALUE_IN_SERIES, tags.LARGEST_PIXEL_VALUE_IN_SERIES)
    ]
    low, high = (as_stored(int(one[0]), pair.pixels[1]) if one else None for one in stated)
    return float(values.min()), float(values.max()), low, high


def _changes(pair: Pair, show_values: bool, known: Container[Key]) -> Iterator[Change]:
    """Yield what became of each attribute that is not as it was."""
    for one in pair.comparison.differences:
        rule = pair.rule(one.tag)
        outcome = _outcome(one, rule, pair)
        action = "set" if outcome == "set by rule" and rule.action == "keep" else rule.action
        change = Change(outcome, tag_text(one.tag), one.path, action, rule.check, 1, pair.name)
        if key_of(change) in known:
            yield change
        elif show_values or may_show(one.tag, one.leaf, one.vr):
            yield replace(change, old=one.old, new=one.new)
        else:
            yield replace(change, hidden=True)


Key = tuple[str, ...]


def key_of(change: Change) -> Key:
    """Return what is the same for one change in all slices."""
    return change.outcome, change.tag, change.path, change.rule, change.check


def _outcome(one: Difference, rule: rules.Rule, pair: Pair) -> Outcome:
    if rule.action == "remove" and one.outcome == "lost":
        return "removed by rule"
    if is_set_by_rule(pair, one) or _is_of_decoding(pair, one):
        return "set by rule"
    if rule.action in ("new", "set", "append") or (rule.processed != "keep" and pair.processed):
        return "set by rule"
    return one.outcome


def _is_of_decoding(pair: Pair, one: Difference) -> bool:
    """Tell whether a difference says what became of compressed pixels: that they lost something, or are RGB now."""
    if one.tag in (tags.PHOTOMETRIC_INTERPRETATION, tags.PLANAR_CONFIGURATION):
        return one.outcome in ("added", "changed") and is_allowed(pair, one)
    lossy = one.tag in (
        tags.LOSSY_IMAGE_COMPRESSION,
        tags.LOSSY_IMAGE_COMPRESSION_RATIO,
        tags.LOSSY_IMAGE_COMPRESSION_METHOD,
    )
    return lossy and one.outcome in ("added", "changed") and pair.derived and pair.lossy[0]


def _check_reference(pair: Pair, file: Path, index: int) -> list[Finding]:
    """Check real-world values against a reference, within half a quantisation step (and a rounding of their size)."""
    theirs = pair.pixels[1]
    try:
        values = pair.difference.values
        values = stored_values(theirs)[0] if values is None else values
    except UndecodableError as error:
        return [pair.finding("PIX-03", PIXEL_DATA, f"cannot be compared with the reference: {error}")]
    expected = np.asarray(np.load(file, mmap_mode="r")[index], dtype=np.float64)
    shape = values.shape if values.shape[-1] > 1 else values.shape[:-1]
    shape = shape if shape[0] > 1 else shape[1:]
    if expected.shape != shape:
        return [pair.finding("PIX-03", PIXEL_DATA, "is of another size than a slice of the reference")]
    expected = expected.reshape(values.shape)
    real = values * theirs.slope + theirs.intercept
    apart = np.abs(real - expected)
    padding = padding_mask(pair.written, theirs, values)
    low, high = sorted(limit * theirs.slope + theirs.intercept for limit in theirs.limits)
    clipped = ((expected < low) & (real == low)) | ((expected > high) & (real == high))
    apart = np.where(clipped if padding is None else clipped | padding, 0.0, apart)
    allowed = abs(theirs.slope) / 2 + np.spacing(np.maximum(np.abs(real), np.abs(expected)))
    wrong = ~(apart <= allowed)  # also where the reference is not a number
    findings = []
    if np.any(wrong):
        count, largest = int(np.count_nonzero(wrong)), float(np.nanmax(apart, initial=0.0))
        are = agreeing(count, "is", "are")
        message = f"{counted(count, 'value')} {are} more than half a step off the reference, at most {largest:g}"
        if np.any(np.isnan(expected)):
            lacking = int(np.count_nonzero(np.isnan(expected)))
            message = f"{counted(lacking, 'value')} of the reference {agreeing(lacking, 'is', 'are')} no number"
        findings.append(pair.finding("PIX-03", PIXEL_DATA, message))
    bound = declared_bound(pair)
    if bound is not None and float(np.nanmax(apart, initial=0.0)) > bound * (1 + 1e-9):
        findings.append(
            pair.finding("PIX-03", tags.DERIVATION_DESCRIPTION, "the error is larger than Derivation Description says")
        )
    count = int(np.count_nonzero(clipped))
    clipping = f"{counted(count, 'value')} {agreeing(count, 'is', 'are')}"
    if pair.derived and count != declared_clipped(pair):
        findings.append(
            pair.finding("PIX-03", tags.DERIVATION_DESCRIPTION, f"{clipping} clipped, and not so many declared")
        )
    return findings


_INDEX = re.compile(r"\[[0-9]+\]")
_PLURAL = re.compile(r"# (\w+?)s? (?:is|are)\b")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?")


def _without_numbers(message: str) -> str:
    """Return what is the same of messages that differ in their numbers, and in the plurals that go with them."""
    return _PLURAL.sub(r"# \1", _NUMBER.sub("#", message))


@dataclass
class Tally:
    """Findings and changes of many slices, each told once with its count and the first of its files.

    Messages that differ in their numbers only are one; the first is told.
    """

    findings: dict[tuple[Any, ...], Finding] = field(default_factory=dict)
    changes: dict[Key, Change] = field(default_factory=dict)
    kept: dict[tuple[int, bool], tuple[int, str]] = field(default_factory=dict)
    """Of attributes that are as they were, by tag and whether the series is PET or NM: count and first file."""

    def merge(self, other: Tally) -> None:
        """Add what another tally holds."""
        self.add(other.findings.values(), other.changes.values())
        for key, (count, name) in other.kept.items():
            before = self.kept.get(key, (0, name))
            self.kept[key] = before[0] + count, before[1]

    def add(self, findings: Iterable[Finding], changes: Iterable[Change] = ()) -> None:
        """Add what was found on further slices."""
        for one in findings:
            what = one.message if one.check == "CNT-01" else _without_numbers(one.message)  # each slice by its name
            key = one.check, one.severity, one.tag, _INDEX.sub("[#]", one.path or ""), what
            before = self.findings.get(key)
            self.findings[key] = one if before is None else replace(before, count=before.count + one.count)
        for change in changes:
            name = key_of(change)
            earlier = self.changes.get(name)
            self.changes[name] = change if earlier is None else replace(earlier, slices=earlier.slices + change.slices)

    def keep(self, report: PairReport) -> None:
        """Count the attributes of a slice that are as they were."""
        for tag in report.kept:
            key = tag, report.primary
            before = self.kept.get(key, (0, report.pair.written))
            self.kept[key] = before[0] + 1, before[1]

    def table(self, identity: Identity) -> list[Change]:
        """Return what became of every attribute, the kept ones last."""
        kept = []
        for (tag, primary), (count, name) in self.kept.items():
            rule = rule_for(tag, identity=identity, primary=primary)
            path = pydicom.datadict.keyword_for_tag(tag) or tag_text(tag)
            kept.append(Change("kept", tag_text(tag), path, rule.action, rule.check, count, name))
        return [*sorted(self.changes.values(), key=_place), *sorted(kept, key=_place)]


def _place(change: Change) -> tuple[bool, str, str]:
    """Return a key that sorts what no rule asked for before what one did."""
    return change.outcome.endswith("by rule"), change.tag, change.path


def compare_into(tally: Tally, request: Request) -> PairReport:
    """Compare one pair and add it to a tally; the report comes without what the tally holds."""
    report = compare_files(request, tally.changes)
    tally.add(report.findings, report.changes)
    tally.keep(report)
    return replace(report, findings=(), changes=(), kept=())


def compare_many(requests: Sequence[Request]) -> tuple[Tally, list[PairReport]]:
    """Compare several pairs, one after the other."""
    tally = Tally()
    return tally, [compare_into(tally, request) for request in requests]
