"""Separate: a recording becomes stems."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audionmf.cli.common import (
    add_export,
    add_inputs,
    add_output,
    add_report,
    add_settings,
    add_subtype,
    announce,
    command,
    compile_ahead,
    drum_keys_of,
    fail,
    named_inputs,
    print_json,
    say,
    settings_of,
    show,
)
from audionmf.cli.scheduling import add_scheduler, workplace
from audionmf.cli.sources import add_only, add_part, add_sources, part_of, ways_of
from audionmf.cli.telling import Teller
from audionmf.errors import exit_code

if TYPE_CHECKING:
    from audionmf.batch.job import SeparationJob
    from audionmf.batch.run import PlannedTrack

__all__ = ["add"]

_TEXT = """\
Take a recording apart into stems, which sum to it again. Say what the sources are, or say nothing,
and their number is chosen. Stems land in OUT/TRACK/SOURCE.wav.

What says what the sources are: a recording of each alone (--example, a few seconds are enough),
templates learnt before (--templates), where each plays alone in the recording itself (--solo,
--labels), the score (--midi; each of its tracks becomes a stem), that one voice leads (--lead), that
they are drums (--kit), or how many there are (--n-sources). What is known of different sources goes
together.

Stems have the rate, channels, length and sample format of the input. Beside them lies a manifest.json
of all that they were made from (see: audionmf rerun).
"""

_EXAMPLES = """\
examples:
  audionmf separate mix.wav
  audionmf separate mix.wav --n-sources 3
  audionmf separate loop.wav --kit
      drums: kick, snare, hats, toms, cymbals, those that are heard
  audionmf separate song.wav --lead
      the singer or soloist, and the accompaniment; --lead=singer calls the first so
  audionmf separate song.wav --lead --example guitar=guitar.wav
      the singer over a guitar of which there is a recording
  audionmf separate mix.wav --example violin=violin.wav --example piano=a.wav --example piano=b.wav
  audionmf separate mix.wav --start 1:00 --duration 30 --example violin=take.wav@12-20 --report
      half a minute, with eight seconds of a long take as the example
  audionmf separate mix.wav --templates violin.npz --free 8
      the violin, and everything else as 'other'
  audionmf separate mix.wav --solo violin=0:12-0:20.5 --solo piano=31-40
      each instrument plays alone for some seconds in the recording itself
  audionmf separate mix.wav --labels mix.txt
      the same from an Audacity label file: 'violin' where it is alone, '!violin' where it is not
  audionmf separate mix.wav --midi score.mid
      a stem for each track of the score, which is moved to where it fits first
  audionmf separate piano.wav --midi piano.mid --split-at C4 --export midi,labels
      the two hands, and their notes as a MIDI file and as labels for Audacity
  audionmf separate mix.wav --example violin=violin.wav --free 8 --report
      with a page to hear and see the stems: separated/mix/report.html
  audionmf separate *.flac --templates band.npz -o stems --filename '{source}/{track}.{ext}'
  audionmf separate album/ --templates band.npz -o stems -j 4
      a folder of recordings, four at a time; --resume goes on after a break
