"""Read a series into a volume with ITK."""

from __future__ import annotations

import mmap
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from itk_roundtrip.arguments import Backend, check_there, checked, folder_of
from itk_roundtrip.dicom.decimals import decimal
from itk_roundtrip.dicom.headers import Header, read_header
from itk_roundtrip.dicom.privacy import shown_label
from itk_roundtrip.errors import (
    AmbiguousSeriesError,
    RoundtripError,
    SeriesNotFoundError,
    SeriesReadError,
    UnsupportedSeriesError,
)
from itk_roundtrip.folders import temporary_folder
from itk_roundtrip.itk_io import view
from itk_roundtrip.itk_io.calls import copy_geometry, translated
from itk_roundtrip.itk_io.front_ends import FrontEnd, front_end
from itk_roundtrip.itk_io.view import Hiding, Plane
from itk_roundtrip.pixels import kinds
from itk_roundtrip.pixels.formats import (
    DTYPES,
    Array,
    PixelFormat,
    PixelType,
    bytes_per_pixel,
    choose_pixel_type,
    components,
    real_values,
    stored_values,
)
from itk_roundtrip.pixels.kinds import Carriage
from itk_roundtrip.pixels.peculiarities import is_compressed
from itk_roundtrip.series.find import Instance, Series, Slice, check_readable, find_source, left_out, of_volume
from itk_roundtrip.series.geometry import AXIAL, PLANE_ATTRIBUTES, normal
from itk_roundtrip.series.volumes import distance
from itk_roundtrip.volume import pickles as pickles  # registers how volumes are pickled
from itk_roundtrip.volume.edited import as_read
from itk_roundtrip.volume.volume import Volume
from itk_roundtrip.volume.write import disk_error
from itk_roundtrip.words import counted


def plan_pixel_type(carriages: dict[str, Carriage]) -> tuple[dict[str, Carriage], PixelType]:
    """Return how the instances are carried, and the pixel type that carries the pixels of all of them exactly.

    Where no type carries the real values exactly, slope and intercept are hidden from ITK.
    """
    for planned in (carriages, {name: kinds.without_rescale(carriage) for name, carriage in carriages.items()}):
        pixel_type = choose_pixel_type(carriage.seen for carriage in planned.values())
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
    private: bool = False,
    pixels: bool = True,
) -> Volume:
    """Read planes into a volume with ITK.

    Parameters
    ----------
    planes
        In slice order, all of the same size.
    file_names
        Of the files that ITK reads, each for a plane.
    pixel_type
        Of the image.
    series
        Of the planes.
    backend
        Front end.
    undo_inversion
        Make the real values of MONOCHROME1 right; ITK alone inverts them.
    private
        Private attributes are in ``metadata``, as ITK has them.
    pixels
        If not, geometry and ``metadata`` are wanted only: the array may hold less than the planes.

    Raises
    ------
    SeriesReadError
        ITK cannot read them.
    """
    first, last = planes[0].instance, planes[-1].instance
    names = first.name + (f" to {last.name}" if last is not first else "")
    front = front_end(backend, pixel_type)
    with translated(SeriesReadError, f"ITK cannot read {names}", path=first.name):
        names_of_files = [str(file) for file in file_names]
        image, metadata = front.read_series(names_of_files, pixel_type, private=private, pixels=pixels)
    array_zyx = front.array_view(image, pixel_type)
    samples = components(pixel_type)
    rows = first.rows or 0
    shown_rows = rows + planes[0].carriage.extra_rows(first)
    shape = (len(file_names), shown_rows, first.columns or 0, *([samples] if samples > 1 else []))
    if array_zyx.size == np.prod(shape):
        array_zyx = array_zyx.reshape(shape)  # ITK stacks slices of a single row along the rows
    if len(metadata) != len(file_names) or (pixels and array_zyx.shape != shape):
        raise SeriesReadError(f"ITK read another number of slices or pixels than {names} hold.", path=first.name)
    array_zyx = array_zyx[:, :rows]
    for values, plane in zip(array_zyx, planes, strict=True) if pixels else ():
        plane.carriage.correct(values, plane.instance, undo_inversion=undo_inversion)
    return Volume(
        image=image,
        array_zyx=array_zyx,
        metadata=metadata,
        series=series,
        pixel_type=pixel_type,
        planes=tuple(planes),
        backend=backend,
    )


