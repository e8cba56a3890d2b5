"""Real-world values to stored values and back, against exact arithmetic with fractions."""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import uid

from itk_roundtrip.errors import RoundtripError, UnsupportedSeriesError
from itk_roundtrip.pixels.formats import DTYPES, PixelFormat, choose_pixel_type, masked, real_values
from itk_roundtrip.pixels.grids import Grid, SourceGrid, Survey, decide, is_coarse, is_labels
from itk_roundtrip.pixels.quantise import Figures, quantise, survey, total

Array = NDArray[Any]
SHAPE = (5, 7)


def source_grid(
    allocated: int = 16,
    stored: int = 12,
    signed: bool = False,
    slope: str = "",
    intercept: str = "",
    padding: int | None = None,
    padding_limit: int | None = None,
    **fields: Any,
) -> SourceGrid:
    pixel_format = PixelFormat(
        allocated,
        stored,
        signed,
        slope=float(slope) if slope else None,
        intercept=float(intercept) if intercept else None,
        **fields,
    )
    return SourceGrid(pixel_format, slope, intercept, padding, padding_limit, "slice.dcm")


CT = source_grid(slope="1", intercept="-1024")
PET = source_grid(stored=16, signed=True, slope="0.25", intercept="0")
DOSE = source_grid(32, 32, slope="1.5E-6")


def random_words(source: SourceGrid, seed: int = 0) -> Array:
    """Words over the whole range of stored values, both ends included, random where bits are unused."""
    random, pixel_format = np.random.default_rng(seed), source.pixel_format
    low, high = pixel_format.stored_range
    shape = (*SHAPE, 3) if pixel_format.samples == 3 else SHAPE
    stored = random.integers(low, high, shape, endpoint=True)
    stored.flat[:2] = low, high
    unused = pixel_format.bits_allocated - pixel_format.bits_stored
    if unused and pixel_format.bits_allocated >= 8:
        kept = ((1 << pixel_format.bits_stored) - 1) << pixel_format.bits_below
        noise = random.integers(0, 1 << pixel_format.bits_allocated, shape)
        stored = ((stored << pixel_format.bits_below) & kept) | (noise & ~kept)
    return stored.astype(pixel_format.dtype)


def as_itk_reads(words: Array, source: SourceGrid, dtype: str = "") -> Array:
    pixel_type = choose_pixel_type([source.pixel_format])
    assert pixel_type is not None
    real = real_values(words, source.pixel_format, pixel_type)
    return real.astype(dtype) if dtype else real


def written(
    real: Array, words: Array, source: SourceGrid, modality: str = "CT", **options: Any
) -> tuple[Array, Figures, Grid]:
    """Words, figures and grid of a series of a single slice, checked with exact arithmetic."""
    (grid,) = decide([source], [survey(real, words, source)], modality=modality, **options)
    result, figures = quantise(real, words, grid)
    check(real, words, grid, result, figures)
    return result, figures, grid


