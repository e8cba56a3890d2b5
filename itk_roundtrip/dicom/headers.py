"""Headers as bytes: the written file has every element of the source byte for byte, but for declared edits.

A data set is cut into the byte spans of its elements and put together again, so that texts, private data, nested
sequences and their lengths need no decoding. Only sources in Big Endian (retired) are re-encoded, word by word.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pydicom
from pydicom import uid
from pydicom.charset import convert_encodings, default_encoding
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import data_element_generator
from pydicom.values import convert_SQ

from itk_roundtrip import syntaxes, tags
from itk_roundtrip.dicom import spans
from itk_roundtrip.dicom.edits import Appended, Edit, Items, Nested, Removed
from itk_roundtrip.dicom.elements import ElementError, Encoding
from itk_roundtrip.dicom.encoding import (
    ENCAPSULATED_PIXEL_DATA,
    SEQUENCE_DELIMITER,
    UNDEFINED_LENGTH,
    WORD_BYTES,
    swapped,
)
from itk_roundtrip.dicom.native_frames import native_pixels
from itk_roundtrip.dicom.parsing import DEFERRED_BYTES, Bytes, Elements, Mapped, data_set, mapped, parse
from itk_roundtrip.dicom.part10 import Opening, opening
from itk_roundtrip.dicom.regular import (
    IrregularError,
    PixelDataError,
    are_fragments,
    has_unknown_vrs,
    laid_out,
    regularised,
    stands_in_data_sets,
)
from itk_roundtrip.dicom.transcoding import as_explicit, as_implicit
from itk_roundtrip.dicom.values import frame_count
from itk_roundtrip.errors import SeriesReadError
from itk_roundtrip.rules import ENCAPSULATION_TAGS, is_group_length
from itk_roundtrip.tags import tag_text

_PREAMBLE = bytes(128) + b"DICM"
_IMPLEMENTATION_VERSION_NAME = f"PYDICOM {pydicom.__version__}".encode()[:16]


@dataclass(frozen=True)
class Header:
    """The data set of a file, in Little Endian.

    Attributes
    ----------
    transfer_syntax_uid
        Transfer syntax that the file is really in.
    implicit_vr
        Whether ``data`` is in Implicit VR.
    data
        The encoded data set, converted from Big Endian and inflated.
    spans
        Tag, start and end in ``data`` of each element of the top level, in the order of the file.
    elements
        The same elements undecoded, as pydicom reads them, by tag; values longer than :data:`DEFERRED_BYTES` are left
        in ``data``.
    """

    transfer_syntax_uid: str
    implicit_vr: bool
    data: bytes
    spans: tuple[tuple[int, int, int], ...]
    elements: Mapping[int, DataElement | RawDataElement]
    unpacked: bool = False
    """Pixel Data were fragments of native frames, and are in Native Format in ``data``."""
    mended: bool = False
    """The data set in the file is irregular, or its Basic Offset Table is wrong; ``data`` is regular."""
    verbatim: Mapping[int, bytes] = field(default_factory=dict)
    """Elements of the top level as they stand in the file, where ``data`` has them in another form."""
    regular: bool = False
    """Nothing about the data set is irregular, and ``elements`` are :class:`itk_roundtrip.dicom.parsing.Known`."""
    beginning: bytes = b""
    """The file up to its data set, where that stands in the file as it does in ``data``; else empty."""

    @cached_property
    def values(self) -> Dataset:
        """The elements as a pydicom data set, which decodes each when it is asked for."""
        if self.regular:
            return data_set(cast(Elements, self.elements), self.data, implicit_vr=self.implicit_vr, pixels=False)
        values = Dataset(
            {
                element.tag: element
                if not isinstance(element, RawDataElement) or tag == tags.PIXEL_DATA
                else element._replace(value=self.raw(tag))
                for tag, element in self.elements.items()
            }
        )
        encodings = convert_encodings(values.get("SpecificCharacterSet") or default_encoding)
        values.set_original_encoding(self.implicit_vr, True, encodings)
        return values

    def view(self, tag: int) -> memoryview:
        """Return the value of an element of the top level, which may be long, without copying it; empty if absent."""
        element = self.elements.get(tag)
        if isinstance(element, RawDataElement) and element.value is None and element.length != UNDEFINED_LENGTH:
            return memoryview(self.data)[element.value_tell : element.value_tell + element.length]
        return memoryview(self.raw(tag) or b"")

    def raw(self, tag: int) -> bytes | None:
        """Return the value bytes of an element of the top level; ``None`` if absent or a parsed sequence."""
        element = self.elements.get(tag)
        if not isinstance(element, RawDataElement):
            return None
        if element.value is None and element.length != UNDEFINED_LENGTH:
            return self.data[element.value_tell : element.value_tell + element.length]
        if element.value is None:
            end = next(stop for other, _, stop in self.spans if other == tag)
            return self.data[element.value_tell : end - len(SEQUENCE_DELIMITER)]
        return element.value or b""

    @property
    def known(self) -> tuple[Elements, ...]:
        """The elements, for headers that are alike."""
        return (cast(Elements, self.elements),) if self.regular else ()

    @cached_property
    def encapsulated(self) -> bool:
        """Whether Pixel Data is compressed."""
        return syntaxes.is_encapsulated(self.transfer_syntax_uid) and not self.unpacked

    def dataset(self) -> FileDataset | None:
        """Return a data set of the file as pydicom reads it, undecoded; ``None`` where the file holds another one.

        Whoever gets it may decode it in place: each call returns a new one.
        """
        if not self.beginning or not self.regular:
            return None
        try:
            return data_set(
                cast(Elements, self.elements), self.data, implicit_vr=self.implicit_vr, beginning=self.beginning
            )
        except ElementError:
            return None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the encoded data set, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def transfer_syntax_of_data(self) -> str:
        """The transfer syntax of ``data``: that of the file unless it was big-endian, deflated or unpacked."""
        return self.transfer_syntax_uid if self.encapsulated else self.output_transfer_syntax_uid

    @property
    def output_transfer_syntax_uid(self) -> str:
        """Transfer syntax of a file with native pixels: Implicit or Explicit VR Little Endian, as ``data`` is."""
        return str(uid.ImplicitVRLittleEndian if self.implicit_vr else uid.ExplicitVRLittleEndian)


def read_header(path: Path, name: str | None = None, *, like: Header | None = None) -> Header:
    """Read the whole data set of a DICOM file (PS3.10).

    Parameters
    ----------
    path
        The file.
    name
        What messages call it; its own name if not given.
    like
        Header that may have many elements in common, which are taken from it.

    Raises
    ------
    SeriesReadError
        The file is no DICOM file, is truncated, or is not encoded as its transfer syntax says.
    """
    name = name or path.name
    try:
        with mapped(path) as content:
            return _parse(content, opening(content), name, like.known if like is not None else ())
    except SeriesReadError:
        raise
    except Exception as error:  # whatever pydicom meets in a damaged file
        if isinstance(error, OSError) and error.errno is not None:  # the system's, not pydicom's
            raise SeriesReadError(f"{name} cannot be read: {error.strerror}.", path=name) from None
        raise SeriesReadError(f"{name} is damaged: its elements cannot be parsed.", path=name) from None


def _parse(content: Mapped, begins: Opening, name: str, like: Iterable[Elements]) -> Header:
    syntax = begins.transfer_syntax_uid
    if not syntaxes.is_known(syntax):
        raise SeriesReadError(f"{name} has no transfer syntax that is known.", path=name, tag="(0002,0010)")
    data = content.behind(begins.start)
    if begins.deflated:
        data = zlib.decompress(data, -zlib.MAX_WBITS)
    try:
        if not begins.little_endian and _is_irregular(data, begins):
            return _parse_irregular(data, begins, name)
        header = _parse_data(data, begins, name, like)
        if header.regular or header.implicit_vr or not has_unknown_vrs(header.elements, header.data):
            is_as_read = header.data is data and not begins.deflated and not begins.note
            return replace(header, beginning=content[: begins.start]) if is_as_read else header
    except Exception as error:  # whatever pydicom meets in irregular bytes
        try:
            return _parse_irregular(data, begins, name)
        except PixelDataError as damage:
            raise SeriesReadError(f"{name} {damage}", path=name, tag="(7FE0,0010)") from None
        except IrregularError:
            raise error from None
    try:
        return _parse_irregular(data, begins, name)
    except IrregularError:
        raise SeriesReadError(f"{name} is not encoded as its transfer syntax says.", path=name) from None


def _is_irregular(data: bytes, begins: Opening) -> bool:
    """Tell whether elements in Big Endian have unknown VRs, at any depth: which words to swap is then unknown."""
    elements = data_element_generator(BytesIO(data), begins.implicit, begins.little_endian)
    return has_unknown_vrs({element.tag: element for element in elements})


def _parse_irregular(data: bytes, begins: Opening, name: str) -> Header:
    """Parse the regular data set that irregular bytes stand for.

    Its irregular elements of the top level are kept verbatim where the encoding is too.
    """
    found = regularised(begins, data)
    header = _parse_data(found.data, begins, name)
    verbatim = found.verbatim if begins.little_endian and header.implicit_vr == begins.implicit else {}
    return replace(header, mended=True, verbatim=verbatim)


def _parse_data(data: bytes, begins: Opening, name: str, like: Iterable[Elements] = ()) -> Header:
    syntax = begins.transfer_syntax_uid
    if not begins.little_endian:
        data = _little_endian(_elements(data, name, implicit_vr=False, little_endian=False))
    implicit_vr = begins.implicit
    if implicit_vr and syntaxes.is_encapsulated(syntax):  # compressed pixels are in Explicit VR only (PS3.5 A.4)
        data, implicit_vr = _as_explicit(_header(data, syntax, True, name), name), False
    header = _header(data, syntax, implicit_vr, name, like)
    return _in_native_format(_with_offset_table(header, name), name) if syntaxes.is_encapsulated(syntax) else header


def _with_offset_table(header: Header, name: str) -> Header:
    """Return a header whose Basic Offset Table is right or empty, unless its frames cannot be told apart."""
    value = header.raw(tags.PIXEL_DATA)
    if value is None:
        return header
    if not are_fragments(value):  # pydicom looks for their end, whatever stands before it
        raise SeriesReadError(
            f"{name} is damaged: its pixel data hold something else than fragments.", path=name, tag="(7FE0,0010)"
        )
    if header.raw(tags.EXTENDED_OFFSET_TABLE):
        return header
    mended = laid_out(value, frame_count(header.raw(tags.NUMBER_OF_FRAMES)))
    if mended == value:
        return header
    parts = [
        ENCAPSULATED_PIXEL_DATA + mended + SEQUENCE_DELIMITER if tag == tags.PIXEL_DATA else header.data[start:stop]
        for tag, start, stop in header.spans
    ]
    return replace(_header(b"".join(parts), header.transfer_syntax_uid, False, name), mended=True)


def _in_native_format(header: Header, name: str) -> Header:
    """Return a header with Pixel Data in Native Format, if its fragments hold native frames.

    Not where a sequence holds encapsulated pixels, such as an icon: a file in Native Format cannot hold those.
    """
    rows, columns, samples, allocated = (
        int.from_bytes((header.raw(tag) or b"")[:2], "little")
        for tag in (tags.ROWS, tags.COLUMNS, tags.SAMPLES_PER_PIXEL, tags.BITS_ALLOCATED)
    )
    if not syntaxes.holds_native_frames(header.transfer_syntax_uid, allocated) or nested_pixels(header):
        return header
    bits = rows * columns * max(1, samples) * allocated
    if (header.raw(tags.PHOTOMETRIC_INTERPRETATION) or b"").strip(b" \0").endswith(b"_422"):
        bits = bits * 2 // 3  # chroma of half the horizontal resolution
    frames = header.values.get("NumberOfFrames") or 1
    tables = header.raw(tags.EXTENDED_OFFSET_TABLE), header.raw(tags.EXTENDED_OFFSET_TABLE_LENGTHS)
    try:
        value = native_pixels(header.transfer_syntax_uid, header.raw(tags.PIXEL_DATA) or b"", int(frames), bits, tables)
    except ValueError:
        raise SeriesReadError(
            f"{name} is damaged: its fragments do not hold the frames that its header describes.",
            path=name,
            tag="(7FE0,0010)",
        ) from None
    parts = {tag: header.data[start:stop] for tag, start, stop in header.spans if tag not in ENCAPSULATION_TAGS}
    parts[tags.PIXEL_DATA] = spans.encode(tags.PIXEL_DATA, "OW" if allocated > 8 else "OB", value, implicit_vr=False)
    native = _header(b"".join(parts.values()), str(uid.ExplicitVRLittleEndian), False, name)
    return replace(native, transfer_syntax_uid=header.transfer_syntax_uid, unpacked=True)


def _header(data: bytes, syntax: str, implicit_vr: bool, name: str, like: Iterable[Elements] = ()) -> Header:
    """Return the header of a data set in Little Endian, without elements that may not stand in a data set."""
    encapsulated = syntaxes.is_encapsulated(syntax)
    with suppress(ElementError):
        spans_of, known = parse(data, Encoding(implicit_vr, "<"), encapsulated=encapsulated, like=like)
        return Header(syntax, implicit_vr, data, tuple(spans_of), known, regular=True)
    places: list[tuple[int, int, int]] = []
    elements: dict[int, DataElement | RawDataElement] = {}
    start = 0
    stream = BytesIO(data)
    for element in _elements(stream, name, implicit_vr=implicit_vr, little_endian=True, encapsulated=encapsulated):
        stop, tag = stream.tell(), int(element.tag)
        if not stands_in_data_sets(tag):
            start = stop
            continue
        if tag >> 16 == tags.ITEM >> 16:
            raise SeriesReadError(f"{name} is damaged: an item or a delimiter stands for an element.", path=name)
        if tag in elements:
            raise SeriesReadError(f"{name} is damaged: it holds {tag_text(tag)} twice.", path=name, tag=tag_text(tag))
        places.append((tag, start, stop))
        elements[tag] = element
        start = stop
    return Header(syntax, implicit_vr, data, tuple(places), elements)


def transcoded(source: Header, *, implicit_vr: bool, name: str) -> Header:
    """Return a header in Implicit or Explicit VR; compressed pixels are left out on the way to Implicit VR.

    Raises
    ------
    SeriesReadError
        A sequence in it is damaged.
    """
    if source.implicit_vr == implicit_vr:
        return source
    try:
        data = as_implicit(source.data) if implicit_vr else _as_explicit(source, name)
    except ValueError:
        raise _damaged_sequence(name) from None
    syntax = source.transfer_syntax_uid if source.encapsulated else source.output_transfer_syntax_uid
    return replace(_header(data, syntax, implicit_vr, name), transfer_syntax_uid=source.transfer_syntax_uid,
                   unpacked=source.unpacked)  # fmt: skip


def _as_explicit(source: Header, name: str) -> bytes:
    values = (
        int.from_bytes((source.raw(tag) or b"")[:2], "little")
        for tag in (tags.PIXEL_REPRESENTATION, tags.BITS_ALLOCATED)
    )
    try:
        return as_explicit(source.data, signed=next(values) == 1, bits_allocated=next(values))
    except ValueError:
        raise _damaged_sequence(name) from None


def _damaged_sequence(name: str) -> SeriesReadError:
    return SeriesReadError(f"{name} is damaged: a sequence in it holds no items.", path=name)


def _elements(
    data: bytes | BytesIO, name: str, *, implicit_vr: bool, little_endian: bool, encapsulated: bool = False
) -> Iterator[DataElement | RawDataElement]:
    """Yield the elements of an encoded data set; refuse it if it is truncated or in another encoding."""
    stream = BytesIO(data) if isinstance(data, bytes) else data
    content = stream.getbuffer()
    defer = DEFERRED_BYTES if little_endian else None
    for element in data_element_generator(stream, implicit_vr, little_endian, defer_size=defer):
        if element.tag == 0 and not any(content[stream.tell() :]):
            return  # the file is filled up with zeros, which are no elements
        if isinstance(element, RawDataElement):
            if element.tag == tags.PIXEL_DATA and (element.length == UNDEFINED_LENGTH) != encapsulated:
                raise SeriesReadError(
                    f"{name} is damaged: its pixel data are {'not ' * encapsulated}compressed, and its transfer syntax"
                    " says otherwise.",
                    path=name,
                    tag="(7FE0,0010)",
                )
            if element.length != UNDEFINED_LENGTH and element.value_tell + element.length > len(content):
                raise SeriesReadError(f"{name} is truncated: it ends inside an element.", path=name)
            if not implicit_vr and (element.VR is None or element.is_implicit_VR != implicit_vr):
                raise SeriesReadError(f"{name} is not encoded as its transfer syntax says.", path=name)
        yield element
    if stream.tell() != len(content):
        raise SeriesReadError(f"{name} is damaged: something follows its last element.", path=name)


def _little_endian(elements: Iterator[DataElement | RawDataElement]) -> bytes:
    """Return elements of Big Endian in Explicit VR Little Endian; of VR UN no words are known, it keeps its bytes."""
    encoded = []
    for element in elements:
        vr = str(element.VR)
        if vr == "SQ":
            items: Any = element.value
            if isinstance(element, RawDataElement):
                items = convert_SQ(element.value or b"", False, False, [default_encoding])
            contents = ((item.get_item(tag) for tag in sorted(item.keys())) for item in items)
            value = b"".join(spans.encode_item(_little_endian(content)) for content in contents)
        else:
            value = swapped(bytes(element.value or b""), WORD_BYTES.get(vr, 1))
        if not is_group_length(int(element.tag)):
            encoded.append(spans.encode(int(element.tag), vr, value, implicit_vr=False))
    return b"".join(encoded)


def nested_pixels(source: Header) -> int:
    """Return the tag of a sequence with encapsulated pixels inside, such as an icon; 0 if there is none.

    A file in Native Format cannot hold them.
    """
    for tag, start, stop in source.spans if source.encapsulated else ():
        if tag != tags.PIXEL_DATA and ENCAPSULATED_PIXEL_DATA in source.data[start:stop]:
            return tag
    return 0


def complete(
    source: Header,
    edits: Mapping[int, Edit | Items | Appended | Nested | Removed],
    pixel_data: PixelData | None,
    name: str,
) -> list[Bytes]:
    """Return a whole file in parts: elements of the source, edits in their places, and pixels.

    Parameters
    ----------
    source
        Header of the source instance.
    edits
        By tag; every other element of the source is kept as it stands.
    pixel_data
        In place of Pixel Data (7FE0,0010); ``None`` keeps what the source holds, in its transfer syntax.
    name
        What messages call the source.

    Raises
    ------
    SeriesReadError
        A sequence to be edited is damaged.
    """
    implicit_vr, syntax = source.implicit_vr, source.transfer_syntax_of_data
    if pixel_data is not None:
        syntax = pixel_data.transfer_syntax_uid or source.output_transfer_syntax_uid
    parts: dict[int, Bytes] = {}
    data = memoryview(source.data)
    for tag, start, stop in source.spans:
        edit = edits.get(tag)
        if isinstance(edit, Appended | Nested):
            try:
                parts[tag] = spans.edited_element(source.data, start, stop, edit, implicit_vr=implicit_vr)
            except ValueError:
                raise SeriesReadError(
                    f"{name}: {keyword_for_tag(tag)} {tag_text(tag)} is no sequence, so that nothing can be added to"
                    " it; a copy keeps it as it stands.",
                    path=name,
                    tag=tag_text(tag),
                ) from None
        elif edit is None and not is_group_length(tag):
            parts[tag] = source.verbatim.get(tag) or data[start:stop]
    if pixel_data is not None:
        for tag in ENCAPSULATION_TAGS if source.encapsulated else ():
            parts.pop(tag, None)
        parts[tags.PIXEL_DATA] = b""
    for tag, edit in edits.items():
        if tag not in parts:
            parts[tag] = spans.new_element(edit, implicit_vr=implicit_vr)
    instance = edits.get(tags.SOP_INSTANCE_UID)
    begin = file_bytes(
        (),
        syntax,
        source.raw(tags.SOP_CLASS_UID),
        instance.value if isinstance(instance, Edit) else source.raw(tags.SOP_INSTANCE_UID),
    )
    result: list[Bytes] = [begin]
    for tag in sorted(parts):
        result += pixel_data.encoded(source) if pixel_data is not None and tag == tags.PIXEL_DATA else [parts[tag]]
    return result


@dataclass(frozen=True)
class PixelData:
    """Pixel Data (7FE0,0010) of a file to be written.

    Attributes
    ----------
    value
        Native little endian, of even length; or the frames, encapsulated, with their Basic Offset Table.
    bits_allocated
        Decides between VR OB and OW where the source was compressed (PS3.5 8.2).
    transfer_syntax_uid
        Of compressed pixels; empty for native ones, which stand in the encoding of the source's header.
    """

    value: Bytes
    bits_allocated: int
    transfer_syntax_uid: str = ""

    def encoded(self, source: Header) -> list[Bytes]:
        """Return the encoded element, in parts."""
        if self.transfer_syntax_uid:
            return [ENCAPSULATED_PIXEL_DATA, self.value, SEQUENCE_DELIMITER]
        element = source.elements.get(tags.PIXEL_DATA)
        vr = str(element.VR) if element is not None else "None"
        allocated = int.from_bytes((source.raw(tags.BITS_ALLOCATED) or b"")[:2], "little")
        if source.encapsulated or vr == "None" or self.bits_allocated != allocated:
            vr = "OW" if self.bits_allocated > 8 else "OB"
        return [spans.head(tags.PIXEL_DATA, vr, len(self.value), implicit_vr=source.implicit_vr), self.value]


def file_bytes(
    parts: Sequence[bytes], transfer_syntax_uid: str, sop_class_uid: bytes | None, sop_instance_uid: bytes | None
) -> bytes:
    """Return a DICOM file (PS3.10 7): preamble, new File Meta Information, and the encoded elements.

    File Meta Information describes the writer of the file, so that nothing of the source's is taken over.
    """
    meta = b"".join(
        spans.encode(tag, vr, spans.padded(value, vr), implicit_vr=False)
        for tag, vr, value in (
            (tags.FILE_META_INFORMATION_VERSION, "OB", b"\0\1"),
            (tags.MEDIA_STORAGE_SOP_CLASS_UID, "UI", (sop_class_uid or b"").strip(b" \0")),
            (tags.MEDIA_STORAGE_SOP_INSTANCE_UID, "UI", (sop_instance_uid or b"").strip(b" \0")),
            (tags.TRANSFER_SYNTAX_UID, "UI", transfer_syntax_uid.encode()),
            (tags.IMPLEMENTATION_CLASS_UID, "UI", uid.PYDICOM_IMPLEMENTATION_UID.encode()),
            (tags.IMPLEMENTATION_VERSION_NAME, "SH", _IMPLEMENTATION_VERSION_NAME),
        )
        if value
    )
    length = spans.encode(
        tags.FILE_META_INFORMATION_GROUP_LENGTH, "UL", struct.pack("<L", len(meta)), implicit_vr=False
    )
    return b"".join([_PREAMBLE, length, meta, *parts])


_NEVER_COMPARED = frozenset({tags.PIXEL_DATA, *ENCAPSULATION_TAGS})


@dataclass(frozen=True)
class Losses:
    """Tags of the top level that ITK lost, altered or invented in a header; pixels and group 0002 are not compared."""

    lost: frozenset[int]
    altered: frozenset[int]
    invented: frozenset[int]


def compare_with_itk(source: Header, written_by_itk: Header, edited: frozenset[int]) -> Losses:
    """Return what ITK lost, altered or invented of a header, ``edited`` attributes apart.

    An attribute is altered if its value bytes differ; VRs are not compared, as ITK writes Implicit VR.
    """
    ignored = edited | _NEVER_COMPARED
    ours, theirs = source.elements, written_by_itk.elements
    return Losses(
        lost=frozenset(tag for tag in ours if tag not in theirs and tag not in ignored and tag & 0xFFFF),
        altered=frozenset(
            tag
            for tag, element in ours.items()
            if tag in theirs
            and theirs[tag] is not element
            and tag not in ignored
            and tag & 0xFFFF
            and source.raw(tag) != written_by_itk.raw(tag)
        ),
        invented=frozenset(tag for tag in theirs if tag not in ours and tag not in ignored and tag & 0xFFFF),
    )
