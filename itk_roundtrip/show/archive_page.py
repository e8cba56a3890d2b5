"""Index page of an archive: an HTML file that links the pages of its series and loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from html import escape
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from itk_roundtrip import __version__
from itk_roundtrip.archives.plan import page_of
from itk_roundtrip.archives.result import NOT_DONE, ArchivedSeries, ArchiveResult
from itk_roundtrip.show.page import without_names, write_whole
from itk_roundtrip.words import counted

_STYLE = ".number { text-align: right; font-variant-numeric: tabular-nums; }"
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<main>
<header class="verdict {verdict}"><h1>{heading}</h1><ul class="counts">{counts}</ul></header>
<p class="quiet">Made on {made} with itk-roundtrip {version}. Names of files and UIDs are left out.</p>
<div class="scroll"><table>
<thead><tr><th scope="col">Series</th><th scope="col">Verdict</th><th scope="col" class="number">Slices</th>
<th scope="col" class="number">Elements kept</th><th scope="col" class="number">Restored</th>
<th scope="col" class="number">Set, removed</th><th scope="col">Notes</th></tr></thead>
<tbody>
{rows}
</tbody>
</table></div>
</main>
</body>
</html>
"""


def write_archive_page(result: ArchiveResult, notes: Sequence[Sequence[str]], file: Path) -> None:
    """Write the index page of an archive, as a whole or not at all.

    Parameters
    ----------
    result, notes
        The archive, and what is said of each of its series, without names of its files.
    file
        Where to write the page.

    Raises
    ------
    OSError
        It cannot be written.
    """
    template = files("itk_roundtrip.show").joinpath("page.html").read_text("utf-8")
    style = template.partition("<style>")[2].partition("</style>")[0]
    failed = [series for series in result.series if series.verdict in NOT_DONE]
    heading = counted(len(result.series), "series", "series")
    heading += f": {len(failed)} not archived" if failed else ", all archived"
    page = _PAGE.format(
        title=escape(heading),
        style=f"{style}\n{_STYLE}",
        verdict=result.verdict,
        heading=escape(heading),
        counts="".join(f"<li>{count} {escape(verdict)}</li>" for verdict, count in result.counts.items()),
        made=date.today().isoformat(),
        version=escape(__version__),
        rows="\n".join(
            _row(number, series, said, file)
            for number, (series, said) in enumerate(zip(result.series, notes, strict=True), 1)
        ),
    )
    write_whole(page, file)


def _row(number: int, series: ArchivedSeries, notes: Sequence[str], file: Path) -> str:
    """Return the row of a series."""
    name = series.output or f"{series.modality or 'series'} {number}"
    page = page_of(file, series.output) if series.output else None
    shown = escape(name)
    if page is not None and page.is_file():
        shown = f'<a href="{quote(page.relative_to(file.parent).as_posix())}">{shown}</a>'
    cells = [
        f"<td>{shown}</td>",
        f"<td>{escape(series.verdict)}</td>",
        *(
            f'<td class="number">{text}</td>'
            for text in (series.slices, series.kept, series.restored, f"{series.set}, {series.removed}")
        ),
        f"<td>{'<br>'.join(escape(without_names(note)) for note in notes)}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"
