"""Find the DICOM series in a folder by the headers of its files: instances in order, volumes, irregularities."""

from __future__ import annotations

import hashlib
import logging
import os
import posixpath
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from itk_roundtrip.arguments import check_there, checked
from itk_roundtrip.dicom.decimals import decimal
from itk_roundtrip.display import as_document, as_html
from itk_roundtrip.errors import AmbiguousSeriesError, RoundtripError, SeriesNotFoundError, SeriesReadError
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
from itk_roundtrip.words import agreeing, counted, natural, posix

__all__ = [
    "Instance",
    "Irregularity",
    "Series",
    "SeriesList",
    "Skipped",
    "Slice",
    "SubVolume",
    "as_found",
    "as_one_series",
    "check_readable",
    "choose_series",
    "describe",
    "find_series",
    "find_source",
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
    copies
        Subfolders that hold the same SOP Instance UIDs, its own too, each a series of the list; empty if it is there
        once.
    """

    series_instance_uid: str
    instances: tuple[Instance, ...]
    directory: Path
    copies: tuple[str, ...] = ()

    def __repr__(self) -> str:
        if not self.instances:
            return "<Series of no instances>"
        first = self.instances[0]
        size = f"{counted(len(self.instances), 'file')}, {first.columns}x{first.rows}"
        return f"<Series {self.modality} {self.description!r}: {size}, {self.series_instance_uid or 'no UID'}>"

    def _repr_html_(self) -> str:
        return as_html(self)

    @property
    def modality(self) -> str:
        """Modality (0008,0060)."""
        return self.instances[0].modality

    @property
    def description(self) -> str:
        """Series Description (0008,103E)."""
        return self.instances[0].series_description

    @property
    def date(self) -> str:
        """Series Date (0008,0021), else Acquisition, Content or Study Date, as ``YYYYMMDD``; empty without any."""
        texts = (self.instances[0].texts.get(keyword, "").replace(".", "") for keyword in _DATES)
        return next((text for text in texts if re.fullmatch("[0-9]{8}", text)), "")

    @property
    def folder(self) -> str:
        """The folder of all its files, relative to the one that was searched; ``.`` for that itself."""
        return _common_folder(self.instances) or "."

    @property
    def has_pixels(self) -> bool:
        """Whether any instance holds pixel data."""
        return any(instance.pixel_data for instance in self.instances)

    @property
    def slopes_vary(self) -> bool:
        """Whether Rescale Slope or Intercept differ between slices, as in PET."""
        return len({rescale for instance in self.instances for rescale in _rescales(instance)}) > 1

    @cached_property
    def slices(self) -> tuple[Slice, ...]:
        """Its slices, that is, its instances, and the frames of those that hold several, by position on the normal.

        In the order of the instances, the frames of each in theirs, where not all have positions and one orientation.
        """
        slices = slices_of(self.instances)
        return sorted_slices(slices) if is_one_orientation(slices) else slices

    @cached_property
    def geometry(self) -> Regularity | None:
        """Spacing, gaps, duplicates and tilt of its slices; ``None`` without positions or with several orientations."""
        return geometry_of(self.slices)

    @cached_property
    def slice_spacing_mm(self) -> float | None:
        """Slice spacing along the normal, in mm; ``None`` if unknown, or not the same in all its volumes."""
        geometry = self.geometry
        if geometry is not None and geometry.spacing_mm and (len(self.volumes) == 1 or geometry.duplicates):
            return geometry.spacing_mm
        distances = [distance(volume.slices) for volume in self.volumes]
        spacings = [abs(spacing) for spacing in distances if spacing is not None]
        same = len(spacings) == len(distances) and max(spacings) - min(spacings) <= POSITION_TOLERANCE_MM
        return spacings[0] if same else None

    @property
    def pass_indices(self) -> tuple[int, ...]:
        """For each instance, how many at the same position come before it; all 0 without positions or with frames."""
        passes = dict.fromkeys((instance.name for instance in self.instances), 0)
        if self.geometry is not None and len(self.slices) == len(self.instances):
            for group in self.geometry.duplicates:
                passes.update((self.slices[index].instance.name, count) for count, index in enumerate(group))
        return tuple(passes[instance.name] for instance in self.instances)

    @cached_property
    def irregularities(self) -> tuple[Irregularity, ...]:
        """Irregularities: how the series is not a single complete, regular, uniform volume."""
        found = find_irregularities(self.instances, self.slices, self.geometry, self.volumes, self.separated_by)
        if not self.copies:
            return tuple(found)
        message = f"one of {len(self.copies)} copies of the series: {', '.join(self.copies)} hold the same instances"
        return (Irregularity("copy", message, ()), *found)

    @cached_property
    def _separated(self) -> tuple[tuple[SubVolume, ...], str]:
        return separate(slices_of(self.instances))

    @property
    def volumes(self) -> tuple[SubVolume, ...]:
        """Its volumes: a single one, unless geometry differs, positions repeat, or several files have frames.

        See Also
        --------
        itk_roundtrip.series.volumes.separate : How they are told apart.
        """
        return self._separated[0]

    @property
    def separated_by(self) -> str:
        """The attributes that tell its volumes apart, such as ``EchoTime``; empty if there is only one."""
        return self._separated[1]


_LOG = logging.getLogger(__name__)
_DATES = ("SeriesDate", "AcquisitionDate", "ContentDate", "StudyDate")


def _rescales(instance: Instance) -> set[tuple[str, str]]:
    """Return the texts of Rescale Slope and Intercept of the frames of an instance."""
    per_frame = [instance.frame_values.get(keyword, ("",)) for keyword in ("RescaleSlope", "RescaleIntercept")]
    count = max(map(len, per_frame))
    slopes, intercepts = (texts * count if len(texts) == 1 else texts for texts in per_frame)
    return {
        (slope or instance.rescale_slope, intercept or instance.rescale_intercept)
        for slope, intercept in zip(slopes, intercepts, strict=True)
    }


class SeriesList(list[Series]):
    """The series of a folder, which the command ``find`` numbers from 1 in this order.

    Attributes
    ----------
    skipped
        The files that belong to none.
    found
        All instances, also those that are the same byte for byte as another, which is taken.
    directory
        The folder, as it was given.
    """

    def __init__(
        self,
        series: Iterable[Series] = (),
        skipped: Iterable[Skipped] = (),
        found: Iterable[Instance] = (),
        directory: str = ".",
    ) -> None:
        super().__init__(series)
        self.skipped: tuple[Skipped, ...] = tuple(skipped)
        self.found: tuple[Instance, ...] = tuple(found)
        self.directory = directory

    def choose(self, series: str | int) -> Series:
        """Return a series by its number, counted from 1, its UID, the end of one that no other has, or its subfolder.

        Raises
        ------
        SeriesNotFoundError, AmbiguousSeriesError
            There is none such, or several.
        """
        return choose_series(self, series, self.directory)

    def __repr__(self) -> str:
        modalities = Counter(series.modality for series in self if series.instances)
        listed = f" ({', '.join(f'{count} {name}' for name, count in modalities.items())})" if modalities else ""
        left_out = f", {counted(len(self.skipped), 'file')} left out" if self.skipped else ""
        return f"<SeriesList of {len(self)} series{listed}{left_out}>"

    def _repr_html_(self) -> str:
        return as_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of the command ``find``."""
        return as_document("find_document", self, Path(self.directory))


@checked()
def find_series(directory: str | os.PathLike[str], *, progress: Callable[[int, int], None] | None = None) -> SeriesList:
    """Find all DICOM series under a folder, at any depth, by their headers; no pixels are read.

    Files that are not DICOM files (PS3.10) are counted and named in ``skipped`` of the result, never fatal.
    Symbolic links to files are followed.

    Parameters
    ----------
    directory
        The folder, or a single file.
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
        There is no such folder or file.
    """
    root, names = list_files(directory)
    files = []
    for count, name in enumerate(names, 1):
        files += read_files(root, [name])
        if progress is not None:
            progress(count, len(names))
    found = group_series(root, files)
    found.directory = posix(directory)
    return found


def list_files(directory: str | os.PathLike[str]) -> tuple[Path, list[str]]:
    """Return a folder's absolute path, and the names of all files under it, relative to it.

    Of a single file the folder that it lies in, and its name.

    Raises
    ------
    SeriesNotFoundError
        There is no such folder or file.
    """
    check_there(directory)
    root = root_of(directory)
    if not os.path.isdir(directory):
        return root, [os.path.basename(directory)]
    return root, [posix(path.relative_to(root)) for path in _files(root)]


def root_of(directory: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a folder, or of the one that a file lies in."""
    path = Path(os.path.abspath(directory))
    return path if path.is_dir() else path.parent


def read_files(root: Path, names: Sequence[str]) -> list[Instance | Skipped]:
    """Read the headers of some files of a folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings may quote values
        return [read_instance(root / name, name) for name in names]


def group_series(root: Path, files: Iterable[Instance | Skipped]) -> SeriesList:
    """Group the files of a folder by series, each in slice order; instances without a series UID by study.

    Of files that are equal byte by byte, the first is taken and the others are skipped. Copies in several subfolders
    that are not equal byte by byte are series of their own.
    """
    files = list(files)
    groups: dict[tuple[str, str], list[Instance]] = defaultdict(list)
    skipped = []
    for file in files:
        if isinstance(file, Instance):
            study_instance_uid = "" if file.series_instance_uid else file.study_instance_uid
            groups[study_instance_uid, file.series_instance_uid].append(file)
        else:
            skipped.append(file)
    series_list = []
    for (_, series_instance_uid), instances in groups.items():
        distinct, repeated = _without_repeated(instances)
        copies = _copies(instances, {file.name: file for file in repeated})
        if len(copies) > 1:
            series_list += [Series(series_instance_uid, ordered(copies[name]), root, tuple(copies)) for name in copies]
            taken = {instance.name for copy in copies.values() for instance in copy}
            skipped += [file for file in repeated if file.name not in taken]
        else:
            series_list.append(Series(series_instance_uid, ordered(distinct), root))
            skipped += repeated
    series_list.sort(key=lambda series: natural(min(instance.name for instance in series.instances)))
    return SeriesList(series_list, skipped, (file for file in files if isinstance(file, Instance)))


def _common_folder(instances: Iterable[Instance]) -> str:
    return posixpath.commonpath([posixpath.dirname(instance.name) for instance in instances])


def _copies(instances: Sequence[Instance], repeated: Mapping[str, Skipped]) -> dict[str, list[Instance]]:
    """Return the instances of a series by subfolder, if these hold copies of it, such as several exports.

    They do if none holds a SOP Instance UID twice, and all that any holds are in the largest. A subfolder whose files
    are all the same byte for byte as others is left out.

    Parameters
    ----------
    instances
        Of the series.
    repeated
        Those that are the same byte for byte as an earlier one, by name.
    """
    common = _common_folder(instances)

    def folder(name: str) -> str:
        below = posixpath.dirname(name)[len(common) :].lstrip("/").partition("/")[0]
        return posixpath.join(common, below).rstrip("/") or "."

    folders: dict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        same = repeated.get(instance.name)
        if same is None or folder(same.duplicate_of) != folder(instance.name):
            folders[folder(instance.name)].append(instance)
    uids = [{instance.sop_instance_uid for instance in members} for members in folders.values()]
    is_once = all(len(of_folder) == len(members) for of_folder, members in zip(uids, folders.values(), strict=True))
    if not is_once or set().union(*uids) != max(uids, key=len) or "" in max(uids, key=len):
        return {}
    return {
        name: members for name, members in folders.items() if not all(instance.name in repeated for instance in members)
    }


def _without_repeated(instances: Sequence[Instance]) -> tuple[list[Instance], list[Skipped]]:
    """Return the instances whose files are not byte for byte equal to an earlier one, and the others as skipped.

    Only files that share a SOP Instance UID are read.
    """
    by_uid: dict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        by_uid[instance.sop_instance_uid].append(instance)
    repeated: dict[str, Skipped] = {}
    for sop_instance_uid, same in by_uid.items():
        first_names: dict[bytes, str] = {}
        for instance in same if sop_instance_uid and len(same) > 1 else ():
            first = first_names.setdefault(_digest(instance), instance.name)
            if first != instance.name:
                reason = f"the same as {first}, byte for byte, which was taken"
                repeated[instance.name] = Skipped(instance.name, reason, duplicate_of=first)
    return [instance for instance in instances if instance.name not in repeated], list(repeated.values())


def _digest(instance: Instance) -> bytes:
    """Return a digest of the file of an instance; its name if the file cannot be read."""
    try:
        with instance.path.open("rb") as file:
            return hashlib.sha256(file.read()).digest()
    except OSError:
        return instance.name.encode("utf-8", "surrogateescape")


def as_one_series(series_list: SeriesList, root: Path) -> Series:
    """Return all instances of a folder as one series, whatever their Series Instance UIDs; it has the commonest."""
    instances = [instance for series in series_list for instance in series.instances]
    uids = Counter(instance.series_instance_uid for instance in instances)
    return Series(uids.most_common(1)[0][0] if uids else "", ordered(instances), root)


def check_readable(skipped: Sequence[Skipped]) -> None:
    """Refuse a folder with a file that cannot be opened and may belong to the series."""
    for file in skipped:
        if file.unreadable:
            raise SeriesReadError(f"{file.name} may belong to the series and {file.reason}.", path=file.name)


def left_out(skipped: Sequence[Skipped]) -> list[str]:
    """Return messages about files that belong to no series: the first three by name, then their number."""
    messages = [f"{file.name} was left out: {file.reason}." for file in skipped[:3]]
    if len(skipped) > 3:
        more = f"{counted(len(skipped) - 3, 'more file')} {agreeing(len(skipped) - 3, 'was', 'were')}"
        messages.append(f"{more} left out; `find` lists them.")
    return messages


def without_pixels(series_list: SeriesList, chosen: Series) -> list[str]:
    """Return the message about the files of other series, without pixels, such as reports; empty without such files."""
    names = [
        instance.name
        for series in series_list
        if series is not chosen and not series.has_pixels
        for instance in series.instances
    ]
    if not names:
        return []
    what = f"{counted(len(names), 'file')} without pixels {agreeing(len(names), 'was', 'were')} left out"
    return [f"{what}, first {names[0]}; `find` lists them." if len(names) > 1 else f"{what}: {names[0]}."]


def choose_series(series_list: SeriesList, asked: str | int | None, directory: str) -> Series:
    """Return the series that is asked for; if none is, the only series that has pixels.

    Parameters
    ----------
    series_list
        Of a folder.
    asked
        A number, counted from 1 in the order of the list; else a Series Instance UID (0020,000E), or the end of one
        that no other series has; else a subfolder, which then holds all files of the series or a copy of it.
    directory
        The folder, as messages name it.

    Raises
    ------
    SeriesNotFoundError
        There is none, or none that is asked for.
    AmbiguousSeriesError
        There are several.
    """
    candidates = series_list if asked is None else _asked_for(series_list, str(asked), directory)
    candidates = [series for series in candidates if series.has_pixels] or list(candidates)
    if not candidates:
        skipped = series_list.skipped
        what = "it is empty"
        if skipped:
            what = f"{counted(len(skipped), 'file')} {agreeing(len(skipped), 'was', 'were')} skipped"
            what += f" ({skipped[0].name}: {skipped[0].reason})"
        raise SeriesNotFoundError(f"{directory} holds no DICOM series; {what}.")
    if len(candidates) > 1:
        listed = [_named(series_list, series) for series in candidates[:_LISTED_SERIES]]
        more = f"; and {len(candidates) - len(listed)} more" if len(candidates) > len(listed) else ""
        what = "copies of one series" if all(series.copies for series in candidates) else "series"
        raise AmbiguousSeriesError(
            f"{directory} holds {len(candidates)} {what} ({'; '.join(listed)}{more}); `find` shows them, choose one"
            " with series=N.",
            option="series=N",
        )
    series = candidates[0]
    _LOG.info("%s, of which one is taken: %s", counted(len(series_list), "series", "series"), _extent(series))
    return series


def _extent(series: Series) -> str:
    return f"{counted(len(series.instances), 'file')} with {counted(len(series.slices), 'slice')}"


_LISTED_SERIES = 5
"""How many series an error lists."""


def _asked_for(series_list: SeriesList, asked: str, directory: str) -> list[Series]:
    """Return the series that a number, a UID, the end of one, or a subfolder stands for, whichever fits first."""
    if asked.isascii() and asked.isdecimal() and len(asked) < 9 and 1 <= int(asked) <= len(series_list):
        return [series_list[int(asked) - 1]]
    uids = [series.series_instance_uid for series in series_list]
    chosen = [series for series, uid in zip(series_list, uids, strict=True) if uid == asked]
    chosen = chosen or [series for series, uid in zip(series_list, uids, strict=True) if asked and uid.endswith(asked)]
    chosen = chosen or _in_folder(series_list, posixpath.normpath(asked))
    if not chosen:
        raise SeriesNotFoundError(f"{directory} holds no series {asked}; `find` lists what it holds.", series=asked)
    return chosen


def _in_folder(series_list: SeriesList, folder: str) -> list[Series]:
    """Return the series whose files lie in a subfolder; refuse a part of a series that is not a copy of it."""
    inside = [instance for instance in series_list.found if instance.name.startswith(f"{folder}/")]
    names = {instance.name for instance in inside}
    for number, series in enumerate(series_list, 1):
        count = sum(instance.name in names for instance in series.instances)
        if 0 < count < len(series.instances):
            raise SeriesNotFoundError(
                f"{folder} holds only a part of series {number} ({count} of {counted(len(series.instances), 'file')});"
                " to take it alone, name that folder instead of the one around it.",
                series=series.series_instance_uid,
            )
    if not inside:
        return []
    listed = {series.instances: series for series in series_list}
    found = group_series(inside[0].path.parents[inside[0].name.count("/")], inside)
    return [listed.get(series.instances, series) for series in found]


def _named(series_list: SeriesList, series: Series) -> str:
    """Return number, modality, size and subfolder of a series, as an error names it."""
    numbers = (number for number, listed in enumerate(series_list, 1) if listed.instances == series.instances)
    where = f" in {series.folder}" if series.folder != "." else ""
    return f"{next(numbers, '-')}: {series.modality or 'no modality'}, {counted(len(series.instances), 'file')}{where}"


def find_source(
    source: str | os.PathLike[str] | Series,
    asked: str | int | None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[SeriesList, Series]:
    """Return the series of a folder, and the one that :func:`choose_series` chooses of them.

    A series as :func:`find_series` returned it stands for itself.

    Raises
    ------
    SeriesNotFoundError, AmbiguousSeriesError
        There is none, or there are several.
    SeriesReadError
        A file of a series is gone, or was changed since it was found.
    """
    if isinstance(source, Series):
        return SeriesList([as_found(source, progress)]), source
    series_list = find_series(source, progress=progress)
    return series_list, choose_series(series_list, asked, posix(source))


def as_found(series: Series, progress: Callable[[int, int], None] | None = None) -> Series:
    """Return a series; refuse one with a file that is gone or was changed since it was found.

    Raises
    ------
    SeriesReadError
        There is such a file.
    """
    for count, instance in enumerate(series.instances, 1):
        (file,) = read_files(series.directory, [instance.name])
        if progress is not None:
            progress(count, len(series.instances))
        if not isinstance(file, Instance) or not instance.is_same(file):
            raise SeriesReadError(
                f"{instance.name} is not what was found: it is gone, or was changed since; find the series again.",
                path=instance.name,
            )
    return series


def of_volume(series: Series, index: int) -> Series:
    """Return a series with the instances of one of its volumes, counted from 0.

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
    """Yield all files under a folder, folders and names in natural order."""
    for folder, folders, names in os.walk(root):
        folders.sort(key=natural)
        for name in sorted(names, key=natural):
            yield Path(folder, name)


def ordered(instances: Sequence[Instance]) -> tuple[Instance, ...]:
    """Return instances as `find_series` orders them: by position along the normal, then by number and name."""
    positions = _rounded_positions(instances)

    def key(instance: Instance) -> tuple[Any, ...]:
        texts = (
            instance.acquisition_number,
            instance.temporal_position,
            instance.echo_time,
            instance.time_slice,
            instance.texts.get("FrameReferenceTime", ""),
            instance.trigger_time,
            instance.instance_number,
        )
        return (positions.get(instance.name, 0), *(decimal(text) or 0.0 for text in texts), natural(instance.name))

    return tuple(sorted(instances, key=key))


def _rounded_positions(instances: Sequence[Instance]) -> dict[str, int]:
    """Return the positions of instances along the normal of the first, by name; empty if any has no position.

    Positions that differ by rounding must not break the order of the passes over them, so that they are in units of
    the tolerance.
    """
    orientation = next(
        (instance.image_orientation_patient for instance in instances if instance.image_orientation_patient), None
    )
    positions = [
        instance.image_position_patient for instance in instances if instance.image_position_patient is not None
    ]
    if orientation is None or len(positions) < len(instances):
        return {}
    along = positions_on_normal(positions, orientation)
    tolerance = position_tolerance({instance.pixel_spacing for instance in instances})
    return {
        instance.name: round(float(position) / tolerance) for instance, position in zip(instances, along, strict=True)
    }
