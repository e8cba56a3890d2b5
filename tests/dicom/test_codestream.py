"""What compressed streams say of themselves: streams of real encoders, heads made by hand, and damaged ones."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from itk_roundtrip.dicom import codestream
from itk_roundtrip.dicom.codestream import Component, Stream

jpeg_ls: Any = pytest.importorskip("jpeg_ls")
openjpeg: Any = pytest.importorskip("openjpeg.utils")

GREY: NDArray[Any] = (np.indices((40, 48)).sum(axis=0) * 37 % 4096).astype("<u2")
COLOUR: NDArray[Any] = np.stack([GREY % 251, GREY % 241, GREY % 239], axis=-1).astype("u1")


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg(
    process: int, *before: bytes, precision: int = 8, sampling: tuple[int, ...] = (0x11,), ids: bytes = b"\1\2\3",
    shift: int = 0,
) -> bytes:  # fmt: skip
    """Return a JPEG of 40 rows and 48 columns without its entropy-coded data."""
    parts = zip(ids, sampling, strict=False)
    frame = struct.pack(">BHHB", precision, 40, 48, len(sampling)) + b"".join(bytes([*part, 0]) for part in parts)
    scan = bytes([len(sampling)]) + b"".join(bytes([one, 0]) for one in ids[: len(sampling)]) + bytes([1, 0, shift])
    return b"".join(
        [b"\xff\xd8", *before, segment(0xC0 | process, frame), segment(0xDA, scan), b"\0\x12\xff\0\xff\xd9"]
    )


def near_lossless(words: NDArray[Any], near: int, *, stored: int = 12, interleave: int = 0) -> bytes:
    samples = 1 if words.ndim == 2 else words.shape[2]
    planes = np.ascontiguousarray(np.moveaxis(words, -1, 0)) if samples > 1 and not interleave else words
    return bytes(jpeg_ls.encode_pixel_data(
        planes.tobytes(), rows=words.shape[0], columns=words.shape[1], samples_per_pixel=samples,
        bits_allocated=words.itemsize * 8, bits_stored=stored, lossy_error=near, interleave_mode=interleave,
    ))  # fmt: skip


def wavelet(words: NDArray[Any], *, stored: int = 12, lossy: bool = False, **options: Any) -> bytes:
    ratios = {"compression_ratios": [8]} if lossy else {}
    interpretation = 2 if words.ndim == 2 else 1
    return bytes(openjpeg.encode_array(words, bits_stored=stored, photometric_interpretation=interpretation, **ratios,
                                       **options))  # fmt: skip


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def encapsulated(*fragments: bytes) -> bytes:
    parts = (b"", *fragments)
    return (
        b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(part)) + part for part in parts)
        + b"\xfe\xff\xdd\xe0"
        + bytes(4)
    )


@pytest.mark.parametrize("process", [0, 1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15])
def test_a_jpeg_names_its_process(process: int) -> None:
    found = codestream.parse(jpeg(process, precision=12))
    assert (found.codec, found.process, found.precision, found.rows, found.columns) == ("JPEG", process, 12, 40, 48)
    assert found.is_lossy is (process not in (3, 7, 11, 15))
    assert found.signed is False


def test_a_point_transform_loses_bits() -> None:
    assert codestream.parse(jpeg(3)).is_lossy is False
    assert codestream.parse(jpeg(3, shift=2)).is_lossy is True
    second = segment(0xDA, bytes([1, 2, 0, 1, 0, 3]))  # a scan for each of two components, the second shifted
    frame = segment(0xC3, struct.pack(">BHHB", 8, 40, 48, 2) + bytes([1, 0x11, 0, 2, 0x11, 0]))
    stream = b"\xff\xd8" + frame + segment(0xDA, bytes([1, 1, 0, 1, 0, 0])) + b"\x17\xff\0\xff\xd0\2" + second
    assert codestream.parse(stream).point_transform == 3


def test_colour_markers_and_components() -> None:
    jfif = segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\0\0")
    adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0\1")
    found = codestream.parse(jpeg(0, jfif, adobe, sampling=(0x22, 0x11, 0x11)))
    assert (found.jfif, found.adobe_transform, found.is_subsampled) == (True, 1, True)
    assert found.components == (Component(1, (2, 2), 8), Component(2, (1, 1), 8), Component(3, (1, 1), 8))
    found = codestream.parse(jpeg(2, segment(0xE1, b"Exif\0\0"), sampling=(0x11, 0x11, 0x11), ids=b"RGB"))
    assert (found.jfif, found.adobe_transform, found.is_subsampled) == (False, None, False)
    assert bytes(component.identifier for component in found.components) == b"RGB"
    assert codestream.parse(jpeg(0, b"\xff", segment(0xEE, b"Adobe\0\x64\0\0\0\0\0"))).adobe_transform == 0


@pytest.mark.parametrize("near", [0, 3])
@pytest.mark.parametrize("stored", [12, 16])
def test_a_jpeg_ls_names_its_error(near: int, stored: int) -> None:
    found = codestream.parse(near_lossless(GREY, near, stored=stored))
    assert (found.codec, found.near, found.precision, found.rows, found.columns) == ("JPEG-LS", near, stored, 40, 48)
    assert found.is_lossy is (near > 0)


def test_scans_of_a_jpeg_ls_may_differ() -> None:
    frame = segment(0xF7, struct.pack(">BHHB", 8, 40, 48, 3) + b"".join(bytes([one, 0x11, 0]) for one in (1, 2, 3)))
    stream = b"\xff\xd8" + frame
    for one, near in ((1, 0), (2, 2), (3, 1)):
        stream += segment(0xDA, bytes([1, one, 0, near, 0, 0])) + b"\x17\xff\x7f\xff\0"
    found = codestream.parse(stream)
    assert (found.codec, found.interleave_mode, found.near, found.is_lossy) == ("JPEG-LS", 0, 2, True)
    assert codestream.parse(near_lossless(COLOUR, 2, stored=8, interleave=2)).interleave_mode == 2


@pytest.mark.parametrize("lossy", [False, True])
def test_a_jpeg_2000_names_its_wavelet(lossy: bool) -> None:
    found = codestream.parse(wavelet(GREY, lossy=lossy))
    assert (found.codec, found.precision, found.rows, found.columns) == ("JPEG 2000", 12, 40, 48)
    assert (found.reversible, found.is_lossy, found.signed) == (not lossy, lossy, False)
    signed = codestream.parse(wavelet((GREY.astype("<i2") - 2048), stored=16, lossy=lossy))
    assert (signed.precision, signed.signed, signed.is_lossy) == (16, True, lossy)


def test_colour_of_a_jpeg_2000() -> None:
    plain, transformed = (codestream.parse(wavelet(COLOUR, stored=8, use_mct=use)) for use in (False, True))
    assert (plain.component_transform, transformed.component_transform) == (0, 1)
    assert len(plain.components) == 3
    assert plain.is_subsampled is False


def test_coding_styles_of_components_and_tiles_count() -> None:
    stream = wavelet(GREY)
    style = stream.find(b"\xff\x52")
    assert codestream.parse(stream[:style] + segment(0x53, bytes([0, 0, 5, 4, 4, 0, 0])) + stream[style:]).is_lossy
    tile = stream.find(b"\xff\x90")
    (length,) = struct.unpack(">I", stream[tile + 6 : tile + 10])
    longer = stream[: tile + 6] + struct.pack(">I", length + 14) + stream[tile + 10 : tile + 12]
    override = stream[style : style + 13] + b"\0"
    assert codestream.parse(longer + override + stream[tile + 12 :]).reversible is False
    second = stream[tile:-2].replace(stream[tile + 12 : tile + 14], override + stream[tile + 12 : tile + 14], 1)
    second = second[:6] + struct.pack(">I", length + 14) + second[10:]
    assert codestream.parse(stream[:-2] + second + b"\xff\xd9").reversible is False
    unknown = stream[: style + 13] + b"\2" + stream[style + 14 :]  # a wavelet of Part 2
    assert codestream.parse(unknown).is_lossy is None


def test_htj2k_and_boxes() -> None:
    stream = wavelet(GREY, lossy=True)
    style = stream.find(b"\xff\x52")
    high = stream[:style] + segment(0x50, bytes(6)) + stream[style:]
    assert (codestream.parse(high).codec, codestream.parse(high).is_lossy) == ("HTJ2K", True)
    head = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jph \0\0\0\0jph ") + box(b"jp2h", box(b"ihdr", bytes(14)))
    long = struct.pack(">I4sQ", 1, b"jp2c", len(high) + 16) + high
    last = struct.pack(">I4s", 0, b"jp2c") + high
    for content in (box(b"jp2c", high), long, last):
        assert codestream.parse(head + content) == codestream.parse(high)
    assert codestream.parse(head).is_lossy is None


def test_every_frame_counts() -> None:
    exact, lossy = wavelet(GREY), wavelet(GREY, lossy=True)
    value = encapsulated(exact, lossy, exact)
    assert [one.is_lossy for one in codestream.streams(value)] == [False, True, False]
    assert codestream.lost(codestream.streams(value)) is True
    assert codestream.lost(codestream.streams(encapsulated(exact, exact))) is False
    assert codestream.lost(codestream.streams(encapsulated(exact, b"\1\0\0\0"))) is False  # belongs to the one before
    assert codestream.lost(codestream.streams(encapsulated(b"\1\0\0\0", exact))) is None
    assert codestream.lost(codestream.streams(encapsulated())) is None
    split = encapsulated(exact[:20], exact[20:60], exact[60:], lossy[:30], lossy[30:])
    assert [one.is_lossy for one in codestream.streams(split)] == [False, True]
    assert list(codestream.streams(b"abc" + value, 3)) == list(codestream.streams(value))
    assert list(codestream.streams(value[:-4]))[1].is_lossy is True
    assert list(codestream.streams(b"no items at all")) == []


@pytest.mark.parametrize(
    "stream",
    [jpeg(0, segment(0xE0, b"JFIF\0\1\2")), jpeg(3, segment(0xEE, b"Adobe\0\x64\0\0\0\0\0"), sampling=(0x11,) * 3),
     near_lossless(COLOUR, 1, stored=8), wavelet(GREY, lossy=True)],
    ids=["jpeg", "jpeg lossless", "jpeg-ls", "jpeg 2000"],
)  # fmt: skip
def test_damage_never_raises(stream: bytes) -> None:
    whole = codestream.parse(stream)
    for end in range(min(len(stream), 400)):
        part = codestream.parse(stream[:end])
        assert part.is_lossy in (None, whole.is_lossy)
        assert codestream.parse(b"abc" + stream, 3, end + 3) == part
    generator = np.random.default_rng(9)
    for _ in range(2000):
        damaged = bytearray(stream[:300])
        for at in generator.integers(0, min(len(damaged), 150), size=3):
            damaged[at] = generator.integers(0, 256)
        assert isinstance(codestream.parse(bytes(damaged)), Stream)
    assert codestream.parse(b"") == Stream()
