"""Run every series of some folders through the peers and itk-roundtrip, and judge what each of them writes.

    python benchmarks/fidelity.py FOLDER... [--cpp PROGRAM] [--only REGEX] [--json FILE] [--markdown FILE]

Each program runs in a process of its own with a time limit, on a folder that holds links to the files of one series
and nothing else, and writes into a temporary folder. Of each program and series one of four things is said:

exact    `verify` finds no error, and neither does the second opinion. itk-roundtrip is judged as the identity that it
         was asked for. The peers promise "the exact same header", so they are judged as a copy, but may give new
         Study, Series, SOP Instance and Frame of Reference UIDs: errors about these four attributes do not count.
refused  it said no: an exception, or an exit code other than 0. For itk-roundtrip: exit code 2, and no output.
wrong    it ended well, but `verify` or the second opinion finds an error, or `verify` cannot judge the output.
crashed  a signal ended it, it took longer than the limit, or itk-roundtrip has an internal error.

`verify` belongs to itk-roundtrip. So every Nth of the files that it finds exact is looked at again with dcmtk, if
dcmdump is on PATH: the file must parse, its dump must be that of the source but for what the rule table changes, and
the pixels must be equal; compressed sources are decoded with dcmdrle, dcmdjpeg, dcmdjpls or gdcmconv first.

Files of a series that share a SOP Instance UID are copies or variants of one image: they are split by their folders,
and if that does not help, each file is run alone. File names are shown; values are not. See README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from rich.box import MARKDOWN, Box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from roundtrip import LABELS, build_cpp_example, machine

from itk_roundtrip import find_series
from itk_roundtrip.processes import processors
from itk_roundtrip.rules import RULES

if TYPE_CHECKING:
    from itk_roundtrip import Instance

HERE = Path(__file__).resolve().parent
OURS = [sys.executable, "-m", "itk_roundtrip"]
WORDS = ("exact", "refused", "wrong", "crashed")
IDENTITY = frozenset({"0008,0018", "0020,000d", "0020,000e", "0020,0052"})
STOP = threading.Event()


@dataclass(frozen=True)
class Tool:
    """A program, to whose command SRC DST are added."""

    key: str
    label: str
    command: list[str]
    identity: str = "copy"
    ours: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a series in a program.

    `findings` are checks with their attributes; `values_differ`: slices are missing, or stored or real-world values
    differ; `second` counts the files whose headers, and whose pixels, dcmtk found equal.
    """

    outcome: str
    reason: str = ""
    path: str = ""
    findings: list[str] = field(default_factory=list)
    values_differ: bool = False
    second: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        extra = self.path if self.outcome == "exact" else " ".join(self.findings[:1]).partition(" ")[0]
        return f"{self.outcome} ({extra})" if extra else self.outcome


def known_tools(cpp: str | None, wanted: str, work: Path) -> list[Tool]:
    """Return the programs that are there and wanted."""
    derived, copy = ([*OURS, "run", "--json", "--identity", identity] for identity in ("derived", "copy"))
    tools = [
        Tool("cpp", LABELS["cpp"], []),
        Tool("itk", LABELS["itk"], [sys.executable, str(HERE / "plain_itk.py")]),
        Tool("simpleitk", LABELS["simpleitk"], [sys.executable, str(HERE / "simpleitk_idiom.py")]),
        Tool("ours-derived", "itk-roundtrip derived", derived, "derived", ours=True),
        Tool("ours-copy", "itk-roundtrip copy", copy, ours=True),
    ]
    chosen = [tool for tool in tools if re.search(wanted, tool.key)]
    if chosen[:1] != tools[:1]:
        return chosen
    if program := cpp or build_cpp_example(work):
        return [replace(tools[0], command=[program]), *chosen[1:]]
    print(f"{LABELS['cpp']}: not built, so it is left out")
    return chosen[1:]


# ------------------------------------------------------------------------------------------------ what is run


