#!/usr/bin/env python3
"""Figures of mosaics and morphs of the sample recordings, and the picture of docs/sound-design.md.

compare_mosaics.py AUDIO_SAMPLES_FOLDER PICTURE
"""

import sys
from pathlib import Path

import numpy as np

import audionmf
from audionmf import Audio, nmf, plot
from audionmf.nmf import diagonal
from audionmf.settings import Settings
from audionmf.spectra.frames import pooled_magnitude
from audionmf.spectra.stft import STFT

DPI = 80
AUDIBLE = 0.01


def main(samples: Path, picture: Path) -> None:
    """Print the figures and draw the picture."""
    stems = {name: samples / "trio" / "stems" / f"{name}.flac" for name in ("oboe", "bassoon")}
    target, corpus = (audionmf.read(path) for path in stems.values())
    stft = STFT(n := Settings().n_fft_at(target.sample_rate), n // 2)
    V, W = (magnitudes(sound, stft) for sound in (target, corpus))
    led = diagonal.activate(V, W)
    free = nmf.activate(V, W, n_iter=100)
    found = audionmf.mosaic(target, corpus)
    plain = Audio(
        stft.inverse(stft.forward(corpus.samples) @ free.astype(np.complex64), target.n_samples),
        target.sample_rate,
    )
    crossed = audionmf.mosaic(target, corpus, cross=20)
    print("sound, diagonal share, distance to the corpus, distance to the target")
    for name, sound, H in (
        ("target", target, None), ("mosaic", found, led), ("free activations", plain, free),
        ("cross", crossed, None),
    ):  # fmt: skip
        U = magnitudes(sound, stft)
        share = "" if H is None else f"{diagonal.diagonal_share(H):.2f}"
        away = 1 - float(np.average(nearest(U, W), weights=U.sum(axis=0)))
        same = 1 - float(np.average((unit(U) * unit(V)).sum(axis=0), weights=V.sum(axis=0)))
        print(name, share, f"{away:.3f}", f"{same:.3f}", sep=", ")
    glide = audionmf.morph(target, corpus, (0, 1))
    draw({"oboe": target, "bassoon": corpus, "mosaic": found, "morph, 0 to 1": glide}, picture)


def magnitudes(sound: Audio, stft: STFT) -> np.ndarray:
    """Return the magnitudes of a recording, channels pooled."""
    return pooled_magnitude(stft.forward(sound.samples))


def unit(V: np.ndarray) -> np.ndarray:
    """Return spectra of norm 1; what is hardly heard is 0."""
    norms = np.linalg.norm(V, axis=0)
    return np.where(norms > AUDIBLE * norms.max(), V / np.maximum(norms, 1e-12), 0)


def nearest(U: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Return how like its nearest frame of the corpus each frame is: a cosine."""
    return (unit(W).T @ unit(U)).max(axis=0)


def draw(sounds: dict[str, Audio], picture: Path) -> None:
    """Draw the spectrograms one below the other, on one time axis, in both themes."""
    for theme in plot.THEMES:
        figure = plot.figure(11, 2.4 * len(sounds), theme)
        every = figure.subplots(len(sounds), 1, sharex=True)
        for axes, (name, sound) in zip(every, sounds.items(), strict=True):
            stft = STFT(n := Settings().n_fft_at(sound.sample_rate), n // 4)
            seen = plot.overview(sound, stft)
            plot.spectrogram(
                axes, seen.V, stft, sound.sample_rate, frame_seconds=seen.frame_seconds, theme=theme
            ).set(title=name, ylim=(100, 6000))
            axes.label_outer()
        ending = "" if theme == "light" else f"-{theme}"
        plot.save(figure, picture.with_stem(picture.stem + ending), DPI)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
