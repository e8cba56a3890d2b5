"""A volume: an image of ITK, and for each slice its metadata dictionary and its source, in slice order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from itk_roundtrip.arguments import Code, NanTo, checked, instance_of
from itk_roundtrip.errors import RoundtripError

if TYPE_CHECKING:
    from itk_roundtrip.arguments import Backend
    from itk_roundtrip.itk_io.view import Plane
    from itk_roundtrip.pixels.formats import Array, PixelType
    from itk_roundtrip.series.find import Series


@dataclass(frozen=True)
class Derivation:
    """What a derived series says of itself, and how its values may be stored.

    Attributes
    ----------
    comment
        The caller's text for Derivation Description (0008,2111): of processed pixels the operation, else a comment.
    codes
        Code Value, Coding Scheme Designator and Code Meaning of each step, for Derivation Code Sequence (0008,9215).
    footprint_slices
        Slices on each side that contributed to the values of a slice; ``None`` if the whole volume did.
    units, rescale_type
        Units of the values, and Rescale Type (0028,1054); ``None`` if they are those of the source.
    max_error
        Largest error permitted, in real-world units; ``None`` permits half a step of the grid that holds the values.
    allow_clip, nan_to
        Clip values that no grid holds; write NaN and infinite values as ``padding``.
    allow_irregular
        Process slices that are no regular grid as if they were one.
    regrid
        The image may lie elsewhere in the patient space: a new grid.
    set
        Values of attributes by keyword or tag.
    image
        Image or array of processed values, or the path of its file; ``None`` if the volume itself holds the values.
    """

    comment: str = ""
    codes: tuple[tuple[str, str, str], ...] = ()
    footprint_slices: int | None = 0
    units: str | None = None
    rescale_type: str | None = None
    max_error: float | None = None
    allow_clip: bool = False
    nan_to: Literal["padding"] | None = None
    allow_irregular: bool = False
    regrid: bool = False
    set: Mapping[str | int, Any] = field(default_factory=dict)
    image: Any = field(default=None, repr=False)


NO_DERIVATION = Derivation()
"""Of a series that nothing is said of."""


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

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array that was read: slices, rows, columns, samples behind if there are several."""
        carriage, instance = self.planes[0].carriage, self.planes[0].instance
        samples = carriage.pixel_format.samples
        return (len(self.planes), instance.rows or 0, instance.columns or 0, *([samples] if samples > 1 else []))


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
    path="read what it holds first: read_series(path)",
)
"""Check of an argument that must be a volume; it says what else to pass."""


@checked(volume=check_volume)
def derive(
    volume: Volume,
    *,
    image: Any = None,
    description: str | None = None,
    codes: Sequence[Code] = (),
    footprint_slices: int | None = 0,
    units: str | None = None,
    rescale_type: str | None = None,
    max_error: float | None = None,
    allow_clip: bool = False,
    nan_to: NanTo | None = None,
    allow_irregular: bool = False,
    regrid: bool = False,
    set: Mapping[str | int, Any] | None = None,  # noqa: A002, the name of the option
) -> Volume:
    """Return a volume that :func:`write_series` writes as a new series of derived instances.

    Parameters
    ----------
    volume
        From :func:`read_series`. Values that were changed in ``array_zyx`` or ``image`` are written if ``description``
        says what was done.
    image
        Processed values, where the volume does not hold them: an ``itk.Image``, a ``SimpleITK.Image``, an array (z, y,
        x) or the path of a file that ITK reads, of the same size and place as the volume, unless ``regrid``.
    description
        Text for Derivation Description (0008,2111), one line of ASCII: what was done to the values. Where they stay as
        they were read, it stands behind ``user comment``.
    codes, footprint_slices, units, rescale_type, max_error, allow_clip, nan_to, allow_irregular, regrid, set
        As for :func:`roundtrip`; a function in ``set`` gets the index of the slice.

    Raises
    ------
    RoundtripError
        The volume is derived already: what was said of it would be lost.

    References
    ----------
    DICOM PS3.3 C.7.6.1.1.2 Image Type, C.12.4.1.1 Derivation Description
    """
    if volume.derivation is not None:
        raise RoundtripError("The volume is derived already; derive the one that read_series returned.")
    derivation = Derivation(
        comment=description or "",
        codes=tuple(codes),
        footprint_slices=footprint_slices,
        units=units,
        rescale_type=rescale_type,
        max_error=max_error,
        allow_clip=allow_clip,
        nan_to=nan_to,
        allow_irregular=allow_irregular,
        regrid=regrid,
        set=set or {},
        image=image,
    )
    return replace(volume, derivation=derivation)
