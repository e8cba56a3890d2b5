"""Read a series into a volume with ITK."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from itk_roundtrip.arguments import CHECKS, Backend, checked, instance_of
from itk_roundtrip.dicom.decimals import decimal
from itk_roundtrip.dicom.headers import Header, read_header
from itk_roundtrip.dicom.privacy import shown_label
from itk_roundtrip.errors import (
    AmbiguousSeriesError,
    RoundtripError,
    SeriesNotFoundError,
    SeriesReadError,
    SeriesWriteError,
    UnsupportedSeriesError,
    VerificationError,
)
from itk_roundtrip.itk_io import view
from itk_roundtrip.itk_io.calls import copy_geometry, translated
from itk_roundtrip.itk_io.front_ends import NAMES, FrontEnd, front_end
from itk_roundtrip.itk_io.view import Hiding, Plane
from itk_roundtrip.pixels import kinds
from itk_roundtrip.pixels.formats import (
    DTYPES,
    Array,
    PixelFormat,
    PixelType,
    choose_pixel_type,
    clipped,
    components,
    real_values,
    stored_values,
    uninverted,
)
from itk_roundtrip.pixels.kinds import Carriage
from itk_roundtrip.series.find import Instance, Series, Skipped, Slice, of_volume, ordered, read_files
from itk_roundtrip.series.geometry import AXIAL, PLANE_ATTRIBUTES, normal
from itk_roundtrip.series.volumes import distance
from itk_roundtrip.volume.volume import Derivation, Volume
from itk_roundtrip.words import counted


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
        if plane.carriage.bits_beyond:
            how = plane.carriage
            array_zyx[index] = clipped(array_zyx[index], how.pixel_format, how.bits_beyond)
    return Volume(
        image=image,
        array_zyx=array_zyx,
        metadata=metadata,
        series=series,
        pixel_type=pixel_type,
        planes=tuple(planes),
        backend=backend,
    )


@checked(
    series=instance_of(
        Series,
        "find_series",
        path="find what it holds first: read_series(find_series(path)[0])",
        list="pass one of them, such as found[0]",
        Volume="it was read already",
    )
)
def read_series(series: Series, *, volume: int | None = None, backend: Backend = "itk") -> Volume:
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
    series
        One of those that :func:`find_series` returns.
    volume
        Index of one of ``series.volumes``, needed where the series holds several: of several sizes or orientations, or
        taken at several times, echoes or b-values.
    backend
        ``itk``, or ``simpleitk``: then ``image`` is a ``SimpleITK.Image``.

    Raises
    ------
    AmbiguousSeriesError
        The series holds several volumes, and none was chosen.
    UnsupportedSeriesError
        A kind of image that ITK does not read, or slices of several sizes or colour models in one stack.
    SeriesReadError
        A file is damaged or ITK cannot decode it.

    References
    ----------
    DICOM PS3.3 C.7.6.2 Image Plane Module, C.7.6.16 Multi-frame Functional Groups, C.11.1 Modality LUT Module
    """
    return _read_slices(*_choose_volume(series, volume), backend)


_LISTED_VOLUMES = 20
"""How many volumes an error lists."""


