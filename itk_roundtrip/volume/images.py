"""Take an image from the caller: its pixels, in the slice order of a volume of the source."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from itk_roundtrip.errors import ImageError, RoundtripError
from itk_roundtrip.folders import temporary_folder
from itk_roundtrip.itk_io import files
from itk_roundtrip.itk_io.calls import translated
from itk_roundtrip.itk_io.files import ImageData
from itk_roundtrip.itk_io.front_ends import NAMES, front_end
from itk_roundtrip.pixels.formats import Array, components
from itk_roundtrip.processes import Workers
from itk_roundtrip.series.geometry import ORIENTATION_TOLERANCE
from itk_roundtrip.series.lattice import Lattice, Reordering, is_same, lattice_of, offset_mm, reordering
from itk_roundtrip.volume.volume import AsRead, Volume
from itk_roundtrip.words import counted, posix

_OF_A_VOXEL = 1e-3
"""Voxels that are off by less lie where those of the volume do: their values tell the rest."""
_REGRID = "regrid=True"
_OR_NEW_GRID = f"; to write it as it lies, as slices of a new grid, use {_REGRID}"
_KINDS = "an itk.Image, a SimpleITK.Image, a numpy array (z, y, x) or the path of an image file"


def taken(image: Any, volume: Volume, *, name: str = "The image") -> Array:
    """Return the pixels of an image that lies where a volume does, in the slice order of the volume.

    Axes that are permuted or reversed, as other programs leave them, are put back; the voxels stay where they are.

    Parameters
    ----------
    image
        An ``itk.Image`` of any pixel type, a ``SimpleITK.Image``, a numpy array of shape (slices, rows, columns), of
        which only the shape is compared, or the path of an image file that ITK reads, which is read in a process of
        its own. Colours stand behind. Two dimensions will do for a volume of one slice: origin, spacing and
        direction must be its first two then, as ITK and SimpleITK leave them where they extract a slice.
    volume
        As :func:`itk_roundtrip.read_series` returned it.
    name
        What messages call the image.

    Returns
    -------
    numpy.ndarray
        Shape (slices, rows, columns), samples behind, of integers or float numbers of at most 64 bits. It may share
        the memory of the image.

    Raises
    ------
    ImageError
        It is no image, cannot be read, or is not of the size, components and place of the volume: within 1e-6 of a
        voxel at each corner, or within the rounding of numbers of 32 bits for a file that holds such, as NIfTI does.
    """
    if isinstance(image, (str, os.PathLike)):
        return laid(read_in_worker(Path(image)), volume, str(image))
    return laid(in_memory(image, name), volume, name)


@dataclass(frozen=True, eq=False)
class Placement:
    """Where the voxels of an image lie that do not lie where those of the volume do.

    Attributes
    ----------
    lattice
        Its third axis runs along the normal of the first two.
    is_cut_out
        Each voxel lies where a voxel of the volume does, and has its value: some were left out, no more.
    """

    lattice: Lattice
    is_cut_out: bool


def placed(image: Any, volume: Volume, *, regrid: bool, name: str = "The image") -> tuple[Array, Placement | None]:
    """Return the pixels of an image, and where they lie if that is not where the volume does.

    Parameters
    ----------
    image, volume, name
        As for :func:`taken`.
    regrid
        The image may lie elsewhere; else it is taken as :func:`taken` does.

    Returns
    -------
    tuple
        Pixels, and ``None`` or their placement. Where the third axis runs along that of the volume, rows and columns
        are put in the order and direction of the volume's; all other images stay as they are.

    Raises
    ------
    ImageError
        It is no image, cannot be read, or does not say where it lies.
    """
    if isinstance(image, (str, os.PathLike)):
        return placed_data(read_in_worker(Path(image)), volume, str(image), regrid=regrid)
    return placed_data(in_memory(image, name), volume, name, regrid=regrid)


def placed_data(data: ImageData, volume: Volume, name: str, *, regrid: bool) -> tuple[Array, Placement | None]:
    """Return the pixels of an image, and where they lie if not where the volume does, as :func:`placed` says."""
    if not regrid:
        return laid(data, volume, name), None
    target = lattice_of_volume(volume)
    dimension = _dimension(data, volume, name)
    if data.lattice is None and data.array.shape[:dimension] != target.size[::-1][-dimension:]:
        raise ImageError(
            f"{name} is an array, which does not say where it lies; for a new grid, pass an image with origin, spacing"
            " and direction."
        )
    if data.lattice is None or dimension == 2:
        return laid(data, volume, name), None
    change = reordering(data.lattice, target)
    moved = change.of_lattice(data.lattice)
    runs_along = change.order[2] == 2
    if runs_along and moved.size == target.size and is_same(moved, target, single_precision=data.single_precision):
        return laid(data, volume, name), None
    through = moved.axes[:, 2] / np.linalg.norm(moved.axes[:, 2])
    cosine = through @ (target.axes[:, 2] / np.linalg.norm(target.axes[:, 2]))
    if not runs_along or cosine < 1 - ORIENTATION_TOLERANCE:
        change, moved = Reordering((0, 1, 2), (False, False, False)), data.lattice
    if np.linalg.det(moved.axes) < 0:
        change = replace(change, reversed_=(*change.reversed_[:2], not change.reversed_[2]))
        moved = change.of_lattice(data.lattice)
    array = _numbers(change.of_array(data.array), name)
    return array, Placement(moved, _is_cut_out(array, moved, volume, target))


def _is_cut_out(array: Array, lattice: Lattice, volume: Volume, target: Lattice) -> bool:
    """Tell whether voxels lie where some of the volume do, along its axes, and have their values."""
    steps = np.linalg.solve(target.axes, lattice.axes)
    first = np.linalg.solve(target.axes, lattice.origin - target.origin)
    each, start = np.rint(np.diag(steps)).astype(int), np.rint(first).astype(int)
    far = np.abs(steps - np.diag(each)) @ np.array(lattice.size) + np.abs(first - start)
    last = start + each * (np.array(lattice.size) - 1)
    if far.max() > _OF_A_VOXEL or each.min() < 1 or start.min() < 0 or np.any(last >= target.size):
        return False
    z, y, x = (slice(low, high + 1, step) for low, high, step in zip(start[::-1], last[::-1], each[::-1], strict=True))
    return bool(np.array_equal(volume.array_zyx[z, y, x], array))


def in_memory(image: Any, name: str = "The image") -> ImageData:
    """Return what an image or array of the caller holds.

    Raises
    ------
    ImageError
        It is neither.
    """
    for backend in NAMES:
        front = front_end(backend)
        if front.is_image(image):
            with translated(ImageError, f"{name} has no pixels that can be used"):
                array = front.pixels(image)  # first: it may be the output of a filter that has not run yet
                return ImageData(array, front.lattice(image))
    if isinstance(image, np.ma.MaskedArray):
        raise ImageError(f"{name} is a masked array; fill what is masked: array.filled(value).")
    if isinstance(image, np.ndarray):
        return ImageData(image, None)
    raise ImageError(f"{name} is {_named(image)}, not {_KINDS}.")


def read_in_worker(file: Path) -> ImageData:
    """Read an image file with ITK in a process of its own.

    Raises
    ------
    ImageError
        There is no such file, or ITK does not read it.
    """
    if not file.is_file():
        reason = "is a folder; name a file" if file.is_dir() else "is not a file"
        raise ImageError(f"{posix(file)} {reason}.", path=posix(file))
    try:
        with (
            temporary_folder() as folder,
            Workers(1, prepare="itk_roundtrip.itk_io.files") as pool,
        ):
            target = Path(folder, "pixels.npy")
            outcome = pool.call(files.read_file_to, file, target)
            if outcome.crashed:
                raise ImageError(f"{posix(file)} ends the process that reads it.", path=posix(file))
            data: ImageData = outcome.value
            return replace(data, array=np.load(target))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise RoundtripError(f"The folder for temporary files takes no image ({reason}).") from None


def lattice_of_volume(volume: Volume) -> Lattice:
    """Return where the voxels of a volume lay when it was read, whatever became of its image since."""
    before = _as_read(volume)
    geometry = before.geometry
    return lattice_of(before.shape[2::-1], geometry[:3], geometry[3:6], geometry[6:])


def _as_read(volume: Volume) -> AsRead:
    if volume.as_read is None:
        raise ImageError("The volume was not made by read_series, so that it is not known where its slices lie.")
    return volume.as_read


def laid(data: ImageData, volume: Volume, name: str) -> Array:
    """Return the pixels of an image in the order of the slices of a volume, as :func:`taken` says."""
    array, lattice = data.array, lattice_of_volume(volume)
    dimension = _dimension(data, volume, name)
    if dimension == 2:
        lattice = _in_plane(lattice)
    if data.lattice is not None:
        change = reordering(data.lattice, lattice)
        array, moved = change.of_array(array), change.of_lattice(data.lattice)
        if moved.size != lattice.size:
            raise ImageError(
                f"{name} has {_size(data.lattice.size)} and the volume {_size(lattice.size)}{_OR_NEW_GRID}.",
                option=_REGRID,
            )
        if not is_same(moved, lattice, single_precision=data.single_precision):
            offset = offset_mm(moved, lattice)
            raise ImageError(
                f"{name} does not lie where the volume does: a corner is {offset:.3g} mm away from it{_OR_NEW_GRID}.",
                option=_REGRID,
            )
    elif array.shape[:dimension] != lattice.size[::-1]:
        size = array.shape[:dimension][::-1]
        raise ImageError(f"{name} has {_size(size)} and the volume {_size(lattice.size)}.")
    return _numbers(array.reshape(_as_read(volume).shape), name)


def _dimension(data: ImageData, volume: Volume, name: str) -> int:
    """Return the number of dimensions of an image, 3, or 2 for one slice; refuse others, and other components."""
    array, before = data.array, _as_read(volume)
    wanted = components(before.pixel_type)
    dimension = array.ndim - (wanted > 1) if data.lattice is None else len(data.lattice.size)
    if dimension == 3 or (dimension == 2 and len(before.planes) == 1):
        found = array.shape[dimension] if array.ndim > dimension else 1
        if found == wanted:
            return dimension
        raise ImageError(
            f"{name} has {counted(found, 'component')} in each voxel and the volume {wanted}"
            f"{', its colours, behind (z, y, x)' if wanted > 1 else ''}."
        )
    what = " x ".join(map(str, array.shape)) or "no"
    behind = " and a last one for the colours" if wanted > 1 else ""
    raise ImageError(f"{name} has {dimension} dimensions ({what}); a volume has 3, (z, y, x){behind}.")


def _in_plane(lattice: Lattice) -> Lattice:
    """Return the lattice of the only slice of a volume as ITK extracts it: the first two numbers of everything.

    Where these make no direction, it is the identity.
    """
    spacing = np.linalg.norm(lattice.axes, axis=0)[:2]
    direction = lattice.axes[:2, :2] / spacing
    if abs(np.linalg.det(direction)) < 1e-9:
        direction = np.eye(2)
    return lattice_of(lattice.size[:2], lattice.origin[:2].tolist(), spacing.tolist(), direction.ravel().tolist())


def _numbers(array: Array, name: str) -> Array:
    """Return an array of the same numbers in a type of the processor; refuse other values than real numbers."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "c":
        raise ImageError(f"{name} holds complex numbers; pass their real part, magnitude or phase.")
    if kind == "b":
        return np.asarray(array).astype(np.uint8)
    if kind not in "iuf" or size > 8:
        raise ImageError(f"{name} holds values of type {array.dtype.name}, not integers or float of at most 64 bits.")
    if kind == "f" and size < 4:
        return np.asarray(array).astype(np.float32)
    return np.asarray(array).astype(array.dtype.newbyteorder("="), copy=False)


def _size(size: tuple[int, ...]) -> str:
    """Return a size as messages say it."""
    return f"{' x '.join(map(str, size))} voxels ({', '.join('xyz'[: len(size)])})"


def _named(value: Any) -> str:
    """Return what a value is, for messages: ``None``, or its class."""
    if value is None:
        return "None"
    kind = type(value).__name__
    return f"{'an' if kind[:1] in 'aeiouAEIOU' else 'a'} {kind}"
