"""Validation of the structure of a DICOM file, byte by byte (PS3.5 7, PS3.10 7.1), which lenient readers do without."""

from __future__ import annotations

import struct
import zlib

from pydicom import uid
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset

from itk_roundtrip import syntaxes, tags
from itk_roundtrip.dicom.elements import Buffer, ElementError, Encoding, Walk, read_head
from itk_roundtrip.dicom.encoding import UNDEFINED_LENGTH
from itk_roundtrip.dicom.parsing import KnownDataset
from itk_roundtrip.dicom.part10 import Opening, opening
from itk_roundtrip.dicom.regular import NO_SUCH_VR, Problem, regular

_START = 132
"""Length of preamble and prefix DICM (PS3.10 7.1)."""


def problems(content: Buffer, dataset: Dataset | None = None) -> set[Problem]:
    """Return the problems of a file: no proper start, elements twice or out of order, lengths that do not fit.

    Parameters
    ----------
    content
        The file.
    dataset
        As it was read from it; what is known of its elements is not looked for again.
    """
    if isinstance(dataset, KnownDataset):
        return _problems_of_known(content, dataset)
    begins = opening(content)
    return _problems(content, begins) | ({(None, begins.note)} if begins.note else set())


def _problems_of_known(content: Buffer, dataset: KnownDataset) -> set[Problem]:
    """Return the problems of a file that could be parsed: its elements ascend, and fit into each other."""
    noted: set[Problem] = set()
    begin, _ = _check_meta(content, noted)
    encoding = Encoding(bool(dataset.original_encoding[0]), "<")
    for (_, start, stop), element in zip(dataset.places, dataset.undecoded.values(), strict=True):
        if element.problems is None:
            of_element: set[Problem] = set()
            _judge(content, begin + start, encoding, of_element, begin + stop)
            noted |= of_element
            if element.encoded:
                element.problems = frozenset(of_element)
        else:
            noted |= element.problems
    return noted


def _problems(content: Buffer, begins: Opening) -> set[Problem]:
    """Return the problems of File Meta Information and of the data set."""
    noted: set[Problem] = set()
    try:
        start, syntax = _opened(content, begins, noted)
        if not syntaxes.is_known(syntax):
            return noted
        if syntaxes.is_deflated(syntax):
            content, start = zlib.decompress(content[start:], -zlib.MAX_WBITS), 0
        order = ">" if syntax == uid.ExplicitVRBigEndian else "<"
        implicit = syntax == uid.ImplicitVRLittleEndian
        try:
            strict: set[Problem] = set()
            _judge(content, start, Encoding(implicit, order), strict)
        except ElementError:
            mended = regular(content, start, implicit=implicit, little_endian=order == "<",
                             encapsulated=syntaxes.is_encapsulated(syntax))  # fmt: skip
            strict = set(mended.problems)
            _judge(mended.data, 0, Encoding(implicit, order), strict)
        noted |= strict
    except (struct.error, ValueError, zlib.error):
        noted.add((None, "a length does not fit what it is the length of"))
    return noted


def _opened(content: Buffer, begins: Opening, noted: set[Problem]) -> tuple[int, str]:
    """Return where the data set starts, and its actual transfer syntax, which the file may not state."""
    if begins.prefix and begins.odd_meta:
        noted.add((tags.FILE_META_INFORMATION_GROUP_LENGTH, NO_SUCH_VR))
        return begins.start, begins.transfer_syntax_uid
    start, claimed = _check_meta(content, noted)
    if begins.prefix and begins.start == start:
        return start, begins.transfer_syntax_uid
    return start, claimed.decode("ascii", "replace")


def _check_meta(content: Buffer, noted: set[Problem]) -> tuple[int, bytes]:
    """Return where the data set starts, and Transfer Syntax UID; note it if the group length says another start."""
    start, stated, claimed = _START, None, None
    while struct.unpack_from("<H", content, start)[0] == 2:
        element = read_head(content, start, Encoding(False, "<"), unknown_vr="long")
        start = element.value + element.length
        if element.tag == tags.FILE_META_INFORMATION_GROUP_LENGTH and element.length == 4:
            stated = start + struct.unpack_from("<L", content, element.value)[0]
        elif element.tag == tags.TRANSFER_SYNTAX_UID and claimed is None:
            claimed = content[element.value : start].strip(b" \0")
    if stated != start:
        noted.add((tags.FILE_META_INFORMATION_GROUP_LENGTH, "does not say where File Meta Information ends"))
    return start, claimed or b""


def _judge(data: Buffer, start: int, encoding: Encoding, noted: set[Problem], stop: int | None = None) -> None:
    """Add the problems of encoded elements, up to the end if not told, to ``noted``, by those of the top level."""
    walk = Walk(data, start, len(data) if stop is None else stop, encoding)
    top: int | None = None
    last = [-1]
    """By depth, the tag of the last element or item; -1 at the beginning of an item."""
    for head in walk:
        tag, vr, start, value, length = head
        depth = walk.depth
        if depth == 0:
            top = tag
        if walk.at_delimiter:
            if length:
                noted.add((top, "has a delimiter whose length is not zero"))  # PS3.5 7.5
            continue
        if depth % 2:
            if last[depth - 1] != tags.PIXEL_DATA:
                last[depth:] = [tag, -1]
                walk.enter()
            elif length == UNDEFINED_LENGTH:
                raise ElementError(start, "a fragment has no length")  # PS3.5 A.4
            continue
        if tag <= last[depth]:
            noted.add((top, "stands twice" if tag == last[depth] else "stands out of order"))
        last[depth] = tag
        if value - start == 12 and data[start + 6 : start + 8] != b"\0\0":
            noted.add((top, "has reserved bytes that are not zero"))
        if length == UNDEFINED_LENGTH:
            walk.enter()
        else:
            if length % 2:
                noted.add((top, "has an odd length"))
            if vr == b"SQ" or (not vr and dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ"):
                walk.enter()
