"""The options in few words, for helps of one screen; the full help has all that there is to say."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterable

__all__ = ["brief"]

_WORDS = {
    "--n-sources": ("N", "how many sources (default: {default})"),
    "--lead": (None, "one voice leads, called 'lead' or NAME"),
    "--templates": ("FILE...", "templates that audionmf learn made"),
    "--example": ("NAME=FILE", "a source alone: a file or folder; repeat it"),
    "--solo": ("NAME=START-END", "where a source plays alone in INPUT itself"),
    "--midi": ("FILE", "the score: a stem for each track"),
    "--only": ("NAME", "write this source and the 'rest' only"),
    "--start": ("TIME", "begin there: seconds, M:SS or H:MM:SS"),
    "--duration": ("TIME", "go on for so long (default: to the end)"),
    "--out": (None, "where to write"),
    "--format": ("KIND", "{choices}"),
    "--report": (None, "a page to hear and see what was found"),
    "--export": ("KIND,...", "write midi, labels, csv, events, raven"),
    "--map": ("NAME=KEY", "the source NAME is this drum, such as 36 or cowbell"),
    "--tempo": ("auto|BPM", "beats in a minute, for midi (default: none)"),
    "--jobs": ("N", "N files in parallel (default: 1)"),
    "--quality": ("EFFORT", "{choices} (default: balanced)"),
    "--n-components": ("N", "how many components"),
    "--group": ("NAME=0,3,7", "components of one source, or 4-9; repeat it"),
    "--quiet": (None, "print nothing but warnings and errors"),
    "--progress": ("HOW", "{choices}"),
    "--mixture": ("FILE", "where the recording is now"),
    "--root": ("FOLDER", "where to look for what is not where it was"),
    "--model": ("FILE", "a model file instead of all that"),
    "--gain": ("NAME=DB", "gain of a source in dB, such as -6 or -inf; repeat it"),
    "--noise": (None, "where the noise is heard alone"),
    "--sample-format": ("KIND", "raw input: {choices}"),
    "--dictionary": ("KIND", "frames, or nmf (default: frames)"),
    "--match": ("HOW", "{choices}"),
}
"""The value and what is said of it, by the name of the option; {choices} and {default} are those of the
command, the default as its full help tells it."""


def brief(action: argparse.Action) -> argparse.Action:
    """Return an option for a short help: a line of it, without a list of choices."""
    shown = copy.copy(action)
    found = next((_WORDS[name] for name in action.option_strings if name in _WORDS), None)
    if found is None:
        if action.option_strings:
            shown.help = (action.help or "").partition(";")[0]
        return shown
    metavar, text = found
    shown.help = text.format(choices=_listed(action.choices), default=_default(action))
    told = metavar is None or action.choices
    if told and action.default not in (None, "", False, argparse.SUPPRESS) and action.nargs != 0:
        shown.help += f" (default: {action.default})"
    elif action.default and isinstance(action.default, tuple):
        shown.help += f" (default: {','.join(action.default)})"
    if metavar is not None:
        shown.metavar, shown.choices, shown.nargs = metavar, None, None
    return shown


def _default(action: argparse.Action) -> str:
    """Return what the full help says is done without the option, up to a semicolon."""
    told = (action.help or "").rpartition("(default: ")[2].partition(")")[0]
    return told.partition(";")[0]


def _listed(choices: Iterable[object] | None) -> str:
    """Return choices as they are spoken: ``a, b or c``."""
    *most, last = map(str, choices or ("",))
    return f"{', '.join(most)} or {last}" if most else last
