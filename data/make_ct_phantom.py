"""Make the CT phantom series in ``data/ct-phantom``: 24 slices of a drawn thorax.

The same files, byte for byte, come out of every run: fixed seed, fixed dates, name-based UIDs.
The patient, the hospital and the vendor are invented.  The headers hold what a conversion through
ITK usually drops; see ``data/README.md``.

    python data/make_ct_phantom.py [FOLDER [NUMBER...]]

With numbers, only these of the slices 1 to 24.
"""

import sys
import uuid
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

Array = npt.NDArray[np.float64]
SLICES, SIDE, PIXEL, GAP = 24, 128, 2.8125, 2.5  # mm; the field of view is 360 mm
TOP = -192.5  # z of the first, uppermost slice
FINE = 3  # samples per pixel side; their mean gives the partial volume effect
SEED = 20250102

# --- The drawing. Millimetres: x to the patient's left, y to the back, depth down from slice 1. ---


class Oval(NamedTuple):
    """An upright organ: its ellipse (depth, x, y, rx, ry, degrees) at some depths, linear between."""

    hu: float
    keys: tuple[tuple[float, ...], ...]
    rim: float = 0.0  # wall thickness
    rim_hu: float = 0.0


class Tube(NamedTuple):
    """A straight vessel from one (x, y, depth) to another, with the radius at either end."""

    hu: float
    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radii: tuple[float, float]


ORGANS: tuple[Oval | Tube, ...] = (
    # fat round the heart, septum, right ventricle, left ventricle in its muscle, the atria
    Oval(-95, ((22, 8, -36, 28, 26, 0), (34, 14, -32, 52, 42, -20), (46, 18, -31, 66, 48, -24),
               (60, 20, -31, 72, 51, -26))),
    Oval(96, ((40, -4, -26, 10, 10, 0), (46, -2, -24, 22, 20, 0), (60, 0, -24, 24, 22, 0))),
    Oval(100, ((34, 14, -62, 17, 15, 0), (46, 6, -55, 37, 20, -14), (60, 8, -55, 48, 22, -20))),
    Oval(178, ((34, 14, -62, 15, 13, 0), (46, 6, -55, 35, 17.5, -14), (60, 8, -55, 46, 19, -20))),
    Oval(102, ((36, 42, -28, 20, 14, -40), (44, 46, -27, 38, 25, -38), (60, 48, -30, 45, 29, -36))),
    Oval(168, ((38, 40, -26, 8, 6, -40), (44, 44, -25, 27, 14, -38), (60, 45, -27, 34, 17, -36))),
    Oval(172, ((30, -36, -30, 9, 9, 0), (40, -36, -24, 18, 24, 8), (60, -36, -22, 20, 28, 10))),
    Oval(182, ((26, 4, 1, 10, 5, 0), (32, 4, 1, 28, 13, 0), (44, 6, 0, 33, 16, -4), (54, 8, 1, 28, 13, -6),
               (60, 10, 2, 14, 8, -6))),
    # aorta: root to ascending, arch, descending
    Oval(174, ((0, -11, -38, 14, 14, 0), (10, -14, -38, 15.5, 15.5, 0), (26, -10, -37, 15.5, 15.5, 0),
               (36, -2, -33, 17, 16, 0), (44, 8, -30, 15, 12, -30), (48, 16, -28, 10, 8, -36))),
    Oval(172, ((0, 27, 22, 12.5, 12.5, 0), (20, 27, 27, 12, 12, 0), (60, 24, 27, 11.5, 11.5, 0))),
    Tube(174, (-10, -38, -6), (19, -14, -7), (13.5, 13)),
    Tube(174, (19, -14, -7), (27, 20, -5), (13, 12.5)),
    # pulmonary trunk, left and right pulmonary artery
    Oval(192, ((14, 20, -46, 6, 6, 0), (20, 19, -48, 13, 14, -20), (30, 19, -53, 15, 14, 0),
               (38, 17, -61, 14, 12, 0))),
    Tube(192, (20, -44, 19), (46, -4, 21), (11, 9)),
    Tube(192, (20, -36, 25), (2, -14, 25), (11, 8.5)),
    Tube(192, (2, -14, 25), (-46, -10, 27), (8.5, 7.5)),
    # veins: upper vena cava, lower pulmonary veins, azygos and its arch
    Oval(225, ((0, -33, -36, 9.5, 8.5, 0), (16, -35, -34, 9, 9, 0), (32, -37, -32, 9.5, 10, 0))),
    Tube(178, (-24, 4, 40), (-62, 10, 36), (6, 4.5)),
    Tube(178, (30, 4, 40), (62, 14, 37), (6, 4.5)),
    Tube(140, (-9, 22, 8), (-21, 4, 7), (4, 4.5)),
    Tube(140, (-21, 4, 7), (-31, -28, 7), (4.5, 4.5)),
    Oval(140, ((0, -9, 22, 3.5, 3.5, 0), (60, -8, 23, 4, 4, 0))),
    # gullet with a little air, lymph nodes
    Oval(42, ((0, 7, 13, 8, 5.5, 15), (22, 4, 16, 8, 5, 0), (60, 8, 21, 8.5, 4.5, 10))),
    Oval(-700, ((10, 5, 13, 1.4, 1.0, 0), (24, 4, 16, 3.2, 1.7, 0), (34, 5, 18, 1.4, 1.0, 0))),
    Oval(55, ((1, -17, -18, 3, 4, 0), (5, -17, -18, 3, 4, 0))),
    Oval(55, ((9, 20, -16, 4, 2.5, 30), (14, 20, -16, 4, 2.5, 30))),
    Oval(60, ((20, 0, 6, 7, 4, 0), (27, 0, 8, 6, 4, 0))),
    # trachea down to its fork, the right and the left main bronchus
    Oval(-995, ((0, -4, -5, 9, 9.5, 0), (10, -3, -4, 10, 8.5, 0), (17, -1, -2, 14.5, 6.5, 0)), 1.6, 40),
    Oval(-995, ((17, -9, -2, 8, 6.5, 0), (23, -22, 1, 8, 6.5, 20), (34, -34, 6, 6, 6, 0),
                (60, -48, 18, 3.5, 3.5, 0)), 1.5, 35),
    Oval(-995, ((17, 8, -2, 7.5, 6.5, 0), (23, 20, 2, 7.5, 6, 15), (32, 36, 9, 6, 5.5, 20),
                (60, 54, 28, 3, 3.5, 0)), 1.5, 35),
)  # fmt: skip
LIVER = Oval(104, ((45, -80, -2, 5, 4, 0), (49, -80, -2, 26, 20, 0), (60, -78, 0, 50, 44, 0)))


