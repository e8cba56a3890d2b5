"""What a derived instance changes of its source: texts at their limits, numbers, references, times, what is missing."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom
import pytest
from conftest import Run, Verify
from pydicom import uid
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.dataset import Dataset
from synthetic import item, make_uid, reference, write_case, write_series
from witness import compare

from itk_roundtrip import RoundtripError, UnsupportedSeriesError, __version__
from itk_roundtrip.arguments import DESCRIPTION_LIMIT
from itk_roundtrip.derivation.plan import SeriesPlan, SourceSlice, dictionary_edits, edits, plan_series
from itk_roundtrip.dicom.headers import read_header
from itk_roundtrip.itk_io.view import derived_names
from itk_roundtrip.rules import COMMENT, RULES, UNCHANGED

SUFFIX = " ITK round trip"
OPERATION = "read and written with ITK"
ADDED = f"itk-roundtrip {__version__}: {OPERATION}; {UNCHANGED}"

ONE = SourceSlice(
    name="IM1.dcm",
    sop_class_uid=uid.CTImageStorage,
    sop_instance_uid=make_uid("instance", 0, 0),
    study_instance_uid="1.2",
    series_instance_uid=make_uid("series", 0),
    modality="CT",
    series_number="4",
    instance_number="1",
    timezone_offset="",
    pass_index=0,
)


def slices(count: int = 1, **fields: Any) -> list[SourceSlice]:
    """Return slices that differ in UID and number; a list in ``fields`` has one value per slice."""
    made = []
    for index in range(count):
        own = {name: value[index] if isinstance(value, list) else value for name, value in fields.items()}
        common = {"sop_instance_uid": make_uid("instance", 0, index), "instance_number": str(index + 1)}
        made.append(replace(ONE, **{**common, **own}))
    return made


def plan(sources: Sequence[SourceSlice] | None = None) -> SeriesPlan:
    versions = ("itk-roundtrip 0.0", "ITK 0.0")
    return plan_series(sources or slices(), comment="", options={}, version="0.0", software_versions=versions)


Derive = Callable[..., Dataset]


@pytest.fixture
def derive(tmp_path: Path, run: Run) -> Derive:
    """Write a small series with synthetic features, derive another from it, and return its first instance."""
    count = itertools.count()

    def make(*, description: str | None = None, slices: int = 1, **features: Any) -> Dataset:
        folder = tmp_path / str(next(count))
        write_series(folder / "in", slices=slices, **features)
        run(folder / "in", folder / "out", description=description)
        return pydicom.dcmread(min((folder / "out").iterdir()))

    return make


def raw(dataset: Dataset, keyword: str) -> bytes:
    """Return the bytes of a text without the pad byte."""
    value: bytes = dataset.get_item(keyword).value or b""
    return value[:-1] if len(value) % 2 == 0 and value[-1:] in (b" ", b"\0") else value


def decoded(text: bytes, character_set: str | None) -> str:
    names = (character_set or "ISO_IR 6").split("\\")
    return decode_bytes(text, convert_encodings(names), set())


# -------------------------------------------------------------------------------------------- the texts

TEXTS: dict[str, tuple[str | None, str, str]] = {
    "ascii": (None, "ascii", "abcdefghij"),
    "latin1": ("ISO_IR 100", "latin-1", "Größe übernächst"),
    "greek": ("ISO_IR 126", "iso8859_7", "Επινοημένη"),
    "utf8": ("ISO_IR 192", "utf-8", "äß虚σ"),
    "utf8 beyond 16 bits": ("ISO_IR 192", "utf-8", "\U0001f9e0a"),
    "gb18030": ("GB18030", "gb18030", "誠虚构"),  # 誠 ends in the byte of a backslash
    "japanese": (r"\ISO 2022 IR 87", "iso2022_jp", "架空A"),
    "katakana": ("ISO_IR 13", "shift_jis", "ｶｸｳ"),
    "katakana beside ASCII": ("ISO_IR 13", "shift_jis", "CT ｶｸｳ"),
    "korean": (r"\ISO 2022 IR 149", "korean", "김희중A"),
}
WRONG_CHARACTER_SETS = (None, "ISO_IR 999", "ISO_IR 192")
"""Declarations, or none, that Latin-1 bytes do not fit."""


def encoded(text: str, codec: str) -> bytes:
    """Return text in a codec of Python; Korean announces its characters once, at the start (PS3.5 6.1.2.5)."""
    if codec == "korean":
        return b"\x1b$)C" + text.encode("euc_kr") if text else b""
    return text.encode(codec)


@pytest.mark.parametrize("length", [0, 1, 49, 50, 64])
@pytest.mark.parametrize("text", TEXTS)
def test_series_description_at_its_limit(derive: Derive, text: str, length: int) -> None:
    """The limit is of 64 characters, not bytes; what is cut is the end of the old text, never half a character."""
    character_set, codec, words = TEXTS[text]
    old = (words * 64)[:length].rstrip()
    attributes = {"SpecificCharacterSet": character_set, "SeriesDescription": encoded(old, codec)}
    new = raw(derive(attributes=attributes), "SeriesDescription")
    expected = old[: 64 - len(SUFFIX)].rstrip() + SUFFIX if old else SUFFIX.strip()
    assert decoded(new, character_set) == expected
    if len(old) + len(SUFFIX) <= 64:
        assert new.startswith(encoded(old, codec))


def test_series_description_is_not_cut_into_a_space(derive: Derive) -> None:
    """Two spaces in a row look like a missing word."""
    old = "a" * 48 + " " + "b" * 15
    assert derive(attributes={"SeriesDescription": old}).SeriesDescription == "a" * 48 + SUFFIX


def test_series_description_that_is_missing(derive: Derive) -> None:
    """Without an old text the added one stands alone, without a space before it."""
    assert derive(attributes={"SeriesDescription": None}).SeriesDescription == SUFFIX.strip()


@pytest.mark.parametrize("character_set", WRONG_CHARACTER_SETS)
def test_text_that_does_not_fit_its_character_set_stays(derive: Derive, character_set: str | None) -> None:
    """Latin-1 without or under a wrong declaration is common; nobody but a person can repair it."""
    old = "Größe übernächst".encode("latin-1")
    attributes = {"SpecificCharacterSet": character_set, "SeriesDescription": old}
    assert raw(derive(attributes=attributes), "SeriesDescription") == old + SUFFIX.encode()


@pytest.mark.parametrize("character_set", WRONG_CHARACTER_SETS)
def test_text_that_does_not_fit_its_character_set_is_cut_as_it_stands(
    derive: Derive, character_set: str | None
) -> None:
    """Shortening such a text must not turn its letters into replacement characters."""
    old = ("Größe übernächst" * 4).encode("latin-1")
    attributes = {"SpecificCharacterSet": character_set, "SeriesDescription": old}
    new = raw(derive(attributes=attributes), "SeriesDescription")
    assert new.endswith(SUFFIX.encode())
    assert new.startswith(old[:16])


def test_text_in_the_middle_of_an_escape_sequence(derive: Derive) -> None:
    """Japanese text that does not go back to ASCII at its end must not drag the added text into Kanji."""
    character_set = r"\ISO 2022 IR 87"
    old = "架空".encode("iso2022_jp").removesuffix(b"\x1b(B")
    assert decoded(old, character_set) == "架空"
    new = derive(attributes={"SpecificCharacterSet": character_set, "SeriesDescription": old})
    assert decoded(raw(new, "SeriesDescription"), character_set) == "架空" + SUFFIX


ROOM = 1024 - len("; ") - len(ADDED)


@pytest.mark.parametrize("length", [0, 1, ROOM, ROOM + 1, 1024])
@pytest.mark.parametrize("text", TEXTS)
def test_derivation_description_at_its_limit(derive: Derive, text: str, length: int) -> None:
    """The newest step must stand; of the older ones the oldest text goes first, marked by an ellipsis."""
    character_set, codec, words = TEXTS[text]
    old = (words * 1024)[:length].rstrip()
    attributes = {"SpecificCharacterSet": character_set, "DerivationDescription": encoded(old, codec)}
    new = decoded(raw(derive(attributes=attributes), "DerivationDescription"), character_set)
    kept = old if len(old) <= ROOM else "..." + old[3 - ROOM :]
    assert new == (f"{kept}; {ADDED}" if old else ADDED)
    assert len(new) <= 1024


def test_derivation_description_beside_a_long_comment(derive: Derive) -> None:
    """A comment as long as may be leaves the beginning of what was done, and the end of the old text."""
    comment = "x" * DESCRIPTION_LIMIT
    new = derive(description=comment, attributes={"DerivationDescription": "older step, " * 40})
    assert len(new.DerivationDescription) == 1024
    assert new.DerivationDescription.startswith("...")
    assert new.DerivationDescription.endswith(f"older step,; {ADDED}; {COMMENT}{comment}")
    decoding = (
        "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 [Selection Value 1]) decoded by GDCM"
    )
    decoding += " 999.999.999; YBR_FULL_422 decoded to RGB; max error 16 between decoders"
    most = f"itk-roundtrip 999.999.999: {OPERATION}; {decoding}; {COMMENT}{comment}"
    assert len("...; ") + len(most) <= 1024


@pytest.mark.parametrize("features", [{}, {"modality": "PT"}])
def test_only_what_happened_is_named_as_an_operation(derive: Derive, features: dict[str, Any]) -> None:
    """Unchanged pixels under `Median` would be taken for filtered ones."""
    new = derive(description="Median, radius 1", **features)
    told = f"{OPERATION}; {UNCHANGED}; user comment: Median, radius 1"
    assert new.DerivationDescription.endswith(f"itk-roundtrip {__version__}: {told}")
    contribution = new.ContributingEquipmentSequence[-1].ContributionDescription
    assert contribution.startswith(f"itk-roundtrip {__version__}, ")
    assert contribution.endswith(f": {told}")


def test_a_comment_on_frames(tmp_path: Path, run: Run) -> None:
    """What a functional group says of its frame is the same."""
    write_case("enhanced", tmp_path / "in")
    run(tmp_path / "in", tmp_path / "out", description="Median, radius 1")
    dataset = pydicom.dcmread(min((tmp_path / "out").iterdir()))
    (told, *_) = dataset.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence
    assert told.DerivationDescription == f"{OPERATION}; {UNCHANGED}; user comment: Median, radius 1"


@pytest.mark.parametrize(
    "comment", ["stored values unchanged", "max error 400", "JPEG decoded by X; max error 9", "user comment: ; done"]
)
@pytest.mark.parametrize("name", ["plain_ct", "jpeg_ybr"])
def test_a_comment_claims_nothing(name: str, comment: str, tmp_path: Path, run: Run, verify: Verify) -> None:
    """`verify` must not take the words of a user for a licence to change pixels."""
    write_case(name, tmp_path / "in")
    run(tmp_path / "in", tmp_path / "out", description=comment)
    assert verify(tmp_path / "in", tmp_path / "out").verdict == "pass"
    for file in sorted((tmp_path / "out").iterdir()):
        dataset = pydicom.dcmread(file)
        words = np.frombuffer(dataset.PixelData, "u1").copy()
        words[::2] ^= 0x44
        dataset.PixelData = words.tobytes()
        dataset.DerivationDescription = f"read; {COMMENT}{comment}"
        dataset.save_as(file)
    found = {one.check for one in verify(tmp_path / "in", tmp_path / "out").findings if one.severity == "error"}
    assert {"DER-01", "PIX-02"} & found


@pytest.mark.parametrize("name", ["plain_ct", "enhanced", "description_64", "description_japanese_64"])
def test_a_second_round_trip_names_itself_once(
    name: str, tmp_path: Path, run: Run, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prefix of the files and the label of the series stand once; the history of derivations is whole."""
    write_case(name, tmp_path / "0")
    for step in (1, 2, 3):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(time.time()) + 60 * (step - 3)))  # no two at one moment
        run(tmp_path / f"{step - 1}", tmp_path / f"{step}")
    first, *others = (sorted((tmp_path / f"{step}").iterdir()) for step in (1, 2, 3))
    for written in others:
        assert [file.name for file in written] == [file.name for file in first]
        for before, after in zip(map(pydicom.dcmread, first), map(pydicom.dcmread, written), strict=True):
            assert after.SeriesDescription == before.SeriesDescription
            assert str(after.SeriesDescription).endswith("ITK round trip")
            assert after.SeriesNumber > before.SeriesNumber
            assert after.SeriesInstanceUID != before.SeriesInstanceUID
    told = compare(others[0], others[1], "derived")
    assert [each for each in told if "(0002,001" not in each] == []  # one program wrote both
    assert verify(tmp_path / "2", tmp_path / "3").verdict == "pass"
    told = pydicom.dcmread(others[1][0]).DerivationDescription
    assert told.count(f"{OPERATION}; {UNCHANGED}") == 3


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.dcm", "b.dcm"], ["derived_a.dcm", "derived_b.dcm"]),
        (["derived_a.dcm", "b.dcm"], ["derived_a.dcm", "derived_b.dcm"]),
        (["a.dcm", "derived_a.dcm"], ["derived_a_2.dcm", "derived_a.dcm"]),
        (["derived_A", "a", "derived_a_2"], ["derived_A", "derived_a_3", "derived_a_2"]),
        (["a", "derived_a", "a_2"], ["derived_a_3", "derived_a", "derived_a_2"]),
        (["é", "derived_e\u0301"], ["derived_é_2", "derived_e\u0301"]),
    ],
)
def test_names_of_derived_files(names: list[str], expected: list[str]) -> None:
    """In whatever order; what collides would overwrite a slice."""
    assert derived_names(names) == expected
    assert derived_names(names[::-1]) == expected[::-1]


