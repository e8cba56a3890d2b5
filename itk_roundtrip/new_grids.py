"""Attributes of a series that was written on another grid than its source: which are computed, removed and kept.

``derivation`` reads the table to make the changes, ``verify`` to judge them, and docs/reference/regrid.md shows it.
Each written slice has the header of the nearest source slice; what is not named here is kept, or changed by the rules
of :mod:`itk_roundtrip.rules`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydicom.datadict import dictionary_VR, tag_for_keyword

from itk_roundtrip.tags import tag_text

When = Literal["always", "pixels", "planes", "orientation", "place"]

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
        are not where source slices are; ``place``, one or the other; ``orientation``, slices run in another direction;
        ``always``.
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
            "ImagesInAcquisition", "ImagesInSeries", "StackID", "InStackPositionNumber"),
    *_rules("remove", "planes", "place of the table at one slice of the source", "PS3.3 C.8.15.3.2",
            "TablePosition"),
    *_rules("remove", "planes", "centre of the data of one slice of the source", "PS3.3 C.8.15.3.3",
            "DataCollectionCenterPatient"),
    *_rules("remove", "place", "place of the source slice, in a retired form", "PS3.6", "ImagePosition",
            "ImageOrientation", "Location"),
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
"""In the order of docs/reference/regrid.md."""

BY_TAG = {rule.tag: rule for rule in GRID_RULES}


@dataclass(frozen=True)
class PrivateRule:
    """Attributes of a maker that say where source slices lie, and are removed.

    Attributes
    ----------
    creator, group, elements
        Private Creator, group, and the last two digits of the elements.
    when
        As in :class:`GridRule`.
    detail
        For people: what they hold.
    """

    creator: str
    group: int
    elements: tuple[int, ...]
    when: When
    detail: str


PRIVATE_RULES: tuple[PrivateRule, ...] = (
    PrivateRule("ELSCINT1", 0x00E1, (0x22, 0xC4), "place", "Presentation Relative Center, Abs Bed Pos"),
    PrivateRule("ELSCINT1", 0x01F1, (0x0C,), "place", "Scanner Relative Center"),
    PrivateRule("GEMS_ACQU_01", 0x0019, (0x17, 0x1E), "place", "Series plane, Display field of view"),
    PrivateRule("GEMS_ACQU_01", 0x0019, (0x18, 0x19, 0x1A, 0x1B), "always", "First and last scan location"),
    PrivateRule("GEMS_IMAG_01", 0x0027, (0x35, 0x36, *range(0x40, 0x4E), 0x52, 0x53), "place",
                "Plane Type, Image location, center, normal and corners of the image"),
    PrivateRule("GEMS_PARM_01", 0x0043, (0x31,), "place", "Recon Center Coordinates"),
    PrivateRule("GEMS_PARM_01", 0x0043, (0x79, 0x9A), "always", "Slices Per Volume, Rx Stack Identification"),
    PrivateRule("GEMS_PARM_01", 0x0043, (0x8A,), "orientation", "In-Plane Phase Encoding Direction"),
    PrivateRule("GEMS_PETD_01", 0x0009, (0x67, 0x91, 0x92, 0xA2, 0xAB, 0xAC, 0xB4), "place",
                "table_z_position, bp_center, axial_spacing, ir_recon_fov"),
    PrivateRule("GEMS_PETD_01", 0x0009, (0x69, 0xA6, 0xD6, 0xD7, 0xDF), "always",
                "slice_count, slice_number, image locations, num_of_slices"),
    PrivateRule("GEMS_RELA_01", 0x0021, (0x4F,), "always", "Locations in acquisition"),
    PrivateRule("GEMS_RELA_01", 0x0021, (0x54, 0x55), "place", "Image position, Image orientation"),
    PrivateRule("GEMS_SERS_01", 0x0025, (0x07, 0x19), "always", "Images in Series, Last image number used"),
    PrivateRule("Image Private Header", 0x0065, (0x02, 0x0F, 0x14, 0x15), "place",
                "orientation, location, normal and position of the image (UIH)"),
    PrivateRule("Image Private Header", 0x0065, (0x50, 0x51), "always", "number and places of slices (UIH)"),
    PrivateRule("MMCPrivate", 0x0009, (0x3A,), "place", "Plane"),
    PrivateRule("MMCPrivate", 0x0019, (0x02, 0x08), "place", "Plane, ImageSliceThickness"),
    PrivateRule("MMCPrivate", 0x0019, (0x0F,), "always", "MultiSliceNumber"),
    PrivateRule("MMCPrivate", 0x0029, (0x01,), "always", "SliceNumber"),
    PrivateRule("MMCPrivate", 0x0029, (0x05, 0x29, 0x87), "place", "Plane, TablePosition, MRFOVGeometrySequence"),
    PrivateRule("PHILIPS MR/PART", 0x0019, (0x00, 0x05, 0x06, 0x07, 0x0A, 0x0B, 0x0C, 0x0D), "place",
                "Field of View, Angulation, Slice Orientation, Offcenter"),
    PrivateRule("PHILIPS MR/PART", 0x0019, (0x01, 0x0F), "always", "Stack Type, Number of Slices"),
    PrivateRule("PHILIPS MR/PART", 0x0021, (0x20,), "always", "Slice Number"),
    PrivateRule("PHILIPS MR/PART", 0x0021, (0x21,), "place", "Slice Gap"),
    PrivateRule("PHILIPS MR/PART", 0x0029, (0xC4, 0xD5), "place", "Field of View, Slice Thickness"),
    PrivateRule("PHILIPS-MR-1", 0x0021, (0x02,), "always", "Slice Number"),
    PrivateRule("Philips Imaging DD 001", 0x2001, (0x0A, 0x15, 0x18, 0x2D, 0x32, 0x33, 0x35, 0x36, 0x5F, 0x60),
                "always", "Slice Number MR, numbers of locations, slices and stacks, Stack Sequence"),
    PrivateRule("Philips Imaging DD 001", 0x2001, (0x0B,), "place", "Slice Orientation"),
    PrivateRule("Philips MR Imaging DD 001", 0x2005, (0x00, 0x01, 0x02, 0x08, 0x09, 0x0A), "place",
                "angulation and offcentre of the image"),
    PrivateRule("SIEMENS CM VA0  CMS", 0x0021, (0x20, 0x60, 0x61, 0x63, 0x6A, 0x6B, 0x70, 0x71), "place",
                "Field of View, Image Position, Normal, Distance, Row and Column, Patient Orientation Sets"),
    PrivateRule("SIEMENS CSA HEADER", 0x0029, (0x10,), "place", "CSA Image Header Info"),
    PrivateRule("SIEMENS MR HEADER", 0x0019, (0x13, 0x14, 0x15), "place", "ImaAbsTablePosition,"
                " ImaRelTablePosition, SlicePosition_PCS"),
    PrivateRule("SIEMENS MR HEADER", 0x0051, (0x0C, 0x0D, 0x0E, 0x13, 0x17), "place",
                "texts of field of view, position, orientation, directions and thickness of the slice"),
    PrivateRule("SIEMENS MR VA0  GEN", 0x0021, (0x34, 0x36, 0x40, 0x41, 0x42, 0x44, 0x4F), "always",
                "numbers of slices and partitions, distance factor, Order of Slices"),
    PrivateRule("TOSHIBA_MEC_CT3", 0x7005, (0x07,), "place", "Reconstruction Center"),
    PrivateRule("TOSHIBA_MEC_CT_1.0", 0x0019, (0x0B,), "place", "Location"),
    PrivateRule("TOSHIBA_MEC_MR3", 0x700D, (0x02, 0x05), "place", "Orientation Vector, FOV"),
    PrivateRule("TOSHIBA_MEC_MR3", 0x700D, (0x8B,), "always", "Multi Slice number"),
)  # fmt: skip
"""By pydicom's private dictionary, by what dcm2niix reads, and by headers of scanners; any other is kept."""

