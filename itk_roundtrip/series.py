"""Find the DICOM series in a folder by their headers: which files, what geometry, what could go wrong."""

from __future__ import annotations

import mmap
import os
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, cast

import pydicom
from pydicom import uid
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

from itk_roundtrip.errors import AmbiguousSeriesError, SeriesNotFoundError
from itk_roundtrip.geometry import (
    Cosines,
    Point,
    Regularity,
    positions_on_normal,
    regularity,
    same_orientation,
)

_MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
_OVERLAY_GROUPS = range(0x6000, 0x6020, 2)
_TEXTS = (
    "SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "Modality", "SeriesDescription",
    "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "AcquisitionNumber", "InstanceNumber",
    "TimezoneOffsetFromUTC", "TemporalPositionIdentifier", "EchoTime", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "NumberOfFrames", "PhotometricInterpretation",
    "RescaleSlope", "RescaleIntercept",
)  # fmt: skip
_NUMBERS = (
    "Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
)  # fmt: skip
_SEQUENCES = ("SourceImageSequence", "ReferencedSeriesSequence")
_PRESENCE = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_ITEM_ATTRIBUTES = ("PurposeOfReferenceCodeSequence", "CodeValue", "ReferencedSOPInstanceUID")
_TAG = {
    keyword: tag_for_keyword(keyword) or 0
    for keyword in (*_TEXTS, *_NUMBERS, *_SEQUENCES, *_PRESENCE, *_ITEM_ATTRIBUTES)
}
_TAGS: list[int] = [
    *(_TAG[keyword] for keyword in (*_TEXTS, *_NUMBERS, *_SEQUENCES, *_PRESENCE)),
    *((group << 16) | element for group in _OVERLAY_GROUPS for element in (0x0100, 0x3000)),
]
Elements = dict[int, DataElement | RawDataElement]
_PIXEL_TAGS = {0x7FE00010: "integer", 0x7FE00008: "float", 0x7FE00009: "double"}


@dataclass(frozen=True)
class Instance:
    """One SOP instance, that is, one file, as its header describes it.

    Texts are as they stand, without padding, and empty if absent; numbers are ``None`` if absent.

    Attributes
    ----------
    path
        Absolute.
    name
        Path relative to the folder that was searched, for messages.
    image_position_patient, image_orientation_patient, pixel_spacing
        In mm, direction cosines, and mm (row, column); ``None`` if absent or not numbers.
    rescale_slope, rescale_intercept
        Texts of (0028,1053) and (0028,1052).
    pixel_data
        ``"integer"``, ``"float"``, ``"double"``, or empty if there is none.
    enhanced, embedded_overlay, truncated
        It has functional groups; an overlay in unused pixel bits; fewer pixels than it says.
    """

    path: Path
    name: str
    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    modality: str
    series_description: str
    series_number: str
    acquisition_number: str
    instance_number: str
    timezone_offset: str
    temporal_position: str
    echo_time: str
    image_type: tuple[str, ...]
    image_position_patient: Point | None
    image_orientation_patient: Cosines | None
    pixel_spacing: tuple[float, float] | None
    number_of_frames: str
    photometric_interpretation: str
    rows: int | None
    columns: int | None
    samples_per_pixel: int | None
    bits_allocated: int | None
    bits_stored: int | None
    high_bit: int | None
    pixel_representation: int | None
    rescale_slope: str
    rescale_intercept: str
    pixel_data: str
    enhanced: bool
    embedded_overlay: bool
    truncated: bool
    source_images: tuple[tuple[str, str], ...] = ()
    """Purpose code and Referenced SOP Instance UID of each item of Source Image Sequence (0008,2112)."""
    referenced_series: tuple[str, ...] = ()
    """Series Instance UIDs in Referenced Series Sequence (0008,1115)."""

    @property
    def pixel_format(self) -> tuple[int | None, int | None, int | None, str, int | None]:
        """Bits Allocated, Bits Stored, Pixel Representation, Photometric Interpretation, Samples per Pixel."""
        return (
            self.bits_allocated,
            self.bits_stored,
            self.pixel_representation,
            self.photometric_interpretation,
            self.samples_per_pixel,
        )


@dataclass(frozen=True)
class Skipped:
    """A file that is not part of any series, and why; ``unreadable`` if the system does not let it be read."""

    name: str
    reason: str
    unreadable: bool = False


