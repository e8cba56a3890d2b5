"""Real series: those of pydicom's wheel, and those of the folder ITK_ROUNDTRIP_CORPUS.

What is in scope is decided here, from the headers and with pydicom alone: such a series must come out exact, and any
other one must be refused for a reason that its headers show.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pydicom
import pydicom.data
import pytest
from conftest import Run, Verify
from pydicom import uid
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from witness import compare

from itk_roundtrip import RoundtripError, SeriesNotFoundError, find_series

WHEEL = Path(pydicom.data.__file__).parent / "test_files"
CORPUS = os.environ.get("ITK_ROUNDTRIP_CORPUS")

Identity = Literal["derived", "copy"]
IDENTITIES: tuple[Identity, ...] = ("derived", "copy")

EXACT_SYNTAXES = frozenset({
    uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian, uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless,
    uid.JPEG2000Lossless, uid.RLELossless, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL,
})  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """One series: the folder to search, its files in there, and its UID, or ``None`` for a single file."""

    folder: Path
    names: tuple[str, ...]
    series: str | None

    def __str__(self) -> str:
        count = f" x{len(self.names)}" if self.series is not None else ""
        return f"{self.folder.name}/{self.names[0]}{count}"

    @property
    def files(self) -> list[Path]:
        """The files of the series."""
        return [self.folder / name for name in self.names]

    def source(self, temporary: Path) -> Path:
        """Return a folder in which this is the only series, or the one of its UID."""
        if self.series is not None:
            return self.folder
        (temporary / "in").mkdir()
        shutil.copy(self.files[0], temporary / "in")
        return temporary / "in"


def _series_of(folder: Path) -> list[Sample]:
    return [
        Sample(folder, tuple(one.name for one in series.instances), series.series_instance_uid)
        for series in find_series(folder)
    ]


def _alone(samples: list[Sample]) -> list[Sample]:
    """Return the files one by one of series that are refused as a series only."""
    return [
        Sample(sample.files[index].parent, (sample.files[index].name,), None)
        for sample in samples
        if len(sample.names) > 1 and any(_of_the_series([_header(file) for file in sample.files]))
        for index in range(len(sample.names))
    ]


def _header(file: Path) -> Dataset:
    return pydicom.dcmread(file, stop_before_pixels=True)


def _in_wheel() -> list[Sample]:
    """List the files in the wheel itself; pydicom could download more, which no test does."""
    files = sorted(path.name for path in WHEEL.iterdir() if path.suffix == ".dcm")
    return [Sample(WHEEL, (name,), None) for name in files] + _series_of(WHEEL / "dicomdirtests")


def _in_corpus() -> list[Sample]:
    folders = sorted(path for path in Path(CORPUS).iterdir() if path.is_dir()) if CORPUS else []
    series = [sample for folder in folders for sample in _series_of(folder)]
    return series + _alone(series)


# --------------------------------------------------------------------------------------------- the scope


@cache
def _of_a_file(file: Path) -> tuple[str, ...]:
    """Return a pattern for each reason to refuse a file."""
    return tuple(_looked_up(file))


def _looked_up(file: Path) -> Iterator[str]:
    try:
        header = pydicom.dcmread(file)
    except InvalidDicomError:
        yield "no DICM prefix"
        return
    syntax = header.file_meta.get("TransferSyntaxUID", "")
    if syntax not in EXACT_SYNTAXES:
        yield "may lose information" if syntax else "transfer syntax that is not known|no transfer syntax"
    if _is_broken(header):
        yield "broken|damaged|truncated"
    if "PixelData" not in header:
        yield "no pixel data|float|double"
        return
    if str(header.get("NumberOfFrames") or 1) not in ("1", "0"):
        yield "multi-frame"
    if "SharedFunctionalGroupsSequence" in header or "PerFrameFunctionalGroupsSequence" in header:
        yield "multi-frame or enhanced"
    if syntax and "Rows" in header:
        yield from _of_the_pixels(header)


def _of_a_derived_instance(file: Path) -> Iterator[str]:
    """Yield a pattern for each reason to derive nothing from a file that can be copied."""
    header = _header(file)
    for keyword, words in (("StudyInstanceUID", "Study Instance UID"), ("SOPClassUID", "SOP Class UID")):
        if not header.get(keyword):
            yield f"has no {words}"


def _is_broken(header: Dataset) -> bool:
    """Tell whether nothing in a file says what it is, or its last element is cut short."""
    if not any(keyword in header for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality")):
        return True
    elements = [header.get_item(tag) for tag in header.keys()]  # noqa: SIM118 - values would be decoded
    return any(
        isinstance(one, RawDataElement) and one.length != 0xFFFFFFFF and one.length > len(one.value or b"")
        for one in elements
    )


def _of_the_pixels(header: Dataset) -> Iterator[str]:
    allocated, stored = header.get("BitsAllocated"), header.get("BitsStored")
    photometric = header.get("PhotometricInterpretation")
    if photometric == "PALETTE COLOR":
        yield "palette"
    elif photometric not in ("MONOCHROME1", "MONOCHROME2"):
        yield f"colour image .{photometric}"
    elif header.get("SamplesPerPixel", 1) != 1:
        yield "samples per pixel"
    if allocated not in (8, 16):
        yield f"has {allocated} bits allocated"
    elif not stored or stored > allocated:
        yield "bits stored"
    elif header.get("HighBit") != stored - 1:
        yield f"High Bit {header.get('HighBit')} with {stored} bits stored"
    if any(header.get_item((group, 0x0100)) and header[group, 0x0100].value > 1 for group in range(0x6000, 0x6020, 2)):
        yield "overlay embedded"
    if header.file_meta.TransferSyntaxUID.is_encapsulated:
        # An icon in the transfer syntax of the file would have to be decoded with it.
        if any(element.keyword == "PixelData" for item in _items(header) for element in item):
            yield "compressed pixels inside a sequence"
    else:
        size = header.Rows * header.Columns * header.get("SamplesPerPixel", 1) * (allocated or 0) // 8
        if len(header.PixelData) < size:
            yield "truncated"


def _items(dataset: Dataset) -> Iterator[Dataset]:
    """Yield all sequence items at any depth."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield item
                yield from _items(item)


