"""Image files of other programs, read and written with ITK: NRRD, NIfTI, MetaImage, and whatever else ITK reads.

To be called in a worker process, which ITK may end. Where ITK would give other pixels than the file holds without a
word, the file is looked at here first.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from itk_roundtrip.arguments import IMAGE_FORMATS
from itk_roundtrip.errors import ImageError, RoundtripError, SeriesWriteError
from itk_roundtrip.folders import temporary_folder
from itk_roundtrip.itk_io import _itk, _simpleitk
from itk_roundtrip.itk_io.calls import translated
from itk_roundtrip.pixels.formats import Array, PixelType
from itk_roundtrip.series.lattice import Lattice
from itk_roundtrip.words import posix

_SINGLE_PRECISION = frozenset({"NiftiImageIO", "MRCImageIO", "GiplImageIO"})
"""ImageIOs of formats that hold the geometry in numbers of 32 bits."""
_NIFTI_FLOATS = {16: "f4", 64: "f8", 32: "f4", 1792: "f8"}
"""Numpy type of the numbers of NIfTI's data types float and complex."""
_NIFTI_HEADER = 348
"""Bytes of the header of a NIfTI-1 file."""
_CHUNK = 1 << 24


@dataclass(frozen=True)
class ImageData:
    """What an image holds, wherever it comes from.

    Attributes
    ----------
    array
        Its pixels, shape ([slices,] rows, columns), components behind.
    lattice
        Where they lie; ``None`` for an array, which does not say it.
    single_precision
        The lattice was stored in numbers of 32 bits.
    """

    array: Array
    lattice: Lattice | None
    single_precision: bool = False


def prepare(*_: str) -> None:
    """Import what reading and writing files needs."""
    _simpleitk.load()


def read_file(file: Path) -> ImageData:
    """Read an image file with ITK.

    Raises
    ------
    ImageError
        ITK does not read it, or would read other pixels than it holds.
    """
    path = posix(file)
    with translated(ImageError, f"{path} cannot be read as an image", path=path):
        image_io = _simpleitk.image_io_of(file)
        if image_io == "NiftiImageIO":
            _check_nifti(file)
            # Beside `a.nii`, ITK reads its pixels for those of `a.nii.gz`.
            with temporary_folder() as folder:
                link = Path(folder, f"image{'.nii.gz' if file.name.lower().endswith('.gz') else '.nii'}")
                link.symlink_to(file.absolute())
                image = _simpleitk.read_file(link, image_io)
        else:
            image = _simpleitk.read_file(file, image_io)
        array = _simpleitk.pixels(image)
    if image_io == "MetaImageIO":
        _check_meta_image(file, array.nbytes)
    return ImageData(array, _simpleitk.lattice(image), image_io in _SINGLE_PRECISION)


def read_file_to(file: Path, target: Path) -> ImageData:
    """Read an image file and save its pixels as ``target``, a file of numpy; return the rest of it."""
    data = read_file(file)
    save(data.array, target)
    return ImageData(np.empty(0), data.lattice, data.single_precision)


def save(array: Array, target: Path) -> None:
    """Save an array as a temporary file of numpy.

    Raises
    ------
    RoundtripError
        The system refuses it.
    """
    try:
        np.save(target, array)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise RoundtripError(f"The folder for temporary files takes no image ({reason}).") from None


def write_file(file: Path, array_zyx: Array, pixel_type: PixelType, geometry: Sequence[float]) -> None:
    """Write an image to a file with ITK: pixels and geometry, nothing else.

    Parameters
    ----------
    file
        With one of the extensions of :data:`itk_roundtrip.arguments.IMAGE_FORMATS`.
    array_zyx, pixel_type
        The pixels.
    geometry
        Origin, spacing and, row by row, direction, in mm and LPS.

    Raises
    ------
    SeriesWriteError
        ITK or the disk did not take it.
    """
    is_nifti = IMAGE_FORMATS[_extension(file)] == "NIfTI"
    if is_nifti and pixel_type == "RGBUS" and len(array_zyx) == 1:
        # ITK reads vectors of one slice as an image of two dimensions, its place lost.
        raise SeriesWriteError("NIfTI takes no single slice of 16-bit colours; write NRRD or MetaImage.")
    # SimpleITK writes vectors, for which NIfTI has a fifth dimension; its RGB24 is what viewers expect.
    module = _itk if is_nifti and pixel_type == "RGBUC" else _simpleitk
    with translated(SeriesWriteError, "ITK cannot write the file"):
        module.write_file(module.copy_of(array_zyx, pixel_type, geometry), file)


