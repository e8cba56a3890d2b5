"""Which peculiarities images have, and that what is undone of them is exact, whoever made the pixels."""

from __future__ import annotations

import pickle
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from synthetic import write_case

from itk_roundtrip import find_series, tags
from itk_roundtrip.carry.instances import Written, complete_instance, native_value
from itk_roundtrip.dicom.headers import Header, read_header
from itk_roundtrip.itk_io import view
from itk_roundtrip.pixels.formats import Array, PixelFormat
from itk_roundtrip.pixels.kinds import Carriage, carriage, without_rescale
from itk_roundtrip.pixels.peculiarities import PECULIARITIES
from itk_roundtrip.series.find import Instance

EXPECTED = {
    "u12_high_bits": "",
    "rgb": "",
    "ybr_rct": "",
    "ybr": "OtherColours",
    "ybr_planar": "OtherColours ColourPlanes",
    "rgb_planar": "ColourPlanes",
    "palette": "PaletteIndices",
    "high_bit_15": "WholeWords HiddenRescale",
    "bits_20": "WholeWords HiddenRescale",
    "overlay_embedded": "",
    "overlay_embedded_rle": "WholeWords HiddenRescale",
    "one_bit": "SingleBits",
    "one_bit_frames": "SingleBits MultiFrame",
    "mono1_ct": "InvertedMonochrome1",
    "mono1_signed": "OtherMonochrome1",
    "beyond_jpeg_ls_mono1": "WholeWords OtherMonochrome1 ValuesBeyondRange HiddenRescale",
    "multi_frame_mono1": "InvertedMonochrome1 MultiFrame",
    "rtdose_sf": "HiddenRescale",
}


def first_of(name: str, folder: Path) -> tuple[Instance, Carriage]:
    """Return the first instance of a case, and how its pixels are carried."""
    write_case(name, folder)
    (series,) = find_series(folder)
    return series.instances[0], carriage(series.instances[0], "derived")


@pytest.mark.parametrize("name", EXPECTED)
def test_peculiarities_of_a_case(name: str, tmp_path: Path) -> None:
    _, carried = first_of(name, tmp_path)
    assert " ".join(type(peculiarity).__name__ for peculiarity in carried.peculiarities) == EXPECTED[name]
    copy = pickle.loads(pickle.dumps(carried))
    assert copy == carried
    assert hash(copy) == hash(carried)
    assert carried.kept("whatever").path == "source"
    assert carried.kept("whatever").seen == carried.seen


def test_every_peculiarity_has_a_case() -> None:
    named = {name for names in EXPECTED.values() for name in names.split()}
    assert named == {type(peculiarity).__name__ for peculiarity in PECULIARITIES}
    assert len(set(map(repr, PECULIARITIES))) == len(PECULIARITIES)


def test_a_rescale_is_hidden_once_and_only_if_there_is_one(tmp_path: Path) -> None:
    """What is shown as it is must stay so: GDCM writes other headers of copies."""
    _, of_ct = first_of("u12_high_bits", tmp_path / "ct")
    hidden = without_rescale(of_ct)
    assert hidden != of_ct
    assert (hidden.seen.slope, hidden.seen.intercept) == (None, None)
    assert without_rescale(hidden) == hidden
    _, of_capture = first_of("rgb", tmp_path / "capture")
    assert without_rescale(of_capture) == of_capture


def pixels_of(instance: Instance, header: Header, carried: Carriage) -> Array:
    """Return the pixels of an uncompressed source, shape (frames, rows, columns), samples behind."""
    samples = [instance.samples_per_pixel] if (instance.samples_per_pixel or 1) > 1 else []
    shape = (instance.frames, instance.rows or 0, instance.columns or 0, *filter(None, samples))
    return carried.from_native(header.raw(tags.PIXEL_DATA) or b"", shape)


UNCOMPRESSED = ["u12_high_bits", "odd_pixel_bytes_ff", "one_bit_frames", "one_bit_odd", "rgb_planar", "rgb_odd_planar",
                "high_bit_15_noise", "high_bit_11_signed", "multi_frame_odd", "bits_20_signed"]  # fmt: skip


@pytest.mark.parametrize("name", UNCOMPRESSED)
def test_unchanged_pixels_are_the_bytes_of_the_source(name: str, tmp_path: Path) -> None:
    """Unused bits and the pad byte are nobody's values, but a copy without them is none (PIX-02)."""
    instance, carried = first_of(name, tmp_path)
    header = read_header(instance.path)
    value = header.raw(tags.PIXEL_DATA)
    before = pixels_of(instance, header, carried)
    if name == "one_bit_frames":
        assert np.array_equal(before, pydicom.dcmread(instance.path).pixel_array)
    by_itk = before * np.uint8(255) if name.startswith("one_bit") else before.copy()
    if name == "u12_high_bits":
        assert (by_itk >> 12).any()
        by_itk &= 0xFFF  # as GDCM leaves them

    def content() -> list[bytes | memoryview] | None:
        frames = view.frames_of(instance, header, {})
        written = [Written(words).unless_of(frames[index], carried) for index, words in enumerate(by_itk)]
        return complete_instance(header, {}, written, instance, carried, "")

    parts = content()
    assert parts is not None
    assert pydicom.dcmread(BytesIO(b"".join(parts))).get_item(tags.PIXEL_DATA).value == value
    by_itk[-1, -1, -1] ^= 255 if name.startswith("one_bit") else 1  # the last pixel, where bits behind it are none
    assert content() is None


@pytest.mark.parametrize("name", UNCOMPRESSED)
def test_pixels_of_any_producer_become_native(name: str, tmp_path: Path) -> None:
    """A processed image has no words of a source to compare with; another reader must see its values."""
    instance, carried = first_of(name, tmp_path)
    pixel_format = carried.pixel_format
    shape = pixels_of(instance, read_header(instance.path), carried).shape
    low, high = pixel_format.stored_range
    values = np.random.default_rng(1).integers(low, high, shape, endpoint=True)
    written = pydicom.dcmread(instance.path)
    written.PixelData = native_value(values, carried, pixel_format)
    assert len(written.PixelData) % 2 == 0
    if pixel_format.bits_below:  # pydicom heeds no High Bit, so that it is shown whole words
        written.BitsStored = written.BitsAllocated
    words = written.pixel_array.reshape(shape).astype(np.int64)
    assert np.array_equal(words >> pixel_format.bits_below, values)


def test_values_are_cut_to_bits_stored(tmp_path: Path) -> None:
    _, carried = first_of("u12_high_bits", tmp_path)
    pixels = np.array([[[0x1ABC, -1, 5]]])
    twelve = PixelFormat(16, 12, False)
    words = [np.frombuffer(native_value(pixels, carried, pixel_format), "<u2").tolist()
             for pixel_format in (twelve, replace(twelve, high_bit=15), replace(twelve, signed=True))]  # fmt: skip
    assert words == [[0xABC, 0xFFF, 5], [0xABC0, 0xFFF0, 0x50], [0xFABC, 0xFFFF, 5]]
    assert native_value(pixels, carried, PixelFormat(8, 8, False)) == b"\xbc\xff\x05\0"
