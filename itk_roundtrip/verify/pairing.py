"""Pairing of written instances with source instances, one to one.

Slices of a new grid by region, each with the nearest source slice; all others
by SOP Instance UID; else by the last Source Image item for processing, where position and Instance Number agree with
it; else by position with time, echo and acquisition; else by file name.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from itk_roundtrip.new_grids import LAST_IS_ELSEWHERE
from itk_roundtrip.rules import DERIVED_PREFIX, PURPOSE_SOURCE_IMAGE
from itk_roundtrip.series.find import Instance, Series
from itk_roundtrip.series.geometry import (
    AXIAL,
    POSITION_TOLERANCE_MM,
    Cosines,
    normal,
    position_tolerance,
    positions_on_normal,
    same_orientation,
)

BY_UID = "SOP Instance UID"
BY_REFERENCE = "Source Image"
BY_POSITION = "position"
BY_NUMBER = "instance number"
BY_NAME = "file name"
BY_REGION = "region"


@dataclass(frozen=True)
class Paired:
    """A written instance, its source, and what paired them."""

    source: Instance
    written: Instance
    by: str


@dataclass(frozen=True)
class Pairing:
    """All pairs in the order of the sources, and the source and written instances without a counterpart."""

    pairs: tuple[Paired, ...]
    sources_left: tuple[Instance, ...]
    written_left: tuple[Instance, ...]
    by_region: bool = False
    """The written series is on another grid: each of its slices is paired with the nearest source slice."""


def pair(sources: Sequence[Instance], written: Sequence[Instance]) -> Pairing:
    """Pair the instances of two series one to one; those of a new grid with their nearest source slices."""
    pairing = _Pairer(sources, written).run()
    if not _are_elsewhere(sources, written):
        return pairing
    has_left = pairing.sources_left or pairing.written_left
    if not has_left and all(_is_on_grid(pair.source, pair.written) for pair in pairing.pairs):
        return pairing
    return _by_region(sources, written)


def _are_elsewhere(sources: Sequence[Instance], written: Sequence[Instance]) -> bool:
    """Tell whether all written instances are new, and say that they do not lie where their source does.

    That is Spatial Locations Preserved NO in their last Source Image item (PS3.3 C.12.4).
    """
    old = {source.sop_instance_uid for source in sources}
    return bool(written) and all(
        instance.spatial_locations_preserved == LAST_IS_ELSEWHERE
        and instance.sop_instance_uid not in old
        and not instance.framed
        and len(instance.source_images) > 0
        and instance.source_images[-1][0] == PURPOSE_SOURCE_IMAGE[0]
        for instance in written
    )


def _is_on_grid(source: Instance, written: Instance) -> bool:
    """Tell whether a written slice lies where its source does, pixel by pixel."""
    size = (source.rows, source.columns) == (written.rows, written.columns)
    return size and same_place(source, written) and source.pixel_spacing == written.pixel_spacing


def _by_region(sources: Sequence[Instance], written: Sequence[Instance]) -> Pairing:
    """Pair each written slice with the source slice that its last Source Image item refers to, else the nearest."""
    by_uid = {source.sop_instance_uid: source for source in reversed(sources) if source.sop_instance_uid}
    located = [source for source in sources if source.image_position_patient is not None]
    orientation = located[0].image_orientation_patient if located else None
    pairs, left = [], []
    for instance in written:
        source = by_uid.get(referred(instance))
        if source is None and orientation is not None and instance.image_position_patient is not None:
            along = positions_on_normal([other.image_position_patient or (0, 0, 0) for other in located], orientation)
            source = located[int(np.abs(along - centre_on_normal(instance, orientation)).argmin())]
        if source is None:
            left.append(instance)
        else:
            pairs.append(Paired(source, instance, BY_REGION))
    return Pairing(tuple(pairs), (), tuple(left), by_region=True)


def centre_on_normal(instance: Instance, orientation: Cosines) -> float:
    """Return the position of the centre of a slice along the normal of an orientation, in mm."""
    axes, spacing = instance.image_orientation_patient or AXIAL, instance.pixel_spacing or (1.0, 1.0)
    along_row = np.array(axes[:3]) * spacing[1] * ((instance.columns or 1) - 1) / 2
    along_column = np.array(axes[3:]) * spacing[0] * ((instance.rows or 1) - 1) / 2
    centre = np.array(instance.image_position_patient or (0.0, 0.0, 0.0)) + along_row + along_column
    return float(centre @ normal(orientation))


def positions_along_normal(source: Series, pairing: Pairing) -> list[tuple[float | None, float | None]]:
    """Return the positions of source and written slice of each pair along the normal of the source series, in mm."""
    orientations = (instance.image_orientation_patient for instance in source.instances)
    orientation = next((orientation for orientation in orientations if orientation), None)
    if orientation is None:
        return [(None, None)] * len(pairing.pairs)

    def positions(instances: Iterable[Instance]) -> list[float | None]:
        """Return the position of each instance; ``None`` for one that has none."""
        points = [instance.image_position_patient or (float("nan"),) * 3 for instance in instances]
        along: list[float] = positions_on_normal(points, orientation).tolist()
        return [None if math.isnan(position) else position for position in along]

    source_mm, written_mm = (
        positions(instances)
        for instances in ([pair.source for pair in pairing.pairs], [pair.written for pair in pairing.pairs])
    )
    return list(zip(source_mm, written_mm, strict=True))


def referred(instance: Instance) -> str:
    """Return the SOP Instance UID that the last Source Image item for processing refers to; empty if there is none."""
    wanted = PURPOSE_SOURCE_IMAGE[0]
    return next((uid for purpose, uid in reversed(instance.source_images) if purpose == wanted), "")


def same_place(instance: Instance, other: Instance) -> bool:
    """Tell whether two instances have the same position and orientation within tolerance, or both have no position."""
    position, other_position = instance.image_position_patient, other.image_position_patient
    if position is None or other_position is None:
        return position is other_position
    orientation, other_orientation = instance.image_orientation_patient, other.image_orientation_patient
    if (orientation is None) != (other_orientation is None):
        return False
    if orientation and other_orientation and not same_orientation(orientation, other_orientation):
        return False
    tolerance = position_tolerance((instance.pixel_spacing, other.pixel_spacing))
    return bool(np.max(np.abs(np.subtract(position, other_position))) < tolerance)


_KEYS: tuple[Callable[[Instance], Hashable], ...] = (
    lambda instance: (
        instance.acquisition_number,
        instance.temporal_position,
        instance.echo_time,
        instance.instance_number,
    ),
    lambda instance: (instance.temporal_position, instance.echo_time, instance.instance_number),
    lambda instance: (instance.acquisition_number, instance.temporal_position, instance.echo_time),
    lambda instance: (instance.temporal_position, instance.echo_time),
    lambda instance: instance.instance_number,
    lambda instance: None,
)
"""What two instances at the same place must have in common to be a pair, the surest first: of several slices at one
place, as of a dynamic or multi-echo series, each must find its own."""


class _Pairer:
    """Pairs in the making: the surest criterion first, each instance in one pair only."""

    def __init__(self, sources: Sequence[Instance], written: Sequence[Instance]) -> None:
        self.sources, self.written = sources, written
        # Of several sources with a UID in common, the first.
        self.sources_by_uid = {
            source.sop_instance_uid: source for source in reversed(sources) if source.sop_instance_uid
        }
        numbers = Counter(instance.instance_number for instance in sources)
        self.unique_numbers = {number for number, count in numbers.items() if number and count == 1}
        self.pairs: dict[str, Paired] = {}  # by name of the source
        self.written_left = {instance.name: instance for instance in written}

    def run(self) -> Pairing:
        """Return the pairs by each criterion in turn."""
        self._by_reference_or_uid()
        for key in _KEYS:
            self._by_place(key)
        unlocated = [instance for instance in self.written_left.values() if instance.image_position_patient is None]
        free = [instance for instance in self._sources_left() if instance.image_position_patient is None]
        self._unique(free, unlocated, lambda instance: instance.instance_number, BY_NUMBER)
        self._unique(self._sources_left(), self.written_left.values(), lambda instance: _stem(instance.name), BY_NAME)
        return Pairing(
            tuple(self.pairs[instance.name] for instance in self.sources if instance.name in self.pairs),
            tuple(self._sources_left()),
            tuple(self.written_left.values()),
        )

    def _by_reference_or_uid(self) -> None:
        """Pair instances with the same SOP Instance UID, then those that refer to a source and agree with it."""
        referring: dict[str, Paired] = {}
        for written in self.written:
            source = self.sources_by_uid.get(referred(written))
            if source is not None and self._agrees(source, written):
                referring.setdefault(source.name, Paired(source, written, BY_REFERENCE))
        for written in self.written:
            source = self.sources_by_uid.get(written.sop_instance_uid)
            if source is not None:
                rival = referring.get(source.name)
                # A UID that was used for a sibling by mistake does not outweigh the sibling's own reference.
                if rival is None or rival.written is written or same_place(source, written):
                    self._take(source, written, BY_UID)
        for paired in referring.values():
            self._take(paired.source, paired.written, paired.by)

    def _agrees(self, source: Instance, written: Instance) -> bool:
        """Tell whether place and, where it is unique in the source, Instance Number agree with a reference."""
        number = source.instance_number
        return same_place(source, written) and (number not in self.unique_numbers or number == written.instance_number)

    def _sources_left(self) -> list[Instance]:
        """Return the source instances that are in no pair yet."""
        return [instance for instance in self.sources if instance.name not in self.pairs]

    def _take(self, source: Instance, written: Instance, by: str) -> None:
        """Pair two instances, unless either is in a pair already."""
        if source.name not in self.pairs and written.name in self.written_left:
            self.pairs[source.name] = Paired(source, self.written_left.pop(written.name), by)

    def _by_place(self, key: Callable[[Instance], Hashable]) -> None:
        """Pair instances that are the only ones of their series at their place with this ``key``."""
        located = [instance for instance in self.written_left.values() if instance.image_position_patient is not None]
        free = [instance for instance in self._sources_left() if instance.image_position_patient is not None]
        if not located or not free:
            return
        places = _places([*free, *located])
        self._unique(free, located, lambda instance: (places[id(instance)], key(instance)), BY_POSITION)

    def _unique(
        self, free: Iterable[Instance], written: Iterable[Instance], key: Callable[[Instance], Hashable], by: str
    ) -> None:
        """Pair instances whose ``key`` no other instance of their series has."""
        groups: dict[Hashable, tuple[list[Instance], list[Instance]]] = defaultdict(lambda: ([], []))
        for instance in free:
            groups[key(instance)][0].append(instance)
        for instance in written:
            groups[key(instance)][1].append(instance)
        for sources, candidates in groups.values():
            if len(sources) == len(candidates) == 1:
                self._take(sources[0], candidates[0], by)


def _places(instances: Sequence[Instance]) -> dict[int, int]:
    """Return a number of the place of each instance, by its ``id``; instances at the same place share it."""
    points = np.array([instance.image_position_patient for instance in instances])
    axis = points[:, int(np.argmax(np.ptp(points, axis=0)))]
    places: dict[int, int] = {}
    recent: list[int] = []
    for index in np.argsort(axis, kind="stable"):
        instance = instances[index]
        recent = [other for other in recent if axis[index] - axis[other] < POSITION_TOLERANCE_MM]
        twin = next((other for other in recent if same_place(instances[other], instance)), None)
        if twin is None:
            recent.append(int(index))
        places[id(instance)] = int(index) if twin is None else places[id(instances[twin])]
    return places


def _stem(name: str) -> str:
    """Return a file name without folder, extension and the prefix of derived instances."""
    return re.sub(rf"^({DERIVED_PREFIX})+", "", Path(name).stem)
