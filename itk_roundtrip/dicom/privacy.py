"""Values that may be shown in reports: none that may identify a person, unless the user asks for it.

Hidden are all names, texts, identifiers, dates and times, private and unknown values, everything about the patient and
the place (groups 0010 and 0016), and further attributes of PS3.15 Table E.1-1 (Basic Application Level Confidentiality
Profile). Left are codes, numbers, UIDs and Series Description, without which nobody could work with a report.
Words of the standard are never hidden: names of attributes, VRs and codes.
"""

from __future__ import annotations

from functools import cache

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.valuerep import VR

_SHOWN_VRS = frozenset({
    "AT", "CS", "DS", "FD", "FL", "IS", "SL", "SS", "SV", "UI", "UL", "US", "UV",
    "SQ", "OB", "OD", "OF", "OL", "OV", "OW",  # of which only the size is shown
})  # fmt: skip
_HIDDEN_GROUPS = frozenset({0x0010, 0x0016})
"""Patient, and the GPS position of a camera."""


def _tags(*keywords: str) -> frozenset[int]:
    return frozenset(tag for keyword in keywords if (tag := tag_for_keyword(keyword)) is not None)


_SHOWN = _tags("SeriesDescription", "RescaleType", "LossyImageCompressionMethod")
_HIDDEN = _tags("ModifyingDeviceID", "ReasonForTheAttributeModification", "InstanceOriginStatus")
_CODES = _tags("CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning")
_SEQUENCES_OF_HARMLESS_CODES = _tags(
    "SourceImageSequence", "DerivationCodeSequence", "ContributingEquipmentSequence", "AnatomicRegionSequence",
    "PrimaryAnatomicStructureSequence", "RealWorldValueMappingSequence", "ReferencedImageSequence",
)  # fmt: skip


_CODES_OF_THE_STANDARD = frozenset({
    "AR", "ASMT", "AU", "BDUS", "BI", "BMD", "CFM", "CR", "CT", "CTPROTOCOL", "DG", "DMS", "DOC", "DX", "ECG",
    "EEG", "EMG", "EOG", "EPS", "ES", "FID", "GM", "HC", "HD", "IO", "IOL", "IVOCT", "IVUS", "KER", "KO", "LEN",
    "LS", "M3D", "MG", "MR", "NM", "OAM", "OCT", "OP", "OPM", "OPT", "OPTBSV", "OPTENF", "OPV", "OSS", "OT", "PA",
    "PLAN", "POS", "PR", "PT", "PX", "REG", "RESP", "RF", "RG", "RTDOSE", "RTIMAGE", "RTINTENT", "RTPLAN", "RTRAD",
    "RTRECORD", "RTSEGANN", "RTSTRUCT", "RWV", "SC", "SEG", "SM", "SMR", "SR", "SRF", "STAIN", "TEXTUREMAP", "TG",
    "US", "VA", "XA", "XAPROTOCOL", "XC", "AS", "CD", "CF", "CP", "CS", "DD", "DF", "DM", "DS", "EC", "FA", "FS",
    "LP", "MA", "MS", "OPR", "ST", "VF", "ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", "AXIAL", "LOCALIZER", "HU",
    "OD", "MGML", "PCT",
})  # fmt: skip
"""Modalities (PS3.3 C.7.3.1.1.1), values of Image Type, units of Rescale Type."""
_LONGEST_NAME = 12
"""Words in a name of an attribute, at most; longer names are not looked for."""


@cache
def words_of_the_standard() -> frozenset[str]:
    """Return the names and keywords of all attributes, the VRs, and codes such as the modalities."""
    names = (name for entry in DicomDictionary.values() for name in (entry[2], entry[4]) if name)
    return frozenset({*names, *map(str, VR), *_CODES_OF_THE_STANDARD})


def names_in(text: str) -> list[tuple[int, int]]:
    """Return start and end of each name of the standard in a text; of names that overlap, the longest."""
    words, spans, index = [], [], 0
    for word in text.split(" "):
        words.append((index, index + len(word)))
        index += len(word) + 1
    names, first = words_of_the_standard(), 0
    while first < len(words):
        for last in range(min(len(words), first + _LONGEST_NAME) - 1, first - 1, -1):
            start, end = words[first][0], words[last][1]
            if text[start:end].strip(".,;:") in names:
                spans.append((start, end))
                first = last
                break
        first += 1
    return spans


def may_show(top: int, tag: int, vr: str) -> bool:
    """Tell whether the value of an attribute may be shown, as it cannot identify a person.

    Parameters
    ----------
    top
        Tag of the attribute of the top level that it stands in, or its own.
    tag, vr
        Of the attribute itself.
    """
    if any(_is_hidden(number) for number in (top, tag)):
        return False
    if tag in _CODES:
        return top in _SEQUENCES_OF_HARMLESS_CODES
    # A faulty file may state another VR than that of the dictionary: both must be harmless.
    standard_vr = dictionary_VR(tag) if dictionary_has_tag(tag) else ""
    return tag in _SHOWN or _SHOWN_VRS.issuperset((*vr.split(" or "), *standard_vr.split(" or ")))


def _is_hidden(tag: int) -> bool:
    return bool(tag >> 16 & 1) or tag >> 16 in _HIDDEN_GROUPS or tag in _HIDDEN


def shown_label(label: str) -> str:
    """Return the label of a volume with the values hidden that may identify a person, such as times."""
    parts = []
    for part in label.split(", "):
        keyword, _, value = part.partition(" ")
        tag = tag_for_keyword(keyword)
        shown = tag is None or value.startswith("order ") or may_show(tag, tag, dictionary_VR(tag))
        parts.append(part if shown else f"{keyword} (hidden)")
    return ", ".join(parts)
