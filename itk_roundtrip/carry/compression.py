"""Transfer syntaxes that a written file may have, and the lossless codecs of its pixels.

JPEG Lossless is encoded here, the others by pydicom's plug-ins: ITK puts Bits Allocated into its streams, where Bits
Stored must stand (PS3.5 8.2), and takes no odd sizes. What was compressed another library must decode to the same words
before it is believed.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.encoders.base import get_encoder

from itk_roundtrip.errors import RoundtripError, SeriesWriteError, UnsupportedSeriesError
from itk_roundtrip.folders import temporary_folder
from itk_roundtrip.itk_io import _simpleitk
from itk_roundtrip.pixels.formats import Array, PixelFormat, masked
from itk_roundtrip.words import agreeing, counted

UIDS: dict[str, str] = {
    "explicit": str(uid.ExplicitVRLittleEndian),
    "implicit": str(uid.ImplicitVRLittleEndian),
    "rle": str(uid.RLELossless),
    "jpeg-lossless": str(uid.JPEGLosslessSV1),
    "jpeg-ls": str(uid.JPEGLSLossless),
    "jpeg2000": str(uid.JPEG2000Lossless),
}
_TITLES = {"rle": "RLE", "jpeg-lossless": "JPEG Lossless", "jpeg-ls": "JPEG-LS", "jpeg2000": "JPEG 2000"}
_JPEG_2000_MINIMUM = 32
"""Rows and columns that OpenJPEG needs for the six resolutions which pydicom's plug-in makes."""


def is_compressed(name: str) -> bool:
    """Tell whether the pixels of a transfer syntax are compressed."""
    return name in _TITLES


def check_available(name: str) -> None:
    """Refuse a transfer syntax that no library here compresses to.

    Raises
    ------
    RoundtripError
        A plug-in of pydicom is missing.
    """
    if name and name not in UIDS:
        raise RoundtripError(f"{name} is no transfer syntax; choose one of {', '.join(UIDS)}.")
    if is_compressed(name) and name != "jpeg-lossless" and not get_encoder(uid.UID(UIDS[name])).is_available:
        raise RoundtripError(
            f'Nothing here compresses to {_TITLES[name]}; install what does with `pip install "itk-roundtrip[codecs]"`.'
        )


def check_format(
    name: str,
    pixel_format: PixelFormat,
    file_name: str,
    *,
    size: tuple[int, int] = (_JPEG_2000_MINIMUM, _JPEG_2000_MINIMUM),
    overlay: bool = False,
) -> None:
    """Refuse pixels whose format a codec cannot hold, or decoders of it do not agree on.

    Parameters
    ----------
    name
        Key of :data:`UIDS`.
    pixel_format
        Of the source.
    file_name
        What messages call it.
    size
        Rows and columns.
    overlay
        An overlay stands in unused bits of the pixel words.

    Raises
    ------
    UnsupportedSeriesError
        It takes no such words.
    """
    if not is_compressed(name):
        return
    title, allocated, stored = _TITLES[name], pixel_format.bits_allocated, pixel_format.bits_stored
    reason = ""
    if allocated not in (8, 16):
        reason = f"has {counted(allocated, 'bit')} allocated, for which {title} is not written"
    elif name != "rle" and pixel_format.high_bit is not None:  # RLE holds whole words
        reason = (
            f"has High Bit {pixel_format.high_bit} with {counted(stored, 'bit')} stored, and {title} has no place below"
            f" {agreeing(stored, 'it', 'them')}"
        )
    elif name != "rle" and overlay:
        reason = f"has an overlay in unused bits, and {title} holds nothing but stored values"
    elif name in ("jpeg-lossless", "jpeg-ls") and allocated == 16 and stored <= 8:
        reason = f"has {stored} of 16 bits stored, on which decoders of {title} do not agree"
    elif name == "jpeg2000" and min(size) < _JPEG_2000_MINIMUM:
        least = f"{_JPEG_2000_MINIMUM}x{_JPEG_2000_MINIMUM}"
        reason = f"has {size[1]}x{size[0]} pixels, and JPEG 2000 is not written for less than {least}"
    if reason:
        raise UnsupportedSeriesError(f"{file_name} {reason}; choose another transfer syntax.", path=file_name)


