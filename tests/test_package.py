"""The shape of the package: its public names, its imports, and what of ITK it loads."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import itk_roundtrip

PACKAGE = Path(itk_roundtrip.__file__).parent


def imports(file: Path) -> set[str]:
    """Return the packages that a module imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize(
    ("package", "home"), [("itk", "itk_io/_itk.py"), ("SimpleITK", "itk_io/_simpleitk.py"), ("typer", "cli.py")]
)
def test_heavy_packages_are_imported_in_one_place(package: str, home: str) -> None:
    """By name as well, which no linter sees."""
    files = [file for file in PACKAGE.rglob("*.py") if package in imports(file)]
    files += [file for file in PACKAGE.rglob("*.py") if f'import_module("{package}"' in file.read_text()]
    assert {file.relative_to(PACKAGE).as_posix() for file in files} == {home}


def test_the_walls_stand() -> None:
    """The contracts of pyproject.toml: one direction, a judge that imports nothing that writes, ITK in one room."""
    root = Path(__file__).parent.parent
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_public_names() -> None:
    assert itk_roundtrip.__all__ == sorted(itk_roundtrip.__all__)
    assert set(itk_roundtrip.__all__) == set(itk_roundtrip._HOMES)
    assert dir(itk_roundtrip) == sorted([*itk_roundtrip.__all__, "__version__"])
    for name in itk_roundtrip.__all__:
        assert getattr(itk_roundtrip, name).__doc__, name
    with pytest.raises(AttributeError):
        _ = itk_roundtrip.no_such_name


def test_type_checkers_know_all_public_names_and_no_others(tmp_path: Path) -> None:
    """A name that is misspelt must not pass as of any type. No other package is looked into, which takes seconds."""
    names = itk_roundtrip.__all__
    script = ["import itk_roundtrip as rt", *(f"reveal_type(rt.{name})" for name in names), "rt.roundtrp", ""]
    (tmp_path / "script.py").write_text("\n".join(script))
    options = ["--strict", "--no-site-packages", "--ignore-missing-imports", "--follow-imports=silent"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "--config-file=", "--cache-dir", tmp_path / "cache", "script.py"],
        cwd=tmp_path, env={**os.environ, "MYPYPATH": str(PACKAGE.parent)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    *revealed, error, _ = done.stdout.splitlines()
    assert f'script.py:{len(names) + 2}: error: Module has no attribute "roundtrp"' in error
    assert len(revealed) == len(names)
    assert not [line for line in revealed if line.endswith('"Any"')]


def test_all_errors_have_one_root() -> None:
    """``except RoundtripError`` must catch all that is raised on purpose."""
    from itk_roundtrip import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) == 11
    for kind in kinds:
        assert issubclass(kind, errors.RoundtripError)
        assert kind.__name__ in (errors.__doc__ or "")


def test_a_run_loads_only_the_modules_of_itk_it_needs() -> None:
    """Touching the documented classes loads over 200 SWIG modules; a run needs half of them."""
    code = (
        "import sys\nfrom itk_roundtrip.itk_io import _itk\n_itk.load()\n"
        "print(sum(1 for name in sys.modules if name.startswith('itk._') and name.endswith('Python')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 110
