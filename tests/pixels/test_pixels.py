"""Which pixel type carries which stored values, checked over every value that the bits can hold."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import pytest
from numpy.typing import NDArray

from itk_roundtrip.pixels.formats import (
    DTYPES,
    PixelFormat,
    PixelType,
    carries,
    choose_pixel_type,
    digest,
    masked,
    stored_values,
    uninverted,
)

INTEGER_TYPES: tuple[PixelType, ...] = ("UC", "SS", "US")
FLOAT_TYPES: tuple[PixelType, ...] = ("F", "D")
SCALARS = INTEGER_TYPES + FLOAT_TYPES


def unsigned(stored: int, slope: float | None = None, intercept: float | None = None) -> PixelFormat:
    return PixelFormat(8 if stored <= 8 else 16, stored, False, slope=slope, intercept=intercept)


def signed(stored: int, slope: float | None = None, intercept: float | None = None) -> PixelFormat:
    return PixelFormat(8 if stored <= 8 else 16, stored, True, slope=slope, intercept=intercept)


def all_stored_values(pixel_format: PixelFormat) -> NDArray[np.int64]:
    low, high = pixel_format.stored_range
    return np.arange(low, high + 1, dtype=np.int64)


def real_values(pixel_format: PixelFormat) -> NDArray[np.float64]:
    """Real values in double precision, as the standard defines them and as GDCM computes them."""
    slope = 1.0 if not pixel_format.slope else pixel_format.slope
    return (slope * all_stored_values(pixel_format) + (pixel_format.intercept or 0.0)).astype(np.float64)


def in_type(pixel_type: PixelType, pixel_format: PixelFormat, *, round_product: bool = False) -> NDArray[np.generic]:
    """Real values held in ``pixel_type``; ``round_product`` rounds after the product, as a sloppier front end does."""
    dtype = np.dtype(DTYPES[pixel_type])
    if not round_product:
        return real_values(pixel_format).astype(dtype)
    slope = 1.0 if not pixel_format.slope else pixel_format.slope
    product = (slope * all_stored_values(pixel_format)).astype(dtype)
    return (product.astype(np.float64) + (pixel_format.intercept or 0.0)).astype(dtype)


def fits(pixel_type: PixelType, pixel_format: PixelFormat) -> bool:
    """Tell whether the real values are distinct ones of an integer type: no wrapping, no rounding."""
    real, limits = real_values(pixel_format), np.iinfo(DTYPES[pixel_type])
    held = (real == np.rint(real)) & (real >= limits.min) & (real <= limits.max)
    return bool(held.all()) and np.unique(real).size == real.size


def comes_back(pixel_type: PixelType, pixel_format: PixelFormat, *, round_product: bool = False) -> bool:
    """Tell, by trying all of them, whether each stored value survives ``pixel_type``."""
    with np.errstate(over="ignore", invalid="ignore"):
        real = in_type(pixel_type, pixel_format, round_product=round_product)
    if not np.isfinite(real.astype(np.float64)).all():
        return False
    return np.array_equal(stored_values(real, pixel_format), all_stored_values(pixel_format))


FIRST_EXACT: dict[str, tuple[PixelFormat, PixelType | None]] = {
    "u8": (unsigned(8), "UC"),
    "u8 in 16 bits": (PixelFormat(16, 8, False), "UC"),
    "u8 with slope 2": (unsigned(8, 2, 0), "SS"),
    "s8 has no ITK type of its own": (signed(8), "SS"),
    "u12 of a CT": (unsigned(12, 1, -1024), "SS"),
    "u12": (unsigned(12), "SS"),
    "u15": (unsigned(15), "SS"),
    "s16": (signed(16), "SS"),
    "s16 with slope -1": (signed(16, -1, 0), "F"),
    "s16 with slope -1, intercept -1": (signed(16, -1, -1), "SS"),
    "u16": (unsigned(16), "US"),
    "u16 with -1024": (unsigned(16, 1, -1024), "F"),
    "u16 with -32768": (unsigned(16, 1, -32768), "SS"),
    "s16 with 32768": (signed(16, 1, 32768), "F"),
    "s12 with 2048: GDCM makes no unsigned values of signed ones": (signed(12, 16, 2048 * 16), "F"),
    "fractional slope": (unsigned(12, 0.1, 0), "F"),
    "fractional intercept": (unsigned(12, 1, -0.5), "F"),
    "PET": (signed(16, 2.37, 0), "F"),
    "slope 1e-7": (signed(16, 1e-7, 0), "F"),
    "slope 1e-7 beside an intercept": (signed(16, 1e-7, -1024), "D"),
    "slope 1e-300": (signed(16, 1e-300, 0), "D"),
    "slope 1e-300 beside an intercept": (signed(16, 1e-300, -1024), None),
    "slope 1e304": (signed(16, 1e304, 0), None),
    "slope -2": (unsigned(12, -2, 100), "SS"),
    "slope -0.25": (unsigned(12, -0.25, 100), "F"),
    "slope 0 counts as 1, as in GDCM": (unsigned(12, 0, -1024), "SS"),
    "slope 1 bit": (unsigned(1), "UC"),
    "integers beyond float": (unsigned(16, 4097, 16777217), "F"),
    "integers far beyond float": (unsigned(16, 1, 2**40), "D"),
}


@pytest.mark.parametrize("case", FIRST_EXACT)
def test_first_exact_type_is_chosen(case: str) -> None:
    """Too small a type wraps, too large a one costs memory; the first that is exact is the answer."""
    pixel_format, expected = FIRST_EXACT[case]
    assert choose_pixel_type([pixel_format]) == expected
    if expected is not None:
        assert comes_back(expected, pixel_format)
    smaller = FLOAT_TYPES if expected is None else SCALARS[: SCALARS.index(expected)]
    for pixel_type in smaller:
        excused = pixel_format.signed and pixel_type in ("UC", "US")  # those GDCM never makes
        if pixel_type in INTEGER_TYPES:
            assert excused or not fits(pixel_type, pixel_format)


def test_type_holds_the_slices_of_a_whole_series() -> None:
    """Slopes 1, 2.37, 0.731: ITK takes int16 from the first slice and cuts the others."""
    formats = [signed(16, slope, 0) for slope in (1, 2.37, 0.731)]
    assert choose_pixel_type(formats[:1]) == "SS"
    assert choose_pixel_type(formats) == choose_pixel_type(reversed(formats)) == "F"


def test_no_type_for_a_series_with_one_impossible_slice() -> None:
    """One slice whose slope drowns beside its intercept must not be rounded for the sake of the others."""
    assert choose_pixel_type([signed(16), signed(16, 1e-300, 1)]) is None


def random_format(generator: random.Random) -> PixelFormat:
    allocated = generator.choice((8, 16))
    stored = generator.randint(1, allocated)
    slope = generator.choice((
        None, 0.0, 1.0, -1.0, 2.0, 3.0, 0.5, 1e-7, 1e-300,
        generator.uniform(-5, 5), float(generator.randint(-40, 40)), 10 ** generator.uniform(-12, 12),
        10 ** generator.uniform(-44, -30), 10 ** generator.uniform(28, 40),
    ))  # fmt: skip
    intercept = generator.choice((
        None, 0.0, -1024.0, 32768.0, -32768.0, 0.5, generator.uniform(-1e4, 1e4),
        float(generator.randint(-70000, 70000)), 10 ** generator.uniform(0, 12), -(10 ** generator.uniform(-12, 3)),
    ))  # fmt: skip
    return PixelFormat(allocated, stored, generator.random() < 0.5, slope=slope, intercept=intercept)


@pytest.mark.parametrize("seed", range(8))
def test_claim_is_true_for_every_stored_value(seed: int) -> None:
    """A claim that misses one value of 65536 rounds a pixel in some patient's image."""
    generator = random.Random(seed)
    claims = 0
    for _ in range(40):
        pixel_format = random_format(generator)
        for pixel_type in SCALARS:
            claimed = carries(pixel_type, pixel_format)
            claims += claimed
            if pixel_type in INTEGER_TYPES:
                possible = fits(pixel_type, pixel_format) and not (pixel_format.signed and pixel_type != "SS")
                assert claimed == possible, (pixel_type, pixel_format)
            if claimed:
                assert comes_back(pixel_type, pixel_format), (pixel_type, pixel_format)
                assert comes_back(pixel_type, pixel_format, round_product=True), (pixel_type, pixel_format)
    assert claims > 40


