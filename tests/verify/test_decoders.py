"""Decoders: where pydicom has none, SimpleITK must read the same values; where two disagree, nothing is proven."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import uid
from pydicom.pixels.decoders.base import Decoder
from rich.console import Console
from synthetic import CASES, case_values, is_available, write_case

from itk_roundtrip import verify_series
from itk_roundtrip.show.report import verify_table
from itk_roundtrip.verify.audit import Request, compare_files
from itk_roundtrip.verify.findings import Report
from itk_roundtrip.verify.stored import pixels, stored_values

pytestmark = pytest.mark.usefixtures("_lent")

_LOSSLESS = ("rle", "jpeg_ls", "jpeg_lossless", "jpeg_lossless_14", "j2k")
COMPRESSED = [
    name
    for name, case in CASES.items()
    if case.keywords.get("transfer_syntax") in _LOSSLESS and case.expected("copy") == "exact" and case.path != "source"
    # RLE is decoded by pydicom itself; YBR is not decoded to the same colours by both
    and case.keywords.get("transfer_syntax") != "rle" and not str(case.keywords.get("photometric")).startswith("YBR")
]  # fmt: skip


@pytest.mark.parametrize("name", COMPRESSED)
def test_simpleitk_decodes_what_pydicom_does(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not is_available(name):
        pytest.skip("no encoder for this transfer syntax")
    for file in write_case(name, tmp_path)[:1]:
        expected, by = stored_values(pixels(pydicom.dcmread(file)))
        assert by == "pydicom"
        with monkeypatch.context() as patch:
            patch.setattr(Decoder, "is_available", False)
            values, by = stored_values(pixels(pydicom.dcmread(file)))
        assert by == "SimpleITK"
        np.testing.assert_array_equal(values, expected)


REDUCED = ("jpeg_lossless_reduced", "jpeg_lossless_reduced_u8", "rgb_jpeg_lossless_reduced")
PLANAR = ("rgb_jpeg_lossless_planar", "rgb_j2k_planar")


def _write_uncompressed(files: list[Path], values: list[NDArray[np.int64]], folder: Path) -> Path:
    """Write copies of compressed files that hold these values, colour by pixel."""
    folder.mkdir(exist_ok=True)
    for file, words in zip(files, values, strict=True):
        dataset = pydicom.dcmread(file)
        bits = dataset.BitsAllocated
        dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        dataset.PixelData = words.astype(f"<u{bits // 8}").tobytes()
        dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
        dataset["PixelData"].is_undefined_length = False
        if dataset.SamplesPerPixel > 1:
            dataset.PlanarConfiguration = 0
        dataset.save_as(folder / file.name)
    return folder


def _as_pydicom_decodes(files: list[Path]) -> list[NDArray[np.int64]]:
    datasets = [pydicom.dcmread(file) for file in files]
    return [dataset.pixel_array.astype(np.int64) for dataset in datasets]


@pytest.mark.parametrize("name", REDUCED)
def test_a_decompression_on_which_decoders_disagree_is_not_judged(name: str, tmp_path: Path) -> None:
    files = write_case(name, tmp_path / "source")
    right, clamped = case_values(name), _as_pydicom_decodes(files)
    assert any(np.any(one.reshape(other.shape) != other) for one, other in zip(clamped, right, strict=True))
    for values, by, not_by in ((right, "GDCM", "pylibjpeg"), (clamped, "pylibjpeg", "GDCM")):
        written = _write_uncompressed(files, values, tmp_path / by)
        report = verify_series(tmp_path / "source", written)
        assert report.verdict == "pass"
        (finding,) = (one for one in report.findings if one.severity != "info")
        assert (finding.check, finding.severity, finding.count) == ("PIX-02", "warning", 4)
        before, after = finding.message.split(" reads, ")
        assert finding.message.startswith("not judged")
        assert (by in before, not_by in after) == (True, True)
        assert all(pair.pixels == 0 for pair in report.pairs)
        assert "equal" not in _shown(report)


def _shown(report: Report) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(verify_table(report))
    return capture.get()


@pytest.mark.parametrize("name", REDUCED)
def test_values_that_no_decoder_reads_are_wrong(name: str, tmp_path: Path) -> None:
    files = write_case(name, tmp_path / "source")
    wrong = case_values(name)
    for values in wrong:
        values.flat[7] ^= 1
    report = verify_series(tmp_path / "source", _write_uncompressed(files, wrong, tmp_path / "written"))
    errors = [one for one in report.findings if one.severity == "error"]
    assert [(one.check, one.count) for one in errors] == [("PIX-02", len(files))]
    assert re.match("1 of .* by at most 1", errors[0].message)  # off what the nearest decoder reads
    assert "pydicom with pylibjpeg" in errors[0].message


@pytest.mark.parametrize("name", PLANAR)
def test_planar_configuration_of_a_stream_means_nothing(name: str, tmp_path: Path) -> None:
    files = write_case(name, tmp_path / "source")
    right = _write_uncompressed(files, case_values(name), tmp_path / "right")
    report = verify_series(tmp_path / "source", right)
    assert report.verdict == "pass"
    assert not [one for one in report.findings if one.severity != "info"]
    scrambled = _write_uncompressed(files, _as_pydicom_decodes(files), tmp_path / "scrambled")
    assert verify_series(tmp_path / "source", scrambled).verdict == "fail"


@pytest.mark.parametrize("odd", ["pylibjpeg", "pyjpegls"])
def test_a_third_decoder_settles_it(odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JPEG-LS has three decoders here: one that errs is named; it fails nothing right and passes nothing wrong."""
    name = "jpeg_ls_u12"
    source, right = write_case(name, tmp_path / "source")[0], case_values(name)[:1]
    decode = Decoder.as_array

    def err(decoder: Decoder, dataset: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
        words, meta = decode(decoder, dataset, **options)
        words = words.copy()
        words.flat[3] ^= options["decoding_plugin"] == odd
        return words, meta

    monkeypatch.setattr(Decoder, "as_array", err)
    wrong = [values.copy() for values in right]
    wrong[0].flat[3] ^= 1
    for values, severity in ((right, ""), (wrong, "error")):
        written = _write_uncompressed([source], values, tmp_path / f"written{severity}") / source.name
        request = Request(source, written, source.name, source.name, "copy", second_opinion=True)
        told = [one for one in compare_files(request).findings if one.check == "PIX-02"]
        assert [one.severity for one in told if one.severity != "info"] == [severity] * bool(severity)
        named = [one.message for one in told if one.severity == "info"]
        assert all(f"pydicom with {odd} reads others" in message for message in named)
        assert named or odd == "pyjpegls"  # not asked, where the two before it agree
