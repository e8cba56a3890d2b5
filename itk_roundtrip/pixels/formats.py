"""Stored values, real values, and the pixel types through which stored values come back exactly. numpy only.

A *stored value* (SV) is what Pixel Data (7FE0,0010) holds: ``BitsStored`` bits, signed if Pixel Representation
(0028,0103) is 1. A *real value* is ``slope * SV + intercept`` (PS3.3 C.11.1), what ITK puts into an image.
Arrays are slices of shape (rows, columns) or volumes in the order (z, y, x).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class ImageArray(np.ndarray[Any, Any]):
    """An array over the memory of an image, which it and all views of it keep alive."""

    image: Any


PixelType = Literal["UC", "SS", "US", "F", "D", "RGBUC", "RGBUS"]

DTYPES: dict[PixelType, str] = {
    "UC": "u1", "SS": "<i2", "US": "<u2", "F": "<f4", "D": "<f8", "RGBUC": "u1", "RGBUS": "<u2",
}  # fmt: skip
"""Numpy type of the components of ITK's pixel types."""
_SCALARS: tuple[PixelType, ...] = ("UC", "SS", "US", "F", "D")
"""Scalar pixel types, in the order in which they are tried."""

_ROUNDING = {"F": 2.0**-24, "D": 2.0**-53}
"""Largest relative error of rounding to a float type."""
_SMALLEST = {"F": 2.0**-149, "D": 2.0**-1074}
"""Smallest positive number of a float type."""
_LARGEST = {"F": float(np.finfo(np.float32).max), "D": float(np.finfo(np.float64).max)}


