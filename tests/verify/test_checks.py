"""The registry of checks: every id that can be reported is described once, and some function reports it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import itk_roundtrip
from itk_roundtrip.rules import CONDITIONAL, COPIED_CHECKS, DEFAULT_CHECK, RULES
from itk_roundtrip.series.shared import SHARED
from itk_roundtrip.verify import registry
from itk_roundtrip.verify.checks import CHECKS
from itk_roundtrip.verify.findings import KINDS, gravity, make_finding

PACKAGE = Path(itk_roundtrip.__file__).parent
ID = re.compile(r'"([A-Z]{3}-\d\d)"')
MODULES = sorted({function.__module__ for check in CHECKS.values() for function in check.functions})
FUNCTIONS = {function: ids for module in MODULES for function, ids in registry.functions_of(module).items()}


def test_nothing_is_reported_under_an_unknown_id() -> None:
    with pytest.raises(LookupError, match="XYZ-01"):
        make_finding("XYZ-01", "anything")


@pytest.mark.parametrize("check_id", CHECKS)
def test_every_check_is_described_and_has_a_function(check_id: str) -> None:
    """What ``explain`` shows: a check, its reason, and where the standard asks for it."""
    check = CHECKS[check_id]
    assert check.functions
    assert check.asks
    assert check.reason
    assert not check.section or re.match(r"PS3\.\d+ ", check.section)
    assert all(function.__doc__ for function in check.functions)


def test_ids_that_the_package_names_are_registered() -> None:
    """In the code of any room, in the rule table, and in the table of what a series must share."""
    named = {check_id for file in PACKAGE.rglob("*.py") for check_id in ID.findall(file.read_text())}
    named |= {rule.check for rule in (*RULES, *CONDITIONAL)} | {shared.check for shared in SHARED}
    named |= COPIED_CHECKS | {DEFAULT_CHECK}
    assert named == CHECKS.keys()


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: f"{function.__module__}.{function.__name__}")
def test_a_function_reports_what_it_is_registered_for(function: registry.Function) -> None:
    body = inspect.getsource(function).partition("\ndef ")[2]
    assert set(ID.findall(body)) <= FUNCTIONS[function]


def test_a_check_is_registered_once_and_in_a_group() -> None:
    with pytest.raises(ValueError, match="twice"):
        registry.check("FIL-01", "anything", reason="none")
    with pytest.raises(ValueError, match="group"):
        registry.check("XYZ-01", "anything", reason="none")


def test_findings_are_ranked_by_what_they_are_about() -> None:
    """Of one severity, whatever their ids: files that cannot be read, pixels, geometry, identity, then texts."""
    named = [make_finding(check_id, "x") for check_id in ("HDR-01", "PHI-01", "GEO-02", "RWV-01", "PIX-02", "FIL-01")]
    named.append(make_finding("HDR-01", "x", tag=0x00080060))
    ranked = [finding.check for finding in sorted(named, key=gravity)]
    assert ranked == ["FIL-01", "RWV-01", "PIX-02", "GEO-02", "PHI-01", "HDR-01", "HDR-01"]
    assert [KINDS[gravity(finding)] for finding in named[:6]] == [
        "Texts and all else", "Identity", "Geometry", "Pixels", "Pixels", "Files",
    ]  # fmt: skip


def test_every_group_of_checks_has_a_kind() -> None:
    assert set(registry.GROUPS.values()) <= set(range(len(KINDS)))
