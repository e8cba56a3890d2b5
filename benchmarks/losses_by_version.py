"""Run the examples of ITK and SimpleITK under several of their versions, and write what each loses into a document.

    python benchmarks/losses_by_version.py [--versions itk==5.4.7 itk==pre SimpleITK==2.5 ...] [--venvs FOLDER]
                                           [--document FILE]

Each version is installed from PyPI into a virtual environment of its own, which is kept in a folder for the next time.
There the examples that `itk-roundtrip losses` runs read and write the sample series, some synthetic ones, each with a
known fault of ITK or GDCM in it, and some real files that come with pydicom. An example runs in a process of its own,
with a time limit. What it wrote is judged here, by the same code for all versions. `itk==pre` is the newest version
that PyPI has, pre-releases too. What cannot be installed for this Python is named in the document.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Literal

import pydicom
from pydicom.data import get_testdata_file
from pydicom.datadict import dictionary_VM, dictionary_VR

from itk_roundtrip.losses import IDIOMS, Ended, IdiomLosses, Loss, libraries, row_of
from itk_roundtrip.words import counted

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from synthetic import write_case

ROOT = Path(__file__).parent.parent
VERSIONS = ("itk==5.3", "itk==5.4.0", "itk==5.4.7", "itk==pre", "SimpleITK==2.3", "SimpleITK==2.4", "SimpleITK==2.5")
DOCUMENT = ROOT / "docs" / "losses_by_version.md"
MARK, END = "<!-- losses by version -->", "<!-- /losses by version -->"
SECONDS = 120.0
"""Time limit of an example."""
RUNS = 3
"""So often does an example run that overruns the heap: what comes of that is luck."""
SHOWN = 6
"""Most attributes that are named in a difference between two versions."""

Package = Literal["itk", "SimpleITK"]
MODULES: Mapping[Package, str] = {"itk": "itk_roundtrip.itk_io._itk", "SimpleITK": "itk_roundtrip.itk_io._simpleitk"}
"""Module of this project that imports a package, and holds its example."""
WHEELS: Mapping[Package, str] = {"itk": "itk-io", "SimpleITK": "SimpleITK"}
"""What is installed: of ITK the part that reads and writes files."""
BESIDES: Mapping[str, Sequence[str]] = {"itk==5.3": ("numpy<2", "pydicom")}
"""What else is installed, by the beginning of a version, if not numpy and pydicom: ITK 5.3 asks for numpy.bool8."""


# ------------------------------------------------------------------------------------------------------- the cases


@dataclass(frozen=True)
class Case:
    """Series that the examples read and write: what is in it, and what makes its files in a folder."""

    what: str
    make: Callable[[Path], object]
    runs: int = 1


def _sample(folder: Path) -> None:
    shutil.copytree(ROOT / "data" / "ct-phantom", folder, dirs_exist_ok=True)


def _file(name: str, folder: Path) -> None:
    folder.mkdir()
    shutil.copy(str(get_testdata_file(name)), folder)


def _synthetic(what: str, name: str, runs: int = 1) -> Case:
    return Case(what, partial(write_case, name), runs)


CASES: Mapping[str, Case] = {
    "sample": Case("CT of data/ct-phantom: sequences, private attributes, Latin-1 texts", _sample),
    "vm_1_n_binary": _synthetic("binary attributes of VM 1-n", "vm_1_n_binary"),
    "long_digits": _synthetic("FD and FL values of more than six digits", "long_digits"),
    "private_known": _synthetic("private attributes that GDCM knows", "private_known"),
    "private_unknown": _synthetic("private attributes that it does not know", "private_unknown"),
    "od_ol_ov_uv_sv": _synthetic("attributes of VR OD, OL, OV, UV and SV", "od_ol_ov_uv_sv"),
    "od_only": _synthetic("an attribute of VR OD", "od_only"),
    "mono1_ct": _synthetic("MONOCHROME1", "mono1_ct"),
    "slope_tenth": _synthetic("Rescale Slope 0.1", "slope_tenth"),
    "s16_intercept_32768": _synthetic("signed values, Rescale Intercept 32768", "s16_intercept_32768"),
    "pet_slopes_per_slice": _synthetic("PET, a slope for each slice", "pet_slopes_per_slice"),
    "mr_rwvm_two": _synthetic("MR, two Real World Value Mappings", "mr_rwvm_two"),
    "rtdose_sf": _synthetic("RT Dose, Dose Grid Scaling", "rtdose_sf"),
    "duplicate_position": _synthetic("two slices at the same position", "duplicate_position"),
    "tilt": _synthetic("a tilted gantry", "tilt"),
    "rgb": _synthetic("RGB", "rgb", RUNS),
    "CT_small.dcm": Case("CT of pydicom's test files", partial(_file, "CT_small.dcm")),
    "MR_small.dcm": Case("MR of pydicom's test files", partial(_file, "MR_small.dcm")),
    "examples_rgb_color.dcm": Case("ultrasound of pydicom's", partial(_file, "examples_rgb_color.dcm"), RUNS),
}


# ------------------------------------------------------------------------------------------- versions and their runs


@dataclass(frozen=True)
class Installed:
    """A version in a virtual environment: what was asked for, its interpreter, and the versions that it names."""

    asked: str
    package: Package
    python: Path
    version: str
    gdcm: str
    itk: str

    def __str__(self) -> str:
        return f"{'ITK' if self.package == 'itk' else self.package} {self.version}"


def install(asked: str, folder: Path) -> Installed | str:
    """Return a version in a virtual environment, made if it is not there; or why it cannot be had."""
    match = re.fullmatch(r"(itk|SimpleITK)==(pre|\d[\w.]*)", asked)
    if match is None:
        sys.exit(f"losses_by_version: {asked} is no version; itk==5.4.7, itk==pre or SimpleITK==2.5 is one")
    package: Package = "itk" if match[1] == "itk" else "SimpleITK"
    python = folder / asked.replace("==", "-") / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if match[2] == "pre":
        wanted = ["--pre", "--upgrade", WHEELS[package]]
    elif match[2].count(".") < 2:
        wanted = [f"{WHEELS[package]}=={match[2]}.*"]
    else:
        wanted = [f"{WHEELS[package]}=={match[2]}"]
    besides = next((names for start, names in BESIDES.items() if asked.startswith(start)), ("numpy", "pydicom"))
    if not python.exists():
        venv.create(python.parent.parent, with_pip=True)
    # Old releases have no wheels for a new Python; to build them from source takes hours.
    pip = [python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
    for words in (wanted, besides):
        done = subprocess.run([*pip, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            return errors[-1].removeprefix("ERROR: ") if errors else "pip failed"
    return _named(asked, package, python)


_NAME = """
import importlib, sys
module = importlib.import_module(sys.argv[1])
module.write_nothing(sys.argv[2])
import importlib.metadata
print(importlib.metadata.version(sys.argv[3]))
"""

_RUN = """
import importlib, json, sys
module, source, output, options = sys.argv[1:]
from itk_roundtrip.itk_io.calls import refusal
example = importlib.import_module(module).example
try:
    example(source, output, **json.loads(options))
