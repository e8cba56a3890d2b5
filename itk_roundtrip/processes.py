"""Worker processes for tasks that may crash: new interpreters, each of which imports what its tasks need.

ITK may end the process that it runs in and keeps the GIL while it works, so that the process of the user never runs
it. A worker is started as any program is, on every system, and gets its tasks through a pipe to its standard input;
it ends by itself when the pipe ends, as it does when the parent is killed. One that dies is replaced, and the parent
learns on which task it died.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Protocol

from itk_roundtrip import folders
from itk_roundtrip.errors import RoundtripError, internal_error

_GARBAGE_THRESHOLD = 50_000
"""Objects between garbage collections: a header has thousands and hardly a cycle, so that Python's 700 cost time."""
_POLL_SECONDS = 0.2
"""Longest wait for an answer at a time: on Windows, Ctrl-C does not wake a thread that waits without an end."""
_ENDING_SECONDS = 1.0
"""Longest wait for the end of the pipe of a dead worker, which a process that it left behind may hold open."""
_LENGTH = struct.Struct("<Q")
_STOPS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))
"""Signals that stop a program and that it may handle: Ctrl-C, the end of the session, on Windows Ctrl-Break."""


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worth_starting(jobs: int | None) -> int:
    """Return how many worker processes to start where up to ``jobs`` may run, or as many as are worth it.

    More than there are processors take turns, and each takes a second of work to start.
    """
    return processors() if jobs is None else min(jobs, processors())


