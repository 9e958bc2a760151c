"""Info: a file in words."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from audionmf.cli.common import add_inputs, command, each, print_json, show, show_lines
from audionmf.errors import ParameterError

__all__ = ["add"]

_TEXT = """\
Explain an audio file, a template file, a model file or the manifest of stems in words.

Of templates it says what each sounds like: its pitch (none for noise), how bright it is (by the
centre of its spectrum: dark below 400 Hz, warm below 1 kHz, clear below 2.5 kHz, bright below 5 kHz),
how wide and how flat its spectrum is, and how long it rings in the recording that it comes from.
"""

_EXAMPLES = """\
examples:
  audionmf info violin.npz
  audionmf info violin.npz --all --picture violin.png
  audionmf info decomposed/mix/model.npz --json
  audionmf info separated/mix
      what the stems there were made from, and whether they are unchanged
"""


def _run(options: argparse.Namespace) -> int:
    from audionmf.batch.described import describe, manifest_text
    from audionmf.show.info import draw, to_text

    if options.picture and len(options.input) > 1:
        raise ParameterError("a picture is of one template file; give one FILE with --picture")

    def work(path: str) -> None:
        description = describe(path)
        manifest = description["kind"] in ("manifest", "regrouping")
        files = [str(draw(path, options.picture))] if options.picture else []
        if options.json:
            print_json({**description, **({"files": files} if files else {})})
        else:
            words = manifest_text if manifest else partial(to_text, every=options.all)
            show_lines(words(description))
            for file in files:
                show(file)

    return each(options, options.input, work)


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(commands, "info", "explain a file in words", _TEXT, _EXAMPLES, _run)
    add_inputs(parser, "audio, template or model files, manifests, or folders of stems")
    parser.add_argument("--all", action="store_true", help="a line for each template, however many")
    parser.add_argument(
        "--picture", metavar="FILE.png", help="draw the templates of a template file"
    )
