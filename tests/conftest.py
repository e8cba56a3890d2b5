"""What the tests share: two workers, so that ITK and pydicom are imported once, and the folders with real series."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from itk_roundtrip import Report, RoundtripResult, losses, pipeline
from itk_roundtrip.archives import archive as archiving
from itk_roundtrip.carry.staging import Staging
from itk_roundtrip.pipeline import Options as RunOptions
from itk_roundtrip.pipeline import carry
from itk_roundtrip.processes import Workers
from itk_roundtrip.series.find import Series, find_series
from itk_roundtrip.verify import conformance
from itk_roundtrip.verify import series as verification
from itk_roundtrip.verify.judge import verify_folders
from itk_roundtrip.verify.options import Options
from itk_roundtrip.volume import export, images

ROOT = Path(__file__).parent.parent

# The tests start hundreds of processes: each of them would compile the package again where this is set.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def one_series(folder: Path) -> Series:
    """Return the only series in a folder."""
    (series,) = find_series(folder)
    return series


SAMPLE = ROOT / "data" / "ct-phantom"

Run = Callable[..., RoundtripResult]


@pytest.fixture(scope="session")
def workers() -> Iterator[Workers]:
    """One worker for the whole session."""
    with Workers(1) as pool:
        yield pool


@pytest.fixture(scope="session")
def run(workers: Workers) -> Run:
    """``roundtrip`` with the workers of the session; one call of the real one costs an import of ITK."""

    def call(source: Path, destination: Path, *, overwrite: bool = False, **options: Any) -> RoundtripResult:
        chosen = {"series": None, "identity": "derived", "headers": "complete", "description": None, **options}
        with Staging(source, destination, overwrite=overwrite) as staging:
            return carry(source, destination, RunOptions(jobs=1, progress=lambda *_: None, **chosen), staging, workers)

    return call


Verify = Callable[..., Report]


@pytest.fixture(scope="session")
def auditors() -> Iterator[Workers]:
    """One worker for all verifications."""
    with Workers(1, prepare="itk_roundtrip.verify.audit") as pool:
        yield pool


@pytest.fixture
def verify(auditors: Workers, monkeypatch: pytest.MonkeyPatch) -> Verify:
    """``verify_series`` with the workers of the session, without dciodvfy unless asked for."""
    program = conformance.find_program()

    def call(source: Path, written: Path, *, dciodvfy: bool = False, **options: Any) -> Report:
        monkeypatch.setattr(conformance, "find_program", lambda: program if dciodvfy else None)
        return verify_folders((str(source), str(written)), Options(**options), auditors)

    return call


class Lent:
    """A worker of the session, lent to one caller, who does not end it."""

    def __init__(self, pool: Workers) -> None:
        self.call, self.run = pool.call, pool.run

    def __enter__(self) -> Lent:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """It runs already."""

    def close(self) -> None:
        """Leave it to the next."""


@pytest.fixture
def _lent(workers: Workers, auditors: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lend the workers of the session to all that start some in this process: each start costs a second.

    Those that run one task each, or the functions of a caller, stay as they are.
    """

    def lend(count: int, *, prepare: str, **others: Any) -> Workers | Lent:
        if others:
            return Workers(count, prepare=prepare, **others)
        return Lent(auditors if prepare == "itk_roundtrip.verify.audit" else workers)

    for module in (archiving, export, images, losses, pipeline, verification):
        monkeypatch.setattr(module, "Workers", lend)


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder with real series; tests that need it are skipped without it."""
    folder = os.environ.get("ITK_ROUNDTRIP_CORPUS")
    if not folder:
        pytest.skip("ITK_ROUNDTRIP_CORPUS is not set")
    return Path(folder)
