"""Comparison of a written file with its source file, and of many such pairs in a worker process."""

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
from itk_roundtrip.verify.stored import UndecodableError, compare_pixels, pixels, stored_values
from itk_roundtrip.verify.structure import problems
from itk_roundtrip.words import agreeing, counted

PIXEL_TAGS = frozenset({tags.PIXEL_DATA, tags.FLOAT_PIXEL_DATA, tags.DOUBLE_FLOAT_PIXEL_DATA})
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
"""Attributes that all instances of a series share (PS3.3 C.7.3.1, C.8.9.1), and the check of that.

Beside those of :data:`itk_roundtrip.series.shared.SHARED`, which are irregularities of a series."""


@dataclass(frozen=True)
class Request:
    """Order to compare a written file with its source file.

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
    """Findings and changes of a written file, and what the checks across the series need of it.

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
    """Set up a worker process for comparisons: pydicom takes any value, and glibc keeps freed memory."""
    trust_values()
    # Without it, the pixels of each file take fresh pages from the system, a tenth of the time.
    if hasattr(library := ctypes.CDLL(None), "mallopt"):
        for parameter in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            library.mallopt(parameter, 64 << 20)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of ``mallopt`` in glibc: free memory that is kept, and the size from which blocks are mapped."""


def trust_values() -> None:
    """Turn off pydicom's validation of values: the checks judge them as bytes, whatever they hold."""
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE


def compare_files(request: Request, already_shown: Container[Key] = frozenset()) -> PairReport:
    """Compare a written file with its source, both read from disk.

    A written file that cannot be read is a finding, a source that cannot be read as well: nothing is proven then.

    Parameters
    ----------
    request
        What to compare.
    already_shown
        Keys of changes whose values need not be shown again.
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
            inherited: set[Problem] = set()
            if broken:
                with mapped(request.source_file) as stream:
                    inherited = problems(stream)
        except Exception:  # whatever pydicom meets in a broken file
            return failure("cannot be read as a DICOM file")
        try:
            return _report(request, pair, source, written, (broken - inherited, broken & inherited), already_shown)
        except Exception as error:  # whatever pydicom meets in values that nobody foresaw
            return failure(f"cannot be compared with its source ({kind_and_place(error)})")


def _report(
    request: Request,
    slice_pair: SlicePair,
    source: FileDataset,
    written: FileDataset,
    structure: tuple[set[Problem], set[Problem]],
    already_shown: Container[Key],
) -> PairReport:
    """Return the report on a written data set: compare attributes and pixels, then run the checks of one pair."""
    instance = describe(request.written_file, request.written, undecoded(written)) if request.describe else None
    undecoded_elements = elements(source), elements(written)
    comparison = compare(source, written, skip=PIXEL_TAGS)
    ours, theirs = pixels(source), pixels(written)
    tolerance = decoder_tolerance(ours, theirs)
    difference = compare_pixels(ours, theirs, tolerance, second_opinion=request.second_opinion)
    pair = Pair(
        source=source,
        written=written,
        stood=undecoded_elements,
        name=request.written,
        identity=request.identity,
        structure=structure,
        comparison=comparison,
        pixels=(ours, theirs),
        difference=difference,
    )
    findings = check_pair(pair)
    if request.reference is not None:
        findings += _check_reference(pair, *request.reference)
    tally = Tally()
    tally.add(findings)  # what several items of one file have in common is one finding
    return PairReport(
        pair=replace(
            slice_pair,
            sha256=difference.sha256,
            pixels=0 if pair.undecided else difference.count,
            changed=difference.changed,
            largest=difference.largest,
            largest_real=difference.largest_real,
        ),
        findings=tuple(replace(finding, count=1) for finding in tally.findings.values()),
        changes=tuple(_changes(pair, request.show_values, already_shown)),
        kept=tuple(comparison.kept),
        instance=instance,
        primary=pair.primary,
        series_level=tuple((tag, *pair.values(tag)) for tag in SERIES_LEVEL),
        processed=pair.processed,
        extremes=_extremes(pair) if pair.processed else None,
        decoders=difference.decoders,
        undecided=pair.undecided,
    )


def _extremes(pair: Pair) -> tuple[float, float, float | None, float | None] | None:
    """Return the smallest and largest stored value, and those that the header states for the series."""
    values = pair.difference.values
    if values is None or not values.size or values.dtype.kind not in "iu":
        return None
    stated = [
        numbers(pair.written, tag) for tag in (tags.SMALLEST_PIXEL_VALUE_IN_SERIES, tags.LARGEST_PIXEL_VALUE_IN_SERIES)
    ]
    low, high = (as_stored(int(value[0]), pair.pixels[1]) if value else None for value in stated)
    return float(values.min()), float(values.max()), low, high


def _changes(pair: Pair, show_values: bool, already_shown: Container[Key]) -> Iterator[Change]:
    """Yield the change of each attribute that differs, with its values where they may be shown."""
    for difference in pair.comparison.differences:
        rule = pair.rule(difference.tag)
        outcome = _outcome(difference, rule, pair)
        action = "set" if outcome == "set by rule" and rule.action == "keep" else rule.action
        change = Change(outcome, tag_text(difference.tag), difference.path, action, rule.check, 1, pair.name)
        if key_of(change) in already_shown:
            yield change
        elif show_values or may_show(difference.tag, difference.leaf, difference.vr):
            yield replace(change, old=difference.old, new=difference.new)
        else:
            yield replace(change, hidden=True)


Key = tuple[str, ...]


def key_of(change: Change) -> Key:
    """Return the key by which a change is the same one in all slices."""
    return change.outcome, change.tag, change.path, change.rule, change.check


def _outcome(difference: Difference, rule: rules.Rule, pair: Pair) -> Outcome:
    """Return the outcome of a difference, where the rule table asks for it ``set by rule`` or ``removed by rule``."""
    if rule.action == "remove" and difference.outcome == "lost":
        return "removed by rule"
    if is_set_by_rule(pair, difference) or _is_of_decoding(pair, difference):
        return "set by rule"
    if rule.action in ("new", "set", "append") or (rule.processed != "keep" and pair.processed):
        return "set by rule"
    return difference.outcome


def _is_of_decoding(pair: Pair, difference: Difference) -> bool:
    """Tell whether a difference follows from decoding: Lossy Image Compression, or the colours of decoded pixels."""
    if difference.tag in (tags.PHOTOMETRIC_INTERPRETATION, tags.PLANAR_CONFIGURATION):
        return difference.outcome in ("added", "changed") and is_allowed(pair, difference)
    lossy = difference.tag in (
        tags.LOSSY_IMAGE_COMPRESSION,
        tags.LOSSY_IMAGE_COMPRESSION_RATIO,
        tags.LOSSY_IMAGE_COMPRESSION_METHOD,
    )
    return lossy and difference.outcome in ("added", "changed") and pair.derived and pair.lossy[0]


def _check_reference(pair: Pair, file: Path, index: int) -> list[Finding]:
    """Check real-world values against a reference, within half a step of Rescale Slope and one rounding of float64."""
    theirs = pair.pixels[1]
    try:
        values = pair.difference.values
        values = stored_values(theirs)[0] if values is None else values
    except UndecodableError as error:
        return [pair.finding("PIX-03", tags.PIXEL_DATA, f"cannot be compared with the reference: {error}")]
    expected = np.asarray(np.load(file, mmap_mode="r")[index], dtype=np.float64)
    shape = values.shape if values.shape[-1] > 1 else values.shape[:-1]
    shape = shape if shape[0] > 1 else shape[1:]
    if expected.shape != shape:
        return [pair.finding("PIX-03", tags.PIXEL_DATA, "is of another size than a slice of the reference")]
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
        findings.append(pair.finding("PIX-03", tags.PIXEL_DATA, message))
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
    """Return a message with ``#`` for its numbers, and in the singular behind them."""
    return _PLURAL.sub(r"# \1", _NUMBER.sub("#", message))


