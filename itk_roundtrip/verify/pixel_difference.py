"""Differences between the stored values of a written file and those of its source file.

No decoder is believed alone: where decoders of compressed pixels disagree, what most of them read is compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from itk_roundtrip import syntaxes, tags
from itk_roundtrip.dicom.values import integer_of, text
from itk_roundtrip.pixels.formats import Digested, digest
from itk_roundtrip.verify.stored import (
    Array,
    Pixels,
    UndecodableError,
    pixel_words,
    readings,
    unclipped_values,
    values_of_words,
)

Tolerance = tuple[float, float]
"""Largest and mean difference of stored values that count as none."""


@dataclass(frozen=True)
class PixelDifference:
    """Differences between the pixels of a written file and those of its source.

    Attributes
    ----------
    values, reference
        Stored values of the written file and of the source, where they had to be decoded and could be.
    problem
        Why they cannot be compared; empty if they were.
    undecoded
        Why they were compared by their compressed bytes alone, which are the same; empty otherwise.
    identical_value
        The value of Pixel Data is the same to the byte, a pad byte apart that a source of odd length lacks.
    count, changed, largest, mean
        Stored values, how many of them differ, by how much at most, and in the mean of all.
    largest_real
        Largest difference of real-world values.
    decoders
        What decoded compressed ones.
    sha256
        Of the written stored values.
    unused_changed
        Bits that hold no stored value differ, where both sides show them: in uncompressed words, or under an embedded
        overlay. Where compressed ones were decoded, they are neither those of the decoder nor zeros or signs.
    beyond
        Written words hold values that Bits Stored cannot, where they are no words of the source.
    wrong_colours
        They are those that the header says, where the stream says others: transformed twice, or not at all.
    clipped
        Values of a lossy source that lie beyond Bits Stored, and count as the nearest that it can hold.
    agreeing, disagreeing
        Decoders by their names, where they do not read the same of a compressed side: those whose reading was
        compared, and those that read other values. Both are empty where all that were asked agree.
    """

    values: Array | None = None
    reference: Array | None = None
    problem: str = ""
    undecoded: str = ""
    identical_value: bool = False
    count: int = 0
    changed: int = 0
    largest: float = 0.0
    mean: float = 0.0
    largest_real: float = 0.0
    decoders: tuple[str, ...] = ()
    sha256: str = ""
    unused_changed: bool = False
    beyond: bool = False
    wrong_colours: bool = False
    clipped: int = 0
    agreeing: tuple[str, ...] = ()
    disagreeing: tuple[str, ...] = ()

    @property
    def disputed(self) -> bool:
        """Whether at least as many decoders disagree with the reading that was compared as agree: nothing is proven."""
        return bool(self.disagreeing) and len(self.agreeing) <= len(self.disagreeing)


def compare_pixels(
    source: Pixels,
    written: Pixels,
    tolerance: Tolerance = (0.0, 0.0),
    *,
    second_opinion: bool = False,
    digested: Digested | None = None,
) -> PixelDifference:
    """Compare all stored values and all real-world values of two files.

    Where the first decoder that reads a compressed file finds other values than the other file holds, all decoders are
    asked, and the reading that most of them agree on is the one that is compared.

    Parameters
    ----------
    source, written
        The two files.
    tolerance
        By how much stored values may differ, at most and in the mean, for two readings to be the same.
    second_opinion
        Ask a second decoder also where the first one finds no difference: what was written may be its mistake.
    digested
        Words whose digest is known.
    """
    if not source.tag and not written.tag:
        return PixelDifference(identical_value=True)
    identical = _is_identical(source, written)
    same_description = source.description == written.description and source.tag == written.tag
    colours = _Colours.of(source, written)
    try:
        after = _decoded(written)
        if identical and same_description:
            before = in_source_colours = after
        else:
            in_source_colours = _decoded(source, as_rgb=colours.as_rgb)
            before = colours.as_stated(in_source_colours, source)
    except UndecodableError as error:
        if identical and same_description and source.encapsulated:
            # The same compressed bytes hold the same values, whatever they are.
            return PixelDifference(identical_value=True, count=written.count, undecoded=str(error))
        return PixelDifference(problem=str(error), identical_value=identical)
    if after.values.shape != before.values.shape:
        return PixelDifference(problem="it holds another number of values than the source", identical_value=identical)
    decoders = {before.decoder, after.decoder}
    distance, opinions, wrong_colours = _Distance(), _Opinions(), False
    if after is not before:
        distance = _distance(after.values, before.values)
        differs = not distance.within(tolerance)
        if differs or (second_opinion and tolerance == (0.0, 0.0)):
            before, after, opinions = _ask_others(source, written, before, after, tolerance, colours)
            distance = _distance(after.values, before.values)
        if differs and colours.contradicted:
            header_values = colours.as_header_says(in_source_colours, source).values
            wrong_colours = _distance(after.values, header_values).within(tolerance)
    clipped = unclipped_values(before.words, source) != before.values if source.bits_beyond else False
    return PixelDifference(
        values=after.values,
        reference=before.values,
        identical_value=identical,
        count=int(after.values.size),
        changed=distance.changed,
        largest=distance.largest,
        mean=distance.mean,
        largest_real=_largest_real(before.values, after.values, source, written, distance),
        decoders=tuple(sorted(decoders)),
        sha256=digested.of(after.values) if digested is not None else digest(after.values),
        unused_changed=not distance.changed and _unused_bits_differ(before, after, source, written),
        beyond=distance.changed > 0 and _are_beyond(before, after, written),
        wrong_colours=wrong_colours,
        clipped=int(np.count_nonzero(clipped)),
        agreeing=opinions.agreeing,
        disagreeing=opinions.disagreeing,
    )


def without_counterpart(written: Pixels) -> PixelDifference:
    """Return the stored values of a file whose slice is of another grid than its source: all are other values."""
    try:
        decoded = _decoded(written)
    except UndecodableError as error:
        return PixelDifference(problem=str(error))
    size = int(decoded.values.size)
    return PixelDifference(
        values=decoded.values,
        count=size,
        changed=size,
        decoders=(decoded.decoder,),
        sha256=digest(decoded.values),
        beyond=not np.array_equal(decoded.words, decoded.values),
    )


def _is_identical(source: Pixels, written: Pixels) -> bool:
    """Tell whether the value of Pixel Data is the same to the byte and read in the same way."""
    same_syntax = source.syntax == written.syntax or (source.native and written.native)
    before, after = memoryview(source.value), memoryview(written.value)
    size = len(before)
    # A value of odd length is none of DICOM: it gets its pad byte.
    is_as_long = len(after) == size or (size % 2 == 1 and bytes(after[size:]) == b"\0")
    return (
        same_syntax
        and is_as_long
        and all(  # memoryviews compare slowly
            bytes(before[at : at + _PIECE]) == bytes(after[:size][at : at + _PIECE]) for at in range(0, size, _PIECE)
        )
    )


_PIECE = 1 << 20
"""Bytes that are compared at a time."""


@dataclass(frozen=True)
class _Decoded:
    """Pixel words of a file, the stored values in them, and the name of their decoder."""

    words: Array
    values: Array
    decoder: str


def _decoded(pixels: Pixels, *, as_rgb: bool = False) -> _Decoded:
    """Decode pixels by the first decoder that accepts them; YBR as RGB with ``as_rgb``."""
    words, decoder = pixel_words(pixels, as_rgb=as_rgb)
    return _Decoded(words, values_of_words(words, pixels), decoder)


@dataclass(frozen=True)
class _Opinions:
    """Names of decoders that do not read the same: see the attributes of the same names of :class:`PixelDifference`."""

    agreeing: tuple[str, ...] = ()
    disagreeing: tuple[str, ...] = ()


def _ask_others(
    source: Pixels, written: Pixels, before: _Decoded, after: _Decoded, tolerance: Tolerance, colours: _Colours
) -> tuple[_Decoded, _Decoded, _Opinions]:
    """Ask all decoders of the compressed pixels of the source, and of those of the written file unless they disagree.

    Returns
    -------
    tuple
        What most of them read of the source and of the written file, and who disagrees.
    """
    opinions = _Opinions()
    if _needs_codec(source) and not colours.contradicted:
        before, opinions = _most_agreed(source, before, after.values, tolerance, as_rgb=colours.as_rgb)
    if _needs_codec(written) and not opinions.disagreeing:
        after, written_opinions = _most_agreed(written, after, before.values, tolerance)
        opinions = written_opinions
    return before, after, opinions


def _needs_codec(pixels: Pixels) -> bool:
    """Tell whether pixels are compressed by more than deflate or RLE of native frames."""
    return pixels.encapsulated and not syntaxes.holds_native_frames(pixels.syntax, pixels.bits_allocated)


def _most_agreed(
    pixels: Pixels, decoded: _Decoded, other: Array, tolerance: Tolerance, *, as_rgb: bool = False
) -> tuple[_Decoded, _Opinions]:
    """Decode compressed pixels with all decoders, until two of them return the values of the other file.

    Returns
    -------
    tuple
        What most of them read, the nearest to the other file if as many read something else; ``decoded`` if none reads
        it. The names of those decoders and of all others, which are left out where all that were asked agree.
    """
    groups: dict[str, tuple[_Decoded, float, list[str]]] = {}  # by the values, "" for those of the other file
    for reading in readings(pixels, as_rgb=as_rgb):
        if reading.words.size != other.size:
            continue
        words = reading.words.reshape(other.shape)
        values = values_of_words(words, pixels)
        distance = _distance(values, other)
        key = "" if distance.within(tolerance) else digest(values)
        groups.setdefault(key, (_Decoded(words, values, decoded.decoder), distance.mean, []))[2].append(reading.decoder)
        if len(groups) == 1 and "" in groups and len(groups[""][2]) == 2:
            break
    if not groups:
        return decoded, _Opinions()
    chosen, _, names = max(groups.values(), key=lambda group: (len(group[2]), -group[1]))
    others = [name for group in groups.values() for name in group[2] if group[2] is not names]
    return chosen, _Opinions(tuple(names), tuple(others)) if others else _Opinions()


@dataclass(frozen=True)
class _Distance:
    """Number of values that differ between two arrays, largest difference, and mean difference of all values."""

    changed: int = 0
    largest: float = 0.0
    mean: float = 0.0

    def within(self, tolerance: Tolerance) -> bool:
        """Tell whether largest and mean difference are within a tolerance of both."""
        return self.largest <= tolerance[0] and self.mean <= tolerance[1]


def _distance(values: Array, reference: Array) -> _Distance:
    """Return the distance between two arrays of stored values; two NaN are equal."""
    if values is reference:
        return _Distance()
    apart = np.not_equal(values, reference)
    if values.dtype.kind == "f":
        apart &= ~(np.isnan(values) & np.isnan(reference))
    changed = int(np.count_nonzero(apart))
    if not changed:
        return _Distance()
    step = np.abs(np.subtract(values[apart], reference[apart], dtype=np.float64))
    return _Distance(changed, float(np.max(step)), float(np.sum(step)) / values.size)


def _largest_real(before: Array, after: Array, source: Pixels, written: Pixels, distance: _Distance) -> float:
    """Return the largest difference of real-world values, each with the slope and intercept of its file."""
    same_slope = (source.slope, source.intercept, source.mapped) == (written.slope, written.intercept, written.mapped)
    if same_slope and (not distance.largest or source.frame_scales == written.frame_scales):
        return distance.largest * max(abs(slope) for slope, _ in source.frame_scales) if distance.largest else 0.0
    scaled = written.real(after)
    scaled -= source.real(before)
    return float(np.max(np.abs(scaled))) if scaled.size else 0.0


@dataclass(frozen=True)
class _Colours:
    """The colours in which decoded pixels of the source are compared.

    Attributes
    ----------
    photometric_interpretation
        Of the written file.
    as_rgb
        Whether compressed YBR of the source is decoded to RGB, as the written file holds it.
    contradicted
        Whether stream and header of the source contradict each other on the colours, so that readers show different
        ones.
    """

    photometric_interpretation: str
    as_rgb: bool
    contradicted: bool

    @classmethod
    def of(cls, source: Pixels, written: Pixels) -> _Colours:
        """Return the colours for a source and a written file."""
        before, after = (text(pixels.dataset, tags.PHOTOMETRIC_INTERPRETATION) for pixels in (source, written))
        contradicted = source.contradiction is not None and source.contradiction.is_ambiguous
        as_rgb = source.encapsulated and before.startswith("YBR") and after == "RGB" and not contradicted
        return cls(after, as_rgb, contradicted)

    def as_stated(self, decoded: _Decoded, source: Pixels) -> _Decoded:
        """Return pixels of the source in the colours of the written file, from those that a JPEG stream states.

        They are as decoded without a contradiction, or where the stream is of JPEG 2000, which does not state whether
        it is decoded to RGB or to YBR.
        """
        stated = source.contradiction.stated if source.contradiction is not None else ""
        if not self.contradicted or stated not in ("RGB", "YCbCr"):
            return decoded
        return self._converted(decoded, source, stated)

    def as_header_says(self, decoded: _Decoded, source: Pixels) -> _Decoded:
        """Return pixels of the source in the colours of the written file, from those that the header states."""
        if source.contradiction is None or source.contradiction.codec != "JPEG":
            return decoded
        stated = "RGB" if source.contradiction.photometric_interpretation == "RGB" else "YCbCr"
        return self._converted(decoded, source, stated)

    def _converted(self, decoded: _Decoded, source: Pixels, given: str) -> _Decoded:
        """Return pixels converted from RGB to YCbCr or back, where the written file has the other one."""
        wanted = "RGB" if self.photometric_interpretation == "RGB" else "YCbCr"
        if given == wanted:
            return decoded
        words = _converted(decoded.words, source.bits_stored, to_rgb=wanted == "RGB")
        return _Decoded(words, values_of_words(words, source), decoded.decoder)


def _converted(words: Array, bits: int, *, to_rgb: bool) -> Array:
    """Return colours converted from YCbCr to RGB, or from RGB to YCbCr (PS3.3 C.7.6.3.1.2)."""
    middle, top = 1 << (bits - 1), (1 << bits) - 1
    offsets = np.array([0, middle, middle])
    matrix = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    values = words.astype(np.float64)
    values = (values - offsets) @ np.linalg.inv(matrix).T if to_rgb else values @ matrix.T + offsets
    converted: Array = np.clip(np.rint(values), 0, top).astype(words.dtype)
    return converted


def _are_beyond(before: _Decoded, after: _Decoded, written: Pixels) -> bool:
    """Tell whether words are more than their stored values where High Bit puts these, and not words of the source.

    A value that a processing left as it was may stand in its old word, unused bits and all.
    """
    if after.values.dtype.kind not in "iu":
        return False  # floating point numbers have no unused bits
    below = max(0, written.high_bit + 1 - written.bits_stored)
    plain = np.left_shift(after.values, below) if below else after.values
    return bool(np.any((after.words != plain) & (after.words != before.words)))


def _unused_bits_differ(before: _Decoded, after: _Decoded, source: Pixels, written: Pixels) -> bool:
    """Tell whether bits that hold no stored value differ; see ``unused_changed`` of :class:`PixelDifference`."""
    if _shows_all_bits(source, written):
        return after is not before and not np.array_equal(after.words, before.words)
    return _holds_stray_bits(before, after, source, written)


def _shows_all_bits(source: Pixels, written: Pixels) -> bool:
    """Tell whether the unused bits must be those of the source: both uncompressed, or with an embedded overlay."""
    # An overlay is embedded in unused bits: Overlay Bit Position (60xx,0102) without Overlay Data (60xx,3000).
    overlay = any(
        (group << 16 | 0x0102) in source.dataset
        and (group << 16 | 0x3000) not in source.dataset
        and integer_of(source.dataset, group << 16 | 0x0102) > 0
        for group in range(0x6000, 0x6020, 2)
    )
    native = source.native and not written.encapsulated
    return (native or overlay) and source.tag == written.tag == tags.PIXEL_DATA and source.bits_allocated >= 8


def _holds_stray_bits(before: _Decoded, after: _Decoded, source: Pixels, written: Pixels) -> bool:
    """Tell whether unused bits of decoded words are neither zeros, nor the sign, nor those of the decoder.

    Not all readers mask them.
    """
    words = after.words
    spare = 8 <= written.bits_stored < written.bits_allocated and written.high_bit == written.bits_stored - 1
    if (
        not spare
        or source.native
        or written.encapsulated
        or words.dtype.kind not in "iu"
        or words.shape != before.words.shape
    ):
        return False
    cut = after.values & ((1 << written.bits_stored) - 1)
    return not bool(np.all((words == after.values) | (words == cut) | (words == before.words)))
