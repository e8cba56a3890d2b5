"""Results as notebooks and scripts see them: one line, HTML with a picture, the JSON of the command line, a pickle."""

from __future__ import annotations

import base64
import io
import json
import pickle
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from conftest import SAMPLE, one_series
from PIL import Image
from synthetic import CASES, is_available, write_case, write_series
from typer.testing import CliRunner

import itk_roundtrip as rt
from itk_roundtrip.cli import app
from itk_roundtrip.losses import UIDS

NAME = "Mustermann^Erika"
LOSSES = rt.LossTable(
    "in",
    "1.2",
    3,
    rt.Versions("5.4.7", "3.2.5", "2.5.7", "5.4.8", "3.2.5"),
    (
        rt.IdiomLosses(
            "ITK",
            "written",
            slices=3,
            compared=3,
            attributes=(rt.Loss("lost", "(0008,1140)", "ReferencedImageSequence", 3),),
            uids={keyword: {"kept": 3} for keyword in UIDS},
        ),
    ),
)
"""What `find_losses` returns, which takes seconds."""


class Parsed(HTMLParser):
    """HTML whose tags are balanced, without anything that is run or loaded."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert tag not in ("script", "style", "link", "iframe")
        assert not {"href", "onclick", "onload"} & given.keys()
        if tag == "img":
            assert (given["src"] or "").startswith("data:image/png;base64,")
            assert given["alt"]
            self.pictures.append(given)
        else:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


def html(value: Any) -> Parsed:
    return Parsed(value._repr_html_())


def picture(value: Any) -> tuple[Any, tuple[int, int]]:
    """Return the pixels of the only picture, and its width and height on the page."""
    (given,) = html(value).pictures
    image = Image.open(io.BytesIO(base64.b64decode((given["src"] or "").partition(",")[2])))
    shown = re.search(r"width:(\d+)px;height:(\d+)px", given["style"] or "")
    assert shown is not None
    return np.asarray(image), (int(shown[1]), int(shown[2]))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One of each class that shows itself, of the sample series under another name of its patient."""
    folder = tmp_path_factory.mktemp("results")
    (folder / "source").mkdir()
    for number in range(11, 15):
        dataset = pydicom.dcmread(SAMPLE / f"CT{number:04}.dcm")
        dataset.PatientName, dataset.SeriesDescription = NAME, "<b>Lung</b> & heart"
        dataset.save_as(folder / "source" / f"IM{number}.dcm")
    found = rt.find_series(folder / "source")
    result = rt.roundtrip(found[0], folder / "out", jobs=1)
    assert result.report is not None
    return {
        "SeriesList": found,
        "Series": found[0],
        "Volume": rt.read_series(found[0]),
        "RoundtripResult": result,
        "Report": rt.verify_series(folder / "source", folder / "out", jobs=1),
        "ExportResult": rt.export_volume(found[0], folder / "image.nrrd"),
        "LossTable": LOSSES,
    }


SHOWN = ["SeriesList", "Series", "Volume", "RoundtripResult", "Report", "ExportResult", "LossTable"]


@pytest.mark.parametrize("kind", SHOWN)
def test_a_line_and_a_table(kind: str, results: dict[str, Any]) -> None:
    """Neither holds values of the patient: notebooks are sent around."""
    value = results[kind]
    assert type(value).__name__ == kind
    line = repr(value)
    assert line.startswith(f"<{kind} ")
    assert len(line) < 160
    shown = html(value)
    assert "table" in value._repr_html_()
    for text in (line, value._repr_html_()):
        assert "Mustermann" not in text
        assert "\n" not in text.strip() or text is not line
    if kind in ("SeriesList", "Series", "Volume"):
        assert "<b>Lung</b> & heart" in shown.text
    assert len(shown.pictures) == (kind in ("Series", "Volume"))


def test_what_results_hold_are_lines_too(tmp_path: Path) -> None:
    """A list of a thousand of them fits a screen."""
    write_case("enhanced", tmp_path)
    series = one_series(tmp_path)
    volume = rt.read_series(series)
    for value in (series.instances[0], series.slices[1], series.volumes[0], volume.planes[1], series.irregularities[0]):
        assert re.fullmatch(rf"<{type(value).__name__}[ :][^\n]{{2,120}}>", repr(value))


def test_verdict_and_findings_are_shown(results: dict[str, Any], tmp_path: Path) -> None:
    assert "PASS" in html(results["RoundtripResult"]).text
    assert "PASS: 0 errors" in html(results["Report"]).text
    file = next(Path(results["RoundtripResult"].written).iterdir())
    dataset = pydicom.dcmread(file)
    dataset.PatientName = "Other"
    dataset.save_as(tmp_path / file.name)
    report = rt.verify_series(results["Series"], tmp_path, jobs=1)
    shown = html(report).text
    assert "FAIL" in shown
    for finding in report.findings:
        assert finding.severity == "info" or finding.check in shown
    unverified = rt.roundtrip(results["Series"], tmp_path / "itk", headers="itk", jobs=1)
    assert "UNVERIFIED" in html(unverified).text


# -------------------------------------------------------------------------------------------------------- pictures


def both(folder: Path) -> tuple[rt.Series, rt.Volume]:
    series = one_series(folder)
    return series, rt.read_series(series, volume=0)


