"""Every kind of image as a table: which are refused, which path carries the pixels of the others, and why.

ITK carries what it can: it is shown a file that it does not misread, and an exact inverse undoes what it does all the
same, as :mod:`itk_roundtrip.pixels.peculiarities` says of each. What it cannot carry is kept from the source, byte for
byte, and the reason is told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from pydicom import uid

from itk_roundtrip import syntaxes
from itk_roundtrip.arguments import Identity
from itk_roundtrip.dicom import colours
from itk_roundtrip.dicom.decimals import decimal
from itk_roundtrip.errors import SeriesReadError, UnsupportedSeriesError
from itk_roundtrip.pixels.formats import Array, PixelFormat
from itk_roundtrip.pixels.peculiarities import (
    COLOUR_CODECS,
    JPEG_2000,
    PECULIARITIES,
    HiddenRescale,
    MultiFrame,
    Peculiarity,
    is_compressed,
    is_decoded_to_rgb,
    pixel_format,
)
from itk_roundtrip.series.find import Instance, Series
from itk_roundtrip.words import counted

Path = Literal["itk", "itk-inverted", "source"]
"""What carries the pixels: ITK; ITK and the exact inverse of what it does to them; or the source's own bytes."""

_DECODED_BY_GDCM = COLOUR_CODECS | {
    uid.RLELossless, uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEGLSNearLossless,
}  # fmt: skip


