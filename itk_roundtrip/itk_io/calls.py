"""What a call of ITK or SimpleITK needs around it: its errors in harmless words, the locale put back, geometry.

Their own words may quote paths and values.
"""

from __future__ import annotations

import locale
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from itk_roundtrip.errors import RoundtripError


@contextmanager
def translated(error: type[RoundtripError], message: str, **fields: Any) -> Iterator[None]:
    """Turn whatever ITK throws, always a RuntimeError with a banner of its source file, into one of ours."""
    try:
        yield
    except RoundtripError:
        raise
    except (RuntimeError, TypeError, OSError, MemoryError) as thrown:
        raise error(f"{message} ({_summary(thrown)}).", **fields) from None


def copy_geometry(source: Any, target: Any) -> None:
    """Lay an image where another one of the same front end lies: origin, spacing, direction."""
    target.SetOrigin(source.GetOrigin())
    target.SetSpacing(source.GetSpacing())
    target.SetDirection(source.GetDirection())


@contextmanager
def kept_locale() -> Iterator[None]:
    """Put the locale of the process back: ITK's writer swaps it and does not restore all of it."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)


def _summary(thrown: BaseException) -> str:
    """Return the kind of an ITK error in a few harmless words."""
    text = str(thrown)
    for pattern, meaning in _MEANINGS:
        if re.search(pattern, text):
            return meaning
    return "ITK: " + type(thrown).__name__


_MEANINGS = (
    (r"Cannot read requested file|ReadImageInformation", "ITK: cannot read the file"),
    (r"Could not create IO object", "ITK: no reader for the file"),
    (r"Both RescaleSlope", "ITK: Rescale Slope without Intercept or the other way round"),
    (r"slope == \(int\)slope|dmin <= dmax", "GDCM: it cannot apply this Rescale Slope"),
    (r"does not support this component type", "GDCM: it does not support this component type"),
    (r"gdcmStringFilter|gdcmVR", "GDCM: an element that it does not know"),
    (r"PF\.Get|BitsStored|BitsAllocated", "GDCM: a pixel format that it does not support"),
    (r"Failed to change to Implicit|Failed to get the buffer", "GDCM: it cannot decode the pixels"),
    (r"Size mismatch", "ITK: the sizes of the slices differ"),
    (r"Cannot write|cannot open|Could not open", "ITK: cannot write the file"),
)


def refusal(thrown: BaseException) -> str:
    """Return what ITK or SimpleITK refused, in a few harmless words: their own may quote paths and values."""
    text = str(thrown)
    known = next((meaning for pattern, meaning in _REFUSALS if re.search(pattern, text)), None) or _summary(thrown)
    place = re.search(r"/((?:gdcm|itk)\w+\.(?:cxx|h|hxx|txx)):(\d+)", text)
    unknown = known == f"ITK: {type(thrown).__name__}"
    return f"thrown by {place[1]}, line {place[2]}" if unknown and place else known


_REFUSALS = (
    (r"At least one filename|no series", "ITK: no series found in the folder"),
    (r"filenames passed is", "ITK: it made more or fewer slices of the files than there are files"),
    (r"Pixel type larger than output type", "ITK: no pixel type for the real values"),
    (r"intercept == \(int\)intercept", "GDCM: it cannot apply this Rescale Intercept"),
    (r"does not fully contain", "ITK: the sizes of the slices differ"),
    (r"Problem reading Rescale", "ITK: Rescale Slope or Intercept is no number"),
    (r"direction cosines", "ITK: the orientation is none"),
    (r"Zero-valued spacing", "ITK: a spacing of 0"),
    (r"Failed to allocate", "ITK: no memory for the image"),
    (r"Unknown exception", "SimpleITK: unknown exception"),
)
