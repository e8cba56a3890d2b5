"""Numbers in messages go with their nouns: nobody reads of 1 files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from synthetic import write_series

import itk_roundtrip
from itk_roundtrip import find_series
from itk_roundtrip.series.irregularities import Irregularity
from itk_roundtrip.show.report import find_table
from itk_roundtrip.verify.findings import Finding
from itk_roundtrip.verify.tally import Tally
from itk_roundtrip.words import agreeing, counted

PACKAGE = Path(itk_roundtrip.__file__).parent
WRONG = re.compile(
    r"\b1 (?:more |written |source |changed )?(?!is\b|as\b|mixed\b|series\b)[a-z]+s\b"
    r"|\b1 [a-z]+ (?:are|have|hold|end)\b"
)


def test_numbers_with_nouns() -> None:
    assert [counted(number, "file") for number in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
    assert counted(2, "dictionary", "dictionaries") == "2 dictionaries"
    assert (agreeing(1, "is", "are"), agreeing(0, "is", "are")) == ("is", "are")


def test_no_message_counts_by_itself() -> None:
    """A number before a plural is the plural of something that may be one, unless it says that it never is."""
    counts = re.compile(r"(?<! of )\{(?:len\([^{}]*\)|[a-z_.]*count)\} (?!if\b)[a-z]+s\b")
    never_one = ("series were", "files differ and have", "orientations:", "volumes in one", "volumes, told", "studies'",
                 "series (")  # fmt: skip
    for file in PACKAGE.rglob("*.py"):
        for line in file.read_text().splitlines():
            assert not counts.search(line) or any(text in line for text in never_one), (file.name, line.strip())


@pytest.mark.parametrize(
    "options",
    [
        {"slices": 1, "beside": ["text"]},
        {"geometry": "gap"},
        {"geometry": "duplicate"},
        {"last_slice": {"rows": 10}},
        {"last_slice": {"geometry": "sagittal"}},
        {"last_slice": {"geometry": "none"}},
        {"last_slice": {"attributes": {"ImageType": r"ORIGINAL\PRIMARY\LOCALIZER"}}},
        {"slices": 1, "attributes": {"ImageType": r"ORIGINAL\PRIMARY\LOCALIZER"}},
        {"truncated": True},
        {"slices": 1, "modality": "SCW", "frames": 3},
        {"slices": 1, "meta": "none"},
        {"slices": 1, "geometry": "none"},
        {"slices": 1, "modality": "EMR", "frames": 1, "functional_groups": "per_frame"},
    ],
    ids=str,
)
def test_find_of_one(options: dict[str, Any], tmp_path: Path) -> None:
    from rich.console import Console

    write_series(tmp_path, **{"beside": [], **options})
    console = Console(record=True, width=300)
    console.print(find_table(find_series(tmp_path)))
    told: list[Irregularity] = [one for series in find_series(tmp_path) for one in series.irregularities]
    for text in (*(one.message for one in told), *console.export_text().splitlines()[3:]):
        assert not WRONG.search(text), text


def test_a_description_of_several_values(tmp_path: Path) -> None:
    from rich.console import Console

    write_series(tmp_path, slices=1, attributes={"SeriesDescription": r"T1\T2"})
    (series,) = find_series(tmp_path)
    assert series.description == r"T1\T2"
    console = Console(record=True, width=300)
    console.print(find_table(find_series(tmp_path)))
    text = console.export_text()
    assert r"T1\T2" in text
    assert "['T1'" not in text


def test_one_and_several_are_told_together() -> None:
    """Messages that differ in their numbers are one, also where a plural goes with the number."""
    tally = Tally()
    for number in (1, 3):
        amount = f"{counted(number, 'value')} {agreeing(number, 'is', 'are')}"
        tally.add([Finding("PIX-03", "error", "a.dcm", None, None, f"{amount} clipped, and not so many declared")])
    (found,) = tally.findings.values()
    assert found.count == 2
    assert found.message == "1 value is clipped, and not so many declared"
