"""What was edited in a volume since it was read: every field is compared with a record made at that time."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import zip_longest

import numpy as np
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from itk_roundtrip.arguments import CHECKS
from itk_roundtrip.errors import SeriesWriteError, VerificationError
from itk_roundtrip.itk_io.front_ends import NAMES, front_end
from itk_roundtrip.itk_io.view import Plane
from itk_roundtrip.pixels.formats import DTYPES, Array, PixelType, digest
from itk_roundtrip.series.find import Instance, Series, ordered
from itk_roundtrip.tags import tag_text
from itk_roundtrip.volume.images import Placement, placed
from itk_roundtrip.volume.volume import AsRead, Derivation, Volume, read_dataset
from itk_roundtrip.words import counted


def as_read(volume: Volume, sources: Mapping[str, str] | None) -> AsRead:
    """Return the record of a volume that was just read from files with these digests.

    ``None`` makes a record without digests, of a volume that is not going to be written itself.
    """
    front = front_end(volume.backend, volume.pixel_type)
    return AsRead(
        series=volume.series,
        planes=volume.planes,
        pixel_type=volume.pixel_type,
        backend=volume.backend,
        dictionaries=front.copies(volume.metadata),
        image_type=(type(volume.image), front.pixel_kind(volume.image)),
        region=front.region(volume.image),
        geometry=tuple(front.geometry(volume.image)),
        image_dictionary=front.copies([front.dictionary_of(volume.image)])[0],
        pixels=() if sources is None else tuple(digest(pixels) for pixels in volume.array_zyx),
        sources=dict(sources or {}),
    )


def check_described(volume: Volume) -> AsRead:
    """Return the record of a volume; refuse one whose source, slices or other descriptions are not as they were read.

    Raises
    ------
    SeriesWriteError
        A field is not as it was read.
    VerificationError
        What the volume says of an instance is not.
    """
    before = volume.as_read
    if not isinstance(before, AsRead):
        raise _edited("as_read", "was not made by read_series")
    _check_fields(volume)
    _check_source(volume, before)
    _check_whole(volume.planes)
    check_datasets(before)
    if volume.pixel_type != before.pixel_type:
        raise _edited("pixel_type", f"is {volume.pixel_type}, and the series is read as {before.pixel_type}")
    if volume.backend != before.backend:
        raise _edited("backend", f"is {volume.backend}, and the series was read with {before.backend}")
    return before


def processed_values(volume: Volume, before: AsRead) -> tuple[Array, Placement | None] | None:
    """Return the real-world values to write, and where they lie if elsewhere; ``None`` if they were not changed.

    They are those of the image that was given to :func:`derive`, or those that were changed in the volume.

    Raises
    ------
    VerificationError
        They were changed without a description of what was done.
    SeriesWriteError
        They were changed in two places, or the metadata of the image were.
    ImageError
        The image is not of the size and place of the volume.
    """
    derivation = volume.derivation
    of_array, of_image = _array_edit(volume, before), _image_edit(volume, before)
    if derivation is not None and derivation.image is not None:
        for edit in (of_array, of_image):
            if edit is not None:
                raise SeriesWriteError(f"{edit}, and another image was given to derive; give one of them only.")
        if not derivation.comment:
            raise VerificationError("An image was given to derive without a description of what was done.")
        return placed(derivation.image, volume, regrid=derivation.regrid)
    edit = of_array or of_image
    if edit is None:
        return None
    if derivation is None or not derivation.comment:
        raise VerificationError(
            f"{edit}; to write them, say what was done: derive(volume, description=...).", path=_first_file(edit)
        )
    if of_image is None:
        return volume.array_zyx, None
    values, placement = placed(volume.image, volume, regrid=derivation.regrid)
    if of_array is not None and not np.array_equal(values, volume.array_zyx):
        raise SeriesWriteError("`array_zyx` and `image` of the volume hold other values; change one of them only.")
    return values, placement


class _Edit(str):
    """What was edited, for a message; ``file`` is the first file that it is about."""

    file: str | None = None


def _first_file(edit: str) -> str | None:
    return edit.file if isinstance(edit, _Edit) else None


def _array_edit(volume: Volume, before: AsRead) -> str | None:
    """Return how the array differs from what was read; ``None`` if it does not."""
    if volume.array_zyx.shape != before.shape:
        raise VerificationError("The volume has other slices or pixels in `array_zyx` than the source.")
    return _pixel_edit("array_zyx", volume.array_zyx, before)


def _image_edit(volume: Volume, before: AsRead) -> str | None:
    """Return how the image differs from what was read; ``None`` if it does not."""
    edit = image_edit(volume, before)
    front = front_end(before.backend, before.pixel_type)
    return edit or _pixel_edit("image", front.array_view(volume.image, before.pixel_type), before)


def image_edit(volume: Volume, before: AsRead) -> str | None:
    """Return how the image differs from what was read in anything but its pixels; ``None`` if it does not.

    Raises
    ------
    SeriesWriteError
        Its own metadata were edited.
    """
    image, (expected, pixel_kind), front = volume.image, before.image_type, front_end(before.backend, before.pixel_type)
    if type(image) is not expected or front.pixel_kind(image) != pixel_kind:
        return (
            f"The `image` of the volume is of another type ({type(image).__name__}) than that which was read"
            f" ({expected.__name__})"
        )
    if front.region(image) != before.region:
        return "The `image` of the volume has another size than that which was read"
    kept, entries = front.entries(before.image_dictionary), front.entries(front.dictionary_of(image))
    key = next((key for key, text in sorted(entries.items()) if kept.get(key) != text), None)
    if key is not None:
        raise SeriesWriteError(
            f"The metadata of `image` were edited ({key}), which is not carried: edit `metadata` of the slices."
        )
    if tuple(front.geometry(image)) != before.geometry:
        return "The geometry of the image was edited"
    return None


def _pixel_edit(field: str, pixels: Array, before: AsRead) -> str | None:
    """Return in which slice pixels differ from what was read; ``None`` if in none."""
    for plane, now, expected in zip(before.planes, pixels, before.pixels, strict=True):
        if not _has_digest(now, expected, before.pixel_type):
            edit = _Edit(f"The pixels of {plane.instance.name} in `{field}` are not those of the source")
            edit.file = plane.instance.name
            return edit
    return None


def edited_metadata(volume: Volume, before: AsRead) -> dict[str, dict[str | int, str | None]]:
    """Return the entries of metadata dictionaries that were changed: value by tag, ``None`` if erased, by instance.

    Raises
    ------
    SeriesWriteError
        They are none of attributes, or no texts; or those of a frame, or of a volume that is not derived.
    """
    result: dict[str, dict[str | int, str | None]] = {}
    for plane, changes in changed_entries(volume, before):
        key, name = next(iter(changes)), plane.instance.name
        tag = f"({key.upper().replace('|', ',')})"
        if plane.frame is not None or volume.derivation is None:
            reason = "a copy keeps its headers" if plane.frame is None else "frames have no headers of their own"
            raise SeriesWriteError(f"The metadata of {name} were edited ({key}), and {reason}.", path=name, tag=tag)
        result[name] = {int(key.replace("|", ""), 16): value for key, value in changes.items()}
    return result


def changed_entries(volume: Volume, before: AsRead) -> list[tuple[Plane, dict[str, str | None]]]:
    """Return the slices whose metadata dictionaries were changed, and the entries: ``None`` if erased, by key.

    Raises
    ------
    SeriesWriteError
        They are not one dictionary of the front end for each slice, or have entries that are none of attributes or no
        texts.
    """
    if len(volume.metadata) != len(before.dictionaries):
        raise SeriesWriteError(
            f"The volume has {counted(len(volume.metadata), 'metadata dictionary', 'metadata dictionaries')} for"
            f" {counted(len(before.dictionaries), 'slice')}."
        )
    if [type(dictionary) for dictionary in volume.metadata] != [type(was) for was in before.dictionaries]:
        raise _edited("metadata", "does not hold one dictionary of its front end for each slice")
    front = front_end(before.backend, before.pixel_type)
    result = []
    for plane, now, was in zip(before.planes, volume.metadata, before.dictionaries, strict=True):
        name, keys = plane.instance.name, front.differences(now, was)
        entries = front.entries(now) if keys else {}
        for key in keys:
            if not _ENTRY.fullmatch(key):
                raise SeriesWriteError(f"The metadata of {name} have an entry that is no attribute.", path=name)
            if now.HasKey(key) and not isinstance(entries.get(key), str):
                raise SeriesWriteError(
                    f"The metadata of {name} were edited ({key}) with a value that is no text (str).", path=name
                )
        if keys:
            result.append((plane, {key: entries.get(key) for key in keys}))
    return result


_ENTRY = re.compile(r"[0-9a-f]{4}\|[0-9a-f]{4}")
"""Keys of attributes in metadata dictionaries."""


def _has_digest(pixels: Array, expected: str, pixel_type: PixelType) -> bool:
    """Tell whether pixels, in whatever numpy type, are those of a digest."""
    with np.errstate(invalid="ignore"):  # of numbers beyond the type, which are not equal then
        in_type = pixels.astype(DTYPES[pixel_type])
    return np.array_equal(in_type, pixels) and digest(in_type) == expected


def _edited(field: str, reason: str) -> SeriesWriteError:
    """Return the error for a field of a volume that is not as it was read."""
    return SeriesWriteError(f"`{field}` of the volume {reason}; a volume is written as it was read.")


def _check_fields(volume: Volume) -> None:
    """Refuse fields of a volume of another type than they were read with."""
    for field, kinds_of in (("series", Series), ("array_zyx", np.ndarray), ("derivation", Derivation | None)):
        if not isinstance(value := getattr(volume, field), kinds_of):
            raise _edited(field, f"is of type {type(value).__name__}")
    if np.ma.isMaskedArray(volume.array_zyx):
        raise _edited("array_zyx", "is masked, which is not carried")
    for field in ("planes", "metadata"):
        if not isinstance(value := getattr(volume, field), (list, tuple)):
            raise _edited(field, f"is of type {type(value).__name__}")
    if volume.backend not in NAMES:
        raise _edited("backend", "names no front end")
    if volume.derivation is not None and volume.derivation.comment != "":
        CHECKS["description"]("description", volume.derivation.comment)


def _check_source(volume: Volume, before: AsRead) -> None:
    """Refuse a volume whose series or planes are not those that were read."""
    series = volume.series
    if not series.instances:
        raise _edited("series", "holds no instances")
    if series.directory != before.series.directory:
        raise _edited("series", "holds other instances than those of its folder")
    as_they_were = {instance.name: instance for instance in before.series.instances}
    for instance in series.instances:
        was = as_they_were.get(instance.name) if isinstance(instance, Instance) else None
        if was is None or instance.path != was.path:
            raise _edited("series", "holds other instances than those of its folder")
        if not instance.is_same(was):
            raise VerificationError(
                f"{instance.name} is not what was read: what the volume says of it is another one.", path=instance.name
            )
    by_name = {instance.name: instance for instance in series.instances}
    for plane in volume.planes:
        of_series = by_name.get(plane.instance.name) if isinstance(plane, Plane) else None
        if of_series is None or not of_series.is_same(plane.instance):
            raise _edited("planes", "are not those of its series")
    seen = list(dict.fromkeys(plane.instance.name for plane in volume.planes))
    if set(seen) != set(by_name):
        raise _edited("planes", "are not those of its series")
    if [*by_name] not in (seen, [instance.name for instance in ordered(series.instances)]):
        raise _edited("series", "holds its instances in another order")
    if series.series_instance_uid != before.series.series_instance_uid:
        raise _edited("series", "has another Series Instance UID than its instances")
    now, then = (
        [(plane.instance.name, plane.frame, repr(plane.carriage)) for plane in planes]
        for planes in (volume.planes, before.planes)
    )
    if now != then:
        raise _edited("planes", "are not those that were read")


def check_datasets(before: AsRead) -> None:
    """Refuse data sets of `Volume.dataset` that were edited, which is not carried."""
    instances = {instance.name: instance for instance in before.series.instances}
    for name, dataset in before.datasets.items():
        source = read_dataset(instances[name], before.sources)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's warnings may quote values
            tag = _edited_tag(dataset, source) or _edited_tag(dataset.file_meta, source.file_meta)
        if tag is not None:
            raise SeriesWriteError(
                f"The data set of {name} was edited at {tag_text(tag)}, which is not carried: edit `metadata` of its"
                " slice, or pass set= to derive.",
                path=name,
                tag=tag_text(tag),
            )


def _edited_tag(dataset: Dataset, source: Dataset) -> int | None:
    """Return the first tag whose element differs from that of the source, at any depth; ``None`` without any."""
    for tag in sorted({*dataset.keys(), *source.keys()}):
        if tag not in dataset or tag not in source:
            return tag
        now, was = dataset.get_item(tag), source.get_item(tag)
        if isinstance(now, RawDataElement) and isinstance(was, RawDataElement) and now.value == was.value:
            continue  # nobody looked at it; maybe it cannot be decoded
        now, was = dataset[tag], source[tag]
        if now.VR != was.VR:
            return tag
        if now.VR == "SQ":
            if any(None in pair or _edited_tag(*pair) is not None for pair in zip_longest(now.value, was.value)):
                return tag
        elif now.value != was.value and repr(now.value) != repr(was.value):  # NaN is not equal to itself
            return tag
    return None


def _check_whole(planes: Sequence[Plane]) -> None:
    """Refuse to write some frames of an instance without the others."""
    read = Counter(plane.instance.name for plane in planes)
    for plane in planes:
        if read[plane.instance.name] < plane.instance.planes:
            raise SeriesWriteError(
                f"{plane.instance.name} holds {plane.instance.planes} frames, of which the volume has"
                f" {read[plane.instance.name]}; an instance is written with all of its frames, by `roundtrip`.",
                path=plane.instance.name,
            )
