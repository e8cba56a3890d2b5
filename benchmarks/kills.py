"""Kill archives at random moments, run them again, and compare the end with that of one that nobody killed.

    python benchmarks/kills.py                       200 kills of an archive of 40 small series
    python benchmarks/kills.py --kills 1000 --seed 7 --backend simpleitk

Each round begins with no archive. It is started and killed (SIGKILL, its main process alone) again and again, until one
run ends before its kill. Whatever stands in the output folder after a kill must be what it is in the archive that
nobody killed: each series complete or absent. At the end of a round the whole tree must be equal to the byte, with one
SOURCE_DATE_EPOCH; only verdict and seconds in archive.jsonl may differ. The exit code is 1 if anything else was found.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

STATE, RECORDS = ".itk-roundtrip", "archive.jsonl"
EARLY = 0.2
"""Part of the kills that come at any time after the start; the others do after a series was published."""
_SERIES = "study-*/[!.]*"
DIFFERENT = ("verdict", "seconds")
"""What of a record is about the run, not about the series."""


@dataclass
class Tally:
    """What a campaign found: kills, rounds, series that survived a kill, and what was wrong."""

    kills: int = 0
    rounds: int = 0
    kept: int = 0
    problems: list[str] = field(default_factory=list)


def tree(folder: Path) -> dict[str, bytes]:
    """Return the content of all files of an archive by their paths, without its state, but with that of its records."""
    files = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file() and name.parts[0] != STATE:
            files[name.as_posix()] = path.read_bytes()
    if RECORDS in files:
        lines = map(json.loads, files[RECORDS].splitlines())
        kept = [{key: value for key, value in line.items() if key not in DIFFERENT} for line in lines]
        files[RECORDS] = json.dumps(kept).encode()
    return files


def published(files: dict[str, bytes]) -> dict[str, dict[str, bytes]]:
    """Return the files of each series that stands in its place, by its folder."""
    series: dict[str, dict[str, bytes]] = {}
    for name, content in files.items():
        *folders, last = name.split("/")
        if len(folders) == 2 and not folders[1].startswith("."):
            series.setdefault("/".join(folders), {})[last] = content
    return series


def start_program(source: Path, destination: Path, backend: str) -> subprocess.Popen[bytes]:
    """Start an archive."""
    command = [sys.executable, "-m", "itk_roundtrip", "archive", source, destination, "--backend", backend, "--quiet"]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


Start = Callable[[Path, Path], Any]
"""Starts an archive of a source in a folder, and returns its process."""


def campaign(source: Path, work: Path, kills: int, seed: int, start: Start, late: float = 0.3) -> Tally:
    """Kill archives of a source so many times, at most ``late`` seconds after a series; return what was found."""
    chance, tally = random.Random(seed), Tally()
    process = start(source, work / "reference")
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"the archive that nobody killed ended with {process.returncode}: {errors.decode()}")
    expected = tree(work / "reference")
    whole = published(expected)
    while tally.kills < kills:
        tally.rounds += 1
        print(f"round {tally.rounds}: {tally.kills} kills so far", file=sys.stderr, flush=True)
        destination = work / f"round-{tally.rounds}"
        while True:
            process = start(source, destination)
            if tally.kills >= kills or not _wait_to_kill(process, destination, chance, len(whole), late):
                break
            process.send_signal(signal.SIGKILL)
            process.communicate()
            tally.kills += 1
            found = published(tree(destination)) if destination.is_dir() else {}
            tally.kept += len(found)
            wrong = [folder for folder, files in found.items() if files != whole.get(folder)]
            tally.problems += [f"round {tally.rounds}: {folder} is not whole after a kill" for folder in wrong]
        _, errors = process.communicate()
        if process.returncode:
            tally.problems.append(f"round {tally.rounds}: ended with {process.returncode}: {errors.decode()}")
        found_files = tree(destination)
        different = sorted(name for name in {*expected, *found_files} if expected.get(name) != found_files.get(name))
        tally.problems += [f"round {tally.rounds}: {name} differs" for name in different]
    return tally


def _wait_to_kill(process: Any, destination: Path, chance: random.Random, count: int, late: float) -> bool:
    """Wait for the moment to kill an archive; tell whether it still runs.

    That is some time after it begins, or after it has published some more series: on a busy machine a time alone would
    mostly be before the first one.
    """
    there = len(list(destination.glob(_SERIES)))
    wanted = min(there + chance.randint(1, 4), count) if chance.random() >= EARLY else 0
    while len(list(destination.glob(_SERIES))) < wanted:
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.002)
            return False
    try:
        process.wait(chance.uniform(0, late if wanted else 10 * late))
        return False
    except subprocess.TimeoutExpired:
        return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--series", type=int, default=40)
    parser.add_argument("--slices", type=int, default=6)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--backend", default="itk")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work, source = Path(folder), Path(folder, "source")
        command = [sys.executable, Path(__file__).with_name("make_series.py"), source]
        count, sizes = options.series * options.slices, ["--size", str(options.size)]
        subprocess.run([*command, str(count), "--per-series", str(options.slices), *sizes], check=True)
        began = time.monotonic()
        start = partial(start_program, backend=options.backend)
        tally = campaign(source, work, options.kills, options.seed, start)
    print(
        f"{tally.kills} kills in {tally.rounds} rounds, {tally.kept} series found whole after a kill,"
        f" {len(tally.problems)} problems, {time.monotonic() - began:.0f} s"
    )
    for problem in tally.problems:
        print(problem)
    return 1 if tally.problems else 0


if __name__ == "__main__":
    sys.exit(main())