def is_padding(word: int, stored: int, source: SourceGrid) -> bool:
    if source.padding is None or source.pixel_format.samples > 1:
        return False
    low, high = source.pixel_format.stored_range
    span = 1 << source.pixel_format.bits_allocated
    ends = [source.padding, source.padding if source.padding_limit is None else source.padding_limit]
    if source.pixel_format.signed:
        ends = [end - span if end >= span // 2 else end for end in ends]
    value = stored if all(low <= end <= high for end in ends) else word
    return min(ends) <= value <= max(ends)


def check(real: Array, words: Array, grid: Grid, result: Array, figures: Figures) -> None:
    """Check words and figures pixel by pixel: the nearest stored value, its error, and what was counted."""
    source, pixel_format = grid.source, grid.pixel_format
    assert result.dtype == pixel_format.dtype
    assert result.shape == real.shape
    colours = pixel_format.samples > 1
    slope = Fraction(1 if colours else pixel_format.effective_slope)
    intercept = Fraction(0 if colours else pixel_format.effective_intercept)
    low, high = pixel_format.stored_range
    padding_range = source.padding_range
    old, new = masked(words, source.pixel_format), masked(result, pixel_format)
    largest = float(np.abs(np.nan_to_num(real.astype("f8"))).max() + abs(intercept))
    error, clip_error, clipped, padded, filled, changed = Fraction(0), Fraction(0), 0, 0, 0, 0
    for index in np.ndindex(real.shape):
        value, stored = real[index].item(), int(new[index])
        if is_padding(int(words[index]), int(old[index]), source):
            padded += 1
            if grid.same_words:
                assert result[index] == words[index]
            else:
                assert padding_range is not None
                assert padding_range[0] <= stored <= padding_range[1]
            continue
        changed += stored != old[index]
        if not math.isfinite(value):
            filled += 1
            assert stored == source.padding_value
            continue
        position = (Fraction(value) - intercept) / slope
        apart = abs(slope * stored + intercept - Fraction(value))
        if not low - Fraction(1, 2) <= position <= high + Fraction(1, 2):
            clipped += 1
            clip_error = max(clip_error, apart)
            at_an_end = low if position < low else high
            if padding_range is None or not padding_range[0] <= at_an_end <= padding_range[1]:
                assert stored == at_an_end
            continue
        assert low <= stored <= high
        if padding_range is None or not padding_range[0] <= round(position) <= padding_range[1]:
            tie = abs(abs(position - math.floor(position)) - Fraction(1, 2))
            assert stored == round(position) or tie < 1e-9 + abs(position) / 2**50
            assert apart <= abs(slope) / 2 * (1 + Fraction(1, 10**9)) + (abs(intercept) + abs(Fraction(value))) / 2**51
        else:
            assert abs(position - stored) <= Fraction(3, 2)
        rounding = abs(Fraction(value)) / 2**51 + abs(intercept) / 2**50
        if real.dtype.kind == "f":
            nearest = min(real.dtype, np.dtype("f4")).type(float(slope) * stored + float(intercept))
            rounding = rounding if nearest != real[index] else Fraction(10) ** 400
        error = max(error, apart if apart > rounding else Fraction(0))
    assert (figures.clipped, figures.padded, figures.filled, figures.changed) == (clipped, padded, filled, changed)
    assert figures.error == pytest.approx(float(error), rel=1e-6, abs=largest * 2**-51)
    assert figures.clip_error == pytest.approx(float(clip_error), rel=1e-6)


# ----------------------------------------------------------------------------------------------- identity


def every_source() -> Iterator[SourceGrid]:
    for allocated, stored in ((8, 8), (8, 6), (16, 12), (16, 10), (16, 16), (32, 32)):
        for signed in (False, True):
            for slope, intercept in (
                ("", ""), ("1", "-1024"), ("0.5", "0"), ("2.37", "-1024"), ("0.000123", ""), ("-1", "4095"),
                ("-0.73", "-1024.5"), ("0", "3"), (" 1.0000 ", "+1e2"),
            ):  # fmt: skip
                yield source_grid(allocated, stored, signed, slope, intercept)
    yield source_grid(16, 12, high_bit=15)
    yield source_grid(16, 12, True, "1", "-1024", high_bit=13)
    yield source_grid(16, 12, True, "2.37", padding=-2000)
    yield source_grid(16, 12, False, "1", "-1024", monochrome1=True)
    yield source_grid(16, 12, False, padding=63536)
    yield source_grid(1, 1)
    yield source_grid(8, 8, samples=3)
    yield source_grid(16, 16, samples=3, slope="2", intercept="1")


@pytest.mark.parametrize("source", list(every_source()), ids=lambda source: repr(source.pixel_format)[12:-1])
def test_what_itk_read_gives_the_words_of_the_source(source: SourceGrid) -> None:
    words = random_words(source)
    if source.pixel_format.samples > 1:
        arrays = [words, words.astype("f4"), words.astype("f8")]
    else:
        arrays = [as_itk_reads(words, source), as_itk_reads(words, source).astype("f8")]
    for real in arrays:
        result, figures, grid = written(real, words, source, "OT")
        assert result.tobytes() == words.tobytes()
        assert figures.error == 0
        assert figures.changed == 0
        assert (grid.rule, grid.slope, grid.intercept) == ("own", source.slope, source.intercept)
        assert grid.pixel_format == source.pixel_format


@pytest.mark.parametrize("slope", ["0.000123", "2.37", "0.731", "-0.1"])
def test_float32_that_came_from_stored_values_has_no_error(slope: str) -> None:
    source = source_grid(16, 16, True, slope, "-10")
    words = np.arange(-(2**15), 2**15, dtype="<i2").reshape(256, 256)
    real = real_values(words, source.pixel_format, "F")
    assert survey(real, words, source).error == 0
    assert written(real[:5], words[:5], source)[0].tobytes() == words[:5].tobytes()


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", ">i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", ">f4", "?"])
def test_any_number_type_is_taken(dtype: str) -> None:
    source = source_grid(slope="1", intercept="-10")
    words = random_words(source)
    real = np.random.default_rng(1).integers(0, 2, SHAPE).astype(dtype)
    result, figures, grid = written(real, words, source)
    assert (masked(result, grid.pixel_format) == real.astype(int) + 10).all()
    assert figures.error == 0


def test_a_view_that_is_not_contiguous_is_taken() -> None:
    words = random_words(CT)
    real = as_itk_reads(words, CT).T.copy().T
    assert written(real, words, CT)[0].tobytes() == words.tobytes()


# --------------------------------------------------------------------------------------------- processing


def median_like(real: Array, random: np.random.Generator) -> Array:
    return random.permutation(real.reshape(-1)).reshape(real.shape)


PROCESSES: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "median": median_like,
    "scaled": lambda real, _: real * real.dtype.type(0.37) if real.dtype.kind == "f" else real * 0.37,
    "shifted": lambda real, _: real.astype("f8") + 3.3,
    "float32": lambda real, _: (real.astype("f8") * 0.91 + 0.123).astype("f4"),
    "mask": lambda real, random: np.where(random.integers(0, 2, real.shape) == 1, real, real.flat[0]),
    "constant": lambda real, _: np.full(real.shape, real.flat[5]),
    "far": lambda real, _: real.astype("f8") * 1000 + 70000,
    "noise": lambda real, random: random.normal(0, 300, real.shape),
    "huge": lambda real, random: random.normal(0, 1e30, real.shape),
    "tiny": lambda real, random: random.normal(0, 1e-30, real.shape),
    "narrow": lambda real, random: 1e9 + random.random(real.shape),
    "zero": lambda real, _: np.zeros(real.shape),
}


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("modality", ["CT", "MR", "PT", "US", "RTDOSE"])
def test_every_process_on_every_format(process: str, modality: str) -> None:
    """``written`` checks each stored value and error; here that a grid of the series is one that may be written."""
    sources = [source for source in every_source() if source.pixel_format.samples == 1]
    sources = [source for source in sources if source.pixel_format.bits_allocated > 1][len(process) % 3 :: 3]
    for seed, source in enumerate(sources):
        words = random_words(source, seed)
        real = PROCESSES[process](as_itk_reads(words, source), np.random.default_rng(seed))
        if modality == "RTDOSE":
            real = np.abs(real.astype("f8"))
        try:
            _, figures, grid = written(real, words, source, modality)
        except UnsupportedSeriesError:
            # Nothing else is refused than what 16 bits or an unsigned dose cannot hold beside the padding.
            assert source.padding is not None or modality in ("RTDOSE", "US")
            continue
        assert figures.clipped == 0
        pixel_format = grid.pixel_format
        for text in (grid.slope, grid.intercept) if grid.rule == "new" else ():
            assert len(text) <= 16
        assert (pixel_format.slope, pixel_format.intercept) == (
            float(grid.slope) if grid.slope else None,
            float(grid.intercept) if grid.intercept else None,
        )
        if grid.rule in ("own", "widened", "sign"):
            assert (grid.slope, grid.intercept) == (source.slope, source.intercept)
        if modality in ("CT", "MR", "PT") and grid.rule != "own":
            assert (pixel_format.bits_allocated, pixel_format.bits_stored) == (16, 16)
        if modality == "PT" and grid.rule == "new":
            assert pixel_format.effective_intercept == 0
        assert is_coarse([Survey(0, 1, 0, 1, 0.3)], [grid]) == (grid.rule != "new")


