"""The round trip: read a series with ITK and write it back, headers complete, tagged as derived, verified."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from itk_roundtrip import __version__
from itk_roundtrip.arguments import (
    Backend,
    Code,
    HeaderMode,
    Identity,
    NanTo,
    Progress,
    TransferSyntax,
    check_there,
    checked,
    folder_of,
)
from itk_roundtrip.carry.staging import Staging
from itk_roundtrip.display import as_document, as_html
from itk_roundtrip.errors import (
    FunctionError,
    RoundtripError,
    refuse_warnings,
)
from itk_roundtrip.processes import Outcome, Workers, worth_starting
from itk_roundtrip.tags import tag_text
from itk_roundtrip.volume.volume import NO_DERIVATION, Derivation, check_volume
from itk_roundtrip.words import counted, posix

if TYPE_CHECKING:
    from itk_roundtrip.carry.operation import Operation
    from itk_roundtrip.carry.processed import Values
    from itk_roundtrip.carry.processing import Made
    from itk_roundtrip.carry.regrid import Regridded
    from itk_roundtrip.carry.slabs import Job, Slab, SlabResult
    from itk_roundtrip.derivation.caller import Settings
    from itk_roundtrip.derivation.plan import SeriesPlan
    from itk_roundtrip.derivation.processing import Processing
    from itk_roundtrip.pixels.grids import Grid
    from itk_roundtrip.pixels.kinds import Carriage
    from itk_roundtrip.pixels.quantise import Figures
    from itk_roundtrip.processes import Pool
    from itk_roundtrip.series.find import Series, SeriesList
    from itk_roundtrip.verify.findings import Finding, Report
    from itk_roundtrip.volume.volume import Volume

_LOG = logging.getLogger(__name__)
_FEW_FILES = 100
"""So many files are carried by a single process before another one would be ready."""
PUBLISHED = "the output was written and verified"
"""Argument of a KeyboardInterrupt that came after publication."""


@dataclass(frozen=True)
class Quantisation:
    """What became of processed values, of a slice or of all of them, as they were written.

    Attributes
    ----------
    max_error
        Largest error of a value that was not clipped, in real-world units.
    bound
        Half the slope: no error is larger, but of values moved off the padding.
    clipped, padded, filled, moved
        Numbers of values that were clipped, of padding pixels, which stay, of NaN and infinite values that became
        padding, and of values moved to the nearest that does not mean padding.
    changed
        Number of stored values that are not those of the source.
    """

    max_error: float
    bound: float
    clipped: int
    padded: int
    filled: int
    moved: int
    changed: int


@dataclass(frozen=True)
class RoundtripResult:
    """The outcome of a round trip.

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
    quantisation, slice_quantisation
        What became of processed values: of all, and by the name of each written file; ``None`` and empty without
        processing.
    set
        Keywords or tags of the attributes that the caller set.
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
    quantisation: Quantisation | None = None
    slice_quantisation: Mapping[str, Quantisation] = field(default_factory=dict, repr=False)
    set: tuple[str, ...] = ()
    report: Report | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"<RoundtripResult {self.verdict}: {counted(self.slices, 'slice')}, {self.identity}, in {self.written}>"

    def _repr_html_(self) -> str:
        return as_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of the command ``run``."""
        return as_document("run_document", self)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of the verification: all of them are inherited from the source."""
        return self.report.findings if self.report else ()

    @property
    def restored(self) -> int:
        """Elements that ITK alone would have lost, altered or invented."""
        return sum(sum(counts.values()) for counts in (self.lost, self.altered, self.invented))


