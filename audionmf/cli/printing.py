"""What is printed: results on standard output, everything else on standard error."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import sys
import traceback
from collections.abc import Iterator
from typing import Any

from audionmf.errors import AudioNMFError, OutputError, exit_code

__all__ = [
    "discard_output",
    "fail",
    "print_json",
    "printable",
    "put",
    "say",
    "show",
    "show_lines",
    "writing",
]

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What moves a cursor, starts a command of the terminal, breaks a line or turns text around."""
_PLAIN = str.maketrans({"♯": "#", "–": "-", "…": "...", "×": "x"})
"""Signs that not every terminal has, and what is read better there than an escape."""


def say(text: str) -> None:
    """Print a line for people on standard error, if there is anybody to read it."""
    put(f"audionmf: {printable(text)}\n")


def put(text: str) -> None:
    """Write text as it is on standard error, at once; work goes on where nobody can read it."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def show(text: str, *, flush: bool = False) -> None:
    """Print a line on standard output.

    Raises
    ------
    BrokenPipeError
        If its reader is gone.
    OutputError
        If it cannot be written for another reason.
    """
    with writing():
        print(printable(text), flush=flush)


def show_lines(text: str) -> None:
    """Print several lines on standard output; raises what `show` does."""
    for line in text.split("\n"):
        show(line)


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Tell what goes wrong with standard output as an error of this package."""
    try:
        yield
    except (AudioNMFError, BrokenPipeError):
        raise
    except OSError as error:
        discard_output()
        raise OutputError(
            error.errno or errno.EIO, f"standard output could not be written: {error.strerror}"
        ) from error


def discard_output() -> None:
    """Have what is still to be written go nowhere.

    The interpreter would write it once more when it ends, and fail again.
    """
    _discard(sys.stdout)


def _discard(stream: Any) -> None:
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, stream.fileno())
    os.close(descriptor)


def printable(text: str) -> str:
    """Return text as one line that any terminal can show and that does nothing to it.

    Names need not be valid in any encoding, and may hold what a terminal takes for a command.
    """
    encoding = sys.stdout.encoding or "ascii"
    safe = _UNSAFE.sub(lambda match: _escaped(match[0]), text)
    try:
        safe.encode(encoding)
    except UnicodeEncodeError:
        safe = safe.translate(_PLAIN)
    return safe.encode(encoding, "backslashreplace").decode(encoding)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def fail(error: Exception, *, debug: bool) -> int:
    """Print an error as one line, and return its exit code."""
    if debug:
        for line in "".join(traceback.format_exception(error)).splitlines():
            put(f"{printable(line)}\n")
    say(f"error: {_message(error, debug=debug)}")
    return exit_code(error)


def _message(error: Exception, *, debug: bool) -> str:
    from audionmf.io.files import in_a_line

    return in_a_line(
        error,
        little_memory="close other programs, or take fewer components",
        unexpected="" if debug else "; run again with --debug and report it",
    )


def print_json(value: dict[str, Any]) -> None:
    """Print a result for programs, as one line."""
    show(json.dumps(value))
