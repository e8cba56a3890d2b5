"""What a scan finds: files however they begin, what they say of themselves, and the volumes of a series."""

from __future__ import annotations

import gzip
import json
import shutil
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from conftest import Run, Verify
from pydicom import uid
from synthetic import make_uid, write_series

from itk_roundtrip import AmbiguousSeriesError, Instance, Series, SeriesList, SeriesNotFoundError, find_series
from itk_roundtrip.dicom.part10 import opening
from itk_roundtrip.series.find import choose_series
from itk_roundtrip.show.report import find_document

IMPLICIT, EXPLICIT = str(uid.ImplicitVRLittleEndian), str(uid.ExplicitVRLittleEndian)
BIG, DEFLATED = str(uid.ExplicitVRBigEndian), str(uid.DeflatedExplicitVRLittleEndian)
SYNTAXES = {"implicit": IMPLICIT, "explicit": EXPLICIT, "big": BIG, "deflated": DEFLATED}


def found_in(folder: Path) -> Series:
    (series,) = find_series(folder)
    return series


def kinds(series: Series) -> dict[str, str]:
    return {one.kind: one.message for one in series.irregularities}


def first_file(folder: Path, **keywords: Any) -> bytes:
    return write_series(folder, slices=1, **keywords)[0].read_bytes()


def without_meta(content: bytes) -> bytes:
    """Return the data set of a file."""
    return content[opening(content).start :]


def rewritten(folder: Path, edit: Callable[[bytes], bytes], **keywords: Any) -> Path:
    """Write a series, edit all its files, and return its folder."""
    for path in write_series(folder, **keywords):
        path.write_bytes(edit(path.read_bytes()))
    return folder


def implicit_meta(content: bytes) -> bytes:
    """Return a file with its group 0002 in Implicit VR."""
    start, at, meta = opening(content).start, 132, b""
    while at < start:
        long = content[at + 4 : at + 6] == b"OB"
        begin = at + (12 if long else 8)
        (length,) = struct.unpack_from("<L" if long else "<H", content, at + (8 if long else 6))
        meta += content[at : at + 4] + struct.pack("<L", length) + content[begin : begin + length]
        at = begin + length
    return content[:132] + meta + content[start:]


# ------------------------------------------------------------------------------------- how a file begins


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_file_that_is_as_it_must_be(tmp_path: Path, syntax: str) -> None:
    found = opening(first_file(tmp_path, transfer_syntax=syntax))
    assert (found.prefix, found.meta, found.note) == (True, True, "")
    assert found.claimed == found.transfer_syntax_uid == SYNTAXES[syntax]
    assert (found.implicit, found.little_endian, found.deflated) == (
        syntax == "implicit",
        syntax != "big",
        syntax == "deflated",
    )


@pytest.mark.parametrize("claimed", [*SYNTAXES, "nothing"])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_what_a_file_says_does_not_decide_what_it_is(tmp_path: Path, syntax: str, claimed: str) -> None:
    """Converters rewrite the data set and leave group 0002, or the other way round."""
    meta = SYNTAXES.get(claimed, "?")
    content = first_file(tmp_path, transfer_syntax=syntax, meta=meta)
    found = opening(content)
    assert found.transfer_syntax_uid == SYNTAXES[syntax]
    assert found.claimed == SYNTAXES.get(claimed, "")
    if claimed == "nothing":
        assert found.note == "no Transfer Syntax UID"
    elif claimed != syntax:
        assert found.note == f"says {uid.UID(meta).name} and is {uid.UID(SYNTAXES[syntax]).name}"
    (instance,) = found_in(tmp_path).instances
    assert instance.transfer_syntax_uid == SYNTAXES[syntax]
    assert (instance.rows, instance.columns, instance.pixel_data, instance.truncated) == (12, 18, "integer", False)
    assert instance.opening_note == found.note


@pytest.mark.parametrize("meta", ["none", "bare"])
@pytest.mark.parametrize("syntax", ["implicit", "explicit", "big"])
def test_file_without_group_0002(tmp_path: Path, syntax: str, meta: str) -> None:
    """Dumps of a network and files from before PS3.10 begin with the data set."""
    content = first_file(tmp_path, transfer_syntax=syntax, meta=meta)
    found = opening(content)
    assert (found.start, found.prefix, found.meta, found.claimed) == (
        (132, True, False, "") if meta == "none" else (0, False, False, "")
    )
    assert found.transfer_syntax_uid == SYNTAXES[syntax]
    series = found_in(tmp_path)
    assert series.instances[0].columns == 18
    bare = "no DICM prefix, no File Meta Information"
    assert kinds(series)["encoding"] == f"{bare if meta == 'bare' else 'no File Meta Information'}: 1 of 1 file"


@pytest.mark.parametrize("start", [b"", bytes(128), b"II*\0" + bytes(124), bytes(132), bytes(128) + b"XXXX"])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_group_0002_without_prefix(tmp_path: Path, syntax: str, start: bytes) -> None:
    """Some drop preamble and prefix, some only the prefix; group 0002 says what follows all the same."""
    content = start + first_file(tmp_path, transfer_syntax=syntax)[132:]
    found = opening(content)
    assert (found.prefix, found.meta, found.note) == (False, True, "no DICM prefix")
    assert content[found.start :] == without_meta(first_file(tmp_path, transfer_syntax=syntax))
    assert found.transfer_syntax_uid == SYNTAXES[syntax]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_group_0002_in_implicit_vr(tmp_path: Path, syntax: str) -> None:
    folder = rewritten(tmp_path, implicit_meta, transfer_syntax=syntax)
    series = found_in(folder)
    assert {one.transfer_syntax_uid for one in series.instances} == {SYNTAXES[syntax]}
    assert kinds(series)["encoding"] == "File Meta Information in Implicit VR: 4 of 4 files"


def test_wrong_length_of_group_0002(tmp_path: Path) -> None:
    """Its end is where its tags end; writers that edit group 0002 forget the length."""
    content = first_file(tmp_path)
    assert content[132:140] == b"\2\0\0\0UL\4\0"
    assert opening(content[:140] + struct.pack("<L", 9) + content[144:]) == opening(content)


