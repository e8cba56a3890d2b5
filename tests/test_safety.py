"""What happens when things go wrong: kills, crashes, full disks, bad folders, signals. No half output, no lost data."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import hashlib
import importlib
import io
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chores
import filelock
import pydicom
import pytest
from synthetic import CASES, is_available, series_instance_uid, write_series

import itk_roundtrip as rt
from itk_roundtrip import cli
from itk_roundtrip.carry import instances, slabs
from itk_roundtrip.errors import ITKCrashError, RoundtripError
from itk_roundtrip.itk_io.view import Hiding
from itk_roundtrip.pixels import kinds
from itk_roundtrip.processes import Workers
from itk_roundtrip.series.find import find_series

if TYPE_CHECKING:
    import resource

    from conftest import Run
else:
    resource = pytest.importorskip("resource", reason="limits, signals and permissions of POSIX")

PRIVATE = {
    "PatientName": "Zzyzx^Quill",
    "PatientID": "PID-7731-QX",
    "PatientBirthDate": "19010203",
    "PatientAddress": "7 Hidden Lane",
}
SECRETS = (b"Zzyzx", b"Quill", b"7731", b"19010203", b"Hidden Lane", b"Noel", b"INVENTED-1", b"19700101")
"""What no message may hold: the values of PRIVATE, and those that the generator gives every other file."""

SLICES = 40
OLD_FILES = ("one.dcm", "two.dcm", "below/three.dcm")
PATIENCE_S = 20.0
"""How long to poll for what must come."""

MARK = "ITK_ROUNDTRIP_TEST_RUN"
"""Environment variable by which the processes of one run are found again."""

_flow: Any = importlib.import_module("itk_roundtrip.pipeline")

# ------------------------------------------------------------------------------------------ folders, compared


def state(folder: Path, *, folder_times: bool = True) -> dict[str, tuple[Any, ...]]:
    """Return name, mode, size, time and hash of everything in a folder; ``folder_times`` compares those of folders."""
    entries: dict[str, tuple[Any, ...]] = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        status, name = path.lstat(), str(path.relative_to(folder))
        if path.is_symlink():
            entries[name] = ("link", os.readlink(path))
        elif path.is_dir():
            entries[name] = ("folder", status.st_mode, status.st_mtime_ns if folder_times else 0)
        else:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            entries[name] = ("file", status.st_mode, status.st_size, status.st_mtime_ns, digest)
    return entries


def essence(folder: Path) -> dict[str, tuple[str, str, str, int]]:
    """Return what must be the same in every right output of one source: names, UIDs, pixels, attributes present."""
    found = {}
    for path in sorted(folder.iterdir()):
        dataset = pydicom.dcmread(path)
        pixels = hashlib.sha256(dataset.PixelData).hexdigest()
        found[path.name] = (str(dataset.SOPInstanceUID), str(dataset.SeriesInstanceUID), pixels, len(dataset))
    return found


def write_old(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Make an old output and return its state."""
    for name in OLD_FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"old {name}")
    return state(folder)


def hidden(folder: Path) -> Path:
    """Return the staging folder of an output folder."""
    return folder.with_name(f".{folder.name}.itk-roundtrip")


def made_in(folder: Path, name: str) -> Path:
    """Return the subfolder ``output`` or ``ordering`` of the run that makes an output folder; none if there is none."""
    return next(hidden(folder).glob(f"run-*/{name}"), hidden(folder) / "run-none" / name)


def names(folder: Path) -> set[str]:
    """Return what a folder holds, hidden or not."""
    return {path.name for path in folder.iterdir()}


# ---------------------------------------------------------------------------------------- the command line


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int | str | None
    stdout: bytes
    stderr: bytes

    def check_refused(self, reason: str = "") -> None:
        """Check that this is a refusal: exit code 2, one sentence, nothing else."""
        assert self.code == 2, self
        assert self.stdout == b""
        assert re.fullmatch(rb"itk-roundtrip: [^\r\n]+\.\n", self.stderr), self.stderr
        assert re.search(reason, self.stderr.decode(), re.IGNORECASE), self.stderr
        assert b"Traceback" not in self.stderr
        assert b"Internal error" not in self.stderr

    def check_hides(self, *secrets: bytes) -> None:
        """Check that neither stream holds patient data or any of ``secrets``."""
        for secret in (*SECRETS, *secrets):
            assert secret not in self.stdout + self.stderr, secret


class Started:
    """The command line, or Python code, in a process group of its own, and whatever it starts."""

    def __init__(self, *arguments: object, code: str | None = None, **popen: Any) -> None:
        self.token = uuid.uuid4().hex
        self.seen: set[int] = set()
        command = ["-c", code] if code is not None else ["-m", "itk_roundtrip"]
        environment = {**os.environ, MARK: self.token, "PYTHONDONTWRITEBYTECODE": "1"}
        popen = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True, **popen}
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            [sys.executable, *command, *map(str, arguments)], env=environment, **popen
        )

    def ended(self) -> Ended:
        """Wait for the end."""
        stdout, stderr = self.process.communicate(timeout=3 * PATIENCE_S)
        return Ended(self.process.returncode, stdout or b"", stderr or b"")

    def running(self) -> bool:
        return self.process.poll() is None

    def survivors(self) -> list[int]:
        """Return the processes of this run that are alive, first found by their environment (Linux; elsewhere none)."""
        mark = f"{MARK}={self.token}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes():
                    self.seen.add(int(folder.name))
        # A process that ends loses its environment first and its files, among them the lock, later.
        return [number for number in self.seen if _is_alive(number)]

    def check_all_gone(self) -> None:
        assert until(lambda: not self.survivors()), "processes of the run are still there"


