"""Plane geometry of a series, in mm and in the patient coordinate system (LPS), PS3.3 C.7.6.2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ORIENTATION_TOLERANCE = 1e-4
"""Direction cosines that differ by less are the same orientation."""
POSITION_TOLERANCE_MM = 1e-2
"""Slices closer than this along the normal are at one position; spacings that differ by less are equal."""
SPACING_TOLERANCE_FRACTION = 1e-2
"""Spacings that differ by less than this part of their median are equal too (scanners round positions)."""
TILT_TOLERANCE_DEGREES = 0.1
"""Slices that step sideways by less than this are not tilted."""

OBLIQUE_DEGREES = 5.0
"""A plane whose normal is further than this from its axis is called oblique."""

Cosines = tuple[float, float, float, float, float, float]
Point = tuple[float, float, float]
AXIAL: Cosines = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""The orientation of an image that says none, as ITK has it."""


def normal(image_orientation_patient: Cosines) -> NDArray[np.float64]:
    """Return the unit normal, shape (3,), of Image Orientation (Patient) (0020,0037); zeros if it spans no plane."""
    cosines = np.asarray(image_orientation_patient, dtype=np.float64)
    product = np.cross(cosines[:3], cosines[3:])
    length = float(np.linalg.norm(product))
    return product / length if length > 0 else np.zeros(3)


def same_orientation(a: Cosines, b: Cosines) -> bool:
    """Tell whether two orientations agree within :data:`ORIENTATION_TOLERANCE`."""
    return all(abs(one - other) <= ORIENTATION_TOLERANCE for one, other in zip(a, b, strict=True))


def positions_on_normal(image_positions_patient: Sequence[Point], orientation: Cosines) -> NDArray[np.float64]:
    """Return the positions, shape (slices,), in mm, of Image Position (Patient) (0020,0032) along the normal."""
    return np.asarray(image_positions_patient, dtype=np.float64).reshape(-1, 3) @ normal(orientation)


@dataclass(frozen=True)
class Regularity:
    """How the slices of one orientation, in the order of their positions, are spaced.

    Attributes
    ----------
    spacing_mm
        Median distance of neighbouring positions; ``None`` with fewer than two positions.
    positions
        Number of distinct positions.
    gaps
        Index pairs of neighbours whose distance is not the median.
    duplicates
        Groups of indices that share one position.
    tilt_degrees
        Angle between the line of the slice corners and the normal.
    """

    spacing_mm: float | None
    positions: int
    gaps: tuple[tuple[int, int], ...]
    duplicates: tuple[tuple[int, ...], ...]
    tilt_degrees: float


def regularity(image_positions_patient: Sequence[Point], orientation: Cosines) -> Regularity:
    """Describe the spacing of slices given in the order of their positions on the normal.

    Parameters
    ----------
    image_positions_patient
        One (x, y, z) in mm per slice, sorted along the normal.
    orientation
        Direction cosines shared by all of them.
    """
    points = np.asarray(image_positions_patient, dtype=np.float64).reshape(-1, 3)
    along = positions_on_normal(image_positions_patient, orientation)
    groups: list[list[int]] = []
    for index, position in enumerate(along):
        if groups and abs(position - along[groups[-1][0]]) < POSITION_TOLERANCE_MM:
            groups[-1].append(index)
        else:
            groups.append([index])
    firsts = [group[0] for group in groups]
    steps = np.diff(along[firsts])
    spacing = float(np.median(steps)) if len(steps) else None
    gaps: tuple[tuple[int, int], ...] = ()
    tilt = 0.0
    if spacing is not None:
        tolerance = max(POSITION_TOLERANCE_MM, SPACING_TOLERANCE_FRACTION * spacing)
        gaps = tuple((groups[i][-1], firsts[i + 1]) for i, step in enumerate(steps) if abs(step - spacing) > tolerance)
        walk = points[firsts[-1]] - points[firsts[0]]
        length = float(np.linalg.norm(walk))
        cosine = abs(float(along[firsts[-1]] - along[firsts[0]])) / length if length > 0 else 1.0
        tilt = float(np.degrees(np.arccos(min(1.0, cosine))))
    return Regularity(
        spacing_mm=spacing,
        positions=len(groups),
        gaps=gaps,
        duplicates=tuple(tuple(group) for group in groups if len(group) > 1),
        tilt_degrees=tilt if tilt > TILT_TOLERANCE_DEGREES else 0.0,
    )


def step(along: NDArray[np.float64]) -> float:
    """Return how far apart slices are along the normal, in mm, with its sign: all of them, or most neighbours.

    0 if they are at one place, or there is only one.
    """
    steps = np.diff(along)
    apart = steps[np.abs(steps) > POSITION_TOLERANCE_MM]
    if not len(apart):
        return 0.0
    usual = float(np.median(apart))
    tolerance = max(POSITION_TOLERANCE_MM, SPACING_TOLERANCE_FRACTION * abs(usual))
    return float(steps.mean()) if np.all(np.abs(steps - usual) <= tolerance) else usual


def plane_name(orientation: Cosines) -> str:
    """Return ``axial``, ``coronal`` or ``sagittal``, with ``oblique`` before it if more than 5 degrees off."""
    components = np.abs(normal(orientation))
    axis = int(np.argmax(components))
    name = ("sagittal", "coronal", "axial")[axis]
    return name if components[axis] >= np.cos(np.radians(OBLIQUE_DEGREES)) else f"oblique {name}"
