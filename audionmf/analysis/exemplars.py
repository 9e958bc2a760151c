"""Analyse a mixture by exemplars: frames of each source that know their context.

1. *Exemplars.* Templates are frames of the examples, stacked with coarse bands of the frames before
   and after (`Neighbours`), each of which counts a quarter; where they leave more than a tenth of the
   mixture unexplained, notes are lacking, and copies of some at up to six semitones join them. What
   hardly plays in the mixture is dropped.
2. *Adaptation.* One smooth equaliser a source (`fit_equalised`); then every template may move, drawn
   to where it was (`fit_drawn`).
3. *Vote.* Components of the mixture alone know which partials sound together, but not whose they
   are: each gets the shares that the masks of 2 give it, squared, and its say in the masks. What it
   sounds like moves the masks further (`component_owner`). They are left out unless they fit the
   mixture much better than the examples do. Beside free components they always vote, and their
   shares are not squared: there less is certain.

What no example explains is for free components, learnt from the mixture before 2 and with their
context, while the exemplars rest. They take every note that an example lacks, so copies join where
these explain much more of the mixture. Nothing is adapted then, and the voters always vote.

Templates of a bank bring their context if they are frames; where one has none, none has one. They
bring what the source sounded like, too, by which components of the mixture are told.

References
----------
Gemmeke, Virtanen and Hurmalainen, "Exemplar-based sparse representations for noise robust automatic
speech recognition", IEEE Transactions on Audio, Speech, and Language Processing 19(7), 2011.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf import nmf
from audionmf.analysis.beside import Beside
from audionmf.analysis.component_examples import heard_examples
from audionmf.analysis.component_features import Examples
from audionmf.analysis.component_votes import (
    Components,
    components_alone,
    have_votes,
    unexplained,
    with_voters,
    within_bands,
)
from audionmf.analysis.coverage import coverage
from audionmf.analysis.likeness import Sound
from audionmf.analysis.note_votes import Notes, likely_notes, notes_alone, with_notes
from audionmf.io.audio import Source
from audionmf.nmf.drawn import fit_drawn
from audionmf.nmf.equalise import fit_equalised, strongest
from audionmf.nmf.models import Spectra
from audionmf.nmf.solver import thread_count
from audionmf.nmf.sums import fit_sum
from audionmf.rendering.absent import Absent, absent_frames, within
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.grouping import by_label
from audionmf.settings import CPU, Settings
from audionmf.sources.templates import Templates
from audionmf.spectra.bands import Bands
from audionmf.spectra.device import stft_on
from audionmf.spectra.frames import Frames, Progress, gather
from audionmf.spectra.neighbours import BESIDE_FREE, WEIGHT, Neighbours
from audionmf.spectra.stft import STFT

__all__ = ["Exemplary", "analyse_exemplars", "is_exemplary"]

Matrix = NDArray[np.float32]

_FRAMES = 200
_COPIES = 30
_SEMITONES = 6
_COPY_PENALTY = 0.05
_UNCOVERED = 0.1
"""The share left by frames above which copies join; it is less where examples play what is heard."""
_HEARD = 0.01
_SMOOTHING_OCTAVES = 0.05
_MOVES = 20
_MOST_MOVE = 50.0
_MIXTURE_FRAMES = 2048
_PRUNING_FRAMES = 256
_EQUALISING_FRAMES = 256
_MOVING_FRAMES = 1024
_JUDGING_ITERATIONS = 30
_STARTING_ITERATIONS = 10
_LEARNING_FRAMES = 512
_AT_A_TIME = 256
_LACKING = 0.8
_LEARNING_ITERATIONS = 30
_FLOOR = np.float32(1e-9)


def is_exemplary(settings: Settings) -> bool:
    """Tell whether sources may be exemplars: these move to the mixture, under beta 1."""
    return settings.exemplars and settings.adapt_iter > 0 and settings.beta == 1


def analyse_exemplars(
    bank: Templates,
    alone: Mapping[str, Exemplary],
    silence: Absent,
    source: Source,
    settings: Settings,
    progress: Progress,
    *,
    free: Mapping[str, int] | None = None,
) -> Decomposition:
    """Analyse a mixture by exemplars.

    Parameters
    ----------
    bank : Templates
        Of all sources. Without `alone`, and where ``dictionary`` is not "frames", they are the
        exemplars, with the context that they bring.
    alone : mapping of str to Exemplary
        Frames of each source alone, and their contexts.
    silence : mapping of str to sequence of (int, int)
        Frames in which sources do not play, as `Decomposition` has them.
    source : Audio or AudioFile
        The mixture; 2048 of its frames are learnt from.
    settings : Settings
        Options.
    progress : callable
        Told the stage and the share done.
    free : mapping of str to int, optional
        How many free components each further source has.

    Returns
    -------
    Decomposition
        With the context of the templates and the voters, where there are any.
    """
    stft, rate, threads = bank.stft, bank.sample_rate, thread_count(settings.n_threads)
    known = bool(alone) and settings.dictionary == "frames"
    around = (BESIDE_FREE if free else WEIGHT) if known or bank.context is not None else None
    front = _Front.of(stft, rate, around)
    spatial = settings.spatial and source.n_channels == 2
    names, bands, made = [*bank.names, *(free or {})], front.bands, list[_Exemplars]()

    def exemplars() -> None:
        sounds = [alone[name] if known else _of_bank(bank, name) for name in bank.names]
        made.append(_exemplars(front, sounds, settings.pitch_shifts > 0))

    with Beside(threads, apart=settings.device == CPU) as side:
        # What needs to know nothing of the mixture is made while it is read.
        ready = side.start(exemplars)
        examples = side.start(
            lambda: heard_examples(bank.sounds, names, bands.frequencies, side.there)
        )
        seen = side.start(lambda: Examples([*map(bank.sounds.get, names)], bands.frequencies))
        frames = gather(
            source, stft_on(stft, settings.device), min(settings.max_frames, _MIXTURE_FRAMES),
            keep_transform=spatial,
            neighbours=front.neighbours, bands=bands, n_threads=threads,
            progress=partial(progress, "read"),
        )  # fmt: skip
        found = dataclasses.replace(
            Decomposition.of(source, frames.n_samples, bank.spectra(), settings),
            absent=within(silence, stft.n_frames(frames.n_samples)),
        )
        if not frames.V.any():
            return found
        fit = _Fit(
            found, frames, front, progress, free or {}, source, bank.sounds, side, examples, seen,
            recorded=known,
        )  # fmt: skip
        ready()
        # Exemplars are let go before components are compared, frames before sources are placed.
        del frames
        return fit.told(*fit.fitted(made.pop()))


@dataclass(frozen=True, eq=False)
class _Front:
    """The stacked spectra: `Bands` of a frame and, where they are known, its neighbours."""

    bands: Bands
    neighbours: Neighbours | None
    widths: NDArray[np.int64]
    frequencies: NDArray[np.float64]
    stft: STFT

    @classmethod
    def of(cls, stft: STFT, rate: int, around: float | None) -> _Front:
        """Return those of an STFT; `around` says how much each neighbour counts, if any does."""
        bands = Bands.of(stft, rate)
        widths = np.diff(bands.edges, append=stft.n_bins)
        neighbours = None if around is None else Neighbours.of(stft, rate, around)
        return cls(bands, neighbours, widths, stft.frequencies(rate), stft)

    @property
    def n_bands(self) -> int:
        return len(self.bands.edges)

    def stack(self, V: Matrix, context: Matrix | None) -> Matrix:
        """Return (n_bands + n_rows, n) of frames and their contexts, rows as neighbours."""
        pooled = self.bands.pool(V)
        if self.neighbours is None or context is None:
            return np.ascontiguousarray(pooled.T).T
        return self.neighbours.stacked(pooled, context)

    def smoother(self) -> NDArray[np.float64]:
        places = [self.bands.frequencies]
        if self.neighbours:
            places.append(self.neighbours.frequencies)
        f = np.concatenate(places)
        return Bands(np.arange(len(f)), f).smoother(_SMOOTHING_OCTAVES)


@dataclass(frozen=True, eq=False)
class Exemplary:
    """Frames of one source, (n_bins, n), and their contexts, (n_rows, n)."""

    V: Matrix
    context: Matrix | None

    @classmethod
    def of(cls, found: Sequence[Frames], settings: Settings) -> Exemplary:
        """Return some of the frames of recordings of the source alone."""
        V = np.concatenate([frames.V for frames in found], axis=1)
        contexts = [frames.context for frames in found if frames.context is not None]
        some = cls(V, np.concatenate(contexts, axis=1))
        return some.some(settings.n_components or _FRAMES)

    def some(self, count: int) -> Exemplary:
        """Return evenly spaced ones of those that can be heard."""
        level = self.V.sum(axis=0)
        heard = np.flatnonzero(level > level.max() * np.float32(_HEARD))
        chosen = heard[_evenly(len(heard), count)]
        return Exemplary(
            self.V[:, chosen], None if self.context is None else self.context[:, chosen]
        )


@dataclass(frozen=True, eq=False)
class _Exemplars:
    """Templates: spectra W, stacked spectra A, whose sums are 1, the source and L1 weight of each."""

    W: Matrix
    A: Matrix
    owners: NDArray[np.int64]
    penalties: Matrix

    def take(self, kept: NDArray[np.int64]) -> _Exemplars:
        return _Exemplars(self.W[:, kept], self.A[:, kept], self.owners[kept], self.penalties[kept])

    def times(self, full: NDArray[Any], stacked: NDArray[Any]) -> _Exemplars:
        """Return those with other spectra: both factors, and the sums 1 again."""
        A = self.A * stacked
        sums = A.sum(axis=0)
        sums[sums == 0] = 1
        return dataclasses.replace(
            self, W=(self.W * full / sums).astype(np.float32), A=(A / sums).astype(np.float32)
        )


def _of_bank(bank: Templates, name: str) -> Exemplary:
    mine = [k for k, label in enumerate(bank.labels) if label == name]
    context = None if bank.context is None else bank.context[:, mine]
    return Exemplary(bank.templates[:, mine], context)


def _exemplars(front: _Front, sounds: Sequence[Exemplary], copies: bool) -> _Exemplars:
    """Return the frames of all sources, and copies of some at other pitches."""
    spectra, stacks, owners, weights = [], [], [], []
    most = _SEMITONES if copies else 0
    for j, sound in enumerate(sounds):
        few = sound.some(_COPIES)
        for semitones in range(-most, most + 1):
            V, context = sound.V, sound.context
            if semitones:
                V, context = shifted(few.V, semitones, front.stft), few.context
                if context is not None and front.neighbours:
                    context = front.neighbours.shifted(context, semitones)
            spectra.append(V)
            stacks.append(front.stack(V, context))
            owners += [j] * V.shape[1]
            weights += [_COPY_PENALTY if semitones else 0] * V.shape[1]
    W, A = np.concatenate(spectra, axis=1), np.concatenate(stacks, axis=1)
    spectra.clear()
    stacks.clear()
    sums = A.sum(axis=0)
    # What is silent itself is no template, whatever is around it.
    heard = np.flatnonzero(W.any(axis=0) & (sums > 0))
    sums, W, A = sums[heard], W[:, heard], A[:, heard]
    W /= sums
    A /= sums
    return _Exemplars(W, A, np.array(owners)[heard], np.array(weights, np.float32)[heard])


class _Fit:
    """One fit of exemplars to frames of a mixture."""

    def __init__(
        self,
        found: Decomposition,
        frames: Frames,
        front: _Front,
        progress: Progress,
        free: Mapping[str, int],
        source: Source,
        sounds: Mapping[str, Matrix],
        side: Beside,
        examples: Callable[[], list[Sound | None]],
        seen: Callable[[], Examples],
        *,
        recorded: bool,
    ) -> None:
        self.found, self.frames, self.front, self.progress = found, frames, front, progress
        self.settings = found.settings
        self.threads, self.device = side.here, found.settings.device
        self.free, self.source, self.sounds, self.recorded = free, source, sounds, recorded
        self.names = [*found.templates.names, *free]
        self.side, self.examples, self.seen = side, examples, seen
        self.voters = side.start(self._components)
        self.played: Callable[[], Matrix | None] = lambda: None
        self.notes: Callable[[], Notes | None] = lambda: None
        if frames.every is None:
            stacked = front.stack(frames.V, frames.context)
        else:
            stacked = frames.every.T[:: frames.step].T
        self.peak = np.float32(2.0 ** np.floor(np.log2(stacked.max())))
        self.X: Matrix = stacked / self.peak
        self.known: Matrix | None = None  # the activations in every frame, not only in those kept

    def fitted(self, exemplars: _Exemplars) -> tuple[_Exemplars, Matrix, float]:
        """Return what plays, its activations, and the share that exemplars leave unexplained."""
        adapt = partial(self.progress, "adapt")
        plain = exemplars.take(np.flatnonzero(exemplars.penalties == 0))
        fitted, start = self._pruned(plain)
        left = self._left(fitted, start)
        found = self.side.start(partial(self._notes, left))
        self.played = self.side.start(lambda: self._everywhere(self.voters().W))
        self.notes = self.side.start(lambda: self._told(found()))
        if self.free:
            fitted, H = self._beside_free(plain, exemplars, left)
        else:
            if left > _UNCOVERED and exemplars.penalties.any():
                fitted, _ = self._pruned(exemplars)
            del exemplars, plain
            adapt(0.2)
            fitted, H = self._equalised(fitted, lambda done: adapt(0.2 + 0.5 * done))
            fitted, H = self._moved(fitted, H, lambda done: adapt(0.7 + 0.3 * done))
        if H.shape[1] < self.X.shape[1] or self.frames.every is not None:
            H = self._whole(fitted)
        self.threads = self.side.free()
        adapt(1.0)
        H *= self.peak
        return fitted, H, left

    def told(self, fitted: _Exemplars, H: Matrix, left: float) -> Decomposition:
        """Return the decomposition, with what else is told of it by the mixture."""
        found = self._decomposition(fitted, H)
        given = "the example holds" if self.recorded else "the templates hold"
        told = coverage(found.templates, H, fitted.penalties > 0, given)
        found = dataclasses.replace(found, remarks=(*found.remarks, *told))
        found = self._with_voters(found, H, left)
        X, step = self.frames.X, self.frames.step
        del self.frames, self.X
        return found if X is None else found.with_covariances(X, H, self.progress, step)

    def _some(self, count: int) -> tuple[NDArray[np.int64], Matrix]:
        chosen = _evenly(self.X.shape[1], count)
        return chosen, self.X if len(chosen) == self.X.shape[1] else self.X.T[chosen].T

    def _absent(
        self, exemplars: _Exemplars, chosen: NDArray[np.int64], step: int | None = None
    ) -> NDArray[np.bool_] | None:
        """Return when which of them are known not to play, in some of the frames `step` apart."""
        if not self.found.absent:
            return None
        step = step or self.frames.step
        places = range(0, int(chosen.max(initial=0)) * step + 1, step)
        by_source = absent_frames(self.found.absent, self.names, places)
        silent: NDArray[np.bool_] = by_source[:, chosen][exemplars.owners]
        return silent

    def _pruned(self, exemplars: _Exemplars) -> tuple[_Exemplars, Matrix]:
        """Drop those that hardly play; return the others, and their activations in some frames."""
        chosen, X = self._some(_PRUNING_FRAMES)
        fit = fit_equalised(
            X, exemplars.A, exemplars.owners.tolist(), np.empty((0, 0)),
            penalties=exemplars.penalties, absent=self._absent(exemplars, chosen), n_adapt=0,
            n_threads=self.threads, device=self.device,
        )  # fmt: skip
        return exemplars.take(fit.kept), fit.activations

    def _beside_free(
        self, plain: _Exemplars, copied: _Exemplars, left: float
    ) -> tuple[_Exemplars, Matrix]:
        """Learn free components beside exemplars; return both, and activations in some frames.

        Notes are lacking where copies explain much more of the mixture: alone, where what else
        plays would be the same, or beside the free components.
        """
        found = self._with_free(plain)
        if len(copied.owners) > len(plain.owners):
            wider, start = self._pruned(copied)
            lacking = self._left(wider, start) < _LACKING * left
            other = self._with_free(copied)
            if lacking or other[2] < _LACKING * found[2]:
                found = other
        return found[:2]

    def _with_free(self, exemplars: _Exemplars) -> tuple[_Exemplars, Matrix, float]:
        """Learn free components; drop exemplars that hardly play; return what is left unexplained."""
        chosen, X = self._some(_LEARNING_FRAMES)
        first, count = len(self.names) - len(self.free), sum(self.free.values())
        owners = np.repeat(np.arange(first, len(self.names)), [*self.free.values()])
        together = dataclasses.replace(exemplars, owners=np.append(exemplars.owners, owners))
        level = X.sum(axis=0) / np.float32(len(together.owners))
        H = np.repeat(level[:, None], len(together.owners), axis=1)
        absent = self._absent(together, chosen)
        if absent is not None:
            H[absent.T] = 0
        rows = np.random.default_rng(self.settings.seed).random((count, len(X)), np.float32)
        rows *= X.mean(axis=1) + _FLOOR
        rows /= rows.sum(axis=1, keepdims=True)
        known = Spectra(
            np.ascontiguousarray(exemplars.A.T), np.ascontiguousarray(H[:, :-count]),
            penalties=exemplars.penalties,
        )  # fmt: skip
        free = Spectra(rows, np.ascontiguousarray(H[:, -count:]), free=True)
        fit_sum(
            X, [known, free], max_iter=_LEARNING_ITERATIONS, measure=False,
            n_threads=self.threads, device=self.device,
        )  # fmt: skip
        model = known.activations @ known.rows + free.activations @ free.rows
        left = unexplained(X, model.T)
        kept = strongest(known.activations.sum(axis=0, dtype=np.float64))
        sums = np.maximum(free.rows.sum(axis=1), _FLOOR)
        A, G = free.rows.T / sums, (free.activations * sums).T
        H = np.concatenate([known.activations.T[kept], G])
        return (*self._joined(exemplars.take(kept), A, H, owners), left)

    def _joined(
        self, exemplars: _Exemplars, A: Matrix, H: Matrix, owners: NDArray[np.int64]
    ) -> tuple[_Exemplars, Matrix]:
        """Join components that are known by their bands to exemplars."""
        chosen, _ = self._some(_LEARNING_FRAMES)
        V, G, count = self.frames.V.T[chosen].T, H * self.peak, len(owners)
        others = exemplars.W @ G[:-count]
        W = within_bands(V, A[: self.front.n_bands], G[-count:], self.front.widths, others)
        joined = _Exemplars(
            np.concatenate([exemplars.W, W], axis=1),
            np.concatenate([exemplars.A, A], axis=1),
            np.append(exemplars.owners, owners),
            np.append(exemplars.penalties, np.zeros(count, np.float32)),
        )
        return joined, H

    def _left(self, exemplars: _Exemplars, start: Matrix) -> float:
        """Return the share of the mixture that exemplars leave unexplained."""
        _, X = self._some(_PRUNING_FRAMES)
        H = nmf.activate(
            X,
            exemplars.A,
            n_iter=_JUDGING_ITERATIONS,
            activations=start,
            n_threads=self.threads,
            device=self.device,
        )
        return unexplained(X, exemplars.A @ H)

    def _equalised(
        self, exemplars: _Exemplars, progress: Callable[[float], object]
    ) -> tuple[_Exemplars, Matrix]:
        """Fit an equaliser for each source; return activations in some frames too."""
        chosen, X = self._some(_EQUALISING_FRAMES)
        fit = fit_equalised(
            X, exemplars.A, exemplars.owners.tolist(), self.front.smoother(),
            penalties=exemplars.penalties, absent=self._absent(exemplars, chosen),
            n_plain=3, n_adapt=self.settings.adapt_iter, n_threads=self.threads, device=self.device,
            progress=progress,
        )  # fmt: skip
        kept = exemplars.take(fit.kept)
        bands, n_bands = self.front.bands, self.front.n_bands
        full = [bands.spread(gain[:n_bands], self.front.frequencies) for gain in fit.gains]
        gains = fit.gains[kept.owners].T
        sums = (kept.A * gains).sum(axis=0)[:, None]
        equalised = kept.times(np.stack(full)[kept.owners].T, gains)
        H = (fit.activations * sums).astype(np.float32)
        strong = strongest(H.sum(axis=1, dtype=np.float64))
        return equalised.take(strong), H[strong]

    def _moved(
        self, exemplars: _Exemplars, H: Matrix, progress: Callable[[float], object]
    ) -> tuple[_Exemplars, Matrix]:
        """Let the templates move; return activations in as many frames as that takes."""
        chosen, X = self._some(_MOVING_FRAMES)
        if len(chosen) > H.shape[1]:
            H = self._activations(
                exemplars, X, _STARTING_ITERATIONS, self._absent(exemplars, chosen)
            )
        A, H = fit_drawn(
            X, exemplars.A, H, penalties=exemplars.penalties, n_iter=_MOVES,
            n_threads=self.threads, device=self.device, progress=progress,
        )  # fmt: skip
        n_bands = self.front.n_bands
        ratio = (A[:n_bands] + _FLOOR) / (exemplars.A[:n_bands] + _FLOOR)
        ratio = np.repeat(np.minimum(ratio, np.float32(_MOST_MOVE)), self.front.widths, axis=0)
        return dataclasses.replace(exemplars, W=exemplars.W * ratio, A=A), H

    def _whole(self, exemplars: _Exemplars) -> Matrix:
        """Return the activations in the frames that were kept.

        Where the other frames are at hand, theirs are found at once: else rendering, and what looks
        at components in stretches of neighbouring frames, would find half of them again.
        """
        every, n_iter = self.frames.every, self.settings.activation_iter
        if every is None:
            absent = self._absent(exemplars, np.arange(self.X.shape[1]))
            return self._activations(exemplars, self.X, n_iter, absent)
        absent = self._absent(exemplars, np.arange(every.shape[1]), 1)
        H = self._activations(exemplars, every / self.peak, n_iter, absent)
        self.known = H * self.peak
        return H[:, :: self.frames.step]

    def _activations(
        self, exemplars: _Exemplars, X: Matrix, n_iter: int, absent: NDArray[np.bool_] | None
    ) -> Matrix:
        """Return the activations in some frames, in some of which some exemplars may be absent."""
        start = None
        if absent is not None:
            start = np.where(absent, 0, X.sum(axis=0) / len(absent)).astype(np.float32)
        H: Matrix = np.empty((len(exemplars.owners), X.shape[1]), np.float32)
        first, n_frames = 0, X.shape[1]
        while first < n_frames:
            # A few at a time, until threads beside are free and help; frames know no others.
            self.threads = self.side.free()
            few = self.threads < self.side.all
            last = min(n_frames, first + _AT_A_TIME * self.threads) if few else n_frames
            block = slice(first, last)
            H[:, block] = nmf.activate(
                X[:, block], exemplars.A, n_iter=n_iter,
                activations=None if start is None else start[:, block],
                penalties=exemplars.penalties, n_threads=self.threads, device=self.device,
            )  # fmt: skip
            first = last
        return H

    def _decomposition(self, exemplars: _Exemplars, H: Matrix) -> Decomposition:
        labels = tuple(self.names[j] for j in exemplars.owners)
        templates = dataclasses.replace(
            self.found.templates, templates=exemplars.W, labels=labels, durations=None
        )
        grouped = by_label(templates)
        near = self.front.neighbours
        weight = near.weight if near else 1.0
        around = exemplars.A[self.front.n_bands :] / np.float32(weight)
        return dataclasses.replace(
            self.found, templates=templates, penalties=exemplars.penalties, banded=True,
            grouping={name: grouped.get(name, ()) for name in self.names},
            context=around if near else None, neighbour_weight=weight,
            activations=H if self.frames.step == 1 else self.known,
        )  # fmt: skip

    # What needs to know nothing of the fit

    def _report(self, stage: str) -> Callable[[float], bool | None]:
        """Return what tells of a stage; of one beside another it only asks whether to go on."""
        if self.side.apart:
            return lambda _: self.side.stopped()
        return partial(self.progress, stage)

    def _components(self) -> Components:
        return components_alone(
            self.frames.V, self.front.bands, self.settings,
            n_threads=self.side.there, report=self._report("vote"),
        )  # fmt: skip

    def _everywhere(self, W: Matrix) -> Matrix | None:
        """Return activations of spectra in every frame, where these are at hand: once for all."""
        frames, bands = self.frames, self.front.bands
        if frames.every is not None:
            V = frames.every[: self.front.n_bands]
        elif frames.step == 1:
            V = bands.pool(frames.V)
        else:
            return None
        G: Matrix = nmf.activate(
            V, bands.pool(W), n_iter=self.settings.activation_iter,
            n_threads=self.side.there, device=self.device,
        )  # fmt: skip
        return G

    def _notes(self, left: float) -> Notes | None:
        """Return the notes of the mixture, where they will have a say."""
        if not have_votes(left, self.voters().left, free=bool(self.free)):
            return None
        bank = self.found.templates
        return notes_alone(
            self.frames, bank.stft, bank.sample_rate, self.settings,
            n_threads=self.side.there, report=self._report("notes"),
        )  # fmt: skip

    def _told(self, notes: Notes | None) -> Notes | None:
        """Return notes with all that is told of them without the fit."""
        if notes is None:
            return None
        likely = likely_notes(notes.sound, self.examples())
        return dataclasses.replace(notes, every=self._everywhere(notes.W), likely=likely)

    def _with_voters(self, found: Decomposition, H: Matrix, left: float) -> Decomposition:
        """Let components of the mixture alone have their say."""
        free, progress, examples = bool(self.free), self.progress, self.examples()
        alone = self.voters()
        voted = with_voters(
            found, self.source, self.frames.V, H, left=left, sounds=self.sounds,
            examples=examples, free=free, progress=progress, known=self.seen(),
            components=dataclasses.replace(alone, every=self.played()),
        )  # fmt: skip
        return with_notes(
            voted, self.frames, H, examples=examples, free=free, progress=progress,
            notes=self.notes,
        )  # fmt: skip


def shifted(W: Matrix, semitones: int, stft: STFT) -> Matrix:
    """Return spectra (n_bins, n) of a transform, their frequencies stretched to another pitch."""
    n_bins = len(W)
    place = stft.bins_at(stft.places / 2 ** (semitones / 12))
    below = np.minimum(place.astype(int), n_bins - 2)
    share = np.minimum(place - below, 1)[:, None].astype(np.float32)
    stretched = W[below] * (1 - share) + W[below + 1] * share
    stretched[place >= n_bins - 1] = 0
    copies: Matrix = stretched.astype(np.float32)
    return copies


def _evenly(n_frames: int, count: int) -> NDArray[np.int64]:
    """Return which of some frames are taken: `count` of them, evenly, or all."""
    if n_frames <= count:
        return np.arange(n_frames)
    return np.linspace(0, n_frames - 1, count).round().astype(np.int64)