@dataclass(frozen=True)
class Sample:
    """The files of a series."""

    instances: list[Instance]

    def __str__(self) -> str:
        path = min(one.path for one in self.instances)
        return f"{path.parent.name}/{path.name}"

    @property
    def kind(self) -> str:
        """Modality, pixel format and transfer syntax of the first file."""
        one = self.instances[0]
        frames = f" x{one.number_of_frames}" if one.number_of_frames not in ("", "0", "1") else ""
        syntax = re.split(r" Image| \(|,", uid.UID(one.transfer_syntax_uid).name)[0]
        pixels = f"{one.photometric_interpretation} {one.bits_stored}/{one.bits_allocated}{frames}"
        return f"{one.modality} {pixels} {syntax}"

    def show(self, folder: Path) -> None:
        """Make a folder with links to the files and to nothing else."""
        folder.mkdir()
        for index, one in enumerate(self.instances):
            name = one.path.name
            (folder / (f"{index}_{name}" if (folder / name).is_symlink() else name)).symlink_to(one.path)


def samples_in(folder: Path) -> tuple[list[Sample], dict[str, list[str]]]:
    """Return what is to be run of a folder, and the files that are not, by the reason."""
    found = find_series(folder)
    skipped = defaultdict(list)
    for left_out in found.skipped:
        skipped[left_out.reason].append(left_out.name)
    samples = []
    for series in found:
        skipped["no pixel data"] += [one.name for one in series.instances if not one.pixel_data]
        samples += [Sample(part) for part in _distinct([one for one in series.instances if one.pixel_data]) if part]
    return samples, {reason: names for reason, names in skipped.items() if names}


def _distinct(instances: list[Instance]) -> Iterator[list[Instance]]:
    """Yield the instances in lists without a SOP Instance UID twice: all, or by folder, or one by one."""
    folders = defaultdict(list)
    for one in instances:
        folders[one.path.parent].append(one)
    for part in folders.values() if _repeats(instances) else [instances]:
        yield from ([one] for one in part) if _repeats(part) else [part]


def _repeats(instances: list[Instance]) -> bool:
    return len({one.sop_instance_uid for one in instances}) < len(instances)


# ------------------------------------------------------------------------------------------- running, judging


@dataclass(frozen=True)
class Call:
    """Runs programs, each in a process group of its own, with a time limit in seconds and a folder to work in."""

    work: Path
    limit: float

    def __call__(self, command: Sequence[str | Path]) -> tuple[int | None, bytes, str]:
        """Return the status (None after the limit), the output and the errors."""
        with tempfile.TemporaryFile(dir=self.work) as out, tempfile.TemporaryFile(dir=self.work) as errors:
            environment = {**os.environ, "TMPDIR": str(self.work)}
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, env=environment, start_new_session=True
            )
            try:
                end = time.monotonic() + self.limit
                while process.poll() is None and time.monotonic() < end and not STOP.wait(0.02):
                    pass
                status = process.poll()
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # its children too
                process.wait()
            if STOP.is_set():
                raise KeyboardInterrupt
            out.seek(0)
            errors.seek(0)
            return status, out.read(), errors.read().decode(errors="replace")


def attempt(tool: Tool, sample: Sample, call: Call, every: int) -> Outcome:
    """Run a program on a sample and judge what it writes."""
    source, written = call.work / "source", call.work / "written"
    sample.show(source)
    status, out, errors = call([*tool.command, source, written])
    reason = _last_line(errors, sample) if tool.ours else _thrown(errors)
    if status is None:
        return Outcome("crashed", f"took longer than {call.limit:g} s")
    if status < 0:
        return Outcome("crashed", f"ended by {signal.Signals(-status).name}")
    if tool.ours and (status not in (0, 2) or "Internal error" in reason):
        return Outcome("crashed", f"exit code {status}: {reason}")
    if tool.ours and status and written.exists():
        return Outcome("wrong", f"left something behind: {reason}")
    if status:
        return Outcome("refused", reason)
    outcome = judge(tool, sample, call, every)
    return replace(outcome, path=json.loads(out)["path"]) if tool.ours and out else outcome


