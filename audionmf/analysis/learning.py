"""Learn templates of a source from recordings of it alone, patterns too, and how many it needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from audionmf import nmf
from audionmf.analysis.patterns import is_stroke, is_struck, pattern_of
from audionmf.errors import InvalidAudioError, ParameterError
from audionmf.io.audio import Audio, AudioLike, Source, as_audio
from audionmf.io.files import StrPath, one_form
from audionmf.nmf.solver import thread_count
from audionmf.settings import PENALTIES, Settings
from audionmf.sources.kits import kit_files
from audionmf.sources.known import folder_name, recordings_of
from audionmf.sources.struck import Patterns
from audionmf.sources.templates import MOST_SOUND_FRAMES, Templates
from audionmf.spectra.bands import Bands
from audionmf.spectra.device import stft_on
from audionmf.spectra.frames import BLOCK_FRAMES, Frames, Progress, gather, heard, pooled_magnitude
from audionmf.spectra.log_stft import front_end
from audionmf.spectra.neighbours import Neighbours
from audionmf.spectra.stft import STFT
from audionmf.spectra.timbre import ring_lengths

if TYPE_CHECKING:
    from audionmf.nmf.choose import ComponentChoice

__all__ = [
    "SINGLE_FRAMES",
    "at_rate",
    "choose_components",
    "factorise",
    "half_window",
    "learn",
    "learn_kit",
    "learn_pattern",
    "learn_spectra",
    "pattern_lags",
    "read_frames",
    "source_sound",
    "stft_of",
]

SINGLE_FRAMES = 100
"""Frames of a source that are used as single ones, where no other number is asked for."""

_BANK_FRAMES = 200
_EXAMPLE_COMPONENTS = 40
_GATE_DB = 40.0
_CHOICE_FRAMES = 4096
_CHOICE_BLOCK_SECONDS = 0.5
_ALIKE = 0.8
_PATTERN_SECONDS = 0.186
_PATTERN_FRAMES = 16384
_TINY = np.finfo(np.float32).tiny


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
        One recording or several; they are analysed together. A folder is all audio files in it.
    name : str, optional
        Label of the source; default: the name of the folder, or of the first file.
    n_components : int or "auto", optional
        Templates; default: ``settings.n_components``, else 200 frames or 40 NMF components, or as
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
        The bank, each template summing to 1, with how long each rings at a time. Frames bring their
        context, and what the source sounds like while it goes on; a source that is one struck
        sound, repeated or not, brings its pattern. Separation by the bank is then what it is by the
        recordings as examples.

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
    report = heard(progress)
    material = _material(source, name, sample_rate, config, report)
    if n_components == "auto":
        choice = _choose(material, config, report)
        if chosen:
            chosen(choice)
        n_components = choice.picked
    if n_components is not None:
        config = dataclasses.replace(config, n_components=n_components)
    bank, activations = _spectra(material, config, report)
    if activations is None:
        lengths = _alike_lengths(material.V, bank.templates, material.bands)
    else:
        lengths = ring_lengths(activations)
    durations = tuple(round(float(n * material.frame_seconds), 3) for n in lengths)
    pattern = learn_pattern(material.recordings, material.label, config)
    sounds = {}
    if config.dictionary == "frames":
        sound = source_sound(material.recordings, material.stft, material.sample_rate)
        sounds = {material.label: sound}
    return dataclasses.replace(bank, durations=durations, patterns=pattern, sounds=sounds)


def learn_spectra(
    recordings: Sequence[Source], name: str, settings: Settings, progress: Progress
) -> tuple[Templates, Sequence[Frames]]:
    """Learn what `learn` does, without durations and patterns, in a third of the time.

    Parameters
    ----------
    recordings : sequence of Audio or AudioFile
        Of one source alone, at one rate.
    name : str
        Label of the source.
    settings : Settings
        Options.
    progress : callable
        Told the stage and the share done.

    Returns
    -------
    Templates
        Each sums to 1; frames bring their context.
    sequence of Frames
        What they are learnt from, of each recording; with contexts too.

    Raises
    ------
    ParameterError, InvalidAudioError, AudioReadError, LimitError
        As in `learn`.
    """
    material = _material(recordings, name, None, settings, progress)
    return _spectra(material, settings, progress)[0], material.found


def _spectra(
    material: _Material, config: Settings, report: Progress
) -> tuple[Templates, NDArray[np.float32] | None]:
    """Return templates and their contexts, and activations where they were factorised."""
    wanted, V, label = config.n_components, material.V, material.label
    if wanted is not None and wanted > V.shape[1]:
        raise ParameterError(
            f"{wanted} components cannot be learnt from the {V.shape[1]} frames of {label!r}; "
            "ask for fewer, give a longer recording, or take a smaller hop"
        )
    context = activations = None
    if config.dictionary == "frames":
        if config.penalised:
            raise ParameterError(
                "sparsity, continuity and decorrelation are for a factorised dictionary: take the "
                "dictionary 'nmf'"
            )
        count = min(wanted or config.example_frames or _BANK_FRAMES, V.shape[1])
        picked = _even_frames(V, count, exact=wanted is not None)
        W, sums = _to_sum_1(V[:, picked])
        if material.context is not None:
            context = material.context[:, picked] / sums
    else:
        count = wanted or min(_EXAMPLE_COMPONENTS, V.shape[1])
        model = factorise(V, count, config, partial(report, f"learn {label}"))
        W, activations = model.templates, model.activations
    labels = (label,) * W.shape[1]
    bank = Templates(W, labels, material.stft, material.sample_rate, context=context)
    return bank, activations


def learn_kit(
    kit: StrPath | Mapping[str, Sequence[StrPath]],
    *,
    sample_rate: int | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Templates:
    """Learn a bank of a drum kit from a folder of samples.

    Parameters
    ----------
    kit : path or mapping of str to sequence of paths
        The folder: each subfolder with audio files in it is a source, and each audio file that lies
        in no subfolder. Or the samples of each source.
    sample_rate : int, optional
        In Hz, the rate that the bank is for. Default: the rate of the first sample.
    settings, progress, **options
        As in `learn`.

    Returns
    -------
    Templates
        Of all sources; each sample of one stroke brings a pattern, and each recording of one struck
        sound that is repeated.

    Raises
    ------
    ParameterError
        If it is no folder, or options do not fit.
    InvalidAudioError
        If a sample is silent.
    FileNotFoundError, AudioReadError, LimitError
        If audio cannot be read or worked on.
    """
    config = Settings.from_options(settings, **options)
    banks = []
    for name, files in kit_files(kit).items():
        opened = _at_one_rate(files, sample_rate)
        sample_rate = opened[0].sample_rate
        bank = learn(files, name, sample_rate=sample_rate, settings=config, progress=progress)
        each = [learn_pattern([sample], name, config, sample=True) for sample in opened]
        known = [pattern for pattern in each if pattern is not None]
        banks.append(dataclasses.replace(bank, patterns=Patterns.merge(known) if known else None))
    return Templates.merge(banks)


def learn_pattern(
    recordings: Sequence[Source],
    name: str,
    settings: Settings,
    *,
    stft: STFT | None = None,
    always: bool = False,
    sample: bool = False,
    warn: bool = False,
) -> Patterns | None:
    """Learn the pattern of a struck sound from recordings of it alone.

    Parameters
    ----------
    recordings : sequence of Audio or AudioFile
        At one rate; they are analysed together.
    name : str
        Label of the source.
    settings : Settings
        Options.
    stft : STFT, optional
        The transform; default: `half_window`.
    always : bool, default False
        Do not ask whether the source is one struck sound (`is_struck`).
    sample : bool, default False
        One stroke is a struck sound, however long it rings (`is_stroke`).
    warn : bool, default False
        Warn of what is unusual in the recordings.

    Returns
    -------
    Patterns or None
        One pattern of 0.19 s that sums to 1; None if the source is no struck sound.

    Raises
    ------
    InvalidAudioError
        If the recordings are silent.
    """
    rate = recordings[0].sample_rate
    stft = stft or half_window(settings, rate)
    threads = thread_count(settings.n_threads)
    read = [gather(r, stft, _PATTERN_FRAMES, n_threads=threads, warn=warn).V for r in recordings]
    V = np.concatenate(read, axis=1)
    if not V.any():
        raise InvalidAudioError(f"the recording of {name!r} is silent; nothing can be learnt")
    V /= V.max()
    n_lags = pattern_lags(stft, rate)
    if not (always or (sample and is_stroke(V, n_lags)) or is_struck(V, n_lags)):
        return None
    return Patterns(pattern_of(V, n_lags)[:, :, None], (name,), stft, rate)


def source_sound(
    recordings: Sequence[Source], stft: STFT, rate: int, found: Sequence[Frames] | None = None
) -> NDArray[np.float32]:
    """Return what a source sounds like while it goes on: the first frames of recordings, on bands.

    Parameters
    ----------
    recordings : sequence of Audio or AudioFile
        Of one source alone, at one rate.
    stft : STFT
        The transform.
    rate : int
        In Hz.
    found : sequence of Frames, optional
        Theirs, if they are known; where some are left out the recordings are read.

    Returns
    -------
    ndarray, shape (n_bands, n ≤ 512), float32
        Magnitudes.

    Raises
    ------
    AudioReadError, LimitError
        If audio cannot be read or worked on.
    """
    bands, kept, left = Bands.of(stft, rate), [], MOST_SOUND_FRAMES
    size = max(BLOCK_FRAMES, stft.least_frames)

    def blocks(n: int) -> Iterable[NDArray[np.float32]]:
        if found is None or found[n].step > 1:
            return map(pooled_magnitude, stft.forward_blocks(recordings[n].blocks(), size))
        V = found[n].V
        return (V[:, first : first + size] for first in range(0, V.shape[1], size))

    for n in range(len(recordings)):
        for block in blocks(n):
            V = block[:, :left]
            top = V.max(initial=np.finfo(np.float32).tiny)
            kept.append(np.sqrt(bands.pool((V / top) ** 2)) * top)
            left -= V.shape[1]
            if left <= 0:
                return np.concatenate(kept, axis=1)
    return np.concatenate(kept, axis=1)


def pattern_lags(stft: STFT, sample_rate: int) -> int:
    """Return how many frames a pattern has."""
    return max(1, round(_PATTERN_SECONDS * sample_rate / stft.hop_length))


def half_window(settings: Settings, sample_rate: int) -> STFT:
    """Return the STFT for struck sounds: their attacks ask for a shorter window."""
    if settings.front_end == "log":
        settings = dataclasses.replace(settings, front_end="stft", n_fft=None, hop_length=None)
    if settings.n_fft is not None:
        n_fft, hop = settings.n_fft, settings.hop_length_at(sample_rate)
    else:
        n_fft = max(2, settings.n_fft_at(sample_rate) // 2)
        hop = settings.hop_length or max(1, n_fft // 4)
    return STFT(n_fft, hop, settings.window)


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
    report = heard(progress)
    return _choose(_material(source, name, sample_rate, config, report), config, report)


@dataclass(frozen=True, eq=False)
class _Material:
    """What templates are learnt from: frames of recordings of one source."""

    V: NDArray[np.float32]
    context: NDArray[np.float32] | None
    label: str
    stft: STFT
    sample_rate: int
    frame_seconds: float
    recordings: Sequence[Source]
    found: Sequence[Frames]

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
    recordings = _at_one_rate(source, sample_rate)
    label = one_form(name or folder_name(source))
    label = label or (one_form(recordings[0].path.stem) if recordings[0].path else "")
    if not label:
        raise ParameterError("templates learnt from an array need a name")
    rate = recordings[0].sample_rate
    stft = stft_of(config, rate)
    share = max(16, config.max_frames // len(recordings))
    read = partial(report, f"read {label}")
    around = Neighbours.of(stft, rate) if config.dictionary == "frames" else None
    found = [read_frames(r, stft, share, config, read, neighbours=around) for r in recordings]
    V = np.concatenate([frames.V for frames in found], axis=1)
    contexts = [frames.context for frames in found if frames.context is not None]
    if not V.any():
        raise InvalidAudioError(f"the recording of {label!r} is silent; nothing can be learnt")
    hops = sum(frames.step * frames.V.shape[1] for frames in found) / V.shape[1]
    context = np.concatenate(contexts, axis=1) if contexts else None
    seconds = hops * stft.hop_length / rate
    return _Material(V, context, label, stft, rate, seconds, recordings, found)


def _choose(material: _Material, config: Settings, report: Progress) -> ComponentChoice:
    V = material.bands.pool(material.V[:, _heard(material.V)])
    step = -(-V.shape[1] // _CHOICE_FRAMES)
    V = V[:, ::step] / np.float32(2.0 ** np.floor(np.log2(V.max())))

    def fit(frames: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        if config.dictionary == "frames":
            return _to_sum_1(frames[:, _even_frames(frames, count, exact=True)])[0]
        return factorise(frames, count, config, lambda _: None).templates

    from audionmf.nmf.choose import choose

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


def _to_sum_1(V: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return spectra that sum to 1, and what they summed to."""
    sums: NDArray[np.float32] = V.sum(axis=0)
    sums[sums == 0] = 1
    scaled: NDArray[np.float32] = V / sums
    return scaled, sums


