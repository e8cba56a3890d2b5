"""A GDCMImageIO that has read a file overruns the heap when it writes another image, or colour.

The case runs in a process of its own, which mostly ends with SIGABRT or SIGSEGV. Needs itk, numpy and pydicom.
Exit code 2: reproduced, a crash or wrong pixels; 0: not reproduced.
"""

import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import itk
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

SIZE = 64
RUNS = 5
"""Most runs until one ends badly: what an overrun does is luck."""


def write_source(file: Path, samples: int) -> None:
    """Write an image of 8 bits and one or three samples per pixel."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.Modality, dataset.PatientID = "OT", "1"
    dataset.SamplesPerPixel = samples
    dataset.PhotometricInterpretation = "RGB" if samples == 3 else "MONOCHROME2"
    if samples == 3:
        dataset.PlanarConfiguration = 0
    dataset.Rows = dataset.Columns = SIZE
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = (np.arange(SIZE * SIZE * samples) % 251).astype(np.uint8).tobytes()
    dataset.save_as(file, enforce_file_format=True)


def grey(source: str, written: str, fresh: bool) -> None:
    """Read 8 bits, write 16 bits: the buffer has a byte for each pixel, and two are copied into it."""
    io = itk.GDCMImageIO.New()
    reader = itk.ImageFileReader[itk.Image[itk.UC, 2]].New(FileName=source, ImageIO=io)
    reader.Update()
    image = itk.Image[itk.US, 2].New()
    image.SetRegions([SIZE, SIZE])
    image.Allocate()
    itk.array_view_from_image(image)[...] = np.arange(SIZE * SIZE, dtype=np.uint16).reshape(SIZE, SIZE)
    writer = itk.ImageFileWriter[itk.Image[itk.US, 2]].New(FileName=written)
    writer.SetImageIO(itk.GDCMImageIO.New() if fresh else io)
    writer.SetInput(image)
    writer.Update()


def colour(source: str, written: str, fresh: bool) -> None:
    """Read colour, write it: the buffer has a byte for each pixel, and three are copied into it."""
    image_type = itk.Image[itk.RGBPixel[itk.UC], 2]
    io = itk.GDCMImageIO.New()
    reader = itk.ImageFileReader[image_type].New(FileName=source, ImageIO=io)
    reader.Update()
    writer = itk.ImageFileWriter[image_type].New(FileName=written)
    writer.SetImageIO(itk.GDCMImageIO.New() if fresh else io)
    writer.SetInput(reader.GetOutput())
    writer.Update()


WELL = "the same pixels"
CASES = {"8 bits read, 16 bits written": (grey, 1), "RGB read, RGB written": (colour, 3)}
"""Case by its name: what it does, and the samples per pixel of what it reads."""


def ended(name: str, fresh: bool, folder: Path) -> str:
    """Run a case in a process of its own; return how it ended."""
    source, written = folder / "source.dcm", folder / "written.dcm"
    written.unlink(missing_ok=True)
    write_source(source, CASES[name][1])
    words = [sys.executable, __file__, name, str(source), str(written), "fresh" if fresh else "same"]
    done = subprocess.run(words, capture_output=True, check=False)
    if done.returncode < 0:
        return f"the process ended by signal {-done.returncode}"
    if done.returncode:
        return f"exit code {done.returncode}"
    dataset = pydicom.dcmread(written)
    if CASES[name][1] == 3:
        expected = pydicom.dcmread(source).pixel_array
    else:
        expected = np.arange(SIZE * SIZE, dtype=np.uint16).reshape(SIZE, SIZE)
    try:
        equal = np.array_equal(dataset.pixel_array, expected)
    except ValueError as error:
        return f"pixels that cannot be decoded ({error})"
    return WELL if equal else f"other pixels, Bits Allocated {dataset.BitsAllocated}"


def main(wanted: list[str]) -> int:
    """Print what was expected and how some or all cases ended, with a fresh and with the same GDCMImageIO."""
    print(f"ITK {version('itk-io')}")
    reproduced = False
    with tempfile.TemporaryDirectory() as folder:
        for name in wanted or CASES:
            for fresh in (True, False):
                runs = (ended(name, fresh, Path(folder)) for _ in range(1 if fresh else RUNS))
                seen = next((text for text in runs if text != WELL), WELL)
                which = "a fresh GDCMImageIO" if fresh else "the same GDCMImageIO"
                print(f"{name}, {which}: expected {WELL}, seen {seen}")
                reproduced = reproduced or (not fresh and seen != WELL)
    print("reproduced" if reproduced else "not reproduced")
    return 2 if reproduced else 0


if __name__ == "__main__":
    if len(sys.argv) == 5:
        case, source, written, which = sys.argv[1:]
        CASES[case][0](source, written, which == "fresh")
    else:
        sys.exit(main(sys.argv[1:]))
