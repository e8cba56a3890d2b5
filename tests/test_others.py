"""What other programs make of a written series: dcm2niix converts it as its source, Orthanc keeps and returns it."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import documents
import numpy as np
import pydicom
import pytest
from conftest import Run, one_series
from synthetic import write_case, write_series

import itk_roundtrip as rt
from itk_roundtrip.processes import Workers

Identity = Literal["derived", "copy"]
IDENTITIES: tuple[Identity, ...] = ("derived", "copy")

# ---------------------------------------------------------------------------------------------- dcm2niix

DCM2NIIX = shutil.which("dcm2niix") or shutil.which("dcm2niix", path=str(Path(pydicom.__file__).parents[4] / "bin"))
BY_RULE = frozenset({"SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "ImageType", "RawImage", "BidsGuess"})
"""What the sidecar of a derived series says otherwise: its own UID, number and text, and Image Type; RawImage tells
whether value 1 of that is ORIGINAL, BidsGuess is made of all these."""
FOLDERS = [
    "d2n_siemens_anatomical_implicit", "d2n_philips_dti", "d2n_philips_enhanced_fmri", "d2n_ge_dti_implicit",
    "d2n_hitachi_anatomical", "d2n_generic_compressed_j2k", "d2n_generic_rgb",
    "nibabel_dft_siemens4", "SYNTHPIX_m4t_pet_wholebody",
]  # fmt: skip


@dataclass(frozen=True)
class Converted:
    """A NIfTI-1 file and its sidecar."""

    shape: tuple[int, ...]
    datatype: int
    scale: tuple[float, ...]
    spacing: tuple[float, ...]
    affine: tuple[float, ...]
    voxels: bytes
    sidecar: dict[str, Any]


def _read_nifti(path: Path) -> Converted:
    content = path.read_bytes()
    header = content[:348]
    (start,) = np.frombuffer(header, "<f4", 1, 108)
    sidecar = path.with_suffix(".json")
    return Converted(
        shape=tuple(np.frombuffer(header, "<i2", 8, 40).tolist()),
        datatype=int(np.frombuffer(header, "<i2", 1, 70)[0]),
        scale=tuple(np.frombuffer(header, "<f4", 2, 112).tolist()),
        spacing=tuple(np.frombuffer(header, "<f4", 8, 76).tolist()),
        affine=tuple(np.frombuffer(header, "<f4", 18, 256).tolist()),
        voxels=content[int(start) :],
        sidecar=json.loads(sidecar.read_text(errors="replace")) if sidecar.exists() else {},
    )


def _convert(source: Path, destination: Path) -> dict[str, Converted]:
    """Return what dcm2niix makes of a folder, by file name, which holds neither number nor description."""
    assert DCM2NIIX is not None
    destination.mkdir()
    command = [DCM2NIIX, "-b", "y", "-ba", "n", "-z", "n", "-f", "image", "-o", destination, source]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=120, check=False)
    found = {path.name: _read_nifti(path) for path in sorted(destination.glob("*.nii"))}
    assert found, done.stdout[-500:] + done.stderr[-500:]
    return found


@pytest.mark.skipif(DCM2NIIX is None, reason="dcm2niix is not installed")
@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("name", FOLDERS)
def test_dcm2niix_converts_the_written_series_as_its_source(
    name: str, identity: Identity, tmp_path: Path, run: Run, corpus: Path
) -> None:
    """Voxels, affine and sidecar: what neuroimaging works with."""
    run(corpus / name, tmp_path / "out", identity=identity)
    before, after = _convert(corpus / name, tmp_path / "a"), _convert(tmp_path / "out", tmp_path / "b")
    assert before.keys() == after.keys()
    header = pydicom.dcmread(min((tmp_path / "out").iterdir()), stop_before_pixels=True)
    for file, old in before.items():
        new = after[file]
        ours, theirs = (vars(one) | {"sidecar": None, "voxels": None} for one in (old, new))
        assert ours == theirs
        assert old.voxels == new.voxels
        changed = {key for key in {*old.sidecar, *new.sidecar} if old.sidecar.get(key) != new.sidecar.get(key)}
        allowed = set(BY_RULE) if identity == "derived" else set()
        if allowed and not header.get("ProtocolName"):
            allowed.add("ProtocolName")  # of a series without one, dcm2niix takes Series Description
        assert changed <= allowed, file


@pytest.mark.skipif(DCM2NIIX is None, reason="dcm2niix is not installed")
def test_dcm2niix_takes_model_and_versions_of_the_scanner(tmp_path: Path, run: Run) -> None:
    """It takes those of the last item that it meets in Contributing Equipment Sequence, where there are any."""
    write_series(tmp_path / "in", modality="MR")
    run(tmp_path / "in", tmp_path / "out")
    (before,), (after,) = (_convert(tmp_path / name, tmp_path / f"{name}_nii").values() for name in ("in", "out"))
    for keyword in ("Manufacturer", "ManufacturersModelName", "SoftwareVersions"):
        assert after.sidecar.get(keyword) == before.sidecar.get(keyword)
    assert after.sidecar["ManufacturersModelName"] == "Model 7"


@pytest.mark.skipif(DCM2NIIX is None, reason="dcm2niix is not installed")
@pytest.mark.parametrize(
    ("kind", "factor"),  # MR of a new scale has it in Real World Value Mapping, which dcm2niix does not read
    [
        ("plain_ct", 0.37),
        ("plain_ct", 3),
        ("pet_slopes_per_slice", 0.37),
        ("pet_slopes_per_slice", 3),
        ("u15_mr", 0.37),
    ],
)
def test_dcm2niix_converts_processed_values(kind: str, factor: float, tmp_path: Path) -> None:
    """What it makes of the written series is what the caller gave, within half a step, wherever the voxels stand."""
    write_case(kind, tmp_path / "in")
    volume = rt.read_series(one_series(tmp_path / "in"))
    values = np.array(volume.array_zyx).astype(np.float64) * factor
    result = rt.write_series(rt.derive(volume, image=values, description="scaled"), tmp_path / "out")
    (converted,) = _convert(tmp_path / "out", tmp_path / "nii").values()
    types = {2: "u1", 4: "<i2", 8: "<i4", 16: "<f4", 64: "<f8", 256: "i1", 512: "<u2", 768: "<u4"}
    stored = np.frombuffer(converted.voxels, types[converted.datatype]).astype(np.float64)
    slope, intercept = converted.scale
    real = stored * (slope or 1) + intercept
    assert result.quantisation is not None
    bound = result.quantisation.bound + np.abs(values).max() * 2**-20  # its scale is in 32 bits
    assert np.abs(np.sort(real) - np.sort(values.ravel())).max() <= bound


# ----------------------------------------------------------------------------------------------- Orthanc

ORTHANC = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Archive:
    """A running Orthanc: ports of its REST interface and of its DICOM one."""

    http: int
    dicom: int

    def rest(self, path: str, content: bytes | None = None) -> bytes:
        """Return what a GET, or a POST of some content, answers."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}/{path}", data=content)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=20) as answer:
            return bytes(answer.read())

    def store_by_network(self, files: list[Path]) -> None:
        """Send files by C-STORE, each in the transfer syntax that it has."""
        pynetdicom = pytest.importorskip("pynetdicom")
        entity = pynetdicom.AE(ae_title="TEST")
        datasets = [pydicom.dcmread(file) for file in files]
        for one in {(str(each.SOPClassUID), str(each.file_meta.TransferSyntaxUID)) for each in datasets}:
            entity.add_requested_context(*one)
        association = entity.associate("127.0.0.1", self.dicom, ae_title="ORTHANC")
        assert association.is_established
        try:
            assert [association.send_c_store(file).Status for file in files] == [0] * len(files)
        finally:
            association.release()


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """An empty Orthanc on the loopback interface, for one test."""
    if ORTHANC is None:
        pytest.skip("Orthanc is not installed")
    archive = Archive(_free_port(), _free_port())
    configuration = tmp_path / "orthanc.json"
    configuration.write_text(json.dumps({
        "StorageDirectory": str(tmp_path / "storage"), "IndexDirectory": str(tmp_path / "storage"), "Plugins": [],
        "HttpPort": archive.http, "HttpBindAddress": "127.0.0.1", "DicomPort": archive.dicom,
        "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "DicomAlwaysAllowStore": True,
        "DicomCheckCalledAet": False, "HttpServerEnabled": True, "DicomServerEnabled": True, "LuaScripts": [],
    }))  # fmt: skip
    process = subprocess.Popen([ORTHANC, configuration], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(150):
            if process.poll() is not None:
                pytest.skip("Orthanc does not start here")
            try:
                archive.rest("system")
                break
            except OSError:
                time.sleep(0.2)
        yield archive
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _data_set(content: bytes) -> bytes:
    """Return the bytes behind group 0002, which is the archive's own."""
    return content[144 + int.from_bytes(content[140:144], "little") :]


@pytest.mark.parametrize("way", ["network", "rest"])
def test_orthanc_keeps_copy_and_derived_series_as_two_of_one_study(
    way: str, archive: Archive, tmp_path: Path, run: Run
) -> None:
    """An archive tells them apart by their UIDs, and gives back what it got."""
    write_series(tmp_path / "in", slices=3, private=True)
    files: dict[str, Path] = {}
    for identity in IDENTITIES:
        run(tmp_path / "in", tmp_path / identity, identity=identity)
        written = sorted((tmp_path / identity).iterdir())
        if way == "network":
            archive.store_by_network(written)
        else:
            answers = [json.loads(archive.rest("instances", file.read_bytes())) for file in written]
            assert [answer["Status"] for answer in answers] == ["Success"] * 3
        files.update({str(pydicom.dcmread(file).SOPInstanceUID): file for file in written})
    assert len(json.loads(archive.rest("studies"))) == 1
    series = [json.loads(archive.rest(f"series/{one}")) for one in json.loads(archive.rest("series"))]
    assert sorted(len(one["Instances"]) for one in series) == [3, 3]
    for one in series:
        for instance in one["Instances"]:
            stored = archive.rest(f"instances/{instance}/file")
            uid = json.loads(archive.rest(f"instances/{instance}"))["MainDicomTags"]["SOPInstanceUID"]
            assert _data_set(stored) == _data_set(files.pop(uid).read_bytes())
    assert not files


DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@pytest.mark.usefixtures("_lent")
@pytest.mark.skipif(ORTHANC is None or not DICOMWEB.exists(), reason="Orthanc and its DICOMweb are not installed")
def test_the_page_on_orthanc_runs(tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the configuration and the ports of the page, on the loopback interface."""
    pytest.importorskip("dicomweb_client", reason="dicomweb-client is not installed")
    if not (_is_free(8042) and _is_free(4242)):
        pytest.skip("another Orthanc runs here")
    page = (documents.ROOT / "docs" / "how-to" / "orthanc.md").read_text()
    configuration = page.partition("```json\n")[2].partition("```")[0]
    (tmp_path / "orthanc.json").write_text(configuration)
    (tmp_path / "data").symlink_to(documents.ROOT / "data")
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert ORTHANC is not None
    process = subprocess.Popen([ORTHANC, "orthanc.json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(150):
            with contextlib.suppress(OSError):
                Archive(8042, 4242).rest("dicom-web/studies")
                break
            time.sleep(0.2)
        steps = documents.steps(page, tmp_path)
        for step, printed in zip(steps, documents.outputs(steps, "orthanc.md"), strict=True):
            if step.shown is not None:
                assert documents.lines(printed) == documents.lines(step.shown), f"block at line {step.line}"
    finally:
        process.terminate()
        process.wait(20)