@checked()
def read_series(
    source: str | os.PathLike[str] | Series,
    *,
    series: str | int | None = None,
    volume: int | None = None,
    backend: Backend = "itk",
) -> Volume:
    """Read a series into a volume with ITK's ImageSeriesReader and GDCMImageIO, in this process.

    The pixel type is the first of UC, SS, US, F, D through which every stored value of every slice comes back
    exactly by its own slope and intercept; RGBUC or RGBUS for colour. Slices stand in the order of
    the volume's ``slices``, that is, by position along the normal, but frames that step regularly against it in their
    own; then so does the third axis. An irregular series is read slice by slice all the same, and the image has the
    distance of most neighbours, so look at ``series.irregularities`` before treating it as a regular grid. Where
    positions do not tell how far apart slices are, or there is only one, Spacing Between Slices (0018,0088) does, else
    Slice Thickness (0018,0050); without Pixel Spacing (0028,0030), Imager or Nominal Scanned Pixel Spacing. What
    nothing tells is 1.0, and an irregularity of the kind ``unknown-spacing``. A series of several volumes is read
    volume by volume. Colours are what the file stores: a palette image holds its indices, a YBR_FULL one Y, CB and CR,
    unless JPEG or JPEG 2000 makes RGB of it.

    Parameters
    ----------
    source
        A series as :func:`find_series` returned it, or a folder with one, at any depth, or a single file. Files that
        are left out of a folder because they are broken are named in a warning.
    series
        Which series, if the folder holds several, as for :func:`itk_roundtrip.roundtrip`.
    volume
        Index of one of ``series.volumes``, needed where the series holds several: of several sizes or orientations, or
        taken at several times, echoes or b-values.
    backend
        ``itk``, or ``simpleitk``: then ``image`` is a ``SimpleITK.Image``.

    Raises
    ------
    SeriesNotFoundError, AmbiguousSeriesError
        The folder holds no series, or several, or the series several volumes, and none was chosen.
    UnsupportedSeriesError
        A kind of image that ITK does not read, or slices of several sizes or colour models in a volume.
    SeriesReadError
        A file is damaged or ITK cannot decode it.

    References
    ----------
    DICOM PS3.3 C.7.6.2 Image Plane Module, C.7.6.16 Multi-frame Functional Groups, C.11.1 Modality LUT Module
    """
    check_there(folder_of(source, series))
    if isinstance(source, Series):
        chosen = source
    else:
        series_list, chosen = find_source(source, series)
        check_readable(series_list.skipped)
        for message in left_out(series_list.skipped):
            warnings.warn(message, stacklevel=3)  # at the call of the caller, behind that of the decorator
    read = read_volume(chosen, volume, backend, digests=True)
    front_end(backend, read.pixel_type).load_for_caller()
    return read


_LISTED_VOLUMES = 20
"""How many volumes an error lists."""


def choose_volume(series: Series, index: int | None) -> tuple[Series, tuple[Slice, ...]]:
    """Return the series with the instances of the volume asked for, or of its only volume, and the slices of that.

    Raises
    ------
    AmbiguousSeriesError
        There are several, and none was asked for.
    RoundtripError
        There is no such volume.
    """
    if not series.instances:
        raise SeriesNotFoundError("The series holds no instances.", series=series.series_instance_uid)
    volumes = series.volumes
    if index is None and len(volumes) == 1:
        return series, volumes[0].slices
    if index is None:
        listed = [
            f"{number}: {shown_label(part.label)}, {slices} slice{'' if slices == 1 else 's'}"
            for number, part in enumerate(volumes[:_LISTED_VOLUMES])
            for slices in [len(part.slices)]
        ]
        more = len(volumes) - len(listed)
        raise AmbiguousSeriesError(
            f"The series holds {len(volumes)} volumes, told apart by {series.separated_by}; choose one with volume=K"
            f" ({'; '.join(listed)}{f'; and {more} more in `series.volumes`' if more else ''}).",
            series=series.series_instance_uid,
            option="volume=K",
        )
    return of_volume(series, index), volumes[index].slices


