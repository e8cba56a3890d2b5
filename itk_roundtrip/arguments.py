"""Checks of the arguments of all public functions, made before any file is read or written.

The command line offers the same choices. Nothing heavy is imported here, so that a mistake is reported at once.
"""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import operator
import os
from collections.abc import Callable, Mapping
from typing import Any, Literal, ParamSpec, TypeVar, get_args

from itk_roundtrip.errors import RoundtripError, SeriesNotFoundError
from itk_roundtrip.words import posix

Identity = Literal["derived", "copy"]
"""Whether the result is a new series of derived instances, or the same instances again."""
HeaderMode = Literal["complete", "itk"]
"""Whether attributes that ITK loses are restored (``complete``), or headers are as ITK writes them (``itk``)."""
Backend = Literal["itk", "simpleitk"]
"""Front end that reads and writes the pixels."""
TransferSyntax = Literal["explicit", "implicit", "rle", "jpeg-lossless", "jpeg-ls", "jpeg2000"]
"""Lossless transfer syntaxes that may be written."""
NanTo = Literal["padding"]
"""What NaN and infinite values become."""
Code = tuple[str, str, str]
"""Code Value, Coding Scheme Designator and Code Meaning (PS3.3 8)."""
IMAGE_FORMATS: Mapping[str, str] = {".nrrd": "NRRD", ".nii.gz": "NIfTI", ".nii": "NIfTI", ".mha": "MetaImage"}
"""Formats of image files that are written, by extension: those of a single file with a full geometry."""
Progress = Callable[[str, int, int], None]
"""Called with stage, number done, and total."""

DESCRIPTION_LIMIT = 700
"""Characters of a description: of the 1024 of Derivation Description (VR ST, PS3.5 6.2), other texts need the rest."""

Check = Callable[[str, Any], Any]
"""Takes the name of a parameter and its value; returns the value to use, or raises ``RoundtripError``."""

P = ParamSpec("P")
R = TypeVar("R")


def checked(**special: Check) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that checks all arguments of a function by :data:`CHECKS` before it is called.

    ``None`` passes where it is the default.

    Parameters
    ----------
    special
        Checks of single parameters that go before those of the table.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        checks = {name: special.get(name) or CHECKS[name] for name in signature.parameters}

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                given = signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{function.__name__}() {error}") from None
            for name, value in given.arguments.items():
                if value is not None or signature.parameters[name].default is not None:
                    given.arguments[name] = checks[name](name, value)
            return function(*given.args, **given.kwargs)

        return call

    return decorate


def instance_of(kind: type, source: str, **near_misses: str) -> Check:
    """Return a check for instances of a class.

    Parameters
    ----------
    kind
        Class of the instances.
    source
        Function that returns such instances, for the message.
    near_misses
        Advice by the name of the class that was passed instead; ``path`` stands for ``str`` and ``PathLike``.
    """

    def check(name: str, value: Any) -> Any:
        if isinstance(value, kind):
            return value
        names = {base.__name__ for base in type(value).__mro__}
        if isinstance(value, (str, os.PathLike)):
            names.add("path")
        advice = next((f"; {text}" for near, text in near_misses.items() if near in names), "")
        raise RoundtripError(f"{name} must be a {kind.__name__} as {source} returns it, not {_named(value)}{advice}.")

    return check


def _choice(choices: Any) -> Check:
    names = get_args(choices)

    def check(name: str, value: Any) -> Any:
        if isinstance(value, str) and value in names:
            return names[names.index(value)]  # plain text where a member of a str Enum was passed
        listed = ", ".join(f'"{choice}"' for choice in names[:-1])
        raise RoundtripError(f'{name} must be {listed}{" or " if listed else ""}"{names[-1]}", not {_named(value)}.')

    return check


def folder_of(source: Any, series: str | int | None) -> str | os.PathLike[str]:
    """Return the path of a source: itself, or of a ``Series`` that of the folder that it was found in.

    Raises
    ------
    RoundtripError
        The source is a series, and one of several was chosen as well.
    """
    if not is_series(source):
        path: str | os.PathLike[str] = source
        return path
    if series is not None:
        raise RoundtripError("The source is a Series already; leave out series.")
    folder: os.PathLike[str] = source.directory
    return folder


