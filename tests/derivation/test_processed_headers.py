"""The header of processed pixels: bits, scale, units, padding, windows, mappings, what was done and from what."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from synthetic import item, make_uid, write_series

from itk_roundtrip import RoundtripError, __version__, rules, tags
from itk_roundtrip.derivation.caller import caller_edits
from itk_roundtrip.derivation.functional_groups import functional_group_edits
from itk_roundtrip.derivation.plan import (
    PixelChange,
    SeriesPlan,
    SourceSlice,
    declared,
    dictionary_edits,
    edits,
    plan_series,
    statement,
)
from itk_roundtrip.derivation.processing import (
    OPERATION_LIMIT,
    Code,
    ProcessedPixels,
    Processing,
    check_processing,
    checked_code,
    parse_code,
)
from itk_roundtrip.dicom.headers import PixelData, complete, read_header
from itk_roundtrip.dicom.values import raw, unsigned_short
from itk_roundtrip.rules import UNCHANGED

DCIODVFY = Path(sys.executable).with_name("dciodvfy")
MEDIAN = Processing("Median, radius 1", volume_digest="0a")
SMOOTHING = Code("113087", "DCM", "Smoothing")


def source_slice(dataset: Dataset, pass_index: int = 0) -> SourceSlice:
    return SourceSlice(
        name="IM1.dcm",
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        study_instance_uid=str(dataset.StudyInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        modality=str(dataset.get("Modality", "")),
        series_number="4",
        instance_number=str(dataset.get("InstanceNumber", "")),
        timezone_offset="",
        pass_index=pass_index,
    )


def plan(sources: Sequence[SourceSlice], processing: Processing | None, **options: Any) -> SeriesPlan:
    given: dict[str, Any] = {"comment": "", "unchanged": processing is None, **options}
    versions = (f"itk-roundtrip {__version__}", "ITK 0.0")
    return plan_series(
        sources, options={}, version=__version__, software_versions=versions, processing=processing, **given
    )


def as_they_are(dataset: Dataset) -> ProcessedPixels:
    """Return processed pixels in the format and on the scale of the source."""
    is_dose = "DoseGridScaling" in dataset
    return ProcessedPixels(
        bits_allocated=dataset.BitsAllocated,
        bits_stored=dataset.BitsStored,
        high_bit=dataset.HighBit,
        signed=dataset.PixelRepresentation == 1,
        smallest=5,
        largest=900,
        slope=str(dataset.DoseGridScaling if is_dose else dataset.get("RescaleSlope", "")),
        intercept="" if is_dose else str(dataset.get("RescaleIntercept", "")),
    )


@dataclass(frozen=True)
class Derived:
    """A source and what was derived of it, as pydicom reads them, and their files."""

    source: Dataset
    written: Dataset
    source_file: Path
    file: Path


Derive = Callable[..., Derived]


@pytest.fixture
def derive(tmp_path: Path) -> Derive:
    """Write a synthetic instance, and another one with the header of processed pixels."""

    def make(
        processing: Processing | None = MEDIAN,
        *,
        comment: str = "",
        pixels: dict[str, Any] | None = None,
        siblings: int = 0,
        pass_index: int = 0,
        unchanged: bool = False,
        series: dict[str, Any] | None = None,
        values: dict[str | int, Any] | None = None,
        **change: Any,
    ) -> Derived:
        (path, *others) = write_series(tmp_path / "in", slices=1 + siblings, **(series or {}))
        header = read_header(path)
        source = pydicom.dcmread(path)
        slices = [source_slice(pydicom.dcmread(other), pass_index) for other in (path, *others)]
        series_plan = plan(slices, processing, comment=comment, unchanged=unchanged)
        processed = None if processing is None or unchanged else replace(as_they_are(source), **change)
        pixel_change = PixelChange(**(pixels or {}), processed=processed)
        changes = edits(series_plan, header.values, 0, "2.25.77", pixel_change)
        said = statement(series_plan, declared(series_plan, header.values, pixel_change))
        changes |= functional_group_edits(header.values, said, processing=processing, processed=processed)
        changes |= caller_edits(header.values, values or {})
        pixel_data = None
        if processed is not None:
            count = len(source.PixelData) * 8 // source.BitsAllocated
            pixel_data = PixelData(bytes(count * processed.bits_allocated // 8), processed.bits_allocated)
        file = tmp_path / "derived.dcm"
        file.write_bytes(b"".join(complete(header, changes, pixel_data, path.name)))
        return Derived(pydicom.dcmread(path), pydicom.dcmread(file), path, file)

    return make


def vr(dataset: Dataset, keyword: str) -> str:
    return str(dataset.get_item(keyword).VR)


# --------------------------------------------------------------------------------------------- bits and words


def test_pixels_in_the_format_of_the_source_change_nothing_of_it(derive: Derive) -> None:
    """A median on the source's own grid: its slope, bits and window are true as they stand, to the byte."""
    made = derive(series={"private": "unknown", "text": "latin1"})
    before, after = (dataset.to_json_dict() for dataset in (made.source, made.written))
    for tag in before.keys() - {"0018A001"}:
        if tag[:4] in ("0018", "0028") or int(tag[3], 16) % 2:
            assert after[tag] == before[tag], tag
    before, after = (dataset.group_dataset(0x0028).to_json_dict() for dataset in (made.source, made.written))
    assert before == after


def test_wider_words(derive: Derive) -> None:
    made = derive(bits_stored=16, high_bit=15)
    assert (made.written.BitsAllocated, made.written.BitsStored, made.written.HighBit) == (16, 16, 15)
    assert "bits 12->16" in made.written.DerivationDescription


def test_bytes_become_words(derive: Derive) -> None:
    made = derive(series={"modality": "SC", "bits_allocated": 8, "bits_stored": 8}, bits_allocated=16, bits_stored=16,
                  high_bit=15)  # fmt: skip
    assert (made.written.BitsAllocated, vr(made.written, "PixelData")) == (16, "OW")


