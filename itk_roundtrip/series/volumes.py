"""The volumes that one series holds: what a reader would want apart, and what tells them apart."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property, partial
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from itk_roundtrip.dicom.decimals import decimal
from itk_roundtrip.series.geometry import (
    AXIAL,
    Cosines,
    Point,
    Regularity,
    normal,
    plane_name,
    position_tolerance,
    positions_on_normal,
    regularity,
    same_orientation,
    step,
)
from itk_roundtrip.series.instance import Instance
from itk_roundtrip.series.places import VECTORS, Place
from itk_roundtrip.series.shared import SHARED, Shared

_ATTRIBUTES: dict[str, Callable[[Instance], str]] = {
    "time slice": lambda one: one.time_slice,
    "TemporalPositionIdentifier": lambda one: one.temporal_position,
    "TemporalPositionIndex": lambda one: "",
    "EchoTime": lambda one: one.echo_time,
    "EffectiveEchoTime": lambda one: "",
    "EchoNumbers": lambda one: one.echo_numbers,
    "DiffusionBValue": lambda one: one.diffusion_b_value,
    "DiffusionGradientOrientation": lambda one: one.diffusion_gradient,
    "DiffusionDirectionality": lambda one: "",
    "NominalCardiacTriggerDelayTime": lambda one: "",
    "NominalPercentageOfCardiacPhase": lambda one: "",
    "CardiacCyclePosition": lambda one: "",
    "NominalRespiratoryTriggerDelayTime": lambda one: "",
    "NominalPercentageOfRespiratoryPhase": lambda one: "",
    "RespiratoryCyclePosition": lambda one: "",
    "TriggerTime": lambda one: one.trigger_time,
    "FrameReferenceTime": lambda one: one.texts.get("FrameReferenceTime", ""),
    "ActualCardiacTriggerDelayTime": lambda one: "",
    "ActualRespiratoryTriggerDelayTime": lambda one: "",
    "InversionTime": lambda one: one.inversion_time,
    "InversionTimes": lambda one: "",
    "FlipAngle": lambda one: one.flip_angle,
    "RepetitionTime": lambda one: "",
    "VelocityEncodingDirection": lambda one: "",
    "ASLContext": lambda one: "",
    "KVP": lambda one: "",
    "ConvolutionKernel": lambda one: "",
    "OpticalPathIdentifier": lambda one: "",
    **{keyword: lambda one: "" for keyword in VECTORS if keyword != "SliceVector"},
    "AcquisitionNumber": lambda one: one.acquisition_number,
    "FrameAcquisitionNumber": lambda one: "",
    "TemporalPositionTimeOffset": lambda one: "",
    "AcquisitionTime": lambda one: one.acquisition_time,
    "AcquisitionDateTime": lambda one: one.texts.get("AcquisitionDateTime", ""),
    "FrameReferenceDateTime": lambda one: "",
    "FrameAcquisitionDateTime": lambda one: "",
    "ContentTime": lambda one: one.content_time,
    "ActualFrameDuration": lambda one: one.texts.get("ActualFrameDuration", ""),
    "ImageType": lambda one: "\\".join(one.image_type),
    "FrameType": lambda one: "",
    "ComplexImageComponent": lambda one: "",
    "FrameLabel": lambda one: "",
}
"""What may tell volumes at the same positions apart, the likeliest first; what only frames have is empty of a file."""
_CLOCKS = frozenset({
    "TriggerTime", "FrameReferenceTime", "AcquisitionTime", "AcquisitionDateTime", "ContentTime",
    "ActualCardiacTriggerDelayTime", "ActualRespiratoryTriggerDelayTime", "FrameReferenceDateTime",
    "FrameAcquisitionDateTime", "TemporalPositionTimeOffset",
})  # fmt: skip
"""These differ from slice to slice in many series, whatever volume it is of."""
_APART = ("StackID", "ReferencedSegmentNumber")
"""Frames of several stacks, or segments, belong to several volumes, wherever they stand (PS3.3 C.7.6.16.2.2)."""
_NOT_TELLING = frozenset({
    *_APART, "SliceVector", "InStackPositionNumber", "ImagePositionPatient", "RescaleSlope", "RescaleIntercept",
    "RescaleType",
})  # fmt: skip
"""What frames are numbered by along the normal, and what their values mean, tell no volumes apart."""
_TOGETHER = 3
"""How many attributes together may tell volumes apart."""
SPACING_TOLERANCE = 1e-4
"""Pixel spacings that differ by less than this part are one."""


Key = tuple[str, ...]


@dataclass(frozen=True)
class Slice:
    """One slice of a series: an instance, or one frame of it.

    Attributes
    ----------
    instance
        The file.
    frame
        Index of the frame, from 0, if the file may hold several; else ``None``.
    """

    instance: Instance
    frame: int | None = None

    @property
    def place(self) -> Place:
        """Where it lies."""
        return self.instance.place(self.frame)

    @property
    def name(self) -> str:
        """What messages call it; frames are counted from 1, as in the standard."""
        several = self.frame is not None and self.instance.frames > 1
        return f"{self.instance.name} frame {(self.frame or 0) + 1}" if several else self.instance.name

    def value(self, keyword: str) -> str:
        """Return what an attribute says of it, as text: that of the frame, else of the file; empty if none."""
        own = self.instance.frame_value(keyword, self.frame)
        return own or (_ATTRIBUTES[keyword](self.instance) if keyword in _ATTRIBUTES else "")


def slices_of(instances: Sequence[Instance]) -> tuple[Slice, ...]:
    """Return the slices of some instances: the instances in their order, the frames of each in theirs."""
    return tuple(Slice(one, frame) for one in instances for frame in (range(one.planes) if one.framed else (None,)))


@dataclass(frozen=True)
class SubVolume:
    """One of the volumes that a series holds.

    Attributes
    ----------
    slices
        In slice order: by position along the normal; the frames of a file that step regularly against it in theirs.
    label
        What tells it from the others of its series, such as ``EchoTime 4.92``; empty if it is the only one.
    """

    slices: tuple[Slice, ...]
    label: str

    @cached_property
    def instances(self) -> tuple[Instance, ...]:
        """The files that its slices are of, in the order of their first slices."""
        return tuple({id(one.instance): one.instance for one in self.slices}.values())

    @cached_property
    def ascending(self) -> tuple[Slice, ...]:
        """Its slices in the order of their positions along the normal, whatever order those of a file have."""
        return sorted_slices(self.slices)

    @cached_property
    def geometry(self) -> Regularity | None:
        """Spacing, gaps and tilt of ``ascending``; ``None`` without positions."""
        return geometry_of(self.ascending)

    @property
    def frames(self) -> tuple[tuple[int, ...], ...]:
        """For each of ``instances``, the indices of its frames that are of this volume, in slice order.

        Counted from 0; ``(0,)`` for a file of one frame.
        """
        found: dict[int, list[int]] = defaultdict(list)
        for one in self.slices:
            found[id(one.instance)].append(one.frame or 0)
        return tuple(tuple(frames) for frames in found.values())


@dataclass(frozen=True)
class _Part:
    """Some slices, what told them apart so far, and their label in each of these respects."""

    slices: tuple[Slice, ...]
    by: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


def separate(slices: Sequence[Slice]) -> tuple[tuple[SubVolume, ...], str]:
    """Cut the slices of a series into its volumes.

    First by size and by files of several frames, each of which is apart from the others; then by what a volume shares,
    such as frame of reference and units; then by stack and segment, orientation and pixel spacing; then, where several
    slices stand at one position, by the first attribute, else the first two or three together, that differ within every
    position and have no more values than there are slices at the fullest position; else by the order of their times; in
    the end by the order of their numbers.

    Parameters
    ----------
    slices
        The instances in slice order, the frames of each in theirs.

    Returns
    -------
    tuple
        The volumes, and what tells them apart, such as ``EchoTime``; empty if there is only one.
    """
    parts = [_Part(tuple(slices))]
    cuts: list[Callable[[_Part], list[_Part]]] = [_by_size, _by_frames, *_BY_SHARED, _by_stack, _by_orientation]
    for cut in [*cuts, _by_spacing, _by_attributes]:
        parts = [smaller for part in parts for smaller in cut(part)]
    by = dict.fromkeys(name for part in parts for name in part.by)
    return tuple(SubVolume(_in_steps(part.slices), ", ".join(part.labels)) for part in parts), ", ".join(by)


def orientations(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Return the slices that have an orientation, grouped by it."""
    groups: list[tuple[Cosines, list[Slice]]] = []
    for one in slices:
        axes = one.place.orientation
        if axes is None:
            continue
        for first, group in groups:
            if first is axes or same_orientation(first, axes):
                group.append(one)
                break
        else:
            groups.append((axes, [one]))
    return [group for _, group in groups]


