"""``export``: what other programs read in the file is the volume, and what comes back from them is too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from itertools import cycle
from pathlib import Path
from typing import Any

import nibabel
import nrrd
import numpy as np
import pydicom.data
import pytest
import SimpleITK
from conftest import SAMPLE
from synthetic import CASES, is_available, write_case, write_series
from typer.testing import CliRunner

import itk_roundtrip as rt
from itk_roundtrip import folders
from itk_roundtrip.cli import app
from itk_roundtrip.itk_io.files import read_file
from itk_roundtrip.processes import Workers
from itk_roundtrip.series.lattice import departures
from itk_roundtrip.volume import export
from itk_roundtrip.volume.export import export_volume, write_volume
from itk_roundtrip.volume.images import laid, lattice_of_volume

pytestmark = pytest.mark.usefixtures("_lent")

EXTENSIONS = (".nrrd", ".nii.gz", ".mha")
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


def affine(volume: rt.Volume) -> np.ndarray[Any, Any]:
    return lattice_of_volume(volume).index_to_lps


def witness_nrrd(file: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return pixels (z, y, x), colours behind, and the map of indices to LPS as pynrrd reads them."""
    array, header = nrrd.read(str(file))
    assert header["space"] == "left-posterior-superior"
    assert set(header) <= {"type", "dimension", "space", "sizes", "space directions", "kinds", "endian", "encoding",
                           "space origin"}  # fmt: skip
    axes = np.array([axis for axis in header["space directions"] if not np.isnan(axis).any()]).T
    if array.ndim == 4:
        array = np.moveaxis(array, 0, 3)
    return array.swapaxes(0, 2), np.column_stack([axes, header["space origin"]])


def witness_nifti(file: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return pixels (z, y, x), colours behind, and the map of indices to LPS as nibabel reads them."""
    image = nibabel.load(file)
    header = image.header
    assert (header["descrip"], header["aux_file"], header["intent_name"], header["db_name"]) == (b"", b"", b"", b"")
    assert not header.extensions
    array = np.asarray(image.dataobj)
    if array.dtype.names:
        array = np.stack([array[name] for name in array.dtype.names], axis=-1)
    if array.ndim == 5:
        array = array[:, :, :, 0, :]
    return array.swapaxes(0, 2), LPS_TO_RAS @ image.affine[:3]


def witness_meta_image(file: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the same as SimpleITK reads it; the header is looked at as text."""
    header = file.read_bytes().partition(b"ElementDataFile = LOCAL\n")[0].decode("ascii")
    assert {line.partition(" = ")[0] for line in header.splitlines()} <= {
        *("ObjectType", "NDims", "BinaryData", "BinaryDataByteOrderMSB", "CompressedData", "TransformMatrix", "Offset"),
        *("CenterOfRotation", "AnatomicalOrientation", "ElementSpacing", "DimSize", "ElementNumberOfChannels"),
        "ElementType",
    }
    image = SimpleITK.ReadImage(str(file))
    axes = np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing())
    return SimpleITK.GetArrayFromImage(image), np.column_stack([axes, image.GetOrigin()])


WITNESSES = {".nrrd": witness_nrrd, ".nii.gz": witness_nifti, ".nii": witness_nifti, ".mha": witness_meta_image}


def check_file(file: Path, volume: rt.Volume) -> None:
    """Check that a file holds a volume, by outside witnesses, and that it comes back from the file exactly."""
    extension = next(known for known in WITNESSES if file.name.endswith(known))
    array, index_to_lps = WITNESSES[extension](file)
    assert array.dtype == volume.array_zyx.dtype
    np.testing.assert_array_equal(array, volume.array_zyx)
    rounding = 2.0**-22 if "nii" in extension else 1e-14
    scale = np.abs(affine(volume)).max()
    np.testing.assert_allclose(index_to_lps, affine(volume), rtol=0, atol=rounding * scale)
    back = laid(read_file(file), volume, str(file))
    assert back.dtype == volume.array_zyx.dtype
    np.testing.assert_array_equal(back, volume.array_zyx)


