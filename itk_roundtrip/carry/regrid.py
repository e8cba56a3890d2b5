"""The series to write of an image on another grid than its source: slices of the image with their nearest instances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from itk_roundtrip.carry.processed import Values, lossy_contributor
from itk_roundtrip.derivation.regrid import NewGrid, new_grid
from itk_roundtrip.errors import UnsupportedSeriesError
from itk_roundtrip.series.find import Instance, Series
from itk_roundtrip.series.volumes import SubVolume
from itk_roundtrip.volume.images import Placement


@dataclass(frozen=True)
class Regridded:
    """The slices of an image on a new grid, as instances to carry.

    Attributes
    ----------
    grid
        Their places.
    series
        An instance for each slice, in their order: the nearest of the source under a name of its own.
    names
        Of the files to write.
    sources
        The nearest instance of the source by the name of each instance of ``series``.
    """

    grid: NewGrid
    series: Series
    names: tuple[str, ...]
    sources: dict[str, Instance]


def check_regriddable(series: Series) -> None:
    """Refuse a source of which slices on a new grid cannot be derived: it must be one volume of single-frame slices.

    Raises
    ------
    UnsupportedSeriesError
        It is not; the message says why.
    """
    volumes = series.volumes
    if len(volumes) > 1:
        raise _refusal(
            series.instances[0], f"The series holds {len(volumes)} volumes, told apart by {series.separated_by}"
        )
    for instance in series.instances:
        place = instance.place(None)
        if instance.framed or instance.enhanced or instance.frames > 1:
            raise _refusal(instance, f"{instance.name} is a multi-frame image")
        if instance.mosaic:
            raise _refusal(instance, f"{instance.name} is a mosaic of many slices")
        if None in (place.position, place.orientation, place.spacing):
            raise _refusal(instance, f"{instance.name} does not say where its pixels lie")
        if not instance.sop_instance_uid:
            raise _refusal(instance, f"{instance.name} has no SOP Instance UID by which slices refer to it")
        if instance.embedded_overlay:
            raise _refusal(instance, f"{instance.name} holds an overlay in unused bits of its pixels")


def _refusal(instance: Instance, reason: str) -> UnsupportedSeriesError:
    return UnsupportedSeriesError(
        f"{reason}, so that no image on a new grid is derived of it; without regrid, an image that lies where the"
        " source does is.",
        path=instance.name,
        series=instance.series_instance_uid,
    )


def regridded(
    series: Series, volume: SubVolume, placement: Placement, file: Path, footprint_slices: int | None
) -> tuple[Regridded, dict[str, Values]]:
    """Return the slices of an image on a new grid, and the values of each by name.

    Parameters
    ----------
    series, volume
        The source, and its slices.
    placement, file
        Where the voxels of the image lie, and the file of their values.
    footprint_slices
        Slices on each side that contributed beside those that the place of a slice asks for; ``None`` if all did.

    Raises
    ------
    ImageError
        The image lies beside the volume, or its axes are not perpendicular.
    """
    slices = volume.ascending
    grid = new_grid(placement.lattice, slices, footprint_slices, is_cut_out=placement.is_cut_out)
    instances: list[Instance] = []
    sources: dict[str, Instance] = {}
    values: dict[str, Values] = {}
    for new_slice, nearest, others in zip(grid.slices, grid.nearest, grid.contributing, strict=True):
        name = f"{new_slice.nearest} (slice {new_slice.index + 1} of the image)"
        sources[name] = slices[nearest].instance
        instances.append(replace(sources[name], name=name))
        values[name] = Values(
            places=((file, new_slice.index),), contributing=_uids([slices[other].instance for other in others]),
            new_slice=new_slice, lossy=lossy_contributor(slices, nearest, others),
        )  # fmt: skip
    names = tuple(f"{new_slice.number}.dcm" for new_slice in grid.slices)
    return Regridded(grid, replace(series, instances=tuple(instances)), names, sources), values


LISTED_INSTANCES = 32
"""Most instances that contributed to the values of a slice and are listed."""


def _uids(instances: Sequence[Instance]) -> tuple[tuple[str, str], ...]:
    """Return SOP Class and Instance UID of instances; none if they are too many to list."""
    uids = tuple((instance.sop_class_uid, instance.sop_instance_uid) for instance in instances)
    return uids if len(uids) < LISTED_INSTANCES else ()
