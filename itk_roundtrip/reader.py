"""Read a series into a volume with ITK."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from itk_roundtrip import kinds, view
from itk_roundtrip.errors import (
    RoundtripError,
    SeriesReadError,
    SeriesWriteError,
    UnsupportedSeriesError,
    VerificationError,
)
from itk_roundtrip.front_ends import Backend, front_end
from itk_roundtrip.headers import Header, read_header
from itk_roundtrip.itk_calls import translated
from itk_roundtrip.kinds import Carriage
from itk_roundtrip.pixels import (
    Array,
    PixelType,
    choose_pixel_type,
    components,
    real_values,
    stored_values,
    uninverted,
)
from itk_roundtrip.series import Series
from itk_roundtrip.view import Hiding, Plane
from itk_roundtrip.volume import Volume


def plan_pixel_type(carried: dict[str, Carriage]) -> tuple[dict[str, Carriage], PixelType]:
    """Return how the instances of one shape are carried, and the pixel type that carries all of them exactly.

    Where no type carries the real values exactly, slope and intercept are hidden from ITK.
    """
    for planned in (carried, {name: kinds.without_rescale(one) for name, one in carried.items()}):
        pixel_type = choose_pixel_type(one.seen for one in planned.values())
        if pixel_type is not None:
            return planned, pixel_type
    raise AssertionError("stored values of 32 bits fit a double")


def read_planes(
    planes: Sequence[Plane],
    file_names: Sequence[Path],
    pixel_type: PixelType,
    series: Series,
    backend: Backend,
    *,
    undo_inversion: bool = True,
) -> Volume:
    """Read files that show planes to ITK.

    Parameters
    ----------
    planes
        In slice order, all of one size.
    file_names
        What ITK reads, one per plane.
    pixel_type
        Of the image.
    series
        Of the planes.
    backend
        Front end.
    undo_inversion
        Make the real values of MONOCHROME1 right; ITK alone inverts them.

    Raises
    ------
    SeriesReadError
        ITK cannot read them.
    """
    first, last = planes[0].instance, planes[-1].instance
    names = first.name + (f" to {last.name}" if last is not first else "")
    front = front_end(backend, pixel_type)
    with translated(SeriesReadError, f"ITK cannot read {names}", path=first.name):
        image, metadata = front.read_series([str(file) for file in file_names], pixel_type)
    array_zyx = front.array_view(image, pixel_type)
    samples = components(pixel_type)
    rows, extra_rows = first.rows or 0, planes[0].carriage.extra_rows
    shape = (len(file_names), rows + extra_rows, first.columns or 0, *([samples] if samples > 1 else []))
    if array_zyx.size == np.prod(shape):
        array_zyx = array_zyx.reshape(shape)  # ITK stacks slices of one row along the rows
    if len(metadata) != len(file_names) or array_zyx.shape != shape:
        raise SeriesReadError(f"ITK read another number of slices or pixels than {names} hold.", path=first.name)
    array_zyx = array_zyx[:, :rows]
    for index, plane in enumerate(planes):
        if plane.carriage.inverse == "MONOCHROME1" and undo_inversion:
            array_zyx[index] = uninverted(array_zyx[index], plane.carriage.seen)
    return Volume(
        image=image,
        array_zyx=array_zyx,
        metadata=metadata,
        series=series,
        pixel_type=pixel_type,
        planes=tuple(planes),
        backend=backend,
    )


def read_series(series: Series, *, volume: int | None = None, backend: Backend = "itk") -> Volume:
    """Read a series into a volume with ITK's ImageSeriesReader and GDCMImageIO, in this process.

    The pixel type is the first of UC, SS, US, F, D through which every stored value of every slice comes back
    exactly by its own slope and intercept; RGBUC or RGBUS for colour. Slices stand in the order of
    ``series.instances``, the frames of an instance in their own; an irregular series is read slice by slice all the
    same, so look at ``series.irregularities`` before treating it as a regular grid. Values are what the file stores:
    a palette image holds its indices, a YBR_FULL one Y, CB and CR.

    Parameters
    ----------
    series
        One of those that :func:`find_series` returns.
    volume
        Index of one of ``series.volumes``, where the series holds several: of several sizes or orientations, or taken
        at several times, echoes or b-values. ``None`` reads all of them as one stack, if they are of one size.
    backend
        ``itk``, or ``simpleitk``: then ``image`` is a ``SimpleITK.Image``.

    Raises
    ------
    UnsupportedSeriesError
        A kind of image that ITK does not read, or slices of several sizes in one stack.
    SeriesReadError
        A file is damaged or ITK cannot decode it.

    References
    ----------
    DICOM PS3.3 C.7.6.2 Image Plane Module, C.7.6.16 Multi-frame Functional Groups, C.11.1 Modality LUT Module
    """
    if volume is not None:
        if not 0 <= volume < len(series.volumes):
            raise RoundtripError(f"The series holds {len(series.volumes)} volumes, counted from 0; {volume} is none.")
        series = replace(series, instances=series.volumes[volume].instances)
    kinds.check_supported(series, "derived" if not any(one.concatenation_uid for one in series.instances) else "copy")
    carried = {one.name: kinds.carriage(one, "derived") for one in series.instances}
    _check_one_stack(series, carried)
    true_type = _true_pixel_type(carried)
    carried, pixel_type = plan_pixel_type(carried)
    planes = view.planes(series.instances, carried)
    headers = {one.name: read_header(one.path, one.name) for one in series.instances}
    for hiding in Hiding:
        try:
            found = read_shown(planes, headers, pixel_type, series, backend, hiding)
            break
        except SeriesReadError:
            if hiding is Hiding.ALL_BUT_PIXELS:
                raise
    return as_real(found, true_type)


def read_shown(
    planes: Sequence[Plane],
    headers: dict[str, Header],
    pixel_type: PixelType,
    series: Series,
    backend: Backend,
    hiding: Hiding,
) -> Volume:
    """Read planes with so much of their headers hidden, the frames where they lie.

    Raises
    ------
    SeriesReadError
        ITK cannot read them.
    """
    with tempfile.TemporaryDirectory(prefix="itk-roundtrip-") as folder:
        files = view.files_to_read(planes, headers, hiding, Path(folder), located=True)
        return read_planes(planes, files, pixel_type, series, backend)


def _check_one_stack(series: Series, carried: dict[str, Carriage]) -> None:
    """Refuse what ITK does not read, and what does not fit one image."""
    first = series.instances[0]
    for one in series.instances:
        how = carried[one.name]
        if how.path == "source":
            raise UnsupportedSeriesError(
                f"{one.name} cannot be read into a volume: {how.reason}.",
                path=one.name,
                series=series.series_instance_uid,
            )
        sizes = [(each.rows, each.columns, each.samples_per_pixel or 1, each.bits_allocated) for each in (one, first)]
        if sizes[0][:3] != sizes[1][:3] or (sizes[0] != sizes[1] and sizes[0][2] > 1):
            raise UnsupportedSeriesError(
                f"{one.name} has {one.columns}x{one.rows} pixels of {sizes[0][2]} samples and {first.name}"
                f" {first.columns}x{first.rows} of {sizes[1][2]}, which is no one volume; choose one of"
                " `series.volumes`.",
                path=one.name,
                series=series.series_instance_uid,
            )


def _true_pixel_type(carried: dict[str, Carriage]) -> PixelType | None:
    """Return the pixel type of the real values, where ITK is shown others than the source means."""
    others = any(
        one.whole_words
        or one.inverse == "bits"
        or ((one.seen.slope, one.seen.intercept) != (one.pixel_format.slope, one.pixel_format.intercept))
        for one in carried.values()
    )
    return choose_pixel_type(one.pixel_format for one in carried.values()) if others else None


def as_real(volume: Volume, pixel_type: PixelType | None) -> Volume:
    """Return a volume of the real values of the source, where ITK was shown others; ``None`` leaves it as it is."""
    front = front_end(volume.backend, volume.pixel_type)
    volume = replace(volume, as_read=front.copies(volume.metadata))
    if pixel_type is not None and components(volume.pixel_type) == 1:
        array = np.stack([
            real_values(plane_values(plane, real), plane.carriage.pixel_format, pixel_type)
            for plane, real in zip(volume.planes, volume.array_zyx, strict=True)
        ])  # fmt: skip
        volume = replace(volume, array_zyx=array, pixel_type=pixel_type)
    elif front.SHARES_MEMORY:
        return volume
    image = front_end(volume.backend, volume.pixel_type).image_of(volume.array_zyx, volume.pixel_type, volume.image)
    return replace(volume, image=image)


def plane_values(plane: Plane, real: Array) -> Array:
    """Return the pixel words of a plane, or its bits, from what ITK read of it."""
    words = stored_values(real, plane.carriage.seen)
    return words // 255 if plane.carriage.inverse == "bits" else words


def check_unedited(volume: Volume) -> None:
    """Refuse a volume that is not as it was read: its metadata, which completed headers would hide, and its pixels.

    Raises
    ------
    SeriesWriteError
        A metadata dictionary is not as it was read.
    VerificationError
        A pixel is not, or the source is not what was read.
    """
    front = front_end(volume.backend, volume.pixel_type)
    for plane, now, before in zip(volume.planes, volume.metadata, volume.as_read, strict=True):
        key = front.first_difference(now, before)
        if key is not None:
            raise SeriesWriteError(
                f"The metadata of {plane.instance.name} were edited ({key}), which is not carried: headers come from"
                " the source.",
                path=plane.instance.name,
                tag=f"({key.upper().replace('|', ',')})",
            )
    again = read_series(volume.series, backend=volume.backend)
    for plane, now, before in zip(volume.planes, volume.array_zyx, again.array_zyx, strict=True):
        if not np.array_equal(now, before):
            raise VerificationError(
                f"The pixels of {plane.instance.name} are not those of the source; processed pixels are not carried.",
                path=plane.instance.name,
                tag="(7FE0,0010)",
            )
