"""What the commands share: how they print, report, and take options."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import errno
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from audionmf.errors import AudioNMFError, AudioNMFWarning, OutputError, ParameterError, exit_code
from audionmf.settings import QUALITIES, Settings

__all__ = [
    "Bar",
    "Named",
    "Parser",
    "add_export",
    "add_inputs",
    "add_output",
    "add_report",
    "add_settings",
    "add_subtype",
    "announce",
    "command",
    "discard_output",
    "drum_keys_of",
    "each",
    "fail",
    "named_inputs",
    "print_json",
    "printable",
    "report",
    "say",
    "settings_of",
    "show",
    "show_lines",
    "standard_input",
    "writing",
]

T = TypeVar("T")

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What moves a cursor, starts a command of the terminal, breaks a line or turns text around."""


def say(text: str) -> None:
    """Print a line for people on standard error, if there is anybody to read it."""
    try:
        print(f"audionmf: {printable(text)}", file=sys.stderr)
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
    return safe.encode(encoding, "backslashreplace").decode(encoding)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


class Bar:
    """A progress line on standard error, at a terminal only."""

    _WIDTH = 28

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._last = ""

    def __call__(self, stage: str, done: float) -> None:
        """Draw the share of a stage that is done."""
        if not self._shown:
            return
        filled = round(done * self._WIDTH)
        line = f"{stage[:24]:24s} [{'#' * filled}{'.' * (self._WIDTH - filled)}] {done:4.0%}"
        if line != self._last:
            sys.stderr.write(f"\r{printable(line)}")
            sys.stderr.flush()
            self._last = line

    def clear(self) -> None:
        """Take the line away."""
        if self._last:
            sys.stderr.write("\r" + " " * len(printable(self._last)) + "\r")
            self._last = ""


def fail(error: Exception, *, debug: bool) -> int:
    """Print an error as one line, and return its exit code."""
    if debug:
        for line in "".join(traceback.format_exception(error)).splitlines():
            sys.stderr.write(f"{printable(line)}\n")
    say(f"error: {_message(error, debug=debug)}")
    return exit_code(error)


def _message(error: Exception, *, debug: bool) -> str:
    if isinstance(error, AudioNMFError | AudioNMFWarning):
        text = str(error)
    elif isinstance(error, FileNotFoundError) and not isinstance(error.filename, str | bytes):
        text = "the current folder is not there any more; change to another one and run again"
    elif isinstance(error, FileNotFoundError):
        text = f"{os.fsdecode(error.filename)!r}: there is no such file; check the path"
    elif isinstance(error, MemoryError):
        text = "there is not enough memory; close other programs, or take fewer components"
    else:
        hint = "" if debug else "; run again with --debug and report it"
        text = f"unexpected {type(error).__name__}: {error}{hint}"
    return " ".join(text.splitlines())


class Named(NamedTuple):
    """A recording, the folder that its outputs go below, and what it is called if not as its file."""

    path: str
    folder: str
    track: str


def named_inputs(options: argparse.Namespace) -> list[Named]:
    """Return the inputs and what is in the folders among them; those of one name are told apart."""
    from audionmf.batch.run import distinct_tracks, find_audio

    found = find_audio(options.input, options.out)
    return [
        Named(path, str(Path(options.out, below)), track)
        for (path, below), track in zip(found, distinct_tracks(found), strict=True)
    ]


def each(options: argparse.Namespace, inputs: Sequence[T], work: Callable[[T], None]) -> int:
    """Do the work for each input; with several, one that fails does not stop the rest."""
    failed = 0
    for given in inputs:
        try:
            work(given)
        except (AudioNMFError, AudioNMFWarning, FileNotFoundError, MemoryError) as error:
            if len(inputs) == 1:
                raise
            fail(error, debug=options.debug)
            failed += 1
    if failed:
        say(f"{failed} of {len(inputs)} inputs failed")
    return 1 if failed else 0


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings that were given on the command line."""
    names = {"quality", *(field.name for field in dataclasses.fields(Settings))}
    given = {name: value for name, value in vars(options).items() if name in names}
    return Settings.from_options(**given)


def announce(options: argparse.Namespace) -> None:
    """Print the absolute output folder, before anything is computed."""
    if not options.json:
        show(str(Path(options.out).absolute()), flush=True)


def report(
    options: argparse.Namespace,
    path: str,
    stems: Any,
    details: dict[str, Any],
    others: Sequence[Path] = (),
) -> None:
    """Print what was written for one input."""
    if stems.gain != 1:
        say(f"all stems of {path!r} were scaled by {stems.gain:.6f}, or one would have clipped")
    if options.json:
        files = {name: str(file) for name, file in stems.paths.items()}
        print_json(
            {
                "input": path,
                "stems": files,
                "gain": stems.gain,
                "files": [str(other) for other in others],
                **details,
            }
        )
        return
    for file in [*stems.paths.values(), *others]:
        show(f"  {os.path.relpath(file, options.out)}")


def print_json(value: dict[str, Any]) -> None:
    """Print a result for programs, as one line."""
    show(json.dumps(value))


class Parser(argparse.ArgumentParser):
    """Keeps line breaks in texts, and takes no abbreviated options: they break when options come."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print a text; argparse would pass over that its reader is gone."""
        with writing() if file is sys.stdout else contextlib.suppress(OSError):
            (file or sys.stderr).write(message)

    def error(self, message: str) -> NoReturn:
        """Print one line and the way to the help."""
        line = " ".join(f"{self.prog}: error: {message}; see {self.prog} --help".splitlines())
        self.exit(2, printable(line) + "\n")


