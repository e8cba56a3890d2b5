"""Volumes of a series: its slices cut by size, orientation, spacing, and by attributes such as EchoTime."""

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
from itk_roundtrip.dicom.privacy import shown_label
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
from itk_roundtrip.words import counted

_ATTRIBUTES: dict[str, Callable[[Instance], str]] = {
    "time slice": lambda instance: instance.time_slice,
    "TemporalPositionIdentifier": lambda instance: instance.temporal_position,
    "TemporalPositionIndex": lambda _: "",
    "EchoTime": lambda instance: instance.echo_time,
    "EffectiveEchoTime": lambda _: "",
    "EchoNumbers": lambda instance: instance.echo_numbers,
    "DiffusionBValue": lambda instance: instance.diffusion_b_value,
    "DiffusionGradientOrientation": lambda instance: instance.diffusion_gradient,
    "DiffusionDirectionality": lambda _: "",
    "NominalCardiacTriggerDelayTime": lambda _: "",
    "NominalPercentageOfCardiacPhase": lambda _: "",
    "CardiacCyclePosition": lambda _: "",
    "NominalRespiratoryTriggerDelayTime": lambda _: "",
    "NominalPercentageOfRespiratoryPhase": lambda _: "",
    "RespiratoryCyclePosition": lambda _: "",
    "TriggerTime": lambda instance: instance.trigger_time,
    "FrameReferenceTime": lambda instance: instance.texts.get("FrameReferenceTime", ""),
    "ActualCardiacTriggerDelayTime": lambda _: "",
    "ActualRespiratoryTriggerDelayTime": lambda _: "",
    "InversionTime": lambda instance: instance.inversion_time,
    "InversionTimes": lambda _: "",
    "FlipAngle": lambda instance: instance.flip_angle,
    "RepetitionTime": lambda _: "",
    "VelocityEncodingDirection": lambda _: "",
    "ASLContext": lambda _: "",
    "KVP": lambda _: "",
    "ConvolutionKernel": lambda _: "",
    "OpticalPathIdentifier": lambda _: "",
    **{keyword: lambda _: "" for keyword in VECTORS if keyword != "SliceVector"},
    "AcquisitionNumber": lambda instance: instance.acquisition_number,
    "FrameAcquisitionNumber": lambda _: "",
    "TemporalPositionTimeOffset": lambda _: "",
    "AcquisitionTime": lambda instance: instance.acquisition_time,
    "AcquisitionDateTime": lambda instance: instance.texts.get("AcquisitionDateTime", ""),
    "FrameReferenceDateTime": lambda _: "",
    "FrameAcquisitionDateTime": lambda _: "",
    "ContentTime": lambda instance: instance.content_time,
    "ActualFrameDuration": lambda instance: instance.texts.get("ActualFrameDuration", ""),
    "ImageType": lambda instance: "\\".join(instance.image_type),
    "FrameType": lambda _: "",
    "ComplexImageComponent": lambda _: "",
    "FrameLabel": lambda _: "",
}
"""Attributes that may tell volumes at the same positions apart, the likeliest first; empty if only frames have them."""
_CLOCKS = frozenset({
    "TriggerTime", "FrameReferenceTime", "AcquisitionTime", "AcquisitionDateTime", "ContentTime",
    "ActualCardiacTriggerDelayTime", "ActualRespiratoryTriggerDelayTime", "FrameReferenceDateTime",
    "FrameAcquisitionDateTime", "TemporalPositionTimeOffset",
})  # fmt: skip
"""Times that differ from slice to slice in many series, also within a volume."""
_STACKS = ("StackID", "ReferencedSegmentNumber")
"""Frames of several stacks, or segments, belong to several volumes, wherever they stand (PS3.3 C.7.6.16.2.2)."""
_NOT_TELLING = frozenset({
    *_STACKS, "SliceVector", "InStackPositionNumber", "ImagePositionPatient", "RescaleSlope", "RescaleIntercept",
    "RescaleType",
})  # fmt: skip
"""Attributes that tell no volumes apart: those of the position along the normal, and those of the rescaling."""
_MOST_ATTRIBUTES = 3
"""Number of attributes that may tell volumes apart together."""
SPACING_TOLERANCE = 1e-4
"""Pixel spacings that differ by less than this fraction are equal."""


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

    def __repr__(self) -> str:
        return f"<Slice {self.name}>"

    @property
    def place(self) -> Place:
        """Plane position, orientation and spacing of the slice."""
        return self.instance.place(self.frame)

    @property
    def name(self) -> str:
        """Name of the file, with the number of the frame if there are several, from 1 as in the standard."""
        several = self.frame is not None and self.instance.frames > 1
        return f"{self.instance.name} frame {(self.frame or 0) + 1}" if several else self.instance.name

    def value(self, keyword: str) -> str:
        """Return the value of an attribute as text: that of the frame, else that of the file; empty without either."""
        text = self.instance.frame_value(keyword, self.frame)
        return text or (_ATTRIBUTES[keyword](self.instance) if keyword in _ATTRIBUTES else "")


