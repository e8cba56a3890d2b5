"""A campaign of damaged files: structure-aware mutations through find, run and verify.

``python benchmarks/fuzz.py --files 20000 --every 20`` mutates synthetic series and files of the pydicom wheel, finds
the series in every mutant, carries and verifies every so many, and prints whatever must never be: an error that is none
of the package's, something left behind, an output that verification fails, other pixels than pydicom sees, a text of a
patient in a message. Each mutant is named by its seed, and ``--seed N --files 1`` makes it again.
"""

from __future__ import annotations

import argparse
import random
import shutil
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pydicom

from itk_roundtrip import RoundtripError, conformance, find_series, spans
from itk_roundtrip.judge import verify_folders
from itk_roundtrip.part10 import opening
from itk_roundtrip.pipeline import Options as RunOptions
from itk_roundtrip.pipeline import carry
from itk_roundtrip.staging import Staging
from itk_roundtrip.verify import Options
from itk_roundtrip.workers import Workers

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from synthetic import CASES, is_available, write_case

MARK = "Zzqmark"
_ODD_VRS = (b"??", b"\0\0", b"  ", b"cs", b"ZZ", b"RE", b"O?")
_VRS = (b"UN", b"OB", b"SQ", b"LO", b"FD", b"US", b"UT", b"DS", b"IS", b"CS", b"UL", b"AT", b"PN")
_LARGEST = 400_000
_ITEM_TAGS = (b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0", b"\xfe\xff\0\xe0")
_KEYS = (
    0x00080005, 0x00080008, 0x00080016, 0x00080018, 0x00080060, 0x0020000D, 0x0020000E, 0x00200011, 0x00200013,
    0x00200032, 0x00200037, 0x00280002, 0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011, 0x00280030,
    0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x00281052, 0x00281053, 0x00081140, 0x00082112, 0x0018A001,
    0x00081115, 0x00082111, 0x00089215, 0x52009229, 0x52009230, 0x7FE00010,
)  # fmt: skip
"""What the tool itself looks at."""
_VALUES = (
    b"", b" ", b"\0\0", b"A ", b"-1", b"1,5 ", b"nan ", b"0\\0\\0 ", b"1e400 ", b"999999999999", b"\xff\xfe\xfd\xfc",
    b"\\\\\\ ", b"1 ", b"2 ", b"\x1b$B\xff", b"x" * 70, b"\xfe\xff\0\xe0\4\0\0\0abcd", b"MONOCHROME1 ",
    b"PALETTE COLOR ", b"RGB ", struct.pack("<3d", 1, 2, 3), b"\1\0", b"\0\1", b"\xff\xff",
)  # fmt: skip


def bases(folder: Path) -> list[list[bytes]]:
    """Return series as the bytes of their files, small ones, with a marked patient in the synthetic ones."""
    found = []
    for name in CASES:
        if is_available(name):
            place = folder / name.replace("/", "_")[:60]
            place.mkdir()
            with suppress(Exception):
                files = [path.read_bytes() for path in write_case(name, place)]
                if files and sum(map(len, files)) < _LARGEST:
                    found.append([_marked(content) for content in files[:3]])
            shutil.rmtree(place)
    for path in sorted((Path(pydicom.__file__).parent / "data" / "test_files").rglob("*.dcm")):
        if path.stat().st_size < _LARGEST and "DICOMDIR" not in path.name:
            found.append([path.read_bytes()])
    return found


def _marked(content: bytes) -> bytes:
    """Return a file whose texts of VR PN, where they are long enough, are the mark."""
    with suppress(Exception):
        for span in _elements(content):
            if span.tag == 0x00100010 and span.stop - span.value >= len(MARK):
                mark = MARK.encode().ljust(span.stop - span.value)
                return content[: span.value] + mark + content[span.stop :]
    return content


def _elements(content: bytes) -> list[spans.Span]:
    """Return the elements of a file at any depth."""
    found: list[spans.Span] = []
    try:
        begins = opening(content)
    except ValueError:
        return found

    def walk(start: int, stop: int, implicit: bool, depth: int) -> None:
        for one in spans.elements(content, start, stop, implicit_vr=implicit):
            found.append(one)
            if (one.vr == "SQ" or one.undefined) and one.tag != 0x7FE00010 and depth < 4:
                with suppress(ValueError):
                    for first, last in spans.items(content, one.value, one.stop, implicit_vr=implicit):
                        walk(*spans.content(content, first, last), implicit, depth + 1)

    with suppress(ValueError, struct.error):
        walk(begins.start, len(content), begins.implicit, 0)
    return found


def mutated(content: bytes, dice: random.Random) -> bytes:
    """Return a file with one thing changed."""
    found = [] if dice.random() < 0.1 else _elements(content)
    if not found:
        return _noisy(content, dice)
    keys = [one for one in found if one.tag in _KEYS]
    one = dice.choice(keys if keys and dice.random() < 0.6 else found)
    head, element, rest = content[: one.start], content[one.start : one.end], content[one.end :]
    value = content[one.value : one.stop]
    kind = dice.randrange(14)
    explicit = bool(one.vr)
    if kind == 0 and explicit:
        return head + element[:4] + dice.choice(_ODD_VRS) + element[6:] + rest
    if kind == 1 and explicit:  # the element is encoded anew, as if it were of another VR
        return head + spans.encode(one.tag, dice.choice(_VRS).decode(), value, implicit_vr=False) + rest
    if kind == 2 and explicit:
        return head + element[:4] + dice.choice(_VRS) + element[6:] + rest
    if kind == 3:  # no VR
        return head + spans.encode(one.tag, "", value, implicit_vr=True) + rest
    if kind == 4 and explicit:  # the other form of the length
        vr = dice.choice(_ODD_VRS)
        long = element[:4] + vr + b"\0\0" + struct.pack("<L", len(value))
        short = element[:4] + vr + struct.pack("<H", len(value) & 0xFFFF)
        return head + dice.choice((long, short)) + value + rest
    if kind == 5:
        at = one.value - (4 if one.value - one.start == 12 or not explicit else 2)
        size = one.value - at
        length = dice.choice(
            (0, 1, len(value) + 1, len(value) + 2, max(0, len(value) - 1), 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFE)
        )
        return content[:at] + (length & ((1 << 8 * size) - 1)).to_bytes(size, "little") + content[one.value :]
    if kind == 6:
        tag = dice.choice((b"\2\0\x10\0", b"\0\0\0\0", *_ITEM_TAGS, dice.randbytes(4), element[:2] + b"\xff\x10"))
        return head + tag + element[4:] + rest
    if kind == 7:
        return head + rest
    if kind == 8:
        return head + element + element + rest
    if kind == 9:
        other = dice.choice(found)
        return (head + rest)[: other.start] + element + (head + rest)[other.start :]
    if kind in (10, 11):
        new = dice.choice((*_VALUES, dice.randbytes(dice.randrange(20))))
        return head + spans.encode(one.tag, one.vr or "", new, implicit_vr=not explicit) + rest
    if kind == 12:
        return _delimited(content, dice)
    group = struct.pack("<HH", 2, 0x10) + b"UI" + struct.pack("<H", 18) + b"1.2.840.10008.1.2\0"
    return head + group + element + rest


def _delimited(content: bytes, dice: random.Random) -> bytes:
    """Return a file with an item tag or a delimiter damaged, left out, or another one."""
    places = [at for tag in _ITEM_TAGS for at in _finds(content, tag)]
    if not places:
        return _noisy(content, dice)
    at = dice.choice(places)
    new = dice.choice((b"", *(tag + content[at + 4 : at + 8] for tag in _ITEM_TAGS), bytes(8), dice.randbytes(8)))
    return content[:at] + new + content[at + 8 :]


def _finds(content: bytes, what: bytes) -> Iterator[int]:
    at = content.find(what, 132)
    while at >= 0:
        yield at
        at = content.find(what, at + 4)


def _noisy(content: bytes, dice: random.Random) -> bytes:
    """Return a file cut off, with bytes behind it, or with some bytes changed."""
    kind = dice.randrange(5)
    if kind == 0:
        return content[: dice.randrange(132, len(content) + 1)] if len(content) > 132 else content
    if kind == 1:
        return content[: -dice.choice((1, 2, 4, 8))]
    if kind == 2:
        return content + dice.choice((b"\0", bytes(8), dice.randbytes(7), dice.randbytes(64)))
    changed = bytearray(content)
    for _ in range(dice.randrange(1, 4)):
        changed[dice.randrange(min(len(changed), 4000 if kind == 3 else len(changed)))] = dice.randrange(256)
    return bytes(changed)


class Campaign:
    """Counts, and what must never be."""

    def __init__(self, work: Path, carriers: Workers, auditors: Workers) -> None:
        self.work, self.carriers, self.auditors = work, carriers, auditors
        self.counts: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()

    def fault(self, seed: int, what: str) -> None:
        self.faults[what] += 1
        if self.faults[what] <= 3:
            print(f"seed {seed}: {what}", flush=True)

    def guarded(self, seed: int, step: str, call: Callable[[], object]) -> object:
        """Return what a call returns; ``None`` if it refuses, as it may."""
        try:
            return call()
        except RoundtripError as error:
            self.counts[f"{step}: refused"] += 1
            text = str(error)
            if MARK.lower() in text.lower():
                self.fault(seed, f"{step}: a text of the patient in a message")
            if "Internal error" in text or len(text.splitlines()) > 1:
                self.fault(seed, f"{step}: {text[:160]}")
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            self.fault(seed, f"{step}: {type(error).__name__} at {Path(place.filename).name}:{place.lineno}")
        return None

    def try_series(self, seed: int, files: list[bytes], carry_too: bool) -> None:
        """Find, and carry and verify, a series."""
        place = self.work / "case"
        shutil.rmtree(place, ignore_errors=True)
        source = place / "source"
        source.mkdir(parents=True)
        for number, content in enumerate(files):
            (source / f"{number}.dcm").write_bytes(content)
        self.counts["files"] += len(files)
        found = self.guarded(seed, "find", lambda: find_series(source))
        if not found or not carry_too:
            return
        for series in found[:1]:
            for identity in ("derived", "copy"):
                self._carry(seed, source, place / identity, series.series_instance_uid, identity)
        left = {path.name for path in place.iterdir()} - {"source", "derived", "copy"}
        if left:
            self.fault(seed, f"left behind: {sorted(left)[0][:40]}")

    def _carry(self, seed: int, source: Path, target: Path, uid: str, identity: str) -> None:
        options = RunOptions(
            jobs=1, progress=lambda *_: None, series=uid, identity=identity, headers="complete", description=None
        )  # type: ignore[arg-type]

        def run() -> object:
            with Staging(source, target, overwrite=False) as staging:
                return carry(source, target, options, staging, self.carriers)

        done = self.guarded(seed, f"run {identity}", run)
        self.counts[f"run {identity}"] += 1
        if done is None:
            if target.exists():
                self.fault(seed, f"run {identity}: refused, and an output is there")
            return
        self.counts[f"run {identity}: written"] += 1
        report = self.guarded(
            seed,
            "verify",
            lambda: verify_folders((str(source), str(target)), Options(identity=identity), self.auditors),
        )
        if report is None:
            self.fault(seed, f"verify of {identity} refused what run wrote")
        elif report.verdict == "fail":
            own = next((one for one in report.findings if not one.inherited and one.severity == "error"), None)
            said = f"{own.check} {own.tag} {own.message[:60]}" if own else "no finding"
            self.fault(seed, f"verify of {identity} fails: {said}")
        if report is not None and MARK.lower() in " ".join(one.message for one in report.findings).lower():
            self.fault(seed, f"verify of {identity}: a text of the patient in a message")
        for file in sorted(target.glob("*.dcm")):
            before = source / file.name.removeprefix("derived_")
            if before.exists() and _differ(before, file):
                self.fault(seed, f"pydicom sees other pixels in the {identity}")
                break


def _differ(before: Path, after: Path) -> bool:
    """Tell whether pydicom decodes both and sees other values."""
    try:
        values = [pydicom.dcmread(path).pixel_array for path in (before, after)]
    except Exception:
        return False
    return values[0].shape == values[1].shape and not np.array_equal(*values)


def main() -> int:
    """Run the campaign; exit code 1 if anything was there that must not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--every", type=int, default=20, help="carry and verify every so many series")
    parser.add_argument("--seed", type=int, default=0, help="of the first series")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--keep", type=Path, help="folder for the mutants of the last series")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    conformance.find_program = lambda: None  # type: ignore[assignment]
    with (
        tempfile.TemporaryDirectory() as folder,
        Workers(1) as carriers,
        Workers(1, prepare="audit") as auditors,
    ):
        series = bases(Path(folder))
        if arguments.keep:
            arguments.keep.mkdir(exist_ok=True)
        print(f"{len(series)} series to begin with", flush=True)
        campaign = Campaign(Path(folder), carriers, auditors)
        end = time.monotonic() + 60 * arguments.minutes
        seed = arguments.seed
        while campaign.counts["files"] < arguments.files and time.monotonic() < end:
            dice = random.Random(seed)
            files = dice.choice(series)
            chosen = range(len(files)) if dice.random() < 0.5 else [dice.randrange(len(files))]
            state = dice.getrandbits(64)
            for _ in range(dice.choice((1, 1, 1, 2, 3))):
                state += 1
                files = [
                    mutated(one, random.Random(state)) if index in chosen else one for index, one in enumerate(files)
                ]
            campaign.try_series(seed, files, carry_too=(seed % arguments.every == 0) or arguments.files == 1)
            for number, content in enumerate(files if arguments.keep else ()):
                (arguments.keep / f"{number}.dcm").write_bytes(content)
            seed += 1
            if seed % 1000 == 0:
                print(f"{seed}: {campaign.counts['files']} files", flush=True)
    print(dict(campaign.counts))
    print(*(f"{count} x {what}" for what, count in campaign.faults.most_common()), sep="\n")
    return 1 if campaign.faults else 0


if __name__ == "__main__":
    sys.exit(main())
