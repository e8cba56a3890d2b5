"""Results of the commands as tables for people and as JSON documents for machines. Nothing is computed here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom import datadict, uid
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from itk_roundtrip import syntaxes
from itk_roundtrip.dicom.privacy import shown_label
from itk_roundtrip.rules import UNCHANGED
from itk_roundtrip.series.geometry import plane_name
from itk_roundtrip.verify.findings import grouped
from itk_roundtrip.verify.pairing import BY_REGION
from itk_roundtrip.words import counted, posix

if TYPE_CHECKING:
    from itk_roundtrip.errors import VerificationError
    from itk_roundtrip.losses import LossTable
    from itk_roundtrip.pipeline import Quantisation, RoundtripResult
    from itk_roundtrip.series.find import Instance, Series, SeriesList
    from itk_roundtrip.verify.findings import Finding, Report
    from itk_roundtrip.volume.export import ExportResult

SCHEMA = 1
_SHOWN_FILES = 5
"""Most files of an irregularity that are named."""
_SHOWN_SKIPPED = 20
"""Most files left out that are named."""


def find_document(series_list: SeriesList, directory: Path) -> dict[str, Any]:
    """Return the JSON document of `find`: the series of a folder and the files left out."""
    return {
        "schema": SCHEMA,
        "directory": posix(directory),
        "series": [_series_document(series) for series in series_list],
        "skipped": [{"file": file.name, "reason": file.reason} for file in series_list.skipped],
    }


def _series_document(series: Series) -> dict[str, Any]:
    """Return the JSON document of a series, within that of `find`."""
    first, geometry = series.instances[0], series.geometry
    return {
        "series_instance_uid": series.series_instance_uid,
        "study_instance_uid": first.study_instance_uid,
        "modality": series.modality,
        "series_description": series.description,
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


def find_table(series_list: SeriesList) -> RenderableType:
    """Return the table of `find`: a row for each series, its irregularities, and the files left out."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    frames = any(instance.frames > 1 for series in series_list for instance in series.instances)
    volumes = any(len(series.volumes) > 1 for series in series_list)
    extra = (*(["Frames"] if frames else []), *(["Volumes"] if volumes else []))
    titles = ("#", "Mod.", "Description", "Slices", *extra, "Size", "Spacing mm", "Plane", "Pixels", "Transfer syntax")
    for title in titles:
        table.add_column(title, justify="right" if title in ("#", "Slices", "Frames") else "left")
    notes: list[Text] = []
    for number, series in enumerate(series_list, 1):
        first = series.instances[0]
        table.add_row(
            str(number),
            Text(series.modality),
            Text(series.description),
            str(len(series.instances)),
            *([str(sum(instance.frames for instance in series.instances))] if frames else []),
            *([Text(_volumes(series))] if volumes else []),
            f"{first.columns}x{first.rows}" if first.rows else "-",
            _spacing(series),
            plane_name(first.image_orientation_patient) if first.image_orientation_patient else "-",
            _pixels(first) + (", slopes vary" if series.slopes_vary and series.has_pixels else ""),
            ", ".join(sorted({_syntax(instance) for instance in series.instances})),
        )
        notes += _series_notes(number, series)
    parts: list[RenderableType] = [table, Text(""), *notes] if len(series_list) else [Text("No DICOM series.")]
    skipped = series_list.skipped
    if skipped:
        parts += [Text(""), Text(f"{counted(len(skipped), 'file')} left out:")]
        parts += [Text(f"   {file.name}: {file.reason}") for file in skipped[:_SHOWN_SKIPPED]]
        if len(skipped) > _SHOWN_SKIPPED:
            parts.append(Text(f"   and {len(skipped) - _SHOWN_SKIPPED} more (all of them with --json)"))
    return Group(*parts)


def _series_notes(number: int, series: Series) -> list[Text]:
    """Return what stands below the table of a series: its UID and its irregularities, with the first files of each."""
    notes = [Text(f"{number}  {series.series_instance_uid or '(no Series Instance UID)'}")]
    for irregularity in series.irregularities:
        files = ", ".join(irregularity.files[:_SHOWN_FILES])
        more = len(irregularity.files) - _SHOWN_FILES
        shown = f": {files}" + (f" and {more} more" if more > 0 else "") if files else ""
        notes.append(Text(f"   {irregularity.message}{shown}"))
    return notes


def _volumes(series: Series) -> str:
    """Return the number of volumes of a series, and what separates them."""
    return f"{len(series.volumes)} by {series.separated_by}" if len(series.volumes) > 1 else "1"


def _spacing(series: Series) -> str:
    """Return the spacing of columns, rows and slices in mm; ``-`` where it is unknown."""
    spacing, between = series.instances[0].pixel_spacing, series.slice_spacing_mm
    if spacing is None:
        return "-"
    along = f"{between:.4g}" if between is not None else "-"
    return f"{spacing[1]:.4g} x {spacing[0]:.4g} x {along}"


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


def verify_table(report: Report) -> RenderableType:
    """Return the table of `verify`: verdict, summary of slices, pixels and attributes, then findings by check."""
    counts = Counter(finding.severity for finding in report.findings)
    summary = Table.grid(padding=(0, 2))
    amounts = ", ".join(counted(counts[severity], severity) for severity in ("error", "warning"))
    style = "bold red" if report.verdict == "fail" else "bold green"
    summary.add_row("verdict", Text(f"{report.verdict.upper()}: {amounts}", style=style))
    guessed = " (guessed from the files)" if report.identity_guessed else ""
    summary.add_row("judged as", Text(f"{report.identity}{guessed}"))
    by = Counter(pair.by for pair in report.pairs)
    ways = ", ".join(f"{count} paired by {way}" for way, count in by.most_common()) or "none paired"
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
    return Group(*parts)


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
