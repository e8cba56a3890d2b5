"""What ITK would misread or spoil of an image, a class for each: what it is shown instead, and how that is undone.

A peculiarity says of which instances it holds, which attributes of the Image Pixel module (PS3.3 C.7.6.3) ITK is shown
with other values, which it is not shown at all, and the exact inverse for pixels that ITK read and for pixels that it
wrote. An image may have several, such as colours by plane in whole words. The faults are those of ITK 5.4 and GDCM 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from pydicom import uid

from itk_roundtrip import syntaxes, tags
from itk_roundtrip.dicom.decimals import decimal
from itk_roundtrip.pixels.formats import Array, PixelFormat, clipped, uninverted
from itk_roundtrip.series.find import Instance

UNCOMPRESSED_TRANSFER_SYNTAXES = frozenset({
    uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
})  # fmt: skip
JPEG_2000 = frozenset({uid.JPEG2000Lossless, uid.JPEG2000})
COLOUR_CODECS = JPEG_2000 | {uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit}
"""Codecs that transform colours themselves: what they decode a YBR image to is RGB (PS3.5 8.2.1 and 8.2.4).

But for YBR_FULL in JPEG 2000, which transforms only what it names YBR_RCT or YBR_ICT.
"""


def is_compressed(instance: Instance) -> bool:
    """Tell whether a codec must decode the pixels; native frames in fragments need none."""
    syntax = instance.transfer_syntax_uid
    return syntax not in UNCOMPRESSED_TRANSFER_SYNTAXES and not syntaxes.holds_native_frames(
        syntax, instance.bits_allocated
    )


def is_decoded_to_rgb(instance: Instance) -> bool:
    """Tell whether a codec decodes the colours of an instance to RGB."""
    as_they_are = instance.photometric_interpretation == "YBR_FULL" and instance.transfer_syntax_uid in JPEG_2000
    return instance.transfer_syntax_uid in COLOUR_CODECS and not as_they_are


def pixel_format(instance: Instance) -> PixelFormat:
    """Return the pixel format of an instance; of RT Dose, Dose Grid Scaling is the slope (PS3.3 C.8.8.3)."""
    stored, high = instance.bits_stored or 0, instance.high_bit
    dose = decimal(instance.dose_grid_scaling)
    return PixelFormat(
        bits_allocated=instance.bits_allocated or 0,
        bits_stored=stored,
        signed=instance.pixel_representation == 1,
        monochrome1=instance.photometric_interpretation == "MONOCHROME1",
        slope=decimal(instance.rescale_slope) if dose is None else dose,
        intercept=decimal(instance.rescale_intercept),
        samples=instance.samples_per_pixel or 1,
        high_bit=None if high == stored - 1 else high,
    )


@dataclass(frozen=True)
class Peculiarity:
    """A peculiarity of images for which ITK is shown something else; each method of this base changes nothing.

    Peculiarities have no fields: they are equal if they are of the same class, and go to other processes by its name.
    """

    inverted: ClassVar[bool] = False
    """ITK changes or rearranges the pixels, which is undone: the path is ``itk-inverted``."""
    corrected: ClassVar[bool] = False
    """:meth:`correct` changes the values that ITK read."""
    itk_alone: ClassVar[bool] = True
    """ITK carries such an image without help, as ``headers="itk"`` asks it to."""

    def holds(self, instance: Instance) -> bool:
        """Tell whether an instance has this peculiarity."""
        raise NotImplementedError

    def shown_format(self, seen: PixelFormat) -> PixelFormat:
        """Return the pixel format that ITK is shown, from that of the source as other peculiarities left it."""
        return seen

    def shown_attributes(self, instance: Instance) -> Mapping[int, int | str]:
        """Return the attributes, by tag, that ITK is shown with another value than the source has."""
        return {}

    def hides(self, tag: int) -> bool:
        """Tell whether ITK is not shown an attribute."""
        return False

    def extra_rows(self, instance: Instance) -> int:
        """Return the number of rows that ITK is shown behind those of the image."""
        return 0

    def extra_bytes(self, instance: Instance) -> bytes:
        """Return what ITK is shown behind the value of Pixel Data."""
        return b""

    def correct(self, values: Array, seen: PixelFormat, instance: Instance) -> None:
        """Make the values of a slice right in place, as ITK read them of what it is shown."""

    def stored(self, words: Array) -> Array:
        """Return words in the source's format of the words of the format that ITK is shown (any shape)."""
        return words

    def to_native(self, pixels: Array) -> Array:
        """Return words as Pixel Data hold them of pixels of shape (frames, rows, columns), samples behind."""
        return pixels

    def from_native(self, words: Array, shape: tuple[int, ...]) -> Array | None:
        """Undo :meth:`to_native`; ``None`` where the words of Pixel Data stand pixel by pixel anyway."""
        return None