def read_volume(
    series: Series, index: int | None, backend: Backend, *, digests: bool, pixels: Path | None = None
) -> Volume:
    """Read a volume as :func:`read_series` does, maybe without the digests by which edits are found later.

    Parameters
    ----------
    series, index, backend, digests
        What is read, and how.
    pixels
        File that holds all parts of the volume (:func:`parts_of_volume`), which are not read again then, and have no
        metadata.
    """
    plan = _plan(series, index)
    if pixels is not None:
        volume = _of_file(pixels, plan, backend)
        return replace(volume, as_read=as_read(volume, None))
    headers = _Headers(plan.series.instances, digests=digests)
    for hiding, shown, pixel_type in _attempts(plan.carriages):
        try:
            planes = view.planes_of(plan.slices, shown)
            volume = read_shown(planes, headers, pixel_type, plan.series, backend, hiding)
            break
        except SeriesReadError:
            if hiding is Hiding.ALL_BUT_PIXELS:
                raise
    front = front_end(backend, volume.pixel_type)
    if not _holds_real_values(volume, plan.formats):
        like = front.image_of(_one_pixel(volume.pixel_type), volume.pixel_type, volume.image)
        volume = replace(volume, image=like)  # its geometry is needed, not its pixels
        volume = as_real(volume, plan.formats)
    _set_geometry(front, volume.image, plan.slices)
    return replace(volume, as_read=as_read(volume, headers.digests if digests else None))


@dataclass(frozen=True)
class _Plan:
    """What a volume, or a part of it, is read from.

    Attributes
    ----------
    series
        With the instances of the volume only.
    slices, formats
        In order, and the pixel format of each with its rescale.
    carriages
        How the pixels of each instance are carried, by name.
    """

    series: Series
    slices: tuple[Slice, ...]
    formats: tuple[PixelFormat, ...]
    carriages: dict[str, Carriage]


def _plan(series: Series, index: int | None) -> _Plan:
    """Return what a volume is read from; refuse what makes no volume."""
    series, slices = choose_volume(series, index)
    in_parts = any(instance.concatenation_uid for instance in series.instances)
    kinds.check_supported(series, "copy" if in_parts else "derived")
    carriages = {instance.name: kinds.carriage(instance, "derived") for instance in series.instances}
    _check_one_stack(series, carriages)
    _check_planes(slices)
    formats = tuple(format_of_slice(slice_, carriages[slice_.instance.name]) for slice_ in slices)
    return _Plan(series, slices, formats, carriages)


# ------------------------------------------------------------------------------------------------ a volume in parts


_PART_BYTES = 16 << 20
"""Bytes of the pixels of a part: enough to keep ITK busy."""


@dataclass(frozen=True)
class VolumePart:
    """Some slices of a volume that several processes read into one file, each its part.

    Attributes
    ----------
    plan
        Of these slices only.
    first
        Index of the first of them in the volume.
    pixel_type
        Of the image that ITK reads.
    backend
        Front end.
    """

    plan: _Plan
    first: int
    pixel_type: PixelType
    backend: Backend


