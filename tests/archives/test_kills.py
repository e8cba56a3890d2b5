"""An archive that is killed, whenever, goes on when it is started again, and ends as one that nobody killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from synthetic import write_series

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import kills

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks what it kills")

SERVER = """
import os, sys
from itk_roundtrip.archives import archive as archiving, local, unit
from itk_roundtrip.processes import ThisProcess
import itk_roundtrip.pipeline, itk_roundtrip.carry.acceptance

unit.prepare("simpleitk")

class InThisProcess(ThisProcess):
    def __init__(self, *_, **__): pass
    def __enter__(self): return self
    def __exit__(self, *_): pass

archiving.Workers = InThisProcess
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        source, destination = line.split()
        try:
            result = archiving.archive(source, destination, backend="simpleitk", jobs=1)
            os._exit(result.verdict != "pass")
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(3)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forked:
    """A child of a process that has imported all that an archive needs, as far as :class:`subprocess.Popen` is used."""

    def __init__(self, server: subprocess.Popen[str], source: Path, destination: Path) -> None:
        self._server = server
        self.returncode: int | None = None
        assert server.stdin is not None
        server.stdin.write(f"{source} {destination}\n")
        server.stdin.flush()
        self._pid = int(self._line())

    def _line(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline()

    def wait(self, seconds: float | None = None) -> None:
        """Wait for the end of the child, or for some time."""
        until = time.monotonic() + (3600 if seconds is None else seconds)
        while Path(f"/proc/{self._pid}/stat").exists():
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("archive", seconds or 0)
            time.sleep(0.001)

    def send_signal(self, number: signal.Signals) -> None:
        """Send the child a signal."""
        os.kill(self._pid, number)

    def communicate(self) -> tuple[bytes, bytes]:
        """Wait for the end of the child."""
        if self.returncode is None:
            self.returncode = int(self._line())
        return b"", b""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    with process:
        yield process


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for children in /proc")
def test_ten_kills_change_nothing(tmp_path: Path, server: subprocess.Popen[str]) -> None:
    """Each series is whole or absent after a kill, and the tree at the end is the same to the byte.

    What is killed here has no workers of its own; the campaign of benchmarks/kills.py kills the whole program.
    """
    for number in range(8):
        write_series(tmp_path / "in" / str(number), slices=1, seed=number)
    tally = kills.campaign(tmp_path / "in", tmp_path, 10, 1, partial(Forked, server), late=0.03)
    assert (tally.kills, tally.problems) == (10, [])
    assert tally.kept > 0


def test_the_program_goes_on_after_a_kill_in_the_middle(tmp_path: Path) -> None:
    """Its workers outlive it for a moment, and hold what they were at."""
    for number in range(4):
        write_series(tmp_path / "in" / str(number), slices=2, seed=number)
    out = tmp_path / "out"
    process = kills.start_program(tmp_path / "in", out, "simpleitk")
    while not list(out.glob("study-*/CT-*")) and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    begun = {path: path.stat().st_mtime_ns for path in out.glob("study-*/CT-*/*")}
    again = kills.start_program(tmp_path / "in", out, "simpleitk")
    assert again.communicate() == (None, b"")
    assert again.returncode == 0
    assert len(list(out.glob("study-*/CT-*/*"))) == 8
    assert not list(out.glob("study-*/.*"))
    assert begun