class OtherColours(Peculiarity):
    """YBR and HSV that no codec decodes to RGB: shown as RGB, which ITK would make of them, not exactly."""

    itk_alone = False

    def holds(self, instance: Instance) -> bool:
        several = (instance.samples_per_pixel or 1) > 1
        return several and instance.photometric_interpretation != "RGB" and not is_decoded_to_rgb(instance)

    def shown_attributes(self, instance: Instance) -> Mapping[int, int | str]:
        return {tags.PHOTOMETRIC_INTERPRETATION: "RGB"}


class ColourPlanes(Peculiarity):
    """Native samples that stand plane by plane (Planar Configuration 1): ITK reads and writes them interleaved."""

    inverted = True
    itk_alone = False

    def holds(self, instance: Instance) -> bool:
        several = (instance.samples_per_pixel or 1) > 1
        return several and instance.planar_configuration == 1 and not is_compressed(instance)

    def to_native(self, pixels: Array) -> Array:
        return np.moveaxis(pixels, -1, 1)

    def from_native(self, words: Array, shape: tuple[int, ...]) -> Array | None:
        frames, rows, columns, samples = shape
        return np.moveaxis(words[: math.prod(shape)].reshape(frames, samples, rows, columns), 1, -1)


class PaletteIndices(Peculiarity):
    """PALETTE COLOR: the indices are shown as grey values, because ITK would look their colours up."""

    itk_alone = False
    _TAGS = frozenset({
        tags.PALETTE_COLOR_LOOKUP_TABLE_UID,
        *(
            red + channel  # red, green, blue, alpha
            for red in (
                tags.RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
                tags.RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
                tags.LARGE_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
                tags.SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            )
            for channel in range(4)
        ),
    })  # fmt: skip

    def holds(self, instance: Instance) -> bool:
        return instance.photometric_interpretation == "PALETTE COLOR"

    def shown_attributes(self, instance: Instance) -> Mapping[int, int | str]:
        return {tags.PHOTOMETRIC_INTERPRETATION: "MONOCHROME2"}

    def hides(self, tag: int) -> bool:
        return tag in self._TAGS


class WholeWords(Peculiarity):
    """Words of which GDCM would spoil the stored values or the bits beside them: shown as if all bits were stored."""

    _OVERLAY_GROUPS = range(0x6000, 0x6020, 2)

    def holds(self, instance: Instance) -> bool:
        allocated, stored = instance.bits_allocated or 0, instance.bits_stored or 0
        if stored == allocated:
            return False
        is_spoiled = allocated in (8, 32) or instance.high_bit != stored - 1  # it refuses the first, spoils the others
        is_spoiled |= instance.bits_beyond > 0  # it wraps them, but for JPEG 2000
        return is_spoiled or (instance.embedded_overlay and is_compressed(instance))

    def shown_format(self, seen: PixelFormat) -> PixelFormat:
        return replace(seen, bits_stored=seen.bits_allocated, high_bit=None)

    def shown_attributes(self, instance: Instance) -> Mapping[int, int | str]:
        allocated = instance.bits_allocated or 0
        return {tags.BITS_STORED: allocated, tags.HIGH_BIT: allocated - 1}

    def hides(self, tag: int) -> bool:
        return tag >> 16 in self._OVERLAY_GROUPS  # GDCM would clear their bits


