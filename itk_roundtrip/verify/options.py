"""Options of a verification."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from itk_roundtrip.arguments import Progress

if TYPE_CHECKING:
    from itk_roundtrip.arguments import Identity
    from itk_roundtrip.series.find import Series


@dataclass(frozen=True)
class Options:
    """Checked arguments of :func:`itk_roundtrip.verify_series`, but for the folders."""

    series: str | int | None = None
    identity: Identity | None = None
    reference: Path | None = None
    conformance: bool | None = False
    """Whether dciodvfy judges all slices, not only three of them; ``None`` leaves it out."""
    jobs: int = 1
    show_values: bool = False
    progress: Progress = lambda stage, done, total: None
    volume: int | None = None
    source: Series | None = None
    """The source itself; without it, it is found in its folder."""
    allowed: frozenset[int] = frozenset()
    """Tags of attributes, or of groups with element 0, whose changes are declared."""
