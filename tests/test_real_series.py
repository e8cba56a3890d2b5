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
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

import pydicom
import pydicom.data
import pytest
from conftest import Run, Verify
from pydicom import uid
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels import pixel_array
from witness import compare

from itk_roundtrip import RoundtripError, SeriesNotFoundError, find_series

WHEEL = Path(pydicom.data.__file__).parent / "test_files"
CORPUS = os.environ.get("ITK_ROUNDTRIP_CORPUS")

Identity = Literal["derived", "copy"]
IDENTITIES: tuple[Identity, ...] = ("derived", "copy")


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
        if len(sample.names) > 1 and any(_of_the_series([_whole(file) for file in sample.files]))
        for index in range(len(sample.names))
    ]


@cache
def _in_wheel() -> list[Sample]:
    """List the files in the wheel itself; pydicom could download more, which no test does."""
    files = sorted(path.name for path in WHEEL.iterdir() if path.suffix == ".dcm")
    return [Sample(WHEEL, (name,), None) for name in files] + _series_of(WHEEL / "dicomdirtests")


@cache
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
        header = _whole(file)
    except InvalidDicomError:
        yield "no DICM prefix"
        return
    if not header.file_meta.get("TransferSyntaxUID", "") and "PixelData" in header:
        yield "transfer syntax that is not known|no transfer syntax"
    if _is_broken(header):
        yield "broken|damaged|truncated"
    if not any(keyword in header for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        yield "no pixel data"
        return
    try:
        int(header.get("NumberOfFrames") or 1)
    except ValueError:
        yield "Number of Frames that is no number"
    if "PixelData" in header:
        yield from _of_the_pixels(header)


@lru_cache(maxsize=100)  # a series is looked at several times
def _whole(file: Path) -> FileDataset:
    """Read a file, also one without prefix whose first element pydicom takes for one of a data set."""
    try:
        return pydicom.dcmread(file)
    except InvalidDicomError:
        header = pydicom.dcmread(file, force=True)
        if not any(keyword in header for keyword in ("SOPClassUID", "Rows", "StudyInstanceUID")):
            raise
        return header


def _of_a_derived_instance(file: Path) -> Iterator[str]:
    """Yield a pattern for each reason to derive nothing from a file that can be copied."""
    header = _whole(file)
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


_ONLY_BY_OTHERS = frozenset({"JPEG-lossy.dcm"})
"""pydicom's plug-in refuses a start of scan that dcmtk and GDCM take, so that there is nothing to compare with."""


def _of_the_pixels(header: FileDataset) -> Iterator[str]:
    syntax = header.file_meta.get("TransferSyntaxUID", uid.ImplicitVRLittleEndian)
    if "BitsAllocated" not in header:
        yield "has no Photometric Interpretation|does not say how many bits"
        return
    if not syntax.is_encapsulated:
        if header.BitsAllocated > 16 and not syntax.is_little_endian:
            yield "more than 16 bits in Big Endian"
        size = header.Rows * header.Columns * header.get("SamplesPerPixel", 1) * header.BitsAllocated // 8
        if header.PhotometricInterpretation.endswith("_422"):
            size = size * 2 // 3
        if len(header.PixelData) < size:
            yield "truncated"
    elif Path(header.filename or "").name not in _ONLY_BY_OTHERS:
        try:
            pixel_array(header)
        except Exception:  # no decoder takes it
            yield "compressed pixels cannot be decoded"


def _of_the_series(headers: list[Dataset]) -> Iterator[str]:
    """Yield a pattern for each reason to refuse a series as a whole."""
    instances = Counter(str(header.get("SOPInstanceUID", "")) for header in headers)
    if any(count > 1 for instance, count in instances.items() if instance):
        yield "one SOP Instance UID"


def _reasons(sample: Sample, identity: Identity) -> dict[str | None, list[str]]:
    """Return what keeps a series out of scope, by file; ``None`` stands for the series as a whole."""
    files = dict(zip(sample.names, sample.files, strict=True))
    found: dict[str | None, list[str]] = {name: list(_of_a_file(file)) for name, file in files.items()}
    if not any("no DICM prefix" in patterns for patterns in found.values()):
        found[None] = list(_of_the_series([_whole(file) for file in sample.files]))
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
        for source in map(_whole, files):
            if source.file_meta.get("ImplementationClassUID") == uid.PYDICOM_IMPLEMENTATION_UID:
                excused.add(f"{path.name}: (0002,0012) ImplementationClassUID is that of the source")
                excused.add(f"{path.name}: (0002,0013) ImplementationVersionName is that of the source")
            if path.name.endswith(tuple(_ONLY_BY_OTHERS)):
                excused.add(f"{path.name}: (7FE0,0010) PixelData of the source cannot be decoded (RuntimeError)")
            if len(source.get("PixelData", b"")) % 2 and header.PixelData == source.PixelData + b"\0":
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
    assert [one for one in report.findings if one.severity != "info" and not one.inherited] == []
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
        with pytest.raises(SeriesNotFoundError, match="holds no DICOM"):
            verify(temporary, temporary)
        return
    report = verify(temporary, temporary)
    assert [one for one in report.findings if one.severity != "info" and not one.inherited] == []
    assert (report.verdict, report.identity, len(report.pairs)) == ("pass", "copy", len(sample.names))


@pytest.mark.parametrize("sample", _in_wheel(), ids=str)
def test_series_of_pydicom_is_a_copy_of_itself(sample: Sample, tmp_path: Path, verify: Verify) -> None:
    _check_itself(sample, tmp_path, verify)


@pytest.mark.parametrize("sample", _in_corpus(), ids=str)
def test_series_of_the_corpus_is_a_copy_of_itself(sample: Sample, tmp_path: Path, verify: Verify, corpus: Path) -> None:
    assert corpus in sample.files[0].parents
    _check_itself(sample, tmp_path, verify)


def _accounted(folder: Path) -> None:
    """Check that the search of a folder leaves no file out, and skips none that is an instance, but copies of one."""
    found = find_series(folder)
    instances = {one.name for series in found for one in series.instances}
    repeated = {one.name: one.duplicate_of for one in found.skipped if one.duplicate_of}
    for name, taken in repeated.items():
        assert (folder / name).read_bytes() == (folder / taken).read_bytes()
    skipped = {one.name for one in found.skipped}
    copies = {one.name for one in found.skipped if one.duplicate_of in instances}
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert instances | skipped == files
    assert not instances & skipped
    for name in files - repeated.keys():
        try:
            header = _whole(folder / name)
        except InvalidDicomError:
            assert name in skipped
        else:
            directory = header.file_meta.get("MediaStorageSOPClassUID") == uid.MediaStorageDirectoryStorage
            left_out = directory or _is_broken(header) or name in copies
            assert left_out if name in skipped else not directory, name


def test_every_file_of_pydicom_is_accounted_for() -> None:
    """A folder with everything in it is searched to its end: no file may stop it or vanish."""
    _accounted(WHEEL)


def test_every_file_of_the_corpus_is_accounted_for(corpus: Path) -> None:
    """The same for the folder with real series."""
    _accounted(corpus)
