"""The pitch of one voice in each frame, by pYIN: candidates by YIN, the likeliest course through them.

The same as `librosa.pyin` gives, whose choices it shares where the paper leaves them open, without the
seconds in which librosa is loaded, and compiled the first time. A course changes by few bins from one
frame to the next, so that only these are looked at; any other change is as good as impossible, and the
same from everywhere.

References
----------
de Cheveigné and Kawahara, "YIN, a fundamental frequency estimator for speech and music", Journal of the
Acoustical Society of America 111(4), 2002. Mauch and Dixon, "pYIN: a fundamental frequency estimator
using probabilistic threshold distributions", ICASSP 2014.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from audionmf.notes.sound import Vector

__all__ = ["pyin"]

_THRESHOLDS = np.linspace(0, 1, 101)[1:]
_NO_TROUGH = 0.01
_DECAY = 2.0
_SWITCH = 0.01
_OCTAVES_A_SECOND = 35.92
_AT_A_TIME = 256
_TINY = float(np.finfo(np.float64).tiny)


def pyin(
    samples: Vector, low: float, high: float, rate: int, *, window: int, hop: int, bins: int
) -> tuple[Vector, NDArray[np.bool_], Vector]:
    """Return the pitch of each frame.

    Parameters
    ----------
    samples : ndarray, shape (n_samples,)
        One channel; silent before and after.
    low, high : float
        Lowest and highest pitch, in Hz.
    rate : int
        Samples a second.
    window, hop : int
        Samples of a frame, more than ``rate / low``, and from one to the next.
    bins : int
        Bins a semitone.

    Returns
    -------
    hertz : ndarray, shape (1 + n_samples // hop,)
        Pitch, in silence too.
    voiced : ndarray of bool
        Whether there is one.
    sure : ndarray
        How surely, 0 to 1.
    """
    n_bins = int(12 * bins * np.log2(high / low)) + 1
    shortest, longest = int(rate / high), int(np.ceil(rate / low))
    padded = np.pad(samples, window // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    likely = np.zeros((len(frames), n_bins))
    for first in range(0, len(frames), _AT_A_TIME):
        different = _differences(frames[first : first + _AT_A_TIME], shortest, longest)
        places, periods, shares = _candidates(different)
        found = 12 * bins * np.log2(rate / (shortest + periods) / low)
        chosen = np.maximum(np.round(found), 0).astype(int)
        inside = chosen < n_bins
        likely[first + places[inside], chosen[inside]] = shares[inside]
    sure = np.clip(likely.sum(axis=1), 0, 1)
    reach = round(_OCTAVES_A_SECOND * 12 * hop / rate) * bins + 1
    states = _course(likely, sure, reach)
    hertz = low * 2 ** ((states % n_bins) / (12 * bins))
    return hertz, states < n_bins, sure


def _differences(frames: Vector, shortest: int, longest: int) -> Vector:
    """Return how different each frame is from itself so many samples later, as YIN tells it.

    Shape (n_frames, longest - shortest + 1); 1 is the mean over shorter lags.
    """
    spectra = np.fft.rfft(frames, 2 * frames.shape[1])
    alike = np.fft.irfft(spectra.real**2 + spectra.imag**2)[:, : longest + 1]
    before = np.cumsum(np.square(frames[:, :longest]), axis=1)
    different = 2 * (alike[:, :1] - alike[:, 1:]) - before
    means = np.cumsum(different, axis=1) / np.arange(1, longest + 1)
    scaled: Vector = different[:, shortest - 1 :] / (means[:, shortest - 1 :] + _TINY)
    return scaled


def _candidates(different: Vector) -> tuple[NDArray[np.intp], Vector, Vector]:
    """Return the candidates of some frames: which frame, how many lags on, how likely."""
    troughs = np.zeros(different.shape, bool)
    troughs[:, 1:-1] = different[:, 1:-1] < different[:, :-2]
    troughs[:, 1:-1] &= different[:, 1:-1] <= different[:, 2:]
    troughs[:, 0] = different[:, 0] < different[:, 1]
    troughs[:, -1] = different[:, -1] < different[:, -2]
    places, lags = np.nonzero(troughs)
    if not len(places):
        return places, np.empty(0), np.empty(0)
    depths = different[places, lags]
    shares = _shares(places, depths)
    likely = shares > 0
    places, lags, shares = places[likely], lags[likely], shares[likely]
    return places, lags + _shifts(different, places, lags), shares


def _shares(places: NDArray[np.intp], depths: Vector) -> Vector:
    """Return how likely each trough is: over all thresholds, the shorter periods more.

    A threshold x is as likely as a beta distribution with 2 and 18 has it.
    """
    x = np.concatenate([[0.0], _THRESHOLDS])
    weights = np.diff(1 - (1 - x) ** 19 - 19 * x * (1 - x) ** 18)
    under = depths[:, None] < _THRESHOLDS
    starts = np.flatnonzero(np.diff(places, prepend=-1))
    counts = np.diff(starts, append=len(places))
    ranks = np.cumsum(under, axis=0, dtype=np.int32)
    before = np.where(starts[:, None] > 0, ranks[starts - 1], 0)
    totals = np.repeat(ranks[starts + counts - 1] - before, counts, axis=0)
    ranks -= np.repeat(before, counts, axis=0) + 1
    priors = (1 - np.exp(-_DECAY)) * np.exp(-_DECAY * np.arange(ranks.max(initial=0) + 1))
    most = 1 - np.exp(-_DECAY * np.maximum(1, np.arange(totals.max(initial=1) + 1)))
    shares: Vector = np.where(under, priors[np.maximum(ranks, 0)] / most[totals], 0) @ weights
    deepest = np.minimum.reduceat(depths, starts)
    lowest = np.flatnonzero(depths == np.repeat(deepest, counts))
    lowest = lowest[np.flatnonzero(np.diff(places[lowest], prepend=-1))]  # the first of equals
    n_above = (~under[lowest]).sum(axis=1)
    shares[lowest] += _NO_TROUGH * np.concatenate([[0.0], np.cumsum(weights)])[n_above]
    return shares


def _shifts(different: Vector, places: NDArray[np.intp], lags: NDArray[np.intp]) -> Vector:
    """Return how far the lowest point of a parabola is from each trough, -1 to 1; 0 at the edges."""
    last = different.shape[1] - 1
    here = different[places, lags]
    left, right = (different[places, np.clip(lags + d, 0, last)] for d in (-1, 1))
    bend, slope = left + right - 2 * here, (right - left) / 2
    inner = (lags > 0) & (lags < last) & (np.abs(slope) < np.abs(bend))
    shifts: Vector = np.where(inner, -slope / np.where(inner, bend, 1), 0)
    return shifts


def _course(likely: Vector, sure: Vector, reach: int) -> NDArray[np.intp]:
    """Return the likeliest course of states, voiced bins first, then as many without a voice."""
    n_frames, n_bins = likely.shape
    kept, switched = _changes(n_bins, reach)
    by_frame = np.log(likely + _TINY), np.log((1 - sure) / n_bins + _TINY)
    total = np.empty((2, n_bins))
    total[0], total[1] = by_frame[0][0], by_frame[1][0]
    held = np.full((2, n_bins + reach - 1), -np.inf)
    near = np.lib.stride_tricks.sliding_window_view(held, reach, axis=1)
    ahead = (reach - 1) // 2
    options = np.empty((2, n_bins, 2, reach))
    back = np.zeros((n_frames, 2, n_bins), np.int32)
    bins, impossible = np.arange(n_bins), np.log(_TINY)
    for t in range(1, n_frames):
        held[:, ahead : ahead + n_bins] = total
        for to in (0, 1):
            for origin in (0, 1):
                np.add(near[origin], kept if to == origin else switched, out=options[to, :, origin])
        flat = options.reshape(2, n_bins, 2 * reach)
        best = flat.argmax(axis=2)
        values = np.take_along_axis(flat, best[..., None], axis=2)[..., 0]
        origin, offset = np.divmod(best, reach)
        back[t] = origin * n_bins + bins + offset - ahead
        anywhere = int(total.argmax())
        far = values < total.flat[anywhere] + impossible
        back[t][far] = anywhere
        total = np.where(far, total.flat[anywhere] + impossible, values)
        total[0] += by_frame[0][t]
        total[1] += by_frame[1][t]
    course = np.empty(n_frames, np.intp)
    course[-1] = total.argmax()
    for t in range(n_frames - 1, 0, -1):
        course[t - 1] = back[t].flat[course[t]]
    return course


@functools.lru_cache(maxsize=1)
def _changes(n_bins: int, reach: int) -> tuple[Vector, Vector]:
    """Return the logarithm of how likely each bin comes from those around it, (n_bins, reach).

    With the voice as it was, and where it starts or ends. A change of d bins is as likely as a
    triangle over `reach` of them has it.
    """
    width = np.arange(reach)
    triangle = 1 - np.abs(2 * width - (reach - 1)) / (reach if reach % 2 == 0 else reach + 1)
    bins = np.arange(n_bins)[:, None]
    to = bins + width - reach // 2  # one bin further down than up, where `reach` is even
    sums = np.where((to >= 0) & (to < n_bins), triangle, 0).sum(axis=1)
    origin = bins + width - (reach - 1) // 2
    inside = (origin >= 0) & (origin < n_bins)
    likely = np.where(inside, triangle / sums[np.clip(origin, 0, n_bins - 1)], 0)
    with np.errstate(divide="ignore"):
        return np.log((1 - _SWITCH) * likely), np.log(_SWITCH * likely)
