"""Plane geometry and the order of slices."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from synthetic import make_uid, series_instance_uid, write_series

from itk_roundtrip import Series, find_series, read_series
from itk_roundtrip.series.geometry import (
    ORIENTATION_TOLERANCE,
    POSITION_TOLERANCE_MM,
    SPACING_TOLERANCE_FRACTION,
    TILT_TOLERANCE_DEGREES,
    Cosines,
    Point,
    normal,
    plane_name,
    positions_on_normal,
    regularity,
    same_orientation,
)

AXIAL: Cosines = (1, 0, 0, 0, 1, 0)
SAGITTAL: Cosines = (0, 1, 0, 0, 0, -1)
CORONAL: Cosines = (1, 0, 0, 0, 0, -1)


def rotated(degrees: float) -> Cosines:
    """Return the axial plane turned about the x axis."""
    angle = math.radians(degrees)
    return (1, 0, 0, 0, math.cos(angle), math.sin(angle))


def stack(places: Sequence[float], orientation: Cosines = AXIAL) -> list[Point]:
    """Return the corners of slices that stand at ``places`` on the normal."""
    corner, direction = np.array([-125.0, 30.5, 7.25]), normal(orientation)
    points = [corner + place * direction for place in places]
    return [(float(point[0]), float(point[1]), float(point[2])) for point in points]


# ------------------------------------------------------------------------------------------ the plane


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [(AXIAL, (0, 0, 1)), (SAGITTAL, (-1, 0, 0)), (CORONAL, (0, 1, 0)), ((0, 1, 0, 1, 0, 0), (0, 0, -1))],
)
def test_normal_is_the_cross_product_of_row_and_column(orientation: Cosines, expected: Point) -> None:
    """The sign decides which slice is the first."""
    assert np.allclose(normal(orientation), expected)


def test_normal_has_length_one() -> None:
    """Cosines written with few digits are no unit vectors, and positions along the normal are in mm all the same."""
    assert np.linalg.norm(normal((0.7, 0.7, 0, 0, 0, -0.9))) == pytest.approx(1)


@pytest.mark.parametrize("orientation", [(0, 0, 0, 0, 0, 0), (1, 0, 0, 1, 0, 0), (0, 1, 0, 0, -1, 0)])
def test_orientation_that_spans_no_plane(orientation: Cosines) -> None:
    """De-identifiers and converters write zeros or two equal axes; that must not divide by zero."""
    assert normal(orientation).tolist() == [0, 0, 0]
    assert positions_on_normal(stack([0, 2, 4]), orientation).tolist() == [0, 0, 0]
    found = regularity(stack([0, 2, 4]), orientation)
    assert (found.positions, found.spacing_mm, found.gaps) == (1, None, ())
    assert found.duplicates == ((0, 1, 2),)


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, CORONAL, rotated(17)])
def test_positions_along_the_normal(orientation: Cosines) -> None:
    """What counts is the distance along the normal, whichever axis that is nearest to."""
    along = positions_on_normal(stack([3, -2.5, 0], orientation), orientation)
    assert along - along[2] == pytest.approx([3, -2.5, 0])


def test_no_positions() -> None:
    """A series without slices is empty, not an error."""
    assert positions_on_normal([], AXIAL).shape == (0,)
    found = regularity([], AXIAL)
    assert (found.positions, found.spacing_mm, found.gaps, found.duplicates, found.tilt_degrees) == (0, None, (), (), 0)


@pytest.mark.parametrize(
    ("orientation", "name"),
    [
        (AXIAL, "axial"),
        (CORONAL, "coronal"),
        (SAGITTAL, "sagittal"),
        ((-1, 0, 0, 0, 1, 0), "axial"),
        (rotated(4.9), "axial"),
        (rotated(5.1), "oblique axial"),
        (rotated(44), "oblique axial"),
        (rotated(46), "oblique coronal"),
        (rotated(-86), "coronal"),
    ],
)
def test_name_of_a_plane(orientation: Cosines, name: str) -> None:
    """People look for the coronal series; a tilt of a few degrees does not make it another."""
    assert plane_name(orientation) == name


@pytest.mark.parametrize("index", range(6))
@pytest.mark.parametrize(("part", "same"), [(0.9, True), (1.1, False)])
def test_orientation_tolerance(index: int, part: float, same: bool) -> None:
    """Scanners round the cosines of each slice on their own; a localizer is another orientation."""
    cosines = list(AXIAL)
    cosines[index] += part * ORIENTATION_TOLERANCE
    other: Cosines = (cosines[0], cosines[1], cosines[2], cosines[3], cosines[4], cosines[5])
    assert same_orientation(AXIAL, other) is same
    assert same_orientation(other, AXIAL) is same


# --------------------------------------------------------------------------------------- the spacing


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, rotated(31)])
def test_regular_series(orientation: Cosines) -> None:
    """A regular series has nothing to report, in any orientation."""
    found = regularity(stack([0, 2.5, 5, 7.5], orientation), orientation)
    assert found.spacing_mm == pytest.approx(2.5)
    assert (found.positions, found.gaps, found.duplicates, found.tilt_degrees) == (4, (), (), 0)


def test_single_slice_has_no_spacing() -> None:
    """Not 0 and not 1: there is no neighbour to measure to."""
    found = regularity(stack([7]), AXIAL)
    assert (found.positions, found.spacing_mm, found.gaps, found.duplicates, found.tilt_degrees) == (1, None, (), (), 0)


@pytest.mark.parametrize("places", [[0, 2, 4, 8, 10], [0, 2, 4, 7], [0, 3], [0, 2, 4, 4.5, 9, 13, 13.25]])
def test_spacing_is_the_median_step(places: list[float]) -> None:
    """Of an even number of steps, the mean of the two in the middle."""
    assert regularity(stack(places), AXIAL).spacing_mm == pytest.approx(statistics.median(np.diff(places)))


def test_missing_slice_is_a_gap() -> None:
    """A lost file shifts everything above it if the volume is taken for regular."""
    assert regularity(stack([0, 2, 4, 8, 10]), AXIAL).gaps == ((2, 3),)
    assert regularity(stack([0, 2, 4, 8, 10]), AXIAL).spacing_mm == pytest.approx(2)


def test_slice_too_near_is_a_gap_too() -> None:
    """Overlapping slabs put a slice between two others."""
    assert regularity(stack([0, 2, 4, 5, 6, 8]), AXIAL).gaps == ((2, 3), (3, 4))


def test_gap_beside_duplicates_names_the_neighbours() -> None:
    """With several slices at a position, the pair is the last before and the first after the gap."""
    found = regularity(stack([0, 0, 2, 2, 4, 4, 8, 8]), AXIAL)
    assert found.gaps == ((5, 6),)
    assert found.duplicates == ((0, 1), (2, 3), (4, 5), (6, 7))
    assert found.positions == 4
    assert found.spacing_mm == pytest.approx(2)


@pytest.mark.parametrize(("excess", "gaps"), [(0.9, ()), (1.1, ((1, 2),))])
@pytest.mark.parametrize("spacing", [0.5, 1.0, 5.0])
def test_spacing_tolerance(spacing: float, excess: float, gaps: tuple[tuple[int, int], ...]) -> None:
    """Positions are rounded to 0.01 mm or so; more than a hundredth of the spacing is a gap."""
    step = spacing + excess * max(POSITION_TOLERANCE_MM, SPACING_TOLERANCE_FRACTION * spacing)
    places = [0, spacing, spacing + step, 2 * spacing + step, 3 * spacing + step]
    assert regularity(stack(places), AXIAL).gaps == gaps


@pytest.mark.parametrize(("distance", "positions"), [(0.9, 2), (1.1, 3)])
def test_position_tolerance(distance: float, positions: int) -> None:
    """Echoes of one slice may differ in the last digit of their position and are still at one position."""
    found = regularity(stack([0, distance * POSITION_TOLERANCE_MM, 2.5]), AXIAL)
    assert found.positions == positions
    assert found.duplicates == (((0, 1),) if positions == 2 else ())


@pytest.mark.parametrize("degrees", [0.15, 12, -16.5])
def test_tilt_is_the_angle_between_corners_and_normal(degrees: float) -> None:
    """A tilted gantry makes a sheared volume, which no ITK image can hold."""
    points = [(-125.0, 30 + 2.5 * index * math.tan(math.radians(degrees)), 2.5 * index) for index in range(5)]
    found = regularity(points, AXIAL)
    assert found.tilt_degrees == pytest.approx(abs(degrees))
    assert found.gaps == ()


def test_tilt_below_the_tolerance_is_none() -> None:
    """Rounded corners make a tiny angle that means nothing."""
    shift = 2.5 * math.tan(math.radians(0.9 * TILT_TOLERANCE_DEGREES))
    assert regularity([(0, shift * index, 2.5 * index) for index in range(4)], AXIAL).tilt_degrees == 0


@pytest.mark.parametrize(("beside", "degrees"), [(30.0, math.degrees(math.atan(12))), (0.01, 0)])
def test_a_slice_beside_the_line_of_the_others(beside: float, degrees: float) -> None:
    """First and last corner alone do not tell where the others are; rounded ones are on the line."""
    points: list[Point] = [(beside * (index == 2), 0, 2.5 * index) for index in range(5)]
    assert regularity(points, AXIAL).tilt_degrees == pytest.approx(degrees)


def test_descending_positions_along_the_normal_tilt_alike() -> None:
    """Whichever end is the first, the angle is the same."""
    points: list[Point] = [(0, 1.0 * index, 2.5 * index) for index in range(4)]
    there, back = regularity(points, AXIAL), regularity(points[::-1], AXIAL)
    assert there.tilt_degrees == pytest.approx(back.tilt_degrees)
    assert there.tilt_degrees == pytest.approx(math.degrees(math.atan(0.4)))


# ------------------------------------------------------------------------------- the order of a series


def found_in(folder: Path) -> Series:
    """Return the one series of a folder."""
    (series,) = find_series(folder)
    return series


def kinds(series: Series) -> list[str]:
    return [one.kind for one in series.irregularities]


def heights(series: Series) -> list[float]:
    return [one.image_position_patient[2] for one in series.instances if one.image_position_patient]


def test_descending_files_stand_in_ascending_positions(tmp_path: Path) -> None:
    """Most CT are scanned head first: the first file is the topmost slice."""
    files = write_series(tmp_path, geometry="descending")
    series = found_in(tmp_path)
    assert [one.path.name for one in series.instances] == [file.name for file in reversed(files)]
    assert heights(series) == sorted(heights(series))
    assert kinds(series) == []


def test_order_is_by_position_not_by_name(tmp_path: Path) -> None:
    """An archive's export names files by UID or at random."""
    files = write_series(tmp_path, slices=9, names="shuffled")
    assert [file.name for file in files] != sorted(file.name for file in files)
    series = found_in(tmp_path)
    assert [one.path.name for one in series.instances] == [file.name for file in files]
    assert [one.instance_number for one in series.instances] == [str(number) for number in range(1, 10)]


