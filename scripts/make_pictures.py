#!/usr/bin/env python3
"""Draw the pictures of the docs from the sample recordings, light and dark.

make_pictures.py AUDIO_SAMPLES_FOLDER OUTPUT_FOLDER
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import audionmf
from audionmf import plot

DPI = 80
TRIO = ("bassoon", "harp", "oboe")


def main(samples: Path, output: Path) -> None:
    """Draw every picture in both themes; the dark one is NAME-dark.png."""
    output.mkdir(parents=True, exist_ok=True)
    for theme in plot.THEMES:
        ending = "" if theme == "light" else f"-{theme}"
        for name, draw in PICTURES.items():
            plot.save(draw(samples, theme), output / f"{name}{ending}.png", DPI)


def decomposition(samples: Path, theme: str) -> Any:
    """Draw the drums in few components, each of which can be recognised."""
    recording = audionmf.read(samples / "drums" / "mixture.wav")
    found = audionmf.analyse(recording, components=True, n_components=6)
    templates = found.templates
    seen = plot.overview(recording, templates.stft)
    return plot.decomposition(
        seen.V, templates.templates, found.activations, templates.stft, recording.sample_rate,
        frame_seconds=seen.frame_seconds, theme=theme,
    )  # fmt: skip


def separation(samples: Path, theme: str) -> Any:
    """Draw the stems of the trio, separated by example."""
    recording = audionmf.read(samples / "trio" / "mixture.wav")
    stems = audionmf.separate(recording, examples=_examples(samples))
    stft, rate = stems.decomposition.templates.stft, stems.sample_rate
    seen = {name: plot.overview(stem, stft, rate) for name, stem in stems.sources.items()}
    return plot.separation(seen, stft, rate, theme=theme)


def templates(samples: Path, theme: str) -> Any:
    """Draw templates learnt from the examples of the trio, by instrument and pitch."""
    bank = audionmf.Templates.merge(
        audionmf.learn(path, name=name, n_components=24, dictionary="nmf")
        for name, path in _examples(samples).items()
    )
    W, stft, rate = bank.templates, bank.stft, bank.sample_rate
    picture = plot.figure(11, 4.5, theme)
    order = plot.pitch_order(W, stft, rate, bank.labels)
    axes = plot.templates(
        picture.add_subplot(), W, stft, rate, groups=bank.labels, order=order, theme=theme
    )
    axes.set_xlabel("component, by its pitch")
    return picture


def reconstruction(samples: Path, theme: str) -> Any:
    """Draw the trio, 24 components of it, and what they leave."""
    recording = audionmf.read(samples / "trio" / "mixture.wav")
    found = audionmf.analyse(recording, components=True, n_components=24)
    stft = found.templates.stft
    V = plot.overview(recording, stft).V
    model = found.templates.templates @ found.activations
    return plot.reconstruction(V, model, stft, recording.sample_rate, theme=theme)


def rolls(samples: Path, theme: str) -> Any:
    """Draw what was heard of the trio, separated by example, against the score it was played from."""
    stems = audionmf.separate(samples / "trio" / "mixture.wav", examples=_examples(samples))
    heard, true = stems.notes(), audionmf.NoteTable.read(samples / "trio" / "score.mid")
    seconds = max(note.offset for note in (*heard, *true))
    picture = plot.figure(11, 8, theme)
    colours = plot.source_colours(len(TRIO), theme)
    every = picture.subplots(len(TRIO), 1, sharex=True)
    for axes, name, colour in zip(every, TRIO, colours, strict=True):
        plot.piano_roll(
            axes, _rolled(heard.of(name)), seconds, true=_rolled(true.of(name)), colour=colour,
            theme=theme,
        )  # fmt: skip
        axes.set_title(f"{name}: heard (filled), score (outlined)", loc="left", color=colour)
        axes.label_outer()
    return picture


def _rolled(notes: Sequence[audionmf.SourceNote]) -> plot.RollNotes:
    rows = [(n.onset, n.offset, n.pitch, n.velocity / 127) for n in notes]
    return plot.rolled(rows, {})


def _examples(samples: Path) -> dict[str, Path]:
    return {name: samples / "trio" / "examples" / f"{name}.flac" for name in TRIO}


PICTURES = {
    "decomposition": decomposition,
    "separation": separation,
    "templates": templates,
    "reconstruction": reconstruction,
    "rolls": rolls,
}

if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
