"""The stage between reading and writing: the volumes of a series are processed, and their values put into files.

What processes them is a function of the caller, a filter, or an image that was processed elsewhere; all end in
:class:`itk_roundtrip.carry.processed.Values`, by which slabs are written.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itk_roundtrip import syntaxes
from itk_roundtrip.arguments import Backend, Progress
from itk_roundtrip.carry.operating import process_into, save
from itk_roundtrip.carry.operation import Operation
from itk_roundtrip.carry.processed import Values, lossy_contributor
from itk_roundtrip.carry.regrid import LISTED_INSTANCES, Regridded, check_regriddable, regridded
from itk_roundtrip.carry.scheduling import FEW_SLICES
from itk_roundtrip.errors import FunctionError, SeriesWriteError, UnsupportedSeriesError
from itk_roundtrip.pixels.formats import Array
from itk_roundtrip.processes import Pool, Task
from itk_roundtrip.series.find import Instance, Series, Slice
from itk_roundtrip.series.volumes import SubVolume
from itk_roundtrip.volume.checks import check_regular
from itk_roundtrip.volume.images import Placement
from itk_roundtrip.volume.read import parts_of_volume, read_part
from itk_roundtrip.volume.volume import Derivation, Volume
from itk_roundtrip.volume.write import disk_error
from itk_roundtrip.words import counted


@dataclass(frozen=True)
class Made:
    """Processed values of a series.

    Attributes
    ----------
    values
        Of each instance to write, by name.
    digest
        Of all of them.
    regridded
        The slices to write, where they are on another grid than the source; ``None`` if they are its own.
    """

    values: Mapping[str, Values]
    digest: str
    regridded: Regridded | None = None


def process(
    series: Series,
    operation: Operation,
    folder: Path,
    backend: Backend,
    pool: Pool,
    readers: Pool,
    progress: Progress,
    *,
    footprint_slices: int | None,
    allow_irregular: bool,
    regrid: bool = False,
) -> Made:
    """Process the volumes of a series, one after the other.

    Parameters
    ----------
    series, operation, backend
        What is processed, by what, and with which front end it is read.
    folder
        For the files of values.
    pool
        What runs the operation: a crash must be survivable, unless it is an object in this process.
    readers
        What reads large volumes for it, part by part, while it starts.
    progress
        Called with (stage, done, of how many).
    footprint_slices
        Slices on each side that contribute to the values of a slice; ``None`` if the whole volume does.
    allow_irregular
        Process volumes that are no regular grid, or lie differently.
    regrid
        The result may lie on another grid than the volume.

    Raises
    ------
    UnsupportedSeriesError
        The series is irregular.
    FunctionError, ImageError
        The operation cannot be run, fails, or returns no image of the volume.
    """
    volumes = series.volumes
    if regrid:
        check_regriddable(series)
    if operation.function is None and len(volumes) > 1:
        raise UnsupportedSeriesError(
            f"The series holds {counted(len(volumes), 'volume')}, and an image is of one: all of them would get its"
            " values. Pass a function as apply, which is called for each, or put each volume into a folder of its own.",
            series=series.series_instance_uid,
            option="apply",
        )
    if not allow_irregular:
        _check_no_mosaics(series)
        _check_alike(volumes, series)
        for volume in volumes:
            check_regular(volume)
    files, digests = [], []
    for index in range(len(volumes)):
        progress("Processing", index, len(volumes))
        file = folder / f"values-{index}.npy"
        which = None if len(volumes) == 1 else index
        pixels = _read_in_parts(series, which, backend, readers, pool, folder / f"pixels-{index}")
        if len(series.instances) > FEW_SLICES:
            readers.start()  # they will have the values to survey
        outcome = pool.call(process_into, file, series, which, operation, backend, regrid, pixels)
        if outcome.crashed:
            raise FunctionError(f"{operation.name} ended its process; nothing was written.")
        if pixels is not None:
            with contextlib.suppress(OSError):  # still in use, it goes with its folder
                pixels.unlink()
        digest, placement = outcome.value
        if placement is not None:
            target, values = regridded(series, volumes[0], placement, file, footprint_slices)
            return Made(values, digest, target)
        files.append(file)
        digests.append(digest)
    progress("Processing", len(volumes), len(volumes))
    return Made(values_of(volumes, files, footprint_slices), "".join(digests))


def _read_in_parts(
    series: Series, volume: int | None, backend: Backend, readers: Pool, pool: Pool, file: Path
) -> Path | None:
    """Let several processes read a volume into a file; return it, or ``None`` if it is to be read as a whole."""
    parts = parts_of_volume(series, volume, backend)
    if not parts:
        return None
    try:
        file.touch()
    except OSError as error:
        raise disk_error(error) from None
    # While the process of the operation starts, another reader is worth its start only where decoding takes long.
    starting = any(syntaxes.is_encapsulated(instance.transfer_syntax_uid) for instance in series.instances)
    are_read = []
    for outcome in readers.run(deque(Task(read_part, (part, file)) for part in parts), starting=starting):
        are_read.append(outcome.value is True)  # of all of them, even if one is not: the readers are wanted again
        if len(parts) > 1 and pool.is_ready():
            readers.start()
    return file if all(are_read) else None


def of_array(volume: Volume, values: Array, placement: Placement | None, folder: Path, derivation: Derivation) -> Made:
    """Put the processed values of a volume into a file; return the values of each instance to write.

    ``placement`` is where they lie, if not where the volume does.
    """
    if derivation.regrid:
        check_regriddable(volume.series)
    slices = tuple(Slice(plane.instance, plane.frame) for plane in volume.planes)
    whole = SubVolume(slices, "")
    if not derivation.allow_irregular:
        _check_no_mosaics(volume.series)
        check_regular(whole)
    file = folder / "values.npy"
    digest = save(values, file)
    if placement is not None:
        target, values_by_name = regridded(volume.series, whole, placement, file, derivation.footprint_slices)
        return Made(values_by_name, digest, target)
    return Made(values_of([whole], [file], derivation.footprint_slices), digest)


def _check_no_mosaics(series: Series) -> None:
    """Refuse files that hold many slices as tiles of one image: a filter would mix tiles, and take times for slices."""
    for irregularity in series.irregularities:
        if irregularity.kind == "mosaic":
            name = irregularity.files[0]
            raise UnsupportedSeriesError(
                f"{name} is a mosaic, many slices tiled into one image, whose tiles a filter would mix; to process it"
                " as it stands, use allow_irregular=True.",
                path=name,
                series=series.series_instance_uid,
                option="allow_irregular=True",
            )


def _check_alike(volumes: Sequence[SubVolume], series: Series) -> None:
    """Refuse volumes of several sizes or orientations: they are no volumes of one 4-D image."""
    kinds: dict[tuple[object, ...], str] = {}
    for volume in volumes:
        first = volume.slices[0]
        orientation = first.place.orientation
        kinds.setdefault(
            (
                first.instance.rows,
                first.instance.columns,
                len(volume.slices),
                tuple(round(cosine, 3) for cosine in orientation) if orientation else None,
            ),
            first.instance.name,
        )
    if len(kinds) > 1:
        name = list(kinds.values())[1]
        raise UnsupportedSeriesError(
            f"{name} is of a volume of another size or orientation than {volumes[0].slices[0].instance.name}; to"
            " process each of the volumes all the same, use allow_irregular=True.",
            path=name,
            series=series.series_instance_uid,
            option="allow_irregular=True",
        )


def values_of(volumes: Sequence[SubVolume], files: Sequence[Path], footprint_slices: int | None) -> dict[str, Values]:
    """Return the values of each instance of the volumes, by its name.

    Parameters
    ----------
    volumes, files
        The volumes, and the file of values of each, in the same order of slices.
    footprint_slices
        Slices on each side that contribute to a slice; ``None`` if all of the volume do.
    """
    places: dict[str, dict[int, tuple[Path, int]]] = {}
    others: dict[str, dict[str, tuple[str, str]]] = {}
    frames: dict[str, dict[int, tuple[int, ...]]] = {}
    lossy: dict[str, Instance] = {}
    for volume, file in zip(volumes, files, strict=True):
        count = len(volume.slices)
        lost = [index for index, slice_ in enumerate(volume.slices) if slice_.instance.lost_detail]
        for index, slice_ in enumerate(volume.slices):
            name, frame = slice_.instance.name, slice_.frame or 0
            places.setdefault(name, {})[frame] = (file, index)
            reach = count if footprint_slices is None else footprint_slices
            within = [at for at in lost if abs(at - index) <= reach]
            if name not in lossy and (neighbour := lossy_contributor(volume.slices, index, within)) is not None:
                lossy[name] = neighbour
            reach = reach if min(2 * reach, count - 1) <= LISTED_INSTANCES else 0
            neighbours = [
                volume.slices[at] for at in range(max(0, index - reach), min(count, index + reach + 1)) if at != index
            ]
            others.setdefault(name, {}).update(
                (other.instance.name, (other.instance.sop_class_uid, other.instance.sop_instance_uid))
                for other in neighbours
                if other.instance is not slice_.instance and other.instance.sop_instance_uid
            )
            own = tuple((other.frame or 0) + 1 for other in neighbours if other.instance is slice_.instance)
            frames.setdefault(name, {})[frame] = own
    return {
        name: Values(
            places=tuple(_in_order(of_instance)),
            contributing=tuple(others[name].values()) if len(others[name]) <= LISTED_INSTANCES else (),
            contributing_frames=tuple(_in_order(frames[name])) if any(frames[name].values()) else (),
            lossy=lossy.get(name),
        )
        for name, of_instance in places.items()
    }


def _in_order(by_frame: Mapping[int, Any]) -> Iterator[Any]:
    """Yield the values of frames in their order."""
    for frame in range(len(by_frame)):
        if frame not in by_frame:
            raise SeriesWriteError("An instance is processed with all of its frames, or not at all.")
        yield by_frame[frame]
