"""A volume is written as it was read, or refused: whatever field was replaced or edited, for both front ends."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import itk
import numpy as np
import pydicom
import pytest
import SimpleITK
import witness
from conftest import one_series
from synthetic import write_case, write_series
from test_read_series import BACKENDS, Backend

import itk_roundtrip as rt
from itk_roundtrip.volume.volume import Derivation


class Given(NamedTuple):
    """A volume and its folder, another volume of the same size, and one of another size."""

    volume: rt.Volume
    other: rt.Volume
    larger: rt.Volume


@pytest.fixture(scope="module", params=BACKENDS)
def given(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Given:
    folder, backend = tmp_path_factory.mktemp("edited"), request.param
    write_series(folder / "source", seed=1, slices=3)
    write_series(folder / "other", seed=2, slices=3)
    write_series(folder / "larger", seed=3, slices=4, rows=14)
    read = [rt.read_series(one_series(folder / name), backend=backend) for name in ("source", "other", "larger")]
    return Given(*read)


def of_both(
    by_itk: Callable[[Any], Any], by_simpleitk: Callable[[SimpleITK.Image], SimpleITK.Image]
) -> Callable[[Given], rt.Volume]:
    """Return a change that puts the result of a filter into the image."""

    def changed(given: Given) -> rt.Volume:
        by = by_itk if given.volume.backend == "itk" else by_simpleitk
        return replace(given.volume, image=by(given.volume.image))

    return changed


def turned_round(image: Any) -> Any:
    """Return the same pixels under another direction."""
    result = copied(image)
    if isinstance(image, SimpleITK.Image):
        result.SetDirection([-1, 0, 0, 0, -1, 0, 0, 0, 1])
    else:
        result.SetDirection(np.diag([-1.0, -1.0, 1.0]))
    return result


def shifted(image: Any) -> Any:
    result = copied(image)
    itk.array_view_from_image(result)[...] += 1
    return result


def copied(image: Any) -> Any:
    return SimpleITK.Image(image) if isinstance(image, SimpleITK.Image) else itk.image_duplicator(image)


def with_metadata(image: Any) -> Any:
    """Return the same image, which says something of itself, as programs with SimpleITK have it."""
    result = copied(image)
    if isinstance(result, SimpleITK.Image):
        result.SetMetaData("0008|103e", "Median")
    else:
        result.GetMetaDataDictionary()["0008|103e"] = "Median"
    return result


def edited_copies(dictionaries: Any) -> list[Any]:
    """Return copies of dictionaries, the last one with another description."""
    kind = type(dictionaries[0])
    result = [kind(each) for each in dictionaries]
    result[-1]["0008|103e"] = "edited"
    return result


def with_other_instance(given: Given, **changes: Any) -> rt.Volume:
    """Return the volume with a series whose first instance says something else."""
    series = given.volume.series
    first = replace(series.instances[0], **changes)
    planes = (replace(given.volume.planes[0], instance=first), *given.volume.planes[1:])
    return replace(given.volume, series=replace(series, instances=(first, *series.instances[1:])), planes=planes)


def masked(given: Given) -> rt.Volume:
    return replace(given.volume, array_zyx=np.ma.masked_less(given.volume.array_zyx, 0))


EDITS: dict[str, tuple[Callable[[Given], rt.Volume], str]] = {
    # the image
    # of ITK's filters, one whose module loads in a second; others take six
    "filtered": (of_both(lambda i: itk.flip_image_filter(i, flip_axes=(True, False, False)),
                         lambda i: SimpleITK.Median(i, (1, 1, 1))), "(pixels of .* in `image`|geometry of the image)"),
    "shifted by one": (of_both(shifted, lambda i: i + 1),
                       "pixels of .* in `image`"),
    "image of floats": (of_both(lambda i: itk.cast_image_filter(i, ttype=(type(i), itk.Image[itk.F, 3])),
                                lambda i: SimpleITK.Cast(i, SimpleITK.sitkFloat32)), "`image` .* another type"),
    "cropped": (of_both(lambda i: itk.crop_image_filter(i, boundary_crop_size=(1, 1, 0)),
                        lambda i: SimpleITK.Crop(i, (1, 1, 0), (1, 1, 0))), "`image` .* another size"),
    "one slice": (of_both(lambda i: itk.array_from_image(i)[0], lambda i: i[:, :, 0]), "`image` .* another"),
    "filter, not its output": (of_both(lambda i: itk.CastImageFilter.New(i), lambda i: SimpleITK.CastImageFilter()),
                               "`image` .* another type"),
    "not updated": (of_both(lambda i: itk.CastImageFilter[type(i), type(i)].New(Input=i).GetOutput(),
                            lambda i: SimpleITK.Image(2, 2, 2, SimpleITK.sitkInt16)), "`image` .* another size"),
    "flipped": (of_both(turned_round, turned_round), "geometry of the image"),
    "image with metadata of its own": (of_both(with_metadata, with_metadata), r"metadata of `image` .*0008.103e"),
    "image of another series": (lambda g: replace(g.volume, image=g.other.image), "pixels of .* in `image`"),
    "image of another size": (lambda g: replace(g.volume, image=g.larger.image), "`image` .* another size"),
    "array for an image": (lambda g: replace(g.volume, image=g.volume.array_zyx), "`image` .* another type"),
    "no image": (lambda g: replace(g.volume, image=None), r"`image` .* another type \(NoneType\)"),
    "image of the other front end": (
        of_both(lambda i: SimpleITK.GetImageFromArray(itk.array_from_image(i)),
                lambda i: itk.image_from_array(SimpleITK.GetArrayFromImage(i))), "`image` .* another type"),
    # the array
    "array filtered": (lambda g: replace(g.volume, array_zyx=g.volume.array_zyx + 1), "pixels of .* in `array_zyx`"),
    "one value": (lambda g: replace(g.volume, array_zyx=np.where(
        np.arange(g.volume.array_zyx.size).reshape(g.volume.array_zyx.shape) == 5, 7, g.volume.array_zyx)),
        "pixels of .* in `array_zyx`"),
    "array reversed": (lambda g: replace(g.volume, array_zyx=g.volume.array_zyx[::-1]), "pixels of .* in `array_zyx`"),
    "array shortened": (lambda g: replace(g.volume, array_zyx=g.volume.array_zyx[:2]), "other slices .* `array_zyx`"),
    "array of another series": (lambda g: replace(g.volume, array_zyx=g.larger.array_zyx), "other slices or pixels"),
    "array as a list": (lambda g: replace(g.volume, array_zyx=g.volume.array_zyx.tolist()), "`array_zyx` .* type list"),
    "array masked": (masked, "`array_zyx` .* masked"),
    "both replaced": (lambda g: replace(g.volume, array_zyx=g.other.array_zyx, image=g.other.image),
                      "pixels of .* in `array_zyx`"),
    # the dictionaries
    "record of another series": (lambda g: replace(g.volume, as_read=g.other.as_read), "`(series|planes)` "),
    "no record": (lambda g: replace(g.volume, as_read=None), "`as_read` .* not made by read_series"),
    "copies for a record": (lambda g: replace(g.volume, as_read=tuple(g.volume.metadata)), "`as_read` .* not made by"),
    "dictionaries shortened": (lambda g: replace(g.volume, metadata=g.volume.metadata[:-1]),
                               "2 metadata dictionaries for 3 slices"),
    "no dictionaries": (lambda g: replace(g.volume, metadata=None), "`metadata` .* type NoneType"),
    "texts for dictionaries": (lambda g: replace(g.volume, metadata=["", "", ""]), "`metadata` .* one dictionary"),
    # what it is of
    "another series": (lambda g: replace(g.volume, series=g.other.series), "`series` .* of its folder"),
    "series cut": (lambda g: replace(g.volume, series=replace(
        g.volume.series, instances=g.volume.series.instances[:2])), "`planes` .* its series"),
    "series reversed": (lambda g: replace(g.volume, series=replace(
        g.volume.series, instances=g.volume.series.instances[::-1])), "`series` .* another order"),
    "series of nothing": (lambda g: replace(g.volume, series=replace(g.volume.series, instances=())), "no instances"),
    "series of another UID": (lambda g: replace(g.volume, series=replace(g.volume.series, series_instance_uid="1.2")),
                              "another Series Instance UID"),
    "series in another folder": (lambda g: replace(g.volume, series=replace(
        g.volume.series, directory=g.other.series.directory)), "`series` .* of its folder"),
    "a path for a series": (lambda g: replace(g.volume, series="folder"), "`series` .* type str"),
    "planes reversed": (lambda g: replace(g.volume, planes=g.volume.planes[::-1]), "`planes` "),
    "planes shortened": (lambda g: replace(g.volume, planes=g.volume.planes[:2]), "`planes` "),
    "planes of another series": (lambda g: replace(g.volume, planes=g.other.planes), "`planes` "),
    "no planes": (lambda g: replace(g.volume, planes=None), "`planes` .* type NoneType"),
    "an instance of another UID": (lambda g: with_other_instance(g, sop_instance_uid="1.2.3"), "not what was read"),
    "an instance of another slope": (lambda g: with_other_instance(g, rescale_slope=2.0), "not what was read"),
    "an instance of another position": (lambda g: with_other_instance(g, image_position_patient=(1, 2, 3)),
                                        "not what was read"),
    "an instance of another patient": (lambda g: with_other_instance(g, texts={"PatientID": ""}), "not what was read"),
    "pixel type": (lambda g: replace(g.volume, pixel_type="F"), "`pixel_type` .* is F"),
    "pixel type none of ITK's": (lambda g: replace(g.volume, pixel_type="int16"), "`pixel_type` .* is int16"),
    "the other front end": (lambda g: replace(g.volume, backend="simpleitk" if g.volume.backend == "itk" else "itk"),
                            "`backend` "),
    "no front end": (lambda g: replace(g.volume, backend="sitk"), "`backend` "),
    "derivation as text": (lambda g: replace(g.volume, derivation="Median"), "`derivation` .* type str"),
    "derivation of two lines": (lambda g: replace(g.volume, derivation=Derivation("a\nb")), "one line of ASCII"),
    "derivation of a number": (lambda g: replace(g.volume, derivation=Derivation(5)), "must be text"),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_what_is_not_what_was_read_is_refused(name: str, given: Given, tmp_path: Path) -> None:
    """Whatever the caller passes is used or refused by name; nothing of it is dropped without a word."""
    change, message = EDITS[name]
    edited = change(given)
    with pytest.raises(rt.RoundtripError, match=message):
        rt.write_series(edited if edited.derivation else rt.derive(edited), tmp_path / "written")
    assert list(tmp_path.iterdir()) == []


METADATA: dict[str, Callable[[Given], rt.Volume]] = {
    "edited": lambda g: replace(g.volume, metadata=edited_copies(g.volume.metadata)),
    "reversed": lambda g: replace(g.volume, metadata=g.volume.metadata[::-1]),
    "swapped": lambda g: replace(g.volume, metadata=[g.volume.metadata[index] for index in (1, 0, 2)]),
    "of another series": lambda g: replace(g.volume, metadata=g.other.metadata),
}


@pytest.mark.parametrize("name", METADATA)
def test_edits_of_metadata_that_cannot_be_are_refused(name: str, given: Given, tmp_path: Path) -> None:
    """A copy has none; in a derived series they are not of what a rule owns, such as UIDs, or what all slices share."""
    edited = METADATA[name](given)
    with pytest.raises(rt.SeriesWriteError, match=r"metadata of .* were edited .*, and a copy keeps its headers"):
        rt.write_series(edited, tmp_path / "copy")
    message = "differs between instances of the series" if name == "edited" else "cannot be set"
    with pytest.raises(rt.RoundtripError, match=message):
        rt.write_series(rt.derive(edited), tmp_path / "derived")


EQUAL: dict[str, Callable[[Given], rt.Volume]] = {
    "shallow copy": lambda g: copy.copy(g.volume),
    "image copied": lambda g: replace(g.volume, image=copied(g.volume.image)),
    "array copied": lambda g: replace(g.volume, array_zyx=np.array(g.volume.array_zyx)),
    "array of floats": lambda g: replace(g.volume, array_zyx=g.volume.array_zyx.astype(float)),
    "dictionaries copied": lambda g: replace(
        g.volume, metadata=[type(each)(each) for each in g.volume.metadata]),
    "lists": lambda g: replace(g.volume, planes=list(g.volume.planes), metadata=tuple(g.volume.metadata)),
    "read again": lambda g: rt.read_series(g.volume.series, backend=g.volume.backend),
}  # fmt: skip


@pytest.mark.parametrize("name", EQUAL)
def test_what_equals_what_was_read_is_written(name: str, given: Given, tmp_path: Path) -> None:
    """A copy of the same is the same."""
    volume = EQUAL[name](given)
    assert rt.write_series(volume, tmp_path / "written").verdict == "pass"
    files = [instance.path for instance in given.volume.series.instances]
    assert witness.compare(files, sorted((tmp_path / "written").iterdir()), "copy") == []


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["rgb", "rgb_16", "enhanced", "one_row", "pet_slopes_per_slice", "multi_frame_mono1"])
def test_images_of_other_kinds(name: str, backend: Backend, tmp_path: Path) -> None:
    """Colour, frames, floating point: an image with one other sample is found, and one with all the same is not."""
    write_case(name, tmp_path / "source")
    volume = rt.read_series(one_series(tmp_path / "source"), backend=backend)
    same = replace(volume, image=copied(volume.image))
    assert rt.write_series(rt.derive(same), tmp_path / "same").verdict == "pass"
    other = copied(volume.image)
    if isinstance(other, SimpleITK.Image):
        values = SimpleITK.GetArrayFromImage(other)
        values.flat[-1] += 1
        changed = SimpleITK.GetImageFromArray(values, isVector=volume.pixel_type.startswith("RGB"))
        changed.CopyInformation(other)
        other = changed
    else:
        itk.array_view_from_image(other).flat[-1] += 1
    with pytest.raises(rt.VerificationError, match=f"pixels of {volume.planes[-1].instance.name} in `image`"):
        rt.write_series(rt.derive(replace(volume, image=other)), tmp_path / "other")


def test_a_source_that_changed_meanwhile(tmp_path: Path) -> None:
    """What is written would be of another header, or of other pixels, than those that were read."""
    files = write_series(tmp_path / "pixels", slices=2)
    volume = rt.read_series(one_series(tmp_path / "pixels"))
    files[1].write_bytes(files[1].read_bytes()[:-1] + b"\x01")
    with pytest.raises(rt.VerificationError, match=f"{files[1].name} is not what was read: the file was changed"):
        rt.write_series(volume, tmp_path / "written")
    files = write_series(tmp_path / "source", slices=2)
    volume = rt.read_series(one_series(tmp_path / "source"))
    dataset = pydicom.dcmread(files[0])
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.save_as(files[0])
    with pytest.raises(rt.VerificationError, match=f"{files[0].name} is not what was read"):
        rt.write_series(volume, tmp_path / "written")
    shutil.rmtree(tmp_path / "source")
    with pytest.raises(rt.SeriesReadError, match="cannot be read"):
        rt.write_series(volume, tmp_path / "written")


def test_a_volume_is_derived_once(tmp_path: Path) -> None:
    """What the first call said would be lost."""
    write_series(tmp_path, slices=1)
    derived = rt.derive(rt.read_series(one_series(tmp_path)), description="first")
    with pytest.raises(rt.RoundtripError, match="derived already"):
        rt.derive(derived, description="second")
