"""Results of the commands as tables for people and as JSON documents for machines. Nothing is computed here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydicom import datadict, uid
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from itk_roundtrip import syntaxes
from itk_roundtrip.archives.result import NOT_DONE
from itk_roundtrip.dicom.privacy import shown_label
from itk_roundtrip.rules import UNCHANGED
from itk_roundtrip.series.geometry import plane_name
from itk_roundtrip.verify.findings import grouped
from itk_roundtrip.verify.pairing import BY_REGION
from itk_roundtrip.words import counted, posix

if TYPE_CHECKING:
    from itk_roundtrip.archives.result import ArchiveResult
    from itk_roundtrip.errors import VerificationError
    from itk_roundtrip.losses import LossTable
    from itk_roundtrip.pipeline import Quantisation, RoundtripResult
    from itk_roundtrip.series.find import Instance, Series, SeriesList
    from itk_roundtrip.verify.findings import Change, Finding, Report
    from itk_roundtrip.volume.export import ExportResult

SCHEMA = 1
_SHOWN_SKIPPED = 3
"""Most files left out for one reason that are named."""


def find_document(series_list: SeriesList, directory: Path, chosen: Series | None = None) -> dict[str, Any]:
    """Return the JSON document of `find`: the series of a folder, or the chosen one, and the files left out."""
    return {
        "schema": SCHEMA,
        "directory": posix(directory),
        "series": [
            {"number": number, **_series_document(series)}
            for number, series in enumerate(series_list, 1)
            if chosen is None or series is chosen
        ],
        "skipped": [{"file": file.name, "reason": file.reason} for file in series_list.skipped],
    }


def _series_document(series: Series) -> dict[str, Any]:
    """Return the JSON document of a series, within that of `find`."""
    first, geometry = series.instances[0], series.geometry
    return {
        "series_instance_uid": series.series_instance_uid,
        "study_instance_uid": first.study_instance_uid,
        "modality": series.modality,
        "series_number": first.series_number,
        "series_description": series.description,
        "series_date": series.date,
        "folder": series.folder,
        "copies": series.copies,
        "slices": len(series.instances),
        "frames": sum(instance.frames for instance in series.instances),
        "volumes": [
            {
                "label": shown_label(volume.label),
                "files": [instance.name for instance in volume.instances],
                **({"frames": volume.frames} if any(instance.frames > 1 for instance in volume.instances) else {}),
            }
            for volume in series.volumes
        ],
        "separated_by": series.separated_by,
        "columns": first.columns,
        "rows": first.rows,
        "pixel_spacing_mm": first.pixel_spacing,
        "slice_spacing_mm": series.slice_spacing_mm,
        "positions": geometry.positions if geometry else None,
        "orientation": plane_name(first.image_orientation_patient) if first.image_orientation_patient else None,
        "image_orientation_patient": first.image_orientation_patient,
        "photometric_interpretation": first.photometric_interpretation,
        "bits_allocated": first.bits_allocated,
        "bits_stored": first.bits_stored,
        "pixel_representation": first.pixel_representation,
        "transfer_syntax_uids": sorted({instance.transfer_syntax_uid for instance in series.instances}),
        "slopes_vary": series.slopes_vary,
        "irregularities": [asdict(irregularity) for irregularity in series.irregularities],
        "files": [instance.name for instance in series.instances],
    }


class _Column(NamedTuple):
    """A column of the table of `find`.

    Attributes
    ----------
    title, cell
        Its title, and the text of a series in it; the number of the series is passed too.
    least
        Characters that are enough for its cells, the rest is cut off; 0 if they must be whole.
    tail
        The ends of its texts are kept, not their beginnings.
    rank
        The columns of the highest rank are left out first where the width does not do; those of rank 0 never are.
    right
        Its texts stand on the right.
    """

    title: str
    cell: Callable[[int, Series], str]
    least: int = 0
    rank: int = 0
    right: bool = False
    tail: bool = False


_FIND_COLUMNS = (
    _Column("#", lambda number, _: str(number), right=True),
    _Column("Folder", lambda _, series: series.folder, least=12, rank=2, tail=True),
    _Column("Mod.", lambda _, series: series.modality),
    _Column("No.", lambda _, series: series.instances[0].series_number, rank=6, right=True),
    _Column("Description", lambda _, series: series.description, least=14),
    _Column("Date", lambda _, series: _date(series), rank=5),
    _Column("Slices", lambda _, series: str(len(series.slices)), right=True),
    _Column("Vol.", lambda _, series: _volume_count(series), rank=1, right=True),
    _Column("Size", lambda _, series: _size(series), rank=1),
    _Column("Spacing mm", lambda _, series: _spacing(series, "x", 3), rank=3),
    _Column("Plane", lambda _, series: _plane(series), rank=4),
    _Column("Irregular", lambda _, series: ", ".join(dict.fromkeys(_words(series))), least=15),
)
_GAP = 2
"""Blanks between two columns."""


class SeriesTable:
    """The table of `find`: a line for each series, in the width that there is."""

    def __init__(self, series_list: Sequence[Series]) -> None:
        texts = [[column.cell(*numbered) for numbered in enumerate(series_list, 1)] for column in _FIND_COLUMNS]
        # A column that says nothing of any series is left out.
        self._cells = {
            column: list(map(printable, cells))
            for column, cells in zip(_FIND_COLUMNS, texts, strict=True)
            if any(cell not in ("", "-", ".") for cell in cells)
        }

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(box=None, pad_edge=False, header_style="bold")
        widths = self._widths(options.max_width)
        for column, width in widths.items():
            justify: Literal["left", "right"] = "right" if column.right else "left"
            table.add_column(column.title, justify=justify, width=width, no_wrap=True, overflow="ellipsis")
        for row in zip(*(self._cells[column] for column in widths), strict=True):
            texts = (_cut(column, text, widths[column]) for column, text in zip(widths, row, strict=True))
            table.add_row(*map(Text, texts))
        yield table

    def _widths(self, width: int) -> dict[_Column, int]:
        """Return the columns that are shown, with their widths."""
        whole = {column: max(map(cell_len, (column.title, *cells))) for column, cells in self._cells.items()}
        least = {column: min(whole[column], column.least or whole[column]) for column in whole}
        while sum(least.values()) + _GAP * (len(least) - 1) > width:
            first = max(least, key=lambda column: column.rank)
            if not first.rank:
                break
            del least[first]
        free = width - sum(least.values()) - _GAP * (len(least) - 1)
        while free > 0 and (cut := [column for column in least if least[column] < whole[column]]):
            for column in cut[:free]:
                least[column] += 1
            free -= len(cut)
        return least


def _cut(column: _Column, text: str, width: int) -> str:
    """Return a text without its beginning, if its end matters more and there is no room for all of it."""
    if not column.tail or cell_len(text) <= width:
        return text
    while cell_len(text) >= width:
        text = text[1:]
    return f"…{text}"


def find_table(series_list: SeriesList) -> RenderableType:
    """Return the table of `find`: a line for each series, then the files left out, by reason."""
    parts: list[RenderableType] = [Text("No DICOM series.")]
    if series_list:
        files = sum(len(series.instances) for series in series_list)
        what = f"{counted(len(series_list), 'series', 'series')}, {counted(files, 'file')}"
        parts = [SeriesTable(series_list), Text(""), Text(f"{what}; --details N shows one whole.")]
    by_reason: dict[str, list[str]] = {}
    for file in series_list.skipped:
        reason = "the same as another file, byte for byte" if file.duplicate_of else file.reason
        by_reason.setdefault(reason, []).append(file.name)
    if by_reason:
        parts.append(Text(f"{counted(len(series_list.skipped), 'file')} left out; --json names all:"))
    for reason, names in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        text = printable(f"{len(names):>6}  {reason}: {_first(names, _SHOWN_SKIPPED)}")
        parts.append(Text(text, no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


def series_table(number: int | None, series: Series) -> RenderableType:
    """Return all that `find` knows of one series: formats, volumes, and every irregularity with its files.

    Its number in the list is left out if it is not known.
    """
    first = series.instances[0]
    table = Table.grid(padding=(0, 2))
    cosines = first.image_orientation_patient
    count = f"{counted(len(series.instances), 'file')}, {counted(len(series.slices), 'slice')}"
    named = f"{number}: " if number is not None else ""
    for title, text in (
        ("series", f"{named}{series.series_instance_uid or '(no Series Instance UID)'}"),
        ("study", first.study_instance_uid or "(no Study Instance UID)"),
        ("folder", series.folder),
        ("copies in", ", ".join(series.copies)),
        ("modality", f"{series.modality}, {syntaxes.name(first.sop_class_uid)}"),
        ("number", first.series_number),
        ("description", series.description),
        ("date", _date(series)),
        ("files", f"{count}, from {first.name} to {series.instances[-1].name}"),
        ("size", _size(series)),
        ("spacing", f"{_spacing(series)} mm"),
        ("plane", f"{_plane(series)} ({', '.join(f'{cosine:.4g}' for cosine in cosines)})" if cosines else "-"),
        ("pixels", _by_count(map(_pixels, series.instances))),
        ("rescaling", "slope or intercept vary between slices" if series.slopes_vary and series.has_pixels else ""),
        ("encoding", _by_count(map(_syntax, series.instances))),
    ):
        if text:
            table.add_row(title, Text(printable(text)))
    if len(series.volumes) > 1:
        table.add_row("volumes", Text(f"{len(series.volumes)}, told apart by {series.separated_by}"))
        for index, volume in enumerate(series.volumes):
            label = f"{index}: {shown_label(volume.label)}, {counted(len(volume.slices), 'slice')}"
            table.add_row("", Text(printable(label)))
    for irregularity in series.irregularities:
        files = f": {', '.join(dict.fromkeys(irregularity.files))}" if irregularity.files else ""
        table.add_row("irregular", Text(printable(f"{irregularity.kind}: {irregularity.message}{files}")))
    return table


def _first(names: Sequence[str], count: int) -> str:
    """Return the first few of some names, and how many more there are."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def _by_count(texts: Iterable[str]) -> str:
    """Return different texts, the commonest first, with their counts where there are several."""
    counts = Counter(texts).most_common()
    return "; ".join(f"{text} ({counted(count, 'file')})" if len(counts) > 1 else text for text, count in counts)


