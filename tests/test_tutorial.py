"""docs/tutorial.ipynb is true: it runs from top to bottom, and each cell gives what is stored below it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
from conftest import ROOT

NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"


def given(cell: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what a cell gives, by kind; a picture counts, its bytes do not, which are those of a library."""
    found = []
    for output in cell["outputs"]:
        assert output["output_type"] in ("stream", "execute_result"), output
        texts = {output["name"]: output["text"]} if output["output_type"] == "stream" else output["data"]
        found += [(kind, re.sub(r"(?<=base64,)[\w+/=]+", "", text)) for kind, text in sorted(texts.items())]
    return found


def test_the_tutorial_runs_and_gives_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that looks like a clone, from the folder that Jupyter starts a notebook in."""
    (tmp_path / "data").symlink_to(ROOT / "data")
    (tmp_path / "docs").mkdir()
    (tmp_path / "out").mkdir()
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)  # as in an activated environment
    stored = nbformat.read(NOTEBOOK, as_version=4)
    executed = nbclient.execute(
        nbformat.read(NOTEBOOK, as_version=4), cwd=tmp_path / "docs", kernel_name="python3", timeout=120
    )
    pairs = [
        (before, after)
        for before, after in zip(stored.cells, executed.cells, strict=True)
        if before["cell_type"] == "code"
    ]
    assert len(pairs) > 10
    for before, after in pairs:
        assert given(after) == given(before), before["source"]


def test_the_tutorial_is_small() -> None:
    """It is stored with its outputs, so that it can be read where nothing runs."""
    assert NOTEBOOK.stat().st_size < 100_000
