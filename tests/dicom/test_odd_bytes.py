"""Files that are not quite DICOM: read as others read them, carried as they stand, judged, and told."""

from __future__ import annotations

import struct
from itertools import accumulate
from pathlib import Path
from typing import Literal

import numpy as np
import pydicom
import pytest
from conftest import Run, Verify
from pydicom.encaps import generate_frames
from synthetic import case_values, write_case, write_series

from itk_roundtrip import RoundtripError, find_series, read_series
from itk_roundtrip.dicom import spans
from itk_roundtrip.dicom.part10 import opening
from itk_roundtrip.dicom.regular import laid_out, regular
from itk_roundtrip.dicom.spans import elements

END = b"\xfe\xff\xdd\xe0\0\0\0\0"
CREATOR = b"\x19\0\x10\0LO\x08\0INVENTED"
NEXT = b"\x19\0\x20\x10LO\4\0next"
TAG = b"\x19\0\x10\x10"


def short(vr: bytes) -> bytes:
    return TAG + vr + b"\4\0ABCD"


def long(vr: bytes) -> bytes:
    return TAG + vr + b"\0\0\4\0\0\0ABCD"


def sequence(item_end: bytes, end: bytes) -> bytes:
    inner = b"\x08\0\x50\x11UI\x1a\x001.2.840.10008.5.1.4.1.1.2\0"
    return TAG + b"SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" + inner + item_end + end


ITEM_END = b"\xfe\xff\x0d\xe0\0\0\0\0"
ODD = {
    **{f"{vr!r} {form.__name__}": form(vr) for vr in (b"??", b"RE", b"ZZ", b"\0\0", b"  ", b"cs")
       for form in (short, long)},
    "none": TAG + b"\4\0\0\0ABCD",
    "item closed by a sequence delimiter": sequence(END, END),
    "item not closed": sequence(b"", END),
    "sequence closed by an item delimiter": sequence(ITEM_END, ITEM_END),
}  # fmt: skip


def insert(file: Path, element: bytes) -> None:
    """Put private elements before those of group 0020."""
    content = file.read_bytes()
    at = content.index(b"\x20\0\x0d\0UI")
    file.write_bytes(content[:at] + CREATOR + element + NEXT + content[at:])


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("identity", ["derived", "copy"])
def test_an_odd_element_is_carried_byte_for_byte(
    name: str, identity: Literal["derived", "copy"], run: Run, verify: Verify, tmp_path: Path
) -> None:
    """GDCM and dcmtk read such files; their other elements, and the pixels, are sound."""
    source, written = tmp_path / "source", tmp_path / "written"
    files = write_series(source, slices=2)
    sound = [pydicom.dcmread(file).PixelData for file in files]
    for file in files:
        insert(file, ODD[name])
    assert any(one.kind == "encoding" for one in find_series(source)[0].irregularities)
    run(source, written, identity=identity)
    outputs = sorted(written.iterdir())
    for file, pixels in zip(outputs, sound, strict=True):
        content = file.read_bytes()
        assert CREATOR + ODD[name] + NEXT in content
        assert content.endswith(pixels)
    assert verify(source, written, identity=identity).verdict == "pass"


def _within(tag: bytes, inner: bytes) -> bytes:
    """Return a sequence whose one item holds an odd element between others."""
    return tag + b"SQ\0\0" + struct.pack("<L", len(inner) + 8) + _item(inner)


FORMS = {"short": short(b"??"), "long": long(b"??"), "NUL": long(bytes(2)), "none": ODD["none"],
         "OB short": short(b"OB")}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("identity", ["derived", "copy"])
def test_an_odd_element_in_a_functional_group_is_no_obstacle(
    form: str, identity: Literal["derived", "copy"], run: Run, verify: Verify, tmp_path: Path
) -> None:
    """The frames lie where the other elements say; where items are added, the sequence is put right."""
    source, written = tmp_path / "source", tmp_path / "written"
    for file in write_case("enhanced", source):
        content = file.read_bytes()
        start = opening(content).start
        groups = next(each for each in elements(content, start, len(content), implicit_vr=False)
                      if each.tag == 0x52009230)  # fmt: skip
        inside = [content[slice(*spans.content(content, *each))]
                  for each in spans.items(content, groups.value, groups.stop, implicit_vr=False)]  # fmt: skip
        value = b"".join(_item(CREATOR + FORMS[form] + NEXT + each) for each in inside)
        head = b"\0\x52\x30\x92SQ\0\0" + struct.pack("<L", len(value))
        file.write_bytes(content[: groups.start] + head + value + content[groups.end :])
    series = find_series(source)[0]
    assert "no-position" not in {one.kind for one in series.irregularities}
    run(source, written, identity=identity)
    assert verify(source, written, identity=identity).verdict == "pass"
    for file, values in zip(sorted(written.iterdir()), case_values("enhanced"), strict=True):
        assert np.array_equal(pydicom.dcmread(file).pixel_array.ravel(), values.ravel())