def _words(series: Series) -> Iterator[str]:
    """Yield the irregularities of a series in a word each; that it has frames or volumes is in other columns."""
    if not series.has_pixels:
        yield "no pixels"
        return
    for irregularity in series.irregularities:
        if irregularity.kind not in ("multi-frame", "several-volumes"):
            yield irregularity.kind


def _volume_count(series: Series) -> str:
    return str(len(series.volumes)) if len(series.volumes) > 1 and series.has_pixels else ""


def _date(series: Series) -> str:
    return f"{series.date[:4]}-{series.date[4:6]}-{series.date[6:]}" if series.date else ""


def _size(series: Series) -> str:
    """Return columns and rows of the first instance of a series; ``-`` without pixels."""
    first = series.instances[0]
    return f"{first.columns}x{first.rows}" if first.rows else "-"


def _plane(series: Series) -> str:
    """Return the plane of the first slice of a series; ``-`` without orientation."""
    orientation = series.instances[0].image_orientation_patient
    return plane_name(orientation) if orientation else "-"


def _spacing(series: Series, times: str = " x ", digits: int = 4) -> str:
    """Return the spacing of columns, rows and slices in mm; ``-`` where it is unknown."""
    spacing, between = series.instances[0].pixel_spacing, series.slice_spacing_mm
    if spacing is None:
        return "-"
    return times.join("-" if step is None else f"{step:.{digits}g}" for step in (spacing[1], spacing[0], between))


