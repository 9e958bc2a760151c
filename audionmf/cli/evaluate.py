"""Evaluate: stems against the true ones."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from audionmf.cli.common import (
    command,
    print_json,
    show,
    show_lines,
)

__all__ = ["add"]

_TEXT = """\
Score stems against the true ones, in dB: how clean (SI-SDR), how free of the others (SI-SIR), how
free of artefacts (SI-SAR), and how well their sum agrees.

Give two folders of audio files, or two files, of the same sample rate, channels and length. Files
of the same name, without the extension, are compared; where no name is on both sides, the
assignment with the largest sum of SI-SDR is taken. Silence has a score of -inf; what has no
counterpart is left out, also from what SI-SIR counts as the others.
"""

_EXAMPLES = """\
examples:
  audionmf evaluate stems separated/mix
  audionmf evaluate stems separated/mix --match best
      the estimates have names of their own, such as source1.wav
  audionmf evaluate violin.wav separated/mix/violin.wav
  audionmf evaluate stems separated/mix --bss-eval --csv scores.csv
      SDR, SIR and SAR of BSS Eval too (needs fast-bss-eval), and a table for other programs
"""


def _run(options: argparse.Namespace) -> int:
    from audionmf.evaluate.folders import audio_files, evaluate_folders, to_csv, to_dict, to_text
    from audionmf.io.files import make_room, refuse_overwriting

    table = [Path(options.csv).absolute()] if options.csv else []
    inputs = [*audio_files(options.references), *audio_files(options.estimates)]
    refuse_overwriting(table, inputs)
    make_room(table)
    report = evaluate_folders(
        options.references, options.estimates, options.match, options.bss_eval
    )
    files = [str(to_csv(report, path)) for path in table]
    if options.json:
        print_json({**to_dict(report), "files": files})
    else:
        show_lines(to_text(report))
        for file in files:
            show(file)
    return 0


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands,
        "evaluate",
        "score stems against the true ones",
        _TEXT,
        _EXAMPLES,
        _run,
    )
    parser.add_argument("references", metavar="REFERENCES", help="the true stems: a folder or file")
    parser.add_argument("estimates", metavar="ESTIMATES", help="their estimates: a folder or file")
    scoring = parser.add_argument_group("scoring")
    scoring.add_argument(
        "--match",
        default="auto",
        choices=("auto", "name", "best"),
        help="which estimate is which: of the same name, or the best of all assignments "
        "(default: %(default)s, by name if any name is on both sides)",
    )
    scoring.add_argument(
        "--bss-eval",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="compute SDR, SIR and SAR of BSS Eval too: slower, and short stems only",
    )
    scoring.add_argument("--csv", metavar="FILE", help="write the scores to a CSV file too")
