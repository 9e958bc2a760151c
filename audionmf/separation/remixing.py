"""`remix`: a recording with a gain for each of its sources, in memory or as a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audionmf.analysis.analysing import analyse_account
from audionmf.errors import ParameterError
from audionmf.io.audio import Audio, AudioFile, AudioLike, as_audio
from audionmf.io.decode import in_one, is_plain
from audionmf.io.files import StrPath
from audionmf.io.parts import excerpt, is_again, part_path
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.remixing import Gains, mix_blocks, resolve_gains
from audionmf.separation.one_file import WrittenFile, prepare_output, write_one
from audionmf.separation.separating import Decomposition as Found
from audionmf.separation.separating import tell_offset
from audionmf.settings import Settings
from audionmf.sources.known import Account, Known, Told
from audionmf.spectra.frames import Progress, heard

__all__ = ["files_read", "remix", "remix_file"]


def remix(
    mixture: AudioLike,
    gains: Gains,
    *,
    sources: Mapping[str, Known] | None = None,
    model: Decomposition | StrPath | None = None,
    start: float = 0.0,
    duration: float | None = None,
    sample_rate: int | None = None,
    progress: Progress | None = None,
    settings: Settings | None = None,
    **options: Any,
) -> Audio:
    """Take a recording apart and put it together again with a gain for each source.

    Parameters
    ----------
    mixture : Audio, path, or array of shape (n_channels, n_samples) or (n_samples,)
        The recording.
    gains : mapping of str to float
        Linear gains, 0 to 1000: 0 takes a source out, 1 (default) leaves it as it is. Where no
        source is called ``rest``, that name stands for all that are not named.
    sources : mapping of str to Known, optional
        What is known of each source, as in `audionmf.separate`; not with a model.
    model : Decomposition or path, optional
        What was found in this recording before; nothing is analysed again.
    start, duration : float, optional
        As in `audionmf.separate`: the part of the mixture that is remixed.
    sample_rate : int, optional
        In Hz; needed where the mixture is an array.
    progress : callable, optional
        Told the stage and the share done.
    settings, **options
        Options of the analysis, and short forms of `sources`, as in `audionmf.separate`; not with a
        model.

    Returns
    -------
    Audio
        Samples of the shape of the mixture, float32. Gains that are all 1 give the mixture to the
        bit. What is louder than full scale is kept; `remix_file` scales it.

    Raises
    ------
    ParameterError
        If there is no such source, a gain is outside its range, or options do not fit.
    AudioNMFError
        As `audionmf.separate` does.
    """
    source = excerpt(mixture, start, duration, sample_rate=sample_rate)
    before = model.recording if isinstance(model, Found) else None
    if before is not None and is_again(source, before):
        source = before  # its constant offset was told already
    if model is None or not (
        isinstance(source, AudioFile) and is_plain(source.container, source.subtype)
    ):
        source = as_audio(source)
    if model is None:
        account, config = _account(sources, options, settings, sample_rate)
        if account.sources or config.names == "plain":  # others are named by the analysis
            resolve_gains(account.names, gains)
        found = tell_offset(source, analyse_account(account, source, config, progress))
    else:
        _refuse_known(sources, options)
        found = model if isinstance(model, Decomposition) else Decomposition.load(model)
    samples = in_one(mix_blocks(source, found, gains, heard(progress)), source.n_samples)
    return Audio(samples, source.sample_rate, source.path, source.subtype, source.tags)


def remix_file(
    mixture: StrPath,
    path: StrPath,
    gains: Gains,
    *,
    model: StrPath | None = None,
    groups: Mapping[str, tuple[int, ...]] | None = None,
    start: float = 0.0,
    duration: float | None = None,
    subtype: str | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> WrittenFile:
    """Remix a file into a file, block by block; outputs are checked before anything is computed.

    Parameters
    ----------
    mixture : path
        The recording.
    path : path
        Where to; the extension gives the container: wav, flac, aiff, mp3, ogg or opus.
    gains : mapping of str to float
        As in `remix`.
    model : path, optional
        A model file that was made from this recording.
    groups : mapping of str to tuple of int, optional
        With a model: components of each source; what is in no group becomes ``rest``.
    start, duration : float, optional
        As in `remix`.
    subtype : str, optional
        Sample format, such as "PCM_16"; default: that of the recording, where the container has it.
    progress : callable, optional
        Told the stage and the share done.
    settings, **options
        As in `remix`; files of examples may be parts, ``FILE@START-END``.

    Returns
    -------
    WrittenFile
        The file, and the gain of the whole, which is 1 unless it would have clipped.

    Raises
    ------
    ParameterError, AudioNMFError
        As in `remix`.
    TemplateMismatchError
        If the model was made from another recording.
    OutputError
        If the file cannot be written or would overwrite an input; then it is not there, or as it
        was.
    """
    if groups and model is None:
        raise ParameterError("groups are of the components of a model; name its file")
    source = excerpt(AudioFile(Path(mixture)), start, duration)
    prepare_output(source, path, subtype, [mixture, *files_read(model, options)])
    if model is None:
        account, config = _account(None, options, settings)
        if account.sources or config.names == "plain":  # others are named by the analysis
            resolve_gains(account.names, gains)
        found = tell_offset(source, analyse_account(account, source, config, progress))
    else:
        _refuse_known(None, options)
        loaded = Decomposition.load(model)
        found = loaded.regroup(dict(groups)) if groups else loaded
        found.check_mixture(AudioFile(Path(mixture)))
    resolve_gains(found.source_names, gains)

    return write_one(
        lambda: mix_blocks(source, found, gains, heard(progress)), path, source, found, subtype
    )


def _account(
    sources: Mapping[str, Known] | None,
    options: Mapping[str, Any],
    settings: Settings | None,
    sample_rate: int | None = None,
) -> tuple[Account, Settings]:
    """Return what is known of the sources, and the options of the analysis."""
    told, others = Told.split(options, sources)
    config = Settings.from_options(settings, **others)
    return told.account(sources, sample_rate=sample_rate), config


def _refuse_known(sources: Mapping[str, Known] | None, options: Mapping[str, Any]) -> None:
    """Refuse what is said of the sources beside a model, or options that come too late."""
    (_, others), usual = Told.split(options), Told()
    given = [n for n, v in options.items() if n in others or (v and v != getattr(usual, n))]
    given += ["sources"] if sources else []
    if given:
        raise ParameterError(
            f"a model says what the sources are: leave out {', '.join(sorted(given))}"
        )


def files_read(model: StrPath | None, known: Mapping[str, Any]) -> list[StrPath]:
    """Return the files that are read beside the recording."""
    found: list[Any] = [model, known.get("midi")]
    for value in (known.get("templates") or (), *(known.get("examples") or {}).values()):
        found += value if isinstance(value, list | tuple) else [value]
    return [part_path(path) for path in found if isinstance(path, str | os.PathLike)]
