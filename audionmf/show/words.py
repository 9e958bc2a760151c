"""What the sources and components of a decomposition are called and sound like, in words."""

from __future__ import annotations

import numpy as np

from audionmf.analysis.blind import component_name
from audionmf.rendering.decomposition import Decomposition
from audionmf.spectra.timbre import note_name, timbre

__all__ = ["describe_sources", "is_ungrouped", "members"]


def describe_sources(decomposition: Decomposition) -> dict[str, str]:
    """Say of each source how many components it has, or what the only one sounds like.

    Parameters
    ----------
    decomposition : Decomposition
        What an analysis found.

    Returns
    -------
    dict of str to str
        Such as "3 components" or "A4, dark", by the name of the source.
    """
    templates, words = decomposition.templates, {}
    for name, group in decomposition.grouping.items():
        words[name] = f"{len(group)} components"
        if len(group) == 1:
            spectrum = templates.stft.on_line(templates.templates[:, group])[:, 0]
            sound = timbre(spectrum, templates.sample_rate / templates.stft.n_fft)
            tone = note_name(sound.pitch.hertz)[0] if sound.pitch else "no pitch"
            words[name] = f"{tone}, {sound.brightness}"
    return words


def is_ungrouped(decomposition: Decomposition) -> bool:
    """Tell whether every component is a source of its own, called ``component00`` and so on."""
    return decomposition.grouping == {
        component_name(k): (k,) for k in range(decomposition.n_components)
    }


def members(decomposition: Decomposition) -> str:
    """Return the components of each source, such as ``bass 0, 3–5; rest 1, 2``."""
    told = []
    for name, group in decomposition.grouping.items():
        numbers = np.array(sorted(group))
        runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
        spans = (str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)
        told.append(f"{name} {', '.join(spans)}")
    return "; ".join(told)
