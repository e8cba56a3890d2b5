"""docs/reference/kinds.md says of each kind of image what becomes of it: what its cases prove, and nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import pytest
from conftest import ROOT
from synthetic import CASES

TABLE = ROOT / "docs" / "reference" / "kinds.md"
IDENTITIES: tuple[Literal["derived", "copy"], ...] = ("derived", "copy")


@dataclass(frozen=True)
class Kind:
    """A row: what becomes of the kind and which path carries it, by identity, and patterns of cases."""

    name: str
    outcomes: tuple[str, str]
    paths: tuple[str, str]
    patterns: tuple[str, ...]

    @property
    def cases(self) -> list[str]:
        return [name for name in CASES if any(fnmatchcase(name, pattern) for pattern in self.patterns)]


def _kinds() -> list[Kind]:
    rows = []
    for line in TABLE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and cells[0] != "kind" and not cells[0].startswith("-"):
            patterns = tuple(re.findall(r"`([^`]+)`", cells[5]))
            rows.append(Kind(cells[0], (cells[1], cells[2]), (cells[3], cells[4]), patterns))
    return rows


KINDS = _kinds()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name[:40])
def test_a_kind_is_what_its_cases_prove(kind: Kind) -> None:
    """Whoever looks up his kind of image must find what happens to it."""
    for pattern in kind.patterns:
        assert any(fnmatchcase(name, pattern) for name in CASES), pattern
    for name in kind.cases:
        case = CASES[name]
        for identity, outcome, path in zip(IDENTITIES, kind.outcomes, kind.paths, strict=True):
            assert case.expected(identity) == outcome, (name, identity)
            if outcome == "exact" and path != "any":
                assert case.expected_path(identity) == path, (name, identity)


def test_every_path_but_the_plain_one_is_in_the_table() -> None:
    """What ITK does not simply carry is what people look for."""
    listed = {name for kind in KINDS for name in kind.cases}
    odd = {name for name, case in CASES.items() if {case.expected_path(one) for one in IDENTITIES} != {"itk"}}
    assert len(KINDS) > 40
    assert odd - listed == set()
