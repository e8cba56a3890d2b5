"""What is shown of the values of attributes: numbers are never lost, and two that differ look different."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from conftest import Run, Verify
from pydicom.dataset import Dataset, FileDataset
from synthetic import write_case

from itk_roundtrip.verify.attributes import compare, shown


def written(*, big: bool = False, **values: Any) -> FileDataset:
    """Return a data set as pydicom reads it from a file, undecoded."""
    dataset, content = Dataset(), BytesIO()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.SOPClassUID, dataset.SOPInstanceUID = pydicom.uid.CTImageStorage, "1.2.3"
    syntax = pydicom.uid.ExplicitVRBigEndian if big else pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(content, enforce_file_format=True)
    return pydicom.dcmread(BytesIO(content.getvalue()))


@pytest.mark.parametrize("decoded", [False, True])
@pytest.mark.parametrize(
    ("keyword", "value", "text"),
    [
        ("BitsStored", 12, "12"),
        ("PixelRepresentation", 0, "0"),
        ("SimpleFrameList", [1, 2, 300], r"1\2\300"),
        ("DiffusionBValue", 1000.5, "1000.5"),
        ("PixelPaddingValue", 65535, "65535"),
        ("RescaleSlope", "1.50", "1.50"),
        ("PixelSpacing", [0.5, 0.25], r"0.5\0.25"),
        ("FrameIncrementPointer", [0x00181063, 0x00540010], r"(0018,1063)\(0054,0010)"),
        ("FrameIncrementPointer", 0x00181063, "(0018,1063)"),
        ("ICCProfile", b"\1\2\3\4", "4 bytes"),
        ("SourceImageSequence", [Dataset()], "1 item"),
        ("SourceImageSequence", [Dataset(), Dataset()], "2 items"),
        ("ReferencedFrameNumber", "", ""),
    ],
)
@pytest.mark.parametrize("big", [False, True])
def test_value_is_shown_decoded_or_not(keyword: str, value: Any, text: str, decoded: bool, big: bool) -> None:
    dataset = written(big=big, **{"PixelRepresentation": 0, keyword: value})
    tag = pydicom.datadict.tag_for_keyword(keyword) or 0
    if decoded:
        _ = dataset[tag].value
    assert shown(dataset, tag) == text


def test_numbers_that_a_decoder_looked_at(run: Run, verify: Verify, tmp_path: Path) -> None:
    """pydicom decodes what describes compressed pixels before anything of it is compared."""
    write_case("rle_u12", tmp_path / "source")
    run(tmp_path / "source", tmp_path / "written")
    for file in (tmp_path / "written").iterdir():
        dataset = pydicom.dcmread(file)
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 13, 12, 1
        dataset.save_as(file)
    changes = {one.path: (one.old, one.new) for one in verify(tmp_path / "source", tmp_path / "written").changes}
    assert changes["BitsStored"] == ("12", "13")
    assert changes["HighBit"] == ("11", "12")
    assert changes["PixelRepresentation"] == ("0", "1")


@pytest.mark.parametrize(
    ("keyword", "old", "new", "shown_old", "shown_new"),
    [
        ("ImageComments", "a" * 100 + "b" + "c" * 100, "a" * 100 + "d", "..." + "a" * 32 + "b" + "c" * 25 + "...",
         "..." + "a" * 32 + "d"),
        ("ImageComments", "short", "x" * 65, "short", "x" * 61 + "..."),
        ("SimpleFrameList", [*range(100, 160)], [*range(100, 159), 7], r"...150\151\152\153\154\155\156\157\158\159",
         r"...150\151\152\153\154\155\156\157\158\7"),
    ],
)  # fmt: skip
def test_long_values_are_shown_where_they_differ(
    keyword: str, old: Any, new: Any, shown_old: str, shown_new: str
) -> None:
    (difference,) = compare(written(**{keyword: old}), written(**{keyword: new})).differences
    assert difference.old is not None
    assert difference.new is not None
    if keyword == "ImageComments":
        assert (difference.old, difference.new) == (shown_old, shown_new)
    assert difference.old != difference.new
    assert difference.old.endswith(shown_old[-8:])
    assert difference.new.endswith(shown_new[-8:])
