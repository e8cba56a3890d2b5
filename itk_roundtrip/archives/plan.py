"""The plan of an archive: which series there are, where each goes, and which of them are finished already."""

from __future__ import annotations

import base64
import heapq
import json
import os
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import Any

from itk_roundtrip.archives.index import Finished, Index, Row
from itk_roundtrip.archives.scan import in_order
from itk_roundtrip.errors import RoundtripError
from itk_roundtrip.processes import Workers
from itk_roundtrip.words import counted, posix

_DIGEST_CHARACTERS = 12
"""Of 32 letters and digits each: two of a million series have the same with a probability of 5 in ten million."""
_MODALITY = re.compile(r"[A-Z][A-Z0-9]{1,8}")
_NUMBER = re.compile(r"[0-9]{1,5}")
"""What of Modality and Series Number stands in the name of a folder: anything else might say something else."""
_SECONDS_PER_FILE, _SECONDS_PER_BYTE = 6e-3, 8e-9
"""Rough cost of a file and of a byte; only the relation of the series among each other matters."""
_FILES_TO_SPLIT, _BYTES_TO_SPLIT = 64, 32 << 20
"""A smaller series is not shared out: it is one slab or two."""
_IDLE = 0.1
"""Part of the time for which processors may wait for the last series before the largest is shared out."""


@dataclass(frozen=True)
class Unit:
    """A series to carry.

    Attributes
    ----------
    number, key
        Its number in the plan, and what it is known by in other runs.
    fingerprint
        Digest of what the scan found of its files.
    output
        Its folder, relative to the output folder.
    names, sizes, times
        Its files, relative to the source folder, in order, their sizes and their modification times.
    slices, modality, study_instance_uid, series_instance_uid
        As the headers say.
    """

    number: int
    key: str
    fingerprint: str
    output: str
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    times: tuple[int, ...]
    slices: int
    modality: str
    study_instance_uid: str
    series_instance_uid: str

    @property
    def record(self) -> dict[str, Any]:
        """What is told of it, whatever becomes of it: fields of :class:`ArchivedSeries`."""
        folders = [posixpath.dirname(name) for name in self.names]
        return {
            "source": posixpath.commonpath(folders) or ".",
            "output": self.output,
            "modality": self.modality,
            "files": len(self.names),
            "slices": self.slices,
            "study_instance_uid": self.study_instance_uid,
            "source_series_instance_uid": self.series_instance_uid,
        }


def digest_of(value: Any) -> str:
    """Return the digest of a value that JSON holds."""
    return blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()


def plan(
    index: Index, root: Path, destination: Path, options: str, workers: Callable[[], Workers], *, html: Path | None
) -> list[str]:
    """Plan all series of an index: what is to be done with each; return warnings.

    The column ``todo`` of a planned series says why it is to be carried; ``page`` if only its HTML page is to be made;
    it is empty if nothing is to be done, and ``record`` is there.

    Parameters
    ----------
    index, root, destination
        Of the archive, its source and output folder.
    options
        Digest of the options.
    workers
        Returns the workers; called if a series holds files that share a SOP Instance UID.
    html
        The index page of the archive; without it no series needs a page.
    """
    outputs: dict[str, str] = {}
    warnings: list[str] = []
    number = 0
    for (study, series), group in groupby(index.instances(), key=lambda pair: pair[0]):
        rows = sorted((row for _, row in group), key=lambda row: in_order(row.name))
        parts = _parts(index, root, rows, workers)
        if len(parts) > 1:
            folders = ", ".join(label for label, _ in parts[:3])
            warnings.append(f"{counted(len(parts), 'export')} of one series differ, each is carried: {folders}.")
        for label, members in parts:
            key = digest_of(["series", study, series, label])
            output = _output(members[0], study, series, label)
            fingerprint, todo, record = digest_of([[*row[:4], row.instance] for row in members]), "", None
            unit = _unit(number, key, fingerprint, output, members)
            if not any(row.has_pixels for row in members):
                record = {**unit.record, "output": None, "verdict": "left out", "reason": "no pixels"}
            elif outputs.setdefault(output, key) != key:
                reason = f"the folder {output} is that of another series"
                record = {**unit.record, "output": None, "verdict": "refused", "reason": reason}
            else:
                finished = index.finished(key)
                todo = _todo(finished, fingerprint, options, output, destination)
                if todo and finished is not None and (stranger := _stranger(destination / output, finished.files)):
                    reason = f"{output} holds {stranger}, which no archive wrote; move it away"
                    todo, record = "", {**unit.record, "output": None, "verdict": "refused", "reason": reason}
                elif finished is not None and not todo:
                    record = {**finished.record, "verdict": "unchanged", "seconds": 0.0}
                    if html is not None and not _has_page(finished, page_of(html, output)):
                        todo = "page"
            size = sum(row.size for row in members)
            cost = len(members) * _SECONDS_PER_FILE + size * _SECONDS_PER_BYTE
            can_split = unit.slices >= _FILES_TO_SPLIT and size >= _BYTES_TO_SPLIT
            content = json.dumps([unit.names, unit.sizes, unit.times, *_told(unit)])
            index.plan(
                [(number, key, output, fingerprint, cost, can_split, content, todo, record and json.dumps(record))]
            )
            number += 1
    index.commit()
    gone = [output for key, output in index.outputs() if outputs.get(output) != key]
    gone = [output for output in gone if (destination / output).is_dir()]
    if gone:
        count = counted(len(gone), "series", "series")
        warnings.append(f"{count} of an earlier run no longer in the source, first {gone[0]}.")
    return warnings


