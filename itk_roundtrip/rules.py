"""The rule table: which attributes of a source a derived series changes, and how. All others are kept.

``derivation`` reads it to make the changes, the checks of ``verify`` to judge them, and docs/reference/rules.md shows
it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from pydicom import uid
from pydicom.datadict import dictionary_VR, tag_for_keyword

from itk_roundtrip import syntaxes, tags

Action = Literal["keep", "new", "set", "append", "remove"]
StaleAfter = Literal["", "pixels", "units", "window"]

_PRIMARY_MODALITIES = frozenset({"PT", "NM"})
_PRIMARY_CLASSES = frozenset({uid.PositronEmissionTomographyImageStorage, uid.NuclearMedicineImageStorage})
PRIMARY_SOP_CLASSES: dict[str, str] = {
    uid.PositronEmissionTomographyImageStorage: "C.8.9.4.1.1",
    uid.NuclearMedicineImageStorage: "C.8.4.9.1.1",
    uid.UID("1.2.840.10008.5.1.4.1.1.5"): "C.8.4.9.1.1",  # Nuclear Medicine Image Storage, retired
    uid.EnhancedCTImageStorage: "C.8.16.1.2",
    uid.LegacyConvertedEnhancedCTImageStorage: "C.8.16.1.2",
    uid.EnhancedMRImageStorage: "C.8.16.1.2",
    uid.EnhancedMRColorImageStorage: "C.8.16.1.2",
    uid.LegacyConvertedEnhancedMRImageStorage: "C.8.16.1.2",
    uid.EnhancedPETImageStorage: "C.8.16.1.2",
    uid.LegacyConvertedEnhancedPETImageStorage: "C.8.16.1.2",
    uid.EnhancedXAImageStorage: "C.8.19.2.1.1.2",
    uid.EnhancedXRFImageStorage: "C.8.19.2.1.1.2",
    uid.XRay3DAngiographicImageStorage: "C.8.21.1",
    uid.XRay3DCraniofacialImageStorage: "C.8.21.1",
    uid.BreastTomosynthesisImageStorage: "C.8.21.1",
    uid.EnhancedUSVolumeStorage: "C.8.24.3",
    uid.PhotoacousticImageStorage: "C.8.34.1",
    uid.IntravascularOpticalCoherenceTomographyImageStorageForPresentation: "C.8.27.2",
    uid.IntravascularOpticalCoherenceTomographyImageStorageForProcessing: "C.8.27.2",
    uid.ParametricMapStorage: "C.8.32.2",
    uid.SegmentationStorage: "C.8.20.2",
    uid.UID("1.2.840.10008.5.1.4.1.1.66.7"): "C.8.20.2",  # Label Map Segmentation Storage
    uid.VLWholeSlideMicroscopyImageStorage: "C.8.12.4.1.1",
    uid.OphthalmicPhotography8BitImageStorage: "C.8.17.2.1.4",
    uid.OphthalmicPhotography16BitImageStorage: "C.8.17.2.1.4",
    uid.WideFieldOphthalmicPhotographyStereographicProjectionImageStorage: "C.8.17.2.1.4",
    uid.WideFieldOphthalmicPhotography3DCoordinatesImageStorage: "C.8.17.2.1.4",
    uid.OphthalmicOpticalCoherenceTomographyEnFaceImageStorage: "C.8.17.14",
    uid.OphthalmicOpticalCoherenceTomographyBscanVolumeAnalysisStorage: "C.8.17.16",
}  # fmt: skip
"""SOP Classes whose Image Type value 2 must be PRIMARY, and the section of PS3.3 that says so.

