"""Stream: a signal is taken apart while it is played."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audionmf.cli.common import (
    add_filename,
    add_settings,
    add_templates,
    command,
    print_json,
    say,
    settings_of,
    show,
    writing,
)
from audionmf.errors import AudioNMFError, ParameterError

if TYPE_CHECKING:
    from audionmf.io.audio import AudioFile
    from audionmf.live.separator import LiveSeparator
    from audionmf.live.streams import PCMStream

__all__ = ["add"]

_TEXT = """\
Take a signal apart while it is played, at a delay that is known before.

INPUT is a file, or - for standard input: a WAV stream, or raw samples with --rate, --channels and
--sample-format. Each source goes to a file of its own in OUT, 32-bit float where it is WAV, or one
of them to standard output (-o - with --only), raw and in the sample format of the input. Ending it
with Ctrl-C keeps what came until then; the stems sum to it.

Templates are used as they are; where they are frames, up to 100 of each source. What separate does
with the whole recording cannot be done live: patterns of struck sounds, an equaliser for each source,
copies at other pitches, places in the stereo image, a common gain where stems would clip. Those but
patterns and the gain come with --model, the analysis of another recording.

With --noise, a recording of a steady noise alone, it is made softer, as audionmf denoise does in
files: the sources are 'clean' and 'noise', and -o - gives what is clean.
"""

_EXAMPLES = """\
examples:
  audionmf stream concert.wav --templates violin.npz piano.npz -o live
  arecord -t raw -f cd | audionmf stream - --rate 44100 --channels 2 --sample-format s16 \\
      --templates band.npz --latency 50 --only voice -o - | aplay -t raw -f cd
      the voice alone, 50 ms later (and what the sound card adds)
  ffmpeg -i URL -f wav - | audionmf stream - --templates band.npz -o live
  arecord -t raw -f cd | audionmf stream - --rate 44100 --channels 2 --sample-format s16 \\
      --noise room.wav --reduction 12 -o - | aplay -t raw -f cd
      the noise of the room 12 dB softer
