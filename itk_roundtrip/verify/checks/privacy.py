"""Check that no identity was added: of a person to a de-identified instance, of a machine or its user to any."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Iterable, Iterator
from functools import cache

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from itk_roundtrip import tags
from itk_roundtrip.dicom.values import Element, decoded, elements, items, raw, text, vr_of
from itk_roundtrip.verify.attributes import ENCODED_VRS
from itk_roundtrip.verify.findings import Finding
from itk_roundtrip.verify.pair import Pair
from itk_roundtrip.verify.registry import check, reports

_PATH = re.compile(
    r"(?:^|[\s'\"(=,;:])(?:~?/[\w.+-]+(?:/[\w.+-]+)+|[A-Za-z]:\\|\\\\\w+\\|\.\./|\w+://|[\w.+-]+@[\w-]+)"
)
"""Path of Unix or Windows, URL, or mail address within a text."""


@check(
    "PHI-01",
    "no identity was gained",
    reason="a de-identified series that names a person again, or where and by whom it was made, gives away its patient",
    section="PS3.15 E.1",
)
def person(pair: Pair) -> Iterator[Finding]:
    """Check that no identity of a person was added to an instance that says it is de-identified (0012,0062)."""
    if text(pair.source, tags.PATIENT_IDENTITY_REMOVED) != "YES":
        return
    gained = "an identity was gained by a de-identified instance"
    for tag, differences in pair.differing.items():
        for difference in differences:
            leaf = difference.leaf
            identifying = difference.vr == "PN" or leaf >> 16 == 0x0010 or leaf == tags.ACCESSION_NUMBER
            if identifying and difference.outcome in ("added", "changed") and difference.new not in (None, ""):
                yield pair.finding("PHI-01", tag, gained, path=difference.path)
        if pair.rule(tag).action == "append":
            added_items = items(pair.written, tag)[len(items(pair.source, tag)) :]
            if any(map(_names_person, added_items)):
                yield pair.finding("PHI-01", tag, gained)


@reports("PHI-01")
def machine(pair: Pair) -> Iterator[Finding]:
    """Check that no path, and no name of this machine or its user, stands in a text that was added."""
    for tag in pair.differing:
        if not _is_suspect(pair.written_elements.get(tag)):
            continue
        old = "\n".join(_texts(pair.source, pair.differing))
        for new in _texts(pair.written, [tag]):
            added = new.removeprefix(decoded(pair.source, tag))
            if new not in old and (_PATH.search(added) or _names_machine(added, old)):
                yield pair.finding("PHI-01", tag, "a path, host or user name stands in a text that was added")


def _names_person(item: Dataset) -> bool:
    """Tell whether an item holds a value of VR PN, at any depth."""
    return any(
        any(map(_names_person, items(item, tag))) or (vr_of(tag) == "PN" and bool(raw(item, tag)))
        for tag in elements(item)
    )


def _is_suspect(element: Element | None) -> bool:
    """Tell whether the bytes of an element may hold a path or a name of this machine, so that it must be decoded."""
    return element is not None and (
        not isinstance(element, RawDataElement) or _suspects().search(element.value or b"") is not None
    )


@cache
def _suspects() -> re.Pattern[bytes]:
    """Return a pattern of parts of paths, URLs and mail addresses, and of the names of this machine and its user."""
    names = "".join(f"|{name}" for name in _machine_names())
    return re.compile(rb"/[^/\s]+/|:\\|\\\\|\.\./|://|\w@\w" + names.encode(errors="replace"), re.I)


def _texts(dataset: Dataset, attributes: Iterable[int]) -> Iterator[str]:
    """Yield the texts of some public attributes, at any depth."""
    for tag in attributes:
        if tag not in dataset or tag >> 16 & 1:
            continue
        nested = items(dataset, tag)
        if nested:
            for item in nested:
                yield from _texts(item, elements(item))
        elif vr_of(tag) in ENCODED_VRS:
            yield decoded(dataset, tag)


_TOOL_WORDS = frozenset({
    "itk-roundtrip", "roundtrip", "pydicom", "simpleitk", "written", "stored", "values", "unchanged", "source", "image",
    "processing", "equipment",
})  # fmt: skip
"""Words that tools write into headers; a machine or a user may have such a name too."""


@cache
def _machine_names() -> tuple[str, ...]:
    """Return the names of this machine and its user as patterns, without short ones and words that tools write."""
    try:
        user = getpass.getuser()
    except (ImportError, KeyError, OSError):  # no such table in the system, or no such user in it
        user = ""
    names = (socket.gethostname(), user)
    return tuple(re.escape(name) for name in names if len(name) > 4 and name.casefold() not in _TOOL_WORDS)


def _names_machine(added: str, old: str) -> bool:
    """Tell whether a text that was added names this machine or its user, and the old texts do not."""
    return any(
        re.search(rf"\b{name}\b", added, re.I) and not re.search(rf"\b{name}\b", old, re.I) for name in _machine_names()
    )
