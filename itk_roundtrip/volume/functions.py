"""The function of a user that processes a volume: load it, check its parameters, call it, take its result."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, get_origin

import numpy as np

from itk_roundtrip.arguments import Backend
from itk_roundtrip.errors import FunctionError, RoundtripError
from itk_roundtrip.itk_io.filters import Filter
from itk_roundtrip.itk_io.front_ends import front_end
from itk_roundtrip.pixels.formats import DTYPES, Array, PixelType
from itk_roundtrip.volume.images import Placement, in_memory, placed_data
from itk_roundtrip.volume.read import let_go
from itk_roundtrip.volume.volume import Volume

_SPACING = "spacing_xyz"
"""Parameter that gets the spacing of the volume in mm, if a function has one of that name."""
_LISTED = 10
"""How many names an error lists."""


@dataclass(frozen=True)
class Function:
    """A function that processes a volume.

    Attributes
    ----------
    call
        The function.
    name
        What the caller named it by.
    file
        Source file that it is defined in; empty if that is not known.
    """

    call: Callable[..., Any]
    name: str
    file: str = ""


# ------------------------------------------------------------------------------------------------- load a function


def load_function(text: str) -> Function:
    """Load the function that ``FILE.py:FUNCTION`` or ``package.module:function`` names.

    The folder of the file, or the current folder, is searched for further modules behind all others.

    Raises
    ------
    FunctionError
        There is no such file, module or function, or it cannot be loaded.
    """
    home, separator, name = text.rpartition(":")
    if not separator or not home or not name.isidentifier():
        raise FunctionError(f"{text} names no function; name it as FILE.py:FUNCTION or package.module:function.")
    is_file = home.endswith(".py") or os.sep in home
    if is_file and not os.path.isfile(home):
        raise FunctionError(f"{home} is not a file.", path=home)
    module = _imported(home, is_file=is_file)
    if not hasattr(module, name):
        names = [
            key
            for key, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__ and not key.startswith("_")
        ]
        has = f"it has {_listed(names)}" if names else "it has none"
        raise FunctionError(f"{home} has no function {name}; {has}.")
    function = getattr(module, name)
    if not callable(function):
        raise FunctionError(f"{name} in {home} is no function but of type {type(function).__name__}.")
    return Function(function, text, _source_file(function))


def _source_file(function: Any) -> str:
    """Return the source file of a function; empty if it has none."""
    try:
        return inspect.getsourcefile(inspect.unwrap(function)) or ""
    except (TypeError, ValueError):
        return ""


def _imported(home: str, *, is_file: bool) -> ModuleType:
    """Import a file or a module by name."""
    folder = os.path.dirname(os.path.abspath(home)) if is_file else os.getcwd()
    if folder not in sys.path:
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location("itk_roundtrip_function", home) if is_file else None
    if is_file and (spec is None or not isinstance(spec.loader, SourceFileLoader)):
        raise FunctionError(f"{home} is no file of Python; end its name with .py.", path=home)
    try:
        with _leaving_no_bytecode():
            if spec is None or not isinstance(spec.loader, SourceFileLoader):
                return importlib.import_module(home)
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module  # dataclasses and pickle look it up there
            # Bytecode of a file that was changed within a second, to one of the same size, would be taken for its own.
            source = spec.loader.get_data(home)
            exec(spec.loader.source_to_code(source, home), vars(module))
            return module
    except SyntaxError as error:
        file = error.filename or home
        where = home if os.path.abspath(file) == os.path.abspath(home) else file
        where += f", line {error.lineno}" if error.filename else ""
        reason = f" ({error.msg})" if error.filename else ""  # raised by the file itself, it may say anything
        raise FunctionError(f"{where}: this is no valid Python{reason}.", path=home) from None
    except ModuleNotFoundError as error:
        if not is_file and error.name and f"{home}.".startswith(f"{error.name}."):
            reason = "name a file as FILE.py:FUNCTION, or install it"
            raise FunctionError(f"There is no module {home}; {reason}.") from None
        raise FunctionError(f"{home} needs the module {error.name}, which is not installed.") from None
    except BaseException as error:  # SystemExit, too
        if _is_stop(error):
            raise
        place = _place(error, home if is_file else "") or home
        raise FunctionError(f"{home} cannot be loaded: {type(error).__name__} at {place}.") from None


@contextmanager
def _leaving_no_bytecode() -> Iterator[None]:
    """Keep Python from writing ``__pycache__`` beside the modules of the user, which may lie in the source."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def of_filter(chosen: Filter) -> Function:
    """Return a filter as a function."""
    return Function(chosen, chosen.name)


# -------------------------------------------------------------------------------------------------------- parameters