def sample_grid() -> tuple[Array, Array]:
    """The x and y of every fine sample."""
    line = (np.arange(SIDE * FINE) + 0.5) * PIXEL / FINE - SIDE * PIXEL / 2
    x, y = np.meshgrid(line, line)
    return x, y


X, Y = sample_grid()


def round_box(cx: float, cy: float, rx: float, ry: float, power: float) -> Array:
    """Distance, about, to the edge of a superellipse; negative inside."""
    field = ((abs(X - cx) / rx) ** power + (abs(Y - cy) / ry) ** power) ** (1 / power)
    slope_y, slope_x = np.gradient(field, PIXEL / FINE)
    return np.asarray((field - 1) / np.maximum(np.hypot(slope_x, slope_y), 1e-3))


def oval(cx: float, cy: float, rx: float, ry: float, degrees: float = 0.0) -> Array:
    """Distance, about, to the edge of a turned ellipse; negative inside."""
    turn = np.radians(degrees)
    u = (X - cx) * np.cos(turn) + (Y - cy) * np.sin(turn)
    v = (Y - cy) * np.cos(turn) - (X - cx) * np.sin(turn)
    unit = np.hypot(u / rx, v / ry)
    return np.asarray(unit * (unit - 1) / np.maximum(np.hypot(u / rx**2, v / ry**2), 1e-9))


def tube(depth: float, shape: Tube, x: Array = X, y: Array = Y) -> Array:
    """Distance in space to the wall of a tube; negative inside."""
    axis = np.subtract(shape.end, shape.start)
    offset = (x - shape.start[0], y - shape.start[1], depth - shape.start[2])
    along = np.clip((offset[0] * axis[0] + offset[1] * axis[1] + offset[2] * axis[2]) / (axis @ axis), 0, 1)
    away = sum((part - along * step) ** 2 for part, step in zip(offset, axis, strict=True))
    return np.asarray(np.sqrt(away) - shape.radii[0] - along * (shape.radii[1] - shape.radii[0]))