def is_series(value: Any) -> bool:
    """Tell whether a value is a ``Series``, of which nothing is imported."""
    kind = type(value)
    return kind.__name__ == "Series" and kind.__module__.startswith("itk_roundtrip.")


_FOLDERS = {
    "Series": "pass the folder, such as series.directory",
    "SeriesList": "pass the folder that was searched",
    "Volume": "pass the folder, such as volume.series.directory",
    "RoundtripResult": "pass the folder, such as result.written",
}
"""Advice where an object of this package was passed for a path, by the name of its class."""


def _path(name: str, value: Any) -> Any:
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        advice = f"; {_FOLDERS[type(value).__name__]}" if type(value).__name__ in _FOLDERS else ""
        raise RoundtripError(f"{name} must be a path (str or os.PathLike), not {_named(value)}{advice}.")
    if not os.fspath(value):
        raise RoundtripError(f"{name} is an empty path; name a folder or file.")
    if "\0" in os.fspath(value):
        raise RoundtripError(f"{name} is no path: it holds a null character.")
    return value


def check_there(path: str | os.PathLike[str]) -> None:
    """Raise an error unless there is a folder or a file of that name."""
    if not os.path.exists(path):
        raise SeriesNotFoundError(f"{posix(path)} is neither a folder nor a file.", path=posix(path))


def _source(name: str, value: Any) -> Any:
    if is_series(value):
        return value
    kind = type(value).__name__
    advice = {"SeriesList": "pass one of them, such as found[0]", "Volume": "pass volume.series"}.get(kind)
    if advice is not None:
        raise RoundtripError(f"{name} must be a path or a Series, not {_named(value)}; {advice}.")
    return _path(name, value)


def _series(name: str, value: Any) -> Any:
    """Return the text that chooses a series; a number counts from 1, as the command ``find`` does."""
    number = _integer(value)
    if (isinstance(value, str) and value) or (number or 0) > 0:
        return value if isinstance(value, str) else str(number)
    advice = "; pass series.series_instance_uid" if type(value).__name__ == "Series" else ""
    raise RoundtripError(
        f"{name} must be a number from 1, a Series Instance UID or the end of one (str), or a subfolder, not"
        f" {_named(value)}{advice}."
    )