@pytest.mark.parametrize("syntax", ["rle", "jpeg_ls", "j2k"])
@pytest.mark.parametrize("claimed", ["1.2.276.0.1", make_uid("syntax"), str(uid.RLELossless)])
def test_claims_that_stay(tmp_path: Path, syntax: str, claimed: str) -> None:
    """What is compressed, private or unknown is what it says it is: only a decoder could tell."""
    found = opening(first_file(tmp_path, rows=64, columns=64, transfer_syntax=syntax, meta=claimed))
    assert (found.transfer_syntax_uid, found.claimed, found.note) == (claimed, claimed, "")


def test_encapsulated_syntax_of_a_data_set_in_implicit_vr(tmp_path: Path) -> None:
    """It is left to who reads the pixels to refuse it, but its header is read as what it is."""
    found = opening(first_file(tmp_path, transfer_syntax="implicit", meta=str(uid.RLELossless)))
    assert (found.transfer_syntax_uid, found.implicit) == (str(uid.RLELossless), True)
    assert found.note == "says RLE Lossless and is Implicit VR Little Endian"
    assert found_in(tmp_path).instances[0].rows == 12


@pytest.mark.parametrize("meta", ["none", "bare", "?"])
@pytest.mark.parametrize("undefined", [False, True])
def test_compressed_pixels_and_nothing_that_says_how(tmp_path: Path, meta: str, undefined: bool) -> None:
    """Explicit VR Little Endian would be wrong: the pixels are in fragments."""
    keywords = {"undefined_lengths": True, "nested_sequences": "deep"} if undefined else {}
    found = opening(first_file(tmp_path, transfer_syntax="rle", meta=meta, **keywords))
    assert found.transfer_syntax_uid == ""
    assert (found.implicit, found.little_endian) == (False, True)


def test_longer_first_element_than_its_length_in_implicit_vr_may_be(tmp_path: Path) -> None:
    """Read as Implicit VR, "CS" and a length are a length within a large file: the next element must make sense."""
    content = first_file(tmp_path, rows=600, columns=600, meta=IMPLICIT)
    start = opening(content).start
    assert start + struct.unpack_from("<L", content, start + 4)[0] < len(content)
    assert opening(content).transfer_syntax_uid == EXPLICIT


NIFTI = struct.pack("<L", 348) + bytes(344)
NO_DICOM = {
    "nothing": b"",
    "one byte": b"\x08",
    "zeros": bytes(4096),
    "text": b"not a DICOM file\n" * 100,
    "utf-16": "keine DICOM-Datei\n".encode("utf-16") * 100,
    "backspaces": b"\x08\0\x08\0" * 1000,
    "png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8,
    "jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(range(256)) * 8,
    "tiff": b"II*\0\x08\0\0\0\x08\0\0\1\3\0\1\0\0\0\x12\0\0\0" + bytes(400),
    "gzip": gzip.compress(b"\x08\0\5\0CS\x0a\0ISO_IR 100" * 90, mtime=0),
    "zip": b"PK\3\4\x14\0\0\0\x08\0" + bytes(400),
    "nifti": NIFTI,
    "big endian nifti": struct.pack(">L", 348) + bytes(344),
    "pdf": b"%PDF-1.7\n" + bytes(range(256)) * 8,
    "elf": b"\x7fELF\2\1\1" + bytes(1000),
    "integers": np.arange(8, 1000, dtype="<i4").tobytes(),
    "pairs of integers": np.array([(number, 0) for number in range(8, 500)], "<i4").tobytes(),
    "short integers": np.arange(8, 1000, dtype="<i2").tobytes(),
    "prefix and text": bytes(128) + b"DICM" + b"what is this\n" * 90,
    "prefix and zeros": bytes(128) + b"DICM" + bytes(4000),
    "prefix alone": bytes(128) + b"DICM",
    "one element": b"\x08\0\5\0CS\x0a\0ISO_IR 100",
    "past the end": b"\x08\0\5\0CS\x0a\0ISO_IR 100\x08\0\x16\0UI\xff\0" + b"1.2.840",
    "descending": b"\x08\0\x16\0UI\4\x001.2\0\x08\0\x05\0CS\4\0ABCD\x08\0\x60\0CS\2\0CT",
    "a beginning in the middle": b"\x10\0\x10\0PN\2\0A \x10\0\x20\0LO\2\0B \x10\0\x40\0CS\2\0M ",
    "group lengths alone": b"".join(bytes([group, 0, 0, 0]) + b"UL\4\0\4\0\0\0" for group in (16, 32, 40)),
    "no attributes": b"\x08\0\2\0CS\2\0AB\x08\0\3\0CS\2\0AB\x08\0\4\0CS\2\0AB",
}


@pytest.mark.parametrize("content", NO_DICOM.values(), ids=NO_DICOM)
def test_what_is_no_dicom_file_never_passes(tmp_path: Path, content: bytes) -> None:
    """A folder holds all sorts of files; taking one for a slice would be worse than leaving an odd slice out."""
    with pytest.raises(ValueError, match="holds no DICOM data set"):
        opening(content)
    (tmp_path / "file").write_bytes(content)
    found = find_series(tmp_path)
    reason = "empty" if not content else "not DICOM (no DICM prefix)"
    if content[128:132] == b"DICM":
        reason = "broken (no attributes of a series)"
    assert (len(found), [(one.name, one.reason) for one in found.skipped]) == (0, [("file", reason)])


def test_noise_never_passes() -> None:
    """Also where it begins as a data set may."""
    generator = np.random.default_rng(7)
    for start in (b"", b"\x08\0", b"\x08\0\5\0", b"\x08\0\5\0CS", b"\x08\0\5\0\4\0\0\0ABCD", b"\0\x08"):
        for _ in range(300):
            with pytest.raises(ValueError, match="holds no DICOM data set"):
                opening(start + generator.bytes(2000))


def test_whatever_is_cut_off_ends_in_a_reason(tmp_path: Path) -> None:
    """A file may end anywhere; before its data set there is none to open."""
    content = first_file(tmp_path)
    start = opening(content).start
    for end in range(132, start + 1):
        with pytest.raises(ValueError, match="holds no DICOM data set"):
            opening(content[:end])
    for end in range(start + 8, len(content), 7):
        assert opening(content[:end]) == opening(content)


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "big"])
def test_first_element_is_enough_after_group_0002(tmp_path: Path, syntax: str) -> None:
    """There it is sure that this is DICOM, so what is left of a data set is read as what it is."""
    content = first_file(tmp_path, transfer_syntax=syntax, meta="?")
    start = opening(content).start
    for size in (12, 18, 30):
        assert opening(content[: start + size]).transfer_syntax_uid == SYNTAXES[syntax]