def _pixels(instance: Instance) -> str:
    """Return the pixel format of an instance: Photometric Interpretation, Bits Stored and Allocated, sign."""
    if not instance.pixel_data:
        return "none"
    sign = "signed" if instance.pixel_representation else "unsigned"
    return f"{instance.photometric_interpretation} {instance.bits_stored}/{instance.bits_allocated} {sign}"


_SHORT_NAMES = {
    uid.ImplicitVRLittleEndian: "Implicit LE",
    uid.ExplicitVRLittleEndian: "Explicit LE",
    uid.DeflatedExplicitVRLittleEndian: "Deflated",
    uid.ExplicitVRBigEndian: "Explicit BE",
    uid.RLELossless: "RLE",
    uid.JPEGLossless: "JPEG lossless",
    uid.JPEGLosslessSV1: "JPEG lossless",
    uid.JPEGLSLossless: "JPEG-LS",
    uid.JPEG2000Lossless: "JPEG 2000 lossless",
}


def _syntax(instance: Instance) -> str:
    """Return a short name of the transfer syntax of an instance."""
    syntax = uid.UID(instance.transfer_syntax_uid)
    return _SHORT_NAMES.get(syntax) or syntaxes.name(syntax) or "unknown"


def run_document(result: RoundtripResult) -> dict[str, Any]:
    """Return the JSON document of `run`."""
    document = asdict(replace(result, report=None))
    del document["report"]
    findings = [asdict(finding) for finding in result.findings]
    return {"schema": SCHEMA, **document, "findings": findings, "restored": result.restored}