def test_a_folder_with_both_names(tmp_path: Path, run: Run, verify: Verify) -> None:
    """An original and a derived file of one name, in one series."""
    files = write_series(tmp_path / "in", slices=3)
    files[0].rename(tmp_path / "in" / "a.dcm")
    files[1].rename(tmp_path / "in" / "derived_a.dcm")
    run(tmp_path / "in", tmp_path / "out")
    written = sorted((tmp_path / "out").iterdir())
    assert {file.name for file in written} == {"derived_IM0003.dcm", "derived_a.dcm", "derived_a_2.dcm"}
    assert verify(tmp_path / "in", tmp_path / "out").verdict == "pass"
    assert compare(sorted((tmp_path / "in").iterdir()), written, "derived") == []


# ------------------------------------------------------------------------------------------ the numbers


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4", 1004),
        ("0", 1000),
        (" 7 ", 1007),
        ("+5", 1005),
        ("-5", 995),
        ("-1000", 0),
        ("-2147483648", -2147482648),
        ("2147482647", 2147483647),
        ("2147482648", 1001),
        ("2147483647", 1001),
        ("99999999999999", 1001),
        ("", 1001),
        ("abc", 1001),
        ("3.5", 1001),
        ("1e3", 1001),
        (r"7\8", 1001),
    ],
)
def test_series_number(text: str, number: int) -> None:
    """A number beyond 32 bits or no number at all makes a file that archives refuse."""
    assert plan(slices(series_number=text)).series_number == number