def test_first_element_in_a_vr_that_is_none(tmp_path: Path) -> None:
    """One broken element does not make a file another; pydicom passes over it."""
    content = first_file(tmp_path)
    start = opening(content).start
    broken = content[: start + 4] + b"ZZ" + content[start + 6 :]
    assert opening(broken) == opening(content)


def test_long_element_at_the_beginning_of_a_deflated_data_set(tmp_path: Path) -> None:
    """Only the beginning is inflated to look at it; what begins beyond that is not seen and no reason to doubt."""
    content = first_file(tmp_path, transfer_syntax="deflated")
    start = opening(content).start
    noise = np.random.default_rng(1).bytes(70_000)
    data = b"\x08\0\5\0CS\x0a\0ISO_IR 100\x09\0\1\x10OB\0\0" + struct.pack("<L", len(noise)) + noise
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflater.compress(data + b"\x10\0\x10\0PN\2\0A ") + deflater.flush()
    assert opening(content[:start] + deflated) == opening(content)


@pytest.mark.parametrize("syntax", ["implicit", "explicit"])
def test_data_set_that_begins_with_a_sequence(tmp_path: Path, syntax: str) -> None:
    """Of undefined length, so that where it ends cannot be seen from its beginning."""
    content = first_file(tmp_path, transfer_syntax=syntax)
    start = opening(content).start
    vr = b"" if syntax == "implicit" else b"SQ\0\0"
    sequence = b"\x08\0\6\0" + vr + b"\xff\xff\xff\xff" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    assert opening(content[:start] + sequence + content[start:]) == opening(content)


def test_sequence_that_is_cut_off_is_a_broken_file(tmp_path: Path) -> None:
    """pydicom raises what the system raises where a file cannot be read; that would stop a run."""
    (path,) = write_series(tmp_path, slices=1, source_images="plain", undefined_lengths=True)
    content = path.read_bytes()
    at = content.index(b"\x08\0\x12\x21SQ")
    reasons = set()
    for end in range(at + 12, at + 60):
        path.write_bytes(content[:end])
        reasons |= {(one.reason, one.unreadable) for one in find_series(tmp_path).skipped}
    assert reasons == {("broken (cannot be parsed)", False)}


def test_data_set_without_attributes_of_a_series(tmp_path: Path) -> None:
    """Three elements that make sense make a data set, but no instance."""
    content = b"\x08\0\5\0CS\x0a\0ISO_IR 100\x08\0\x20\0DA\0\0\x08\0\x30\0TM\0\0\x08\0\x60\0CS\2\0CT"
    assert opening(content).transfer_syntax_uid == EXPLICIT
    (tmp_path / "file").write_bytes(content)
    assert [one.reason for one in find_series(tmp_path).skipped] == ["not DICOM (no DICM prefix)"]
    uids = content + b"\x20\0\x0d\0UI\4\x001.2\0"
    (tmp_path / "file").write_bytes(uids)
    assert found_in(tmp_path).instances[0].study_instance_uid == "1.2"


def test_other_files_beside_files_without_prefix(tmp_path: Path) -> None:
    write_series(tmp_path, meta="bare", beside=("text",))
    found = find_series(tmp_path)
    assert [len(series.instances) for series in found] == [4]
    assert {one.name: one.reason for one in found.skipped} == {
        "readme.txt": "not DICOM (no DICM prefix)",
        "Thumbs.db": "not DICOM (no DICM prefix)",
    }


def test_only_what_is_odd_is_told(tmp_path: Path) -> None:
    """One slice out of a series may come from another program."""
    files = write_series(tmp_path, last_slice={"meta": "none"})
    (encoding,) = found_in(tmp_path).irregularities
    assert (encoding.kind, encoding.files) == ("encoding", (files[-1].name,))
    assert encoding.message == "no File Meta Information: 1 of 4 files"


def test_dicomdir_without_prefix(tmp_path: Path) -> None:
    write_series(tmp_path, slices=1, beside=("dicomdir",))
    path = tmp_path / "DICOMDIR"
    path.write_bytes(path.read_bytes()[132:])
    assert [one.reason for one in find_series(tmp_path).skipped] == ["DICOMDIR"]


def test_deflated_file_that_ends_too_soon(tmp_path: Path) -> None:
    """The pixels of a deflated file are counted as those of any other."""
    content = first_file(tmp_path, transfer_syntax="deflated")
    start = opening(content).start
    data = zlib.decompress(content[start:], -zlib.MAX_WBITS)
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    for path in tmp_path.iterdir():
        path.write_bytes(content[:start] + deflater.compress(data[:-50]) + deflater.flush())
    assert list(kinds(found_in(tmp_path))) == ["truncated"]


def test_real_files_are_what_they_say(corpus: Path) -> None:
    """No sound file may be called odd: some 250 files of ten makers."""
    paths = [path for path in corpus.rglob("*") if path.is_file() and path.read_bytes()[128:132] == b"DICM"]
    assert len(paths) > 200
    for path in paths:
        found = opening(path.read_bytes())
        assert found.transfer_syntax_uid == found.claimed, path
        assert found.note == "", path


def test_real_files_without_prefix_are_found(corpus: Path) -> None:
    """Bare data sets are what they were before, wherever that can be told."""
    for path in [path for path in corpus.rglob("*") if path.is_file() and path.read_bytes()[128:132] == b"DICM"]:
        content = path.read_bytes()
        whole = opening(content)
        for begin in (b"", content[:132]):
            if whole.deflated and not begin:
                continue
            found = opening(begin + content[whole.start :])
            assert found.transfer_syntax_uid in (whole.transfer_syntax_uid, ""), path
            if not found.transfer_syntax_uid:
                assert uid.UID(whole.transfer_syntax_uid).is_compressed, path


# ---------------------------------------------------------------------------- what an instance says of itself