def points(slices: Sequence[Slice]) -> tuple[list[Point], Cosines] | None:
    """Return where slices lie, and the orientation of the first; ``None`` where that is not said of all of them.

    Frames of which only the distances are said lie on the normal through the origin.
    """
    places = [one.place for one in slices]
    axes = places[0].orientation if places else None
    if axes is not None and all(one.position is not None and not one.follows for one in places):
        return [one.position or (0.0, 0.0, 0.0) for one in places], axes
    offsets = [one.offset for one in places if one.offset is not None]
    if len(offsets) < len(places) or len({id(one.instance) for one in slices}) > 1:
        return None
    through = normal(axes or AXIAL)
    return [(float(x), float(y), float(z)) for x, y, z in (offset * through for offset in offsets)], axes or AXIAL


def along_normal(slices: Sequence[Slice]) -> NDArray[np.float64] | None:
    """Return where slices lie along the normal of the first, in mm; ``None`` where that is not said of all of them."""
    found = points(slices)
    return None if found is None else positions_on_normal(*found)


def distance(slices: Sequence[Slice]) -> float | None:
    """Return how far apart slices are along the normal, in mm; negative if they step against it, ``None`` if unknown.

    By their positions or offsets, all or most of them; where these do not say it, or a slice is alone, Spacing Between
    Slices (0018,0088), which has a sign in Nuclear Medicine only, else Slice Thickness (0018,0050).

    References
    ----------
    DICOM PS3.3 C.7.6.2.1.1, C.7.6.16.2.1 Pixel Measures, C.8.4.15 NM Reconstruction, C.8.8.3.2 Grid Frame Offset Vector
    """
    along = along_normal(slices)
    if along is not None and (found := step(along, tolerance(slices))):
        return found
    first = slices[0].place
    if first.between:
        return first.between if slices[0].instance.modality == "NM" else abs(first.between)
    return first.thickness if first.thickness and first.thickness > 0 else None


