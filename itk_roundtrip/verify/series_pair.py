"""A written series and its source series, with the report on each pair of files: what checks of a series look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from itk_roundtrip import tags
from itk_roundtrip.rules import is_primary
from itk_roundtrip.series.find import Instance, Series, Skipped
from itk_roundtrip.verify.findings import Change, Finding, Identity, SlicePair
from itk_roundtrip.verify.pairing import Pairing

SERIES_LEVEL = (
    tags.SERIES_NUMBER,
    tags.SERIES_DESCRIPTION,
    tags.SERIES_DATE,
    tags.SERIES_TIME,
    tags.PROTOCOL_NAME,
    tags.SERIES_TYPE,
    tags.COUNTS_SOURCE,
    tags.DECAY_CORRECTION,
)
"""Attributes that all instances of a series share (PS3.3 C.7.3.1, C.8.9.1).

Beside those of :data:`itk_roundtrip.series.shared.SHARED`, which are irregularities of a series."""


@dataclass(frozen=True)
class SeriesPair:
    """A written series and its source series, how their instances are paired, and the report on each pair.

    Attributes
    ----------
    source, written
        The series; the written one holds all instances of its folder, whatever series they say they are of.
    source_series_uids, source_instance_uids
        Series and SOP Instance UIDs of everything in the source folder, of other series too.
    written_skipped
        Files of the written folder that are no instances.
    pairing
        Which written instance was compared with which source instance, and which are left over.
    reports
        One per pair, in the order of the pairs.
    identity
        ``derived`` or ``copy``.
    source_skipped
        Files of the source folder that are no instances.
    allowed
        Tags of attributes whose changes are declared.
    """

    source: Series
    written: Series
    source_series_uids: frozenset[str]
    source_instance_uids: frozenset[str]
    written_skipped: Sequence[Skipped]
    pairing: Pairing
    reports: Sequence[PairReport]
    identity: Identity
    source_skipped: Sequence[Skipped] = ()
    allowed: frozenset[int] = frozenset()

    @property
    def primary(self) -> bool:
        """Whether the source is PET or NM, whose derived series keep Series Date and Time (PS3.3 C.8.9.1.1.2)."""
        first = self.source.instances[0]
        return is_primary(first.modality, first.sop_class_uid)


@dataclass(frozen=True)
class Extremes:
    """Smallest and largest stored value of a file, and those that its header states for the whole series."""

    smallest: float
    largest: float
    stated_smallest: int | None
    stated_largest: int | None


@dataclass(frozen=True)
class PairReport:
    """Findings and changes of a written file, and what the checks of the whole series need of it.

    Attributes
    ----------
    pair
        The slices, and how their pixels differ.
    findings, changes
        Of this file; of the attributes that are kept, only their tags, in ``kept``.
    instance
        The header scan of the written file, if that was asked for.
    primary
        Whether the source is PET or NM.
    series_level
        For each tag of :data:`SERIES_LEVEL`, the value bytes of the source and of the written file.
    processed
        Whether Derivation Description says that the pixels were processed.
    has_new_content_time
        Whether Content Date or Time are not those of the source.
    extremes
        Smallest and largest stored value; ``None`` unless the pixels were processed, and decoded to integers.
    decoders
        Names of what decoded the pixels.
    undecided
        Whether decoders do not agree on the stored values.
    """

    pair: SlicePair
    findings: tuple[Finding, ...]
    changes: tuple[Change, ...] = ()
    kept: tuple[int, ...] = ()
    instance: Instance | None = None
    primary: bool = False
    series_level: tuple[tuple[int, bytes, bytes], ...] = ()
    processed: bool = False
    has_new_content_time: bool = False
    extremes: Extremes | None = None
    decoders: tuple[str, ...] = ()
    undecided: bool = False
