"""Plane geometry of a series, in mm and in the patient coordinate system (LPS), PS3.3 C.7.6.2."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from itk_roundtrip.dicom.decimals import decimals

ORIENTATION_TOLERANCE = 1e-4
"""Direction cosines that differ by less are the same orientation."""
ORTHONORMAL_TOLERANCE = 1e-3
"""Direction cosines are perpendicular unit vectors if their squared lengths and their product are so close to 1 and 0,
as gdcm::DirectionCosines::IsValid has it; real series are within 1e-6."""
POSITION_TOLERANCE_MM = 1e-2
"""Slices closer than this along the normal are at one position; spacings that differ by less are equal."""
POSITION_TOLERANCE_PIXELS = 0.1
"""The same in pixels, for fine pixels, where it is less: slices of micro-CT are some micrometres apart."""
SPACING_TOLERANCE_FRACTION = 1e-2
"""Spacings that differ by less than this part of their median are equal too (scanners round positions)."""
TILT_TOLERANCE_DEGREES = 0.1
"""Slices that step sideways by less than this are not tilted."""

OBLIQUE_DEGREES = 5.0
"""A plane whose normal is further than this from its axis is called oblique."""

Cosines = tuple[float, float, float, float, float, float]
Point = tuple[float, float, float]
AXIAL: Cosines = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""The orientation that ITK gives an image without Image Orientation (Patient)."""


def image_position(text: str) -> Point | None:
    """Return Image Position (Patient) (0020,0032) in mm; ``None`` if the text is not three decimal numbers."""
    values = decimals(text)
    return (values[0], values[1], values[2]) if len(values) == 3 and max(map(abs, values)) < _FARTHEST_MM else None


@functools.lru_cache(256)  # slices share their orientation
def image_orientation(text: str) -> Cosines | None:
    """Return Image Orientation (Patient) (0020,0037); ``None`` if the text is not two perpendicular unit vectors.

    References
    ----------
    DICOM PS3.3 C.7.6.2.1.1
    """
    values = decimals(text)
    if len(values) != 6 or max(map(abs, values)) > 2:
        return None
    x, y, z, u, v, w = values
    errors = x * x + y * y + z * z - 1, u * u + v * v + w * w - 1, x * u + y * v + z * w
    return (x, y, z, u, v, w) if max(map(abs, errors)) < ORTHONORMAL_TOLERANCE else None


@functools.lru_cache(256)
def pixel_spacing(text: str) -> tuple[float, float] | None:
    """Return Pixel Spacing (0028,0030), row and column, in mm; ``None`` if it is not two positive decimal numbers.

    References
    ----------
    DICOM PS3.3 10.7.1.3
    """
    values = decimals(text)
    return (values[0], values[1]) if len(values) == 2 and 0 < min(values) <= max(values) < _FARTHEST_MM else None


_FARTHEST_MM = 1e9


@dataclass(frozen=True)
class PlaneAttribute:
    """An attribute of the Image Plane Module (PS3.3 C.7.6.2): its name, the values it may have, and how to parse it.

    ``irregularity`` is the kind of irregularity that a malformed value is.
    """

    name: str
    irregularity: str
    expected: str
    read: Callable[[str], tuple[float, ...] | None]


PLANE_ATTRIBUTES: Mapping[str, PlaneAttribute] = {
    "ImagePositionPatient": PlaneAttribute(
        "Image Position (Patient)", "malformed-position", "three decimal numbers", image_position
    ),
    "ImageOrientationPatient": PlaneAttribute(
        "Image Orientation (Patient)", "malformed-orientation", "two perpendicular unit vectors", image_orientation
    ),
    "PixelSpacing": PlaneAttribute("Pixel Spacing", "malformed-spacing", "two positive decimal numbers", pixel_spacing),
}
"""By keyword."""


def position_tolerance(pixel_spacings: Iterable[tuple[float, float] | None]) -> float:
    """Return the distance along the normal, in mm, below which slices of these pixel spacings are at one position."""
    finest = min((min(spacing) for spacing in pixel_spacings if spacing), default=math.inf)
    return min(POSITION_TOLERANCE_MM, POSITION_TOLERANCE_PIXELS * finest)


def normal(image_orientation_patient: Cosines) -> NDArray[np.float64]:
    """Return the unit normal, shape (3,), of Image Orientation (Patient) (0020,0037); zeros if it spans no plane."""
    cosines = np.asarray(image_orientation_patient, dtype=np.float64)
    product = np.cross(cosines[:3], cosines[3:])
    length = float(np.linalg.norm(product))
    return product / length if length > 0 else np.zeros(3)


