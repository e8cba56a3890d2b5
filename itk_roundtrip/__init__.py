"""Read a DICOM series with ITK and write it back as a DICOM series whose headers and pixels are provably right.

Names are imported when they are first used, so that ``import itk_roundtrip`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from itk_roundtrip.errors import (
        AmbiguousSeriesError,
        DestinationError,
        ITKCrashError,
        RoundtripError,
        SeriesNotFoundError,
        SeriesReadError,
        SeriesWriteError,
        UnsupportedSeriesError,
        VerificationError,
    )
    from itk_roundtrip.findings import Change, Finding, Report, SlicePair
    from itk_roundtrip.losses import IdiomLosses, Loss, LossTable, PixelLosses, Versions, find_losses
    from itk_roundtrip.pipeline import RoundtripResult, roundtrip, write_series
    from itk_roundtrip.reader import read_series
    from itk_roundtrip.series import Instance, Irregularity, Series, SeriesList, Skipped, Slice, SubVolume, find_series
    from itk_roundtrip.verify import verify_series
    from itk_roundtrip.volume import Volume, derive

_HOMES = {
    "AmbiguousSeriesError": "errors",
    "Change": "findings",
    "DestinationError": "errors",
    "Finding": "findings",
    "ITKCrashError": "errors",
    "IdiomLosses": "losses",
    "Instance": "series",
    "Irregularity": "series",
    "Loss": "losses",
    "LossTable": "losses",
    "PixelLosses": "losses",
    "Report": "findings",
    "RoundtripError": "errors",
    "RoundtripResult": "pipeline",
    "Series": "series",
    "SeriesList": "series",
    "SeriesNotFoundError": "errors",
    "SeriesReadError": "errors",
    "SeriesWriteError": "errors",
    "Skipped": "series",
    "Slice": "series",
    "SlicePair": "findings",
    "SubVolume": "series",
    "UnsupportedSeriesError": "errors",
    "VerificationError": "errors",
    "Versions": "losses",
    "Volume": "volume",
    "derive": "volume",
    "find_losses": "losses",
    "find_series": "series",
    "read_series": "reader",
    "roundtrip": "pipeline",
    "verify_series": "verify",
    "write_series": "pipeline",
}

__all__ = [
    "AmbiguousSeriesError",
    "Change",
    "DestinationError",
    "Finding",
    "ITKCrashError",
    "IdiomLosses",
    "Instance",
    "Irregularity",
    "Loss",
    "LossTable",
    "PixelLosses",
    "Report",
    "RoundtripError",
    "RoundtripResult",
    "Series",
    "SeriesList",
    "SeriesNotFoundError",
    "SeriesReadError",
    "SeriesWriteError",
    "Skipped",
    "Slice",
    "SlicePair",
    "SubVolume",
    "UnsupportedSeriesError",
    "VerificationError",
    "Versions",
    "Volume",
    "derive",
    "find_losses",
    "find_series",
    "read_series",
    "roundtrip",
    "verify_series",
    "write_series",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