# ------------------------------------------------------------------------------------------------------------- checks


def _extension(file: Path) -> str:
    """Return the extension of a file that is written."""
    return next(known for known in IMAGE_FORMATS if file.name.endswith(known))


def _check_nifti(file: Path) -> None:
    """Refuse a NIfTI file whose pixels ITK would replace.

    ITK reads NaN and infinity as 0, and what a file that ends early does not hold as anything.
    """
    if not file.name.lower().endswith((".nii", ".nii.gz")):
        raise _refused(file, "is one of two files; write the image as one, such as .nii.gz or .nrrd")
    try:
        with file.open("rb") as raw:
            is_compressed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(file) if is_compressed else file.open("rb") as stream:
            start, size, dtype = _nifti_data(stream.read(_NIFTI_HEADER))
            for chunk in _chunks(stream, start, size):
                if dtype is not None and not np.isfinite(np.frombuffer(chunk, dtype)).all():
                    raise _refused(file, "holds NaN or infinity, which ITK reads as 0; write it as NRRD or MetaImage")
    except (EOFError, struct.error, gzip.BadGzipFile, zlib.error):
        raise _refused(file, "is damaged or ends before its pixels do") from None


def _nifti_data(header: bytes) -> tuple[int, int, np.dtype[Any] | None]:
    """Return where the pixels of a NIfTI file begin, their size in bytes, and their numpy type if they are float.

    References
    ----------
    NIfTI-1 Data Format, ``struct nifti_1_header``; ITK reads no NIfTI-2
    """
    order = "<" if header[:4] == struct.pack("<i", _NIFTI_HEADER) else ">"
    dimensions = struct.unpack(f"{order}8h", header[40:56])
    datatype, bits = struct.unpack(f"{order}hh", header[70:74])
    (start,) = struct.unpack(f"{order}f", header[108:112])
    size = math.prod(dimensions[1 : dimensions[0] + 1]) * bits // 8
    kind = _NIFTI_FLOATS.get(datatype)
    return max(int(start), _NIFTI_HEADER), size, None if kind is None else np.dtype(order + kind)


def _chunks(stream: IO[bytes] | gzip.GzipFile, start: int, size: int) -> Iterator[bytes]:
    """Yield ``size`` bytes of a stream from ``start`` on, in chunks; those behind them are read to check a checksum."""
    stream.seek(start)
    while size > 0:
        chunk = b""
        while len(chunk) < min(size, _CHUNK):
            part = stream.read(min(size, _CHUNK) - len(chunk))
            if not part:
                raise EOFError
            chunk += part
        size -= len(chunk)
        yield chunk
    while stream.read(_CHUNK):
        pass


def _check_meta_image(file: Path, size: int) -> None:
    """Refuse a MetaImage file whose compressed pixels are damaged, of which ITK makes others."""
    fields: dict[str, str] = {}
    with file.open("rb") as stream:
        while "ElementDataFile" not in fields and (line := stream.readline(1 << 16)):
            name, _, value = line.decode("latin-1").partition("=")
            fields[name.strip()] = value.strip()
        if fields.get("CompressedData", "").lower() not in ("true", "1"):
            return
        data_file = fields.get("ElementDataFile", "")
        if data_file != "LOCAL":
            raise _refused(file, "has its compressed pixels in another file; write the image as one, such as .mha")
        decompressor, count = zlib.decompressobj(), 0
        try:
            while chunk := stream.read(_CHUNK):
                count += len(decompressor.decompress(chunk))
        except zlib.error:
            count = -1
    if count != size or not decompressor.eof:
        raise _refused(file, "is damaged: its pixels cannot be decompressed")


def _refused(file: Path, reason: str) -> ImageError:
    return ImageError(f"{posix(file)} {reason}.", path=posix(file))