@pytest.mark.parametrize(("text", "number"), [("2147483647", 1001), ("-5", 995), ("abc", 1001), (None, 1001)])
def test_series_number_on_disk(derive: Derive, text: str | None, number: int) -> None:
    """The same from the bytes that were written, a missing attribute included."""
    assert derive(attributes={"SeriesNumber": text}).SeriesNumber == number


def test_series_number_is_one_for_the_series(tmp_path: Path, run: Run) -> None:
    """Sources whose instances disagree must not give an output whose instances disagree."""
    files = write_series(tmp_path / "in", attributes={"SeriesNumber": ["4", "9", "4", "4"]})
    run(tmp_path / "in", tmp_path / "out")
    written = sorted((tmp_path / "out").iterdir())
    assert {pydicom.dcmread(path).SeriesNumber for path in written} == {1004}
    assert compare(files, written, "derived") == []


NUMBERS: dict[str, tuple[Mapping[str, Any], bool]] = {
    "all there": ({}, False),
    "one missing": ({"instance_number": ["1", "", "3", "4"]}, True),
    "all missing": ({"instance_number": ""}, True),
    "one repeated": ({"instance_number": ["1", "2", "2", "4"]}, True),
    "all alike": ({"instance_number": "1"}, True),
    "gaps and disorder are the scanner's": ({"instance_number": ["40", "7", "-3", "5"]}, False),
    "no numbers at all, but distinct": ({"instance_number": ["a", "b", "2.5", "c"]}, False),
    "two passes that count alike": ({"instance_number": ["1", "1", "2", "2"], "pass_index": [0, 1, 0, 1]}, False),
    "two passes, one counts twice": ({"instance_number": ["1", "1", "1", "2"], "pass_index": [0, 1, 0, 1]}, True),
    "two passes, one missing": ({"instance_number": ["1", "1", "2", ""], "pass_index": [0, 1, 0, 1]}, True),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_instance_numbers(case: str) -> None:
    """Viewers pair and sort by number: it is kept, unless it tells no instance from another."""
    fields, renumbered = NUMBERS[case]
    assert plan(slices(4, **fields)).instance_numbers == ((1, 2, 3, 4) if renumbered else ())


def test_kept_instance_number_keeps_its_text(derive: Derive) -> None:
    """The text of a kept number stays, blanks and leading zeros included."""
    assert raw(derive(attributes={"InstanceNumber": " 007"}), "InstanceNumber") == b" 007"


def test_renumbered_instances_count_along_the_normal(tmp_path: Path, run: Run) -> None:
    """New numbers must follow the positions, whatever the files are called."""
    files = write_series(tmp_path / "in", slices=6, names="shuffled", attributes={"InstanceNumber": None})
    run(tmp_path / "in", tmp_path / "out")
    written = sorted((tmp_path / "out").iterdir())
    assert compare(files, written, "derived") == []
    found = [pydicom.dcmread(path) for path in written]
    found.sort(key=lambda one: float(one.ImagePositionPatient[2]))
    assert [one.InstanceNumber for one in found] == [1, 2, 3, 4, 5, 6]


# ------------------------------------------------------------------------------------------- Image Type


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"ORIGINAL\PRIMARY\AXIAL\CT_SOM5 SPI", rb"DERIVED\SECONDARY\AXIAL\CT_SOM5 SPI"),
        (r"DERIVED\SECONDARY\REFORMATTED\AVERAGE", rb"DERIVED\SECONDARY\REFORMATTED\AVERAGE"),
        (r"ORIGINAL\PRIMARY", rb"DERIVED\SECONDARY"),
        ("ORIGINAL", rb"DERIVED\SECONDARY"),
        (None, rb"DERIVED\SECONDARY"),
        (b"", rb"DERIVED\SECONDARY"),
        ("ORIGINAL\\PRIMARY\\\\", b"DERIVED\\SECONDARY\\\\"),
        ("ORIGINAL\\PRIMARY\\\\ND\\NORM", b"DERIVED\\SECONDARY\\\\ND\\NORM"),
        (r"ORIGINAL \ PRIMARY\M ", rb"DERIVED\SECONDARY\M"),
    ],
)
def test_image_type(derive: Derive, old: str | bytes | None, new: bytes) -> None:
    """Value 3 and on tell a localizer from a slice, position by position, empty ones included."""
    assert raw(derive(attributes={"ImageType": old}), "ImageType") == new


