"""Bring a score to the clock of a recording.

Chroma of both, brought together by dynamic time warping, suggest a tempo and where it wavers; what
decides is a finer measure, how well the starts of the notes meet rises of energy at their partials.
A score that fits as it is stays as it is.

References
----------
Synchronisation by chroma: Hu, Dannenberg and Tzanetakis, "Polyphonic audio matching and alignment
for music retrieval", WASPAA 2003. Onsets as what refines it: Ewert, Müller and Grosche, "High
resolution audio synchronization using chroma onset features", ICASSP 2009.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.io.audio import Source
from audionmf.nmf.compiled import keeping_optional
from audionmf.sources.score import Alignment, Score, key_hertz
from audionmf.spectra.frames import BLOCK_FRAMES, pooled_magnitude
from audionmf.spectra.stft import STFT

__all__ = ["align"]

_LOWEST, _N_BANDS = 24, 96
_PARTIALS = ((0, 1.0), (12, 0.5), (19, 0.33), (24, 0.25), (28, 0.2))
"""Bands above a key at which its partials lie, and how much they count."""

_FINE_FRAMES = 1 << 16
_BLUR_SECONDS = 0.015
_COMPRESSION = 100.0
_DTW_FRAMES = 1500
_DTW_SECONDS = 0.1
_FIT_NOTES = 8000
_GRID_NOTES, _FEW_NOTES = 400, 8
_GAIN_MOVED = 1.05
_GAIN_FOLLOWED = 1.1
_SURE = 2.0
"""A fit above which, if nothing near is better, no other tempo is looked for: times chance."""

_KNOT_SECONDS = 2.0
_REACHES_SECONDS = (0.3, 1.0)
_LEAST_SHIFT = 0.25
"""As a share of the window."""

_LEAST_DRIFT = 0.05


def align(
    score: Score, source: Source, stft: STFT, progress: Callable[[float], object] = lambda _: None
) -> Alignment:
    """Find where the notes of a score are in a recording.

    The score is left as it is unless another place makes the starts of its notes meet clearly more
    rise of energy at their partials.

    Parameters
    ----------
    score : Score
        The notes.
    source : Audio or AudioFile
        The recording; read once, block by block.
    stft : STFT
        Its window says what is looked at; frames are taken more often than it says.
    progress : callable, optional
        Told the share done.

    Returns
    -------
    Alignment
        From the times of the score to those of the recording; `Score.moved` takes it.
    """
    heard = _listen(source, stft, progress)
    fit = _Fit(heard, score)
    as_is = Alignment()
    base = fit(as_is)
    best = max(_refined(fit, as_is), _refined(fit, _shifted(fit)), key=fit)
    starts = []
    if not (_close(best, fit, heard) and base >= _SURE):
        line, path = _warped(heard, score)
        best = max(best, _refined(fit, fit.near(line.stretch)), key=fit)
        starts.append(path)
    if _close(best, fit, heard) or not fit.gains(best, as_is, _GAIN_MOVED):
        best = as_is
    roughly = [_followed(fit, s, reach) for s in [best, *starts] for reach in _REACHES_SECONDS]
    wavering = _followed(fit, max(roughly, key=fit), min(_REACHES_SECONDS))
    wavers = max(abs(offset) for _, offset in wavering.drift) >= _LEAST_DRIFT
    return wavering if wavers and fit.gains(wavering, best, _GAIN_FOLLOWED) else best


@dataclass(frozen=True, eq=False)
class _Heard:
    """Energy of a recording in bands of a semitone, (n_bands, n_frames), and how it rises."""

    energy: NDArray[np.float32]
    rises: NDArray[np.float32]
    frame_seconds: float
    window_seconds: float

    @property
    def seconds(self) -> float:
        return float(self.energy.shape[1] * self.frame_seconds)


def _listen(source: Source, stft: STFT, progress: Callable[[float], object]) -> _Heard:
    from scipy.ndimage import gaussian_filter1d

    hop = max(1, stft.n_fft // 8)
    while hop < stft.n_fft // 2 and source.n_samples // hop > _FINE_FRAMES:
        hop *= 2
    fine = STFT(stft.n_fft, hop, stft.window)
    pool, parts, n_done = _bands(fine, source.sample_rate), [], 0
    for X in fine.forward_blocks(source.blocks(), BLOCK_FRAMES):
        parts.append(pool @ pooled_magnitude(X))
        n_done += X.shape[-1]
        progress(min(1.0, n_done * hop / source.n_samples))
    energy = np.concatenate(parts, axis=1)
    rises = np.maximum(np.diff(_level(energy), axis=1, prepend=0), 0)
    frame_seconds = hop / source.sample_rate
    blurred = gaussian_filter1d(rises, max(_BLUR_SECONDS / frame_seconds, 0.5), axis=1)
    window_seconds = stft.n_fft / source.sample_rate
    return _Heard(energy, blurred.astype(np.float32), frame_seconds, window_seconds)


def _level(energy: NDArray[Any]) -> NDArray[Any]:
    """Return the logarithm of energy, bent so that 40 dB below the loudest hardly count."""
    loudest = float(energy.max(initial=0))
    level: NDArray[Any] = np.log1p(energy * (_COMPRESSION / loudest if loudest > 0 else 0))
    return level


def _bands(stft: STFT, sample_rate: int) -> NDArray[np.float32]:
    """Return what sums bins over semitones; a bin below their spacing counts for its neighbours."""
    frequencies = stft.frequencies(sample_rate)
    centres = np.array([key_hertz(_LOWEST + band) for band in range(_N_BANDS)])
    width = np.maximum(centres * (2 ** (1 / 24) - 1), sample_rate / stft.n_fft)
    near = 1 - np.abs(frequencies[None] - centres[:, None]) / width[:, None]
    weights: NDArray[np.float32] = np.maximum(near, 0).astype(np.float32)
    return weights


class _Fit:
    """How well the starts of notes meet rises of energy, as a multiple of chance."""

    def __init__(self, heard: _Heard, score: Score) -> None:
        notes = sorted(score.notes, key=lambda note: note.onset)
        chosen = np.unique(np.linspace(0, len(notes) - 1, min(len(notes), _FIT_NOTES)).round())
        notes = [notes[int(i)] for i in chosen]
        kinds = sorted({-1 if note.drum else note.pitch for note in notes})
        self._salience = np.stack([_salience(heard.rises, kind) for kind in kinds])
        means = self._salience.mean(axis=1, keepdims=True)
        self._salience /= np.where(means > 0, means, 1)
        self._rows = np.array([kinds.index(-1 if n.drum else n.pitch) for n in notes])
        self.onsets = np.array([note.onset for note in notes])
        self.frame_seconds, self.seconds = heard.frame_seconds, heard.seconds

    def __call__(self, alignment: Alignment) -> float:
        return float(self.at(alignment.times(self.onsets)).mean())

    def gains(self, moved: Alignment, before: Alignment, factor: float) -> bool:
        """Tell whether an alignment fits better than another by a factor.

        Of a score that goes on where the recording ends, any part could be laid over it, and one with
        more notes would win: where those inside meet their rises, they must do so better, too.
        """
        sure = self._inside(before)
        better = sure < _SURE or self._inside(moved) > factor * sure
        return self(moved) > factor * self(before) and better

    def _inside(self, alignment: Alignment) -> float:
        """Return how well notes inside the recording fit; 0 where these are few."""
        times = alignment.times(self.onsets)
        inside = (times >= 0) & (times < self.seconds)
        few = inside.sum() < _FEW_NOTES
        return 0.0 if few else float(self.at(times)[inside].mean())

    def at(self, times: NDArray[np.float64], few: slice = slice(None)) -> NDArray[np.float32]:
        """Return what notes, all or a few, meet at a time each; nothing outside the recording."""
        places = np.rint(times / self.frame_seconds).astype(np.int64)
        inside = (places >= 0) & (places < self._salience.shape[1])
        met: NDArray[np.float32] = (
            self._salience[self._rows[few], np.where(inside, places, 0)] * inside
        )
        return met

    def all_shifts(self) -> NDArray[np.float64]:
        """Return shifts that leave some note inside."""
        step = max(0.02, self.seconds / 5000)
        return np.arange(-self.onsets.max(), self.seconds, step)

    def near(self, stretch: float) -> Alignment:
        """Return the best alignment with about a tempo, wherever it is."""
        stretches = stretch * 2 ** np.arange(-0.15, 0.1501, 0.01)
        return self.best(self.all_shifts(), stretches, 0.0)

    def best(
        self, shifts: NDArray[np.float64], stretches: Iterable[float], pivot: float
    ) -> Alignment:
        """Return the best of a grid; a shift is meant at the time `pivot` of the score."""
        found, top = Alignment(), -1.0
        few = slice(None, None, 1 + len(self.onsets) // _GRID_NOTES)
        for stretch in stretches:
            straight = pivot + stretch * (self.onsets[few] - pivot)
            fits = [float(self.at(straight + shift, few).mean()) for shift in shifts]
            i = int(np.argmax(fits))
            if fits[i] > top:
                shift = float(shifts[i] + (1 - stretch) * pivot)
                found, top = Alignment(shift, float(stretch)), fits[i]
        return found


def _salience(rises: NDArray[np.float32], pitch: int) -> NDArray[np.float32]:
    """Return how much energy rises at the partials of a key over time; everywhere for -1."""
    if pitch < 0:
        mean: NDArray[np.float32] = rises.mean(axis=0)
        return mean
    found = np.zeros(rises.shape[1], np.float32)
    for above, weight in _PARTIALS:
        if 0 <= pitch + above - _LOWEST < len(rises):
            found += np.float32(weight) * rises[pitch + above - _LOWEST]
    return found


def _refined(fit: _Fit, start: Alignment) -> Alignment:
    """Return what fits best near an alignment, itself where nothing near is better."""
    pivot = float(np.median(fit.onsets))
    best = start
    for reach, step, change in ((0.5, 0.02, 0.02), (0.04, 0.005, 0.003)):
        centre = best.shift + (best.stretch - 1) * pivot
        shifts = centre + np.arange(-reach, reach + step / 2, step)
        stretches = best.stretch * (1 + np.linspace(-change, change, 9))
        found = fit.best(shifts, stretches, pivot)
        best = max(best, found, key=fit)
    return best


def _shifted(fit: _Fit) -> Alignment:
    """Return the best shift at the tempo of the score."""
    return fit.best(fit.all_shifts(), [1.0], 0.0)


def _warped(heard: _Heard, score: Score) -> tuple[Alignment, Alignment]:
    """Return the path of a dynamic time warping of the chroma: the line it lies about, and itself."""
    length = max(note.end for note in score.notes)
    step = max(_DTW_SECONDS, heard.seconds / _DTW_FRAMES)
    own_step = max(_DTW_SECONDS, length / _DTW_FRAMES)
    played, written = _chroma_heard(heard, step), _chroma_written(score, own_step, length)
    with keeping_optional():
        import librosa

        _, path = librosa.sequence.dtw(written, played, metric="euclidean")
    path = path[::-1]
    x, y = path[:, 0] * own_step, path[:, 1] * step
    few = slice(None, None, max(1, len(path) // 400))
    apart = x[few, None] - x[few]
    far = apart > length / 4
    if not far.any():
        return Alignment(), Alignment()
    stretch = float(np.clip(np.median((y[few, None] - y[few])[far] / apart[far]), 0.1, 10))
    line = Alignment(float(np.median(y - stretch * x)), stretch)
    knots = np.arange(0, length + _KNOT_SECONDS, _KNOT_SECONDS)
    straight = line.times(knots)
    drift = np.interp(knots, x, y) - straight
    return line, dataclasses.replace(line, drift=_as_drift(straight, drift))


def _chroma_heard(heard: _Heard, step: float) -> NDArray[np.float64]:
    """Return how the energy of a recording, and its rise, spread over the notes of an octave."""
    per = max(1, round(step / heard.frame_seconds))
    starts = np.arange(0, heard.energy.shape[1], per)
    energy = np.add.reduceat(heard.energy.astype(np.float64), starts, axis=1)
    level = _level(energy)
    rises = np.add.reduceat(heard.rises.astype(np.float64), starts, axis=1)
    folded = [x.reshape(-1, 12, x.shape[1]).sum(axis=0) for x in (level, rises)]
    return np.concatenate([_as_chroma(folded[0]), _as_chroma(folded[1])])


def _chroma_written(score: Score, step: float, length: float) -> NDArray[np.float64]:
    roll, onsets = np.zeros((2, 12, int(length / step) + 1))
    for note in score.notes:
        if not note.drum:
            first, last = int(max(note.onset, 0) / step), int(max(note.end, 0) / step)
            chroma = (note.pitch - _LOWEST) % 12
            roll[chroma, first : last + 1] += note.velocity / 127
            onsets[chroma, first] += note.velocity / 127
    return np.concatenate([_as_chroma(roll), _as_chroma(onsets)])


def _as_chroma(energy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale frames to length 1; soft ones count as even, so that silence meets silence."""
    floor = 0.05 * np.linalg.norm(energy, axis=0).max(initial=1e-30) / np.sqrt(12)
    raised = energy + floor
    normalised: NDArray[np.float64] = raised / np.linalg.norm(raised, axis=0)
    return normalised


