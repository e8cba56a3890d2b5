"""The rule table: what a derived series changes of its source, as data. Everything that is not listed is kept.

``derivation`` reads it to make the changes, ``verify`` to judge them, and the README shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Action = Literal["new", "set", "append", "remove"]

PRIMARY_MODALITIES = frozenset({"PT", "NM"})
"""Image Type value 2 stays PRIMARY and Series Date and Time are kept (PS3.3 C.8.9.4.1.1 and C.8.9.1.1.5)."""
PRIMARY_SOP_CLASSES = frozenset({"1.2.840.10008.5.1.4.1.1.128", "1.2.840.10008.5.1.4.1.1.20"})
"""Positron Emission Tomography and Nuclear Medicine Image Storage."""

LONG_STRING_LIMIT = 64
"""Characters in a value of VR LO (PS3.5 6.2)."""
SHORT_TEXT_LIMIT = 1024
"""Characters in a value of VR ST (PS3.5 6.2)."""
INTEGER_STRING_MAXIMUM = 2**31 - 1
"""Largest value of VR IS (PS3.5 6.2)."""
DESCRIPTION_SUFFIX = "ITK round trip"
"""What is added to Series Description."""
UNCHANGED = "stored values unchanged"
"""What Derivation Description says of a plain round trip."""

PURPOSE_SOURCE_IMAGE = ("121322", "DCM", "Source image for image processing operation")
"""Code of CID 7202 for an item of Source Image Sequence."""
PURPOSE_EQUIPMENT = ("109102", "DCM", "Processing Equipment")
"""Code of CID 7005 for an item of Contributing Equipment Sequence."""


@dataclass(frozen=True)
class Rule:
    """What becomes of one attribute in a derived instance.

    Attributes
    ----------
    tag, keyword, vr
        As in PS3.6.
    action
        ``new`` and ``set`` replace the value or add it, ``append`` keeps what stands there and adds to it,
        ``remove`` takes it out.
    detail
        What the attribute then holds, for people.
    reason
        Why, with the section of the standard.
    kept_for_primary
        The rule does not apply to PET and NM.
    """

    tag: int
    keyword: str
    vr: str
    action: Action
    detail: str
    reason: str
    kept_for_primary: bool = False


RULES: tuple[Rule, ...] = (
    Rule(0x00080008, "ImageType", "CS", "set", "DERIVED; SECONDARY (PET and NM: PRIMARY); values 3 and on kept",
         "PS3.3 C.7.6.1.1.2; C.8.9.4.1.1 for PET"),
    Rule(0x00080012, "InstanceCreationDate", "DA", "new", "when the instance was made", "PS3.3 C.12.1"),
    Rule(0x00080013, "InstanceCreationTime", "TM", "new", "when the instance was made", "PS3.3 C.12.1"),
    Rule(0x00080018, "SOPInstanceUID", "UI", "new", "one per instance, the same again on a rerun",
         "PS3.3 C.7.6.1.1.2 and C.12.1.1.1"),
    Rule(0x00080021, "SeriesDate", "DA", "new", "when the series was made; kept for PET and NM",
         "PS3.3 C.7.3.1; C.8.9.1.1.5 for PET", kept_for_primary=True),
    Rule(0x00080031, "SeriesTime", "TM", "new", "when the series was made; kept for PET and NM",
         "PS3.3 C.7.3.1; C.8.9.1.1.5 for PET", kept_for_primary=True),
    Rule(0x0008103E, "SeriesDescription", "LO", "append", "old text, then `ITK round trip`; at most 64 characters",
         "PS3.3 C.7.3.1"),
    Rule(0x00081115, "ReferencedSeriesSequence", "SQ", "append", "the source series with the instances referred to",
         "PS3.3 C.12.2"),
    Rule(0x00082111, "DerivationDescription", "ST", "append",
         "old text, then tool, operation and `stored values unchanged`; at most 1024 characters",
         "PS3.3 C.7.6.1.1.3"),
    Rule(0x00082112, "SourceImageSequence", "SQ", "append", "the source instance, purpose (121322, DCM)",
         "PS3.3 C.12.4.1.2"),
    Rule(0x0018A001, "ContributingEquipmentSequence", "SQ", "append",
         "itk-roundtrip with its versions, purpose (109102, DCM)", "PS3.3 C.12.1.1.5"),
    Rule(0x0020000E, "SeriesInstanceUID", "UI", "new", "one for the series, the same again on a rerun",
         "PS3.3 C.7.3.1"),
    Rule(0x00200011, "SeriesNumber", "IS", "set", "source + 1000; 1001 if it has none", "PS3.3 C.7.3.1"),
    Rule(0x00200013, "InstanceNumber", "IS", "set",
         "kept; 1 to N only if missing or repeated within one pass over the positions", "PS3.3 C.7.6.1"),
    Rule(0x00080001, "LengthToEnd", "UL", "remove", "retired length", "PS3.5 7.2"),
    Rule(0x00080014, "InstanceCreatorUID", "UI", "remove", "named the maker of the source", "PS3.3 C.12.1"),
    Rule(0x00080015, "InstanceCoercionDateTime", "DT", "remove", "the new instance was never coerced",
         "PS3.3 C.12.1"),
    Rule(0x00080053, "QueryRetrieveView", "CS", "remove", "told how the source was retrieved", "PS3.3 C.12.1"),
    Rule(0x00083001, "AlternateRepresentationSequence", "SQ", "remove", "belongs to a query's response", "PS3.4 C"),
    Rule(0x00209172, "ConversionSourceAttributesSequence", "SQ", "remove", "told how the source was made",
         "PS3.3 C.12.1"),
    Rule(0x01000410, "SOPInstanceStatus", "CS", "remove", "a new instance is not an authorised original",
         "PS3.15 A.1"),
    Rule(0x01000420, "SOPAuthorizationDateTime", "DT", "remove", "as SOP Instance Status", "PS3.15 A.1"),
    Rule(0x01000424, "SOPAuthorizationComment", "LT", "remove", "as SOP Instance Status", "PS3.15 A.1"),
    Rule(0x01000426, "AuthorizationEquipmentCertificationNumber", "LO", "remove", "as SOP Instance Status",
         "PS3.15 A.1"),
    Rule(0x04000500, "EncryptedAttributesSequence", "SQ", "remove", "decrypts to the identity of the source",
         "PS3.3 C.12.1.1.4"),
    Rule(0x4FFE0001, "MACParametersSequence", "SQ", "remove", "belongs to the signatures", "PS3.3 C.12.1.1.3"),
    Rule(0xFFFAFFFA, "DigitalSignaturesSequence", "SQ", "remove", "signs the source, not this instance",
         "PS3.3 C.12.1.1.3; PS3.15 A.2"),
    Rule(0xFFFCFFFC, "DataSetTrailingPadding", "OB", "remove", "no meaning", "PS3.10 7.2"),
)  # fmt: skip
"""Rules for identity ``derived`` with unchanged stored values, in the order in which the README shows them."""

BY_TAG: dict[int, Rule] = {rule.tag: rule for rule in RULES}

ENCAPSULATION_TAGS = (0x7FE00001, 0x7FE00002, 0x7FE00003)
"""Extended Offset Table, its lengths, and Encapsulated Pixel Data Value Total Length: gone once decompressed."""


def is_primary(modality: str, sop_class_uid: str) -> bool:
    """Tell whether Image Type value 2 stays PRIMARY and the series times are kept: PET and NM."""
    return modality in PRIMARY_MODALITIES or sop_class_uid in PRIMARY_SOP_CLASSES


def is_group_length(tag: int) -> bool:
    """Tell whether ``tag`` is a retired group length (PS3.5 7.2), which is never written."""
    return tag & 0xFFFF == 0 and tag >> 16 > 2


def rule_for(tag: int, *, identity: str, primary: bool) -> Rule | None:
    """Return the rule for an attribute of the data set's top level, or ``None`` where it is kept."""
    rule = BY_TAG.get(tag) if identity == "derived" else None
    return None if rule is not None and rule.kept_for_primary and primary else rule


def as_markdown() -> str:
    """Return the rules as the table that the README shows."""
    lines = ["| attribute | is | how | see |", "|---|---|---|---|"]
    for rule in RULES:
        tag = f"({rule.tag >> 16:04X},{rule.tag & 0xFFFF:04X})"
        lines.append(f"| {rule.keyword} {tag} | {_VERBS[rule.action]} | {rule.detail} | {rule.reason} |")
    return "\n".join(lines)


_VERBS: dict[Action, str] = {"new": "replaced", "set": "replaced", "append": "added to", "remove": "removed"}
