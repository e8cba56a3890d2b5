"""Regular data sets cut into their undecoded elements; what other files hold to the byte is not parsed again.

The files of a series have most of their elements in common. An element is parsed, judged and decoded once, and known
by its bytes wherever they come again; only those that differ cost time.
"""

from __future__ import annotations

import copy
import math
import mmap
import struct
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any, cast

import pydicom
from pydicom.charset import convert_encodings, default_encoding
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement, empty_value_for_VR
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from itk_roundtrip import tags
from itk_roundtrip.dicom.elements import ElementError, Encoding, Head, Walk, read_head
from itk_roundtrip.dicom.encoding import SEQUENCE_DELIMITER, UNDEFINED_LENGTH
from itk_roundtrip.dicom.regular import Problem, stands_in_data_sets

Bytes = bytes | memoryview
DEFERRED_BYTES = 1 << 16
"""Values of more bytes are left in the data set and not copied."""
_COPIED_BYTES = 1 << 24
"""Longer values are views of the data."""
_KNOWN_BYTES = 1 << 13
"""Bytes of the longest element that is known again."""
_VARIANTS = 4
"""Elements of a tag that are known at a time: those of the source, of what ITK wrote and of the output may differ."""
_TAGS = 4_000
"""Tags whose elements are known at a time."""
_PREAMBLE, _META = 128, 132
"""Offsets of the prefix DICM and of File Meta Information (PS3.10 7.1)."""
_DELIMITER_BYTES = len(SEQUENCE_DELIMITER)
_EXPLICIT = Encoding(False, "<")

_known: dict[Encoding, dict[int, list[Known]]] = {}
"""The elements seen last, by encoding and tag, the latest first."""
_latest: dict[Any, tuple[tuple[int, Known], ...]] = {}
"""All elements of the data set that was parsed last, by encoding."""


class Known(RawDataElement):
    """An undecoded element as pydicom reads it, with what its bytes have been found to be.

    Attributes
    ----------
    encoded
        The whole element; empty where it is not known again.
    decoded
        As pydicom decodes it, by the context of the data set.
    text
        Its value as text, once somebody asked for it.
    problems
        What :mod:`itk_roundtrip.verify.structure` found wrong in it; ``None`` if nobody has looked yet.
    """

    encoded: bytes = b""
    decoded: dict[Any, DataElement]
    problems: frozenset[Problem] | None = None
    text: str | None = None


_NONE = (1 << 32, Known(BaseTag(0), None, 0, None, 0, False, True))
"""What stands behind the last element: its tag is behind all others."""
Elements = Mapping[int, Known]
Place = tuple[int, int, int]
"""Tag, start and end of an encoded element."""


class _Known(Dataset):
    """A data set or item in Little Endian whose known elements are decoded once for all that hold them.

    Attributes
    ----------
    undecoded
        Its elements by tag, whatever of them pydicom has decoded in place.
    """

    undecoded: Mapping[int, DataElement | RawDataElement]
    _context: Any
    """What decoding depends on beside the bytes of an element: character set, sign of the pixels, implicit VR."""

    def get_item(self, key: Any, *, keep_deferred: bool = False) -> Any:
        return self.undecoded[int(key)]

    def __getitem__(self, key: Any) -> Any:
        element = self._dict.get(cast(BaseTag, key)) if isinstance(key, int) else None
        if not isinstance(element, RawDataElement):
            return super().__getitem__(key)
        known = element.decoded if isinstance(element, Known) and element.encoded else {}
        decoded = known.get(self._context)
        if decoded is None:
            if isinstance(element, Known) and element.VR == "SQ" and element.value and not element.is_implicit_VR:
                items = pydicom.Sequence(self._items(element.value))
                items.is_undefined_length = False
                decoded = DataElement(element.tag, "SQ", items, already_converted=True)
            else:
                decoded = super().__getitem__(key)
                for item in decoded.value if decoded.VR == "SQ" and decoded.value else ():
                    _know(item, {int(tag): inside for tag, inside in item._dict.items()}, None)
            known[self._context] = decoded
        self._dict[element.tag] = decoded
        return decoded

    def _items(self, value: bytes) -> Iterator[Dataset]:
        """Yield the items of a regular sequence in Explicit VR."""
        walk = Walk(value, 0, len(value), _EXPLICIT, items=True)
        for head, end in walk.with_ends():
            is_delimited = head.length == UNDEFINED_LENGTH
            inside = value[head.value : end - _DELIMITER_BYTES if is_delimited else end]
            item, elements, context = Dataset(), dict[int, Known](), self._context
            with suppress(ElementError):
                elements = _parse(inside, _EXPLICIT)[1]
                item = Dataset({element.tag: element for element in elements.values()})
            if not elements:  # empty, or its elements are in another order
                item = read_dataset(BytesIO(inside), False, True, parent_encoding=self._read_charset)
                elements = {int(tag): cast(Known, element) for tag, element in item._dict.items()}
            item.is_undefined_length_sequence_item = is_delimited
            encodings = self._read_charset
            if tags.SPECIFIC_CHARACTER_SET in elements:
                encodings = convert_encodings(item.get("SpecificCharacterSet"))
                context = elements[tags.SPECIFIC_CHARACTER_SET].value, context
            item.set_original_encoding(False, True, encodings)
            yield _know(item, elements, context)


