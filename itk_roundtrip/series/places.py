"""Where each frame of an instance lies in the patient, and what else its functional groups say of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydicom.datadict import keyword_for_tag

from itk_roundtrip.dicom.decimals import decimals
from itk_roundtrip.dicom.nested import Texts, Wanted, nodes
from itk_roundtrip.series.geometry import (
    POSITION_TOLERANCE_MM,
    Cosines,
    Point,
    image_orientation,
    image_position,
    normal,
    pixel_spacing,
)

SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
"""What says how far apart pixels are; the last two stand for it in projections and scans (PS3.3 10.7.1.1, C.8.6.1)."""
VECTORS = (
    "EnergyWindowVector", "DetectorVector", "PhaseVector", "RotationVector", "RRIntervalVector", "TimeSlotVector",
    "SliceVector", "AngularViewVector", "TimeSliceVector",
)  # fmt: skip
"""What tells the frames of a Nuclear Medicine image apart, one number per frame (PS3.3 C.8.4.8)."""
_POSITION = ("ImagePositionPatient", "ImageOrientationPatient")
_MEASURES = (*SPACINGS, "SpacingBetweenSlices", "SliceThickness")
DETECTOR: Wanted = dict.fromkeys(_POSITION)
"""What is read of an item of Detector Information Sequence (0054,0022)."""
DIMENSION: Wanted = {"DimensionIndexPointer": None}
"""What is read of an item of Dimension Index Sequence (0020,9222)."""
GROUPS: Wanted = {
    "PlanePositionSequence": {"ImagePositionPatient": None},
    "PlaneOrientationSequence": {"ImageOrientationPatient": None},
    "PixelMeasuresSequence": dict.fromkeys(_MEASURES),
    "PixelValueTransformationSequence": {"RescaleSlope": None, "RescaleIntercept": None, "RescaleType": None},
    "FrameContentSequence": dict.fromkeys((
        "StackID", "InStackPositionNumber", "TemporalPositionIndex", "DimensionIndexValues", "FrameAcquisitionNumber",
        "FrameAcquisitionDateTime", "FrameReferenceDateTime", "CardiacCyclePosition", "RespiratoryCyclePosition",
        "FrameLabel",
    )),
    "TemporalPositionSequence": {"TemporalPositionTimeOffset": None},
    "CardiacSynchronizationSequence": dict.fromkeys((
        "NominalCardiacTriggerDelayTime", "ActualCardiacTriggerDelayTime", "NominalPercentageOfCardiacPhase",
    )),
    "RespiratorySynchronizationSequence": dict.fromkeys((
        "NominalRespiratoryTriggerDelayTime", "ActualRespiratoryTriggerDelayTime",
        "NominalPercentageOfRespiratoryPhase",
    )),
    "MREchoSequence": {"EffectiveEchoTime": None},
    "MRDiffusionSequence": {
        "DiffusionBValue": None, "DiffusionDirectionality": None,
        "DiffusionGradientDirectionSequence": {"DiffusionGradientOrientation": None},
    },
    "MRTimingAndRelatedParametersSequence": {"FlipAngle": None, "RepetitionTime": None},
    "MRModifierSequence": {"InversionTimes": None},
    "MRVelocityEncodingSequence": {"VelocityEncodingDirection": None},
    "MRArterialSpinLabelingSequence": {"ASLContext": None},
    "MRImageFrameTypeSequence": {"FrameType": None, "ComplexImageComponent": None},
    "CTImageFrameTypeSequence": {"FrameType": None},
    "PETFrameTypeSequence": {"FrameType": None},
    "XRay3DFrameTypeSequence": {"FrameType": None},
    "CTReconstructionSequence": {"ConvolutionKernel": None},
    "CTXRayDetailsSequence": {"KVP": None},
    "SegmentIdentificationSequence": {"ReferencedSegmentNumber": None},
    "OpticalPathIdentificationSequence": {"OpticalPathIdentifier": None},
}  # fmt: skip
"""What is read of the functional groups of a frame (PS3.3 C.7.6.16.2 and those of the modalities)."""
GROUP_NODES, DETECTOR_NODES, DIMENSION_NODES = nodes(GROUPS), nodes(DETECTOR), nodes(DIMENSION)
_PLACES = frozenset({*_POSITION, *_MEASURES, "DimensionIndexValues"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where one frame lies; ``None`` for what is not said or is not what it must be.

    Attributes
    ----------
    position, orientation, spacing
        Image Position (Patient) (0020,0032) in mm, Image Orientation (Patient) (0020,0037), Pixel Spacing
        (0028,0030) or what stands for it, in mm (row, column).
    between, thickness
        Spacing Between Slices (0018,0088) and Slice Thickness (0018,0050), in mm; the first with its sign.
    offset
        How far along the normal it lies from the first frame, in mm, where that is said.
    follows
        The position is that of the first frame: this one, or what else is of its instance, lies behind it.
    """

    position: Point | None = None
    orientation: Cosines | None = None
    spacing: tuple[float, float] | None = None
    between: float | None = None
    thickness: float | None = None
    offset: float | None = None
    follows: bool = False
    malformed: tuple[str, ...] = ()
    """Keywords of those of the first three that are said, but not as numbers, perpendicular unit vectors, positive."""


