"""Losses of plain ITK and plain SimpleITK: their examples read and write a series, which is compared with the source.

ITK may end the process it runs in, with some colour images for example, or refuse to read or write. So each example
runs in a process of its own, with a time limit, and its row of the table says how it ended.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pydicom

from itk_roundtrip.arguments import Progress, checked, folder_of
from itk_roundtrip.dicom.values import vr_of
from itk_roundtrip.display import as_document, as_html
from itk_roundtrip.errors import RoundtripError
from itk_roundtrip.itk_io import _itk, _simpleitk
from itk_roundtrip.itk_io.calls import refusal
from itk_roundtrip.processes import Outcome as TaskOutcome
from itk_roundtrip.processes import Task, Workers, processors, uninterrupted
from itk_roundtrip.series.find import Instance, Series, find_source, list_files, read_files
from itk_roundtrip.verify.findings import Outcome, Report
from itk_roundtrip.verify.judge import verify_folders
from itk_roundtrip.verify.options import Options
from itk_roundtrip.words import counted, posix

State = Literal["written", "refused", "crashed", "timed out"]
Ended = tuple[State, str]
"""How an example ended, and what it refused, in a few words."""

IDIOMS: Mapping[str, Callable[[str, str], None]] = {
    "ITK": partial(_itk.example, keep=False),
    "ITK, UIDs and private tags kept": partial(_itk.example, keep=True),
    "SimpleITK": partial(_simpleitk.example, private=False),
    "SimpleITK, private tags loaded": partial(_simpleitk.example, private=True),
}
"""Examples that are run, by the name of their row."""

OUTCOMES: Mapping[Outcome, str] = {
    "lost": "lost",
    "changed": "changed",
    "VR changed": "VR changed",
    "moved": "moved",
    "reformatted": "reformatted",
    "added": "invented",
}
"""Outcomes of an attribute that count as losses, in the order of the table, and the word for each."""

UIDS: Mapping[str, str] = {
    "StudyInstanceUID": "Study",
    "SeriesInstanceUID": "Series",
    "FrameOfReferenceUID": "Frame of Reference",
    "SOPInstanceUID": "SOP Instance",
}
"""UIDs of which the table says whether they are new, by keyword, and the word for each."""

_SECONDS = 120.0
_SECONDS_PER_SLICE = 1.0
"""Time limit of an example; a hundred times what it needs."""
_PIXEL_BYTES = 4
"""Most bytes per pixel that are written: SimpleITK may write 32 bits for 16."""
_SHOWN = 8
_SHOWN_IN_DOCUMENTATION = 20
"""Most attributes of a kind that are named, in a terminal and in the documentation."""


@dataclass(frozen=True)
class Loss:
    """Attribute of the written slices that differs from the source.

    Attributes
    ----------
    outcome
        ``lost``, ``changed``, ``VR changed``, ``moved`` (to another private block), ``reformatted`` (equal numbers,
        other text) or ``added``.
    tag, path
        Tag of the top level, as ``"(gggg,eeee)"``; keywords down to a nested attribute. Of a private attribute the path
        names its creator.
    slices
        In how many slices.
    """

    outcome: Outcome
    tag: str
    path: str
    slices: int


@dataclass(frozen=True)
class PixelLosses:
    """Differences of the stored values of all compared slices from the source.

    Attributes
    ----------
    slices, values
        Number of those that were compared.
    changed_slices, changed_values
        Number of those that differ; a slice also if only its slope or intercept do.
    largest, largest_real
        Largest difference of stored values, and of real-world values.
    """

    slices: int = 0
    values: int = 0
    changed_slices: int = 0
    changed_values: int = 0
    largest: float = 0.0
    largest_real: float = 0.0


@dataclass(frozen=True)
class IdiomLosses:
    """Row of the table: how an example ended, and what it lost of the series.

    Attributes
    ----------
    idiom
        One of :data:`IDIOMS`.
    state
        ``written``: it ran to its end. Else nothing was compared.
    reason
        Whether it ended on reading or on writing, and what it refused, in a few words; empty if ``written``.
    slices, compared
        Number of whole files written, and of those that have a counterpart in the source.
    attributes
        Losses by outcome, in the order of the tags; without the attributes of :data:`UIDS`.
    uids
        For each of :data:`UIDS`, in how many slices it was ``kept``, is ``new``, ``lost`` or ``invented``; nothing
        where neither side has it.
    pixels
        Differences of the stored values.
    """

    idiom: str
    state: State
    reason: str = ""
    slices: int = 0
    compared: int = 0
    attributes: tuple[Loss, ...] = field(default=(), repr=False)
    uids: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    pixels: PixelLosses = PixelLosses()

    def of(self, outcome: Outcome) -> tuple[Loss, ...]:
        """Return the attributes that had an outcome."""
        return tuple(loss for loss in self.attributes if loss.outcome == outcome)


@dataclass(frozen=True)
class Versions:
    """Versions of ITK's Python package and the GDCM in it, and of SimpleITK and the ITK and GDCM in it."""

    itk: str
    itk_gdcm: str
    simpleitk: str
    simpleitk_itk: str
    simpleitk_gdcm: str

    def __str__(self) -> str:
        return (
            f"ITK {self.itk} with GDCM {self.itk_gdcm}; SimpleITK {self.simpleitk} with ITK {self.simpleitk_itk} and"
            f" GDCM {self.simpleitk_gdcm}"
        )