def archive_document(result: ArchiveResult) -> dict[str, Any]:
    """Return the JSON document of `archive`."""
    return {"schema": SCHEMA, **asdict(result), "counts": result.counts}


_SHOWN_SERIES = 40
"""Most series that the table of an archive shows if all are done; of the others, most that it shows."""


def archive_table(result: ArchiveResult) -> RenderableType:
    """Return the table of `archive`: its series, of many only those that are not done, and the counts."""
    shown = [series for series in result.series if series.verdict in NOT_DONE]
    if len(result.series) <= _SHOWN_SERIES or result.dry_run:
        shown = list(result.series)
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column("Series", no_wrap=True)
    for title in ("Verdict", "Slices", "Note"):
        table.add_column(title, justify="right" if title == "Slices" else "left", overflow="fold")
    for series in shown[:_SHOWN_SERIES]:
        note = series.reason or " ".join(series.warnings)
        verdict = Text(series.verdict, style="bold red" if series.verdict in NOT_DONE else "")
        name = series.output or f"{series.modality or 'no modality'} in {series.source}"
        table.add_row(Text(printable(name)), verdict, str(series.slices), Text(printable(note)))
    parts: list[RenderableType] = [table, Text("")] if shown else []
    if len(shown) > _SHOWN_SERIES:
        parts.append(Text(f"{len(shown) - _SHOWN_SERIES} more; --json names all."))
    counts = ", ".join(f"{count} {verdict}" for verdict, count in result.counts.items())
    files = sum(series.files for series in result.series)
    what = f"{counted(len(result.series), 'series', 'series')}, {counted(files, 'file')}: {counts}"
    parts.append(Text(f"{what}; nothing was written" if result.dry_run else what))
    if result.skipped:
        parts.append(Text(f"{counted(sum(result.skipped.values()), 'file')} belong to no series:"))
    parts += [Text(printable(f"{count:>6}  {reason}")) for reason, count in result.skipped.items()]
    return Group(*parts)


def export_document(result: ExportResult) -> dict[str, Any]:
    """Return the JSON document of `export`."""
    return {"schema": SCHEMA, **asdict(result)}


def export_table(result: ExportResult) -> RenderableType:
    """Return the table of `export`: what was written, and where it lies."""
    size = " x ".join(map(str, result.size_xyz))
    spacing = " x ".join(f"{step:.4g}" for step in result.spacing_xyz)
    table = Table.grid(padding=(0, 2))
    table.add_row("written", Text(f"volume {result.volume} as {result.format}: {result.written}"))
    table.add_row("verified", "the file read again: pixels and geometry are those of the volume")
    table.add_row("pixels", f"{size}, real-world values as {result.pixel_type}")
    table.add_row("spacing", f"{spacing} mm; corners off by at most {result.geometry_error_mm:.1g} mm")
    table.add_row("series", Text(result.series_instance_uid or "(no Series Instance UID)"))
    return table


