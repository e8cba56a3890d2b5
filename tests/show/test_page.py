"""The page of a verification: what it says, what it keeps to itself, and that it needs nothing but itself."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydicom
import pytest
from conftest import SAMPLE
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from itk_roundtrip.show import page
from itk_roundtrip.verify.checks import CHECKS
from itk_roundtrip.verify.findings import Change, Finding, Report, SlicePair

VOID = {"input", "img", "link", "meta", "br"}
SERIES_UID = "2.25.327889855027669762967726590150629923641"
RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8)


class Parsed(HTMLParser):
    """A page by its parts; malformed nesting fails."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: dict[str, list[tuple[dict[str, str | None], list[str]]]] = {}
        self.texts: dict[str, str] = {}
        self._open: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        assert len(attributes) == len(attrs)
        self.elements.append((tag, attributes))
        if tag not in VOID:
            self._open.append((tag, attributes.get("id") or ""))
        if tag == "tr":
            self.rows.setdefault(self.section, []).append((attributes, []))
        if tag == "td":
            self.rows[self.section][-1][1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        self.texts[self.section] = self.texts.get(self.section, "") + data
        if any(tag == "td" for tag, _ in self._open):
            self.rows[self.section][-1][1][-1] += data

    @property
    def section(self) -> str:
        """Id of the section that is being read, or title or header; empty elsewhere."""
        inside = [
            name if tag == "section" else tag for tag, name in self._open if tag in ("section", "title", "header")
        ]
        return inside[-1] if inside else ""

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements of a kind."""
        return [found for name, found in self.elements if name == tag and wanted.items() <= found.items()]

    def cells(self, section: str) -> list[list[str]]:
        """Return the texts of a table, without its head."""
        return [[" ".join(cell.split()) for cell in cells] for _, cells in self.rows[section] if cells]

    def pictures(self) -> dict[str, NDArray[Any]]:
        """Return the pictures by their alternative text."""
        return {str(one["alt"]): decoded_png(str(one["src"])) for one in self.all("img") if one["alt"]}


def decoded_png(uri: str) -> NDArray[Any]:
    """Return the pixels of a PNG without line filters, and check its checksums."""
    kind, _, text = uri.partition(",")
    assert kind == "data:image/png;base64"
    content = base64.b64decode(text)
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = {}, 8
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        body = content[place + 4 : place + 8 + length]
        assert zlib.crc32(body) == int.from_bytes(content[place + 8 + length : place + 12 + length], "big")
        chunks[body[:4]] = body[4:]
        place += 12 + length
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    columns, rows = (int.from_bytes(chunks[b"IHDR"][start : start + 4], "big") for start in (0, 4))
    samples = {0: 1, 2: 3}[chunks[b"IHDR"][9]]
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(rows, 1 + columns * samples)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape((rows, columns) if samples == 1 else (rows, columns, 3))


def write_image(file: Path, values: NDArray[Any], **attributes: Any) -> None:
    """Write an image: (rows, columns), (frames, rows, columns) or, if uint8, (rows, columns, 3)."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = uid.SecondaryCaptureImageStorage, uid.UID("1.2.3.4")
    colour = values.dtype == np.uint8
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    elif values.ndim == 3:
        dataset.NumberOfFrames = len(values)
    dataset.Rows, dataset.Columns = values.shape[:2] if colour else values.shape[-2:]
    dataset.BitsAllocated = dataset.BitsStored = values.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = values.tobytes()
    dataset.save_as(file, enforce_file_format=True)


@dataclass
class Case:
    """Two folders and a report on them, to be written as a page."""

    folder: Path
    report: Report
    source: Path = field(init=False)
    written: Path = field(init=False)

    def __post_init__(self) -> None:
        self.source, self.written = self.folder / "source of X", self.folder / "written of X"
        for folder in (self.source, self.written):
            folder.mkdir(exist_ok=True)
        self.report = replace(self.report, source=str(self.source), written=str(self.written))

    def parsed(self, *, pictures: bool = False, show_values: bool = False, **changes: Any) -> Parsed:
        """Write the page and read it."""
        report, file = replace(self.report, **changes), self.folder / "page.html"
        page.write_page(report, self.source, self.written, file, pictures=pictures, show_values=show_values)
        return Parsed(file.read_text("utf-8"))

    def add(self, number: int, source: NDArray[Any], written: NDArray[Any], **attributes: Any) -> None:
        """Add a pair of images with attributes of both; those of the written one end with ``_written``."""
        both = {key: value for key, value in attributes.items() if not key.endswith("_written")}
        ours = {key.removesuffix("_written"): value for key, value in attributes.items() if key not in both}
        pair = paired(number)
        write_image(self.source / pair.source, source, **both)
        write_image(self.written / pair.written, written, **both | ours)
        if source.shape == written.shape:
            difference = np.abs(written.astype(int) - source.astype(int))
            changed, largest = int((difference > 0).sum()), float(difference.max())
            pair = replace(pair, pixels=source.size, changed=changed, largest=largest, largest_real=largest)
        self.report = replace(self.report, pairs=(*self.report.pairs, pair))


def paired(number: int, **changes: Any) -> SlicePair:
    return replace(SlicePair(f"IM{number:04d}.dcm", f"derived_IM{number:04d}.dcm", "Source Image"), **changes)


def finding(severity: Any = "error", check: str = "HDR-01", message: str = "was lost", **changes: Any) -> Finding:
    return replace(Finding(check, severity, "derived_IM0001.dcm", "(0010,0010)", "PatientName", message), **changes)


def change(outcome: Any = "lost", **changes: Any) -> Change:
    made = Change(outcome, "(0008,0060)", "Modality", "keep", "HDR-01", 3, "derived_IM0001.dcm")
    return replace(made, **changes)


class InProcess(contextlib.AbstractContextManager["InProcess"]):
    """Stand-in for workers that calls a function in this process."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def call(self, function: Callable[..., Any], *arguments: Any) -> SimpleNamespace:
        return SimpleNamespace(crashed=False, value=function(*arguments))


@pytest.fixture(autouse=True)
def _in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw without a worker process, whose start is longer than the drawing."""
    monkeypatch.setattr(page, "Workers", InProcess)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    report = Report("pass", "", "", "derived", False, SERIES_UID, "2.25.78855093", 0, 0, (), (), ())
    return Case(tmp_path, report)


@pytest.fixture
def phantom(tmp_path: Path) -> Case:
    """The sample series against a copy, one slice of it changed."""
    names = [f"CT{number:04d}.dcm" for number in range(1, 25)]
    pairs = [SlicePair(name, name, "SOP Instance UID", at, at, "ab" * 32, 16384) for at, name in enumerate(names)]
    pairs[6] = replace(pairs[6], changed=1, largest=5, largest_real=5)
    told = (finding("error", "PIX-02", slice=names[6]),)
    made = Case(tmp_path, Report("fail", "", "", "copy", True, SERIES_UID, SERIES_UID, 25, 24, tuple(pairs), told, ()))
    for name in names:
        (made.source / name).symlink_to(SAMPLE / name)
        (made.written / name).symlink_to(SAMPLE / name)
    dataset = pydicom.dcmread(SAMPLE / names[6])
    values = dataset.pixel_array.copy()
    values[3, 4] += 5
    dataset.PixelData = values.tobytes()
    (made.written / names[6]).unlink()
    dataset.save_as(made.written / names[6])
    return made


def test_verdict_comes_first_and_in_words(phantom: Case) -> None:
    findings = (finding(check="PIX-02", message="values differ"), finding("warning"), finding("info"), finding("info"))
    parsed = phantom.parsed(verdict="fail", findings=findings)
    assert parsed.texts["title"].startswith("FAIL")
    assert " ".join(parsed.texts["header"].split()) == (
        "FAIL PIX-02: PatientName values differ 1 error 1 warning 2 infos"
    )
    icons = [found["href"] for found in parsed.all("use")]
    assert icons[:4] == ["#error", "#error", "#warning", "#info"]
    parsed = phantom.parsed(verdict="pass", findings=())
    assert " ".join(parsed.texts["header"].split()).startswith("PASS no error was found 0 errors")
    assert parsed.all("use")[0]["href"] == "#pass"


def test_summary_tells_what_was_compared(phantom: Case) -> None:
    pairs = (*phantom.report.pairs[:20], *(replace(pair, by="position") for pair in phantom.report.pairs[20:]))
    changes = (change(slices=3), change("kept", slices=70))
    text = phantom.parsed(pairs=pairs, changes=changes).source
    assert "24 written slices with 25 source slices" in text
    assert "copy, guessed from the written files" in text
    assert "SOP Instance UID 20, position 4; without counterpart: 0 written, 1 source" in text
    assert "23 slices equal, 1 changed, 0 not compared" in text
    assert "lost 3, kept 70; over all slices" in text
    assert "guessed" not in phantom.parsed(identity_guessed=False).source


@pytest.mark.parametrize("show_values", [False, True])
def test_page_needs_nothing_but_itself(phantom: Case, show_values: bool) -> None:
    """No request leaves the browser: none is written down, and the policy forbids the rest."""
    parsed = phantom.parsed(show_values=show_values)
    policy = str(parsed.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"])
    script = re.findall("<script>(.*?)</script>", parsed.source, re.S)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert f"script-src 'sha256-{digest}';" in policy
    assert "url(" not in parsed.source
    assert "@import" not in parsed.source
    assert "://" not in parsed.source
    for _, attributes in parsed.elements:
        assert not {"action", "srcset"} & attributes.keys()
        proportions = r"aspect-ratio:\d+/\d+;max-width:calc\(85vh\*[\d.e+-]+\)"
        assert re.fullmatch(proportions, attributes.get("style") or "aspect-ratio:1/1;max-width:calc(85vh*1)")
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href"):
            assert str(attributes.get(name, "#")).startswith(("#", "data:"))


def test_links_and_labels(phantom: Case) -> None:
    parsed = phantom.parsed()
    ids = [str(found["id"]) for _, found in parsed.elements if "id" in found]
    assert len(ids) == len(set(ids))
    assert {str(found["href"])[1:] for kind in ("a", "use") for found in parsed.all(kind)} <= set(ids)
    assert parsed.all("meta", name="viewport")
    assert len(parsed.all("label")) == len(parsed.all("input")) + len(parsed.all("select"))
    assert all("alt" in found for found in parsed.all("img"))
    assert all(found.get("aria-label") for found in parsed.all("svg", role="img"))


def test_findings_table(case: Case) -> None:
    nested = finding(path="A[0].B", count=3)
    parsed = case.parsed(findings=(nested, finding("warning", slice=None, tag=None, path=None, check="TIM-01")))
    assert parsed.cells("findings") == [
        ["error", f"HDR-01 {CHECKS['HDR-01'].asks}", "was lost", "A[0].B (0010,0010)", "3", "a file"],
        ["warning", f"TIM-01 {CHECKS['TIM-01'].asks}", "was lost", "", "the series", ""],
    ]
    parsed = case.parsed(findings=(finding("info", inherited=True),))
    assert "inherited" in parsed.cells("findings")[0][2]


def test_filters_fit_the_rows(case: Case) -> None:
    """What the script compares: the value of a control, and the data of a row."""
    findings = (finding(), finding("warning"), finding("warning", "TIM-01"), finding("info", "no such check"))
    changes = (change("lost"), change("VR changed"), change("kept"), change("kept"))
    parsed = case.parsed(findings=findings, changes=changes)
    boxes = {str(found["value"]): "checked" in found for found in parsed.all("input", type="checkbox")}
    assert boxes == {"error": True, "warning": True, "info": True, "lost": True, "VR changed": True, "kept": False}
    kinds = [data["data-kind"] for name in ("findings", "attributes") for data, cells in parsed.rows[name] if cells]
    assert kinds == [one.severity for one in findings] + [one.outcome for one in changes]
    checks = {data["data-check"] for data, cells in parsed.rows["findings"] if cells}
    assert {found["value"] for found in parsed.all("option")} == checks | {""}
    assert "warning (2)" in parsed.texts["findings"]
    assert f"HDR-01 (2) {CHECKS['HDR-01'].asks}" in parsed.texts["findings"]
    assert "kept (2)" in parsed.texts["attributes"]
    assert not [data for rows in parsed.rows.values() for data, _ in rows if "hidden" in data]  # without the script


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (change("lost", old="CT"), "CT → (none)"),
        (change("added", new="CT"), "(none) → CT"),
        (change("changed", old="CT", new="MR"), "CT → MR"),
        (change("kept", old="CT", new="CT"), "CT"),
        (change("moved"), ""),
        (change("changed", hidden=True), "hidden"),
        (change("changed", old="CT", hidden=True), "CT → hidden"),
        (change("added", new="CT", hidden=True), "(none) → CT"),
        (change(path="SOPInstanceUID", tag="(0008,0018)", old="1.2"), "hidden → (none)"),
        (change("changed", path="SOPInstanceUID", tag="(0008,0018)", old="1.2", new="1.3"), "hidden"),
        (
            change(path="SourceImageSequence[1].ReferencedSOPInstanceUID", tag="(0008,2112)", old="1.2"),
            "hidden → (none)",
        ),
        (change(path="SeriesDescription", tag="(0008,103E)", old="Knee of X"), "hidden → (none)"),
        (change(path="(0029,1001) ACME 1.0", tag="(0029,1001)", old="x 1.2.840.1.5"), "x [UID] → (none)"),
    ],
)
def test_values_of_attributes(case: Case, made: Change, shown: str) -> None:
    assert case.parsed(changes=(made,)).cells("attributes")[0][-1] == shown
    if shown.startswith("hidden") and made.old:
        assert str(made.old) in case.parsed(changes=(made,), show_values=True).cells("attributes")[0][-1]