def test_the_middle_slice_is_shown_in_its_window(results: dict[str, Any]) -> None:
    series = results["Series"]
    dataset = pydicom.dcmread(series.instances[2].path)
    real = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    centre, width = np.ravel(dataset.WindowCenter)[0], np.ravel(dataset.WindowWidth)[0]
    expected = np.clip((real - (centre - width / 2)) / width, 0, 1) * 255
    for value in (series, results["Volume"]):
        pixels, size = picture(value)
        np.testing.assert_allclose(pixels, expected, atol=1)
        assert size == (256, 256)
        assert "slice 3 of 4" in html(value).text


@pytest.mark.parametrize("backend", ["itk", "simpleitk"])
def test_a_picture_has_the_proportions_of_the_patient(backend: Any, tmp_path: Path) -> None:
    """Rows are four times as far apart as columns."""
    write_series(tmp_path, rows=10, columns=20, attributes={"PixelSpacing": r"4\1"})
    series = one_series(tmp_path)
    for value in (series, rt.read_series(series, backend=backend)):
        pixels, size = picture(value)
        assert pixels.shape == (10, 20)
        assert size == (128, 256)


def test_a_picture_has_its_pixel_aspect_ratio(tmp_path: Path) -> None:
    """Where there is no spacing in mm (PS3.3 C.7.6.3.1.7)."""
    write_series(tmp_path, rows=10, columns=20, attributes={"PixelSpacing": None, "PixelAspectRatio": r"4\1"})
    assert picture(one_series(tmp_path))[1] == (128, 256)


def test_monochrome1_is_dark_where_values_are_high(tmp_path: Path) -> None:
    write_case("mono1_ct", tmp_path)
    for value in both(tmp_path):
        pixels = picture(value)[0].astype(float)
        instances = one_series(tmp_path).instances
        stored = pydicom.dcmread(instances[len(instances) // 2].path).pixel_array
        assert np.corrcoef(pixels.ravel(), stored.ravel())[0, 1] < -0.5


@pytest.mark.parametrize("name", ["rgb", "rgb_16", "rgb_planar", "rgb_frames", "ybr"])
def test_colours(name: str, tmp_path: Path) -> None:
    write_case(name, tmp_path)
    series, volume = both(tmp_path)
    first, second = picture(series)[0].astype(int), picture(volume)[0].astype(int)
    assert first.shape == (*volume.array_zyx.shape[1:3], 3)
    np.testing.assert_allclose(first, second, atol=2)


@pytest.mark.parametrize("name", ["enhanced", "rgb_frames_rle", "nm_recon", "rtdose_32_frames"])
def test_the_middle_frame(name: str, tmp_path: Path) -> None:
    """Only that is decoded, and it is the one that the volume has there."""
    write_case(name, tmp_path)
    first, second = (picture(value)[0].astype(float) for value in both(tmp_path))
    np.testing.assert_allclose(first, second, atol=2)


def test_burned_in_names_are_not_shown(tmp_path: Path) -> None:
    write_series(tmp_path, attributes={"BurnedInAnnotation": "YES"})
    for value in both(tmp_path):
        shown = html(value)
        assert shown.pictures == []
        assert "burned-in annotation" in shown.text


def test_a_file_that_is_gone_or_broken(tmp_path: Path) -> None:
    """The table is shown all the same."""
    write_series(tmp_path, slices=3)
    series, volume = both(tmp_path)
    file = series.instances[1].path
    for change in (lambda: file.write_bytes(file.read_bytes()[:300]), file.unlink):
        change()
        assert "No picture: the file cannot be read or decoded" in html(series).text
        assert len(html(volume).pictures) == 1


@pytest.mark.parametrize("name", list(CASES)[::5])
def test_every_kind_shows_itself(name: str, tmp_path: Path) -> None:
    """Without a picture, where there is nothing to see, but never without an answer."""
    if not is_available(name):
        pytest.skip("no encoder for this transfer syntax")
    write_case(name, tmp_path)
    found = rt.find_series(tmp_path)
    html(found)
    for series in found:
        html(series)


# --------------------------------------------------------------------------------------------------------- as data


def command(*words: object) -> Any:
    done = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_result_is_the_json_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    write_series(source, slices=3)
    assert rt.find_series(source).to_dict() == command("find", source)
    run = command("run", source, out, "--jobs", 1)
    assert rt.roundtrip(source, out, jobs=1, overwrite=True).to_dict() == run
    assert rt.verify_series(source, out, jobs=1).to_dict() == command("verify", source, out)
    export = command("export", source, tmp_path / "image.nrrd")
    assert rt.export_volume(source, tmp_path / "image.nrrd", overwrite=True).to_dict() == export
    monkeypatch.setattr("itk_roundtrip.losses.find_losses", lambda *_, **__: LOSSES)
    assert LOSSES.to_dict() == command("losses", source)


@pytest.mark.parametrize("kind", SHOWN)
def test_results_come_out_of_their_pickle(kind: str, results: dict[str, Any]) -> None:
    again = pickle.loads(pickle.dumps(results[kind]))
    assert repr(again) == repr(results[kind])
    assert again._repr_html_() == results[kind]._repr_html_()
    if kind != "Volume":
        assert again == results[kind]


@pytest.mark.parametrize("show", [repr, lambda value: value._repr_html_()])
def test_what_is_empty_shows_itself(show: Callable[[Any], str], tmp_path: Path) -> None:
    assert "no instances" in show(rt.Series("1.2", (), tmp_path))
    (tmp_path / "note.txt").write_text("x")
    assert "1 file left out" in show(rt.find_series(tmp_path))
