"""Export a volume of a series to an image file for other programs: NRRD, NIfTI or MetaImage."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from itk_roundtrip import folders
from itk_roundtrip.arguments import IMAGE_FORMATS, Backend, Progress, check_there, checked, folder_of
from itk_roundtrip.display import as_document, as_html
from itk_roundtrip.errors import DestinationError, ITKCrashError, VerificationError, refuse_warnings
from itk_roundtrip.processes import Workers, uninterrupted
from itk_roundtrip.words import posix

if TYPE_CHECKING:
    from itk_roundtrip.pixels.formats import PixelType
    from itk_roundtrip.series.find import Series


@dataclass(frozen=True)
class ExportResult:
    """The outcome of an export.

    Attributes
    ----------
    verdict
        ``pass``: the file was read again and holds the same pixels and geometry.
    source, written
        The folder and the file, as given.
    format
        NRRD, NIfTI or MetaImage.
    series_instance_uid, volume
        Of the source, and the index of its volume.
    pixel_type
        ITK's name of the pixel type: UC, SS, US, F, D, RGBUC or RGBUS.
    size_xyz
        Number of voxels along each axis.
    spacing_xyz, origin_xyz
        In mm and LPS, as ITK has them.
    direction
        Row by row; the columns are the axes.
    geometry_error_mm
        Distance of the corner that is furthest from its place in the source, in the file as it was read again: NIfTI
        rounds to numbers of 32 bits.
    warnings
        For people.
    """

    verdict: Literal["pass"]
    source: str
    written: str
    format: str
    series_instance_uid: str
    volume: int
    pixel_type: PixelType
    size_xyz: tuple[int, ...]
    spacing_xyz: tuple[float, ...]
    origin_xyz: tuple[float, ...]
    direction: tuple[float, ...]
    geometry_error_mm: float
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<ExportResult {self.verdict}: volume {self.volume} as {self.format}, {self.written}>"

    def _repr_html_(self) -> str:
        return as_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of the command ``export``."""
        return as_document("export_document", self)


@checked()
def export_volume(
    source: str | os.PathLike[str] | Series,
    file: str | os.PathLike[str],
    *,
    series: str | int | None = None,
    volume: int | None = None,
    backend: Backend = "itk",
    overwrite: bool = False,
    allow_irregular: bool = False,
    strict: bool = False,
    progress: Progress | None = None,
) -> ExportResult:
    """Write a volume of a DICOM series to an image file for other programs.

    The file holds real-world values in the type in which :func:`itk_roundtrip.read_series` reads them, and where they
    lie, but nothing else of the headers. It appears when it has been read again and compared, or not at all.

    Parameters
    ----------
    source
        Folder with the series, at any depth, or a single file, or a series as :func:`find_series` returned it.
    file
        The image file: ``.nrrd``, ``.nii.gz``, ``.nii`` or ``.mha``. NIfTI rounds the geometry to numbers of 32 bits.
    series
        Needed if the folder holds several series with pixels: a number, counted from 1 as the command ``find`` does, a
        Series Instance UID (0020,000E) or the end of one that no other has, or the subfolder of one.
    volume
        Index of the volume, needed if the series holds several.
    backend
        Front end that reads the series.
    overwrite
        Replace the file.
    allow_irregular
        Write slices with gaps, or tilted by more than 1 mm over the volume, as a regular grid, which they are not.
    strict
        Refuse what there is any warning of.
    progress
        Called with (stage, done, of how many).

    Raises
    ------
    DestinationError
        The file cannot be used, or its extension is none of those.
    SeriesNotFoundError, AmbiguousSeriesError
        The source holds no series, or several, or several volumes, and none was chosen.
    UnsupportedSeriesError
        A kind of image that has no real-world values, or slices that are no regular grid.
    SeriesReadError, ITKCrashError
        A source file is damaged, or ITK cannot decode it.
    SeriesWriteError
        ITK or the disk did not take the file.
    VerificationError
        What was written is not what it must be; nothing was published.
    """
    quiet: Progress = lambda stage, done, total: None  # noqa: E731
    told = progress or quiet
    folder = folder_of(source, series)
    check_there(folder)
    suffix = _check_place(folder, file, overwrite=overwrite)
    with (
        _staged(file, suffix) as staged,
        Workers(1, prepare=f"itk_roundtrip.volume.export:{backend}") as workers,
    ):
        # Imported here, while the worker imports ITK: the command line starts without pydicom and numpy.
        from itk_roundtrip.series.find import find_source, left_out, without_pixels
        from itk_roundtrip.series.lattice import departures
        from itk_roundtrip.volume.checks import check_regular
        from itk_roundtrip.volume.read import choose_volume

        series_list, chosen = find_source(source, series, progress=lambda done, total: told("Scanning", done, total))
        choose_volume(chosen, volume)
        index = volume or 0
        if not allow_irregular:
            check_regular(chosen.volumes[index])
        warnings = [*left_out(series_list.skipped), *without_pixels(series_list, chosen)]
        warnings += [
            f"The file says that the slices are a regular grid, which they are not: {departure.message}."
            for departure in departures(chosen.volumes[index])
        ]
        warnings += [
            f"The source does not say all of where the slices lie ({reason}); what it leaves open is as ITK makes it"
            " up."
            for reason in _left_open(chosen)
        ]
        refuse_warnings(warnings, strict=strict)
        told("Exporting", 0, 1)
        outcome = workers.call(write_volume, chosen, index, backend, staged)
        if outcome.crashed:
            first = chosen.volumes[index].instances[0].name
            doing = f"wrote {posix(file)}" if staged.exists() else f"read {first} and the files behind it"
            raise ITKCrashError(f"ITK ended its process while it {doing}; nothing was written.", path=first)
        pixel_type, size, geometry, error_mm = outcome.value
        told("Exporting", 1, 1)
        _publish(staged, file, overwrite=overwrite)
    return ExportResult(
        verdict="pass",
        source=posix(folder),
        written=posix(file),
        format=IMAGE_FORMATS[suffix],
        series_instance_uid=chosen.series_instance_uid,
        volume=index,
        pixel_type=pixel_type,
        size_xyz=size,
        spacing_xyz=tuple(geometry[3:6]),
        origin_xyz=tuple(geometry[:3]),
        direction=tuple(geometry[6:]),
        geometry_error_mm=error_mm,
        warnings=tuple(warnings),
    )


