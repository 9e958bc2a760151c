#!/usr/bin/env python3
"""Measure the studio in Chromium as the one who uses it feels it: keys, first sounds, changes, memory.

benchmark_studio.py RECORDING [--seconds 240] [--components 24] [--runs 5] [--others 63]
                    [--only keys|names|ear|many]

The recording is repeated or cut to so many seconds, in stereo. From the page's first view it is taken
apart into three stems and these are saved, by keys alone, which are counted; with the names that were
found, and with others, each of which is typed, an action like a key. Then it is taken apart
into components, and measured in milliseconds are: from a click or a key to the first sound, from a
change of group or gain to what is heard of it and to the next picture, from the end of a stroke to the
first sound of what it found. What is heard is what reaches the output of the page's AudioContext.
Refining is measured beside the first analysis, and the memory of the server (resident, in MiB) after
strokes, and with so many other recordings open.

Needs playwright and a Chromium; CHROMIUM may name its program.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import benchmark_whole
import numpy as np
from playwright.sync_api import Browser, Locator, Page, sync_playwright

FLAGS = ("--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required")
PATIENCE = 300_000
N_STROKES = 8
EAR = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (target, ...rest) {
  if (target === this.context.destination) {
    const tap = new AnalyserNode(this.context, { fftSize: 256 });
    const samples = new Float32Array(256);
    connect.call(this, tap);
    window.loud = (least) => {
      tap.getFloatTimeDomainData(samples);
      return samples.some((x) => Math.abs(x) > least);
    };
  }
  return connect.call(this, target, ...rest);
};
const post = MessagePort.prototype.postMessage;
const nodes = new Set();
window.nodes = 0; // that play, and have something to play
MessagePort.prototype.postMessage = function (message, ...rest) {
  if (message.pcm && !nodes.has(this)) window.nodes = nodes.add(this).size;
  return post.call(this, message, ...rest);
};
const soon = (task) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = task;
  post.call(port2, 0);
};
// From the next event of a kind: milliseconds until the next picture, and until something is so.
window.listen = (kind, so) => {
  window.heard = window.seen = null;
  addEventListener(kind, ({ timeStamp }) => {
    requestAnimationFrame(() => soon(() => { window.seen = performance.now() - timeStamp; }));
    const look = () => {
      if (so()) window.heard = performance.now() - timeStamp;
      else soon(look);
    };
    soon(look);
  }, { capture: true, once: true });
};
"""
# What is out is exactly nothing, and what is heard may begin with a rest: loud it is when the music is.
SOUND, LOUD = "() => window.loud?.(0)", "() => window.loud?.(1e-3)"
SILENCE = "() => !window.loud?.(1e-3)"