def slices_of(instances: Sequence[Instance]) -> tuple[Slice, ...]:
    """Return the slices of some instances: the instances in their order, the frames of each in theirs."""
    return tuple(
        Slice(instance, frame)
        for instance in instances
        for frame in (range(instance.planes) if instance.framed else (None,))
    )


@dataclass(frozen=True)
class SubVolume:
    """One of the volumes of a series.

    Attributes
    ----------
    slices
        In slice order: by position along the normal; the frames of a file that step regularly against it in theirs.
    label
        Values that tell it from the other volumes, such as ``EchoTime 4.92``; empty if it is the only one.
    """

    slices: tuple[Slice, ...]
    label: str

    def __repr__(self) -> str:
        label = f" {shown_label(self.label)}" if self.label else ""
        return f"<SubVolume{label}: {counted(len(self.slices), 'slice')}>"

    @cached_property
    def instances(self) -> tuple[Instance, ...]:
        """The files of its slices, in the order of their first slices."""
        return tuple({id(slice_.instance): slice_.instance for slice_ in self.slices}.values())

    @cached_property
    def ascending(self) -> tuple[Slice, ...]:
        """Its slices in the order of their positions along the normal, also where frames step against it."""
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
        frames: dict[int, list[int]] = defaultdict(list)
        for slice_ in self.slices:
            frames[id(slice_.instance)].append(slice_.frame or 0)
        return tuple(tuple(indices) for indices in frames.values())


@dataclass(frozen=True)
class _Part:
    """Slices in the course of `separate`: the attributes that they were cut by, and their label by each of these."""

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
        The volumes, and the attributes that tell them apart, such as ``EchoTime``; empty if there is only one.
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
    for slice_ in slices:
        orientation = slice_.place.orientation
        if orientation is None:
            continue
        for first, group in groups:
            if first is orientation or same_orientation(first, orientation):
                group.append(slice_)
                break
        else:
            groups.append((orientation, [slice_]))
    return [group for _, group in groups]


def points(slices: Sequence[Slice]) -> tuple[list[Point], Cosines] | None:
    """Return the position of each slice and the orientation of the first; ``None`` if any has no position.

    Frames with offsets but without positions lie on the normal through the origin.
    """
    places = [slice_.place for slice_ in slices]
    orientation = places[0].orientation if places else None
    if orientation is not None and all(place.position is not None and not place.follows for place in places):
        return [place.position or (0.0, 0.0, 0.0) for place in places], orientation
    offsets = [place.offset for place in places if place.offset is not None]
    if len(offsets) < len(places) or len({id(slice_.instance) for slice_ in slices}) > 1:
        return None
    direction = normal(orientation or AXIAL)
    positions = [(float(x), float(y), float(z)) for x, y, z in (offset * direction for offset in offsets)]
    return positions, orientation or AXIAL


def along_normal(slices: Sequence[Slice]) -> NDArray[np.float64] | None:
    """Return the position of each slice along the normal of the first, in mm; ``None`` if any has no position."""
    positioned = points(slices)
    return None if positioned is None else positions_on_normal(*positioned)


def distance(slices: Sequence[Slice]) -> float | None:
    """Return the slice spacing along the normal, in mm; negative if slices step against it, ``None`` if unknown.

    From positions or offsets, of all slices or of most neighbours; without these, or for a single slice, Spacing
    Between Slices (0018,0088), which has a sign in Nuclear Medicine only, else Slice Thickness (0018,0050).

    References
    ----------
    DICOM PS3.3 C.7.6.2.1.1, C.7.6.16.2.1 Pixel Measures, C.8.4.15 NM Reconstruction, C.8.8.3.2 Grid Frame Offset Vector
    """
    along = along_normal(slices)
    if along is not None and (spacing := step(along, tolerance(slices))):
        return spacing
    first = slices[0].place
    if first.between:
        return first.between if slices[0].instance.modality == "NM" else abs(first.between)
    return first.thickness if first.thickness and first.thickness > 0 else None


