"""The stage between reading and writing: the volumes of a series are processed, and their values put into files.

What processes them is a function of the caller, a filter, or an image that was processed elsewhere; all end in
:class:`itk_roundtrip.carry.processed.Values`, by which slabs are written.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from itk_roundtrip.arguments import Backend, Progress
from itk_roundtrip.carry.processed import Values, lossy_contributor
from itk_roundtrip.carry.regrid import LISTED_INSTANCES, Regridded, check_regriddable, regridded
from itk_roundtrip.carry.scheduling import Pool
from itk_roundtrip.errors import FunctionError, RoundtripError, SeriesWriteError, UnsupportedSeriesError
from itk_roundtrip.itk_io.filters import Filter
from itk_roundtrip.itk_io.front_ends import front_end
from itk_roundtrip.pixels.formats import Array
from itk_roundtrip.processes import Workers
from itk_roundtrip.series.find import Instance, Series, Slice
from itk_roundtrip.series.volumes import SubVolume
from itk_roundtrip.volume.checks import check_regular
from itk_roundtrip.volume.functions import Function, call_for_grid, check_parameters, load_function, of_filter
from itk_roundtrip.volume.images import Placement, placed
from itk_roundtrip.volume.read import read_volume
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


_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
"""Address in the text of an object of Python, another in each run."""


@dataclass(frozen=True)
class Operation:
    """What makes the values of a processed series.

    Attributes
    ----------
    function
        A function, or the text that :func:`itk_roundtrip.volume.functions.load_function` finds it by, or a filter.
    parameters
        Keywords for it.
    image
        An image that was processed elsewhere, or the path of its file, where there is no function.
    debug
        Keep the traceback of an error of the function, which may quote values of patients.
    """

    function: Callable[..., Any] | str | Filter | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    image: Any = None
    debug: bool = False

    @property
    def name(self) -> str:
        """What messages and descriptions call it, without the folder of a file."""
        if isinstance(self.function, Filter):
            return self.function.derivation
        if isinstance(self.function, str):
            home, _, name = self.function.rpartition(":")
            return f"{name} of {os.path.basename(home)}"
        function = self.function
        while isinstance(function, functools.partial):
            function = function.func
        if function is None:
            return "image of the caller"
        return str(getattr(function, "__name__", "") or type(function).__name__)

    @property
    def stated_parameters(self) -> str:
        """The parameters for Derivation Description, such as ``radius=2``; those of a filter are in its name."""
        given = {**_bound(self.function), **self.parameters}
        texts = [f"{name}={_ADDRESS.sub('', str(value))}" for name, value in sorted(given.items())]
        return "".join(c if c.isascii() and c.isprintable() and c != "\\" else "?" for c in ", ".join(texts))[:200]

    def described(self, derivation: Derivation) -> Derivation:
        """Return a derivation that says what is done, where the caller said nothing of it.

        Raises
        ------
        RoundtripError
            The caller said how many slices contribute, which a filter says itself.
        """
        if isinstance(self.function, Filter):
            if derivation.footprint_slices != 0:
                message = "A filter itself says which slices contribute; leave out footprint_slices."
                raise RoundtripError(message, option="footprint_slices")
            codes = derivation.codes or ((self.function.code,) if self.function.code else ())
            derivation = replace(derivation, codes=codes, footprint_slices=self.function.footprint_slices)
        return replace(derivation, comment=derivation.comment or self.name)

    @property
    def is_local(self) -> bool:
        """Whether it is an object in the memory of this process, so that it must run here."""
        path = isinstance(self.image, (str, os.PathLike))
        is_object = callable(self.function) and not isinstance(self.function, Filter)
        return is_object or not (self.function or path)


def _bound(function: Any) -> dict[str, Any]:
    """Return the keywords that ``functools.partial`` bound to a function."""
    keywords: dict[str, Any] = {}
    while isinstance(function, functools.partial):
        keywords = {**function.keywords, **keywords}
        function = function.func
    return keywords


def worker(backend: Backend) -> Workers:
    """Return a process of its own for an operation: what it prints goes to standard error, and it may die.

    It imports the front end as long as nothing is asked of it.
    """
    return Workers(1, prepare=f"{__name__}:{backend}", output="stderr")


def prepare(backend: Backend = "itk") -> None:
    """Import a front end."""
    front_end(backend).load()


def process(
    series: Series,
    operation: Operation,
    folder: Path,
    backend: Backend,
    pool: Pool,
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
        outcome = pool.call(process_into, file, series, which, operation, backend, regrid)
        if outcome.crashed:
            raise FunctionError(f"{operation.name} ended its process; nothing was written.")
        digest, placement = outcome.value
        if placement is not None:
            target, values = regridded(series, volumes[0], placement, file, footprint_slices)
            return Made(values, digest, target)
        files.append(file)
        digests.append(digest)
    progress("Processing", len(volumes), len(volumes))
    return Made(values_of(volumes, files, footprint_slices), "".join(digests))


def process_into(
    file: Path, series: Series, volume: int | None, operation: Operation, backend: Backend, regrid: bool = False
) -> tuple[str, Placement | None]:
    """Process a volume of a series, and put the values into a file; return their digest, and where they lie if new."""
    function = _function(operation)
    if function is not None:
        check_parameters(function, operation.parameters)  # before the volume is read
    read = read_volume(series, volume, backend, digests=False)
    if function is None:
        values, placement = placed(operation.image, read, regrid=regrid)
    else:
        values, placement = call_for_grid(function, read, operation.parameters, regrid=regrid, debug=operation.debug)
    return save(values, file), placement


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


def save(values: Array, file: Path) -> str:
    """Put real-world values into a ``.npy`` file; return their digest.

    Raises
    ------
    SeriesWriteError
        The system refuses it.
    """
    values = np.ascontiguousarray(values)
    try:
        np.save(file, values)
    except OSError as error:
        raise disk_error(error) from None
    state = hashlib.sha256(f"{values.shape} {values.dtype.str}".encode())
    state.update(values.data)
    return state.hexdigest()


def _function(operation: Operation) -> Function | None:
    """Return the function of an operation; ``None`` if it has an image."""
    function = operation.function
    if isinstance(function, str):
        return load_function(function)
    if isinstance(function, Filter):
        return of_filter(function)
    return None if function is None else Function(function, operation.name)


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
