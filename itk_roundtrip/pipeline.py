"""The round trip: read a series with ITK and write it back, headers complete, tagged as derived, verified."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from itk_roundtrip import __version__
from itk_roundtrip.arguments import Backend, HeaderMode, Identity, Progress, TransferSyntax, checked
from itk_roundtrip.carry.staging import Staging
from itk_roundtrip.errors import (
    RoundtripError,
    SeriesNotFoundError,
    SeriesReadError,
)
from itk_roundtrip.processes import Outcome, Task, Workers, processors
from itk_roundtrip.volume.volume import check_volume

if TYPE_CHECKING:
    from itk_roundtrip.carry.slabs import Job, Slab, SlabResult
    from itk_roundtrip.derivation.plan import SeriesPlan
    from itk_roundtrip.series.find import Series, Skipped
    from itk_roundtrip.verify.findings import Finding, Report
    from itk_roundtrip.volume.volume import Volume

PUBLISHED = "the output was written and verified"
"""Argument of a KeyboardInterrupt that came after publication."""


@dataclass(frozen=True)
class RoundtripResult:
    """What a round trip did.

    Attributes
    ----------
    verdict
        ``pass``: every written file was read again and is what it must be. ``unverified``: ``headers="itk"``.
    source, written
        The two folders, as given.
    slices
        Files written.
    identity, headers
        As asked for.
    source_series_instance_uid, series_instance_uid
        Of the source and of what was written.
    pixel_type
        ITK's pixel types that carried the pixels, joined by a comma; empty if none did.
    path
        What carried the pixels: ``itk``; ``itk-inverted`` where something that ITK did to them was undone exactly; or
        ``source`` where they are the source's bytes, because ITK cannot carry them. Several are joined by a comma.
    paths, path_reasons
        How many instances each path carried, and why pixels were kept from the source.
    backend, transfer_syntax
        As asked for; an empty transfer syntax is that of the source, uncompressed.
    order
        ``GDCMSeriesFileNames``, or ``position`` where it refused the folder or crashed.
    kept, replaced, removed
        Elements of the sources' top level that stand unchanged in the output, pixel data aside, as `verify` counts
        them; that the rules replaced or added, and removed, by tag.
    lost, altered, invented
        By tag, how many elements ITK alone would have lost, altered or invented, over all slices. With
        ``headers="itk"`` it did.
    decoders
        What decoded the sources for the comparison.
    warnings
        For people.
    report
        Of the verification, as :func:`itk_roundtrip.verify_series` returns it; ``None`` with ``headers="itk"``.
    """

    verdict: Literal["pass", "unverified"]
    source: str
    written: str
    slices: int
    identity: Identity
    headers: HeaderMode
    source_series_instance_uid: str
    series_instance_uid: str
    pixel_type: str
    path: str
    paths: Mapping[str, int]
    path_reasons: tuple[str, ...]
    backend: Backend
    transfer_syntax: str
    order: str
    kept: int
    replaced: Mapping[str, int]
    removed: Mapping[str, int]
    lost: Mapping[str, int]
    altered: Mapping[str, int]
    invented: Mapping[str, int]
    decoders: tuple[str, ...]
    software_versions: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    report: Report | None = field(default=None, repr=False)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the verification found: nothing but what the source has too."""
        return self.report.findings if self.report else ()

    @property
    def restored(self) -> int:
        """Elements that ITK alone would have lost, altered or invented."""
        return sum(sum(counts.values()) for counts in (self.lost, self.altered, self.invented))


