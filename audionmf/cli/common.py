"""What the commands share: how they print, report, and take options."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from audionmf.cli.parsing import Parser, command
from audionmf.cli.printing import (
    discard_output,
    fail,
    print_json,
    printable,
    say,
    show,
    show_lines,
    writing,
)
from audionmf.cli.progress import Bar
from audionmf.errors import AudioNMFError, AudioNMFWarning, ParameterError
from audionmf.settings import CPU, QUALITIES, Settings

__all__ = [
    "Bar",
    "Named",
    "Parser",
    "add_export",
    "add_filename",
    "add_inputs",
    "add_output",
    "add_report",
    "add_settings",
    "add_subtype",
    "add_templates",
    "announce",
    "command",
    "compile_ahead",
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


def compile_ahead(options: argparse.Namespace) -> None:
    """Have kernels compiled while all else is loaded, where this process will need them."""
    elsewhere = getattr(options, "jobs", 1) > 1 or getattr(options, "scheduler", None)
    if getattr(options, "dry_run", False) or elsewhere:
        return
    if getattr(options, "device", CPU) != CPU or getattr(options, "n_threads", None) == 1:
        return
    from audionmf.nmf.ahead import compile_ahead as start

    start()


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
    """Print the absolute output folder, once, when there is something in it: errors come before."""
    if not options.json and not getattr(options, "announced", False):
        show(str(Path(options.out).absolute()), flush=True)
        options.announced = True


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
    announce(options)
    for file in [*stems.paths.values(), *others]:
        show(f"  {os.path.relpath(file, options.out)}")


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
        add_filename(output)
    output.add_argument(
        "--format",
        default="wav",
        choices=("wav", "flac", "aiff", "mp3", "ogg", "opus"),
        help="kind of the audio files (default: %(default)s); mp3, ogg and opus are lossy: such "
        "files sum to the input only roughly",
    )
    return output


def add_filename(output: Any, where: str = "") -> None:
    """Add the option that says how files are called."""
    output.add_argument(
        "--filename",
        default="{track}/{source}.{ext}",
        metavar="PATTERN",
        help=f"names below the folder{where} (default: %(default)s)",
    )


def add_templates(group: Any) -> None:
    """Add the option that names files of templates."""
    group.add_argument(
        "--templates",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="template files; each label in them is a source",
    )


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
        help="with midi: the beats in a minute of its grid; auto: as they are heard, with "
        "the changes of tempo (default: none; times are in seconds)",
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
    offered = {
        field.name
        for field in dataclasses.fields(Settings)
        if command in field.metadata["commands"] and field.name not in without
    }
    if command == "separate" and any(offered & set(quality) for quality in QUALITIES.values()):
        group.add_argument(
            "--quality",
            choices=QUALITIES,
            default=argparse.SUPPRESS,
            help="effort with templates and examples; sets the options below that are not given "
            "(default: balanced)",
        )
    for field in dataclasses.fields(Settings):
        if field.name not in offered:
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
                help="templates (default: 200 frames, or 40 if factorised); 'auto' finds out how "
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
