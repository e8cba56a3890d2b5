"""Checks of a written file as a file: File Meta Information, structure, length and VR of the pixel data."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom import uid
from pydicom.dataelem import RawDataElement

from itk_roundtrip import syntaxes, tags
from itk_roundtrip.dicom.values import elements, raw, text
from itk_roundtrip.rules import is_group_length
from itk_roundtrip.verify.findings import Finding
from itk_roundtrip.verify.pair import Pair
from itk_roundtrip.verify.registry import check, reports

_TOOLKITS = ("1.2.826.0.1.3680043.8.498.", "1.2.826.0.1.3680043.2.1143.", "1.2.276.0.7230010.3.0.")
"""Roots of the Implementation Class UIDs of pydicom, GDCM and dcmtk, which source and written file may share."""


@check(
    "FIL-01",
    "files can be read whole and agree with themselves",
    reason="readers disagree on a file that contradicts itself, or cannot read it at all",
    section="PS3.10 7.1; PS3.5 7, 8",
)
def file_meta_agrees(pair: Pair) -> Iterator[Finding]:
    """Check that File Meta Information is complete and names the instance that follows (PS3.10 7.1)."""
    meta, source_meta = pair.written.file_meta, pair.source.file_meta
    for meta_tag, tag in (
        (tags.MEDIA_STORAGE_SOP_CLASS_UID, tags.SOP_CLASS_UID),
        (tags.MEDIA_STORAGE_SOP_INSTANCE_UID, tags.SOP_INSTANCE_UID),
    ):
        if text(meta, meta_tag) != text(pair.written, tag):
            same = text(source_meta, meta_tag) == text(meta, meta_tag) and tag not in pair.differing
            yield pair.finding("FIL-01", meta_tag, "differs from the data set", inherited=same)
    version = raw(meta, tags.FILE_META_INFORMATION_VERSION)
    if version not in (b"", b"\0\1"):
        same = raw(source_meta, tags.FILE_META_INFORMATION_VERSION) == version and not pair.derived
        yield pair.finding("FIL-01", tags.FILE_META_INFORMATION_VERSION, "another version than 1", inherited=same)
    for meta_tag in (tags.FILE_META_INFORMATION_VERSION, tags.TRANSFER_SYNTAX_UID, tags.IMPLEMENTATION_CLASS_UID):
        if not raw(meta, meta_tag):
            same = not raw(source_meta, meta_tag) and not pair.derived
            yield pair.finding("FIL-01", meta_tag, "is missing in the file meta information", inherited=same)


@reports("FIL-01")
def transfer_syntax(pair: Pair) -> Iterator[Finding]:
    """Check that the transfer syntax is a known one, and that the data set is encoded in it (PS3.5 10)."""
    syntax = text(pair.written.file_meta, tags.TRANSFER_SYNTAX_UID)
    same = text(pair.source.file_meta, tags.TRANSFER_SYNTAX_UID) == syntax
    if syntax and not syntaxes.is_known(syntax):
        inherited = same and not pair.derived
        message = "is no transfer syntax that is known"
        yield pair.finding("FIL-01", tags.TRANSFER_SYNTAX_UID, message, inherited=inherited)
    elif syntax and pair.written.original_encoding[0] != (syntax == uid.ImplicitVRLittleEndian):
        inherited = same and pair.source.original_encoding == pair.written.original_encoding
        message = "the data set is not encoded as it says"
        yield pair.finding("FIL-01", tags.TRANSFER_SYNTAX_UID, message, inherited=inherited)


@reports("FIL-01")
def structure(pair: Pair) -> Iterator[Finding]:
    """Check that elements, items and lengths fit into each other, byte by byte (PS3.5 7)."""
    for inherited, problems in ((False, pair.new_problems), (True, pair.inherited_problems)):
        for problem_tag, message in sorted(problems, key=str):
            yield pair.finding("FIL-01", problem_tag or None, message, inherited=inherited)


@reports("FIL-01")
def pixel_data_length(pair: Pair) -> Iterator[Finding]:
    """Check that pixel data are there, and uncompressed ones of the length that rows and columns make (PS3.5 8.1.1)."""
    source, written = pair.source_pixels, pair.written_pixels
    if source.tag and not written.tag:
        yield pair.finding("FIL-01", tags.PIXEL_DATA, "holds no pixel data")
    elif written.tag == tags.PIXEL_DATA and not written.encapsulated:
        length, expected = len(written.value), written.expected_length
        identical = pair.pixel_difference.identical_value
        if length < expected - expected % 2 or length % 2:
            same = identical or (source.native and source.value == written.value)
            message = "pixel data of another length than rows and columns say"
            yield pair.finding("FIL-01", tags.PIXEL_DATA, message, inherited=same)
        elif length > expected:
            same = identical or (not source.encapsulated and len(source.value) == length)
            message = "pixel data longer than rows and columns say"
            yield pair.finding("FIL-01", tags.PIXEL_DATA, message, inherited=same)


@reports("FIL-01")
def pixel_data_vr(pair: Pair) -> Iterator[Finding]:
    """Check that uncompressed pixel words of more than 8 bits have VR OW (PS3.5 8.1.2)."""
    source, written = pair.source_pixels, pair.written_pixels
    if written.tag != tags.PIXEL_DATA or written.encapsulated or written.bits_allocated <= 8:
        return
    element = pair.written.get_item(tags.PIXEL_DATA)
    vr = element.VR if isinstance(element, RawDataElement) else None
    if vr not in (None, "OW"):
        source_element = pair.source.get_item(tags.PIXEL_DATA) if source.tag else None
        same = isinstance(source_element, RawDataElement) and vr == source_element.VR and not source.encapsulated
        message = "pixel words of more than 8 bits whose VR is not OW"
        yield pair.finding("FIL-01", tags.PIXEL_DATA, message, inherited=same)


@check(
    "FIL-02",
    "file meta information and group lengths are the writer's own",
    reason="who looks for the maker of a faulty file must not be sent to that of its source",
    section="PS3.10 7.1, 7.2; PS3.5 7.2",
    severity="warning",
)
def file_meta_is_new(pair: Pair) -> Iterator[Finding]:
    """Check that preamble, File Meta Information and group lengths are not those of the source (PS3.10 7.1).

    Of a copy, only the transfer syntax is checked.
    """
    source, written, meta = pair.source, pair.written, pair.written.file_meta
    if pair.written_pixels.syntax == uid.ExplicitVRBigEndian:
        same = pair.source_pixels.syntax == uid.ExplicitVRBigEndian
        yield pair.finding("FIL-02", tags.TRANSFER_SYNTAX_UID, "a retired transfer syntax", inherited=same)
    if not pair.derived:
        return
    if any(written.preamble or b""):
        same = written.preamble == source.preamble
        yield pair.finding("FIL-02", None, "the preamble is not empty", inherited=same)
    source_tags = elements(source).keys()
    for tag in elements(written):
        if is_group_length(tag):
            yield pair.finding("FIL-02", tag, "a retired group length", inherited=tag in source_tags)
    for meta_tag in (tags.PRIVATE_INFORMATION_CREATOR_UID, tags.PRIVATE_INFORMATION):
        if meta_tag in meta:
            yield pair.finding("FIL-02", meta_tag, "private information beside the data set")
    implementation = text(meta, tags.IMPLEMENTATION_CLASS_UID)
    same = implementation == text(source.file_meta, tags.IMPLEMENTATION_CLASS_UID)
    if implementation and same and not implementation.startswith(_TOOLKITS):
        yield pair.finding("FIL-02", tags.IMPLEMENTATION_CLASS_UID, "names the writer of the source")
