"""The page can be used by everybody, as far as its source tells; benchmarks/accessibility.py asks axe-core."""

from __future__ import annotations

import itertools
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from test_page import Case, InProcess, Parsed, change, finding

from itk_roundtrip.show import notebook, page
from itk_roundtrip.verify.findings import Report

TEXT_CONTRAST, GRAPHICS_CONTRAST = 4.5, 3.0
"""Least contrasts of WCAG 2.2, 1.4.3 and 1.4.11, level AA."""
TEMPLATE = files("itk_roundtrip.show").joinpath("page.html").read_text("utf-8")


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setattr(page, "Workers", InProcess)
    return Case(tmp_path, Report("fail", "", "", "derived", False, "1.2", "1.3", 0, 0, (), (), ()))


@pytest.fixture
def parsed(case: Case) -> Parsed:
    """A page with findings, attributes, pictures, a histogram and slices."""
    values = np.arange(64, dtype=np.uint16).reshape(8, 8)
    case.add(1, values, values + 1)
    return case.parsed(findings=(finding(), finding("warning")), changes=(change("lost"), change("kept")))


def test_language_title_and_landmarks(parsed: Parsed) -> None:
    assert parsed.all("html", lang="en")
    assert parsed.texts["title"].strip()
    assert len(parsed.all("main")) == len(parsed.all("header")) == len(parsed.all("footer")) == 1
    assert parsed.all("nav", **{"aria-label": "Sections"})


def test_headings_leave_no_level_out(parsed: Parsed) -> None:
    levels = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert max(after - before for before, after in itertools.pairwise(levels)) == 1


def test_every_table_has_headers_that_say_of_what(parsed: Parsed) -> None:
    assert len(parsed.all("table")) == len(parsed.all("thead")) == 4
    assert {header.get("scope") for header in parsed.all("th")} == {"col", "row", "rowgroup"}


def test_pictures_and_plots_have_texts(parsed: Parsed) -> None:
    alternatives = [str(picture["alt"]) for picture in parsed.all("img")]
    assert [text for text in alternatives if text] == [
        "source slice 1", "written slice 1",
        "difference of slice 1: 64 of 64 values, written minus source",
    ]  # fmt: skip
    for drawing in parsed.all("svg"):
        assert drawing.get("aria-hidden") == "true" or (drawing.get("role") == "img" and drawing.get("aria-label"))
    assert "The histogram as a table" in parsed.texts["differences"]


def test_keyboard_reaches_everything(parsed: Parsed) -> None:
    """Nothing hides in a tooltip, and what scrolls takes the focus."""
    assert {found["tabindex"] for _, found in parsed.elements if "tabindex" in found} == {"0"}
    assert parsed.all("div", role="region", tabindex="0", **{"aria-label": "Slices"})
    assert not [tag for tag, found in parsed.elements if "title" in found]
    assert "outline: none" not in parsed.source
    assert ":focus-visible { outline: 3px solid var(--info)" in parsed.source


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour, as WCAG defines it."""
    digits = colour.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    values = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_of_black_and_white() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#fff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme: str) -> None:
    blocks = re.findall(r":root \{(.*?)\}", TEMPLATE, re.S)
    light, dark = (dict(re.findall(r"--(\w+): (#\w+);", block)) for block in blocks)
    colours = light if scheme == "light" else light | dark
    for ground in ("back", "panel"):
        for text in ("text", "quiet", "link"):
            assert contrast(colours[text], colours[ground]) >= TEXT_CONTRAST, (text, ground)
        for shape in ("error", "info", "pass", "quiet"):  # a warning has a black sign in it, and its word beside it
            assert contrast(colours[shape], colours[ground]) >= GRAPHICS_CONTRAST, (shape, ground)


@pytest.mark.parametrize("colour", notebook._COLOURS)
def test_contrast_of_words_in_notebooks(colour: str) -> None:
    assert contrast("#fff", notebook._COLOURS[colour]) >= TEXT_CONTRAST


def test_severities_differ_in_shape_and_word_not_in_colour_alone(parsed: Parsed) -> None:
    shapes = re.findall(r'<symbol id="(?:error|warning|info|pass)" (.*?)</symbol>', TEMPLATE)
    assert len(set(shapes)) == 4
    assert [cells[0] for cells in parsed.cells("findings")] == ["error", "warning"]


@pytest.mark.parametrize(
    ("attributes", "proportions"),
    [
        ({"PixelSpacing": [2.0, 0.5]}, 1 / 4),
        ({"PixelSpacing": [0.5, 2.0]}, 4),
        ({"ImagerPixelSpacing": [1.0, 2.0]}, 2),
        ({"PixelAspectRatio": ["4", "3"]}, 3 / 4),
        ({"PixelSpacing": [0.5, 2.0], "PixelAspectRatio": ["4", "3"]}, 4),
        ({"PixelSpacing": [0.0, 2.0]}, 1),
        ({"PixelSpacing": [2.0]}, 1),
        ({}, 1),
    ],
)
def test_pictures_have_the_proportions_of_the_patient(
    case: Case, attributes: dict[str, object], proportions: float
) -> None:
    """Pixels of 0.5 x 2.0 mm are four times as wide as they are high; so is a picture of as many rows as columns."""
    values = np.arange(10_000, dtype=np.uint16).reshape(100, 100)
    case.add(1, values, values + 1, **attributes)
    pictures = [found for found in case.parsed().all("img") if found["alt"]]
    assert len(pictures) == 3
    for picture in pictures:
        assert int(str(picture["width"])) / int(str(picture["height"])) == pytest.approx(proportions, rel=0.02)
        assert f"aspect-ratio:{picture['width']}/{picture['height']};" in str(picture["style"])


def test_pictures_of_functional_groups_have_their_proportions(case: Case) -> None:
    measures = Dataset()
    measures.PixelSpacing = [1.0, 3.0]
    shared = Dataset()
    shared.PixelMeasuresSequence = [measures]
    values = np.arange(600, dtype=np.uint16).reshape(1, 30, 20)
    case.add(1, values, values, SharedFunctionalGroupsSequence=[shared])
    picture = case.parsed().all("img")[0]
    assert (picture["width"], picture["height"]) == ("30", "15")
