"""What is refused where an image is more than the slices it is made of: processed, or handed to another program."""

from __future__ import annotations

from itk_roundtrip import tags
from itk_roundtrip.dicom.headers import Header, read_header
from itk_roundtrip.errors import UnsupportedSeriesError
from itk_roundtrip.pixels.kinds import Carriage
from itk_roundtrip.series.lattice import departures
from itk_roundtrip.series.volumes import SubVolume
from itk_roundtrip.volume.volume import Volume


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


def check_real_values(volume: Volume) -> None:
    """Refuse pixels that are no real-world values: indices of a palette, YBR colours, input of a Modality LUT.

    Raises
    ------
    UnsupportedSeriesError
        They are; the message names the file.

    References
    ----------
    DICOM PS3.3 C.7.6.3.1.2 Photometric Interpretation, C.11.1.1 Modality LUT Sequence
    """
    for plane in {plane.instance.name: plane for plane in volume.planes}.values():
        instance = plane.instance
        if reason := not_real_values(plane.carriage, read_header(instance.path, instance.name)):
            raise UnsupportedSeriesError(
                f"{instance.name} {reason}: its pixels are no real-world values.",
                path=instance.name,
                series=instance.series_instance_uid,
            )


def not_real_values(carriage: Carriage, source: Header) -> str:
    """Return why the pixels of an instance are no real-world values; empty if they are.

    Parameters
    ----------
    carriage, source
        How its pixels are carried, and its header.
    """
    if carriage.photometric == "PALETTE COLOR":
        return "holds indices of a colour palette"
    if carriage.photometric.startswith(("YBR", "HSV")):
        return f"holds colours as {carriage.photometric}, which other programs take for RGB"
    return "has a Modality LUT, which is not applied" if tags.MODALITY_LUT_SEQUENCE in source.elements else ""
