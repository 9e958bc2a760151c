"""Analyse a mixture of whose sources different things are known: each gets the model that suits it.

A score for some, a recording of others, a singer, a rest of which nothing is known: all of them are
terms of one sum (`nmf.fit_sum`) and fitted together. Notes are the model of `note_model`, a voice that
of `voice_model`, sources whose sound is known are frames through one smooth equaliser each, or, where
all they do is being struck and patterns leave less of the mixture unexplained, patterns; what is not
known at all is free components.

All frames are in memory, since a melody and patterns need neighbours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from audionmf.analysis.by_example import known_spectra, with_shifts
from audionmf.analysis.learning import at_rate, learn_pattern, stft_of
from audionmf.analysis.note_model import NoteModel, heard_bends
from audionmf.analysis.voice_model import VoiceSpectra, rows_of
from audionmf.errors import LimitError, ParameterError
from audionmf.io.audio import Source
from audionmf.nmf import SourceModel, Spectra, State, fit_sum
from audionmf.nmf.equalise import EqualisedSpectra
from audionmf.nmf.patterned import Patterned
from audionmf.nmf.solver import Callback, thread_count
from audionmf.nmf.sums import Fitted
from audionmf.nmf.voice import Voice
from audionmf.rendering.absent import Absent, absent_frames, within
from audionmf.rendering.decomposition import Decomposition, Mixture
from audionmf.rendering.grouping import by_label
from audionmf.settings import Settings
from audionmf.sources.alignment import align
from audionmf.sources.known import Account
from audionmf.sources.score import Score
from audionmf.sources.struck import Patterns
from audionmf.sources.templates import Templates
from audionmf.spectra.bands import Bands
from audionmf.spectra.frames import Frames, Progress, describe_source, gather
from audionmf.spectra.stft import STFT

__all__ = ["analyse_several"]

Matrix = NDArray[np.float32]

_MAX_FRAMES = 16384
_COMPONENTS = 40
_ITERATIONS, _ITERATIONS_WITH_NOTES = 30, 60
_TRIED_ITERATIONS = 10
_VOICE_SHARE = 0.3
_SMOOTHING_OCTAVES = 0.05
_FRAME_COST = 0.1
"""L1 weight on frames of an example beside notes: a few hundred frames explain nearly anything, notes
only what the score has."""


def analyse_several(
    account: Account,
    source: Source,
    settings: Settings,
    progress: Progress,
    watch: Callback | None = None,
) -> Decomposition:
    """Analyse a mixture by models of all kinds, one for each source, in one sum.

    Parameters
    ----------
    account : Account
        Every source, with whatever is known of it: notes, a voice, its sound, or nothing.
    source : Audio or AudioFile
        The mixture.
    settings : Settings
        Options; ``n_components`` is the number of free components of a source of which nothing is
        known (40); ``model`` may ask for frames of all whose sound is known, or for patterns of those
        that are struck, whatever these leave unexplained.
    progress : callable
        Told the stage and the share done.
    watch : callable, optional
        Called with the `nmf.State` after each iteration; returning True ends the fit.

    Returns
    -------
    Decomposition
        With activations for every frame; ``keys`` where notes or a melody say them.

    Raises
    ------
    ParameterError
        If another β than 1 is asked for, there are two voices, or a voice is known by its sound.
    LimitError
        If the recording has more than 16384 frames, 6 minutes by default.
    ScoreError
        If no note lies within the recording.
    """
    if settings.beta != 1:
        raise ParameterError(
            "sources of which different things are known are fitted under beta 1 only"
        )
    if len(account.voices) > 1:
        raise ParameterError("one voice can lead at a time: leave out all but one")
    for name in account.voices:
        if account.sources[name].sounds:
            raise ParameterError(
                f"a lead is known by its melody: leave out examples, templates and ranges of {name!r} "
                "alone, or the lead"
            )
        if len(account.sources) == 1:
            raise ParameterError(
                "a lead has an accompaniment, which takes all else: leave out the residual"
            )
    bank = _bank(account, source, settings, progress)
    stft = stft_of(settings, source.sample_rate) if bank is None else bank.stft
    most = min(_MAX_FRAMES, settings.max_frames)
    _check_length(stft, source.n_samples, most, source)
    frames = gather(
        source, stft, most, keep_transform=settings.spatial and source.n_channels == 2,
        n_threads=thread_count(settings.n_threads), progress=partial(progress, "read"),
    )  # fmt: skip
    _check_length(stft, frames.n_samples, most, source)  # of which a header may say too little
    silence = account.labels.silence(account.names, source, stft, describe_source(source))
    score = account.score
    if score is not None:
        moved = align(score, source, stft, partial(progress, "align"))
        score = score.moved(moved).within(source.n_samples / source.sample_rate)
    made = _Terms(
        account, score, bank, source, settings, frames, stft,
        within(silence, frames.V.shape[1]), progress,
    )  # fmt: skip
    return made.fitted(watch)


def _check_length(stft: STFT, n_samples: int, most: int, source: Source) -> None:
    if stft.n_frames(n_samples) > most:
        raise LimitError(
            f"{describe_source(source)} has more than the {most} frames in which sources of which "
            "different things are known are found (6 minutes by default); cut it, or take a larger "
            "hop"
        )


def _bank(
    account: Account, source: Source, settings: Settings, progress: Progress
) -> Templates | None:
    """Return the spectra of the sources that are known by their sound alone."""
    by_sound = {
        name: known
        for name, known in account.sounding.items()
        if known.notes is None and not known.voice
    }
    if not by_sound:
        return None
    return known_spectra(dataclasses.replace(account, sources=by_sound), source, settings, progress)


@dataclass(frozen=True, eq=False)
class _Term:
    """A model, and how it is written as components: W (n_bins, n), H (n, n_frames), labels, keys."""

    model: SourceModel
    write: Callable[[], tuple[Matrix, Matrix, tuple[str, ...], tuple[int, ...]]]


@dataclass(frozen=True, eq=False)
class _Terms:
    """The terms of one mixture: made, fitted together, and written as components."""

    account: Account
    score: Score | None
    bank: Templates | None
    source: Source
    settings: Settings
    frames: Frames
    stft: STFT
    silence: Absent
    progress: Progress

    def fitted(self, watch: Callback | None) -> Decomposition:
        """Return the decomposition; struck sounds are patterns where these leave less."""
        n_iter = _ITERATIONS if self.score is None else _ITERATIONS_WITH_NOTES
        terms, struck = self.made({}), self._struck()
        if struck:
            tries = [terms, self.made(struck)]
            left = [self._tried(some).divergence[-1] for some in tries]
            always = self.settings.model == "patterns"
            terms = tries[1 if always or left[1] < left[0] else 0]
            n_iter -= _TRIED_ITERATIONS
        return self._decomposition(terms, self._fit(terms, n_iter, watch))

    def made(self, struck: dict[str, Patterns]) -> list[_Term]:
        """Return the terms as they start; sources among `struck` are patterns."""
        rng = np.random.default_rng(self.settings.seed)
        known = self.account.sources
        unknown = {
            name: one.free or self.settings.n_components or _COMPONENTS
            for name, one in known.items()
            if one.free or not (one.sounds or one.notes or one.voice)
        }
        by_frames = [] if self.bank is None else [n for n in self.bank.names if n not in struck]
        voices = self.account.voices
        n_terms = bool(self.score) + len(by_frames) + len(struck) + len(unknown)
        share = np.float32((1 - _VOICE_SHARE * len(voices)) / max(1, n_terms))
        return [
            *([self._sung(self.score, share)] if self.score else []),
            *(self._voice(name, rng) for name in voices),
            *(self._framed(self.bank, name, share) for name in by_frames if self.bank),
            *(self._patterned(name, some, share) for name, some in struck.items()),
            *(self._free(name, count, share, rng) for name, count in unknown.items()),
        ]

    def _without_part(self) -> list[str]:
        """Say which sources a score does not know, of which some may be called wrongly."""
        known = self.account.sources.items()
        others = [name for name, one in known if one.notes is None and one.sounds]
        if self.score is None or not others:
            return []
        return [
            f"the score has no part {', '.join(map(repr, others))}: taken as sources beside its "
            f"parts {', '.join(map(repr, self.score.names))}"
        ]

    def _tried(self, terms: Sequence[_Term]) -> Fitted:
        """Fit for a few iterations, of which nothing but that they go on is told."""
        return self._run(terms, _TRIED_ITERATIONS, lambda _: self.progress("try patterns", 0.0))

    def _fit(self, terms: Sequence[_Term], n_iter: int, watch: Callback | None) -> Fitted:
        def callback(state: State) -> bool | None:
            self.progress("fit all sources", state.iteration / state.max_iter)
            return watch(state) if watch else None

        can = all(term.model.carried for term in terms)
        return self._run(terms, n_iter, callback, accelerated=can)

    def _run(
        self,
        terms: Sequence[_Term],
        n_iter: int,
        callback: Callable[[State], bool | None],
        *,
        accelerated: bool = False,
    ) -> Fitted:
        return fit_sum(
            self.frames.V, [term.model for term in terms], max_iter=n_iter, accelerated=accelerated,
            n_threads=thread_count(self.settings.n_threads), callback=callback,
        )  # fmt: skip

    def _struck(self) -> dict[str, Patterns]:
        """Return the patterns of those sources that are known by examples of one struck sound."""
        if self.bank is None or self.settings.model == "frames":
            return {}
        found = {}
        for name in self.bank.names:
            known = self.account.sources[name]
            if known.recordings and known.bank is None and not known.alone:
                recordings = [at_rate(one, self.source.sample_rate) for one in known.opened]
                learnt = learn_pattern(recordings, name, self.settings, stft=self.stft)
                if learnt is not None:
                    found[name] = learnt
        return found

    def _absent(self, labels: Sequence[str]) -> NDArray[np.bool_]:
        """Return where components with these labels do not play, (n_frames, n_labels)."""
        frames = range(self.frames.V.shape[1])
        return absent_frames(self.silence, labels, frames).T

    def _level(self, share: np.float32) -> Matrix:
        """Return how loud a source starts in each frame, (n_frames, 1)."""
        level: Matrix = self.frames.V.sum(axis=0)[:, None] * share
        return level

    def _sung(self, score: Score, share: np.float32) -> _Term:
        """Return the notes of the score, which examples of its parts have taught how to sound."""
        V, rate = self.frames.V, self.source.sample_rate
        threads = thread_count(self.settings.n_threads)
        what = describe_source(self.source)
        pieces = self.account.labels.pieces(self.source, self.stft.n_fft, what)
        model = NoteModel(
            score, self.stft, rate, heard_bends(score, self.stft, rate, V, 1, threads)
        )
        for j, part in enumerate(score.parts):
            opened = self.account.sources[part.name].opened
            alone = [*(at_rate(one, rate) for one in opened), *pieces.get(part.name, [])]
            read = [gather(one, self.stft, _MAX_FRAMES, n_threads=threads).V for one in alone]
            if read:
                model.learn(j, np.concatenate(read, axis=1), threads)
        labels = [score.parts[voice.part].name for voice in model.voices]
        seconds = self.stft.hop_length / rate
        term = model.term(V, seconds, float(share), self._absent(labels))

        def write() -> tuple[Matrix, Matrix, tuple[str, ...], tuple[int, ...]]:
            H = model.finish(term.activations)
            names = tuple(score.parts[voice.part].name for voice in model.voices)
            keys = tuple(voice.pitch for voice in model.voices)
            return model.rows.T.astype(np.float32), H.T * model.loudness[:, None], names, keys

        return _Term(term, write)

    def _voice(self, name: str, rng: np.random.Generator) -> _Term:
        """Return the voice that leads, held to the melody of the mixture."""
        known = VoiceSpectra.of(self.stft, self.source.sample_rate)
        V = self.frames.V
        peak = np.float32(2.0 ** np.floor(np.log2(max(float(V.max()), 1e-30))))
        held = known.held(known.bands.pool(V / peak)) & ~self._absent([name]).T
        voice = known.voice(V, held, rng, _VOICE_SHARE)

        def write() -> tuple[Matrix, Matrix, tuple[str, ...], tuple[int, ...]]:
            W, H, keys = known.components(voice)
            return W, H, (name,) * len(keys), keys

        return _Term(voice, write)

    def _framed(self, bank: Templates, name: str, share: np.float32) -> _Term:
        """Return frames of a source, and copies at other pitches, through one smooth equaliser."""
        bank, costs = with_shifts(bank.only(name), {name}, self.settings.pitch_shifts)
        rows = rows_of(bank.templates)
        sums = rows.sum(axis=1, keepdims=True)
        rows /= np.where(sums > 0, sums, 1)
        frequencies = self.stft.frequencies(self.source.sample_rate)
        smoother = Bands(np.arange(len(frequencies)), frequencies).smoother(_SMOOTHING_OCTAVES)
        model = EqualisedSpectra(
            rows, self._even(name, len(rows), share), np.zeros(len(rows), np.int64), smoother,
            penalties=costs + (_FRAME_COST if self.score else 0),
        )  # fmt: skip
        return self._written(model, name)

    def _free(self, name: str, count: int, share: np.float32, rng: np.random.Generator) -> _Term:
        """Return free components."""
        rows = (0.5 + rng.random((count, self.stft.n_bins))).astype(np.float32)
        H = self._even(name, count, share) * (0.5 + rng.random((self.frames.V.shape[1], count)))
        rows /= rows.sum(axis=1, keepdims=True)
        return self._written(Spectra(rows, H.astype(np.float32), free=True), name)

    def _even(self, name: str, count: int, share: np.float32) -> Matrix:
        """Return activations that share a source out among its components, where it plays."""
        H: Matrix = np.repeat(self._level(share) / np.float32(count), count, axis=1)
        H[self._absent([name])[:, 0]] = 0
        return H

    def _written(self, model: Spectra, name: str) -> _Term:
        def write() -> tuple[Matrix, Matrix, tuple[str, ...], tuple[int, ...]]:
            rows, H = model.effective(), model.activations
            return rows.T, H.T, (name,) * len(rows), (-1,) * len(rows)

        return _Term(model, write)

    def _patterned(self, name: str, some: Patterns, share: np.float32) -> _Term:
        """Return the pattern of a struck sound."""
        patterns = some.patterns.transpose(0, 2, 1)
        starts = self._even(name, patterns.shape[1], share)
        model = Patterned(np.ascontiguousarray(patterns), starts)

        def write() -> tuple[Matrix, Matrix, tuple[str, ...], tuple[int, ...]]:
            rows, H = model.spectra()
            return rows.T, H.T, (name,) * len(rows), (-1,) * len(rows)

        return _Term(model, write)

    def _decomposition(self, terms: Sequence[_Term], fitted: Fitted) -> Decomposition:
        """Write all terms as components of one decomposition."""
        written = [term.write() for term in terms]
        W = np.concatenate([W for W, _, _, _ in written], axis=1).astype(np.float32)
        H = np.concatenate([H for _, H, _, _ in written]).astype(np.float32)
        labels = tuple(label for _, _, names, _ in written for label in names)
        templates = Templates(np.asfortranarray(W), labels, self.stft, self.source.sample_rate)
        grouping = by_label(templates)
        voices = [term.model for term in terms if isinstance(term.model, Voice)]
        known = VoiceSpectra.of(self.stft, self.source.sample_rate)
        found = Decomposition(
            templates=templates,
            grouping={name: grouping.get(name, ()) for name in self.account.sources},
            settings=self.settings,
            mixture=Mixture.of(self.source, self.frames.n_samples),
            divergence=fitted.divergence,
            reason=fitted.reason,
            activations=np.ascontiguousarray(H),
            absent=self.silence,
            score=self.score,
            keys=tuple(key for _, _, _, keys in written for key in keys),
            remarks=(*self._without_part(), *(known.told(voice) for voice in voices)),
        )
        if self.frames.X is None or not self.frames.V.any() or len(grouping) < 2:
            return found
        self.progress("place in stereo", 0.0)
        placed = found.with_covariances(self.frames.X, H)
        self.progress("place in stereo", 1.0)
        return placed
