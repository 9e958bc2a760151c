"""Oneshots: the strokes of a loop as samples, and a kit that plays them."""

from __future__ import annotations

import argparse
import os
from typing import Any

from audionmf.cli.common import (
    Bar,
    add_output,
    add_settings,
    add_subtype,
    announce,
    command,
    drum_keys_of,
    print_json,
    say,
    settings_of,
    show,
)
from audionmf.cli.remix import add_one_input
from audionmf.cli.sources import add_part, add_sources, part_of, ways_of

__all__ = ["add"]

_TEXT = """\
Cut each stroke of each source out of its stem, as a sample: a loop becomes a kit.
Say what the sources are as for 'audionmf separate'. NAME-01 is the best take of a source: the one
that the others sound over least, and that rings out furthest. The samples are as loud as they are
in the recording. An SFZ file beside them plays them in a sampler: on the keys of General MIDI, by
the names of the sources or by their sound, with layers of velocity by the levels of the takes.
"""

_EXAMPLES = """\
examples:
  audionmf oneshots loop.wav --n-sources 3 -o kit
  audionmf oneshots loop.wav --example kick=kick.wav --example snare=snare.wav \\
      --example hihat=hat.wav -o kit
      kit/kick-01.wav, kit/snare-01.wav, ... and kit/loop.sfz
  audionmf oneshots loop.wav --templates drums.npz --map perc=cowbell --takes 4 --no-kit -o samples
      the four best takes of each, and no SFZ file
"""


def _run(options: argparse.Namespace) -> int:
    from audionmf.io.lock import FolderLock
    from audionmf.separation.kits import oneshots_file

    keys, known = drum_keys_of(options), ways_of(options)
    announce(options)
    with Bar(options) as bar, FolderLock(options.out):
        files = oneshots_file(
            options.input[0],
            options.out,
            extension=options.format,
            subtype=options.subtype,
            kit=options.kit,
            takes=options.takes,
            longest=options.longest,
            drum_keys=keys,
            settings=settings_of(options),
            progress=bar,
            **part_of(options),
            **known,
        )
    _tell(options, files)
    return 0


def _tell(options: argparse.Namespace, files: Any) -> None:
    """Print what was written."""
    if files.gain != 1:
        say(f"all samples were scaled by {files.gain:.6f}, or one would have clipped")
    if options.json:
        samples = {name: [str(path) for path in paths] for name, paths in files.paths.items()}
        kit = str(files.sfz) if files.sfz else None
        print_json({"input": options.input[0], "samples": samples, "kit": kit, "gain": files.gain})
        return
    for path in [p for paths in files.paths.values() for p in paths] + [files.sfz]:
        if path is not None:
            show(f"  {os.path.relpath(path, options.out)}")


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands,
        "oneshots",
        "the strokes of a loop as samples, and a kit that plays them",
        _TEXT,
        _EXAMPLES,
        _run,
        most_used=("--example", "--n-sources", "--templates", "--takes", "--map", "--kit", "--out"),
        first_examples=2,
    )
    add_one_input(parser, "the loop")
    add_sources(parser, "as many as fit", kit=False)
    add_part(parser)
    output = add_output(parser, "kit", pattern=False)
    add_subtype(output)
    output.add_argument(
        "--kit",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write an SFZ file of the best takes too (default: on)",
    )
    output.add_argument(
        "--takes",
        type=int,
        default=16,
        metavar="N",
        help="most takes of a source, 1 to 64 (default: %(default)s)",
    )
    output.add_argument(
        "--longest",
        type=float,
        default=3.0,
        metavar="SECONDS",
        help="most seconds of a take, up to 30 (default: %(default)g)",
    )
    output.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="NAME=KEY",
        help="the key of a source, 0 to 127, or a drum such as cowbell; repeat it (default: by the "
        "names of the sources, else by their sound)",
    )
    add_settings(parser, "separate")
