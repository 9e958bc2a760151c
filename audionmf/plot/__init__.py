"""Pictures of arrays: spectrograms, templates, activations, separations.

A file imports only from those that are named before it:

- `figures`: what is drawn
"""

from audionmf.plot.figures import (
    N_COLOURS,
    THEMES,
    Overview,
    activations,
    convergence,
    decomposition,
    figure,
    masks,
    overview,
    pitch_order,
    png,
    reconstruction,
    relative_levels,
    save,
    separation,
    source_colours,
    spectrogram,
    stems,
    templates,
    time_span,
)

__all__ = [
    "N_COLOURS",
    "THEMES",
    "Overview",
    "activations",
    "convergence",
    "decomposition",
    "figure",
    "masks",
    "overview",
    "pitch_order",
    "png",
    "reconstruction",
    "relative_levels",
    "save",
    "separation",
    "source_colours",
    "spectrogram",
    "stems",
    "templates",
    "time_span",
]
