"""Where frames lie, what is irregular among them, how far apart slices are: own arithmetic on what pydicom reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom
import pytest
from conftest import one_series
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from synthetic import CASES, write_case, write_series

import itk_roundtrip as rt
from itk_roundtrip.series.instance import describe

Backend = Literal["itk", "simpleitk"]
BACKENDS: tuple[Backend, ...] = ("itk", "simpleitk")
Array = NDArray[Any]


def kinds(series: rt.Series) -> list[str]:
    """Return the kinds of irregularities, but for that it has frames."""
    return [one.kind for one in series.irregularities if one.kind != "multi-frame"]


def read(series: rt.Series, index: int, backend: Backend = "itk") -> rt.Volume:
    return rt.read_series(series, volume=index if len(series.volumes) > 1 else None, backend=backend)


def group_of(dataset: Dataset, frame: int, keyword: str) -> Any:
    """Return an attribute of a frame: of its functional groups, those of all frames, or the header."""
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence", [])
    for groups in (*per_frame[frame : frame + 1], *dataset.get("SharedFunctionalGroupsSequence", [])):
        for element in groups:
            for item in element.value if element.VR == "SQ" else []:
                if keyword in item:
                    return item[keyword].value
    return dataset.get(keyword)


def place_of(dataset: Dataset, frame: int) -> tuple[Array, Array, Array]:
    """Return the corner of a frame, and its steps along the row and down the column, in mm."""
    corner, axes, between = (
        np.array(group_of(dataset, frame, keyword), float)
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    )
    return corner, axes[:3] * between[1], axes[3:] * between[0]


def point(volume: rt.Volume, *index: int) -> Array:
    return np.array(list(volume.image.TransformIndexToPhysicalPoint(index)))


def check_lies_where_its_files_say(volume: rt.Volume) -> None:
    """Check of each slice where it lies, and that it holds the values of its frame."""
    for index, plane in enumerate(volume.planes):
        dataset = pydicom.dcmread(plane.instance.path)
        frame = plane.frame or 0
        corner, along, down = place_of(dataset, frame)
        np.testing.assert_allclose(point(volume, 0, 0, index), corner, atol=1e-4)
        np.testing.assert_allclose(point(volume, 1, 0, index), corner + along, atol=1e-4)
        np.testing.assert_allclose(point(volume, 0, 1, index), corner + down, atol=1e-4)
        stored = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)[frame]
        slope, intercept = group_of(dataset, frame, "RescaleSlope"), group_of(dataset, frame, "RescaleIntercept")
        np.testing.assert_array_equal(volume.array_zyx[index], stored * float(slope or 1) + float(intercept or 0))


# ---------------------------------------------------------------------------------------------- functional groups


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("name", "apart", "frames", "told"),
    [
        ("enhanced", "", [[0, 1, 2]], []),
        ("enhanced_shuffled", "", [[1, 3, 5, 0, 4, 2]], []),
        ("enhanced_orientations", "orientation", [[0, 1, 2], [3, 4, 5]], ["mixed-orientation", "several-volumes"]),
        ("enhanced_spacings", "pixel spacing", [[0, 1, 2], [3, 4, 5]], ["mixed-spacing", "several-volumes"]),
        ("enhanced_times", "TemporalPositionIndex", [[0, 2, 4], [1, 3, 5]], ["4-D"]),
        ("enhanced_stacks", "StackID", [[0, 1, 2], [3, 4, 5]], ["several-volumes"]),
        ("nm_gated", "TimeSlotVector", [[0, 1], [2, 3]], ["4-D"]),
        ("nm_recon", "", [[0, 1, 2, 3]], []),
    ],
)
def test_volumes_of_frames(
    name: str, apart: str, frames: list[list[int]], told: list[str], backend: Backend, tmp_path: Path
) -> None:
    """Each volume holds the frames that belong together, in the order of their places, and lies where they do."""
    write_case(name, tmp_path)
    series = one_series(tmp_path)
    assert (series.separated_by, kinds(series)) == (apart, told)
    assert [list(volume.frames[0]) for volume in series.volumes] == frames
    for index, expected in enumerate(frames):
        volume = read(series, index, backend)
        assert [plane.frame for plane in volume.planes] == expected
        if not name.startswith("nm"):
            check_lies_where_its_files_say(volume)


@pytest.mark.parametrize("backend", BACKENDS)
def test_files_of_one_frame_are_a_volume_as_others_are(backend: Backend, tmp_path: Path) -> None:
    """Their Instance Numbers are not in the order of their places."""
    files = write_case("enhanced_one_frame_files", tmp_path)
    series = one_series(tmp_path)
    assert [one.path for one in series.instances] == [files[index] for index in (1, 3, 5, 0, 4, 2)]
    assert (kinds(series), len(series.volumes), series.slice_spacing_mm) == ([], 1, 2.5)
    volume = rt.read_series(series, backend=backend)
    check_lies_where_its_files_say(volume)
    assert tuple(volume.image.GetOrigin()) == (-10.5, -20.25, 0)


@pytest.mark.parametrize("name", ["enhanced_gap", "enhanced_tilt"])
def test_what_is_irregular_among_frames_is_told(name: str, tmp_path: Path) -> None:
    (file,) = write_case(name, tmp_path)
    series = one_series(tmp_path)
    assert kinds(series) == [name.removeprefix("enhanced_")]
    told = series.irregularities[-1]
    assert told.files == (file.name,)
    if name == "enhanced_gap":
        assert f"{file.name} frame 3 and {file.name} frame 4 are 7.5 mm apart, most neighbours 2.5 mm" in told.message
    assert series.slice_spacing_mm == 2.5
    assert rt.read_series(series).image.GetSpacing()[2] == pytest.approx(2.5)


def test_a_gap_in_one_of_several_volumes_is_told(tmp_path: Path) -> None:
    keywords = dict(CASES["enhanced_orientations"].keywords)
    positions = [rf"0\0\{z}" for z in (0, 1, 2, 5)] + [rf"0\{y}\9" for y in (0, 3)]
    axes = [r"1\0\0\0\1\0"] * 4 + [r"1\0\0\0\0\-1"] * 2
    keywords["frame_values"] = {
        "PlanePositionSequence.ImagePositionPatient": positions,
        "PlaneOrientationSequence.ImageOrientationPatient": axes,
    }
    write_series(tmp_path, **keywords)
    assert kinds(one_series(tmp_path)) == ["mixed-orientation", "several-volumes", "gap"]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("FrameContentSequence.TemporalPositionIndex", [1, 2, 3]),
        ("MREchoSequence.EffectiveEchoTime", [2.5, 5.0, 30.0]),
        ("MRDiffusionSequence.DiffusionBValue", [0.0, 500.0, 1000.0]),
        ("CardiacSynchronizationSequence.NominalCardiacTriggerDelayTime", [0.0, 52.5, 105.0]),
        ("CardiacSynchronizationSequence.ActualCardiacTriggerDelayTime", [0.0, 52.5, 105.0]),
        ("RespiratorySynchronizationSequence.NominalPercentageOfRespiratoryPhase", [0.0, 33.0, 66.0]),
        ("MRModifierSequence.InversionTimes", [100.0, 400.0, 1600.0]),
        ("TemporalPositionSequence.TemporalPositionTimeOffset", [0.0, 3.5, 7.0]),
        ("FrameContentSequence.FrameAcquisitionDateTime", ["20200203100001", "20200203100004", "20200203100007"]),
        ("FrameContentSequence.FrameReferenceDateTime", ["20200203100001", "20200203100004", "20200203100007"]),
        ("MRImageFrameTypeSequence.ComplexImageComponent", ["IMAGINARY", "MAGNITUDE", "REAL"]),
    ],
)
def test_attribute_that_tells_frames_apart(name: str, values: list[Any], tmp_path: Path) -> None:
    """Frames that stand in one place are told apart by what the standard says of them, not by their order."""
    keyword = name.split(".")[1]
    order = [(place, time) for time in (1, 2, 0) for place in (2, 0, 1)]  # neither in order
    given: dict[str, Sequence[Any]] = {
        "PlanePositionSequence.ImagePositionPatient": [rf"1\2\{3 * place}" for place, _ in order],
        "FrameContentSequence.FrameAcquisitionDateTime": ["20200203100001"],
        "FrameContentSequence.FrameReferenceDateTime": ["20200203100001"],
        name: [values[time] for _, time in order],
    }
    write_series(tmp_path, modality="EMR", slices=1, frames=9, functional_groups="per_frame", frame_values=given)
    series = one_series(tmp_path)
    assert (series.separated_by, kinds(series)) == (keyword, ["4-D"])
    expected = [tuple(order.index((place, time)) for place in range(3)) for time in range(3)]
    assert [volume.frames for volume in series.volumes] == [(frames,) for frames in expected]
    assert all(volume.label.startswith(keyword) for volume in series.volumes)


@pytest.mark.parametrize("keyword", ["FrameReferenceDateTime", "FrameAcquisitionDateTime"])
def test_times_of_each_frame_order_the_frames_of_a_place(keyword: str, tmp_path: Path) -> None:
    """No two frames share a time, and their order in the file is none."""
    order = [(place, time) for time in (1, 2, 0) for place in (2, 0, 1)]
    frames = {
        "PlanePositionSequence.ImagePositionPatient": [rf"1\2\{3 * place}" for place, _ in order],
        "FrameContentSequence.FrameReferenceDateTime": ["20200203100001"],
        "FrameContentSequence.FrameAcquisitionDateTime": ["20200203100001"],
        f"FrameContentSequence.{keyword}": [f"2020020323{50 + 5 * time}{place:02d}.5" for place, time in order],
    }
    write_series(tmp_path, **{**CASES["enhanced"].keywords, "slices": 1, "frames": 9, "frame_values": frames})
    series = one_series(tmp_path)
    assert series.separated_by == f"{keyword} order"
    assert [[order[one.frame or 0] for one in volume.slices] for volume in series.volumes] == [
        [(place, time) for place in range(3)] for time in range(3)
    ]


def test_any_declared_dimension_tells_frames_apart(tmp_path: Path) -> None:
    """Dimension Index Sequence may point to what nobody has heard of (PS3.3 C.7.6.17)."""
    (file,) = write_series(tmp_path, modality="EMR", slices=1, frames=6, functional_groups="per_frame")
    dataset = pydicom.dcmread(file)
    other = Dataset()
    other.DimensionIndexPointer, other.FunctionalGroupPointer = 0x00189306, 0x00189304  # Single Collimation Width
    dataset.DimensionIndexSequence.append(other)
    for frame, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        groups.PlanePositionSequence[0].ImagePositionPatient = [0, 0, 2 * (frame // 2)]
        groups.FrameContentSequence[0].DimensionIndexValues = [frame // 2 + 1, frame % 2 + 1]
        del groups.FrameContentSequence[0].FrameAcquisitionDateTime
        del groups.FrameContentSequence[0].FrameReferenceDateTime
    dataset.save_as(file)
    series = one_series(tmp_path)
    assert series.separated_by == "SingleCollimationWidth"
    assert [volume.frames for volume in series.volumes] == [((0, 2, 4),), ((1, 3, 5),)]


def test_segments_are_volumes_wherever_they_stand(tmp_path: Path) -> None:
    keywords = {**CASES["segmentation"].keywords, "frames": 4}
    at = {"PlanePositionSequence.ImagePositionPatient": [rf"0\0\{z}" for z in (0, 2, 4, 6)]}
    write_series(
        tmp_path,
        **keywords,
        frame_values={**at, "SegmentIdentificationSequence.ReferencedSegmentNumber": [1, 1, 2, 2]},
    )
    series = one_series(tmp_path)
    assert [(volume.label, volume.frames) for volume in series.volumes] == [
        ("ReferencedSegmentNumber 1", ((0, 1),)),
        ("ReferencedSegmentNumber 2", ((2, 3),)),
    ]


def test_no_position_in_the_patient_is_told_not_invented(tmp_path: Path) -> None:
    """As of slides, and of ultrasound volumes, which have positions of other kinds."""
    (file,) = write_case("enhanced_no_position", tmp_path)
    series = one_series(tmp_path)
    assert kinds(series) == ["no-position"]
    assert series.instances[0].image_position_patient is None
    volume = rt.read_series(series)
    assert tuple(volume.image.GetOrigin()) == (0, 0, 0)
    assert tuple(volume.image.GetSpacing()) == (0.9765625, 0.48828125, 2.5)  # Spacing Between Slices
    assert file.name in series.irregularities[-1].files


@pytest.mark.parametrize("name", ["enhanced", "enhanced_undefined", "enhanced_implicit", "enhanced_big_endian",
                                  "enhanced_group_lengths", "enhanced_rle", "enhanced_times", "nm_gated", "nm_recon",
                                  "nm_detectors", "rtdose_frames", "plain_ct"])  # fmt: skip
def test_the_scan_sees_what_pydicom_sees(name: str, tmp_path: Path) -> None:
    """Functional groups are read beside the data set, in every encoding; a data set in memory says the same."""
    files = write_case(name, tmp_path)
    for one in one_series(tmp_path).instances:
        dataset = pydicom.dcmread(one.path)
        other = describe(one.path, one.name, dataset)
        assert (other.places, other.frame_values, other.enhanced) == (one.places, one.frame_values, one.enhanced)
        if not name.startswith(("nm", "rtdose")):
            corners = [place_of(dataset, frame)[0].tolist() for frame in range(one.frames)]
            assert [list(one.place(frame).position or ()) for frame in range(one.frames)] == corners
    assert len(files) == len(one_series(tmp_path).instances)


@pytest.mark.parametrize("undefined", [False, True])
def test_a_thousand_frames_are_scanned_quickly(undefined: bool, tmp_path: Path) -> None:
    write_series(tmp_path, modality="EMR", slices=1, frames=1000, rows=2, columns=2, functional_groups="per_frame",
                 undefined_lengths=undefined)  # fmt: skip
    started = time.process_time()
    series = one_series(tmp_path)
    assert len(series.volumes[0].slices) == 1000
    assert time.process_time() - started < 1


@pytest.mark.parametrize("damage", ["item", "length", "short"])
def test_damaged_functional_groups_are_no_crash(damage: str, tmp_path: Path) -> None:
    (file,) = write_series(tmp_path, modality="EMR", slices=1, frames=3, functional_groups="per_frame")
    content = bytearray(file.read_bytes())
    start = content.index(b"\x00\x52\x30\x92SQ")
    if damage == "item":
        content[start + 12 : start + 16] = b"\xfe\xff\x01\xe0"
    elif damage == "length":
        content[start + 16 : start + 20] = b"\xf0\xff\xff\x7f"
    else:
        del content[start + 20 :]
    file.write_bytes(content)
    found = rt.find_series(tmp_path)
    assert len(found) + len(found.skipped) == 1


def test_a_number_of_frames_that_is_none_of_a_video(tmp_path: Path) -> None:
    """Nothing in a header bounds it; the frames are not listed one by one."""
    (file,) = write_series(tmp_path, slices=1, modality="SCW", frames=2)
    dataset = pydicom.dcmread(file)
    dataset.NumberOfFrames = 2_000_000_000
    dataset.PixelData = pydicom.encaps.encapsulate([bytes(64)])
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.MPEG4HP41
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(file)
    assert len(one_series(tmp_path).volumes[0].slices) == 1


# ----------------------------------------------------------------------------------- detectors, offsets, vectors


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_detector_has_its_plane(backend: Backend, tmp_path: Path) -> None:
    """Anterior and posterior views are no stack (PS3.3 C.8.4.11)."""
    write_case("nm_detectors", tmp_path)
    series = one_series(tmp_path)
    assert [volume.frames for volume in series.volumes] == [((0, 2),), ((1, 3),)]
    for index, (corner, along) in enumerate((((-100, 0, 50), 1), ((100, 0, 50), -1))):
        volume = read(series, index, backend)
        np.testing.assert_allclose(point(volume, 0, 0, 0), corner)
        np.testing.assert_allclose(point(volume, 1, 0, 0), np.add(corner, (along * 0.9765625, 0, 0)))
        np.testing.assert_allclose(point(volume, 0, 1, 0), np.add(corner, (0, 0, -0.48828125)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_reconstruction_without_positions_steps_as_it_says(backend: Backend, tmp_path: Path) -> None:
    """The sign of Spacing Between Slices is the way along the normal (PS3.3 C.8.4.15)."""
    keywords = {**CASES["nm_recon"].keywords, "detectors": [("", r"1\0\0\0\1\0")]}
    write_series(tmp_path, **keywords)
    series = one_series(tmp_path)
    assert kinds(series) == ["no-position"]
    volume = rt.read_series(series, backend=backend)
    step = point(volume, 0, 0, 1) - point(volume, 0, 0, 0)
    by_frame = {plane.frame: index for index, plane in enumerate(volume.planes)}
    assert np.allclose(step * (by_frame[1] - by_frame[0]), (0, 0, -4.5))


def test_offsets_that_say_neither_are_told(tmp_path: Path) -> None:
    """Neither from the first plane nor along z: the distances are sure, the place is not (PS3.3 C.8.8.3.2)."""
    keywords = dict(CASES["rtdose_frames"].keywords)
    keywords["attributes"] = {**keywords["attributes"], "GridFrameOffsetVector": r"100\103\106"}
    write_series(tmp_path, **keywords)
    series = one_series(tmp_path)
    assert kinds(series) == ["no-position"]
    assert rt.read_series(series).image.GetSpacing()[2] == pytest.approx(3)


# ------------------------------------------------------------------------------------------------- how far apart


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("attributes", "spacing"),
    [
        ({"SpacingBetweenSlices": "3.5", "SliceThickness": "2"}, 3.5),
        ({"SpacingBetweenSlices": "-3.5", "SliceThickness": "2"}, 3.5),  # has no sign in CT
        ({"SpacingBetweenSlices": None, "SliceThickness": "2"}, 2),
        ({"SpacingBetweenSlices": "", "SliceThickness": "2"}, 2),
        ({"SpacingBetweenSlices": "0", "SliceThickness": "2"}, 2),
        ({"SpacingBetweenSlices": None, "SliceThickness": "0"}, None),
        ({"SpacingBetweenSlices": None, "SliceThickness": None}, None),
    ],
)
@pytest.mark.parametrize("kind", ["one slice", "no positions", "frames"])
def test_spacing_that_positions_do_not_tell(
    kind: str, attributes: dict[str, str | None], spacing: float | None, backend: Backend, tmp_path: Path
) -> None:
    """Spacing Between Slices, else Slice Thickness, else it is told that nothing says it: never a silent 1."""
    shape: dict[str, Any] = {
        "one slice": {"slices": 1}, "no positions": {"geometry": "none"}, "frames": {"slices": 1, "frames": 3},
    }[kind]  # fmt: skip
    write_series(tmp_path, attributes=attributes, **shape)
    series = one_series(tmp_path)
    assert ("unknown-spacing" in kinds(series)) == (spacing is None)
    assert series.slice_spacing_mm == spacing
    assert rt.read_series(series, backend=backend).image.GetSpacing()[2] == pytest.approx(spacing or 1)


@pytest.mark.parametrize("spacing", [None, "1.25"])
def test_slices_at_one_position_are_as_thick_as_they_say(spacing: str | None, tmp_path: Path) -> None:
    write_series(tmp_path, geometry="same", attributes={"SpacingBetweenSlices": spacing, "SliceThickness": None})
    series = one_series(tmp_path)
    assert ("unknown-spacing" in kinds(series)) == (spacing is None)
    for index in range(4):
        assert read(series, index).image.GetSpacing()[2] == float(spacing or 1)


@pytest.mark.parametrize("modality", ["CR", "US", "SC"])
def test_pixels_of_which_nothing_tells_the_size(modality: str, tmp_path: Path) -> None:
    """Imager Pixel Spacing stands for Pixel Spacing; without either, it is said in one line."""
    write_series(tmp_path, modality=modality, slices=1, attributes={"PixelSpacing": None})
    series = one_series(tmp_path)
    (told,) = [one.message for one in series.irregularities if one.kind == "unknown-spacing"]
    assert ("pixels" in told) == (modality != "CR")
    assert "slices" in told


# ------------------------------------------------------------------------------------------- written and verified


@pytest.mark.parametrize("identity", ["copy", "derived"])
@pytest.mark.parametrize("name", ["enhanced_shuffled", "enhanced_tilt"])
def test_a_volume_of_whole_files_is_written(name: str, identity: str, tmp_path: Path) -> None:
    """The image is in the order of places; the frames of a file stay in theirs."""
    files = write_case(name, tmp_path / "source")
    volume = rt.read_series(one_series(tmp_path / "source"))
    result = rt.write_series(rt.derive(volume) if identity == "derived" else volume, tmp_path / "written")
    written = sorted((tmp_path / "written").iterdir())
    for before, after in zip(files, written, strict=True):
        np.testing.assert_array_equal(pydicom.dcmread(before).pixel_array, pydicom.dcmread(after).pixel_array)
    assert kinds(one_series(tmp_path / "written")) == kinds(one_series(tmp_path / "source"))
    assert result.report is not None
    assert [one.check for one in result.report.findings] == (["GEO-02"] if name == "enhanced_tilt" else [])


def test_some_frames_of_a_file_are_not_written_without_the_others(tmp_path: Path) -> None:
    """A file of half the frames would say things of frames that it does not have."""
    (file,) = write_case("enhanced_times", tmp_path / "source")
    volume = read(one_series(tmp_path / "source"), 1)
    with pytest.raises(rt.SeriesWriteError, match=f"{file.name} holds 6 frames, of which the volume has 3"):
        rt.write_series(rt.derive(volume), tmp_path / "written")
    assert not (tmp_path / "written").exists()


@pytest.mark.usefixtures("_lent")
def test_a_frame_that_was_moved_is_found(tmp_path: Path) -> None:
    for folder in ("source", "written"):
        (file,) = write_case("enhanced", tmp_path / folder)
    dataset = pydicom.dcmread(file)
    dataset.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0].ImagePositionPatient[2] += 1
    dataset.save_as(file)
    report = rt.verify_series(tmp_path / "source", tmp_path / "written")
    assert [one.message for one in report.findings if one.check == "GEO-02" and not one.inherited][:1] == [
        "1 frame lies elsewhere than in the source"
    ]


def test_a_run_says_nothing_of_frames_that_have_positions(
    run: Callable[..., rt.RoundtripResult], tmp_path: Path
) -> None:
    write_case("enhanced_shuffled", tmp_path / "source")
    assert run(tmp_path / "source", tmp_path / "written").warnings == ()
