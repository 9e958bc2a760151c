"""Notes: a recording becomes MIDI, labels and tables of what its sources play."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audionmf.cli.common import (
    Bar,
    Named,
    add_export,
    add_filename,
    add_inputs,
    add_settings,
    announce,
    command,
    drum_keys_of,
    each,
    named_inputs,
    print_json,
    printable,
    settings_of,
)
from audionmf.cli.sources import add_only, add_part, add_sources, part_of, ways_of

if TYPE_CHECKING:
    from audionmf.notes.table import NoteTable

__all__ = ["add"]

_TEXT = """\
Write the notes that the sources of a recording play, without stems. Say what the sources are, or say
nothing, and the recording is one source: a lone instrument.

Sources are told as for audionmf separate: --example, --templates, --solo, --labels, --midi, --lead or
--n-sources. What has a pitch becomes notes; drums become strokes, with the keys of General MIDI by
their names. Files land in OUT/TRACK/: notes.mid, notes.txt (labels for Audacity) and notes.csv.
"""

_EXAMPLES = """\
examples:
  audionmf notes piano.wav
      one instrument
  audionmf notes mix.wav --example violin=violin.wav --example piano=piano.wav -o scores
  audionmf notes drums.wav --example kick=kick.wav --example bell=bell.wav --map bell=cowbell
      drums on the drum channel of the MIDI file, the bell as a cowbell
  audionmf notes song.wav --lead --tempo auto
      the melody, and a MIDI file with the tempo of the song
  audionmf notes dawn.wav --n-sources 3 --export events,raven
      when each source sounds, as a table, labels and selections for Raven
"""

_DEFAULT = ("midi", "labels", "csv")


def _run(options: argparse.Namespace) -> int:
    from audionmf.io.files import counted, refuse_overwriting
    from audionmf.io.lock import FolderLock
    from audionmf.io.parts import part_path
    from audionmf.notes.transcription import export_paths
    from audionmf.separation.noting import note_file

    keys, settings = drum_keys_of(options), settings_of(options)
    inputs = named_inputs(options)
    ways = ways_of(options, len(inputs))
    read = [part_path(path) for _, path in options.example] + [*options.templates]
    read += [path for path in (options.midi, options.labels) if path is not None]
    planned = [
        export_paths(
            one.folder, one.track or Path(one.path).stem, options.export, options.filename
        ).values()
        for one in inputs
    ]
    recordings = [one.path for one in inputs]
    refuse_overwriting([path for paths in planned for path in paths], [*recordings, *read])
    bar = Bar(options)

    def work(given: Named) -> None:
        with bar:
            done = note_file(
                given.path,
                given.folder,
                export=options.export,
                pattern=options.filename,
                drum_keys=keys,
                tempo=options.tempo,
                others=read,
                track=given.track,
                settings=settings,
                progress=bar,
                **part_of(options),
                **ways,
            )
        counts = {name: len(done.notes.of(name)) for name in done.notes.sources}
        if options.json:
            files = [str(file) for file in done.paths.values()]
            print_json(
                {"input": given.path, "files": files, "notes": counts, "tempo": done.notes.tempo}
            )
            return
        announce(options)
        for file in done.paths.values():
            print(printable(f"  {os.path.relpath(file, options.out)}"))
        for name, count in counts.items():
            print(printable(f"  {name}: {counted(count, 'note')}"))
        if done.notes.tempo is not None:
            print(f"  {_tempo_words(done.notes)}")

    with FolderLock(options.out):
        return each(options, inputs, work)


def _tempo_words(notes: NoteTable) -> str:
    """Return how fast the beats are, and between which tempos, in words."""
    words = f"tempo: {notes.tempo:.1f} beats a minute"
    heard = [bpm for _, bpm in notes.changes[1:]]  # the first only leads to the first beat
    if len(heard) > 1:
        words += f" in the mean, from {min(heard):.1f} to {max(heard):.1f}"
    return words


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands,
        "notes",
        "the notes that a recording's sources play",
        _TEXT,
        _EXAMPLES,
        _run,
        most_used=(
            "--n-sources", "--example", "--templates", "--midi", "--lead", "--out", "--export",
            "--map", "--tempo", "--start", "--duration", "--quality", "--quiet",
        ),
        first_examples=2,
    )  # fmt: skip
    add_inputs(parser, "recordings to listen to, or folders to search for them")
    add_only(add_sources(parser, "the recording is one source"))
    add_part(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "-o",
        "--out",
        default="notes",
        metavar="FOLDER",
        help="the output folder (default: %(default)s)",
    )
    add_filename(output, ", of a source called notes or events")
    add_export(output, _DEFAULT)
    add_settings(parser, "separate")
