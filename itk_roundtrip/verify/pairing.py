"""Which written slice stands for which source slice.

By SOP Instance UID; else by the last Source Image item for processing, where position and Instance Number agree with
it; else by position with time, echo and acquisition; else by file name.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from itk_roundtrip.rules import DERIVED_PREFIX, PURPOSE_SOURCE_IMAGE
from itk_roundtrip.series.find import Instance
from itk_roundtrip.series.geometry import POSITION_TOLERANCE_MM, position_tolerance, same_orientation

BY_UID = "SOP Instance UID"
BY_REFERENCE = "Source Image"
BY_POSITION = "position"
BY_NUMBER = "instance number"
BY_NAME = "file name"


@dataclass(frozen=True)
class Paired:
    """A written instance, its source, and what paired them."""

    source: Instance
    written: Instance
    by: str


@dataclass(frozen=True)
class Pairing:
    """All pairs in the order of the sources, and the instances of either side that have no counterpart."""

    pairs: tuple[Paired, ...]
    sources_left: tuple[Instance, ...]
    written_left: tuple[Instance, ...]


def pair(sources: Sequence[Instance], written: Sequence[Instance]) -> Pairing:
    """Pair the instances of two series one to one."""
    return _Pairer(sources, written).run()


def referred(one: Instance) -> str:
    """Return the SOP Instance UID that the last Source Image item for processing refers to; empty if there is none."""
    wanted = PURPOSE_SOURCE_IMAGE[0]
    return next((uid for purpose, uid in reversed(one.source_images) if purpose == wanted), "")


def same_place(one: Instance, other: Instance) -> bool:
    """Tell whether two instances have one position and orientation, or both have none."""
    ours, theirs = one.image_position_patient, other.image_position_patient
    if ours is None or theirs is None:
        return ours is theirs
    axes, others = one.image_orientation_patient, other.image_orientation_patient
    if (axes is None) != (others is None) or (axes and others and not same_orientation(axes, others)):
        return False
    noise = position_tolerance((one.pixel_spacing, other.pixel_spacing))
    return bool(np.max(np.abs(np.subtract(ours, theirs))) < noise)


class _Pairer:
    def __init__(self, sources: Sequence[Instance], written: Sequence[Instance]) -> None:
        self.sources, self.written = sources, written
        self.by_uid = {one.sop_instance_uid: one for one in reversed(sources) if one.sop_instance_uid}
        numbers = Counter(one.instance_number for one in sources)
        self.telling = {number for number, count in numbers.items() if number and count == 1}
        self.found: dict[str, Paired] = {}  # by name of the source
        self.open = {one.name: one for one in written}

    def run(self) -> Pairing:
        referring: dict[str, Paired] = {}
        for one in self.written:
            source = self.by_uid.get(referred(one))
            if source is not None and self._agrees(source, one):
                referring.setdefault(source.name, Paired(source, one, BY_REFERENCE))
        for one in self.written:
            source = self.by_uid.get(one.sop_instance_uid)
            if source is not None:
                rival = referring.get(source.name)
                # A UID that was used for a sibling by mistake does not outweigh the sibling's own reference.
                if rival is None or rival.written is one or same_place(source, one):
                    self._take(source, one, BY_UID)
        for paired in referring.values():
            self._take(paired.source, paired.written, paired.by)
        keys: tuple[Callable[[Instance], Hashable], ...] = (
            lambda one: (one.acquisition_number, one.temporal_position, one.echo_time, one.instance_number),
            lambda one: (one.temporal_position, one.echo_time, one.instance_number),
            lambda one: (one.acquisition_number, one.temporal_position, one.echo_time),
            lambda one: (one.temporal_position, one.echo_time),
            lambda one: one.instance_number,
            lambda one: None,
        )
        for key in keys:
            self._by_place(key)
        without = [one for one in self.open.values() if one.image_position_patient is None]
        free = [one for one in self._free() if one.image_position_patient is None]
        self._unique(free, without, lambda one: one.instance_number, BY_NUMBER)
        self._unique(self._free(), self.open.values(), lambda one: _stem(one.name), BY_NAME)
        return Pairing(
            tuple(self.found[one.name] for one in self.sources if one.name in self.found),
            tuple(self._free()),
            tuple(self.open.values()),
        )

    def _agrees(self, source: Instance, written: Instance) -> bool:
        number = source.instance_number
        return same_place(source, written) and (number not in self.telling or number == written.instance_number)

    def _free(self) -> list[Instance]:
        return [one for one in self.sources if one.name not in self.found]

    def _take(self, source: Instance, written: Instance, by: str) -> None:
        if source.name not in self.found and written.name in self.open:
            self.found[source.name] = Paired(source, self.open.pop(written.name), by)

    def _by_place(self, key: Callable[[Instance], Hashable]) -> None:
        """Pair what is alone at its position with its ``key``."""
        located = [one for one in self.open.values() if one.image_position_patient is not None]
        free = [one for one in self._free() if one.image_position_patient is not None]
        if not located or not free:
            return
        places = _places([*free, *located])
        self._unique(free, located, lambda one: (places[id(one)], key(one)), BY_POSITION)

    def _unique(
        self, free: Iterable[Instance], written: Iterable[Instance], key: Callable[[Instance], Hashable], by: str
    ) -> None:
        groups: dict[Hashable, tuple[list[Instance], list[Instance]]] = defaultdict(lambda: ([], []))
        for side, instances in enumerate((free, written)):
            for one in instances:
                groups[key(one)][side].append(one)
        for sources, candidates in groups.values():
            if len(sources) == len(candidates) == 1:
                self._take(sources[0], candidates[0], by)


def _places(instances: Sequence[Instance]) -> dict[int, int]:
    """Return a number for each instance's place, by its ``id``; instances in one place have one number."""
    points = np.array([one.image_position_patient for one in instances])
    axis = points[:, int(np.argmax(np.ptp(points, axis=0)))]
    places: dict[int, int] = {}
    recent: list[int] = []
    for index in np.argsort(axis, kind="stable"):
        one = instances[index]
        recent = [other for other in recent if axis[index] - axis[other] < POSITION_TOLERANCE_MM]
        twin = next((other for other in recent if same_place(instances[other], one)), None)
        if twin is None:
            recent.append(int(index))
        places[id(one)] = int(index) if twin is None else places[id(instances[twin])]
    return places


def _stem(name: str) -> str:
    """Return what is left of a file name without folder, extension and the prefix of derived instances."""
    return re.sub(rf"^({DERIVED_PREFIX})+", "", Path(name).stem)