For all others only C.7.6.1.1.2 holds: CT, MR, CR, DX, MG, IO, XA, XRF, US, RT Image, Secondary Capture, VL, Ophthalmic
Tomography and Thickness Map, Corneal Topography, and the like specialise value 3 and on, or nothing."""

LONG_STRING_LIMIT = 64
"""Characters in a value of VR LO (PS3.5 6.2)."""
SHORT_TEXT_LIMIT = 1024
"""Characters in a value of VR ST (PS3.5 6.2)."""
INTEGER_STRING_MAXIMUM = 2**31 - 1
"""Largest value of VR IS (PS3.5 6.2)."""
SLOPE_MODALITIES = frozenset({"CT", "PT"})
"""Modalities whose IOD has Rescale Slope and Intercept, so that they may be added (PS3.3 A.3, A.21)."""

DESCRIPTION_SUFFIX = "ITK round trip"
"""Text added to Series Description."""
PROCESSED_SUFFIX = "ITK processed"
"""Text added to Series Description once stored values have changed."""
UNCHANGED = "stored values unchanged"
"""Text of Derivation Description for a round trip that changes no stored value."""

PURPOSE_SOURCE_IMAGE = ("121322", "DCM", "Source image for image processing operation")
"""Code of CID 7202 for an item of Source Image Sequence."""
PURPOSE_EQUIPMENT = ("109102", "DCM", "Processing Equipment")
"""Code of CID 7005 for an item of Contributing Equipment Sequence."""
DERIVATION_CODE = ("ROUNDTRIP", "99ITKROUNDTRIP", "Read and written, stored values kept")
"""Code for Derivation Image Sequence, whose Derivation Code Sequence must not be empty. No code of CID 7203, which is
extensible, fits where stored values were kept."""

PROCESSING_CODE = ("PROCESSED", "99ITKROUNDTRIP", "Processed with ITK")
"""Code for Derivation Image Sequence of processed pixels, where no code was stated."""
MAPPING_LABEL = "ITK round trip"
"""LUT Label (0040,9210) of the item of Real World Value Mapping Sequence that a processed instance got as its scale."""

COMMENT = "user comment: "
"""Prefix of the text of the user in Derivation Description, which is no claim of what was done."""
DERIVED_PREFIX = "derived_"
"""Prefix of the names of derived files, added where there is none yet."""

DEFAULT_CHECK = "HDR-01"
"""Check that findings about attributes without a rule are reported under."""


@dataclass(frozen=True)
class Rule:
    """Change of an attribute in a derived instance.

    Attributes
    ----------
    tag, keyword, vr
        As in PS3.6.
    action
        ``new`` and ``set`` replace the value or add the attribute, ``append`` adds to the value, ``remove`` deletes
        the attribute, ``keep`` leaves it as it is.
    detail
        Value of the attribute afterwards, for people.
    reason
        Reason, with the section of the standard.
    kept_for_primary
        The attribute is kept in PET and NM (:func:`is_primary`).
    check
        Id of the check that a breach of the rule is reported under.
    processed
        Action on a kept attribute once stored values have changed.
    processed_detail
        Value of the attribute then, for people.
    outcomes
        What may become of the attribute then: names of :data:`itk_roundtrip.verify.findings.Outcome`.
    stale_after
        By what the attribute becomes false, so that it must be removed, or replaced: ``pixels``, by any new stored
        value; ``units``, by other units of the values; ``window``, by those and by a scale that is no slope.
    caller
        The caller may set the attribute, although a rule does.
    """

    tag: int
    keyword: str
    vr: str
    action: Action
    detail: str
    reason: str
    kept_for_primary: bool = False
    check: str = DEFAULT_CHECK
    processed: Action = "keep"
    processed_detail: str = ""
    outcomes: tuple[str, ...] = ()
    stale_after: StaleAfter = ""
    caller: bool = False


def _kept(check: str, reason: str, *keywords: str) -> tuple[Rule, ...]:
    """Return rules for kept attributes whose change is reported under a check of their own."""
    tag_by_keyword = {keyword: tag_for_keyword(keyword) or 0 for keyword in keywords}
    return tuple(
        Rule(tag, keyword, dictionary_VR(tag), "keep", "as it stands", reason, check=check)
        for keyword, tag in tag_by_keyword.items()
    )


def _processed(
    check: str,
    reason: str,
    action: Action,
    detail: str,
    *keywords: str,
    outcomes: tuple[str, ...] = ("changed", "reformatted"),
    stale_after: StaleAfter = "",
    kept_for_primary: bool = False,
) -> tuple[Rule, ...]:
    """Return rules for attributes that are kept until stored values change, and then get another value or go."""
    return tuple(
        replace(
            rule,
            kept_for_primary=kept_for_primary,
            processed=action,
            processed_detail=detail,
            outcomes=outcomes,
            stale_after=stale_after,
        )
        for rule in _kept(check, reason, *keywords)
    )


def _rule(
    keyword: str,
    action: Action,
    detail: str,
    reason: str,
    *,
    kept_for_primary: bool = False,
    check: str = DEFAULT_CHECK,
    caller: bool = False,
) -> Rule:
    """Return the rule for a changed attribute, its tag and VR from the dictionary of PS3.6."""
    tag = tag_for_keyword(keyword) or 0
    return Rule(tag, keyword, dictionary_VR(tag), action, detail, reason, kept_for_primary, check, caller=caller)


def _removed(keyword: str, detail: str, reason: str, check: str = "STL-01") -> Rule:
    return _rule(keyword, "remove", detail, reason, check=check)


RULES: tuple[Rule, ...] = (
    _rule("ImageType", "set",
         "DERIVED; SECONDARY, or PRIMARY where the SOP Class allows nothing else; values 3 and on kept",
         "PS3.3 C.7.6.1.1.2; C.8.9.4.1.1, C.8.16.1.2, C.8.17.2.1.4 and others", check="TYP-01"),
    _rule("InstanceCreationDate", "new", "when the instance was made", "PS3.3 C.12.1", check="TIM-01"),
    _rule("InstanceCreationTime", "new", "when the instance was made", "PS3.3 C.12.1", check="TIM-01"),
    _rule("SOPInstanceUID", "new", "one per instance, the same again on a rerun",
         "PS3.3 C.7.6.1.1.2 and C.12.1.1.1", check="UID-02"),
    _rule("SeriesDate", "new", "when the series was made; kept for PET and NM",
         "PS3.3 C.7.3.1; C.8.9.1.1.2 for PET", kept_for_primary=True, check="TIM-01"),
    _rule("SeriesTime", "new", "when the series was made; kept for PET and NM",
         "PS3.3 C.7.3.1; C.8.9.1.1.2 for PET", kept_for_primary=True, check="TIM-01"),
    _rule("SeriesDescription", "append", "old text, then `ITK round trip` once; at most 64 characters",
         "PS3.3 C.7.3.1", check="HDR-04", caller=True),
    _rule("ReferencedSeriesSequence", "append", "the source series with the instances referred to",
         "PS3.3 C.12.2", check="DER-04"),
    _rule("DerivationDescription", "append",
         "old text, then tool, operation, `stored values unchanged` and the comment of the user; at most 1024"
         " characters",
         "PS3.3 C.12.4.1.1", check="DER-01"),
    _rule("SourceImageSequence", "append", "the source instance, purpose (121322, DCM)",
         "PS3.3 C.12.4.1.2", check="DER-03"),
    _rule("ContributingEquipmentSequence", "append",
         "itk-roundtrip, its versions in the description, purpose (109102, DCM)", "PS3.3 C.12.1.1.5", check="EQP-01"),
    _rule("SeriesInstanceUID", "new", "one for the series, the same again on a rerun",
         "PS3.3 C.7.3.1", check="UID-01"),
    _rule("SeriesNumber", "set", "source + 1000; 1001 if it has none",
         "PS3.3 C.7.3.1", check="HDR-04", caller=True),
    _rule("InstanceNumber", "set",
         "kept; 1 to N only if missing or repeated within one pass over the positions", "PS3.3 C.7.6.1"),
    _removed("LengthToEnd", "retired length", "PS3.6 6", check="FIL-02"),
    _removed("InstanceCreatorUID", "named the maker of the source", "PS3.3 C.12.1"),
    _removed("InstanceCoercionDateTime", "the new instance was never coerced", "PS3.3 C.12.1"),
    _removed("QueryRetrieveView", "told how the source was retrieved", "PS3.3 C.12.1"),
    _removed("AlternateRepresentationSequence", "belongs to a query's response", "PS3.4 C"),
    _removed("ConversionSourceAttributesSequence", "told how the source was made", "PS3.3 C.12.1"),
    _removed("SOPInstanceStatus", "a new instance is not an authorised original", "PS3.15 A.1"),
    _removed("SOPAuthorizationDateTime", "as SOP Instance Status", "PS3.15 A.1"),
    _removed("SOPAuthorizationComment", "as SOP Instance Status", "PS3.15 A.1"),
    _removed("AuthorizationEquipmentCertificationNumber", "as SOP Instance Status", "PS3.15 A.1"),
    _removed("EncryptedAttributesSequence", "decrypts to the identity of the source",
             "PS3.3 C.12.1.1.4"),
    _removed("MACParametersSequence", "belongs to the signatures", "PS3.3 C.12.1.1.3"),
    _removed("DigitalSignaturesSequence", "signs the source, not this instance",
             "PS3.3 C.12.1.1.3; PS3.15 A.2"),
    _removed("DataSetTrailingPadding", "no meaning", "PS3.10 7.2", check="FIL-02"),
    *_kept("UID-03", "PS3.3 C.7.2.1 and C.7.4.1", "StudyInstanceUID", "FrameOfReferenceUID"),
    *_kept("CNT-01", "PS3.3 C.12.1, C.7.1.1, C.7.2.1, C.7.3.1", "SOPClassUID", "Modality", "PatientName", "PatientID",
           "PatientBirthDate", "PatientSex", "AccessionNumber"),
    *_kept("GEO-01", "PS3.3 C.7.6.2, C.7.6.3", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
           "Rows", "Columns"),
    *_kept("GEO-02", "PS3.3 C.7.6.2", "SpacingBetweenSlices", "SliceThickness", "SliceLocation"),
    *_kept("TIM-01", "PS3.3 C.7.6.1; C.8.9.4.1.5 for PET", "AcquisitionDate", "AcquisitionTime",
           "AcquisitionDateTime", "FrameAcquisitionDateTime", "FrameReferenceTime", "DecayFactor",
           "TimezoneOffsetFromUTC"),
    *_kept("HDR-04", "PS3.3 C.12.1.1.2", "SpecificCharacterSet"),
    *_kept("EQP-01", "PS3.3 C.7.5.1 and C.12.1.1.5", "Manufacturer", "InstitutionName", "InstitutionAddress",
           "StationName", "InstitutionalDepartmentName", "ManufacturerModelName", "DeviceSerialNumber",
           "SoftwareVersions"),
    *_processed("TIM-01", "PS3.3 C.7.6.1: when the making of the pixels started", "new",
                "when the instance was made; kept for PET and NM, and where several instances share a position",
                "ContentDate", "ContentTime", outcomes=("changed",), kept_for_primary=True),
    *_processed("LOS-01", "PS3.3 C.7.6.1.1.5", "append",
                "01, where a slice that contributed was compressed with loss", "LossyImageCompression",
                "LossyImageCompressionRatio", "LossyImageCompressionMethod", outcomes=("changed", "added")),
    *_processed("DER-02", "PS3.3 C.12.4.1.1", "append", "the codes that the user stated, behind those of the source",
                "DerivationCodeSequence", outcomes=("changed", "added")),
    *_processed("HDR-01", "PS3.3 C.7.6.3", "set", "of the stored values that were written", "BitsAllocated",
                "BitsStored", "HighBit", "PixelRepresentation"),
    *_processed("PIX-02", "PS3.3 C.11.1", "set", "new only where no slope of the source fits the values",
                "RescaleIntercept", "RescaleSlope", outcomes=("changed", "reformatted", "added")),
    *_processed("PIX-02", "PS3.3 C.8.8.3", "set", "new only where that of the source does not fit the values",
                "DoseGridScaling"),
    *_processed("RWV-01", "PS3.3 C.7.6.16.2.11", "set",
                "gives the same quantities of the new stored values; a look-up table of stored values is removed, and"
                " all of it if the units changed; added as the scale of images that have no slope",
                "RealWorldValueMappingSequence", outcomes=("changed", "added", "lost")),
    *_processed("HDR-01", "PS3.3 C.11.1", "set", "units that the user stated", "RescaleType",
                outcomes=("changed", "added")),
    *_processed("HDR-01", "PS3.3 C.8.9.1", "set", "units that the user stated", "Units", outcomes=("changed",)),
    *_processed("HDR-01", "PS3.3 C.8.8.3", "set", "units that the user stated", "DoseUnits", outcomes=("changed",)),
    *_processed("HDR-01", "PS3.3 C.8.9.1", "remove", "where the units changed", "SUVType",
                outcomes=("changed", "lost"), stale_after="units"),
    *_processed("HDR-01", "PS3.3 C.11.2", "remove",
                "where the units changed, or stored values got a scale that is no slope", "WindowCenter", "WindowWidth",
                "WindowCenterWidthExplanation", "VOILUTSequence", "VOILUTFunction",
                outcomes=("changed", "reformatted", "lost"), stale_after="window"),
    *_processed("HDR-01", "PS3.3 C.7.5.1.1.2", "set",
                "kept; removed where stored values beside the padding have its value", "PixelPaddingValue",
                "PixelPaddingRangeLimit", outcomes=("changed", "reformatted", "VR changed", "lost")),
    *_processed("HDR-01", "PS3.3 C.7.6.3 and C.7.3.1", "set", "of the stored values that were written",
                "SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries",
                "LargestPixelValueInSeries", outcomes=("changed", "reformatted", "VR changed", "lost")),
    *_processed("HDR-01", "PS3.3 C.7.6.1.1.6", "remove", "showed the pixels of the source", "IconImageSequence",
                outcomes=("changed", "lost"), stale_after="pixels"),
    *_processed("HDR-01", "PS3.3 C.11.5 and C.8.8.4", "remove", "counted the pixels of the source",
                "HistogramSequence", "DVHSequence", "DVHNormalizationPoint", "DVHNormalizationDoseValue",
                outcomes=("changed", "lost"), stale_after="pixels"),
    *_processed("HDR-01", "PS3.3 C.8.13.2.1.1", "set", "RESEARCH in place of PRODUCT", "ContentQualification",
                outcomes=("changed",)),
)  # fmt: skip
"""Rules for identity ``derived``: changed attributes in the order of docs/reference/rules.md, then kept attributes
with a check or a condition of their own."""

CONDITIONAL: tuple[Rule, ...] = (
    _rule("FrameType", "set", "in functional groups: value 1 DERIVED", "PS3.3 C.8.16.1.1",
         check="TYP-01"),
    _rule("DerivationImageSequence", "append",
         "in functional groups: what was done, and the frame of the source; in those of each frame, or where the source"
         " has it", "PS3.3 C.7.6.16.2.6", check="DER-03"),
    _rule("SourceImageEvidenceSequence", "append",
         "where there are functional groups: the source with its study and series", "PS3.3 C.8.13.2.1.2",
         check="DER-04"),
    _rule("PhotometricInterpretation", "set", "RGB, where compressed YBR was decoded to it",
         "PS3.5 8.2"),
    _rule("PlanarConfiguration", "set", "0, where compressed colour was decoded or colour compressed",
         "PS3.3 C.7.6.3.1.3"),
    _rule("LossyImageCompression", "set", "01, where the compression of the source lost something",
         "PS3.3 C.7.6.1.1.5", check="LOS-01"),
    _rule("LossyImageCompressionRatio", "set", "then, if there was none", "PS3.3 C.7.6.1.1.5.2",
         check="LOS-01"),
    _rule("LossyImageCompressionMethod", "set", "then, if there was none", "PS3.3 C.7.6.1.1.5.1",
         check="LOS-01"),
)  # fmt: skip
"""Rules that apply only to some kinds of images; all others keep these attributes."""


@dataclass(frozen=True)
class PrivateScale:
    """A private attribute with a scale of the pixels, which is stale once that scale has changed.

    Attributes
    ----------
    creator, group, element
        Beginning of the Private Creator, and the tag without its block.
    scales
        ``stored``: relates stored values to a quantity, by slope and intercept of the source. ``real``: multiplies
        real-world values, and holds while their units do.
    name
        For people.
    """

    creator: str
    group: int
    element: int
    scales: Literal["stored", "real"]
    name: str


PRIVATE_SCALES: tuple[PrivateScale, ...] = (
    PrivateScale("Philips MR Imaging DD 001", 0x2005, 0x0D, "stored", "Scale Intercept"),
    PrivateScale("Philips MR Imaging DD 001", 0x2005, 0x0E, "stored", "Scale Slope"),
    PrivateScale("Philips MR Imaging DD 005", 0x2005, 0x09, "stored", "Rescale Intercept Original"),
    PrivateScale("Philips MR Imaging DD 005", 0x2005, 0x0A, "stored", "Rescale Slope Original"),
    PrivateScale("SIEMENS MED NM", 0x0057, 0x06, "stored", "Rescale Intercept"),
    PrivateScale("SIEMENS MED NM", 0x0057, 0x07, "stored", "Rescale Slope"),
    # SUV and activity are computed of rescaled values (QIBA, SUV of Philips), so that a new slope does not harm them.
    PrivateScale("Philips PET Private Group", 0x7053, 0x00, "real", "SUV Scale Factor"),
    PrivateScale("Philips PET Private Group", 0x7053, 0x09, "real", "Activity Concentration Scale Factor"),
)
"""Private attributes that are removed where the scale they belong to has changed; all other private ones are kept.

