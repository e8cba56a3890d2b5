"""Versions of the software that this package works with, found without importing any of it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import mmap
import platform
import re
from pathlib import Path

_PACKAGES = {"ITK": "itk-io", "SimpleITK": "SimpleITK", "pydicom": "pydicom", "numpy": "numpy"}


def versions() -> dict[str, str]:
    """Return the version of each by its name; of those that are installed, and of GDCM where ITK's library says it."""
    found = {"Python": platform.python_version()}
    for name, package in _PACKAGES.items():
        try:
            found[name] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        if name == "ITK" and (gdcm := _gdcm()):
            found["GDCM"] = gdcm
    return found


def _gdcm() -> str:
    """Return the version of the GDCM in ITK, which stands in the library that wraps it; empty if it is not found."""
    package = importlib.util.find_spec("itk")
    folder = Path(package.origin).parent if package is not None and package.origin else Path()
    for library in folder.glob("_ITKIOGDCMPython*"):
        with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if match := re.search(rb"GDCM (\d+\.\d+\.\d+)\0", content):
                return match[1].decode()
    return ""
