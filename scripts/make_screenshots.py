#!/usr/bin/env python3
"""Take the screenshots of the docs: the studio and a report, with Chromium, from the sample trio.

make_screenshots.py AUDIO_SAMPLES_FOLDER OUTPUT_FOLDER

Needs playwright, Pillow and a Chromium; CHROMIUM may name its program.
"""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

TRIO = ("bassoon", "harp", "oboe")
STUDIO_SIZE = {"width": 1280, "height": 720}
REPORT_SIZE = {"width": 1280, "height": 1640}
LOUDNESS_MS = 120_000
AUDIONMF = (sys.executable, "-m", "audionmf")
FLAGS = ("--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required")


def main(samples: Path, output: Path) -> None:
    """Take studio.png and report.png, and both in dark."""
    program = (
        os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    )
    if program is None:
        sys.exit(f"{sys.argv[0]}: there is no Chromium; name it with CHROMIUM")
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        track = Path(folder, "trio.wav")
        shutil.copy(samples / "trio" / "mixture.wav", track)
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        written = report(track, samples, Path(folder))
        for scheme, ending in (("light", ""), ("dark", "-dark")):
            page = browser.new_page(color_scheme=scheme)
            with served(track) as address:
                show_studio(page, address, samples)
                keep(page, output / f"studio{ending}.png")
            show_report(page, written)
            keep(page, output / f"report{ending}.png")
            page.close()
        browser.close()


def keep(page: Page, path: Path) -> None:
    """Write what the page shows, in 256 colours: a third of the bytes, and hardly to be told."""
    shown = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    shown.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


@contextlib.contextmanager
def served(track: Path) -> Iterator[str]:
    """Run a studio, and give its address."""
    command = [*AUDIONMF, "studio", "--no-browser", "--json", str(track)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield json.loads((process.stdout or sys.exit()).readline())["address"]
        finally:
            process.terminate()


def show_studio(page: Page, address: str, samples: Path) -> None:
    """Take the trio apart by its examples, and look at where the oboe is."""
    page.set_viewport_size(STUDIO_SIZE)
    page.goto(address)
    page.get_by_label("By what you know").check()
    page.get_by_role("button", name="Add a source").click()
    for i, name in enumerate(TRIO):
        card = page.locator(".known .source").nth(i)
        card.locator("input[type=file]").set_input_files(example(samples, name))
        card.locator(".chip").wait_for()
    page.get_by_label("What comes out").select_option("components")
    page.get_by_label("Components for each source").select_option("6")
    page.get_by_role("button", name="Take it apart").click()
    page.locator(".row").first.wait_for()
    for i in range(len(TRIO)):  # how loud each is comes last
        page.locator("li.source").nth(i).get_by_text("LUFS").wait_for(timeout=LOUDNESS_MS)
    page.locator("li.source", has=page.get_by_role("button", name="Mute oboe")).hover()
    page.wait_for_load_state("networkidle")


def report(track: Path, samples: Path, folder: Path) -> Path:
    """Separate the trio with a report, and return its page."""
    examples = [w for name in TRIO for w in ("--example", f"{name}={example(samples, name)}")]
    command = [*AUDIONMF, "separate", str(track), *examples, "--report", "-o", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / "trio" / "report.html"


def show_report(page: Page, path: Path) -> None:
    """Go to a place in a report."""
    page.set_viewport_size(REPORT_SIZE)
    page.goto(path.as_uri())
    page.locator(".lane").first.click(position={"x": 300, "y": 10})
    page.get_by_role("heading", name="trio").click()


def example(samples: Path, name: str) -> Path:
    """Return the recording of an instrument alone."""
    return samples / "trio" / "examples" / f"{name}.flac"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