@pytest.mark.parametrize("transfer_syntax", ["explicit", "implicit"])
def test_words_of_another_sign(derive: Derive, transfer_syntax: str) -> None:
    """The VR of a stored value in the header follows Pixel Representation, and the number stays (PS3.5 6.2)."""
    made = derive(
        replace(MEDIAN, smallest=-20, largest=1000),
        series={"padding_values": "US", "transfer_syntax": transfer_syntax, "real_world_values": 1,
                "attributes": {"PixelPaddingValue": 4000, "PixelPaddingRangeLimit": 4095}},
        signed=True, bits_stored=16, high_bit=15, smallest=-7, largest=990,
    )  # fmt: skip
    written = made.written
    assert written.PixelRepresentation == 1
    assert (written.SmallestImagePixelValue, written.LargestImagePixelValue) == (-7, 990)
    assert (written.SmallestPixelValueInSeries, written.LargestPixelValueInSeries) == (-20, 1000)
    assert (written.PixelPaddingValue, written.PixelPaddingRangeLimit) == (4000, 4095)
    (mapping,) = written.RealWorldValueMappingSequence
    assert (mapping.RealWorldValueFirstValueMapped, mapping.RealWorldValueLastValueMapped) == (-32768, 32767)
    if transfer_syntax == "explicit":
        assert {vr(written, keyword) for keyword in ("SmallestImagePixelValue", "PixelPaddingValue")} == {"SS"}
        assert vr(mapping, "RealWorldValueFirstValueMapped") == "SS"
    assert "signed, max error" in written.DerivationDescription


def test_stored_values_that_no_word_holds_are_not_said(derive: Derive) -> None:
    """Stored values of 32 bits in RT Dose: their extremes and padding have words of 16."""
    series = {"modality": "RTDOSE", "frames": 1, "padding_values": "US"}
    written = derive(series=series, bits_allocated=32, bits_stored=32, high_bit=31, largest=1 << 20).written
    assert written.SmallestImagePixelValue == 5
    assert "LargestImagePixelValue" not in written
    assert "SmallestPixelValueInSeries" not in written  # of the series nothing is known


def test_extremes_that_the_source_does_not_have_are_not_added(derive: Derive) -> None:
    assert "SmallestImagePixelValue" not in derive(replace(MEDIAN, smallest=1, largest=2)).written


def test_empty_extremes_stay_empty(derive: Derive) -> None:
    written = derive(series={"attributes": {"SmallestImagePixelValue": b""}}).written
    assert written.get_item("SmallestImagePixelValue").value in (None, b"")


def test_padding_is_removed_where_it_no_longer_holds(derive: Derive) -> None:
    written = derive(series={"padding_values": "US"}, padding_kept=False).written
    assert "PixelPaddingValue" not in written
    assert "PixelPaddingRangeLimit" not in written


# ---------------------------------------------------------------------------------------------- scale and units


def test_a_new_scale(derive: Derive) -> None:
    made = derive(slope="0.0305", intercept="-1000.25")
    assert made.written.get_item("RescaleSlope").value.strip() == b"0.0305"
    assert made.written.get_item("RescaleIntercept").value.strip() == b"-1000.25"
    assert (made.written.RescaleType, made.written.WindowCenter) == ("HU", [50, -600])
    assert (
        "requantised, slope 1->0.0305, intercept -1024->-1000.25, max error 0 HU" in made.written.DerivationDescription
    )


def test_an_equal_scale_keeps_its_text(derive: Derive) -> None:
    written = derive(series={"slopes": "1.000", "intercepts": "-1024.0"}, slope="1", intercept="-1024").written
    assert written.get_item("RescaleSlope").value.strip() == b"1.000"
    assert written.get_item("RescaleIntercept").value.strip() == b"-1024.0"
    assert "requantised" not in written.DerivationDescription


def test_a_scale_where_there_was_none(derive: Derive) -> None:
    """Slope and intercept stand together (PS3.3 C.11.1); no unit is invented."""
    written = derive(series={"slopes": None, "intercepts": None}, slope="0.5").written
    assert (written.RescaleSlope, written.RescaleIntercept) == (0.5, 0)
    assert "RescaleType" not in written


def test_dose(derive: Derive) -> None:
    written = derive(series={"modality": "RTDOSE", "frames": 1}, slope="2E-05").written
    assert written.DoseGridScaling == 2e-05
    assert "RescaleSlope" not in written
    assert "max error 0 GY" in written.DerivationDescription


def test_pet_keeps_its_times_and_units(derive: Derive) -> None:
    series = {"modality": "PT", "bits_stored": 16, "signed": True}
    made = derive(series=series, slope="0.25", max_error=0.125)
    for keyword in ("SeriesDate", "SeriesTime", "ContentDate", "ContentTime", "Units", "RescaleIntercept"):
        assert made.written[keyword].value == made.source[keyword].value, keyword
    assert "slope 0.731->0.25, max error 0.125 BQML" in made.written.DerivationDescription
    assert "RescaleType" not in made.written


PET_SCALES = {0x70530010: "Philips PET Private Group", 0x70531000: "0.00021", 0x70531009: "1.5"}
MR_SCALES = {
    0x20050010: "Philips MR Imaging DD 001", 0x20050014: "Philips MR Imaging DD 005",
    0x20051009: 61.5, 0x2005100D: 0.0, 0x2005100E: 0.0043, 0x20051409: "0", 0x2005140A: "1.29",
}  # fmt: skip


def add_private(path: Path, elements: dict[int, Any]) -> None:
    dataset = pydicom.dcmread(path)
    for tag, value in elements.items():
        vr = "LO" if tag & 0xFF00 == 0 else "DS" if isinstance(value, str) else "FL"
        dataset.add_new(tag, vr, value)
    dataset.save_as(path)


def private_after(tmp_path: Path, elements: dict[int, Any], processing: Processing = MEDIAN, **change: Any) -> set[int]:
    """Return the private elements of a series after processing."""
    modality = "PT" if 0x70530010 in elements else "MR"
    (path,) = write_series(tmp_path, slices=1, modality=modality, slopes="1.29", intercepts="0", bits_stored=16)
    add_private(path, elements)
    header, source = read_header(path), pydicom.dcmread(path)
    processed = replace(as_they_are(source), **change)
    changes = edits(
        plan([source_slice(source)], processing), header.values, 0, "2.25.77", PixelChange(processed=processed)
    )
    path.write_bytes(b"".join(complete(header, changes, None, "IM")))
    return {int(element.tag) for element in pydicom.dcmread(path) if element.tag.is_private}


