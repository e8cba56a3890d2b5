"""What judges the package is judged here: the generator by pydicom alone, the witness by faults that are planted."""

from __future__ import annotations

import copy
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import witness
from numpy.typing import NDArray
from pydicom import uid
from pydicom.data import get_charset_files
from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments, parse_basic_offsets
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.sequence import Sequence
from synthetic import CASES, case_values, is_available, make_uid, write_case, write_series
from witness import PixelPath, compare, read

_PIXEL_KEYWORDS = frozenset({
    "samples", "planar", "frames", "bits_allocated", "high_bit", "high_bits", "signed", "fragments", "codestream_tail",
    "empty_fragment", "rows", "columns",
})  # fmt: skip
_FOUND_BY_READERS = [name for name, case in CASES.items() if "meta" not in case.keywords and case.outcome == "exact"]
_WITHOUT_DECODER = ("jpeg_xl", "plain_frames", "deflated_frames", "rle_bit")
"""What pydicom has no decoder for; test_syntaxes looks at the values of those that are decoded here.

Those with reduced differences, which pydicom's decoder clamps, test_decoders looks at.
"""
PICTURES = [
    name
    for name in _FOUND_BY_READERS
    if _PIXEL_KEYWORDS & CASES[name].keywords.keys() or CASES[name].keywords.get("transfer_syntax", "big") != "big"
    if "float_pixels" not in CASES[name].keywords and name != "one_bit_big"  # whose words pydicom does not swap
    if not name.startswith(_WITHOUT_DECODER)
    and not {"reduced_differences", "stream_signed"} & CASES[name].keywords.keys()
    if name != "beyond_allocated"  # whose samples have no place in its words
]
"""Cases with more to their pixels than 12 bits of a word, which pydicom reads without help."""


def needs(name: str) -> None:
    if not is_available(name):
        pytest.skip("no encoder for this transfer syntax")


# -------------------------------------------------------------------------------------------- the generator


@pytest.mark.parametrize("name", PICTURES)
def test_pixels_are_those_that_were_meant(name: str, tmp_path: Path) -> None:
    """As pydicom decodes them: equal, or near where the compression has loss."""
    needs(name)
    for file, values in zip(write_case(name, tmp_path), case_values(name), strict=True):
        dataset = pydicom.dcmread(file)
        used = (1 << dataset.BitsStored) - 1
        if dataset.PhotometricInterpretation == "YBR_FULL_422" and values.shape[3] == 2:  # pydicom would fill the gaps
            assert dataset.PixelData == values.astype("u1").tobytes()
            continue
        if "_j" in name and "PlanarConfiguration" in dataset:
            dataset.PlanarConfiguration = 0  # means nothing there, but pydicom follows it
        words = np.asarray(pixel_array(dataset, raw=True, correct_unused_bits=False)).astype(np.int64).ravel()
        shift = 0 if dataset.BitsAllocated == 1 else dataset.HighBit + 1 - dataset.BitsStored
        if witness._is_lossy(read(file)):
            off = np.abs(words - values.ravel())
            steep = 0.7 if "stream_bits" in CASES[name].keywords else 0.07
            assert 0 < off.max() <= used * steep  # the least loss is one grey level, the most is of J2K at 6 to 1
            assert np.ptp(values) > used / 3
        else:
            assert np.array_equal(words >> shift & used, values.ravel() & used)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in CASES
        if name.startswith(("fragments_", "frames_")) and "transfer_syntax" in CASES[name].keywords
    ],
)
def test_fragments_are_as_many_as_asked_for(name: str, tmp_path: Path) -> None:
    """And what offset tables say is where frames begin."""
    needs(name)
    keywords = CASES[name].keywords
    dataset = pydicom.dcmread(write_case(name, tmp_path)[0])
    frames, each = int(dataset.get("NumberOfFrames", 1)), keywords.get("fragments", 1)
    offsets = parse_basic_offsets(dataset.PixelData)
    found = list(generate_fragments(dataset.PixelData[8 + 4 * len(offsets) :]))
    assert len(found) == frames * each + keywords.get("empty_fragment", False)
    assert all(len(one) % 2 == 0 for one in found)
    begins = [sum(8 + len(one) for one in found[: number * each]) for number in range(frames)]
    if keywords.get("extended_offsets"):
        assert list(struct.unpack(f"<{frames}Q", dataset.ExtendedOffsetTable)) == begins
        assert not offsets
    else:
        assert offsets == (begins if keywords.get("basic_offsets", True) else [])
    if keywords.get("codestream_tail"):
        assert found[0].rstrip(b"\0").endswith(keywords["codestream_tail"].rstrip(b"\0"))


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("palette")])
def test_palettes_colour_their_indices(name: str, tmp_path: Path) -> None:
    dataset = pydicom.dcmread(write_case(name, tmp_path)[0])
    entries = dataset.RedPaletteColorLookupTableDescriptor[0]
    assert entries == 1 << dataset.BitsStored
    coloured = apply_color_lut(pixel_array(dataset, raw=True), dataset)
    assert coloured.shape == (dataset.Rows, dataset.Columns, 3)
    assert len(np.unique(coloured)) > 50  # of 1024 entries of one byte pydicom finds the first 256


