"""A series of an archive, carried as `run` carries it: in one worker, or slab by slab in several."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from itk_roundtrip.archives.plan import Unit, content_digest, page_of, page_state
from itk_roundtrip.arguments import Backend
from itk_roundtrip.carry import slabs
from itk_roundtrip.carry.staging import Staging
from itk_roundtrip.display import write_page
from itk_roundtrip.errors import (
    DestinationError,
    FunctionError,
    ITKCrashError,
    RoundtripError,
    SeriesReadError,
    SeriesWriteError,
    VerificationError,
    internal_error,
)
from itk_roundtrip.pipeline import Options, RoundtripResult, carry_found, requested
from itk_roundtrip.processes import Pool, ThisProcess, Workers
from itk_roundtrip.series.find import Series, SeriesList, group_series, read_files
from itk_roundtrip.verify.findings import Report
from itk_roundtrip.words import posix

_FAILURES = (DestinationError, FunctionError, ITKCrashError, SeriesWriteError, VerificationError)
"""Errors that are no word about the source: the series failed. With all others it is refused."""
STOPS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of the system that the next series would meet as well."""
TO_CARRY = "record IS NULL AND todo <> ''"
"""Condition of the planned series that are to be carried."""
TO_SHOW = "record IS NOT NULL AND todo = 'page'"
"""Condition of those that are finished, and of which a page is to be made."""
_SECONDS_FOR_OTHERS = 30.0
"""Longest wait for a worker of a killed run to let go of an output folder."""


@dataclass(frozen=True)
class Request:
    """What the series of an archive have in common.

    Attributes
    ----------
    source, destination
        Absolute paths of the two folders.
    names
        What messages call them.
    options
        Arguments of :func:`itk_roundtrip.pipeline.requested`.
    html
        Index page beside which the pages of the series are made; ``None`` makes none.
    pictures
        Show pictures there even if the source says that names may be burned in.
    epoch
        Value of ``SOURCE_DATE_EPOCH``, which a worker elsewhere may not have.
    """

    source: Path
    destination: Path
    names: tuple[str, str]
    options: Mapping[str, Any]
    html: Path | None = None
    pictures: bool = False
    epoch: str | None = None


@dataclass(frozen=True)
class Carried:
    """What became of a series.

    Attributes
    ----------
    verdict
        ``done``, ``refused`` or ``failed``.
    reason
        Why it was not done.
    told
        More for its record.
    files
        Size, modification time and digest of each written file, by name.
    page
        Path, size and modification time of its HTML page.
    seconds
        That it took.
    stop
        Number of an error of the system that the next series would meet as well.
    """

    verdict: str
    reason: str = ""
    told: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, tuple[int, int, str]] = field(default_factory=dict)
    page: tuple[Any, ...] = ()
    seconds: float = 0.0
    stop: int = 0


def prepare(backend: Backend = "itk") -> None:
    """Import what the tasks need, once in each worker."""
    slabs.prepare(backend)


def carry_unit(unit: Unit, request: Request, pool: Pool | None = None, jobs: int = 1, apart: bool = False) -> Carried:
    """Carry a series; return what became of it, whatever happens.

    Parameters
    ----------
    unit, request
        The series, and what all series have in common.
    pool, jobs
        Carries its slabs, in so many processes; this process, if not given.
    apart
        Let a process of its own carry the slabs, so that a crash of ITK is survived and something else is tried.
    """
    start = time.monotonic()
    _set_epoch(request.epoch)
    try:
        if apart:
            with Workers(1, prepare=f"itk_roundtrip.carry.slabs:{request.options['backend']}") as workers:
                carried = _carry(unit, request, workers, 1)
        else:
            carried = _carry(unit, request, pool or ThisProcess(), jobs)
        return replace(carried, seconds=time.monotonic() - start)
    except RoundtripError as error:
        verdict = "failed" if isinstance(error, _FAILURES) else "refused"
        stop = error.errno if error.errno in STOPS else 0
        return Carried(verdict, str(error), seconds=time.monotonic() - start, stop=stop)
    except MemoryError:
        return Carried("failed", "out of memory", seconds=time.monotonic() - start)
    except OSError as error:
        reason = f"the system refused it: {(error.strerror or type(error).__name__).lower()}"
        stop = error.errno if error.errno is not None and error.errno in STOPS else 0
        return Carried("failed", reason, seconds=time.monotonic() - start, stop=stop)
    except Exception as error:
        return Carried("failed", str(internal_error(error)), seconds=time.monotonic() - start)


def page_unit(unit: Unit, request: Request) -> Carried:
    """Verify a finished series again, and make its HTML page; return that it is unchanged, or why it is not."""
    from itk_roundtrip.verify.judge import verify_folders
    from itk_roundtrip.verify.options import Options as VerifyOptions

    start = time.monotonic()
    try:
        series = _found(unit, request)
        options = VerifyOptions(identity=request.options["identity"], conformance=None, source=series)
        folders = request.names[0], posix(request.destination / unit.output)
        report = verify_folders(folders, options, ThisProcess())
        page, warnings = _page(report, unit, request)
        return Carried("unchanged", told={"warnings": warnings}, page=page, seconds=time.monotonic() - start)
    except RoundtripError as error:
        return Carried("failed", str(error), seconds=time.monotonic() - start)
    except Exception as error:
        return Carried("failed", str(internal_error(error)), seconds=time.monotonic() - start)


