"""--transfer-syntax: every value comes back, the streams agree with the header, or the pixels are refused for a reason.

Written files are judged by pydicom and by decoders that did not compress them; streams are taken apart here.
"""

from __future__ import annotations

import importlib.util
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
from conftest import Run, Verify
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_fragments, parse_basic_offsets
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.pixels.encoders.base import Encoder
from synthetic import CASES, MALFORMED, is_available, write_series
from typer.testing import CliRunner

from itk_roundtrip import RoundtripError, SeriesWriteError, UnsupportedSeriesError, roundtrip
from itk_roundtrip.carry import compression
from itk_roundtrip.cli import app
from itk_roundtrip.dicom.transcoding import as_explicit, as_implicit
from itk_roundtrip.itk_io import _simpleitk
from itk_roundtrip.pixels.formats import PixelFormat

NATIVE = ("explicit", "implicit")
COMPRESSED = ("rle", "jpeg-lossless", "jpeg-ls", "jpeg2000")
JPEGS = COMPRESSED[1:]
SYNTAXES = (*NATIVE, *COMPRESSED)
UIDS = {
    "explicit": uid.ExplicitVRLittleEndian,
    "implicit": uid.ImplicitVRLittleEndian,
    "rle": uid.RLELossless,
    "jpeg-lossless": uid.JPEGLosslessSV1,
    "jpeg-ls": uid.JPEGLSLossless,
    "jpeg2000": uid.JPEG2000Lossless,
}
WIDE = {"rows": 33, "columns": 44}
"""Large enough for JPEG 2000, and no multiple of anything."""

Refused = Mapping[Sequence[str], str]
"""Which transfer syntaxes, and a pattern of the reason."""

_NO_32 = {COMPRESSED: "32 bits allocated"}
_NO_1 = {COMPRESSED: "1 bit allocated"}
_NOT_HIGH = {JPEGS: "High Bit"}
_NO_OVERLAY = {JPEGS: "overlay in unused bits"}
_KEPT = {COMPRESSED: "keeps its uncompressed pixels"}
_AS_IT_IS = {SYNTAXES: "keeps its compressed pixels"}
EXPECTED: dict[str, Refused] = {
    # bits and signs
    "u8_sc": {}, "s8_mr": {}, "u12_ct": {}, "u15_mr": {}, "u16_ct": {}, "s12_ct": {}, "s16_ct": {},
    "s12_not_extended": {}, "u12_high_bits": {}, "s12_high_bits": {}, "pixel_trailing_bytes": {}, "u8_as_ow": {},
    "u8_in_16": {("jpeg-lossless", "jpeg-ls"): "8 of 16 bits"},
    "high_bit_15": _NOT_HIGH, "high_bit_15_signed": _NOT_HIGH, "high_bit_15_noise": _NOT_HIGH,
    "high_bit_15_rle": _NOT_HIGH,
    "bits_32": _NO_32, "bits_20_signed": _NO_32, "rtdose_32_frames": _NO_32, "one_bit": _NO_1, "one_bit_frames": _NO_1,
    "segmentation": _NO_1, "float_pixels": _KEPT, "double_pixels": _KEPT,
    # photometric interpretations
    "mono1_ct": {}, "mono1_signed": {}, "mono1_u8": {}, "rgb": {}, "rgb_planar": {}, "ybr": {}, "ybr_planar": {},
    "rgb_16": {("rle",): "GDCM decodes it to other values"},
    "rgb_16_planar": {("rle",): "GDCM decodes it to other values"},
    "ybr_422": _KEPT, "palette": {}, "palette_8": {}, "palette_u16": {}, "palette_segmented": {},
    # overlays, frames, values
    "overlay": {}, "overlay_embedded": _NO_OVERLAY, "overlay_embedded_big": _NO_OVERLAY,
    "overlay_embedded_rle": _NO_OVERLAY,
    "multi_frame_sc": {}, "multi_frame_two": {}, "multi_frame_mono1": {}, "multi_frame_slope": {}, "rgb_frames": {},
    "rgb_frames_planar": {}, "enhanced": {}, "enhanced_implicit": {}, "enhanced_rle": {}, "frames_rle_extended": {},
    "pet_slopes_per_slice": {}, "voi_lut": {}, "modality_lut": {}, "pad_ss": {}, "icon": {}, "icon_rle": {},
    # encodings
    "implicit": {}, "implicit_u8": {}, "implicit_private": {}, "implicit_undefined": {}, "overlay_implicit": {},
    "big_endian": {}, "big_endian_signed": {}, "big_endian_words": {}, "big_endian_nested": {},
    "big_endian_private": {}, "deflated": {}, "private_unknown": {}, "private_un_creator": {}, "private_in_items": {},
    "un_sequence_defined": {}, "un_sequence_undefined": {}, "empty_sequences": {}, "long_words_implicit": {},
    "long_values_implicit": {}, "long_values": {}, "curves": {}, "group_lengths_nested": {},
    # compressed sources
    "rle_u12": {}, "rle_high_bits": {}, "rle_mono1": {}, "jpeg_lossless": {}, "jpeg_lossless_s16": {},
    "jpeg_ls_u12": {}, "j2k_s16": {}, "ybr_j2k": {}, "rgb_rle": {}, "rgb_jpeg_ls": {}, "rgb_j2k": {}, "ybr_rle": {},
    "fragments_rle": {}, "j2k_lossless_91": {},
    "rgb_rle_16": {tuple(set(SYNTAXES) - {"rle"}): "keeps its compressed pixels"},
    "j2k_u20": {tuple(set(SYNTAXES) - {"jpeg2000"}): "keeps its compressed pixels"},
    # series of several kinds
    "mixed_bits": {}, "mixed_allocated": {}, "mixed_signs": {}, "mixed_syntaxes": {}, "mixed_photometric": {},
    "mixed_colour": {}, "mixed_implicit": {},
}  # fmt: skip
"""Cases of :data:`synthetic.CASES`, at another size: what is refused; all else is exact."""
LOSSY = (
    "jpeg_baseline", "jpeg_baseline_mono1", "jpeg_baseline_frames", "jpeg_extended", "jpeg_ls_near", "j2k_lossy",
    "j2k_lossy_signed", "jpeg_rgb", "jpeg_ybr_422", "j2k_lossy_ict", "mixed_lossy",
)  # fmt: skip


