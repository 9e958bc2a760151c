"""Regroup: components become stems, grouped by hand."""

from __future__ import annotations

import argparse
from typing import Any

from audionmf.cli.common import (
    Bar,
    add_export,
    add_output,
    add_report,
    command,
    drum_keys_of,
    report,
    show,
)
from audionmf.errors import ParameterError

__all__ = ["add"]

_TEXT = """\
Render the components of a model in groups of your own. Nothing is factorised again.

By hand (--group): components that are in no group become the source 'rest'. By ear (--n-sources), and
corrected by what you hear (--same, --apart): where nothing else is said, groups that the model has stay
but for that and for what sounds much like it, and components that are a source each are grouped first.
With --group, only those that are named move.

A manifest.json beside the stems says what they were made from; those of an earlier run are replaced.
The recording has to be where it was when the model was made, or below the folder that the output
folder was in, or below --root, where it is found by name and content, or be named with --mixture;
another recording is refused.
"""

_EXAMPLES = """\
examples:
  audionmf regroup decomposed/mix/model.npz --group bass=0,3,7 --group keys=1,2
  audionmf regroup decomposed/mix/model.npz --n-sources 2 --same 3,7 --apart 3,5
      grouped by ear, but 7 goes with 3, and 5 does not
  audionmf regroup model.npz --group drums=4-9 --mixture /music/mix.wav -o grouped
  audionmf regroup model.npz --group bass=0,3,7 --group keys=1,2 --export midi
      and the notes that the sources play
  audionmf regroup model.npz --group bass=0,3,7 --group keys=1,2 --report
      with a page to hear and see the sources: separated/mix/report.html
"""


def _run(options: argparse.Namespace) -> int:
    from audionmf.batch.regrouping import regroup_into
    from audionmf.rendering.grouping import Hints, parse_groups, parse_hints

    groups, keys = parse_groups(options.group), drum_keys_of(options)
    hints = Hints(parse_hints(options.same, "same"), parse_hints(options.apart, "apart"))
    if not (groups or hints or options.n_sources is not None):
        raise ParameterError(
            "say how: --group NAME=0,3,7 by hand, --n-sources N by ear, or --same 3,7 and "
            "--apart 3,5; audionmf regroup --help explains them"
        )
    with Bar(options) as bar:
        files = regroup_into(
            options.model,
            groups,
            options.out,
            hints=hints,
            n_sources=options.n_sources,
            mixture=options.mixture,
            root=options.root,
            pattern=options.filename,
            extension=options.format,
            export=options.export,
            drum_keys=keys,
            tempo=options.tempo,
            report=options.report,
            progress=bar,
        )
    grouping = {name: list(group) for name, group in files.decomposition.grouping.items()}
    report(
        options,
        options.model,
        files.stems,
        {
            "grouping": grouping,
            "trust": files.trust.to_dict(),
            **({"remarks": list(files.remarks)} if files.remarks else {}),
        },
        [*files.notes.values(), *([files.report] if files.report else [])],
    )
    if not options.json:
        for remark in files.remarks:
            show(f"  {remark}")
    return 0


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands,
        "regroup",
        "render components in groups of your own",
        _TEXT,
        _EXAMPLES,
        _run,
    )
    parser.add_argument("model", metavar="MODEL.npz", help="a model file of audionmf decompose")
    parser.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="NAME=0,3,7",
        help="components of one source; ranges such as 4-9 work too; repeat it",
    )
    parser.add_argument(
        "-n",
        "--n-sources",
        type=int,
        metavar="N",
        help="group all components by what is heard of them, into N sources (default: groups "
        "that the model has stay; components that are a source each, as many as there seem to be)",
    )
    parser.add_argument(
        "--same",
        action="append",
        default=[],
        metavar="3,7",
        help="components of one source: the first stays where it is, the others come to it; repeat "
        "it for more hints",
    )
    parser.add_argument(
        "--apart",
        action="append",
        default=[],
        metavar="3,5",
        help="components of different sources: the first stays where it is, the others leave its "
        "source for the one that they sound most like",
    )
    parser.add_argument("--mixture", metavar="FILE", help="where the recording is now")
    parser.add_argument(
        "--root",
        metavar="FOLDER",
        help="where to look for the recording, by name and content, if it is not where it was "
        "(default: two folders above that of the model)",
    )
    output = add_output(parser, "separated", pattern=True)
    add_report(output, "stems")
    add_export(output)
