"""Analyse: `learn` templates from a recording of one source, `analyse` a mixture.

`analyse` finds what rendering needs: templates that fit this mixture, their grouping into sources,
and for stereo the place of each source in the image.

*With templates or examples*, the templates of each source are taken as they are, with copies at
neighbouring pitches for notes that the example lacks; the mixture then teaches one smooth equaliser
a source, which makes up for another instrument, room or microphone. *Blind*, the templates are
learnt from the mixture itself and grouped.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from audionmf import nmf
from audionmf.analysis.blind import analyse_blind, check_component_count, component_name
from audionmf.analysis.by_lead import ACCOMPANIMENT, LEAD, analyse_lead
from audionmf.analysis.by_patterns import analyse_struck
from audionmf.analysis.by_score import analyse_score
from audionmf.analysis.clustering import MOST_SOURCES
from audionmf.analysis.evidence import left_share
from audionmf.analysis.exemplars import analyse_exemplars, is_exemplary
from audionmf.analysis.starts import best_start
from audionmf.errors import InvalidAudioError, ParameterError
from audionmf.io.audio import Audio, AudioFile, AudioLike, Source, as_audio, open_source
from audionmf.io.files import StrPath
from audionmf.io.rows import Rows
from audionmf.nmf.choose import ComponentChoice, choose
from audionmf.nmf.equalise import fit_equalised
from audionmf.nmf.solver import thread_count
from audionmf.rendering.decomposition import Absent, Decomposition, Mixture, absent_frames, within
from audionmf.rendering.grouping import REST, Grouping, by_label, one_and_rest, source_name
from audionmf.settings import Settings
from audionmf.sources.labels import Labels, Ranges
from audionmf.sources.score import Score, SplitBy, read_score
from audionmf.sources.templates import Templates
from audionmf.spectra.bands import Bands
from audionmf.spectra.frames import (
    BLOCK_FRAMES,
    Frames,
    Progress,
    describe_source,
    gather,
    pooled_magnitude,
)
from audionmf.spectra.neighbours import with_margins
from audionmf.spectra.stft import STFT
from audionmf.spectra.timbre import ring_lengths

__all__ = [
    "OTHER",
    "ComponentChoice",
    "activation_rows",
    "analyse",
    "choose_components",
    "learn",
    "source_names",
    "with_activations",
]

Examples = Mapping[str, AudioLike | Sequence[AudioLike]]
Banks = Templates | StrPath | Sequence[Templates | StrPath]

OTHER = "other"
"""Name of the source of the free components that were asked for."""

_ALL_EXPLAINED = 0.03
"""A share left below which nothing is missing, and patterns, the narrower model, are enough."""

_REST_COMPONENTS = 16
"""Free components of what a single source leaves."""

_EXAMPLE_COMPONENTS = 40
_SINGLE_COMPONENTS = 16
_GATE_DB = 40.0
_CHOICE_FRAMES = 4096
_CHOICE_BLOCK_SECONDS = 0.5
_ALIKE = 0.8
_TINY = np.finfo(np.float32).tiny
_ADAPT_FRAMES = 2048
_SHIFT_PENALTY = 0.05
_SMOOTHING_OCTAVES = 0.05


def learn(
    source: AudioLike | Sequence[AudioLike],
    name: str | None = None,
    n_components: int | Literal["auto"] | None = None,
    *,
    sample_rate: int | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    chosen: Callable[[ComponentChoice], None] | None = None,
    **options: Any,
) -> Templates:
    """Learn spectral templates of a source from recordings of it alone.

    Parameters
    ----------
    source : Audio, path or array, or a list of them
        One recording or several; they are analysed together.
    name : str, optional
        Label of the source; default: the name of the first file.
    n_components : int or "auto", optional
        Templates; default: ``settings.n_components``, else 100 frames or 40 NMF components, or as
        many as there are frames if those are fewer. "auto" takes what `choose_components` picks.
    sample_rate : int, optional
        In Hz, the rate that the templates are for; recordings of another rate are converted.
        Needed for an array, whose rate it is. Default: the rate of the first recording.
    settings : Settings, optional
        Options of the analysis; ``dictionary`` says how templates are found.
    progress : callable, optional
        Told the stage and the share done.
    chosen : callable, optional
        Told the `ComponentChoice` of "auto".
    **options
        Fields of `Settings`, changed from `settings`.

    Returns
    -------
    Templates
        The bank, each template summing to 1, with how long each rings at a time.

    Raises
    ------
    ParameterError
        If there are fewer frames than the components that were asked for, or options do not fit.
    InvalidAudioError
        If the recordings are silent.
    FileNotFoundError, AudioReadError, LimitError
        If audio cannot be read or worked on.
    """
    config = Settings.from_options(settings, **options)
    report = progress or _silent
    material = _material(source, name, sample_rate, config, report)
    if n_components == "auto":
        choice = _choose(material, config, report)
        if chosen:
            chosen(choice)
        n_components = choice.picked
    if n_components is not None:
        config = dataclasses.replace(config, n_components=n_components)
    wanted, V, label = config.n_components, material.V, material.label
    if wanted is not None and wanted > V.shape[1]:
        raise ParameterError(
            f"{wanted} components cannot be learnt from the {V.shape[1]} frames of {label!r}; "
            "ask for fewer, give a longer recording, or take a smaller hop"
        )
    if config.dictionary == "frames":
        W = _even_frames(
            V, min(wanted or config.example_frames, V.shape[1]), exact=wanted is not None
        )
        lengths = _alike_lengths(V, W, material.bands)
    else:
        count = wanted or min(_EXAMPLE_COMPONENTS, V.shape[1])
        model = _fit(V, count, config, partial(report, f"learn {label}"))
        W, lengths = model.templates, ring_lengths(model.activations)
    durations = tuple(round(float(n * material.frame_seconds), 3) for n in lengths)
    labels = (label,) * W.shape[1]
    return Templates(W, labels, material.stft, material.sample_rate, durations)


def choose_components(
    source: AudioLike | Sequence[AudioLike],
    name: str | None = None,
    *,
    sample_rate: int | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> ComponentChoice:
    """Find out how many components the sound of a source needs.

    Templates are learnt from three of four blocks of half a second, for 4, 8, 16, … components.
    The score of each number is how well they explain the fourth blocks: half of the frequency bands
    give the activations, the other half is compared (bi-cross-validation). The smallest number
    within 2 % of the best is picked.

    Parameters
    ----------
    source, name, sample_rate, settings, progress, **options
        As in `learn`; ``dictionary`` says whether templates are frames or NMF components.

    Returns
    -------
    ComponentChoice
        The numbers, the score of each, the pick and its reason.

    Raises
    ------
    ParameterError
        If fewer than 16 frames can be heard, or options do not fit.
    InvalidAudioError
        If the recordings are silent.
    FileNotFoundError, AudioReadError, LimitError
        If audio cannot be read or worked on.
    """
    config = Settings.from_options(settings, **options)
    report = progress or _silent
    return _choose(_material(source, name, sample_rate, config, report), config, report)


@dataclass(frozen=True, eq=False)
class _Material:
    """What templates are learnt from: frames of recordings of one source."""

    V: NDArray[np.float32]
    label: str
    stft: STFT
    sample_rate: int
    frame_seconds: float

    @property
    def bands(self) -> Bands:
        return Bands.of(self.stft, self.sample_rate)


def _material(
    source: AudioLike | Sequence[AudioLike],
    name: str | None,
    sample_rate: int | None,
    config: Settings,
    report: Progress,
) -> _Material:
    recordings = _recordings(source, sample_rate)
    label = name or (recordings[0].path.stem if recordings[0].path else "")
    if not label:
        raise ParameterError("templates learnt from an array need a name")
    rate = recordings[0].sample_rate
    stft = _stft(config, rate)
    share = max(16, config.max_frames // len(recordings))
    read = partial(report, f"read {label}")
    found = [_gather(r, stft, share, config, read) for r in recordings]
    V = np.concatenate([frames.V for frames in found], axis=1)
    if not V.any():
        raise InvalidAudioError(f"the recording of {label!r} is silent; nothing can be learnt")
    hops = sum(frames.step * frames.V.shape[1] for frames in found) / V.shape[1]
    return _Material(V, label, stft, rate, hops * stft.hop_length / rate)


def _choose(material: _Material, config: Settings, report: Progress) -> ComponentChoice:
    V = material.bands.pool(material.V[:, _heard(material.V)])
    step = -(-V.shape[1] // _CHOICE_FRAMES)
    V = V[:, ::step] / np.float32(2.0 ** np.floor(np.log2(V.max())))

    def fit(frames: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        if config.dictionary == "frames":
            return _even_frames(frames, count, exact=True)
        return _fit(frames, count, config, lambda _: None).templates

    return choose(
        V, fit, round(_CHOICE_BLOCK_SECONDS / (step * material.frame_seconds)),
        n_threads=config.n_threads, progress=partial(report, f"choose {material.label}"),
    )  # fmt: skip


def _alike_lengths(
    V: NDArray[np.float32], W: NDArray[np.float32], bands: Bands
) -> NDArray[np.float64]:
    """Return for how many frames the sound of each template rings at a time.

    A frame has the sound of a template where the cosine between them is 0.8 or more.
    """
    peak = np.float32(2.0 ** np.floor(np.log2(V.max())))
    V, W = bands.pool(V) / peak, bands.pool(W)
    levels, norms = np.linalg.norm(V, axis=0), np.linalg.norm(W, axis=0)
    lengths = []
    for first in range(0, W.shape[1], BLOCK_FRAMES):
        block = slice(first, first + BLOCK_FRAMES)
        cosines = W[:, block].T @ V / np.maximum(norms[block, None] * levels, _TINY)
        lengths.append(ring_lengths(np.where(cosines >= _ALIKE, levels, 0)))
    return np.concatenate(lengths)


def analyse(
    mixture: AudioLike,
    *,
    n_sources: int | None = None,
    templates: Banks = (),
    examples: Examples | None = None,
    free: int = 0,
    residual: str = "",
    solo: Ranges | None = None,
    absent: Ranges | None = None,
    convert: bool = False,
    midi: StrPath | None = None,
    midi_split: SplitBy = "track",
    split_at: str | int | None = None,
    lead: bool = False,
    components: bool = False,
    sample_rate: int | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    watch: nmf.Callback | None = None,
    **options: Any,
) -> Decomposition:
    """Find the templates of a recording and how they group into sources.

    Parameters
    ----------
    mixture : Audio, AudioFile, path or array
        The recording; a file is read block by block.
    n_sources, templates, examples, free, residual, solo, absent, convert, midi, midi_split, \
    split_at, lead, sample_rate, settings, progress, **options
        As in `audionmf.separate`.
    components : bool, default False
        Blind, with every component a source of its own, and activations for every frame.
    watch : callable, optional
        Blind: called with the `nmf.State`, which has the divergence, after each iteration;
        returning True ends the factorisation there.

    Returns
    -------
    Decomposition
        What `audionmf.render` needs.

    Raises
    ------
    ParameterError
        If there is not exactly one way to know the sources, or options do not fit.
    FileNotFoundError, AudioReadError, InvalidAudioError, LimitError
        If audio cannot be read or worked on.
    TemplateError, TemplateMismatchError
        If templates cannot be read, or are for another sample rate or STFT.
    ScoreError
        If the score cannot be read, holds no notes, or none within the recording.
    """
    config = Settings.from_options(settings, **options)
    source = open_source(mixture, sample_rate)
    report = progress or _silent
    labels = Labels.of(solo, absent)
    named = isinstance(templates, Templates) or bool(templates or examples or labels.solo)
    _check_ways(
        [n_sources is not None, named, components, lead, midi is not None],
        silence=bool(labels.absent), free=free,
    )  # fmt: skip
    if midi is None and (split_at is not None or midi_split != "track"):
        raise ParameterError("how a score is split goes with a score: give midi too")
    if midi is not None:
        score = read_score(midi, split=midi_split, split_at=split_at)
        if residual in score.names:
            raise ParameterError(f"the residual {residual!r} needs a name that no source has")
        found = analyse_score(score, source, config, report)
        return dataclasses.replace(found, residual=residual)
    if residual and not named:
        raise ParameterError(
            "a residual is what templates leave: it goes with templates or examples"
        )
    if named:
        struck = _as_struck(
            templates, examples or {}, labels, free, residual, source, config, report
        )
        if struck is not None and (config.model == "patterns" or REST in struck.grouping):
            found = struck  # free components explain anything: what they leave judges nothing
        else:
            banks = _banks(templates, source, config, convert=convert)
            bank = _bank(banks, examples or {}, labels, source, config, report)
            further = OTHER if free else _rest_of(bank.names, residual)
            free = free or (_REST_COMPONENTS if further else 0)
            names = list(filter(None, [*bank.names, further, residual]))
            silence = labels.silence(names, source, bank.stft, describe_source(source))
            exemplary = not free and is_exemplary(bank, config)
            if struck is not None or not exemplary:
                found = _analyse_with(bank, free, further, silence, source, config, report)
            if struck is not None and left_share(struck, source) < max(
                _ALL_EXPLAINED, left_share(found, source)
            ):
                found = struck
            elif exemplary:
                alone = {} if banks else _alone(examples or {}, labels, source, bank.stft)
                found = analyse_exemplars(bank, alone, silence, source, config, report)
        if residual in found.grouping:
            raise ParameterError(f"the residual {residual!r} needs a name that no source has")
        return dataclasses.replace(found, residual=residual)
    if lead:
        return analyse_lead(source, config, report, watch)
    if components:
        return _analyse_components(source, config, report, watch)
    return analyse_blind(n_sources, source, config, report, watch)


def _check_ways(ways: Sequence[bool], *, silence: bool, free: int) -> None:
    """Refuse more than one way to know the sources, and what goes with another way.

    ``ways`` says which are there: their number, templates, single components, a lead, a score.
    """
    _, named, _, lead, score = ways
    several = sum(ways) > 1
    if score and (several or free or silence):
        raise ParameterError(
            "a score says what the sources are: leave out their number, templates, examples, "
            "ranges, free components and lead"
        )
    if lead and (several or free or silence):
        raise ParameterError(
            "lead says what the sources are: leave out their number, templates, examples, ranges "
            "and free components"
        )
    if several:
        raise ParameterError(
            "the number of sources is for a blind separation: leave it out with templates, examples "
            "or ranges, which bring their own"
        )
    if free < 0 or (free and not named):
        raise ParameterError("free components are a number, 0 or more, that goes with templates")
    if silence and not named:
        raise ParameterError(
            "ranges where a source does not play go with templates, examples or solo ranges"
        )


def _as_struck(
    templates: Banks,
    examples: Examples,
    labels: Labels,
    free: int,
    residual: str,
    source: Source,
    config: Settings,
    report: Progress,
) -> Decomposition | None:
    """Analyse by patterns where there are examples alone, all of them struck sounds."""
    if config.model in ("harmonic", "free"):
        raise ParameterError(
            f"the model {config.model!r} is for blind separation; with templates and examples there "
            "are 'auto', 'frames' and 'patterns'"
        )
    alone = bool(examples) and not (
        isinstance(templates, Templates) or templates or labels.solo or labels.absent or free
    )
    if config.model == "frames" or not alone or config.beta != 1:
        if config.model == "patterns":
            raise ParameterError(
                "patterns go with examples alone, under beta 1: without templates, free components "
                "and ranges"
            )
        return None
    recordings = {
        name: [at_rate(r, source.sample_rate) for r in _recordings(example, None)]
        for name, example in examples.items()
    }
    always = config.model == "patterns"
    rest = _rest_of(list(examples), residual)
    return analyse_struck(recordings, source, config, report, rest=rest, always=always)


def source_names(
    n_sources: int | None,
    templates: Sequence[Templates] = (),
    examples: Iterable[str] = (),
    free: int = 0,
    residual: str = "",
    only: str | None = None,
    score: Score | None = None,
    *,
    lead: bool = False,
) -> list[str]:
    """Return the names that the stems of a separation will have, before it is made.

    Where the number of sources is chosen by the analysis, the names of the most there may be.

    Raises
    ------
    ParameterError
        If there is no source `only`.
    """
    if score is not None:
        names = [*score.names, *([residual] if residual else [])]
    elif lead:
        names = [LEAD, ACCOMPANIMENT]
    elif n_sources is not None or not (templates or examples):
        names = [source_name(i) for i in range(n_sources or MOST_SOURCES)]
    else:
        labels = [name for bank in templates for name in bank.names]
        known = list(dict.fromkeys([*labels, *examples]))
        further = OTHER if free else _rest_of(known, residual)
        names = list(dict.fromkeys([*known, *filter(None, [further, residual])]))
    return names if only is None else one_and_rest(names, only)


def with_rate(examples: Examples | None, rate: int | None) -> dict[str, Any]:
    """Wrap arrays among the examples, which have the rate of the mixture."""
    return {
        name: _recordings(example, rate) if rate else example
        for name, example in (examples or {}).items()
    }


def _analyse_components(
    source: Source, config: Settings, report: Progress, watch: nmf.Callback | None
) -> Decomposition:
    """Find components and leave each on its own."""
    stft = _stft(config, source.sample_rate)
    frames = _gather(source, stft, config.max_frames, config, partial(report, "read"))
    wanted = config.n_components
    check_component_count(wanted, frames, source)
    count = wanted or min(_SINGLE_COMPONENTS, frames.V.shape[1])
    model, remarks = best_start(
        config.restarts,
        lambda r: _fit(
            frames.V, count, dataclasses.replace(config, seed=config.seed + r),
            partial(report, "factorise"), watch,
        ),
    )  # fmt: skip
    labels = tuple(component_name(k) for k in range(count))
    templates = Templates(model.templates, labels, stft, source.sample_rate)
    found = _decomposition(source, frames, templates, by_label(templates), config, model)
    return with_activations(source, dataclasses.replace(found, remarks=remarks), report)


def _rest_of(names: Sequence[str], residual: str) -> str:
    """Return the name of what a single source leaves; nothing for several, or with a residual."""
    return REST if len(names) == 1 and not residual else ""


def _analyse_with(
    bank: Templates,
    free: int,
    further: str,
    silence: Absent,
    source: Source,
    config: Settings,
    report: Progress,
) -> Decomposition:
    if free and further in bank.names:
        raise ParameterError(f"free components become {further!r}, a name that the templates have")
    adapting = config.adapt_iter > 0
    if adapting and config.beta != 1:
        raise ParameterError(
            "templates are fitted to the mixture under beta 1 only; "
            "set adapt_iter to 0 to use them as they are"
        )
    spatial = adapting and config.spatial and source.n_channels == 2 and len(bank.names) + free > 1
    limit = min(config.max_frames, _ADAPT_FRAMES) if adapting else config.max_frames
    read = partial(report, "read")
    frames = _gather(source, bank.stft, limit, config, read, keep_transform=spatial)
    model = None
    if free:
        labels = (*bank.labels, *(further,) * free)
        model, bank = _with_free(
            frames, bank, labels, silence, config, partial(report, "factorise")
        )
    found = _decomposition(source, frames, bank, by_label(bank), config, model)
    n_frames = bank.stft.n_frames(frames.n_samples)  # fewer than a header promised, maybe
    found = dataclasses.replace(found, absent=within(silence, n_frames))
    if not adapting or not frames.V.any():
        return found
    return _adapted(found, frames, further if free else "", partial(report, "adapt"))


def _with_free(
    frames: Frames,
    bank: Templates,
    labels: tuple[str, ...],
    silence: Absent,
    config: Settings,
    report: Callable[[float], None],
) -> tuple[nmf.NMF, Templates]:
    """Learn further templates, labelled like the last of `labels`, those of the bank fixed."""
    start: dict[str, Any] = {}
    if silence:
        level = frames.V.sum(axis=0) / len(labels)
        start["activations"] = level * ~absent_frames(silence, labels, _places(frames))
    model = _fit(
        frames.V, len(labels), config, report, templates=bank.templates, fixed_templates=True,
        **start,
    )  # fmt: skip
    learnt = model.templates[:, bank.n_components :]
    joined = np.concatenate([bank.templates, learnt], axis=1)
    return model, dataclasses.replace(bank, templates=joined, labels=labels)


def _adapted(
    found: Decomposition, frames: Frames, further: str, report: Callable[[float], None]
) -> Decomposition:
    """Fit pitch-shifted copies and an equaliser for each source, and learn where sources stand."""
    config = found.settings
    given = set(found.templates.names) - {further}
    most = 0 if further == REST else config.pitch_shifts  # a copy would take what is not its own
    bank, penalties = _with_shifts(found.templates, given, most)
    bands = Bands.of(bank.stft, bank.sample_rate)
    pooled = bands.pool(bank.templates)
    sums = pooled.sum(axis=0)
    sums[sums == 0] = 1
    V = bands.pool(frames.V)
    peak = 2.0 ** np.floor(np.log2(V.max()))
    names = bank.names
    fitted = fit_equalised(
        V / np.float32(peak),
        pooled / sums,
        [names.index(label) for label in bank.labels],
        bands.smoother(_SMOOTHING_OCTAVES),
        penalties=penalties,
        absent=absent_frames(found.absent, bank.labels, _places(frames)) if found.absent else None,
        n_adapt=config.adapt_iter,
        n_threads=thread_count(config.n_threads),
        progress=report,
    )
    frequencies = bank.stft.frequencies(bank.sample_rate)
    gains = np.stack([bands.spread(g, frequencies) for g in fitted.gains])
    labels = tuple(bank.labels[k] for k in fitted.kept)
    membership = [names.index(label) for label in labels]
    W = (bank.templates / sums)[:, fitted.kept] * gains[membership].T
    templates = dataclasses.replace(bank, templates=W, labels=labels)
    H = fitted.activations * np.float32(peak)
    grouping = {name: by_label(templates).get(name, ()) for name in names}
    adapted = dataclasses.replace(
        found, templates=templates, grouping=grouping, penalties=penalties[fitted.kept],
        banded=True, activations=H if frames.step == 1 else None,
    )  # fmt: skip
    if frames.X is None:
        return adapted
    return adapted.with_covariances(frames.X, H)


def _with_shifts(
    bank: Templates, given: Collection[str], most: int
) -> tuple[Templates, NDArray[np.float32]]:
    """Return the bank with copies of its templates up to `most` semitones away, and penalties.

    What was learnt from the mixture itself, not `given`, has all its notes and gets no copies.
    """
    keep = np.array([label in given for label in bank.labels])
    copies = [s for n in range(1, most + 1) for s in (-n, n)]
    W = [bank.templates, *(_shifted(bank.templates[:, keep], s) for s in copies)]
    labels = [label for label in bank.labels if label in given]
    penalties = np.full(bank.n_components + len(labels) * len(copies), _SHIFT_PENALTY, np.float32)
    penalties[: bank.n_components] = 0
    joined = dataclasses.replace(
        bank, templates=np.concatenate(W, axis=1), labels=(*bank.labels, *labels * len(copies))
    )
    return joined, penalties


def _shifted(W: NDArray[np.float32], semitones: int) -> NDArray[np.float32]:
    """Return spectra with their frequency axis stretched to another pitch."""
    n_bins = len(W)
    place = np.arange(n_bins) / 2 ** (semitones / 12)
    below = np.minimum(place.astype(int), n_bins - 2)
    share = np.minimum(place - below, 1)[:, None].astype(np.float32)
    stretched = W[below] * (1 - share) + W[below + 1] * share
    stretched[place >= n_bins - 1] = 0
    shifted: NDArray[np.float32] = stretched.astype(np.float32)
    return shifted


def _even_frames(V: NDArray[np.float32], count: int, *, exact: bool) -> NDArray[np.float32]:
    """Return frames as templates: evenly spaced among those within 40 dB of the loudest.

    If more are asked for (`exact`) than those, the loudest ones.
    """
    levels = V.sum(axis=0)
    heard = _heard(V)
    if len(heard) < count and exact:
        heard = np.sort(np.argsort(-levels, kind="stable")[:count])
    chosen = heard
    if len(heard) > count:
        chosen = heard[np.linspace(0, len(heard) - 1, count).round().astype(int)]
    W = V[:, chosen]
    sums = W.sum(axis=0)
    W /= np.where(sums > 0, sums, 1)
    return W


def _heard(V: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return which frames are within 40 dB of the loudest."""
    levels = V.sum(axis=0)
    return np.flatnonzero(levels > levels.max() * 10 ** (-_GATE_DB / 20))


