"""Tasks for workers that import nothing else: such a worker starts in a tenth of a second."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from itk_roundtrip.errors import RoundtripError, SeriesWriteError
from itk_roundtrip.folders import temporary_folder


def prepare(message: str = "") -> None:
    """Prepare a worker, or refuse to."""
    if message:
        raise RoundtripError(message)


def pid() -> int:
    """Return the number of the worker's process."""
    return os.getpid()


def die(*_: object) -> None:
    """Crash, as ITK does on some files."""
    os.kill(os.getpid(), signal.SIGSEGV)


def die_at(number: int, last: int) -> int:
    """End the process if a number is the last one."""
    if number == last:
        die()
    return number


def print_a_lot() -> None:
    """Print as Python and as libraries do."""
    print("said by print")
    print("said at the end", end="")
    os.write(1, b"said by a library\n")


def unpicklable() -> Callable[[], None]:
    """Return what cannot be sent back."""
    return lambda: None


def refuse() -> None:
    """Raise an error that is for the user."""
    raise SeriesWriteError("No.", path="x")


def versions(folder: Path, backend: str) -> tuple[str, ...]:
    """Return the same versions for all front ends."""
    return "a front end", "its GDCM"


def write_and_sleep(file: str) -> None:
    """Make a file, then never end."""
    Path(file).touch()
    time.sleep(3600)


def fill_temporary_folder(told: str, death: bool = False) -> None:
    """Put a file into a temporary folder and tell its name, then die or never end."""
    with temporary_folder() as folder:
        (Path(folder) / "patient.dcm").touch()
        Path(told).write_text(folder)
        if death:
            os._exit(1)
        time.sleep(3600)


def crash_once_carrying() -> None:
    """Let this worker crash as soon as it carries a slab, as ITK does; the one that replaces it does not."""
    from itk_roundtrip.carry import slabs

    slabs.process = die  # type: ignore[assignment]


def end_dask_worker_for_large(image: Any) -> Any:
    """End the worker of Dask that this worker belongs to on images of many columns."""
    if image.GetLargestPossibleRegion().GetSize()[0] > 20:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    return image


def die_for_large(image: Any) -> Any:
    """Crash on images of many columns, and leave all others as they are."""
    if image.GetLargestPossibleRegion().GetSize()[0] > 20:
        die()
    return image
