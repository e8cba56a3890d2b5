"""Comparison of a written file with its source file, and of many such pairs in a worker process."""

from __future__ import annotations

import ctypes
import sys
import warnings
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pydicom
from pydicom.dataset import FileDataset

from itk_roundtrip import tags
from itk_roundtrip.dicom.parsing import mapped
from itk_roundtrip.dicom.reading import read, read_file
from itk_roundtrip.dicom.regular import Problem
from itk_roundtrip.dicom.values import elements
from itk_roundtrip.errors import kind_and_place
from itk_roundtrip.pixels.formats import Digested
from itk_roundtrip.series.find import describe
from itk_roundtrip.verify.attributes import compare
from itk_roundtrip.verify.checks import check_pair
from itk_roundtrip.verify.checks.changes import changes
from itk_roundtrip.verify.checks.pixels import extremes
from itk_roundtrip.verify.findings import Identity, SlicePair, make_finding
from itk_roundtrip.verify.pair import Pair, decoder_tolerance
from itk_roundtrip.verify.pixel_difference import compare_pixels, without_counterpart
from itk_roundtrip.verify.registry import reports
from itk_roundtrip.verify.scales import adds_mapping
from itk_roundtrip.verify.series_pair import SERIES_LEVEL, PairReport
from itk_roundtrip.verify.stored import pixels
from itk_roundtrip.verify.structure import problems
from itk_roundtrip.verify.tally import Key, Tally

PIXEL_TAGS = frozenset({tags.PIXEL_DATA, tags.FLOAT_PIXEL_DATA, tags.DOUBLE_FLOAT_PIXEL_DATA})
"""Attributes that are compared by their stored values, not as the others."""


@dataclass(frozen=True)
class Request:
    """Order to compare a written file with its source file, for a worker process.

    Attributes
    ----------
    source_file, written_file
        Paths.
    source, written
        Their names, relative to the folders that the user named.
    identity
        ``derived`` or ``copy``.
    by
        Criterion by which they were paired, as in :class:`SlicePair`.
    show_values
        Whether values that may identify a person are collected.
    describe
        Whether the report is to hold the header scan of the written file.
    reference
        Of each frame, ``.npy`` file of real-world values, shape (slices, rows, columns) or with samples behind, and the
        index of the frame in it; empty for none.
    allowed
        Tags of attributes of the top level that may differ, whatever the rule table says: declared changes.
    second_opinion
        Ask a second decoder even where the first one finds that lossless pixels were decoded rightly.
    is_elsewhere
        The written slice is of another grid, and the source is the nearest slice: values have no counterpart.
    """

    source_file: Path
    written_file: Path
    source: str
    written: str
    identity: Identity
    by: str = ""
    show_values: bool = False
    describe: bool = False
    reference: tuple[tuple[Path, int], ...] = ()
    second_opinion: bool = False
    allowed: frozenset[int] = frozenset()
    is_elsewhere: bool = False


def prepare() -> None:
    """Set up a worker process for comparisons: pydicom takes any value, and glibc keeps freed memory."""
    trust_values()
    # Without it, the pixels of each file take fresh pages from the system, a tenth of the time.
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        for parameter in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            library.mallopt(parameter, 64 << 20)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of ``mallopt`` in glibc: free memory that is kept, and the size from which blocks are mapped."""


def trust_values() -> None:
    """Turn off pydicom's validation of values: the checks judge them as bytes, whatever they hold."""
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE


