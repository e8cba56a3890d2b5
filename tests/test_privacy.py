"""No value that may identify a person gets into what is printed or written, unless the user asks for it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from conftest import SAMPLE
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from typer.testing import CliRunner

from itk_roundtrip.cli import app
from itk_roundtrip.dicom.privacy import may_show

pytestmark = pytest.mark.usefixtures("_lent")

MARK = "Zzqx"
TEXTS = frozenset({"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
HARMLESS = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning", "RescaleType")
SHOWN = (
    "SeriesDescription",
    "ImageType",
    "RescaleSlope",
    "Rows",
    "PixelSpacing",
    "SOPInstanceUID",
    "KVP",
    "BodyPartExamined",
)
HIDDEN = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "PatientWeight", "AccessionNumber",
    "StudyDate", "StudyTime", "AcquisitionDateTime", "InstitutionName", "InstitutionAddress", "StationName",
    "DeviceSerialNumber", "ReferringPhysicianName", "OperatorsName", "StudyDescription", "ProtocolName", "StudyID",
    "ImageComments", "AdmittingDiagnosesDescription", "GPSLatitude", "ModifyingDeviceID", "DerivationDescription",
)  # fmt: skip


@pytest.mark.parametrize(("keywords", "shown"), [(SHOWN, True), (HIDDEN, False)], ids=["shown", "hidden"])
def test_what_may_be_shown(keywords: tuple[str, ...], shown: bool) -> None:
    tags = {keyword: tag_for_keyword(keyword) or 0 for keyword in keywords}
    assert [name for name, tag in tags.items() if may_show(tag, tag, dictionary_VR(tag)) != shown] == []


def test_codes_are_shown_where_they_speak_of_the_image_only() -> None:
    """The code of a purpose is harmless, that of an admitting diagnosis or an operator is not."""
    code = tag_for_keyword("CodeMeaning") or 0
    shown = {name: may_show(tag_for_keyword(name) or 0, code, "LO") for name in (
        "SourceImageSequence", "AdmittingDiagnosesCodeSequence", "OperatorIdentificationSequence",
    )}  # fmt: skip
    assert shown == {
        "SourceImageSequence": True, "AdmittingDiagnosesCodeSequence": False, "OperatorIdentificationSequence": False,
    }  # fmt: skip


def test_private_and_unknown_values_are_hidden() -> None:
    assert not may_show(0x00291001, 0x00291001, "US")
    assert not may_show(0x00083456, 0x00083456, "")
    assert not may_show(0x00083456, 0x00083456, "UN")


def marked(dataset: Dataset, number: int) -> Iterator[None]:
    """Put a mark into every text, at every depth."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from marked(item, number)
        elif element.VR in TEXTS and element.tag.element > 0xFF and element.keyword not in HARMLESS:
            element.value = f"{MARK}{number}"
            yield


def folder_with_marks(folder: Path, number: int) -> Path:
    folder.mkdir()
    for name in ("CT0001.dcm", "CT0002.dcm"):
        shutil.copy(SAMPLE / name, folder / name)
        dataset = pydicom.dcmread(folder / name)
        assert len(list(marked(dataset, number))) > 25
        del dataset.SeriesDescription  # shown in tables
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[name])
        dataset.save_as(folder / name)
    return folder


@pytest.mark.parametrize("output", ["table", "--json", "--html", "--verbose"])
def test_no_value_that_may_identify_is_told(tmp_path: Path, output: str) -> None:
    """Every text of both sides is marked, and all of them differ: none may come out."""
    source, written = folder_with_marks(tmp_path / "in", 1), folder_with_marks(tmp_path / "out", 2)
    page = tmp_path / "page.html"
    options = {"table": [], "--json": ["--json"], "--html": ["--html", str(page)],
               "--verbose": ["--verbose"]}[output]  # fmt: skip
    result = CliRunner().invoke(app, ["verify", str(source), str(written), *options])
    assert result.exit_code == 1
    told = result.output + (page.read_text() if page.exists() else "")
    assert MARK not in told
    if output != "--verbose":
        shown = CliRunner().invoke(app, ["verify", str(source), str(written), *options, "--show-values"])
        assert MARK in shown.output + (page.read_text() if page.exists() else "")