def test_attribute_row(case: Case) -> None:
    case.add(1, RAMP, RAMP)
    private = change("moved", path="(0029,1001) ACME", tag="(0029,1001)")
    parsed = case.parsed(changes=(change("changed", old="CT", new="MR"), private))
    assert parsed.cells("attributes") == [
        ["changed", "Modality (0008,0060)", "keep", "HDR-01", "3 from written slice 1", "CT → MR"],
        ["moved", "(0029,1001) ACME", "keep", "HDR-01", "3 from written slice 1", ""],
    ]
    assert f"<dt>HDR-01</dt><dd>{CHECKS['HDR-01'].asks}</dd>" in parsed.source


MESSAGES = [
    ("derived_IM0002.dcm differs from IM0001.dcm.", "written slice 2 differs from source slice 1."),
    ("IM0009.dcm has no counterpart", "a file has no counterpart"),
    ("DOE^JANE/MR.1.2.840.113619.2.176 is odd", "a file is odd"),
    ("MR.1.2.840.113619.2.176 is odd", "a file is odd"),
    ("is not 2.25.99, but 1.2.840.10008.1", "is not [UID], but [UID]"),
    ("left out: X.IMA", "left out: a file"),
    ("as PS3.3 C.7.6.1.1.2 asks, in 2.5 mm and 12 bits", "as PS3.3 C.7.6.1.1.2 asks, in 2.5 mm and 12 bits"),
    ("the 12 of derived_12, not Xderived_12", "the 12 of written slice 3, not Xderived_12"),
]


