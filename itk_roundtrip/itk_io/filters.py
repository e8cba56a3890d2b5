"""Filters of ITK by name, such as ``median:radius=1``: short examples of functions that process a volume.

Each is a function of a ``SimpleITK.Image`` of real-world values, as a user's own may be.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from itk_roundtrip.derivation.processing import Code
from itk_roundtrip.errors import FunctionError
from itk_roundtrip.itk_io._simpleitk import load
from itk_roundtrip.words import counted

_FEWEST_PIXELS = 4
"""The recursive Gaussian needs as many along each axis that it filters."""


# ------------------------------------------------------------------------------------------------------- the filters


def median(image: Any, *, radius: int) -> Any:
    """Return the median of the voxels within ``radius`` voxels along each axis, which is the value of one of them."""
    return load().Median(image, [radius] * 3)


def gaussian(image: Any, *, sigma_mm: float) -> Any:
    """Return an image smoothed with a Gaussian of ``sigma_mm`` along each axis, in float of 32 bits.

    A single slice is smoothed within its plane.
    """
    module, size = load(), image.GetSize()
    dimension = 2 if size[2] == 1 else 3
    for name, count in zip(("columns", "rows", "slices")[:dimension], size, strict=False):
        if count < _FEWEST_PIXELS:
            raise FunctionError(f"gaussian needs {_FEWEST_PIXELS} {name} or more, and the volume has {count}.")
    if dimension == 3:
        return module.SmoothingRecursiveGaussian(image, sigma_mm)
    smooth = module.JoinSeries(module.SmoothingRecursiveGaussian(image[:, :, 0], sigma_mm))
    smooth.CopyInformation(image)
    return smooth


def clamp(image: Any, *, lower: float = -math.inf, upper: float = math.inf) -> Any:
    """Return an image whose values below ``lower`` are ``lower``, and whose values above ``upper`` are ``upper``."""
    image = _holding(image, lower, upper)
    least, most = _limits(image)
    return load().Clamp(image, image.GetPixelID(), max(lower, least), min(upper, most))


def threshold(image: Any, *, lower: float = -math.inf, upper: float = math.inf, outside: float = 0) -> Any:
    """Return an image whose values below ``lower`` or above ``upper`` are ``outside``."""
    image = _holding(image, lower, upper, outside)
    least, most = _limits(image)
    return load().Threshold(image, max(lower, least), min(upper, most), outside)


def _holding(image: Any, *numbers: float) -> Any:
    """Return the image in the first type of pixels that holds all the finite numbers: its own, float, or double."""
    module = load()
    finite = np.array([number for number in numbers if math.isfinite(number)], np.float64)
    for pixel_id in (image.GetPixelID(), module.sitkFloat32):
        with np.errstate(all="ignore"):
            if np.array_equal(finite.astype(_dtype(pixel_id)).astype(np.float64), finite):
                return module.Cast(image, pixel_id)
    return module.Cast(image, module.sitkFloat64)


def _limits(image: Any) -> tuple[float, float]:
    """Return the smallest and the largest number of the pixel type of an image."""
    dtype = _dtype(image.GetPixelID())
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return float(limits.min), float(limits.max)


def _dtype(pixel_id: int) -> np.dtype[Any]:
    """Return the numpy type of a scalar pixel type of SimpleITK."""
    module = load()
    dtype: np.dtype[Any] = module.GetArrayFromImage(module.Image([1, 1, 1], pixel_id)).dtype
    return dtype


# --------------------------------------------------------------------------------------------------- filters by name


@dataclass(frozen=True)
class Filter:
    """A filter with its parameters, and what a derived series says of it.

    Attributes
    ----------
    name, parameters
        As the caller gave them; ``parameters`` without those that have their default.
    derivation
        What it does to the values, with its parameters, for Derivation Description (0008,2111).
    code
        For Derivation Code Sequence (0008,9215): a code of CID 7203 that truly says the same; ``None`` if none does.
    footprint_slices
        How many slices on each side take part in a slice of the result; ``None`` if all of the volume do.
    """

    name: str
    parameters: Mapping[str, Any] = field(hash=False)
    derivation: str
    code: Code | None
    footprint_slices: int | None

    def __call__(self, image: Any) -> Any:
        """Return the filtered image; colours are filtered one by one."""
        function, module = _FUNCTIONS[self.name], load()
        count = image.GetNumberOfComponentsPerPixel()
        if count == 1:
            return function(image, **self.parameters)
        colours = [module.VectorIndexSelectionCast(image, index) for index in range(count)]
        return module.Compose([function(colour, **self.parameters) for colour in colours])


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "clamp": clamp,
    "gaussian": gaussian,
    "median": median,
    "threshold": threshold,
}


def parse_filter(text: str) -> Filter:
    """Return the filter that a text such as ``gaussian:sigma_mm=1.5`` names.

    Parameters
    ----------
    text
        Name, and behind a colon the parameters ``name=number``, separated by commas.

    Raises
    ------
    FunctionError
        There is no such filter, or its parameters are not those that it has.
    """
    name, _, given = text.partition(":")
    if name not in _FUNCTIONS:
        raise FunctionError(f"There is no filter {_quoted(name)}; the filters are {', '.join(_FUNCTIONS)}.")
    known = list(inspect.signature(_FUNCTIONS[name]).parameters)[1:]
    parameters: dict[str, float] = {}
    for part in filter(None, given.split(",")):
        key, separator, number = part.partition("=")
        if key not in known:
            raise FunctionError(f"{name} has no parameter {_quoted(key)}; it has {', '.join(known)}.")
        if key in parameters:
            raise FunctionError(f"{name} got {key} twice.")
        parameters[key] = _number(number) if separator else math.nan
        if not math.isfinite(parameters[key]):
            raise FunctionError(f"{key} of {name} must be a number, as in {key}=1, not {_quoted(number)}.")
    return _described(name, parameters)


def _described(name: str, parameters: Mapping[str, float]) -> Filter:
    """Return the filter with these parameters; refuse values that it cannot have."""
    if name == "median":
        radius = parameters.get("radius")
        if not isinstance(radius, int) or radius < 1:
            raise FunctionError("median needs a whole number of voxels of 1 or more, as in median:radius=1.")
        return Filter(name, parameters, f"median filter, radius {counted(radius, 'voxel')}", None, radius)
    if name == "gaussian":
        sigma = parameters.get("sigma_mm", 0)
        if sigma <= 0:
            raise FunctionError("gaussian needs a length above 0 mm, as in gaussian:sigma_mm=1.0.")
        derivation = f"Gaussian smoothing in 32-bit float, sigma {sigma} mm"
        return Filter(name, parameters, derivation, Code("113088", "DCM", "Gaussian blur"), None)
    lower, upper = parameters.get("lower"), parameters.get("upper")
    if lower is None and upper is None:
        raise FunctionError(f"{name} needs lower, upper or both, as in {name}:lower=0,upper=100.")
    if lower is not None and upper is not None and lower > upper:
        raise FunctionError(f"lower of {name} is {lower}, above upper, {upper}.")
    parts = []
    for word, limit in (("below", lower), ("above", upper)):
        if limit is not None:
            parts.append(f"values {word} {limit} set to {limit if name == 'clamp' else parameters.get('outside', 0)}")
    return Filter(name, parameters, ", ".join(parts), None, 0)


def _number(text: str) -> float:
    """Return the number that a text of JSON is; NaN if it is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return math.nan
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan


def _quoted(text: str) -> str:
    return f'"{text}"' if len(text) <= 40 and text.isprintable() else f"of {counted(len(text), 'character')}"
