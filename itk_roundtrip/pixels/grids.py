"""The grid that each slice of a processed series is written on, chosen for what its values ask for.

A *grid* is the set of real-world values ``slope * SV + intercept`` that stored values (SV) stand for (PS3.3 C.11.1).
Grids are tried in this order, and the first that holds every slice of the series is taken:

``own``
    That of the source; the texts of slope and intercept stay.
``widened``, ``sign``
    Slope and intercept of the source with more Bits Stored (0028,0101); at last, with the other Pixel Representation.
    Grey values of 8 bits become 16, but not in SOP Classes of 8 bits. Bits Allocated become 32 only in RT Dose.
``new``
    A slope and an intercept made for the values. One for the whole series; in PET one slope for each slice, and no
    intercept; in RT Dose a Dose Grid Scaling (PS3.3 C.8.8.3). Colours and single bits have none.
``clipped``
    That of the source, widened, and values beyond it clipped, if that is allowed.

A value whose stored value would mean padding is moved to the nearest that does not. That costs at most one and a half
slopes; where the way is longer, across a padding range (0028,0121), the grid does not hold the value. New grids lie
beside the padding, so that their error is at most half the slope; those without an intercept lie around it if it is 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import Literal

import numpy as np
from pydicom import uid

from itk_roundtrip.dicom.decimals import decimal
from itk_roundtrip.errors import RoundtripError, UnsupportedSeriesError
from itk_roundtrip.pixels.formats import PixelFormat
from itk_roundtrip.rules import SLOPE_MODALITIES
from itk_roundtrip.words import counted

GridRule = Literal["own", "widened", "sign", "new", "clipped"]

_TEXT_LIMIT = 16
"""Characters in a value of VR DS (PS3.5 6.2)."""
_SLOPE_DIGITS = 9
"""Significant digits of a new slope: so few that 32767 slopes are exact in a decimal string, and zero stays zero."""
_SMALLEST_SLOPE = Decimal("1E-290")
_FARTHEST = 1.5 * (1 + 1e-9)
"""Slopes that a value is moved at most on its way out of the padding."""
_FEW = 16
"""Stored values that leave little of an image."""

_SHORT_MODALITIES = frozenset({"CT", "MR", "PT"})
"""Never more than 16 bits (PS3.3 C.8.2.1, C.8.3.1, C.8.9.4)."""
_EITHER_SIGN_MODALITIES = _SHORT_MODALITIES | {"NM", "OT"}
"""May have either Pixel Representation; that of projections and of ultrasound is 0."""
_SLOPE_MODALITIES = SLOPE_MODALITIES | {"RTDOSE"}
"""The IOD has a slope, which may be added (PS3.3 A.3, A.21, A.18)."""
_UNIT_SLOPE_MODALITIES = frozenset({"DX", "MG", "IO", "PX"})
"""Rescale Slope is 1 (PS3.3 C.8.11.3)."""
_EIGHT_BIT_CLASSES = frozenset({
    uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage, uid.OphthalmicPhotography8BitImageStorage,
    uid.VLEndoscopicImageStorage, uid.VLMicroscopicImageStorage, uid.VLSlideCoordinatesMicroscopicImageStorage,
    uid.VLPhotographicImageStorage,
})  # fmt: skip


@dataclass(frozen=True)
class SourceGrid:
    """Grid and padding of a slice of the source.

    Attributes
    ----------
    pixel_format
        Of its words; slope and intercept are the numbers of the texts.
    slope, intercept
        Texts of Rescale Slope, or Dose Grid Scaling, and of Rescale Intercept; empty if absent.
    padding, padding_limit
        Pixel Padding Value (0028,0120) and Pixel Padding Range Limit (0028,0121); ``None`` if absent.
    name
        Of the file, for messages.
    """

    pixel_format: PixelFormat
    slope: str = ""
    intercept: str = ""
    padding: int | None = None
    padding_limit: int | None = None
    name: str = "A slice"

    @property
    def padding_value(self) -> int | None:
        """Pixel Padding Value in the sign of the words, whatever that of the attribute; colours have none."""
        return self._as_stored(self.padding)

    @property
    def padding_range(self) -> tuple[int, int] | None:
        """Smallest and largest padding value, in the sign of the words; ``None`` without Pixel Padding Value."""
        value, limit = self.padding_value, self._as_stored(self.padding_limit)
        if value is None:
            return None
        return (value, value) if limit is None else (min(value, limit), max(value, limit))

    def _as_stored(self, value: int | None) -> int | None:
        """Return a padding value in the sign of the words; ``None`` for colours (PS3.3 C.7.5.1.1.2)."""
        if value is None or self.pixel_format.samples > 1:
            return None
        span = 1 << max(8, self.pixel_format.bits_allocated)
        half = span // 2 if self.pixel_format.signed else 0
        return (value + half) % span - half


@dataclass(frozen=True)
class Grid:
    """Grid that a slice is written on.

    Attributes
    ----------
    source
        Grid of the source.
    pixel_format
        Of the words that are written; slope and intercept are the numbers of the texts.
    slope, intercept
        Texts, of at most 16 characters if they are new; empty where the attribute is absent.
    rule
        By which it was chosen.
    real_world_value_mapping
        Slope and intercept belong into Real World Value Mapping Sequence (0040,9096), not into Rescale Slope and
        Intercept, which the IOD does not have or fixes.
    """

    source: SourceGrid
    pixel_format: PixelFormat
    slope: str
    intercept: str
    rule: GridRule
    real_world_value_mapping: bool = False

    @property
    def same_words(self) -> bool:
        """Whether words are laid out as those of the source."""
        layouts = [replace(part.pixel_format, slope=None, intercept=None) for part in (self, self.source)]
        return layouts[0] == layouts[1]


@dataclass(frozen=True)
class Survey:
    """What the values of a slice ask of a grid, without its padding pixels.

    Attributes
    ----------
    smallest, largest
        Of the finite values, in real-world units; ``inf`` and ``-inf`` if there are none.
    lowest, highest
        Of their stored values by slope and intercept of the source, if there were any number of bits.
    error
        Largest error then, in real-world units, also that of values moved off the padding.
    nan, infinite
        Numbers of the other values.
    unchanged
        Their stored values by slope and intercept of the source are those of the source.
    """

    smallest: float = math.inf
    largest: float = -math.inf
    lowest: float = math.inf
    highest: float = -math.inf
    error: float = 0.0
    nan: int = 0
    infinite: int = 0
    unchanged: bool = False


def rescale(pixel_format: PixelFormat) -> tuple[float, float]:
    """Return slope and intercept of real-world values; ITK applies none to colours."""
    if pixel_format.samples > 1:
        return 1.0, 0.0
    return pixel_format.effective_slope, pixel_format.effective_intercept


def decide(
    sources: Sequence[SourceGrid],
    surveys: Sequence[Survey],
    *,
    modality: str,
    sop_class_uid: str = "",
    max_error: float | None = None,
    allow_clip: bool = False,
    nan_to: Literal["padding"] | None = None,
) -> tuple[Grid, ...]:
    """Return the grid of each slice of a series.

    Parameters
    ----------
    sources, surveys
        Of each slice.
    modality, sop_class_uid
        Of the series, (0008,0060) and (0008,0016).
    max_error
        Largest error permitted, in real-world units: on slope and intercept of the source, as measured; on a new grid,
        half its slope.
    allow_clip
        Clip values that no grid holds.
    nan_to
        ``padding`` writes NaN and infinite values as padding.

    Raises
    ------
    UnsupportedSeriesError
        No grid holds the values, or not within ``max_error``.
    RoundtripError
        Values are not finite, or ``max_error`` is no number from 0.
    """
    if max_error is not None and not max_error >= 0:
        raise RoundtripError("max_error is 0 or more.")
    _check_finite(sources, surveys, nan_to)
    limit = math.inf if max_error is None else max_error
    formats = [source.pixel_format for source in sources]
    is_bits = any(pixel_format.bits_allocated == 1 for pixel_format in formats)
    is_fixed = is_bits or sop_class_uid in _EIGHT_BIT_CLASSES or any(part.samples > 1 for part in formats)
    ladder = [formats, *([] if is_fixed else _wider_formats(formats, modality))]
    own_limit = 0.0 if is_bits and not allow_clip else limit  # a bit is 0 or 1, and no rounded fraction
    is_near = all(_is_near(source, survey, own_limit) for source, survey in zip(sources, surveys, strict=True))
    own_error = max((survey.error for survey in surveys), default=0.0)
    errors = []
    for step in ladder:
        if all(map(_holds, step, sources, surveys)):
            if is_near:
                return tuple(map(_kept, sources, step))
            errors.append(own_error)
    for grids, bound in () if is_fixed else _new_grids(sources, surveys, modality, limit):
        if bound <= limit:
            return grids
        errors.append(bound)
    widest = ladder[:2][-1]
    if allow_clip and own_error <= limit:
        return tuple(replace(grid, rule="clipped") for grid in map(_kept, sources, widest))
    way_out = "write them as a Parametric Map, whose pixels are floating point, such as with highdicom"
    if allow_clip or min(errors, default=0.0) > limit:
        raise UnsupportedSeriesError(
            "Stored values hold the values of this series with an error of up to"
            f" {min(errors, default=own_error):.4g}, which is more than max_error={limit:g}; permit more, or {way_out}."
        )
    held = list(map(_holds, widest, sources, surveys))
    index = held.index(False) if False in held else max(range(len(surveys)), key=lambda at: surveys[at].error)
    name, found, (slope, intercept) = sources[index].name, surveys[index], rescale(widest[index])
    low, high = sorted(slope * end + intercept for end in widest[index].stored_range)
    raise UnsupportedSeriesError(
        f"{name} has values from {found.smallest:.6g} to {found.largest:.6g}; its stored values stand for those from"
        f" {low:.6g} to {high:.6g} in steps of {abs(slope):g}. Change them, clip them with allow_clip=True, or"
        f" {way_out}.",
        path=name,
        option="allow_clip=True",
    )


def is_coarse(surveys: Sequence[Survey], grids: Sequence[Grid]) -> bool:
    """Tell whether slope and intercept of the source leave little of the values: all are rounded to a few numbers.

    So it is with values from 0 to 1 on a grid of whole numbers. A smaller ``max_error`` makes a new grid.
    """
    spread = max(survey.highest for survey in surveys) - min(survey.lowest for survey in surveys)
    has_new = any(grid.rule == "new" for grid in grids)  # of PET, a slice keeps its own where that is fine enough
    return spread < _FEW and not has_new and any(survey.error > 0 for survey in surveys)


def is_labels(surveys: Sequence[Survey], grids: Sequence[Grid]) -> bool:
    """Tell whether grey values are whole numbers from 0 to some small number, as those of a mask or of labels are."""
    smallest, largest = min(survey.smallest for survey in surveys), max(survey.largest for survey in surveys)
    return (
        smallest == 0 < largest < _FEW
        and max(survey.highest for survey in surveys) - min(survey.lowest for survey in surveys) == largest
        and all(survey.error == 0 for survey in surveys)
        and all(part.source.pixel_format.bits_allocated > 1 and part.source.pixel_format.samples == 1 for part in grids)
    )


def _check_finite(sources: Sequence[SourceGrid], surveys: Sequence[Survey], nan_to: str | None) -> None:
    """Refuse NaN and infinite values that are not to become padding, or cannot."""
    for source, survey in zip(sources, surveys, strict=True):
        if survey.nan + survey.infinite == 0:
            continue
        numbers = f"{survey.nan} NaN and {counted(survey.infinite, 'infinite value')}"
        if nan_to is None:
            raise RoundtripError(
                f"{source.name} has {numbers}, which no stored value stands for; replace them, or write them as padding"
                ' with nan_to="padding".',
                path=source.name,
                option='nan_to="padding"',
            )
        if source.padding_range is None:
            raise RoundtripError(
                f"{source.name} has {numbers}, and no Pixel Padding Value to write them as; replace them.",
                path=source.name,
                tag="(0028,0120)",
            )


# --------------------------------------------------------------------------- slope and intercept of the source


def _wider_formats(formats: Sequence[PixelFormat], modality: str) -> Iterator[list[PixelFormat]]:
    """Yield wider pixel formats for each slice, in the order in which to try them."""
    longest = max(pixel_format.bits_allocated for pixel_format in formats)
    if longest <= 16:
        yield [_with_bits(pixel_format, 16, pixel_format.signed) for pixel_format in formats]
        for signed in (True, False) if modality in _EITHER_SIGN_MODALITIES else ():
            yield [_with_bits(pixel_format, 16, signed) for pixel_format in formats]
    if modality == "RTDOSE" or (longest > 16 and modality not in _SHORT_MODALITIES):
        yield [_with_bits(pixel_format, 32, pixel_format.signed) for pixel_format in formats]


def _with_bits(pixel_format: PixelFormat, bits: int, signed: bool) -> PixelFormat:
    """Return the pixel format with other Bits Allocated, all of them stored."""
    return replace(pixel_format, bits_allocated=bits, bits_stored=bits, signed=signed, high_bit=None)


def _is_near(source: SourceGrid, survey: Survey, limit: float) -> bool:
    """Tell whether values are near enough to stored values outside the padding, by their own slope and intercept."""
    return survey.error <= min(limit, _FARTHEST * abs(rescale(source.pixel_format)[0]))


def _holds(pixel_format: PixelFormat, source: SourceGrid, survey: Survey) -> bool:
    """Tell whether words hold the values of a slice, by its own slope and intercept, and its padding."""
    low, high = pixel_format.stored_range
    padding = None if _kept(source, pixel_format).same_words else source.padding_range
    return (
        low <= survey.lowest
        and survey.highest <= high
        and (padding is None or (low <= padding[0] and padding[1] <= high))
    )


def _kept(source: SourceGrid, pixel_format: PixelFormat) -> Grid:
    """Return the grid of slope and intercept of the source with words of this format."""
    same_sign = pixel_format.signed == source.pixel_format.signed
    grid = Grid(source, pixel_format, source.slope, source.intercept, "widened" if same_sign else "sign")
    return replace(grid, rule="own") if grid.same_words else grid


# -------------------------------------------------------------------------------------- new slope and intercept


def _new_grids(
    sources: Sequence[SourceGrid], surveys: Sequence[Survey], modality: str, limit: float
) -> Iterator[tuple[tuple[Grid, ...], float]]:
    """Yield new grids of each slice, and the largest error that they may make; coarser ones first.

    There are none where they cannot hold the values or the padding, or values near 0 are far from all stored values
    outside a padding range.
    """
    smallest, largest = min(survey.smallest for survey in surveys), max(survey.largest for survey in surveys)
    signed = any(source.pixel_format.signed for source in sources) or (modality == "PT" and smallest < 0)
    longest = max(source.pixel_format.bits_allocated for source in sources)
    allocated = 16 if modality in _SHORT_MODALITIES else max(16, longest)
    paddings = sorted(source.padding_range for source in sources if source.padding_range)
    # A slope that the IOD fixes at 1 stays so; another one would stand beside the new scale and contradict it.
    is_fixed = modality in _UNIT_SLOPE_MODALITIES and all(rescale(each.pixel_format) == (1, 0) for each in sources)
    if is_fixed and any(source.slope for source in sources):
        return  # Rescale Slope 1 must stay (PS3.3 C.8.11.3), and readers of it would take stored values for the values
    has_slope = all(source.slope for source in sources) and not is_fixed
    is_scaled = modality in ("PT", "RTDOSE")
    for bits in sorted({allocated, 32} if modality == "RTDOSE" else {allocated}):
        formats = [_with_bits(source.pixel_format, bits, signed) for source in sources]
        low, high = formats[0].stored_range
        if any(first < low or high < last for first, last in paddings):
            continue
        low, high = (_values_around_zero if is_scaled else _free_values)(low, high, paddings)
        inside = [last - first for first, last in paddings if first <= high and low <= last]
        if any(inside):
            continue
        grids, bound = [], 0.0
        for source, pixel_format, survey in zip(sources, formats, surveys, strict=True):
            keeps_intercept = is_scaled and not source.pixel_format.effective_intercept
            is_kept = modality == "PT" and keeps_intercept and _is_near(source, survey, limit)
            if is_kept and _holds(pixel_format, source, survey):
                grids.append(_kept(source, pixel_format))
                continue
            ends = (survey.smallest, survey.largest) if modality == "PT" else (smallest, largest)
            texts = (_scale if is_scaled else _scale_and_shift)(*ends, low, high)
            if texts is None:
                break
            slope, intercept = texts[0], source.intercept if keeps_intercept else texts[1]
            pixel_format = replace(pixel_format, slope=decimal(slope), intercept=decimal(intercept))
            mapped = modality not in _SLOPE_MODALITIES and not has_slope
            grids.append(Grid(source, pixel_format, slope, intercept, "new", mapped))
            if ends[0] < ends[1] or (is_scaled and ends[0] == ends[1] != 0):
                bound = max(bound, (1.5 if inside else 0.5) * pixel_format.effective_slope)
        else:
            yield tuple(grids), bound


def _free_values(low: int, high: int, paddings: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the longest range of stored values without padding; all but one value where there is no padding."""
    if not paddings:
        return (low + 1, high) if low < 0 else (low, high - 1)
    longest, start = (low, low), low
    for first, last in (*paddings, (high + 1, high + 1)):
        if first - 1 - start > longest[1] - longest[0]:
            longest = start, first - 1
        start = max(start, last + 1)
    return longest