def test_private_scales_of_stored_values(tmp_path: Path) -> None:
    """Philips MR: pixel values in absolute units by (2005,100E). The same element of another block is geometry."""
    assert private_after(tmp_path / "kept", MR_SCALES) == MR_SCALES.keys()
    gone = {0x2005100D, 0x2005100E, 0x20051409, 0x2005140A}
    assert private_after(tmp_path / "new", MR_SCALES, slope="0.5") == MR_SCALES.keys() - gone


def test_private_scales_of_real_world_values(tmp_path: Path) -> None:
    """Philips PET: SUV is computed of rescaled counts, so that a new slope leaves the factor true; new units do not."""
    assert private_after(tmp_path / "slope", PET_SCALES, slope="0.5") == PET_SCALES.keys()
    units = replace(MEDIAN, units="GML")
    assert private_after(tmp_path / "units", PET_SCALES, units) == {0x70530010}


def test_units_of_pet(derive: Derive) -> None:
    series = {"modality": "PT", "bits_stored": 16, "attributes": {"SUVType": "BW"}}
    written = derive(replace(MEDIAN, units="GML"), series=series, slope="0.01", max_error=1 / 3).written
    assert written.Units == "GML"
    assert "SUVType" not in written
    assert "max error 0.333334 GML" in written.DerivationDescription


def test_units_of_ct(derive: Derive) -> None:
    """Another unit: the windows and mappings were of the old one."""
    series = {"voi_lut": True, "real_world_values": 1, "attributes": {"VOILUTFunction": "LINEAR"}}
    written = derive(replace(MEDIAN, units="mg/ml", rescale_type="MGML"), series=series).written
    assert written.RescaleType == "MGML"
    for keyword in ("WindowCenter", "WindowWidth", "VOILUTSequence", "VOILUTFunction", "RealWorldValueMappingSequence"):
        assert keyword not in written, keyword
    assert "max error 0 mg/ml" in written.DerivationDescription


@pytest.mark.parametrize("stated", ["HU", None])
@pytest.mark.parametrize("before", ["HU", None])
def test_the_units_of_the_source_stated_again(derive: Derive, before: str | None, stated: str | None) -> None:
    """Rescale Type may be left out where it is HU (PS3.3 C.8.2.1)."""
    made = derive(replace(MEDIAN, units=stated), series={"attributes": {"RescaleType": before}})
    assert made.written.get("RescaleType") == before
    assert "WindowCenter" in made.written


def test_units_of_dose(derive: Derive) -> None:
    series = {"modality": "RTDOSE", "frames": 1}
    assert derive(replace(MEDIAN, units="RELATIVE"), series=series).written.DoseUnits == "RELATIVE"


# -------------------------------------------------------------------------------------- Real World Value Mapping


def quantities(dataset: Dataset, stored: float) -> list[float]:
    return [
        mapping.RealWorldValueSlope * stored + mapping.RealWorldValueIntercept
        for mapping in dataset.RealWorldValueMappingSequence
    ]


def test_a_mapping_gives_the_same_quantities(derive: Derive) -> None:
    """It maps stored values, whatever the slope: on a new grid it must be another one (PS3.3 C.7.6.16.2.11)."""
    made = derive(series={"real_world_values": 2}, slope="0.25", intercept="-1000", bits_stored=16, high_bit=15)
    old, new = 300.0, (300.0 - 1024 + 1000) / 0.25
    assert quantities(made.written, new) == pytest.approx(quantities(made.source, old))
    for before, after in zip(made.source.RealWorldValueMappingSequence, made.written.RealWorldValueMappingSequence,
                             strict=True):  # fmt: skip
        assert (after.LUTLabel, after.LUTExplanation) == (before.LUTLabel, before.LUTExplanation)
        assert after.MeasurementUnitsCodeSequence == before.MeasurementUnitsCodeSequence
        assert (after.RealWorldValueFirstValueMapped, after.RealWorldValueLastValueMapped) == (0, 65535)


def test_a_mapping_of_some_stored_values_stays_one_of_these(derive: Derive) -> None:
    series = {"real_world_values": 1, "attributes": {}}
    made = derive(series=series, slope="0.5", intercept="-1024")
    (mapping,) = made.written.RealWorldValueMappingSequence
    assert (mapping.RealWorldValueFirstValueMapped, mapping.RealWorldValueLastValueMapped) == (0, 4095)
    part = item(LUTLabel="part", RealWorldValueSlope=[2.0], RealWorldValueIntercept=[0.0])
    part.put("RealWorldValueFirstValueMapped", [10], "US")
    part.put("RealWorldValueLastValueMapped", [20], "US")
    series = {"attributes": {"RealWorldValueMappingSequence": [[part]]}}
    (mapping,) = derive(series=series, slope="0.5", intercept="-1024").written.RealWorldValueMappingSequence
    assert (mapping.RealWorldValueFirstValueMapped, mapping.RealWorldValueLastValueMapped) == (20, 40)


def test_a_mapping_by_a_table_is_removed(derive: Derive) -> None:
    """Its entries are of single stored values."""
    table = item(LUTLabel="table", RealWorldValueLUTData=[1.0, 2.0])
    linear = item(LUTLabel="linear", RealWorldValueSlope=[2.0], RealWorldValueIntercept=[0.0])
    series = {"attributes": {"RealWorldValueMappingSequence": [[table, linear]]}}
    assert len(derive(series=series).written.RealWorldValueMappingSequence) == 2  # stored values mean what they meant
    (left,) = derive(series=series, slope="0.5", intercept="0").written.RealWorldValueMappingSequence
    assert (left.LUTLabel, left.RealWorldValueSlope) == ("linear", 1.0)


@pytest.mark.parametrize("existing", [0, 1])
def test_the_scale_of_mr_without_a_slope(derive: Derive, existing: int) -> None:
    """Rescale Slope is not in the IOD: the scale is a mapping, and windows of stored values go."""
    series: dict[str, Any] = {"modality": "MR"}
    if existing:
        series["real_world_values"] = existing
    made = derive(series=series, slope="0.125", intercept="3", real_world_value_mapping=True)
    for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType", "WindowCenter", "WindowWidth"):
        assert keyword not in made.written
    *older, added = made.written.RealWorldValueMappingSequence
    assert len(older) == existing
    assert (added.RealWorldValueSlope, added.RealWorldValueIntercept) == (0.125, 3)
    assert added.LUTLabel == rules.MAPPING_LABEL
    assert added.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    if existing:
        assert quantities(made.written, (80 - 3) / 0.125)[0] == pytest.approx(quantities(made.source, 80)[0])


