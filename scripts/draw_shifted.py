#!/usr/bin/env python3
"""Draw what shift-invariant NMF finds: one template for each instrument, and all its notes.

    draw_shifted.py AUDIO_SAMPLES_FOLDER PICTURE

Of each stem of the trio one template is learnt by `nmf.fit_shifted` on a logarithmic axis, 36 bins an
octave. At the left the template, its partials in semitones above the note; at the right its activations
at each shift, a piano roll, with the notes of the true score as outlines. Printed is how much of the
activations lies on notes of the score, a quarter tone to each side. The dark picture is NAME-dark.png.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi
from numpy.typing import NDArray

import audionmf
from audionmf import nmf, plot
from audionmf.plot.style import clock_axis, dressed
from audionmf.spectra.frames import pooled_magnitude
from audionmf.spectra.timbre import key_name

TRIO = ("oboe", "harp", "bassoon")
BINS = 36
"""Bins an octave: three a semitone."""
MARGIN = 3
N_FFT, HOP = 8192, 1024
PARTIALS = 12


def main(samples: Path, target: Path) -> None:
    """Learn a template an instrument, and draw them in both themes."""
    score = pretty_midi.PrettyMIDI(str(samples / "trio" / "score.mid"))
    notes = {track.name.strip().lower(): track.notes for track in score.instruments}
    found = {}
    for name in TRIO:
        stem = audionmf.read(samples / "trio" / "stems" / f"{name}.flac")
        lowest = min(note.pitch for note in notes[name]) - 1
        highest = max(note.pitch for note in notes[name]) + 1
        H, template = learnt(stem, lowest, highest)
        found[name] = (H, template, lowest)
        seconds = HOP / stem.sample_rate
        share = on_notes(H, notes[name], lowest, seconds)
        print(f"{name}: {share:.0%} of the activations on notes of the score")
    for theme in plot.THEMES:
        ending = "" if theme == "light" else f"-{theme}"
        picture = drawn(found, notes, seconds, theme)
        plot.save(picture, target.with_stem(target.stem + ending), 80)


def learnt(stem: audionmf.Audio, lowest: int, highest: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return activations (n_shifts, n_frames) and the template, its note at place MARGIN."""
    stft = audionmf.STFT(N_FFT, HOP)
    V = pooled_magnitude(stft.forward(stem.samples))
    n_shifts = (highest - lowest) * BINS // 12 + 1
    n_places = MARGIN + round(BINS * np.log2(PARTIALS)) + 2 * MARGIN
    places = np.arange(n_shifts + n_places - 1) - MARGIN
    hertz = 440 * 2 ** ((lowest - 69) / 12 + places / BINS)
    hertz = hertz[hertz < 0.95 * stem.sample_rate / 2]
    axis = np.arange(len(V)) * stem.sample_rate / N_FFT
    log_V = np.stack([np.interp(hertz, axis, frame) for frame in V.T], axis=1)
    at = MARGIN + BINS * np.log2(np.arange(1, PARTIALS + 1))
    start = 0.01 + np.exp(-(((np.arange(n_places)[:, None] - at) / 1.2) ** 2)) @ 0.8 ** np.arange(
        PARTIALS
    )
    start = start[: len(hertz) - n_shifts + 1, None]
    model = nmf.fit_shifted(log_V, 1, n_shifts, templates=start, max_iter=60)
    return model.activations[0], model.templates[:, 0]


def on_notes(H: NDArray[Any], notes: list[Any], lowest: int, seconds: float) -> float:
    """Return the share of the activations that lies on notes, 0.15 s longer for their ringing."""
    there = np.zeros(H.shape, bool)
    for note in notes:
        place = (note.pitch - lowest) * BINS // 12
        first, last = int(note.start / seconds) - 2, int((note.end + 0.15) / seconds) + 2
        there[max(0, place - 1) : place + 2, max(0, first) : last] = True
    return float(H[there].sum() / H.sum())


def drawn(found: dict[str, Any], notes: dict[str, Any], seconds: float, theme: str) -> Any:
    """Draw a row an instrument: its template, its activations over time."""
    from matplotlib.patches import Rectangle

    picture = plot.figure(11, 8, theme)
    grid = picture.add_gridspec(len(found), 2, width_ratios=(1, 3))
    for row, (name, (H, template, lowest)) in enumerate(found.items()):
        colour = plot.source_colours(len(found), theme)[row]
        left, right = (dressed(picture.add_subplot(grid[row, column]), theme) for column in (0, 1))
        above = (np.arange(len(template)) - MARGIN) * 12 / BINS
        left.fill_between(above, template / template.max(), color=colour)
        left.set(title=name, xlim=(above[0], above[-1]), ylim=(0, 1.05), yticks=[])
        left.set_xticks((0, 12, 19, 24, 28, 31, 36), ("1", "2", "3", "4", "5", "6", "8"))
        keys = lowest + np.arange(len(H)) * 12 / BINS
        edges = (0, H.shape[1] * seconds, keys[0] - 1 / 6, keys[-1] + 1 / 6)
        shown = np.sqrt(H / H.max())
        right.imshow(
            shown, origin="lower", aspect="auto", extent=edges, cmap="magma", vmax=0.9,
            interpolation="nearest",
        )  # fmt: skip
        for note in notes[name]:
            corner = (note.start, note.pitch - 0.5)
            right.add_patch(
                Rectangle(corner, note.end - note.start, 1, fill=False, edgecolor="white", lw=0.8)
            )
        named = sorted({note.pitch for note in notes[name]})
        apart = [
            key for i, key in enumerate(named) if i == 0 or key - named[i - 1] > 1 or i % 2 == 0
        ]
        step = max(1, len(apart) // 9 + 1)
        right.set_yticks(apart[::step], [key_name(k) for k in apart[::step]])
        right.set(title="found: bright; the notes of the score: outlines", ylim=edges[2:])
        if row == len(found) - 1:
            left.set_xlabel("partials of its one template")
            clock_axis(right)
    return picture


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
