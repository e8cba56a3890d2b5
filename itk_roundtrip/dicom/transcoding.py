"""Conversion of encoded data sets between Implicit and Explicit VR Little Endian (PS3.5 7.1 and 6.2.2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR

from itk_roundtrip import tags
from itk_roundtrip.dicom.encoding import ENCAPSULATED_PIXEL_DATA, SEQUENCE_DELIMITER, UNDEFINED_LENGTH
from itk_roundtrip.dicom.spans import Span, content, elements, encode, encode_item, items
from itk_roundtrip.rules import is_group_length


def as_implicit(data: bytes) -> bytes:
    """Return a data set of Explicit VR in Implicit VR; encapsulated pixels are left out.

    A private sequence gets undefined length: without a VR, only that tells readers that it is a sequence.
    """
    return _implicit(data, 0, len(data))


def _implicit(data: bytes, start: int, stop: int) -> bytes:
    parts = []
    for element in elements(data, start, stop, implicit_vr=False):
        if is_group_length(element.tag) or (element.tag == tags.PIXEL_DATA and element.undefined):
            continue
        value = data[element.value : element.stop]
        if element.vr == "SQ":
            spans = items(data, element.value, element.stop, implicit_vr=False)
            value = b"".join(encode_item(_implicit(data, *content(data, *item))) for item in spans)
        if (element.vr == "SQ" and element.tag >> 16 & 1) or (element.vr == "UN" and element.undefined):
            # The items of VR UN are in Implicit VR already.
            parts.append(_undefined_length(element.tag, value, implicit_vr=True))
        else:
            parts.append(encode(element.tag, "", value, implicit_vr=True))
    return b"".join(parts)


def _undefined_length(tag: int, value: bytes, *, implicit_vr: bool) -> bytes:
    """Return a sequence of undefined length with items in Implicit VR; in Explicit VR it has VR UN (PS3.5 6.2.2)."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + (b"" if implicit_vr else b"UN\0\0")
    return head + struct.pack("<L", UNDEFINED_LENGTH) + value + SEQUENCE_DELIMITER


def as_explicit(data: bytes, *, signed: bool, bits_allocated: int) -> bytes:
    """Return a data set of Implicit VR in Explicit VR: with the VRs of the dictionary, UN where it has none.

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
    """Conversion of a data set or an item, with the values that decide between VRs such as US and SS."""

    signed: bool
    bits_allocated: int

    def encoded(self, data: bytes, start: int, stop: int) -> bytes:
        parts = []
        for element in elements(data, start, stop, implicit_vr=True):
            if not is_group_length(element.tag):
                parts.append(self._element(data, element))
        return b"".join(parts)

    def _element(self, data: bytes, element: Span) -> bytes:
        vr = self._vr(element.tag)
        if element.tag == tags.PIXEL_DATA and element.undefined:
            return ENCAPSULATED_PIXEL_DATA + data[element.value : element.end]
        if vr == "SQ":
            contents = (content(data, *item) for item in items(data, element.value, element.stop, implicit_vr=True))
            value = b"".join(encode_item(self._for_item(data, *span).encoded(data, *span)) for span in contents)
            return encode(element.tag, vr, value, implicit_vr=False)
        if element.undefined:
            return _undefined_length(element.tag, data[element.value : element.stop], implicit_vr=False)
        return encode(element.tag, vr, data[element.value : element.stop], implicit_vr=False)

    def _for_item(self, data: bytes, start: int, stop: int) -> _Explicit:
        """Return the conversion of an item, which may describe pixels of its own, as that of an icon does."""
        of_item = {
            element.tag: int.from_bytes(data[element.value : element.stop][:2], "little")
            for element in elements(data, start, stop, implicit_vr=True)
            if element.tag in (tags.BITS_ALLOCATED, tags.PIXEL_REPRESENTATION)
        }
        signed = of_item.get(tags.PIXEL_REPRESENTATION, int(self.signed)) == 1
        return _Explicit(signed, of_item.get(tags.BITS_ALLOCATED, self.bits_allocated))

    def _vr(self, tag: int) -> str:
        if tag >> 16 & 1:
            return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else "UN"
        if tag == tags.PIXEL_DATA:
            return "OW" if self.bits_allocated > 8 else "OB"
        try:
            vr = dictionary_VR(tag)  # also of repeating groups, such as overlays
        except KeyError:
            return "UN"
        if "OW" in vr:
            return "OW"
        return ("SS" if self.signed else "US") if " or " in vr else vr
