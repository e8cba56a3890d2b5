"""The series of an archive, carried by the workers of a Dask cluster: one task a series, ITK in a process beside them.

ITK never runs in a process of Dask: each worker of Dask keeps a worker process of this package for each of its threads,
which ITK may crash. A worker of Dask that dies has its task given to another one by the scheduler, as often as its
configuration says (three times, unless ``distributed.scheduler.allowed-failures`` is set).
"""

from __future__ import annotations

import logging
import queue
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import cache
from itertools import islice
from typing import Any

from itk_roundtrip.archives.index import STATE, Index
from itk_roundtrip.archives.plan import Unit, units
from itk_roundtrip.archives.unit import TO_CARRY, TO_SHOW, Carried, Request, carry_unit, ended, page_unit
from itk_roundtrip.errors import RoundtripError
from itk_roundtrip.processes import Workers
from itk_roundtrip.versions import versions

_CONNECTING_SECONDS = 3
_SECONDS_WITHOUT_WORKERS = 30.0
"""So long workers may be away, such as while a nanny starts them again, before the archive stops."""
_TASKS_PER_THREAD = 2
"""Series that are given to the scheduler at a time, for each thread of its workers."""
_GONE = "The Dask scheduler, or each of its workers, is gone."
_COMPARED = ("itk-roundtrip", "Python", "ITK", "SimpleITK", "pydicom", "numpy")


@contextmanager
def connected(client: Any) -> Iterator[Cluster]:
    """Return the workers of a Dask cluster, as a context; connect to its scheduler if an address is given.

    Raises
    ------
    RoundtripError
        Dask is not installed, the scheduler is not there, or has no workers, or these have other versions.
    """
    try:
        import distributed
    except ImportError:
        raise RoundtripError(
            'Dask is not installed; install it with `pip install "itk-roundtrip[cluster]"`, or leave out the scheduler.'
        ) from None
    own = None
    if isinstance(client, str):
        client = own = _connect(distributed, client)
    try:
        yield Cluster(distributed, client)
    finally:
        if own is not None:
            with suppress(Exception):  # the scheduler may be gone by now
                own.close(timeout=2)