@pytest.mark.parametrize(
    ("modality", "sop_class_uid", "primary"),
    [
        ("PT", uid.PositronEmissionTomographyImageStorage, True),
        ("NM", uid.NuclearMedicineImageStorage, True),
        ("PT", uid.MRImageStorage, True),
        ("OT", uid.PositronEmissionTomographyImageStorage, True),
        (None, uid.NuclearMedicineImageStorage, True),
        ("CT", uid.CTImageStorage, False),
        ("MR", uid.MRImageStorage, False),
        (None, uid.CTImageStorage, False),
    ],
)
def test_pet_and_nm_keep_their_times(derive: Derive, modality: str | None, sop_class_uid: str, primary: bool) -> None:
    """Decay correction counts from Series Time: a new one makes every uptake value wrong."""
    new = derive(modality="PT", attributes={"Modality": modality, "SOPClassUID": str(sop_class_uid)})
    assert new.ImageType[:2] == ["DERIVED", "PRIMARY" if primary else "SECONDARY"]
    assert ((new.SeriesDate, new.SeriesTime) == ("20200203", "095959")) is primary
    assert (new.InstanceCreationDate, new.InstanceCreationTime) != ("20200203", "101112")
    assert (new.AcquisitionDate, new.AcquisitionTime) == ("20200203", "100001.5")
    assert (new.ContentDate, new.ContentTime) == ("20200203", "100002.25")


