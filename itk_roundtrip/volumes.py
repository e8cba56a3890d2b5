"""The volumes that one series holds: what a reader would want apart, and what tells them apart."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from itk_roundtrip.geometry import plane_name, positions_on_normal, regularity, same_orientation
from itk_roundtrip.scan import Instance

_ATTRIBUTES: dict[str, Callable[[Instance], str]] = {
    "TemporalPositionIdentifier": lambda one: one.temporal_position,
    "EchoTime": lambda one: one.echo_time,
    "EchoNumbers": lambda one: one.echo_numbers,
    "DiffusionBValue": lambda one: one.diffusion_b_value,
    "DiffusionGradientOrientation": lambda one: one.diffusion_gradient,
    "TriggerTime": lambda one: one.trigger_time,
    "InversionTime": lambda one: one.inversion_time,
    "FlipAngle": lambda one: one.flip_angle,
    "AcquisitionNumber": lambda one: one.acquisition_number,
    "AcquisitionTime": lambda one: one.acquisition_time,
    "ContentTime": lambda one: one.content_time,
    "ImageType": lambda one: "\\".join(one.image_type),
}
"""What may tell volumes at the same positions apart, the likeliest first."""
_CLOCKS = frozenset({"TriggerTime", "AcquisitionTime", "ContentTime"})
"""These differ from slice to slice in many series, whatever volume it is of."""


Key = tuple[str, ...]


@dataclass(frozen=True)
class SubVolume:
    """One of the volumes that a series holds.

    Attributes
    ----------
    instances
        In slice order; one, if it holds several frames.
    label
        What tells it from the others of its series, such as ``EchoTime 4.92``; empty if it is the only one.
    """

    instances: tuple[Instance, ...]
    label: str


@dataclass(frozen=True)
class _Part:
    """Some instances, what told them apart so far, and their label in each of these respects."""

    instances: tuple[Instance, ...]
    by: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


def separate(instances: Sequence[Instance]) -> tuple[tuple[SubVolume, ...], str]:
    """Cut the instances of a series into its volumes.

    First by size and by several frames, each instance of which is a volume of its own; then by orientation; then,
    where several instances stand at one position, by the first attribute, else the first pair of attributes, that
    differs within every position and has no more values than there are instances at the fullest position; in the end
    by the order of their numbers.

    Parameters
    ----------
    instances
        In slice order.

    Returns
    -------
    tuple
        The volumes, and what tells them apart, such as ``EchoTime``; empty if there is only one.
    """
    parts = [_Part(tuple(instances))]
    for cut in (_by_size, _by_frames, _by_orientation, _by_attributes):
        parts = [smaller for part in parts for smaller in cut(part)]
    by = dict.fromkeys(name for part in parts for name in part.by)
    return tuple(SubVolume(part.instances, ", ".join(part.labels)) for part in parts), ", ".join(by)


def orientations(instances: Sequence[Instance]) -> list[list[Instance]]:
    """Return the instances that have an orientation, grouped by it."""
    groups: list[list[Instance]] = []
    for one in instances:
        if one.image_orientation_patient is None:
            continue
        for group in groups:
            first = group[0].image_orientation_patient
            if first is not None and same_orientation(first, one.image_orientation_patient):
                group.append(one)
                break
        else:
            groups.append([one])
    return groups


def _cut(part: _Part, by: str, groups: Sequence[tuple[str, Sequence[Instance]]]) -> list[_Part]:
    if len(groups) < 2:
        return [part]
    return [_Part(tuple(group), (*part.by, by), (*part.labels, label)) for label, group in groups]


def _by_size(part: _Part) -> list[_Part]:
    groups: dict[tuple[int | None, ...], list[Instance]] = defaultdict(list)
    for one in part.instances:
        groups[one.rows, one.columns, one.samples_per_pixel or 1].append(one)
    named = []
    for group in groups.values():
        one = group[0]
        samples = f" of {one.samples_per_pixel} samples" if (one.samples_per_pixel or 1) > 1 else ""
        named.append((f"{one.columns}x{one.rows}{samples}" if one.rows else "no size", group))
    return _cut(part, "size", named)


def _by_frames(part: _Part) -> list[_Part]:
    single = [one for one in part.instances if one.frames == 1]
    several = [one for one in part.instances if one.frames > 1]
    groups = [("single frames", single)] if single else []
    return _cut(part, "frames", [*groups, *((f"frames of {one.name}", [one]) for one in several)])


def _by_orientation(part: _Part) -> list[_Part]:
    placed = [one for one in part.instances if one.image_position_patient is not None]
    groups = orientations(placed)
    names = [plane_name(group[0].image_orientation_patient or (0, 0, 0, 0, 0, 0)) for group in groups]
    twice = {name for name, count in Counter(names).items() if count > 1}
    named: list[tuple[str, Sequence[Instance]]] = [
        (f"{name} ({number})" if name in twice else name, group)
        for number, (name, group) in enumerate(zip(names, groups, strict=True), 1)
    ]
    kept = {id(one) for group in groups for one in group}
    rest = [one for one in part.instances if id(one) not in kept]
    return _cut(
        part, "orientation" if len(groups) > 1 else "position", [*named, *([("no position", rest)] if rest else [])]
    )


def _by_attributes(part: _Part) -> list[_Part]:
    instances, places = _places(part.instances)
    if len(set(places)) == len(places):
        return [_Part(instances, part.by, part.labels)]
    by, keys = _separator(instances, places)
    groups: dict[Key, list[Instance]] = defaultdict(list)
    for key, one in zip(keys, instances, strict=True):
        groups[key].append(one)
    named = []
    for key, group in sorted(groups.items(), key=lambda item: [_sortable(text) for text in item[0]]):
        texts = [
            _ATTRIBUTES[name](group[0]) if name in _ATTRIBUTES else text for name, text in zip(by, key, strict=True)
        ]
        named.append((", ".join(f"{name} {text or '(none)'}" for name, text in zip(by, texts, strict=True)), group))
    return _cut(part, ", ".join(by), named)


def _places(instances: tuple[Instance, ...]) -> tuple[tuple[Instance, ...], list[int]]:
    """Return instances in slice order, and a number for the position of each; each its own without positions."""
    orientation, numbers = instances[0].image_orientation_patient, list(range(len(instances)))
    if orientation is None or any(one.image_position_patient is None for one in instances):
        return instances, numbers
    along = positions_on_normal([one.image_position_patient or (0, 0, 0) for one in instances], orientation)
    # Rounded, so that what differs by noise stays in the order it is in.
    instances = tuple(instances[index] for index in sorted(numbers, key=lambda index: round(float(along[index]), 2)))
    found = regularity([one.image_position_patient or (0, 0, 0) for one in instances], orientation)
    for group in found.duplicates:
        for index in group:
            numbers[index] = group[0]
    return instances, numbers


def _separator(instances: Sequence[Instance], places: Sequence[int]) -> tuple[tuple[str, ...], list[Key]]:
    """Return what tells volumes apart, and the value of it in each instance."""
    values = {name: [_canonical(value(one)) for one in instances] for name, value in _ATTRIBUTES.items()}
    varying = [name for name, texts in values.items() if len(set(texts)) > 1]
    ways = [*((name,) for name in varying), *combinations(varying, 2)]
    counts = set(Counter(places).values())
    # Where files are missing, no position may have all values; then volumes of two slices each are the least.
    for allowed in (max(counts), len(instances) // 2) if len(counts) > 1 else (max(counts),):
        for way in ways:
            if allowed > max(counts) and not _CLOCKS.isdisjoint(way):
                continue
            keys: list[Key] = list(zip(*(values[name] for name in way), strict=True))
            if len(set(keys)) <= allowed and len(set(zip(places, keys, strict=True))) == len(places):
                return way, keys
    numbers = [_canonical(one.instance_number) for one in instances]
    numbered = len(set(zip(places, numbers, strict=True))) == len(places)
    passes: Counter[int] = Counter()
    ranks: list[Key] = []
    for place in places:
        passes[place] += 1
        ranks.append((str(passes[place]),))
    return ("instance order" if numbered else "file order",), ranks


def _canonical(text: str) -> str:
    """Return one text for all texts of a number."""
    try:
        return repr(float(text))
    except ValueError:
        return text


def _sortable(text: str) -> tuple[int, float, str]:
    try:
        return 0, float(text), ""
    except ValueError:
        return 1, 0.0, text
