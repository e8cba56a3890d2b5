"""Measure `itk-roundtrip archive`: throughput, scaling, Dask's overhead, and a scan of many small files. Linux only.

    python benchmarks/archive.py                       200 series of 30 slices of 128x128, and 20 of 300 of 512x512
    python benchmarks/archive.py --only small --runs 5
    python benchmarks/archive.py --scan 100000         seconds and memory of the scan of so many small files

The contenders run in turn on the same files: the archive with 1 and with 2 processes, and on a Dask scheduler with two
workers; a shell loop over `itk-roundtrip run`; ITK's C++ example in a shell loop; and SimpleITK's idiom in one Python
process. A loop takes long, so it takes some of the series only (--loop), and its time is multiplied; the table says so.
See README.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import tree_pss_kb
from roundtrip import build_cpp_example, series

HERE = Path(__file__).resolve().parent
KINDS = {"small": (200, 30, 128), "large": (20, 300, 512)}
"""Number of series, slices of each, and rows and columns."""
SIMPLEITK_LOOP = """import sys
sys.path.insert(0, sys.argv[1])
import runpy
for source, destination in zip(sys.argv[2::2], sys.argv[3::2]):
    sys.argv = ["simpleitk_idiom.py", source, destination]
    runpy.run_path("simpleitk_idiom.py", run_name="__main__")