@checked()
def roundtrip(
    source: str | os.PathLike[str] | Series,
    destination: str | os.PathLike[str],
    *,
    series: str | int | None = None,
    identity: Identity = "derived",
    headers: HeaderMode = "complete",
    backend: Backend = "itk",
    transfer_syntax: TransferSyntax | None = None,
    description: str | None = None,
    apply: Callable[..., Any] | str | None = None,
    parameters: Mapping[str, Any] | None = None,
    image: Any = None,
    codes: Sequence[Code] = (),
    footprint_slices: int | None = 0,
    units: str | None = None,
    rescale_type: str | None = None,
    max_error: float | None = None,
    allow_clip: bool = False,
    nan_to: NanTo | None = None,
    allow_irregular: bool = False,
    regrid: bool = False,
    set: Mapping[str | int, Any] | None = None,  # noqa: A002, the name of the option
    debug: bool = False,
    strict: bool = False,
    jobs: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> RoundtripResult:
    """Read a DICOM series with ITK, process it if that is asked for, and write it back as a DICOM series.

    The source is never written to. The output folder appears when every file in it has been read again and compared
    with its source, or not at all.

    Parameters
    ----------
    source
        Folder with the series, at any depth, or a single file, or a series as :func:`find_series` returned it.
    destination
        Output folder; must not exist or be empty, unless ``overwrite``.
    series
        Needed if the folder holds several series with pixels: a number, counted from 1 as the command ``find`` does, a
        Series Instance UID (0020,000E) or the end of one that no other has, or the subfolder of one.
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
        Text for Derivation Description (0008,2111), one line of ASCII, for identity ``derived``: what ``apply`` or
        ``image`` did. Without them it stands behind ``user comment``, and no operation is named but that the pixels
        were read and written.
    apply
        Function that processes a volume: it gets an ``itk.Image`` of real-world values, in the smallest type that
        holds them exactly, and returns an image of the same size and place (but see ``regrid``). If its first
        parameter is annotated with ``numpy.ndarray`` or ``SimpleITK.Image``, it gets such; a parameter ``spacing_xyz``
        gets the spacing in mm. A callable runs in this process; the text ``FILE.py:FUNCTION`` or
        ``package.module:function``, or a filter, in one of its own. A series of several volumes is processed volume by
        volume.
    parameters
        Keywords for ``apply``.
    image
        Instead of ``apply``: an ``itk.Image``, a ``SimpleITK.Image``, an array (z, y, x) or the path of a file that ITK
        reads, with the processed values.
    codes
        Code Value, Coding Scheme Designator and Code Meaning of each step, for Derivation Code Sequence (0008,9215);
        those of the scheme DCM are of CID 7203.
    footprint_slices
        Slices on each side that contribute to the values of a slice, ``None`` if the whole volume does: they are named
        in Source Image Sequence (0008,2112).
    units, rescale_type
        Units of the processed values, and their Rescale Type (0028,1054), where they are others than the source's.
    max_error
        Largest error permitted in real-world units; without it, half a step of the grid that holds all values.
    allow_clip
        Clip values that no stored value stands for; they are counted and declared.
    nan_to
        ``padding`` writes NaN and infinite values as Pixel Padding Value (0028,0120).
    allow_irregular
        Process slices that are no regular grid (gaps, tilt beyond 1 mm, several orientations) as if they were one.
    regrid
        The processed image may lie elsewhere in the same patient space: resampled, cropped, of more or fewer slices, of
        another orientation. Its slices are written as they lie, each with the header of the nearest source slice,
        computed where that does not hold. For one regular volume of single-frame slices, grey or RGB.
    set
        Values of attributes by keyword or tag, for all instances: text, a number, a list, ``None`` to remove it, or a
        function of the index of the slice that returns such. A list as long as the output has files holds the value
        of each of them, for an attribute that cannot have so many values itself; where it can, as Image Comments (of
        multiplicity 1) cannot and Window Center (1-n) can, such a list is refused: pass a function.
    debug
        Keep the traceback of an error of ``apply`` in ``details`` of the error; it may quote values of patients.
    strict
        Refuse what there is any warning of, in the source, of the values, or of the verification.
    jobs
        At most so many processes work at a time, and no more than there are processors.
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
    DICOM PS3.3 C.7.6.1.1.2 Image Type, C.12.1 SOP Common Module, C.12.4 General Reference; PS3.5 B.2 UUID derived UID
    """
    options = requested(
        series=series,
        identity=identity,
        headers=headers,
        backend=backend,
        transfer_syntax=transfer_syntax,
        description=description,
        apply=apply,
        parameters=parameters,
        image=image,
        codes=codes,
        footprint_slices=footprint_slices,
        units=units,
        rescale_type=rescale_type,
        max_error=max_error,
        allow_clip=allow_clip,
        nan_to=nan_to,
        allow_irregular=allow_irregular,
        regrid=regrid,
        set=set,
        debug=debug,
        strict=strict,
        jobs=jobs,
        progress=progress,
    )
    folder = folder_of(source, series)
    check_there(folder)
    staging = Staging(folder, destination, overwrite=overwrite)
    # First: they import while this scans.
    started = Workers(options.jobs, prepare=f"itk_roundtrip.carry.slabs:{backend}")
    apart = _worker_of_operation(options)
    try:
        with staging, started as workers:  # which end before the folder goes that they write to
            return carry(source, destination, options, staging, workers, apart)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(*([PUBLISHED] if staging.published else [])) from None
    finally:
        started.close()
        if apart is not None:
            apart.close()


_OF_PROCESSING = (
    "codes", "footprint_slices", "units", "rescale_type", "max_error", "allow_clip", "nan_to", "allow_irregular",
    "regrid",
)  # fmt: skip
"""Fields of a derivation that say nothing where pixels are not processed."""


@dataclass(frozen=True)
class Options:
    """What the caller of a round trip asked for, checked."""

    series: str | int | None
    identity: Identity
    headers: HeaderMode
    description: str | None
    jobs: int
    progress: Progress
    backend: Backend = "itk"
    transfer_syntax: str = ""
    derivation: Derivation = NO_DERIVATION
    operation: Operation | None = None
    strict: bool = False

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
        if self.operation is None:
            for name in _OF_PROCESSING:
                if getattr(self.derivation, name) != getattr(NO_DERIVATION, name):
                    raise RoundtripError(f"Nothing processes the pixels, so leave out {name}.", option=name)
        for other, is_so in (
            ('identity="copy"', self.identity == "copy"),
            ('headers="itk"', self.headers == "itk"),
        ):
            if is_so and (self.operation is not None or self.derivation.set):
                what = "the pixels are not processed" if self.operation else "no attributes are set"
                raise RoundtripError(f"With {other} {what}; leave one of both out.", option=other)


def requested(
    *,
    series: str | int | None = None,
    identity: Identity = "derived",
    headers: HeaderMode = "complete",
    backend: Backend = "itk",
    transfer_syntax: TransferSyntax | None = None,
    description: str | None = None,
    apply: Callable[..., Any] | str | None = None,
    parameters: Mapping[str, Any] | None = None,
    image: Any = None,
    debug: bool = False,
    strict: bool = False,
    jobs: int | None = None,
    progress: Progress | None = None,
    **derivation: Any,
) -> Options:
    """Return the options of a round trip by the arguments of :func:`roundtrip`; ``derivation`` are all others.

    Raises
    ------
    RoundtripError
        They contradict each other.
    """
    quiet: Progress = lambda stage, done, total: None  # noqa: E731
    derivation = {**derivation, "codes": tuple(derivation.get("codes", ())), "set": derivation.get("set") or {}}
    options = Options(
        series=series,
        identity=identity,
        headers=headers,
        description=description,
        jobs=worth_starting(jobs),
        progress=progress or quiet,
        backend=backend,
        transfer_syntax=transfer_syntax or "",
        derivation=Derivation(comment=description or "", **derivation),
        operation=_operation(apply, parameters, image, debug=debug),
        strict=strict,
    )
    if options.operation is None:
        return options
    return replace(options, derivation=options.operation.described(options.derivation))


def _operation(
    apply: Callable[..., Any] | str | None, parameters: Mapping[str, Any] | None, image: Any, *, debug: bool
) -> Operation | None:
    """Return what processes the series; ``None`` if nothing does."""
    if apply is None and image is None:
        if parameters:
            raise RoundtripError("No function is given, so leave out parameters.", option="parameters")
        if debug:
            raise RoundtripError("No function is given, so leave out debug=True.", option="debug=True")
        return None
    if apply is not None and image is not None:
        raise RoundtripError("Either a function or an image makes the values; give one of them only.")
    if image is not None and parameters:
        raise RoundtripError("An image takes no parameters; leave out parameters.", option="parameters")
    if image is not None and debug:
        raise RoundtripError("An image is no function; leave out debug=True.", option="debug=True")
    from itk_roundtrip.carry.operation import Operation

    return Operation(apply, parameters or {}, image, debug)


def carry(
    source: str | os.PathLike[str] | Series,
    destination: str | os.PathLike[str],
    options: Options,
    staging: Staging,
    workers: Workers,
    apart: Workers | None = None,
) -> RoundtripResult:
    """Make a round trip in an open staging folder, with workers that may have served others before.

    An operation that processes the volumes runs in the process ``apart``; in this one if there is none.

    Its stages are those of docs/explanation/design.md: find; order; read, derive, write, complete and verify slab by
    slab; publish.
    """
    series_list, series = _find(source, options, workers)
    folders = posix(folder_of(source, options.series)), posix(destination)
    return carry_found(series_list, series, folders, options, staging, workers, apart)


def carry_found(
    series_list: SeriesList,
    series: Series,
    folders: tuple[str, str],
    options: Options,
    staging: Staging,
    workers: Pool,
    apart: Pool | None = None,
) -> RoundtripResult:
    """Make a round trip of a series that was found, one of a list, as :func:`carry` does.

    ``folders`` are source and destination, as the caller named them.
    """
    # Imported here, while the workers import ITK: the command line starts without pydicom and numpy.
    from itk_roundtrip.verify import judge

    warnings = _source_warnings(series_list, series, options)
    refuse_warnings(warnings, strict=options.strict)
    trip = _trip(series, warnings, options, staging, workers)
    uids = judge.uids_of(series_list)
    ordered = _ask_for_order(trip)  # while the second worker starts, or the process of the operation
    if options.operation is None:
        return _finish(trip, _carry(trip, *ordered), folders, uids)
    values = _process(trip, options.operation, apart)
    return _finish(trip, _carry_processed(trip, values, *ordered), folders, uids)


@dataclass(frozen=True)
class _Trip:
    """The arguments of all stages of a round trip.

    Attributes
    ----------
    options, staging, workers
        As :func:`carry` got them.
    series, names, carriages
        The source by position, the names that ITK is shown its files under, and how their pixels are carried.
    warnings
        Of the source.
    front_end_versions, versions
        Of the front end and its GDCM; of all software that takes part.
    sources
        Digest of each source file by name, where a volume was read from them before.
    settings
        Values of attributes that the caller sets, of each instance by name; of a new grid once it is known.
    edited
        Those of them that were edited in a metadata dictionary.
    """

    options: Options
    staging: Staging
    workers: Pool
    series: Series
    names: tuple[str, ...]
    carriages: Mapping[str, Carriage]
    warnings: Sequence[str]
    front_end_versions: tuple[str, ...]
    versions: tuple[str, ...]
    sources: Mapping[str, str]
    settings: Mapping[str, Settings]
    edited: Mapping[str, Settings]


@dataclass(frozen=True)
class _Carried:
    """A carried series: its job, its order, its slabs and their result.

    Attributes
    ----------
    job
        What all slabs share.
    series, names, order
        Its instances in the order in which they were written, their file names, and what ordered them.
    parts, result
        The slabs, and the outcome of all of them.
    warnings
        Of processed values.
    """

    job: Job
    series: Series
    names: tuple[str, ...]
    order: str
    parts: Sequence[Slab]
    result: SlabResult
    warnings: tuple[str, ...] = ()


def _find(source: str | os.PathLike[str] | Series, options: Options, workers: Workers) -> tuple[SeriesList, Series]:
    """Find the series in a folder and choose which to carry; start the workers if there are many files.

    With an operation, its own process starts first.
    """
    from itk_roundtrip.carry import compression
    from itk_roundtrip.series.find import check_readable, find_source

    compression.check_available(options.transfer_syntax)
    progress: Callable[[int, int], None] = lambda done, total: options.progress("Scanning", done, total)  # noqa: E731
    series_list, series = find_source(source, options.series, progress=progress)
    check_readable(series_list.skipped)
    if len(series.instances) > _FEW_FILES and options.operation is None:
        workers.start()
    return series_list, series


def _source_warnings(series_list: SeriesList, series: Series, options: Options) -> list[str]:
    """Return warnings of the source: files left out, irregularities, other series without pixels."""
    from itk_roundtrip.series.find import left_out, without_pixels

    warnings = [*left_out(series_list.skipped), *_irregular(series)]
    if options.series is None:
        warnings += without_pixels(series_list, series)
    return warnings


def _trip(
    series: Series,
    warnings: Sequence[str],
    options: Options,
    staging: Staging,
    workers: Pool,
    sources: Mapping[str, str] | None = None,
    edited: Mapping[str, Settings] | None = None,
) -> _Trip:
    """Return the arguments of all stages; refuse a series that cannot be carried as the options ask."""
    from itk_roundtrip.carry import compression, slabs
    from itk_roundtrip.pixels import kinds
    from itk_roundtrip.series.shared import check_derivable

    kinds.check_supported(series, options.identity)
    if options.identity == "derived":
        check_derivable(series.instances)
    carriages = kinds.carriages(series, options.identity)
    if options.headers == "itk":
        kinds.check_plain(carriages)
    for instance in series.instances:
        if (carriage := carriages[instance.name]).path != "source":
            compression.check_format(
                options.transfer_syntax,
                carriage.pixel_format,
                instance.name,
                size=(instance.rows or 0, instance.columns or 0),
                overlay=instance.embedded_overlay,
            )
    staging.refuse_sources([instance.path for instance in series.instances])
    front_end_versions = workers.call(slabs.versions, staging.work, options.backend).value or ()
    return _Trip(
        options=options,
        staging=staging,
        workers=workers,
        series=series,
        names=_names(series),
        carriages=carriages,
        warnings=warnings,
        front_end_versions=front_end_versions,
        versions=_named_versions(front_end_versions),
        sources=sources or {},
        # A new grid has other slices, which are not known yet.
        settings=_settings(series, NO_DERIVATION if options.derivation.regrid else options.derivation, edited or {}),
        edited=edited or {},
    )


def _settings(series: Series, derivation: Derivation, edited: Mapping[str, Settings]) -> dict[str, Settings]:
    """Return the values that the caller sets, of each instance by name.

    Parameters
    ----------
    series, derivation
        The source by position, and what is set in it: values of all slices, lists of one value for each, or functions
        of their index.
    edited
        Entries of metadata dictionaries that were edited, of each instance by name; an attribute that is set as well is
        refused where the header is made.
    """
    from itk_roundtrip.derivation.caller import value_in_slice

    result = dict(edited)
    for index, instance in enumerate(series.instances if derivation.set else ()):
        values = {}
        for key, given in derivation.set.items():
            value = value_in_slice(key, _plain(given), index, len(series.instances))
            values[key] = _plain(_called(key, value, index) if callable(value) else value)
        result[instance.name] = {**values, **result.get(instance.name, {})}
    if result:
        _check_shared(series, result)
    return result


def _plain(value: Any) -> Any:
    """Return an array of numpy as a list, anything else as it is."""
    return value.tolist() if getattr(value, "ndim", 0) else value


def _called(key: str | int, function: Callable[[int], Any], index: int) -> Any:
    """Return the value that a function of the caller has for a slice; tell of its error without its message."""
    try:
        return function(index)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, and errors of this package, whose message the function may have made
        from itk_roundtrip.derivation.caller import tag_of

        raise FunctionError(
            f"The function that sets {tag_text(tag_of(key))} raised {type(error).__name__} for slice {index}; its"
            " message may hold patient data."
        ) from None


def _check_shared(series: Series, settings: Mapping[str, Settings]) -> None:
    """Refuse values that differ between slices, of attributes that a series has one of: it would be of two patients."""
    from itk_roundtrip.derivation.caller import tag_of
    from itk_roundtrip.series.shared import SHARED

    by_tag = [
        {tag_of(key): value for key, value in settings.get(instance.name, {}).items()} for instance in series.instances
    ]
    for shared in SHARED:
        for keyword in shared.keywords if shared.section else ():
            tag = tag_of(keyword)
            if any(tag in values and repr(values[tag]) != repr(by_tag[0].get(tag)) for values in by_tag) or any(
                tag in by_tag[0] and tag not in values for values in by_tag
            ):
                raise RoundtripError(
                    f"{keyword} {tag_text(tag)} cannot be set to other values in some slices ({shared.section}); set it"
                    " to one value in all of them.",
                    tag=tag_text(tag),
                )


def _ask_for_order(trip: _Trip) -> tuple[Series, tuple[str, ...], str]:
    """Return the series in the order of GDCMSeriesFileNames, the names of its files, and what ordered them."""
    from itk_roundtrip.carry import slabs

    answer = trip.workers.call(slabs.order, trip.staging.ordering, trip.series, trip.names, trip.options.backend)
    return _itk_order(answer, trip)


def _carry(trip: _Trip, ordered: Series, names: tuple[str, ...], order: str) -> _Carried:
    """Carry the slabs of a series in an order."""
    return _with_alike_kept(trip, _carry_once(trip, ordered, names, order, trip.carriages))


def _carry_once(
    trip: _Trip,
    ordered: Series,
    names: tuple[str, ...],
    order: str,
    carriages: Mapping[str, Carriage],
    processed: _Processed | None = None,
) -> _Carried:
    """Let the workers read, derive, write, complete and verify a series slab by slab."""
    from itk_roundtrip.carry import itk_alone, scheduling, slabs

    job = _derive(trip, ordered, processed)
    carrier: scheduling.Carrier = itk_alone if trip.options.headers == "itk" else slabs
    values = processed.values if processed else None
    parts = scheduling.cut_into_slabs(job, ordered, names, carriages, trip.options.jobs, values, trip.settings)
    _LOG.info(
        "%s in %s, carried by up to %s",
        counted(len(names), "slice"),
        counted(len(parts), "slab"),
        counted(trip.options.jobs, "process", "processes"),
    )
    result = scheduling.carry_slabs(carrier, job, parts, trip.workers, trip.options.progress)
    return _Carried(job, ordered, names, order, parts, result)


def _with_alike_kept(trip: _Trip, carried: _Carried) -> _Carried:
    """Carry a series again, with more kept from the source, until no transfer syntax is carried by ITK in part."""
    from itk_roundtrip.pixels import kinds

    carriages = trip.carriages
    while (alike := kinds.carried_alike(carried.series, carriages, carried.result.given_up)) != carriages:
        carriages = alike
        carried = _carry_once(trip, carried.series, carried.names, carried.order, carriages)
    return carried


# -------------------------------------------------------------------------------------------- processed pixels


@dataclass(frozen=True)
class _Processed:
    """Processed values of a series on their grids.

    Attributes
    ----------
    values
        Of each instance, by name.
    processing
        What was done, for the headers.
    changed
        Some stored value of the series is another than in the source.
    warnings
        For people.
    """

    values: Mapping[str, Values]
    processing: Processing
    changed: bool
    warnings: tuple[str, ...] = ()


def _worker_of_operation(options: Options) -> Workers | None:
    """Return the process that an operation runs in; ``None`` if there is none, or it is an object in this one."""
    if options.operation is None or options.operation.is_local:
        return None
    from itk_roundtrip.carry import operation

    return operation.worker(options.operation, options.backend)


def _process(trip: _Trip, operation: Operation, apart: Pool | None) -> Made:
    """Let an operation process the volumes of the series; return their values."""
    from itk_roundtrip.carry import processing
    from itk_roundtrip.processes import ThisProcess

    options, derivation = trip.options, trip.options.derivation
    _processing(options, trip.series)  # what cannot be said of it is told before the work
    made = processing.process(
        trip.series,
        operation,
        trip.staging.work,
        options.backend,
        ThisProcess() if apart is None else apart,
        trip.workers,
        options.progress,
        footprint_slices=derivation.footprint_slices,
        allow_irregular=derivation.allow_irregular,
        regrid=derivation.regrid,
    )
    if apart is not None and hasattr(apart, "close"):  # an archive keeps it for the next series
        apart.close()  # its memory is wanted for other things now
    return made


def _carry_processed(trip: _Trip, made: Made, ordered: Series, names: tuple[str, ...], order: str) -> _Carried:
    """Carry processed values in an order: on the grids that hold them, and with their extremes in the headers."""
    if made.regridded is not None:
        source, ordered, names = trip.series, made.regridded.series, made.regridded.names
        _check_decoded(trip)
        carried = _carry_values(_on_new_grid(trip, made.regridded), made, ordered, names, "position")
        return replace(carried, series=source)
    if trip.options.derivation.regrid:  # an image in the place of the source is written as without it
        trip = replace(trip, settings=_settings(trip.series, trip.options.derivation, trip.edited))
    return _carry_values(trip, made, ordered, names, order)


def _check_decoded(trip: _Trip) -> None:
    """Refuse compressed slices that ITK may have decoded wrongly: any of them may have contributed to a new grid."""
    from itk_roundtrip import syntaxes
    from itk_roundtrip.carry import scheduling

    if any(syntaxes.is_encapsulated(instance.transfer_syntax_uid) for instance in trip.series.instances):
        job = _job(trip, None)
        parts = scheduling.cut_into_slabs(job, trip.series, trip.names, trip.carriages, trip.options.jobs)
        scheduling.check_slabs(job, parts, trip.workers, trip.options.progress)


def _on_new_grid(trip: _Trip, target: Regridded) -> _Trip:
    """Return the arguments of all stages for slices of a new grid: what is said of each by the name of its nearest."""
    derivation = trip.options.derivation
    caller = _settings(target.series, derivation, {})
    return replace(
        trip,
        carriages={**trip.carriages, **{name: trip.carriages[near.name] for name, near in target.sources.items()}},
        sources={
            **trip.sources,
            **{name: trip.sources[near.name] for name, near in target.sources.items() if near.name in trip.sources},
        },
        settings={
            name: {**settings, **trip.edited.get(target.sources[name].name, {})}
            for name in target.sources
            for settings in [caller.get(name, {})]
        }
        if derivation.set or trip.edited
        else {},
    )


def _carry_values(trip: _Trip, made: Made, ordered: Series, names: tuple[str, ...], order: str) -> _Carried:
    """Carry the processed values of instances in an order."""
    processed = _with_grids(trip, made, ordered, names)
    carried = _carry_once(trip, ordered, names, order, trip.carriages, processed=processed)
    extremes = carried.result.wrong_extremes
    if extremes is not None:  # Smallest and Largest Pixel Value in Series are known when all slices are written
        smallest, largest = extremes
        processing = replace(processed.processing, smallest=smallest, largest=largest)
        processed = replace(processed, processing=processing)
        carried = _carry_once(trip, ordered, names, order, trip.carriages, processed=processed)
    return replace(carried, warnings=processed.warnings)


def _with_grids(trip: _Trip, made: Made, ordered: Series, names: tuple[str, ...]) -> _Processed:
    """Survey processed values, and choose the grids that they are written on."""
    from itk_roundtrip.carry import compression, scheduling
    from itk_roundtrip.pixels.grids import decide, is_coarse, is_labels

    values, options, derivation = made.values, trip.options, trip.options.derivation
    is_own_place = made.regridded is None
    job = _job(trip, None)
    parts = scheduling.cut_into_slabs(job, ordered, names, trip.carriages, options.jobs, values)
    surveys = scheduling.survey_slabs(job, parts, trip.workers, options.progress)
    found = list(surveys.values())
    grids = decide(
        [survey.grid for survey in found],
        [survey.survey for survey in found],
        modality=ordered.modality,
        sop_class_uid=ordered.instances[0].sop_class_uid,
        max_error=derivation.max_error,
        allow_clip=derivation.allow_clip,
        nan_to=derivation.nan_to,
    )
    for (name, _), grid in zip(surveys, grids, strict=True):  # they may have more bits than the source had
        compression.check_format(options.transfer_syntax, grid.pixel_format, name)
    of_planes = dict(zip(surveys, grids, strict=True))
    by_instance: dict[str, list[Grid]] = {}
    for name, frame in sorted(of_planes, key=lambda key: key[1] or 0):
        by_instance.setdefault(name, []).append(of_planes[name, frame])
    changed = not all(survey.survey.unchanged for survey in found) or any(grid.rule != "own" for grid in grids)
    warnings = []
    if is_coarse([survey.survey for survey in found], grids):
        warnings.append(
            "The values are rounded to a few numbers: a mask or labels belong into a DICOM Segmentation, such as with"
            " highdicom; values of a finer scale get a grid of their own with a smaller max_error."
        )
    elif changed and is_labels([survey.survey for survey in found], grids):
        warnings.append(
            "The values are a few whole numbers from 0: a mask or labels belong into a DICOM Segmentation, such as with"
            " highdicom."
        )
    if any(grid.real_world_value_mapping for grid in grids):
        warnings.append(
            "The scale of the values stands in Real World Value Mapping, as images of this kind have no Rescale Slope;"
            " programs that do not read it show stored values."
        )
    processing = _processing(options, ordered if is_own_place else trip.series, made)
    on_grids = {name: replace(values[name], grids=tuple(grids)) for name, grids in by_instance.items()}
    return _Processed(on_grids, processing, changed, tuple(warnings))


def _processing(options: Options, series: Series, made: Made | None = None) -> Processing:
    """Return what was done to the pixels of a series, for the headers; refuse texts and codes that cannot stand there.

    Parameters
    ----------
    options, series
        With an operation, and what it is done to.
    made
        The processed values, once there are any.
    """
    from itk_roundtrip.derivation.processing import Processing, check_processing, checked_code

    derivation = options.derivation
    grid = made.regridded.grid if made is not None and made.regridded is not None else None
    codes = [*derivation.codes, *([grid.code] if grid is not None and grid.code is not None else [])]
    processing = Processing(
        operation=derivation.comment,
        parameters=options.operation.stated_parameters if options.operation else "",
        codes=tuple(map(checked_code, codes)),
        footprint_slices=derivation.footprint_slices,
        units=derivation.units,
        rescale_type=derivation.rescale_type,
        irregular=derivation.allow_irregular and bool(series.irregularities),
        grid=grid.statement if grid is not None else "",
        grid_identity=grid.identity if grid is not None else "",
        volume_digest=made.digest if made is not None else "",
    )
    check_processing(processing, series.modality)
    return processing


def _derive(trip: _Trip, ordered: Series, processed: _Processed | None = None) -> Job:
    """Return the job of the slabs, with the plan of the derived series if the identity is ``derived``."""
    from itk_roundtrip.pixels import kinds

    options, plan = trip.options, None
    if options.identity == "derived":
        changing = _changing(trip)
        unchanged = kinds.are_unchanged(trip.series, trip.carriages)
        comment, processing = options.description or "", None
        if processed is not None:
            unchanged, comment, processing = unchanged and not processed.changed, "", processed.processing
        on_new_grid = processing is not None and bool(processing.grid)
        source = trip.series if on_new_grid else ordered
        plan = _plan(source, trip.series, comment, changing, trip.versions, unchanged, processing)
        if on_new_grid:
            plan = replace(plan, instance_numbers=tuple(range(1, len(ordered.instances) + 1)))
    return replace(_job(trip, plan), processed=processed is not None and processed.changed)


def _changing(trip: _Trip) -> dict[str, str]:
    """Return the options beside the operation that change the output: it has other UIDs then."""
    options, derivation = trip.options, trip.options.derivation
    changing: dict[str, str] = {"identity": options.identity, "headers": options.headers}
    if options.transfer_syntax:
        changing["transfer_syntax"] = options.transfer_syntax
    for name in ("max_error", "allow_clip", "nan_to", "allow_irregular"):
        if (value := getattr(derivation, name)) != getattr(NO_DERIVATION, name):
            changing[name] = str(value)
    if any(trip.settings.values()):
        listed = {
            name: sorted((str(key), repr(value)) for key, value in of.items()) for name, of in trip.settings.items()
        }
        changing["set"] = hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()
    return changing


def _job(trip: _Trip, plan: SeriesPlan | None) -> Job:
    """Return a job of slabs with a plan."""
    from itk_roundtrip.carry import slabs

    return slabs.Job(
        plan,
        trip.staging.work,
        trip.options.backend,
        trip.options.transfer_syntax,
        trip.front_end_versions[-1] if trip.front_end_versions else "",
        trip.sources,
    )


def _finish(
    trip: _Trip, carried: _Carried, folders: tuple[str, str], uids: tuple[frozenset[str], frozenset[str]]
) -> RoundtripResult:
    """Verify a carried series across its files, publish it, and return the result.

    Parameters
    ----------
    trip, carried
        The series, and what was carried of it.
    folders
        Source and destination, as the caller named them.
    uids
        Series and SOP Instance UIDs in the source folder.
    """
    from itk_roundtrip.carry import acceptance

    report = None
    if trip.options.headers == "complete":
        report = acceptance.judged(carried.result, carried.series, carried.job, folders, uids)
    warnings = [*trip.warnings, *carried.warnings, *acceptance.concerns(carried.result, carried.job.identity, report)]
    told = [finding.message for finding in report.findings if finding.severity == "warning"] if report else []
    refuse_warnings([*warnings, *told], strict=trip.options.strict)
    _LOG.info("ordered by %s; publishing %s", carried.order, counted(carried.result.slices, "file"))
    trip.staging.publish([name for slab in carried.parts for name in slab.output_names])
    return _result(folders, carried, trip, warnings, report)


@checked(volume=check_volume)
def write_series(volume: Volume, destination: str | os.PathLike[str], *, overwrite: bool = False) -> RoundtripResult:
    """Write a volume as a DICOM series: completed, verified, published as a whole; ITK runs in this process.

    A volume that went through :func:`derive` becomes a new series of derived instances; any other the same instances
    again. Processed values, given to :func:`derive` or changed in the volume, become stored values within a bound that
    is proven of the written files; changed entries of ``volume.metadata`` become attributes.

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
        ITK or the disk did not take the output, or the volume was changed where it cannot be, or without a word.
    UnsupportedSeriesError
        No grid holds the processed values.
    VerificationError
        What was written is not what it must be.

    References
    ----------
    DICOM PS3.3 C.7.6.1.1.2 Image Type, C.12.1 SOP Common Module, C.12.4 General Reference
    """
    from itk_roundtrip.carry import processing
    from itk_roundtrip.carry.operation import Operation
    from itk_roundtrip.processes import ThisProcess
    from itk_roundtrip.series.find import SeriesList
    from itk_roundtrip.verify import judge
    from itk_roundtrip.volume.edited import check_described, edited_metadata, processed_values

    before = check_described(volume)
    series, derivation = volume.series, volume.derivation
    values, edited = processed_values(volume, before), edited_metadata(volume, before)
    options = Options(
        series=None,
        identity="copy" if derivation is None else "derived",
        headers="complete",
        description=derivation.comment if derivation else None,
        jobs=1,
        progress=lambda stage, done, total: None,
        backend=volume.backend,
        derivation=derivation or NO_DERIVATION,
        operation=None if values is None else Operation(),
    )
    with Staging(series.directory, destination, overwrite=overwrite) as staging:
        trip = _trip(series, _irregular(series), options, staging, ThisProcess(), before.sources, edited)
        folders, uids = (posix(series.directory), posix(destination)), judge.uids_of(SeriesList([series]))
        if values is None:
            return _finish(trip, _carry(trip, series, trip.names, "position"), folders, uids)
        _processing(options, series)  # what cannot be said of it is told before the work
        made = processing.of_array(volume, *values, staging.work, options.derivation)
        return _finish(trip, _carry_processed(trip, made, series, trip.names, "position"), folders, uids)


def _result(
    folders: tuple[str, str],
    carried: _Carried,
    trip: _Trip,
    warnings: Sequence[str],
    report: Report | None,
) -> RoundtripResult:
    """Return the result of a round trip, its counts by tag."""
    from itk_roundtrip.carry.scheduling import pixel_types
    from itk_roundtrip.derivation.caller import name_of

    job, series, result, set_in_all = carried.job, carried.series, carried.result, trip.options.derivation.set
    return RoundtripResult(
        verdict="pass" if report else "unverified",
        source=folders[0],
        written=folders[1],
        slices=result.slices,
        identity=job.identity,
        headers="complete" if report else "itk",
        source_series_instance_uid=series.series_instance_uid,
        series_instance_uid=job.plan.series_instance_uid if job.plan else series.series_instance_uid,
        pixel_type=pixel_types(carried.parts, result),
        path=", ".join(path for path in ("itk", "itk-inverted", "source") if result.paths[path]),
        paths=dict(result.paths),
        path_reasons=tuple(sorted(result.reasons)),
        backend=job.backend,
        transfer_syntax=job.transfer_syntax,
        order=carried.order,
        # Of what was read again from the disk, as `verify` counts it, where anything was.
        kept=report.outcomes().get("kept", 0) if report else result.kept,
        replaced=_by_outcome(report, "set by rule") if report else _by_tag(result.replaced),
        removed=_by_outcome(report, "removed by rule") if report else _by_tag(result.removed),
        lost=_by_tag(result.lost),
        altered=_by_tag(result.altered),
        invented=_by_tag(result.invented),
        decoders=report.decoders if report else (),
        software_versions=trip.versions,
        warnings=tuple(warnings),
        quantisation=_quantisation(result.figures.values()) if result.figures else None,
        slice_quantisation={name: _quantisation([figures]) for name, figures in sorted(result.figures.items())},
        set=tuple(sorted({name_of(key) for given in (set_in_all, *trip.edited.values()) for key in given})),
        report=report,
    )


def _quantisation(figures: Iterable[tuple[Figures, float]]) -> Quantisation:
    """Return what became of the values of some slices, of the figures and the bound of each."""
    from itk_roundtrip.pixels.quantise import total

    of_slices = list(figures)
    whole = total(figures for figures, _ in of_slices)
    return Quantisation(
        max_error=whole.error,
        bound=max(bound for _, bound in of_slices),
        clipped=whole.clipped,
        padded=whole.padded,
        filled=whole.filled,
        moved=whole.moved,
        changed=whole.changed,
    )


def _irregular(series: Series) -> list[str]:
    """Return a warning for each irregularity of a series that a reader of the output should know of."""
    warnings = []
    for irregularity in series.irregularities:
        if irregularity.kind in ("copy", "multi-frame", "unknown-spacing"):  # chosen, or nothing to be careful about
            continue
        message = irregularity.message
        if irregularity.files and irregularity.files[0] not in message:
            message += f", first {irregularity.files[0]}"
        if irregularity.kind not in ("lossy-stream", "lossy-range"):
            message += "; each slice is carried as it stands"
        warnings.append(f"{message}.")
    return warnings


def _names(series: Series) -> tuple[str, ...]:
    """Return a file name for each instance of a series, no two alike."""
    from itk_roundtrip.itk_io import view

    return tuple(view.names([(instance.path.name, instance.name) for instance in series.instances]))


def _itk_order(answer: Outcome | None, trip: _Trip) -> tuple[Series, tuple[str, ...], str]:
    """Return the series in the order of GDCMSeriesFileNames, the names of its files, and what ordered them.

    Where GDCMSeriesFileNames crashed, refused the folder or did not find exactly this series, the order by position
    stays.
    """
    series, names = trip.series, trip.names
    inputs, outputs = answer.value if answer is not None and not answer.crashed else ([], [])
    if sorted(inputs) != sorted(names) or len(outputs) != len(inputs):
        return series, names, "position"
    by_name = dict(zip(names, series.instances, strict=True))
    instances = tuple(by_name[name] for name in inputs)
    # GDCMSeriesFileNames adds an extension to some names that have none.
    kept = tuple(name if output == f"{name}.dcm" else output for name, output in zip(inputs, outputs, strict=True))
    return replace(series, instances=instances), kept, "GDCMSeriesFileNames"


def _named_versions(of_itk: tuple[str, ...]) -> tuple[str, ...]:
    """Return name and version of all software that takes part, for Software Versions (0018,1020)."""
    import pydicom

    return (f"itk-roundtrip {__version__}", *of_itk, f"pydicom {pydicom.__version__}")


def _plan(
    ordered: Series,
    by_position: Series,
    comment: str,
    options: Mapping[str, str],
    versions: tuple[str, ...],
    unchanged: bool,
    processing: Processing | None,
) -> SeriesPlan:
    """Return the plan of the derived series; the pass of each slice is that of the series by position."""
    from itk_roundtrip.derivation.plan import SourceSlice, plan_series

    passes = dict(zip((instance.name for instance in by_position.instances), by_position.pass_indices, strict=True))
    slices = [
        SourceSlice(
            name=instance.name,
            sop_class_uid=instance.sop_class_uid,
            sop_instance_uid=instance.sop_instance_uid,
            study_instance_uid=instance.study_instance_uid,
            series_instance_uid=instance.series_instance_uid,
            modality=instance.modality,
            series_number=instance.series_number,
            instance_number=instance.instance_number,
            timezone_offset=instance.timezone_offset,
            pass_index=passes[instance.name],
        )
        for instance in ordered.instances
    ]
    return plan_series(
        slices,
        comment=comment,
        options=options,
        version=__version__,
        software_versions=versions,
        unchanged=unchanged,
        processing=processing,
    )


def _by_outcome(report: Report, outcome: str) -> dict[str, int]:
    """Return the number of elements with an outcome, by the text of their tags."""
    counts: Counter[str] = Counter()
    for change in report.changes:
        if change.outcome == outcome:
            counts[change.tag] += change.slices
    return dict(sorted(counts.items()))


def _by_tag(counts: Mapping[int, int]) -> dict[str, int]:
    """Return counts by the text of their tags, in order."""
    return {tag_text(tag): counts[tag] for tag in sorted(counts)}
