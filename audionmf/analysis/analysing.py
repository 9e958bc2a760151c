"""Analyse: from what is known of the sources to what a mixture is made of.

`analyse` finds what rendering needs: templates that fit this mixture, their grouping into sources,
and for stereo the place of each source in the image. What is known of the sources says how.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from audionmf import nmf
from audionmf.analysis.forewarning import forewarning
from audionmf.analysis.learning import at_rate, penalties_of
from audionmf.errors import ParameterError
from audionmf.io.audio import AudioLike, Source, open_source
from audionmf.rendering.decomposition import Decomposition
from audionmf.settings import Settings
from audionmf.sources.known import Account, Known, Told
from audionmf.spectra.frames import Progress, describe_source, heard

if TYPE_CHECKING:
    from audionmf.sources.score import Score

__all__ = ["analyse", "analyse_account"]


def analyse(
    mixture: AudioLike,
    sources: Mapping[str, Known] | None = None,
    *,
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
    sources : mapping of str to Known, optional
        What is known of each source.
    components : bool, default False
        Every component a source of its own, and activations for every frame; nothing is known.
    sample_rate, settings, progress
        As in `audionmf.separate`.
    watch : callable, optional
        Blind: called with the `nmf.State`, which has the divergence, after each iteration;
        returning True ends the factorisation there.
    **options
        Short forms of `sources` (fields of `Told`), and fields of `Settings`, as in
        `audionmf.separate`.

    Returns
    -------
    Decomposition
        What `audionmf.render` needs.

    Raises
    ------
    ParameterError
        If what is known contradicts itself, or options do not fit.
    FileNotFoundError, AudioReadError, InvalidAudioError, LimitError
        If audio cannot be read or worked on.
    TemplateError, TemplateMismatchError
        If templates cannot be read, or are for another sample rate or STFT.
    ScoreError
        If the score cannot be read, holds no notes, or none within the recording.
    """
    told, others = Told.split(options, sources)
    config = Settings.from_options(settings, **others)
    source = open_source(mixture, sample_rate)
    account = told.account(sources, sample_rate=sample_rate)
    if not components:
        return analyse_account(account, source, config, progress, watch)
    if account.sources or account.n_sources is not None:
        raise ParameterError("components are found where nothing is known of the sources")
    from audionmf.analysis.components import analyse_components

    return analyse_components(source.without_offset(), config, heard(progress), watch)


def analyse_account(
    account: Account,
    source: Source,
    settings: Settings,
    progress: Progress | None = None,
    watch: nmf.Callback | None = None,
) -> Decomposition:
    """Analyse a recording by an account of its sources; parameters as in `analyse`."""
    n_sources = account.n_sources or len(account.sources)
    report, source = forewarning(heard(progress), n_sources), source.without_offset()
    if settings.penalised:
        _check_penalised(account, settings)
    if settings.front_end != "stft" and (account.textures or account.score or account.voices):
        raise ParameterError(
            f"the front end {settings.front_end!r} is for templates, examples and blind separation; "
            "leave it out with a score, a lead, or harmonic and percussive sound"
        )
    # Each way is loaded when it is taken: together they are a fifth of what is imported.
    if account.textures:
        from audionmf.analysis.by_medians import analyse_medians

        return analyse_medians(account, source, settings, report)
    if _is_mixed(account):
        from audionmf.analysis.by_several import analyse_several

        found = analyse_several(account, source, settings, report, watch)
    elif account.score is not None:
        found = _with_score(account, account.score, source, settings, report)
    elif account.voices:
        found = _with_voice(account, source, settings, report, watch)
    elif account.sources:
        from audionmf.analysis.by_example import alike_where_alone, analyse_examples

        found = analyse_examples(account, source, settings, report)
        told = alike_where_alone(account, source, settings)
        found = dataclasses.replace(found, remarks=(*found.remarks, *told))
    else:
        from audionmf.analysis.blind import analyse_blind

        found = analyse_blind(account.n_sources, source, settings, report, watch)
        if account.same or account.apart:
            from audionmf.analysis.hinted import at_moments

            found = at_moments(source, found, account.same, account.apart, progress)
        return found
    return dataclasses.replace(found, residual=account.residual)


def _check_penalised(account: Account, settings: Settings) -> None:
    """Refuse to draw activations to a form where no components are learnt that could be drawn."""
    if settings.group_sparsity and not account.free:
        penalties_of(settings)  # says what is missing, before anything is read
    learnt = account.free or settings.dictionary == "nmf" or not account.sources
    if account.score is not None or account.voices or account.textures or not learnt:
        raise ParameterError(
            "sparsity, continuity, decorrelation and group_sparsity are for components that are "
            "learnt: with templates or examples, of free components or a factorised dictionary (nmf), "
            "and blind; not with a score, a lead, or harmonic and percussive sound"
        )


def _is_mixed(account: Account) -> bool:
    """Tell whether different things are known of the sources, so that one model is not for all."""
    scored = [known.notes is not None for known in account.sources.values()]
    if account.score is not None:
        return bool(account.voices) or not all(scored)
    plain = len(account.voices) == 1 and len(account.sources) == 2
    others = [known for known in account.sources.values() if not known.voice]
    unknown = not account.sounding and not any(known.free for known in others)
    return bool(account.voices) and not (plain and unknown)


def _with_score(
    account: Account, score: Score, source: Source, settings: Settings, report: Progress
) -> Decomposition:
    from audionmf.analysis.by_score import analyse_score

    what = describe_source(source)
    pieces = account.labels.pieces(source, settings.n_fft_at(source.sample_rate), what)
    examples = {
        name: [at_rate(r, source.sample_rate) for r in known.opened]
        + list[Source](pieces.get(name, []))
        for name, known in account.sources.items()
    }
    found = analyse_score(score, source, settings, report, examples)
    silence = account.labels.silence(account.names, source, found.templates.stft, what)
    return dataclasses.replace(found, absent=silence)


def _with_voice(
    account: Account,
    source: Source,
    settings: Settings,
    report: Progress,
    watch: nmf.Callback | None,
) -> Decomposition:
    from audionmf.analysis.by_lead import analyse_lead

    found = analyse_lead(
        source, settings, report, watch, names=(*account.voices, *_others(account))
    )
    what = describe_source(source)
    silence = account.labels.silence(account.names, source, found.templates.stft, what)
    return dataclasses.replace(found, absent=silence)


def _others(account: Account) -> list[str]:
    return [name for name in account.sources if name not in account.voices]