def _gather(
    source: Source,
    stft: STFT,
    max_frames: int,
    config: Settings,
    report: Callable[[float], None],
    *,
    keep_transform: bool = False,
) -> Frames:
    return gather(
        source, stft, max_frames, keep_transform=keep_transform,
        n_threads=thread_count(config.n_threads), progress=report,
    )  # fmt: skip


def _fit(
    V: NDArray[np.float32],
    count: int,
    config: Settings,
    report: Callable[[float], None],
    watch: nmf.Callback | None = None,
    **start: Any,
) -> nmf.NMF:
    def callback(state: nmf.State) -> bool | None:
        report(state.iteration / state.max_iter)
        return watch(state) if watch else None

    model = nmf.fit(
        V, count, beta=config.beta, max_iter=config.max_iter, tol=config.tol, seed=config.seed,
        n_threads=config.n_threads, callback=callback, **start,
    )  # fmt: skip
    report(1.0)
    return model


def with_activations(
    source: Source, found: Decomposition, progress: Progress | None = None
) -> Decomposition:
    """Return a decomposition with its activations for every frame of the recording.

    Parameters
    ----------
    source : Audio or AudioFile
        The recording that was analysed.
    found : Decomposition
        With activations already, it is returned as it is.
    progress : callable, optional
        Told the stage and the share done.
    """
    if found.activations is not None:
        return found
    n_frames = found.templates.stft.n_frames(found.mixture.n_samples)
    H = np.zeros((found.templates.n_components, n_frames), np.float32)
    n_done = 0
    for block in _activations(source, found, progress):
        H[:, n_done : n_done + block.shape[1]] = block
        n_done += block.shape[1]
    return dataclasses.replace(found, activations=H)