def tolerance(slices: Sequence[Slice]) -> float:
    """Return the distance along the normal, in mm, below which these slices are at one position."""
    return position_tolerance({slice_.place.spacing for slice_ in slices})


def is_one_orientation(slices: Sequence[Slice]) -> bool:
    """Tell whether all slices have an orientation, and the same."""
    first = slices[0].place.orientation
    return first is not None and all(
        orientation is first or (orientation is not None and same_orientation(orientation, first))
        for orientation in (slice_.place.orientation for slice_ in slices)
    )


def geometry_of(slices: Sequence[Slice]) -> Regularity | None:
    """Return spacing, gaps, duplicates and tilt of sorted slices; ``None`` without positions of one orientation."""
    if not is_one_orientation(slices) or any(slice_.place.position is None for slice_ in slices):
        return None
    positioned = points(slices)
    return None if positioned is None else regularity(*positioned, tolerance(slices))


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
    """Return the frames of one file in the order of their indices if they step against the normal all the way."""
    if len(slices) > 1 and all(slice_.instance is slices[0].instance for slice_ in slices):
        descending = tuple(reversed(slices))
        frames = [slice_.frame or 0 for slice_ in descending]
        if frames == sorted(frames):
            return descending
    return slices


def _cut(part: _Part, by: str, groups: Sequence[tuple[str, Sequence[Slice]]]) -> list[_Part]:
    """Return a part cut into labelled groups; the part itself if there is only one."""
    if len(groups) < 2:
        return [part]
    return [_Part(tuple(group), (*part.by, by), (*part.labels, label)) for label, group in groups]


def _label(keyword: str, text: str) -> str:
    """Return the label of a volume by one attribute, without ", ", which joins labels."""
    return f"{keyword} {text.replace(', ', ',') or '(none)'}"


def _by_size(part: _Part) -> list[_Part]:
    groups: dict[tuple[int | None, ...], list[Slice]] = defaultdict(list)
    for slice_ in part.slices:
        instance = slice_.instance
        groups[instance.rows, instance.columns, instance.samples_per_pixel or 1].append(slice_)
    named = []
    for group in groups.values():
        first = group[0].instance
        samples = f" of {first.samples_per_pixel} samples" if (first.samples_per_pixel or 1) > 1 else ""
        named.append((f"{first.columns}x{first.rows}{samples}" if first.rows else "no size", tuple(group)))
    return _cut(part, "size", named)


def _by_frames(part: _Part) -> list[_Part]:
    single = [slice_ for slice_ in part.slices if slice_.instance.frames == 1]
    several: dict[str, list[Slice]] = defaultdict(list)
    for slice_ in part.slices:
        if slice_.instance.frames > 1:
            several[slice_.instance.name].append(slice_)
    groups = [("single frames", single)] if single else []
    return _cut(part, "frames", [*groups, *((f"frames of {name}", group) for name, group in several.items())])


def _by_shared(shared: Shared, part: _Part) -> list[_Part]:
    """Cut by attributes that slices of a volume share; values that identify are numbered."""
    keywords = shared.telling([slice_.instance for slice_ in part.slices])
    groups: dict[tuple[str, ...], list[Slice]] = defaultdict(list)
    for slice_ in part.slices:
        instance = slice_.instance
        texts = (instance.frame_value(keyword, slice_.frame) or instance.texts.get(keyword, "") for keyword in keywords)
        groups[tuple(texts)].append(slice_)
    by = shared.numbered or shared.keywords[0]
    named = [
        (f"{by} {number if shared.numbered else ' '.join(filter(None, texts)) or '(none)'}", group)
        for number, (texts, group) in enumerate(groups.items(), 1)
    ]
    return _cut(part, by, named)


_BY_SHARED = tuple(partial(_by_shared, shared) for shared in SHARED if shared.separates)


def _by_stack(part: _Part) -> list[_Part]:
    parts = [part]
    for keyword in _STACKS:
        parts = [smaller for larger in parts for smaller in _by_value(larger, keyword)]
    return parts


def _by_value(part: _Part, keyword: str) -> list[_Part]:
    groups: dict[str, list[Slice]] = defaultdict(list)
    for slice_ in part.slices:
        groups[slice_.value(keyword)].append(slice_)
    ordered = sorted(groups.items(), key=lambda item: _sortable(item[0]))
    return _cut(part, keyword, [(_label(keyword, text), group) for text, group in ordered])