@pytest.mark.parametrize("path", get_charset_files("*.dcm"), ids=lambda path: Path(path).stem)
def test_texts_of_a_character_set_are_taken_over(path: str, tmp_path: Path) -> None:
    """Every text of pydicom's file stands in ours, byte for byte, and is read the same."""
    theirs = pydicom.dcmread(path)
    ours = pydicom.dcmread(write_case(f"charset_{Path(path).stem}", tmp_path)[0])
    ours_raw, theirs_raw = (pydicom.dcmread(one) for one in (tmp_path / "IM0001.dcm", path))
    assert ours.get("SpecificCharacterSet") == theirs.get("SpecificCharacterSet")
    texts = [element for element in theirs if element.VR in ("LO", "LT", "PN", "SH", "SQ", "ST")]
    assert texts
    for element in texts:
        assert ours[element.tag].value == element.value
        if element.VR != "SQ":
            assert ours_raw.get_item(element.tag).value == theirs_raw.get_item(element.tag).value


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("enhanced") or name == "segmentation"])
def test_functional_groups_are_whole(name: str, tmp_path: Path) -> None:
    needs(name)
    keywords = CASES[name].keywords
    given = keywords.get("frame_values", {}).get("PlanePositionSequence.ImagePositionPatient")
    places = []
    for file in write_case(name, tmp_path):
        dataset = pydicom.dcmread(file)
        frames, kind = dataset.PerFrameFunctionalGroupsSequence, keywords["functional_groups"]
        shared = dataset.SharedFunctionalGroupsSequence[0]
        assert len(frames) == dataset.NumberOfFrames
        assert all(not {tag for tag in shared.keys() & one.keys() if tag.element} for one in frames)  # none in both
        places += [one.PlanePositionSequence[0].get("ImagePositionPatient") for one in frames]
        types = [any(element.keyword == "FrameType" for element in one.iterall()) for one in (shared, *frames)]
        if name == "segmentation":
            assert not any(types)
        else:
            assert types == [kind.startswith("shared"), *[not kind.startswith("shared")] * len(frames)]
        derived = ["DerivationImageSequence" in one for one in (shared, *frames)]
        first = kind.startswith("derived")
        assert derived == [kind == "shared", *[first, *[kind == "derived"] * (len(frames) - 1)]]
        if name != "enhanced_implicit":  # where nobody knows what a private element is
            assert all(one[0x2005, 0x1011].value[0][0x0029, 0x1001].value == 1.5 for one in frames)
    expected = given or [rf"-125.0\-130.5\{7.25 + 2.5 * number}" for number in range(len(places))]
    texts = [text and [float(part) for part in text.split("\\")] for text in expected * len(places)]
    assert places == texts[: len(places)]


@pytest.mark.parametrize("value", ["explicit", "implicit"])
def test_long_values_are_long(value: str, tmp_path: Path) -> None:
    syntax = "explicit" if value == "explicit" else "implicit"
    file = write_series(tmp_path, slices=1, long_values=value, transfer_syntax=syntax)[0]
    dataset = pydicom.dcmread(file)
    assert {len(dataset.get_item(keyword).value) for keyword in ("PatientComments", "TextValue")} == {10240, 100000}
    assert len(dataset.VOILUTSequence[0].LUTData) == 80000
    for keyword in ("ImageComments", "DVHData"):
        assert (dataset.get_item(keyword).VR == "UN") == (value == "explicit")
        assert len(dataset.get_item(keyword).value) >= 70000
    assert value == "explicit" or len(dataset.FailedSOPInstanceUIDList) == 3501


STRANGE = [
    name for name in CASES if name.startswith(("claims_", "meta_")) and name not in ("meta_extras", "meta_in_data_set")
]


@pytest.mark.parametrize("name", STRANGE)
def test_witness_reads_what_says_too_little_of_its_encoding(name: str, tmp_path: Path) -> None:
    """The elements are those of the same file with a right beginning; only the problems tell the difference."""
    keywords = {**CASES[name].keywords, "slices": 1}
    strange = read(write_series(tmp_path / "strange", **keywords)[0])
    plain = read(write_series(tmp_path / "plain", **{**keywords, "meta": ""})[0])
    assert strange.data == plain.data
    assert strange.syntax == plain.syntax
    assert (plain.problems, len(strange.problems)) == ([], max(1, len(strange.problems)))


# ------------------------------------------------------------------- the witness: what is right has no problems


def copied(source: Path, destination: Path, change: Callable[[Dataset], object] | None = None) -> Path:
    """Write a file once more with pydicom, which keeps what is not touched as it stands, and change it."""
    dataset = pydicom.dcmread(source)
    if change is not None:
        change(dataset)
    return _saved(dataset, destination)


def _saved(dataset: Dataset, destination: Path) -> Path:
    for keyword, value in (("ImplementationClassUID", "1.2.276.0.9"), ("ImplementationVersionName", "BY_HAND")):
        setattr(dataset.file_meta, keyword, value)
    destination.parent.mkdir(exist_ok=True)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.preamble = bytes(128)
    dataset.save_as(destination, enforce_file_format=True)
    return destination