@dataclass(frozen=True)
class Irregularity:
    """Something a reader of the series as one regular volume would trip over.

    ``kind`` is a fixed word; ``message`` says it to people; ``files`` are the files concerned.
    """

    kind: str
    message: str
    files: tuple[str, ...]


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
        return len({(one.rescale_slope, one.rescale_intercept) for one in self.instances}) > 1

    @cached_property
    def geometry(self) -> Regularity | None:
        """Spacing, gaps, duplicates and tilt; ``None`` without positions or with several orientations."""
        first = self.instances[0].image_orientation_patient
        positions = [instance.image_position_patient for instance in self.instances]
        if first is None or not all(
            one.image_orientation_patient is not None and same_orientation(one.image_orientation_patient, first)
            for one in self.instances
        ):
            return None
        known = [position for position in positions if position is not None]
        return regularity(known, first) if len(known) == len(positions) else None

    @property
    def pass_indices(self) -> tuple[int, ...]:
        """For each slice, how many slices at the same position come before it; all 0 without positions."""
        indices = [0] * len(self.instances)
        for group in self.geometry.duplicates if self.geometry else ():
            for count, index in enumerate(group):
                indices[index] = count
        return tuple(indices)

    @cached_property
    def irregularities(self) -> tuple[Irregularity, ...]:
        """What the series is not: one complete, regular, uniform volume."""
        return tuple(_irregularities(self))


class SeriesList(list[Series]):
    """The series of a folder; ``skipped`` names the files that belong to none."""

    def __init__(self, series: Iterable[Series] = (), skipped: Iterable[Skipped] = ()) -> None:
        super().__init__(series)
        self.skipped: tuple[Skipped, ...] = tuple(skipped)


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
    root = Path(directory)
    if not root.is_dir():
        raise SeriesNotFoundError(f"{root.name or root} is not a folder.", path=root.name)
    root = Path(os.path.abspath(root))
    return root, [str(path.relative_to(root)) for path in _files(root)]


