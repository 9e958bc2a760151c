"""Morph: the sound between two recordings."""

from __future__ import annotations

import argparse
from typing import Any

from audionmf.cli.common import Bar, add_settings, command, settings_of
from audionmf.cli.mosaic import without
from audionmf.cli.remix import add_out_file, tell_file

__all__ = ["add"]

_TEXT = """\
Make the sound between two recordings: partials of the one glide to where the other has its own.
Frame by frame the spectrum of the first is carried over to that of the second, by optimal transport
(Henderson and Solomon 2019). The file is as long as the longer one, at the rate of the first.
"""

_EXAMPLES = """\
examples:
  audionmf morph flute.wav cello.wav -o between.wav
  audionmf morph voice.wav horn.wav --amount 0.3 -o more-voice.wav
  audionmf morph a.wav@0-4 b.wav@10-14 --amount 0-1 -o glide.wav
      a becomes b within the four seconds
"""

_SETTINGS = ("n_fft", "hop_length", "window")


def _run(options: argparse.Namespace) -> int:
    from audionmf.separation.morphing import morph_file

    with Bar(options) as bar:
        written = morph_file(
            options.input[0],
            options.input[1],
            options.out,
            options.amount,
            subtype=options.subtype,
            settings=settings_of(options),
            progress=bar,
        )
    tell_file(options, written)
    return 0


def _amount(text: str) -> float | tuple[float, float]:
    start, dash, end = text.partition("-")
    try:
        return (float(start), float(end)) if dash and start else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"the amount is a number from 0 to 1, or START-END, not {text!r}"
        ) from None


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(commands, "morph", "the sound between two recordings", _TEXT, _EXAMPLES, _run)
    parser.add_argument(
        "input",
        nargs=2,
        metavar="INPUT",
        help="the two recordings, or parts of them, FILE@START-END; - is standard input, called "
        "'stdin'",
    )
    parser.set_defaults(spools=True)
    parser.add_argument(
        "--amount",
        type=_amount,
        default=0.5,
        metavar="X|X-X",
        help="how far from the first to the second, 0 to 1; 0-1 glides from the one to the other "
        "(default: %(default)s)",
    )
    add_out_file(parser)
    add_settings(parser, "separate", without=without(_SETTINGS))