@pytest.mark.parametrize("spacing", [0.009, 0.004, 0.0009])
def test_slices_of_some_micrometres_are_one_volume(spacing: float, tmp_path: Path) -> None:
    """Micro-CT has slices that are closer than the noise of other positions."""
    order = [3, 0, 5, 1, 4, 2]
    write_series(tmp_path, slices=6, attributes={
        "ImagePositionPatient": [rf"0\0\{spacing * place:.6f}" for place in order],
        "PixelSpacing": rf"{spacing}\{spacing}", "SpacingBetweenSlices": f"{spacing}", "SliceThickness": f"{spacing}",
    })  # fmt: skip
    series = found_in(tmp_path)
    assert kinds(series) == []
    assert heights(series) == sorted(heights(series))
    assert series.slice_spacing_mm == pytest.approx(spacing)
    volume = read_series(series)
    assert list(volume.image.GetSpacing()) == pytest.approx([spacing] * 3)


def test_order_without_positions_is_by_number(tmp_path: Path) -> None:
    """Secondary captures have no positions; 2 stands before 10."""
    order = ["10", "2", "1", "9"]
    write_series(tmp_path, modality="SC", attributes={"InstanceNumber": order})
    series = found_in(tmp_path)
    assert [one.instance_number for one in series.instances] == ["1", "2", "9", "10"]
    assert series.geometry is None
    assert kinds(series) == ["unknown-spacing"]  # that they have no position is as it must be