def export_all(series: rt.Series, workers: Workers, folder: Path, extensions: tuple[str, ...]) -> int:
    """Export the first and the last volume of a series in each format; return how many files there were."""
    count = 0
    for index in sorted({0, len(series.volumes) - 1}):
        try:
            volume = rt.read_series(series, volume=index)
        except rt.RoundtripError as refusal:
            with pytest.raises(type(refusal)):
                workers.call(write_volume, series, index, "itk", folder / "image.nrrd")
            continue
        colours = volume.planes[0].carriage.photometric
        for extension in extensions:
            file = folder / f"image{extension}"
            is_value = colours != "PALETTE COLOR" and not colours.startswith("YBR")
            if not is_value or has_modality_lut(series):
                with pytest.raises(rt.UnsupportedSeriesError, match="no real-world values"):
                    workers.call(write_volume, series, index, "itk", file)
                continue
            if volume.pixel_type == "RGBUS" and len(volume.planes) == 1 and extension == ".nii.gz":
                with pytest.raises(rt.SeriesWriteError, match="no single slice of 16-bit colours"):
                    workers.call(write_volume, series, index, "itk", file)
                continue
            assert not workers.call(write_volume, series, index, "itk", file).crashed
            check_file(file, volume)
            file.unlink()
            count += 1
    return count


def has_modality_lut(series: rt.Series) -> bool:
    try:
        dataset = pydicom.dcmread(series.instances[0].path, force=True, stop_before_pixels=True)
    except zlib.error:  # it only claims to be deflated
        return False
    return "ModalityLUTSequence" in dataset


# ------------------------------------------------------------------------------------------------------ round trips


OF_EACH_TYPE = {
    "UC": "one_bit_odd", "SS": "u12_ct", "US": "u16_mr", "F": "u16_ct", "D": "bits_32", "RGBUC": "rgb",
    "RGBUS": "rgb_16",
}  # fmt: skip
"""A case of each pixel type."""
KINDS = [name for name, case in CASES.items() if "exact" in (case.outcome, case.expected("derived"))][::4]
"""One in four: most cases differ in headers, of which an image has none."""


@pytest.mark.parametrize(("name", "extension"), list(zip(KINDS, cycle(EXTENSIONS), strict=False)))
def test_every_kind(name: str, extension: str, workers: Workers, tmp_path: Path) -> None:
    if not is_available(name):
        pytest.skip("no encoder for this transfer syntax")
    write_case(name, tmp_path / "in")
    for series in rt.find_series(tmp_path / "in"):
        export_all(series, workers, tmp_path, (extension,))


@pytest.mark.parametrize("pixel_type", OF_EACH_TYPE)
def test_every_pixel_type(pixel_type: str, workers: Workers, tmp_path: Path) -> None:
    """In each format, a volume and a single slice."""
    for slices in (4, 1):
        folder = tmp_path / str(slices)
        write_series(folder, **{**CASES[OF_EACH_TYPE[pixel_type]].keywords, "slices": slices})
        (series,) = rt.find_series(folder)
        assert rt.read_series(series).pixel_type == pixel_type
        assert export_all(series, workers, tmp_path, EXTENSIONS) > 0


CORPUS = Path(os.environ.get("ITK_ROUNDTRIP_CORPUS", os.devnull))
FOLDERS = sorted(path.name for path in CORPUS.glob("*") if path.is_dir())


@pytest.mark.parametrize(("folder", "extension"), list(zip(FOLDERS, cycle((".nrrd", ".nii.gz")), strict=False)))
def test_real_series(folder: str, extension: str, workers: Workers, corpus: Path, tmp_path: Path) -> None:
    """In one format each: what the formats hold of every kind is told above."""
    for series in rt.find_series(corpus / folder):
        export_all(series, workers, tmp_path, (extension,))


@pytest.mark.parametrize("backend", ["itk", "simpleitk"])
@pytest.mark.parametrize("extension", [*EXTENSIONS, ".nii", ".NRRD"])
def test_the_result_says_what_was_written(extension: str, backend: str, tmp_path: Path) -> None:
    file = tmp_path / f"image{extension}"
    result = export_volume(SAMPLE, file, backend=backend)
    assert (result.verdict, result.source, result.written) == ("pass", str(SAMPLE), str(file))
    assert (result.pixel_type, result.size_xyz, result.volume) == ("SS", (128, 128, 24), 0)
    assert result.spacing_xyz == (2.8125, 2.8125, 2.5)
    assert result.warnings == ()
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    (tmp_path / "copy").mkdir()
    copy = tmp_path / "copy" / file.name.lower()
    file.rename(copy)
    check_file(copy, rt.read_series(rt.find_series(SAMPLE)[0]))


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_nothing_of_the_headers_is_in_the_file(extension: str, tmp_path: Path) -> None:
    files = write_series(tmp_path / "in", slices=3, rows=2, columns=2)
    export_volume(tmp_path / "in", tmp_path / f"image{extension}")
    content = (tmp_path / f"image{extension}").read_bytes()
    if extension == ".nii.gz":
        import gzip

        assert content[3] & 0x1C == 0  # neither name nor comment in the header of gzip
        content = gzip.decompress(content)
    for element in pydicom.dcmread(files[0]):
        text = str(element.value)
        if element.VR not in ("SQ", "OW", "OB") and len(text) > 5:
            assert text.encode() not in content, element.keyword


