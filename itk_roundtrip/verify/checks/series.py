"""The checks across a series: counts, UIDs, order and spacing, and what all instances of a series share."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from itk_roundtrip import tags
from itk_roundtrip.rules import is_primary, rule_for
from itk_roundtrip.series.find import Instance, Series, Skipped
from itk_roundtrip.series.geometry import ORIENTATION_TOLERANCE, POSITION_TOLERANCE_MM, positions_on_normal
from itk_roundtrip.series.shared import SHARED
from itk_roundtrip.verify.audit import SERIES_LEVEL, PairReport
from itk_roundtrip.verify.findings import Finding, Identity, make_finding
from itk_roundtrip.verify.pairing import BY_POSITION, BY_UID, Paired, Pairing, referred
from itk_roundtrip.words import agreeing, counted

_IRREGULARITIES = {
    "duplicate-uid": ("UID-02", tags.SOP_INSTANCE_UID),
    "truncated": ("FIL-01", tags.PIXEL_DATA),
    "mixed-size": ("GEO-01", tags.ROWS),
    "mixed-format": ("PIX-01", tags.BITS_STORED),
    "encoding": ("FIL-01", tags.TRANSFER_SYNTAX_UID),
    "mixed-spacing": ("GEO-01", tags.PIXEL_SPACING),
    "malformed-position": ("GEO-02", tags.IMAGE_POSITION_PATIENT),
    "malformed-orientation": ("GEO-02", tags.IMAGE_ORIENTATION_PATIENT),
    "malformed-spacing": ("GEO-02", tags.PIXEL_SPACING),
}
_IRREGULARITIES |= {shared.kind: (shared.check, shared.tag) for shared in SHARED}
"""Check and tag of each kind of irregularity; kinds that are absent here are checked as :data:`_GEOMETRY`."""
_GEOMETRY = ("GEO-02", tags.IMAGE_POSITION_PATIENT)
_MIXED = frozenset({"mixed-spacing", *(shared.kind for shared in SHARED)})
"""Kinds of a series that is no single series or volume: a warning even where the source has them too."""
_FINDINGS_OF_PAIRS = frozenset({"localizer", *(shared.kind for shared in SHARED if shared.check != "EQP-01")})
"""Kinds that are new only where an attribute of a pair changed, which is a finding of that pair already.