def test_ties_go_to_even() -> None:
    words = random_words(source_grid())
    real = np.resize([0.5, 1.5, 2.5, 3.5, 4.5], SHAPE)
    result, figures, _ = written(real, words, source_grid())
    assert masked(result, source_grid().pixel_format).flat[:5].tolist() == [0, 2, 2, 4, 4]
    assert figures.error == 0.5


@pytest.mark.parametrize(
    ("largest", "rule"), [(3071, "own"), (3071.5, "own"), (3071.51, "widened"), (3072, "widened"), (64511, "widened"),
                          (64512, "new")],
)  # fmt: skip
def test_the_upper_limit_of_bits_stored(largest: float, rule: str) -> None:
    words = np.zeros(SHAPE, "<u2")
    real = np.full(SHAPE, largest)
    real.flat[0] = -1024
    if largest == 3071.5:
        rule = "widened"  # 4095.5 is a tie, and the even neighbour is 4096
    assert written(real, words, CT)[2].rule == rule


def test_values_below_an_unsigned_intercept_take_the_sign() -> None:
    words = random_words(CT)
    real = as_itk_reads(words, CT).astype("f4")
    real.flat[0] = -1030.25
    _, figures, grid = written(real, words, CT)
    assert (grid.rule, grid.slope, grid.intercept) == ("sign", "1", "-1024")
    assert grid.pixel_format == PixelFormat(16, 16, True, slope=1.0, intercept=-1024.0)
    assert figures.error == 0.25


