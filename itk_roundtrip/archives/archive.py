"""The archive itself, from top to bottom: every series of a folder carried to a folder of its own, resumable."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import pickle
import posixpath
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itk_roundtrip import __version__, folders
from itk_roundtrip.archives.index import STATE, Finished, Index, open_index
from itk_roundtrip.archives.plan import Unit, check_separate, content_digest, digest_of, plan
from itk_roundtrip.archives.plan import units as planned_units
from itk_roundtrip.archives.result import NOT_DONE, ArchivedSeries, ArchiveResult
from itk_roundtrip.archives.scan import scan
from itk_roundtrip.arguments import (
    CHECKS,
    Backend,
    Code,
    Identity,
    NanTo,
    Progress,
    TransferSyntax,
    check_there,
    checked,
)
from itk_roundtrip.carry.staging import clear
from itk_roundtrip.errors import DestinationError, RoundtripError, SeriesNotFoundError
from itk_roundtrip.pipeline import requested
from itk_roundtrip.processes import Workers, worth_starting
from itk_roundtrip.words import agreeing, counted, posix

if TYPE_CHECKING:
    from itk_roundtrip.archives.unit import Carried, Request

RECORDS = "archive.jsonl"
"""File in the output folder with a record of each series, one a line."""
_SECONDS_FOR_OTHERS = 30.0
"""Longest wait for workers of a killed run."""


@checked(source=CHECKS["directory"])
def archive(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    client: Any = None,
    jobs: int | None = None,
    identity: Identity = "derived",
    backend: Backend = "itk",
    transfer_syntax: TransferSyntax | None = None,
    description: str | None = None,
    apply: Callable[..., Any] | str | None = None,
    parameters: Mapping[str, Any] | None = None,
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
    strict: bool = False,
    leave_out: Sequence[str] = (),
    dry_run: bool = False,
    html: str | os.PathLike[str] | None = None,
    pictures: bool = False,
    progress: Progress | None = None,
) -> ArchiveResult:
    """Carry every DICOM series under a folder to a folder of its own, each as :func:`roundtrip` does.

    Each series appears complete and verified, or not at all; what becomes of one does not stop the others. Whatever
    ends the archive, even the kill of its process, the same call goes on: series that are finished, and whose source
    files, options and written files are as they were, are not carried again.

    Parameters
    ----------
    source
        The folder, of any layout. Links to folders in it are not followed.
    destination
        Output folder: new, empty, or an archive of this source. Each series becomes ``study-.../MODALITY-NUMBER-...``
        there, named by digests of its UIDs; ``archive.jsonl`` has a record of each. The hidden folder
        ``.itk-roundtrip`` holds what is known of the source, and what is finished.
    client
        A ``dask.distributed.Client``, or the address of a Dask scheduler, whose workers carry the series; they must see
        both folders under the same paths, and have the same versions of this software. Without it, processes of this
        machine do.
    jobs
        Processes of this machine; as many as there are processors, if not given.
    identity, backend, transfer_syntax, description, apply, parameters, codes, footprint_slices, units, rescale_type,
    max_error, allow_clip, nan_to, allow_irregular, regrid, set, strict
        As for :func:`roundtrip`, for each series. A function is called in other processes: it must be one that they can
        import, or a text as ``FILE.py:FUNCTION``.
    leave_out
        Files and folders to leave out, by their paths relative to the source; ``*``, ``?`` and ``[...]`` stand for any
        characters.
    dry_run
        Only tell what would be done, and write nothing.
    html
        Write an index page there, and beside it the page of each series that :func:`verify_series` has.
    pictures
        Show pictures in these pages even where names may be burned into the pixels.
    progress
        Called with (stage, done, of how many).

    Raises
    ------
    DestinationError
        The output folder cannot be used, another archive is writing there, or the disk is full.
    SeriesNotFoundError
        The source is no folder, or holds no DICOM series.
    SeriesReadError
        A folder or file cannot be read.
    FunctionError
        The function cannot be loaded or called as asked.
    RoundtripError
        The scheduler is not there, or its workers have other versions or see other folders.
    """
    start = time.monotonic()
    options = {
        "identity": identity,
        "backend": backend,
        "transfer_syntax": transfer_syntax,
        "description": description,
        "apply": apply,
        "parameters": parameters,
        "codes": codes,
        "footprint_slices": footprint_slices,
        "units": units,
        "rescale_type": rescale_type,
        "max_error": max_error,
        "allow_clip": allow_clip,
        "nan_to": nan_to,
        "allow_irregular": allow_irregular,
        "regrid": regrid,
        "set": set,
        "strict": strict,
    }
    checked_options = _checked(options)
    names = posix(source), posix(destination)
    check_there(source)
    if not os.path.isdir(source):
        raise SeriesNotFoundError(f"{names[0]} is a file; name the folder of the series, or use `run`.", path=names[0])
    root, target = Path(os.path.realpath(source)), Path(os.path.realpath(destination))
    check_separate(root, target, names)
    if client is not None and jobs is not None:
        raise RoundtripError("With a Dask client its workers are the processes; leave out jobs.", option="jobs")
    if pictures and html is None:
        raise RoundtripError("pictures=True shows pictures in the pages of html; name that file or leave it out.")
    page = None if html is None else Path(os.path.realpath(html))
    for folder, name in ((root, names[0]), (target, names[1])):
        if page is not None and folder in page.parents:
            raise RoundtripError(f"{posix(html or '')} lies in {name}; name a file elsewhere for the index page.")
    count = worth_starting(jobs)
    told = progress or (lambda stage, done, total: None)
    with ExitStack() as stack:
        cluster = None if client is None else stack.enter_context(_connected(client))
        is_new = stack.enter_context(_state(target, names[1], is_dry=dry_run))
        index = stack.enter_context(open_index(target, names[1], in_memory=dry_run))
        _check_source(index, root, names)
        workers = cache(lambda: stack.enter_context(Workers(count, prepare=f"itk_roundtrip.archives.unit:{backend}")))
        warnings = scan(root, names[0], leave_out, index, workers, told)
        warnings += plan(index, root, target, _options_digest(checked_options), workers, html=page)
        if not next(index.planned("1"), None):
            raise SeriesNotFoundError(f"{names[0]} holds no DICOM series; {_left_out(index) or 'it is empty'}.")
        is_new.clear()  # what the scan found is kept from here on
        if not dry_run:
            run = _Run(index, target, names, _options_digest(checked_options), told)
            request = run.request(root, checked_options, page, pictures)
            run.all(request, cluster, workers, count)
        series = _series(index)
        notes = [] if page is None else list(_notes(index, series))
        if not dry_run:
            _write_records(target, series, names[1])
        result = ArchiveResult(
            verdict="fail" if any(each.verdict in NOT_DONE for each in series) else "pass",
            source=names[0],
            written=names[1],
            dry_run=dry_run,
            series=series,
            skipped=index.skipped(),
            warnings=tuple(warnings),
            seconds=time.monotonic() - start,
        )
    if page is not None and not dry_run:
        from itk_roundtrip.display import write_archive_page

        try:
            write_archive_page(result, notes, page)
        except OSError as error:
            reason = (error.strerror or "the system refused it").lower()
            message = f"{posix(page)} cannot be written: {reason}. The series are done; name another file."
            raise DestinationError(message, path=posix(page)) from None
    return result


# ------------------------------------------------------------------------------------------------------ the options


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as workers get them; refuse what contradicts itself or cannot get to a worker."""
    result = dict(options)
    if isinstance(result["apply"], str):
        home, separator, name = result["apply"].rpartition(":")
        if separator and (home.endswith(".py") or os.sep in home):
            result["apply"] = f"{os.path.abspath(home)}:{name}"  # workers may run elsewhere
    requested(**result, jobs=1)
    try:
        pickled = pickle.dumps(result)
    except Exception:  # whatever an object of the caller raises
        pickled = b"__main__"
    if b"__main__" in pickled:
        raise RoundtripError(
            "A function of a script or a notebook cannot be called by other processes; put it into a file and pass"
            ' apply="FILE.py:FUNCTION".',
            option='apply="FILE.py:FUNCTION"',
        )
    if result["transfer_syntax"]:
        from itk_roundtrip.carry.compression import check_available

        check_available(result["transfer_syntax"])
    from itk_roundtrip.derivation.plan import moment_of_creation

    moment_of_creation()  # refuses a SOURCE_DATE_EPOCH that is no time
    return result


