"""The registry of checks: what each asks, why, by which section of the standard, and the functions that answer it.

A check is registered where it is written: :func:`check` stands on the function that makes its findings, and
:func:`reports` on a function that makes findings of a check that stands elsewhere. There is no other table of checks:
the modules of :mod:`itk_roundtrip.verify.checks` fill this registry as they are imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

Severity = Literal["error", "warning", "info"]
Function = TypeVar("Function", bound=Callable[..., Any])

GROUPS: Mapping[str, int] = {
    "FIL": 5, "UID": 4, "CNT": 4, "GEO": 3, "TYP": 5, "DER": 5, "EQP": 5, "HDR": 5, "TIM": 5, "STL": 5, "LOS": 5,
    "PIX": 2, "RWV": 2, "PRV": 5, "VAL": 5, "PHI": 4, "REP": 5,
}  # fmt: skip
"""Groups of checks, by the first letters of their ids, in the order of the table of checks; and the rank of their
errors, gravest first: pixel values, geometry, identity, then all others, which are mostly texts."""


@dataclass(frozen=True)
class Check:
    """A check of ``verify``.

    Attributes
    ----------
    id
        Under which its findings are reported, as ``HDR-01``.
    asks
        The condition that it checks, in a few words.
    reason
        What goes wrong for a user of the series where the condition does not hold; one sentence.
    section
        Sections of the standard that it rests on; empty where it rests on none.
    severity
        Severity of its findings, where they do not state another one.
    functions
        The functions that make its findings.
    """

    id: str
    asks: str
    reason: str
    section: str
    severity: Severity
    functions: list[Callable[..., Any]] = field(repr=False, compare=False)


_checks: dict[str, Check] = {}
_ids: dict[Callable[..., Any], set[str]] = {}
"""Ids that each registered function reports, in the order of registration."""
_reporting: dict[str, list[Callable[..., Any]]] = {}
"""Functions that report each id; a module that reports one may be imported before the one that describes it."""


def check(
    check_id: str, asks: str, *, reason: str, section: str = "", severity: Severity = "error"
) -> Callable[[Function], Function]:
    """Return a decorator that registers a check at the function that makes its findings; see :class:`Check`.

    Raises
    ------
    ValueError
        The id is registered already, or of no group of :data:`GROUPS`.
    """
    if check_id in _checks:
        raise ValueError(f"{check_id} is registered twice")
    if check_id[:3] not in GROUPS:
        raise ValueError(f"{check_id} is of no group of checks")
    _checks[check_id] = Check(check_id, asks, reason, section, severity, _reporting.setdefault(check_id, []))
    return reports(check_id)


def reports(*ids: str) -> Callable[[Function], Function]:
    """Return a decorator that registers a function which makes findings of checks that are described elsewhere."""

    def register(function: Function) -> Function:
        for check_id in dict.fromkeys(ids):
            _reporting.setdefault(check_id, []).append(function)
        _ids.setdefault(function, set()).update(ids)
        return function

    return register


def registered(check_id: str) -> Check:
    """Return a check by its id.

    Raises
    ------
    LookupError
        No check is registered under this id, so that nothing may be reported under it.
    """
    if check_id not in _checks:
        raise LookupError(f"{check_id} is no registered check")
    return _checks[check_id]


def checks() -> dict[str, Check]:
    """Return all registered checks by their ids, in the order of :data:`GROUPS`."""
    order = list(GROUPS)
    ids = sorted(_checks, key=lambda check_id: (order.index(check_id[:3]), check_id))
    return {check_id: _checks[check_id] for check_id in ids}


def functions_of(module: str) -> dict[Callable[..., Any], frozenset[str]]:
    """Return the registered functions of a module, in the order in which they stand there, and the ids each reports."""
    return {function: frozenset(ids) for function, ids in _ids.items() if function.__module__ == module}
