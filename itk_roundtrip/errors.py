"""Errors of itk-roundtrip.

::

    RoundtripError
    +-- DestinationError         the output folder cannot be used as asked
    +-- SeriesNotFoundError      no such folder, or no such series in it
    +-- AmbiguousSeriesError     several series, or several volumes of a series, and none was chosen
    +-- UnsupportedSeriesError   a kind of image that is not carried
    +-- SeriesReadError          a source file is damaged or cannot be decoded
    |   +-- ITKCrashError        ITK ended its process on a source file
    +-- SeriesWriteError         ITK or the disk did not take the output
    +-- ImageError               an image of the caller is none of this volume, or cannot be read
    +-- FunctionError            a function of the caller cannot be called, or raised an error
    +-- VerificationError        what was written is not what it must be; carries the findings

The message of each is a plain sentence without patient data, with folders named as the user did and files relative
to them. ``path``, ``series`` and ``tag`` say as data what it is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


class RoundtripError(Exception):
    """Root of all errors raised on purpose.

    Parameters
    ----------
    message
        A sentence for the user.
    path
        File it is about, relative to the folder that the user named, or a folder as the user named it.
    series
        Series Instance UID (0020,000E) it is about.
    tag
        Attribute it is about, as ``"(gggg,eeee)"``.
    option
        Argument of a function that the message advises, as it stands there, such as ``overwrite=True``. The command
        line shows its own option instead.
    """

    details: str = ""
    """More for a developer; of a function of the caller the traceback, if that was asked for."""
    errno: int = 0
    """Number of the system's error, such as ``errno.ENOSPC``, where the system refused to write."""

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        series: str | None = None,
        tag: str | None = None,
        option: str | None = None,
    ) -> None:
        super().__init__(message)
        self.path = path
        self.series = series
        self.tag = tag
        self.option = option

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickled on the way from a worker process to its parent, an error keeps its class and fields.
        return _rebuild, (type(self), str(self), self.__dict__)


def refuse_warnings(warnings: Sequence[str], *, strict: bool) -> None:
    """Raise an error if there are any warnings, and none is permitted."""
    if strict and warnings:
        more = f" ({len(warnings) - 1} more)" if len(warnings) > 1 else ""
        raise RoundtripError(
            f"Nothing is written with strict=True: {warnings[0].rstrip('.')}{more}.", option="strict=True"
        )


def internal_error(error: BaseException) -> RoundtripError:
    """Return the error that reports a defect of this package; ``details`` are the lines of its traceback, no values."""
    import traceback

    reported = RoundtripError(f"Internal error: {kind_and_place(error)}; please report it.")
    reported.details = "".join(traceback.format_tb(error.__traceback__))
    return reported


def kind_and_place(error: BaseException) -> str:
    """Return class, file and line of an error, but not its message, which may quote values of patients."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place else "unknown"
    return f"{type(error).__name__} at {where}"


def _rebuild(kind: type[RoundtripError], message: str, fields: dict[str, Any]) -> RoundtripError:
    error = kind(message)
    error.__dict__.update(fields)
    return error


class DestinationError(RoundtripError):
    """The output folder cannot be used as asked."""


class SeriesNotFoundError(RoundtripError):
    """There is no such folder, or no such series in it."""


class AmbiguousSeriesError(RoundtripError):
    """The folder holds several series, or the series several volumes, and none was chosen."""


class UnsupportedSeriesError(RoundtripError):
    """The series is of a kind that is not carried; the message names the kind and the first file of it."""


class SeriesReadError(RoundtripError):
    """A source file is damaged, or ITK cannot decode it."""


class ITKCrashError(SeriesReadError):
    """ITK ended the process it ran in; the message names the source file."""


class SeriesWriteError(RoundtripError):
    """ITK or the disk did not take the output."""


class ImageError(RoundtripError):
    """An image of the caller cannot be read, or is not of the size, place and kind of the volume."""


class FunctionError(RoundtripError):
    """A function of the caller, or a filter, cannot be found or called as asked, or raised an error.

    ``details`` is the traceback, which may quote values of patients; empty unless it was asked for.
    """


class VerificationError(RoundtripError):
    """What was written differs from what it must be; nothing was published.

    ``findings`` holds what was found, as :class:`itk_roundtrip.Finding`.
    """

    findings: tuple[Any, ...] = ()