def _options_digest(options: Mapping[str, Any]) -> str:
    """Return the digest of all that changes what is written, beside the source files."""
    asked = dataclasses.replace(requested(**options, jobs=1), progress=print)  # which changes nothing
    return digest_of([__version__, _identity(asked)])


def _identity(value: Any) -> Any:
    """Return what tells an option from others; of a function its name, and the digest of the file that it is in."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [_identity(getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, Mapping):
        return sorted((str(key), _identity(inside)) for key, inside in value.items())
    if isinstance(value, (list, tuple)):
        return [_identity(inside) for inside in value]
    if isinstance(value, str) and value.rpartition(":")[0].endswith(".py"):
        file = Path(value.rpartition(":")[0])
        return [file.name, value.rpartition(":")[2], content_digest(file) if file.is_file() else ""]
    if callable(value):
        function = getattr(value, "func", value)  # of functools.partial
        module = sys.modules.get(getattr(function, "__module__", ""))
        file = Path(getattr(module, "__file__", None) or "")
        bound = [_identity(getattr(value, name, None)) for name in ("args", "keywords")]
        name = getattr(function, "__qualname__", type(function).__name__)
        return [name, content_digest(file) if file.is_file() else "", bound]
    return repr(value)


# ---------------------------------------------------------------------------------------------------- the output folder


@contextmanager
def _state(target: Path, name: str, *, is_dry: bool) -> Iterator[list[Path]]:
    """Lock the output folder of an archive, as a context; make it unless it is there.

    Yields the folders that were made; unless the list is emptied they are removed if anything goes wrong.

    Raises
    ------
    DestinationError
        It cannot be used, or another archive uses it.
    """
    try:
        target.lstat()
    except FileNotFoundError:
        pass
    except OSError as error:  # a name that is too long, or behind a file
        reason = (error.strerror or "the system refused it").lower()
        raise DestinationError(f"{name} cannot be written: {reason}.", path=name) from None
    if target.exists() and not target.is_dir():
        raise DestinationError(f"{name} is a file; choose another output folder.", path=name)
    state = target / STATE
    if target.is_dir() and not state.is_dir() and any(target.iterdir()):
        raise DestinationError(f"{name} is not empty and holds no archive; choose another output folder.", path=name)
    if is_dry:
        yield []
        return
    made = [folder for folder in (state, target, *target.parents) if not folder.exists()]
    lock = None
    try:
        target.mkdir(parents=True, exist_ok=True)
        lock = folders.lock(state)
        _sweep(target)
        yield made
    except BlockingIOError:
        made.clear()
        raise DestinationError(f"Another archive is writing {name}; wait for it.", path=name) from None
    except OSError as error:
        _remove(made)
        reason = os.strerror(error.errno).lower() if error.errno else "the system refused it"
        raise DestinationError(f"{name} cannot be written: {reason}.", path=name) from None
    except BaseException:
        _remove(made)
        raise
    finally:
        if lock is not None:
            lock.release()


def _remove(made: Sequence[Path]) -> None:
    """Remove the folders that were made, the innermost first, which holds the state."""
    for folder in made:
        if folder.name == STATE:
            folders.remove(folder)
        with suppress(OSError):
            folder.rmdir()


def _sweep(target: Path) -> None:
    """Remove what a killed archive left half made; wait for its workers, which end a moment after it."""
    until = time.monotonic() + _SECONDS_FOR_OTHERS
    for staging in target.glob("study-*/.*.itk-roundtrip"):
        output = staging.with_name(staging.name[1:].removesuffix(".itk-roundtrip"))
        while True:
            try:
                clear(output)
                break
            except DestinationError as error:
                if error.errno != errno.EAGAIN or time.monotonic() > until:
                    raise
                time.sleep(0.1)


def _check_source(index: Index, root: Path, names: tuple[str, str]) -> None:
    """Refuse an archive of another source folder, unless that is no longer there: it may have been moved."""
    before = index.get("source")
    if before and before != os.fspath(root) and os.path.isdir(before):
        raise DestinationError(
            f"{names[1]} is the archive of another source folder than {names[0]}; choose another output folder.",
            path=names[1],
        )
    index.set("source", os.fspath(root))


def _left_out(index: Index) -> str:
    """Return in words why files belong to no series; empty without such files."""
    skipped = list(index.skipped().items())[:3]
    return "; ".join(f"{counted(count, 'file')} {agreeing(count, 'is', 'are')} {reason}" for reason, count in skipped)


# --------------------------------------------------------------------------------------------------------- the work


def _connected(client: Any) -> Any:
    """Return the workers of a Dask cluster, as a context."""
    from itk_roundtrip.archives.cluster import connected

    return connected(client)


class _Run:
    """The run of an archive: hands series out, keeps what became of each, and stops in order.

    Parameters
    ----------
    index, target, names
        Of the archive, its output folder, and what messages call source and output folder.
    options
        Digest of the options.
    progress
        Called with (stage, done, of how many).
    """

    def __init__(self, index: Index, target: Path, names: tuple[str, str], options: str, progress: Progress) -> None:
        from itk_roundtrip.archives.unit import TO_CARRY, TO_SHOW

        self._index, self._target, self._names, self._options = index, target, names, options
        self._progress = progress
        self._total = sum(1 for _ in index.planned("1"))
        todo = list(index.planned("1", f"({TO_CARRY}) OR ({TO_SHOW})"))
        self._done, self._slices = self._total - len(todo), 0
        self._all_slices = sum(json.loads(content)[3] for (content,) in index.planned("names", TO_CARRY))
        self._has_work = bool(todo)

    def request(self, root: Path, options: Mapping[str, Any], page: Path | None, pictures: bool) -> Request:
        """Return what the series have in common."""
        from itk_roundtrip.archives.unit import Request

        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        return Request(root, self._target, self._names, options, page, pictures, epoch)

    def all(self, request: Request, cluster: Any, workers: Callable[[], Workers], count: int) -> None:
        """Carry all series that are to be carried, and note what became of each.

        Raises
        ------
        DestinationError
            The disk is full: the next series would meet that as well.
        """
        if not self._has_work:
            return
        from itk_roundtrip.archives.local import carried_here
        from itk_roundtrip.archives.unit import TO_CARRY, end_kept

        self._check_function(request)
        # Here, as a worker would remove the folder of a study that it made for a series that then is refused, while
        # another one counts on it.
        for (output,) in self._index.planned("output", TO_CARRY):
            (self._target / output).parent.mkdir(exist_ok=True)
        try:
            if cluster is None:
                carried = carried_here(self._index, request, workers(), count)
            else:
                carried = cluster.carried(self._index, request)
            for unit, outcome in carried:
                self._note(unit, outcome)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(self._resumable) from None
        except RoundtripError as error:
            raise type(error)(f"{str(error).rstrip('.')}; {self._resumable}.") from None
        finally:
            end_kept()
            self._index.commit()
            self._remove_empty()

    @property
    def _resumable(self) -> str:
        return f"{self._done} of {self._total} series are done, and the same command goes on"

    def _check_function(self, request: Request) -> None:
        """Refuse a function that cannot be loaded or called as asked, before it is called for every series."""
        operation = requested(**request.options, jobs=1).operation
        if operation is None or operation.is_local:
            return
        from itk_roundtrip.carry import operating
        from itk_roundtrip.carry.operation import worker

        with worker(operation, request.options["backend"]) as process:
            outcome = process.call(operating.check_function, operation)
        if outcome.crashed:
            raise RoundtripError(f"{operation.name} ends the process that loads it.")

    def _note(self, unit: Unit, outcome: Carried) -> None:
        """Keep what became of a series."""
        before = self._index.finished(unit.key)
        record = {**unit.record, **outcome.told, "verdict": outcome.verdict, "reason": outcome.reason}
        record["seconds"] = round(outcome.seconds, 3)
        if outcome.stop:
            reason = os.strerror(outcome.stop).lower()
            raise DestinationError(f"{self._names[1]} cannot be written: {reason}; make room", path=self._names[1])
        if outcome.verdict == "done":
            files = {name: list(state) for name, state in outcome.files.items()}
            finished = Finished(unit.fingerprint, self._options, unit.output, files, record, list(outcome.page))
            self._index.finish(unit.key, finished)
        elif outcome.verdict == "unchanged" and before is not None:
            record = {**before.record, "verdict": "unchanged", "seconds": record["seconds"]}
            self._index.finish(unit.key, before._replace(page=list(outcome.page)))
        else:
            record["output"] = None
            if (self._target / unit.output).is_dir():
                record["reason"] += f" What an earlier run wrote stays in {unit.output}."
        self._index.note(unit.number, record)
        self._index.commit(now=False)
        self._done += 1
        if outcome.verdict != "unchanged":
            self._slices += unit.slices
        self._progress("Series", self._done, self._total)
        self._progress("Slices", self._slices, self._all_slices)

    def _remove_empty(self) -> None:
        """Remove what stopped workers left half made, and folders of studies without any series."""
        with suppress(OSError, RoundtripError):
            _sweep(self._target)
        for study in self._target.glob("study-*"):
            with suppress(OSError):
                study.rmdir()


def _series(index: Index) -> tuple[ArchivedSeries, ...]:
    """Return what became of each series, or is to be done with it, in the order of their folders."""
    found = []
    for number, output, todo, record in index.planned("number, output, todo, record"):
        if record is None:
            (unit,) = planned_units(index, f"number = {number}", "number")
            told = {**unit.record, "verdict": "to do", "reason": todo}
        else:
            told = json.loads(record)
        told["warnings"] = tuple(told.get("warnings", ()))
        found.append((output, number, ArchivedSeries(**told)))
    return tuple(series for _, _, series in sorted(found, key=lambda each: each[:2]))


def _notes(index: Index, series: Sequence[ArchivedSeries]) -> Iterator[list[str]]:
    """Yield what is said of each series, without the names of its files, which may be those of patients."""
    rows = sorted(index.planned("output, number"))
    for (_, number), each in zip(rows, series, strict=True):
        texts = [*([each.reason] if each.reason else []), *each.warnings]
        if texts:
            (unit,) = planned_units(index, f"number = {number}", "number")
            names = {*unit.names, *(posixpath.basename(name) for name in unit.names)}
            for name in sorted((name for name in names if any(name in text for text in texts)), key=len, reverse=True):
                texts = [text.replace(name, "a file") for text in texts]
        yield texts


def _write_records(target: Path, series: Sequence[ArchivedSeries], name: str) -> None:
    """Write the records of all series, as a whole."""
    file, temporary = target / RECORDS, target / STATE / RECORDS
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            for each in series:
                stream.write(json.dumps(asdict(each)) + "\n")
        os.replace(temporary, file)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason = os.strerror(error.errno).lower() if error.errno else "the system refused it"
        message = f"{RECORDS} in {name} cannot be written: {reason}; run the same command again."
        raise DestinationError(message, path=name) from None
