"""A written data set and its source, read and compared, on which the checks of one pair are run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pydicom import uid
from pydicom.dataset import FileDataset

from itk_roundtrip import rules, tags
from itk_roundtrip.dicom.colours import Contradiction
from itk_roundtrip.dicom.regular import Problem
from itk_roundtrip.rules import Rule, rule_for
from itk_roundtrip.verify.attributes import Comparison, Difference, Element, decoded, text, value_of
from itk_roundtrip.verify.findings import Finding, Identity, Severity, make_finding
from itk_roundtrip.verify.stored import PixelDifference, Pixels


@dataclass(frozen=True)
class Pair:
    """A written data set and its source, with their differences.

    Attributes
    ----------
    source, written
        Data sets as pydicom read them.
    stood
        The undecoded elements of source and written data set.
    name
        What findings call the written file.
    identity
        ``derived`` or ``copy``.
    structure
        Problems of the structure of the written file only, and those of both files.
    comparison
        Of all attributes.
    pixels, difference
        Of the source and of the written file, and how they differ.
    """

    source: FileDataset
    written: FileDataset
    stood: tuple[Mapping[int, Element], Mapping[int, Element]]
    name: str
    identity: Identity
    structure: tuple[set[Problem], set[Problem]]
    comparison: Comparison
    pixels: tuple[Pixels, Pixels]
    difference: PixelDifference
    differing: dict[int, list[Difference]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for difference in self.comparison.differences:
            self.differing.setdefault(difference.tag, []).append(difference)

    def values(self, tag: int) -> tuple[bytes, bytes]:
        """Return the undecoded value bytes of an attribute in the source and in the written file, without padding."""
        before, after = (value_of(elements.get(tag)) for elements in self.stood)
        return before, after

    @cached_property
    def lossy(self) -> tuple[bool, bool]:
        """Whether source and written file are lossy compressed."""
        return self.pixels[0].is_lossy, self.pixels[1].is_lossy

    @property
    def derived(self) -> bool:
        """Whether the written file is judged as a derived instance."""
        return self.identity == "derived"

    @cached_property
    def primary(self) -> bool:
        """Whether it is PET or NM, where the times of the series are kept."""
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
        """Whether the pixels differ by decoding only: those of a lossy source, within the tolerance between decoders.

        Or those of a source whose header contradicts the colours of its stream.
        """
        difference, (largest, mean) = self.difference, decoder_tolerance(*self.pixels)
        within = difference.largest <= largest and difference.mean <= mean and not difference.problem
        if self.contradiction is not None and not self.lossy[0]:
            return within
        was_decoded = self.derived and self.lossy[0] and not self.lossy[1]
        colour = self.pixels[1].samples > 1
        return was_decoded and within and (colour or self.says_unchanged or "decoded" in self.added_description)

    @property
    def contradiction(self) -> Contradiction | None:
        """Contradiction of stream and header of a decoded source on its colours, if readers show different ones."""
        ours, theirs = self.pixels
        contradiction = ours.contradiction
        if contradiction is None or not contradiction.is_ambiguous or theirs.encapsulated:
            return None
        return contradiction

    @property
    def undecided(self) -> bool:
        """Whether the stored values are right by some decoders and wrong by as many others."""
        return self.difference.disputed and (self.processed or self.decoded_only or not self.difference.changed)

    @property
    def changed(self) -> bool:
        """Whether any stored or real-world value differs from the source."""
        return self.difference.changed > 0 or self.difference.largest_real > 0

    def finding(
        self,
        check: str,
        tag: int | None,
        message: str,
        *,
        path: str | None = None,
        severity: Severity = "error",
        inherited: bool = False,
    ) -> Finding:
        """Return a finding on the written file; an inherited one never fails the verification."""
        return make_finding(check, message, tag=tag, path=path, name=self.name, severity=severity, inherited=inherited)


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


def is_valid_uid(value: str) -> bool:
    """Tell whether a UID is valid (PS3.5 9.1); under root 2.25, only a UUID of 128 bits is (PS3.5 B.2)."""
    number = value.removeprefix("2.25.") if len(value) <= 64 and value.startswith("2.25.") else ""
    exceeds_uuid = number.isdecimal() and int(number) >= 1 << 128
    return uid.UID(value).is_valid and not exceeds_uuid
