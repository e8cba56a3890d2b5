"""Run whole programs: wall time, and peak memory of the process tree (Linux: it reads /proc)."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

SAMPLE_INTERVAL_S = 0.025
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # users do not compile every module anew in each process


class RunFailed(Exception):
    """Raised when a program fails or does not write the expected number of files."""


@dataclass
class Job:
    """A program to run, the folder it writes (removed before each run), and what was measured."""

    label: str
    command: list[str]
    output: Path | None = None
    expected_files: int = 0
    seconds: list[float] = field(default_factory=list)
    peak_pss_mb: list[float] = field(default_factory=list)
    failure: str | None = None

    def ratio_to(self, reference: Job | None) -> float | None:
        """Return the median over the rounds of own time / reference time, or None without times."""
        if reference is None or not self.seconds or not reference.seconds:
            return None
        rounds = zip(self.seconds, reference.seconds, strict=True)
        return statistics.median(own / other for own, other in rounds)


def children_by_parent() -> dict[int, list[int]]:
    """Return the process table as parent -> children."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except OSError:  # ended meanwhile
                continue
            children.setdefault(parent, []).append(int(entry))
    return children


def pss_kb(pid: int) -> int:
    """Return the proportional set size of one process: pages shared by n processes count 1/n in each."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            return next((int(line.split()[1]) for line in file if line.startswith(b"Pss:")), 0)
    except OSError:  # ended meanwhile
        return 0


def tree_pss_kb(root: int) -> int:
    """Return the proportional set size of a process and all its descendants."""
    children, total, pending = children_by_parent(), 0, [root]
    while pending:
        pid = pending.pop()
        total += pss_kb(pid)
        pending += children.get(pid, [])
    return total


def run(job: Job, sample_memory: bool = False) -> float:
    """Run a job once; return seconds, or with `sample_memory` the peak PSS in MB (10^6 bytes)."""
    remove(job.output)
    os.sync()  # nobody pays for what the one before has left to write
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(job.command, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            peak_kb = 0
            while sample_memory and process.poll() is None:
                peak_kb = max(peak_kb, tree_pss_kb(process.pid))
                time.sleep(SAMPLE_INTERVAL_S)
            status = process.wait()
        except BaseException:
            process.kill()
            raise
        seconds = time.perf_counter() - start
        errors.seek(0)
        last_line = (errors.read().strip().splitlines() or ["no message"])[-1]
    written = sum(path.is_file() for path in job.output.rglob("*")) if job.output else 0
    remove(job.output)
    if status:
        raise RunFailed(f"ended with {status}: {last_line}")
    if written != job.expected_files:
        raise RunFailed(f"wrote {written} files instead of {job.expected_files}")
    return peak_kb * 1024 / 1e6 if sample_memory else seconds


def remove(folder: Path | None) -> None:
    """Remove a folder if there is one."""
    if folder and folder.exists():
        shutil.rmtree(folder)


def interleave(jobs: list[Job], runs: int, memory_runs: int = 0) -> None:
    """Warm up, then run all jobs in turn `runs` times, each round from another start. Who fails is out.

    Memory is sampled in rounds of its own, because sampling slows a program down.
    """
    plan = ["warm-up"] + ["time"] * runs + ["memory"] * memory_runs
    for number, purpose in enumerate(plan):
        print(f"round {number + 1} of {len(plan)} ({purpose})", file=sys.stderr)
        first = number % len(jobs)
        for job in jobs[first:] + jobs[:first]:
            if job.failure:
                continue
            try:
                value = run(job, sample_memory=purpose == "memory")
            except RunFailed as error:
                job.failure = str(error)
                job.seconds.clear()
                job.peak_pss_mb.clear()
                continue
            if purpose == "time":
                job.seconds.append(value)
            elif purpose == "memory":
                job.peak_pss_mb.append(value)