def _choose_volume(series: Series, index: int | None) -> tuple[Series, tuple[Slice, ...]]:
    """Return the series with the instances of the volume asked for, or of the only one, and its slices.

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
        )
    return of_volume(series, index), volumes[index].slices


def _read_slices(series: Series, slices: Sequence[Slice], backend: Backend) -> Volume:
    """Read slices, which are one volume and of the instances of the series."""
    kinds.check_supported(series, "derived" if not any(one.concatenation_uid for one in series.instances) else "copy")
    carried = {one.name: kinds.carriage(one, "derived") for one in series.instances}
    _check_one_stack(series, carried)
    headers = _Headers(series.instances)
    _check_planes(slices)
    meant = [_meant(one, carried[one.instance.name]) for one in slices]
    for hiding, shown, pixel_type in _attempts(carried):
        try:
            found = read_shown(view.planes_of(slices, shown), headers, pixel_type, series, backend, hiding)
            break
        except SeriesReadError:
            if hiding is Hiding.ALL_BUT_PIXELS:
                raise
    front = front_end(backend, found.pixel_type)
    if not _is_real(found, meant):
        like = front.image_of(_one_pixel(found.pixel_type), found.pixel_type, found.image)
        found = replace(found, image=like)  # its geometry is needed, not its pixels
        found = as_real(found, meant)
    _set_geometry(front, found.image, slices)
    return replace(found, as_read=front.copies(found.metadata))


class _Headers(dict[str, Header]):
    """Headers by the name of their instance, read when they are asked for; only the last one is kept in memory."""

    def __init__(self, instances: Sequence[Instance]) -> None:
        super().__init__()
        self._paths = {one.name: one.path for one in instances}

    def __missing__(self, name: str) -> Header:
        self.clear()
        self[name] = header = read_header(self._paths[name], name)
        return header


def _attempts(carried: dict[str, Carriage]) -> Iterator[tuple[Hiding, dict[str, Carriage], PixelType]]:
    """Yield how much of the headers to hide from ITK, how it is shown the pixels then, and the type to read them in.

    In the end it is shown stored values, without slope and intercept.
    """
    framed = all(one.framed for one in carried.values())
    for hiding in (Hiding.ALL_BUT_PIXELS,) if framed else Hiding:
        if hiding is Hiding.ALL_BUT_PIXELS:
            carried = {name: kinds.without_rescale(one) for name, one in carried.items()}
        yield hiding, *plan_pixel_type(carried)


def _meant(one: Slice, how: Carriage) -> PixelFormat:
    """Return what the stored values of a slice mean, a frame by its own rescale (PS3.3 C.7.6.16.2.9)."""
    meant = how.pixel_format
    if how.photometric == "PALETTE COLOR":
        return replace(meant, slope=None, intercept=None)  # they are no quantity
    texts = [one.instance.frame_value(keyword, one.frame) for keyword in ("RescaleSlope", "RescaleIntercept")]
    slope, intercept = map(decimal, texts)
    if (slope, intercept).count(None) != texts.count(""):
        raise UnsupportedSeriesError(
            f"{one.instance.name} has a Rescale Slope or Intercept that is not a number, which is not carried.",
            path=one.instance.name,
        )
    return replace(meant, slope=slope, intercept=intercept) if any(texts) else meant


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
    RoundtripError
        The folder for temporary files takes no more.
    """
    with tempfile.TemporaryDirectory(prefix="itk-roundtrip-") as folder:
        try:
            files = view.files_to_read(planes, headers, hiding, Path(folder), located=True)
        except OSError as error:
            raise RoundtripError(
                f"What ITK is to read cannot be put into the folder for temporary files ({error.strerror})."
            ) from None
        headers.clear()
        return read_planes(planes, files, pixel_type, series, backend)


def _check_one_stack(series: Series, carried: dict[str, Carriage]) -> None:
    """Refuse what ITK does not read, and what does not fit one image."""
    first = series.instances[0]
    for one in series.instances:
        how, other = carried[one.name], carried[first.name]
        if how.path == "source":
            raise UnsupportedSeriesError(
                f"{one.name} cannot be read into a volume: {how.reason}.",
                path=one.name,
                series=series.series_instance_uid,
            )
        samples = how.pixel_format.samples, other.pixel_format.samples
        difference = ""
        if (one.rows, one.columns, samples[0]) != (first.rows, first.columns, samples[1]):
            difference = (
                f"has {one.columns}x{one.rows} pixels of {counted(samples[0], 'sample')} and {first.name}"
                f" {first.columns}x{first.rows} of {samples[1]}"
            )
        elif _meaning(how) != _meaning(other):
            difference = f"holds {_meaning(how)} and {first.name} {_meaning(other)}"
        elif how.extra_rows != other.extra_rows or (samples[0] > 1 and one.bits_allocated != first.bits_allocated):
            difference = (
                f"has {counted(one.bits_allocated or 0, 'bit')} allocated and {first.name} {first.bits_allocated}"
            )
        if difference:
            raise UnsupportedSeriesError(
                f"{one.name} {difference}, which is no one volume; `roundtrip` carries them.",
                path=one.name,
                series=series.series_instance_uid,
            )


