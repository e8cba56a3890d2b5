"""The stored values of a file, decoded without ITK, and how those of two files differ.

Arrays have the shape (frames, rows, columns, samples). Stored values are what Bits Stored and Pixel Representation
make of the pixel words (PS3.3 C.7.6.3, PS3.5 8.1); real-world values are ``slope * SV + intercept`` (PS3.3 C.11.1).
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.decoders.base import get_decoder

from itk_roundtrip import _simpleitk
from itk_roundtrip.attributes import numbers, raw, text
from itk_roundtrip.pixels import digest

Array = NDArray[Any]

PIXEL_DATA = 0x7FE00010
_FLOATS = {0x7FE00008: ("<f4", ">f4"), 0x7FE00009: ("<f8", ">f8")}
_DESCRIPTION = (0x00280002, 0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011, 0x00280100, 0x00280101,
                0x00280103)  # fmt: skip
"""Samples, photometric interpretation, planar configuration, frames, rows, columns, bits and sign."""
_SECONDARY_CAPTURE = uid.SecondaryCaptureImageStorage


class UndecodableError(Exception):
    """The pixel data of a file cannot be decoded; says why without values."""


def _number(dataset: Dataset, tag: int, default: int = 0) -> int:
    found = numbers(dataset, tag)
    return int(found[0]) if found else default


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
    frames, rows, columns, samples, bits_allocated, bits_stored, signed
        As the header says.
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
    signed: bool
    slope: float
    intercept: float

    @property
    def native(self) -> bool:
        """Uncompressed and little endian."""
        return not self.encapsulated and bool(self.syntax.is_little_endian)

    @property
    def encapsulated(self) -> bool:
        """Compressed."""
        return bool(self.syntax.is_encapsulated)

    @property
    def count(self) -> int:
        """Number of stored values."""
        return self.frames * self.rows * self.columns * self.samples

    @property
    def expected_length(self) -> int:
        """Bytes of uncompressed pixel data, pad byte included; with half the chroma of YBR_FULL_422."""
        bits = self.count * self.bits_allocated
        if text(self.dataset, 0x00280004) in ("YBR_FULL_422", "YBR_PARTIAL_422"):
            bits = bits * 2 // 3
        length = -(-bits // 8)
        return length + length % 2

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest value that Bits Stored can hold."""
        span = 1 << self.bits_stored
        return (-span // 2, span // 2 - 1) if self.signed else (0, span - 1)

    @property
    def description(self) -> tuple[bytes, ...]:
        """What tells how the words are to be read."""
        return tuple(raw(self.dataset, tag) for tag in _DESCRIPTION)


def _syntax(dataset: Dataset) -> uid.UID:
    """Return the transfer syntax of a file; where it names none that is known, that which it must have been read by."""
    syntax = uid.UID(str(dataset.file_meta.get("TransferSyntaxUID", "")))
    if syntax.is_transfer_syntax and not syntax.is_private:
        return syntax
    return uid.ImplicitVRLittleEndian if dataset.original_encoding[0] else uid.ExplicitVRLittleEndian


def pixels(dataset: Dataset) -> Pixels:
    """Return the pixels of a data set that pydicom read, not yet decoded."""
    tag = next((tag for tag in (PIXEL_DATA, *_FLOATS) if tag in dataset), 0)
    element = dataset.get_item(tag) if tag else None
    value = element.value if element is not None else b""
    slope, intercept = numbers(dataset, 0x00281053) or numbers(dataset, 0x3004000E), numbers(dataset, 0x00281052)
    return Pixels(
        dataset=dataset,
        tag=tag,
        value=bytes(value or b"") if isinstance(element, RawDataElement) or isinstance(value, bytes) else b"",
        syntax=_syntax(dataset),
        frames=_number(dataset, 0x00280008, 1) or 1,
        rows=_number(dataset, 0x00280010),
        columns=_number(dataset, 0x00280011),
        samples=_number(dataset, 0x00280002, 1),
        bits_allocated=_number(dataset, 0x00280100),
        bits_stored=_number(dataset, 0x00280101),
        signed=_number(dataset, 0x00280103) == 1,
        slope=slope[0] if slope else 1.0,
        intercept=intercept[0] if intercept else 0.0,
    )


def stored_values(one: Pixels, *, as_rgb: bool = False) -> tuple[Array, str]:
    """Return the stored values, shape (frames, rows, columns, samples), and what decoded them.

    Parameters
    ----------
    one
        The pixels.
    as_rgb
        Turn compressed YBR into RGB, as a decoder does that writes it uncompressed.

    Returns
    -------
    tuple
        The values, and ``native``, ``pydicom`` or ``SimpleITK``.

    Raises
    ------
    UndecodableError
        There is no decoder for them, or they are damaged.
    """
    shape = one.frames, one.rows, one.columns, one.samples
    if one.tag in _FLOATS:
        dtype = np.dtype(_FLOATS[one.tag][0 if one.syntax.is_little_endian else 1])
        return _shaped(one.value, dtype, shape), "native"
    if one.bits_allocated not in (8, 16, 32, 64) or one.samples != 1 or not one.native:
        words, by = _decoded(one, as_rgb)
    else:
        words, by = _shaped(one.value, _dtype(one), shape), "native"
    if words.size != one.count:
        raise UndecodableError("its pixel data hold another number of values than its header says")
    return _used(words.reshape(shape), one), by


def _dtype(one: Pixels) -> np.dtype[Any]:
    return np.dtype(f"<{'i' if one.signed else 'u'}{max(1, one.bits_allocated // 8)}")


def _shaped(value: bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    count = int(np.prod(shape))
    if len(value) < count * dtype.itemsize or not count:
        raise UndecodableError("its pixel data are shorter than its header says")
    return np.frombuffer(value, dtype, count).reshape(shape)


def _decoded(one: Pixels, as_rgb: bool) -> tuple[Array, str]:
    try:
        decoder = get_decoder(one.syntax)
    except NotImplementedError:
        raise UndecodableError("its transfer syntax is not known") from None
    try:
        if not one.syntax.is_encapsulated or decoder.is_available:
            return decoder.as_array(one.dataset, raw=not as_rgb)[0].astype(_dtype(one), copy=False), "pydicom"
        return _by_simpleitk(one), "SimpleITK"
    except Exception:  # whatever a decoder meets in a damaged stream
        raise UndecodableError("its pixel data cannot be decoded") from None


def _by_simpleitk(one: Pixels) -> Array:
    """Decode with SimpleITK a file that holds nothing but the pixels, so that it applies no rescale."""
    bare = Dataset()
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = one.syntax
    bare.SOPClassUID = bare.file_meta.MediaStorageSOPClassUID = _SECONDARY_CAPTURE
    bare.SOPInstanceUID = bare.file_meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    for tag in (*_DESCRIPTION, 0x00280102):
        if tag in one.dataset:
            bare[tag] = one.dataset[tag]
    if text(one.dataset, 0x00280004) == "MONOCHROME1":
        bare.PhotometricInterpretation = "MONOCHROME2"  # ITK would invert it
    bare[PIXEL_DATA] = one.dataset[PIXEL_DATA]
    with tempfile.TemporaryDirectory(prefix="itk-roundtrip-") as folder:
        file = Path(folder) / "pixels.dcm"
        bare.save_as(file, enforce_file_format=True)
        return _simpleitk.stored_values(file)


def _used(words: Array, one: Pixels) -> Array:
    """Return words with the bits above Bits Stored replaced by the sign or by zeros."""
    unused = words.dtype.itemsize * 8 - one.bits_stored
    if words.dtype.kind not in "iu" or not 0 < unused < words.dtype.itemsize * 8 or one.bits_allocated < 8:
        return words
    low, high = one.limits
    if words.max() <= high and (not one.signed or words.min() >= low):
        return words  # no unused bit is in use
    values: Array = np.right_shift(np.left_shift(words, unused), unused)
    return values


@dataclass(frozen=True)
class PixelDifference:
    """How the pixels of a written file differ from those of its source.

    Attributes
    ----------
    values, reference
        Stored values of the written file and of the source, where they had to be decoded and could be.
    problem
        Why they cannot be compared; empty if they were.
    identical_value
        The value of Pixel Data is the same to the byte, a pad byte apart that a source of odd length lacks.
    count, changed, largest
        Stored values, how many of them differ, and by how much at most.
    largest_real
        Largest difference of real-world values.
    decoders
        What decoded compressed ones.
    sha256
        Of the written stored values.
    """

    values: Array | None = None
    reference: Array | None = None
    problem: str = ""
    identical_value: bool = False
    count: int = 0
    changed: int = 0
    largest: float = 0.0
    largest_real: float = 0.0
    decoders: tuple[str, ...] = ()
    sha256: str = ""


def compare_pixels(source: Pixels, written: Pixels) -> PixelDifference:
    """Compare all stored values and all real-world values of two files."""
    if not source.tag and not written.tag:
        return PixelDifference(identical_value=True)
    ours, theirs = source.value, written.value
    pad = b"\0" * (len(ours) % 2)  # a value of odd length is none of DICOM: it gets its pad byte
    same_syntax = source.syntax == written.syntax or (source.native and written.native)
    identical = same_syntax and len(ours + pad) == len(theirs) and ours + pad == theirs
    same_description = source.description == written.description and source.tag == written.tag
    try:
        values, by = stored_values(written)
        decoders = {by}
        if identical and same_description:
            reference = values
        else:
            colours = [text(one.dataset, 0x00280004) for one in (source, written)]
            as_rgb = source.encapsulated and colours[0].startswith("YBR") and colours[1] == "RGB"
            reference, by = stored_values(source, as_rgb=as_rgb)
            decoders.add(by)
    except UndecodableError as error:
        if identical and same_description and source.syntax.is_encapsulated:
            # The same compressed bytes hold the same values, whatever they are.
            return PixelDifference(identical_value=True, count=written.count)
        return PixelDifference(problem=str(error), identical_value=identical)
    changed, largest, real = 0, 0.0, 0.0
    if values.shape != reference.shape:
        return PixelDifference(problem="it holds another number of values than the source", identical_value=identical)
    same_scale = (source.slope, source.intercept) == (written.slope, written.intercept)
    if values is not reference:
        apart = np.not_equal(values, reference)
        changed = int(np.count_nonzero(apart))
        if changed:
            step = np.subtract(values[apart], reference[apart], dtype=np.float64)
            largest = float(np.max(np.abs(step)))
            real = largest * abs(source.slope) if same_scale else 0.0
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
        largest=largest,
        largest_real=real,
        decoders=tuple(sorted(decoders)),
        sha256=digest(values),
    )