def test_a_modality_without_sign_gets_a_new_grid_as_real_world_values() -> None:
    source = source_grid(8, 8)
    words = random_words(source)
    _, _, grid = written(words.astype("f4") - 3.5, words, source, "US")
    assert grid.rule == "new"
    assert grid.real_world_value_mapping
    assert (grid.pixel_format.bits_stored, grid.pixel_format.signed) == (16, False)


def test_values_far_away_get_one_new_grid_for_the_series() -> None:
    sources = [source_grid(slope="1", intercept=text) for text in ("-1024", "-1000")]
    words = [random_words(source, seed) for seed, source in enumerate(sources)]
    real = [as_itk_reads(part, source) * 1000.0 + 70000 for part, source in zip(words, sources, strict=True)]
    grids = decide(sources, list(map(survey, real, words, sources)), modality="CT")
    assert {(grid.slope, grid.intercept, grid.rule) for grid in grids} == {(grids[0].slope, grids[0].intercept, "new")}
    slope = grids[0].pixel_format.effective_slope
    spread = max(part.max() for part in real) - min(part.min() for part in real)
    assert spread / 65534 <= slope <= spread / 65534 * 1.0001
    figures = total(quantise(*part)[1] for part in zip(real, words, grids, strict=True))
    assert 0 < figures.error <= slope / 2


def test_magnetic_resonance_keeps_stored_values_or_maps_real_world_values() -> None:
    source = source_grid()
    words = masked(random_words(source), source.pixel_format)
    assert written(words * 10.0, words, source, "MR")[2].rule == "widened"
    grid = written(words * 1000.0, words, source, "MR")[2]
    assert (grid.rule, grid.real_world_value_mapping) == ("new", True)
    with_slope = source_grid(slope="2.1", intercept="0")
    assert not written(words * 1000.0, words, with_slope, "MR")[2].real_world_value_mapping
    with pytest.raises(UnsupportedSeriesError):  # Rescale Slope 1 stays, and readers of it would take stored values
        written(words * 1e6, words, source_grid(slope="1", intercept="0"), "MG")
    assert written(words * 1e6, words, source_grid(), "MG")[2].real_world_value_mapping


# ---------------------------------------------------------------------------------------------- PET and dose


def test_pet_has_a_slope_for_each_slice_and_no_intercept() -> None:
    sources = [source_grid(16, 16, True, slope, "0") for slope in ("0.25", "0.5", "2")]
    words = [random_words(source, seed) for seed, source in enumerate(sources)]
    factors = (1000, 3000, 1)
    real = [
        np.abs(as_itk_reads(part, source).astype("f4")) * np.float32(factor)
        for part, source, factor in zip(words, sources, factors, strict=True)
    ]
    real[2][real[2] > 2 * 32767] = 7
    grids = decide(sources, list(map(survey, real, words, sources)), modality="PT")
    assert [grid.rule for grid in grids] == ["new", "new", "own"]
    assert [grid.intercept for grid in grids] == ["0"] * 3
    assert {(grid.pixel_format.bits_stored, grid.pixel_format.signed) for grid in grids} == {(16, True)}
    for values, part, grid in zip(real, words, grids, strict=True):
        result, figures = quantise(values, part, grid)
        check(values, part, grid, result, figures)
        if grid.rule == "new":
            needed = float(values.max()) / 32767
            assert needed <= grid.pixel_format.effective_slope <= needed * 1.0001


def test_pet_of_no_sign_takes_it_for_the_whole_series_where_values_are_negative() -> None:
    sources = [source_grid(16, 16, False, "0.25", "0")] * 2
    words = [random_words(source, seed) for seed, source in enumerate(sources)]
    real = [as_itk_reads(words[0], sources[0]), np.where(words[1] > 3, -4.5, 1.25)]
    grids = decide(sources, list(map(survey, real, words, sources)), modality="PT")
    assert [(grid.rule, grid.pixel_format.signed) for grid in grids] == [("new", True), ("sign", True)]


