"""What must be one in a series and is not; files that are there twice; and volumes that only their times tell apart."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from conftest import Run, Verify
from synthetic import CASES, SPACING_MM, make_uid, write_case, write_series

from itk_roundtrip import (
    AmbiguousSeriesError,
    Series,
    SeriesReadError,
    UnsupportedSeriesError,
    derive,
    find_series,
    read_series,
)
from itk_roundtrip import (
    write_series as write_volume,
)
from itk_roundtrip.show.report import find_document

PATIENT = ("INVENTED-1", "INVENTED-2", "Nobody", "Other^One", "19700101", "19710203")
"""Values of patients in the cases."""


def only_series(folder: Path) -> Series:
    """Return the series of a folder; there must be one."""
    (series,) = find_series(folder)
    return series


# ------------------------------------------------------------------------------------- what a series has one of

MIXED = {
    "mixed_frames_of_reference": ("mixed-frame-of-reference", 2, "UID-03"),
    "mixed_patients": ("mixed-patient", 2, "CNT-01"),
    "mixed_birth_dates": ("mixed-patient", 2, "CNT-01"),
    "mixed_studies": ("mixed-study", 2, "UID-03"),
    "mixed_modalities": ("mixed-modality", 2, "CNT-01"),
    "mixed_equipment": ("mixed-equipment", 1, "EQP-01"),
    "mixed_patient_positions": ("mixed-patient-position", 1, "HDR-03"),
    "mixed_units": ("mixed-units", 2, "HDR-03"),
    "mixed_rescale_types": ("mixed-rescale-type", 2, "HDR-03"),
    "mixed_pixel_spacings": ("mixed-spacing", 2, "GEO-01"),
}
"""By case: the irregularity, how many volumes there are, and the check under which it is inherited."""


@pytest.mark.parametrize("name", MIXED)
def test_what_is_mixed_is_told_and_inherited(name: str, verify: Verify, tmp_path: Path) -> None:
    """``find`` and ``verify`` say the same; an identical copy passes, with a warning; no value of a patient is told."""
    kind, volumes, check = MIXED[name]
    files = write_case(name, tmp_path / "in")
    series = only_series(tmp_path / "in")
    told = {one.kind: one for one in series.irregularities}
    assert told[kind].files == (files[-1].name,)
    assert len(series.volumes) == volumes
    if volumes > 1:
        with pytest.raises(AmbiguousSeriesError):
            read_series(series)
    shutil.copytree(tmp_path / "in", tmp_path / "out")
    report = verify(tmp_path / "in", tmp_path / "out")
    assert report.verdict == "pass"
    found = [one for one in report.findings if one.check == check and told[kind].message in one.message]
    assert [(one.severity, one.inherited) for one in found] == [("warning", True)]
    said = " ".join(
        [*(one.message for one in report.findings), repr(series), str(find_document(find_series(tmp_path), tmp_path))]
    )
    assert not any(value in said for value in PATIENT)


@pytest.mark.parametrize("name", [name for name in MIXED if CASES[name].expected("derived") == "refused"])
def test_no_one_series_is_derived_of_several(name: str, tmp_path: Path) -> None:
    """The error names two files, the attribute and the section that forbids it; a volume of one kind may be derived."""
    files = write_case(name, tmp_path / "in")
    series = only_series(tmp_path / "in")
    volume = read_series(series, volume=0 if len(series.volumes) > 1 else None)
    if len(series.volumes) > 1:
        assert write_volume(derive(volume), tmp_path / "out").verdict == "pass"
        return
    with pytest.raises(UnsupportedSeriesError, match=r"PS3\.3 A\.1\.2\.3") as caught:
        write_volume(derive(volume), tmp_path / "out")
    assert files[0].name in str(caught.value)
    assert files[-1].name in str(caught.value)


def test_names_of_one_patient(tmp_path: Path) -> None:
    """A name is written in several ways; where there is no Patient ID, it is all there is."""
    other = {"attributes": {"PatientName": "Nobody^Noelle"}}
    write_series(tmp_path / "a", last_slice=other)
    series = only_series(tmp_path / "a")
    assert [one.kind for one in series.irregularities] == ["mixed-patient"]
    assert len(series.volumes) == 1
    write_series(tmp_path / "b", attributes={"PatientID": ""}, last_slice=other)
    assert only_series(tmp_path / "b").separated_by == "patient"


@pytest.mark.parametrize("name", ["Nobody^Noel^^^", "Nobody^Noel "])
def test_the_same_name_otherwise_written(name: str, tmp_path: Path) -> None:
    """Empty components at the end and padding are no difference (PS3.5 6.2.1)."""
    write_series(tmp_path, last_slice={"attributes": {"PatientName": name}})
    assert not only_series(tmp_path).irregularities


def test_one_that_became_mixed_is_an_error(verify: Verify, tmp_path: Path) -> None:
    """Only what the source has is inherited."""
    write_series(tmp_path / "in")
    write_series(tmp_path / "out", last_slice={"attributes": {"PatientPosition": "FFS"}})
    report = verify(tmp_path / "in", tmp_path / "out")
    assert [one.tag for one in report.findings if one.severity == "error"] == ["(0018,5100)"]


def test_run_warns_of_what_is_mixed(run: Run, tmp_path: Path) -> None:
    write_case("mixed_patients", tmp_path / "in")
    result = run(tmp_path / "in", tmp_path / "out", identity="copy")
    assert any(one.startswith("mixed patients (Patient ID, Patient's Name): 1 of 4 files") for one in result.warnings)


# ---------------------------------------------------------------------------------------------- files there twice


def test_a_file_that_is_there_twice_is_taken_once(run: Run, verify: Verify, tmp_path: Path) -> None:
    """Several exports of one series in one folder are that series; each copy is named."""
    files = write_series(tmp_path / "in" / "first")
    shutil.copytree(tmp_path / "in" / "first", tmp_path / "in" / "second")
    found = find_series(tmp_path / "in")
    assert [one.name for one in found[0].instances] == [f"first/{file.name}" for file in files]
    assert [(one.name, one.duplicate_of) for one in found.skipped] == [
        (f"second/{file.name}", f"first/{file.name}") for file in files
    ]
    assert not found[0].irregularities
    result = run(tmp_path / "in", tmp_path / "out", identity="copy")
    assert result.warnings[0] == (
        f"second/{files[0].name} was left out: the same as first/{files[0].name}, byte for byte, which was taken."
    )
    for written in (tmp_path / "out", tmp_path / "in"):
        report = verify(tmp_path / "in", written)
        assert report.verdict == "pass"
        assert report.source_slices == len(files)
        assert not any(one.check == "CNT-01" for one in report.findings)


def test_a_written_file_that_is_there_twice_is_an_error(verify: Verify, tmp_path: Path) -> None:
    files = write_series(tmp_path / "in")
    shutil.copytree(tmp_path / "in", tmp_path / "out")
    shutil.copy(tmp_path / "out" / files[0].name, tmp_path / "out" / "again.dcm")
    report = verify(tmp_path / "in", tmp_path / "out")
    assert [one.check for one in report.findings if one.severity != "info"] == ["UID-02"]


def test_what_was_written_into_the_source_folder_is_no_source(verify: Verify, tmp_path: Path) -> None:
    """The same bytes there and here: the source's are compared with those that were written."""
    write_series(tmp_path / "in")
    shutil.copytree(tmp_path / "in", tmp_path / "in" / "a copy")
    report = verify(tmp_path / "in", tmp_path / "in" / "a copy")
    assert (report.verdict, report.source_slices, report.slices) == ("pass", 4, 4)


