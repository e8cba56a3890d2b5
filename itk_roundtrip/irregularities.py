"""What a series is not: whatever a reader of it as one regular volume would trip over."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from itk_roundtrip.geometry import Regularity
from itk_roundtrip.scan import Instance
from itk_roundtrip.volumes import orientations


@dataclass(frozen=True)
class Irregularity:
    """Something a reader of the series as one regular volume would trip over.

    ``kind`` is a fixed word; ``message`` says it to people; ``files`` are the files concerned.
    """

    kind: str
    message: str
    files: tuple[str, ...]


def find_irregularities(
    instances: Sequence[Instance], geometry: Regularity | None, volumes: int, separated_by: str
) -> Iterator[Irregularity]:
    """Find what a series is not: one complete, regular, uniform volume.

    Parameters
    ----------
    instances
        In slice order.
    geometry
        Of all of them; ``None`` if they have none in common.
    volumes, separated_by
        How many volumes they are, and what tells these apart.
    """

    def unlike_most(kind: str, text: str, key: Callable[[Instance], Any]) -> Iterator[Irregularity]:
        counts = Counter(key(one) for one in instances)
        if len(counts) > 1:
            usual = counts.most_common(1)[0][0]
            files = tuple(one.name for one in instances if key(one) != usual)
            yield Irregularity(kind, f"{text}: {len(files)} of {len(instances)} files differ from the others", files)

    notes: dict[str, list[str]] = defaultdict(list)
    for one in instances:
        if one.opening_note:
            notes[one.opening_note].append(one.name)
    for note, names in notes.items():
        yield Irregularity("encoding", f"{note}: {len(names)} of {len(instances)} files", tuple(names))
    truncated = tuple(one.name for one in instances if one.truncated)
    if truncated:
        yield Irregularity("truncated", f"{len(truncated)} files end before their pixels do", truncated)
    named: dict[str, list[str]] = defaultdict(list)
    for one in instances:
        named[one.sop_instance_uid].append(one.name)
    for sop_instance_uid, names in named.items():
        if sop_instance_uid and len(names) > 1:
            yield Irregularity("duplicate-uid", f"{len(names)} files have one SOP Instance UID", tuple(names))
    yield from unlike_most("mixed-size", "mixed sizes", lambda one: (one.rows, one.columns))
    yield from unlike_most("mixed-format", "mixed pixel formats", lambda one: one.pixel_format)
    localizers = tuple(one.name for one in instances if "LOCALIZER" in one.image_type)
    if localizers and len(localizers) < len(instances):
        yield Irregularity("localizer", f"{len(localizers)} files are localizers", localizers)
    elif localizers:
        yield Irregularity("localizer", "all files are localizers", localizers)
    mosaics = tuple(one.name for one in instances if one.mosaic)
    if mosaics:
        which = "all files" if len(mosaics) == len(instances) else f"{len(mosaics)} files"
        yield Irregularity("mosaic", f"{which} are mosaics: many slices tiled into one image", mosaics)
    several = [one for one in instances if one.frames > 1]
    if several:
        total = sum(one.frames for one in several)
        yield Irregularity(
            "multi-frame",
            f"{len(several)} files hold several frames, {total} in all",
            tuple(one.name for one in several),
        )
    missing = tuple(
        one.name for one in instances if one.image_position_patient is None or one.image_orientation_patient is None
    )
    if missing:
        yield Irregularity("no-position", f"{len(missing)} files have no position or orientation", missing)
    groups = orientations(instances)
    if len(groups) > 1:
        usual = max(groups, key=len)
        odd = tuple(one.name for group in groups if group is not usual for one in group)
        yield Irregularity(
            "mixed-orientation", f"{len(groups)} orientations: {len(odd)} files differ from the others", odd
        )
    if len({(one.rows, one.columns) for one in instances}) > 1 or sum(len(group) > 1 for group in groups) > 1:
        yield Irregularity("several-volumes", f"{volumes} volumes in one series, told apart by {separated_by}", ())
    if geometry is None:
        return
    if geometry.duplicates:
        files = tuple(instances[index].name for group in geometry.duplicates for index in group)
        sizes = {len(group) for group in geometry.duplicates}
        apart = f", told apart by {separated_by}"
        if len(geometry.duplicates) == geometry.positions and len(sizes) == 1 and geometry.positions > 1:
            yield Irregularity("4-D", f"4-D: {sizes.pop()} volumes of {geometry.positions} positions{apart}", files)
        else:
            yield Irregularity(
                "duplicate-position", f"{len(geometry.duplicates)} positions are taken by several files{apart}", files
            )
    if geometry.gaps:
        pairs = tuple(instances[index].name for gap in geometry.gaps for index in gap)
        yield Irregularity(
            "gap",
            f"uneven spacing in {len(geometry.gaps)} places (median {geometry.spacing_mm:g} mm), first between"
            f" {pairs[0]} and {pairs[1]}",
            pairs,
        )
    if geometry.tilt_degrees:
        yield Irregularity(
            "tilt",
            f"tilt: slices step sideways by {geometry.tilt_degrees:.1f} degrees",
            tuple(one.name for one in instances),
        )
