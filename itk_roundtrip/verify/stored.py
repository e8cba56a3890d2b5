"""Stored values of a file, decoded by pydicom, or by SimpleITK where pydicom has no decoder.

Arrays have the shape (frames, rows, columns, samples). Stored values are what Bits Stored and Pixel Representation
make of the pixel words (PS3.3 C.7.6.3, PS3.5 8.1); real-world values are ``slope * SV + intercept`` (PS3.3 C.11.1).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
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
from itk_roundtrip.dicom.parsing import Bytes, KnownDataset
from itk_roundtrip.dicom.values import element_of, integer_of, items, numbers, raw, text
from itk_roundtrip.folders import temporary_folder
from itk_roundtrip.itk_io import _simpleitk

Array = NDArray[Any]

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
"""Attributes of the Image Pixel Module, and Number of Frames, by which the pixel words are read."""
_COLOUR_CODECS = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEG2000Lossless, uid.JPEG2000)


class UndecodableError(Exception):
    """The pixel data of a file cannot be decoded; says why without values.

    ``damaged`` tells whether a decoder that knows their transfer syntax failed.
    """

    def __init__(self, reason: str, *, damaged: bool = False) -> None:
        super().__init__(reason)
        self.damaged = damaged


@dataclass(frozen=True)
class Pixels:
    """The undecoded pixel data of a file, and the attributes by which they are decoded.

    Attributes
    ----------
    tag
        Of the element that holds them; 0 if there is none.
    value
        Undecoded value of that element.
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
    value: Bytes
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
    """Bytes of the attributes by which the words are read, taken before a decoder changes the data set."""
    mapped: bool = False
    """The scale is that of the last Real World Value Mapping item that this package labelled, in place of a slope."""

    @cached_property
    def frame_scales(self) -> tuple[tuple[float, float], ...]:
        """Slope and intercept of each frame with functional groups (PS3.3 C.7.6.16.2.9); of all others, of the file."""
        groups = items(self.dataset, tags.SHARED_FUNCTIONAL_GROUPS_SEQUENCE)[:1]
        frames = items(self.dataset, tags.PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)
        places = [[self.dataset], *([frame, *groups] for frame in frames or groups)]
        scales = [self._scale(place) for place in places]
        return tuple(scales[1:] or scales)

    def _scale(self, places: Sequence[Dataset]) -> tuple[float, float]:
        """Return slope and intercept of a frame, from its own functional groups or else those that all share."""
        if self.mapped:
            mappings = [
                item for place in places for item in reversed(items(place, tags.REAL_WORLD_VALUE_MAPPING_SEQUENCE))
            ]
            for item in mappings:
                slope, intercept = (
                    numbers(item, tag) for tag in (tags.REAL_WORLD_VALUE_SLOPE, tags.REAL_WORLD_VALUE_INTERCEPT)
                )
                if text(item, tags.LUT_LABEL) == rules.MAPPING_LABEL and slope and intercept:
                    return slope[0], intercept[0]
        for place in places:
            for item in items(place, tags.PIXEL_VALUE_TRANSFORMATION_SEQUENCE):
                slope, intercept = (numbers(item, tag) for tag in (tags.RESCALE_SLOPE, tags.RESCALE_INTERCEPT))
                return (slope[0] if slope else 1.0), (intercept[0] if intercept else 0.0)
        return self.slope, self.intercept

    @cached_property
    def scale(self) -> tuple[Array, Array]:
        """Slope and intercept of real-world values, for arrays of shape (frames, rows, columns, samples)."""
        scales = self.frame_scales if len(self.frame_scales) in (1, self.frames) else ((self.slope, self.intercept),)
        slopes, intercepts = np.array(scales, dtype=np.float64).T.reshape(2, -1, 1, 1, 1)
        return slopes, intercepts

    def real(self, values: Array) -> Array:
        """Return the real-world values of stored values, shape (frames, rows, columns, samples)."""
        slopes, intercepts = self.scale
        result: Array = values * slopes + intercepts
        return result

    @property
    def native(self) -> bool:
        """Whether the transfer syntax is uncompressed and Little Endian."""
        return not self.encapsulated and self.syntax != uid.ExplicitVRBigEndian

    @property
    def encapsulated(self) -> bool:
        """Whether the transfer syntax encapsulates Pixel Data (PS3.5 A.4)."""
        return syntaxes.is_encapsulated(self.syntax)

    @cached_property
    def streams(self) -> tuple[codestream.Stream, ...]:
        """Headers of the compressed streams of all frames, each different one once."""
        return tuple(dict.fromkeys(codestream.streams(bytes(self.value)))) if self.encapsulated else ()

    @cached_property
    def contradiction(self) -> colours.Contradiction | None:
        """Contradiction of the streams and Photometric Interpretation on the colours; ``None`` if they agree."""
        return colours.contradiction(text(self.dataset, tags.PHOTOMETRIC_INTERPRETATION), self.streams)

    @cached_property
    def is_lossy(self) -> bool:
        """Whether the compression is lossy, by transfer syntax, Lossy Image Compression or the streams."""
        return rules.is_lossy(
            self.syntax, text(self.dataset, tags.LOSSY_IMAGE_COMPRESSION), codestream.lost(self.streams)
        )

    @cached_property
    def bits_beyond(self) -> int:
        """Precision of lossy streams of more bits than High Bit and Bits Stored allow for; 0 if there are none."""
        precision = max((stream.precision or 0 for stream in self.streams), default=0)
        used = max(self.bits_stored, self.high_bit + 1)
        return precision if used < precision <= self.bits_allocated and self.is_lossy else 0

    @property
    def count(self) -> int:
        """Number of stored values."""
        return self.frames * self.rows * self.columns * self.samples

    @property
    def expected_length(self) -> int:
        """Length of uncompressed Pixel Data in bytes, with pad byte; of YBR_FULL_422 with half the chroma samples."""
        bits = self.count * self.bits_allocated
        if text(self.dataset, tags.PHOTOMETRIC_INTERPRETATION) in ("YBR_FULL_422", "YBR_PARTIAL_422"):
            bits = bits * 2 // 3
        length = -(-bits // 8)
        return length + length % 2

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest stored value of Bits Stored and Pixel Representation."""
        span = 1 << (self.bits_stored if 0 < self.bits_stored <= 64 else max(1, min(self.bits_allocated, 64)))
        return (-span // 2, span // 2 - 1) if self.signed else (0, span - 1)


def _syntax(dataset: Dataset) -> uid.UID:
    """Return the transfer syntax of a file; if it is unknown, the one that pydicom read the file by."""
    syntax = uid.UID(str(dataset.file_meta.get("TransferSyntaxUID", "")))
    if syntaxes.is_known(syntax):
        return syntax
    return uid.ImplicitVRLittleEndian if dataset.original_encoding[0] else uid.ExplicitVRLittleEndian


def pixels(dataset: Dataset) -> Pixels:
    """Return the undecoded pixels of a data set that pydicom read."""
    tag = next((tag for tag in (tags.PIXEL_DATA, *_FLOATS) if tag in dataset), 0)
    element = element_of(dataset, tag) if tag else None
    value = element.value if element is not None else b""
    description = tuple(raw(dataset, tag) for tag in _DESCRIPTION)
    stored, high = integer_of(dataset, tags.BITS_STORED), integer_of(dataset, tags.HIGH_BIT)
    slope = numbers(dataset, tags.RESCALE_SLOPE) or numbers(dataset, tags.DOSE_GRID_SCALING)
    intercept = numbers(dataset, tags.RESCALE_INTERCEPT)
    return Pixels(
        dataset=dataset,
        tag=tag,
        value=value or b"" if isinstance(element, RawDataElement) or isinstance(value, bytes) else b"",
        syntax=_syntax(dataset),
        frames=integer_of(dataset, tags.NUMBER_OF_FRAMES, 1) or 1,
        rows=integer_of(dataset, tags.ROWS),
        columns=integer_of(dataset, tags.COLUMNS),
        samples=integer_of(dataset, tags.SAMPLES_PER_PIXEL, 1),
        bits_allocated=integer_of(dataset, tags.BITS_ALLOCATED),
        bits_stored=stored,
        high_bit=high if stored - 1 <= high < integer_of(dataset, tags.BITS_ALLOCATED) else stored - 1,
        signed=integer_of(dataset, tags.PIXEL_REPRESENTATION) == 1,
        slope=slope[0] if slope else 1.0,
        intercept=intercept[0] if intercept else 0.0,
        description=description,
    )


def stored_values(pixels: Pixels) -> tuple[Array, str]:
    """Return the stored values, shape (frames, rows, columns, samples), and the name of their decoder.

    Returns
    -------
    tuple
        The values, and ``native``, ``pydicom`` or ``SimpleITK``.

    Raises
    ------
    UndecodableError
        There is no decoder for them, or they are damaged.
    """
    words, by = pixel_words(pixels)
    return values_of_words(words, pixels), by


def pixel_words(pixels: Pixels, *, as_rgb: bool = False) -> tuple[Array, str]:
    """Return the pixel words with all bits allocated, and the name of their decoder; YBR as RGB with ``as_rgb``."""
    if pixels.tag == tags.PIXEL_DATA and syntaxes.holds_native_frames(pixels.syntax, pixels.bits_allocated):
        return pixel_words(_native(pixels))[0], "native"
    shape = pixels.frames, pixels.rows, pixels.columns, pixels.samples
    if pixels.tag in _FLOATS:
        dtype = np.dtype(_FLOATS[pixels.tag][pixels.syntax == uid.ExplicitVRBigEndian])
        return _shaped(pixels.value, dtype, shape), "native"
    if pixels.bits_allocated == 1 and not pixels.encapsulated:
        words, by = _bits(pixels), "native"
    elif pixels.bits_allocated == 16 and pixels.samples == 1 and pixels.syntax == uid.ExplicitVRBigEndian:
        words, by = _shaped(pixels.value, _dtype(pixels).newbyteorder(">"), shape).astype(_dtype(pixels)), "native"
    elif pixels.bits_allocated not in (8, 16, 32, 64) or pixels.samples != 1 or not pixels.native:
        words, by = _decoded(pixels, as_rgb)
    else:
        words, by = _shaped(pixels.value, _dtype(pixels), shape), "native"
    if words.size != pixels.count:
        raise UndecodableError("its pixel data hold another number of values than its header says")
    return words.reshape(shape), by


def _native(pixels: Pixels) -> Pixels:
    """Return pixels whose fragments hold native frames, as the pixels of a file in Explicit VR Little Endian."""
    count = pixels.rows * pixels.columns * pixels.samples
    size = -(-count * pixels.bits_allocated // 8)
    if text(pixels.dataset, tags.PHOTOMETRIC_INTERPRETATION) in ("YBR_FULL_422", "YBR_PARTIAL_422"):
        size = size * 2 // 3
    try:
        frames = [np.frombuffer(_unpacked(stream, pixels, size), "u1", size) for stream in _frames(pixels)]
    except Exception:  # whatever a decoder meets in a damaged stream
        frames = []
    if len(frames) != pixels.frames:
        raise UndecodableError("its pixel data cannot be decoded", damaged=True)
    if pixels.bits_allocated == 1:
        single = [np.unpackbits(frame, count=count, bitorder="little") for frame in frames]
        frames = [np.packbits(np.concatenate(single), bitorder="little")]
    native = Dataset()
    native.file_meta = FileMetaDataset()
    native.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    for tag in (*_DESCRIPTION, tags.HIGH_BIT):
        if tag in pixels.dataset:
            native[tag] = pixels.dataset[tag]
    value = b"".join(frame.tobytes() for frame in frames)
    native.PixelData = value + b"\0" * (len(value) % 2)
    native["PixelData"].VR = "OW" if pixels.bits_allocated > 8 else "OB"
    native.set_original_encoding(False, True)
    return replace(pixels, dataset=native, value=native.PixelData, syntax=uid.ExplicitVRLittleEndian)


def _unpacked(stream: bytes, pixels: Pixels, size: int) -> bytes:
    """Return the native frame that a fragment holds."""
    if pixels.syntax == syntaxes.DEFLATED_FRAMES:  # RFC 1951, without the header of zlib; maybe a pad byte
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(stream, size + 2)
    return stream if pixels.syntax != uid.RLELossless else _packbits(stream)


def _packbits(stream: bytes) -> bytes:
    """Return the decoded bytes of an RLE frame of a single segment (PS3.5 G.3.2)."""
    position, decoded = int.from_bytes(stream[4:8], "little"), bytearray()
    while position + 1 < len(stream):
        control = stream[position]
        if control < 128:
            decoded += stream[position + 1 : position + 2 + control]
            position += control + 2
        else:
            decoded += stream[position + 1 : position + 2] * (257 - control) * (control > 128)
            position += 1 + (control > 128)
    return bytes(decoded)


def _bits(pixels: Pixels) -> Array:
    """Return pixels of Bits Allocated 1, a byte each; in Big Endian, words of VR OW are swapped (PS3.5 8.1.1, 7.3)."""
    value = bytes(pixels.value)
    element = pixels.dataset.get_item(tags.PIXEL_DATA)
    if pixels.syntax == uid.ExplicitVRBigEndian and str(getattr(element, "VR", "")) == "OW":
        value = np.frombuffer(value + b"\0" * (len(value) % 2), ">u2").astype("<u2").tobytes()
    bits = np.unpackbits(np.frombuffer(value, "u1"), bitorder="little")
    if bits.size < pixels.count:
        raise UndecodableError("its pixel data are shorter than its header says")
    return bits[: pixels.count]


def _dtype(pixels: Pixels) -> np.dtype[Any]:
    """Return the dtype of Bits Allocated and Pixel Representation."""
    return np.dtype(f"<{'i' if pixels.signed else 'u'}{max(1, pixels.bits_allocated // 8)}")


def _shaped(value: Bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """Return the pixel words of an uncompressed value, without what follows them."""
    count = int(np.prod(shape))
    if len(value) < count * dtype.itemsize or not count:
        raise UndecodableError("its pixel data are shorter than its header says")
    return np.frombuffer(value, dtype, count).reshape(shape)


def _decoded(pixels: Pixels, as_rgb: bool) -> tuple[Array, str]:
    """Return the words of the first decoder that accepts the pixels, pydicom's before SimpleITK, and its name."""
    if not pixels.encapsulated:
        try:
            return _by_pydicom(pixels, as_rgb), "pydicom"
        except Exception:  # whatever pydicom misses in the header
            raise UndecodableError("its header does not say how its pixels are to be read") from None
    plugins = _pydicom_plugins(pixels)
    for reading in readings(pixels, as_rgb=as_rgb):
        if _denies_sign(pixels, reading.words):
            raise UndecodableError("its lossy streams have negative values, which its header denies")
        return reading.words, "pydicom" if reading.decoder != _GDCM else ONLY_GDCM if plugins else "SimpleITK"
    reason = "its pixel data cannot be decoded" if plugins else f"nothing here decodes {syntaxes.name(pixels.syntax)}"
    raise UndecodableError(reason, damaged=bool(plugins))


def _denies_sign(pixels: Pixels, words: Array) -> bool:
    """Tell whether lossy streams have negative values while Pixel Representation is unsigned."""
    precision = max((stream.precision or 0 for stream in pixels.streams if stream.signed), default=0)
    return pixels.is_lossy and not pixels.signed and precision > 0 and bool(np.any(words >> (precision - 1) & 1))


@dataclass(frozen=True)
class Reading:
    """Pixel words that a decoder returns for compressed pixels, and the name of the decoder."""

    words: Array
    decoder: str


_GDCM = "GDCM in SimpleITK"


def readings(pixels: Pixels, *, as_rgb: bool = False) -> Iterator[Reading]:
    """Yield the reading of compressed pixels by each decoder, without those that fail or are known to err.

    GDCM comes last; pydicom's plug-in gdcm and the GDCM of SimpleITK count as one decoder.
    """
    plugins = _pydicom_plugins(pixels)
    for plugin in plugins or ():
        with suppress(Exception), _no_panic():  # whatever a decoder meets in a damaged stream
            yield Reading(_by_pydicom(pixels, as_rgb, plugin), f"pydicom with {plugin}")
    if plugins is not None and "gdcm" not in plugins and not _is_misread_by_gdcm(pixels):
        with suppress(Exception):
            values = np.stack([_by_simpleitk(pixels, frame, as_rgb) for frame in _frames(pixels)])
            yield Reading(values, _GDCM)


def _is_misread_by_gdcm(pixels: Pixels) -> bool:
    """Tell whether GDCM is known to decode such pixels to wrong values (rows 10 and 20 of docs/reference/kinds.md)."""
    long_words = pixels.bits_allocated > 16 and pixels.syntax in (uid.JPEG2000Lossless, uid.JPEG2000)
    return long_words or (pixels.bits_allocated > 8 and pixels.samples > 1 and pixels.syntax == uid.RLELossless)


def _pydicom_plugins(pixels: Pixels) -> list[str] | None:
    """Return the installed plug-ins of pydicom for a transfer syntax, fast ones first; ``None`` if it supports none."""
    try:
        decoder = get_decoder(pixels.syntax)
    except NotImplementedError:
        return None
    return [plugin for plugin in _PLUGINS if plugin in decoder.available_plugins] if decoder.is_available else []


_PLUGINS = ("pylibjpeg", "pyjpegls", "pillow", "pydicom", "gdcm")
"""Plug-ins of pydicom, fast ones first; ``pydicom`` is its own decoder, in Python."""


_BY_PIXEL = frozenset({
    uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEG2000Lossless,
    uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K,
})  # fmt: skip
"""Transfer syntaxes whose decoders return colours pixel by pixel, whatever Planar Configuration says (PS3.5 8.2).

pydicom would follow Planar Configuration."""


def _by_pydicom(pixels: Pixels, as_rgb: bool, plugin: str = "") -> Array:
    """Return the pixel words that a plug-in of pydicom decodes, or its first one that succeeds."""
    # The unused bits may hold an overlay.
    correct = as_rgb and not pixels.bits_beyond
    options: Any = {"raw": not as_rgb, "correct_unused_bits": correct, "decoding_plugin": plugin}
    if pixels.syntax in _BY_PIXEL and pixels.samples > 1:
        options["planar_configuration"] = 0
    dataset = pixels.dataset
    if isinstance(pixels.value, memoryview) and isinstance(dataset, KnownDataset):
        dataset = dataset.with_value(tags.PIXEL_DATA, bytes(pixels.value))
    words: Array = get_decoder(pixels.syntax).as_array(dataset, **options)[0].astype(_dtype(pixels), copy=False)
    return words


ONLY_GDCM = "SimpleITK alone"
"""Name of the decoder of pixels that SimpleITK decodes and no plug-in of pydicom for their transfer syntax does."""


@contextmanager
def _no_panic() -> Iterator[None]:
    """Raise UndecodableError for the panic of a decoder in Rust, which is a BaseException and no Exception."""
    try:
        yield
    except (Exception, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException:
        raise UndecodableError("a decoder panicked", damaged=True) from None


def _frames(pixels: Pixels) -> list[bytes]:
    """Return the compressed streams of the frames, found by Extended Offset Table if there is one."""
    elements = (
        element_of(pixels.dataset, tag) for tag in (tags.EXTENDED_OFFSET_TABLE, tags.EXTENDED_OFFSET_TABLE_LENGTHS)
    )
    tables = [bytes(element.value or b"") for element in elements if element is not None]
    extended = (tables[0], tables[1]) if len(tables) == 2 and all(tables) else None
    return list(generate_frames(bytes(pixels.value), number_of_frames=pixels.frames, extended_offsets=extended))


def _by_simpleitk(pixels: Pixels, frame: bytes, as_rgb: bool) -> Array:
    """Return the words of one frame that SimpleITK decodes from a file without rescale, which it would apply."""
    bare = Dataset()
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = pixels.syntax
    bare.SOPClassUID = bare.file_meta.MediaStorageSOPClassUID = uid.SecondaryCaptureImageStorage
    bare.SOPInstanceUID = bare.file_meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    for tag in (*_DESCRIPTION, tags.HIGH_BIT):
        if tag in pixels.dataset and tag != tags.NUMBER_OF_FRAMES:
            bare[tag] = pixels.dataset[tag]
    if pixels.bits_beyond:  # GDCM would wrap what is more than Bits Stored
        bare.BitsStored, bare.HighBit = pixels.bits_allocated, pixels.bits_allocated - 1
    if pixels.samples == 1:
        bare.PhotometricInterpretation = "MONOCHROME2"  # ITK would invert MONOCHROME1 and look up palettes
    elif not as_rgb and (pixels.syntax not in _COLOUR_CODECS or bare.PhotometricInterpretation == "YBR_FULL"):
        bare.PhotometricInterpretation = "RGB"  # it would make RGB of YBR
    bare.PixelData = encapsulate([frame])
    bare["PixelData"].VR = "OB"
    with temporary_folder() as folder:
        file = Path(folder) / "pixels.dcm"
        bare.save_as(file, enforce_file_format=True)
        return _simpleitk.stored_values(file)


def values_of_words(words: Array, pixels: Pixels) -> Array:
    """Return the stored values of pixel words: the bits of Bits Stored alone, sign-extended if signed (PS3.5 8.1.1).

    Values of lossy streams beyond the range of Bits Stored are clipped to it: their lower bits alone mean nothing.
    """
    if pixels.bits_beyond:
        return np.clip(unclipped_values(words, pixels), *pixels.limits).astype(words.dtype)
    width = words.dtype.itemsize * 8
    below = max(0, pixels.high_bit + 1 - pixels.bits_stored)
    if words.dtype.kind not in "iu" or not 0 < pixels.bits_stored < width or pixels.bits_allocated < 8:
        return words
    low, high = pixels.limits
    if not below and words.max() <= high and (not pixels.signed or words.min() >= low):
        return words  # no other bit is in use
    above = max(0, width - below - pixels.bits_stored)
    values: Array = np.right_shift(np.left_shift(words, above), width - pixels.bits_stored)
    return values


def unclipped_values(words: Array, pixels: Pixels) -> Array:
    """Return the values of words of lossy streams with more bits than Bits Stored, signed by the stream's precision."""
    unused, below = 64 - pixels.bits_beyond, max(0, pixels.high_bit + 1 - pixels.bits_stored)
    if pixels.signed:
        signed: Array = np.right_shift(np.left_shift(words.astype(np.int64), unused), unused + below)
        return signed
    return np.right_shift(words.astype(np.int64), below)