@pytest.mark.parametrize("form", FORMS)
def test_an_odd_element_in_a_sequence_of_references_is_no_obstacle(
    form: str, run: Run, verify: Verify, tmp_path: Path
) -> None:
    source, written = tmp_path / "source", tmp_path / "written"
    for file in write_series(source, slices=2):
        content = file.read_bytes()
        at = content.index(b"\x10\0\x10\0PN")
        references = b"\x08\0\x50\x11UI\x1a\x001.2.840.10008.5.1.4.1.1.2\0\x08\0\x55\x11UI\4\x001.2\0"
        added = _within(b"\x08\0\x12\x21", references + CREATOR + FORMS[form] + NEXT)
        file.write_bytes(content[:at] + added + content[at:])
    run(source, written)
    assert verify(source, written).verdict == "pass"
    for file in written.iterdir():
        assert pydicom.dcmread(file).SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2"


@pytest.mark.parametrize("form", ["short", "long", "none"])
@pytest.mark.parametrize("identity", ["derived", "copy"])
def test_an_odd_element_in_big_endian_is_kept(
    form: str, identity: Literal["derived", "copy"], run: Run, verify: Verify, tmp_path: Path
) -> None:
    """What is re-encoded must be known by its ends."""
    source, written = tmp_path / "source", tmp_path / "written"
    tag = b"\0\x19\x10\x10"
    odd = {"short": tag + b"??\0\4ABCD", "long": tag + b"??\0\0\0\0\0\4ABCD", "none": tag + b"\0\0\0\4ABCD"}[form]
    inner = b"\0\x19\0\x10LO\0\x08INVENTED" + odd + b"\0\x19\x10\x20LO\0\4next"
    item = b"\xff\xfe\xe0\0" + struct.pack(">L", len(inner)) + inner
    for file in write_case("big_endian", source):
        content = file.read_bytes()
        at = content.index(b"\0\x20\0\x0dUI")
        added = b"\0\x18\xff\xffSQ\0\0" + struct.pack(">L", len(item)) + item
        file.write_bytes(content[:at] + added + content[at:])
    run(source, written, identity=identity)
    assert verify(source, written, identity=identity).verdict == "pass"
    for file in written.iterdir():
        inside = pydicom.dcmread(file)[0x0018FFFF].value[0]
        assert (inside[0x00191010].value, inside[0x00191020].value) == (b"ABCD", "next")


@pytest.mark.parametrize("element", [b"??\4\0ABCD", b"??\0\0\4\0\0\0ABCD", b"\4\0\0\0ABCD"])
def test_an_odd_element_in_file_meta_information_is_passed_over(
    element: bytes, run: Run, verify: Verify, tmp_path: Path
) -> None:
    source, written = tmp_path / "source", tmp_path / "written"
    for file in write_case("u12_ct", source):
        content = file.read_bytes()
        start = opening(content).start
        file.write_bytes(content[:start] + b"\2\0\x10\1" + element + content[start:])
    assert "File Meta Information" in find_series(source)[0].slices[0].instance.opening_note
    run(source, written)
    assert verify(source, written).verdict == "pass"
    for file, values in zip(sorted(written.iterdir()), case_values("u12_ct"), strict=True):
        assert np.array_equal(pydicom.dcmread(file).pixel_array.ravel(), values.ravel())


@pytest.mark.parametrize("identity", ["derived", "copy"])
def test_an_item_among_the_elements_is_damage(identity: Literal["derived", "copy"], run: Run, tmp_path: Path) -> None:
    """In the order of the tags it would stand behind the pixels, as the damage of what was written."""
    source = tmp_path / "source"
    for file in write_series(source, slices=2):
        content = file.read_bytes()
        at = content.index(b"\x20\0\x13\0IS")
        file.write_bytes(content[:at] + b"\xfe\xff\0\xe0" + content[at + 4 :])
    with pytest.raises(RoundtripError, match="is damaged: an item or a delimiter stands for an element"):
        run(source, tmp_path / "written", identity=identity)