def test_the_units_of_a_mapping(derive: Derive) -> None:
    for units, value in (("ms", "ms"), ("mm2/s", "mm2/s"), ("invented", "1")):
        made = derive(replace(MEDIAN, units=units), series={"modality": "MR"}, slope="0.125", intercept="0",
                      real_world_value_mapping=True)  # fmt: skip
        (mapping,) = made.written.RealWorldValueMappingSequence
        (unit,) = mapping.MeasurementUnitsCodeSequence
        assert (unit.CodeValue, unit.CodingSchemeDesignator) == (value, "UCUM")
        assert mapping.LUTExplanation.endswith(f" in {units}")


# ------------------------------------------------------------------------------- what speaks of the source's pixels


def test_what_shows_or_counts_the_old_pixels_is_removed(derive: Derive) -> None:
    series = {
        "icon": "bytes",
        "overlays": "two",
        "attributes": {"HistogramSequence": [[item(HistogramNumberOfBins=1)]]},
    }
    made = derive(series=series)
    assert (0x6000, 0x1301) in made.source
    for tag in (0x00880200, 0x00603000, 0x60001301, 0x60021301):
        assert tag not in made.written
    assert made.written[0x60003000].value == made.source[0x60003000].value
    kept = derive(None, series=series)
    assert all(tag in kept.written for tag in (0x00880200, 0x00603000, 0x60001301))