def _connect(distributed: Any, address: str) -> Any:
    """Return a client of the scheduler at an address."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what it says of a scheduler that is not there takes pages
    try:
        distributed.comm.resolve_address(address)  # a client that fails on it says more when it is thrown away
        return distributed.Client(address, timeout=_CONNECTING_SECONDS, set_as_default=False)
    except Exception as error:  # no address, no route, no answer, no scheduler of Dask
        raise RoundtripError(
            f"There is no Dask scheduler at {address} ({type(error).__name__}); start one with `dask scheduler`, or"
            " correct the address."
        ) from None
    finally:
        logger.setLevel(level)


class Cluster:
    """The workers of a Dask cluster, of which each has the versions of this process.

    Parameters
    ----------
    distributed
        The module.
    client
        Connected to the scheduler.

    Raises
    ------
    RoundtripError
        The client is of no use, there are no workers, or they have other versions.
    """

    def __init__(self, distributed: Any, client: Any) -> None:
        if not isinstance(client, distributed.Client) or client.asynchronous:
            raise RoundtripError("client must be a dask.distributed.Client that is not asynchronous.")
        self._distributed, self._client, self._run = distributed, client, secrets.token_hex(4)
        if client.status != "running":
            raise RoundtripError("The Dask client is closed; open another one.")
        try:
            client.wait_for_workers(1, timeout=_CONNECTING_SECONDS)
        except Exception:
            raise RoundtripError("The Dask scheduler has no workers; start some with `dask worker`.") from None
        self._check_versions()

    def _check_versions(self) -> None:
        """Refuse workers that have other versions of the software that takes part, and name them."""
        here = own_versions()
        for worker, found in sorted(self._on_workers(_versions_there()).items()):
            other = _differing(here, found if isinstance(found, Mapping) else {})
            if other:
                raise RoundtripError(f"The Dask worker {worker} has {other}; install the same on all.")

    def _on_workers(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """Return what a function returns on each worker, or the error that it raises, by the worker's address."""
        found: dict[str, Any] = self._client.run(function, *arguments, on_error="return")
        return found

    def check_folders(self, request: Request, first: Unit) -> None:
        """Refuse workers that do not see the folders of the archive, or see others of the same names.

        Raises
        ------
        RoundtripError
            A worker cannot read the first file of a series, or not what this process has just written.
        """
        token = request.destination / STATE / f"token-{secrets.token_hex(4)}"
        content = secrets.token_hex(16)
        token.write_text(content)
        file = request.source / first.names[0]
        apply = request.options["apply"]
        function = apply.rpartition(":")[0] if isinstance(apply, str) else ""
        function = function if function.endswith(".py") else ""
        names = {"source": request.names[0], "destination": request.names[1], "function": function}
        try:
            looks = self._on_workers(_look(), str(token), content, str(file), first.sizes[0], function)
            for worker, missed in sorted(looks.items()):
                if missed != "":
                    name = names.get(missed, request.names[1])
                    raise RoundtripError(
                        f"The Dask worker {worker} does not see {name} as this process does; archive on its workers"
                        " needs folders that all of them share under the same paths."
                    )
        finally:
            token.unlink(missing_ok=True)

    def carried(self, index: Index, request: Request) -> Iterator[tuple[Unit, Carried]]:
        """Let the workers carry the planned series, the largest first, and yield what became of each as it is done.

        Where workers died, the scheduler lays that to all that they had been given. So a series of which it says so is
        tried once more when all others are done, alone.

        Raises
        ------
        RoundtripError
            The scheduler or all workers are gone, or a worker that came later has other versions.
        """
        todo = units(index, TO_CARRY, "cost DESC, number")
        pages = units(index, TO_SHOW, "number")
        first = next(units(index, f"({TO_CARRY}) OR ({TO_SHOW})", "number"))
        self.check_folders(request, first)
        killed: list[Unit] = []
        for unit, carried in self._outcomes(todo, request, "carry"):
            if carried is None:
                killed.append(unit)
            else:
                yield unit, carried
        for unit in killed:
            for _, carried in self._outcomes(iter([unit]), request, "alone"):
                yield unit, carried or self._given_up(unit)
        for unit, carried in self._outcomes(pages, request, "page"):
            yield unit, carried or self._given_up(unit)

    def _given_up(self, unit: Unit) -> Carried:
        return Carried(
            "failed", f"the Dask workers that carried the series of {unit.names[0]} ended, one after another"
        )

    def _threads(self) -> int:
        """Return how many threads all workers have now; 0 if the scheduler does not answer."""
        if self._client.status == "running":
            with suppress(Exception):  # it may go in this moment
                return sum(self._client.nthreads().values())
        return 0

    def _outcomes(self, todo: Iterator[Unit], request: Request, what: str) -> Iterator[tuple[Unit, Carried | None]]:
        """Yield what became of each series; ``None`` where its workers died."""
        client = self._client
        running: dict[Any, Unit] = {}
        at: set[str] = set()
        away = time.monotonic()
        here = own_versions()
        try:
            while True:
                threads = self._threads()
                for unit in islice(todo, max(0, max(1, _TASKS_PER_THREAD * threads) - len(running))):
                    with self._losing_the_scheduler_is_said():
                        future = client.submit(
                            carry_there, unit, request, what, here, self._run,
                            key=f"itk-roundtrip-{self._run}-{what}-{unit.number}", pure=False,
                        )  # fmt: skip
                    running[future] = unit
                if not running:
                    return
                away = time.monotonic() if threads else away
                if client.status != "running" or time.monotonic() - away > _SECONDS_WITHOUT_WORKERS:
                    raise RoundtripError(_GONE)
                with (
                    self._losing_the_scheduler_is_said(),
                    client.as_current(),
                    suppress(TimeoutError, self._distributed.TimeoutError),
                ):
                    self._distributed.wait(list(running), timeout=1, return_when="FIRST_COMPLETED")
                for future in [future for future in running if future.done()]:
                    try:
                        carried = self._outcome(future)
                    except (TimeoutError, self._distributed.TimeoutError):
                        continue  # its worker died with the answer, and another one does it again
                    yield running.pop(future), carried
                if what == "alone" and self._has_ended_its_worker(list(running), at):
                    client.cancel(list(running), force=True)
                    yield running.popitem()[1], None
        finally:
            with suppress(Exception):  # the scheduler may be gone
                client.cancel(list(running), force=True)

    @contextmanager
    def _losing_the_scheduler_is_said(self) -> Iterator[None]:
        """Raise what a client finds out at any call: it cancels all tasks then, or is closed."""
        try:
            yield
        except (self._distributed.CancelledError, CancelledError):
            raise RoundtripError("The Dask scheduler is gone, or has cancelled a series.") from None
        except Exception:
            if self._client.status == "running":
                raise
            raise RoundtripError(_GONE) from None

    def _has_ended_its_worker(self, running: Sequence[Any], at: set[str]) -> bool:
        """Tell whether a worker that had the only task that runs is gone; ``at`` are those that had it."""
        with suppress(Exception):  # the scheduler may be gone
            gone = at - self._client.nthreads().keys()
            at |= {worker for worker, keys in self._client.processing().items() for each in running if each.key in keys}
            return bool(gone) and bool(running)
        return False

    def _outcome(self, future: Any) -> Carried | None:
        """Return the outcome of a task; ``None`` if its workers died."""
        try:
            with self._losing_the_scheduler_is_said():
                carried: Carried = future.result(timeout=_CONNECTING_SECONDS)
            return carried
        except self._distributed.scheduler.KilledWorker:
            return None
        except (RoundtripError, TimeoutError, self._distributed.TimeoutError):
            raise
        except Exception as error:
            # Such as a worker that came later and has no itk-roundtrip.
            raise RoundtripError(f"A Dask worker could not carry a series ({type(error).__name__}).") from None


