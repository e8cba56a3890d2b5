"""Results of a verification: findings, changes of attributes, pairs of slices, and the report of all."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from pydicom.datadict import keyword_for_tag

from itk_roundtrip import tags
from itk_roundtrip.arguments import Identity as Identity  # public here too
from itk_roundtrip.display import as_document, as_html
from itk_roundtrip.tags import tag_text
from itk_roundtrip.verify.registry import GROUPS, registered
from itk_roundtrip.verify.registry import Severity as Severity  # it is that of a finding
from itk_roundtrip.words import counted

Verdict = Literal["pass", "fail"]
Outcome = Literal[
    "kept",
    "set by rule",
    "removed by rule",
    "declared",
    "reformatted",
    "changed",
    "VR changed",
    "moved",
    "lost",
    "added",
]
"""Outcome for an attribute.

``declared``: a change that the caller made or allowed; ``reformatted``: equal numbers, other text; ``moved``: to
another private block.
"""


@dataclass(frozen=True)
class Finding:
    """A fault of the written series, or a note to the reader of the report.

    Attributes
    ----------
    check
        Id of the check, as ``HDR-01``; registered in :mod:`itk_roundtrip.verify.registry`.
    severity
        ``error`` fails the verification.
    slice
        The first written file it was found in (or source file, if it has no counterpart), relative to its folder;
        ``None`` for the whole series.
    tag
        As ``"(gggg,eeee)"``, of the top level.
    path
        Keywords from the top level down to a nested attribute, as ``"SourceImageSequence[0].CodeValue"``.
    message
        For people, without values.
    count
        In how many slices.
    inherited
        The source has it too, unchanged; then ``severity`` is ``info``, or ``warning`` where no series, or no volume,
        should be so.
    """

    check: str
    severity: Severity
    slice: str | None
    tag: str | None
    path: str | None
    message: str
    count: int = 1
    inherited: bool = False


@dataclass(frozen=True)
class Change:
    """Outcome for an attribute, kept ones too, and the number of slices that have it.

    Attributes
    ----------
    outcome
        One of :data:`Outcome`.
    tag, path
        As in :class:`Finding`; of a private attribute the path names its creator.
    rule
        What the rule table asks for: ``keep``, ``new``, ``set``, ``append`` or ``remove``.
    check
        Id of the check that judges it.
    slices, slice
        In how many slices, and the first written file of them.
    old, new
        Values in that slice; ``None`` where there is none, or where it identifies and ``show_values`` was not given.
    hidden
        A value was left out because it may identify.
    """

    outcome: Outcome
    tag: str
    path: str
    rule: str
    check: str
    slices: int
    slice: str
    old: str | None = None
    new: str | None = None
    hidden: bool = False


@dataclass(frozen=True)
class SlicePair:
    """A written slice and the source slice it was compared with.

    Attributes
    ----------
    source, written
        File names relative to their folders.
    by
        Criterion of the pairing: ``SOP Instance UID``, ``Source Image``, ``position``, ``instance number`` or
        ``file name``.
    source_mm, written_mm
        Place of each along the normal of the source series, in mm; ``None`` without geometry.
    sha256
        Of the written stored values (shape, then little-endian words); empty if they could not be read.
    pixels
        Number of stored values; 0 if there are none, they could not be compared, or decoders do not agree on them.
    changed
        How many of them differ from the source.
    largest
        Largest difference of stored values.
    largest_real
        Largest difference of real-world values, each with its own slope and intercept.
    """

    source: str
    written: str
    by: str
    source_mm: float | None = None
    written_mm: float | None = None
    sha256: str = ""
    pixels: int = 0
    changed: int = 0
    largest: float = 0.0
    largest_real: float = 0.0


@dataclass(frozen=True)
class Report:
    """Report of :func:`itk_roundtrip.verify_series`.

    Attributes
    ----------
    verdict
        ``fail`` if any finding is an error.
    source, written
        The two folders, as given.
    identity, identity_guessed
        What the written files were judged as, and whether that was guessed from them.
    source_series_instance_uid, series_instance_uid
        Of the source series and of the written one (the most frequent, if there are several).
    source_slices, slices
        Files of the source series, and written files that are DICOM.
    pairs
        In the order of the source slices.
    findings
        Errors first, then warnings, then infos; of each, those about pixels before geometry, identity and texts. Each
        is told once with its count.
    changes
        What became of every attribute, the kept ones last.
    decoders
        What decoded compressed pixels.
    warnings
        About the source folder: files left out.
    """

    verdict: Verdict
    source: str
    written: str
    identity: Identity
    identity_guessed: bool
    source_series_instance_uid: str
    series_instance_uid: str
    source_slices: int
    slices: int
    pairs: tuple[SlicePair, ...] = field(repr=False)
    findings: tuple[Finding, ...]
    changes: tuple[Change, ...] = field(repr=False)
    decoders: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        counts = Counter(finding.severity for finding in self.findings)
        found = ", ".join(counted(counts[severity], severity) for severity in ("error", "warning"))
        return f"<Report {self.verdict}: {counted(self.slices, 'slice')} as {self.identity}, {found}>"

    def _repr_html_(self) -> str:
        return as_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of the command ``verify``."""
        return as_document("verify_document", self)

    def outcomes(self) -> dict[str, int]:
        """Return how many elements had each outcome, over all slices."""
        counts: dict[str, int] = {}
        for change in self.changes:
            counts[change.outcome] = counts.get(change.outcome, 0) + change.slices
        return counts