def test_odd_elements_are_told_of_both_files(run: Run, verify: Verify, tmp_path: Path) -> None:
    """Also where the data set cannot be found without passing over an odd one."""
    source, written = tmp_path / "source", tmp_path / "written"
    for file in write_series(source, slices=2):
        insert(file, FORMS["long"])
        content = file.read_bytes()
        assert b"\2\0\x10\0UI\x14\0" in content
        file.write_bytes(content.replace(b"\2\0\x10\0UI\x14\0", b"\2\0\x10\0\x14\0\0\0"))
    run(source, written)
    assert verify(source, written).verdict == "pass"


def test_an_element_that_ends_behind_the_file_is_read_alike(run: Run, verify: Verify, tmp_path: Path) -> None:
    """pydicom returns what stands before it, without a word."""
    source, written = tmp_path / "source", tmp_path / "written"
    for file in write_series(source, slices=2):
        insert(file, FORMS["OB short"])
    run(source, written)
    assert verify(source, written).verdict == "pass"


def test_an_extended_offset_table_that_names_no_fragments_is_refused(run: Run, tmp_path: Path) -> None:
    """Decoders would be given the head of the second fragment as a part of the stream."""
    source = tmp_path / "source"
    for file in write_case("jpeg_ls_u12", source):
        dataset = pydicom.dcmread(file)
        stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
        dataset.PixelData = _item(b"") + _item(stream[:90]) + _item(stream[90:])
        dataset.ExtendedOffsetTable = bytes(8)
        dataset.ExtendedOffsetTableLengths = struct.pack("<Q", len(stream))
        dataset.save_as(file)
    with pytest.raises(RoundtripError, match="Extended Offset Table does not say where its frames are"):
        run(source, tmp_path / "written")


def _ends(content: bytes) -> dict[str, bytes]:
    at = content.index(b"\xe0\x7f\x10\0OB") + 12
    head, value = content[: at - 12], content[at : -len(END)]
    table = 8 + int.from_bytes(value[4:8], "little")
    size = int.from_bytes(value[table + 4 : table + 8], "little")
    stream = value[table + 8 : table + 8 + size]
    half = size // 4 * 2
    parts = [_item(stream[:half]), _item(stream[half:])]
    per_fragment = _item(struct.pack("<2L", 0, len(parts[0]))) + b"".join(parts)
    start = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff"
    whole = value + END
    return {
        "none": head + start + value,
        "zeros": head + start + value + bytes(8),
        "cut": head + start + value + END[:3],
        "item delimiter": head + start + value + ITEM_END,
        "trailing": head + start + whole + b"noise",
        "trailing item": head + start + whole + _item(b"item"),
        "defined": head + start[:8] + struct.pack("<L", len(whole)) + whole,
        "UN": head + start[:4] + b"UN" + start[6:] + whole,
        "??": head + start[:4] + b"??" + start[6:] + whole,
        "ob": head + start[:4] + b"ob" + start[6:] + whole,
        "NUL": head + start[:4] + bytes(2) + start[6:] + whole,
        "odd": head + start + value[:table] + _item(stream + b"\0" * (1 - size % 2)) + b"\0" + END,
        "per fragment": head + start + per_fragment + END,
        "wrong": head + start + _item(b"\7\0\0\0") + value[table:] + END,
        "empty fragment": head + start + _item(b"") + _item(b"") + value[table:] + END,
    }


def _item(value: bytes) -> bytes:
    return b"\xfe\xff\0\xe0" + struct.pack("<L", len(value)) + value


@pytest.mark.parametrize("name", ["none", "zeros", "cut", "item delimiter", "trailing", "trailing item", "defined",
                                  "UN", "??", "ob", "NUL", "odd", "per fragment", "wrong",
                                  "empty fragment"])  # fmt: skip
def test_an_odd_encapsulation_is_read_as_gdcm_reads_it(name: str, run: Run, verify: Verify, tmp_path: Path) -> None:
    source, written = tmp_path / "source", tmp_path / "written"
    files = write_case("jpeg_lossless", source)
    for file in files:
        file.write_bytes(_ends(file.read_bytes())[name])
    run(source, written)
    for file, values in zip(sorted(written.iterdir()), case_values("jpeg_lossless"), strict=True):
        assert np.array_equal(pydicom.dcmread(file).pixel_array.ravel(), values.ravel())
        assert b"item" not in file.read_bytes()
    assert verify(source, written).verdict == "pass"


