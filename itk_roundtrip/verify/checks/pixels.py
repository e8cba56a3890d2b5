"""Checks of the pixels of a written file and the attributes that describe them, against its source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from itk_roundtrip import tags
from itk_roundtrip.dicom.values import numbers, text
from itk_roundtrip.verify.checks.derived import declared_filled
from itk_roundtrip.verify.findings import Finding
from itk_roundtrip.verify.pair import Pair
from itk_roundtrip.verify.registry import check, reports
from itk_roundtrip.verify.series_pair import Extremes
from itk_roundtrip.verify.stored import Pixels
from itk_roundtrip.words import agreeing

_PIXEL_TAGS = (tags.PIXEL_DATA, tags.FLOAT_PIXEL_DATA, tags.DOUBLE_FLOAT_PIXEL_DATA)


@check(
    "PIX-02",
    "stored values, slope and intercept are those of the source",
    reason="a pixel value that changed unsaid falsifies every measurement made of it",
    section="PS3.3 C.7.6.3, C.11.1",
)
def stored_values(pair: Pair) -> Iterator[Finding]:
    """Check that the stored values are those of the source, unless they are declared to be processed."""
    difference, source, written = pair.pixel_difference, pair.source_pixels, pair.written_pixels

    def finding(message: str, **options: Any) -> Finding:
        return pair.finding("PIX-02", tags.PIXEL_DATA, message, **options)

    if difference.problem and written.tag:
        same = difference.identical_value and source.description == written.description
        yield finding(f"cannot be compared: {difference.problem}", inherited=same)
    elif difference.undecoded:
        # That they are the same bytes proves that nothing was lost, not that they are sound.
        message = f"not decoded: {difference.undecoded}; the compressed bytes are those of the source"
        yield finding(message, severity="info")
    elif pair.undecided:
        # What was made of the values is proven by a reference, whichever decoder is right.
        yield finding(f"not judged: {_opinions(pair)}", severity="info" if pair.processed else "warning")
    elif difference.wrong_colours:
        yield finding(f"colours that the stream does not say: {pair.contradiction}")
    elif difference.changed and not pair.processed and not pair.decoded_only:
        yield finding(_undeclared(pair))
    elif not difference.changed and not pair.processed and (message := _other_bits(pair)):
        yield finding(message)
    if difference.disagreeing and not difference.disputed:
        yield finding(f"settled by most decoders: {_opinions(pair)}", severity="info")
    if difference.clipped and not difference.identical_value:
        message = f"{difference.clipped} values of the lossy source lie beyond Bits Stored: they count as clipped to it"
        yield finding(message, severity="info")


def _amount(pair: Pair) -> str:
    """Return in words how many stored values differ, and by how much."""
    difference = pair.pixel_difference
    differ = agreeing(difference.changed, "differs", "differ")
    return f"{difference.changed} of {difference.count} stored values {differ}, by at most {difference.largest:g}"


def _undeclared(pair: Pair) -> str:
    """Return the message on stored values that differ although they are not declared to be processed."""
    claim = ", although Derivation Description says they do not" if pair.says_unchanged else ""
    undeclared = ", undeclared" if pair.derived and not claim else ""
    than = f"; compared with the colours that the stream says: {pair.contradiction}" if pair.contradiction else ""
    nearest = f"; {_opinions(pair)}" if pair.pixel_difference.disputed else ""
    return _amount(pair) + claim + undeclared + than + nearest


def _other_bits(pair: Pair) -> str:
    """Return the message on bytes of the pixel data that differ though no stored value does; empty if none do."""
    difference, source, written = pair.pixel_difference, pair.source_pixels, pair.written_pixels
    if difference.unused_changed:
        return "bits that hold no stored value differ"
    both_native = source.native and written.native and source.tag == written.tag != 0
    if both_native and not difference.identical_value:
        if source.description == written.description:
            return "the padding of the pixel data differs"
        if source.samples == 1:  # else the samples may stand in another order
            return "the value of the pixel data differs, the stored values do not"
    return ""


def _opinions(pair: Pair) -> str:
    """Return in words which decoders disagree on the values of the compressed pixels."""
    difference = pair.pixel_difference
    these, others = (" and ".join(names) for names in (difference.agreeing, difference.disagreeing))
    return f"decoders do not agree on the compressed pixels; compared with what {these} reads, {others} reads others"


@check(
    "PIX-03",
    "processed pixels are declared, and within half a step of the reference",
    reason="nobody can judge a processed image without knowing how far its values are from those of the source",
    section="PS3.3 C.12.4.1.1",
)
def declared_processing(pair: Pair) -> Iterator[Finding]:
    """Tell how far the values of declared processing are from those of the source."""
    difference = pair.pixel_difference
    if not pair.processed or difference.undecoded or pair.undecided or difference.wrong_colours:
        return
    if difference.problem and pair.written_pixels.tag:
        return
    if pair.is_elsewhere:
        message = "on another grid than the source: values have no counterpart, and are proven by a reference only"
        yield pair.finding("PIX-03", tags.PIXEL_DATA, message, severity="info")
    elif difference.changed:
        message = f"{_amount(pair)} ({difference.largest_real:g} in real-world values)"
        yield pair.finding("PIX-03", tags.PIXEL_DATA, message, severity="info")
    elif difference.largest_real:
        message = f"real-world values differ, by at most {difference.largest_real:g}"
        yield pair.finding("PIX-03", tags.RESCALE_SLOPE, message, severity="info")


@reports("HDR-02")
def second_pixel_element(pair: Pair) -> Iterator[Finding]:
    """Check that no other attribute of pixels stands beside that of the source (PS3.3 C.7.6.3, C.7.6.24, C.7.6.25)."""
    for tag in _PIXEL_TAGS:
        if tag != pair.source_pixels.tag and tag in pair.written and tag not in pair.source:
            yield pair.finding("HDR-02", tag, "added although the source does not have it")


@reports("PIX-01")
def colours(pair: Pair) -> Iterator[Finding]:
    """Check that a compressed stream and Photometric Interpretation name the same colour space (PS3.5 8.2.1, 8.2.4)."""
    tag = tags.PHOTOMETRIC_INTERPRETATION
    before, after = pair.source_pixels.contradiction, pair.written_pixels.contradiction
    if after is not None:
        same = before == after and tag not in pair.differing
        yield pair.finding("PIX-01", tag, str(after), severity="warning", inherited=same)
    elif before is not None:
        # It was decoded: harmless where all readers show the source in the same colours.
        yield pair.finding("PIX-01", tag, str(before), severity="warning", inherited=pair.contradiction is None)


@check(
    "PIX-01",
    "bits, range and VRs of the pixels agree",
    reason="readers take other bits for the value, or other colours, where the attributes contradict each other",
    section="PS3.3 C.7.6.3; PS3.5 8.1, 8.2",
)
def pixel_format(pair: Pair) -> Iterator[Finding]:
    """Check that the attributes of the pixel format agree with each other and fit the modality."""
    before = set(_format_problems(pair.source, pair.source_pixels))
    for tag, message in _format_problems(pair.written, pair.written_pixels):
        inherited = (tag, message) in before and tag not in pair.differing
        yield pair.finding("PIX-01", tag, message, inherited=inherited)


def _format_problems(dataset: Dataset, pixels: Pixels) -> Iterator[tuple[int, str]]:
    """Yield tag and message of each attribute of the pixel format that is inconsistent (PS3.3 C.7.6.3)."""
    if pixels.tag != tags.PIXEL_DATA:
        return
    modality, allocated, stored = text(dataset, tags.MODALITY), pixels.bits_allocated, pixels.bits_stored
    high = numbers(dataset, tags.HIGH_BIT)
    if not 1 <= stored <= allocated:
        yield tags.BITS_STORED, "Bits Stored does not fit Bits Allocated"
    if high != (stored - 1,):
        yield tags.HIGH_BIT, "High Bit is not Bits Stored - 1"
    if modality in ("CT", "MR", "PT") and allocated != 16 and pixels.samples == 1:
        yield tags.BITS_ALLOCATED, f"{modality} images have 16 bits allocated"
    if modality == "PT" and stored != 16:
        yield tags.BITS_STORED, "PT images have 16 bits stored"
    if modality == "PT" and pixels.intercept:
        yield tags.RESCALE_INTERCEPT, "PT images have no intercept"
    for tag in (
        tags.SMALLEST_IMAGE_PIXEL_VALUE,
        tags.LARGEST_IMAGE_PIXEL_VALUE,
        tags.SMALLEST_PIXEL_VALUE_IN_SERIES,
        tags.LARGEST_PIXEL_VALUE_IN_SERIES,
        tags.PIXEL_PADDING_VALUE,
        tags.PIXEL_PADDING_RANGE_LIMIT,
    ):
        element = dataset.get_item(tag) if tag in dataset else None
        vr = element.VR if element is not None else None
        if vr in ("US", "SS") and vr != ("SS" if pixels.signed else "US"):
            yield tag, "its VR disagrees with Pixel Representation"


@check(
    "PIX-04",
    "pixel padding",
    reason="a padding pixel that became another one is taken for tissue, and a pixel that became padding is hidden",
    section="PS3.3 C.7.5.1.1.2",
)
def padding(pair: Pair) -> Iterator[Finding]:
    """Check that the pixels within the padding range are those of the source (PS3.3 C.7.5.1.1.2)."""
    values, reference = pair.pixel_difference.values, pair.pixel_difference.reference
    if values is None or reference is None or values is reference or values.dtype.kind not in "iu":
        return
    before = padding_mask(pair.source, pair.source_pixels, reference)
    after = padding_mask(pair.written, pair.written_pixels, values)
    if before is None or after is None:
        return
    filled = int(np.count_nonzero(after & ~before))  # pixels without a value that processing made padding
    if np.any(before & ~after) or filled != (declared_filled(pair) if pair.processed else 0):
        yield pair.finding("PIX-04", tags.PIXEL_PADDING_VALUE, "padding pixels are not where they were")


def padding_range(dataset: Dataset, pixels: Pixels) -> tuple[int, int] | None:
    """Return the smallest and largest stored value of padding pixels; ``None`` if there are none."""
    value, limit = numbers(dataset, tags.PIXEL_PADDING_VALUE), numbers(dataset, tags.PIXEL_PADDING_RANGE_LIMIT)
    if not value or pixels.bits_allocated not in (8, 16, 32):
        return None
    ends = [as_stored(int(end), pixels) for end in (*value[:1], *(limit[:1] or value[:1]))]
    return min(ends), max(ends)


def padding_mask(dataset: Dataset, pixels: Pixels, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """Return where the padding pixels are, in the shape of ``values``; ``None`` if there are none."""
    ends = padding_range(dataset, pixels)
    return None if ends is None else (values >= ends[0]) & (values <= ends[1])


def as_stored(value: int, pixels: Pixels) -> int:
    """Return a value of VR US or SS as the stored value of the same bits, by Pixel Representation."""
    span = 1 << pixels.bits_allocated
    value %= span
    return value - span if pixels.signed and value >= span // 2 else value


@check(
    "LOS-01",
    "lossy compression is never denied",
    reason="a reader must know that details may be lost, whatever was done to the pixels since",
    section="PS3.3 C.7.6.1.1.5",
)
@reports("HDR-02")
def lossy_compression(pair: Pair) -> Iterator[Finding]:
    """Check that Lossy Image Compression tells of every lossy compression (PS3.3 C.7.6.1.1.5)."""
    tag = tags.LOSSY_IMAGE_COMPRESSION
    old, new = text(pair.source, tag), text(pair.written, tag)
    source_lossy, written_lossy = pair.source_pixels.is_lossy, pair.written_pixels.is_lossy
    if old == "01" and new != "01":
        yield pair.finding("LOS-01", tag, "a lossy compression is denied")
    elif written_lossy and not source_lossy and not pair.derived:
        yield pair.finding("LOS-01", tags.TRANSFER_SYNTAX_UID, "a copy must not be compressed with loss")
    elif new != "01" and (source_lossy or written_lossy):
        kept = not pair.derived and old == new
        yield pair.finding("LOS-01", tag, "a lossy compression is not said", inherited=kept)
    elif tag in pair.differing and not _may_add_loss(pair):
        outcome = pair.differing[tag][0].outcome
        if tag in pair.source:
            yield pair.finding("LOS-01", tag, f"{outcome} although it must be kept")
        else:
            yield pair.finding("HDR-02", tag, f"{outcome} although the source does not have it")


@reports("LOS-01", "HDR-02")
def lossy_history(pair: Pair) -> Iterator[Finding]:
    """Check that ratio and method of each earlier lossy compression are kept, and those of a new one there."""
    old, new = (text(dataset, tags.LOSSY_IMAGE_COMPRESSION) for dataset in (pair.source, pair.written))
    for tag in (tags.LOSSY_IMAGE_COMPRESSION_RATIO, tags.LOSSY_IMAGE_COMPRESSION_METHOD):
        before, after = (value.split(b"\\") if value else [] for value in pair.values(tag))
        if after[: len(before)] != before or (len(after) != len(before) and not _may_add_loss(pair)):
            message = "the history of lossy compressions is not kept"
            yield pair.finding("LOS-01" if before else "HDR-02", tag, message)
        elif new == "01" and not any(after):
            same = tag not in pair.differing and old == "01"
            yield pair.finding("LOS-01", tag, "is missing beside a lossy compression", inherited=same)


def _may_add_loss(pair: Pair) -> bool:
    """Tell whether attributes of lossy compression may be added.

    By compression, for a source that was decoded, and for processed pixels, to which other slices may have contributed.
    """
    return (pair.derived and pair.source_pixels.is_lossy) or pair.written_pixels.is_lossy or pair.processed


@reports("LOS-01")
def lossy_copy(pair: Pair) -> Iterator[Finding]:
    """Check that a copy of a lossy source keeps its transfer syntax: compressed again, it would lose more."""
    source, written = pair.source_pixels, pair.written_pixels
    if not pair.derived and source.is_lossy and written.syntax != source.syntax:
        message = "a copy of a lossy source must keep its compressed bytes"
        yield pair.finding("LOS-01", tags.TRANSFER_SYNTAX_UID, message)


def extremes(pair: Pair) -> Extremes | None:
    """Return the smallest and largest stored value, and what the header says they are in the series.

    ``None`` where the pixels are no integers, or were not decoded.
    """
    values = pair.pixel_difference.values
    if values is None or not values.size or values.dtype.kind not in "iu":
        return None
    stated_smallest, stated_largest = (
        as_stored(int(stated[0]), pair.written_pixels) if (stated := numbers(pair.written, tag)) else None
        for tag in (tags.SMALLEST_PIXEL_VALUE_IN_SERIES, tags.LARGEST_PIXEL_VALUE_IN_SERIES)
    )
    return Extremes(float(values.min()), float(values.max()), stated_smallest, stated_largest)