@dataclass(frozen=True)
class LossTable:
    """Losses of a series in each example, as :func:`find_losses` returns them.

    Attributes
    ----------
    source
        Folder of the series, as given.
    series_instance_uid, slices
        Series Instance UID and number of files of the series.
    versions
        Versions of ITK, GDCM and SimpleITK.
    rows
        A row for each of :data:`IDIOMS`.
    """

    source: str
    series_instance_uid: str
    slices: int
    versions: Versions
    rows: tuple[IdiomLosses, ...]

    def __repr__(self) -> str:
        return f"<LossTable of {counted(self.slices, 'slice')}: {counted(len(self.rows), 'program')}, {self.versions}>"

    def _repr_html_(self) -> str:
        return as_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of the command ``losses``."""
        return as_document("losses_document", self)


@checked()
def find_losses(
    source: str | os.PathLike[str] | Series, *, series: str | int | None = None, progress: Progress | None = None
) -> LossTable:
    """Find what plain ITK and plain SimpleITK lose of a series.

    ITK's example DicomSeriesReadSeriesWrite and SimpleITK's DicomSeriesReadModifyWrite, each without and with private
    tags, read the series and write it to a temporary folder. What they wrote is compared as a copy of the series:
    nothing of it is supposed to change. That an example crashes, refuses or never ends is a result.

    Parameters
    ----------
    source
        Folder with the series, at any depth, or a single file, or a series as :func:`itk_roundtrip.find_series`
        returned it. The examples see the files of the series only, in one folder.
    series
        Which series, if the folder holds several, as for :func:`itk_roundtrip.roundtrip`.
    progress
        Called with (stage, done, of how many).

    Returns
    -------
    LossTable
        Names of attributes and counts, no values.

    Raises
    ------
    SeriesNotFoundError
        There is no such folder, or no such series in it.
    AmbiguousSeriesError
        The folder holds several series, and none was chosen.
    RoundtripError
        There is no room for a copy of the series in the temporary folder.
    """
    progress = progress or (lambda stage, done, total: None)
    folder_name = posix(folder_of(source, series))
    with _temporary_folder() as folder, Workers(1, prepare="itk_roundtrip.losses", single_use=True) as workers:
        _, chosen = find_source(source, series)
        linked = _link_files(chosen, folder / "source")
        _check_room(chosen, folder)
        outputs = {idiom: folder / f"written{number}" for number, idiom in enumerate(IDIOMS)}
        tasks = deque([Task(write_and_name, (str(folder),))])
        tasks += [Task(attempt, (IDIOMS[idiom], str(linked), str(outputs[idiom]))) for idiom in IDIOMS]
        outcomes = workers.run(tasks, seconds=_SECONDS + _SECONDS_PER_SLICE * len(chosen.instances))
        versions = _versions(next(outcomes), folder)
        rows: list[IdiomLosses] = []
        progress("Running the examples", 0, len(IDIOMS))
        for (idiom, output), outcome in zip(outputs.items(), outcomes, strict=True):
            rows.append(_row(idiom, chosen, linked, output, outcome))
            progress("Running the examples", len(rows), len(IDIOMS))
    return LossTable(folder_name, chosen.series_instance_uid, len(chosen.instances), versions, tuple(rows))


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """Yield a folder for patient data, readable for this user only, and remove it whatever happens."""
    folder = None
    try:
        with uninterrupted():
            folder = Path(tempfile.mkdtemp(prefix="itk-roundtrip-"))
        yield folder
    finally:
        if folder is not None:
            with uninterrupted():
                shutil.rmtree(folder, ignore_errors=True)


def _link_files(series: Series, folder: Path) -> Path:
    """Make a folder with links to the files of a series only: GDCM takes the first series it meets."""
    folder.mkdir()
    names: set[str] = set()
    for index, instance in enumerate(series.instances):
        name = instance.path.name
        while name in names:  # files of the same name in two subfolders
            name = f"{index}_{name}"
        names.add(name)
        try:
            (folder / name).symlink_to(instance.path)
        except OSError:  # Windows allows links to some users only
            shutil.copyfile(instance.path, folder / name)
    return folder


def _versions(outcome: TaskOutcome, folder: Path) -> Versions:
    """Return the versions of ITK and SimpleITK, and of the GDCM and ITK in them, as written files name them."""
    named = []
    for version, file in outcome.value or [("unknown", "")] * 2:  # a crash may have cut the files off
        named.append((version, *(libraries(folder / file) if file else ("unknown", "unknown"))))
    (itk, itk_gdcm, _), (simpleitk, simpleitk_gdcm, simpleitk_itk) = named
    return Versions(itk, itk_gdcm, simpleitk, simpleitk_itk, simpleitk_gdcm)


def libraries(file: Path) -> tuple[str, str]:
    """Return the versions of the GDCM and of the ITK that a written file names in its meta information."""
    meta = pydicom.filereader.read_file_meta_info(file)
    names = str(meta.get("ImplementationVersionName", "")), str(meta.get("SourceApplicationEntityTitle", ""))
    gdcm, itk = (name.split()[-1] if " " in name else "unknown" for name in names)
    return gdcm, itk


def _row(idiom: str, series: Series, linked: Path, output: Path, outcome: TaskOutcome) -> IdiomLosses:
    """Return the row of an example that was run on the linked series: compare what it wrote, and remove that."""
    ended: Ended = outcome.value or ("timed out" if outcome.timed_out else "crashed", "")
    row = row_of(idiom, ended, linked, output)
    shutil.rmtree(output, ignore_errors=True)
    if row.state != "written":
        _check_room(series, output.parent)  # on a full disk it is not ITK that refused
    return row


def row_of(idiom: str, ended: Ended, source: Path, output: Path) -> IdiomLosses:
    """Return the row of an example, from how it ended and what it wrote.

    Parameters
    ----------
    idiom
        One of :data:`IDIOMS`.
    ended
        State, and what was refused.
    source, output
        Folder with the files of the series, and the one that the example made; it need not be there.
    """
    state, reason = ended
    if state == "written" and not _whole_files(output):
        state, reason = "refused", "no file"
    if state == "written":
        options = Options(None, "copy", None, None, processors(), False, lambda *_: None)
        with Workers(options.jobs, prepare="itk_roundtrip.verify.audit") as auditors:
            return _compared(idiom, verify_folders((str(source), str(output)), options, auditors))
    stage = "on writing" if output.exists() else "on reading"
    return IdiomLosses(idiom, state, f"{stage} ({reason})" if reason else stage, _whole_files(output))


def _check_room(series: Series, folder: Path) -> None:
    """Raise an error if the temporary folder has no room for a copy of the series."""
    size = sum(
        instance.path.stat().st_size + (instance.rows or 0) * (instance.columns or 0) * _PIXEL_BYTES
        for instance in series.instances
    )
    if shutil.disk_usage(folder).free < size:
        raise RoundtripError(f"The temporary folder has no room for a copy of the series ({size >> 20} MB).")


def _whole_files(folder: Path) -> int:
    """Return the number of DICOM files in a folder that are not truncated."""
    if not folder.is_dir():
        return 0
    return sum(isinstance(file, Instance) and not file.truncated for file in read_files(*list_files(folder)))


def _compared(idiom: str, report: Report) -> IdiomLosses:
    """Return the row of an example that wrote the series, from the verification of what it wrote."""
    uids: dict[str, Counter[str]] = {keyword: Counter() for keyword in UIDS}
    attributes: list[Loss] = []
    for change in report.changes:
        if change.path in uids:
            word = "new" if change.outcome == "changed" else OUTCOMES.get(change.outcome, change.outcome)
            uids[change.path][word] += change.slices
        elif change.outcome in OUTCOMES:
            attributes.append(Loss(change.outcome, change.tag, change.path, change.slices))
    order = list(OUTCOMES)
    compared = [pair for pair in report.pairs if pair.pixels]
    changed = [pair for pair in compared if pair.changed or pair.largest_real]
    return IdiomLosses(
        idiom,
        "written",
        slices=report.slices,
        compared=len(report.pairs),
        attributes=tuple(sorted(attributes, key=lambda loss: order.index(loss.outcome))),
        uids={keyword: dict(counts) for keyword, counts in uids.items()},
        pixels=PixelLosses(
            slices=len(compared),
            values=sum(pair.pixels for pair in compared),
            changed_slices=len(changed),
            changed_values=sum(pair.changed for pair in changed),
            largest=max((pair.largest for pair in changed), default=0.0),
            largest_real=max((pair.largest_real for pair in changed), default=0.0),
        ),
    )


# ------------------------------------------------------------------------------------ in the worker process


def prepare() -> None:
    """Import what the examples need."""
    _itk.series_file_names_class()
    _simpleitk.load()


def attempt(example: Callable[[str, str], None], source: str, output: str) -> Ended:
    """Run an example; return how it ended, and what it refused."""
    try:
        example(source, output)
    except (RuntimeError, TypeError, ValueError, OSError, MemoryError) as thrown:
        return "refused", refusal(thrown)
    return "written", ""


def write_and_name(folder: str) -> list[tuple[str, str]]:
    """Return the version of ITK and of SimpleITK, and the name of the file in which each names what is in it."""
    named = []
    for front_end in (_itk, _simpleitk):
        file = f"{front_end.__name__.rpartition('.')[2]}.dcm"
        try:
            front_end.write_nothing(os.path.join(folder, file))
        except (RuntimeError, OSError):
            file = ""
        named.append((front_end.version(), file))
    return named


# --------------------------------------------------------------------------------------------- for people


def as_lines(row: IdiomLosses, slices: int, shown: int = _SHOWN) -> list[tuple[str, str]]:
    """Return a row as lines of a title and a text: what was written, the losses by outcome, UIDs, pixels.

    Parameters
    ----------
    row
        Row of the table.
    slices
        Number of slices of the source.
    shown
        Most attributes of a kind that are named.
    """
    written = f"{row.slices} of {counted(slices, 'slice')}"
    if row.state != "written":
        return [(row.state, f"{row.reason}, {written} written")]
    if row.compared != row.slices:
        written += f", {row.compared} of them of the source"
    lines = [("written", written)]
    for outcome, word in OUTCOMES.items():
        attributes = row.of(outcome)
        if attributes:
            lines.append((f"{word}: {len(attributes)}", _named(attributes, row.compared, shown)))
    if len(lines) == 1:
        lines.append(("lost: 0", "no attribute is lost, changed or invented"))
    return [*lines, ("UIDs", _uids(row)), ("pixels", _pixels(row))]


def _named(attributes: Sequence[Loss], slices: int, shown: int) -> str:
    """Return in words the attributes by kind: public ones, sequences, private ones by their creators."""
    public = [loss for loss in attributes if not _is_private(loss) and not _is_sequence(loss)]
    sequences = [loss for loss in attributes if not _is_private(loss) and _is_sequence(loss)]
    private = [loss for loss in attributes if _is_private(loss)]
    parts = []
    if public:
        parts.append(_list([_name(loss, slices) for loss in public], shown))
    if sequences:
        names = _list([_name(loss, slices) for loss in sequences], shown)
        parts.append(f"{counted(len(sequences), 'sequence')} ({names})")
    if private:
        creators = dict.fromkeys(re.sub(r"^\S+ ", "", loss.path) for loss in private)
        creators.pop("private creator", None)
        by_creators = f" ({_list(list(creators), shown)})" if creators else ""
        parts.append(f"{len(private)} private{by_creators}")
    return "; ".join(parts)


def _list(names: Sequence[str], shown: int) -> str:
    """Return the first names as one text, without control characters."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    text = ", ".join(names[:shown]) + more
    return "".join(character if character.isprintable() else "?" for character in text)  # creators may hold any


