"""Results as HTML for notebooks: facts in tables, a slice as a picture, the tables of the command line.

Each is complete in itself, without scripts and style sheets, and legible on light and on dark pages. It tells no more
of a patient than `find` does; a picture is left out where the source says that it holds burned-in annotation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.pixels.processing import convert_color_space
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from itk_roundtrip.show import figures, report
from itk_roundtrip.show.figures import Array
from itk_roundtrip.show.report import printable
from itk_roundtrip.words import counted

if TYPE_CHECKING:
    from itk_roundtrip.pipeline import RoundtripResult
    from itk_roundtrip.series.find import Series, SeriesList, Slice
    from itk_roundtrip.volume.volume import MetaDataDictionary, Volume

_LARGEST = 256
"""Longer side of a picture on the page, in pixels."""
_ALIGNED = "text-align:left;vertical-align:top;padding:2px 12px 2px 0"
_WHOLE = f"{_ALIGNED};white-space:nowrap"
"""Of headers and short texts, which are not broken."""
_CELL = f"{_ALIGNED};white-space:normal;overflow-wrap:anywhere;min-width:12em"
"""Of other texts; a UID must not make a table wider than a narrow window, nor a narrow window slivers of words."""
_SHORT, _LONGEST = 12, 400
"""Most characters of a text that is not broken, and of one that is shown whole."""
_ANY_WIDTH = 10_000
_BADGE = "color:#fff;padding:1px 6px;border-radius:3px;font-weight:bold;white-space:nowrap"
_COLOURS = {"green": "#1b6e35", "red": "#b3261e", "yellow": "#855300"}
"""Grounds of white words: all of a contrast of 5 or more, on whatever page they are."""


def html(value: Any) -> str:
    """Return a result as HTML."""
    return _MAKERS[type(value).__name__](value)


# ----------------------------------------------------------------------------------------- a series and its volumes


def _series(series: Series) -> str:
    """Return what `find` knows of a series, and the middle slice of its first volume."""
    if not series.instances:
        return "<p>A series of no instances.</p>"
    slices = series.volumes[0].slices
    middle = len(slices) // 2
    shown = _picture(middle, len(slices), lambda: _of_file(slices[middle]))
    return _beside(shown, _rendered(report.series_table(None, series)))


def _list(series_list: SeriesList) -> str:
    """Return a row for each series, and the number of files left out."""
    shown = _rendered(report.SeriesTable(series_list)) if series_list else "<p>No DICOM series.</p>"
    left_out = f"<p>{counted(len(series_list.skipped), 'file')} left out: see <code>skipped</code>.</p>"
    return shown + (left_out if series_list.skipped else "")


def _volume(volume: Volume) -> str:
    """Return size, place and values of a volume, what it is of, and its middle slice."""
    array, series, derivation = volume.array_zyx, volume.series, volume.derivation
    rows = {
        "array_zyx": f"{' x '.join(map(str, array.shape))}, {array.dtype} (ITK: {volume.pixel_type})",
        "values": f"{array.min():g} to {array.max():g}" if array.size else "none",
    }
    if volume.as_read is not None:
        origin, spacing = volume.as_read.geometry[:3], volume.as_read.geometry[3:6]
        rows["spacing"] = f"{' x '.join(f'{step:.4g}' for step in spacing)} mm (x, y, z)"
        rows["origin"] = f"{', '.join(f'{place:.6g}' for place in origin)} mm (x, y, z; LPS)"
    rows |= {
        "series": f"{series.modality} {series.description}".strip(),
        "files": " to ".join(dict.fromkeys(volume.planes[index].instance.name for index in (0, -1))),
        "written as": "the same instances" if derivation is None else f"derived: {derivation.comment or 'no comment'}",
    }
    return _beside(_picture(len(array) // 2, len(array), lambda: _of_array(volume)), _facts(rows))


# -------------------------------------------------------------------------------------------------------- pictures


Picture = tuple[Array, tuple[float, float]]
"""Grey or RGB pixels of 8 bits, and the size of a pixel (row, column), in any unit."""


def _picture(index: int, count: int, make: Callable[[], Picture | str]) -> str:
    """Return the picture of a slice with its caption, in the proportions that it has in the patient; or why not."""
    try:
        made = make()
    except Exception:  # whatever a decoder meets in a broken file: a notebook shows the rest
        made = "it cannot be read or decoded"
    if isinstance(made, str):
        return f"<p>No picture: {escape(made)}.</p>"
    pixels, (row, column) = made
    height, width = pixels.shape[0] * row, pixels.shape[1] * column
    scale = _LARGEST / max(height, width)
    height, width = (max(1, round(side * scale)) for side in (height, width))
    size = f'width="{width}" height="{height}" style="width:{width}px;height:{height}px;max-width:none"'
    caption = f"slice {index + 1} of {count}"
    return (
        f'<figure style="margin:0"><img alt="{caption}" {size} src="{figures.png(pixels)}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


_BURNED_IN = "the source says that its pixels hold burned-in annotation, which may identify"


def _of_file(slice_: Slice) -> Picture | str:
    """Return a slice, decoded from its file."""
    if not slice_.instance.pixel_data:
        return "the file has no pixels"
    if figures.says_burned_in(slice_.instance.path):
        return _BURNED_IN
    image = figures.read_image(slice_.instance.path, slice_.frame or 0)
    if image is None:
        return "the file cannot be read or decoded"
    return image.shown(image.window), slice_.place.spacing or image.aspect


def _of_array(volume: Volume) -> Picture | str:
    """Return the middle slice of a volume, with the window of its source where that shows something of it."""
    index = len(volume.array_zyx) // 2
    pixels, plane = np.asarray(volume.array_zyx[index]), volume.planes[index]
    if figures.says_burned_in(plane.instance.path):
        return _BURNED_IN
    spacing = volume.as_read.geometry[3:5][::-1] if volume.as_read is not None else (1.0, 1.0)
    step = -(-pixels.shape[1] // figures.WIDEST)
    pixels = pixels[::step, ::step]
    if pixels.ndim == 3:
        if plane.carriage.photometric.startswith("YBR"):
            pixels = convert_color_space(pixels, plane.carriage.photometric, "RGB")
        return (pixels >> 8 * (pixels.dtype.itemsize - 1)).astype(np.uint8), (spacing[0], spacing[1])
    inverted = plane.carriage.photometric == "MONOCHROME1"
    values = np.nan_to_num(pixels.astype(np.float64))
    return figures.grey(values, _window(volume.metadata[index], values), inverted=inverted), (spacing[0], spacing[1])


def _window(metadata: MetaDataDictionary, values: Array) -> tuple[float, float]:
    """Return the ends of the window in the metadata of a slice, if that shows some of its values; else the usual."""
    if metadata.HasKey("0028|1050") and metadata.HasKey("0028|1051"):
        centre, width = (float(metadata[key].split("\\")[0]) for key in ("0028|1050", "0028|1051"))
        low, high = centre - width / 2, centre + width / 2
        if low < high and low < values.max() and values.min() < high:
            return low, high
    return figures.usual_window(values)


# --------------------------------------------------------------------------------------------- results and reports


def _result(result: RoundtripResult) -> str:
    """Return verdict and table of a round trip, and the findings of its verification."""
    shown = f"<p>{_badge(result.verdict.upper(), 'green' if result.verdict == 'pass' else 'yellow')}</p>"
    shown += _rendered(report.run_table(result))
    shown += "".join(f"<p>{_badge('warning', 'yellow')} {escape(printable(text))}</p>" for text in result.warnings)
    if result.report is None:
        return shown
    verified = _rendered(report.verify_table(result.report))
    return f"{shown}<details><summary>Verification</summary>{verified}</details>"


def _rendered(part: RenderableType) -> str:
    """Return a table of the command line as HTML."""
    if isinstance(part, Group):
        return "".join(map(_rendered, part.renderables))
    if isinstance(part, Table):
        rows = list(zip(*(column.cells for column in part.columns), strict=True))
        titles = [column.header for column in part.columns] if part.show_header else []
        return _table(titles, rows)
    if isinstance(part, (Text, str)):
        return f"<p>{_cell(part)}</p>" if str(part).strip() else ""
    console = Console(file=StringIO(), width=_ANY_WIDTH)  # a notebook wraps
    return "".join(map(_rendered, part.__rich_console__(console, console.options)))  # type: ignore[union-attr]


def _facts(rows: Mapping[str, str]) -> str:
    return _table((), [(title, text) for title, text in rows.items() if text])


def _table(titles: Sequence[RenderableType], rows: Iterable[Sequence[RenderableType]]) -> str:
    """Return a table; the first cell of a row is its header where the columns have none."""
    head = "".join(
        f'<th scope="col" style="{_WHOLE}">{_cell(title)}</th>' if str(title) else "<td></td>" for title in titles
    )
    body = "".join(f"<tr>{''.join(_cells(row, has_header=not titles))}</tr>" for row in rows)
    return f'<table style="border-collapse:collapse">{f"<tr>{head}</tr>" if titles else ""}{body}</table>'


def _cells(row: Sequence[RenderableType], *, has_header: bool) -> Iterator[str]:
    for index, cell in enumerate(row):
        if has_header and index == 0 and str(cell):
            yield f'<th scope="row" style="{_WHOLE}">{_cell(cell)}</th>'
        else:
            yield f'<td style="{_CELL if len(str(cell)) > _SHORT else _WHOLE}">{_cell(cell)}</td>'


def _cell(cell: RenderableType) -> str:
    """Return a text of the command line as HTML; what is coloured there becomes a badge."""
    text = printable(cell.plain if isinstance(cell, Text) else str(cell))
    text = escape(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")
    style = str(cell.style) if isinstance(cell, Text) else ""
    colour = next((name for name in _COLOURS if name in style), "")
    return _badge(text, colour) if colour and text else text


def _badge(text: str, colour: str) -> str:
    return f'<span style="background:{_COLOURS[colour]};{_BADGE}">{text}</span>'


def _beside(left: str, right: str) -> str:
    style = "display:flex;flex-wrap:wrap;gap:16px;align-items:flex-start"
    return f'<div style="{style}">{left}<div style="flex:1 1 320px;min-width:0">{right}</div></div>'


_MAKERS: Mapping[str, Callable[[Any], str]] = {
    "ArchiveResult": lambda result: _rendered(report.archive_table(result)),
    "ExportResult": lambda result: _rendered(report.export_table(result)),
    "LossTable": lambda table: _rendered(report.losses_table(table)),
    "Report": lambda made: _rendered(report.verify_table(made)),
    "RoundtripResult": _result,
    "Series": _series,
    "SeriesList": _list,
    "Volume": _volume,
}
"""What makes HTML of a result, by its class."""
