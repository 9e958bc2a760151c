"""The command line: parse, make `Settings`, one call, print. It has no logic of its own.

Results go to standard output, everything else to standard error. Nothing heavy is imported before
the arguments are understood, so that ``--help`` answers at once.

A file imports only from those that are named before it:

- `printing`: what is printed, and where
- `briefly`: options in few words
- `progress`: how far a command is
- `parsing`: the parser, which guesses what was meant
- `common`: what the commands share
- `surroundings`: what a process finds around it
- `scheduling`: the options that name a cluster
- `sources`: the options that say what the sources are
- `completion`: what makes a shell complete
- `decompose`: a recording becomes components
- `evaluate`: stems against the true ones
- `info`: a file in words
- `learn`: recordings of a source become templates
- `notes`: a recording becomes notes
- `regroup`: components become stems, grouped by hand
- `remix`: a recording with a gain for each source
- `denoise`: a recording with a steady noise made softer
- `mosaic`: a recording retold with the grains of others
- `morph`: the sound between two recordings
- `oneshots`: the strokes of a loop as samples
- `rerun`: the stems of a manifest, made again
- `stream`: a signal taken apart while it is played
- `studio`: a local page
- `telling`: how a batch is told of
- `separate`: a recording becomes stems
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from audionmf import __version__
from audionmf.cli.common import Parser, discard_output, fail, say, standard_input, writing
from audionmf.cli.parsing import add_help
from audionmf.cli.printing import put
from audionmf.cli.surroundings import keep_code, share_memory, tidy
from audionmf.errors import AudioNMFWarning, OutputError, exit_code
from audionmf.io.signals import ending_by

__all__ = ["main", "main_parser"]

_TERMINATED = 143
_INTERRUPTED = 130

_MAIN_EXAMPLES = """\
examples:
  audionmf separate mix.wav
      the sources that can be told apart, found by themselves
  audionmf separate song.wav --lead
      a singer or soloist, and the accompaniment
  audionmf separate mix.wav --example violin=violin.wav --example piano=piano.wav
      you have seconds of each instrument alone
  audionmf decompose mix.wav --n-components 16
  audionmf regroup decomposed/mix/model.npz --group bass=0,3,7 --group keys=1,2

exit codes:
  0 done      1 some of several inputs failed, or an unexpected error
  2 a wrong option     3 input that cannot be read or worked on
  4 output that cannot be written     5 a template or model file refused
  6 over a limit       7 the output folder is in use by another run
  130 interrupted      143 terminated     141 the reader of a pipe is gone
"""


class _TerminatedError(KeyboardInterrupt):
    """A signal arrived that ends a run."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; default: those of the process.

    Returns
    -------
    int
        The exit code.
    """
    tidy()
    try:
        try:
            given = sys.argv[1:] if arguments is None else list(arguments)
            options = main_parser(*_alone(given)).parse_args(given)
        finally:
            with writing():
                sys.stdout.flush()  # a help text
    except BrokenPipeError as error:
        return _reader_gone(error)
    except OutputError as error:
        return fail(error, debug=False)
    try:
        with (
            ending_by(_terminate),
            _warnings_shown(strict=options.strict),
            _notices_shown(options),
            standard_input(options),
            _hushed(options),
        ):
            share_memory()
            if remark := keep_code():
                say(f"warning: {remark}")
            code: int = options.run(options)
        with writing():
            sys.stdout.flush()
    except BrokenPipeError as error:
        return _reader_gone(error)
    except _TerminatedError:
        return _TERMINATED
    except KeyboardInterrupt:
        say("interrupted; no file is left half-written")
        return _INTERRUPTED
    except Exception as error:
        return fail(error, debug=options.debug)
    return code


class _Notices(logging.Handler):
    """Prints what the library logs as one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        if sys.stderr.isatty():  # there is a line of progress
            put("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
        say(f"note: {record.getMessage()}")


@contextlib.contextmanager
def _notices_shown(options: Any) -> Iterator[None]:
    """Print what the library logs, unless nothing is to be told, or programs are."""
    quiet = options.quiet or getattr(options, "progress", "auto") != "auto"
    handler = logging.NullHandler() if quiet else _Notices()
    logger = logging.getLogger("audionmf")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextlib.contextmanager
def _hushed(options: Any) -> Iterator[None]:
    """With --quiet, let results go nowhere but those that a program or a pipe wants."""
    if not options.quiet or options.json or getattr(options, "out", None) == "-":
        yield
        return
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        yield


def _reader_gone(error: BrokenPipeError) -> int:
    discard_output()
    return exit_code(error)


def _terminate(*_: object) -> NoReturn:
    raise _TerminatedError


@contextlib.contextmanager
def _warnings_shown(*, strict: bool) -> Iterator[None]:
    """Print the package's warnings as one line each, once; with `strict` they are errors."""
    shown = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        text = str(message)
        if not isinstance(message, AudioNMFWarning):  # some libraries put a traceback behind it
            text = text.partition("\n")[0]
        if text not in shown:
            say(f"warning: {text}")
            shown.add(text)

    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "always", AudioNMFWarning)
        warnings.showwarning = show
        yield


_COMMANDS = (
    "separate", "remix", "denoise", "learn", "decompose", "regroup", "rerun", "notes", "oneshots",
    "mosaic", "morph", "stream", "studio", "evaluate", "info", "completion",
)  # fmt: skip
"""In the order of the help. Each is a module of this wing, loaded where it is needed."""


def _alone(given: Sequence[str]) -> list[str]:
    """Return the command that some arguments are for, if it need not know the others."""
    return [name for name in given[:1] if name in _COMMANDS and name != "completion"]


@functools.cache
def main_parser(*names: str) -> Parser:
    """Return the parser of the command line, whose `commands` has that of each command.

    Parameters
    ----------
    *names : str
        The commands that it knows, if it need not know them all: each has some dozen options.
    """
    parser = Parser(
        prog="audionmf",
        description="Take a recording apart: source separation and spectral templates with NMF.",
        epilog=_MAIN_EXAMPLES,
    )
    add_help(parser)
    parser.add_argument("--version", action="version", version=f"audionmf {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    parser.commands = commands
    for name in names or _COMMANDS:
        importlib.import_module(f"audionmf.cli.{name}").add(commands)
    return parser
