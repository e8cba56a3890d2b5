"""What processing of the pixels changes in the header of a derived instance: attributes that describe stored values.

:class:`Processing` is what was done to the series, :class:`ProcessedPixels` what became of the pixels of an instance.
The rule table says which attributes are touched (``Rule.processed``), the functions here with which value.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, Context, Decimal
from functools import cached_property
from typing import NamedTuple

from pydicom import uid
from pydicom.dataset import Dataset

from itk_roundtrip import tags
from itk_roundtrip.derivation.elements import code_items, coded, item_of, sequences_of
from itk_roundtrip.dicom import codes, values
from itk_roundtrip.dicom.decimals import decimal
from itk_roundtrip.dicom.edits import Appended, Edit, Edits, Item, Items, Nested, Removed
from itk_roundtrip.errors import RoundtripError
from itk_roundtrip.rules import (
    COMMENT,
    LONG_STRING_LIMIT,
    MAPPING_LABEL,
    PRIVATE_SCALES,
    RULES,
    UNCHANGED,
    Rule,
    private_scale,
    rule_for,
)
from itk_roundtrip.words import counted

OPERATION_LIMIT = 600
"""Characters of the operation with its parameters: other texts need the rest of Derivation Description."""
SHORT_STRING_LIMIT = 16
"""Characters in a value of VR SH, CS or DS (PS3.5 6.2)."""
PET_UNITS = frozenset({
    "CNTS", "NONE", "CM2", "CM2ML", "PCNT", "CPS", "BQML", "MGMINML", "UMOLMINML", "MLMING", "MLG", "1CM", "UMOLML",
    "PROPCNTS", "PROPCPS", "MLMINML", "MLML", "GML", "STDDEV",
})  # fmt: skip
"""Defined Terms of Units (0054,1001), PS3.3 C.8.9.1.1.3."""
_DOSE_UNITS = frozenset({"GY", "RELATIVE"})
"""Enumerated Values of Dose Units (3004,0002), PS3.3 C.8.8.3."""
_STATED_UNITS: dict[str, tuple[str, frozenset[str]]] = {
    "PT": ("Units", PET_UNITS), "RTDOSE": ("Dose Units", _DOSE_UNITS),
}  # fmt: skip
"""Attribute with the units of a modality, and its terms; all others have Rescale Type."""


class Code(NamedTuple):
    """A code: Code Value, Coding Scheme Designator, Code Meaning (PS3.3 8)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class Processing:
    """What was done to the pixels of a series.

    Attributes
    ----------
    operation, parameters
        For Derivation Description, as "Median, radius 1"; ASCII, the parameters may be empty.
    codes
        For Derivation Code Sequence, one for each successive step.
    footprint_slices
        Slices on each side that contributed to a slice; 0 if only its own, ``None`` if the whole volume.
    units, rescale_type
        Units of the processed values as the user states them, and their Rescale Type (0028,1054) if that is another
        text; ``None`` if they are those of the source.
    irregular
        The series was processed although it is irregular.
    grid, grid_identity
        What is said of a new grid, and what tells it from others; empty if the slices are those of the source.
    volume_digest
        Of the processed volume, for the UIDs.
    smallest, largest
        Stored values of the whole written series; ``None`` if they are not known.
    """

    operation: str
    parameters: str = ""
    codes: tuple[Code, ...] = ()
    footprint_slices: int | None = 0
    units: str | None = None
    rescale_type: str | None = None
    irregular: bool = False
    grid: str = ""
    grid_identity: str = ""
    volume_digest: str = ""
    smallest: int | None = None
    largest: int | None = None

    @property
    def text(self) -> str:
        """The operation and its parameters, for Derivation Description."""
        return ", ".join(part for part in (self.operation, self.parameters) if part)

    @property
    def extent(self) -> str:
        """What contributed to a slice beside itself, and that the series is irregular, for Derivation Description."""
        slices = self.footprint_slices
        parts = ["whole volume" if slices is None else f"neighbours {counted(slices, 'slice')} on each side"]
        parts = parts if slices != 0 else []
        return "; ".join(
            [*([self.grid] if self.grid else []), *parts, *(["series is irregular"] if self.irregular else [])]
        )

    def options(self) -> dict[str, str]:
        """Return what the UIDs of the derived series depend on."""
        stated = {"units": self.units, "rescale_type": self.rescale_type}
        return {
            "operation": self.operation,
            "parameters": self.parameters,
            "codes": "\\".join(":".join(code) for code in self.codes),
            "footprint_slices": "all" if self.footprint_slices is None else str(self.footprint_slices),
            **{name: text for name, text in stated.items() if text is not None},
            **({"grid": self.grid_identity} if self.grid_identity else {}),
            "volume": self.volume_digest,
        }


