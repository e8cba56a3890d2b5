"""The audit that stands behind every claim: it finds each planted defect, and nothing in a right output."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pydicom
import pydicom.data
import pytest
import SimpleITK
import witness
from conftest import ROOT, SAMPLE, Run, Verify, one_series
from planted import (
    COPY_DEFECTS,
    DEFECTS,
    PET_DEFECTS,
    SERIES_DEFECTS,
    WARNED,
    Defect,
    Plant,
    both,
    code,
    in_all,
    instance,
    lose,
    pixel,
    put,
    put_raw,
    resaved,
)
from pydicom import uid
from synthetic import make_uid, write_case, write_series
from typer.testing import CliRunner

from itk_roundtrip import (
    AmbiguousSeriesError,
    Finding,
    Report,
    RoundtripError,
    SeriesNotFoundError,
    read_series,
    verify_series,
)
from itk_roundtrip.cli import app
from itk_roundtrip.verify import audit, judge
from itk_roundtrip.verify.audit import Request
from itk_roundtrip.verify.checks import CHECKS
from itk_roundtrip.verify.series_pair import PairReport
from itk_roundtrip.verify.tally import Tally

RICH: Mapping[str, Any] = {
    "slices": 3,
    "rows": 5,
    "columns": 6,
    "high_bits": True,
    "text": "latin1",
    "private": "unknown",
    "nested_sequences": "defined",
    "long_digits": True,
    "signatures": "top",
    "contributing_equipment": "plain",
    "derivation_codes": True,
    "referenced_series": "other",
    "source_images": "121322",
    "padding_values": "US",
    "attributes": {
        "TableHeight": "-250.0",
        "AccessionNumber": b"",
        "RescaleType": None,
        "LossyImageCompression": "01",
    },
}
"""A CT with something of everything."""
PET: Mapping[str, Any] = {"modality": "PT", "slices": 3, "bits_stored": 16, "signed": True}
OTHERS: Mapping[str, Mapping[str, Any]] = {
    "MR with a slope, implicit VR": {
        "modality": "MR", "slices": 3, "transfer_syntax": "implicit", "slopes": "1.29", "intercepts": "0",
        "private": "unknown", "nested_sequences": "undefined",
    },
    "MONOCHROME1, no sequences": {"modality": "CR", "slices": 2, "photometric": "MONOCHROME1"},
    "8 bits without geometry": {"modality": "SC", "slices": 3, "bits_allocated": 8, "bits_stored": 8, "slopes": None,
                                "geometry": "none"},
    "JPEG lossless": {"slices": 2, "transfer_syntax": "jpeg_lossless", "bits_stored": 12},
}  # fmt: skip
"""Series of other kinds, for the defects that any of them can have."""
ANYWHERE: Mapping[str, Defect] = {
    "pixel off by one": (pixel(0, 1), "PIX-02", "(7FE0,0010)"),
    "pixels cut": DEFECTS["pixels cut"],
    "pixels lost": DEFECTS["pixels lost"],
    "patient": (put("PatientID", "INVENTED-2"), "CNT-01", "(0010,0020)"),
    "study": DEFECTS["study"],
    "SOP Instance UID reused": DEFECTS["SOP Instance UID reused"],
    "Series Instance UID reused": DEFECTS["Series Instance UID reused"],
    "file meta instance": DEFECTS["file meta instance"],
    "character set that is none": (put("SpecificCharacterSet", "ISO_IR 999"), "HDR-04", "(0008,0005)"),
    "not DERIVED": (lambda d: setattr(d, "ImageType", ["ORIGINAL", *d.ImageType[1:]]), "TYP-01", "(0008,0008)"),
    "derivation lost": DEFECTS["derivation lost"],
    "reference for another purpose": DEFECTS["reference for another purpose"],
    "equipment without a maker": DEFECTS["equipment without a maker"],
    "planes added": (put("PlanarConfiguration", 0), "HDR-02", "(0028,0006)"),
    "institution lost": (put("InstitutionName", "elsewhere"), "EQP-01", "(0008,0080)"),
    "locations not preserved": DEFECTS["locations not preserved"],
}


@dataclass(frozen=True)
class Made:
    """A source and what the round trip wrote of it."""

    source: Path
    written: Path

    def copied(self, folder: Path) -> list[Path]:
        """Copy what was written into ``folder``; the files in the order of the slices."""
        shutil.copytree(self.written, folder)
        return sorted(folder.iterdir())

    def dataset(self, name: str) -> pydicom.FileDataset:
        """Read the source of a written file."""
        return pydicom.dcmread(self.source / name.removeprefix("derived_"))


@pytest.fixture(scope="module")
def make(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Made]:
    """Make each round trip once."""
    made: dict[str, Made] = {}

    def call(identity: str = "derived", **features: Any) -> Made:
        key = repr((identity, features))
        if key not in made:
            folder = tmp_path_factory.mktemp("verify")
            write_series(folder / "in", **(features or RICH))
            run(folder / "in", folder / "out", identity=identity)
            made[key] = Made(folder / "in", folder / "out")
        return made[key]

    return call


def faults(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if finding.severity != "info"]


def said(report: Report, severity: str = "error") -> set[tuple[str, str | None]]:
    return {(finding.check, finding.tag) for finding in report.findings if finding.severity == severity}


def planted(made: Made, folder: Path, plant: Plant, index: int = 1) -> None:
    """Copy a right output to ``folder`` and plant a defect into one file."""
    file = made.copied(folder)[index]
    dataset = pydicom.dcmread(file)
    object.__setattr__(dataset, "source", made.dataset(file.name))
    plant(dataset)
    before = file.read_bytes()
    resaved(dataset, file)
    assert file.read_bytes() != before


# -------------------------------------------------------------------------------------- no false alarm


@pytest.mark.parametrize("identity", ["derived", "copy"])
@pytest.mark.parametrize("features", [RICH, PET, *OTHERS.values()], ids=["rich", "PET", *OTHERS])
def test_right_output_has_no_finding(
    make: Callable[..., Made], verify: Verify, identity: str, features: Mapping[str, Any]
) -> None:
    """A check that cries wolf is switched off by its users."""
    made = make(identity, **features)
    report = verify(made.source, made.written, dciodvfy=True)
    assert faults(report) == []
    assert (report.verdict, report.identity, report.identity_guessed) == ("pass", identity, True)
    assert len(report.pairs) == report.slices == report.source_slices == features["slices"]
    assert not any(pair.changed for pair in report.pairs)


@pytest.mark.parametrize("identity", ["derived", "copy"])
def test_saving_again_is_no_defect(make: Callable[..., Made], verify: Verify, tmp_path: Path, identity: str) -> None:
    """The defects below are planted with pydicom: what it writes of an untouched file must be right."""
    made = make(identity, **RICH)
    for file in made.copied(tmp_path / "out"):
        resaved(pydicom.dcmread(file), file)
    assert faults(verify(made.source, tmp_path / "out")) == []


def test_a_series_is_a_copy_of_itself(verify: Verify) -> None:
    report = verify(SAMPLE, SAMPLE)
    assert (report.verdict, report.identity, report.outcomes()) == ("pass", "copy", {"kept": 24 * 148})


# ------------------------------------------------------------------------------------- planted defects


def check_planted(report: Report, check: str, tag: str | None) -> None:
    assert (check, tag) in said(report, "warning" if check in WARNED else "error")
    assert report.verdict == ("pass" if check in WARNED else "fail")
    assert all(finding.check in CHECKS for finding in report.findings)


@pytest.mark.parametrize("defect", DEFECTS)
def test_planted_defect_is_found(make: Callable[..., Made], verify: Verify, tmp_path: Path, defect: str) -> None:
    """Each of these was written by some tool in the field; the tag tells the user where to look."""
    plant, check, tag = DEFECTS[defect]
    made = make(**RICH)
    planted(made, tmp_path / "out", plant)
    report = verify(made.source, tmp_path / "out")
    if defect in ("position printed anew", "creation of the source"):
        assert said(report, "warning") == {(check, tag)}  # equal numbers, or an epoch that is given: nothing is wrong
    else:
        check_planted(report, check, tag)
    names = {finding.slice for finding in faults(report) if (finding.check, finding.tag) == (check, tag)}
    assert names == {sorted(path.name for path in made.written.iterdir())[1]}


@pytest.mark.parametrize("defect", SERIES_DEFECTS)
def test_defect_of_a_series_is_found(make: Callable[..., Made], verify: Verify, tmp_path: Path, defect: str) -> None:
    """Every file may be sound, and the volume is not."""
    plant, check, tag = SERIES_DEFECTS[defect]
    made = make(**RICH)
    plant(made.copied(tmp_path / "out"))
    check_planted(verify(made.source, tmp_path / "out"), check, tag)


@pytest.mark.parametrize("defect", COPY_DEFECTS)
def test_defect_of_a_copy_is_found(make: Callable[..., Made], verify: Verify, tmp_path: Path, defect: str) -> None:
    plant, check, tag = COPY_DEFECTS[defect]
    made = make("copy", **RICH)
    planted(made, tmp_path / "out", plant)
    report = verify(made.source, tmp_path / "out")
    assert report.identity == "copy"
    check_planted(report, check, tag)


@pytest.mark.parametrize("defect", PET_DEFECTS)
def test_defect_of_pet_is_found(make: Callable[..., Made], verify: Verify, tmp_path: Path, defect: str) -> None:
    plant, check, tag = PET_DEFECTS[defect]
    made = make(**PET)
    planted(made, tmp_path / "out", plant)
    check_planted(verify(made.source, tmp_path / "out"), check, tag)


@pytest.mark.parametrize("defect", ANYWHERE)
@pytest.mark.parametrize("kind", OTHERS)
def test_defect_of_any_series_is_found(
    make: Callable[..., Made], verify: Verify, tmp_path: Path, kind: str, defect: str
) -> None:
    plant, check, tag = ANYWHERE[defect]
    made = make(**OTHERS[kind])
    planted(made, tmp_path / "out", plant)
    check_planted(verify(made.source, tmp_path / "out"), check, tag)


@pytest.mark.parametrize("keyword", ["CodeValue", "CodingSchemeDesignator", "CodeMeaning"])
def test_the_code_of_a_frame_is_a_whole_one(run: Run, verify: Verify, tmp_path: Path, keyword: str) -> None:
    write_case("enhanced", tmp_path / "in")
    run(tmp_path / "in", tmp_path / "out")
    (file,) = (tmp_path / "out").iterdir()
    dataset = pydicom.dcmread(file)
    del dataset.PerFrameFunctionalGroupsSequence[1].DerivationImageSequence[-1].DerivationCodeSequence[0][keyword]
    dataset.save_as(file)
    check_planted(verify(tmp_path / "in", tmp_path / "out"), "DER-02", "(5200,9230)")


def test_the_evidence_of_a_frame_names_its_class(run: Run, verify: Verify, tmp_path: Path) -> None:
    write_case("enhanced", tmp_path / "in")
    run(tmp_path / "in", tmp_path / "out")
    (file,) = (tmp_path / "out").iterdir()
    dataset = pydicom.dcmread(file)
    series = dataset.SourceImageEvidenceSequence[-1].ReferencedSeriesSequence[0]
    series.ReferencedSOPSequence[0].ReferencedSOPClassUID = pydicom.uid.CTImageStorage
    dataset.save_as(file)
    assert ("DER-04", "(0008,9154)") in said(verify(tmp_path / "in", tmp_path / "out"), "warning")


def test_only_what_was_planted_is_found(make: Callable[..., Made], verify: Verify, tmp_path: Path) -> None:
    """One fault is one finding, with the path down to it and without its value."""
    made = make(**RICH)
    planted(made, tmp_path / "out", DEFECTS["nested value"][0])
    (finding,) = faults(verify(made.source, tmp_path / "out"))
    assert finding.path == "RequestAttributesSequence[0].ScheduledProtocolCodeSequence[1].CodeMeaning"
    assert finding.slice == sorted(path.name for path in made.written.iterdir())[1]
    assert "Three" not in finding.message


def test_what_repeats_is_told_once(make: Callable[..., Made], verify: Verify, tmp_path: Path) -> None:
    """A defect in every slice of a thousand must not be a thousand lines."""
    made = make(**RICH)
    files = made.copied(tmp_path / "out")
    in_all(both(put("PatientID", "INVENTED-2"), pixel(8, 1)))(files)
    found = faults(verify(made.source, tmp_path / "out"))
    assert sorted((one.check, one.count, one.slice) for one in found) == [
        ("CNT-01", 3, files[0].name), ("PIX-02", 3, files[0].name),
    ]  # fmt: skip


def test_an_unpaired_slice_of_either_side_is_named(make: Callable[..., Made], verify: Verify, tmp_path: Path) -> None:
    made = make(**RICH)
    files = made.copied(tmp_path / "out")
    files[1].unlink()
    stranger, _ = write_series(tmp_path / "other", slices=2, seed=9)[:2]
    shutil.copy(stranger, tmp_path / "out" / "stranger.dcm")
    found = [one for one in faults(verify(made.source, tmp_path / "out")) if one.check == "CNT-01"]
    assert {one.slice for one in found} >= {files[1].name.removeprefix("derived_"), "stranger.dcm"}


# -------------------------------------------------------------------------------------------- pairing


def paired_by(report: Report) -> set[str]:
    return {pair.by for pair in report.pairs}


def anonymous(dataset: pydicom.Dataset) -> None:
    """Leave nothing that refers to the source."""
    instance(uid.generate_uid())(dataset)
    for keyword in ("SourceImageSequence", "ReferencedSeriesSequence"):
        if keyword in dataset:
            delattr(dataset, keyword)


def test_pairs_are_found_without_references(make: Callable[..., Made], verify: Verify, tmp_path: Path) -> None:
    """By position, whatever the files are called; by name, where there is nothing else."""
    made = make(**RICH)
    files = made.copied(tmp_path / "out")
    in_all(anonymous)(files)
    for number, file in enumerate(files):
        file.rename(file.with_name(f"{9 - number}.dcm"))
    report = verify(made.source, tmp_path / "out")
    assert paired_by(report) == {"position"}
    assert not any(pair.changed for pair in report.pairs)
    for number in range(len(files)):
        one = tmp_path / "out" / f"{9 - number}.dcm"
        in_all(both(lose("ImagePositionPatient"), lose("InstanceNumber")))([one])
        one.rename(files[number])
    report = verify(made.source, tmp_path / "out")
    assert paired_by(report) == {"file name"}
    assert not any(pair.changed for pair in report.pairs)


@pytest.mark.parametrize("keyword", ["EchoTime", "TemporalPositionIdentifier", "AcquisitionNumber"])
def test_slices_at_one_position_are_told_apart(verify: Verify, tmp_path: Path, keyword: str) -> None:
    """A 4-D series whose copies bear new UIDs and numbers: time, echo or acquisition decide."""
    files = write_series(tmp_path / "in", slices=2, modality="MR")
    for volume in (1, 2):
        for file in files:
            dataset = pydicom.dcmread(file)
            setattr(dataset, keyword, str(volume * 10))
            dataset.PixelData = bytes([volume]) * len(dataset.PixelData)
            dataset.InstanceNumber = None
            instance(f"2.25.{volume}{file.stem[-1]}")(dataset)
            resaved(dataset, file.with_name(f"{volume}{file.name}"))
    for file in files:
        file.unlink()
    shutil.copytree(tmp_path / "in", tmp_path / "out")
    written = sorted((tmp_path / "out").iterdir(), reverse=True)
    in_all(anonymous)(written)
    for number, file in enumerate(written):
        file.rename(file.with_name(f"x{number}"))
    report = verify(tmp_path / "in", tmp_path / "out", identity="derived")
    assert len(report.pairs) == 4
    assert paired_by(report) == {"position"}
    assert not any(pair.changed for pair in report.pairs)


def test_the_source_series_is_the_one_that_was_meant(make: Callable[..., Made], verify: Verify, tmp_path: Path) -> None:
    """Several series in one folder: what the written files refer to decides, or the user; nobody guesses."""
    made = make(**RICH)
    shutil.copytree(made.source, tmp_path / "in" / "a")
    write_series(tmp_path / "in" / "b", slices=2, seed=5)
    assert verify(tmp_path / "in", made.written).verdict == "pass"
    files = made.copied(tmp_path / "out")
    in_all(anonymous)(files)
    with pytest.raises(AmbiguousSeriesError):
        verify(tmp_path / "in", tmp_path / "out")
    chosen = str(pydicom.dcmread(made.source / os.listdir(made.source)[0]).SeriesInstanceUID)
    assert len(verify(tmp_path / "in", tmp_path / "out", series=chosen).pairs) == 3
    with pytest.raises(SeriesNotFoundError):
        verify(tmp_path / "in", tmp_path / "out", series="2.25.404")


def test_several_written_series_are_found(make: Callable[..., Made], verify: Verify, tmp_path: Path) -> None:
    """All of the output is judged: two series of one are a finding, whichever the user meant."""
    made = make(**RICH)
    planted(made, tmp_path / "out", put("SeriesInstanceUID", "2.25.77"))
    report = verify(made.source, tmp_path / "out")
    assert ("UID-01", "(0020,000E)") in said(report)
    assert len(report.pairs) == 3


def test_output_inside_the_source_folder_is_not_taken_for_source(
    make: Callable[..., Made], verify: Verify, tmp_path: Path
) -> None:
    made = make(**RICH)
    shutil.copytree(made.source, tmp_path / "in")
    shutil.copytree(made.written, tmp_path / "in" / "out")
    assert verify(tmp_path / "in", tmp_path / "in" / "out").verdict == "pass"


# -------------------------------------------------------------------------------------------- identity


def test_identity_may_be_given(make: Callable[..., Made], verify: Verify) -> None:
    """Judged as what it is not, nearly everything is wrong."""
    made = make("copy", **RICH)
    report = verify(made.source, made.written, identity="derived")
    assert not report.identity_guessed
    found = {check for check, _ in said(report)}
    assert {"UID-01", "UID-02", "TYP-01", "DER-01", "DER-03", "EQP-01", "STL-01"} <= found


# --------------------------------------------------------------------------------- encoded sources


@pytest.mark.parametrize("transfer_syntax", ["big", "deflated", "rle", "jpeg_lossless", "jpeg_ls"])
def test_pixels_of_an_encoded_source(
    make: Callable[..., Made], verify: Verify, tmp_path: Path, transfer_syntax: str
) -> None:
    """Where the source must be decoded first, one wrong pixel is found all the same, and so is a lost sign."""
    made = make(slices=1, transfer_syntax=transfer_syntax, bits_stored=12)
    assert faults(verify(made.source, made.written)) == []
    for index, plant in enumerate((pixel(-3, 8), pixel(0, 1))):
        planted(made, tmp_path / f"{index}", plant, 0)
        assert ("PIX-02", "(7FE0,0010)") in said(verify(made.source, tmp_path / f"{index}"))


def test_values_of_a_big_endian_source(make: Callable[..., Made], verify: Verify, tmp_path: Path) -> None:
    """Words that were swapped, or not swapped, or swapped in the wrong size."""
    made = make(slices=1, transfer_syntax="big", voi_lut=True, long_digits=True, private="unknown")
    assert faults(verify(made.source, made.written)) == []
    swapped: dict[str, tuple[Plant, str, str]] = {
        "word": (
            lambda d: setattr(d.VOILUTSequence[0], "LUTData", d.VOILUTSequence[0].LUTData[::-1]), "HDR-01",
            "(0028,3010)",
        ),
        "US": (put("Rows", 12 << 8), "GEO-01", "(0028,0010)"),
        "FD": (put("CTDIvol", 12.5), "HDR-01", "(0018,9345)"),
        "private": (lambda d: setattr(d[0x00091006], "value", [1, 2, 3]), "HDR-01", "(0009,1006)"),
    }  # fmt: skip
    for name, (plant, check, tag) in swapped.items():
        planted(made, tmp_path / name, plant, 0)
        assert (check, tag) in said(verify(made.source, tmp_path / name)), name


@pytest.mark.parametrize(("signed", "bits", "wrong"), [
    (False, 0xF000, True), (False, 0x1000, True), (True, 0x4000, True), (True, None, False),
])  # fmt: skip
def test_bits_beside_decoded_values_are_zeros_or_signs(
    run: Run, verify: Verify, tmp_path: Path, signed: bool, bits: int | None, wrong: bool
) -> None:
    """Not all readers cut them off: the pixels would be other ones there."""
    write_series(tmp_path / "in", slices=1, transfer_syntax="rle", signed=signed)
    run(tmp_path / "in", tmp_path / "out", identity="copy")
    (file,) = (tmp_path / "out").iterdir()
    dataset = pydicom.dcmread(file)
    words = np.frombuffer(dataset.PixelData, "<u2").copy()
    if bits is None:
        words &= 0x0FFF  # no sign
    else:
        words[7] ^= bits
    dataset.PixelData = words.tobytes()
    dataset.save_as(file)
    report = verify(tmp_path / "in", tmp_path / "out")
    assert (("PIX-02", "(7FE0,0010)") in said(report)) == wrong
    assert report.verdict == ("fail" if wrong else "pass")


@pytest.mark.parametrize(("before", "after", "message"), [
    (b"SQ\0\0\xff\xff\xff\xff", b"SQ\0\x04\xff\xff\xff\xff", "reserved bytes"),
    (b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\x0d\xe0\0\0\x01\0", "a delimiter"),
    (b"\xfe\xff\xdd\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\x08\0\0\0", "a delimiter"),
])  # fmt: skip
def test_bytes_that_must_be_zero(verify: Verify, tmp_path: Path, before: bytes, after: bytes, message: str) -> None:
    """pydicom skips them, other parsers stop there (PS3.5 7.1.2 and 7.5.1)."""
    (file,) = write_series(tmp_path / "in", slices=1, nested_sequences="undefined")
    content = file.read_bytes()
    assert before in content
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / file.name).write_bytes(content.replace(before, after, 1))
    report = verify(tmp_path / "in", tmp_path / "out")
    assert [(one.check, message in one.message) for one in faults(report)] == [("FIL-01", True)]


def test_compressed_source_describes_no_compression_any_more(
    make: Callable[..., Made], verify: Verify, tmp_path: Path
) -> None:
    """An offset table beside native pixels sends readers to places that do not exist."""
    made = make(slices=1, transfer_syntax="rle", extended_offsets=True)
    assert faults(verify(made.source, made.written)) == []
    planted(made, tmp_path / "out", put("ExtendedOffsetTable", bytes(8)), 0)
    assert ("HDR-01", "(7FE0,0001)") in said(verify(made.source, tmp_path / "out"))


def test_lossless_recompression_of_a_copy_is_right(make: Callable[..., Made], verify: Verify, tmp_path: Path) -> None:
    """A copy may be re-encoded by any lossless transfer syntax, of any tool."""
    made = make("copy", **RICH)
    for file in made.copied(tmp_path / "out"):
        dataset = pydicom.dcmread(file)
        dataset.compress(uid.RLELossless, generate_instance_uid=False)
        resaved(dataset, file)
    report = verify(made.source, tmp_path / "out")
    assert faults(report) == []
    assert not any(pair.changed for pair in report.pairs)
    dataset = pydicom.dcmread(file)
    dataset.decompress(generate_instance_uid=False)
    pixel(8, 1)(dataset)
    dataset.compress(uid.RLELossless, generate_instance_uid=False)
    resaved(dataset, file)
    assert ("PIX-02", "(7FE0,0010)") in said(verify(made.source, tmp_path / "out"))


def test_lossy_colour_that_was_decoded_is_rgb(verify: Verify, tmp_path: Path) -> None:
    """Compressed YBR becomes RGB, within one step of the decoder's; the loss must be said."""
    source = Path(pydicom.data.get_testdata_file("SC_rgb_dcmtk_+eb+cy+s4.dcm"))  # JPEG baseline
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    shutil.copy(source, tmp_path / "in" / "a.dcm")
    dataset = pydicom.dcmread(source)
    assert dataset.PhotometricInterpretation == "YBR_FULL"
    dataset.decompress(generate_instance_uid=False)
    dataset.save_as(tmp_path / "out" / "a.dcm")
    found = said(verify(tmp_path / "in", tmp_path / "out", identity="derived"))
    assert not found & {("PIX-02", "(7FE0,0010)"), ("HDR-01", "(0028,0004)"), ("LOS-01", "(0028,2110)")}
    del dataset.LossyImageCompression
    dataset.save_as(tmp_path / "out" / "a.dcm")
    assert ("LOS-01", "(0028,2110)") in said(verify(tmp_path / "in", tmp_path / "out", identity="derived"))
    assert ("LOS-01", "(0002,0010)") in said(verify(tmp_path / "in", tmp_path / "out", identity="copy"))


