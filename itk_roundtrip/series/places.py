"""Plane position, orientation and spacing of each frame of an instance, and its values in functional groups."""

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
"""Attributes of the pixel spacing; projections and scans have the last two instead (PS3.3 10.7.1.1, C.8.6.1)."""
VECTORS = (
    "EnergyWindowVector", "DetectorVector", "PhaseVector", "RotationVector", "RRIntervalVector", "TimeSlotVector",
    "SliceVector", "AngularViewVector", "TimeSliceVector",
)  # fmt: skip
"""Vectors that index the frames of a Nuclear Medicine image, with a number for each frame (PS3.3 C.8.4.8)."""
_POSITION = ("ImagePositionPatient", "ImageOrientationPatient")
_MEASURES = (*SPACINGS, "SpacingBetweenSlices", "SliceThickness")
DETECTOR: Wanted = dict.fromkeys(_POSITION)
"""Attributes read of each item of Detector Information Sequence (0054,0022)."""
DIMENSION: Wanted = {"DimensionIndexPointer": None}
"""Attributes read of each item of Dimension Index Sequence (0020,9222)."""
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
"""Attributes read of the functional groups of a frame (PS3.3 C.7.6.16.2 and those of the modalities)."""
GROUP_NODES, DETECTOR_NODES, DIMENSION_NODES = nodes(GROUPS), nodes(DETECTOR), nodes(DIMENSION)
_NOT_VALUES = frozenset({*_POSITION, *_MEASURES, "DimensionIndexValues"})
"""Attributes that a `Place` holds, and the indices that are split by dimension."""


@dataclass(frozen=True, slots=True)
class Place:
    """Plane position, orientation and spacing of a frame; ``None`` for what is absent or malformed.

    Attributes
    ----------
    position, orientation, spacing
        Image Position (Patient) (0020,0032) in mm, Image Orientation (Patient) (0020,0037), Pixel Spacing
        (0028,0030) or the attribute of `SPACINGS` instead of it, in mm (row, column).
    between, thickness
        Spacing Between Slices (0018,0088) and Slice Thickness (0018,0050), in mm; the first with its sign.
    offset
        Distance along the normal from the first frame, in mm, by Slice Vector or Grid Frame Offset Vector.
    follows
        The position is that of the first frame: several frames have it, and nothing says where the later ones lie.
    """

    position: Point | None = None
    orientation: Cosines | None = None
    spacing: tuple[float, float] | None = None
    between: float | None = None
    thickness: float | None = None
    offset: float | None = None
    follows: bool = False
    malformed: tuple[str, ...] = ()
    """Keywords of position, orientation and spacing where they are present but have no valid value."""


@dataclass(frozen=True)
class Groups:
    """Texts of Shared Functional Groups Sequence, and of each item of Per-Frame Functional Groups Sequence."""

    shared: Texts
    per_frame: Sequence[Texts]


def place_of(texts: Mapping[str, str]) -> Place:
    """Return the plane position, orientation and spacing of a frame from the texts of its attributes, by keyword."""
    position = image_position(texts.get("ImagePositionPatient", ""))
    orientation = image_orientation(texts.get("ImageOrientationPatient", ""))
    spacing = pixel_spacing(next(filter(None, (texts.get(keyword, "") for keyword in SPACINGS)), ""))
    between, thickness = decimals(texts.get("SpacingBetweenSlices", "")), decimals(texts.get("SliceThickness", ""))
    attributes = (
        ("ImagePositionPatient", position, "ImagePositionPatient" in texts),
        ("ImageOrientationPatient", orientation, "ImageOrientationPatient" in texts),
        ("PixelSpacing", spacing, any(keyword in texts for keyword in SPACINGS)),
    )
    return Place(
        position,
        orientation,
        spacing,
        between[0] if len(between) == 1 else None,
        thickness[0] if len(thickness) == 1 else None,
        malformed=tuple(keyword for keyword, value, present in attributes if present and value is None),
    )


# ----------------------------------------------------------------------------------------------- functional groups


def grouped_places(groups: Groups, count: int) -> tuple[Place, ...]:
    """Return the place of each frame by its functional groups; a single place if all frames have the same.

    References
    ----------
    DICOM PS3.3 C.7.6.16.2.1 Pixel Measures, C.7.6.16.2.3 Plane Position (Patient), C.7.6.16.2.4 Plane Orientation
    """
    distinct: dict[tuple[str | None, ...], Place] = {}  # parsed once: thousands of frames share most of their texts
    places = []
    for texts in _frame_texts(groups, count):
        key = tuple(texts.get(keyword) for keyword in (*_POSITION, *_MEASURES))
        if key not in distinct:
            distinct[key] = place_of(texts)
        places.append(distinct[key])
    return tuple(places) if len(distinct) > 1 else tuple(places[:1])