@pytest.mark.parametrize("pixel_type", FLOAT_TYPES)
def test_float_is_not_refused_without_need(pixel_type: PixelType) -> None:
    """A type a hundred times more exact than it need be must be taken, or PET needs twice the memory."""
    bits = {"F": 24, "D": 53}[pixel_type]
    for slope in (0.731, 1.02609e-03, 2.37, 1e6):
        assert carries(pixel_type, signed(16, slope, slope * 2 ** (bits - 10)))


@pytest.mark.parametrize(
    ("pixel_type", "pixel_format"),
    [
        ("UC", unsigned(8)),
        ("UC", PixelFormat(16, 5, False, slope=7, intercept=13)),
        ("SS", signed(8)),
        ("SS", unsigned(12, 1, -1024)),
        ("SS", signed(12, -3, 7)),
        ("SS", unsigned(16, 1, -32768)),
        ("US", unsigned(16)),
        ("US", unsigned(12, 16, 15)),
        ("F", unsigned(16, 1, -1024)),
        ("F", signed(16, 1, 32768)),
        ("F", signed(16, -0.731, 0.25)),
        ("D", unsigned(16, 1e-9, 77.125)),
    ],
)
def test_stored_values_come_back_in_their_own_words(pixel_type: PixelType, pixel_format: PixelFormat) -> None:
    """Values must come back with the sign and size of the source, not with those of ITK's type."""
    real = in_type(pixel_type, pixel_format).reshape(1, -1)
    values = stored_values(real, pixel_format)
    assert values.dtype == pixel_format.dtype
    assert values.shape == real.shape
    assert np.array_equal(values[0], all_stored_values(pixel_format))


