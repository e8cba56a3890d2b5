"""Both front ends write the same files, byte for byte, but for their own names in Software Versions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import chores
import pydicom
import pytest
import SimpleITK
from conftest import SAMPLE, Run, Verify
from synthetic import (
    CASES,
    MALFORMED,
    ODD_RLE_REFUSED,
    Case,
    Identity,
    is_available,
    is_gdcm,
    series_instance_uid,
    write_series,
    write_short_case,
)
from test_real_series import Sample, _in_corpus, _in_wheel

from itk_roundtrip import RoundtripError
from itk_roundtrip.arguments import Backend
from itk_roundtrip.carry import slabs
from itk_roundtrip.itk_io.front_ends import NAMES, front_end
from itk_roundtrip.versions import versions

ALL: dict[str, Case] = {**CASES, **MALFORMED}
IDENTITIES: tuple[Identity, ...] = ("derived", "copy")


def _identities(index: int, case: Case) -> Sequence[Identity]:
    """Return both identities of a case where they take different ways.

    Of a case whose pixels ITK cannot simply carry, one of them in turn; of one case in six of the others, too.
    """
    if case.copy_path is not None or case.derived_outcome is not None:
        return case.identities
    plain = (case.path, case.outcome) == ("itk", "exact")
    return [] if plain and index % 6 else [case.identities[index % len(case.identities)]]


EVERY = [(name, identity) for index, (name, case) in enumerate(ALL.items()) for identity in _identities(index, case)]
REAL = [(sample, IDENTITIES[index % 2]) for index, sample in enumerate(_in_wheel())]
IN_CORPUS = [(sample, IDENTITIES[index % 2]) for index, sample in enumerate(_in_corpus()) if index % 4 == 0]


@pytest.fixture
def _pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a file may depend on the clock, and both front ends have the same name."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setattr(slabs, "versions", chores.versions)


def outcome(run: Run, source: Path, written: Path, **options: Any) -> tuple[object, dict[str, bytes]]:
    """Return what is said of a round trip, or the refusal, and all files that it left."""
    try:
        result = run(source, written, **options)
    except RoundtripError as error:
        told: object = type(error), str(error), error.path, error.tag
    else:
        told = (result.verdict, result.path, result.paths, result.path_reasons, result.pixel_type, result.order,
                result.series_instance_uid, result.kept, result.replaced, result.removed,
                result.warnings)  # fmt: skip
    files = {path.name: path.read_bytes() for path in written.iterdir()} if written.exists() else {}
    return told, files


CARRIED_BY_ONE = {
    name: f"GDCM {case.path_since} decodes it no longer" for name, case in ALL.items() if case.path_since
} | {"s16_intercept_32768": "ITK 6 has a pixel type for its real values, ITK 5.4 has none"}
"""Cases that an ITK carries and another one does not, and why."""


def is_of_another_itk() -> bool:
    """Tell whether the ITK in SimpleITK is of another series than the one that is installed, or has another GDCM."""
    installed = versions()
    simpleitk = SimpleITK.Version.ITKVersionString()
    return simpleitk.split(".")[0] != installed["ITK"].split(".")[0] or not is_gdcm(ODD_RLE_REFUSED)


def assert_the_same(run: Run, source: Path, folder: Path, **options: Any) -> None:
    """Check that both front ends end in the same way."""
    (by_itk, files), (by_simpleitk, others) = (
        outcome(run, source, folder / backend, backend=backend, **options) for backend in NAMES
    )
    assert by_simpleitk == by_itk
    assert others.keys() == files.keys()
    assert [name for name, content in files.items() if others[name] != content] == []


def assert_as_good(run: Run, source: Path, folder: Path, **options: Any) -> None:
    """Check that both front ends write the same attributes and pixels, compressed or not."""
    written = []
    for backend in NAMES:
        assert run(source, folder / backend, backend=backend, **options).verdict == "pass"
        datasets = [pydicom.dcmread(path) for path in sorted((folder / backend).iterdir())]
        pixels = [dataset.pixel_array.tolist() for dataset in datasets]
        for dataset in datasets:
            del dataset.PixelData
        written.append((datasets, pixels))
    assert written[0] == written[1]


@pytest.mark.usefixtures("_pinned")
@pytest.mark.parametrize(("name", "identity"), EVERY, ids=[f"{name}-{identity}" for name, identity in EVERY])
def test_case_is_the_same_with_both_front_ends(name: str, identity: str, run: Run, tmp_path: Path) -> None:
    """There is no kind that only one of them carries: RGB of 16 bits SimpleITK carries for both."""
    if not is_available(name):
        pytest.skip("no encoder for this transfer syntax")
    write_short_case(name, tmp_path / "source")
    series = series_instance_uid() if ALL[name].chosen else None
    if name in CARRIED_BY_ONE and is_of_another_itk():
        assert_as_good(run, tmp_path / "source", tmp_path, identity=identity)
    else:
        assert_the_same(run, tmp_path / "source", tmp_path, identity=identity, series=series)


@pytest.mark.usefixtures("_pinned")
@pytest.mark.parametrize(("sample", "identity"), REAL, ids=str)
def test_file_of_pydicom_is_the_same_with_both_front_ends(
    sample: Sample, identity: str, run: Run, tmp_path: Path
) -> None:
    """Files that once broke a reader."""
    assert_the_same(run, sample.source(tmp_path), tmp_path, identity=identity, series=sample.series)


@pytest.mark.usefixtures("_pinned")
@pytest.mark.parametrize(("sample", "identity"), IN_CORPUS, ids=str)
def test_series_of_the_corpus_is_the_same_with_both_front_ends(
    sample: Sample, identity: str, run: Run, tmp_path: Path, corpus: Path
) -> None:
    """Series of several makers, one in four."""
    assert corpus in sample.files[0].parents
    assert_the_same(run, sample.source(tmp_path), tmp_path, identity=identity, series=sample.series)


@pytest.mark.usefixtures("_pinned")
@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("syntax", ["implicit", "rle", "jpeg-lossless", "jpeg-ls", "jpeg2000"])
@pytest.mark.parametrize("name", ["s12_ct", "mono1_ct", "rgb_planar", "rgb_16", "multi_frame", "bits_32"])
def test_other_transfer_syntax_is_the_same_with_both_front_ends(
    name: str, syntax: str, identity: str, run: Run, tmp_path: Path
) -> None:
    """ITK itself compresses to two of them."""
    write_short_case(name, tmp_path / "source")
    assert_the_same(run, tmp_path / "source", tmp_path, identity=identity, transfer_syntax=syntax)


@pytest.mark.parametrize("name", ["plain_ct", "implicit", "contributing_equipment", "jpeg_baseline", "multi_frame"])
def test_software_versions_tell_the_front_ends_apart(
    name: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads a file must be able to see what wrote it."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    write_short_case(name, tmp_path / "source")
    written = []
    for backend, title in NAMES.items():
        result = run(tmp_path / "source", tmp_path / backend, backend=backend)
        assert result.backend == backend
        datasets = [pydicom.dcmread(path) for path in sorted((tmp_path / backend).iterdir())]
        for dataset in datasets:
            told = dataset.ContributingEquipmentSequence[-1]
            versions = ", ".join(result.software_versions)
            assert told.ContributionDescription.startswith(f"{versions}: ")
            assert f", {title} " in versions
            told.ContributionDescription = told.ContributionDescription.removeprefix(versions)
            if "DerivationDescription" in dataset:  # it names the decoder of a lossy source
                gdcm = next(text for text in result.software_versions if text.startswith("GDCM "))
                dataset.DerivationDescription = dataset.DerivationDescription.replace(gdcm, "GDCM")
        written.append(datasets)
    assert written[0] == written[1]


@pytest.mark.parametrize("backend", NAMES)
def test_sample_is_carried_by_either(backend: str, run: Run, verify: Verify, tmp_path: Path) -> None:
    """What the README shows must not depend on the front end."""
    assert run(SAMPLE, tmp_path / "written", backend=backend).verdict == "pass"
    assert verify(SAMPLE, tmp_path / "written").verdict == "pass"


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("shape", [(5, 6, 4), (3, 1, 4), (1, 6, 4)])
def test_headers_without_pixels_are_those_with_them(
    backend: Backend, private: bool, shape: tuple[int, int, int], tmp_path: Path
) -> None:
    """Processed series are read once more for their dictionaries and geometry only."""
    slices, rows, columns = shape
    write_series(tmp_path, slices=slices, rows=rows, columns=columns)
    files = [str(path) for path in sorted(tmp_path.iterdir())]
    front = front_end(backend)
    image, dictionaries = front.read_series(files, "SS", private=private)
    without, headers = front.read_series(files, "SS", private=private, pixels=False)
    assert [front.entries(header) for header in headers] == [front.entries(header) for header in dictionaries]
    assert len(headers) == slices
    assert all(front.entries(header) for header in headers)
    assert front.geometry(without) == front.geometry(image)
