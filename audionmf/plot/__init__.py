"""Pictures of arrays: spectrograms, templates, activations, separations.

Every function that draws takes axes, or ``None`` for axes of its own in a new figure, and returns
the axes; what needs several axes returns a figure. Nothing here opens a window or changes
matplotlib's settings; `save` writes a file. Needs matplotlib: ``pip install audionmf[plot]``.

A file imports only from those that are named before it:

- `style`: figures and axes in the colours of a theme
- `cells`: as many rows and columns as can be seen, levels in dB
- `overviews`: a recording of any length, reduced to columns
- `results`: what an analysis found, beside plain arrays
- `spectrograms`: one spectrogram
- `rolls`: piano rolls under spectrograms
- `components`: templates and activations
- `separations`: which source has what, and when
- `fit`: what a model leaves, how a factorisation went
"""

from audionmf.plot.components import activations, decomposition, patterns, pitch_order, templates
from audionmf.plot.fit import convergence, reconstruction
from audionmf.plot.overviews import Overview, overview
from audionmf.plot.rolls import (
    RollNotes,
    key_labels,
    key_range,
    piano_roll,
    rolled,
    rolls,
    strip,
)
from audionmf.plot.separations import (
    masks,
    relative_levels,
    separation,
    stem_spectrograms,
    stems,
)
from audionmf.plot.spectrograms import spectrogram
from audionmf.plot.style import (
    N_COLOURS,
    THEMES,
    clock,
    figure,
    lay_out,
    png,
    save,
    source_colours,
    time_span,
)

__all__ = [
    "N_COLOURS",
    "THEMES",
    "Overview",
    "RollNotes",
    "activations",
    "clock",
    "convergence",
    "decomposition",
    "figure",
    "key_labels",
    "key_range",
    "lay_out",
    "masks",
    "overview",
    "patterns",
    "piano_roll",
    "pitch_order",
    "png",
    "reconstruction",
    "relative_levels",
    "rolled",
    "rolls",
    "save",
    "separation",
    "source_colours",
    "spectrogram",
    "stem_spectrograms",
    "stems",
    "strip",
    "templates",
    "time_span",
]
