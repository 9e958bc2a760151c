"""`separate` takes a recording apart: analyse, then render; `Separation` is what comes out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audionmf.analysis import Banks, Examples, analyse, with_rate
from audionmf.audio import AudioLike, Samples, Source, as_audio, open_source
from audionmf.decomposition import Decomposition
from audionmf.files import StrPath, refuse_overwriting
from audionmf.frontend import Progress
from audionmf.rendering import render_blocks
from audionmf.settings import Settings
from audionmf.stems import DEFAULT_PATTERN, StemFiles, StemFormat, stem_paths, write_stems

__all__ = ["Separation", "default_paths", "render", "render_to_files", "separate"]


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
            If a file cannot be written or would overwrite the mixture; then none is left.
        """
        mixture = self.decomposition.mixture
        track = Path(mixture.path).stem or "mixture"
        paths = stem_paths(folder, track, list(self.sources), pattern, extension)
        refuse_overwriting(paths.values(), [mixture.path] if mixture.path else [])
        form = StemFormat(self.sample_rate, mixture.n_channels, self.subtype, mixture.n_samples)
        stacked = np.stack(list(self.sources.values()))
        return write_stems(lambda: iter([stacked]), paths, form)


def separate(
    mixture: AudioLike,
    *,
    n_sources: int | None = None,
    templates: Banks = (),
    examples: Examples | None = None,
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
        Banks that `audionmf.learn` made; each label becomes a source.
    examples : mapping of str to audio or a list of audio, optional
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
        examples=with_rate(examples, sample_rate),
        free=free,
        settings=settings,
        progress=progress,
        **options,
    )
    return render(source, decomposition, progress=progress)


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
        Templates and grouping, as `audionmf.analyse` gives them.
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
    blocks = list(render_blocks(source, decomposition, progress or _silent))
    stems = np.concatenate(blocks, axis=-1)
    sources = dict(zip(decomposition.grouping, stems, strict=True))
    return Separation(sources, source.sample_rate, decomposition, source.subtype)


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
        Templates and grouping, as `audionmf.analyse` gives them.
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
        lambda: render_blocks(source, decomposition, progress or _silent), ordered, form
    )


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


def _silent(stage: str, done: float) -> None:
    """Report progress to nobody."""