@cache
def own_versions() -> dict[str, str]:
    """Return the versions of this process that all workers must have."""
    from itk_roundtrip import __version__

    found = {"itk-roundtrip": __version__, **versions()}
    return {name: found[name] for name in _COMPARED if name in found}


def _differing(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """Return in words the versions of a worker that differ from those here; empty if none does."""
    return ", ".join(
        f"{name} {there.get(name, 'not installed')} and this process {here.get(name, 'none')}"
        for name in _COMPARED
        if here.get(name) != there.get(name)
    )


def _versions_there() -> Callable[[], dict[str, str]]:
    """Return a function that returns the versions of a worker, which may have none of this package.

    It is sent as code, as it is not in a module: a worker of another version must be able to run it.
    """

    def found() -> dict[str, str]:
        try:
            from itk_roundtrip.archives.cluster import own_versions

            return own_versions()
        except ImportError:
            pass
        try:
            import platform

            import itk_roundtrip

            return {"itk-roundtrip": itk_roundtrip.__version__, "Python": platform.python_version()}
        except ImportError:
            return {}

    return found


def _look() -> Callable[..., str]:
    """Return a function that returns what a worker does not see: source, destination, function, or nothing."""

    def look(token: str, content: str, file: str, size: int, function: str) -> str:
        import os

        try:
            with open(token) as stream:
                if stream.read() != content:
                    return "destination"
            if not os.access(os.path.dirname(os.path.dirname(token)), os.W_OK | os.X_OK):
                return "destination"
        except OSError:
            return "destination"
        try:
            if os.stat(file).st_size != size:
                return "source"
        except OSError:
            return "source"
        return "function" if function and not os.path.isfile(function) else ""

    return look


# ------------------------------------------------------------------------------------------------- in a worker of Dask

_idle: queue.SimpleQueue[tuple[str, Workers]] = queue.SimpleQueue()
"""Worker processes that no thread of this worker of Dask has a task for, and the run of an archive that they are of.

None serves two runs: the modules of a user's function, which it has imported, may have been changed between them.
"""


def carry_there(unit: Unit, request: Request, what: str, here: Mapping[str, str], run: str) -> Carried:
    """Let a process of this worker of Dask carry a series, or make its page; return what became of it.

    Raises
    ------
    RoundtripError
        This worker has other versions than the process that asks.
    """
    if other := _differing(here, own_versions()):
        raise RoundtripError(f"A Dask worker has {other}; install the same on all.")
    backend = request.options["backend"]
    workers = None
    for _ in range(_idle.qsize()):
        with suppress(queue.Empty):
            of_run, workers = _idle.get_nowait()
            if of_run == run:
                break
            workers.close()
            workers = None
    if workers is None:
        workers = Workers(1, prepare=f"itk_roundtrip.archives.unit:{backend}")
    try:
        if what == "page":
            outcome = workers.call(page_unit, unit, request)
            return ended(unit) if outcome.crashed else outcome.value
        outcome = workers.call(carry_unit, unit, request)
        if outcome.crashed:
            outcome = workers.call(carry_unit, unit, request, None, 1, True)
        carried: Carried = ended(unit) if outcome.crashed else outcome.value
        return carried
    finally:
        _idle.put((run, workers))