def _integer(value: Any) -> int | None:
    """Return an integer of any class, such as that of NumPy; ``None`` for anything else, and for ``bool``."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def _index(name: str, value: Any) -> Any:
    number = _integer(value)
    if number is None:
        raise RoundtripError(f"{name} must be the index of one of `series.volumes` (int), not {_named(value)}.")
    return number


def _count(name: str, value: Any) -> Any:
    number = _integer(value)
    if number is None or number < 1:
        raise RoundtripError(f"The number of {name} must be 1 or more, not {_named(value)}.")
    return number


def _flag(name: str, value: Any) -> Any:
    if not isinstance(value, bool):
        raise RoundtripError(f"{name} must be True or False, not {_named(value)}.")
    return value


def _callable(name: str, value: Any) -> Any:
    if not callable(value):
        raise RoundtripError(f"{name} must be a function, not {_named(value)}.")
    return value


def _function(name: str, value: Any) -> Any:
    if callable(value) or (isinstance(value, str) and value):
        return value
    raise RoundtripError(
        f'{name} must be a function or the text "FILE.py:FUNCTION" or "package.module:function", not {_named(value)}.'
    )


def _mapping(name: str, value: Any) -> Any:
    if not isinstance(value, Mapping) or not all(isinstance(key, (str, int)) for key in value):
        raise RoundtripError(f"{name} must be a dict with names as keys, not {_named(value)}.")
    return value


def _codes(name: str, value: Any) -> Any:
    """Return codes as tuples of three texts; whether there are such codes is seen where the header is made."""
    codes = [tuple(code) for code in value] if isinstance(value, (list, tuple)) else None
    if codes is None or not all(len(code) == 3 and all(isinstance(part, str) for part in code) for code in codes):
        raise RoundtripError(
            f'{name} must be a list of codes of three texts, such as ("113088", "DCM", "Gaussian blur"), not'
            f" {_named(value)}."
        )
    return tuple(codes)


def _footprint(name: str, value: Any) -> Any:
    number = None if value is None else _integer(value)
    if value is not None and (number is None or number < 0):
        raise RoundtripError(f"{name} must be a number of slices from 0, or None for all of them, not {_named(value)}.")
    return number


def _short_text(name: str, value: Any) -> Any:
    if not isinstance(value, str) or not 0 < len(value.strip()) <= 16 or not value.isascii() or "\\" in value:
        raise RoundtripError(f"{name} must be a text of 1 to 16 characters of ASCII, not {_named(value)}.")
    return value.strip()


def _positive(name: str, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) < math.inf:
        raise RoundtripError(f"{name} must be a number from 0, not {_named(value)}.")
    return float(value)


def _image(name: str, value: Any) -> Any:
    """Return an image as it is: what it holds is seen where it is laid on the volume."""
    return _path(name, value) if isinstance(value, (str, os.PathLike)) else value


def _client(name: str, value: Any) -> Any:
    """Return a Dask client as it is; of another library nothing is imported to look at it."""
    if (isinstance(value, str) and value) or type(value).__name__ == "Client":
        return value
    raise RoundtripError(
        f"{name} must be a dask.distributed.Client or the address of a scheduler, such as tcp://host:8786, not"
        f" {_named(value)}."
    )


def _texts(name: str, value: Any) -> Any:
    if not isinstance(value, (list, tuple)) or not all(isinstance(text, str) for text in value):
        raise RoundtripError(f"{name} must be a list of texts, not {_named(value)}.")
    return tuple(value)


def _description(name: str, value: Any) -> Any:
    """Return a description without outer blanks if it can stand in headers of any character set (PS3.5 6.1.2.1)."""
    if not isinstance(value, str):
        raise RoundtripError(f"The {name} must be text (str), not {_named(value)}.")
    if not value.strip():
        raise RoundtripError(f"The {name} is empty; leave it out or say something.")
    if not (value.isascii() and value.isprintable()) or "\\" in value:
        raise RoundtripError(f"The {name} must be one line of ASCII text without a backslash.")
    if len(value) > DESCRIPTION_LIMIT:
        raise RoundtripError(f"The {name} is too long: at most {DESCRIPTION_LIMIT} characters fit.")
    return value.strip()


def _named(value: Any) -> str:
    """Return a value as messages show it: a short text or number as it is, anything else by its class."""
    if isinstance(value, str) and type(value).__str__ is str.__str__:
        return f'"{value}"' if len(value) <= 40 and value.isprintable() else f"a text of {len(value)} characters"
    if value is None or (isinstance(value, (bool, int, float)) and len(repr(value)) <= 40):
        return repr(value)
    kind = type(value).__name__
    return f"{'an' if kind[:1] in 'AEIOUaeiou' else 'a'} {kind}"


CHECKS: Mapping[str, Check] = {
    "allow": _texts,
    "allow_clip": _flag,
    "allow_irregular": _flag,
    "apply": _function,
    "backend": _choice(Backend),
    "client": _client,
    "codes": _codes,
    "conformance": _flag,
    "debug": _flag,
    "description": _description,
    "destination": _path,
    "directory": _path,
    "dry_run": _flag,
    "footprint_slices": _footprint,
    "file": _path,
    "headers": _choice(HeaderMode),
    "html": _path,
    "identity": _choice(Identity),
    "image": _image,
    "jobs": _count,
    "leave_out": _texts,
    "max_error": _positive,
    "nan_to": _choice(NanTo),
    "overwrite": _flag,
    "parameters": _mapping,
    "pictures": _flag,
    "progress": _callable,
    "reference": _path,
    "regrid": _flag,
    "rescale_type": _short_text,
    "series": _series,
    "set": _mapping,
    "show_values": _flag,
    "source": _source,
    "strict": _flag,
    "transfer_syntax": _choice(TransferSyntax),
    "units": _short_text,
    "volume": _index,
    "written": _path,
}
"""Check of each parameter of the public functions, by its name."""