ONLY_PRIMARY = [
    "2.1",
    "2.2",
    "4.1",
    "4.3",
    "4.4",
    "6.2",
    "6.3",
    "12.1.1",
    "12.2.1",
    "13.1.1",
    "13.1.2",
    "13.1.3",
    "14.1",
    "14.2",
    "20",
    "30",
    "66.4",
    "66.7",
    "77.1.5.1",
    "77.1.5.2",
    "77.1.5.5",
    "77.1.5.6",
    "77.1.5.7",
    "77.1.5.8",
    "77.1.6",
    "128",
    "128.1",
    "130",
]
EITHER = [
    "1",
    "1.1",
    "1.2",
    "2",
    "3.1",
    "4",
    "6.1",
    "7",
    "7.2",
    "7.4",
    "12.1",
    "12.2",
    "77.1.1",
    "77.1.4",
    "77.1.5.4",
    "81.1",
    "82.1",
    "481.1",
    "481.2",
]
"""The ends of SOP Class UIDs: Enhanced CT, MR, US, XA and others; CR, DX, MG, CT, US, MR, SC, XA, VL, RT."""


@pytest.mark.parametrize("old", [r"ORIGINAL\PRIMARY\A\B", r"DERIVED\SECONDARY\A\B"])
@pytest.mark.parametrize(("ends", "second"), [(ONLY_PRIMARY, "PRIMARY"), (EITHER, "SECONDARY")])
def test_image_type_value_2_is_what_the_sop_class_allows(
    derive: Derive, ends: list[str], second: str, old: str
) -> None:
    """PS3.3 C.8.9.4.1.1, C.8.16.1.2, C.8.17.2.1.4, C.8.20.2, ...: nothing but PRIMARY; C.7.6.1.1.2: both."""
    for end in ends:
        new = derive(attributes={"SOPClassUID": f"1.2.840.10008.5.1.4.1.1.{end}", "ImageType": old})
        assert raw(new, "ImageType") == rb"DERIVED\%s\A\B" % second.encode(), end


