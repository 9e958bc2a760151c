"""Sources of a kit that are struck: one pattern of several variants each, and which are heard.

A kit holds several sounds of a source. The patterns of all, as they are, are fitted to the mixture;
the pattern of a source is their mean, each by how much it plays: for what comes next, which moves the
patterns to the mixture, that is a better start than the best one alone.

Which sources are heard shows in two things, both as shares of the mixture's magnitude that the models
leave unexplained (Kullback–Leibler divergence): how much more is left without a source while patterns
are as they are, and while they may move. Patterns that may move explain almost anything, so that the
first alone chooses the usual sources; the second adds the others, of which the first must see a trace.
The thresholds were found on eleven loops of as many kits. Blind, where the number of sources is known,
those count of the shipped kit that are missed most.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audionmf.analysis.learning import at_rate, half_window, learn_pattern, pattern_lags
from audionmf.io.audio import open_source
from audionmf.io.kept import CAN_BE_KEPT, digest, keep, package, read, states
from audionmf.nmf import convolutive
from audionmf.nmf.checks import thread_count
from audionmf.settings import Settings
from audionmf.sources.kits import kit_files
from audionmf.sources.struck import MOST_LAGS, Patterns
from audionmf.spectra.bands import Bands
from audionmf.spectra.in_order import in_order
from audionmf.spectra.stft import STFT

__all__ = ["LEAST_KIT_RATE", "RARE", "fused", "heard", "likeliest", "shipped_patterns"]

Matrix = NDArray[np.float32]

RARE = ("toms", "cymbals")
"""Sources that play now and then: they are not among the usual ones, which need less evidence."""

_MISSED, _TRACE, _GAINED = 0.01, 0.0002, 0.0125
_ITERATIONS, _WITHOUT_ITERATIONS, _MOVING_ITERATIONS = 40, 40, 15
_JUDGED_FRAMES = 2048
_LEAST = np.float32(1e-9)
_FAMILY, _MOST_KEPT = "kit", 4
"""What files of patterns are called, and of how many transforms they are kept, 1.7 MB each."""
_READ = (
    "settings.py",
    "io/*.py",
    "spectra/*.py",
    "sources/*.py",
    "sources/kit/*/*",
    "analysis/*.py",
)
_READERS = ("numpy", "scipy", "soundfile", "soxr")
"""What the patterns of the kit depend on: files of this package, and other packages."""
LEAST_KIT_RATE = 8000
"""In Hz: below it hardly anything is left of hats and cymbals."""


def fused(patterns: Patterns, V: Matrix, n_threads: int) -> Patterns:
    """Return one pattern for each source.

    Parameters
    ----------
    patterns : Patterns
        Several of a source, or one.
    V : ndarray, shape (n_bins, n_frames)
        Magnitudes of the mixture.
    n_threads : int
        Threads.
    """
    names = tuple(dict.fromkeys(patterns.labels))
    if len(names) == len(patterns.labels):
        return patterns
    fit = _Fit.of(patterns, V, n_threads)
    W = _means(patterns.patterns, patterns.labels, names, fit.played)
    return dataclasses.replace(patterns, patterns=W, labels=names)


def heard(patterns: Patterns, V: Matrix, n_threads: int) -> Patterns:
    """Return one pattern for each source that is heard; parameters as in `fused`.

    There is always one, the source that is missed most, unless all is silent: then all are kept.
    """
    names = tuple(dict.fromkeys(patterns.labels))
    if not V.any() or len(names) == 1:
        return fused(patterns, V, n_threads)
    fit = _Fit.of(patterns, V, n_threads)
    missed = {name: fit.missed(name) for name in names}
    usual = [name for name in names if missed[name] >= _MISSED and name not in RARE]
    chosen = usual or [max(names, key=lambda name: missed[name])]
    left = fit.left(chosen)
    while others := [name for name in names if name not in chosen and missed[name] >= _TRACE]:
        shares = {name: fit.left([*chosen, name]) for name in others}
        best = min(others, key=lambda name: shares[name])
        if left - shares[best] < _GAINED:
            break
        chosen.append(best)
        left = shares[best]
    kept = tuple(name for name in names if name in chosen)
    W = _means(patterns.patterns, patterns.labels, kept, fit.played)
    return dataclasses.replace(patterns, patterns=W, labels=kept)


def likeliest(patterns: Patterns, V: Matrix, count: int, n_threads: int) -> Patterns | None:
    """Return one pattern for each of so many sources, those that are missed most.

    Parameters
    ----------
    patterns, V, n_threads
        As in `fused`.
    count : int
        Sources, 1 or more.

    Returns
    -------
    Patterns or None
        None if not so many sources are missed that much.
    """
    names = tuple(dict.fromkeys(patterns.labels))
    if count > len(names) or not V.any():
        return None
    fit = _Fit.of(patterns, V, n_threads)
    chosen = fit.most_missed(names, count)
    if chosen is None:
        return None
    W = _means(patterns.patterns, patterns.labels, chosen, fit.played)
    return dataclasses.replace(patterns, patterns=W, labels=chosen)


def shipped_patterns(sample_rate: int, settings: Settings) -> Patterns | None:
    """Return the patterns of all sounds of the kit that is shipped.

    They are learnt once on a machine and kept beside the code of kernels: to read and hear all sounds
    takes as long as to import the package.

    Parameters
    ----------
    sample_rate : int
        In Hz, of the mixture.
    settings : Settings
        Options, which decide the transform.

    Returns
    -------
    Patterns or None
        None below 8 kHz, where hardly anything is left of hats and cymbals, and where the hop is so
        short that a pattern has more frames than patterns may have.
    """
    stft = half_window(settings, sample_rate)
    if sample_rate < LEAST_KIT_RATE or pattern_lags(stft, sample_rate) > MOST_LAGS:
        return None
    name = _named(sample_rate, stft)
    if CAN_BE_KEPT:
        with contextlib.suppress(OSError, RuntimeError):
            for found in read(name, _made_from()):
                with contextlib.suppress(KeyError, TypeError, ValueError):
                    W = np.frombuffer(found["code"], np.float32).reshape(found["shape"])
                    return Patterns(W.copy(), tuple(found["labels"]), stft, sample_rate)
    patterns = _learnt(sample_rate, settings)
    if CAN_BE_KEPT and patterns is not None:
        told = {"shape": patterns.patterns.shape, "labels": patterns.labels}
        with contextlib.suppress(OSError, RuntimeError):
            content = patterns.patterns.tobytes()
            keep(name, _made_from(), content, told, family=f"{_FAMILY}-*", most=_MOST_KEPT)
    return patterns


def _named(sample_rate: int, stft: STFT) -> str:
    form = sample_rate, stft.n_fft, stft.hop_length, stft.window
    return f"{_FAMILY}-{digest(repr(form).encode())}"


def _learnt(sample_rate: int, settings: Settings) -> Patterns | None:
    single = dataclasses.replace(settings, n_threads=1)  # there is little to do in each

    def learnt_of(sample: tuple[str, str]) -> Patterns | None:
        name, file = sample
        return learn_pattern([at_rate(open_source(file), sample_rate)], name, single, always=True)

    samples = [(name, file) for name, files in kit_files(True).items() for file in files]
    learnt = list(in_order(learnt_of, samples, thread_count(settings.n_threads)))
    return Patterns.merge([pattern for pattern in learnt if pattern is not None])


@functools.cache
def _made_from() -> str:
    """Return a word for all that patterns of the shipped kit are made from, and of their reading."""
    home = Path(__file__).parents[1]
    files = [file for part in _READ for file in sorted(home.glob(part))]
    return digest(states(files) + b"".join(map(package, _READERS)))


@dataclasses.dataclass(frozen=True, eq=False)
class _Fit:
    """Patterns as they are, pooled over bands, fitted to some frames of a mixture."""

    X: Matrix
    W: Matrix
    labels: tuple[str, ...]
    activations: Matrix
    share: float
    n_threads: int

    @classmethod
    def of(cls, patterns: Patterns, V: Matrix, n_threads: int) -> _Fit:
        bands = Bands.of(patterns.stft, patterns.sample_rate)
        X = bands.pool(_some(V))
        X = X / max(X.max(initial=0), np.finfo(np.float32).tiny)
        W = np.stack([bands.pool(frame) for frame in patterns.patterns])
        W = W / np.maximum(W.sum(axis=(0, 1)), _LEAST)
        model = convolutive.fit(
            X, W.shape[2], len(W), templates=W, fixed_templates=True, max_iter=_ITERATIONS, tol=0,
            n_threads=n_threads,
        )  # fmt: skip
        H = model.activations.astype(np.float32)
        share = float(model.divergence[-1]) / max(float(X.sum(dtype=np.float64)), 1e-30)
        return cls(X, W, patterns.labels, H, share, n_threads)

    @property
    def played(self) -> Matrix:
        """How much each pattern plays."""
        sums: Matrix = self.activations.sum(axis=1)
        return sums

    def missed(self, name: str, least: float = -np.inf) -> float:
        """Return how much more is left without a source while patterns are as they are.

        What is less than `least` is found only as far as to tell that.
        """
        others = [k for k, label in enumerate(self.labels) if label != name]
        total = float(self.X.sum(dtype=np.float64))
        model = convolutive.fit(
            self.X, len(others), len(self.W), templates=self.W[:, :, others],
            activations=self.activations[others], fixed_templates=True,
            max_iter=_WITHOUT_ITERATIONS, tol=0, n_threads=self.n_threads,
            callback=lambda state: state.divergence / total - self.share < least,  # it never rises
        )  # fmt: skip
        return float(model.divergence[-1]) / total - self.share

    def most_missed(self, names: Sequence[str], count: int) -> tuple[str, ...] | None:
        """Return those that are missed most, in their order; None where one of them hardly is."""
        played = dict.fromkeys(names, 0.0)
        for label, sum_ in zip(self.labels, self.played.tolist(), strict=True):
            played[label] += sum_
        found: list[tuple[float, str]] = []
        left = len(names)
        for name in sorted(names, key=lambda name: -played[name]):
            least = found[count - 1][0] if len(found) >= count else _MISSED
            missed = self.missed(name, least)
            left -= 1
            if missed >= _MISSED:
                found = sorted([*found, (missed, name)], reverse=True)
            if len(found) + left < count:
                return None
        chosen = {name for _, name in found[:count]}
        return tuple(name for name in names if name in chosen)

    def left(self, names: Collection[str]) -> float:
        """Return what sources leave whose patterns may move."""
        W = _means(self.W, self.labels, tuple(names), self.played)
        model = convolutive.fit(
            self.X, len(names), len(W), templates=W, max_iter=_MOVING_ITERATIONS, tol=0,
            n_threads=self.n_threads,
        )  # fmt: skip
        return float(model.divergence[-1]) / float(self.X.sum(dtype=np.float64))


def _means(W: Matrix, labels: tuple[str, ...], names: tuple[str, ...], played: Matrix) -> Matrix:
    """Return the mean pattern of each source, each by how much it plays; they sum to 1."""
    sums = np.maximum(W.sum(axis=(0, 1)), _LEAST)
    means = []
    for name in names:
        own = [k for k, label in enumerate(labels) if label == name]
        mean = (W[:, :, own] / sums[own] * (played[own] + _LEAST)).sum(axis=2)
        means.append(mean / max(mean.sum(), _LEAST))
    stacked: Matrix = np.stack(means, axis=-1).astype(np.float32)
    return stacked


def _some(V: Matrix) -> Matrix:
    """Return a mixture, of a long one four parts: patterns need neighbouring frames."""
    n_frames = V.shape[1]
    if n_frames <= _JUDGED_FRAMES:
        return V
    length = _JUDGED_FRAMES // 4
    starts = np.linspace(0, n_frames - length, 4).round().astype(int)
    parts = [V[:, start : start + length].T for start in starts]
    joined: Matrix = np.concatenate(parts).T
    return joined
