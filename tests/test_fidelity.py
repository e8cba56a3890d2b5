"""benchmarks/fidelity.py tells exact, refused, wrong and crashed apart, and does not take ours at its word."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from synthetic import write_series

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))
pytest.importorskip("resource", reason="the campaign limits what programs may use")
import fidelity  # noqa: E402
from fidelity import Call, Tool  # noqa: E402

COPY = """import os, pathlib, shutil, signal, sys, pydicom
source, written = map(pathlib.Path, sys.argv[1:])
written.mkdir()
for path in source.iterdir():
    dataset = pydicom.dcmread(path)
    {}
    dataset.save_as(written / path.name)
"""


def tool(key: str, edit: str, *, ours: bool = False) -> Tool:
    """Return a program that copies a series with one edit."""
    return Tool(key, key, [sys.executable, "-c", COPY.format(edit)], ours=ours)


@pytest.fixture
def one_file(tmp_path: Path) -> Path:
    """A folder with one small file."""
    write_series(tmp_path / "in" / "single", slices=1)
    return tmp_path / "in"


def test_every_series_has_its_row_and_junk_is_listed(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    write_series(folder / "ct", slices=2, beside=("text", "empty"))
    write_series(folder / "deep" / "cut short", slices=1, seed=1, truncated=True)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    options = ["--only=ours", "--jobs=2", f"--json={tmp_path}/out.json", f"--markdown={tmp_path}/out.md"]
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "fidelity.py", str(folder), *options],
        check=False, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(scratch)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(scratch.iterdir()) == []
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    document = json.loads((tmp_path / "out.json").read_text())
    whole, cut = document["series"]
    assert (whole["files"], cut["files"]) == (2, 1)
    for key in ("ours-derived", "ours-copy"):
        outcome = whole["outcomes"][key]
        assert (outcome["outcome"], outcome["path"], outcome["findings"]) == ("exact", "itk", [])
        assert outcome["second"] == ({"headers": 2, "pixels": 2} if shutil.which("dcmdump") else {})
        assert cut["outcomes"][key]["outcome"] == "refused"
        assert cut["outcomes"][key]["reason"].startswith("FILE ")
    assert sum(map(len, document["skipped"]["archive"].values())) == 3
    assert document["skipped"]["archive"]["empty"] == ["ct/empty.dcm"]
    assert [row["exact"] for row in document["summary"]] == ["1", "1"]
    assert "exact (itk)" in done.stdout
    assert "| exact (itk)" in (tmp_path / "out.md").read_text()
    assert "2 of 2: " in done.stderr


def test_programs_are_judged_by_what_they_write(one_file: Path, tmp_path: Path) -> None:
    """Peers may give new UIDs and write equal numbers otherwise, and nothing else."""
    new_uid = f"dataset.SeriesInstanceUID = '{generate_uid()}'"
    other_text = "dataset.PixelSpacing = [str(one) + '0' for one in dataset.PixelSpacing]"
    tools = [
        tool("new UIDs", f"{new_uid}; {other_text}"),
        tool("header", "del dataset.Manufacturer"),
        tool("pixels", "dataset.PixelData = dataset.PixelData[2:] + bytes(2)"),
        tool("refused", "raise ValueError('Müller^Jörg')"),
        tool("crashed", "os.kill(os.getpid(), signal.SIGSEGV)"),
        tool("nothing", "sys.exit()"),
    ]
    arguments = [str(one_file), "--json", str(tmp_path / "out.json"), "--jobs", "1"]
    assert fidelity.main(arguments, tools) == 0
    outcomes = json.loads((tmp_path / "out.json").read_text())["series"][0]["outcomes"]
    assert {key: one["outcome"] for key, one in outcomes.items()} == {
        "new UIDs": "exact", "header": "wrong", "pixels": "wrong",
        "refused": "refused", "crashed": "crashed", "nothing": "wrong",
    }  # fmt: skip
    assert "EQP-01 (0008,0070) Manufacturer" in outcomes["header"]["findings"]
    assert outcomes["pixels"]["findings"][0] == "PIX-02 (7FE0,0010) PixelData"
    assert (outcomes["header"]["values_differ"], outcomes["pixels"]["values_differ"]) == (False, True)
    assert outcomes["refused"]["reason"] == "ValueError at an unknown place"
    assert outcomes["crashed"]["reason"] == "ended by SIGSEGV"
    assert outcomes["nothing"]["findings"] == []  # there is nothing to judge


@pytest.mark.parametrize(
    ("edit", "outcome"),
    [("dataset.SeriesInstanceUID = '1.2.3'", "wrong"), ("sys.exit(1)", "crashed"), ("sys.exit(2)", "wrong")],
)
def test_what_is_forgiven_to_peers_is_not_to_ours(one_file: Path, edit: str, outcome: str, tmp_path: Path) -> None:
    arguments = [str(one_file), "--json", str(tmp_path / "out.json")]
    assert fidelity.main(arguments, [tool("ours", edit, ours=True)]) == 1
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["series"][0]["outcomes"]["ours"]["outcome"] == outcome


def test_a_program_that_hangs_is_ended_with_its_children(one_file: Path, tmp_path: Path) -> None:
    (sample,), _ = fidelity.samples_in(one_file)
    code = f"import subprocess; subprocess.Popen(['sh', '-c', 'sleep 1; touch {tmp_path}/alive']).wait()"
    work = tmp_path / "work"
    work.mkdir()
    outcome = fidelity.attempt(Tool("slow", "slow", [sys.executable, "-c", code]), sample, Call(work, 0.5), 1)
    assert (outcome.outcome, outcome.reason) == ("crashed", "took longer than 0.5 s")
    time.sleep(1)
    assert not (tmp_path / "alive").exists()


def test_variants_of_one_image_are_run_alone(tmp_path: Path) -> None:
    """Two variants of a series are two series; two variants of a file side by side are two files."""
    for name in ("a", "b"):
        write_series(tmp_path / "copies" / name, slices=3, attributes={"SeriesDescription": name})
    write_series(tmp_path / "variants", slices=1)
    (path,) = (tmp_path / "variants").iterdir()
    path.with_name("variant.dcm").write_bytes(b"another preamble".ljust(128) + path.read_bytes()[128:])
    assert [len(one.instances) for one in fidelity.samples_in(tmp_path / "copies")[0]] == [3, 3]
    assert [len(one.instances) for one in fidelity.samples_in(tmp_path / "variants")[0]] == [1, 1]


# --------------------------------------------------------------------------------------------- second opinion

needs_dcmtk = pytest.mark.skipif(not shutil.which("dcmdump"), reason="dcmtk is not installed")


def opinion(
    source: Path, dataset: pydicom.Dataset, work: Path, allowed: frozenset[str] = frozenset()
) -> tuple[str, list[str]]:
    """Return what dcmtk says against a data set as a copy of a file."""
    (work / "written").mkdir(parents=True)
    dataset.save_as(work / "written" / "file.dcm")
    return fidelity.second_opinion(source, work / "written" / "file.dcm", allowed, Call(work, 60))


@needs_dcmtk
@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big", "deflated", "rle", "jpeg_ls"])
@pytest.mark.parametrize("signed", [False, True])
def test_dcmtk_agrees_with_an_exact_copy(syntax: str, signed: bool, tmp_path: Path) -> None:
    if syntax == "jpeg_ls":
        pytest.importorskip("jpeg_ls")
    (source,) = write_series(tmp_path / "source", slices=1, transfer_syntax=syntax, signed=signed)
    dataset = pydicom.dcmread(source)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        dataset.decompress(generate_instance_uid=False)
    elif syntax == "deflated":
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    assert opinion(source, dataset, tmp_path / "work") == ("", ["headers", "pixels"])


@needs_dcmtk
def test_dcmtk_objects_to_what_differs(tmp_path: Path) -> None:
    (source,) = write_series(tmp_path / "source", slices=1, transfer_syntax="rle")
    dataset = pydicom.dcmread(source)
    dataset.decompress(generate_instance_uid=False)
    values = dataset.PixelData
    dataset.PixelData = bytes([values[0] ^ 1]) + values[1:]
    assert opinion(source, dataset, tmp_path / "pixels") == ("pixels", [])
    dataset.PixelData = values
    dataset.SeriesDescription = "another"
    assert opinion(source, dataset, tmp_path / "header") == ("(0008,103E)", [])
    assert opinion(source, dataset, tmp_path / "derived", fidelity.CHANGED_BY_RULE) == ("", ["headers", "pixels"])
    dataset.OtherPatientIDsSequence = [pydicom.Dataset()]
    assert opinion(source, dataset, tmp_path / "added", fidelity.CHANGED_BY_RULE) == ("(0010,1002)", [])
    broken = tmp_path / "broken" / "file.dcm"
    broken.parent.mkdir()
    broken.write_bytes(source.read_bytes()[:400])
    assert fidelity.second_opinion(source, broken, frozenset(), Call(tmp_path, 60)) == ("cannot parse the file", [])


@needs_dcmtk
def test_dcmtk_compares_the_fragments_of_what_stays_compressed(tmp_path: Path) -> None:
    (source,) = write_series(tmp_path / "source", slices=1, transfer_syntax="rle")
    dataset = pydicom.dcmread(source)
    assert opinion(source, dataset, tmp_path / "same") == ("", ["headers", "pixels"])
    native = write_series(tmp_path / "native", slices=1, seed=1)[0]  # dcmdump overwrites no file of an earlier dump
    (tmp_path / "same" / "written").rename(tmp_path / "same" / "before")
    assert opinion(native, pydicom.dcmread(native), tmp_path / "same") == ("", ["headers", "pixels"])
    dataset.PixelData = dataset.PixelData.replace(dataset.PixelData[100:104], b"\1\2\3\4")
    assert opinion(source, dataset, tmp_path / "other") == ("pixels", [])
