"""Command line: parse, call the API once, print, exit code. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from itk_roundtrip import __version__
from itk_roundtrip.arguments import (
    IMAGE_FORMATS,
    Backend,
    HeaderMode,
    Identity,
    NanTo,
    Progress,
    TransferSyntax,
)
from itk_roundtrip.carry.operation import prepared_for
from itk_roundtrip.errors import RoundtripError, VerificationError, internal_error
from itk_roundtrip.processes import load_numpy, start_ahead
from itk_roundtrip.words import posix

app = typer.Typer(
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Read a DICOM series with ITK, process it if asked to, and write it back: headers complete, tagged as derived,"
    " verified.",
)

EXIT_DIFFERENT = 1
EXIT_REFUSED = 2

PROCESSING = "Processing"
"""Panel of the options of processing in the help."""
_PICTURES_WITHOUT_PAGE = "--pictures shows pictures in the page of --html FILE; name that file or leave it out."

SeriesOption = Annotated[
    str | None,
    typer.Option(
        metavar="N", help="Which series of SRC: its number in `find`, its UID or the end of it, or a subfolder."
    ),
]
HtmlOption = Annotated[
    str | None, typer.Option(metavar="FILE", help="Write a page with pictures for a reviewer; no network needed.")
]
PicturesOption = Annotated[
    bool, typer.Option("--pictures", help="Show pictures even where names may be burned into the pixels.")
]
JobsOption = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="At most N processes; never more than processors.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
StrictOption = Annotated[bool, typer.Option("--strict", help="Refuse what there is any warning of.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing on stderr but errors.")]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say on stderr what is done and how long it takes, without values.")
]
DebugOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Write the traceback of an error there; it may quote patient data."),
]
# The options of `run` that `archive` has too.
IdentityOption = Annotated[
    Identity,
    typer.Option(help="New derived instances in a new series, or the same instances again."),
]
BackendOption = Annotated[Backend, typer.Option(help="Front end that reads and writes; same pixels and headers.")]
TransferSyntaxOption = Annotated[
    TransferSyntax | None,
    typer.Option(help="Lossless encoding of the output; that of the source, uncompressed, by default."),
]
DescriptionOption = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="What was done to the pixels, for Derivation Description; else a comment. ASCII.",
    ),
]
ApplyOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.py:FUNCTION",
        help="Process with this function, or MODULE:FUNCTION: it gets an itk.Image of real-world values (a"
        " numpy.ndarray if annotated so) and returns such.",
        rich_help_panel=PROCESSING,
    ),
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Keyword argument for FUNCTION; repeatable.", rich_help_panel=PROCESSING),
]
FilterOption = Annotated[
    str | None,
    typer.Option(
        "--filter",
        metavar="NAME:ARGS",
        help="Process with a filter: median:radius=1, gaussian:sigma_mm=1, clamp:lower=0,upper=99 or"
        " threshold:lower=0.",
        rich_help_panel=PROCESSING,
    ),
]
CodeOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SCHEME:VALUE:MEANING",
        help="Code of what was done, such as DCM:113087 (CID 7203); repeatable.",
        rich_help_panel=PROCESSING,
    ),
]
FootprintOption = Annotated[
    str | None,
    typer.Option(
        metavar="SLICES",
        help="How many slices on each side contribute to a slice, or all; they are named as its sources.",
        rich_help_panel=PROCESSING,
    ),
]
UnitsOption = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Units of the new values, if not the source's.", rich_help_panel=PROCESSING),
]
RescaleTypeOption = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Rescale Type of the new values, if not the units.", rich_help_panel=PROCESSING),
]
MaxErrorOption = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        min=0,
        help="Permit no larger error, in units of the values: take a finer scale, or refuse.",
        rich_help_panel=PROCESSING,
    ),
]
AllowClipOption = Annotated[
    bool,
    typer.Option(
        "--allow-clip", help="Clip values that cannot be stored; they are counted.", rich_help_panel=PROCESSING
    ),
]
NanToOption = Annotated[
    NanTo | None,
    typer.Option(help="Write NaN and infinite values as padding; else they are refused.", rich_help_panel=PROCESSING),
]
AllowIrregularOption = Annotated[
    bool,
    typer.Option(
        "--allow-irregular",
        help="Process slices with gaps or tilt as if they were a regular grid.",
        rich_help_panel=PROCESSING,
    ),
]
RegridOption = Annotated[
    bool,
    typer.Option(
        "--regrid",
        help="The image may lie elsewhere: resampled, cropped, of other slices or orientation.",
        rich_help_panel=PROCESSING,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEYWORD=VALUE", help="Set an attribute of all instances; repeatable."),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        from itk_roundtrip.versions import versions

        print("\n".join(f"{name} {version}" for name, version in {"itk-roundtrip": __version__, **versions()}.items()))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print this and other versions."),
    ] = False,
) -> None:
    pass


@app.command()
def find(
    directory: Annotated[str, typer.Argument(metavar="SRC", help="Folder to search, at any depth, or one file.")],
    details: Annotated[
        str | None,
        typer.Option(metavar="N", help="Show series N whole: formats, volumes, every irregularity with its files."),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = None,
) -> None:
    """List the DICOM series in a folder, a line each, with what is irregular in a word. Reads no pixels."""
    talk = _Talk(as_json, quiet, verbose, debug, (directory,))
    with _reported(talk):
        with _progress(talk) as progress:
            from itk_roundtrip.series.find import find_series

            found = find_series(directory, progress=lambda done, total: progress("Scanning", done, total))
        from itk_roundtrip.show import report

        chosen = None if details is None else found.choose(details)
        if as_json:
            _print(report.find_document(found, Path(directory), chosen))
        elif chosen is not None:
            _print(report.series_table(found.index(chosen) + 1, chosen))
        else:
            _print(report.find_table(found))


@app.command()
def run(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Folder with the series, at any depth, or one file.")],
    destination: Annotated[str, typer.Argument(metavar="DST", help="Output folder; new or empty.")],
    series: SeriesOption = None,
    identity: IdentityOption = "derived",
    headers: Annotated[
        HeaderMode,
        typer.Option(help="Restore what ITK loses, or leave what ITK alone writes (not verified)."),
    ] = "complete",
    backend: BackendOption = "itk",
    transfer_syntax: TransferSyntaxOption = None,
    description: DescriptionOption = None,
    apply: ApplyOption = None,
    param: ParamOption = None,
    filter_: FilterOption = None,
    image: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write this image, processed by another program.",
            rich_help_panel=PROCESSING,
        ),
    ] = None,
    code: CodeOption = None,
    footprint: FootprintOption = None,
    units: UnitsOption = None,
    rescale_type: RescaleTypeOption = None,
    max_error: MaxErrorOption = None,
    allow_clip: AllowClipOption = False,
    nan_to: NanToOption = None,
    allow_irregular: AllowIrregularOption = False,
    regrid: RegridOption = False,
    set_: SetOption = None,
    html: HtmlOption = None,
    pictures: PicturesOption = False,
    jobs: JobsOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace DST as a whole, once the new output is verified.")
    ] = False,
    strict: StrictOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = None,
) -> None:
    """Read a series with ITK, process it if asked to, write it. DST appears complete and verified, or not at all."""
    talk = _Talk(as_json, quiet, verbose, debug, (source, destination))
    with _reported(talk):
        if html is not None:
            _check_file(html, (source, destination), "--html")
        if pictures and html is None:
            raise RoundtripError(_PICTURES_WITHOUT_PAGE)
        asked = _asked(apply, filter_, param, code, footprint, set_)
        with _progress(talk) as progress:
            from itk_roundtrip.pipeline import PUBLISHED, roundtrip

            result = roundtrip(
                source,
                destination,
                series=series,
                identity=identity,
                headers=headers,
                backend=backend,
                transfer_syntax=transfer_syntax,
                description=description,
                **asked,
                image=image,
                units=units,
                rescale_type=rescale_type,
                max_error=max_error,
                allow_clip=allow_clip,
                nan_to=nan_to,
                allow_irregular=allow_irregular,
                regrid=regrid,
                debug=debug is not None and (apply is not None or filter_ is not None),
                strict=strict,
                jobs=jobs,
                overwrite=overwrite,
                progress=progress,
            )
        try:
            if html is not None and result.report is not None:
                from itk_roundtrip.show.page import write_page

                write_page(
                    result.report, _folder(source), Path(destination), Path(html), pictures=pictures, show_values=False
                )
            from itk_roundtrip.show import report

            talk.warn(result.warnings)
            _print(report.run_document(result) if as_json else report.run_table(result))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(PUBLISHED) from None


@app.command()
def archive(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Folder with any number of series, at any depth.")],
    destination: Annotated[
        str, typer.Argument(metavar="DST", help="Output folder: new, empty, or an archive of SRC to go on with.")
    ],
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Let the workers of this Dask scheduler do it, such as tcp://host:8786; they see SRC and DST as well.",
        ),
    ] = None,
    jobs: JobsOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")] = False,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH", help="Leave out this file or folder of SRC; * stands for any characters; repeatable."
        ),
    ] = None,
    identity: IdentityOption = "derived",
    backend: BackendOption = "itk",
    transfer_syntax: TransferSyntaxOption = None,
    description: DescriptionOption = None,
    apply: ApplyOption = None,
    param: ParamOption = None,
    filter_: FilterOption = None,
    code: CodeOption = None,
    footprint: FootprintOption = None,
    units: UnitsOption = None,
    rescale_type: RescaleTypeOption = None,
    max_error: MaxErrorOption = None,
    allow_clip: AllowClipOption = False,
    nan_to: NanToOption = None,
    allow_irregular: AllowIrregularOption = False,
    regrid: RegridOption = False,
    set_: SetOption = None,
    html: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write an index page, and beside it a page with pictures for each series."),
    ] = None,
    pictures: PicturesOption = False,
    strict: StrictOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = None,
) -> None:
    """Do with every series under SRC what `run` does with one, each into its own folder under DST.

    Run it again to go on: what is finished, and unchanged, is not done again. Exit 1: a series was refused or failed.
    """
    talk = _Talk(as_json, quiet, verbose, debug, (source, destination))
    with _reported(talk):
        if html is not None:
            _check_file(html, (source, destination), "--html")
        if pictures and html is None:
            raise RoundtripError(_PICTURES_WITHOUT_PAGE)
        if scheduler is not None and jobs is not None:
            raise RoundtripError("With --scheduler its workers are the processes; leave out --jobs.")
        asked = _asked(apply, filter_, param, code, footprint, set_)
        with _archive_progress(talk) as progress:
            from itk_roundtrip.archives.archive import archive as archive_series

            result = archive_series(
                source,
                destination,
                client=scheduler,
                jobs=jobs,
                identity=identity,
                backend=backend,
                transfer_syntax=transfer_syntax,
                description=description,
                **asked,
                units=units,
                rescale_type=rescale_type,
                max_error=max_error,
                allow_clip=allow_clip,
                nan_to=nan_to,
                allow_irregular=allow_irregular,
                regrid=regrid,
                strict=strict,
                leave_out=leave_out or (),
                dry_run=dry_run,
                html=html,
                pictures=pictures,
                progress=progress,
            )
        from itk_roundtrip.show.report import archive_document, archive_table

        talk.warn(result.warnings)
        _print(archive_document(result) if as_json else archive_table(result))
        if result.verdict == "fail":
            raise typer.Exit(EXIT_DIFFERENT)


@app.command()
def export(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Folder with the series, at any depth, or one file.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help=f"Image file to write: {', '.join(IMAGE_FORMATS)}.")],
    series: SeriesOption = None,
    volume: Annotated[
        int | None, typer.Option(metavar="K", min=0, help="Volume to write, from 0, if the series holds several.")
    ] = None,
    backend: Annotated[Backend, typer.Option(help="Front end that reads the series; same pixels.")] = "itk",
    allow_irregular: Annotated[
        bool,
        typer.Option("--allow-irregular", help="Write slices with gaps or tilt as if they were a regular grid."),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE, once the new one is verified.")] = False,
    strict: StrictOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = None,
) -> None:
    """Write a volume to FILE for other programs: real-world values and geometry, nothing else of its headers."""
    talk = _Talk(as_json, quiet, verbose, debug, (source,))
    with _reported(talk):
        with _progress(talk) as progress:
            from itk_roundtrip.volume.export import export_volume

            result = export_volume(
                source,
                file,
                series=series,
                volume=volume,
                backend=backend,
                overwrite=overwrite,
                allow_irregular=allow_irregular,
                strict=strict,
                progress=progress,
            )
        from itk_roundtrip.show.report import export_document, export_table

        talk.warn(result.warnings)
        _print(export_document(result) if as_json else export_table(result))


@app.command()
def verify(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="Folder with the source series, at any depth, or one file.")
    ],
    written: Annotated[str, typer.Argument(metavar="DST", help="Folder or file that was written of it, by any tool.")],
    series: Annotated[
        str | None,
        typer.Option(metavar="N", help="Which series of SRC, as for `run`, if DST does not tell which it is of."),
    ] = None,
    volume: Annotated[
        int | None,
        typer.Option(metavar="K", min=0, help="Volume of the source, from 0, if DST holds that one alone."),
    ] = None,
    identity: Annotated[
        Identity | None,
        typer.Option(help="Judge as derived instances or as the same instances; guessed from DST by default."),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Real-world values that DST must hold: any image ITK reads, or .npy."),
    ] = None,
    conformance: Annotated[
        bool, typer.Option("--conformance", help="Let dciodvfy judge every slice, not only three.")
    ] = False,
    html: HtmlOption = None,
    pictures: PicturesOption = False,
    show_values: Annotated[
        bool, typer.Option("--show-values", help="Show values, old and new, that may identify.")
    ] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="KEYWORD", help="Accept changes of this attribute, tag or group (0010); repeatable."),
    ] = None,
    jobs: JobsOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = None,
) -> None:
    """Audit a round trip, anyone's: every slice, attribute and stored value of DST against SRC. Exit 1: it differs."""
    talk = _Talk(as_json, quiet, verbose, debug, (source, written))
    with _reported(talk):
        if html is not None:
            _check_file(html, (source, written), "--html")
        if pictures and html is None:
            raise RoundtripError(_PICTURES_WITHOUT_PAGE)
        with _progress(talk) as progress:
            from itk_roundtrip.verify.series import verify_series

            report = verify_series(
                source,
                written,
                series=series,
                volume=volume,
                identity=identity,
                reference=reference,
                conformance=conformance,
                jobs=jobs,
                show_values=show_values,
                allow=allow or (),
                progress=progress,
            )
            if html is not None:
                from itk_roundtrip.show.page import write_page

                folders = _folder(source), _folder(written)
                write_page(report, *folders, Path(html), pictures=pictures, show_values=show_values)
        from itk_roundtrip.show.report import verify_document, verify_table

        talk.warn(report.warnings)
        _print(verify_document(report) if as_json else verify_table(report, show_values=show_values))
        if report.verdict == "fail":
            raise typer.Exit(EXIT_DIFFERENT)