# ------------------------------------------------------------------------------------------------- what is refused


def test_slices_that_are_no_grid(tmp_path: Path) -> None:
    for geometry, message in (
        ("gap", r"no regular grid: .* and .* are 5 mm apart, most neighbours 2.5 mm"),
        ("tilt", r"no regular grid: .* lies 1.5 mm beside the normal through"),
    ):
        source, file = tmp_path / geometry, tmp_path / f"{geometry}.nrrd"
        write_series(source, geometry=geometry)
        with pytest.raises(rt.UnsupportedSeriesError, match=message) as caught:
            export_volume(source, file)
        assert caught.value.path
        assert caught.value.option == "allow_irregular=True"
        assert not file.exists()
        result = export_volume(source, file, allow_irregular=True)
        assert len(result.warnings) == 1
        assert "regular grid, which they are not" in result.warnings[0]


@pytest.mark.parametrize(
    ("geometry", "slices"), [("tilt", 3), ("wobble", 6), ("oblique", 6), ("sagittal", 4), ("none", 4)]
)
def test_slices_that_are_a_grid(geometry: str, slices: int, tmp_path: Path) -> None:
    """Tilted by 1 mm in all at most; what has no positions departs from none."""
    write_series(tmp_path, geometry=geometry, slices=slices)
    assert departures(rt.find_series(tmp_path)[0].volumes[0]) == ()


def test_frames_of_a_dose_that_are_no_grid(tmp_path: Path) -> None:
    keywords = dict(CASES["rtdose_frames"].keywords)
    keywords["attributes"] = {**keywords["attributes"], "GridFrameOffsetVector": r"0\2.5\7.5"}
    write_series(tmp_path, **keywords)
    (found,) = departures(rt.find_series(tmp_path)[0].volumes[0])
    assert found.kind == "gap"


def test_what_the_source_leaves_open_is_told(tmp_path: Path) -> None:
    write_series(tmp_path / "in", geometry="none")
    result = export_volume(tmp_path / "in", tmp_path / "image.nrrd")
    assert any("does not say all of where the slices lie" in warning for warning in result.warnings)


def test_several_volumes(tmp_path: Path) -> None:
    write_case("echoes", tmp_path / "in")
    with pytest.raises(rt.AmbiguousSeriesError, match="choose one with volume=K"):
        export_volume(tmp_path / "in", tmp_path / "image.nrrd")
    assert export_volume(tmp_path / "in", tmp_path / "image.nrrd", volume=1).volume == 1
    with pytest.raises(rt.RoundtripError, match="2 volumes, counted from 0; 2 is none"):
        export_volume(tmp_path / "in", tmp_path / "other.nrrd", volume=2)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"photometric": "PALETTE COLOR", "palette": "16", "modality": "US", "bits_allocated": 8, "bits_stored": 8},
         "indices of a colour palette"),
        ({"photometric": "YBR_FULL", "samples": 3, "modality": "US", "bits_allocated": 8, "bits_stored": 8},
         "colours as YBR_FULL"),
        ({"modality": "CR", "modality_lut": True, "slices": 1}, "Modality LUT"),
    ],
)  # fmt: skip
def test_pixels_that_are_no_real_values(keywords: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_series(tmp_path / "in", **keywords)
    with pytest.raises(rt.UnsupportedSeriesError, match=message):
        export_volume(tmp_path / "in", tmp_path / "image.nrrd")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_places_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "there.nrrd").write_text("kept")
    (tmp_path / "folder.nrrd").mkdir()
    (tmp_path / "in").mkdir()
    for file, message in (
        ("image.png", r"names no format; end it with \.nrrd, \.nii\.gz, \.nii or \.mha"),
        ("image", "names no format"),
        (".nrrd", "names no format"),
        ("image.gz", "names no format"),
        ("there.nrrd", r"exists; name another file, or replace it with overwrite=True"),
        ("folder.nrrd", "is no file"),
        ("absent/image.nrrd", "does not exist; make it first"),
        ("in/image.nrrd", "is not written to"),
    ):
        with pytest.raises(rt.DestinationError, match=message):
            export_volume(tmp_path / "in", tmp_path / file)
    assert (tmp_path / "there.nrrd").read_text() == "kept"
    with pytest.raises(rt.SeriesNotFoundError, match="is neither a folder nor a file"):
        export_volume(tmp_path / "absent", tmp_path / "image.nrrd")
    with pytest.raises(rt.RoundtripError, match="allow_irregular must be True or False"):
        export_volume(tmp_path / "in", tmp_path / "image.nrrd", allow_irregular=1)  # type: ignore[arg-type]


