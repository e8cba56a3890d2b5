"""Checks of a series on another grid than its source: one volume of its own, in the space and within reach of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from itk_roundtrip import tags
from itk_roundtrip.series.find import Instance
from itk_roundtrip.series.geometry import POSITION_TOLERANCE_MM, normal, positions_on_normal
from itk_roundtrip.series.volumes import distance, slices_of
from itk_roundtrip.verify.findings import Finding, make_finding
from itk_roundtrip.verify.pairing import BY_REGION, Paired, centre_on_normal
from itk_roundtrip.verify.registry import reports
from itk_roundtrip.verify.series_pair import SeriesPair

POSITION_TOLERANCE = 1e-6
"""Distance in mm to which positions of slices must be equally far apart, where the header does not round them."""
_PART_OF_SPACING = 1e-3
"""Spacing attributes that differ from the distance of the slices by less, in parts of it, say the same."""


@reports("GEO-02", "GEO-01")
def new_grid(series: SeriesPair) -> Iterator[Finding]:
    """Check that slices on a new grid are one regular volume, in the frame of reference and the place of the source."""
    if not series.pairing.by_region:
        return
    written = series.written.instances
    position, rows = tags.IMAGE_POSITION_PATIENT, tags.ROWS
    for instance in written:
        place = instance.place(None)
        if None in (place.position, place.orientation, place.spacing):
            yield make_finding("GEO-01", "does not say where it lies", tag=position, name=instance.name)
            return
    first = written[0]
    for instance in written[1:]:
        place, of_first = instance.place(None), first.place(None)
        if (instance.rows, instance.columns) != (first.rows, first.columns):
            yield make_finding("GEO-01", "is of another size than the first slice", tag=rows, name=instance.name)
        if place.orientation != of_first.orientation or place.spacing != of_first.spacing:
            message = "has another orientation or spacing than the first slice"
            yield make_finding("GEO-01", message, tag=tags.IMAGE_ORIENTATION_PATIENT, name=instance.name)
    yield from _steps(series)
    yield from _distances(series)
    if not _overlaps(series):
        message = "lies beside the volume of the source, so that nothing in it is of the source"
        yield make_finding("GEO-02", message, tag=position, name=first.name, count=len(written))


def _steps(series: SeriesPair) -> Iterator[Finding]:
    """Yield findings on slices that do not follow each other along the normal at one distance.

    Positions that are those of source slices may be as irregular as these are.
    """
    written = series.written.instances
    orientation = written[0].image_orientation_patient
    points = np.array([instance.image_position_patient for instance in written])
    if orientation is None or len(written) < 3:
        return
    mean = (points[-1] - points[0]) / (len(points) - 1)
    beside = np.linalg.norm(points - (points[0] + np.outer(np.arange(len(points)), mean)), axis=1)
    if _is_cut_out(series):
        return
    for index in np.flatnonzero(beside > POSITION_TOLERANCE):
        message = f"lies {beside[index]:.3g} mm beside where slices at one distance do"
        yield make_finding(
            "GEO-02",
            message,
            tag=tags.IMAGE_POSITION_PATIENT,
            name=written[index].name,
            severity="error" if beside[index] > POSITION_TOLERANCE_MM else "warning",
        )


def _is_cut_out(series: SeriesPair) -> bool:
    """Tell whether all slices lie in planes of the source, whose positions its scanner rounded."""
    source = series.source.instances
    orientation = source[0].image_orientation_patient
    if orientation is None or orientation != series.written.instances[0].image_orientation_patient:
        return False
    planes, written = (
        positions_on_normal([instance.image_position_patient or (0.0, 0.0, 0.0) for instance in instances], orientation)
        for instances in (source, series.written.instances)
    )
    return bool(np.abs(written[:, None] - planes[None]).min(axis=1).max() < 1e-4)


def _distances(series: SeriesPair) -> Iterator[Finding]:
    """Yield findings on Spacing Between Slices and Slice Location that contradict the positions."""
    written = series.written.instances
    apart = distance(slices_of(written))
    if len(written) < 2 or not apart:
        return
    for instance in written:
        between = instance.place(None).between
        if between is not None and abs(abs(between) - abs(apart)) > _PART_OF_SPACING * abs(apart):
            message = f"is not the distance of the slices, {abs(apart):.6g} mm"
            yield make_finding("GEO-02", message, tag=tags.SPACING_BETWEEN_SLICES, name=instance.name)


def _overlaps(series: SeriesPair) -> bool:
    """Tell whether the box of the written slices, in the axes of the source, meets that of the source."""
    orientation = series.source.instances[0].image_orientation_patient
    if orientation is None:
        return True
    axes = np.array([orientation[:3], orientation[3:], normal(orientation)])
    boxes = []
    for instances in (series.source.instances, series.written.instances):
        corners = np.concatenate([_corners(instance) for instance in instances]) @ axes.T
        thickness = abs(distance(slices_of(instances)) or 1.0) / 2
        boxes.append((corners.min(axis=0) - thickness, corners.max(axis=0) + thickness))
    (low, high), (written_low, written_high) = boxes
    return bool(np.all(written_low <= high) and np.all(low <= written_high))


def _corners(instance: Instance) -> NDArray[np.float64]:
    """Return the centres of the four corner pixels, shape (4, 3), in mm; none without a place."""
    place = instance.place(None)
    if place.position is None or place.orientation is None or place.spacing is None:
        return np.empty((0, 3))
    along_row = np.array(place.orientation[:3]) * place.spacing[1] * ((instance.columns or 1) - 1)
    along_column = np.array(place.orientation[3:]) * place.spacing[0] * ((instance.rows or 1) - 1)
    corners = [place.position, place.position + along_row, place.position + along_column]
    return np.array([*corners, place.position + along_row + along_column])


@reports("DER-03")
def nearest(series: SeriesPair) -> Iterator[Finding]:
    """Check that the last item of Source Image Sequence refers to the nearest source slice."""
    if not series.pairing.by_region:
        return
    for paired in series.pairing.pairs:
        if paired.by == BY_REGION and not _is_nearest(series, paired):
            message = "the last item does not refer to the nearest source slice"
            yield make_finding("DER-03", message, tag=tags.SOURCE_IMAGE_SEQUENCE, name=paired.written.name)


def _is_nearest(series: SeriesPair, paired: Paired) -> bool:
    """Tell whether no source slice is nearer to the centre of a written one than that which it refers to."""
    orientation = paired.source.image_orientation_patient
    if orientation is None or paired.written.image_position_patient is None:
        return True
    centre = centre_on_normal(paired.written, orientation)
    points = [instance.image_position_patient or (np.inf,) * 3 for instance in series.source.instances]
    away = np.abs(positions_on_normal(points, orientation) - centre)
    own = abs(positions_on_normal([paired.source.image_position_patient or (0.0, 0.0, 0.0)], orientation)[0] - centre)
    return bool(own <= np.nanmin(away) + 1e-3)
