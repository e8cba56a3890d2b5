"""Read a DICOM series with ITK and write it back as a DICOM series whose headers and pixels are provably right.

Names are imported when they are first used, so that ``import itk_roundtrip`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from itk_roundtrip.archives.archive import archive
    from itk_roundtrip.archives.result import ArchivedSeries, ArchiveResult
    from itk_roundtrip.errors import (
        AmbiguousSeriesError,
        DestinationError,
        FunctionError,
        ImageError,
        ITKCrashError,
        RoundtripError,
        SeriesNotFoundError,
        SeriesReadError,
        SeriesWriteError,
        UnsupportedSeriesError,
        VerificationError,
    )
    from itk_roundtrip.itk_io.view import Plane
    from itk_roundtrip.losses import IdiomLosses, Loss, LossTable, PixelLosses, Versions, find_losses
    from itk_roundtrip.pipeline import Quantisation, RoundtripResult, roundtrip, write_series
    from itk_roundtrip.series.find import (
        Instance,
        Irregularity,
        Series,
        SeriesList,
        Skipped,
        Slice,
        SubVolume,
        find_series,
    )
    from itk_roundtrip.series.geometry import Regularity
    from itk_roundtrip.series.places import Place
    from itk_roundtrip.verify.findings import Change, Finding, Report, SlicePair
    from itk_roundtrip.verify.series import verify_series
    from itk_roundtrip.volume.export import ExportResult, export_volume
    from itk_roundtrip.volume.read import read_series
    from itk_roundtrip.volume.volume import Derivation, MetaDataDictionary, Volume, derive

_HOMES = {
    "AmbiguousSeriesError": "errors",
    "ArchiveResult": "archives.result",
    "ArchivedSeries": "archives.result",
    "Change": "verify.findings",
    "Derivation": "volume.volume",
    "DestinationError": "errors",
    "ExportResult": "volume.export",
    "Finding": "verify.findings",
    "FunctionError": "errors",
    "ITKCrashError": "errors",
    "IdiomLosses": "losses",
    "ImageError": "errors",
    "Instance": "series.find",
    "Irregularity": "series.find",
    "Loss": "losses",
    "LossTable": "losses",
    "MetaDataDictionary": "volume.volume",
    "PixelLosses": "losses",
    "Place": "series.places",
    "Plane": "itk_io.view",
    "Quantisation": "pipeline",
    "Regularity": "series.geometry",
    "Report": "verify.findings",
    "RoundtripError": "errors",
    "RoundtripResult": "pipeline",
    "Series": "series.find",
    "SeriesList": "series.find",
    "SeriesNotFoundError": "errors",
    "SeriesReadError": "errors",
    "SeriesWriteError": "errors",
    "Skipped": "series.find",
    "Slice": "series.find",
    "SlicePair": "verify.findings",
    "SubVolume": "series.find",
    "UnsupportedSeriesError": "errors",
    "VerificationError": "errors",
    "Versions": "losses",
    "Volume": "volume.volume",
    "archive": "archives.archive",
    "derive": "volume.volume",
    "export_volume": "volume.export",
    "find_losses": "losses",
    "find_series": "series.find",
    "read_series": "volume.read",
    "roundtrip": "pipeline",
    "verify_series": "verify.series",
    "write_series": "pipeline",
}

__all__ = [
    "AmbiguousSeriesError",
    "ArchiveResult",
    "ArchivedSeries",
    "Change",
    "Derivation",
    "DestinationError",
    "ExportResult",
    "Finding",
    "FunctionError",
    "ITKCrashError",
    "IdiomLosses",
    "ImageError",
    "Instance",
    "Irregularity",
    "Loss",
    "LossTable",
    "MetaDataDictionary",
    "PixelLosses",
    "Place",
    "Plane",
    "Quantisation",
    "Regularity",
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
    "archive",
    "derive",
    "export_volume",
    "find_losses",
    "find_series",
    "read_series",
    "roundtrip",
    "verify_series",
    "write_series",
]


if not TYPE_CHECKING:  # a type checker would take any name for one that this function knows

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
            globals()[name] = value
            return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