def are_apart(slices: Sequence[Slice]) -> bool:
    """Tell whether slices are of several stacks or segments."""
    return any(len({slice_.value(keyword) for slice_ in slices}) > 1 for keyword in _STACKS)


def _by_orientation(part: _Part) -> list[_Part]:
    groups = orientations([slice_ for slice_ in part.slices if slice_.place.position is not None])
    planes = [plane_name(group[0].place.orientation or AXIAL) for group in groups]
    repeated = {plane for plane, count in Counter(planes).items() if count > 1}
    named: list[tuple[str, Sequence[Slice]]] = [
        (f"{plane} ({number})" if plane in repeated else plane, group)
        for number, (plane, group) in enumerate(zip(planes, groups, strict=True), 1)
    ]
    placed = {id(slice_) for group in groups for slice_ in group}
    unplaced = [slice_ for slice_ in part.slices if id(slice_) not in placed]
    if unplaced:
        named.append(("no position", unplaced))
    return _cut(part, "orientation" if len(groups) > 1 else "position", named)


def _by_spacing(part: _Part) -> list[_Part]:
    named = [
        (f"{spacing[1]:g} x {spacing[0]:g} mm" if spacing else "no spacing", group)
        for spacing, group in spacings(part.slices)
    ]
    return _cut(part, "pixel spacing", named)


def spacings(slices: Sequence[Slice]) -> list[tuple[tuple[float, float] | None, list[Slice]]]:
    """Return the pixel spacings of slices, in mm (row, column), and the slices of each."""
    groups: list[tuple[tuple[float, float] | None, list[Slice]]] = []
    for slice_ in slices:
        spacing = slice_.place.spacing
        for first, group in groups:
            if first == spacing or (first and spacing and np.allclose(first, spacing, rtol=SPACING_TOLERANCE, atol=0)):
                group.append(slice_)
                break
        else:
            groups.append((spacing, [slice_]))
    return groups


def _by_attributes(part: _Part) -> list[_Part]:
    slices = sorted_slices(part.slices)
    positions = _position_numbers(slices)
    if len(set(positions)) == len(positions):
        return [_Part(slices, part.by, part.labels)]
    by, keys = _separator(slices, positions)
    groups: dict[Key, list[Slice]] = defaultdict(list)
    for key, slice_ in zip(keys, slices, strict=True):
        groups[key].append(slice_)
    named = []
    for key, group in sorted(groups.items(), key=lambda item: [_sortable(text) for text in item[0]]):
        # Keys hold canonical numbers; labels show the text of the file.
        texts = [text if name in _ORDERS else group[0].value(name) for name, text in zip(by, key, strict=True)]
        named.append((", ".join(_label(name, text) for name, text in zip(by, texts, strict=True)), group))
    return _cut(part, ", ".join(by), named)


def _position_numbers(slices: Sequence[Slice]) -> list[int]:
    """Return a number for the position of each of sorted slices, equal where they share it; distinct without."""
    numbers = list(range(len(slices)))
    positioned = points(slices)
    for group in regularity(*positioned, tolerance(slices)).duplicates if positioned is not None else ():
        for index in group:
            numbers[index] = group[0]
    return numbers


_IN_TIME = (
    "FrameReferenceTime", "TriggerTime", "FrameReferenceDateTime", "FrameAcquisitionDateTime", "AcquisitionDateTime",
    "AcquisitionTime",
)  # fmt: skip
"""Times that order the slices at one position, where no two volumes share a value."""
_ORDERS = ("instance order", "frame order", "file order", *(f"{name} order" for name in (*_IN_TIME, "ContentTime")))
_MOMENTS = frozenset({
    "AcquisitionTime", "ContentTime", "AcquisitionDateTime", "FrameReferenceDateTime", "FrameAcquisitionDateTime",
})  # fmt: skip
"""Times of VR DT, or TM, which a date may precede."""
_MOMENT = re.compile(
    r"((?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2}))?"
    r"(?P<hours>[0-9]{2})((?P<minutes>[0-9]{2})(?P<seconds>[0-9]{2}(\.[0-9]*)?)?)?([+-][0-9]{4})?"
)
_DATES = {"AcquisitionTime": "AcquisitionDate", "ContentTime": "ContentDate"}
"""The attribute that holds the day of each time of day."""


def _separator(slices: Sequence[Slice], positions: Sequence[int]) -> tuple[tuple[str, ...], list[Key]]:
    """Return the attributes, or the order, that tell volumes apart, and the values of it in each slice.

    ``positions`` has a number for the position of each slice, as :func:`_position_numbers` returns it.
    """
    values = _varying(slices)
    return _by_fewest_values(positions, values) or _by_order(slices, positions, values)


