"""docs/losses_by_version.md has what its script measures, and the script calls garbage what is garbage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from itk_roundtrip.losses import IDIOMS, Loss

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "benchmarks"))
import losses_by_version  # noqa: E402

DOCUMENT = (ROOT / "docs" / "losses_by_version.md").read_text()


def test_each_series_has_a_row_for_each_program() -> None:
    for name, case in losses_by_version.CASES.items():
        assert DOCUMENT.count(f"| {case.what} (`{name}`) |") == len(IDIOMS)
    assert [line[3:] for line in DOCUMENT.splitlines() if line.startswith("## ")] == list(IDIOMS)


@pytest.mark.parametrize(
    ("tag", "path", "is_garbage"),
    [
        ("(0008,1161)", "SimpleFrameList", True),
        ("(0018,9079)", "InversionTimes", True),
        ("(0018,9345)", "CTDIvol", False),  # cut to six digits
        ("(0008,0008)", "ImageType", False),  # a text of VM 2-n
        ("(0029,1001)", "(0029,1001) NORDLICHT ACQ 1.0", False),
    ],
)
def test_what_is_garbage(tag: str, path: str, is_garbage: bool) -> None:
    assert losses_by_version.is_garbage(Loss("changed", tag, path, 1)) is is_garbage


def test_no_version_and_a_document_without_marks_are_refused(tmp_path: Path) -> None:
    (tmp_path / "document.md").write_text("nothing")
    script = [sys.executable, ROOT / "benchmarks" / "losses_by_version.py", "--venvs", tmp_path / "venvs"]
    for words, message in (
        (["--versions", "itk 5"], "itk 5 is no version"),
        (["--document", str(tmp_path / "document.md")], "has no lines"),
    ):
        done = subprocess.run([*script, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert message in done.stderr
    assert not (tmp_path / "venvs").exists()