def main() -> None:
    """Print what was measured, a line each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recording", type=Path)
    for name, default in (("seconds", 240), ("components", 24), ("runs", 5), ("others", 63)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--only", choices=("keys", "names", "ear", "many"))
    options = parser.parse_args()
    program = (
        os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    )
    if program is None:
        sys.exit(f"{sys.argv[0]}: there is no Chromium; name it with CHROMIUM")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        song = Path(folder, "song.wav")
        benchmark_whole.write_long(options.recording, song, options.seconds)
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        others = [Path(folder, f"{n}.wav") for n in range(options.others)]
        for other in others:
            other.hardlink_to(song)
        parts = {
            "keys": ([song], lambda page, _: by_keys(page)),
            "names": ([song], lambda page, _: by_keys(page, ("bass", "drums", "keys"))),
            "ear": ([song], lambda page, process: by_ear(page, process, options)),
            "many": ([song, *others], many),
        }
        for name, (recordings, measure) in parts.items():
            if options.only in (None, name):
                with served(Path(folder), *recordings) as (address, process):
                    measure(opened(browser, address), process)
        browser.close()


@contextlib.contextmanager
def served(folder: Path, *recordings: Path) -> Iterator[tuple[str, int]]:
    """Run a studio; give its address and the number of its process."""
    command = [sys.executable, "-m", "audionmf", "studio", "--no-browser", "--no-keep", "--json"]
    with subprocess.Popen(
        [*command, *map(str, recordings)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(folder)},
    ) as process:
        try:
            yield json.loads((process.stdout or sys.exit()).readline())["address"], process.pid
        finally:
            process.terminate()


def opened(browser: Browser, address: str) -> Page:
    """Open the page, with an ear in it."""
    page = browser.new_context(viewport={"width": 1280, "height": 720}).new_page()
    page.set_default_timeout(PATIENCE)
    page.add_init_script(EAR)
    page.goto(address)
    page.wait_for_selector(".setup, .start")
    return page


def by_keys(page: Page, wanted: tuple[str, ...] = ()) -> None:
    """From the opened recording to three stems in an archive, with names that are found or typed."""
    keys: list[str] = []

    def press(key: str) -> None:
        keys.append(key)
        page.keyboard.press(key)

    begin = time.perf_counter()
    press("3")
    press("Enter")
    page.wait_for_selector(".row")
    apart = time.perf_counter() - begin
    press("e")
    page.wait_for_selector("dialog")
    for n, name in enumerate(wanted):
        if n:
            press("Tab")
        keys.append(f'"{name}"')
        page.keyboard.type(name)
    with page.expect_download() as download:
        press("Enter")
    with zipfile.ZipFile(download.value.path()) as archive:
        names = archive.namelist()
    saved = time.perf_counter() - begin
    print(f"{len(keys)} actions: {' '.join(keys)}; stems: {', '.join(names)}")
    print(f"taken apart after {apart:.1f} s, saved after {saved:.1f} s", flush=True)
    page.context.close()


def by_ear(page: Page, process: int, options: argparse.Namespace) -> None:
    """First sounds, changes, strokes, refining, memory."""
    first_sounds(page, "before it is taken apart", page.locator(".waveform"), options.runs)
    page.get_by_label("Into components").check()
    page.get_by_label("Number of components").fill(str(options.components))
    begin = time.perf_counter()
    page.get_by_role("button", name="Take it apart").click()
    page.wait_for_selector(".row")
    first = time.perf_counter() - begin
    print(f"first analysis, {options.components} components: {first:.1f} s")
    memory(process, "taken apart")
    for n in range(options.runs):
        page.evaluate(f"listen('click', {SOUND})")
        page.locator(".row .hear").nth(n + 2).click()
        told("first sound of a component alone", page, n == options.runs - 1)
        page.get_by_role("button", name="Hear all").click()
        silence(page)
    first_sounds(page, "at any place", page.locator(".picture"), options.runs)
    changes(page, options.runs)
    strokes(page, process, options.runs)
    begin = time.perf_counter()
    page.get_by_role("button", name="Refine with").click()
    page.wait_for_selector("dialog")
    page.wait_for_selector("dialog", state="detached")
    again = time.perf_counter() - begin
    print(f"refining: {again:.1f} s, {again / first:.2f} of the first analysis")
    memory(process, "refined")
    page.context.close()


def first_sounds(page: Page, name: str, place: Locator, runs: int) -> None:
    """Play at places of which nothing was fetched yet."""
    box = place.bounding_box() or sys.exit("nothing is seen")
    for n, spot in enumerate(np.linspace(0.15, 0.85, runs)):
        place.click(position={"x": box["width"] * float(spot), "y": 20})
        page.evaluate(f"listen('click', {SOUND})")
        page.get_by_role("button", name="Play", exact=True).click()
        told(f"first sound {name}", page, n == runs - 1)
        silence(page)


def changes(page: Page, runs: int) -> None:
    """Change groups and gains while it plays."""
    page.get_by_role("button", name="Group rest by timbre").click()
    page.wait_for_selector("li.source:nth-child(4)")
    page.get_by_role("button", name="New source").click()
    page.keyboard.press("Escape")
    empty = page.locator("input.name").count()
    page.get_by_role("button", name="Loop", exact=True).click()
    page.get_by_role("button", name="Play", exact=True).click()
    until(page, "window.loud?.(0)")
    page.get_by_role("button", name=f"Solo Source {empty}").click()
    row = page.locator(".row .hear").first
    undo = page.get_by_role("button", name="Undo")
    fader = page.get_by_label("Gain of Source 1 ")
    for n in range(runs):
        until(page, "!window.loud(0)")
        row.focus()
        page.evaluate(f"listen('keydown', {SOUND})")
        page.keyboard.press(str(empty))
        told("a component put into a source", page, n == runs - 1)
        page.evaluate(f"listen('click', {SILENCE})")
        undo.click()
        told("and taken out again", page, n == runs - 1)
    page.get_by_role("button", name="Hear all").click()
    page.get_by_role("button", name="Solo Source 1").click()
    for n in range(runs):
        fader.focus()
        page.keyboard.press("Home")
        until(page, "!window.loud(1e-3)")
        page.evaluate(f"listen('input', {LOUD})")
        page.keyboard.press("End")
        told("a fader moved", page, n == runs - 1)
        undo.click()
    page.get_by_role("button", name="Hear all").click()


def strokes(page: Page, process: int, runs: int) -> None:
    """Paint while it plays: the first sound of what each stroke found."""
    page.locator(".picture").focus()
    page.keyboard.press("b")
    page.get_by_label("Tool").select_option("brush")
    box = page.locator(".picture").bounding_box() or sys.exit("nothing is seen")
    for n in range(N_STROKES):
        x, y = box["x"] + 40 + 50 * n, box["y"] + 40 + 10 * (n % 8)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 40, y + 30, steps=4)
        now = page.evaluate("window.nodes")
        page.evaluate(f"listen('pointerup', () => window.nodes > {now})")
        page.mouse.up()
        told("a stroke, until what it found sounds", page, n == N_STROKES - 1)
        if n in (0, N_STROKES - 1):
            until(page, "!document.querySelector('.mark-tools [role=status]').textContent")
            memory(process, f"after {n + 1} stroke{'s' if n else ''}")
    page.get_by_role("button", name="Pause").click()


def many(page: Page, process: int) -> None:
    """Open all that the command line offers."""
    memory(process, "one recording")
    n = page.evaluate(
        """async () => {
          const { offered } = await (await fetch('/api/state')).json();
          const files = offered.filter((item) => !item.sample);
          for (const { id } of files) await fetch(`/api/offered/${id}`, { method: 'POST' });
          return (await (await fetch('/api/state')).json()).recordings.length;
        }"""
    )
    memory(process, f"{n} recordings")
    page.context.close()


_measured: dict[str, list[tuple[float, float]]] = {}


def told(name: str, page: Page, last: bool) -> None:
    """Take one measurement, and print the median and the worst of all after the last."""
    until(page, "window.heard !== null && window.seen !== null")
    _measured.setdefault(name, []).append(tuple(page.evaluate("[window.heard, window.seen]")))
    if not last:
        return
    for word, values in zip(("heard", "seen"), zip(*_measured[name], strict=True), strict=True):
        middle, worst = statistics.median(values), max(values)
        print(f"{name}: {word} after {middle:.0f} ms, at worst {worst:.0f}", flush=True)


def memory(process: int, name: str) -> None:
    """Print the memory of the server, where the system tells it."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) >> 10 for line in lines if "kB" in line}
        print(f"memory, {name}: {sizes['VmRSS']} MiB, at most {sizes['VmHWM']}", flush=True)


def silence(page: Page) -> None:
    """Pause, and wait until nothing sounds."""
    page.get_by_role("button", name="Pause", exact=True).click()
    until(page, "!window.loud?.(0)")


def until(page: Page, condition: str) -> None:
    """Wait for a condition in JavaScript; the page's policy forbids what Playwright does for it."""
    page.evaluate(
        f"""async () => {{
          while (!({condition})) await new Promise((resolve) => setTimeout(resolve, 5));
        }}"""
    )


if __name__ == "__main__":
    main()