def write(name: str, folder: Path, **changed: Any) -> list[Path]:
    """Write a case, larger than it is and of few slices."""
    if not is_available(name):
        pytest.skip("no encoder for this transfer syntax")
    keywords = {**(CASES[name] if name in CASES else MALFORMED[name]).keywords, **WIDE, **changed}
    lists = any(isinstance(one, list) for one in keywords.values())
    return write_series(folder, **{"slices": 4 if lists or "last_slice" in keywords else 2, **keywords})


def carry(run: Run, verify: Verify, source: Path, written: Path, syntax: str, identity: str) -> list[Path]:
    """Make the round trip and judge it by ``verify``; return the files in the order of the sources."""
    result = run(source, written, identity=identity, transfer_syntax=syntax)
    assert (result.verdict, result.transfer_syntax) == ("pass", syntax)
    report = verify(source, written)
    assert [one for one in report.findings if one.severity != "info" and not one.inherited] == []
    assert (report.verdict, report.identity) == ("pass", identity)
    prefix = "derived_" if identity == "derived" else ""
    return [written / f"{prefix}{path.name}" for path in sorted(source.iterdir())]


# ------------------------------------------------------------------------------------------- the judgement


def values_of(dataset: Dataset, *, plugin: str = "") -> NDArray[Any]:
    """Return the stored values of a file, shape (frames, rows, columns, samples)."""
    shape = (int(dataset.get("NumberOfFrames") or 1), dataset.Rows, dataset.Columns, dataset.SamplesPerPixel)
    if dataset.BitsAllocated == 1:
        bits = np.unpackbits(np.frombuffer(dataset.PixelData, "u1"), bitorder="little")
        return bits[: np.prod(shape)].reshape(shape)
    decoder: Any = get_decoder(dataset.file_meta.TransferSyntaxUID)
    words = decoder.as_array(dataset, raw=True, correct_unused_bits=False, decoding_plugin=plugin)[0]
    return in_use(words, dataset).reshape(shape)


