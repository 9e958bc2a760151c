"""Remix: a recording with a gain for each source."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from audionmf.cli.common import (
    Bar,
    add_settings,
    add_subtype,
    command,
    print_json,
    printable,
    say,
    settings_of,
)
from audionmf.cli.sources import add_part, add_sources, part_of, ways_of
from audionmf.errors import ParameterError
from audionmf.settings import Settings

__all__ = ["add"]

_MODELS = ("auto", "frames", "patterns", "harmonic", "free")

_TEXT = """\
Take a recording apart and put it together again in one file, with a gain in dB for each source.

Say what the sources are as for 'audionmf separate', or give a model of this recording (--model).
Sources without a gain stay as they are; 'rest' stands for all of them where no source is called so.
The file has the rate, channels, length and sample format of the input. With 0 dB everywhere it holds
the same samples. If the remix would clip, all of it is made softer, and that is said.
"""

_EXAMPLES = """\
examples:
  audionmf remix song.wav --lead --gain lead=-inf -o karaoke.wav
      the accompaniment alone
  audionmf remix mix.wav --example voice=voice.wav --example drums=drums.wav \\
      --gain voice=-6 --gain drums=+3 -o softer.wav
  audionmf remix mix.wav --example bird=bird.wav --gain rest=-20 -o bird.flac
      the bird, and everything else 20 dB softer
  audionmf remix mix.wav --model decomposed/mix/model.npz --group bass=0,3,7 --gain bass=+4 -o mine.wav
"""


def _run(options: argparse.Namespace) -> int:
    from audionmf.rendering.grouping import parse_groups
    from audionmf.rendering.remixing import parse_gains
    from audionmf.separation.remixing import remix_file

    gains, known, groups = parse_gains(options.gain), ways_of(options), parse_groups(options.group)
    model = options.model_or_file
    if model in _MODELS:
        options.model, model = model, None
    settings = settings_of(options)
    if model is None:
        known["settings"] = settings
    elif dataclasses.replace(settings, n_threads=None) != Settings():
        raise ParameterError(
            "a model file was made with options of its own: leave out those of the analysis"
        )
    with Bar(options) as bar:
        written = remix_file(
            options.input[0],
            options.out,
            gains,
            model=model,
            groups=groups,
            subtype=options.subtype,
            progress=bar,
            **part_of(options),
            **known,
        )
    tell_file(options, written)
    return 0


def tell_file(options: argparse.Namespace, written: Any) -> None:
    """Print the one file that was written."""
    if written.gain != 1:
        say(f"{str(written.path)!r} was scaled by {written.gain:.6f}, or it would have clipped")
    if options.json:
        print_json(
            {
                "input": options.input[0],
                "output": str(written.path.absolute()),
                "gain": written.gain,
                **_sources(written),
            }
        )
        return
    print(printable(str(written.path.absolute())))


def _sources(written: Any) -> dict[str, Any]:
    found = written.decomposition
    return {} if found is None else {"sources": found.source_names}


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands,
        "remix",
        "a recording with a gain for each source",
        _TEXT,
        _EXAMPLES,
        _run,
        most_used=(
            "--gain", "--out", "--lead", "--example", "--templates", "--n-sources", "--midi",
            "--model", "--start", "--duration", "--quality",
        ),
        first_examples=2,
    )  # fmt: skip
    add_one_input(parser, "the recording")
    parser.add_argument(
        "--gain",
        action="append",
        required=True,
        metavar="NAME=DB",
        help="gain of a source in dB: -inf takes it out, +3 makes it louder; repeat it for more "
        "sources",
    )
    add_out_file(parser)
    sources = add_sources(parser, "as many as fit")
    sources.add_argument(
        "--model",
        dest="model_or_file",
        metavar="FILE",
        help="a model file that was made from INPUT, instead of all that: nothing is analysed "
        "again. Or how sources are modelled, as in separate: " + ", ".join(_MODELS),
    )
    sources.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="NAME=0,3,7",
        help="with a model file: components of one source; what is in no group becomes 'rest'",
    )
    add_part(parser)
    add_settings(parser, "separate", without=("model",))


def add_out_file(parser: argparse.ArgumentParser) -> None:
    """Add the options about the one file that is written."""
    parser.add_argument(
        "-o",
        "--out",
        required=True,
        metavar="FILE",
        help="the file to write; its extension says its kind: wav, flac, aiff, mp3, ogg or opus",
    )
    add_subtype(parser)


def add_one_input(parser: argparse.ArgumentParser, text: str) -> None:
    """Add the one file that a command reads, which may come through a pipe."""
    parser.add_argument(
        "input", nargs=1, metavar="INPUT", help=f"{text}; - is standard input, called 'stdin'"
    )
    parser.set_defaults(spools=True)
