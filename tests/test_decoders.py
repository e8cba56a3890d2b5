"""Where pydicom has no decoder, SimpleITK must read the same stored values: users need not install plug-ins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels.decoders.base import Decoder
from synthetic import CASES, is_available, write_case

from itk_roundtrip.stored import pixels, stored_values

_LOSSLESS = ("rle", "jpeg_ls", "jpeg_lossless", "jpeg_lossless_14", "j2k")
COMPRESSED = [
    name
    for name, case in CASES.items()
    if case.keywords.get("transfer_syntax") in _LOSSLESS and case.expected("copy") == "exact" and case.path != "source"
    # RLE is decoded by pydicom itself; YBR is not decoded to the same colours by both
    and case.keywords.get("transfer_syntax") != "rle" and not str(case.keywords.get("photometric")).startswith("YBR")
]  # fmt: skip


@pytest.mark.parametrize("name", COMPRESSED)
def test_simpleitk_decodes_what_pydicom_does(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not is_available(name):
        pytest.skip("no encoder for this transfer syntax")
    for file in write_case(name, tmp_path)[:1]:
        expected, by = stored_values(pixels(pydicom.dcmread(file)))
        assert by == "pydicom"
        with monkeypatch.context() as patch:
            patch.setattr(Decoder, "is_available", False)
            values, by = stored_values(pixels(pydicom.dcmread(file)))
        assert by == "SimpleITK"
        np.testing.assert_array_equal(values, expected)
