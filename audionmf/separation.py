"""Analyse, then render: `learn` and `analyse` find templates, `render` turns them into stems.

Both go through a recording block by block: `analyse` keeps at most ``Settings.max_frames`` of its
frames, `render` a few blocks. A short recording is the one-block case. Blocks are rendered by several
threads and joined in order, so that the stems do not depend on how many there are.
"""

from __future__ import annotations

import dataclasses
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf import nmf
from audionmf.audio import (
    Audio,
    AudioFile,
    AudioLike,
    Samples,
    Source,
    as_audio,
    open_source,
    warn_if_unusual,
)
from audionmf.decomposition import Decomposition, Mixture
from audionmf.errors import InvalidAudioError, ParameterError
from audionmf.files import StrPath
from audionmf.grouping import Grouping, by_label, by_timbre, source_name
from audionmf.masks import ratio_masks
from audionmf.nmf.solver import thread_count
from audionmf.settings import Settings
from audionmf.stems import DEFAULT_PATTERN, StemFiles, StemFormat, stem_paths, write_stems
from audionmf.stft import STFT, InverseStream, Transform
from audionmf.templates import Templates

__all__ = [
    "OTHER",
    "Progress",
    "Separation",
    "analyse",
    "learn",
    "render",
    "render_to_files",
    "separate",
]

Progress = Callable[[str, float], None]
"""Called with the name of a stage and the share of it that is done, 0 to 1."""

OTHER = "other"
"""Name of the source of the free components."""

_BLOCK_FRAMES = 256
_EXAMPLE_COMPONENTS = 40
_BLIND_COMPONENTS = 16
_COMPONENTS_PER_SOURCE = 4


@dataclass(frozen=True, eq=False)
class Separation:
    """The stems of a recording.

    Parameters
    ----------
    sources : dict of str to ndarray, shape (n_channels, n_samples), float32
        The stems by name. They sum to the mixture.
    sample_rate : int
        In Hz.
    decomposition : Decomposition
        What they were rendered from.
    subtype : str
        Sample format of the mixture, in which `save` writes them.
    """

    sources: dict[str, Samples]
    sample_rate: int
    decomposition: Decomposition
    subtype: str

    def save(
        self, folder: StrPath, pattern: str = "{source}.{ext}", extension: str = "wav"
    ) -> StemFiles:
        """Write the stems, all or none.

        Parameters
        ----------
        folder : path
            Where to; made if it is missing.
        pattern : str, default "{source}.{ext}"
            Name of each file below the folder; ``{track}`` is the mixture's name.
        extension : {"wav", "flac", "aiff"}, default "wav"
            The container.

        Returns
        -------
        StemFiles
            The files, and the common gain, which is 1 unless a stem would have clipped.

        Raises
        ------
        ParameterError
            If the pattern or the extension is wrong.
        OutputError
            If a file cannot be written; then none is left.
        """
        mixture = self.decomposition.mixture
        track = Path(mixture.path).stem or "mixture"
        paths = stem_paths(folder, track, list(self.sources), pattern, extension)
        form = StemFormat(self.sample_rate, mixture.n_channels, self.subtype, mixture.n_samples)
        stacked = np.stack(list(self.sources.values()))
        return write_stems(lambda: iter([stacked]), paths, form)


