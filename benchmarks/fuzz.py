"""A campaign of damaged files: structure-aware mutations through find, run and verify.

``python benchmarks/fuzz.py --files 20000 --every 20`` mutates synthetic series and files of the pydicom wheel, finds
the series in every mutant, carries and verifies every so many, and prints whatever must never be: an error that is none
of the package's, an output that fails its own checks, something left behind, an output that verification fails, other
pixels than pydicom sees, a text of a patient in a message. Each mutant is named by its seed, and
``--seed N --files 1`` makes it again.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pydicom
from pydicom import uid

from itk_roundtrip import RoundtripError, find_series
from itk_roundtrip.carry.staging import Staging
from itk_roundtrip.dicom import spans
from itk_roundtrip.dicom.encoding import UNDEFINED_LENGTH, WORD_BYTES
from itk_roundtrip.dicom.part10 import opening
from itk_roundtrip.dicom.transcoding import as_implicit
from itk_roundtrip.pipeline import Options as RunOptions
from itk_roundtrip.pipeline import carry
from itk_roundtrip.processes import Workers
from itk_roundtrip.series.find import Series
from itk_roundtrip.series.instance import Instance
from itk_roundtrip.verify import conformance
from itk_roundtrip.verify.judge import verify_folders
from itk_roundtrip.verify.options import Options

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from synthetic import CASES, is_available, write_case

MARK = "Zzqmark"
_ODD_VRS = (b"??", b"\0\0", b"  ", b"cs", b"ZZ", b"RE", b"O?")
_VRS = (b"UN", b"OB", b"SQ", b"LO", b"FD", b"US", b"UT", b"DS", b"IS", b"CS", b"UL", b"AT", b"PN")
_PATIENT = (0x00100010, 0x00100020)
_LARGEST = 400_000
_SLOW = 60
"""Seconds after which a step counts as hung."""
_PIXEL_DATA, _NUMBER_OF_FRAMES = 0x7FE00010, 0x00280008
_FILE = re.compile(r"\b(derived_)?\d+\.dcm")
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
    """Return a file whose patient has the mark for a name and for an identifier."""
    for tag in _PATIENT:
        with suppress(Exception):
            found = next(span for span in _elements(content) if span.tag == tag and span.stop > span.value)
            new = spans.encode(tag, found.vr, MARK.encode() + b" ", implicit_vr=not found.vr)
            content = content[: found.start] + new + content[found.end :]
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
            if (one.vr == "SQ" or one.undefined) and one.tag != _PIXEL_DATA and depth < 4:
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
    if dice.random() < 0.25 and (special := dice.choice(_SPECIAL)(content, found, dice)):
        return special
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


def _encapsulated(content: bytes, found: list[spans.Span], dice: random.Random) -> bytes:
    """Return a file whose compressed pixels are encapsulated in another way, right or wrong; empty if it has none."""
    pixels = next((one for one in found if one.tag == _PIXEL_DATA and one.undefined and one.vr), None)
    if pixels is None:
        return b""
    try:
        places = list(spans.items(content, pixels.value, pixels.stop, implicit_vr=False))
    except ValueError:
        return b""
    table, *streams = (content[start + 8 : stop] for start, stop in places)
    if dice.random() < 0.5:  # in several fragments each
        streams = [part for one in streams for part in _parts(one, dice)]
    starts = [0]
    for one in streams:
        starts.append(starts[-1] + 8 + len(one))
    per_fragment = struct.pack(f"<{len(streams)}L", *starts[:-1])
    table = dice.choice(
        (b"", table, table, per_fragment, per_fragment[:-4], per_fragment + bytes(4), dice.randbytes(4))
    )
    for _ in range(dice.choice((0, 0, 1, 2))):
        at = dice.randrange(len(streams) + 1)
        new = dice.choice((b"", b"", b"\0", dice.randbytes(5), *streams[:1]))
        streams = dice.choice(([*streams[:at], new, *streams[at:]], streams[:at] + streams[at + 1 :]))
    if streams and dice.random() < 0.2:
        streams[-1] = dice.choice((streams[-1][:-1], streams[-1] + b"\0", streams[-1][: len(streams[-1]) // 2]))
    value = b"".join(map(spans.encode_item, (table, *streams)))
    end = dice.choice((b"", bytes(8), _ITEM_TAGS[1] + bytes(4), _ITEM_TAGS[1][:3], *[_ITEM_TAGS[1] + bytes(4)] * 3))
    junk = dice.choice((b"", b"", b"", b"\0", bytes(6), b"noise", dice.randbytes(12), value[:40]))
    vr = dice.choice((b"OB", b"OB", b"OB", b"OW", b"UN", b"??"))
    length = len(value + end) + dice.choice((0, 0, -1, 1, -8)) if dice.random() < 0.2 else UNDEFINED_LENGTH
    head = content[pixels.start : pixels.start + 4] + vr + b"\0\0" + struct.pack("<L", max(0, length))
    extended = b""
    if dice.random() < 0.2:
        lengths = [len(one) for one in streams]
        offsets = starts[: len(streams)] + starts[-1:] * (len(streams) + 1 - len(starts))
        if dice.random() < 0.5 and offsets and lengths:
            wrong = dice.choice((offsets, lengths))
            wrong[dice.randrange(len(wrong))] = dice.randrange(1 << 16)
        if dice.random() < 0.2:
            offsets.append(starts[-1])
        for element, numbers in ((1, offsets), (2, lengths)):
            if dice.random() < 0.9:
                packed = struct.pack(f"<{len(numbers)}Q", *numbers)
                extended += spans.encode(
                    0x7FE00000 | element, dice.choice(("OV", "OV", "UN")), packed, implicit_vr=False
                )
    return content[: pixels.start] + extended + head + value + end + junk + content[pixels.end :]


def _parts(stream: bytes, dice: random.Random) -> list[bytes]:
    at = dice.randrange(len(stream) + 1)
    at -= at % 2 if dice.random() < 0.9 else 0
    return [stream[:at], stream[at:]]


def _with_blanks(content: bytes, found: list[spans.Span], dice: random.Random) -> bytes:
    """Return a file whose Number of Frames is written otherwise; empty if it has none."""
    one = next((one for one in found if one.tag == _NUMBER_OF_FRAMES), None)
    if one is None:
        return b""
    text = content[one.value : one.stop].strip(b" \0")
    new = dice.choice((b"  %s ", b"%s\0", b"+%s", b"0%s", b"%s.0", b"%s\\", b" %s\0\0", b"%s\t", b"-%s", b"%s0")) % text
    new = spans.encode(one.tag, one.vr, new + b" " * (len(new) % 2), implicit_vr=not one.vr)
    return content[: one.start] + new + content[one.end :]


def _without_pad(content: bytes, found: list[spans.Span], dice: random.Random) -> bytes:
    """Return a file without its last byte, which its last element counts or not."""
    last = found[-1]
    if last.undefined or last.end != len(content) or last.stop == last.value:
        return content[:-1]
    if dice.random() < 0.5:
        return content[:-1]
    size = 2 if last.vr and last.value - last.start == 8 else 4
    length = (last.stop - last.value - 1).to_bytes(size, "little")
    return content[: last.value - size] + length + content[last.value : -1]


def _as_unknown(content: bytes, found: list[spans.Span], dice: random.Random) -> bytes:
    """Return a file with a sequence of VR UN, its items in Implicit VR or as they were; empty if it has none."""
    one = _sequence(found, dice)
    if one is None:
        return b""
    value = content[one.value : one.stop]
    if dice.random() < 0.7:
        with suppress(Exception):
            element = content[one.start : one.end]
            value = as_implicit(element)[8:]
    if dice.random() < 0.5:
        new = spans.encode(one.tag, "UN", value, implicit_vr=False)
    else:
        end = _ITEM_TAGS[1] + bytes(4)
        new = content[one.start : one.start + 4] + b"UN\0\0\xff\xff\xff\xff" + value.removesuffix(end) + end
    return content[: one.start] + new + content[one.end :]


def _no_sequence(content: bytes, found: list[spans.Span], dice: random.Random) -> bytes:
    """Return a file in which a sequence holds no items; empty if it has no sequence."""
    one = _sequence(found, dice)
    if one is None:
        return b""
    new = spans.encode(
        one.tag, dice.choice(("SQ", "UN", "OB", "LO", "US", "PN")), dice.choice(_VALUES), implicit_vr=False
    )
    return content[: one.start] + new + content[one.end :]


def _sequence(found: list[spans.Span], dice: random.Random) -> spans.Span | None:
    sequences = [one for one in found if one.vr == "SQ"]
    keys = [one for one in sequences if one.tag in _KEYS]
    return dice.choice(keys if keys and dice.random() < 0.5 else sequences) if sequences else None


def _closed_otherwise(content: bytes, found: list[spans.Span], dice: random.Random) -> bytes:
    """Return a file with a sequence whose delimiters are of the wrong kind, or not there."""
    one = _sequence(found, dice)
    if one is None:
        return b""
    item, item_end, end = (tag + bytes(4) for tag in (_ITEM_TAGS[2], *_ITEM_TAGS[:2]))
    try:
        inside = [
            content[slice(*spans.content(content, *each))]
            for each in spans.items(content, one.value, one.stop, implicit_vr=False)
        ]
    except ValueError:
        return b""
    ends = (item_end, item_end, item_end, end, b"", item, bytes(8), end + item_end)
    parts = [item[:4] + b"\xff\xff\xff\xff" + each + dice.choice(ends) for each in inside]
    head = content[one.start : one.start + 4] + b"SQ\0\0"
    value = b"".join(parts)
    new = dice.choice((
        head + b"\xff\xff\xff\xff" + value + dice.choice((end, end, item_end, b"", bytes(8))),
        head + struct.pack("<L", len(value)) + value,
    ))  # fmt: skip
    return content[: one.start] + new + content[one.end :]


def _with_odd_element(content: bytes, found: list[spans.Span], dice: random.Random) -> bytes:
    """Return a file with a private element of an odd VR, anywhere."""
    one = dice.choice(found)
    group = (one.tag >> 16) | 1
    creator = spans.encode(group << 16 | 0x10, "LO", b"INVENTED", implicit_vr=not one.vr)
    value = dice.choice((b"ABCD", b"", dice.randbytes(16), b"\xfe\xff\0\xe0\0\0\0\0", spans.encode_item(creator)))
    tag = struct.pack("<HH", group, 0x1010)
    vr = dice.choice(_ODD_VRS)
    new = dice.choice((
        tag + vr + struct.pack("<H", len(value)),
        tag + vr + b"\0\0" + struct.pack("<L", len(value)),
        tag + struct.pack("<L", len(value)),
    ))  # fmt: skip
    return content[: one.end] + creator + new + value + content[one.end :]


def _meta(content: bytes, found: list[spans.Span], dice: random.Random) -> bytes:
    """Return a file with one element of File Meta Information changed."""
    if content[128:132] != b"DICM":
        return b""
    with suppress(ValueError):
        one = dice.choice(list(spans.elements(content, 132, found[0].start, implicit_vr=False)))
        element, value = content[one.start : one.end], content[one.value : one.stop]
        new = dice.choice((
            b"", element + element, element[:4] + dice.choice(_ODD_VRS) + element[6:],
            spans.encode(one.tag, dice.choice(_VRS).decode(), value, implicit_vr=False),
            spans.encode(one.tag, "", value, implicit_vr=True),
            spans.encode(one.tag, one.vr, dice.choice(_VALUES), implicit_vr=False),
            spans.encode(one.tag, one.vr, value + b"\0\0", implicit_vr=False),
            spans.encode(0x00020102, "OB", dice.randbytes(8), implicit_vr=False) + element,
        ))  # fmt: skip
        return content[: one.start] + new + content[one.end :]
    return b""


_SPECIAL = (
    _encapsulated, _encapsulated, _encapsulated, _with_blanks, _without_pad, _as_unknown, _no_sequence,
    _closed_otherwise, _with_odd_element, _with_odd_element, _meta,
)  # fmt: skip


def in_another_encoding(content: bytes, dice: random.Random) -> bytes:
    """Return a mutant that is native and in Explicit VR deflated, or in Big Endian as far as it can be walked."""
    syntax = uid.ExplicitVRLittleEndian.encode() + b"\0"
    try:
        begins = opening(content)
    except ValueError:
        return content
    if begins.claimed != uid.ExplicitVRLittleEndian or begins.implicit or content.find(syntax, 132, begins.start) < 0:
        return content
    data = content[begins.start :]
    if dice.random() < 0.5:
        new, packer = uid.DeflatedExplicitVRLittleEndian, zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = packer.compress(data) + packer.flush()
    else:
        new, data = uid.ExplicitVRBigEndian, _big_endian(data)
    meta = content[: begins.start]
    at = meta.find(syntax)
    text = new.encode() + b"\0" * (len(new) % 2)
    return meta[: at - 2] + struct.pack("<H", len(text)) + text + meta[at + len(syntax) :] + data


def _big_endian(data: bytes) -> bytes:
    """Return elements in Explicit VR Little Endian in Big Endian; what is no element stays as it is."""
    parts, end = [], 0
    with suppress(ValueError, struct.error):
        for one in spans.elements(data, 0, len(data), implicit_vr=False):
            head = data[one.start : one.value]
            length = UNDEFINED_LENGTH if one.undefined else one.stop - one.value
            packed = struct.pack(">HH", one.tag >> 16, one.tag & 0xFFFF) + head[4:6]
            packed += struct.pack(">HL", 0, length) if len(head) == 12 else struct.pack(">H", length)
            value = data[one.value : one.stop]
            if one.vr == "SQ":
                with suppress(ValueError, struct.error):
                    value = b"".join(
                        struct.pack(">HHL", 0xFFFE, 0xE000, last - first) + _big_endian(data[first:last])
                        for first, last in (
                            spans.content(data, *each)
                            for each in spans.items(data, one.value, one.stop, implicit_vr=False)
                        )
                    )
                packed = packed[:8] + struct.pack(">L", UNDEFINED_LENGTH if one.undefined else len(value))
                value += struct.pack(">HHL", 0xFFFE, 0xE0DD, 0) if one.undefined else b""
            elif size := WORD_BYTES.get(one.vr):
                whole = len(value) // size * size
                value = np.frombuffer(value[:whole], f"<u{size}").astype(f">u{size}").tobytes() + value[whole:]
            parts.append(packed + value)
            end = one.end
    return b"".join(parts) + data[end:]


def mutants(series: list[list[bytes]], seed: int) -> tuple[int, list[bytes]]:
    """Return which series a seed takes, and its files, mutated."""
    dice = random.Random(seed)
    number = dice.randrange(len(series))
    files = list(series[number])
    chosen = range(len(files)) if dice.random() < 0.5 else [dice.randrange(len(files))]
    state = dice.getrandbits(64)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        state += 1  # the same is done to all of them
        files = [mutated(one, random.Random(state)) if index in chosen else one for index, one in enumerate(files)]
    if dice.random() < 0.1:
        files = [in_another_encoding(one, random.Random(state)) for one in files]
    return number, files


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
        self.otherwise: dict[int, bool] = {}
        self.refusals: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()

    def fault(self, seed: int, what: str) -> None:
        self.faults[what] += 1
        if self.faults[what] <= 3:
            print(f"seed {seed}: {what}", flush=True)

    def guarded(self, seed: int, step: str, call: Callable[[], object]) -> object:
        """Return what a call returns; ``None`` if it refuses, as it may."""
        begin = time.monotonic()
        try:
            return call()
        except RoundtripError as error:
            self.counts[f"{step}: refused"] += 1
            text = str(error)
            self.refusals[_FILE.sub("FILE", f"{step.split()[0]}: {text}").replace(str(self.work), "")[:140]] += 1
            if MARK.lower() in text.lower():
                self.fault(seed, f"{step}: a text of the patient in a message")
            if "What was written is not what it must be" in text:
                self.fault(seed, f"{step}: {_FILE.sub('FILE', text)[:160]}")
            if "Internal error" in text or len(text.splitlines()) > 1:
                self.fault(seed, f"{step}: {text[:160]}")
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            self.fault(seed, f"{step}: {type(error).__name__} at {Path(place.filename).name}:{place.lineno}")
        finally:
            if time.monotonic() - begin > _SLOW:
                self.fault(seed, f"{step}: took {time.monotonic() - begin:.0f} s")
        return None

    def sound(self, number: int, files: list[bytes]) -> None:
        """Find out whether pydicom sees other pixels in what becomes of a series that nobody mutated.

        Where it does, for a reason of its own, it is no witness of the mutants.
        """
        if number not in self.otherwise:
            before = self.faults
            self.faults = Counter({f"pydicom sees other pixels in the {one}": 9 for one in ("derived", "copy")})
            told = self.faults.copy()
            self.otherwise[number] = False
            self.try_series(-1, number, files, carry_too=True)
            self.otherwise[number] = any(self.faults[what] > told[what] for what in told)
            self.faults = before

    def try_series(self, seed: int, number: int, files: list[bytes], carry_too: bool) -> None:
        """Find, and carry and verify, a series."""
        place = self.work / "case"
        shutil.rmtree(place, ignore_errors=True)
        source = place / "source"
        source.mkdir(parents=True)
        for index, content in enumerate(files):
            (source / f"{index}.dcm").write_bytes(content)
        self.counts["files"] += len(files)
        found = self.guarded(seed, "find", lambda: find_series(source))
        if not found or not carry_too:
            return
        for series in found[:1]:
            for identity in ("derived", "copy"):
                self._carry(seed, source, place / identity, series.series_instance_uid, identity)
                if not self.otherwise.get(number):
                    self._look(seed, series, place / identity, identity)
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

    def _look(self, seed: int, series: Series, target: Path, identity: str) -> None:
        for plane in series.slices:
            if "PixelData" in plane.instance.opening_note:
                continue  # pydicom believes an offset table that lies
            one, after = plane.instance, target / f"{'derived_' * (identity == 'derived')}{plane.instance.name}"
            if after.exists() and _differ(one, after):
                self.fault(seed, f"pydicom sees other pixels in the {identity}")
                break


def _differ(one: Instance, after: Path) -> bool:
    """Tell whether pydicom decodes both and sees other values.

    Those of a lossy source are clipped to Bits Stored, and decoders of it round otherwise.
    """
    try:
        values = [pydicom.dcmread(path).pixel_array for path in (one.path, after)]
    except BaseException as error:  # a decoder in Rust raises no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        return False
    if values[0].shape != values[1].shape:
        return True
    if not one.is_lossy:
        return not np.array_equal(*values)
    stored = one.bits_stored or 16
    least = -(1 << stored - 1) if one.pixel_representation else 0
    clipped = [np.clip(each.astype("i8"), least, least + (1 << stored) - 1) for each in values]
    return bool(np.abs(clipped[0] - clipped[1]).max() > 3)


def main() -> int:
    """Run the campaign; exit code 1 if anything was there that must not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--every", type=int, default=20, help="carry and verify every so many series")
    parser.add_argument("--seed", type=int, default=0, help="of the first series")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--dciodvfy", action="store_true", help="verify with dciodvfy too, where it is installed")
    parser.add_argument("--refusals", action="store_true", help="count for what is refused")
    parser.add_argument("--keep", type=Path, help="folder for the mutants of the last series")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    if not arguments.dciodvfy:
        conformance.find_program = lambda: None  # type: ignore[assignment]
    with (
        tempfile.TemporaryDirectory() as folder,
        Workers(1) as carriers,
        Workers(1, prepare="itk_roundtrip.verify.audit") as auditors,
    ):
        series = bases(Path(folder))
        if arguments.keep:
            arguments.keep.mkdir(exist_ok=True)
        print(f"{len(series)} series to begin with", flush=True)
        campaign = Campaign(Path(folder), carriers, auditors)
        end = time.monotonic() + 60 * arguments.minutes
        seed = arguments.seed
        while campaign.counts["files"] < arguments.files and time.monotonic() < end:
            number, files = mutants(series, seed)
            carry_too = seed % arguments.every == 0 or arguments.files == 1
            if carry_too:
                campaign.sound(number, series[number])
            campaign.try_series(seed, number, files, carry_too=carry_too)
            for index, content in enumerate(files if arguments.keep else ()):
                (arguments.keep / f"{index}.dcm").write_bytes(content)
            seed += 1
            if seed % 1000 == 0:
                print(f"{seed}: {campaign.counts['files']} files", flush=True)
    print(dict(campaign.counts))
    if arguments.refusals:
        print(*(f"{count} refused: {what}" for what, count in campaign.refusals.most_common()), sep="\n")
    print(*(f"{count} x {what}" for what, count in campaign.faults.most_common()), sep="\n")
    return 1 if campaign.faults else 0


if __name__ == "__main__":
    sys.exit(main())