def _asked(
    apply: str | None,
    filter_: str | None,
    param: Sequence[str] | None,
    code: Sequence[str] | None,
    footprint: str | None,
    set_: Sequence[str] | None,
) -> dict[str, Any]:
    """Return the arguments of the API that options of other names or texts stand for."""
    if apply is not None and filter_ is not None:
        raise RoundtripError("Pass either --apply or --filter.")
    return {
        "apply": apply if filter_ is None else _filter(filter_),
        "parameters": _parameters(param or ()),
        "codes": _codes(code or ()),
        "footprint_slices": _footprint(footprint),
        "set": _settings(set_ or ()),
    }


def _filter(text: str) -> Any:
    from itk_roundtrip.itk_io.filters import parse_filter

    return parse_filter(text)


def _parameters(texts: Sequence[str]) -> dict[str, Any] | None:
    if not texts:
        return None
    from itk_roundtrip.volume.functions import parse_parameters

    return parse_parameters(texts)


def _codes(texts: Sequence[str]) -> list[tuple[str, str, str]]:
    if not texts:
        return []
    from itk_roundtrip.derivation.processing import parse_code

    return [(code.value, code.scheme, code.meaning) for code in map(parse_code, texts)]


def _footprint(text: str | None) -> int | None:
    """Return the slices on each side that contribute; ``None`` for ``all``."""
    if text is not None and text != "all" and not (text.isascii() and text.isdecimal()):
        raise RoundtripError("--footprint is a number of slices on each side, or all.")
    return None if text == "all" else int(text or 0)


