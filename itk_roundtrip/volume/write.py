"""Write the slices of a volume with ITK."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from itk_roundtrip.errors import SeriesWriteError
from itk_roundtrip.itk_io.calls import translated
from itk_roundtrip.itk_io.front_ends import front_end
from itk_roundtrip.pixels.formats import DTYPES, Array, PixelFormat, stored_values
from itk_roundtrip.series.geometry import Cosines, normal
from itk_roundtrip.volume.volume import Volume
from itk_roundtrip.words import counted

_RESCALE_KEYS: Mapping[str, str | None] = {"0028|1052": None, "0028|1053": None}


def stored_slices(volume: Volume) -> list[Array]:
    """Return the stored values of each slice, shape (rows, columns), in the format that ITK was shown."""
    return [
        stored_values(real, plane.carriage.seen) for real, plane in zip(volume.array_zyx, volume.planes, strict=True)
    ]


def write_slices(
    volume: Volume,
    file_names: Sequence[Path],
    edits: Sequence[Mapping[str, str | None]],
    stored: Sequence[Array] | None,
) -> None:
    """Write each slice with ImageSeriesWriter, its own metadata dictionary beside it.

    Parameters
    ----------
    volume
        With a metadata dictionary per slice, which is edited in place.
    file_names
        One per slice.
    edits
        To the metadata dictionary of each slice.
    stored
        Stored values to write as they are, Rescale Slope and Intercept left out: GDCM refuses many of them, and
        undoes them for some SOP Classes only. ``None`` leaves the real values to GDCM.

    Raises
    ------
    SeriesWriteError
        ITK or the disk did not take them.
    """
    if len(volume.metadata) != len(file_names):
        raise SeriesWriteError(
            f"{counted(len(volume.metadata), 'metadata dictionary', 'metadata dictionaries')} for"
            f" {counted(len(file_names), 'slice')}; nothing was written."
        )
    front = front_end(volume.backend, volume.pixel_type)
    for dictionary, changes in zip(volume.metadata, edits, strict=True):
        front.edit_dictionary(dictionary, changes)
    pixel_type, array_zyx = volume.pixel_type, volume.array_zyx
    if stored is not None:
        pixel_type = volume.planes[0].carriage.seen.stored_pixel_type
        array_zyx = np.stack(stored).astype(DTYPES[pixel_type], copy=False)
        for dictionary, plane in zip(volume.metadata, volume.planes, strict=True):
            front.edit_dictionary(dictionary, _RESCALE_KEYS)
            if pixel_type == "D":  # GDCM makes integers of them, of the type that the dictionary tells
                front.edit_dictionary(dictionary, _word_keys(plane.carriage.seen))
    names = [str(name) for name in file_names]
    try:
        with translated(SeriesWriteError, "ITK cannot write the slices"):
            front_end(volume.backend, pixel_type).write_series(
                array_zyx, pixel_type, volume.image, volume.metadata, names
            )
    except SeriesWriteError:
        check_disk(file_names[0].parent, array_zyx.nbytes)
        raise


def placed(volume: Volume, position: Sequence[float], orientation: Cosines, spacing: Sequence[float]) -> Volume:
    """Return a volume whose image lends another place to the slices that are written, of another size than its own.

    Parameters
    ----------
    volume
        The volume.
    position, orientation, spacing
        Image Position and Orientation (Patient) of the first slice, and Pixel Spacing, in mm.
    """
    front = front_end(volume.backend, volume.pixel_type)
    samples = volume.array_zyx.shape[3:]
    image = front.image_of(np.zeros((1, 1, 1, *samples), volume.array_zyx.dtype), volume.pixel_type, None)
    row, through = np.array(orientation[:3]), normal(orientation)
    row = row / np.linalg.norm(row)
    image.SetOrigin(list(position))
    image.SetSpacing([spacing[1], spacing[0], 1.0])
    front.set_direction(image, np.stack([row, np.cross(through, row), through], axis=1))
    return replace(volume, image=image)


def _word_keys(pixel_format: PixelFormat) -> dict[str, str | None]:
    """Return the dictionary entries of Bits Allocated, Bits Stored, High Bit and Pixel Representation."""
    high_bit = pixel_format.bits_stored - 1 if pixel_format.high_bit is None else pixel_format.high_bit
    numbers = pixel_format.bits_allocated, pixel_format.bits_stored, high_bit, int(pixel_format.signed)
    return {f"0028|01{element:02}": str(number) for element, number in enumerate(numbers)}


def check_disk(folder: Path, size: int) -> None:
    """Tell a full disk from other failures: try to write a file of ``size`` bytes.

    Raises
    ------
    SeriesWriteError
        It cannot be written, with the system's reason.
    """
    probe = folder / "probe"
    try:
        with probe.open("wb") as stream:
            for _ in range(0, size, 1 << 20):
                stream.write(bytes(1 << 20))
    except OSError as error:
        raise disk_error(error) from None
    finally:
        probe.unlink(missing_ok=True)


def disk_error(error: OSError) -> SeriesWriteError:
    """Return the error for a write that the system refused."""
    reason = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EFBIG: "a file-size limit is set",
    }.get(error.errno or 0, os.strerror(error.errno) if error.errno else "the system refused it")
    refusal = SeriesWriteError(f"The output cannot be written: {reason}.")
    refusal.errno = error.errno or 0
    return refusal
