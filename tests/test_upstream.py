"""The scripts of docs/upstream tell whether a fault of ITK is there, and what its page says of versions is true."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from itk_roundtrip.versions import versions

FOLDER = Path(__file__).parent.parent / "docs" / "upstream"
ENDS = {2: "reproduced", 0: "not reproduced"}
WORDS = {"stale_component_type": ["RGB read, RGB written"]}
"""Arguments of scripts, to run the half of them: each process takes seconds."""


def seen_in(name: str) -> set[str]:
    """Return the versions of ITK of which the page of a fault says that it was seen in them."""
    statement = re.search(
        r"\*\*Seen in\*\* ITK (.*?)[,(] ?(?:and in|CPython)", (FOLDER / f"{name}.md").read_text(), re.S
    )
    assert statement is not None
    return set(re.findall(r"\d[\w.]+", statement[1]))


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_fault_is_reproduced_or_said_to_be_gone(name: str) -> None:
    command = [sys.executable, str(FOLDER / f"{name}.py"), *WORDS.get(name, [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in ENDS, done.stderr
    first, *_, last = done.stdout.splitlines()
    assert first == f"ITK {versions()['ITK']}"
    assert last == ENDS[done.returncode]
    if versions()["ITK"] in seen_in(name):
        assert last == "reproduced"


def test_each_fault_has_a_script_a_page_and_a_row() -> None:
    scripts = {path.stem for path in FOLDER.glob("*.py")}
    assert scripts == {path.stem for path in FOLDER.glob("*.md")} - {"README"}
    overview = (FOLDER / "README.md").read_text()
    for name in scripts:
        row = next(line for line in overview.splitlines() if f"({name}.md)" in line)
        assert seen_in(name) <= set(re.findall(r"\d+\.\d[\w.]*", row))
