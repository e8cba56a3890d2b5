"""The blocks of a Markdown document, run in a folder one after another as a reader would run them."""

from __future__ import annotations

import contextlib
import io
import locale
import re
import shlex
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from typer.testing import CliRunner

from itk_roundtrip.cli import app

ROOT = Path(__file__).parent.parent
PROGRAM = "itk-roundtrip"

_BLOCK = re.compile(r"^```(python|sh|console)\n(.*?)^```\n(?:^```text\n(.*?)^```$)?", re.M | re.S)
_FILE = re.compile(r"# (\w+\.py)\n")


class Step(NamedTuple):
    """Python or the words of a command, the line where it stands, and what it prints; ``None`` if that is not shown."""

    kind: str
    text: str | list[str]
    line: int
    shown: str | None


def steps(document: str, folder: Path) -> list[Step]:
    """Return the steps of a document; a block of Python that begins with the name of a file is put into the folder."""
    found = []
    for match in _BLOCK.finditer(document):
        kind, text, shown = match.groups()
        line = document.count("\n", 0, match.start()) + 1
        if kind == "python" and (name := _FILE.match(text)):
            (folder / name[1]).write_text(text)
        elif kind == "python":
            found.append(Step(kind, text, line, shown or ""))
        elif kind == "sh":
            found += [Step(kind, _words(each), line, None) for each in text.splitlines() if each.startswith(PROGRAM)]
        else:
            command, _, output = text.partition("\n")
            found.append(Step(kind, _words(command.removeprefix("$ ")), line, output))
    return found


def _words(command: str) -> list[str]:
    program, *words = shlex.split(command)
    assert program == PROGRAM
    return words


def outputs(found: list[Step], name: str) -> list[str]:
    """Return what the steps print in the current folder, all Python in one namespace."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    return [
        python(step.text, namespace, name, step.line)
        if isinstance(step.text, str)
        else _command(step.text, step.shown or "")
        for step in found
    ]


def python(text: str, namespace: dict[str, Any], name: str, line: int = 0) -> str:
    """Run a block of Python and return what it prints; a reader has no filters of warnings that make errors of them."""
    spoken = locale.setlocale(locale.LC_ALL)
    try:
        with contextlib.redirect_stdout(io.StringIO()) as output, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile("\n" * line + text, name, "exec"), namespace)
    finally:
        locale.setlocale(locale.LC_ALL, spoken)  # ITK's writer of DICOM leaves the whole process with C
    return output.getvalue()


def _command(words: list[str], shown: str) -> str:
    """Run a command and return all it prints; its exit code must be what a reader takes from what is shown."""
    ended = CliRunner().invoke(app, words)
    refused = shown.startswith(f"{PROGRAM}: ") and not shown.startswith(f"{PROGRAM}: warning")
    assert ended.exit_code == (2 if refused else 1 if "FAIL: " in shown else 0), ended.output
    return ended.output


def lines(text: str) -> list[str]:
    """Return the lines of a text without the blanks at their ends."""
    return [line.rstrip() for line in text.strip("\n").splitlines()]
