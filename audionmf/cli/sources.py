"""The options that say what the sources of a recording are."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from audionmf.cli.common import add_templates
from audionmf.cli.parsing import NamedFlag
from audionmf.errors import ParameterError

__all__ = ["add_only", "add_part", "add_sources", "part_of", "ways_of"]


def add_sources(parser: argparse.ArgumentParser, otherwise: str, *, kit: bool = True) -> Any:
    """Add the options; `otherwise` says how many sources there are where none is given.

    Without `kit` a drum kit cannot be given: a command that has another option of that name.

    Returns the group of the options.
    """
    sources = parser.add_argument_group("the sources")
    sources.add_argument(
        "-n",
        "--n-sources",
        type=int,
        metavar="N",
        help=f"how many, found by place, timbre, pitch and course in time (default: {otherwise})",
    )
    sources.add_argument(
        "--lead",
        action=NamedFlag,
        metavar="NAME",
        type=_lead_name,
        help="one voice leads, such as a singer or a soloist: the stems 'lead', or NAME, and "
        "'accompaniment'",
    )
    sources.add_argument(
        "--harmonic-percussive",
        action="store_true",
        help="what holds a tone and what is struck: the stems 'harmonic' and 'percussive'",
    )
    sources.add_argument(
        "--margin",
        type=float,
        default=1.0,
        metavar="X",
        help="with --harmonic-percussive: by what factor one has to be above the other; more than 1 "
        "makes a third stem of what is neither, 'residual' (default: %(default)s)",
    )
    if kit:
        _add_kit(sources)
    add_templates(sources)
    sources.add_argument(
        "--example",
        action="append",
        default=[],
        type=_named_file,
        metavar="NAME=FILE",
        help="a recording of a source alone, or a folder of them, or a part of one, "
        "NAME=FILE@START-END; repeat it for more sources, or more files of one",
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
        help="a label file of Audacity, or a selection table of Raven: NAME where a source plays "
        "alone, !NAME where it does not play",
    )
    for name, what in (
        ("same", "is one source"),
        ("apart", "does at the later ones is not in the source of the first"),
    ):
        sources.add_argument(
            f"--{name}",
            action="append",
            default=[],
            metavar="TIME,TIME",
            help=f"where nothing is known but perhaps the number of sources: what sounds loudest at "
            f"these times in INPUT, in seconds, M:SS or H:MM:SS, {what}; repeat it for more hints",
        )
    sources.add_argument(
        "--midi",
        metavar="FILE",
        help="the score, a MIDI file: each of its tracks becomes a stem; it is moved and stretched "
        "to the recording if it does not fit",
    )
    sources.add_argument(
        "--midi-split",
        choices=("track", "channel", "key"),
        default="track",
        help="with --midi: what becomes a stem; with 'key' each drum does, and the rest by track, "
        "which is so by itself where there are drums alone (default: %(default)s)",
    )
    sources.add_argument(
        "--split-at",
        metavar="PITCH",
        help="with --midi: split pitched parts at a pitch such as C4, into 'high' and 'low'",
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
    return sources


def _add_kit(sources: Any) -> None:
    sources.add_argument(
        "--kit",
        nargs="?",
        const=True,
        default=False,
        metavar="PATH",
        dest="drum_kit",
        help="drums: a stem for kick, snare, hats, toms and cymbals, those that are heard, by a kit "
        "that is shipped; or by your own, a folder of samples (a subfolder or a file a source) or "
        "its bank",
    )


def add_only(sources: Any) -> None:
    """Add the option that sets one source against the rest."""
    sources.add_argument("--only", metavar="NAME", help="write this source and the 'rest' only")


def add_part(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a part of the recording."""
    part = parser.add_argument_group("a part of the recording")
    part.add_argument(
        "--start",
        type=_time,
        default=0.0,
        metavar="TIME",
        help="begin there, in seconds, M:SS or H:MM:SS; all other times count from there",
    )
    part.add_argument(
        "--duration", type=_time, metavar="TIME", help="go on for so long (default: to the end)"
    )


def part_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return the part, by the keywords of `audionmf.separate`."""
    return {"start": options.start, "duration": options.duration}


def ways_of(options: argparse.Namespace, n_inputs: int = 1) -> dict[str, Any]:
    """Return what the options say, as `audionmf.separate` takes it.

    Raises
    ------
    ParameterError
        If what is about one recording is given for several.
    """
    from audionmf.sources.labels import collect, parse_moments

    _refuse_lead_among_inputs(options)

    examples: dict[str, list[str]] = {}
    for name, path in options.example:
        examples.setdefault(name, []).append(path)
    solo, absent = collect(options.solo, options.labels)
    if (solo or absent) and n_inputs > 1:
        raise ParameterError("--solo and --labels are about one recording; give one input")
    same, apart = (parse_moments(getattr(options, name), name) for name in ("same", "apart"))
    if (same or apart) and n_inputs > 1:
        raise ParameterError("--same and --apart are about one recording; give one input")
    if options.midi is not None and n_inputs > 1:
        raise ParameterError("--midi is the score of one recording; give one input")
    only = {"only": options.only} if "only" in options else {}
    kit = {"kit": options.drum_kit} if "drum_kit" in options else {}
    named = {"templates": options.templates, "examples": examples, "solo": solo, "absent": absent}
    return {
        **only,
        **kit,
        **{name: value for name, value in named.items() if value},
        "n_sources": options.n_sources,
        "free": options.free,
        "residual": options.residual,
        "same": same,
        "apart": apart,
        "convert": options.convert,
        "midi": options.midi,
        "midi_split": options.midi_split,
        "split_at": options.split_at,
        "lead": options.lead,
        "harmonic_percussive": options.harmonic_percussive,
        "margin": options.margin,
    }


def _refuse_lead_among_inputs(options: argparse.Namespace) -> None:
    """Refuse a name for the lead that stands where a recording does."""
    inputs = options.input if isinstance(options.input, list) else [options.input]
    for path in inputs if options.lead is True else ():
        if path != "-" and not os.path.splitext(path)[1] and not os.path.lexists(path):  # noqa: PTH122
            raise ParameterError(
                f"there is no recording {path!r}; to call the lead so, write --lead={path}"
            )


def _lead_name(text: str) -> str:
    from audionmf.io.files import one_form
    from audionmf.io.foreign import is_audio_name

    if is_audio_name(text) or os.sep in text:
        raise argparse.ArgumentTypeError(
            f"{text!r} is the name of a file, and --lead= takes what to call the voice, such as "
            "--lead=singer; write --lead by itself, and the file after a space"
        )
    return one_form(text)


def _time(text: str) -> float:
    from audionmf.io.parts import seconds_from_text

    try:
        return seconds_from_text(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}: write it in seconds, M:SS or H:MM:SS") from None


def _named_file(text: str) -> tuple[str, str]:
    from audionmf.io.files import one_form

    name, equals, path = text.partition("=")
    if not (name and equals and path):
        called = "" if equals else Path(text).stem
        hint = f"; did you mean {f'{called}={text}'!r}?" if called else ""
        raise argparse.ArgumentTypeError(f"an example is written NAME=FILE, not {text!r}{hint}")
    return one_form(name), path