@pytest.mark.parametrize(
    ("text", "frames"), [("", 1), ("0", 1), ("1", 1), ("01", 1), ("7 ", 7), ("+3", 3), ("-2", 1), ("x", 1), ("1.5", 1)]
)
def test_number_of_frames(tmp_path: Path, text: str, frames: int) -> None:
    write_series(tmp_path, slices=1)
    assert replace(found_in(tmp_path).instances[0], number_of_frames=text).frames == frames


def test_texts_of_an_instance(tmp_path: Path) -> None:
    attributes = {
        "TriggerTime": "12.5", "AcquisitionTime": "101112.5", "ContentTime": "101113", "EchoNumbers": "2",
        "InversionTime": "900", "FlipAngle": "9", "ConcatenationUID": "1.2.3", "LossyImageCompression": "01",
        "DoseGridScaling": "1.02609e-05", "PlanarConfiguration": 1,
    }  # fmt: skip
    write_series(tmp_path, slices=1, modality="MR", attributes=attributes)
    one = found_in(tmp_path).instances[0]
    assert (one.trigger_time, one.acquisition_time, one.content_time, one.echo_numbers) == (
        "12.5", "101112.5", "101113", "2",
    )  # fmt: skip
    assert (one.inversion_time, one.flip_angle, one.concatenation_uid, one.lossy) == ("900", "9", "1.2.3", "01")
    assert (one.dose_grid_scaling, one.planar_configuration) == ("1.02609e-05", 1)


def test_absent_attributes_are_empty(tmp_path: Path) -> None:
    write_series(tmp_path, slices=1)
    one = found_in(tmp_path).instances[0]
    assert (one.diffusion_b_value, one.diffusion_gradient, one.trigger_time, one.lossy) == ("", "", "", "")
    assert (one.planar_configuration, one.mosaic, one.opening_note) == (None, False, "")


def with_private(
    syntax: str, group: int, creator: bytes, element: int, vr: bytes, value: bytes
) -> Callable[[bytes], bytes]:
    """Return an edit that puts a private element and its creator where they belong."""

    def encoded(tag: int, vr: bytes, value: bytes) -> bytes:
        value += b" " * (len(value) % 2) if vr in (b"LO", b"IS", b"DS") else b""
        start = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        if syntax == "implicit":
            return start + struct.pack("<L", len(value)) + value
        if vr == b"UN":
            return start + vr + struct.pack("<HL", 0, len(value)) + value
        return start + vr + struct.pack("<H", len(value)) + value

    def edit(content: bytes) -> bytes:
        low = element >> 8 if element > 0xFF else 0x10
        added = encoded(group << 16 | low, b"LO", creator) + encoded(group << 16 | element, vr, value)
        following = 0x0020 if group == 0x0019 else 0x7FE0
        at = content.index(struct.pack("<HH", following, 0x000D if following == 0x0020 else 0x0010))
        return content[:at] + added + content[at:]

    return edit


@pytest.mark.parametrize("syntax", ["explicit", "implicit"])
@pytest.mark.parametrize(
    ("group", "creator", "element", "vr", "value", "expected"),
    [
        (0x0019, b"SIEMENS MR HEADER", 0x100C, b"IS", b"1000", "1000.0"),
        (0x0019, b"SIEMENS MR HEADER", 0x100C, b"UN", b"50", "50.0"),
        (0x0019, b"SIEMENS MR HEADER", 0x110C, b"IS", b"5", "5.0"),
        (0x0019, b"SOMEBODY ELSE", 0x100C, b"IS", b"1000", ""),
        (0x2001, b"Philips Imaging DD 001", 0x1003, b"FL", struct.pack("<f", 800), "800.0"),
        (0x2001, b"PHILIPS IMAGING DD 001", 0x1003, b"UN", struct.pack("<f", 0), "0.0"),
        (0x0065, b"Image Private Header", 0x1009, b"FD", struct.pack("<d", 929.75), "929.75"),
        (0x0043, b"GEMS_PARM_01", 0x1039, b"IS", rb"1000000650\8\0\0", "650.0"),
        (0x0043, b"GEMS_PARM_01", 0x1039, b"IS", b"none", ""),
        (0x2001, b"Philips Imaging DD 001", 0x1003, b"UN", b"\1\2\3", ""),
    ],
)
def test_b_value_of_a_maker(
    tmp_path: Path, syntax: str, group: int, creator: bytes, element: int, vr: bytes, value: bytes, expected: str
) -> None:
    edit = with_private(syntax, group, creator, element, vr, value)
    series = found_in(rewritten(tmp_path, edit, modality="MR", transfer_syntax=syntax))
    assert [one.diffusion_b_value for one in series.instances] == [expected] * 4
    assert series.geometry is not None
    assert series.geometry.positions == 4


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big"])
def test_diffusion_as_the_standard_has_it(tmp_path: Path, syntax: str) -> None:
    attributes = {"DiffusionBValue": [700.5], "DiffusionGradientOrientation": [0.0, 0.5, -1.0]}
    write_series(tmp_path, slices=1, modality="MR", transfer_syntax=syntax)
    attributes_of = found_in(tmp_path).instances[0]
    assert attributes_of.diffusion_b_value == ""
    order = ">" if syntax == "big" else "<"
    for path in tmp_path.iterdir():
        content, added = path.read_bytes(), b""
        for element, values in ((0x9087, attributes["DiffusionBValue"]), (0x9089, [0.0, 0.5, -1.0])):
            value = struct.pack(f"{order}{len(values)}d", *values)
            head = struct.pack(order + "HH", 0x0018, element)
            length = (
                struct.pack("<L", len(value)) if syntax == "implicit" else b"FD" + struct.pack(order + "H", len(value))
            )
            added += head + length + value
        at = content.index(struct.pack(order + "HH", 0x0020, 0x000D))
        path.write_bytes(content[:at] + added + content[at:])
    one = found_in(tmp_path).instances[0]
    assert (one.diffusion_b_value, one.diffusion_gradient) == ("700.5", r"0.0\0.5\-1.0")


