"""Transfer syntaxes that GDCM or pydicom do not know: carried, kept or refused, and said by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from conftest import Run, Verify
from synthetic import CASES, case_values, write_case, write_series

from itk_roundtrip import RoundtripError, find_series, read_series
from itk_roundtrip.rules import is_lossy
from itk_roundtrip.show.report import series_table, verify_table

UNPACKED = ["plain_frames", "plain_frames_bits", "deflated_frames", "deflated_frames_rgb", "deflated_frames_bits",
            "rle_bits"]  # fmt: skip
UNDECODED = {"jpeg_xl": "JPEG XL Lossless", "jpeg_xl_lossy": "JPEG XL", "video": "MPEG-4 AVC/H.264 High Profile"}
NO_IMAGE = ["jpip", "jpip_deflated", "smpte", "syntax_ge", "private_syntax", "unknown_syntax", "syntax_papyrus"]


@pytest.mark.parametrize("name", UNPACKED)
def test_unpacked_frames_hold_what_went_in(name: str, run: Run, tmp_path: Path) -> None:
    """The order of bits and the start of each frame are not to be judged by whoever unpacks them."""
    write_case(name, tmp_path / "source")
    run(tmp_path / "source", tmp_path / "written", identity="copy")
    for file, values in zip(sorted((tmp_path / "written").iterdir()), case_values(name), strict=True):
        dataset = pydicom.dcmread(file)
        assert dataset.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
        assert np.array_equal(dataset.pixel_array.reshape(values.shape), values)


@pytest.mark.parametrize("identity", ["derived", "copy"])
@pytest.mark.parametrize("name", ["plain_frames", "deflated_frames", "rle_bits", "jpeg_xl", "jpeg_xl_lossy"])
def test_what_was_written_passes(name: str, identity: str, run: Run, verify: Verify, tmp_path: Path) -> None:
    write_case(name, tmp_path / "source")
    run(tmp_path / "source", tmp_path / "written", identity=identity)
    report = verify(tmp_path / "source", tmp_path / "written", dciodvfy=True)
    assert report.verdict == "pass", report.findings


@pytest.mark.parametrize("name", UNPACKED)
def test_another_value_is_found(name: str, run: Run, verify: Verify, tmp_path: Path) -> None:
    write_case(name, tmp_path / "source")
    run(tmp_path / "source", tmp_path / "written")
    file = min((tmp_path / "written").iterdir())
    dataset = pydicom.dcmread(file)
    dataset.PixelData = bytes([dataset.PixelData[0] ^ 1]) + dataset.PixelData[1:]
    dataset.save_as(file)
    report = verify(tmp_path / "source", tmp_path / "written")
    told = [one for one in report.findings if one.severity == "error"]
    assert [one.check for one in told] == ["PIX-02"]
    assert told[0].message.startswith("1 of ")


@pytest.mark.parametrize("name", [*UNPACKED, *UNDECODED, *NO_IMAGE])
def test_the_same_bytes_pass(name: str, verify: Verify, tmp_path: Path) -> None:
    """Whoever copies files must not be told that something is wrong with them, nor that all was looked at."""
    write_case(name, tmp_path / "source")
    shutil.copytree(tmp_path / "source", tmp_path / "written")
    report = verify(tmp_path / "source", tmp_path / "written")
    assert report.verdict == "pass", report.findings
    told = [one for one in report.findings if one.check == "PIX-02"]
    assert bool(told) == (name in UNDECODED)
    assert all("nothing here decodes " + UNDECODED[name] in one.message for one in told)
    if name in UNDECODED:
        from rich.console import Console

        console = Console(record=True, width=200)
        console.print(verify_table(report))
        text = console.export_text()
        assert "not decoded: nothing here decodes" in text
        assert "by their compressed bytes" in text


@pytest.mark.parametrize("name", UNDECODED)
@pytest.mark.parametrize("identity", ["derived", "copy"])
def test_what_was_not_decoded_is_said(name: str, identity: str, run: Run, tmp_path: Path) -> None:
    write_case(name, tmp_path / "source")
    result = run(tmp_path / "source", tmp_path / "written", identity=identity)
    assert result.path == "source"
    assert any(f"nothing here decodes {UNDECODED[name]}" in one for one in result.warnings)


@pytest.mark.parametrize("name", ["plain_frames", "deflated_frames", "rle_bits", "htj2k"])
def test_what_was_decoded_is_not_warned_of(name: str, run: Run, tmp_path: Path) -> None:
    write_case(name, tmp_path / "source")
    assert not any("decode" in one for one in run(tmp_path / "source", tmp_path / "written").warnings)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain_frames", "Encapsulated Uncompressed Explicit VR Little Endian"),
        ("deflated_frames", "Deflated Image Frame Compression"),
        ("jpeg_xl", "JPEG XL Lossless"),
        ("jpeg_xl_recompressed", "JPEG XL JPEG Recompression"),
        ("video", "MPEG-4 AVC/H.264 High Profile / Level 4.1"),
        ("jpip_deflated", "JPIP Referenced Deflate"),
        ("syntax_ge", "GE, private: Implicit VR Little Endian with pixels in Big Endian"),
    ],
)
def test_find_says_the_name(name: str, text: str, tmp_path: Path) -> None:
    from rich.console import Console

    write_case(name, tmp_path)
    found = find_series(tmp_path)
    console = Console(record=True, width=300)
    console.print(series_table(1, found[0]))
    told = console.export_text()
    assert text in told
    assert not any(one.opening_note for one in found[0].instances)


@pytest.mark.parametrize("name", ["deflated_frames_damaged", "plain_frames_short"])
def test_damage_is_called_damage(name: str, run: Run, tmp_path: Path) -> None:
    write_case(name, tmp_path / "source")
    with pytest.raises(RoundtripError, match=r"IM000\d\.dcm is damaged"):
        run(tmp_path / "source", tmp_path / "written")


def test_volume_of_unpacked_frames(tmp_path: Path) -> None:
    write_case("deflated_frames", tmp_path)
    values = np.stack([one[0, :, :, 0] for one in case_values("deflated_frames")])
    assert np.array_equal(read_series(find_series(tmp_path)[0]).array_zyx, values - 1024.0)


@pytest.mark.parametrize(
    ("syntax", "said", "lossy"),
    [
        ("1.2.840.10008.1.2.1.98", "", False),
        ("1.2.840.10008.1.2.8.1", "", False),
        ("1.2.840.10008.1.2.4.110", "", False),
        ("1.2.840.10008.1.2.4.111", "", True),
        ("1.2.840.10008.1.2.4.112", "", True),
        ("1.2.840.10008.1.2.4.112", "00", False),
        ("1.2.840.10008.1.2.4.100.1", "", True),
        ("1.2.840.113619.5.2", "", False),
    ],
)
def test_which_may_have_lost_something(syntax: str, said: str, lossy: bool) -> None:
    assert is_lossy(syntax, said, None) is lossy


def test_compressing_again(run: Run, verify: Verify, tmp_path: Path) -> None:
    """Unpacked frames are native ones: every transfer syntax takes them."""
    write_series(tmp_path / "source", **CASES["deflated_frames_three"].keywords)
    for syntax in ("implicit", "rle"):
        run(tmp_path / "source", tmp_path / syntax, transfer_syntax=syntax)
        assert verify(tmp_path / "source", tmp_path / syntax).verdict == "pass"


def test_other_bytes_of_what_nothing_decodes_fail(verify: Verify, tmp_path: Path) -> None:
    write_case("jpeg_xl", tmp_path / "source")
    shutil.copytree(tmp_path / "source", tmp_path / "written")
    file = min((tmp_path / "written").iterdir())
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    report = verify(tmp_path / "source", tmp_path / "written")
    (told,) = (one for one in report.findings if one.severity == "error")
    assert (told.check, told.slice) == ("PIX-02", file.name)
    assert told.message == "cannot be compared: nothing here decodes JPEG XL Lossless"
