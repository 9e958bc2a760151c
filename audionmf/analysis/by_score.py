"""Analyse with a score: it says what is played when, the mixture teaches how that sounds.

Every key of every part becomes a *voice*: a template that is zero but near the partials of the key,
and an activation that is zero but while the score has the note sound. Drums get voices for stroke,
body and ring of every key, and each part one for the attacks of its notes, all of them free in
frequency. Multiplicative updates of the Kullback–Leibler divergence keep zeros, so that what the
score forbids stays so; all else adapts to the recording.

What one recording teaches about one note is little, and often something else sounds with it. So the
strength of each partial is drawn to that of the same partial in neighbouring notes of the part: notes
heard rarely, or never alone, borrow from those heard well. Attacks are smooth in frequency.

In stereo each part has a gain a channel too, and the two channels are fitted at once with the same
templates and activations: a tensor factorisation, in which the place of a part helps to tell it from
others that play the same note.

Who plays one note at a time bends it: vibrato, glides, tuning. Where a short trial hears that, each
key of the part has three voices, 30 cents apart, and every frame says which of them sound.

Examples of the parts teach how partials of their notes compare; strokes alone are left to patterns,
see `scored_strokes`.

Scores lack notes. Once templates are known, voices may speak up outside their notes at a cost, an L1
weight that nothing but sound left unexplained can pay for; where one does for a while, a note is
taken to be missing, and the factorisation goes on with it.

References
----------
Gates from a score: Ewert and Müller, "Using score-informed constraints for NMF-based source
separation", ICASSP 2012; templates that are zero between partials: Hennequin, David and Badeau,
"Score informed audio source separation using a parametric model of non-negative spectrogram", ICASSP
2011; Fritsch and Plumbley, "Score informed audio source separation using constrained nonnegative
matrix factorization and score synthesis", ICASSP 2013. Gains a channel: FitzGerald, Cranitch and
Coyle, "Non-negative tensor factorisation for sound source separation", ISSC 2005.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.analysis.learning import half_window
from audionmf.analysis.note_model import NoteModel, heard_bends
from audionmf.analysis.score_voices import (
    Voice,
    voices_of,
)
from audionmf.analysis.scored_strokes import analyse_scored_strokes
from audionmf.errors import LimitError, ParameterError
from audionmf.io.audio import Source
from audionmf.nmf.solver import thread_count
from audionmf.rendering.decomposition import Decomposition, Mixture
from audionmf.settings import Settings
from audionmf.sources.alignment import align
from audionmf.sources.score import Score
from audionmf.sources.templates import Templates
from audionmf.spectra.frames import BLOCK_FRAMES, Progress, gather, pooled_magnitude
from audionmf.spectra.stft import STFT, Transform

__all__ = ["Voice", "analyse_score", "voices_of"]

Matrix = NDArray[np.floating[Any]]

_MAX_FRAMES = 4096
_MAX_VOICES = 2048
_MAX_BYTES = 1 << 32


def analyse_score(
    score: Score,
    source: Source,
    settings: Settings,
    progress: Progress,
    examples: Mapping[str, Sequence[Source]] | None = None,
) -> Decomposition:
    """Analyse a recording of which the score is known.

    A recording of more than 4096 frames (95 s at 44.1 kHz) is thinned to so many to learn from, and
    then read once more for its activations. They are kept for all of it, 4 bytes for each frame
    and component; that is what memory grows by, about 60 MB an hour for 100 components.

    Parameters
    ----------
    score : Score
        What is played; it is brought to the clock of the recording first.
    source : Audio or AudioFile
        The recording.
    settings : Settings
        Options; the STFT, ``mask_exponent``, ``spatial``, ``max_frames``, ``activation_iter`` and
        ``n_threads`` mean something here.
    progress : callable
        Told the stage and the share done.
    examples : mapping of str to sequence of Audio or AudioFile, optional
        Parts alone, by name, at the rate of the mixture.

    Returns
    -------
    Decomposition
        A source for each part, with the score as it was moved, and activations for every frame.

    Raises
    ------
    ParameterError
        If beta is not 1.
    ScoreError
        If no note lies within the recording.
    LimitError
        If the score has more than 2048 different keys in its parts, or activations would take more
        than 4 GiB.
    """
    if settings.beta != 1:
        raise ParameterError("a score is fitted to the mixture under beta 1 only")
    stft = STFT(
        settings.n_fft_at(source.sample_rate),
        settings.hop_length_at(source.sample_rate),
        settings.window,
    )
    n_voices = len(voices_of(score))
    _check_size(score, n_voices, stft.n_frames(source.n_samples))
    alignment = align(score, source, stft, lambda done: progress("align", done))
    found = score.moved(alignment).within(source.n_samples / source.sample_rate)
    struck = analyse_scored_strokes(
        found, source, half_window(settings, source.sample_rate), settings, progress, examples or {}
    )
    if struck is not None:
        return struck
    spatial = settings.spatial and source.n_channels == 2 and len(score.parts) > 1
    threads = thread_count(settings.n_threads)
    frames = gather(
        source, stft, min(settings.max_frames, _MAX_FRAMES), keep_transform=spatial,
        n_threads=threads, progress=lambda done: progress("read", done),
    )  # fmt: skip
    data = _stacked(frames.V, frames.X)
    bends = heard_bends(found, stft, source.sample_rate, data, frames.step, threads)
    model = NoteModel(found, stft, source.sample_rate, bends)
    for j, part in enumerate(found.parts):
        recordings = (examples or {}).get(part.name, ())
        if recordings:
            read = [gather(r, stft, _MAX_FRAMES, n_threads=threads).V for r in recordings]
            model.learn(j, np.concatenate(read, axis=1), threads)
            progress(f"read {part.name}", 1.0)
    if not frames.V.any():
        model.heard = np.zeros((len(model.voices), frames.V.shape[1]), np.float32)
    else:
        model.fit(data, frames.step, threads, progress)
    H = model.heard
    if frames.step > 1:
        H = _all_activations(model, source, spatial, settings, progress)
    names, labels = found.names, [found.parts[voice.part].name for voice in model.voices]
    analysed = Decomposition(
        templates=Templates(
            np.asfortranarray(model.rows.T, np.float32), tuple(labels), stft, source.sample_rate
        ),
        grouping={n: tuple(k for k, own in enumerate(labels) if own == n) for n in names},
        settings=settings,
        mixture=Mixture.of(source, frames.n_samples),
        divergence=np.array(model.divergence),
        reason="",
        activations=np.ascontiguousarray(H),
        score=found,
        keys=tuple(voice.pitch for voice in model.voices),
    )
    if frames.X is None or not frames.V.any():
        return analysed
    return analysed.with_covariances(frames.X, model.heard, progress)


def _check_size(score: Score, n_voices: int, n_frames: int) -> None:
    if n_voices > _MAX_VOICES:
        raise LimitError(
            f"{score.path!r} has {n_voices} keys in its parts, more than the {_MAX_VOICES} that can "
            "be told apart; leave parts out"
        )
    if n_voices * n_frames * 4 > _MAX_BYTES:
        raise LimitError(
            f"the activations of {n_voices} components in {n_frames} frames take more than "
            f"{_MAX_BYTES >> 30} GiB; take a larger hop, or cut the recording"
        )


def _stacked(V: Matrix, X: Transform | None) -> NDArray[np.float32]:
    """Return magnitudes, (n_bins, n_frames), or those of all channels, one below the other."""
    if X is None:
        return np.asfortranarray(V)
    n_channels, n_bins, n_frames = X.shape
    rows = np.empty((n_frames, n_channels * n_bins), np.float32)
    for c in range(n_channels):
        rows[:, c * n_bins : (c + 1) * n_bins] = np.abs(X[c]).T
    return rows.T


def _all_activations(
    model: NoteModel, source: Source, spatial: bool, settings: Settings, progress: Progress
) -> NDArray[np.float32]:
    """Return the activations of every frame, the templates as they are, block by block."""
    from audionmf.nmf.kernels import KLKernel

    stft, rows, K = model.stft, model.spread(), len(model.voices)
    n_frames = stft.n_frames(source.n_samples)
    free, parts, n_done = np.ones(K, bool), [], 0
    threads = thread_count(settings.n_threads)
    for X in stft.forward_blocks(source.blocks(), BLOCK_FRAMES):
        V = _stacked(pooled_magnitude(X), X if spatial else None)
        n = V.shape[1]
        H = model.gates.at(n_done, n, stft.hop_length / model.sample_rate, K)
        if V.any():
            peak = np.float32(2.0 ** np.floor(np.log2(V.max())))
            H = model.level(V / peak, H)
            with KLKernel(V / peak, K, threads, free, free) as kernel:
                kernel.activate(rows, H, settings.activation_iter)
            H *= peak
        parts.append((H * model.loudness).T)
        n_done += n
        progress("activate", min(1.0, n_done / n_frames))
    return np.concatenate(parts, axis=1)