But for equipment (EQP-01): a writer may name its own."""
_NO_FAULTS = frozenset({"mosaic", "multi-frame", "unknown-spacing"})
"""Kinds of irregularity that are properties of sound series."""


@dataclass(frozen=True)
class Sides:
    """The source series and the written series, how their instances are paired, and the report on each pair.

    Attributes
    ----------
    source, written
        The series; the written one holds all instances of its folder, whatever series they say they are of.
    source_series, source_instances
        Series and SOP Instance UIDs of everything in the source folder.
    skipped
        Files of the written folder that are no instances.
    pairing
        Of the instances.
    reports
        One per pair, in the order of the pairs.
    identity
        ``derived`` or ``copy``.
    source_skipped
        Files of the source folder that are no instances.
    """

    source: Series
    written: Series
    source_series: frozenset[str]
    source_instances: frozenset[str]
    skipped: Sequence[Skipped]
    pairing: Pairing
    reports: Sequence[PairReport]
    identity: Identity
    source_skipped: Sequence[Skipped] = ()

    @property
    def primary(self) -> bool:
        """Whether the source is PET or NM."""
        first = self.source.instances[0]
        return is_primary(first.modality, first.sop_class_uid)


def check_series(sides: Sides) -> list[Finding]:
    """Return the findings on the written series as a whole, not on a single file."""
    return [finding for check in _CHECKS for finding in check(sides)]


def _files(sides: Sides) -> Iterator[Finding]:
    """Check that all files of the written folder are readable DICOM instances, each there once (FIL-01, UID-02)."""
    suffixes = {instance.path.suffix.lower() for instance in (*sides.source.instances, *sides.written.instances)}
    before = {(skipped.name, skipped.reason) for skipped in sides.source_skipped}
    for skipped in sides.skipped:
        if skipped.reason == "DICOMDIR":
            continue
        suffix = "." + skipped.name.rpartition(".")[2].lower() if "." in skipped.name else ""
        alien = skipped.reason.startswith("not DICOM") and suffix not in suffixes | {".dcm", ".ima"}
        check, tag = ("UID-02", tags.SOP_INSTANCE_UID) if skipped.duplicate_of else ("FIL-01", None)
        yield make_finding(check, skipped.reason, tag=tag, name=skipped.name,
                           severity="warning" if alien else "error",
                           inherited=(skipped.name, skipped.reason) in before)  # fmt: skip


def _counts(sides: Sides) -> Iterator[Finding]:
    """Check that every source instance has a written one and the other way round (CNT-01)."""
    left = {instance.name for instance in sides.pairing.sources_left}
    volumes = sides.source.volumes if left else ()
    for index, volume in enumerate(volumes):
        names = [instance.name for instance in volume.instances]
        if len(volumes) > 1 and len(names) > 1 and left.issuperset(names):
            message = f"nothing was written of volume {index} of {len(volumes)}, told apart by"
            reason = "; what was written of one volume is judged with that volume chosen"
            yield make_finding("CNT-01", f"{message} {sides.source.separated_by}{reason}", name=names[0],
                               count=len(names))  # fmt: skip
            left.difference_update(names)
    for instance in sides.pairing.sources_left:
        if instance.name not in left:
            continue
        yield make_finding("CNT-01", f"{instance.name} of the source has no written slice", name=instance.name)
    for instance in sides.pairing.written_left:
        yield make_finding("CNT-01", f"{instance.name} was written for no slice of the source", name=instance.name)


def _series_uids(sides: Sides) -> Iterator[Finding]:
    """Check that there is one Series Instance UID, new (derived) or that of the source (copy) (UID-01)."""
    written, source = sides.written.instances, sides.source.series_instance_uid
    counts = Counter(instance.series_instance_uid for instance in written)
    first = {uid: next(instance.name for instance in written if instance.series_instance_uid == uid) for uid in counts}
    tag = tags.SERIES_INSTANCE_UID
    if len(counts) > 1:
        usual = counts.most_common(1)[0][0]
        odd = next(uid for uid in counts if uid != usual)
        yield make_finding("UID-01", f"{len(counts)} series were written", tag=tag, name=first[odd],
                       count=len(written) - counts[usual])  # fmt: skip
    for uid, count in counts.items():
        if sides.identity == "copy" and uid != source:
            yield make_finding("UID-01", "is not that of the source", tag=tag, name=first[uid], count=count)
        elif sides.identity == "derived" and uid in sides.source_series and uid:
            yield make_finding("UID-01", "is that of a source series", tag=tag, name=first[uid], count=count)


def _sop_uids(sides: Sides) -> Iterator[Finding]:
    """Check that SOP Instance UIDs are unique, and new (derived) or those of the source (copy) (UID-02)."""
    tag, source_uids = tags.SOP_INSTANCE_UID, sides.source_instances - {""}
    by_uid: dict[str, list[Instance]] = defaultdict(list)
    for instance in sides.written.instances:
        by_uid[instance.sop_instance_uid].append(instance)
    source_counts = Counter(instance.sop_instance_uid for instance in sides.source.instances)
    for uid, instances in by_uid.items():
        if uid and len(instances) > 1:
            inherited = sides.identity == "copy" and source_counts[uid] == len(instances)
            yield make_finding("UID-02", "one SOP Instance UID for several files", tag=tag, name=instances[1].name,
                           count=len(instances) - 1, inherited=inherited)  # fmt: skip
    reused = [instance for instance in sides.written.instances if instance.sop_instance_uid in source_uids]
    if sides.identity == "derived" and reused:
        yield make_finding("UID-02", "is that of a source instance", tag=tag, name=reused[0].name, count=len(reused))
    if sides.identity == "copy":
        changed = [pair.written for pair in sides.pairing.pairs if pair.written.sop_instance_uid
                 != pair.source.sop_instance_uid]  # fmt: skip
        if changed:
            yield make_finding("UID-02", "is not that of the source", tag=tag, name=changed[0].name, count=len(changed))


def _shared(sides: Sides) -> Iterator[Finding]:
    """Check that the attributes of :data:`SERIES_LEVEL` have one value in all instances of the series."""
    values: dict[int, tuple[list[bytes], list[bytes]]] = {tag: ([], []) for tag in SERIES_LEVEL}
    names = [report.pair.written for report in sides.reports if report.series_level]
    for report in sides.reports:
        for tag, before, after in report.series_level:
            values[tag][0].append(before)
            values[tag][1].append(after)
    for tag, (old, new) in values.items():
        if len(set(new)) < 2:
            continue
        rule = rule_for(tag, identity=sides.identity, primary=sides.primary)
        inherited = old == new or (len(set(old)) > 1 and rule.action in ("keep", "append"))
        usual = Counter(new).most_common(1)[0][0]
        odd = [name for name, value in zip(names, new, strict=True) if value != usual]
        yield make_finding(SERIES_LEVEL[tag], "differs between instances of the series", tag=tag, name=odd[0],
                       count=len(odd), inherited=inherited)  # fmt: skip


def _instance_numbers(sides: Sides) -> Iterator[Finding]:
    """Check that Instance Numbers are kept, or 1 to N where the source lacks some or has some twice in one pass."""
    if sides.identity == "copy":
        return  # judged as all kept attributes
    passes = dict(zip((instance.name for instance in sides.source.instances), sides.source.pass_indices, strict=True))
    numbers = [(passes[instance.name], instance.instance_number) for instance in sides.source.instances]
    sound = all(number for _, number in numbers) and len(set(numbers)) == len(numbers)
    pairs = sides.pairing.pairs
    changed = [pair.written for pair in pairs if pair.source.instance_number != pair.written.instance_number]
    consecutive = sorted(pair.written.instance_number for pair in pairs) == sorted(map(str, range(1, len(pairs) + 1)))
    if changed and (sound or not consecutive):
        message = "changed without need" if sound else "changed, but not to 1 to the number of slices"
        yield make_finding("HDR-01", message, tag=tags.INSTANCE_NUMBER, name=changed[0].name, count=len(changed))


def _references(sides: Sides) -> Iterator[Finding]:
    """Check that Source Image refers to the source slice at the same position, and never to the instance itself."""
    if sides.identity == "copy":
        return
    source_uids = {instance.sop_instance_uid for instance in sides.source.instances}
    for pair in sides.pairing.pairs:
        uid, added = referred(pair.written), pair.written.source_images[len(pair.source.source_images) :]
        added_uids = {added_uid for _, added_uid in added}
        source_uid = pair.source.sop_instance_uid
        if pair.by in (BY_UID, BY_POSITION) and uid in source_uids and source_uid not in {uid, *added_uids}:
            yield make_finding(
                "DER-03",
                f"refers to another slice than the one that its {pair.by} says",
                tag=tags.SOURCE_IMAGE_SEQUENCE,
                name=pair.written.name,
            )
        if pair.written.sop_instance_uid in added_uids - {source_uid}:
            yield make_finding("DER-03", "refers to itself", tag=tags.SOURCE_IMAGE_SEQUENCE, name=pair.written.name)
        elif added_uids - sides.source_instances:
            yield make_finding("DER-03", "an item that was added refers to no instance of the source folder",
                           tag=tags.SOURCE_IMAGE_SEQUENCE, name=pair.written.name, severity="warning")  # fmt: skip
        earlier = pair.written.source_images[: len(pair.source.source_images)]
        if {earlier_uid for _, earlier_uid in earlier} - sides.source_instances:
            yield make_finding(
                "DER-03",
                "earlier items refer to instances outside the source folder",
                tag=tags.SOURCE_IMAGE_SEQUENCE,
                name=pair.written.name,
                severity="info",
            )


def places(source: Series, pairing: Pairing) -> list[tuple[float | None, float | None]]:
    """Return the positions of source and written slice of each pair along the normal of the source series, in mm."""
    orientations = (instance.image_orientation_patient for instance in source.instances)
    axes = next((orientation for orientation in orientations if orientation), None)
    if axes is None:
        return [(None, None)] * len(pairing.pairs)
    nowhere = (float("nan"),) * 3
    source_and_written = [
        positions_on_normal([instance.image_position_patient or nowhere for instance in side], axes).tolist()
        for side in ([pair.source for pair in pairing.pairs], [pair.written for pair in pairing.pairs])
    ]
    positions = [[None if math.isnan(place) else place for place in column] for column in source_and_written]
    return list(zip(*positions, strict=True))


def _geometry(sides: Sides) -> Iterator[Finding]:
    """Check order and spacing of the slices, where each frame lies, and that no irregularity is new (GEO-02)."""
    located = [
        (before, after, pair.written.name)
        for pair, (before, after) in zip(sides.pairing.pairs, places(sides.source, sides.pairing), strict=True)
        if before is not None and after is not None
    ]
    located.sort()
    steps = np.diff(np.array([place[:2] for place in located]).reshape(-1, 2), axis=0)
    for (before, after), (_, _, name) in zip(steps, located[1:], strict=True):
        if before > POSITION_TOLERANCE_MM and after <= 0:
            yield make_finding(
                "GEO-02", "stands in another order than its source", tag=tags.IMAGE_POSITION_PATIENT, name=name
            )
        elif abs(before - after) > POSITION_TOLERANCE_MM:
            yield make_finding(
                "GEO-02",
                "another distance to its neighbour than its source",
                tag=tags.IMAGE_POSITION_PATIENT,
                name=name,
            )
    for pair in sides.pairing.pairs:
        moved = [frame for frame in range(min(pair.source.planes, pair.written.planes)) if _moved(pair, frame)]
        if moved and pair.source.framed:
            lie = agreeing(len(moved), "lies", "lie")
            yield make_finding("GEO-02", f"{counted(len(moved), 'frame')} {lie} elsewhere than in the source",
                           tag=tags.IMAGE_POSITION_PATIENT, name=pair.written.name)  # fmt: skip
    counterpart = {pair.written.name: pair.source.name for pair in sides.pairing.pairs}
    source_files: dict[str, set[str]] = defaultdict(set)  # by kind of irregularity
    for irregularity in sides.source.irregularities:
        source_files[irregularity.kind].update(irregularity.files)
    for irregularity in sides.written.irregularities if sides.written.instances else ():
        if irregularity.kind in _NO_FAULTS:
            continue
        check, tag = _IRREGULARITIES.get(irregularity.kind, _GEOMETRY)
        files = {counterpart.get(name) for name in irregularity.files}
        inherited = irregularity.kind in source_files and files <= source_files[irregularity.kind]
        if inherited or irregularity.kind not in _FINDINGS_OF_PAIRS:
            first = irregularity.files[0] if irregularity.files else None
            yield make_finding(check, irregularity.message, tag=tag, name=first, inherited=inherited,
                           inherited_as="warning" if irregularity.kind in _MIXED else "info",
                           count=max(1, len(irregularity.files)))  # fmt: skip


def _moved(pair: Paired, frame: int) -> bool:
    """Tell whether position, orientation or offset of a frame differ from those of the source frame, or are missing."""
    before, after = pair.source.place(frame), pair.written.place(frame)
    if before is after or before == after:
        return False
    for old, new, tolerance in (
        (before.position, after.position, POSITION_TOLERANCE_MM),
        (before.orientation, after.orientation, ORIENTATION_TOLERANCE),
    ):
        if (old is None) != (new is None):
            return True
        if old is not None and new is not None and np.max(np.abs(np.subtract(old, new))) > tolerance:
            return True
    return before.offset != after.offset


def _nothing_done(sides: Sides) -> Iterator[Finding]:
    """Check that some value differs from the source where Derivation Description says processed (PIX-05)."""
    processed = [report for report in sides.reports if report.processed]
    if processed and not any(report.pair.changed or report.pair.largest_real for report in sides.reports):
        yield make_finding(
            "PIX-05",
            "said to be processed, but all values are those of the source",
            tag=tags.DERIVATION_DESCRIPTION,
            name=processed[0].pair.written,
            severity="warning",
            count=len(processed),
        )


def _series_extremes(sides: Sides) -> Iterator[Finding]:
    """Check Smallest and Largest Pixel Value in Series against the stored values of a processed series (STL-01)."""
    reports = [report for report in sides.reports if report.extremes is not None]
    if not reports or not any(report.processed and report.pair.changed for report in reports):
        return
    lowest = min(report.extremes[0] for report in reports if report.extremes)
    highest = max(report.extremes[1] for report in reports if report.extremes)
    for tag, index, actual in (
        (tags.SMALLEST_PIXEL_VALUE_IN_SERIES, 2, lowest),
        (tags.LARGEST_PIXEL_VALUE_IN_SERIES, 3, highest),
    ):
        wrong = [report for report in reports if report.extremes and report.extremes[index] not in (None, actual)]
        if wrong:
            yield make_finding("STL-01", "is not what the processed series holds", tag=tag, name=wrong[0].pair.written,
                           count=len(wrong))  # fmt: skip


_CHECKS = (
    _files, _counts, _series_uids, _sop_uids, _shared, _instance_numbers, _references, _geometry, _nothing_done,
    _series_extremes,
)  # fmt: skip