def test_an_empty_slice_of_pet_is_zero() -> None:
    source = source_grid(16, 16, True, "0.25", "5")
    words = random_words(source)
    grid = written(np.zeros(SHAPE), words, source, "PT", max_error=0.01)[2]
    assert (grid.rule, grid.slope, grid.intercept) == ("own", "0.25", "5")
    grids = decide([source] * 2, [survey(np.full(SHAPE, value), words, source) for value in (0, 1e6)], modality="PT")
    assert [(grid.rule, grid.intercept) for grid in grids] == [("new", "0")] * 2
    assert not quantise(np.zeros(SHAPE), words, grids[0])[0].any()


def test_dose_of_32_bits() -> None:
    words = random_words(DOSE)
    real = as_itk_reads(words, DOSE)
    assert real.dtype == DTYPES["D"]
    assert written(real * 0.5, words, DOSE, "RTDOSE")[2].rule == "own"
    grid = written(real * 3.0, words, DOSE, "RTDOSE")[2]
    assert (grid.rule, grid.intercept, grid.pixel_format.bits_stored) == ("new", "", 32)
    assert grid.pixel_format.effective_slope == pytest.approx(4.5e-6, rel=1e-6)


def test_dose_of_16_bits_is_widened_on_its_own_scaling_or_for_a_small_error() -> None:
    source = source_grid(16, 16, slope="0.001")
    words = random_words(source)
    real = as_itk_reads(words, source)
    grid = written(real * 100.0, words, source, "RTDOSE")[2]
    assert (grid.rule, grid.slope, grid.pixel_format.bits_allocated) == ("widened", "0.001", 32)
    grid = written(real * 0.3, words, source, "RTDOSE", max_error=1e-7)[2]
    assert (grid.rule, grid.pixel_format.bits_allocated, grid.intercept) == ("new", 32, "")


def test_negative_dose_is_refused_unless_the_source_is_signed() -> None:
    words = random_words(DOSE)
    real = as_itk_reads(words, DOSE) - 1.0
    with pytest.raises(UnsupportedSeriesError, match=r"slice\.dcm has values from -1 "):
        written(real, words, DOSE, "RTDOSE")
    assert written(real, words, DOSE, "RTDOSE", allow_clip=True)[1].clipped == np.count_nonzero(real < -0.75e-6)
    signed = source_grid(32, 32, True, slope="1.5E-6")
    assert written(as_itk_reads(random_words(signed), signed), random_words(signed), signed, "RTDOSE")[2].rule == "own"


# ------------------------------------------------------------------------------------------- colours and bits


@pytest.mark.parametrize(("allocated", "stored"), [(8, 8), (16, 16), (16, 12)])
def test_colours_have_their_own_range_only(allocated: int, stored: int) -> None:
    source = source_grid(allocated, stored, samples=3)
    words, top = random_words(source), (1 << stored) - 1
    real = masked(words, source.pixel_format).astype("f4") * 0.5
    assert written(real, words, source, "OT")[2].rule == "own"
    real[0, 0] = (-3, 0.5, top + 2)
    with pytest.raises(UnsupportedSeriesError, match=rf"from -3 to {top + 2:.6g}"):
        written(real, words, source, "OT")
    result, figures, grid = written(real, words, source, "OT", allow_clip=True)
    assert masked(result, source.pixel_format)[0, 0].tolist() == [0, 0, top]
    assert (grid.rule, figures.clipped, figures.clip_error) == ("clipped", 2, 3)


def test_bits_are_0_or_1() -> None:
    source = source_grid(1, 1)
    words = random_words(source)
    result, _, _ = written(1 - words.astype("i4"), words, source, "OT")
    assert (result == 1 - words).all()
    for value in (0.4, 2, -1):
        real = words.astype("f4")
        real.flat[3] = value
        with pytest.raises(UnsupportedSeriesError, match="from 0 to 1 in steps of 1"):
            written(real, words, source, "OT")
        assert written(real, words, source, "OT", allow_clip=True)[0].flat[3] == (value > 0.5)


@pytest.mark.parametrize(
    "sop_class_uid", [uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage, uid.VLPhotographicImageStorage]
)
def test_a_class_of_8_bits_is_not_widened(sop_class_uid: str) -> None:
    source = source_grid(8, 8)
    words = random_words(source)
    with pytest.raises(UnsupportedSeriesError, match="from 0 to 255 in steps of 1"):
        written(words * 2.0, words, source, "OT", sop_class_uid=sop_class_uid)
    assert written(words * 2.0, words, source, "OT")[2].rule == "widened"