@pytest.mark.parametrize(("message", "shown"), MESSAGES)
def test_messages_without_names(case: Case, message: str, shown: str) -> None:
    pairs = (paired(1), paired(2), paired(12, source="12", written="derived_12"))
    findings = (
        finding(message=message),
        finding(slice="IM0009.dcm"),
        finding(slice="DOE^JANE/MR.1.2.840.113619.2.176"),
    )
    assert case.parsed(pairs=pairs, findings=findings).cells("findings")[0][2] == shown
    assert case.parsed(pairs=pairs, findings=findings, show_values=True).cells("findings")[0][2] == message


def test_page_keeps_names_to_itself(phantom: Case) -> None:
    """Neither names nor paths, from whichever part of the report."""
    identifying = [SERIES_UID, "Thorax of X", "source of X", "written of X", "CT0007", "CT0099", "JANE", "notes.txt"]
    findings = (finding(message=f"{phantom.written}/CT0007.dcm: {SERIES_UID}"), finding(slice="CT0099.dcm"))
    changes = (
        change(slice="CT0007.dcm", old=SERIES_UID, new="in /home/DOE/JANE/list"),
        change(path="SeriesDescription", tag="(0008,103E)", old="Thorax of X"),
    )
    made: dict[str, Any] = {
        "findings": findings,
        "changes": changes,
        "warnings": ("notes.txt is not DICOM", f"{phantom.source} is odd"),
    }
    hidden = phantom.parsed(**made)
    assert not [text for text in identifying if text in hidden.source]
    assert "2 warnings" in hidden.source
    assert hidden.cells("slices")[0][1:3] == ["source slice 1", "written slice 1"]
    shown = phantom.parsed(show_values=True, **made)
    assert not [text for text in identifying if text not in shown.source]
    for parsed in (hidden, shown):
        assert str(phantom.folder) not in parsed.source