def test_order_without_numbers_is_by_name_as_people_read_it(tmp_path: Path) -> None:
    """With nothing else to go by, file 2 stands before file 10."""
    write_series(tmp_path, slices=11, modality="SC", names="numbers", attributes={"InstanceNumber": b""})
    assert [one.name for one in found_in(tmp_path).instances] == [str(number) for number in range(1, 12)]


@pytest.mark.parametrize("name", ["\u00b2", "10\u00b2", "IM\uff11", "\u0663", "-1", "1e5", "00", "1.2.3"])
def test_any_digit_in_a_name(tmp_path: Path, name: str) -> None:
    """What one alphabet calls a digit need not be a number; a name must never stop a search."""
    files = write_series(tmp_path, slices=3)
    files[0].rename(tmp_path / name)
    assert len(found_in(tmp_path).instances) == 3


def test_sagittal_series_stands_along_its_own_normal(tmp_path: Path) -> None:
    """The normal of a sagittal plane points to the right: ascending x is descending order."""
    write_series(tmp_path, geometry="sagittal")
    positions = [one.image_position_patient for one in found_in(tmp_path).instances]
    assert [round(position[0], 3) for position in positions if position] == [-117.5, -120.0, -122.5, -125.0]


def test_missing_slice_is_reported_with_its_neighbours(tmp_path: Path) -> None:
    """The first question about a gap is where it is."""
    files = write_series(tmp_path, slices=6, geometry="gap")
    (gap,) = found_in(tmp_path).irregularities
    assert gap.kind == "gap"
    assert gap.files == (files[-2].name, files[-1].name)