class SingleBits(Peculiarity):
    """Pixels of 1 bit: ITK reads and writes each as a byte, 0 or 255.

    GDCM drops those that do not fill a byte, so that rows are added until they do.
    """

    inverted = True
    itk_alone = False

    def holds(self, instance: Instance) -> bool:
        return instance.bits_allocated == 1

    def shown_format(self, seen: PixelFormat) -> PixelFormat:
        return replace(seen, bits_allocated=8, bits_stored=8)

    def shown_attributes(self, instance: Instance) -> Mapping[int, int | str]:
        extra_rows = self.extra_rows(instance)
        return {tags.ROWS: (instance.rows or 0) + extra_rows} if extra_rows else {}

    def extra_rows(self, instance: Instance) -> int:
        rows, columns = instance.rows or 0, instance.columns or 0
        return next(extra for extra in range(8) if (rows + extra) * columns % 8 == 0)

    def extra_bytes(self, instance: Instance) -> bytes:
        extra_rows = self.extra_rows(instance)
        return bytes(extra_rows * (instance.columns or 0) // 8 + 1) if extra_rows else b""

    def stored(self, words: Array) -> Array:
        return words // 255

    def to_native(self, pixels: Array) -> Array:
        return np.packbits(pixels.reshape(-1), bitorder="little")  # frames run on within a byte (PS3.5 8.1.1)

    def from_native(self, words: Array, shape: tuple[int, ...]) -> Array | None:
        return np.unpackbits(words.view("u1"), bitorder="little")[: math.prod(shape)].reshape(shape)


class InvertedMonochrome1(Peculiarity):
    """MONOCHROME1 of unsigned words: GDCM makes MONOCHROME2 of it, ``2**BitsStored - 1 - SV``, which is undone."""

    inverted = True
    corrected = True

    def holds(self, instance: Instance) -> bool:
        return (
            instance.photometric_interpretation == "MONOCHROME1"
            and instance.bits_allocated in (8, 16)
            and instance.pixel_representation == 0
            and not WholeWords().holds(instance)
        )

    def correct(self, values: Array, seen: PixelFormat, instance: Instance) -> None:
        values[...] = uninverted(values, seen)


class OtherMonochrome1(Peculiarity):
    """All other MONOCHROME1: GDCM inverts it by another formula or not at all, so that it is shown as MONOCHROME2."""

    def holds(self, instance: Instance) -> bool:
        return instance.photometric_interpretation == "MONOCHROME1" and not InvertedMonochrome1().holds(instance)

    def shown_format(self, seen: PixelFormat) -> PixelFormat:
        return replace(seen, monochrome1=False)

    def shown_attributes(self, instance: Instance) -> Mapping[int, int | str]:
        return {tags.PHOTOMETRIC_INTERPRETATION: "MONOCHROME2"}


class ValuesBeyondRange(Peculiarity):
    """Lossy streams of more bits than Bits Stored: values beyond its range are clipped to it (PS3.5 8.1.1)."""

    corrected = True

    def holds(self, instance: Instance) -> bool:
        return instance.bits_beyond > 0

    def correct(self, values: Array, seen: PixelFormat, instance: Instance) -> None:
        values[...] = clipped(values, pixel_format(instance), instance.bits_beyond)


class MultiFrame(Peculiarity):
    """Several frames, or functional groups: ITK is shown each frame alone, its header describes all of them."""

    itk_alone = False
    _TAGS = frozenset({tags.NUMBER_OF_FRAMES, tags.FRAME_INCREMENT_POINTER})

    def holds(self, instance: Instance) -> bool:
        return instance.framed

    def hides(self, tag: int) -> bool:
        return tag in self._TAGS


class HiddenRescale(Peculiarity):
    """A rescale that ITK must not or cannot apply: of colours, of words shown in another format, of RT Dose."""

    _TAGS = frozenset({tags.RESCALE_INTERCEPT, tags.RESCALE_SLOPE, tags.RESCALE_TYPE, tags.DOSE_GRID_SCALING})

    def holds(self, instance: Instance) -> bool:
        source = pixel_format(instance)
        return source != self.shown_format(source) and (
            source.samples > 1
            or bool(instance.dose_grid_scaling)
            or any(other.holds(instance) for other in (PaletteIndices(), WholeWords(), SingleBits()))
        )

    def shown_format(self, seen: PixelFormat) -> PixelFormat:
        return replace(seen, slope=None, intercept=None)

    def hides(self, tag: int) -> bool:
        return tag in self._TAGS


PECULIARITIES: tuple[Peculiarity, ...] = (
    OtherColours(),
    ColourPlanes(),
    PaletteIndices(),
    WholeWords(),
    SingleBits(),
    InvertedMonochrome1(),
    OtherMonochrome1(),
    ValuesBeyondRange(),
    MultiFrame(),
    HiddenRescale(),
)
