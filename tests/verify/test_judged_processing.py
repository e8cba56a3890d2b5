"""The audit of processed pixels: what is derived by the rules passes, and each way to derive it wrongly is found."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from conftest import Verify
from planted import Plant, both, code, in_all, lose, put, resaved
from pydicom.dataset import Dataset
from synthetic import item, write_series

from itk_roundtrip import Report
from itk_roundtrip.derivation.functional_groups import functional_group_edits
from itk_roundtrip.derivation.plan import PixelChange, SourceSlice, declared, edits, plan_series, statement
from itk_roundtrip.derivation.processing import (
    Code,
    ProcessedPixels,
    Processing,
    frame_scale_texts,
    source_scale_texts,
)
from itk_roundtrip.derivation.uids import sop_instance_uid
from itk_roundtrip.dicom.decimals import decimal
from itk_roundtrip.dicom.headers import Header, PixelData, complete, read_header
from itk_roundtrip.pixels.formats import PixelFormat, masked
from itk_roundtrip.pixels.grids import SourceGrid, decide, rescale
from itk_roundtrip.pixels.quantise import quantise, survey
from itk_roundtrip.verify.audit import Request, compare_files

SMOOTHING = Code("113087", "DCM", "Smoothing")
PROCESSING = Processing("Median, radius 1", codes=(SMOOTHING,), footprint_slices=1, volume_digest="0a")
Change = Callable[[Any], Any]


@dataclass(frozen=True)
class Made:
    """A source and what was derived of it, and the real-world values that this must hold, for each frame of a file."""

    source: Path
    written: Path
    reference: Path
    frames: int

    def copied(self, folder: Path) -> list[Path]:
        shutil.copytree(self.written, folder)
        return sorted(folder.iterdir())


def source_grids(header: Header, name: str) -> list[SourceGrid]:
    """Return the grid of each frame."""
    values = header.values
    texts = frame_scale_texts(values) or [source_scale_texts(values)] * int(values.get("NumberOfFrames", 1))
    padding, limit = values.get("PixelPaddingValue"), values.get("PixelPaddingRangeLimit")
    return [
        SourceGrid(
            PixelFormat(
                values.BitsAllocated, values.BitsStored, values.PixelRepresentation == 1,
                slope=decimal(slope), intercept=decimal(intercept), samples=values.SamplesPerPixel,
            ),
            slope, intercept, padding, limit, name,
        )
        for slope, intercept in texts
    ]  # fmt: skip


def source_slice(header: Header, name: str, pass_index: int) -> SourceSlice:
    values = header.values
    return SourceSlice(
        name=name,
        sop_class_uid=str(values.SOPClassUID),
        sop_instance_uid=str(values.SOPInstanceUID),
        study_instance_uid=str(values.StudyInstanceUID),
        series_instance_uid=str(values.SeriesInstanceUID),
        modality=str(values.Modality),
        series_number=str(values.SeriesNumber),
        instance_number=str(values.InstanceNumber),
        timezone_offset="",
        pass_index=pass_index,
    )


def process(
    folder: Path,
    change: Change,
    processing: Processing = PROCESSING,
    *,
    passes: int = 0,
    lossy: tuple[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    adapt: Callable[[Path], None] | None = None,
    source: Path | None = None,
    **series: Any,
) -> Made:
    """Write a series or take one, process it, and write what is derived of it."""
    if source is None:
        files = write_series(folder / "in", **{"slices": 3, "rows": 9, "columns": 8, **series})
    else:
        files = sorted(source.iterdir())
    for file in files:
        (adapt or (lambda path: None))(file)
    headers = [read_header(file) for file in files]
    grids = [source_grids(header, file.name) for header, file in zip(headers, files, strict=True)]
    first = headers[0].values
    words, real = [], []
    for header, sources in zip(headers, grids, strict=True):
        pixel_format = sources[0].pixel_format
        shape = (len(sources), first.Rows, first.Columns, *([3] if pixel_format.samples == 3 else []))
        content = np.frombuffer(header.raw(0x7FE00010) or b"", pixel_format.dtype)[: int(np.prod(shape))].reshape(shape)
        words.append(content)
        scaled = [
            masked(frame, pixel_format) * rescale(source.pixel_format)[0] + rescale(source.pixel_format)[1]
            for frame, source in zip(content, sources, strict=True)
        ]
        real.append(change(np.stack(scaled)))
    flat = [(source, frame, old) for sources, frames, olds in zip(grids, real, words, strict=True)
            for source, frame, old in zip(sources, frames, olds, strict=True)]  # fmt: skip
    chosen = iter(decide([source for source, _, _ in flat], [survey(new, old, source) for source, new, old in flat],
                         modality=first.Modality, sop_class_uid=str(first.SOPClassUID), **(options or {})))  # fmt: skip
    by_file = [[next(chosen) for _ in sources] for sources in grids]
    written = [[quantise(new, old, grid) for new, old, grid in zip(*parts, strict=True)]
               for parts in zip(real, words, by_file, strict=True)]  # fmt: skip

    def stored(index: int) -> np.ndarray[Any, Any]:
        return np.stack([masked(frame, by_file[index][0].pixel_format) for frame, _ in written[index]])

    extremes = [int(end(stored(index))) for index in range(len(files)) for end in (np.min, np.max)]
    processing = replace(processing, smallest=min(extremes), largest=max(extremes))
    slices = [source_slice(header, file.name, passes and index % 2)
              for index, (header, file) in enumerate(zip(headers, files, strict=True))]  # fmt: skip
    plan = plan_series(slices, comment="as agreed", options={}, version="0", processing=processing, unchanged=False,
                       software_versions=("itk-roundtrip 0.0", "ITK 0.0"))  # fmt: skip
    (folder / "out").mkdir(parents=True)
    for index, (header, file) in enumerate(zip(headers, files, strict=True)):
        grid, figures = by_file[index][0], [each for _, each in written[index]]
        new = grid.pixel_format
        neighbours = [slices[at] for at in (index - 1, index + 1) if 0 <= at < len(slices)]
        processed = ProcessedPixels(
            bits_allocated=new.bits_allocated, bits_stored=new.bits_stored, high_bit=new.bits_stored - 1,
            signed=new.signed, smallest=int(stored(index).min()), largest=int(stored(index).max()), slope=grid.slope,
            intercept=grid.intercept, real_world_value_mapping=grid.real_world_value_mapping,
            max_error=max(each.error for each in figures), clipped=sum(each.clipped for each in figures),
            filled=sum(each.filled for each in figures), moved=sum(each.moved for each in figures),
            contributing=tuple((each.sop_class_uid, each.sop_instance_uid) for each in neighbours),
            frames=tuple((each.slope, each.intercept) for each in by_file[index]) if frame_scale_texts(header.values)
            else (),
        )  # fmt: skip
        pixels = PixelChange(processed=processed, lossy=lossy)
        new_uid = sop_instance_uid(plan.series_instance_uid, slices[index].sop_instance_uid, "")
        changes = edits(plan, header.values, index, new_uid, pixels)
        said = statement(plan, declared(plan, header.values, pixels))
        changes |= functional_group_edits(header.values, said, processing=processing, processed=processed)
        content = np.stack([frame for frame, _ in written[index]]).tobytes()
        data = PixelData(content + bytes(len(content) % 2), new.bits_allocated)
        (folder / "out" / f"derived_{file.name.removeprefix('derived_')}").write_bytes(
            b"".join(complete(header, changes, data, file.name))
        )
    frames = len(grids[0])
    np.save(folder / "reference.npy", np.concatenate(real) if frames > 1 else np.stack([each[0] for each in real]))
    return Made(source or folder / "in", folder / "out", folder / "reference.npy", frames)


def audit(made: Made, verify: Verify, folder: Path | None = None) -> Report:
    """Verify a processed series against its reference, where files have one frame, else without one."""
    reference = {"reference": made.reference} if made.frames == 1 else {}
    return verify(made.source, folder or made.written, **reference)


def faults(report: Report) -> set[tuple[str, str, str | None]]:
    return {(each.severity, each.check, each.tag) for each in report.findings if each.severity != "info"}


def add_private(elements: Mapping[int, Any]) -> Callable[[Path], None]:
    """Return a function that adds private elements to a file."""

    def adapt(path: Path) -> None:
        dataset = pydicom.dcmread(path)
        for tag, value in elements.items():
            kind = "LO" if tag & 0xFF00 == 0 else "DS" if isinstance(value, str) else "FL"
            dataset.add_new(tag, kind, value)
        dataset.save_as(path)

    return adapt


PHILIPS = {0x20050010: "Philips MR Imaging DD 001", 0x20051009: 61.5, 0x2005100D: 0.0, 0x2005100E: 0.0043}
SUV = {0x70530010: "Philips PET Private Group", 0x70531000: "0.00021"}

MAPPED: Mapping[str, Any] = {"real_world_values": 2}
CT: Mapping[str, Any] = {
    "padding_values": "US", "icon": "bytes", "overlays": "plain", **MAPPED,
    "attributes": {"ContentQualification": "PRODUCT", "HistogramSequence": [[item(HistogramNumberOfBins=1)]]},
}  # fmt: skip
EMR: Mapping[str, Any] = {"modality": "EMR", "slices": 1, "frames": 3, "functional_groups": "per_frame"}
PT: Mapping[str, Any] = {"modality": "PT", "bits_stored": 16, "signed": True}


def median(real: Any) -> Any:
    """Return values that the source has, elsewhere."""
    return np.sort(real, axis=2)


def onto_padding(real: Any) -> Any:
    """Return values of which one in each slice is that of the padding, stored value 500 of a CT."""
    changed = real.copy()
    changed[:, 0, 0] = 500 - 1024
    return changed


RIGHT: dict[str, tuple[Change, Processing, Mapping[str, Any]]] = {
    "CT on its own grid": (median, PROCESSING, CT),
    "CT with rounded values": (lambda real: median(real) * 0.999 + 0.3, PROCESSING, CT),
    "CT with wider words": (lambda real: real + 20000, PROCESSING, CT),
    "CT on a new grid": (lambda real: real * 1000 + 70000, PROCESSING, {**CT, "attributes": {}, "padding_values": ""}),
    "CT with a sign": (lambda real: real - 3000.0, PROCESSING, {}),
    "CT with values of the padding": (onto_padding, PROCESSING, {"attributes": {"PixelPaddingValue": 500}}),
    "CT clipped": (lambda real: real * 1000.0, PROCESSING, {"options": {"allow_clip": True, "max_error": 0.5}}),
    "CT in other units": (median, replace(PROCESSING, units="MGML"), {**CT, "voi_lut": True}),
    "CT without a slope": (lambda real: real * 1e6, PROCESSING, {"slopes": None, "intercepts": None}),
    "CT in Implicit VR": (lambda real: real - 3000.0, PROCESSING, {"transfer_syntax": "implicit"}),
    "MR on its own grid": (median, PROCESSING, {"modality": "MR", **MAPPED}),
    "MR without a slope": (lambda real: real / 7e3, PROCESSING, {"modality": "MR", **MAPPED, "options": {
        "max_error": 1e-3}}),
    "MR of Philips": (lambda real: real * 100, PROCESSING,
                      {"modality": "MR", "slopes": "1.29", "intercepts": "0", "adapt": add_private(PHILIPS)}),
    "PET": (lambda real: real * 0.37, PROCESSING, {**PT, "adapt": add_private(SUV)}),
    "PET in other units": (lambda real: real / 1e4, replace(PROCESSING, units="GML"),
                           {**PT, "adapt": add_private(SUV), "attributes": {"SUVType": "BW"}}),
    "colours": (lambda real: real[..., ::-1], PROCESSING,
                {"modality": "US", "bits_allocated": 8, "bits_stored": 8, "samples": 3, "photometric": "RGB",
                 "geometry": "none"}),
    "dose": (lambda real: real * 1e3, PROCESSING,
             {"modality": "RTDOSE", "slices": 1, "frames": 2, "bits_stored": 16,
              "attributes": {"DVHSequence": [[item(DVHType="CUMULATIVE")]]}}),
    "Enhanced MR": (median, PROCESSING, EMR),
    "Enhanced MR on a new grid": (lambda real: real * 1000.5, PROCESSING, EMR),
    "Enhanced MR in other units": (lambda real: real * 1000.5, replace(PROCESSING, units="ms"), EMR),
    "lossy neighbours": (median, PROCESSING, {"lossy": ("ISO_10918_1", "10.5")}),
    "several instances at one position": (median, PROCESSING, {"geometry": "duplicate", "slices": 6, "passes": 1}),
    "NaN to padding": (lambda real: np.where(real > 500, np.nan, real), PROCESSING,
                       {"attributes": {"PixelPaddingValue": 7}, "options": {"nan_to": "padding"}}),
    "words of claims in the operation": (lambda real: median(real) + 0.3, replace(
        PROCESSING, operation="values beyond 3 standard deviations clipped, max error 9 before"), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_derived_by_the_rules_passes(name: str, tmp_path: Path, verify: Verify) -> None:
    """No error and no warning, but where no code fits or more is clipped than is left."""
    change, processing, series = RIGHT[name]
    made = process(tmp_path, change, processing, **series)
    report = audit(made, verify)
    expected = {("warning", "PIX-05", "(7FE0,0010)")} if name == "CT clipped" else set()
    assert faults(report) - expected == set(), [each.message for each in report.findings]
    assert report.verdict == "pass"
    assert any(pair.changed or pair.largest_real for pair in report.pairs)


def test_frames_are_compared_with_the_reference_by_their_own_slopes(tmp_path: Path) -> None:
    """A new slope stands in the functional groups, not at the top level."""
    made = process(tmp_path, lambda real: real * 1000.5, **EMR)
    (source,), (written,) = sorted(made.source.iterdir()), sorted(made.written.iterdir())
    reference = tuple((made.reference, frame) for frame in range(made.frames))
    request = Request(source, written, source.name, written.name, "derived", reference=reference)
    found = [each for each in compare_files(request).findings if each.severity != "info"]
    assert found == []
    np.save(made.reference, np.load(made.reference) + 1000)
    assert "PIX-03" in {each.check for each in compare_files(request).findings if each.severity == "error"}


def text(pattern: str, new: str) -> Plant:
    """Change Derivation Description."""

    def plant(dataset: Dataset) -> None:
        old = dataset.DerivationDescription
        dataset.DerivationDescription = re.sub(pattern, new, old)
        assert dataset.DerivationDescription != old

    return plant


def restored(keyword: str) -> Plant:
    """Put back what the source has."""
    return lambda dataset: dataset.__setitem__(keyword, dataset.source[keyword])


def mapping(**values: Any) -> Plant:
    """Change the first mapping."""

    def plant(dataset: Dataset) -> None:
        for keyword, value in values.items():
            setattr(dataset.RealWorldValueMappingSequence[0], keyword, value)

    return plant


def restored_tag(tag: int) -> Plant:
    """Put back a private element of the source, with its creator."""

    def plant(dataset: Dataset) -> None:
        for each in (tag & 0xFFFF0000 | tag >> 8 & 0xFF, tag):
            dataset[each] = dataset.source[each]

    return plant


def in_frames(sequence: str, change: Callable[[Any], None]) -> Plant:
    """Change the item of a sequence in each frame, or in what they share."""

    def plant(dataset: Dataset) -> None:
        groups = [*dataset.SharedFunctionalGroupsSequence, *dataset.PerFrameFunctionalGroupsSequence]
        for group in groups:
            for each in group.get(sequence, []):
                change(each)

    return plant


def shared_twice(dataset: Dataset) -> None:
    """Leave the scale in what all frames share, and put one into a frame."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    dataset.PerFrameFunctionalGroupsSequence[
        1
    ].PixelValueTransformationSequence = shared.PixelValueTransformationSequence


