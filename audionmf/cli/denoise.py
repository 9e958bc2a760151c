"""Denoise: a recording with a steady noise made softer."""

from __future__ import annotations

import argparse
import os
from typing import Any

from audionmf.cli.common import Bar, add_settings, command, settings_of
from audionmf.cli.remix import add_one_input, add_out_file, tell_file
from audionmf.cli.sources import add_part, part_of

__all__ = ["add"]

_TEXT = """\
Make a steady noise softer: hiss, wind, rain, traffic, a machine. Say where it is heard alone.
Its spectra are learnt there, and what they explain in the rest of the recording is taken down by as
much as --reduction says, and no further: a little of the noise hides what could not be told apart.
Hum (a few tones that never change) and clicks are out of its scope: take a notch filter, a declicker.
"""

_EXAMPLES = """\
examples:
  audionmf denoise interview.wav --noise 0-2.5 -o clean.wav
      nobody speaks in the first two and a half seconds
  audionmf denoise birds.flac --noise wind.flac --reduction 12 -o birds-softer.flac
      another recording of the same wind; the wind becomes 12 dB softer
  audionmf denoise talk.wav --noise 0-2 --noise 1:02-1:05 --noise room.wav@3-8 -o talk.mp3
"""


def _run(options: argparse.Namespace) -> int:
    from audionmf.separation.denoising import denoise_file

    with Bar(options) as bar:
        written = denoise_file(
            options.input[0],
            options.out,
            [_noise(text) for text in options.noise],
            reduction=options.reduction,
            subtype=options.subtype,
            settings=settings_of(options),
            progress=bar,
            **part_of(options),
        )
    tell_file(options, written)
    return 0


def _noise(text: str) -> Any:
    """Return a pair of seconds, or a file: one that is there comes first."""
    from audionmf.io.parts import seconds_from_text

    start, dash, end = text.partition("-")
    if not dash or os.path.lexists(text):
        return text
    try:
        return seconds_from_text(start), seconds_from_text(end)
    except ValueError:
        return text


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands,
        "denoise",
        "a recording with a steady noise made softer",
        _TEXT,
        _EXAMPLES,
        _run,
        most_used=("--noise", "--reduction", "--out", "--start", "--duration"),
    )
    add_one_input(parser, "the recording")
    parser.add_argument(
        "--noise",
        action="append",
        required=True,
        metavar="START-END|FILE",
        help="where the noise is alone: a range of INPUT in seconds, M:SS or H:MM:SS, or a recording "
        "of it, or a part of one, FILE@START-END; repeat it for more",
    )
    parser.add_argument(
        "--reduction",
        type=float,
        default=24.0,
        metavar="DB",
        help="make it softer by so much at most, 0 to 100 (default: %(default)g)",
    )
    add_out_file(parser)
    add_part(parser)
    add_settings(parser, "separate", without=("model", "spatial", "cues", "names", "restarts"))