def _check_planes(slices: Sequence[Slice]) -> None:
    """Refuse a position, orientation or spacing that is not what it must be: ITK would make up another.

    Raises
    ------
    UnsupportedSeriesError
        There is such an attribute.
    """
    for one in slices:
        for keyword in one.place.malformed:
            attribute = PLANE_ATTRIBUTES[keyword]
            raise UnsupportedSeriesError(
                f"{attribute.name} of {one.name} is not {attribute.expected}, so that the geometry of the volume is not"
                " known; `roundtrip` carries it as it stands.",
                path=one.instance.name,
                series=one.instance.series_instance_uid,
            )


def _meaning(how: Carriage) -> str:
    """Return what the numbers of an image stand for, where it is no quantity."""
    colour = how.pixel_format.samples > 1 or how.photometric == "PALETTE COLOR"
    return how.photometric if colour else "grey values"


# ----------------------------------------------------------------------------------- real values and geometry


def _is_real(volume: Volume, meant: Sequence[PixelFormat]) -> bool:
    """Tell whether what ITK read are real values, and its image holds what the array does, in the same shape."""
    front = front_end(volume.backend, volume.pixel_type)
    undone = not front.SHARES_MEMORY and any(
        plane.carriage.inverse == "MONOCHROME1" or plane.carriage.bits_beyond for plane in volume.planes
    )
    return not undone and not _is_other(volume, meant) and front.size(volume.image) == volume.array_zyx.shape[2::-1]


def _is_other(volume: Volume, meant: Sequence[PixelFormat]) -> bool:
    """Tell whether ITK was shown other values than the source means."""
    return components(volume.pixel_type) == 1 and any(
        how.whole_words
        or how.inverse == "bits"
        or how.seen.effective_slope != pixel_format.effective_slope
        or how.seen.effective_intercept != pixel_format.effective_intercept
        for how, pixel_format in zip((plane.carriage for plane in volume.planes), meant, strict=True)
    )


def as_real(volume: Volume, meant: Sequence[PixelFormat]) -> Volume:
    """Return a volume of the real values of the source, its image and its array of one content and one shape.

    Parameters
    ----------
    volume
        As ITK read it; its image lends its geometry only.
    meant
        What the stored values of each plane mean, which ITK may not have been shown.
    """
    front, read, pixel_type = front_end(volume.backend, volume.pixel_type), volume.array_zyx, volume.pixel_type
    other = _is_other(volume, meant)
    if other:
        pixel_type = choose_pixel_type(meant) or "D"  # if no type carries all of them, the nearest numbers
    if front.SHARES_MEMORY:  # an image over the memory of an array would not keep it alive in ITK's pipelines
        image = type(front.image_of(_one_pixel(pixel_type), pixel_type, None)).New()
        image.SetRegions(list(read.shape[2::-1]))
        image.Allocate()
        real = front.array_view(image, pixel_type)
    else:
        image, real = None, np.empty_like(read, DTYPES[pixel_type]) if other else read
    for index, (plane, pixel_format) in enumerate(zip(volume.planes, meant, strict=True)):
        if other:
            real[index] = real_values(plane_values(plane, read[index]), pixel_format, pixel_type)
        elif front.SHARES_MEMORY:
            real[index] = read[index]
    if image is None:
        image = front.image_of(real, pixel_type, volume.image)
    copy_geometry(volume.image, image)
    return replace(volume, image=image, array_zyx=real, pixel_type=pixel_type)