def activation_rows(
    source: Source, found: Decomposition, progress: Progress | None = None
) -> Sequence[NDArray[np.float32]]:
    """Return the activations of each component, in memory only if the decomposition has them.

    Parameters
    ----------
    source, found, progress
        As for `with_activations`.

    Raises
    ------
    OutputError
        If the system's folder for temporary files has no room for them.
    """
    if found.activations is not None:
        return list(found.activations)
    n_frames = found.templates.stft.n_frames(found.mixture.n_samples)
    rows = Rows(found.templates.n_components, n_frames)
    for block in _activations(source, found, progress):
        rows.add(block)
    return rows


def _activations(
    source: Source, found: Decomposition, progress: Progress | None
) -> Iterator[NDArray[np.float32]]:
    """Yield the activations of a recording, block by block."""
    report, n_threads = progress or _silent, thread_count(found.settings.n_threads)
    n_done, n_frames = 0, found.templates.stft.n_frames(found.mixture.n_samples)
    blocks = found.templates.stft.forward_blocks(source.blocks(), BLOCK_FRAMES)
    for X, before, after in with_margins(blocks, found.reach):
        yield found.activate(pooled_magnitude(X), n_threads, n_done, (before, after))
        n_done += X.shape[-1] - before - after
        report("activate", n_done / n_frames)