def _settings(texts: Sequence[str]) -> dict[str | int, str]:
    """Return the values of attributes that texts KEYWORD=VALUE set."""
    settings: dict[str | int, str] = {}
    for text in texts:
        keyword, separator, value = text.partition("=")
        if not separator or not keyword:
            raise RoundtripError("An attribute is set as KEYWORD=VALUE, such as SeriesDescription=Filtered.")
        if keyword in settings:
            raise RoundtripError(f"--set names {keyword} twice.")
        settings[keyword] = value
    return settings


def _folder(source: str) -> Path:
    """Return a folder as it was named, or the one that a file lies in."""
    path = Path(source)
    return path if path.is_dir() else path.parent


def _check_file(file: str, folders: tuple[str, ...], option: str) -> None:
    """Raise an error if an option cannot write its file there, or if that lies in the source or the written folder."""
    name = posix(file)
    parent = Path(file).absolute().parent
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        reason = "is a file" if parent.is_file() else "cannot be written" if parent.is_dir() else "does not exist"
        wanted = "make it first" if reason == "does not exist" else "name another"
        raise RoundtripError(f"The folder for {name} {reason}; {wanted}.", path=name)
    if not file or Path(file).is_dir():
        raise RoundtripError(f"{name or 'An empty name'} is no file; name the file that {option} writes.", path=name)
    for folder in filter(None, folders):
        if Path(os.path.realpath(file)).is_relative_to(os.path.realpath(folder)):
            message = f"{name} lies in {posix(folder)}, which is not written to; name a file elsewhere."
            raise RoundtripError(message, path=name)


