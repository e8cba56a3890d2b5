"""A written file and its source, read and compared: what all checks look at."""

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
    """A written file and its source, read and compared.

    Attributes
    ----------
    source, written
        Data sets as pydicom read them.
    stood
        The elements of both, before any was decoded.
    name
        What findings call the written file.
    identity
        ``derived`` or ``copy``.
    structure
        What is wrong with the structure of the written file only, and what is wrong with both.
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
        """Return the bytes of an attribute as they stand in the source and in the written file, without padding."""
        before, after = (value_of(elements.get(tag)) for elements in self.stood)
        return before, after

    @cached_property
    def lossy(self) -> tuple[bool, bool]:
        """Whether the compressed pixels of the source and of the written file lost something."""
        return self.pixels[0].is_lossy, self.pixels[1].is_lossy

    @property
    def derived(self) -> bool:
        """Whether it is judged as a derived instance."""
        return self.identity == "derived"

    @cached_property
    def primary(self) -> bool:
        """Whether the series times are kept: PET and NM."""
        return rules.is_primary(text(self.source, tags.MODALITY), text(self.source, tags.SOP_CLASS_UID))

    def rule(self, tag: int) -> Rule:
        """Return the rule for an attribute of the top level."""
        return rule_for(tag, identity=self.identity, primary=self.primary)

    @cached_property
    def added_description(self) -> str:
        """What Derivation Description says beyond the source's, but for a comment of the user, which claims nothing."""
        if not self.derived:
            return ""
        added = added_text(
            decoded(self.source, tags.DERIVATION_DESCRIPTION), decoded(self.written, tags.DERIVATION_DESCRIPTION)
        )
        return "" if added.startswith(rules.COMMENT) else added.partition(f"; {rules.COMMENT}")[0]

    @property
    def says_unchanged(self) -> bool:
        """Whether it says that the stored values are those of the source."""
        return rules.UNCHANGED in self.added_description.lower()

    @property
    def processed(self) -> bool:
        """Whether it says that the pixels were processed, beyond decoding a compression that lost something."""
        unlike = self.derived and bool(self.added_description) and not self.says_unchanged
        return unlike and not self.decoded_only

    @cached_property
    def decoded_only(self) -> bool:
        """Whether a lossy source was decoded and nothing else, within what decoders differ by.

        Or one whose stream and header say different colours, to those that the stream says.
        """
        difference, (largest, mean) = self.difference, decoder_tolerance(*self.pixels)
        within = difference.largest <= largest and difference.mean <= mean and not difference.problem
        if self.contradiction is not None and not self.lossy[0]:
            return within
        decoded = self.derived and self.lossy[0] and not self.lossy[1]
        colour = self.pixels[1].samples > 1
        return decoded and within and (colour or self.says_unchanged or "decoded" in self.added_description)

    @property
    def contradiction(self) -> Contradiction | None:
        """How the colours of a source that was decoded contradict its header, so that readers see different ones."""
        ours, theirs = self.pixels
        found = ours.contradiction
        return found if found is not None and found.is_ambiguous and not theirs.encapsulated else None

    @property
    def undecided(self) -> bool:
        """Whether the stored values are right by one decoder and wrong by another, and no third one settles it."""
        return self.difference.disputed and (self.processed or self.decoded_only or not self.difference.changed)

    @property
    def changed(self) -> bool:
        """Whether any stored or real-world value is another one."""
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
        """Return a finding on this file; an inherited one never fails."""
        return make_finding(check, message, tag=tag, path=path, name=self.name, severity=severity, inherited=inherited)


def decoder_tolerance(source: Pixels, written: Pixels) -> tuple[float, float]:
    """Return by how much stored values may differ because two decoders read one lossy stream: at most, in the mean."""
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
    """Return what stands behind the old text, which may have lost its start to ``...``."""
    if new.startswith(old):
        return new[len(old) :].strip("; ")
    if new.startswith("..."):
        parts = new.removeprefix("...").split("; ")
        return "; ".join(parts[kept_parts(old, new) or -1 :])
    return new


def kept_parts(old: str, new: str) -> int:
    """Return how many parts of a text behind dots are the end of the old one; at least one part was added."""
    parts = new.removeprefix("...").split("; ") if new.startswith("...") else []
    ends = (count for count in range(len(parts) - 1, 0, -1) if old.endswith("; ".join(parts[:count])))
    return next(ends, 0)


def is_valid_uid(one: str) -> bool:
    """Tell whether a UID is valid; one under 2.25 must hold a UUID of 128 bits."""
    beyond = len(one) <= 64 and one.startswith("2.25.") and one[5:].isdecimal() and int(one[5:]) >= 1 << 128
    return uid.UID(one).is_valid and not beyond
