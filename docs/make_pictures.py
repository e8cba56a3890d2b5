"""Make docs/median.png: a slice of the sample series before and after the filter of docs/reference/processing.md.

    python docs/make_pictures.py [FILE]

It needs Pillow beside itk-roundtrip, and takes some ten seconds. The pictures are drawn from the DICOM files.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image, ImageDraw, ImageFont

import itk_roundtrip as rt

ROOT = Path(__file__).parent.parent
SLICE, SCALE, GAP, LINE = 12, 3, 8, 26
SHOWN_HU = (-1024, 376)  # from black to white
DIFFERENCE_HU = (-200, 200)


def values(file: Path) -> np.ndarray[Any, Any]:
    """Return the values of a file in HU."""
    dataset = pydicom.dcmread(file)
    return dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


def panel(shown: np.ndarray[Any, Any], limits: tuple[int, int]) -> Image.Image:
    """Return values as an enlarged grey image, from black to white between the limits."""
    grey = np.clip((shown - limits[0]) / (limits[1] - limits[0]) * 255, 0, 255)
    return Image.fromarray(np.kron(grey.round().astype(np.uint8), np.ones((SCALE, SCALE), np.uint8)))


def main(file: Path) -> None:
    """Filter the series, and draw a slice of source and result and their difference."""
    source, name = ROOT / "data" / "ct-phantom", f"CT{SLICE:04}.dcm"
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "median")
        rt.roundtrip(source, written, apply="itk:median_image_filter", parameters={"radius": 1})
        before, after = values(source / name), values(written / f"derived_{name}")
    panels = [
        (f"before, {SHOWN_HU[0]} to {SHOWN_HU[1]} HU", panel(before, SHOWN_HU)),
        ("after a median of radius 1", panel(after, SHOWN_HU)),
        (f"after - before, {DIFFERENCE_HU[0]} to {DIFFERENCE_HU[1]} HU", panel(after - before, DIFFERENCE_HU)),
    ]
    width, height = panels[0][1].size
    picture = Image.new("L", (len(panels) * (width + GAP) - GAP, height + LINE), 255)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=16)
    for index, (title, image) in enumerate(panels):
        left = index * (width + GAP)
        picture.paste(image, (left, LINE))
        draw.text((left + 2, 2), title, fill=0, font=font)
    picture.save(file, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "median.png")