def test_content_times_and_qualification(derive: Derive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")
    series = {"attributes": {"ContentQualification": "PRODUCT", "TimezoneOffsetFromUTC": "+0530"}}
    written = derive(series=series).written
    assert (written.ContentDate, written.ContentTime) == ("20200913", "175640")
    assert written.ContentQualification == "RESEARCH"
    assert derive(series={"attributes": {"ContentQualification": "SERVICE"}}).written.ContentQualification == "SERVICE"
    plain = derive(None).written
    assert (plain.ContentDate, plain.ContentTime) == ("20200203", "100002.25")


def test_content_times_of_a_dynamic_series(derive: Derive) -> None:
    """Viewers order the instances at one position by them."""
    written = derive(pass_index=1).written
    assert (written.ContentDate, written.ContentTime) == ("20200203", "100002.25")


def test_content_times_that_are_missing_are_not_added(derive: Derive) -> None:
    written = derive(series={"attributes": {"ContentDate": None, "ContentTime": b""}}).written
    assert "ContentDate" not in written
    assert not written.ContentTime


def test_lossy_compression_is_inherited_from_a_neighbour(derive: Derive) -> None:
    written = derive(pixels={"lossy": ("ISO_10918_1", "10.5"), "declared": ""}).written
    assert (written.LossyImageCompression, written.LossyImageCompressionRatio) == ("01", 10.5)
    assert written.LossyImageCompressionMethod == "ISO_10918_1"


# ------------------------------------------------------------------------------------------ what is said of it


def test_description(derive: Derive) -> None:
    processing = Processing("Median", "radius 1", footprint_slices=1, irregular=True)
    made = derive(processing, comment="as agreed", max_error=0.49999999, clipped=1, filled=2, moved=3,
                  series={"attributes": {"DerivationDescription": "older"}})  # fmt: skip
    assert made.written.DerivationDescription == (
        f"older; itk-roundtrip {__version__}: Median, radius 1; max error 0.5 HU, 1 value clipped, 2 NaN or Inf to"
        " padding, 3 moved off padding; neighbours 1 slice on each side; series is irregular; user comment: as agreed"
    )
    contribution = made.written.ContributingEquipmentSequence[-1].ContributionDescription
    assert contribution.endswith(
        ": Median, radius 1; neighbours 1 slice on each side; series is irregular; user comment: as agreed"
    )
    assert made.written.SeriesDescription == "Invented series ITK processed"


def test_description_of_a_whole_volume(derive: Derive) -> None:
    written = derive(replace(MEDIAN, footprint_slices=None)).written
    assert written.DerivationDescription.endswith("Median, radius 1; max error 0 HU; whole volume")


def test_description_of_decoded_pixels(derive: Derive) -> None:
    """That stored values are unchanged is never said of processed ones, whatever the decoder left."""
    said = f"JPEG Baseline decoded by X; {UNCHANGED}"
    written = derive(pixels={"declared": said}).written
    assert "Median, radius 1; JPEG Baseline decoded by X; max error 0 HU" in written.DerivationDescription
    assert UNCHANGED not in written.DerivationDescription


def test_processing_that_changed_nothing(derive: Derive) -> None:
    """Said as such: then every attribute stays as after a plain round trip."""
    made = derive(unchanged=True, series={"icon": "bytes", "padding_values": "US"})
    assert made.written.DerivationDescription.endswith(f": Median, radius 1; {UNCHANGED}")
    assert made.written.SeriesDescription == "Invented series ITK round trip"
    for keyword in ("IconImageSequence", "SmallestImagePixelValue", "ContentTime"):
        assert made.written[keyword].value == made.source[keyword].value


def test_the_longest_description_keeps_its_claims(derive: Derive) -> None:
    """The comment goes first, then the oldest text; the operation and its figures stand."""
    processing = Processing("o" * (OPERATION_LIMIT - 2), footprint_slices=None, irregular=True)
    made = derive(processing, comment="c" * 700, slope="0.0305123456789", intercept="-1000.12345678", bits_stored=16,
                  max_error=1.23456e-5, clipped=10**9, filled=10**9, moved=10**9,
                  series={"attributes": {"DerivationDescription": "older " * 150}})  # fmt: skip
    text = made.written.DerivationDescription
    assert len(text) <= 1024
    assert text.startswith("...")
    assert "1000000000 values clipped" in text
    assert text.endswith("...")
    assert "; series is irregular; user comment: cc" in text
    assert len(made.written.ContributingEquipmentSequence[-1].ContributionDescription) <= 1024


def test_a_second_processing_is_told_after_the_first(derive: Derive) -> None:
    series = {"attributes": {"SeriesDescription": "Head ITK processed"}, "derivation_codes": True}
    made = derive(replace(MEDIAN, codes=(SMOOTHING, Code("7", "99LOCAL", "mine"))), series=series)
    assert made.written.SeriesDescription == "Head ITK processed"
    older = len(made.source.DerivationCodeSequence)
    assert made.written.DerivationCodeSequence[:older] == made.source.DerivationCodeSequence
    added = made.written.DerivationCodeSequence[older:]
    found = [(each.CodeValue, each.CodingSchemeDesignator, each.CodeMeaning) for each in added]
    assert found == [SMOOTHING, ("7", "99LOCAL", "mine")]


def test_without_a_code_there_is_none(derive: Derive) -> None:
    assert "DerivationCodeSequence" not in derive().written


def neighbours(count: int) -> tuple[tuple[str, str], ...]:
    return tuple((str(uid.CTImageStorage), make_uid("instance", 0, index)) for index in range(count))


def test_what_contributed_is_referred_to(derive: Derive) -> None:
    """The slice at the same place last, by which `verify` pairs; all of them in Referenced Series."""
    made = derive(replace(MEDIAN, footprint_slices=1), siblings=2, contributing=neighbours(3),
                  series={"source_images": "121322"})  # fmt: skip
    *older, first, second, own = made.written.SourceImageSequence
    assert [each.ReferencedSOPInstanceUID for each in older] == [make_uid("older", 0), make_uid("oldest", 0)]
    instances = [each.ReferencedSOPInstanceUID for each in (first, second, own)]
    assert instances == [make_uid("instance", 0, index) for index in (1, 2, 0)]
    for each in (first, second, own):
        assert each.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    assert own.SpatialLocationsPreserved == "YES"
    assert "SpatialLocationsPreserved" not in first
    (listed,) = made.written.ReferencedSeriesSequence
    assert {each.ReferencedSOPInstanceUID for each in listed.ReferencedInstanceSequence} == set(instances)


def test_too_many_contributors_are_not_listed(derive: Derive) -> None:
    assert len(derive(siblings=40, contributing=neighbours(33)).written.SourceImageSequence) == 33
    made = derive(siblings=40, contributing=neighbours(34)).written
    assert len(made.SourceImageSequence) == 1
    assert len(made.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 1


def test_uids_depend_on_what_was_done() -> None:
    one = SourceSlice("IM1", uid.CTImageStorage, "1.2.3", "1.2", "1.2.4", "CT", "4", "1", "", 0)
    variants = [
        None, MEDIAN, replace(MEDIAN, volume_digest="0b"), replace(MEDIAN, codes=(SMOOTHING,)),
        replace(MEDIAN, units="X"), replace(MEDIAN, rescale_type="X"), replace(MEDIAN, parameters="2"),
        replace(MEDIAN, operation="Mean"), replace(MEDIAN, footprint_slices=None),
    ]  # fmt: skip
    uids = [plan([one], processing).series_instance_uid for processing in variants]
    assert len(set(uids)) == len(variants)
    assert plan([one], MEDIAN).series_instance_uid == uids[1]
    extremes = replace(MEDIAN, smallest=1, largest=2)  # follow from the volume
    assert plan([one], extremes).series_instance_uid == uids[1]


# -------------------------------------------------------------------------------------------------- frames

EMR = {"modality": "EMR", "frames": 3, "functional_groups": "per_frame"}


def per_frame(dataset: Dataset, sequence: str) -> list[Any]:
    return [getattr(group, sequence, [None])[0] for group in dataset.PerFrameFunctionalGroupsSequence]


def test_frames_on_their_own_scale(derive: Derive) -> None:
    made = derive(replace(MEDIAN, codes=(SMOOTHING,)), series=EMR, contributing_frames=((2,), (1, 3), (2,)))
    shared = made.written.SharedFunctionalGroupsSequence[0]
    assert shared.PixelValueTransformationSequence == (
        made.source.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
    )
    assert made.written.ContentQualification == "RESEARCH"
    for before, after in zip(per_frame(made.source, "FrameContentSequence"),
                             per_frame(made.written, "FrameContentSequence"), strict=True):  # fmt: skip
        assert before == after
    for index, derivation in enumerate(per_frame(made.written, "DerivationImageSequence")):
        assert derivation.DerivationDescription == "Median, radius 1; max error 0"
        assert derivation.DerivationCodeSequence[0].CodeValue == "113087"
        others, own = derivation.SourceImageSequence
        assert own.ReferencedFrameNumber == index + 1
        assert own.SpatialLocationsPreserved == "YES"
        assert others.ReferencedFrameNumber == ([1, 3] if index == 1 else 2)


def test_frames_without_a_stated_code(derive: Derive) -> None:
    """Here a code must stand; that stored values were kept would be wrong."""
    derivation, *_ = per_frame(derive(series=EMR).written, "DerivationImageSequence")
    (found,) = derivation.DerivationCodeSequence
    assert (found.CodeValue, found.CodingSchemeDesignator, found.CodeMeaning) == rules.PROCESSING_CODE


def test_a_new_scale_of_all_frames(derive: Derive) -> None:
    made = derive(series=EMR, slope="0.25", intercept="2")
    (transformation,) = made.written.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
    assert (transformation.RescaleSlope, transformation.RescaleIntercept) == (0.25, 2)
    assert transformation.RescaleType == "US"
    assert "RescaleSlope" not in made.written
    assert per_frame(made.written, "PixelValueTransformationSequence") == [None] * 3
    assert per_frame(made.written, "FrameVOILUTSequence") == per_frame(made.source, "FrameVOILUTSequence")
    assert "slope 1.5->0.25, intercept 0->2" in made.written.DerivationDescription


def test_a_new_scale_of_each_frame(derive: Derive) -> None:
    """What all frames shared moves into each of them (PS3.3 C.7.6.16.1)."""
    made = derive(series=EMR, frames=(("0.25", "0"), ("1.5", "0"), ("3", "1")))
    assert "PixelValueTransformationSequence" not in made.written.SharedFunctionalGroupsSequence[0]
    found = per_frame(made.written, "PixelValueTransformationSequence")
    assert [(each.RescaleSlope, each.RescaleIntercept) for each in found] == [(0.25, 0), (1.5, 0), (3, 1)]
    assert {each.RescaleType for each in found} == {"US"}
    assert "requantised, slope per frame" in made.written.DerivationDescription


def test_a_new_scale_where_each_frame_has_one(derive: Derive) -> None:
    series = {**EMR, "frame_values": {"PixelValueTransformationSequence.RescaleSlope": ["1", "2", "3"]}}
    made = derive(series=series, frames=(("1", "0"), ("0.5", "0"), ("3", "0")))
    found = per_frame(made.written, "PixelValueTransformationSequence")
    assert [each.RescaleSlope for each in found] == [1, 0.5, 3]
    assert "requantised, slope 2->0.5" in made.written.DerivationDescription


def test_units_of_frames(derive: Derive) -> None:
    made = derive(replace(MEDIAN, units="ms"), series=EMR)
    (transformation,) = made.written.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
    assert (transformation.RescaleType, transformation.RescaleSlope) == ("ms", 1.5)
    assert per_frame(made.written, "FrameVOILUTSequence") == [None] * 3


def test_mappings_of_frames(derive: Derive, tmp_path: Path) -> None:
    """A mapping that all share, with frames on scales of their own: each frame gets its own."""
    (path,) = write_series(tmp_path, slices=1, **EMR)
    dataset = pydicom.dcmread(path)
    mapping = Dataset()
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept, mapping.LUTLabel = 2.0, 1.0, "kept"
    dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence = Items([mapping])
    for group in dataset.PerFrameFunctionalGroupsSequence:
        group.add_new(0x20050010, "LO", "Philips MR Imaging DD 001")
        inner = Dataset()
        inner.add_new(0x20050010, "LO", "Philips MR Imaging DD 001")
        inner.add_new(0x2005100E, "FL", 0.5)
        group.add_new(0x2005100F, "SQ", [inner])
    dataset.save_as(path)
    header, source = read_header(path), pydicom.dcmread(path)
    processed = replace(as_they_are(source), frames=(("3", "0"), ("1.5", "0"), ("1.5", "3")))
    changes = functional_group_edits(header.values, "x", processing=MEDIAN, processed=processed)
    path.write_bytes(b"".join(complete(header, changes, None, "IM")))
    written = pydicom.dcmread(path)
    assert "RealWorldValueMappingSequence" not in written.SharedFunctionalGroupsSequence[0]
    found = per_frame(written, "RealWorldValueMappingSequence")
    assert [(each.RealWorldValueSlope, each.RealWorldValueIntercept) for each in found] == [(4, 1), (2, 1), (2, 5)]
    assert {each.LUTLabel for each in found} == {"kept"}
    scales = [0x2005100E in group[0x2005100F].value[0] for group in written.PerFrameFunctionalGroupsSequence]
    assert scales == [False, True, False]


# --------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("text", ["DCM:113087:Smoothing", "DCM:113087", "DCM:113087:smoothing", " DCM : 113087 "])
def test_codes_of_the_standard(text: str) -> None:
    assert parse_code(text) == SMOOTHING


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("DCM:999999:Denoising", "no code"),
        ("DCM:121322:Source image for image processing operation", "no code"),
        ("DCM:113087:Denoising", 'means "Smoothing"'),
        ("99LOCAL:7", "lacks its meaning"),
        (":7:mine", "lacks its scheme"),
        ("99LOCAL::mine", "lacks its value"),
        ("99LOCAL:12345678901234567:mine", "16 characters"),
        ("99LOCAL:7:gr\u00f6\u00dfer", "ASCII"),
        ("99LOCAL:7:" + "m" * 65, "64 characters"),
        ("Median", "lacks its value"),
    ],
)
def test_codes_that_are_none(text: str, words: str) -> None:
    with pytest.raises(RoundtripError, match=words):
        parse_code(text)


