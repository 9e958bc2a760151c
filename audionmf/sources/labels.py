"""Ranges of a recording where a source plays alone, or where it does not play; moments of sources.

They are given in seconds: in Python as pairs, at the shell as ``NAME=START-END``, or as the label
file that Audacity exports, each line a start, an end and a text, with tabs between them. There the
text ``NAME`` says that the source plays alone in the range, ``!NAME`` that it does not play.

A range takes its start in and leaves its end out, in samples and in frames alike: a frame belongs to
it if its centre does.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from audionmf.errors import InvalidAudioError, LimitError, ParameterError
from audionmf.io.audio import Audio, Samples, Source
from audionmf.io.control import read_small
from audionmf.io.files import StrPath, one_form, require_file
from audionmf.io.parts import seconds_from_text
from audionmf.spectra.stft import STFT

__all__ = [
    "MOST_LABELLED",
    "MOST_LABELS",
    "Labels",
    "Moments",
    "Range",
    "Ranges",
    "check_moments",
    "collect",
    "parse_moments",
    "parse_solo",
    "read_labels",
]

Ranges = Mapping[str, Sequence[tuple[float, float]]]
"""Pairs of start and end in seconds, by the name of the source."""

Moments = Sequence[Sequence[float]]
"""Hints, each of two moments in seconds or more."""

Span = tuple[int, int]
"""First sample or frame, and the one after the last."""

MOST_LABELS = 10_000
"""Ranges that may be given for one recording."""

MOST_MOMENTS = 1000
"""Moments that hints may name."""

MOST_LABELLED = 256
"""Sources that they may name."""

_ABSENT = "!"
_MAX_BYTES = 1 << 22
_MAX_SECONDS = 1e9
_OVERSHOOT = 0.1
_TOUCHING = 0.005
"""Seconds by which ranges that are meant to touch may overlap: times are rounded, hands shake."""

_RAVEN_TIMES = "Begin Time (s)", "End Time (s)"
_RAVEN_NAMES = ("annotation", "label", "source", "name", "species", "id", "call type", "comments")


@dataclass(frozen=True)
class Range:
    """A part of a recording that something is said about a source.

    Parameters
    ----------
    name : str
        The source; kept in the composed form of Unicode.
    start, end : float
        In seconds from the start of the recording, ``0 ≤ start < end``.

    Raises
    ------
    ParameterError
        If the name is empty, or the times are not such numbers.
    """

    name: str
    start: float
    end: float

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and self.name):
            raise ParameterError(f"a range needs the name of a source, not {self.name!r}")
        object.__setattr__(self, "name", one_form(self.name))
        for seconds in (self.start, self.end):
            if not (isinstance(seconds, Real) and 0 <= seconds <= _MAX_SECONDS):
                large = isinstance(seconds, Real) and seconds > _MAX_SECONDS
                raise ParameterError(
                    f"a range of {self.name!r} is given in seconds, 0 or more, not "
                    f"{'such a large number' if large else repr(seconds)}"
                )
        if self.start >= self.end:
            raise ParameterError(f"{self} does not end after it starts")

    def __str__(self) -> str:
        start, end = (
            f"{seconds:.6f}".rstrip("0").rstrip(".") for seconds in (self.start, self.end)
        )
        return f"the range of {self.name!r} from {start} to {end} s"

    def overlaps(self, other: Range) -> bool:
        """Tell whether two ranges have a moment in common."""
        return self.start < other.end and other.start < self.end


def parse_solo(text: str) -> Range:
    """Read a range written ``NAME=START-END``, the times as seconds, ``M:SS`` or ``H:MM:SS``.

    Parameters
    ----------
    text : str
        Such as ``violin=12.5-20`` or ``violin=1:02-1:10.25``.

    Raises
    ------
    ParameterError
        If it has another form.
    """
    name, _, times = text.partition("=")
    try:
        start, end = map(seconds_from_text, times.split("-"))
    except ValueError:
        raise ParameterError(
            "a range is written NAME=START-END, the times in seconds, M:SS or H:MM:SS, such as "
            f"violin=12.5-20 or violin=1:02-1:10, not {text!r}"
        ) from None
    if name.startswith(_ABSENT):
        raise ParameterError(f"{text!r}: where a source does not play is said in a label file")
    return Range(name.strip(), start, end)


def parse_moments(texts: Iterable[str], what: str) -> list[tuple[float, ...]]:
    """Read hints written ``1.5,4`` or ``0:01.5,0:04``: moments, in seconds, ``M:SS`` or ``H:MM:SS``.

    Parameters
    ----------
    texts : iterable of str
        The hints.
    what : {"same", "apart"}
        What they say, for messages.

    Raises
    ------
    ParameterError
        If one has another form.
    """
    hints = []
    for text in texts:
        try:
            moments = tuple(map(seconds_from_text, text.split(",")))
        except ValueError:
            moments = ()
        if len(set(moments)) < max(2, len(moments)):
            raise ParameterError(
                f"a hint is two different moments or more, in seconds, M:SS or H:MM:SS, such as "
                f"--{what} 1.5,4 or --{what} 0:01.5,0:04, not {text!r}"
            )
        hints.append(moments)
    return hints


def check_moments(hints: Mapping[str, Any]) -> None:
    """Check hints about moments, by what they say.

    Raises
    ------
    ParameterError
        If one is not two different moments or more, in seconds from the start.
    LimitError
        If there are more than 1000 hints.
    """
    for what, given in hints.items():
        if isinstance(given, list | tuple) and len(given) > MOST_MOMENTS:
            raise LimitError(f"more than {MOST_MOMENTS} hints; give fewer")
        listed = isinstance(given, list | tuple)
        for hint in given if listed else [given]:
            if not (listed and _are_moments(hint)):
                raise ParameterError(
                    f"{what} is a list of hints, each of two different moments in seconds or more, "
                    f"such as {what}=[(1.5, 4.0)], not {given!r}"
                )


def _are_moments(hint: Any) -> bool:
    if not isinstance(hint, list | tuple) or not 2 <= len(hint) <= MOST_MOMENTS:
        return False
    plain = all(isinstance(m, Real) and 0 <= float(m) <= _MAX_SECONDS for m in hint)
    return plain and len(set(hint)) == len(hint)


def read_labels(path: StrPath) -> tuple[list[Range], list[Range]]:
    """Read a label file as Audacity exports it, or a selection table of Raven.

    Each line is a start, an end and a text, separated by tabs; the times are seconds with a point
    or a comma, ``M:SS`` or ``H:MM:SS``. Empty lines are passed over, and so are lines that start
    with a backslash, which hold the frequencies of a spectral selection.

    A selection table of Raven is told by its head, which has the columns ``Begin Time (s)`` and
    ``End Time (s)``; the name is in the column ``Annotation``, ``Label``, ``Source``, ``Name``,
    ``Species`` or the like, or else in the last one.

    Parameters
    ----------
    path : path
        A text file in UTF-8.

    Returns
    -------
    solo, absent : list of Range
        Where a source plays alone (the text is its name), and where it does not play (its name
        after ``!``).

    Raises
    ------
    FileNotFoundError, AudioReadError
        If there is no such file, or no ordinary one.
    ParameterError
        If it is not such a file: says which line is wrong.
    LimitError
        If it holds more than 10,000 labels.
    """
    file, shown = require_file(path), repr(str(path))
    try:
        content = read_small(file, _MAX_BYTES)
        if content is None:
            raise ValueError("too large for labels")
        text = content.decode("utf-8-sig")
    except ValueError:
        raise ParameterError(
            f"{shown} is not a label file: that is a text in UTF-8, each line a start, an end and a "
            "name with tabs between them"
        ) from None
    solo: list[Range] = []
    absent: list[Range] = []
    lines = [
        (number, line)
        for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1)
        if line.strip() and not line.startswith("\\")
    ]
    if len(lines) > MOST_LABELS:
        raise LimitError(f"{shown} holds {len(lines)} labels; {MOST_LABELS} labels are the most")
    parse: Callable[[str], Range] = _parse_line
    for number, line in lines:
        if number == 1 and all(column in line.split("\t") for column in _RAVEN_TIMES):
            parse = _raven_parser(line.split("\t"))
            continue
        try:
            found = parse(line)
        except ParameterError as error:
            raise ParameterError(f"{shown}, line {number}: {error}") from None
        if found.name.startswith(_ABSENT):
            absent.append(Range(found.name[1:].strip(), found.start, found.end))
        else:
            solo.append(found)
    if not (solo or absent):
        raise ParameterError(f"{shown} holds no labels")
    return solo, absent


def collect(texts: Iterable[str] = (), path: StrPath | None = None) -> tuple[Ranges, Ranges]:
    """Return the solo ranges and the absent ranges of texts and of a label file, by source.

    Parameters
    ----------
    texts : iterable of str
        Solo ranges as `parse_solo` takes them.
    path : path, optional
        A file as `read_labels` takes it.

    Returns
    -------
    solo, absent : dict of str to list of (float, float)
        Starts and ends in seconds, as `audionmf.separate` takes them.

    Raises
    ------
    FileNotFoundError, AudioReadError, ParameterError
        As `parse_solo` and `read_labels` do.
    """
    solo, absent = ([], []) if path is None else read_labels(path)
    return _by_name([*map(parse_solo, texts), *solo]), _by_name(absent)


@dataclass(frozen=True)
class Labels:
    """What is said about the sources of one recording.

    Parameters
    ----------
    solo : tuple of Range
        Where a source plays alone. Every other source is absent there.
    absent : tuple of Range
        Where a source does not play.

    Raises
    ------
    ParameterError
        If a source plays alone where another one does, or where it does not play: names both
        ranges. Where they overlap by 5 ms or less they are taken to touch, halfway.
    LimitError
        If there are more than 10,000 ranges, or they name more than 256 sources.
    """

    solo: tuple[Range, ...]
    absent: tuple[Range, ...]

    def __post_init__(self) -> None:
        said = (*self.solo, *self.absent)
        if len(said) > MOST_LABELS:
            raise LimitError(
                f"there are {len(said)} ranges; {MOST_LABELS} are the most: join those that touch"
            )
        if len(names := {range_.name for range_ in said}) > MOST_LABELLED:
            raise LimitError(
                f"ranges name {len(names)} sources; {MOST_LABELLED} are the most that ranges may name"
            )
        touching = _touching(self.solo, self.absent)
        object.__setattr__(self, "solo", touching[0])
        object.__setattr__(self, "absent", touching[1])
        if pair := _clash([(range_, range_.name) for range_ in self.solo]):
            raise ParameterError(f"{pair[0]} and {pair[1]} overlap; only one can play alone")
        own: dict[str, list[tuple[Range, object]]] = {range_.name: [] for range_ in self.absent}
        for range_ in self.absent:
            own[range_.name].append((range_, False))
        for range_ in self.solo:
            own.get(range_.name, []).append((range_, True))
        for tagged in own.values():
            if pair := _clash(tagged):
                silent, alone = pair if (pair[0], False) in tagged else pair[::-1]
                raise ParameterError(
                    f"{alone}, where it plays alone, overlaps {silent}, where it does not play"
                )

    @classmethod
    def of(cls, solo: Ranges | None, absent: Ranges | None) -> Labels:
        """Check ranges that came as pairs by the name of the source.

        Raises
        ------
        ParameterError
            If they are not pairs of seconds, or contradict each other.
        """
        return cls(tuple(_from_pairs(solo, "solo")), tuple(_from_pairs(absent, "absent")))

    def pieces(self, source: Source, n_fft: int, what: str) -> dict[str, list[Audio]]:
        """Return what a recording holds where a source plays alone; it is read no further.

        Parameters
        ----------
        source : Audio or AudioFile
            The recording, read block by block.
        n_fft : int
            Least length of a range in samples.
        what : str
            What messages call the recording.

        Returns
        -------
        dict of str to list of Audio
            The pieces of each source, in the order of time; ranges that overlap are joined.

        Raises
        ------
        ParameterError
            If a range is not inside the recording, or shorter than `n_fft`.
        InvalidAudioError
            If the recording is silent in a range, or ends before it, whatever its header says.
        """
        rate, spans = source.sample_rate, dict[str, list[Span]]()
        for solo in self.solo:
            first, stop = _samples(solo, source, what)
            if stop - first < n_fft:
                raise ParameterError(
                    f"{solo} has {stop - first} samples, less than one window of {n_fft}; "
                    f"give {n_fft / rate:.2g} s or more, or take a smaller n_fft"
                )
            spans.setdefault(solo.name, []).append((first, stop))
        joined = {name: _union(parts) for name, parts in spans.items()}
        found = _read(source, [span for parts in joined.values() for span in parts], what)
        for name, parts in joined.items():
            for span in parts:
                if not found[span].any():
                    raise InvalidAudioError(
                        f"{what} is silent from {span[0] / rate:g} to {span[1] / rate:g} s, where "
                        f"{name!r} is said to play alone; nothing can be learnt there"
                    )
        return {name: [Audio(found[span], rate) for span in joined[name]] for name in joined}

    def silence(
        self, names: Sequence[str], source: Source, stft: STFT, what: str
    ) -> dict[str, tuple[Span, ...]]:
        """Return the frames in which sources do not play.

        Parameters
        ----------
        names : sequence of str
            All sources.
        source : Audio or AudioFile
            The recording.
        stft : STFT
            Its frames: those whose centres are in a range; to the end of the recording, all that
            are left.
        what : str
            What messages call the recording.

        Returns
        -------
        dict of str to tuple of (int, int)
            Runs of frames, from the first to before the last, of the sources that have any.

        Raises
        ------
        ParameterError
            If a range is not inside the recording, its source does not exist, or no source is left
            to play somewhere.
        """
        spans: dict[str, list[Span]] = {name: [] for name in names}
        for said in self.absent:
            if said.name not in spans:
                raise ParameterError(
                    f"{said} names no source; there are {', '.join(map(repr, names))}"
                )
            spans[said.name].append(_samples(said, source, what))
        for solo in self.solo:
            for name in spans.keys() - {solo.name}:
                spans[name].append(_samples(solo, source, what))
        common = _common([_union(parts) for parts in spans.values()])
        if common:
            start, end = (sample / source.sample_rate for sample in common[0])
            raise ParameterError(
                f"no source is left to play from {start:g} to {end:g} s; one of them has to"
            )
        frames = {name: _frames(parts, stft, source.n_samples) for name, parts in spans.items()}
        return {name: runs for name, runs in frames.items() if runs}


def _touching(
    solo: Iterable[Range], absent: Iterable[Range]
) -> tuple[tuple[Range, ...], tuple[Range, ...]]:
    """Return ranges that contradict each other for a moment with that moment parted between them."""
    ranges = [(range_, True) for range_ in solo] + [(range_, False) for range_ in absent]
    order = sorted(range(len(ranges)), key=lambda i: (ranges[i][0].start, ranges[i][0].end))
    for place, i in enumerate(order):
        for k in order[place + 1 :]:
            (first, alone), (second, also) = ranges[i], ranges[k]
            if second.start >= first.end:
                break
            contradict = (alone or also) and (alone and also) == (first.name != second.name)
            common = first.end - second.start
            if not contradict or second.end <= first.end or common > _TOUCHING:
                continue
            middle = first.end - common / 2
            if first.start < middle < second.end:
                ranges[i] = dataclasses.replace(first, end=middle), alone
                ranges[k] = dataclasses.replace(second, start=middle), also
    kept = [[r for r, alone in ranges if alone == wanted] for wanted in (True, False)]
    return tuple(kept[0]), tuple(kept[1])


def _clash(tagged: Sequence[tuple[Range, object]]) -> tuple[Range, Range] | None:
    """Return two ranges of different tags that overlap, in their order; None if there are none.

    They are swept in the order of their starts. What ends last of those so far overlaps the next one
    if any does; where that has the same tag, what ends last of the other tags.
    """
    order = sorted(range(len(tagged)), key=lambda i: tagged[i][0].start)
    last = other = -1
    for i in order:
        now, tag = tagged[i]
        rival = last if last >= 0 and tagged[last][1] != tag else other
        if rival >= 0 and tagged[rival][0].end > now.start:
            first, second = sorted((i, rival))
            return tagged[first][0], tagged[second][0]
        if last < 0 or now.end > tagged[last][0].end:
            if last >= 0 and tagged[last][1] != tag:
                other = last
            last = i
        elif tagged[last][1] != tag and (other < 0 or now.end > tagged[other][0].end):
            other = i
    return None


def _from_pairs(given: Ranges | None, what: str) -> Iterator[Range]:
    for name, pairs in (given or {}).items():
        try:
            split = [(start, end) for start, end in pairs]
        except (TypeError, ValueError):
            raise ParameterError(
                f"ranges are pairs of seconds, such as {what}={{{name!r}: [(12, 20.5)]}}, "
                f"not {pairs!r}"
            ) from None
        if not split and what == "solo":
            raise ParameterError(f"there is no range where {name!r} plays alone; give one")
        yield from (Range(name, start, end) for start, end in split)


def _samples(said: Range, source: Source, what: str) -> Span:
    """Return the samples of a range; an end that is just after that of the recording is its end."""
    if said.start >= source.duration or said.end > source.duration + _OVERSHOOT:
        raise ParameterError(f"{said} is not inside {what}, which is {source.duration:g} s long")
    first, stop = (round(seconds * source.sample_rate) for seconds in (said.start, said.end))
    return first, min(stop, source.n_samples)


def _frames(spans: Iterable[Span], stft: STFT, n_samples: int) -> tuple[Span, ...]:
    """Return the frames whose centres are in spans of samples."""
    frames = []
    for span in spans:
        first, stop = (-(-sample // stft.hop_length) for sample in span)
        frames.append((first, stft.n_frames(n_samples) if span[1] >= n_samples else stop))
    return _union(frames)


def _union(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Join spans that touch or overlap; return them in order, without those that are empty."""
    joined: list[Span] = []
    for first, stop in sorted(span for span in spans if span[0] < span[1]):
        if joined and first <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(stop, joined[-1][1])
        else:
            joined.append((first, stop))
    return tuple(joined)


