"""Data sets read by pydicom, also from files whose transfer syntax is wrong or whose elements are irregular."""

from __future__ import annotations

import mmap
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

import pydicom
from pydicom import uid
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.filereader import data_element_generator, read_dataset

from itk_roundtrip import syntaxes, tags
from itk_roundtrip.dicom.elements import ElementError
from itk_roundtrip.dicom.encoding import UNDEFINED_LENGTH
from itk_roundtrip.dicom.parsing import KnownDataset, Mapped, data_set, mapped, parse
from itk_roundtrip.dicom.part10 import Opening, opening
from itk_roundtrip.dicom.regular import (
    IrregularError,
    are_fragments,
    has_unknown_vrs,
    laid_out,
    regularised,
    stands_in_data_sets,
)
from itk_roundtrip.dicom.values import frame_count

_PIXELS = (tags.PIXEL_DATA, tags.FLOAT_PIXEL_DATA, tags.DOUBLE_FLOAT_PIXEL_DATA)


def read_file(path: Path, like: FileDataset | None = None) -> FileDataset:
    """Read a file as :func:`read` does."""
    with mapped(path) as stream:
        return read(stream, like)


def read_without_pixels(path: Path) -> FileDataset:
    """Read a file as :func:`read_regular` does, and leave its pixels out."""
    dataset = read_regular(path)
    for tag in _PIXELS:
        dataset.pop(tag, None)
    dataset.buffer = None  # the closed file, which does not pickle
    dataset.filename = str(path)
    return dataset


def read_regular(path: Path) -> FileDataset:
    """Read a file as :func:`read` does, and put irregular elements inside its sequences right as well.

    The data set may be changed.
    """
    with mapped(path) as stream:
        try:
            return _read_irregular(stream, opening(stream))
        except IrregularError:
            return _read_with_pydicom(stream, opening(stream))


def read(stream: Mapped, like: FileDataset | None = None) -> FileDataset:
    """Read a data set in the encoding that it really has, whatever its File Meta Information says.

    Elements of an unknown VR get that of the dictionary, or UN; those that may not stand in a data set are left out.

    Parameters
    ----------
    stream
        The file.
    like
        Data set that may have many elements in common, which are taken from it.

    Raises
    ------
    Exception
        Of any class, if the data set cannot be read.
    """
    begins = opening(stream)
    try:
        return _read_regular(stream, begins, like)
    except ElementError:
        return _read_with_pydicom(stream, begins)


def _read_regular(stream: Mapped, begins: Opening, like: FileDataset | None) -> KnownDataset:
    """Read a file in which nothing is irregular.

    Raises
    ------
    ElementError
        Something is.
    """
    syntax = begins.transfer_syntax_uid
    if begins.note or begins.deflated or not begins.little_endian or not syntaxes.is_known(syntax):
        raise ElementError(begins.start, "the data set is not encoded as it says")
    data = stream.behind(begins.start)
    others = [like.undecoded] if isinstance(like, KnownDataset) else []
    places, elements = parse(data, begins.encoding, encapsulated=syntaxes.is_encapsulated(syntax), like=others)
    dataset = data_set(elements, data, implicit_vr=begins.implicit, beginning=stream[: begins.start])
    dataset.places = places
    mended = _mended_fragments(dataset, begins)
    return dataset if mended is None else dataset.with_value(tags.PIXEL_DATA, mended)


def _read_with_pydicom(stream: mmap.mmap, begins: Opening) -> FileDataset:
    """Read a file with pydicom, or the regular data set that its irregular bytes stand for."""
    try:
        dataset = _read(stream, begins)
        if not any(tag in dataset for tag in _PIXELS):
            _check_end(stream, begins)
        has_odd_vrs = not begins.implicit and has_unknown_vrs(dict(dataset.items()))
    except Exception as error:  # whatever pydicom meets in irregular bytes
        try:
            dataset = _read_irregular(stream, begins)
        except IrregularError:
            raise error from None
    else:
        if has_odd_vrs or (syntaxes.is_encapsulated(begins.transfer_syntax_uid) and _lacks_fragments(dataset)):
            with suppress(IrregularError):
                dataset = _read_irregular(stream, begins)
    for tag in [tag for tag, _ in dataset.items() if not stands_in_data_sets(tag)]:
        del dataset[tag]
    mended = _mended_fragments(dataset, begins)
    if mended is not None:
        element = cast(RawDataElement, dataset.get_item(tags.PIXEL_DATA))
        dataset[element.tag] = element._replace(value=mended, length=UNDEFINED_LENGTH)
    return dataset


def _lacks_fragments(dataset: FileDataset) -> bool:
    """Tell whether Pixel Data is there and holds no fragments; pydicom only looks for the delimiter behind them."""
    element = dataset.get_item(tags.PIXEL_DATA) if tags.PIXEL_DATA in dataset else None
    return isinstance(element, RawDataElement) and (
        element.length != UNDEFINED_LENGTH or not are_fragments(element.value or b"")
    )


def _read(stream: mmap.mmap, begins: Opening) -> FileDataset:
    if not begins.note and (not begins.deflated or begins.claimed == uid.DeflatedExplicitVRLittleEndian):
        stream.seek(0)
        return pydicom.dcmread(cast(BinaryIO, stream))
    elements: Any = stream
    elements.seek(begins.start)
    if begins.deflated:
        elements = BytesIO(zlib.decompress(stream[begins.start :], -zlib.MAX_WBITS))
    return _read_elements(elements, begins)


def _check_end(stream: mmap.mmap, begins: Opening) -> None:
    """Raise ``EOFError`` if a data set ends inside an element, where pydicom returns the elements before it."""
    if not begins.deflated:
        stream.seek(begins.start)
        elements: Any = stream
        for element in data_element_generator(elements, begins.implicit, begins.little_endian):
            if isinstance(element, RawDataElement) and len(element.value or b"") < element.length != UNDEFINED_LENGTH:
                raise EOFError("an element ends behind its data set")


def _read_irregular(stream: mmap.mmap, begins: Opening) -> FileDataset:
    """Read the regular data set that irregular bytes stand for; ``IrregularError`` if they are regular or damaged."""
    data = stream[begins.start :]
    if begins.deflated:
        data = zlib.decompress(data, -zlib.MAX_WBITS)
    data = regularised(begins, data).data
    if begins.note or begins.deflated:
        return _read_elements(BytesIO(data), begins)
    return pydicom.dcmread(BytesIO(stream[: begins.start] + data))  # with its File Meta Information


def _read_elements(stream: Any, begins: Opening) -> FileDataset:
    dataset = read_dataset(stream, begins.implicit, begins.little_endian)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = uid.UID(begins.transfer_syntax_uid)
    return FileDataset(
        "", dataset, file_meta=meta, is_implicit_VR=begins.implicit, is_little_endian=begins.little_endian
    )


def _mended_fragments(dataset: FileDataset, begins: Opening) -> bytes | None:
    """Return encapsulated pixels with a Basic Offset Table that tells the frames apart; ``None`` if theirs does."""
    if not syntaxes.is_encapsulated(begins.transfer_syntax_uid) or tags.EXTENDED_OFFSET_TABLE in dataset:
        return None
    element = dataset.get_item(tags.PIXEL_DATA) if tags.PIXEL_DATA in dataset else None
    if not isinstance(element, RawDataElement) or not element.value:
        return None
    frames = dataset.get_item(tags.NUMBER_OF_FRAMES) if tags.NUMBER_OF_FRAMES in dataset else None
    count = frame_count(frames.value if isinstance(frames, RawDataElement) else None)
    mended = laid_out(element.value, count)
    return None if mended == element.value else mended