@pytest.mark.parametrize("syntax", [uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian])
def test_values_in_another_encoding_are_the_same_values(
    make: Callable[..., Made], verify: Verify, tmp_path: Path, syntax: uid.UID
) -> None:
    """Byte order and deflation are no change; the retired one is said."""
    made = make(slices=1)
    (file,) = made.copied(tmp_path / "out")
    dataset = pydicom.dcmread(file)
    for element in dataset.iterall():
        _ = element.value
    dataset.file_meta.TransferSyntaxUID = syntax
    little_endian = syntax != uid.ExplicitVRBigEndian
    if not little_endian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    pydicom.dcmwrite(file, dataset, implicit_vr=False, little_endian=little_endian, force_encoding=True)
    report = verify(made.source, tmp_path / "out")
    assert said(report) == set()
    assert said(report, "warning") == (set() if little_endian else {("FIL-02", "(0002,0010)")})


def test_texts_that_were_encoded_anew_and_read_the_same_are_right(
    make: Callable[..., Made], verify: Verify, tmp_path: Path
) -> None:
    """A derived instance may be in UTF-8, if all of its texts are."""
    made = make(slices=1, text="latin1")
    (file,) = made.copied(tmp_path / "out")
    dataset = pydicom.dcmread(file)
    dataset.decode()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    resaved(dataset, file)
    assert "Müßig" in file.read_bytes().decode("utf-8", "ignore")
    assert said(verify(made.source, tmp_path / "out")) == set()