_PRIVATE = {(rule.creator, rule.group, element): rule for rule in PRIVATE_RULES for element in rule.elements}

WHEN = {
    "always": "",
    "pixels": "where rows and columns are not those of the source: ",
    "planes": "where slices are not where the source has some: ",
    "place": "where slices are not those of the source: ",
    "orientation": "where slices run in another direction: ",
}
"""The condition of a rule, in words."""
VERBS = {"set": "computed", "remove": "removed", "keep": "kept"}
"""What a rule does to an attribute, in words."""


def is_pixel_plane(tag: int) -> bool:
    """Tell whether an attribute is of an overlay (60xx) or curve (50xx), whose points are pixels of the source."""
    return tag >> 24 in (0x50, 0x60) and not tag >> 16 & 1


def private_rule(tag: int, creator: str) -> PrivateRule | None:
    """Return the rule for a private attribute whose block has a Private Creator; ``None`` if it is kept."""
    return _PRIVATE.get((creator.strip(), tag >> 16, tag & 0xFF)) if tag & 0xFFFF > 0xFF else None


def may_change(tag: int, creator: str, outcome: str) -> bool:
    """Tell whether an attribute of the nearest source slice may have an outcome in a slice of another grid."""
    if tag >> 16 & 1:
        return outcome == "lost" and private_rule(tag, creator) is not None
    rule = BY_TAG.get(tag)
    if rule is None:
        return is_pixel_plane(tag) and outcome == "lost"
    if rule.action == "set":
        return outcome in ("changed", "reformatted") or (outcome == "added" and rule.keyword == "PixelSpacing")
    return rule.action == "remove" and outcome == "lost"


def as_markdown() -> str:
    """Return the rules as the table that docs/reference/regrid.md shows."""
    lines = ["| attribute | is | how | see |", "|---|---|---|---|"]
    lines += [
        f"| {rule.keyword} {tag_text(rule.tag)} | {VERBS[rule.action]} | {WHEN[rule.when]}{rule.detail}"
        f" | {rule.reason} |"
        for rule in GRID_RULES
    ]
    lines.append(
        f"| overlays (60xx) and curves (50xx) | removed | {WHEN['pixels']}points of the source's pixels"
        " | PS3.3 C.9.2, C.10.2 |"
    )
    lines += [
        f"| {rule.creator} ({rule.group:04X},xx{'/'.join(f'{element:02X}' for element in rule.elements)}) | removed"
        f" | {WHEN[rule.when]}{rule.detail} | private |"
        for rule in PRIVATE_RULES
    ]
    return "\n".join(lines)