def _by_fewest_values(
    positions: Sequence[int], values: Mapping[str, list[str]]
) -> tuple[tuple[str, ...], list[Key]] | None:
    """Return the first attributes that differ within every position and have no more values than it has slices."""
    combined = [names for count in range(1, _MOST_ATTRIBUTES + 1) for names in combinations(values, count)]
    counts = set(Counter(positions).values())
    # Where files are missing, no position may have all values; then volumes of two slices each are the least.
    # If as many are missing everywhere, a value that is at half of the positions, or more, is that of a volume.
    half = len(positions) // 2, len(set(positions)) / 2, _CLOCKS | {"AcquisitionNumber"}
    missing = (len(positions) // 2, 1, _CLOCKS) if len(counts) > 1 else half
    for most_volumes, fewest_slices, ignored in ((max(counts), 1, frozenset()), missing):
        for names in combined:
            if not ignored.isdisjoint(names):
                continue
            keys: list[Key] = list(zip(*(values[name] for name in names), strict=True))
            sizes = Counter(keys)
            distinct = len(set(zip(positions, keys, strict=True))) == len(positions)
            if distinct and len(sizes) <= most_volumes and min(sizes.values()) >= fewest_slices:
                return names, keys
    return None


def _by_order(
    slices: Sequence[Slice], positions: Sequence[int], values: Mapping[str, list[str]]
) -> tuple[tuple[str, ...], list[Key]]:
    """Return the order of the slices at each position, in time, by Instance Number or as they are, with its name."""
    framed = len({id(slice_.instance) for slice_ in slices}) == 1
    by_number = _ranks(
        positions, [str(slice_.frame) if framed else slice_.instance.instance_number for slice_ in slices]
    )
    for name in _IN_TIME:
        by_time = _ranks(positions, values.get(name, ()))
        if by_time is not None and by_time != by_number:  # numbers may restart, or be in any order
            return (f"{name} order",), by_time
    numbers = [_canonical(slice_.instance.instance_number) for slice_ in slices]
    numbered = len(set(zip(positions, numbers, strict=True))) == len(positions)
    by_content_time = None if numbered else _ranks(positions, values.get("ContentTime", ()))
    if by_content_time is not None:  # only without numbers: several hosts and a queue may have decided it
        return ("ContentTime order",), by_content_time
    passes: Counter[int] = Counter()
    order: list[Key] = []
    for position in positions:
        passes[position] += 1
        order.append((str(passes[position]),))
    return ("instance order" if numbered else "frame order" if framed else "file order",), order


def _ranks(positions: Sequence[int], texts: Sequence[str]) -> list[Key] | None:
    """Return the rank of each slice at its position by a number; ``None`` if numbers are missing or repeat there.

    Slices of one volume may each have a number, such as a time, of their own.
    """
    numbers = [number for number in map(decimal, texts) if number is not None]
    if not numbers or len(numbers) < len(positions) or len(set(zip(positions, numbers, strict=True))) < len(positions):
        return None
    at: dict[int, list[float]] = defaultdict(list)
    for position, number in zip(positions, numbers, strict=True):
        at[position].append(number)
    return [
        (str(sum(other <= number for other in at[position])),)
        for position, number in zip(positions, numbers, strict=True)
    ]


def _varying(slices: Sequence[Slice]) -> Mapping[str, list[str]]:
    """Return the values of each attribute that differs among slices, the likeliest to tell volumes apart first."""
    names = dict.fromkeys((*_ATTRIBUTES, *(name for slice_ in slices[:1] for name in slice_.instance.frame_values)))
    values = {name: [_comparable(slice_, name) for slice_ in slices] for name in names if name not in _NOT_TELLING}
    return {name: texts for name, texts in values.items() if len(set(texts)) > 1}


def _comparable(slice_: Slice, name: str) -> str:
    """Return the value of an attribute so that equal numbers have equal texts; of a date and time, its seconds."""
    text = slice_.value(name)
    day = slice_.instance.texts.get(_DATES[name], "") if name in _DATES else ""
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
    """Return a number in its shortest form, so that equal numbers have equal texts; other text as it is."""
    value = decimal(text)
    return text if value is None else repr(value)


def _sortable(text: str) -> tuple[int, float, str]:
    """Return a sort key: numbers by value, then other texts."""
    value = decimal(text)
    return (1, 0.0, text) if value is None else (0, value, "")