def _common(unions: Sequence[tuple[Span, ...]]) -> tuple[Span, ...]:
    """Return what all of several unions of spans have in common."""
    left = unions[0]
    for union in unions[1:]:
        pairs, i, j = [], 0, 0
        while i < len(left) and j < len(union):
            a, b = left[i], union[j]
            pairs.append((max(a[0], b[0]), min(a[1], b[1])))
            i, j = (i + 1, j) if a[1] < b[1] else (i, j + 1)
        left = _union(pairs)
    return left


def _read(source: Source, spans: Sequence[Span], what: str) -> dict[Span, Samples]:
    """Read a recording block by block to the end of the last span, and keep what is in spans."""
    parts: dict[Span, list[Samples]] = {span: [] for span in spans}
    last, position = max((stop for _, stop in spans), default=0), 0
    if not last:
        return {}
    for block in source.blocks():
        end = position + block.shape[1]
        for first, stop in spans:
            if first < end and stop > position:
                # Copied, so that the rest of the block can be freed.
                parts[first, stop].append(
                    block[:, max(0, first - position) : stop - position].copy()
                )
        position = end
        if position >= last:
            break
    else:
        raise InvalidAudioError(
            f"{what} ends after {position} samples, before a range that goes to sample {last}"
        )
    return {span: np.concatenate(blocks, axis=1) for span, blocks in parts.items()}