@dataclass(frozen=True)
class Groups:
    """What functional groups say: those of all frames, and those of each."""

    shared: Texts
    per_frame: Sequence[Texts]


def place_of(texts: Mapping[str, str]) -> Place:
    """Return where a frame lies of which these attributes are known, by keyword."""
    spacing = next(filter(None, (texts.get(keyword, "") for keyword in SPACINGS)), "")
    between, thickness = decimals(texts.get("SpacingBetweenSlices", "")), decimals(texts.get("SliceThickness", ""))
    position = image_position(texts.get("ImagePositionPatient", ""))
    orientation = image_orientation(texts.get("ImageOrientationPatient", ""))
    measured = pixel_spacing(spacing)
    said = (
        ("ImagePositionPatient", position, "ImagePositionPatient" in texts),
        ("ImageOrientationPatient", orientation, "ImageOrientationPatient" in texts),
        ("PixelSpacing", measured, any(keyword in texts for keyword in SPACINGS)),
    )
    return Place(
        position,
        orientation,
        measured,
        between[0] if len(between) == 1 else None,
        thickness[0] if len(thickness) == 1 else None,
        malformed=tuple(keyword for keyword, value, present in said if present and value is None),
    )


# ----------------------------------------------------------------------------------------------- functional groups


def grouped_places(groups: Groups, count: int) -> tuple[Place, ...]:
    """Return where each frame lies by its functional groups; one place if that of all is the same.

    References
    ----------
    DICOM PS3.3 C.7.6.16.2.1 Pixel Measures, C.7.6.16.2.3 Plane Position (Patient), C.7.6.16.2.4 Plane Orientation
    """
    found: dict[tuple[str | None, ...], Place] = {}
    result = []
    for texts in _each(groups, count):
        said = tuple(texts.get(keyword) for keyword in (*_POSITION, *_MEASURES))
        if said not in found:
            found[said] = place_of(texts)
        result.append(found[said])
    return tuple(result) if len(found) > 1 else tuple(result[:1])


