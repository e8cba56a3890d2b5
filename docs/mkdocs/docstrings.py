"""Docstrings for the site: roles of reStructuredText become links, and each of several names its own type.

A docstring names several parameters or attributes in one line where one text describes them; griffe gives all of them
the type and the default of the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import griffe

import itk_roundtrip

_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`~?([\w.]+)`")


class Docstrings(griffe.Extension):
    """Edits all docstrings of a package once it is loaded."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Edit the docstrings of a package."""
        for documented in _documented(pkg):
            assert documented.docstring is not None
            documented.docstring.value = _ROLE.sub(_link, documented.docstring.value)
            for section in documented.docstring.parsed:
                if section.kind in (griffe.DocstringSectionKind.parameters, griffe.DocstringSectionKind.attributes):
                    for item in section.value:
                        _type(item, documented)


def _documented(parent: griffe.Object) -> Iterator[griffe.Object]:
    """Yield an object and all that it holds, where they have docstrings."""
    if parent.docstring is not None:
        yield parent
    for member in parent.members.values():
        if isinstance(member, griffe.Object):
            yield from _documented(member)


def _link(role: re.Match[str]) -> str:
    """Return a link to a public name, or the name as code."""
    name = role[1].removeprefix("itk_roundtrip.")
    return f"[`{name}`][itk_roundtrip.{name}]" if name.split(".")[0] in itk_roundtrip.__all__ else f"`{name}`"


def _type(item: Any, documented: griffe.Object) -> None:
    """Give a parameter or attribute that a docstring names the type and default that the code gives it."""
    if isinstance(documented, griffe.Function) and item.name in documented.parameters:
        parameter = documented.parameters[item.name]
        item.annotation, item.value = parameter.annotation, parameter.default
    elif isinstance(documented, griffe.Class) and item.name in documented.attributes:
        item.annotation = documented.attributes[item.name].annotation
