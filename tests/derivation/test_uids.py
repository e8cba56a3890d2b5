"""UIDs that come out the same on every rerun, and differ as soon as anything else does."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pydicom
import pytest
from conftest import Run
from pydicom.uid import UID
from synthetic import write_series

from itk_roundtrip.derivation.uids import series_instance_uid, sop_instance_uid

SERIES: dict[str, Any] = {
    "source_series_instance_uid": "1.2.3",
    "source_sop_instance_uids": ["1.2.3.1", "1.2.3.2"],
    "operation": {"identity": "derived", "operation": "read and written with ITK"},
    "version": "0.1.0",
}
OTHER_SERIES: dict[str, Any] = {
    "source_series_instance_uid": ["1.2.4", ""],
    "source_sop_instance_uids": [["1.2.3.1"], ["1.2.3.1", "1.2.3.3"], ["1.2.3.1", "1.2.3.2", "1.2.3.2"], []],
    "operation": [
        {"identity": "derived", "operation": "Median"},
        {"identity": "derived", "operation": "read and written with ITK", "headers": "itk"},
        {"identity": "read and written with ITK", "operation": "derived"},
        {},
    ],
    "version": ["0.1.1"],
}
INSTANCE = ("2.25.1", "1.2.3.1", "ab12")
OTHER_INSTANCES = [("2.25.2", "1.2.3.1", "ab12"), ("2.25.1", "1.2.3.2", "ab12"), ("2.25.1", "1.2.3.1", "ab13")]
CHANGES = [(name, value) for name, values in OTHER_SERIES.items() for value in values]


def assert_valid(uid: str) -> None:
    """Check the form of a UUID-derived UID, PS3.5 B.2."""
    root, value = uid.rsplit(".", 1)
    assert root == "2.25"
    assert value == str(int(value))
    assert 0 < int(value) < 1 << 128
    assert len(uid) <= 64
    assert UID(uid).is_valid


def test_known_answers() -> None:
    """A change of these is a change of every UID that a rerun makes: it needs a reason and a note."""
    assert series_instance_uid(**SERIES) == "2.25.262187683715032850594042377736162465222"
    assert sop_instance_uid(*INSTANCE) == "2.25.287697684176788393197338578640736144461"


def test_form() -> None:
    """Archives refuse a UID with a leading zero or one of more than 64 characters."""
    for count in range(200):
        assert_valid(sop_instance_uid("2.25.1", f"1.2.{count}", ""))
    assert_valid(series_instance_uid(**SERIES))
    assert_valid(series_instance_uid("", [], {}, ""))


def test_order_of_the_sources_does_not_count() -> None:
    """The same series read by another tool, or from renamed files, gives the same UIDs."""
    again = {**SERIES, "source_sop_instance_uids": iter(["1.2.3.2", "1.2.3.1"])}
    again["operation"] = dict(reversed(SERIES["operation"].items()))
    assert series_instance_uid(**again) == series_instance_uid(**SERIES)


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_every_ingredient_of_a_series_uid_counts(name: str, value: Any) -> None:
    """Two outputs that differ must never share a UID."""
    assert series_instance_uid(**{**SERIES, name: value}) != series_instance_uid(**SERIES)


def test_no_two_combinations_share_a_uid() -> None:
    """Ingredients that join to one text, as 1.2 + 3 and 1 + 2.3, must not give one UID."""
    series = [{**SERIES, name: value} for name, value in CHANGES] + [SERIES]
    made = [series_instance_uid(**one) for one in series]
    made += [sop_instance_uid(*one) for one in [INSTANCE, *OTHER_INSTANCES]]
    made += [sop_instance_uid(*one) for one in itertools.permutations(["1", "1.1", "1.1.1"])]
    made += [sop_instance_uid("1", "23", "4"), sop_instance_uid("12", "3", "4"), sop_instance_uid("1", "2", "34")]
    made += [sop_instance_uid('1","2', "3", "4"), sop_instance_uid("1", '2","3', "4")]
    assert len(set(made)) == len(made)


def headers(folder: Path) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(folder.iterdir())]


def uids(folder: Path) -> list[tuple[str, str, str]]:
    return [(str(one.SOPInstanceUID), str(one.SeriesInstanceUID), str(one.StudyInstanceUID)) for one in headers(folder)]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_rerun_gives_the_same_uids(tmp_path: Path, run: Run) -> None:
    """An archive that gets the output twice must see one series, not two."""
    write_series(tmp_path / "in", seed=3)
    first, second = run(tmp_path / "in", tmp_path / "a"), run(tmp_path / "in", tmp_path / "b")
    assert first.series_instance_uid == second.series_instance_uid
    assert uids(tmp_path / "a") == uids(tmp_path / "b")
    made = uids(tmp_path / "a")
    assert len({instance for instance, _, _ in made}) == 4
    assert {series for _, series, _ in made} == {first.series_instance_uid}
    for instance, series, _ in made:
        assert_valid(instance)
        assert_valid(series)


def test_rerun_over_an_old_output_gives_the_same_uids(tmp_path: Path, run: Run) -> None:
    """Neither the folder nor what stands in it is part of the identity."""
    write_series(tmp_path / "in", seed=3)
    run(tmp_path / "in", tmp_path / "out")
    before = uids(tmp_path / "out")
    run(tmp_path / "in", tmp_path / "out", overwrite=True)
    assert uids(tmp_path / "out") == before


def test_rerun_from_renamed_files_gives_the_same_uids(tmp_path: Path, run: Run) -> None:
    """Files are renamed on every export; the instances in them are the same."""
    write_series(tmp_path / "in", seed=3, slices=5)
    write_series(tmp_path / "renamed", seed=3, slices=5, names="shuffled")
    run(tmp_path / "in", tmp_path / "a")
    run(tmp_path / "renamed", tmp_path / "b")
    assert sorted(uids(tmp_path / "a")) == sorted(uids(tmp_path / "b"))


@pytest.mark.parametrize("transfer_syntax", ["implicit", "big", "rle"])
def test_uids_do_not_depend_on_the_encoding(tmp_path: Path, run: Run, transfer_syntax: str) -> None:
    """The same instance, sent in another transfer syntax, is the same instance."""
    write_series(tmp_path / "in", seed=3, slices=2)
    write_series(tmp_path / "encoded", seed=3, slices=2, transfer_syntax=transfer_syntax)
    run(tmp_path / "in", tmp_path / "a")
    run(tmp_path / "encoded", tmp_path / "b")
    assert uids(tmp_path / "a") == uids(tmp_path / "b")


def test_other_operation_gives_other_uids(tmp_path: Path, run: Run) -> None:
    """Two outputs of one source that say different things of themselves are different instances."""
    write_series(tmp_path / "in", seed=3, slices=2)
    run(tmp_path / "in", tmp_path / "a")
    run(tmp_path / "in", tmp_path / "b", description="Another operation")
    first, second = uids(tmp_path / "a"), uids(tmp_path / "b")
    assert not {one[0] for one in first} & {one[0] for one in second}
    assert first[0][1] != second[0][1]
    assert first[0][2] == second[0][2]


def test_other_pixels_give_other_instance_uids(tmp_path: Path, run: Run) -> None:
    """Pixels that were changed under the same UID, as careless tools do, must not come out as one instance."""
    files = write_series(tmp_path / "in", seed=3, slices=2)
    run(tmp_path / "in", tmp_path / "a")
    content = bytearray(files[0].read_bytes())
    content[-4] ^= 1
    files[0].write_bytes(content)
    run(tmp_path / "in", tmp_path / "b")
    before, after = uids(tmp_path / "a"), uids(tmp_path / "b")
    assert before[0][0] != after[0][0]
    assert before[1] == after[1]


@pytest.mark.parametrize("modality", ["CT", "PT"])
def test_rerun_at_the_same_moment_is_byte_for_byte_the_same(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, modality: str
) -> None:
    """Reproducible builds of data sets compare files by their digest."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")
    write_series(tmp_path / "in", seed=3, modality=modality, private="unknown")
    for name in "ab":
        run(tmp_path / "in", tmp_path / name)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    (first, *_) = headers(tmp_path / "a")
    assert (first.InstanceCreationDate, first.InstanceCreationTime) == ("20200913", "122640")
    assert first.ContributingEquipmentSequence[-1].ContributionDateTime == "20200913122640+0000"


def test_rerun_later_differs_in_dates_only(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a rerun changes must be told from what it must not change."""
    write_series(tmp_path / "in", seed=3, slices=2)
    for name, epoch in (("a", "1600000000"), ("b", "1700000000")):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
        run(tmp_path / "in", tmp_path / name)
    for one, other in zip(headers(tmp_path / "a"), headers(tmp_path / "b"), strict=True):
        changed = {element.keyword for element in one if element != other[element.tag]}
        expected = {"InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime"}
        assert changed == expected | {"ContributingEquipmentSequence"}
        assert one.keys() == other.keys()


def test_copy_is_byte_for_byte_the_same_at_any_moment(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy holds nothing of the moment it was made."""
    write_series(tmp_path / "in", seed=3, slices=2)
    for name, epoch in (("a", "1600000000"), ("b", "1700000000")):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
        run(tmp_path / "in", tmp_path / name, identity="copy")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
