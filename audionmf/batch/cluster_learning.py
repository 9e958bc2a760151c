"""Templates learnt on a cluster, from a corpus that fits on no machine.

Workers keep the frames (`fleet`), and the templates are fitted to all of them together. The sums
that they send are exact, so that the result has the same bits whether or not a worker was lost, and
for any number of workers of one kind of processor.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from audionmf.batch.fleet import Fleet
from audionmf.errors import InvalidAudioError, ParameterError
from audionmf.io.audio import AudioFile
from audionmf.io.files import StrPath
from audionmf.io.foreign import audio_in, is_folder
from audionmf.nmf.distributed import fit_sharded
from audionmf.nmf.solver import NMF, State
from audionmf.settings import Settings
from audionmf.sources.templates import Templates
from audionmf.spectra.frames import Progress
from audionmf.spectra.stft import STFT

__all__ = ["learn"]

_DEFAULT_COMPONENTS = 40


def learn(
    recordings: StrPath | Sequence[StrPath],
    name: str | None = None,
    n_components: int | None = None,
    *,
    client: Any,
    sample_rate: int | None = None,
    method: str = "accelerated",
    settings: Settings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Templates:
    """Learn spectral templates of a source from a corpus, on a cluster.

    Every frame of every recording counts, and none leaves its worker. The result is that of
    `nmf.fit_shards` over the frames of all recordings.

    Parameters
    ----------
    recordings : path or sequence of paths
        Recordings of the source alone, which this machine and all workers see. A folder is all audio
        files in it.
    name : str, optional
        Label of the source; default: the name of the folder, or of the first file.
    n_components : int, optional
        Templates; default: ``settings.n_components``, else 40.
    client : distributed.Client
        The cluster, from `connect`.
    sample_rate : int, optional
        In Hz, the rate that the templates are for; recordings of another rate are converted, each
        in the memory of its worker. Default: the rate of the first recording.
    method : {"accelerated", "plain"}, default "accelerated"
        As in `nmf.fit_shards`.
    settings : Settings, optional
        Options of the analysis. ``n_threads`` are those of each worker, by default what it was
        started with; ``dictionary`` and ``max_frames`` mean nothing here.
    progress : callable, optional
        Told the stage and the share done.
    **options
        Fields of `Settings`, changed from `settings`.

    Returns
    -------
    Templates
        The bank, each template summing to 1, with how long each rings at a time.

    Raises
    ------
    ParameterError
        If there are fewer frames than components, or options do not fit.
    InvalidAudioError
        If the recordings are silent.
    FileNotFoundError, AudioReadError, LimitError
        If a recording cannot be read, here or on a worker.
    OutputError
        If a worker has no room for its frames.
    ClusterError
        If no worker is left, or one after the other is lost.

    Warns
    -----
    AudioWarning
        Of a recording that is silent, short or cut off.
    """
    config = Settings.from_options(settings, **options)
    if config.beta != 1:
        raise ParameterError("on a cluster, templates are learnt with beta 1")
    if config.penalised:
        raise ParameterError(
            "on a cluster, templates are learnt without sparsity, continuity and decorrelation"
        )
    given = [recordings] if isinstance(recordings, str | os.PathLike) else list(recordings)
    paths = [
        path
        for item in given
        for path in (audio_in(os.fspath(item)) if is_folder(item) else [item])
    ]
    files = [AudioFile(Path(os.path.abspath(path))) for path in paths]  # noqa: PTH100
    if not files:
        raise ParameterError("there is no recording to learn from")
    first = Path(given[0])
    label = name or (first.resolve().name if is_folder(first) else first.stem)
    rate = sample_rate or files[0].sample_rate
    if config.front_end != "stft":
        raise ParameterError(
            f"templates are learnt on a cluster with the front end 'stft', not {config.front_end!r}: "
            "leave it out, or learn without the cluster"
        )
    stft = STFT(config.n_fft_at(rate), config.hop_length_at(rate), config.window)
    report = progress or (lambda _stage, _done: None)
    read = partial(report, f"read {label}")
    with Fleet(client, files, stft, rate, config.n_threads, read) as fleet:
        model = _fit(fleet, label, n_components or config.n_components, method, config, report)
        seconds = fleet.ring_lengths() * stft.hop_length / rate
    durations = tuple(round(float(s), 3) for s in seconds)
    return Templates(model.templates, (label,) * model.n_components, stft, rate, durations)


def _fit(
    fleet: Fleet,
    label: str,
    wanted: int | None,
    method: str,
    config: Settings,
    report: Progress,
) -> NMF:
    n_frames, peaks = fleet.measure()
    if not peaks.any():
        raise InvalidAudioError(f"the recordings of {label!r} are silent; nothing can be learnt")
    if wanted is not None and wanted > n_frames:
        raise ParameterError(
            f"{wanted} components cannot be learnt from the {n_frames} frames of {label!r}; "
            "ask for fewer, give longer recordings, or take a smaller hop"
        )

    def callback(state: State) -> None:
        report(f"learn {label}", state.iteration / state.max_iter)

    count = wanted or min(_DEFAULT_COMPONENTS, n_frames)
    model = fit_sharded(
        fleet, count, max_iter=config.max_iter, tol=config.tol, method=method, seed=config.seed,
        callback=callback,
    )  # fmt: skip
    report(f"learn {label}", 1.0)
    return model