The same elements under other creators are geometry, such as (2005,xx09) of Philips MR Imaging DD 001."""


def private_scale(tag: int, creator: str) -> PrivateScale | None:
    """Return the scale that a private attribute holds; ``None`` if it holds none.

    Parameters
    ----------
    tag
        Of the attribute.
    creator
        Private Creator of its block.
    """
    for scale in PRIVATE_SCALES:
        is_element = (scale.group, scale.element) == (tag >> 16, tag & 0xFF) and tag & 0xFFFF > 0xFF
        if is_element and creator.strip().startswith(scale.creator):
            return scale
    return None


BY_TAG: dict[int, Rule] = {rule.tag: rule for rule in RULES}

_GEOMETRY = "it says where the image lies, which an image changes"
_PIXELS = "it describes the pixels, which an image changes"
_UNITS = "it names the units of the values; state them with the processing"

OWNED: dict[int, str] = {
    **{tag: _GEOMETRY for keyword in (
        "ImagePositionPatient", "ImageOrientationPatient", "PatientPosition", "PatientOrientation",
        "ImagerPixelSpacing", "SpacingBetweenSlices", "SliceThickness", "SliceLocation", "GantryDetectorTilt",
        "GridFrameOffsetVector", "ImagePosition", "ImageOrientation", "NumberOfSlices",
        "PositionReferenceIndicator", "ImageIndex",
    ) if (tag := tag_for_keyword(keyword))},
    **{tag: _PIXELS for keyword in ("DoseGridScaling", "LossyImageCompression", "FrameIncrementPointer")
       if (tag := tag_for_keyword(keyword))},
    **{tag: _UNITS for keyword in ("RescaleType", "Units", "SUVType", "DoseUnits")
       if (tag := tag_for_keyword(keyword))},
    **{tag: "it says what kind of image this is" for keyword in ("Modality",) if (tag := tag_for_keyword(keyword))},
    tags.SPECIFIC_CHARACTER_SET: "it says how all texts of the file are encoded",
    tags.TIMEZONE_OFFSET_FROM_UTC: "it would move all dates and times of the file",
}  # fmt: skip
"""Kept attributes that the caller must not set, and why; all others of group 0028 but :data:`CALLER_MAY_SET` too."""

CALLER_MAY_SET = frozenset(
    tag_for_keyword(keyword)
    for keyword in (
        "WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction", "QualityControlImage",
        "BurnedInAnnotation", "RecognizableVisualFeatures", "LongitudinalTemporalInformationModified",
    )
)  # fmt: skip
"""Attributes of group 0028 that describe no pixels, or how to show them."""

REMOVED_TAGS = frozenset(rule.tag for rule in RULES if rule.action == "remove")
"""Attributes that a derived instance must not have."""

COPIED_CHECKS = frozenset({"UID-01", "UID-02", "TIM-01"})
"""Checks that report changes in a copy as well; other changes in a copy are reported under the default check."""

_OVERLAY_STATISTICS = frozenset({tags.ROI_AREA, tags.ROI_MEAN, tags.ROI_STANDARD_DEVIATION})
"""ROI Area, Mean and Standard Deviation of an overlay, by the tags of group 6000: they describe the pixels under it."""

_LOSSLESS = frozenset({
    uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.JPEG2000MCLossless,
    uid.RLELossless, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, syntaxes.JPEG_XL_LOSSLESS, syntaxes.DEFLATED_FRAMES,
    syntaxes.ENCAPSULATED_UNCOMPRESSED,
})  # fmt: skip
"""Lossless compressed transfer syntaxes (PS3.5 10 and A.4)."""
_MAYBE_LOSSY = frozenset({uid.JPEG2000, uid.JPEG2000MC, uid.HTJ2K, syntaxes.JPEG_XL})
"""Transfer syntaxes of lossy and lossless streams; if a stream does not say which, Lossy Image Compression does."""

ENCAPSULATION_TAGS = (
    tags.EXTENDED_OFFSET_TABLE,
    tags.EXTENDED_OFFSET_TABLE_LENGTHS,
    tags.ENCAPSULATED_PIXEL_DATA_VALUE_TOTAL_LENGTH,
)
"""Attributes that only instances with encapsulated Pixel Data may have (PS3.3 C.7.6.3)."""


def is_primary(modality: str, sop_class_uid: str) -> bool:
    """Tell whether an image is PET or NM, whose series times are kept (PS3.3 C.8.9.1.1.2)."""
    return modality in _PRIMARY_MODALITIES or sop_class_uid in _PRIMARY_CLASSES


def image_type_values_2(modality: str, sop_class_uid: str, value: str, *, functional_groups: bool) -> tuple[str, ...]:
    """Return the permitted Image Type values 2 of a derived image, first that to write.

    SECONDARY, as it was made after the examination (PS3.3 C.7.6.1.1.2), unless the SOP Class permits only PRIMARY. In
    other classes with functional groups the value is kept, as value 2 of Frame Type is.

    Parameters
    ----------
    modality, sop_class_uid, value
        Modality (0008,0060), SOP Class UID and Image Type value 2 of the source.
    functional_groups
        Whether the source has functional groups (PS3.3 C.7.6.16).
    """
    if sop_class_uid in PRIMARY_SOP_CLASSES or modality in _PRIMARY_MODALITIES:
        return ("PRIMARY",)
    if functional_groups and value != "SECONDARY":
        return "PRIMARY", "SECONDARY"
    return "SECONDARY", "PRIMARY"


def is_lossless(transfer_syntax_uid: str) -> bool:
    """Tell whether a compressed transfer syntax is lossless."""
    return transfer_syntax_uid in _LOSSLESS


def is_lossy(transfer_syntax_uid: str, lossy_image_compression: str, stream_is_lossy: bool | None) -> bool:
    """Tell whether the compression of pixels was lossy (PS3.3 C.7.6.1.1.5).

    Lossy streams decide, whatever the transfer syntax says (PS3.5 A.4.1 to A.4.4). A lossless stream in a transfer
    syntax that may be lossy is so if the file says so: a reversible wavelet may be cut off after some quality layers.

    Parameters
    ----------
    transfer_syntax_uid
        Of the file.
    lossy_image_compression
        Value of (0028,2110).
    stream_is_lossy
        Whether any stream of a frame is lossy, as :func:`itk_roundtrip.dicom.codestream.lost` returns it.
    """
    syntax = transfer_syntax_uid
    if not syntaxes.is_encapsulated(syntax):
        return False
    if stream_is_lossy or syntax in _LOSSLESS:
        return bool(stream_is_lossy)
    if stream_is_lossy is None:
        return syntax not in _MAYBE_LOSSY or lossy_image_compression != "00"
    return lossy_image_compression == "01"


def decoder_difference(photometric_interpretation: str) -> int:
    """Return the permitted difference of a value between two decoders of a lossy stream (ISO 10918-2, for the DCT).

    1 in the colours of the stream; 3 once YBR became RGB: 1 in Y, 1.772 times 1 in CB, and a rounding. 16 for chroma of
    half the resolution, which each decoder interpolates in its way; that shows at edges.
    """
    if photometric_interpretation.endswith("_422"):
        return 16
    return 3 if photometric_interpretation.startswith("YBR") else 1


MEAN_DECODER_DIFFERENCE = 1.0
"""Permitted difference between two decoders in the mean over all values."""


def is_group_length(tag: int) -> bool:
    """Tell whether ``tag`` is a retired group length (PS3.5 7.2), which is never written."""
    return tag & 0xFFFF == 0 and tag >> 16 > 2


@cache
def rule_for(tag: int, *, identity: str, primary: bool) -> Rule:
    """Return the rule for an attribute of the top level of the data set; of a copy everything is kept."""
    rule = BY_TAG.get(tag)
    if rule is None:
        statistics = tag & 0xFFE1FFFF in _OVERLAY_STATISTICS
        if not statistics or identity != "derived":
            return Rule(tag, "", "", "keep", "", "")
        return Rule(
            tag,
            "",
            "",
            "keep",
            "",
            "PS3.3 C.9.2.1.2",
            processed="remove",
            outcomes=("changed", "lost"),
            stale_after="pixels",
        )
    if rule.action != "keep" and (identity != "derived" or (rule.kept_for_primary and primary)):
        check = rule.check if rule.check in COPIED_CHECKS else DEFAULT_CHECK
        return replace(rule, action="keep", check=check, processed="keep")
    if identity != "derived" or (rule.kept_for_primary and primary):
        return replace(rule, processed="keep")
    return rule


def as_markdown() -> str:
    """Return the rules as the table that docs/reference/rules.md shows."""
    lines = ["| attribute | is | how | see |", "|---|---|---|---|"]
    for rule in (*RULES, *CONDITIONAL):
        if rule.action != "keep":
            tag = tags.tag_text(rule.tag)
            lines.append(f"| {rule.keyword} {tag} | {VERBS[rule.action]} | {rule.detail} | {rule.reason} |")
    return "\n".join(lines)


def processed_as_markdown() -> str:
    """Return the rules that hold once stored values have changed, as the table that the documentation shows."""
    lines = ["| attribute | is | how | see |", "|---|---|---|---|"]
    for rule in RULES:
        if rule.processed != "keep":
            tag = tags.tag_text(rule.tag)
            lines.append(
                f"| {rule.keyword} {tag} | {VERBS[rule.processed]} | {rule.processed_detail} | {rule.reason} |"
            )
    for scale in PRIVATE_SCALES:
        tag, changed = f"({scale.group:04X},xx{scale.element:02X})", "slope" if scale.scales == "stored" else "units"
        lines.append(f"| {scale.name} {tag} | removed | where the {changed} changed | {scale.creator} |")
    return "\n".join(lines)


VERBS = {"new": "replaced", "set": "replaced", "append": "added to", "remove": "removed", "keep": "kept"}
"""What a rule does to an attribute, in words."""
