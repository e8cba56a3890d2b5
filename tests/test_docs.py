"""The pages of docs/ are true: their blocks run, tables are those that the code makes, and the site shows all of it."""

from __future__ import annotations

import html
import importlib.util
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import documents
import numpy as np
import pydicom
import pytest
import SimpleITK
from conftest import SAMPLE, one_series
from documents import ROOT
from synthetic import write_case, write_series
from typer.testing import CliRunner

import itk_roundtrip as rt
from itk_roundtrip import rules
from itk_roundtrip.cli import app
from itk_roundtrip.itk_io.filters import parse_filter
from itk_roundtrip.processes import Workers
from itk_roundtrip.verify import checks


def pet(folder: Path) -> None:
    """A slope for each slice."""
    slopes = ["0.731", "1.264", "2.37", "1.9"]
    attributes = {"SeriesDescription": "PET of noise"}
    write_series(folder / "pet", modality="PT", bits_stored=15, slopes=slopes, attributes=attributes)


def study(folder: Path) -> None:
    """A CT in two exports, a CT with a gap, and an MR of two echoes."""

    def write(name: str, number: str, description: str, **options: Any) -> None:
        attributes = {"SeriesDescription": description, "SeriesNumber": number}
        write_series(folder / "study" / name, attributes=attributes, **options)

    write("ct", "2", "Thorax 5 mm", seed=1)
    write("ct-again", "2", "Thorax 5 mm", seed=1, transfer_syntax="implicit")
    write("lung", "3", "Thorax lung", seed=3, slices=6, geometry="gap")
    write("mr", "5", "T2 two echoes", seed=2, modality="MR", geometry="echoes")


PAGES: dict[str, Callable[[Path], None]] = {
    "how-to/archive.md": lambda _: None,
    "how-to/audit.md": lambda _: None,
    "how-to/ct-median.md": lambda _: None,
    "how-to/deidentified.md": lambda _: None,
    "how-to/pet.md": pet,
    "how-to/python.md": lambda _: None,
    "how-to/several-series.md": study,
    "how-to/slicer.md": lambda _: None,
    "reference/processing.md": lambda _: None,
}
"""Pages whose blocks run, and what makes the series that they need beside the sample series."""


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: Workers, auditors: Workers) -> Iterator[Path]:
    """A folder that looks like a clone, as far as the pages see it; the workers that are lent are in it, too."""
    (tmp_path / "data").symlink_to(ROOT / "data")
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    for pool in (workers, auditors):
        pool.call(os.chdir, tmp_path)
    yield tmp_path
    for pool in (workers, auditors):
        pool.call(os.chdir, ROOT)


@pytest.mark.usefixtures("_lent")
@pytest.mark.parametrize("page", PAGES)
def test_blocks_run_and_print_what_the_page_shows(page: str, clone: Path) -> None:
    """They follow each other, as a reader would run them."""
    PAGES[page](clone)
    steps = documents.steps((ROOT / "docs" / page).read_text(), clone)
    for step, printed in zip(steps, documents.outputs(steps, page), strict=True):
        if step.shown is not None:
            assert documents.lines(printed) == documents.lines(step.shown), f"block at line {step.line}"


def test_every_how_to_page_runs() -> None:
    """A page whose commands nobody runs is soon wrong; the list of the pages runs nothing."""
    pages = {f"how-to/{file.name}" for file in (ROOT / "docs" / "how-to").glob("*.md")}
    assert pages - {"how-to/index.md", "how-to/orthanc.md"} <= set(PAGES)  # the last one in test_others.py, if it can


def test_picture_is_small() -> None:
    assert 10_000 < (ROOT / "docs" / "median.png").stat().st_size < 200_000


def table(name: str, page: str) -> str:
    text = (ROOT / "docs" / page).read_text()
    shown = re.search(rf"<!-- {name} -->\n(.*?)\n?<!-- /{name} -->", text, re.S)
    assert shown is not None
    return shown[1]


@pytest.mark.parametrize(
    ("name", "page", "made"),
    [
        ("rules", "reference/rules.md", rules.as_markdown),
        ("processed", "reference/processing.md", rules.processed_as_markdown),
        ("checks", "reference/checks.md", checks.as_markdown),
    ],
)
def test_tables_are_those_of_the_code(name: str, page: str, made: Callable[[], str]) -> None:
    """A rule or check that a report names must be explained."""
    assert table(name, page) == made()


# ------------------------------------------------------------------------------------------- the site


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    """What makes pages of the site; it needs nothing of the extra ``docs`` to be imported."""
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "mkdocs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_line_is_generated_from_its_help(hooks: ModuleType) -> None:
    """Every command and every option that ``--help`` shows stands on the page, each with the same words."""
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text()
    assert page.count(hooks.COMMANDS) == 1
    generated = html.unescape(hooks.commands_as_markdown())
    sections = dict(re.findall(r"^## `itk-roundtrip (\w+)`\n(.*?)(?=^## |\Z)", generated, re.M | re.S))
    helps = {name: CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "300"}).stdout for name in sections}
    overview = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "300"}).stdout
    assert list(sections) == re.findall(r"^│ (\w+) ", overview.partition("─ Commands ─")[2], re.M)
    for name, help_text in helps.items():
        rows = [re.split(r"\s{2,}", line.strip("│ ")) for line in help_text.splitlines() if line.startswith("│ --")]
        assert len(rows) >= 2
        for option, *_, words in ([cell for cell in row if not cell.startswith("[")] for row in rows):
            said = re.escape(re.sub(r" \[.*\]$", "", words))
            assert re.search(rf"^\* `.*{option}\b.*`: {said}", sections[name], re.M), (name, option)


