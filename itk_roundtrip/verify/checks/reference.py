"""Check of the real-world values of a written file against those of a reference image or array."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from itk_roundtrip import tags
from itk_roundtrip.verify.checks.derived import declared_bound, declared_clipped
from itk_roundtrip.verify.checks.pixels import padding_mask, padding_range
from itk_roundtrip.verify.findings import Finding
from itk_roundtrip.verify.pair import Pair
from itk_roundtrip.verify.registry import reports
from itk_roundtrip.verify.stored import UndecodableError, stored_values
from itk_roundtrip.words import agreeing, counted


@reports("PIX-03")
def within_half_a_step(pair: Pair) -> Iterator[Finding]:
    """Check real-world values against the reference, if there is one.

    They must lie within half a step of their slope and one rounding of the reference's numbers, and differ by no more
    than Derivation Description says; as many must be clipped as it says. Padding pixels are left out. A value whose
    nearest stored value means padding may lie at the nearest that does not.
    """
    if not pair.reference:
        return
    try:
        values = pair.pixel_difference.values
        values = stored_values(pair.written_pixels)[0] if values is None else values
    except UndecodableError as error:
        yield pair.finding("PIX-03", tags.PIXEL_DATA, f"cannot be compared with the reference: {error}")
        return
    frames = [np.load(file, mmap_mode="r")[index] for file, index in pair.reference]
    expected = np.stack(frames) if len(frames) > 1 else np.asarray(frames[0])
    shape = values.shape if values.shape[-1] > 1 else values.shape[:-1]
    shape = shape if shape[0] > 1 else shape[1:]
    if expected.shape != shape:
        yield pair.finding("PIX-03", tags.PIXEL_DATA, "is of another size than a slice of the reference")
        return
    deviation = _deviation(pair, values, expected.reshape(values.shape))
    if np.any(deviation.excessive):
        yield pair.finding("PIX-03", tags.PIXEL_DATA, _excess(deviation))
    bound = declared_bound(pair)
    if bound is not None and deviation.largest > bound * (1 + 1e-9):
        message = "the error is larger than Derivation Description says"
        yield pair.finding("PIX-03", tags.DERIVATION_DESCRIPTION, message)
    if pair.derived and deviation.clipped != declared_clipped(pair):
        clipped = f"{counted(deviation.clipped, 'value')} {agreeing(deviation.clipped, 'is', 'are')} clipped"
        message = f"{clipped}, and not so many declared"
        yield pair.finding("PIX-03", tags.DERIVATION_DESCRIPTION, message)


@dataclass(frozen=True)
class _Deviation:
    """Deviation of real-world values from the reference.

    Attributes
    ----------
    excessive
        Where they lie further than half a step from it, or it is not a number.
    largest
        Largest deviation.
    clipped
        Number of values at a limit of the stored values, or beside the padding there, where the reference lies beyond.
    not_numbers
        Number of values of the reference that are not a number.
    """

    excessive: NDArray[np.bool_]
    largest: float
    clipped: int
    not_numbers: int


def _deviation(pair: Pair, values: NDArray[Any], reference: NDArray[Any]) -> _Deviation:
    """Return the deviation of the real-world values of stored values; padding and clipped ones do not count.

    Parameters
    ----------
    pair
        Files.
    values, reference
        Stored values, and the real-world values that they must stand for, shape (frames, rows, columns, samples).
    """
    slopes, intercepts = pair.written_pixels.scale
    real = values * slopes + intercepts
    expected = reference.astype(np.float64)
    step = np.broadcast_to(np.abs(slopes), values.shape)
    apart = np.abs(real - expected)
    # ITK hands out values in float32: what it rounds is no error of what was written.
    is_rounding = apart <= 4 * np.spacing(np.fmax(np.abs(real), np.abs(expected)))
    if reference.dtype.kind == "f":
        is_rounding |= real.astype(np.float32) == expected.astype(np.float32)
    at_limit = np.zeros(values.shape, bool)
    for limit, end, sign in zip(pair.written_pixels.limits, _ends(pair), (-1, 1), strict=True):
        is_beyond = sign * np.sign(slopes) * (expected - (limit * slopes + intercepts)) > 0
        at_limit |= is_beyond & (values == end)
    clipped = at_limit & (apart > step / 2) & ~is_rounding
    padding = padding_mask(pair.written, pair.written_pixels, values)
    apart = np.where(clipped | is_rounding if padding is None else clipped | is_rounding | padding, 0.0, apart)
    # A value half-way between two stored values is off by the rounding of the sum that makes it, on either side.
    allowed = step / 2 + 4 * np.spacing(np.fmax(np.fmax(np.abs(real), np.abs(expected)), np.abs(intercepts)))
    if padding is not None:
        beside = _beside_padding(pair, values)
        allowed = np.where(beside, 1.5 * step * (1 + 1e-9), allowed)
    return _Deviation(
        excessive=~(apart <= allowed),  # true where the reference is not a number
        largest=float(np.nanmax(apart, initial=0.0)),
        clipped=int(np.count_nonzero(clipped if padding is None else clipped & ~padding)),
        not_numbers=int(np.count_nonzero(np.isnan(expected) if padding is None else np.isnan(expected) & ~padding)),
    )


def _ends(pair: Pair) -> tuple[int, int]:
    """Return the smallest and the largest stored value that does not mean padding: clipped values have those."""
    low, high = pair.written_pixels.limits
    padding = padding_range(pair.written, pair.written_pixels)
    if padding is not None and padding[0] <= low <= padding[1] < high:
        low = padding[1] + 1
    if padding is not None and low < padding[0] <= high <= padding[1]:
        high = padding[0] - 1
    return low, high


def _beside_padding(pair: Pair, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where a neighbour of the stored value means padding, so that a value may have been moved off it."""
    masks = (padding_mask(pair.written, pair.written_pixels, values.astype(np.int64) + step) for step in (-1, 1))
    before, behind = (np.zeros(values.shape, bool) if mask is None else mask for mask in masks)
    return before | behind


def _excess(deviation: _Deviation) -> str:
    """Return the message on values that are further from the reference than half a step."""
    if deviation.not_numbers:
        are = agreeing(deviation.not_numbers, "is", "are")
        return f"{counted(deviation.not_numbers, 'value')} of the reference {are} no number"
    count = int(np.count_nonzero(deviation.excessive))
    are = agreeing(count, "is", "are")
    return f"{counted(count, 'value')} {are} more than half a step off the reference, at most {deviation.largest:g}"