def test_what_defines_its_length_is_decoded_alike(run: Run, verify: Verify, tmp_path: Path) -> None:
    """A delimiter that the length counts is no part of a stream."""
    source, written = tmp_path / "source", tmp_path / "written"
    for file in write_case("jpeg_baseline_frames", source):
        file.write_bytes(_ends(file.read_bytes())["defined"])
    run(source, written, identity="copy")
    report = verify(source, written, identity="copy")
    assert report.verdict == "pass"
    assert not [one.message for one in report.findings if "decoders do not agree" in one.message]


def test_a_byte_of_rle_is_not_padding(run: Run, tmp_path: Path) -> None:
    """Without its last byte a stream that has no mark of its end may have lost a pixel."""
    source = tmp_path / "source"
    for file in write_case("rle_u12", source):
        content = file.read_bytes()
        assert content.endswith(END)
        file.write_bytes(content[: -len(END) - 1])
    with pytest.raises(RoundtripError, match="is truncated"):
        run(source, tmp_path / "written")


def test_frames_that_number_of_frames_denies_are_not_joined(run: Run, tmp_path: Path) -> None:
    """A table with an entry per fragment is put right only where the fragments are parts of one stream."""
    source = tmp_path / "source"
    for file in write_case("frames_rle", source):
        dataset = pydicom.dcmread(file)
        del dataset.NumberOfFrames
        dataset.save_as(file)
    with pytest.raises(RoundtripError, match="does not hold 1 compressed frames"):
        run(source, tmp_path / "written")


def test_rle_frames_in_several_fragments_are_told_apart(run: Run, verify: Verify, tmp_path: Path) -> None:
    source, written = tmp_path / "source", tmp_path / "written"
    files = write_case("frames_rle", source)
    sound = [pydicom.dcmread(file).pixel_array for file in files]
    for file in files:
        dataset = pydicom.dcmread(file)
        frames = list(generate_frames(dataset.PixelData, number_of_frames=int(dataset.NumberOfFrames)))
        parts = [part for frame in frames for part in (frame[:90], frame[90:])]
        starts = [0, *accumulate(len(part) + 8 for part in parts)][:-1]
        dataset.PixelData = _item(struct.pack(f"<{len(starts)}L", *starts)) + b"".join(map(_item, parts))
        dataset.save_as(file)
    run(source, written)
    for file, pixels in zip(sorted(written.iterdir()), sound, strict=True):
        assert np.array_equal(pydicom.dcmread(file).pixel_array, pixels)
    assert verify(source, written).verdict == "pass"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("UN", "PixelData is encapsulated and has VR UN, not OB"),
        ("defined", "PixelData is encapsulated and of defined"),
    ],
)
def test_an_odd_encapsulation_is_named(name: str, told: str, tmp_path: Path) -> None:
    for file in write_case("jpeg_lossless", tmp_path):
        file.write_bytes(_ends(file.read_bytes())[name])
    assert any(one.message.startswith(told) for one in find_series(tmp_path)[0].irregularities)


