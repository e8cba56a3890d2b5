"""A file as pydicom reads it, also one that says another encoding than it has, or that is not quite DICOM."""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

import pydicom
from pydicom import uid
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.filereader import data_element_generator, read_dataset

from itk_roundtrip import syntaxes, tags
from itk_roundtrip.dicom.part10 import Opening, opening
from itk_roundtrip.dicom.regular import (
    IrregularError,
    are_fragments,
    frame_count,
    has_unknown_vrs,
    laid_out,
    regular,
    stands_in_data_sets,
)

_PIXEL_DATA = tags.PIXEL_DATA
_PIXELS = (_PIXEL_DATA, tags.FLOAT_PIXEL_DATA, tags.DOUBLE_FLOAT_PIXEL_DATA)
_EXTENDED_TABLE = tags.EXTENDED_OFFSET_TABLE
_NUMBER_OF_FRAMES = tags.NUMBER_OF_FRAMES
_UNDEFINED = 0xFFFFFFFF


@contextmanager
def mapped(path: Path) -> Iterator[mmap.mmap]:
    """Map a file: pydicom asks a file for its position before every element."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:
        yield stream


def read_file(path: Path) -> FileDataset:
    """Read a file as :func:`read` does."""
    with mapped(path) as stream:
        return read(stream)


def read_regular(path: Path) -> FileDataset:
    """Read a file as :func:`read` does; what is irregular inside its sequences is put right as well."""
    with mapped(path) as stream:
        try:
            return _read_irregular(stream, opening(stream))
        except IrregularError:
            return read(stream)


def read(stream: mmap.mmap) -> FileDataset:
    """Read a data set as what it is, which a file need not say truly.

    Elements of a VR that nobody knows have that of the dictionary, or UN; what cannot stand in a data set is left out.

    Raises
    ------
    Exception
        Of whatever class, if it cannot be read.
    """
    begins = opening(stream)
    try:
        dataset = _read(stream, begins)
        if not any(tag in dataset for tag in _PIXELS):
            _check_end(stream, begins)
        odd = not begins.implicit and has_unknown_vrs(dict(dataset.items()))
    except Exception as error:  # whatever pydicom meets in irregular bytes
        try:
            dataset = _read_irregular(stream, begins)
        except IrregularError:
            raise error from None
    else:
        if odd or (syntaxes.is_encapsulated(begins.transfer_syntax_uid) and _holds_no_fragments(dataset)):
            with suppress(IrregularError):
                dataset = _read_irregular(stream, begins)
    for tag in [tag for tag, _ in dataset.items() if not stands_in_data_sets(tag)]:
        del dataset[tag]
    if syntaxes.is_encapsulated(begins.transfer_syntax_uid) and _EXTENDED_TABLE not in dataset:
        _lay_out(dataset)
    return dataset


def _holds_no_fragments(dataset: FileDataset) -> bool:
    """Tell whether Pixel Data is there, and is not encapsulated as it must be; pydicom only looks for its end."""
    element = dataset.get_item(_PIXEL_DATA) if _PIXEL_DATA in dataset else None
    return isinstance(element, RawDataElement) and (
        element.length != _UNDEFINED or not are_fragments(element.value or b"")
    )


def _read(stream: mmap.mmap, begins: Opening) -> FileDataset:
    if not begins.note and (not begins.deflated or begins.claimed == uid.DeflatedExplicitVRLittleEndian):
        stream.seek(0)
        return pydicom.dcmread(cast(BinaryIO, stream))
    start: Any = stream
    start.seek(begins.start)
    if begins.deflated:
        start = BytesIO(zlib.decompress(stream[begins.start :], -zlib.MAX_WBITS))
    return _read_elements(start, begins)


def _check_end(stream: mmap.mmap, begins: Opening) -> None:
    """Raise what pydicom does not raise where a data set ends early: it returns what stands before."""
    if not begins.deflated:
        stream.seek(begins.start)
        whole: Any = stream
        for element in data_element_generator(whole, begins.implicit, begins.little_endian):
            if isinstance(element, RawDataElement) and len(element.value or b"") < element.length != _UNDEFINED:
                raise EOFError("an element ends behind its data set")


def _read_irregular(stream: mmap.mmap, begins: Opening) -> FileDataset:
    data = stream[begins.start :]
    if begins.deflated:
        data = zlib.decompress(data, -zlib.MAX_WBITS)
    found = regular(
        data,
        implicit=begins.implicit,
        little_endian=begins.little_endian,
        encapsulated=syntaxes.is_encapsulated(begins.transfer_syntax_uid),
    )
    if not found.problems:
        raise IrregularError("nothing is irregular")
    if begins.note or begins.deflated:
        return _read_elements(BytesIO(found.data), begins)
    return pydicom.dcmread(BytesIO(stream[: begins.start] + found.data))  # with its File Meta Information


def _read_elements(stream: Any, begins: Opening) -> FileDataset:
    dataset = read_dataset(stream, begins.implicit, begins.little_endian)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = uid.UID(begins.transfer_syntax_uid)
    return FileDataset(
        "", dataset, file_meta=meta, is_implicit_VR=begins.implicit, is_little_endian=begins.little_endian
    )


def _lay_out(dataset: FileDataset) -> None:
    """Put the Basic Offset Table right, where it is not."""
    element = dataset.get_item(_PIXEL_DATA) if _PIXEL_DATA in dataset else None
    if not isinstance(element, RawDataElement) or not element.value:
        return
    frames = dataset.get_item(_NUMBER_OF_FRAMES) if _NUMBER_OF_FRAMES in dataset else None
    told = frames.value if isinstance(frames, RawDataElement) else None
    right = laid_out(element.value, frame_count(told))
    if right != element.value:
        dataset._dict[element.tag] = element._replace(value=right, length=0xFFFFFFFF)