@pytest.mark.parametrize(
    ("folder", "count"),
    [("dcm_qa_uih_dti_4d", 17), ("dcm_qa_12bit_deident", 3), ("dcm_qa_ts_one_mosaic_9_syntaxes", 9)],
)
def test_mosaics_of_two_makers(corpus: Path, folder: str, count: int) -> None:
    """Siemens says MOSAIC; UIH says VFRAME and how many slices are in it."""
    series = found_in(corpus / folder)
    assert [one.mosaic for one in series.instances] == [True] * count
    assert kinds(series)["mosaic"] == "all files are mosaics: many slices tiled into one image"


def test_some_mosaics(tmp_path: Path) -> None:
    files = write_series(tmp_path, last_slice={"attributes": {"ImageType": r"ORIGINAL\PRIMARY\M\MOSAIC"}})
    (mosaic,) = found_in(tmp_path).irregularities
    assert (mosaic.kind, mosaic.files) == ("mosaic", (files[-1].name,))
    assert mosaic.message == "1 file is a mosaic: many slices tiled into one image"


def test_vframe_of_one_slice_is_no_mosaic(tmp_path: Path) -> None:
    attributes = {"ImageType": r"ORIGINAL\PRIMARY\M\VFRAME"}
    for count, mosaic in ((b"1", False), (b"20", True)):
        edit = with_private("explicit", 0x0065, b"Image Private Header", 0x1050, b"DS", count)
        series = found_in(rewritten(tmp_path, edit, attributes=attributes))
        assert {one.mosaic for one in series.instances} == {mosaic}


def test_b_values_of_real_files(corpus: Path) -> None:
    found = {
        folder: sorted({one.diffusion_b_value for one in found_in(corpus / folder).instances}, key=float)
        for folder in ("d2n_philips_dti", "dcm_qa_uih_dti_4d")
    }
    assert found == {
        "d2n_philips_dti": ["0.0", "1000.0"],
        "dcm_qa_uih_dti_4d": ["1.2512641359237109", "929.7501831337527"],
    }


# ------------------------------------------------------------------------------------------------- volumes


def shape(series: Series) -> tuple[str, list[tuple[str, int]]]:
    return series.separated_by, [(volume.label, len(volume.instances)) for volume in series.volumes]


def heights(instances: Sequence[Instance]) -> list[float]:
    return [one.image_position_patient[2] for one in instances if one.image_position_patient]


def passes(tmp_path: Path, count: int, positions: int, attributes: Mapping[str, object]) -> Series:
    """Write so many passes over so many positions, pass after pass, and return the series."""
    places = [rf"0\0\{2.5 * index}" for _ in range(count) for index in range(positions)]
    attributes = {"EchoTime": "30", "InversionTime": "900", **attributes, "ImagePositionPatient": places}
    write_series(tmp_path, slices=count * positions, modality="MR", attributes=attributes)
    return found_in(tmp_path)


def each(values: Sequence[str], positions: int) -> list[str]:
    return [value for value in values for _ in range(positions)]


@pytest.mark.parametrize("geometry", ["regular", "gap", "tilt", "descending", "oblique", "none", "wobble"])
def test_one_volume(tmp_path: Path, geometry: str) -> None:
    """A series whose positions do not repeat is one volume, however irregular, and so is one without positions."""
    write_series(tmp_path, geometry=geometry)
    series = found_in(tmp_path)
    assert shape(series) == ("", [("", 4)])
    assert series.volumes[0].instances == series.instances


def test_echoes(tmp_path: Path) -> None:
    write_series(tmp_path, slices=6, modality="MR", geometry="echoes")
    series = found_in(tmp_path)
    assert shape(series) == ("EchoTime", [("EchoTime 2.46", 3), ("EchoTime 4.92", 3)])
    for volume in series.volumes:
        assert heights(volume.instances) == [7.25, 9.75, 12.25]
        assert len({one.echo_time for one in volume.instances}) == 1
    assert kinds(series) == {"4-D": "4-D: 2 volumes of 3 positions, told apart by EchoTime"}


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("TemporalPositionIdentifier", ["1", "2", "10"]),
        ("EchoTime", ["2.5", "5", "30"]),
        ("EchoNumbers", ["1", "2", "3"]),
        ("TriggerTime", ["0", "52.5", "105"]),
        ("InversionTime", ["100", "400", "1600"]),
        ("FlipAngle", ["2", "5", "15"]),
        ("AcquisitionNumber", ["1", "2", "3"]),
        ("AcquisitionTime", ["090629.35", "090631.35", "100633.35"]),
        ("ContentTime", ["090629.35", "090631.35", "100633.35"]),
        ("ImageType", [r"ORIGINAL\PRIMARY\I", r"ORIGINAL\PRIMARY\M", r"ORIGINAL\PRIMARY\P"]),
    ],
)
def test_attribute_that_tells_volumes_apart(tmp_path: Path, keyword: str, values: list[str]) -> None:
    """Volumes stand in the order of the value, as a number if it is one, and are labelled with it as it stands."""
    attributes = {
        "AcquisitionTime": "090000",
        "ContentTime": "090000",
        keyword: each([values[1], values[2], values[0]], 4),
    }
    series = passes(tmp_path, 3, 4, attributes)
    assert shape(series) == (keyword, [(f"{keyword} {value}", 4) for value in values])
    assert all(heights(volume.instances) == [0, 2.5, 5, 7.5] for volume in series.volumes)
    assert kinds(series) == {"4-D": f"4-D: 3 volumes of 4 positions, told apart by {keyword}"}


def test_likeliest_attribute_comes_first(tmp_path: Path) -> None:
    """Time and acquisition differ wherever the echo does."""
    values = {"EchoTime": ["2", "4"], "AcquisitionNumber": ["1", "2"], "AcquisitionTime": ["090000", "090001"]}
    series = passes(tmp_path, 2, 3, {keyword: each(two, 3) for keyword, two in values.items()})
    assert series.separated_by == "EchoTime"


def test_value_written_in_two_ways_is_one_value(tmp_path: Path) -> None:
    series = passes(tmp_path, 2, 2, {"EchoTime": ["2.5", "2.50", "5", "5.0"]})
    assert shape(series) == ("EchoTime", [("EchoTime 2.5", 2), ("EchoTime 5", 2)])