@dataclass(frozen=True)
class Task:
    """A call ``function(*arguments)``, which is pickled on its way to a worker."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Outcome:
    """Result of a task: the value it returned; ``crashed`` if its worker died, ``timed_out`` if it was ended."""

    task: Task
    value: Any = None
    crashed: bool = False
    timed_out: bool = False


class Pool(Protocol):
    """What does tasks: worker processes (:class:`Workers`), or this process."""

    def start(self) -> None:
        """Get ready for many tasks."""

    def is_ready(self) -> bool:
        """Tell whether a task that comes now is done at once."""

    def call(self, function: Callable[..., Any], *arguments: Any) -> Outcome:
        """Do a task and return its outcome; an error that it raises is raised here."""

    def run(self, tasks: deque[Task], *, starting: bool = True) -> Iterator[Outcome]:
        """Do tasks and yield their outcomes as they come; start more processes for them if ``starting``."""


class ThisProcess:
    """A :class:`Pool` for callers whose images are in the memory of this process; a crash of ITK is not survived."""

    def start(self) -> None:
        """Do nothing: this process runs."""

    def is_ready(self) -> bool:
        """Return True."""
        return True

    def call(self, function: Callable[..., Any], *arguments: Any) -> Outcome:
        """Do a task and return its outcome."""
        return Outcome(Task(function, arguments), function(*arguments))

    def run(self, tasks: deque[Task], *, starting: bool = True) -> Iterator[Outcome]:
        """Do tasks one after the other."""
        while tasks:
            task = tasks.popleft()
            yield Outcome(task, task.function(*task.arguments))


@dataclass(eq=False)
class _Worker:
    """A worker process, the thread that receives its answers, whether it is prepared, and its task since when.

    ``temporary`` is how the paths of its temporary folders begin; ``None`` before it is prepared.
    """

    process: subprocess.Popen[bytes]
    receiver: threading.Thread
    ready: bool = False
    temporary: Path | None = None
    task: Task | None = None
    since: float = 0.0


class Workers:
    """Up to ``count`` worker processes, started ahead of the tasks or when there are tasks for them.

    Parameters
    ----------
    count
        Number of workers that run at the same time.
    prepare
        Module whose function ``prepare`` imports what the tasks need, once in each worker; a text behind a colon is
        its argument.
    output
        Where that goes which Python functions print: nowhere, or to ``stderr`` of this process. What ITK and other
        libraries print goes nowhere: it may hold names of files and patients.
    single_use
        Run each task in a process that has run no other; if more tasks wait, it starts as soon as one is done.
    """

    def __init__(
        self,
        count: int,
        *,
        prepare: str = "itk_roundtrip.carry.slabs",
        output: Literal["stderr"] | None = None,
        single_use: bool = False,
    ) -> None:
        self._count = count
        self._single_use = single_use
        self._prepare = prepare
        self._output = output
        self._workers: list[_Worker] = []
        self._answers: queue.SimpleQueue[tuple[_Worker, bytes | None]] = queue.SimpleQueue()
        # This process needs a processor as well until it has tasks: it imports modules and scans files.
        try:
            for _ in range(min(count, max(1, processors() - 1))):
                self._start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Start all workers that are not running yet: there will be tasks for them."""
        for _ in range(self._count - len(self._workers)):
            self._start()

    def _start(self) -> None:
        """Start a worker, or take the one that was started ahead."""
        with uninterrupted():  # signals are for the main thread, not for the one that receives
            process = _ahead.pop((self._prepare, self._output), None) or _process(self._prepare, self._output)
            worker = _Worker(process, threading.Thread(target=lambda: self._receive(worker), daemon=True))
            worker.receiver.start()
            self._workers.append(worker)

    def _receive(self, worker: _Worker) -> None:
        """Queue the answers of a worker, and ``None`` at their end."""
        assert worker.process.stdout is not None
        with worker.process.stdout as stream:
            while (answer := _received(stream)) is not None:
                self._answers.put((worker, answer))
        self._answers.put((worker, None))

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all workers, whatever they do."""
        self._end(*self._workers)

    def _end(self, *workers: _Worker) -> None:
        """Kill workers, and wait until nothing is left of them."""
        with uninterrupted():
            for worker in workers:
                if worker.process.returncode is None:
                    with contextlib.suppress(OSError):  # it is dead already
                        if hasattr(os, "killpg"):  # with what it has started, such as dciodvfy
                            os.killpg(worker.process.pid, signal.SIGKILL)
                        else:
                            worker.process.kill()
            for worker in workers:
                worker.process.wait()
                assert worker.process.stdin is not None
                with contextlib.suppress(OSError):  # half a task that it did not take
                    worker.process.stdin.close()
                worker.receiver.join(_ENDING_SECONDS)
                self._workers.remove(worker)
                folders.remove_temporary(worker.temporary)

    def call(self, function: Callable[..., Any], *arguments: Any, seconds: float | None = None) -> Outcome:
        """Run a task and return its outcome; an error that it raises is raised here."""
        return next(iter(self.run(deque([Task(function, arguments)]), seconds=seconds)))

    def run(self, tasks: deque[Task], *, seconds: float | None = None, starting: bool = True) -> Iterator[Outcome]:
        """Run tasks and yield their outcomes in the order of completion; tasks may be appended meanwhile.

        Parameters
        ----------
        tasks
            Is emptied.
        seconds
            Time limit of each task.
        starting
            Start more workers, as many as may run, if there are tasks for them; else only where there is none.

        Raises
        ------
        RoundtripError
            As soon as a task raises it.
        """
        try:
            while tasks or self._busy:
                self._hand_out(tasks, self._count if starting else 1)
                outcome = self._next_outcome(seconds)
                if outcome is not None:
                    # No worker waits for what is done with an outcome.
                    self._hand_out(tasks, self._count if starting else 1)
                    yield outcome
        finally:
            self._end(*self._busy)  # their late answers would be taken for those of later tasks

    @property
    def _busy(self) -> list[_Worker]:
        """The workers that have a task."""
        return [worker for worker in self._workers if worker.task is not None]

    def _hand_out(self, tasks: deque[Task], count: int) -> None:
        """Give a task to each worker that is ready and has none; start up to ``count`` workers for the others."""
        for _ in range(min(count, len(tasks) + len(self._busy)) - len(self._workers)):
            self._start()
        for worker in [worker for worker in self._workers if worker.ready and worker.task is None]:
            if not tasks:
                return
            assert worker.process.stdin is not None
            try:
                if worker.process.poll() is None:
                    _send(worker.process.stdin, pickle.dumps(tasks[0]))
                    worker.task, worker.since = tasks.popleft(), time.monotonic()
                    continue
            except OSError:
                pass
            self._end(worker)  # it died when it had nothing to do, which is not the fault of this task

    def is_ready(self) -> bool:
        """Tell whether a worker has imported what its tasks need."""
        if not self._busy:
            self._next_outcome(None, wait=0.0)
        return any(worker.ready for worker in self._workers)

    def _next_outcome(self, seconds: float | None, wait: float = _POLL_SECONDS) -> Outcome | None:
        """Wait a little for an answer, and return the outcome of the task that it is of, if there is one."""
        for late in self._busy if seconds is not None else ():
            if time.monotonic() - late.since > (seconds or 0.0):
                self._end(late)
                assert late.task is not None
                return Outcome(late.task, timed_out=True)
        try:
            worker, answer = self._answers.get(timeout=wait)
        except queue.Empty:
            return None
        if worker not in self._workers:  # it was ended, this is its last word
            return None
        task, worker.task = worker.task, None
        if answer is None:
            self._end(worker)
            if not worker.ready:
                raise RoundtripError(
                    "The process that imports ITK and pydicom could not start; check the installation with"
                    ' `python -c "import itk, pydicom; itk.GDCMImageIO.New()"`.'
                )
            if task is not None:
                import logging  # here, as the command line imports this module before it knows what is asked

                logging.getLogger(__name__).info("a worker process died of its task, which is tried in another way")
            return None if task is None else Outcome(task, crashed=True)
        value, error = pickle.loads(answer)
        if not worker.ready:
            worker.temporary = value
        if self._single_use and worker.ready:
            self._end(worker)
        if error is not None:
            raise error
        worker.ready = True
        return None if task is None else Outcome(task, value)


_ahead: dict[tuple[str, str | None], subprocess.Popen[bytes]] = {}
"""Processes that no :class:`Workers` has taken yet, by what they prepare and where their output goes."""


def start_ahead(prepare: str, output: Literal["stderr"] | None = None) -> None:
    """Start a worker process before it is known what for, which the first :class:`Workers` that prepares so takes.

    It imports while this process imports and parses; if nobody takes it, it ends with this process.
    """
    _ahead[prepare, output] = _process(prepare, output)


def _process(prepare: str, output: str | None) -> subprocess.Popen[bytes]:
    """Start a worker process."""
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        f"from itk_roundtrip.processes import serve; serve({prepare!r}, {output!r})"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if output == "stderr" and sys.stderr is not None else subprocess.DEVNULL,
        creationflags=_CREATION_FLAGS,
        start_new_session=True,  # Ctrl-C is the parent's
    )


if sys.platform == "win32":
    # Ctrl-C is the parent's, and a parent without a console makes no windows.
    _CREATION_FLAGS = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
else:
    _CREATION_FLAGS = 0


def _send(stream: IO[bytes], message: bytes) -> None:
    """Write a message with its length before it."""
    stream.write(_LENGTH.pack(len(message)))
    stream.write(message)
    stream.flush()


def _received(stream: IO[bytes]) -> bytes | None:
    """Return the next message, or ``None`` if the stream ends before or in it."""
    try:
        length = stream.read(_LENGTH.size)
        if len(length) < _LENGTH.size:
            return None
        message = stream.read(_LENGTH.unpack(length)[0])
    except OSError:  # as Windows tells the end of a broken pipe
        return None
    return message if len(message) == _LENGTH.unpack(length)[0] else None


# ------------------------------------------------------------------------------------ in the worker process


def serve(prepare: str, output: Literal["stderr"] | None) -> None:
    """Run a worker: prepare it, then answer tasks until the parent is gone."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    if output == "stderr":
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    sys.stdout = sys.stderr
    for descriptor in range(3):  # nothing that a library prints gets among the answers
        os.dup2(null, descriptor)
    _behave()
    if output is None:  # a caller's function, which may print, gets all threads it can have
        load_numpy()
    with without("requests"):  # pydicom's, for the download of its test files, a third of its import
        importlib.import_module("pydicom")
    temporary = folders.name_temporary()
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive_tasks, args=(requests, tasks, temporary), daemon=True).start()
    gc.disable()  # nothing that is imported is garbage
    try:
        module, _, argument = prepare.partition(":")
        importlib.import_module(module).prepare(*([argument] if argument else []))
        error = None
    except RoundtripError as refusal:
        error = refusal
    except BaseException:  # such as an installation that is not complete, which the parent reports
        os._exit(1)
    gc.freeze()
    gc.set_threshold(_GARBAGE_THRESHOLD)
    gc.enable()
    with contextlib.suppress(OSError):  # the parent is gone
        _send(answers, pickle.dumps((temporary, error)))
        while True:
            answer = _answer(tasks.get())
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):  # the function may have put anything there
                    stream.flush()
            _send(answers, answer)


