"""What is refused where an image is more than the slices it is made of: processed, or handed to another program."""

from __future__ import annotations

from itk_roundtrip import tags
from itk_roundtrip.dicom.decimals import decimal
from itk_roundtrip.dicom.headers import Header
from itk_roundtrip.errors import UnsupportedSeriesError
from itk_roundtrip.pixels.kinds import Carriage
from itk_roundtrip.series.find import Instance
from itk_roundtrip.series.lattice import departures
from itk_roundtrip.series.volumes import SubVolume


def check_regular(volume: SubVolume) -> None:
    """Refuse slices that are no regular grid, which an image of ITK is: gaps, shared positions, tilt beyond 1 mm.

    Raises
    ------
    UnsupportedSeriesError
        They are not; ``allow_irregular=True`` is advised.
    """
    for departure in departures(volume):
        raise UnsupportedSeriesError(
            f"The slices are no regular grid: {departure.message}. An image has the same distance everywhere; to take"
            " it as if they had, use allow_irregular=True.",
            path=departure.files[0],
            option="allow_irregular=True",
        )


def check_real_values(instance: Instance, carriage: Carriage, source: Header, *, to_process: bool) -> None:
    """Refuse pixels that are no real-world values: indices of a palette, YBR colours, input of a Modality LUT.

    Parameters
    ----------
    instance, carriage, source
        The instance, how its pixels are carried, and its header.
    to_process
        Other values are to be written for them: refuse pixels for which that cannot be done, too.

    Raises
    ------
    UnsupportedSeriesError
        They are; the message names the file.

    References
    ----------
    DICOM PS3.3 C.7.6.3.1.2 Photometric Interpretation, C.11.1.1 Modality LUT Sequence
    """
    reason = _not_replaceable(instance, carriage) if to_process else ""
    if reason or (reason := _not_real(carriage, source)):
        consequence = ", so that it cannot be processed" if to_process else ": its pixels are no real-world values"
        raise UnsupportedSeriesError(
            f"{instance.name} {reason}{consequence}.", path=instance.name, series=instance.series_instance_uid
        )


def _not_real(carriage: Carriage, source: Header) -> str:
    """Return why the pixels of an instance are no real-world values; empty if they are."""
    if carriage.photometric == "PALETTE COLOR":
        return "holds indices of a colour palette"
    if carriage.photometric.startswith(("YBR", "HSV")):
        return f"holds colours as {carriage.photometric}, which other programs take for RGB"
    return "has a Modality LUT, which is not applied" if tags.MODALITY_LUT_SEQUENCE in source.elements else ""


def _not_replaceable(instance: Instance, carriage: Carriage) -> str:
    """Return why no other values can be written for the pixels of an instance; empty if they can."""
    if carriage.path == "source":
        return f"keeps its pixels ({carriage.reason})"
    if 0 in (decimal(instance.rescale_slope), decimal(instance.dose_grid_scaling)):
        return "has Rescale Slope 0, by which no stored value stands for another quantity"
    return "holds an overlay in unused bits of its pixels" if instance.embedded_overlay else ""