def test_clock_that_ticks_with_every_slice_makes_no_volumes(tmp_path: Path) -> None:
    """Each slice of fMRI has its own time; taking that for a volume would leave one slice in each."""
    times = {keyword: [f"0900{second:02}" for second in range(6)] for keyword in ("AcquisitionTime", "ContentTime")}
    series = passes(tmp_path, 2, 3, {**times, "TriggerTime": [str(50 * index) for index in range(6)]})
    assert shape(series) == ("instance order", [("instance order 1", 3), ("instance order 2", 3)])
    assert [[one.instance_number for one in volume.instances] for volume in series.volumes] == [
        ["1", "2", "3"],
        ["4", "5", "6"],
    ]


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("keyword", ["ContentTime", "AcquisitionNumber"])
def test_value_that_several_slices_share_makes_no_volumes(tmp_path: Path, keyword: str, missing: bool) -> None:
    """Slices that share a time or an acquisition cut two whole volumes into four halves."""
    values: dict[str, object] = {"AcquisitionTime": "090000", "ContentTime": "090000", keyword: each("1234", 3)}
    passes(tmp_path, 2, 6, values)
    if missing:
        (tmp_path / "IM0012.dcm").unlink()
    series = found_in(tmp_path)
    if missing and keyword == "AcquisitionNumber":  # may as well be four volumes
        assert [len(volume.instances) for volume in series.volumes] == [3, 3, 3, 2]
    else:
        assert series.separated_by == "instance order"
        assert [len(volume.instances) for volume in series.volumes] == [6, 5 if missing else 6]


def test_two_attributes_together(tmp_path: Path) -> None:
    """Each of two echoes at each of two times: neither tells all four volumes apart."""
    attributes = {
        "EchoTime": each(["2.5", "5", "2.5", "5"], 3),
        "TemporalPositionIdentifier": each(["1", "1", "2", "2"], 3),
    }
    series = passes(tmp_path, 4, 3, attributes)
    assert series.separated_by == "TemporalPositionIdentifier, EchoTime"
    assert [volume.label for volume in series.volumes] == [
        f"TemporalPositionIdentifier {time}, EchoTime {echo}" for time in "12" for echo in ("2.5", "5")
    ]


def test_instance_order_where_numbers_run_along_the_passes(tmp_path: Path) -> None:
    """Philips numbers all times of a position before the next position."""
    series = passes(tmp_path, 2, 3, {"InstanceNumber": ["1", "3", "5", "2", "4", "6"]})
    assert [[one.instance_number for one in volume.instances] for volume in series.volumes] == [
        ["1", "3", "5"],
        ["2", "4", "6"],
    ]


def test_copies_without_anything_that_tells_them_apart(tmp_path: Path) -> None:
    series = passes(tmp_path, 2, 2, {"InstanceNumber": "1"})
    assert shape(series) == ("file order", [("file order 1", 2), ("file order 2", 2)])
    assert [one.name for one in series.volumes[0].instances] == ["IM0001.dcm", "IM0002.dcm"]


def test_slice_that_stands_twice(tmp_path: Path) -> None:
    """The first volume is whole; the copy is on its own."""
    write_series(tmp_path, geometry="duplicate")
    series = found_in(tmp_path)
    assert shape(series) == ("instance order", [("instance order 1", 3), ("instance order 2", 1)])
    assert kinds(series) == {
        "duplicate-position": "1 position is taken by several files, told apart by instance order; not all positions"
        " have as many, so that a volume may mix them"
    }


def test_volumes_with_files_missing(tmp_path: Path) -> None:
    """No position has all three echoes; the echoes are the volumes all the same."""
    series = passes(tmp_path, 3, 4, {"EchoTime": each(["2.5", "5", "7.5"], 4)})
    for index in (0, 1, 6, 7, 10, 11):
        (tmp_path / f"IM{index + 1:04d}.dcm").unlink()
    attributes = {
        "EchoTime": "7.5",
        "InversionTime": "900",
        "ImagePositionPatient": r"0\0\20",
        "SOPInstanceUID": "1.2",
    }
    write_series(tmp_path / "more", slices=1, modality="MR", attributes=attributes)
    series = found_in(tmp_path)
    assert shape(series) == ("EchoTime", [("EchoTime 2.5", 2), ("EchoTime 5", 2), ("EchoTime 7.5", 3)])


def test_volumes_with_a_file_missing_at_every_position(tmp_path: Path) -> None:
    """Each position has two of the three echoes, which tell of no two volumes of mixed echoes."""
    series = passes(tmp_path, 3, 4, {"EchoTime": each(["2.5", "5", "7.5"], 4)})
    for echo, position in ((0, 2), (1, 0), (2, 3), (1, 1)):
        (tmp_path / f"IM{4 * echo + position + 1:04d}.dcm").unlink()
    series = found_in(tmp_path)
    assert shape(series) == ("EchoTime", [("EchoTime 2.5", 3), ("EchoTime 5", 2), ("EchoTime 7.5", 3)])
    told = "4 positions are taken by several files, told apart by EchoTime"
    assert kinds(series)["duplicate-position"] == told


def test_times_of_one_position(tmp_path: Path) -> None:
    write_series(tmp_path, geometry="same", attributes={"TemporalPositionIdentifier": ["1", "2", "3", "4"]})
    series = found_in(tmp_path)
    assert shape(series) == (
        "TemporalPositionIdentifier",
        [(f"TemporalPositionIdentifier {number}", 1) for number in range(1, 5)],
    )


def test_sizes(tmp_path: Path) -> None:
    write_series(tmp_path, last_slice={"rows": 8})
    series = found_in(tmp_path)
    assert shape(series) == ("size", [("18x12", 3), ("18x8", 1)])
    assert kinds(series)["several-volumes"] == "2 volumes in one series, told apart by size"


def test_colour_among_grey(tmp_path: Path) -> None:
    colour = {"samples": 3, "photometric": "RGB", "bits_allocated": 8, "bits_stored": 8}
    write_series(tmp_path, last_slice=colour)
    assert shape(found_in(tmp_path)) == ("size", [("18x12", 3), ("18x12 of 3 samples", 1)])