def _told(unit: Unit) -> tuple[Any, ...]:
    return unit.slices, unit.modality, unit.study_instance_uid, unit.series_instance_uid


def _unit(number: int, key: str, fingerprint: str, output: str, members: Sequence[Row]) -> Unit:
    """Return the unit of the instances of a series, in order."""
    first = members[0]
    return Unit(
        number=number,
        key=key,
        fingerprint=fingerprint,
        output=output,
        names=tuple(row.name for row in members),
        sizes=tuple(row.size for row in members),
        times=tuple(row.mtime_ns for row in members),
        slices=sum(row.slices for row in members),
        modality=first.modality,
        study_instance_uid=first.study,
        series_instance_uid=first.series,
    )


def units(index: Index, condition: str, order: str) -> Iterator[Unit]:
    """Yield the planned series that fulfil a condition, in an order of columns of the plan."""
    columns = "number, key, fingerprint, output, names"
    for number, key, fingerprint, output, content in index.planned(columns, condition, order):
        names, sizes, times, *told = json.loads(content)
        yield Unit(number, key, fingerprint, output, tuple(names), tuple(sizes), tuple(times), *told)


def _parts(
    index: Index, root: Path, rows: Sequence[Row], workers: Callable[[], Workers]
) -> list[tuple[str, Sequence[Row]]]:
    """Return the series that files with one Series Instance UID are: one, or one for each subfolder with a copy.

    Files that are the same byte for byte are taken once. Where no two files share a SOP Instance UID nothing is read.
    """
    repeated = [uid for uid, count in Counter(row.instance for row in rows).items() if count > 1 and uid]
    if not repeated:
        return [("", rows)]
    fingerprint = digest_of([row[:4] for row in rows])
    parts = index.parts(fingerprint)
    if parts is None:
        outcome = workers().call(separate, root, [row.name for row in rows])
        parts = [("", [row.name for row in rows])] if outcome.crashed else outcome.value
        index.keep_parts(fingerprint, parts)
    by_name = {row.name: row for row in rows}
    return [(label, [by_name[name] for name in names]) for label, names in parts]


