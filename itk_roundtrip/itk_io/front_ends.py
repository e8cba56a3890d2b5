"""The two front ends of ITK: its own Python, and SimpleITK. Both have the same functions."""

from __future__ import annotations

from types import ModuleType

from itk_roundtrip.arguments import Backend as Backend
from itk_roundtrip.itk_io import _itk, _simpleitk
from itk_roundtrip.pixels.formats import PixelType

NAMES: dict[Backend, str] = {"itk": "ITK", "simpleitk": "SimpleITK"}


def front_end(backend: Backend, pixel_type: PixelType = "SS") -> ModuleType:
    """Return the module that reads and writes images of a pixel type.

    ITK's Python wraps no series of 16-bit RGB: SimpleITK carries them, whichever was asked for.
    """
    return _simpleitk if backend == "simpleitk" or pixel_type == "RGBUS" else _itk