def _of_the_series(headers: list[Dataset]) -> Iterator[str]:
    """Yield a pattern for each reason to refuse a series as a whole."""
    instances = Counter(str(header.get("SOPInstanceUID", "")) for header in headers)
    if any(count > 1 for instance, count in instances.items() if instance):
        yield "one SOP Instance UID"
    if len({(header.get("Rows"), header.get("Columns")) for header in headers}) > 1:
        yield "mixed sizes"
    keywords = ("BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation", "SamplesPerPixel")
    if len({tuple(header.get(keyword) for keyword in keywords) for header in headers}) > 1:
        yield "mixed formats"


def _reasons(sample: Sample, identity: Identity) -> dict[str | None, list[str]]:
    """Return what keeps a series out of scope, by file; ``None`` stands for the series as a whole."""
    files = dict(zip(sample.names, sample.files, strict=True))
    found: dict[str | None, list[str]] = {name: list(_of_a_file(file)) for name, file in files.items()}
    if not any("no DICM prefix" in patterns for patterns in found.values()):
        found[None] = list(_of_the_series([_header(file) for file in sample.files]))
        if identity == "derived" and not any(found.values()):
            found.update({name: list(_of_a_derived_instance(file)) for name, file in files.items()})
    return {key: patterns for key, patterns in found.items() if patterns}


# --------------------------------------------------------------------------------------------- the tests


def _unexplained(problems: list[str], files: list[Path], written: list[Path]) -> list[str]:
    """Return what the witness found, but for two things that are right and that it does not know of.

    A source that pydicom wrote bears the same Implementation Class UID as what pydicom writes now; and a source whose
    Pixel Data have an odd length, which no DICOM file may have, gets the missing pad byte.
    """
    excused = set()
    for path in written:
        header = pydicom.dcmread(path)
        for source in (pydicom.dcmread(file) for file in files):
            if source.file_meta.get("ImplementationClassUID") == uid.PYDICOM_IMPLEMENTATION_UID:
                excused.add(f"{path.name}: (0002,0012) ImplementationClassUID is that of the source")
                excused.add(f"{path.name}: (0002,0013) ImplementationVersionName is that of the source")
            if len(source.PixelData) % 2 and header.PixelData == source.PixelData + b"\0":
                excused.add(f"{path.name}: (7FE0,0010) PixelData is not the same bytes")
    return [problem for problem in problems if problem not in excused]