except (RuntimeError, TypeError, ValueError, OSError, MemoryError) as thrown:
    print(refusal(thrown))
    sys.exit(3)
"""
_REFUSED = 3
"""Exit code of a run whose example threw."""


def _environment() -> dict[str, str]:
    """Return the environment of a run: this clone's package, whatever is installed."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


def _named(asked: str, package: Package, python: Path) -> Installed | str:
    """Return an installed version with the versions of itself and of what is in it; or why it does not run."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "nothing.dcm"
        words = [python, "-c", _NAME, MODULES[package], file, WHEELS[package]]
        done = subprocess.run(words, env=_environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            return f"it does not run: {(done.stderr.splitlines() or ['it crashed'])[-1]}"
        gdcm, itk = libraries(file)
    version = done.stdout.split()[-1]
    return Installed(asked, package, python, version, gdcm, itk if package == "SimpleITK" else version)


def run(installed: Installed, idiom: str, source: Path, output: Path) -> Ended:
    """Run an example under a version; return how it ended, and what it refused."""
    example = IDIOMS[idiom]
    assert isinstance(example, partial)
    options = "{" + ", ".join(f'"{name}": {str(value).lower()}' for name, value in example.keywords.items()) + "}"
    words = [installed.python, "-c", _RUN, MODULES[installed.package], source, output, options]
    try:
        done = subprocess.run(
            words, env=_environment(), capture_output=True, text=True, check=False, timeout=SECONDS, errors="replace"
        )
    except subprocess.TimeoutExpired:
        return "timed out", ""
    if done.returncode == _REFUSED:
        return "refused", done.stdout.splitlines()[-1]
    return ("crashed", "") if done.returncode else ("written", "")


@dataclass(frozen=True)
class Cell:
    """What became of a case in an example under a version; of several runs, the worst and how many ended like it."""

    row: IdiomLosses
    garbage: frozenset[str]
    alike: int = 1
    runs: int = 1


_GRAVITY = ("written", "refused", "timed out", "crashed")


def measure(installed: Installed, idiom: str, case: Case, source: Path, output: Path) -> Cell:
    """Return what became of a case in an example under a version."""
    rows = []
    for _ in range(case.runs):
        rows.append(row_of(idiom, run(installed, idiom, source, output), source, output))
        shutil.rmtree(output, ignore_errors=True)
    worst = max(rows, key=lambda row: (_GRAVITY.index(row.state), row.pixels.changed_values))
    garbage = frozenset(loss.path for loss in worst.of("changed") if is_garbage(loss))
    return Cell(worst, garbage, sum(row.state == worst.state for row in rows), len(rows))


def is_garbage(loss: Loss) -> bool:
    """Return whether a changed attribute holds what was in memory: a binary number, of an open number of values.

    GDCM's StringFilter::FromString makes room for the values of such an attribute and fills none of them in, see
    docs/upstream. Nothing else in ITK changes them.
    """
    tag = int(loss.tag[1:5] + loss.tag[6:10], 16)
    try:
        return dictionary_VM(tag).endswith("n") and dictionary_VR(tag) in ("AT", "FD", "FL", "SL", "SS", "UL", "US")
    except KeyError:  # a private or unknown attribute
        return False


# ---------------------------------------------------------------------------------------------------- the document


Cells = Mapping[tuple[str, str, Installed], Cell]
"""By idiom, case and version."""


def markdown(versions: Sequence[Installed], missing: Mapping[str, str], cells: Cells) -> str:
    """Return what stands between the marks of the document."""
    lines = [
        f"Measured on {date.today().isoformat()} with Python {platform.python_version()} on {platform.system()},"
        f" judged with pydicom {pydicom.__version__}:",
        "",
        "| version | ITK in it | GDCM in it |",
        "|---|---|---|",
        *(f"| {installed} | {installed.itk} | {installed.gdcm} |" for installed in versions),
        *(f"\n{asked} could not be had: {escaped(why)}." for asked, why in missing.items()),
    ]
    for idiom in dict.fromkeys(idiom for idiom, _, _ in cells):
        columns = [installed for installed in versions if (idiom, next(iter(CASES)), installed) in cells]
        lines += ["", f"## {idiom}", "", "| series | " + " | ".join(map(str, columns)) + " |"]
        lines.append("|---" * (len(columns) + 1) + "|")
        for name in CASES:
            shown = [text(cells[idiom, name, installed]) for installed in columns]
            lines.append(f"| {CASES[name].what} (`{name}`) | " + " | ".join(shown) + " |")
        lines += ["", *(differences(idiom, columns, cells) or ["No version differs from the one before it."])]
    return "\n".join(lines)


def text(cell: Cell) -> str:
    """Return a cell of the table: how the example ended, or the number of attributes by what became of them."""
    row = cell.row
    if row.state != "written":
        often = f" in {cell.alike} of {counted(cell.runs, 'run')}" if cell.runs > 1 else ""
        return f"**{row.state}**{often} {escaped(row.reason)}"
    garbage = len(cell.garbage)
    numbers = {
        "lost": len(row.of("lost")),
        "changed": len(row.of("changed")) + len(row.of("VR changed")) - garbage,
        "garbage": garbage,
        "invented": len(row.of("added")),
    }
    parts = [f"{word} {number}" for word, number in numbers.items() if number] or ["nothing lost or changed"]
    if row.pixels.changed_values or row.pixels.largest_real:
        parts.append("**pixels changed**")
    elif row.pixels.slices < row.compared:
        parts.append("**pixels not comparable**")
    return ", ".join(parts)


def differences(idiom: str, columns: Sequence[Installed], cells: Cells) -> list[str]:
    """Return what a version does otherwise than the one before it, a line for each change with the series."""
    lines = []
    for before, after in itertools.pairwise(columns):
        series: dict[str, list[str]] = {}
        for name in CASES:
            for said in _changes(cells[idiom, name, before], cells[idiom, name, after]):
                series.setdefault(said, []).append(f"`{name}`")
        lines += [f"- {before} → {after}: {said} ({', '.join(names)})." for said, names in series.items()]
    return lines


def _changes(old: Cell, new: Cell) -> Iterator[str]:
    """Yield in words what differs between two cells."""
    if (old.row.state, old.row.reason) != (new.row.state, new.row.reason):
        yield " → ".join(f"{cell.row.state} {escaped(cell.row.reason)}".strip() for cell in (old, new))
        return
    for outcome, word in {"lost": "lost", "changed": "changed", "added": "invented"}.items():
        names = [{loss.path for loss in cell.row.attributes if loss.outcome == outcome} for cell in (old, new)]
        for said, paths in ((f"no longer {word}", names[0] - names[1]), (f"newly {word}", names[1] - names[0])):
            if paths:
                more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
                yield f"{said}: {escaped(', '.join(sorted(paths)[:SHOWN]))}{more}"
    if bool(old.row.pixels.changed_values) != bool(new.row.pixels.changed_values):
        yield "pixels changed" if new.row.pixels.changed_values else "pixels no longer changed"


def escaped(words: str) -> str:
    """Return a text with the characters escaped that mean something in Markdown."""
    return re.sub(r"([|\\`*_<>\[\]])", r"\\\1", words)


# ------------------------------------------------------------------------------------------------- the command line


def main() -> None:
    """Install the versions, run the examples, and write the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", nargs="+", default=VERSIONS, metavar="PACKAGE==VERSION")
    parser.add_argument("--venvs", type=Path, default=Path(tempfile.gettempdir()) / "itk-roundtrip-versions")
    parser.add_argument("--document", type=Path, default=DOCUMENT)
    arguments = parser.parse_args()
    document = arguments.document.read_text("utf-8")
    if MARK not in document or END not in document:
        sys.exit(f"losses_by_version: {arguments.document} has no lines {MARK} and {END} to write between")
    versions: list[Installed] = []
    missing: dict[str, str] = {}
    for asked in arguments.versions:
        made = install(asked, arguments.venvs)
        if isinstance(made, str):
            missing[asked] = made
        else:
            versions.append(made)
        print(f"{asked}: {made}", file=sys.stderr)
    if not versions:
        sys.exit("losses_by_version: none of the versions could be had")
    head, _, rest = document.partition(MARK)
    table = markdown(versions, missing, measured(versions))
    arguments.document.write_text(f"{head}{MARK}\n{table}\n{END}{rest.partition(END)[2]}", "utf-8")


def measured(versions: Sequence[Installed]) -> Cells:
    """Return what became of each case in each example under each version."""
    cells: dict[tuple[str, str, Installed], Cell] = {}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for name, case in CASES.items():
            case.make(folder / name)
        for idiom, example in IDIOMS.items():
            assert isinstance(example, partial)
            for installed in versions:
                if example.func.__module__ == MODULES[installed.package]:
                    print(f"{installed}: {idiom}", file=sys.stderr)
                    for name, case in CASES.items():
                        cell = measure(installed, idiom, case, folder / name, folder / "written")
                        cells[idiom, name, installed] = cell
    return cells


if __name__ == "__main__":
    main()
