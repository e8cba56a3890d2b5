"""Selected values of the items of an encoded sequence; all other elements are skipped undecoded (PS3.5 7.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pydicom.datadict import dictionary_VR, tag_for_keyword

from itk_roundtrip.dicom.elements import Buffer, Encoding, Walk, encoding_of_items, read_head
from itk_roundtrip.dicom.encoding import UNDEFINED_LENGTH
from itk_roundtrip.dicom.values import encoded_as_text

Wanted = Mapping[str, "Wanted | None"]
"""Keywords of the wanted attributes of an item: ``None`` for a value, for a sequence those of its first item."""
Texts = dict[str, str]
"""Values as texts by keyword; those of nested items are in the same dictionary."""


class Node(NamedTuple):
    """A wanted element: keyword, VR by the dictionary, and of a sequence the nodes of its first item."""

    keyword: str
    vr: str
    inside: dict[int, Node]


def nodes(wanted: Wanted) -> dict[int, Node]:
    """Return the wanted elements by tag."""
    by_tag = {}
    for keyword, inside in wanted.items():
        tag = tag_for_keyword(keyword)
        assert tag is not None, keyword
        by_tag[int(tag)] = Node(keyword, dictionary_VR(tag), {} if inside is None else nodes(inside))
    return by_tag


def sequence(data: Buffer, start: int, encoding: Encoding, wanted: dict[int, Node]) -> tuple[list[Texts], int]:
    """Return the wanted values of each item of the sequence whose element is at ``start``, and where the element ends.

    Raises
    ------
    ValueError
        The bytes are no sequence.
    """
    element = read_head(data, start, encoding)
    undefined = element.length == UNDEFINED_LENGTH
    stop = len(data) if undefined else element.value + element.length
    if stop > len(data):
        raise ValueError("a sequence ends behind its file")
    inner = encoding_of_items(element, encoding)
    walk = Walk(data, element.value, stop, inner, items=True, delimited=undefined)
    items: list[Texts] = []
    texts: Texts = {}
    nodes = {2: wanted}  # by the depth of the elements
    next_item = 0  # depth of the first item of a wanted sequence inside another item: no other is entered
    for head in walk:
        depth = walk.depth
        if depth & 1:
            if walk.at_delimiter:
                continue
            if depth == 1:
                texts = {}
                items.append(texts)
                walk.enter()
            elif depth == next_item:
                next_item = 0
                walk.enter()
        elif node := nodes[depth].get(head.tag):
            if node.inside:
                nodes[depth + 2] = node.inside
                next_item = depth + 1
                walk.enter()
            elif head.length == UNDEFINED_LENGTH:
                raise ValueError("a value has no end")
            else:
                value = data[head.value : head.value + head.length]
                texts[node.keyword] = encoded_as_text(value, node.vr, walk.encoding.order)
    return items, walk.end
