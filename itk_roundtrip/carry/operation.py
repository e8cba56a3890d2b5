"""What makes the values of a processed series, and the process of its own that it runs in."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from itk_roundtrip.arguments import Backend
from itk_roundtrip.errors import RoundtripError
from itk_roundtrip.processes import Workers

if TYPE_CHECKING:
    from itk_roundtrip.itk_io.filters import Filter
    from itk_roundtrip.volume.volume import Derivation

_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
"""Address in the text of an object of Python, another in each run."""


@dataclass(frozen=True)
class Operation:
    """What makes the values of a processed series.

    Attributes
    ----------
    function
        A function, or the text that :func:`itk_roundtrip.volume.functions.load_function` finds it by, or a filter.
    parameters
        Keywords for it.
    image
        An image that was processed elsewhere, or the path of its file, where there is no function.
    debug
        Keep the traceback of an error of the function, which may quote values of patients.
    """

    function: Callable[..., Any] | str | Filter | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    image: Any = None
    debug: bool = False

    @property
    def filter(self) -> Filter | None:
        """The function, if it is a filter of this package."""
        if self.function is None or isinstance(self.function, str):
            return None
        from itk_roundtrip.itk_io.filters import Filter  # not for the others: it imports numpy and pydicom

        return self.function if isinstance(self.function, Filter) else None

    @property
    def name(self) -> str:
        """What messages and descriptions call it, without the folder of a file."""
        if self.filter is not None:
            return self.filter.derivation
        if isinstance(self.function, str):
            home, _, name = self.function.rpartition(":")
            return f"{name} of {os.path.basename(home)}"
        function = self.function
        while isinstance(function, functools.partial):
            function = function.func
        if function is None:
            return "image of the caller"
        return str(getattr(function, "__name__", "") or type(function).__name__)

    @property
    def stated_parameters(self) -> str:
        """The parameters for Derivation Description, such as ``radius=2``; those of a filter are in its name."""
        given = {**_bound(self.function), **self.parameters}
        texts = [f"{name}={_ADDRESS.sub('', str(value))}" for name, value in sorted(given.items())]
        return "".join(c if c.isascii() and c.isprintable() and c != "\\" else "?" for c in ", ".join(texts))[:200]

    def described(self, derivation: Derivation) -> Derivation:
        """Return a derivation that says what is done, where the caller said nothing of it.

        Raises
        ------
        RoundtripError
            The caller said how many slices contribute, which a filter says itself.
        """
        if self.filter is not None:
            if derivation.footprint_slices != 0:
                message = "A filter itself says which slices contribute; leave out footprint_slices."
                raise RoundtripError(message, option="footprint_slices")
            codes = derivation.codes or ((self.filter.code,) if self.filter.code else ())
            derivation = replace(derivation, codes=codes, footprint_slices=self.filter.footprint_slices)
        return replace(derivation, comment=derivation.comment or self.name)

    @property
    def is_local(self) -> bool:
        """Whether it is an object in the memory of this process, so that it must run here."""
        path = isinstance(self.image, (str, os.PathLike))
        is_object = callable(self.function) and self.filter is None
        return is_object or not (self.function or path)


def _bound(function: Any) -> dict[str, Any]:
    """Return the keywords that ``functools.partial`` bound to a function."""
    keywords: dict[str, Any] = {}
    while isinstance(function, functools.partial):
        keywords = {**function.keywords, **keywords}
        function = function.func
    return keywords


def worker(operation: Operation, backend: Backend) -> Workers:
    """Return a process of its own for an operation: what it prints goes to standard error, and it may die.

    It imports the front end as long as nothing is asked of it, and for a function what that may ask of an image.
    """
    if operation.filter is not None:
        backend = "simpleitk"
    return Workers(1, prepare=prepared_for(backend, is_function=isinstance(operation.function, str)), output="stderr")


def prepared_for(backend: Backend, *, is_function: bool) -> str:
    """Return how the process of an operation is prepared, as :class:`Workers` takes it."""
    return f"itk_roundtrip.carry.operating:{backend}{' for functions' if is_function else ''}"