def decode(dataset: Dataset) -> str:
    """Decompress by pydicom as the rules want it, and return what a derivation says of that."""
    syntax, photometric = dataset.file_meta.TransferSyntaxUID, dataset.PhotometricInterpretation
    cosine, lossy = syntax in witness._COSINE, syntax in witness._METHODS
    to_rgb = photometric in ("YBR_RCT", "YBR_ICT") or (cosine and photometric.startswith("YBR"))
    compressed = sum(map(len, list(generate_fragments(dataset.PixelData))[1:]))
    pixels = np.asarray(pixel_array(dataset, raw=not to_rgb, correct_unused_bits=False))
    put_pixels(dataset, pixels)
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in dataset:
            delattr(dataset, keyword)
    if dataset.SamplesPerPixel > 1:
        dataset.PlanarConfiguration = 0
    if lossy:
        dataset.LossyImageCompression = "01"
        if not dataset.get("LossyImageCompressionRatio"):
            dataset.LossyImageCompressionRatio = f"{pixels.nbytes / compressed:.3f}"
            dataset.LossyImageCompressionMethod = witness._METHODS[syntax]
    if to_rgb:
        dataset.PhotometricInterpretation = "RGB"
        return f"{photometric} decoded to RGB by libjpeg" if not lossy else f"{photometric} decoded by libjpeg to RGB"
    return "stored values unchanged"


