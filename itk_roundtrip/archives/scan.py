"""The scan of an archive: a walk over the folders, and the headers of the files that are not as they were.

Workers read the headers, a batch of files at a time; the index keeps what they find. Nothing is held of files that were
read, so that memory does not grow with their number.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

from itk_roundtrip.archives.index import INSTANCE, SKIPPED, UNREAD, UNREADABLE, Found, Header, Index
from itk_roundtrip.arguments import Progress
from itk_roundtrip.errors import RoundtripError, SeriesReadError
from itk_roundtrip.processes import Task, Workers
from itk_roundtrip.words import counted, natural, posix

FILES_PER_TASK = 100
_FILES_AT_ONCE = 2_000
"""Files that are given to the index at a time."""
_BLOCK = 1 << 20


class Walk:
    """A walk over all files of a folder, but for what is left out; links to folders are not followed.

    Parameters
    ----------
    root
        The folder.
    leave_out
        Paths of files and folders relative to it, with ``*``, ``?`` and ``[...]`` for any characters.

    Attributes
    ----------
    refused
        Paths of the folders that the system refuses, and why.
    folder_links
        Paths of the links to folders.
    """

    def __init__(self, root: Path, leave_out: Sequence[str] = ()) -> None:
        self._root = root
        self._leave_out = [pattern.rstrip("/") for pattern in leave_out]
        self._used: set[str] = set()
        self.refused: list[tuple[str, str]] = []
        self.folder_links: list[str] = []

    @property
    def unused(self) -> list[str]:
        """What was to be left out and was not met."""
        return [pattern for pattern in self._leave_out if pattern not in self._used]

    def __iter__(self) -> Iterator[Found]:
        folders = [""]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(self._root / folder) as entries:
                    for entry in entries:
                        name = f"{folder}/{entry.name}" if folder else entry.name
                        if self._is_left_out(name):
                            continue
                        if not entry.is_dir(follow_symlinks=False):
                            found = self._file(entry, name)
                            if found is not None:
                                yield found
                        else:
                            folders.append(name)
            except OSError as error:
                self.refused.append((folder or ".", (error.strerror or type(error).__name__).lower()))

    def _is_left_out(self, name: str) -> bool:
        """Tell whether a path is to be left out."""
        fitting = [pattern for pattern in self._leave_out if pattern == name or fnmatchcase(name, pattern)]
        self._used.update(fitting)
        return bool(fitting)

    def _file(self, entry: os.DirEntry[str], name: str) -> Found | None:
        """Return what a file is without opening it; ``None`` for a link to a folder, or to a file of this walk."""
        try:
            found = entry.stat()
        except OSError:  # a link to nothing, or to itself
            return Found(name, -1, 0, 0, Header(SKIPPED, "not a regular file"))
        if stat.S_ISDIR(found.st_mode):
            self.folder_links.append(name)
            return None
        if not stat.S_ISREG(found.st_mode):
            return Found(name, -1, 0, 0, Header(SKIPPED, "not a regular file"))
        if entry.is_symlink() and Path(os.path.realpath(entry.path)).is_relative_to(self._root):
            return None  # a second copy of that file would be a series of its own
        return Found(name, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def scan(
    root: Path, name: str, leave_out: Sequence[str], index: Index, workers: Callable[[], Workers], progress: Progress
) -> list[str]:
    """Bring the index up to date with the files of a folder; return warnings.

    Parameters
    ----------
    root, name
        The folder, and what messages call it.
    leave_out
        What is not looked at.
    index
        Of the archive.
    workers
        Returns the workers; called if there is anything to read.
    progress
        Called with (stage, done, of how many).

    Raises
    ------
    SeriesReadError
        The system refuses a folder or a file: series would be incomplete.
    RoundtripError
        What is to be left out is not there.
    """
    number = int(index.get("scan", "0")) + 1
    index.set("scan", str(number))
    walk, files = Walk(root, leave_out), 0
    met = iter(walk)
    while batch := list(islice(met, _FILES_AT_ONCE)):
        index.meet(batch, number)
        files += len(batch)
        progress("Listing", files, 0)
        index.commit(now=False)
    if walk.unused:
        raise RoundtripError(f"{walk.unused[0]} is to be left out, and {name} holds nothing of that name.")
    if walk.refused:
        _refuse(walk.refused, name, len(walk.refused))
    index.forget(number)
    index.commit()
    _read(root, index, workers, progress)
    if unreadable := index.count(UNREADABLE):
        _refuse(index.first(UNREADABLE, 3), name, unreadable)
    if not walk.folder_links:
        return []
    links, first = len(walk.folder_links), min(walk.folder_links)
    return [f"{counted(links, 'link')} to folders not followed, first {first}: name their folders themselves."]


def _refuse(refused: Sequence[tuple[str, str]], name: str, count: int) -> None:
    """Raise the error for folders and files that cannot be read."""
    path, reason = refused[0]
    more = f", and {count - 1} more" if count > 1 else ""
    raise SeriesReadError(
        f"{path} in {name} cannot be read ({reason.removeprefix('cannot be read (').rstrip(')')}{more}), so that series"
        f' would be incomplete; make it readable, or leave it out with leave_out="{path}".',
        path=path,
        option=f'leave_out="{path}"',
    )


def _read(root: Path, index: Index, workers: Callable[[], Workers], progress: Progress) -> None:
    """Read the headers that are not known."""
    total, done, last = index.count(UNREAD), 0, ""
    if not total:
        return
    tasks: deque[Task] = deque()
    pool = workers()
    pool.start()

    def fill() -> None:
        nonlocal last
        while len(tasks) < 4:  # so many wait, whatever the number of files
            names = index.unread(last, FILES_PER_TASK)
            if not names:
                return
            last = names[-1]
            tasks.append(Task(read_headers, (root, names)))

    fill()
    for outcome in pool.run(tasks):
        names = outcome.task.arguments[1]
        if outcome.crashed and len(names) > 1:
            tasks.extend(Task(read_headers, (root, [name])) for name in names)
            continue
        broken = [(name, Header(SKIPPED, "broken (ends the process that reads it)")) for name in names]
        index.keep(broken if outcome.crashed else outcome.value)
        index.commit(now=False)
        done += len(names)
        progress("Scanning", done, total)
        fill()
    index.commit()


# -------------------------------------------------------------------------------------------------- in the workers


def read_headers(root: Path, names: Sequence[str]) -> list[tuple[str, Header]]:
    """Read the headers of files, and return what the index keeps of each."""
    from itk_roundtrip.series.find import read_files

    return [(name, _header(root / name, file)) for name, file in zip(names, read_files(root, names), strict=True)]


def _header(path: Path, file: Any) -> Header:
    """Return what the index keeps of an instance, or of a file that is none."""
    from itk_roundtrip.series.instance import Skipped

    if isinstance(file, Skipped):
        return Header(UNREADABLE if file.unreadable else SKIPPED, file.reason)
    try:
        digest = header_digest(path, file.header_bytes)
    except OSError as error:
        return Header(UNREADABLE, f"cannot be read ({(error.strerror or type(error).__name__).lower()})")
    return Header(
        INSTANCE,
        "",
        digest,
        file.study_instance_uid,
        file.series_instance_uid,
        file.sop_instance_uid,
        file.modality,
        file.series_number,
        file.planes,
        bool(file.pixel_data),
    )


def header_digest(path: Path, length: int) -> str:
    """Return the digest of the first bytes of a file, of all of them if ``length`` is 0."""
    state = blake2b(digest_size=16)
    with path.open("rb") as stream:
        while block := stream.read(min(length, _BLOCK) if length else _BLOCK):
            state.update(block)
            if length:
                length -= len(block)
                if length <= 0:
                    break
    return state.hexdigest()


# ------------------------------------------------------------------------------------------------------ the order


def in_order(name: str) -> tuple[list[Any], list[Any]]:
    """Return a key that sorts paths as a walk of :func:`itk_roundtrip.find_series` meets them."""
    *folders, last = posix(name).split("/")
    return [natural(folder) for folder in folders], natural(last)