def test_everything_is_escaped(case: Case) -> None:
    bad = "<img src=x onerror='alert(1)'>\"&amp;$title${x}"
    case.report = replace(
        case.report,
        source_series_instance_uid=bad,
        decoders=(bad,),
        warnings=(bad,),
        pairs=(SlicePair(bad, bad, bad, sha256=bad),),
        findings=(finding(check=bad, message=bad, tag=bad, path=bad, slice=bad),),
        changes=(change(rule=bad, check=bad, tag="(0018,0050)", path=bad, slice=bad, old=bad, new=bad),),
    )
    parsed = case.parsed(show_values=True)
    assert not parsed.all("img")
    assert parsed.cells("findings")[0][2] == bad
    assert parsed.cells("attributes")[0][-1] == f"{bad} → {bad}"
    assert parsed.cells("slices")[0][1:4] == [bad, bad, bad]


def test_names_that_are_no_text(case: Case) -> None:
    """File names hold any bytes; a page is UTF-8."""
    parsed = case.parsed(pairs=(SlicePair("a\udcff", "b\udcff", "position"),), show_values=True)
    assert parsed.cells("slices")[0][1:3] == ["a?", "b?"]


def test_sampled_pictures(phantom: Case) -> None:
    """The first, the middle, the last and the changed slice, of which only the changed one has a difference."""
    pictures = phantom.parsed().pictures()
    assert [name for name in pictures if "slice" in name and ":" not in name] == [
        f"{side} slice {number}" for number in (1, 7, 12, 24) for side in ("source", "written")
    ]
    assert [name for name in pictures if ":" in name] == [
        "difference of slice 7: 1 of 16384 real-world values, written minus source"
    ]
    assert phantom.parsed().source.count("No difference: all 16384 stored values are equal.") == 3
    assert {picture.shape[:2] for picture in pictures.values()} == {(128, 128)}


