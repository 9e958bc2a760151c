"""One stem becomes notes or strokes, piece by piece; hours need no more memory than a minute.

Whether it has a pitch, and whether it plays one note at a time, is decided once for a stem: from the
whole of a short one, from its loudest excerpts of a long one. Recordings of the source alone tell
whether it plays one note at a time, unless it rings. A stem is then heard in pieces; a note that goes
on from one piece into the next is joined.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, repeat

import numpy as np

from audionmf.analysis.naming import HeardSource, hear_source
from audionmf.io.audio import Source
from audionmf.notes.events import Heard
from audionmf.notes.lines import MAYBE_SINGLE, PitchCourse, is_line, line, pitch_course
from audionmf.notes.model import Fit, fit_keys, pitched_share, single_share
from audionmf.notes.pitched import chords
from audionmf.notes.sound import (
    RATE,
    SECONDS,
    Piece,
    Spectra,
    Vector,
    long_magnitudes,
    loud_of,
    pieces_of,
    short_levels,
    spectra_of,
)
from audionmf.notes.strokes import strokes
from audionmf.spectra.stft import STFT

__all__ = ["Stem", "hear"]

_MIN_PITCHED = 0.5
_SILENT_DB = -120.0
_FAINT_DB = 35.0
_EXCERPTS, _EXCERPT_SECONDS = 3, 20.0
_RECORDINGS = 3
_HEARING = STFT(1024, 256)
"""How recordings of a source alone are heard: whether it rings."""
_SAME_SECONDS = 0.05
_CUT_SECONDS = 0.1


@dataclass(frozen=True)
class Stem:
    """What a stem plays.

    Parameters
    ----------
    notes : list of Heard
        In the order of their onsets.
    drum : bool
        Whether they are strokes.
    """

    notes: list[Heard]
    drum: bool


class _Seen:
    """A piece, and what is computed of it when it is first asked for."""

    def __init__(self, samples: Vector) -> None:
        self.samples = samples

    @cached_property
    def levels(self) -> Vector:
        return short_levels(self.samples)

    @cached_property
    def spectra(self) -> Spectra:
        return spectra_of(self.samples)

    @cached_property
    def fit(self) -> Fit:
        return fit_keys(self.spectra)

    @cached_property
    def pitch(self) -> PitchCourse:
        return pitch_course(self.samples)

    @cached_property
    def weight(self) -> float:
        return float(self.spectra.V.sum(dtype=np.float64))


def hear(
    source: Source,
    key: int | None = None,
    *,
    kit: bool = False,
    alone: Sequence[Source] = (),
    others: Sequence[Source] = (),
) -> Stem:
    """Return what a stem plays.

    Parameters
    ----------
    source : Audio or AudioFile
        The stem, of any rate and number of channels.
    key : int, optional
        It is a drum, and this its key.
    kit : bool, default False
        It is drums of more than one kind.
    alone : sequence of Audio or AudioFile
        Recordings of the source alone, such as the examples that it was separated by. Where they
        have chords, the stem is heard as chords; where they have single notes that go on, as those
        of voices, winds and bows, as a line, for a stem also has what others left in it. Single
        notes that ring, as on a piano, say nothing: the stem itself is asked.
    others : sequence of Audio or AudioFile
        The other stems of the same recording; those of another rate or length are not asked. What
        is left of them in this stem is told from notes of chords.

    Returns
    -------
    Stem
        Without notes for silence, and where there is neither a pitch nor a stroke.
    """
    # Whatever is longer than one piece is read anew for each pass, not kept.
    ahead = list(islice(pieces_of(source), 2))
    first = _Seen(ahead[0].samples)
    whole = len(ahead) == 1
    levels = first.levels if whole else _levels(source)
    loudest = float(levels.max())
    if loudest < _SILENT_DB:
        return Stem([], drum=key is not None or kit)
    loud = loud_of(levels)
    del ahead[1:]
    pieces = [(ahead[0], first)] if whole else None
    drum = key is not None or kit
    single = False
    if not drum:
        excerpts = [first] if whole else _excerpts(source)
        drum = _mean(excerpts, [pitched_share(e.spectra, e.fit) for e in excerpts]) < _MIN_PITCHED
        single = not drum and _is_line(excerpts, _excerpts_of(alone))
    heard = []
    beside = _beside(source, () if drum or single else others)
    for (piece, seen), rest in zip(pieces or _each(source), beside, strict=False):
        softest = loudest - float(seen.levels.max())
        if drum:
            notes = strokes(seen.samples, key, softest)
        elif float(seen.levels.max()) < loud - _FAINT_DB:
            notes = []
        elif single:
            notes = line(seen.spectra, seen.fit, seen.pitch, loud)
        else:
            softer = max(0.0, loud - loud_of(seen.levels))
            spectra = (long_magnitudes(other.samples) for other in rest)
            notes = chords(seen.spectra, seen.fit, softer, spectra)
        heard.append((piece.start, piece.first, piece.last, len(seen.samples) / RATE, notes))
    return Stem(_joined(heard), drum)


def _each(source: Source) -> Iterator[tuple[Piece, _Seen]]:
    for piece in pieces_of(source):
        yield piece, _Seen(piece.samples)


def _beside(source: Source, others: Sequence[Source]) -> Iterator[list[Piece]]:
    """Yield the pieces of other stems in step with those of a stem; nothing where there are none."""
    alike = [pieces_of(other) for other in others if _alike(other, source)]
    yield from map(list, zip(*alike, strict=True)) if alike else repeat(list[Piece]())


def _alike(a: Source, b: Source) -> bool:
    return (a.sample_rate, a.n_samples) == (b.sample_rate, b.n_samples)


def _levels(source: Source) -> Vector:
    """Return how loud each frame of a stem is; those of the overlaps come twice."""
    return np.concatenate([short_levels(piece.samples) for piece in pieces_of(source)])


def _excerpts(source: Source) -> list[_Seen]:
    """Return the loudest excerpts of a stem, one a piece."""
    kept: list[tuple[float, int, _Seen]] = []
    width = round(_EXCERPT_SECONDS * RATE)
    for i, piece in enumerate(pieces_of(source)):
        start = max(0, (len(piece.samples) - width) // 2)
        x = piece.samples[start : start + width]
        kept.append((-float(np.square(x).mean()), i, _Seen(x)))
        kept = sorted(kept, key=lambda found: found[:2])[:_EXCERPTS]
    return [seen for _, _, seen in kept]


def _excerpts_of(recordings: Sequence[Source]) -> list[_Seen]:
    """Return excerpts of some recordings, those that are heard; silence tells nothing."""
    found = [excerpt for each in recordings[:_RECORDINGS] for excerpt in _excerpts(each)]
    return [excerpt for excerpt in found if float(excerpt.levels.max()) >= _SILENT_DB]


def _mean(excerpts: list[_Seen], values: list[float]) -> float:
    weights = [excerpt.weight for excerpt in excerpts]
    return float(np.average(values, weights=weights)) if sum(weights) > 0 else 0.0


def _is_line(excerpts: list[_Seen], alone: list[_Seen]) -> bool:
    """Return whether a stem plays one note at a time."""
    if not alone:
        return _are_single(excerpts)
    if not _are_single(alone):
        return False
    rings = _mean(alone, [_heard_source(e).rings for e in alone]) >= 0.5
    return _are_single(excerpts) if rings else True


def _are_single(excerpts: list[_Seen]) -> bool:
    """Return whether excerpts have one note at a time; pYIN is asked only where there is doubt."""
    single = _mean(excerpts, [single_share(e.fit.rows) for e in excerpts])
    if single < MAYBE_SINGLE:
        return False
    voiced = None
    if not is_line(single):
        voiced = _mean(excerpts, [float(e.pitch.sure.mean()) for e in excerpts])
    return is_line(single, voiced)


def _heard_source(excerpt: _Seen) -> HeardSource:
    samples = excerpt.samples[None].astype(np.float32)
    magnitudes = np.abs(_HEARING.forward(samples)[0])
    return hear_source(magnitudes, _HEARING, RATE)


def _joined(heard: Iterable[tuple[float, float, float, float, list[Heard]]]) -> list[Heard]:
    """Return the notes of all pieces, those of the core of each, joined where a piece cuts them.

    A piece is its start, first and last second of its core, its length, and its notes.
    """
    found: list[Heard] = []
    cut: dict[int, int] = {}  # which note of a key goes on after the piece before
    end = 0.0
    for start, first, last, length, notes in heard:
        going_on: dict[int, int] = {}
        latest = {n.key: i for i, n in enumerate(found) if n.onset > start + first - 1}
        for note in notes:
            moved = note._replace(onset=start + note.onset, offset=start + note.offset)
            place = None
            if note.onset < first - _SAME_SECONDS:
                if note.key in cut and moved.onset < end < moved.offset + _CUT_SECONDS:
                    place = cut[note.key]
                    offset = max(found[place].offset, moved.offset)
                    found[place] = found[place]._replace(offset=offset)
            elif note.onset < last:
                before = latest.get(note.key)
                if before is None or moved.onset > found[before].onset + _SAME_SECONDS:
                    place = len(found)
                    found.append(moved)
            if place is not None and note.offset > length - 2 * SECONDS:
                going_on[note.key] = place
        cut, end = going_on, start + length
    return sorted(found)
