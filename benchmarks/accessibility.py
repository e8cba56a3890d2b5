"""Ask axe-core and the keyboard whether everybody can use the pages: light and dark, wide and narrow.

    python benchmarks/accessibility.py [PAGE_OR_FOLDER ...] [--axe FILE] [--chromium FILE] [--screenshots FOLDER]

Without pages it makes those of `verify --html` and `run --html` (pass, fail with many findings, processed values with
a histogram, pixels that are no squares, pictures left out) and one with all that results show in notebooks. Of a
folder, such as a built documentation site, it takes all pages; a page alone has the files of its folder only. It
prints what axe-core finds, by impact; controls that the Tab key does not reach, or that are not seen or not marked when
it does; pictures in other proportions than they say; and pages wider than the window. The exit code is 1 if there is
any of that; findings of axe-core that are minor or moderate do not count.

It needs `pip install playwright axe-playwright-python` and Chromium, which is looked for on the PATH. `--axe` takes
another axe.min.js, such as that of `npm install axe-core`. Nothing is loaded from the network.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from playwright.sync_api import Browser, Page, sync_playwright

import itk_roundtrip as rt
from itk_roundtrip.cli import app

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from synthetic import write_series

ROOT = Path(__file__).parent.parent
WIDTHS = {"wide": 1280, "narrow": 390}
SCHEMES = ("light", "dark")
GRAVE = ("serious", "critical")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
"""Rules of axe-core that are asked: the A and AA of WCAG 2.2, and good practice."""
MOST_TABS = 400
SLIDES = 400
"""Milliseconds in which a menu comes into the window once something in it has the focus."""
SLOW = 120_000
"""Milliseconds after which a picture of a page is given up."""
SHOWN = 5
"""Most elements that are named for a finding."""


# ------------------------------------------------------------------------------------------------------- the pages


def make_pages(folder: Path) -> None:
    """Make pages of verification and of notebooks in a folder."""
    from typer.testing import CliRunner

    def command(*words: object) -> None:
        ended = CliRunner().invoke(app, [*map(str, words)])
        if ended.exit_code > 1:  # 1: verify found differences
            raise SystemExit(f"accessibility: {' '.join(map(str, words))}: {ended.stderr}")

    sample = ROOT / "data" / "ct-phantom"
    work = folder / "series"
    pages = folder / "pages"
    pages.mkdir()
    command("run", sample, work / "plain", "--html", pages / "pass.html")
    command("run", sample, work / "median", "--filter", "median:radius=1", "--html", pages / "processed.html")
    command("run", sample, work / "itk", "--headers", "itk")
    command("verify", sample, work / "itk", "--identity", "copy", "--html", pages / "fail.html")
    command("verify", sample, work / "itk", "--identity", "copy", "--show-values", "--html", pages / "values.html")
    # Half of the rows in the height: a circle in the patient is one in a picture of the right proportions.
    rows, columns = np.ogrid[:64, :256]
    disc = ((rows * 2.0 - 64) ** 2 + (columns * 0.5 - 64) ** 2 < 50**2) * 1000
    write_series(work / "oblong", slices=3, rows=64, columns=256)
    for file in (work / "oblong").iterdir():
        dataset = pydicom.dcmread(file)
        dataset.PixelSpacing = [2.0, 0.5]
        dataset.PixelData = disc.astype(np.uint16).tobytes()
        dataset.save_as(file)
    command("run", work / "oblong", work / "oblong_out", "--filter", "median:radius=1", "--html", pages / "oblong.html")
    write_series(work / "burned", slices=2, attributes={"BurnedInAnnotation": "YES"})
    command("run", work / "burned", work / "burned_out", "--html", pages / "burned_in.html")
    _make_notebook(sample, work, pages / "notebook.html")


def _make_notebook(sample: Path, work: Path, file: Path) -> None:
    """Put all that results show in notebooks into one page, with the colours of the browser."""
    series = rt.find_series(sample)
    volume = rt.read_series(series[0])
    shown = {
        "Series list": series,
        "Series": series[0],
        "Volume": volume,
        "Volume of oblong pixels": rt.read_series(rt.find_series(work / "oblong")[0]),
        "Result": rt.roundtrip(sample, work / "result"),
        "Report": rt.verify_series(sample, work / "result"),
        "Report of a failure": rt.verify_series(sample, work / "itk", identity="copy"),
        "Losses": rt.find_losses(sample),
        "Export": rt.export_volume(sample, work / "export.nrrd"),
    }
    # JupyterLab shows an output in a region that scrolls.
    scrolls = 'style="overflow:auto" tabindex="0" role="region"'
    parts = "".join(
        f'<h2>{title}</h2><div {scrolls} aria-label="{title}">{value._repr_html_()}</div>'
        for title, value in shown.items()
    )
    style = ":root { color-scheme: light dark } body { font: 15px system-ui }"
    file.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Notebook</title><style>{style}</style><main><h1>Notebook</h1>{parts}</main></html>",
        "utf-8",
    )


# ------------------------------------------------------------------------------------------------------- the checks


FOCUS = """() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  if (!element.dataset.visit) element.dataset.visit = String(document.querySelectorAll("[data-visit]").length + 1);
  const text = element.textContent || element.getAttribute("aria-label") || "", next = element.nextElementSibling;
  // A box or a switch may be hidden behind its label, or behind the one that follows it.
  const targets = [element, ...(element.labels || []), ...(next && next.matches("label") ? [next] : [])];
  const inside = target => {
    const box = target.getBoundingClientRect();
    return box.width > 0 && box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth;
  };
  const marked = target => {
    const style = getComputedStyle(target);
    return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 || style.boxShadow !== "none";
  };
  return {
    visit: element.dataset.visit,
    name: element.tagName.toLowerCase() + " " + text.trim().slice(0, 40),
    inside: targets.some(inside),
    marked: element.matches(":focus-visible") && targets.some(target => inside(target) && marked(target)),
  };
}"""
"""What has the focus, whether it is in the window, and whether it is marked; null if nothing has it."""

MISSED = """() => [...document.querySelectorAll(
    "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")]
  .filter(element => !element.dataset.visit && !element.disabled && element.tabIndex >= 0
    && element.checkVisibility({visibilityProperty: true, opacityProperty: true}) && !element.closest("[inert]"))
  .map(element => element.tagName.toLowerCase() + " " + element.textContent.trim().slice(0, 40))"""
"""Controls that are seen and that the Tab key did not reach."""

PICTURES = """() => [...document.querySelectorAll("figure img[alt]:not([alt=''])")].map(picture => {
  const said = picture.getAttribute("width") / picture.getAttribute("height");
  return {name: picture.alt, said, seen: picture.clientWidth / picture.clientHeight};
}).filter(({said, seen}) => Math.abs(seen / said - 1) > 0.02)"""
"""Pictures in other proportions than their attributes say."""


def check(page: Page, axe: str, *, keyboard: bool) -> Iterator[tuple[bool, str]]:
    """Yield what is wrong with a page, and whether it is grave."""
    page.evaluate(axe)
    found = page.evaluate("tags => axe.run({runOnly: tags})", TAGS)
    for violation in found["violations"]:
        places = [" ".join(map(str, node["target"])) for node in violation["nodes"]]
        more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
        grave = violation["impact"] in GRAVE
        yield grave, f"{violation['impact']} {violation['id']}: {violation['help']}: {'; '.join(places[:SHOWN])}{more}"
        for node in violation["nodes"][:1]:
            yield False, "  " + " ".join(str(node["failureSummary"]).split())[:300]
    width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if width > 0:
        yield True, f"the page is {width} pixels wider than the window"
    for picture in page.evaluate(PICTURES):
        yield True, f"picture {picture['name']}: {picture['seen']:.3g} to 1 instead of {picture['said']:.3g}"
    if keyboard:
        yield from _walk(page)


def _walk(page: Page) -> Iterator[tuple[bool, str]]:
    """Yield what is wrong with the way of the Tab key through a page."""
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    visited: set[str] = set()
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        page.wait_for_timeout(5)
        focus: dict[str, Any] | None = page.evaluate(FOCUS)
        if focus is None or focus["visit"] in visited:
            page.wait_for_timeout(SLIDES)  # on a busy machine the focus comes late
            focus = page.evaluate(FOCUS)
        if focus is None or focus["visit"] in visited:
            break
        visited.add(focus["visit"])
        if not focus["inside"]:
            page.wait_for_timeout(SLIDES)
            focus = page.evaluate(FOCUS) or focus
        if not focus["inside"]:
            yield True, f"keyboard: {focus['name']} has the focus outside of the window"
        if not focus["marked"]:
            yield True, f"keyboard: {focus['name']} has the focus and is not marked"
    else:
        return  # so many controls that the rest is not walked
    for name in page.evaluate(MISSED)[:SHOWN]:
        yield True, f"keyboard: {name} is not reached"


# ------------------------------------------------------------------------------------------------- the command line


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Yield the address of a server of a folder, on this machine only."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def check_all(browser: Browser, folder: Path, names: Sequence[str], axe: str, screenshots: Path | None) -> bool:
    """Print what is wrong with the pages of a folder; return whether any of it is grave."""
    any_grave = False
    with served(folder) as address:
        for name in names:
            seen: dict[str, list[str]] = {}
            for width_name, width in WIDTHS.items():
                for scheme in SCHEMES:
                    context = browser.new_context(
                        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
                    )
                    page = context.new_page()
                    page.goto(f"{address}/{name}", wait_until="load")
                    page.evaluate("document.querySelectorAll('main details').forEach(one => { one.open = true; })")
                    page.wait_for_timeout(300)
                    if screenshots:
                        title = name.replace("/", "_").removesuffix(".html")
                        file = screenshots / f"{title}_{width_name}_{scheme}.png"
                        page.screenshot(path=file, full_page=True, timeout=SLOW)
                    for grave, text in check(page, axe, keyboard=scheme == "light"):
                        any_grave = any_grave or grave
                        seen.setdefault(("!" if grave else " ") + " " + text, []).append(f"{width_name} {scheme}")
                    context.close()
            print(f"{name}: {'nothing found' if not seen else ''}")
            for text, where in seen.items():
                print(f"  {text} ({', '.join(where)})")
    return any_grave


def main() -> int:
    """Check pages; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=Path)
    parser.add_argument("--axe", type=Path, help="axe.min.js; that of axe-playwright-python if not given")
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    parser.add_argument("--screenshots", type=Path, help="folder for pictures of the whole pages")
    arguments = parser.parse_args()
    if arguments.screenshots:
        arguments.screenshots.mkdir(parents=True, exist_ok=True)
    axe_file = arguments.axe or files("axe_playwright_python").joinpath("axe.min.js")
    axe = axe_file.read_text("utf-8")
    any_grave = False
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        if not arguments.pages:
            make_pages(Path(temporary))
            arguments.pages = [Path(temporary) / "pages"]
        browser = playwright.chromium.launch(
            executable_path=arguments.chromium, args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        print(f"axe-core {json.dumps(_version(browser, axe))}, Chromium {browser.version}")
        for path in arguments.pages:
            folder = path if path.is_dir() else path.parent
            found = sorted(path.rglob("*.html")) if path.is_dir() else [path]
            names = [file.relative_to(folder).as_posix() for file in found]
            any_grave |= check_all(browser, folder, names, axe, arguments.screenshots)
        browser.close()
    return int(any_grave)


def _version(browser: Browser, axe: str) -> str:
    page = browser.new_page()
    page.evaluate(axe)
    version: str = page.evaluate("axe.version")
    page.close()
    return version


if __name__ == "__main__":
    sys.exit(main())
