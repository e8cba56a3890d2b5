"""docs/processing.md and docs/python.md are true: their blocks run, and tables are those that the code makes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import documents
import numpy as np
import pydicom
import pytest
import SimpleITK
from conftest import SAMPLE, one_series
from documents import ROOT
from synthetic import write_case, write_series

import itk_roundtrip as rt
from itk_roundtrip import rules
from itk_roundtrip.itk_io.filters import parse_filter

PAGE = (ROOT / "docs" / "processing.md").read_text()


@pytest.mark.usefixtures("_lent")
@pytest.mark.parametrize("page", ["docs/processing.md", "docs/python.md"])
def test_blocks_run_and_print_what_the_page_shows(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They follow each other in a folder that looks like a clone, as far as they see it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    (tmp_path / "out").mkdir()
    steps = documents.steps((ROOT / page).read_text(), tmp_path)
    for step, printed in zip(steps, documents.outputs(steps, page), strict=True):
        if step.shown is not None:
            assert documents.lines(printed) == documents.lines(step.shown), f"block at line {step.line}"


def test_picture_is_small() -> None:
    assert 10_000 < (ROOT / "docs" / "median.png").stat().st_size < 200_000


def table(name: str) -> str:
    shown = re.search(rf"<!-- {name} -->\n(.*?)\n?<!-- /{name} -->", PAGE, re.S)
    assert shown is not None
    return shown[1]


def test_table_of_rules_is_the_one_in_the_code() -> None:
    assert table("processed") == rules.processed_as_markdown()


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
    assert table("values") == values_table