@dataclass(frozen=True)
class ProcessedPixels:
    """What became of the pixels of an instance.

    Attributes
    ----------
    bits_allocated, bits_stored, high_bit, signed
        Of the words that are written.
    slope, intercept
        Texts of the scale that is written: of Rescale Slope and Intercept, of RT Dose Dose Grid Scaling, or those for
        Real World Value Mapping; empty if none is written.
    real_world_value_mapping
        The scale is written as an item of Real World Value Mapping Sequence, as in MR images without Rescale Slope.
    smallest, largest
        Stored values that are written.
    max_error
        Largest error of a value that was not clipped, in real-world units.
    clipped, filled, moved
        Numbers of values that were clipped, of NaN and infinite ones that became padding, and of values moved off the
        padding.
    padding_kept
        Pixel Padding Value still holds; ``False`` removes it.
    contributing
        SOP Class UID and SOP Instance UID of the other source instances that contributed.
    frames
        Texts of slope and intercept of each frame, where frames have functional groups; empty if all have
        ``slope`` and ``intercept``.
    contributing_frames
        Of each frame, numbers from 1 of the other frames that contributed; empty if none did.
    is_elsewhere
        The slice is of a new grid, and the source the nearest slice.
    """

    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    smallest: int
    largest: int
    slope: str = ""
    intercept: str = ""
    real_world_value_mapping: bool = False
    max_error: float = 0.0
    clipped: int = 0
    filled: int = 0
    moved: int = 0
    padding_kept: bool = True
    contributing: tuple[tuple[str, str], ...] = ()
    frames: tuple[tuple[str, str], ...] = ()
    contributing_frames: tuple[tuple[int, ...], ...] = ()
    is_elsewhere: bool = False

    @property
    def stored_range(self) -> tuple[int, int]:
        """Smallest and largest value that Bits Stored can hold."""
        return _stored_range(self.bits_stored, self.signed)


# ----------------------------------------------------------------------------------------------------- checks


def parse_code(text: str) -> Code:
    """Return the code that a text names, as ``DCM:113087:Smoothing``; of DCM the meaning may be left out.

    Raises
    ------
    RoundtripError
        The text is no code.
    """
    scheme, _, rest = text.partition(":")
    value, _, meaning = rest.partition(":")
    return checked_code(Code(value.strip(), scheme.strip(), meaning.strip()))


def checked_code(code: tuple[str, str, str]) -> Code:
    """Return a code for Derivation Code Sequence, one of DCM with its meaning in the standard (CID 7203).

    Raises
    ------
    RoundtripError
        It is not complete, too long, or of DCM and not in CID 7203 or of another meaning there.
    """
    value, scheme, meaning = code
    if scheme == "DCM":
        known = codes.meanings(7203)
        if value not in known:
            raise RoundtripError(
                f'DCM has no code "{value}" for a derivation (PS3.16 CID 7203); use one of that list, or a code of'
                " another scheme, as 99LOCAL:VALUE:MEANING."
            )
        if meaning and meaning.casefold() != known[value].casefold():
            raise RoundtripError(f'The code {value} of DCM means "{known[value]}" (PS3.16 CID 7203), nothing else.')
        return Code(value, scheme, known[value])
    for part, name, limit in (
        (scheme, "scheme", SHORT_STRING_LIMIT),
        (value, "value", SHORT_STRING_LIMIT),
        (meaning, "meaning", LONG_STRING_LIMIT),
    ):
        if not part.strip():
            raise RoundtripError(f"A code lacks its {name}; write it as SCHEME:VALUE:MEANING.")
        if not _is_line(part) or len(part) > limit:
            raise RoundtripError(
                f"The {name} of a code must be ASCII text without a backslash, of at most {limit} characters."
            )
    return Code(value, scheme, meaning)