# ------------------------------------------------------------------------------------------------- padding


@pytest.mark.parametrize(
    "source",
    [
        source_grid(16, 12, False, "1", "-1024", padding=0),
        source_grid(16, 12, False, "1", "-1024", padding=4095),
        source_grid(16, 16, True, "1", "0", padding=-2000),
        source_grid(16, 16, True, "1", "0", padding=63536),
        source_grid(16, 12, False, "1", "-1024", padding=63536),
        source_grid(16, 12, True, "2.37", "-1024", padding=-2000, padding_limit=-1990),
        source_grid(16, 12, True, "2.37", "-1024", padding=-1990, padding_limit=-2048, high_bit=13),
        source_grid(8, 8, True, padding=255),
    ],
    ids=lambda source: f"{source.pixel_format.bits_stored}-{source.padding}-{source.padding_limit}",
)
@pytest.mark.parametrize("process", ["median", "scaled", "far"])
def test_padding_stays_whatever_the_array_holds_there(source: SourceGrid, process: str) -> None:
    assert source.padding is not None
    words = random_words(source)
    low, high = source.pixel_format.stored_range
    value = source.padding_value
    assert value is not None
    below = source.pixel_format.bits_below if low <= value <= high else 0
    words[2:4] = np.asarray(value << below).astype(source.pixel_format.dtype)
    real = PROCESSES[process](as_itk_reads(words, source), np.random.default_rng(2)).astype("f8")
    others = real[:2].copy()
    real[2:4] = np.nan
    real[3, 3:6] = -np.inf, 1e30, 12.5
    try:
        result, figures, grid = written(real, words, source)
    except UnsupportedSeriesError:
        result, figures, grid = written(real, words, source, allow_clip=True)
    assert figures.padded >= 14
    assert figures.filled == 0
    real[2:4] = others.flat[0]
    assert quantise(real, words, grid)[0].tobytes() == result.tobytes()
    assert quantise(real, words, grid)[1] == figures


def test_a_value_that_would_be_padding_is_moved_to_the_nearest_that_is_not() -> None:
    source = source_grid(16, 16, True, "1", "0", padding=-2000)
    words = np.zeros(SHAPE, "<i2")
    real = np.zeros(SHAPE)
    real.flat[:4] = -2000, -2000.25, -1999.75, -1999
    result, figures, grid = written(real, words, source)
    assert result.flat[:4].tolist() == [-2001, -2001, -1999, -1999]
    assert (figures.moved, figures.error, grid.rule) == (3, 1.0, "own")
    grid = written(real, words, source, max_error=0.5)[2]
    assert (grid.rule, grid.pixel_format.signed) == ("new", True)
    assert written(real.astype("i2"), words, source)[0].flat[0] == -2001


@pytest.mark.parametrize(("padding", "beside"), [(0, 1), (4095, 4094)])
def test_at_the_end_of_the_range_there_is_one_way_off_the_padding(padding: int, beside: int) -> None:
    source = source_grid(padding=padding)
    words = np.full(SHAPE, 7, "<u2")
    result, figures, _ = written(np.full(SHAPE, float(padding)), words, source, "MR")
    assert set(result.flat) == {beside}
    assert figures.error == 1


def test_values_deep_in_a_padding_range_need_a_new_grid() -> None:
    source = source_grid(16, 16, True, "1", "0", padding=-32768, padding_limit=-1025)
    words = np.zeros(SHAPE, "<i2")
    real = np.zeros(SHAPE)
    real.flat[0] = -1500
    result, figures, grid = written(real, words, source)
    assert grid.rule == "new"
    assert result.min() == -1024
    assert figures.error <= grid.pixel_format.effective_slope / 2
    assert figures.moved == 0


def test_pet_goes_around_padding_near_zero_and_beside_padding_far_from_it() -> None:
    real = np.linspace(0, 1e6, 35).reshape(SHAPE)
    words = np.full(SHAPE, 77, "<u2")
    for padding, limit, moved, top in ((1, None, 0, 65535), (0, None, 1, 65535), (65535, None, 0, 65534)):
        source = source_grid(16, 16, False, "0.5", "0", padding, limit)
        result, figures, grid = written(real, words, source, "PT")
        assert (figures.moved, result.max(), grid.rule) == (moved, top, "new")
    with pytest.raises(UnsupportedSeriesError, match="Change them"):
        written(real, words, source_grid(16, 16, False, "0.5", "0", 2, 40), "PT")
    source = source_grid(16, 16, False, "0.5", "0", 0)
    slope = 1e6 / 65535
    assert written(real, words, source, "PT", max_error=1.51 * slope)[2].rule == "new"
    with pytest.raises(UnsupportedSeriesError, match=r"up to 22\.89"):
        written(real, words, source, "PT", max_error=1.49 * slope)


