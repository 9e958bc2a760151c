"""The notes of a score as a term of a sum: a template and an activation for everything that may sound.

Every key of every part becomes a *voice*: a template that is zero but near the partials of the key,
and an activation that is zero but while the score has the note sound; drums get voices for stroke,
body and ring of every key, and each part one for the attacks of its notes. What `by_score` says of
ties, bends, examples and missing notes happens here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.analysis.note_spectra import Tie, comb, smoothed
from audionmf.analysis.score_voices import (
    EXTRA_KEYS,
    Gates,
    Voice,
    bends_of,
    sounding_span,
    stroke_span,
    voices_of,
)
from audionmf.nmf.models import Spectra
from audionmf.nmf.solver import State
from audionmf.nmf.sums import fit_sum
from audionmf.sources.score import Note, Part, Score, key_hertz
from audionmf.spectra.bands import Bands
from audionmf.spectra.frames import Progress
from audionmf.spectra.stft import STFT

__all__ = ["ITERATIONS", "NoteModel", "SungSpectra", "heard_bends"]

Matrix = NDArray[np.floating[Any]]

_ATTACK_LEVEL = 0.3

_BEND_COST, _LEAST_BENT, _TRIAL_ITERATIONS = 0.1, 0.21, 40
"""L1 weight of bent notes in the trial, and the share of a part that must be bent even so."""
_TRIAL_FRAMES = 512

_PULL = 0.1
"""How much examples count beside the mixture, as a share of the mean count of the part's notes."""
_START_OPEN = 0.1
_LESSON_ITERATIONS = 40
_LESSON_KEYS = 7
_HARK_ITERATIONS = 40

_LESSON_SHARE, _LESSON_LEVEL = 0.15, 0.03
"""What a key needs to count as played in an example: of the loudest key of a frame, and what a frame
needs of the loudest frame."""

_BETWEEN = 1e-3
"""Share of a template that ends up between its partials, where something always sounds."""
ITERATIONS = 80
_GAINS_FROM, _TEMPLATES_FROM, _ATTACKS_FROM = 10, 3, 20

_MISSING_AT = (5, 15, 30, 50)
"""Iterations before which missing notes are looked for: at first before drums have learnt to sound like
a bass whose notes are missing under them."""
_MISSING_COST = 0.12
_MISSING_ITERATIONS = 20
_MISSING_LEVEL = 0.15
_MISSING_FRAMES = 3


def heard_bends(
    score: Score,
    stft: STFT,
    sample_rate: int,
    data: NDArray[np.float32],
    step: int,
    n_threads: int,
) -> list[tuple[float, ...]]:
    """Return how far the notes of each part may be bent: not at all, unless they are heard to be.

    A short fit in which bent notes cost something tells: where nothing is bent they get little. Of a
    long recording every second or fourth frame is enough for it.
    """
    bends = [bends_of(part) for part in score.parts]
    if not data.any() or not any(len(some) > 1 for some in bends):
        return bends
    trial = NoteModel(score, stft, sample_rate, bends)
    trial.bend_cost = _BEND_COST
    apart = next((n for n in (1, 2) if data.shape[1] <= n * _TRIAL_FRAMES), 4)
    trial.fit(data[:, ::apart], apart * step, n_threads, lambda *_: None, _TRIAL_ITERATIONS)
    levels = trial.heard.sum(axis=1, dtype=np.float64)
    bent = np.array([trial.is_bent(voice) for voice in trial.voices])
    notes = np.array([voice.kind == "note" for voice in trial.voices])
    for j in range(len(score.parts)):
        mine = notes & (trial.parts == j)
        if levels[mine & bent].sum() < _LEAST_BENT * levels[mine].sum():
            bends[j] = (0.0,)
    return bends