def test_all_public_names_are_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text()
    assert sorted(re.findall(r"^::: itk_roundtrip\.(\w+)$", page, re.M)) == sorted(rt.__all__)


def test_links_of_the_repository_become_those_of_the_site(hooks: ModuleType) -> None:
    assert hooks.link_on_site("docs/median.png", "index.md") == "median.png"
    assert hooks.link_on_site("../../benchmarks/README.md", "explanation/performance.md") == "../project/benchmarks.md"
    assert hooks.link_on_site("../docs/tutorial.ipynb", "project/benchmarks.md") == "../tutorial.md"
    assert hooks.link_on_site("reference/losses.md", "tutorial.md") == "reference/losses.md"


def test_links_between_pages_lead_to_files() -> None:
    """As the repository shows them; those of the site are looked at when it is built."""
    for file in (ROOT / "docs").rglob("*.md"):
        text = re.sub(r"^```.*?^```", "", file.read_text(), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)\s:#]+)(?:#[^)]*)?\)", text):
            assert (file.parent / target).exists(), (file, target)


# ------------------------------------------------------------------------------------------- the table of values


def sample(folder: Path) -> None:
    """Put four slices of the sample series into a folder."""
    folder.mkdir()
    for number in range(11, 15):
        shutil.copy(SAMPLE / f"CT{number:04}.dcm", folder)


Array = np.ndarray[Any, Any]
KINDS: dict[str, Callable[[Path], object]] = {
    "CT, 12 bits: slope 1, intercept -1024": sample,
    "MR, 12 bits: no slope": lambda folder: write_series(folder, modality="MR", bits_stored=12),
    "PET, 16 bits signed: a slope for each slice": lambda folder: write_case("pet_slopes_per_slice", folder),
    "RT Dose, 16 bits: scaling 1.02609e-05": lambda folder: write_case("rtdose_sf", folder),
    "RGB, 8 bits": lambda folder: write_case("rgb", folder),
}
OPERATIONS: dict[str, tuple[Callable[[Array], Array] | str, dict[str, Any]]] = {
    "identity": (lambda values: values, {}),
    "median, radius 1": ("median:radius=1", {}),
    "Gaussian, sigma 1 mm": ("gaussian:sigma_mm=1", {}),
    "x 0.37": (lambda values: values * np.float32(0.37), {}),
    "x 0.37, `max_error` 2 % of a slope": (lambda values: values * np.float32(0.37), {"max_error": 0.02}),
    "x 1000 + 70000": (lambda values: values.astype(np.float64) * 1000 + 70000, {}),
}


def filtered(volume: rt.Volume, name: str) -> Array:
    image = SimpleITK.GetImageFromArray(np.array(volume.array_zyx), isVector=volume.array_zyx.ndim == 4)
    image.SetSpacing(volume.as_read.geometry[3:6] if volume.as_read else ())
    result: Array = SimpleITK.GetArrayFromImage(parse_filter(name)(image))
    return result


def scale(dataset: pydicom.Dataset) -> tuple[str, str]:
    """Return the texts of slope and intercept of a data set, wherever they stand."""
    mapping = [item for item in dataset.get("RealWorldValueMappingSequence", []) if item.LUTLabel == "ITK round trip"]
    if mapping:
        return f"{mapping[0].RealWorldValueSlope}", f"{mapping[0].RealWorldValueIntercept}"
    slope = dataset.get("RescaleSlope", dataset.get("DoseGridScaling", ""))
    return str(slope), str(dataset.get("RescaleIntercept", ""))


def row(volume: rt.Volume, operation: str, folder: Path) -> str:
    """Return a row of the table: what becomes of the values of a volume."""
    apply, options = OPERATIONS[operation]
    values = filtered(volume, apply) if isinstance(apply, str) else apply(np.array(volume.array_zyx))
    source = pydicom.dcmread(volume.planes[0].instance.path)
    step = float(scale(source)[0] or 1)
    if options:
        options = {"max_error": options["max_error"] * step}
    try:
        result = rt.write_series(rt.derive(volume, image=values, description="x", **options), folder)
    except rt.UnsupportedSeriesError:
        return f"| {operation} | refused | | |"
    figures = result.quantisation
    assert figures is not None
    written = pydicom.dcmread(folder / f"derived_{volume.planes[0].instance.name}")
    sign = {0: "", 1: " signed"}[written.PixelRepresentation]
    bits = "kept" if written.BitsStored == source.BitsStored else f"{written.BitsStored}{sign}"
    scales = "kept" if scale(written) == scale(source) else ", ".join(filter(None, scale(written)))
    return f"| {operation} | {bits} | {scales} | {figures.max_error:.3g} |"


@pytest.fixture(scope="module")
def values_table(tmp_path_factory: pytest.TempPathFactory) -> str:
    lines = ["| operation | Bits Stored | slope, intercept | largest error |", "|---|---|---|---|"]
    for kind, make in KINDS.items():
        folder = tmp_path_factory.mktemp("kind")
        make(folder / "source")
        volume = rt.read_series(one_series(folder / "source"))
        lines.append(f"| **{kind}** | | | |")
        lines += [row(volume, operation, folder / str(index)) for index, operation in enumerate(OPERATIONS)]
    return "\n".join(lines)


def test_table_of_values_is_measured(values_table: str) -> None:
    """What is written for each kind of image and operation."""
    assert table("values", "reference/processing.md") == values_table