@pytest.mark.parametrize(
    ("pixel_type", "pixel_format"),
    [
        ("UC", PixelFormat(8, 8, False, True)),
        ("SS", PixelFormat(16, 10, False, True)),
        ("SS", PixelFormat(16, 12, False, True, 1, -1024)),
        ("US", PixelFormat(16, 16, False, True)),
        ("F", PixelFormat(16, 12, False, True, 0.25, 3)),
        ("D", PixelFormat(16, 16, False, True, 1e-9, 77.125)),
    ],
)
def test_inversion_of_monochrome1_is_undone(pixel_type: PixelType, pixel_format: PixelFormat) -> None:
    """ITK turns MONOCHROME1 into MONOCHROME2 before the rescale, so that a CT of it has wrong units."""
    right = in_type(pixel_type, pixel_format).reshape(1, -1)
    largest = (1 << pixel_format.bits_stored) - 1
    slope, intercept = pixel_format.slope or 1.0, pixel_format.intercept or 0.0
    inverted = (slope * (largest - all_stored_values(pixel_format)) + intercept).astype(right.dtype).reshape(1, -1)
    assert not np.array_equal(inverted, right)
    undone = uninverted(inverted, pixel_format)
    assert undone.dtype == right.dtype
    assert np.array_equal(undone, right)


def test_unused_bits_are_no_part_of_the_value() -> None:
    """Scanners leave overlays or noise above Bits Stored; negative values may or may not be sign-extended."""
    words = np.array([0x0000, 0xF7FF, 0x0800, 0xF800, 0x0FFF, 0xFFFF, 0x5ABC], "<u2")
    assert masked(words, PixelFormat(16, 12, False)).tolist() == [0, 0x7FF, 0x800, 0x800, 0xFFF, 0xFFF, 0xABC]
    as_signed = masked(words, PixelFormat(16, 12, True))
    assert as_signed.dtype == np.dtype("<i2")
    assert as_signed.tolist() == [0, 2047, -2048, -2048, -1, -1, 0xABC - 0x1000]
    assert masked(np.array([0xC5, 0x05], "u1"), PixelFormat(8, 6, False)).tolist() == [5, 5]
    assert masked(words.view("<i2"), PixelFormat(16, 16, False)).tolist() == words.tolist()


def test_digest_is_of_shape_and_values() -> None:
    """The digest makes UIDs: equal pixels give the same on every machine, other pixels another."""
    values = np.arange(12, dtype="<i2").reshape(3, 4)
    expected = hashlib.sha256(b"(3, 4)" + values.tobytes()).hexdigest()
    assert digest(values) == expected
    assert digest(values.astype(">i2")) == expected
    assert digest(np.asfortranarray(values)) == expected
    assert digest(np.repeat(values, 2, axis=0)[::2]) == expected
    assert digest(values.reshape(4, 3)) != expected
    other = values.copy()
    other[2, 3] += 1
    assert digest(other) != expected