def _left_open(series: Series) -> list[str]:
    """Return what the headers of a series leave open of where its slices lie, for people."""
    found = {irregularity.kind: irregularity.message for irregularity in series.irregularities}
    if any(slice_.place.position is None or slice_.place.orientation is None for slice_ in series.slices):
        found.setdefault("no-position", "images of this kind have no position")
    return [found[kind] for kind in ("no-position", "unknown-spacing") if kind in found]


# ----------------------------------------------------------------------------------------------------- in the worker


def prepare(backend: str) -> None:
    """Import what reading a series and writing a file needs."""
    from itk_roundtrip.itk_io import files
    from itk_roundtrip.itk_io.front_ends import front_end
    from itk_roundtrip.volume import checks, read  # noqa: F401

    front_end("simpleitk" if backend == "simpleitk" else "itk").load()
    files.prepare()


def write_volume(
    series: Series, index: int, backend: Backend, file: Path
) -> tuple[PixelType, tuple[int, ...], list[float], float]:
    """Read a volume of a series, write it to a file, and read and compare that.

    Returns
    -------
    tuple
        Pixel type, size, geometry (origin, spacing, direction) and error of the geometry in the file in mm.
    """
    import numpy as np

    from itk_roundtrip.dicom.headers import read_header
    from itk_roundtrip.itk_io.files import read_file, write_file
    from itk_roundtrip.itk_io.front_ends import front_end
    from itk_roundtrip.series.lattice import is_same, offset_mm
    from itk_roundtrip.volume.checks import check_real_values
    from itk_roundtrip.volume.images import lattice_of_volume
    from itk_roundtrip.volume.read import read_series

    volume = read_series(series, volume=index, backend=backend)
    for plane in {plane.instance.name: plane for plane in volume.planes}.values():
        header = read_header(plane.instance.path, plane.instance.name)
        check_real_values(plane.instance, plane.carriage, header, to_process=False)
    lattice = lattice_of_volume(volume)
    geometry = [float(number) for number in front_end(backend, volume.pixel_type).geometry(volume.image)]
    array_zyx = np.asarray(volume.array_zyx)
    write_file(file, array_zyx, volume.pixel_type, geometry)
    again = read_file(file)
    array = again.array
    same = array.dtype == array_zyx.dtype and array.shape == array_zyx.shape
    bits = f"u{array.dtype.itemsize}"  # NaN equals NaN, and -0.0 does not equal 0.0
    if not same or not np.array_equal(array.view(bits), array_zyx.view(bits)):
        raise VerificationError("The file does not hold the pixels of the volume when it is read again.")
    assert again.lattice is not None
    if not is_same(again.lattice, lattice, single_precision=again.single_precision):
        raise VerificationError("The file does not lie where the volume does when it is read again.")
    return volume.pixel_type, lattice.size, geometry, offset_mm(again.lattice, lattice)