def bar(x0: float, y0: float, x1: float, y1: float, radius: float) -> Array:
    """Distance to a thick line in the slice, drawn on both sides of the midline."""
    u, v, across, down = abs(X) - x0, Y - y0, x1 - x0, y1 - y0
    along = np.clip((u * across + v * down) / (across**2 + down**2), 0, 1)
    return np.asarray(np.hypot(u - along * across, v - along * down) - radius)


def organ(depth: float, shape: Oval | Tube) -> Array | None:
    """Distance to an organ in the slice at a depth, or None where it is absent."""
    if isinstance(shape, Tube):
        return tube(depth, shape)
    keys = np.array(shape.keys)
    if not keys[0, 0] <= depth <= keys[-1, 0] and not (depth < 0 and keys[0, 0] == 0):
        return None
    return oval(*(float(np.interp(depth, keys[:, 0], keys[:, i])) for i in range(1, 6)))


@cache
def lung_vessels() -> tuple[Tube, ...]:
    """Seeded trees of vessels from either hilum."""
    random = np.random.RandomState(SEED)
    tubes = [Tube(35, (-86, 20, 12), (-85, 20, 13), (5.5, 5.5))]  # the finding: a nodule

    def grow(start: Array, heading: Array, length: float, radius: float, order: int) -> None:
        end = start + heading * length
        tubes.append(Tube(110, tuple(start), tuple(end), (radius, radius * 0.8)))
        for _ in range(2 if order else 0):
            turned = heading + random.uniform(-0.62, 0.62, 3)
            shorter = length * random.uniform(0.7, 1.0)
            grow(end, turned / np.linalg.norm(turned), shorter, radius * 0.74, order - 1)

    for side, hilum in ((-1, (-46.0, 0.0, 28.0)), (1, (50.0, 4.0, 26.0))):
        for angle in np.linspace(-1.25, 1.25, 7):
            for climb in (-0.75, -0.25, 0.25, 0.75):
                outward = np.array([side * np.cos(angle), np.sin(angle), climb])
                heading = outward + random.uniform(-0.2, 0.2, 3)
                grow(np.array(hilum), heading / np.linalg.norm(heading), random.uniform(20, 32), 3.2, 4)
    return tuple(tubes)


def paint(hu: Array, where: npt.NDArray[np.bool_], value: float | Array) -> None:
    """Give the samples a value, or each its own."""
    hu[where] = value[where] if isinstance(value, np.ndarray) else value


def draw_table(hu: Array) -> None:
    """The table: two curved skins over foam, and a mattress."""
    curve = 113 - (X / 34) ** 2
    foam = (curve < Y) & (Y < 133 - (X / 46) ** 2) & (abs(X) < 150)
    paint(hu, (curve - 9 < Y) & (curve > Y) & (abs(X) < 140), -930)
    paint(hu, foam, 30)
    paint(hu, foam & (curve + 5.6 < Y) & (Y < 127.4 - (X / 46) ** 2) & (abs(X) < 144.4), -945)


def draw_wall(hu: Array, depth: float) -> Array:
    """Skin, fat, muscle and shoulder blades; returns the distance to the rib cage."""
    low = depth / 60
    skin = round_box(0, -7, 161 - 3 * low, 106, 2.45)
    skin += np.where(Y > 0, 6 * np.exp(-((X / 13) ** 2)), 4 * np.exp(-((X / 20) ** 2)))
    skin -= np.where(Y < -20, (8 - 3 * low) * np.exp(-(((abs(X) - 72) / 34) ** 2)), 0)
    cage = round_box(0, -17, 130 + 3 * low, 81, 2.3)
    cage += 13 * np.exp(-((X / 26) ** 2)) / (1 + np.exp(-Y / 6))
    side = np.exp(-(((abs(X) - 140) / 22) ** 2)) / (1 + np.exp((Y - 20) / 9))
    front = np.exp(-(((abs(X) - 95) / 45) ** 2)) * (Y < -20)
    fat = 9 + 4 * front - 3 * np.exp(-((X / 25) ** 2)) + 3 * low + 6 * side
    paint(hu, skin < 0, -106)
    paint(hu, (skin < 0) & (skin > -3.4), 35)
    paint(hu, (skin < -6) & (abs(np.sin(X / 7 + Y / 23) + np.sin(Y / 9 - X / 17)) < 0.05), -60)
    flesh = skin < -fat
    paint(hu, flesh, 56)
    paint(hu, flesh & (abs(cage - 10 + 2 * np.sin(abs(X) / 19)) < 1.3) & (abs(X) > 30), -75)
    paint(hu, flesh & (abs(X) < 1.4) & (Y > 60), -60)
    paint(hu, flesh & (cage > 3) & (abs(X) < 16) & (Y < 0), -90)
    paint(hu, flesh & (abs(bar(14, 78, 34, 74, 11)) < 0.9) & (Y > 72), -70)

    # shoulder blades, thinning downwards
    if depth < 46:
        reach = 1 - depth / 46
        blade = bar(96 - 16 * reach, 66 + 2 * reach, 98 + 22 * reach, 64 - 24 * reach, 2.2 + 1.6 * reach)
        paint(hu, blade < 7, 60)
        paint(hu, blade < 0, 620)
        paint(hu, blade < -1.8, 300)
    return cage


