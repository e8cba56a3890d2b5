"""Real-world values that a written series must hold, from an image that ITK reads or from a ``.npy`` array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from itk_roundtrip.errors import RoundtripError
from itk_roundtrip.itk_io import files
from itk_roundtrip.processes import Pool
from itk_roundtrip.series.find import Instance, Series
from itk_roundtrip.series.geometry import SPACING_TOLERANCE_FRACTION, normal
from itk_roundtrip.series.lattice import Lattice
from itk_roundtrip.words import counted, posix

ALIGNMENT_TOLERANCE = 1e-3
"""Axes whose cosine differs from 1 by more do not run along the slices."""
ORIGIN_TOLERANCE_MM = 1e-2
"""A reference whose first voxel is further than this from that of the first slice is another grid."""


@dataclass(frozen=True)
class Reference:
    """Real-world values in a ``.npy`` file, shape (slices, rows, columns), and the index of each written file in it."""

    file: Path
    indices: Mapping[str, int]

    def of(self, instance: Instance) -> tuple[Path, int]:
        """Return the file with the values of a written instance, and the index of its slice in it."""
        return self.file, self.indices[instance.name]


def read_reference(file: Path, written: Series, folder: Path, workers: Pool) -> Reference:
    """Read a reference and lay it on the grid of a written series.

    Parameters
    ----------
    file
        ``.npy``, with slices in the order of ``written.instances`` (by position along the normal), or any image
        that ITK reads, whose own geometry tells how it lies to the slices, in mm and LPS.
    written
        The series.
    folder
        For a temporary file.
    workers
        One of them reads the image, as ITK may end the process that it runs in.

    Raises
    ------
    RoundtripError
        It cannot be read, or does not lie on the grid of the series.
    """
    if file.suffix == ".npy":
        try:
            array = np.load(file, mmap_mode="r")
            shape, kind = array.shape, array.dtype.kind
        except Exception:  # no such file, or none of numpy's
            raise RoundtripError(f"{posix(file)} cannot be read as an array of numpy.", path=posix(file)) from None
        _check_real(file, kind)
        if shape[:1] != (len(written.instances),):
            message = f"{posix(file)} holds {counted(shape[0] if shape else 0, 'slice')}, the written series"
            raise RoundtripError(f"{message} {len(written.instances)}.", path=posix(file))
        target = file
    else:
        target = folder / "reference.npy"
        outcome = workers.call(lay_on_grid, file, written, target)
        if outcome.crashed:
            raise RoundtripError(f"{posix(file)} ends the process that reads it.", path=posix(file))
    return Reference(target, {instance.name: index for index, instance in enumerate(written.instances)})


def lay_on_grid(file: Path, written: Series, target: Path) -> None:
    """Read an image and write it as an array (slices, rows, columns) in the order of the written slices.

    Raises
    ------
    RoundtripError
        It cannot be read, or does not lie on the grid of the series.
    """
    data = files.read_file(file)
    array = data.array
    _check_real(file, array.dtype.kind)
    first = next((instance for instance in written.instances if instance.image_orientation_patient), None)
    if first is None or data.lattice is None or len(data.lattice.size) < 3:
        aligned = array.reshape((-1, *array.shape[-2:])) if array.ndim == 2 else array
    else:
        aligned = _aligned(file, written, first, array, data.lattice)
    if aligned.shape[0] != len(written.instances):
        message = f"{posix(file)} holds {counted(aligned.shape[0], 'slice')}, the written series"
        raise RoundtripError(f"{message} {len(written.instances)}.", path=posix(file))
    files.save(aligned, target)


def _check_real(file: Path, kind: str) -> None:
    """Refuse pixels of a kind of numpy that are no real numbers."""
    if kind not in "biuf":
        raise RoundtripError(f"{posix(file)} holds something else than real numbers.", path=posix(file))


def _aligned(file: Path, written: Series, first: Instance, array: NDArray[Any], lattice: Lattice) -> NDArray[Any]:
    """Turn and flip an array (z, y, x) so that its axes run along the normal, down the columns, along the rows."""
    cosines = np.array(first.image_orientation_patient)
    slice_axes = np.stack([normal(tuple(cosines)), cosines[3:], cosines[:3]])  # of the slices: z, y, x
    spacing = np.linalg.norm(lattice.axes[:3, :3], axis=0)
    image_axes = (lattice.axes[:3, :3] / spacing).T[::-1]  # of the image: z, y, x
    agreement = slice_axes @ image_axes.T
    order = np.argmax(np.abs(agreement), axis=1)
    if sorted(order) != [0, 1, 2] or np.any(np.abs(agreement[[0, 1, 2], order]) < 1 - ALIGNMENT_TOLERANCE):
        raise RoundtripError(f"{posix(file)} does not lie along the slices of the written series.", path=posix(file))
    corner = lattice.origin[:3].copy()
    flipped = []
    for axis, image_axis in enumerate(order):
        if agreement[axis, image_axis] < 0:
            flipped.append(axis)
            corner += image_axes[image_axis] * spacing[::-1][image_axis] * (array.shape[image_axis] - 1)
    turned: NDArray[Any] = np.flip(np.moveaxis(array, list(order), [0, 1, 2]), tuple(flipped))
    image_spacing = spacing[::-1][list(order)]
    steps = written.geometry.spacing_mm if written.geometry else None
    wanted = (steps, *(first.pixel_spacing or (None, None)))
    for slice_step, image_step in zip(wanted, image_spacing, strict=True):
        if slice_step is not None and abs(slice_step - image_step) > SPACING_TOLERANCE_FRACTION * slice_step:
            raise RoundtripError(f"{posix(file)} has another spacing than the written series.", path=posix(file))
    position = next((instance.image_position_patient for instance in written.instances), None)
    if position is not None and float(np.linalg.norm(corner - np.array(position))) > ORIGIN_TOLERANCE_MM:
        raise RoundtripError(f"{posix(file)} does not begin where the written series does.", path=posix(file))
    return turned