SAMPLE = "data/ct-phantom"
"""Folder of the sample series, from the top of a clone."""


@app.command()
def losses(
    source: Annotated[
        str | None,
        typer.Argument(metavar="SRC", help=f"Folder with the series, or one file; {SAMPLE} if not given."),
    ] = None,
    series: SeriesOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = None,
) -> None:
    """Show what plain ITK and SimpleITK lose of a series: their examples are run on it in a temporary folder."""
    talk = _Talk(as_json, quiet, verbose, debug, (source or SAMPLE,))
    with _reported(talk):
        if source is None and not os.path.isdir(SAMPLE):
            raise RoundtripError(f"Name a folder with a series; the sample series {SAMPLE} is only there in a clone.")
        with _progress(talk) as progress:
            from itk_roundtrip.losses import find_losses

            table = find_losses(SAMPLE if source is None else source, series=series, progress=progress)
        from itk_roundtrip.show.report import losses_document, losses_table

        _print(losses_document(table) if as_json else losses_table(table))


def _explainable(incomplete: str) -> list[str]:
    """Return the ids of checks that a text begins, for the completion of the shell."""
    from itk_roundtrip.verify.checks import CHECKS

    return [check_id for check_id in CHECKS if check_id.startswith(incomplete.upper())]


@app.command()
def explain(
    asked: Annotated[
        str | None,
        typer.Argument(
            metavar="ID|KEYWORD", help="Check, keyword or tag; all checks if not given.", autocompletion=_explainable
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a check of `verify` asks, or what becomes of an attribute, why, and by which section of the standard."""
    with _reported(_Talk(as_json)):
        from itk_roundtrip.show.explain import checks_table, explain_document, explain_table

        if asked is None:
            _print(checks_table())
        else:
            _print(explain_document(asked) if as_json else explain_table(asked))


def main() -> None:
    """Run the command line; a stop by SIGTERM, SIGHUP or Ctrl-Break cleans up as Ctrl-C does."""
    # Else a file or socket opened later gets the number of a standard stream that is closed.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for name in ("SIGTERM", "SIGHUP", "SIGBREAK"):  # of which no system has all
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, _stop)
    if sys.argv[1:2] == ["run"] and not {"--help", "-h"} & set(sys.argv):  # ITK takes longer to load than all else
        backend: Backend = "simpleitk" if "simpleitk" in sys.argv else "itk"
        start_ahead(f"itk_roundtrip.carry.slabs:{backend}")
        if any(argument.startswith("--apply") for argument in sys.argv):
            start_ahead(prepared_for(backend, is_function=True), "stderr")
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # file names hold any bytes
    try:
        sys.exit(app(standalone_mode=False))
    except _WRONG_USAGE as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
        else:
            _say(_usage(error))
        sys.exit(EXIT_REFUSED)
    except typer.Abort:
        sys.exit(EXIT_REFUSED)


_WRONG_USAGE: Any = typer.BadParameter.__mro__[2]
"""Errors of the command line itself (click.ClickException), which typer exports no name of."""


def _usage(error: Any) -> str:
    """Return what is wrong with a command line as one sentence: typer itself would take a box of several lines."""
    message = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".")
    command = error.ctx.command_path if getattr(error, "ctx", None) else "itk-roundtrip"
    return f"{message}{' See' if message.endswith('?') else '; see'} `{command} --help`."


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


class _Talk(NamedTuple):
    """What a command says on stderr, and where it writes the traceback of an error.

    Attributes
    ----------
    as_json
        The result is a JSON document: no progress is shown.
    quiet, verbose
        Nothing but errors is said; or what is done, too.
    debug
        File for the traceback of an error.
    folders
        What the command reads or writes, where that file must not be.
    """

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    debug: str | None = None
    folders: tuple[str, ...] = ()

    def warn(self, warnings: Sequence[str]) -> None:
        """Say warnings, unless nothing is to be said."""
        for warning in () if self.quiet else warnings:
            _say(f"warning: {warning}")

    def check(self) -> None:
        """Raise an error if it contradicts itself, or if the file of the traceback cannot be written there."""
        if self.quiet and self.verbose:
            raise RoundtripError("Pass either --quiet or --verbose.")
        if self.debug is not None:
            _check_file(self.debug, self.folders, "--debug")

    def keep(self, error: BaseException) -> None:
        """Write the traceback of an error to its file, if there is one."""
        if self.debug is None:
            return
        import traceback

        lines = [*traceback.format_exception(error), getattr(error, "details", "")]
        try:
            Path(self.debug).write_text("\n".join(lines), encoding="utf-8", errors="backslashreplace")
        except OSError as refusal:
            _say(f"{posix(self.debug)} cannot be written: {(refusal.strerror or 'the system refused it').lower()}.")


@contextmanager
def _reported(talk: _Talk) -> Iterator[None]:
    """Turn every error into one sentence on stderr and exit code 2, and log what is done if that is wanted."""
    try:
        talk.check()
    except RoundtripError as error:  # there is no file to keep it in
        _say(_as_typed(error))
        raise typer.Exit(EXIT_REFUSED) from None
    try:
        load_numpy()
        with _logged(talk.verbose):
            yield
        return
    except VerificationError as error:
        talk.keep(error)
        if talk.as_json:
            from itk_roundtrip.show import report

            _print(report.failure_document(error))
        _say(_as_typed(error))
    except RoundtripError as error:
        talk.keep(error)
        _say(_as_typed(error))
    except KeyboardInterrupt as stop:
        _say(f"Interrupted; {stop.args[0] if stop.args else 'nothing was written'}.")
    except MemoryError:
        _say("Out of memory; nothing was written.")
    except _UnprintableError as error:
        _say(f"The result cannot be printed: {error}.")
    except OSError as error:
        talk.keep(error)
        _say(f"The system refused it: {error.strerror or type(error).__name__}.")
    except typer.Exit:
        raise
    except Exception as error:
        talk.keep(error)
        _say(str(internal_error(error)))
    raise typer.Exit(EXIT_REFUSED)


@contextmanager
def _logged(wanted: bool) -> Iterator[None]:
    """Log what the package does on stderr, with the time since the command began."""
    if not wanted:
        yield
        return
    import logging

    from itk_roundtrip.versions import versions

    found = {"itk-roundtrip": __version__, **versions()}
    logger, handler = logging.getLogger("itk_roundtrip"), logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("itk-roundtrip: %(relativeCreated)6.0f ms  %(message)s"))
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.info(", ".join(f"{name} {version}" for name, version in found.items()))
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


class _UnprintableError(Exception):
    """Standard output refuses the result, as a closed pipe or a full disk does."""


def _as_typed(error: RoundtripError) -> str:
    """Return the message of an error; an argument of the API that it advises is named as an option."""
    before, advised, after = str(error).rpartition(error.option or "\0")
    name, _, value = advised.partition("=")
    option = f"--{_OPTIONS.get(name, name).replace('_', '-')}"
    if value not in ("", "True"):
        option += f" {value.strip(chr(34))}"
    return before + (option if advised else "") + after


_OPTIONS = {"parameters": "param", "codes": "code", "footprint_slices": "footprint"}
"""Options that have other names than the arguments of the API."""


def _say(message: str) -> None:
    """Print a message on stderr as one line, with its control characters escaped."""
    line = "".join(character if character.isprintable() else repr(character)[1:-1] for character in message)
    with suppress(OSError):
        print(f"itk-roundtrip: {line}", file=sys.stderr, flush=True)


def _print(result: Any) -> None:
    """Print a JSON document or a table on standard output."""
    if sys.stdout is None:
        return
    try:
        if isinstance(result, dict):
            print(json.dumps(result, indent=2), flush=True)
        else:
            from rich.console import Console

            # A pipe has no width.
            console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
            with console.capture() as capture:  # rich ends the process when a pipe is closed
                console.print(result)
            print(capture.get(), end="", flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is buffered must not fail again at exit
        raise _UnprintableError((error.strerror or "the system refused it").lower()) from None


def _log_stage(stage: str, done: int, total: int) -> None:
    """Log the end of a stage."""
    if done == total:
        import logging

        logging.getLogger("itk_roundtrip").info("%s: %d of %d done", stage, done, total)


@contextmanager
def _progress(talk: _Talk) -> Iterator[Progress]:
    """Yield a callback that shows a progress bar on a terminal, or logs each stage, or does nothing."""
    if talk.verbose:
        yield _log_stage
        return
    if talk.as_json or talk.quiet or sys.stderr is None or not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    from itk_roundtrip.processes import uninterrupted

    bar = Bar(console=Console(stderr=True), transient=True)
    with uninterrupted():  # the thread that draws inherits the signal mask, so that signals come to the main thread
        bar.start()
    try:
        tasks: dict[str, Any] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield show
    finally:
        bar.stop()


_SECONDS_BETWEEN_LINES = 30.0
"""So often an archive says where it is, where there is no terminal."""


@contextmanager
def _archive_progress(talk: _Talk) -> Iterator[Progress]:
    """Yield a callback that shows how far an archive is: bars on a terminal, else a line now and then."""
    if talk.as_json or talk.quiet or talk.verbose or sys.stderr is None:
        with _progress(talk) as progress:
            yield progress
        return
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from itk_roundtrip.processes import uninterrupted

    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    bar = Bar(*columns, console=Console(stderr=True), transient=True)
    with uninterrupted():
        bar.start()
    try:
        tasks: dict[str, Any] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total or None, rate="")
            speed = bar.tasks[tasks[stage]].speed if stage == "Slices" else None
            bar.update(tasks[stage], completed=done, total=total or None, rate=f"{speed:.0f}/s" if speed else "")

        yield show
    finally:
        bar.stop()


def _lines() -> Progress:
    """Return a callback that says now and then how far an archive is."""
    import time

    said = started = time.monotonic()
    series = ""

    def say(stage: str, done: int, total: int) -> None:
        nonlocal said, started, series
        now = time.monotonic()
        if stage == "Series":
            series = f"{done} of {total} series, "
            started = now if done == 1 else started
        if now - said < _SECONDS_BETWEEN_LINES:
            return
        if stage == "Slices":
            rate = done / max(now - started, 1e-3)
            _say(
                f"{series}{done} of {total} slices, {rate:.0f} slices/s, {(total - done) / max(rate, 1e-3):.0f} s left"
            )
        elif stage != "Series":
            _say(f"{stage.lower()}: {done} files" if not total else f"{stage.lower()}: {done} of {total} files")
        else:
            return
        said = now

    return say
