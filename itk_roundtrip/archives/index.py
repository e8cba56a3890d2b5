"""The state of an archive: what its files were found to be, and which series are finished.

It lies in the hidden folder ``.itk-roundtrip`` of the output folder, in an SQLite file that the process of the archive
alone reads and writes, and holds texts and numbers only: whoever may write there can make no program run.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from itk_roundtrip.errors import DestinationError
from itk_roundtrip.words import posix

STATE = ".itk-roundtrip"
"""Hidden folder in the output folder."""
_FILE = "index.sqlite"
_VERSION = "1"
"""Of the tables; those of another one are not read."""
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (
    name BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, scan INTEGER, state INTEGER,
    reason TEXT DEFAULT '', digest TEXT DEFAULT '', study TEXT DEFAULT '', series TEXT DEFAULT '',
    instance TEXT DEFAULT '', modality TEXT DEFAULT '', number TEXT DEFAULT '', slices INTEGER DEFAULT 0,
    has_pixels INTEGER DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts (fingerprint TEXT PRIMARY KEY, parts TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS finished (
    key TEXT PRIMARY KEY, fingerprint TEXT, options TEXT, output TEXT, files TEXT, record TEXT, page TEXT
) WITHOUT ROWID;
CREATE TEMP TABLE units (
    number INTEGER PRIMARY KEY, key TEXT, output TEXT, fingerprint TEXT, cost REAL, can_split INTEGER, names TEXT,
    todo TEXT, record TEXT
);
"""
UNREAD, INSTANCE, SKIPPED, UNREADABLE = range(4)
"""States of a file: its header is to be read; an instance; belongs to no series; the system refuses it."""
_SECONDS_BETWEEN_COMMITS = 0.25
"""What a killed archive has done since the last one is done again."""


class Header(NamedTuple):
    """What is kept of a file: columns of the index, in their order, behind those of :class:`Found`."""

    state: int
    reason: str = ""
    digest: str = ""
    study: str = ""
    series: str = ""
    instance: str = ""
    modality: str = ""
    number: str = ""
    slices: int = 0
    has_pixels: bool = False


class Found(NamedTuple):
    """A file as the walk over the folders found it."""

    name: str
    size: int
    mtime_ns: int
    ctime_ns: int
    header: Header | None = None
    """What is known of it without opening it, such as that it is a pipe."""


class Row(NamedTuple):
    """An instance in the index."""

    name: str
    size: int
    mtime_ns: int
    digest: str
    study: str
    series: str
    instance: str
    modality: str
    number: str
    slices: int
    has_pixels: bool


class Finished(NamedTuple):
    """A series that is finished: of which sources and options, what was written, and what is told of it.

    Attributes
    ----------
    fingerprint, options
        Digests of its source files and of the options.
    output
        Its folder, relative to the output folder.
    files
        Size, modification time and digest of each written file, by name.
    record
        As it stands in ``archive.jsonl``.
    page
        Path, size and modification time of its HTML page; empty without one.
    """

    fingerprint: str
    options: str
    output: str
    files: dict[str, list[Any]]
    record: dict[str, Any]
    page: list[Any]


