"""What an archive tells of its series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from itk_roundtrip.display import as_document, as_html
from itk_roundtrip.words import counted

Verdict = Literal["done", "unchanged", "to do", "left out", "refused", "failed"]
"""What became of a series, the best first; ``to do`` is that of a dry run, ``left out`` of series without pixels."""
VERDICTS: tuple[Verdict, ...] = ("done", "unchanged", "to do", "left out", "refused", "failed")
NOT_DONE: tuple[Verdict, ...] = ("refused", "failed")


@dataclass(frozen=True)
class ArchivedSeries:
    """What became of a series of an archive, without values of its headers but modality and UIDs.

    Attributes
    ----------
    source
        The folder of its files, relative to the source folder.
    output
        Its folder, relative to the output folder; ``None`` if nothing of these files stands there.
    verdict
        ``done``; ``unchanged`` since an earlier run; ``refused`` for what its files are; ``failed`` for another reason;
        ``left out``, as it has no pixels; ``to do`` in a dry run.
    reason
        Why it is not done, or is to do.
    modality, files, slices, study_instance_uid, source_series_instance_uid
        As its headers say.
    series_instance_uid
        Of what was written.
    path, kept, restored
        As in :class:`RoundtripResult`.
    set, removed
        Numbers of elements that the rules, or the caller, set and removed.
    warnings
        For people.
    seconds
        That it took in this run.
    max_error, bound, changed, clipped
        Of processed values, as in :class:`Quantisation`; ``None`` without processing.
    """

    source: str
    output: str | None
    verdict: Verdict
    reason: str = ""
    modality: str = ""
    files: int = 0
    slices: int = 0
    study_instance_uid: str = ""
    source_series_instance_uid: str = ""
    series_instance_uid: str = ""
    path: str = ""
    kept: int = 0
    restored: int = 0
    set: int = 0
    removed: int = 0
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    max_error: float | None = None
    bound: float | None = None
    changed: int | None = None
    clipped: int | None = None

    def __repr__(self) -> str:
        where = f", in {self.output}" if self.output else ""
        return f"<ArchivedSeries {self.verdict}: {self.modality}, {counted(self.slices, 'slice')}{where}>"


@dataclass(frozen=True)
class ArchiveResult:
    """The outcome of an archive.

    Attributes
    ----------
    verdict
        ``pass`` if no series was refused or failed.
    source, written
        The two folders, as given.
    dry_run
        Nothing was done; the series tell what would be.
    series
        What became of each series, in the order of their output folders.
    skipped
        Numbers of files that belong to no series, by reason.
    warnings
        Of the archive as a whole.
    seconds
        That all of it took.
    """

    verdict: Literal["pass", "fail"]
    source: str
    written: str
    dry_run: bool
    series: tuple[ArchivedSeries, ...] = field(repr=False)
    skipped: Mapping[str, int]
    warnings: tuple[str, ...]
    seconds: float

    @property
    def counts(self) -> dict[Verdict, int]:
        """The number of series of each verdict."""
        found = Counter(series.verdict for series in self.series)
        return {verdict: found[verdict] for verdict in VERDICTS if found[verdict]}

    def __repr__(self) -> str:
        told = ", ".join(f"{count} {verdict}" for verdict, count in self.counts.items()) or "no series"
        return f"<ArchiveResult {self.verdict}: {told}, in {self.written}>"

    def _repr_html_(self) -> str:
        return as_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of the command ``archive``."""
        return as_document("archive_document", self)
