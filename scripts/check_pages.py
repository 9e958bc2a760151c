"""Look at built pages in a browser as axe-core and a narrow screen see them, light and dark.

    python scripts/check_pages.py build/pages           # a page of each kind, some seconds
    python scripts/check_pages.py build/pages --all     # every page, some minutes

Told are what axe-core (Deque Systems, MPL-2.0; the package axe-playwright-python brings it) names as a
violation, what stands out of a page on its right, pictures that are not there, and what the pages ask
of other servers. Ends with 1 if there is any, with 0 if there is none, or no Chromium.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import importlib.resources
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

KINDS = (
    "index.html",
    "start.html",
    "search.html",
    "how-it-works.html",
    "quality.html",
    "examples/index.html",
    "examples/plot_drum_loop.html",
    "api/audionmf.separate.html",
)
WIDTHS = (1280, 390)
BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")

VIOLATIONS = """async () => {
  for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);  // it is laid out
  const { violations } = await axe.run(document, { resultTypes: ['violations'] });
  return violations.flatMap(one =>
    one.nodes.map(node => `${one.id}: ${one.help}: ${node.html.slice(0, 150)}`));
}"""

LAYOUT = """() => {
  const scrolls = part => ['auto', 'scroll', 'hidden'].includes(getComputedStyle(part).overflowX);
  const told = [];
  for (const part of document.querySelectorAll('article *')) {
    const box = part.getBoundingClientRect();
    if (!box.width || box.right <= innerWidth + 1) continue;
    let around = part.parentElement;
    while (around && !scrolls(around)) around = around.parentElement;
    if (!around) told.push(`stands out: ${part.outerHTML.slice(0, 150)}`);
  }
  for (const picture of document.images)
    if (picture.complete && !picture.naturalWidth) told.push(`no picture: ${picture.src}`);
  return told;
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, *_args: object) -> None:
        """Write nothing."""


def faults(folder: Path, pages: list[str], chromium: str) -> Iterator[str]:
    """Yield what is wrong with pages, a line each."""
    from playwright.sync_api import sync_playwright

    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_address[1]}/"
    axe = (
        importlib.resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            page = browser.new_page(color_scheme=scheme)
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url))  # noqa: B023
            for name in pages:
                page.goto(base + name)
                page.evaluate(axe)
                for width in WIDTHS:
                    page.set_viewport_size({"width": width, "height": 900})
                    for fault in [*page.evaluate(VIOLATIONS), *page.evaluate(LAYOUT)]:
                        yield f"{name}, {scheme}, {width} px wide: {fault}"
            for url in asked:
                if not url.startswith((base, "data:", "blob:")):
                    yield f"asks another server: {url}"
            page.close()
        browser.close()
    server.shutdown()


def main() -> int:
    """Check the pages of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all", action="store_true", help="every page, not one of each kind")
    options = parser.parse_args()
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:
        print("there is no Chromium here: the pages were not looked at", file=sys.stderr)
        return 0
    every = sorted(str(page.relative_to(options.folder)) for page in options.folder.rglob("*.html"))
    told = sorted(set(faults(options.folder, every if options.all else list(KINDS), chromium)))
    print("\n".join(told) or "the pages pass", file=sys.stderr if told else sys.stdout)
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
