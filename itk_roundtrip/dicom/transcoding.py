"""A data set in the other of the two Little Endian encodings, byte by byte (PS3.5 7.1 and 6.2.2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR

from itk_roundtrip import tags
from itk_roundtrip.dicom.spans import UNDEFINED, Span, content, elements, encode, encode_item, items
from itk_roundtrip.rules import is_group_length

_BITS_ALLOCATED, _PIXEL_REPRESENTATION, _PIXEL_DATA = tags.BITS_ALLOCATED, tags.PIXEL_REPRESENTATION, tags.PIXEL_DATA
_ENCAPSULATED = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"


def as_implicit(data: bytes) -> bytes:
    """Return a data set of Explicit VR in Implicit VR: its VRs are gone. Encapsulated pixels are left out.

    A private sequence gets undefined length, by which readers still know it for one.
    """
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
        if (one.vr == "SQ" and one.tag >> 16 & 1) or (one.vr == "UN" and one.undefined):
            parts.append(_undefined(one.tag, value, implicit_vr=True))  # the items of VR UN are in Implicit VR already
        else:
            parts.append(encode(one.tag, "", value, implicit_vr=True))
    return b"".join(parts)


def _undefined(tag: int, value: bytes, *, implicit_vr: bool) -> bytes:
    """Return a sequence of undefined length, in Explicit VR with VR UN: its items are in Implicit VR."""
    vr = b"" if implicit_vr else b"UN\0\0"
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr + struct.pack("<L", UNDEFINED) + value + _SEQUENCE_END


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


@dataclass(frozen=True)
class _Explicit:
    """What tells the VRs of a data set or an item that its dictionary leaves open."""

    signed: bool
    bits_allocated: int

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
            inside = (content(data, *each) for each in items(data, one.value, one.stop, implicit_vr=True))
            value = b"".join(encode_item(self._within(data, *each).encoded(data, *each)) for each in inside)
            return encode(one.tag, vr, value, implicit_vr=False)
        if one.undefined:
            return _undefined(one.tag, data[one.value : one.stop], implicit_vr=False)
        return encode(one.tag, vr, data[one.value : one.stop], implicit_vr=False)

    def _within(self, data: bytes, start: int, stop: int) -> _Explicit:
        """Return the same for an item, such as an icon, which may describe pixels of its own."""
        own = {
            one.tag: int.from_bytes(data[one.value : one.stop][:2], "little")
            for one in elements(data, start, stop, implicit_vr=True)
            if one.tag in (_BITS_ALLOCATED, _PIXEL_REPRESENTATION)
        }
        signed = own.get(_PIXEL_REPRESENTATION, int(self.signed)) == 1
        return _Explicit(signed, own.get(_BITS_ALLOCATED, self.bits_allocated))

    def _vr(self, tag: int) -> str:
        if tag >> 16 & 1:
            return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else "UN"
        if tag == _PIXEL_DATA:
            return "OW" if self.bits_allocated > 8 else "OB"
        try:
            vr = dictionary_VR(tag)  # it knows repeating groups as well
        except KeyError:
            return "UN"
        if "OW" in vr:
            return "OW"
        return ("SS" if self.signed else "US") if " or " in vr else vr
