"""What results say of themselves in a notebook, as JSON and as a page.

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


def write_page(*arguments: object, **options: object) -> None:
    """Write the page of a verification, without what may identify; arguments are those of ``show.page.write_page``."""
    importlib.import_module("itk_roundtrip.show.page").write_page(*arguments, **options, show_values=False)


def write_archive_page(*arguments: object) -> None:
    """Write the index page of an archive; arguments are those of ``show.archive_page.write_archive_page``."""
    importlib.import_module("itk_roundtrip.show.archive_page").write_archive_page(*arguments)
