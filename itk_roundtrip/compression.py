"""Transfer syntaxes that a written file may have, and the lossless codecs that fill them.

ITK compresses with two codecs, pydicom with the others. What one library compressed another one must decode to the
same words before it is believed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.encoders.base import get_encoder

from itk_roundtrip import _simpleitk
from itk_roundtrip.errors import RoundtripError, SeriesWriteError, UnsupportedSeriesError
from itk_roundtrip.pixels import Array, PixelFormat

TransferSyntax = Literal["explicit", "implicit", "rle", "jpeg-lossless", "jpeg-ls", "jpeg2000"]
UIDS: dict[str, str] = {
    "explicit": str(uid.ExplicitVRLittleEndian),
    "implicit": str(uid.ImplicitVRLittleEndian),
    "rle": str(uid.RLELossless),
    "jpeg-lossless": str(uid.JPEGLosslessSV1),
    "jpeg-ls": str(uid.JPEGLSLossless),
    "jpeg2000": str(uid.JPEG2000Lossless),
}
_BY_ITK = ("jpeg-lossless", "jpeg2000")


def is_compressed(name: str) -> bool:
    """Tell whether the pixels of a transfer syntax are compressed."""
    return name not in ("", "explicit", "implicit")


def itk_compression(name: str, samples: int) -> str:
    """Return what ITK is to compress with; empty if it does not compress: GDCM takes no colours to JPEG 2000."""
    return name if name in _BY_ITK and (samples == 1 or name != "jpeg2000") else ""


def check_available(name: str) -> None:
    """Refuse a transfer syntax that no library here compresses to, or that no other library decodes.

    Raises
    ------
    RoundtripError
        A plug-in of pydicom is missing.
    """
    if name and name not in UIDS:
        raise RoundtripError(f"{name} is no transfer syntax; choose one of {', '.join(UIDS)}.")
    if is_compressed(name):
        syntax = uid.UID(UIDS[name])
        task, plugin = ("proves", get_decoder(syntax)) if name in _BY_ITK else ("makes", get_encoder(syntax))
        if not plugin.is_available:
            raise RoundtripError(
                f"Nothing here {task} pixels in {syntax.name}; install what does with"
                ' `pip install "itk-roundtrip[codecs]"`.'
            )


def check_format(name: str, pixel_format: PixelFormat, file_name: str) -> None:
    """Refuse pixels that a codec does not hold.

    Raises
    ------
    UnsupportedSeriesError
        It takes no such words.
    """
    allocated = pixel_format.bits_allocated
    if is_compressed(name) and (allocated == 1 or (allocated > 16 and name != "rle")):
        raise UnsupportedSeriesError(
            f"{file_name} has {allocated} bits allocated, which {uid.UID(UIDS[name]).name} is not written for.",
            path=file_name,
        )


def compressed(words: Array, pixel_format: PixelFormat, name: str) -> bytes:
    """Return one frame, shape (rows, columns), samples behind, compressed by pydicom.

    Raises
    ------
    SeriesWriteError
        The encoder does not take it.
    """
    samples = pixel_format.samples
    try:
        stream = get_encoder(uid.UID(UIDS[name])).encode(
            np.ascontiguousarray(words),
            rows=words.shape[0],
            columns=words.shape[1],
            samples_per_pixel=samples,
            number_of_frames=1,
            bits_allocated=pixel_format.bits_allocated,
            bits_stored=pixel_format.bits_allocated if name == "rle" else pixel_format.bits_stored,
            pixel_representation=int(pixel_format.signed),
            photometric_interpretation="RGB" if samples > 1 else "MONOCHROME2",
            planar_configuration=0 if samples > 1 else None,
        )
    except Exception:  # whatever an encoder meets
        raise SeriesWriteError(f"{uid.UID(UIDS[name]).name} does not take the pixels.") from None
    return bytes(stream)


def check_stream(stream: bytes, words: Array, pixel_format: PixelFormat, name: str, file_name: str) -> None:
    """Decode one compressed frame with the library that did not compress it, and compare all of its words.

    Raises
    ------
    SeriesWriteError
        It decodes to other words.
    """
    bare = _bare_dataset(stream, words, pixel_format, name)
    try:
        decoded = _by_pydicom(bare) if itk_compression(name, pixel_format.samples) else _by_simpleitk(bare)
        same = np.array_equal(decoded.reshape(words.shape).astype(words.dtype), words)
    except Exception:  # whatever a decoder meets
        same = False
    if not same:
        other = "pydicom" if itk_compression(name, pixel_format.samples) else "GDCM"
        raise SeriesWriteError(
            f"{file_name} cannot be written in {uid.UID(UIDS[name]).name}: {other} decodes it to other values.",
            path=file_name,
        )


def _bare_dataset(stream: bytes, words: Array, pixel_format: PixelFormat, name: str) -> Dataset:
    """Return a Secondary Capture that holds nothing but one compressed frame."""
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
    bare.PixelData = encapsulate([stream])
    bare["PixelData"].VR = "OB"
    return bare


def _by_pydicom(bare: Dataset) -> Array:
    decoder: Any = get_decoder(uid.UID(bare.file_meta.TransferSyntaxUID))
    array: Array = decoder.as_array(bare, raw=True)[0]
    return array


def _by_simpleitk(bare: Dataset) -> Array:
    with tempfile.TemporaryDirectory(prefix="itk-roundtrip-") as folder:
        file = Path(folder) / "pixels.dcm"
        bare.save_as(file, enforce_file_format=True)
        return _simpleitk.stored_values(file)
