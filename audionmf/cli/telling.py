"""How a batch is told of: a line that moves at a terminal, and what came of each file."""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from audionmf.cli.common import printable, report, say, show, show_lines, writing

if TYPE_CHECKING:
    from audionmf.batch.perform import Outcome
    from audionmf.batch.run import BatchReport, State

__all__ = ["Teller"]

_WIDTH = 20
_STAGE_WIDTH = 36


class Teller:
    """Tells of a batch as it goes.

    Parameters
    ----------
    options : argparse.Namespace
        Of the command.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._shown = sys.stderr.isatty()
        self._last = ""
        self._lock = threading.RLock()  # several workers are heard at a time

    def progress(self, state: State) -> None:
        """Draw how far it is, at a terminal only."""
        if not self._shown:
            return
        filled = round(state.share * _WIDTH)
        count = f"{state.n_finished}/{state.n_files} " if state.n_files > 1 else ""
        left = "" if state.seconds_left is None else f" {_clock(state.seconds_left)} left"
        bar = f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {state.share:4.0%}"
        line = printable(f"{count}{bar}{left}  {state.current[-_STAGE_WIDTH:]} {state.done:4.0%}")
        with self._lock:
            if line != self._last:
                sys.stderr.write(f"\r{line:{len(self._last)}s}")
                sys.stderr.flush()
                self._last = line

    def clear(self) -> None:
        """Take the line away."""
        with self._lock:
            if self._last:
                sys.stderr.write("\r" + " " * len(self._last) + "\r")
                sys.stderr.flush()
                self._last = ""

    def outcome(self, outcome: Outcome) -> None:
        """Print what came of a file."""
        with self._lock:
            self.clear()
            for warning in outcome.warnings:
                say(f"warning: {warning}")
            if outcome.code:
                self._failure(outcome)
            else:
                self._success(outcome)
            with writing():
                sys.stdout.flush()

    def summary(self, done: BatchReport, path: Path | None) -> None:
        """Print what is left to say when all is over."""
        failed, n_files = done.count("failed"), len(done.outcomes)
        if failed:
            say(f"{failed} of {n_files} inputs failed; {str(path)!r} lists them")
        if left := done.count("not run"):
            say(f"{left} of {n_files} inputs were not come to")

    def _failure(self, outcome: Outcome) -> None:
        if self._options.debug:
            for line in outcome.details.splitlines():
                sys.stderr.write(f"{printable(line)}\n")
        hint = "; run again with --debug and report it"
        known = self._options.debug or "unexpected " not in outcome.message
        say(f"error: {outcome.message}{'' if known else hint}")

    def _success(self, outcome: Outcome) -> None:
        from audionmf.rendering.stems import StemFiles

        stems = StemFiles({name: Path(p) for name, p in outcome.stems.items()}, outcome.gain)
        details = {
            "divergence": outcome.divergence,
            "trust": outcome.trust,
            "manifest": outcome.manifest,
            "state": outcome.state,
        }
        if outcome.remarks:
            details["remarks"] = outcome.remarks
        if outcome.alignment is not None:
            details["alignment"] = outcome.alignment
        others = [Path(path) for path in (outcome.report, *outcome.exports) if path]
        report(self._options, outcome.input, stems, details, others)
        if self._options.json:
            return
        for remark in outcome.remarks:
            show(f"  {remark}")
        if outcome.alignment_text:
            show(f"  {outcome.alignment_text}")
        if outcome.trust_text:
            show_lines(outcome.trust_text)
        else:
            show("  finished before")


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