def compressed(
    words: Array, pixel_format: PixelFormat, name: str, file_name: str = "An image", photometric: str = ""
) -> bytes:
    """Return the stream of a frame, compressed without loss.

    Parameters
    ----------
    words
        Shape (rows, columns), samples behind: whole pixel words for RLE, stored values for all others.
    pixel_format
        Of them.
    name
        Key of :data:`UIDS`.
    file_name
        What messages call it.
    photometric
        Photometric Interpretation.

    Raises
    ------
    SeriesWriteError
        The encoder does not take it.
    """
    rows, columns, samples = *words.shape[:2], pixel_format.samples
    photometric = photometric or ("RGB" if samples > 1 else "MONOCHROME2")
    if name == "jpeg-lossless":
        return _jpeg_lossless(words, pixel_format.bits_stored, as_rgb=photometric == "RGB")
    try:
        stream = get_encoder(uid.UID(UIDS[name])).encode(
            np.ascontiguousarray(words),
            rows=rows,
            columns=columns,
            samples_per_pixel=samples,
            number_of_frames=1,
            bits_allocated=pixel_format.bits_allocated,
            bits_stored=pixel_format.bits_allocated if name == "rle" else pixel_format.bits_stored,
            pixel_representation=int(pixel_format.signed),
            photometric_interpretation=photometric,
            planar_configuration=0 if samples > 1 else None,
            encoding_plugin=_plugin(name),
        )
    except Exception:  # whatever an encoder meets
        raise SeriesWriteError(
            f"{file_name} cannot be written in {_TITLES[name]}: the encoder does not take {columns}x{rows} pixels of"
            f" {photometric} with {pixel_format.bits_stored} of {pixel_format.bits_allocated} bits; choose another"
            " transfer syntax.",
            path=file_name,
        ) from None
    return bytes(stream)


def _plugin(name: str) -> str:
    """Return the encoding plug-in of pydicom for a transfer syntax; never that of GDCM, which is to decode."""
    plugins = [plugin for plugin in get_encoder(uid.UID(UIDS[name])).available_plugins if plugin != "gdcm"]
    return "pylibjpeg" if "pylibjpeg" in plugins else plugins[0]


# ---------------------------------------------------------------------------------------------- JPEG Lossless

_BLOCK = 1 << 14
"""Differences that are coded at once: each bit of their code takes some thirty bytes for a moment."""
_SIZES = np.frexp(np.abs(np.arange(1 << 16, dtype=np.uint16).view(np.int16).astype(np.float64)))[1].astype(np.uint8)
"""Number of significant bits (SSSS) of each prediction difference, by its sixteen bits (ISO 10918-1 H.1.2.2)."""


def _jpeg_lossless(words: Array, precision: int, *, as_rgb: bool) -> bytes:
    """Return a JPEG of a single scan: process 14, selection value 1, the value to the left predicts (ISO 10918-1 H)."""
    values = words.astype(np.uint16).reshape(*words.shape[:2], -1) & np.uint16((1 << precision) - 1)
    rows, columns, samples = values.shape
    differences = values.copy()  # modulo 65536, as they are meant
    differences[:, 1:] -= values[:, :-1]
    differences[1:, 0] -= values[:-1, 0]
    differences[0, 0] -= np.uint16(1 << (precision - 1))
    differences = differences.ravel().view(np.int16)
    sizes = _SIZES[differences.view(np.uint16)]
    lengths = _huffman_lengths(np.bincount(sizes))
    ordered = sorted(lengths, key=lambda size: (lengths[size], size))
    names = b"RGB" if as_rgb else b"\1\2\3"
    frame = struct.pack(">BHHB", precision, rows, columns, samples)
    frame += b"".join(bytes([name, 0x11, 0]) for name in names[:samples])
    table = bytes([0, *(list(lengths.values()).count(length) for length in range(1, 17)), *ordered])
    scan = bytes([samples, *(part for name in names[:samples] for part in (name, 0)), 1, 0, 0])
    return b"".join([
        b"\xff\xd8",
        _segment(0xEE, b"Adobe\0\x64\0\0\0\0\0") if samples > 1 and as_rgb else b"",  # colours are not transformed
        _segment(0xC3, frame), _segment(0xC4, table), _segment(0xDA, scan),
        _entropy_coded(differences, sizes, _codes(lengths, ordered)).replace(b"\xff", b"\xff\0"), b"\xff\xd9",
    ])  # fmt: skip


