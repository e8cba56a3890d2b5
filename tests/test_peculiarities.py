"""Which peculiarities images have, and that what is undone of them is exact, whoever made the pixels."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from synthetic import write_case

from itk_roundtrip import find_series
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