def test_orientations_stand_each_along_its_own_normal(tmp_path: Path) -> None:
    """Three planes of a scout: the order along one normal says nothing of the others."""
    uids = ["1.2.1", "1.2.2", "1.2.3"]
    write_series(tmp_path / "a", slices=3)
    write_series(tmp_path / "b", slices=3, geometry="sagittal", attributes={"SOPInstanceUID": uids})
    series = found_in(tmp_path)
    assert shape(series) == ("orientation", [("axial", 3), ("sagittal", 3)])
    sagittal = [one.image_position_patient for one in series.volumes[1].instances]
    assert [place[0] for place in sagittal if place] == [-120.0, -122.5, -125.0]
    assert kinds(series)["several-volumes"] == "2 volumes in one series, told apart by orientation"


def test_slice_without_a_position_is_no_part_of_the_volume(tmp_path: Path) -> None:
    write_series(tmp_path, last_slice={"geometry": "none"})
    assert shape(found_in(tmp_path)) == ("position", [("axial", 3), ("no position", 1)])


def test_orientations_of_one_plane_are_numbered(tmp_path: Path) -> None:
    write_series(tmp_path, last_slice={"geometry": "oblique"})
    assert shape(found_in(tmp_path)) == ("orientation", [("axial (1)", 3), ("axial (2)", 1)])


def test_files_with_frames_are_volumes_of_their_own(tmp_path: Path) -> None:
    files = write_series(tmp_path, slices=2, frames=3, geometry="none")
    series = found_in(tmp_path)
    assert [one.frames for one in series.instances] == [3, 3]
    assert shape(series) == ("frames", [(f"frames of {file.name}", 1) for file in files])
    assert kinds(series)["multi-frame"] == "2 files hold several frames, 6 in all"


@pytest.mark.parametrize(
    ("folder", "by", "volumes"),
    [
        ("dcmstack_16echo", "EchoTime", [3, 2, 2]),
        ("d2n_ge_fmri", "instance order", [4, 4]),
        ("d2n_philips_fmri", "instance order", [2, 2, 2, 2]),
        ("dcm_qa_stc_ge_epiRT", "instance order", [8, 8, 8]),
        ("d2n_ge_dti_002", "instance order", [4, 4, 4, 4]),
        ("d2n_ge_dti_implicit", "instance order", [4, 4]),
        ("d2n_philips_dti", "DiffusionGradientOrientation", [2, 2, 2, 2]),
        ("dcm_qa_fmap_ge_b0map", "instance order", [16, 16]),
        ("dcm_qa_philips_magdeburg_epi", "TemporalPositionIdentifier", [9, 9, 9]),
        ("d2n_failing_sliceorientation", "orientation", [2, 2]),
        ("dcm_qa_ct_philips_gantry_part12", "", [12]),
        ("torchio_ct17", "", [17]),
    ],
)
def test_volumes_of_real_series(corpus: Path, folder: str, by: str, volumes: list[int]) -> None:
    series = found_in(corpus / folder)
    assert series.separated_by == by
    assert [len(volume.instances) for volume in series.volumes] == volumes
    together = [one.name for volume in series.volumes for one in volume.instances]
    assert sorted(together) == sorted(one.name for one in series.instances)


# ------------------------------------------------------------------------------------------ what is shown


def test_volumes_are_listed(tmp_path: Path) -> None:
    write_series(tmp_path, slices=6, modality="MR", geometry="echoes")
    document = json.loads(json.dumps(find_document(find_series(tmp_path), tmp_path)))["series"][0]
    assert (document["separated_by"], document["frames"]) == ("EchoTime", 6)
    assert document["volumes"] == [
        {"label": "EchoTime 2.46", "files": ["IM0001.dcm", "IM0002.dcm", "IM0003.dcm"]},
        {"label": "EchoTime 4.92", "files": ["IM0004.dcm", "IM0005.dcm", "IM0006.dcm"]},
    ]


def test_frames_are_counted(tmp_path: Path) -> None:
    write_series(tmp_path, slices=1, frames=3)
    assert find_document(find_series(tmp_path), tmp_path)["series"][0]["frames"] == 3


def test_an_ordinary_series_has_one_volume(tmp_path: Path) -> None:
    write_series(tmp_path)
    document = find_document(find_series(tmp_path), tmp_path)["series"][0]
    assert (len(document["volumes"]), document["separated_by"], document["frames"]) == (1, "", 4)


# ------------------------------------------------------------------------------------ the choice of a series


def two_series(folder: Path) -> SeriesList:
    write_series(folder, beside=("other_series",))
    return find_series(folder)


def test_a_series_is_chosen_by_number_uid_or_end(tmp_path: Path) -> None:
    found = two_series(tmp_path)
    for index, series in enumerate(found):
        uid_ = series.series_instance_uid
        assert found.choose(index + 1) is found.choose(str(index + 1)) is found.choose(uid_) is series
        ends = [
            uid_[start:]
            for start in range(1, len(uid_))
            if not found[1 - index].series_instance_uid.endswith(uid_[start:])
        ]
        assert min(map(len, ends)) < 12
        assert all(found.choose(end) is series for end in ends if len(end) > 2)


@pytest.mark.parametrize("asked", ["0", "3", "-1", "1.2.3", "9" * 5000, "nowhere", ".", "1/", "²"])
def test_what_is_no_series_is_refused(asked: str, tmp_path: Path) -> None:
    with pytest.raises(SeriesNotFoundError, match="holds no series"):
        choose_series(two_series(tmp_path), asked, "folder")


def test_an_end_that_two_have_is_refused(tmp_path: Path) -> None:
    found = two_series(tmp_path)
    found[:] = [replace(series, series_instance_uid=f"1.2.{number}.99") for number, series in enumerate(found)]
    with pytest.raises(AmbiguousSeriesError, match="2 series"):
        found.choose(".99")


def test_one_series_uid_in_two_studies(tmp_path: Path) -> None:
    """Anonymisers that map studies and not series make these; their numbers tell them apart."""
    write_series(tmp_path, beside=("other_study",))
    found = find_series(tmp_path)
    found[1] = replace(found[1], series_instance_uid=found[0].series_instance_uid)
    for asked in (None, found[0].series_instance_uid):
        with pytest.raises(AmbiguousSeriesError, match=r"\(1: CT, 4 files; 2: CT, 2 files\)"):
            choose_series(found, asked, "folder")
    assert [found.choose(number) for number in (1, 2)] == found