@dataclass
class Tally:
    """Findings and changes of many slices, each once with its count and the first of its files.

    Messages that differ in their numbers only are one finding, with the first message.
    """

    findings: dict[tuple[Any, ...], Finding] = field(default_factory=dict)
    changes: dict[Key, Change] = field(default_factory=dict)
    kept: dict[tuple[int, bool], tuple[int, str]] = field(default_factory=dict)
    """Count and first file of unchanged attributes, by tag and whether the series is PET or NM."""

    def merge(self, other: Tally) -> None:
        """Add the findings, changes and kept attributes of another tally."""
        self.add(other.findings.values(), other.changes.values())
        for key, (count, name) in other.kept.items():
            before = self.kept.get(key, (0, name))
            self.kept[key] = before[0] + count, before[1]

    def add(self, findings: Iterable[Finding], changes: Iterable[Change] = ()) -> None:
        """Add findings and changes of further slices."""
        for finding in findings:
            # CNT-01 names each slice, whose name may differ from others in its numbers only.
            message = finding.message if finding.check == "CNT-01" else _without_numbers(finding.message)
            key = finding.check, finding.severity, finding.tag, _INDEX.sub("[#]", finding.path or ""), message
            before = self.findings.get(key)
            self.findings[key] = finding if before is None else replace(before, count=before.count + finding.count)
        for change in changes:
            name = key_of(change)
            earlier = self.changes.get(name)
            self.changes[name] = change if earlier is None else replace(earlier, slices=earlier.slices + change.slices)

    def keep(self, report: PairReport) -> None:
        """Count the unchanged attributes of a slice."""
        for tag in report.kept:
            key = tag, report.primary
            before = self.kept.get(key, (0, report.pair.written))
            self.kept[key] = before[0] + 1, before[1]

    def table(self, identity: Identity) -> list[Change]:
        """Return the changes of all attributes, the kept ones last."""
        kept = []
        for (tag, primary), (count, name) in self.kept.items():
            rule = rule_for(tag, identity=identity, primary=primary)
            path = pydicom.datadict.keyword_for_tag(tag) or tag_text(tag)
            kept.append(Change("kept", tag_text(tag), path, rule.action, rule.check, count, name))
        return [*sorted(self.changes.values(), key=_place), *sorted(kept, key=_place)]


def _place(change: Change) -> tuple[bool, str, str]:
    """Return a sort key: changes that no rule asks for first, then by tag and path."""
    return change.outcome.endswith("by rule"), change.tag, change.path


def compare_into(tally: Tally, request: Request) -> PairReport:
    """Compare one pair and add it to a tally; return the report without findings and changes, which the tally holds."""
    report = compare_files(request, tally.changes)
    tally.add(report.findings, report.changes)
    tally.keep(report)
    return replace(report, findings=(), changes=(), kept=())


def compare_many(requests: Sequence[Request]) -> tuple[Tally, list[PairReport]]:
    """Compare several pairs, one after the other."""
    tally = Tally()
    return tally, [compare_into(tally, request) for request in requests]