def test_a_code_of_another_scheme() -> None:
    assert checked_code(("7", "99LOCAL", "mine: really")) == ("7", "99LOCAL", "mine: really")
    assert parse_code("99LOCAL:7:mine: really").meaning == "mine: really"


@pytest.mark.parametrize(
    ("fields", "modality", "words"),
    [
        ({"operation": " "}, "CT", "need a description"),
        ({"operation": "gr\u00f6\u00dfer"}, "CT", "ASCII"),
        ({"operation": "a\\b"}, "CT", "backslash"),
        ({"operation": "a\nb"}, "CT", "one line"),
        ({"operation": "o" * 601}, "CT", "too long"),
        ({"operation": "o" * 300, "parameters": "p" * 300}, "CT", "too long"),
        ({"operation": "none; stored values Unchanged"}, "CT", "must not say"),
        ({"parameters": "user comment: x"}, "CT", "must not say"),
        ({"codes": (("1", "DCM", "x"),)}, "CT", "no code"),
        ({"footprint_slices": -1}, "CT", "0 or more"),
        ({"units": "SUV"}, "PT", "is one of"),
        ({"rescale_type": "HU"}, "PT", "no Rescale Type"),
        ({"units": "Gy"}, "RTDOSE", "is one of"),
        ({"units": ""}, "CT", "1 to 64"),
        ({"rescale_type": "x" * 65}, "CT", "1 to 64"),
    ],
)
def test_what_cannot_be_said(fields: dict[str, Any], modality: str, words: str) -> None:
    with pytest.raises(RoundtripError, match=words):
        check_processing(replace(MEDIAN, **fields), modality)


@pytest.mark.parametrize(("units", "modality"), [(None, "CT"), ("mg/ml", "CT"), ("GML", "PT"), ("GY", "RTDOSE")])
def test_what_can_be_said(units: str | None, modality: str) -> None:
    check_processing(replace(MEDIAN, units=units, codes=(SMOOTHING,)), modality)


def test_every_rule_for_processed_pixels_has_its_value() -> None:
    """The table that `verify` judges by is the one that is carried out."""
    from itk_roundtrip.derivation.processing import _VALUES

    processed = [rule for rule in rules.RULES if rule.processed != "keep"]
    assert _VALUES.keys() == {rule.keyword for rule in processed if not rule.stale_after}
    assert {rule.processed for rule in processed if rule.stale_after} == {"remove"}
    assert rules.processed_as_markdown().count("\n") == 1 + len(processed) + len(rules.PRIVATE_SCALES)


# ---------------------------------------------------------------------------------------------- conformance

UIDS = re.compile(r"\b\d+(\.\d+){3,}\b")
VALUES = re.compile(r"<[^<>]*>|= .*")