def _decomposition(
    source: Source,
    frames: Frames,
    templates: Templates,
    grouping: Grouping,
    config: Settings,
    model: nmf.NMF | None = None,
) -> Decomposition:
    return Decomposition(
        templates=templates,
        grouping=grouping,
        settings=config,
        mixture=Mixture.of(source, frames.n_samples),
        divergence=np.empty(0) if model is None else model.divergence,
        reason="" if model is None else model.reason,
    )


def _banks(templates: Banks, source: Source, config: Settings, *, convert: bool) -> list[Templates]:
    """Return banks for the sample rate of `source` and one STFT; others are refused or converted.

    The STFT is the one asked for, else that of the first bank of the right rate, else that of the
    first bank brought to the right rate.
    """
    given = [templates] if isinstance(templates, Templates | str | os.PathLike) else templates
    banks = [bank if isinstance(bank, Templates) else Templates.load(bank) for bank in given]
    if not banks:
        return []
    rate = source.sample_rate
    asked = config.n_fft or config.hop_length or config.window != Settings.window
    if not convert:
        stft = _stft(config, rate) if asked else banks[0].stft
        for bank in banks:
            bank.require(rate, stft, describe_source(source), convertible=True)
        return banks
    first = next((bank for bank in banks if bank.sample_rate == rate), banks[0])
    stft = _stft(config, rate) if asked else first.convert(rate).stft
    return [bank.convert(rate, stft) for bank in banks]


