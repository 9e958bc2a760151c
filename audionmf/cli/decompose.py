"""Decompose: a recording becomes components."""

from __future__ import annotations

import argparse
from typing import Any

from audionmf.cli.common import (
    Bar,
    Named,
    add_export,
    add_inputs,
    add_output,
    add_report,
    add_settings,
    command,
    compile_ahead,
    drum_keys_of,
    each,
    named_inputs,
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
    compile_ahead(options)
    from audionmf.io.files import refuse_overwriting
    from audionmf.io.lock import FolderLock
    from audionmf.separation.decomposing import decompose_file, plan_decomposition

    keys = drum_keys_of(options)
    inputs = named_inputs(options)
    planned = [
        plan_decomposition(
            one.path, one.folder, options.export, report=options.report, track=one.track
        ).values()
        for one in inputs
    ]
    outputs = [output for outputs in planned for output in outputs]
    refuse_overwriting(outputs, [one.path for one in inputs])
    bar = Bar(options)

    def work(given: Named) -> None:
        with bar:
            files = decompose_file(
                given.path,
                given.folder,
                extension=options.format,
                export=options.export,
                drum_keys=keys,
                tempo=options.tempo,
                report=options.report,
                track=given.track,
                settings=settings_of(options),
                progress=bar,
            )
        others = [
            files.model, files.templates, files.activations, files.picture, *files.notes,
            files.report,
        ]  # fmt: skip
        report(
            options,
            given.path,
            files.stems,
            {"divergence": files.decomposition.divergence.tolist()},
            [other for other in others if other],
        )

    with FolderLock(options.out):
        return each(options, inputs, work)


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
    add_inputs(
        parser,
        "recordings to factorise, or folders to search for them; what is in a subfolder goes to a "
        "subfolder of OUT",
    )
    output = add_output(parser, "decomposed", pattern=False)
    add_report(output, "components")
    add_export(output)
    add_settings(parser, "decompose")
