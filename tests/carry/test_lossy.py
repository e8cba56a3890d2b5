"""What was lost by a compression is what its streams say, and values that it made beyond Bits Stored."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom
import pytest
import SimpleITK
from conftest import Run, Verify
from numpy.typing import NDArray
from pydicom import uid
from pydicom.pixels.decoders.base import Decoder
from pydicom.pixels.utils import pixel_array
from synthetic import CASES, is_available, write_case, write_series

from itk_roundtrip import UnsupportedSeriesError, derive, find_series, read_series
from itk_roundtrip import write_series as write_series_of
from itk_roundtrip.rules import is_lossy
from itk_roundtrip.verify.stored import pixels, stored_values

LOSSY = {
    "stream_lossy_70": "ISO_10918_1", "stream_lossy_57": "ISO_10918_1", "stream_lossy_70_fragments": "ISO_10918_1",
    "stream_lossy_80": "ISO_14495_1", "stream_lossy_81_last": "ISO_14495_1", "stream_lossy_90": "ISO_15444_1",
    "stream_lossy_90_last": "ISO_15444_1", "stream_lossy_201": "ISO_15444_1",
}  # fmt: skip
"""Cases by Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1)."""
LOSSLESS = ["stream_lossless_81", "stream_lossless_50", "stream_lossless_51", "j2k_lossless_91_unsaid"]


def needs(name: str) -> None:
    if not is_available(name):
        pytest.skip("no encoder for this transfer syntax")


def told(report: Any, severity: str = "error") -> set[tuple[str, str]]:
    return {(one.check, one.tag) for one in report.findings if one.severity == severity and not one.inherited}


@pytest.mark.parametrize("name", LOSSY)
def test_find_tells_lossy_streams(name: str, tmp_path: Path) -> None:
    needs(name)
    files = write_case(name, tmp_path)
    (series,) = find_series(tmp_path)
    assert all(one.is_lossy for one in series.instances)
    found = [one for one in series.irregularities if one.kind == "lossy-stream"]
    contradicts = CASES[name].keywords.get("meta") is not None
    assert [sorted(one.files) for one in found] == [sorted(file.name for file in files)] * contradicts


@pytest.mark.parametrize("name", LOSSLESS)
def test_a_lossless_stream_is_not_called_lossy(name: str, run: Run, tmp_path: Path) -> None:
    needs(name)
    write_case(name, tmp_path / "source")
    (series,) = find_series(tmp_path / "source")
    assert not any(one.is_lossy for one in series.instances)
    assert not any(one.kind == "lossy-stream" for one in series.irregularities)
    run(tmp_path / "source", tmp_path / "written")
    for file in (tmp_path / "written").iterdir():
        written = pydicom.dcmread(file)
        assert "LossyImageCompression" not in written
        assert "decoded by" not in written.DerivationDescription


@pytest.mark.parametrize("name", LOSSY)
def test_the_method_is_that_of_the_stream(name: str, run: Run, verify: Verify, tmp_path: Path) -> None:
    needs(name)
    write_case(name, tmp_path / "source")
    run(tmp_path / "source", tmp_path / "written")
    for file in (tmp_path / "written").iterdir():
        written = pydicom.dcmread(file)
        assert (written.LossyImageCompression, written.LossyImageCompressionMethod) == ("01", LOSSY[name])
        assert written.LossyImageCompressionRatio > 1
        if name == "stream_lossy_80":
            wanted = "lossy JPEG-LS in JPEG-LS Lossless Image Compression decoded by"
            assert wanted in written.DerivationDescription
    report = verify(tmp_path / "source", tmp_path / "written", dciodvfy=True)
    assert report.verdict == "pass", report.findings


@pytest.mark.parametrize("name", LOSSY)
def test_verify_judges_by_the_stream(name: str, run: Run, verify: Verify, tmp_path: Path) -> None:
    """Whoever decodes a lossy stream must say so in a derived series, and must not call it a copy."""
    needs(name)
    write_case(name, tmp_path / "source")
    shutil.copytree(tmp_path / "source", tmp_path / "same")
    report = verify(tmp_path / "source", tmp_path / "same")
    assert report.verdict == "pass", report.findings
    assert {one.check for one in report.findings if one.inherited} >= {"LOS-01"}
    run(tmp_path / "source", tmp_path / "written")
    for file in sorted((tmp_path / "written").iterdir()):
        written = pydicom.dcmread(file)
        del written.LossyImageCompression
        written.save_as(file)
    assert ("LOS-01", "(0028,2110)") in told(verify(tmp_path / "source", tmp_path / "written", identity="derived"))
    if CASES[name].path == "itk":
        native = tmp_path / "native"
        native.mkdir()
        for file in sorted((tmp_path / "source").iterdir()):
            dataset = pydicom.dcmread(file)
            dataset.decompress(generate_instance_uid=False)
            dataset.save_as(native / file.name)
        assert ("LOS-01", "(0002,0010)") in told(verify(tmp_path / "source", native, identity="copy"))


def test_a_copy_compressed_with_loss_under_a_lossless_syntax_fails(verify: Verify, tmp_path: Path) -> None:
    needs("stream_lossy_80")
    lossy = CASES["stream_lossy_80"].keywords
    write_series(tmp_path / "written", **lossy)
    write_series(tmp_path / "source", **{**lossy, "transfer_syntax": "jpeg_ls"})
    assert ("LOS-01", "(0002,0010)") in told(verify(tmp_path / "source", tmp_path / "written", identity="copy"))


@pytest.mark.parametrize(
    ("syntax", "said", "stream", "lossy"),
    [
        (uid.JPEGLSLossless, "", True, True), (uid.JPEGLSLossless, "00", True, True),
        (uid.JPEGLSLossless, "01", False, False), (uid.JPEGLSLossless, "01", None, False),
        (uid.JPEGLSNearLossless, "", False, False), (uid.JPEGLSNearLossless, "01", False, True),
        (uid.JPEGLSNearLossless, "00", None, True), (uid.JPEGBaseline8Bit, "", False, False),
        (uid.JPEG2000, "00", True, True), (uid.JPEG2000, "", False, False), (uid.JPEG2000, "", None, True),
        (uid.JPEG2000, "00", None, False), (uid.JPEG2000MCLossless, "", True, True), (uid.HTJ2K, "", False, False),
        (uid.ExplicitVRLittleEndian, "01", None, False),
    ],
)  # fmt: skip
def test_what_is_lossy(syntax: str, said: str, stream: bool | None, lossy: bool) -> None:
    assert is_lossy(syntax, said, stream) is lossy


# --------------------------------------------------------------------------------------- beyond Bits Stored

CLIPPED = [
    name
    for name, case in CASES.items()
    if name.startswith("beyond_") and (case.path, case.copy_path) == ("itk", "source")
]
KEPT = {
    "beyond_j2k_203": "GDCM has no decoder",
    "beyond_overlay": "an overlay beside the stored values",
    "beyond_allocated": "more bits than are allocated",
    "beyond_mixed_frames": "compressed with loss and without",
    "beyond_sign_denied": "signed values, which its header denies",
}


def decoded(file: Path) -> NDArray[np.int64]:
    """Return what pydicom's decoder gives, beyond the range that the header allows, too."""
    words: NDArray[np.int64] = pixel_array(pydicom.dcmread(file), raw=True, correct_unused_bits=False).astype(np.int64)
    return words