@pytest.mark.parametrize(("old", "new"), [("PRIMARY", "PRIMARY"), ("SECONDARY", "SECONDARY")])
def test_functional_groups_of_a_secondary_capture_keep_value_2(derive: Derive, old: str, new: str) -> None:
    """Its class allows both (PS3.3 C.7.6.1.1.2): what was SECONDARY must not become PRIMARY."""
    derived = derive(modality="SCW", slices=1, frames=2, functional_groups="plain",
                     attributes={"ImageType": rf"DERIVED\{old}"})  # fmt: skip
    assert list(derived.ImageType) == ["DERIVED", new]


@pytest.mark.parametrize("modality", ["PT", "NM"])
def test_pet_and_nm_differ_in_nothing_else(tmp_path: Path, run: Run, modality: str) -> None:
    """The outside judge knows the exception for PET and NM too."""
    files = write_series(tmp_path / "in", modality=modality, bits_stored=16, signed=modality == "PT")
    run(tmp_path / "in", tmp_path / "out")
    assert compare(files, sorted((tmp_path / "out").iterdir()), "derived") == []


# -------------------------------------------------------------------------------------------- the moment


@pytest.mark.parametrize(
    ("offset", "date", "time", "zone"),
    [
        ("+0000", "20200913", "122640", "+0000"),
        ("-0000", "20200913", "122640", "+0000"),
        ("+0530", "20200913", "175640", "+0530"),
        ("-0330", "20200913", "085640", "-0330"),
        ("+1400", "20200914", "022640", "+1400"),
        ("-1200", "20200913", "002640", "-1200"),
        ("-0030", "20200913", "115640", "-0030"),
        (b"", "20200913", "122640", "+0000"),
        (None, "20200913", "122640", "+0000"),
        ("garbage", "20200913", "122640", "+0000"),
        ("+9999", "20200913", "122640", "+0000"),
        ("+", "20200913", "122640", "+0000"),
    ],
)
def test_moment_is_told_in_the_offset_of_the_source(
    derive: Derive, monkeypatch: pytest.MonkeyPatch, offset: str | bytes | None, date: str, time: str, zone: str
) -> None:
    """Timezone Offset From UTC holds for every date and time of the instance, also for those that are new."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")
    new = derive(attributes={"TimezoneOffsetFromUTC": offset})
    assert (new.InstanceCreationDate, new.InstanceCreationTime) == (date, time)
    assert (new.SeriesDate, new.SeriesTime) == (date, time)
    assert new.ContributingEquipmentSequence[-1].ContributionDateTime == date + time + zone
    expected = offset.decode() if isinstance(offset, bytes) else offset
    assert (new.get("TimezoneOffsetFromUTC") if offset is None else new.TimezoneOffsetFromUTC or "") == expected


@pytest.mark.parametrize("epoch", ["yesterday", "1e9", "99999999999999999"])
def test_epoch_that_is_no_time_is_refused(monkeypatch: pytest.MonkeyPatch, epoch: str) -> None:
    """A build system's mistake gets a sentence, not a traceback."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with pytest.raises(RoundtripError, match="SOURCE_DATE_EPOCH"):
        plan()


# ---------------------------------------------------------------------------------------- the references


def pairs(sequence: Sequence[Dataset]) -> list[tuple[str, str]]:
    return [(str(one.ReferencedSOPClassUID), str(one.ReferencedSOPInstanceUID)) for one in sequence]


def instance(*parts: object) -> tuple[str, str]:
    return str(uid.CTImageStorage), make_uid(*parts)


OWN, SIBLING, THIRD = (instance("instance", 0, index) for index in range(3))


def test_source_image_of_a_plain_slice(derive: Derive) -> None:
    """Who gets a derived image must find the one it was made of."""
    (source,) = derive().SourceImageSequence
    assert pairs([source]) == [OWN]
    assert source.SpatialLocationsPreserved == "YES"
    (purpose,) = source.PurposeOfReferenceCodeSequence
    assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("121322", "DCM")