class KnownItem(_Known):
    """An item of a sequence of a known element."""


def _know(item: Dataset, undecoded: Mapping[int, DataElement | RawDataElement], context: Any) -> Dataset:
    """Return an item that keeps its elements undecoded."""
    item.__class__ = KnownItem
    item.undecoded, item._context = undecoded, context
    return item


class KnownDataset(_Known, FileDataset):
    """A data set of a file; nothing may be set in it, as others share its elements.

    Attributes
    ----------
    places
        Where its elements stand in the encoded data set.
    """

    undecoded: Elements
    places: Sequence[Place]

    def with_value(self, tag: int, value: bytes) -> KnownDataset:
        """Return the same data set with another value of an undecoded element, of undefined length if it is so."""
        element = Known(*self.undecoded[tag]._replace(value=value))
        twin = copy.copy(self)
        twin._dict = {**self._dict, element.tag: element}
        twin.undecoded = {**self.undecoded, tag: element}
        return twin


def parse(
    data: bytes, encoding: Encoding, *, encapsulated: bool = False, like: Iterable[Elements] = ()
) -> tuple[list[Place], dict[int, Known]]:
    """Return the elements of a regular data set: ascending, of known VRs, sequences of items, nothing else.

    Parameters
    ----------
    data
        The encoded elements.
    encoding
        Little Endian, in Implicit or Explicit VR.
    encapsulated
        Pixel Data must be in fragments, else it must not.
    like
        Elements of other files that are tried first: those that are alike are the same objects.

    Returns
    -------
    tuple
        Tag, start and end of each element; and the elements by tag.

    Raises
    ------
    ElementError
        The data set is irregular, or damaged.
    """
    places, elements = _parse(data, encoding, encapsulated, like, DEFERRED_BYTES, expected=_latest.get(encoding, ()))
    _latest[encoding] = tuple(elements.items())
    if not places or not stands_in_data_sets(places[0][0]) or places[-1][0] >= tags.ITEM:
        raise ElementError(0, "something stands in the data set that may not")
    return places, elements


def parse_until(data: bytes, encoding: Encoding, stops: frozenset[int]) -> tuple[KnownDataset, int]:
    """Return the elements of a regular data set up to one of some tags, and the offset of that.

    Parameters
    ----------
    data
        The encoded elements, or the first of them.
    encoding, stops
        Little Endian, in Implicit or Explicit VR; and the tags.

    Raises
    ------
    ElementError
        The data set is irregular, or damaged, or the data end before such a tag.
    """
    places, elements = _parse(data, encoding, stops=stops, expected=_latest.get((encoding, stops), ()))
    _latest[encoding, stops] = tuple(elements.items())
    if not places or not stands_in_data_sets(places[0][0]) or places[-1][2] == len(data):
        raise ElementError(0, "the elements that are looked for do not follow")
    return data_set(elements, data, implicit_vr=encoding.implicit), places[-1][2]


