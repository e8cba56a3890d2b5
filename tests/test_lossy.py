"""What was lost by a compression is what its streams say, and values that it made beyond Bits Stored."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pydicom
import pytest
from conftest import Run, Verify
from pydicom import uid
from synthetic import CASES, is_available, write_case, write_series

from itk_roundtrip import find_series
from itk_roundtrip.rules import is_lossy

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
