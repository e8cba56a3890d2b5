"""What a series is not: whatever a reader of it as one regular volume would trip over."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from itk_roundtrip.rules import is_lossless
from itk_roundtrip.series.geometry import PLANE_ATTRIBUTES, Regularity, positions_on_normal
from itk_roundtrip.series.instance import Instance
from itk_roundtrip.series.shared import mixed
from itk_roundtrip.series.volumes import Slice, SubVolume, are_apart, distance, orientations, spacings
from itk_roundtrip.words import agreeing, counted


@dataclass(frozen=True)
class Irregularity:
    """Something a reader of the series as one regular volume would trip over.

    ``kind`` is a fixed word; ``message`` says it to people; ``files`` are the files concerned.
    """

    kind: str
    message: str
    files: tuple[str, ...]


def find_irregularities(
    instances: Sequence[Instance],
    slices: Sequence[Slice],
    geometry: Regularity | None,
    volumes: Sequence[SubVolume],
    separated_by: str,
) -> Iterator[Irregularity]:
    """Find what a series is not: one complete, regular, uniform volume.

    Parameters
    ----------
    instances
        In slice order.
    slices
        Of the instances, sorted along the normal.
    geometry
        Of all of them; ``None`` if they have none in common.
    volumes, separated_by
        The volumes that they are, and what tells these apart.
    """

    def unlike_most(kind: str, text: str, key: Callable[[Instance], Any]) -> Iterator[Irregularity]:
        counts = Counter(key(one) for one in instances)
        if len(counts) > 1:
            usual = min(counts, key=lambda value: (-counts[value], repr(value)))  # in whatever order they are
            files = tuple(one.name for one in instances if key(one) != usual)
            differ = agreeing(len(files), "differs", "differ")
            yield Irregularity(kind, f"{text}: {len(files)} of {len(instances)} files {differ} from the others", files)

    notes: dict[str, list[str]] = defaultdict(list)
    for one in instances:
        if one.opening_note:
            notes[one.opening_note].append(one.name)
    for note, names in notes.items():
        yield Irregularity("encoding", f"{note}: {len(names)} of {counted(len(instances), 'file')}", tuple(names))
    truncated = tuple(one.name for one in instances if one.truncated)
    if truncated:
        end = agreeing(len(truncated), "ends before its", "end before their")
        yield Irregularity("truncated", f"{counted(len(truncated), 'file')} {end} pixels do", truncated)
    named: dict[str, list[str]] = defaultdict(list)
    for one in instances:
        named[one.sop_instance_uid].append(one.name)
    for sop_instance_uid, names in named.items():
        if sop_instance_uid and len(names) > 1:
            yield Irregularity(
                "duplicate-uid", f"{counted(len(names), 'file')} differ and have one SOP Instance UID", tuple(names)
            )
    yield from unlike_most("mixed-size", "mixed sizes", lambda one: (one.rows, one.columns))
    yield from unlike_most("mixed-format", "mixed pixel formats", lambda one: one.pixel_format)
    for shared in mixed(instances):
        yield from unlike_most(shared.kind, f"mixed {shared.noun} ({shared.differing(instances)})", shared.value)
    broken = tuple(one.name for one in instances if one.is_lossy and is_lossless(one.transfer_syntax_uid))
    if broken:
        yield Irregularity(
            "lossy-stream",
            f"{counted(len(broken), 'file')} {agreeing(len(broken), 'holds', 'hold')} a lossy stream in a lossless"
            " transfer syntax",
            broken,
        )
    beyond = tuple(one.name for one in instances if one.bits_beyond)
    if beyond:
        yield Irregularity(
            "lossy-range",
            f"{counted(len(beyond), 'file')} {agreeing(len(beyond), 'has', 'have')} lossy streams of more bits than are"
            " stored: decoded values beyond these are clipped",
            beyond,
        )
    localizers = tuple(one.name for one in instances if "LOCALIZER" in one.image_type)
    if localizers:
        are = agreeing(len(localizers), "is a localizer", "are localizers")
        yield Irregularity("localizer", f"{_of_all(localizers, instances)} {are}", localizers)
    mosaics = tuple(one.name for one in instances if one.mosaic)
    if mosaics:
        are = agreeing(len(mosaics), "is a mosaic", "are mosaics")
        which = _of_all(mosaics, instances)
        yield Irregularity("mosaic", f"{which} {are}: many slices tiled into one image", mosaics)
    several = [one for one in instances if one.frames > 1]
    if several:
        total = sum(one.frames for one in several)
        yield Irregularity(
            "multi-frame",
            f"{counted(len(several), 'file')} {agreeing(len(several), 'holds', 'hold')} several frames, {total} in all",
            tuple(one.name for one in several),
        )
    yield from _geometry(instances, slices, geometry, volumes, separated_by)


def _geometry(
    instances: Sequence[Instance],
    slices: Sequence[Slice],
    geometry: Regularity | None,
    volumes: Sequence[SubVolume],
    separated_by: str,
) -> Iterator[Irregularity]:
    """Find what the geometry of a series is not."""
    for keyword, attribute in PLANE_ATTRIBUTES.items():
        malformed = [one for one in slices if keyword in one.place.malformed]
        if malformed:
            what = f"{len(malformed)} of {counted(len(slices), _noun(slices))}"
            text = f"{attribute.name} is not {attribute.expected}: {what}"
            yield Irregularity(attribute.irregularity, text, _files(malformed))
    yield from _unplaced(slices)
    groups = orientations(slices)
    if len(groups) > 1:
        usual = max(groups, key=len)
        odd = [one for group in groups if group is not usual for one in group]
        yield Irregularity(
            "mixed-orientation",
            f"{len(groups)} orientations: {_differ(odd)} from the others",
            _files(odd),
        )
    measured = [(spacing, group) for spacing, group in spacings(slices) if spacing is not None]
    if len(measured) > 1:
        common = max(measured, key=lambda item: len(item[1]))[1]
        odd = [one for _, group in measured if group is not common for one in group]
        yield Irregularity(
            "mixed-spacing",
            f"{len(measured)} pixel spacings: {_differ(odd)} from the others",
            _files(odd),
        )
    if (
        len({(one.rows, one.columns) for one in instances}) > 1
        or sum(len(group) > 1 for group in groups) > 1
        or len(measured) > 1
        or are_apart(slices)
    ):
        yield Irregularity("several-volumes", f"{len(volumes)} volumes in one series, told apart by {separated_by}", ())
    yield from _unmeasured(volumes)
    if geometry is not None and geometry.duplicates:
        twice = [slices[index] for group in geometry.duplicates for index in group]
        sizes = {len(group) for group in geometry.duplicates}
        apart = f", told apart by {separated_by}"
        if len(geometry.duplicates) == geometry.positions and sizes == {len(volumes)} and geometry.positions > 1:
            yield Irregularity(
                "4-D", f"4-D: {counted(len(volumes), 'volume')} of {geometry.positions} positions{apart}", _files(twice)
            )
        else:
            taken = agreeing(len(geometry.duplicates), "is", "are")
            if separated_by.endswith(" order") and len(sizes) + (len(geometry.duplicates) < geometry.positions) > 1:
                apart += "; not all positions have as many, so that a volume may mix them"
            yield Irregularity(
                "duplicate-position",
                f"{counted(len(geometry.duplicates), 'position')} {taken} taken by several {_noun(twice)}s{apart}",
                _files(twice),
            )
    whole = geometry is not None and (len(volumes) == 1 or geometry.duplicates)
    yield from _uneven([(slices, geometry)] if whole else [(one.ascending, one.geometry) for one in volumes])


def _uneven(stacks: Sequence[tuple[Sequence[Slice], Regularity | None]]) -> Iterator[Irregularity]:
    """Tell of gaps and tilt, where slices lie along one normal."""
    gaps = [(found, one[start], one[stop]) for one, found in stacks if found for start, stop in found.gaps]
    if gaps:
        first, before, behind = gaps[0]
        yield Irregularity(
            "gap",
            f"uneven spacing in {counted(len(gaps), 'place')}: {before.name} and {behind.name} are"
            f" {_apart(before, behind):.4g} mm apart, most neighbours {first.spacing_mm:.4g} mm",
            _files([one for _, *pair in gaps for one in pair], once=False),
        )
    tilted = [(found.tilt_degrees, one) for one, found in stacks if found and found.tilt_degrees]
    if tilted:
        yield Irregularity(
            "tilt",
            f"tilt: slices step sideways by {max(degrees for degrees, _ in tilted):.1f} degrees",
            _files([each for _, one in tilted for each in one]),
        )


def _apart(before: Slice, behind: Slice) -> float:
    """Return how far one slice lies before another along its normal, in mm; both have a place."""
    corners = [each.place.position for each in (before, behind) if each.place.position is not None]
    assert before.place.orientation is not None
    start, end = positions_on_normal(corners, before.place.orientation)
    return float(end - start)


def _noun(slices: Sequence[Slice]) -> str:
    return "frame" if any(one.instance.frames > 1 for one in slices) else "file"


def _differ(slices: Sequence[Slice]) -> str:
    return f"{counted(len(slices), _noun(slices))} {agreeing(len(slices), 'differs', 'differ')}"


def _of_all(names: Sequence[str], instances: Sequence[Instance]) -> str:
    return "all files" if 1 < len(names) == len(instances) else counted(len(names), "file")


def _files(slices: Sequence[Slice], *, once: bool = True) -> tuple[str, ...]:
    """Return the files of slices; those of frames stand once."""
    names = [one.instance.name for one in slices]
    return tuple(dict.fromkeys(names)) if once or _noun(slices) == "frame" else tuple(names)


def _unplaced(slices: Sequence[Slice]) -> Iterator[Irregularity]:
    """Tell what has no position or orientation, and where it is only said of a first frame."""
    places = [(one, one.place) for one in slices]
    missing = [one for one, place in places if place.position is None or place.orientation is None]
    following = [one for one, place in places if place.follows and place.position is not None]
    files = _files(missing)
    if files:
        whole = len(missing) == sum(one.instance.name in files for one in slices)
        what = counted(len(files), "file")
        what = what if whole else f"{counted(len(missing), 'frame')} of {what}"
        have = agreeing(len(files) if whole else len(missing), "has", "have")
        yield Irregularity("no-position", f"{what} {have} no position or orientation", files)
    if following and not files:
        names = _files(following)
        tell = agreeing(len(names), "tells the position of its", "tell the position of their")
        yield Irregularity("no-position", f"{counted(len(names), 'file')} {tell} first frame only", names)


def _unmeasured(volumes: Sequence[SubVolume]) -> Iterator[Irregularity]:
    """Tell where nothing says how far apart pixels or slices are."""
    pixels: list[Slice] = []
    slices: list[Slice] = []
    for volume in volumes:
        pixels += [
            one for one in volume.slices if one.place.spacing is None and "PixelSpacing" not in one.place.malformed
        ]
        if distance(volume.slices) is None:
            slices += volume.slices
    if pixels or slices:
        what = [name for name, found in (("pixels", pixels), ("slices", slices)) if found]
        files = _files([*pixels, *slices])
        do = agreeing(len(files), "does not say how far apart its", "do not say how far apart their")
        yield Irregularity("unknown-spacing", f"{counted(len(files), 'file')} {do} {' and '.join(what)} are", files)