WRONG: dict[str, tuple[str, Plant, str, str, str]] = {
    "maximum error too small": ("CT with rounded values", text(r"max error [\d.]+", "max error 0.1"), "error", "PIX-03",
                                "(0008,2111)"),
    "maximum error not said": ("CT with rounded values", text(r"max error [\d.]+ HU", "done"), "error", "DER-01",
                               "(0008,2111)"),
    "clipped values not said": ("CT clipped", text(r", \d+ values clipped", ""), "error", "PIX-03", "(0008,2111)"),
    "clipped values miscounted": ("CT clipped", text(r"\d+ values clipped", "1 value clipped"), "error", "PIX-03",
                                  "(0008,2111)"),
    "said to be unchanged": ("CT on its own grid", text("max error 0 HU", "stored values unchanged"), "error", "PIX-02",
                             "(7FE0,0010)"),
    "icon left": ("CT on its own grid", restored("IconImageSequence"), "error", "STL-01", "(0088,0200)"),
    "histogram left": ("CT on its own grid", restored("HistogramSequence"), "error", "STL-01", "(0060,3000)"),
    "statistics of an overlay left": ("CT on its own grid", lambda d: d.__setitem__(0x60001301, d.source[0x60001301]),
                                      "error", "STL-01", "(6000,1301)"),
    "smallest value left": ("CT with rounded values", restored("SmallestImagePixelValue"), "error", "STL-01",
                            "(0028,0106)"),
    "largest value of the series left": ("CT with rounded values", restored("LargestPixelValueInSeries"), "error",
                                         "STL-01", "(0028,0109)"),
    "product": ("CT on its own grid", restored("ContentQualification"), "warning", "STL-01", "(0018,9004)"),
    "mapping left": ("CT on a new grid", restored("RealWorldValueMappingSequence"), "error", "RWV-01", "(0040,9096)"),
    "mapping by another slope": ("CT on a new grid", mapping(RealWorldValueSlope=0.5), "error", "RWV-01",
                                 "(0040,9096)"),
    "mapping of other values": ("CT on a new grid", mapping(RealWorldValueFirstValueMapped=60000), "error", "RWV-01",
                                "(0040,9096)"),
    "mapping lost": ("CT on a new grid", lose("RealWorldValueMappingSequence"), "warning", "RWV-01", "(0040,9096)"),
    "one mapping lost": ("CT on a new grid", lambda d: d.RealWorldValueMappingSequence.pop(), "error", "RWV-01",
                         "(0040,9096)"),
    "units of a mapping": ("CT on a new grid", mapping(MeasurementUnitsCodeSequence=[code("mm", "UCUM", "mm")]),
                           "error", "RWV-01", "(0040,9096)"),
    "mapping in the old units": ("CT in other units", restored("RealWorldValueMappingSequence"), "error", "RWV-01",
                                 "(0040,9096)"),
    "mapping that is no scale": ("CT on its own grid", lambda d: d.RealWorldValueMappingSequence.append(
        d.RealWorldValueMappingSequence[0]), "error", "RWV-01", "(0040,9096)"),
    "window in the old units": ("CT in other units", both(restored("WindowCenter"), restored("WindowWidth")), "error",
                                "STL-01", "(0028,1050)"),
    "look-up table in the old units": ("CT in other units", restored("VOILUTSequence"), "error", "STL-01",
                                       "(0028,3010)"),
    "units unspecified": ("CT on its own grid", put("RescaleType", "US"), "error", "HDR-01", "(0028,1054)"),
    "window of another scale": ("MR without a slope", both(restored("WindowCenter"), restored("WindowWidth")), "error",
                                "STL-01", "(0028,1051)"),
    "slope added to MR": ("MR without a slope", both(put("RescaleSlope", "2"), put("RescaleIntercept", "0")), "error",
                          "HDR-02", "(0028,1053)"),
    "scale of MR lost": ("MR without a slope", lambda d: d.RealWorldValueMappingSequence.pop(), "error", "PIX-03",
                         "(7FE0,0010)"),
    "scale of MR wrong": ("MR without a slope", lambda d: setattr(
        d.RealWorldValueMappingSequence[-1], "RealWorldValueSlope", 5.0), "error", "PIX-03", "(7FE0,0010)"),
    "private scale left": ("MR of Philips", restored_tag(0x2005100E), "warning", "PRV-01", "(2005,100E)"),
    "geometry taken for a scale": ("MR of Philips", lambda d: d.__delitem__(0x20051009), "error", "HDR-01",
                                   "(2005,1009)"),
    "SUV factor lost": ("PET", lambda d: d.__delitem__(0x70531000), "error", "HDR-01", "(7053,1000)"),
    "SUV factor left": ("PET in other units", restored_tag(0x70531000), "warning", "PRV-01", "(7053,1000)"),
    "SUV type left": ("PET in other units", restored("SUVType"), "error", "STL-01", "(0054,1006)"),
    "content time of PET": ("PET", put("ContentTime", "111213"), "error", "TIM-01", "(0008,0033)"),
    "intercept of PET": ("PET", put("RescaleIntercept", "3"), "error", "PIX-01", "(0028,1052)"),
    "dose statistics left": ("dose", restored("DVHSequence"), "error", "STL-01", "(3004,0050)"),
    "padding moved": ("CT on its own grid", put("PixelPaddingRangeLimit", 90), "error", "PIX-04", "(0028,0120)"),
    "filled pixels not said": ("NaN to padding", text(r", \d+ NaN or Inf to padding", ""), "error", "PIX-04",
                               "(0028,0120)"),
    "sign of a padding value": ("CT with a sign", lambda d: d.add_new(0x00280106, "US", 5), "error", "HDR-02",
                                "(0028,0106)"),
    "code of nothing": ("CT on its own grid", lambda d: setattr(d.DerivationCodeSequence[-1], "CodeValue", "999999"),
                        "error", "DER-02", "(0008,9215)"),
    "loss not said": ("lossy neighbours", both(lose("LossyImageCompressionRatio")), "error", "LOS-01", "(0028,2112)"),
    "slope of frames lost": ("Enhanced MR on a new grid", lambda d: d.SharedFunctionalGroupsSequence[0].pop(
        "PixelValueTransformationSequence"), "error", "PIX-02", "(5200,9230)"),
    "slope of a frame twice": ("Enhanced MR on a new grid", shared_twice, "error", "HDR-01", "(5200,9230)"),
    "window of a frame": ("Enhanced MR on a new grid", in_frames("FrameVOILUTSequence", lambda each: setattr(
        each, "WindowCenter", "5")), "error", "HDR-01", "(5200,9230)"),
    "window of a frame lost": ("Enhanced MR on a new grid", lambda d: [
        group.pop("FrameVOILUTSequence") for group in d.PerFrameFunctionalGroupsSequence], "error", "HDR-01",
        "(5200,9230)"),
    "window of a frame in old units": ("Enhanced MR in other units", lambda d: setattr(
        d.PerFrameFunctionalGroupsSequence[0], "FrameVOILUTSequence",
        d.source.PerFrameFunctionalGroupsSequence[0].FrameVOILUTSequence), "error", "STL-01", "(5200,9230)"),
    "time of a frame": ("Enhanced MR", in_frames("FrameContentSequence", lambda each: setattr(
        each, "FrameReferenceDateTime", "20240101101112")), "error", "HDR-01", "(5200,9230)"),
    "frame by an unknown code": ("Enhanced MR", in_frames("DerivationImageSequence", lambda each: setattr(
        each.DerivationCodeSequence[0], "CodeValue", "999999")), "error", "DER-02", "(5200,9230)"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_each_wrong_variant_is_found(name: str, tmp_path: Path, verify: Verify) -> None:
    """What careless tools leave as it was, or make up."""
    right, plant, severity, check, tag = WRONG[name]
    change, processing, series = RIGHT[right]
    made = process(tmp_path, change, processing, **series)
    for file in made.copied(tmp_path / "wrong"):
        dataset = pydicom.dcmread(file)
        object.__setattr__(dataset, "source", pydicom.dcmread(made.source / file.name.removeprefix("derived_")))
        plant(dataset)
        resaved(dataset, file)
    report = audit(made, verify, tmp_path / "wrong")
    assert (severity, check, tag) in faults(report), sorted(faults(report), key=str)
    assert report.verdict == ("fail" if severity == "error" else "pass")


def test_saving_again_is_no_defect(tmp_path: Path, verify: Verify) -> None:
    """The defects above are planted with pydicom."""
    for name in ("CT on a new grid", "Enhanced MR in other units"):
        change, processing, series = RIGHT[name]
        made = process(tmp_path / name, change, processing, **series)
        in_all(lambda dataset: None)(made.copied(tmp_path / name / "again"))
        assert faults(audit(made, verify, tmp_path / name / "again")) == set()


@pytest.mark.parametrize("name", ["CT on a new grid", "CT on its own grid", "MR without a slope", "PET",
                                  "Enhanced MR on a new grid"])  # fmt: skip
def test_a_second_processing_passes_too(
    name: str, tmp_path: Path, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Descriptions, codes, references and mappings of the first one are kept before those of the second."""
    change, processing, series = RIGHT[name]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")
    first = process(tmp_path / "1", change, processing, **series)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000001")
    again = replace(PROCESSING, operation="Again")
    second = process(tmp_path / "2", lambda real: change(real)[:, ::-1], again, source=first.written,
                     options=series.get("options"))  # fmt: skip
    assert faults(audit(second, verify)) == set()
    written = pydicom.dcmread(min(second.written.iterdir()))
    assert written.DerivationDescription.count("itk-roundtrip 0.0") == 2
    assert [each.CodeValue for each in written.DerivationCodeSequence] == ["113087"] * 2
    assert str(written.SeriesDescription).count("ITK processed") == 1


def test_times_of_instances_at_one_position_are_kept(tmp_path: Path, verify: Verify) -> None:
    change, processing, series = RIGHT["several instances at one position"]
    made = process(tmp_path, change, processing, **series)
    in_all(put("ContentTime", "111213"))(made.copied(tmp_path / "wrong"))
    assert ("error", "TIM-01", "(0008,0033)") in faults(audit(made, verify, tmp_path / "wrong"))


def test_the_loss_of_a_neighbour_is_said(tmp_path: Path, verify: Verify) -> None:
    """A 3-D filter takes what a lossy slice lost into the slices beside it."""
    flags = {"LossyImageCompression": ["01", None, None], "LossyImageCompressionRatio": ["10", None, None],
             "LossyImageCompressionMethod": ["ISO_10918_1", None, None]}  # fmt: skip
    made = process(tmp_path / "silent", median, attributes=flags)
    assert ("error", "LOS-01", "(0028,2110)") in faults(audit(made, verify))
    made = process(tmp_path / "said", median, attributes=flags, lossy=("ISO_10918_1", "10"))
    assert faults(audit(made, verify)) == set()


def test_neighbours_come_before_the_slice_itself(tmp_path: Path, verify: Verify) -> None:
    """Pairs are found by the last reference, whatever the files are called."""
    made = process(tmp_path, median)
    for number, file in enumerate(made.copied(tmp_path / "renamed")):
        file.rename(file.with_name(f"{9 - number}"))
    report = audit(made, verify, tmp_path / "renamed")
    assert {pair.by for pair in report.pairs} == {"Source Image"}
    assert faults(report) == set()


def test_a_copy_must_not_be_processed(tmp_path: Path, verify: Verify) -> None:
    made = process(tmp_path, median)
    report = verify(made.source, made.written, identity="copy")
    assert ("error", "PIX-02", "(7FE0,0010)") in faults(report)
