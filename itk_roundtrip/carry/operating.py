"""In the process of an operation: a volume is processed, and its values are put into a file.

A user's function may do anything to this process, so that nothing else is done in it.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from itk_roundtrip.arguments import Backend
from itk_roundtrip.carry.operation import Operation
from itk_roundtrip.itk_io.filters import Filter
from itk_roundtrip.itk_io.front_ends import NAMES, NOT_NEEDED, front_end
from itk_roundtrip.pixels.formats import Array
from itk_roundtrip.processes import without
from itk_roundtrip.series.find import Series
from itk_roundtrip.volume.functions import Function, call_for_grid, check_parameters, load_function, of_filter
from itk_roundtrip.volume.images import Placement, placed
from itk_roundtrip.volume.read import read_volume
from itk_roundtrip.volume.write import disk_error


def prepare(wanted: str) -> None:
    """Import a front end by its name, or what functions ask of an image of ITK if ``for functions`` stands behind it.

    A function gets the image of a volume that others have read, mostly.
    """
    name, _, is_function = wanted.partition(" ")
    with without(*NOT_NEEDED):
        if is_function:
            front_end("itk").load_for_caller()
            return
        for backend in NAMES:
            if backend == name:
                front_end(backend).load()


def process_into(
    file: Path,
    series: Series,
    volume: int | None,
    operation: Operation,
    backend: Backend,
    regrid: bool = False,
    pixels: Path | None = None,
) -> tuple[str, Placement | None]:
    """Process a volume of a series, and put the values into a file; return their digest, and where they lie if new.

    ``pixels`` is the file that the volume was read into, if it was.
    """
    function = _function(operation)  # before the volume is read
    if operation.filter is not None and pixels is not None:  # filters get an image of SimpleITK
        backend = "simpleitk"
    read = read_volume(series, volume, backend, digests=False, pixels=pixels)
    if function is None:
        values, placement = placed(operation.image, read, regrid=regrid)
    else:
        values, placement = call_for_grid(function, read, operation.parameters, regrid=regrid, debug=operation.debug)
    return save(values, file), placement


def save(values: Array, file: Path) -> str:
    """Put real-world values into a ``.npy`` file; return their digest.

    Raises
    ------
    SeriesWriteError
        The system refuses it.
    """
    values = np.ascontiguousarray(values)
    state = hashlib.sha256(f"{values.shape} {values.dtype.str}".encode())
    with ThreadPoolExecutor(1) as other:  # each takes a tenth of a second for some hundred slices
        digested = other.submit(state.update, values.data)
        try:
            np.save(file, values)
        except OSError as error:
            raise disk_error(error) from None
        digested.result()
    return state.hexdigest()


def check_function(operation: Operation) -> None:
    """Load the function of an operation, and check that it can be called with its parameters.

    Raises
    ------
    FunctionError
        It cannot.
    """
    _function(operation)


def _function(operation: Operation) -> Function | None:
    """Return the function of an operation, once it is known to take the parameters; ``None`` if it has an image."""
    function = operation.function
    if function is None:
        return None
    if isinstance(function, str):
        found = load_function(function)
    else:
        found = of_filter(function) if isinstance(function, Filter) else Function(function, operation.name)
    check_parameters(found, operation.parameters)
    return found
