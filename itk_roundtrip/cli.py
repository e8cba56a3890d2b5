"""The command line: parse, one call of the API, render, exit code. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from itk_roundtrip import __version__
from itk_roundtrip.errors import RoundtripError, VerificationError

if TYPE_CHECKING:
    from itk_roundtrip.roundtrip import Progress

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Read a DICOM series with ITK and write it back, headers complete, tagged as derived, verified.",
)

EXIT_REFUSED = 2

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"itk-roundtrip {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def find(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to search, at any depth.")],
    as_json: JsonOption = False,
) -> None:
    """List the DICOM series in a folder: files, geometry, pixel format, and every irregularity. Reads no pixels."""
    with _reported(), _progress(as_json) as progress:
        from itk_roundtrip.series import find_series

        found = find_series(directory, progress=lambda done, total: progress("Scanning", done, total))
    from itk_roundtrip import report

    _print(report.find_document(found, directory) if as_json else report.find_table(found))


@app.command()
def run(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Folder with the series, at any depth.")],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="Output folder; new or empty.")],
    series: Annotated[
        str | None, typer.Option(metavar="UID", help="Series Instance UID, if SRC holds several series.")
    ] = None,
    identity: Annotated[
        Literal["derived", "copy"],
        typer.Option(help="New derived instances in a new series, or the same instances again."),
    ] = "derived",
    headers: Annotated[
        Literal["complete", "itk"],
        typer.Option(help="Restore what ITK loses, or leave what ITK alone writes (not verified)."),
    ] = "complete",
    description: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Operation named in Derivation Description; ASCII.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes; as many as processors by default.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace DST as a whole, once the new output is verified.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read a series with ITK and write it back. SRC is never written to; DST appears complete and verified, or not."""
    with _reported(as_json), _progress(as_json) as progress:
        from itk_roundtrip.roundtrip import roundtrip

        result = roundtrip(
            source,
            destination,
            series=series,
            identity=identity,
            headers=headers,
            description=description,
            jobs=jobs,
            overwrite=overwrite,
            progress=progress,
        )
    from itk_roundtrip import report

    for warning in result.warnings:
        _say(f"warning: {warning}")
    _print(report.run_document(result) if as_json else report.run_table(result))


def main() -> None:
    """Run the command line; a stop by SIGTERM or SIGHUP cleans up as Ctrl-C does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # file names may hold any bytes
    app()


@contextmanager
def _reported(as_json: bool = False) -> Iterator[None]:
    """Turn every error into one sentence on stderr and exit code 2."""
    try:
        yield
    except VerificationError as error:
        if as_json:
            from itk_roundtrip import report

            _print(report.failure_document(error))
        _say(str(error))
    except RoundtripError as error:
        _say(str(error))
    except KeyboardInterrupt:
        _say("Interrupted; nothing was written.")
    except MemoryError:
        _say("Out of memory; nothing was written.")
    except OSError as error:
        _say(f"The system refused it: {error.strerror or type(error).__name__}.")
    else:
        return
    raise typer.Exit(EXIT_REFUSED)


def _say(message: str) -> None:
    print(f"itk-roundtrip: {message}", file=sys.stderr)


def _print(result: Any) -> None:
    if isinstance(result, dict):
        print(json.dumps(result, indent=2))
        return
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 120, highlight=False).print(result)


@contextmanager
def _progress(as_json: bool) -> Iterator[Progress]:
    """Yield a callback that shows a bar on a terminal and is silent otherwise."""
    if as_json or not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield show
