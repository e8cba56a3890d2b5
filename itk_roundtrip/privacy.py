"""Which values may be shown: nothing that may identify a person, unless the user asks for it.

Hidden are all names, texts, identifiers, dates and times, private and unknown values, everything about the patient and
the place (groups 0010 and 0016), and what else PS3.15 Table E.1-1 (Basic Application Level Confidentiality Profile)
names. What is left are codes, numbers, UIDs and Series Description, without which nobody could work with a report.
"""

from __future__ import annotations

from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword

_SHOWN_VRS = frozenset({
    "AT", "CS", "DS", "FD", "FL", "IS", "SL", "SS", "SV", "UI", "UL", "US", "UV",
    "SQ", "OB", "OD", "OF", "OL", "OV", "OW",  # of which only the size is shown
})  # fmt: skip
_HIDDEN_GROUPS = frozenset({0x0010, 0x0016})
"""Patient, and where a camera was."""


def _tags(*keywords: str) -> frozenset[int]:
    return frozenset(tag for keyword in keywords if (tag := tag_for_keyword(keyword)) is not None)


_SHOWN = _tags("SeriesDescription", "RescaleType", "LossyImageCompressionMethod")
_HIDDEN = _tags("ModifyingDeviceID", "ReasonForTheAttributeModification", "InstanceOriginStatus")
_CODES = _tags("CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning")
_SEQUENCES_OF_HARMLESS_CODES = _tags(
    "SourceImageSequence", "DerivationCodeSequence", "ContributingEquipmentSequence", "AnatomicRegionSequence",
    "PrimaryAnatomicStructureSequence", "RealWorldValueMappingSequence", "ReferencedImageSequence",
)  # fmt: skip


def may_show(top: int, tag: int, vr: str) -> bool:
    """Tell whether the value of an attribute identifies nobody.

    Parameters
    ----------
    top
        Tag of the attribute of the top level that it stands in, or its own.
    tag, vr
        Of the attribute itself.
    """
    if any(one >> 16 & 1 or one >> 16 in _HIDDEN_GROUPS or one in _HIDDEN for one in (top, tag)):
        return False
    if tag in _CODES:
        return top in _SEQUENCES_OF_HARMLESS_CODES
    known = dictionary_VR(tag) if dictionary_has_tag(tag) else ""  # not only the VR that a faulty file states
    return tag in _SHOWN or all(one in _SHOWN_VRS for one in (*vr.split(" or "), *known.split(" or ")))