def parse_parameters(texts: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of texts ``NAME=VALUE``: each value as JSON, else as text.

    Raises
    ------
    FunctionError
        A text is not so, or a name occurs twice.
    """
    parameters: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name.isidentifier():
            raise FunctionError("A parameter is given as NAME=VALUE, with a name of Python and no blanks around it.")
        if name in parameters:
            raise FunctionError(f"The parameter {name} is given twice.")
        try:
            parameters[name] = json.loads(value)
        except ValueError:
            parameters[name] = value
    return parameters


def check_parameters(function: Function, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that a function does not have, and miss none that it needs.

    Raises
    ------
    FunctionError
        It takes no image, or other parameters.
    """
    if parameters and isinstance(function.call, Filter):
        message = "A filter has its parameters in its name, as median:radius=1; leave out parameters."
        raise FunctionError(message, option="parameters")
    accepted = _parameters(function)
    if accepted is None:
        return
    if not accepted:
        raise FunctionError(f"{function.name} takes no image: it has no parameters.")
    first, *others = accepted
    if first.kind not in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD, first.VAR_POSITIONAL):
        raise FunctionError(f"{function.name} takes no image: it has no positional parameter.")
    if _SPACING in parameters:
        raise FunctionError(f"{_SPACING} comes from the volume; leave it out.")
    named = [item.name for item in others if item.kind in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY)]
    takes_any = any(item.kind == item.VAR_KEYWORD for item in others)
    for name in parameters:
        if name not in named and (not takes_any or name == first.name):
            has = _listed([name for name in named if name != _SPACING]) or "no parameters but the image"
            raise FunctionError(f"{function.name} has no parameter {name}; it has {has}.")
    for item in others:
        is_needed = item.default is item.empty and item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)
        if is_needed and item.name not in (*parameters, _SPACING):
            raise FunctionError(f"{function.name} needs the parameter {item.name}.")


def _parameters(function: Function) -> list[inspect.Parameter] | None:
    """Return the parameters of a function, annotations as they stand; ``None`` if Python does not know them."""
    try:
        return list(inspect.signature(function.call).parameters.values())
    except (TypeError, ValueError):
        return None


# -------------------------------------------------------------------------------------------------------------- call


def call(function: Function, volume: Volume, parameters: Mapping[str, Any], *, debug: bool = False) -> Array:
    """Call a function on a volume and return its result, as :func:`itk_roundtrip.volume.images.taken` does.

    As :func:`call_for_grid` without a new grid.
    """
    return call_for_grid(function, volume, parameters, regrid=False, debug=debug)[0]


def call_for_grid(
    function: Function, volume: Volume, parameters: Mapping[str, Any], *, regrid: bool, debug: bool = False
) -> tuple[Array, Placement | None]:
    """Call a function on a volume and return its result, as :func:`itk_roundtrip.volume.images.placed` does.

    It gets the image of the volume, an ``itk.Image`` in the type in which it was read, and may change it in place. If
    its first parameter is annotated with ``numpy.ndarray`` or ``SimpleITK.Image``, it gets such, and with a type of
    ``itk.Image`` that holds the values exactly, that. A parameter ``spacing_xyz`` gets the spacing in mm.

    Parameters
    ----------
    function
        From :func:`load_function`, or ``Function(callable, name)``.
    volume
        From :func:`itk_roundtrip.read_series`.
    parameters
        Keywords for the function.
    regrid
        The result may lie elsewhere.
    debug
        Keep the traceback of an error of the function in it, which may quote values of patients.

    Raises
    ------
    FunctionError
        It cannot be called so, or raised an error, whose message is not told because it may quote values of patients.
    ImageError
        Its result is no image of this volume.
    """
    check_parameters(function, parameters)
    image = _argument(function, volume)
    accepted = _parameters(function) or []
    given = dict(parameters)
    if any(item.name == _SPACING for item in accepted):
        front = front_end(volume.backend, volume.pixel_type)
        given[_SPACING] = tuple(front.geometry(volume.image)[3:6])
    try:
        result = function.call(image, **given)
    except BaseException as error:  # SystemExit, and errors of this package, whose message the function may have made
        if _is_stop(error) or (isinstance(error, RoundtripError) and isinstance(function.call, Filter)):
            raise
        place = _place(error, function.file)
        at = f" at {place}" if place else ""
        raised = FunctionError(f"{function.name} raised {type(error).__name__}{at}; its message may hold patient data.")
        if debug:
            raised.details = traceback.format_exc()
        raise raised from None
    finally:
        del image  # a copy for SimpleITK is as large as the volume
    name = f"The result of {function.name}"
    return placed_data(in_memory(result, name), volume, name, regrid=regrid)


def _is_stop(error: BaseException) -> bool:
    """Tell whether an error is Ctrl-C; in a worker process, which gets none, a function raised it."""
    return isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) != signal.SIG_IGN


