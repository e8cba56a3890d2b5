"""A volume: an image of ITK, and for each slice its metadata dictionary and its source, in slice order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from itk_roundtrip.arguments import checked, instance_of
from itk_roundtrip.errors import RoundtripError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from itk_roundtrip.arguments import Backend
    from itk_roundtrip.itk_io.view import Plane
    from itk_roundtrip.pixels.formats import Array, PixelType
    from itk_roundtrip.series.find import Series


@dataclass(frozen=True)
class Derivation:
    """What a derived series says of itself; ``comment`` is the caller's, for Derivation Description (0008,2111)."""

    comment: str = ""


@dataclass(frozen=True)
class AsRead:
    """A volume as it was read.

    Attributes
    ----------
    series, planes, pixel_type, backend
        Fields of the volume.
    dictionaries
        Copies of its metadata dictionaries.
    image_type, region, geometry, image_dictionary
        Class of its image, the image's regions, origin, spacing and direction, and a copy of its own dictionary.
    pixels
        Digest of the pixels of each slice.
    sources
        Digest of the data set of each source file, by the name of its instance.
    """

    series: Series
    planes: tuple[Plane, ...]
    pixel_type: PixelType
    backend: Backend
    dictionaries: tuple[Any, ...]
    image_type: tuple[Any, ...]
    region: tuple[int, ...]
    geometry: tuple[float, ...]
    image_dictionary: Any
    pixels: tuple[str, ...]
    sources: Mapping[str, str]


@dataclass(frozen=True)
class Volume:
    """The slices of a series, read with ITK.

    Attributes
    ----------
    image
        An ``itk.Image`` of three dimensions, or a ``SimpleITK.Image``, which 16-bit RGB always is. Its pixels are real
        values: Rescale Slope and Intercept of each slice or frame, or Dose Grid Scaling, are applied (PS3.3 C.11.1), a
        Modality LUT is not. Origin, spacing and direction, in mm and LPS, are those of the source; where frames step
        against the normal, so does the third axis.
    array_zyx
        The same pixels as a numpy array of shape (slices, rows, columns), samples behind if there are several. It
        shares the memory of an ``itk.Image``, but not that of a ``SimpleITK.Image``.
    metadata
        One ``itk.MetaDataDictionary`` per slice, as ``metadata[i]["0008|103e"]``.
    series
        The source.
    pixel_type
        ITK's name of the pixel type: UC, SS, US, F, D, RGBUC or RGBUS.
    planes
        The source of each slice: ``planes[i].instance``, and ``planes[i].frame`` from 0 if it is a frame of several.
    backend
        Front end that read it.
    as_read
        Record of what was read, by which edits are found.
    derivation
        What the volume is to be written as; ``None`` writes the same instances again.
    """

    image: Any
    array_zyx: Array
    metadata: list[Any]
    series: Series
    pixel_type: PixelType
    planes: tuple[Plane, ...]
    backend: Backend = "itk"
    as_read: AsRead | None = field(default=None, repr=False)
    derivation: Derivation | None = None


check_volume = instance_of(
    Volume,
    "read_series",
    Series="read it first: read_series(series)",
    SeriesList="read one of them first: read_series(found[0])",
    path="find and read what it holds first: read_series(find_series(path)[0])",
)
"""Check of an argument that must be a volume; it says what else to pass."""


@checked(volume=check_volume)
def derive(volume: Volume, *, description: str | None = None) -> Volume:
    """Return a volume that :func:`write_series` writes as a new series of derived instances.

    Parameters
    ----------
    volume
        From :func:`read_series`; its pixels must stay as they were read.
    description
        Comment in Derivation Description (0008,2111), one line of ASCII. It stands behind ``user comment``: as long as
        pixels stay as they are, no other operation is named there than that they were read and written.

    Raises
    ------
    RoundtripError
        The volume is derived already: what was said of it would be lost.

    References
    ----------
    DICOM PS3.3 C.7.6.1.1.2 Image Type, C.7.6.1.1.3 Derivation Description
    """
    if volume.derivation is not None:
        raise RoundtripError("The volume is derived already; derive the one that read_series returned.")
    return replace(volume, derivation=Derivation(description or ""))
