"""Read a series into a volume with ITK, after refusing by name what is not carried."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pydicom import uid

from itk_roundtrip import _itk, view
from itk_roundtrip.errors import SeriesReadError, SeriesWriteError, UnsupportedSeriesError
from itk_roundtrip.headers import read_header
from itk_roundtrip.pixels import PixelFormat, PixelType, choose_pixel_type, uninverted
from itk_roundtrip.rules import LOSSLESS_TRANSFER_SYNTAXES
from itk_roundtrip.series import Instance, Series
from itk_roundtrip.view import Hiding
from itk_roundtrip.volume import Volume

UNCOMPRESSED_TRANSFER_SYNTAXES = frozenset({
    uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
})  # fmt: skip


def _transfer_syntax(one: Instance) -> str:
    syntax = uid.UID(one.transfer_syntax_uid)
    if syntax in UNCOMPRESSED_TRANSFER_SYNTAXES or syntax in LOSSLESS_TRANSFER_SYNTAXES:
        return ""
    if syntax.is_transfer_syntax and not syntax.is_private and syntax.is_compressed:
        return f"is compressed with a transfer syntax that may lose information ({syntax.name})"
    return "has a transfer syntax that is not known" + (f" ({syntax})" if syntax else "")


def _frames(one: Instance) -> str:
    if one.enhanced or one.number_of_frames not in ("", "1", "01", "0"):
        return "is a multi-frame or enhanced instance"
    return ""


def _bits(one: Instance) -> str:
    allocated, stored, high = one.bits_allocated, one.bits_stored, one.high_bit
    if allocated not in (8, 16):
        return f"has {allocated} bits allocated" if allocated else "does not say how many bits a pixel has"
    if stored is None or not 1 <= stored <= allocated:
        return (
            f"says that {stored} of {allocated} bits are stored" if stored else "does not say how many bits are stored"
        )
    if high != stored - 1:
        return f"has High Bit {high} with {stored} bits stored"
    return "has no valid Pixel Representation" if one.pixel_representation not in (0, 1) else ""


def _photometric(one: Instance) -> str:
    name = one.photometric_interpretation
    if name in ("MONOCHROME1", "MONOCHROME2"):
        return "" if one.samples_per_pixel in (None, 1) else f"has {one.samples_per_pixel} samples per pixel"
    if name == "PALETTE COLOR":
        return "is a palette image (PALETTE COLOR)"
    return f"is a colour image ({name})" if name else "has no Photometric Interpretation"


def _rescale(one: Instance) -> str:
    for text, keyword in ((one.rescale_slope, "Slope"), (one.rescale_intercept, "Intercept")):
        if text and number(text) is None:
            return f"has a Rescale {keyword} that is not a number"
    return ""


_REFUSALS: tuple[Callable[[Instance], str], ...] = (
    lambda one: "" if one.pixel_data else "holds no pixel data",
    lambda one: "" if one.pixel_data == "integer" else f"holds {one.pixel_data} pixel data",
    _transfer_syntax,
    _frames,
    _photometric,
    _bits,
    lambda one: "" if one.rows and one.columns else "does not say how many rows and columns it has",
    lambda one: "has an overlay embedded in its pixel words" if one.embedded_overlay else "",
    _rescale,
)
"""What each instance must not be, in the order in which it is said."""


def check_supported(series: Series) -> None:
    """Refuse a series that is not carried: damaged, contradictory, or of a kind that is left out so far.

    Raises
    ------
    SeriesReadError
        A file is truncated, or two files have one SOP Instance UID.
    UnsupportedSeriesError
        A kind of image that is not carried.
    """
    for one in series.instances:
        for refusal in _REFUSALS:
            if reason := refusal(one):
                raise UnsupportedSeriesError(
                    f"{one.name} {reason}, which is not carried.", path=one.name, series=series.series_instance_uid
                )
        if one.truncated:
            raise SeriesReadError(f"{one.name} is truncated: it ends before its pixels do.", path=one.name)
    first = series.instances[0]
    seen: dict[str, Instance] = {}
    for one in series.instances:
        other = seen.setdefault(one.sop_instance_uid, one) if one.sop_instance_uid else one
        if other is not one:
            raise SeriesReadError(
                f"{other.name} and {one.name} have one SOP Instance UID; remove one of them.", path=one.name
            )
        if (one.rows, one.columns) != (first.rows, first.columns):
            raise UnsupportedSeriesError(
                f"{one.name} has {one.columns}x{one.rows} pixels and {first.name} has {first.columns}x{first.rows};"
                " mixed sizes within a series are not carried.",
                path=one.name,
                series=series.series_instance_uid,
            )
        if one.pixel_format != first.pixel_format:
            raise UnsupportedSeriesError(
                f"{one.name} and {first.name} differ in their pixel format; mixed formats within a series are not"
                " carried.",
                path=one.name,
                series=series.series_instance_uid,
            )


def number(text: str) -> float | None:
    """Return the number that a DS text holds; ``None`` if it is empty or no finite number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def pixel_formats(series: Series) -> dict[str, PixelFormat]:
    """Return how each slice of a supported series stores its values, by the name of its file."""
    return {
        one.name: PixelFormat(
            bits_allocated=one.bits_allocated or 0,
            bits_stored=one.bits_stored or 0,
            signed=one.pixel_representation == 1,
            monochrome1=one.photometric_interpretation == "MONOCHROME1",
            slope=number(one.rescale_slope),
            intercept=number(one.rescale_intercept),
        )
        for one in series.instances
    }


