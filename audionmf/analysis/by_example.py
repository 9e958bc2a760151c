"""Analyse a mixture whose sources are known by their sound: examples, banks, where they play alone.

The templates of each source are taken as they are, with copies at neighbouring pitches for notes that
the example lacks; the mixture then teaches one smooth equaliser a source, which makes up for another
instrument, room or microphone. Free components, learnt from the mixture with all else fixed, take what
no source explains.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf import nmf
from audionmf.analysis.by_patterns import analyse_struck
from audionmf.analysis.evidence import left_by_others, left_share
from audionmf.analysis.exemplars import Exemplary, analyse_exemplars, is_exemplary, shifted
from audionmf.analysis.learning import (
    SINGLE_FRAMES,
    at_rate,
    factorise,
    half_window,
    learn_pattern,
    learn_spectra,
    read_frames,
    source_sound,
    stft_of,
)
from audionmf.errors import ParameterError
from audionmf.io.audio import Source
from audionmf.nmf.equalise import fit_equalised
from audionmf.nmf.solver import thread_count
from audionmf.rendering.absent import Absent, absent_frames, within
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.grouping import by_label
from audionmf.settings import PENALTIES, Settings
from audionmf.sources.known import Account, Known
from audionmf.sources.struck import Patterns
from audionmf.sources.templates import Templates, describe_stft
from audionmf.spectra.bands import Bands
from audionmf.spectra.frames import Frames, Progress, describe_source
from audionmf.spectra.stft import STFT

__all__ = ["alike_where_alone", "analyse_examples", "known_spectra", "with_shifts"]

_ALL_EXPLAINED = 0.03
"""A share left below which nothing is missing, and patterns, the narrower model, are enough."""

_NEARLY_THE_SAME = 0.35
"""A share left by each other below which the ranges of sources may hold the same mixture."""

_ADAPT_FRAMES = 2048
_JUDGE_FRAMES, _JUDGE_ITERATIONS = 384, 20
"""By which single frames are fitted that only tell whether patterns explain more."""
_SHIFT_PENALTY = 0.05
_SMOOTHING_OCTAVES = 0.05


def analyse_examples(
    account: Account, source: Source, settings: Settings, progress: Progress
) -> Decomposition:
    """Analyse a mixture of which it is known what each source sounds like.

    Parameters
    ----------
    account : Account
        Every source with examples, banks or ranges where it plays alone; or with free components.
    source : Audio or AudioFile
        The mixture.
    settings : Settings
        Options.
    progress : callable
        Told the stage and the share done.

    Returns
    -------
    Decomposition
        By patterns where every source is a struck sound and they explain the mixture better than
        single frames do.

    Raises
    ------
    ParameterError
        If options do not fit, or ranges are not inside the mixture.
    """
    _check_front_end(account, settings)
    if account.kit and _plays_alone(account, settings):
        return _by_kit(account, source, settings, progress)
    struck = _as_struck(account, source, settings, progress)
    if struck is not None and settings.model == "patterns":
        return struck
    against_rest = bool(account.free) and not settings.penalised
    one_kind = against_rest if len(account.sounding) == 1 else not account.free
    exemplary = one_kind and is_exemplary(settings)
    if struck is None:
        way = _by_exemplars if exemplary else _by_frames
        return way(account, source, settings, progress)
    left = left_share(struck, source)
    if left < _ALL_EXPLAINED:
        return struck
    if exemplary:  # what judges is not kept, and need not be as good as it may be
        judge = dataclasses.replace(
            settings, adapt_iter=min(settings.adapt_iter, _JUDGE_ITERATIONS)
        )
        found = _by_frames(account, source, judge, progress, most=_JUDGE_FRAMES)
        if left < left_share(found, source, _JUDGE_FRAMES):
            return struck
        return _by_exemplars(account, source, settings, progress)
    found = _by_frames(account, source, settings, progress)
    return struck if left < left_share(found, source) else found


def _check_front_end(account: Account, settings: Settings) -> None:
    """Refuse patterns in another front end than the STFT."""
    if settings.front_end != "stft" and (account.kit or settings.model == "patterns"):
        raise ParameterError(
            f"patterns and kits go with the front end 'stft' only, not {settings.front_end!r}"
        )


def _plays_alone(account: Account, settings: Settings) -> bool:
    """Tell whether nothing but a kit, and free components, is known, and patterns may be fitted."""
    only_kit = set(account.sounding) == set(account.kit) and not account.labels.absent
    brought = all(_may_be_struck(known) for known in account.sounding.values())
    return only_kit and brought and settings.beta == 1 and settings.model in ("auto", "patterns")


def _by_kit(
    account: Account, source: Source, settings: Settings, progress: Progress
) -> Decomposition:
    """Analyse by patterns of those sources of a kit that are heard."""
    patterns = _patterns(account, source, settings, progress, always=True)
    found = None
    if patterns is not None:
        rest = next(iter(account.free), "")
        found = analyse_struck(patterns, source, settings, progress, rest=rest, kit=True)
    if found is None:
        raise ParameterError(
            f"a kit is for recordings of up to {settings.max_frames} frames, 3 minutes by default; "
            "take a part of it (start, duration) or a larger hop"
        )
    return found


def _as_struck(
    account: Account, source: Source, settings: Settings, progress: Progress
) -> Decomposition | None:
    """Analyse by patterns where there are examples alone, all of them struck sounds."""
    if settings.model in ("harmonic", "free"):
        raise ParameterError(
            f"the model {settings.model!r} is for blind separation; with templates and examples "
            "there are 'auto', 'frames' and 'patterns'"
        )
    always = settings.model == "patterns"
    # Free components explain anything: what they leave judges no model, so patterns must be asked for.
    single = always and len(account.sounding) == 1
    others = account.labels.absent or (account.free and not single)
    whole = all(_may_be_struck(known) for known in account.sounding.values())
    fits = settings.beta == 1 and not settings.penalised and whole and not others
    if not fits and always:
        raise ParameterError(
            "patterns go with examples alone, and with templates that bring patterns, under beta 1: "
            "without free components, ranges, and weights such as sparsity"
        )
    if not fits or settings.model == "frames" or settings.front_end != "stft":
        return None
    patterns = _patterns(account, source, settings, progress, always=always)
    if patterns is None:
        return None
    rest = next(iter(account.free), "")
    return analyse_struck(patterns, source, settings, progress, rest=rest)


def _may_be_struck(known: Known) -> bool:
    brought = all(bank.patterns is not None for bank in known.banks)
    sounds = bool(known.recordings) or known.bank is not None
    return sounds and brought and not known.alone


def _patterns(
    account: Account, source: Source, settings: Settings, progress: Progress, *, always: bool
) -> Patterns | None:
    """Return the patterns of all sources, from banks and examples; None if one has none.

    Of a kit each sample brings its own pattern; otherwise all recordings of a source bring one.
    """
    rate = source.sample_rate
    given = [b for known in account.sounding.values() for b in known.banks]
    shorter = [b.patterns.stft for b in given if b.patterns and b.sample_rate == rate]
    stft = shorter[0] if shorter else half_window(settings, rate)
    if stft.n_frames(source.n_samples) > settings.max_frames:
        return None  # too long for patterns, whatever the examples are
    found: list[Patterns] = []
    for name, known in account.sounding.items():
        for bank in known.banks:
            if bank.patterns is None:
                return None
            if not account.convert:
                bank.require(rate, None, describe_source(source), convertible=True)
            found.append(bank.patterns.convert(rate, stft))
        if known.recordings:
            alone = [at_rate(recording, rate) for recording in known.opened]
            for recordings in [[each] for each in alone] if name in account.kit else [alone]:
                learnt = learn_pattern(
                    recordings,
                    name,
                    settings,
                    stft=stft,
                    always=always,
                    warn=always and not account.kit,
                )
                if learnt is None:
                    return None
                found.append(learnt)
        progress(f"read {name}", 1.0)
    return Patterns.merge(found)


def _by_exemplars(
    account: Account, source: Source, settings: Settings, progress: Progress
) -> Decomposition:
    stft = _common_stft(account, source, settings)
    alone = _alone(account, stft, source)
    from_banks = any(known.bank is not None for known in account.sources.values())
    several = settings if from_banks else _single(settings)
    learnt: dict[str, NDArray[np.float32]] = {}
    exemplary: dict[str, Exemplary] = {}

    def told(name: str, found: Sequence[Frames]) -> None:
        if settings.dictionary == "frames":
            learnt[name] = source_sound(alone[name], stft, source.sample_rate, found)
            if not from_banks:
                exemplary[name] = Exemplary.of(found, settings)

    bank = _bank(account, alone, stft, source, several, progress, told=told)
    silence = _silence(account, stft, source)
    bank = dataclasses.replace(bank, sounds={**learnt, **bank.sounds})
    return analyse_exemplars(
        bank, exemplary, silence, source, settings, progress, free=account.free
    )


def alike_where_alone(account: Account, source: Source, settings: Settings) -> tuple[str, ...]:
    """Say so where nearly the same is heard where sources are said to play alone.

    Of 29 recordings it is said of none in which each source is alone for a second, and of nine in
    which the others play on, above all drums.

    Parameters
    ----------
    account, source, settings
        As in `analyse_examples`.

    Returns
    -------
    tuple of str
        One line, or none.
    """
    stft, rate = _common_stft(account, source, settings), source.sample_rate
    pieces = account.labels.pieces(source, stft.n_fft, describe_source(source))
    if len(pieces) < 2:
        return ()
    sounds = [source_sound(each, stft, rate) for each in pieces.values()]
    threads = thread_count(settings.n_threads)
    heard = all(sound.any() for sound in sounds)  # a range may begin with a long silence
    if not heard or left_by_others(sounds, threads) >= _NEARLY_THE_SAME:
        return ()
    *names, last = map(repr, pieces)
    return (
        f"where {', '.join(names)} and {last} are said to play alone, nearly the same is heard: if "
        "others play there too, leave these ranges out",
    )


def _single(settings: Settings) -> Settings:
    """Return the settings under which examples become single frames."""
    return dataclasses.replace(settings, example_frames=settings.example_frames or SINGLE_FRAMES)


def _silence(account: Account, stft: STFT, source: Source) -> Absent:
    names = [*account.sources, *([account.residual] if account.residual else [])]
    return account.labels.silence(names, source, stft, describe_source(source))


def known_spectra(
    account: Account, source: Source, settings: Settings, progress: Progress
) -> Templates:
    """Return the spectra of all sources of which it is known what they sound like, as frames.

    Parameters
    ----------
    account, source, settings, progress
        As in `analyse_examples`.

    Returns
    -------
    Templates
        Labelled by source.
    """
    stft = _common_stft(account, source, settings)
    alone = _alone(account, stft, source)
    return _bank(account, alone, stft, source, _single(settings), progress, single=True).spectra()


def _by_frames(
    account: Account,
    source: Source,
    settings: Settings,
    progress: Progress,
    most: int | None = None,
) -> Decomposition:
    stft = _common_stft(account, source, settings)
    bank = known_spectra(account, source, settings, progress)
    silence = _silence(account, stft, source)
    labels = [name for name, count in account.free.items() for _ in range(count)]
    return _analyse_with(bank, labels, silence, source, settings, progress, most)


def _common_stft(account: Account, source: Source, settings: Settings) -> STFT:
    """Return the STFT asked for, else that of the first bank that fits, else the usual one."""
    rate = source.sample_rate
    banks = [bank for known in account.sources.values() for bank in known.banks]
    if _asked(settings) or not banks:
        return stft_of(settings, rate)
    stft = banks[0].stft
    if account.convert:
        fitting = next((bank for bank in banks if bank.sample_rate == rate), banks[0])
        stft = fitting.convert(rate).stft
    if stft.front_end != "stft" and settings.phase == "consistent":
        raise ParameterError(
            f"the templates were made with {describe_stft(stft)}, and phases are made consistent "
            "with the front end 'stft' only: leave out the phase"
        )
    return stft


def _asked(settings: Settings) -> bool:
    """Tell whether an STFT was asked for."""
    named = (settings.front_end, settings.window) != (Settings.front_end, Settings.window)
    return bool(settings.n_fft or settings.hop_length or named)


def _alone(account: Account, stft: STFT, source: Source) -> dict[str, list[Source]]:
    """Return all recordings of each source alone: examples, and pieces of the mixture."""
    pieces = account.labels.pieces(source, stft.n_fft, describe_source(source))
    found: dict[str, list[Source]] = {
        name: [*(at_rate(r, source.sample_rate) for r in known.opened), *pieces.get(name, [])]
        for name, known in account.sounding.items()
    }
    return {name: recordings for name, recordings in found.items() if recordings}


def _bank(
    account: Account,
    alone: dict[str, list[Source]],
    stft: STFT,
    source: Source,
    settings: Settings,
    progress: Progress,
    *,
    single: bool = False,
    told: Callable[[str, Sequence[Frames]], object] = lambda *_: None,
) -> Templates:
    """Join the templates of all sources: from banks, and from recordings of them alone.

    Of the frames in banks, `single` ones are as many as there are of an example. Told are the frames of
    the recordings of a source.
    """
    exact = dataclasses.replace(
        settings,
        front_end=stft.front_end,
        n_fft=stft.n_fft,
        hop_length=stft.hop_length,
        window=stft.window,
    )
    # The free components are drawn; frames are what they are, and one source is no two groups.
    frames = settings.dictionary == "frames"
    undrawn: dict[str, Any] = dict.fromkeys(PENALTIES if frames else ["group_sparsity"], 0.0)
    exact = dataclasses.replace(exact, **undrawn)
    banks = [
        _fitting(bank, stft, source, convert=account.convert)
        for known in account.sounding.values()
        for bank in known.banks
    ]
    if single:
        banks = [bank.thinned(settings.example_frames or SINGLE_FRAMES) for bank in banks]
    learnt = []
    for name, recordings in alone.items():
        templates, found = learn_spectra(recordings, name, exact, progress)
        told(name, found)
        learnt.append(templates)
    return dataclasses.replace(Templates.merge([*banks, *learnt]), durations=None, patterns=None)


def _fitting(bank: Templates, stft: STFT, source: Source, *, convert: bool) -> Templates:
    """Return a bank for the sample rate of the mixture and one STFT; or refuse it."""
    if convert:
        return bank.convert(source.sample_rate, stft)
    bank.require(source.sample_rate, stft, describe_source(source), convertible=True)
    return bank


def _analyse_with(
    bank: Templates,
    free: Sequence[str],
    silence: Absent,
    source: Source,
    config: Settings,
    report: Progress,
    most: int | None,
) -> Decomposition:
    """Fit a bank, and free components with the labels `free`, to so many frames of a mixture."""
    adapting = config.adapt_iter > 0
    if adapting and config.beta != 1:
        raise ParameterError(
            "templates are fitted to the mixture under beta 1 only; "
            "set adapt_iter to 0 to use them as they are"
        )
    spatial = (
        adapting
        and config.spatial
        and source.n_channels == 2
        and len(bank.names) + len(set(free)) > 1
    )
    limit = min(config.max_frames, most or _ADAPT_FRAMES) if adapting else config.max_frames
    read = partial(report, "read")
    frames = read_frames(source, bank.stft, limit, config, read, keep_transform=spatial)
    model = None
    if free:
        labels = (*bank.labels, *free)
        model, bank = _with_free(
            frames, bank, labels, silence, config, partial(report, "factorise")
        )
    found = Decomposition.of(source, frames.n_samples, bank, config, model)
    n_frames = bank.stft.n_frames(frames.n_samples)  # fewer than a header promised, maybe
    found = dataclasses.replace(found, absent=within(silence, n_frames))
    if not adapting or not frames.V.any():
        return found
    return _adapted(found, frames, set(free), report)


def _with_free(
    frames: Frames,
    bank: Templates,
    labels: tuple[str, ...],
    silence: Absent,
    config: Settings,
    report: Callable[[float], object],
) -> tuple[nmf.NMF, Templates]:
    """Learn further templates, with the last of the labels, those of the bank fixed."""
    start: dict[str, Any] = {}
    if silence:
        level = frames.V.sum(axis=0) / len(labels)
        start["activations"] = level * ~absent_frames(silence, labels, _places(frames))
    model = factorise(
        frames.V, len(labels), config, report, groups=[list(labels).index(one) for one in labels],
        templates=bank.templates, fixed_templates=True, **start,
    )  # fmt: skip
    learnt = model.templates[:, bank.n_components :]
    joined = np.concatenate([bank.templates, learnt], axis=1)
    return model, dataclasses.replace(bank, templates=joined, labels=labels)


def _adapted(
    found: Decomposition, frames: Frames, free: set[str], progress: Progress
) -> Decomposition:
    """Fit pitch-shifted copies and an equaliser for each source, and learn where sources stand."""
    config = found.settings
    given = set(found.templates.names) - free
    bank, penalties = with_shifts(found.templates, given, config.pitch_shifts)
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
        device=config.device,
        progress=partial(progress, "adapt"),
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
    return adapted.with_covariances(frames.X, H, progress)


def with_shifts(
    bank: Templates, given: Collection[str], most: int
) -> tuple[Templates, NDArray[np.float32]]:
    """Return the bank with copies of its templates up to `most` semitones away, and penalties.

    What was learnt from the mixture itself, not `given`, has all its notes and gets no copies.
    """
    keep = np.array([label in given for label in bank.labels])
    copies = [s for n in range(1, most + 1) for s in (-n, n)]
    W = [bank.templates, *(shifted(bank.templates[:, keep], s, bank.stft) for s in copies)]
    labels = [label for label in bank.labels if label in given]
    penalties = np.full(bank.n_components + len(labels) * len(copies), _SHIFT_PENALTY, np.float32)
    penalties[: bank.n_components] = 0
    joined = dataclasses.replace(
        bank, templates=np.concatenate(W, axis=1), labels=(*bank.labels, *labels * len(copies))
    )
    return joined, penalties


def _places(frames: Frames) -> range:
    """Return where in the recording the frames that were kept are."""
    return range(0, frames.V.shape[1] * frames.step, frames.step)
