"""Attributes of a series that was written on another grid than its source: which are computed, removed and kept.

``derivation`` reads the table to make the changes, ``verify`` to judge them, and docs/regrid.md shows it. Each written
slice has the header of the nearest source slice; what is not named here is kept, or changed by the rules of
:mod:`itk_roundtrip.rules`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydicom.datadict import dictionary_VR, tag_for_keyword

from itk_roundtrip.tags import tag_text

When = Literal["always", "pixels", "planes", "orientation"]

LAST_IS_ELSEWHERE = "NO"
"""Spatial Locations Preserved (0028,135A) of the last item of Source Image Sequence, by which such a series is known.

Of plain processing it is YES (PS3.3 C.12.4)."""
RESAMPLING_CODE = ("113085", "DCM", "Spatial resampling")
"""Code of CID 7203 for other voxels in slices that run as those of the source do."""
REFORMATTING_CODE = ("113072", "DCM", "Multiplanar reformatting")
"""Code of CID 7203 for slices that run in another direction."""


@dataclass(frozen=True)
class GridRule:
    """What becomes of an attribute of the nearest source slice.

    Attributes
    ----------
    tag, keyword, vr
        As in PS3.6.
    action
        ``set`` computes it of the new grid, ``remove`` deletes it, ``keep`` leaves it, although it may be doubted.
    when
        A condition for the removal: ``pixels``, rows and columns are not those of a source slice; ``planes``, slices
        are not where source slices are; ``orientation``, they run in another direction; ``always``.
    detail, reason
        For people: value afterwards, and reason with the section of the standard.
    """

    tag: int
    keyword: str
    vr: str
    action: Literal["set", "remove", "keep"]
    when: When
    detail: str
    reason: str


def _rules(
    action: Literal["set", "remove", "keep"], when: When, detail: str, reason: str, *keywords: str
) -> tuple[GridRule, ...]:
    tags_by_keyword = {keyword: tag_for_keyword(keyword) or 0 for keyword in keywords}
    return tuple(
        GridRule(tag, keyword, dictionary_VR(tag), action, when, detail, reason)
        for keyword, tag in tags_by_keyword.items()
    )


GRID_RULES: tuple[GridRule, ...] = (
    *_rules("set", "always", "of the slice in the image; the text of the source where it is the same number",
            "PS3.3 C.7.6.2.1.1, 10.7.1.3", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *_rules("set", "always", "of the image", "PS3.3 C.7.6.3.1", "Rows", "Columns"),
    *_rules("set", "always",
            "distance of the slices of the image, if the source has it; kept where all slices are slices of the source",
            "PS3.3 C.7.6.2.1", "SliceThickness"),
    *_rules("set", "always", "distance of the slices of the image, if the source has it", "PS3.3 C.7.6.2.1",
            "SpacingBetweenSlices"),
    *_rules("set", "always",
            "position along the normal, if the source has it; kept where all slices are slices of the source",
            "PS3.3 C.7.6.2.1.2", "SliceLocation"),
    *_rules("set", "always", "1 to N along the normal", "PS3.3 C.7.6.1", "InstanceNumber"),
    *_rules("set", "always", "1 to N along the normal, if the source has it", "PS3.3 C.8.9.4.1.9", "ImageIndex"),
    *_rules("set", "always", "N, if the source has it", "PS3.3 C.8.9.1", "NumberOfSlices"),
    *_rules("remove", "always", "number and places of the slices of the source", "PS3.3 C.7.6.1, C.7.6.16.2.2",
            "ImagesInAcquisition", "StackID", "InStackPositionNumber"),
    *_rules("remove", "planes", "place of the table at one slice of the source", "PS3.3 C.8.15.3.2",
            "TablePosition"),
    *_rules("set", "orientation", "letters of the new directions; empty for animals on four feet",
            "PS3.3 C.7.6.1.1.1", "PatientOrientation"),
    *_rules("remove", "orientation", "direction of rows and columns of the source", "PS3.3 C.8.3.1",
            "InPlanePhaseEncodingDirection"),
    *_rules("remove", "orientation", "tilt of the slices of the source", "PS3.3 C.8.2.1", "GantryDetectorTilt"),
    *_rules("remove", "pixels", "field and pixels of the reconstruction of the source", "PS3.3 C.8.2.1, C.8.15.3.3",
            "ReconstructionDiameter", "ReconstructionFieldOfView", "ReconstructionPixelSpacing",
            "ReconstructionTargetCenterPatient"),
    *_rules("remove", "pixels", "size of the pixels of the source", "PS3.3 10.7, C.7.6.3.1.7", "ImagerPixelSpacing",
            "NominalScannedPixelSpacing", "PixelSpacingCalibrationType", "PixelSpacingCalibrationDescription",
            "PixelAspectRatio"),
    *_rules("remove", "pixels", "names pixels of the source by row and column", "PS3.3 C.7.6.11, C.8.5.5",
            "ShutterShape", "ShutterLeftVerticalEdge", "ShutterRightVerticalEdge", "ShutterUpperHorizontalEdge",
            "ShutterLowerHorizontalEdge", "CenterOfCircularShutter", "RadiusOfCircularShutter",
            "VerticesOfThePolygonalShutter", "SequenceOfUltrasoundRegions"),
    *_rules("keep", "always", "of the nearest source slice: its data were acquired then", "PS3.3 C.7.6.1",
            "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "AcquisitionNumber", "FrameReferenceTime",
            "DecayFactor"),
    *_rules("keep", "always", "of the nearest source slice", "PS3.3 C.8.2.1, C.8.3.1", "KVP", "XRayTubeCurrent",
            "Exposure", "EchoTime", "TableHeight", "AcquisitionMatrix"),
    *_rules("keep", "always", "of the same values and the same patient", "PS3.3 C.11.2, C.7.4.1, C.7.6.1",
            "WindowCenter", "WindowWidth", "FrameOfReferenceUID", "PatientPosition", "ImageComments"),
)  # fmt: skip
"""In the order of docs/regrid.md."""

BY_TAG = {rule.tag: rule for rule in GRID_RULES}

_WHEN = {
    "always": "",
    "pixels": "where rows and columns are not those of the source: ",
    "planes": "where slices are not where the source has some: ",
    "orientation": "where slices run in another direction: ",
}
_VERBS = {"set": "computed", "remove": "removed", "keep": "kept"}


def is_pixel_plane(tag: int) -> bool:
    """Tell whether an attribute is of an overlay (60xx) or curve (50xx), whose points are pixels of the source."""
    return tag >> 24 in (0x50, 0x60) and not tag >> 16 & 1


def may_change(tag: int, outcome: str) -> bool:
    """Tell whether an attribute of the nearest source slice may have an outcome in a slice of another grid."""
    rule = BY_TAG.get(tag)
    if rule is None:
        return is_pixel_plane(tag) and outcome == "lost"
    if rule.action == "set":
        return outcome in ("changed", "reformatted") or (outcome == "added" and rule.keyword == "PixelSpacing")
    return rule.action == "remove" and outcome == "lost"


def as_markdown() -> str:
    """Return the rules as the table that docs/regrid.md shows."""
    lines = ["| attribute | is | how | see |", "|---|---|---|---|"]
    lines += [
        f"| {rule.keyword} {tag_text(rule.tag)} | {_VERBS[rule.action]} | {_WHEN[rule.when]}{rule.detail}"
        f" | {rule.reason} |"
        for rule in GRID_RULES
    ]
    lines.append(
        f"| overlays (60xx) and curves (50xx) | removed | {_WHEN['pixels']}points of the source's pixels"
        " | PS3.3 C.9.2, C.10.2 |"
    )
    return "\n".join(lines)