def grouped_values(groups: Groups, count: int, dimensions: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return what else functional groups say, by keyword: one text per frame, or one if that of all is the same.

    Parameters
    ----------
    groups
        Of the instance.
    count
        How many frames it has.
    dimensions
        Tags that Dimension Index Sequence (0020,9222) points to, as eight digits; the index of those that are not read
        themselves stands for them.
    """
    frames = [dict(texts) for texts in _each(groups, count)]
    for texts in frames:
        indices = texts.get("DimensionIndexValues", "").split("\\")
        for pointer, index in zip(dimensions, indices, strict=False):
            if pointer and index:
                texts.setdefault(keyword_for_tag(int(pointer[:8], 16)) or f"dimension {pointer}", index)
    result = {}
    for keyword in dict.fromkeys(keyword for texts in frames for keyword in texts):
        values = tuple(texts.get(keyword, "") for texts in frames)
        if keyword not in _PLACES:
            result[keyword] = values if len(set(values)) > 1 else values[:1]
    return result


def _each(groups: Groups, count: int) -> list[Texts]:
    per_frame = list(groups.per_frame[:count])
    per_frame += [{}] * (count - len(per_frame))
    return [{**groups.shared, **own} for own in per_frame]


# --------------------------------------------------------------------------------------------------- other frames


def header_places(
    count: int,
    header: Mapping[str, str],
    detectors: Sequence[Mapping[str, str]],
    vectors: Mapping[str, Sequence[int]],
    offsets: str,
) -> tuple[Place, ...]:
    """Return where each frame lies by the header; one place if they do not say how they follow the first.

    Parameters
    ----------
    count
        How many frames there are.
    header
        Attributes of the top level by keyword.
    detectors
        Those of the items of Detector Information Sequence (0054,0022).
    vectors
        Those of :data:`VECTORS` that have one number per frame.
    offsets
        Grid Frame Offset Vector (3004,000C).

    References
    ----------
    DICOM PS3.3 C.8.4.11 NM Detector, C.8.4.15 NM Reconstruction, C.8.8.3.2 Grid Frame Offset Vector
    """
    own = [place_of({**header, **{key: text for key, text in one.items() if text}}) for one in detectors]
    own = own or [place_of(header)]
    if count == 1:
        return (own[0],)
    which = [number - 1 for number in vectors.get("DetectorVector", ()) if 1 <= number <= len(own)]
    which = which if len(which) == count else [0] * count
    steps = _slice_steps(vectors, own[0].between, which) or _dose_steps(offsets, count)
    if not steps:
        shares = {index: which.count(index) > 1 for index in set(which)}
        places = tuple(replace(own[index], follows=shares[index]) for index in which)
        return places if len(set(places)) > 1 else places[:1]
    if offsets and not _offsets_fit(offsets, own[0]):
        own = [replace(one, position=None) for one in own]
    return tuple(_moved(own[index], step) for index, step in zip(which, steps, strict=True))


def _slice_steps(vectors: Mapping[str, Sequence[int]], between: float | None, which: Sequence[int]) -> list[float]:
    """Return how far each slice lies from the first of its detector, by Slice Vector (0054,0080); none without."""
    slices = vectors.get("SliceVector", ())
    if len(slices) != len(which) or not between:
        return []
    first = {index: slices[which.index(index)] for index in set(which)}
    return [(number - first[index]) * between for number, index in zip(slices, which, strict=True)]


def _dose_steps(offsets: str, count: int) -> list[float]:
    found = decimals(offsets)
    return [one - found[0] for one in found] if len(found) == count else []


def _offsets_fit(offsets: str, first: Place) -> bool:
    """Tell whether offsets are from the first plane, or positions along z (PS3.3 C.8.8.3.2); nothing else is said."""
    start = decimals(offsets)[0]
    if start == 0 or first.position is None or first.orientation is None:
        return start == 0
    along_z = np.allclose(normal(first.orientation), (0, 0, 1), atol=1e-4)
    return bool(along_z) and math.isclose(start, first.position[2], abs_tol=POSITION_TOLERANCE_MM)


def _moved(place: Place, step: float) -> Place:
    """Return the place that lies so far along the normal of another."""
    if place.position is None or place.orientation is None:
        return replace(place, position=None, offset=step)
    x, y, z = np.asarray(place.position) + step * normal(place.orientation)
    return replace(place, position=(float(x), float(y), float(z)), offset=step)
