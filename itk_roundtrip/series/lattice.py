"""Where the voxels of an image lie: affine maps from indices to mm in the patient coordinate system (LPS)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from itk_roundtrip.series.geometry import normal, positions_on_normal, regularity
from itk_roundtrip.series.irregularities import Irregularity
from itk_roundtrip.series.volumes import Slice, SubVolume, distance, points, tolerance

Array = NDArray[Any]

TOLERANCE_VOXELS = 1e-6
"""Two lattices are the same if no corner of one is further from that of the other, in voxels along each axis."""
SINGLE_PRECISION = 4 * 2.0**-24
"""Largest error, relative to the coordinates, of a lattice in numbers of 32 bits, each of which is rounded by 2**-24.

Corners of 800 lattices that ITK wrote as NIfTI and read again were off by 1.3 * 2**-24 at most."""
TILT_TOLERANCE_MM = 1.0
"""Slices that step sideways by more over a volume are no regular grid."""


@dataclass(frozen=True, eq=False)
class Lattice:
    """The lattice of an image of n dimensions, indices in the order (x, y, z).

    Attributes
    ----------
    size
        Number of voxels along each axis.
    index_to_lps
        Map of indices to mm: shape (n, n + 1); a column for each axis, the origin in the last.
    """

    size: tuple[int, ...]
    index_to_lps: NDArray[np.float64]

    @property
    def axes(self) -> NDArray[np.float64]:
        """Step along each axis in mm, one in a column."""
        return self.index_to_lps[:, :-1]

    @property
    def origin(self) -> NDArray[np.float64]:
        """Centre of the first voxel in mm."""
        return self.index_to_lps[:, -1]

    @property
    def corners(self) -> NDArray[np.float64]:
        """Centres of the voxels at the corners in mm, one in a row."""
        last = np.array(self.size) - 1
        indices = np.array(list(itertools.product((0, 1), repeat=len(self.size)))) * last
        corners: NDArray[np.float64] = indices @ self.axes.T + self.origin
        return corners


def lattice_of(
    size: Sequence[int],
    origin: Sequence[float],
    spacing: Sequence[float],
    direction: Sequence[float],
    first_index: Sequence[int] | None = None,
) -> Lattice:
    """Return the lattice of an image of ITK.

    Parameters
    ----------
    size, origin, spacing
        As ITK has them, in the order (x, y, z), in mm.
    direction
        Row by row.
    first_index
        Of the first voxel, if it is not 0: the origin is where the index 0 lies.
    """
    dimension = len(size)
    axes = np.reshape(np.array(direction, np.float64), (dimension, dimension)) * np.array(spacing, np.float64)
    first = np.array(origin, np.float64) + axes @ np.array(first_index or [0] * dimension)
    return Lattice(tuple(map(int, size)), np.column_stack([axes, first]))


def lattice_of_slices(slices: Sequence[Slice]) -> Lattice:
    """Return the lattice of slices along their normal, as the image of a volume that is read has it.

    Parameters
    ----------
    slices
        Files of a single frame, all with a position, an orientation and a spacing; the distance of most neighbours is
        that of all.
    """
    first = slices[0]
    orientation, spacing, position = first.place.orientation, first.place.spacing, first.place.position
    assert orientation is not None
    assert spacing is not None
    assert position is not None
    through = normal(orientation)
    row = np.array(orientation[:3]) / np.linalg.norm(orientation[:3])
    axes = np.column_stack([row, np.cross(through, row), through]) * [spacing[1], spacing[0], distance(slices) or 1.0]
    size = (first.instance.columns or 0, first.instance.rows or 0, len(slices))
    return Lattice(size, np.column_stack([axes, position]))


@dataclass(frozen=True)
class Reordering:
    """Axes of an array in another order, some of them reversed.

    ``order[i]`` is the axis that becomes axis ``i``, and ``reversed_[i]`` whether that axis then runs the other way.
    Axes are counted in the order (x, y, z).
    """

    order: tuple[int, ...]
    reversed_: tuple[bool, ...]

    def of_lattice(self, lattice: Lattice) -> Lattice:
        """Return a lattice with its axes reordered; the voxels stay where they are."""
        size = tuple(lattice.size[axis] for axis in self.order)
        axes = lattice.axes[:, list(self.order)]
        signs = np.where(self.reversed_, -1, 1)
        origin = lattice.origin + axes @ np.where(self.reversed_, np.array(size) - 1, 0)
        return Lattice(size, np.column_stack([axes * signs, origin]))

    def of_array(self, array: Array) -> Array:
        """Return a view of an array (z, y, x), components behind, with its axes reordered."""
        dimension = len(self.order)
        order = [dimension - 1 - axis for axis in self.order[::-1]]
        steps = [slice(None, None, -1 if reverse else 1) for reverse in self.reversed_[::-1]]
        return array.transpose(*order, *range(dimension, array.ndim))[tuple(steps)]


def reordering(lattice: Lattice, target: Lattice) -> Reordering:
    """Return how the axes of a lattice must be reordered to run along those of another lattice.

    That is the signed permutation nearest to the map between their indices; the axes stay as they are where they run
    along none, so that what lies askew is found by its corners.
    """
    dimension = len(lattice.size)
    along = np.linalg.solve(_unit(target.axes), _unit(lattice.axes))
    order = np.argmax(np.abs(along), axis=1)
    if sorted(order) != list(range(dimension)):
        return Reordering(tuple(range(dimension)), (False,) * dimension)
    return Reordering(tuple(map(int, order)), tuple(bool(along[axis, order[axis]] < 0) for axis in range(dimension)))


def _unit(axes: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = axes / np.linalg.norm(axes, axis=0)
    return unit


def offset_mm(lattice: Lattice, target: Lattice) -> float:
    """Return the largest distance of a corner of a lattice to that of another one of the same size, in mm."""
    return float(np.linalg.norm(lattice.corners - target.corners, axis=1).max())


def is_same(lattice: Lattice, target: Lattice, *, single_precision: bool = False) -> bool:
    """Tell whether a lattice of the same size lies where another does, within :data:`TOLERANCE_VOXELS` at every corner.

    Parameters
    ----------
    lattice, target
        The two.
    single_precision
        The lattice was stored in numbers of 32 bits, whose rounding is allowed for (:data:`SINGLE_PRECISION`).
    """
    offsets = np.linalg.solve(target.axes, (lattice.corners - target.corners).T)
    if bool((np.abs(offsets) <= TOLERANCE_VOXELS).all()):
        return True
    return single_precision and offset_mm(lattice, target) <= SINGLE_PRECISION * _extent(target)


def _extent(lattice: Lattice) -> float:
    """Return how large the numbers are that corners are computed of: the origin, and the lengths of all axes, in mm."""
    lengths = np.linalg.norm(lattice.axes, axis=0) * (np.array(lattice.size) - 1)
    return float(np.abs(lattice.origin).max() + lengths.sum())


def departures(volume: SubVolume) -> tuple[Irregularity, ...]:
    """Return why the slices of a volume are no regular grid: gaps, shared positions, or tilt beyond 1 mm over all.

    A volume without positions departs from none.
    """
    slices = volume.ascending
    positioned = points(slices)
    if positioned is None:
        return ()
    positions, orientation = positioned
    geometry = regularity(positions, orientation, tolerance(slices))
    along = positions_on_normal(positions, orientation)
    found = []
    if geometry.gaps:
        before, behind = geometry.gaps[0]
        message = (
            f"{slices[before].name} and {slices[behind].name} are {along[behind] - along[before]:.4g} mm apart,"
            f" most neighbours {geometry.spacing_mm:.4g} mm"
        )
        found.append(Irregularity("gap", message, _files(slices, geometry.gaps)))
    if geometry.duplicates:
        shared = geometry.duplicates[0]
        message = f"{slices[shared[0]].name} and {slices[shared[1]].name} stand at one position"
        found.append(Irregularity("duplicate-position", message, _files(slices, geometry.duplicates)))
    through = normal(orientation)
    steps = np.array(positions) - np.array(positions[0])
    sideways = np.linalg.norm(steps - np.outer(steps @ through, through), axis=1)
    furthest = int(sideways.argmax())
    if sideways[furthest] > TILT_TOLERANCE_MM:
        message = f"{slices[furthest].name} lies {sideways[furthest]:.3g} mm beside the normal through {slices[0].name}"
        found.append(Irregularity("tilt", message, _files(slices, [(0, furthest)])))
    return tuple(found)


def _files(slices: Sequence[Slice], groups: Sequence[Sequence[int]]) -> tuple[str, ...]:
    """Return the files of the slices with these indices, each once."""
    return tuple(dict.fromkeys(slices[index].instance.name for group in groups for index in group))