# --------------------------------------------------------------------------------- processed pixels


def processed(
    made: Made, folder: Path, text: str, change: Callable[[np.ndarray[Any, Any]], Any]
) -> np.ndarray[Any, Any]:
    """Process every slice of a right output, say so in ``text``, and return the real-world values."""
    real = []
    for file in made.copied(folder):
        dataset = pydicom.dcmread(file)
        values = np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns)
        values = change(values & 0x0FFF).astype("<u2")
        dataset.PixelData = values.tobytes()
        dataset.DerivationDescription = text
        resaved(dataset, file)
        real.append(values * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept))
    return np.stack(real)


PLAIN: Mapping[str, Any] = {"slices": 3, "rows": 5, "columns": 6, "bits_stored": 12}


def test_processed_pixels_are_reported_if_they_are_declared(
    make: Callable[..., Made], verify: Verify, tmp_path: Path
) -> None:
    """How many, how far; an error for a copy, and for a derived instance that does not say so."""
    made = make(**PLAIN)
    processed(made, tmp_path / "said", "Median, radius 1; max error 0.5 HU", lambda v: np.clip(v, 3, 4000))
    report = verify(made.source, tmp_path / "said")
    assert said(report) == set()
    (finding,) = [one for one in report.findings if one.check == "PIX-03"]
    assert (finding.severity, finding.count) == ("info", 3)
    assert all(pair.changed and pair.largest for pair in report.pairs)
    processed(made, tmp_path / "vague", "Median, radius 1", lambda v: np.clip(v, 3, 4000))
    assert ("DER-01", "(0008,2111)") in said(verify(made.source, tmp_path / "vague"))
    processed(made, tmp_path / "denied", "x; stored values unchanged", lambda v: np.clip(v, 3, 4000))
    assert ("PIX-02", "(7FE0,0010)") in said(verify(made.source, tmp_path / "denied"))
    processed(made, tmp_path / "idle", "Median, radius 1; max error 0.5 HU", lambda v: v)
    assert ("PIX-05", "(0008,2111)") in said(verify(made.source, tmp_path / "idle"), "warning")
    processed(made, tmp_path / "flat", "Threshold; max error 0 HU", lambda v: v * 0)
    assert ("PIX-05", "(7FE0,0010)") in said(verify(made.source, tmp_path / "flat"), "warning")


