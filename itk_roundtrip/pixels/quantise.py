"""Real-world values of a processed slice to stored values, with the error that this makes. numpy only.

Two passes, so that a volume of any size is handled slice by slice, in worker processes: :func:`survey` of each slice;
:func:`itk_roundtrip.pixels.grids.decide` once; :func:`quantise` of each slice on the grid that it got.

A stored value is ``round((value - intercept) / slope)`` in double precision, ties to even. Its error is
``|slope * SV + intercept - value|``, at most half the slope. The error is 0 where the real-world value of the stored
value, rounded to float32 (or float16, if the array is of it), is the value: so it is with what ITK makes of a stored
value, in a float64 array as well. It is 0 within the rounding of double precision too. Padding pixels are those whose
stored value in the source is Pixel Padding Value (0028,0120), or from there to Pixel Padding Range Limit (0028,0121).
Their words stay, whatever the array holds there, and they are in no figure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from itk_roundtrip.errors import RoundtripError
from itk_roundtrip.pixels.formats import Array, PixelFormat, masked
from itk_roundtrip.pixels.grids import Grid, SourceGrid, Survey, rescale

_ROUNDING = 2.0**-53
"""Largest relative error of rounding to double precision."""
_BLOCK = 1 << 14
"""Values that errors are computed of at once: they stay in the cache of a core, which is twice as fast."""


@dataclass(frozen=True)
class Figures:
    """What became of the values of a slice, or of several: numbers of pixels, and errors in real-world units.

    Attributes
    ----------
    error
        Largest of values that were not clipped.
    clip_error, clipped
        Largest of clipped values, and their number.
    padded, filled
        Padding pixels of the source, and pixels without a finite value, which became padding.
    moved
        Values moved off the padding.
    changed
        Stored values that are not those of the source, whatever they stand for.
    """

    error: float = 0.0
    clip_error: float = 0.0
    clipped: int = 0
    padded: int = 0
    filled: int = 0
    moved: int = 0
    changed: int = 0

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            max(self.error, other.error),
            max(self.clip_error, other.clip_error),
            self.clipped + other.clipped,
            self.padded + other.padded,
            self.filled + other.filled,
            self.moved + other.moved,
            self.changed + other.changed,
        )


NO_FIGURES = Figures()
"""Of pixels that were not processed."""


def total(figures: Iterable[Figures]) -> Figures:
    """Return the figures of several slices together."""
    return sum(figures, Figures())


def survey(real: Array, words: Array, source: SourceGrid) -> Survey:
    """Return what the values of a slice ask of a grid.

    Parameters
    ----------
    real
        Real-world values: bool, integers, float16, float32 or float64; shape (rows, columns), or (rows, columns, 3) for
        colours.
    words
        Pixel words of the source, of the same shape; of single bits, 0 and 1.
    source
        Grid of the source.

    Raises
    ------
    RoundtripError
        The array is of another type or shape.
    """
    padded, valued = _pixels(real, words, source)
    values = real if valued is None else real[valued]
    nan = infinite = 0
    if values.size < real.size and real.dtype.kind == "f":
        others = real if padded is None else real[~padded]
        nan, infinite = int(np.isnan(others).sum()), int(np.isinf(others).sum())
    is_finite = nan == infinite == 0
    if not values.size:
        return Survey(nan=nan, infinite=infinite, unchanged=is_finite)
    stored = _nearest(values, *rescale(source.pixel_format))
    lowest, highest = float(stored.min()), float(stored.max())
    moved = _moved_off_padding(values, stored, source.pixel_format, source)
    error = 0.0 if _is_exact(stored) and moved is None else _largest_error(values, stored, source.pixel_format)
    before = masked(words.astype(source.pixel_format.dtype, copy=False), source.pixel_format)
    unchanged = is_finite and np.array_equal(stored, before if valued is None else before[valued])
    return Survey(float(values.min()), float(values.max()), lowest, highest, error, nan, infinite, unchanged)


def quantise(real: Array, words: Array, grid: Grid) -> tuple[Array, Figures]:
    """Return the pixel words of a slice on its grid, and what became of its values.

    A word of the source stays, with its unused bits, where the same stored value is written in the same format. All
    other unused bits repeat the sign, or are 0.

    Parameters
    ----------
    real, words
        As for :func:`survey`.
    grid
        Of the slice.

    Returns
    -------
    words, figures
        Words in the type of ``grid.pixel_format`` and the shape of ``real``.

    Raises
    ------
    RoundtripError
        The array is of another type or shape, or its values are not those of the survey.
    """
    source, pixel_format = grid.source, grid.pixel_format
    padded, valued = _pixels(real, words, source)
    values = real if valued is None else real[valued]
    stored = _nearest(values, *rescale(pixel_format))
    low, high = pixel_format.stored_range
    clipped, clip_error = None, 0.0
    if stored.size and not (low <= stored.min() and stored.max() <= high):
        clipped = (stored < low) | (stored > high)
        stored = np.clip(stored.astype(np.float64), low, high)
        clip_error = _largest_error(values[clipped], stored[clipped], pixel_format)
    moved = _moved_off_padding(values, stored, pixel_format, source)
    if clipped is not None:
        error = _largest_error(values[~clipped], stored[~clipped], pixel_format)
    elif _is_exact(stored) and moved is None:
        error = 0.0
    else:
        error = _largest_error(values, stored, pixel_format)
    padding_pixels = _count(padded)
    figures = Figures(
        error=error,
        clip_error=clip_error,
        clipped=_count(clipped),
        padded=padding_pixels,
        filled=real.size - values.size - padding_pixels,
        moved=_count(moved),
    )
    if (figures.clipped and grid.rule != "clipped") or (figures.filled and source.padding_range is None):
        raise RoundtripError(f"{source.name} has values that its grid was not made for.", path=source.name)

    words = words.astype(source.pixel_format.dtype, copy=False)
    source_stored = masked(words, source.pixel_format)
    if valued is None:
        result = stored.astype(pixel_format.dtype)
    else:
        result = np.full(real.shape, source.padding_value or 0, np.int64).astype(pixel_format.dtype)
        result[valued] = stored.astype(pixel_format.dtype)
        if padded is not None:
            result[padded] = _comparable(words, source)[padded]
    is_changed = result != source_stored
    if padded is not None:
        is_changed &= ~padded
    if grid.same_words and pixel_format.bits_stored < pixel_format.bits_allocated:
        result = np.where(is_changed, np.left_shift(result, pixel_format.bits_below), words)
    return result, figures + Figures(changed=_count(is_changed))


# ------------------------------------------------------------------------------------------- pixels of a slice


class _Pixels(NamedTuple):
    """Where padding pixels are, and where pixels with values to store; ``None`` for nowhere and for everywhere."""

    padded: Array | None
    valued: Array | None


def _pixels(real: Array, words: Array, source: SourceGrid) -> _Pixels:
    """Return where padding pixels and pixels with finite values are.

    Raises
    ------
    RoundtripError
        The array is of a type that has no stored values, or its shape is not that of the slice.
    """
    if real.dtype.kind not in "biuf" or real.dtype.itemsize > 8:
        raise RoundtripError(
            f"Values of the type {real.dtype.name} cannot be stored; pass integers, float32 or float64.",
            path=source.name,
        )
    if real.shape != words.shape:
        raise RoundtripError(
            f"The values have the shape {real.shape}, and the pixels of {source.name} {words.shape}.", path=source.name
        )
    padded = valued = None
    if padding := source.padding_range:
        compared = _comparable(words.astype(source.pixel_format.dtype, copy=False), source)
        where = (compared >= padding[0]) & (compared <= padding[1])
        if where.any():
            padded, valued = where, ~where
    if real.dtype.kind == "f":
        finite = np.isfinite(real)
        if not finite.all():
            valued = finite if valued is None else valued & finite
    return _Pixels(padded, valued)


def _comparable(words: Array, source: SourceGrid) -> Array:
    """Return what padding values are compared with: stored values, or whole words if padding is beyond Bits Stored."""
    (low, high), padding = source.pixel_format.stored_range, source.padding_range
    beyond = padding is not None and not (low <= padding[0] and padding[1] <= high)
    return words if beyond else masked(words, source.pixel_format)


def _count(where: Array | None) -> int:
    return 0 if where is None else int(np.count_nonzero(where))


# -------------------------------------------------------------------------------------------- stored values


def _nearest(values: Array, slope: float, intercept: float) -> Array:
    """Return the nearest stored values: as integers where arithmetic is exact in them, else as float64."""
    if values.dtype.kind in "biu" and slope == 1 and float(intercept).is_integer() and abs(intercept) < 2**30:
        if values.dtype.itemsize <= 2:
            return np.subtract(values, int(intercept), dtype=np.int32, casting="unsafe")
        if values.size and int(values.min()) >= -(2**53) and int(values.max()) <= 2**53:
            return np.subtract(values.astype(np.int64), int(intercept))
    stored = values.astype(np.float64)
    with np.errstate(over="ignore"):
        stored -= intercept
        stored /= slope
    return np.rint(stored, out=stored)


def _is_exact(stored: Array) -> bool:
    """Tell whether the nearest stored values are the values themselves, without any error."""
    return stored.dtype.kind == "i"


def _moved_off_padding(values: Array, stored: Array, pixel_format: PixelFormat, source: SourceGrid) -> Array | None:
    """Move stored values in the padding range, in place, to the nearest outside it; return which, ``None`` for none.

    ``stored`` may be beyond the range of the format; what is in it stays in it.
    """
    padding = source.padding_range
    if padding is None:
        return None
    moved: Array = (stored >= padding[0]) & (stored <= padding[1])
    if not moved.any():
        return None
    slope, intercept = rescale(pixel_format)
    low, high = pixel_format.stored_range
    below, above = padding[0] - 1, padding[1] + 1
    exact = (values[moved].astype(np.float64) - intercept) / slope
    is_down = exact - below <= above - exact
    if below < low <= padding[1]:
        is_down[:] = False
    elif padding[0] <= high < above:
        is_down[:] = True
    stored[moved] = np.where(is_down, below, above)
    return moved


def _largest_error(values: Array, stored: Array, pixel_format: PixelFormat) -> float:
    """Return the largest error of stored values, in real-world units; 0 for what is but rounding of the values.

    Parameters
    ----------
    values, stored
        Of the same shape.
    pixel_format
        With slope and intercept.
    """
    slope, intercept = rescale(pixel_format)
    values, stored, largest = values.reshape(-1), stored.reshape(-1), 0.0
    for start in range(0, values.size, _BLOCK):
        part = values[start : start + _BLOCK]
        with np.errstate(over="ignore", invalid="ignore"):
            real = stored[start : start + _BLOCK] * np.float64(slope)
            real += intercept
            error = np.subtract(real, part, dtype=np.float64)
            np.abs(error, out=error)
            tolerance = np.abs(part, dtype=np.float64)
            tolerance *= 4 * _ROUNDING
            tolerance += 8 * _ROUNDING * abs(intercept)
            is_rounding = error <= tolerance
            if part.dtype.kind == "f":
                is_rounding |= real.astype(min(part.dtype, np.dtype(np.float32))) == part
        error[is_rounding] = 0
        largest = max(largest, float(error.max()))
    return largest
