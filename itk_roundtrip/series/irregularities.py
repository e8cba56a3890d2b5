"""Irregularities of a series: gaps, duplicate positions, tilt, mixed sizes, localizers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom import uid

from itk_roundtrip import syntaxes
from itk_roundtrip.rules import is_lossless
from itk_roundtrip.series.geometry import PLANE_ATTRIBUTES, Regularity, positions_on_normal
from itk_roundtrip.series.instance import Instance
from itk_roundtrip.series.shared import mixed
from itk_roundtrip.series.volumes import Slice, SubVolume, are_apart, distance, orientations, spacings
from itk_roundtrip.words import agreeing, counted


@dataclass(frozen=True)
class Irregularity:
    """A property of a series that readers of a single regular volume may fail on or get wrong.

    ``kind`` is a fixed word; ``message`` says it to people; ``files`` are the files concerned.
    """

    kind: str
    message: str
    files: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<Irregularity {self.kind}: {self.message} ({counted(len(self.files), 'file')})>"


def find_irregularities(
    instances: Sequence[Instance],
    slices: Sequence[Slice],
    geometry: Regularity | None,
    volumes: Sequence[SubVolume],
    separated_by: str,
) -> Iterator[Irregularity]:
    """Yield the irregularities of a series: how it is not a single complete, regular, uniform volume.

    Parameters
    ----------
    instances
        In slice order.
    slices
        Of the instances, sorted along the normal.
    geometry
        Of all slices; ``None`` if they have none in common.
    volumes, separated_by
        The volumes of the series, and the attributes that tell them apart.
    """
    yield from _irregular_files(instances)
    yield from _mixed_attributes(instances)
    yield from _lossy_streams(instances)
    yield from _other_than_slices(instances)
    yield from _malformed_planes(slices)
    yield from _unplaced(slices)
    yield from _several_volumes(instances, slices, volumes, separated_by)
    yield from _unknown_spacing(volumes)
    if geometry is not None and geometry.duplicates:
        yield from _duplicate_positions(slices, geometry, volumes, separated_by)
    # Where volumes share positions, gaps and tilt are those of all slices together.
    if geometry is not None and (len(volumes) == 1 or geometry.duplicates):
        yield from _gaps_and_tilt([(slices, geometry)])
    else:
        yield from _gaps_and_tilt([(volume.ascending, volume.geometry) for volume in volumes])


# ----------------------------------------------------------------------------------------------------------- files


def _irregular_files(instances: Sequence[Instance]) -> Iterator[Irregularity]:
    """Yield irregular encodings, files that end before their pixels do, and SOP Instance UIDs of several files."""
    names_by_note: dict[str, list[str]] = defaultdict(list)
    for instance in instances:
        if instance.opening_note:
            names_by_note[instance.opening_note].append(instance.name)
    for note, names in names_by_note.items():
        yield Irregularity("encoding", f"{note}: {len(names)} of {counted(len(instances), 'file')}", tuple(names))
    truncated = tuple(instance.name for instance in instances if instance.truncated)
    if truncated:
        end = agreeing(len(truncated), "ends before its", "end before their")
        yield Irregularity("truncated", f"{counted(len(truncated), 'file')} {end} pixels do", truncated)
    names_by_uid: dict[str, list[str]] = defaultdict(list)
    for instance in instances:
        names_by_uid[instance.sop_instance_uid].append(instance.name)
    for sop_instance_uid, names in names_by_uid.items():
        if sop_instance_uid and len(names) > 1:
            yield Irregularity(
                "duplicate-uid", f"{counted(len(names), 'file')} differ and have one SOP Instance UID", tuple(names)
            )


def _mixed_attributes(instances: Sequence[Instance]) -> Iterator[Irregularity]:
    """Yield mixed sizes and pixel formats, and attributes that differ though a series shares them (PS3.3 A.1.2.3)."""
    yield from _mixed(instances, "mixed-size", "sizes", lambda instance: (instance.rows, instance.columns))
    yield from _mixed(instances, "mixed-format", "pixel formats", lambda instance: instance.pixel_format)
    for shared in mixed(instances):
        yield from _mixed(instances, shared.kind, f"{shared.noun} ({shared.differing(instances)})", shared.value)


def _mixed(
    instances: Sequence[Instance], kind: str, noun: str, key: Callable[[Instance], Any]
) -> Iterator[Irregularity]:
    """Yield an irregularity of the files whose key is not the commonest, if there are several keys."""
    counts = Counter(key(instance) for instance in instances)
    if len(counts) > 1:
        # The least of equally common ones, so that the order of the files does not matter.
        commonest = min(counts, key=lambda value: (-counts[value], repr(value)))
        files = tuple(instance.name for instance in instances if key(instance) != commonest)
        differ = agreeing(len(files), "differs", "differ")
        yield Irregularity(
            kind, f"mixed {noun}: {len(files)} of {len(instances)} files {differ} from the others", files
        )


def _lossy_streams(instances: Sequence[Instance]) -> Iterator[Irregularity]:
    """Yield lossy streams in a lossless transfer syntax, and those of a higher precision than Bits Stored."""
    mislabelled = tuple(
        instance.name for instance in instances if instance.is_lossy and is_lossless(instance.transfer_syntax_uid)
    )
    if mislabelled:
        hold = agreeing(len(mislabelled), "holds", "hold")
        yield Irregularity(
            "lossy-stream",
            f"{counted(len(mislabelled), 'file')} {hold} a lossy stream in a lossless transfer syntax",
            mislabelled,
        )
    beyond = tuple(instance.name for instance in instances if instance.bits_beyond)
    if beyond:
        have = agreeing(len(beyond), "has", "have")
        yield Irregularity(
            "lossy-range",
            f"{counted(len(beyond), 'file')} {have} lossy streams of more bits than are stored: decoded values beyond"
            " these are clipped",
            beyond,
        )


def _other_than_slices(instances: Sequence[Instance]) -> Iterator[Irregularity]:
    """Yield files that are no single slices: localizers, mosaics, and files of several frames."""
    localizers = tuple(instance.name for instance in instances if "LOCALIZER" in instance.image_type)
    if localizers:
        are = agreeing(len(localizers), "is a localizer", "are localizers")
        yield Irregularity("localizer", f"{_files_or_all(localizers, instances)} {are}", localizers)
    mosaics = tuple(instance.name for instance in instances if instance.mosaic)
    if mosaics:
        are = agreeing(len(mosaics), "is a mosaic", "are mosaics")
        which = _files_or_all(mosaics, instances)
        yield Irregularity("mosaic", f"{which} {are}: many slices tiled into one image", mosaics)
    multi_frame = [instance for instance in instances if instance.frames > 1]
    if multi_frame:
        hold = agreeing(len(multi_frame), "holds", "hold")
        total = sum(instance.frames for instance in multi_frame)
        yield Irregularity(
            "multi-frame",
            f"{counted(len(multi_frame), 'file')} {hold} several frames, {total} in all",
            tuple(instance.name for instance in multi_frame),
        )


def _files_or_all(names: Sequence[str], instances: Sequence[Instance]) -> str:
    return "all files" if 1 < len(names) == len(instances) else counted(len(names), "file")


# -------------------------------------------------------------------------------------------------------- geometry


def _malformed_planes(slices: Sequence[Slice]) -> Iterator[Irregularity]:
    """Yield attributes of the image plane that are present but malformed."""
    for keyword, attribute in PLANE_ATTRIBUTES.items():
        malformed = [slice_ for slice_ in slices if keyword in slice_.place.malformed]
        if malformed:
            what = f"{len(malformed)} of {counted(len(slices), _noun(slices))}"
            text = f"{attribute.name} is not {attribute.expected}: {what}"
            yield Irregularity(attribute.irregularity, text, _files(malformed))


_PLACED = frozenset({
    uid.CTImageStorage, uid.MRImageStorage, uid.PositronEmissionTomographyImageStorage, uid.RTDoseStorage,
    uid.EnhancedCTImageStorage, uid.LegacyConvertedEnhancedCTImageStorage, uid.EnhancedMRImageStorage,
    uid.EnhancedMRColorImageStorage, uid.LegacyConvertedEnhancedMRImageStorage, uid.MRSpectroscopyStorage,
    uid.EnhancedPETImageStorage, uid.LegacyConvertedEnhancedPETImageStorage, uid.XRay3DAngiographicImageStorage,
    uid.XRay3DCraniofacialImageStorage, uid.BreastTomosynthesisImageStorage, uid.EnhancedRTImageStorage,
    uid.EnhancedContinuousRTImageStorage, uid.OphthalmicOpticalCoherenceTomographyBscanVolumeAnalysisStorage,
})  # fmt: skip
"""SOP Classes whose IOD asks for a position in the patient, by Image Plane Module or Plane Position (Patient) Macro
(PS3.3 A)."""


def _unplaced(slices: Sequence[Slice]) -> Iterator[Irregularity]:
    """Yield files without position or orientation, or with a position of their first frame only.

    Images that need none by their IOD, such as those of ultrasound, are irregular only where some have one.
    """
    missing = [slice_ for slice_ in slices if slice_.place.position is None or slice_.place.orientation is None]
    has_any = any(slice_.place.position is not None or slice_.place.orientation is not None for slice_ in slices)
    if not has_any:
        missing = [slice_ for slice_ in missing if _is_placed(slice_.instance)]
    following = [slice_ for slice_ in slices if slice_.place.follows and slice_.place.position is not None]
    files = _files(missing)
    if files:
        whole = len(missing) == sum(slice_.instance.name in files for slice_ in slices)
        what = counted(len(files), "file")
        what = what if whole else f"{counted(len(missing), 'frame')} of {what}"
        have = agreeing(len(files) if whole else len(missing), "has", "have")
        yield Irregularity("no-position", f"{what} {have} no position or orientation", files)
    if following and not files:
        names = _files(following)
        tell = agreeing(len(names), "tells the position of its", "tell the position of their")
        yield Irregularity("no-position", f"{counted(len(names), 'file')} {tell} first frame only", names)


def _is_placed(instance: Instance) -> bool:
    """Tell whether the IOD of an image asks for a position; yes of a SOP Class that the standard does not know."""
    return instance.sop_class_uid in _PLACED or syntaxes.name(instance.sop_class_uid) == instance.sop_class_uid


def _several_volumes(
    instances: Sequence[Instance], slices: Sequence[Slice], volumes: Sequence[SubVolume], separated_by: str
) -> Iterator[Irregularity]:
    """Yield mixed orientations and pixel spacings, and that these, sizes or stacks make several volumes."""
    groups = orientations(slices)
    if len(groups) > 1:
        commonest = max(groups, key=len)
        others = [slice_ for group in groups if group is not commonest for slice_ in group]
        yield Irregularity(
            "mixed-orientation", f"{len(groups)} orientations: {_differ(others)} from the others", _files(others)
        )
    measured = [group for spacing, group in spacings(slices) if spacing is not None]
    if len(measured) > 1:
        commonest = max(measured, key=len)
        others = [slice_ for group in measured if group is not commonest for slice_ in group]
        yield Irregularity(
            "mixed-spacing", f"{len(measured)} pixel spacings: {_differ(others)} from the others", _files(others)
        )
    if (
        len({(instance.rows, instance.columns) for instance in instances}) > 1
        or sum(len(group) > 1 for group in groups) > 1
        or len(measured) > 1
        or are_apart(slices)
    ):
        yield Irregularity("several-volumes", f"{len(volumes)} volumes in one series, told apart by {separated_by}", ())


def _unknown_spacing(volumes: Sequence[SubVolume]) -> Iterator[Irregularity]:
    """Yield files without pixel spacing, or of a volume whose slice spacing is not known."""
    pixels: list[Slice] = []
    slices: list[Slice] = []
    for volume in volumes:
        pixels += [
            slice_
            for slice_ in volume.slices
            if slice_.place.spacing is None and "PixelSpacing" not in slice_.place.malformed
        ]
        if distance(volume.slices) is None:
            slices += volume.slices
    if pixels or slices:
        what = [name for name, concerned in (("pixels", pixels), ("slices", slices)) if concerned]
        files = _files([*pixels, *slices])
        do = agreeing(len(files), "does not say how far apart its", "do not say how far apart their")
        yield Irregularity("unknown-spacing", f"{counted(len(files), 'file')} {do} {' and '.join(what)} are", files)


def _duplicate_positions(
    slices: Sequence[Slice], geometry: Regularity, volumes: Sequence[SubVolume], separated_by: str
) -> Iterator[Irregularity]:
    """Yield 4-D if every position has a slice of every volume, else positions that several slices share."""
    duplicates = [slices[index] for group in geometry.duplicates for index in group]
    sizes = {len(group) for group in geometry.duplicates}
    apart = f", told apart by {separated_by}"
    if len(geometry.duplicates) == geometry.positions and sizes == {len(volumes)} and geometry.positions > 1:
        yield Irregularity(
            "4-D",
            f"4-D: {counted(len(volumes), 'volume')} of {geometry.positions} positions{apart}",
            _files(duplicates),
        )
        return
    if separated_by.endswith(" order") and len(sizes) + (len(geometry.duplicates) < geometry.positions) > 1:
        apart += "; not all positions have as many, so that a volume may mix them"
    taken = agreeing(len(geometry.duplicates), "is", "are")
    yield Irregularity(
        "duplicate-position",
        f"{counted(len(geometry.duplicates), 'position')} {taken} taken by several {_noun(duplicates)}s{apart}",
        _files(duplicates),
    )


def _gaps_and_tilt(stacks: Sequence[tuple[Sequence[Slice], Regularity | None]]) -> Iterator[Irregularity]:
    """Yield gaps and tilt of stacks of slices along a normal, each given with its geometry."""
    gaps = [
        (geometry, slices[before], slices[behind])
        for slices, geometry in stacks
        if geometry is not None
        for before, behind in geometry.gaps
    ]
    if gaps:
        first, before, behind = gaps[0]
        yield Irregularity(
            "gap",
            f"uneven spacing in {counted(len(gaps), 'place')}: {before.name} and {behind.name} are"
            f" {_apart(before, behind):.4g} mm apart, most neighbours {first.spacing_mm:.4g} mm",
            _files([slice_ for _, *pair in gaps for slice_ in pair], once=False),
        )
    tilted = [
        (geometry.tilt_degrees, slices) for slices, geometry in stacks if geometry is not None and geometry.tilt_degrees
    ]
    if tilted:
        yield Irregularity(
            "tilt",
            f"tilt: slices step sideways by {max(degrees for degrees, _ in tilted):.1f} degrees",
            _files([slice_ for _, slices in tilted for slice_ in slices]),
        )


def _apart(before: Slice, behind: Slice) -> float:
    """Return the distance of two slices with positions along the normal of the first, in mm."""
    positions = [slice_.place.position for slice_ in (before, behind) if slice_.place.position is not None]
    assert before.place.orientation is not None
    start, end = positions_on_normal(positions, before.place.orientation)
    return float(end - start)


# ------------------------------------------------------------------------------------------------- words and files


def _noun(slices: Sequence[Slice]) -> str:
    return "frame" if any(slice_.instance.frames > 1 for slice_ in slices) else "file"


def _differ(slices: Sequence[Slice]) -> str:
    return f"{counted(len(slices), _noun(slices))} {agreeing(len(slices), 'differs', 'differ')}"


def _files(slices: Sequence[Slice], *, once: bool = True) -> tuple[str, ...]:
    """Return the files of slices; those of several frames once, others as often as they occur unless ``once``."""
    names = [slice_.instance.name for slice_ in slices]
    return tuple(dict.fromkeys(names)) if once or _noun(slices) == "frame" else tuple(names)
