"""The two front ends of ITK: its own Python, and SimpleITK, each a module with the functions of :class:`FrontEnd`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from itk_roundtrip.arguments import Backend as Backend
from itk_roundtrip.itk_io import _itk, _simpleitk
from itk_roundtrip.pixels.formats import Array, PixelType
from itk_roundtrip.series.lattice import Lattice

NAMES: dict[Backend, str] = {"itk": "ITK", "simpleitk": "SimpleITK"}
NOT_NEEDED = ("IPython", "distributed")
"""Packages that ITK's Python imports if they are there, for programs that use them: a second more in each process."""


class FrontEnd(Protocol):
    """What the package asks of ITK, in the order of its example DicomSeriesReadSeriesWrite."""

    SHARES_MEMORY: bool
    """An image and the array of its pixels share their memory."""

    def load(self) -> Any:
        """Import the modules that read and write."""

    def load_for_caller(self) -> None:
        """Import what the caller may ask of an image and its dictionaries, as any image of ITK does it."""

    def version(self) -> str:
        """Return the version of the front end."""

    def series_file_names(
        self, view: str, series_instance_uid: str, output_directory: str
    ) -> tuple[list[str], list[str]]:
        """Order the files of a folder with GDCMSeriesFileNames; return names of input and output."""

    def read_series(
        self, file_names: Sequence[str], pixel_type: PixelType, *, private: bool = False, pixels: bool = True
    ) -> tuple[Any, list[Any]]:
        """Read slices with ImageSeriesReader and GDCMImageIO: an image, and a dictionary per slice.

        Private attributes are in the dictionaries if ``private``; GDCM refuses to write most of them. Without
        ``pixels`` those of most slices need not be read: the image has the geometry of the series.
        """

    def copies(self, dictionaries: Sequence[Any]) -> tuple[Any, ...]:
        """Return copies of dictionaries."""

    def edit_dictionary(self, dictionary: Any, edits: Mapping[str, str | None]) -> None:
        """Set or, for ``None``, erase entries of a dictionary in place."""

    def image_of(self, array_zyx: Array, pixel_type: PixelType, like: Any) -> Any:
        """Return an image of an array, with the geometry of another image."""

    def write_series(
        self,
        array_zyx: Array,
        pixel_type: PixelType,
        like: Any,
        dictionaries: Sequence[Any],
        file_names: Sequence[str],
    ) -> None:
        """Write slices with their dictionaries through a fresh GDCMImageIO.

        Parameters
        ----------
        array_zyx
            The pixels, shape (slices, rows, columns), samples behind.
        pixel_type
            Of the image that is made of them.
        like
            Image that lends its geometry, if any.
        dictionaries
            One per slice, or none at all.
        file_names
            One per slice.
        """

    def write_nothing(self, file_name: str) -> None:
        """Write a small DICOM file, which names GDCM in its File Meta Information."""

    def dictionary_of(self, image: Any) -> Any:
        """Return the dictionary of an image itself."""

    def differences(self, first: Any, second: Any) -> list[str]:
        """Return the keys, as ``gggg|eeee``, in which two dictionaries differ, sorted."""

    def entries(self, dictionary: Any) -> dict[str, str]:
        """Return the entries of a dictionary that are texts, by key."""

    def size(self, image: Any) -> tuple[int, ...]:
        """Return the size of an image: columns, rows, slices."""

    def region(self, image: Any) -> tuple[int, ...]:
        """Return index and size of the regions of an image, as far as the front end has any."""

    def pixel_kind(self, image: Any) -> tuple[int, ...]:
        """Return dimension, pixel type and components of an image, where its class does not say them."""

    def geometry(self, image: Any) -> list[float]:
        """Return origin, spacing and, row by row, direction of an image, in mm and LPS."""

    def set_direction(self, image: Any, direction: NDArray[np.float64]) -> None:
        """Set the direction of an image."""

    def array_view(self, image: Any, pixel_type: PixelType) -> Array:
        """Return the pixels of an image, shape (slices, rows, columns), samples behind."""

    def copy_of(self, array_zyx: Array, pixel_type: PixelType, geometry: Sequence[float]) -> Any:
        """Return an image that holds a copy of an array, with a geometry as :meth:`geometry` returns it."""

    def is_image(self, value: Any) -> bool:
        """Tell whether a value is an image of this front end, of any dimension; nothing is imported for it."""

    def pixels(self, image: Any) -> Array:
        """Return the pixels of any image, shape ([slices,] rows, columns), components behind."""

    def lattice(self, image: Any) -> Lattice:
        """Return where the voxels of any image lie."""


def front_end(backend: Backend, pixel_type: PixelType = "SS") -> FrontEnd:
    """Return the module that reads and writes images of a pixel type.

    ITK's Python wraps no series of 16-bit RGB: SimpleITK carries them, whichever was asked for.
    """
    return _simpleitk if backend == "simpleitk" or pixel_type == "RGBUS" else _itk