def make_finding(
    check: str,
    message: str,
    *,
    tag: int | None = None,
    path: str | None = None,
    name: str | None = None,
    severity: Severity | None = None,
    count: int = 1,
    inherited: bool = False,
    inherited_as: Severity = "info",
) -> Finding:
    """Return a finding of a registered check, with the severity of that check unless another is given.

    An inherited one never fails. Without a ``path``, it has the keyword of the tag.

    Raises
    ------
    LookupError
        There is no such check.
    """
    usual = registered(check).severity
    severity = severity or usual
    if inherited:
        severity, message = inherited_as, f"inherited from the source: {message}"
    if tag is None:
        return Finding(check, severity, name, None, path, message, count, inherited)
    where = path or keyword_for_tag(tag) or tag_text(tag)
    return Finding(check, severity, name, tag_text(tag), where, message, count, inherited)


_PIXEL_DATA = tag_text(tags.PIXEL_DATA)


def first_error(findings: Iterable[Finding]) -> Finding | None:
    """Return the gravest error: unreadable files before pixels, geometry, identity and others; ``None`` without any."""
    errors = (finding for finding in findings if finding.severity == "error")
    return min(errors, key=gravity, default=None)


KINDS = ("Files", "Pixels", "Pixels", "Geometry", "Identity", "Texts and all else")
"""What the findings of each rank are about, by :func:`gravity`."""


def gravity(finding: Finding) -> int:
    """Return the rank of a finding, 0 for the gravest ones; an index of :data:`KINDS`."""
    unreadable = finding.check == "FIL-01" and finding.tag is None
    values = finding.check[:3] == "PIX" and finding.tag == _PIXEL_DATA
    return 0 if unreadable else 1 if values else GROUPS.get(finding.check[:3], max(GROUPS.values()))


_NAMED_IN_MESSAGE = re.compile(
    r"( - )?\(0x[0-9a-fA-F]{4},\s*0x[0-9a-fA-F]{4}\) [A-Z]{2} .*$|\s*\b(Element=|attribute )<[^<>]*>"
)
"""Names of attributes in messages of dciodvfy; the finding has the tag anyway."""


def grouped(findings: Iterable[Finding]) -> list[tuple[str, list[Finding]]]:
    """Return groups of findings with the same message, whatever their attributes; each group after its message."""
    groups: dict[tuple[str, str, bool, bool, str], list[Finding]] = {}
    for finding in findings:
        message = _NAMED_IN_MESSAGE.sub("", finding.message) if finding.tag else finding.message
        key = finding.severity, finding.check, finding.inherited, finding.slice is None, message
        groups.setdefault(key, []).append(finding)
    return [(key[-1] if len(group) > 1 else group[0].message, group) for key, group in groups.items()]