class NoteModel:
    """Templates, activations and gains of the voices of a score, as they are being learnt.

    ``rows`` (n_voices, n_bins) are the templates, each summing to 1; ``gains`` (n_parts, n_channels)
    say how a part spreads over the channels; ``heard`` (n_voices, n_frames) are the activations, in
    the unit of the pooled magnitudes.
    """

    def __init__(
        self,
        score: Score,
        stft: STFT,
        sample_rate: int,
        bends: Sequence[tuple[float, ...]] = (),
    ) -> None:
        self.score, self.stft, self.sample_rate = score, stft, sample_rate
        self.bends = bends or [bends_of(part) for part in score.parts]
        self.voices = voices_of(score, further=EXTRA_KEYS, bends=self.bends)
        self.gates = Gates(score, self.voices)
        self.rows = np.stack([self._start(voice) for voice in self.voices])
        self.gains = np.ones((len(score.parts), 1))
        self.heard = np.zeros((len(self.voices), 0), np.float32)
        self.divergence: list[float] = []
        self.bend_cost = 0.0
        self._tie = Tie(
            self.rows,
            self.voices,
            sample_rate / stft.n_fft,
            lambda v: self.bends[v.part][v.layer],
        )
        self._attacks = self.heard
        self._n_done = 0
        self._lessons: NDArray[np.float64] = np.zeros((len(self.voices), stft.n_bins))

    @property
    def parts(self) -> NDArray[np.int64]:
        """The part of each voice."""
        return np.array([voice.part for voice in self.voices])

    def is_bent(self, voice: Voice) -> bool:
        """Tell whether a voice is a note beside its key."""
        return voice.kind == "note" and self.bends[voice.part][voice.layer] != 0

    def _start(self, voice: Voice) -> NDArray[np.float64]:
        """Return where the template of a voice starts from."""
        frequencies = self.stft.frequencies(self.sample_rate)
        if voice.kind == "note":
            cents = self.bends[voice.part][voice.layer]
            row = comb(frequencies, key_hertz(voice.pitch + cents / 100))
        elif voice.kind == "attack":
            row = 1 / (frequencies + 200)
        else:
            row = np.ones(len(frequencies))
        scaled: NDArray[np.float64] = row / max(row.sum(), np.finfo(float).tiny)
        return scaled

    def fit(
        self,
        V: NDArray[np.float32],
        step: int,
        n_threads: int,
        progress: Progress,
        n_iter: int = 0,
    ) -> None:
        """Learn from V, (n_channels · n_bins, n_frames), of which every `step`-th frame is there."""
        n_channels = len(V) // self.stft.n_bins
        self.gains = np.full((len(self.score.parts), n_channels), 1 / n_channels)
        peak = np.float32(2.0 ** np.floor(np.log2(V.max())))
        data = V / peak
        seconds = step * self.stft.hop_length / self.sample_rate
        H = self.level(data, self.gates.at(0, V.shape[1], seconds, len(self.voices)))
        pooled = None if n_iter else self._pooled(data)
        for last in (n_iter,) if n_iter else (*_MISSING_AT, ITERATIONS):
            self._iterate(data, H, last - self._n_done, n_threads, progress)
            if last < ITERATIONS and pooled is not None:
                H = self._with_missing(pooled, H, seconds, n_threads)
        H = self.finish(H)
        self.divergence.append(self._value(data, H, n_threads))
        self.heard = np.ascontiguousarray(H.T) * (peak * self.loudness[:, None])

    @property
    def loudness(self) -> NDArray[np.float32]:
        """What an activation is in the root mean square of the channels, for each voice."""
        pooled: NDArray[np.float32] = np.sqrt((self.gains**2).mean(axis=1)).astype(np.float32)
        return pooled[self.parts]

    def spread(self) -> NDArray[np.float32]:
        """Return the templates on all channels, (n_voices, n_channels · n_bins)."""
        stacked = self.gains[self.parts][:, :, None] * self.rows[:, None, :]
        return np.ascontiguousarray(stacked.reshape(len(self.rows), -1), np.float32)

    def _keep(self, used: NDArray[np.int64]) -> None:
        self.gates.keep(used)
        self.voices = [self.voices[v] for v in used]
        self.rows = self.rows[used]
        self._lessons = self._lessons[used]

    def level(self, data: NDArray[np.float32], G: NDArray[np.float32]) -> NDArray[np.float32]:
        """Share the level of each frame out among the voices that may sound."""
        total = G.sum(axis=1, keepdims=True)
        level = data.sum(axis=0)[:, None]
        H: NDArray[np.float32] = G * (level / np.where(total > 0, total, 1))
        return H

    def _iterate(
        self,
        data: NDArray[np.float32],
        H: NDArray[np.float32],
        n_iter: int,
        n_threads: int,
        progress: Progress,
    ) -> None:
        """Do some iterations; H is updated in place."""

        def tell(_: State) -> None:
            progress("fit the score", self._n_done / ITERATIONS)

        sung = SungSpectra(self, H)
        fitted = fit_sum(data, [sung], max_iter=n_iter, n_threads=n_threads, callback=tell)
        self.divergence += fitted.divergence[:-1].tolist()

    @property
    def attacks(self) -> NDArray[np.bool_]:
        """Which voices are attacks."""
        return np.array([voice.kind == "attack" for voice in self.voices])

    def begin(self, H: NDArray[np.float32]) -> None:
        """Note what attacks start from, before the first iteration."""
        if self._n_done == 0:
            self._attacks = H[:, self.attacks] * np.float32(_ATTACK_LEVEL)

    def count(self, H: NDArray[np.float32]) -> None:
        """Count an iteration; when it is the turn of the attacks they begin, in H."""
        self._n_done += 1
        if self._n_done == _ATTACKS_FROM:
            H[:, self.attacks] = self._attacks

    def sounding(self) -> NDArray[np.float32]:
        """Return the templates on all channels as they are to be fitted in the next iteration.

        Notes come first: an attack could be anything. Until it is their turn attacks are silent.
        """
        rows = self.spread()
        if self._n_done < _ATTACKS_FROM:
            rows[self.attacks] = 0
        return rows

    def term(
        self, V: NDArray[np.float32], seconds: float, share: float, absent: NDArray[np.bool_]
    ) -> SungSpectra:
        """Return the term of a sum, that starts from a share of V, of which a frame takes `seconds`.

        Voices keep still where they are `absent`, (n_frames, n_voices).
        """
        gates = self.gates.at(0, V.shape[1], seconds, len(self.voices))
        gates[absent] = 0
        return SungSpectra(self, self.level(V, gates) * np.float32(share))

    def finish(self, H: NDArray[np.float32]) -> NDArray[np.float32]:
        """Leave out voices that never sound, and round templates off; return H of the others."""
        used = self.gates.used()
        self._keep(used)
        self.rows = (1 - _BETWEEN) * self.rows + _BETWEEN * smoothed(self.rows)
        kept: NDArray[np.float32] = H[:, used]
        return kept

    def move(self, rows: NDArray[np.float32], over: Matrix) -> None:
        """Update templates and gains by what each explains, drawn to what neighbours say."""
        parts, n_bins, attacks = self.parts, self.stft.n_bins, self.attacks
        explained = (rows * over).astype(np.float64).reshape(len(rows), -1, n_bins)
        if self._n_done >= _TEMPLATES_FROM:
            counts = explained.sum(axis=1)
            counts[attacks] = smoothed(counts[attacks])
            self._tie.draw(counts)
            self._draw_to_lessons(counts)
            heard = counts.sum(axis=1) > 0
            self.rows[heard] = counts[heard] / counts[heard].sum(axis=1, keepdims=True)
        if self._n_done >= _GAINS_FROM:
            for j, gain in enumerate(self.gains):
                shares = explained[parts == j].sum(axis=(0, 2))
                if shares.sum() > 0:
                    gain[:] = shares / shares.sum()

    def learn(self, part: int, V: Matrix, n_threads: int) -> None:
        """Let the notes of a part start from, and be drawn to, what an example sounds like.

        The keys that the example plays are found first, then how they sound, under the same model.
        """
        members = [k for k, v in enumerate(self.voices) if (v.part, v.kind) == (part, "note")]
        if not members or not V.any():
            return
        keys = [self.voices[k].pitch for k in members]
        score = _transcribed(V, self.stft, self.sample_rate, min(keys), max(keys))
        if score is None:
            return
        lesson = NoteModel(score, self.stft, self.sample_rate, [self.bends[part]])
        silent = lambda *_: None  # noqa: E731
        lesson.fit(np.asfortranarray(V, np.float32), 1, n_threads, silent, _LESSON_ITERATIONS)
        learnt = self._lesson_for(members, lesson)
        sums = learnt.sum(axis=1)
        for k, row, total in zip(members, learnt, sums.tolist(), strict=True):
            if total > 0:
                self._lessons[k] = row / total
                self.rows[k] = (1 - _START_OPEN) * self._lessons[k] + _START_OPEN * self.rows[k]

    def _lesson_for(self, members: Sequence[int], lesson: NoteModel) -> NDArray[np.float64]:
        """Return what a lesson says of some notes: of the same key, or else of those near it."""
        notes = [m for m, v in enumerate(lesson.voices) if v.kind == "note"]
        heard = lesson.heard.sum(axis=1, dtype=np.float64)[:, None] * lesson.rows
        mine = [dataclasses.replace(self.voices[k], part=0) for k in members]
        counts = np.zeros((len(members) + len(notes), self.stft.n_bins))
        counts[len(members) :] = heard[notes]
        known = {lesson.voices[m]: heard[m] for m in notes}
        for i, voice in enumerate(mine):
            counts[i] = known.get(voice, 0.0)
        voices = [*mine, *(lesson.voices[m] for m in notes)]
        starts = np.stack([lesson._start(voice) for voice in voices])
        bends = lesson.bends[0]
        hertz = self.sample_rate / self.stft.n_fft
        Tie(starts, voices, hertz, lambda v: bends[v.layer]).draw(counts)
        return counts[: len(members)]

    def _draw_to_lessons(self, counts: NDArray[np.float64]) -> None:
        """Add to the counts of each note, in place, what the examples would lead to expect."""
        taught = self._lessons.any(axis=1)
        for j in range(len(self.score.parts)):
            mine = taught & (self.parts == j)
            if mine.any():
                counts[mine] += _PULL * counts[mine].sum(axis=1).mean() * self._lessons[mine]

    def _value(self, data: NDArray[np.float32], H: NDArray[np.float32], n_threads: int) -> float:
        """Return the divergence."""
        now = Spectra(self.spread(), H.copy())
        return float(fit_sum(data, [now], max_iter=0, n_threads=n_threads).divergence[-1])

    def _pooled(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n_channels · n_bins, n) summed over `Bands` in each channel."""
        bands, n_bins = Bands.of(self.stft, self.sample_rate), self.stft.n_bins
        channels = [data[first : first + n_bins] for first in range(0, len(data), n_bins)]
        return np.concatenate([bands.pool(channel).T for channel in channels], axis=1).T

    def _with_missing(
        self, pooled: NDArray[np.float32], H: NDArray[np.float32], seconds: float, n_threads: int
    ) -> NDArray[np.float32]:
        """Open gates where voices explain, at a cost, what is left unexplained; return H.

        Copies of the voices with a penalty sound where the voices themselves may not. Which notes
        are missing shows on bands as well, at a third of the work.
        """
        K = len(self.voices)
        copied = np.array([k for k, v in enumerate(self.voices) if v.kind != "attack"])
        G = self.gates.at(0, len(H), seconds, K)
        rows = np.ascontiguousarray(self._pooled(self.spread().T).T)
        start = (G[:, copied] == 0) * (pooled.sum(axis=0)[:, None] * np.float32(0.05 / K))
        both = np.concatenate([H, start.astype(np.float32)], axis=1)
        penalties = np.repeat([0.0, _MISSING_COST], [K, len(copied)])
        heard = Spectra(np.concatenate([rows, rows[copied]]), both, penalties=penalties)
        fit_sum(pooled, [heard], max_iter=_MISSING_ITERATIONS, measure=False, n_threads=n_threads)
        levels = self._levels(H, G)[copied]
        spoken = both[:, K:] > _MISSING_LEVEL * np.where(levels > 0, levels, np.inf)
        spans = []
        for i, k in enumerate(copied):
            stroke = self.voices[k].kind == "stroke"
            for first, stop in _runs(spoken[:, i]):
                if stroke and not self.voices[k].layer:
                    spans += self._stroke_spans(self.voices[k], (first + 0.5) * seconds)
                elif not stroke and stop - first >= _MISSING_FRAMES:
                    spans.append((int(k), *sounding_span(first * seconds, stop * seconds)))
        self.gates.add(spans)
        opened = (self.gates.at(0, len(H), seconds, K) > 0) & (H == 0)
        guess = np.zeros_like(H)
        guess[:, copied] = np.maximum(both[:, K:], np.float32(0.02) * levels)
        result: NDArray[np.float32] = np.where(opened, guess, H)
        return result

    def _stroke_spans(
        self, stroke: Voice, onset: float
    ) -> list[tuple[float, float, float, float, float]]:
        """Return the spans of all templates of a drum for one more stroke."""
        return [
            (k, *stroke_span(onset, voice.layer))
            for k, voice in enumerate(self.voices)
            if voice.kind == "stroke" and (voice.part, voice.pitch) == (stroke.part, stroke.pitch)
        ]

    def _levels(self, H: NDArray[np.float32], G: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how loud each voice is where it sounds; of a silent key, its part's median."""
        levels = np.zeros(len(self.voices), np.float32)
        for k in range(len(levels)):
            sounding = H[G[:, k] > 0, k]
            levels[k] = np.percentile(sounding, 90) if sounding.size else 0
        notes = np.array([voice.kind == "note" for voice in self.voices])
        for j in range(len(self.score.parts)):
            mine = notes & (self.parts == j)
            heard = levels[mine & (levels > 0)]
            levels[mine & (levels == 0)] = np.median(heard) if heard.size else 0
        return levels