def judge(tool: Tool, sample: Sample, call: Call, every: int) -> Outcome:
    """Let `verify`, and dcmtk if that finds no error, compare the folder `written` with `source`."""
    source, written = call.work / "source", call.work / "written"
    options = ["--json", "--jobs", "1", "--identity", tool.identity]
    status, out, errors = call([*OURS, "verify", *options, source, written])
    if status not in (0, 1):
        return Outcome("wrong", f"cannot be judged: {_last_line(errors, sample) or status}", values_differ=True)
    report = json.loads(out)
    pairs = report["pairs"]
    differ = len(pairs) < report["source_slices"] or any(one["changed"] or one["largest_real"] for one in pairs)
    found = {
        f"{one['check']} {one['tag'] or ''} {one['path'] or ''}".strip()
        for one in report["findings"]
        if one["severity"] == "error" and (tool.ours or _bare(one["tag"] or "") not in IDENTITY)
    }
    if found:
        order = sorted(found, key=lambda one: (not one.startswith("PIX"), one))
        return Outcome("wrong", findings=order, values_differ=differ)
    allowed = CHANGED_BY_RULE if tool.identity == "derived" else frozenset()
    if not tool.ours:  # equal numbers in other texts are no error to verify, and are none here
        allowed |= IDENTITY | {_bare(one["tag"]) for one in report["changes"] if one["outcome"] == "reformatted"}
    second: Counter[str] = Counter()
    for one in pairs[::every] if every and shutil.which("dcmdump") else []:
        objection, seen = second_opinion(source / one["source"], written / one["written"], allowed, call)
        if objection:
            return Outcome("wrong", findings=[f"dcmtk {objection}"], values_differ=objection == "pixels")
        second.update(seen)
    return Outcome("exact", second=dict(second))


def _bare(tag: str) -> str:
    return tag.strip("()").lower()


def _thrown(errors: str) -> str:
    """Return what was thrown and where, the last one; messages of ITK and SimpleITK may quote paths and values."""
    kinds = re.findall(r"^(?:itk::)?(\w+(?:Error|ExceptionObject))\b", errors, re.M)
    places = re.findall(r"\b((?:gdcm|itk|sitk)\w+\.(?:cxx|hxx|txx|h)):?(?:\nLine: )?(\d+)", errors)
    calls = re.findall(r"Exception thrown in SimpleITK (\w+)", errors)
    where = ":".join(places[-1]) if places else "".join(calls[-1:])
    return f"{kinds[-1] if kinds else 'an error'} at {where or 'an unknown place'}"


def _last_line(errors: str, sample: Sample) -> str:
    """Return the last line but warnings, without file names and UIDs, so that equal reasons are equal."""
    lines = [one for one in errors.splitlines() if one.strip() and "warning:" not in one]
    reason = lines[-1].removeprefix("itk-roundtrip: ") if lines else ""
    for name in {one.path.name for one in sample.instances if len(one.path.name) > 3}:
        reason = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "FILE", reason)
    return re.sub(r"\b\d+(\.\d+){4,}\b", "UID", reason)


# --------------------------------------------------------------------------------------------- second opinion