@dataclass(frozen=True)
class Carriage:
    """How the pixels of an instance are carried.

    Attributes
    ----------
    pixel_format
        How the source stores its values.
    peculiarities
        For which ITK is shown something else than the source, in the order of their table.
    photometric
        Photometric Interpretation of what is written.
    reason
        Why the pixels are kept from the source; empty if ITK carries them.
    itk_failed
        It was tried, so that ITK cannot prove that compressed pixels are sound.
    """

    pixel_format: PixelFormat
    peculiarities: tuple[Peculiarity, ...] = ()
    photometric: str = ""
    reason: str = ""
    itk_failed: bool = False

    @property
    def path(self) -> Path:
        """What carries the pixels."""
        if self.reason:
            return "source"
        return "itk-inverted" if any(peculiarity.inverted for peculiarity in self.peculiarities) else "itk"

    @property
    def seen(self) -> PixelFormat:
        """How ITK is shown that the source stores its values; the same words, but maybe fewer of their meanings."""
        seen = self.pixel_format
        for peculiarity in self.peculiarities:
            seen = peculiarity.shown_format(seen)
        return seen

    @property
    def framed(self) -> bool:
        """Whether ITK is shown frame by frame, without the header, which describes all frames together."""
        return MultiFrame() in self.peculiarities

    @property
    def corrected(self) -> bool:
        """Whether :meth:`correct` changes the values that ITK read."""
        return any(peculiarity.corrected for peculiarity in self.peculiarities)

    def shown_attributes(self, instance: Instance) -> dict[int, int | str]:
        """Return the Image Pixel attributes, by tag, that ITK is shown with another value than the source has."""
        shown: dict[int, int | str] = {}
        for peculiarity in self.peculiarities:
            shown.update(peculiarity.shown_attributes(instance))
        return shown

    def hides(self, tag: int) -> bool:
        """Tell whether ITK is not shown an attribute, by which it would misread pixels."""
        return any(peculiarity.hides(tag) for peculiarity in self.peculiarities)

    def extra_rows(self, instance: Instance) -> int:
        """Return the number of rows that ITK is shown behind those of the image."""
        return sum(peculiarity.extra_rows(instance) for peculiarity in self.peculiarities)

    def extra_bytes(self, instance: Instance) -> bytes:
        """Return what ITK is shown behind the value of Pixel Data."""
        return b"".join(peculiarity.extra_bytes(instance) for peculiarity in self.peculiarities)

    def correct(self, values: Array, instance: Instance, *, undo_inversion: bool = True) -> None:
        """Make the values of a slice that ITK read right in place, maybe but for what ITK itself does to them."""
        seen = self.seen
        for peculiarity in self.peculiarities:
            if undo_inversion or not peculiarity.inverted:
                peculiarity.correct(values, seen, instance)

    def stored(self, words: Array) -> Array:
        """Return words in the source's format of the words, in that which ITK was shown, that it read or wrote."""
        for peculiarity in self.peculiarities:
            words = peculiarity.stored(words)
        return words

    def to_native(self, pixels: Array) -> Array:
        """Return words as Pixel Data hold them of pixels of shape (frames, rows, columns), samples behind."""
        for peculiarity in self.peculiarities:
            pixels = peculiarity.to_native(pixels)
        return pixels

    def from_native(self, value: bytes | memoryview, shape: tuple[int, ...]) -> Array:
        """Return the pixels of a value of Pixel Data, of shape (frames, rows, columns), samples behind."""
        dtype = self.pixel_format.dtype
        words = np.frombuffer(value, dtype, len(value) // dtype.itemsize)
        for peculiarity in self.peculiarities:
            if (pixels := peculiarity.from_native(words, shape)) is not None:
                return pixels
        return words[: math.prod(shape)].reshape(shape)

    def kept(self, reason: str) -> Carriage:
        """Return this carriage with the pixels kept from the source, because ITK turned out not to carry them."""
        return replace(self, reason=reason, photometric="", itk_failed=True)


# ------------------------------------------------------------------------------------------------ refused


def _transfer_syntax(instance: Instance) -> str:
    """Return why a transfer syntax is refused: retired, private or unknown; empty if it is not."""
    syntax = instance.transfer_syntax_uid
    if syntax in syntaxes.RETIRED:
        return f"is in a retired transfer syntax ({syntaxes.name(syntax)})"
    if syntaxes.is_known(syntax):
        return ""
    if syntaxes.name(syntax) != syntax:
        return f"has a private transfer syntax ({syntaxes.name(syntax)}; {syntax})"
    return "has a transfer syntax that is not known" + (f" ({syntax})" if uid.UID(syntax).is_valid else "")


def _pixels(instance: Instance) -> str:
    """Return why an instance without pixel data is refused."""
    if instance.pixel_data:
        return ""
    syntax = instance.transfer_syntax_uid
    where = syntaxes.ELSEWHERE.get(syntax)
    return f"holds no pixel data: {syntaxes.name(syntax)} leaves them to {where}" if where else "holds no pixel data"


def _frames(instance: Instance) -> str:
    """Return why Number of Frames (0028,0008) is refused."""
    text = instance.number_of_frames.strip()
    return "" if not text or text.lstrip("+").isdecimal() else "has a Number of Frames that is no number"


def _bits(instance: Instance) -> str:
    """Return why Bits Allocated, Bits Stored, High Bit or Pixel Representation are refused (PS3.5 8.1.1)."""
    if instance.pixel_data != "integer":
        return ""
    allocated, stored, high = instance.bits_allocated, instance.bits_stored, instance.high_bit
    if not allocated:
        return "does not say how many bits a pixel has"
    if allocated != 1 and allocated % 8:
        return f"has {allocated} bits allocated"
    if stored is None or not 1 <= stored <= allocated:
        return (
            f"says that {stored} of {counted(allocated, 'bit')} are stored"
            if stored
            else "does not say how many bits are stored"
        )
    if high is None or not stored - 1 <= high < allocated:
        return f"has High Bit {high} with {stored} of {allocated} bits stored"
    return "has no valid Pixel Representation" if instance.pixel_representation not in (0, 1) else ""


def _word_order(instance: Instance) -> str:
    """Return why Big Endian pixels of more than 16 bits are refused."""
    long = instance.pixel_data == "integer" and (instance.bits_allocated or 0) > 16
    if long and instance.transfer_syntax_uid == uid.ExplicitVRBigEndian:
        return "holds pixels of more than 16 bits in Big Endian, whose order readers do not agree on"
    return ""


_PHOTOMETRIC = frozenset({
    "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "HSV", "ARGB", "CMYK", "YBR_FULL", "YBR_FULL_422",
    "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT", "XYB",
})  # fmt: skip
"""Defined terms, retired ones too (PS3.3 C.7.6.3.1.2): all else may be any text, and is not repeated."""


def _photometric(instance: Instance) -> str:
    """Return why a Photometric Interpretation is refused: unknown, or of other Samples per Pixel."""
    name, samples = instance.photometric_interpretation, instance.samples_per_pixel or 1
    if not name:
        return "has no Photometric Interpretation"
    if name not in _PHOTOMETRIC:
        return "has a Photometric Interpretation that is not known"
    expected = {"MONOCHROME1": (1,), "MONOCHROME2": (1,), "PALETTE COLOR": (1,), "ARGB": (4,), "CMYK": (4,)}
    if samples not in expected.get(name, (3,)):
        return f"has {counted(samples, 'sample')} per pixel with Photometric Interpretation {name}"
    return ""


def _rescale(instance: Instance) -> str:
    """Return why Rescale Slope, Rescale Intercept or Dose Grid Scaling are refused: not numbers."""
    for text, keyword in ((instance.rescale_slope, "Rescale Slope"), (instance.rescale_intercept, "Rescale Intercept"),
                          (instance.dose_grid_scaling, "Dose Grid Scaling")):  # fmt: skip
        if text and decimal(text) is None:
            return f"has a {keyword} that is not a number"
    return ""


_REFUSALS: tuple[Callable[[Instance], str], ...] = (
    _pixels,
    _transfer_syntax,
    _frames,
    _photometric,
    _bits,
    _word_order,
    lambda instance: "" if instance.rows and instance.columns else "does not say how many rows and columns it has",
    _rescale,
)
"""Why an instance is refused, in the order in which it is said."""


def check_supported(series: Series, identity: Identity) -> None:
    """Refuse a series that cannot be carried: damaged, contradictory, or of a kind that is not carried.

    Raises
    ------
    SeriesReadError
        A file is truncated, or two files share a SOP Instance UID.
    UnsupportedSeriesError
        An image that is not described, or that nothing can be derived from.
    """
    seen: dict[str, Instance] = {}
    for instance in series.instances:
        for refusal in _REFUSALS:
            if reason := refusal(instance):
                raise UnsupportedSeriesError(
                    f"{instance.name} {reason}, which is not carried.",
                    path=instance.name,
                    series=series.series_instance_uid,
                )
        if instance.truncated:
            raise SeriesReadError(f"{instance.name} is truncated: it ends before its pixels do.", path=instance.name)
        if instance.concatenation_uid and identity == "derived":
            raise UnsupportedSeriesError(
                f"{instance.name} is part of a concatenation, whose parts refer to one another by UIDs of the source;"
                ' use identity="copy".',
                path=instance.name,
                tag="(0020,9161)",
                option='identity="copy"',
            )
        other = seen.setdefault(instance.sop_instance_uid, instance) if instance.sop_instance_uid else instance
        if other is not instance:
            raise SeriesReadError(
                f"{other.name} and {instance.name} differ and have one SOP Instance UID; remove one of them, or put"
                " each into a folder of its own.",
                path=instance.name,
            )


# ---------------------------------------------------------------------------------------------- the paths


def _undecoded(instance: Instance, identity: Identity) -> str:
    """Return why a compressed stream is kept: GDCM has no decoder for it; empty if it has."""
    if not is_compressed(instance) or instance.transfer_syntax_uid in _DECODED_BY_GDCM:
        return ""
    return f"GDCM has no decoder for {syntaxes.name(instance.transfer_syntax_uid)}"


def _lossy_copy(instance: Instance, identity: Identity) -> str:
    """Return why the lossy streams of a copy are kept: decoded, they would be described as something else."""
    if identity == "copy" and instance.is_lossy:
        return "a copy of a lossy source keeps its compressed bytes"
    return ""


def _colour_copy(instance: Instance, identity: Identity) -> str:
    """Return why YBR is kept that a codec decodes to RGB: a copy says what the source says."""
    if identity == "copy" and instance.photometric_interpretation.startswith("YBR") and is_decoded_to_rgb(instance):
        return f"decompressed, {instance.photometric_interpretation} would be RGB, which a copy must not be"
    return ""


def _contradicted(instance: Instance, identity: Identity) -> str:
    """Return why a stream is kept that says other colours than the header: ITK follows it, other readers the stream."""
    contradiction = colours.contradiction(instance.photometric_interpretation, instance.streams)
    if contradiction and contradiction.is_ambiguous:
        return f"{contradiction}, so that readers see different colours"
    return ""


def _samples(instance: Instance, identity: Identity) -> str:
    """Return why other Samples per Pixel than 1 and 3 are kept."""
    samples = instance.samples_per_pixel or 1
    return (
        ""
        if samples in (1, 3)
        else f"ITK has no pixel type of {counted(samples, 'sample')} as {instance.photometric_interpretation}"
    )


def _width(instance: Instance, identity: Identity) -> str:
    """Return why pixels are kept whose Bits Allocated no pixel type of GDCMImageIO has."""
    if instance.bits_allocated in ((1, 8, 16, 32) if (instance.samples_per_pixel or 1) == 1 else (8, 16)):
        return ""
    return f"ITK has no DICOM pixel type of {counted(instance.bits_allocated or 0, 'bit')}" + (
        " per sample" if instance.samples_per_pixel != 1 else ""
    )


def _subsampled(instance: Instance, identity: Identity) -> str:
    """Return why subsampled chroma is kept, but in JPEG and JPEG 2000."""
    if instance.photometric_interpretation.endswith(("_422", "_420")) and (
        not is_compressed(instance) or instance.transfer_syntax_uid not in COLOUR_CODECS
    ):
        return "GDCM misreads chroma of half the resolution unless JPEG holds it"
    return ""


def _rle_words(instance: Instance, identity: Identity) -> str:
    """Return why RLE of colours of more than 8 bits is kept."""
    wide = (instance.bits_allocated or 0) > 8 and (instance.samples_per_pixel or 1) > 1
    if instance.transfer_syntax_uid == uid.RLELossless and wide:
        return "GDCM decodes RLE of such words to other values"
    return ""


def _long_codestream(instance: Instance, identity: Identity) -> str:
    """Return why JPEG 2000 of more than 16 bits is kept."""
    if instance.transfer_syntax_uid in JPEG_2000 and (instance.bits_allocated or 0) > 16:
        return "GDCM decodes JPEG 2000 of more than 16 bits to other values"
    return ""


def _unclear_range(instance: Instance, identity: Identity) -> str:
    """Return why streams are kept whose values beyond Bits Stored cannot be told from others, to be clipped."""
    if any((stream.precision or 0) > max(8, instance.bits_allocated or 0) for stream in instance.streams):
        return "its streams have more bits than are allocated"
    if not instance.is_lossy:
        return ""
    if instance.pixel_representation == 0 and any(stream.signed for stream in instance.streams):
        return "its lossy streams have signed values, which its header denies"
    if instance.bits_beyond and instance.embedded_overlay:
        return "its lossy streams hold an overlay beside the stored values"
    if instance.bits_beyond and len({(stream.precision, stream.is_lossy) for stream in instance.streams}) > 1:
        return "its frames differ in precision, or were compressed with loss and without"
    return ""


_KEPT: tuple[Callable[[Instance, Identity], str], ...] = (
    lambda instance, identity: (
        "" if instance.pixel_data == "integer" else f"ITK reads no {instance.pixel_data} pixel data"
    ),
    _undecoded,
    _lossy_copy,
    _contradicted,
    _colour_copy,
    _samples,
    _width,
    _subsampled,
    _rle_words,
    _long_codestream,
    _unclear_range,
)
"""Why the pixels of an instance are kept from the source, in the order in which it is said."""


def carriage(instance: Instance, identity: Identity) -> Carriage:
    """Return how the pixels of a supported instance are carried."""
    source_format, photometric = pixel_format(instance), instance.photometric_interpretation
    for rule in _KEPT:
        if reason := rule(instance, identity):
            return Carriage(source_format, photometric=photometric, reason=reason)
    return Carriage(
        source_format,
        peculiarities=tuple(peculiarity for peculiarity in PECULIARITIES if peculiarity.holds(instance)),
        photometric="RGB" if source_format.samples > 1 and is_decoded_to_rgb(instance) else photometric,
    )


def are_unchanged(series: Series, carried: Mapping[str, Carriage]) -> bool:
    """Tell whether all pixels are what the source stores, none decoded from a lossy stream or to another colour."""
    return not any(
        instance.is_lossy or carried[instance.name].photometric not in ("", instance.photometric_interpretation)
        for instance in series.instances
    )


def check_plain(carried: Mapping[str, Carriage]) -> None:
    """Refuse kinds of images that ITK does not carry without help, for ``headers="itk"``.

    Raises
    ------
    UnsupportedSeriesError
        There is such an instance.
    """
    for name, planned in carried.items():
        itk_alone = all(peculiarity.itk_alone for peculiarity in planned.peculiarities)
        if planned.path == "source" or planned.pixel_format.samples > 1 or not itk_alone:
            raise UnsupportedSeriesError(
                f"{name} is of a kind that ITK alone does not carry, so that there is nothing to write with"
                ' headers="itk"; `losses` shows what ITK makes of it.',
                path=name,
                option='headers="itk"',
            )


def without_rescale(planned: Carriage) -> Carriage:
    """Return the same carriage with slope and intercept hidden from ITK."""
    hidden = HiddenRescale()
    if hidden.shown_format(planned.seen) == planned.seen:
        return planned
    return replace(planned, peculiarities=(*planned.peculiarities, hidden))


def carriages(series: Series, identity: Identity) -> dict[str, Carriage]:
    """Return how each instance of a supported series is carried, by its name."""
    return {instance.name: carriage(instance, identity) for instance in series.instances}


def carried_alike(series: Series, carried: Mapping[str, Carriage], given_up: Mapping[str, str]) -> dict[str, Carriage]:
    """Return how instances are carried once ITK turned out not to carry some of a transfer syntax: none of it then.

    A series of which some slices are decoded and others are not would be of mixed kinds.

    Parameters
    ----------
    series, carried
        As it was planned.
    given_up
        Transfer Syntax UIDs of which an instance was kept after all, and why.
    """
    return {
        instance.name: carried[instance.name].kept(given_up[instance.transfer_syntax_uid])
        if instance.transfer_syntax_uid in given_up and carried[instance.name].path != "source"
        else carried[instance.name]
        for instance in series.instances
    }