def verify_document(report: Report) -> dict[str, Any]:
    """Return the JSON document of `verify`."""
    return {
        "schema": SCHEMA,
        "verdict": report.verdict,
        "source": report.source,
        "written": report.written,
        "identity": report.identity,
        "identity_guessed": report.identity_guessed,
        "source_series_instance_uid": report.source_series_instance_uid,
        "series_instance_uid": report.series_instance_uid,
        "source_slices": report.source_slices,
        "slices": report.slices,
        "outcomes": report.outcomes(),
        "decoders": report.decoders,
        "warnings": report.warnings,
        "findings": [asdict(finding) for finding in report.findings],
        "changes": [asdict(change) for change in report.changes],
        "pairs": [_finite(asdict(pair)) for pair in report.pairs],
    }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """Return values with ``None`` for NaN and infinity, which JSON does not know."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()
    }


_SHOWN_ROWS = 30
_SHOWN_ATTRIBUTES = 6
_NOTED = ("VAL-01", "PIX-02")
"""Checks whose infos say what was not checked."""
_STYLES = {"error": "bold red", "warning": "yellow", "info": "dim"}


def verify_table(report: Report, *, show_values: bool = False) -> RenderableType:
    """Return the table of `verify`: verdict, summary of slices, pixels and attributes, findings, the gravest first.

    Old and new values of the attributes that were not kept follow where they are asked for.
    """
    counts = Counter(finding.severity for finding in report.findings)
    summary = Table.grid(padding=(0, 2))
    amounts = ", ".join(counted(counts[severity], severity) for severity in ("error", "warning"))
    style = "bold red" if report.verdict == "fail" else "bold green"
    summary.add_row("verdict", Text(f"{report.verdict.upper()}: {amounts}", style=style))
    guessed = " (guessed from the files)" if report.identity_guessed else ""
    summary.add_row("judged as", Text(f"{report.identity}{guessed}"))
    by = Counter(pair.by for pair in report.pairs)
    ways = ", ".join(f"{count} paired{f' by {way}' if way else ''}" for way, count in by.most_common()) or "none paired"
    summary.add_row("slices", Text(f"{report.source_slices} in the source, {report.slices} written, {ways}"))
    summary.add_row("pixels", Text(_pixel_summary(report)))
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in report.outcomes().items())
    summary.add_row("attributes", Text(outcomes or "none compared"))
    parts: list[RenderableType] = [summary]
    rows = grouped(finding for finding in report.findings if finding.severity != "info" or finding.inherited)
    if rows:
        parts += [Text(""), _finding_table(rows[:_SHOWN_ROWS])]
    if len(rows) > _SHOWN_ROWS:
        parts.append(Text(f"and {len(rows) - _SHOWN_ROWS} more; all of them with --json or --html"))
    parts += [
        Text(f"{finding.check} {finding.message}")
        for finding in report.findings
        if finding.check in _NOTED and finding.severity == "info" and not finding.inherited
    ]
    if show_values and (changes := [change for change in report.changes if change.outcome != "kept"]):
        parts += [Text(""), _change_table(changes)]
    return Group(*parts)


def _change_table(changes: Sequence[Change]) -> Table:
    """Return the table of attributes that were not kept, with the values in the first slice that has them."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Outcome", "Attribute", "Slices", "Old -> new"):
        table.add_column(title, justify="right" if title == "Slices" else "left", overflow="fold")
    for change in changes:
        old, new = ("(none)" if value is None else value for value in (change.old, change.new))
        table.add_row(
            change.outcome,
            Text(printable(change.path if change.tag in change.path else f"{change.path} {change.tag}")),
            str(change.slices),
            Text(printable(f"{old} -> {new}")),
        )
    return table


def _pixel_summary(report: Report) -> str:
    """Return in words how many stored values differ, by how much, and how many slices were not compared."""
    compared = [pair for pair in report.pairs if pair.pixels]
    if any(pair.by == BY_REGION for pair in report.pairs):
        total = sum(pair.pixels for pair in compared)
        return f"{total} stored values in {counted(len(compared), 'slice')} on another grid than the source"
    changed = [pair for pair in compared if pair.changed or pair.largest_real]
    if not compared:
        return "none compared"
    left = len(report.pairs) - len(compared)
    left_out = f"; {counted(left, 'slice')} not compared" if left else ""
    total = sum(pair.pixels for pair in compared)
    undecoded = sum(not pair.sha256 for pair in compared)
    unread = f", {undecoded} of them by their compressed bytes, not decoded" if undecoded else ""
    if not changed:
        return f"all {total} stored values equal in {counted(len(compared), 'slice')}{unread}{left_out}"
    count = sum(pair.changed for pair in changed)
    largest, real = max(pair.largest for pair in changed), max(pair.largest_real for pair in changed)
    return (
        f"{count} of {total} stored values differ, in {counted(len(changed), 'slice')}, by at most {largest:g}"
        f" ({real:g} in real-world values){left_out}"
    )


def printable(text: str) -> str:
    """Return a text with its control characters escaped: a file name may hold any."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def _finding_table(rows: Sequence[tuple[str, Sequence[Finding]]]) -> Table:
    """Return the table of findings: a row for each group with the same message."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("", "Check", "What", "Slices", "Attributes"):
        table.add_column(title, justify="right" if title == "Slices" else "left", overflow="fold")
    for message, group in rows:
        first = group[0]
        names = list(dict.fromkeys(finding.path or finding.tag for finding in group if finding.path or finding.tag))
        more = f" and {len(names) - _SHOWN_ATTRIBUTES} more" if len(names) > _SHOWN_ATTRIBUTES else ""
        where = f"(first {first.slice})" if first.slice and first.slice not in first.message else ""
        table.add_row(
            Text(first.severity, style=_STYLES[first.severity]),
            first.check,
            Text(printable(message)),
            str(max(finding.count for finding in group)),
            Text(printable(f"{', '.join(map(str, names[:_SHOWN_ATTRIBUTES]))}{more} {where}".strip())),
        )
    return table