def tolerance(slices: Sequence[Slice]) -> float:
    """Return how close, in mm, slices are at one position."""
    return position_tolerance({one.place.spacing for one in slices})


def is_one_orientation(slices: Sequence[Slice]) -> bool:
    """Tell whether all slices have an orientation, and the same."""
    first = slices[0].place.orientation
    return first is not None and all(
        axes is first or (axes is not None and same_orientation(axes, first))
        for axes in (one.place.orientation for one in slices)
    )


def geometry_of(slices: Sequence[Slice]) -> Regularity | None:
    """Return spacing, gaps, duplicates and tilt of sorted slices; ``None`` without positions of one orientation."""
    if not is_one_orientation(slices) or any(one.place.position is None for one in slices):
        return None
    found = points(slices)
    return None if found is None else regularity(*found, tolerance(slices))


def sorted_slices(slices: Sequence[Slice]) -> tuple[Slice, ...]:
    """Return slices in the order of their positions along the normal of the first; as they are without positions."""
    along = along_normal(slices)
    if along is None:
        return tuple(slices)
    # Rounded, so that what differs by noise stays in the order it is in.
    noise = tolerance(slices)
    order = sorted(range(len(slices)), key=lambda index: round(float(along[index]) / noise))
    return tuple(slices[index] for index in order)


