"""Transfer syntaxes (PS3.5 10 and A, PS3.6 Table A-1): those of pydicom, and those that it does not have yet."""

from __future__ import annotations

from functools import cache

from pydicom import uid

JPEG_XL_LOSSLESS = "1.2.840.10008.1.2.4.110"
JPEG_XL_RECOMPRESSION = "1.2.840.10008.1.2.4.111"
JPEG_XL = "1.2.840.10008.1.2.4.112"
DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
ENCAPSULATED_UNCOMPRESSED = "1.2.840.10008.1.2.1.98"

_NOT_IN_PYDICOM = {
    JPEG_XL_LOSSLESS: "JPEG XL Lossless",
    JPEG_XL_RECOMPRESSION: "JPEG XL JPEG Recompression",
    JPEG_XL: "JPEG XL",
    DEFLATED_FRAMES: "Deflated Image Frame Compression",
}
"""Names of transfer syntaxes of 2024 and 2025, all encapsulated (PS3.5 A.4.12 and A.4.13)."""
_PRIVATE = {
    "1.2.840.113619.5.2": "GE, private: Implicit VR Little Endian with pixels in Big Endian",
    "1.3.46.670589.33.1.4.1": "Philips, private: Explicit VR Little Endian",
    "1.2.840.113704.7.0.4.4": "Algotec, private: compressed",
    "1.2.840.113711.1.2.100.1": "ALI, private: wavelets",
    "1.3.6.1.4.1.5962.300.1": "PixelMed, private: Explicit VR Little Endian, compressed by bzip2",
    "1.3.6.1.4.1.5962.300.2": "PixelMed, private: encapsulated words",
}
"""Names of private transfer syntaxes; of some nothing else is known."""
_DEFLATED_DATA_SETS = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})
_NATIVE = frozenset({
    uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
})  # fmt: skip
RETIRED = frozenset({"1.2.840.10008.1.20", "1.2.840.10008.1.2.6.1", "1.2.840.10008.1.2.6.2"})
"""Retired transfer syntaxes that nothing reads: Papyrus 3, and DICOM objects inside MIME and XML."""
ELSEWHERE = {
    "1.2.840.10008.1.2.4.94": "a server (Pixel Data Provider URL)",
    "1.2.840.10008.1.2.4.95": "a server (Pixel Data Provider URL)",
    "1.2.840.10008.1.2.4.204": "a server (Pixel Data Provider URL)",
    "1.2.840.10008.1.2.4.205": "a server (Pixel Data Provider URL)",
    "1.2.840.10008.1.2.7.1": "a stream beside the file",
    "1.2.840.10008.1.2.7.2": "a stream beside the file",
    "1.2.840.10008.1.2.7.3": "a stream beside the file",
}
"""Transfer syntaxes of files without pixels, and where those are (PS3.5 A.6, A.7, A.11, A.12; PS3.22)."""


@cache
def is_known(syntax: str) -> bool:
    """Tell whether the standard has a transfer syntax of this UID."""
    entry = uid.UID(syntax)
    return syntax in _NOT_IN_PYDICOM or (entry.is_transfer_syntax and not entry.is_private)


def name(syntax: str) -> str:
    """Return the name of a transfer syntax; its UID if it has none."""
    return _NOT_IN_PYDICOM.get(syntax) or _PRIVATE.get(syntax) or uid.UID(syntax).name


def is_encapsulated(syntax: str) -> bool:
    """Tell whether Pixel Data is a sequence of fragments (PS3.5 A.4)."""
    return is_known(syntax) and syntax not in _NATIVE | RETIRED


def is_deflated(syntax: str) -> bool:
    """Tell whether the whole data set is deflated (PS3.5 A.5, A.7 and A.12)."""
    return syntax in _DEFLATED_DATA_SETS


def holds_native_frames(syntax: str, bits_allocated: int | None) -> bool:
    """Tell whether fragments hold frames as Native Format has them, once inflated or expanded: no codec is needed.

    Of 1-bit pixels each frame starts on a byte of its own, and in RLE is a single segment (PS3.5 8.2.16 and G).
    """
    return syntax in (ENCAPSULATED_UNCOMPRESSED, DEFLATED_FRAMES) or (syntax == uid.RLELossless and bits_allocated == 1)
