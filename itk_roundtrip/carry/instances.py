"""A written instance: the edits of its header, and its Pixel Data from what ITK wrote."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom import uid

from itk_roundtrip import syntaxes, tags
from itk_roundtrip.carry import compression
from itk_roundtrip.carry.processed import Values
from itk_roundtrip.derivation.functional_groups import functional_group_edits
from itk_roundtrip.derivation.plan import PixelChange, SeriesPlan, declared, edits, pixel_edits, statement
from itk_roundtrip.derivation.processing import ProcessedPixels
from itk_roundtrip.derivation.regrid import NewSlice, new_grid_edits
from itk_roundtrip.derivation.uids import sop_instance_uid
from itk_roundtrip.dicom import values as values_of
from itk_roundtrip.dicom.edits import Edits
from itk_roundtrip.dicom.frames import encapsulated, even
from itk_roundtrip.dicom.headers import Header, PixelData, complete, nested_pixels, read_header, transcoded
from itk_roundtrip.dicom.parsing import Bytes
from itk_roundtrip.dicom.reading import read_file
from itk_roundtrip.dicom.spans import items
from itk_roundtrip.errors import SeriesReadError, UnsupportedSeriesError
from itk_roundtrip.itk_io import view
from itk_roundtrip.itk_io.front_ends import Backend
from itk_roundtrip.itk_io.view import Hiding, Plane
from itk_roundtrip.pixels import kinds
from itk_roundtrip.pixels.formats import DTYPES, Array, PixelFormat, components, digest, masked
from itk_roundtrip.pixels.kinds import Carriage
from itk_roundtrip.pixels.quantise import NO_FIGURES, Figures
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
    **{syntax: "ISO_23008_2" if "HEVC" in syntax.name else "ISO_13818_2" if "MPEG2" in syntax.name else "ISO_14496_10"
       for syntax in uid.MPEGTransferSyntaxes},
}  # fmt: skip
"""Lossy Image Compression Method (0028,2114) of transfer syntaxes (PS3.3 C.7.6.1.1.5.1)."""
_CODEC_METHODS: dict[str, str] = {
    "JPEG": "ISO_10918_1", "JPEG-LS": "ISO_14495_1", "JPEG 2000": "ISO_15444_1", "HTJ2K": "ISO_15444_15",
}  # fmt: skip
"""Lossy Image Compression Method by the codec of a stream: it may be another than the transfer syntax says."""


def written_words(by_itk: Header, plane: Plane) -> Array | None:
    """Return the pixel words of a slice that ITK wrote, shape (rows, columns), samples behind.

    ``None`` if they are not so many as it was given.
    """
    raw, seen, instance = by_itk.raw(tags.PIXEL_DATA) or b"", plane.carriage.seen, plane.instance
    pixel_type = seen.stored_pixel_type
    dtype = np.dtype(DTYPES[pixel_type]) if pixel_type != "D" else seen.dtype
    samples = components(pixel_type)
    shape = (instance.rows or 0, instance.columns or 0, *([samples] if samples > 1 else []))
    count = int(np.prod(shape))
    size = count * dtype.itemsize
    return np.frombuffer(raw, dtype, count).reshape(shape) if len(raw) == size + size % 2 else None


def instance_edits(
    plan: SeriesPlan | None,
    source: Header,
    instance: Instance,
    carriage: Carriage,
    index: int,
    digest: str,
    *,
    decoder: str,
    transfer_syntax: str,
    processed: ProcessedPixels | None = None,
    new_slice: NewSlice | None = None,
    lossy: Instance | None = None,
) -> Edits:
    """Return the edits of an instance's header.

    Parameters
    ----------
    plan
        Of the derived series; ``None`` writes the same instance again.
    source, instance, carriage
        Header of the source, the source, and how its pixels are carried.
    index
        In the series.
    digest
        Of its stored values, or of its Pixel Data where that is kept.
    decoder
        What decodes compressed pixels.
    transfer_syntax
        Of what is written.
    processed
        What became of the pixels; ``None`` if they are those of the source.
    new_slice
        Place of a slice on a new grid, of which the source is the nearest slice.
    lossy
        Another instance that contributed to processed values and lost detail by compression, where the source did not.
    """
    change = _pixel_change(source, instance, carriage, decoder, transfer_syntax)
    if processed is not None and lossy is not None:
        change = replace(change, lossy=_lossy_step(read_header(lossy.path, lossy.name), lossy))
    change = replace(change, processed=processed)
    if plan is None:
        return pixel_edits(source.values, change)
    source_uid = instance.sop_instance_uid or f"slice {index}"
    if new_slice is not None:
        source_uid = f"{source_uid} {index}"  # a source slice may be the nearest of several
    new_uid = sop_instance_uid(plan.series_instance_uid, source_uid, digest)
    changes = edits(plan, source.values, index, new_uid, change)
    said = statement(plan, declared(plan, source.values, change))
    groups = functional_group_edits(source.values, said, processing=plan.processing, processed=processed)
    return {**changes, **groups, **(new_grid_edits(source.values, new_slice) if new_slice is not None else {})}


@dataclass(frozen=True)
class Written:
    """A plane that ITK wrote.

    Attributes
    ----------
    words
        Its pixel words, shape (rows, columns), samples behind; ``None`` if ITK wrote not so many as it was given, or if
        they are those of the source.
    figures
        Of processed words.
    is_source
        The words are those of the uncompressed source, and are not held.
    """

    words: Array | None
    figures: Figures = NO_FIGURES
    is_source: bool = False

    def unless_of(self, frame: Bytes, carriage: Carriage) -> Written:
        """Return the plane without words if they hold the stored values of an uncompressed frame of the source.

        Parameters
        ----------
        frame
            Value of Pixel Data of the frame alone.
        carriage
            How it was carried.
        """
        assert self.words is not None
        seen, by_itk = carriage.seen, carriage.stored(self.words)
        (before,) = carriage.from_native(frame, (1, *self.words.shape))
        is_same = np.array_equal(before, by_itk) or np.array_equal(masked(before, seen), masked(by_itk, seen))
        return Written(None, self.figures, is_source=True) if is_same else self


def digest_of_source(source: Header) -> str:
    """Return the digest of the bytes of Pixel Data, where it is kept."""
    found = next(
        (tag for tag in (tags.PIXEL_DATA, tags.FLOAT_PIXEL_DATA, tags.DOUBLE_FLOAT_PIXEL_DATA)
         if tag in source.elements),
        tags.PIXEL_DATA,
    )  # fmt: skip
    return digest(np.frombuffer(source.view(found), "u1"))


def _pixel_change(
    source: Header, instance: Instance, carriage: Carriage, decoder: str, transfer_syntax: str
) -> PixelChange:
    """Return the changes of Photometric Interpretation and Planar Configuration, and what is said of decoding."""
    lossy = instance.is_lossy
    steps = _lossy_step(source, instance) if lossy else None
    interleaved = carriage.pixel_format.samples > 1 and (
        source.encapsulated or compression.is_compressed(transfer_syntax)
    )
    if carriage.path == "source" or not source.encapsulated:
        return PixelChange(planar=0 if interleaved and carriage.path != "source" else None, lossy=steps)
    statements = [f"{_compression(instance)} decoded by {decoder or 'GDCM'}"] if lossy else []
    recoloured = carriage.photometric != instance.photometric_interpretation
    if recoloured:
        statements.append(f"{instance.photometric_interpretation} decoded to {carriage.photometric}")
    if instance.bits_beyond:
        statements.append(f"values clipped to {counted(carriage.pixel_format.bits_stored, 'bit')}")
    difference = f"max error {decoder_difference(instance.photometric_interpretation)} between decoders"
    if not instance.bits_beyond or recoloured:
        statements.append(difference if lossy and recoloured else UNCHANGED)
    return PixelChange(
        carriage.photometric if recoloured else None, 0 if interleaved else None, steps, "; ".join(statements)
    )


def _lossy_step(source: Header, instance: Instance) -> tuple[str, str]:
    """Return method and ratio of the compression by which an instance lost detail; empty if they are not known."""
    if instance.is_lossy:
        return _method(instance), _ratio(source, instance)
    said = tags.LOSSY_IMAGE_COMPRESSION_METHOD, tags.LOSSY_IMAGE_COMPRESSION_RATIO
    method, ratio = (values_of.text(source.values, tag) for tag in said)
    return method, ratio


def _lossy_codec(instance: Instance) -> str:
    """Return the codec of the first lossy stream; empty if none is lossy."""
    return next((stream.codec for stream in instance.streams if stream.is_lossy), "")


def _method(instance: Instance) -> str:
    """Return Lossy Image Compression Method (0028,2114): of the stream, but of JPEG 2000 Part 2 by transfer syntax."""
    method = _METHODS.get(instance.transfer_syntax_uid, "")
    return method if method == "ISO_15444_2" else _CODEC_METHODS.get(_lossy_codec(instance), method)


def _compression(instance: Instance) -> str:
    """Return the name of a lossy compression: its transfer syntax, with the codec if that syntax is lossless."""
    name = syntaxes.name(instance.transfer_syntax_uid)
    return name if not is_lossless(instance.transfer_syntax_uid) else f"lossy {_lossy_codec(instance)} in {name}"


def _ratio(source: Header, instance: Instance) -> str:
    """Return Lossy Image Compression Ratio (0028,2112): native bytes divided by compressed bytes."""
    value = source.raw(tags.PIXEL_DATA) or b""
    sizes = [end - start - 8 for start, end in items(value, 0, len(value), implicit_vr=False)]
    return f"{view.frame_bits(instance) * instance.frames / 8 / max(1, sum(sizes[1:])):.4g}"


def complete_instance(
    source: Header,
    changes: Edits,
    written: Sequence[Written] | None,
    instance: Instance,
    carriage: Carriage,
    transfer_syntax: str,
    values: Values | None = None,
) -> list[Bytes] | None:
    """Return a written instance as a DICOM file in parts: the source's header with its edits, and its pixels.

    Parameters
    ----------
    source
        Header of the source.
    changes
        To it.
    written
        Planes that ITK wrote; ``None`` keeps Pixel Data as it stands.
    instance, carriage
        The source, and how its pixels are carried.
    transfer_syntax
        Key of :data:`itk_roundtrip.carry.compression.UIDS`; empty for that of the source, uncompressed.
    values
        Processed values that the words stand for; ``None`` if the pixels must be those of the source.

    Returns
    -------
    list
        ``None`` if ITK wrote other values than an uncompressed source holds.

    Raises
    ------
    UnsupportedSeriesError
        It cannot be written in this transfer syntax.
    """
    pixel_data = None
    if written is not None:
        words = [plane.words for plane in written if plane.words is not None]
        are_of_source = all(plane.is_source for plane in written)
        if len(words) < len(written) and not are_of_source:
            return None
        native: Bytes
        if are_of_source:
            native = source.view(tags.PIXEL_DATA)
            if len(native) % 2:
                native = even(bytes(native))
        elif values is not None and values.new_slice is not None:
            instance = replace(instance, rows=values.new_slice.rows, columns=values.new_slice.columns)
            native = even(carriage.to_native(np.stack(words)).tobytes())
        elif values is not None:
            native = _processed_value(source, np.stack(words), carriage)
        elif source.encapsulated:
            native = native_value(carriage.stored(np.stack(words)), carriage, carriage.seen)
        else:
            return None
        if values is not None:
            carriage = replace(carriage, pixel_format=values.grids[0].pixel_format)
        if compression.is_compressed(transfer_syntax):
            pixel_data = _compressed(bytes(native), instance, carriage, transfer_syntax)
        else:
            pixel_data = PixelData(native, carriage.pixel_format.bits_allocated)
    elif transfer_syntax and source.encapsulated and compression.UIDS[transfer_syntax] != source.transfer_syntax_uid:
        raise UnsupportedSeriesError(
            f"{instance.name} keeps its compressed pixels ({carriage.reason}), so that it cannot be written in another"
            " transfer syntax.",
            path=instance.name,
        )
    elif compression.is_compressed(transfer_syntax) and not source.encapsulated:
        raise UnsupportedSeriesError(
            f"{instance.name} keeps its uncompressed pixels ({carriage.reason}), which are not compressed.",
            path=instance.name,
        )
    changed = pixel_data is not None and pixel_data.transfer_syntax_uid != source.transfer_syntax_uid
    if changed and (tag := nested_pixels(source)):
        raise UnsupportedSeriesError(
            f"{instance.name} holds compressed pixels inside a sequence, such as an icon, which cannot stand in another"
            " transfer syntax.",
            path=instance.name,
            tag=tag_text(tag),
        )
    explicit = compression.is_compressed(transfer_syntax) or transfer_syntax == "explicit"
    target = transcoded(source, implicit_vr=not explicit, name=instance.name) if transfer_syntax else source
    return complete(target, changes, pixel_data, instance.name)


def _processed_value(source: Header, words: Array, carriage: Carriage) -> bytes:
    """Return the value of native Pixel Data of processed words; that of the source, with its padding, if it holds them.

    Parameters
    ----------
    source, carriage
        Header of the source, and how its pixels are carried.
    words
        Pixel words of all frames, shape (frames, rows, columns), samples behind.
    """
    if not source.encapsulated:
        value = source.raw(tags.PIXEL_DATA) or b""
        if words.dtype == carriage.pixel_format.dtype and np.array_equal(
            carriage.from_native(value, words.shape), words
        ):
            return even(value)
    return even(carriage.to_native(words).tobytes())


def native_value(pixels: Array, carriage: Carriage, pixel_format: PixelFormat) -> bytes:
    """Return the value of native Pixel Data (PS3.5 8.1) of stored values, whoever made them.

    Parameters
    ----------
    pixels
        Stored values of all frames, shape (frames, rows, columns), samples behind.
    carriage
        Of the instance, whose kind says how Pixel Data hold them: bits packed, colours by plane.
    pixel_format
        To which the values are cut, and by which they stand in their words. ITK's whole words are stored values of the
        format that ITK was shown.
    """
    words = masked(pixels, replace(pixel_format, high_bit=None))
    if pixel_format.bits_below:
        words = np.left_shift(words, pixel_format.bits_below)
    return even(carriage.to_native(words).tobytes())


def _compressed(native: bytes, instance: Instance, carriage: Carriage, transfer_syntax: str) -> PixelData:
    """Return native Pixel Data compressed frame by frame; each stream is decoded again by another library."""
    pixel_format, rows, columns = carriage.pixel_format, instance.rows or 0, instance.columns or 0
    samples = [pixel_format.samples] if pixel_format.samples > 1 else []
    frames = carriage.from_native(native, (instance.frames, rows, columns, *samples))
    together, streams = max(1, _CHECKED_BYTES // frames[0].nbytes), []
    for start in range(0, instance.frames, together):
        words = frames[start : start + together]
        values = words if transfer_syntax == "rle" else masked(words, pixel_format)
        of_frames = [
            compression.compressed(frame, pixel_format, transfer_syntax, instance.name, carriage.photometric)
            for frame in values
        ]
        compression.check_streams(of_frames, values, pixel_format, transfer_syntax, instance.name)
        streams += of_frames
    return PixelData(encapsulated(streams), pixel_format.bits_allocated, compression.UIDS[transfer_syntax])


_CHECKED_BYTES = 8 << 20
"""Bytes of the frames whose streams are decoded again together."""


class DecodedFile:
    """Stored values of the source file that was decoded last, by another decoder than ITK's."""

    def __init__(self) -> None:
        self._name, self._frames = "", np.empty(0)

    def frames(self, instance: Instance) -> Array:
        """Return the stored values of all frames, shape (frames, rows, columns, samples).

        Raises
        ------
        UndecodableError
            Nothing else decodes them.
        """
        if self._name != instance.name:
            self._frames, self._name = stored_values(pixels_of(read_file(instance.path)))[0], instance.name
        return self._frames


