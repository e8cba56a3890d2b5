"""Pictures and plots of a verification's page, as HTML with PNG and SVG in it. Nothing is judged here."""

from __future__ import annotations

import base64
import itertools
import math
import warnings
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame

from itk_roundtrip import syntaxes
from itk_roundtrip.dicom.reading import read_file, read_regular
from itk_roundtrip.series.places import SPACINGS
from itk_roundtrip.verify.findings import SlicePair
from itk_roundtrip.verify.stored import pixels, stored_values
from itk_roundtrip.words import counted

Array = NDArray[Any]
Folders = tuple[Path, Path]
"""Folders of the source and of the written files."""
Labels = Sequence[tuple[str, str]]
"""Names of the source and of the written file of each pair, for people."""

WIDEST = 384
"""Most columns of a picture; of a wider image, rows and columns are left out."""
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_BLUE, _ORANGE = (0, 114, 178), (213, 94, 0)
"""Ends of the scale of differences: Okabe and Ito's blue and vermilion, made to be told apart by the colour blind."""
_FAINTEST = 0.3
"""Part of the full colour that the smallest difference gets, so that none is invisible."""
_MAX_READ = 64
"""Most slices whose pixels are read for the histogram."""
_BARS = 30
"""Bars of the histogram on either side of 0."""
_SAME_PLACE_MM = 0.01
"""Positions that differ by no more are the same."""
_GAP_FACTOR = 1.5
"""Neighbours further apart than the median spacing times this have a gap between them."""
_LISTED = 5
"""Most gaps and displaced slices that are named."""
_WIDTH, _LEFT, _RIGHT = 480, 72, 16
"""Width of a plot and of its left and right margin, in SVG units."""


def prepare() -> None:
    """Import what drawing needs, once in a worker; importing this module did."""