def _one_pixel(pixel_type: PixelType) -> Array:
    samples = components(pixel_type)
    return np.zeros((1, 1, 1, *([samples] if samples > 1 else [])), DTYPES[pixel_type])


def plane_values(plane: Plane, real: Array) -> Array:
    """Return the pixel words of a plane, or its bits, from what ITK read of it."""
    words = stored_values(real, plane.carriage.seen)
    return words // 255 if plane.carriage.inverse == "bits" else words


def _set_geometry(front: FrontEnd, image: Any, slices: Sequence[Slice]) -> None:
    """Set what the source says of the geometry of an image; what it does not say stays as ITK has it.

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


# ------------------------------------------------------------------------------------------------- edited or not


def _check_whole(slices: Sequence[Slice]) -> None:
    """Refuse to write some frames of an instance without the others."""
    read = Counter(one.instance.name for one in slices)
    for one in slices:
        if read[one.instance.name] < one.instance.planes:
            raise SeriesWriteError(
                f"{one.instance.name} holds {one.instance.planes} frames, of which the volume has"
                f" {read[one.instance.name]}; an instance is written with all of its frames, by `roundtrip`.",
                path=one.instance.name,
            )


def check_unedited(volume: Volume) -> None:
    """Refuse a volume of which anything is not as it was read, for headers and pixels are written from the source.

    It is read again, and every field is compared: whatever was edited in place or replaced is found, and what equals
    what was read is as good as it.

    Raises
    ------
    SeriesReadError
        A file of the source is gone or damaged.
    SeriesWriteError
        A metadata dictionary, where the image lies, or another field is not as it was read.
    VerificationError
        A pixel is not, or the source is not what was read.
    """
    _check_fields(volume)
    _check_source(volume)
    slices = [Slice(plane.instance, plane.frame) for plane in volume.planes]
    _check_whole(slices)
    again = _read_slices(volume.series, slices, volume.backend)
    if volume.pixel_type != again.pixel_type:
        raise _edited("pixel_type", f"is {volume.pixel_type}, and the series is read as {again.pixel_type}")
    if list(map(repr, volume.planes)) != list(map(repr, again.planes)):
        raise _edited("planes", "are not those that were read")
    _check_metadata(volume, again)
    front = front_end(again.backend, again.pixel_type)
    _check_image_type(volume, again)
    key = front.first_difference(front.dictionary_of(volume.image), front.dictionary_of(again.image))
    if key is not None:
        raise SeriesWriteError(
            f"The metadata of `image` were edited ({key}), which is not carried: headers come from the source."
        )
    for field, pixels in (("array_zyx", volume.array_zyx), ("image", front.array_view(volume.image, again.pixel_type))):
        if pixels.shape != again.array_zyx.shape:
            raise VerificationError(
                f"The volume has other slices or pixels in `{field}` than the source; processed pixels are not carried."
            )
        for plane, now, before in zip(volume.planes, pixels, again.array_zyx, strict=True):
            if not np.array_equal(now, before):
                raise VerificationError(
                    f"The pixels of {plane.instance.name} in `{field}` are not those of the source; processed pixels"
                    " are not carried.",
                    path=plane.instance.name,
                    tag="(7FE0,0010)",
                )
    if front.geometry(volume.image) != front.geometry(again.image):
        raise SeriesWriteError("The geometry of the image was edited, which is not carried: it comes from the source.")


def _edited(field: str, reason: str) -> SeriesWriteError:
    """Return what is said of a field that is not as it was read."""
    return SeriesWriteError(f"`{field}` of the volume {reason}; a volume is written as it was read.")


def _check_fields(volume: Volume) -> None:
    """Refuse fields that cannot be what was read by their type."""
    for field, kinds_of in (("series", Series), ("array_zyx", np.ndarray), ("derivation", Derivation | None)):
        if not isinstance(value := getattr(volume, field), kinds_of):
            raise _edited(field, f"is of type {type(value).__name__}")
    if np.ma.isMaskedArray(volume.array_zyx):
        raise _edited("array_zyx", "is masked, which is not carried")
    for field in ("planes", "metadata", "as_read"):
        if not isinstance(value := getattr(volume, field), (list, tuple)):
            raise _edited(field, f"is of type {type(value).__name__}")
    if volume.backend not in NAMES:
        raise _edited("backend", "names no front end")
    if volume.derivation is not None and volume.derivation.comment != "":
        CHECKS["description"]("description", volume.derivation.comment)


def _check_source(volume: Volume) -> None:
    """Refuse a series whose files are not, or no longer, what it says of them."""
    series = volume.series
    if not series.instances:
        raise _edited("series", "holds no instances")
    for instance in series.instances:
        if not isinstance(instance, Instance) or instance.path != series.directory / instance.name:
            raise _edited("series", "holds other instances than those of its folder")
        (found,) = read_files(series.directory, [instance.name])
        if isinstance(found, Skipped):
            raise SeriesReadError(f"{instance.name} cannot be read again: {found.reason}.", path=instance.name)
        if _told(found) != _told(instance):
            raise VerificationError(
                f"{instance.name} is not what was read: its header, or what the volume says of it, is another one.",
                path=instance.name,
            )
    by_name = {instance.name: instance for instance in series.instances}
    for plane in volume.planes:
        known = by_name.get(plane.instance.name) if isinstance(plane, Plane) else None
        if known is None or _told(known) != _told(plane.instance):
            raise _edited("planes", "are not those of its series")
    seen = list(dict.fromkeys(plane.instance.name for plane in volume.planes))
    if set(seen) != set(by_name):
        raise _edited("planes", "are not those of its series")
    if [*by_name] not in (seen, [instance.name for instance in ordered(series.instances)]):
        raise _edited("series", "holds its instances in another order")
    if {instance.series_instance_uid for instance in series.instances} != {series.series_instance_uid}:
        raise _edited("series", "has another Series Instance UID than its instances")


def _told(instance: Instance) -> tuple[str, object]:
    """Return all that is said of an instance, to be compared: as text, because a number may be NaN."""
    return repr(instance), instance.texts


def _check_metadata(volume: Volume, again: Volume) -> None:
    """Refuse dictionaries that are not those of their slices."""
    front = front_end(again.backend, again.pixel_type)
    if len(volume.metadata) != len(again.metadata):
        raise SeriesWriteError(
            f"The volume has {counted(len(volume.metadata), 'metadata dictionary', 'metadata dictionaries')} for"
            f" {counted(len(again.metadata), 'slice')}."
        )
    for field in ("metadata", "as_read"):
        dictionaries = getattr(volume, field)
        if [type(each) for each in dictionaries] != [type(each) for each in again.metadata]:
            raise _edited(field, "does not hold one dictionary of its front end for each slice")
        for plane, now, before in zip(volume.planes, dictionaries, again.metadata, strict=True):
            key = front.first_difference(now, before)
            if key is not None:
                raise SeriesWriteError(
                    f"The {field} of {plane.instance.name} were edited ({key}), which is not carried: headers come from"
                    " the source.",
                    path=plane.instance.name,
                    tag=f"({key.upper().replace('|', ',')})",
                )


def _check_image_type(volume: Volume, again: Volume) -> None:
    """Refuse an image of another type than that which was read, or of another size."""
    image, expected, front = volume.image, again.image, front_end(again.backend, again.pixel_type)
    if type(image) is not type(expected) or front.pixel_kind(image) != front.pixel_kind(expected):
        raise VerificationError(
            f"The `image` of the volume is of another type ({type(image).__name__}) than that which was read"
            f" ({type(expected).__name__}); processed pixels are not carried."
        )
    if front.region(image) != front.region(expected):
        raise VerificationError(
            "The `image` of the volume has another size than that which was read; processed pixels are not carried."
        )