def test_a_file_is_replaced_when_the_new_one_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "image.nrrd"
    file.write_text("old")
    file.chmod(0o640)
    (tmp_path / "in").mkdir()
    with pytest.raises(rt.SeriesNotFoundError):
        export_volume(tmp_path / "in", file, overwrite=True)
    assert file.read_text() == "old"
    export_volume(SAMPLE, file, overwrite=True)
    assert file.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.nrrd", "in"]
    check_file(file, rt.read_series(rt.find_series(SAMPLE)[0]))
    # What appears at the last moment is not replaced unasked.
    file.rename(tmp_path / "other.nrrd")
    link = os.link

    def late(staged: Path, target: Path) -> None:
        file.write_text("somebody's")
        link(staged, target)

    monkeypatch.setattr("os.link", late)
    with pytest.raises(rt.DestinationError, match="exists"):
        export_volume(SAMPLE, file)
    assert file.read_text() == "somebody's"


def test_what_a_killed_export_left_is_removed(tmp_path: Path) -> None:
    remnant = tmp_path / ".image.nrrd.itk-roundtrip"
    remnant.mkdir()
    (remnant / "volume.nrrd").write_text("half")
    export_volume(SAMPLE, tmp_path / "image.nrrd")
    assert [path.name for path in tmp_path.iterdir()] == ["image.nrrd"]


def test_two_at_once(tmp_path: Path) -> None:
    hidden = tmp_path / ".image.nrrd.itk-roundtrip"
    lock = folders.lock(hidden)
    with pytest.raises(rt.DestinationError, match="Another export is writing"):
        export_volume(SAMPLE, tmp_path / "image.nrrd")
    folders.remove_locked(hidden, lock)
    assert list(tmp_path.iterdir()) == []


def _die(*_: object) -> None:
    os._exit(1)


def test_a_crash_is_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "write_volume", _die)
    with pytest.raises(rt.ITKCrashError, match="ended its process while it read"):
        export_volume(SAMPLE, tmp_path / "image.nrrd")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_what_it_must_be_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from itk_roundtrip.itk_io import files

    (series,) = rt.find_series(SAMPLE)
    write = files.write_file
    for change, message in (
        (lambda array, geometry: (array + 1, geometry), "does not hold the pixels"),
        (lambda array, geometry: (array, [geometry[0] + 0.1, *geometry[1:]]), "does not lie where"),
    ):

        def wrong(file: Path, array: Any, pixel_type: Any, geometry: Any, change: Any = change) -> None:
            array, geometry = change(array, geometry)
            write(file, array, pixel_type, geometry)

        monkeypatch.setattr(files, "write_file", wrong)
        with pytest.raises(rt.VerificationError, match=message):
            write_volume(series, 0, "itk", tmp_path / "image.nrrd")


# ------------------------------------------------------------------------------------------------------ command line


def test_command_line(tmp_path: Path) -> None:
    runner = CliRunner()
    file = tmp_path / "image.nii.gz"
    done = runner.invoke(app, ["export", str(SAMPLE), str(file), "--json"])
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert {"schema", "verdict", "written", "pixel_type", "size_xyz", "spacing_xyz", "volume"} <= set(document)
    assert (document["verdict"], document["written"]) == ("pass", str(file))
    again = runner.invoke(app, ["export", str(SAMPLE), str(file)])
    assert again.exit_code == 2
    assert "replace it with --overwrite." in again.stderr
    assert runner.invoke(app, ["export", str(SAMPLE), str(tmp_path / "image.png")]).exit_code == 2


def test_bad_arguments_are_told_before_itk_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys\nimport itk_roundtrip as rt\n"
        f"try: rt.export_volume({str(SAMPLE)!r}, {str(tmp_path / 'image.png')!r})\n"
        "except rt.DestinationError: print('refused', 'numpy' in sys.modules, 'itk' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["refused", "False", "False"]
