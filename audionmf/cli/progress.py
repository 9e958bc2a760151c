"""How far a command is: a line that moves at a terminal, one every ten seconds elsewhere, or events.

With ``--progress json`` each event is a line of JSON on standard error; docs/progress.md says what is
in it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import threading
import time
from typing import TYPE_CHECKING

from audionmf.batch.pace import TimeLeft, share_done, work_after
from audionmf.cli.printing import printable, put

if TYPE_CHECKING:
    from audionmf.nmf.compiled import Compiling

__all__ = ["COMPILING", "Bar", "Display", "add_progress"]

COMPILING = "compiling kernels, once on this machine"

_CELLS = ((75, 20), (50, 8))
"""From which width on the bar has how many cells."""
_LINE_SECONDS = 10.0
_UNFINISHED = 0.99
"""The most that is said to be done, with no time left, as long as not all is."""

_USUAL_SECONDS = 60.0
"""Length that recordings are taken to have whose length is not asked for."""

_EVENT_SECONDS = 0.2
_NARROWEST = 20
_WORTH_SAYING = 1.0
"""Seconds of compiling from which on they are told at the end, at a terminal."""


def add_progress(group: argparse._ArgumentGroup) -> None:
    """Add the options that say how much is told."""
    group.add_argument(
        "-q", "--quiet", action="store_true",
        help="print nothing but warnings and errors, and what --json asks for",
    )  # fmt: skip
    group.add_argument(
        "--progress",
        choices=("auto", "json", "none"),
        default="auto",
        help="how far it is, on standard error: a line that moves at a terminal, one every 10 s "
        "elsewhere (auto), events for programs, a line of JSON each (json), or nothing (none) "
        "(default: %(default)s)",
    )


class Display:
    """Shows how far a command is.

    Parameters
    ----------
    options : argparse.Namespace
        Of the command; ``quiet`` and ``progress`` say how.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        asked = getattr(options, "progress", "auto")
        quiet = getattr(options, "quiet", False) and asked != "json"
        self._mode = "none" if quiet else asked
        if self._mode == "auto":
            self._mode = "line" if sys.stderr.isatty() else "lines"
        self._told = time.monotonic()
        self._stage = ""
        self._last = ""
        self._sent: tuple[object, ...] = ()
        self._compiled_seconds = 0.0
        self._lock = threading.RLock()  # several workers are heard at a time
        if self._mode != "none":
            from audionmf.nmf.compiled import listen_to_compiling

            listen_to_compiling(self._compiling)

    def show(
        self,
        stage: str,
        done: float,
        share: float,
        left: float | None = None,
        n_finished: int = 0,
        n_files: int = 1,
    ) -> None:
        """Show a stage with the share of it that is done, and of all; seconds left where known."""
        if share > _UNFINISHED and n_finished < n_files and self._mode != "json":
            share, left = _UNFINISHED, None
        with self._lock:
            if self._mode == "line":
                self._draw(_line(stage, done, share, left, n_finished, n_files, _columns()))
            elif self._mode == "json":
                self._event(stage, done, share, left, n_finished, n_files)
            elif self._mode == "lines" and time.monotonic() - self._told >= _LINE_SECONDS:
                self._told = time.monotonic()
                text = _line(stage, done, share, left, n_finished, n_files, None)
                put(f"audionmf: {text}\n")

    def clear(self) -> None:
        """Take the line away; say what compiling took, if there was any."""
        with self._lock:
            if self._last:
                put("\r" + " " * len(self._last) + "\r")
                self._last = ""
            least = _WORTH_SAYING if self._mode == "line" else _LINE_SECONDS
            if self._compiled_seconds >= least and self._mode != "json":
                took = f"compiled kernels in {self._compiled_seconds:.0f} s, once on this machine"
                put(f"audionmf: {took}\n")
            self._compiled_seconds = 0.0

    def _compiling(self, state: Compiling) -> None:
        """Say that kernels are compiled; it takes seconds in which nothing else is heard."""
        with self._lock:
            self._compiled_seconds = state.seconds
            text = f"{COMPILING}: {state.n_done} of {state.n_kernels}, {_clock(state.seconds)}"
            if self._mode == "line":
                self._draw(text[: _columns()])
            elif self._mode == "json":
                event = {
                    "event": "compiling", "kernels_done": state.n_done, "kernels": state.n_kernels,
                    "seconds": round(state.seconds, 1),
                }  # fmt: skip
                put(json.dumps(event) + "\n")
            elif time.monotonic() - self._told >= _LINE_SECONDS:
                self._told = time.monotonic()
                put(f"audionmf: {text}\n")

    def _draw(self, line: str) -> None:
        if line != self._last:
            put(f"\r{line:{len(self._last)}s}")
            self._last = line

    def _event(
        self, stage: str, done: float, share: float, left: float | None, finished: int, of: int
    ) -> None:
        now = time.monotonic()
        news = (stage, done, share, finished)
        if news == self._sent:  # parts of a stage that take no share of it end too
            return
        if stage == self._stage and done < 1 and now - self._told < _EVENT_SECONDS:
            return
        self._told, self._stage, self._sent = now, stage, news
        event = {
            "event": "progress", "stage": stage, "stage_done": round(done, 4),
            "done": round(share, 4), "seconds_left": None if left is None else round(left, 1),
            "files_done": finished, "files": of,
        }  # fmt: skip
        put(json.dumps(event) + "\n")


class Bar:
    """Shows how far the work on one recording is; called with a stage and the share of it done.

    Parameters
    ----------
    options : argparse.Namespace
        Of the command.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._display = Display(options)
        self._share, self._left, self._begin = 0.0, TimeLeft(), time.monotonic()
        self._first: float | None = None
        self._after = work_after(
            _USUAL_SECONDS,
            notes=bool(getattr(options, "export", ())),
            page=getattr(options, "report", False),
        )

    def __call__(self, stage: str, done: float) -> None:
        """Hear of a stage."""
        share = share_done(stage, done, _USUAL_SECONDS, self._after)
        if self._first is None:  # notes of one instrument begin where others have been analysed
            self._first = share if stage in self._after and share < 1 else 0.0
        share = (share - self._first) / (1 - self._first)
        self._share = max(self._share, share)
        elapsed = time.monotonic() - self._begin
        left = self._left.after(elapsed, self._share, 1 - self._share)
        self._display.show(stage, done, self._share, left)

    def __enter__(self) -> Bar:
        """Return the bar itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take the line away, however the work ended; the next recording begins anew."""
        self._display.clear()
        self._share, self._left, self._begin = 0.0, TimeLeft(), time.monotonic()
        self._first = None


def _columns() -> int:
    """Return how many characters a line may have, so that it never breaks."""
    return max(_NARROWEST, shutil.get_terminal_size().columns - 1)


def _line(
    stage: str,
    done: float,
    share: float,
    left: float | None,
    n_finished: int,
    n_files: int,
    width: int | None,
) -> str:
    """Return the line: with a bar where there is room for one, and cut to the width."""
    count = f"{n_finished}/{n_files} " if n_files > 1 else ""
    cells = next((cells for least, cells in _CELLS if (width or 0) >= least), 0)
    filled = round(share * cells)
    bar = f"[{'#' * filled}{'.' * (cells - filled)}] " if cells else ""
    after = "" if left is None else f" {_clock(left)} left"
    text = printable(f"{share:.0%}{after}  {stage} {done:.0%}")
    if width is None:
        return count + text
    return (count + bar + text)[:width]


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