def _place(error: BaseException, file: str) -> str:
    """Return file name and line where an error was raised, the innermost in a source file; empty if not in that."""
    lines = [
        line
        for frame, line in traceback.walk_tb(error.__traceback__)
        if file and os.path.realpath(frame.f_code.co_filename) == os.path.realpath(file)
    ]
    return f"{Path(file).name}:{lines[-1]}" if lines else ""


def _argument(function: Function, volume: Volume) -> Any:
    """Return the volume as the first parameter of a function is annotated."""
    if isinstance(function.call, Filter):
        return _image(volume, "simpleitk", volume.pixel_type)
    annotation = _annotation(function)
    home, name = getattr(annotation, "__module__", ""), getattr(annotation, "__name__", "")
    if annotation in (inspect.Parameter.empty, Any, object) or _is_template(annotation):
        return _itk_image(function, volume, volume.pixel_type)
    if annotation is np.ndarray or get_origin(annotation) is np.ndarray:
        return np.asarray(volume.array_zyx)
    if name == "Image" and home.startswith("SimpleITK"):
        return _image(volume, "simpleitk", volume.pixel_type)
    for pixel_type, dtype in DTYPES.items():
        if name == f"itkImage{pixel_type}3" and home.startswith("itk."):
            is_colour = pixel_type.startswith("RGB"), volume.pixel_type.startswith("RGB")
            if is_colour[0] == is_colour[1] and np.can_cast(volume.array_zyx.dtype, dtype, "safe"):
                return _itk_image(function, volume, pixel_type)
            raise FunctionError(
                f"{function.name} takes an itk.Image of type {pixel_type}, which does not hold the values of the"
                f" volume, {volume.pixel_type}, exactly; annotate itk.Image without a type."
            )
    shown = name or str(annotation)
    raise FunctionError(
        f"The first parameter of {function.name} is annotated with {shown[:60]}; annotate it with itk.Image,"
        " SimpleITK.Image or numpy.ndarray."
    )


def _annotation(function: Function) -> Any:
    """Return the annotation of the first parameter of a function, evaluated if it is a text.

    A text of names that are imported for type checkers only is known by its words.
    """
    accepted = _parameters(function)
    if not accepted or accepted[0].kind is inspect.Parameter.VAR_POSITIONAL:  # as ITK's own functions have it
        return inspect.Parameter.empty
    annotation: Any = accepted[0].annotation
    if not isinstance(annotation, str):
        return annotation
    plain = inspect.unwrap(function.call)
    scope = getattr(plain, "__globals__", None) or getattr(getattr(plain, "__call__", None), "__globals__", {})  # noqa: B004
    try:
        return eval(annotation, dict(scope))  # as inspect.signature(eval_str=True) does, for this parameter alone
    except Exception:
        pass
    word = annotation.strip("\"' ")
    if word in ("np.ndarray", "numpy.ndarray") or word.startswith(("npt.NDArray", "np.typing.NDArray", "NDArray[")):
        return np.ndarray
    if word in ("sitk.Image", "SimpleITK.Image"):
        return _simpleitk_image()
    if word == "itk.Image":
        return Any
    raise FunctionError(
        f"The annotation of the first parameter of {function.name} cannot be evaluated; annotate it with itk.Image,"
        " SimpleITK.Image or numpy.ndarray."
    )


def _simpleitk_image() -> type:
    """Return the class ``SimpleITK.Image``."""
    image: type = front_end("simpleitk").load().Image
    return image


def _is_template(annotation: Any) -> bool:
    """Tell whether an annotation is ``itk.Image`` without a pixel type, or a base class of ITK's images."""
    kind = type(annotation)
    if kind.__name__ == "itkTemplate" and kind.__module__.startswith("itk."):
        return str(getattr(annotation, "__name__", "")).endswith("Image")
    name = getattr(annotation, "__name__", "")
    return str(getattr(annotation, "__module__", "")).startswith("itk.") and name in ("itkImageBase3", "itkDataObject")


def _itk_image(function: Function, volume: Volume, pixel_type: PixelType) -> Any:
    if pixel_type == "RGBUS":
        raise FunctionError(
            f"{function.name} takes an itk.Image, which ITK's Python does not have of 16-bit colours; annotate its"
            " first parameter with SimpleITK.Image or numpy.ndarray."
        )
    front_end("itk").load_for_caller()
    return _image(volume, "itk", pixel_type)


def _image(volume: Volume, backend: Backend, pixel_type: PixelType) -> Any:
    """Return the image of a volume as one of a front end; itself if it is."""
    front, own = front_end(backend), front_end(volume.backend, volume.pixel_type)
    if front is own and pixel_type == volume.pixel_type:
        return volume.image
    image = front.copy_of(np.asarray(volume.array_zyx), pixel_type, own.geometry(volume.image))
    let_go(volume)
    return image


def _listed(names: Sequence[str]) -> str:
    """Return the first names as messages list them."""
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
