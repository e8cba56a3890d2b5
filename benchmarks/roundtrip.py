"""Compare itk-roundtrip with its peers: time and peak memory of whole programs. Linux only (it reads /proc).

    python benchmarks/roundtrip.py                             series of 24, 300 and 1200 slices, 5 runs each
    python benchmarks/roundtrip.py --slices 24 --only cpp ours fewer series, fewer contenders
    python benchmarks/roundtrip.py --start-up                  --help and --version against a bare program
    python benchmarks/roundtrip.py --find                      find over 2,000 small files
    python benchmarks/roundtrip.py --verify                    verify against pydicom reading both series once
    python benchmarks/roundtrip.py --compressed jpeg2000       300 slices whose pixels are compressed
    python benchmarks/roundtrip.py --enhanced 1000             one Enhanced CT instance of 1,000 frames

Run it with the interpreter that has itk-roundtrip, and for the peers itk and SimpleITK. See README.md.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from measure import Job, interleave

HERE = Path(__file__).resolve().parent
CPP_PACKAGES = ("insighttoolkit5-examples", "libinsighttoolkit5-dev")
CPP_SOURCE = "DicomSeriesReadSeriesWrite.cxx"
LABELS = {
    "cpp": "C++ example",
    "itk": "plain ITK Python",
    "simpleitk": "SimpleITK idiom",
    "cp": "cp -r",
    "ours": "itk-roundtrip",
}
REFERENCE_SLICES = 300  # the peak memory of ours at the largest series is compared with this one

TYPER_PROGRAM = '''import typer
app = typer.Typer()
@app.command()
def main(name: str) -> None:
    """Say hello."""
app()
'''
PYDICOM_SCAN = """import sys, pathlib, pydicom
for path in pathlib.Path(sys.argv[1]).iterdir():
    pydicom.dcmread(path, stop_before_pixels=True)
"""
PYDICOM_BOTH = """import sys, pathlib, pydicom
for folder in sys.argv[1:]:
    for path in pathlib.Path(folder).iterdir():
        dataset = pydicom.dcmread(path)
