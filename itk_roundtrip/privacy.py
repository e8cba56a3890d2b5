"""Which values may be shown: nothing that may identify a person, unless the user asks for it.

Hidden are all names, texts, identifiers, dates and times, private and unknown values, and the numbers and codes that
PS3.15 Table E.1-1 (Basic Application Level Confidentiality Profile) names. What is left are codes, numbers, UIDs and
Series Description, without which nobody could work with a report.
"""

from __future__ import annotations

from pydicom.datadict import tag_for_keyword

_SHOWN_VRS = frozenset({"AT", "CS", "DS", "FD", "FL", "IS", "SL", "SS", "SV", "UI", "UL", "US", "UV", "SQ", "OB", "OW",
                        "OD", "OF", "OL", "OV"})  # fmt: skip
_SHOWN_KEYWORDS = (
    "SeriesDescription", "CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning", "RescaleType",
    "LossyImageCompressionMethod",
)  # fmt: skip
_HIDDEN_KEYWORDS = (
    "PatientSex", "PatientSize", "PatientWeight", "PatientSexNeutered", "SmokingStatus", "PregnancyStatus",
    "PatientBodyMassIndex", "PatientAP", "PatientOrientation", "PatientPrimaryLanguageCodeSequence", "EthnicGroups",
    "QualityControlSubject", "PatientState", "ResponsiblePersonRole", "Confidentiality", "IssueTime", "BadPixelImage",
    "PatientGroupLength", "NumberOfPatientRelatedStudies", "NumberOfPatientRelatedSeries",
    "NumberOfPatientRelatedInstances", "PersonIdentificationCodeSequence", "PatientSpeciesCodeSequence",
    "PatientBreedCodeSequence", "OtherPatientIDsSequence", "AcquisitionStartLocationSequence",
)  # fmt: skip
_SHOWN = frozenset(tag_for_keyword(keyword) for keyword in _SHOWN_KEYWORDS)
_HIDDEN = frozenset(tag_for_keyword(keyword) for keyword in _HIDDEN_KEYWORDS) - {None}


def may_show(tag: int, vr: str) -> bool:
    """Tell whether the value of an attribute identifies nobody, by its tag and VR."""
    if tag >> 16 & 1 or tag >> 16 == 0x0010 or tag in _HIDDEN:
        return False
    return tag in _SHOWN or (all(one in _SHOWN_VRS for one in vr.split(" or ")) and bool(vr))