@dataclass(frozen=True)
class PixelFormat:
    """How a slice stores its values (PS3.3 C.7.6.3 and C.11.1).

    ``slope`` and ``intercept`` are ``None`` where the attribute is absent or empty.
    """

    bits_allocated: int
    bits_stored: int
    signed: bool
    monochrome1: bool = False
    slope: float | None = None
    intercept: float | None = None
    samples: int = 1
    high_bit: int | None = None
    """Of the stored value; Bits Stored - 1 if ``None``."""

    @property
    def effective_slope(self) -> float:
        """The slope that ITK applies: 1 if it is absent or 0."""
        return self.slope or 1.0

    @property
    def effective_intercept(self) -> float:
        """The intercept that ITK applies: 0 if it is absent."""
        return self.intercept or 0.0

    @property
    def dtype(self) -> np.dtype[Any]:
        """Numpy type of the words in Pixel Data, little endian; bits are packed into bytes."""
        return np.dtype(f"<{'i' if self.signed else 'u'}{max(1, self.bits_allocated // 8)}")

    @property
    def bits_below(self) -> int:
        """Number of bits below the stored value in its word: where High Bit is above Bits Stored - 1."""
        return 0 if self.high_bit is None else self.high_bit + 1 - self.bits_stored

    @property
    def stored_range(self) -> tuple[int, int]:
        """Smallest and largest value that ``bits_stored`` can hold."""
        span = 1 << self.bits_stored
        return (-span // 2, span // 2 - 1) if self.signed else (0, span - 1)

    @property
    def stored_pixel_type(self) -> PixelType:
        """The ITK pixel type that holds every stored value as it is."""
        if self.samples == 3:
            return "RGBUC" if self.bits_allocated == 8 else "RGBUS"
        if self.bits_allocated == 32:
            return "D"  # neither front end loses a bit of 32, and ITK's Python writes no series of integers that long
        if self.signed:
            return "SS"
        return "UC" if self.bits_allocated <= 8 else "US"


def components(pixel_type: PixelType) -> int:
    """Return the number of components of a pixel of an ITK pixel type."""
    return 3 if pixel_type.startswith("RGB") else 1


def bytes_per_pixel(pixel_type: PixelType) -> int:
    """Return the size of a pixel of an ITK pixel type in bytes."""
    return np.dtype(DTYPES[pixel_type]).itemsize * components(pixel_type)


def carries(pixel_type: PixelType, pixel_format: PixelFormat) -> bool:
    """Tell whether every stored value comes back exactly from real values held in ``pixel_type``.

    For the integer types slope and intercept must be whole and every real value fit. For the float types the
    rounding of the largest real value, seen through the slope, must stay well under half a stored value.
    """
    slope, intercept = pixel_format.effective_slope, pixel_format.effective_intercept
    ends = [slope * stored + intercept for stored in pixel_format.stored_range]
    if pixel_type in ("UC", "SS", "US"):
        limits = np.iinfo(DTYPES[pixel_type])
        whole = float(slope).is_integer() and float(intercept).is_integer()
        if pixel_format.signed and pixel_type != "SS":
            return False  # GDCM makes no unsigned values of signed ones
        return whole and all(limits.min <= end <= limits.max for end in ends)
    largest = max(abs(end) for end in ends)
    # Four roundings (product, sum, conversion, their inverse) are more than any front end does.
    error = 4 * max(largest * _ROUNDING[pixel_type], _SMALLEST[pixel_type])
    return largest < _LARGEST[pixel_type] and error < abs(slope) / 2


def choose_pixel_type(pixel_formats: Iterable[PixelFormat]) -> PixelType | None:
    """Return the first of UC, SS, US, F, D that carries every stored value of every slice; ``None`` if none does.

    Of several samples per pixel, RGBUC or RGBUS by Bits Allocated; ``None`` if the slices differ in that.
    """
    formats = set(pixel_formats)
    colours = {pixel_format.stored_pixel_type for pixel_format in formats if pixel_format.samples > 1}
    if colours:
        is_uniform = len(colours) == 1 and all(pixel_format.samples > 1 for pixel_format in formats)
        return next(iter(colours)) if is_uniform else None
    for pixel_type in _SCALARS:
        if all(carries(pixel_type, pixel_format) for pixel_format in formats):
            return pixel_type
    return None


def masked(words: Array, pixel_format: PixelFormat) -> Array:
    """Return the stored values of ``words`` (any shape): unused bits cut off, signed values sign-extended."""
    unused = pixel_format.bits_allocated - pixel_format.bits_stored
    if unused <= 0 or pixel_format.bits_allocated < 8:
        return words.astype(pixel_format.dtype, copy=False)
    above = unused - pixel_format.bits_below
    values: Array = np.right_shift(np.left_shift(words.astype(pixel_format.dtype), above), unused)
    return values


def clipped(words: Array, pixel_format: PixelFormat, precision: int) -> Array:
    """Return words of a lossy stream (any shape) with no value beyond the range that Bits Stored can hold.

    Parameters
    ----------
    words
        As a decoder gives them, in any type; signed ones may be without sign.
    pixel_format
        Of the stored values, whose range is smaller.
    precision
        Bits of the stream, from which a sign is extended.
    """
    values, half = words.astype(np.int64), 1 << (precision - 1)
    if pixel_format.signed:
        values = (values + half) % (2 * half) - half
    low, high = pixel_format.stored_range
    below = pixel_format.bits_below
    result: Array = np.clip(values, low << below, ((high + 1) << below) - 1).astype(words.dtype)
    return result


def stored_values(real: Array, pixel_format: PixelFormat) -> Array:
    """Return the stored values of real values (any shape)."""
    slope, intercept = pixel_format.effective_slope, pixel_format.effective_intercept
    if real.dtype.kind in "iu" and slope == 1:
        # Exact in the modular arithmetic of the words themselves, whatever their sign.
        words = real.astype(pixel_format.dtype)
        values = words - np.asarray(int(intercept) & 0xFFFF).astype(words.dtype) if intercept else words
    else:
        values = np.rint((real.astype(np.float64) - intercept) / slope).astype(np.int64)
    return masked(values, pixel_format)


def uninverted(real: Array, pixel_format: PixelFormat) -> Array:
    """Return the real values of a MONOCHROME1 slice that GDCM has turned into MONOCHROME2.

    GDCM replaces each stored value by ``2**BitsStored - 1 - SV`` before it applies slope and intercept.
    """
    stored = pixel_format.stored_range[1] - stored_values(real, pixel_format).astype(np.float64)
    return (pixel_format.effective_slope * stored + pixel_format.effective_intercept).astype(real.dtype)


def real_values(words: Array, pixel_format: PixelFormat, pixel_type: PixelType) -> Array:
    """Return the real values of pixel words (any shape), as an image of ``pixel_type`` holds them."""
    stored = masked(words, pixel_format)
    slope, intercept = pixel_format.effective_slope, pixel_format.effective_intercept
    if (slope, intercept) != (1.0, 0.0):
        stored = slope * stored.astype(np.float64) + intercept
    return stored.astype(DTYPES[pixel_type])


class Digest:
    """SHA-256 of stored values that come frame by frame: of their shape, then of their little-endian words.

    Parameters
    ----------
    shape
        Of all values.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._state = hashlib.sha256(repr(shape).encode())

    def add(self, words: Array) -> Digest:
        """Add further values."""
        self._state.update(np.ascontiguousarray(words).astype(words.dtype.newbyteorder("<"), copy=False).data)
        return self

    def text(self) -> str:
        """Return the digest in hexadecimal."""
        return self._state.hexdigest()


def digest(values: Array) -> str:
    """Return the digest of stored values, mostly of shape (frames, rows, columns, samples)."""
    return Digest(values.shape).add(values).text()


def shape_of_frames(count: int, frame: Array) -> tuple[int, int, int, int]:
    """Return the shape (frames, rows, columns, samples) of frames like one of shape (rows, columns), samples behind."""
    return count, frame.shape[0], frame.shape[1], frame.shape[2] if frame.ndim > 2 else 1


@dataclass(frozen=True)
class Digested:
    """Words of a frame and their digest, so that the same words need not be digested again."""

    words: Array
    digest: str

    def of(self, values: Array) -> str:
        """Return the digest of values (frames, rows, columns, samples)."""
        if values.dtype == self.words.dtype and values.size == self.words.size and values.dtype.kind in "iu":
            words = self.words.reshape(values.shape) if len(values) == 1 else self.words
            if np.array_equal(values, words):
                return self.digest
        return digest(values)
