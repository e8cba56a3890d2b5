"""What the site shows beside the pages of docs/: texts of the repository, the command line, and the tutorial.

Links in pages name files of the repository, so that they work where the repository is read; here they become those of
the site. Packages of the extra ``docs`` are imported where they are used, so that the tests can do without.
"""

from __future__ import annotations

import posixpath
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]

PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "benchmarks/README.md": "project/benchmarks.md",
    "data/README.md": "project/data.md",
    "docs/tutorial.ipynb": "tutorial.md",
}
"""Pages of the site by the files of the repository that they show, where these are no pages of docs/."""
_SOURCES = {page: source for source, page in PAGES.items()}

COMMANDS = "<!-- commands -->"
"""Where the page of the command line gets what ``--help`` says."""
_LINK = re.compile(r"(?<=\]\()([^)\s:#]+)(?=(?:#[^)\s]*)?\))")
"""The target of a link or picture in Markdown that has no scheme, without its anchor."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    from mkdocs.structure.files import File

    for source, page in PAGES.items():
        path = ROOT / source
        content = notebook_as_markdown(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make links lead to pages of the site, fill in the command line, and show no menu that has one entry."""
    if page.file.src_uri in (PAGES["README.md"], PAGES["docs/tutorial.ipynb"]):
        page.meta["hide"] = ["navigation"]
    markdown = _LINK.sub(lambda link: link_on_site(link[1], page.file.src_uri), markdown)
    return markdown.replace(COMMANDS, commands_as_markdown()) if COMMANDS in markdown else markdown


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Give the dialog of the search a name, which the theme does not."""
    return named_dialog(output)


def on_post_template(output_content: str, template_name: str, config: MkDocsConfig) -> str:
    """Do the same for the page of what is not found."""
    return named_dialog(output_content)


def named_dialog(html: str) -> str:
    """Return HTML in which the dialog of the search has a name for those who do not see it."""
    dialog = 'data-md-component="search" role="dialog"'
    return html.replace(dialog, f'{dialog} aria-label="Search"')


def link_on_site(target: str, page: str) -> str:
    """Return the target of a link, relative to the file that a page shows, relative to the page."""
    source = _SOURCES.get(page, f"docs/{page}")
    meant = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    return posixpath.relpath(PAGES.get(meant, posixpath.relpath(meant, "docs")), posixpath.dirname(page) or ".")


def commands_as_markdown() -> str:
    """Return what ``--help`` says of all commands, as typer writes it in Markdown, without its title and contents."""
    command = [sys.executable, "-m", "typer", "itk_roundtrip.cli", "utils", "docs", "--name", "itk-roundtrip"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    text = done.stdout.partition("\n")[2]
    return re.sub(r"\*\*Commands\*\*:\n.*?(?=^## )", "", text, flags=re.M | re.S)


def notebook_as_markdown(path: Path) -> str:
    """Return a notebook with its outputs as they are stored."""
    from nbconvert import MarkdownExporter
    from nbconvert.filters import strip_ansi

    return str(strip_ansi(MarkdownExporter().from_filename(str(path))[0]))
