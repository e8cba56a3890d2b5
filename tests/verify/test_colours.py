"""Streams that say other colours than Photometric Interpretation: their bytes are kept, and wrong colours are found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from conftest import Run
from numpy.typing import NDArray
from pydicom import uid
from pydicom.pixels.processing import convert_color_space
from synthetic import CASES, write_case

from itk_roundtrip import UnsupportedSeriesError, find_series, read_series, verify_series
from itk_roundtrip.dicom.colours import stated_colours
from itk_roundtrip.verify.findings import Finding

pytestmark = pytest.mark.usefixtures("_lent")

AMBIGUOUS = [name for name in CASES if "_says_r" in name or "_says_ybr" in name]
HARMLESS = ["j2k_rgb_rct", "j2k_rgb_ict"]
IN_ACCORD = ["jpeg_rgb", "jpeg_rgb_adobe", "jpeg_ybr", "jpeg_ybr_420", "jpeg_progressive", "ybr_rct", "j2k_lossy_ict"]
JPEG = [name for name in AMBIGUOUS if name.startswith("jpeg")]


def _contradictions(findings: tuple[Finding, ...]) -> list[Finding]:
    return [one for one in findings if one.check == "PIX-01"]


@pytest.mark.parametrize("name", AMBIGUOUS + HARMLESS)
def test_a_contradiction_is_named(name: str, run: Run, tmp_path: Path) -> None:
    files = write_case(name, tmp_path / "source")
    result = run(tmp_path / "source", tmp_path / "derived")
    report = verify_series(tmp_path / "source", tmp_path / "derived")
    assert report.verdict == "pass"
    (finding,) = _contradictions(report.findings)
    assert (finding.tag, finding.inherited, finding.count) == ("(0028,0004)", True, len(files))
    assert f"Photometric Interpretation {CASES[name].keywords['photometric']}" in finding.message
    series = find_series(tmp_path / "source")[0]
    if name in HARMLESS:
        assert result.path == "itk"
        return
    assert "readers see different colours" in result.path_reasons[0]
    with pytest.raises(UnsupportedSeriesError, match="readers see different colours"):
        read_series(series)


@pytest.mark.parametrize("name", IN_ACCORD)
def test_nothing_is_said_where_stream_and_header_agree(name: str, run: Run, tmp_path: Path) -> None:
    write_case(name, tmp_path / "source")
    assert run(tmp_path / "source", tmp_path / "derived").path == "itk"
    report = verify_series(tmp_path / "source", tmp_path / "derived")
    assert (report.verdict, _contradictions(report.findings)) == ("pass", [])


def test_a_contradiction_that_was_written_is_a_warning(tmp_path: Path) -> None:
    (file, *_) = write_case("jpeg_rgb", tmp_path / "source")
    (tmp_path / "written").mkdir()
    dataset = pydicom.dcmread(file)
    dataset.PhotometricInterpretation = "YBR_FULL"
    dataset.save_as(tmp_path / "written" / file.name)
    (finding,) = _contradictions(verify_series(tmp_path / "source", tmp_path / "written").findings)
    assert (finding.severity, finding.inherited) == ("warning", False)
    assert finding.message == "the JPEG stream says RGB and Photometric Interpretation YBR_FULL"


def _decoded(file: Path, written: Path, values: NDArray[np.int64], photometric: str) -> None:
    """Put decoded pixels into the derived instance that kept compressed ones."""
    dataset = pydicom.dcmread(written)
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.PixelData = values.astype("u1").tobytes()
    dataset["PixelData"].is_undefined_length = False
    dataset["PixelData"].VR = "OB"
    dataset.PhotometricInterpretation, dataset.PlanarConfiguration = photometric, 0
    described = dataset.DerivationDescription.replace("stored values unchanged", "")
    dataset.DerivationDescription = f"{described}JPEG decoded; max error 16 between decoders"
    dataset.save_as(written)


def _other(values: NDArray[np.int64], stated: str) -> NDArray[np.int64]:
    """Return colours that a JPEG says are RGB as YCbCr, or the reverse."""
    spaces = ("RGB", "YBR_FULL") if stated == "RGB" else ("YBR_FULL", "RGB")
    return convert_color_space(values.astype("u1"), *spaces, per_frame=True).astype(np.int64)


@pytest.mark.parametrize("name", JPEG)
def test_wrong_colours_do_not_pass(name: str, run: Run, tmp_path: Path) -> None:
    """What follows the header, not the stream, was transformed twice or not at all; the stream's colours are right."""
    files = write_case(name, tmp_path / "source")
    photometric, says_rgb = CASES[name].keywords["photometric"], "_says_rgb" in name
    for right in (True, False):
        folder = tmp_path / f"decoded-{right}"
        run(tmp_path / "source", folder)
        for file, written in zip(files, sorted(folder.iterdir()), strict=True):
            values = _as_the_stream_holds_them(file)
            transformed = _other(values, "YCbCr")
            # Right is RGB by the stream; wrong what those make of it who follow the header.
            rgb, wrong = (values, transformed) if says_rgb else (transformed, values)
            _decoded(file, written, rgb if right else wrong, "RGB")
        report = verify_series(tmp_path / "source", folder)
        wrong_pixels = [one for one in report.findings if (one.check, one.severity) == ("PIX-02", "error")]
        assert bool(wrong_pixels) == (not right), [one.message for one in wrong_pixels]
        (finding,) = _contradictions(report.findings)
        assert (finding.severity, finding.inherited) == ("warning", False)
        assert f"Photometric Interpretation {photometric}" in finding.message


def _as_the_stream_holds_them(file: Path) -> NDArray[np.int64]:
    dataset = pydicom.dcmread(file)
    words = pydicom.pixels.pixel_array(dataset, raw=True)
    return np.asarray(words).astype(np.int64)


def test_colours_that_a_stream_says() -> None:
    """By libjpeg's rule: JFIF before Adobe before the names of the components."""
    from itk_roundtrip.dicom.codestream import Component, Stream

    def stream(names: bytes = b"\1\2\3", luminance: int = 1, **said: object) -> Stream:
        factors = [(luminance, 1), (1, 1), (1, 1)][: len(names)]
        components = tuple(Component(one, sampling, 8) for one, sampling in zip(names, factors, strict=True))
        return Stream(codec="JPEG", process=0, components=components, **said)  # type: ignore[arg-type]

    said = {
        "": [stream(), stream(b"\0\1\2"), stream(b"\1", jfif=True), Stream()],
        "RGB": [stream(b"RGB"), stream(adobe_transform=0), stream(b"RGB", luminance=2)],
        "YCbCr": [stream(jfif=True), stream(adobe_transform=1), stream(b"RGB", adobe_transform=1),
                  stream(jfif=True, adobe_transform=0), stream(luminance=2)],
    }  # fmt: skip
    assert {name: [stated_colours(one) for one in streams] for name, streams in said.items()} == {
        name: [name] * len(streams) for name, streams in said.items()
    }
