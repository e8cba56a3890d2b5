"""One written instance: what changes in its header, and its pixels put together from what ITK wrote."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom import uid

from itk_roundtrip import syntaxes, tags
from itk_roundtrip.carry import compression
from itk_roundtrip.derivation.functional_groups import functional_group_edits
from itk_roundtrip.derivation.plan import PixelChange, SeriesPlan, edits, pixel_edits, statement
from itk_roundtrip.derivation.uids import sop_instance_uid
from itk_roundtrip.dicom.edits import Edits
from itk_roundtrip.dicom.frames import encapsulated, even
from itk_roundtrip.dicom.headers import PIXEL_DATA, Header, PixelData, complete, nested_pixels, transcoded
from itk_roundtrip.dicom.reading import read_file
from itk_roundtrip.dicom.spans import items
from itk_roundtrip.errors import SeriesReadError, UnsupportedSeriesError
from itk_roundtrip.itk_io import view
from itk_roundtrip.itk_io.front_ends import Backend
from itk_roundtrip.itk_io.view import Hiding, Plane
from itk_roundtrip.pixels import kinds
from itk_roundtrip.pixels.formats import DTYPES, Array, components, digest, digest_of_frames, masked, with_unused_bits
from itk_roundtrip.pixels.kinds import Carriage
from itk_roundtrip.rules import UNCHANGED, decoder_difference, is_lossless
from itk_roundtrip.series.find import Instance, Series
from itk_roundtrip.tags import tag_text
from itk_roundtrip.verify.stored import UndecodableError, stored_values
from itk_roundtrip.verify.stored import pixels as pixels_of
from itk_roundtrip.volume import read as reader
from itk_roundtrip.words import counted

_METHODS: dict[str, str] = {
    uid.JPEGBaseline8Bit: "ISO_10918_1", uid.JPEGExtended12Bit: "ISO_10918_1", uid.JPEGLSNearLossless: "ISO_14495_1",
    uid.JPEG2000: "ISO_15444_1", uid.JPEG2000MC: "ISO_15444_2", uid.JPEG2000MCLossless: "ISO_15444_2",
    uid.HTJ2K: "ISO_15444_15",
    syntaxes.JPEG_XL_RECOMPRESSION: "ISO_10918_1", syntaxes.JPEG_XL: "ISO_18181_1",
    **{one: "ISO_23008_2" if "HEVC" in one.name else "ISO_13818_2" if "MPEG2" in one.name else "ISO_14496_10"
       for one in uid.MPEGTransferSyntaxes},
}  # fmt: skip
"""Lossy Image Compression Method (0028,2114) of transfer syntaxes (PS3.3 C.7.6.1.1.5.1)."""
_CODEC_METHODS: dict[str, str] = {
    "JPEG": "ISO_10918_1", "JPEG-LS": "ISO_14495_1", "JPEG 2000": "ISO_15444_1", "HTJ2K": "ISO_15444_15",
}  # fmt: skip
"""The same by the codec of a stream, which may be another than the syntax says, or lossy in one that loses nothing."""


def written_words(by_itk: Header, plane: Plane) -> Array | None:
    """Return the words of one slice that ITK wrote, shape (rows, columns), samples behind, as it was shown them.

    ``None`` if they are not so many as it was given.
    """
    raw, seen, one = by_itk.raw(PIXEL_DATA) or b"", plane.carriage.seen, plane.instance
    pixel_type = seen.stored_pixel_type
    dtype = np.dtype(DTYPES[pixel_type]) if pixel_type != "D" else seen.dtype
    samples = components(pixel_type)
    shape = (one.rows or 0, one.columns or 0, *([samples] if samples > 1 else []))
    count = int(np.prod(shape))
    size = count * dtype.itemsize
    return np.frombuffer(raw, dtype, count).reshape(shape) if len(raw) == size + size % 2 else None


def instance_edits(
    plan: SeriesPlan | None,
    source: Header,
    one: Instance,
    how: Carriage,
    index: int,
    words: Sequence[Array | None],
    *,
    decoder: str,
    transfer_syntax: str,
) -> Edits:
    """Return what changes in one instance.

    Parameters
    ----------
    plan
        Of the derived series; ``None`` writes the same instance again.
    source, one, how
        The source, its header, and how its pixels are carried.
    index
        In the series.
    words
        Pixel words of all planes; empty if Pixel Data are kept.
    decoder
        What decodes compressed pixels.
    transfer_syntax
        Of what is written.
    """
    change = _pixel_change(source, one, how, decoder, transfer_syntax)
    if plan is None:
        return pixel_edits(source.values, change)
    source_uid = one.sop_instance_uid or f"slice {index}"
    new_uid = sop_instance_uid(plan.series_instance_uid, source_uid, _digest(source, how, words))
    changes = edits(plan, source.values, index, new_uid, change)
    return {**changes, **functional_group_edits(source.values, statement(plan, change.declared))}


def _digest(source: Header, how: Carriage, words: Sequence[Array | None]) -> str:
    known = [one for one in words if one is not None]
    if how.path == "source" or not known:
        tag = next(
            (
                tag
                for tag in (PIXEL_DATA, tags.FLOAT_PIXEL_DATA, tags.DOUBLE_FLOAT_PIXEL_DATA)
                if tag in source.elements
            ),
            PIXEL_DATA,
        )
        return digest(np.frombuffer(source.raw(tag) or b"", "u1"))
    return digest(known[0]) if len(known) == 1 else digest_of_frames(known)


def _pixel_change(source: Header, one: Instance, how: Carriage, decoder: str, transfer_syntax: str) -> PixelChange:
    """Return what becomes of the description of the pixels, and what is said of it."""
    lossy = one.is_lossy
    steps = (_method(one), _ratio(source, one)) if lossy else None
    interleaved = how.pixel_format.samples > 1 and (source.encapsulated or compression.is_compressed(transfer_syntax))
    if how.path == "source" or not source.encapsulated:
        return PixelChange(planar=0 if interleaved and how.path != "source" else None, lossy=steps)
    told = [f"{_compression(one)} decoded by {decoder or 'GDCM'}"] if lossy else []
    changed = how.photometric != one.photometric_interpretation
    if changed:
        told.append(f"{one.photometric_interpretation} decoded to {how.photometric}")
    if how.bits_beyond:
        told.append(f"values clipped to {counted(how.pixel_format.bits_stored, 'bit')}")
    differ = f"max error {decoder_difference(one.photometric_interpretation)} between decoders"
    if not how.bits_beyond or changed:
        told.append(differ if lossy and changed else UNCHANGED)
    return PixelChange(how.photometric if changed else None, 0 if interleaved else None, steps, "; ".join(told))


def _lossy_codec(one: Instance) -> str:
    """Return the codec of the first stream that lost something; empty if none says so."""
    return next((stream.codec for stream in one.streams if stream.is_lossy), "")


def _method(one: Instance) -> str:
    """Return Lossy Image Compression Method (0028,2114): that of the stream, or of Part 2 of JPEG 2000."""
    method = _METHODS.get(one.transfer_syntax_uid, "")
    return method if method == "ISO_15444_2" else _CODEC_METHODS.get(_lossy_codec(one), method)


def _compression(one: Instance) -> str:
    """Return the name of a lossy compression: that of its transfer syntax, or what the stream in it is instead."""
    name = syntaxes.name(one.transfer_syntax_uid)
    return name if not is_lossless(one.transfer_syntax_uid) else f"lossy {_lossy_codec(one)} in {name}"


def _ratio(source: Header, one: Instance) -> str:
    """Return Lossy Image Compression Ratio (0028,2112): native bytes by compressed ones."""
    value = source.raw(PIXEL_DATA) or b""
    sizes = [end - start - 8 for start, end in items(value, 0, len(value), implicit_vr=False)]
    return f"{view.frame_bits(one) * one.frames / 8 / max(1, sum(sizes[1:])):.4g}"


def complete_instance(
    source: Header,
    changes: Edits,
    planes: Sequence[Array | None] | None,
    one: Instance,
    how: Carriage,
    transfer_syntax: str,
) -> bytes | None:
    """Return the whole file of one instance.

    Parameters
    ----------
    source
        Header of the source.
    changes
        To it.
    planes
        Words that ITK wrote of its planes; ``None`` keeps Pixel Data as they stand.
    one, how
        The source, and how its pixels are carried.
    transfer_syntax
        Key of :data:`itk_roundtrip.carry.compression.UIDS`; empty for that of the source, uncompressed.

    Returns
    -------
    bytes
        ``None`` if ITK wrote other values than an uncompressed source holds.

    Raises
    ------
    UnsupportedSeriesError
        It cannot be written in this transfer syntax.
    """
    pixel_data = None
    if planes is not None:
        native = _native(source, planes, how)
        if native is None:
            return None
        if compression.is_compressed(transfer_syntax):
            pixel_data = _compressed(native, one, how, transfer_syntax)
        else:
            pixel_data = PixelData(native, how.pixel_format.bits_allocated)
    elif transfer_syntax and source.encapsulated and compression.UIDS[transfer_syntax] != source.transfer_syntax_uid:
        raise UnsupportedSeriesError(
            f"{one.name} keeps its compressed pixels ({how.reason}), so that it cannot be written in another transfer"
            " syntax.",
            path=one.name,
        )
    elif compression.is_compressed(transfer_syntax) and not source.encapsulated:
        raise UnsupportedSeriesError(
            f"{one.name} keeps its uncompressed pixels ({how.reason}), which are not compressed.", path=one.name
        )
    changed = pixel_data is not None and pixel_data.transfer_syntax_uid != source.transfer_syntax_uid
    if changed and (tag := nested_pixels(source)):
        raise UnsupportedSeriesError(
            f"{one.name} holds compressed pixels inside a sequence, such as an icon, which cannot stand in another"
            " transfer syntax.",
            path=one.name,
            tag=tag_text(tag),
        )
    explicit = compression.is_compressed(transfer_syntax) or transfer_syntax == "explicit"
    target = transcoded(source, implicit_vr=not explicit, name=one.name) if transfer_syntax else source
    return complete(target, changes, pixel_data, one.name)


def _native(source: Header, planes: Sequence[Array | None], how: Carriage) -> bytes | None:
    """Return the value of native Pixel Data: the words, and of an uncompressed source the bits that hold no value.

    ``None`` if an uncompressed source holds other stored values.
    """
    words = [one for one in planes if one is not None]
    if len(words) != len(planes):
        return None
    if _are_all_bits(source, words, how):
        return even(source.raw(PIXEL_DATA) or b"")
    values = np.stack(words)
    if how.inverse == "bits":
        values = np.packbits(values.reshape(-1) // 255, bitorder="little")
    elif how.inverse == "planes":
        values = np.moveaxis(values, -1, 1)
    own = how.pixel_format
    values = values.astype(own.dtype, copy=False)
    if not how.whole_words:
        values = masked(values, own)
    if source.encapsulated:
        return even(np.ascontiguousarray(values).tobytes())
    original = source.raw(PIXEL_DATA) or b""
    before = np.frombuffer(original, own.dtype, values.size).reshape(values.shape)
    if np.array_equal(before, values):
        return even(original)
    if own.bits_allocated < 8:  # bits behind the last pixel hold no value
        return even(original) if np.array_equal(before[:-1], values[:-1]) else None
    if how.whole_words or not np.array_equal(masked(before, own), values):
        return None
    content = with_unused_bits(np.ascontiguousarray(values), before, own)
    return even(content.tobytes() + original[content.nbytes :])


def _are_all_bits(source: Header, words: Sequence[Array], how: Carriage) -> bool:
    """Tell whether an uncompressed source holds just these words, frame by frame, with no other bits to put back."""
    own = how.pixel_format
    if source.encapsulated or how.inverse or own.bits_allocated < 8:
        return False
    original, size = source.raw(PIXEL_DATA) or b"", words[0].size
    return all(
        np.array_equal(np.frombuffer(original, own.dtype, size, index * size * own.dtype.itemsize), one.ravel())
        for index, one in enumerate(words)
    )


def _compressed(native: bytes, one: Instance, how: Carriage, transfer_syntax: str) -> PixelData:
    """Return the frames of native Pixel Data compressed, each decoded again by another library."""
    own, rows, columns = how.pixel_format, one.rows or 0, one.columns or 0
    frames = np.frombuffer(native, own.dtype, one.frames * rows * columns * own.samples)
    if how.inverse == "planes":
        frames = np.moveaxis(frames.reshape(one.frames, own.samples, rows, columns), 1, -1)
    frames = frames.reshape(one.frames, rows, columns, *([own.samples] if own.samples > 1 else []))
    streams = []
    for words in frames:
        values = words if transfer_syntax == "rle" else masked(words, own)
        stream = compression.compressed(values, own, transfer_syntax, one.name, how.photometric)
        compression.check_stream(stream, values, own, transfer_syntax, one.name)
        streams.append(stream)
    return PixelData(encapsulated(streams), own.bits_allocated, compression.UIDS[transfer_syntax])


def check_decodes(one: Instance, source: Header, folder: Path, backend: Backend | None) -> None:
    """Refuse compressed pixels that are to be kept and that nothing here decodes, although something should.

    Parameters
    ----------
    one, source
        The source and its header.
    folder
        For what ITK is shown.
    backend
        Front end to try; ``None`` if ITK failed already.

    Raises
    ------
    SeriesReadError
        They are damaged.
    """
    if not source.encapsulated:
        return
    how = kinds.carriage(one, "derived")
    if how.path != "source" and backend is not None:
        carried, pixel_type = reader.plan_pixel_type({one.name: how})
        planes = view.planes([one], carried)
        try:
            for plane in planes:  # one by one: nothing of them is needed
                files = view.files_to_read([plane], {one.name: source}, Hiding.ALL_BUT_PIXELS, folder)
                reader.read_planes([plane], files, pixel_type, Series("", (one,), folder), backend)
            return
        except SeriesReadError:
            pass
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    try:
        stored_values(pixels_of(read_file(one.path)))
    except UndecodableError as error:
        if how.path == "source" and not error.damaged:
            return  # nothing here can, which is no fault of theirs
        raise SeriesReadError(
            f"{one.name} is damaged: its compressed pixels cannot be decoded.", path=one.name, tag="(7FE0,0010)"
        ) from None