def test_window_of_the_source_is_that_of_both(case: Case) -> None:
    attributes = {"WindowCenter": [20, 0], "WindowWidth": [20, 1], "RescaleSlope": 2, "RescaleIntercept": -50}
    case.add(1, RAMP, RAMP, **attributes, WindowCenter_written=5)
    parsed = case.parsed()
    expected = np.rint(np.clip((RAMP * 2.0 - 50 - 10) / 20, 0, 1) * 255)
    for picture in parsed.pictures().values():
        np.testing.assert_array_equal(picture, expected)
    assert "Window of both: 10 to 30 in real-world values, Window Center and Width of source slice 1." in parsed.source


@pytest.mark.parametrize(
    "attributes", [{}, {"WindowCenter": None, "WindowWidth": None}, {"WindowWidth": 0}, {"WindowWidth": "nan"}]
)
def test_percentiles_without_a_window(case: Case, attributes: dict[str, Any]) -> None:
    case.add(1, RAMP, RAMP, **attributes)
    parsed = case.parsed()
    assert "Window of both: 0.63 to 62.37 in real-world values, 1st and 99th percentile of source slice 1." in (
        parsed.source
    )
    assert sorted({int(picture[0, 0]) for picture in parsed.pictures().values()}) == [0]


def test_flat_picture(case: Case) -> None:
    case.add(1, RAMP * 0, RAMP * 0)
    assert not any(picture.any() for picture in case.parsed().pictures().values())


def test_monochrome1_is_shown_as_such(case: Case) -> None:
    case.add(1, RAMP, RAMP, PhotometricInterpretation="MONOCHROME1", PhotometricInterpretation_written="MONOCHROME2")
    parsed = case.parsed()
    source, written = parsed.pictures().values()
    np.testing.assert_array_equal(source, 255 - written)
    assert "source slice 1 is MONOCHROME1: low values are bright." in parsed.source
    assert "written slice 1 is MONOCHROME1" not in parsed.source


def test_colours(case: Case) -> None:
    values = np.random.default_rng(1).integers(0, 256, (6, 5, 3)).astype(np.uint8)
    other = values.copy()
    other[2, 3, 1] ^= 255
    case.add(1, values, other)
    source, written, difference = case.parsed().pictures().values()
    np.testing.assert_array_equal(source, values)
    np.testing.assert_array_equal(written, other)
    assert np.argwhere((difference != 255).any(2)).tolist() == [[2, 3]]


def test_middle_frame(case: Case) -> None:
    frames = np.stack([RAMP * number for number in range(5)])
    case.add(1, frames, frames, WindowCenter=64, WindowWidth=128)
    parsed = case.parsed()
    assert "Frame 3 of 5." in parsed.source
    assert parsed.pictures()["source slice 1"][7, 7] == round(126 / 128 * 255)


def test_differences_have_a_sign_a_scale_and_are_never_lost(case: Case) -> None:
    """One value of a picture that is shown at half its size, against the largest of all of them."""
    source = np.full((500, 600), 1000, np.uint16)
    written = source.copy()
    written[100, 101] -= 1
    written[300, 201] += 100
    case.add(1, source, written)
    parsed = case.parsed()
    picture = list(parsed.pictures().values())[2]
    assert picture.shape == (250, 300, 3)
    assert {name: one.shape[1] for name, one in parsed.pictures().items()}["source slice 1"] == 300
    assert np.argwhere((picture != 255).any(2)).tolist() == [[50, 50], [150, 100]]
    assert picture[150, 100].tolist() == [213, 94, 0]
    red, _, blue = picture[50, 50].tolist()
    assert red < 200 < blue
    assert "-100  +100" in parsed.texts["pictures"]


@pytest.mark.parametrize("content", [b"", b"no DICOM at all", None])
def test_file_that_cannot_be_read(phantom: Case, content: bytes | None) -> None:
    file = phantom.written / "CT0001.dcm"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    parsed = phantom.parsed()
    assert parsed.source.count("No picture: the file cannot be read or decoded.") == 1
    assert parsed.source.count("No difference can be shown") == 1
    assert "written slice 1" not in parsed.pictures()
    assert len(parsed.pictures()) == 8