def _values_around_zero(low: int, high: int, paddings: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return a range of stored values around 0, as far as from 0 on both sides if there are two; padding cuts its ends.

    Padding in the inner half stays in it, as too little would be left.
    """
    low = -high if low < 0 else 0
    half_low, half_high = low // 2, high // 2
    for first, last in paddings:
        if first > half_high:
            high = min(high, first - 1)
        elif last < half_low:
            low = max(low, last + 1)
    return low, high


def _scale(smallest: float, largest: float, low: int, high: int) -> tuple[str, str] | None:
    """Return the texts of a slope for these values, and of intercept 0; ``None`` if there is no such slope."""
    if not smallest <= largest or smallest == largest == 0:
        return "1", "0"
    with localcontext(Context(prec=60)):
        slope = max(Decimal(largest) / high, Decimal(smallest) / low if low else Decimal(0), _SMALLEST_SLOPE)
        text = decimal_text(slope, ROUND_CEILING, _SLOPE_DIGITS)
    return (text, "0") if _is_within(smallest, largest, float(text), 0.0, low, high) else None


def _scale_and_shift(smallest: float, largest: float, low: int, high: int) -> tuple[str, str] | None:
    """Return the texts of slope and intercept for these values; ``None`` if there are none.

    The smallest value gets the lowest stored value. The slope is doubled while it is too small for the digits that an
    intercept has. A single value has slope 1, if it can.
    """
    if not smallest <= largest:
        return "1", "0"
    with localcontext(Context(prec=60)):
        first, last = Decimal(smallest), Decimal(largest)
        least = max(abs(first), abs(last), _SMALLEST_SLOPE) / 2**30
        slopes = [max(last - first, least) / max(1, high - low) * 2**doubled for doubled in range(40)]
        for slope in slopes if smallest < largest else [Decimal(1), *slopes]:
            text = decimal_text(slope, ROUND_CEILING, _SLOPE_DIGITS)
            texts = text, decimal_text(first - low * Decimal(text), ROUND_HALF_EVEN)
            if _is_within(smallest, largest, float(texts[0]), float(texts[1]), low, high):
                return texts
    return None


def _is_within(smallest: float, largest: float, slope: float, intercept: float, low: int, high: int) -> bool:
    """Tell whether values from smallest to largest have stored values from low to high, as these are computed."""
    return bool(low <= np.rint((smallest - intercept) / slope) and np.rint((largest - intercept) / slope) <= high)


def decimal_text(number: Decimal, rounding: str, digits: int = _TEXT_LIMIT) -> str:
    """Return a number as a value of VR DS (PS3.5 6.2), rounded to as many digits as it may have."""
    for precision in range(digits, 0, -1):
        rounded = Context(prec=precision, rounding=rounding).create_decimal(number + 0).normalize()
        for text in (f"{rounded:f}", f"{rounded:E}"):
            if len(text) <= _TEXT_LIMIT:
                return text
    raise AssertionError("a digit and an exponent fit")
