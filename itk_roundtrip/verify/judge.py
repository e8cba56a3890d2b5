"""The flow of a verification: find both series, choose, pair, compare in workers, judge. Never prints."""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from itk_roundtrip.arguments import Progress
from itk_roundtrip.errors import SeriesNotFoundError
from itk_roundtrip.processes import Task, Workers
from itk_roundtrip.series.find import (
    Instance,
    Series,
    SeriesList,
    Skipped,
    as_one_series,
    choose_series,
    group_series,
    left_out,
    list_files,
    of_volume,
    read_files,
    without_pixels,
)
from itk_roundtrip.verify.across import Sides, check_series, places
from itk_roundtrip.verify.audit import PairReport, Request, Tally, compare_many
from itk_roundtrip.verify.conformance import check_conformance
from itk_roundtrip.verify.findings import Finding, Identity, Report, SlicePair, first_error
from itk_roundtrip.verify.options import Options
from itk_roundtrip.verify.pairing import pair, referred
from itk_roundtrip.verify.reference import read_reference

_PAIRS_PER_TASK = 16
_FILES_PER_TASK = 100
_FEW_FILES = 100
"""So many files are read before a worker is there to do it."""


def verify_folders(folders: tuple[str, str], options: Options, workers: Workers) -> Report:
    """Compare what was written with its source, in workers that may have served others before."""
    found = _scan(folders[0], workers, "Reading the source", options.progress, without=Path(folders[1]))
    outputs = _scan(folders[1], workers, "Reading what was written", options.progress)
    if not outputs and not any(one.unreadable or one.reason.startswith("broken") for one in outputs.skipped):
        raise SeriesNotFoundError(f"{folders[1]} holds no DICOM file; there is nothing to verify.", path=folders[1])
    chosen = _choose(found, outputs, options.series, folders[0])
    if options.volume is not None:
        chosen = of_volume(chosen, options.volume)
    written = as_one_series(outputs, Path(folders[1]))
    identity = options.identity or guess_identity(chosen, written)
    pairing = pair(chosen.instances, written.instances)
    with ExitStack() as stack:
        expected = None
        if options.reference is not None:
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="itk-roundtrip-"))
            expected = read_reference(options.reference, written, Path(place), workers)
        requests = [
            Request(
                source_file=one.source.path,
                written_file=one.written.path,
                source=one.source.name,
                written=one.written.name,
                identity=identity,
                by=one.by,
                show_values=options.show_values,
                reference=expected.of(one.written) if expected else None,
                second_opinion=True,
            )
            for one in pairing.pairs
        ]
        tally, reports = compare_all(requests, workers, options.jobs, options.progress)
    if options.conformance is not None:
        tally.add(check_conformance(pairing.pairs, workers, every=options.conformance, progress=options.progress))
    series_uids, instance_uids = uids_of(found)
    sides = Sides(
        chosen, written, series_uids, instance_uids, outputs.skipped, pairing, reports, identity, found.skipped
    )
    warnings = left_out(found.skipped)
    if options.series is None and options.volume is None:
        warnings += without_pixels(found, chosen)
    return judge(sides, tally, folders, guessed=options.identity is None, warnings=warnings)


def uids_of(found: SeriesList) -> tuple[frozenset[str], frozenset[str]]:
    """Return the Series and the SOP Instance UIDs of all that was found in a folder."""
    instances = [one for series in found for one in series.instances]
    return frozenset(one.series_instance_uid for one in instances), frozenset(one.sop_instance_uid for one in instances)


def guess_identity(source: Series, written: Series) -> Identity:
    """Return what written files are meant to be: copies if most of them bear the UIDs of the source."""
    uids = {one.sop_instance_uid for one in source.instances}
    same = sum(
        one.sop_instance_uid in uids and one.series_instance_uid == source.series_instance_uid
        for one in written.instances
    )
    return "copy" if same * 2 > len(written.instances) else "derived"