def _parse(
    data: bytes,
    encoding: Encoding,
    encapsulated: bool = False,
    like: Iterable[Elements] = (),
    longest: float = math.inf,
    stops: Container[int] = (),
    expected: Iterable[tuple[int, Known]] = (),
) -> tuple[list[Place], dict[int, Known]]:
    """Return ascending elements of any groups, up to one of the tags ``stops``.

    Values of more than ``longest`` bytes are left in the data. Elements that are ``expected`` in this order are tried
    first.
    """
    known = _known.setdefault(encoding, {})
    if len(known) > _TAGS:
        known.clear()
    places, elements = [], {}
    at, stop, last = 0, len(data), -1
    tag_at, starts_with = struct.Struct("<HH").unpack_from, data.startswith
    expected = iter(expected)
    tag, element = next(expected, _NONE)
    while at < stop:
        encoded = element.encoded
        if encoded and tag > last and starts_with(encoded, at):  # as in the file before: most elements are
            end = at + len(encoded)
            places.append((tag, at, end))
            elements[tag] = element
            at, last = end, tag
            tag, element = next(expected, _NONE)
            continue
        try:
            group, number = tag_at(data, at)
        except struct.error:
            raise ElementError(at, "the data end inside an element") from None
        here = group << 16 | number
        if here <= last:
            raise ElementError(at, "stands out of order")
        if here in stops:
            break
        last = here
        variants = known.get(here, ())
        others = [of_file[here] for of_file in like if here in of_file]
        for found in (*others, *variants) if others else variants:
            if found.encoded and starts_with(found.encoded, at):
                end = at + len(found.encoded)
                break
        else:
            found, end = _element(data, at, encoding, encapsulated, longest)
            if found.encoded:
                known[here] = [found, *variants[: _VARIANTS - 1]]
        places.append((last, at, end))
        elements[last] = found
        at = end
        while tag <= last:
            tag, element = next(expected, _NONE)
    return places, elements


def _element(data: bytes, at: int, encoding: Encoding, encapsulated: bool, longest: float) -> tuple[Known, int]:
    """Return the element at an offset, and the offset behind it."""
    head = read_head(data, at, encoding)
    tag, _, _, start, length = head
    vr = head.vr.decode() or None
    is_pixel_data = tag == tags.PIXEL_DATA
    if is_pixel_data and (length == UNDEFINED_LENGTH) != encapsulated:
        raise ElementError(at, "pixel data are not as the transfer syntax says")
    if length == UNDEFINED_LENGTH:
        if not is_pixel_data and vr is None:  # as pydicom does where no VR stands
            vr = "SQ" if not dictionary_has_tag(tag) else dictionary_VR(tag)
        if vr != "SQ" and not (is_pixel_data and encapsulated):
            raise ElementError(at, "has no length")
        end = _check_items(data, head, len(data), encoding, fragments=is_pixel_data)
        value_end = end - _DELIMITER_BYTES
    else:
        end = value_end = start + length
        if end > len(data):
            raise ElementError(at, "it ends behind what it stands in")
        if vr == "SQ":
            _check_items(data, head, end, encoding)
    size = value_end - start
    value = None if size > longest else data[start:value_end] if size else _empty(vr)
    element = Known(_base_tag(tag), vr, length, value, start, encoding.implicit, True)
    if end - at <= _KNOWN_BYTES and _is_decoded_alike(tag, vr):
        element.encoded, element.decoded = data[at:end], {}
    return element, end


def _is_decoded_alike(tag: int, vr: str | None) -> bool:
    """Return whether pydicom decodes an element without regard to others, but those of the context of a data set."""
    if vr is None and dictionary_has_tag(tag):
        vr = dictionary_VR(tag)
    return vr not in (None, "UN") and " or " not in str(vr)


