"""Checks of a written series as a whole: counterparts, UIDs, numbers, references, order and spacing, extremes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np

from itk_roundtrip import tags
from itk_roundtrip.rules import rule_for
from itk_roundtrip.series.find import Instance, Series
from itk_roundtrip.series.geometry import ORIENTATION_TOLERANCE, POSITION_TOLERANCE_MM
from itk_roundtrip.series.shared import SHARED
from itk_roundtrip.verify.findings import Finding, make_finding
from itk_roundtrip.verify.pairing import BY_POSITION, BY_UID, Paired, positions_along_normal, referred
from itk_roundtrip.verify.registry import Severity, check, reports
from itk_roundtrip.verify.series_pair import SERIES_LEVEL, SeriesPair
from itk_roundtrip.words import agreeing, counted


@reports("FIL-01", "UID-02")
def files(series: SeriesPair) -> Iterator[Finding]:
    """Check that all files of the written folder are readable DICOM instances, each there once."""
    suffixes = {instance.path.suffix.lower() for instance in (*series.source.instances, *series.written.instances)}
    in_source = {(skipped.name, skipped.reason) for skipped in series.source_skipped}
    for skipped in series.written_skipped:
        if skipped.reason == "DICOMDIR":
            continue
        suffix = "." + skipped.name.rpartition(".")[2].lower() if "." in skipped.name else ""
        # Notes and pictures beside the images are no instances that became unreadable.
        alien = skipped.reason.startswith("not DICOM") and suffix not in suffixes | {".dcm", ".ima"}
        check_id, tag = ("UID-02", tags.SOP_INSTANCE_UID) if skipped.duplicate_of else ("FIL-01", None)
        yield make_finding(
            check_id,
            skipped.reason,
            tag=tag,
            name=skipped.name,
            severity="warning" if alien else "error",
            inherited=(skipped.name, skipped.reason) in in_source,
        )


@reports("CNT-01")
def counterparts(series: SeriesPair) -> Iterator[Finding]:
    """Check that every source instance has a written one, and every written one a source instance.

    A volume of the source of which nothing was written is one finding.
    """
    if series.pairing.by_region:
        old, new = (counted(len(part.instances), "slice") for part in (series.source, series.written))
        yield make_finding("CNT-01", f"{new} on another grid, made of {old} of the source", severity="info")
    left = {instance.name for instance in series.pairing.sources_left}
    volumes = series.source.volumes if left else ()
    for index, volume in enumerate(volumes):
        names = [instance.name for instance in volume.instances]
        if len(volumes) > 1 and len(names) > 1 and left.issuperset(names):
            message = (
                f"nothing was written of volume {index} of {len(volumes)}, told apart by {series.source.separated_by};"
                " what was written of one volume is judged with that volume chosen"
            )
            yield make_finding("CNT-01", message, name=names[0], count=len(names))
            left.difference_update(names)
    for instance in series.pairing.sources_left:
        if instance.name in left:
            yield make_finding("CNT-01", f"{instance.name} of the source has no written slice", name=instance.name)
    for instance in series.pairing.written_left:
        yield make_finding("CNT-01", f"{instance.name} was written for no slice of the source", name=instance.name)


@check(
    "UID-01",
    "one Series Instance UID, new (derived) or that of the source (copy)",
    reason="an archive mixes a derived series that keeps the UID of its source with the source",
    section="PS3.3 C.7.3.1",
)
def series_instance_uid(series: SeriesPair) -> Iterator[Finding]:
    """Check that there is one Series Instance UID, a new one (derived) or that of the source (copy)."""
    tag, written = tags.SERIES_INSTANCE_UID, series.written.instances
    counts = Counter(instance.series_instance_uid for instance in written)
    first = {uid: next(instance.name for instance in written if instance.series_instance_uid == uid) for uid in counts}
    if len(counts) > 1:
        usual = counts.most_common(1)[0][0]
        odd = next(uid for uid in counts if uid != usual)
        message = f"{len(counts)} series were written"
        yield make_finding("UID-01", message, tag=tag, name=first[odd], count=len(written) - counts[usual])
    for uid, count in counts.items():
        if series.identity == "copy" and uid != series.source.series_instance_uid:
            yield make_finding("UID-01", "is not that of the source", tag=tag, name=first[uid], count=count)
        elif series.identity == "derived" and uid in series.source_series_uids and uid:
            yield make_finding("UID-01", "is that of a source series", tag=tag, name=first[uid], count=count)


@check(
    "UID-02",
    "SOP Instance UIDs unique, new (derived) or those of the source (copy)",
    reason="an archive keeps one instance of each UID, so that another one with the same UID is lost or replaces it",
    section="PS3.3 C.7.6.1.1.2, C.12.1.1.1",
)
def sop_instance_uids(series: SeriesPair) -> Iterator[Finding]:
    """Check that SOP Instance UIDs are unique, and new ones (derived) or those of the source (copy)."""
    tag, written = tags.SOP_INSTANCE_UID, series.written.instances
    by_uid: dict[str, list[Instance]] = defaultdict(list)
    for instance in written:
        by_uid[instance.sop_instance_uid].append(instance)
    source_counts = Counter(instance.sop_instance_uid for instance in series.source.instances)
    for uid, instances in by_uid.items():
        if uid and len(instances) > 1:
            yield make_finding(
                "UID-02",
                "one SOP Instance UID for several files",
                tag=tag,
                name=instances[1].name,
                count=len(instances) - 1,
                inherited=series.identity == "copy" and source_counts[uid] == len(instances),
            )
    if series.identity == "copy":
        pairs = series.pairing.pairs
        wrong = [pair.written for pair in pairs if pair.written.sop_instance_uid != pair.source.sop_instance_uid]
        message = "is not that of the source"
    else:
        source_uids = series.source_instance_uids - {""}
        wrong = [instance for instance in written if instance.sop_instance_uid in source_uids]
        message = "is that of a source instance"
    if wrong:
        yield make_finding("UID-02", message, tag=tag, name=wrong[0].name, count=len(wrong))


@check(
    "HDR-03",
    "series attributes are the same in all slices",
    reason="a viewer sorts slices that differ in them into several series, and a quantity has several units",
    section="PS3.3 A.1.2.3, C.7.3.1, C.8.9.1",
)
def series_level(series: SeriesPair) -> Iterator[Finding]:
    """Check that the attributes of :data:`SERIES_LEVEL` have one value in all instances of the series."""
    reports_with_values = [report for report in series.reports if report.series_level]
    for index, tag in enumerate(SERIES_LEVEL):
        old = [report.series_level[index][1] for report in reports_with_values]
        new = [report.series_level[index][2] for report in reports_with_values]
        if len(set(new)) < 2:
            continue
        rule = rule_for(tag, identity=series.identity, primary=series.primary)
        inherited = old == new or (len(set(old)) > 1 and rule.action in ("keep", "append"))
        usual = Counter(new).most_common(1)[0][0]
        odd = [report.pair.written for report, value in zip(reports_with_values, new, strict=True) if value != usual]
        message = "differs between instances of the series"
        yield make_finding("HDR-03", message, tag=tag, name=odd[0], count=len(odd), inherited=inherited)


@reports("HDR-01")
def instance_numbers(series: SeriesPair) -> Iterator[Finding]:
    """Check that Instance Numbers are kept, or 1 to N where the source lacks some or has some twice in one pass."""
    if series.identity == "copy":
        return  # judged as all kept attributes
    if series.pairing.by_region:
        numbers_written = [instance.instance_number for instance in series.written.instances]
        if set(numbers_written) != set(map(str, range(1, len(numbers_written) + 1))):
            message = "is not 1 to the number of slices on a new grid"
            yield make_finding("HDR-01", message, tag=tags.INSTANCE_NUMBER, name=series.written.instances[0].name)
        return
    passes = dict(zip((instance.name for instance in series.source.instances), series.source.pass_indices, strict=True))
    numbers = [(passes[instance.name], instance.instance_number) for instance in series.source.instances]
    sound = all(number for _, number in numbers) and len(set(numbers)) == len(numbers)
    pairs = series.pairing.pairs
    changed = [pair.written for pair in pairs if pair.source.instance_number != pair.written.instance_number]
    consecutive = sorted(pair.written.instance_number for pair in pairs) == sorted(map(str, range(1, len(pairs) + 1)))
    if changed and (sound or not consecutive):
        message = "changed without need" if sound else "changed, but not to 1 to the number of slices"
        yield make_finding("HDR-01", message, tag=tags.INSTANCE_NUMBER, name=changed[0].name, count=len(changed))


@reports("DER-03")
def references(series: SeriesPair) -> Iterator[Finding]:
    """Check that Source Image refers to the source slice at the same position, and never to the instance itself."""
    if series.identity == "copy":
        return
    for pair in series.pairing.pairs:
        for severity, message in _reference_faults(series, pair):
            tag, name = tags.SOURCE_IMAGE_SEQUENCE, pair.written.name
            yield make_finding("DER-03", message, tag=tag, name=name, severity=severity)


def _reference_faults(series: SeriesPair, pair: Paired) -> Iterator[tuple[Severity, str]]:
    """Yield severity and message of each fault of the items of Source Image Sequence of a written instance."""
    source, written = pair.source, pair.written
    kept_items = len(source.source_images)
    earlier = {uid for _, uid in written.source_images[:kept_items]}
    added = {uid for _, uid in written.source_images[kept_items:]}
    if pair.by in (BY_UID, BY_POSITION):
        uid = referred(written)
        if source.sop_instance_uid not in {uid, *added} and uid in _instance_uids(series.source):
            yield "error", f"refers to another slice than the one that its {pair.by} says"
    if written.sop_instance_uid in added - {source.sop_instance_uid}:
        yield "error", "refers to itself"
    elif added - series.source_instance_uids:
        yield "warning", "an item that was added refers to no instance of the source folder"
    if earlier - series.source_instance_uids:
        yield "info", "earlier items refer to instances outside the source folder"


def _instance_uids(series: Series) -> frozenset[str]:
    """Return the SOP Instance UIDs of a series."""
    return frozenset(instance.sop_instance_uid for instance in series.instances)


@check(
    "GEO-02",
    "order and spacing of the slices, and where each frame lies",
    reason="slices in another order, or at other distances, make another volume of right images",
    section="PS3.3 C.7.6.2, C.7.6.16.2.3",
)
def slice_order(series: SeriesPair) -> Iterator[Finding]:
    """Check that the slices follow each other along the normal as their sources do, at the same distances."""
    tag = tags.IMAGE_POSITION_PATIENT
    if series.pairing.by_region:
        return  # a grid of its own
    positions = positions_along_normal(series.source, series.pairing)
    located = sorted(
        (before, after, pair.written.name)
        for pair, (before, after) in zip(series.pairing.pairs, positions, strict=True)
        if before is not None and after is not None
    )
    steps = np.diff(np.array([position[:2] for position in located]).reshape(-1, 2), axis=0)
    for (before, after), (_, _, name) in zip(steps, located[1:], strict=True):
        if before > POSITION_TOLERANCE_MM and after <= 0:
            yield make_finding("GEO-02", "stands in another order than its source", tag=tag, name=name)
        elif abs(before - after) > POSITION_TOLERANCE_MM:
            yield make_finding("GEO-02", "another distance to its neighbour than its source", tag=tag, name=name)


@reports("GEO-02")
def frame_places(series: SeriesPair) -> Iterator[Finding]:
    """Check that the frames of each multi-frame instance lie where those of the source lie."""
    for pair in series.pairing.pairs:
        moved = [frame for frame in range(min(pair.source.planes, pair.written.planes)) if _has_moved(pair, frame)]
        if moved and pair.source.framed:
            message = (
                f"{counted(len(moved), 'frame')} {agreeing(len(moved), 'lies', 'lie')} elsewhere than in the source"
            )
            yield make_finding("GEO-02", message, tag=tags.IMAGE_POSITION_PATIENT, name=pair.written.name)


def _has_moved(pair: Paired, frame: int) -> bool:
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
    **{shared.kind: (shared.check, shared.tag) for shared in SHARED},
}
"""Check and tag of each kind of irregularity; kinds that are absent here are checked as :data:`_OF_GEOMETRY`."""
_OF_GEOMETRY = ("GEO-02", tags.IMAGE_POSITION_PATIENT)
_MIXED = frozenset({"mixed-spacing", *(shared.kind for shared in SHARED)})
"""Kinds of a series that is no single series or volume: a warning even where the source has them too."""
_FINDINGS_OF_FILES = frozenset({"localizer", *(shared.kind for shared in SHARED if shared.check != "EQP-01")})
"""Kinds that are new only where an attribute of a file changed, which is a finding on that file already.