class Index:
    """The index of an archive, open.

    Parameters
    ----------
    connection
        To its database.
    name
        What messages call the output folder.
    """

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._name = name
        self._connection = connection
        self._committed = time.monotonic()
        connection.executescript(_TABLES)
        if self.get("version", _VERSION) != _VERSION:
            raise DestinationError(
                f"{name} is an archive of another version of itk-roundtrip; choose another folder.", path=name
            )
        self.set("version", _VERSION)

    # ------------------------------------------------------------------------------------------------- single values

    def get(self, key: str, default: str = "") -> str:
        """Return a value of the archive."""
        row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else str(row[0])

    def set(self, key: str, value: str) -> None:
        """Keep a value of the archive."""
        self._connection.execute("REPLACE INTO meta VALUES (?, ?)", (key, _text(value)))

    def commit(self, *, now: bool = True) -> None:
        """Keep what was set for good; without ``now`` only if some time has passed."""
        if now or time.monotonic() - self._committed > _SECONDS_BETWEEN_COMMITS:
            self._connection.commit()
            self._committed = time.monotonic()

    # --------------------------------------------------------------------------------------------------------- files

    def meet(self, found: Iterable[Found], scan: int) -> None:
        """Note the files of a walk: those that are new or not as they were are to be read."""
        # A file is as it was if size and times are: its status change as well, which nobody sets at will.
        self._connection.executemany(
            "INSERT INTO files (name, size, mtime_ns, ctime_ns, scan, state, reason) VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET scan = excluded.scan, state = CASE WHEN excluded.state = 0 AND"
            " size = excluded.size AND mtime_ns = excluded.mtime_ns AND ctime_ns = excluded.ctime_ns"
            f" AND state <> {UNREADABLE} THEN state ELSE excluded.state END,"
            " reason = CASE WHEN excluded.state = 0 THEN reason ELSE excluded.reason END,"
            " size = excluded.size, mtime_ns = excluded.mtime_ns, ctime_ns = excluded.ctime_ns",
            (
                (
                    os.fsencode(file.name),
                    *file[1:4],
                    scan,
                    file.header.state if file.header else UNREAD,
                    file.header.reason if file.header else "",
                )
                for file in found
            ),
        )

    def forget(self, scan: int) -> None:
        """Remove the files that a walk did not meet."""
        self._connection.execute("DELETE FROM files WHERE scan <> ?", (scan,))

    def unread(self, after: str, count: int) -> list[str]:
        """Return some files whose headers are to be read, in the order of their names, behind a name."""
        query = "SELECT name FROM files WHERE state = ? AND name > ? ORDER BY name LIMIT ?"
        rows = self._connection.execute(query, (UNREAD, os.fsencode(after), count))
        return [os.fsdecode(name) for (name,) in rows]

    def keep(self, headers: Iterable[tuple[str, Header]]) -> None:
        """Keep what files were found to be."""
        columns = ", ".join(f"{column} = ?" for column in Header._fields)
        self._connection.executemany(
            f"UPDATE files SET {columns} WHERE name = ?",
            ((*map(_text, header), os.fsencode(name)) for name, header in headers),
        )

    def count(self, state: int) -> int:
        """Return how many files are in a state."""
        return int(self._connection.execute("SELECT count(*) FROM files WHERE state = ?", (state,)).fetchone()[0])

    def skipped(self) -> dict[str, int]:
        """Return how many files belong to no series, by reason."""
        query = "SELECT reason, count(*) FROM files WHERE state = ? GROUP BY reason ORDER BY 2 DESC, 1"
        return dict(self._connection.execute(query, (SKIPPED,)))

    def first(self, state: int, count: int) -> list[tuple[str, str]]:
        """Return name and reason of the first files in a state."""
        query = "SELECT name, reason FROM files WHERE state = ? ORDER BY name LIMIT ?"
        return [(os.fsdecode(name), reason) for name, reason in self._connection.execute(query, (state, count))]

    def instances(self) -> Iterator[tuple[tuple[str, str], Row]]:
        """Yield all instances, those of a series together, by its study, if it has no UID, and its UID."""
        query = (
            "SELECT CASE WHEN series = '' THEN study ELSE '' END, name, size, mtime_ns, digest, study, series,"
            " instance, modality, number, slices, has_pixels FROM files WHERE state = ? ORDER BY 1, series"
        )
        for study, name, *others in self._connection.execute(query, (INSTANCE,)):
            row = Row(os.fsdecode(name), *others)
            yield (study, row.series), row

    def parts(self, fingerprint: str) -> list[tuple[str, list[str]]] | None:
        """Return the parts that files of one series were found to be; ``None`` if that is not known."""
        found = self._connection.execute("SELECT parts FROM parts WHERE fingerprint = ?", (fingerprint,)).fetchone()
        return None if found is None else [(label, names) for label, names in json.loads(found[0])]

    def keep_parts(self, fingerprint: str, parts: Sequence[tuple[str, list[str]]]) -> None:
        """Keep the parts that files of one series were found to be."""
        self._connection.execute("REPLACE INTO parts VALUES (?, ?)", (fingerprint, json.dumps(parts)))

    # -------------------------------------------------------------------------------------------------------- series

    def finished(self, key: str) -> Finished | None:
        """Return a series that is finished."""
        row = self._connection.execute("SELECT * FROM finished WHERE key = ?", (key,)).fetchone()
        return None if row is None else Finished(*row[1:4], *map(json.loads, row[4:]))

    def outputs(self) -> Iterator[tuple[str, str]]:
        """Yield key and output folder of all series that are finished."""
        yield from self._connection.execute("SELECT key, output FROM finished ORDER BY output")

    def finish(self, key: str, finished: Finished) -> None:
        """Note that a series is finished."""
        texts = map(json.dumps, finished[3:])
        self._connection.execute("REPLACE INTO finished VALUES (?, ?, ?, ?, ?, ?, ?)", (key, *finished[:3], *texts))

    def plan(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Plan series: the columns of ``units``, in their order."""
        self._connection.executemany("INSERT INTO units VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def planned(self, columns: str, condition: str = "1", order: str = "number") -> Iterator[tuple[Any, ...]]:
        """Yield columns of the planned series that fulfil a condition; they may be noted meanwhile."""
        numbers = self._connection.execute(f"SELECT number FROM units WHERE {condition} ORDER BY {order}").fetchall()
        for (number,) in numbers:
            yield self._connection.execute(f"SELECT {columns} FROM units WHERE number = ?", (number,)).fetchone()

    def note(self, number: int, record: dict[str, Any]) -> None:
        """Note what became of a planned series."""
        self._connection.execute("UPDATE units SET record = ? WHERE number = ?", (json.dumps(record), number))


def _text(value: Any) -> Any:
    """Return a text that SQLite takes: texts of headers may hold what is no text."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


@contextmanager
def open_index(destination: Path, name: str, *, in_memory: bool = False) -> Iterator[Index]:
    """Open the index of an archive, in whose output folder the hidden one is, as a context.

    Parameters
    ----------
    destination, name
        The output folder, and what messages call it.
    in_memory
        Work on a copy in memory, and make nothing on the disk.

    Raises
    ------
    DestinationError
        It cannot be read or written.
    """
    file = destination / STATE / _FILE
    connection: sqlite3.Connection | None = None
    try:
        if in_memory:
            connection = sqlite3.connect("")  # on the disk once it is large, in a file that nobody sees
            if file.exists():
                on_disk = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)
                with suppress(sqlite3.ProgrammingError):
                    on_disk.backup(connection)
                on_disk.close()
        else:
            connection = sqlite3.connect(file)
            connection.execute("PRAGMA synchronous = NORMAL")
        yield Index(connection, name)
        connection.commit()
    except sqlite3.Error as error:
        raise _refused(error, name, posix(file.relative_to(destination))) from None
    finally:
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def _refused(error: sqlite3.Error, name: str, file: str) -> DestinationError:
    """Return the error for an index that cannot be read or written."""
    code = getattr(error, "sqlite_errorcode", None)  # from Python 3.11 on
    is_full = code == 13 if code is not None else "full" in str(error)  # SQLITE_FULL
    if is_full:
        return DestinationError(
            f"{name} cannot be written: the disk is full; make room and run the same command again.", path=name
        )
    return DestinationError(
        f"{file} in {name} cannot be used ({str(error)[:80]}); remove that file, and the next run does all series"
        " again.",
        path=name,
    )