def errors(path: Path, kind: str = "Error") -> Counter[str]:
    """Return what dciodvfy calls an error, without UIDs and values, and how often."""
    told = subprocess.run([DCIODVFY, path], capture_output=True, text=True, errors="replace", timeout=60, check=False)
    lines = (told.stdout + told.stderr).splitlines()
    assert lines
    return Counter(VALUES.sub("<>", UIDS.sub("UID", line)) for line in lines if kind in line)


RICH = replace(MEDIAN, codes=(SMOOTHING,), footprint_slices=1, smallest=1, largest=900)
CONFORMING: dict[str, tuple[Processing, dict[str, Any], dict[str, Any]]] = {
    "CT": (RICH, {"padding_values": "US", "icon": "bytes", "real_world_values": 1},
           {"slope": "0.5", "intercept": "-1000", "bits_stored": 16, "high_bit": 15}),
    "CT of another sign": (RICH, {"padding_values": "US", "attributes": {"PixelPaddingValue": 4000,
                                                                         "PixelPaddingRangeLimit": 4000}},
                           {"bits_stored": 16, "high_bit": 15, "signed": True}),
    "CT in other units": (replace(RICH, units="MGML"), {"voi_lut": True}, {}),
    "MR": (RICH, {"modality": "MR"}, {}),
    "MR on a new scale": (RICH, {"modality": "MR"},
                          {"slope": "0.5", "intercept": "0", "real_world_value_mapping": True}),
    "PET": (RICH, {"modality": "PT", "bits_stored": 16, "signed": True}, {"slope": "0.25"}),
    "PET in other units": (replace(RICH, units="GML"), {"modality": "PT", "bits_stored": 16, "signed": True}, {}),
    "US in colour": (RICH, {"modality": "US", "bits_allocated": 8, "bits_stored": 8, "samples": 3,
                            "photometric": "RGB"}, {}),
    "RT Dose": (RICH, {"modality": "RTDOSE", "frames": 2, "bits_stored": 16},
                {"slope": "2E-05", "bits_allocated": 32, "bits_stored": 32, "high_bit": 31}),
    "Enhanced MR": (RICH, EMR, {"frames": (("0.25", "0"), ("1.5", "0"), ("3", "1")),
                                "contributing_frames": ((2,), (1, 3), (2,))}),
    "Enhanced MR in other units": (replace(RICH, units="ms"), EMR, {"slope": "0.25", "intercept": "0"}),
}  # fmt: skip


@pytest.mark.skipif(not DCIODVFY.exists(), reason="dciodvfy is not installed")
@pytest.mark.parametrize("name", CONFORMING)
def test_dciodvfy_finds_no_new_error(name: str, derive: Derive) -> None:
    processing, series, change = CONFORMING[name]
    made = derive(processing, series=series, siblings=2, contributing=neighbours(3), **change)
    assert not errors(made.file) - errors(made.source_file)
    assert np.asarray(made.written.pixel_array).shape == np.asarray(made.source.pixel_array).shape


# ------------------------------------------------------------------------------------------ edits by the caller


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("SeriesDescription", "Head, smoothed", "Head, smoothed"),
        ("0008|103e", "Head", "Head"),
        ("(0008,103E)", "Head", "Head"),
        (0x0008103E, "Head", "Head"),
        ("SeriesNumber", 77, 77),
        ("SeriesNumber", "77", 77),
        ("PatientName", "M\u00fcller^J\u00f6rg", "M\u00fcller^J\u00f6rg"),
        ("PatientID", "", ""),
        ("PatientBirthDate", "", ""),
        ("PatientAge", "045Y", "045Y"),
        ("WindowCenter", [40, -600.5], [40, -600.5]),
        ("WindowCenter", "40\\-600.5", [40, -600.5]),
        ("WindowWidth", np.float32(0.5), 0.5),
        ("KVP", 1 / 3, 0.33333333333333),
        ("ImageComments", "two\r\nlines \\ and a backslash", "two\r\nlines \\ and a backslash"),
        ("ContentDate", "20240229", "20240229"),
        ("AcquisitionDateTime", "20240229101112.5+0100", "20240229101112.5+0100"),
        ("ContentTime", "1011", "1011"),
        ("SoftwareVersions", ["1", "2"], ["1", "2"]),
        ("CTDIvol", 12.5, 12.5),
        ("PixelDataAreaOriginRelativeToFOV", [1.5, 2.5], [1.5, 2.5]),
        ("SimpleFrameList", "1\\2\\3", [1, 2, 3]),
        ("RequestedContrastAgent", "none", "none"),
    ],
)
def test_the_caller_sets(derive: Derive, key: str | int, value: Any, expected: Any) -> None:
    keyword = key if isinstance(key, str) and key.isalpha() else "SeriesDescription"
    found = derive(values={key: value}).written[keyword].value
    assert (list(found) if isinstance(expected, list) else found) == expected


def test_the_caller_removes(derive: Derive) -> None:
    made = derive(values={"PatientBirthDate": None, "ConvolutionKernel": None, "ImageComments": None})
    assert "PatientBirthDate" not in made.written
    assert "ConvolutionKernel" not in made.written


@pytest.mark.parametrize(
    ("character_set", "value", "fits"),
    [
        (None, "Muller", True),
        (None, "M\u00fcller", False),
        ("ISO_IR 100", "M\u00fcller", True),
        ("ISO_IR 100", "\u592a\u90ce", False),
        ("ISO_IR 192", "\u592a\u90ce", True),
        ("GB18030", "\u8aa0\u865a", True),
        ("\\ISO 2022 IR 87", "\u592a\u90ce and more", True),
        ("\\ISO 2022 IR 149", "\uae40\ud76c\uc911", True),
        ("ISO_IR 13", "\uff76\uff78\uff73", True),
    ],
)
@pytest.mark.parametrize("keyword", ["PatientName", "StudyDescription", "ImageComments"])
def test_texts_of_the_caller_are_in_the_character_set_of_the_file(
    derive: Derive, keyword: str, character_set: str | None, value: str, fits: bool
) -> None:
    series = {"attributes": {"SpecificCharacterSet": character_set}}
    value = f"{value}^{value}={value}" if keyword == "PatientName" else value
    if fits:
        assert derive(values={keyword: value}, series=series).written[keyword].value == value
        return
    with pytest.raises(RoundtripError, match=rf"{keyword} .*character set") as caught:
        derive(values={keyword: value}, series=series)
    assert value not in str(caught.value)