DECODERS = {
    "1.2.840.10008.1.2.5": "dcmdrle",
    "1.2.840.10008.1.2.4.57": "dcmdjpeg",
    "1.2.840.10008.1.2.4.70": "dcmdjpeg",
    "1.2.840.10008.1.2.4.80": "dcmdjpls",
    "1.2.840.10008.1.2.4.90": "gdcmconv --raw",
}
CHANGED_BY_RULE = frozenset(f"{rule.tag >> 16:04x},{rule.tag & 0xFFFF:04x}" for rule in RULES if rule.action != "keep")
NOT_COMPARED = frozenset({"7fe0,0010", "7fe0,0001", "7fe0,0002", "fffc,fffc"})
COLOUR = frozenset({"0028,0004", "0028,0006"})  # decoders may change how colours are stored
LOSSY = frozenset({"0028,2110", "0028,2112", "0028,2114"})  # that, how much and how it was
GROUPS = frozenset({"5200,9229", "5200,9230"})
EVIDENCE = frozenset({"0008,9154"})  # lists the source that the functional groups refer to
OF_FRAMES = re.compile(rb"^ {4}\(0008,9124\).*\n(?: {5,}.*\n)*|^ {8}\(0008,9007\).*\n", re.M)
"""Derivation Image Sequence and Frame Type in functional groups: what a derived multi-frame instance says of itself."""
SHAPE = ("0028,0002", "0028,0008", "0028,0010", "0028,0011", "0028,0100", "0028,0101", "0028,0102")


def second_opinion(source: Path, written: Path, allowed: frozenset[str], call: Call) -> tuple[str, list[str]]:
    """Return what dcmtk says against a file, or nothing, and what it compared: headers, pixels or neither.

    The attributes `allowed` may differ.
    """
    before, after = dump(source, call), dump(written, call)
    if not before:
        return "", []  # dcmtk does not read the source either
    if not after:
        return "cannot parse the file", []
    syntax = uid.UID(value(before, "0002,0010"))
    compressed = not syntax.is_transfer_syntax or syntax.is_encapsulated
    decompressed = compressed and value(after, "0002,0010") != syntax
    ignored = NOT_COMPARED | allowed | (COLOUR if decompressed else frozenset())
    if compressed and syntax not in DECODERS and value(after, "0028,2110") == "01":
        ignored |= LOSSY
    if allowed >= CHANGED_BY_RULE and GROUPS & before.keys():
        ignored |= EVIDENCE
    for tag in sorted((before.keys() | after.keys()) - ignored):
        values = [elements.get(tag) for elements in (before, after)]
        if tag in GROUPS and allowed >= CHANGED_BY_RULE:
            values = [OF_FRAMES.sub(b"", one or b"") for one in values]
        if tag[:4] != "0002" and tag[5:] != "0000" and values[0] != values[1]:
            return f"({tag.upper()})", []
    if compressed and not decompressed:
        return ("", ["headers", "pixels"]) if fragments(before) == fragments(after) else ("pixels", [])
    if decompressed:
        program, target = DECODERS.get(syntax, "false").split(), call.work / "decoded.dcm"
        decoded = shutil.which(program[0]) and call([*program, source, target])[0] == 0
        before = dump(target, call) if decoded else {}
    expected, found = stored(before, decompressed), stored(after, decompressed)
    if expected is None or found is None or value(before, "0028,0004") != value(after, "0028,0004"):
        return "", ["headers"]
    return ("", ["headers", "pixels"]) if np.array_equal(expected, found) else ("pixels", [])


def dump(path: Path, call: Call) -> dict[str, bytes]:
    """Return what dcmdump prints of each attribute of the top level with all below it; pixels go to a file."""
    link = call.work / f"of_{path.parent.name}.dcm"
    for old in call.work.glob(f"{link.name}*"):  # dcmdump overwrites nothing
        old.unlink()
    link.symlink_to(path)  # dcmdump names the files of pixels after this one
    status, out, _ = call(["dcmdump", "-q", "-Un", "+L", "+W", call.work, link])
    elements: dict[str, bytes] = {}
    tag = ""
    for line in out.splitlines():
        if top := re.match(rb"\(([0-9a-f]{4},[0-9a-f]{4})\) ", line):
            tag = top[1].decode()
        if tag and not re.match(rb" *\(fffe,e0.d\)| +\(7fe0,0010\)", line):  # no delimiters, no pixels of icons
            text = re.sub(rb" +# +(\d+|u/l), *\d+ .*$", b"", line)  # the length in bytes
            if tag != "7fe0,0010":
                text = re.sub(rb" pi =.+\.raw$", b" pi", text)  # fragments of icons, in files named after this one
            text = re.sub(rb"Item with \w+ length #=\d+|with (explicit|undefined) length", b"", text)
            elements[tag] = elements.get(tag, b"") + text + b"\n"
    return {} if status else elements


