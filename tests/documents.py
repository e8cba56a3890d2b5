"""The blocks of a Markdown document, run in a folder one after another as a reader would run them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PROGRAM = "itk-roundtrip"

_BLOCK = re.compile(r"^```(python|sh|console)\n(.*?)^```\n(?:^```text\n(.*?)^```$)?", re.M | re.S)
_FILE = re.compile(r"# (\w+\.py)\n")

_DRIVER = """
import contextlib, io, json, subprocess, sys
namespace, outputs = {"__name__": "__main__"}, []
for kind, text, line in json.loads(open(sys.argv[1]).read()):
    if kind == "python":
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(compile("\\n" * line + text, sys.argv[2], "exec"), namespace)
        outputs.append(output.getvalue())
    else:
        outputs.append(subprocess.run(text, stdout=subprocess.PIPE, text=True, check=True).stdout)
print(json.dumps(outputs))
"""


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
    return [sys.executable, "-m", "itk_roundtrip", *words]


def outputs(found: list[Step], folder: Path, name: str) -> list[str]:
    """Return what the steps print, all Python in one process and one namespace."""
    (folder / "driver.py").write_text(_DRIVER)
    (folder / "steps.json").write_text(json.dumps([step[:3] for step in found]))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "driver.py", "steps.json", name]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed: list[str] = json.loads(done.stdout)
    return printed


def lines(text: str) -> list[str]:
    """Return the lines of a text without the blanks at their ends."""
    return [line.rstrip() for line in text.strip("\n").splitlines()]