def separate(
    mixture: AudioLike,
    *,
    n_sources: int | None = None,
    templates: Templates | StrPath | Sequence[Templates | StrPath] = (),
    examples: Mapping[str, AudioLike | Sequence[AudioLike]] | None = None,
    free: int = 0,
    sample_rate: int | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Separation:
    """Take a recording apart into stems.

    Exactly one way to know the sources is needed: their number (blind), templates, or examples.

    Parameters
    ----------
    mixture : Audio, path, or array of shape (n_channels, n_samples) or (n_samples,)
        The recording.
    n_sources : int, optional
        Blind: components are grouped into so many sources by timbre.
    templates : Templates or path, or several
        Banks that `learn` made; each label becomes a source.
    examples : mapping of str to audio or a sequence of audio, optional
        Recordings of each source alone, seconds are enough; another sample rate is converted.
        Templates are learnt from them first. May be joined with `templates`.
    free : int, default 0
        Further components, learnt from the mixture with the templates fixed; they become the
        source ``other``.
    sample_rate : int, optional
        In Hz; needed where the mixture is an array, and then holds for arrays among the examples.
    settings : Settings, optional
        Options of the analysis.
    progress : callable, optional
        Told the stage and the share done.
    **options
        Fields of `Settings`, changed from `settings`.

    Returns
    -------
    Separation
        ``sources`` maps each name to float32 samples of shape (n_channels, n_samples).

    Raises
    ------
    ParameterError
        If options do not fit.
    FileNotFoundError, AudioReadError, InvalidAudioError, LimitError
        If audio cannot be read or worked on.
    TemplateError, TemplateMismatchError
        If templates cannot be read, or are for another sample rate or STFT.
    """
    source = as_audio(mixture, sample_rate)
    decomposition = analyse(
        source,
        n_sources=n_sources,
        templates=templates,
        examples=_with_rate(examples, sample_rate),
        free=free,
        settings=settings,
        progress=progress,
        **options,
    )
    return render(source, decomposition, progress=progress)


def learn(
    source: AudioLike | Sequence[AudioLike],
    name: str | None = None,
    n_components: int | None = None,
    *,
    sample_rate: int | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Templates:
    """Learn spectral templates of a source from recordings of it alone.

    Parameters
    ----------
    source : Audio, path or array, or a list of them
        One recording or several; they are analysed together.
    name : str, optional
        Label of the source; default: the name of the first file.
    n_components : int, optional
        Templates; default: `settings.n_components`, else 40, or the number of frames if there are
        fewer.
    sample_rate : int, optional
        In Hz, the rate that the templates are for; recordings of another rate are converted.
        Needed for an array, whose rate it is. Default: the rate of the first recording.
    settings : Settings, optional
        Options of the analysis.
    progress : callable, optional
        Told the stage and the share done.
    **options
        Fields of `Settings`, changed from `settings`.

    Returns
    -------
    Templates
        The bank, each template summing to 1.

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
    recordings = _recordings(source, sample_rate)
    label = name or (recordings[0].path.stem if recordings[0].path else "")
    if not label:
        raise ParameterError("templates learnt from an array need a name")
    rate = recordings[0].sample_rate
    stft = _stft(config, rate)
    report = progress or _silent
    share = max(16, config.max_frames // len(recordings))
    V = np.concatenate(
        [_gather(r, stft, share, config, partial(report, f"read {label}")).V for r in recordings],
        axis=1,
    )
    if not V.any():
        raise InvalidAudioError(f"the recording of {label!r} is silent; nothing can be learnt")
    wanted = n_components or config.n_components
    if wanted is not None and wanted > V.shape[1]:
        raise ParameterError(
            f"{wanted} components cannot be learnt from the {V.shape[1]} frames of {label!r}; "
            "ask for fewer, give a longer recording, or take a smaller hop"
        )
    count = wanted or min(_EXAMPLE_COMPONENTS, V.shape[1])
    model = _fit(V, count, config, partial(report, f"learn {label}"))
    return Templates(model.templates, (label,) * count, stft, rate)


def analyse(
    mixture: AudioLike,
    *,
    n_sources: int | None = None,
    templates: Templates | StrPath | Sequence[Templates | StrPath] = (),
    examples: Mapping[str, AudioLike | Sequence[AudioLike]] | None = None,
    free: int = 0,
    components: bool = False,
    sample_rate: int | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Decomposition:
    """Find the templates of a recording and how they group into sources.

    Parameters
    ----------
    mixture : Audio, AudioFile, path or array
        The recording; a file is read block by block.
    n_sources, templates, examples, free, sample_rate, settings, progress, **options
        As in `separate`.
    components : bool, default False
        Blind, with every component a source of its own, and activations for every frame.

    Returns
    -------
    Decomposition
        What `render` needs.

    Raises
    ------
    ParameterError
        If there is not exactly one way to know the sources, or options do not fit.
    FileNotFoundError, AudioReadError, InvalidAudioError, LimitError
        If audio cannot be read or worked on.
    TemplateError, TemplateMismatchError
        If templates cannot be read, or are for another sample rate or STFT.
    """
    config = Settings.from_options(settings, **options)
    source = open_source(mixture, sample_rate)
    report = progress or _silent
    named = isinstance(templates, Templates) or bool(templates or examples)
    ways = [n_sources is not None, named, components]
    if sum(ways) != 1:
        raise ParameterError(
            "give one of: the number of sources, templates, or examples"
            if not sum(ways)
            else "the number of sources is for a blind separation: leave it out with templates or "
            "examples, which bring their own"
        )
    if free < 0 or (free and not named):
        raise ParameterError("free components are a number, 0 or more, that goes with templates")
    if named:
        bank = _bank(templates, examples or {}, source, config, report)
        return _analyse_with(bank, free, source, config, report)
    return _analyse_blind(n_sources, source, config, report)


def render(
    mixture: AudioLike,
    decomposition: Decomposition,
    *,
    sample_rate: int | None = None,
    progress: Progress | None = None,
) -> Separation:
    """Render the stems of a recording in memory.

    Parameters
    ----------
    mixture : Audio, path, or array of shape (n_channels, n_samples) or (n_samples,)
        The recording.
    decomposition : Decomposition
        Templates and grouping, as `analyse` gives them.
    sample_rate : int, optional
        In Hz; needed where the mixture is an array.
    progress : callable, optional
        Told the stage and the share done.

    Returns
    -------
    Separation
        The stems.

    Raises
    ------
    TemplateMismatchError
        If the recording has another sample rate than the templates.
    """
    source = as_audio(mixture, sample_rate)
    blocks = list(_render_blocks(source, decomposition, progress or _silent))
    stems = np.concatenate(blocks, axis=-1)
    return Separation(
        dict(zip(decomposition.grouping, stems, strict=True)),
        source.sample_rate,
        decomposition,
        source.subtype,
    )


def render_to_files(
    mixture: Source | StrPath,
    decomposition: Decomposition,
    paths: dict[str, Path],
    *,
    progress: Progress | None = None,
) -> StemFiles:
    """Render the stems of a recording into files, block by block, all or none.

    Parameters
    ----------
    mixture : Audio, AudioFile or path
        The recording.
    decomposition : Decomposition
        Templates and grouping, as `analyse` gives them.
    paths : dict of str to path
        The file of each source, as `stem_paths` gives them.
    progress : callable, optional
        Told the stage and the share done.

    Returns
    -------
    StemFiles
        The files, and the common gain, which is 1 unless a stem would have clipped.

    Raises
    ------
    OutputError
        If a file cannot be written; then none is left.
    """
    source = open_source(mixture)
    form = StemFormat(
        source.sample_rate, source.n_channels, source.subtype, decomposition.mixture.n_samples
    )
    ordered = {name: paths[name] for name in decomposition.grouping}
    return write_stems(
        lambda: _render_blocks(source, decomposition, progress or _silent), ordered, form
    )


def magnitudes(source: AudioLike, stft: STFT) -> NDArray[np.float32]:
    """Return the magnitude spectrogram that an analysis sees, channels pooled, thinned if long.

    Parameters
    ----------
    source : Audio, AudioFile or path
        The recording.
    stft : STFT
        The transform.

    Returns
    -------
    ndarray, shape (n_bins, n_frames), float32
        V; every second, fourth … frame where there are more than `Settings.max_frames`.
    """
    config = Settings()
    frames = _gather(open_source(source), stft, config.max_frames, config, lambda _: None)
    return frames.V


def source_names(
    n_sources: int | None,
    templates: Sequence[Templates] = (),
    examples: Iterable[str] = (),
    free: int = 0,
) -> list[str]:
    """Return the names that the sources of a separation will have, before it is made."""
    if n_sources is not None:
        return [source_name(i) for i in range(n_sources)]
    names = [name for bank in templates for name in bank.names]
    return list(dict.fromkeys([*names, *examples, *([OTHER] if free else [])]))


def default_paths(
    source: Source,
    names: Iterable[str],
    folder: StrPath,
    pattern: str = DEFAULT_PATTERN,
    extension: str = "wav",
) -> dict[str, Path]:
    """Return the file of each source of a recording below `folder`; see `stem_paths`."""
    track = source.path.stem if source.path else "mixture"
    return stem_paths(folder, track, list(names), pattern, extension)


@dataclass(frozen=True, eq=False)
class _Frames:
    """Magnitudes of a recording: every `step`-th frame, V of shape (n_bins, n_kept)."""

    V: NDArray[np.float32]
    step: int
    n_samples: int


def _gather(
    source: Source, stft: STFT, max_frames: int, config: Settings, report: Callable[[float], None]
) -> _Frames:
    """Read a recording once and keep at most `max_frames` of its frames, spread evenly."""
    counter = _Counter(source)
    kept: list[NDArray[np.float32]] = []
    step, n_seen, n_kept = 1, 0, 0
    threads = thread_count(config.n_threads)
    for X in stft.forward_blocks(counter.blocks(), _BLOCK_FRAMES, threads):
        kept.append(_pooled(X)[-n_seen % step :: step])
        n_seen += X.shape[-1]
        n_kept += len(kept[-1])
        report(min(1.0, counter.n_samples / source.n_samples))
        while n_kept > max_frames:
            kept, n_kept, step = _every_second(kept), -(-n_kept // 2), step * 2
    V = np.empty((n_kept, stft.n_bins), np.float32)
    position = 0
    for i, block in enumerate(kept):
        V[position : position + len(block)] = block
        position += len(block)
        kept[i] = block[:0]
    warn_if_unusual(_describe(source), counter.n_samples, stft.n_fft, counter.peak)
    return _Frames(V.T, step, counter.n_samples)


class _Counter:
    """Passes the blocks of a recording on, and notes their length and peak."""

    def __init__(self, source: Source) -> None:
        self._source, self.n_samples, self.peak = source, 0, 0.0

    def blocks(self) -> Iterator[Samples]:
        for block in self._source.blocks():
            self.n_samples += block.shape[1]
            self.peak = max(self.peak, float(np.abs(block).max(initial=0)))
            yield block


def _every_second(blocks: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    thinned, n_before = [], 0
    for block in blocks:
        thinned.append(block[n_before % 2 :: 2].copy())
        n_before += len(block)
    return thinned


def _pooled(X: Transform) -> NDArray[np.float32]:
    """Return the magnitude that the factorisation sees: channels' mean, (n_frames, n_bins)."""
    pooled: NDArray[np.float32] = np.abs(X[0].T)
    for channel in X[1:]:
        pooled += np.abs(channel.T)
    if len(X) > 1:
        pooled /= np.float32(len(X))
    return pooled


def _fit(
    V: NDArray[np.float32],
    count: int,
    config: Settings,
    report: Callable[[float], None],
    **start: Any,
) -> nmf.NMF:
    def callback(state: nmf.State) -> None:
        report(state.iteration / state.max_iter)

    model = nmf.fit(
        V,
        count,
        beta=config.beta,
        max_iter=config.max_iter,
        tol=config.tol,
        seed=config.seed,
        n_threads=config.n_threads,
        callback=callback,
        **start,
    )
    report(1.0)
    return model


def _analyse_blind(
    n_sources: int | None, source: Source, config: Settings, report: Progress
) -> Decomposition:
    stft = _stft(config, source.sample_rate)
    frames = _gather(source, stft, config.max_frames, config, partial(report, "read"))
    wanted, sources = config.n_components, n_sources or 1
    if wanted is not None and wanted > frames.V.shape[1]:
        raise ParameterError(
            f"{wanted} components are more than the {frames.V.shape[1]} frames of "
            f"{_describe(source)}; ask for fewer, or take a smaller hop"
        )
    default = min(max(_BLIND_COMPONENTS, _COMPONENTS_PER_SOURCE * sources), frames.V.shape[1])
    count = wanted or max(sources, default)
    model = _fit(frames.V, count, config, partial(report, "factorise"))
    labels = tuple(component_name(k) for k in range(count))
    templates = Templates(model.templates, labels, stft, source.sample_rate)
    grouping = by_label(templates) if n_sources is None else by_timbre(templates, n_sources)
    activations = None
    if n_sources is None:
        activations = _all_activations(source, templates, config, partial(report, "activate"))
    return _decomposition(source, frames, templates, grouping, config, model, activations)


def _analyse_with(
    bank: Templates, free: int, source: Source, config: Settings, report: Progress
) -> Decomposition:
    frames = _gather(source, bank.stft, config.max_frames, config, partial(report, "read"))
    if not free:
        return _decomposition(source, frames, bank, by_label(bank), config)
    if OTHER in bank.names:
        raise ParameterError(f"free components become {OTHER!r}, a name that the templates have")
    model = _fit(
        frames.V,
        bank.n_components + free,
        config,
        partial(report, "factorise"),
        templates=bank.templates,
        fixed_templates=True,
    )
    learnt = model.templates[:, bank.n_components :]
    templates = dataclasses.replace(
        bank,
        templates=np.concatenate([bank.templates, learnt], axis=1),
        labels=(*bank.labels, *(OTHER,) * free),
    )
    return _decomposition(source, frames, templates, by_label(templates), config, model)


def _decomposition(
    source: Source,
    frames: _Frames,
    templates: Templates,
    grouping: Grouping,
    config: Settings,
    model: nmf.NMF | None = None,
    activations: NDArray[np.float32] | None = None,
) -> Decomposition:
    mixture = (
        Mixture("", "", source.n_channels, frames.n_samples)
        if source.path is None
        else Mixture.from_path(source.path, source.n_channels, frames.n_samples)
    )
    return Decomposition(
        templates=templates,
        grouping=grouping,
        settings=config,
        mixture=mixture,
        divergence=np.empty(0) if model is None else model.divergence,
        reason="" if model is None else model.reason,
        activations=activations,
    )


def component_name(component: int) -> str:
    """Return the name of a component that is its own source: ``component00`` and so on."""
    return f"component{component:02d}"


def _bank(
    templates: Templates | StrPath | Sequence[Templates | StrPath],
    examples: Mapping[str, AudioLike | Sequence[AudioLike]],
    source: Source,
    config: Settings,
    report: Progress,
) -> Templates:
    """Join template banks with banks learnt from examples, all of them fit for `source`."""
    given = [templates] if isinstance(templates, Templates | str | os.PathLike) else templates
    banks = [bank if isinstance(bank, Templates) else Templates.load(bank) for bank in given]
    asked = config.n_fft or config.hop_length or config.window != Settings.window
    stft = _stft(config, source.sample_rate) if asked or not banks else banks[0].stft
    for bank in banks:
        bank.require(source.sample_rate, stft, _describe(source))
    exact = dataclasses.replace(
        config, n_fft=stft.n_fft, hop_length=stft.hop_length, window=stft.window
    )
    for name, example in examples.items():
        recordings = [_at_rate(r, source.sample_rate) for r in _recordings(example, None)]
        banks.append(learn(recordings, name, settings=exact, progress=report))
    return Templates.merge(banks)


def _recordings(source: AudioLike | Sequence[AudioLike], rate: int | None) -> list[Source]:
    """Return recordings, all at the rate asked for, or else that of the first."""
    items: list[Any] = list(source) if isinstance(source, list | tuple) else [source]
    opened = []
    for item in items:
        array = not isinstance(item, Audio | AudioFile | str | os.PathLike)
        opened.append(open_source(item, rate if array else None))
    if not opened:
        raise ParameterError("there is no recording to learn from")
    return [_at_rate(recording, rate or opened[0].sample_rate) for recording in opened]


def _at_rate(source: Source, rate: int) -> Source:
    if source.sample_rate == rate:
        return source
    import librosa

    audio = as_audio(source)
    samples = librosa.resample(audio.samples, orig_sr=audio.sample_rate, target_sr=rate)
    return Audio(samples, rate, audio.path, audio.subtype)


def _with_rate(
    examples: Mapping[str, AudioLike | Sequence[AudioLike]] | None, rate: int | None
) -> dict[str, Any]:
    """Wrap arrays among the examples, which have the rate of the mixture."""
    return {
        name: _recordings(example, None if rate is None else rate) if rate else example
        for name, example in (examples or {}).items()
    }


def _stft(config: Settings, sample_rate: int) -> STFT:
    return STFT(config.n_fft_at(sample_rate), config.hop_length_at(sample_rate), config.window)


def _all_activations(
    source: Source, templates: Templates, config: Settings, report: Callable[[float], None]
) -> NDArray[np.float32]:
    counter = _Counter(source)
    parts = []
    for X in templates.stft.forward_blocks(counter.blocks(), _BLOCK_FRAMES):
        parts.append(_activate(_pooled(X), templates, config, config.n_threads))
        report(min(1.0, counter.n_samples / source.n_samples))
    return np.concatenate(parts, axis=1)


def _activate(
    frames: NDArray[np.float32], templates: Templates, config: Settings, n_threads: int | None
) -> NDArray[np.float32]:
    return nmf.activate(
        frames.T,
        templates.templates,
        beta=config.beta,
        n_iter=config.activation_iter,
        n_threads=n_threads,
    )


def _render_blocks(
    source: Source, decomposition: Decomposition, report: Progress
) -> Iterator[NDArray[np.float32]]:
    """Yield the stems block by block, shape (n_sources, n_channels, n)."""
    templates, n_samples = decomposition.templates, decomposition.mixture.n_samples
    templates.require(source.sample_rate, None, _describe(source))
    stft = templates.stft
    waiting = _Queue()
    transforms = stft.forward_blocks(waiting.through(source.blocks()), _BLOCK_FRAMES)
    stream = InverseStream(stft, n_samples)
    n_done = 0
    threads = thread_count(decomposition.settings.n_threads)
    for synthesised in _in_order(
        partial(_render_block, decomposition), _numbered(transforms), threads
    ):
        stems = stream.push(synthesised)
        mixture = waiting.take(stems.shape[-1])
        n_done += mixture.shape[-1]
        report("render", n_done / n_samples)
        # The last stem is what the others leave, so that they sum to the mixture to the last bit
        # that their type can hold.
        yield np.concatenate([stems, (mixture - stems.sum(axis=0))[None]])


def _render_block(decomposition: Decomposition, numbered: tuple[int, Transform]) -> Samples:
    """Return overlap-added frames of all sources but the last, (n_sources - 1, n_channels, n)."""
    first, X = numbered
    templates, config = decomposition.templates, decomposition.settings
    n_frames = X.shape[-1]
    length = (n_frames - 1) * templates.stft.hop_length + templates.stft.n_fft
    groups = [list(group) for group in decomposition.grouping.values()]
    if len(groups) == 1:
        return np.zeros((0, len(X), length), np.float32)
    if decomposition.activations is None:
        H = _activate(_pooled(X), templates, config, 1)
    else:
        H = decomposition.activations[:, first : first + n_frames]
    W = templates.templates
    models = np.stack([H[group].T @ W[:, group].T for group in groups])
    masks = ratio_masks(models, config.mask_exponent)[:-1]
    stems = np.empty((len(masks), len(X), length), np.float32)
    for stem, mask in zip(stems, masks, strict=True):
        stem[...] = templates.stft.synthesise(X * mask.T)
    return stems


class _Queue:
    """Keeps the samples that went into the transform until their stems come out of it."""

    def __init__(self) -> None:
        self._blocks: deque[Samples] = deque()

    def through(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        for block in blocks:
            self._blocks.append(block)
            yield block

    def take(self, n: int) -> Samples:
        parts = []
        while n > 0 and self._blocks:
            block = self._blocks.popleft()
            parts.append(block[:, :n])
            if block.shape[1] > n:
                self._blocks.appendleft(block[:, n:])
            n -= parts[-1].shape[1]
        return np.concatenate(parts, axis=1) if parts else np.zeros((1, 0), np.float32)


def _numbered(transforms: Iterable[Transform]) -> Iterator[tuple[int, Transform]]:
    first = 0
    for X in transforms:
        yield first, X
        first += X.shape[-1]


def _in_order(
    function: Callable[[Any], Samples], items: Iterable[Any], n_threads: int
) -> Iterator[Samples]:
    """Apply `function` in threads, a few items ahead; results come in the order of the items."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(n_threads) as pool:
        pending: deque[Future[Samples]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > n_threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _describe(source: Source) -> str:
    return "the array of samples" if source.path is None else repr(str(source.path))


def _silent(stage: str, done: float) -> None:
    """Report progress to nobody."""