def _check(sample: Sample, identity: Identity, temporary: Path, run: Run, verify: Verify) -> None:
    """Make one round trip; judge what it wrote, or why it was refused."""
    source, destination = sample.source(temporary), temporary / "out"
    before = sorted(temporary.iterdir())
    options: dict[str, Any] = {"identity": identity, "series": sample.series}
    reasons = _reasons(sample, identity)
    if reasons:
        with pytest.raises(RoundtripError) as caught:
            run(source, destination, **options)
        named = [name for name in sample.names if name in str(caught.value)]
        patterns = [*reasons.get(None, ()), *(pattern for name in named for pattern in reasons.get(name, ()))]
        assert named
        assert re.search("|".join(patterns) or "(?!)", str(caught.value)), (str(caught.value), reasons)
        assert sorted(temporary.iterdir()) == before
        return
    result = run(source, destination, **options)
    written = sorted(path for path in destination.rglob("*") if path.is_file())
    problems = compare(sample.files, written, identity)
    if problems:
        problems = _unexplained(problems, sample.files, written)
    assert problems == []
    assert (result.verdict, result.slices) == ("pass", len(sample.names))
    report = verify(source, destination, series=sample.series)
    assert [finding for finding in report.findings if finding.severity != "info"] == []
    assert (report.verdict, report.identity, len(report.pairs)) == ("pass", identity, len(sample.names))
    inherited = [(one.check, one.tag, one.path, one.message) for one in report.findings if one.inherited]
    assert len(inherited) == len(set(inherited))  # each fault of the source is told once


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("sample", _in_wheel(), ids=str)
def test_series_of_pydicom(sample: Sample, identity: Identity, tmp_path: Path, run: Run, verify: Verify) -> None:
    """Files that once broke pydicom, GDCM or dcmtk: each comes out exact, or is refused by name."""
    _check(sample, identity, tmp_path, run, verify)


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("sample", _in_corpus(), ids=str)
def test_series_of_the_corpus(
    sample: Sample, identity: Identity, tmp_path: Path, run: Run, verify: Verify, corpus: Path
) -> None:
    """Series of seven makers, with their private data and habits: exact, or refused by name."""
    assert corpus in sample.files[0].parents
    _check(sample, identity, tmp_path, run, verify)


def _check_itself(sample: Sample, temporary: Path, verify: Verify) -> None:
    """Verify a series of any kind against itself: whatever is odd in it is inherited."""
    for number, file in enumerate(sample.files):
        (temporary / f"{number}_{file.name}").symlink_to(file)
    if not find_series(temporary):  # no DICM prefix, or nothing of a series in it
        with pytest.raises(SeriesNotFoundError, match=re.escape(f"0_{sample.files[0].name}")):
            verify(temporary, temporary)
        return
    report = verify(temporary, temporary)
    assert [finding for finding in report.findings if finding.severity != "info"] == []
    assert (report.verdict, report.identity, len(report.pairs)) == ("pass", "copy", len(sample.names))


@pytest.mark.parametrize("sample", _in_wheel(), ids=str)
def test_series_of_pydicom_is_a_copy_of_itself(sample: Sample, tmp_path: Path, verify: Verify) -> None:
    _check_itself(sample, tmp_path, verify)


@pytest.mark.parametrize("sample", _in_corpus(), ids=str)
def test_series_of_the_corpus_is_a_copy_of_itself(sample: Sample, tmp_path: Path, verify: Verify, corpus: Path) -> None:
    assert corpus in sample.files[0].parents
    _check_itself(sample, tmp_path, verify)


def _accounted(folder: Path) -> None:
    """Check that the search of a folder leaves no file out, and skips none that is an instance."""
    found = find_series(folder)
    instances = {one.name for series in found for one in series.instances}
    skipped = {one.name for one in found.skipped}
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert instances | skipped == files
    assert not instances & skipped
    for name in files:
        try:
            header = pydicom.dcmread(folder / name, stop_before_pixels=True)
        except InvalidDicomError:
            assert name in skipped
        else:
            directory = header.file_meta.get("MediaStorageSOPClassUID") == uid.MediaStorageDirectoryStorage
            assert (directory or _is_broken(header)) if name in skipped else not directory, name


def test_every_file_of_pydicom_is_accounted_for() -> None:
    """A folder with everything in it is searched to its end: no file may stop it or vanish."""
    _accounted(WHEEL)


def test_every_file_of_the_corpus_is_accounted_for(corpus: Path) -> None:
    """The same for the folder with real series."""
    _accounted(corpus)
