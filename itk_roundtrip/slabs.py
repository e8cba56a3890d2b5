"""The slices that are in flight together: read with ITK, derived, written with ITK, completed, verified.

A slab needs nothing of the other slabs, so that memory does not grow with the series and several processes can share
the work. :func:`process` is what a worker process runs; whatever ITK does to it, the parent survives.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from pydicom.filereader import read_file_meta_info

from itk_roundtrip import _itk, audit, reader, view, writer
from itk_roundtrip.audit import PairReport, Request, Tally, compare_into
from itk_roundtrip.derivation import Edits, Removed, SeriesPlan, dictionary_edits, edits
from itk_roundtrip.errors import SeriesReadError, SeriesWriteError, VerificationError
from itk_roundtrip.findings import Identity
from itk_roundtrip.headers import (
    PIXEL_DATA,
    Header,
    check_merged_items,
    check_nested_pixels,
    compare_with_itk,
    complete,
    read_header,
)
from itk_roundtrip.pixels import Array, PixelFormat, PixelType, digest, masked, with_unused_bits
from itk_roundtrip.rules import is_group_length
from itk_roundtrip.series import Instance, Series
from itk_roundtrip.uids import sop_instance_uid
from itk_roundtrip.view import Hiding
from itk_roundtrip.volume import Volume

HeaderMode = Literal["complete", "itk"]


def prepare() -> None:
    """Import ITK, which takes half a second; called once, before the workers are forked."""
    audit.trust_values()
    _itk.load()


@dataclass(frozen=True)
class Job:
    """What is the same for all slabs of one round trip.

    Attributes
    ----------
    plan
        Of the derived series; ``None`` writes the same instances again.
    headers
        ``complete`` restores what ITK loses; ``itk`` leaves what ITK writes.
    pixel_type
        Of the image.
    staging
        Folder for all that is written; the output is made in its subfolder ``output``.
    """

    plan: SeriesPlan | None
    headers: HeaderMode
    pixel_type: PixelType
    staging: Path

    @property
    def identity(self) -> Identity:
        """``copy`` or ``derived``."""
        return "copy" if self.plan is None else "derived"

    @property
    def output(self) -> Path:
        """Where the files to be published are."""
        return self.staging / "output"


@dataclass(frozen=True)
class Slab:
    """Some slices of a series, in slice order.

    Attributes
    ----------
    series
        With only these slices.
    first
        Index of the first one in the whole series.
    output_names
        What they are written as.
    pixel_formats, seen_formats
        As the sources have them, and as ITK is to see them.
    hiding
        How much of the headers ITK is not shown.
    """

    series: Series
    first: int
    output_names: tuple[str, ...]
    pixel_formats: tuple[PixelFormat, ...]
    seen_formats: tuple[PixelFormat, ...]
    hiding: Hiding = Hiding.NOTHING

    def __len__(self) -> int:
        return len(self.output_names)

    def one(self, index: int) -> Slab:
        """Return a slab of one slice only."""
        return replace(
            self,
            series=replace(self.series, instances=self.series.instances[index : index + 1]),
            first=self.first + index,
            output_names=self.output_names[index : index + 1],
            pixel_formats=self.pixel_formats[index : index + 1],
            seen_formats=self.seen_formats[index : index + 1],
        )


@dataclass
class SlabResult:
    """What became of a slab.

    Attributes
    ----------
    reports, tally
        Of the comparison of each written file with its source, and what was found on all of them; empty with
        ``headers="itk"``.
    kept
        Elements of the sources' top level that no edit touches.
    replaced, removed, lost, altered, invented
        By tag, how many elements an edit replaced or added, or removed, and how many ITK lost, altered or invented.
    hiding
        How much had to be hidden from ITK.
    """

    slices: int = 0
    reports: list[PairReport] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    kept: int = 0
    replaced: Counter[int] = field(default_factory=Counter)
    removed: Counter[int] = field(default_factory=Counter)
    lost: Counter[int] = field(default_factory=Counter)
    altered: Counter[int] = field(default_factory=Counter)
    invented: Counter[int] = field(default_factory=Counter)
    hiding: Hiding = Hiding.NOTHING
    inverted: bool = False
    signed: bool = False
    """A source bears a digital signature that a re-encoded copy may not satisfy."""

    def add(self, other: SlabResult) -> None:
        """Add the counts of another slab."""
        self.slices += other.slices
        self.reports += other.reports
        self.tally.merge(other.tally)
        self.kept += other.kept
        for name in ("replaced", "removed", "lost", "altered", "invented"):
            getattr(self, name).update(getattr(other, name))
        self.hiding = max(self.hiding, other.hiding)
        self.inverted |= other.inverted
        self.signed |= other.signed


def process(job: Job, slab: Slab) -> SlabResult:
    """Carry one slab from its sources to completed, verified files in the staging folder.

    What ITK cannot take is hidden from it step by step. Where it still fails, the slices are tried one by one, so
    that the error names the file.
    """
    error: SeriesReadError | SeriesWriteError
    steps = [hiding for hiding in Hiding if hiding >= slab.hiding]
    if job.headers == "itk":
        steps = [hiding for hiding in steps if hiding < Hiding.ALL_BUT_PIXELS] or steps[:1]
    for hiding in steps:
        shown = _shown(slab, hiding)
        try:
            volume, sources = _read(job, shown)
            return _write(job, shown, volume, sources)
        except _ITKRefusal as refusal:
            error = refusal.error
    if len(slab) == 1:
        raise error
    for index in range(len(slab)):
        process(job, slab.one(index))
    raise error


def write_volume(job: Job, slab: Slab, volume: Volume) -> SlabResult:
    """Carry a volume that has been read, as one slab, to completed, compared files in the staging folder.

    Where ITK cannot write its metadata dictionaries, they are read again with less shown.
    """
    error: SeriesReadError | SeriesWriteError | None = None
    for hiding in Hiding:
        shown = _shown(slab, hiding)
        try:
            again, sources = _read(job, shown)
            shown_less = replace(slab, hiding=hiding)
            return _write(job, shown_less, replace(volume, metadata=again.metadata), sources)
        except _ITKRefusal as refusal:
            error = refusal.error
    assert error is not None
    raise error


class _ITKRefusal(Exception):
    """ITK refused; with less shown to it, it may not."""

    def __init__(self, error: SeriesReadError | SeriesWriteError) -> None:
        super().__init__()
        self.error = error


def _shown(slab: Slab, hiding: Hiding) -> Slab:
    """Return the slab as ITK is to be shown it: at the last step as stored values, without slope and intercept."""
    formats = slab.seen_formats
    if hiding is Hiding.ALL_BUT_PIXELS:
        formats = tuple(view.seen_format(one, hide_rescale=True) for one in slab.pixel_formats)
    return replace(slab, hiding=hiding, seen_formats=formats)


def _read(job: Job, slab: Slab) -> tuple[Volume, list[Header]]:
    instances = slab.series.instances
    sources = [read_header(one.path, one.name) for one in instances]
    for source, one in zip(sources, instances, strict=True):
        check_nested_pixels(source, one.name)
    hidden = job.staging / f"hidden-{slab.first}"
    try:
        try:
            formats = zip(slab.pixel_formats, slab.seen_formats, strict=True)
            files = [
                view.file_to_read(one, partial(sources.__getitem__, index), both, slab.hiding, hidden / f"{index}.dcm")
                for index, (one, both) in enumerate(zip(instances, formats, strict=True))
            ]
        except OSError as error:
            raise writer.disk_error(error) from None
        pixel_type = job.pixel_type
        if slab.hiding is Hiding.ALL_BUT_PIXELS:
            pixel_type = slab.seen_formats[0].stored_pixel_type
        try:
            volume = reader.read_slices(
                slab.series,
                list(map(str, files)),
                pixel_type,
                slab.seen_formats,
                undo_inversion=job.headers == "complete",
            )
        except SeriesReadError as error:
            raise _ITKRefusal(error) from None
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return volume, sources


def _write(job: Job, slab: Slab, volume: Volume, sources: Sequence[Header]) -> SlabResult:
    """Write what has been read, complete it and compare it with the sources."""
    stored = writer.stored_slices(volume)
    changes = [
        _edits(job, source, slab.series.instances[index], slab.first + index, stored[index])
        for index, source in enumerate(sources)
    ]
    folder = job.output if job.headers == "itk" else job.staging / f"itk-{slab.first}"
    folder.mkdir(exist_ok=True)
    files = [folder / name for name in slab.output_names]
    result = SlabResult(slices=len(slab), hiding=slab.hiding)
    try:
        try:
            writer.write_slices(
                volume,
                files,
                [dictionary_edits(change) for change in changes],
                stored if job.headers == "complete" else None,
            )
        except SeriesWriteError as error:
            writer.check_disk(folder, stored[0].nbytes)
            raise _ITKRefusal(_write_error(error, slab)) from None
        for index, (source, file) in enumerate(zip(sources, files, strict=True)):
            try:
                by_itk = read_header(file)
            except SeriesReadError as error:
                writer.check_disk(folder, stored[0].nbytes)
                raise _ITKRefusal(_write_error(error, slab)) from None
            _count(result, source, by_itk, changes[index], job.headers)
            result.inverted |= slab.seen_formats[index].monochrome1
            if job.headers == "complete":
                file.unlink()  # its pages need not reach the disk
                _complete(job, slab, index, source, by_itk, changes[index])
                result.reports.append(compare_into(result.tally, _request(job, slab, index)))
    finally:
        if job.headers == "complete":
            shutil.rmtree(folder, ignore_errors=True)
    return result


def _write_error(error: Exception, slab: Slab) -> SeriesWriteError:
    name = slab.series.instances[0].name
    if isinstance(error, SeriesWriteError):
        return SeriesWriteError(f"{name}: {error}", path=name)
    return SeriesWriteError(f"ITK wrote an incomplete file for {name}.", path=name)


def _edits(job: Job, source: Header, instance: Instance, index: int, stored: Array) -> Edits:
    if job.plan is None:
        return {}
    source_uid = instance.sop_instance_uid or f"slice {index}"
    new_uid = sop_instance_uid(job.plan.series_instance_uid, source_uid, digest(stored))
    return edits(job.plan, source.values, index, new_uid)


def _count(result: SlabResult, source: Header, by_itk: Header, changes: Edits, headers: HeaderMode) -> None:
    losses = compare_with_itk(source, by_itk, frozenset(changes))
    tags = {tag for tag, _, _ in source.spans if not is_group_length(tag)}
    result.kept += len(tags - changes.keys())
    result.lost.update(losses.lost)
    result.altered.update(losses.altered)
    result.invented.update(losses.invented)
    carried = {int(key.replace("|", ""), 16) for key in dictionary_edits(changes)}
    for tag, edit in changes.items():
        if headers == "itk" and tag not in carried:
            continue  # ITK alone cannot write it
        (result.removed if isinstance(edit, Removed) else result.replaced)[tag] += 1
    result.signed |= bool(tags & {0xFFFAFFFA, 0x4FFE0001})


def _complete(job: Job, slab: Slab, index: int, source: Header, by_itk: Header, changes: Edits) -> None:
    """Write the source's header with its edits, and with the pixels that ITK wrote."""
    pixel_format = slab.pixel_formats[index]
    name = slab.series.instances[index].name
    check_merged_items(source, changes, name)
    shape = slab.series.instances[index].rows or 0, slab.series.instances[index].columns or 0
    words = _words(by_itk, slab.seen_formats[index], shape)
    if words is None:
        raise VerificationError(f"ITK wrote other pixels for {name} than it was given.", path=name)
    pixel_data = _pixel_data(source, masked(words, pixel_format), pixel_format)
    if pixel_data is None:
        raise VerificationError(
            f"ITK did not carry the stored values of {name} exactly; nothing was written.",
            path=name,
            tag="(7FE0,0010)",
        )
    try:
        (job.output / slab.output_names[index]).write_bytes(
            complete(source, changes, pixel_data, pixel_format.bits_allocated)
        )
    except OSError as error:
        raise writer.disk_error(error) from None