def in_use(words: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    """Return what Bits Stored and High Bit make of pixel words (PS3.5 8.1.1)."""
    stored, below = dataset.BitsStored, dataset.HighBit + 1 - dataset.BitsStored
    used: NDArray[Any] = (words.astype(np.int64) >> below) & ((1 << stored) - 1)
    return used - ((used >> (stored - 1) & dataset.PixelRepresentation) << stored)


def frames_of(dataset: Dataset) -> list[bytes]:
    """Return the fragments of encapsulated pixels: there must be one per frame, and a right table of them (A.4)."""
    element = dataset["PixelData"]
    assert (element.VR, element.is_undefined_length) == ("OB", True)
    count = int(dataset.get("NumberOfFrames") or 1)
    fragments = list(generate_fragments(element.value))
    offsets, fragments = parse_basic_offsets(element.value), fragments[1:]
    assert len(fragments) == count
    assert offsets == [sum(8 + len(one) for one in fragments[:index]) for index in range(count)]
    assert all(len(one) % 2 == 0 for one in fragments)
    assert "ExtendedOffsetTable" not in dataset
    return fragments


def segments_of(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the marker segments of a JPEG, JPEG-LS or JPEG 2000 stream up to its first scan or tile."""
    place = 2
    while True:
        marker, length = struct.unpack_from(">HH", stream, place)
        yield marker, stream[place + 4 : place + 2 + length]
        if marker in (0xFFDA, 0xFF90):
            return
        place += 2 + length


def check_stream(stream: bytes, dataset: Dataset) -> None:
    """Check that a stream says of itself what the header says of it, and that it cannot lose anything (PS3.5 8.2)."""
    syntax, samples = dataset.file_meta.TransferSyntaxUID, dataset.SamplesPerPixel
    size = dataset.Rows, dataset.Columns
    if syntax == uid.RLELossless:
        assert struct.unpack_from("<2L", stream) == (samples * dataset.BitsAllocated // 8, 64)
        return
    segments = dict(segments_of(stream))
    if syntax == uid.JPEG2000Lossless:
        siz, cod = segments[0xFF51], segments[0xFF52]
        columns, rows = struct.unpack_from(">2L", siz, 2)
        assert ((rows, columns), struct.unpack_from(">H", siz, 34)[0]) == (size, samples)
        assert siz[36::3] == bytes([dataset.PixelRepresentation << 7 | dataset.BitsStored - 1]) * samples
        assert (cod[4], cod[9]) == (0, 1)  # colours not transformed, a reversible wavelet
        return
    frame = segments[0xFFC3 if syntax == uid.JPEGLosslessSV1 else 0xFFF7]
    precision, rows, columns, components = struct.unpack_from(">BHHB", frame)
    assert (precision, (rows, columns), components) == (dataset.BitsStored, size, samples)
    scan = segments[0xFFDA]
    assert scan[0] in (1, samples)
    if syntax == uid.JPEGLosslessSV1:
        assert scan[-3:] == b"\1\0\0"  # the first predictor, no point transform
        assert stream.rstrip(b"\0").endswith(b"\xff\xd9")
        assert (0xFFEE in segments) == (dataset.PhotometricInterpretation == "RGB")  # says that they are not YBR
    else:
        assert scan[1 + 2 * scan[0]] == 0  # NEAR


OTHER_DECODERS = {"rle": "pydicom", "jpeg-lossless": "pylibjpeg", "jpeg-ls": "pylibjpeg", "jpeg2000": ""}
"""Plug-ins of pydicom that did not encode; of JPEG 2000 there is but one, and GDCM."""


def bare_dataset(stream: bytes, syntax: str, **attributes: Any) -> Dataset:
    """Return a Secondary Capture that holds nothing but a compressed frame."""
    bare = Dataset()
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = syntax
    bare.SOPClassUID, bare.SOPInstanceUID = uid.SecondaryCaptureImageStorage, "1.2.3"
    for keyword, value in attributes.items():
        setattr(bare, keyword, value)
    bare.PhotometricInterpretation = "RGB" if bare.SamplesPerPixel == 3 else "MONOCHROME2"
    bare.PixelData = encapsulate([stream])
    bare["PixelData"].VR = "OB"
    return bare


def by_others(dataset: Dataset, stream: bytes, syntax: str, folder: Path) -> Iterator[NDArray[Any]]:
    """Yield one frame as other decoders read it: SimpleITK, where GDCM takes it, and another one of pydicom."""
    keywords = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
                "PlanarConfiguration")  # fmt: skip
    described = {keyword: dataset[keyword].value for keyword in keywords if keyword in dataset}
    bare = bare_dataset(stream, dataset.file_meta.TransferSyntaxUID, **described)
    if OTHER_DECODERS[syntax]:
        yield values_of(bare, plugin=OTHER_DECODERS[syntax])[0]
    misread = bare.BitsAllocated == 32 or (syntax == "rle" and bare.SamplesPerPixel == 3 and bare.BitsAllocated == 16)
    if bare.HighBit == bare.BitsStored - 1 and not misread:
        bare.save_as(folder / "bare.dcm", enforce_file_format=True)
        try:
            array = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(folder / "bare.dcm", imageIO="GDCMImageIO"))
        except RuntimeError:
            assert OTHER_DECODERS[syntax]
            return
        yield in_use(array, bare).reshape(dataset.Rows, dataset.Columns, dataset.SamplesPerPixel)


def check_pixels(source: Path, written: Path, syntax: str, folder: Path) -> None:
    """Check all that one written file holds of pixels, and says of them."""
    before, after = pydicom.dcmread(source, force=True), pydicom.dcmread(written)
    assert after.file_meta.TransferSyntaxUID == UIDS[syntax]
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID
    kept = [one for one in ("FloatPixelData", "DoubleFloatPixelData") if one in before]
    if kept:
        assert after[kept[0]].value == before[kept[0]].value
        return
    assert after.get("LossyImageCompression") == before.get("LossyImageCompression")
    if before.PhotometricInterpretation == "YBR_FULL_422":
        assert after.PixelData == before.PixelData
        return
    values = values_of(after)
    np.testing.assert_array_equal(values, values_of(before))
    if syntax in COMPRESSED:
        for stream, frame in zip(frames_of(after), values, strict=True):
            check_stream(stream, after)
            for other in by_others(after, stream, syntax, folder):
                np.testing.assert_array_equal(other, frame)
        assert after.get("PlanarConfiguration") == (0 if after.SamplesPerPixel == 3 else None)
    else:
        assert not after["PixelData"].is_undefined_length
        assert after["PixelData"].VR in (("OW",) if after.BitsAllocated > 8 else ("OB", "OW"))


def is_refused(expected: Refused, syntax: str) -> str:
    """Return the pattern of the reason to refuse; empty if there is none."""
    return next((pattern for which, pattern in expected.items() if syntax in which), "")


ALIKE = (
    "implicit_private", "implicit_undefined", "overlay_implicit", "big_endian_words", "big_endian_nested",
    "big_endian_private", "private_unknown", "private_un_creator", "private_in_items", "un_sequence_defined",
    "un_sequence_undefined", "empty_sequences", "long_words_implicit", "long_values_implicit", "long_values", "curves",
    "group_lengths_nested", "voi_lut", "modality_lut", "pad_ss", "icon", "icon_rle", "palette_8", "palette_segmented",
    "u15_mr", "s12_not_extended", "pixel_trailing_bytes", "u8_as_ow", "mono1_u8", "palette_u16", "multi_frame_two",
    "multi_frame_slope", "enhanced_implicit", "enhanced_rle", "frames_rle_extended", "pet_slopes_per_slice", "overlay",
    "implicit_u8", "big_endian_signed", "deflated", "rle_mono1", "fragments_rle", "ybr_rle", "mixed_implicit",
)  # fmt: skip
"""Cases whose pixels are much like those of others: one compression of each will do."""


def _matrix() -> Iterator[tuple[str, str, str]]:
    """Yield each case with all syntaxes where it is refused by one, else with half of them; the identities in turn."""
    for index, name in enumerate(EXPECTED):
        syntaxes = (*NATIVE, COMPRESSED[index % 4]) if name in ALIKE else SYNTAXES
        for number, syntax in enumerate(syntaxes):
            if EXPECTED[name] or name in ALIKE or (index + number) % 2:
                yield name, syntax, ("derived", "copy")[(index + number // 2) % 2]


MATRIX = list(_matrix())


@pytest.mark.parametrize(("name", "syntax", "identity"), MATRIX, ids=["-".join(one) for one in MATRIX])
def test_is_exact_or_refused(name: str, syntax: str, identity: str, run: Run, verify: Verify, tmp_path: Path) -> None:
    """Nothing is lost on the way, and what would be is refused before anything is written."""
    source, written = tmp_path / "source", tmp_path / "written"
    files = write(name, source)
    if pattern := is_refused(EXPECTED[name], syntax):
        with pytest.raises(RoundtripError, match=pattern):
            run(source, written, identity=identity, transfer_syntax=syntax)
        assert {path.name for path in tmp_path.iterdir()} == {"source"}
        return
    for before, after in zip(files, carry(run, verify, source, written, syntax, identity), strict=True):
        check_pixels(before, after, syntax, tmp_path)
        same = pydicom.dcmread(before, force=True).SOPInstanceUID == pydicom.dcmread(after).SOPInstanceUID
        assert same == (identity == "copy")


@pytest.mark.parametrize("name", LOSSY)
def test_copy_of_a_lossy_source_keeps_its_bytes(name: str, run: Run, tmp_path: Path) -> None:
    """The values that a decoder makes of it are not those of the source."""
    write(name, tmp_path / "source")
    for syntax in SYNTAXES:
        with pytest.raises(UnsupportedSeriesError, match="copy of a lossy source keeps its compressed bytes"):
            run(tmp_path / "source", tmp_path / "written", identity="copy", transfer_syntax=syntax)
    assert {path.name for path in tmp_path.iterdir()} == {"source"}


_DECODED = [(name, syntax) for index, name in enumerate(LOSSY) for syntax in (NATIVE[index % 2], COMPRESSED[index % 4])]


@pytest.mark.parametrize(("name", "syntax"), _DECODED, ids=["-".join(one) for one in _DECODED])
def test_lossy_source_is_decoded_once(name: str, syntax: str, run: Run, verify: Verify, tmp_path: Path) -> None:
    """A derived instance says that something was lost, and nothing more is."""
    source, written = tmp_path / "source", tmp_path / "written"
    files = write(name, source)
    for before, after in zip(files, carry(run, verify, source, written, syntax, "derived"), strict=True):
        old, new = pydicom.dcmread(before), pydicom.dcmread(after)
        assert new.file_meta.TransferSyntaxUID == UIDS[syntax]
        if not old.file_meta.TransferSyntaxUID.is_encapsulated:
            continue  # of the mixed series
        assert new.LossyImageCompression == "01"
        assert new.LossyImageCompressionMethod
        assert new.PhotometricInterpretation in (old.PhotometricInterpretation, "RGB")
        values = values_of(new)
        if new.SamplesPerPixel == 1:
            assert np.abs(values - values_of(old)).max() <= 1
        for stream, frame in zip(frames_of(new), values, strict=True) if syntax in COMPRESSED else ():
            check_stream(stream, new)
            for other in by_others(new, stream, syntax, tmp_path):
                np.testing.assert_array_equal(other, frame)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("name", ["ybr_rct", "ybr_rct_odd"])
def test_colours_that_jpeg_2000_transformed(name: str, syntax: str, run: Run, verify: Verify, tmp_path: Path) -> None:
    """Decoded they are RGB, which a copy must not be, unless it keeps its bytes."""
    source = tmp_path / "source"
    files = write(name, source)
    for before, after in zip(files, carry(run, verify, source, tmp_path / "derived", syntax, "derived"), strict=True):
        decoder: Any = get_decoder(uid.JPEG2000Lossless)
        colours = decoder.as_array(pydicom.dcmread(before))[0]
        new = pydicom.dcmread(after)
        assert (new.PhotometricInterpretation, new.PlanarConfiguration) == ("RGB", 0)
        np.testing.assert_array_equal(values_of(new)[0], colours)
        for stream in frames_of(new) if syntax in COMPRESSED else ():
            check_stream(stream, new)
    if syntax == "jpeg2000":
        for before, after in zip(files, carry(run, verify, source, tmp_path / "copy", syntax, "copy"), strict=True):
            assert pydicom.dcmread(after).PixelData == pydicom.dcmread(before).PixelData
    else:
        with pytest.raises(UnsupportedSeriesError, match="YBR_RCT would be RGB"):
            run(source, tmp_path / "copy", identity="copy", transfer_syntax=syntax)


SMALL: dict[str, Refused] = {
    "odd_pixel_bytes": {("jpeg2000",): "17x11 pixels"},
    "odd_pixel_bytes_ff": {("jpeg2000",): "17x11 pixels"},
    "multi_frame_odd": {("jpeg2000",): "3x5 pixels", ("jpeg-ls",): "does not take 3x5 pixels"},
    "rgb_odd_planar": {("jpeg2000",): "3x5 pixels", ("jpeg-ls",): "does not take 3x5 pixels"},
    "rle_odd": {("jpeg2000",): "17x11 pixels"},
    "one_row": {("jpeg2000",): "37x1 pixels"},
    "one_column": {("jpeg2000",): "1x37 pixels"},
    "one_pixel": {("jpeg2000",): "1x1 pixels", ("jpeg-ls",): "does not take 1x1 pixels"},
    "one_pixel_u8": {("jpeg2000",): "1x1 pixels", ("jpeg-ls",): "does not take 1x1 pixels"},
    "rgb_one_pixel": {("jpeg2000",): "1x1 pixels", ("jpeg-ls",): "does not take 1x1 pixels"},
}


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("name", SMALL)
def test_small_and_odd(name: str, syntax: str, run: Run, verify: Verify, tmp_path: Path) -> None:
    """GDCM and the encoders of pydicom each fail at some sizes, by an error or by a crash."""
    source, written = tmp_path / "source", tmp_path / "written"
    keywords = CASES[name].keywords
    files = write(name, source, **{key: keywords[key] for key in ("rows", "columns")})
    if pattern := is_refused(SMALL[name], syntax):
        with pytest.raises(RoundtripError, match=rf"IM0001\.dcm .*{pattern}"):
            run(source, written, transfer_syntax=syntax)
        assert {path.name for path in tmp_path.iterdir()} == {"source"}
        return
    for before, after in zip(files, carry(run, verify, source, written, syntax, "derived"), strict=True):
        check_pixels(before, after, syntax, tmp_path)


@pytest.mark.parametrize("stored", [2, 7])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_fewer_than_8_bits(syntax: str, stored: int, run: Run, verify: Verify, tmp_path: Path) -> None:
    """GDCM reads no 7 of 8 bits: one that does must be right, or they are refused."""
    source, written = tmp_path / "source", tmp_path / "written"
    files = write("u8_sc", source, bits_stored=stored)
    if syntax == "jpeg2000" and importlib.util.find_spec("PIL") is None:  # which some libraries of DICOM bring along
        with pytest.raises(SeriesWriteError, match="no other decoder here takes it"):
            run(source, written, transfer_syntax=syntax)
        return
    carried = carry(run, verify, source, written, syntax, "derived")
    for before, after in zip(files, carried, strict=True):
        if syntax == "jpeg2000":  # GDCM does not read it
            assert np.array_equal(pydicom.dcmread(before).pixel_array, pydicom.dcmread(after).pixel_array)
        else:
            check_pixels(before, after, syntax, tmp_path)


@pytest.mark.parametrize("syntax", ["explicit", "jpeg-ls"])
def test_compressed_icon_cannot_stand_in_another_syntax(syntax: str, run: Run, tmp_path: Path) -> None:
    write("icon_compressed", tmp_path / "source")
    with pytest.raises(UnsupportedSeriesError, match="compressed pixels inside a sequence"):
        run(tmp_path / "source", tmp_path / "written", transfer_syntax=syntax)
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("syntax", COMPRESSED)
@pytest.mark.parametrize("name", ["u12_ct", "s12_ct", "s8_mr", "mono1_ct", "rgb", "palette", "multi_frame_sc", "ybr"])
def test_what_was_written_is_a_source_again(name: str, syntax: str, run: Run, verify: Verify, tmp_path: Path) -> None:
    """ITK reads what was compressed, and makes nothing else of it."""
    files = write(name, tmp_path / "source")
    once = carry(run, verify, tmp_path / "source", tmp_path / "once", syntax, "copy")
    result = run(tmp_path / "once", tmp_path / "again")
    assert result.path == ("itk-inverted" if name == "mono1_ct" else "itk")
    assert len(once) == result.slices
    for first, last in zip(files, sorted((tmp_path / "again").iterdir()), strict=True):
        before, after = pydicom.dcmread(first), pydicom.dcmread(last)
        np.testing.assert_array_equal(values_of(after), values_of(before))
        assert after.PhotometricInterpretation == before.PhotometricInterpretation


def test_unused_bits_stay_in_rle(run: Run, verify: Verify, tmp_path: Path) -> None:
    """RLE holds whole words: the noise and the overlay that stand beside the values come along."""
    for name in ("u12_high_bits", "overlay_embedded", "high_bit_15_noise"):
        (before, *_) = write(name, tmp_path / name)
        (after, *_) = carry(run, verify, tmp_path / name, tmp_path / f"{name}_rle", "rle", "copy")
        decoder: Any = get_decoder(uid.RLELossless)
        options: Any = {"raw": True, "correct_unused_bits": False, "decoding_plugin": "pydicom"}
        words = decoder.as_array(pydicom.dcmread(after), **options)[0]
        assert words.tobytes() == pydicom.dcmread(before).PixelData


def test_transfer_syntax_makes_other_instances(run: Run, tmp_path: Path) -> None:
    """Two derivations of one source must not share UIDs if their files differ; the same twice must."""
    write("u12_ct", tmp_path / "source")
    uids = [
        run(tmp_path / "source", tmp_path / f"written {number}", transfer_syntax=syntax).series_instance_uid
        for number, syntax in enumerate(["", *SYNTAXES, "rle"])
    ]
    assert len(set(uids)) == len(SYNTAXES) + 1
    assert uids[3] == uids[-1]


def test_itk_alone_takes_no_transfer_syntax(run: Run, tmp_path: Path) -> None:
    """An option that does nothing must not look as if it did."""
    write("u12_ct", tmp_path / "source")
    with pytest.raises(RoundtripError, match='headers="itk"'):
        run(tmp_path / "source", tmp_path / "written", headers="itk", transfer_syntax="rle")


# --------------------------------------------------------------------------------------------- the headers


def known_vr(tag: pydicom.tag.BaseTag) -> str:
    """Return the VR of the dictionary; empty if it does not know the tag."""
    try:
        return pydicom.datadict.dictionary_VR(tag)
    except KeyError:
        return ""


def elements_of(path: Path) -> dict[tuple[int, ...], tuple[str, bytes]]:
    """Return VR and bytes of each element that is no sequence, by its path of tags and items."""
    found: dict[tuple[int, ...], tuple[str, bytes]] = {}

    def walk(dataset: Dataset, where: tuple[int, ...]) -> None:
        for tag in list(dataset.keys()):
            element, place = dataset.get_item(tag), (*where, int(tag))
            if isinstance(element, RawDataElement) and element.VR != "SQ" and known_vr(tag) != "SQ":
                found[place] = element.VR or "", element.value or b""
            elif dataset[tag].VR == "SQ":
                for number, item in enumerate(dataset[tag].value or ()):
                    walk(item, (*place, number))

    walk(pydicom.dcmread(path), ())
    return found


def test_explicit_from_implicit(run: Run, tmp_path: Path) -> None:
    """The VRs are those of the dictionary, at any depth; what it does not know is UN, and no value changes."""
    source = tmp_path / "source"
    write_series(
        source, slices=1, transfer_syntax="implicit", signed=True, intercepts="0", private="unknown", voi_lut=True,
        overlays="own", curves=True, icon="words", padding_values="SS", unknown_public="LO", nested_sequences="defined",
        private_creator_in_items=True, real_world_values=1, long_words=("OD", "OL", "OV", "UV", "SV"),
    )  # fmt: skip
    run(source, tmp_path / "written", identity="copy", transfer_syntax="explicit")
    before, after = elements_of(source / "IM0001.dcm"), elements_of(tmp_path / "written" / "IM0001.dcm")
    values = [{where: value for where, (_, value) in one.items() if value} for one in (before, after)]
    assert values[0] == values[1]
    open_ones = {"US or SS": ("US", "SS"), "OB or OW": ("OB", "OW"), "US or OW": ("OW",)}
    for where, (vr, _) in after.items():
        tag = pydicom.tag.Tag(where[-1])
        if tag.is_private_creator:
            assert vr == "LO", where
        elif known := "" if tag.is_private else known_vr(tag):
            assert vr in open_ones.get(known, (known,)), where
        else:
            assert vr == "UN", where
    assert after[(0x00280120,)][0] == "SS"
    assert after[(0x60003000,)][0] == "OW"
    assert after[(0x60000010,)][0] == "US"
    assert after[(0x50003000,)][0] == "OW"


def test_icon_describes_its_own_pixels() -> None:
    """8 bits in a file of 16: OB, and US where the image is signed (A.2 and PS3.3 C.7.6.1.1.6)."""
    icon = Dataset()
    icon.Rows = icon.Columns = 2
    icon.BitsAllocated, icon.PixelRepresentation = 8, 0
    icon.SmallestImagePixelValue = 3
    icon.PixelData = b"\1\2\3\4"
    whole = Dataset()
    whole.IconImageSequence = [icon]
    whole.BitsAllocated, whole.PixelRepresentation = 16, 1
    whole.LargestImagePixelValue = -1
    whole["LargestImagePixelValue"].VR, icon["SmallestImagePixelValue"].VR = "SS", "US"
    icon["PixelData"].VR = "OB"
    data = as_explicit(encoded(whole, implicit=True), signed=True, bits_allocated=16)
    assert data == encoded(whole, implicit=False)


def encoded(dataset: Dataset, *, implicit: bool) -> bytes:
    """Return a data set as pydicom encodes it."""
    stream = pydicom.filebase.DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, implicit
    pydicom.filewriter.write_dataset(stream, dataset)
    return stream.getvalue()


def test_private_sequence_stays_one_in_implicit_vr() -> None:
    """Its VR is gone, but by its undefined length pydicom knows it, and so does whoever makes it explicit again."""
    item = Dataset()
    item.CodeValue = "A"
    whole = Dataset()
    whole.add_new(0x00091001, "SQ", [item, item])
    whole.add_new(0x00090010, "LO", "INVENTED")
    data = encoded(whole, implicit=False)
    for implicit, again in (
        (True, as_implicit(data)),
        (False, as_explicit(as_implicit(data), signed=False, bits_allocated=8)),
    ):
        stream = pydicom.filebase.DicomBytesIO(again)
        read = pydicom.filereader.read_dataset(stream, implicit, True)
        assert [one.CodeValue for one in read[0x00091001].value] == ["A", "A"]
    assert as_implicit(as_explicit(as_implicit(data), signed=False, bits_allocated=8)) == as_implicit(data)


@pytest.mark.parametrize("name", ["u12_ct", "private_unknown", "nested_undefined", "un_sequence_defined", "overlay"])
def test_there_and_back(name: str, run: Run, tmp_path: Path) -> None:
    """Implicit to explicit to implicit, and the bytes are the same; explicit to implicit loses VRs only."""
    write(name, tmp_path / "source")
    run(tmp_path / "source", tmp_path / "once", identity="copy", transfer_syntax="implicit")
    run(tmp_path / "once", tmp_path / "explicit", identity="copy", transfer_syntax="explicit")
    run(tmp_path / "explicit", tmp_path / "twice", identity="copy", transfer_syntax="implicit")
    assert (tmp_path / "once" / "IM0001.dcm").read_bytes() == (tmp_path / "twice" / "IM0001.dcm").read_bytes()


# ----------------------------------------------------------------------------------------------- the codecs


def decoded(stream: bytes, words: NDArray[Any], pixel_format: PixelFormat) -> NDArray[Any]:
    """Return what libjpeg reads of a JPEG Lossless stream."""
    stored = pixel_format.bits_stored
    bare = bare_dataset(
        stream, uid.JPEGLosslessSV1, Rows=words.shape[0], Columns=words.shape[1], SamplesPerPixel=1,
        BitsAllocated=pixel_format.bits_allocated, BitsStored=stored, HighBit=stored - 1,
        PixelRepresentation=int(pixel_format.signed),
    )  # fmt: skip
    return values_of(bare, plugin="pylibjpeg").reshape(words.shape)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("precision", [2, 3, 7, 8, 9, 12, 15, 16])
def test_jpeg_lossless_of_every_precision(precision: int, signed: bool) -> None:
    """Noise has all differences, up to 32768, which no bits follow; odd sizes leave bits behind the last byte."""
    pixel_format = PixelFormat(8 if precision <= 8 else 16, precision, signed)
    low, high = pixel_format.stored_range
    generator = np.random.default_rng(precision)
    for rows, columns in ((1, 1), (1, 7), (7, 1), (31, 33), (150, 131)):
        words = generator.integers(low, high, (rows, columns), endpoint=True).astype(pixel_format.dtype)
        words[0, :: max(1, columns - 1)] = low
        stream = compression.compressed(words, pixel_format, "jpeg-lossless")
        np.testing.assert_array_equal(decoded(stream, words, pixel_format), words)


@pytest.mark.parametrize(
    "words",
    [
        np.full((9, 9), 4095),
        np.add.outer(np.arange(200), np.arange(200)),
        np.where(np.arange(40000) % 20011 == 20010, 65535, 0).reshape(200, 200),
        np.tile([0, 32768], (3, 50)),
        (1 << np.minimum(15, np.random.default_rng(1).geometric(0.4, (150, 150)))) - 1,
    ],
    ids=["flat", "ramp", "rare", "32768", "skewed"],
)
def test_jpeg_lossless_of_few_and_rare_differences(words: NDArray[Any]) -> None:
    """The rarer a difference is, the longer its code gets, up to 16 bits; and one code there always is."""
    pixel_format = PixelFormat(16, 16, False)
    words = words.astype("<u2")
    stream = compression.compressed(words, pixel_format, "jpeg-lossless")
    np.testing.assert_array_equal(decoded(stream, words, pixel_format), words)


def test_no_huffman_code_is_too_long_or_all_ones() -> None:
    """ISO 10918-1 C.2 and K.2: sixteen bits at most, and the ones are kept for filling up."""
    fibonacci = [1, 1]
    while len(fibonacci) < 17:
        fibonacci.append(sum(fibonacci[-2:]))
    generator = np.random.default_rng(0)
    several = [np.array(fibonacci) * factor for factor in (1, 3, 1000)]
    several += [generator.integers(0, 1 << generator.integers(1, 28), 17) for _ in range(300)]
    for counts in several:
        lengths = compression._huffman_lengths(counts)
        ordered = sorted(lengths, key=lambda size: (lengths[size], size))
        codes = [f"{code:0{length}b}" for code, length in compression._codes(lengths, ordered)[ordered]]
        assert set(lengths) == set(np.flatnonzero(counts))
        assert max(lengths.values(), default=0) <= 16
        assert all("0" in code for code in codes)
        assert not any(one.startswith(other) for one in codes for other in codes if one is not other)


@pytest.mark.parametrize("syntax", COMPRESSED)
def test_stream_of_other_values_is_refused(syntax: str) -> None:
    """An encoder that errs by one in one pixel must be found out."""
    pixel_format = PixelFormat(16, 12, False)
    words = np.random.default_rng(0).integers(0, 4096, (3, 40, 40)).astype("<u2")
    streams = [compression.compressed(frame, pixel_format, syntax) for frame in words]
    for frames in (slice(3), slice(1)):
        compression.check_streams(streams[frames], words[frames], pixel_format, syntax, "IM0001.dcm")
    words[2, 39, 39] ^= 1
    with pytest.raises(SeriesWriteError, match=r"IM0001.dcm cannot be written .*GDCM decodes it to other values"):
        compression.check_streams(streams, words, pixel_format, syntax, "IM0001.dcm")


def test_stream_that_nothing_else_decodes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be proven is not written."""
    pixel_format, words = PixelFormat(8, 8, False), np.zeros((1, 40, 40), "u1")
    stream = compression.compressed(words[0], pixel_format, "rle")
    monkeypatch.setattr(_simpleitk, "stored_values", None)
    monkeypatch.setattr(Decoder, "available_plugins", ())
    with pytest.raises(SeriesWriteError, match="no other decoder here takes it"):
        compression.check_streams([stream], words, pixel_format, "rle", "IM0001.dcm")


# ----------------------------------------------------------------------------------------------- plug-ins


@pytest.fixture
def _no_encoders(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no plug-in of pydicom were installed."""
    lacking = UIDS["jpeg-ls"], UIDS["jpeg2000"]
    monkeypatch.setattr(Encoder, "is_available", property(lambda encoder: encoder.UID not in lacking))


@pytest.mark.usefixtures("_no_encoders")
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_missing_plugin_is_named_before_anything_is_read(syntax: str, tmp_path: Path) -> None:
    """RLE pydicom does itself, JPEG Lossless this package."""
    if syntax not in ("jpeg-ls", "jpeg2000"):
        compression.check_available(syntax)
        return
    write("u12_ct", tmp_path / "source")
    command = ["run", str(tmp_path / "source"), str(tmp_path / "written"), "--transfer-syntax", syntax]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert re.search(r"Nothing here compresses to JPEG.*pip install", result.output.replace("\n", " "))
    assert "Traceback" not in result.output
    assert {path.name for path in tmp_path.iterdir()} == {"source"}


def test_unknown_transfer_syntax_is_refused(tmp_path: Path) -> None:
    """Of the API; the command line offers no others."""
    write("u12_ct", tmp_path / "source")
    with pytest.raises(RoundtripError, match='transfer_syntax must be "explicit", "implicit", "rle"'):
        roundtrip(tmp_path / "source", tmp_path / "written", transfer_syntax="jpeg-xl")  # type: ignore[arg-type]
