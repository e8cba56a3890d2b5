"""Verification of two folders: find both series, pair and compare their instances in workers, judge. Never prints."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from itk_roundtrip import tags
from itk_roundtrip.arguments import Progress
from itk_roundtrip.errors import AmbiguousSeriesError, SeriesNotFoundError
from itk_roundtrip.folders import temporary_folder
from itk_roundtrip.processes import Pool, Task
from itk_roundtrip.series.find import (
    Instance,
    Series,
    SeriesList,
    Skipped,
    as_found,
    as_one_series,
    choose_series,
    group_series,
    left_out,
    list_files,
    of_volume,
    read_files,
    root_of,
    without_pixels,
)
from itk_roundtrip.verify.audit import Request, compare_many
from itk_roundtrip.verify.checks import check_series
from itk_roundtrip.verify.conformance import check_conformance
from itk_roundtrip.verify.findings import Identity, Report, SlicePair, first_error, gravity, make_finding
from itk_roundtrip.verify.options import Options
from itk_roundtrip.verify.pairing import BY_REGION, Paired, pair, positions_along_normal, referred
from itk_roundtrip.verify.reference import Reference, read_reference
from itk_roundtrip.verify.registry import reports
from itk_roundtrip.verify.series_pair import PairReport, SeriesPair
from itk_roundtrip.verify.tally import Tally
from itk_roundtrip.words import counted

_LOG = logging.getLogger(__name__)
_PAIRS_PER_TASK = 16
_FILES_PER_TASK = 100
_FEW_FILES = 100
"""Fewer files than this are read here: that is quicker than the start of a worker."""


def verify_folders(folders: tuple[str, str], options: Options, workers: Pool) -> Report:
    """Return the report on a written folder against its source folder; the workers may be running already."""
    if options.source is not None:
        sources = SeriesList([as_found(options.source)])
    else:
        sources = _scan(folders[0], workers, "Reading the source", options.progress, without=Path(folders[1]))
    outputs = _scan(folders[1], workers, "Reading what was written", options.progress)
    broken = any(skipped.unreadable or skipped.reason.startswith("broken") for skipped in outputs.skipped)
    if not outputs and not broken:
        raise SeriesNotFoundError(f"{folders[1]} holds no DICOM file; there is nothing to verify.", path=folders[1])
    source = _choose(sources, outputs, options.series, folders)
    if options.volume is not None:
        source = of_volume(source, options.volume)
    written = as_one_series(outputs, root_of(folders[1]))
    identity = options.identity or guess_identity(source, written)
    pairing = pair(source.instances, written.instances)
    _LOG.info("judged as %s: %s", identity, counted(len(pairing.pairs), "pair"))
    with ExitStack() as stack:
        reference = None
        if options.reference is not None:
            folder = stack.enter_context(temporary_folder())
            reference = read_reference(options.reference, written, Path(folder), workers)
        requests = [_request(paired, identity, options, reference) for paired in pairing.pairs]
        tally, pair_reports = compare_all(requests, workers, options.jobs, options.progress)
    if options.conformance is not None:
        tally.add(check_conformance(pairing.pairs, workers, every=options.conformance, progress=options.progress))
    source_series_uids, source_instance_uids = uids_of(sources)
    series_pair = SeriesPair(
        source=source,
        written=written,
        source_series_uids=source_series_uids,
        source_instance_uids=source_instance_uids,
        written_skipped=outputs.skipped,
        pairing=pairing,
        reports=pair_reports,
        identity=identity,
        source_skipped=sources.skipped,
        allowed=options.allowed,
    )
    warnings = left_out(sources.skipped)
    if options.series is None and options.volume is None:
        warnings += without_pixels(sources, source)
    return judge(series_pair, tally, folders, guessed=options.identity is None, warnings=warnings)


def _request(paired: Paired, identity: Identity, options: Options, reference: Reference | None) -> Request:
    """Return the order to compare a pair."""
    return Request(
        source_file=paired.source.path,
        written_file=paired.written.path,
        source=paired.source.name,
        written=paired.written.name,
        identity=identity,
        by=paired.by,
        show_values=options.show_values,
        reference=(reference.of(paired.written),) if reference else (),
        allowed=options.allowed,
        second_opinion=True,
        is_elsewhere=paired.by == BY_REGION,
    )


def uids_of(series_list: SeriesList) -> tuple[frozenset[str], frozenset[str]]:
    """Return all Series Instance UIDs and all SOP Instance UIDs of the series of a folder."""
    instances = [instance for series in series_list for instance in series.instances]
    series_uids = frozenset(instance.series_instance_uid for instance in instances)
    return series_uids, frozenset(instance.sop_instance_uid for instance in instances)


def guess_identity(source: Series, written: Series) -> Identity:
    """Return ``copy`` if most written instances have SOP and Series Instance UIDs of the source, else ``derived``."""
    uids = {instance.sop_instance_uid for instance in source.instances}
    same = sum(
        instance.sop_instance_uid in uids and instance.series_instance_uid == source.series_instance_uid
        for instance in written.instances
    )
    return "copy" if same * 2 > len(written.instances) else "derived"


def compare_all(
    requests: Sequence[Request], workers: Pool, jobs: int, progress: Progress
) -> tuple[Tally, list[PairReport]]:
    """Compare all pairs in worker processes; the pairs of a process that crashed are compared again one by one."""
    size = max(1, min(_PAIRS_PER_TASK, -(-len(requests) // jobs)))
    starts = range(0, len(requests), size)
    tasks = deque(Task(compare_many, (requests[start : start + size],)) for start in starts)
    answers: dict[str, tuple[Tally, list[PairReport]]] = {}
    done = 0
    for outcome in workers.run(tasks):
        batch = outcome.task.arguments[0]
        if outcome.crashed and len(batch) > 1:
            tasks.extend(Task(compare_many, ([request],)) for request in batch)
            continue
        if outcome.crashed and batch[0].second_opinion:  # it may be the second decoder that does it
            tasks.append(Task(compare_many, ([replace(batch[0], second_opinion=False)],)))
            continue
        answers[batch[0].written] = _crashed(batch[0]) if outcome.crashed else outcome.value
        done += len(batch)
        progress("Comparing", done, len(requests))
    tally, pair_reports = Tally(), []
    for request in requests:  # in the order of the slices, whichever was compared first
        if request.written in answers:
            tally_of_task, reports_of_task = answers[request.written]
            tally.merge(tally_of_task)
            pair_reports += reports_of_task
    return tally, pair_reports


@reports("PIX-02")
def _crashed(request: Request) -> tuple[Tally, list[PairReport]]:
    """Return the finding and the report on a pair whose decoder crashed its process."""
    tally = Tally()
    message = "its pixel data end the process that decodes them"
    tally.add([make_finding("PIX-02", message, tag=tags.PIXEL_DATA, name=request.written)])
    return tally, [PairReport(SlicePair(request.source, request.written, request.by), ())]


def judge(
    series_pair: SeriesPair, tally: Tally, folders: tuple[str, str], *, guessed: bool, warnings: Sequence[str] = ()
) -> Report:
    """Return the report on two series whose pairs were compared: add the checks across the series, sort findings."""
    tally.add(check_series(series_pair))
    order = ("error", "warning", "info")
    findings = sorted(
        tally.findings.values(),
        key=lambda finding: (order.index(finding.severity), gravity(finding), finding.check, finding.tag or ""),
    )
    positions = positions_along_normal(series_pair.source, series_pair.pairing)
    return Report(
        verdict="fail" if first_error(findings) else "pass",
        source=folders[0],
        written=folders[1],
        identity=series_pair.identity,
        identity_guessed=guessed,
        source_series_instance_uid=series_pair.source.series_instance_uid,
        series_instance_uid=series_pair.written.series_instance_uid,
        source_slices=len(series_pair.source.instances),
        slices=len(series_pair.written.instances),
        pairs=tuple(
            replace(report.pair, source_mm=source_mm, written_mm=written_mm)
            for report, (source_mm, written_mm) in zip(series_pair.reports, positions, strict=True)
        ),
        findings=tuple(findings),
        changes=tuple(tally.table(series_pair.identity)),
        decoders=tuple(sorted({name for report in series_pair.reports for name in report.decoders})),
        warnings=tuple(warnings),
    )


def _scan(folder: str, workers: Pool, stage: str, progress: Progress, without: Path | None = None) -> SeriesList:
    """Find the series of a folder, in worker processes where it holds many files.

    ``without`` is a folder whose files are left out where it lies inside: what was written is no source.
    """
    root, names = list_files(folder)
    inside = Path(os.path.abspath(without)) if without is not None else root
    if inside != root:
        names = [name for name in names if inside not in (root / name, *(root / name).parents)]
    if len(names) < _FEW_FILES:
        return group_series(root, read_files(root, names))
    parts = [names[start : start + _FILES_PER_TASK] for start in range(0, len(names), _FILES_PER_TASK)]
    answers: dict[str, list[Instance | Skipped]] = {}
    for outcome in workers.run(deque(Task(read_files, (root, part)) for part in parts)):
        part = outcome.task.arguments[1]
        answers[part[0]] = read_files(root, part) if outcome.crashed else outcome.value
        progress(stage, sum(map(len, answers.values())), len(names))
    return group_series(root, [file for part in parts for file in answers[part[0]]])


def _choose(sources: SeriesList, outputs: SeriesList, asked: str | int | None, folders: tuple[str, str]) -> Series:
    """Return the source series: the one asked for, the only one, or the one that the written files refer to."""
    around, inside = (Path(os.path.abspath(folder)) for folder in folders)
    if str(asked).isdecimal() and around in inside.parents:
        raise AmbiguousSeriesError(
            f"{folders[1]} lies in {folders[0]}, so that `find` numbers its series too; choose one by its UID.",
            series=str(asked),
        )
    candidates = [series for series in sources if series.has_pixels]
    if asked is None and len(candidates) > 1:
        written = [instance for series in outputs for instance in series.instances]
        uids = {uid for instance in written for uid in (instance.sop_instance_uid, referred(instance))} - {""}
        series_uids = {instance.series_instance_uid for instance in written}
        series_uids.update(uid for instance in written for uid in instance.referenced_series)
        related = [
            series for series in candidates if any(instance.sop_instance_uid in uids for instance in series.instances)
        ] or [series for series in candidates if series.series_instance_uid in series_uids]
        if len(related) == 1:
            return related[0]
    return choose_series(sources, asked, folders[0])