def _name(loss: Loss, slices: int) -> str:
    return loss.path if loss.slices == slices else f"{loss.path} in {counted(loss.slices, 'slice')}"


def _is_private(loss: Loss) -> bool:
    return int(loss.tag[4], 16) % 2 == 1


def _is_sequence(loss: Loss) -> bool:
    return vr_of(int(loss.tag[1:5] + loss.tag[6:10], 16)) == "SQ" and "." not in loss.path


def _uids(row: IdiomLosses) -> str:
    """Return in words which UIDs are new, kept, lost or invented, as ``Study, Series new; SOP Instance kept``."""
    words: dict[str, list[str]] = {}
    for keyword, word in UIDS.items():
        counts = row.uids[keyword]
        parts = (f"{number} {outcome}" for outcome, number in counts.items()) if len(counts) > 1 else counts
        words.setdefault(", ".join(parts) or "absent", []).append(word)
    return "; ".join(f"{', '.join(uids)} {outcomes}" for outcomes, uids in words.items())


def _pixels(row: IdiomLosses) -> str:
    """Return in words how many stored values changed, by how much, and how many slices cannot be compared."""
    pixels = row.pixels
    text = f"equal, {pixels.values} stored values in {counted(pixels.slices, 'slice')}"
    if pixels.changed_slices:
        text = (
            f"{pixels.changed_values} of {pixels.values} stored values changed, in"
            f" {counted(pixels.changed_slices, 'slice')}, by at most {pixels.largest:g} ({pixels.largest_real:g} in"
            " real-world values)"
        )
    left = row.compared - pixels.slices
    lacking = f"not comparable in {counted(left, 'slice')}: of another size, or not to be decoded"
    return "; ".join([*([text] if pixels.slices else []), *([lacking] if left else [])]) or "none compared"


def as_markdown(table: LossTable) -> str:
    """Return the table in Markdown, as docs/reference/losses.md shows it."""
    lines = [f"{table.versions}:", "", "| program | what | attributes |", "|---|---|---|"]
    for row in table.rows:
        program = row.idiom
        for title, text in as_lines(row, table.slices, _SHOWN_IN_DOCUMENTATION):
            lines.append(f"| {program} | {title} | {_escaped(text)} |")
            program = ""
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """Return a text with the characters escaped that mean something in Markdown."""
    return re.sub(r"([|\\`*_<>\[\]])", r"\\\1", text)