"""


def _run(options: argparse.Namespace) -> int:
    from audionmf.live.streams import stream_to_pipe

    _check(options)
    source = _source(options)
    form = source.form if hasattr(source, "form") else source
    separator = _denoiser(options, form) if options.noise else _separator(options, form)
    if options.out == "-":
        _tell_latency(separator, form.sample_rate)
        with writing():
            stream_to_pipe(source, separator, options.only or "clean", sys.stdout.buffer)
        return 0
    return _to_files(options, source, separator, form.sample_rate)


def _check(options: argparse.Namespace) -> None:
    """Refuse what does not go together."""
    named = bool(options.templates) + (options.known_model is not None) + bool(options.noise)
    if named != 1:
        raise ParameterError(
            "give one of --templates, --model, which says what the sources are, and --noise, which "
            "is made softer"
        )
    if options.noise and (options.only or options.residual):
        raise ParameterError(
            "with --noise the sources are 'noise' and 'clean': leave out --only and --residual"
        )
    if options.reduction is not None and not options.noise:
        raise ParameterError("--reduction says how much softer: give the --noise too")
    if options.out == "-" and (options.json or not (options.only or options.noise)):
        raise ParameterError(
            "standard output takes one source, raw: name it with --only, and leave --json out"
        )


def _denoiser(options: argparse.Namespace, form: Any) -> LiveSeparator:
    """Learn the noise, at the rate of the signal."""
    from audionmf.io.parts import open_part
    from audionmf.live.denoiser import LiveDenoiser

    return LiveDenoiser(
        [text if Path(text).is_dir() else open_part(text) for text in options.noise],
        form.n_channels,
        **({} if options.reduction is None else {"reduction": options.reduction}),
        sample_rate=form.sample_rate,
        latency=_seconds(options.latency),
        settings=settings_of(options),
    )


def _separator(options: argparse.Namespace, form: Any) -> LiveSeparator:
    from audionmf.live.separator import LiveSeparator

    known: Any = options.templates
    if options.known_model is not None:
        from audionmf.rendering.decomposition import Decomposition

        known = Decomposition.load(options.known_model)
    return LiveSeparator(
        known,
        form.n_channels,
        sample_rate=form.sample_rate,
        latency=_seconds(options.latency),
        only=options.only,
        residual=options.residual,
        settings=settings_of(options),
    )


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _source(options: argparse.Namespace) -> AudioFile | PCMStream:
    """Open the input: a file, or standard input with or without a header."""
    from audionmf.io.audio import AudioFile
    from audionmf.live.streams import PCMFormat, PCMStream

    raw = (options.rate, options.channels, options.sample_format)
    if options.input != "-":
        if any(value is not None for value in raw):
            raise ParameterError(
                "--rate, --channels and --sample-format are for raw samples on standard input (-)"
            )
        return AudioFile(Path(options.input))
    if any(value is not None for value in raw) and None in raw:
        raise ParameterError(
            "raw samples need all of --rate, --channels and --sample-format; a WAV stream none"
        )
    form = None if None in raw else PCMFormat(*raw)
    return PCMStream(sys.stdin.buffer, form)


def _to_files(
    options: argparse.Namespace,
    source: AudioFile | PCMStream,
    separator: LiveSeparator,
    sample_rate: int,
) -> int:
    from audionmf.io.files import make_room, refuse_overwriting
    from audionmf.io.lock import FolderLock
    from audionmf.io.parts import part_path
    from audionmf.live.streams import stream_to_files
    from audionmf.rendering.stems import stem_paths

    given = [path for path in (options.known_model, *options.templates) if path]
    given += [part_path(text) for text in options.noise]
    given += [] if options.input == "-" else [options.input]
    track = "stream" if options.input == "-" else Path(options.input).stem
    paths = stem_paths(options.out, track, separator.names, options.filename, options.format)
    refuse_overwriting(paths.values(), given)
    with FolderLock(options.out):
        make_room(paths.values())
        if not options.json:
            show(str(Path(options.out).absolute()), flush=True)
        _tell_latency(separator, sample_rate)
        written = stream_to_files(source, separator, paths)
    if options.json:
        print_json(
            {
                "input": options.input,
                "stems": {name: str(path) for name, path in written.paths.items()},
                "latency_ms": 1000 * separator.latency / sample_rate,
                "seconds": written.n_samples / sample_rate,
            }
        )
    else:
        for path in written.paths.values():
            show(f"  {path.relative_to(Path(options.out).resolve())}")
    if isinstance(written.interrupted, AudioNMFError):
        raise written.interrupted
    if written.interrupted is not None:
        say(f"stopped after {written.n_samples / sample_rate:.1f} s, which are in the files")
        raise written.interrupted
    return 0


def _tell_latency(separator: LiveSeparator, sample_rate: int) -> None:
    delay = 1000 * separator.latency / sample_rate
    say(f"{', '.join(map(repr, separator.names))} come {delay:.1f} ms after the input")


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands, "stream", "take a signal apart while it is played", _TEXT, _EXAMPLES, _run,
        most_used=(
            "--templates", "--only", "--noise", "--reduction", "--latency", "--rate", "--channels",
            "--sample-format", "--out", "--format",
        ),
    )  # fmt: skip
    parser.add_argument("input", metavar="INPUT", help="a file, or - for standard input")
    sources = parser.add_argument_group("the sources")
    add_templates(sources)
    sources.add_argument(
        "--model",
        dest="known_model",
        metavar="FILE",
        help="instead: a model file, made of another recording",
    )
    sources.add_argument("--only", metavar="NAME", help="give this source and the 'rest' only")
    sources.add_argument(
        "--residual", default="", metavar="NAME", help="what templates do not explain: a stem NAME"
    )
    sources.add_argument(
        "--noise",
        action="append",
        default=[],
        metavar="FILE",
        help="instead: a recording of a steady noise alone, or a part of one, FILE@START-END, which "
        "is made softer; repeat it for more",
    )
    sources.add_argument(
        "--reduction",
        type=float,
        metavar="DB",
        help="with --noise: make it softer by so much at most, 0 to 100 (default: 24)",
    )
    live = parser.add_argument_group("the stream")
    live.add_argument(
        "--latency",
        type=float,
        metavar="MS",
        help="longest delay in milliseconds (default: one window, 93 ms); less costs more",
    )
    live.add_argument("--rate", type=int, metavar="HZ", help="raw input: its sample rate")
    live.add_argument("--channels", type=int, metavar="N", help="raw input: its channels")
    live.add_argument(
        "--sample-format",
        choices=("u8", "s16", "s24", "s32", "f32", "f64"),
        help="raw input: its samples, little-endian",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "-o",
        "--out",
        "--output",
        default="separated",
        metavar="FOLDER",
        help="the output folder, or - for one source, raw, to standard output "
        "(default: %(default)s)",
    )
    add_filename(output)
    output.add_argument(
        "--format",
        default="wav",
        choices=("wav", "flac"),
        help="kind of the files: wav (float), or flac (24 bit, of any length) (default: "
        "%(default)s)",
    )
    add_settings(parser, "stream")