def test_sizes_that_differ(case: Case) -> None:
    case.add(1, RAMP, RAMP[:4])
    parsed = case.parsed()
    assert len(parsed.pictures()) == 2
    assert "No difference can be shown" in parsed.source
    assert parsed.cells("slices")[0][5] == "not compared"


@pytest.mark.parametrize("said", ["YES", "yes "])
def test_burned_in_annotation(case: Case, said: str) -> None:
    case.add(1, RAMP, RAMP, BurnedInAnnotation=said)
    parsed = case.parsed()
    assert not parsed.pictures()
    assert "burned-in annotation" in parsed.texts["pictures"]
    assert len(case.parsed(pictures=True).pictures()) == 2
    case.add(2, RAMP, RAMP, BurnedInAnnotation="NO")
    assert len(case.parsed(pairs=case.report.pairs[1:]).pictures()) == 2


def test_histogram(case: Case) -> None:
    """Every stored value of the changed slices is in one bar."""
    written = RAMP.copy()
    written[0, :3] += 100
    written[1, 0] -= 8
    case.add(1, RAMP, written)
    case.add(2, RAMP, RAMP)
    parsed = case.parsed()
    bars = dict(re.findall(r"<title>(-?\d+ to -?\d+): (\d+)</title>", parsed.source))
    assert bars == {"-12 to -8": "1", "-2 to 2": "60", "98 to 102": "3"}
    table = re.findall(r'<th scope="row">(-?\d+ to -?\d+)</th><td>(\d+)</td>', parsed.source)
    assert dict(table) == bars
    assert "Over 1 changed slice;" in parsed.texts["differences"]
    assert parsed.all("svg", role="img", **{"aria-label": "Histogram of differences"})


@pytest.mark.parametrize(("largest", "bars"), [(1, {"0": "63", "1": "1"}), (30, {"0": "63", "30": "1"})])
def test_histogram_of_small_differences(case: Case, largest: int, bars: dict[str, str]) -> None:
    written = RAMP.copy()
    written[0, 0] += largest
    case.add(1, RAMP, written)
    assert dict(re.findall(r"<title>(-?\d+): (\d+)</title>", case.parsed().source)) == bars


def test_no_histogram(case: Case) -> None:
    case.add(1, RAMP, RAMP)
    assert "all stored values of 1 compared slice are equal" in case.parsed().texts["differences"]
    gone = (paired(7, pixels=64, changed=1, largest=float("nan")),)
    assert "cannot be read" in case.parsed(pairs=gone).texts["differences"]


def placed(*places: tuple[float | None, float | None]) -> Sequence[SlicePair]:
    return tuple(paired(number, source_mm=one, written_mm=two) for number, (one, two) in enumerate(places, 1))


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ([(0, 0), (1, 1), (2, 2)], "3 positions, 1 mm apart (median). No gap. No displaced slice."),
        ([(0, 0), (0.004, 0.004), (1, 1), (2, 2)], "3 positions, 1 mm apart (median). No gap. No displaced slice."),
        ([(3, 3), (1, 1), (0, 0), (5, 5)], "4 positions, 2 mm apart (median). No gap."),
        ([(0, 0), (1, 1), (4, 4), (5, 5)], "1 gap: 1 to 4 mm."),
        ([(0, 0), (1, 4), (2, 2)], "1 displaced slice: written slice 2 by +3 mm."),
        ([(0, 9)] * 8, "8 displaced slices: written slice 1 by +9 mm, "),
        ([(0, 9)] * 8, "written slice 5 by +9 mm and 3 more."),
        ([(5, 5)], "1 position. No gap. No displaced slice."),
        ([(None, None), (1, None), (None, 2), (float("nan"), 1)], "no positions"),
        ([], "no positions"),
    ],
)
def test_positions(case: Case, places: Sequence[tuple[float, float]], words: str) -> None:
    parsed = case.parsed(pairs=placed(*places))
    assert words in parsed.texts["positions"]
    drawn = parsed.all("path", **{"class": "written"})
    assert ("no positions" in words) == (not drawn)
    if drawn:
        assert str(drawn[0]["d"]).count("M") == str(parsed.all("path", **{"class": "source"})[0]["d"]).count("M")
        assert str(drawn[0]["d"]).count("M") == len(places)


def test_table_of_slices(case: Case) -> None:
    pairs = (
        paired(1, source_mm=1.5, written_mm=1.5, sha256="ab" * 32, pixels=9, changed=2, largest=4, largest_real=6.5),
        paired(2, source_mm=1, written_mm=2.25, by="position"),
    )
    assert case.parsed(pairs=pairs).cells("slices") == [
        ["1", "source slice 1", "written slice 1", "Source Image", "1.5", "2 of 9", "4 (6.5 real)", "ab" * 32],
        ["2", "source slice 2", "written slice 2", "position", "1 → 2.25", "not compared", "", ""],
    ]


