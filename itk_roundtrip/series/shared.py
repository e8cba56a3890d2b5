"""Attributes that all instances of a series must share (PS3.3 A.1.2.3), and those that slices of a volume share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydicom.datadict import dictionary_description, tag_for_keyword

from itk_roundtrip.errors import UnsupportedSeriesError
from itk_roundtrip.series.instance import Instance
from itk_roundtrip.tags import tag_text


@dataclass(frozen=True)
class Shared:
    """Attributes of one aspect, such as the patient, and what follows if they differ within a series.

    Attributes
    ----------
    kind
        Of the irregularity.
    noun
        The aspect, in the plural.
    keywords
        Of the attributes.
    check
        Id of the check of ``verify`` that reports a difference.
    section
        The section of the standard that forbids a series of several, with its rule; empty if none does.
    separates
        Slices that differ in it are of several volumes.
    numbered
        The word before a number in the labels of volumes, where values are not shown: those of a patient, and UIDs.
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
        """Tag of the first of the attributes."""
        return tag_for_keyword(self.keywords[0]) or 0

    def value(self, instance: Instance) -> tuple[str, ...]:
        """Return the values of the attributes in an instance; of those that identify a patient, digests."""
        return tuple(instance.texts.get(keyword, "") for keyword in self.keywords)

    def telling(self, instances: Sequence[Instance]) -> tuple[str, ...]:
        """Return the keywords whose values contradict one another if they differ.

        A name may be written in several ways, and is that of one patient where the Patient ID is.
        """
        if not any(instance.texts.get("PatientID") for instance in instances):
            return self.keywords
        return tuple(keyword for keyword in self.keywords if keyword != "PatientName")

    def differing(self, instances: Iterable[Instance]) -> str:
        """Return the names of the attributes that are not the same in all instances, separated by commas."""
        columns = zip(*(self.value(instance) for instance in instances), strict=True)
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
"""In the order of their irregularities."""


def mixed(instances: Sequence[Instance]) -> Iterator[Shared]:
    """Yield those of :data:`SHARED` that differ among the instances of a series."""
    for shared in SHARED:
        if len({shared.value(instance) for instance in instances}) > 1:
            yield shared


def check_derivable(instances: Sequence[Instance]) -> None:
    """Refuse instances that differ in an attribute that the standard requires to be the same in a series.

    An empty or absent value differs from none.

    Raises
    ------
    UnsupportedSeriesError
        Two instances differ so.
    """
    for shared in mixed(instances):
        for keyword in shared.telling(instances) if shared.section else ():
            first = next((instance for instance in instances if instance.texts.get(keyword)), instances[0])
            for instance in instances:
                if instance.texts.get(keyword, "") not in ("", first.texts.get(keyword)):
                    raise UnsupportedSeriesError(
                        f"{first.name} and {instance.name} differ in {dictionary_description(keyword)}, so that no one"
                        f" series can be derived from them ({shared.section}); put each kind into a folder of its own,"
                        ' or use identity="copy".',
                        path=instance.name,
                        series=instance.series_instance_uid,
                        tag=tag_text(tag_for_keyword(keyword) or 0),
                        option='identity="copy"',
                    )