def test_private_attributes_of_the_caller(derive: Derive) -> None:
    series = {"attributes": {"ImageComments": "x"}, "private": "unknown"}
    made = derive(series=series)
    own = {int(element.tag): str(element.VR) for element in made.source if element.tag.is_private}
    text_tag = next(tag for tag, kind in own.items() if kind in ("LO", "SH") and tag & 0xFFFF > 0xFF)
    assert derive(values={text_tag: "mine"}, series=series).written[text_tag].value == "mine"
    with pytest.raises(RoundtripError, match="private, and nothing says which VR"):
        derive(values={0x00991001: "mine"})
    with pytest.raises(RoundtripError, match="reserves a block"):
        derive(values={0x00990010: "MINE"})


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("SOPInstanceUID", "1.2", "is new in a derived instance"),
        ("SeriesInstanceUID", None, "is new in a derived instance"),
        ("StudyInstanceUID", "1.2", "UIDs"),
        ("FrameOfReferenceUID", "1.2", "UIDs"),
        ("ImageType", "ORIGINAL", "is set"),
        ("DerivationDescription", "nothing", "is added to"),
        ("DigitalSignaturesSequence", None, "is removed"),
        ("ReferencedImageSequence", None, "is a sequence"),
        ("PixelData", b"", "belongs to the pixels"),
        ("Rows", 5, "describes the pixels"),
        ("BitsStored", 5, "describes the pixels"),
        ("RescaleSlope", 2, "describes the pixels"),
        ("SmallestImagePixelValue", 2, "describes the pixels"),
        ("PixelPaddingValue", None, "describes the pixels"),
        ("PixelSpacing", [1, 1], "describes the pixels"),
        ("ImagePositionPatient", [1, 1, 1], "where the image lies"),
        ("SliceThickness", 5, "where the image lies"),
        ("SpacingBetweenSlices", 5, "where the image lies"),
        ("LossyImageCompression", "00", "describes the pixels"),
        ("RescaleType", "HU", "describes the pixels|names the units"),
        ("Units", "GML", "names the units"),
        ("SpecificCharacterSet", "ISO_IR 192", "how all texts"),
        ("TimezoneOffsetFromUTC", "+0100", "move all dates"),
        ("Modality", "MR", "what kind of image"),
        ("TransferSyntaxUID", "1.2", "belongs to the file"),
        (0x00080000, 5, "belongs to the file"),
        (0x60000010, 5, "an overlay"),
        ("SeriesDescripton", "x", "did you mean SeriesDescription"),
        ("Blurb", "x", "no keyword"),
        (0x00081234, "x", "no attribute of PS3.6"),
        ("SeriesDescription", "d" * 65, "longer than 64 characters"),
        ("SeriesDescription", "a\\b", "not as many"),
        ("SeriesDescription", "a\nb", "control characters"),
        ("SeriesDescription", 5, "is no text"),
        ("SeriesDescription", b"x", "is no text"),
        ("AccessionNumber", "x" * 17, "longer than 16 characters"),
        ("PatientName", "x" * 65, "longer than 64 characters"),
        ("PatientName", "a=b=c=d", "component groups"),
        ("PatientSex", "f", "capital letters"),
        ("PatientAge", "45", "no age"),
        ("PatientBirthDate", "1970-01-01", "no date as"),
        ("PatientBirthDate", "19700231", "calendar"),
        ("ContentTime", "25", "no time"),
        ("AcquisitionDateTime", "2024-01-01", "no date and time"),
        ("SeriesNumber", "3.5", "no whole number"),
        ("SeriesNumber", 3.5, "no whole number"),
        ("SeriesNumber", 1 << 31, "32 bits"),
        ("SeriesNumber", True, "is no text"),
        ("SeriesNumber", [1, 2], "not as many"),
        ("KVP", "1_000", "no decimal number"),
        ("KVP", float("nan"), "is no text"),
        ("KVP", "1e999", "too large"),
        ("KVP", "12345678901234567", "longer than 16"),
        ("CTDIvol", "much", "is no number"),
        ("SimpleFrameList", 1.5, "no whole number"),
        ("SimpleFrameList", -1, "no whole number"),
        ("OperatorsName", 5, "is no text"),
        ("RetrieveURL", "a b", "no URI"),
        ("DimensionIndexPointer", "x", "no texts or numbers"),
    ],
)
def test_what_the_caller_must_not_set(derive: Derive, key: str | int, value: Any, words: str) -> None:
    with pytest.raises(RoundtripError, match=words) as caught:
        derive(values={key: value})
    message = str(caught.value)
    if isinstance(key, str) and "no keyword" not in message:
        assert key in message
        assert caught.value.tag is not None
    assert "\n" not in message
    assert "dddd" not in message
    assert "19700231" not in message


def test_an_attribute_named_twice(derive: Derive) -> None:
    with pytest.raises(RoundtripError, match="named twice"):
        derive(values={"SeriesDescription": "a", "0008|103e": "b"})


def test_numbers_of_the_caller_stay_out_of_the_dictionary(tmp_path: Path) -> None:
    """ITK's dictionary holds text: a word of a binary VR would be a control character in it."""
    (path,) = write_series(tmp_path, slices=1)
    changes = caller_edits(read_header(path).values, {"SimpleFrameList": [65], "ImageComments": "text"})
    assert dictionary_edits(changes) == {"0020|4000": "text"}


def test_a_private_creator_is_no_scale() -> None:
    assert rules.private_scale(0x2005000D, "Philips MR Imaging DD 001") is None
    assert rules.private_scale(0x2005100D, "Somebody") is None


def test_elements_that_pydicom_decoded_have_their_bytes(tmp_path: Path) -> None:
    """On the way to an ambiguous VR pydicom decodes Pixel Representation: the sign must not be lost by that."""
    (path,) = write_series(tmp_path, slices=1, signed=True, padding_values="US")
    untouched, values = read_header(path).values, read_header(path).values
    for element in values:
        str(element.value)
    for keyword in (
        "PixelRepresentation",
        "PixelSpacing",
        "RescaleSlope",
        "PixelPaddingValue",
        "ImageType",
        "Modality",
    ):
        tag = pydicom.datadict.tag_for_keyword(keyword) or 0
        assert raw(values, tag) == raw(untouched, tag) != b"", keyword
    assert unsigned_short(values, tags.PIXEL_REPRESENTATION) == 1