But for equipment (EQP-01): a writer may name its own."""
_SOUND = frozenset({"mosaic", "multi-frame", "unknown-spacing"})
"""Kinds of irregularity that are properties of sound series."""


@reports("GEO-02", *(check_id for check_id, _ in _IRREGULARITIES.values()))
def irregularities(series: SeriesPair) -> Iterator[Finding]:
    """Check that the written series has no irregularity that the source series does not have."""
    source_names = {pair.written.name: pair.source.name for pair in series.pairing.pairs}
    source_files: dict[str, set[str]] = defaultdict(set)  # by kind of irregularity
    for irregularity in series.source.irregularities:
        source_files[irregularity.kind].update(irregularity.files)
    for irregularity in series.written.irregularities if series.written.instances else ():
        kind, names = irregularity.kind, irregularity.files
        inherited = kind in source_files and {source_names.get(name) for name in names} <= source_files[kind]
        if kind in _SOUND or (kind in _FINDINGS_OF_FILES and not inherited):
            continue
        check_id, tag = _IRREGULARITIES.get(kind, _OF_GEOMETRY)
        yield make_finding(
            check_id,
            irregularity.message,
            tag=tag,
            name=names[0] if names else None,
            count=max(1, len(names)),
            inherited=inherited,
            inherited_as="warning" if kind in _MIXED else "info",
        )


@reports("PIX-05")
def nothing_done(series: SeriesPair) -> Iterator[Finding]:
    """Check that some value differs from the source where Derivation Description says processed."""
    processed = [report for report in series.reports if report.processed]
    if processed and not any(report.pair.changed or report.pair.largest_real for report in series.reports):
        yield make_finding(
            "PIX-05",
            "said to be processed, but all values are those of the source",
            tag=tags.DERIVATION_DESCRIPTION,
            name=processed[0].pair.written,
            count=len(processed),
        )


@reports("STL-01")
def series_extremes(series: SeriesPair) -> Iterator[Finding]:
    """Check Smallest and Largest Pixel Value in Series against the stored values of a processed series."""
    known = [(report.pair.written, report.extremes) for report in series.reports if report.extremes is not None]
    if not known or not any(report.extremes and report.processed and report.pair.changed for report in series.reports):
        return
    smallest = min(extremes.smallest for _, extremes in known)
    largest = max(extremes.largest for _, extremes in known)
    for tag, wrong in (
        (
            tags.SMALLEST_PIXEL_VALUE_IN_SERIES,
            [name for name, extremes in known if extremes.stated_smallest not in (None, smallest)],
        ),
        (
            tags.LARGEST_PIXEL_VALUE_IN_SERIES,
            [name for name, extremes in known if extremes.stated_largest not in (None, largest)],
        ),
    ):
        if wrong:
            message = "is not what the processed series holds"
            yield make_finding("STL-01", message, tag=tag, name=wrong[0], count=len(wrong))


@reports("TIM-01")
def content_times(series: SeriesPair) -> Iterator[Finding]:
    """Check that processed instances at one position keep their times, by which viewers order them."""
    if not any(series.source.pass_indices):
        return
    changed = [report.pair.written for report in series.reports if report.processed and report.has_new_content_time]
    if changed:
        message = "is new although several instances share a position, and are told apart by their times"
        yield make_finding("TIM-01", message, tag=tags.CONTENT_TIME, name=changed[0], count=len(changed))


@reports("LOS-01")
def contributing_loss(series: SeriesPair) -> Iterator[Finding]:
    """Check that a lossy compression is said of processed instances to which a slice that had one contributed."""
    lossy = {instance.sop_instance_uid for instance in series.source.instances if instance.lost_detail}
    for pair, report in zip(series.pairing.pairs, series.reports, strict=True):
        added = {uid for _, uid in pair.written.source_images[len(pair.source.source_images) :]}
        if report.processed and added & lossy - {pair.source.sop_instance_uid} and pair.written.lossy != "01":
            message = "a lossy compression of a slice that contributed is not said"
            yield make_finding("LOS-01", message, tag=tags.LOSSY_IMAGE_COMPRESSION, name=pair.written.name)