def separate(root: Path, names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return the files of each series among some, and the subfolder of each that is one of several copies."""
    from itk_roundtrip.series.find import group_series, read_files

    found = group_series(root, read_files(root, names))
    return [
        (
            series.folder if series.copies else "",
            sorted((instance.name for instance in series.instances), key=in_order),
        )
        for series in found
    ]


# ------------------------------------------------------------------------------------------------------- the names


def _output(first: Row, study: str, series: str, label: str) -> str:
    """Return the folder of a series: modality, series number and digests of UIDs, nothing that names a patient."""
    modality = first.modality if _MODALITY.fullmatch(first.modality) else "series"
    parts = [modality, *_NUMBER.findall(first.number)[:1]] if _NUMBER.fullmatch(first.number) else [modality]
    return f"study-{_short(first.study)}/{'-'.join([*parts, _short(study, series, label)])}"


def _short(*parts: str) -> str:
    """Return a digest in a few small letters and digits, the same on every system and in every run."""
    digest = blake2b("\0".join(parts).encode("utf-8", "surrogateescape"), digest_size=10).digest()
    return base64.b32encode(digest).decode().lower()[:_DIGEST_CHARACTERS]


def page_of(html: Path, output: str) -> Path:
    """Return the HTML page of a series, beside the index page of the archive."""
    return html.with_name(f"{html.stem}-series") / f"{output}.html"


# ------------------------------------------------------------------------------------------------ what is to be done


def _todo(finished: Finished | None, fingerprint: str, options: str, output: str, destination: Path) -> str:
    """Return why a series is to be carried; empty if it is finished and stands there as it was written."""
    if finished is None:
        return "new"
    if finished.fingerprint != fingerprint or finished.output != output:
        return "the source changed"
    if finished.options != options:
        return "other options"
    return "" if is_as_written(destination / output, finished.files) else "the output changed"


def is_as_written(folder: Path, files: Mapping[str, Sequence[Any]]) -> bool:
    """Tell whether a folder holds the files that were written, and no others.

    Sizes and times tell; a file of another time is compared by its digest.
    """
    try:
        with os.scandir(folder) as entries:
            found = {entry.name: entry.stat() for entry in entries}
        return found.keys() == files.keys() and all(
            found[name].st_size == size and (found[name].st_mtime_ns == time or content_digest(folder / name) == digest)
            for name, (size, time, digest) in files.items()
        )
    except OSError:
        return False


def _stranger(folder: Path, files: Mapping[str, Sequence[Any]]) -> str:
    """Return the name of a file in a folder that was not written there; empty without one."""
    try:
        return min({*os.listdir(folder)} - files.keys(), default="")
    except OSError:
        return ""


def content_digest(path: Path) -> str:
    """Return the digest of a file."""
    from itk_roundtrip.archives.scan import header_digest

    return header_digest(path, 0)


def _has_page(finished: Finished, page: Path) -> bool:
    """Tell whether the HTML page of a finished series is there as it was written."""
    return bool(finished.page) and finished.page == page_state(page)


def page_state(page: Path) -> list[Any]:
    """Return path, size and modification time of a page; nothing if it is not there."""
    try:
        found = page.stat()
    except OSError:
        return []
    return [posix(page), found.st_size, found.st_mtime_ns]


# ------------------------------------------------------------------------------------------------------- the order


def shared_out(costs: Sequence[float], can_split: Sequence[bool], jobs: int) -> int:
    """Return how many of the series, the largest first, are to be shared out over all workers.

    The others are carried by one worker each, the largest first. That wastes nothing as long as no worker ends up with
    a large one when the others have nothing left to do.

    Parameters
    ----------
    costs, can_split
        Of the series, the largest first.
    jobs
        Number of workers.
    """
    count, rest = 0, sum(costs)
    while count < len(costs) and can_split[count] and _longest(costs[count:], jobs) > (1 + _IDLE) * rest / jobs:
        rest -= costs[count]
        count += 1
    return count if jobs > 1 else 0


def _longest(costs: Sequence[float], jobs: int) -> float:
    """Return when the last of some workers is done, if each takes the next series as soon as it can."""
    loads = [0.0] * jobs
    for cost in costs:
        heapq.heapreplace(loads, loads[0] + cost)
    return max(loads)


def check_separate(source: Path, destination: Path, names: tuple[str, str]) -> None:
    """Refuse an output folder that is the source, in it or around it."""
    if destination == source or source in destination.parents or destination in source.parents:
        raise RoundtripError(f"{names[1]} and {names[0]} lie one inside the other; choose another output folder.")
