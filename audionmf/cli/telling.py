"""How a batch is told of: a line that moves at a terminal, and what came of each file."""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from audionmf.cli.common import printable, report, say, show, show_lines, writing
from audionmf.cli.printing import put
from audionmf.cli.progress import Display

if TYPE_CHECKING:
    from audionmf.batch.perform import Outcome
    from audionmf.batch.run import BatchReport, State

__all__ = ["Teller"]


class Teller:
    """Tells of a batch as it goes.

    Parameters
    ----------
    options : argparse.Namespace
        Of the command.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._display = Display(options)
        self._lock = threading.RLock()  # several workers are heard at a time

    def progress(self, state: State) -> None:
        """Show how far it is."""
        self._display.show(
            state.current, state.done, state.share, state.seconds_left, state.n_finished,
            state.n_files,
        )  # fmt: skip

    def clear(self) -> None:
        """Take the line away."""
        self._display.clear()

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
                put(f"{printable(line)}\n")
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