def limits(dataset: pydicom.Dataset) -> tuple[int, int]:
    span = 1 << dataset.BitsStored
    return (-span // 2, span // 2 - 1) if dataset.PixelRepresentation else (0, span - 1)


@pytest.mark.parametrize("name", CLIPPED)
def test_values_beyond_bits_stored_are_clipped_and_told(name: str, run: Run, verify: Verify, tmp_path: Path) -> None:
    """Never wrapped: 4100 of 12 bits is 4095, not 4. And verify fails what is wrapped, or left beyond the range."""
    needs(name)
    files = write_case(name, tmp_path / "source")
    (series,) = find_series(tmp_path / "source")
    assert "lossy-range" in {one.kind for one in series.irregularities}
    result = run(tmp_path / "source", tmp_path / "written")
    assert any("decoded values beyond these are clipped" in one for one in result.warnings)
    beyond = 0
    outputs = sorted((tmp_path / "written").iterdir())
    for file, output in zip(files, outputs, strict=True):
        source, written = decoded(file), pydicom.dcmread(output)
        expected = np.clip(source, *limits(written))
        beyond += np.count_nonzero(expected != source)
        assert written.BitsStored == pydicom.dcmread(file).BitsStored
        assert np.abs(written.pixel_array.astype(np.int64) - expected).max() <= 1
        assert f"values clipped to {written.BitsStored} bits" in written.DerivationDescription
        assert "unchanged" not in written.DerivationDescription
    assert beyond
    report = verify(tmp_path / "source", tmp_path / "written")
    assert report.verdict == "pass", report.findings
    assert any(one.severity == "info" and "lie beyond Bits Stored" in one.message for one in report.findings)
    for wrapped in (True, False):
        for file, output in zip(files, outputs, strict=True):
            written, words = pydicom.dcmread(output), decoded(file)
            low, high = limits(written)
            words = (words - low) % (high - low + 1) + low if wrapped else words
            written.DerivationDescription = "decoded by GDCM; stored values unchanged"
            written.PixelData = words.astype(f"<u{written.BitsAllocated // 8}").tobytes()
            written.save_as(output)
        report = verify(tmp_path / "source", tmp_path / "written")
        assert report.verdict == "fail"
        assert "PIX-02" in {check for check, _ in told(report)}


@pytest.mark.parametrize("backend", ["itk", "simpleitk"])
@pytest.mark.parametrize("name", CLIPPED)
def test_a_volume_has_no_values_beyond(name: str, backend: Literal["itk", "simpleitk"], tmp_path: Path) -> None:
    needs(name)
    files = write_case(name, tmp_path)
    volume = read_series(find_series(tmp_path)[0], backend=backend)
    parts, slopes = [], [1.0]
    for file in files:
        dataset = pydicom.dcmread(file)
        words = decoded(file).reshape(-1, *volume.array_zyx.shape[1:])
        for index, frame in enumerate(np.clip(words, *limits(dataset))):
            scale = dataset
            if "PerFrameFunctionalGroupsSequence" in dataset:
                own = dataset.PerFrameFunctionalGroupsSequence[index], dataset.SharedFunctionalGroupsSequence[0]
                (scale,) = next(filter(None, (one.get("PixelValueTransformationSequence") for one in own)))
            slopes.append(float(scale.get("RescaleSlope") or 1))
            parts.append(frame[np.newaxis] * slopes[-1] + float(scale.get("RescaleIntercept") or 0))
    expected = np.concatenate(parts)
    assert np.abs(volume.array_zyx - expected).max() <= max(slopes) * 1.001  # decoders of lossy streams differ by one
    assert volume.array_zyx.max() == pytest.approx(expected.max(), rel=1e-6)
    held = np.asarray(SimpleITK.GetArrayFromImage(volume.image) if backend == "simpleitk" else volume.image)
    assert np.array_equal(held, volume.array_zyx)


@pytest.mark.parametrize("name", KEPT)
def test_a_range_that_nobody_knows_is_not_guessed(name: str, run: Run, tmp_path: Path) -> None:
    needs(name)
    write_case(name, tmp_path / "source")
    result = run(tmp_path / "source", tmp_path / "written")
    assert KEPT[name] in " ".join(result.path_reasons)
    with pytest.raises(UnsupportedSeriesError, match=KEPT[name]):
        read_series(find_series(tmp_path / "source")[0])


@pytest.mark.parametrize(
    "name", ["beyond_jpeg_ls", "beyond_jpeg_ls_signed", "beyond_j2k_mono1", "beyond_jpeg_extended"]
)
def test_gdcm_alone_judges_the_same(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users need not install pydicom's decoders, and GDCM wraps what its header does not allow."""
    needs(name)
    for file in write_case(name, tmp_path):
        expected = stored_values(pixels(pydicom.dcmread(file)))[0].astype(np.int64)
        with monkeypatch.context() as context:
            context.setattr(Decoder, "is_available", False)
            values, by = stored_values(pixels(pydicom.dcmread(file)))
        assert by == "SimpleITK"
        assert np.abs(values.astype(np.int64) - expected).max() <= 1


@pytest.mark.parametrize("name", ["beyond_lossless", "beyond_lossless_ls"])
def test_bits_beside_lossless_values_are_no_values(name: str, tmp_path: Path) -> None:
    needs(name)
    files = write_case(name, tmp_path)
    (series,) = find_series(tmp_path)
    assert not series.instances[0].bits_beyond
    low, high = limits(pydicom.dcmread(files[0]))
    words = decoded(files[0])
    assert words.max() > high
    values = stored_values(pixels(pydicom.dcmread(files[0])))[0]
    assert np.array_equal(values.ravel(), (words.ravel() - low) % (high - low + 1) + low)


@pytest.mark.parametrize("name", ["jpeg_baseline", "j2k_lossy_rgb"])
def test_a_small_change_of_lossy_pixels_is_a_change(name: str, tmp_path: Path) -> None:
    """Not taken for a difference between decoders, however little it is."""
    needs(name)
    write_case(name, tmp_path / "source")
    volume = read_series(find_series(tmp_path / "source")[0])
    values = np.array(volume.array_zyx).astype("i2")
    values += np.where(values < 255, 1, -1).astype("i2")
    result = write_series_of(derive(volume, image=values, description="x", allow_irregular=True), tmp_path / "out")
    assert result.quantisation is not None
    assert (result.quantisation.max_error, result.quantisation.changed) == (0, values.size)
    assert all(
        "stored values unchanged" not in pydicom.dcmread(file).DerivationDescription
        for file in (tmp_path / "out").iterdir()
    )


@pytest.mark.parametrize("history", ["stream", "header"])
@pytest.mark.parametrize("way", ["neighbours", "all", "new grid"])
def test_what_a_neighbour_lost_is_said(way: str, history: str, tmp_path: Path) -> None:
    """Of each slice to which a lossy one contributed, with its ratio and method, and of no other."""
    last = {"transfer_syntax": "jpeg_baseline"} if history == "stream" else {"lossy_history": "one"}
    write_series(tmp_path / "source", slices=5, bits_allocated=8, bits_stored=8, last_slice=last)
    volume = read_series(find_series(tmp_path / "source")[0])
    image = volume.image
    geometry = np.array(image.GetOrigin()), np.array(image.GetSpacing())
    values: Any = SimpleITK.GetImageFromArray(np.array(volume.array_zyx).astype("f4"))
    values.SetOrigin(geometry[0].tolist())
    values.SetSpacing(geometry[1].tolist())
    options: dict[str, Any] = {"footprint_slices": {"neighbours": 1, "all": None, "new grid": 0}[way]}
    if way == "new grid":
        options["regrid"] = True
        values = SimpleITK.Resample(
            values, values.GetSize(), SimpleITK.Transform(), SimpleITK.sitkLinear,
            (geometry[0] - [0, 0, geometry[1][2] / 2]).tolist(), values.GetSpacing(),
        )  # fmt: skip
    else:
        values = values + 1
    write_series_of(derive(volume, image=values, description="x", **options), tmp_path / "out")
    datasets = [pydicom.dcmread(file) for file in (tmp_path / "out").iterdir()]
    datasets.sort(key=lambda dataset: dataset.ImagePositionPatient[2])
    expected = {"neighbours": [0, 0, 0, 1, 1], "all": [1] * 5, "new grid": [0, 0, 0, 0, 1]}[way]
    assert [dataset.get("LossyImageCompression") == "01" for dataset in datasets] == expected
    for dataset in datasets:
        if "LossyImageCompression" in dataset:
            assert dataset.LossyImageCompressionMethod == "ISO_10918_1"
            assert dataset.LossyImageCompressionRatio == datasets[-1].LossyImageCompressionRatio