def draw_inside(hu: Array, depth: float, cage: Array) -> None:
    """Inside the rib cage: fat, the organs, and lung wherever they leave room."""
    paint(hu, cage < -3, 50)
    paint(hu, cage < -5, -98)
    soft = np.zeros(X.shape)
    found = [(shape, where) for shape in ORGANS if (where := organ(depth, shape)) is not None]
    for _, where in found:
        soft += np.exp(-np.clip(where, -20, 60) / 3.5)
    for where in (oval(0, 42, 24, 22), oval(2, -86, 12 + depth / 8, 16), round_box(1, -30, 9, 60, 2)):
        soft += np.exp(-np.clip(where, -20, 60) / 3.5)
    lung = (cage < -6) & (-3.5 * np.log(soft) > 2.0)
    paint(hu, lung, -858 + 0.3 * (Y + 90))
    for vessel in lung_vessels():
        low_end, high_end = np.sort([vessel.start, vessel.end], axis=0) + np.array([[-6], [6]])
        if low_end[2] < depth < high_end[2]:
            columns, rows = (slice(*np.searchsorted(X[0], (low_end[i], high_end[i]))) for i in (0, 1))
            inside = lung[rows, columns] & (tube(depth, vessel, X[rows, columns], Y[rows, columns]) < 0)
            hu[rows, columns][inside] = vessel.hu
    dome = organ(depth, LIVER)
    if dome is not None:
        paint(hu, lung & (dome < 0), LIVER.hu)
    for shape, where in found:
        if isinstance(shape, Oval) and shape.rim:
            paint(hu, where < shape.rim, shape.rim_hu)
    for shape, where in found:
        paint(hu, (where < 0) & (cage < -5), shape.hu)


def draw_bones(hu: Array, depth: float, cage: Array) -> None:
    """Ribs, breastbone and spine."""
    low = depth / 60
    # ribs run down and forward, so that one slice cuts several of them; cartilage near the breastbone
    turn = np.arctan2(abs(X) / 131, (Y + 17) / 79) / np.pi
    level = depth + 7 - 92 * turn**1.1 + np.where(X > 0, 3.0, 0.0)
    rib = np.hypot(cage / 4.6, ((level + 11.5) % 23 - 11.5) / 6.2)
    paint(hu, (rib < 1) & (turn > 0.12) & (turn <= 0.8), 780)
    paint(hu, (rib < 0.66) & (turn > 0.12) & (turn <= 0.8), 260)
    paint(hu, (rib < 1.15) & (turn > 0.8) & (abs(X) > 17), 115)
    bone = round_box(0, -95, 19 - 3 * low, 6.5, 2.8)
    paint(hu, bone < 0, 520)
    paint(hu, bone < -2, 170)

    # spine: one vertebra and its disc every 23 mm
    part = (depth + 16) % 23
    body = round_box(0, 39, 16.5, 13.5, 2.3)
    paint(hu, body < 0, 95)
    if part < 18.5:
        paint(hu, body < 0, 560)
        paint(hu, body < -1.8, 205 + 25 * np.cos(X / 3) * np.cos(Y / 3))
    arch = np.minimum(bar(11, 50, 13, 62, 4.0 if part < 11 else 0.1), bar(12, 63, 2, 71, 3.4))
    if part < 13:
        arch = np.minimum(arch, bar(12, 62, 33, 68, 4.2 - abs(part - 6) * 0.25))
    arch = np.minimum(arch, bar(0, 71, 0, 86 - 0.35 * part, 3.2))
    paint(hu, arch < 0, 640)
    paint(hu, arch < -1.9, 270)
    paint(hu, oval(0, 59, 9, 8) < 0, -40)
    paint(hu, oval(0, 59, 8, 7) < 0, 22)
    paint(hu, oval(0, 59, 4.5, 3.6) < 0, 42)