def same_orientation(a: Cosines, b: Cosines) -> bool:
    """Tell whether the direction cosines of two orientations agree within :data:`ORIENTATION_TOLERANCE`."""
    return all(abs(cosine_a - cosine_b) <= ORIENTATION_TOLERANCE for cosine_a, cosine_b in zip(a, b, strict=True))


def positions_on_normal(image_positions_patient: Sequence[Point], orientation: Cosines) -> NDArray[np.float64]:
    """Return each Image Position (Patient) (0020,0032) projected on the normal, shape (slices,), in mm."""
    return np.asarray(image_positions_patient, dtype=np.float64).reshape(-1, 3) @ normal(orientation)


@dataclass(frozen=True)
class Regularity:
    """Spacing, gaps, duplicate positions and tilt of slices of one orientation, in the order of their positions.

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
        Angle between the line of the slice corners and the normal; the largest one if they are on no line.
    """

    spacing_mm: float | None
    positions: int
    gaps: tuple[tuple[int, int], ...]
    duplicates: tuple[tuple[int, ...], ...]
    tilt_degrees: float


def regularity(
    image_positions_patient: Sequence[Point], orientation: Cosines, tolerance_mm: float = POSITION_TOLERANCE_MM
) -> Regularity:
    """Return spacing, gaps, duplicate positions and tilt of slices in the order of their positions on the normal.

    Parameters
    ----------
    image_positions_patient
        Image Position (Patient) of each slice, sorted along the normal.
    orientation
        Direction cosines shared by all of them.
    tolerance_mm
        Of positions, as :func:`position_tolerance` returns it.
    """
    points = np.asarray(image_positions_patient, dtype=np.float64).reshape(-1, 3)
    along = positions_on_normal(image_positions_patient, orientation)
    groups: list[list[int]] = []
    for index, position in enumerate(along):
        if groups and abs(position - along[groups[-1][0]]) < tolerance_mm:
            groups[-1].append(index)
        else:
            groups.append([index])
    firsts = [group[0] for group in groups]
    steps = np.diff(along[firsts])
    spacing = _median(steps) if len(steps) else None
    gaps: tuple[tuple[int, int], ...] = ()
    tilt = 0.0
    if spacing is not None:
        tolerance = max(tolerance_mm, SPACING_TOLERANCE_FRACTION * spacing)
        gaps = tuple((groups[i][-1], firsts[i + 1]) for i, step in enumerate(steps) if abs(step - spacing) > tolerance)
        tilt = _tilt(points[firsts], along[firsts], tolerance)
    return Regularity(
        spacing_mm=spacing,
        positions=len(groups),
        gaps=gaps,
        duplicates=tuple(tuple(group) for group in groups if len(group) > 1),
        tilt_degrees=tilt if tilt > TILT_TOLERANCE_DEGREES else 0.0,
    )


def _tilt(points: NDArray[np.float64], along: NDArray[np.float64], tolerance_mm: float) -> float:
    """Return the angle, in degrees, between the normal and the line through the Image Positions (Patient) of slices.

    The largest angle between neighbouring slices, if the positions lie on no line.
    """
    steps, rises = points[-1:] - points[0], along[-1:] - along[0]
    beside = points - points[0] - np.outer((along - along[0]) / rises, steps)
    # Rounding moves positions beside the line by no more than twice the tolerance.
    if np.abs(beside).max() > 2 * tolerance_mm:
        steps, rises = np.diff(points, axis=0), np.diff(along)
    cosines = np.minimum(1.0, np.abs(rises) / np.linalg.norm(steps, axis=1))
    return float(np.degrees(np.arccos(cosines.min())))


def step(along: NDArray[np.float64], tolerance_mm: float = POSITION_TOLERANCE_MM) -> float:
    """Return the signed slice spacing along the normal, in mm: the mean step if all are equal, else the median.

    0 if all slices are at one position, or there is only one.
    """
    steps = np.diff(along)
    nonzero = steps[np.abs(steps) > tolerance_mm]
    if not len(nonzero):
        return 0.0
    median = _median(nonzero)
    tolerance = max(tolerance_mm, SPACING_TOLERANCE_FRACTION * abs(median))
    return float(steps.mean()) if np.all(np.abs(steps - median) <= tolerance) else median


def plane_name(orientation: Cosines) -> str:
    """Return ``axial``, ``coronal`` or ``sagittal``, with ``oblique`` before it if more than 5 degrees off."""
    components = np.abs(normal(orientation))
    axis = int(np.argmax(components))
    name = ("sagittal", "coronal", "axial")[axis]
    return name if components[axis] >= np.cos(np.radians(OBLIQUE_DEGREES)) else f"oblique {name}"


def _median(values: NDArray[np.float64]) -> float:
    """Return the median as ``numpy.median`` does, which imports numpy's masked arrays for it, 30 ms in each process."""
    ordered = np.sort(values)
    return float(ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1].mean())