def test_source_image_stands_after_the_older_ones(derive: Derive) -> None:
    """The chain of derivations reads from the oldest to the newest."""
    found = derive(source_images="121322").SourceImageSequence
    assert pairs(found) == [instance("older", 0), instance("oldest", 0), OWN]
    assert found[0].PurposeOfReferenceCodeSequence[0].CodeValue == "121322"


def test_referenced_series_of_a_plain_slice(derive: Derive) -> None:
    """Required as soon as anything of the study is referenced, PS3.3 C.12.2."""
    (series,) = derive().ReferencedSeriesSequence
    assert series.SeriesInstanceUID == make_uid("series", 0)
    assert pairs(series.ReferencedInstanceSequence) == [OWN]


def test_referenced_series_of_another_series_stays_first(derive: Derive) -> None:
    """A reference to the localizer's series is the source's own and stays."""
    other, own = derive(referenced_series="other").ReferencedSeriesSequence
    assert other.SeriesInstanceUID == make_uid("other series")
    assert pairs(other.ReferencedInstanceSequence) == [instance("other", 0)]
    assert (own.SeriesInstanceUID, pairs(own.ReferencedInstanceSequence)) == (make_uid("series", 0), [OWN])


def test_referenced_series_that_lists_the_instance_is_not_doubled(derive: Derive) -> None:
    """The same instance twice in one list makes viewers count it twice."""
    (own,) = derive(referenced_series="same").ReferencedSeriesSequence
    assert pairs(own.ReferencedInstanceSequence) == [OWN]


def test_referenced_series_takes_the_instance_in(derive: Derive) -> None:
    """An item of the series that lists siblings only gets the source instance behind them; all else in it stays."""
    old = item(SeriesInstanceUID=make_uid("series", 0), ReferencedInstanceSequence=[reference("instance", 0, 1)])
    old.put("SeriesDescription", "kept")
    old.put(0x00290010, "INVENTED INNER", "LO")
    old.put(0x00291001, "kept too", "LO")
    other = item(SeriesInstanceUID=make_uid("third"), ReferencedInstanceSequence=[reference("third", 0)])
    new = derive(slices=2, attributes={"ReferencedSeriesSequence": [[old, other]]})
    own, third = new.ReferencedSeriesSequence
    assert pairs(own.ReferencedInstanceSequence) == [SIBLING, OWN]
    assert (own.SeriesDescription, own[0x00291001].value) == ("kept", "kept too")
    assert third.SeriesInstanceUID == make_uid("third")


def test_referenced_series_lists_every_sibling_that_is_referred_to(derive: Derive) -> None:
    """A reference to another slice of the series must be resolvable too; one to a localizer is of another series."""
    images = [reference("instance", 0, 1), reference("localizer")]
    attributes = {"ReferencedImageSequence": [images], "SourceImageSequence": [[reference("instance", 0, 2)]]}
    (own,) = derive(slices=3, attributes=attributes).ReferencedSeriesSequence
    assert sorted(pairs(own.ReferencedInstanceSequence)) == sorted([OWN, SIBLING, THIRD])


def test_referenced_images_are_never_pointed_elsewhere(derive: Derive) -> None:
    """References mean the original instances, which still exist."""
    new = derive(slices=2, attributes={"ReferencedImageSequence": [[reference("instance", 0, 1)]]})
    assert pairs(new.ReferencedImageSequence) == [SIBLING]


def test_equipment_of_the_source_is_untouched(derive: Derive) -> None:
    """Readers choose how to read private data by Manufacturer: it must stay the scanner's."""
    new = derive(contributing_equipment="odd")
    assert (new.Manufacturer, new.ManufacturerModelName, new.StationName) == ("Invented Scanners", "Model 7", "ROOM1")
    assert (list(new.SoftwareVersions), new.DeviceSerialNumber) == (["1.0", "patch 3"], "0007")
    old, own = new.ContributingEquipmentSequence
    assert (old.Manufacturer, old[0x00291001].value) == ("Invented Archive", "private text")
    assert own.Manufacturer == "itk-roundtrip"
    assert "SoftwareVersions" not in own  # dcm2niix takes them, and the model, for those of the scanner
    assert "ManufacturerModelName" not in own
    assert own.ContributionDescription.startswith(f"itk-roundtrip {__version__}, ")
    assert own.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"


# ------------------------------------------------------------------------------------ what is missing


