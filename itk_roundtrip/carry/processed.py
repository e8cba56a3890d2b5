"""Processed pixels of an instance: real-world values of the caller, surveyed, quantised and described. No output.

The values stand in a ``.npy`` file, of which each worker reads those of its slab. A first pass surveys all slices, so
that the grids of the series can be chosen (:func:`itk_roundtrip.pixels.grids.decide`). In the second, a slab is
carried as one without processing is, but for its pixel words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from itk_roundtrip import tags
from itk_roundtrip.derivation.processing import ProcessedPixels
from itk_roundtrip.derivation.regrid import NewSlice
from itk_roundtrip.dicom.headers import Header
from itk_roundtrip.itk_io.view import Plane
from itk_roundtrip.pixels.formats import Array, masked
from itk_roundtrip.pixels.grids import Grid, SourceGrid, Survey, rescale
from itk_roundtrip.pixels.kinds import Carriage
from itk_roundtrip.pixels.quantise import Figures, survey
from itk_roundtrip.series.find import Instance, Slice
from itk_roundtrip.volume.checks import check_real_values
from itk_roundtrip.volume.read import format_of_slice


@dataclass(frozen=True)
class Values:
    """Real-world values of the planes of an instance, and what the values of each were made of.

    Attributes
    ----------
    places
        Of each plane: ``.npy`` file, shape (slices, rows, columns) with samples behind, and the index in it.
    contributing
        SOP Class UID and SOP Instance UID of other instances that contributed to the values.
    contributing_frames
        Of each plane that is a frame, numbers from 1 of the other frames that contributed.
    grids
        Of each plane; empty until they are chosen.
    new_slice
        Place of a slice on a new grid, whose instance is the nearest of the source; ``None`` for the slice of the
        source itself.
    lossy
        Nearest other instance that contributed and lost detail by compression; ``None`` if the instance itself did.
    """

    places: tuple[tuple[Path, int], ...]
    contributing: tuple[tuple[str, str], ...] = ()
    contributing_frames: tuple[tuple[int, ...], ...] = ()
    grids: tuple[Grid, ...] = ()
    new_slice: NewSlice | None = None
    lossy: Instance | None = None

    def of_plane(self, frame: int | None) -> Array:
        """Return the values of a plane, shape (rows, columns), samples behind."""
        file, index = self.places[frame or 0]
        values: Array = np.load(file, mmap_mode="r")[index]
        return values

    @property
    def bound(self) -> float:
        """Half the largest slope of the planes: the largest error that rounding makes, in real-world units."""
        return max(abs(rescale(grid.pixel_format)[0]) / 2 for grid in self.grids)


def lossy_contributor(slices: Sequence[Slice], index: int, contributing: Iterable[int]) -> Instance | None:
    """Return the instance of the nearest contributing slice that lost detail; ``None`` if that at the index did."""
    if slices[index].instance.lost_detail:
        return None
    lossy = [other for other in contributing if slices[other].instance.lost_detail]
    return slices[min(lossy, key=lambda other: abs(other - index))].instance if lossy else None


@dataclass(frozen=True)
class PlaneSurvey:
    """The grid of a plane of the source, and what the values of the plane ask of a grid."""

    grid: SourceGrid
    survey: Survey


def survey_plane(source: Header, plane: Plane, words: Array | None, values: Array) -> PlaneSurvey:
    """Survey the values of a plane.

    Parameters
    ----------
    source, plane
        Header of the source, and the plane.
    words
        Pixel words of the source, shape (rows, columns), samples behind; ``None`` for a slice of a new grid.
    values
        Real-world values, of the same shape.

    Raises
    ------
    UnsupportedSeriesError
        The pixels of the source are no real-world values.
    RoundtripError
        The values are of another type or shape.
    """
    check_real_values(plane.instance, plane.carriage, source, to_process=True)
    grid = source_grid(source, plane)
    if words is None:
        of_new_slice = survey(values, words_of_new_slice(values, grid), grid)
        return PlaneSurvey(grid, replace(of_new_slice, unchanged=False))
    return PlaneSurvey(grid, survey(values, words, grid))


def source_grid(source: Header, plane: Plane) -> SourceGrid:
    """Return grid and padding of a plane of the source."""
    instance, carriage = plane.instance, plane.carriage
    pixel_format = format_of_slice(Slice(instance, plane.frame), carriage)
    if pixel_format.samples > 1:
        pixel_format = replace(pixel_format, slope=None, intercept=None)
    slope, intercept = (instance.frame_value(keyword, plane.frame) for keyword in ("RescaleSlope", "RescaleIntercept"))
    if not slope and not intercept:
        slope = instance.dose_grid_scaling or instance.rescale_slope
        intercept = instance.rescale_intercept
    padding, limit = (_word(source, tag) for tag in (tags.PIXEL_PADDING_VALUE, tags.PIXEL_PADDING_RANGE_LIMIT))
    return SourceGrid(
        pixel_format,
        slope.strip() if pixel_format.slope is not None else "",
        intercept.strip() if pixel_format.intercept is not None else "",
        padding,
        limit if padding is not None else None,
        instance.name,
    )


def _word(source: Header, tag: int) -> int | None:
    """Return the first value of an element of 16 bits as an unsigned number; ``None`` if it is absent or empty."""
    value = source.raw(tag)
    return int.from_bytes(value[:2], "little") if value else None


def source_words(source: Header, plane: Plane, by_itk: Array | None) -> Array:
    """Return the pixel words of a plane of the source, shape (rows, columns), samples behind.

    Parameters
    ----------
    source, plane
        Header of the source, and the plane.
    by_itk
        What ITK read of it, in the format that it was shown; needed of compressed pixels only.
    """
    if by_itk is not None and source.encapsulated:
        return plane.carriage.stored(by_itk)
    instance, pixel_format = plane.instance, plane.carriage.pixel_format
    samples = [pixel_format.samples] if pixel_format.samples > 1 else []
    shape = (instance.frames, instance.rows or 0, instance.columns or 0, *samples)
    frames = plane.carriage.from_native(source.raw(tags.PIXEL_DATA) or b"", shape)
    words: Array = frames[plane.frame or 0]
    return words


def words_of_new_slice(values: Array, grid: SourceGrid) -> Array:
    """Return pixel words for a slice of a new grid, of which the source has none: padding where the values mean it.

    So do values that are exactly those of padding words: they were cut out of the source, or filled in beside it. All
    other words are the same one that does not mean padding.
    """
    pixel_format, padding = grid.pixel_format, grid.padding_range
    low, high = pixel_format.stored_range
    if padding is None:
        return np.full(values.shape, 0 if low <= 0 <= high else low).astype(pixel_format.dtype)
    outside = next((value for value in (0, low, high) if not padding[0] <= value <= padding[1]), 0)
    slope, intercept = rescale(pixel_format)
    with np.errstate(invalid="ignore", over="ignore"):
        stored = np.rint((values.astype(np.float64) - intercept) / slope)
        real = stored * slope + intercept
        is_padding = (padding[0] <= stored) & (stored <= padding[1])
        is_padding &= np.isclose(real, values.astype(np.float64), rtol=1e-6, atol=1e-6 * abs(slope))
    stored = np.where(is_padding, stored, outside).astype(np.int64)
    is_whole = not (low <= padding[0] and padding[1] <= high)  # then it is whole words that mean padding
    return np.left_shift(stored, 0 if is_whole else pixel_format.bits_below).astype(pixel_format.dtype)


def plane_to_write(plane: Plane, grid: Grid, new_slice: NewSlice | None = None) -> Plane:
    """Return the plane as ITK is to write it: whole words, which mean nothing to it."""
    bits = max(8, grid.pixel_format.bits_allocated)
    plain = replace(
        grid.pixel_format,
        bits_allocated=bits,
        bits_stored=bits,
        high_bit=None,
        monochrome1=False,
        slope=None,
        intercept=None,
    )
    instance = plane.instance
    if new_slice is not None:
        instance = replace(instance, rows=new_slice.rows, columns=new_slice.columns)
    return replace(plane, instance=instance, carriage=Carriage(plain, photometric=plane.carriage.photometric))


def described(values: Values, figures: Figures, words: Sequence[Array], *, by_frame: bool) -> ProcessedPixels:
    """Return what became of the pixels of an instance.

    Parameters
    ----------
    values
        With their grids.
    figures
        Of all planes.
    words
        That are written, of each plane.
    by_frame
        Frames have slopes of their own, in functional groups.
    """
    grid = values.grids[0]
    pixel_format = grid.pixel_format
    stored = [masked(frame, pixel_format) for frame in words]
    high_bit = pixel_format.bits_stored - 1 if pixel_format.high_bit is None else pixel_format.high_bit
    return ProcessedPixels(
        bits_allocated=pixel_format.bits_allocated,
        bits_stored=pixel_format.bits_stored,
        high_bit=high_bit,
        signed=pixel_format.signed,
        smallest=min(int(frame.min()) for frame in stored),
        largest=max(int(frame.max()) for frame in stored),
        slope=grid.slope,
        intercept=grid.intercept,
        real_world_value_mapping=grid.real_world_value_mapping,
        max_error=figures.error,
        clipped=figures.clipped,
        filled=figures.filled,
        moved=figures.moved,
        contributing=values.contributing,
        frames=tuple((each.slope, each.intercept) for each in values.grids) if by_frame else (),
        contributing_frames=values.contributing_frames,
        is_elsewhere=values.new_slice is not None,
    )


def has_rescale_by_frame(instance: Instance) -> bool:
    """Tell whether functional groups of the frames have slope and intercept (PS3.3 C.7.6.16.2.9)."""
    return instance.framed and any(instance.frame_value("RescaleSlope", frame) for frame in range(instance.frames))
