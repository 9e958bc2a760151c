"""Decompose: a recording becomes components."""

from __future__ import annotations

import argparse
from typing import Any

from audionmf.cli.common import (
    Bar,
    add_export,
    add_inputs,
    add_output,
    add_report,
    add_settings,
    command,
    drum_keys_of,
    each,
    report,
    settings_of,
)

__all__ = ["add"]

_TEXT = """\
Factorise a recording into components and write all that was found, in OUT/TRACK/:

  model.npz                        the model, for: audionmf regroup
  component00.wav, ...             each component as audio; they sum to the recording
  templates.csv, activations.csv   the factors W and H
  decomposition.png                a picture of them (needs matplotlib)
"""

_EXAMPLES = """\
examples:
  audionmf decompose mix.wav
  audionmf decompose mix.wav --n-components 24 -o parts
  audionmf decompose melody.wav --export midi,labels,csv
      and the notes that each component plays, for a DAW or an editor
  audionmf decompose mix.wav --report
      with a page to hear and see the components: decomposed/mix/report.html
"""


def _run(options: argparse.Namespace) -> int:
    from audionmf.io.files import refuse_overwriting
    from audionmf.io.lock import FolderLock
    from audionmf.separation.decomposing import decompose_file, plan_decomposition

    keys = drum_keys_of(options)
    planned = [
        plan_decomposition(path, options.out, options.export, report=options.report).values()
        for path in options.input
    ]
    refuse_overwriting([output for outputs in planned for output in outputs], options.input)
    bar = Bar(options)

    def work(path: str) -> None:
        try:
            files = decompose_file(
                path,
                options.out,
                extension=options.format,
                export=options.export,
                drum_keys=keys,
                tempo=options.tempo,
                report=options.report,
                settings=settings_of(options),
                progress=bar,
            )
        finally:
            bar.clear()
        others = [
            files.model, files.templates, files.activations, files.picture, *files.notes,
            files.report,
        ]  # fmt: skip
        report(
            options,
            path,
            files.stems,
            {"divergence": files.decomposition.divergence.tolist()},
            [other for other in others if other],
        )

    with FolderLock(options.out):
        return each(options, options.input, work)


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands,
        "decompose",
        "find the components of a recording",
        _TEXT,
        _EXAMPLES,
        _run,
        most_used=("--n-components", "--out", "--format", "--report", "--export"),
    )
    add_inputs(parser, "recordings to factorise")
    output = add_output(parser, "decomposed", pattern=False)
    add_report(output, "components")
    add_export(output)
    add_settings(parser, "decompose")
