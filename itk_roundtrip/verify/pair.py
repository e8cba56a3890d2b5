"""A written file and its source file, read and compared: what the checks of a file look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

from pydicom import uid
from pydicom.dataset import FileDataset

from itk_roundtrip import rules, tags
from itk_roundtrip.dicom.colours import Contradiction
from itk_roundtrip.dicom.regular import Problem
from itk_roundtrip.dicom.values import Element, decoded, text, value_of
from itk_roundtrip.rules import Rule, rule_for
from itk_roundtrip.verify.attributes import Comparison, Difference
from itk_roundtrip.verify.findings import Finding, Identity, Severity, make_finding
from itk_roundtrip.verify.pixel_difference import PixelDifference
from itk_roundtrip.verify.stored import Pixels


@dataclass(frozen=True)
class Pair:
    """A written file and its source file, with their differences.

    Attributes
    ----------
    source, written
        Data sets as pydicom read them.
    source_elements, written_elements
        Their elements by tag, undecoded: pydicom decodes those in the data sets as they are looked at.
    name
        What findings call the written file.
    identity
        ``derived`` or ``copy``.
    new_problems, inherited_problems
        Problems of the structure that the written file has and its source has not, and those that both have.
    comparison
        The outcome for each attribute.
    source_pixels, written_pixels, pixel_difference
        Pixel data of both files, and how their values differ.
    reference
        Of each frame, ``.npy`` file of the real-world values that it must hold, and the index of the frame in it; empty
        without a reference.
    allowed
        Tags of attributes of the top level that may differ: declared changes.
    is_elsewhere
        The written slice is of another grid than the source, which is the nearest slice.
    differing
        The differences of ``comparison``, by the tag at the top level.
    """

    source: FileDataset
    written: FileDataset
    source_elements: Mapping[int, Element]
    written_elements: Mapping[int, Element]
    name: str
    identity: Identity
    new_problems: set[Problem]
    inherited_problems: set[Problem]
    comparison: Comparison
    source_pixels: Pixels
    written_pixels: Pixels
    pixel_difference: PixelDifference
    reference: tuple[tuple[Path, int], ...] = ()
    allowed: frozenset[int] = frozenset()
    is_elsewhere: bool = False
    differing: dict[int, list[Difference]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for difference in self.comparison.differences:
            self.differing.setdefault(difference.tag, []).append(difference)

    def values(self, tag: int) -> tuple[bytes, bytes]:
        """Return the undecoded value bytes of an attribute in the source and in the written file, without padding."""
        return value_of(self.source_elements.get(tag)), value_of(self.written_elements.get(tag))

    @property
    def derived(self) -> bool:
        """Whether the written file is judged as a derived instance."""
        return self.identity == "derived"

    @cached_property
    def primary(self) -> bool:
        """Whether the source is PET or NM, whose derived series keep Series Date and Time (PS3.3 C.8.9.1.1.2)."""
        return rules.is_primary(text(self.source, tags.MODALITY), text(self.source, tags.SOP_CLASS_UID))

    def rule(self, tag: int) -> Rule:
        """Return the rule for an attribute of the top level."""
        return rule_for(tag, identity=self.identity, primary=self.primary)

    @cached_property
    def added_description(self) -> str:
        """Text that Derivation Description adds to that of the source, but for a comment of the user."""
        if not self.derived:
            return ""
        added = added_text(
            decoded(self.source, tags.DERIVATION_DESCRIPTION), decoded(self.written, tags.DERIVATION_DESCRIPTION)
        )
        return "" if added.startswith(rules.COMMENT) else added.partition(f"; {rules.COMMENT}")[0]

    @property
    def says_unchanged(self) -> bool:
        """Whether Derivation Description says that the stored values are those of the source."""
        return rules.UNCHANGED in self.added_description.lower()

    @property
    def processed(self) -> bool:
        """Whether Derivation Description says that the pixels were processed, beyond decoding lossy ones."""
        says_processed = self.derived and bool(self.added_description) and not self.says_unchanged
        return says_processed and not self.decoded_only

    @cached_property
    def decoded_only(self) -> bool:
        """Whether the pixels differ by decoding only, within the tolerance between decoders.

        That may be so for a source of lossy compression, and for one whose header contradicts the colours of its
        stream. Where an operation is named with its error, it made the pixels, however little it changed.
        """
        parts = self.added_description.lower().split(";")
        if self.is_elsewhere or any("error" in part and "between decoders" not in part for part in parts):
            return False
        source, written, difference = self.source_pixels, self.written_pixels, self.pixel_difference
        largest, mean = decoder_tolerance(source, written)
        within = difference.largest <= largest and difference.mean <= mean and not difference.problem
        if self.contradiction is not None and not source.is_lossy:
            return within
        was_decoded = self.derived and source.is_lossy and not written.is_lossy
        colour = written.samples > 1
        return was_decoded and within and (colour or self.says_unchanged or "decoded" in self.added_description)

    @property
    def contradiction(self) -> Contradiction | None:
        """Contradiction of stream and header of a decoded source on its colours, if readers show different ones."""
        contradiction = self.source_pixels.contradiction
        if contradiction is None or not contradiction.is_ambiguous or self.written_pixels.encapsulated:
            return None
        return contradiction

    @property
    def undecided(self) -> bool:
        """Whether the stored values are right by some decoders and wrong by as many others."""
        difference = self.pixel_difference
        return difference.disputed and (self.processed or self.decoded_only or not difference.changed)

    @property
    def changed(self) -> bool:
        """Whether any stored value or real-world value differs from the source."""
        return self.pixel_difference.changed > 0 or self.pixel_difference.largest_real > 0

    def finding(
        self,
        check: str,
        tag: int | None,
        message: str,
        *,
        path: str | None = None,
        severity: Severity | None = None,
        inherited: bool = False,
    ) -> Finding:
        """Return a finding on the written file, with the usual severity of its check unless another is given.

        One that is ``inherited`` from the source never fails the verification.
        """
        return make_finding(check, message, tag=tag, path=path, name=self.name, severity=severity, inherited=inherited)


def is_declared(tag: int, allowed: frozenset[int]) -> bool:
    """Tell whether the change of an attribute is declared: by its own tag, or by its group, with element 0."""
    return tag in allowed or tag & 0xFFFF0000 in allowed


def decoder_tolerance(source: Pixels, written: Pixels) -> tuple[float, float]:
    """Return the tolerance between two decoders of one lossy stream: largest and mean difference of stored values."""
    contradiction = source.contradiction
    if contradiction is not None and contradiction.is_ambiguous and not written.encapsulated:
        chroma = rules.decoder_difference("YBR_FULL_422" if contradiction.subsampled else "YBR_FULL")
        return chroma, rules.MEAN_DECODER_DIFFERENCE
    if source.is_lossy and not written.is_lossy:
        return rules.decoder_difference(
            text(source.dataset, tags.PHOTOMETRIC_INTERPRETATION)
        ), rules.MEAN_DECODER_DIFFERENCE
    return 0.0, 0.0


def added_text(old: str, new: str) -> str:
    """Return the text that was added behind the old one, whose start may have been cut to ``...``."""
    if new.startswith(old):
        return new[len(old) :].strip("; ")
    if new.startswith("..."):
        parts = new.removeprefix("...").split("; ")
        return "; ".join(parts[kept_parts(old, new) or -1 :])
    return new


def kept_parts(old: str, new: str) -> int:
    """Return how many parts of a text that starts with ``...`` are the end of the old one; the last part is never."""
    parts = new.removeprefix("...").split("; ") if new.startswith("...") else []
    ends = (count for count in range(len(parts) - 1, 0, -1) if old.endswith("; ".join(parts[:count])))
    return next(ends, 0)


@lru_cache(maxsize=2000)  # most files repeat those of the others
def is_valid_uid(value: str) -> bool:
    """Tell whether a UID is valid (PS3.5 9.1); under root 2.25, only a UUID of 128 bits is (PS3.5 B.2)."""
    number = value.removeprefix("2.25.") if len(value) <= 64 and value.startswith("2.25.") else ""
    exceeds_uuid = number.isdecimal() and int(number) >= 1 << 128
    return uid.UID(value).is_valid and not exceeds_uuid
