"""The README is true: its commands, its transcripts and its Python are run and compared. It is short, too."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import documents
import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONSOLE = re.findall(r"```console\n\$ (.*?)\n(.*?)```", README, re.S)
PYTHON = re.findall(r"```python\n(.*?)```", README, re.S)
PROGRAM = [sys.executable, "-m", "itk_roundtrip"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like a clone as far as the examples see it; they follow each other in it."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / "data").symlink_to(ROOT / "data")
    return folder


def test_the_two_commands_are_single_lines_that_start_a_virtual_environment() -> None:
    commands = [line for line in README.splitlines() if line.startswith("python3 -m venv")]
    assert len(commands) == 2
    assert "itk-roundtrip run data/ct-phantom out/ct-phantom" in commands[0]
    assert commands[1].endswith("pytest")


def test_ci_runs_the_test_command_of_the_readme() -> None:
    pattern = re.search(r"grep -E '(.*)' README.md", (ROOT / ".ci" / "run").read_text())
    assert pattern is not None
    assert len(re.findall(pattern[1], README, re.M)) == 1


@pytest.mark.usefixtures("_lent")
def test_transcripts_and_python_blocks(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a newcomer sees is what the README shows, to the letter; the examples follow the command that installs."""
    assert CONSOLE
    installing = next(line for line in README.splitlines() if line.startswith("python3 -m venv"))
    first = shlex.split(installing.rpartition("itk-roundtrip ")[2])
    subprocess.run([*PROGRAM, *first], cwd=clone, capture_output=True, check=True)
    for command, shown in CONSOLE:
        assert shown.strip(), "run the command and paste what it prints"
        words = shlex.split(command)
        assert words[0] == "itk-roundtrip"
        done = subprocess.run([*PROGRAM, *words[1:]], cwd=clone, capture_output=True, text=True, check=True)
        assert [line.rstrip() for line in done.stdout.splitlines()] == [line.rstrip() for line in shown.splitlines()]
    monkeypatch.chdir(clone)
    (block,) = PYTHON
    assert documents.python(block, {}, "README.md") == "pass 0.0\n"
    assert len(list((clone / "out" / "median").iterdir())) == 24


def test_it_is_short() -> None:
    assert len(README.split()) < 900


def test_links_lead_to_files() -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README):
        assert (ROOT / target).exists(), target


def test_the_sample_series_is_what_its_script_makes(tmp_path: Path) -> None:
    """The committed files must not drift from the script that is said to make them."""
    script, made, kept = ROOT / "data" / "make_ct_phantom.py", tmp_path / "made", ROOT / "data" / "ct-phantom"
    subprocess.run([sys.executable, script, made, "1", "9", "16", "24"], check=True)  # a slice takes half a second
    assert sorted(path.name for path in kept.iterdir()) == [f"CT{number:04}.dcm" for number in range(1, 25)]
    names = sorted(path.name for path in made.iterdir())
    assert names == ["CT0001.dcm", "CT0009.dcm", "CT0016.dcm", "CT0024.dcm"]
    version = re.compile(rb"PYDICOM [0-9.]+\0?")  # pydicom names itself in the file meta information
    for name in names:
        assert version.sub(b"", (made / name).read_bytes()) == version.sub(b"", (kept / name).read_bytes())
    shutil.rmtree(made)
