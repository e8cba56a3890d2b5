"""The walk over encoded elements: what it yields, enters and skips, and what it says of bytes that are none."""

from __future__ import annotations

import struct

import pytest

from itk_roundtrip import tags
from itk_roundtrip.dicom.elements import ElementError, Encoding, Walk, read_head

_EXPLICIT = Encoding(False, "<")
_UNDEFINED = 0xFFFFFFFF


def _element(tag: int, vr: bytes, value: bytes, encoding: Encoding = _EXPLICIT, length: int | None = None) -> bytes:
    head = struct.pack(encoding.order + "HH", tag >> 16, tag & 0xFFFF)
    length = len(value) if length is None else length
    if encoding.implicit or tag >> 16 == 0xFFFE:
        return head + struct.pack(encoding.order + "L", length) + value
    if vr in (b"SQ", b"UN", b"OB"):
        return head + vr + struct.pack(encoding.order + "HL", 0, length) + value
    return head + vr + struct.pack(encoding.order + "H", length) + value


def _item(value: bytes, encoding: Encoding, delimited: bool) -> bytes:
    if not delimited:
        return _element(tags.ITEM, b"", value, encoding)
    end = _element(tags.ITEM_DELIMITATION_ITEM, b"", b"", encoding)
    return _element(tags.ITEM, b"", value, encoding, _UNDEFINED) + end


def _sequence(items: bytes, encoding: Encoding, delimited: bool) -> bytes:
    if not delimited:
        return _element(tags.SOURCE_IMAGE_SEQUENCE, b"SQ", items, encoding)
    end = _element(tags.SEQUENCE_DELIMITATION_ITEM, b"", b"", encoding)
    return _element(tags.SOURCE_IMAGE_SEQUENCE, b"SQ", items, encoding, _UNDEFINED) + end


@pytest.mark.parametrize("delimited", [False, True])
@pytest.mark.parametrize("encoding", [_EXPLICIT, Encoding(True, "<"), Encoding(False, ">")])
def test_a_sequence_is_skipped_or_entered(encoding: Encoding, delimited: bool) -> None:
    inside = _element(tags.REFERENCED_SOP_INSTANCE_UID, b"UI", b"1.23", encoding)
    sequence = _sequence(_item(inside, encoding, delimited) * 2, encoding, delimited)
    data = sequence + _element(tags.MODALITY, b"CS", b"CT", encoding)
    top = [tags.SOURCE_IMAGE_SEQUENCE, tags.MODALITY]
    assert [head.tag for head in Walk(data, 0, len(data), encoding)] == top

    walk = Walk(data, 0, len(data), encoding)
    seen = []
    for head in walk:
        if not walk.at_delimiter:
            seen.append((walk.depth, head.tag))
        if head.tag in (tags.SOURCE_IMAGE_SEQUENCE, tags.ITEM):
            walk.enter()
    item = [(1, tags.ITEM), (2, tags.REFERENCED_SOP_INSTANCE_UID)]
    assert seen == [(0, top[0]), *item, *item, (0, top[1])]
    assert walk.end == len(data)
    assert [end for _, end in Walk(data, 0, len(data), encoding).with_ends()] == [len(sequence), len(data)]


def test_items_of_an_unknown_vr_are_in_implicit_vr_little_endian() -> None:
    """PS3.5 6.2.2."""
    implicit, big = Encoding(True, "<"), Encoding(False, ">")
    item = _item(_element(tags.MODALITY, b"", b"CT", implicit), implicit, delimited=True)
    end = _element(tags.SEQUENCE_DELIMITATION_ITEM, b"", b"", implicit)
    data = _element(tags.SOURCE_IMAGE_SEQUENCE, b"UN", item + end, big, _UNDEFINED)
    data += _element(tags.SERIES_NUMBER, b"IS", b"1 ", big)
    walk = Walk(data, 0, len(data), big)
    encodings = []
    for head in walk:
        encodings.append((head.tag, walk.encoding))
        if head.tag in (tags.SOURCE_IMAGE_SEQUENCE, tags.ITEM):
            walk.enter()
    assert (tags.MODALITY, implicit) in encodings
    assert encodings[-1] == (tags.SERIES_NUMBER, big)


_CT = _element(tags.MODALITY, b"CS", b"CT")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_CT + _CT[:7], "at byte 10: the data end inside an element"),
        (_CT + _CT[:9], "at byte 20: something ends behind what it stands in, or has no end"),
        (_CT + _element(tags.MODALITY, b"??", b"CT"), "at byte 10: a VR that there is none of"),
        (_sequence(_CT, _EXPLICIT, delimited=True), "at byte 12: a sequence holds something else than items"),
        (_sequence(b"", _EXPLICIT, delimited=True)[:12], "at byte 12: something ends .* or has no end"),
    ],
)
def test_strictly_walked_damage_is_named_with_its_offset(data: bytes, message: str) -> None:
    with pytest.raises(ElementError, match=message):
        list(Walk(data, 0, len(data), _EXPLICIT))


def test_an_unknown_vr_is_refused_or_has_a_length_of_either_form() -> None:
    data = _element(tags.MODALITY, b"??", bytes(20))
    with pytest.raises(ElementError):
        read_head(data, 0, _EXPLICIT)
    assert read_head(data, 0, _EXPLICIT, "short")[3:] == (8, 20)
    assert read_head(data, 0, _EXPLICIT, "long")[3:] == (12, 0)
    assert [head.vr for head in Walk(data, 0, len(data), _EXPLICIT, strict=False)] == [b"??"]
