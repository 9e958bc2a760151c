"""Strokes cut out of a stem: where each begins and ends, and how much of it is the source alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from audionmf.io.audio import Samples, Source, as_audio
from audionmf.io.parts import excerpt
from audionmf.notes.events import Heard
from audionmf.notes.sound import SILENCE
from audionmf.spectra.fourier import rfft

__all__ = ["Take", "cut_takes"]

_EARLIER, _LATER = 0.02, 0.06
"""Seconds around the onset as it was heard in which the stroke begins and peaks."""

_LEAD_SECONDS, _RISEN = 0.002, 0.1
_STEP_SECONDS, _TAIL_DB, _FADE_SECONDS = 0.005, -50.0, 0.01
_BEFORE_NEXT_SECONDS = 0.01
_SHORTEST_SECONDS = 0.02
_N_FFT = 1024


@dataclass(frozen=True, eq=False)
class Take:
    """A stroke of a source, cut out of its stem.

    Parameters
    ----------
    samples : ndarray, shape (n_channels, n_samples), float32
        The sound, as loud as it is in the stem, faded in and out.
    onset : float
        Where it begins, in seconds from the start of the recording.
    level_db : float
        How loud it is where it is loudest, relative to the loudest stroke of the source; 0 or less.
    clean : float
        What share of its power is its own where others sound at the same time and frequency, and
        it has died away when it ends: 1 at best, 0 at worst.
    """

    samples: Samples
    onset: float
    level_db: float
    clean: float


@dataclass(frozen=True)
class _Cut:
    first: int
    stop: int
    level_db: float
    clean: float


def cut_takes(
    name: str,
    stems: Mapping[str, Source],
    strokes: Sequence[Heard],
    *,
    most: int,
    longest: float,
) -> tuple[Take, ...]:
    """Cut the strokes of a source out of its stem, the cleanest first.

    Parameters
    ----------
    name : str
        The source.
    stems : mapping of str to Audio or AudioFile
        All stems of the recording, of one rate and length; read stroke by stroke.
    strokes : sequence of Heard
        Its strokes, in the order of their onsets.
    most : int
        How many to keep, 1 or more.
    longest : float
        Seconds of a take at most; one ends before, where the next begins or it has died away.

    Returns
    -------
    tuple of Take
        The cleanest first; of those alike, the first in the recording.
    """
    if not strokes:
        return ()
    loudest = max(stroke.level_db for stroke in strokes)
    ends = [*(stroke.onset - _BEFORE_NEXT_SECONDS for stroke in strokes[1:]), np.inf]
    cuts = [
        cut
        for stroke, end in zip(strokes, ends, strict=True)
        if (cut := _cut(name, stems, stroke, min(end, stroke.onset + longest), loudest))
    ]
    best = sorted(cuts, key=lambda cut: (-cut.clean, cut.first))[:most]
    rate = stems[name].sample_rate
    return tuple(
        Take(
            _faded(_span(stems[name], cut.first, cut.stop), rate), cut.first / rate, cut.level_db,
            cut.clean,
        )
        for cut in best
    )  # fmt: skip


def _cut(
    name: str, stems: Mapping[str, Source], stroke: Heard, end: float, loudest: float
) -> _Cut | None:
    """Return where a stroke lies in its stem; None if nothing is there."""
    stem = stems[name]
    rate = stem.sample_rate
    first = max(0, round((stroke.onset - _EARLIER) * rate))
    stop = min(stem.n_samples, round(min(end, stem.duration) * rate))
    if stop - first < _SHORTEST_SECONDS * rate:
        return None
    samples = _span(stem, first, stop)
    if not samples.any():
        return None
    onset = max(0, round(stroke.onset * rate) - first)
    begin, length = _begin(samples, onset, rate), _length(samples, rate)
    if length - begin < _SHORTEST_SECONDS * rate:
        return None
    own = samples[:, begin:length]
    others = np.zeros_like(own)
    for other, sound in stems.items():
        if other != name:
            others += _span(sound, first + begin, first + length)
    clean = _own_share(own, others) * _died_away(own, rate)
    return _Cut(first + begin, first + length, stroke.level_db - loudest, clean)


def _span(stem: Source, first: int, stop: int) -> Samples:
    """Return the samples of a stem from `first` to before `stop`."""
    rate = stem.sample_rate
    return as_audio(excerpt(stem, first / rate, (stop - first) / rate)).samples


def _begin(samples: Samples, onset: int, rate: int) -> int:
    """Return where the sound begins to rise above what sounds before the onset, a sample."""
    level = np.abs(samples[:, : onset + round(_LATER * rate)]).max(axis=0)
    before = level[: max(0, onset - round(_EARLIER / 2 * rate))].max(initial=0)
    risen = np.flatnonzero(level > before + _RISEN * (level.max() - before))
    rise = int(risen[0]) if len(risen) else onset
    return max(0, rise - round(_LEAD_SECONDS * rate))


def _length(samples: Samples, rate: int) -> int:
    """Return after how many samples the sound has died away."""
    levels = _levels(samples, rate)
    step = max(1, round(_STEP_SECONDS * rate))
    heard = np.flatnonzero(levels > levels.max() * 10 ** (_TAIL_DB / 20))
    return min(samples.shape[1], (int(heard[-1]) + 2) * step) if len(heard) else 0


def _levels(samples: Samples, rate: int) -> Samples:
    """Return the root mean squares of short steps, shape (n_steps,)."""
    step = max(1, round(_STEP_SECONDS * rate))
    padded = np.pad(samples, ((0, 0), (0, -samples.shape[1] % step)))
    squares = padded.reshape(len(samples), -1, step).astype(np.float64) ** 2
    levels: Samples = np.sqrt(squares.mean(axis=(0, 2)))
    return levels


def _died_away(samples: Samples, rate: int) -> float:
    """Return 1 where the end is silent, less where it is cut while it still sounds."""
    levels = _levels(samples, rate)
    return float(1 - levels[-2:].min() / (levels.max() + SILENCE))


def _own_share(own: Samples, others: Samples) -> float:
    """Return the mean over power of what share of each bin is the source's own, 0 to 1."""
    mine, rest = _powers(own), _powers(others)
    return float((mine * mine / (mine + rest + SILENCE)).sum() / (mine.sum() + SILENCE))


def _powers(samples: Samples) -> Samples:
    """Return power spectra of half-overlapping pieces, channels added up."""
    padded = np.pad(samples, ((0, 0), (0, max(0, _N_FFT - samples.shape[1]) + _N_FFT)))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, _N_FFT, axis=-1)[:, :: _N_FFT // 2]
    spectra = rfft(pieces * np.hanning(_N_FFT))
    powers: Samples = (np.abs(spectra) ** 2).sum(axis=0)
    return powers


def _faded(samples: Samples, rate: int) -> Samples:
    """Return a copy that starts and ends in silence."""
    faded = samples.copy()
    n_in = min(samples.shape[1], max(1, round(_LEAD_SECONDS * rate)))
    n_out = min(samples.shape[1], max(1, round(_FADE_SECONDS * rate)))
    faded[:, :n_in] *= np.linspace(0, 1, n_in, endpoint=False, dtype=np.float32)
    faded[:, -n_out:] *= np.linspace(1, 0, n_out, dtype=np.float32)
    return faded