def draw(pairs: Sequence[SlicePair], folders: Folders, labels: Labels, wanted: bool) -> tuple[str, str]:
    """Return pictures of slices and the histogram of differences, as HTML.

    Parameters
    ----------
    pairs
        Pairs of the report.
    folders
        From which the pixels are read.
    labels
        Names of the files.
    wanted
        Show pictures even if the source says that they hold burned-in annotation.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydicom: the findings tell what is irregular in a file
        return _pictures(pairs, folders, labels, wanted=wanted), _histogram(pairs, folders)


def short(value: float) -> str:
    """Return a number in six digits."""
    return f"{value:.6g}"


@dataclass(frozen=True)
class _Image:
    """Image of a file: its stored values, frames first, and the middle frame for display."""

    stored: Array
    scale: Array
    """Slope and intercept of each frame, shape (frames, 2)."""
    frame: Array
    """Real-world values of the middle frame, or its colours in 8 bits."""
    window: tuple[float, float]
    """Lowest and highest real-world value of the window."""
    window_from: str
    """Which values the window was computed from; empty for colours."""
    inverted: bool
    aspect: tuple[float, float] = (1.0, 1.0)
    """Height and width of a pixel, in any unit."""

    @property
    def step(self) -> int:
        """Step between the columns and rows that are shown."""
        columns: int = self.stored.shape[2]
        return math.ceil(columns / WIDEST)

    def shown(self, window: tuple[float, float]) -> Array:
        """Return the picture of the middle frame in a window, in 8 bits."""
        frame = self.frame[:: self.step, :: self.step]
        return frame if frame.ndim == 3 else grey(frame, window, inverted=self.inverted)


def grey(values: Array, window: tuple[float, float], *, inverted: bool) -> Array:
    """Return values in a window as grey of 8 bits, the lowest black unless ``inverted``."""
    scaled = np.clip((values - window[0]) / (window[1] - window[0]), 0, 1)
    picture: Array = np.rint((1 - scaled if inverted else scaled) * 255).astype(np.uint8)
    return picture


def usual_window(values: Array) -> tuple[float, float]:
    """Return the 1st and 99th percentile of values as a window; they are 1 apart at least."""
    low, high = map(float, np.percentile(values, [1, 99]))
    return low, max(high, low + 1)


def read_image(file: Path, frame: int | None = None) -> _Image | None:
    """Return the image in a file, or that of one of its frames; ``None`` if it cannot be read or decoded."""
    try:
        return _image(read_file(file) if frame is None else _of_one_frame(read_regular(file), frame))
    except Exception:  # whatever a decoder meets in a broken file
        return None


def _of_one_frame(dataset: Dataset, index: int) -> Dataset:
    """Return a data set with one of its frames only, from 0: decoding all of them may take long."""
    count = int(dataset.get("NumberOfFrames") or 1)
    if count > 1:
        if syntaxes.is_encapsulated(dataset.file_meta.TransferSyntaxUID):
            tables = [dataset.pop(keyword, None) for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")]
            offsets: Any = None if None in tables else tuple(table.value for table in tables if table)
            frame = get_frame(dataset.PixelData, index, number_of_frames=count, extended_offsets=offsets)
            dataset.PixelData = encapsulate([frame])
        else:
            element = next(dataset[keyword] for keyword in _PIXELS if keyword in dataset)
            bits = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated
            if bits % 8:
                raise ValueError("a frame ends inside a byte")
            element.value = element.value[index * bits // 8 : (index + 1) * bits // 8]
        dataset.NumberOfFrames = 1
        if "PerFrameFunctionalGroupsSequence" in dataset:
            dataset.PerFrameFunctionalGroupsSequence = [dataset.PerFrameFunctionalGroupsSequence[index]]
    return dataset


def _image(dataset: Dataset) -> _Image:
    """Return the image in a data set: colours as RGB, all else with slope, intercept and window."""
    pixel_data = pixels(dataset)
    values, _ = stored_values(pixel_data)
    if dataset.SamplesPerPixel == 3:
        is_rgb = dataset.PhotometricInterpretation == "RGB"
        shown = values if is_rgb else dataset.pixel_array.reshape(values.shape)  # RGB, whatever is stored
        frame = shown[len(shown) // 2]
        plain = np.tile([1.0, 0.0], (len(values), 1))
        rgb = (frame >> max(0, dataset.BitsStored - 8)).astype(np.uint8)
        return _Image(values, plain, rgb, (0, 1), "", False, _aspect(dataset, len(shown) // 2))
    stored = values[..., 0]
    scale = np.array(
        [_rescale(dataset, index) or (pixel_data.slope, pixel_data.intercept) for index in range(len(stored))]
    )
    slope, intercept = scale[len(stored) // 2]
    real = np.nan_to_num(stored[len(stored) // 2] * slope + intercept)
    centre, width = (float(np.ravel(dataset.get(keyword) or 0)[0]) for keyword in ("WindowCenter", "WindowWidth"))
    ends, origin = (centre - width / 2, centre + width / 2), "Window Center and Width"
    if not (width > 0 and math.isfinite(centre + width)):
        ends, origin = usual_window(real), "1st and 99th percentile"
    inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
    return _Image(stored, scale, real, ends, origin, inverted, _aspect(dataset, len(stored) // 2))


def _aspect(dataset: Dataset, frame: int) -> tuple[float, float]:
    """Return height and width of the pixels of a frame: its spacing, else Pixel Aspect Ratio (0028,0034)."""
    groups = _functional_groups(dataset, frame)
    measures = [item for group in groups for item in group.get("PixelMeasuresSequence") or ()]
    for holder in (*measures, dataset):
        for keyword in (*SPACINGS, "PixelAspectRatio"):
            with suppress(TypeError, ValueError):  # absent, or no two numbers
                height, width = map(float, holder.get(keyword))
                if 0 < height < math.inf and 0 < width < math.inf:
                    return height, width
    return 1.0, 1.0


def _rescale(dataset: Dataset, frame: int) -> tuple[float, float] | None:
    """Return slope and intercept in the functional groups of a frame (PS3.3 C.7.6.16.2.9); ``None`` if they have none.

    Parameters
    ----------
    dataset
        A whole data set.
    frame
        Index, from 0.
    """
    for groups in _functional_groups(dataset, frame):
        for transformation in groups.get("PixelValueTransformationSequence") or ():
            return float(transformation.RescaleSlope), float(transformation.RescaleIntercept)
    return None


def _functional_groups(dataset: Dataset, frame: int) -> Sequence[Dataset]:
    """Return the functional groups of a frame, then the shared ones."""
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    return *per_frame[frame : frame + 1], *(dataset.get("SharedFunctionalGroupsSequence") or [])[:1]


def _pictures(pairs: Sequence[SlicePair], folders: Folders, labels: Labels, *, wanted: bool) -> str:
    """Return the pictures of the first, middle and last pair, and of the pair with the largest difference."""
    if not pairs:
        return "<p>No slice has a counterpart.</p>"
    last = len(pairs) - 1
    worst = max(range(len(pairs)), key=lambda index: (pairs[index].largest_real, pairs[index].changed))
    sampled = sorted({0, last // 2, last} | ({worst} if _differs(pairs[worst]) else set()))
    if not wanted and any(says_burned_in(file) for index in sampled for file in _files(folders, pairs[index])):
        return (
            "<p>They are left out because the source says that its pixels hold burned-in annotation, which may "
            "identify. --pictures shows them all the same.</p>"
        )
    note = "<p>The first, the middle and the last slice, and the one with the largest difference if there is any.</p>"
    return note + "\n".join(_pair_pictures(index + 1, pairs[index], folders, labels) for index in sampled)


def _differs(pair: SlicePair) -> bool:
    """Tell whether any stored value or real-world value of a pair differs."""
    return pair.changed > 0 or pair.largest_real > 0


def _files(folders: Folders, pair: SlicePair) -> tuple[Path, Path]:
    """Return the paths of source and written file of a pair."""
    return folders[0] / pair.source, folders[1] / pair.written


def says_burned_in(file: Path) -> bool:
    """Tell whether Burned In Annotation (0028,0301) of a file is YES."""
    try:
        dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["BurnedInAnnotation"])
        return str(dataset.get("BurnedInAnnotation")).strip().upper() == "YES"
    except Exception:  # whatever pydicom meets in a broken file, of which there is no picture either
        return False


def _pair_pictures(number: int, pair: SlicePair, folders: Folders, labels: Labels) -> str:
    """Return the pictures of source, written file and difference of a pair."""
    titles = labels[number - 1]
    source, written = images = read_image(folders[0] / pair.source), read_image(folders[1] / pair.written)
    figures, notes = [], []
    leading = source or written
    if leading and leading.window_from:
        low, high = map(short, leading.window)
        whose = titles[0 if source else 1]
        notes.append(f"Window of both: {low} to {high} in real-world values, {leading.window_from} of {whose}.")
    if leading and len(leading.stored) > 1:
        notes.append(f"Frame {len(leading.stored) // 2 + 1} of {len(leading.stored)}.")
    for title, image in zip(titles, images, strict=True):
        if image and leading:
            figures.append(_figure(title, image.shown(leading.window), image.aspect))
            notes += [f"{title} is MONOCHROME1: low values are bright."] if image.inverted else []
        else:
            figures.append(_figure(title, "No picture: the file cannot be read or decoded."))
    figures.append(_difference_figure(number, source, written))
    return (
        f'<div class="pair"><h3>Slice {number}</h3><div class="trio">{"".join(figures)}</div>'
        f"<p>{escape(' '.join(notes))}</p></div>"
    )


def _difference_figure(number: int, source: _Image | None, written: _Image | None) -> str:
    """Return the picture of the differences of a pair with its colour scale, or a text where there are none."""
    title = f"difference of slice {number}"
    difference = _difference(source, written)
    if source is None or written is None or difference is None:
        return _figure(title, "No difference can be shown: a picture is missing, or the sizes differ.")
    if not difference.any():
        same = np.array_equal(source.stored, written.stored)
        return _figure(
            title, f"No difference: all {difference.size} {'stored' if same else 'real-world'} values are equal."
        )
    largest = float(np.abs(difference).max()) or 1.0
    bar = f'<img alt="" src="{png(_coloured(np.linspace(-1, 1, 101)[None], 1, 1))}">'
    scale = f'<div class="scale">-{short(largest)} {bar} +{short(largest)}</div>'
    kind = "values" if (source.scale == (1, 0)).all() and (written.scale == (1, 0)).all() else "real-world values"
    title += f": {np.count_nonzero(difference)} of {difference.size} {kind}, written minus source"
    return _figure(title, _coloured(difference[len(difference) // 2], largest, source.step), source.aspect, scale)


def _difference(source: _Image | None, written: _Image | None) -> Array | None:
    """Return written minus source real-world values; ``None`` if one is missing or they are of different sizes."""
    if source is None or written is None or source.stored.shape != written.stored.shape:
        return None
    frames = (-1, *([1] * (source.stored.ndim - 1)))
    before, after = (image.scale.T.reshape(2, *frames) for image in (source, written))
    if np.array_equal(before, after):  # integers are subtracted exactly
        exact = np.float64 if "f" in source.stored.dtype.kind + written.stored.dtype.kind else np.int64
        difference: Array = np.subtract(written.stored, source.stored, dtype=exact) * before[0]
        return np.nan_to_num(difference)
    old, new = source.stored * before[0] + before[1], written.stored * after[0] + after[1]
    rounding = 4 * np.spacing(np.maximum(np.abs(old), np.abs(new)))
    return np.nan_to_num(np.where(np.abs(new - old) <= rounding, 0.0, new - old))


def _coloured(difference: Array, largest: float, step: int) -> Array:
    """Return the colours of a frame of differences; each block of ``step`` by ``step`` pixels shows its largest."""
    rows, columns = difference.shape[:2]
    samples = difference.reshape(rows, columns, -1)
    padded = np.pad(samples, ((0, -rows % step), (0, -columns % step), (0, 0)))
    rows, columns = (size // step for size in padded.shape[:2])
    blocks = padded.reshape(rows, step, columns, -1).swapaxes(1, 2).reshape(rows, columns, -1)
    values = np.take_along_axis(blocks, np.abs(blocks).argmax(2, keepdims=True), 2)
    strength = np.where(values, _FAINTEST + (1 - _FAINTEST) * np.abs(values) / largest, 0)
    colours: Array = np.rint(255 + (np.where(values < 0, _BLUE, _ORANGE) - 255) * strength).astype(np.uint8)
    return colours


def _figure(title: str, content: Array | str, aspect: tuple[float, float] = (1.0, 1.0), scale: str = "") -> str:
    """Return a picture in the proportions of the patient, or a text in its place, with its caption.

    Parameters
    ----------
    title
        Of the caption.
    content
        Pixels, or the text.
    aspect
        Height and width of a pixel.
    scale
        HTML between the picture and its caption.
    """
    caption = f"<figcaption>{escape(title)}</figcaption>"
    if isinstance(content, str):
        return f'<figure><div class="none">{content}</div>{caption}</figure>'
    sides = np.array(content.shape[:2]) * aspect
    height, width = (max(1, round(float(side))) for side in sides * (max(content.shape[:2]) / sides.max()))
    # The width is that of the column, but a picture must not be higher than the window.
    style = f"aspect-ratio:{width}/{height};max-width:calc(85vh*{width / height:.4g})"
    size = f'height="{height}" width="{width}" style="{style}"'
    return f'<figure><img alt="{escape(title)}" {size} src="{png(content)}">{scale}{caption}</figure>'


def png(picture: Array) -> str:
    """Return grey or RGB pixels of 8 bits as a PNG in a data URI."""
    rows, columns = picture.shape[:2]
    lines = np.pad(picture.reshape(rows, -1), ((0, 0), (1, 0)))  # a 0 before each line: it is not filtered
    header = columns.to_bytes(4, "big") + rows.to_bytes(4, "big") + bytes((8, 2 if picture.ndim == 3 else 0, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b"")):
        content += len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
    return "data:image/png;base64," + base64.b64encode(content).decode()


def _histogram(pairs: Sequence[SlicePair], folders: Folders) -> str:
    """Return a histogram of the differences of real-world values, over the changed slices."""
    changed = [pair for pair in pairs if _differs(pair)]
    if not changed:
        compared = sum(pair.pixels > 0 for pair in pairs)
        return f"<p>None: all stored values of {counted(compared, 'compared slice')} are equal.</p>"
    read = changed[:: math.ceil(len(changed) / _MAX_READ)]
    bars = _Bars.over(max((pair.largest_real for pair in changed if math.isfinite(pair.largest_real)), default=0.0))
    heights = bars.heights(
        _difference(read_image(folders[0] / pair.source), read_image(folders[1] / pair.written)) for pair in read
    )
    if not heights.any():
        return "<p>The changed slices cannot be read, or differ in size from their sources.</p>"
    of_them = "" if len(read) == len(changed) else f", {len(read)} of them read here"
    note = f"<p>Over {counted(len(changed), 'changed slice')}{of_them}; the counts are on a logarithmic scale.</p>"
    return note + _histogram_plot(bars, heights) + _histogram_table(bars, heights)


@dataclass(frozen=True)
class _Bars:
    """Bars of a histogram of differences, as many on either side of the one that is centred on 0.

    Attributes
    ----------
    step
        Width of a bar in real-world values.
    count
        Number of bars on either side.
    whole
        Whether the differences are whole numbers.
    """

    step: float
    count: int
    whole: bool

    @classmethod
    def over(cls, largest: float) -> _Bars:
        """Return the bars that reach to the largest difference."""
        largest = largest or 1.0
        whole = float(largest).is_integer()
        step = math.ceil(largest / _BARS) | 1 if whole else largest / _BARS  # odd: the bar of 0 is centred on it
        return cls(step, math.floor(largest / step + 0.5), whole)

    @property
    def reach(self) -> float:
        """Outer end of the last bar."""
        return (self.count + 0.5) * self.step

    def heights(self, differences: Iterable[Array | None]) -> NDArray[np.int64]:
        """Return how many of the differences are in each bar, from the most negative one on; ``None`` is left out."""
        heights = np.zeros(2 * self.count + 1, np.int64)
        for difference in differences:
            if difference is not None:
                nearest = np.clip(np.floor(difference / self.step + 0.5), -self.count, self.count)
                heights += np.bincount(nearest.astype(np.int64).ravel() + self.count, minlength=len(heights))
        return heights

    def title(self, index: int) -> str:
        """Return the differences in a bar in words; index 0 is the bar that is centred on 0."""
        # Whole numbers in a bar end half a unit before its edges.
        ends = [short(index * self.step + sign * (self.step - self.whole) / 2) for sign in (-1, 1)]
        return " to ".join(dict.fromkeys(ends))


def _histogram_plot(bars: _Bars, heights: NDArray[np.int64]) -> str:
    """Return the plot of a histogram, with a logarithmic scale of counts."""
    bottom, top, decades = 220, 20, max(1, math.ceil(math.log10(heights.max())))
    x = _across(-bars.reach, bars.reach)

    def y(height: float) -> float:  # half a value is at the bottom, so that a single one can be seen
        return bottom - (bottom - top) * math.log10(2 * height) / math.log10(2 * 10**decades)

    parts = [f'<text x="{_LEFT}" y="12">values, counted</text>']
    for decade in range(decades + 1):
        height = y(10**decade)
        parts.append(f'<path class="grid" d="M{_LEFT} {height:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{height + 4:.1f}" text-anchor="end">{short(10**decade)}</text>')
    for index, height in zip(range(-bars.count, bars.count + 1), heights.tolist(), strict=True):
        if height:
            left, right = x((index - 0.45) * bars.step), x((index + 0.45) * bars.step)
            parts.append(
                f'<rect class="bar" x="{left:.1f}" y="{y(height):.1f}" width="{right - left:.1f}" '
                f'height="{bottom - y(height):.1f}"><title>{bars.title(index)}: {height}</title></rect>'
            )
    parts.append(_axis(x, -bars.reach, bars.reach, bottom, "written minus source, in real-world values"))
    return _plot(260, "Histogram of differences", parts)


def _histogram_table(bars: _Bars, heights: NDArray[np.int64]) -> str:
    """Return the bars of a histogram as a table, for those who do not see the plot or have no mouse."""
    rows = "".join(
        f'<tr><th scope="row">{bars.title(index)}</th><td>{height}</td></tr>'
        for index, height in zip(range(-bars.count, bars.count + 1), heights.tolist(), strict=True)
        if height
    )
    head = '<tr><th scope="col">Written minus source</th><th scope="col">Values</th></tr>'
    return (
        f'<details class="numbers"><summary>The histogram as a table</summary><table><thead>{head}</thead>'
        f"<tbody>{rows}</tbody></table></details>"
    )


@dataclass(frozen=True)
class _Placed:
    """A written slice and the places of both slices of its pair along the normal of the source series, in mm."""

    name: str
    source_mm: float
    written_mm: float

    @property
    def displacement(self) -> float:
        """How far the written slice lies from the source slice, in mm."""
        return self.written_mm - self.source_mm


def positions(pairs: Sequence[SlicePair], labels: Labels) -> str:
    """Return a plot of the slice positions along the normal, and its gaps and displaced slices in words."""
    slices = _placed(pairs, labels)
    if not slices:
        return "<p>The slices have no positions that could be shown.</p>"
    places = sorted({round(slice_.source_mm / _SAME_PLACE_MM) * _SAME_PLACE_MM for slice_ in slices})
    spacing = float(np.median(np.diff(places))) if len(places) > 1 else 0.0
    gaps = [(low, high) for low, high in itertools.pairwise(places) if high - low > _GAP_FACTOR * spacing]
    displaced = [slice_ for slice_ in slices if abs(slice_.displacement) > _SAME_PLACE_MM]
    sentences = (
        f"{counted(len(places), 'position')}" + (f", {short(spacing)} mm apart (median)." if spacing else "."),
        _listed("gap", [f"{short(low)} to {short(high)} mm" for low, high in gaps]),
        _listed("displaced slice", [f"{slice_.name} by {slice_.displacement:+.6g} mm" for slice_ in displaced]),
    )
    return f"<p>{escape(' '.join(sentences))}</p>{_positions_plot(slices, displaced, gaps)}"


def _placed(pairs: Sequence[SlicePair], labels: Labels) -> list[_Placed]:
    """Return the slices of the pairs in which both have a position."""
    return [
        _Placed(labels[number - 1][1], pair.source_mm, pair.written_mm)
        for number, pair in enumerate(pairs, 1)
        if pair.source_mm is not None and pair.written_mm is not None
        if math.isfinite(pair.source_mm + pair.written_mm)
    ]


def _positions_plot(
    slices: Sequence[_Placed], displaced: Sequence[_Placed], gaps: Sequence[tuple[float, float]]
) -> str:
    """Return a plot with source slices above, written slices below, and a line from each to its counterpart."""
    ends = [place for slice_ in slices for place in (slice_.source_mm, slice_.written_mm)]
    margin = (max(ends) - min(ends)) * 0.02 or 1.0
    low, high = min(ends) - margin, max(ends) + margin
    x = _across(low, high)
    parts = []
    for kind, chosen in (("grid", slices), ("moved", displaced)):
        lines = "".join(f"M{x(slice_.source_mm):.1f} 35L{x(slice_.written_mm):.1f} 95" for slice_ in chosen)
        parts.append(f'<path class="{kind}" d="{lines}"/>')
    diamonds = "".join(f"M{x(slice_.source_mm) - 4:.1f} 35l4-4 4 4-4 4z" for slice_ in slices)
    crosses = "".join(f"M{x(slice_.written_mm) - 4:.1f} 91l8 8m-8 0l8-8" for slice_ in slices)
    parts.append(f'<path class="source" d="{diamonds}"/><path class="written" d="{crosses}"/>')
    parts += [
        f'<rect class="gap" x="{x(start):.1f}" y="10" width="{x(end) - x(start):.1f}" height="110"/>'
        for start, end in gaps
    ]
    parts.append('<text x="0" y="39">source &#9671;</text><text x="0" y="99">written &times;</text>')
    parts.append(_axis(x, low, high, 120, "mm along the normal of the source"))
    return _plot(160, "Positions of source and written slices", parts)


def _listed(noun: str, texts: Sequence[str]) -> str:
    """Return a sentence with the number of texts and the first of them."""
    more = f" and {len(texts) - _LISTED} more" if len(texts) > _LISTED else ""
    return f"{counted(len(texts), noun)}: {', '.join(texts[:_LISTED])}{more}." if texts else f"No {noun}."


def _across(low: float, high: float) -> Callable[[float], float]:
    """Return a function from a value to its horizontal place in a plot that reaches from ``low`` to ``high``."""
    return lambda value: _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)


def _axis(x: Callable[[float], float], low: float, high: float, y: int, title: str) -> str:
    """Return the horizontal axis of a plot at height ``y``, with ticks at steps of 1, 2 or 5 and its title."""
    base = 10.0 ** math.floor(math.log10((high - low) / 5))
    step = next(base * factor for factor in (1, 2, 5, 10) if (high - low) / (base * factor) <= 6)
    ticks = [index * step for index in range(math.ceil(low / step), math.floor(high / step) + 1)]
    marks = "".join(f"M{x(tick):.1f} {y}v4" for tick in ticks)
    labels = "".join(f'<text x="{x(tick):.1f}" y="{y + 18}">{short(tick)}</text>' for tick in ticks)
    return (
        f'<path class="axis" d="M{_LEFT} {y}H{_WIDTH - _RIGHT}{marks}"/><g text-anchor="middle">{labels}'
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) // 2}" y="{y + 36}">{title}</text></g>'
    )


def _plot(height: int, title: str, parts: Iterable[str]) -> str:
    """Return a plot of some SVG elements; its width is :data:`_WIDTH`."""
    return f'<svg class="plot" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{title}">{"".join(parts)}</svg>'
