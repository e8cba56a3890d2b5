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
"""Checks and tags of irregularities; all others are about the geometry of the series."""
_GEOMETRY = ("GEO-02", tags.IMAGE_POSITION_PATIENT)
_MIXED = frozenset({"mixed-spacing", *(shared.kind for shared in SHARED)})
"""What nobody should take for one series or one volume, whoever made it."""
_TOLD_BY_PAIR = frozenset({"localizer", *(shared.kind for shared in SHARED if shared.check != "EQP-01")})
"""What comes up only where an attribute of a pair changed, which is told there; a writer may name its own equipment."""
_NO_FAULTS = frozenset({"mosaic", "multi-frame", "unknown-spacing"})
"""Irregularities that only tell a reader what to expect."""


@dataclass(frozen=True)
class Sides:
    """Both series, their pairs, and what was found on each pair.

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
        """Whether it is PET or NM."""
        first = self.source.instances[0]
        return is_primary(first.modality, first.sop_class_uid)


def check_series(sides: Sides) -> list[Finding]:
    """Return what is wrong with the written series as a whole."""
    return [finding for check in _CHECKS for finding in check(sides)]


def _files(sides: Sides) -> Iterator[Finding]:
    """Check that what lies in the written folder are written files; a broken one is a finding."""
    suffixes = {one.path.suffix.lower() for one in (*sides.source.instances, *sides.written.instances)}
    before = {(one.name, one.reason) for one in sides.source_skipped}
    for one in sides.skipped:
        if one.reason == "DICOMDIR":
            continue
        suffix = "." + one.name.rpartition(".")[2].lower() if "." in one.name else ""
        alien = one.reason.startswith("not DICOM") and suffix not in suffixes | {".dcm", ".ima"}
        check, tag = ("UID-02", tags.SOP_INSTANCE_UID) if one.duplicate_of else ("FIL-01", None)
        yield make_finding(check, one.reason, tag=tag, name=one.name,
                           severity="warning" if alien else "error",
                           inherited=(one.name, one.reason) in before)  # fmt: skip


def _counts(sides: Sides) -> Iterator[Finding]:
    left = {one.name for one in sides.pairing.sources_left}
    volumes = sides.source.volumes if left else ()
    for index, volume in enumerate(volumes):
        names = [one.name for one in volume.instances]
        if len(volumes) > 1 and len(names) > 1 and left.issuperset(names):
            message = f"nothing was written of volume {index} of {len(volumes)}, told apart by"
            reason = "; what was written of one volume is judged with that volume chosen"
            yield make_finding("CNT-01", f"{message} {sides.source.separated_by}{reason}", name=names[0],
                               count=len(names))  # fmt: skip
            left.difference_update(names)
    for one in sides.pairing.sources_left:
        if one.name not in left:
            continue
        yield make_finding("CNT-01", f"{one.name} of the source has no written slice", name=one.name)
    for one in sides.pairing.written_left:
        yield make_finding("CNT-01", f"{one.name} was written for no slice of the source", name=one.name)


def _uids(sides: Sides) -> Iterator[Finding]:
    written, source = sides.written.instances, sides.source.series_instance_uid
    found = Counter(one.series_instance_uid for one in written)
    first = {uid: next(one.name for one in written if one.series_instance_uid == uid) for uid in found}
    tag = tags.SERIES_INSTANCE_UID
    if len(found) > 1:
        usual = found.most_common(1)[0][0]
        odd = next(uid for uid in found if uid != usual)
        yield make_finding("UID-01", f"{len(found)} series were written", tag=tag, name=first[odd],
                       count=len(written) - found[usual])  # fmt: skip
    for uid, count in found.items():
        if sides.identity == "copy" and uid != source:
            yield make_finding("UID-01", "is not that of the source", tag=tag, name=first[uid], count=count)
        elif sides.identity == "derived" and uid in sides.source_series and uid:
            yield make_finding("UID-01", "is that of a source series", tag=tag, name=first[uid], count=count)


def _sop_uids(sides: Sides) -> Iterator[Finding]:
    tag, old = tags.SOP_INSTANCE_UID, sides.source_instances - {""}
    named: dict[str, list[Instance]] = defaultdict(list)
    for one in sides.written.instances:
        named[one.sop_instance_uid].append(one)
    of_source = Counter(one.sop_instance_uid for one in sides.source.instances)
    for uid, instances in named.items():
        if uid and len(instances) > 1:
            inherited = sides.identity == "copy" and of_source[uid] == len(instances)
            yield make_finding("UID-02", "one SOP Instance UID for several files", tag=tag, name=instances[1].name,
                           count=len(instances) - 1, inherited=inherited)  # fmt: skip
    reused = [one for one in sides.written.instances if one.sop_instance_uid in old]
    if sides.identity == "derived" and reused:
        yield make_finding("UID-02", "is that of a source instance", tag=tag, name=reused[0].name, count=len(reused))
    if sides.identity == "copy":
        other = [one.written for one in sides.pairing.pairs if one.written.sop_instance_uid
                 != one.source.sop_instance_uid]  # fmt: skip
        if other:
            yield make_finding("UID-02", "is not that of the source", tag=tag, name=other[0].name, count=len(other))


def _shared(sides: Sides) -> Iterator[Finding]:
    """Check that what a series shares is the same in all its instances."""
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
    """Check that instance numbers are kept, or 1 to N where the source has none or the same twice in one pass."""
    if sides.identity == "copy":
        return  # judged as all kept attributes
    passes = dict(zip((one.name for one in sides.source.instances), sides.source.pass_indices, strict=True))
    numbers = [(passes[one.name], one.instance_number) for one in sides.source.instances]
    sound = all(number for _, number in numbers) and len(set(numbers)) == len(numbers)
    pairs = sides.pairing.pairs
    changed = [one.written for one in pairs if one.source.instance_number != one.written.instance_number]
    counted = sorted(one.written.instance_number for one in pairs) == sorted(map(str, range(1, len(pairs) + 1)))
    if changed and (sound or not counted):
        message = "changed without need" if sound else "changed, but not to 1 to the number of slices"
        yield make_finding("HDR-01", message, tag=tags.INSTANCE_NUMBER, name=changed[0].name, count=len(changed))


def _references(sides: Sides) -> Iterator[Finding]:
    """Check that no Source Image refers to another slice than the one that its position says."""
    if sides.identity == "copy":
        return
    known = {one.sop_instance_uid for one in sides.source.instances}
    for one in sides.pairing.pairs:
        uid, added = referred(one.written), one.written.source_images[len(one.source.source_images) :]
        uids = {other for _, other in added}
        own = one.source.sop_instance_uid
        if one.by in (BY_UID, BY_POSITION) and uid in known and own not in {uid, *uids}:
            yield make_finding(
                "DER-03",
                f"refers to another slice than the one that its {one.by} says",
                tag=tags.SOURCE_IMAGE_SEQUENCE,
                name=one.written.name,
            )
        if one.written.sop_instance_uid in uids - {own}:
            yield make_finding("DER-03", "refers to itself", tag=tags.SOURCE_IMAGE_SEQUENCE, name=one.written.name)
        elif uids - sides.source_instances:
            yield make_finding("DER-03", "an item that was added refers to no instance of the source folder",
                           tag=tags.SOURCE_IMAGE_SEQUENCE, name=one.written.name, severity="warning")  # fmt: skip
        if {other for _, other in one.written.source_images[: len(one.source.source_images)]} - sides.source_instances:
            yield make_finding(
                "DER-03",
                "earlier items refer to instances outside the source folder",
                tag=tags.SOURCE_IMAGE_SEQUENCE,
                name=one.written.name,
                severity="info",
            )


def places(source: Series, pairing: Pairing) -> list[tuple[float | None, float | None]]:
    """Return where source and written slice of each pair are along the normal of the source series, in mm."""
    axes = next((one.image_orientation_patient for one in source.instances if one.image_orientation_patient), None)
    if axes is None:
        return [(None, None)] * len(pairing.pairs)
    nowhere = (float("nan"),) * 3
    columns = [
        positions_on_normal([one.image_position_patient or nowhere for one in side], axes).tolist()
        for side in ([one.source for one in pairing.pairs], [one.written for one in pairing.pairs])
    ]
    known = [[None if math.isnan(place) else place for place in column] for column in columns]
    return list(zip(*known, strict=True))


def _geometry(sides: Sides) -> Iterator[Finding]:
    """Check order and spacing along the normal, and that no irregularity came up that the source does not have."""
    located = [
        (before, after, one.written.name)
        for one, (before, after) in zip(sides.pairing.pairs, places(sides.source, sides.pairing), strict=True)
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
    counterpart = {one.written.name: one.source.name for one in sides.pairing.pairs}
    theirs: dict[str, set[str]] = defaultdict(set)
    for old in sides.source.irregularities:
        theirs[old.kind].update(old.files)
    for irregularity in sides.written.irregularities if sides.written.instances else ():
        if irregularity.kind in _NO_FAULTS:
            continue
        check, tag = _IRREGULARITIES.get(irregularity.kind, _GEOMETRY)
        files = {counterpart.get(name) for name in irregularity.files}
        inherited = irregularity.kind in theirs and files <= theirs[irregularity.kind]
        if inherited or irregularity.kind not in _TOLD_BY_PAIR:
            first = irregularity.files[0] if irregularity.files else None
            yield make_finding(check, irregularity.message, tag=tag, name=first, inherited=inherited,
                           inherited_as="warning" if irregularity.kind in _MIXED else "info",
                           count=max(1, len(irregularity.files)))  # fmt: skip


def _moved(pair: Paired, frame: int) -> bool:
    """Tell whether a frame has another position, orientation or distance than that of the source, or none."""
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
    """Check that what says it was processed was."""
    processed = [one for one in sides.reports if one.processed]
    if processed and not any(one.pair.changed or one.pair.largest_real for one in sides.reports):
        yield make_finding(
            "PIX-05",
            "said to be processed, but all values are those of the source",
            tag=tags.DERIVATION_DESCRIPTION,
            name=processed[0].pair.written,
            severity="warning",
            count=len(processed),
        )


def _series_extremes(sides: Sides) -> Iterator[Finding]:
    """Check that smallest and largest value in the series are what it holds, once pixels were processed."""
    reports = [one for one in sides.reports if one.extremes is not None]
    if not reports or not any(one.processed and one.pair.changed for one in reports):
        return
    lowest = min(one.extremes[0] for one in reports if one.extremes)
    highest = max(one.extremes[1] for one in reports if one.extremes)
    for tag, index, actual in (
        (tags.SMALLEST_PIXEL_VALUE_IN_SERIES, 2, lowest),
        (tags.LARGEST_PIXEL_VALUE_IN_SERIES, 3, highest),
    ):
        wrong = [one for one in reports if one.extremes and one.extremes[index] not in (None, actual)]
        if wrong:
            yield make_finding("STL-01", "is not what the processed series holds", tag=tag, name=wrong[0].pair.written,
                           count=len(wrong))  # fmt: skip


_CHECKS = (
    _files, _counts, _uids, _sop_uids, _shared, _instance_numbers, _references, _geometry, _nothing_done,
    _series_extremes,
)  # fmt: skip
