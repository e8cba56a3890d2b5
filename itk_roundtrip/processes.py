"""Worker processes for tasks that may crash: a nursery imports their modules once, and forks them.

ITK may end the process that it runs in, keeps the GIL while it works and must not be forked once it has run a filter.
So the parent never runs ITK; the nursery imports it, runs nothing and forks workers, which share its memory; a worker
that dies is replaced, and the parent learns on which task. POSIX only.
"""

from __future__ import annotations

import array
import contextlib
import gc
import importlib
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any

from itk_roundtrip.errors import RoundtripError, internal_error

_GARBAGE_THRESHOLD = 50_000
"""Objects between garbage collections: a header has thousands and hardly a cycle, so that Python's 700 cost time."""
_DYING_SECONDS = 0.3
"""Time that a nursery which could not start may take to end after its socket is closed."""


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Task:
    """A call ``function(*arguments)``, which is pickled on its way to a worker."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Outcome:
    """Result of a task: the value it returned, or ``crashed`` if its worker died."""

    task: Task
    value: Any = None
    crashed: bool = False


class Workers:
    """Up to ``count`` worker processes.

    Parameters
    ----------
    count
        Number of workers that run at the same time.
    keep_open
        File descriptors that every worker inherits, such as that of a lock that it keeps held.
    prepare
        Module of this package whose function ``prepare`` imports what the tasks need; its argument follows a colon.
    """

    def __init__(self, count: int, keep_open: tuple[int, ...] = (), *, prepare: str = "carry.slabs") -> None:
        self._count = count
        self._connections: list[Connection[Any, Any]] = []
        with uninterrupted():
            self._start(keep_open, prepare)

    def _start(self, keep_open: tuple[int, ...], prepare: str) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        code = (
            f"import sys; sys.path[:] = {sys.path!r}\n"
            f"from itk_roundtrip.processes import nursery; nursery({theirs.fileno()}, {prepare!r})"
        )
        with theirs:
            self._nursery = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # what ITK prints may hold names of files and patients
                pass_fds=(theirs.fileno(), *keep_open),
                start_new_session=True,  # Ctrl-C is the parent's; a single kill reaches all workers
            )

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with uninterrupted():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._nursery.pid, signal.SIGKILL)
            self._nursery.wait()
            for connection in self._connections:
                connection.close()
            self._control.close()

    def _worker(self) -> Connection[Any, Any]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours, theirs:
            descriptors = array.array("i", [theirs.fileno()])
            try:
                self._control.sendmsg([b"w"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
            except OSError:
                self._check_nursery()
                raise
            connection: Connection[Any, Any] = Connection(ours.detach())
        self._connections.append(connection)
        return connection

    def call(self, function: Callable[..., Any], *arguments: Any) -> Outcome:
        """Run a task and return its outcome; an error that it raises is raised here."""
        return next(iter(self.run(deque([Task(function, arguments)]))))

    def run(self, tasks: deque[Task]) -> Iterator[Outcome]:
        """Run tasks and yield their outcomes in the order of completion; tasks may be appended meanwhile.

        Raises
        ------
        RoundtripError
            As soon as a task raises it.
        """
        busy: dict[Connection[Any, Any], Task] = {}
        try:
            while tasks or busy:
                while tasks and len(busy) < self._count:
                    idle = next((worker for worker in self._connections if worker not in busy), None) or self._worker()
                    task = tasks.popleft()
                    with contextlib.suppress(OSError):  # it is dead, and receiving from it will fail below
                        idle.send(task)
                    busy[idle] = task
                for ready in wait(list(busy)):
                    assert isinstance(ready, Connection)
                    task = busy.pop(ready)
                    try:
                        value, error = ready.recv()
                    except (EOFError, OSError):
                        ready.close()
                        self._connections.remove(ready)
                        self._check_nursery()
                        yield Outcome(task, crashed=True)
                        continue
                    if error is not None:
                        raise error
                    yield Outcome(task, value)
        finally:
            for connection in busy:  # their late answers would be taken for those of later tasks
                connection.close()
                self._connections.remove(connection)

    def _check_nursery(self) -> None:
        """Raise if the nursery has ended, which means that it could not start; else a worker alone has crashed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._nursery.wait(_DYING_SECONDS)
            raise RoundtripError(
                "The process that imports ITK and pydicom could not start; check the installation with"
                ' `python -c "import itk, pydicom; itk.GDCMImageIO.New()"`.'
            )


def nursery(control: int, prepare: str) -> None:
    """Import what workers need, then fork a worker for each socket received from ``control``, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # dead workers leave no zombies
    gc.disable()  # nothing imported is garbage; frozen, it is not copied into each worker by a collection
    module, *argument = prepare.split(":")
    importlib.import_module(f"itk_roundtrip.{module}").prepare(*argument)
    gc.freeze()
    gc.set_threshold(_GARBAGE_THRESHOLD)
    gc.enable()
    with socket.socket(fileno=control) as requests:
        while True:
            message, descriptors, _, _ = socket.recv_fds(requests, 1, 1)
            if not message:
                return
            if os.fork() == 0:
                requests.close()
                _serve(Connection(descriptors[0]))
                os._exit(0)
            os.close(descriptors[0])


def _serve(connection: Connection[Any, Any]) -> None:
    while True:
        try:
            task = connection.recv()
        except EOFError:  # the parent is gone or has no more to do
            return
        answer: tuple[Any, RoundtripError | None]
        try:
            answer = (task.function(*task.arguments), None)
        except RoundtripError as error:
            answer = (None, error)
        except BaseException as error:  # a panic in Rust, as in a decoder, is no Exception
            answer = (None, internal_error(error))
        connection.send(answer)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Block SIGINT (Ctrl-C), SIGTERM and SIGHUP while a few lines run that must not be left halfway."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
