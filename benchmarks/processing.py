"""Time and peak memory of processing, as ratios to the plain round trip and to the SimpleITK idiom that does the same.

Usage: processing.py [--slices N] [--runs N] [--memory-runs N]. Linux only (it reads /proc).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import make_series
from measure import Job, interleave

HERE = Path(__file__).parent
FUNCTIONS = """
def identity(image):
    return image
"""


def main() -> None:
    """Read the command line, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--memory-runs", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="processing-") as folder:
        source, output = Path(folder, "source"), Path(folder, "output")
        make_series.make(source, options.slices, options.size, options.slices)
        functions = Path(folder, "functions.py")
        functions.write_text(FUNCTIONS)
        run = [sys.executable, "-m", "itk_roundtrip", "run", str(source), str(output)]
        idiom = [sys.executable, str(HERE / "simpleitk_idiom.py"), str(source), str(output)]
        commands = {
            "run": run,
            "run --apply identity": [*run, "--apply", f"{functions}:identity"],
            "run --filter median": [*run, "--filter", "median:radius=1"],
            "SimpleITK idiom": idiom,
            "SimpleITK idiom, median": [*idiom, "--median"],
        }
        jobs = [Job(label, command, output, options.slices) for label, command in commands.items()]
        interleave(jobs, options.runs, options.memory_runs)
        volume_mb = options.slices * options.size**2 * 2 / 1e6
        print(f"{options.slices} slices of {options.size}x{options.size}, {volume_mb:.0f} MB in 16 bits")
        print(f"{'':26}{'median s':>10}{'to run':>9}{'to idiom':>10}{'peak MB':>9}")
        plain, same_idiom = jobs[0], {"run --filter median": jobs[4]}
        for job in jobs:
            if job.failure:
                print(f"{job.label:26}  failed: {job.failure}")
                continue
            seconds = sorted(job.seconds)[len(job.seconds) // 2]
            to_plain, to_idiom = job.ratio_to(plain), job.ratio_to(same_idiom.get(job.label, jobs[3]))
            peak = max(job.peak_pss_mb, default=float("nan"))
            print(f"{job.label:26}{seconds:10.2f}{to_plain or 0:9.2f}{to_idiom or 0:10.2f}{peak:9.0f}")


if __name__ == "__main__":
    main()