def value(elements: dict[str, bytes], tag: str) -> str:
    """Return the first line of a value."""
    return elements.get(tag, b"")[15:].decode("latin-1").partition("\n")[0].strip("[]=")


def fragments(elements: dict[str, bytes]) -> list[bytes]:
    """Return the compressed fragments, without the offset table."""
    names = re.findall(rb" pi =(.+\.raw)\n", elements.get("7fe0,0010", b""))
    return [Path(os.fsdecode(name)).read_bytes() for name in names[1:]]


def stored(elements: dict[str, bytes], masked: bool) -> NDArray[np.integer] | None:
    """Return the stored values, samples last; None if dcmdump put none into a file, as it does if compressed."""
    raw = Path(value(elements, "7fe0,0010"))
    if raw.suffix != ".raw" or not raw.is_file():
        return None
    samples, frames, rows, columns, allocated, bits, high = (int(value(elements, tag) or 1) for tag in SHAPE)
    count = samples * frames * rows * columns
    content = raw.read_bytes()[: (count * allocated + 7) // 8]
    if allocated not in (8, 16, 32) or len(content) * 8 != count * allocated:
        return np.frombuffer(content, np.uint8)
    values: NDArray[np.integer] = np.frombuffer(content, f"<u{allocated // 8}")
    if masked:  # decoders differ in the unused bits
        values = (values >> (high + 1 - bits)) & ((1 << bits) - 1)
    if samples > 1 and value(elements, "0028,0006") == "1":
        return np.moveaxis(values.reshape(frames, samples, rows, columns), 1, -1)
    return values.reshape(frames, rows, columns, samples)


# --------------------------------------------------------------------------------------------------- the whole

Results = list[tuple[Sample, dict[str, Outcome]]]


def run_sample(sample: Sample, tools: Sequence[Tool], limit: float, every: int) -> dict[str, Outcome]:
    """Run all programs on a sample, one after the other."""
    outcomes = {}
    for tool in tools:
        with tempfile.TemporaryDirectory(prefix="itk-roundtrip-fidelity-", ignore_cleanup_errors=True) as folder:
            outcomes[tool.key] = attempt(tool, sample, Call(Path(folder).resolve(), limit), every)
    return outcomes


def run_all(samples: list[Sample], tools: Sequence[Tool], options: argparse.Namespace) -> Results:
    """Run all programs on all samples, some samples at a time."""
    with ThreadPoolExecutor(options.jobs) as pool:
        try:
            jobs = [pool.submit(run_sample, one, tools, options.limit, options.second_opinion) for one in samples]
            for done, future in enumerate(as_completed(jobs), 1):
                told = ", ".join(f"{key} {outcome}" for key, outcome in future.result().items())
                print(f"{done} of {len(jobs)}: {samples[jobs.index(future)]}: {told}", file=sys.stderr, flush=True)
        except BaseException:
            STOP.set()
            pool.shutdown(cancel_futures=True)
            raise
    return [(sample, job.result()) for sample, job in zip(samples, jobs, strict=True)]


def tables(
    results: Results, tools: Sequence[Tool], skipped: dict[str, dict[str, list[str]]]
) -> dict[str, list[list[str]]]:
    """Return tables by their titles, the heading first."""
    series = [["#", "series", "files", "kind", *(tool.label for tool in tools)]]
    for number, (sample, outcomes) in enumerate(results, 1):
        series.append([str(number), str(sample), str(len(sample.instances)), sample.kind, *map(str, outcomes.values())])
    why = [["program", "outcome", "why", "series", "#"]]
    summary = [["program", *WORDS, "wrong values or slices", "files equal to dcmtk", "their pixels too"]]
    for tool in tools:
        mine = [outcomes[tool.key] for _, outcomes in results]
        counts, second = Counter(one.outcome for one in mine), sum((Counter(one.second) for one in mine), Counter())
        differ = sum(one.values_differ for one in mine)
        numbers = [*(counts[word] for word in WORDS), differ, second["headers"], second["pixels"]]
        summary.append([tool.label, *map(str, numbers)])
        reasons = defaultdict(list)
        for number, one in enumerate(mine, 1):
            for reason in [one.reason] if one.reason else one.findings:
                reasons[one.outcome, reason].append(str(number))
        order = sorted(reasons.items(), key=lambda item: (item[0][0] == "wrong", -len(item[1])))
        for (word, reason), where in order if tool.ours else order[:20]:  # peers lose hundreds of attributes
            why.append([tool.label, word, reason, str(len(where)), " ".join(where[:5]) + " ..." * (len(where) > 5)])
    left_out = [["folder", "reason", "count", "files"]]
    for folder, reasons_of in skipped.items():
        for reason, names in reasons_of.items():
            left_out.append([folder, reason, str(len(names)), ", ".join(names[:10]) + ", ..." * (len(names) > 10)])
    return {"Series": series, "Why": why, "Skipped": left_out, "Summary": summary}


def show(titled: dict[str, list[list[str]]], console: Console, frame: Box | None) -> None:
    """Print the tables."""
    for title, (heading, *rows) in titled.items():
        table = Table(*heading, box=frame, pad_edge=frame is not None)
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(f"## {title}", "", table, "", sep="\n")


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description="Judge what each program writes of every series in some folders.")
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="searched at any depth")
    parser.add_argument("--cpp", metavar="PROGRAM", help="ITK's C++ example (else built from Debian's packages)")
    parser.add_argument("--only", default="", metavar="REGEX", help="of cpp, itk, simpleitk, ours-derived, ours-copy")
    parser.add_argument("--limit", type=float, default=300, metavar="SECONDS", help="for each process (300)")
    parser.add_argument("--jobs", type=int, default=processors(), metavar="N", help="series at a time (processors)")
    parser.add_argument("--second-opinion", type=int, default=1, metavar="N", help="on every Nth exact file; 0: none")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything to FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables to FILE")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None, tools: Sequence[Tool] | None = None) -> int:
    """Return 1 if itk-roundtrip is wrong or crashed anywhere, else 0. Tests give programs of their own."""
    options = parse_arguments(arguments)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # no patients in files
    samples, skipped = [], {}
    for folder in options.folders:
        if not folder.is_dir():
            raise SystemExit(f"{folder} is not a folder")
        name = folder.resolve().name
        found, skipped[str(folder) if name in skipped else name] = samples_in(folder)
        samples += found
    with tempfile.TemporaryDirectory(prefix="itk-roundtrip-fidelity-") as work:
        tools = known_tools(options.cpp, options.only, Path(work)) if tools is None else tools
        results = run_all(samples, tools, options)
    titled = tables(results, tools, skipped)
    show(titled, Console(width=None if sys.stdout.isatty() else 200, highlight=False), None)
    if not options.second_opinion or not shutil.which("dcmdump"):
        print("No second opinion" + (": dcmdump is not on PATH." if options.second_opinion else "."))
    if options.markdown:
        with options.markdown.open("w") as file:
            show(titled, Console(file=file, width=9999, highlight=False), MARKDOWN)
    if options.json:
        series = [
            {"series": str(sample), "files": len(sample.instances), "kind": sample.kind,
             "outcomes": {key: asdict(outcome) for key, outcome in outcomes.items()}}
            for sample, outcomes in results
        ]  # fmt: skip
        summary = [dict(zip(titled["Summary"][0], row, strict=True)) for row in titled["Summary"][1:]]
        document = {"machine": machine(), "summary": summary, "series": series, "skipped": skipped}
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    ours = [outcomes[tool.key].outcome for _, outcomes in results for tool in tools if tool.ours]
    return int("wrong" in ours or "crashed" in ours)


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(main())