def _bank(
    banks: list[Templates],
    examples: Examples,
    labels: Labels,
    source: Source,
    config: Settings,
    report: Progress,
) -> Templates:
    """Join banks with those learnt from examples and from `source`, all of them fit for it.

    How long templates ring is left out: what is fitted to the mixture has other templates.
    """
    stft = banks[0].stft if banks else _stft(config, source.sample_rate)
    exact = dataclasses.replace(
        config, n_fft=stft.n_fft, hop_length=stft.hop_length, window=stft.window
    )
    learnt = [
        learn(recordings, name, settings=exact, progress=report)
        for name, recordings in _alone(examples, labels, source, stft).items()
    ]
    return dataclasses.replace(Templates.merge([*banks, *learnt]), durations=None)


def _alone(
    examples: Examples, labels: Labels, source: Source, stft: STFT
) -> dict[str, list[Source]]:
    """Return all recordings of each source alone: examples, and pieces of `source`."""
    pieces = labels.pieces(source, stft.n_fft, describe_source(source))
    alone: dict[str, list[Source]] = {}
    for name in dict.fromkeys([*examples, *pieces]):
        found = _recordings(examples[name], None) if name in examples else []
        alone[name] = [*(at_rate(r, source.sample_rate) for r in found), *pieces.get(name, [])]
    return alone