"""
PYDICOM_BOTH_PIXELS = PYDICOM_BOTH + "        dataset.pixel_array\n"
VERIFY_ALONE = """from itk_roundtrip.verify import conformance
conformance.find_program = lambda: None
from itk_roundtrip.cli import main
main()
"""  # without dciodvfy


def series(work: Path, count: int, size: int = 512, per_series: int | None = None, *, enhanced: bool = False) -> Path:
    """Return a folder of generated files; make it unless this generator already made it."""
    version = hashlib.sha256((HERE / "make_series.py").read_bytes()).hexdigest()[:8]
    folder = work / f"{'enhanced' if enhanced else 'series'}-{count}-{size}-{per_series or count}-{version}"
    if not folder.exists():
        print(f"making {count} files of {size}x{size}", file=sys.stderr)
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        # In its own process: libraries mapped here too would count only half in the memory of the contenders.
        options = ["--size", str(size), "--per-series", str(per_series or count), *(["--enhanced"] * enhanced)]
        subprocess.run([sys.executable, HERE / "make_series.py", partial, str(count), *options], check=True)
        partial.rename(folder)
    return folder


def compressed(work: Path, count: int, transfer_syntax: str) -> Path:
    """Return a folder of generated files whose pixels are compressed; make it unless it is there."""
    source = series(work, count)
    folder = source.with_name(f"{source.name}-{transfer_syntax}")
    if not folder.exists():
        options = ["--identity", "copy", "--transfer-syntax", transfer_syntax]
        command = [sys.executable, "-m", "itk_roundtrip", "run", str(source), str(folder), *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


def build_cpp_example(work: Path) -> str | None:
    """Build ITK's C++ example from Debian's packages; return the program, or None if there is none."""
    program = work / "cpp" / "itk_example"
    if program.exists():
        return str(program)
    if not all(map(shutil.which, ("dpkg-query", "cmake"))):
        return None
    listing = subprocess.run(["dpkg-query", "-L", *CPP_PACKAGES], check=False, capture_output=True, text=True)
    files = [path for path in listing.stdout.splitlines() if path.endswith("/" + CPP_SOURCE)]
    if listing.returncode or not files or not Path(files[0]).exists():  # fails if one package is missing
        return None
    print("building the C++ example", file=sys.stderr)
    build = str(program.parent)
    settings = ["-DCMAKE_BUILD_TYPE=Release", f"-DEXAMPLE={files[0]}"]
    for command in (["cmake", "-S", str(HERE / "cpp"), "-B", build, *settings], ["cmake", "--build", build]):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            print(done.stderr, "the build failed", sep="\n", file=sys.stderr)
            return None
    return str(program)


def command_of(key: str, options: argparse.Namespace) -> list[str] | None:
    """Return the command of a contender, to which SRC DST are added, or None if it is not installed."""
    match key:
        case "cpp":
            program = build_cpp_example(options.work)
            return [program] if program else None
        case "itk":
            command = [sys.executable, str(HERE / "plain_itk.py")]
            return command if importlib.util.find_spec("itk") else None
        case "simpleitk":
            command = [sys.executable, str(HERE / "simpleitk_idiom.py")]
            return command if importlib.util.find_spec("SimpleITK") else None
        case "cp":
            return ["cp", "-r"]
        case _:
            return [*options.ours, "run", *options.run_options] if runs(options.ours) else None


def runs(program: list[str]) -> bool:
    """Return whether `program --version` works."""
    try:
        done = subprocess.run([*program, "--version"], check=False, capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


def benchmark_roundtrip(options: argparse.Namespace) -> dict[str, object]:
    """Time the contenders on each series and sample their memory."""
    commands: dict[str, list[str]] = {}
    for key in dict.fromkeys(options.only):
        if command := command_of(key, options):
            commands[key] = command
        else:
            print(f"{LABELS[key]}: not installed")
    if not commands:
        raise SystemExit("nothing to compare")
    results: dict[str, object] = {}
    peaks: dict[int, float] = {}
    output = options.work / "output"
    work, sources = options.work, []
    for count in [options.enhanced] if options.enhanced else options.slices:
        if options.enhanced:
            sources.append((f"{count} enhanced", count, 1, partial(series, work, count, enhanced=True)))
        elif options.compressed:
            for syntax in options.compressed:
                sources.append((f"{count} {syntax}", count, count, partial(compressed, work, count, syntax)))
        else:
            sources.append((str(count), count, count, partial(series, work, count)))
    for title, count, files, source_of in sources:
        source = source_of()
        jobs = {
            key: Job(LABELS[key], [*command, str(source), str(output)], output, files)
            for key, command in commands.items()
        }
        interleave(list(jobs.values()), options.runs or 5, options.memory_runs)
        cpp, ours = jobs.get("cpp"), jobs.get("ours")
        print_table(f"{title} slices of 512x512", list(jobs.values()), cpp, "to C++")
        if ours and (ratio := ours.ratio_to(cpp)):
            print(f"{ours.label} at {count} slices: {ratio:.2f} times the C++ example")
        if ours and ours.peak_pss_mb:
            peaks[count] = max(ours.peak_pss_mb)
        results[title] = as_data(list(jobs.values()), cpp)
    largest = max(peaks, default=0)
    if REFERENCE_SLICES in peaks and largest > REFERENCE_SLICES:
        growth = peaks[largest] / peaks[REFERENCE_SLICES]
        print(f"\n{LABELS['ours']}: peak at {largest} slices is {growth:.2f} times that at {REFERENCE_SLICES}")
        results["peak_pss_growth"] = growth
    return results


def benchmark_start_up(options: argparse.Namespace) -> dict[str, object]:
    """Time --help and --version against the --help of a bare typer program."""
    bare_program = options.work / "bare_typer.py"
    bare_program.write_text(TYPER_PROGRAM)
    bare = Job("bare typer --help", [sys.executable, str(bare_program), "--help"])
    jobs = [bare]
    jobs += [Job(f"{LABELS['ours']} {flag}", [*options.ours, flag]) for flag in ("--help", "--version")]
    interleave(jobs, options.runs or 20)
    print_table("start-up", jobs, bare, "to bare")
    return {"start_up": as_data(jobs, bare)}


def benchmark_find(options: argparse.Namespace) -> dict[str, object]:
    """Time `find` over many small files, 100 to a series, against pydicom reading the same headers."""
    folder = series(options.work, options.find, size=64, per_series=100)
    scan = Job("pydicom header scan", [sys.executable, "-c", PYDICOM_SCAN, str(folder)])
    jobs = [scan, Job(f"{LABELS['ours']} find", [*options.ours, "find", str(folder)])]
    interleave(jobs, options.runs or 5)
    print_table(f"find over {options.find} files of 64x64", jobs, scan, "to scan")
    return {"find": as_data(jobs, scan)}


def benchmark_verify(options: argparse.Namespace) -> dict[str, object]:
    """Time `verify` of our own output, without dciodvfy, against pydicom reading both series once."""
    results: dict[str, object] = {}
    peaks: dict[int, float] = {}
    for count in options.slices:
        source = series(options.work, count)
        written = source.with_name(f"{source.name}-written")
        if not written.exists():
            subprocess.run([*options.ours, "run", source, written], check=True, stdout=subprocess.DEVNULL)
        both = [str(source), str(written)]
        headers = Job("pydicom, both read once", [sys.executable, "-c", PYDICOM_BOTH, *both])
        pixels = Job("  with pixel_array", [sys.executable, "-c", PYDICOM_BOTH_PIXELS, *both])
        ours = Job(f"{LABELS['ours']} verify", [sys.executable, "-c", VERIFY_ALONE, "verify", *both])
        jobs = [headers, pixels, ours]
        interleave(jobs, options.runs or 7, options.memory_runs)
        print_table(f"verify {count} slices of 512x512", jobs, pixels, "to pixels")
        results[str(count)] = as_data(jobs, pixels)
        peaks[count] = max(ours.peak_pss_mb, default=0.0)
    if len(peaks) > 1 and min(peaks.values()):
        growth = peaks[max(peaks)] / peaks[min(peaks)]
        print(f"\n{LABELS['ours']}: peak at {max(peaks)} slices is {growth:.2f} times that at {min(peaks)}")
    return results


def print_table(title: str, jobs: list[Job], reference: Job | None, ratio_title: str) -> None:
    """Print one row for each job."""
    memory = any(job.peak_pss_mb for job in jobs)
    print(f"\n{title}")
    titles = ["median s", "min s", "max s", ratio_title] + ["peak MB"] * memory
    print(" " * 24 + "".join(text.rjust(10) for text in titles))
    for job in jobs:
        if not job.seconds:
            print(f"{job.label:24}  failed: {job.failure}")
            continue
        times = (statistics.median(job.seconds), min(job.seconds), max(job.seconds))
        ratio = job.ratio_to(reference)
        peak = max(job.peak_pss_mb, default=None)
        print(
            f"{job.label:24}"
            + "".join(f"{value:10.3f}" for value in times)
            + ("-".rjust(10) if ratio is None else f"{ratio:10.2f}")
            + ("" if peak is None else f"{peak:10.0f}"),
            flush=True,
        )


def as_data(jobs: list[Job], reference: Job | None) -> list[dict[str, object]]:
    """Return what was measured, for the JSON file."""
    return [
        {
            "contender": job.label,
            "seconds": job.seconds,
            "median_ratio": job.ratio_to(reference),
            "peak_pss_mb": job.peak_pss_mb,
            "failure": job.failure,
        }
        for job in jobs
    ]


def machine() -> dict[str, object]:
    """Return what the times depend on."""
    versions = {}
    for name in ("itk-roundtrip", "itk", "SimpleITK", "pydicom", "typer"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {"python": platform.python_version(), "cpus": os.cpu_count(), "versions": versions}


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description="Compare itk-roundtrip with its peers.")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--start-up", action="store_true", help="time --help and --version")
    mode.add_argument("--find", type=int, nargs="?", const=2000, metavar="N", help="time find on N files (2000)")
    mode.add_argument("--verify", action="store_true", help="time verify of our own output")
    mode.add_argument(
        "--compressed", nargs="+", metavar="SYNTAX", help="time run on series in transfer syntaxes of run"
    )
    mode.add_argument("--enhanced", type=int, nargs="?", const=1000, metavar="N", help="time run on N frames (1000)")
    parser.add_argument("--slices", type=int, nargs="+", help="slices of the series (24 300 1200, or 300)")
    parser.add_argument("--only", nargs="+", choices=LABELS, default=list(LABELS), help="contenders (all)")
    parser.add_argument("--runs", type=int, help="timed runs after a warm-up (5; 20 with --start-up)")
    parser.add_argument("--memory-runs", type=int, default=2, help="more runs that sample memory (2)")
    parser.add_argument("--ours", type=shlex.split, metavar="CMD", help="program measured as itk-roundtrip")
    parser.add_argument("--run-options", type=shlex.split, default=[], help='as in ="--jobs 1"')
    parser.add_argument("--work", type=Path, help="folder for series and outputs, kept (a temporary one)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all measured values to FILE")
    options = parser.parse_args()
    options.slices = options.slices or ([300] if options.compressed else [24, 300, 1200])
    options.ours = options.ours or [sys.executable, "-m", "itk_roundtrip"]
    return options


def main() -> None:
    """Run the chosen benchmark."""
    options = parse_arguments()
    if not sys.platform.startswith("linux"):
        raise SystemExit("this benchmark runs on Linux only: it reads /proc")
    benchmark = benchmark_roundtrip
    if options.start_up:
        benchmark = benchmark_start_up
    elif options.find:
        benchmark = benchmark_find
    elif options.verify:
        benchmark = benchmark_verify
    with tempfile.TemporaryDirectory(prefix="itk-roundtrip-benchmark-") as temporary:
        options.work = (options.work or Path(temporary)).resolve()
        options.work.mkdir(parents=True, exist_ok=True)
        results = benchmark(options)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