def _in_steps(slices: tuple[Slice, ...]) -> tuple[Slice, ...]:
    """Return the frames of one file in their own order if they step against the normal all the way."""
    if len(slices) > 1 and all(one.instance is slices[0].instance for one in slices):
        own = tuple(reversed(slices))
        frames = [one.frame or 0 for one in own]
        if frames == sorted(frames):
            return own
    return slices


def _cut(part: _Part, by: str, groups: Sequence[tuple[str, Sequence[Slice]]]) -> list[_Part]:
    if len(groups) < 2:
        return [part]
    return [_Part(tuple(group), (*part.by, by), (*part.labels, label)) for label, group in groups]


def _label(keyword: str, text: str) -> str:
    """Return what tells a volume apart in one respect; labels are joined by commas, so that it has none."""
    return f"{keyword} {text.replace(', ', ',') or '(none)'}"


def _by_size(part: _Part) -> list[_Part]:
    groups: dict[tuple[int | None, ...], list[Slice]] = defaultdict(list)
    for one in part.slices:
        groups[one.instance.rows, one.instance.columns, one.instance.samples_per_pixel or 1].append(one)
    named = []
    for group in groups.values():
        first = group[0].instance
        samples = f" of {first.samples_per_pixel} samples" if (first.samples_per_pixel or 1) > 1 else ""
        named.append((f"{first.columns}x{first.rows}{samples}" if first.rows else "no size", tuple(group)))
    return _cut(part, "size", named)


def _by_frames(part: _Part) -> list[_Part]:
    single = [one for one in part.slices if one.instance.frames == 1]
    several: dict[str, list[Slice]] = defaultdict(list)
    for one in part.slices:
        if one.instance.frames > 1:
            several[one.instance.name].append(one)
    groups = [("single frames", single)] if single else []
    return _cut(part, "frames", [*groups, *((f"frames of {name}", group) for name, group in several.items())])


def _by_shared(shared: Shared, part: _Part) -> list[_Part]:
    """Cut by what slices of one volume share; values that identify are numbered."""
    keywords = shared.telling([one.instance for one in part.slices])
    groups: dict[tuple[str, ...], list[Slice]] = defaultdict(list)
    for one in part.slices:
        own = (one.instance.frame_value(keyword, one.frame) for keyword in keywords)
        texts = (one.instance.texts.get(keyword, "") for keyword in keywords)
        groups[tuple(framed or text for framed, text in zip(own, texts, strict=True))].append(one)
    by = shared.numbered or shared.keywords[0]
    named = [
        (f"{by} {number if shared.numbered else ' '.join(filter(None, texts)) or '(none)'}", group)
        for number, (texts, group) in enumerate(groups.items(), 1)
    ]
    return _cut(part, by, named)


_BY_SHARED = tuple(partial(_by_shared, shared) for shared in SHARED if shared.separates)


def _by_stack(part: _Part) -> list[_Part]:
    parts = [part]
    for keyword in _APART:
        parts = [smaller for one in parts for smaller in _by_value(one, keyword)]
    return parts


def _by_value(part: _Part, keyword: str) -> list[_Part]:
    groups: dict[str, list[Slice]] = defaultdict(list)
    for one in part.slices:
        groups[one.value(keyword)].append(one)
    ordered = sorted(groups.items(), key=lambda item: _sortable(item[0]))
    return _cut(part, keyword, [(_label(keyword, name), group) for name, group in ordered])


def are_apart(slices: Sequence[Slice]) -> bool:
    """Tell whether slices are of several stacks or segments."""
    return any(len({one.value(keyword) for one in slices}) > 1 for keyword in _APART)


