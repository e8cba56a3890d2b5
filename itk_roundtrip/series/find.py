"""Find the DICOM series in a folder by their headers: which files, what geometry, what could go wrong."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from itk_roundtrip.arguments import checked
from itk_roundtrip.dicom.decimals import decimal
from itk_roundtrip.errors import AmbiguousSeriesError, RoundtripError, SeriesNotFoundError
from itk_roundtrip.series.geometry import POSITION_TOLERANCE_MM, Regularity, position_tolerance, positions_on_normal
from itk_roundtrip.series.instance import Instance, Skipped, describe, read_instance
from itk_roundtrip.series.irregularities import Irregularity, find_irregularities
from itk_roundtrip.series.volumes import (
    Slice,
    SubVolume,
    distance,
    geometry_of,
    is_one_orientation,
    separate,
    slices_of,
    sorted_slices,
)
from itk_roundtrip.words import agreeing, counted

__all__ = [
    "Instance",
    "Irregularity",
    "Series",
    "SeriesList",
    "Skipped",
    "Slice",
    "SubVolume",
    "as_one_series",
    "choose_series",
    "describe",
    "find_series",
    "group_series",
    "left_out",
    "list_files",
    "of_volume",
    "ordered",
    "read_files",
]


@dataclass(frozen=True)
class Series:
    """One DICOM series: its instances in slice order, by position on the normal.

    Attributes
    ----------
    series_instance_uid
        (0020,000E); empty if the instances have none.
    instances
        In slice order.
    directory
        The folder that was searched.
    """

    series_instance_uid: str
    instances: tuple[Instance, ...]
    directory: Path

    @property
    def modality(self) -> str:
        """Modality (0008,0060)."""
        return self.instances[0].modality

    @property
    def description(self) -> str:
        """Series Description (0008,103E)."""
        return self.instances[0].series_description

    @property
    def has_pixels(self) -> bool:
        """Whether any instance holds pixel data."""
        return any(instance.pixel_data for instance in self.instances)

    @property
    def slopes_vary(self) -> bool:
        """Whether Rescale Slope or Intercept differ between slices, as in PET."""
        return len({rescale for one in self.instances for rescale in _rescales(one)}) > 1

    @cached_property
    def slices(self) -> tuple[Slice, ...]:
        """Its slices, that is, its instances, and the frames of those that hold several, by position on the normal.

        In the order of the instances, the frames of each in theirs, where not all have positions and one orientation.
        """
        own = slices_of(self.instances)
        return sorted_slices(own) if is_one_orientation(own) else own

    @cached_property
    def geometry(self) -> Regularity | None:
        """Spacing, gaps, duplicates and tilt of its slices; ``None`` without positions or with several orientations."""
        return geometry_of(self.slices)

    @cached_property
    def slice_spacing_mm(self) -> float | None:
        """How far apart slices are along the normal, in mm; ``None`` if unknown, or not the same in all its volumes."""
        geometry = self.geometry
        if geometry is not None and geometry.spacing_mm and (len(self.volumes) == 1 or geometry.duplicates):
            return geometry.spacing_mm
        found = [distance(volume.slices) for volume in self.volumes]
        known = [abs(one) for one in found if one is not None]
        same = len(known) == len(found) and max(known) - min(known) <= POSITION_TOLERANCE_MM
        return known[0] if same else None

    @property
    def pass_indices(self) -> tuple[int, ...]:
        """For each instance, how many at the same position come before it; all 0 without positions or with frames."""
        passes = dict.fromkeys((one.name for one in self.instances), 0)
        if self.geometry is not None and len(self.slices) == len(self.instances):
            for group in self.geometry.duplicates:
                passes.update((self.slices[index].instance.name, count) for count, index in enumerate(group))
        return tuple(passes[one.name] for one in self.instances)

    @cached_property
    def irregularities(self) -> tuple[Irregularity, ...]:
        """What the series is not: one complete, regular, uniform volume."""
        return tuple(find_irregularities(self.instances, self.slices, self.geometry, self.volumes, self.separated_by))

    @cached_property
    def _separated(self) -> tuple[tuple[SubVolume, ...], str]:
        return separate(slices_of(self.instances))

    @property
    def volumes(self) -> tuple[SubVolume, ...]:
        """The volumes that it holds: one, unless geometry differs, positions repeat, or several files have frames.

        See Also
        --------
        itk_roundtrip.series.volumes.separate : How they are told apart.
        """
        return self._separated[0]

    @property
    def separated_by(self) -> str:
        """What tells its volumes apart, such as ``EchoTime``; empty if there is only one."""
        return self._separated[1]


def _rescales(one: Instance) -> set[tuple[str, str]]:
    """Return the texts of Rescale Slope and Intercept of an instance, and of its frames where these have their own."""
    own = [one.frame_values.get(keyword, ("",)) for keyword in ("RescaleSlope", "RescaleIntercept")]
    count = max(map(len, own))
    slopes, intercepts = (texts * count if len(texts) == 1 else texts for texts in own)
    return {
        (slope or one.rescale_slope, intercept or one.rescale_intercept)
        for slope, intercept in zip(slopes, intercepts, strict=True)
    }


class SeriesList(list[Series]):
    """The series of a folder; ``skipped`` names the files that belong to none."""

    def __init__(self, series: Iterable[Series] = (), skipped: Iterable[Skipped] = ()) -> None:
        super().__init__(series)
        self.skipped: tuple[Skipped, ...] = tuple(skipped)


@checked()
def find_series(directory: str | os.PathLike[str], *, progress: Callable[[int, int], None] | None = None) -> SeriesList:
    """Find all DICOM series under a folder, at any depth, by their headers; no pixels are read.

    Files that are not DICOM files (PS3.10) are counted and named in ``skipped`` of the result, never fatal.
    Symbolic links to files are followed.

    Parameters
    ----------
    directory
        The folder.
    progress
        Called with (files read, files in all).

    Returns
    -------
    SeriesList
        Ordered by the name of their first file; the instances of each by Image Position (Patient) (0020,0032)
        along the normal, then by acquisition, time, instance number and name.

    Raises
    ------
    SeriesNotFoundError
        There is no such folder.
    """
    root, names = list_files(directory)
    found = []
    for count, name in enumerate(names, 1):
        found += read_files(root, [name])
        if progress is not None:
            progress(count, len(names))
    return group_series(root, found)


def list_files(directory: str | os.PathLike[str]) -> tuple[Path, list[str]]:
    """Return a folder's absolute path, and the names of all files under it, relative to it.

    Raises
    ------
    SeriesNotFoundError
        There is no such folder.
    """
    named = os.fspath(directory)
    if not os.path.isdir(named):
        raise SeriesNotFoundError(f"{named} is not a folder.", path=named)
    root = Path(os.path.abspath(named))
    return root, [str(path.relative_to(root)) for path in _files(root)]


def read_files(root: Path, names: Sequence[str]) -> list[Instance | Skipped]:
    """Read the headers of some files of a folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings may quote values
        return [read_instance(root / name, name) for name in names]