def plan_pixels(
    formats: Mapping[str, PixelFormat],
) -> tuple[dict[str, tuple[PixelFormat, PixelFormat]], PixelType]:
    """Return each slice's format, as it is and as ITK is to be shown it, and the pixel type of the series.

    Where no pixel type carries the real values exactly, slope and intercept are hidden from ITK.
    """
    for hide_rescale in (False, True):
        planned = {name: (one, view.seen_format(one, hide_rescale=hide_rescale)) for name, one in formats.items()}
        pixel_type = choose_pixel_type(seen for _, seen in planned.values())
        if pixel_type is not None:
            return planned, pixel_type
    raise AssertionError("stored values of 16 bits fit a double")


def read_slices(
    series: Series,
    file_names: Sequence[str],
    pixel_type: PixelType,
    formats: tuple[PixelFormat, ...],
    *,
    undo_inversion: bool = True,
) -> Volume:
    """Read files that show the slices of ``series`` to ITK.

    Parameters
    ----------
    series
        The sources of the slices, in slice order.
    file_names
        What ITK reads, one per slice.
    pixel_type
        Of the image.
    formats
        How each file stores its values.
    undo_inversion
        Make the real values of MONOCHROME1 right; ITK alone inverts them.

    Raises
    ------
    SeriesReadError
        ITK cannot read them.
    """
    names = series.instances[0].name + (f" to {series.instances[-1].name}" if len(series.instances) > 1 else "")
    with _itk.translated(SeriesReadError, f"ITK cannot read {names}", path=series.instances[0].name):
        image, metadata = _itk.read_series(file_names, pixel_type)
    array_zyx = _itk.array_view(image, pixel_type)
    first = series.instances[0]
    shape = len(file_names), first.rows or 0, first.columns or 0
    if array_zyx.size == shape[0] * shape[1] * shape[2]:
        array_zyx = array_zyx.reshape(shape)  # ITK stacks slices of one row along the rows
    if len(metadata) != len(file_names) or array_zyx.shape != shape:
        raise SeriesReadError(f"ITK read another number of slices or pixels than {names} hold.", path=first.name)
    for index, one in enumerate(formats):
        if one.monochrome1 and undo_inversion:
            array_zyx[index] = uninverted(array_zyx[index], one)
    return Volume(image, array_zyx, metadata, series, pixel_type, formats)


def read_series(series: Series) -> Volume:
    """Read a series into a volume with ITK's ImageSeriesReader and GDCMImageIO, in this process.

    The pixel type is the first of UC, SS, US, F, D through which every stored value of every slice comes back
    exactly by its own slope and intercept. Slices stand in the order of ``series.instances``; an irregular series is
    read slice by slice all the same, so look at ``series.irregularities`` before treating it as a regular grid.

    Parameters
    ----------
    series
        One of those that :func:`find_series` returns.

    Raises
    ------
    UnsupportedSeriesError
        A kind of image that is not carried.
    SeriesReadError
        A file is damaged or ITK cannot decode it.

    References
    ----------
    DICOM PS3.3 C.7.6.2 Image Plane Module, C.11.1 Modality LUT Module
    """
    check_supported(series)
    planned, pixel_type = plan_pixels(pixel_formats(series))
    seen = tuple(planned[one.name][1] for one in series.instances)
    for hiding in Hiding:
        with tempfile.TemporaryDirectory(prefix="itk-roundtrip-") as folder:
            files = [
                view.file_to_read(
                    one,
                    partial(read_header, one.path, one.name),
                    planned[one.name],
                    hiding,
                    Path(folder) / f"{index}.dcm",
                )
                for index, one in enumerate(series.instances)
            ]
            try:
                volume = read_slices(series, [str(file) for file in files], pixel_type, seen)
                return replace(volume, as_read=_itk.copies(volume.metadata))
            except SeriesReadError:
                if hiding is Hiding.ALL_BUT_PIXELS:
                    raise
    raise AssertionError


def check_metadata(volume: Volume) -> None:
    """Refuse edits of the metadata dictionaries, which the completed headers would hide.

    Raises
    ------
    SeriesWriteError
        A metadata dictionary is not as it was read.
    """
    for one, now, before in zip(volume.series.instances, volume.metadata, volume.as_read, strict=True):
        key = _itk.first_difference(now, before)
        if key is not None:
            raise SeriesWriteError(
                f"The metadata of {one.name} were edited ({key}), which is not carried: headers come from the source.",
                path=one.name,
                tag=f"({key.upper().replace('|', ',')})",
            )
