"""A volume: an image of ITK, and for each slice its metadata dictionary and its source, in slice order."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from itk_roundtrip.arguments import Code, NanTo, checked, instance_of
from itk_roundtrip.display import as_html
from itk_roundtrip.errors import RoundtripError, SeriesReadError, SeriesWriteError, UnsupportedSeriesError

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

    from itk_roundtrip.arguments import Backend
    from itk_roundtrip.itk_io._simpleitk import Image as SimpleITKImage
    from itk_roundtrip.itk_io.view import Plane
    from itk_roundtrip.pixels.formats import Array, PixelType
    from itk_roundtrip.series.find import Instance, Series


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
    set: Mapping[str | int, Any] = field(default_factory=dict, repr=False)
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
    datasets
        Data sets that :meth:`Volume.dataset` returned, by the name of their file.
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
    datasets: dict[str, FileDataset] = field(default_factory=dict, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array that was read: slices, rows, columns, samples behind if there are several."""
        carriage, instance = self.planes[0].carriage, self.planes[0].instance
        samples = carriage.pixel_format.samples
        return (len(self.planes), instance.rows or 0, instance.columns or 0, *([samples] if samples > 1 else []))


class MetaDataDictionary(Protocol):
    """The metadata of a slice as ITK reads them: texts by keys ``gggg|eeee``, in an ``itk.MetaDataDictionary``."""

    def __getitem__(self, key: str, /) -> str: ...

    def __setitem__(self, key: str, value: str, /) -> None: ...

    def __len__(self) -> int: ...

    def GetKeys(self) -> Sequence[str]:  # noqa: N802, ITK's name
        """Return the keys."""

    def HasKey(self, key: str, /) -> bool:  # noqa: N802, ITK's name
        """Tell whether there is an entry."""

    def Erase(self, key: str, /) -> bool:  # noqa: N802, ITK's name
        """Remove an entry."""


@dataclass(frozen=True, eq=False)
class Volume:
    """The slices of a series, read with ITK.

    ``len`` is their number, iteration gives the array of each, and ``numpy.asarray`` ``array_zyx``. A pickle holds
    pixels, metadata and what was edited; the source files must be there when the volume is written.

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
        One ``itk.MetaDataDictionary`` per slice, as ``metadata[i]["0008|103e"]``; private attributes too, binary ones
        in Base64, but no sequences. :meth:`dataset` has all.
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

    image: Any  # ITK's Python has no types
    array_zyx: Array
    metadata: list[MetaDataDictionary]
    series: Series
    pixel_type: PixelType
    planes: tuple[Plane, ...]
    backend: Backend = "itk"
    as_read: AsRead | None = field(default=None, repr=False)
    derivation: Derivation | None = None

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.array_zyx.shape))
        derived = "" if self.derivation is None else ", derived"
        of = f"{self.series.modality} {self.series.description!r}"
        return f"<Volume {size} (z, y, x) {self.pixel_type} of {of}{derived}>"

    def _repr_html_(self) -> str:
        return as_html(self)

    def __len__(self) -> int:
        return len(self.array_zyx)

    def __iter__(self) -> Iterator[Array]:
        return iter(self.array_zyx)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.array_zyx, dtype, copy=copy)

    def to_itk(self) -> Any:
        """Return the volume as an ``itk.Image``: ``image`` if that is one, else a copy of its pixels and geometry.

        Raises
        ------
        UnsupportedSeriesError
            It holds 16-bit colours, of which ITK's Python has no images of three dimensions.
        SeriesWriteError
            ``image`` and ``array_zyx`` hold other values.
        """
        if self.pixel_type == "RGBUS":
            raise UnsupportedSeriesError("ITK's Python has no images of 16-bit colours; use to_simpleitk().")
        return self._as_image("itk")

    def to_simpleitk(self) -> SimpleITKImage:
        """Return the volume as a ``SimpleITK.Image``: ``image`` if that is one, else a copy of its pixels and geometry.

        Raises
        ------
        SeriesWriteError
            ``image`` and ``array_zyx`` hold other values.
        """
        image: SimpleITKImage = self._as_image("simpleitk")
        return image

    def _as_image(self, backend: Backend) -> Any:
        from itk_roundtrip.itk_io.front_ends import front_end

        own, wanted = front_end(self.backend, self.pixel_type), front_end(backend)
        pixels = own.pixels(self.image) if own.is_image(self.image) else None
        if pixels is None or pixels.dtype != self.array_zyx.dtype or not _are_same(pixels, self.array_zyx):
            raise SeriesWriteError(
                "`image` and `array_zyx` of the volume hold other values; take the one that you mean."
            )
        if wanted is own:
            return self.image
        wanted.load_for_caller()
        return wanted.copy_of(np.asarray(self), self.pixel_type, own.geometry(self.image))

    def dataset(self, index: int) -> FileDataset:
        """Return the data set of the source file of a slice as pydicom reads it, without its pixels, for reading.

        A frame has that of its file. It is the same each time: :func:`write_series` refuses a volume of which a data
        set was edited; edit ``metadata``, or a ``copy.deepcopy`` of it for another use.

        Parameters
        ----------
        index
            Of the slice, from 0.

        Raises
        ------
        RoundtripError
            There is no such slice.
        SeriesReadError
            The file is gone, or not what was read.
        """
        if not 0 <= index < len(self.planes):
            raise RoundtripError(f"The volume has slices 0 to {len(self.planes) - 1}; {index} is none.")
        if self.as_read is None:
            raise RoundtripError("The volume was not made by read_series, so that its files are not known.")
        instance = self.planes[index].instance
        if instance.name not in self.as_read.datasets:
            self.as_read.datasets[instance.name] = read_dataset(instance, self.as_read.sources)
        return self.as_read.datasets[instance.name]


def read_dataset(instance: Instance, sources: Mapping[str, str]) -> FileDataset:
    """Return the data set of a file without its pixels; refuse one that is gone or was changed since it was read.

    Parameters
    ----------
    instance
        The file.
    sources
        Digests of data sets by the names of their files.
    """
    from itk_roundtrip.dicom.headers import read_header
    from itk_roundtrip.dicom.reading import read_without_pixels

    if read_header(instance.path, instance.name).digest != sources.get(instance.name):
        raise SeriesReadError(
            f"{instance.name} is not what was read: the file was changed since; read the series again.",
            path=instance.name,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings may quote values
        return read_without_pixels(instance.path)


def _are_same(pixels: Array, others: Array) -> bool:
    """Tell whether arrays hold the same values, NaN at the same places."""
    return np.array_equal(pixels, others, equal_nan=pixels.dtype.kind == "f")


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