def test_a_damaged_item_tag_is_damage(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for file in write_case("jpeg_lossless", source):
        content = file.read_bytes()
        at = content.rindex(b"\xfe\xff\0\xe0")
        file.write_bytes(content[:at] + b"\xfe\xff\1\xe1" + content[at + 4 :])
    with pytest.raises(RoundtripError, match="is damaged: its pixel data"):
        run(source, tmp_path / "written")
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("zeros", [2, 6, 8, 12, 1000])
@pytest.mark.parametrize("case", ["u16_ct", "implicit", "jpeg_lossless"])
def test_zeros_behind_the_last_element_are_nothing(
    zeros: int, case: str, run: Run, verify: Verify, tmp_path: Path
) -> None:
    source, written = tmp_path / "source", tmp_path / "written"
    for file in write_case(case, source):
        file.write_bytes(file.read_bytes() + bytes(zeros))
    run(source, written)
    for file, values in zip(sorted(written.iterdir()), case_values(case), strict=True):
        assert np.array_equal(pydicom.dcmread(file).pixel_array.ravel(), values.ravel())
    assert verify(source, written).verdict == "pass"


@pytest.mark.parametrize("declared", ["even", "odd"])
@pytest.mark.parametrize("identity", ["derived", "copy"])
@pytest.mark.parametrize("transfer_syntax", ["explicit", "implicit"])
def test_a_missing_pad_byte_is_added(
    declared: str, identity: Literal["derived", "copy"], transfer_syntax: str, run: Run, verify: Verify, tmp_path: Path
) -> None:
    source, written = tmp_path / "source", tmp_path / "written"
    sound = {}
    for file in write_series(source, rows=11, columns=13, bits_allocated=8, bits_stored=8, modality="SC",
                             transfer_syntax=transfer_syntax):  # fmt: skip
        content = file.read_bytes()
        sound[file.name] = content[-144:-1]
        if declared == "odd":
            content = content[:-148] + struct.pack("<L", 143) + content[-144:]
        file.write_bytes(content[:-1])
    run(source, written, identity=identity)
    for file in written.iterdir():
        pixels = pydicom.dcmread(file).PixelData
        assert (len(pixels), pixels[:-1]) == (144, sound[file.name.removeprefix("derived_")])
    assert verify(source, written, identity=identity).verdict == "pass"


@pytest.mark.parametrize("text", [b" 2", b"2 ", b"  2 ", b"+2", b"02", b"2\0"])
@pytest.mark.parametrize("identity", ["derived", "copy"])
def test_number_of_frames_with_blanks_is_a_number(
    text: bytes, identity: Literal["derived", "copy"], run: Run, verify: Verify, tmp_path: Path
) -> None:
    source, written = tmp_path / "source", tmp_path / "written"
    write_series(source, slices=2, frames=2, modality="SC", attributes={"NumberOfFrames": text})
    assert [one.instance.frames for one in find_series(source)[0].slices] == [2] * 4
    run(source, written, identity=identity)
    assert verify(source, written, identity=identity).verdict == "pass"
    for before, after in zip(sorted(source.iterdir()), sorted(written.iterdir()), strict=True):
        assert pydicom.dcmread(after).PixelData == pydicom.dcmread(before).PixelData
        assert pydicom.dcmread(after).get_item("NumberOfFrames").value.strip(b" \0") == text.strip(b" \0")


@pytest.mark.parametrize("keyword", ["SourceImageSequence", "ContributingEquipmentSequence"])
def test_a_sequence_that_is_none_is_refused_by_name(keyword: str, run: Run, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for file in write_series(source, slices=2):
        dataset = pydicom.dcmread(file)
        tag = pydicom.datadict.tag_for_keyword(keyword)
        dataset.add(pydicom.DataElement(tag, "OB", b"text"))
        dataset.save_as(file)
    with pytest.raises(RoundtripError, match=f"{keyword}.*is no sequence"):
        run(source, tmp_path / "written")
    run(source, tmp_path / "copy", identity="copy")


def test_geometry_of_another_vr_is_known(tmp_path: Path) -> None:
    for index, file in enumerate(write_series(tmp_path / "source", slices=2)):
        dataset = pydicom.dcmread(file)
        del dataset.ImagePositionPatient
        dataset.add(pydicom.DataElement(0x00200032, "FD", [1.0, 2.0, 3.0 * index]))
        dataset.save_as(file)
    found = find_series(tmp_path / "source")[0]
    assert "encoding" in {one.kind for one in found.irregularities}
    assert read_series(found).image.GetSpacing()[2] == pytest.approx(3)


def test_a_regular_data_set_stays_as_it_is() -> None:
    data = CREATOR + NEXT
    found = regular(data, implicit=False, little_endian=True, encapsulated=False)
    assert (found.data, found.problems) == (data, frozenset())
    value = _item(bytes(4)) + _item(b"abcd")
    assert laid_out(value, 1) is value


def test_colour_without_planar_configuration_is_carried(run: Run, verify: Verify, tmp_path: Path) -> None:
    """Its pixels are the same bytes, whatever they mean."""
    source, written = tmp_path / "source", tmp_path / "written"
    for file in write_case("ybr", source):
        dataset = pydicom.dcmread(file)
        del dataset.PlanarConfiguration
        dataset.save_as(file)
    run(source, written, identity="copy")
    assert verify(source, written, identity="copy").verdict == "pass"
    for before, after in zip(sorted(source.iterdir()), sorted(written.iterdir()), strict=True):
        assert pydicom.dcmread(after).PixelData == pydicom.dcmread(before).PixelData


@pytest.mark.parametrize("identity", ["derived", "copy"])
def test_an_odd_vr_behind_a_wrong_transfer_syntax_is_inherited(
    identity: Literal["derived", "copy"], run: Run, verify: Verify, tmp_path: Path
) -> None:
    """The source is judged as what it is, not as what it says, so that its faults are not those of the output."""
    source, written = tmp_path / "source", tmp_path / "written"
    for file in write_case("claims_big", source):
        insert(file, ODD["b'??' short"])
    run(source, written, identity=identity)
    report = verify(source, written, identity=identity)
    assert report.verdict == "pass"
    assert any(one.check == "FIL-01" and one.inherited for one in report.findings)
