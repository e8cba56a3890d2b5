"""The only module that imports SimpleITK: a second decoder for compressed sources that pydicom cannot decode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray


def stored_values(path: Path) -> NDArray[Any]:
    """Return the stored values, shape (rows, columns), of a file that shows no rescale and no MONOCHROME1."""
    import SimpleITK

    module: Any = SimpleITK
    module.ProcessObject.GlobalWarningDisplayOff()
    reader = module.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    array: NDArray[Any] = module.GetArrayFromImage(reader.Execute())
    return array.reshape(array.shape[-2:])
