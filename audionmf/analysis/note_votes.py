"""Notes and noises of the mixture alone, and their say in the masks.

Components that are free to be anything (`component_votes`) become bits of several notes. Those that
are held to the partials of one pitch are notes, so that odds tell better which of them one source
plays: they are what blind separation groups. Here masks and examples tell whose they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from audionmf import nmf
from audionmf.analysis.component_examples import like_examples
from audionmf.analysis.component_votes import votes, within_bands
from audionmf.analysis.cues import component_places, component_strokes, counted, odds_by_cues
from audionmf.analysis.likeness import Sound, mean_field
from audionmf.analysis.note_groups import likely_by_groups
from audionmf.nmf.solver import thread_count
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.voters import Voters
from audionmf.settings import Settings
from audionmf.spectra.bands import Bands, once_each
from audionmf.spectra.blas import blas_threads
from audionmf.spectra.frames import Frames, Progress
from audionmf.spectra.harmonic import harmonic_start
from audionmf.spectra.stft import STFT

__all__ = ["Notes", "likely_notes", "notes_alone", "with_notes"]

Matrix = NDArray[np.float32]

_ITERATIONS = 100
_SOFT = 0.02
_DRAW, _STEPS = 2.0, 30
"""What is added to the share of every source; how far components that sound alike draw each other, and
the steps of the mean field: as in blind separation."""
_EXAMPLE, _EXAMPLE_BESIDE_FREE = 0.3, 2.0
_ALONE, _DOUBT, _DRAW_OF_GROUPS = 0.5, 0.05, 1.5
"""How much each note by itself counts where groups speak, too; how far these are always in doubt; how
far notes draw each other then."""


@dataclass(frozen=True, eq=False)
class Notes:
    """Notes and noises of a mixture.

    Parameters
    ----------
    W : ndarray, shape (n_bins, n), float32
        Their spectra.
    G : ndarray, shape (n, n_frames), float32
        Their activations.
    sound : Sound
        What is heard of them, places and strokes too.
    every : ndarray, shape (n, n_all), float32, optional
        Their activations in every frame of it, kept or not, each found by itself.
    likely : tuple of ndarray, optional
        What `likely_notes` returns, where it is known.
    """

    W: Matrix
    G: Matrix
    sound: Sound
    every: Matrix | None = None
    likely: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None


def notes_alone(
    frames: Frames,
    stft: STFT,
    rate: int,
    settings: Settings,
    *,
    n_threads: int,
    report: Callable[[float], bool | None],
) -> Notes:
    """Find the notes and noises of a mixture, which need not know anything of its sources.

    Parameters
    ----------
    frames : Frames
        Of the mixture, not all of them silent.
    stft : STFT
        Their transform.
    rate : int
        In Hz.
    settings : Settings
        Options.
    n_threads : int
        Threads; they change nothing else.
    report : callable
        Told the share done; where it returns True nobody waits for the rest.
    """
    bands = Bands.of(stft, rate)
    peak = float(2.0 ** np.clip(np.floor(np.log2(frames.V.max())), -120, 120))
    W, levelled = _notes(frames.V, bands, stft, rate, settings, peak, n_threads, report)
    places, energies = component_places(frames, W, levelled, 1 / peak, n_threads=n_threads)
    strokes = component_strokes(frames, W, levelled, stft, rate, 1 / peak)
    sound = Sound(bands.pool(W), levelled, bands.frequencies, energies, places, strokes)
    return Notes(W, levelled * np.float32(peak), sound)


def likely_notes(
    sound: Sound, examples: Sequence[Sound | None]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the log odds of notes with each other, and with the examples of the sources.

    Parameters
    ----------
    sound : Sound
        The notes.
    examples : sequence of Sound or None
        Of each source.

    Returns
    -------
    odds : ndarray, shape (n, n)
        That two are of one source.
    told : ndarray, shape (n_sources, n)
        As `like_examples` gives them, by what they sound like alone.
    """
    with blas_threads(1):  # what is found must not depend on how many there are
        told = like_examples(dataclasses.replace(sound, places=None, struck=None), examples)
        return odds_by_cues(sound), told