def group_series(root: Path, found: Iterable[Instance | Skipped]) -> SeriesList:
    """Group what was found in a folder by series, each in slice order; those without a UID by study.

    Of files that are equal byte by byte, the first is taken and the others are skipped.
    """
    groups: dict[tuple[str, str], list[Instance]] = defaultdict(list)
    skipped = []
    for one in found:
        if isinstance(one, Instance):
            study = "" if one.series_instance_uid else one.study_instance_uid
            groups[study, one.series_instance_uid].append(one)
        else:
            skipped.append(one)
    series = []
    for key, instances in groups.items():
        taken, repeated = _without_repeated(instances)
        series.append(Series(key[1], ordered(taken), root))
        skipped += repeated
    series.sort(key=lambda one: _natural(min(instance.name for instance in one.instances)))
    return SeriesList(series, skipped)


def _without_repeated(instances: Sequence[Instance]) -> tuple[list[Instance], list[Skipped]]:
    """Return instances without those whose files hold the bytes of another one; these are not instances of their own.

    Only files of one SOP Instance UID are read.
    """
    named: dict[str, list[Instance]] = defaultdict(list)
    for one in instances:
        named[one.sop_instance_uid].append(one)
    repeated: dict[str, Skipped] = {}
    for uid, same in named.items():
        first: dict[bytes, str] = {}
        for one in same if uid and len(same) > 1 else ():
            taken = first.setdefault(_content(one), one.name)
            if taken != one.name:
                reason = f"the same as {taken}, byte for byte, which was taken"
                repeated[one.name] = Skipped(one.name, reason, duplicate_of=taken)
    return [one for one in instances if one.name not in repeated], list(repeated.values())


def _content(one: Instance) -> bytes:
    """Return a digest of a file; of one that cannot be read, its name."""
    try:
        with one.path.open("rb") as file:
            return hashlib.sha256(file.read()).digest()
    except OSError:
        return one.name.encode("utf-8", "surrogateescape")


def as_one_series(found: SeriesList, root: Path) -> Series:
    """Return all instances of a folder as one series, whatever series they say they are of."""
    instances = [one for series in found for one in series.instances]
    uids = Counter(one.series_instance_uid for one in instances)
    return Series(uids.most_common(1)[0][0] if uids else "", ordered(instances), root)


