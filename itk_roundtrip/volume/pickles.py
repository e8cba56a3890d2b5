"""Pickles of volumes: the image as an array with its geometry, its metadata as dictionaries of Python.

ITK's dictionaries do not pickle, and cannot be made again: they give texts of any bytes, but take only UTF-8.
What was edited in a volume is found as well in the volume that comes out of its pickle.
"""

from __future__ import annotations

import copyreg
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from itk_roundtrip.errors import SeriesWriteError
from itk_roundtrip.itk_io._simpleitk import Dictionary
from itk_roundtrip.itk_io.front_ends import front_end
from itk_roundtrip.volume.edited import changed_entries, check_datasets, image_edit
from itk_roundtrip.volume.volume import AsRead, Volume


def reduced(volume: Volume) -> tuple[Callable[..., Volume], tuple[Any, ...]]:
    """Return what makes a volume, for pickle: a function and its arguments.

    Raises
    ------
    SeriesWriteError
        Its image was replaced, moved or given metadata, its metadata hold something else than texts, or a data set of
        it was edited.
    """
    before = volume.as_read
    if before is None:
        raise SeriesWriteError("The volume was not made by read_series, so that it is not pickled.")
    front = front_end(before.backend, before.pixel_type)
    if edit := image_edit(volume, before):
        raise SeriesWriteError(f"{edit}, which is not pickled; pass the image to derive.")
    changed_entries(volume, before)  # that they are texts
    check_datasets(before)  # they need not pickle, and are read again
    array_zyx, pixels = np.asarray(volume), np.asarray(front.array_view(volume.image, before.pixel_type))
    is_shared = array_zyx.dtype == pixels.dtype and array_zyx.tobytes() == pixels.tobytes()
    old, new = ([Dictionary(front.entries(item)) for item in of] for of in (before.dictionaries, volume.metadata))
    record = replace(before, dictionaries=tuple(old), image_dictionary=None, image_type=(), datasets={})
    fields = {
        **vars(volume),
        "image": None if is_shared else pixels,
        "array_zyx": array_zyx,
        "metadata": new,
        "as_read": record,
    }
    return restored, (fields,)


def restored(fields: dict[str, Any]) -> Volume:
    """Return the volume of these fields, with an image of its front end; its metadata are those of Python."""
    before: AsRead = fields["as_read"]
    front = front_end(before.backend, before.pixel_type)
    front.load_for_caller()
    pixels, array_zyx = fields["image"], fields["array_zyx"]
    image = front.copy_of(array_zyx if pixels is None else pixels, before.pixel_type, before.geometry)
    if pixels is None:
        array_zyx = front.array_view(image, before.pixel_type)  # which may share the image's memory
    record = replace(
        before,
        image_type=(type(image), front.pixel_kind(image)),
        image_dictionary=front.copies([front.dictionary_of(image)])[0],
    )
    return Volume(**{**fields, "image": image, "array_zyx": array_zyx, "as_read": record})


copyreg.pickle(Volume, reduced)
