"""Exceptions of ITK and SimpleITK in harmless words, the locale of the process kept, the geometry of an image copied.

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
    """Turn an exception of ITK into ``error``, with a summary of it in harmless words behind the message.

    ITK throws RuntimeErrors with a banner of its source file.
    """
    try:
        yield
    except RoundtripError:
        raise
    except (RuntimeError, TypeError, OSError, MemoryError) as thrown:
        raise error(f"{message} ({_summary(thrown)}).", **fields) from None


def copy_geometry(source: Any, target: Any) -> None:
    """Copy origin, spacing and direction of an image to another image of the same front end."""
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
    """Return what an exception of ITK means, in a few harmless words."""
    text = str(thrown)
    for pattern, meaning in _MEANINGS:
        if re.search(pattern, text):
            return meaning
    return "ITK: " + type(thrown).__name__


_MEANINGS = (
    (r"Cannot read requested file|ReadImageInformation", "ITK: cannot read the file"),
    (r"Could not create IO object|Unable to determine ImageIO", "ITK: no reader for the file"),
    (r"Both RescaleSlope", "ITK: Rescale Slope without Intercept or the other way round"),
    (r"slope == \(int\)slope|dmin <= dmax", "GDCM: it cannot apply this Rescale Slope"),
    (r"does not support this component type", "GDCM: it does not support this component type"),
    (r"gdcmStringFilter|gdcmVR", "GDCM: an element that it does not know"),
    (r"PF\.Get|BitsStored|BitsAllocated", "GDCM: a pixel format that it does not support"),
    (r"Failed to change to Implicit|Failed to get the buffer", "GDCM: it cannot decode the pixels"),
    (r"no pixels", "ITK: its filter did not run; call Update() before GetOutput()"),
    (r"Size mismatch", "ITK: the sizes of the slices differ"),
    (r"Cannot write|cannot open|Could not open", "ITK: cannot write the file"),
)


def refusal(thrown: BaseException) -> str:
    """Return what an exception of ITK or SimpleITK means, in a few harmless words; else what threw it, and where."""
    text = str(thrown)
    summary = next((meaning for pattern, meaning in _REFUSALS if re.search(pattern, text)), None) or _summary(thrown)
    place = re.search(r"[/\\]((?:gdcm|itk)\w+\.(?:cxx|h|hxx|txx)):(\d+)", text)
    is_unnamed = summary == f"ITK: {type(thrown).__name__}"
    return f"thrown by {place[1]}, line {place[2]}" if is_unnamed and place else summary


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