def draw(depth: float) -> Array:
    """Hounsfield units of the plane at a depth, on the fine grid."""
    hu = np.full(X.shape, -1000.0)
    draw_table(hu)
    cage = draw_wall(hu, depth)
    draw_inside(hu, depth, cage)
    draw_bones(hu, depth, cage)
    return hu


def slice_pixels(number: int, noise: Array) -> npt.NDArray[np.uint16]:
    """Stored values (HU + 1024) of one slice: slab mean, pixel mean, slight blur, noise."""
    depth = number * GAP
    fine = sum(draw(depth + step) for step in (-0.8, 0.0, 0.8)) / 3
    hu = np.asarray(fine).reshape(SIDE, FINE, SIDE, FINE).mean(axis=(1, 3))
    hu = smooth(hu, 0.08)
    noise = smooth(noise, 0.16)
    radius = np.hypot(*np.meshgrid(np.arange(SIDE) - 63.5, np.arange(SIDE) - 63.5))
    hu += noise * (20 - 11 * radius / 64)
    stored = np.clip(np.rint(hu) + 1024, 1, 4095)
    stored[radius > 64] = 0  # the padding outside the round field of view
    return np.asarray(stored, dtype=np.uint16)


def smooth(image: Array, share: float) -> Array:
    """Give each neighbour in a row, then in a column, that share of a pixel."""
    for axis in (0, 1):
        image = (1 - 2 * share) * image + share * (np.roll(image, 1, axis) + np.roll(image, -1, axis))
    return image


# --- The headers. A list of dicts is a sequence; DS values are texts, written as they stand. ---

DATE = "20250102"
VENDOR_A, VENDOR_B, VENDOR_C = "NORDLICHT ACQ 1.0", "NORDLICHT DOSE 2.1", "BEISPIEL RESEARCH"


