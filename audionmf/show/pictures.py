"""The pictures of a report: a separation, its templates and activations, what they explain."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf import plot
from audionmf.errors import AudioNMFWarning, MissingExtraError
from audionmf.io.audio import Source
from audionmf.nmf import convolutive
from audionmf.rendering.decomposition import Decomposition
from audionmf.show.words import is_ungrouped
from audionmf.spectra.frames import BLOCK_FRAMES, Progress, heard, pooled_magnitude
from audionmf.spectra.stft import STFT

__all__ = ["Picture", "pictures_or_note", "strongest_components"]

_PICTURE_COLUMNS = 1200
_PICTURE_DPI = 100
_MAX_TEMPLATES = 96


@dataclass(frozen=True)
class Picture:
    """A picture in both themes, with the place of its time axis (see `plot.time_span`)."""

    title: str
    caption: str
    images: dict[str, bytes]
    span: tuple[float, float, float] | None


def pictures_or_note(
    source: Source,
    seen: Mapping[str, plot.Overview],
    decomposition: Decomposition,
    progress: Progress | None = None,
) -> list[Picture] | str:
    """Return the pictures; where matplotlib is missing, say so instead, and warn."""
    try:
        return _pictures(source, seen, decomposition, heard(progress))
    except MissingExtraError as error:
        warnings.warn(AudioNMFWarning(f"the report has no pictures: {error}"), stacklevel=4)
        return str(error)


def strongest_components(W: NDArray[np.float32], H: NDArray[np.float32]) -> list[int]:
    """Return the components with most of the sound, in their order: as many as can be seen.

    Parameters
    ----------
    W : ndarray, shape (n_bins, n_components)
        Templates.
    H : ndarray, shape (n_components, n_frames)
        Activations.
    """
    weights = W.sum(axis=0, dtype=np.float64) * H.sum(axis=1, dtype=np.float64)
    return sorted(np.argsort(-weights, kind="stable")[:_MAX_TEMPLATES].tolist())


def _pictures(
    source: Source,
    seen: Mapping[str, plot.Overview],
    decomposition: Decomposition,
    tell: Callable[[str, float], None],
) -> list[Picture]:
    plot.figure()  # fails at once where matplotlib is missing
    templates = decomposition.templates
    stft, rate = templates.stft, templates.sample_rate
    V, frames, seconds = _typical_frames(source, stft)
    H, model = _model(decomposition, V, frames)
    labels = {k: name for name, group in decomposition.grouping.items() for k in group}
    n_components, plain = decomposition.n_components, is_ungrouped(decomposition)
    groups = [] if plain else [labels[k] for k in range(n_components)]
    strongest = strongest_components(templates.templates, H)
    order = plot.pitch_order(
        templates.templates[:, strongest], stft, rate, [groups[k] for k in strongest if groups]
    )
    most = (
        ""
        if len(order) == n_components
        else f"the {len(order)} of {n_components} that sound most, "
    )
    whose, arranged = ("component", "") if plain else ("source", "by source and then ")
    title, words = (
        f"Which {whose} has what, and when",
        (
            f"Each part of the spectrogram in the colour of the {whose} that has it; soft parts fade, "
            "mixed colours are shared."
        ),
    )
    if len(seen) > plot.N_COLOURS:
        title, words = f"When each {whose} sounds", "The spectrogram of all of them together."
    each: list[tuple[str, str, Callable[[str], Any]]] = [
        (
            title,
            f"{words} Below, how loud each is.",
            lambda theme: plot.separation(seen, stft, rate, theme=theme),
        ),
    ]
    if 1 < len(seen) <= plot.N_COLOURS:
        each.append(
            (
                "The stems",
                "The spectrogram of each, all on one scale.",
                lambda theme: plot.stem_spectrograms(seen, stft, rate, theme=theme),
            )
        )
    wanted = [
        *each,
        (
            "Templates and activations",
            f"Left the templates, {most}{arranged}by pitch: the sounds that were looked for. Right "
            "the recording, and below it when each template sounds.",
            lambda theme: plot.decomposition(
                V, templates.templates, H, stft, rate, groups=groups,
                order=[strongest[k] for k in order], frame_seconds=seconds, theme=theme,
            ),
        ),
        (
            "What the models explain",
            "The recording, what templates and activations make of it, and what is left: orange "
            "where the recording has more, blue where the models have.",
            lambda theme: plot.reconstruction(
                V, model, stft, rate, frame_seconds=seconds, theme=theme
            ),
        ),
    ]  # fmt: skip
    if len(decomposition.divergence) > 1:
        wanted.append(
            (
                "How the factorisation went",
                "The distance of the models from the recording; it never rises.",
                lambda theme: _axes_figure(plot.convergence, decomposition.divergence, theme),
            )
        )
    pictures = []
    for k, (title, caption, draw) in enumerate(wanted):
        tell("page", k / len(wanted))
        pictures.append(_picture(title, caption, draw))
    tell("page", 1.0)
    return pictures


def _picture(title: str, caption: str, draw: Callable[[str], Any]) -> Picture:
    images: dict[str, bytes] = {}
    first = None
    for theme in plot.THEMES:
        drawn = draw(theme)
        plot.lay_out(drawn, first)  # themes differ in their colours alone
        images[theme] = plot.png(drawn, _PICTURE_DPI)
        first = first or drawn
    return Picture(title, caption, images, plot.time_span(drawn))


def _axes_figure(draw: Callable[..., Any], values: Any, theme: str) -> Any:
    picture = plot.figure(11, 3.6, theme)
    draw(picture.add_subplot(), values, theme=theme)
    return picture


def _typical_frames(
    source: Source, stft: STFT
) -> tuple[NDArray[np.float32], NDArray[np.intp], float]:
    """Return the loudest frame of each column of a picture, its number, seconds between columns.

    Frames and not maxima of several: what a model makes of a frame can be compared with it.
    """
    step = -(-stft.n_frames(source.n_samples) // _PICTURE_COLUMNS)
    kept: dict[int, tuple[float, int, NDArray[np.float32]]] = {}
    first = 0
    for X in stft.forward_blocks(source.blocks(), BLOCK_FRAMES):
        V = pooled_magnitude(X)
        loudness = V.sum(axis=0, dtype=np.float64)
        for t in range(V.shape[1]):
            column = (first + t) // step
            if column not in kept or loudness[t] > kept[column][0]:
                kept[column] = (float(loudness[t]), first + t, V[:, t].copy())
        first += V.shape[1]
    found = [kept[column] for column in sorted(kept)]
    frames = np.array([frame for _, frame, _ in found])
    return (
        np.stack([V for _, _, V in found], 1),
        frames,
        step * stft.hop_length / source.sample_rate,
    )


def _model(
    decomposition: Decomposition, V: NDArray[np.float32], frames: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the activations in some frames, and what the templates make of them."""
    W, known = decomposition.templates.templates, decomposition.activations
    if known is not None and decomposition.patterns is not None:
        whole: NDArray[np.float32] = convolutive.model(decomposition.patterns, known)
        return known[:, frames], whole[:, frames]
    if known is not None:
        return known[:, frames], W @ known[:, frames]
    H = np.empty((decomposition.n_components, len(frames)), np.float32)
    runs = np.split(np.arange(len(frames)), np.flatnonzero(np.diff(frames) > 1) + 1)
    if not decomposition.absent:  # then frames need not be neighbours
        runs = [np.arange(len(frames))]
    for run in runs:
        H[:, run] = decomposition.activate(V[:, run], 1, int(frames[run[0]]))
    return H, W @ H