# ------------------------------------------------------------------------------------------------------- the file


def _check_place(source: str | os.PathLike[str], file: str | os.PathLike[str], *, overwrite: bool) -> str:
    """Return the extension of the file; refuse a file that cannot be written there."""
    name = posix(file)
    suffix = next((known for known in IMAGE_FORMATS if name.lower().endswith(known)), None)
    if suffix is None or not os.path.basename(name)[: -len(suffix)]:
        *others, last = IMAGE_FORMATS
        listed = f"{', '.join(others)} or {last}"
        raise DestinationError(f"{name} names no format; end it with {listed}.", path=name)
    parent = os.path.dirname(os.path.abspath(name))
    if not os.path.isdir(parent):
        raise DestinationError(f"The folder for {name} does not exist; make it first.", path=name)
    if Path(os.path.realpath(name)).is_relative_to(os.path.realpath(source)):
        raise DestinationError(
            f"{name} lies in {posix(source)}, which is not written to; name a file elsewhere.", path=name
        )
    if os.path.lexists(name):
        if not os.path.isfile(name):
            raise DestinationError(f"{name} is no file; name another one.", path=name)
        if not overwrite:
            raise _exists(name)
    return suffix


def _exists(name: str) -> DestinationError:
    return DestinationError(
        f"{name} exists; name another file, or replace it with overwrite=True.", path=name, option="overwrite=True"
    )


@contextlib.contextmanager
def _staged(file: str | os.PathLike[str], suffix: str) -> Iterator[Path]:
    """Yield where to make the file, in a hidden and locked folder beside its place.

    What a killed export left in the folder is removed first; the folder is removed afterwards.
    """
    target = Path(os.path.realpath(file))
    folder = target.parent / f".{target.name}.itk-roundtrip"
    work = folders.new_subfolder(folder)
    try:
        with uninterrupted():
            lock = folders.lock(folder)
            for remnant in folders.remnants(folder):
                folders.remove(remnant)
            work.mkdir()
    except BlockingIOError:
        raise DestinationError(f"Another export is writing {posix(file)}; wait for it.", path=posix(file)) from None
    except OSError as error:
        raise _refused(file, error) from None
    try:
        yield work / f"volume{suffix}"
    except Exception:
        if not work.exists():
            raise folders.gone(posix(file), folder) from None
        raise
    finally:
        with uninterrupted():
            folders.remove_locked(folder, lock)


def _publish(staged: Path, file: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Put the file in its place in one step; unless it may be replaced, only if there is none."""
    target = Path(os.path.realpath(file))
    try:
        with uninterrupted():
            if overwrite and target.exists():
                staged.chmod(target.stat().st_mode & 0o7777)
            if overwrite:
                os.replace(staged, target)
            else:
                _link(staged, target)
    except FileExistsError:
        raise _exists(posix(file)) from None
    except OSError as error:
        raise _refused(file, error) from None


def _link(staged: Path, target: Path) -> None:
    """Give a file its place unless there is one; a file system without hard links leaves an instant in between."""
    try:
        os.link(staged, target)
    except FileExistsError:
        raise
    except OSError:
        if target.exists():
            raise FileExistsError from None
        os.rename(staged, target)


def _refused(file: str | os.PathLike[str], error: OSError) -> DestinationError:
    """Return the error for a file that the system refuses."""
    reason = os.strerror(error.errno).lower() if error.errno else "the system refused it"
    return DestinationError(f"{posix(file)} cannot be written: {reason}.", path=posix(file))