def test_duplicate_position(tmp_path: Path) -> None:
    """A slice sent twice under a new UID takes the place of another."""
    files = write_series(tmp_path, geometry="duplicate")
    series = found_in(tmp_path)
    (duplicate,) = series.irregularities
    assert duplicate.kind == "duplicate-position"
    assert duplicate.files == (files[-2].name, files[-1].name)
    assert series.pass_indices == (0, 0, 0, 1)


def test_echoes_are_several_volumes_in_one_series(tmp_path: Path) -> None:
    """Two echoes interleave: at each position the shorter echo time comes first."""
    write_series(tmp_path, slices=6, modality="MR", geometry="echoes")
    series = found_in(tmp_path)
    assert kinds(series) == ["4-D"]
    assert heights(series) == [7.25, 7.25, 9.75, 9.75, 12.25, 12.25]
    assert [one.echo_time for one in series.instances] == ["2.46", "4.92"] * 3
    assert series.pass_indices == (0, 1) * 3


def test_passes_are_told_apart_by_acquisition_then_time(tmp_path: Path) -> None:
    """Dynamic series repeat the positions; instance numbers may run either way, acquisitions rise."""
    write_series(
        tmp_path,
        slices=4,
        modality="MR",
        geometry="same",
        attributes={"AcquisitionNumber": ["2", "1", "2", "1"], "TemporalPositionIdentifier": ["9", "10", "10", "9"]},
    )
    instances = found_in(tmp_path).instances
    order = [(one.acquisition_number, one.temporal_position) for one in instances]
    assert order == [("1", "9"), ("1", "10"), ("2", "9"), ("2", "10")]


def test_rounded_positions_do_not_tear_a_pass_apart(tmp_path: Path) -> None:
    """Two passes whose positions differ by a micrometre interleave by acquisition all the same."""
    positions = [rf"0\0\{place}" for place in ("0", "2.5", "0.0000001", "2.4999999")]
    write_series(
        tmp_path,
        modality="MR",
        attributes={"ImagePositionPatient": positions, "AcquisitionNumber": ["2", "2", "1", "1"]},
    )
    series = found_in(tmp_path)
    assert [one.acquisition_number for one in series.instances] == ["1", "2", "1", "2"]
    assert kinds(series) == ["4-D"]