def grouped_values(groups: Groups, count: int, dimensions: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the other values of functional groups by keyword: a text per frame, or a single text that all have.

    Parameters
    ----------
    groups
        Of the instance.
    count
        Number of its frames.
    dimensions
        Each Dimension Index Pointer (0020,9165) as eight digits; of attributes that are not read themselves, the index
        is their value.
    """
    frames = _frame_texts(groups, count)
    for texts in frames:
        indices = texts.get("DimensionIndexValues", "").split("\\")
        for pointer, index in zip(dimensions, indices, strict=False):
            if pointer and index:
                texts.setdefault(keyword_for_tag(int(pointer[:8], 16)) or f"dimension {pointer}", index)
    frame_values = {}
    for keyword in dict.fromkeys(keyword for texts in frames for keyword in texts):
        values = tuple(texts.get(keyword, "") for texts in frames)
        if keyword not in _NOT_VALUES:
            frame_values[keyword] = values if len(set(values)) > 1 else values[:1]
    return frame_values


def _frame_texts(groups: Groups, count: int) -> list[Texts]:
    """Return the texts of the functional groups of each frame; its own override the shared ones."""
    per_frame = list(groups.per_frame[:count])
    per_frame += [{}] * (count - len(per_frame))
    return [{**groups.shared, **texts} for texts in per_frame]


# --------------------------------------------------------------------------------------------------- other frames


def header_places(
    count: int,
    header: Mapping[str, str],
    detectors: Sequence[Mapping[str, str]],
    vectors: Mapping[str, Sequence[int]],
    offsets: str,
) -> tuple[Place, ...]:
    """Return the place of each frame by attributes outside functional groups; a single place if all have the same.

    Parameters
    ----------
    count
        Number of frames.
    header
        Attributes of the top level by keyword.
    detectors
        Attributes of each item of Detector Information Sequence (0054,0022).
    vectors
        Those of :data:`VECTORS` that have a number for each frame.
    offsets
        Grid Frame Offset Vector (3004,000C).

    References
    ----------
    DICOM PS3.3 C.8.4.11 NM Detector, C.8.4.15 NM Reconstruction, C.8.8.3.2 Grid Frame Offset Vector
    """
    first_places = [
        place_of({**header, **{keyword: text for keyword, text in texts.items() if text}}) for texts in detectors
    ] or [place_of(header)]
    if count == 1:
        return (first_places[0],)
    detector_indices = [number - 1 for number in vectors.get("DetectorVector", ()) if 1 <= number <= len(first_places)]
    if len(detector_indices) != count:
        detector_indices = [0] * count
    distances = _slice_distances(vectors, first_places[0].between, detector_indices) or _dose_distances(offsets, count)
    if not distances:
        shared = {index: detector_indices.count(index) > 1 for index in set(detector_indices)}
        places = tuple(replace(first_places[index], follows=shared[index]) for index in detector_indices)
        return places if len(set(places)) > 1 else places[:1]
    if offsets and not _offsets_fit(offsets, first_places[0]):
        first_places = [replace(place, position=None) for place in first_places]
    return tuple(
        _moved(first_places[index], distance) for index, distance in zip(detector_indices, distances, strict=True)
    )


def _slice_distances(
    vectors: Mapping[str, Sequence[int]], between: float | None, detector_indices: Sequence[int]
) -> list[float]:
    """Return the distance of each frame from the first of its detector, by Slice Vector (0054,0080); empty without."""
    numbers = vectors.get("SliceVector", ())
    if len(numbers) != len(detector_indices) or not between:
        return []
    first_numbers = {index: numbers[detector_indices.index(index)] for index in set(detector_indices)}
    return [(number - first_numbers[index]) * between for number, index in zip(numbers, detector_indices, strict=True)]


def _dose_distances(offsets: str, count: int) -> list[float]:
    """Return the distance of each frame from the first, by Grid Frame Offset Vector (3004,000C); empty without."""
    values = decimals(offsets)
    return [value - values[0] for value in values] if len(values) == count else []


def _offsets_fit(offsets: str, first: Place) -> bool:
    """Tell whether Grid Frame Offset Vector holds distances from the first plane, or else its z (PS3.3 C.8.8.3.2)."""
    start = decimals(offsets)[0]
    if start == 0 or first.position is None or first.orientation is None:
        return start == 0
    along_z = np.allclose(normal(first.orientation), (0, 0, 1), atol=1e-4)
    return bool(along_z) and math.isclose(start, first.position[2], abs_tol=POSITION_TOLERANCE_MM)


def _moved(place: Place, offset: float) -> Place:
    """Return a place moved along its normal by an offset in mm."""
    if place.position is None or place.orientation is None:
        return replace(place, position=None, offset=offset)
    x, y, z = np.asarray(place.position) + offset * normal(place.orientation)
    return replace(place, position=(float(x), float(y), float(z)), offset=offset)
