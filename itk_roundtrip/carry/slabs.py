"""A slab, some slices of a series: read with ITK, derived, written with ITK, completed, verified.

A slab needs nothing of the other slabs, so that memory does not grow with the series and several processes can share
the work. :func:`process` is what a worker process runs; whatever ITK does to it, the parent survives.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from pydicom.filereader import read_file_meta_info

from itk_roundtrip import tags
from itk_roundtrip.arguments import Backend, Identity
from itk_roundtrip.carry import compression
from itk_roundtrip.carry.instances import (
    DecodedFile,
    Written,
    check_decoded,
    check_decodes,
    complete_instance,
    digest_of_source,
    instance_edits,
    written_words,
)
from itk_roundtrip.carry.processed import (
    PlaneSurvey,
    Values,
    described,
    has_rescale_by_frame,
    plane_to_write,
    source_words,
    survey_plane,
    words_of_new_slice,
)
from itk_roundtrip.derivation.caller import Settings, caller_edits, tag_of
from itk_roundtrip.derivation.plan import SeriesPlan, dictionary_edits
from itk_roundtrip.dicom.edits import Edits
from itk_roundtrip.dicom.frames import Frames
from itk_roundtrip.dicom.headers import Header, compare_with_itk, nested_pixels, read_header
from itk_roundtrip.dicom.parsing import Bytes
from itk_roundtrip.errors import SeriesReadError, SeriesWriteError, VerificationError
from itk_roundtrip.itk_io import view
from itk_roundtrip.itk_io.calls import translated
from itk_roundtrip.itk_io.front_ends import NAMES, NOT_NEEDED, front_end
from itk_roundtrip.itk_io.view import Hiding, Plane
from itk_roundtrip.pixels import kinds
from itk_roundtrip.pixels.formats import Array, Digest, Digested, PixelType, bytes_per_pixel, shape_of_frames
from itk_roundtrip.pixels.kinds import Carriage
from itk_roundtrip.pixels.quantise import NO_FIGURES, Figures, quantise
from itk_roundtrip.pixels.quantise import total as total_of
from itk_roundtrip.processes import without
from itk_roundtrip.rules import decoder_difference
from itk_roundtrip.series.find import Instance, Series
from itk_roundtrip.series.geometry import AXIAL
from itk_roundtrip.verify import audit
from itk_roundtrip.verify.audit import Request, compare_files
from itk_roundtrip.verify.series_pair import PairReport
from itk_roundtrip.verify.stored import ONLY_GDCM
from itk_roundtrip.verify.tally import Tally
from itk_roundtrip.volume import read as reader
from itk_roundtrip.volume import write as writer
from itk_roundtrip.volume.volume import Volume

CHUNK_BYTES = 8 << 20
"""Bytes of the planes that ITK holds at once: enough to keep it busy, few enough for any memory."""


def prepare(backend: Backend = "itk") -> None:
    """Import a front end, which takes half a second; called once in each worker."""
    audit.trust_values()
    with without(*NOT_NEEDED):
        front_end(backend).load()


@dataclass(frozen=True)
class Job:
    """What all slabs of a round trip share: the plan of the derived series, the options, the staging folder.

    Attributes
    ----------
    plan
        Of the derived series; ``None`` writes the same instances again.
    staging
        Folder for everything that is written; the output is made in its subfolder ``output``.
    backend
        Front end that reads and writes.
    transfer_syntax
        Key of :data:`itk_roundtrip.carry.compression.UIDS`; empty for that of the source, uncompressed.
    decoder
        What ITK decodes compressed pixels with.
    sources
        Digest of the data set of each source file by name, where a volume was read from them before.
    processed
        Some stored value of the series is another than in the source.
    """

    plan: SeriesPlan | None
    staging: Path
    backend: Backend = "itk"
    transfer_syntax: str = ""
    decoder: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)
    processed: bool = False

    @property
    def identity(self) -> Identity:
        """``copy`` or ``derived``."""
        return "copy" if self.plan is None else "derived"

    @property
    def output(self) -> Path:
        """Folder of the files to be published."""
        return self.staging / "output"


@dataclass(frozen=True)
class Slab:
    """Some instances of a series, in slice order, alike in size and kind.

    Attributes
    ----------
    series
        With only these instances.
    first
        Index of the first instance in the whole series.
    output_names
        File names of the written instances.
    carried
        How the pixels of each instance are carried.
    pixel_type
        Of the image that ITK reads.
    hiding
        How much of the headers ITK is not shown.
    values
        Processed values of each instance; empty if pixels stay those of the source.
    settings
        Values of attributes of each instance by keyword or tag, as the caller sets them; empty if none are set.
    """

    series: Series
    first: int
    output_names: tuple[str, ...]
    carried: tuple[Carriage, ...]
    pixel_type: PixelType
    hiding: Hiding = Hiding.NOTHING
    values: tuple[Values, ...] = ()
    settings: tuple[Settings, ...] = ()

    def __len__(self) -> int:
        return len(self.output_names)

    def single(self, index: int) -> Slab:
        """Return a slab of the instance at this index only."""
        return replace(
            self,
            series=replace(self.series, instances=self.series.instances[index : index + 1]),
            first=self.first + index,
            output_names=self.output_names[index : index + 1],
            carried=self.carried[index : index + 1],
            values=self.values[index : index + 1],
            settings=self.settings[index : index + 1],
        )

    def kept(self, reason: str) -> Slab:
        """Return the same slab, its pixels to be kept from the source."""
        return replace(self, carried=tuple(carriage.kept(reason) for carriage in self.carried))

    @property
    def is_kept(self) -> bool:
        """Whether ITK is not to carry the pixels."""
        return self.carried[0].path == "source"

    @property
    def planes(self) -> list[Plane]:
        """The slices of the image that ITK reads: instances, or their frames."""
        instances = self.series.instances
        return view.planes(
            instances, {instance.name: carriage for instance, carriage in zip(instances, self.carried, strict=True)}
        )


@dataclass
class SlabResult:
    """The outcome of a slab, or of several.

    Attributes
    ----------
    reports, tally
        Of the comparison of each written file with its source, and what was found on all of them; empty with
        ``headers="itk"``.
    paths, reasons
        How many instances each path carried, and why some were kept from the source.
    kept, replaced, removed
        With ``headers="itk"``: elements of the sources' top level that no edit touches, pixel data aside; and by tag,
        how many an edit replaced or added, or removed. Of verified files the reports tell.
    lost, altered, invented
        By tag, how many elements ITK lost, altered or invented.
    hiding
        How much had to be hidden from ITK.
    figures
        Of processed values, and their bound, by the name of the written file.
    """

    slices: int = 0
    reports: list[PairReport] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    paths: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    replaced: Counter[int] = field(default_factory=Counter)
    removed: Counter[int] = field(default_factory=Counter)
    lost: Counter[int] = field(default_factory=Counter)
    altered: Counter[int] = field(default_factory=Counter)
    invented: Counter[int] = field(default_factory=Counter)
    hiding: Hiding = Hiding.NOTHING
    figures: dict[str, tuple[Figures, float]] = field(default_factory=dict)
    given_up: dict[str, str] = field(default_factory=dict)
    """Transfer syntaxes of compressed sources that ITK turned out not to carry, and why."""
    """A source bears a digital signature that a re-encoded copy may not satisfy."""

    @property
    def wrong_extremes(self) -> tuple[int, int] | None:
        """Smallest and largest stored value of a processed series, where its headers say something else."""
        extremes = [report.extremes for report in self.reports if report.extremes is not None]
        if not extremes:
            return None
        smallest = int(min(of_slice.smallest for of_slice in extremes))
        largest = int(max(of_slice.largest for of_slice in extremes))
        is_right = all(
            of_slice.stated_smallest in (None, smallest) and of_slice.stated_largest in (None, largest)
            for of_slice in extremes
        )
        return None if is_right else (smallest, largest)

    def take(self, report: PairReport, carriage: Carriage) -> None:
        """Count an instance that was written and compared."""
        self.slices += 1
        self.reports.append(self.tally.take(report))
        self.paths[carriage.path] += 1

    def add(self, other: SlabResult) -> None:
        """Add the counts of another slab."""
        self.slices += other.slices
        self.reports += other.reports
        self.tally.merge(other.tally)
        self.kept += other.kept
        for name in ("paths", "reasons", "replaced", "removed", "lost", "altered", "invented"):
            getattr(self, name).update(getattr(other, name))
        self.hiding = max(self.hiding, other.hiding)
        self.figures.update(other.figures)
        self.given_up.update(other.given_up)


def process(job: Job, slab: Slab) -> SlabResult:
    """Carry a slab from its sources to completed, verified files in the staging folder.

    What ITK cannot take is hidden from it step by step. Where it still fails, each instance is tried alone, and its
    pixels are kept from the source if ITK cannot carry them at all, and something else decodes them.
    """
    error: SeriesReadError | SeriesWriteError
    if slab.is_kept:
        return _keep(job, slab)
    steps = [hiding for hiding in Hiding if hiding >= slab.hiding]
    if slab.carried[0].framed:
        steps = [Hiding.ALL_BUT_PIXELS]
    for hiding in steps:
        try:
            return _carry(job, _with_hiding(slab, hiding))
        except ITKRefusal as refusal:
            error = refusal.error
    if len(slab) == 1:
        if compression.is_compressed(job.transfer_syntax) or slab.values:
            raise error
        return _keep(job, slab.kept(_reason(error)))
    total = SlabResult()
    for index in range(len(slab)):
        total.add(process(job, slab.single(index)))
    return total


def after_crash(job: Job, slab: Slab) -> list[Slab]:
    """Return the slabs to try after a crash of ITK: with less shown, then slice by slice, then with pixels kept.

    None if nothing is left to try.
    """
    attempts = smaller_slabs(slab, slab.hiding if slab.carried[0].framed else Hiding.ALL_BUT_PIXELS)
    if not attempts and not slab.is_kept and not job.transfer_syntax and not slab.values:
        attempts = [slab.kept("ITK crashed on it")]
    return attempts


def smaller_slabs(slab: Slab, most: Hiding) -> list[Slab]:
    """Return the slab with more hidden from ITK, but ``most``; then its instances one by one; then nothing."""
    if slab.hiding < most:
        return [replace(slab, hiding=Hiding(slab.hiding + 1))]
    return [slab.single(index) for index in range(len(slab))] if len(slab) > 1 else []


class ITKRefusal(Exception):
    """ITK refused to read or write; with less of the headers shown to it, it may not."""

    def __init__(self, error: SeriesReadError | SeriesWriteError) -> None:
        super().__init__()
        self.error = error


def _reason(error: Exception) -> str:
    """Return why ITK cannot carry pixels, from the message of an error, without the name of its file."""
    text = str(error)
    start = text.rfind("(")
    return f"ITK cannot carry it: {text[start + 1 :].rstrip(').')}" if start >= 0 else "ITK cannot carry it"


def _with_hiding(slab: Slab, hiding: Hiding) -> Slab:
    """Return the slab with as much hidden; if all but pixels, they are read as stored values, without rescale."""
    if hiding is not Hiding.ALL_BUT_PIXELS:
        return replace(slab, hiding=hiding)
    carried = tuple(kinds.without_rescale(carriage) for carriage in slab.carried)
    return replace(slab, hiding=hiding, carried=carried, pixel_type=carried[0].seen.stored_pixel_type)


def survey_slab(job: Job, slab: Slab) -> list[PlaneSurvey]:
    """Survey the processed values of each plane of a slab, in their order.

    Raises
    ------
    UnsupportedSeriesError
        The pixels of the source are no real-world values.
    RoundtripError
        The values are of another type or shape.
    SeriesReadError
        ITK cannot decode the source.
    """
    instances = slab.series.instances
    headers: dict[str, Header] = {}
    values = dict(zip((instance.name for instance in instances), slab.values, strict=True))
    surveys, decoded = [], DecodedFile()
    for planes in _chunks(slab):
        headers = _headers(job, planes, headers)
        by_itk: Sequence[Array | None] = [None] * len(planes)
        if any(headers[plane.instance.name].encapsulated for plane in planes):
            try:
                by_itk = writer.stored_slices(read_with_itk(job, slab, planes, headers))
            except ITKRefusal as refusal:
                raise refusal.error from None
        for plane, read in zip(planes, by_itk, strict=True):
            source = headers[plane.instance.name]
            if read is not None and source.encapsulated:
                check_decoded(plane, plane.carriage.stored(read), decoded)
            of_instance = values[plane.instance.name]
            words = None if of_instance.new_slice is not None else source_words(source, plane, read)
            surveys.append(survey_plane(source, plane, words, of_instance.of_plane(plane.frame)))
    return surveys


def check_slab(job: Job, slab: Slab) -> None:
    """Check that ITK decodes compressed slices to what another decoder reads.

    Raises
    ------
    UnsupportedSeriesError
        It does not, or nothing else decodes them.
    SeriesReadError
        ITK cannot decode them.
    """
    headers: dict[str, Header] = {}
    decoded = DecodedFile()
    for planes in _chunks(slab):
        headers = _headers(job, planes, headers)
        try:
            by_itk = writer.stored_slices(read_with_itk(job, slab, planes, headers))
        except ITKRefusal as refusal:
            raise refusal.error from None
        for plane, read in zip(planes, by_itk, strict=True):
            if headers[plane.instance.name].encapsulated:
                check_decoded(plane, plane.carriage.stored(read), decoded)


def _carry(job: Job, slab: Slab) -> SlabResult:
    """Read and write a slab with ITK, complete each instance, and compare it with its source."""
    headers: dict[str, Header] = {}
    result = SlabResult(hiding=Hiding.NOTHING if slab.carried[0].framed else slab.hiding)
    folder = job.staging / f"itk-{slab.first}"
    folder.mkdir(exist_ok=True)
    indices = {instance.name: index for index, instance in enumerate(slab.series.instances)}
    written: list[Written] = []  # of one instance at a time
    digest = Digest(())
    frames: dict[str, Frames] = {}
    try:
        for planes in _chunks(slab):
            headers = _headers(job, planes, headers)
            # Pixels that are not compressed are taken from the source's words, where they are replaced anyway.
            pixels = not slab.values or any(source.encapsulated for source in headers.values())
            volume = read_with_itk(job, slab, planes, headers, frames=frames, pixels=pixels)
            figures = [NO_FIGURES] * len(planes)
            if slab.values:
                volume, stored, figures = _quantised(slab, volume, headers)
            else:
                stored = writer.stored_slices(volume)
            edits: dict[str, Edits] = {}
            digested: dict[str, Digested] = {}
            for plane, words, of_plane in zip(planes, stored, figures, strict=True):
                if plane.frame is None:  # those of a frame are known when all of them are
                    name = plane.instance.name
                    digested[name] = Digested(words, Digest(shape_of_frames(1, words)).add(words).text())
                    whole, index = [Written(words, of_plane)], indices[name]
                    edits[name] = edits_of(job, slab, index, headers[name], whole, digested[name].digest)
            files = [folder / _itk_name(slab, indices[plane.instance.name], plane) for plane in planes]
            write_with_itk(slab, volume, stored, [edits.get(plane.instance.name, {}) for plane in planes], files)
            for plane, shown, file, words, of_plane in zip(planes, volume.planes, files, stored, figures, strict=True):
                instance, source = plane.instance, headers[plane.instance.name]
                by_itk = header_by_itk(slab, file, stored[0].nbytes, like=source)
                file.unlink()  # its pages need not reach the disk
                words_by_itk = written_words(by_itk, shown)
                if slab.values:
                    if words_by_itk is None or not np.array_equal(words_by_itk, words):
                        reason = SeriesWriteError("ITK wrote other values than it was given.")
                        raise ITKRefusal(_write_error(reason, slab))
                    words_by_itk = words  # in the type of the words, where ITK has no such pixel type
                index = indices[instance.name]
                if plane.frame is None:
                    count_losses(result, source, by_itk, edits[instance.name])
                elif words_by_itk is not None:
                    if plane.frame == 0:
                        digest = Digest(shape_of_frames(instance.frames, words_by_itk))
                    digest.add(words_by_itk)
                if not slab.values and not source.encapsulated and words_by_itk is not None:
                    value = source.view(tags.PIXEL_DATA)
                    if plane.frame is not None:
                        value = view.frames_of(instance, source, frames)[plane.frame]
                    written.append(Written(words_by_itk).unless_of(value, plane.carriage))
                else:
                    written.append(Written(words_by_itk, of_plane))
                if plane.frame in (None, instance.frames - 1):
                    if plane.frame is not None:
                        edits[instance.name] = edits_of(job, slab, index, source, written, digest.text())
                    single = slab.single(index)
                    _finish(result, job, single, source, edits[instance.name], written, digested.get(instance.name))
                    written.clear()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _quantised(slab: Slab, volume: Volume, headers: Mapping[str, Header]) -> tuple[Volume, list[Array], list[Figures]]:
    """Return the volume as ITK is to write it, and for each plane the words of its processed values, and figures."""
    by_itk: Sequence[Array | None] = [None] * len(volume.planes)
    if any(source.encapsulated for source in headers.values()):
        by_itk = writer.stored_slices(volume)
    values = dict(zip((instance.name for instance in slab.series.instances), slab.values, strict=True))
    planes, words, figures = [], [], []
    for plane, read in zip(volume.planes, by_itk, strict=True):
        of_instance = values[plane.instance.name]
        grid = of_instance.grids[plane.frame or 0]
        real, new_slice = of_instance.of_plane(plane.frame), of_instance.new_slice
        if new_slice is None:
            before = source_words(headers[plane.instance.name], plane, read)
        else:
            before = words_of_new_slice(real, grid.source)
        after, of_plane = quantise(real, before, grid)
        if new_slice is not None:  # none of its values has a counterpart in the source
            of_plane = replace(of_plane, changed=after.size - of_plane.padded)
        planes.append(plane_to_write(plane, grid, new_slice))
        words.append(after)
        figures.append(of_plane)
    first = values[volume.planes[0].instance.name].new_slice
    if first is not None:
        place = volume.planes[0].instance.place(None)
        orientation = first.orientation or place.orientation or AXIAL
        volume = writer.placed(volume, first.position, orientation, first.spacing)
    return replace(volume, planes=tuple(planes)), words, figures


def _itk_name(slab: Slab, index: int, plane: Plane) -> str:
    """Return the name of the file that ITK writes of a plane."""
    name = slab.output_names[index]
    return name if plane.frame is None else f"{plane.frame}_{index}.dcm"


def _chunks(slab: Slab) -> Iterator[list[Plane]]:
    """Yield the planes that ITK reads and writes together."""
    planes, first = slab.planes, slab.series.instances[0]
    size = (first.rows or 1) * (first.columns or 1) * bytes_per_pixel(slab.pixel_type)
    length = max(1, CHUNK_BYTES // size)
    if slab.values and slab.values[0].new_slice is not None:
        length = 1  # of slices that lie nowhere in a row, or twice, ITK's reader warns
    for start in range(0, len(planes), length):
        yield planes[start : start + length]


def _headers(job: Job, planes: Sequence[Plane], before: Mapping[str, Header]) -> dict[str, Header]:
    """Return the headers of the sources of planes, by name; one that was read ``before`` is not read again."""
    instances = {plane.instance.name: plane.instance for plane in planes}
    return {name: before.get(name) or source_header(job, instance) for name, instance in instances.items()}


def source_header(job: Job, instance: Instance) -> Header:
    """Return the header of a source file.

    Raises
    ------
    VerificationError
        It is another one than that of which a volume was read.
    """
    header = read_header(instance.path, instance.name)
    if instance.name in job.sources and job.sources[instance.name] != header.digest:
        raise VerificationError(
            f"{instance.name} is not what was read: the file was changed since; read the series again.",
            path=instance.name,
        )
    return header


def read_with_itk(
    job: Job,
    slab: Slab,
    planes: Sequence[Plane],
    headers: Mapping[str, Header],
    *,
    undo_inversion: bool = True,
    frames: dict[str, Frames] | None = None,
    pixels: bool = True,
) -> Volume:
    """Read planes with ITK, from the sources or from copies with part of the headers hidden; or not their pixels.

    Raises
    ------
    ITKRefusal
        ITK cannot read them.
    """
    hidden = job.staging / f"hidden-{slab.first}"
    try:
        try:
            files = view.files_to_read(planes, headers, slab.hiding, hidden, frames=frames)
        except OSError as error:
            raise writer.disk_error(error) from None
        try:
            return reader.read_planes(
                planes,
                files,
                slab.pixel_type,
                slab.series,
                job.backend,
                undo_inversion=undo_inversion,
                pixels=pixels,
            )
        except SeriesReadError as error:
            raise ITKRefusal(error) from None
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def write_with_itk(
    slab: Slab, volume: Volume, stored: Sequence[Array] | None, edits: Sequence[Edits], files: Sequence[Path]
) -> None:
    """Write planes with ITK: their stored values, or, for ``None``, their real values, which GDCM converts.

    Raises
    ------
    ITKRefusal
        ITK cannot write them.
    """
    try:
        writer.write_slices(volume, files, list(map(dictionary_edits, edits)), stored)
    except SeriesWriteError as error:
        writer.check_disk(files[0].parent, volume.array_zyx.nbytes)
        raise ITKRefusal(_write_error(error, slab)) from None


def header_by_itk(slab: Slab, file: Path, size: int, like: Header | None = None) -> Header:
    """Return the header of a file that ITK wrote, whose source has the header ``like`` and ``size`` bytes of pixels."""
    try:
        return read_header(file, like=like)
    except SeriesReadError as error:
        writer.check_disk(file.parent, size)
        raise ITKRefusal(_write_error(error, slab)) from None


def _write_error(error: Exception, slab: Slab) -> SeriesWriteError:
    """Return the error for a slab that ITK did not write."""
    name = slab.series.instances[0].name
    if isinstance(error, SeriesWriteError):
        return SeriesWriteError(f"{name}: {error}", path=name)
    return SeriesWriteError(f"ITK wrote an incomplete file for {name}.", path=name)


def edits_of(job: Job, slab: Slab, index: int, source: Header, written: Sequence[Written], digest: str) -> Edits:
    """Return the edits of the instance at an index of a slab, with its planes and the digest of their values."""
    instance = slab.series.instances[index]
    processed = None
    if slab.values and job.processed:
        figures = total_of(plane.figures for plane in written)
        whole = [plane.words for plane in written if plane.words is not None]
        processed = described(slab.values[index], figures, whole, by_frame=has_rescale_by_frame(instance))
    edits = instance_edits(
        job.plan,
        source,
        instance,
        slab.carried[index],
        slab.first + index,
        digest,
        decoder=job.decoder,
        transfer_syntax=job.transfer_syntax,
        processed=processed,
        new_slice=slab.values[index].new_slice if slab.values else None,
        lossy=slab.values[index].lossy if slab.values else None,
    )
    return edits | caller_edits(source.values, slab.settings[index]) if slab.settings else edits


def _finish(
    total: SlabResult,
    job: Job,
    slab: Slab,
    source: Header,
    edits: Edits,
    written: Sequence[Written],
    digested: Digested | None,
) -> None:
    """Write the completed instance of a slab that has no other, compare it with its source, and add it to a result.

    Where ITK's pixels turn out not to be those of the source, the source's own are kept.
    """
    instance, carriage = slab.series.instances[0], slab.carried[0]
    values = slab.values[0] if slab.values else None
    reason, report = "", None
    if values is None and not job.transfer_syntax and nested_pixels(source):
        reason = "compressed pixels inside a sequence cannot stand in an uncompressed file"
    else:
        content = complete_instance(source, edits, written, instance, carriage, job.transfer_syntax, values)
        if content is None:
            reason = "ITK carries other values than the file holds"
        else:
            _put(job, slab, content)
            report = compare_files(_request(job, slab), total.tally.changes, source.dataset(), digested)
            if values is None and source.encapsulated:
                reason = _why_not_believed(instance, report)
    if reason:
        total.add(_keep(job, slab.kept(reason)))
        return
    assert report is not None
    total.take(report, carriage)
    if values is not None:
        total.figures[slab.output_names[0]] = total_of(plane.figures for plane in written), values.bound


def _why_not_believed(instance: Instance, report: PairReport) -> str:
    """Return why the pixels that ITK decoded are not believed; empty if another decoder reads the same values."""
    if ONLY_GDCM in report.decoders:
        return "GDCM alone decodes it, so that nothing proves its values"
    messages = [
        finding.message for finding in report.findings if (finding.check, finding.severity) == ("PIX-02", "error")
    ]
    if any(message.startswith("cannot be compared") for message in messages):
        return "no other decoder reads it, so that nothing proves what ITK reads"
    differs = bool(messages) or report.undecided
    if instance.is_lossy and not report.undecided:
        differs = report.pair.largest > decoder_difference(instance.photometric_interpretation)
    return "another decoder reads other values than ITK does" if differs else ""


def _keep(job: Job, slab: Slab) -> SlabResult:
    """Write instances with the Pixel Data of the source, once it was decoded somehow, and compare them with it."""
    total = SlabResult()
    for index, (instance, carriage) in enumerate(zip(slab.series.instances, slab.carried, strict=True)):
        single, source = slab.single(index), source_header(job, instance)
        check_decodes(
            instance, source, job.staging / f"hidden-{slab.first}", None if carriage.itk_failed else job.backend
        )
        edits = edits_of(job, slab, index, source, [], digest_of_source(source))
        content = complete_instance(source, edits, None, instance, carriage, job.transfer_syntax)
        assert content is not None
        _put(job, single, content)
        total.take(compare_files(_request(job, single), total.tally.changes, source.dataset()), carriage)
        total.reasons[carriage.reason] += 1
        if source.encapsulated and kinds.carriage(instance, job.identity).path != "source":
            total.given_up[instance.transfer_syntax_uid] = carriage.reason
    return total


def _put(job: Job, slab: Slab, content: Sequence[Bytes]) -> None:
    """Write the file of the first instance of a slab into the output folder."""
    try:
        job.output.mkdir(exist_ok=True)
        with (job.output / slab.output_names[0]).open("wb") as file:
            file.writelines(content)
    except OSError as error:
        raise writer.disk_error(error) from None


def count_losses(result: SlabResult, source: Header, by_itk: Header, changes: Edits) -> None:
    """Count the elements of a source that ITK lost, altered or invented, beside those that are edited."""
    losses = compare_with_itk(source, by_itk, frozenset(changes))
    result.lost.update(losses.lost)
    result.altered.update(losses.altered)
    result.invented.update(losses.invented)


def _request(job: Job, slab: Slab) -> Request:
    """Return the request to compare the first instance of a slab with its written file."""
    instance, name = slab.series.instances[0], slab.output_names[0]
    new_slice = slab.values[0].new_slice if slab.values else None
    return Request(
        instance.path,
        job.output / name,
        instance.name if new_slice is None else new_slice.nearest,
        name,
        job.identity,
        describe=True,
        reference=slab.values[0].places if slab.values and job.processed else (),
        allowed=frozenset(tag_of(key) for key in slab.settings[0]) if slab.settings else frozenset(),
        is_elsewhere=new_slice is not None,
    )


def order(folder: Path, series: Series, names: tuple[str, ...], backend: Backend) -> tuple[list[str], list[str]]:
    """Return the names of a series' files in ITK's order, and the names that ITK gives their output.

    Both are empty where GDCMSeriesFileNames does not find exactly this series. It is shown stand-ins in ``folder``.
    """
    try:
        for instance, name in zip(series.instances, names, strict=True):
            (folder / name).write_bytes(view.ordering_file(instance))
    except OSError as error:
        raise writer.disk_error(error) from None
    try:
        with translated(SeriesReadError, "GDCMSeriesFileNames refuses the folder"):
            front = front_end(backend)
            inputs, outputs = front.series_file_names(str(folder), series.series_instance_uid, str(folder))
    except SeriesReadError:
        return [], []
    return [Path(name).name for name in inputs], [Path(name).name for name in outputs]


def versions(folder: Path, backend: Backend) -> tuple[str, ...]:
    """Return the versions of a front end and of the GDCM in it, which names itself only in the files that it writes."""
    file, front = folder / "version.dcm", front_end(backend)
    gdcm = ""
    try:
        front.write_nothing(str(file))
        gdcm = str(read_file_meta_info(file).get("ImplementationVersionName", ""))
    except Exception:  # a version is not worth a failure, a full disk is
        writer.check_disk(folder, 1)
    finally:
        file.unlink(missing_ok=True)
    return (f"{NAMES[backend]} {front.version()}", *([gdcm] if gdcm else []))
