"""Slices of an image that lies elsewhere than its source, in the same patient space: their places, and their edits.

:func:`new_grid` finds for each slice of the image its place, its nearest source slice and those that contributed;
:func:`new_grid_edits` returns what is edited in the header of the nearest one, by the table of
:mod:`itk_roundtrip.new_grids`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from itk_roundtrip import tags
from itk_roundtrip.dicom import values
from itk_roundtrip.dicom.decimals import decimals
from itk_roundtrip.dicom.edits import Edit, Edits, Removed
from itk_roundtrip.errors import ImageError
from itk_roundtrip.new_grids import (
    GRID_RULES,
    REFORMATTING_CODE,
    RESAMPLING_CODE,
    When,
    is_pixel_plane,
    private_rule,
)
from itk_roundtrip.pixels.grids import decimal_text
from itk_roundtrip.series.geometry import ORIENTATION_TOLERANCE, Cosines
from itk_roundtrip.series.lattice import Lattice, lattice_of_slices
from itk_roundtrip.series.volumes import Slice, tolerance

Vector = NDArray[np.float64]

_SAME = 1e-6
"""Direction cosines, and parts of a spacing or a voxel, that differ by less are those of the source: so do numbers of
32 bits, as NIfTI has them."""
_DECIMALS = 10
"""Digits behind the point of positions in mm: a decimal string has room for no more of most of them."""
_SAME_DISTANCE = 1e-4
"""Part of the distance of slices by which scanners round it."""
_MOST_PIXELS = 2**16 - 1
"""Largest value of Rows and Columns, which are of VR US."""
_OBLIQUE = 0.01
"""Parts of a direction that are less have no letter."""
_PERPENDICULAR = 1e-4
"""Largest cosine between two axes of an image that are perpendicular."""


@dataclass(frozen=True)
class NewSlice:
    """Slice of an image on another grid than the source: its place, and what is said of its source.

    Attributes
    ----------
    index, count
        Of the slice from 0, along the normal; number of slices.
    nearest
        Name of the nearest source instance, whose header it gets.
    rows, columns
        Of the image.
    position
        Image Position (Patient) in mm.
    orientation
        Direction cosines; ``None`` where they are those of the source.
    spacing
        Pixel Spacing; the numbers of the source where they are the same.
    thickness, location
        Slice Thickness and Slice Location; ``None`` where those of the source hold.
    between
        Spacing Between Slices.
    differs
        Conditions of :data:`itk_roundtrip.new_grids.GRID_RULES` that hold of the series.
    """

    index: int
    count: int
    nearest: str
    rows: int
    columns: int
    position: tuple[float, ...]
    orientation: Cosines | None
    spacing: tuple[float, ...]
    thickness: float | None
    between: float
    location: float | None
    differs: frozenset[When]

    @property
    def number(self) -> str:
        """Number of the slice, from 1, in as many digits for all slices."""
        return f"{self.index + 1:0{max(4, len(str(self.count)))}}"


@dataclass(frozen=True)
class NewGrid:
    """Grid of an image that is no grid of the source.

    Attributes
    ----------
    slices
        Along the normal.
    nearest, contributing
        Index of the nearest source slice of each, and indices of all others that contributed to its values.
    statement
        For Derivation Description.
    identity
        Of size and place, for the UIDs.
    code
        Code of CID 7203 for what was done; ``None`` where voxels of the source were only left out.
    """

    slices: tuple[NewSlice, ...]
    nearest: tuple[int, ...]
    contributing: tuple[tuple[int, ...], ...]
    statement: str
    identity: str
    code: tuple[str, str, str] | None


def new_grid(
    lattice: Lattice, source: Sequence[Slice], footprint_slices: int | None, *, is_cut_out: bool = False
) -> NewGrid:
    """Return the grid of an image in the patient space of a volume.

    Parameters
    ----------
    lattice
        Where the voxels of the image lie; its third axis runs along the normal of the first two.
    source
        Slices of the volume, along their normal, all with a position and one orientation.
    footprint_slices
        Source slices on each side that contributed beside those between which the voxels of a slice lie; ``None`` if
        all did.
    is_cut_out
        Voxels of the volume were left out, no more.

    Raises
    ------
    ImageError
        The image lies beside the volume, or its axes are not perpendicular.
    """
    volume = lattice_of_slices(source)
    _check_place(lattice, volume)
    spacing, unit = np.linalg.norm(lattice.axes, axis=0), lattice.axes / np.linalg.norm(lattice.axes, axis=0)
    source_spacing = np.linalg.norm(volume.axes, axis=0)
    source_unit = volume.axes / source_spacing
    columns, rows, count = lattice.size
    is_parallel = bool(np.abs(unit - source_unit).max() <= _SAME)
    has_spacing = bool(np.all(np.abs(spacing[:2] - source_spacing[:2]) <= _SAME * source_spacing[:2]))

    positions = lattice.origin + np.outer(np.arange(count), lattice.axes[:, 2])
    centres = positions + lattice.axes[:, :2] @ ((np.array([columns, rows]) - 1) / 2)
    along = np.array([slice_.place.position for slice_ in source]) @ source_unit[:, 2]
    nearest = [int(np.abs(along - centre @ source_unit[:, 2]).argmin()) for centre in centres]
    offsets = np.array(
        [position @ source_unit[:, 2] - along[at] for position, at in zip(positions, nearest, strict=True)]
    )
    are_planes = is_parallel and bool(np.abs(offsets).max() <= tolerance(source))

    residues = positions - (volume.origin + np.outer(nearest, volume.axes[:, 2]))
    if are_planes:  # of positions that a scanner rounded, those that it wrote
        positions = np.array([source[at].place.position for at in nearest]) + residues
    in_voxels = np.linalg.solve(volume.axes, residues.T)[:2]
    first, pixel_spacing = source[0].instance, (float(spacing[1]), float(spacing[0]))
    if has_spacing and source[0].place.spacing is not None:
        pixel_spacing = source[0].place.spacing
    are_pixels = bool(
        are_planes
        and has_spacing
        and (rows, columns) == (first.rows, first.columns)
        and np.abs(in_voxels).max() <= _SAME
    )
    if are_pixels:
        positions = np.array([source[at].place.position for at in nearest])
    # Of every second slice or mean values around it, the values tell which, and the place does not.
    are_slices = are_planes and (is_cut_out or count == 1 or _is_near(spacing[2], source_spacing[2]))
    are_voxels = are_slices and has_spacing and np.abs(in_voxels - np.rint(in_voxels)).max() <= _SAME
    differs: set[When] = {"always"}
    differs |= {"planes"} if not are_slices else set()
    differs |= {"pixels"} if not are_pixels else set()
    differs |= {"place"} if not (are_slices and are_pixels) else set()
    differs |= {"orientation"} if not is_parallel else set()
    x, y, z, u, v, w = map(float, unit[:, :2].T.ravel())
    cosines = None if is_parallel else (x, y, z, u, v, w)
    is_reformatted = bool(np.abs(unit[:, 2] - source_unit[:, 2]).max() > ORIENTATION_TOLERANCE)

    slices = tuple(
        NewSlice(
            index=index,
            count=count,
            nearest=source[nearest[index]].instance.name,
            rows=rows,
            columns=columns,
            position=tuple(map(float, position)),
            orientation=cosines,
            spacing=pixel_spacing,
            thickness=None if are_slices else float(spacing[2]),
            between=float(spacing[2]),
            location=None if are_slices else float(position @ unit[:, 2]),
            differs=frozenset(differs),
        )
        for index, position in enumerate(positions)
    )
    size = f"{columns} x {rows} x {count}"
    statement = f"new grid, {size} voxels of {spacing[0]:.4g} x {spacing[1]:.4g} x {spacing[2]:.4g} mm"
    return NewGrid(
        slices,
        tuple(nearest),
        _contributing(lattice, positions, along, source_unit[:, 2], nearest, footprint_slices, are_slices=are_slices),
        statement + (", of another orientation" if is_reformatted else ""),
        repr((lattice.size, np.round(lattice.index_to_lps, _DECIMALS).tolist())),
        REFORMATTING_CODE
        if is_reformatted
        else None
        if has_spacing and (is_cut_out or are_voxels)
        else RESAMPLING_CODE,
    )


def _is_near(number: float, other: float) -> bool:
    return abs(number - other) <= _SAME * abs(other)


def _check_place(lattice: Lattice, volume: Lattice) -> None:
    """Refuse an image whose axes are not perpendicular, or of which nothing lies in the volume."""
    unit = lattice.axes / np.linalg.norm(lattice.axes, axis=0)
    if np.abs(unit.T @ unit - np.eye(3)).max() > _PERPENDICULAR:
        raise ImageError("The axes of the image are not perpendicular, which the slices of a series must be.")
    if max(lattice.size[:2]) > _MOST_PIXELS:
        raise ImageError(f"The image has more than {_MOST_PIXELS} rows or columns, which no slice can have.")
    corners = np.linalg.solve(volume.axes, (lattice.corners - volume.origin).T)
    if np.any(corners.max(axis=1) < -0.5) or np.any(corners.min(axis=1) > np.array(volume.size) - 0.5):
        raise ImageError("The image lies beside the volume of the source, so that nothing in it is of the source.")


def _contributing(
    lattice: Lattice,
    positions: Vector,
    along: Vector,
    through: Vector,
    nearest: Sequence[int],
    footprint_slices: int | None,
    *,
    are_slices: bool,
) -> tuple[tuple[int, ...], ...]:
    """Return the indices of the source slices that contributed to each slice, beside the nearest.

    Those between which its voxels lie, as interpolation takes them, and those that its thickness covers; with the
    footprint on either side.
    """
    columns, rows, _ = lattice.size
    steps = np.array([lattice.axes[:, 0] * (columns - 1), lattice.axes[:, 1] * (rows - 1)]) @ through
    half = 0.0 if are_slices else abs(float(lattice.axes[:, 2] @ through)) / 2
    noise = 1e-6 * float(np.abs(np.diff(along)).min(initial=1.0))
    result = []
    for position, own in zip(positions @ through, nearest, strict=True):
        if footprint_slices is None:
            result.append(tuple(index for index in range(len(along)) if index != own))
            continue
        low, high = position + np.minimum(steps, 0).sum(), position + np.maximum(steps, 0).sum()
        first = last = own
        if not are_slices:
            first = min(
                int(np.searchsorted(along, low + noise, "right")) - 1, int(np.searchsorted(along, low - half + noise))
            )
            last = max(int(np.searchsorted(along, high - noise)), int(np.searchsorted(along, high + half - noise)) - 1)
        first, last = first - footprint_slices, last + footprint_slices
        result.append(tuple(index for index in range(max(0, first), min(len(along) - 1, last) + 1) if index != own))
    return tuple(result)


def decimal_strings(numbers: Sequence[float]) -> str:
    """Return numbers as a value of VR DS, each of at most 16 characters (PS3.5 6.2)."""
    rounded = (round(number, _DECIMALS) + 0.0 for number in numbers)
    return "\\".join(decimal_text(Decimal(repr(number)), ROUND_HALF_EVEN) for number in rounded)


def new_grid_edits(source: Dataset, place: NewSlice) -> Edits:
    """Return the edits of the header of the nearest source slice, by tag.

    Parameters
    ----------
    source
        Data set of the nearest source instance, undecoded.
    place
        Of the slice.
    """
    result: Edits = {}
    for rule in GRID_RULES:
        if rule.action == "remove" and rule.when in place.differs and rule.tag in source:
            result[rule.tag] = Removed(rule.tag)
    for tag in map(int, source.keys()):
        private = private_rule(tag, values.text(source, tags.creator_tag(tag))) if tag >> 16 & 1 else None
        is_stale = is_pixel_plane(tag) and "pixels" in place.differs
        if is_stale or (private is not None and private.when in place.differs):
            result[tag] = Removed(tag)
    for tag, numbers in (
        (tags.IMAGE_POSITION_PATIENT, place.position),
        (tags.IMAGE_ORIENTATION_PATIENT, place.orientation),
        (tags.PIXEL_SPACING, place.spacing),
    ):
        if numbers is not None and not _holds(source, tag, numbers):
            result[tag] = Edit(tag, "DS", decimal_strings(numbers).encode("ascii"))
    for tag, number in (
        (tags.SLICE_THICKNESS, place.thickness),
        (tags.SPACING_BETWEEN_SLICES, place.between),
        (tags.SLICE_LOCATION, place.location),
    ):
        within = _SAME_DISTANCE if tag == tags.SPACING_BETWEEN_SLICES else 0.0
        if number is not None and tag in source and not _holds(source, tag, [number], within=within):
            result[tag] = Edit(tag, "DS", decimal_strings([number]).encode("ascii"))
    if "orientation" in place.differs and tags.PATIENT_ORIENTATION in source and place.orientation is not None:
        is_biped = values.text(source, tags.ANATOMICAL_ORIENTATION_TYPE) in ("", "BIPED")
        letters = "\\".join(map(_letters, (place.orientation[:3], place.orientation[3:]))) if is_biped else ""
        result[tags.PATIENT_ORIENTATION] = Edit(tags.PATIENT_ORIENTATION, "CS", letters.encode("ascii"))
    for tag, size in (
        (tags.ROWS, place.rows),
        (tags.COLUMNS, place.columns),
        (tags.IMAGE_INDEX, place.index + 1),
        (tags.NUMBER_OF_SLICES, place.count),
    ):
        if tag in source:
            result[tag] = Edit(tag, "US", values.word("US", size))
    return result


def _letters(direction: Sequence[float]) -> str:
    """Return the letters of a direction in mm and LPS, the largest part first (PS3.3 C.7.6.1.1.1)."""
    parts = sorted(zip(direction, ("LR", "PA", "HF"), strict=True), key=lambda part: -abs(part[0]))
    return "".join(letters[number < 0] for number, letters in parts if abs(number) > _OBLIQUE)


def _holds(source: Dataset, tag: int, numbers: Sequence[float], *, within: float = 0.0) -> bool:
    """Tell whether an attribute of the source has these numbers already, ``within`` a part of them."""
    before = decimals(values.text(source, tag))
    return len(before) == len(numbers) and all(
        math.isclose(old, new, rel_tol=within, abs_tol=10.0**-_DECIMALS)
        for old, new in zip(before, numbers, strict=True)
    )
