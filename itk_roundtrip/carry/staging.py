"""An output folder that is complete or absent: made in a locked hidden sibling, then renamed into place."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from itk_roundtrip import folders
from itk_roundtrip.errors import DestinationError
from itk_roundtrip.processes import uninterrupted
from itk_roundtrip.words import posix

if TYPE_CHECKING:
    from filelock import BaseFileLock

_AT_FDCWD = -100
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux and RENAME_SWAP of macOS


class Staging:
    """The hidden folder ``.NAME.itk-roundtrip`` beside the output folder ``NAME``, as a context.

    Its lock is held by this process, until it ends, however it does. Entering it moves back an old output that a
    killed run had moved aside, and removes what that run left. Leaving it removes it.

    Parameters
    ----------
    source
        Folder that is read; never written to.
    destination
        The output folder, which messages name as it is given.
    overwrite
        Replace what is in it.

    Raises
    ------
    DestinationError
        The output cannot be made there.
    """

    def __init__(self, source: str | os.PathLike[str], destination: str | os.PathLike[str], *, overwrite: bool) -> None:
        self.name = posix(destination)
        self.source = Path(os.path.realpath(source))
        self.destination = Path(os.path.realpath(destination))
        self.overwrite = overwrite
        self.folder = self.destination.parent / f".{self.destination.name}.itk-roundtrip"
        self.work = folders.new_subfolder(self.folder)
        self._created: list[Path] = []
        self._lock: BaseFileLock | None = None
        self.published = False

    @property
    def output(self) -> Path:
        """Folder in which the output is made."""
        return self.work / "output"

    @property
    def ordering(self) -> Path:
        """Folder of the stand-ins that GDCMSeriesFileNames orders."""
        return self.work / "ordering"

    def __enter__(self) -> Staging:
        self._check_place()
        try:
            with uninterrupted():
                self._make_parents()
                self._acquire()
                self._recover()
                self._check_free()
                for folder in (self.work, self.output, self.ordering):
                    folder.mkdir()
        except OSError as error:
            self._abandon()
            raise self._error(error) from None
        except BaseException:  # Ctrl-C that was held back, too
            self._abandon()
            raise
        return self

    def _abandon(self) -> None:
        """Undo what entering has made so far."""
        with uninterrupted():
            if self._lock is not None:
                self._release()
            else:
                self._remove_parents()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_gone = isinstance(error, Exception) and not self.published and not self.work.exists()
        with uninterrupted():
            self._release()
        if is_gone:
            raise folders.gone(self.name, self.folder) from None

    def _error(self, error: OSError) -> DestinationError:
        """Return the error for an output folder that the system refuses."""
        reason = os.strerror(error.errno).lower() if error.errno else "the system refused it"
        refusal = DestinationError(f"{self.name} cannot be written: {reason}.", path=self.name)
        refusal.errno = error.errno or 0
        return refusal

    def _check_place(self) -> None:
        """Refuse an output folder that is the source, in it or around it, or a file."""
        source, destination = self.source, self.destination
        if source == destination:
            raise DestinationError(f"{self.name} is the source; choose another output folder.", path=self.name)
        if source in destination.parents or destination in source.parents or self.folder in (source, *source.parents):
            raise DestinationError(
                f"{self.name} and the source lie one inside the other; choose another output folder.", path=self.name
            )
        if destination.exists() and not destination.is_dir():
            raise DestinationError(f"{self.name} is a file; choose another output folder.", path=self.name)

    def refuse_sources(self, files: list[Path]) -> None:
        """Refuse source files that are links into the output folder, which would be replaced."""
        for file in files:
            if self.destination in Path(os.path.realpath(file)).parents:
                raise DestinationError(
                    f"{file.name} is a link into {self.name}; choose another output folder.", path=self.name
                )

    def _make_parents(self) -> None:
        """Make the missing parents of the output folder."""
        parent = self.destination.parent
        missing = []
        while not parent.exists():
            missing.append(parent)
            parent = parent.parent
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            self._created.append(folder)

    def _remove_parents(self) -> None:
        """Remove the parents that :meth:`_make_parents` made and that are still empty."""
        for folder in reversed(self._created):
            try:
                folder.rmdir()
            except OSError:  # somebody else uses it by now
                break

    def _acquire(self) -> None:
        """Lock the staging folder."""
        if self.folder.is_symlink():
            raise DestinationError(f"{posix(self.folder)} is a link; remove it.", path=posix(self.folder))
        try:
            self._lock = folders.lock(self.folder)
        except BlockingIOError:
            refusal = DestinationError(f"Another run is writing {self.name}; wait for it.", path=self.name)
            refusal.errno = errno.EAGAIN
            raise refusal from None

    def _recover(self) -> None:
        """Undo what a killed run left between its two renames, then remove the rest of it."""
        old = self.folder / "old"
        if old.exists() and not (self.destination.exists() and any(self.destination.iterdir())):
            _move(old, self.destination)
        for remnant in folders.remnants(self.folder):
            folders.remove(remnant)

    def _check_free(self) -> None:
        """Refuse an output folder that is not empty, unless it is to be replaced and can be."""
        if self.destination.is_dir() and any(self.destination.iterdir()):
            if not self.overwrite:
                raise DestinationError(
                    f"{self.name} is not empty; choose another folder, or replace it with overwrite=True.",
                    path=self.name,
                    option="overwrite=True",
                )
            if not os.access(self.destination, os.W_OK | os.X_OK):
                raise DestinationError(f"{self.name} cannot be replaced: permission denied.", path=self.name)

    def publish(self, files: Collection[str] | None = None) -> None:
        """Rename the output to its place, or exchange it with what stands there in a single step where the system can.

        Parameters
        ----------
        files
            Names of all files that it must have.

        Raises
        ------
        DestinationError
            It cannot be put there; what stood there still does.
        """
        try:
            if files is not None and not {*files} <= {*os.listdir(self.output)}:
                raise folders.gone(self.name, self.folder)
            with uninterrupted():
                self._put_in_place()
        except OSError as error:
            raise self._error(error) from None

    def _put_in_place(self) -> None:
        """Rename or exchange the folders, as :meth:`publish` says."""
        if not self.destination.exists():
            _move(self.output, self.destination)
        else:
            mode = stat.S_IMODE(self.destination.stat().st_mode)
            if not any(self.destination.iterdir()):
                _move(self.output, self.destination)
            elif not self.overwrite:
                raise DestinationError(
                    f"{self.name} was filled by somebody else meanwhile; nothing was written.", path=self.name
                )
            elif not _exchange(self.output, self.destination):
                old = self.folder / "old"
                os.rename(self.destination, old)
                try:
                    os.rename(self.output, self.destination)
                except OSError:
                    os.rename(old, self.destination)
                    raise
            self.destination.chmod(mode)
        self.published = True

    def _release(self) -> None:
        """Remove the staging folder and give the lock up."""
        if self._lock is not None:
            folders.remove_locked(self.folder, self._lock)
        if not self.published:
            self._remove_parents()


def clear(destination: Path) -> None:
    """Remove what a killed run left beside an output folder, and put back what it had moved aside.

    Raises
    ------
    DestinationError
        The run is still there.
    """
    staging = Staging(destination, destination, overwrite=True)
    try:
        with uninterrupted():
            staging._acquire()
            staging._recover()
            staging._release()
    except OSError as error:
        raise staging._error(error) from None


def _move(folder: Path, place: Path) -> None:
    """Rename a folder; an empty folder at the new place is replaced."""
    if os.name == "nt" and place.is_dir():  # elsewhere the system does it
        place.rmdir()
    os.rename(folder, place)


def _exchange(a: Path, b: Path) -> bool:
    """Exchange two folders in a single step (``renameat2`` of Linux, ``renamex_np`` of macOS); tell whether it did."""
    if os.name == "nt":
        return False
    library = ctypes.CDLL(None)
    first, second = os.fsencode(a), os.fsencode(b)
    if sys.platform == "darwin":
        return hasattr(library, "renamex_np") and library.renamex_np(first, second, _EXCHANGE) == 0
    if not hasattr(library, "renameat2"):
        return False
    return bool(library.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, _EXCHANGE) == 0)
