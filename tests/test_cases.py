"""Every synthetic case, both identities, judged by the witness: exact, or refused for the right reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import synthetic
import witness
from conftest import Run
from synthetic import CASES, MALFORMED, is_available, series_instance_uid, write_case, write_short_case

from itk_roundtrip import RoundtripError

EVERY = [(name, identity) for name, case in CASES.items() for identity in case.identities]


@pytest.mark.parametrize(("name", "identity"), EVERY, ids=[f"{name}-{identity}" for name, identity in EVERY])
def test_case(name: str, identity: str, run: Run, tmp_path: Path) -> None:
    if not is_available(name):
        pytest.skip("no encoder for this transfer syntax")
    case = CASES[name]
    source, destination = tmp_path / "source", tmp_path / "written"
    write = write_short_case if identity == "copy" else write_case  # what many slices share is told of the derived ones
    files = write(name, source)
    before = snapshot(source)
    series = series_instance_uid() if case.chosen else None
    if case.expected(identity) == "exact":
        result = run(source, destination, series=series, identity=identity)
        path = result.path if "," not in result.path else ""
        assert witness.compare(files, sorted(destination.iterdir()), identity, path=path) == []
        assert result.path == (case.expected_path(identity) or result.path)
        assert result.verdict == "pass"
        assert result.slices == len(files)
    else:
        with pytest.raises(RoundtripError) as raised:
            run(source, destination, series=series, identity=identity)
        assert re.search(case.reason, str(raised.value), re.IGNORECASE)
        assert not destination.exists()
    assert snapshot(source) == before
    assert {path.name for path in tmp_path.iterdir()} <= {"source", "written"}


@pytest.mark.parametrize("identity", ["derived", "copy"])
@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_source_is_exact_or_refused(name: str, identity: str, run: Run, tmp_path: Path) -> None:
    """Nobody can say what becomes of a damaged file, but never something wrong, and nothing is left behind."""
    if not is_available(name):
        pytest.skip("no encoder for this transfer syntax")
    source, destination = tmp_path / "source", tmp_path / "written"
    files = write_case(name, source)
    before = snapshot(source)
    try:
        run(source, destination, identity=identity)
    except RoundtripError as error:
        told = str(error)
    else:
        told = ""
    if told:
        assert "Internal error" not in told
        assert not destination.exists()
    else:
        assert witness.compare(files, sorted(destination.iterdir()), identity) == []
    assert snapshot(source) == before
    assert {path.name for path in tmp_path.iterdir()} <= {"source", "written"}


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return all files under a folder with their content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_monochrome1_says_that_an_inversion_was_undone(run: Run, tmp_path: Path) -> None:
    write_case("mono1_ct", tmp_path / "source")
    assert run(tmp_path / "source", tmp_path / "written").path == "itk-inverted"


def test_headers_itk_is_published_unverified_and_lists_the_losses(run: Run, tmp_path: Path) -> None:
    """The reference for what ITK does must not be mistaken for a complete result."""
    synthetic.write_series(tmp_path / "source", nested_sequences="defined")
    result = run(tmp_path / "source", tmp_path / "written", headers="itk")
    assert result.verdict == "unverified"
    assert result.lost
    assert len(list((tmp_path / "written").iterdir())) == result.slices


def test_an_order_that_itk_refuses_is_replaced_by_positions_and_said(run: Run, tmp_path: Path) -> None:
    """GDCMSeriesFileNames knows no private SOP Classes."""
    files = write_case("private_sop_class", tmp_path / "source")
    result = run(tmp_path / "source", tmp_path / "written", identity="copy")
    assert result.order == "position"
    assert result.slices == len(files)