def _parse_line(line: str) -> Range:
    fields = line.split("\t", 2)
    if len(fields) != 3 or not fields[2].strip().removeprefix(_ABSENT).strip():
        raise ParameterError("a label is a start, an end and a name with tabs between them")
    try:
        start, end = (seconds_from_text(field.strip().replace(",", ".")) for field in fields[:2])
    except ValueError as error:
        raise ParameterError(f"{error}; a time is written in seconds, M:SS or H:MM:SS") from None
    if start == end:
        raise ParameterError(f"the label at {start:g} s is a point in time; make it a range")
    return Range(fields[2].strip(), start, end)


def _raven_parser(head: list[str]) -> Callable[[str], Range]:
    """Return what reads a line of a selection table with these columns."""
    times = [head.index(column) for column in _RAVEN_TIMES]
    names = [column.strip().lower() for column in head]
    place = next((names.index(name) for name in _RAVEN_NAMES if name in names), len(head) - 1)

    def parse(line: str) -> Range:
        fields = line.split("\t")
        if len(fields) != len(head):
            raise ParameterError(f"the table has {len(head)} columns, this line {len(fields)}")
        if not fields[place].strip():
            raise ParameterError(
                f"the selection has no name in the column {head[place]!r}; write the source there"
            )
        return _parse_line("\t".join(fields[i] for i in (*times, place)))

    return parse


def _by_name(ranges: Iterable[Range]) -> dict[str, list[tuple[float, float]]]:
    named: dict[str, list[tuple[float, float]]] = {}
    for range_ in ranges:
        named.setdefault(range_.name, []).append((range_.start, range_.end))
    return named
