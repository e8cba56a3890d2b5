"""Codes and units of the standard (PS3.16), from pydicom's dictionaries."""

from __future__ import annotations

from functools import cache


@cache
def meanings(number: int) -> dict[str, str]:
    """Return the Code Meanings of a context group by Code Value, for Coding Scheme Designator DCM."""
    from pydicom.sr.codedict import Collection  # a third of a second to import, and seldom needed

    codes = Collection(f"CID{number}").concepts.values()
    return {code.value: code.meaning for code in codes if code.scheme_designator == "DCM"}


@cache
def unit(text: str) -> tuple[str, str, str]:
    """Return the code of a unit: by its UCUM value as in PS3.16, or HU; ``1``, no units, for any other text."""
    from pydicom.sr.codedict import Collection

    concepts = Collection("UCUM").concepts.values()
    known = {code.value: code.meaning if code.meaning.isascii() else code.value for code in concepts}
    value = {"HU": "[hnsf'U]", "BQML": "Bq/ml", "CNTS": "{counts}", "GY": "Gy"}.get(text, text)
    return (value, "UCUM", known[value]) if value in known else ("1", "UCUM", "no units")