def check_processing(processing: Processing, modality: str) -> None:
    """Check what is said of a processing before anything is written.

    Raises
    ------
    RoundtripError
        A text cannot stand in the header, a code is none, or the modality does not have such units.
    """
    for text, name in ((processing.operation, "description"), (processing.parameters, "list of parameters")):
        if not _is_line(text):
            raise RoundtripError(f"The {name} must be one line of ASCII text without a backslash.")
        for claim in (UNCHANGED, COMMENT.strip()):
            if claim in text.lower():
                raise RoundtripError(f'The {name} must not say "{claim}", which the header says where it is so.')
    if not processing.operation.strip():
        raise RoundtripError("Processed pixels need a description of what was done, such as: Median, radius 1.")
    if len(processing.text) > OPERATION_LIMIT:
        raise RoundtripError(
            f"The description is too long: with its parameters at most {OPERATION_LIMIT} characters fit."
        )
    for code in processing.codes:
        checked_code(code)
    if processing.footprint_slices is not None and processing.footprint_slices < 0:
        raise RoundtripError("footprint_slices is 0 or more, or None for the whole volume.")
    keyword, terms = _STATED_UNITS.get(modality, ("", frozenset()))
    if keyword and processing.rescale_type is not None:
        raise RoundtripError(f"{modality} images have no Rescale Type; state the units of the values instead.")
    if keyword and processing.units is not None and processing.units not in terms:
        raise RoundtripError(f"{keyword} of {modality} images is one of {', '.join(sorted(terms))}.")
    for stated, name in ((processing.units, "units"), (processing.rescale_type, "rescale_type")):
        if stated is not None and (not stated.strip() or not _is_line(stated) or len(stated) > LONG_STRING_LIMIT):
            raise RoundtripError(
                f"{name} must be ASCII text without a backslash, of 1 to {LONG_STRING_LIMIT} characters."
            )


def _is_line(text: str) -> bool:
    """Tell whether a text can stand in any character set as a single value (PS3.5 6.1.2.1)."""
    return text.isascii() and (not text or text.isprintable()) and "\\" not in text


# ------------------------------------------------------------------------------------------------- the scale


class Scale(NamedTuple):
    """Slope and intercept from stored to real-world values."""

    slope: float = 1.0
    intercept: float = 0.0


def _scale(slope: str, intercept: str) -> Scale:
    """Return the scale of two texts: 1 for a slope that is absent or 0, and 0 for an intercept that is absent."""
    return Scale(decimal(slope) or 1.0, decimal(intercept) or 0.0)


def is_dose(source: Dataset) -> bool:
    """Tell whether the scale of an instance is Dose Grid Scaling (PS3.3 C.8.8.3)."""
    return values.text(source, tags.SOP_CLASS_UID) == uid.RTDoseStorage or tags.DOSE_GRID_SCALING in source


def source_scale_texts(source: Dataset) -> tuple[str, str]:
    """Return the texts of slope and intercept of a source without functional groups; empty if absent."""
    if is_dose(source):
        return values.text(source, tags.DOSE_GRID_SCALING), ""
    return values.text(source, tags.RESCALE_SLOPE), values.text(source, tags.RESCALE_INTERCEPT)


def frame_scale_texts(source: Dataset) -> list[tuple[str, str]]:
    """Return the texts of slope and intercept of each frame with functional groups; none without such groups."""
    shared = values.items(source, tags.SHARED_FUNCTIONAL_GROUPS_SEQUENCE)
    frames = values.items(source, tags.PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE) or shared[:1]
    texts = []
    for frame in frames:
        transformation = (
            values.items(frame, tags.PIXEL_VALUE_TRANSFORMATION_SEQUENCE)
            or [item for group in shared for item in values.items(group, tags.PIXEL_VALUE_TRANSFORMATION_SEQUENCE)]
            or [source]
        )
        texts.append(source_scale_texts(transformation[0]))
    return texts