def _even_frames(V: NDArray[np.float32], count: int, *, exact: bool) -> NDArray[np.int64]:
    """Return which frames become templates: evenly spaced among those within 40 dB of the loudest.

    If more are asked for (`exact`) than those, the loudest ones.
    """
    levels = V.sum(axis=0)
    heard = _heard(V)
    if len(heard) < count and exact:
        heard = np.sort(np.argsort(-levels, kind="stable")[:count])
    if len(heard) > count:
        heard = heard[np.linspace(0, len(heard) - 1, count).round().astype(int)]
    return heard


def _heard(V: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return which frames are within 40 dB of the loudest."""
    levels = V.sum(axis=0)
    return np.flatnonzero(levels > levels.max() * 10 ** (-_GATE_DB / 20))


def read_frames(
    source: Source,
    stft: STFT,
    max_frames: int,
    config: Settings,
    report: Callable[[float], object],
    *,
    keep_transform: bool = False,
    neighbours: Neighbours | None = None,
) -> Frames:
    """Return frames of a recording, `max_frames` at most; see `gather`."""
    return gather(
        source, stft_on(stft, config.device), max_frames, keep_transform=keep_transform,
        neighbours=neighbours,
        n_threads=thread_count(config.n_threads), progress=report,
    )  # fmt: skip


def factorise(
    V: NDArray[np.float32],
    count: int,
    config: Settings,
    report: Callable[[float], object],
    watch: nmf.Callback | None = None,
    groups: Sequence[int] | None = None,
    **start: Any,
) -> nmf.NMF:
    """Factorise V into `count` components as the settings say; `start` goes to `nmf.fit`.

    `groups` says which components are of one source, where that is known beforehand.
    """

    def callback(state: nmf.State) -> bool | None:
        report(state.iteration / state.max_iter)
        return watch(state) if watch else None

    model = nmf.fit(
        V, count, beta=config.beta, max_iter=config.max_iter, tol=config.tol, seed=config.seed,
        n_threads=config.n_threads, device=config.device,
        callback=callback, penalties=penalties_of(config, groups), **start,
    )  # fmt: skip
    report(1.0)
    return model


def penalties_of(config: Settings, groups: Sequence[int] | None = None) -> nmf.Penalties:
    """Return what the settings draw activations to.

    Raises
    ------
    ParameterError
        If that is asked for under another beta than 1, or sources are to be silent as a whole and
        their components are not known beforehand.
    """
    weights = {name: getattr(config, name) for name in PENALTIES}
    asked = " and ".join(name for name, weight in weights.items() if weight)
    if asked and config.beta != 1:
        raise ParameterError(f"{asked} and beta {config.beta:g} exclude each other; take beta 1")
    if config.group_sparsity and groups is None:
        raise ParameterError(
            "group_sparsity needs to know which components are of one source before they are learnt: "
            "give templates or examples, and free components beside them"
        )
    return nmf.Penalties(**weights, groups=groups if config.group_sparsity else None)


def _at_one_rate(source: AudioLike | Sequence[AudioLike], rate: int | None) -> list[Source]:
    """Return recordings, all at the rate asked for, or else that of the first."""
    opened = recordings_of(source, rate)
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


def stft_of(config: Settings, sample_rate: int) -> STFT:
    """Return the STFT that the settings ask for at a sample rate in Hz."""
    return front_end(
        config.front_end,
        config.n_fft_at(sample_rate),
        config.hop_length_at(sample_rate),
        config.window,
    )