def test_report_of_nothing(case: Case) -> None:
    parsed = case.parsed()
    assert "No slice has a counterpart." in parsed.texts["pictures"]
    assert parsed.cells("findings") == parsed.cells("attributes") == parsed.cells("slices") == []


def test_large_series(case: Case) -> None:
    """1,200 slices, all changed, and 500 attributes: a page that a browser opens at once."""
    image = np.random.default_rng(1).integers(0, 4096, (512, 512)).astype(np.uint16)
    case.add(1, image, image + np.eye(512, dtype=np.uint16))
    one = case.report.pairs[0]
    names = [f"{number}.dcm" for number in range(1200)]
    pairs = [
        replace(one, source=name, written=name, source_mm=at, written_mm=at, sha256="ab" * 32)
        for at, name in enumerate(names)
    ]
    for name in names:
        (case.source / name).symlink_to(case.source / one.source)
        (case.written / name).symlink_to(case.written / one.written)
    findings = [finding(message=f"{name} is odd", slice=name) for name in names[:500]]
    changes = [change("kept", slice=name, old="text of some length") for name in names[:500]]
    start = time.process_time()
    parsed = case.parsed(pairs=tuple(pairs), findings=tuple(findings), changes=tuple(changes))
    assert time.process_time() - start < 10
    assert len(parsed.source) < 2_500_000
    assert "Over 1200 changed slices, 64 of them read here;" in parsed.texts["differences"]