@reports("FIL-01")
def compare_files(
    request: Request,
    already_shown: Container[Key] = frozenset(),
    source: FileDataset | None = None,
    digested: Digested | None = None,
) -> PairReport:
    """Compare a written file, read from disk, with its source.

    A written file that cannot be read is a finding, a source that cannot be read as well: nothing is proven then.

    Parameters
    ----------
    request
        What to compare.
    already_shown
        Keys of changes whose values need not be shown again.
    source
        Data set of the source where it was read already, undecoded: it is decoded in place.
    digested
        Pixel words of the written file whose digest is known, if it holds them.
    """

    def failure(message: str) -> PairReport:
        slice_pair = SlicePair(request.source, request.written, request.by)
        return PairReport(slice_pair, (make_finding("FIL-01", message, name=request.written),))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings may quote values
        try:
            source = read_file(request.source_file) if source is None else source
        except Exception:  # whatever pydicom meets in a broken file
            return failure("its source cannot be read, so that nothing is proven")
        try:
            with mapped(request.written_file) as stream:
                written = read(stream, like=source)
                written_problems = problems(stream, written)
            source_problems: set[Problem] = set()
            if written_problems:  # seldom, so that most sources need no second look
                with mapped(request.source_file) as stream:
                    source_problems = problems(stream)
        except Exception:  # whatever pydicom meets in a broken file
            return failure("cannot be read as a DICOM file")
        try:
            instance = describe(request.written_file, request.written, written) if request.describe else None
            pair = _compared(request, source, written, source_problems, written_problems, digested)
            return replace(_report(pair, request, already_shown), instance=instance)
        except Exception as error:  # whatever pydicom meets in values that nobody foresaw
            return failure(f"cannot be compared with its source ({kind_and_place(error)})")


def _compared(
    request: Request,
    source: FileDataset,
    written: FileDataset,
    source_problems: set[Problem],
    written_problems: set[Problem],
    digested: Digested | None,
) -> Pair:
    """Return a written file and its source with the outcome for each attribute and the differences of their pixels."""
    source_elements, written_elements = elements(source), elements(written)  # before any is decoded in place
    comparison = compare(source, written, skip=PIXEL_TAGS)
    source_pixels, written_pixels = pixels(source), pixels(written)
    if request.identity == "derived" and adds_mapping(source, written):
        written_pixels = replace(written_pixels, mapped=True)
    tolerance = decoder_tolerance(source_pixels, written_pixels)
    return Pair(
        source=source,
        written=written,
        source_elements=source_elements,
        written_elements=written_elements,
        name=request.written,
        identity=request.identity,
        new_problems=written_problems - source_problems,
        inherited_problems=written_problems & source_problems,
        comparison=comparison,
        source_pixels=source_pixels,
        written_pixels=written_pixels,
        pixel_difference=without_counterpart(written_pixels)
        if request.is_elsewhere
        else compare_pixels(
            source_pixels, written_pixels, tolerance, second_opinion=request.second_opinion, digested=digested
        ),
        reference=request.reference,
        allowed=request.allowed,
        is_elsewhere=request.is_elsewhere,
    )


def _report(pair: Pair, request: Request, already_shown: Container[Key]) -> PairReport:
    """Return the report on a pair: the findings of all its checks, and the outcome for each attribute."""
    tally = Tally()
    tally.add(check_pair(pair))  # what several items of one file have in common is one finding
    difference = pair.pixel_difference
    return PairReport(
        pair=SlicePair(
            source=request.source,
            written=request.written,
            by=request.by,
            sha256=difference.sha256,
            pixels=0 if pair.undecided else difference.count,
            changed=difference.changed,
            largest=difference.largest,
            largest_real=difference.largest_real,
        ),
        findings=tuple(replace(finding, count=1) for finding in tally.findings.values()),
        changes=tuple(changes(pair, show_values=request.show_values, already_shown=already_shown)),
        kept=tuple(pair.comparison.kept),
        primary=pair.primary,
        series_level=tuple((tag, *pair.values(tag)) for tag in SERIES_LEVEL),
        processed=pair.processed,
        has_new_content_time=any(tag in pair.differing for tag in (tags.CONTENT_DATE, tags.CONTENT_TIME)),
        extremes=extremes(pair) if pair.processed else None,
        decoders=difference.decoders,
        undecided=pair.undecided,
    )


def compare_many(requests: Sequence[Request]) -> tuple[Tally, list[PairReport]]:
    """Compare several pairs, one after the other; findings and changes are in the tally, not in the reports."""
    tally = Tally()
    return tally, [tally.take(compare_files(request, tally.changes)) for request in requests]
