"""Context groups of codes (PS3.16), from pydicom's dictionaries."""

from __future__ import annotations

from itk_roundtrip.dicom.codes import meanings
from itk_roundtrip.rules import PURPOSE_EQUIPMENT, PURPOSE_SOURCE_IMAGE


def is_in_context_group(number: int, code: tuple[str, str, str]) -> bool:
    """Tell whether (Code Value, Coding Scheme Designator, Code Meaning) belongs to a context group, as ``7202``."""
    if (number, code) in ((7202, PURPOSE_SOURCE_IMAGE), (7005, PURPOSE_EQUIPMENT)):
        return True  # by far the most frequent ones
    value, scheme, meaning = code
    return scheme == "DCM" and meanings(number).get(value, "").casefold() == meaning.strip().casefold() != ""