def with_notes(
    found: Decomposition,
    frames: Frames,
    H: Matrix,
    *,
    examples: Sequence[Sound | None],
    free: bool,
    progress: Progress,
    notes: Callable[[], Notes | None] | None = None,
) -> Decomposition:
    """Let notes and noises of the mixture have their say in the masks, after other voters.

    They have none where those did not vote, as the templates explain the mixture well, and where some
    source would have most of none of them.

    Parameters
    ----------
    found : Decomposition
        With voters.
    frames : Frames
        Of the mixture, not all of them silent.
    H : ndarray, shape (n_components, n_frames)
        Activations of the templates in these frames.
    examples : sequence of Sound or None
        What sources sound like alone, where that is known, as `heard_examples` gives it.
    free : bool
        Whether some source is nothing but what is left, so that examples tell more.
    progress : callable
        Told the stage and the share done.
    notes : callable, optional
        Gives those of `notes_alone`, or None, where they shall have no say. Default: they are found.

    Returns
    -------
    Decomposition
        Its voters have others, who have their say when they have had theirs; or as it was.
    """
    if found.voters is None or found.voters.votes is None:
        return found
    report = partial(progress, "notes")
    if notes is None:
        stft, rate, settings = found.templates.stft, found.templates.sample_rate, found.settings
        threads = thread_count(settings.n_threads)
        known = notes_alone(frames, stft, rate, settings, n_threads=threads, report=report)
    else:
        given = notes()
        if given is None:
            return found
        known = given
    sound, W, G = known.sound, known.W, known.G
    with blas_threads(1):  # what is found must not depend on how many there are
        known_odds, told = known.likely or likely_notes(sound, examples)
        odds = known_odds.copy()
        under = votes(found, frames.V, H, W, G, 1, frames.step) + _SOFT
        by_masks = np.log(under / under.sum(axis=0))
        alone = by_masks + (_EXAMPLE_BESIDE_FREE if free else _EXAMPLE) * told
        draw, named = _DRAW, [i for i, example in enumerate(examples) if example is not None]
        if free and len(examples) == 2 and len(named) == 1:
            grouped = _with_groups(alone, by_masks + told, odds, counted(sound.energies), named[0])
            if grouped is not None:
                draw, alone = _DRAW_OF_GROUPS, grouped
        np.fill_diagonal(odds, 0)
        owner = mean_field(alone, draw * counted(sound.energies)[:, None] * odds, _STEPS)
    report(1.0)
    if len(once_each(owner.argmax(axis=0))) < len(owner):
        return found
    then = Voters(W, owner.astype(np.float32), activations=known.every)
    return dataclasses.replace(found, voters=dataclasses.replace(found.voters, then=then))


def _with_groups(
    alone: NDArray[np.float64],
    said: NDArray[np.float64],
    odds: NDArray[np.float64],
    weights: NDArray[np.float64],
    known: int,
) -> NDArray[np.float64] | None:
    """Return what speaks for a source and the rest where groups of notes are asked, too."""
    likely = likely_by_groups(odds, weights, said[known] - said[1 - known])
    if likely is None:
        return None
    by_groups = np.log((likely + _DOUBT) / (1 - likely + _DOUBT)) / 2
    found: NDArray[np.float64] = _ALONE * alone
    found[known] += by_groups
    found[1 - known] -= by_groups
    return found


def _notes(
    V: Matrix,
    bands: Bands,
    stft: STFT,
    rate: int,
    settings: Settings,
    peak: float,
    n_threads: int,
    report: Callable[[float], bool | None],
) -> tuple[Matrix, Matrix]:
    """Return the spectra of notes and noises, (n_bins, n), and their activations over `peak`."""
    pooled = bands.pool(V) / np.float32(peak)
    start, keys = harmonic_start(pooled, bands.frequencies, rate, rate / stft.n_fft)
    level = np.tile(pooled.sum(axis=0) / len(keys), (len(keys), 1))
    model = nmf.fit(
        pooled, len(keys), templates=start, activations=level, max_iter=_ITERATIONS, coarse=False,
        n_threads=n_threads, device=settings.device,
        callback=lambda state: report(0.9 * state.iteration / state.max_iter),
    )  # fmt: skip
    H: Matrix = model.activations.astype(np.float32)
    widths = np.diff(bands.edges, append=len(V))
    return within_bands(V, model.templates, H * np.float32(peak), widths), H