def ended(unit: Unit) -> Carried:
    """Return what became of a series that ended the process that it was carried in, twice."""
    return Carried("failed", f"{unit.names[0]} or a file behind it ended the process that carried it")


def _carry(unit: Unit, request: Request, pool: Pool, jobs: int) -> Carried:
    """Carry a series with a pool for its slabs; publish it, and make its page."""
    series = _found(unit, request)
    options = requested(**request.options, jobs=jobs)
    destination = request.destination / unit.output
    folders = (request.names[0], f"{request.names[1]}/{unit.output}")
    with _staging(request.source, destination, folders[1]) as staging:
        apart = None if options.operation is None or options.operation.is_local else _processing_worker(options)
        result = carry_found(SeriesList([series]), series, folders, options, staging, pool, apart)
    page, warnings = _page(result.report, unit, request)
    return Carried("done", told=_told(result, warnings), files=_written(destination), page=page)


def _found(unit: Unit, request: Request) -> Series:
    """Read the headers of a series again, whose files must be as the scan found them."""
    for name, size, mtime_ns in zip(unit.names, unit.sizes, unit.times, strict=True):
        try:
            now = (request.source / name).stat()
        except OSError:
            now = None
        if now is None or (now.st_size, now.st_mtime_ns) != (size, mtime_ns):
            raise SeriesReadError(f"{name} was changed since the scan; run the same command again.", path=name)
    found = group_series(request.source, read_files(request.source, unit.names))
    if len(found) != 1 or len(found[0].instances) != len(unit.names):
        raise SeriesReadError(f"{unit.names[0]} was changed since the scan; run the same command again.")
    return found[0]


@contextmanager
def _staging(source: Path, destination: Path, name: str) -> Iterator[Staging]:
    """Open the staging folder of a series; wait until a worker of a killed run has let go of it."""
    until = time.monotonic() + _SECONDS_FOR_OTHERS
    with ExitStack() as stack:
        while True:
            staging = Staging(source, destination, overwrite=True)
            staging.name = name
            try:
                stack.enter_context(staging)
                break
            except DestinationError as error:
                if error.errno != errno.EAGAIN or time.monotonic() > until:
                    raise
                time.sleep(0.2)
        yield staging


def _written(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Return size, modification time and digest of each file of a folder, by name."""
    files = {}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        found = entry.stat()
        files[entry.name] = (found.st_size, found.st_mtime_ns, content_digest(folder / entry.name))
    return files


def _told(result: RoundtripResult, warnings: list[str]) -> dict[str, Any]:
    """Return what the record of a series tells of its round trip: counts, no values."""
    told: dict[str, Any] = {
        "slices": result.slices,
        "series_instance_uid": result.series_instance_uid,
        "path": result.path,
        "kept": result.kept,
        "restored": result.restored,
        "set": sum(result.replaced.values()),
        "removed": sum(result.removed.values()),
        "warnings": [*result.warnings, *warnings],
    }
    if result.quantisation is not None:
        told |= {
            "max_error": result.quantisation.max_error,
            "bound": result.quantisation.bound,
            "changed": result.quantisation.changed,
            "clipped": result.quantisation.clipped,
        }
    return told


def _set_epoch(epoch: str | None) -> None:
    """Set the time of creation that the archive was asked for; it is the same for all that this process carries."""
    if epoch is None:
        os.environ.pop("SOURCE_DATE_EPOCH", None)
    else:
        os.environ["SOURCE_DATE_EPOCH"] = epoch


# --------------------------------------------------------------------- processes that serve one series after the other

_kept: dict[str, Workers] = {}
"""Processes of this worker for functions of the caller and for pictures, which end with it."""


class _Lent:
    """A process that whoever borrows it does not end."""

    def __init__(self, workers: Workers) -> None:
        self.call, self.run, self.start, self.is_ready = workers.call, workers.run, workers.start, workers.is_ready


def _processing_worker(options: Options) -> Pool:
    """Return the process for the functions of the caller: it loads them, and what they keep, once."""
    if "processing" not in _kept:
        from itk_roundtrip.carry import operation

        assert options.operation is not None
        _kept["processing"] = operation.worker(options.operation, options.backend)
    return _Lent(_kept["processing"])


def end_kept() -> None:
    """End the processes that this one keeps."""
    while _kept:
        _kept.popitem()[1].close()


def _page(report: Report | None, unit: Unit, request: Request) -> tuple[tuple[Any, ...], list[str]]:
    """Make the HTML page of a series; return its state, and a warning if that cannot be done."""
    if request.html is None or report is None:
        return (), []
    page = page_of(request.html, unit.output)
    if "figures" not in _kept:
        _kept["figures"] = Workers(1, prepare="itk_roundtrip.show.figures")
    folders = request.source, request.destination / unit.output
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        write_page(report, *folders, page, pictures=request.pictures, workers=_kept["figures"])
    except OSError as error:
        with suppress(OSError):
            page.unlink(missing_ok=True)
        return (), [f"its page cannot be written: {(error.strerror or 'the system refused it').lower()}."]
    return tuple(page_state(page)), []
