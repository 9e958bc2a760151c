"""The options that say what is known of the sources, shared by the commands that take a mixture."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add_part", "add_sources", "known_of", "part_of"]


def add_sources(parser: argparse.ArgumentParser) -> Any:
    """Add the options; return their group."""
    sources = parser.add_argument_group("the sources")
    sources.add_argument(
        "--n-sources",
        type=int,
        metavar="N",
        help="so many, found by place, timbre, pitch and course in time (default: as many as fit)",
    )
    sources.add_argument(
        "--lead",
        action="store_true",
        help="one voice leads, such as a singer or a soloist: the stems 'lead' and 'accompaniment'",
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
        help="a recording of a source alone, or a part of one, NAME=FILE@START-END; repeat it for "
        "more sources, or more files of one",
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
        "--midi",
        metavar="FILE",
        help="the score, a MIDI file: each of its tracks becomes a stem; it is moved and stretched "
        "to the recording if it does not fit",
    )
    sources.add_argument(
        "--midi-split",
        choices=("track", "channel"),
        default="track",
        help="with --midi: what becomes a stem (default: %(default)s)",
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


def known_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the options say of the sources, by the keywords of `audionmf.separate`.

    What is at its default is left out.
    """
    from audionmf.sources.labels import collect

    examples: dict[str, list[str]] = {}
    for name, path in options.example:
        examples.setdefault(name, []).append(path)
    solo, absent = collect(options.solo, options.labels)
    known = {
        "n_sources": options.n_sources,
        "templates": options.templates or None,
        "examples": examples or None,
        "free": options.free or None,
        "residual": options.residual or None,
        "solo": solo or None,
        "absent": absent or None,
        "convert": options.convert or None,
        "midi": options.midi,
        "midi_split": None if options.midi_split == "track" else options.midi_split,
        "split_at": options.split_at,
        "lead": options.lead or None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _time(text: str) -> float:
    from audionmf.io.parts import seconds_from_text

    try:
        return seconds_from_text(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}: write it in seconds, M:SS or H:MM:SS") from None


def _named_file(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"an example is written NAME=FILE, not {text!r}")
    return name, path