@checked()
def roundtrip(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    series: str | None = None,
    identity: Identity = "derived",
    headers: HeaderMode = "complete",
    backend: Backend = "itk",
    transfer_syntax: TransferSyntax | None = None,
    description: str | None = None,
    jobs: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> RoundtripResult:
    """Read a DICOM series with ITK and write it back as a DICOM series.

    The source is never written to. The output folder appears when every file in it has been read again and compared
    with its source, or not at all.

    Parameters
    ----------
    source
        Folder with the series, at any depth.
    destination
        Output folder; must not exist or be empty, unless ``overwrite``.
    series
        Series Instance UID (0020,000E), needed if the folder holds several series with pixels.
    identity
        ``derived``: new instances in one new series of the same study, tagged as derived (PS3.3 C.7.6.1.1.2);
        ``copy``: the same instances again, every attribute and UID as in the source.
    headers
        ``complete``: what ITK loses is restored from the source; ``itk``: what ITK alone writes, published unverified.
    backend
        Front end: ``itk``, or ``simpleitk``. Both write the same files but for their own names in Software Versions.
    transfer_syntax
        ``explicit``, ``implicit``, ``rle``, ``jpeg-lossless``, ``jpeg-ls`` or ``jpeg2000``, all lossless. Implicit VR
        Little Endian stays so by default, everything else becomes Explicit VR Little Endian, uncompressed.
    description
        Comment in Derivation Description (0008,2111), one line of ASCII, for identity ``derived``. It stands behind
        ``user comment``: no other operation is named there than that the pixels were read and written.
    jobs
        Processes; as many as there are processors, if not given.
    overwrite
        Replace what is in the output folder as a whole; it is kept until the new output is verified.
    progress
        Called with (stage, done, of how many).

    Raises
    ------
    DestinationError
        The output folder cannot be used.
    SeriesNotFoundError, AmbiguousSeriesError
        The source holds no series, or several and none was chosen.
    UnsupportedSeriesError
        A kind of image that is not carried.
    SeriesReadError, ITKCrashError
        A source file is damaged, or ITK cannot decode it.
    SeriesWriteError
        ITK or the disk did not take the output.
    VerificationError
        What was written is not what it must be; nothing was published.

    References
    ----------
    DICOM PS3.3 C.7.6.1.1.2 Image Type, C.12.1 SOP Common Module, C.12.4 Derivation; PS3.5 B.2 UUID derived UID
    """
    jobs = processors() if jobs is None else jobs
    quiet: Progress = lambda stage, done, total: None  # noqa: E731
    options = Options(series, identity, headers, description, jobs, progress or quiet, backend, transfer_syntax or "")
    if not os.path.isdir(source):
        raise SeriesNotFoundError(f"{os.fspath(source)} is not a folder.", path=os.fspath(source))
    staging = Staging(source, destination, overwrite=overwrite)
    try:
        with staging, Workers(jobs, (staging.lock,), prepare=f"carry.slabs:{backend}") as workers:
            return carry(source, destination, options, staging, workers)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(*([PUBLISHED] if staging.published else [])) from None


@dataclass(frozen=True)
class Options:
    """What the caller of a round trip asked for, checked."""

    series: str | None
    identity: Identity
    headers: HeaderMode
    description: str | None
    jobs: int
    progress: Progress
    backend: Backend = "itk"
    transfer_syntax: str = ""

    def __post_init__(self) -> None:
        if self.headers == "itk" and self.transfer_syntax:
            raise RoundtripError(
                'With headers="itk" the transfer syntax is that which ITK writes; leave it out.',
                option='headers="itk"',
            )
        if self.identity == "copy" and self.description is not None:
            raise RoundtripError(
                'With identity="copy" the headers stay as they are, so that no description is added; leave it out.',
                option='identity="copy"',
            )


def carry(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    options: Options,
    staging: Staging,
    workers: Workers,
) -> RoundtripResult:
    """Make one round trip in an open staging folder, with workers that may have served others before."""
    # Imported here, while the nursery imports ITK: the command line starts without pydicom and numpy.
    from itk_roundtrip.carry import acceptance, compression, scheduling, slabs
    from itk_roundtrip.pixels import kinds
    from itk_roundtrip.series.find import choose_series, find_series, left_out, without_pixels
    from itk_roundtrip.series.shared import check_derivable
    from itk_roundtrip.verify import judge

    compression.check_available(options.transfer_syntax)
    found = find_series(source, progress=lambda done, total: options.progress("Scanning", done, total))
    chosen = choose_series(found, options.series, os.fspath(source))
    _check_readable(found.skipped)
    kinds.check_supported(chosen, options.identity)
    if options.identity == "derived":
        check_derivable(chosen.instances)
    carried = kinds.carriages(chosen, options.identity)
    if options.headers == "itk":
        kinds.check_plain(carried)
    for one in chosen.instances:
        if (how := carried[one.name]).path != "source":
            size = one.rows or 0, one.columns or 0
            compression.check_format(
                options.transfer_syntax, how.pixel_format, one.name, size=size, overlay=one.embedded_overlay
            )
    staging.refuse_sources([one.path for one in chosen.instances])
    warnings = [*left_out(found.skipped), *_irregular(chosen)]
    if options.series is None:
        warnings += without_pixels(found, chosen)
    its_versions = workers.call(slabs.versions, staging.folder, options.backend).value or ()
    versions = _named_versions(its_versions)

    def plan(series: Series) -> Job:
        derived = None
        if options.identity == "derived":
            changing: dict[str, str] = {"identity": options.identity, "headers": options.headers}
            if options.transfer_syntax:
                changing["transfer_syntax"] = options.transfer_syntax
            comment = options.description or ""
            derived = _plan(series, chosen, comment, changing, versions, kinds.are_unchanged(chosen, carried))
        return slabs.Job(
            derived,
            options.headers,
            staging.folder,
            options.backend,
            options.transfer_syntax,
            its_versions[-1] if its_versions else "",
        )

    names = _names(chosen)
    ask = slabs.order, staging.ordering, chosen, names, options.backend
    if chosen.geometry is None or chosen.geometry.duplicates:
        ordered, its_names, order = _itk_order(workers.call(*ask), chosen, names)
        result = None
    else:  # distinct positions have one order: the slabs need not wait for ITK to say so
        job = plan(chosen)
        parts = scheduling.cut_into_slabs(job, chosen, names, carried, options.jobs)
        result, answer = scheduling.carry_slabs(job, parts, workers, options.progress, Task(ask[0], ask[1:]))
        ordered, its_names, order = _itk_order(answer, chosen, names)
    if result is None or (ordered, its_names) != (chosen, names):
        job = plan(ordered)
        parts = scheduling.cut_into_slabs(job, ordered, its_names, carried, options.jobs)
        result, _ = scheduling.carry_slabs(job, parts, workers, options.progress)
    alike = kinds.carried_alike(ordered, carried, result.given_up)
    if alike != carried:
        parts = scheduling.cut_into_slabs(job, ordered, its_names, alike, options.jobs)
        result, _ = scheduling.carry_slabs(job, parts, workers, options.progress)
    folders = os.fspath(source), os.fspath(destination)
    report = (
        acceptance.judged(result, ordered, job, folders, judge.uids_of(found)) if job.headers == "complete" else None
    )
    warnings += acceptance.concerns(result, job.identity)
    staging.publish()
    return _result(folders, job, ordered, order, versions, result, warnings, report, parts)


@checked(volume=check_volume)
def write_series(volume: Volume, destination: str | os.PathLike[str], *, overwrite: bool = False) -> RoundtripResult:
    """Write a volume as a DICOM series: completed, verified, published as a whole; ITK runs in this process.

    A volume that went through :func:`derive` becomes a new series of derived instances; any other one the same
    instances again. Pixels must still be those of the source: processed pixels are not carried yet, and a volume that
    holds any is refused, as are edits of ``volume.metadata``, which the completed headers would hide.

    Parameters
    ----------
    volume
        From :func:`read_series`, whose source must still be there.
    destination
        Output folder; must not exist or be empty, unless ``overwrite``.
    overwrite
        Replace what is in the output folder as a whole.

    Raises
    ------
    DestinationError
        The output folder cannot be used.
    SeriesReadError
        A source file is gone or damaged.
    SeriesWriteError
        ITK or the disk did not take the output, or the metadata were edited.
    VerificationError
        The pixels are not those of the source, or what was written is not what it must be.

    References
    ----------
    DICOM PS3.3 C.7.6.1.1.2 Image Type, C.12.1 SOP Common Module, C.12.4 Derivation
    """
    from itk_roundtrip.carry import acceptance, scheduling, slabs
    from itk_roundtrip.pixels import kinds
    from itk_roundtrip.series.find import SeriesList
    from itk_roundtrip.series.shared import check_derivable
    from itk_roundtrip.verify import judge
    from itk_roundtrip.volume import read as reader

    series = volume.series
    reader.check_unedited(volume)
    identity: Identity = "copy" if volume.derivation is None else "derived"
    kinds.check_supported(series, identity)
    if identity == "derived":
        check_derivable(series.instances)
    with Staging(series.directory, destination, overwrite=overwrite) as staging:
        staging.refuse_sources([one.path for one in series.instances])
        its_versions = slabs.versions(staging.folder, volume.backend)
        versions = _named_versions(its_versions)
        plan = None
        if volume.derivation is not None:
            options = {"identity": "derived", "headers": "complete"}
            unchanged = kinds.are_unchanged(series, kinds.carriages(series, identity))
            plan = _plan(series, series, volume.derivation.comment, options, versions, unchanged)
        job = slabs.Job(plan, "complete", staging.folder, volume.backend, decoder=its_versions[-1])
        carried = kinds.carriages(series, identity)
        while True:
            result = slabs.SlabResult()
            parts = scheduling.cut_into_slabs(job, series, _names(series), carried, 1)
            for slab in parts:
                result.add(slabs.process(job, slab))
            alike = kinds.carried_alike(series, carried, result.given_up)
            if alike == carried:
                break
            carried = alike
        folders = str(series.directory), os.fspath(destination)
        report = acceptance.judged(result, series, job, folders, judge.uids_of(SeriesList([series])))
        warnings = [*_irregular(series), *acceptance.concerns(result, job.identity)]
        staging.publish()
    return _result(folders, job, series, "position", versions, result, warnings, report, parts)


def _result(
    folders: tuple[str, str],
    job: Job,
    series: Series,
    order: str,
    versions: tuple[str, ...],
    result: SlabResult,
    warnings: Sequence[str],
    report: Report | None,
    parts: Sequence[Slab],
) -> RoundtripResult:
    from itk_roundtrip.carry.scheduling import pixel_types

    return RoundtripResult(
        verdict="pass" if job.headers == "complete" else "unverified",
        source=folders[0],
        written=folders[1],
        slices=result.slices,
        identity=job.identity,
        headers=job.headers,
        source_series_instance_uid=series.series_instance_uid,
        series_instance_uid=job.plan.series_instance_uid if job.plan else series.series_instance_uid,
        pixel_type=pixel_types(parts, result),
        path=", ".join(path for path in ("itk", "itk-inverted", "source") if result.paths[path]),
        paths=dict(result.paths),
        path_reasons=tuple(sorted(result.reasons)),
        backend=job.backend,
        transfer_syntax=job.transfer_syntax,
        order=order,
        # Of what was read again from the disk, as `verify` counts it, where anything was.
        kept=report.outcomes().get("kept", 0) if report else result.kept,
        replaced=_by_outcome(report, "set by rule") if report else _by_tag(result.replaced),
        removed=_by_outcome(report, "removed by rule") if report else _by_tag(result.removed),
        lost=_by_tag(result.lost),
        altered=_by_tag(result.altered),
        invented=_by_tag(result.invented),
        decoders=report.decoders if report else (),
        software_versions=versions,
        warnings=tuple(warnings),
        report=report,
    )


def _check_readable(skipped: Sequence[Skipped]) -> None:
    """Refuse a folder with a file that may be a slice and cannot be opened."""
    for one in skipped:
        if one.unreadable:
            raise SeriesReadError(f"{one.name} may belong to the series and {one.reason}.", path=one.name)


def _irregular(series: Series) -> list[str]:
    return [
        f"{one.message}{f', first {one.files[0]}' if one.files and one.files[0] not in one.message else ''}"
        + ("." if one.kind in ("lossy-stream", "lossy-range") else "; each slice is carried as it stands.")
        for one in series.irregularities
        if one.kind not in ("multi-frame", "unknown-spacing")  # nothing to be careful about
    ]


def _names(series: Series) -> tuple[str, ...]:
    from itk_roundtrip.itk_io import view

    return tuple(view.names([(one.path.name, one.name) for one in series.instances]))


def _itk_order(answer: Outcome | None, series: Series, names: tuple[str, ...]) -> tuple[Series, tuple[str, ...], str]:
    """Return the series in the order of GDCMSeriesFileNames, its names for the files, and who ordered them.

    Where it crashed, refused the folder or did not find exactly this series, our order serves.
    """
    inputs, outputs = answer.value if answer is not None and not answer.crashed else ([], [])
    if sorted(inputs) != sorted(names) or len(outputs) != len(inputs):
        return series, names, "position"
    by_name = dict(zip(names, series.instances, strict=True))
    instances = tuple(by_name[name] for name in inputs)
    # GDCMSeriesFileNames adds an extension to some names that have none.
    kept = tuple(name if output == f"{name}.dcm" else output for name, output in zip(inputs, outputs, strict=True))
    return replace(series, instances=instances), kept, "GDCMSeriesFileNames"


def _named_versions(of_itk: tuple[str, ...]) -> tuple[str, ...]:
    import pydicom

    return (f"itk-roundtrip {__version__}", *of_itk, f"pydicom {pydicom.__version__}")


def _plan(
    ordered: Series,
    by_position: Series,
    comment: str,
    options: Mapping[str, str],
    versions: tuple[str, ...],
    unchanged: bool,
) -> SeriesPlan:
    from itk_roundtrip.derivation.plan import SourceSlice, plan_series

    passes = dict(zip((one.name for one in by_position.instances), by_position.pass_indices, strict=True))
    slices = [
        SourceSlice(
            name=one.name,
            sop_class_uid=one.sop_class_uid,
            sop_instance_uid=one.sop_instance_uid,
            study_instance_uid=one.study_instance_uid,
            series_instance_uid=one.series_instance_uid,
            modality=one.modality,
            series_number=one.series_number,
            instance_number=one.instance_number,
            timezone_offset=one.timezone_offset,
            pass_index=passes[one.name],
        )
        for one in ordered.instances
    ]
    return plan_series(
        slices,
        comment=comment,
        options=options,
        version=__version__,
        software_versions=versions,
        unchanged=unchanged,
    )


def _by_outcome(report: Report, outcome: str) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for change in report.changes:
        if change.outcome == outcome:
            counts[change.tag] += change.slices
    return dict(sorted(counts.items()))


def _by_tag(counts: Mapping[int, int]) -> dict[str, int]:
    return {f"({tag >> 16:04X},{tag & 0xFFFF:04X})": counts[tag] for tag in sorted(counts)}
