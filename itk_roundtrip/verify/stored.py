"""The stored values of a file, decoded without ITK, and how those of two files differ.

Arrays have the shape (frames, rows, columns, samples). Stored values are what Bits Stored and Pixel Representation
make of the pixel words (PS3.3 C.7.6.3, PS3.5 8.1); real-world values are ``slope * SV + intercept`` (PS3.3 C.11.1).
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import get_decoder

from itk_roundtrip import rules, syntaxes, tags
from itk_roundtrip.dicom import codestream, colours
from itk_roundtrip.itk_io import _simpleitk
from itk_roundtrip.pixels.formats import digest
from itk_roundtrip.verify.attributes import element_of, numbers, raw, text

Array = NDArray[Any]

PIXEL_DATA = tags.PIXEL_DATA
_FLOATS = {tags.FLOAT_PIXEL_DATA: ("<f4", ">f4"), tags.DOUBLE_FLOAT_PIXEL_DATA: ("<f8", ">f8")}
_DESCRIPTION = (
    tags.SAMPLES_PER_PIXEL,
    tags.PHOTOMETRIC_INTERPRETATION,
    tags.PLANAR_CONFIGURATION,
    tags.NUMBER_OF_FRAMES,
    tags.ROWS,
    tags.COLUMNS,
    tags.BITS_ALLOCATED,
    tags.BITS_STORED,
    tags.PIXEL_REPRESENTATION,
)
"""Samples, photometric interpretation, planar configuration, frames, rows, columns, bits and sign."""
_NUMBER_OF_FRAMES = tags.NUMBER_OF_FRAMES
_COLOUR_CODECS = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEG2000Lossless, uid.JPEG2000)
_SECONDARY_CAPTURE = uid.SecondaryCaptureImageStorage


class UndecodableError(Exception):
    """The pixel data of a file cannot be decoded; says why without values.

    ``damaged`` tells whether a decoder that knows their transfer syntax failed.
    """

    def __init__(self, reason: str, *, damaged: bool = False) -> None:
        super().__init__(reason)
        self.damaged = damaged


def _number(dataset: Dataset, tag: int, default: int = 0) -> int:
    found = numbers(dataset, tag)
    return int(found[0]) if found and 0 <= found[0] < 1 << 31 else default


@dataclass(frozen=True)
class Pixels:
    """The pixels of one file.

    Attributes
    ----------
    tag
        Of the element that holds them; 0 if there is none.
    value
        Its value as it stands in the file.
    syntax
        Transfer syntax.
    native
        Uncompressed and little endian.
    frames, rows, columns, samples, bits_allocated, bits_stored, high_bit, signed
        As the header says; High Bit is Bits Stored - 1 where it says nothing that can be.
    slope, intercept
        Of the Modality LUT, with 1 and 0 where they are absent; of RT Dose Dose Grid Scaling.
    """

    dataset: Dataset
    tag: int
    value: bytes
    syntax: uid.UID
    frames: int
    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    slope: float
    intercept: float
    description: tuple[bytes, ...]
    """What tells how the words are to be read; as it stood before a decoder looked at it."""

    @property
    def native(self) -> bool:
        """Uncompressed and little endian."""
        return not self.encapsulated and self.syntax != uid.ExplicitVRBigEndian

    @property
    def encapsulated(self) -> bool:
        """Compressed."""
        return syntaxes.is_encapsulated(self.syntax)

    @cached_property
    def streams(self) -> tuple[codestream.Stream, ...]:
        """What the compressed streams of all frames say of themselves, each once."""
        return tuple(dict.fromkeys(codestream.streams(self.value))) if self.encapsulated else ()

    @cached_property
    def contradiction(self) -> colours.Contradiction | None:
        """How the streams contradict Photometric Interpretation, if they do."""
        return colours.contradiction(text(self.dataset, tags.PHOTOMETRIC_INTERPRETATION), self.streams)

    @cached_property
    def is_lossy(self) -> bool:
        """Whether compressed pixels lost something by their compression."""
        return rules.is_lossy(
            self.syntax, text(self.dataset, tags.LOSSY_IMAGE_COMPRESSION), codestream.lost(self.streams)
        )

    @cached_property
    def bits_beyond(self) -> int:
        """Precision of lossy streams with more bits than are stored, which may exceed these; 0 if none has."""
        precision = max((stream.precision or 0 for stream in self.streams), default=0)
        used = max(self.bits_stored, self.high_bit + 1)
        return precision if used < precision <= self.bits_allocated and self.is_lossy else 0

    @property
    def count(self) -> int:
        """Number of stored values."""
        return self.frames * self.rows * self.columns * self.samples

    @property
    def expected_length(self) -> int:
        """Bytes of uncompressed pixel data, pad byte included; with half the chroma of YBR_FULL_422."""
        bits = self.count * self.bits_allocated
        if text(self.dataset, tags.PHOTOMETRIC_INTERPRETATION) in ("YBR_FULL_422", "YBR_PARTIAL_422"):
            bits = bits * 2 // 3
        length = -(-bits // 8)
        return length + length % 2

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest value that Bits Stored can hold."""
        span = 1 << (self.bits_stored if 0 < self.bits_stored <= 64 else max(1, min(self.bits_allocated, 64)))
        return (-span // 2, span // 2 - 1) if self.signed else (0, span - 1)


def _syntax(dataset: Dataset) -> uid.UID:
    """Return the transfer syntax of a file; where it names none that is known, that which it must have been read by."""
    syntax = uid.UID(str(dataset.file_meta.get("TransferSyntaxUID", "")))
    if syntaxes.is_known(syntax):
        return syntax
    return uid.ImplicitVRLittleEndian if dataset.original_encoding[0] else uid.ExplicitVRLittleEndian


def pixels(dataset: Dataset) -> Pixels:
    """Return the pixels of a data set that pydicom read, not yet decoded."""
    tag = next((tag for tag in (PIXEL_DATA, *_FLOATS) if tag in dataset), 0)
    element = element_of(dataset, tag) if tag else None
    value = element.value if element is not None else b""
    description = tuple(raw(dataset, each) for each in _DESCRIPTION)
    stored, high = _number(dataset, tags.BITS_STORED), _number(dataset, tags.HIGH_BIT)
    slope, intercept = (
        numbers(dataset, tags.RESCALE_SLOPE) or numbers(dataset, tags.DOSE_GRID_SCALING),
        numbers(dataset, tags.RESCALE_INTERCEPT),
    )
    return Pixels(
        dataset=dataset,
        tag=tag,
        value=bytes(value or b"") if isinstance(element, RawDataElement) or isinstance(value, bytes) else b"",
        syntax=_syntax(dataset),
        frames=_number(dataset, tags.NUMBER_OF_FRAMES, 1) or 1,
        rows=_number(dataset, tags.ROWS),
        columns=_number(dataset, tags.COLUMNS),
        samples=_number(dataset, tags.SAMPLES_PER_PIXEL, 1),
        bits_allocated=_number(dataset, tags.BITS_ALLOCATED),
        bits_stored=stored,
        high_bit=high if stored - 1 <= high < _number(dataset, tags.BITS_ALLOCATED) else stored - 1,
        signed=_number(dataset, tags.PIXEL_REPRESENTATION) == 1,
        slope=slope[0] if slope else 1.0,
        intercept=intercept[0] if intercept else 0.0,
        description=description,
    )


def stored_values(one: Pixels) -> tuple[Array, str]:
    """Return the stored values, shape (frames, rows, columns, samples), and what decoded them.

    Returns
    -------
    tuple
        The values, and ``native``, ``pydicom`` or ``SimpleITK``.

    Raises
    ------
    UndecodableError
        There is no decoder for them, or they are damaged.
    """
    words, by = _words(one)
    return _used(words, one), by


def _words(one: Pixels, *, as_rgb: bool = False) -> tuple[Array, str]:
    """Return the pixel words with all their bits, and what decoded them; compressed YBR as RGB, if asked for."""
    if one.tag == PIXEL_DATA and syntaxes.holds_native_frames(one.syntax, one.bits_allocated):
        return _words(_native(one))[0], "native"
    shape = one.frames, one.rows, one.columns, one.samples
    if one.tag in _FLOATS:
        dtype = np.dtype(_FLOATS[one.tag][one.syntax == uid.ExplicitVRBigEndian])
        return _shaped(one.value, dtype, shape), "native"
    if one.bits_allocated == 1 and not one.encapsulated:
        words, by = _bits(one), "native"
    elif one.bits_allocated == 16 and one.samples == 1 and one.syntax == uid.ExplicitVRBigEndian:
        words, by = _shaped(one.value, _dtype(one).newbyteorder(">"), shape).astype(_dtype(one)), "native"
    elif one.bits_allocated not in (8, 16, 32, 64) or one.samples != 1 or not one.native:
        words, by = _decoded(one, as_rgb)
    else:
        words, by = _shaped(one.value, _dtype(one), shape), "native"
    if words.size != one.count:
        raise UndecodableError("its pixel data hold another number of values than its header says")
    return words.reshape(shape), by


def _native(one: Pixels) -> Pixels:
    """Return the pixels of fragments that hold native frames as a file in Explicit VR Little Endian would."""
    count = one.rows * one.columns * one.samples
    size = -(-count * one.bits_allocated // 8)
    if text(one.dataset, tags.PHOTOMETRIC_INTERPRETATION) in ("YBR_FULL_422", "YBR_PARTIAL_422"):
        size = size * 2 // 3
    try:
        frames = [np.frombuffer(_unpacked(stream, one, size), "u1", size) for stream in _frames(one)]
    except Exception:  # whatever a decoder meets in a damaged stream
        frames = []
    if len(frames) != one.frames:
        raise UndecodableError("its pixel data cannot be decoded", damaged=True)
    if one.bits_allocated == 1:
        single = [np.unpackbits(frame, count=count, bitorder="little") for frame in frames]
        frames = [np.packbits(np.concatenate(single), bitorder="little")]
    native = Dataset()
    native.file_meta = FileMetaDataset()
    native.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    for tag in (*_DESCRIPTION, tags.HIGH_BIT):
        if tag in one.dataset:
            native[tag] = one.dataset[tag]
    value = b"".join(frame.tobytes() for frame in frames)
    native.PixelData = value + b"\0" * (len(value) % 2)
    native["PixelData"].VR = "OW" if one.bits_allocated > 8 else "OB"
    native.set_original_encoding(False, True)
    return replace(one, dataset=native, value=native.PixelData, syntax=uid.ExplicitVRLittleEndian)


def _unpacked(stream: bytes, one: Pixels, size: int) -> bytes:
    if one.syntax == syntaxes.DEFLATED_FRAMES:  # RFC 1951, without the header of zlib; maybe a pad byte
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(stream, size + 2)
    return stream if one.syntax != uid.RLELossless else _packbits(stream)


def _packbits(stream: bytes) -> bytes:
    """Return what the one segment of an RLE frame holds (PS3.5 G.3.2)."""
    at, decoded = int.from_bytes(stream[4:8], "little"), bytearray()
    while at + 1 < len(stream):
        control = stream[at]
        if control < 128:
            decoded += stream[at + 1 : at + 2 + control]
            at += control + 2
        else:
            decoded += stream[at + 1 : at + 2] * (257 - control) * (control > 128)
            at += 1 + (control > 128)
    return bytes(decoded)


def _bits(one: Pixels) -> Array:
    """Return pixels of one bit, packed into words that Big Endian swaps (PS3.5 8.1.1 and 7.3)."""
    value = one.value
    element = one.dataset.get_item(PIXEL_DATA)
    if one.syntax == uid.ExplicitVRBigEndian and str(getattr(element, "VR", "")) == "OW":
        value = np.frombuffer(value + b"\0" * (len(value) % 2), ">u2").astype("<u2").tobytes()
    bits = np.unpackbits(np.frombuffer(value, "u1"), bitorder="little")
    if bits.size < one.count:
        raise UndecodableError("its pixel data are shorter than its header says")
    return bits[: one.count]


def _dtype(one: Pixels) -> np.dtype[Any]:
    return np.dtype(f"<{'i' if one.signed else 'u'}{max(1, one.bits_allocated // 8)}")


def _shaped(value: bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    count = int(np.prod(shape))
    if len(value) < count * dtype.itemsize or not count:
        raise UndecodableError("its pixel data are shorter than its header says")
    return np.frombuffer(value, dtype, count).reshape(shape)


def _decoded(one: Pixels, as_rgb: bool) -> tuple[Array, str]:
    """Return what the first decoder makes of pixels that it does not refuse: one of pydicom's, or GDCM in SimpleITK."""
    if not one.encapsulated:
        try:
            return _by_pydicom(one, as_rgb), "pydicom"
        except Exception:  # whatever pydicom misses in the header
            raise UndecodableError("its header does not say how its pixels are to be read") from None
    plugins = _pydicom_plugins(one)
    for reading in _readings(one, as_rgb=as_rgb):
        if _denies_sign(one, reading.words):
            raise UndecodableError("its lossy streams have negative values, which its header denies")
        return reading.words, "pydicom" if reading.decoder != _GDCM else ONLY_GDCM if plugins else "SimpleITK"
    reason = "its pixel data cannot be decoded" if plugins else f"nothing here decodes {syntaxes.name(one.syntax)}"
    raise UndecodableError(reason, damaged=bool(plugins))


def _denies_sign(one: Pixels, words: Array) -> bool:
    """Tell whether lossy streams have negative values where Pixel Representation says that there are none."""
    precision = max((stream.precision or 0 for stream in one.streams if stream.signed), default=0)
    return one.is_lossy and not one.signed and precision > 0 and bool(np.any(words >> (precision - 1) & 1))


@dataclass(frozen=True)
class Reading:
    """The pixel words that one decoder makes of compressed pixels, and what names it."""

    words: Array
    decoder: str


_GDCM = "GDCM in SimpleITK"


def _readings(one: Pixels, *, as_rgb: bool = False) -> Iterator[Reading]:
    """Yield what each decoder here makes of compressed pixels; one that refuses them, or is known to err, is left out.

    GDCM comes last; pydicom's plug-in of it is no other decoder than the one in SimpleITK.
    """
    plugins = _pydicom_plugins(one)
    for plugin in plugins or ():
        with suppress(Exception), _no_panic():  # whatever a decoder meets in a damaged stream
            yield Reading(_by_pydicom(one, as_rgb, plugin), f"pydicom with {plugin}")
    if plugins is not None and "gdcm" not in plugins and not _is_misread_by_gdcm(one):
        with suppress(Exception):
            values = np.stack([_by_simpleitk(one, frame, as_rgb) for frame in _frames(one)])
            yield Reading(values, _GDCM)


def _is_misread_by_gdcm(one: Pixels) -> bool:
    """Tell whether GDCM is known to decode such pixels to other values (rows 10 and 20 of docs/kinds.md)."""
    long_words = one.bits_allocated > 16 and one.syntax in (uid.JPEG2000Lossless, uid.JPEG2000)
    return long_words or (one.bits_allocated > 8 and one.samples > 1 and one.syntax == uid.RLELossless)


def _pydicom_plugins(one: Pixels) -> list[str] | None:
    """Return the plug-ins of pydicom that decode a transfer syntax, fast ones first; ``None`` if it knows no codec."""
    try:
        decoder = get_decoder(one.syntax)
    except NotImplementedError:
        return None
    return [plugin for plugin in _PLUGINS if plugin in decoder.available_plugins] if decoder.is_available else []


_PLUGINS = ("pylibjpeg", "pyjpegls", "pillow", "pydicom", "gdcm")
"""Those of pydicom; its own, in Python, is slow."""


_BY_PIXEL = frozenset({
    uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEG2000Lossless,
    uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K,
})  # fmt: skip
"""Codecs whose streams say themselves how colours are interleaved, and whose decoders give them pixel by pixel: Planar
Configuration, which pydicom would believe, means nothing there (PS3.5 8.2)."""


def _by_pydicom(one: Pixels, as_rgb: bool, plugin: str = "") -> Array:
    # The unused bits may hold an overlay.
    correct = as_rgb and not one.bits_beyond
    options: Any = {"raw": not as_rgb, "correct_unused_bits": correct, "decoding_plugin": plugin}
    if one.syntax in _BY_PIXEL and one.samples > 1:
        options["planar_configuration"] = 0
    words: Array = get_decoder(one.syntax).as_array(one.dataset, **options)[0].astype(_dtype(one), copy=False)
    return words


ONLY_GDCM = "SimpleITK alone"
"""What decoded pixels that another decoder, which knows their transfer syntax, could not decode."""


@contextmanager
def _no_panic() -> Iterator[None]:
    """Turn what a decoder in Rust raises, which is no Exception, into one."""
    try:
        yield
    except (Exception, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException:
        raise UndecodableError("a decoder panicked", damaged=True) from None


def _frames(one: Pixels) -> list[bytes]:
    found = (element_of(one.dataset, tag) for tag in (tags.EXTENDED_OFFSET_TABLE, tags.EXTENDED_OFFSET_TABLE_LENGTHS))
    tables = [bytes(element.value or b"") for element in found if element is not None]
    extended = (tables[0], tables[1]) if len(tables) == 2 and all(tables) else None
    return list(generate_frames(one.value, number_of_frames=one.frames, extended_offsets=extended))


def _by_simpleitk(one: Pixels, frame: bytes, as_rgb: bool) -> Array:
    """Decode one frame with SimpleITK, in a file that holds nothing else, so that it applies no rescale."""
    bare = Dataset()
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = one.syntax
    bare.SOPClassUID = bare.file_meta.MediaStorageSOPClassUID = _SECONDARY_CAPTURE
    bare.SOPInstanceUID = bare.file_meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    for tag in (*_DESCRIPTION, tags.HIGH_BIT):
        if tag in one.dataset and tag != _NUMBER_OF_FRAMES:
            bare[tag] = one.dataset[tag]
    if one.bits_beyond:  # GDCM would wrap what is more than Bits Stored
        bare.BitsStored, bare.HighBit = one.bits_allocated, one.bits_allocated - 1
    if one.samples == 1:
        bare.PhotometricInterpretation = "MONOCHROME2"  # ITK would invert MONOCHROME1 and look up palettes
    elif not as_rgb and (one.syntax not in _COLOUR_CODECS or bare.PhotometricInterpretation == "YBR_FULL"):
        bare.PhotometricInterpretation = "RGB"  # it would make RGB of YBR
    bare.PixelData = encapsulate([frame])
    bare["PixelData"].VR = "OB"
    with tempfile.TemporaryDirectory(prefix="itk-roundtrip-") as folder:
        file = Path(folder) / "pixels.dcm"
        bare.save_as(file, enforce_file_format=True)
        return _simpleitk.stored_values(file)


def _used(words: Array, one: Pixels) -> Array:
    """Return words without the bits below and above those of Bits Stored, signed values sign-extended.

    What a lossy compression made of a value at the end of the range may lie beyond it: that is the end, not what the
    lower bits of it say (PS3.5 8.1.1).
    """
    if one.bits_beyond:
        return np.clip(_whole(words, one), *one.limits).astype(words.dtype)
    width = words.dtype.itemsize * 8
    below = max(0, one.high_bit + 1 - one.bits_stored)
    if words.dtype.kind not in "iu" or not 0 < one.bits_stored < width or one.bits_allocated < 8:
        return words
    low, high = one.limits
    if not below and words.max() <= high and (not one.signed or words.min() >= low):
        return words  # no other bit is in use
    above = max(0, width - below - one.bits_stored)
    values: Array = np.right_shift(np.left_shift(words, above), width - one.bits_stored)
    return values


def _whole(words: Array, one: Pixels) -> Array:
    """Return the values of words of which a lossy stream fills more than Bits Stored, signed by its precision."""
    unused, below = 64 - one.bits_beyond, max(0, one.high_bit + 1 - one.bits_stored)
    if one.signed:
        signed: Array = np.right_shift(np.left_shift(words.astype(np.int64), unused), unused + below)
        return signed
    return np.right_shift(words.astype(np.int64), below)


@dataclass(frozen=True)
class PixelDifference:
    """How the pixels of a written file differ from those of its source.

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
        Written words hold values that Bits Stored cannot.
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
        """Whether decoders disagree and no third one settles it, so that nothing is proven."""
        return bool(self.disagreeing) and len(self.agreeing) <= len(self.disagreeing)


def compare_pixels(
    source: Pixels, written: Pixels, tolerance: tuple[float, float] = (0.0, 0.0), *, second_opinion: bool = False
) -> PixelDifference:
    """Compare all stored values and all real-world values of two files.

    No decoder is believed alone. Where the first one that reads a compressed side finds other values than the other
    side holds, all are asked, and the reading that is nearest is the one that is compared.

    Parameters
    ----------
    source, written
        The two files.
    tolerance
        By how much stored values may differ, at most and in the mean, for two readings to be the same.
    second_opinion
        Ask a second decoder also where the first one finds no difference: what was written may be its mistake.
    """
    if not source.tag and not written.tag:
        return PixelDifference(identical_value=True)
    ours, theirs = source.value, written.value
    pad = b"\0" * (len(ours) % 2)  # a value of odd length is none of DICOM: it gets its pad byte
    same_syntax = source.syntax == written.syntax or (source.native and written.native)
    identical = same_syntax and theirs in (ours, ours + pad)
    same_description = source.description == written.description and source.tag == written.tag
    photometric = [text(one.dataset, tags.PHOTOMETRIC_INTERPRETATION) for one in (source, written)]
    contradicted = source.contradiction is not None and source.contradiction.is_ambiguous
    as_rgb = source.encapsulated and photometric[0].startswith("YBR") and photometric[1] == "RGB" and not contradicted
    try:
        words, by = _words(written)
        values = _used(words, written)
        decoders = {by}
        if identical and same_description:
            before, reference = words, values
        else:
            before, by = _words(source, as_rgb=as_rgb)
            as_decoded = before
            if contradicted:
                before = _stated_colours(before, source, photometric[1])
            reference = _used(before, source)
            decoders.add(by)
    except UndecodableError as error:
        if identical and same_description and source.encapsulated:
            # The same compressed bytes hold the same values, whatever they are.
            return PixelDifference(identical_value=True, count=written.count, undecoded=str(error))
        return PixelDifference(problem=str(error), identical_value=identical)
    if values.shape != reference.shape:
        return PixelDifference(problem="it holds another number of values than the source", identical_value=identical)
    agreeing: tuple[str, ...] = ()
    disagreeing: tuple[str, ...] = ()
    distance = _distance(values, reference)
    differs = not distance.within(tolerance)
    if values is not reference and (differs or (second_opinion and tolerance == (0.0, 0.0))):
        if (
            _needs_codec(source)
            and not contradicted
            and (asked := _ask(source, values, tolerance, as_rgb=as_rgb)) is not None
        ):
            before, agreeing, disagreeing = asked
            reference = _used(before, source)
        if _needs_codec(written) and not disagreeing and (asked := _ask(written, reference, tolerance)) is not None:
            words, agreeing, disagreeing = asked
            values = _used(words, written)
        distance = _distance(values, reference)
    wrong_colours = False
    if contradicted and values is not reference and differs:
        followed = _used(_header_colours(as_decoded, source, photometric[1]), source)
        wrong_colours = _distance(values, followed).within(tolerance)
    changed = distance.changed
    same_scale = (source.slope, source.intercept) == (written.slope, written.intercept)
    real = distance.largest * abs(source.slope) if same_scale else 0.0
    if not same_scale:
        scaled = values * written.slope + written.intercept
        scaled -= reference * source.slope + source.intercept
        real = float(np.max(np.abs(scaled))) if scaled.size else 0.0
    return PixelDifference(
        values=values,
        reference=reference,
        identical_value=identical,
        count=int(values.size),
        changed=changed,
        largest=distance.largest,
        mean=distance.mean,
        largest_real=real,
        decoders=tuple(sorted(decoders)),
        sha256=digest(values),
        unused_changed=not changed
        and (
            not np.array_equal(words, before)
            if _shows_all_bits(source, written)
            else _holds_stray_bits(words, values, before, source, written)
        ),
        beyond=bool(changed) and not np.array_equal(words, values),
        clipped=int(np.count_nonzero(_whole(before, source) != reference)) if source.bits_beyond else 0,
        agreeing=agreeing,
        wrong_colours=wrong_colours,
        disagreeing=disagreeing,
    )


@dataclass(frozen=True)
class _Distance:
    """How many values of two arrays differ, by how much at most, and in the mean of all values."""

    changed: int = 0
    largest: float = 0.0
    mean: float = 0.0

    def within(self, tolerance: tuple[float, float]) -> bool:
        return self.largest <= tolerance[0] and self.mean <= tolerance[1]


def _distance(values: Array, reference: Array) -> _Distance:
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


def _stated_colours(words: Array, one: Pixels, photometric_interpretation: str) -> Array:
    """Return words of a JPEG that says which colours they are, where its header says others, as the colours asked for.

    A JPEG 2000 is RGB or YBR as it is decoded; nothing tells which.
    """
    stated = one.contradiction.stated if one.contradiction is not None else ""
    wanted = "RGB" if photometric_interpretation == "RGB" else "YCbCr"
    if stated not in ("RGB", "YCbCr"):
        return words
    return _converted(words, one.bits_stored, stated, wanted)


def _header_colours(words: Array, one: Pixels, photometric_interpretation: str) -> Array:
    """Return the same words as colours by one who follows the header."""
    if one.contradiction is None or one.contradiction.codec != "JPEG":
        return words
    said, wanted = (
        "RGB" if name == "RGB" else "YCbCr"
        for name in (one.contradiction.photometric_interpretation, photometric_interpretation)
    )
    return _converted(words, one.bits_stored, said, wanted)


def _converted(words: Array, bits: int, given: str, wanted: str) -> Array:
    """Return RGB as YCbCr, or YCbCr as RGB (PS3.3 C.7.6.3.1.2)."""
    if given == wanted:
        return words
    middle, top = 1 << (bits - 1), (1 << bits) - 1
    offsets = np.array([0, middle, middle])
    matrix = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    values = words.astype(np.float64)
    to_rgb = np.linalg.inv(matrix).T
    values = (values - offsets) @ to_rgb if wanted == "RGB" else values @ matrix.T + offsets
    converted: Array = np.clip(np.rint(values), 0, top).astype(words.dtype)
    return converted


def _needs_codec(one: Pixels) -> bool:
    return one.encapsulated and not syntaxes.holds_native_frames(one.syntax, one.bits_allocated)


def _ask(
    one: Pixels, other: Array, tolerance: tuple[float, float], *, as_rgb: bool = False
) -> tuple[Array, tuple[str, ...], tuple[str, ...]] | None:
    """Ask all decoders for the words of a compressed side, until two of them find what the other side holds.

    Returns
    -------
    tuple
        The words that most of them read, the nearest ones to the other side if as many read something else; the names
        of those decoders, and of all others. The names are left out where all that were asked agree; ``None`` if none
        reads it.
    """
    groups: dict[str, tuple[Array, float, list[str]]] = {}
    for reading in _readings(one, as_rgb=as_rgb):
        if reading.words.size != other.size:
            continue
        words = reading.words.reshape(other.shape)
        values = _used(words, one)
        distance = _distance(values, other)
        key = "" if distance.within(tolerance) else digest(values)
        groups.setdefault(key, (words, distance.mean, []))[2].append(reading.decoder)
        if len(groups) == 1 and "" in groups and len(groups[""][2]) == 2:
            break
    if not groups:
        return None
    words, _, names = max(groups.values(), key=lambda group: (len(group[2]), -group[1]))
    others = [name for group in groups.values() for name in group[2] if group[2] is not names]
    return words, tuple(names) if others else (), tuple(others)


def _shows_all_bits(source: Pixels, written: Pixels) -> bool:
    """Tell whether the bits that hold no stored value must be those of the source."""
    overlay = any(
        (group << 16 | 0x0102) in source.dataset
        and (group << 16 | 0x3000) not in source.dataset
        and _number(source.dataset, group << 16 | 0x0102) > 0
        for group in range(0x6000, 0x6020, 2)
    )
    native = source.native and not written.encapsulated
    return (native or overlay) and source.tag == written.tag == PIXEL_DATA and source.bits_allocated >= 8


def _holds_stray_bits(words: Array, values: Array, before: Array, source: Pixels, written: Pixels) -> bool:
    """Tell whether words that were decoded from a stream hold more than the stored values, which not all readers cut.

    Beside a value stand zeros, its sign, or what the decoder gives there.
    """
    spare = 8 <= written.bits_stored < written.bits_allocated and written.high_bit == written.bits_stored - 1
    if (
        not spare
        or source.native
        or written.encapsulated
        or words.dtype.kind not in "iu"
        or words.shape != before.shape
    ):
        return False
    cut = values & ((1 << written.bits_stored) - 1)
    return not bool(np.all((words == values) | (words == cut) | (words == before)))
