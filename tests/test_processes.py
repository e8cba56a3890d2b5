"""Workers: what they promise to any caller, and the main job where the calls that only POSIX has are missing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import deque
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import chores
import pytest
from conftest import SAMPLE
from synthetic import write_case, write_series

from itk_roundtrip import losses, processes
from itk_roundtrip.carry import scheduling, slabs
from itk_roundtrip.carry.staging import Staging
from itk_roundtrip.errors import RoundtripError, SeriesWriteError
from itk_roundtrip.folders import temporary_folder
from itk_roundtrip.processes import Task, Workers, uninterrupted
from itk_roundtrip.words import posix

PATIENCE_S = 20.0
PREPARE = "chores"


def until(condition: object) -> bool:
    """Poll until a condition holds; tell whether it ever did."""
    assert callable(condition)
    end = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(condition())


def is_alive(number: int) -> bool:
    """Tell whether there is a process; a dead one that nobody has waited for is none."""
    try:
        os.kill(number, 0)
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in "XZ"
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # no /proc in this system
        return True


# ------------------------------------------------------------------------------------------------------- workers


def test_a_worker_is_kept_for_the_next_task_or_not() -> None:
    """An example of ITK must run in a process that has run nothing else."""
    with Workers(1, prepare=PREPARE) as pool:
        assert pool.call(chores.pid).value == pool.call(chores.pid).value
    with Workers(1, prepare=PREPARE, single_use=True) as pool:
        assert len({pool.call(chores.pid).value for _ in range(3)}) == 3


def test_no_more_workers_are_started_than_there_are_tasks_or_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs half a second of a processor and the memory of ITK."""
    started = []

    class Counted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            started.append(self)
            super().__init__(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", Counted)
    monkeypatch.setattr(processes, "processors", lambda: 2)
    with Workers(3, prepare=PREPARE) as pool:
        assert len(started) == 1
        pool.call(chores.pid)
        assert len(started) == 1
        assert len(list(pool.run(deque([Task(chores.pid, ())] * 2)))) == 2
        assert len(started) == 2


def test_a_task_has_a_time_limit() -> None:
    with Workers(1, prepare=PREPARE) as pool:
        outcome = pool.call(time.sleep, 3600, seconds=0.1)
        assert (outcome.timed_out, outcome.crashed, outcome.value) == (True, False, None)
        assert pool.call(chores.pid, seconds=PATIENCE_S).value


def test_what_a_task_prints_goes_nowhere_or_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    """ITK prints names of files and patients; what a function of the user prints is for the user."""
    with Workers(1, prepare=PREPARE) as pool:
        pool.call(chores.print_a_lot)
    assert capfd.readouterr() == ("", "")
    with Workers(1, prepare=PREPARE, output="stderr") as pool:
        pool.call(chores.print_a_lot)
        out, err = capfd.readouterr()
    assert out == ""
    assert err == "said by print\nsaid at the end"


def test_errors_of_a_task_and_of_the_preparation_are_raised() -> None:
    with Workers(1, prepare=PREPARE) as pool:
        with pytest.raises(SeriesWriteError, match=r"No\.") as caught:
            pool.call(chores.refuse)
        assert caught.value.path == "x"
        with pytest.raises(RoundtripError, match="Internal error"):
            pool.call(chores.unpicklable)
        assert pool.call(chores.pid).value
    for module, message in ((f"{PREPARE}:No such function.", "No such function"), ("no_such", "could not start")):
        with Workers(1, prepare=module) as pool, pytest.raises(RoundtripError, match=message):
            pool.call(chores.pid)


def test_a_worker_that_crashes_is_told_and_replaced() -> None:
    """ITK ends its process on some files; the other slices and the next run must not suffer."""
    with Workers(1, prepare=PREPARE) as pool:
        tasks = deque(Task(chores.die_at, (number, 2)) for number in range(5))
        outcomes = {outcome.task.arguments[0]: outcome for outcome in pool.run(tasks)}
        assert [outcomes[number].crashed for number in range(5)] == [False, False, True, False, False]
        assert [outcomes[number].value for number in range(5)] == [0, 1, None, 3, 4]
        assert pool.call(chores.die).crashed
        assert pool.call(chores.die_at, 7, 0).value == 7


def test_a_worker_that_dies_idle_is_no_crash_of_the_next_task() -> None:
    """The out-of-memory killer chooses whom it likes."""
    with Workers(1, prepare=PREPARE) as pool:
        number = pool.call(chores.pid).value
        os.kill(number, signal.SIGTERM)
        # All of its threads: the one that reads its pipe may end last.
        assert until(lambda: os.waitid(os.P_PID, number, os.WEXITED | os.WNOHANG | os.WNOWAIT))
        outcome = pool.call(chores.pid)
        assert not outcome.crashed
        assert outcome.value not in (None, number)


@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell in this way which processes there are")
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """Also in the middle of a task: nothing of them would ever be asked for."""
    code = f"""
        import sys, time
        from collections import deque
        from itk_roundtrip.processes import Task, Workers
        import chores
        pool = Workers(2, prepare="chores")
        print(pool.call(chores.pid).value, flush=True)
        list(pool.run(deque([Task(chores.write_and_sleep, ({str(tmp_path / "busy")!r},))])))
    """
    program = [sys.executable, "-c", textwrap.dedent(code)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    with subprocess.Popen(program, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert until((tmp_path / "busy").exists)
        assert is_alive(worker)
        parent.kill()
    assert until(lambda: not is_alive(worker))


@pytest.mark.parametrize("end", ["stopped", "crashed", "too late", "parent killed"])
def test_temporary_files_of_a_worker_that_is_ended_are_removed(end: str, tmp_path: Path) -> None:
    """They hold data of patients; those of others stay."""
    told, other = tmp_path / "told", Path(tempfile.mkdtemp(prefix="itk-roundtrip-", dir=tmp_path))
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    code = f"""
        from collections import deque
        from itk_roundtrip.processes import Task, Workers
        import chores
        with Workers(1, prepare="chores") as pool:
            task = Task(chores.fill_temporary_folder, ({str(told)!r}, {end == "crashed"}))
            for outcome in pool.run(deque([task]), seconds={1 if end == "too late" else None}):
                print(outcome.crashed, outcome.timed_out)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], env=environment, stderr=-3) as parent:
        if end in ("stopped", "parent killed"):
            assert until(lambda: told.exists() and told.read_text())
            parent.send_signal(signal.SIGINT if end == "stopped" else signal.SIGKILL)
        parent.wait()
    assert until(lambda: not Path(told.read_text()).exists())
    assert Path(told.read_text()).parent == tmp_path
    assert other.exists()


def test_no_folder_for_temporary_files_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "removed"))
    with pytest.raises(RoundtripError, match=r"No folder for temporary files .* TMPDIR"):
        temporary_folder()


def test_a_script_without_a_main_guard_works(tmp_path: Path) -> None:
    """What multiprocessing asks of every script on Windows and macOS, few scripts have."""
    write_series(tmp_path / "in", slices=3)
    script = tmp_path / "script.py"
    script.write_text('import itk_roundtrip as rt\nprint(rt.roundtrip("in", "out", jobs=2).verdict)\n')
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("pass\n", "")


_KILLED = """
import os, signal, sys
from pathlib import Path
from itk_roundtrip.carry.staging import Staging

source, output = map(Path, sys.argv[1:])
staging = Staging(source, output, overwrite=False)
staging.__enter__()
print(staging.work, flush=True)
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_worker_that_outlives_its_run_writes_nothing_into_the_next(tmp_path: Path) -> None:
    """The lock goes with the killed run; its worker may be in the middle of a slab, which ITK does not let go of."""
    source, output = tmp_path / "in", tmp_path / "out"
    write_series(source, slices=3)
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, source, output], capture_output=True, text=True, check=False
    )
    work = Path(killed.stdout.strip())
    assert work.is_dir()
    with Staging(source, output, overwrite=False) as staging:
        assert not work.exists()
        with pytest.raises(RoundtripError):
            slabs.process(slabs.Job(None, work), _slab(source).kept("nothing but the writing is late"))
        assert [path.name for path in staging.folder.rglob("*") if path.is_file()] == ["lock"]
        assert not list(staging.output.iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"in"}


def _slab(source: Path) -> slabs.Slab:
    from itk_roundtrip.pixels import kinds
    from itk_roundtrip.series.find import find_series

    series = find_series(source)[0]
    names = tuple(instance.name for instance in series.instances)
    job = slabs.Job(None, Path("staging"))
    return scheduling.cut_into_slabs(job, series, names, kinds.carriages(series, "copy"), 1)[0]


@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_held_back_to_the_end(blocks: bool, sent: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where signals cannot be blocked, as on Windows, their handlers are."""
    if not blocks:
        monkeypatch.delattr(signal, "pthread_sigmask", raising=False)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    steps = []
    try:
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012, SIM117
            with uninterrupted():
                with uninterrupted():
                    signal.raise_signal(sent)
                    steps.append("inner")
                steps.append("outer")
        assert steps == ["inner", "outer"]
        assert signal.getsignal(sent) is stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --------------------------------------------------------------------------------------------------------- paths


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (PureWindowsPath(r"C:\data\in\IM 1.dcm"), "C:/data/in/IM 1.dcm"),
        (PureWindowsPath(r"a\b"), "a/b"),
        (PureWindowsPath(r"\\server\share\in"), "//server/share/in"),
        (PurePosixPath("a\\b/c"), "a\\b/c"),
        ("./in/", "./in/"),
    ],
)
def test_paths_have_slashes_on_every_system(path: str | PurePath, shown: str) -> None:
    assert posix(path) == shown


def test_paths_as_typed_have_slashes_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sep", "\\")
    assert posix("..\\in\\a.b") == "../in/a.b"


# ----------------------------------------------------------------------- a system without what only POSIX has

_BARE = """
import os, signal, socket, subprocess, sys, types

# How subprocess kills a program and filelock makes a file is their own matter; on Windows they do so by other means.
subprocess.signal = types.SimpleNamespace(**vars(signal))
for module, names in {
    os: (
        "fork", "forkpty", "killpg", "setsid", "getpgid", "sched_getaffinity", "sched_setaffinity", "mkfifo",
        "O_CLOEXEC", "wait3", "wait4",
    ),
    signal: (
        "pthread_sigmask", "pthread_kill", "sigwait", "setitimer", "alarm", "SIGKILL", "SIGHUP", "SIGCHLD", "SIGQUIT",
        "SIGPIPE", "SIGALRM", "SIGUSR1", "SIG_BLOCK", "SIG_SETMASK",
    ),
    socket: ("AF_UNIX", "socketpair", "send_fds", "recv_fds", "SCM_RIGHTS"),
}.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
open(os.environ["BARE"], "a").write("x")
"""
"""Run by every interpreter before anything else, as it is called sitecustomize."""


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a program, and of all that it starts, without what only POSIX has."""
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_BARE)
    package = Path(processes.__file__).parent.parent
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (folder, package))),
        "PYTHONWARNINGS": "ignore:only soft file lock",  # locks of filelock for systems that have none
        "BARE": str(folder / "started"),
    }


