"""The shape of the package: its public names, its imports, and what of ITK it loads."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import itk_roundtrip

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "itk_roundtrip"
TABLE = re.findall(r"^\| `(\w+)` \| .*? \| ([^|]*) \|$", (ROOT / "docs" / "design.md").read_text(), re.M)
ALLOWED = {name: set() if may == "-" else set(may.split(", ")) for name, may in TABLE}
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))
ANYWHERE = {"errors", "words"}
ONLY_IN = {"itk": "_itk", "SimpleITK": "_simpleitk", "typer": "cli"}


def imports(module: str) -> set[str]:
    """Return what a module imports, anywhere in it, as dotted names."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_every_module_stands_in_the_table() -> None:
    assert sorted(ALLOWED) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_imports_are_those_of_the_table(module: str) -> None:
    """The flow has one direction; an import against it is a design change and belongs into the table first."""
    inside = {name.split(".")[1] for name in imports(module) if name.startswith("itk_roundtrip.")} & set(MODULES)
    assert inside - ANYWHERE == ALLOWED[module] - ANYWHERE


@pytest.mark.parametrize("package", ONLY_IN)
def test_heavy_packages_are_imported_in_one_place(package: str) -> None:
    source = {module: (PACKAGE / f"{module}.py").read_text() for module in MODULES}
    importers = {module for module in MODULES if package in {name.split(".")[0] for name in imports(module)}}
    importers |= {module for module, text in source.items() if f'import_module("{package}"' in text}
    assert importers == {ONLY_IN[package]}


def test_public_names() -> None:
    assert itk_roundtrip.__all__ == sorted(itk_roundtrip.__all__)
    assert set(itk_roundtrip.__all__) == set(itk_roundtrip._HOMES)
    assert dir(itk_roundtrip) == sorted([*itk_roundtrip.__all__, "__version__"])
    for name in itk_roundtrip.__all__:
        assert getattr(itk_roundtrip, name).__doc__, name
    with pytest.raises(AttributeError):
        _ = itk_roundtrip.no_such_name


def test_all_errors_have_one_root() -> None:
    """``except RoundtripError`` must catch all that is raised on purpose."""
    from itk_roundtrip import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) == 9
    for kind in kinds:
        assert issubclass(kind, errors.RoundtripError)
        assert kind.__name__ in (errors.__doc__ or "")


def test_a_run_loads_only_the_modules_of_itk_it_needs() -> None:
    """Touching the documented classes loads over 200 SWIG modules; a run needs half of them."""
    code = (
        "import sys\nfrom itk_roundtrip import _itk\n_itk.load()\n"
        "print(sum(1 for name in sys.modules if name.startswith('itk._') and name.endswith('Python')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 110
