"""The checks of a verification, in modules by what they look at, and how they are run.

A function that :func:`itk_roundtrip.verify.registry.check` or ``reports`` stands on is run on every pair of files if it
stands in one of the modules for files, on derived instances only if it stands in one of those, and once on the whole
series if it stands in the module for series.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from itk_roundtrip.verify import conformance as conformance  # registers VAL-01
from itk_roundtrip.verify.checks import changes as changes  # registers REP-01
from itk_roundtrip.verify.checks import (
    derived,
    files,
    functional_groups,
    headers,
    new_grid,
    pixels,
    privacy,
    processed,
    reference,
    series,
)
from itk_roundtrip.verify.findings import Finding
from itk_roundtrip.verify.pair import Pair, is_declared
from itk_roundtrip.verify.registry import Check, checks, functions_of
from itk_roundtrip.verify.series_pair import SeriesPair

CHECKS: dict[str, Check] = checks()
"""All checks by their ids, in the order of the table in docs/reference/checks.md."""


def _functions(*modules: ModuleType) -> tuple[Any, ...]:
    """Return the registered functions of some modules, in the order in which they stand there."""
    return tuple(function for module in modules for function in functions_of(module.__name__))


_OF_FILES = _functions(files, headers, privacy, pixels, reference)
_OF_DERIVED_FILES = _functions(derived, functional_groups, processed)
_OF_SERIES = _functions(series, new_grid)


def check_pair(pair: Pair) -> list[Finding]:
    """Return the findings of all checks of a written file."""
    functions = _OF_FILES + (_OF_DERIVED_FILES if pair.derived else ())
    return without_declared((finding for function in functions for finding in function(pair)), pair.allowed)


def check_series(pair: SeriesPair) -> list[Finding]:
    """Return the findings on a written series as a whole, not on a single file."""
    return without_declared((finding for function in _OF_SERIES for finding in function(pair)), pair.allowed)


_OF_VALUES = frozenset({"FIL-01", "HDR-04", "UID-04", "VAL-01"})
"""Checks of values as such: a declared value must be valid, too."""


def without_declared(findings: Iterable[Finding], allowed: frozenset[int]) -> list[Finding]:
    """Return findings but those that say that an attribute is not what the source and the rules ask for, if declared.

    Parameters
    ----------
    findings
        Of any checks.
    allowed
        Tags of attributes of the top level, or of groups with element 0, whose changes are declared.
    """
    return [
        finding
        for finding in findings
        if finding.check in _OF_VALUES or finding.tag is None or not is_declared(_tag_of(finding.tag), allowed)
    ]


def _tag_of(text: str) -> int:
    """Return the tag of a text ``(gggg,eeee)``."""
    return int(text[1:5] + text[6:10], 16)


def as_markdown() -> str:
    """Return the checks as the table that docs/reference/checks.md shows."""
    lines = ["| check | asks | why | see |", "|---|---|---|---|"]
    for check in CHECKS.values():
        severity = "" if check.severity == "error" else f" ({check.severity})"
        lines.append(f"| {check.id}{severity} | {check.asks} | {check.reason} | {check.section} |")
    return "\n".join(lines)