def test_all_at_one_position_is_no_volume(tmp_path: Path) -> None:
    """A perfusion series of a single slice: no spacing, no gap, no division by zero."""
    write_series(tmp_path, geometry="same")
    series = found_in(tmp_path)
    assert kinds(series) == ["duplicate-position"]
    assert series.geometry is not None
    assert (series.geometry.spacing_mm, series.geometry.positions) == (None, 1)
    assert series.pass_indices == (0, 1, 2, 3)


def test_tilted_gantry_is_reported(tmp_path: Path) -> None:
    """Sheared volumes look right slice by slice and wrong in every reformat."""
    write_series(tmp_path, geometry="tilt")
    series = found_in(tmp_path)
    assert kinds(series) == ["tilt"]
    assert series.geometry is not None
    assert series.geometry.tilt_degrees == pytest.approx(math.degrees(math.atan(0.5 / 2.5)))


def test_rounded_by_the_scanner_is_regular(tmp_path: Path) -> None:
    """Positions that wobble in the last digit must not raise a false alarm."""
    write_series(tmp_path, slices=8, geometry="wobble")
    assert kinds(found_in(tmp_path)) == []


@pytest.mark.parametrize("geometry", ["coronal", "sagittal"])
def test_localizer_among_the_slices(tmp_path: Path, geometry: str) -> None:
    """Some scanners file the localizer into the series; it has no place on the normal of the others."""
    last = {"geometry": geometry, "attributes": {"ImageType": r"ORIGINAL\PRIMARY\LOCALIZER"}}
    files = write_series(tmp_path, slices=5, last_slice=last)
    series = found_in(tmp_path)
    assert series.geometry is None
    found = {one.kind: one.files for one in series.irregularities}
    assert found == {"localizer": (files[-1].name,), "mixed-orientation": (files[-1].name,)}


def test_nothing_but_localizers(tmp_path: Path) -> None:
    """A scout series is said to be one."""
    write_series(tmp_path, slices=2, attributes={"ImageType": r"ORIGINAL\PRIMARY\LOCALIZER"})
    assert kinds(found_in(tmp_path)) == ["localizer"]


def test_one_slice_without_a_position(tmp_path: Path) -> None:
    """One slice without a position, as an appended capture, leaves no geometry to speak of."""
    files = write_series(tmp_path, last_slice={"geometry": "none"})
    series = found_in(tmp_path)
    assert series.geometry is None
    assert {one.kind: one.files for one in series.irregularities} == {"no-position": (files[-1].name,)}


def test_degenerate_orientation_in_a_file(tmp_path: Path) -> None:
    """An orientation of zeros is read, kept, and orders nothing: numbers do."""
    zeros = r"0\0\0\0\0\0"
    write_series(tmp_path, attributes={"ImageOrientationPatient": zeros, "InstanceNumber": ["4", "3", "2", "1"]})
    assert [one.instance_number for one in found_in(tmp_path).instances] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("text", [r"nan\0\0", r"0\0", "", r"1e999\0\0", r"a\b\c"])
def test_position_that_is_none(tmp_path: Path, text: str) -> None:
    """Broken numbers in a position count as no position, not as a crash or as a place far away."""
    write_series(tmp_path, last_slice={"attributes": {"ImagePositionPatient": text}})
    series = found_in(tmp_path)
    assert [one.image_position_patient is None for one in series.instances].count(True) == 1
    assert "no-position" in kinds(series)


def test_files_that_are_listed_twice_as_one_instance(tmp_path: Path) -> None:
    """Two files of one SOP Instance UID are told by name."""
    uids = [make_uid("instance", 0, index % 3) for index in range(4)]
    files = write_series(tmp_path, attributes={"SOPInstanceUID": uids})
    found = {one.kind: one.files for one in found_in(tmp_path).irregularities}
    assert found == {"duplicate-uid": (files[0].name, files[3].name)}


def test_two_series_in_one_folder_are_kept_apart(tmp_path: Path) -> None:
    """The same place in the patient does not make two series one."""
    write_series(tmp_path, beside=("other_series",))
    found = find_series(tmp_path)
    assert {one.series_instance_uid: len(one.instances) for one in found} == {
        series_instance_uid(0): 4,
        series_instance_uid(1): 2,
    }
