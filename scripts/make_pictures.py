#!/usr/bin/env python3
"""Draw the pictures of the docs from the sample recordings, light and dark.

make_pictures.py AUDIO_SAMPLES_FOLDER OUTPUT_FOLDER [NAME ...]

The names are those of the pictures without .png; without names all are drawn.
"""

import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import audionmf
from audionmf import plot

DPI = 80
TRIO = ("bassoon", "harp", "oboe")
DRUMS = {"kick": (0, 2), "snare": (1, 5), "hi-hat": (3, 4)}
"""Which components of the drum loop are whose, as one hears them."""


def main(samples: Path, output: Path, names: Sequence[str] = ()) -> None:
    """Draw pictures in both themes; the dark one is NAME-dark.png."""
    output.mkdir(parents=True, exist_ok=True)
    for name in names or PICTURES:
        for theme in plot.THEMES:
            ending = "" if theme == "light" else f"-{theme}"
            plot.save(PICTURES[name](samples, theme), output / f"{name}{ending}.png", DPI)


def decomposition(samples: Path, theme: str) -> Any:
    """Draw the drums in few components, grouped by what one hears."""
    found = _components(samples / "drums" / "mixture.wav", 6)
    order = [k for members in DRUMS.values() for k in members]
    return plot.decomposition(found.regroup(DRUMS), order=order, theme=theme)


def separation(samples: Path, theme: str) -> Any:
    """Draw the stems of the trio, separated by example."""
    stems = _stems(samples)
    stft, rate = stems.decomposition.templates.stft, stems.sample_rate
    seen = {name: plot.overview(stem, stft, rate) for name, stem in stems.sources.items()}
    return plot.separation(seen, stft, rate, theme=theme)


def templates(samples: Path, theme: str) -> Any:
    """Draw templates learnt from the examples of the trio, by instrument and pitch."""
    bank = _bank(samples)
    W, stft, rate = bank.templates, bank.stft, bank.sample_rate
    picture = plot.figure(11, 4.5, theme)
    order = plot.pitch_order(W, stft, rate, bank.labels)
    axes = plot.templates(
        picture.add_subplot(), W, stft, rate, groups=bank.labels, order=order, theme=theme
    )
    axes.set_xlabel("component: its note and its number")
    return picture


def reconstruction(samples: Path, theme: str) -> Any:
    """Draw the trio, 24 components of it, and what they leave."""
    found = _components(samples / "trio" / "mixture.wav", 24)
    recording, stft = found.recorded(), found.templates.stft
    V = plot.overview(recording, stft).V
    model = found.templates.templates @ found.activations
    return plot.reconstruction(V, model, stft, found.templates.sample_rate, theme=theme)


def rolls(samples: Path, theme: str) -> Any:
    """Draw what was heard of the trio, separated by example, against the score it was played from."""
    heard, true = _stems(samples).notes(), audionmf.NoteTable.read(samples / "trio" / "score.mid")
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


@functools.cache  # one piece of work for both themes
def _components(recording: Path, n_components: int) -> Any:
    return audionmf.analyse(recording, components=True, n_components=n_components)


@functools.cache
def _stems(samples: Path) -> Any:
    return audionmf.separate(samples / "trio" / "mixture.wav", examples=_examples(samples))


@functools.cache
def _bank(samples: Path) -> audionmf.Templates:
    return audionmf.Templates.merge(
        audionmf.learn(path, name=name, n_components=24, dictionary="nmf")
        for name, path in _examples(samples).items()
    )


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
    if len(sys.argv) < 3 or not set(sys.argv[3:]) <= set(PICTURES):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