SHAM: Mapping[str, tuple[Plant, str, str]] = {
    "Rescale Type added": (put("RescaleType", "US"), "HDR-01", "(0028,1054)"),
    "slope lost": (lose("RescaleSlope"), "PIX-02", "(0028,1053)"),
    "no slope": (put_raw(0x00281053, b"0 "), "PIX-02", "(0028,1053)"),
    "fewer bits than the values have": (both(put("BitsStored", 8), put("HighBit", 7)), "PIX-01", "(0028,0101)"),
    "icon added": (lambda d: setattr(d, "IconImageSequence", [pydicom.Dataset()]), "HDR-02", "(0088,0200)"),
    "padding added": (lambda d: d.add_new(0x00280120, "US", 0), "HDR-02", "(0028,0120)"),
    "content date no date": (put_raw(0x00080023, b"20219999"), "TIM-01", "(0008,0023)"),
}  # fmt: skip


@pytest.mark.parametrize("defect", SHAM)
def test_processing_excuses_only_what_it_must_change(
    make: Callable[..., Made], verify: Verify, tmp_path: Path, defect: str
) -> None:
    """A description that says `Median` is no licence."""
    plant, check, tag = SHAM[defect]
    made = make(**PLAIN)
    processed(made, tmp_path / "out", "Median, radius 1; max |err| 0.5 HU", lambda v: np.clip(v, 3, 4000))
    assert said(verify(made.source, tmp_path / "out")) == set()
    in_all(plant)(sorted((tmp_path / "out").iterdir()))
    assert (check, tag) in said(verify(made.source, tmp_path / "out"))