def test_a_single_value_is_exact_on_a_new_grid() -> None:
    words = random_words(CT)
    for value in (0.3, 1e9, -1e9, 1e30, 1e-30):
        _, figures, grid = written(np.full(SHAPE, value), words, CT, max_error=1e-7 * value if value > 1 else 1e-12)
        assert figures.error <= abs(value) * 1e-9
        assert grid.rule == "new" or value == 1e-30
    assert written(np.full(SHAPE, 0.3), words, CT, max_error=0)[2].slope == "1"


def test_new_grids_lie_beside_the_padding() -> None:
    for padding, limit in ((-2000, None), (-32768, None), (32767, None), (-100, 20000), (0, 0)):
        source = source_grid(16, 16, True, "1", "0", padding, limit)
        words = np.full(SHAPE, 25000 if padding != 32767 else 1, "<i2")
        real = np.random.default_rng(3).normal(0, 1e6, SHAPE)
        result, figures, grid = written(real, words, source)
        assert figures.moved == 0
        low, high = source.padding_range or (0, 0)
        assert not ((low <= result) & (result <= high)).any()
        assert figures.error <= grid.pixel_format.effective_slope / 2


# --------------------------------------------------------------------------------------------- refusals


def test_values_that_are_not_finite_are_refused_or_become_padding() -> None:
    words = random_words(CT)
    real = as_itk_reads(words, CT).astype("f4")
    real[0, 2:5] = np.nan, np.inf, -np.inf
    with pytest.raises(RoundtripError, match=r"slice\.dcm has 1 NaN and 2 infinite values.*nan_to=") as caught:
        written(real, words, CT)
    assert caught.value.option == 'nan_to="padding"'
    with pytest.raises(RoundtripError, match="no Pixel Padding Value"):
        written(real, words, CT, nan_to="padding")
    source = source_grid(slope="1", intercept="-1024", padding=0)
    words[words == 0] = 1
    result, figures, grid = written(real, words, source, nan_to="padding")
    assert masked(result, grid.pixel_format)[0, 2:5].tolist() == [0, 0, 0]
    assert figures.filled == 3
    all_nan = np.full(SHAPE, np.nan)
    assert not masked(written(all_nan, words, source, nan_to="padding")[0], source.pixel_format).any()


@pytest.mark.parametrize("dtype", ["c8", "c16", "O", "U3", "M8[s]", "g", "V4"])
def test_other_types_are_refused_by_name(dtype: str) -> None:
    real = np.zeros(SHAPE, dtype)
    with pytest.raises(RoundtripError, match=re.escape(real.dtype.name)):
        survey(real, random_words(CT), CT)


def test_another_shape_is_refused() -> None:
    with pytest.raises(RoundtripError, match=r"shape \(7, 5\), and the pixels of slice\.dcm \(5, 7\)"):
        survey(np.zeros(SHAPE[::-1]), random_words(CT), CT)


def test_max_error() -> None:
    words = random_words(CT)
    real = as_itk_reads(words, CT) * 0.37
    assert written(real, words, CT, max_error=0.5)[2].rule == "own"
    grid = written(real, words, CT, max_error=0.02)[2]
    assert grid.rule == "new"
    assert grid.pixel_format.effective_slope / 2 <= 0.02
    with pytest.raises(UnsupportedSeriesError, match=r"0\.01156, which is more than max_error=0\.001.*Parametric Map"):
        written(real, words, CT, max_error=0.001)
    with pytest.raises(UnsupportedSeriesError, match="Parametric Map"):
        written(real, words, CT, max_error=0, allow_clip=True)
    assert written(as_itk_reads(words, CT), words, CT, max_error=0)[2].rule == "own"
    for wrong in (-1.0, math.nan):
        with pytest.raises(RoundtripError, match="max_error is 0 or more"):
            written(real, words, CT, max_error=wrong)