def check_decoded(plane: Plane, words: Array, decoded: DecodedFile) -> None:
    """Refuse to process compressed pixels that ITK decodes to other values than another decoder.

    Parameters
    ----------
    plane, words
        A plane, and its pixel words as ITK decoded them.
    decoded
        For the other decoder.

    Raises
    ------
    UnsupportedSeriesError
        The values differ, or nothing else decodes them, so that nothing proves what was processed.
    """
    instance, pixel_format = plane.instance, plane.carriage.pixel_format
    reason = "another decoder reads other values than ITK does"
    try:
        expected = decoded.frames(instance)[plane.frame or 0]
    except UndecodableError:
        reason, differs = "no other decoder reads it", True
    else:
        values = masked(words, pixel_format).astype(np.float64).reshape(expected.shape)
        allowed = decoder_difference(instance.photometric_interpretation) if instance.is_lossy else 0
        differs = bool(np.abs(values - expected).max(initial=0) > allowed)
    if differs:
        raise UnsupportedSeriesError(
            f"{instance.name} is compressed and {reason}, so that nothing proves what would be processed.",
            path=instance.name,
            tag="(7FE0,0010)",
        )


def check_decodes(instance: Instance, source: Header, folder: Path, backend: Backend | None) -> None:
    """Refuse compressed pixels that are to be kept and are damaged: what should decode them does not.

    Parameters
    ----------
    instance, source
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
    carriage = kinds.carriage(instance, "derived")
    if carriage.path != "source" and backend is not None:
        carriages, pixel_type = reader.plan_pixel_type({instance.name: carriage})
        planes = view.planes([instance], carriages)
        try:
            for plane in planes:  # each alone: its pixels are not needed
                files = view.files_to_read([plane], {instance.name: source}, Hiding.ALL_BUT_PIXELS, folder)
                reader.read_planes([plane], files, pixel_type, Series("", (instance,), folder), backend)
            return
        except SeriesReadError:
            pass
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    try:
        stored_values(pixels_of(read_file(instance.path)))
    except UndecodableError as error:
        if carriage.path == "source" and not error.damaged:
            return  # nothing here can, which is no fault of theirs
        raise SeriesReadError(
            f"{instance.name} is damaged: its compressed pixels cannot be decoded.",
            path=instance.name,
            tag="(7FE0,0010)",
        ) from None