def load_numpy() -> None:
    """Import numpy without threads for its linear algebra, unless the environment says how many.

    OpenBLAS starts one for each processor, which spins for 50 ms before it sleeps; here it gets nothing to do.
    """
    if "OPENBLAS_NUM_THREADS" in os.environ:
        return
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    try:
        importlib.import_module("numpy")
    finally:
        del os.environ["OPENBLAS_NUM_THREADS"]  # processes that this one starts, such as those of others, have all


@contextlib.contextmanager
def without(*packages: str) -> Iterator[None]:
    """Let libraries be imported without packages that they take if they are there, for what is not asked of them here.

    What has been imported already stays.
    """
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # as Python marks what is not to be imported
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


def _behave() -> None:
    """Leave Ctrl-C to the parent, take the signals that it held back at the start, and crash without a trace."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # memory with patient data is not to be left in a file
    if sys.platform == "win32":
        ctypes.windll.kernel32.SetErrorMode(0x0003)  # SEM_FAILCRITICALERRORS, SEM_NOGPFAULTERRORBOX: no dialog waits


def _receive_tasks(requests: IO[bytes], tasks: queue.SimpleQueue[bytes], temporary: Path | None) -> None:
    """Queue the tasks that come, and end this process, in the middle of a task if need be, when the parent is gone."""
    while (task := _received(requests)) is not None:
        tasks.put(task)
    with contextlib.suppress(OSError):
        folders.remove_temporary(temporary)
    os._exit(0)


def _answer(content: bytes) -> bytes:
    """Run a pickled task and return its value and error, pickled."""
    try:
        task = pickle.loads(content)
        return pickle.dumps((task.function(*task.arguments), None))
    except RoundtripError as error:
        return pickle.dumps((None, error))
    except BaseException as error:  # a panic in Rust, as in a decoder, is no Exception
        return pickle.dumps((None, internal_error(error)))


# ------------------------------------------------------------------------------------------------------ signals


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back the signals that stop a program while a few lines run that must not be left halfway.

    Where signals cannot be blocked, as on Windows, their handlers are called at the end; threads other than the main
    one never run any.
    """
    if hasattr(signal, "pthread_sigmask"):
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    came: list[int] = []
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        for number in _STOPS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):  # None: not set by Python, not to be put back
                handlers[number] = signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)