def uid(name: str) -> str:
    """A fixed UID for a name."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_URL, 'itk-roundtrip/ct-phantom/' + name).int}"


def code(value: str, scheme: str, meaning: str, **more: Any) -> list[dict[str, Any]]:
    """A code sequence of one item."""
    return [{"CodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": meaning} | more]


def localizer(number: int) -> dict[str, Any]:
    """A reference to a scout view which is not in the folder."""
    return {
        "ReferencedSOPClassUID": CTImageStorage,
        "ReferencedSOPInstanceUID": uid(f"localizer {number}"),
        "PurposeOfReferenceCodeSequence": code("121311", "DCM", "Localizer"),
    }


STEP = {
    "ScheduledProcedureStepDescription": "Thorax arteriell, Prüfkörper",
    "ScheduledProcedureStepID": "SPS-7",
    "RequestedProcedureID": "RP-42",
    "RequestedProcedureDescription": "CT Thorax mit Kontrastmittel für Prüfzwecke",
    "ReferencedPatientSequence": [],
    "ReasonForRequestedProcedureCodeSequence": code("R-001", "99PHANTOM", "Round trip check"),
    "ScheduledProtocolCodeSequence": code(
        "P-THX-2.5", "99PHANTOM", "Thorax 2.5 mm, weiche Faltung",
        ProtocolContextSequence=[{
            "ValueType": "NUMERIC",
            "ConceptNameCodeSequence": code("DELAY", "99PHANTOM", "Verzögerung nach Injektion"),
            "NumericValue": ["28.0", "65.00"],
            "MeasurementUnitsCodeSequence": code("s", "UCUM", "second"),
            "ContentItemModifierSequence": [{
                "ValueType": "CODE",
                "ConceptNameCodeSequence": code("TRIG", "99PHANTOM", "Trigger"),
                "ConceptCodeSequence": code("BOLUS", "99PHANTOM", "Bolus tracking"),
            }],
        }],
    ),
}  # fmt: skip

HEADER: dict[str, Any] = {
    "SpecificCharacterSet": "ISO_IR 100",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "InstanceCreationDate": DATE,
    "InstanceCreationTime": "101612.000000",
    "InstanceCreatorUID": uid("creator"),
    "SOPClassUID": CTImageStorage,
    "StudyDate": DATE,
    "SeriesDate": DATE,
    "AcquisitionDate": DATE,
    "ContentDate": DATE,
    "StudyTime": "100905",
    "SeriesTime": "101502.125",
    "AccessionNumber": "",
    "Modality": "CT",
    "Manufacturer": "Nordlicht Phantomwerk (invented)",
    "InstitutionName": "Prüfkörper-Klinik Müsterstadt",
    "InstitutionAddress": "Straße der Prüfkörper 1\r\n00000 Müsterstadt",
    "ReferringPhysicianName": "",
    "CodingSchemeIdentificationSequence": [
        {
            "CodingSchemeDesignator": "99PHANTOM",
            "CodingSchemeUID": uid("coding scheme"),
            "CodingSchemeName": "Codes of the phantom",
            "CodingSchemeVersion": "1",
        }
    ],
    "TimezoneOffsetFromUTC": "+0100",
    "StationName": "BOREALIS1",
    "StudyDescription": "CT Thorax, Prüfkörper",
    "ProcedureCodeSequence": [
        *code("CT-THX-KM", "99PHANTOM", "CT Thorax mit Kontrastmittel",
              EquivalentCodeSequence=code("169069000", "SCT", "CT of chest")),
        *code("169069000", "SCT", "CT of chest"),
    ],
    "SeriesDescription": "Thorax 2.5 mm axial",
    "InstitutionalDepartmentName": "Röntgen",
    "PerformingPhysicianName": "",
    "OperatorsName": ["Prüfer^Zoë", "Probe^José"],
    "ManufacturerModelName": "Borealis 128",
    "ReferencedVisitSequence": [],
    "ReferencedPerformedProcedureStepSequence": [
        {"ReferencedSOPClassUID": "1.2.840.10008.3.1.2.3.3", "ReferencedSOPInstanceUID": uid("step")}
    ],
    "ReferencedImageSequence": [localizer(1), localizer(2)],
    "SimpleFrameList": [1, 65536, 4294967295],
    "AnatomicRegionSequence": code(
        "51185008", "SCT", "Thorax",
        AnatomicRegionModifierSequence=code("51440002", "SCT", "Right and left"),
    ),
    "PrimaryAnatomicStructureSequence": code(
        "39607008", "SCT", "Lung",
        PrimaryAnatomicStructureModifierSequence=code("24028007", "SCT", "Right")
        + code("7771000", "SCT", "Left"),
    ),
    "PatientName": "Müller^Jörg",
    "PatientID": "PHANTOM-001",
    "IssuerOfPatientID": "PHANTOM",
    "PatientBirthDate": "19500401",
    "PatientSex": "O",
    "OtherPatientIDsSequence": [
        {"PatientID": "PHANTOM-001-ALT", "IssuerOfPatientID": "Müsterstadt", "TypeOfPatientID": "TEXT"},
        {"PatientID": "PHANTOM-001-TAG", "IssuerOfPatientID": "PHANTOM", "TypeOfPatientID": "BARCODE"},
    ],
    "PatientAge": "074Y",
    "PatientSize": "1.78",
    "PatientWeight": "78.50",
    "PatientComments": "A drawing, not a person.\r\n  Zweite Zeile: größer, kürzer, weiß.",
    "ContrastBolusAgent": "Invented iodine, 300 mg/ml",
    "ContrastBolusAgentSequence": code("109219007", "SCT", "Iohexol"),
    "ContrastBolusAdministrationRouteSequence": code(
        "47625008", "SCT", "Intravenous route",
        AdditionalDrugSequence=code("NACL", "99PHANTOM", "Kochsalzlösung"),
    ),
    "BodyPartExamined": "CHEST",
    "ScanOptions": ["HELICAL MODE", "DOSE MOD"],
    "SliceThickness": "2.50000",
    "KVP": "120",
    "DataCollectionDiameter": "500.00000",
    "DeviceSerialNumber": "000042",
    "SoftwareVersions": ["PHW 1.0.7", "REC 2.5"],
    "ProtocolName": "THORAX_ARTERIELL",
    "SpacingBetweenSlices": "2.5",
    "ReconstructionDiameter": "360.000",
    "DistanceSourceToDetector": "1085.60",
    "DistanceSourceToPatient": "595.0",
    "GantryDetectorTilt": "-0.0",
    "TableHeight": "142.500000",
    "RotationDirection": "CW",
    "ExposureTime": "500",
    "FilterType": "BOWTIE",
    "GeneratorPower": "38",
    "FocalSpots": ["0.70000000", "1.20000000"],
    "DateOfLastCalibration": ["20241220", "20241230"],
    "TimeOfLastCalibration": ["070000", "064512.50"],
    "ConvolutionKernel": ["BR40", "2"],
    "PatientPosition": "HFS",
    "RevolutionTime": 0.5,
    "SingleCollimationWidth": 0.625,
    "TotalCollimationWidth": 40.0,
    "TableSpeed": 78.7401574803150,
    "TableFeedPerRotation": 39.3700787401575,
    "SpiralPitchFactor": 0.984251968503937,
    "DataCollectionCenterPatient": [0.0, -12.3456789012345, -221.25],
    "ReconstructionTargetCenterPatient": [1e-15, 0.333333333333333, -221.250000000001],
    "ExposureModulationType": "XYZ_EC",
    "CTDIPhantomTypeCodeSequence": code("113691", "DCM", "IEC Body Dosimetry Phantom"),
    "WaterEquivalentDiameterCalculationMethodCodeSequence": code("113987", "DCM", "AAPM 220"),
    "StudyInstanceUID": uid("study"),
    "SeriesInstanceUID": uid("series"),
    "StudyID": "1",
    "SeriesNumber": "3",
    "AcquisitionNumber": "1",
    "PatientOrientation": ["L", "P"],
    "ImageOrientationPatient": ["1.00000", "0.00000", "0.00000", "0.00000", "1.00000", "0.00000"],
    "FrameOfReferenceUID": uid("frame of reference"),
    "PositionReferenceIndicator": "",
    "ImagesInAcquisition": str(SLICES),
    "ImageComments": "Helical thorax, drawn",
    "AcquisitionIndex": [1, 256, 65535],
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "Rows": SIDE,
    "Columns": SIDE,
    "PixelSpacing": ["2.81250000", "2.81250000"],
    "BitsAllocated": 16,
    "BitsStored": 12,
    "HighBit": 11,
    "PixelRepresentation": 0,
    "QualityControlImage": "YES",
    "BurnedInAnnotation": "NO",
    "PixelPaddingValue": 0,
    "WindowCenter": ["40", "-600.0", "300.00000"],
    "WindowWidth": ["400", "1500.0", "1800.0000"],
    "WindowCenterWidthExplanation": ["MEDIASTINUM", "LUNG", "BONE"],
    "RescaleIntercept": "-1024",
    "RescaleSlope": "1.00000",
    "RescaleType": "HU",
    "LossyImageCompression": "00",
    "RequestAttributesSequence": [STEP],
    "PerformedProcedureStepStartDate": DATE,
    "PerformedProcedureStepStartTime": "101450",
    "PerformedProcedureStepID": "PPS-7",
    "PerformedProcedureStepDescription": "",
}  # fmt: skip

# group, block, creator, and the elements of the block: offset, VR, value.
# In a nested sequence each item is again a list of such blocks.
Block = tuple[int, int, str, list[tuple[int, str, Any]]]
PRIVATE: list[Block] = [
    (0x0029, 0x10, VENDOR_A, [
        (0x01, "LO", "Größe Süd"),
        (0x02, "OB", bytes(range(7))),  # odd, so the file pads it
        (0x03, "FD", [0.123456789012345, -9.87654321098765e-12]),
        (0x04, "US", [0, 1, 513, 65535]),
        (0x05, "DS", ["0.70312500", "0.70312500", "0.9765625"]),
        (0x06, "SQ", [
            [(0x0029, 0x10, VENDOR_A, [
                (0x07, "SH", "ROW 1"),
                (0x08, "SL", [-2147483648, 2147483647]),
                (0x09, "SQ", [
                    [(0x0029, 0x11, VENDOR_B, [(0x01, "FD", 2.71828182845905), (0x0A, "SQ", [])])],
                ]),
            ])],
            [],  # an empty item
        ]),
        (0x0B, "UT", ""),
        (0x0C, "AT", [0x00280010, 0x00280011]),
    ]),
    (0x0029, 0x11, VENDOR_B, [
        (0x01, "FD", 5.43210987654321),
        (0x02, "OW", bytes.fromhex("0100ff7f00800a0b")),
        (0x03, "UN", b"opaque\x00\xff"),
        (0x10, "UI", uid("dose report")),
    ]),
    (0x0071, 0x42, VENDOR_C, [
        (0x01, "LO", ["Prüfung", "", "dritte"]),
        (0xFE, "FL", [0.1, 16777216.0]),
    ]),
]  # fmt: skip

KNOWN_BLOCKS = [
    {"PrivateGroupReference": 0x0029, "PrivateCreatorReference": VENDOR_A,
     "BlockIdentifyingInformationStatus": "MIXED", "NonidentifyingPrivateElements": [0x02, 0x03, 0x04, 0x05]},
    {"PrivateGroupReference": 0x0071, "PrivateCreatorReference": VENDOR_C,
     "BlockIdentifyingInformationStatus": "SAFE"},
]  # fmt: skip


def dataset(table: dict[str, Any]) -> Dataset:
    """A dataset from a table of keywords."""
    made = Dataset()
    for keyword, value in table.items():
        items = isinstance(value, list) and all(isinstance(item, dict) for item in value)
        setattr(made, keyword, [dataset(item) for item in value] if items else value)
    return made


def add_private(target: Dataset, blocks: list[Block]) -> Dataset:
    """Put private blocks into a dataset."""
    for group, block, creator, elements in blocks:
        target.add_new((group, block), "LO", creator)
        for offset, vr, value in elements:
            made = [add_private(Dataset(), item) for item in value] if vr == "SQ" else value
            target.add_new((group, block << 8 | offset), vr, made)
    return target


def slice_dataset(number: int, pixels: npt.NDArray[np.uint16]) -> Dataset:
    """The whole file of one slice, the uppermost being number 0."""
    z = TOP - number * GAP
    seconds = 2.125 + number * 0.03125
    current = 187 - 4 * abs(number - 12)
    # mean HU and area of the scanned disk (AAPM report 220); whole numbers up to the square root
    inside = pixels[pixels > 0].astype(np.int64)
    diameter = 2 * (int(inside.sum() - 24 * inside.size) / 1000 * PIXEL**2 / np.pi) ** 0.5
    made = dataset(HEADER | {
        "SOPInstanceUID": uid(f"slice {number + 1}"),
        "AcquisitionTime": f"1015{seconds:09.6f}",
        "ContentTime": f"1015{seconds + 8:09.6f}",
        "AcquisitionDateTime": f"{DATE}1015{seconds:09.6f}+0100",
        "XRayTubeCurrent": str(current),
        "Exposure": str(current // 2),
        "CTDIvol": float(f"{current * 0.0290487158109690:.15g}"),
        "WaterEquivalentDiameter": float(f"{diameter:.15g}"),
        "InstanceNumber": str(number + 1),
        "ImagePositionPatient": ["-178.59375", "-178.59375", f"{z:.1f}"],
        "SliceLocation": f"{z:.5f}",
        "SmallestImagePixelValue": int(inside.min()),
        "LargestImagePixelValue": int(inside.max()),
        "PrivateDataElementCharacteristicsSequence": KNOWN_BLOCKS,
    })  # fmt: skip
    add_private(made, PRIVATE)
    made.add_new((0x7FE0, 0x0010), "OW", pixels.astype("<u2").tobytes())
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(uid("implementation"))
    meta.ImplementationVersionName = "CT_PHANTOM_1"
    made.file_meta = meta
    return made


def main() -> None:
    """Write the series, in place of an earlier one."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "ct-phantom"
    random = np.random.RandomState(SEED)
    noise = [random.standard_normal((SIDE, SIDE)) for _ in range(SLICES)]
    numbers = [int(number) - 1 for number in sys.argv[2:]] or range(SLICES)
    series = {number: slice_dataset(number, slice_pixels(number, noise[number])) for number in numbers}
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("CT*.dcm"):
        old.unlink()
    for number, made in series.items():
        made.save_as(folder / f"CT{number + 1:04}.dcm", enforce_file_format=True)


if __name__ == "__main__":
    main()
