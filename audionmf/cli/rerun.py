"""Rerun: the stems of a manifest, made again."""

from __future__ import annotations

import argparse
import os
from typing import Any

from audionmf.cli.common import Bar, command, print_json, say, show

__all__ = ["add"]

_TEXT = """\
Make the stems and notes of a manifest again: the same bytes, or a word about what differs.

Every separation leaves a manifest.json beside its stems. The recording, templates and examples have
to be where they were, unchanged, or below the folder that the output folder is in, or below --root,
where they are found by name and content; a recording can be named with --mixture. Without -o the
stems go where they were, if they are the same bytes as then; otherwise nothing is written, and the
exit code is 1.
"""

_EXAMPLES = """\
examples:
  audionmf rerun separated/mix/manifest.json
      the stems were deleted, or someone wants to see whether they can be made again
  audionmf rerun separated/mix
      the same, by its folder
  audionmf rerun separated/mix/manifest.json -o again
"""


def _run(options: argparse.Namespace) -> int:
    from audionmf.batch.manifest import manifest_in
    from audionmf.batch.rerun import rerun

    with Bar(options) as bar:
        made = rerun(
            manifest_in(options.manifest),
            options.out,
            mixture=options.mixture,
            root=options.root,
            progress=bar,
        )
    stems = {name: str(path) for name, path in made.stems.items()}
    if options.json:
        print_json(
            {
                "manifest": options.manifest,
                "stems": stems if made.written else {},
                "notes": {kind: str(path) for kind, path in made.notes.items() if made.written},
                "differing": list(made.differing),
                "differing_notes": list(made.differing_notes),
                "versions": {name: list(pair) for name, pair in made.versions.items()},
            }
        )
    elif made.written:
        show(str(made.folder.absolute()))
        for path in [*made.stems.values(), *made.notes.values()]:
            show(f"  {os.path.relpath(path, os.path.realpath(made.folder))}")
        if made.same:
            show("  the same bytes as before")
    for name in made.differing:
        say(f"error: the stem {name!r} is not what it was")
    for kind in made.differing_notes:
        say(f"error: the notes as {kind} are not what they were")
    if not made.written:
        say("nothing was written; -o FOLDER writes what comes out now")
    return 0 if made.same else 1


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands,
        "rerun",
        "make the stems of a manifest again",
        _TEXT,
        _EXAMPLES,
        _run,
    )
    parser.add_argument(
        "manifest",
        metavar="MANIFEST",
        help="a manifest.json beside stems, or the folder that it is in",
    )
    parser.add_argument("--mixture", metavar="FILE", help="where the recording is now")
    parser.add_argument(
        "--root",
        metavar="FOLDER",
        help="where to look for what is not where it was, by name and content (default: the folder "
        "that the output folder is in)",
    )
    parser.add_argument(
        "-o",
        "--out",
        metavar="FOLDER",
        help="write the stems and a manifest to another output folder, whatever they are",
    )