def put_pixels(dataset: Dataset, pixels: NDArray[Any]) -> None:
    value = pixels.tobytes()
    dataset.PixelData = value + b"\0" * (len(value) % 2)
    dataset["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
    dataset["PixelData"].is_undefined_length = False


def _code(value: str, meaning: str) -> Dataset:
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = value, "DCM", meaning
    return made


def _source(sop_class: str, instance: str, frame: int = 0) -> Dataset:
    made = Dataset()
    made.ReferencedSOPClassUID, made.ReferencedSOPInstanceUID = sop_class, instance
    if frame:
        made.ReferencedFrameNumber = frame
    made.SpatialLocationsPreserved = "YES"
    made.PurposeOfReferenceCodeSequence = [_code("121322", "Source image for image processing operation")]
    return made


def derived(source: Path, destination: Path, change: Callable[[Dataset], object] | None = None) -> Path:
    """Derive an instance by hand, as the rules want it, and change it."""
    dataset = pydicom.dcmread(source)
    sop_class, instance, series = dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.SeriesInstanceUID
    keep = dataset.SamplesPerPixel == 3 and dataset.BitsAllocated == 16
    text = "stored values unchanged"
    if dataset.file_meta.TransferSyntaxUID.is_compressed and not keep:
        text = decode(dataset)
    enhanced = "PerFrameFunctionalGroupsSequence" in dataset
    image_type = dataset.ImageType
    primary = image_type[1] if enhanced else "PRIMARY" if dataset.Modality in ("PT", "NM") else "SECONDARY"
    dataset.ImageType = ["DERIVED", primary, *image_type[2:]]
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = "20240506", "070809"
    if dataset.Modality not in ("PT", "NM"):
        dataset.SeriesDate, dataset.SeriesTime = "20240506", "070809"
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = make_uid("by hand", instance), make_uid("by hand", series)
    dataset.SeriesDescription += " by hand"
    dataset.SeriesNumber = 1004
    dataset.DerivationDescription = text
    dataset.SourceImageSequence = [*dataset.get("SourceImageSequence", []), _source(sop_class, instance)]
    equipment, listed, reference = Dataset(), Dataset(), Dataset()
    equipment.Manufacturer = "Nobody"
    equipment.ContributionDateTime, equipment.ContributionDescription = "20240506070809+0000", "by hand"
    equipment.PurposeOfReferenceCodeSequence = [_code("109102", "Processing Equipment")]
    dataset.ContributingEquipmentSequence = [equipment]
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = sop_class, instance
    listed.SeriesInstanceUID, listed.ReferencedInstanceSequence = series, [reference]
    dataset.ReferencedSeriesSequence = [listed]
    if enhanced:
        _derive_groups(dataset, sop_class, instance, text)
    if change is not None:
        change(dataset)
    return _saved(dataset, destination)


def _derive_groups(dataset: Dataset, sop_class: str, instance: str, text: str) -> None:
    shared, frames = dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence
    for group in (*shared, *frames):
        for element in group.iterall():
            if element.keyword == "FrameType":
                element.value = ["DERIVED", *element.value[1:]]
    where = shared if "DerivationImageSequence" in shared[0] else frames
    for number, group in enumerate(where):
        ours = Dataset()
        ours.DerivationDescription = text
        ours.DerivationCodeSequence = [_code("113072", "Multiplanar reformatting")]
        ours.SourceImageSequence = [_source(sop_class, instance, number + 1 if where is frames else 0)]
        group.DerivationImageSequence = [*group.get("DerivationImageSequence", []), ours]
    study, series, one = Dataset(), Dataset(), Dataset()
    one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = sop_class, instance
    listed = dataset.ReferencedSeriesSequence[-1]
    series.SeriesInstanceUID, series.ReferencedSOPSequence = listed.SeriesInstanceUID, [one]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = dataset.StudyInstanceUID, [series]
    dataset.SourceImageEvidenceSequence = [study]


_NOT_LITTLE = {"big", "deflated"}
_OUT_OF_ORDER = {"meta_in_data_set", "out_of_order"}
"""What the witness rightly objects to in a copy of theirs."""
RIGHT = [
    name
    for name in list(CASES)[list(CASES).index("concatenation") :]
    if "meta" not in CASES[name].keywords
    and name not in _OUT_OF_ORDER
    and CASES[name].keywords.get("transfer_syntax") not in _NOT_LITTLE
]


@pytest.mark.parametrize("name", RIGHT)
def test_a_copy_of_every_file_has_no_problems(name: str, tmp_path: Path) -> None:
    needs(name)
    files = write_case(name, tmp_path / "in")
    written = [_with_other_writer(file, tmp_path / "out" / file.name) for file in files]
    assert compare(files, written, "copy") == []


def _with_other_writer(source: Path, destination: Path) -> Path:
    """Copy a file under another Implementation Class UID and Version Name of the same lengths."""
    content = source.read_bytes()
    for old in (make_uid("implementation").encode(), b"INVENTED_1"):
        content = content.replace(old, old[:-1] + (b"7" if old[-1:] != b"7" else b"8"), 1)
    destination.parent.mkdir(exist_ok=True)
    destination.write_bytes(content)
    return destination


BY_HAND = [
    "rgb", "rgb_planar", "rgb_rle", "rgb_rle_planar", "rgb_rle_odd", "rgb_rle_16", "rgb_jpeg_ls", "rgb_jpeg_lossless",
    "rgb_j2k", "rgb_frames_rle", "ybr", "ybr_rle", "ybr_422", "ybr_rct", "ybr_rct_odd", "palette_rle", "bits_32",
    "one_bit_frames", "high_bit_15", "high_bit_15_rle_noise", "high_bit_11_rle_signed", "overlay_embedded_rle",
    "jpeg_baseline", "jpeg_baseline_flag", "jpeg_baseline_flag_only", "jpeg_baseline_frames", "jpeg_extended",
    "jpeg_ls_near", "j2k_lossy", "j2k_lossy_signed", "jpeg_rgb", "jpeg_ybr", "jpeg_ybr_422", "jpeg_ybr_422_frames",
    "jpeg_ls_near_rgb", "j2k_lossy_rgb", "j2k_lossy_ict", "frames_rle", "frames_jpeg_ls_extended",
    "frames_jpeg_lossless_fragments", "fragments_tail", "multi_frame", "multi_frame_xa", "enhanced", "enhanced_ct",
    "enhanced_one_frame", "enhanced_shared_type", "enhanced_shared", "enhanced_derived", "enhanced_derived_once",
    "enhanced_undefined", "enhanced_implicit", "enhanced_rle", "segmentation", "parametric_map", "rtdose_32_frames",
]  # fmt: skip


def one_of(name: str, folder: Path) -> Path:
    return write_series(folder, **{**CASES[name].keywords, "slices": 1})[0]


@pytest.mark.parametrize("name", BY_HAND)
def test_what_is_derived_by_hand_has_no_problems(name: str, tmp_path: Path) -> None:
    needs(name)
    source = one_of(name, tmp_path / "in")
    assert compare([source], [derived(source, tmp_path / "out" / "derived_IM0001.dcm")], "derived") == []


@pytest.mark.parametrize(("name", "path"), [("rgb_rle", "itk"), ("rgb_rle_16", "source"), ("jpeg_ybr", "itk")])
def test_the_way_of_the_pixels_is_judged_where_it_is_known(name: str, path: PixelPath, tmp_path: Path) -> None:
    source = one_of(name, tmp_path / "in")
    written = derived(source, tmp_path / "out" / "derived_IM0001.dcm")
    assert compare([source], [written], "derived", path=path) == []
    other: PixelPath = "source" if path == "itk" else "itk"
    told = compare([source], [written], "derived", path=other)
    assert any("compressed" in one for one in told)


# -------------------------------------------------------------------------- the witness: what is wrong is seen

Change = Callable[[Dataset], object]


def flip(at: int, keyword: str = "PixelData") -> Change:
    """Change one bit of a value."""

    def change(dataset: Dataset) -> None:
        value = bytearray(dataset[keyword].value)
        value[at] ^= 4
        dataset[keyword].value = bytes(value)

    return change


def pixels(function: Callable[[NDArray[Any]], NDArray[Any]], dtype: str = "u1") -> Change:
    """Change the words of native pixels, which come as one array."""

    def change(dataset: Dataset) -> None:
        count = len(dataset.PixelData) // np.dtype(dtype).itemsize
        made = function(np.frombuffer(dataset.PixelData, dtype, count).copy())
        dataset["PixelData"].value = made.astype(dtype).tobytes()

    return change


def add(step: int, at: Any = slice(None), dtype: str = "u1") -> Change:
    def function(words: NDArray[Any]) -> NDArray[Any]:
        wide = words.astype(np.int64)
        wide[at] += step
        return wide.clip(np.iinfo(dtype).min, np.iinfo(dtype).max)

    return pixels(function, dtype)


def put(**attributes: Any) -> Change:
    """Set attributes, or remove them with ``None``."""

    def change(dataset: Dataset) -> None:
        for keyword, value in attributes.items():
            if value is None:
                del dataset[keyword]
            else:
                setattr(dataset, keyword, value)

    return change


def both(*changes: Change) -> Change:
    def change(dataset: Dataset) -> None:
        for one in changes:
            one(dataset)

    return change


def by_pixel(planes: NDArray[Any]) -> NDArray[Any]:
    return planes.reshape(3, -1).T.ravel()


def by_plane(words: NDArray[Any]) -> NDArray[Any]:
    return words.reshape(-1, 3).T.ravel()


def to_rgb(dataset: Dataset) -> None:
    """Make RGB of YBR_FULL: allowed to nobody who can keep it."""
    y, cb, cr = np.frombuffer(dataset.PixelData, "u1").reshape(-1, 3).astype(float).T
    rgb = np.stack([y + 1.402 * (cr - 128), y - 0.344 * (cb - 128) - 0.714 * (cr - 128), y + 1.772 * (cb - 128)], 1)
    put_pixels(dataset, rgb.clip(0, 255).round().astype("u1"))
    dataset.PhotometricInterpretation = "RGB"


def as_bytes(dataset: Dataset) -> None:
    """Make bytes of bits, as ITK does."""
    put_pixels(dataset, np.asarray(pixel_array(dataset)) * np.uint8(255))
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7


def swap_frames(dataset: Dataset) -> None:
    half = np.frombuffer(dataset.PixelData, "u1").reshape(int(dataset.NumberOfFrames), -1)
    dataset["PixelData"].value = half[::-1].tobytes()


def relabel(syntax: str) -> Change:
    return lambda dataset: setattr(dataset.file_meta, "TransferSyntaxUID", uid.UID(syntax))


def frame(number: int, function: Change) -> Change:
    """Change the functional groups of a frame."""
    return lambda dataset: function(dataset.PerFrameFunctionalGroupsSequence[number])


def added(number: int, function: Change) -> Change:
    """Change what was added to the derivations of a frame."""
    return frame(number, lambda group: function(group.DerivationImageSequence[-1]))


def referred(number: int, function: Change) -> Change:
    return added(number, lambda item: function(item.SourceImageSequence[0]))


def frame_type(number: int, value: list[str]) -> Change:
    return frame(number, lambda group: put(FrameType=value)(group.MRImageFrameTypeSequence[0]))


def reorder(keyword: str, *order: int) -> Change:
    def change(dataset: Dataset) -> None:
        items = dataset[keyword].value
        dataset[keyword].value = Sequence([items[number] for number in order])

    return change


def into_shared(dataset: Dataset) -> None:
    """Put the derivation of a frame into the shared groups besides."""
    ours = dataset.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence
    dataset.SharedFunctionalGroupsSequence[0].DerivationImageSequence = copy.deepcopy(ours)


def into_frames(dataset: Dataset) -> None:
    """Put the derivation of the shared groups into each frame instead."""
    shared = dataset.SharedFunctionalGroupsSequence[0].DerivationImageSequence
    ours = shared.pop()
    for group in dataset.PerFrameFunctionalGroupsSequence:
        group.DerivationImageSequence = [copy.deepcopy(ours)]


def in_shared(function: Change) -> Change:
    return lambda dataset: function(dataset.SharedFunctionalGroupsSequence[0].DerivationImageSequence[-1])


def merge_fragments(dataset: Dataset) -> None:
    """Make one fragment of three: the pixels are the same, the bytes are not."""
    start = 8 + 4 * len(parse_basic_offsets(dataset.PixelData))
    joined = b"".join(generate_fragments(dataset.PixelData[start:]))
    value = dataset.PixelData[:start] + struct.pack("<HHL", 0xFFFE, 0xE000, len(joined)) + joined
    dataset.PixelData = value + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


_NOT_SAME = "PixelData is not the same bytes"
_NOT_KEPT = "compressed, but not the same bytes"
_DIFFER = "stored values differ"

COPIES: dict[str, tuple[str, Change, str]] = {
    # native pixels
    "a sample": ("rgb", flip(0), _NOT_SAME),
    "a sample of 16 bits": ("rgb_16", flip(1), _NOT_SAME),
    "planes not permuted back": ("rgb_planar", pixels(by_pixel), _NOT_SAME),
    "planes said to be pixels": ("rgb_planar", put(PlanarConfiguration=0), "PlanarConfiguration is"),
    "planes made pixels": ("rgb_planar", both(pixels(by_pixel), put(PlanarConfiguration=0)), _NOT_SAME),
    "pixels said to be planes": ("rgb", put(PlanarConfiguration=1), "PlanarConfiguration is"),
    "red and blue swapped": ("rgb", pixels(lambda words: words.reshape(-1, 3)[:, ::-1].ravel()), _NOT_SAME),
    "YBR called RGB": ("ybr", put(PhotometricInterpretation="RGB"), "PhotometricInterpretation is"),
    "YBR made RGB": ("ybr", to_rgb, _NOT_SAME),
    "halved chrominance called full": ("ybr_422", put(PhotometricInterpretation="YBR_FULL"), "Photometric"),
    "a chrominance": ("ybr_422", flip(2), _NOT_SAME),
    "an index": ("palette", flip(7), _NOT_SAME),
    "an entry of a palette": ("palette_8", flip(9, "RedPaletteColorLookupTableData"), "RedPalette"),
    "a segment of a palette": ("palette_segmented", flip(9, "SegmentedRedPaletteColorLookupTableData"), "SegmentedRed"),
    "a bit": ("one_bit_frames", flip(13), _NOT_SAME),
    "bits made bytes": ("one_bit_frames", as_bytes, _NOT_SAME),
    "the high byte of 32 bits": ("bits_32", flip(3), _NOT_SAME),
    "bits moved down": ("high_bit_15", both(pixels(lambda one: one >> 4, "u2"), put(HighBit=11)), _NOT_SAME),
    "an embedded overlay": ("overlay_embedded", pixels(lambda one: one & 0x0FFF, "u2"), _NOT_SAME),
    "a float": ("float_pixels", flip(0, "FloatPixelData"), "FloatPixelData is"),
    "a double": ("double_pixels", flip(0, "DoubleFloatPixelData"), "DoubleFloatPixelData is"),
    "frames in another order": ("multi_frame", swap_frames, _NOT_SAME),
    "no Number of Frames": ("multi_frame", put(NumberOfFrames=None), "NumberOfFrames is lost"),
    "a Frame Type": ("enhanced", frame_type(1, ["DERIVED", "PRIMARY", "M", "NONE"]), "FrameType is"),
    "a long value": ("long_values", flip(69000, "ImageComments"), "ImageComments is"),
    "a text": ("charset_chrH31", put(PatientName="A^B"), "PatientName is"),
    # compressed pixels that stay so
    "a byte of a stream": ("jpeg_baseline", flip(300), _NOT_KEPT),
    "a byte of an offset table": ("jpeg_baseline_frames", flip(12), _NOT_KEPT),
    "a byte behind the end": ("fragments_tail", flip(-11), _NOT_KEPT),
    "fragments joined": ("fragments_jpeg_baseline", merge_fragments, _NOT_KEPT),
    "a byte of a colour stream": ("ybr_rct", flip(200), _NOT_KEPT),
    "another lossy syntax": ("jpeg_baseline", relabel(uid.JPEGExtended12Bit), "transfer syntax"),
    "an Extended Offset Table": ("frames_rle_extended", flip(0, "ExtendedOffsetTable"), "ExtendedOffsetTable is"),
    "a flag added": ("jpeg_baseline", put(LossyImageCompression="01"), "LossyImageCompression is added"),
    "a colour model": ("ybr_rct", put(PhotometricInterpretation="RGB"), "PhotometricInterpretation is"),
    "a lossy copy decoded": ("jpeg_baseline", decode, "no longer compressed"),
    "a lossy JPEG-LS copy decoded": ("jpeg_ls_near", decode, "no longer compressed"),
    "a transformed copy decoded": ("ybr_rct", decode, "no longer compressed"),
    # and that do not
    "a decoded sample": ("rgb_rle", both(decode, flip(5)), _DIFFER),
    "a decoded sample of a plane": ("rgb_rle_planar", both(decode, flip(5)), _DIFFER),
    "an offset table left": ("frames_rle_extended", both(decode, put(ExtendedOffsetTable=bytes(24))), "is gone"),
}  # fmt: skip

DERIVED: dict[str, tuple[str, Change, str]] = {
    # compressed without loss
    "a sample": ("rgb_rle", flip(5), _DIFFER),
    "planes called pixels": ("rgb_rle", pixels(by_plane), _DIFFER),
    "pixels called planes": ("rgb_rle_planar", put(PlanarConfiguration=1), _DIFFER),
    "planes where none were": ("rgb_rle", both(pixels(by_plane), put(PlanarConfiguration=1)), "PlanarConfiguration"),
    "no Planar Configuration": ("rgb_rle", put(PlanarConfiguration=None), "PlanarConfiguration"),
    "two bytes too many": ("rgb_rle_odd", lambda one: put(PixelData=one.PixelData + b"\0\0")(one), "bytes, not"),
    "YBR made RGB": ("ybr_rle", to_rgb, "PhotometricInterpretation is RGB"),
    "YBR called RGB": ("ybr_rle", put(PhotometricInterpretation="RGB"), "PhotometricInterpretation is RGB"),
    "RGB called YBR_RCT": ("ybr_rct", put(PhotometricInterpretation="YBR_RCT"), "is YBR_RCT, not RGB"),
    "RGB called YBR_FULL": ("ybr_rct", put(PhotometricInterpretation="YBR_FULL"), "is YBR_FULL, not RGB"),
    "one step of RGB": ("ybr_rct", add(1, 77), _DIFFER),
    "RGB by plane": ("ybr_rct", both(pixels(by_plane), put(PlanarConfiguration=1)), "PlanarConfiguration"),
    "a silent transform": ("ybr_rct", put(DerivationDescription="stored values unchanged"), "YBR_RCT decoded to RGB"),
    "a loss where there is none": ("ybr_rct", put(LossyImageCompression="01"), "LossyImageCompression is added"),
    "bits beside the values": ("high_bit_15_rle_noise", pixels(lambda one: one & 0xFFF0, "u2"), _DIFFER),
    "an embedded overlay": ("overlay_embedded_rle", pixels(lambda one: one & 0x7FFF, "u2"), _DIFFER),
    "frames in another order": ("frames_rle", swap_frames, _DIFFER),
    "a frame lost": ("frames_rle", pixels(lambda one: one[: one.size // 3]), "bytes, not"),
    "a byte of what stays": ("rgb_rle_16", flip(100), _NOT_KEPT),
    "a frame number of what stays": ("rgb_rle_16", put(PlanarConfiguration=1), "PlanarConfiguration is"),
    # compressed with loss
    "no flag": ("jpeg_baseline", put(LossyImageCompression=None), "LossyImageCompression is ''"),
    "flag 00": ("j2k_lossy", put(LossyImageCompression="00"), "LossyImageCompression is '00'"),
    "no ratio": ("jpeg_ls_near", put(LossyImageCompressionRatio=None), "Ratio is ''"),
    "another ratio": ("jpeg_baseline", put(LossyImageCompressionRatio="42"), "Ratio is '42'"),
    "no method": ("j2k_lossy", put(LossyImageCompressionMethod=None), "Method is ''"),
    "another method": ("jpeg_ls_near", put(LossyImageCompressionMethod="ISO_10918_1"), "Method is 'ISO_10918_1'"),
    "a ratio replaced": ("jpeg_baseline_flag", put(LossyImageCompressionRatio="2.5"), "LossyImageCompressionRatio is"),
    "a method replaced": ("jpeg_baseline_flag", put(LossyImageCompressionMethod="ISO_15444_1"), "Method is"),
    "the old ratio lost": ("jpeg_baseline_flag", put(LossyImageCompressionRatio=None), "Ratio is lost"),
    "a grey": ("jpeg_baseline", add(-3, 100), _DIFFER),
    "a grey of 12 bits": ("jpeg_extended", add(2, 100, "u2"), _DIFFER),
    "a grey of J2K": ("j2k_lossy", add(2, 100, "u2"), _DIFFER),
    "a signed value": ("j2k_lossy_signed", add(2, 100, "i2"), _DIFFER),
    "every grey by one step": ("jpeg_baseline", add(1), "in the mean"),
    "one step of JPEG-LS": ("jpeg_ls_near", add(1, 100, "u2"), _DIFFER),
    "one step of JPEG-LS in colour": ("jpeg_ls_near_rgb", add(1, 100), _DIFFER),
    "a colour": ("jpeg_ybr", add(5, 100), _DIFFER),
    "a colour of a JPEG without transform": ("jpeg_rgb", add(-3, 100), _DIFFER),
    "a colour of halved chrominance": ("jpeg_ybr_422", add(40, 100), _DIFFER),
    "every colour by one step": ("jpeg_ybr_422", add(1), "in the mean"),
    "red by one step": ("jpeg_ybr", add(1, slice(0, None, 3)), "in the mean"),
    "YBR called RGB (lossy)": (
        "jpeg_ybr_422",
        lambda one: put_pixels(one, np.asarray(pixel_array(pydicom.dcmread(one.filename), raw=True))),
        _DIFFER,
    ),
    "RGB called YBR": ("jpeg_ybr", put(PhotometricInterpretation="YBR_FULL"), "is YBR_FULL, not RGB"),
    "RGB called YBR_ICT": ("j2k_lossy_ict", put(PhotometricInterpretation="YBR_ICT"), "is YBR_ICT, not RGB"),
    "colours by plane": ("jpeg_ybr", both(pixels(by_plane), put(PlanarConfiguration=1)), "PlanarConfiguration"),
    "planes called pixels (lossy)": ("jpeg_ybr", pixels(by_plane), _DIFFER),
    "called unchanged": ("jpeg_ybr", put(DerivationDescription="stored values unchanged, decoded by X"),
                         "says `stored"),
    "no decoder named": ("jpeg_ybr", put(DerivationDescription="decoded to RGB"), "says `stored"),
    "nothing said": ("jpeg_baseline", put(DerivationDescription="read"), "says neither"),
    # functional groups
    "a Frame Type missed": ("enhanced", frame_type(2, ["ORIGINAL", "PRIMARY", "M", "NONE"]), "FrameType is"),
    "a shared Frame Type missed": (
        "enhanced_shared_type",
        lambda one: frame_type_of_all(one, ["ORIGINAL", "PRIMARY", "M", "NONE"]),
        "FrameType is",
    ),
    "another second value": ("enhanced", frame_type(0, ["DERIVED", "SECONDARY", "M", "NONE"]), "FrameType is"),
    "a value of a Frame Type lost": ("enhanced", frame_type(0, ["DERIVED", "PRIMARY", "M"]), "FrameType is"),
    "another Image Type": ("enhanced", put(ImageType=["DERIVED", "SECONDARY", "M", "NONE"]), "ImageType is"),
    "another frame number": ("enhanced", referred(1, put(ReferencedFrameNumber=1)), "ReferencedFrameNumber is '1'"),
    "no frame number": ("enhanced", referred(1, put(ReferencedFrameNumber=None)), "lacks .*ReferencedFrameNumber"),
    "another instance": ("enhanced", referred(2, put(ReferencedSOPInstanceUID="1.2.3")), "ReferencedSOPInstanceUID is"),
    "another class": ("enhanced", referred(2, put(ReferencedSOPClassUID=uid.MRImageStorage)), "SOPClassUID is"),
    "locations not preserved": ("enhanced", referred(0, put(SpatialLocationsPreserved="NO")), "Preserved is 'NO'"),
    "another purpose": (
        "enhanced",
        referred(0, put(PurposeOfReferenceCodeSequence=[_code("121320", "Uncompressed predecessor")])),
        "has the purpose",
    ),
    "no description of a frame": ("enhanced", added(1, put(DerivationDescription="read")), "stored values unchanged"),
    "no code of a frame": ("enhanced", added(1, put(DerivationCodeSequence=[])), "has the derivation codes"),
    "no source of a frame": ("enhanced", added(1, put(SourceImageSequence=[])), "has 0 source images"),
    "no evidence": ("enhanced", put(SourceImageEvidenceSequence=None), "0 items, not 1"),
    "evidence of another instance": (
        "enhanced",
        lambda dataset: put(ReferencedSOPInstanceUID="2.25.9")(
            dataset.SourceImageEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
        ),
        "does not name the source",
    ),
    "one frame forgotten": ("enhanced", frame(2, put(DerivationImageSequence=None)), "0 items, not 0 \\+ 1"),
    "an old derivation lost": (
        "enhanced_derived",
        frame(1, reorder("DerivationImageSequence", 1)),
        "1 items, not 1 \\+ 1",
    ),
    "ours before the old": (
        "enhanced_derived",
        frame(1, reorder("DerivationImageSequence", 1, 0)),
        r"DerivationImageSequence\[-1\]",
    ),
    "an old derivation changed": (
        "enhanced_derived_once",
        frame(0, lambda group: put(DerivationDescription="x")(group.DerivationImageSequence[0])),
        r"DerivationImageSequence\[0\]",
    ),
    "a derivation in both": ("enhanced", into_shared, "DerivationImageSequence is added"),
    "a derivation in the frames": ("enhanced_shared", into_frames, r"SharedF.*1 items, not 1 \+ 1"),
    "a frame number in the shared groups": (
        "enhanced_shared",
        in_shared(lambda one: put(ReferencedFrameNumber=1)(one.SourceImageSequence[0])),
        "holds .*ReferencedFrameNumber",
    ),
    "frames in another order (groups)": (
        "enhanced",
        reorder("PerFrameFunctionalGroupsSequence", 1, 0, 2),
        "ImagePositionPatient is|ReferencedFrameNumber is",
    ),
    "a frame lost (groups)": ("enhanced", reorder("PerFrameFunctionalGroupsSequence", 0, 1), "2 items, not 3"),
    "a position": (
        "enhanced",
        frame(1, lambda one: put(ImagePositionPatient=[0, 0, 0])(one.PlanePositionSequence[0])),
        "ImagePositionPatient is",
    ),
    "a private value": ("enhanced", frame(1, lambda one: setattr(one[0x2005, 0x1001], "value", "x")), "2005,1001"),
    "a shared value": (
        "enhanced",
        lambda one: put(RescaleSlope="2")(one.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence[0]),
        "RescaleSlope is",
    ),
    "a bit of a segmentation": ("segmentation", flip(3), _NOT_SAME),
    "a float of a map": ("parametric_map", flip(3, "FloatPixelData"), "FloatPixelData is"),
}  # fmt: skip


def frame_type_of_all(dataset: Dataset, value: list[str]) -> None:
    dataset.SharedFunctionalGroupsSequence[0].MRImageFrameTypeSequence[0].FrameType = value


@pytest.mark.parametrize("wrong", COPIES)
def test_a_fault_of_a_copy_is_seen(wrong: str, tmp_path: Path) -> None:
    name, change, pattern = COPIES[wrong]
    needs(name)
    source = one_of(name, tmp_path / "in")
    told = compare([source], [copied(source, tmp_path / "out" / source.name, change)], "copy")
    assert any(re.search(pattern, one) for one in told), told


@pytest.mark.parametrize("wrong", DERIVED)
def test_a_fault_of_what_is_derived_is_seen(wrong: str, tmp_path: Path) -> None:
    name, change, pattern = DERIVED[wrong]
    needs(name)
    source = one_of(name, tmp_path / "in")
    told = compare([source], [derived(source, tmp_path / "out" / "derived_IM0001.dcm", change)], "derived")
    assert any(re.search(pattern, one) for one in told), told


def _prefix(content: bytes) -> bytes:
    return content[:128] + content[132:]


_EXPLICIT = uid.ExplicitVRLittleEndian.encode() + b"\0"
BEGINNINGS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "no prefix": (_prefix, "no DICM prefix"),
    "no preamble": (lambda content: content[132:], "no DICM prefix"),
    "no group 0002": (lambda content: content[:132] + content[content.index(b"\x08\0\x05\0") :], "no File Meta"),
    "no beginning": (lambda content: content[content.index(b"\x08\0\x05\0") :], "no DICM prefix"),
    "said to be implicit": (
        lambda content: content.replace(_EXPLICIT, uid.ImplicitVRLittleEndian.encode() + b"\0\0\0", 1),
        "is said to be Implicit VR Little Endian",
    ),
    "said to be big": (
        lambda content: content.replace(_EXPLICIT, uid.ExplicitVRBigEndian.encode() + b"\0", 1),
        "is said to be Explicit VR Big Endian",
    ),
    "another group length": (lambda content: content[:140] + b"\1" + content[141:], "Group Length is"),
    "one byte more": (lambda content: content + b"\0", "cannot be parsed|follows|has another length"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", BEGINNINGS)
def test_a_fault_of_the_beginning_of_what_is_written_is_seen(wrong: str, tmp_path: Path) -> None:
    """Also where the source has the same."""
    function, pattern = BEGINNINGS[wrong]
    source = one_of("sc_plain", tmp_path / "in")
    written = copied(source, tmp_path / "out" / source.name)
    assert compare([source], [written], "copy") == []
    for file in (written, source):
        file.write_bytes(function(file.read_bytes()))
        told = compare([source], [written], "copy")
        assert any(re.search(pattern, one) for one in told), told