def _words(by_itk: Header, seen: PixelFormat, shape: tuple[int, int]) -> Array | None:
    """Return the pixel words, shape (rows, columns), that ITK wrote for stored values; ``None`` if it cannot be."""
    raw = by_itk.raw(PIXEL_DATA) or b""
    dtype = np.dtype({"UC": "u1", "SS": "<i2", "US": "<u2"}[seen.stored_pixel_type])
    count = shape[0] * shape[1]
    if by_itk.encapsulated or len(raw) != count * dtype.itemsize + count * dtype.itemsize % 2:
        return None
    return np.frombuffer(raw, dtype, count).reshape(shape)


def _pixel_data(source: Header, values: Array, pixel_format: PixelFormat) -> bytes | None:
    """Return the value of Pixel Data: the values, and of an uncompressed source the bits that hold no value.

    ``None`` if an uncompressed source holds other stored values.
    """
    content = np.ascontiguousarray(values)
    if not source.encapsulated:
        original = source.raw(PIXEL_DATA) or b""
        before = np.frombuffer(original, pixel_format.dtype, values.size).reshape(values.shape)
        if len(original) % 2 == 0 and np.array_equal(before, values):
            return original  # no unused bits to put back
        if not np.array_equal(masked(before, pixel_format), values):
            return None
        content = with_unused_bits(content, before, pixel_format)
        return content.tobytes() + original[content.nbytes :] + b"\0" * (len(original) % 2)
    return content.tobytes() + b"\0" * (content.nbytes % 2)