def compare_all(
    requests: Sequence[Request], workers: Workers, jobs: int, progress: Progress
) -> tuple[Tally, list[PairReport]]:
    """Compare all pairs in worker processes; where one dies, its pairs are tried one by one."""
    size = max(1, min(_PAIRS_PER_TASK, -(-len(requests) // jobs)))
    starts = range(0, len(requests), size)
    tasks = deque(Task(compare_many, (requests[start : start + size],)) for start in starts)
    answers: dict[str, tuple[Tally, list[PairReport]]] = {}
    done = 0
    for outcome in workers.run(tasks):
        asked = outcome.task.arguments[0]
        if outcome.crashed and len(asked) > 1:
            tasks.extend(Task(compare_many, ([one],)) for one in asked)
            continue
        if outcome.crashed and asked[0].second_opinion:  # it may be the second decoder that does it
            tasks.append(Task(compare_many, ([replace(asked[0], second_opinion=False)],)))
            continue
        answers[asked[0].written] = _crashed(asked[0]) if outcome.crashed else outcome.value
        done += len(asked)
        progress("Comparing", done, len(requests))
    tally, reports = Tally(), []
    for request in requests:  # in their order, whichever came first
        if request.written in answers:
            part, some = answers[request.written]
            tally.merge(part)
            reports += some
    return tally, reports


def _crashed(request: Request) -> tuple[Tally, list[PairReport]]:
    """Return what is said of a pair whose decoder ended its process."""
    tally = Tally()
    message = "its pixel data end the process that decodes them"
    tally.add([Finding("PIX-02", "error", request.written, "(7FE0,0010)", "PixelData", message)])
    return tally, [PairReport(SlicePair(request.source, request.written, request.by), ())]


def judge(
    sides: Sides, tally: Tally, folders: tuple[str, str], *, guessed: bool, warnings: Sequence[str] = ()
) -> Report:
    """Return the report on two series whose pairs were compared."""
    tally.add(check_series(sides))
    order = ("error", "warning", "info")
    findings = sorted(tally.findings.values(), key=lambda one: (order.index(one.severity), one.check, one.tag or ""))
    placed = zip(sides.reports, places(sides.source, sides.pairing), strict=True)
    return Report(
        verdict="fail" if first_error(findings) else "pass",
        source=folders[0],
        written=folders[1],
        identity=sides.identity,
        identity_guessed=guessed,
        source_series_instance_uid=sides.source.series_instance_uid,
        series_instance_uid=sides.written.series_instance_uid,
        source_slices=len(sides.source.instances),
        slices=len(sides.written.instances),
        pairs=tuple(replace(report.pair, source_mm=before, written_mm=after) for report, (before, after) in placed),
        findings=tuple(findings),
        changes=tuple(tally.table(sides.identity)),
        decoders=tuple(sorted({name for report in sides.reports for name in report.decoders})),
        warnings=tuple(warnings),
    )


def _scan(folder: str, workers: Workers, stage: str, progress: Progress, without: Path | None = None) -> SeriesList:
    """Find the series of a folder, in worker processes where it holds many files.

    ``without`` is a folder whose files are left out where it lies inside: what was written is no source.
    """
    root, names = list_files(folder)
    inside = Path(os.path.abspath(without)) if without is not None else root
    if inside != root:
        names = [name for name in names if inside not in (root / name).parents]
    if len(names) < _FEW_FILES:
        return group_series(root, read_files(root, names))
    parts = [names[start : start + _FILES_PER_TASK] for start in range(0, len(names), _FILES_PER_TASK)]
    answers: dict[str, list[Instance | Skipped]] = {}
    for outcome in workers.run(deque(Task(read_files, (root, part)) for part in parts)):
        part = outcome.task.arguments[1]
        answers[part[0]] = read_files(root, part) if outcome.crashed else outcome.value
        progress(stage, sum(map(len, answers.values())), len(names))
    return group_series(root, [one for part in parts for one in answers[part[0]]])


def _choose(found: SeriesList, outputs: SeriesList, asked: str | None, name: str) -> Series:
    """Return the source series: the one asked for, the only one, or the one that the written files refer to."""
    candidates = [one for one in found if one.has_pixels]
    if asked is None and len(candidates) > 1:
        written = [one for series in outputs for one in series.instances]
        uids = {uid for one in written for uid in (one.sop_instance_uid, referred(one))} - {""}
        of_series = {one.series_instance_uid for one in written} | {
            uid for one in written for uid in one.referenced_series
        }
        related = [
            series for series in candidates if any(one.sop_instance_uid in uids for one in series.instances)
        ] or [series for series in candidates if series.series_instance_uid in of_series]
        if len(related) == 1:
            return related[0]
    return choose_series(found, asked, name)