"""


def folders(work: Path, kind: str) -> Path:
    """Return a folder with a subfolder for each series of a kind; make it unless it is there."""
    count, slices, size = KINDS[kind]
    root = work / f"archive-{kind}-{count}-{slices}-{size}"
    if not root.exists():
        files = sorted(series(work, count * slices, size, slices).iterdir())
        partial = root.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        for number in range(count):
            folder = partial / f"s{number:03}"
            folder.mkdir(parents=True)
            for file in files[number * slices : (number + 1) * slices]:
                file.rename(folder / file.name)
        shutil.rmtree(files[0].parent)
        partial.rename(root)
    return root


def seconds(commands: list[list[str]], output: Path) -> tuple[float, float]:
    """Return how long commands take one after another, and the processor time of them and all they start.

    What they write is removed.
    """
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    os.sync()
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    for command in commands:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=HERE)
    taken, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    shutil.rmtree(output)
    return taken, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Cluster:
    """A Dask scheduler with two workers on the loopback interface, as users start them."""

    def __init__(self, work: Path) -> None:
        file = work / "scheduler.json"
        file.unlink(missing_ok=True)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        host = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file)]
        dask = [sys.executable, "-m", "dask"]
        self._processes = [subprocess.Popen([*dask, "scheduler", "--port", "0", *host], cwd=work, **quiet)]
        while not file.exists():
            time.sleep(0.1)
        worker = [*dask, "worker", "--nthreads", "1", "--no-nanny", *host]
        self._processes += [subprocess.Popen(worker, cwd=work, **quiet) for _ in range(2)]
        self.address = json.loads(file.read_text())["address"]
        time.sleep(5)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


def throughput(work: Path, kind: str, runs: int, loop: int) -> list[str]:
    """Return the rows of the table of a kind of series."""
    count, slices, _ = KINDS[kind]
    root, output = folders(work, kind), work / "output"
    ours = [sys.executable, "-m", "itk_roundtrip"]
    archive = [*ours, "archive", str(root), str(output / "all"), "--quiet"]
    parts = sorted(root.iterdir())[:loop]
    each = [(str(part), str(output / part.name)) for part in parts]
    contenders: dict[str, tuple[list[list[str]], float]] = {
        "archive, 2 processes": ([archive], 1),
        "archive, 1 process": ([[*archive, "--jobs", "1"]], 1),
        "shell loop over run": ([[*ours, "run", *pair, "--quiet"] for pair in each], count / len(parts)),
        "SimpleITK idiom in one process": (
            [[sys.executable, "-c", SIMPLEITK_LOOP, str(HERE), *(path for pair in each for path in pair)]],
            count / len(parts),
        ),
    }
    if (program := build_cpp_example(work)) is not None:
        commands = [["sh", "-c", f"mkdir -p {target} && exec {program} {part} {target}"] for part, target in each]
        contenders["C++ example in a shell loop"] = (commands, count / len(parts))
    cluster = Cluster(work) if importlib.util.find_spec("distributed") else None
    if cluster is not None:
        contenders["archive, Dask with 2 workers"] = ([[*archive, "--scheduler", cluster.address]], 1)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    try:
        for number in range(runs):
            names = list(contenders)[number % len(contenders) :] + list(contenders)[: number % len(contenders)]
            for name in names:
                commands, factor = contenders[name]
                wall, processor = seconds(commands, output)
                taken[name].append((wall * factor, processor * factor))
                print(f"{kind}: round {number + 1}, {name}: {wall * factor:.1f} s", file=sys.stderr, flush=True)
    finally:
        if cluster is not None:
            cluster.close()
    reference = [wall for wall, _ in taken["archive, 2 processes"]]
    rows = [f"| **{count} series of {slices} slices** | | | | |"]
    for name, values in taken.items():
        walls, processors = zip(*values, strict=True)
        ratio = statistics.median(wall / ours for wall, ours in zip(walls, reference, strict=True))
        median = statistics.median(walls)
        note = f", from {len(parts)} series" if contenders[name][1] != 1 else ""
        cpu = "not its own" if "Dask" in name else f"{statistics.median(processors):.0f} s"
        rows.append(f"| {name}{note} | {median:.0f} s | {count * slices / median:.0f} | {ratio:.2f} | {cpu} |")
    return rows


def scan(work: Path, count: int) -> list[str]:
    """Return what the scan of many small files takes: the first, and that of the same files again."""
    source, output = work / f"scan-{count}", work / "scan-output"
    if not source.exists():
        templates = [(file.name, *_with_uids(file)) for file in series(work, 1000, 16, 10).iterdir()]
        partial = source.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        for number in range(-(-count // 1000)):
            folder = partial / f"d{number:04}"
            folder.mkdir(parents=True)
            for name, content, uids in templates:
                for uid in uids:  # the same files again, of other studies, series and instances
                    content = content.replace(uid, uid[:-4] + b"%04d" % number)
                (folder / name).write_bytes(content)
        partial.rename(source)
    command = [sys.executable, "-m", "itk_roundtrip", "archive", str(source), str(output), "--quiet", "--json"]
    shutil.rmtree(output, ignore_errors=True)
    rows = []
    for title, options in (("dry run, nothing known", ["--dry-run"]),):
        rows.append(f"| {title} | {_measured([*command, *options])} |")
    index = (
        "import sys\nfrom pathlib import Path\nfrom itk_roundtrip.archives import archive as a\n"
        "from itk_roundtrip.archives.unit import Carried\n"
        "a._Run.all = lambda *_: None\na._write_records = lambda *_: None\n"  # scan and plan, and keep the index
        f"result = a.archive({str(source)!r}, {str(output)!r})\nprint(len(result.series))"
    )
    rows += [f"| {title} | {_measured([sys.executable, '-c', index])} |" for title in ("first scan", "scan again")]
    size = (output / ".itk-roundtrip" / "index.sqlite").stat().st_size / 1e6
    shutil.rmtree(output)
    return [*rows, f"| index on the disk | {size:.0f} MB |"]


def _with_uids(file: Path) -> tuple[bytes, list[bytes]]:
    """Return the content of a file, and the UIDs that are its own."""
    import pydicom

    dataset = pydicom.dcmread(file)
    keywords = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    return file.read_bytes(), [str(dataset[keyword].value).encode() for keyword in keywords]


def _measured(command: list[str]) -> str:
    """Return seconds and peak memory of a command with its children."""
    start, peak = time.perf_counter(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, tree_pss_kb(process.pid))
        time.sleep(0.2)
    if process.returncode not in (0, 1):
        raise SystemExit(f"ended with {process.returncode}")
    return f"{time.perf_counter() - start:.1f} s | {peak * 1024 / 1e6:.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--loop", type=int, default=10, help="series that a loop takes")
    parser.add_argument("--only", choices=list(KINDS), nargs="+", default=list(KINDS))
    parser.add_argument("--scan", type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = (options.work or Path(folder)).absolute()
        work.mkdir(parents=True, exist_ok=True)
        if options.scan:
            print(f"| scan of {options.scan} files | seconds | peak memory |\n|---|---|---|")
            print("\n".join(scan(work, options.scan)))
            return
        print("| contender | median | slices/s | to the archive | processor time |\n|---|---|---|---|---|")
        for kind in options.only:
            print("\n".join(throughput(work, kind, options.runs, options.loop)), flush=True)


if __name__ == "__main__":
    main()