class SungSpectra(Spectra):
    """The voices of a score as a term of a sum; see `NoteModel.term`."""

    def __init__(self, model: NoteModel, H: NDArray[np.float32]) -> None:
        costs = [model.bend_cost if model.is_bent(voice) else 0.0 for voice in model.voices]
        super().__init__(model.spread(), H, penalties=np.array(costs), free=True)
        self._model = model
        model.begin(H)

    def effective(self) -> Matrix:
        """Return the templates of the voices that may be heard by now, on all channels."""
        self.rows = self._model.sounding()
        return self.rows

    def absorb(self, over: Matrix, sums: NDArray[np.float64]) -> None:
        """Move templates, gains and what ties them."""
        self._model.move(self.rows, over)
        self._model.count(self.activations)


def _transcribed(
    V: Matrix, stft: STFT, sample_rate: int, lowest: int, highest: int
) -> Score | None:
    """Return what an example seems to play: keys whose combs explain much of a frame."""
    from audionmf.nmf.kernels import KLKernel

    keys = range(max(12, lowest - _LESSON_KEYS), min(115, highest + _LESSON_KEYS) + 1)
    rows = np.stack([comb(stft.frequencies(sample_rate), key_hertz(key)) for key in keys])
    rows = np.ascontiguousarray(rows / rows.sum(axis=1, keepdims=True), np.float32)
    data = np.asfortranarray(V / V.max(), np.float32)
    H = np.repeat(data.sum(axis=0)[:, None] / np.float32(len(keys)), len(keys), axis=1)
    free = np.ones(len(keys), bool)
    with KLKernel(data, len(keys), 1, free, free) as kernel:
        kernel.activate(rows, H, _HARK_ITERATIONS)
    loudest = H.max(axis=1, keepdims=True)
    playing = (_LESSON_SHARE * loudest < H) & (loudest > _LESSON_LEVEL * loudest.max())
    seconds = stft.hop_length / sample_rate
    notes = [
        Note(first * seconds, stop * seconds, key, 64, stop * seconds)
        for key, on in zip(keys, playing.T, strict=True)
        for first, stop in _runs(on)
        if stop - first >= _MISSING_FRAMES
    ]
    return Score((Part("example", tuple(notes)),)) if notes else None


def _runs(spoken: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield first and one after the last of each run of True."""
    changes = np.flatnonzero(np.diff(spoken, prepend=False, append=False))
    yield from zip(changes[::2].tolist(), changes[1::2].tolist(), strict=True)