@pytest.mark.parametrize(
    "text",
    ["max |err| 0.5 HU", "max abs. error .5", "Max error after 3x3 median is 0.5", "error at most 0.5 HU",
     "largest difference 5e-1", "maximum absolute deviation: 0.5"],
)  # fmt: skip
def test_largest_error_is_understood(make: Callable[..., Made], verify: Verify, tmp_path: Path, text: str) -> None:
    """Tools have their own words: the bound is read, and a larger error found."""
    made = make(**PLAIN)
    real = processed(made, tmp_path / "out", f"Median; {text}", lambda v: np.clip(v, 3, 4000))
    names = [pydicom.dcmread(file).ImagePositionPatient[2] for file in sorted((tmp_path / "out").iterdir())]
    np.save(tmp_path / "reference.npy", real[np.argsort(names)] + 0.499)
    assert said(verify(made.source, tmp_path / "out", reference=tmp_path / "reference.npy")) == set()
    np.save(tmp_path / "reference.npy", real[np.argsort(names)] + 0.50001)
    told = said(verify(made.source, tmp_path / "out", reference=tmp_path / "reference.npy"))
    assert ("PIX-03", "(0008,2111)") in told


def test_a_third_party_by_the_rules_is_right(make: Callable[..., Made], verify: Verify, tmp_path: Path) -> None:
    """Own equipment with the scanner in an item, UTF-8, own words, kept series time, neighbours behind the source."""
    made = make(slices=3, text="latin1")
    for file in made.copied(tmp_path / "out"):
        dataset = pydicom.dcmread(file)
        source = made.dataset(file.name)
        dataset.decode()
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.Manufacturer = "Invented Software"
        scanner = pydicom.Dataset()
        scanner.Manufacturer = source.Manufacturer
        scanner.PurposeOfReferenceCodeSequence = [code("109101", "DCM", "Acquisition Equipment")]
        dataset.ContributingEquipmentSequence.append(scanner)
        dataset.SeriesDate, dataset.SeriesTime = source.SeriesDate, source.SeriesTime
        dataset.InstanceCreatorUID = "2.25.4711"
        neighbour = copy.deepcopy(dataset.SourceImageSequence[-1])
        neighbour.ReferencedSOPInstanceUID = make_uid("instance", 0, 1)
        if neighbour.ReferencedSOPInstanceUID != source.SOPInstanceUID:
            dataset.SourceImageSequence.append(neighbour)
        resaved(dataset, file)
    assert said(verify(made.source, tmp_path / "out")) == set()


@pytest.mark.parametrize("implicit", [True, False])
def test_private_sequences_in_the_other_encoding_are_the_same(verify: Verify, tmp_path: Path, implicit: bool) -> None:
    """Implicit VR has no VRs: a private sequence reads as bytes there, and is the same one."""
    shutil.copytree(SAMPLE, tmp_path / "in")
    for file in sorted((tmp_path / "in").iterdir())[2:]:
        file.unlink()
    shutil.copytree(tmp_path / "in", tmp_path / "out")
    for file in (tmp_path / ("out" if implicit else "in")).iterdir():
        dataset = pydicom.dcmread(file)
        dataset.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian
        pydicom.dcmwrite(file, dataset, implicit_vr=True, little_endian=True, force_encoding=True)
    assert faults(verify(tmp_path / "in", tmp_path / "out")) == []