def new_scale_texts(processed: ProcessedPixels, before: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the new texts of slope and intercept of each frame; those before where none is written."""
    if processed.frames:
        return [new if new[0] else old for new, old in zip(processed.frames, before, strict=True)]
    new = processed.slope, processed.intercept
    return [new if new[0] else old for old in before]


def scales(source: Dataset, processed: ProcessedPixels) -> list[tuple[Scale, Scale]]:
    """Return the scale before and after of each frame; a single pair without functional groups."""
    before = frame_scale_texts(source) or [source_scale_texts(source)]
    after = new_scale_texts(processed, before)
    return [(_scale(*old), _scale(*new)) for old, new in zip(before, after, strict=True)]


def source_units(source: Dataset) -> str:
    """Return the units of the real-world values of a source as it has them; empty if it says none."""
    if is_dose(source):
        return values.text(source, tags.DOSE_UNITS)
    if tags.UNITS in source:
        return values.text(source, tags.UNITS)
    groups = [
        item
        for tag in (tags.SHARED_FUNCTIONAL_GROUPS_SEQUENCE, tags.PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)
        for group in values.items(source, tag)[:1]
        for item in values.items(group, tags.PIXEL_VALUE_TRANSFORMATION_SEQUENCE)
    ]
    found = [text for text in (values.text(part, tags.RESCALE_TYPE) for part in (source, *groups)) if text]
    default = "HU" if values.text(source, tags.MODALITY) == "CT" else ""
    return found[0] if found else default  # Rescale Type is left out where it is HU (PS3.3 C.8.2.1)


def has_new_units(source: Dataset, processing: Processing) -> bool:
    """Tell whether the user stated other units than those of the source."""
    stated = [text for text in (processing.units, processing.rescale_type) if text is not None]
    return bool(stated) and source_units(source) not in stated


# ------------------------------------------------------------------------------------- Derivation Description


def figures(source: Dataset, processing: Processing, processed: ProcessedPixels) -> str:
    """Return what Derivation Description says of the stored values of a processed instance: ASCII, one part.

    The scale and the bits where they are new, the maximum error, and how many values are not what they were.
    """
    before = frame_scale_texts(source) or [source_scale_texts(source)]
    after = new_scale_texts(processed, before)
    changed = {(old, new) for old, new in zip(before, after, strict=True) if _scale(*old) != _scale(*new)}
    parts = []
    if len(changed) > 1:
        parts.append("requantised, slope per frame")
    for old, new in changed if len(changed) == 1 else ():
        shift = "" if _scale(*old).intercept == _scale(*new).intercept else f", intercept {old[1] or 0}->{new[1] or 0}"
        parts.append(f"requantised, slope {old[0] or 1}->{new[0]}{shift}")
    if (old_bits := values.unsigned_short(source, tags.BITS_STORED)) != processed.bits_stored:
        parts.append(f"bits {old_bits}->{processed.bits_stored}")
    if (values.unsigned_short(source, tags.PIXEL_REPRESENTATION) == 1) != processed.signed:
        parts.append("signed" if processed.signed else "unsigned")
    units = processing.units or processing.rescale_type or source_units(source)
    if not _is_line(units) or len(units) > SHORT_STRING_LIMIT or units in ("US", "normalized"):
        units = ""  # no name of a unit
    parts.append(f"max error {_rounded_up(processed.max_error)} {units}".rstrip())
    parts += [f"{counted(processed.clipped, 'value')} clipped"] if processed.clipped else []
    parts += [f"{processed.filled} NaN or Inf to padding"] if processed.filled else []
    parts += [f"{processed.moved} moved off padding"] if processed.moved else []
    return ", ".join(parts)


def _rounded_up(number: float) -> str:
    """Return a number of 6 digits that is not smaller."""
    rounded = Context(prec=6, rounding=ROUND_CEILING).create_decimal(Decimal(number)).normalize()
    text = f"{rounded:f}"
    return text if len(text) <= 12 else f"{rounded:e}"


# ----------------------------------------------------------------------------------------------------- edits


@dataclass(frozen=True)
class _Change:
    """An instance whose pixels were processed: its source, and what the values of the rule table are made of."""

    source: Dataset
    processing: Processing
    processed: ProcessedPixels
    created: datetime
    keeps_content_times: bool

    @cached_property
    def scales(self) -> list[tuple[Scale, Scale]]:
        """Scale before and after of each frame."""
        return scales(self.source, self.processed)

    @cached_property
    def is_rescaled(self) -> bool:
        """Whether stored values stand for other real-world values than before."""
        return any(before != after for before, after in self.scales)

    @cached_property
    def has_new_units(self) -> bool:
        """Whether the units are not those of the source."""
        return has_new_units(self.source, self.processing)

    @cached_property
    def was_signed(self) -> bool:
        """Whether the stored values of the source are signed."""
        return values.unsigned_short(self.source, tags.PIXEL_REPRESENTATION) == 1

    @property
    def is_relaid(self) -> bool:
        """Whether words are longer or of another sign, so that numbers beside them are encoded anew."""
        allocated = values.unsigned_short(self.source, tags.BITS_ALLOCATED)
        return self.was_signed != self.processed.signed or allocated != self.processed.bits_allocated

    @cached_property
    def window_is_stale(self) -> bool:
        """Whether windows are of other values than those that they are applied to (PS3.3 C.11.2)."""
        return self.has_new_units or (self.processed.real_world_value_mapping and self.is_rescaled)

    @cached_property
    def has_functional_groups(self) -> bool:
        """Whether the scale is that of frames."""
        return bool(frame_scale_texts(self.source))


def processed_edits(
    source: Dataset,
    processing: Processing,
    processed: ProcessedPixels,
    *,
    created: datetime,
    primary: bool,
    keeps_content_times: bool,
) -> Edits:
    """Return the edits of the top level that follow from processed pixels, by tag.

    Parameters
    ----------
    source
        Data set of the source instance, undecoded.
    processing, processed
        What was done, and what became of the pixels.
    created
        Moment of creation in the time zone of the instance.
    primary
        It is PET or NM, where the times are kept.
    keeps_content_times
        Several instances of the series share a position, so that their times tell them apart.
    """
    change = _Change(source, processing, processed, created, keeps_content_times)
    result: Edits = {}
    for rule in RULES:
        if rule.processed == "keep" or (rule.kept_for_primary and primary):
            continue
        edit = (_if_stale if rule.stale_after else _VALUES[rule.keyword])(change, rule)
        if edit is not None:
            result[rule.tag] = edit
    for tag in map(int, source.keys()):
        is_overlay = tag >> 24 == 0x60 and tag not in result
        if is_overlay and rule_for(tag, identity="derived", primary=primary).processed == "remove":
            result[tag] = Removed(tag)
    groups = (tags.SHARED_FUNCTIONAL_GROUPS_SEQUENCE, tags.PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)
    stale = stale_private_scales(source, stored=change.is_rescaled, real=change.has_new_units, skip=groups)
    return {**stale, **result}


def stale_private_scales(source: Dataset, *, stored: bool, real: bool, skip: Iterable[int] = ()) -> Edits:
    """Return the edits that remove private scales of the pixels that no longer hold, at any depth.

    Parameters
    ----------
    source
        Data set or item, undecoded.
    stored, real
        Whether slope and intercept changed, and whether the units of real-world values did.
    skip
        Sequences that are left out.
    """
    stale = {name for name, is_stale in (("stored", stored), ("real", real)) if is_stale}
    if not stale:
        return {}
    groups = {scale.group for scale in PRIVATE_SCALES}
    result: Edits = {}
    for tag in map(int, source.keys()):
        if tag >> 16 in groups and tag & 0xFFFF > 0xFF:
            scale = private_scale(tag, values.text(source, tags.creator_tag(tag)))
            if scale is not None and scale.scales in stale:
                result[tag] = Removed(tag)
    for tag, items in sequences_of(source):
        inside = {index: stale_private_scales(item, stored=stored, real=real) for index, item in enumerate(items)}
        inside = {index: edits for index, edits in inside.items() if edits}
        if inside and tag not in skip:
            result[tag] = Nested(tag, inside)
    return result


_Value = Edit | Items | Appended | Removed | None


def _changed(change: _Change, rule: Rule, vr: str, value: bytes) -> Edit | None:
    """Return the edit of an attribute; ``None`` if it has this value already."""
    before = values.words(change.source, rule.tag) if vr in ("US", "SS") else values.raw(change.source, rule.tag)
    element = change.source.get_item(rule.tag) if rule.tag in change.source else None
    same_vr = element is not None and element.VR in (None, vr)
    return None if before == value and same_vr else Edit(rule.tag, vr, value)


def _bits(change: _Change, rule: Rule) -> _Value:
    processed = change.processed
    value = {
        tags.BITS_ALLOCATED: processed.bits_allocated,
        tags.BITS_STORED: processed.bits_stored,
        tags.HIGH_BIT: processed.high_bit,
        tags.PIXEL_REPRESENTATION: int(processed.signed),
    }[rule.tag]
    return _changed(change, rule, "US", values.word("US", value))


def _slope(change: _Change, rule: Rule) -> _Value:
    """Return Rescale Slope or Intercept, or Dose Grid Scaling, where its number is another than before."""
    processed, source = change.processed, change.source
    if not processed.slope or processed.real_world_value_mapping or change.has_functional_groups:
        return None
    if is_dose(source) != (rule.tag == tags.DOSE_GRID_SCALING):
        return None
    is_new = tags.RESCALE_SLOPE not in source and tags.RESCALE_INTERCEPT not in source
    new = processed.slope
    if rule.tag == tags.RESCALE_INTERCEPT:
        new = processed.intercept or ("0" if is_new else "")  # slope and intercept stand together (PS3.3 C.11.1)
    old = values.text(source, rule.tag)
    return Edit(rule.tag, "DS", new.encode("ascii")) if new and decimal(new) != decimal(old) else None


def _units(change: _Change, rule: Rule) -> _Value:
    """Return Rescale Type, Units of PET or Dose Units, where the user stated them."""
    source, processing, processed = change.source, change.processing, change.processed
    stated = processing.units
    if rule.tag == tags.RESCALE_TYPE:
        stated = processing.rescale_type or processing.units
        has_slope = tags.RESCALE_SLOPE in source or (processed.slope and not processed.real_world_value_mapping)
        if not has_slope or change.has_functional_groups or is_dose(source) or tags.UNITS in source:
            return None
    elif rule.tag not in source:
        return None
    if stated is None or not change.has_new_units:
        return None
    return _changed(change, rule, rule.vr, stated.encode("ascii"))


def _if_stale(change: _Change, rule: Rule) -> _Value:
    """Return the removal of an attribute that has become false."""
    is_stale = {"pixels": True, "units": change.has_new_units, "window": change.window_is_stale}[rule.stale_after]
    return Removed(rule.tag) if is_stale and rule.tag in change.source else None


def _extreme(change: _Change, rule: Rule) -> _Value:
    """Return a smallest or largest stored value, if the source has it; it is removed if 16 bits cannot hold it."""
    value = {
        tags.SMALLEST_IMAGE_PIXEL_VALUE: change.processed.smallest,
        tags.LARGEST_IMAGE_PIXEL_VALUE: change.processed.largest,
        tags.SMALLEST_PIXEL_VALUE_IN_SERIES: change.processing.smallest,
        tags.LARGEST_PIXEL_VALUE_IN_SERIES: change.processing.largest,
    }[rule.tag]
    return _word(change, rule, value)


def _padding(change: _Change, rule: Rule) -> _Value:
    """Return Pixel Padding Value or Range Limit in the sign and length of the new words, if it is kept."""
    source, words = change.source, values.words(change.source, rule.tag)
    if rule.tag not in source:
        return None
    if not change.processed.padding_kept:
        return Removed(rule.tag)
    if not change.is_relaid:
        return None
    span = 1 << max(8, values.unsigned_short(source, tags.BITS_ALLOCATED) or 16)
    value = int.from_bytes(words[:2], "little", signed=change.was_signed) % span
    return _word(change, rule, value - span if change.was_signed and value >= span // 2 else value)


def _word(change: _Change, rule: Rule, value: int | None) -> _Value:
    """Return a stored value as US or SS, if the attribute is there; it is removed if it does not fit."""
    if rule.tag not in change.source:
        return None
    vr, (low, high) = ("SS", (-32768, 32767)) if change.processed.signed else ("US", (0, 65535))
    if not values.words(change.source, rule.tag):
        return _changed(change, rule, vr, b"")
    if value is None or not low <= value <= high:
        return Removed(rule.tag)
    return _changed(change, rule, vr, values.word(vr, value))


def _content_time(change: _Change, rule: Rule) -> _Value:
    if change.keeps_content_times or not values.raw(change.source, rule.tag):
        return None
    text = change.created.strftime("%Y%m%d" if rule.tag == tags.CONTENT_DATE else "%H%M%S")
    return _changed(change, rule, rule.vr, text.encode("ascii"))


def _qualification(change: _Change, rule: Rule) -> _Value:
    is_product = values.text(change.source, rule.tag) == "PRODUCT"
    return Edit(rule.tag, "CS", b"RESEARCH") if is_product else None


def _codes(change: _Change, rule: Rule) -> _Value:
    return Appended(rule.tag, code_items(*change.processing.codes)) if change.processing.codes else None


def _mapping(change: _Change, rule: Rule) -> _Value:
    """Return Real World Value Mapping of an instance without functional groups."""
    if change.has_functional_groups:
        return None
    before = values.items(change.source, rule.tag)
    after = mapping_items(change.source, before, change.scales[0], change.processing, change.processed)
    if after is None:
        return None
    return Items(rule.tag, after) if after else Removed(rule.tag)


_VALUES: dict[str, Callable[[_Change, Rule], _Value]] = {
    "ContentDate": _content_time,
    "ContentTime": _content_time,
    # Of the compression of what contributed, which PixelChange tells.
    "LossyImageCompression": lambda change, rule: None,
    "LossyImageCompressionRatio": lambda change, rule: None,
    "LossyImageCompressionMethod": lambda change, rule: None,
    "DerivationCodeSequence": _codes,
    "BitsAllocated": _bits,
    "BitsStored": _bits,
    "HighBit": _bits,
    "PixelRepresentation": _bits,
    "RescaleIntercept": _slope,
    "RescaleSlope": _slope,
    "DoseGridScaling": _slope,
    "RealWorldValueMappingSequence": _mapping,
    "RescaleType": _units,
    "Units": _units,
    "DoseUnits": _units,
    "PixelPaddingValue": _padding,
    "PixelPaddingRangeLimit": _padding,
    "SmallestImagePixelValue": _extreme,
    "LargestImagePixelValue": _extreme,
    "SmallestPixelValueInSeries": _extreme,
    "LargestPixelValueInSeries": _extreme,
    "ContentQualification": _qualification,
}
"""Functions that return the edit of each attribute whose rule holds for processed pixels; ``None`` keeps it.

Those that only become false are in no need of one."""


# ----------------------------------------------------------------------------------- Real World Value Mapping


def mapping_items(
    source: Dataset,
    items: Sequence[Dataset],
    scale: tuple[Scale, Scale],
    processing: Processing,
    processed: ProcessedPixels,
) -> tuple[Item, ...] | None:
    """Return the items of Real World Value Mapping for the new stored values (PS3.3 C.7.6.16.2.11).

    A mapping is of stored values: of the source ``quantity = S * SV + I``, so that for ``v = m * SV + b`` and new
    ``m'`` and ``b'`` it is ``S' = S * m' / m``, ``I' = I + S * (b' - b) / m``. Look-up tables cannot be computed anew,
    and other units have no mapping yet: these are left out.

    Parameters
    ----------
    source
        Data set of the source instance.
    items
        Of the source instance or frame.
    scale
        Before and after.
    processing, processed
        What was done, and what became of the pixels.

    Returns
    -------
    tuple
        ``None`` if the items still hold.
    """
    before, after = scale
    bits, was_signed = (
        values.unsigned_short(source, tags.BITS_STORED) or 16,
        values.unsigned_short(source, tags.PIXEL_REPRESENTATION) == 1,
    )
    old_range = _stored_range(bits, was_signed)
    is_new = before != after
    is_relaid = (old_range, was_signed) != (processed.stored_range, processed.signed)
    if has_new_units(source, processing):
        kept: list[Item] = []
        is_changed = bool(items)
    else:
        mapped = [_new_mapping(item, scale, old_range, was_signed, processed) for item in items]
        kept = [item for item in mapped if item is not None]
        is_changed = bool(items) and (is_new or is_relaid)
    if processed.real_world_value_mapping and is_new:
        return (*kept, _added_mapping(source, after, processing, processed))
    return tuple(kept) if is_changed else None


def _new_mapping(
    item: Dataset, scale: tuple[Scale, Scale], old_range: tuple[int, int], was_signed: bool, processed: ProcessedPixels
) -> Item | None:
    """Return a mapping of the new stored values; ``None`` if there is none."""
    before, after = scale
    slopes = _doubles(item, tags.REAL_WORLD_VALUE_SLOPE)
    intercepts = _doubles(item, tags.REAL_WORLD_VALUE_INTERCEPT)
    if before != after and (tags.REAL_WORLD_VALUE_LUT_DATA in item or not slopes or not intercepts):
        return None
    changes: dict[int, Edit | Items | None] = {}
    if before != after:
        slope, intercept = slopes[0], intercepts[0]
        new_slope = slope * after.slope / before.slope
        new_intercept = intercept + slope * (after.intercept - before.intercept) / before.slope
        changes[tags.REAL_WORLD_VALUE_SLOPE] = Edit(tags.REAL_WORLD_VALUE_SLOPE, "FD", values.word("FD", new_slope))
        changes[tags.REAL_WORLD_VALUE_INTERCEPT] = Edit(
            tags.REAL_WORLD_VALUE_INTERCEPT, "FD", values.word("FD", new_intercept)
        )

    def stored(value: float) -> float:
        """Return the new stored value of an old one."""
        return (before.slope * value + before.intercept - after.intercept) / after.slope

    for first_tag, last_tag, vr in (
        (tags.REAL_WORLD_VALUE_FIRST_VALUE_MAPPED, tags.REAL_WORLD_VALUE_LAST_VALUE_MAPPED, "US"),
        (
            tags.DOUBLE_FLOAT_REAL_WORLD_VALUE_FIRST_VALUE_MAPPED,
            tags.DOUBLE_FLOAT_REAL_WORLD_VALUE_LAST_VALUE_MAPPED,
            "FD",
        ),
    ):
        ends = [
            _doubles(item, tag)[:1] if vr == "FD" else _shorts(item, tag, was_signed) for tag in (first_tag, last_tag)
        ]
        if not all(ends):
            continue
        first, last = sorted(end[0] for end in ends)
        low, high = processed.stored_range
        is_whole = first <= old_range[0] and old_range[1] <= last and tags.REAL_WORLD_VALUE_LUT_DATA not in item
        new = [float(low), float(high)] if is_whole else sorted([stored(first), stored(last)])
        if vr == "FD":
            mapped = new
        else:
            vr = "SS" if processed.signed else "US"
            lowest, highest = (-32768, 32767) if processed.signed else (0, 65535)
            mapped = [min(max(math.floor(new[0]), lowest), highest), min(max(math.ceil(new[1]), lowest), highest)]
        changes[first_tag] = Edit(first_tag, vr, values.word(vr, mapped[0]))
        changes[last_tag] = Edit(last_tag, vr, values.word(vr, mapped[1]))
    return item_of(item, changes, signed=was_signed)


def _added_mapping(source: Dataset, scale: Scale, processing: Processing, processed: ProcessedPixels) -> Item:
    """Return the mapping that is the scale of an instance whose IOD has no Rescale Slope."""
    units = processing.units or processing.rescale_type or source_units(source)
    low, high = processed.stored_range
    vr, lowest, highest = ("SS", -32768, 32767) if processed.signed else ("US", 0, 65535)
    explanation = f"{MAPPING_LABEL}: real-world values{f' in {units}' if units else ''}"[:LONG_STRING_LIMIT]
    return (
        Edit(tags.LUT_EXPLANATION, "LO", explanation.encode("ascii", "replace")),
        coded(tags.MEASUREMENT_UNITS_CODE_SEQUENCE, codes.unit(units)),
        Edit(tags.LUT_LABEL, "SH", MAPPING_LABEL.encode("ascii")),
        Edit(tags.REAL_WORLD_VALUE_LAST_VALUE_MAPPED, vr, values.word(vr, min(high, highest))),
        Edit(tags.REAL_WORLD_VALUE_FIRST_VALUE_MAPPED, vr, values.word(vr, max(low, lowest))),
        Edit(tags.REAL_WORLD_VALUE_INTERCEPT, "FD", values.word("FD", scale.intercept)),
        Edit(tags.REAL_WORLD_VALUE_SLOPE, "FD", values.word("FD", scale.slope)),
    )


def _doubles(item: Dataset, tag: int) -> tuple[float, ...]:
    """Return the values of an element of VR FD."""
    words = values.words(item, tag)
    return struct.unpack(f"<{len(words) // 8}d", words[: len(words) // 8 * 8])


def _shorts(item: Dataset, tag: int, signed: bool) -> tuple[int, ...]:
    """Return the first value of an element of VR US or SS, or none."""
    words = values.words(item, tag)[:2]
    return (int.from_bytes(words, "little", signed=signed),) if len(words) == 2 else ()


def _stored_range(bits_stored: int, signed: bool) -> tuple[int, int]:
    """Return the smallest and largest value of some stored bits."""
    span = 1 << bits_stored
    return (-span // 2, span // 2 - 1) if signed else (0, span - 1)
