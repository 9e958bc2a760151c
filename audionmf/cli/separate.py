"""Separate: a recording becomes stems."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audionmf.cli.common import (
    Bar,
    add_output,
    add_settings,
    announce,
    command,
    each,
    printable,
    report,
    settings_of,
)
from audionmf.errors import AudioNMFError, ParameterError

if TYPE_CHECKING:
    from audionmf.jobs import SeparationJob

__all__ = ["add"]

_TEXT = """\
Take a recording apart into stems, which sum to it again.

Say what the sources are in one of four ways: how many there are (--n-sources; components are
grouped by timbre), templates learnt before (--templates), a recording of each alone (--example, a
few seconds are enough), or where each plays alone in the recording itself (--solo, --labels).
Stems land in OUT/TRACK/SOURCE.wav with the rate, channels, length and sample format of the input.
"""

_EXAMPLES = """\
examples:
  audionmf separate mix.wav --n-sources 3
  audionmf separate mix.wav --example violin=violin.wav --example piano=a.wav --example piano=b.wav
  audionmf separate mix.wav --templates violin.npz --free 8
      the violin, and everything else as 'other'
  audionmf separate mix.wav --solo violin=0:12-0:20.5 --solo piano=31-40
      each instrument plays alone for some seconds in the recording itself
  audionmf separate mix.wav --labels mix.txt
      the same from an Audacity label file: 'violin' where it is alone, '!violin' where it is not
  audionmf separate *.flac --templates band.npz -o stems --filename '{source}/{track}.{ext}'
"""


def _run(options: argparse.Namespace) -> int:
    from audionmf.files import refuse_overwriting
    from audionmf.jobs import run_job

    jobs = dict(zip(options.input, _jobs(options), strict=True))
    banks = jobs[options.input[0]].banks()
    planned: list[Path] = []
    for job in jobs.values():
        with contextlib.suppress(AudioNMFError, FileNotFoundError):  # told when its turn comes
            planned += job.planned(banks).values()
    label_files = [options.labels] if options.labels is not None else []
    read = [path for job in jobs.values() for path in job.inputs()]
    refuse_overwriting(planned, [*read, *label_files])
    announce(options)
    bar = Bar()

    def work(path: str) -> None:
        try:
            done = run_job(jobs[path], bar)
        finally:
            bar.clear()
        divergence = done.decomposition.divergence.tolist()
        report(options, path, done.stems, {"divergence": divergence, "trust": done.trust.to_dict()})
        if not options.json:
            print(printable(done.trust.to_text()))

    return each(options, options.input, work)


def _jobs(options: argparse.Namespace) -> list[SeparationJob]:
    """Return the job of each input."""
    from audionmf.jobs import SeparationJob
    from audionmf.labels import collect

    examples: dict[str, list[str]] = {}
    for name, path in options.example:
        examples.setdefault(name, []).append(path)
    solo, absent = collect(options.solo, options.labels)
    if (solo or absent) and len(options.input) > 1:
        raise ParameterError("--solo and --labels are about one recording; give one input")
    settings = settings_of(options)
    return [
        SeparationJob(
            input=path,
            folder=options.out,
            n_sources=options.n_sources,
            templates=options.templates,
            examples=examples,
            free=options.free,
            residual=options.residual,
            only=options.only,
            solo=solo,
            absent=absent,
            convert=options.convert,
            pattern=options.filename,
            extension=options.format,
            settings=settings,
        )
        for path in options.input
    ]


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands,
        "separate",
        "take a recording apart into stems",
        _TEXT,
        _EXAMPLES,
        _run,
    )
    parser.add_argument("input", nargs="+", metavar="INPUT", help="recordings to take apart")
    sources = parser.add_argument_group("the sources")
    sources.add_argument(
        "--n-sources", type=int, metavar="N", help="so many, grouped by timbre (blind)"
    )
    sources.add_argument(
        "--templates",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="template files; each label in them is a source",
    )
    sources.add_argument(
        "--example",
        action="append",
        default=[],
        type=_named_file,
        metavar="NAME=FILE",
        help="a recording of a source alone; repeat it for more sources, or more files of one",
    )
    sources.add_argument(
        "--solo",
        action="append",
        default=[],
        metavar="NAME=START-END",
        help="where a source plays alone in INPUT itself, in seconds, M:SS or H:MM:SS; repeat it "
        "for more sources, or more ranges of one; its stem is exact there",
    )
    sources.add_argument(
        "--labels",
        metavar="FILE",
        help="a label file of Audacity: NAME where a source plays alone, !NAME where it does not "
        "play",
    )
    sources.add_argument(
        "--convert",
        action="store_true",
        help="convert templates of another sample rate or STFT instead of refusing them",
    )
    sources.add_argument(
        "--free",
        type=int,
        default=0,
        metavar="K",
        help="with templates: K further components, learnt from the mixture, become 'other'",
    )
    sources.add_argument(
        "--residual",
        default="",
        metavar="NAME",
        help="with templates: what they do not explain becomes the stem NAME",
    )
    sources.add_argument("--only", metavar="NAME", help="write this source and the 'rest' only")
    add_output(parser, "separated", pattern=True)
    add_settings(parser, "separate")


def _named_file(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"an example is written NAME=FILE, not {text!r}")
    return name, path
