"""What all instances of one series share (PS3.3 A.1.2.3), and what their values must share to be of one volume."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydicom.datadict import dictionary_description, tag_for_keyword

from itk_roundtrip.errors import UnsupportedSeriesError
from itk_roundtrip.series.instance import Instance


@dataclass(frozen=True)
class Shared:
    """Attributes that say one thing, and what follows if they differ within a series.

    Attributes
    ----------
    kind
        Of the irregularity.
    noun
        What they say, in the plural.
    keywords
        Of the attributes.
    check
        Id of the check of ``verify`` that they are told under.
    section
        Of the standard, that forbids one series of several; empty if it does not.
    separates
        Slices that differ in it are of several volumes.
    numbered
        What volumes are told apart by, where the values are not for people: those of a patient, and UIDs.
    """

    kind: str
    noun: str
    keywords: tuple[str, ...]
    check: str
    section: str
    separates: bool
    numbered: str = ""

    @property
    def tag(self) -> int:
        """The first of the attributes."""
        return tag_for_keyword(self.keywords[0]) or 0

    def value(self, one: Instance) -> tuple[str, ...]:
        """Return what an instance says; texts that identify a patient are digests."""
        return tuple(one.texts.get(keyword, "") for keyword in self.keywords)

    def telling(self, instances: Sequence[Instance]) -> tuple[str, ...]:
        """Return those of the attributes that contradict one another if they differ.

        A name may be written in several ways, and is that of one patient where the Patient ID is.
        """
        if not any(one.texts.get("PatientID") for one in instances):
            return self.keywords
        return tuple(keyword for keyword in self.keywords if keyword != "PatientName")

    def differing(self, instances: Iterable[Instance]) -> str:
        """Return the names of those of the attributes that are not the same in all instances."""
        columns = zip(*(self.value(one) for one in instances), strict=True)
        names = (
            dictionary_description(keyword)
            for keyword, texts in zip(self.keywords, columns, strict=True)
            if len(set(texts)) > 1
        )
        return ", ".join(names)


SHARED: tuple[Shared, ...] = (
    Shared("mixed-patient", "patients", ("PatientID", "PatientName", "PatientBirthDate"), "CNT-01",
           "PS3.3 A.1.2.2: a study is of one patient", separates=True, numbered="patient"),
    Shared("mixed-study", "studies", ("StudyInstanceUID",), "UID-03", "PS3.3 A.1.2.3: a series is of one study",
           separates=True, numbered="study"),
    Shared("mixed-modality", "modalities", ("Modality",), "CNT-01", "PS3.3 A.1.2.3: a series is of one modality",
           separates=True),
    Shared("mixed-frame-of-reference", "frames of reference", ("FrameOfReferenceUID",), "UID-03",
           "PS3.3 A.1.2.3 and C.7.4.1: a series has one frame of reference", separates=True,
           numbered="frame of reference"),
    Shared("mixed-equipment", "equipment", ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber"), "EQP-01",
           "PS3.3 A.1.2.3: a series is of one equipment", separates=False),
    Shared("mixed-patient-position", "patient positions", ("PatientPosition",), "HDR-03",
           "PS3.3 A.1.2.3 and C.7.3.1: a series has one patient position", separates=False),
    Shared("mixed-units", "units", ("Units", "SUVType", "DoseUnits"), "HDR-03",
           "PS3.3 A.1.2.3 and C.8.9.1: a series has one unit", separates=True),
    Shared("mixed-rescale-type", "rescale types", ("RescaleType",), "HDR-03", "", separates=True),
)  # fmt: skip
"""In the order in which they are told."""

KEYWORDS = tuple(keyword for shared in SHARED for keyword in shared.keywords)


def mixed(instances: Sequence[Instance]) -> Iterator[Shared]:
    """Yield what the instances of a series do not share."""
    for shared in SHARED:
        if len({shared.value(one) for one in instances}) > 1:
            yield shared


def check_derivable(instances: Sequence[Instance]) -> None:
    """Refuse instances that contradict one another in what the standard has one of in a series.

    What is missing in some contradicts nothing.

    Raises
    ------
    UnsupportedSeriesError
        They do.
    """
    for shared in mixed(instances):
        for keyword in shared.telling(instances) if shared.section else ():
            first = next((one for one in instances if one.texts.get(keyword)), instances[0])
            for one in instances:
                if one.texts.get(keyword, "") not in ("", first.texts.get(keyword)):
                    tag = tag_for_keyword(keyword) or 0
                    raise UnsupportedSeriesError(
                        f"{first.name} and {one.name} differ in {dictionary_description(keyword)}, so that no one"
                        f" series can be derived from them ({shared.section}); put each kind into a folder of its own,"
                        " or use"
                        ' identity="copy".',
                        path=one.name,
                        series=one.series_instance_uid,
                        tag=f"({tag >> 16:04X},{tag & 0xFFFF:04X})",
                        option='identity="copy"',
                    )
