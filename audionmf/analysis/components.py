"""Components of a recording, each a source of its own: to be looked at, and grouped by hand."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np

from audionmf import nmf
from audionmf.analysis.activations import with_activations
from audionmf.analysis.blind import check_component_count, component_name
from audionmf.analysis.learning import factorise, read_frames, stft_of
from audionmf.analysis.starts import best_start
from audionmf.io.audio import Source
from audionmf.rendering.decomposition import Decomposition
from audionmf.settings import Settings
from audionmf.sources.templates import Templates
from audionmf.spectra.frames import Progress

__all__ = ["analyse_components"]

_SINGLE_COMPONENTS = 16


def analyse_components(
    source: Source, config: Settings, report: Progress, watch: nmf.Callback | None
) -> Decomposition:
    """Find components and leave each on its own; parameters as in `analyse_blind`."""
    stft = stft_of(config, source.sample_rate)
    frames = read_frames(source, stft, config.max_frames, config, partial(report, "read"))
    wanted = config.n_components
    check_component_count(wanted, frames, source)
    count = wanted or min(_SINGLE_COMPONENTS, frames.V.shape[1])
    model, remarks = best_start(
        config.restarts,
        lambda r: factorise(
            frames.V, count, dataclasses.replace(config, seed=config.seed + r),
            partial(report, "factorise"), watch,
        ),
    )  # fmt: skip
    labels = tuple(component_name(k) for k in range(count))
    templates = Templates(model.templates, labels, stft, source.sample_rate)
    found = Decomposition.of(source, frames.n_samples, templates, config, model)
    if config.penalised and frames.step == 1:
        # Found anew, they would not be of the form that was asked for.
        found = dataclasses.replace(found, activations=model.activations.astype(np.float32))
    return with_activations(source, dataclasses.replace(found, remarks=remarks), report)