def _by_orientation(part: _Part) -> list[_Part]:
    placed = [one for one in part.slices if one.place.position is not None]
    groups = orientations(placed)
    names = [plane_name(group[0].place.orientation or AXIAL) for group in groups]
    twice = {name for name, count in Counter(names).items() if count > 1}
    named: list[tuple[str, Sequence[Slice]]] = [
        (f"{name} ({number})" if name in twice else name, group)
        for number, (name, group) in enumerate(zip(names, groups, strict=True), 1)
    ]
    kept = {id(one) for group in groups for one in group}
    rest = [one for one in part.slices if id(one) not in kept]
    return _cut(
        part, "orientation" if len(groups) > 1 else "position", [*named, *([("no position", rest)] if rest else [])]
    )


def _by_spacing(part: _Part) -> list[_Part]:
    named = [
        (f"{spacing[1]:g} x {spacing[0]:g} mm" if spacing else "no spacing", group)
        for spacing, group in spacings(part.slices)
    ]
    return _cut(part, "pixel spacing", named)


def spacings(slices: Sequence[Slice]) -> list[tuple[tuple[float, float] | None, list[Slice]]]:
    """Return the pixel spacings of slices, in mm (row, column), and the slices of each."""
    groups: list[tuple[tuple[float, float] | None, list[Slice]]] = []
    for one in slices:
        own = one.place.spacing
        for spacing, group in groups:
            if spacing == own or (spacing and own and np.allclose(spacing, own, rtol=SPACING_TOLERANCE, atol=0)):
                group.append(one)
                break
        else:
            groups.append((own, [one]))
    return groups


def _by_attributes(part: _Part) -> list[_Part]:
    slices, places = _places(part.slices)
    if len(set(places)) == len(places):
        return [_Part(slices, part.by, part.labels)]
    by, keys = _separator(slices, places)
    groups: dict[Key, list[Slice]] = defaultdict(list)
    for key, one in zip(keys, slices, strict=True):
        groups[key].append(one)
    named = []
    for key, group in sorted(groups.items(), key=lambda item: [_sortable(text) for text in item[0]]):
        texts = [text if name in _ORDERS else group[0].value(name) for name, text in zip(by, key, strict=True)]
        named.append((", ".join(_label(name, text) for name, text in zip(by, texts, strict=True)), group))
    return _cut(part, ", ".join(by), named)


def _places(slices: tuple[Slice, ...]) -> tuple[tuple[Slice, ...], list[int]]:
    """Return slices in slice order, and a number for the position of each; each its own without positions."""
    slices, numbers = sorted_slices(slices), list(range(len(slices)))
    found = points(slices)
    for group in regularity(*found, tolerance(slices)).duplicates if found is not None else ():
        for index in group:
            numbers[index] = group[0]
    return slices, numbers


_IN_TIME = (
    "FrameReferenceTime", "TriggerTime", "FrameReferenceDateTime", "FrameAcquisitionDateTime", "AcquisitionDateTime",
    "AcquisitionTime",
)  # fmt: skip
"""What orders the slices at one position in time, where no two volumes share a value."""
_ORDERS = ("instance order", "frame order", "file order", *(f"{name} order" for name in (*_IN_TIME, "ContentTime")))
_MOMENTS = frozenset({
    "AcquisitionTime", "ContentTime", "AcquisitionDateTime", "FrameReferenceDateTime", "FrameAcquisitionDateTime",
})  # fmt: skip
"""Those of VR DT, or TM, which a date may stand before."""
_MOMENT = re.compile(
    r"((?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2}))?"
    r"(?P<hours>[0-9]{2})((?P<minutes>[0-9]{2})(?P<seconds>[0-9]{2}(\.[0-9]*)?)?)?([+-][0-9]{4})?"
)
_DATES = {"AcquisitionTime": "AcquisitionDate", "ContentTime": "ContentDate"}
"""The day of each time of the day."""


