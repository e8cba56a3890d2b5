"""Page of a verification: an HTML file for people that loads nothing from anywhere. Nothing is judged here."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import date
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword

from itk_roundtrip import __version__, tags
from itk_roundtrip.processes import Workers
from itk_roundtrip.show.figures import Folders, draw, positions, short
from itk_roundtrip.verify.checks import CHECKS
from itk_roundtrip.verify.findings import (
    KINDS,
    Change,
    Finding,
    Report,
    Severity,
    SlicePair,
    first_error,
    gravity,
    grouped,
)
from itk_roundtrip.versions import versions
from itk_roundtrip.words import counted

_SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

_SHOWN_ATTRIBUTES = 3
"""Most attributes of a group of findings that are shown; the others are folded."""
_ABSOLUTE = re.compile(r"(?<![\w.])/(?:[^\s/]+/)+")
_UID_OR_FILE = re.compile(
    # Four numbers make a UID; behind letters it takes six, as C.7.6.1.1 is a section of the standard.
    r"(?P<uid>(?<![\w.])\d+(?:\.\d+){3,}|\d+(?:\.\d+){5,}|2\.25\.\d+)|[^\s/\"'(]+\.(?:dcm|dicom|ima|img)\b",
    re.IGNORECASE,
)


def write_page(
    report: Report,
    source: Path,
    written: Path,
    file: Path,
    *,
    pictures: bool,
    show_values: bool,
    workers: Workers | None = None,
) -> None:
    """Write the page of a verification, as a whole or not at all.

    Parameters
    ----------
    report
        Result of the verification.
    source, written
        Folders of the source and of the written files, from which pictures and differences are drawn.
    file
        Where to write the page.
    pictures
        Show the pictures even if the source says that they hold burned-in annotation.
    show_values
        Show file names, folder names, UIDs and series descriptions.
    workers
        Draw the pictures; one that is started for them, if not given.

    Raises
    ------
    OSError
        The page cannot be written.
    """
    template = files("itk_roundtrip.show").joinpath("page.html").read_text("utf-8")
    script = template.partition("<script>")[2].partition("</script>")[0]
    folders = (source, written)
    names = _Names(report, folders, show_values)
    labels = [names.pair(number, pair) for number, pair in enumerate(report.pairs, 1)]
    drawn, histogram = _drawn(report.pairs, folders, labels, pictures, workers)
    page = Template(template).substitute(
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **_summary(report, names, folders),
        **_findings(report.findings, names),
        **_changes(report.changes, names),
        pictures=drawn,
        histogram=histogram,
        positions=positions(report.pairs, labels),
        pair_count=len(report.pairs),
        pair_rows="\n".join(_pair_row(number, pair, names) for number, pair in enumerate(report.pairs, 1)),
    )
    write_whole(page, file)


def without_names(text: str) -> str:
    """Return a message without absolute paths, UIDs, and names that end as those of images do."""
    return _UID_OR_FILE.sub(lambda match: "[UID]" if match["uid"] else "a file", _ABSOLUTE.sub("", text))


def write_whole(page: str, file: Path) -> None:
    """Write a page as a whole or not at all."""
    content = page.encode("utf-8", "replace")  # file names may hold bytes that are no text
    file = Path(os.path.realpath(file))
    if file.exists() and not file.is_file():  # a pipe or a device is written to, not replaced
        file.write_bytes(content)
        return
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def _drawn(
    pairs: Sequence[SlicePair],
    folders: Folders,
    labels: Sequence[tuple[str, str]],
    wanted: bool,
    workers: Workers | None,
) -> tuple[str, str]:
    """Return pictures and histogram as HTML, drawn by a worker: a decoder may end the process that it runs in."""
    with nullcontext(workers) if workers else Workers(1, prepare="itk_roundtrip.show.figures") as pool:
        outcome = pool.call(draw, pairs, folders, labels, wanted)
    none = "<p>None: the pixel data of a file end the process that decodes them.</p>"
    return (none, none) if outcome.crashed else outcome.value


class _Names:
    """Names of files in the page, and texts and values without what may identify.

    Parameters
    ----------
    report
        Names the files.
    folders
        Their paths are always left out.
    shown
        Leave file names, UIDs and values as they are.
    """

    def __init__(self, report: Report, folders: Folders, shown: bool) -> None:
        self.shown = shown
        paths = {os.path.abspath(folder) for folder in folders} | {report.source, report.written}
        self._folders = sorted((path for path in paths if len(path) > 1 and path[0] == "/"), key=len, reverse=True)
        entries: tuple[Finding | Change, ...] = (*report.findings, *report.changes)
        labels = dict.fromkeys((entry.slice for entry in entries if entry.slice), "a file")
        labels |= {pair.source: f"source slice {number}" for number, pair in enumerate(report.pairs, 1)}
        labels |= {pair.written: f"written slice {number}" for number, pair in enumerate(report.pairs, 1)}
        self._labels = {name.rpartition("/")[2]: label for name, label in labels.items()} | labels
        # A name such as 12 says nothing, and would be found in every text with a number.
        spelled = sorted((name for name in self._labels if not re.fullmatch(r"\d{1,4}", name)), key=len, reverse=True)
        self._file_names = re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, spelled)) or '(?!)'})(?![\w-]|\.\w)")

    def pair(self, number: int, pair: SlicePair) -> tuple[str, str]:
        """Return the names of the source and of the written file of a pair."""
        return (pair.source, pair.written) if self.shown else (f"source slice {number}", f"written slice {number}")

    def file(self, name: str | None) -> str:
        """Return the name of the file of a finding or a change; empty for the whole series."""
        return name or "" if self.shown or not name else self._labels[name]

    def text(self, text: str) -> str:
        """Return a message without absolute paths and, unless they are shown, without file names and UIDs."""
        for folder in self._folders:
            text = text.replace(f"{folder}/", "").replace(folder, "the folder")
        text = _ABSOLUTE.sub("", text)
        if self.shown:
            return text
        text = self._file_names.sub(lambda match: self._labels[match[0]], text)
        return _UID_OR_FILE.sub(lambda match: "[UID]" if match["uid"] else "a file", text)

    def values(self, change: Change) -> str:
        """Return the old and the new value of an attribute; ``hidden`` for a value that must not be shown."""

        def side(value: str | None, absent: bool) -> str:
            if value is None:
                return "hidden" if change.hidden and not absent else "(none)"
            return value if self.shown else "hidden" if _identifies(change) else self.text(value)

        if change.old is None and change.new is None:
            return "hidden" if change.hidden else ""
        old = side(change.old, change.outcome == "added")
        new = side(change.new, change.outcome in ("lost", "removed by rule"))
        return old if change.outcome == "kept" or old == new == "hidden" else f"{old} → {new}"


def _identifies(change: Change) -> bool:
    """Tell whether an attribute is a UID or a description of the series."""
    leaf = re.search(r"(\w*)(?:\[\d+\])?$", change.path)
    tag = tag_for_keyword(leaf[1]) if leaf else None
    tag = int(change.tag[1:5] + change.tag[6:10], 16) if tag is None else tag
    return tag == tags.SERIES_DESCRIPTION or (dictionary_has_tag(tag) and dictionary_VR(tag) == "UI")


def _summary(report: Report, names: _Names, folders: Folders) -> dict[str, str]:
    """Return what stands at the head of the page, by placeholder: verdict, gravest error, counts and facts."""
    first = first_error(report.findings)
    severities = Counter(finding.severity for finding in report.findings)
    facts = _facts(report, names, folders)
    return {
        "title": f"{report.verdict.upper()}: verification of {counted(report.slices, 'slice')} - itk-roundtrip",
        "verdict": report.verdict,
        "verdict_icon": _icon("pass" if report.verdict == "pass" else "error"),
        "verdict_word": report.verdict.upper(),
        "headline": escape(_headline(first, names) if first else "no error was found"),
        "counts": "".join(
            f"<li>{_icon(severity)} {counted(severities[severity], severity)}</li>" for severity in _SEVERITIES
        ),
        "facts": "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts.items() if text),
        "privacy": "This page shows names and values that may identify: treat it as you treat the images."
        if names.shown
        else "File names, folders, UIDs and series descriptions are left out; --show-values shows them.",
        "version": __version__,
    }


def _facts(report: Report, names: _Names, folders: Folders) -> dict[str, str]:
    """Return what was compared, how it was paired and what became of values and attributes, by title."""
    pairs = report.pairs
    unread = sum(pair.pixels == 0 for pair in pairs)
    changed = sum(pair.changed > 0 for pair in pairs if pair.pixels)
    undecoded = sum(pair.pixels > 0 and not pair.sha256 for pair in pairs)
    facts = {
        "Compared": f"{counted(report.slices, 'written slice')} with {counted(report.source_slices, 'source slice')}",
        "Identity": report.identity + (", guessed from the written files" if report.identity_guessed else ""),
        "Paired by": f"{_counted(Counter(pair.by for pair in pairs))}; without counterpart: "
        f"{report.slices - len({pair.written for pair in pairs})} written, "
        f"{report.source_slices - len({pair.source for pair in pairs})} source",
        "Stored values": f"{counted(len(pairs) - changed - unread, 'slice')} equal, {changed} changed, {unread} not"
        f" compared{f'; {undecoded} by their compressed bytes, not decoded' if undecoded else ''}",
        "Attributes": f"{_counted(report.outcomes())}; over all slices",
        "Decoded by": ", ".join(report.decoders),
        "Source folder": counted(len(report.warnings), "warning") if report.warnings else "",
        "Made": f"{date.today().isoformat()}, with "
        + ", ".join(f"{name} {version}" for name, version in versions().items()),
    }
    if names.shown:
        facts["Source folder"] = " ".join(map(names.text, report.warnings))
        facts["Folders"] = " → ".join(os.path.basename(os.path.abspath(folder)) for folder in folders)
        facts["Series"] = f"{report.source_series_instance_uid} → {report.series_instance_uid}"
    return facts


def _headline(finding: Finding, names: _Names) -> str:
    """Return the gravest error in one line: its check, its attribute and its message."""
    attribute = f"{names.text(finding.path or finding.tag or '')} " if finding.path or finding.tag else ""
    return f"{finding.check}: {attribute}{names.text(finding.message)}"


def _findings(findings: Sequence[Finding], names: _Names) -> dict[str, str]:
    """Return the table of findings and its filters, by placeholder."""
    severities = Counter(finding.severity for finding in findings)
    by_kind: dict[str, list[Finding]] = {kind: [] for kind in KINDS}
    for finding in findings:
        by_kind[KINDS[gravity(finding)]].append(finding)
    options = (
        f'<option value="{escape(check)}">{escape(check)} ({count}) {_asked(check)}</option>'
        for check, count in sorted(Counter(finding.check for finding in findings).items())
    )
    return {
        "severity_boxes": "\n".join(
            _box(severity, severities[severity], icon=_icon(severity)) for severity in _SEVERITIES
        ),
        "check_options": "".join(options),
        "finding_rows": "\n".join(_kind_rows(kind, found, names) for kind, found in by_kind.items() if found),
    }


def _kind_rows(kind: str, findings: Sequence[Finding], names: _Names) -> str:
    """Return the rows of the findings of a kind, under its name and their number by severity."""
    severities = Counter(finding.severity for finding in findings)
    counts = ", ".join(counted(severities[severity], severity) for severity in _SEVERITIES if severities[severity])
    rows = (
        _row(
            f"{_icon(first.severity)} {first.severity}",
            f"{escape(first.check)} <small>{_asked(first.check)}</small>",
            escape(names.text(message)) + (" <mark>inherited: the source has it too</mark>" * first.inherited),
            _attributes(group, names),
            str(max(finding.count for finding in group)) if first.slice else "the series",
            escape(names.file(first.slice)),
            kind=first.severity,
            check=first.check,
        )
        for message, group in grouped(findings)
        for first in group[:1]
    )
    head = f'<tr><th colspan="6" scope="rowgroup">{escape(kind)} <small>{counts}</small></th></tr>'
    return f"<tbody>\n{head}\n{chr(10).join(rows)}\n</tbody>"


def _asked(check_id: str) -> str:
    """Return what a check asks, as HTML; empty for an id of another version that this one does not know."""
    return escape(CHECKS[check_id].asks) if check_id in CHECKS else ""


def _changes(changes: Sequence[Change], names: _Names) -> dict[str, str]:
    """Return the table of what became of the attributes and its filters, by placeholder."""
    rows = (
        _row(
            escape(change.outcome),
            _attribute(change, names),
            escape(change.rule),
            escape(change.check),
            f"{change.slices} <small>from {escape(names.file(change.slice))}</small>",
            escape(names.values(change)),
            kind=change.outcome,
        )
        for change in changes
    )
    outcomes = Counter(change.outcome for change in changes)
    checks = sorted({change.check for change in changes})
    return {
        "outcome_boxes": "\n".join(
            _box(outcome, count, checked=outcome != "kept") for outcome, count in outcomes.items()
        ),
        "change_rows": "\n".join(rows),
        "checks": "".join(f"<dt>{escape(check)}</dt><dd>{_asked(check)}</dd>" for check in checks),
    }


def _pair_row(number: int, pair: SlicePair, names: _Names) -> str:
    """Return the row of a pair in the table of slices."""
    places = [short(place) for place in (pair.source_mm, pair.written_mm) if place is not None]
    real = f" ({short(pair.largest_real)} real)" if pair.largest_real != pair.largest else ""
    return _row(
        str(number),
        *map(escape, names.pair(number, pair)),
        escape(pair.by),
        " → ".join(dict.fromkeys(places)),
        f"{pair.changed} of {pair.pixels}" if pair.pixels else "not compared",
        short(pair.largest) + real if pair.pixels else "",
        f"<code>{escape(pair.sha256)}</code>",
        kind="changed" if pair.changed else "equal",
    )


def _attributes(group: Sequence[Finding], names: _Names) -> str:
    """Return the attributes of a group of findings with the same message; those beyond the first few are folded."""
    attributes = list(dict.fromkeys(_attribute(finding, names) for finding in group))
    if len(attributes) == 1:
        return attributes[0]
    head, tail = attributes[:_SHOWN_ATTRIBUTES], attributes[_SHOWN_ATTRIBUTES:]
    more = f"<details><summary>and {len(tail)} more</summary>{'<br>'.join(tail)}</details>" if tail else ""
    return f"<small>{counted(len(attributes), 'attribute')}: </small>{'<br>'.join(head)}{more}"


def _attribute(entry: Finding | Change, names: _Names) -> str:
    """Return path and tag of the attribute of a finding or a change."""
    path, tag = names.text(entry.path or ""), entry.tag or ""
    return escape(path if tag in path else f"{path} {tag}")


def _row(*cells: str, **data: str) -> str:
    """Return a row of a table, with the data that the filters of the page look at."""
    attributes = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
    return f"<tr{attributes}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _box(name: str, count: int, *, checked: bool = True, icon: str = "") -> str:
    """Return the check box of a filter, with the number of rows that it shows."""
    box = f'<input type="checkbox" autocomplete="off" value="{name}"{" checked" * checked}>'
    return f"<label>{box} {icon} {name} ({count})</label>"


def _icon(name: str) -> str:
    """Return an icon that the page defines, by its name."""
    return f'<svg class="icon {name}" aria-hidden="true"><use href="#{name}"/></svg>'


def _counted(counts: Mapping[str, int]) -> str:
    """Return names with their counts in words."""
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