def _request(job: Job, slab: Slab, index: int) -> Request:
    """Return what the verification is asked of one written file; all it is told are the two files."""
    instance, name = slab.series.instances[index], slab.output_names[index]
    return Request(instance.path, job.output / name, instance.name, name, job.identity, describe=True)


def order(folder: Path, series: Series, names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return the names of a series' files in ITK's order, and the names that ITK gives their output.

    Both are empty where GDCMSeriesFileNames does not find exactly this series. It is shown stand-ins in ``folder``.
    """
    try:
        for one, name in zip(series.instances, names, strict=True):
            (folder / name).write_bytes(view.ordering_file(one))
    except OSError as error:
        raise writer.disk_error(error) from None
    try:
        with _itk.translated(SeriesReadError, "GDCMSeriesFileNames refuses the folder"):
            inputs, outputs = _itk.series_file_names(str(folder), series.series_instance_uid, str(folder))
    except SeriesReadError:
        return [], []
    return [Path(name).name for name in inputs], [Path(name).name for name in outputs]


def versions(folder: Path) -> tuple[str, ...]:
    """Return the versions of ITK and of the GDCM in it, which names itself only in the files that it writes."""
    file = folder / "version.dcm"
    gdcm = ""
    try:
        _itk.write_series(np.zeros((1, 2, 2)), "UC", None, [], [str(file)])
        gdcm = str(read_file_meta_info(file).get("ImplementationVersionName", ""))
    except Exception:  # a version is not worth a failure, a full disk is
        writer.check_disk(folder, 1)
    finally:
        file.unlink(missing_ok=True)
    return (f"ITK {_itk.version()}", *([gdcm] if gdcm else []))
