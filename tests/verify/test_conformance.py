"""What dciodvfy says of the output: no error that the source did not have already."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pydicom.data
import pytest
from conftest import SAMPLE, Run, Verify
from pydicom import uid
from synthetic import CASES, write_case, write_series

from itk_roundtrip import find_series
from itk_roundtrip.rules import PRIMARY_SOP_CLASSES
from itk_roundtrip.verify.conformance import Judgement, find_program, new_messages

DCIODVFY = Path(sys.executable).with_name("dciodvfy")
WHEEL = Path(pydicom.data.__file__).parent / "test_files"

pytestmark = pytest.mark.skipif(not DCIODVFY.exists(), reason="dciodvfy is not installed")

Identity = Literal["derived", "copy"]
IDENTITIES: tuple[Identity, ...] = ("derived", "copy")
UIDS = re.compile(r"\b\d+(\.\d+){3,}\b")
VALUES = re.compile(r"<[^<>]*>|= .*")


@cache
def _errors(path: Path) -> Counter[str]:
    """Return what dciodvfy calls an error, without UIDs and values, and how often."""
    told = subprocess.run([DCIODVFY, path], capture_output=True, text=True, errors="replace", timeout=60, check=False)
    lines = (told.stdout + told.stderr).splitlines()
    assert lines, f"dciodvfy says nothing of {path.name}"
    return Counter(VALUES.sub("<>", UIDS.sub("UID", line)) for line in lines if "Error" in line)


def _compare(folder: Path, identity: Identity, destination: Path, run: Run) -> None:
    """Compare first, middle and last slice of an output with their sources."""
    run(folder, destination, identity=identity)
    sources = {one.sop_instance_uid: one.path for found in find_series(folder) for one in found.instances}
    (written,) = find_series(destination)
    instances = written.instances
    for one in {0: instances[0], 1: instances[len(instances) // 2], 2: instances[-1]}.values():
        origin = one.sop_instance_uid
        if identity == "derived":
            source_images = pydicom.dcmread(one.path, stop_before_pixels=True).SourceImageSequence
            origin = str(source_images[-1].ReferencedSOPInstanceUID)
        new = _errors(one.path) - _errors(sources[origin])
        assert not new, one.name


CORPUS_FOLDERS = [
    "SYNTHPIX_m4t_pet_wholebody",
    "d2n_generic_anatomical_002_non_isotropic",
    "d2n_generic_compressed_j2k",
    "d2n_hitachi_anatomical",
    "dcm_qa_ct_philips_gantry_part12",
    "dcm_qa_philips_magdeburg_epi",
    "dcm_qa_uih_dti_4d",
    "dcmstack_16echo",
    "torchio_ct17",
]
"""One of each maker and of each way to be odd that this check can see."""
WHEEL_FOLDERS = ["77654033/CR1", "77654033/CT2", "98892001/CT5N", "98892003/MR700"]


def test_a_planted_error_is_seen(tmp_path: Path) -> None:
    """The check itself: an Image Type without value 3, as careless tools write it, is an error for CT."""
    (right,) = write_series(tmp_path / "right", slices=1)
    (wrong,) = write_series(tmp_path / "wrong", slices=1, attributes={"ImageType": r"DERIVED\SECONDARY"})
    assert _errors(wrong) - _errors(right)
    assert not _errors(right) - _errors(wrong)


@pytest.mark.parametrize("identity", IDENTITIES)
def test_sample(identity: Identity, tmp_path: Path, run: Run) -> None:
    """What the README shows must stand up to the checker that hospitals use."""
    _compare(SAMPLE, identity, tmp_path / "out", run)


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("modality", ["CT", "MR", "PT", "NM", "MG", "CR", "DX", "US", "SC"])
def test_modality(modality: str, identity: Identity, tmp_path: Path, run: Run) -> None:
    """Each class has modules and Image Type values of its own."""
    features: dict[str, Any] = {"bits_stored": 16, "signed": modality == "PT"} if modality in ("PT", "NM") else {}
    write_series(tmp_path / "in", slices=1, modality=modality, **features)
    _compare(tmp_path / "in", identity, tmp_path / "out", run)


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("features", ["source_images", "referenced_series", "contributing_equipment", "limits"])
def test_what_is_appended(features: str, identity: Identity, tmp_path: Path, run: Run) -> None:
    """Items beside older ones, and texts at their limit, must be as valid as alone."""
    varieties: dict[str, dict[str, Any]] = {
        "source_images": {"source_images": "121322", "derivation_codes": True},
        "referenced_series": {"referenced_series": "both", "referenced_images": "same"},
        "contributing_equipment": {"contributing_equipment": "odd"},
        "limits": {"attributes": {
            "SeriesDescription": "d" * 64, "DerivationDescription": "t" * 1024, "SeriesNumber": "2147483647",
        }},
    }  # fmt: skip
    write_series(tmp_path / "in", slices=1, **varieties[features])
    _compare(tmp_path / "in", identity, tmp_path / "out", run)


def _turns(folders: list[str]) -> list[tuple[str, Identity]]:
    """Return each folder as derived, and every third as a copy: its header is that of the source in any case."""
    return [*((name, "derived") for name in folders), *((name, "copy") for name in folders[::3])]


@pytest.mark.parametrize(("name", "identity"), _turns(WHEEL_FOLDERS))
def test_series_of_pydicom(name: str, identity: Identity, tmp_path: Path, run: Run) -> None:
    """Old instances, from before many a rule: what they lack is theirs, nothing is added."""
    folder = WHEEL / "dicomdirtests" / name
    _compare(folder, identity, tmp_path / "out", run)


@pytest.mark.parametrize(("name", "identity"), _turns(CORPUS_FOLDERS))
def test_series_of_the_corpus(name: str, identity: Identity, tmp_path: Path, run: Run, corpus: Path) -> None:
    """Series of many makers, with their own deviations."""
    _compare(corpus / name, identity, tmp_path / "out", run)


def test_names_of_the_standard_are_never_hidden(tmp_path: Path, run: Run, verify: Verify) -> None:
    """A scan is often called CT or Image Type: then what is wrong could not be read, were it hidden as a value."""
    texts = {"ProtocolName": "CT", "StudyDescription": "Image Type", "PatientName": "Value^Missing",
             "OperatorsName": "LO^attribute", "SeriesDescription": "HU"}  # fmt: skip
    write_series(tmp_path / "in", slices=1, attributes=texts)
    run(tmp_path / "in", tmp_path / "out")
    for file in (tmp_path / "out").iterdir():
        dataset = pydicom.dcmread(file)
        dataset.ImageType = ["DERIVED", "SECONDARY"]
        dataset.PhotometricInterpretation = "RGB"
        del dataset.PositionReferenceIndicator
        dataset.PatientBirthDate = "Missing"
        dataset.save_as(file)
    told = [one.message for one in verify(tmp_path / "in", tmp_path / "out", dciodvfy=True).findings
            if one.check == "VAL-01"]  # fmt: skip
    assert "dciodvfy: Error - A value is required for value 3 in CT Images - attribute <ImageType>" in told
    assert any("for value 1 of attribute <Photometric Interpretation>" in one for one in told)
    assert any("Missing attribute Type 2 Required Element=<PositionReferenceIndicator>" in one for one in told)
    dates = [one for one in told if "0x0030) DA" in one]
    assert dates
    for date in dates:
        assert date.startswith("dciodvfy: Error - Value invalid for this VR - (0x0010,0x0030) DA Patient's Birth Date")
        assert "Missing" not in date


def test_values_of_the_files_are_hidden(tmp_path: Path) -> None:
    """Wherever they stand in a line, but where a name of the standard is the same word."""
    lines = (
        "Error - Zzqx says <Zzqx> - (0x0010,0x0010) PN Patient's Name  PN [1] = <Zzqx>",
        "Warning - CT of Zzqx is no CT Image of a Patient",
    )
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho CTImage\ncase $1 in */out/*) cat <<'E'\n{lines[0]}\n{lines[1]}\nE\nesac\n")
    program.chmod(0o755)
    names = {"PatientName": "Zzqx^Patient", "ProtocolName": "CT"}
    files = [write_series(tmp_path / folder, slices=1, attributes=names)[0] for folder in ("in", "out")]
    judgement = new_messages(program, *files)
    assert judgement is not None
    assert judgement.lines == (
        "Error - <> says <> - (0x0010,0x0010) PN Patient's Name  PN [1] <>",
        "Warning - CT of <> is no CT Image of a <>",
    )


# ------------------------------------------------------------------- sources that dciodvfy reads otherwise

UNLIKE = ["claims_implicit", "claims_big", "meta_in_data_set", "out_of_order"]
"""dciodvfy gives these files up half-way, and finds no fault in what follows."""
OTHER_WORDS = [
    "claims_explicit",
    "meta_bare_implicit",
    "charset_misspelt",
    "uid_leading_zero",
    "ophthalmic",
    "ophthalmic_colour",
    "ophthalmic_16",
]
KINDS = [
    "plain_ct", "implicit", "deflated", "big_endian", "enhanced", "enhanced_ct", "segmentation", "parametric_map",
    "multi_frame", "jpeg_baseline", "un_ruled", "charset_chrH32", "nm_plain", "ybr_rle",
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "identity"), [*((name, "derived") for name in [*UNLIKE, *OTHER_WORDS, *KINDS]), ("out_of_order", "copy")]
)
def test_what_is_published_passes(name: str, identity: Identity, tmp_path: Path, run: Run, verify: Verify) -> None:
    """What dciodvfy cannot read in the source, or says of it by other words, is no fault of what was written."""
    write_case(name, tmp_path / "in")
    run(tmp_path / "in", tmp_path / "out", identity=identity)
    report = verify(tmp_path / "in", tmp_path / "out", dciodvfy=True)
    assert [finding for finding in report.findings if finding.severity == "error"] == []
    assert report.verdict == "pass"
    told = [finding for finding in report.findings if finding.check == "VAL-01"]
    assert all("dciodvfy" in finding.message for finding in told)
    if name in UNLIKE:
        assert any("does not read the source as it stands" in finding.message for finding in told)


@pytest.mark.parametrize("identity", ["derived", "copy"])
def test_what_an_irregular_source_would_have_is_not_judged(
    identity: Identity, tmp_path: Path, run: Run, verify: Verify
) -> None:
    """A length of the short form behind VR UN, behind an element that makes dciodvfy give the source up."""
    for file in write_case("meta_in_data_set", tmp_path / "in"):
        content = file.read_bytes()
        assert b"\x20\0\x32\0DS" in content
        file.write_bytes(content.replace(b"\x20\0\x32\0DS", b"\x20\0\x32\0UN"))
    run(tmp_path / "in", tmp_path / "out", identity=identity)
    report = verify(tmp_path / "in", tmp_path / "out", dciodvfy=True)
    assert report.verdict == "pass"
    said = [finding for finding in report.findings if finding.check == "VAL-01" and not finding.inherited]
    assert {finding.severity for finding in said} <= {"warning", "info"}


def test_faults_of_values_in_a_source_that_is_given_up_are_known(tmp_path: Path, run: Run, verify: Verify) -> None:
    """pydicom, which encodes the source again for dciodvfy, would read a text without the bytes that pad it."""
    for file in write_case("out_of_order", tmp_path / "in"):
        content = file.read_bytes()
        assert b"Model 7 " in content
        file.write_bytes(content.replace(b"Model 7 ", b"Model 7\0"))
    run(tmp_path / "in", tmp_path / "out")
    assert verify(tmp_path / "in", tmp_path / "out", dciodvfy=True).verdict == "pass"


def test_words_of_a_source_that_is_given_up_are_in_their_order(tmp_path: Path, run: Run, verify: Verify) -> None:
    """Of a lookup table in Big Endian, dciodvfy looks at the largest word."""
    for file in write_series(tmp_path / "in", **{**CASES["modality_lut"].keywords, "transfer_syntax": "big"}):
        content, syntax = file.read_bytes(), b"\0\2\0\x10UI\0\x141.2.840.10008.1.2.2\0"
        at = content.index(b"\0\x08\0\x60CS")
        file.write_bytes(content[:at] + syntax + content[at:])
    run(tmp_path / "in", tmp_path / "out")
    assert verify(tmp_path / "in", tmp_path / "out", dciodvfy=True).verdict == "pass"


@pytest.mark.parametrize("vr", [b"??", b"ul", b"RE"])
def test_an_odd_vr_in_a_functional_group_is_no_obstacle(vr: bytes, tmp_path: Path, run: Run, verify: Verify) -> None:
    """dciodvfy gives up there, in both files, and of half a file it says what is true of neither."""
    for file in write_case("enhanced", tmp_path / "in"):
        content = file.read_bytes()
        assert b"\x20\0\x57\x90UL" in content
        file.write_bytes(content.replace(b"\x20\0\x57\x90UL", b"\x20\0\x57\x90" + vr))
    run(tmp_path / "in", tmp_path / "out")
    report = verify(tmp_path / "in", tmp_path / "out", dciodvfy=True)
    assert report.verdict == "pass"
    assert not [finding.message for finding in report.findings if "not judged" in finding.message]


@pytest.mark.parametrize("name", ["claims_implicit", "out_of_order", "meta_bare", "uid_leading_zero"])
def test_an_error_of_the_output_is_found_whatever_the_source(
    name: str, tmp_path: Path, run: Run, verify: Verify
) -> None:
    write_case(name, tmp_path / "in")
    run(tmp_path / "in", tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        dataset = pydicom.dcmread(path)
        del dataset.RescaleSlope
        dataset.save_as(path)
    report = verify(tmp_path / "in", tmp_path / "out", dciodvfy=True)
    errors = [finding for finding in report.findings if (finding.check, finding.severity) == ("VAL-01", "error")]
    assert [finding.path for finding in errors] == ["RescaleSlope"]


def test_image_type_value_3_of_ophthalmic_photography_is_told(tmp_path: Path, run: Run, verify: Verify) -> None:
    """Its only term, MONTAGE, would be untrue (PS3.3 C.8.17.2.1.4): the value is left out, and that is said."""
    write_case("ophthalmic", tmp_path / "in")
    run(tmp_path / "in", tmp_path / "out")
    report = verify(tmp_path / "in", tmp_path / "out", dciodvfy=True)
    told = [finding.message for finding in report.findings if finding.check == "VAL-01" and finding.inherited]
    assert any("Value 3 is required" in message and "were it called DERIVED" in message for message in told)


@pytest.mark.parametrize("does", ["kill -11 $$", "exec sleep 30", "exit 0"])
def test_a_checker_that_crashes_hangs_or_is_mute_judges_nothing(
    does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("itk_roundtrip.verify.conformance.TIMEOUT_SECONDS", 0.3)
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)
    (file,) = write_series(tmp_path / "in", slices=1)
    assert new_messages(program, file, file) is None


def test_a_checker_that_crashes_on_the_source_only_judges_by_a_clean_encoding(tmp_path: Path) -> None:
    real = find_program()
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\ncase "$1" in */in/*) kill -11 $$;; esac\nexec {real} "$1"\n')
    program.chmod(0o755)
    (source,) = write_series(tmp_path / "in", slices=1, attributes={"KVP": None})
    (wrong,) = write_series(tmp_path / "wrong", slices=1, attributes={"KVP": None, "RescaleSlope": None})
    (same,) = write_series(tmp_path / "same", slices=1, attributes={"KVP": None})
    assert new_messages(program, source, same) == Judgement(unlike=True)
    judgement = new_messages(program, source, wrong)
    assert judgement is not None
    (error,) = judgement.lines
    assert "RescaleSlope" in error


# --------------------------------------------------------------------------------- Image Type value 2


def _says_of_value_2(sop_class: str, value: str, file: Path) -> bool:
    """Tell whether dciodvfy finds fault with Image Type value 2 of a derived image."""
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, "2.25.1"
    dataset.ImageType = ["DERIVED", value, "X", "Y"]
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.save_as(file, enforce_file_format=True)
    told = subprocess.run([DCIODVFY, file], capture_output=True, text=True, errors="replace", check=False)
    return f"enumerated value <{value}> for value 2 of attribute <Image Type>" in told.stdout + told.stderr


def test_the_rule_for_image_type_value_2_is_that_of_dciodvfy(tmp_path: Path) -> None:
    """A second opinion on every SOP Class of images."""
    kinds = [one for one, entry in uid.UID_dictionary.items() if entry[1] == "SOP Class" and "Storage" in entry[0]]
    images = {one for one in kinds if "Image Storage" in uid.UID_dictionary[one][0]} | set(PRIMARY_SOP_CLASSES)
    refused = {one for one in images if _says_of_value_2(one, "SECONDARY", tmp_path / "file.dcm")}
    assert len(refused) > 20
    assert refused <= set(PRIMARY_SOP_CLASSES)
    assert not any(_says_of_value_2(one, "PRIMARY", tmp_path / "file.dcm") for one in refused)