def test_source_date_epoch_may_be_any_time(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made before its source, or twice at the same moment: said, and no reason to refuse."""
    write_series(tmp_path / "a", slices=1)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    run(tmp_path / "a", tmp_path / "b")
    result = run(tmp_path / "b", tmp_path / "c")
    assert result.verdict == "pass"


@pytest.mark.usefixtures("_lent")
@pytest.mark.parametrize("value", ["nan", "inf", "1e400", "-1"])
def test_numbers_that_are_none_end_in_a_finding(verify: Verify, tmp_path: Path, value: str) -> None:
    """Nothing that stands in a file is an internal error of ours, and JSON stays JSON."""
    write_series(tmp_path / "in", slices=1)
    shutil.copytree(tmp_path / "in", tmp_path / "out")
    (file,) = (tmp_path / "out").iterdir()
    for keyword in ("NumberOfFrames", "RescaleSlope"):
        dataset = pydicom.dcmread(tmp_path / "in" / file.name)
        dataset.add_new(keyword, "DS" if keyword == "RescaleSlope" else "IS", "1")
        dataset[keyword]._value = value
        resaved(dataset, file)
        assert verify(tmp_path / "in", tmp_path / "out").verdict == "fail"
        result = CliRunner().invoke(app, ["verify", str(tmp_path / "in"), str(tmp_path / "out"), "--json"])
        assert result.exit_code == 1
        json.loads(result.stdout, parse_constant=lambda name: pytest.fail(name))


@pytest.mark.parametrize("kind", ["npy", "mha", "flipped"])
def test_processed_pixels_are_compared_with_a_reference(
    make: Callable[..., Made], verify: Verify, tmp_path: Path, kind: str
) -> None:
    """Within half a quantisation step, and not beyond; the reference may lie the other way round."""
    made = make(**PLAIN)
    real = processed(made, tmp_path / "out", "Clamp; max error 0.5 HU", lambda v: np.clip(v, 3, 4000))
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in sorted((tmp_path / "out").iterdir())]
    order = np.argsort([float(header.ImagePositionPatient[2]) for header in headers])
    rng = np.random.default_rng(3)

    def reference(shift: float) -> Path:
        values = real[order] + rng.uniform(-0.49, 0.49, real.shape)
        values[1, 2, 3] += shift
        if kind == "npy":
            np.save(tmp_path / "reference.npy", values)
            return tmp_path / "reference.npy"
        first = headers[order[0]]
        position = [float(value) for value in first.ImagePositionPatient]
        spacing = [float(first.PixelSpacing[1]), float(first.PixelSpacing[0]), 2.5]
        direction = np.eye(3)
        if kind == "flipped":
            values, direction = values[:, ::-1], np.diag([1.0, -1.0, 1.0])
            position[1] += spacing[1] * (values.shape[1] - 1)
        image = SimpleITK.GetImageFromArray(values)
        image.SetOrigin(position)
        image.SetSpacing(spacing)
        image.SetDirection(direction.ravel())
        SimpleITK.WriteImage(image, str(tmp_path / "reference.mha"))
        return tmp_path / "reference.mha"

    assert said(verify(made.source, tmp_path / "out", reference=reference(0))) == set()
    off = verify(made.source, tmp_path / "out", reference=reference(1.02))
    assert ("PIX-03", "(7FE0,0010)") in said(off)
    assert ("PIX-03", "(0008,2111)") in said(off)


def test_a_reference_that_does_not_fit_is_refused(make: Callable[..., Made], verify: Verify, tmp_path: Path) -> None:
    made = make(**PLAIN)
    np.save(tmp_path / "short.npy", np.zeros((2, 5, 6)))
    (tmp_path / "text.nii").write_text("no image")
    image = SimpleITK.GetImageFromArray(np.zeros((3, 5, 6)))
    SimpleITK.WriteImage(image, str(tmp_path / "elsewhere.mha"))
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((3, 5, 6), "c8")), str(tmp_path / "complex.mha"))
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.full((3, 5, 6), np.nan)), str(tmp_path / "nan.nii"))
    names = ("short.npy", "text.nii", "elsewhere.mha", "complex.mha", "nan.nii", "missing.npy", "missing.mha")
    for name in names:
        with pytest.raises(RoundtripError, match=name):
            verify(made.source, made.written, reference=tmp_path / name)


def test_a_reference_is_read_as_any_image_of_another_program(run: Run, verify: Verify, tmp_path: Path) -> None:
    """ITK would read the pixels of a file beside it for its own."""
    write_series(tmp_path / "in", slices=3)
    run(tmp_path / "in", tmp_path / "out")
    image = read_series(one_series(tmp_path / "in")).image
    itk.imwrite(image, str(tmp_path / "reference.nii.gz"))
    values = itk.array_view_from_image(image)
    values += 3
    itk.imwrite(image, str(tmp_path / "reference.nii"))
    assert verify(tmp_path / "in", tmp_path / "out", reference=tmp_path / "reference.nii.gz").verdict == "pass"
    assert verify(tmp_path / "in", tmp_path / "out", reference=tmp_path / "reference.nii").verdict == "fail"


# ------------------------------------------------------------------------------------- imperfect sources


def test_faults_of_the_source_are_told_as_inherited_once(run: Run, verify: Verify, tmp_path: Path) -> None:
    write_series(
        tmp_path / "in", slices=4, geometry="gap",
        attributes={"Manufacturer": b"", "ImageType": r"ORIGINAL\PRIMARY", "PatientWeight": "70.0000000000000001"},
    )  # fmt: skip
    run(tmp_path / "in", tmp_path / "out")
    report = verify(tmp_path / "in", tmp_path / "out")
    assert report.verdict == "pass"
    inherited = {(one.check, one.tag): one.count for one in report.findings if one.inherited}
    assert {("GEO-02", "(0020,0032)"), ("HDR-04", "(0010,1030)"), ("TYP-01", "(0008,0008)")} <= inherited.keys()
    assert inherited["HDR-04", "(0010,1030)"] == 4
    assert all(one.severity == "info" for one in report.findings if one.inherited)


@pytest.mark.parametrize("name", ["pydicom", "nothing"])
def test_a_source_that_cannot_be_decoded_proves_nothing(verify: Verify, tmp_path: Path, name: str) -> None:
    """The stream of the source is damaged: the written values may be anything."""
    write_series(tmp_path / "in", slices=1, transfer_syntax="rle")
    shutil.copytree(tmp_path / "in", tmp_path / "out")
    (file,) = (tmp_path / "in").iterdir()
    dataset = pydicom.dcmread(file)
    dataset.PixelData = dataset.PixelData[:40] + bytes(len(dataset.PixelData) - 48) + dataset.PixelData[-8:]
    resaved(dataset, file)
    assert ("PIX-02", "(7FE0,0010)") in said(verify(tmp_path / "in", tmp_path / "out"))


def _die_of_one(requests: Sequence[Request]) -> tuple[Tally, list[PairReport]]:
    if any(request.written.endswith("0002.dcm") for request in requests):
        os._exit(1)
    return audit.compare_many(requests)


def test_a_pair_that_ends_its_process_is_a_finding(
    make: Callable[..., Made], verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder may crash on a damaged stream: the others are compared all the same."""
    made = make(**RICH)
    monkeypatch.setattr(judge, "compare_many", _die_of_one)
    report = verify(made.source, made.written)
    (finding,) = faults(report)
    assert (finding.check, finding.tag, finding.slice) == ("PIX-02", "(7FE0,0010)", "derived_IM0002.dcm")
    assert [bool(pair.sha256) for pair in report.pairs] == [True, False, True]


def _die_of_a_second_opinion(requests: Sequence[Request]) -> tuple[Tally, list[PairReport]]:
    if any(request.second_opinion for request in requests):
        os._exit(1)
    return audit.compare_many(requests)


def test_a_second_decoder_that_ends_its_process_fails_nothing(
    make: Callable[..., Made], verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(**{**RICH, "slices": 2})
    monkeypatch.setattr(judge, "compare_many", _die_of_a_second_opinion)
    report = verify(made.source, made.written)
    assert faults(report) == []
    assert all(pair.sha256 for pair in report.pairs)


def test_a_folder_of_many_files_is_read_by_the_workers(verify: Verify, tmp_path: Path) -> None:
    """More files than one task takes, in both stages: all are paired and compared, in their order."""
    files = write_series(tmp_path / "in", slices=120, rows=2, columns=2)
    shutil.copytree(tmp_path / "in", tmp_path / "out")
    in_all(pixel(0, 1))([tmp_path / "out" / file.name for file in files[100:]])
    report = verify(tmp_path / "in", tmp_path / "out")
    assert [pair.source for pair in report.pairs] == [file.name for file in files]
    (finding,) = faults(report)
    assert (finding.check, finding.count, finding.slice) == ("PIX-02", 20, files[100].name)


# ------------------------------------------------------------------------------------ the command line


@pytest.mark.usefixtures("_lent")
def test_exit_codes_and_json(make: Callable[..., Made], tmp_path: Path) -> None:
    """As ``diff`` has them: 0 the same, 1 different, 2 trouble."""
    made = make(**RICH)
    planted(made, tmp_path / "out", DEFECTS["patient"][0])
    right = CliRunner().invoke(app, ["verify", str(made.source), str(made.written), "--json"])
    wrong = CliRunner().invoke(app, ["verify", str(made.source), str(tmp_path / "out"), "--json"])
    missing = CliRunner().invoke(app, ["verify", str(made.source), str(tmp_path / "nowhere")])
    assert (right.exit_code, wrong.exit_code, missing.exit_code) == (0, 1, 2)
    document = json.loads(wrong.stdout)
    assert (document["schema"], document["verdict"], document["slices"]) == (1, "fail", 3)
    assert {"check", "severity", "slice", "tag", "path", "message"} <= set(document["findings"][0])
    assert "INVENTED-2" not in wrong.output
    shown = CliRunner().invoke(app, ["verify", str(made.source), str(tmp_path / "out"), "--json", "--show-values"])
    assert "INVENTED-2" in shown.output


@pytest.mark.usefixtures("_lent")
def test_table_tells_the_verdict_first(make: Callable[..., Made], tmp_path: Path) -> None:
    made = make(**RICH)
    planted(made, tmp_path / "out", DEFECTS["patient"][0])
    result = CliRunner().invoke(app, ["verify", str(made.source), str(tmp_path / "out")])
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["verdict", "FAIL:", "1", "error,", "0", "warnings"]
    assert any("CNT-01" in line and "PatientID" in line for line in lines)
    assert len(lines) < 20


@pytest.mark.usefixtures("_lent")
@pytest.mark.parametrize("inside", ["nothing", "text", "empty file", "folder"])
def test_a_folder_without_a_dicom_file_is_no_output(
    inside: str, make: Callable[..., Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wrong folder is told in one sentence, not as the loss of each slice."""
    made = make(**RICH)
    (tmp_path / "out").mkdir()
    if inside == "folder":
        (tmp_path / "out" / "deeper").mkdir()
    elif inside != "nothing":
        (tmp_path / "out" / "notes.dcm").write_text("what was done" if inside == "text" else "")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["verify", str(made.source), "./out", "--json"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "itk-roundtrip: ./out holds no DICOM file; there is nothing to verify.\n"


@pytest.mark.usefixtures("_lent")
def test_a_folder_with_nothing_but_broken_files_differs(make: Callable[..., Made], tmp_path: Path) -> None:
    """Something was written, and it cannot be read: that is a finding."""
    made = make(**RICH)
    for file in made.copied(tmp_path / "out"):
        file.write_bytes(file.read_bytes()[:140])
    result = CliRunner().invoke(app, ["verify", str(made.source), str(tmp_path / "out"), "--json"])
    assert result.exit_code == 1
    assert "FIL-01" in {one["check"] for one in json.loads(result.stdout)["findings"]}


@pytest.mark.usefixtures("_lent")
def test_a_source_without_a_series_is_refused(tmp_path: Path) -> None:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "in" / "notes.txt").write_text("none")
    result = CliRunner().invoke(app, ["verify", str(tmp_path / "in"), str(tmp_path / "out")])
    assert result.exit_code == 2
    assert result.stdout == ""


# --------------------------------------------------------------------------------------- conformance


def test_a_missing_checker_is_said_and_passes_nothing(make: Callable[..., Made], verify: Verify) -> None:
    made = make(**RICH)
    (finding,) = [one for one in verify(made.source, made.written).findings if one.check == "VAL-01"]
    assert finding.severity == "info"
    assert finding.message.startswith("not run")


@pytest.mark.parametrize("every", [False, True])
def test_new_errors_of_dciodvfy_are_found(
    make: Callable[..., Made], verify: Verify, tmp_path: Path, every: bool
) -> None:
    """Only the first, the middle and the last slice are looked at, unless all are asked for."""
    made = make(slices=6)
    planted(made, tmp_path / "out", lose("RescaleSlope"), 2)
    report = verify(made.source, tmp_path / "out", dciodvfy=True, conformance=every)
    found = [one for one in report.findings if one.check == "VAL-01" and one.severity == "error"]
    assert bool(found) == every
    assert {one.slice for one in found} <= {sorted(path.name for path in made.written.iterdir())[2]}


# ------------------------------------------------------------------------------------------- others


def _by_witness(source: Path, written: Path) -> dict[str, set[int]]:
    """Return what became of the attributes of the top level, by a parser that shares nothing with the package."""
    before, after = (witness.read(path).data for path in (source, written))
    tags = {tag for tag in (*before, *after) if tag & 0xFFFF and tag != 0x7FE00010}
    changed = {tag for tag in tags & before.keys() & after.keys() if list(witness.compare_elements(
        {tag: before[tag]}, {tag: after[tag]}))}  # fmt: skip
    return {"lost": tags - after.keys(), "added": tags - before.keys(), "changed": changed}


def _told(report: Report) -> dict[str, set[int]]:
    told: dict[str, set[int]] = {"lost": set(), "added": set(), "changed": set()}
    for change in report.changes:
        nested = "[" in change.path
        kind = change.outcome if change.outcome in told and not nested else "changed"
        if change.outcome != "kept":
            told[kind].add(int(change.tag[1:5] + change.tag[6:10], 16))
    return told


@pytest.mark.parametrize("idiom", ["plain_itk.py", "simpleitk_idiom.py", "--headers itk"])
def test_what_others_lose_is_what_another_parser_sees(run: Run, verify: Verify, tmp_path: Path, idiom: str) -> None:
    """Nothing that is lost is overlooked, and nothing is said that is not so."""
    if idiom == "--headers itk":
        run(SAMPLE, tmp_path / "all", headers="itk")
    else:
        script = ROOT / "benchmarks" / idiom
        subprocess.run([sys.executable, script, SAMPLE, tmp_path / "all"], check=True, capture_output=True)
    report = verify(SAMPLE, tmp_path / "all", identity="copy")
    assert len(report.pairs) == 24
    for pair in (report.pairs[0], report.pairs[11], report.pairs[23]):
        for folder, origin, name in (("in", SAMPLE, pair.source), ("out", tmp_path / "all", pair.written)):
            (tmp_path / folder).mkdir(exist_ok=True)
            shutil.copy(origin / name, tmp_path / folder / "slice.dcm")
        told = _told(verify(tmp_path / "in", tmp_path / "out", identity="copy"))
        assert told == _by_witness(tmp_path / "in" / "slice.dcm", tmp_path / "out" / "slice.dcm")
    lost = {change.path for change in report.changes if change.outcome == "lost"}
    assert {"ReferencedImageSequence", "RequestAttributesSequence"} <= lost
    changed = {change.path for change in report.changes if change.outcome == "changed"}
    assert {"SimpleFrameList", "SpacingBetweenSlices", "CTDIvol", "BitsStored"} <= changed


# ----------------------------------------------------------------------------------------- the real thing


def test_verify_series_judges_a_run(tmp_path: Path, run: Run) -> None:
    """The public function, with worker processes of its own, and the report that ``run`` returns, say the same."""
    result = run(SAMPLE, tmp_path / "out")
    report = verify_series(SAMPLE, tmp_path / "out", jobs=2)
    assert result.report is not None
    assert report.verdict == result.report.verdict == "pass"
    assert report.outcomes() == result.report.outcomes()
    assert [pair.sha256 for pair in report.pairs] == [pair.sha256 for pair in result.report.pairs]
    assert all(pair.sha256 for pair in report.pairs)


@pytest.mark.parametrize(
    "name",
    [
        "rgb",
        "palette",
        "enhanced",
        "float_pixels",
        "double_pixels",
        "bits_32",
        "one_bit",
        "multi_frame",
        "ybr",
        "high_bit_15",
    ],
)
def test_kinds_that_are_not_carried_are_judged_all_the_same(verify: Verify, tmp_path: Path, name: str) -> None:
    """Others write colour, palettes, frames and floats: a copy of them is right, one wrong value is not."""
    files = write_case(name, tmp_path / "in")
    shutil.copytree(tmp_path / "in", tmp_path / "out")
    assert faults(verify(tmp_path / "in", tmp_path / "out")) == []
    file = tmp_path / "out" / files[0].name
    dataset = pydicom.dcmread(file)
    keyword = next(key for key in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if key in dataset)
    content = bytearray(dataset[keyword].value)
    content[0] ^= 1
    setattr(dataset, keyword, bytes(content))
    resaved(dataset, file)
    assert ("PIX-02", "(7FE0,0010)") in said(verify(tmp_path / "in", tmp_path / "out"))


@pytest.mark.parametrize("name", ["plain_ct", "enhanced", "segmentation", "jpeg_baseline", "jpeg_ls_near", "ybr_rct"])
def test_run_counts_as_verify_does(name: str, run: Run, verify: Verify, tmp_path: Path) -> None:
    """One element is one element, in functional groups too; what decoding made of a lossy stream is set by rule."""
    write_case(name, tmp_path / "in")
    result = run(tmp_path / "in", tmp_path / "out")
    report = verify(tmp_path / "in", tmp_path / "out")
    counts = {"kept": result.kept, "set by rule": sum(result.replaced.values()),
              "removed by rule": sum(result.removed.values())}  # fmt: skip
    assert report.outcomes() == {outcome: count for outcome, count in counts.items() if count}
    assert {change.rule for change in report.changes if change.outcome == "set by rule"} <= {"new", "set", "append"}


def test_a_missing_reference_and_an_invented_attribute_are_called_so(verify: Verify, tmp_path: Path) -> None:
    for source in write_case("plain_ct", tmp_path / "in"):
        dataset = pydicom.dcmread(source)
        dataset.PatientComments = "invented"
        (tmp_path / "out").mkdir(exist_ok=True)
        dataset.save_as(tmp_path / "out" / source.name)
    report = verify(tmp_path / "in", tmp_path / "out", identity="derived")
    messages = {(one.check, one.path): one.message for one in report.findings}
    assert messages["DER-03", "SourceImageSequence"] == "is missing: it names the source slice"
    assert messages["DER-04", "ReferencedSeriesSequence"] == "is missing: it names the source series"
    assert messages["HDR-02", "PatientComments"] == "added although the source does not have it"


@pytest.mark.usefixtures("_lent")
@pytest.mark.parametrize(
    ("allow", "verdict"),
    [
        ((), "fail"),
        (("PatientName",), "fail"),
        (("PatientName", "0010,0020"), "pass"),
        (("0010",), "pass"),
        (("PatientID", "(0010,0010)"), "pass"),
    ],
)
def test_declared_changes_are_accepted(allow: tuple[str, ...], verdict: str, run: Run, tmp_path: Path) -> None:
    """A series that was de-identified after a round trip can be audited; what was declared is told."""
    write_series(tmp_path / "source", slices=2)
    run(tmp_path / "source", tmp_path / "written")
    for file in (tmp_path / "written").iterdir():
        dataset = pydicom.dcmread(file)
        dataset.PatientName, dataset.PatientID = "Nobody", "0"
        dataset.save_as(file)
    report = verify_series(tmp_path / "source", tmp_path / "written", allow=allow, jobs=1)
    assert report.verdict == verdict
    if verdict == "pass":
        declared = {change.path for change in report.changes if change.outcome == "declared"}
        assert declared == {"PatientName", "PatientID"}


@pytest.mark.usefixtures("_lent")
def test_a_declared_value_must_be_valid(run: Run, tmp_path: Path) -> None:
    """Whoever allows an attribute to differ does not allow nonsense."""
    write_series(tmp_path / "source", slices=1)
    run(tmp_path / "source", tmp_path / "written")
    (file,) = (tmp_path / "written").iterdir()
    dataset = pydicom.dcmread(file)
    dataset.SeriesDescription = "x" * 65
    dataset.save_as(file)
    report = verify_series(tmp_path / "source", tmp_path / "written", allow=["SeriesDescription"], jobs=1)
    assert "HDR-04" in {finding.check for finding in report.findings if finding.severity == "error"}


@pytest.mark.usefixtures("_lent")
def test_an_allowed_name_that_is_none_is_refused(tmp_path: Path) -> None:
    """A misspelt keyword would allow nothing, without a word."""
    write_series(tmp_path / "source", slices=1)
    with pytest.raises(RoundtripError, match='"PatientNam" is neither'):
        verify_series(tmp_path / "source", tmp_path / "source", allow=["PatientNam"])