def _check_items(data: bytes, sequence: Head, stop: int, encoding: Encoding, *, fragments: bool = False) -> int:
    """Return the offset behind the items of a sequence, or the fragments of pixels, which must fit into each other."""
    delimited = sequence.length == UNDEFINED_LENGTH
    walk = Walk(data, sequence.value, stop, encoding, items=True, delimited=delimited)
    nested = [False]
    """By depth, whether pixels are around: fragments hold no elements."""
    for head in walk:
        if walk.at_delimiter or fragments:
            continue
        depth = walk.depth
        if depth % 2:
            if len(nested) <= depth or not nested[depth - 1]:
                walk.enter()
            continue
        del nested[depth:]
        nested += [False] * (depth - len(nested)) + [head.tag == tags.PIXEL_DATA]
        vr = head.vr.decode() or (dictionary_VR(head.tag) if dictionary_has_tag(head.tag) else "")
        if head.length == UNDEFINED_LENGTH or vr == "SQ":
            walk.enter()
    return walk.end


class Mapped(mmap.mmap):
    """A file mapped into memory: pydicom asks for the position before every element, which is slow of a file."""

    file: FileIO

    def behind(self, start: int) -> bytes:
        """Return what stands behind an offset, without the pages of the map, which would double the memory."""
        self.file.seek(start)
        return self.file.readall()


@contextmanager
def mapped(path: Path) -> Iterator[Mapped]:
    """Map a file."""
    with path.open("rb", buffering=0) as file, Mapped(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        content.file = file
        yield content


@cache
def _base_tag(tag: int) -> BaseTag:
    """Return pydicom's own object for a tag, one for all elements."""
    return BaseTag(tag)


@cache
def _empty(vr: str | None) -> bytes | None:
    """Return the value of an empty element as pydicom has it."""
    return cast("bytes | None", empty_value_for_VR(vr, raw=True))


def data_set(
    elements: Elements, data: bytes, *, implicit_vr: bool, beginning: bytes = b"", pixels: bool = True
) -> KnownDataset:
    """Return the data set of a file as pydicom reads it; its elements are decoded in place, one by one.

    Parameters
    ----------
    elements
        By tag, from :func:`parse`.
    data
        The encoded elements.
    implicit_vr
        How they are encoded.
    beginning
        The file up to them: preamble, prefix and File Meta Information; empty for a data set without.
    pixels
        Whether the value of Pixel Data is wanted, if it is long.

    Raises
    ------
    ElementError
        File Meta Information is irregular.
    """
    elements = {
        tag: element._replace(value=value_of(element, data))  # type: ignore[arg-type]  # pydicom takes any bytes
        if element.value is None and element.length and (pixels or tag != tags.PIXEL_DATA)
        else element
        for tag, element in elements.items()
    }
    meta = _parse(beginning[_META:], _EXPLICIT)[1] if beginning else {}
    dataset = KnownDataset(
        "",
        cast("Dataset", {element.tag: element for element in elements.values()}),
        preamble=beginning[:_PREAMBLE],
        file_meta=FileMetaDataset(cast("Dataset", {element.tag: element for element in meta.values()})),
        is_implicit_VR=implicit_vr,
        is_little_endian=True,
    )
    dataset.file_meta.set_original_encoding(False, True, default_encoding)
    character_set, sign = elements.get(tags.SPECIFIC_CHARACTER_SET), elements.get(tags.PIXEL_REPRESENTATION)
    dataset._context = (character_set and character_set.value, sign and sign.value, implicit_vr)
    dataset.undecoded = elements
    stated = dataset.get("SpecificCharacterSet")  # decoded as pydicom does it when it reads a file
    encodings = convert_encodings(stated) if character_set is not None else default_encoding
    dataset.set_original_encoding(implicit_vr, True, encodings)
    return dataset


def value_of(element: RawDataElement, data: bytes) -> Bytes:
    """Return the value of an element that was left in the encoded data set; a very long one is not copied."""
    start = element.value_tell
    if element.length != UNDEFINED_LENGTH:
        value = memoryview(data)[start : start + element.length]
        return value if element.length > _COPIED_BYTES else bytes(value)
    encoding = Encoding(element.is_implicit_VR, "<")
    walk = Walk(data, start, len(data), encoding, items=True, delimited=True)
    for _ in walk:
        pass
    return data[start : walk.end - _DELIMITER_BYTES]
