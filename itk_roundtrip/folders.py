"""Folders that files are made in before they are published: hidden, locked, cleared of what a killed run left.

And folders for temporary files, which are removed even if the process that made them was killed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from itk_roundtrip.errors import DestinationError, RoundtripError

if TYPE_CHECKING:
    from filelock import BaseFileLock

_LOCK = "lock"


def new_subfolder(folder: Path) -> Path:
    """Return a path in a folder that no earlier run has used.

    Workers outlive a killed run for a moment, until ITK lets go of them, and may finish the file that they are at. The
    lock is free by then. In the subfolder of the next run they write nothing, and once their own is gone, nowhere.
    """
    return folder / f"run-{secrets.token_hex(4)}"


def lock(folder: Path) -> BaseFileLock:
    """Make a folder, unless it is there, and lock it until this process ends, however it does.

    Raises
    ------
    BlockingIOError
        Another process holds the lock.
    OSError
        The system refuses the folder or the lock in it; the folder is removed if it is empty.
    """
    import filelock  # here, as it takes a while: workers are importing ITK by now

    file_lock = filelock.FileLock(folder / _LOCK, mode=0o600)
    while True:
        if folder.is_symlink():  # whoever made it chose what would be emptied
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        folder.mkdir(mode=0o700, exist_ok=True)
        try:
            file_lock.acquire(blocking=False)
        except filelock.Timeout:
            raise BlockingIOError from None
        except FileNotFoundError:  # its last holder removed it meanwhile
            continue
        except OSError:
            with contextlib.suppress(OSError):
                folder.rmdir()
            raise
        return file_lock


def remnants(folder: Path) -> Iterator[Path]:
    """Yield what is in a locked folder beside its lock; nothing if somebody else has removed it."""
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        if path.name != _LOCK:
            yield path


def gone(name: str, folder: Path) -> DestinationError:
    """Return the error for an output of which somebody else has removed the hidden folder, or files in it."""
    return DestinationError(
        f"{name} cannot be written: in the folder {folder.name} beside it, in which it was being made, something was"
        " removed; leave that folder alone and try again.",
        path=name,
    )


def remove_locked(folder: Path, file_lock: BaseFileLock) -> None:
    """Remove a locked folder with all that is in it, and give its lock up."""
    for remnant in remnants(folder):
        remove(remnant)
    remove(folder)
    file_lock.release()
    with contextlib.suppress(OSError):
        folder.rmdir()  # where an open file cannot be removed, as on Windows, the lock goes with its release


def remove(path: Path) -> None:
    """Remove a file or a folder, even if folders in it may not be written to."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for folder, folders, files in os.walk(path):
        read_only = files if os.name == "nt" else []  # elsewhere the rights of the folder decide
        for name in (folder, *(os.path.join(folder, name) for name in (*folders, *read_only))):
            if not os.path.islink(name):
                with contextlib.suppress(OSError):
                    os.chmod(name, 0o700)
    shutil.rmtree(path, ignore_errors=True)


# --------------------------------------------------------------------------------------------------- temporary files

_PREFIX = "itk-roundtrip-"
_of_this_process = _PREFIX


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for temporary files, as a context that removes it.

    Raises
    ------
    RoundtripError
        The system refuses it.
    """
    try:
        return tempfile.TemporaryDirectory(prefix=_of_this_process)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise RoundtripError(f"No folder for temporary files can be made ({reason}); name another in TMPDIR.") from None


def name_temporary() -> Path | None:
    """Let the names of temporary folders of this process begin alike, and not as those of others; return that path.

    Whoever ends the process removes with it what is left of them: they hold data of patients. ``None`` if no such
    folder can be made.
    """
    global _of_this_process
    _of_this_process = f"{_PREFIX}{secrets.token_hex(4)}-"
    with contextlib.suppress(OSError):
        return Path(tempfile.gettempdir(), _of_this_process)
    return None


def remove_temporary(beginning: Path | None) -> None:
    """Remove the temporary folders of a process, by the path that :func:`name_temporary` returned there."""
    for folder in beginning.parent.glob(f"{beginning.name}*") if beginning is not None else ():
        remove(folder)