def parts_of_volume(series: Series, index: int | None, backend: Backend) -> list[VolumePart]:
    """Return the parts of a volume for :func:`read_part`; none if it is to be read as a whole.

    Single slices are, frames, and volumes of which ITK alone knows something about their place.
    """
    plan = _plan(series, index)
    place, instances = plan.slices[0].place, {slice_.instance.name: slice_.instance for slice_ in plan.slices}
    is_placed = place.position and place.spacing and min(place.spacing) > 0 and place.orientation
    is_framed = len(instances) < len(plan.slices) or any(instance.framed for instance in instances.values())
    # ITK's view of an array takes one that is contiguous both ways, as of single pixels, the wrong way round.
    is_column = (plan.slices[0].instance.rows, plan.slices[0].instance.columns) == (1, 1)
    if not is_placed or is_framed or is_column or len(plan.slices) == 1:
        return []
    _, shown, pixel_type = next(_attempts(plan.carriages))
    first_instance = plan.slices[0].instance
    size = (first_instance.rows or 1) * (first_instance.columns or 1) * bytes_per_pixel(pixel_type)
    length, parts = max(1, _PART_BYTES // size), []
    for first in range(0, len(plan.slices), length):
        slices = plan.slices[first : first + length]
        names = [slice_.instance.name for slice_ in slices]
        of_part = _Plan(
            replace(plan.series, instances=tuple(instances[name] for name in names)),
            slices,
            plan.formats[first : first + length],
            {name: shown[name] for name in names},
        )
        parts.append(VolumePart(of_part, first, pixel_type, backend))
    return parts


def read_part(part: VolumePart, pixels: Path) -> bool:
    """Read a part of a volume with ITK into the file of all parts; return whether it holds the real values.

    Where it does not, or ITK has to be shown less of the headers, the volume is to be read as a whole.

    Raises
    ------
    RoundtripError
        The file takes no more.
    """
    plan, headers = part.plan, _Headers(part.plan.series.instances, digests=False)
    planes = view.planes_of(plan.slices, plan.carriages)
    try:
        volume = read_shown(planes, headers, part.pixel_type, plan.series, part.backend, Hiding.NOTHING)
    except SeriesReadError:
        return False
    if not _holds_real_values(volume, plan.formats):
        return False
    values = np.ascontiguousarray(volume.array_zyx)
    try:
        with pixels.open("r+b") as file:
            file.seek(part.first * values[0].nbytes)
            file.write(values.data.cast("B"))
    except OSError as error:
        raise disk_error(error) from None
    return True


def _of_file(pixels: Path, plan: _Plan, backend: Backend) -> Volume:
    """Return the volume that was read into a file in parts: its array is a mapping, which may be changed in memory."""
    _, shown, pixel_type = next(_attempts(plan.carriages))
    first, front, samples = plan.slices[0].instance, front_end(backend, pixel_type), components(pixel_type)
    shape = (len(plan.slices), first.rows or 0, first.columns or 0, *([samples] if samples > 1 else []))
    array_zyx = np.asarray(np.memmap(pixels, DTYPES[pixel_type], "c", shape=shape))
    image = front.image_of(array_zyx, pixel_type, None)
    _set_geometry(front, image, plan.slices)
    volume = Volume(
        image=image,
        array_zyx=array_zyx,
        metadata=[],
        series=plan.series,
        pixel_type=pixel_type,
        planes=tuple(view.planes_of(plan.slices, shown)),
        backend=backend,
    )
    if not front.SHARES_MEMORY:
        let_go(volume)
    return volume


def let_go(volume: Volume) -> None:
    """Give the memory of an unchanged volume back if it maps a file, which is read again where it is asked for."""
    mapped = getattr(volume.array_zyx.base, "_mmap", None)
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


class _Headers(dict[str, Header]):
    """Headers by the name of their instance, read when they are asked for; only the last is kept in memory.

    Attributes
    ----------
    digests
        Of the data set of each instance that was read, by name, if they are asked for.
    """

    def __init__(self, instances: Sequence[Instance], *, digests: bool) -> None:
        super().__init__()
        self._paths = {instance.name: instance.path for instance in instances}
        self._with_digests = digests
        self.digests: dict[str, str] = {}

    def __missing__(self, name: str) -> Header:
        self.clear()
        self[name] = header = read_header(self._paths[name], name)
        if self._with_digests:
            self.digests[name] = header.digest
        return header


def _attempts(carriages: dict[str, Carriage]) -> Iterator[tuple[Hiding, dict[str, Carriage], PixelType]]:
    """Yield, in the order in which to try, what to hide from ITK, the carriages then, and the pixel type to read.

    In the end it is shown stored values, without slope and intercept.
    """
    framed = all(carriage.framed for carriage in carriages.values())
    for hiding in (Hiding.ALL_BUT_PIXELS,) if framed else Hiding:
        if hiding is Hiding.ALL_BUT_PIXELS:
            carriages = {name: kinds.without_rescale(carriage) for name, carriage in carriages.items()}
        yield hiding, *plan_pixel_type(carriages)


def format_of_slice(slice_: Slice, carriage: Carriage) -> PixelFormat:
    """Return the pixel format of a slice with its rescale, that of the frame if there is any (PS3.3 C.7.6.16.2.9)."""
    pixel_format = carriage.pixel_format
    if carriage.photometric == "PALETTE COLOR":
        return replace(pixel_format, slope=None, intercept=None)  # indices of colours are no quantity
    texts = [slice_.instance.frame_value(keyword, slice_.frame) for keyword in ("RescaleSlope", "RescaleIntercept")]
    slope, intercept = map(decimal, texts)
    if (slope, intercept).count(None) != texts.count(""):
        raise UnsupportedSeriesError(
            f"{slice_.instance.name} has a Rescale Slope or Intercept that is not a number, which is not carried.",
            path=slice_.instance.name,
        )
    return replace(pixel_format, slope=slope, intercept=intercept) if any(texts) else pixel_format


def read_shown(
    planes: Sequence[Plane],
    headers: dict[str, Header],
    pixel_type: PixelType,
    series: Series,
    backend: Backend,
    hiding: Hiding,
) -> Volume:
    """Read planes with part of their headers hidden from ITK, frames with their own Image Plane attributes.

    Raises
    ------
    SeriesReadError
        ITK cannot read them.
    RoundtripError
        The folder for temporary files takes no more.
    """
    with temporary_folder() as folder:
        try:
            files = view.files_to_read(planes, headers, hiding, Path(folder), located=True)
        except OSError as error:
            raise RoundtripError(
                f"What ITK is to read cannot be put into the folder for temporary files ({error.strerror})."
            ) from None
        headers.clear()
        return read_planes(planes, files, pixel_type, series, backend, private=True)


def _check_one_stack(series: Series, carriages: dict[str, Carriage]) -> None:
    """Refuse instances that ITK does not read, and those that differ in size or colours, which make no image."""
    first = series.instances[0]
    for instance in series.instances:
        carriage, first_carriage = carriages[instance.name], carriages[first.name]
        if carriage.path == "source":
            raise UnsupportedSeriesError(
                f"{instance.name} cannot be read into a volume: {carriage.reason}.",
                path=instance.name,
                series=series.series_instance_uid,
            )
        samples = carriage.pixel_format.samples, first_carriage.pixel_format.samples
        difference = ""
        if (instance.rows, instance.columns, samples[0]) != (first.rows, first.columns, samples[1]):
            difference = (
                f"has {instance.columns}x{instance.rows} pixels of {counted(samples[0], 'sample')} and {first.name}"
                f" {first.columns}x{first.rows} of {samples[1]}"
            )
        elif _colours(carriage) != _colours(first_carriage):
            difference = f"holds {_colours(carriage)} and {first.name} {_colours(first_carriage)}"
        elif carriage.extra_rows(instance) != first_carriage.extra_rows(first) or (
            samples[0] > 1 and instance.bits_allocated != first.bits_allocated
        ):
            difference = (
                f"has {counted(instance.bits_allocated or 0, 'bit')} allocated and {first.name} {first.bits_allocated}"
            )
        if difference:
            raise UnsupportedSeriesError(
                f"{instance.name} {difference}, which is no one volume; `roundtrip` carries them.",
                path=instance.name,
                series=series.series_instance_uid,
            )


def _check_planes(slices: Sequence[Slice]) -> None:
    """Refuse Image Plane attributes with values that are no position, orientation or spacing: ITK would make them up.

    Raises
    ------
    UnsupportedSeriesError
        There is such an attribute.
    """
    for slice_ in slices:
        for keyword in slice_.place.malformed:
            attribute = PLANE_ATTRIBUTES[keyword]
            raise UnsupportedSeriesError(
                f"{attribute.name} of {slice_.name} is not {attribute.expected}, so that the geometry of the volume is"
                " not known; `roundtrip` carries it as it stands.",
                path=slice_.instance.name,
                series=slice_.instance.series_instance_uid,
            )


def _colours(carriage: Carriage) -> str:
    """Return the colour model of an image, or ``grey values``."""
    colour = carriage.pixel_format.samples > 1 or carriage.photometric == "PALETTE COLOR"
    return carriage.photometric if colour else "grey values"


# ----------------------------------------------------------------------------------- real values and geometry


def _holds_real_values(volume: Volume, formats: Sequence[PixelFormat]) -> bool:
    """Tell whether ITK read the real values, and its image has the values and the shape of the array."""
    front = front_end(volume.backend, volume.pixel_type)
    corrected = any(plane.carriage.corrected for plane in volume.planes)
    return (
        not (corrected and not front.SHARES_MEMORY)
        and not _is_in_other_format(volume, formats)
        and not _is_beyond(volume, formats)
        and front.size(volume.image) == volume.array_zyx.shape[2::-1]
    )


def _is_in_other_format(volume: Volume, formats: Sequence[PixelFormat]) -> bool:
    """Tell whether ITK was shown another format than the source has, and so read other values than the real ones."""
    if components(volume.pixel_type) > 1:
        return False
    shown = [plane.carriage.seen for plane in volume.planes]
    return any(
        (seen.bits_stored, seen.effective_slope, seen.effective_intercept)
        != (pixel_format.bits_stored, pixel_format.effective_slope, pixel_format.effective_intercept)
        for seen, pixel_format in zip(shown, formats, strict=True)
    )


def _is_beyond(volume: Volume, formats: Sequence[PixelFormat]) -> bool:
    """Tell whether ITK read values that no stored value stands for: GDCM leaves unused bits of streams as they are."""
    if components(volume.pixel_type) > 1:
        return False
    for values, plane, pixel_format in zip(volume.array_zyx, volume.planes, formats, strict=True):
        if is_compressed(plane.instance) and pixel_format.bits_stored < pixel_format.bits_allocated:
            slope, intercept = pixel_format.effective_slope, pixel_format.effective_intercept
            low, high = sorted(slope * end + intercept for end in pixel_format.stored_range)
            slack = abs(slope) / 2
            if values.size and (values.min() < low - slack or high + slack < values.max()):
                return True
    return False


def as_real(volume: Volume, formats: Sequence[PixelFormat]) -> Volume:
    """Return a volume whose image and array both hold the real values of the source.

    Parameters
    ----------
    volume
        As ITK read it; its image lends its geometry only.
    formats
        Pixel format of each plane, with the rescale that ITK may not have been shown.
    """
    front, read, pixel_type = front_end(volume.backend, volume.pixel_type), volume.array_zyx, volume.pixel_type
    in_other_format = _is_in_other_format(volume, formats) or _is_beyond(volume, formats)
    if in_other_format:
        pixel_type = choose_pixel_type(formats) or "D"  # if no type carries all of them, the nearest numbers
    if front.SHARES_MEMORY:  # an image over the memory of an array would not keep it alive in ITK's pipelines
        image = type(front.image_of(_one_pixel(pixel_type), pixel_type, None)).New()
        image.SetRegions(list(read.shape[2::-1]))
        image.Allocate()
        real = front.array_view(image, pixel_type)
    else:
        image, real = None, np.empty_like(read, DTYPES[pixel_type]) if in_other_format else read
    for index, (plane, pixel_format) in enumerate(zip(volume.planes, formats, strict=True)):
        if in_other_format:
            words = plane.carriage.stored(stored_values(read[index], plane.carriage.seen))
            real[index] = real_values(words, pixel_format, pixel_type)
        elif front.SHARES_MEMORY:
            real[index] = read[index]
    if image is None:
        image = front.image_of(real, pixel_type, volume.image)
    copy_geometry(volume.image, image)
    return replace(volume, image=image, array_zyx=real, pixel_type=pixel_type)


def _one_pixel(pixel_type: PixelType) -> Array:
    """Return an array of a single pixel."""
    samples = components(pixel_type)
    return np.zeros((1, 1, 1, *([samples] if samples > 1 else [])), DTYPES[pixel_type])


def _set_geometry(front: FrontEnd, image: Any, slices: Sequence[Slice]) -> None:
    """Set origin, spacing and direction of an image from the source; what it does not say stays as ITK has it.

    ITK knows no functional groups where it is shown frames, and takes all slices to step along the normal. Slices that
    step against it make an image whose third axis points against the normal.

    Parameters
    ----------
    front, image
        A front end, and an image of its own.
    slices
        What its slices are.
    """
    first, spacing = slices[0].place, list(image.GetSpacing())
    apart = distance(slices)
    if first.position is not None:
        image.SetOrigin(list(first.position))
    if first.spacing is not None and min(first.spacing) > 0:
        spacing[:2] = first.spacing[::-1]
    axes = first.orientation
    if axes is None and (apart or 0) < 0:
        axes = AXIAL
    if axes is not None and (through := normal(axes)).any():
        row = np.array(axes[:3]) / np.linalg.norm(axes[:3])
        column = np.cross(through, row)
        front.set_direction(image, np.stack([row, column, -through if (apart or 0) < 0 else through], axis=1))
    spacing[2] = 1.0 if apart is None else abs(apart)
    image.SetSpacing(spacing)
