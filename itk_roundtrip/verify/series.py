"""Verification of a written series against its source, slice by slice and attribute by attribute, whoever wrote it.

pydicom reads both sides, and nothing is shared with the modules that write; SimpleITK decodes compressed pixels that
pydicom has no decoder for, and reads references. Pairs are compared in worker processes, a few at a time, so that
memory does not grow with the series and a crash of a decoder is survived.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from itk_roundtrip.arguments import Progress, check_there, checked, folder_of
from itk_roundtrip.errors import RoundtripError
from itk_roundtrip.processes import Workers, worth_starting
from itk_roundtrip.verify.options import Options
from itk_roundtrip.words import posix

if TYPE_CHECKING:
    from itk_roundtrip.series.find import Series
    from itk_roundtrip.verify.findings import Identity, Report


@checked()
def verify_series(
    source: str | os.PathLike[str] | Series,
    written: str | os.PathLike[str],
    *,
    series: str | int | None = None,
    volume: int | None = None,
    identity: Identity | None = None,
    reference: str | os.PathLike[str] | None = None,
    conformance: bool = False,
    jobs: int | None = None,
    show_values: bool = False,
    allow: Sequence[str] = (),
    progress: Progress | None = None,
) -> Report:
    """Compare a written series with its source: every slice, every attribute, every stored value.

    Parameters
    ----------
    source
        Folder with the source series, at any depth, or a single file, or that series as
        :func:`itk_roundtrip.find_series` returned it.
    written
        Folder or file that was written of it, by whatever tool; all of it is judged.
    series
        Which series of the source, if its folder holds several, as for :func:`itk_roundtrip.roundtrip`; else the one
        that the written files refer to.
    volume
        Index of one of the source's ``series.volumes``, if that alone was written; else all of them must be there.
    identity
        ``derived`` (new instances in one new series of the same study) or ``copy`` (the same instances again);
        guessed from the written files if not given, and the report says so.
    reference
        Image that ITK reads, or ``.npy`` array, with the real-world values that the written series must hold, of
        shape (slices, rows, columns); slices in the order of their positions along the normal.
    conformance
        Let dciodvfy judge every slice, not only the first, the middle and the last one.
    jobs
        At most so many processes work at a time, and no more than there are processors.
    show_values
        Collect values that may identify a person for the table of changes.
    allow
        Changes that are declared, such as those of a de-identification: keywords or tags (``PatientName``,
        ``0010,0020``) of attributes of the top level, or numbers of groups (``0010``). Their values must be valid.
    progress
        Called with (stage, done, of how many).

    Returns
    -------
    Report
        With the verdict ``pass`` if no finding is an error.

    Raises
    ------
    SeriesNotFoundError
        One of the folders is missing or holds no DICOM file, or the source holds no such series.
    AmbiguousSeriesError
        The source holds several series, and the written files refer to none or to several of them.
    RoundtripError
        The reference does not fit the written series, is not there, or cannot be read.

    References
    ----------
    DICOM PS3.3 C.7.6.1.1.2 Image Type, C.12.1 SOP Common Module, C.12.4 General Reference
    """
    count = worth_starting(jobs)
    folders = posix(folder_of(source, series)), posix(written)
    for folder in folders:
        check_there(folder)
    source_path, written_path = (Path(os.path.realpath(folder)) for folder in folders)
    if written_path in source_path.parents:
        raise RoundtripError(
            f"{folders[0]} lies inside {folders[1]}; put source and written files into folders of their own.",
            path=folders[0],
        )
    reference_file = None if reference is None else Path(reference)
    if reference_file is not None and not reference_file.is_file():
        name = posix(reference_file)
        raise RoundtripError(f"There is no file {name} to compare with.", path=name)
    options = Options(
        series=series,
        identity=identity,
        reference=reference_file,
        conformance=conformance,
        jobs=count,
        show_values=show_values,
        progress=progress or (lambda *_: None),
        volume=volume,
        source=None if isinstance(source, (str, os.PathLike)) else source,
        allowed=frozenset(map(_allowed_tag, allow)),
    )
    with Workers(count, prepare="itk_roundtrip.verify.audit") as workers:
        from itk_roundtrip.verify.judge import verify_folders  # pydicom and numpy, while the workers import them too

        return verify_folders(folders, options, workers)


_GROUP = re.compile(r"[0-9A-Fa-f]{4}")
_TAG = re.compile(r"\(?([0-9A-Fa-f]{4})[,|]?([0-9A-Fa-f]{4})\)?")


def _allowed_tag(text: str) -> int:
    """Return the tag of a keyword, a tag or, with element 0, a group.

    Raises
    ------
    RoundtripError
        It names none.
    """
    if _GROUP.fullmatch(text):
        return int(text, 16) << 16
    if match := _TAG.fullmatch(text):
        return int(match[1] + match[2], 16)
    from pydicom.datadict import tag_for_keyword

    tag = tag_for_keyword(text)
    if tag is None:
        shown = f'"{text}"' if len(text) <= 64 and text.isprintable() else "A text"
        raise RoundtripError(f"{shown} is neither a keyword or tag of an attribute nor a group of four digits.")
    return tag
