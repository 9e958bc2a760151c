"""`denoise`: a recording with a steady noise made softer, in memory or as a file.

The spectra of the noise are learnt from where it is heard alone; free components take what else is
in the recording. What the models give to the noise is taken out, but never more of a bin than the
reduction that was asked for: what is left masks the errors of the models.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from audionmf.analysis.analysing import analyse_account
from audionmf.errors import ParameterError
from audionmf.io.audio import Audio, AudioFile, AudioLike, as_audio
from audionmf.io.files import StrPath
from audionmf.io.parts import excerpt, part_path
from audionmf.rendering.remixing import gain_from_db, reduced_blocks
from audionmf.separation.one_file import WrittenFile, prepare_output, write_one
from audionmf.settings import Settings
from audionmf.sources.known import Account, Told
from audionmf.spectra.frames import Progress, heard

__all__ = ["NOISE", "REDUCTION", "Noise", "denoise", "denoise_file", "floor_of"]

NOISE = "noise"
"""Name of the source that is made softer."""

REDUCTION = 24.0
"""By how much, in dB, unless something else is asked for."""

_MOST_DB = 100.0

Span = tuple[float, float]
Noise = Span | AudioLike | Sequence[Span | AudioLike]
"""Where the noise is alone: pairs of seconds in the recording itself, other recordings, or both."""


def denoise(
    mixture: AudioLike,
    noise: Noise,
    *,
    reduction: float = REDUCTION,
    start: float = 0.0,
    duration: float | None = None,
    sample_rate: int | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Audio:
    """Make a steady noise in a recording softer: hiss, wind, traffic, a machine.

    Hum of a few fixed tones and single clicks are better left to tools made for them.

    Parameters
    ----------
    mixture : Audio, path, or array of shape (n_channels, n_samples) or (n_samples,)
        The recording.
    noise : (float, float), Audio, path or array, or a list of them
        Where the noise is heard alone: start and end in seconds of the recording itself, such as
        ``(0, 2.5)``, or another recording of it. A second or more is enough.
    reduction : float, default 24
        By how much at most, in dB, 0 to 100. Where the noise is alone it is softer by just that.
    start, duration : float, optional
        As in `audionmf.separate`; ranges of the noise count from the start too.
    sample_rate : int, optional
        In Hz; needed where the mixture is an array, and then holds for an array of noise.
    settings : Settings, optional
        Options of the analysis.
    progress : callable, optional
        Told the stage and the share done.
    **options
        Fields of `Settings`, changed from `settings`.

    Returns
    -------
    Audio
        Samples of the shape of the mixture, float32.

    Raises
    ------
    ParameterError
        If the reduction is outside its range, or a range is not inside the recording or shorter
        than a window.
    InvalidAudioError
        If the noise is silent.
    AudioNMFError
        As `audionmf.separate` does.
    """
    source = as_audio(excerpt(mixture, start, duration, sample_rate=sample_rate))
    floor = floor_of(reduction)
    spans, recordings = _sorted_out(noise)
    account = _account(spans, recordings, sample_rate)
    found = analyse_account(account, source, _settings(settings, options), progress)
    blocks = list(reduced_blocks(source, found, NOISE, floor, heard(progress)))
    samples = np.concatenate(blocks, axis=1)
    return Audio(samples, source.sample_rate, source.path, source.subtype, source.tags)


def denoise_file(
    mixture: StrPath,
    path: StrPath,
    noise: Noise,
    *,
    reduction: float = REDUCTION,
    start: float = 0.0,
    duration: float | None = None,
    subtype: str | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> WrittenFile:
    """Denoise a file into a file, block by block; outputs are checked before anything is computed.

    Parameters
    ----------
    mixture : path
        The recording.
    path : path
        Where to; the extension gives the container: wav, flac, aiff, mp3, ogg or opus.
    noise : (float, float) or path, or a list of them
        As in `denoise`; a file may be a part, ``FILE@START-END``.
    reduction, start, duration, settings, progress, **options
        As in `denoise`.
    subtype : str, optional
        Sample format, such as "PCM_16"; default: that of the recording, where the container has it.

    Returns
    -------
    WrittenFile
        The file, and the gain of the whole, which is 1 unless it would have clipped.

    Raises
    ------
    ParameterError, AudioNMFError
        As in `denoise`.
    OutputError
        If the file cannot be written or would overwrite an input; then it is not there, or as it
        was.
    """
    source = excerpt(AudioFile(Path(mixture)), start, duration)
    floor = floor_of(reduction)
    spans, recordings = _sorted_out(noise)
    files = [one for one in recordings if isinstance(one, str | os.PathLike)]
    prepare_output(source, path, subtype, [mixture, *map(part_path, files)])
    account = _account(spans, recordings)
    found = analyse_account(account, source, _settings(settings, options), progress)

    return write_one(
        lambda: reduced_blocks(source, found, NOISE, floor, heard(progress)),
        path, source, found, subtype,
    )  # fmt: skip


def _account(spans: list[Span], recordings: list[Any], sample_rate: int | None = None) -> Account:
    told = Told(
        examples={NOISE: recordings} if recordings else {}, solo={NOISE: spans} if spans else {}
    )
    return told.account(sample_rate=sample_rate)


def _settings(settings: Settings | None, options: dict[str, Any]) -> Settings:
    """Return settings in which the noise is modelled by frames, whose masks can be held back."""
    given = Settings.from_options(settings, **options)
    return Settings.from_options(
        given, model="frames", spatial=False, mask="wiener", phase="mixture"
    )


def floor_of(reduction: float) -> float:
    """Return the least that is left of a bin, 0 to 1.

    Raises
    ------
    ParameterError
        If the reduction is no number of dB from 0 to 100.
    """
    if not (isinstance(reduction, int | float | np.number) and 0 <= reduction <= _MOST_DB):
        raise ParameterError(
            f"the reduction is a number of dB from 0 to {_MOST_DB:g}, not {reduction!r}"
        )
    return gain_from_db(-float(reduction))


def _sorted_out(noise: Noise) -> tuple[list[Span], list[Any]]:
    """Return the ranges, and the recordings."""
    items: list[Any] = list(noise) if isinstance(noise, list) else [noise]
    spans = [item for item in items if isinstance(item, tuple)]
    recordings = [item for item in items if not isinstance(item, tuple)]
    if not items:
        raise ParameterError("say where the noise is alone: a range of the recording, or a file")
    return spans, recordings
