"""Checks of the pixels of a written file and the attributes that describe them, against its source."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from itk_roundtrip import tags
from itk_roundtrip.verify.attributes import elements, items, numbers, text
from itk_roundtrip.verify.findings import Finding
from itk_roundtrip.verify.pair import Pair
from itk_roundtrip.verify.stored import Pixels
from itk_roundtrip.words import agreeing

_PIXEL_TAGS = (tags.PIXEL_DATA, tags.FLOAT_PIXEL_DATA, tags.DOUBLE_FLOAT_PIXEL_DATA)


def _stored(pair: Pair) -> Iterator[Finding]:
    """Check that stored and real-world values are those of the source, or declared to be processed."""
    difference, (ours, theirs) = pair.difference, pair.pixels
    lossy = pair.lossy[0]
    if difference.problem and theirs.tag:
        same = difference.identical_value and ours.description == theirs.description
        yield pair.finding("PIX-02", tags.PIXEL_DATA, f"cannot be compared: {difference.problem}", inherited=same)
    elif difference.undecoded:
        # That they are the same bytes proves that nothing was lost, not that they are sound.
        message = f"not decoded: {difference.undecoded}; the compressed bytes are those of the source"
        yield pair.finding("PIX-02", tags.PIXEL_DATA, message, severity="info")
    elif pair.undecided:
        yield pair.finding("PIX-02", tags.PIXEL_DATA, f"not judged: {_opinions(pair)}", severity="warning")
    elif difference.wrong_colours:
        yield pair.finding("PIX-02", tags.PIXEL_DATA, f"colours that the stream does not say: {pair.contradiction}")
    elif difference.changed:
        differ = agreeing(difference.changed, "differs", "differ")
        amount = f"{difference.changed} of {difference.count} stored values {differ}, by at most {difference.largest:g}"
        if pair.processed:
            message = f"{amount} ({difference.largest_real:g} in real-world values)"
            yield pair.finding("PIX-03", tags.PIXEL_DATA, message, severity="info")
        elif not pair.decoded_only:
            claim = ", although Derivation Description says they do not" if pair.says_unchanged else ""
            undeclared = ", undeclared" if pair.derived and not claim else ""
            than = (
                f"; compared with the colours that the stream says: {pair.contradiction}" if pair.contradiction else ""
            )
            nearest = f"; {_opinions(pair)}" if difference.disputed else ""
            yield pair.finding("PIX-02", tags.PIXEL_DATA, amount + claim + undeclared + than + nearest)
    elif pair.processed:
        if difference.largest_real:
            amount = f"real-world values differ, by at most {difference.largest_real:g}"
            yield pair.finding("PIX-03", tags.RESCALE_SLOPE, amount, severity="info")
    elif difference.unused_changed:
        yield pair.finding("PIX-02", tags.PIXEL_DATA, "bits that hold no stored value differ")
    elif ours.native and theirs.native and not difference.identical_value and ours.tag == theirs.tag != 0:
        if ours.description == theirs.description:
            yield pair.finding("PIX-02", tags.PIXEL_DATA, "the padding of the pixel data differs")
        elif ours.samples == 1:
            yield pair.finding(
                "PIX-02", tags.PIXEL_DATA, "the value of the pixel data differs, the stored values do not"
            )
    if difference.disagreeing and not difference.disputed:
        yield pair.finding("PIX-02", tags.PIXEL_DATA, f"settled by most decoders: {_opinions(pair)}", severity="info")
    if difference.clipped and not difference.identical_value:
        message = f"{difference.clipped} values of the lossy source lie beyond Bits Stored: they count as clipped to it"
        yield pair.finding("PIX-02", tags.PIXEL_DATA, message, severity="info")
    for tag in _PIXEL_TAGS:
        if tag != ours.tag and tag in pair.written and tag not in pair.source:
            yield pair.finding("HDR-02", tag, "added although the source does not have it")
    if not pair.derived and lossy and theirs.syntax != ours.syntax:
        yield pair.finding(
            "LOS-01", tags.TRANSFER_SYNTAX_UID, "a copy of a lossy source must keep its compressed bytes"
        )


def _opinions(pair: Pair) -> str:
    """Return in words which decoders disagree on the values of the compressed pixels."""
    these, others = (" and ".join(names) for names in (pair.difference.agreeing, pair.difference.disagreeing))
    return f"decoders do not agree on the compressed pixels; compared with what {these} reads, {others} reads others"


def _colours(pair: Pair) -> Iterator[Finding]:
    """Check that a compressed stream and Photometric Interpretation name the same colour space (PS3.5 8.2.1, 8.2.4)."""
    before, after = (pixels.contradiction for pixels in pair.pixels)
    if after is not None:
        same = before == after and tags.PHOTOMETRIC_INTERPRETATION not in pair.differing
        yield pair.finding("PIX-01", tags.PHOTOMETRIC_INTERPRETATION, str(after), severity="warning", inherited=same)
    elif before is not None:
        harmless = pair.contradiction is None
        yield pair.finding(
            "PIX-01", tags.PHOTOMETRIC_INTERPRETATION, str(before), severity="warning", inherited=harmless
        )


def _bits(pair: Pair) -> Iterator[Finding]:
    """Check that the attributes of the pixel format agree with each other and fit the modality."""
    before = set(_bit_problems(pair.source, pair.pixels[0]))
    for tag, message in _bit_problems(pair.written, pair.pixels[1]):
        inherited = (tag, message) in before and tag not in pair.differing
        yield pair.finding("PIX-01", tag, message, inherited=inherited)


def _bit_problems(dataset: Dataset, pixels: Pixels) -> Iterator[tuple[int, str]]:
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


def _padding(pair: Pair) -> Iterator[Finding]:
    """Check that the pixels within the padding range are those of the source (PS3.3 C.7.5.1.1.2)."""
    values, reference = pair.difference.values, pair.difference.reference
    if values is None or reference is None or values is reference or values.dtype.kind not in "iu":
        return
    before = padding_mask(pair.source, pair.pixels[0], reference)
    after = padding_mask(pair.written, pair.pixels[1], values)
    if before is not None and after is not None and np.any(before != after):
        yield pair.finding("PIX-04", tags.PIXEL_PADDING_VALUE, "padding pixels are not where they were")


def _padding_range(dataset: Dataset, pixels: Pixels) -> tuple[int, int] | None:
    """Return the smallest and largest stored value of padding pixels; ``None`` if there are none."""
    value, limit = numbers(dataset, tags.PIXEL_PADDING_VALUE), numbers(dataset, tags.PIXEL_PADDING_RANGE_LIMIT)
    if not value or pixels.bits_allocated not in (8, 16, 32):
        return None
    ends = [as_stored(int(end), pixels) for end in (*value[:1], *(limit[:1] or value[:1]))]
    return min(ends), max(ends)


def padding_mask(dataset: Dataset, pixels: Pixels, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """Return where the padding pixels are, in the shape of ``values``; ``None`` if there are none."""
    ends = _padding_range(dataset, pixels)
    return None if ends is None else (values >= ends[0]) & (values <= ends[1])


def as_stored(value: int, pixels: Pixels) -> int:
    """Return a value of VR US or SS as the stored value of the same bits, by Pixel Representation."""
    span = 1 << pixels.bits_allocated
    value %= span
    return value - span if pixels.signed and value >= span // 2 else value


def _limits(pair: Pair) -> Iterator[Finding]:
    """Check that processed values do not pile up at the smallest or largest stored value."""
    values, pixels = pair.difference.values, pair.pixels[1]
    if not pair.processed or not pair.difference.changed or values is None or values.dtype.kind not in "iu":
        return
    for limit in pixels.limits:
        if np.count_nonzero(values == limit) * 2 > values.size:
            yield pair.finding("PIX-05", tags.PIXEL_DATA, "most values are at one limit", severity="warning")


def _processed(pair: Pair) -> Iterator[Finding]:
    """Check that slope, Bits Stored, smallest and largest value, icon and private scales fit processed pixels."""
    values, slope = pair.difference.values, pair.pixels[1].slope
    if not pair.processed or values is None:
        return
    if not math.isfinite(slope) or (slope == 0 and pair.pixels[0].slope):
        yield pair.finding("PIX-02", tags.RESCALE_SLOPE, "no slope that stored values can have")
    if pair.difference.beyond:
        yield pair.finding("PIX-01", tags.BITS_STORED, "stored values beyond Bits Stored")
    for tag, actual in (
        ((tags.SMALLEST_IMAGE_PIXEL_VALUE, values.min()), (tags.LARGEST_IMAGE_PIXEL_VALUE, values.max()))
        if pair.difference.changed
        else ()
    ):
        stated = numbers(pair.written, tag)
        if stated and as_stored(int(stated[0]), pair.pixels[1]) != int(actual):
            yield pair.finding("STL-01", tag, "is not what the processed pixels hold")
    if (
        pair.difference.changed
        and tags.ICON_IMAGE_SEQUENCE in pair.written
        and tags.ICON_IMAGE_SEQUENCE not in pair.differing
    ):
        yield pair.finding("STL-01", tags.ICON_IMAGE_SEQUENCE, "still shows the pixels before they were processed")
    changed_grid = (pair.pixels[0].slope, pair.pixels[0].intercept) != (pair.pixels[1].slope, pair.pixels[1].intercept)
    for tag, element in elements(pair.written).items() if changed_grid else ():
        if element is not None and tag not in pair.differing and _is_private_scale(tag):
            yield pair.finding("PRV-01", tag, "a private scale factor of the old slope", severity="warning")


def _is_private_scale(tag: int) -> bool:
    """Tell whether a private attribute is a scale factor of stored values: of Philips MR (2005) or PET (7053)."""
    group, element = tag >> 16, tag & 0xFF
    return tag & 0xFF00 >= 0x1000 and (
        (group == 0x2005 and element in (0x09, 0x0A, 0x0D, 0x0E)) or (group == 0x7053 and element in (0x00, 0x09))
    )


def _real_world(pair: Pair) -> Iterator[Finding]:
    """Check that Real World Value Mapping gives the quantities and units of the source (PS3.3 C.7.6.16.2.11)."""
    if not pair.processed:
        return  # then it must be kept, which _kept of the files checks
    before, after = (items(dataset, tags.REAL_WORLD_VALUE_MAPPING_SEQUENCE) for dataset in (pair.source, pair.written))
    ours, theirs = pair.pixels
    if not ours.slope or tags.REAL_WORLD_VALUE_MAPPING_SEQUENCE not in pair.written:
        return
    if len(before) != len(after):
        yield pair.finding("RWV-01", tags.REAL_WORLD_VALUE_MAPPING_SEQUENCE, "another number of mappings")
    for index, (old, new) in enumerate(zip(before, after, strict=False)):
        slopes = [numbers(item, tags.REAL_WORLD_VALUE_SLOPE) for item in (old, new)]
        intercepts = [numbers(item, tags.REAL_WORLD_VALUE_INTERCEPT) for item in (old, new)]
        if not (all(slopes) and all(intercepts)):
            continue
        slope = slopes[0][0] * theirs.slope / ours.slope
        intercept = intercepts[0][0] + slopes[0][0] * (theirs.intercept - ours.intercept) / ours.slope
        if not np.allclose([slope, intercept], [slopes[1][0], intercepts[1][0]], rtol=1e-9, atol=1e-12):
            yield pair.finding(
                "RWV-01",
                tags.REAL_WORLD_VALUE_MAPPING_SEQUENCE,
                "maps the new stored values to other quantities",
                path=f"RealWorldValueMappingSequence[{index}]",
            )
        units = [
            [text(code, tags.CODE_VALUE) for code in items(item, tags.MEASUREMENT_UNITS_CODE_SEQUENCE)]
            for item in (old, new)
        ]
        if units[0] != units[1]:
            yield pair.finding("RWV-01", tags.REAL_WORLD_VALUE_MAPPING_SEQUENCE, "has other units",
                               path=f"RealWorldValueMappingSequence[{index}].MeasurementUnitsCodeSequence")  # fmt: skip


def _lossy(pair: Pair) -> Iterator[Finding]:
    """Check that Lossy Image Compression, Ratio and Method tell of every lossy compression (PS3.3 C.7.6.1.1.5)."""
    source, written = pair.source, pair.written
    old, new = text(source, tags.LOSSY_IMAGE_COMPRESSION), text(written, tags.LOSSY_IMAGE_COMPRESSION)
    source_lossy, written_lossy = pair.lossy
    may_add = (pair.derived and source_lossy) or written_lossy
    if old == "01" and new != "01":
        yield pair.finding("LOS-01", tags.LOSSY_IMAGE_COMPRESSION, "a lossy compression is denied")
    elif written_lossy and not source_lossy and not pair.derived:
        yield pair.finding("LOS-01", tags.TRANSFER_SYNTAX_UID, "a copy must not be compressed with loss")
    elif new != "01" and (source_lossy or written_lossy):
        kept = not pair.derived and old == new
        yield pair.finding("LOS-01", tags.LOSSY_IMAGE_COMPRESSION, "a lossy compression is not said", inherited=kept)
    elif tags.LOSSY_IMAGE_COMPRESSION in pair.differing and not may_add:
        check, broken = "LOS-01", "it must be kept"
        if tags.LOSSY_IMAGE_COMPRESSION not in source:
            check, broken = "HDR-02", "the source does not have it"
        yield pair.finding(
            check,
            tags.LOSSY_IMAGE_COMPRESSION,
            f"{pair.differing[tags.LOSSY_IMAGE_COMPRESSION][0].outcome} although {broken}",
        )
    for tag in (tags.LOSSY_IMAGE_COMPRESSION_RATIO, tags.LOSSY_IMAGE_COMPRESSION_METHOD):
        before, after = (value.split(b"\\") if value else [] for value in pair.values(tag))
        if after[: len(before)] != before or (len(after) != len(before) and not may_add):
            check = "HDR-02" if not before else "LOS-01"
            yield pair.finding(check, tag, "the history of lossy compressions is not kept")
        elif new == "01" and not any(after):
            same = tag not in pair.differing and old == "01"
            yield pair.finding("LOS-01", tag, "is missing beside a lossy compression", inherited=same)


PIXEL_CHECKS = (_stored, _colours, _bits, _padding, _lossy, _limits, _processed, _real_world)
