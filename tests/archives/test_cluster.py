"""Archives on Dask: a cluster of this process, and schedulers and workers that are started on the loopback."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import chores
import pytest
from synthetic import write_series
from test_archive import tree, verdicts
from typer.testing import CliRunner

import itk_roundtrip as rt
from itk_roundtrip.cli import app

distributed = pytest.importorskip("distributed", reason="Dask is not installed")
import dask  # noqa: E402

pytestmark = [pytest.mark.usefixtures("_lent"), pytest.mark.filterwarnings("ignore")]
QUIET = {
    "distributed.logging.distributed": "critical",
    "distributed.scheduler.allowed-failures": 1,
    "distributed.worker.daemon": False,
}


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for number in range(4):
        write_series(tmp_path / "in" / str(number), slices=2, seed=number)
    return tmp_path / "in"


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two workers of Dask in processes of their own, with nannies that start them again."""
    with (
        dask.config.set(QUIET),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", silence_logs=logging.CRITICAL
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


def test_an_archive_on_a_cluster_is_that_of_this_machine(source: Path, client: Any, tmp_path: Path) -> None:
    """Dask's workers do not have the environment of this process; the files are the same to the byte."""
    planned = rt.archive(source, tmp_path / "out", client=client, dry_run=True)
    assert planned.counts == {"to do": 4}
    result = rt.archive(source, tmp_path / "out", client=client, html=tmp_path / "page.html")
    assert result.counts == {"done": 4}
    assert len(list((tmp_path / "page-series").glob("*/*.html"))) == 4
    rt.archive(source, tmp_path / "here")
    assert tree(tmp_path / "here") == tree(tmp_path / "out")
    assert rt.archive(source, tmp_path / "out", client=client).counts == {"unchanged": 4}
    again = rt.archive(source, tmp_path / "out", client=client, html=tmp_path / "other.html")
    assert again.counts == {"unchanged": 4}
    assert len(list((tmp_path / "other-series").glob("*/*.html"))) == 4


def test_itk_may_crash_on_a_cluster(source: Path, client: Any, tmp_path: Path) -> None:
    """Its process is not that of Dask's worker, which lives on."""
    write_series(source / "large", slices=1, seed=9, columns=24)
    before = client.run(os.getpid)
    result = rt.archive(source, tmp_path / "out", client=client, apply=chores.die_for_large)
    assert result.counts == {"done": 4, "failed": 1}
    assert verdicts(result)["large"] == "failed"
    assert client.run(os.getpid) == before


def test_a_series_that_ends_every_worker_does_not_block_the_others(source: Path, client: Any, tmp_path: Path) -> None:
    write_series(source / "large", slices=1, seed=9, columns=24)
    result = rt.archive(source, tmp_path / "out", client=client, apply=chores.end_dask_worker_for_large)
    assert result.counts == {"done": 4, "failed": 1}
    (failed,) = (series for series in result.series if series.verdict == "failed")
    assert "the Dask workers that carried the series of large/" in failed.reason


def test_clients_that_are_none(source: Path, client: Any, tmp_path: Path) -> None:
    with pytest.raises(rt.RoundtripError, match=r"must be a dask\.distributed\.Client or the address"):
        rt.archive(source, tmp_path / "out", client=3)
    with pytest.raises(rt.RoundtripError, match="leave out jobs"):
        rt.archive(source, tmp_path / "out", client=client, jobs=2)
    with distributed.Client(client.scheduler.address, set_as_default=False) as closed:
        pass
    with pytest.raises(rt.RoundtripError, match="client is closed"):
        rt.archive(source, tmp_path / "out", client=closed)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense"])
def test_a_scheduler_that_is_not_there_is_told_at_once(address: str, source: Path, tmp_path: Path) -> None:
    start = time.monotonic()
    ended = CliRunner().invoke(app, ["archive", str(source), str(tmp_path / "out"), "--scheduler", address])
    assert time.monotonic() - start < 20
    assert ended.exit_code == 2
    assert ended.stderr.startswith(f"itk-roundtrip: There is no Dask scheduler at {address} (")
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------ schedulers and workers as users start them


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    for _ in range(600):
        if is_so():
            return
        time.sleep(0.1)
    raise AssertionError("a minute was not enough")


class Cluster:
    """A scheduler and workers as programs of their own."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack, self._folder = stack, folder
        self.workers: list[subprocess.Popen[bytes]] = []
        file = folder / "scheduler.json"
        words = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
        self.scheduler = self._start("scheduler", *words)
        wait_until(file.exists)
        self.file = file

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "critical",
        }
        environment.pop("SOURCE_DATE_EPOCH", None)
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *words], env=environment, cwd=self._folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    def worker(self, *options: str) -> subprocess.Popen[bytes]:
        """Start a worker without a nanny: nobody starts it again."""
        words = ["--no-nanny", "--no-dashboard", "--nthreads", "1", "--host", "127.0.0.1", *options]
        process = self._start("worker", "--scheduler-file", str(self.file), *words)
        self.workers.append(process)
        return process

    @property
    def address(self) -> str:
        """Of the scheduler."""
        import json

        return str(json.loads(self.file.read_text())["address"])


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(stack, tmp_path)


def test_a_worker_that_is_killed_in_the_middle_is_replaced_by_another(
    source: Path, cluster: Cluster, tmp_path: Path
) -> None:
    """What it was at is done elsewhere; the tree is the same to the byte."""
    for number in range(10, 16):
        write_series(source / str(number), slices=3, seed=number)
    first = cluster.worker()
    cluster.worker()
    with distributed.Client(cluster.address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    ended: list[int] = []

    def kill(stage: str, done: int, total: int) -> None:
        if stage == "Series" and done == 3:
            first.send_signal(signal.SIGKILL)
            ended.append(done)

    result = rt.archive(source, tmp_path / "out", client=cluster.address, progress=kill)
    assert (ended, result.counts) == ([3], {"done": 10})
    assert first.wait(10) == -signal.SIGKILL
    rt.archive(source, tmp_path / "here")
    assert tree(tmp_path / "here") == tree(tmp_path / "out")


def test_a_scheduler_that_goes_in_the_middle_stops_the_archive_which_goes_on_elsewhere(
    source: Path, cluster: Cluster, tmp_path: Path
) -> None:
    """What was done stays; workers of Dask that are still at a series are waited for."""
    cluster.worker()

    def kill(stage: str, done: int, total: int) -> None:
        if stage == "Series" and done == 1:
            cluster.scheduler.kill()

    with distributed.Client(cluster.address, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=60)
    with pytest.raises(rt.RoundtripError, match=r"gone.*; [1-3] of 4 series are done, and the same command goes on"):
        rt.archive(source, tmp_path / "out", client=cluster.address, progress=kill)
    result = rt.archive(source, tmp_path / "out")
    assert (result.verdict, len(result.series)) == ("pass", 4)
    assert result.counts["unchanged"] >= 1


def test_series_that_the_client_cancels_stop_the_archive(
    source: Path, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that loses its scheduler while it waits cancels what it waits for."""
    wait = distributed.wait

    def cancelled(futures: list[Any], **options: Any) -> Any:
        client.cancel(futures, force=True)
        return wait(futures, **options)

    monkeypatch.setattr(distributed, "wait", cancelled)
    with pytest.raises(rt.RoundtripError, match=r"cancelled a series.*; 0 of 4 series are done"):
        rt.archive(source, tmp_path / "out", client=client)
    monkeypatch.undo()
    assert rt.archive(source, tmp_path / "out", client=client).verdict == "pass"


OTHER_VERSION = "import itk_roundtrip\nitk_roundtrip.__version__ = '0.0.9'\n"
OTHER_FILES = """import builtins, io
def other(file, *arguments, **options):
    if "token-" in str(file):
        raise FileNotFoundError(file)
    return io.open(file, *arguments, **options)
builtins.open = other
"""


def test_workers_of_other_versions_or_without_the_folders_are_refused(
    source: Path, cluster: Cluster, tmp_path: Path
) -> None:
    """Both versions are named, and the worker is."""
    (tmp_path / "other_version.py").write_text(OTHER_VERSION)
    (tmp_path / "other_files.py").write_text(OTHER_FILES)
    elsewhere = cluster.worker("--preload", str(tmp_path / "other_files.py"))
    with pytest.raises(rt.RoundtripError, match=r"^The Dask worker tcp://127\S+ does not see .*out as this process"):
        _archive_once_there(source, tmp_path / "out", cluster)
    assert not list((tmp_path / "out").glob("study-*"))
    elsewhere.kill()
    elsewhere.wait()
    old = cluster.worker("--preload", str(tmp_path / "other_version.py"))
    expected = f"The Dask worker tcp://127.0.0.1:[0-9]+ has itk-roundtrip 0.0.9 and this process {rt_version()};"
    with pytest.raises(rt.RoundtripError, match=expected):
        _archive_once_there(source, tmp_path / "out", cluster)
    old.kill()


def rt_version() -> str:
    return rt.__version__


def _archive_once_there(source: Path, destination: Path, cluster: Cluster) -> rt.ArchiveResult:
    """Archive as soon as the last worker that was started is the only one."""
    with distributed.Client(cluster.address, set_as_default=False) as client:
        wait_until(lambda: {*client.run(os.getpid).values()} == {cluster.workers[-1].pid})
        return rt.archive(source, destination, client=client)