@pytest.mark.parametrize(
    ("field", "tag", "words"),
    [
        ("study_instance_uid", "(0020,000D)", "Study Instance UID"),
        ("sop_class_uid", "(0008,0016)", "SOP Class UID"),
    ],
)
def test_nothing_is_derived_without_study_or_class(field: str, tag: str, words: str) -> None:
    """A new instance must be in the study of its source, and of its class; both cannot be made up."""
    sources = slices(3, **{field: ["1.2", "", "1.2"]}, name=["a", "b", "c"])
    with pytest.raises(UnsupportedSeriesError, match=rf"b has no {words}.*copy") as caught:
        plan(sources)
    assert (caught.value.path, caught.value.tag) == ("b", tag)


def test_without_an_instance_uid_there_is_nothing_to_refer_to(derive: Derive) -> None:
    """A reference to an empty UID is worse than none; what the source refers to stays."""
    new = derive(attributes={"SOPInstanceUID": None})
    assert "SourceImageSequence" not in new
    assert "ReferencedSeriesSequence" not in new
    assert new.SOPInstanceUID.startswith("2.25.")
    chained = derive(attributes={"SOPInstanceUID": b""}, source_images="121322", referenced_series="other")
    assert pairs(chained.SourceImageSequence) == [instance("older", 0), instance("oldest", 0)]
    assert len(chained.ReferencedSeriesSequence) == 1


def test_without_a_series_uid_the_instance_is_still_named(derive: Derive) -> None:
    """The list by series needs the series; the source image does not."""
    new = derive(attributes={"SeriesInstanceUID": None})
    assert pairs(new.SourceImageSequence) == [OWN]
    assert "ReferencedSeriesSequence" not in new
    assert new.SeriesInstanceUID.startswith("2.25.")


@pytest.mark.parametrize("identity", ["derived", "copy"])
@pytest.mark.parametrize("missing", ["SOPInstanceUID", "SeriesInstanceUID", "both"])
def test_missing_uids_on_disk(tmp_path: Path, run: Run, missing: str, identity: Literal["derived", "copy"]) -> None:
    """Converters leave UIDs out: derived instances get their own, all distinct; a copy keeps the lack."""
    keywords = ("SOPInstanceUID", "SeriesInstanceUID") if missing == "both" else (missing,)
    files = write_series(tmp_path / "in", attributes=dict.fromkeys(keywords))
    run(tmp_path / "in", tmp_path / "out", identity=identity)
    written = sorted((tmp_path / "out").iterdir())
    assert compare(files, written, identity) == []
    found = [pydicom.dcmread(path) for path in written]
    if identity == "derived":
        assert len({one.SOPInstanceUID for one in found}) == 4
        assert len({one.SeriesInstanceUID for one in found}) == 1
    else:
        assert not any(keyword in one for one in found for keyword in keywords)


# ------------------------------------------------------------------------------------------ the rule table

STATUS: dict[str, Any] = {
    "status": True,
    "signatures": "top",
    "encrypted": True,
    "trailing_padding": True,
    "length_to_end": True,
}


def test_every_rule_that_removes_does(derive: Derive, tmp_path: Path) -> None:
    """What speaks of the source's own status must not speak of the new instance."""
    (source,) = write_series(tmp_path / "source", slices=1, **STATUS)
    removed = {rule.tag for rule in RULES if rule.action == "remove"}
    assert removed <= {int(element.tag) for element in pydicom.dcmread(source)}
    assert not removed & {int(element.tag) for element in derive(**STATUS)}


def test_edits_are_those_of_the_rule_table(tmp_path: Path) -> None:
    """The table in the documentation is what is done: no attribute more, none less."""
    varieties: tuple[dict[str, Any], ...] = ({}, STATUS)
    for features in varieties:
        (file,) = write_series(tmp_path / "in", slices=1, **features)
        changes = edits(plan(slices(1, instance_number="")), read_header(file).values, 0, "2.25.77")
        asked = [rule for rule in RULES if rule.action != "keep"]
        assert changes.keys() == {rule.tag for rule in asked if features or rule.action != "remove"}


def test_dictionary_gets_what_it_can_hold(tmp_path: Path) -> None:
    """ITK's dictionary has no sequences and takes ASCII only: the rest is completed after ITK has written."""
    attributes = {"SpecificCharacterSet": "ISO_IR 100", "SeriesDescription": "Größe".encode("latin-1")}
    (file,) = write_series(tmp_path / "in", slices=1, status=True, attributes=attributes)
    carried = dictionary_edits(edits(plan(), read_header(file).values, 0, "2.25.77"))
    assert carried["0008|0018"] == "2.25.77"
    assert carried["0008|0008"] == r"DERIVED\SECONDARY\AXIAL\INVENTED"
    assert carried["0100|0410"] is None
    assert "0008|103e" not in carried
    assert "0008|2112" not in carried
