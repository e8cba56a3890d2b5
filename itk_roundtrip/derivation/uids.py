"""Deterministic UIDs under 2.25 (PS3.5 B.2): the same source, operation and pixels give the same UIDs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping

NAMESPACE = uuid.UUID("6f0a1d2e-5f0b-5d5e-9a39-0c1f7b6d3a52")
"""Fixed namespace of this project; changing it changes every UID it makes."""


def _uid(*parts: object) -> str:
    """Return a UUID-derived UID (PS3.5 B.2) of a name that is made of the parts."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return f"2.25.{uuid.uuid5(NAMESPACE, canonical).int}"


def series_instance_uid(
    source_series_instance_uid: str,
    source_sop_instance_uids: Iterable[str],
    operation: Mapping[str, str],
    version: str,
) -> str:
    """Return the Series Instance UID (0020,000E) of a derived series.

    Parameters
    ----------
    source_series_instance_uid
        Of the source; empty if it has none.
    source_sop_instance_uids
        Of every source instance, in any order.
    operation
        What was done, with every option that changes the output.
    version
        Of itk-roundtrip.
    """
    return _uid("series", source_series_instance_uid, sorted(source_sop_instance_uids), dict(operation), version)


def sop_instance_uid(series_uid: str, source_sop_instance_uid: str, stored_values_digest: str) -> str:
    """Return the SOP Instance UID (0008,0018) of a derived instance.

    Parameters
    ----------
    series_uid
        Of the derived series.
    source_sop_instance_uid
        Of the source instance; where it has none, whatever tells it from its siblings.
    stored_values_digest
        Hexadecimal digest of the stored values that are written.
    """
    return _uid("sop", series_uid, source_sop_instance_uid, stored_values_digest)
