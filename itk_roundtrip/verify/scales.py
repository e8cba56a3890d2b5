"""The scale and the units of the real-world values of a pair of files, and what is false once they have changed."""

from __future__ import annotations

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from itk_roundtrip import rules, tags
from itk_roundtrip.dicom.values import element_of, elements, items, text
from itk_roundtrip.verify.attributes import Difference
from itk_roundtrip.verify.pair import Pair

_GROUPS = (tags.SHARED_FUNCTIONAL_GROUPS_SEQUENCE, tags.PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)


def units_of(dataset: Dataset) -> str:
    """Return the units of real-world values: of PET, of RT Dose, or Rescale Type, which is HU where CT has none."""
    for tag in (tags.UNITS, tags.DOSE_UNITS, tags.RESCALE_TYPE):
        if stated := text(dataset, tag):
            return stated
    transformations = [
        item
        for tag in _GROUPS
        for group in items(dataset, tag)[:1]
        for item in items(group, tags.PIXEL_VALUE_TRANSFORMATION_SEQUENCE)
    ]
    if stated := next((text(item, tags.RESCALE_TYPE) for item in transformations), ""):
        return stated
    return "HU" if text(dataset, tags.MODALITY) == "CT" else ""


def has_new_units(pair: Pair) -> bool:
    """Tell whether the units of the written file are not those of the source."""
    return units_of(pair.source) != units_of(pair.written)


def is_rescaled(pair: Pair) -> bool:
    """Tell whether stored values stand for other real-world values than in the source, in any frame."""
    return pair.source_pixels.frame_scales != pair.written_pixels.frame_scales


def window_is_stale(pair: Pair) -> bool:
    """Tell whether windows of the source are of other values than those that they would be applied to (C.11.2)."""
    return has_new_units(pair) or (pair.written_pixels.mapped and is_rescaled(pair))


def adds_mapping(source: Dataset, written: Dataset) -> bool:
    """Tell whether Real World Value Mapping holds one more item that is the scale of the written file."""
    return _labelled(written) > _labelled(source)


def _labelled(dataset: Dataset) -> int:
    """Return how many mappings bear the label of this package, at the top level or in the groups of the first frame."""
    if not any(_may_hold_label(dataset, tag) for tag in (*_GROUPS, tags.REAL_WORLD_VALUE_MAPPING_SEQUENCE)):
        return 0
    groups = [group for tag in _GROUPS for group in items(dataset, tag)[:1]]
    return sum(
        text(item, tags.LUT_LABEL) == rules.MAPPING_LABEL
        for place in (dataset, *groups)
        for item in items(place, tags.REAL_WORLD_VALUE_MAPPING_SEQUENCE)
    )


def _may_hold_label(dataset: Dataset, tag: int) -> bool:
    """Tell whether the bytes of a sequence hold the label, so that it is worth decoding."""
    element = element_of(dataset, tag)
    if isinstance(element, RawDataElement):
        return rules.MAPPING_LABEL.encode() in (element.value or b"")
    return element is not None


def private_scale_at(dataset: Dataset, tag: int) -> rules.PrivateScale | None:
    """Return the scale of the pixels that a private attribute of a data set or item holds; ``None`` if none."""
    if not tag >> 16 & 1:
        return None
    creator = tags.creator_tag(tag)
    return rules.private_scale(tag, text(dataset, creator)) if creator in dataset else None


def is_stale(pair: Pair, scale: rules.PrivateScale) -> bool:
    """Tell whether a private scale no longer holds: slope and intercept changed, or the units did."""
    return is_rescaled(pair) if scale.scales == "stored" else has_new_units(pair)


def is_stale_scale(pair: Pair, difference: Difference) -> bool:
    """Tell whether a difference is the removal of a private scale that no longer holds, at any depth."""
    if difference.outcome != "lost" or difference.before is None:
        return False
    scale = private_scale_at(*difference.before)
    return scale is not None and is_stale(pair, scale)


def private_scales(dataset: Dataset) -> list[tuple[int, rules.PrivateScale]]:
    """Return the private scales of a data set at any depth, each by the tag at its top level."""
    found = []
    for tag in elements(dataset):
        if (scale := private_scale_at(dataset, tag)) is not None:
            found.append((tag, scale))
        found += [(tag, scale) for item in items(dataset, tag) for _, scale in private_scales(item)]
    return found