def _close(alignment: Alignment, fit: _Fit, heard: _Heard) -> bool:
    """Tell whether an alignment is nearly that of a score as it is: nearer than can be told.

    Neither all notes together are moved by as much as can be told, nor any of them against the
    others: of a short loop, a stretch of a quarter of a percent is no more than chance.
    """
    moved = alignment.times(fit.onsets) - fit.onsets
    common = float(moved.max() + moved.min()) / 2
    least = _LEAST_SHIFT * heard.window_seconds
    return abs(common) < least and float(moved.max() - common) < least


def _followed(fit: _Fit, alignment: Alignment, reach: float) -> Alignment:
    """Let an alignment drift where the notes about a time fit better a little earlier or later.

    Among the offsets at knots, the Viterbi algorithm finds those that fit best and change little.
    """
    times = alignment.times(fit.onsets)
    knots = np.arange(times.min(), times.max() + _KNOT_SECONDS, _KNOT_SECONDS)
    offsets = np.arange(-reach, reach + 1e-9, 0.01)
    met = np.stack([fit.at(times + offset) for offset in offsets])  # (n_offsets, n_notes)
    near = np.exp(-0.5 * ((knots[:, None] - times) / (_KNOT_SECONDS / 2)) ** 2)
    gains = near @ met.T
    change = np.abs(offsets[:, None] - offsets) * (4 * fit(alignment) / reach)
    value, came = gains[0], []
    for gain in gains[1:]:
        arriving = value - change
        came.append(arriving.argmax(axis=1))
        value = arriving.max(axis=1) + gain
    path = [int(value.argmax())]
    for back in reversed(came):
        path.append(int(back[path[-1]]))
    straight = knots
    if alignment.drift:
        places, before = np.array(alignment.drift).T
        straight = knots - np.interp(knots, places + before, before)
    drift = knots - straight + offsets[path[::-1]]
    return dataclasses.replace(alignment, drift=_as_drift(straight, drift))


def _as_drift(
    places: NDArray[np.float64], offsets: NDArray[np.float64]
) -> tuple[tuple[float, float], ...]:
    return tuple(zip(places.round(3).tolist(), offsets.round(3).tolist(), strict=True))