def test_different_files_of_one_instance_are_refused(tmp_path: Path) -> None:
    """Nobody knows which is right; both are named, and what to do."""
    files = write_series(tmp_path, attributes={"SOPInstanceUID": [make_uid("instance", 0, k % 3) for k in range(4)]})
    with pytest.raises(SeriesReadError) as caught:
        read_series(only_series(tmp_path))
    assert str(caught.value) == (
        f"{files[0].name} and {files[3].name} differ and have one SOP Instance UID; remove one of them, or put each"
        " into a folder of its own."
    )


def test_a_broken_file_beside_is_inherited(verify: Verify, tmp_path: Path) -> None:
    """What lies beside the source may lie beside its copy."""
    write_series(tmp_path / "in", beside=("empty",))
    shutil.copytree(tmp_path / "in", tmp_path / "out")
    assert verify(tmp_path / "in", tmp_path / "out").verdict == "pass"


# ------------------------------------------------------------------------------------------- volumes in time

SLICES, TIMES = 3, 4
ORDER = [(7 * index + 3) % (SLICES * TIMES) for index in range(SLICES * TIMES)]
"""Which slice of which time each file holds, in the order of names: ``divmod(one, SLICES)``."""


def write_times(folder: Path, attributes: Mapping[str, Sequence[Any] | Any], modality: str = "PT") -> None:
    """Write several volumes; lists have one value per volume, or one per file in the order of their times."""
    values: dict[str, Any] = {"InstanceNumber": "1"}
    for keyword, value in attributes.items():
        several = isinstance(value, list)
        whole = several and len(value) == SLICES * TIMES
        values[keyword] = [value[one if whole else one // SLICES] for one in ORDER] if several else value
    values["ImagePositionPatient"] = [f"-10\\-20\\{SPACING_MM * (one % SLICES)}" for one in ORDER]
    write_series(folder, slices=SLICES * TIMES, modality=modality, attributes={
        "ImageOrientationPatient": r"1\0\0\0\1\0", "NumberOfSlices": [[SLICES]] * len(ORDER), **values})  # fmt: skip
    if modality != "PT":
        for file in folder.iterdir():
            dataset = pydicom.dcmread(file)
            del dataset.NumberOfSlices
            dataset.save_as(file)


def times(series: Series) -> list[list[tuple[int, int]]]:
    """Return the (time, slice) of the files of each volume."""
    names = sorted(one.name for one in series.instances)
    return [[divmod(ORDER[names.index(one.name)], SLICES) for one in volume.instances] for volume in series.volumes]


EACH = [[(time, place) for place in range(SLICES)] for time in range(TIMES)]
INDEX = [[one + 1] for one in range(SLICES * TIMES)]
CASES_IN_TIME: dict[str, tuple[str, str, dict[str, Any]]] = {
    "dynamic, by Image Index": ("PT", "time slice", {"ImageIndex": INDEX}),
    "dynamic, numbers that restart": ("PT", "time slice", {
        "ImageIndex": INDEX, "InstanceNumber": ["1", "2", "3"] * TIMES}),
    "dynamic, numbers permuted": ("PT", "time slice", {
        "ImageIndex": INDEX, "InstanceNumber": [str(5 * one % 13) for one in range(1, 13)]}),
    "dynamic, Image Index against acquisition times": ("PT", "time slice", {
        "ImageIndex": INDEX, "AcquisitionTime": [f"10{one:02d}00" for one in range(12, 0, -1)]}),
    "dynamic, by Frame Reference Time": ("PT", "FrameReferenceTime", {
        "FrameReferenceTime": ["5000", "15000", "40000", "100000"], "ActualFrameDuration": ["10", "10", "40", "80"]}),
    "dynamic, Image Index all the same": ("PT", "FrameReferenceTime", {
        "ImageIndex": [[1]] * 12, "FrameReferenceTime": ["5000", "15000", "40000", "100000"]}),
    "dynamic, each slice with its own time": ("PT", "FrameReferenceTime order", {
        "FrameReferenceTime": [str(10000 * (one // SLICES) + 7 * one) for one in range(SLICES * TIMES)]}),
    "gated, by Trigger Time": ("PT", "TriggerTime", {
        "SeriesType": r"GATED\IMAGE", "TriggerTime": ["0", "120.5", "240", "1000"]}),
    "MR by Temporal Position Identifier": ("MR", "TemporalPositionIdentifier", {
        "TemporalPositionIdentifier": ["1", "2", "3", "10"]}),
    "MR by Trigger Time of each slice": ("MR", "TriggerTime order", {
        "TriggerTime": [str(300 * (one // SLICES) + 11 * (one % SLICES)) for one in range(SLICES * TIMES)]}),
    "MR by Acquisition Time of each slice": ("MR", "AcquisitionTime order", {
        "AcquisitionTime": [f"10{one // SLICES:02d}{one % SLICES:02d}.5" for one in range(SLICES * TIMES)]}),
    "MR by Acquisition Time, numbers permuted": ("MR", "AcquisitionTime order", {
        "AcquisitionTime": [f"10{one // SLICES:02d}{one % SLICES:02d}" for one in range(SLICES * TIMES)],
        "InstanceNumber": [str(5 * one % 13) for one in range(1, 13)]}),
    "CT by Acquisition Time, over midnight": ("CT", "AcquisitionTime", {
        "AcquisitionDate": ["20200203"] * 2 + ["20200204"] * 2,
        "AcquisitionTime": ["235930", "235950", "000010", "000030"]}),
    "CT by Acquisition DateTime of each slice": ("CT", "AcquisitionDateTime order", {
        "AcquisitionDateTime": [f"2020020{3 + one // 6}{'00' if one > 5 else '23'}{one:02d}00.25+0100"
                                for one in range(SLICES * TIMES)]}),
    "MR by Content Time of each slice": ("MR", "ContentTime order", {
        "ContentTime": [f"10{one // SLICES:02d}{one % SLICES:02d}" for one in range(SLICES * TIMES)]}),
    "CT by Temporal Position Identifier": ("CT", "TemporalPositionIdentifier", {
        "TemporalPositionIdentifier": ["1", "2", "3", "4"], "InstanceNumber": ["3", "2", "1"] * TIMES}),
}  # fmt: skip
"""By name: modality, what tells the volumes apart, and the attributes."""


@pytest.mark.parametrize("name", CASES_IN_TIME)
def test_volumes_are_told_apart_by_their_times(name: str, tmp_path: Path) -> None:
    """Each volume has one time and its slices in order, whatever the numbers and names of files are."""
    modality, by, attributes = CASES_IN_TIME[name]
    write_times(tmp_path, attributes, modality)
    series = only_series(tmp_path)
    assert series.separated_by == by
    assert times(series) == EACH
    assert {one.kind for one in series.irregularities} == {"4-D"}


def test_the_volumes_of_a_dynamic_series_are_read(tmp_path: Path) -> None:
    """Pixels and places are those of the files."""
    write_times(tmp_path, {"ImageIndex": INDEX, "RescaleSlope": "2", "RescaleIntercept": "0"})
    series = only_series(tmp_path)
    volume = read_series(series, volume=2)
    for index, one in enumerate(series.volumes[2].instances):
        assert np.array_equal(volume.array_zyx[index], pydicom.dcmread(one.path).pixel_array * 2.0)
    assert tuple(volume.image.GetSpacing())[2] == SPACING_MM


@pytest.mark.parametrize("keyword", ["EchoTime", "InstanceNumber"])
def test_a_missing_file_may_mix_what_only_an_order_tells_apart(keyword: str, tmp_path: Path) -> None:
    """Nobody can say which of its volumes it is missing in, if not an attribute of their own."""
    files = write_series(tmp_path, slices=6, modality="MR", attributes={
        "ImagePositionPatient": [rf"0\0\{one % 3}" for one in range(6)], "AcquisitionNumber": "1",
        "EchoTime": [str(one // 3 if keyword == "EchoTime" else 3) for one in range(6)]})  # fmt: skip
    files[1].unlink()
    (told,) = only_series(tmp_path).irregularities
    assert told.kind == "duplicate-position"
    assert ("a volume may mix them" in told.message) == (keyword == "InstanceNumber")


def test_a_whole_body_is_one_volume(tmp_path: Path) -> None:
    """Beds have their own times, and no position twice."""
    write_series(tmp_path, slices=6, modality="PT", attributes={
        "SeriesType": r"WHOLE BODY\IMAGE", "NumberOfSlices": [[6]] * 6, "ImageIndex": [[one + 1] for one in range(6)],
        "FrameReferenceTime": ["5000"] * 3 + ["95000"] * 3})  # fmt: skip
    series = only_series(tmp_path)
    assert len(series.volumes) == 1
    assert not series.irregularities
