"""Names of written files: those of the source where they differ, and none twice."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from itk_roundtrip.itk_io.view import names


def test_names_that_differ_stay(tmp_path: Path) -> None:
    """Users find their files again by name."""
    given = ["IM1.dcm", "IM2.dcm", "1.2.840.1", "slice"]
    assert names([(name, f"folder/{name}") for name in given]) == given


def test_equal_names_are_told_apart_by_their_folders() -> None:
    """Exports put IM1 into a folder per series part; a flat output must not lose one."""
    given = [("IM1.dcm", "a/IM1.dcm"), ("IM1.dcm", "b/IM1.dcm"), ("IM2.dcm", "b/IM2.dcm")]
    assert names(given) == ["a_IM1.dcm", "b_IM1.dcm", "IM2.dcm"]


@pytest.mark.parametrize(
    "paths",
    [
        ["a/IM1", "b/im1", "IM1"],
        ["a/b_c", "a_b/c", "x/c"],
        ["a/b/c", "a_b/c", "a/b_c", "x/b_c"],
        ["a/IM1", "b/IM1", "a_IM1"],
        ["a/IM1", "b/IM1", "A_IM1", "B_im1"],
        ["a/x.dcm", "A/X.DCM", "a_x.dcm", "q/a_x.dcm"],
        ["a/x_2", "a_x/2", "b/x_2", "b/2", "a_x_2"],
        ["a/x", "b/x", "a_x", "a_x_2", "c/a_x", "c_a/x"],
        [f"{folder}/{'n' * 230}.dcm" for folder in "abc"],
        [f"{'f' * 250}{index}/IM1.dcm" for index in range(3)],
        ["ä/ß.dcm", "ö/ß.dcm", "ä_ß.dcm"],
        ["a/STRASSE", "b/straße"],
        ["a/\u00e9", "b/e\u0301"],
    ],
)
def test_no_two_names_are_alike_in_any_case(paths: list[str]) -> None:
    """A colliding name would overwrite a slice; file systems of macOS know neither case nor normal forms."""
    given = [(Path(path).name, path) for path in paths]
    result = names(given)
    assert len(result) == len({unicodedata.normalize("NFC", name).casefold() for name in result}) == len(paths)
    for name, (original, _) in zip(result, given, strict=True):
        assert Path(name).suffix == Path(original).suffix
        assert len(name.encode()) <= 255 - len("derived_")
        assert "/" not in name


def test_name_that_no_text_can_hold() -> None:
    """Names are bytes on disk; what is no UTF-8 must still become a name."""
    broken = b"IM\xff.dcm".decode("utf-8", "surrogateescape")
    (result,) = names([(broken, broken)])
    assert result.encode("utf-8").endswith(b".dcm")
    twice = names([(broken, f"a/{broken}"), (b"IM\xfe.dcm".decode("utf-8", "surrogateescape"), "b/IM.dcm")])
    assert len(set(twice)) == 2