def _separator(slices: Sequence[Slice], places: Sequence[int]) -> tuple[tuple[str, ...], list[Key]]:
    """Return what tells volumes apart, and the value of it in each slice."""
    values = _varying(slices)
    ways = [way for count in range(1, _TOGETHER + 1) for way in combinations(values, count)]
    counts = set(Counter(places).values())
    # Where files are missing, no position may have all values; then volumes of two slices each are the least.
    # If as many are missing everywhere, a value that is at half of the positions, or more, is that of a volume.
    half = len(slices) // 2, len(set(places)) / 2, _CLOCKS | {"AcquisitionNumber"}
    missing = (len(slices) // 2, 1, _CLOCKS) if len(counts) > 1 else half
    for allowed, least, ignored in ((max(counts), 1, frozenset()), missing):
        for way in ways:
            if not ignored.isdisjoint(way):
                continue
            keys: list[Key] = list(zip(*(values[name] for name in way), strict=True))
            found = Counter(keys)
            apart = len(set(zip(places, keys, strict=True))) == len(places)
            if apart and len(found) <= allowed and min(found.values()) >= least:
                return way, keys
    framed = len({id(one.instance) for one in slices}) == 1
    by_number = _ranks(places, [str(one.frame) if framed else one.instance.instance_number for one in slices])
    for name in _IN_TIME:
        by_time = _ranks(places, values.get(name, ()))
        if by_time is not None and by_time != by_number:  # numbers may restart, or be in any order
            return (f"{name} order",), by_time
    numbers = [_canonical(one.instance.instance_number) for one in slices]
    numbered = len(set(zip(places, numbers, strict=True))) == len(places)
    made = None if numbered else _ranks(places, values.get("ContentTime", ()))
    if made is not None:  # when images were made, several hosts and a queue may have decided
        return ("ContentTime order",), made
    passes: Counter[int] = Counter()
    order: list[Key] = []
    for place in places:
        passes[place] += 1
        order.append((str(passes[place]),))
    return ("instance order" if numbered else "frame order" if framed else "file order",), order


def _ranks(places: Sequence[int], times: Sequence[str]) -> list[Key] | None:
    """Return for each slice how many at its position are not later; ``None`` if times do not tell all of them apart.

    Slices of one volume may each have a time of their own.
    """
    numbers = [decimal(text) for text in times]
    known = [number for number in numbers if number is not None]
    if not known or len(known) < len(places) or len(set(zip(places, known, strict=True))) < len(places):
        return None
    at: dict[int, list[float]] = defaultdict(list)
    for place, number in zip(places, known, strict=True):
        at[place].append(number)
    return [(str(sum(other <= number for other in at[place])),) for place, number in zip(places, known, strict=True)]


def _varying(slices: Sequence[Slice]) -> Mapping[str, list[str]]:
    """Return the values of each attribute that differs among slices, the likeliest to tell volumes apart first."""
    names = dict.fromkeys((*_ATTRIBUTES, *(name for one in slices[:1] for name in one.instance.frame_values)))
    values = {name: [_comparable(one, name) for one in slices] for name in names if name not in _NOT_TELLING}
    return {name: texts for name, texts in values.items() if len(set(texts)) > 1}


def _comparable(one: Slice, name: str) -> str:
    """Return one text for all texts of a number or a moment, which is told in seconds."""
    text = one.value(name)
    day = one.instance.texts.get(_DATES[name], "") if name in _DATES else ""
    moment = _MOMENT.fullmatch(day + text) if name in _MOMENTS else None
    if moment is None:
        return _canonical(text)
    try:
        days = date(*map(int, moment.group("year", "month", "day"))).toordinal() if moment["day"] else 0
    except ValueError:
        return _canonical(text)
    hours, minutes, seconds = (float(moment[part] or 0) for part in ("hours", "minutes", "seconds"))
    return repr(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _canonical(text: str) -> str:
    """Return one text for all texts of a number."""
    value = decimal(text)
    return text if value is None else repr(value)


def _sortable(text: str) -> tuple[int, float, str]:
    value = decimal(text)
    return (1, 0.0, text) if value is None else (0, value, "")