def test_failed_write_leaves_what_was_there(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    (case.folder / "page.html").write_text("old")
    before = sorted(case.folder.iterdir())

    def full(path: Path, content: bytes) -> int:
        with path.open("wb") as stream:
            stream.write(content[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        case.parsed()
    assert sorted(case.folder.iterdir()) == before
    assert (case.folder / "page.html").read_text() == "old"


@pytest.mark.parametrize("name", ["none/page.html", "source of X", "file/page.html"])
def test_file_that_cannot_be_written(case: Case, name: str) -> None:
    (case.folder / "file").touch()
    before = sorted(case.folder.rglob("*"))
    with pytest.raises(OSError, match="directory"):
        page.write_page(case.report, case.source, case.written, case.folder / name, pictures=False, show_values=False)
    assert sorted(case.folder.rglob("*")) == before


def test_link_and_pipe_stay_what_they_are(case: Case) -> None:
    """/dev/stdout is a link to a pipe; replacing it would break the machine of a root user."""
    link, pipe, read = case.folder / "page.html", case.folder / "pipe", []
    link.symlink_to("other.html")
    assert case.parsed().texts["title"]
    assert link.is_symlink()
    if not hasattr(os, "mkfifo"):
        pytest.skip("there are no named pipes")
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text("utf-8")))
    reader.start()
    page.write_page(case.report, case.source, case.written, pipe, pictures=False, show_values=False)
    reader.join()
    assert pipe.is_fifo()
    assert read == [link.read_text("utf-8")]


def _die(*_: object) -> tuple[str, str]:
    os._exit(1)


def test_a_decoder_that_ends_its_process_costs_the_pictures_only(
    case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The page says so; everything else in it stands."""
    monkeypatch.undo()
    monkeypatch.setattr(page, "draw", _die)
    page.write_page(case.report, case.source, case.written, tmp_path / "page.html", pictures=False, show_values=False)
    text = (tmp_path / "page.html").read_text()
    assert text.count("end the process that decodes them") == 2
    assert case.report.verdict.upper() in text


def test_differences_are_of_real_world_values(case: Case) -> None:
    """The same stored values under another slope are another picture, and another slope may hold the same values."""
    case.add(1, RAMP, RAMP, RescaleSlope=2, RescaleSlope_written=4, RescaleIntercept=-50)
    case.add(2, RAMP, (RAMP // 2 * 2) * 2, RescaleSlope=2, RescaleSlope_written=1, RescaleIntercept=0)
    pairs = (
        replace(case.report.pairs[0], largest_real=126),
        replace(case.report.pairs[1], changed=63, largest=63, largest_real=2),
    )
    parsed = case.parsed(pairs=pairs)
    assert "difference of slice 1: 63 of 64 real-world values, written minus source" in parsed.pictures()
    assert "difference of slice 2: 32 of 64 real-world values, written minus source" in parsed.pictures()
    assert "-126  +126" in parsed.texts["pictures"]
    assert "-2  +2" in parsed.texts["pictures"]
    assert "written minus source, in real-world values" in parsed.texts["differences"]
    assert "Over 2 changed slices;" in parsed.texts["differences"]


def test_other_stored_values_of_equal_real_ones(case: Case) -> None:
    case.add(1, RAMP, RAMP * 10, RescaleSlope=0.1, RescaleSlope_written=0.01, RescaleIntercept=0)
    pairs = (replace(case.report.pairs[0], largest_real=0.0),)
    assert "No difference: all 64 real-world values are equal." in case.parsed(pairs=pairs).source


def test_rescale_of_functional_groups(case: Case) -> None:
    """Each frame has its own, its own groups before the shared ones."""
    groups = []
    for slope in (None, "3"):
        inner, item = Dataset(), Dataset()
        if slope:
            inner.RescaleSlope, inner.RescaleIntercept = slope, "0"
            item.PixelValueTransformationSequence = [inner]
        groups.append(item)
    shared, value = Dataset(), Dataset()
    value.RescaleSlope, value.RescaleIntercept = "2", "0"
    shared.PixelValueTransformationSequence = [value]
    frames = np.stack([RAMP, RAMP])
    case.add(1, frames, frames + 1, PerFrameFunctionalGroupsSequence=groups, SharedFunctionalGroupsSequence=[shared])
    parsed = case.parsed()
    assert "-3  +3" in parsed.texts["pictures"]
    assert "128 of 128 real-world values" in str(list(parsed.pictures()))


def test_headline_names_the_gravest_error(case: Case) -> None:
    """Whoever reads one line must learn that pixels differ, not that a text does."""
    told = [
        finding(check="DER-01", message="a text", path=None, tag=None),
        finding(check="UID-02", message="an identity", path=None, tag=None),
        finding(check="GEO-01", message="a place", path=None, tag=None),
        finding(check="PIX-02", message="values differ", path=None, tag=None),
        finding(check="FIL-01", message="is no DICOM", path=None, tag=None),
    ]
    while told:
        parsed = case.parsed(verdict="fail", findings=tuple(told))
        assert f"{told[-1].check}: {told[-1].message}" in parsed.texts["header"]
        told.pop()


def test_findings_that_say_the_same_are_one_row(case: Case) -> None:
    lost = [finding(path=f"Attribute{number}", tag=f"(0010,{number:04d})", count=number) for number in range(1, 101)]
    said = "dciodvfy: Warning - Attribute is not present in standard DICOM IOD"
    new = [
        finding("warning", "VAL-01", f"{said} - (0x0010,0x{number:04d}) LO Name {number}",
                path=None, tag=f"(0010,{number:04d})")
        for number in range(1, 41)
    ]  # fmt: skip
    other = finding(slice=None, tag=None, path=None)
    parsed = case.parsed(verdict="fail", findings=(*lost, *new, other))
    rows = parsed.cells("findings")
    assert [row[2] for row in rows] == ["was lost", said, "was lost"]
    assert [row[4] for row in rows] == ["100", "1", "the series"]
    assert rows[0][3].startswith("100 attributes: Attribute1 (0010,0001)")
    assert "and 97 more" in rows[0][3]
    assert "Attribute100 (0010,0100)" in rows[0][3]
    assert "101 errors" in " ".join(parsed.texts["header"].split())
    assert "error (101)" in parsed.texts["findings"]
    assert "40 attributes" in rows[1][3]


def test_findings_are_grouped_by_what_they_are_about(case: Case) -> None:
    """Pixels, geometry, identity, then texts, each with its counts; errors first within."""
    found = [
        Finding(check, severity, None, None, None, f"{check} {severity}")
        for severity in ("error", "warning", "info")
        for check in ("HDR-01", "UID-01", "GEO-01", "PIX-04", "FIL-01")
    ]
    case.report = replace(case.report, findings=tuple(found))
    text = case.parsed().source
    kinds = re.findall(r'<th colspan="6" scope="rowgroup">(.*?) <small>(.*?)</small>', text)
    assert [kind for kind, _ in kinds] == ["Files", "Pixels", "Geometry", "Identity", "Texts and all else"]
    assert {number for _, number in kinds} == {"1 error, 1 warning, 1 info"}
    (pixels,) = re.findall(r"<tbody>\n<tr><th[^>]*>Pixels.*?</tbody>", text, re.S)
    assert re.findall(r"PIX-04 (error|warning|info)<", pixels) == ["error", "warning", "info"]


def test_page_says_when_it_was_made_and_with_what(case: Case) -> None:
    text = case.parsed().source
    assert f"<dt>Made</dt><dd>{date.today().isoformat()}, with Python " in text
    assert f"pydicom {pydicom.__version__}" in text
    assert "source of X" not in text
    assert "source of X →" in case.parsed(show_values=True).source
