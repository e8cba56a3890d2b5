"""What results say of themselves in a notebook and as JSON.

It is made in the room ``show``, which imports the results, so that they reach it only here, and by its name.
"""

from __future__ import annotations

import importlib
import json
from typing import Any


def as_html(value: object) -> str:
    """Return a result as notebooks show it."""
    html: str = importlib.import_module("itk_roundtrip.show.notebook").html(value)
    return html


def as_document(function: str, *arguments: object) -> dict[str, Any]:
    """Return the JSON document that a function of ``show.report`` makes of a result, as it is read from JSON."""
    made = getattr(importlib.import_module("itk_roundtrip.show.report"), function)(*arguments)
    document: dict[str, Any] = json.loads(json.dumps(made))
    return document