def _recordings(source: AudioLike | Sequence[AudioLike], rate: int | None) -> list[Source]:
    """Return recordings, all at the rate asked for, or else that of the first."""
    items: list[Any] = list(source) if isinstance(source, list | tuple) else [source]
    opened = []
    for item in items:
        array = not isinstance(item, Audio | AudioFile | str | os.PathLike)
        opened.append(open_source(item, rate if array else None))
    if not opened:
        raise ParameterError("there is no recording to learn from")
    return [at_rate(recording, rate or opened[0].sample_rate) for recording in opened]


def at_rate(source: Source, rate: int) -> Source:
    """Return a recording at a sample rate in Hz; one of another rate is read and resampled."""
    if source.sample_rate == rate:
        return source
    import soxr

    audio = as_audio(source)
    length = -(-audio.n_samples * rate // audio.sample_rate)
    samples = np.zeros((audio.n_channels, length), np.float32)
    for channel, converted in zip(audio.samples, samples, strict=True):
        found = soxr.resample(channel, audio.sample_rate, rate, "HQ")[:length]
        converted[: len(found)] = found
    return Audio(samples, rate, audio.path, audio.subtype)


def _places(frames: Frames) -> range:
    """Return where in the recording the frames that were kept are."""
    return range(0, frames.V.shape[1] * frames.step, frames.step)


def _stft(config: Settings, sample_rate: int) -> STFT:
    return STFT(config.n_fft_at(sample_rate), config.hop_length_at(sample_rate), config.window)


def _silent(stage: str, done: float) -> None:
    """Report progress to nobody."""
