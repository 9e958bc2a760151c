"""Mosaic: a recording retold with the grains of others."""

from __future__ import annotations

import argparse
from typing import Any

from audionmf.cli.common import Bar, add_settings, command, settings_of
from audionmf.cli.remix import add_one_input, add_out_file, tell_file

__all__ = ["add"]

_TEXT = """\
Retell a recording with the grains of others: it says what the target says, with their sound.
Each frame becomes a sum of a few frames of the corpus, which go on as they do there (Driedger,
Prätzlich and Müller 2015). With --cross N the two are crossed instead: N spectra, learnt from the
corpus, sound when they are found in the target, with its phases.
The file is as long as the target, at its rate, with the channels of the corpus.
"""

_EXAMPLES = """\
examples:
  audionmf mosaic speech.wav --corpus bees.wav -o bees-speak.wav
  audionmf mosaic song.flac --corpus birds/ --corpus sea.wav@10-40 \\
      --polyphony 4 --continuity 6 -o new.wav
      fewer grains at a time, in longer pieces: more like the corpus
  audionmf mosaic drums.wav --corpus strings.wav --cross 20 -o crossed.wav
"""

_WITHOUT_CROSS = ("max_iter", "activation_iter", "n_fft", "hop_length", "window", "n_threads")


def _run(options: argparse.Namespace) -> int:
    from audionmf.separation.mosaicking import mosaic_file

    with Bar(options) as bar:
        written = mosaic_file(
            options.input[0],
            options.out,
            options.corpus,
            polyphony=options.polyphony,
            repetition=options.repetition,
            continuity=options.continuity,
            cross=options.cross,
            subtype=options.subtype,
            settings=settings_of(options),
            progress=bar,
        )
    tell_file(options, written)
    return 0


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands,
        "mosaic",
        "a recording retold with the grains of others",
        _TEXT,
        _EXAMPLES,
        _run,
        most_used=("--corpus", "--polyphony", "--continuity", "--cross", "--out"),
    )
    add_one_input(parser, "the target, or a part of it, FILE@START-END")
    parser.add_argument(
        "--corpus",
        action="append",
        required=True,
        metavar="FILE",
        help="what to retell it with: a recording, a folder of them, or a part of one, "
        "FILE@START-END; repeat it for more; 6 minutes at most",
    )
    for name, default, text in (
        ("--polyphony", 10, "most grains that begin at a time, 1 or more"),
        ("--repetition", 3, "frames before and after in which a grain does not sound again"),
        ("--continuity", 3, "frames before and after for which a grain goes on"),
    ):
        parser.add_argument(
            name, type=int, default=default, metavar="N", help=f"{text} (default: %(default)s)"
        )
    parser.add_argument(
        "--cross",
        type=int,
        metavar="N",
        help="cross the two: N spectra of the corpus, activated as the target is; the three "
        "above do not count then",
    )
    add_out_file(parser)
    add_settings(parser, "separate", without=without(_WITHOUT_CROSS))


def without(kept: tuple[str, ...]) -> list[str]:
    """Return the names of all settings but those."""
    import dataclasses

    from audionmf.settings import Settings

    return [field.name for field in dataclasses.fields(Settings) if field.name not in kept]