def _is_alive(number: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in "XZ"
    return False


def until(condition: Callable[[], bool]) -> bool:
    """Poll until a condition holds; tell whether it ever did."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.001)
    return condition()


_STAGED = """
import contextlib, importlib, signal, sys
from types import ModuleType, SimpleNamespace
from itk_roundtrip import cli, folders

moment = sys.argv.pop(1)
flow = importlib.import_module("itk_roundtrip.pipeline")
class NoWorkers(contextlib.nullcontext):
    def close(self):
        pass

flow.Workers = lambda *_, **__: NoWorkers()
lock, remove = folders.lock, folders.remove

def interrupt(*_):
    signal.raise_signal(signal.SIGINT)

def lock_then_interrupt(folder):
    locked = lock(folder)
    interrupt()
    return locked

def interrupt_then_remove(path):
    folders.remove = remove
    interrupt()
    remove(path)

def carry(source, destination, options, place, workers, apart):
    (place.output / "new.dcm").write_text("new")
    if moment == "defect":
        raise ValueError("Zzyzx^Quill PID-7731-QX 19010203")
    if moment.startswith("SIG"):
        signal.raise_signal(getattr(signal, moment))
    if not moment.startswith("working"):
        place.publish()
    if moment.endswith("removing"):
        folders.remove = interrupt_then_remove
    if moment in ("published", "working, removing"):
        interrupt()
    return SimpleNamespace(warnings=())

flow.carry = carry
name = "itk_roundtrip.show.report"  # the real one takes long to import
report = sys.modules[name] = ModuleType(name)
report.run_table = interrupt if moment == "printing" else lambda *_: "carried"
report.run_document = lambda *_: {"carried": True}
if moment == "entering":
    folders.lock = lock_then_interrupt
cli.main()
"""
"""The command line with a carrier that does next to nothing, and something that happens at an exact moment."""


Command = Callable[..., Ended]


@pytest.fixture
def command(_lent: None, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return the command line in this process, with the workers of the session."""

    def call(*arguments: object) -> Ended:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace") for _ in range(2)]
        code: int | str | None = 0
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", streams[0])
            patch.setattr(sys, "stderr", streams[1])
            try:
                cli.app([str(one) for one in arguments])
            except SystemExit as end:
                code = end.code or 0
        written = []
        for stream in streams:
            stream.flush()
            buffer = stream.buffer
            assert isinstance(buffer, io.BytesIO)
            written.append(buffer.getvalue())
        return Ended(code, *written)

    return call


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a series long enough to be stopped in the middle."""
    folder = tmp_path_factory.mktemp("safety") / "source"
    write_series(folder, slices=SLICES)
    return folder


@pytest.fixture(scope="module")
def long_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a series whose output takes so long that no poll misses it."""
    folder = tmp_path_factory.mktemp("safety") / "long"
    write_series(folder, slices=120)
    return folder


@pytest.fixture(scope="module")
def short_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with three slices of a patient whose data must not be told."""
    folder = tmp_path_factory.mktemp("safety") / "short"
    write_series(folder, slices=3, attributes=PRIVATE)
    return folder


@pytest.fixture(scope="module")
def right(source: Path, run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str, str, int]]:
    """Return the essence of what becomes of ``source``."""
    output = tmp_path_factory.mktemp("safety") / "right"
    run(source, output)
    found = essence(output)
    assert len(found) == SLICES
    return found


# ------------------------------------------------------------------------------------------------- kill -9


def _moments() -> Iterator[tuple[str, float, bool]]:
    """Yield seeded moments: shares of the duration of a run, and counts of files in the staging folder's output."""
    chance = random.Random(4711)
    for index in range(5):
        yield "share", round((index + chance.random()) / 5 * 1.1, 3), bool(index % 2)
    for index in range(3):
        yield "files", chance.randrange(1 + 12 * index, 13 + 12 * index), bool(index % 2)


@pytest.fixture(scope="module")
def duration_s(source: Path, tmp_path_factory: pytest.TempPathFactory) -> float:
    """Return how long a run takes here and now."""
    start = time.monotonic()
    assert Started("run", source, tmp_path_factory.mktemp("measured") / "out", "--jobs", 1).ended().code == 0
    return time.monotonic() - start


@pytest.mark.parametrize(("kind", "moment", "has_old"), list(_moments()))
def test_kill_at_any_moment_leaves_the_source_and_a_whole_output_or_none(
    kind: str,
    moment: float,
    has_old: bool,
    source: Path,
    right: Mapping[str, Any],
    duration_s: float,
    run: Run,
    tmp_path: Path,
) -> None:
    """The out-of-memory killer and batch systems kill without warning, and the job is simply run again."""
    output, before = tmp_path / "out", state(source)
    old = write_old(output) if has_old else None
    start = time.monotonic()
    started = Started("run", source, output, "--jobs", 1, "--overwrite")

    def has_come() -> bool:
        if kind == "share":
            return time.monotonic() - start >= moment * duration_s
        return len(list(made_in(output, "output").glob("*.dcm"))) >= moment

    assert until(lambda: has_come() or not started.running())
    started.survivors()
    started.process.kill()
    started.ended()
    if not output.exists():
        assert not has_old
    elif state(output) != old:
        assert essence(output) == right
    assert state(source) == before

    started.check_all_gone()
    run(source, output, overwrite=True)
    assert essence(output) == right
    assert names(tmp_path) == {"out"}
    assert state(source) == before


_KILLED_WHILE_PUBLISHING = """
import ctypes, os, signal, sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from itk_roundtrip.carry import staging

source, destination, exchange, last = sys.argv[1:]
steps = count()

def dying(function):
    def call(*arguments):
        if next(steps) == int(last):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)
    return call

os.rename = dying(os.rename)
library, calls = ctypes.CDLL(None), ("renameat2", "renamex_np") if exchange == "exchange" else ()
dying_calls = {name: dying(getattr(library, name)) for name in calls if hasattr(library, name)}
ctypes.CDLL = lambda _: SimpleNamespace(**dying_calls)
with staging.Staging(Path(source), Path(destination), overwrite=True) as place:
    (place.output / "new.dcm").write_text("new")
    place.publish()
    dying(print)()
"""


@pytest.mark.parametrize(
    ("exchange", "step", "is_new"),
    [("exchange", 0, False), ("exchange", 1, True), ("renames", 0, False), ("renames", 1, False), ("renames", 2, True)],
)
def test_kill_between_the_steps_of_publishing_loses_no_output(
    exchange: str, step: int, is_new: bool, short_source: Path, command: Command, tmp_path: Path
) -> None:
    """The old output may be the only copy; where folders cannot be exchanged, it is away for a moment."""
    output = tmp_path / "out"
    old = write_old(output)
    started = Started(short_source, output, exchange, step, code=_KILLED_WHILE_PUBLISHING)
    assert started.ended().code == -signal.SIGKILL
    assert hidden(output).exists()
    if (exchange, step) == ("renames", 1):
        assert not output.exists()
    else:
        assert names(output) == ({"new.dcm"} if is_new else {"one.dcm", "two.dcm", "below"})

    command("run", short_source, output).check_refused("not empty")

    assert names(tmp_path) == {"out"}
    if is_new:
        assert (output / "new.dcm").read_text() == "new"
        assert names(output) == {"new.dcm"}
    else:
        assert state(output) == old


# ------------------------------------------------------------------------------------------------ recovery


def test_a_new_empty_folder_does_not_cost_the_old_output_that_was_moved_aside(command: Command, tmp_path: Path) -> None:
    """Scripts say `mkdir -p OUT` before each run, also after one that was killed between its two renames."""
    output, nothing = tmp_path / "out", tmp_path / "nothing"
    old = write_old(hidden(output) / "old")
    output.mkdir()
    nothing.mkdir()
    command("run", nothing, output, "--overwrite").check_refused("no DICOM series")
    assert names(tmp_path) == {"out", "nothing"}
    assert state(output) == old


def test_an_old_output_moved_aside_comes_back_before_a_run_replaces_it(
    short_source: Path, command: Command, tmp_path: Path
) -> None:
    """A run with --overwrite that fails after a killed one must still not cost the old output."""
    output, nothing = tmp_path / "out", tmp_path / "nothing"
    old = write_old(hidden(output) / "old")
    nothing.mkdir()
    command("run", nothing, output, "--overwrite").check_refused("no DICOM series")
    assert state(output) == old
    assert command("run", short_source, output, "--overwrite").code == 0
    assert names(tmp_path) == {"out", "nothing"}
    assert len(essence(output)) == 3


def test_what_a_killed_run_left_is_removed(short_source: Path, command: Command, tmp_path: Path) -> None:
    """Half outputs must neither pile up nor mix with the next output."""
    output = tmp_path / "out"
    for name in ("lock", "run-1/output/derived_IM9999.dcm", "run-1/itk-0/IM9999.dcm", "run-2/ordering/IM9999.dcm"):
        (hidden(output) / name).parent.mkdir(parents=True, exist_ok=True)
        (hidden(output) / name).write_text("half")
    assert command("run", short_source, output).code == 0
    assert names(tmp_path) == {"out"}
    assert sorted(essence(output)) == [f"derived_IM000{number}.dcm" for number in (1, 2, 3)]


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_a_run_that_holds_the_lock_is_not_disturbed(
    options: tuple[str, ...], short_source: Path, command: Command, tmp_path: Path
) -> None:
    """Two jobs of a batch system may write to one folder by mistake."""
    output = tmp_path / "out"
    (hidden(output) / "run-1" / "output").mkdir(parents=True)
    (hidden(output) / "run-1" / "output" / "half.dcm").write_text("half")
    with filelock.FileLock(hidden(output) / "lock"):
        before = state(tmp_path)
        command("run", short_source, output, *options).check_refused("another run")
        assert state(tmp_path) == before


def test_of_two_runs_to_one_folder_one_succeeds_and_one_is_refused(
    source: Path, right: Mapping[str, Any], tmp_path: Path
) -> None:
    """A job that is started twice must not mix two outputs."""
    output = tmp_path / "out"
    started = [Started("run", source, output, "--jobs", 1) for _ in range(2)]
    ends = sorted((one.ended() for one in started), key=lambda end: str(end.code))
    assert ends[0].code == 0
    ends[1].check_refused("another run|not empty|filled")
    assert names(tmp_path) == {"out"}
    assert essence(output) == right


# ------------------------------------------------------------------------------- file systems without exchange


def test_overwrite_works_where_folders_cannot_be_exchanged(
    short_source: Path, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """NFS and old kernels have no exchange of two folders."""
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())  # a system that has no such call
    output = tmp_path / "out"
    write_old(output)
    assert command("run", short_source, output, "--overwrite").code == 0
    assert names(tmp_path) == {"out"}
    assert sorted(essence(output)) == [f"derived_IM000{number}.dcm" for number in (1, 2, 3)]


def test_the_old_output_comes_back_where_the_new_one_cannot_be_put_in_its_place(
    short_source: Path, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A network disk may fail between two renames."""
    output, rename, failed = tmp_path / "out", os.rename, []

    def failing(old: Path, new: Path) -> None:
        if Path(old).name == "output" and Path(new) == output:
            failed.append(old)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(old, new)

    before = write_old(output)
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())  # a system that has no such call
    monkeypatch.setattr("os.rename", failing)
    command("run", short_source, output, "--overwrite").check_refused("input/output error")
    assert len(failed) == 1
    assert names(tmp_path) == {"out"}
    assert state(output) == before


# ----------------------------------------------------------------------------------------- disks that refuse


@pytest.fixture(scope="module")
def file_sizes(source: Path, run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, int]:
    """Return the sizes of the largest file of ITK and of the largest completed one."""
    folder = tmp_path_factory.mktemp("sizes")
    run(source, folder / "itk", headers="itk")
    run(source, folder / "complete")
    itk, complete = (max(path.stat().st_size for path in (folder / name).iterdir()) for name in ("itk", "complete"))
    return itk, complete


@pytest.mark.parametrize("fails", ["first", "itk", "completed"])
def test_a_file_size_limit_is_named_and_leaves_nothing(
    fails: str, source: Path, file_sizes: tuple[int, int], tmp_path: Path
) -> None:
    """Batch systems limit the size of files; ITK's first, ITK's later or our own write may be the one that fails."""
    itk, complete = file_sizes
    assert itk < complete
    limit = {"first": 100, "itk": itk - 1, "completed": complete - 1}[fails]
    before = state(source)
    started = Started(
        "run", source, tmp_path / "new" / "out", "--jobs", 1,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    started.ended().check_refused("limit|too large")
    assert names(tmp_path) == set()
    assert state(source) == before
    started.check_all_gone()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Return a function that mounts a small file system with some options."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = False

    def mount(options: str) -> Path:
        nonlocal mounted
        try:
            done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True)
        except FileNotFoundError:
            pytest.skip("there is no mount command")
        if done.returncode != 0:
            pytest.skip("a file system may not be mounted here")
        mounted = True
        return folder

    try:
        yield mount
    finally:
        if mounted:
            subprocess.run(["umount", "-l", folder], check=True, capture_output=True)


@pytest.mark.parametrize("filled", [False, True])
def test_a_full_disk_is_named_and_leaves_nothing(
    filled: bool, source: Path, command: Command, small_disk: Callable[[str], Path]
) -> None:
    """Disks fill up in the middle of a run, or are full before it."""
    disk, before = small_disk("size=64k"), state(source)
    if filled:
        with (disk / "others").open("wb", buffering=0) as stream, contextlib.suppress(OSError):
            while stream.write(bytes(4096)):
                pass
    standing = state(disk, folder_times=False)
    command("run", source, disk / "new" / "out").check_refused("full|no space")
    assert state(disk, folder_times=False) == standing
    assert state(source) == before


def test_a_full_disk_does_not_cost_the_old_output(
    source: Path, command: Command, small_disk: Callable[[str], Path]
) -> None:
    """With --overwrite the old output is all there is until the new one is whole."""
    disk = small_disk("size=64k")
    old = write_old(disk / "out")
    command("run", source, disk / "out", "--overwrite").check_refused("full|no space")
    assert names(disk) == {"out"}
    assert state(disk / "out") == old


def test_a_disk_without_room_for_one_more_file_is_named_and_left_as_it_was(
    source: Path, command: Command, small_disk: Callable[[str], Path]
) -> None:
    """A disk may have bytes left but no inodes: the staging folder fits, its lock does not."""
    disk = small_disk("size=1m,nr_inodes=3")  # the root, a parent folder and the staging folder
    command("run", source, disk / "new" / "out").check_refused("full|no space")
    assert names(disk) == set()


def _without_override() -> Callable[[], None] | None:
    """Return what makes a child process of root respect permissions; nothing to do for other users."""
    if os.getuid() != 0:
        return None
    if sys.platform != "linux":
        pytest.skip("root is stopped by no permissions")
    library = ctypes.CDLL(None)

    def drop() -> None:
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            if library.prctl(24, capability, 0, 0, 0) != 0:  # PR_CAPBSET_DROP
                os._exit(99)

    return drop


@pytest.fixture
def sealed(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Return a function that takes the right to write from a folder, until the end of the test."""
    folders: list[Path] = []

    def seal(folder: Path) -> Path:
        folder.chmod(0o555)
        folders.append(folder)
        return folder

    yield seal
    for path in (tmp_path, *tmp_path.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


@pytest.mark.parametrize("case", ["new", "parents", "replaced in read-only parent", "read-only output"])
def test_a_folder_that_may_not_be_written_is_named_and_left_as_it_was(
    case: str, short_source: Path, sealed: Callable[[Path], Path], tmp_path: Path
) -> None:
    """Archives are mounted read-only, and shares give rights by folder."""
    parent = tmp_path / "parent"
    output = parent / ("a/b/out" if case == "parents" else "out")
    parent.mkdir()
    if case not in ("new", "parents"):
        write_old(output)
    sealed(output if case == "read-only output" else parent)
    before = state(parent, folder_times=False)
    ended = Started("run", short_source, output, "--overwrite", preexec_fn=_without_override()).ended()
    ended.check_refused("out cannot be (written|replaced): permission denied")
    assert state(parent, folder_times=False) == before


def test_an_empty_read_only_output_folder_leaves_no_staging_folder(
    short_source: Path, sealed: Callable[[Path], Path], tmp_path: Path
) -> None:
    """Folders made by an administrator may be read-only; whatever is decided, nothing hidden may stay."""
    output = tmp_path / "out"
    output.mkdir()
    sealed(output)
    ended = Started("done", "run", short_source, output, code=_STAGED, preexec_fn=_without_override()).ended()
    assert names(tmp_path) == {"out"}
    if ended.code == 0:
        assert names(output) == {"new.dcm"}
    else:
        ended.check_refused("permission denied")
        assert names(output) == set()


def test_an_old_output_with_read_only_folders_is_replaced_without_leftovers(
    short_source: Path, sealed: Callable[[Path], Path], tmp_path: Path
) -> None:
    """Finished results are often made read-only; a hidden copy of them that stays fills the disk unseen."""
    output = tmp_path / "out"
    write_old(output)
    sealed(output / "below")
    before = state(output)
    started = Started("done", "run", short_source, output, "--overwrite", code=_STAGED, preexec_fn=_without_override())
    ended = started.ended()
    assert names(tmp_path) == {"out"}
    if ended.code == 0:
        assert names(output) == {"new.dcm"}
    else:
        ended.check_refused("permission denied")
        assert state(output) == before


# ------------------------------------------------------------------------------------------------ refusals


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with sources and outputs, good and bad."""
    folder = tmp_path_factory.mktemp("safety") / "shelf"
    write_series(folder / "src", slices=2, attributes=PRIVATE)
    write_series(folder / "two", slices=2, beside=("other_series",))
    write_old(folder / "full")
    (folder / "empty").mkdir()
    (folder / "torn\nname").mkdir()
    (folder / "file").write_text("no folder")
    (folder / "link").symlink_to("src")
    (folder / "loop").symlink_to("loop")
    return folder


@pytest.mark.parametrize(
    ("source_name", "output_name", "options", "reason"),
    [
        ("src", "src", (), "is the source"),
        ("src", "src", ("--overwrite",), "is the source"),
        ("src", "link", ("--overwrite",), "is the source"),
        ("link", "src", ("--overwrite",), "is the source"),
        ("src", "full/../src", ("--overwrite",), "is the source"),
        ("full/../src", "new/../link", ("--overwrite",), "is the source"),
        ("src", "src/out", (), "inside"),
        ("src", "src/a/b", (), "inside"),
        ("src", "link/out", (), "inside"),
        ("link", "full/../src/out", (), "inside"),
        ("src", ".", ("--overwrite",), "inside"),
        ("link", "../shelf", ("--overwrite",), "inside"),
        ("src", "file", (), "is a file"),
        ("src", "file", ("--overwrite",), "is a file"),
        ("src", "file/out", (), ""),
        ("src", "loop", (), ""),
        ("src", "full", (), "not empty"),
        ("src", "n" * 250, (), "too long"),
        ("missing", "new/deep/out", (), "missing is neither a folder nor a file"),
        ("file", "new/deep/out", (), "no DICOM series; 1 file was skipped"),
        ("empty", "new/deep/out", (), "no DICOM series; it is empty"),
        ("full", "new/deep/out", (), "no DICOM series"),
        ("torn\nname", "new/deep/out", (), "no DICOM series"),
        ("two", "new/deep/out", (), "2 series"),
        ("src", "new/deep/out", ("--series", "1.2.3"), "no series 1.2.3"),
        ("two", "full", ("--overwrite",), "2 series"),
    ],
)
def test_a_refusal_is_one_sentence_and_changes_nothing(
    source_name: str,
    output_name: str,
    options: tuple[str, ...],
    reason: str,
    shelf: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Typing errors in paths are the most frequent way to lose a folder; messages name them as they were typed."""
    monkeypatch.chdir(shelf)
    before, source_before = state(shelf, folder_times=False), state(shelf / "src")
    for as_json in ((), ("--json",)):
        ended = command("run", source_name, output_name, *options, *as_json)
        ended.check_refused(reason)
        ended.check_hides(os.fsencode(shelf.parent))
    assert state(shelf, folder_times=False) == before
    assert state(shelf / "src") == source_before


def test_a_source_within_the_staging_folder_is_refused(command: Command, tmp_path: Path) -> None:
    """Who finds the hidden folder of a killed run may try to carry on with what is in it."""
    source = hidden(tmp_path / "out") / "output"
    write_series(source, slices=2)
    before = state(source)
    command("run", source, tmp_path / "out").check_refused()
    assert source.exists(), "the source was removed"
    assert state(source) == before


def test_a_staging_folder_that_is_a_link_is_refused(short_source: Path, command: Command, tmp_path: Path) -> None:
    """In a folder that others may write to, a link of that name would have its target emptied."""
    write_old(tmp_path / "precious")
    hidden(tmp_path / "out").symlink_to("precious")
    before = state(tmp_path, folder_times=False)
    command("run", short_source, tmp_path / "out").check_refused()
    assert state(tmp_path, folder_times=False) == before


@pytest.mark.parametrize("deep", [False, True])
def test_a_source_of_links_into_the_output_is_refused(deep: bool, command: Command, tmp_path: Path) -> None:
    """Worklists are folders of links; replacing the folder that they lead to would remove the only copy."""
    output, source = tmp_path / "out", tmp_path / "worklist"
    source.mkdir()
    for path in write_series(output / "a" if deep else output, slices=3):
        (source / path.name).symlink_to(path)
    before = state(tmp_path, folder_times=False)
    command("run", source, output, "--overwrite").check_refused("link into .*out")
    assert state(tmp_path, folder_times=False) == before


@pytest.mark.parametrize("what", ["folder", "file"])
@pytest.mark.parametrize("make", [rt.roundtrip, rt.export_volume])
def test_who_clears_a_staging_folder_gets_no_half_output(
    make: Callable[..., object], what: str, short_source: Path, tmp_path: Path
) -> None:
    """Clean-up jobs remove hidden folders, of runs as well, after files in them were verified."""
    output = tmp_path / ("out" if make is rt.roundtrip else "out.mha")

    def progress(stage: str, done: int, total: int) -> None:
        if stage in ("Carrying", "Exporting") and done == total:
            (folder,) = tmp_path.glob(".out*")
            if what == "folder":
                shutil.rmtree(folder)
            else:
                next(folder.rglob("derived_*" if make is rt.roundtrip else "volume*")).unlink()

    message = "something was removed" if make is rt.roundtrip or what == "folder" else "no such file"
    with pytest.raises(rt.DestinationError, match=message):
        make(short_source, output, progress=progress)
    assert names(tmp_path) == set()


# ------------------------------------------------------------------------------------------------- signals


def _ignore(number: signal.Signals) -> Callable[[], None]:
    return lambda: (signal.signal(number, signal.SIG_IGN), None)[1]


@pytest.mark.parametrize(
    ("sent", "stage"),
    [(signal.SIGINT, "ordering"), (signal.SIGINT, "output"), (signal.SIGTERM, "output")],
)
def test_a_stop_leaves_the_old_output_and_nothing_else(
    sent: signal.Signals, stage: str, long_source: Path, tmp_path: Path
) -> None:
    """People press Ctrl-C and batch systems send SIGTERM, while ITK is imported or while files are made."""
    output = tmp_path / "out"
    old, before = write_old(output), state(long_source)
    started = Started("run", long_source, output, "--overwrite", "--jobs", 1)

    def has_come() -> bool:
        folder = made_in(output, stage)
        return not started.running() or (folder.is_dir() and len(names(folder)) > (100 if stage == "ordering" else 0))

    assert until(has_come)
    os.killpg(started.process.pid, sent)
    started.ended().check_refused("interrupted")
    started.check_all_gone()
    assert names(tmp_path) == {"out"}
    assert state(output) == old
    assert state(long_source) == before


def test_a_terminal_that_closes_stops_a_run(short_source: Path, tmp_path: Path) -> None:
    """SIGHUP is what a run gets when the connection ends; it must clean up as for Ctrl-C."""
    Started("SIGHUP", "run", short_source, tmp_path / "new" / "out", code=_STAGED).ended().check_refused("interrupted")
    assert names(tmp_path) == set()


def test_sigterm_stops_a_run_in_the_background_of_a_script(short_source: Path, tmp_path: Path) -> None:
    """A shell script starts `itk-roundtrip run ... &` with SIGINT ignored; SIGTERM must still stop it."""
    ignoring = _ignore(signal.SIGINT)
    started = Started("SIGTERM", "run", short_source, tmp_path / "out", code=_STAGED, preexec_fn=ignoring)
    started.ended().check_refused("interrupted")
    assert names(tmp_path) == set()


def test_a_run_under_nohup_outlives_its_terminal(short_source: Path, tmp_path: Path) -> None:
    """`nohup` ignores SIGHUP so that a long run goes on when the connection ends."""
    ignoring = _ignore(signal.SIGHUP)
    ended = Started("SIGHUP", "run", short_source, tmp_path / "out", code=_STAGED, preexec_fn=ignoring).ended()
    assert (ended.code, ended.stderr) == (0, b"")
    assert names(tmp_path) == {"out"}


@pytest.mark.parametrize(
    ("moment", "has_old"), [("entering", False), ("working, removing", False), ("working, removing", True)]
)
def test_ctrl_c_at_a_bad_moment_leaves_nothing(moment: str, has_old: bool, short_source: Path, tmp_path: Path) -> None:
    """Ctrl-C comes when it comes, and impatient people press it twice: the second time, the first is cleaning up."""
    output = tmp_path / "parent" / "out"
    if has_old:
        write_old(output)
    before = state(tmp_path, folder_times=False)
    ended = Started(moment, "run", short_source, output, "--overwrite", code=_STAGED).ended()
    ended.check_refused("interrupted")
    assert state(tmp_path, folder_times=False) == before


@pytest.mark.parametrize(
    ("moment", "has_old"), [("published", False), ("published, removing", True), ("printing", False)]
)
def test_ctrl_c_after_publishing_is_not_told_as_nothing_written(
    moment: str, has_old: bool, short_source: Path, tmp_path: Path
) -> None:
    """Who reads that nothing was written will not look for an output, or will take the new one for the old one."""
    output = tmp_path / "out"
    if has_old:
        write_old(output)
    ended = Started(moment, "run", short_source, output, "--overwrite", code=_STAGED).ended()
    assert names(tmp_path) == {"out"}
    assert names(output) == {"new.dcm"}
    assert ended.code in (0, 2), ended
    assert b"nothing was written" not in ended.stderr
    assert b"Traceback" not in ended.stderr


def test_a_defect_of_ours_is_one_sentence_without_values(short_source: Path, tmp_path: Path) -> None:
    """A traceback quotes values: of an unexpected error only its kind and place may be told."""
    ended = Started("defect", "run", short_source, tmp_path / "out", code=_STAGED).ended()
    ended.check_hides()
    assert ended.code == 2
    assert re.fullmatch(rb"itk-roundtrip: [^\n]+\.\n", ended.stderr), ended.stderr
    assert names(tmp_path) == set()


# ------------------------------------------------------------------------------------- streams that are gone


def _close(*descriptors: int) -> Callable[[], None]:
    def close() -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    return close


@pytest.mark.parametrize("descriptor", [1, 2])
def test_a_closed_stream_costs_no_output(descriptor: int, short_source: Path, tmp_path: Path) -> None:
    """Daemons and schedulers start programs with standard streams closed."""
    closing = _close(descriptor)
    ended = Started("done", "run", short_source, tmp_path / "out", code=_STAGED, preexec_fn=closing).ended()
    assert ended.code in ((0,) if descriptor == 2 else (0, 2)), ended
    assert b"Traceback" not in ended.stderr
    assert names(tmp_path / "out") == {"new.dcm"}


def test_a_run_without_any_stream_reaches_its_workers(short_source: Path, tmp_path: Path) -> None:
    """With 0, 1 and 2 closed, the lock and the pipes to the workers get these numbers."""
    started = Started("run", short_source, tmp_path / "out", "--jobs", 1, preexec_fn=_close(0, 1, 2))
    assert started.ended().code in (0, 2)
    started.check_all_gone()
    assert names(tmp_path) == {"out"}
    assert len(essence(tmp_path / "out")) == 3


@pytest.mark.parametrize(("target", "as_json"), [("full disk", ()), ("closed pipe", ()), ("closed pipe", ("--json",))])
def test_a_result_that_cannot_be_printed_ends_without_a_traceback(
    target: str, as_json: tuple[str, ...], short_source: Path, tmp_path: Path
) -> None:
    """The log may be on a full disk, or the result may go to `head`; exit code 1 is never that of a run."""
    if target == "full disk":
        if not Path("/dev/full").exists():
            pytest.skip("there is no /dev/full")
        write = os.open("/dev/full", os.O_WRONLY)
    else:
        read, write = os.pipe()
        os.close(read)
    try:
        started = Started("done", "run", short_source, tmp_path / "out", *as_json, code=_STAGED, stdout=write)
    finally:
        os.close(write)
    ended = started.ended()
    assert ended.code in (0, 2), ended
    assert ended.stderr.count(b"\n") <= 1
    assert names(tmp_path) == {"out"}
    assert names(tmp_path / "out") == {"new.dcm"}


# ------------------------------------------------------------------------------------------- crashes of ITK


def _die_on_third(job: slabs.Job, slab: slabs.Slab) -> slabs.SlabResult:
    if "IM0003.dcm" in [one.name for one in slab.series.instances]:
        chores.die()
    return slabs.process(job, slab)


def _die_of_headers(job: slabs.Job, slab: slabs.Slab) -> slabs.SlabResult:
    if slab.hiding is not Hiding.ALL_BUT_PIXELS:
        chores.die()
    return slabs.process(job, slab)


def _write_other_name(job: slabs.Job, slab: slabs.Slab) -> slabs.SlabResult:
    """Carry a slab, with another patient in every completed header: what a defect of ours would do."""
    module: Any = instances
    complete = module.complete

    def wrong(*arguments: Any) -> list[bytes]:
        return [b"".join(complete(*arguments)).replace(b"Zzyzx^Quill", b"Zzyzx^Quall")]

    module.complete = wrong
    try:
        return slabs.process(job, slab)
    finally:
        module.complete = complete


def test_a_crash_names_the_file_and_leaves_nothing(
    short_source: Path, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of a thousand slices, the one that ends ITK must be found."""
    monkeypatch.setattr(slabs, "process", _die_on_third)
    ended = command("run", short_source, tmp_path / "new" / "out")
    ended.check_refused(r"crashed on IM0003\.dcm")
    ended.check_hides(os.fsencode(short_source.parent))
    assert names(tmp_path) == set()


def test_headers_that_crash_itk_are_kept_from_it(
    short_source: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A private attribute that ends ITK must not keep a series from being carried."""
    monkeypatch.setattr(slabs, "process", _die_of_headers)
    result = run(short_source, tmp_path / "out")
    assert result.verdict == "pass"
    assert any("hidden from it and restored" in warning for warning in result.warnings)
    assert len(essence(tmp_path / "out")) == 3


def test_a_crash_of_the_ordering_is_survived(
    short_source: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """GDCMSeriesFileNames parses every file of the folder and may end on any."""
    monkeypatch.setattr(slabs, "order", chores.die)
    result = run(short_source, tmp_path / "out")
    assert (result.verdict, result.order) == ("pass", "position")


def test_after_a_crash_less_is_shown_then_single_slices_then_pixels_are_kept(short_source: Path) -> None:
    """Each step of the search for the slice that ends ITK must lead on to the next."""
    job = slabs.Job(None, Path("staging"))
    file_names = ("IM0001.dcm", "IM0002.dcm", "IM0003.dcm")
    series = find_series(short_source)[0]
    carried = tuple(kinds.carriages(series, "copy").values())
    slab = slabs.Slab(series, 0, file_names, carried, "SS")
    for hiding in (Hiding.UNCARRIABLE, Hiding.ALL_BUT_PIXELS):
        (slab,) = slabs.after_crash(job, slab)
        assert (slab.hiding, len(slab)) == (hiding, 3)
    singles = slabs.after_crash(job, slab)
    assert [single.output_names for single in singles] == [(name,) for name in file_names]
    assert [single.first for single in singles] == [0, 1, 2]
    assert {single.hiding for single in singles} == {Hiding.ALL_BUT_PIXELS}
    (kept,) = slabs.after_crash(job, singles[1])
    assert (kept.is_kept, kept.carried[0].reason) == (True, "ITK crashed on it")
    assert slabs.after_crash(job, kept) == []


def test_a_slice_that_crashes_itk_whatever_is_tried_is_named(
    short_source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is written then."""
    monkeypatch.setattr(slabs, "process", chores.die)
    monkeypatch.setattr(_flow, "Workers", lambda count, **_: Workers(count, prepare="chores"))  # they die often
    with pytest.raises(ITKCrashError, match=r"ITK crashed on .*; nothing was written") as caught:
        rt.roundtrip(short_source, tmp_path / "out", jobs=1)
    assert caught.value.path in names(short_source)
    assert names(tmp_path) == set()


def test_an_itk_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken installation is the first thing that many users meet, whenever the import happens to fail."""
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with Workers(1) as pool:
        try:
            pool.call(chores.pid)
        except (RoundtripError, OSError) as error:
            told = f"{type(error).__name__}: {error}"
        else:
            told = "nothing"
        gc.collect()  # a pipe that is left open is reported here, not in another test
    assert re.match("RoundtripError: .*could not start", told), told


# -------------------------------------------------------------------------------- patient data and permissions


_REFUSED = [name for name, case in CASES.items() if case.outcome == "refused" and not case.chosen]


@pytest.mark.parametrize("name", sorted({*_REFUSED[::4], "truncated_pixels", "duplicate_sop_uid"}))
def test_a_refused_series_tells_nothing_of_the_patient(
    name: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages end in logs, tickets and mails."""
    monkeypatch.chdir(tmp_path)
    if not is_available(name):
        pytest.skip("its encoder is not installed")
    keywords = dict(CASES[name].keywords)
    write_series(tmp_path / "source", **{**keywords, "attributes": {**keywords.get("attributes", {}), **PRIVATE}})
    before = state(tmp_path, folder_times=False)
    for as_json in ((), ("--json",)):
        ended = command("run", "source", "new/out", *as_json)
        ended.check_refused()
        ended.check_hides(os.fsencode(tmp_path))
    assert state(tmp_path, folder_times=False) == before


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_a_failed_verification_tells_nothing_of_the_patient(
    as_json: tuple[str, ...],
    short_source: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A difference in the patient's name is told by its tag, not by the two names."""
    monkeypatch.setattr(slabs, "process", _write_other_name)
    ended = command("run", short_source, tmp_path / "out", *as_json)
    assert ended.code == 2
    assert ended.stderr.count(b"\n") == 1
    assert b"(0010,0010)" in ended.stderr
    assert bool(ended.stdout) == bool(as_json)
    ended.check_hides(b"Quall", os.fsencode(tmp_path))
    assert names(tmp_path) == set()


@pytest.mark.parametrize("options", [(), ("--json",), ("--identity", "copy", "--json"), ("--headers", "itk")])
def test_a_successful_run_tells_nothing_of_the_patient(
    options: tuple[str, ...], short_source: Path, command: Command, tmp_path: Path
) -> None:
    """The result of a run is kept beside the output and shown to people."""
    ended = command("run", short_source, tmp_path / "out", *options)
    assert ended.code == 0
    assert b"series" in ended.stdout
    ended.check_hides()


def test_find_tells_nothing_of_the_patient(short_source: Path, command: Command) -> None:
    """What a folder holds is listed on screens that others see."""
    for options in ((), ("--json",)):
        ended = command("find", short_source, *options)
        assert ended.code == 0
        ended.check_hides()


def test_published_files_have_ordinary_permissions_and_names(short_source: Path, tmp_path: Path) -> None:
    """A group that shares a folder must be able to read what its members publish, new parent folders included."""
    before = state(short_source)
    output = tmp_path / "new" / "deep" / "out"
    started = Started("run", short_source, output, "--jobs", 1, umask=0o027)
    ended = started.ended()
    assert (ended.code, ended.stderr) == (0, b"")
    ended.check_hides()
    modes = {path.relative_to(tmp_path).as_posix(): path.stat().st_mode & 0o7777 for path in tmp_path.rglob("*")}
    folders = dict.fromkeys(("new", "new/deep", "new/deep/out"), 0o750)
    assert modes == {**folders, **{f"new/deep/out/derived_IM000{number}.dcm": 0o640 for number in (1, 2, 3)}}
    assert len(essence(output)) == 3
    assert state(short_source) == before
    started.check_all_gone()


def test_one_of_several_series_is_carried_when_named(command: Command, tmp_path: Path) -> None:
    """The refusal of several series tells what to do; doing it must work."""
    write_series(tmp_path / "two", slices=2, beside=("other_series",))
    ended = command("run", tmp_path / "two", tmp_path / "out", "--series", series_instance_uid(0))
    assert ended.code == 0
    assert sorted(essence(tmp_path / "out")) == ["derived_IM0001.dcm", "derived_IM0002.dcm"]