def command(
    commands: Any,
    name: str,
    summary: str,
    text: str,
    examples: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    """Add a command with the options that all have."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=text, epilog=examples
    )
    parser.set_defaults(run=run)
    general = parser.add_argument_group("general")
    general.add_argument("--json", action="store_true", help="print results as JSON, a line each")
    general.add_argument("--strict", action="store_true", help="treat warnings as errors")
    general.add_argument("--debug", action="store_true", help="show where an error came from")
    return parser


def add_inputs(parser: argparse.ArgumentParser, text: str) -> None:
    """Add the files that a command reads; one of them may come through a pipe."""
    text += "; - is standard input, called 'stdin'"
    parser.add_argument("input", nargs="+", metavar="INPUT", help=text)
    parser.set_defaults(spools=True)


@contextlib.contextmanager
def standard_input(options: argparse.Namespace) -> Iterator[None]:
    """Put a temporary file in the place of ``-`` among the inputs."""
    if not getattr(options, "spools", False) or "-" not in options.input:
        yield
        return
    from audionmf.io.spool import spooled

    if options.input.count("-") > 1:
        raise ParameterError("standard input can be read once; give - once")
    with spooled(sys.stdin.buffer) as path:
        options.input = [str(path) if name == "-" else name for name in options.input]
        yield


def add_output(parser: argparse.ArgumentParser, default: str, *, pattern: bool) -> Any:
    """Add the options that say where files go; return their group."""
    output = parser.add_argument_group("output")
    output.add_argument(
        "-o",
        "--out",
        default=default,
        metavar="FOLDER",
        help="the output folder (default: %(default)s)",
    )
    if pattern:
        output.add_argument(
            "--filename",
            default="{track}/{source}.{ext}",
            metavar="PATTERN",
            help="names below the folder (default: %(default)s)",
        )
    output.add_argument(
        "--format",
        default="wav",
        choices=("wav", "flac", "aiff", "mp3", "ogg", "opus"),
        help="kind of the audio files (default: %(default)s); mp3, ogg and opus are lossy: such "
        "files sum to the input only roughly",
    )
    return output


def add_subtype(group: Any) -> None:
    """Add the option that says the sample format."""
    group.add_argument(
        "--subtype",
        choices=("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"),
        help="sample format (default: that of the input, where the kind of file has it)",
    )


def add_report(output: Any, what: str) -> None:
    """Add the option that writes a page about what was found."""
    output.add_argument(
        "--report",
        action="store_true",
        help=f"write a page beside the {what} to hear them together, solo and mute, and to see "
        "them: report.html, which opens without a network",
    )


def add_export(output: Any, default: tuple[str, ...] = ()) -> None:
    """Add the options that write notes."""
    shown = f" (default: {','.join(default)})" if default else ""
    output.add_argument(
        "--export",
        type=_kinds,
        default=default,
        metavar="KIND,...",
        help="write the notes that are played too: midi (a MIDI file, a track for each source), "
        "labels (for Audacity), csv; and when each source sounds: events (csv and labels), raven "
        f"(selections for Raven){shown}",
    )
    output.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="NAME=KEY",
        help="with notes: the source NAME is a drum, written as this key of General MIDI or this "
        "drum, such as 36 or cowbell; repeat it (default: by the names of the sources)",
    )
    output.add_argument(
        "--tempo",
        metavar="auto|BPM",
        help="with midi: the beats in a minute of its grid; auto: as they are heard (default: none; "
        "times are in seconds)",
    )


def _kinds(text: str) -> tuple[str, ...]:
    return tuple(kind.strip() for kind in text.split(","))


def drum_keys_of(options: argparse.Namespace) -> dict[str, int]:
    """Return the keys of drums that are given on the command line.

    Raises
    ------
    ParameterError
        If one is not written NAME=KEY, or there is no such key.
    """
    if not options.map:
        return {}
    from audionmf.notes.drums import parse_keys

    return parse_keys(options.map)


def add_settings(
    parser: argparse.ArgumentParser, command: str, without: Sequence[str] = ()
) -> None:
    """Add the options of `Settings`; those that are not given stay out of the result."""
    group = parser.add_argument_group("analysis")
    if command == "separate":
        group.add_argument(
            "--quality",
            choices=QUALITIES,
            default=argparse.SUPPRESS,
            help="effort with templates and examples; sets the options below that are not given "
            "(default: balanced)",
        )
    for field in dataclasses.fields(Settings):
        if command not in field.metadata["commands"] or field.name in without:
            continue
        name, text = f"--{field.name.replace('_', '-')}", field.metadata["help"]
        if field.default is not None:
            shown = "on" if field.default is True else field.default
            text += f" (default: {shown})"
        if isinstance(field.default, bool):
            action: Any = argparse.BooleanOptionalAction
            group.add_argument(name, action=action, default=argparse.SUPPRESS, help=text)
            continue
        if command == "learn" and field.name == "n_components":
            group.add_argument(
                name,
                type=_count_or_auto,
                default=argparse.SUPPRESS,
                metavar="N",
                help="templates (default: 100 frames, or 40 if factorised); 'auto' finds out how "
                "many the sound needs",
            )
            continue
        kind = int if field.default is None else type(field.default)
        metavar = {int: "N", float: "X", str: "NAME"}[kind]
        group.add_argument(name, type=kind, default=argparse.SUPPRESS, metavar=metavar, help=text)


def _count_or_auto(text: str) -> int | str:
    try:
        return text if text == "auto" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a number or 'auto', not {text!r}") from None
