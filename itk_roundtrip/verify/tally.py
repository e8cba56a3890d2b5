"""Findings and changes of many slices, each told once with its count."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from pydicom.datadict import keyword_for_tag

from itk_roundtrip.rules import rule_for
from itk_roundtrip.tags import tag_text
from itk_roundtrip.verify.findings import Change, Finding, Identity
from itk_roundtrip.verify.series_pair import PairReport

Key = tuple[str, ...]


def key_of(change: Change) -> Key:
    """Return the key by which a change is the same one in all slices."""
    return change.outcome, change.tag, change.path, change.rule, change.check


_INDEX = re.compile(r"\[[0-9]+\]")
_PLURAL = re.compile(r"# (\w+?)s? (?:is|are)\b")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?")


def _without_numbers(message: str) -> str:
    """Return a message with ``#`` for its numbers, and in the singular behind them."""
    return _PLURAL.sub(r"# \1", _NUMBER.sub("#", message))


@dataclass
class Tally:
    """Findings and changes of many slices, each once with its count and the first of its files.

    Messages that differ in their numbers only are one finding, with the first message.
    """

    findings: dict[tuple[Any, ...], Finding] = field(default_factory=dict)
    changes: dict[Key, Change] = field(default_factory=dict)
    kept: dict[tuple[tuple[int, ...], bool], tuple[int, str]] = field(default_factory=dict)
    """Count and first file of slices with the same unchanged attributes, by these and whether they are PET or NM."""

    def merge(self, other: Tally) -> None:
        """Add the findings, changes and kept attributes of another tally."""
        self.add(other.findings.values(), other.changes.values())
        for key, (count, name) in other.kept.items():
            before = self.kept.get(key, (0, name))
            self.kept[key] = before[0] + count, before[1]

    def add(self, findings: Iterable[Finding], changes: Iterable[Change] = ()) -> None:
        """Add findings and changes of further slices."""
        for finding in findings:
            # CNT-01 names each slice, whose name may differ from others in its numbers only.
            message = finding.message if finding.check == "CNT-01" else _without_numbers(finding.message)
            key = finding.check, finding.severity, finding.tag, _INDEX.sub("[#]", finding.path or ""), message
            before = self.findings.get(key)
            self.findings[key] = finding if before is None else replace(before, count=before.count + finding.count)
        for change in changes:
            name = key_of(change)
            earlier = self.changes.get(name)
            self.changes[name] = change if earlier is None else replace(earlier, slices=earlier.slices + change.slices)

    def take(self, report: PairReport) -> PairReport:
        """Add the report on a slice, and return it without its findings and attributes, which are told here."""
        self.add(report.findings, report.changes)
        count, name = self.kept.get((report.kept, report.primary), (0, report.pair.written))
        self.kept[report.kept, report.primary] = count + 1, name
        return replace(report, findings=(), changes=(), kept=())

    def table(self, identity: Identity) -> list[Change]:
        """Return the changes of all attributes, the kept ones last."""
        by_tag: dict[tuple[int, bool], tuple[int, str]] = {}
        for (unchanged, primary), (count, name) in self.kept.items():
            for tag in unchanged:
                before = by_tag.get((tag, primary), (0, name))
                by_tag[tag, primary] = before[0] + count, before[1]
        kept = []
        for (tag, primary), (count, name) in by_tag.items():
            rule = rule_for(tag, identity=identity, primary=primary)
            path = keyword_for_tag(tag) or tag_text(tag)
            kept.append(Change("kept", tag_text(tag), path, rule.action, rule.check, count, name))
        return [*sorted(self.changes.values(), key=_place), *sorted(kept, key=_place)]


def _place(change: Change) -> tuple[bool, str, str]:
    """Return a sort key: changes that no rule asks for first, then by tag and path."""
    return change.outcome.endswith("by rule"), change.tag, change.path