def test_several_series_are_listed_with_their_numbers(tmp_path: Path) -> None:
    with pytest.raises(AmbiguousSeriesError) as caught:
        choose_series(two_series(tmp_path), None, "folder")
    assert str(caught.value) == (
        "folder holds 2 series (1: CT, 4 files; 2: CT, 2 files); `find` shows them, choose one with series=N."
    )


def test_many_series_are_not_all_listed(tmp_path: Path) -> None:
    first, second = two_series(tmp_path)
    with pytest.raises(AmbiguousSeriesError, match=r"; 1: CT, 4 files; and 3 more\)"):
        choose_series(SeriesList([first, second] * 4), None, "folder")


# -------------------------------------------------------------------------------------------------------- copies


def copied(folder: Path, *edited: int) -> SeriesList:
    """Return two exports of a series of four; the files of some indices of the second are not those of the first."""
    files = write_series(folder / "in" / "first")
    shutil.copytree(folder / "in" / "first", folder / "in" / "second" / "deep")
    for index in edited:
        path = folder / "in" / "second" / "deep" / files[index].name
        dataset = pydicom.dcmread(path)
        dataset.StationName = "other"
        dataset.save_as(path)
    return find_series(folder / "in")


@pytest.mark.parametrize("edited", [(0, 1, 2, 3), (2,)], ids=["all", "one"])
def test_exports_of_one_series_are_copies(edited: tuple[int, ...], tmp_path: Path) -> None:
    """Each is whole, also where some of its files are those of another copy byte for byte."""
    first, second = found = copied(tmp_path, *edited)
    assert (first.copies, second.copies) == (("first", "second"),) * 2
    assert [len(series.instances) for series in found] == [4, 4]
    assert not found.skipped
    assert [one.kind for one in second.irregularities] == ["copy"]
    assert "duplicate-uid" not in kinds(first)
    assert found.choose("second") == found.choose("./second/") == second
    assert found.choose("second/deep") == second
    with pytest.raises(
        AmbiguousSeriesError, match=r"2 copies of one series \(1: CT, 4 files in first; 2: CT, 4 files in"
    ):
        choose_series(found, None, "folder")


def test_a_copy_that_is_the_same_byte_for_byte_can_be_chosen(tmp_path: Path) -> None:
    (series,) = found = copied(tmp_path)
    assert (series.folder, series.copies) == ("first", ())
    assert [one.name for one in found.choose("second").instances] == [f"second/deep/IM000{k}.dcm" for k in range(1, 5)]


def test_a_smaller_export_is_a_copy_and_another_slice_is_none(tmp_path: Path) -> None:
    copied(tmp_path, 0, 1, 2, 3)
    (tmp_path / "in" / "second" / "deep" / "IM0002.dcm").unlink()
    assert [len(series.instances) for series in find_series(tmp_path / "in")] == [4, 3]
    (tmp_path / "in" / "first" / "IM0004.dcm").unlink()
    (series,) = found = find_series(tmp_path / "in")
    assert len(kinds(series)["duplicate-uid"]) > 0
    with pytest.raises(SeriesNotFoundError, match=r"second holds only a part of series 1 \(3 of 6 files"):
        found.choose("second")


def test_a_series_in_several_folders_is_no_copy(tmp_path: Path) -> None:
    files = write_series(tmp_path / "a")
    (tmp_path / "b").mkdir()
    files[3].rename(tmp_path / "b" / "IM0004.dcm")
    (series,) = find_series(tmp_path)
    assert (series.copies, series.folder, len(series.instances)) == ((), ".", 4)


def test_a_copy_is_carried_and_judged(run: Run, verify: Verify, tmp_path: Path) -> None:
    copied(tmp_path, 0, 1, 2, 3)
    assert run(tmp_path / "in", tmp_path / "out", series="second", strict=True).warnings == ()
    assert verify(tmp_path / "in", tmp_path / "out", series=2).verdict == "pass"
    with pytest.raises(AmbiguousSeriesError, match="2 copies"):
        verify(tmp_path / "in", tmp_path / "out")


# ------------------------------------------------------------------------------------------------- a single file


def test_a_single_file_is_a_folder_with_it_alone(run: Run, verify: Verify, tmp_path: Path) -> None:
    file = write_series(tmp_path / "in")[1]
    (series,) = find_series(file)
    assert ([one.name for one in series.instances], series.directory) == ([file.name], file.parent)
    assert run(file, tmp_path / "out").slices == 1
    assert verify(file, tmp_path / "out").verdict == "pass"
    assert verify(file, tmp_path / "out" / f"derived_{file.name}").verdict == "pass"


def test_a_number_is_refused_where_the_output_is_numbered_too(run: Run, verify: Verify, tmp_path: Path) -> None:
    """`find` counts what was written into the source folder, `verify` does not."""
    write_series(tmp_path / "in")
    run(tmp_path / "in", tmp_path / "a_out")
    with pytest.raises(AmbiguousSeriesError, match="lies in"):
        verify(tmp_path, tmp_path / "a_out", series="1")


@pytest.mark.parametrize("transfer_syntax", ["explicit", "implicit"])
def test_a_header_that_is_cut_off_never_passes(transfer_syntax: str, run: Run, verify: Verify, tmp_path: Path) -> None:
    """Within an element the file is broken; between two it has no pixels. Neither is left out without a word."""
    source = tmp_path / "source"
    last = write_series(source, slices=3, transfer_syntax=transfer_syntax)[-1]
    content = last.read_bytes()
    ends = {element.file_tell for element in pydicom.dcmread(last)}
    heads = 8 if transfer_syntax == "implicit" else 12
    for cut in range(opening(content).start + 1, len(content) - 200, 5):
        last.write_bytes(content[:cut])
        found = find_series(source)
        if not found.skipped:  # between two elements, or within the pixels
            (instance,) = [each for series in found for each in series.instances if each.name == last.name]
            assert instance.truncated or (not instance.pixel_data and {cut + 8, cut + heads} & ends)
    at = content.index(b"\x20\0\x0d\0")
    last.write_bytes(content[:at])  # as if there had been no more of it
    told = f"1 file without pixels was left out: {last.name}."
    assert told in run(source, tmp_path / "written").warnings
    assert told in verify(source, tmp_path / "written").warnings