def _segment(marker: int, content: bytes) -> bytes:
    """Return a marker segment: marker, length, parameters (ISO 10918-1 B.1.1.4)."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _huffman_lengths(counts: Array) -> dict[int, int]:
    """Return the length of the Huffman code of each symbol that occurs (ISO 10918-1 K.2).

    Each symbol is given a frequency of a thousandth at least, so that no code gets longer than the 16 bits that it may
    have. A further symbol takes the code of all ones, which must not be used.
    """
    least = int(counts.sum()) // 1024 + 1
    heap: list[tuple[int, int, tuple[int, ...]]] = [(0, -1, ())]
    heap += [(max(int(count), least), symbol, (symbol,)) for symbol, count in enumerate(counts) if count]
    lengths = {symbol: 0 for _, symbol, _ in heap if symbol >= 0}
    heapq.heapify(heap)
    while len(heap) > 1:
        (first_count, symbol, ours), (second_count, _, theirs) = heapq.heappop(heap), heapq.heappop(heap)
        for merged in (*ours, *theirs):
            lengths[merged] += 1
        heapq.heappush(heap, (first_count + second_count, symbol, (*ours, *theirs)))
    return lengths


def _codes(lengths: dict[int, int], ordered: list[int]) -> Array:
    """Return the Huffman code of each symbol and its length: codes ascend as the lengths do (ISO 10918-1 C.2)."""
    codes = np.zeros((17, 2), np.int64)
    code = last = 0
    for symbol in ordered:
        code <<= lengths[symbol] - last
        last = lengths[symbol]
        codes[symbol] = code, last
        code += 1
    return codes


def _entropy_coded(differences: Array, sizes: Array, codes: Array) -> bytes:
    """Return the entropy-coded differences: of each the Huffman code of SSSS, then SSSS bits (ISO 10918-1 H.1.2.2)."""
    parts, rest = [], np.zeros(0, np.uint8)
    for start in range(0, differences.size, _BLOCK):
        difference = differences[start : start + _BLOCK].astype(np.int64)
        size = sizes[start : start + _BLOCK].astype(np.int64)
        extra = np.where(size == 16, 0, size)  # the size says it all: it is 32768
        low = np.where(difference < 0, difference - 1, difference) & ((1 << extra) - 1)
        word, length = codes[size, 0] << extra | low, codes[size, 1] + extra
        ends = np.cumsum(length)
        behind = np.repeat(ends, length) - np.arange(1, ends[-1] + 1)
        bits = np.concatenate([rest, (np.repeat(word, length) >> behind & 1).astype(np.uint8)])
        whole = bits.size - bits.size % 8
        parts.append(np.packbits(bits[:whole]).tobytes())
        rest = bits[whole:]
    if rest.size:
        parts.append(np.packbits(np.concatenate([rest, np.ones(8 - rest.size, np.uint8)])).tobytes())
    return b"".join(parts)


# --------------------------------------------------------------------------- decoded again by another library


def check_streams(streams: Sequence[bytes], words: Array, pixel_format: PixelFormat, name: str, file_name: str) -> None:
    """Check that compressed frames decode to the same words, with a library that did not compress them.

    GDCM is asked first, and must not decode them to other words. If it refuses the streams, the next must be right.

    Parameters
    ----------
    streams, words
        Of some frames: shape (frames, rows, columns), samples behind.
    pixel_format, name, file_name
        As for :func:`compressed`.

    Raises
    ------
    SeriesWriteError
        They decode to other words, or nothing else here decodes them.
    """
    bare, reason = _bare_dataset(streams, words[0], pixel_format, name), "no other decoder here takes it"
    for decoder, decode in _decoders(name):
        try:
            decoded = decode(bare).reshape(words.shape).astype(words.dtype)
        except Exception:  # whatever a decoder meets
            continue
        if np.array_equal(decoded if name == "rle" else masked(decoded, pixel_format), words):
            return
        reason = f"{decoder} decodes it to other values"
        break
    raise SeriesWriteError(f"{file_name} cannot be written in {_TITLES[name]}: {reason}.", path=file_name)


def _decoders(name: str) -> Iterator[tuple[str, Callable[[Dataset], Array]]]:
    """Yield the decoders of a transfer syntax, by name, but for the library that encodes it: GDCM first."""
    yield "GDCM", _by_simpleitk
    encoder = "" if name == "jpeg-lossless" else _plugin(name)
    for plugin in get_decoder(uid.UID(UIDS[name])).available_plugins:
        if plugin not in (encoder, "gdcm"):
            yield plugin, partial(_by_pydicom, plugin=plugin)


def _bare_dataset(streams: Sequence[bytes], words: Array, pixel_format: PixelFormat, name: str) -> Dataset:
    """Return a Secondary Capture that holds nothing but compressed frames, with the shape of ``words`` each."""
    bare = Dataset()
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = uid.UID(UIDS[name])
    bare.SOPClassUID = bare.file_meta.MediaStorageSOPClassUID = uid.SecondaryCaptureImageStorage
    bare.SOPInstanceUID = bare.file_meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    bare.Rows, bare.Columns = words.shape[:2]
    bare.SamplesPerPixel = pixel_format.samples
    bare.PhotometricInterpretation = "RGB" if pixel_format.samples > 1 else "MONOCHROME2"
    if pixel_format.samples > 1:
        bare.PlanarConfiguration = 0
    bare.BitsAllocated = pixel_format.bits_allocated
    bare.BitsStored = pixel_format.bits_allocated if name == "rle" else pixel_format.bits_stored
    bare.HighBit = bare.BitsStored - 1
    bare.PixelRepresentation = int(pixel_format.signed)
    if len(streams) > 1:
        bare.NumberOfFrames = len(streams)
    bare.PixelData = encapsulate(list(streams))
    bare["PixelData"].VR = "OB"
    return bare


def _by_pydicom(bare: Dataset, plugin: str) -> Array:
    """Return the pixel words that a plug-in of pydicom decodes."""
    decoder: Any = get_decoder(uid.UID(bare.file_meta.TransferSyntaxUID))
    array: Array = decoder.as_array(bare, raw=True, correct_unused_bits=False, decoding_plugin=plugin)[0]
    return array


def _by_simpleitk(bare: Dataset) -> Array:
    """Return the pixel words that the GDCM in SimpleITK decodes."""
    with temporary_folder() as folder:
        file = Path(folder) / "pixels.dcm"
        bare.save_as(file, enforce_file_format=True)
        return _simpleitk.stored_values(file)