def test_values_from_0_to_1_on_whole_numbers_are_coarse() -> None:
    words = random_words(CT)
    real = np.random.default_rng(4).random(SHAPE)
    surveys = [survey(real, words, CT)]
    assert is_coarse(surveys, decide([CT], surveys, modality="CT"))
    assert not is_coarse(surveys, decide([CT], surveys, modality="CT", max_error=0.001))
    surveys = [survey(np.round(real), words, CT)]
    assert not is_coarse(surveys, decide([CT], surveys, modality="CT"))


def test_slices_of_pet_that_keep_their_slope_beside_new_ones_are_not_coarse() -> None:
    """The one whose own slope is fine enough is no reason to warn of the others."""
    fine, coarse = Survey(0, 1e-4, 0, 1, 1e-5), Survey(0, 1, 0, 3, 0.3)
    own = Grid(CT, CT.pixel_format, CT.slope, CT.intercept, "own")
    assert not is_coarse([fine, coarse], [own, replace(own, rule="new")])
    assert is_coarse([fine, coarse], [own, own])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (lambda real: np.round(real), True),
        (lambda real: real > 0.5, True),
        (lambda real: np.round(real * 4), True),
        (lambda real: np.round(real * 3) + 1, False),
        (lambda real: np.round(real * 300), False),
        (lambda real: np.round(real) * 0.5, False),
        (lambda real: real * 0, False),
    ],
)
def test_masks_and_labels_are_known(values: Callable[[Array], Array], expected: bool) -> None:
    """Whole numbers from 0 to a small one."""
    surveys = [survey(values(np.random.default_rng(4).random(SHAPE)), random_words(CT), CT)]
    assert is_labels(surveys, decide([CT], surveys, modality="CT")) == expected


def test_values_of_another_volume_than_the_surveyed_are_refused() -> None:
    words = random_words(CT)
    (grid,) = decide([CT], [survey(as_itk_reads(words, CT), words, CT)], modality="CT")
    for value in (1e5, math.nan):
        with pytest.raises(RoundtripError, match=r"slice\.dcm has values that its grid was not made for"):
            quantise(np.full(SHAPE, value), words, grid)


# ---------------------------------------------------------------------------------------------------------- sweeps


@pytest.mark.parametrize("seed", range(20))
def test_a_random_series_is_within_its_bound_or_refused(seed: int) -> None:
    random = np.random.default_rng(seed)
    modality = str(random.choice(["CT", "MR", "PT", "US", "RTDOSE", "OT", "MG"]))
    allocated = int(random.choice([8, 16, 16, 16, 32]))
    sources, words, real = [], [], []
    signed = bool(random.integers(2))
    for _ in range(3):
        stored = int(random.integers(allocated // 2, allocated + 1))
        slope = str(random.choice(["", "1", "0.5", "2.37", "0.000123", "-0.5"]))
        source = source_grid(allocated, stored, signed, slope, str(random.choice(["", "-1024", "0", "3.3"])))
        if random.integers(2):
            source = SourceGrid(source.pixel_format, source.slope, source.intercept, int(random.integers(0, 9)))
        sources.append(source)
        words.append(random_words(source, seed))
        scale, shift = 10 ** random.uniform(-3, 3), random.choice([0, 3.3, -500, 1e5])
        dtype = str(random.choice(["f4", "f8", "i4"]))
        limits = (-(2**31), 2**31 - 1) if dtype == "i4" else (-math.inf, math.inf)
        values = np.asarray(real_values(words[-1], source.pixel_format, "D") * scale + shift)
        real.append(values.clip(*limits).astype(dtype))
    options: dict[str, Any] = {"allow_clip": bool(random.integers(2))}
    if random.integers(2):
        options["max_error"] = float(10 ** random.uniform(-6, 3))
    try:
        grids = decide(sources, list(map(survey, real, words, sources)), modality=modality, **options)
    except UnsupportedSeriesError:
        assert len(options) > 1 or not options["allow_clip"]
        return
    for values, part, grid in zip(real, words, pickle.loads(pickle.dumps(grids)), strict=True):
        result, figures = quantise(values, part, grid)
        check(values, part, grid, result, figures)
        assert figures.error <= options.get("max_error", math.inf) * (1 + 1e-9)
        assert grid.rule == "clipped" or not figures.clipped
    assert len({(grid.pixel_format.bits_allocated, grid.pixel_format.signed) for grid in grids}) == 1


def test_figures_add_up() -> None:
    assert total([Figures(1, 2, 3, 4, 5, 6, 7), Figures(2, 1, 1, 1, 1, 1, 1)]) == Figures(2, 2, 4, 5, 6, 7, 8)