def _document(environment: dict[str, str], folder: Path, *words: str) -> tuple[int, dict[str, object]]:
    """Run the command line in a folder and return its exit code and its JSON document."""
    program = [sys.executable, "-m", "itk_roundtrip", *words, "--json"]
    done = subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_run_and_verify_need_nothing_that_only_posix_has(bare: dict[str, str], tmp_path: Path) -> None:
    write_series(tmp_path / "in" / "below", slices=4)
    code, document = _document(bare, tmp_path, "run", "in", "out", "--jobs", "2")
    assert (code, document["verdict"], document["slices"]) == (0, "pass", 4)
    code, document = _document(bare, tmp_path, "verify", "in", "out", "--jobs", "2")
    assert (code, document["verdict"]) == (0, "pass")
    assert len(Path(bare["BARE"]).read_text()) >= 4, "workers are as bare as their parents"
    assert {path.name for path in tmp_path.iterdir()} == {"bare", "in", "out"}


def test_crashes_are_survived_without_what_only_posix_has(bare: dict[str, str], tmp_path: Path) -> None:
    """GDCMSeriesFileNames ends its process on two real world value mappings."""
    write_case("mr_rwvm_two", tmp_path / "in")
    code, document = _document(bare, tmp_path, "run", "in", "out")
    assert (code, document["verdict"]) == (0, "pass")
    code, document = _document(bare, tmp_path, "losses", "in")
    rows = document["rows"]
    assert isinstance(rows, list)
    assert [row["state"] for row in rows] == ["crashed", "crashed", "refused", "refused"]
    assert [row["idiom"] for row in rows] == list(losses.IDIOMS)


def test_a_compressed_series_is_carried_without_what_only_posix_has(bare: dict[str, str], tmp_path: Path) -> None:
    write_series(tmp_path / "in", slices=2, transfer_syntax="rle")
    code, document = _document(bare, tmp_path, "run", "in", "out", "--overwrite")
    assert (code, document["verdict"]) == (0, "pass")
    code, document = _document(bare, tmp_path, "run", str(SAMPLE), "out", "--overwrite")
    assert (code, document["slices"]) == (0, 24)