def read_files(root: Path, names: Sequence[str]) -> list[Instance | Skipped]:
    """Read the headers of some files of a folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings may quote values
        return [_read(root / name, name) for name in names]


def group_series(root: Path, found: Iterable[Instance | Skipped]) -> SeriesList:
    """Group what was found in a folder by study and series, each in slice order."""
    groups: dict[tuple[str, str], list[Instance]] = defaultdict(list)
    skipped = []
    for one in found:
        if isinstance(one, Instance):
            groups[one.study_instance_uid, one.series_instance_uid].append(one)
        else:
            skipped.append(one)
    series = [Series(key[1], _ordered(instances), root) for key, instances in groups.items()]
    series.sort(key=lambda one: _natural(min(instance.name for instance in one.instances)))
    return SeriesList(series, skipped)


def as_one_series(found: SeriesList, root: Path) -> Series:
    """Return all instances of a folder as one series, whatever series they say they are of."""
    instances = [one for series in found for one in series.instances]
    uids = Counter(one.series_instance_uid for one in instances)
    return Series(uids.most_common(1)[0][0] if uids else "", _ordered(instances), root)


def left_out(skipped: Sequence[Skipped]) -> list[str]:
    """Return what is said of files that belong to no series."""
    told = [f"{one.name} was left out: {one.reason}." for one in skipped[:3]]
    if len(skipped) > 3:
        told.append(f"{len(skipped) - 3} more files were left out; `itk-roundtrip find` lists them.")
    return told


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
                f"{directory} holds no series {series_instance_uid}; `itk-roundtrip find` lists what it holds.",
                series=series_instance_uid,
            )
    if not candidates:
        reasons = f" ({found.skipped[0].name}: {found.skipped[0].reason})" if found.skipped else ""
        raise SeriesNotFoundError(
            f"{directory} holds no DICOM series; {len(found.skipped)} files were skipped{reasons}."
        )
    if len(candidates) > 1:
        names = ", ".join(one.series_instance_uid or "(no UID)" for one in candidates[:3])
        more = f" and {len(candidates) - 3} more" if len(candidates) > 3 else ""
        advice = (
            "choose one with --series UID"
            if series_instance_uid is None
            else "they are of several studies, so put them into folders of their own"
        )
        raise AmbiguousSeriesError(f"{directory} holds {len(candidates)} series ({names}{more}); {advice}.")
    return candidates[0]


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


def _read(path: Path, name: str) -> Instance | Skipped:
    try:
        if not path.is_file():
            return Skipped(name, "not a regular file")
        with path.open("rb") as file:
            start = file.read(132)
            if not start:
                return Skipped(name, "empty")
            if start[128:] != b"DICM":
                return Skipped(name, "not DICOM (no DICM prefix)")
            # Mapped: pydicom asks a file for its position before every element.
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:
                dataset = pydicom.dcmread(cast(BinaryIO, stream), stop_before_pixels=True, specific_tags=_TAGS)
                position, size = stream.tell(), stream.size()
                tail = stream.read(12)
        if str(dataset.file_meta.get("MediaStorageSOPClassUID", "")) == _MEDIA_STORAGE_DIRECTORY:
            return Skipped(name, "DICOMDIR")
        if len(dataset) == 0:
            return Skipped(name, "broken (no attributes of a series)")
        return _instance(path, name, dataset, *_pixel_data(dataset, position, tail, size))
    except OSError as error:
        return Skipped(name, f"cannot be read ({(error.strerror or type(error).__name__).lower()})", unreadable=True)
    except Exception:  # whatever pydicom meets in a broken file
        return Skipped(name, "broken (cannot be parsed)")


def describe(path: Path, name: str, dataset: Dataset) -> Instance:
    """Return the instance that a whole data set is, as :func:`find_series` would find it in a sound file.

    Some of its elements are decoded.
    """
    kind = next((kind for tag, kind in _PIXEL_TAGS.items() if tag in dataset), "")
    return _instance(path, name, dataset, kind, False)


def _found(dataset: Dataset) -> Elements:
    return {int(tag): element for tag, element in dataset.items()}


def _text(found: Elements, keyword: str) -> str:
    element = found.get(_TAG[keyword])
    if element is None:
        return ""
    if isinstance(element, RawDataElement):
        return bytes(element.value or b"").decode("ascii", "replace").strip(" \0")
    value = element.value
    return value if isinstance(value, str) else "\\".join(str(one) for one in value or ())


def _number(found: Elements, keyword: str) -> int | None:
    element = found.get(_TAG[keyword])
    if not isinstance(element, RawDataElement) or not element.value:
        return None
    return int.from_bytes(element.value[:2], "little" if element.is_little_endian else "big")


def _numbers(text: str, count: int) -> Any:
    try:
        values = tuple(float(part) for part in text.split("\\"))
    except ValueError:
        return None
    return values if len(values) == count and all(abs(value) < 1e9 for value in values) else None


def _instance(path: Path, name: str, dataset: Dataset, pixel_data: str, missing: bool) -> Instance:
    syntax = uid.UID(str(dataset.file_meta.get("TransferSyntaxUID", "")))
    found = _found(dataset)
    texts = {keyword: _text(found, keyword) for keyword in _TEXTS}
    numbers = {keyword: _number(found, keyword) for keyword in _NUMBERS}
    try:
        description = str(dataset.get("SeriesDescription") or "")
    except Exception:  # text that does not fit its character set
        description = ""
    return Instance(
        path=path,
        name=name,
        transfer_syntax_uid=str(syntax),
        sop_class_uid=texts["SOPClassUID"],
        sop_instance_uid=texts["SOPInstanceUID"],
        study_instance_uid=texts["StudyInstanceUID"],
        series_instance_uid=texts["SeriesInstanceUID"],
        modality=texts["Modality"],
        series_description=description,
        series_number=texts["SeriesNumber"],
        acquisition_number=texts["AcquisitionNumber"],
        instance_number=texts["InstanceNumber"],
        timezone_offset=texts["TimezoneOffsetFromUTC"],
        temporal_position=texts["TemporalPositionIdentifier"],
        echo_time=texts["EchoTime"],
        image_type=tuple(part.strip() for part in texts["ImageType"].split("\\")),
        image_position_patient=_numbers(texts["ImagePositionPatient"], 3),
        image_orientation_patient=_numbers(texts["ImageOrientationPatient"], 6),
        pixel_spacing=_numbers(texts["PixelSpacing"], 2),
        number_of_frames=texts["NumberOfFrames"],
        photometric_interpretation=texts["PhotometricInterpretation"],
        rows=numbers["Rows"],
        columns=numbers["Columns"],
        samples_per_pixel=numbers["SamplesPerPixel"],
        bits_allocated=numbers["BitsAllocated"],
        bits_stored=numbers["BitsStored"],
        high_bit=numbers["HighBit"],
        pixel_representation=numbers["PixelRepresentation"],
        rescale_slope=texts["RescaleSlope"],
        rescale_intercept=texts["RescaleIntercept"],
        pixel_data=pixel_data,
        enhanced=any(_TAG[keyword] in found for keyword in _PRESENCE),
        embedded_overlay=any(
            group << 16 | 0x0100 in found
            and group << 16 | 0x3000 not in found
            and int(dataset[group << 16 | 0x0100].value or 1) > 1
            for group in _OVERLAY_GROUPS
        ),
        truncated=missing,
        source_images=tuple(map(_source_image, _items(dataset, "SourceImageSequence"))),
        referenced_series=tuple(
            _text(_found(item), "SeriesInstanceUID") for item in _items(dataset, "ReferencedSeriesSequence")
        ),
    )


def _source_image(item: Dataset) -> tuple[str, str]:
    """Return purpose code and Referenced SOP Instance UID of an item of Source Image Sequence."""
    codes = _items(item, "PurposeOfReferenceCodeSequence")
    return _text(_found(codes[0]), "CodeValue") if codes else "", _text(_found(item), "ReferencedSOPInstanceUID")


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    try:
        return list(dataset[_TAG[keyword]].value or ()) if _TAG[keyword] in dataset else []
    except Exception:  # bytes that are no items
        return []


def _pixel_data(dataset: Dataset, position: int, tail: bytes, size: int) -> tuple[str, bool]:
    """Return which kind of pixel data follows the header, and whether the file ends before it does."""
    syntax = uid.UID(str(dataset.file_meta.get("TransferSyntaxUID", "")))
    found = _found(dataset)
    known = syntax.is_transfer_syntax and not syntax.is_private
    if known and syntax.is_deflated:  # pydicom inflated the stream; its position says nothing
        return ("integer" if _number(found, "Rows") else ""), False
    order: Any = "little" if not known or syntax.is_little_endian else "big"
    tag = int.from_bytes(tail[:2], order) << 16 | int.from_bytes(tail[2:4], order)
    kind = _PIXEL_TAGS.get(tag, "")
    if not kind:
        return "", False
    implicit = syntax == uid.ImplicitVRLittleEndian
    length = int.from_bytes(tail[4:8] if implicit else tail[8:12], order)
    if length == 0xFFFFFFFF:
        return kind, False
    expected = 1
    for keyword in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated"):
        expected *= _number(found, keyword) or 1
    frames = _text(found, "NumberOfFrames")
    expected = expected * (int(frames) if frames.isdecimal() else 1) // 8
    return kind, position + (8 if implicit else 12) + length > size or length < expected


def _integer(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _ordered(instances: Sequence[Instance]) -> tuple[Instance, ...]:
    orientation = next((one.image_orientation_patient for one in instances if one.image_orientation_patient), None)
    located = orientation is not None and all(one.image_position_patient for one in instances)
    places: dict[str, float] = {}
    if located and orientation is not None:
        along = positions_on_normal([one.image_position_patient or (0, 0, 0) for one in instances], orientation)
        # Positions that differ by rounding must not break the order of the passes over them.
        places = {one.name: round(float(place), 2) for one, place in zip(instances, along, strict=True)}
    return tuple(
        sorted(
            instances,
            key=lambda one: (
                places.get(one.name, 0.0),
                _integer(one.acquisition_number),
                _integer(one.temporal_position),
                _integer(one.echo_time),
                _integer(one.instance_number),
                _natural(one.name),
            ),
        )
    )


def _irregularities(series: Series) -> Iterator[Irregularity]:
    instances = series.instances

    def unlike_most(kind: str, text: str, key: Callable[[Instance], Any]) -> Iterator[Irregularity]:
        counts = Counter(key(one) for one in instances)
        if len(counts) > 1:
            usual = counts.most_common(1)[0][0]
            files = tuple(one.name for one in instances if key(one) != usual)
            yield Irregularity(kind, f"{text}: {len(files)} of {len(instances)} files differ from the others", files)

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
    missing = tuple(
        one.name for one in instances if one.image_position_patient is None or one.image_orientation_patient is None
    )
    if missing:
        yield Irregularity("no-position", f"{len(missing)} files have no position or orientation", missing)
    orientations = _orientations(instances)
    if len(orientations) > 1:
        usual = max(orientations, key=len)
        odd = tuple(one.name for group in orientations if group is not usual for one in group)
        yield Irregularity(
            "mixed-orientation", f"{len(orientations)} orientations: {len(odd)} files differ from the others", odd
        )
    volumes = {(one.rows, one.columns) for one in instances}
    if len(volumes) > 1 or sum(len(group) > 1 for group in orientations) > 1:
        yield Irregularity("several-volumes", "several volumes in one series, told apart by size or orientation", ())
    geometry = series.geometry
    if geometry is None:
        return
    if geometry.duplicates:
        files = tuple(instances[index].name for group in geometry.duplicates for index in group)
        sizes = {len(group) for group in geometry.duplicates}
        if len(geometry.duplicates) == geometry.positions and len(sizes) == 1 and geometry.positions > 1:
            yield Irregularity("4-D", f"4-D: {sizes.pop()} volumes of {geometry.positions} positions", files)
        else:
            yield Irregularity(
                "duplicate-position", f"{len(geometry.duplicates)} positions are taken by several files", files
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


def _orientations(instances: Sequence[Instance]) -> list[list[Instance]]:
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
