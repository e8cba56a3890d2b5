"""Encapsulated native frames: uncompressed, deflated, or 1-bit pixels in RLE (PS3.5 A.4.11, 8.2.16 and G)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from pydicom import uid
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import get_decoder

from itk_roundtrip import syntaxes


def native_pixels(
    syntax: str, value: bytes, frames: int, frame_bits: int, tables: Sequence[bytes | None] = (None, None)
) -> bytes:
    """Return the value of Pixel Data in Native Format, of even length.

    Parameters
    ----------
    syntax
        Transfer Syntax UID, of which :func:`itk_roundtrip.syntaxes.holds_native_frames` is true.
    value
        Of Pixel Data: the Basic Offset Table and fragments.
    frames
        Number of Frames.
    frame_bits
        Size of a native frame; of 1-bit pixels it need not fill whole bytes.
    tables
        Values of Extended Offset Table and Extended Offset Table Lengths.

    Raises
    ------
    ValueError
        The fragments do not hold that many frames of that size.
    """
    size = -(-frame_bits // 8)
    extended = (tables[0], tables[1]) if tables[0] and tables[1] else None
    try:
        streams = generate_frames(value, number_of_frames=frames, extended_offsets=extended)
        unpacked = [_native_frame(syntax, stream, size) for stream in streams]
    except Exception:  # whatever zlib and pydicom meet in a damaged stream
        unpacked = []
    # A frame of odd length has a pad byte in its fragment.
    if len(unpacked) != frames or not all(size <= len(frame) <= size + 1 for frame in unpacked):
        raise ValueError("not the frames that the header describes")
    content = b"".join(frame[:size] for frame in unpacked)
    if frame_bits % 8:  # natively a frame starts with the next bit, not with the next byte (PS3.5 8.1.1)
        bits = np.unpackbits(np.frombuffer(content, "u1"), bitorder="little").reshape(frames, size * 8)
        content = np.packbits(bits[:, :frame_bits].ravel(), bitorder="little").tobytes()
    return content + b"\0" * (len(content) % 2)


def _native_frame(syntax: str, stream: bytes, size: int) -> bytes:
    if syntax == syntaxes.DEFLATED_FRAMES:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(stream, size + 2)
    if syntax == uid.RLELossless:  # a single segment: RLE of the packed bits, which is that of a row of bytes
        row = get_decoder(uid.RLELossless).as_buffer(
            encapsulate([stream]), rows=1, columns=size, bits_allocated=8, bits_stored=8, samples_per_pixel=1,
            number_of_frames=1, pixel_representation=0, photometric_interpretation="MONOCHROME2",
            pixel_keyword="PixelData", transfer_syntax_uid=uid.RLELossless,
        )  # fmt: skip
        return bytes(row[0])
    return stream