def failure_document(error: VerificationError) -> dict[str, Any]:
    """Return the JSON document of a `run` that published nothing: the findings of its verification."""
    return {"schema": SCHEMA, "verdict": "fail", "findings": [asdict(finding) for finding in error.findings]}


def _quantised(quantisation: Quantisation) -> str:
    """Return in words what became of processed values."""
    parts = [f"max error {quantisation.max_error:g}, bound {quantisation.bound:g}"]
    for count, what in (
        (quantisation.clipped, "clipped"),
        (quantisation.padded, "of padding kept"),
        (quantisation.filled, "without a finite number written as padding"),
        (quantisation.moved, "moved off the padding"),
    ):
        if count:
            parts.append(f"{count} {what}")
    changed = f"{counted(quantisation.changed, 'stored value')} changed" if quantisation.changed else UNCHANGED
    return "; ".join([changed, ", ".join(parts)])


def run_table(result: RoundtripResult) -> RenderableType:
    """Return the table of `run`: what was written, how, and what ITK lost, altered and invented."""
    verified = result.verdict == "pass"
    table = Table.grid(padding=(0, 2))
    table.add_row("written", Text(f"{counted(result.slices, 'slice')}, identity {result.identity}: {result.written}"))
    if verified:
        table.add_row("verified", "every file read again: stored values, attributes and UIDs are what they must be")
    else:
        table.add_row("verified", "no: this is what ITK alone writes")
    carrier = {"itk": "ITK", "simpleitk": "SimpleITK"}[result.backend]
    through = f"through {carrier} as {result.pixel_type}" if result.pixel_type else "as they stand in the source"
    table.add_row("pixels", f"{through} ({result.path}), ordered by {result.order}")
    for reason in result.path_reasons:
        table.add_row("", Text(f"kept from the source: {reason}"))
    if result.quantisation is not None:
        table.add_row("values", _quantised(result.quantisation))
    if result.set:
        table.add_row("set by you", Text(printable(", ".join(result.set))))
    if verified:
        restored = sum(result.lost.values()) + sum(result.altered.values())
        table.add_row(
            "kept", f"{counted(result.kept, 'element')} as they stood, {restored} of them lost or altered by ITK"
        )
    losses = (("lost by ITK", result.lost), ("altered by ITK", result.altered), ("invented by ITK", result.invented))
    for title, counts in losses:
        if counts:
            note = "" if not verified else ", taken out" if title.startswith("invented") else ", restored"
            table.add_row(title, Text(_attributes(counts, note)))
    if result.replaced:
        table.add_row("set by rule", Text(_attributes(result.replaced, "")))
    if result.removed:
        table.add_row("removed by rule", Text(_attributes(result.removed, "")))
    table.add_row("series", Text(result.series_instance_uid or "(no Series Instance UID)"))
    return table


def _attributes(counts: Mapping[str, int], note: str) -> str:
    """Return in words how many elements there are, and the keywords of the first few."""
    names = [_keyword(tag) for tag in counts]
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return f"{counted(sum(counts.values()), 'element')}{note} ({shown})"


def _keyword(tag: str) -> str:
    """Return the keyword of a tag given as ``(gggg,eeee)``, or the tag if it has none."""
    return datadict.keyword_for_tag(int(tag[1:5] + tag[6:10], 16)) or tag


def losses_document(table: LossTable) -> dict[str, Any]:
    """Return the JSON document of `losses`."""
    return {"schema": SCHEMA, **asdict(table)}


def losses_table(table: LossTable) -> RenderableType:
    """Return the table of `losses`: a block for each program, with its attributes by outcome and kind."""
    from itk_roundtrip.losses import as_lines

    grid = Table.grid(padding=(0, 2))
    grid.add_row("series", Text(f"{counted(table.slices, 'slice')}: {table.source}"))
    grid.add_row("programs", Text(str(table.versions)))
    for row in table.rows:
        grid.add_row()
        grid.add_row(Text("program"), Text(row.idiom, style="bold"))
        for title, text in as_lines(row, table.slices):
            grid.add_row(Text(title, style="" if row.state == "written" else "bold red"), Text(text))
    return grid