"""


def _run(options: argparse.Namespace) -> int:
    compile_ahead(options)
    from audionmf.batch.run import plan_files, separate_files

    jobs = _jobs(options)
    label_files = [options.labels] if options.labels is not None else []
    if options.dry_run:
        return _dry_run(options, plan_files(jobs, label_files))
    many = len(jobs) > 1 or options.resume
    told = Teller(options)
    try:
        with workplace(options) as executor:
            report = separate_files(
                jobs,
                options.out,
                workers=options.jobs,
                executor=executor,
                journal=many,
                resume=options.resume,
                fail_fast=options.fail_fast,
                strict=options.strict,
                others=label_files,
                report=_report_file(options, many=many),
                done=told.outcome,
                progress=told.progress,
            )
    except KeyboardInterrupt:
        told.clear()
        if many:
            say("what is finished is written down; go on with --resume")
        raise
    finally:
        told.clear()
    if len(jobs) == 1:
        return report.outcomes[0].code
    told.summary(report, _report_file(options, many=many))
    return report.exit_code


def _report_file(options: argparse.Namespace, *, many: bool) -> Path | None:
    from audionmf.batch.run import report_path

    if options.report_json is not None:
        return Path(options.report_json)
    return report_path(options.out) if many else None


def _dry_run(options: argparse.Namespace, tracks: list[PlannedTrack]) -> int:
    """Print what would be written where."""
    for track in tracks:
        if track.error is None:
            announce(options)
        if track.error is not None:
            fail(track.error, debug=options.debug)
        elif options.json:
            named = not track.job.names_sources
            stems = {name: str(path) for name, path in track.stems.items()} if named else None
            print_json({"input": track.job.input, "stems": stems, "manifest": str(track.manifest)})
        else:
            show(track.job.input)
            for line in _planned_lines(track, os.path.realpath(options.out)):
                show(f"  {line}")
    errors = [track.error for track in tracks if track.error is not None]
    if len(tracks) == 1 and errors:
        return exit_code(errors[0])
    return 1 if errors else 0


def _planned_lines(track: PlannedTrack, root: str) -> list[str]:
    """Return what would be written, one line a file; stems that have no name yet share one."""
    outputs, lines = track.outputs, []
    if track.job.names_sources and track.stems:
        (place,) = track.job.stems_called(["SOURCE"]).values()
        count = len(track.stems)
        some = f"1 to {count}" if track.job.counts_sources else str(count)
        lines = [
            f"{os.path.relpath(place, root)}, {some} of them: SOURCE will be what is heard, such as "
            "'bass' (--names plain: source1, source2, ...)"
        ]
        outputs = outputs[count:]
    return [*lines, *(os.path.relpath(path, root) for path in outputs)]


def _jobs(options: argparse.Namespace) -> list[SeparationJob]:
    """Return the job of each input, and of each audio file in the folders among them."""
    from audionmf.batch.job import SeparationJob

    inputs = named_inputs(options)
    ways = ways_of(options, len(inputs))
    settings = settings_of(options)
    return [
        SeparationJob(
            input=one.path,
            folder=one.folder,
            **ways,
            export=options.export,
            drum_keys=drum_keys_of(options),
            tempo=options.tempo,
            pattern=options.filename,
            extension=options.format,
            subtype=options.subtype,
            settings=settings,
            report=options.report,
            **part_of(options),
            track=one.track,
        )
        for one in inputs
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
        most_used=(
            "--n-sources", "--example", "--templates", "--midi", "--lead", "--solo", "--only",
            "--start", "--duration", "--out", "--format", "--report", "--export", "--jobs",
            "--quality", "--quiet",
        ),
        first_examples=3,
    )  # fmt: skip
    add_inputs(
        parser,
        "recordings to take apart, or folders to search for them; what is in a subfolder goes "
        "to a subfolder of OUT",
    )
    add_only(add_sources(parser, "as many as fit"))
    add_part(parser)
    output = add_output(parser, "separated", pattern=True)
    add_subtype(output)
    add_report(output, "stems")
    add_export(output)
    _add_many(parser)
    add_scheduler(parser, "separate the files")
    add_settings(parser, "separate")


def _add_many(parser: argparse.ArgumentParser) -> None:
    """Add the options about many files."""
    many = parser.add_argument_group("many files")
    many.add_argument(
        "-j",
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="separate N files in parallel, in processes that share the cores out; the stems "
        "do not depend on it (default: %(default)s)",
    )
    many.add_argument(
        "--resume",
        action="store_true",
        help="go on where a run was broken off: what it finished is verified, not done again",
    )
    many.add_argument(
        "--fail-fast", action="store_true", help="begin no more files when one has failed"
    )
    many.add_argument(
        "--dry-run",
        action="store_true",
        help="print what would be written where; compute and write nothing",
    )
    many.add_argument(
        "--report-json",
        metavar="FILE",
        help="where to write what came of each file, as JSON (default with several files: "
        "OUT/.audionmf/report.json)",
    )