def left_out(skipped: Sequence[Skipped]) -> list[str]:
    """Return what is said of files that belong to no series."""
    told = [f"{one.name} was left out: {one.reason}." for one in skipped[:3]]
    if len(skipped) > 3:
        more = f"{counted(len(skipped) - 3, 'more file')} {agreeing(len(skipped) - 3, 'was', 'were')}"
        told.append(f"{more} left out; `find` lists them.")
    return told


def without_pixels(found: SeriesList, chosen: Series) -> list[str]:
    """Return what is said of files without pixels beside the series: reports, or what is left of images."""
    names = [one.name for series in found if series is not chosen and not series.has_pixels for one in series.instances]
    if not names:
        return []
    what = f"{counted(len(names), 'file')} without pixels {agreeing(len(names), 'was', 'were')} left out"
    return [f"{what}, first {names[0]}; `find` lists them." if len(names) > 1 else f"{what}: {names[0]}."]


def choose_series(found: SeriesList, series_instance_uid: str | None, directory: str) -> Series:
    """Return the one series with pixels, or the one asked for.

    Raises
    ------
    SeriesNotFoundError
        There is none, or none of that UID.
    AmbiguousSeriesError
        There are several.
    """
    candidates = [one for one in found if one.has_pixels] or list(found)
    if series_instance_uid is not None:
        candidates = [one for one in found if one.series_instance_uid == series_instance_uid]
        if not candidates:
            raise SeriesNotFoundError(
                f"{directory} holds no series {series_instance_uid}; `find` lists what it holds.",
                series=series_instance_uid,
            )
    if not candidates:
        skipped = f"{counted(len(found.skipped), 'file')} {agreeing(len(found.skipped), 'was', 'were')} skipped"
        reasons = f" ({found.skipped[0].name}: {found.skipped[0].reason})" if found.skipped else ""
        raise SeriesNotFoundError(f"{directory} holds no DICOM series; {skipped}{reasons}.")
    if len(candidates) > 1:
        studies = Counter(one.series_instance_uid for one in candidates)
        names = [
            f"{series_uid or '(no UID)'}{f' in {count} studies' if count > 1 else ''}"
            for series_uid, count in studies.items()
        ]
        if len(names) == 1:
            raise AmbiguousSeriesError(
                f"{directory} holds series {names[0]}; put each study into a folder of its own.",
                series=series_instance_uid,
            )
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        raise AmbiguousSeriesError(
            f"{directory} holds {len(candidates)} series ({shown}); choose one with series=UID.", option="series=UID"
        )
    return candidates[0]


def of_volume(series: Series, index: int) -> Series:
    """Return a series with the instances of one of its volumes.

    Raises
    ------
    RoundtripError
        It has no such volume.
    """
    volumes = series.volumes
    if not 0 <= index < len(volumes):
        raise RoundtripError(f"The series holds {counted(len(volumes), 'volume')}, counted from 0; {index} is none.")
    return replace(series, instances=volumes[index].instances)


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders.sort(key=_natural)
        for name in sorted(names, key=_natural):
            yield Path(folder, name)


def _natural(name: str) -> list[tuple[int, int | str]]:
    """Return a key that sorts ``IM2`` before ``IM10``."""
    return [
        (0, int(part)) if part.isdecimal() and part.isascii() else (1, part)
        for part in re.split(r"([0-9]+)", name)
        if part
    ]


def ordered(instances: Sequence[Instance]) -> tuple[Instance, ...]:
    """Return instances as `find_series` orders them: by position along the normal, then by number and name."""
    orientation = next((one.image_orientation_patient for one in instances if one.image_orientation_patient), None)
    located = orientation is not None and all(one.image_position_patient for one in instances)
    places: dict[str, int] = {}
    if located and orientation is not None:
        along = positions_on_normal([one.image_position_patient or (0, 0, 0) for one in instances], orientation)
        # Positions that differ by rounding must not break the order of the passes over them.
        noise = position_tolerance({one.pixel_spacing for one in instances})
        places = {one.name: round(float(place) / noise) for one, place in zip(instances, along, strict=True)}
    return tuple(
        sorted(
            instances,
            key=lambda one: (
                places.get(one.name, 0),
                *(
                    decimal(text) or 0.0
                    for text in (
                        one.acquisition_number,
                        one.temporal_position,
                        one.echo_time,
                        one.time_slice,
                        one.texts.get("FrameReferenceTime", ""),
                        one.trigger_time,
                        one.instance_number,
                    )
                ),
                _natural(one.name),
            ),
        )
    )
