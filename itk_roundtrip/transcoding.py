"""A data set in the other of the two Little Endian encodings, byte by byte (PS3.5 7.1 and 6.2.2)."""

from __future__ import annotations

from pydicom.datadict import dictionary_has_tag, dictionary_VR

from itk_roundtrip.rules import is_group_length
from itk_roundtrip.spans import Span, content, elements, encode, encode_item, items

_PIXEL_DATA = 0x7FE00010
_ENCAPSULATED = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"


def as_implicit(data: bytes) -> bytes:
    """Return a data set of Explicit VR in Implicit VR: its VRs are gone. Encapsulated pixels are left out."""
    return _implicit(data, 0, len(data))


def _implicit(data: bytes, start: int, stop: int) -> bytes:
    parts = []
    for one in elements(data, start, stop, implicit_vr=False):
        if is_group_length(one.tag) or (one.tag == _PIXEL_DATA and one.undefined):
            continue
        value = data[one.value : one.stop]
        if one.vr == "SQ":
            inside = items(data, one.value, one.stop, implicit_vr=False)
            value = b"".join(encode_item(_implicit(data, *content(data, *each))) for each in inside)
        parts.append(encode(one.tag, "", value, implicit_vr=True))  # the items of VR UN are in Implicit VR already
    return b"".join(parts)


def as_explicit(data: bytes, *, signed: bool, bits_allocated: int) -> bytes:
    """Return a data set of Implicit VR in Explicit VR: with the VRs of the dictionary, and UN where it knows none.

    Parameters
    ----------
    data
        Encoded data set.
    signed
        Pixel Representation (0028,0103) is 1: tells US from SS.
    bits_allocated
        Tells OB from OW of Pixel Data (A.2).
    """
    return _Explicit(signed, bits_allocated).encoded(data, 0, len(data))


class _Explicit:
    def __init__(self, signed: bool, bits_allocated: int) -> None:
        self.signed = signed
        self.bits_allocated = bits_allocated

    def encoded(self, data: bytes, start: int, stop: int) -> bytes:
        parts = []
        for one in elements(data, start, stop, implicit_vr=True):
            if not is_group_length(one.tag):
                parts.append(self._element(data, one))
        return b"".join(parts)

    def _element(self, data: bytes, one: Span) -> bytes:
        vr = self._vr(one.tag)
        if one.tag == _PIXEL_DATA and one.undefined:
            return _ENCAPSULATED + data[one.value : one.end]
        if vr == "SQ":
            inside = items(data, one.value, one.stop, implicit_vr=True)
            value = b"".join(encode_item(self.encoded(data, *content(data, *each))) for each in inside)
            return encode(one.tag, vr, value, implicit_vr=False)
        return encode(one.tag, "UN" if one.undefined else vr, data[one.value : one.stop], implicit_vr=False)

    def _vr(self, tag: int) -> str:
        if tag >> 16 & 1:
            return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else "UN"
        if tag == _PIXEL_DATA:
            return "OW" if self.bits_allocated > 8 else "OB"
        vr = dictionary_VR(tag) if dictionary_has_tag(tag) else "UN"
        if "OW" in vr:
            return "OW"
        return ("SS" if self.signed else "US") if " or " in vr else vr
